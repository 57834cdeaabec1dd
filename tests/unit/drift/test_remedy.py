"""The remedy for the drifts of one object.

Aspects: each row of the table in drift/remedy.py, and which one stands when several hold · several drifts of one object, and what its apply leaves out ·
what concerns the object as a whole · when something held is looked at again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.drift import Breaker, Drift, DriftAction, Rule, Severity
from cvstate_operator.drift import ignores, rules
from cvstate_operator.drift.breaker import Breakers, Key, Limits
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import DriftLedger, State
from cvstate_operator.drift.remedy import Case, Policy, Remedy, remedy
from cvstate_operator.objects.identity import ObjectRef

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WEB = ObjectRef("apps", "Deployment", "shop", "web")
BODY: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"a.io/x": "1"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "main", "image": "web:1"}]}}},
}


def drift(path: str = "/spec/replicas", *, desired: Any = 2, live: Any = 5, manager: str = "kubectl-edit") -> FieldDrift:
    return FieldDrift(path, desired, live, manager, "2026-01-01T00:00:00Z", is_held=bool(path and manager) and live is not None)


REPLICAS = drift()
IMAGE = drift("/spec/template/spec/containers/0/image", desired="web:1", live="web:2")
NOTE = drift("/metadata/annotations/a.io~1x", desired="1", live="9")
LABEL = drift("/metadata/labels/app", desired="web", live="x")
GONE = drift("", desired="present", live=None, manager="")
INSIDE = drift("", desired=None, live=None)
TAKEN = drift(live=2)
"""The value is as declared, but another manager's."""


class Around:
    """Everything that decides on the remedy."""

    def __init__(self, **spec: Any) -> None:
        self.spec = Drift.model_validate(spec)
        self.ledger = DriftLedger()
        self.breakers = Breakers(Limits.of(self.spec.breaker))
        self.yields = self.is_blocked = False
        self.approved: set[str] = set()

    def find(self, *drifts: FieldDrift, now: datetime = NOW) -> Remedy:
        ignored = ignores.select(self.spec.ignore, WEB, {})
        policy = Policy(self.spec, self.yields, self.is_blocked, lambda drift: drift.path in self.approved)
        found = remedy(Case(WEB, "uid-1", BODY, ignored, drifts), policy, self.ledger, self.breakers, now)
        self.ledger.note(WEB, found.entries)
        return found

    def fought(self, path: str = REPLICAS.path) -> "Around":
        """The field was repaired so often that its breaker opens with the next drift."""
        for _ in range(self.spec.breaker.reversals):
            self.breakers.note(Key.of(WEB, "uid-1", path), NOW.timestamp(), "hpa")
        return self


def rule(action: str, severity: str | None = None, **match: list[str]) -> dict[str, Any]:
    return {"match": match, "severity": severity, "action": action}


def states(found: Remedy) -> dict[str, State]:
    return {entry.drift.path: entry.state for entry in found.entries}


def state(found: Remedy) -> State | None:
    """Of the only drift; None if it is not reported."""
    return next(iter(states(found).values()), None)


# -- the table ---------------------------------------------------------------------------------------------------------


def test_without_a_word_a_drift_is_repaired() -> None:
    found = Around().find(REPLICAS)
    assert (state(found), found.repaired, found.left_out, found.again_at) == (State.REPAIRING, (REPLICAS,), (), None)


def test_what_the_spec_ignores_is_not_reported_and_is_the_business_of_whoever_applies() -> None:
    found = Around(ignore=[{"paths": ["/spec/replicas"]}]).find(REPLICAS, LABEL)
    assert (states(found), found.ignored) == ({LABEL.path: State.REPAIRING}, ())


def test_what_a_rule_ignores_is_not_reported_and_left_out() -> None:
    found = Around(rules=[rule("Ignore")]).find(REPLICAS)
    assert (found.entries, found.ignored, found.left_out, found.repaired) == ((), (REPLICAS.path,), (REPLICAS.path,), ())


def test_what_a_rule_alerts_of_is_reported_and_left_out() -> None:
    found = Around(rules=[rule("Alert", "Critical")]).find(REPLICAS)
    assert (state(found), found.entries[0].severity, found.left_out) == (State.ALERTED, Severity.CRITICAL, (REPLICAS.path,))


def test_what_has_to_be_approved_waits_until_it_is() -> None:
    around = Around(rules=[rule("Approve")])
    assert state(around.find(REPLICAS)) is State.AWAITING_APPROVAL
    around.approved = {LABEL.path}
    assert state(around.find(REPLICAS)) is State.AWAITING_APPROVAL
    around.approved = {REPLICAS.path}
    found = around.find(REPLICAS)
    assert (state(found), found.entries[0].action) == (State.REPAIRING, DriftAction.APPROVE)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(REPLICAS, State.YIELDED, id="another-holds-it"),
        pytest.param(drift(live=None, manager=""), State.REPAIRING, id="it-is-gone"),
        pytest.param(drift(live=None), State.REPAIRING, id="it-was-removed"),
        pytest.param(drift(manager=""), State.REPAIRING, id="nobody-knows-who"),
        pytest.param(GONE, State.REPAIRING, id="the-object-is-gone"),
    ],
)
def test_only_what_another_holds_is_yielded(one: FieldDrift, expected: State) -> None:
    around = Around()
    around.yields = True
    assert state(around.find(one)) is expected


def test_while_nothing_may_be_written_drift_is_reported_and_held() -> None:
    around = Around()
    around.is_blocked = True
    found = around.find(REPLICAS)
    assert (state(found), found.repaired, found.again_at) == (State.HELD, (), None)


def test_a_young_drift_is_looked_at_again_when_it_is_old_enough() -> None:
    around = Around(transientFor="30s")
    found = around.find(REPLICAS)
    assert (state(found), found.again_at) == (State.TRANSIENT, NOW + timedelta(seconds=30))
    assert state(around.find(REPLICAS, now=NOW + timedelta(seconds=29.9))) is State.TRANSIENT
    assert state(around.find(REPLICAS, now=NOW + timedelta(seconds=30))) is State.REPAIRING


def test_a_fight_ends_with_the_breaker_and_is_taken_up_with_one_probe() -> None:
    around = Around(breaker={"reversals": 2, "within": "10m", "halfOpenAfter": "30m"}).fought()
    found = around.find(REPLICAS)
    assert (state(found), found.again_at) == (State.BREAKER_OPEN, NOW + timedelta(minutes=30))
    later = NOW + timedelta(minutes=30)
    assert state(around.find(REPLICAS, now=later)) is State.REPAIRING
    around.breakers.note(Key.of(WEB, "uid-1", REPLICAS.path), later.timestamp(), "hpa")
    assert state(around.find(REPLICAS, now=later + timedelta(minutes=1))) is State.BREAKER_OPEN


def test_a_fight_over_one_field_leaves_the_others_repaired() -> None:
    found = Around().fought().find(REPLICAS, LABEL)
    assert states(found) == {REPLICAS.path: State.BREAKER_OPEN, LABEL.path: State.REPAIRING}
    assert (found.repaired, found.left_out) == ((LABEL,), (REPLICAS.path,))


ROWS: list[tuple[str, State | None]] = [
    ("rule-ignore", None),
    ("alert", State.ALERTED),
    ("approve", State.AWAITING_APPROVAL),
    ("yields", State.YIELDED),
    ("blocked", State.HELD),
    ("young", State.TRANSIENT),
    ("fought", State.BREAKER_OPEN),
    ("plain", State.REPAIRING),
]
_RULES = {"rule-ignore": "Ignore", "alert": "Alert", "approve": "Approve"}


@pytest.mark.parametrize("first", range(len(ROWS)), ids=[name for name, _ in ROWS])
@pytest.mark.parametrize("second", range(len(ROWS)), ids=[name for name, _ in ROWS])
def test_of_two_rows_that_hold_the_first_one_stands(first: int, second: int) -> None:
    names = {ROWS[first][0], ROWS[second][0]}
    around = Around(
        rules=[rule(_RULES[name]) for name, _ in ROWS if name in names & _RULES.keys()], transientFor="1m" if "young" in names else "0s"
    )
    around.yields, around.is_blocked = "yields" in names, "blocked" in names
    if "fought" in names:
        around.fought()
    assert state(around.find(REPLICAS)) is ROWS[min(first, second)][1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_value_that_is_as_declared_is_taken_back_or_left_alone_without_a_word(row: tuple[str, State | None]) -> None:
    name = row[0]
    around = Around(rules=[rule(_RULES[name])] if name in _RULES else [], transientFor="1m" if name == "young" else "0s")
    around.yields, around.is_blocked = name == "yields", name == "blocked"
    if name == "fought":
        around.fought()
    found = around.find(TAKEN)
    if name == "plain":
        assert found.repaired == (TAKEN,)
    else:
        assert (found.entries, found.ignored, found.repaired) == ((), (TAKEN.path,), ())


# -- several drifts of one object ----------------------------------------------------------------------------------------

MIXED = [
    rule("Approve", paths=["/**/image"]),
    rule("Ignore", paths=["/metadata/annotations"]),
    rule("Alert", "Critical", paths=["/spec/replicas"]),
]


def test_the_drifts_of_one_object_are_each_treated_by_their_own_rule() -> None:
    found = Around(rules=MIXED).find(IMAGE, NOTE, LABEL, REPLICAS)
    assert states(found) == {IMAGE.path: State.AWAITING_APPROVAL, LABEL.path: State.REPAIRING, REPLICAS.path: State.ALERTED}
    assert found.repaired == (LABEL,)
    assert found.left_out == (NOTE.path, REPLICAS.path, IMAGE.path)


def test_nothing_is_written_if_nothing_is_to_be_repaired() -> None:
    assert Around(rules=MIXED).find(IMAGE, NOTE, REPLICAS).repaired == ()


def test_what_was_consented_to_is_repaired_and_the_rest_stays_left_out() -> None:
    around = Around(rules=MIXED)
    around.approved = {IMAGE.path, REPLICAS.path}
    found = around.find(IMAGE, NOTE, REPLICAS)
    assert (found.repaired, found.left_out) == ((IMAGE,), (NOTE.path, REPLICAS.path))


@pytest.mark.parametrize("whole", [GONE, INSIDE], ids=["gone", "inside-a-field-of-ours"])
def test_a_held_drift_of_the_whole_object_holds_every_write_to_it(whole: FieldDrift) -> None:
    around = Around(rules=[rule("Auto", paths=["/metadata/labels"]), rule("Approve")])
    found = around.find(whole, LABEL)
    assert states(found) == {"": State.AWAITING_APPROVAL, LABEL.path: State.REPAIRING}
    assert found.repaired == ()
    around.approved = {""}
    assert around.find(whole, LABEL).repaired == (whole, LABEL)


def test_an_ignored_drift_of_the_whole_object_holds_every_write_to_it() -> None:
    found = Around(rules=[rule("Ignore", managers=["kubectl-edit"])]).find(INSIDE, drift(manager="x"))
    assert found.repaired == ()


def test_no_drift_is_nothing_to_do() -> None:
    found = Around(rules=MIXED).find()
    assert (found, found.repaired, found.left_out) == (Remedy(), (), ())


def test_it_is_looked_at_again_when_the_first_of_several_is_due() -> None:
    around = Around(transientFor="30s")
    around.find(REPLICAS)
    found = around.find(REPLICAS, LABEL, now=NOW + timedelta(seconds=10))
    assert found.again_at == NOW + timedelta(seconds=30)


def test_a_severity_comes_from_the_rule_or_from_the_field() -> None:
    found = Around(rules=[rule("Auto", "Low", paths=["/**/image"])]).find(IMAGE, GONE)
    assert [entry.severity for entry in found.entries] == [Severity.LOW, Severity.HIGH]


RULES = st.lists(
    st.builds(
        lambda action, paths, managers: rule(action, None, paths=paths, managers=managers),
        st.sampled_from([str(action) for action in DriftAction]),
        st.lists(st.sampled_from(["/spec", "/**/image", "/metadata/*", "/spec/replicas"]), max_size=2),
        st.lists(st.sampled_from(["hpa", "kubectl*", "*"]), max_size=2),
    ),
    max_size=5,
)
DRIFTS = st.lists(st.sampled_from([IMAGE, NOTE, LABEL, REPLICAS, INSIDE]), unique=True)


@given(RULES, DRIFTS, st.booleans(), st.booleans(), st.sets(st.sampled_from([IMAGE.path, LABEL.path])))
def test_every_drift_is_reported_or_ignored_and_what_is_repaired_is_never_left_out(
    given_rules: list[dict[str, Any]], drifts: list[FieldDrift], yields: bool, blocked: bool, approved: set[str]
) -> None:
    around = Around(rules=given_rules)
    around.yields, around.is_blocked, around.approved = yields, blocked, approved
    found = around.find(*drifts)
    assert sorted([*found.ignored, *states(found)]) == sorted(one.path for one in drifts)
    assert not {one.path for one in found.repaired} & set(found.left_out)
    assert not (found.repaired and blocked)
    for entry in found.entries:
        verdict = rules.decide([Rule.model_validate(one) for one in given_rules], entry.drift, WEB, BODY)
        assert (entry.action, entry.severity) == (verdict.action, verdict.severity)


def test_the_defaults_of_the_breaker_are_those_of_the_spec() -> None:
    assert Around().breakers.limits == Limits.of(Breaker())
