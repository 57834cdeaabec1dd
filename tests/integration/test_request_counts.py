"""How many requests the operator makes, to the last one: 300 objects of four kinds on a real API server, counted in its audit log.

Aspects: cold convergence · a small commit · rest · watches · a full resync · drift ·
objects that are deleted or lose our label · a restart after SIGKILL.

What these cost in time and memory `bench` measures. Here one request too many fails. Only what is told to people (status, Events) has a bound instead of a
number: how much of it is put together depends on how fast the machine is.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.objects.ownership import PART_OF_LABEL
from tests.cluster.audit import Request
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.support.api import Api
from tests.support.objects import RBAC, config_map, mixed, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

N: Final = 300
EACH_ONCE: Final = {"patch configmaps": 120, "patch services": 60, "patch deployments": 60, "patch roles": 60}
"""One write for each object of `mixed`."""
KINDS: Final = ("configmaps", "services", "deployments", "roles")
OWN_KINDS: Final = ("clusterstates", "clusterstateplans", "stateapprovals", "emergencystops", "customresourcedefinitions")
"""What the operator watches whatever is declared."""
STATUS: Final = "patch clusterstates/status"
EVENTS: Final = "create events"
MOST_STATUSES: Final = 2
"""Of one commit: that it is applied, and before, if it takes longer than a second, that it is under way."""
MOST_DISCOVERIES: Final = 10
"""Questions that a start asks about kinds and versions; those depend on what else is in the cluster."""
SILENCE_SECONDS: Final = 2.5
"""Longer than the operator waits before it goes on with what is left."""
REST_SECONDS: Final = 10.0
HOUR_SECONDS: Final = 3600


class Counted:
    """A world that counts what its operator asks for from one rest to the next."""

    def __init__(self, world: World, begun: int) -> None:
        self.world = world
        self.begun = begun
        """Mark of the audit log before the operator was started."""
        self._since = 0
        self.cold: dict[str, int] = {}
        """What the first commit cost."""
        self.rest()

    def rest(self) -> None:
        """Wait until nothing is asked for any more; count from then on."""
        audit = self.world.cluster.audit
        self._since, quiet_since = audit.mark(), time.monotonic()
        while time.monotonic() - quiet_since < SILENCE_SECONDS:
            time.sleep(0.1)
            now = audit.mark()
            if _working(audit.requests(self._since, user="cvstate-operator")):
                quiet_since = time.monotonic()
            self._since = now

    def count(self) -> dict[str, int]:
        """Wait for the next rest; returns ``patch configmaps`` → how often that was asked since the one before."""
        since = self._since
        self.rest()
        return self.so_far(since)

    def so_far(self, since: int | None = None) -> dict[str, int]:
        """As `count`, without waiting."""
        found = self.world.cluster.audit.requests(self._since if since is None else since, user="cvstate-operator")
        return dict(Counter(map(_sort, _working(found))))


def _working(requests: list[Request]) -> list[Request]:
    """Without watches, which are asked for anew whenever the server ends one, and further pages of a list: other tests may have left hundreds of objects."""
    return [request for request in requests if request.verb != "watch" and "continue=" not in request.uri]


def _watched(request: Request) -> tuple[str, str]:
    """Path and selector."""
    url = urlsplit(request.uri)
    return url.path, parse_qs(url.query).get("labelSelector", [""])[0]


def _sort(request: Request) -> str:
    resource = request.resource or request.uri.partition("?")[0]
    return f"{request.verb} {resource}{'/' + request.subresource if request.subresource else ''}"


@pytest.fixture(scope="module")
def counted(second_cluster: Cluster, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """300 objects came with one commit, while one of one kind was as declared, and all is at rest."""
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    begun = second_cluster.audit.mark()
    with Operator(second_cluster.operator_kubeconfig, tmp_path_factory.mktemp("operator")) as operator:
        world = World(second_cluster, api, git, operator)
        world.declare()
        world.wait_applied(world.commit({"seed.yaml": text(config_map("seed", k="v"))}))
        found = Counted(world, begun)
        world.wait_applied(world.commit(mixed(N, world.name), tell=False), seconds=60)
        found.cold = found.count()
        yield found
    remove_clusterstates(api)


@pytest.fixture
def world(counted: Counted) -> World:
    return counted.world


def reports(found: dict[str, int]) -> tuple[int, int]:
    """Take out what is told to people: writes of the status, and Events."""
    return found.pop(STATUS, 0), found.pop(EVENTS, 0)


def test_a_cold_start_writes_each_object_once_and_lists_each_new_kind_once(counted: Counted):
    found = dict(counted.cold)
    statuses, events = reports(found)
    lists = {"list services": 1, "list deployments": 1, "list roles": 1}
    assert found == {**EACH_ONCE, **lists, "patch clusterstates": 1}, "the last one names the new kinds, for other tools"
    assert 1 <= statuses <= MOST_STATUSES
    assert events == 1


def test_a_commit_that_changes_three_objects_costs_three_writes_and_two_reports(counted: Counted, world: World):
    files = mixed(N, world.name)
    name = min(files)
    changed = files[name].replace("value 0 0", "other").replace("value 5 1", "another").replace("targetPort: 8080", "targetPort: 8081", 1)
    world.wait_applied(world.commit({name: changed}, tell=False))
    found = counted.count()
    statuses, events = reports(found)
    assert found == {"patch configmaps": 2, "patch services": 1}
    assert 1 <= statuses <= MOST_STATUSES
    assert events == 1


def test_who_has_nothing_to_do_asks_for_nothing(counted: Counted, world: World):
    time.sleep(REST_SECONDS)
    assert counted.so_far() == {}


def test_no_watch_is_asked_for_anew_within_the_hour_unless_it_breaks(counted: Counted):
    found = counted.world.cluster.audit.requests(counted.begun, user="cvstate-operator")
    watches = [request for request in found if request.verb == "watch"]
    assert {request.resource for request in watches} >= {*KINDS, *OWN_KINDS}
    assert min(int(parse_qs(urlsplit(request.uri).query)["timeoutSeconds"][0]) for request in watches) > HOUR_SECONDS
    assert max(Counter(map(_watched, watches)).values()) == 1


def test_a_full_resync_lists_each_kind_once_and_says_that_it_is_done(counted: Counted, world: World):
    world.request()
    assert counted.count() == {**{f"list {kind}": 1 for kind in KINDS}, STATUS: 1}


def test_each_drift_costs_one_write_and_what_is_not_ours_none(counted: Counted, world: World):
    world.api.merge(world.path("configmaps", "o10"), {"data": {"key1": "edited"}})
    world.api.merge(world.path("configmaps", "o11"), {"data": {"key2": None, "undeclared": "stays"}})
    world.api.merge(world.path("services", "o2"), {"spec": {"selector": {"app": "other"}}})
    world.api.merge(world.path("deployments", "o3", group="apps/v1"), {"spec": {"replicas": 3}})
    world.api.merge(world.path("configmaps", "o15"), {"metadata": {"annotations": {"somebody": "else"}}})
    world.api.merge(world.path("roles", "o4", group=RBAC), {"rules": []})
    until("the last one is as declared", lambda: world.api.get(world.path("roles", "o4", group=RBAC))["rules"])  # type: ignore[index]
    found = counted.count()
    statuses, events = reports(found)
    assert found == {"patch configmaps": 2, "patch services": 1, "patch deployments": 1, "patch roles": 1}
    assert statuses <= MOST_STATUSES
    assert 1 <= events <= 5


def test_what_is_deleted_or_loses_our_label_is_looked_at_once_and_written_once(counted: Counted, world: World):
    role, service = world.path("roles", "o9", group=RBAC), world.path("services", "o7")
    world.api.delete(world.path("configmaps", "o16"))
    world.api.delete(role)
    world.api.merge(service, {"metadata": {"labels": {PART_OF_LABEL: None}}})
    until("the last one is ours again", lambda: PART_OF_LABEL in (world.api.get(service) or {"metadata": {}})["metadata"].get("labels", {}))
    found = counted.count()
    statuses, events = reports(found)
    assert found == {f"{verb} {kind}": 1 for verb in ("get", "patch") for kind in ("configmaps", "services", "roles")}
    assert statuses <= MOST_STATUSES
    assert 1 <= events <= 3


def test_a_restart_after_a_kill_lists_each_kind_and_writes_nothing(counted: Counted, world: World):
    world.operator.end(signal.SIGKILL)
    counted.rest()
    world.operator.start()
    found = counted.count()
    lists = {sort: found.pop(sort) for sort in sorted(found) if sort.startswith("list ")}
    assert lists == {f"list {kind}": 1 for kind in (*KINDS, *OWN_KINDS)} | {"list emergencystops": 2}
    assert found.pop("get namespaces") == 1, "kube-system, whose uid tells this cluster from others"
    assert {sort.partition("/")[0] for sort in found} == {"get "}, "what is left only asks for kinds and versions"
    assert sum(found.values()) <= MOST_DISCOVERIES
