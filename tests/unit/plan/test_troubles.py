"""Troubles.

Aspects: which conditions are trouble, and which are not · their severity · what says nothing · what Ready hides · what is another word for the same · windows ·
what is unresolved · what keeps the newest commit back · since when.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cvstate_operator.api.notices import MuteInWindows, NoticeSeverity
from cvstate_operator.plan.troubles import Sight, read, severities, unresolved

AT = "2026-05-01T10:00:00Z"
LATER = "2026-05-01T11:00:00Z"
WELL = {"Ready": "True", "SourceReady": "True", "Healthy": "True", "Drifted": "False", "Accepted": "True"}


def status(*told: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """A status in which all is well but for what is told: type, status and reason."""
    by_type = {kind: (word, "Well") for kind, word in WELL.items()} | {kind: (word, reason) for kind, word, reason in told}
    conditions = [
        {"type": kind, "status": word, "reason": reason, "message": f"{kind} is {word}", "lastTransitionTime": AT}
        for kind, (word, reason) in by_type.items()
    ]
    return {"conditions": conditions, **more}


def reasons(sight: Sight) -> set[str]:
    return set(sight.troubles)


def test_a_status_in_which_all_is_well_tells_of_none() -> None:
    sight = read(status())
    assert (reasons(sight), sight.unknown) == (set(), frozenset())


def test_an_empty_status_says_nothing() -> None:
    sight = read({})
    assert (reasons(sight), sight.unknown, sight.revision) == (set(), frozenset(WELL), "")


@pytest.mark.parametrize(
    ("kind", "word", "reason", "severity"),
    [
        pytest.param("Ready", "False", "ApplyFailed", NoticeSeverity.WARNING, id="cannot-be-applied"),
        pytest.param("SourceReady", "False", "FetchFailed", NoticeSeverity.WARNING, id="no-source"),
        pytest.param("Ready", "False", "InternalError", NoticeSeverity.CRITICAL, id="a-fault-of-ours"),
        pytest.param("Healthy", "False", "Degraded", NoticeSeverity.CRITICAL, id="degraded"),
        pytest.param("Healthy", "False", "SignalBreached", NoticeSeverity.CRITICAL, id="a-signal"),
        pytest.param("Healthy", "Unknown", "TargetUnreachable", NoticeSeverity.CRITICAL, id="no-api-server"),
        pytest.param("Healthy", "Unknown", "TelemetryGap", NoticeSeverity.WARNING, id="a-gap"),
        pytest.param("Drifted", "True", "DriftDetected", NoticeSeverity.WARNING, id="drift"),
        pytest.param("Accepted", "False", "ScoreBelowMinimum", NoticeSeverity.WARNING, id="a-bad-score"),
        pytest.param("Ready", "False", "PruneHeld", NoticeSeverity.WARNING, id="a-prune-that-is-held"),
        pytest.param("Ready", "False", "AwaitingApproval", NoticeSeverity.INFO, id="a-person-is-asked"),
        pytest.param("Ready", "False", "DependencyNotReady", NoticeSeverity.INFO, id="another-comes-first"),
        pytest.param("Ready", "False", "SomethingNew", NoticeSeverity.WARNING, id="a-reason-of-the-future"),
    ],
)
def test_what_is_wrong_has_a_severity(kind: str, word: str, reason: str, severity: NoticeSeverity) -> None:
    sight = read(status((kind, word, reason)))
    (trouble,) = sight.troubles.values()
    assert (trouble.reason, trouble.condition, trouble.severity, trouble.message) == (reason, kind, severity, f"{kind} is {word}")
    assert trouble.since is not None
    assert trouble.since.isoformat() == "2026-05-01T10:00:00+00:00"


@pytest.mark.parametrize(
    "reason", ["Suspended", "ObserveOnly", "EmergencyStop", "WindowClosed", "SourceChanged", "WaveNotReady", "Deleting"]
)
def test_what_somebody_wants_is_no_trouble_and_ends_one(reason: str) -> None:
    sight = read(status(("Ready", "False", reason)))
    assert (reasons(sight), sight.unknown) == (set(), frozenset())


@pytest.mark.parametrize(
    ("kind", "word", "reason"),
    [
        pytest.param("Ready", "Unknown", "Progressing", id="a-roll-out"),
        pytest.param("Healthy", "False", "Progressing", id="objects-on-their-way"),
        pytest.param("Drifted", "Unknown", "NotEvaluated", id="nothing-compared"),
        pytest.param("Accepted", "False", "Settling", id="a-verdict-that-settles"),
    ],
)
def test_what_says_nothing_is_neither_trouble_nor_its_end(kind: str, word: str, reason: str) -> None:
    sight = read(status((kind, word, reason)))
    assert (reasons(sight), sight.unknown) == (set(), frozenset({kind}))


def test_two_conditions_of_one_reason_are_one_trouble_as_ready_tells_it() -> None:
    sight = read(status(("SourceReady", "False", "FetchFailed"), ("Ready", "False", "FetchFailed")))
    (trouble,) = sight.troubles.values()
    assert trouble.message == "Ready is False"


def test_a_condition_that_is_absent_says_nothing() -> None:
    told = status(("Ready", "False", "InvalidSpec"))
    told["conditions"] = [one for one in told["conditions"] if one["type"] == "Ready"]
    sight = read(told)
    assert reasons(sight) == {"InvalidSpec"}
    assert sight.unknown == frozenset(WELL) - {"Ready"}


@pytest.mark.parametrize(
    ("highest", "severity"),
    [
        pytest.param("Low", NoticeSeverity.INFO, id="low"),
        pytest.param("Medium", NoticeSeverity.WARNING, id="medium"),
        pytest.param("High", NoticeSeverity.WARNING, id="high"),
        pytest.param("Critical", NoticeSeverity.CRITICAL, id="critical"),
    ],
)
def test_drift_matters_as_much_as_the_field_that_matters_most(highest: str, severity: NoticeSeverity) -> None:
    sight = read(status(("Drifted", "True", "DriftDetected"), drift={"highest": highest}))
    assert sight.troubles["DriftDetected"].severity is severity


@pytest.mark.parametrize("named", ["BreakerOpen", "ApplyFailed"])
@pytest.mark.parametrize(
    ("highest", "severity"),
    [
        pytest.param("Low", NoticeSeverity.WARNING, id="low"),
        pytest.param("High", NoticeSeverity.WARNING, id="high"),
        pytest.param("Critical", NoticeSeverity.CRITICAL, id="critical"),
    ],
)
def test_a_fight_matters_as_much_as_the_drift_that_it_is_told_in_place_of(named: str, highest: str, severity: NoticeSeverity) -> None:
    told = (("Ready", "False", named), ("Drifted", "True", "DriftDetected"))
    fight = read(status(*told, drift={"highest": highest}, breakers=[{"object": "a", "openedAt": AT}])).troubles["BreakerOpen"]
    assert fight.severity is severity
    assert fight.severity in severities("BreakerOpen")


def test_of_a_fight_nothing_is_known_while_nothing_is_known_of_drift() -> None:
    before = status(("Ready", "False", "BreakerOpen"), ("Drifted", "True", "DriftDetected"), drift={"highest": "Critical"})
    found = after(before, ("Ready", "False", "NetworkError"), ("Drifted", "Unknown", "NotEvaluated"))
    assert reasons(read(found)) == {"NetworkError"}
    assert read(found).unresolved["BreakerOpen"].severity is NoticeSeverity.CRITICAL
    assert read(before).troubles["BreakerOpen"].condition in read(found).unknown


def test_what_waits_is_not_over_because_ready_tells_of_something_else() -> None:
    sight = read(status(("Ready", "False", "ApplyFailed"), plan={"held": "PruneHeld", "prune": 12, "update": 1}))
    assert reasons(sight) == {"ApplyFailed", "PruneHeld"}
    assert sight.troubles["PruneHeld"].message == "waiting: 1 to update, 12 to prune"


def test_a_fight_is_not_over_because_ready_tells_of_something_else() -> None:
    fights = [{"object": "a", "openedAt": AT}]
    sight = read(status(("Ready", "False", "ApplyFailed"), ("Drifted", "True", "DriftDetected"), breakers=fights))
    assert reasons(sight) == {"ApplyFailed", "BreakerOpen"}


def test_a_breaker_that_is_closed_is_no_fight() -> None:
    sight = read(status(("Drifted", "True", "DriftDetected"), breakers=[{"object": "a", "repairs": [AT]}]))
    assert reasons(sight) == {"DriftDetected"}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        pytest.param([("Ready", "False", "BreakerOpen"), ("Drifted", "True", "DriftDetected")], {"BreakerOpen"}, id="a-fight-is-drift"),
        pytest.param(
            [("Healthy", "False", "SignalBreached"), ("Accepted", "False", "CriticalBreached")], {"SignalBreached"}, id="a-signal"
        ),
        pytest.param([("Accepted", "False", "CriticalBreached")], {"CriticalBreached"}, id="alone-it-counts"),
    ],
)
def test_another_word_for_the_same_is_left_out(told: list[tuple[str, str, str]], found: set[str]) -> None:
    assert reasons(read(status(*told))) == found


def closed(*blocks: str) -> Sight:
    return read(status(window={"state": "Closed", "blocks": list(blocks)}))


@pytest.mark.parametrize(
    ("sight", "reason", "mute", "is_muted"),
    [
        pytest.param(closed("DriftRepair"), "DriftDetected", MuteInWindows.CHANGES, True, id="repairs-are-held"),
        pytest.param(closed("NewRevision"), "DriftDetected", MuteInWindows.CHANGES, False, id="repairs-are-not"),
        pytest.param(closed("NewRevision"), "AwaitingApproval", MuteInWindows.CHANGES, False, id="some-of-it-may-be-written"),
        pytest.param(closed("NewRevision", "DriftRepair"), "AwaitingApproval", MuteInWindows.CHANGES, True, id="none-of-it"),
        pytest.param(
            closed("NewRevision", "DriftRepair", "Prune", "Rollback"), "Degraded", MuteInWindows.CHANGES, False, id="health-is-no-change"
        ),
        pytest.param(closed("Prune"), "Degraded", MuteInWindows.ALL, True, id="everything"),
        pytest.param(closed("DriftRepair"), "DriftDetected", MuteInWindows.NOTHING, False, id="nothing"),
        pytest.param(read(status()), "DriftDetected", MuteInWindows.ALL, False, id="no-windows"),
        pytest.param(read(status(window={"state": "Open"})), "DriftDetected", MuteInWindows.ALL, False, id="open"),
    ],
)
def test_closed_windows_mute(sight: Sight, reason: str, mute: MuteInWindows, is_muted: bool) -> None:
    assert sight.is_muted(reason, mute) is is_muted


def test_the_revision_is_the_one_attempted_last() -> None:
    assert read(status(lastAttemptedRevision="main@sha1:b", source={"revision": "main@sha1:c"})).revision == "main@sha1:b"
    assert read(status(source={"revision": "main@sha1:c"})).revision == "main@sha1:c"


# -- what is unresolved -------------------------------------------------------------------------------------------------

DEGRADED = ("Healthy", "False", "Degraded")
GAP = ("Healthy", "Unknown", "Progressing")
KEPT = {"type": "Healthy", "reason": "Degraded", "severity": "Critical", "message": "Healthy is False", "since": AT}


def after(
    before: dict[str, Any],
    *told: tuple[str, str, str],
    holding: Mapping[str, str] | None = None,
    is_judged: bool = True,
    now: str = LATER,
    **more: Any,
) -> dict[str, Any]:
    found = status(*told, **more)
    return {**found, "unresolved": unresolved(before, found, holding=holding or {}, is_judged=is_judged, now=now)}


def test_what_a_condition_told_of_is_kept_while_it_says_nothing_and_read_as_it_was() -> None:
    first = after(status(DEGRADED), GAP)
    second = after(first, ("Healthy", "False", "Progressing"))
    assert first["unresolved"] == second["unresolved"] == [KEPT]
    assert read(second).unresolved == read(status(DEGRADED)).troubles
    assert reasons(read(second)) == set(), "whoever saw it knows it; nothing is claimed of now"


@pytest.mark.parametrize(
    ("before", "told"),
    [
        pytest.param(status(), GAP, id="nothing-was-wrong"),
        pytest.param(status(GAP), GAP, id="nothing-was-said-before"),
        pytest.param(status(DEGRADED), ("Healthy", "True", "Healthy"), id="it-is-over"),
        pytest.param(status(DEGRADED), DEGRADED, id="it-is-told-still"),
        pytest.param({**status(GAP), "unresolved": [KEPT]}, ("Healthy", "True", "Healthy"), id="it-is-over-after-a-gap"),
        pytest.param(status(("Ready", "False", "Suspended")), ("Ready", "Unknown", "Progressing"), id="it-was-wanted"),
        pytest.param({}, GAP, id="the-first-status"),
    ],
)
def test_what_is_over_or_told_or_was_never_wrong_is_not_unresolved(before: dict[str, Any], told: tuple[str, str, str]) -> None:
    assert after(before, told)["unresolved"] == []


def test_what_was_wrong_in_a_cluster_that_cannot_be_reached_any_more_is_not_over() -> None:
    lost = [(kind, "Unknown", "TargetUnreachable") for kind in ("Healthy", "Drifted", "Accepted")]
    before = status(DEGRADED, ("Drifted", "True", "DriftDetected"))
    found = after(after(before, *lost), *lost, now="2026-05-01T12:00:00Z")
    assert (reasons(read(found)), read(found).unresolved) == ({"TargetUnreachable"}, read(before).troubles)
    back = after(found, ("Healthy", "Unknown", "TelemetryGap"))
    assert (reasons(read(back)), read(back).unresolved) == ({"TelemetryGap"}, {})


def test_what_a_condition_told_of_that_is_absent_now_is_kept() -> None:
    found = [one for one in status()["conditions"] if one["type"] != "Healthy"]
    assert unresolved(status(DEGRADED), {"conditions": found}, holding={}, is_judged=True, now=LATER) == [KEPT]


def test_what_two_conditions_told_of_and_one_still_tells_is_not_unresolved() -> None:
    failed = ("SourceReady", "False", "FetchFailed")
    assert after(status(failed, ("Ready", "False", "FetchFailed")), failed, ("Ready", "Unknown", "Progressing"))["unresolved"] == []


def test_what_is_kept_of_a_message_is_short_and_one_line() -> None:
    before = status(DEGRADED)
    for condition in before["conditions"]:
        condition["message"] = "x\n" * 20_000
    (kept,) = after(before, GAP)["unresolved"]
    assert len(kept["message"]) <= 1000
    assert "\n" not in kept["message"]


# -- what keeps the newest commit back ----------------------------------------------------------------------------------

ROLLED_BACK = ("Ready", "False", "RolledBack")
NO_GIT = (("Ready", "False", "FetchFailed"), ("SourceReady", "False", "FetchFailed"))


@pytest.mark.parametrize("reason", ["RolledBack", "Quarantined", "ErrorBudgetBurning", "DependencyNotReady"])
def test_what_keeps_the_newest_commit_back_is_not_over_because_ready_tells_of_something_else(reason: str) -> None:
    found = after(status(("Ready", "False", reason)), *NO_GIT, holding={reason: "it waits"})
    hidden = read(found).troubles[reason]
    assert reasons(read(found)) == {"FetchFailed", reason}
    assert (hidden.condition, hidden.message, hidden.since) == ("Ready", "it waits", moment(AT))


def test_what_keeps_the_newest_commit_back_is_trouble_although_ready_never_told_it() -> None:
    assert read(after(status(*NO_GIT), *NO_GIT, holding={"RolledBack": "x"})).troubles["RolledBack"].since == moment(LATER)


def test_what_keeps_the_newest_commit_back_goes_on_while_nobody_can_judge_and_ends_when_somebody_can() -> None:
    before = after(status(ROLLED_BACK), *NO_GIT, is_judged=False)
    for number in range(3):
        before = after(before, *NO_GIT, is_judged=False, now=f"2026-05-01T1{number}:30:00Z")
    assert read(before).troubles["RolledBack"].since == moment(AT)
    assert reasons(read(after(before, *NO_GIT))) == {"FetchFailed"}


def test_what_is_over_with_another_reason_of_ready_is_over_for_all_that_nobody_judged() -> None:
    assert reasons(read(after(status(("Ready", "False", "ApplyFailed")), *NO_GIT, is_judged=False))) == {"FetchFailed"}


@pytest.mark.parametrize("reason", ["Suspended", "WindowClosed", "WaveNotReady"])
def test_what_somebody_wants_is_no_trouble_behind_ready_either(reason: str) -> None:
    assert reasons(read(after(status(*NO_GIT), *NO_GIT, holding={reason: "x"}))) == {"FetchFailed"}


# -- since when ---------------------------------------------------------------------------------------------------------


def moment(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)


def test_a_reason_is_as_old_as_itself_and_not_as_its_condition() -> None:
    found = after(status(("Healthy", "False", "SignalBreached")), DEGRADED)
    assert found["unresolved"] == [{"type": "Healthy", "reason": "Degraded", "severity": "Critical", "message": "", "since": LATER}]
    (trouble,) = read(found).troubles.values()
    assert (trouble.reason, trouble.message, trouble.since) == ("Degraded", "Healthy is False", moment(LATER))
    again = after(found, DEGRADED, now="2026-05-01T12:00:00Z")
    assert again["unresolved"] == found["unresolved"], "what did not change is told as it was"
    assert after(again, ("Healthy", "True", "Healthy"))["unresolved"] == []


def test_a_reason_that_comes_back_is_no_older_than_that() -> None:
    other = after(status(DEGRADED), ("Healthy", "False", "SignalBreached"))
    assert read(after(other, DEGRADED, now="2026-05-01T12:00:00Z")).troubles["Degraded"].since == moment("2026-05-01T12:00:00Z")


def test_a_gap_makes_no_trouble_younger() -> None:
    before = after(status(DEGRADED), GAP)
    found = status(DEGRADED)
    for condition in found["conditions"]:
        condition["lastTransitionTime"] = LATER
    (kept,) = unresolved(before, found, holding={}, is_judged=True, now=LATER)
    assert (kept["reason"], kept["message"], kept["since"]) == ("Degraded", "", AT)


def test_what_only_another_part_of_the_status_tells_has_an_age_as_well() -> None:
    plan = {"held": "PruneHeld", "prune": 12}
    found = after(status(("Ready", "False", "ApplyFailed")), ("Ready", "False", "ApplyFailed"), plan=plan)
    again = after(found, ("Ready", "False", "ApplyFailed"), plan=plan, now="2026-05-01T12:00:00Z")
    assert read(found).troubles["PruneHeld"].since == read(again).troubles["PruneHeld"].since == moment(LATER)


def test_a_time_that_somebody_wrote_over_is_taken_for_none() -> None:
    found = {**status(DEGRADED), "unresolved": [{**KEPT, "since": "soon"}]}
    assert read(found).troubles["Degraded"].since is None
