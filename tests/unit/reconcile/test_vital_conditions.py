"""Healthy, TelemetryComplete and Accepted, from outcomes.

Aspects: which of several things Healthy tells · what is not known is never healthy · TelemetryComplete where anything should tell something · Accepted as the verdict
says · what is told while a pass is under way.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.conditions import Condition, ConditionType
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan import history
from cvstate_operator.reconcile import report
from cvstate_operator.reconcile.health import Health, health_of
from cvstate_operator.reconcile.outcome import Held, Outcome
from cvstate_operator.reconcile.vital_conditions import conditions, healthy
from cvstate_operator.reconcile.vital_stage import VitalStage
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital import signals
from cvstate_operator.vital.health.lapses import Lapses
from cvstate_operator.vital.health.state import Readiness, Reason, failed, in_progress, unknown
from cvstate_operator.vital.reading import Gap, Reading, gap
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, ref
from tests.unit.reconcile.vital_specs import ERRORS, converged, watching

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
WEB, A = ref("web", of=DEPLOYMENT), ref("a")
BROKEN, UNDER_WAY = failed(Reason.CRASH_LOOP, "crashes"), in_progress(Reason.REPLICAS_NOT_READY, "0 of 1 replicas are ready")
ODD = unknown(Reason.MALFORMED, "status is no object")
OF = watching(ERRORS)
PLAIN = converged(kinds=(CONFIG_MAP.gvk.group_kind, DEPLOYMENT.gvk.group_kind))


def health(
    found: Mapping[ObjectRef, Readiness | None], *, blind: Gap | None = None, all_blind: bool = False, minutes: float = 0.0
) -> Health:
    """As it is `minutes` after these were found; None: it is missing. `blind`: why workloads, or all objects, cannot be seen."""
    lapses = Lapses(300.0)
    for one, readiness in found.items():
        if readiness is None:
            lapses.note_missing(one, NOW - timedelta(minutes=minutes))
        else:
            lapses.note(one, readiness, NOW - timedelta(minutes=minutes))
    lapses.advance(NOW)
    hidden = (DEPLOYMENT, CONFIG_MAP) if all_blind else (DEPLOYMENT,)
    kinds = {one.gvk.group_kind: blind for one in hidden} if blind else {}
    declared = {DEPLOYMENT.gvk.group_kind: max(2, len(found)), CONFIG_MAP.gvk.group_kind: 1}
    unready = {one: readiness for one, readiness in found.items() if readiness}
    return Health(health_of(unready), kinds, lapses.counts(declared, blind=frozenset(kinds)), lapses.worst(), lapses.open, lapses.oldest())


def measured(value: float | Gap | None) -> Signals:
    """The one signal; None: nobody asked."""
    one = OF.vital.signals[0]
    if value is None:
        return Signals(((one, None),))
    reading = gap(value, "no answer", asked_at=NOW) if isinstance(value, Gap) else Reading(NOW, value, value, taken_at=NOW)
    return Signals(((one, signals.judge(one, None, reading, NOW)),))


def judged(outcome: Outcome, known: Signals | None = None, *, causes: Mapping[ObjectRef, str] | None = None) -> Outcome:
    stage = VitalStage(status={}, now=NOW)
    return replace(outcome, vitals=stage.judge(OF, outcome, known or Signals(), pods=(), causes=causes or {}, now=NOW))


def begun(stage: history.Stage) -> tuple[history.Entry, ...]:
    return (history.Entry("main@sha1:" + "1" * 40, "1" * 40, NOW, stage),)


# -- what Healthy tells ------------------------------------------------------------------------------------------------

HEALTHY_REVISION: dict[str, Any] = {"history": begun(history.Stage.HEALTHY)}
Change = Callable[[Outcome], Outcome]
WELL = ("True", "Healthy")

CASES: dict[str, tuple[Outcome, Signals | None, tuple[str, str]]] = {
    "all well": (PLAIN, measured(0.001), WELL),
    "all well, and nothing is measured": (PLAIN, None, WELL),
    "nothing was looked at": (replace(PLAIN, evaluated=False, kinds=()), measured(0.5), ("Unknown", "NotEvaluated")),
    "a newer commit cannot be rendered": (replace(PLAIN, evaluated=False, health=health({WEB: BROKEN})), None, ("False", "Degraded")),
    "missing": (replace(PLAIN, missing=(A,), health=health({A: None})), None, ("False", "Degraded")),
    "failed": (replace(PLAIN, health=health({WEB: BROKEN})), None, ("False", "Degraded")),
    "degraded": (replace(PLAIN, health=health({WEB: UNDER_WAY}, minutes=6)), None, ("False", "Degraded")),
    "signal breached": (PLAIN, measured(0.5), ("False", "SignalBreached")),
    "on its way in a roll-out": (
        replace(PLAIN, health=health({WEB: UNDER_WAY}), history=begun(history.Stage.APPLIED)),
        None,
        ("False", "Progressing"),
    ),
    "on its way later on": (replace(PLAIN, health=health({WEB: UNDER_WAY}), **HEALTHY_REVISION), None, WELL),
    "not understood": (replace(PLAIN, health=health({WEB: ODD}), **HEALTHY_REVISION), None, ("Unknown", "NotEvaluated")),
    "a kind may not be seen": (replace(PLAIN, health=health({}, blind=Gap.REFUSED)), None, ("Unknown", "TelemetryGap")),
    "a kind is not told of": (replace(PLAIN, health=health({}, blind=Gap.UNREACHABLE)), None, ("Unknown", "TelemetryGap")),
    "no kind may be seen": (replace(PLAIN, health=health({}, blind=Gap.REFUSED, all_blind=True)), None, ("Unknown", "TelemetryGap")),
    "no kind is told of": (
        replace(PLAIN, health=health({}, blind=Gap.UNREACHABLE, all_blind=True)),
        None,
        ("Unknown", "TargetUnreachable"),
    ),
    "not ours yet": (replace(PLAIN, held=Held(creates=1)), None, ("Unknown", "NotEvaluated")),
    "not applied": (replace(PLAIN, unjudged=(A,)), None, ("Unknown", "NotEvaluated")),
    "signal without data": (PLAIN, measured(Gap.UNREACHABLE), ("Unknown", "TelemetryGap")),
    "signal that nobody asked for": (PLAIN, measured(None), ("Unknown", "TelemetryGap")),
}


@pytest.mark.parametrize(("outcome", "known", "expected"), CASES.values(), ids=CASES)
def test_healthy_is(outcome: Outcome, known: Signals | None, expected: tuple[str, str]) -> None:
    found = healthy(judged(outcome, known))
    assert (found.word, found.reason) == expected
    assert found.message
    assert "\n" not in found.message


ORDER: tuple[tuple[str, Change, Signals | None], ...] = (
    ("NotEvaluated", lambda one: replace(one, evaluated=False, kinds=()), None),
    ("Degraded", lambda one: replace(one, health=health({WEB: BROKEN}, blind=Gap.REFUSED)), None),
    ("SignalBreached", lambda one: one, measured(0.5)),
    ("Progressing", lambda one: replace(one, health=health({WEB: UNDER_WAY})), None),
    ("NotEvaluated", lambda one: replace(one, unjudged=(A,)), None),
    ("TelemetryGap", lambda one: one, measured(Gap.NO_DATA)),
)


@pytest.mark.parametrize(("worse", "better"), list(pairwise(ORDER)), ids=[f"{a[0]}-{b[0]}" for a, b in pairwise(ORDER)])
def test_what_is_worse_is_told_first(worse: tuple[str, Change, Signals | None], better: tuple[str, Change, Signals | None]) -> None:
    outcome = worse[1](better[1](PLAIN))
    assert healthy(judged(outcome, worse[2] or better[2])).reason == worse[0]


def test_the_worst_object_is_named_with_its_cause_and_the_others_are_counted() -> None:
    refs = [ref(f"w{number}", of=DEPLOYMENT) for number in range(3)]
    found = healthy(judged(replace(PLAIN, health=health(dict.fromkeys(refs, BROKEN))), causes={refs[0]: "Pod w0-x: OOMKilled"}))
    assert found.message == f"{refs[0]}: crashes; Pod w0-x: OOMKilled (and 2 more)"


def test_before_vitals_are_there_only_health_is_told() -> None:
    assert [one.type for one in conditions(PLAIN)] == [ConditionType.HEALTHY]


def test_all_that_are_not_known_are_counted() -> None:
    refs = [ref(f"w{number:02}", of=DEPLOYMENT) for number in range(50)]
    found = healthy(judged(replace(PLAIN, health=health(dict.fromkeys(refs, ODD)), **HEALTHY_REVISION)))
    assert "(and 49 more)" in found.message


# -- the others --------------------------------------------------------------------------------------------------------


def named(outcome: Outcome, kind: ConditionType) -> Condition | None:
    return next((one for one in conditions(outcome) if one.type == kind), None)


def test_kinds_are_sources_of_telemetry_without_signals() -> None:
    found = named(judged(PLAIN), ConditionType.TELEMETRY_COMPLETE)
    assert found is not None
    assert (found.word, found.reason) == ("True", "TelemetryComplete")


def test_where_nothing_should_tell_anything_nothing_is_said_of_it() -> None:
    assert named(judged(replace(PLAIN, desired=0, members=0, kinds=())), ConditionType.TELEMETRY_COMPLETE) is None


@pytest.mark.parametrize(("value", "word"), [(0.001, "True"), (0.5, "True"), (Gap.STALE, "False"), (None, "False")])
def test_telemetry_is_complete_when_every_signal_tells_something(value: float | Gap | None, word: str) -> None:
    found = named(judged(PLAIN, measured(value)), ConditionType.TELEMETRY_COMPLETE)
    assert found is not None
    assert found.word == word
    assert ("signal errors" in found.message) is (word == "False")


@pytest.mark.parametrize("why", [Gap.REFUSED, Gap.UNREACHABLE])
@pytest.mark.parametrize("known", [None, measured(0.001)], ids=["without signals", "with a signal"])
def test_a_kind_that_cannot_be_seen_is_a_gap_as_well_and_is_told_with_its_cause(why: Gap, known: Signals | None) -> None:
    found = named(judged(replace(PLAIN, health=health({}, blind=why)), known), ConditionType.TELEMETRY_COMPLETE)
    assert found is not None
    assert (found.word, found.reason) == ("False", "TelemetryGap")
    assert f"objects {DEPLOYMENT.gvk.group_kind} ({why})" in found.message
    assert f"{DEPLOYMENT.gvk.group_kind} ({why})" in healthy(judged(replace(PLAIN, health=health({}, blind=why)), known)).message


@pytest.mark.parametrize(
    ("outcome", "word"),
    [(PLAIN, "True"), (replace(PLAIN, evaluated=False, kinds=()), "Unknown"), (replace(PLAIN, failing=(A,)), "False")],
    ids=["well", "not-evaluated", "not-applied"],
)
def test_accepted_says_what_the_verdict_says(outcome: Outcome, word: str) -> None:
    found = judged(outcome, measured(0.001))
    told = named(found, ConditionType.ACCEPTED)
    assert told is not None
    assert found.vitals is not None
    verdict = found.vitals.verdict
    assert (told.word, told.status, told.reason, told.message) == (word, verdict.status, verdict.reason, verdict.message)


# -- while a pass is under way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_broken", [False, True], ids=["announced", "broken"])
def test_what_was_said_of_the_whole_stays_while_a_pass_is_under_way(is_broken: bool) -> None:
    outcome = judged(PLAIN, measured(0.001))
    before = report.status(outcome, previous={}, generation=1, handled_at=None, now="2026-01-01T12:00:00Z")
    now = "2026-01-01T12:05:00Z"
    if is_broken:
        after = report.broken(errors.ServerError("HTTP 500"), previous=before, generation=1, now=now)
    else:
        after = report.progressing(before, generation=1, message="applying", now=now)
    kept = {one["type"]: one["status"] for one in after["conditions"]}
    assert kept.get("Accepted") == "True"
    assert kept.get("TelemetryComplete") == "True"
