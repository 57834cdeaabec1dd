"""What is kept of nodes, and when each was heard of last.

Aspects: Ready and pressures · a silent kubelet · lists that forget · Leases: renewals, clocks that are wrong, a Lease that stands still, a new one, one that cannot be read.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.vital.cluster.node_facts import Heartbeats, NodeFacts, NodeTally, node_facts

Json = dict[str, Any]
NOW = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def text(seconds: float) -> str:
    return at(seconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def node(name: str = "a", **statuses: str) -> Json:
    told = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False"} | statuses
    conditions = [{"type": kind, "status": status, "lastHeartbeatTime": "2026-03-01T09:58:00Z"} for kind, status in told.items()]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_a_node_is_kept_as_what_it_says_of_itself():
    heard = datetime(2026, 3, 1, 9, 58, tzinfo=UTC)
    assert node_facts(node()) == NodeFacts("a", True, (), True, heard)
    assert node_facts(node(DiskPressure="True", PIDPressure="True")) == NodeFacts("a", True, ("DiskPressure", "PIDPressure"), True, heard)
    assert node_facts(node(Ready="False")) == NodeFacts("a", False, (), True, heard)
    assert node_facts(node(Ready="Unknown", MemoryPressure="Unknown", DiskPressure="Unknown")) == NodeFacts("a", False, (), False, heard)


def test_a_node_that_was_never_heard_of_is_not_ready():
    assert node_facts({"metadata": {"name": "new"}}) == NodeFacts("new", False, (), False, None)


@given(
    st.dictionaries(
        st.sampled_from(["metadata", "status", "spec"]),
        st.none() | st.text() | st.dictionaries(st.just("conditions"), st.lists(st.integers())),
    )
)
def test_no_object_makes_it_fail(live: Json):
    found = node_facts(live)
    assert found is None or not found.is_ready


def test_a_node_that_cannot_be_read_is_there_and_not_ready():
    torn = node()
    torn["status"]["conditions"].append({"type": "Ready", "status": "False"})
    assert node_facts(torn) == NodeFacts("a", False, (), False, None)


def test_nodes_come_change_and_go_by_watch_and_list():
    tally = NodeTally()
    tally.begin(NOW, known_until=None)
    tally.seen(node("b"), NOW)
    tally.seen(node("a"), NOW)
    tally.listed(NOW)
    tally.seen(node("c"), NOW)
    tally.seen(node("b", Ready="False"), NOW)
    tally.gone(node("a"), NOW)
    assert [(one.name, one.is_ready) for one in tally.nodes()] == [("b", False), ("c", True)]
    tally.begin(NOW, known_until=NOW)
    tally.seen(node("c"), NOW)
    tally.listed(NOW)
    assert [one.name for one in tally.nodes()] == ["c"]


def test_no_names_are_kept_of_nodes_that_come_and_go():
    tally = NodeTally()
    tally.begin(NOW, known_until=None)
    tally.listed(NOW)
    for number in range(10):
        tally.seen(node(f"n{number}"), NOW)
        tally.gone(node(f"n{number}"), NOW)
    assert not tally._nodes
    assert not tally._listed


def test_at_the_first_look_a_lease_is_believed():
    assert Heartbeats().looked({"a": text(-7), "b": text(-700)}, NOW) == {"a": at(-7), "b": at(-700)}


def test_a_renewal_is_as_old_as_it_says():
    beats = Heartbeats()
    beats.looked({"a": text(-5)}, NOW)
    assert beats.looked({"a": text(25)}, at(30)) == {"a": at(25)}


def test_a_lease_that_stands_still_gets_older():
    beats = Heartbeats()
    for seconds in (0, 30, 60, 90):
        assert beats.looked({"a": text(-5)}, at(seconds)) == {"a": at(-5)}


def test_a_clock_that_is_behind_makes_no_node_dead_while_it_renews():
    beats = Heartbeats()
    beats.looked({"a": text(-3605)}, NOW)
    assert beats.looked({"a": text(-3575)}, at(30)) == {"a": NOW}
    assert beats.looked({"a": text(-3545)}, at(60)) == {"a": at(30)}


def test_a_clock_that_is_ahead_makes_no_node_live_that_does_not_renew():
    beats = Heartbeats()
    assert beats.looked({"a": text(3600)}, NOW) == {"a": NOW}
    assert beats.looked({"a": text(3600)}, at(90)) == {"a": NOW}
    assert beats.looked({"a": text(3700)}, at(120)) == {"a": at(120)}


def test_a_lease_that_is_new_or_comes_back_is_believed():
    beats = Heartbeats()
    beats.looked({}, NOW)
    assert beats.looked({"a": text(-500)}, at(30)) == {"a": at(-500)}
    beats.looked({}, at(60))
    assert beats.looked({"a": text(-400)}, at(90)) == {"a": at(-400)}


def test_a_lease_without_a_time_tells_nothing():
    assert Heartbeats().looked({"a": "", "b": "yesterday", "c": "2026-03-01T10:00:00"}, NOW) == {}
