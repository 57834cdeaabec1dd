"""Leases on a real API server: what it answers to what `kube/leases.py` sends.

Aspects: made, renewed, given up, deleted · what is not ours is not renewed · a second one of the same name · which are seen · a namespace that is not there · rights.
"""

import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.leases import Leases
from cvstate_operator.plan.membership import Lease
from tests.cluster.control_plane import Cluster
from tests.support import accounts
from tests.support.api import Api, Json
from tests.support.ours import ask
from tests.support.world import World

pytestmark = pytest.mark.integration

Result = TypeVar("Result")
NAMESPACE = "default"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
_groups = (f"leases-{number}" for number in itertools.count(1))


def use(cluster: Cluster, work: Callable[[Leases], Awaitable[Result]], *, namespace: str = NAMESPACE) -> Result:
    return ask(cluster.operator_kubeconfig, lambda client: work(Leases(client, namespace=namespace, now=lambda: datetime.now(UTC))))


@pytest.fixture
def group() -> str:
    return next(_groups)


@pytest.fixture
def lease(cluster: Cluster, group: str) -> Lease:
    return use(cluster, lambda leases: leases.take(member="pod_1", group=group, webhook="http://10.0.0.7:9292"))


def spec(api: Api, lease: Lease) -> Json:
    found = api.get(f"{PATH}/{lease.name}")
    assert found is not None
    return dict(found["spec"])


def test_a_lease_is_made_renewed_given_up_and_deleted(cluster: Cluster, api: Api, group: str, lease: Lease):
    assert use(cluster, lambda leases: leases.look(group)) == (lease,)
    made = spec(api, lease)
    assert (made["holderIdentity"], made["leaseDurationSeconds"]) == ("pod_1", 12)
    renewed = use(cluster, lambda leases: leases.renew(lease))
    assert renewed is not None
    assert renewed.version != lease.version
    assert spec(api, lease)["renewTime"] > made["renewTime"]
    released = use(cluster, lambda leases: leases.release(renewed))
    assert released is not None
    assert (released.uid, released.holder) == (lease.uid, "")
    with pytest.raises(errors.StaleError):
        use(cluster, lambda leases: leases.delete(renewed))
    use(cluster, lambda leases: leases.delete(released))
    use(cluster, lambda leases: leases.delete(released))
    assert use(cluster, lambda leases: leases.look(group)) == ()


@pytest.mark.parametrize("how", ["deleted", "made anew", "in other hands", "given up"])
def test_what_is_not_ours_any_more_is_neither_renewed_nor_given_up(cluster: Cluster, api: Api, group: str, lease: Lease, how: str):
    if how in ("deleted", "made anew"):
        api.delete(f"{PATH}/{lease.name}")
        if how == "made anew":
            use(cluster, lambda leases: leases.take(member="pod_1", group=group, webhook=""))
    else:
        api.merge(f"{PATH}/{lease.name}", {"spec": {"holderIdentity": "somebody" if how == "in other hands" else ""}})
    before = use(cluster, lambda leases: leases.look(group))
    assert use(cluster, lambda leases: leases.renew(lease)) is None
    assert use(cluster, lambda leases: leases.release(lease)) is None
    assert use(cluster, lambda leases: leases.look(group)) == before


def test_what_others_change_in_it_does_not_keep_it_from_being_renewed(cluster: Cluster, api: Api, lease: Lease):
    api.merge(f"{PATH}/{lease.name}", {"metadata": {"annotations": {"example.com/seen": "yes"}}})
    assert use(cluster, lambda leases: leases.renew(lease)) is not None


def test_one_that_was_made_without_our_hearing_of_it_is_found_and_renewed(cluster: Cluster, group: str, lease: Lease):
    again = use(cluster, lambda leases: leases.take(member="pod_1", group=group, webhook="http://10.0.0.7:9292"))
    assert again.uid == lease.uid
    assert again.version != lease.version


def test_one_that_another_holds_is_not_taken(cluster: Cluster, api: Api, group: str, lease: Lease):
    api.merge(f"{PATH}/{lease.name}", {"spec": {"holderIdentity": "somebody"}})
    with pytest.raises(errors.SettingsError, match="somebody"):
        use(cluster, lambda leases: leases.take(member="pod_1", group=group, webhook=""))


def test_all_of_the_group_are_seen_and_no_others(cluster: Cluster, group: str, lease: Lease):
    other = use(cluster, lambda leases: leases.take(member="pod_2", group=group, webhook=""))
    use(cluster, lambda leases: leases.take(member="pod_3", group=f"{group}-other", webhook=""))
    assert set(use(cluster, lambda leases: leases.look(group))) == {lease, other}


def test_a_namespace_that_is_not_there_is_told(cluster: Cluster, group: str):
    with pytest.raises(errors.NamespaceMissingError):
        use(cluster, lambda leases: leases.take(member="pod_1", group=group, webhook=""), namespace="nowhere")


@pytest.mark.parametrize("lacking", ["list", "create", "patch", "delete", None])
def test_five_verbs_are_needed_and_no_more(world: World, group: str, tmp_path: Path, lacking: str | None):
    account = f"leases-{lacking or 'all'}"
    verbs = [verb for verb in ("get", "list", "create", "patch", "delete") if verb != lacking]
    secret = accounts.token(world, account)
    accounts.grant(world, account, [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}])
    kubeconfig = accounts.kubeconfig(world, secret, tmp_path / "kubeconfig")

    async def everything(client: Client) -> None:
        leases = Leases(client, namespace=world.name, now=lambda: datetime.now(UTC))
        made = await leases.take(member="pod_1", group=group, webhook="")
        assert await leases.take(member="pod_1", group=group, webhook="")
        assert await leases.look(group)
        released = await leases.release(made)
        assert released
        await leases.delete(released)

    if lacking:
        with pytest.raises(errors.ForbiddenError, match=lacking):
            ask(kubeconfig, everything)
    else:
        ask(kubeconfig, everything)
