"""Whose the objects are that are met in a remote cluster, where a ClusterState of the same namespace and name may have objects of its own.

Aspects: what is written there, read, and deleted · what was applied there before labels told the hub · objects of other hubs, here and there · what cannot be told.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.names import CLAIMED_BY, DIGEST
from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.kube.cluster import Cluster
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.ownership import HOME, PART_OF_LABEL, OwnerLabels, applyset_id, hub_of
from cvstate_operator.objects.recipe import Capabilities
from cvstate_operator.plan.adoption import Terms
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.reconcile import exchange
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, applied, ref
from tests.unit.builders import manifest as manifest_of

SHOP = applyset_id(name="shop", namespace="team-a", kind=names.CLUSTER_STATE, group=names.GROUP)
HUB, OTHER_HUB = OwnerLabels(hub_of("hub")), OwnerLabels(hub_of("other hub"))
CLUSTER_STATE = ApiResource(Gvk(names.GROUP, names.VERSION, names.CLUSTER_STATE), names.CLUSTER_STATES, True)


class Api:
    """A remote API server with one object, and ClusterStates of its own."""

    def __init__(self, *clusterstates: str, error: errors.CvstateError | None = None) -> None:
        self.clusterstates = clusterstates
        self.error = error
        self.live: dict[str, Any] | None = None
        self.applied: list[dict[str, Any]] = []
        self.deleted = 0

    async def pages(self, path: str, *, params: dict[str, str] | None = None) -> AsyncIterator[dict[str, Any]]:
        if self.error:
            raise self.error
        yield {"items": [{"metadata": {"name": name, "namespace": "team-a"}} for name in self.clusterstates]}

    async def get(self, path: str) -> dict[str, Any] | None:
        return self.live

    async def apply(self, path: str, body: dict[str, Any], *, manager: str, force: bool, dry_run: bool = False) -> dict[str, Any]:
        self.applied.append(body)
        return body

    async def delete(self, path: str, **options: Any) -> bool:
        self.deleted += 1
        return True


class Discovery:
    def __init__(self, *, with_kind: bool) -> None:
        self._kinds = (CONFIG_MAP, CLUSTER_STATE) if with_kind else (CONFIG_MAP,)
        self.refreshed = 0

    async def refresh(self) -> None:
        self.refreshed += 1

    def resource(self, gvk: Gvk) -> ApiResource | None:
        return next((one for one in self._kinds if one.gvk == gvk), None)

    def any_version(self, group: str, kind: str) -> ApiResource | None:
        return next((one for one in self._kinds if self.refreshed and (one.gvk.group, one.gvk.kind) == (group, kind)), None)

    def capabilities(self) -> Capabilities:
        return Capabilities("v1.36.0", ())


def made(api: Api, *, labels: OwnerLabels = HUB, with_kind: bool = True) -> tuple[Cluster, LiveIndex]:
    index = LiveIndex(lambda owner, ref: None, labels=labels)
    return Cluster(api, index, discovery=Discovery(with_kind=with_kind), owners=api, labels=labels), index  # type: ignore[arg-type]


# -- what is written, read and deleted -----------------------------------------------------------------------------------


def test_of_the_objects_there_only_those_with_our_hub_are_ours() -> None:
    _, index = made(Api())
    for name, label in (("ours", HUB.write(SHOP)), ("theirs", SHOP), ("others", OTHER_HUB.write(SHOP))):
        index.observed(CONFIG_MAP, applied(name, owner=label))
    assert set(index.members(SHOP)) == {ref("ours")}


async def test_what_is_applied_there_tells_the_hub() -> None:
    api = Api()
    cluster, _ = made(api)
    change = Change(ref("a"), Action.CREATE, manifest_of("a"), None)
    await cluster.apply(change, lambda live: applied("a"), live=None, owner=SHOP, name_owner=str, terms=Terms(), digest="d")
    assert api.applied[0]["metadata"]["labels"][PART_OF_LABEL] == HUB.write(SHOP)


@pytest.mark.parametrize(("label", "deletes"), [(HUB.write(SHOP), 1), (SHOP, 0)], ids=["ours", "of-a-namesake-there"])
async def test_only_ours_are_deleted(label: str, deletes: int) -> None:
    api = Api()
    cluster, index = made(api)
    index.observed(CONFIG_MAP, applied("a", owner=HUB.write(SHOP)))
    api.live = applied("a", owner=label)
    change = Change(ref("a"), Action.PRUNE, None, index.get(ref("a")))
    with suppress(errors.StaleError):
        await cluster.prune(change, propagation=PropagationPolicy.BACKGROUND)
    assert api.deleted == deletes


def test_what_is_handed_over_is_asked_for_and_given_by_labels_of_that_cluster() -> None:
    _, index = made(Api())
    index.observed(CONFIG_MAP, applied("a", owner=HUB.write("applyset-web-v1")))
    live = index.get(ref("a"))
    assert live
    assert [one["value"] for one in exchange.request(live, SHOP, HUB)][1:] == [HUB.write("applyset-web-v1"), HUB.write(SHOP)]
    index.observed(
        CONFIG_MAP, applied("a", version="2", owner=HUB.write("applyset-web-v1"), annotations={DIGEST: "d", CLAIMED_BY: HUB.write(SHOP)})
    )
    asked = index.get(ref("a"))
    assert asked
    assert asked.claimed_by == SHOP
    assert exchange.grant(asked, HUB)[-1]["value"] == HUB.write(SHOP)


# -- objects from before labels told the hub -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "with_kind", "exists"),
    [
        pytest.param(Api(), False, False, id="no-ClusterStates-there"),
        pytest.param(Api("web"), True, False, id="others-there"),
        pytest.param(Api("web", "shop"), True, True, id="a-namesake-there"),
        pytest.param(Api(error=errors.ForbiddenError("may not list them")), True, True, id="it-cannot-be-told"),
    ],
)
async def test_what_it_applied_there_before_is_its_own_unless_a_namesake_is_there(api: Api, with_kind: bool, exists: bool) -> None:
    cluster, index = made(api, with_kind=with_kind)
    index.observed(CONFIG_MAP, applied("a", owner=SHOP))
    live = index.get(ref("a"))
    assert live
    assert await cluster.owner_exists(live.owner, asked_by=SHOP) is exists
    assert await cluster.owner_exists(live.owner, asked_by="applyset-web-v1"), "of others nothing is known"


# -- objects of other hubs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [HOME, HUB], ids=["here", "there"])
async def test_objects_of_another_hub_are_never_taken_for_orphans(labels: OwnerLabels) -> None:
    cluster, index = made(Api(), labels=labels)
    index.observed(CONFIG_MAP, applied("a", owner=OTHER_HUB.write(SHOP)))
    live = index.get(ref("a"))
    assert live
    assert await cluster.owner_exists(live.owner, asked_by=SHOP)


async def test_here_an_object_of_a_clusterstate_that_is_gone_is_an_orphan_as_ever() -> None:
    cluster, _ = made(Api("web"), labels=HOME)
    assert not await cluster.owner_exists(SHOP, asked_by="applyset-web-v1")
