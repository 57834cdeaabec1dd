"""The report.

Aspects: conditions for each situation · what the status says and how large it gets · texts are stable · revisions move only when they are reached ·
what waits, and for whom · events only for news · Secrets stay secret · signatures · evidence of the render · work in progress · a spec that makes no
sense · a pass that broke off · what was wrong and is not over.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from cvstate_operator import errors
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.breaker import Breaker, Key
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan import gates
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item, plan_digest
from cvstate_operator.plan.gates import Block
from cvstate_operator.plan.history import Entry as Begun
from cvstate_operator.plan.history import History
from cvstate_operator.plan.history import Stage as Reached
from cvstate_operator.plan.prune import Kept, Pruning, Waiting
from cvstate_operator.plan.waves import Frontier
from cvstate_operator.plan.windows import ActionState, WindowState
from cvstate_operator.reconcile import events as told
from cvstate_operator.reconcile import report, wording
from cvstate_operator.reconcile.health import Health, health_of
from cvstate_operator.reconcile.outcome import Consent, Done, Fight, Held, Outcome, Render, Waits
from cvstate_operator.reconcile.teardown_stage import Departure
from cvstate_operator.vital.health import state
from cvstate_operator.vital.health.lapses import Lapses
from cvstate_operator.vital.health.state import Readiness
from cvstate_operator.vital.reading import Gap
from tests.unit.builders import DEPLOYMENT, SECRET, artifact, live, problem, ref
from tests.unit.reconcile.vital_specs import converged

NOW = "2026-01-01T12:00:00Z"
LATER = "2026-01-01T13:00:00Z"
FIRST, SECOND = artifact("1" * 40), artifact("2" * 40)
CONVERGED = converged(
    artifact=FIRST, history=(Begun(FIRST.revision, FIRST.commit, datetime(2026, 1, 1, 11, tzinfo=UTC), Reached.HEALTHY, 1.5),)
)
DRIFT = FieldDrift("/spec/replicas", 2, 5, "kubectl", "2026-01-01T11:00:00Z")
SEEN = datetime(2026, 1, 1, 11, 30, tzinfo=UTC)


def entry(drift: FieldDrift = DRIFT, state: State = State.REPAIRING, **changes: Any) -> Entry:
    return replace(Entry(drift, Severity.MEDIUM, DriftAction.AUTO, state, SEEN), **changes)


def drifted(state: State = State.REPAIRING, **changes: Any) -> dict[str, Any]:
    """Of an outcome in which a field of `a` drifted."""
    return {"drift": ((ref("a"), (entry(state=state, **changes),)),)}


def pruned(name: str = "b") -> Change:
    return Change(ref(name), Action.PRUNE, None, live())


def waits(*items: tuple[PlanAction, ObjectRef]) -> Consent:
    found = tuple(Waits(Item(action, of, "uid-1"), "PruneHeld", "why") for action, of in items)
    return Consent(found, plan_digest("uid", (one.item for one in found)))


UNSURE = Pruning(held=(ref("b"),), objection="not every file of the commit could be used")
LIMITS = "2 of 3 objects would go at once, but spec.prune.maxPercent (20 %) allows 1"
CLOSED = Block(gates.Reason.WINDOW_CLOSED, "NewRevision is closed until 2026-01-02T06:00Z: Deny 0 18 * * *")
SUSPENDED = Block(gates.Reason.SUSPENDED, "spec.suspend is true; nothing is written until it is false (cvstate resume NAME -n NAMESPACE)")
STOPPED = Block(gates.Reason.EMERGENCY_STOP, "an EmergencyStop is in force: oops")
OPEN_BREAKER = Fight(Key("uid-1", "/spec/replicas"), "ConfigMap/default/a", Breaker(opened_at=1_767_225_600.0, rival="hpa"))
UNREADY = state.in_progress(state.Reason.REPLICAS_MISSING, "1 of 2 replicas exist")
BROKEN = state.failed(state.Reason.PROGRESS_DEADLINE_EXCEEDED, "its deadline passed")
REFUSAL = replace(problem(reason="FieldConflict", message="kubectl holds data.x"), object=str(ref("a")))
GONE = Entry(FieldDrift("", "present", None, "", ""), Severity.HIGH, DriftAction.APPROVE, State.AWAITING_APPROVAL, SEEN)
REFUSED = errors.FetchFailedError("cannot read https://git.example.com/a: refused")
NO_ACCESS = errors.AuthFailedError("https://git.example.com/a wants other credentials")

WEB = ref("web", of=DEPLOYMENT)


def health(*found: tuple[ObjectRef, Readiness]) -> Health:
    """Of these objects, as they were seen a moment ago."""
    lapses, seen = Lapses(300.0), datetime(2026, 1, 1, tzinfo=UTC)
    for one, readiness in found:
        lapses.note(one, readiness, seen)
    return Health(
        health_of(dict(found)), counts=lapses.counts({DEPLOYMENT.gvk.group_kind: len(found)}), worst=lapses.worst(), lapses=lapses.open
    )


OUTCOMES = {
    "converged": CONVERGED,
    "problem-that-may-pass": replace(CONVERGED, problems=(problem(retryable=True),)),
    "problem-for-a-human": replace(CONVERGED, problems=(problem(),)),
    "problems-of-both-kinds": replace(CONVERGED, problems=(problem(1), problem(2, reason="ServerError", retryable=True))),
    "source-that-may-come-back": replace(CONVERGED, source_error=REFUSED),
    "source-for-a-human": replace(CONVERGED, source_error=NO_ACCESS),
    "never-read": replace(CONVERGED, artifact=None, evaluated=False, digest="", desired=0, members=0),
    "never-read-and-refused": replace(CONVERGED, artifact=None, evaluated=False, source_error=REFUSED),
    "open-drift": replace(CONVERGED, **drifted()),
    "drift-for-a-human": replace(CONVERGED, **drifted(State.ALERTED)),
    "drift-to-approve": replace(CONVERGED, **drifted(State.AWAITING_APPROVAL), consent=waits((PlanAction.DRIFT, ref("a")))),
    "drift-to-approve-while-suspended": replace(
        CONVERGED,
        **drifted(State.AWAITING_APPROVAL),
        consent=waits((PlanAction.DRIFT, ref("a"))),
        held=Held(block=SUSPENDED),
        blocks=dict.fromkeys(WindowAction, SUSPENDED),
    ),
    "drift-to-approve-outside-a-window": replace(
        CONVERGED,
        **drifted(State.AWAITING_APPROVAL),
        consent=waits((PlanAction.DRIFT, ref("a"))),
        held=Held(block=CLOSED),
        blocks=dict.fromkeys(WindowAction, CLOSED),
    ),
    "drift-left-alone": replace(CONVERGED, **drifted(State.BREAKER_OPEN), fights=(OPEN_BREAKER,)),
    "unpruned": replace(CONVERGED, pruning=UNSURE),
    "prune-to-approve": replace(
        CONVERGED,
        pruning=Pruning(waiting=(Waiting((pruned("b"), pruned("c")), LIMITS),)),
        consent=waits((PlanAction.PRUNE, ref("b")), (PlanAction.PRUNE, ref("c"))),
    ),
    "prune-later": replace(
        CONVERGED, pruning=Pruning(deferred=(pruned(),), deferral="Prune is closed"), blocks={WindowAction.PRUNE: CLOSED}
    ),
    "pending": replace(CONVERGED, pending=(ref("b"),)),
    "kept": replace(CONVERGED, pruning=Pruning(kept=(Kept((ref("b"), ref("c")), "spec.prune.enabled: false; delete them yourself"),))),
    "window-closed": replace(CONVERGED, held=Held(SECOND, block=CLOSED)),
    "stopped": replace(CONVERGED, is_rolled_out=False, held=Held(creates=1, updates=2, block=STOPPED)),
    "wave-not-ready": replace(CONVERGED, is_rolled_out=False, held=Held(later=2, frontier=Frontier(1, ref("a"), "1 of 2 replicas exist"))),
    "rolled-back": replace(
        CONVERGED, held=Held(SECOND, is_rollback=True, why="not healthy within 5m: x"), quarantined={SECOND.commit: "x"}
    ),
    "unready": replace(CONVERGED, health=health((WEB, UNREADY)), history=(replace(CONVERGED.history[0], stage=Reached.APPLIED),)),
    "scaled": replace(CONVERGED, health=health((WEB, UNREADY))),
    "refused": replace(CONVERGED, is_rolled_out=False, problems=(REFUSAL,), unjudged=(ref("a"),)),
    "missing": replace(CONVERGED, missing=(ref("b"),), drift=((ref("b"), (GONE,)),), consent=waits((PlanAction.DRIFT, ref("b")))),
    "exempt": replace(CONVERGED, exempt=(ref("b"),)),
    "failed": replace(CONVERGED, health=health((WEB, BROKEN), (ref("api", of=DEPLOYMENT), BROKEN))),
    "render-failed": replace(CONVERGED, evaluated=False, problems=(Problem("", 0, "", "BuildFailed", "reading failed"),)),
}


def status(
    outcome: Outcome, previous: dict[str, Any] | None = None, *, generation: int = 1, handled_at: str | None = None, now: str = NOW
) -> dict[str, Any]:
    return report.status(outcome, previous=previous or {}, generation=generation, handled_at=handled_at, now=now)


def conditions(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Status and reason by type, as written."""
    return {c["type"]: (c["status"], c["reason"]) for c in status(outcome)["conditions"]}


def ready(outcome: Outcome) -> str:
    return next(str(c["message"]) for c in status(outcome)["conditions"] if c["type"] == "Ready")


# -- conditions --------------------------------------------------------------------------------------------------------


WELL = {"SourceReady": ("True", "Fetched"), "Drifted": ("False", "NoDriftDetected"), "Healthy": ("True", "Healthy")}
UNSEEN = {"Drifted": ("Unknown", "NotEvaluated"), "Healthy": ("Unknown", "NotEvaluated")}


def passing(reason: str, **others: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """Not ready, and it may pass by itself."""
    return {**WELL, "Ready": ("False", reason), "Reconciling": ("True", "ProgressingWithRetry"), **others}


def for_a_human(reason: str, **others: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """Not ready, and somebody must act."""
    return {**WELL, "Ready": ("False", reason), "Stalled": ("True", reason), **others}


DRIFTED = ("True", "DriftDetected")
UNKNOWN = {"Ready": ("Unknown", "Progressing"), "Reconciling": ("True", "ProgressingWithRetry")}
EXPECTED = {
    "converged": {**WELL, "Ready": ("True", "Reconciled")},
    "problem-that-may-pass": passing("Invalid"),
    "problem-for-a-human": for_a_human("Invalid"),
    "problems-of-both-kinds": passing("ApplyFailed"),
    "source-that-may-come-back": passing("FetchFailed", SourceReady=("False", "FetchFailed")),
    "source-for-a-human": for_a_human("AuthFailed", SourceReady=("False", "AuthFailed")),
    "never-read": {**WELL, **UNKNOWN, **UNSEEN, "SourceReady": ("Unknown", "Progressing")},
    "never-read-and-refused": passing("FetchFailed", SourceReady=("False", "FetchFailed"), **UNSEEN),
    "open-drift": passing("DriftDetected", Drifted=DRIFTED),
    "drift-for-a-human": for_a_human("DriftDetected", Drifted=DRIFTED),
    "drift-to-approve": for_a_human("AwaitingApproval", Drifted=DRIFTED),
    "drift-to-approve-while-suspended": for_a_human("Suspended", Drifted=DRIFTED),
    "drift-to-approve-outside-a-window": for_a_human("AwaitingApproval", Drifted=DRIFTED),
    "drift-left-alone": for_a_human("BreakerOpen", Drifted=DRIFTED),
    "unpruned": for_a_human("PruneHeld"),
    "prune-to-approve": for_a_human("PruneHeld"),
    "prune-later": passing("PruneHeld"),
    "pending": {**WELL, **UNKNOWN},
    "kept": {**WELL, "Ready": ("True", "Reconciled")},
    "window-closed": passing("WindowClosed"),
    "stopped": for_a_human("EmergencyStop", **UNSEEN),
    "wave-not-ready": passing("WaveNotReady"),
    "rolled-back": for_a_human("RolledBack"),
    "unready": {**WELL, "Ready": ("True", "Reconciled"), "Healthy": ("False", "Progressing")},
    "scaled": {**WELL, "Ready": ("True", "Reconciled")},
    "failed": {**WELL, "Ready": ("True", "Reconciled"), "Healthy": ("False", "Degraded")},
    "refused": for_a_human("FieldConflict", **UNSEEN),
    "missing": for_a_human("AwaitingApproval", Drifted=DRIFTED, Healthy=("False", "Degraded")),
    "exempt": {**WELL, "Ready": ("True", "Reconciled")},
    "render-failed": for_a_human("BuildFailed", **UNSEEN),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_situation_has_its_conditions(name: str) -> None:
    assert conditions(OUTCOMES[name]) == EXPECTED[name]


READY = ["converged", "kept", "unready", "scaled", "exempt", "failed"]

WORKLOAD, SECRETS = DEPLOYMENT.gvk.group_kind, SECRET.gvk.group_kind


def unheard(outcome: Outcome, why: Gap, *kinds: GroupKind) -> Outcome:
    """The same, and nobody tells of objects of these kinds any more, of which two each are declared; Secrets are declared as well."""
    found = replace(outcome.health, blind=dict.fromkeys(kinds, why))
    return replace(outcome, kinds=(SECRETS, WORKLOAD), blind_objects=dict.fromkeys(kinds, 2), health=found)


@pytest.mark.parametrize("why", [Gap.UNREACHABLE, Gap.REFUSED])
def test_of_kinds_that_nobody_tells_of_nobody_says_that_they_are_as_declared(why: Gap) -> None:
    outcome = unheard(CONVERGED, why, WORKLOAD)
    told_of = conditions(outcome)
    assert told_of["Ready"] == told_of["Drifted"] == told_of["Healthy"] == ("Unknown", "TelemetryGap")
    assert "Stalled" not in told_of
    assert told_of["Reconciling"][0] == "True"
    for condition in ("Ready", "Drifted"):
        assert f"Deployment.apps ({why.value})" in message(outcome, condition)
        assert "Secret" not in message(outcome, condition)


def test_an_api_server_that_tells_of_no_kind_is_told_as_away() -> None:
    told_of = conditions(unheard(CONVERGED, Gap.UNREACHABLE, WORKLOAD, SECRETS))
    assert told_of["Ready"] == told_of["Drifted"] == told_of["Healthy"] == ("Unknown", "TargetUnreachable")


def test_what_is_known_to_be_wrong_is_told_before_what_nobody_tells_of() -> None:
    drifted = conditions(unheard(OUTCOMES["open-drift"], Gap.UNREACHABLE, WORKLOAD))
    assert (drifted["Ready"], drifted["Drifted"]) == (("False", "DriftDetected"), DRIFTED)
    refused = unheard(OUTCOMES["refused"], Gap.UNREACHABLE, SECRETS)
    assert conditions(refused)["Drifted"] == ("Unknown", "NotEvaluated")
    assert "Secret (Unreachable)" in message(refused, "Drifted")
    assert "as declared" not in message(refused, "Drifted")


def test_a_kind_that_nobody_tells_of_and_that_nothing_is_declared_of_takes_nothing_from_what_is_declared() -> None:
    former = replace(unheard(CONVERGED, Gap.UNREACHABLE, WORKLOAD), kinds=(SECRETS,), blind_objects={})
    assert (conditions(former)["Ready"], conditions(former)["Drifted"]) == (("True", "Reconciled"), ("False", "NoDriftDetected"))


def test_ready_is_claimed_only_by_a_converged_outcome() -> None:
    assert [name for name, outcome in OUTCOMES.items() if conditions(outcome)["Ready"][0] == "True"] == READY
    assert [name for name, outcome in OUTCOMES.items() if outcome.is_converged] == READY


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        pytest.param(CONVERGED, ["3 objects", FIRST.revision], id="converged"),
        pytest.param(
            OUTCOMES["problem-for-a-human"],
            ["1 problem", "apps/00001.yaml document 1", "ConfigMap/default/1", "is wrong; mend it"],
            id="problem-with-file-and-object",
        ),
        pytest.param(OUTCOMES["open-drift"], ["1 field of 1 object", "ConfigMap/default/a", "/spec/replicas"], id="drift"),
        pytest.param(OUTCOMES["unpruned"], ["1 object left Git", "not every file", "ConfigMap/default/b"], id="unpruned"),
        pytest.param(OUTCOMES["pending"], ["1 object left Git", "ConfigMap/default/b"], id="pending"),
        pytest.param(
            OUTCOMES["kept"],
            [
                "3 objects",
                "2 objects left Git (ConfigMap/default/b, ConfigMap/default/c)",
                "kept by spec.prune.enabled: false",
                "delete them",
            ],
            id="kept",
        ),
        pytest.param(replace(OUTCOMES["unpruned"], problems=(problem(),)), ["1 problem", "left Git"], id="problem-that-holds-a-prune"),
        pytest.param(
            OUTCOMES["prune-to-approve"], ["2 deletes await approval of plan sha256:", "spec.prune.maxPercent"], id="prune-to-approve"
        ),
        pytest.param(OUTCOMES["prune-later"], ["1 object left Git", "Prune is closed"], id="prune-later"),
        pytest.param(OUTCOMES["drift-to-approve"], ["1 repair await", "cvstate approve"], id="drift-to-approve"),
        pytest.param(
            OUTCOMES["drift-to-approve-while-suspended"],
            ["1 repair await", "spec.suspend is true", "cvstate resume"],
            id="approve-suspended",
        ),
        pytest.param(OUTCOMES["drift-left-alone"], ["/spec/replicas", "hpa undoes every repair"], id="drift-left-alone"),
        pytest.param(OUTCOMES["window-closed"], [SECOND.revision, "until 2026-01-02T06:00Z"], id="window-closed"),
        pytest.param(OUTCOMES["stopped"], ["1 to create and 2 to update wait", "EmergencyStop", "oops"], id="stopped"),
        pytest.param(OUTCOMES["wave-not-ready"], ["2 objects of later waves", "wave 1", "ConfigMap/default/a"], id="wave"),
        pytest.param(
            OUTCOMES["rolled-back"], [SECOND.revision, FIRST.revision, "quarantined", "not healthy within 5m", "--undo"], id="rolled-back"
        ),
    ],
)
def test_ready_says_what_where_and_why(outcome: Outcome, words: list[str]) -> None:
    message = ready(outcome)
    assert [word for word in words if word not in message] == []


def test_a_few_problems_are_spelled_out_and_the_rest_is_counted() -> None:
    outcome = replace(CONVERGED, problems=tuple(problem(n) for n in range(10)))
    message = ready(outcome)
    assert message.startswith("10 problems: ")
    assert message.count(".yaml") == wording.SPELLED_OUT
    assert "7 more" in message


# -- the status --------------------------------------------------------------------------------------------------------


def test_a_status_tells_source_inventory_and_generation() -> None:
    found = status(CONVERGED, generation=4, handled_at="now")
    assert found["observedGeneration"] == 4
    assert found["lastHandledReconcileAt"] == "now"
    assert found["source"] == {
        "revision": FIRST.revision,
        "commitTime": NOW,
        "fetchedAt": NOW,
        "url": CONVERGED.url,
        "ref": FIRST.ref,
        "tree": FIRST.directory,
    }
    assert found["inventory"] == {"objects": 3, "digest": "sha256:d"}
    assert (found["lastAttemptedRevision"], found["lastAppliedRevision"]) == (FIRST.revision, FIRST.revision)
    assert {"drift", "problems"}.isdisjoint(found)


def test_problems_and_drift_are_told_by_field() -> None:
    found = status(replace(CONVERGED, problems=(problem(7),), drift=((ref("a"), (entry(), entry(replace(DRIFT, path="/spec/x")))),)))
    assert found["problems"] == [
        {
            "reason": "Invalid",
            "message": "is wrong; mend it",
            "file": "apps/00007.yaml",
            "document": 1,
            "object": "ConfigMap/default/7",
            "field": "data.x",
        }
    ]
    sample = {
        "object": "ConfigMap/default/a",
        "path": "/spec/replicas",
        "manager": "kubectl",
        "writtenAt": "2026-01-01T11:00:00Z",
        "live": "5",
        "desired": "2",
        "since": "2026-01-01T11:30:00Z",
        "severity": "Medium",
        "action": "Auto",
        "state": "Repairing",
    }
    assert found["drift"] == {
        "objects": 1,
        "fields": 2,
        "highest": "Medium",
        "since": "2026-01-01T11:30:00Z",
        "sample": [sample, {**sample, "path": "/spec/x"}],
    }


def begun(outcome: Outcome) -> Outcome:
    """The same after the second commit was begun."""
    second = Begun(SECOND.revision, SECOND.commit, SEEN, Reached.APPLYING)
    return replace(outcome, artifact=SECOND if outcome.artifact else None, history=(second, *CONVERGED.history))


@pytest.mark.parametrize("name", [name for name, outcome in OUTCOMES.items() if not outcome.is_rolled_out])
def test_the_applied_revision_moves_only_when_everything_is_applied(name: str) -> None:
    found = status(begun(OUTCOMES[name]), status(CONVERGED))
    assert found["lastAppliedRevision"] == FIRST.revision
    assert found["lastAttemptedRevision"] == SECOND.revision


def test_the_applied_revision_moves_with_a_converged_outcome() -> None:
    assert status(begun(CONVERGED), status(CONVERGED))["lastAppliedRevision"] == SECOND.revision


def test_a_revision_that_is_held_is_the_newest_known_and_not_the_attempted_one() -> None:
    found = status(OUTCOMES["window-closed"], status(CONVERGED))
    assert found["source"]["revision"] == SECOND.revision
    assert (found["lastAttemptedRevision"], found["lastAppliedRevision"]) == (FIRST.revision, FIRST.revision)


def test_the_last_good_revision_is_the_newest_that_was_healthy() -> None:
    assert status(CONVERGED)["lastGoodRevision"] == FIRST.revision
    assert status(begun(CONVERGED), status(CONVERGED))["lastGoodRevision"] == FIRST.revision


def test_what_is_not_known_now_stays_as_it_was() -> None:
    before = status(CONVERGED, handled_at="t1")
    found = status(OUTCOMES["never-read-and-refused"], before)
    assert found["source"] == before["source"]
    assert found["inventory"] == before["inventory"]
    assert found["lastHandledReconcileAt"] == "t1"


def test_the_time_of_fetching_is_that_of_the_first_fetch_of_a_revision() -> None:
    again = replace(FIRST, fetched_at=FIRST.fetched_at + timedelta(hours=1))
    assert status(replace(CONVERGED, artifact=again), status(CONVERGED))["source"]["fetchedAt"] == NOW
    new = replace(SECOND, fetched_at=SECOND.fetched_at + timedelta(hours=1))
    assert status(replace(CONVERGED, artifact=new), status(CONVERGED))["source"]["fetchedAt"] == LATER


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_same_outcome_again_gives_the_same_status(name: str) -> None:
    once = status(OUTCOMES[name])
    assert status(OUTCOMES[name], once, now=LATER) == once


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_pass_that_repaired_something_ends_in_the_same_status(name: str) -> None:
    repaired = replace(OUTCOMES[name], done=(Done(ref("a"), Action.REPAIR, (DRIFT,), 0.1),), next_pass_at=5.0)
    assert status(repaired) == status(OUTCOMES[name])


LONG = "x" * 900


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(replace(CONVERGED, problems=tuple(problem(n) for n in range(10_000))), id="many-problems"),
        pytest.param(
            replace(
                CONVERGED,
                problems=tuple(
                    Problem(LONG, n, f"example.io/{'K' * 63}/{'n' * 63}/{'o' * 253}", "Invalid", LONG * 50, LONG, True)
                    for n in range(10_000)
                ),
                drift=tuple(
                    (ref(f"{n}" + "o" * 240), tuple(entry(replace(DRIFT, path=f"/{LONG}/{m}", live=LONG)) for m in range(3)))
                    for n in range(1000)
                ),
                fights=tuple(Fight(Key("u" * 36, f"/{LONG}"), LONG, Breaker((1.5,) * 20, 1.5, 1.5, "m" * 128)) for n in range(1000)),
                pruning=Pruning(held=tuple(ref(f"{n}" + "o" * 240) for n in range(10_000)), objection="x"),
            ),
            id="many-problems-with-long-names",
        ),
        pytest.param(
            replace(CONVERGED, problems=(Problem("ü" * 1000, 1, "ü" * 600, "Invalid", "ü" * 100_000, "ü" * 1000),) * 50),
            id="other-alphabets",
        ),
        pytest.param(replace(CONVERGED, source_error=errors.FetchFailedError(LONG * 100)), id="endless-error"),
        pytest.param(
            replace(CONVERGED, history=(replace(CONVERGED.history[0], digest="sha256:" + "d" * 64, correlation_id="c" * 16),) * 51),
            id="a-full-history",
        ),
        pytest.param(
            replace(
                CONVERGED,
                evaluated=False,
                source_error=errors.FetchFailedError("ü" * 100_000),
                held=Held(SECOND, is_rollback=True, why="ü" * 100_000, block=Block(gates.Reason.DEPENDENCY_NOT_READY, "ü" * 100_000)),
                drift=tuple((ref(f"{n}" + "o" * 240), (entry(replace(DRIFT, path=f"/{LONG}/{n}", live=LONG)),)) for n in range(1000)),
                problems=(Problem("ü" * 1000, 1, "ü" * 600, "Invalid", "ü" * 100_000, "ü" * 1000),) * 50,
            ),
            id="much-that-ready-hides",
        ),
    ],
)
def test_a_status_stays_below_64_kib(outcome: Outcome) -> None:
    found = status(outcome, status(CONVERGED))
    assert len(orjson.dumps(found)) < 64 * 1024
    assert len(found.get("problems", ())) <= report.LISTED


# -- events ------------------------------------------------------------------------------------------------------------


def events(outcome: Outcome, previous: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
    return [(e.kind, e.reason, e.message) for e in told.Teller(previous or {}).tell(outcome)]


def only(outcome: Outcome, previous: dict[str, Any] | None = None) -> tuple[str, str, str]:
    (event,) = events(outcome, previous)
    return event


@pytest.mark.parametrize("name", OUTCOMES)
def test_nothing_new_is_no_event(name: str) -> None:
    assert events(OUTCOMES[name], status(OUTCOMES[name])) == []


def test_a_change_is_counted_by_what_was_done() -> None:
    done = [Done(ref(str(n)), action) for n, action in enumerate([Action.CREATE, Action.CREATE, Action.UPDATE, Action.PRUNE])]
    kind, reason, message = only(replace(CONVERGED, done=tuple(done)))
    assert (kind, reason) == ("Normal", "Applied")
    assert message.startswith(FIRST.revision)
    assert message.endswith(": 2 created, 1 pruned, 1 updated")


def test_a_repair_names_object_field_both_values_writer_and_time() -> None:
    kind, reason, message = only(replace(CONVERGED, done=(Done(ref("a"), Action.REPAIR, (DRIFT,), 0.123),)))
    assert (kind, reason) == ("Normal", "DriftRepaired")
    for words in ("ConfigMap/default/a", "/spec/replicas", "was 5", "instead of 2", "kubectl", "123 ms"):
        assert words in message


def test_a_repair_of_a_secret_shows_no_value() -> None:
    drift = FieldDrift("/data/password", "aHVudGVyMg==", "b2xk", "kubectl-edit", "")
    _, _, message = only(replace(CONVERGED, done=(Done(ref("s", of=SECRET), Action.REPAIR, (drift,), 0.1),)))
    assert "/data/password" in message
    assert "aHVudGVyMg==" not in message
    assert "b2xk" not in message


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        pytest.param((FieldDrift("", "present", None, "", ""),), "was missing", id="vanished-object"),
        pytest.param((FieldDrift("", None, None, "x", ""),), "was changed", id="below-a-field-of-ours"),
        pytest.param((replace(DRIFT, live=None),), "was (none) instead of 2", id="removed-field"),
        pytest.param((DRIFT, DRIFT, DRIFT), "and 2 more fields", id="several-fields"),
        pytest.param((replace(DRIFT, live="a\nb\x1b[2J", manager="x\ny"),), r"was a\nb\x1b[2J", id="terminal-escapes"),
        pytest.param((replace(DRIFT, manager=""),), "instead of 2; repaired", id="unknown-writer"),
    ],
)
def test_a_repair_says_what_was_wrong(drift: tuple[FieldDrift, ...], words: str) -> None:
    _, _, message = only(replace(CONVERGED, done=(Done(ref("a"), Action.REPAIR, drift, 0.1),)))
    assert words in message
    assert message.isprintable()


def test_many_repairs_are_one_event() -> None:
    done = tuple(Done(ref(f"{n}"), Action.REPAIR, (DRIFT,), 0.1) for n in range(1000))
    _, _, message = only(replace(CONVERGED, done=done))
    assert "999 more objects" in message


def test_a_new_problem_is_told_once_and_known_ones_are_not() -> None:
    before = status(replace(CONVERGED, problems=(problem(1),)))
    kind, reason, message = only(replace(CONVERGED, problems=(problem(1), problem(2))), before)
    assert (kind, reason) == ("Warning", "Invalid")
    assert "apps/00002.yaml" in message


def test_thousands_of_new_problems_are_a_few_events_once() -> None:
    outcome = replace(CONVERGED, problems=tuple(problem(n, message=LONG * 3) for n in range(10_000)))
    assert len(events(outcome)) == wording.SPELLED_OUT
    assert events(outcome, status(outcome)) == []


def test_a_source_error_is_told_when_it_changes() -> None:
    refused, no_access = OUTCOMES["source-that-may-come-back"], OUTCOMES["source-for-a-human"]
    assert only(refused)[:2] == ("Warning", "FetchFailed")
    assert only(no_access, status(refused))[:2] == ("Warning", "AuthFailed")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("drift-for-a-human", "DriftDetected"),
        ("window-closed", "WindowClosed"),
        ("stopped", "EmergencyStop"),
        ("wave-not-ready", "WaveNotReady"),
        ("prune-to-approve", "PruneHeld"),
        ("rolled-back", "RolledBack"),
    ],
)
def test_what_stands_in_the_way_is_told_when_it_begins(name: str, reason: str) -> None:
    assert only(OUTCOMES[name], status(CONVERGED))[:2] == ("Warning", reason)


def test_a_fight_is_told_when_it_begins_by_field_and_rival() -> None:
    found = events(OUTCOMES["drift-left-alone"], status(OUTCOMES["open-drift"]))
    assert [(kind, reason) for kind, reason, _ in found] == [("Warning", "BreakerOpen")]
    assert "hpa undoes every repair of ConfigMap/default/a /spec/replicas, which is left alone" in found[0][2]
    assert "cvstate reconcile NAME -n NAMESPACE --reset then tries once more" in found[0][2]
    assert "spec.drift.ignore" in found[0][2]


def test_an_object_that_is_deleted_again_and_again_is_no_field_to_ignore() -> None:
    whole = replace(OPEN_BREAKER, key=OPEN_BREAKER.key._replace(path=""))
    found = ready(replace(OUTCOMES["drift-left-alone"], fights=(whole,)))
    assert "take the object out of Git" in found
    assert "spec.drift.ignore" not in found


def test_a_fight_that_is_given_up_is_told_once_and_not_as_drift_besides() -> None:
    assert only(OUTCOMES["drift-left-alone"], status(CONVERGED))[:2] == ("Warning", "BreakerOpen")


def test_drift_that_is_found_when_a_fight_is_given_up_is_told_besides() -> None:
    alerted = (ref("b"), (entry(state=State.ALERTED),))
    both = replace(OUTCOMES["drift-left-alone"], drift=(*OUTCOMES["drift-left-alone"].drift, alerted))
    assert [reason for _, reason, _ in events(both, status(CONVERGED))] == ["DriftDetected", "BreakerOpen"]


def test_hundreds_of_fights_are_told_once() -> None:
    many = tuple(replace(OPEN_BREAKER, object=f"ConfigMap/default/{n}") for n in range(300))
    teller = told.Teller({})
    assert len(teller.tell(replace(OUTCOMES["drift-left-alone"], fights=many))) == 1
    assert teller.tell(replace(OUTCOMES["drift-left-alone"], fights=many)) == ()


def test_in_ready_a_fight_is_told_once() -> None:
    message = ready(OUTCOMES["drift-left-alone"])
    assert message.count("undoes every repair") == message.count("left alone") == 1


def test_drift_that_is_repaired_by_itself_is_told_by_its_repair_alone() -> None:
    assert events(OUTCOMES["open-drift"]) == []


def test_a_held_prune_is_told_once() -> None:
    kind, reason, message = only(OUTCOMES["unpruned"])
    assert (kind, reason) == ("Warning", "PruneHeld")
    assert "ConfigMap/default/b" in message


STANDING = ["window-closed", "stopped", "wave-not-ready", "prune-to-approve", "drift-to-approve", "rolled-back", "unpruned"]
PASSES_BETWEEN = {
    "a-problem": OUTCOMES["problem-that-may-pass"],
    "a-source-that-is-away": OUTCOMES["source-that-may-come-back"],
    "nothing-looked-at": OUTCOMES["never-read"],
}


@pytest.mark.parametrize("name", STANDING)
def test_what_stands_in_the_way_is_told_once_however_often_passes_find_it(name: str) -> None:
    teller = told.Teller({})
    assert [len(teller.tell(OUTCOMES[name])) > 0 for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("between", PASSES_BETWEEN)
@pytest.mark.parametrize("name", STANDING)
def test_what_stands_in_the_way_is_not_told_again_after_a_pass_that_could_not_see_it(name: str, between: str) -> None:
    teller = told.Teller({})
    (first,) = [event for event in teller.tell(OUTCOMES[name]) if event.reason != "DriftDetected"]
    teller.tell(PASSES_BETWEEN[between])
    assert first not in teller.tell(OUTCOMES[name])


@pytest.mark.parametrize("name", STANDING)
def test_what_comes_back_is_told_again(name: str) -> None:
    teller = told.Teller({})
    first = teller.tell(OUTCOMES[name])
    assert teller.tell(CONVERGED) == ()
    assert teller.tell(OUTCOMES[name]) == first


def test_something_else_in_the_way_is_told() -> None:
    teller = told.Teller(status(OUTCOMES["window-closed"]))
    assert [event.reason for event in teller.tell(OUTCOMES["stopped"])] == ["EmergencyStop"]


def test_a_restart_in_the_middle_of_a_pass_may_tell_it_once_more_and_no_oftener() -> None:
    before = report.progressing(status(OUTCOMES["unpruned"]), generation=1, message="applying", now=LATER)
    teller = told.Teller(before)
    assert [len(teller.tell(OUTCOMES["unpruned"])) for _ in range(2)] == [1, 0]


def test_a_source_that_is_away_is_one_event_whatever_waits_besides() -> None:
    outcome = replace(OUTCOMES["unpruned"], source_error=REFUSED)
    assert only(outcome)[:2] == ("Warning", "FetchFailed")


# -- what is not known --------------------------------------------------------------------------------------------------


def message(outcome: Outcome, kind: str) -> str:
    return next(str(c["message"]) for c in status(outcome)["conditions"] if c["type"] == kind)


def test_of_what_could_not_be_applied_nothing_is_claimed() -> None:
    assert message(OUTCOMES["refused"], "Drifted").startswith("nothing can be said of 1 object (ConfigMap/default/a)")
    assert "nothing is known of 1 object: ConfigMap/default/a" in message(OUTCOMES["refused"], "Healthy")


def test_an_object_that_is_not_there_is_not_healthy() -> None:
    assert message(OUTCOMES["missing"], "Healthy") == "1 object not there (ConfigMap/default/b)"


def test_what_is_left_as_it_is_does_not_count_as_matching() -> None:
    assert ready(OUTCOMES["exempt"]).startswith("2 objects match main@sha1:1")
    left = "left as they are, as their annotations ask: ConfigMap/default/b"
    assert all(left in message(OUTCOMES["exempt"], kind) for kind in ("Ready", "Drifted"))


def test_a_repair_that_is_refused_is_not_told_as_one_that_goes_on() -> None:
    drift = ((ref("a"), (entry(),)), (ref("b"), (entry(),)))
    told = message(replace(CONVERGED, drift=drift, problems=(replace(REFUSAL, object=str(ref("a"))),)), "Drifted")
    assert "1 being repaired; 1 whose repair is refused" in told


# -- in progress, and invalid ------------------------------------------------------------------------------------------


def test_while_a_new_revision_is_applied_ready_is_unknown_and_nothing_else_is_lost() -> None:
    before = status(CONVERGED)
    found = report.progressing(before, generation=2, message="applying main@sha1:2", now=LATER)
    assert {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]} == {
        "Ready": ("Unknown", "Progressing"),
        "Reconciling": ("True", "Progressing"),
        "SourceReady": ("True", "Fetched"),
        "Drifted": ("False", "NoDriftDetected"),
        "Healthy": ("True", "Healthy"),
    }
    assert found["observedGeneration"] == 2
    assert {key: found[key] for key in ("source", "inventory", "lastAppliedRevision")} == {
        key: before[key] for key in ("source", "inventory", "lastAppliedRevision")
    }
    assert next(c["lastTransitionTime"] for c in found["conditions"] if c["type"] == "Drifted") == NOW


def test_the_first_progress_needs_no_earlier_status() -> None:
    found = report.progressing({}, generation=1, message="applying", now=NOW)
    assert {c["type"] for c in found["conditions"]} == {"Ready", "Reconciling"}


def test_a_spec_that_makes_no_sense_is_told_and_what_was_applied_is_still_known() -> None:
    before = status(CONVERGED)
    error = errors.InvalidSpecError("spec.source.git.url: does not match; correct the ClusterState")
    found = report.invalid_spec(error, previous=before, generation=2, now=LATER)
    assert {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]} == {
        "Ready": ("False", "InvalidSpec"),
        "Stalled": ("True", "InvalidSpec"),
    }
    assert found["observedGeneration"] == 2
    assert found["lastAppliedRevision"] == FIRST.revision


def test_looking_at_an_earlier_status_does_not_change_it() -> None:
    before = status(replace(CONVERGED, problems=(problem(),)))
    copy = orjson.loads(orjson.dumps(before))
    status(OUTCOMES["open-drift"], before)
    events(OUTCOMES["open-drift"], before)
    report.progressing(before, generation=2, message="x", now=LATER)
    assert before == copy


# -- signatures --------------------------------------------------------------------------------------------------------

SIGNED = replace(CONVERGED, artifact=replace(FIRST, signed_by="openpgp:AB12"))


def test_who_signed_a_commit_is_told_where_signatures_are_asked_for() -> None:
    found = status(SIGNED)
    assert found["source"]["signedBy"] == "openpgp:AB12"
    assert conditions(SIGNED)["SourceVerified"] == ("True", "Verified")
    assert "signed by openpgp:AB12" in next(c["message"] for c in found["conditions"] if c["type"] == "SourceVerified")
    assert "SourceVerified" not in conditions(CONVERGED)
    assert "signedBy" not in status(CONVERGED)["source"]


@pytest.mark.parametrize("verdict", ["SignatureMissing", "SignatureInvalid"])
@pytest.mark.parametrize("before", [SIGNED, CONVERGED, OUTCOMES["never-read"]], ids=["signed-before", "unsigned-before", "never-read"])
def test_a_commit_without_a_good_signature_is_told_for_a_human(before: Outcome, verdict: str) -> None:
    outcome = replace(before, source_error=errors.VerificationFailedError("main@sha1:2 is not signed", verdict=verdict))
    found = conditions(outcome)
    assert found["SourceVerified"] == ("False", verdict)
    assert found["SourceReady"] == found["Ready"] == ("False", "VerificationFailed")
    assert found["Stalled"] == ("True", "VerificationFailed")


def test_another_failure_of_the_source_leaves_the_signature_of_what_is_in_use() -> None:
    assert conditions(replace(SIGNED, source_error=REFUSED))["SourceVerified"] == ("True", "Verified")


# -- evidence of the render --------------------------------------------------------------------------------------------

CHART = replace(CONVERGED, rendered=Render("Helm", "helm v4.0.0", ("hook a was left out",)))


def test_a_status_tells_how_the_commit_was_rendered() -> None:
    assert status(CHART)["render"] == {"type": "Helm", "digest": "sha256:d", "tool": "helm v4.0.0", "warnings": ["hook a was left out"]}
    assert status(replace(CONVERGED, rendered=Render("Plain", "", ())))["render"] == {"type": "Plain", "digest": "sha256:d"}


def test_a_commit_that_could_not_be_rendered_leaves_the_evidence_of_the_last_one() -> None:
    failed = replace(OUTCOMES["render-failed"], artifact=SECOND, rendered=CHART.rendered)
    assert status(failed, status(CHART))["render"] == status(CHART)["render"]


def test_warnings_are_few_short_and_on_one_line() -> None:
    outcome = replace(CHART, rendered=Render("Helm", "helm", tuple(f"{n}\n" + "x" * 5000 for n in range(1000))))
    warnings = status(outcome)["render"]["warnings"]
    assert 10 <= len(warnings) <= report.LISTED
    assert sum(len(warning.encode()) for warning in warnings) <= report.LISTED_BYTES
    assert all(warning.isprintable() and len(warning) <= report.PROBLEM_CHARACTERS for warning in warnings)


def test_the_event_of_a_change_names_commit_tree_and_render() -> None:
    outcome = replace(CONVERGED, digest="sha256:" + "d" * 64, done=(Done(ref("a"), Action.CREATE),))
    (event,) = events(outcome)
    assert f"{FIRST.revision} (tree {FIRST.directory[:12]}, objects sha256:{'d' * 12})" in event[2]


# -- a pass that broke off ---------------------------------------------------------------------------------------------


def test_a_pass_that_an_error_ended_takes_ready_back_and_nothing_else() -> None:
    before = status(SIGNED)
    error = errors.NetworkError("the API server cannot be reached")
    found = report.broken(error, previous=before, generation=3, now=LATER)
    assert {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]} == {
        "Ready": ("False", error.reason),
        "Reconciling": ("True", "ProgressingWithRetry"),
        "SourceReady": ("True", "Fetched"),
        "SourceVerified": ("True", "Verified"),
        "Drifted": ("False", "NoDriftDetected"),
        "Healthy": ("True", "Healthy"),
    }
    assert all(error.message in c["message"] for c in found["conditions"] if c["type"] in ("Ready", "Reconciling"))
    assert {key: value for key, value in found.items() if key not in ("conditions", "observedGeneration")} == {
        key: value for key, value in before.items() if key not in ("conditions", "observedGeneration")
    }
    assert found["observedGeneration"] == 3


def test_a_first_pass_that_breaks_off_is_told_too() -> None:
    found = report.broken(errors.NetworkError("away"), previous={}, generation=1, now=NOW)
    assert {c["type"] for c in found["conditions"]} == {"Ready", "Reconciling"}


# -- what waits --------------------------------------------------------------------------------------------------------


def test_a_plan_counts_what_waits_and_says_why() -> None:
    assert status(OUTCOMES["prune-to-approve"])["plan"] == {
        "digest": OUTCOMES["prune-to-approve"].consent.digest,
        "prune": 2,
        "held": "PruneHeld",
    }
    assert status(OUTCOMES["stopped"])["plan"] == {"create": 1, "update": 2, "held": "EmergencyStop"}
    assert status(OUTCOMES["wave-not-ready"])["plan"] == {"update": 2, "held": "WaveNotReady"}
    assert "plan" not in status(CONVERGED)


def test_a_plan_says_why_what_is_in_it_waits_whatever_else_is_wrong() -> None:
    held = replace(CONVERGED, is_rolled_out=False, held=Held(creates=3, block=CLOSED), problems=(problem(),))
    assert {c["type"]: c["reason"] for c in status(held)["conditions"]}["Ready"] == "Invalid"
    assert status(held)["plan"] == {"create": 3, "held": "WindowClosed"}
    awaits = replace(OUTCOMES["prune-to-approve"], problems=(problem(),), held=Held(SECOND, block=CLOSED))
    assert status(awaits)["plan"]["held"] == "PruneHeld"
    repairs = replace(CONVERGED, drift=((ref("a"), (entry(state=State.HELD),)),), blocks={WindowAction.DRIFT_REPAIR: CLOSED})
    assert status(repairs)["plan"] == {"repair": 1, "held": "WindowClosed"}


def test_a_field_that_is_fought_over_is_remembered_by_key_rival_and_time() -> None:
    assert status(OUTCOMES["drift-left-alone"])["breakers"] == [
        {
            "object": "ConfigMap/default/a",
            "key": "uid-1",
            "path": "/spec/replicas",
            "manager": "hpa",
            "openedAt": "2026-01-01T00:00:00.000000Z",
        }
    ]


def test_windows_are_told_with_what_they_block_and_when_that_changes() -> None:
    until = datetime(2026, 1, 2, 6, tzinfo=UTC)
    found = tuple(ActionState(action, action is not WindowAction.PRUNE, 0, "x", None, until) for action in WindowAction)
    told = status(replace(CONVERGED, windows=WindowState(found)))["window"]
    assert told == {"state": "Closed", "blocks": ["Prune"], "nextChange": "2026-01-02T06:00:00Z"}
    assert "window" not in status(CONVERGED)


def test_what_was_given_up_is_told_by_commit_and_reason() -> None:
    assert status(OUTCOMES["rolled-back"])["quarantined"] == [{"revision": f"sha1:{SECOND.commit}", "message": "x"}]


def test_the_history_tells_how_far_each_revision_came() -> None:
    assert status(CONVERGED)["history"] == [
        {"revision": FIRST.revision, "outcome": "Healthy", "startedAt": "2026-01-01T11:00:00.000000Z", "durationSeconds": 1.5}
    ]


def test_a_revision_is_told_with_what_it_declares_and_the_name_of_its_roll_out() -> None:
    entry = replace(CONVERGED.history[0], digest="sha256:d", correlation_id="4c1f03a9be126d5b")
    told = status(replace(CONVERGED, history=(entry,)))["history"][0]
    assert (told["digest"], told["correlationID"]) == ("sha256:d", "4c1f03a9be126d5b")
    assert History.read({"history": [told]}).entries == [entry]


def test_health_names_the_worst_object_and_counts_the_rest() -> None:
    message = next(c["message"] for c in status(OUTCOMES["failed"])["conditions"] if c["type"] == "Healthy")
    assert message == "apps/Deployment/default/api: its deadline passed (and 1 more)"


def test_drift_of_a_secret_shows_no_value() -> None:
    drift = FieldDrift("/data/password", "aHVudGVyMg==", "b2xk", "kubectl-edit", "")
    found = status(replace(CONVERGED, drift=((ref("s", of=SECRET), (entry(drift),)),)))
    assert "/data/password" in str(found)
    assert "aHVudGVyMg" not in str(found)
    assert "b2xk" not in str(found)


# -- passes that come to no end ------------------------------------------------------------------------------------------

MAY_NOT = errors.ForbiddenError("may not patch ClusterStates; grant it")


def failures(teller: told.Teller, *found: errors.CvstateError) -> list[tuple[str, str, str]]:
    return [(event.kind, event.reason, event.message) for error in found for event in teller.failed(error)]


def test_a_pass_that_an_error_ended_is_told_once_however_often_it_is_repeated() -> None:
    assert failures(told.Teller({}), MAY_NOT, MAY_NOT, errors.ForbiddenError("may not patch Events either")) == [
        ("Warning", "Forbidden", "may not patch ClusterStates; grant it")
    ]


def test_another_reason_is_told_and_so_is_the_first_one_when_it_comes_back() -> None:
    found = failures(told.Teller({}), MAY_NOT, errors.ServerTimeoutError("no answer"), MAY_NOT)
    assert [reason for _, reason, _ in found] == ["Forbidden", "Timeout", "Forbidden"]


def test_a_pass_that_came_to_its_end_makes_the_next_failure_news() -> None:
    teller = told.Teller({})
    assert len(failures(teller, MAY_NOT)) == 1
    teller.tell(CONVERGED)
    assert len(failures(teller, MAY_NOT)) == 1


def test_another_mistake_in_a_spec_is_told_and_the_same_one_is_not() -> None:
    circle, account = errors.InvalidSpecError("spec.dependsOn goes in a circle"), errors.ServiceAccountRequiredError("name one")
    other = errors.InvalidSpecError("spec.source.git.url is no URL")
    found = failures(told.Teller({}), circle, circle, other, account)
    assert [message for _, _, message in found] == [circle.message, other.message, account.message]


@pytest.mark.parametrize("error", [MAY_NOT, errors.InvalidSpecError("spec.dependsOn goes in a circle")], ids=["broken", "refused"])
def test_what_an_earlier_life_told_of_a_failure_is_not_told_again(error: errors.CvstateError) -> None:
    write = report.invalid_spec if isinstance(error, errors.InvalidSpecError) else report.broken
    teller = told.Teller(write(error, previous=status(CONVERGED), generation=1, now=LATER))
    assert failures(teller, error) == []
    assert len(failures(teller, errors.ServerTimeoutError("no answer"))) == 1


DEGRADED = replace(CONVERGED, missing=(ref("a"),))
"""An object is not there, which Healthy tells."""
SPEC_ERROR = errors.InvalidSpecError("spec.source.git.url: does not match; correct the ClusterState")


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(lambda before: report.invalid_spec(SPEC_ERROR, previous=before, generation=2, now=LATER), id="invalid-spec"),
        pytest.param(
            lambda before: report.status(replace(CONVERGED, evaluated=False), previous=before, generation=1, handled_at=None, now=LATER),
            id="nothing-compared",
        ),
    ],
)
def test_what_was_wrong_is_kept_while_its_condition_says_nothing_and_no_longer(then: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    degraded = status(DEGRADED)
    (was,) = [one for one in degraded["conditions"] if one["type"] == "Healthy"]
    assert (was["reason"], "unresolved" in degraded) == ("Degraded", False)
    found = then(degraded)
    kept = {"type": "Healthy", "reason": "Degraded", "severity": "Critical", "message": was["message"], "since": NOW}
    assert kept in found["unresolved"]
    assert kept in report.progressing(found, generation=3, message="applying", now=LATER)["unresolved"]
    well = report.status(CONVERGED, previous=found, generation=3, handled_at=None, now=LATER)
    assert "unresolved" not in well


NO_GIT = {"source_error": REFUSED}
ROLLED_BACK = OUTCOMES["rolled-back"]
DEPENDENT = replace(
    CONVERGED, is_rolled_out=False, held=Held(creates=1, block=Block(gates.Reason.DEPENDENCY_NOT_READY, "waits for ClusterState infra"))
)


@pytest.mark.parametrize(
    ("outcome", "reason", "severity"),
    [
        pytest.param(ROLLED_BACK, "RolledBack", "Warning", id="rolled-back"),
        pytest.param(DEPENDENT, "DependencyNotReady", "Info", id="dependent"),
    ],
)
def test_what_keeps_the_newest_commit_back_is_told_beside_ready_with_its_age(outcome: Outcome, reason: str, severity: str) -> None:
    before = status(outcome)
    (ready,) = [one for one in before["conditions"] if one["type"] == "Ready"]
    assert (ready["reason"], "unresolved" in before) == (reason, False)
    away = status(replace(outcome, **NO_GIT), before, now=LATER)
    kept = {"type": "Ready", "reason": reason, "severity": severity, "message": ready["message"], "since": NOW}
    assert kept in away["unresolved"]
    assert status(replace(outcome, **NO_GIT), away, now="2026-01-01T14:00:00Z") == away, "an unchanged world writes nothing"
    back = status(outcome, away, now="2026-01-01T14:00:00Z")
    assert back.get("unresolved", []) == [], "Ready tells it again, and is as old as it"
    assert "unresolved" not in status(CONVERGED, away, now=LATER)


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(lambda before: report.invalid_spec(SPEC_ERROR, previous=before, generation=2, now=LATER), id="invalid-spec"),
        pytest.param(lambda before: report.broken(MAY_NOT, previous=before, generation=1, now=LATER), id="broken-off"),
        pytest.param(lambda before: report.progressing(before, generation=1, message="applying", now=LATER), id="announced"),
        pytest.param(lambda before: status(OUTCOMES["never-read-and-refused"], before, now=LATER), id="a-new-life-without-git"),
        pytest.param(lambda before: status(OUTCOMES["render-failed"], before, now=LATER), id="render-failed"),
    ],
)
def test_what_keeps_the_newest_commit_back_goes_on_while_no_pass_judges(then: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    found = then(status(ROLLED_BACK))
    assert ("RolledBack", NOW) in {(one["reason"], one["since"]) for one in found["unresolved"]}
    again = then(found)
    assert again["unresolved"] == found["unresolved"]
    assert "unresolved" not in status(CONVERGED, again, now=LATER)


def test_what_keeps_commits_back_is_of_no_interest_in_what_is_being_deleted() -> None:
    departure = Departure((ref("a"),), "it", 0)
    before = status(replace(ROLLED_BACK, **NO_GIT))
    found = report.leaving(departure, previous=before, generation=1, now=LATER)
    assert "RolledBack" not in {one["reason"] for one in found.get("unresolved", ())}


def test_since_when_a_condition_has_its_reason_is_kept_if_it_had_another_one_before() -> None:
    before = status(replace(CONVERGED, source_error=REFUSED))
    found = status(replace(CONVERGED, source_error=NO_ACCESS), before, now=LATER)
    assert found["unresolved"] == [{"type": "Ready", "reason": "AuthFailed", "severity": "Warning", "message": "", "since": LATER}]
    assert status(replace(CONVERGED, source_error=NO_ACCESS), found, now="2026-01-01T14:00:00Z") == found


def test_what_lasts_while_a_revision_is_applied_is_told_by_its_condition() -> None:
    found = report.progressing(status(DEGRADED), generation=2, message="applying", now=LATER)
    assert "Healthy" not in {one["type"] for one in found.get("unresolved", ())}
    assert next(one for one in found["conditions"] if one["type"] == "Healthy")["reason"] == "Degraded"
