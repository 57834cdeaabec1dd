"""Three operators share thirty ClusterStates on a real API server, while somebody makes drift all the time.

Aspects: each ClusterState is written by one · SIGKILL: the others take over in time · one more takes a share · SIGTERM: no gap, and no Lease is left · all are
replaced · at no time did two of them write the same. Pauses, and failovers in numbers: tests/faults/test_failovers.py.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.plan.membership import EXPIRY_SECONDS, FENCE_SECONDS, HANDING_OVER_SECONDS, LOOK_SECONDS, SETTLING_SECONDS
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support.api import Api
from tests.support.shards import LEASE_NAMESPACE, Drifter, Mended, Shard, Shards, overlaps, sharing
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

STATES = 30
TAKEOVER_SECONDS = 20.0
"""Reliability goal L3."""
HANDED_OVER_SECONDS = 10.0
"""How long drift may wait for a newcomer: 6 s, and its first pass. Measured 6.0 to 7.1 s, also with a load of four times the cores. Where somebody died it is 10 s at least,
until a Lease that was renewed 2 s before has not changed for 12 s, and until others looked: an upgrade that costs as much does not pass."""
LEAVING_SECONDS = 5.0
"""How long drift may wait when somebody leaves: until a look of the others (1 s) after the last write was answered, and their first pass. Measured 0.4 to 1.3 s."""
KEPT_SECONDS = SETTLING_SECONDS - LOOK_SECONDS - (EXPIRY_SECONDS - FENCE_SECONDS) - HANDING_OVER_SECONDS - 2.0
"""So long after a newcomer came its share is mended by others: up to when they begin to hand it over, and 2 s earlier, for looks and repairs that are late."""


@pytest.fixture(scope="module")
def shards(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    with Cluster.start(quiet=True) as cluster:
        install_crd(Api(cluster.admin_kubeconfig))
        with (
            sharing(cluster, git, tmp_path_factory.mktemp("shards"), states=STATES, replicas=3) as made,
            Drifter(Api(cluster.admin_kubeconfig), made.world, made.names),
        ):
            yield made


def holders(shards: Shards) -> list[str]:
    found = shards.world.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases")
    assert found is not None
    return sorted(each["spec"]["holderIdentity"] for each in found["items"])


def members(*running: Shard) -> list[str]:
    return sorted(each.member for each in running)


def longest(found: list[Mended]) -> float:
    """How long the drift waited that waited longest, seconds; there is always some."""
    worst = max(found, key=lambda one: one.seconds)
    print(f"{len(found)} drifts mended, the slowest: {worst}")
    return worst.seconds


def test_each_clusterstate_is_written_by_one_and_each_operator_has_some(shards: Shards):
    mark = shards.cluster.audit.mark()
    shards.await_written(since=mark)
    time.sleep(2.0)
    writers: dict[str, set[str]] = {}
    for write in shards.log(mark):
        writers.setdefault(write.state, set()).add(write.member)
    assert {name: len(who) for name, who in writers.items()} == dict.fromkeys(shards.names, 1)
    assert sorted(Counter(who for (who,) in writers.values())) == members(*shards.running) == holders(shards)


def test_what_a_killed_one_had_is_taken_over_in_time_while_a_new_one_comes(shards: Shards):
    victim = shards.running[0]
    mark = shards.cluster.audit.mark()
    shards.await_written(since=mark)
    had = {name for name, who in shards.keepers(mark).items() if who == victim.member}
    assert had
    victim.end(signal.SIGKILL)
    killed_at, mark = time.time(), shards.cluster.audit.mark()
    shards.running.remove(victim)
    (newcomer,) = shards.start(1)
    first = shards.await_written(since=mark, without=(victim.member,), seconds=40)
    took = {name: first[name].at.timestamp() - killed_at for name in had}
    assert max(took.values()) <= TAKEOVER_SECONDS, took
    until("the new one has settled", lambda: newcomer.is_ready, seconds=40, every=0.2)
    mark = shards.cluster.audit.mark()
    shards.await_written(since=mark)
    until("the new one writes", lambda: newcomer.member in shards.keepers(mark).values(), every=0.2)


def test_who_is_told_to_end_leaves_no_gap_and_no_lease(shards: Shards):
    leaving = shards.running[0]
    mark = shards.cluster.audit.mark()
    shards.await_written(since=mark)
    had = {name for name, who in shards.keepers(mark).items() if who == leaving.member}
    assert had
    mark = shards.cluster.audit.mark()
    assert leaving.end(signal.SIGTERM, seconds=30) == 0
    shards.running.remove(leaving)
    shards.await_written(since=mark, without=(leaving.member,))
    assert longest(shards.mended(mark)) <= LEAVING_SECONDS
    assert leaving.member not in holders(shards)


def test_all_are_replaced_and_nothing_is_without_a_writer_for_long(shards: Shards):
    """As a rolling upgrade does it: the new ones are ready before the old ones are told to end."""
    old, mark = list(shards.running), shards.cluster.audit.mark()
    newcomers = shards.start(len(old))
    shards.await_ready()
    shards.await_written(since=shards.cluster.audit.mark())
    leaving = shards.cluster.audit.mark()
    for each in old:
        each.end(signal.SIGTERM, seconds=30)
        shards.running.remove(each)
    shards.await_written(since=shards.cluster.audit.mark())
    assert longest(shards.mended(mark)) <= HANDED_OVER_SECONDS
    assert longest(shards.mended(leaving)) <= LEAVING_SECONDS
    joined, taken = shards.joined(mark), [one for one in shards.mended(mark) if one.member in members(*newcomers)]
    assert {one.member for one in taken} == joined.keys() == set(members(*newcomers))
    assert [one for one in taken if (one.drifted_at - joined[one.member]).total_seconds() < KEPT_SECONDS] == []


def test_at_no_time_did_two_of_them_write_the_same(shards: Shards):
    log = shards.log()
    assert len({write.member for write in log}) == 6
    assert len(log) > 10 * STATES
    assert overlaps(log) == []
