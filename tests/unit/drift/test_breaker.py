"""The breaker: when a fight over a field is given up, and when it is tried again.

Aspects: opens · names the rival · probes · closes · by itself as declared · repairs that nobody confirmed · single drifts · clocks that jump · saved and loaded ·
bounds of writes, of state, and a plain model, on random histories.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api import drift as api
from cvstate_operator.drift.breaker import Breaker, Breakers, Key, Limits, State, to_json
from cvstate_operator.objects.identity import ObjectRef

LIMITS = Limits(reversals=3, within_seconds=600.0, half_open_after_seconds=1800.0)
START = 1_700_000_000.0
REPLICAS = Key("uid-1", "/spec/replicas")
IMAGE = Key("uid-1", "/spec/image")
OTHER = Key("uid-2", "/spec/replicas")


def drift(breakers: Breakers, now: float, key: Key = REPLICAS, manager: str = "rival") -> bool:
    """A drift is seen, and repaired if that is allowed."""
    allowed = breakers.allows(key, now, manager)
    if allowed:
        breakers.note(key, now, manager)
    return allowed


def opened(at: float = START) -> Breakers:
    """Breakers of which one opened just now."""
    breakers = Breakers(LIMITS)
    assert [drift(breakers, at + second) for second in (-3, -2, -1, 0)] == [True, True, True, False]
    return breakers


def state(breakers: Breakers, now: float, key: Key = REPLICAS) -> State:
    return breakers.open(now)[key].state(now, LIMITS) if key in breakers.open(now) else State.CLOSED


def test_a_field_is_given_up_when_its_repair_was_undone_so_often() -> None:
    breakers = opened()
    assert state(breakers, START) is State.OPEN
    assert not any(drift(breakers, START + second) for second in range(1, 1800))


def test_repairs_that_lie_apart_never_open_it() -> None:
    breakers = Breakers(LIMITS)
    assert all(drift(breakers, START + 200 * number) for number in range(50))


def test_the_rival_is_who_undid_the_last_repair() -> None:
    breakers = Breakers(LIMITS)
    for second, manager in enumerate(("kubectl-edit", "kubectl-edit", "hpa", "hpa-2")):
        drift(breakers, START + second, manager=manager)
    assert breakers.open(START + 4)[REPLICAS].rival == "hpa-2"


def test_an_unknown_writer_does_not_hide_the_last_known_one() -> None:
    breakers = Breakers(LIMITS)
    for second, manager in enumerate(("hpa", "hpa", "hpa", "")):
        drift(breakers, START + second, manager=manager)
    assert breakers.open(START + 4)[REPLICAS].rival == "hpa"


def test_another_field_and_another_object_go_on_while_one_is_open() -> None:
    breakers = opened()
    assert drift(breakers, START + 1, IMAGE)
    assert drift(breakers, START + 1, OTHER)
    assert list(breakers.open(START + 1)) == [REPLICAS]


def test_after_a_while_one_probe_is_made_and_no_second_one() -> None:
    breakers = opened()
    assert not drift(breakers, START + 1799)
    assert state(breakers, START + 1800) is State.HALF_OPEN
    assert drift(breakers, START + 1800)
    assert state(breakers, START + 1801) is State.PROBING
    assert not drift(breakers, START + 1801)


def test_a_probe_that_is_undone_starts_the_wait_anew() -> None:
    breakers = opened()
    drift(breakers, START + 1800)
    assert not drift(breakers, START + 1900, manager="another")
    assert breakers.open(START + 1900)[REPLICAS].rival == "another"
    assert not drift(breakers, START + 1900 + 1799)
    assert drift(breakers, START + 1900 + 1800)


def test_a_probe_that_holds_ends_the_fight_and_the_next_one_has_all_its_repairs() -> None:
    breakers = opened()
    drift(breakers, START + 1800)
    assert state(breakers, START + 2399) is State.PROBING
    assert breakers.open(START + 2400) == {}
    assert [drift(breakers, START + 2400 + second) for second in range(4)] == [True, True, True, False]


def test_a_field_that_is_as_declared_by_itself_counts_as_a_probe() -> None:
    breakers = opened()
    breakers.settle({"uid-1"}, (), START + 10)
    assert state(breakers, START + 10) is State.PROBING
    assert state(breakers, START + 610) is State.CLOSED


def test_a_field_that_still_drifts_is_not_settled_with_its_object() -> None:
    breakers = opened()
    breakers.settle({"uid-1"}, {REPLICAS.path}, START + 10)
    breakers.settle({"uid-1"}, {""}, START + 10)
    breakers.settle({"uid-2"}, (), START + 10)
    assert state(breakers, START + 10) is State.OPEN


def test_seeing_the_same_drift_again_without_a_repair_changes_nothing() -> None:
    breakers = opened()
    before = breakers.remembered(START)
    for _ in range(10):
        breakers.allows(REPLICAS, START + 5, "rival")
    assert breakers.remembered(START) == before


def test_repairs_that_nobody_confirmed_count_for_nothing() -> None:
    breakers = Breakers(LIMITS)
    assert all(breakers.allows(REPLICAS, START + second, "rival") for second in range(500))
    assert [drift(breakers, START + 500 + second) for second in range(4)] == [True, True, True, False]


def test_a_probe_that_nobody_confirmed_may_be_made_again() -> None:
    breakers = opened()
    assert breakers.allows(REPLICAS, START + 1800, "rival")
    assert state(breakers, START + 1801) is State.HALF_OPEN
    assert drift(breakers, START + 1802)
    assert state(breakers, START + 1803) is State.PROBING


@pytest.mark.parametrize("seed", range(20))
def test_a_fight_ends_although_three_of_ten_answers_are_lost(seed: int) -> None:
    breakers, random, writes = Breakers(LIMITS), Random(seed), 0
    for second in range(1800):
        if breakers.allows(REPLICAS, START + second, "rival"):
            writes += 1
            if random.random() >= 0.3:
                breakers.note(REPLICAS, START + second, "rival")
    assert state(breakers, START + 1800) in (State.OPEN, State.HALF_OPEN)
    assert writes < 15


def test_one_drift_of_each_of_many_fields_opens_nothing() -> None:
    breakers = Breakers(LIMITS)
    keys = [Key(f"uid-{number % 7}", f"/data/{number}") for number in range(500)]
    assert all(drift(breakers, START, key) for key in keys)
    assert breakers.open(START) == {}


def test_an_object_that_is_deleted_again_and_again_is_known_by_its_name() -> None:
    ref = ObjectRef("apps", "Deployment", "web", "api")
    breakers = Breakers(LIMITS)
    found = [drift(breakers, START + second, Key.of(ref, f"uid-{second}", "")) for second in range(4)]
    assert found == [True, True, True, False]
    assert Key.of(ref, "uid-1", "/spec/replicas") == Key("uid-1", "/spec/replicas")
    assert Key.of(ref, "", "") == Key("apps/Deployment/web/api", "")


def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_a_whole_turn() -> None:
    breakers = opened(START + 10 * 365 * 86400)
    assert not drift(breakers, START)
    assert drift(breakers, START + 1800)


def test_a_clock_that_is_set_back_does_not_forget_repairs() -> None:
    breakers = Breakers(LIMITS)
    assert all(drift(breakers, START + second) for second in range(3))
    assert not drift(breakers, START - 86400)


def test_what_is_over_or_gone_is_forgotten() -> None:
    breakers = opened()
    drift(breakers, START, OTHER)
    drift(breakers, START, Key("uid-gone", "/a"))
    breakers.tidy(START + 1, {"uid-1", "uid-2"})
    assert [breakers.knows(name) for name in ("uid-1", "uid-2", "uid-gone")] == [True, True, False]
    assert [(*key, breaker.rival, breaker.opened_at) for key, breaker in breakers.remembered(START + 1)] == [
        ("uid-1", "/spec/replicas", "rival", START)
    ]
    breakers.tidy(START + 601, {"uid-1", "uid-2"})
    assert [breakers.knows(name) for name in ("uid-1", "uid-2")] == [True, False]


def test_a_person_can_end_the_wait() -> None:
    breakers = opened()
    breakers.reset(REPLICAS)
    assert drift(breakers, START + 1)


def test_a_person_who_asks_has_what_is_left_alone_tried_once_more_and_no_oftener() -> None:
    breakers = opened()
    breakers.half_open(START + 1)
    assert state(breakers, START + 1) is State.HALF_OPEN
    assert [drift(breakers, START + second) for second in (1, 2, 3)] == [True, False, False]
    assert not drift(breakers, START + 2 + 1799)
    assert drift(breakers, START + 2 + 1800)


def test_a_probe_that_a_person_asked_for_ends_the_fight_if_it_holds() -> None:
    breakers = opened()
    breakers.half_open(START + 1)
    drift(breakers, START + 1)
    assert breakers.open(START + 601) == {}


def test_asking_makes_no_second_probe_and_gives_a_closed_breaker_no_more_repairs() -> None:
    breakers = opened()
    drift(breakers, START + 1800)
    breakers.half_open(START + 1801)
    assert state(breakers, START + 1801) is State.PROBING
    breakers = Breakers(LIMITS)
    for second in range(3):
        drift(breakers, START + second)
    breakers.half_open(START + 3)
    assert not drift(breakers, START + 4)


def test_limits_come_from_the_spec() -> None:
    assert Limits.of(api.Breaker()) == LIMITS


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="no-list"),
        pytest.param([1, [], None, {}], id="no-entries"),
        pytest.param([{"key": "u"}], id="no-path"),
        pytest.param([{"key": "u", "path": "/a", "openedAt": 1}], id="time-as-number"),
        pytest.param([{"key": "u", "path": "/a", "openedAt": "2026-01-01T00:00:00"}], id="time-without-zone"),
        pytest.param([{"key": "u", "path": "/a", "openedAt": "soon"}], id="no-time"),
        pytest.param([{"key": "u", "path": "/a", "repairs": [True]}], id="repair-as-truth"),
        pytest.param([{"key": "u", "path": 5, "openedAt": "2026-01-01T00:00:00Z"}], id="path-as-number"),
        pytest.param([{"key": "u", "path": "/a", "openedAt": "2026-01-01T00:00:00Z", "repairs": 1}], id="repairs-as-number"),
    ],
)
def test_a_saved_state_that_cannot_be_read_keeps_nobody_from_repairing(saved: Any) -> None:
    breakers = Breakers.load(saved, LIMITS)
    assert drift(breakers, START, Key("u", "/a"))


def test_open_breakers_are_remembered_first_and_a_single_repair_is_not() -> None:
    breakers = Breakers(LIMITS)
    for number in range(3):
        drift(breakers, START - 5, Key("uid", f"/data/{number:03}"))
    for second in range(2):
        drift(breakers, START - 3 + second, Key("uid", "/data/000"))
    for second in range(4):
        drift(breakers, START - 3 + second, OTHER)
    assert [key for key, _ in breakers.remembered(START)] == [OTHER, Key("uid", "/data/000")]


def saved(breakers: Breakers, now: float) -> list[dict[str, Any]]:
    """What the status holds of them."""
    return [to_json(key, breaker) for key, breaker in breakers.remembered(now)]


# -- random histories ---------------------------------------------------------------------------------------------------

KEYS = (REPLICAS, IMAGE, OTHER)
LIMITS_OF_ALL_SHAPES = st.builds(Limits, st.integers(1, 5), st.sampled_from((10.0, 60.0, 600.0)), st.sampled_from((10.0, 90.0, 1800.0)))
GAPS = st.one_of(st.just(0.0), st.floats(0, 5), st.floats(0, 120), st.sampled_from((10.0, 60.0, 90.0, 600.0, 1800.0)))


@dataclass
class Plain:
    """The model: keeps everything that ever happened to one field, and looks through it each time."""

    limits: Limits
    writes: list[float] = field(default_factory=list)
    """Since the last fight was over."""
    opened: float | None = None
    probe: float | None = None

    def see(self, now: float) -> bool:
        """A drift is seen; whether it is repaired."""
        self.forgive(now)
        if self.opened is None:
            recent = [at for at in self.writes if now - at < self.limits.within_seconds]
            if len(recent) < self.limits.reversals:
                self.writes.append(now)
                return True
            self.opened = now
        elif self.probe is not None:
            self.opened, self.probe = now, None
        elif now - self.opened >= self.limits.half_open_after_seconds:
            self.probe = now
            return True
        return False

    def settle(self, now: float) -> None:
        """It is seen as declared."""
        self.forgive(now)
        if self.opened is not None and self.probe is None:
            self.probe = now

    def forget(self, now: float) -> None:
        """A restart: a single repair is not worth remembering."""
        self.forgive(now)
        if self.opened is None and sum(now - at < self.limits.within_seconds for at in self.writes) <= 1:
            self.writes = []

    def forgive(self, now: float) -> None:
        if self.probe is not None and now - self.probe >= self.limits.within_seconds:
            self.writes, self.opened, self.probe = [], None, None


EVENTS = st.lists(st.tuples(GAPS, st.sampled_from(KEYS), st.sampled_from(("drift", "drift", "drift", "settle", "restart"))), max_size=60)


@given(limits=LIMITS_OF_ALL_SHAPES, events=EVENTS)
def test_it_does_what_the_plain_model_does(limits: Limits, events: list[tuple[float, Key, str]]) -> None:
    # Whole multiples of 1/64 are exact in binary and in microseconds, so that sums and differences of times agree, and what is saved is what is loaded.
    breakers, now = Breakers(limits), START
    models = {key: Plain(limits) for key in KEYS}
    for gap, key, what in events:
        now += round(gap * 64) / 64
        if what == "drift":
            assert drift(breakers, now, key) == models[key].see(now)
        elif what == "settle":
            breakers.settle({key.object}, {other.path for other in KEYS if other.object == key.object and other != key}, now)
            models[key].settle(now)
        else:
            breakers = Breakers.load(saved(breakers, now), limits)
            for model in models.values():
                model.forget(now)


@given(limits=LIMITS_OF_ALL_SHAPES, gaps=st.lists(GAPS, min_size=1, max_size=300))
def test_no_interval_holds_more_writes_than_repairs_and_probes(limits: Limits, gaps: list[float]) -> None:
    breakers, now, writes = Breakers(limits), START, []
    for gap in gaps:
        now += gap
        if drift(breakers, now):
            writes.append(now)
    within = limits.within_seconds
    probes = int(within / limits.half_open_after_seconds) + 1
    for at in writes:
        assert sum(at <= other < at + within for other in writes) <= limits.reversals + probes


@given(limits=LIMITS_OF_ALL_SHAPES, seconds=st.integers(1, 7200))
def test_a_rival_that_undoes_us_at_once_sees_a_handful_of_writes_and_then_only_probes(limits: Limits, seconds: int) -> None:
    breakers = Breakers(limits)
    writes = sum(drift(breakers, START + second) for second in range(seconds))
    assert writes <= limits.reversals + seconds / limits.half_open_after_seconds


@given(limits=LIMITS_OF_ALL_SHAPES, keys=st.lists(st.builds(Key, st.sampled_from("ab"), st.text(max_size=5)), unique=True, max_size=30))
def test_the_first_drifts_of_distinct_fields_are_all_repaired(limits: Limits, keys: list[Key]) -> None:
    breakers = Breakers(limits)
    assert all(drift(breakers, START, key) for key in keys)
    assert breakers.open(START) == {}


@given(limits=LIMITS_OF_ALL_SHAPES, events=st.lists(st.tuples(GAPS, st.sampled_from(KEYS), st.text(max_size=200)), max_size=60))
def test_a_saved_state_is_the_same_when_it_is_loaded(limits: Limits, events: list[tuple[float, Key, str]]) -> None:
    breakers, now = Breakers(limits), START
    for gap, key, manager in events:
        now += round(gap * 64) / 64
        drift(breakers, now, key, manager)
    loaded = Breakers.load(saved(breakers, now), limits)
    assert (loaded.remembered(now), loaded.open(now)) == (breakers.remembered(now), breakers.open(now))
    assert all(len(breaker.rival) <= 128 for breaker in loaded.open(now).values())


@given(
    json=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers(-(2**60), 2**60) | st.text(max_size=4) | st.just("2026-01-01T00:00:00Z"),
        lambda x: (
            st.lists(x, max_size=7) | st.dictionaries(st.sampled_from(("key", "path", "openedAt", "probedAt", "repairs", "manager")), x)
        ),
    )
)
def test_any_json_can_be_loaded(json: Any) -> None:
    breakers = Breakers.load([json], LIMITS)
    breakers.allows(REPLICAS, START, "rival")
    assert isinstance(saved(breakers, START), list)


@given(
    repairs=st.lists(st.tuples(st.floats(0, 2 * START) | st.floats(START, START + 100), st.booleans()), max_size=25),
    now=st.floats(0, 2 * START),
)
def test_history_stays_bounded_wherever_the_clock_jumps_and_whoever_writes_without_asking(
    repairs: list[tuple[float, bool]], now: float
) -> None:
    breaker = Breaker()
    for at, asked in repairs:
        breaker = breaker.drifted(at, "rival", LIMITS) if asked else breaker
        breaker = breaker.note(at, "rival", LIMITS)
        assert len(breaker.repairs) <= LIMITS.reversals
    later = breaker.drifted(now, "rival", LIMITS)
    assert all(at <= now for at in (*later.repairs, later.opened_at or 0.0, later.probed_at or 0.0))
