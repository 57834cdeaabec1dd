"""Two operators in two clusters, the first of which works in the second as well, with ClusterStates of the same namespace and name.

Aspects: neither deletes or undoes what the other made · what both declare is the first one's, and the second is told · the labels tell whose it is · what a namesake there made is
not taken for what the hub made before it told its name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer, Repository
from cvstate_operator.objects.ownership import PART_OF_LABEL, applyset_id, has_hub
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support import tenancy
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.objects import config_map, manifest, text
from tests.support.operator import Operator
from tests.support.tenancy import Tenancy
from tests.support.waiting import never, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HOME: Final = "team-a"
"""Namespace of the ClusterStates, in both clusters."""
SHOP: Final = "store"
"""Namespace of the objects, in the spoke."""
APPLIER: Final = "applier"
PRUNED_SECONDS: Final = 20.0
"""Longer than anything superfluous stays: two looks, two seconds apart, and ten seconds in which others may come to declare it."""


@dataclass
class Hubs:
    """The hub with its operator, and the spoke with another."""

    hub: Tenancy
    spoke: Tenancy

    def declare(self, where: Tenancy, name: str, *objects: Json, secret: str = "") -> Repository:
        """A ClusterState with these objects in the spoke; returns its repository."""
        side = "hub" if secret else "spoke"
        repository = where.git.repository(f"{side}-{name}")
        repository.commit({f"apps/{body['metadata']['name']}.yaml": text(in_shop(body)) for body in objects})
        spec: dict[str, Any] = {"git": {"interval": "1s"}}
        if secret:
            spec |= {"serviceAccountName": APPLIER, "target": {"kubeConfig": {"secretRef": {"name": secret}}}}
        where.declare(HOME, name, repository=f"{side}-{name}", **spec)
        return repository

    def live(self, name: str) -> Json | None:
        """A ConfigMap of the spoke; None if it is not there."""
        return self.spoke.api.get(f"/api/v1/namespaces/{SHOP}/configmaps/{name}")

    def label(self, name: str) -> str:
        return str((self.live(name) or {})["metadata"]["labels"][PART_OF_LABEL])


def in_shop(body: Json) -> Json:
    return {**body, "metadata": {**body["metadata"], "namespace": SHOP}}


@pytest.fixture(scope="module")
def hubs(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    def prepare(api: Api) -> None:
        tenancy.namespace(api, HOME)
        tenancy.account(api, HOME, APPLIER, *tenancy.WORKS_WITH, tenancy.rule(["secrets"], verbs=["get"], names=["spoke"]))

    values = {"tenants": [{"namespace": HOME, "serviceAccounts": [APPLIER]}]}
    directory = tmp_path_factory.mktemp("hubs")
    with (
        Cluster.start(quiet=True) as far,
        tenancy.running(git, directory, values, prepare, "--allow-insecure-sources") as hub,
    ):
        api = Api(far.admin_kubeconfig)
        install_crd(api)
        for name in (HOME, SHOP):
            tenancy.namespace(api, name)
        tenancy.account(api, SHOP, "deployer", *tenancy.WORKS_WITH)
        document = tenancy.config(far, tenancy.token(api, SHOP, "deployer"))
        secret = manifest("Secret", "spoke", stringData={"value": yaml.safe_dump(document)})
        code, answer = hub.api.apply(f"/api/v1/namespaces/{HOME}/secrets/spoke", secret)
        assert code < 300, answer
        with Operator(Path(far.admin_kubeconfig), directory / "spoke", "--allow-insecure-sources") as operator:
            yield Hubs(hub, Tenancy(far, api, git, operator))


def test_namesakes_in_two_clusters_leave_each_other_s_objects_alone(hubs: Hubs):
    of_hub = hubs.declare(hubs.hub, "shop", config_map("of-hub", k="v"), config_map("leaves", k="v"), secret="spoke")
    hubs.hub.wait(HOME, "shop", "True")
    hubs.declare(hubs.spoke, "shop", config_map("of-spoke", k="v"))
    hubs.spoke.wait(HOME, "shop", "True")
    uids = {name: (hubs.live(name) or {})["metadata"]["uid"] for name in ("of-hub", "of-spoke")}
    shop = applyset_id(name="shop", namespace=HOME, kind="ClusterState", group="cvstate.io")
    assert (hubs.label("of-spoke"), has_hub(hubs.label("of-hub"))) == (shop, True)
    of_hub.commit({"apps/leaves.yaml": None})  # has the hub prune
    until("what left the hub's repository goes", lambda: hubs.live("leaves") is None, seconds=60)
    stays = "one of them was deleted by the other"
    never(stays, lambda: [name for name in uids if hubs.live(name) is None], seconds=PRUNED_SECONDS)
    assert {name: (hubs.live(name) or {})["metadata"]["uid"] for name in uids} == uids
    for where in (hubs.hub, hubs.spoke):
        assert where.condition(HOME, "shop")["status"] == "True"


@pytest.mark.parametrize("first", ["hub", "spoke"])
def test_what_both_declare_is_the_first_one_s_and_the_other_is_told(hubs: Hubs, first: str):
    name = f"both-{first}"
    order = [(hubs.hub, "spoke"), (hubs.spoke, "")]
    if first == "spoke":
        order.reverse()
    for number, (where, secret) in enumerate(order):
        hubs.declare(where, name, config_map(name, k=f"of-{number}"), secret=secret)
        if number == 0:
            where.wait(HOME, name, "True")
    owner, told = hubs.label(name), order[1][0].wait(HOME, name, "False", "OwnerConflict")
    assert owner in told["message"]
    never("it changed hands", lambda: (hubs.live(name) or {})["data"] != {"k": "of-0"} or hubs.label(name) != owner, seconds=3)
    hubs.hub.api.delete(f"{CLUSTER_STATES.format(HOME)}/{name}")
    hubs.spoke.api.delete(f"{CLUSTER_STATES.format(HOME)}/{name}")


def test_a_namesake_s_object_in_the_spoke_is_not_taken_for_what_the_hub_made_before(hubs: Hubs):
    """It has the label that the hub wrote before it told its name. Whether there is a namesake the kubeconfig's user may not see here."""
    name = "former"
    hubs.declare(hubs.spoke, name, config_map(name, k="theirs"))
    hubs.spoke.wait(HOME, name, "True")
    hubs.declare(hubs.hub, name, config_map(name, k="ours"), secret="spoke")
    hubs.hub.wait(HOME, name, "False", "OwnerConflict")
    assert (hubs.live(name) or {})["data"] == {"k": "theirs"}
