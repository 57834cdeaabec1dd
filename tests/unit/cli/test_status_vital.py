"""`cvstate status`, without a cluster: the score, what pulls it down and what to do, and what is not well.

Aspects: the column · the numbers at the top · what pulls: costs, age, one step for each kind · objects, signals and SLOs that are not well, and how many are not shown ·
what the error budget holds · evidence against revisions · quiet where all is well · foreign text · narrow terminals.
"""

import re
from typing import Any

import pytest

from cvstate_operator.api.vital import Indicator
from cvstate_operator.cli import next_step, status, status_detail, status_vital
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.verdicts.compliance import Doubt, Fault
from tests.unit.cli.test_status import A, B, ago, condition, item, text

QUERY = 'sum(rate(errors_total{job="shop"}[5m]))\n  / sum(rate(requests_total{job="shop"}[5m]))\n'
SPEC: dict[str, Any] = {
    "vital": {
        "prometheus": {"url": "http://prometheus.monitoring:9090/", "secretRef": {"name": "access"}},
        "signals": [
            {"name": "error-rate", "query": QUERY, "max": "0.01"},
            *({"name": indicator.lower(), "indicator": indicator, "max": "1"} for indicator in Indicator),
        ],
        "slos": [
            {"name": "availability", "objective": "99.9", "good": 'ok{job="shop"}', "total": "sum(increase(all[{{.window}}]))"},
            {"name": "latency", "series": {"sloth": "shop-latency"}},
        ],
    }
}
BURNING = {
    "name": "availability",
    "state": "Burning",
    "objective": "99.9",
    "budgetLeft": "0.7",
    "burnRate": "14.4",
    "exhaustedIn": "1d11h",
    "level": "Page",
    "message": "the error budget burns more than 5 times faster than evenly, over 1h and 5m",
}
WELL = {"score": 100, "confidence": 100, "configuration": 100, "vital": 100}


def signal(state: str = "Breached", name: str = "error-rate", **told: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "bound": "<= 0.01", "since": ago(minutes=12), "message": "should be <= 0.01 and is not", **told}


def burning(**told: Any) -> dict[str, Any]:
    return {**BURNING, "since": ago(minutes=13), "takenAt": ago(minutes=11), **told}


def unready(name: str, state: str = "Failed", **told: Any) -> dict[str, Any]:
    return {"object": name, "state": state, "reason": "CrashLoop", "message": "0 of 1 ready", "since": ago(minutes=14), **told}


def pull(name: str, points: int = 5, **told: Any) -> dict[str, Any]:
    return {"name": name, "points": points, "message": "is wrong", "since": ago(minutes=12), **told}


def detail(spec: dict[str, Any] | None = None, *, narrow: bool = False, width: int = 300, **told: Any) -> str:
    shown = status_detail.shown(item(SPEC if spec is None else spec, **told), (), is_narrow=narrow)
    return "\n".join(line.rstrip() for line in text(shown, width).splitlines())


def row(found: str, start: str) -> str:
    return next(re.sub(r" {2,}", "  ", line) for line in found.splitlines() if line.startswith(start))


# -- the column ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cv", "shown", "style"),
    [
        ({"score": 100, "confidence": 100}, "100", "green"),
        ({"score": 90, "confidence": 80}, "90", "green"),
        ({"score": 89, "confidence": 100}, "89", "yellow"),
        ({"score": 70, "confidence": 100}, "70", "yellow"),
        ({"score": 69, "confidence": 100}, "69", "red"),
        ({"score": 100, "confidence": 79}, "100?", "yellow"),
        ({"score": 20, "confidence": 0}, "20?", "red"),
        ({"score": 0, "confidence": 100}, "0", "red"),
        ({"confidence": 0}, "-", ""),
        (None, "-", ""),
    ],
)
def test_the_score_has_its_colour_and_a_question_mark_where_too_little_is_known(cv: Any, shown: str, style: str) -> None:
    found = status_vital.score_text(item({}, **({"cv": cv} if cv else {})))
    assert (found.plain, found.style) == (shown, style)


def test_how_much_has_to_be_known_is_what_the_spec_accepts() -> None:
    spec = {"vital": {"acceptance": {"minConfidence": 20}}}
    assert status_vital.score_text(item(spec, cv={"score": 100, "confidence": 49})).plain == "100"


@pytest.mark.parametrize(("width", "is_there"), [(60, False), (80, True), (120, True), (160, True)])
def test_the_score_is_the_last_column_that_a_narrow_terminal_costs(width: int, is_there: bool) -> None:
    one = item(cv={"score": 49, "confidence": 100})
    one["metadata"]["name"] = "a-name-of-20-letters"
    head, line = text(status._table([one], width=width), width).splitlines()
    assert ("SCORE" in head, " 49 " in line) == (is_there, is_there)
    assert len(line.rstrip()) <= width


# -- the numbers ---------------------------------------------------------------------------------------------------------


def test_where_all_is_well_one_line_says_so_and_nothing_else_is_told_of_it() -> None:
    vital = {"objects": {"ready": 8}, "signals": [signal("Passing")], "slos": [burning(state="Met")]}
    found = detail(cv={**WELL, "completeness": 100}, vital=vital)
    assert row(found, "Score") == "Score  100, confidence 100"
    assert not any(word in found for word in ("configuration", "Pulls", "Not ready", "Signals", "SLOs", "given up"))


def test_otherwise_it_is_told_what_the_numbers_are_made_of_near_the_top() -> None:
    cv = {"score": 49, "confidence": 83, "configuration": 98, "vital": 67, "completeness": 71, "worst": "error-rate"}
    found = detail(cv=cv)
    assert "Score         49, confidence 83\n              configuration 98, vital 67, telemetry 71 % complete\n" in found
    assert found.index("Score") < found.index("Source")


def test_where_nothing_was_compared_no_score_is_claimed() -> None:
    assert row(detail(cv={"confidence": 12}), "Score").startswith("Score  none yet, nothing was compared with Git; confidence 12")
    assert "Score" not in detail()


# -- what pulls ----------------------------------------------------------------------------------------------------------


def test_what_pulls_is_told_with_its_cost_its_age_and_what_to_do_before_the_conditions() -> None:
    found = detail(cv={"score": 80, "confidence": 100}, vital={"pulls": [pull("HighDrift", 18), pull("LowDrift", 1, since=None)]})
    lines = found.splitlines()
    at = lines.index("Pulls the score down")
    assert [re.split(r" {2,}", line.strip()) for line in lines[at + 2 : at + 5]] == [
        ["HighDrift", "18 points", "12 m", "is wrong"],
        ["see each field, and who wrote it: cvstate diff shop -n web"],
        ["LowDrift", "1 point", "is wrong"],
    ]
    assert found.index("Pulls") < found.index("CONDITION")


def test_of_points_that_do_not_count_alone_and_of_doubt_it_is_said_what_they_cost() -> None:
    gone = signal("Unknown", gap="Stale", lastKnown="Passing")
    pulls = [pull("Failed", 0), pull("Degraded", 0), pull("error-rate", 0), pull("SourceStale", 0)]
    found = detail(cv={"score": 70, "confidence": 80}, vital={"pulls": pulls, "signals": [gone]})
    costs = [row(found, name).split("  ")[1] for name in ("Failed", "Degraded", "error-rate", "SourceStale")]
    assert costs == ["0 points", "0 points", "confidence", "confidence"]
    assert "0 points: something else keeps the score as low" in found


def test_a_gap_after_a_breach_costs_more_than_confidence() -> None:
    gone = signal("Unknown", gap="Stale", lastKnown="Breached")
    unknown = burning(state="Unknown", gap="Stale", lastKnown="Burning")
    pulls = [pull("error-rate", 0), pull("availability", 0)]
    found = detail(cv={"score": 70, "confidence": 80}, vital={"pulls": pulls, "signals": [gone], "slos": [unknown]})
    assert [row(found, name).split("  ")[1] for name in ("error-rate", "availability")] == ["0 points"] * 2


def test_what_never_was_known_or_is_a_gap_costs_points_and_confidence() -> None:
    pulls = [pull("error-rate", 1), pull("Unknown", 3), pull("Degraded", 2)]
    found = detail(cv={"score": 90, "confidence": 49}, vital={"pulls": pulls, "signals": [signal("Unknown", gap="NoData")]})
    costs = [row(found, name).split("  ")[1] for name in ("error-rate", "Unknown", "Degraded")]
    assert costs == ["1 point, confidence", "3 points, confidence", "2 points"]


def test_a_step_for_several_is_said_once_and_it_is_said_that_more_may_pull() -> None:
    found = detail(cv={"score": 70, "confidence": 80}, vital={"pulls": [pull("Failed"), pull("Degraded"), *[pull("LowDrift")] * 8]})
    assert found.count("cvstate tree shop -n web --unhealthy") == 1
    assert "the worst 10 are told" in found
    assert "are told" not in detail(cv={"score": 70, "confidence": 80}, vital={"pulls": [pull("Failed")]})


def test_a_full_score_with_doubt_is_told_as_doubt() -> None:
    found = detail(cv={"score": 100, "confidence": 49}, vital={"pulls": [pull("error-rate", 0)]})
    assert "Pulls the confidence down" in found
    assert "points" not in found


def test_if_nothing_is_told_but_the_worst_that_is_shown() -> None:
    found = detail(cv={"score": 80, "confidence": 100, "worst": "HighDrift"}, vital={})
    assert row(found, "HighDrift").endswith("not as it should be")
    assert "cvstate diff" in found


@pytest.mark.parametrize("word", [*Fault, *Doubt, *(level for level in Level if level not in (Level.READY, Level.PROGRESSING))])
def test_every_word_of_configuration_and_health_has_a_command_that_goes_on(word: str) -> None:
    assert re.search(r"cvstate (diff|tree|plan|reconcile) shop -n web", next_step.step(word, item(SPEC)))


@pytest.mark.parametrize("word", [Fault.HELD, Fault.NOT_APPLIED])
def test_what_waits_since_it_is_suspended_goes_on_by_resume(word: str) -> None:
    assert next_step.step(word, item({**SPEC, "suspend": True})).endswith(": cvstate resume shop -n web")
    assert "resume" not in next_step.step(word, item({**SPEC, "suspend": False}))


@pytest.mark.parametrize("indicator", Indicator)
def test_every_indicator_has_a_command_that_goes_on(indicator: Indicator) -> None:
    assert re.search(r": (cvstate|kubectl) ", next_step.step(indicator.lower(), item(SPEC)))


@pytest.mark.parametrize("gap", Gap)
@pytest.mark.parametrize("name", ["error-rate", "quotaused", "availability"])
def test_every_gap_says_what_is_to_be_looked_at(gap: Gap, name: str) -> None:
    told = {"vital": {"signals": [signal("Unknown", name, gap=gap)], "slos": [burning(state="Unknown", gap=gap)]}}
    found = next_step.step(name, item(SPEC, **told))
    assert found
    assert "{" not in found.replace('{job="shop"}', "")


def test_a_signal_shows_its_query_on_one_line_to_be_asked_in_prometheus() -> None:
    expected = 'ask Prometheus for: sum(rate(errors_total{job="shop"}[5m])) / sum(rate(requests_total{job="shop"}[5m]))'
    assert next_step.step("error-rate", item(SPEC, vital={"signals": [signal()]})) == expected


def test_an_slo_shows_a_query_of_what_fails_now() -> None:
    told = item(SPEC, vital={"slos": [burning(), burning(name="latency")]})
    assert next_step.step("availability", told).endswith(': sum(increase(ok{job="shop"}[5m])) / sum(increase(all[5m]))')
    assert next_step.step("latency", told).endswith(': slo:sli_error:ratio_rate5m{sloth_id="shop-latency"}')


def test_where_the_secret_is_refused_it_is_named_and_where_nobody_answers_the_address() -> None:
    refused, away = (item(SPEC, vital={"signals": [signal("Unknown", gap=gap)]}) for gap in ("Refused", "Unreachable"))
    assert "(access)" in next_step.step("error-rate", refused)
    assert next_step.step("error-rate", away).endswith(": http://prometheus.monitoring:9090")


def test_a_name_of_both_a_signal_and_an_slo_means_the_one_that_is_not_well() -> None:
    spec = {"vital": {"signals": [{"name": "x", "query": "q1"}], "slos": [{"name": "x", "good": "g", "total": "t"}]}}
    told = {"signals": [signal(name="x")], "slos": [burning(name="x", state="Met")]}
    assert next_step.step("x", item(spec, vital=told)) == "ask Prometheus for: q1"


def test_what_is_nowhere_declared_has_no_step() -> None:
    assert next_step.step("gone-from-the-spec", item(SPEC)) == ""


# -- what is not well ----------------------------------------------------------------------------------------------------


def test_objects_that_are_not_ready_are_told_with_their_cause_and_the_rest_counted() -> None:
    told = [unready(f"apps/Deployment/web/d{i}", cause=f"Pod d{i}-x: OOMKilled") for i in range(10)]
    counts = {"ready": 20, "failed": 3, "degraded": 9, "progressing": 2}
    found = detail(vital={"objects": counts, "unready": told})
    assert "Not ready: 3 Failed, 9 Degraded, 2 Progressing of 34 objects" in found
    assert found.count("apps/Deployment/web/d") == found.count("OOMKilled") == status_vital.UNREADY
    assert f"… and {14 - status_vital.UNREADY} more; see all of them with: cvstate tree shop -n web --unhealthy" in found


def test_a_breached_signal_shows_what_was_measured_and_where() -> None:
    found = detail(vital={"signals": [signal(value="0.034", takenAt=ago(minutes=11), series='{instance="a"}'), signal("Passing", "ok")]})
    assert "Signals that are not Passing: 1 of 12" in found
    assert row(found, "error-rate") == "error-rate  Breached  12 m  0.034 (11 m ago): should be <= 0.01 and is not"
    assert '{instance="a"}' in found


def test_an_unknown_signal_shows_why_and_what_it_was_before() -> None:
    late = signal("Unknown", gap="Stale", message="there is no data", value="0.002", takenAt=ago(minutes=36), lastKnown="Passing")
    never = signal("Unknown", "quotaused", gap="Refused", message="may not")
    found = detail(vital={"signals": [late, never]})
    assert row(found, "error-rate").endswith("Stale: there is no data")
    assert "before: Passing, 0.002 (36 m ago)" in found
    assert "before: nothing, it never had data" in found


def test_of_many_signals_it_is_counted_what_is_not_shown_and_what_nobody_told() -> None:
    spec = {"vital": {"signals": [{"name": f"s{i}", "query": "q", "max": "1"} for i in range(128)]}}
    found = detail(spec, vital={"signals": [signal(name=f"s{i}") for i in range(20)]})
    assert "Signals that are not Passing: 20 of 128" in found
    assert f"… and {20 - status_vital.JUDGED} more" in found
    assert "… and 108 of which the status tells nothing" in found
    some = detail(spec, vital={"signals": [signal(name="s0"), *(signal("Passing", f"s{i}") for i in range(1, 20))]})
    assert "tells nothing" not in some


def test_an_slo_that_burns_shows_what_is_left_how_fast_it_goes_and_until_when() -> None:
    found = detail(vital={"slos": [burning(), burning(name="latency", state="Met")]})
    assert "SLOs that are not Met: 1 of 2" in found
    assert "70 % of the error budget left, burn rate 14.4 over the last hour, gone in 1d11h, Page (11 m ago)" in found


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"budgetLeft": "-0.25"}, "the error budget is overdrawn by 25 %"),
        ({"budgetLeft": "0"}, "0 % of the error budget left"),
        ({"burnRate": "0.4", "budgetLeft": "many"}, "burn rate 0.4 over the last hour"),
        ({"burnRate": "nan"}, ""),
        ({}, ""),
    ],
)
def test_of_a_budget_only_what_is_known_is_told(told: dict[str, str], says: str) -> None:
    assert status_vital.budget(told) == says


# -- what the error budget holds -----------------------------------------------------------------------------------------


def test_a_commit_that_an_error_budget_holds_waits_with_the_command_that_lets_it_pass() -> None:
    newer = {"revision": f"main@sha1:{B}", "commitTime": ago(minutes=1)}
    found = detail(source=newer, lastAttemptedRevision=f"main@sha1:{A}", vital={"slos": [burning()]})
    assert f"main@{B[:12]}: ErrorBudgetBurning" in found
    assert "cvstate approve shop -n web --fix" in found
    held = next_step.step(Fault.HELD, item(SPEC, source=newer, lastAttemptedRevision=f"main@sha1:{A}", vital={"slos": [burning()]}))
    assert held.endswith("cvstate approve shop -n web --fix")
    assert "--fix" not in detail(source=newer, lastAttemptedRevision=f"main@sha1:{B}", vital={"slos": [burning()]})


# -- evidence ------------------------------------------------------------------------------------------------------------


def test_what_spoke_against_a_revision_is_told_once() -> None:
    evidence = [f"signal s{i}: should be <= 1 and is not" for i in range(status_detail.EVIDENCE + 2)]
    entry = {"revision": f"main@sha1:{B}", "outcome": "Unhealthy", "startedAt": ago(hours=1), "evidence": evidence}
    message = f"not healthy within 5m: {'; '.join(evidence)}"
    found = detail(history=[entry], quarantined=[{"revision": f"sha1:{B}", "message": message}])
    assert f"main@{B[:12]} was given up, since" in found
    assert found.count("should be <= 1") == status_detail.EVIDENCE
    assert "… and 2 more" in found
    assert "not healthy within 5m" in found
    del entry["evidence"]
    assert "signal s0: should" in detail(history=[entry], quarantined=[{"revision": f"sha1:{B}", "message": message}])


# -- foreign text, narrow terminals --------------------------------------------------------------------------------------

EVIL = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\n" + "long " * 1000


def test_foreign_text_cannot_write_to_the_terminal_and_is_cut() -> None:
    vital = {
        "pulls": [pull(EVIL, message=EVIL, since=EVIL)],
        "unready": [unready(EVIL, EVIL, message=EVIL, cause=EVIL, since=EVIL)],
        "signals": [dict.fromkeys(signal(value="", takenAt="", series="", gap="", lastKnown=""), EVIL)],
        "slos": [dict.fromkeys(burning(gap=""), EVIL)],
    }
    spec = {"vital": {"prometheus": {"url": EVIL}, "signals": [{"name": EVIL, "query": EVIL, "max": "1"}]}}
    for narrow in (True, False):
        found = detail(
            spec, narrow=narrow, cv={"score": 1, "confidence": 1}, vital=vital, history=[], conditions=[condition("Ready", "True")]
        )
        assert not {"\x1b", "\x07"} & set(found)
        assert "[red]x[/red]" in found
        assert found.count("long ") < 2000  # of 14,000


@pytest.mark.parametrize("width", [60, 80, 119])
def test_on_a_narrow_terminal_everything_fits_and_each_thing_is_a_block(width: int) -> None:
    told = unready("apps/Deployment/web/api", cause="Pod api-5c4695b6c-bktdb, container main: CrashLoopBackOff for 12 m, 7 restarts")
    vital = {"objects": {"ready": 1, "failed": 1}, "unready": [told], "signals": [signal()], "slos": [burning()], "pulls": [pull("Failed")]}
    found = detail(narrow=True, width=width, cv={"score": 49, "confidence": 83}, vital=vital)
    lines = found.splitlines()
    assert max(map(len, lines)) <= width
    for line in ("Failed  5 points, for 12 m", "apps/Deployment/web/api  Failed, for 14 m", "error-rate  Breached, for 12 m"):
        assert lines[lines.index(line) + 1].startswith("  ")
    assert any(re.fullmatch(r"Ready  True, for 5 m.*", line) for line in lines)
