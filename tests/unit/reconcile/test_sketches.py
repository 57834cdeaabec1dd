"""Objects of ClusterStates that another replica has: what is kept of them, and what becomes of that when they are taken over.

Aspects: a sketch knows that it is there, whose, and in which version · it is neither compared nor judged nor kept · a takeover lists once, and compares everything · drift of the time
before is repaired · what goes and comes back · a list that fails.
"""

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, OWNER, RIVAL, applied, body, ref
from tests.unit.reconcile.fakes import Stage

A, B = (body(name, data={"colour": "blue"}) for name in "ab")
HERE = ref("a")


class Replica:
    """An index, and which ApplySets another replica has."""

    def __init__(self, *elsewhere: str) -> None:
        self.elsewhere = set(elsewhere)
        self.touched: list[str] = []
        self.index = LiveIndex(lambda owner, ref: self.touched.append(owner), is_elsewhere=self.elsewhere.__contains__)


@pytest.fixture
def replica() -> Replica:
    found = Replica(OWNER)
    found.index.observed(CONFIG_MAP, applied())
    return found


def test_a_sketch_tells_that_an_object_is_there_whose_it_is_and_in_which_version(replica: Replica) -> None:
    live = replica.index.get(HERE)
    assert live is not None
    assert (live.is_sketch, live.owner, live.version, live.is_member, replica.index.count(OWNER)) == (True, OWNER, "1", True, 1)
    replica.index.observed(CONFIG_MAP, applied(version="20", annotations={CLAIMED_BY: RIVAL}))
    live = replica.index.get(HERE)
    assert live is not None
    assert (live.version, live.claimed_by) == ("20", RIVAL)
    replica.index.gone(CONFIG_MAP, HERE, "30")
    assert replica.index.get(HERE) is None
    assert not replica.index.hear_again(OWNER)


def test_what_it_holds_is_neither_compared_nor_judged_nor_kept(replica: Replica) -> None:
    live = replica.index.get(HERE)
    assert live is not None
    assert (live.fingerprint, live.baseline, live.snapshot, live.is_settled) == (b"", None, None, False)
    unready = {**applied("web", status={"replicas": 1}), "kind": "Deployment", "spec": {"replicas": 3}}
    replica.index.observed(DEPLOYMENT, unready)
    assert not replica.index.readiness.unready_of(OWNER)
    assert not replica.index.readiness.replicas_of(OWNER)


def test_a_sketch_is_never_taken_for_what_was_applied(replica: Replica) -> None:
    live = replica.index.get(HERE)
    assert live is not None
    replica.index.verified(HERE, live)
    live = replica.index.get(HERE)
    assert live is not None
    assert not live.is_settled


def test_after_a_takeover_the_same_version_is_heard_again_and_looked_at(replica: Replica) -> None:
    replica.index.observed(CONFIG_MAP, applied())
    assert replica.index.hear_again(OWNER)
    replica.elsewhere.clear()
    replica.touched.clear()
    assert replica.index.hear_again(OWNER)
    replica.index.observed(CONFIG_MAP, applied())
    live = replica.index.get(HERE)
    assert live is not None
    assert not live.is_sketch
    assert live.snapshot is not None
    assert live.baseline is None
    assert replica.touched == [OWNER]
    assert not replica.index.hear_again(OWNER)


def test_what_is_ours_is_a_sketch_from_the_first_event_on_that_comes_when_another_has_it() -> None:
    replica = Replica()
    replica.index.writing(HERE)
    replica.index.written(HERE, applied(), CONFIG_MAP)
    replica.elsewhere.add(OWNER)
    live = replica.index.get(HERE)
    assert live is not None
    assert live.is_settled, "nothing happened to it: what we know is true, whoever has it"
    replica.index.observed(CONFIG_MAP, applied(version="20"))
    live = replica.index.get(HERE)
    assert live is not None
    assert (live.is_sketch, live.baseline) == (True, None)


def test_an_object_that_is_given_to_us_is_no_sketch(replica: Replica) -> None:
    given = applied(version="20")
    given["metadata"]["labels"][PART_OF_LABEL] = RIVAL
    replica.index.observed(CONFIG_MAP, given)
    live = replica.index.get(HERE)
    assert live is not None
    assert (live.owner, live.is_sketch, replica.index.hear_again(OWNER)) == (RIVAL, False, False)


def test_a_late_list_makes_nothing_of_what_is_newer(replica: Replica) -> None:
    replica.index.observed(CONFIG_MAP, applied(version="20"))
    replica.elsewhere.clear()
    replica.index.observed(CONFIG_MAP, applied(version="10"))
    live = replica.index.get(HERE)
    assert live is not None
    assert (live.version, live.is_sketch) == ("20", True)


# -- takeover ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def taken_over() -> Stage:
    """A replica that takes over a ClusterState of another one. It watched the kind already, for a ClusterState of its own."""
    stage = Stage()
    await stage.commit(A, B)
    known = frozenset({CONFIG_MAP.gvk.group_kind})
    stage.elsewhere.add(OWNER)
    stage.restart(known_kinds=known, status=stage.status)
    await stage.cluster.observe([CONFIG_MAP], within=lambda kind: ())
    assert stage.index.hear_again(OWNER)
    stage.elsewhere.clear()
    stage.cluster.writes.clear()
    return stage


async def test_a_takeover_lists_once_what_came_since_and_writes_nothing_that_is_as_it_should_be(taken_over: Stage) -> None:
    taken_up_at = taken_over.clock.seconds
    taken_over.clock.seconds += 5
    await taken_over.look()
    outcome = await taken_over.run(full=True)
    assert taken_over.cluster.resyncs == [taken_up_at], "others that were taken over then share the list"
    assert (taken_over.cluster.writes, taken_over.cluster.reads, outcome.is_converged) == ([], [], True)
    assert not taken_over.index.hear_again(OWNER)
    await taken_over.run()
    assert len(taken_over.cluster.resyncs) == 1
    assert all(live.is_settled for live in taken_over.index.members(OWNER).values())


async def test_drift_of_the_time_before_is_repaired(taken_over: Stage) -> None:
    taken_over.elsewhere.add(OWNER)
    taken_over.cluster.set_field(ref("a"), "data/colour", "red")
    taken_over.elsewhere.clear()
    await taken_over.look()
    await taken_over.run(full=True)
    assert taken_over.cluster.objects[ref("a")]["data"]["colour"] == "blue"
    assert [write[-1] for write in taken_over.cluster.writes] == ["a"]


async def test_a_list_that_fails_leaves_them_to_be_read_and_is_tried_again(taken_over: Stage) -> None:
    taken_over.cluster.resync_errors = [errors.ServerTimeoutError("no answer")]
    await taken_over.look()
    await taken_over.run(full=True)
    assert taken_over.cluster.writes == []
    assert sorted(taken_over.cluster.reads) == ["a", "b"]
    await taken_over.run()
    assert not taken_over.index.hear_again(OWNER)
    await taken_over.run(full=True)
    assert (taken_over.cluster.writes, len(taken_over.cluster.reads)) == ([], 2)
