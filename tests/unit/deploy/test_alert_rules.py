"""Rules for Prometheus are about metrics, labels and words that exist, and each alert is shown to fire and not to fire.

Aspects: metrics and labels · words of label values · who may be woken · labels and texts of alerts · no silent reason · the objective in step with the code · tests of rules.
tests/integration/test_alert_rules.py runs promtool, test_alerts_live.py a real Prometheus.
"""

import inspect
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

import promql_parser
import pytest
import yaml

from cvstate_operator import errors
from cvstate_operator.api.conditions import Reason
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.plan import gates
from cvstate_operator.plan.changes import Action
from cvstate_operator.telemetry.metrics import Metrics
from cvstate_operator.telemetry.pass_results import PassResult, result_of
from cvstate_operator.telemetry.process_metrics import API_FAILURES
from tests.support.alert_rules import ALERTS, CASES, FILES, RECORDS, ROOT, Rule, asked_by, groups, selectors

SCRAPED: Final = frozenset({"job", "instance"})
"""Labels that a scrape adds."""
REASONS: Final = (ROOT / "docs" / "reasons.md").read_text()
each_rule = pytest.mark.parametrize("rule", [*RECORDS.values(), *ALERTS.values()], ids=[*RECORDS, *ALERTS])
each_alert = pytest.mark.parametrize("name", ALERTS)

ELSEWHERE: Final = {
    *("FetchFailed", "FetchTimeout", "SourceStale", "AuthFailed", "TLSInvalid", "HostKeyUnknown", "HostKeyMismatch"),
    *("Forbidden", "ImpersonationRefused", "TooManyNamespaces", "OwnerConflict", "FieldConflict", "QuotaExceeded"),
    *("RenderTimeout", "SettingsInvalid"),
}
"""Reasons of errors that are failures of a pass and burn no budget: sources, and what a tenant has to mend. docs/alerts.md says why."""


def labels_of_metrics() -> Mapping[str, frozenset[str]]:
    """Labels of every series that the operator exposes, by its name."""
    metrics = Metrics()
    found: dict[str, frozenset[str]] = {}
    for one in (*metrics.described(), *metrics.described_process()):
        parts = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(one.type, ("",))
        found |= {f"{one.name}{part}": frozenset(one.labels) | ({"le"} if part == "_bucket" else set()) for part in parts}
    return found


METRICS: Final = labels_of_metrics()


def labels_of(name: str) -> frozenset[str]:
    """Labels of a metric or of what is recorded."""
    return METRICS[name] | SCRAPED if name in METRICS else labels_left(promql_parser.parse(RECORDS[name]["expr"]))


def labels_left(expr: Any) -> frozenset[str]:
    """Labels of what an expression gives: those of the left side, with `or` of either."""
    match expr:
        case promql_parser.VectorSelector():
            return labels_of(expr.name)
        case promql_parser.MatrixSelector():
            return labels_left(expr.vector_selector)
        case promql_parser.AggregateExpr():
            return frozenset(expr.modifier.labels) if expr.modifier else frozenset()
        case promql_parser.Call() if expr.func.name == "absent":
            return frozenset()
        case promql_parser.Call():
            return frozenset().union(*map(labels_left, expr.args)) - ({"le"} if expr.func.name == "histogram_quantile" else set())
        case promql_parser.BinaryExpr():  # of `time() - x` the left side has none
            left, right = labels_left(expr.lhs), labels_left(expr.rhs)
            return left | right if str(expr.op) == "or" else left or right
        case promql_parser.ParenExpr() | promql_parser.SubqueryExpr():
            return labels_left(expr.expr)
        case _:
            return frozenset()


def words(rules: Mapping[str, Rule], label: str) -> set[str]:
    """Values of a label that selectors of rules name, each for itself."""
    found: set[str] = set()
    for query in chain.from_iterable(asked_by(rule) for rule in rules.values()):
        for matcher in chain.from_iterable(selector.matchers.matchers for selector in selectors(query)):
            if matcher.name == label:
                found |= set(matcher.value.split("|"))
    return found


def reasons_in(name: str, operator: str) -> set[str]:
    """Reasons that the expression of an alert or record names after =~ or !~."""
    rule = {**ALERTS, **RECORDS}[name]
    return set(chain.from_iterable(found.split("|") for found in re.findall(rf'reason{operator}"([^"]+)"', rule["expr"])))


def leaves() -> set[str]:
    """Reasons of all errors that are told: not those of the branches of the tree."""
    branches = (errors.CvstateError, errors.TransientError, errors.WaitingError, errors.TerminalError)
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CvstateError) and kind not in branches
    ]
    return {kind.reason for kind in kinds}


# -- metrics, labels, words ------------------------------------------------------------------------------------------------


@each_rule
def test_a_rule_asks_for_series_and_labels_that_exist(rule: Rule) -> None:
    for query in asked_by(rule):
        for found in selectors(query):
            assert found.name in METRICS or found.name in RECORDS, found.name
            assert {matcher.name for matcher in found.matchers.matchers} <= labels_of(found.name), query


@each_rule
def test_a_rule_adds_up_by_labels_that_exist(rule: Rule) -> None:
    for query in asked_by(rule):
        nodes: list[Any] = []
        promql_parser.walk(promql_parser.parse(query), nodes.append)
        for node in nodes:
            if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
                below: list[Any] = []
                promql_parser.walk(node.expr, below.append)
                known = [labels_of(one.name) for one in below if isinstance(one, promql_parser.VectorSelector)]
                assert set(node.modifier.labels) <= frozenset().union(*known), query


def test_every_reason_in_a_rule_is_one() -> None:
    for word in words({**ALERTS, **RECORDS}, "reason") - {"x"}:
        assert f"`{word}`" in REASONS, word


def test_every_action_in_a_rule_is_one() -> None:
    known = {action.value for action in (*WindowAction, *Action)}
    assert words({**ALERTS, **RECORDS}, "action") <= known


OF_EACH_INTERVAL: Final = {"cvstate_reconcile_total", "cvstate_reconcile_results_total", "cvstate_source_fetch_total"}
"""Counters of what happens once in an interval, which is ten minutes, a day, or whatever somebody wrote."""


COUNTED_IN_WINDOWS: Final = {"cvstate_object_changes_total", "cvstate_source_last_success_timestamp_seconds"}
"""What alerts about ClusterStates ask of over an hour or a day: it does not matter that nothing is told for minutes."""


@each_rule
def test_no_rule_counts_in_a_window_what_happens_once_in_an_interval(rule: Rule) -> None:
    """With an interval longer than the window it would see nothing: neither that something fails, nor that something is done."""
    for query in asked_by(rule):
        assert {found.name for found in selectors(query)}.isdisjoint(OF_EACH_INTERVAL), query


def test_what_is_said_of_the_api_server_is_said_of_our_own() -> None:
    """Remote clusters belong to others."""
    for name, rule in {**ALERTS, **RECORDS}.items():
        for found in selectors(rule["expr"]):
            if found.name == "cvstate_api_requests_total":
                assert ("target", "home") in {(one.name, one.value) for one in found.matchers.matchers}, name


def test_failures_of_the_api_server_are_the_same_as_in_the_code() -> None:
    (found,) = re.findall(r'result=~"([^"]+)"', RECORDS["cvstate:api_errors:rate5m"]["expr"])
    assert set(found.split("|")) == set(API_FAILURES)


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_recorded_is_called_by_level_metric_and_operation(name: str) -> None:
    level, metric, operation = name.split(":")
    assert level in ("clusterstate", "cvstate")
    assert metric
    assert operation
    assert ({"namespace", "name"} <= labels_of(name)) == (level == "clusterstate")


# -- alerts ----------------------------------------------------------------------------------------------------------------


@each_alert
def test_an_alert_says_how_loud_it_is_and_where_it_belongs(name: str) -> None:
    rule = ALERTS[name]
    assert name.startswith("Cvstate")
    assert rule["labels"].keys() == {"severity", "area"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["summary"]) <= 120
    assert rule["annotations"]["description"].endswith(".")


@pytest.mark.parametrize("group", groups(), ids=lambda group: group["name"])
def test_alerts_of_a_group_share_its_area(group: dict[str, Any]) -> None:
    areas = {rule["labels"]["area"] for rule in group["rules"] if "alert" in rule}
    assert areas <= {group["name"].removeprefix("cvstate-")}


@each_alert
def test_every_wait_has_its_reason_beside_it(name: str) -> None:
    text = FILES[1].read_text()
    rule = text.partition(f"- alert: {name}\n")[2].partition("\n      - alert:")[0]
    assert rule.count("for:") == ("for" in ALERTS[name])
    assert "for" not in ALERTS[name] or re.search(r"^ +# .+\n +for: ", rule, flags=re.MULTILINE)


@each_alert
def test_an_alert_about_a_clusterstate_outlives_the_process_that_tells_it(name: str) -> None:
    """A label of a process would end it and begin it anew when another replica takes over, or a Pod is made anew."""
    left = labels_left(promql_parser.parse(ALERTS[name]["expr"]))
    if ALERTS[name]["labels"]["area"] == "operator":
        assert left <= SCRAPED | {"action"}
    else:
        assert {"namespace", "name"} <= left <= {"namespace", "name", "reason", "result"}


@each_alert
def test_an_alert_about_a_clusterstate_goes_on_while_the_operator_is_restarted(name: str) -> None:
    """Series of a process end with it; what the next one tells comes one to three minutes later. Windows see over that, and so do the rules that are recorded for it."""
    if ALERTS[name]["labels"]["area"] == "operator":
        return
    assert {found.name for found in selectors(ALERTS[name]["expr"]) if found.name in METRICS} <= COUNTED_IN_WINDOWS


@pytest.mark.parametrize("name", [name for name in RECORDS if name.startswith("clusterstate:") and not name.endswith(":own")])
def test_what_is_recorded_of_a_clusterstate_is_remembered_until_it_is_told_again(name: str) -> None:
    expr = RECORDS[name]["expr"]
    metric = name.split(":")[1]
    assert name in {found.name for found in selectors(expr)}
    assert re.search(rf"and on \(namespace, name\) last_over_time\({metric}\S*\[3m\]\)", expr)
    assert "unless on (namespace, name)" in expr


def test_few_alerts_wake_anybody() -> None:
    pages = {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "page"}
    assert pages == {
        "CvstateOperatorDown",
        "CvstateNotReconciling",
        "CvstateReconcileBudgetBurning",
        "CvstateApiUnauthorized",
        "CvstateSourceRefused",
        "CvstateReconcileFailingWithImpact",
        "CvstateCriticalDrift",
        "CvstateUnhealthyAfterChange",
        "CvstateSloBurning",
    }


# -- reasons ---------------------------------------------------------------------------------------------------------------


def test_the_reasons_for_which_a_remote_cluster_is_left_out_are_about_its_api_server() -> None:
    """What burns at home and is no fault of the operator itself."""
    left_out = reasons_in("clusterstate:cvstate_ready_reason:own", "=~")
    assert reasons_in("cvstate:reconcile_failing:ratio", "=~") - left_out == {"CacheLost", "Fenced", "ToolMissing", "InternalError"}
    assert reasons_in("CvstateTargetUnreachable", "=~") <= left_out


def test_what_people_asked_for_wakes_nobody() -> None:
    asked_for = {"AwaitingApproval", "PruneHeld", "WaveNotReady", *(reason.value for reason in gates.Reason)}
    assert asked_for <= reasons_in("CvstateReconcileFailingWithImpact", "!~")


def test_every_reason_why_something_is_not_ready_has_an_alert_or_is_held_on_purpose() -> None:
    """CvstateNotReady takes what no other alert takes; what it leaves out has to be somebody's."""
    left_out = reasons_in("CvstateNotReady", "!~")
    alerts = {
        *reasons_in("CvstateStuck", "=~"),
        *reasons_in("CvstateRolledBack", "=~"),
        *("TargetUnreachable", "TelemetryGap"),  # CvstateTargetUnreachable, CvstateTelemetryGap
        *("FetchFailed", "FetchTimeout", "SourceStale"),  # CvstateSourceStale
        *("AwaitingApproval", "PruneHeld", "BreakerOpen", "DriftDetected"),  # CvstatePlanWaiting, PruneHeld, BreakerOpen, DriftUnattended
    }
    on_purpose = {"Reconciled", *(reason.value for reason in gates.Reason)}
    assert left_out - alerts - on_purpose == set()
    assert alerts <= left_out


def test_the_budget_is_burnt_by_what_the_code_calls_a_failure_less_what_others_have_to_mend() -> None:
    burning = reasons_in("cvstate:reconcile_failing:ratio", "=~")
    failures = {reason for reason in leaves() if result_of(reason) in (PassResult.TRANSIENT, PassResult.PERSISTENT)}
    assert failures - burning == ELSEWHERE
    assert burning - failures == {Reason.TELEMETRY_GAP, Reason.NOT_EVALUATED}
    assert {result_of(reason) for reason in burning} == {PassResult.TRANSIENT, PassResult.PERSISTENT}


# -- tests of rules --------------------------------------------------------------------------------------------------------


def told() -> dict[str, set[bool]]:
    """By alert, whether tests of rules show it to fire, and not to fire."""
    found: dict[str, set[bool]] = {name: set() for name in ALERTS}
    for case in chain.from_iterable(yaml.safe_load(file.read_text())["tests"] for file in CASES):
        for one in case.get("alert_rule_test", ()):
            found[one["alertname"]].add(bool(one["exp_alerts"]))
    return found


@each_alert
def test_an_alert_is_shown_to_fire_and_not_to_fire(name: str) -> None:
    assert told()[name] == {True, False}


@each_alert
def test_an_alert_is_shown_to_wait_as_long_as_it_says(name: str) -> None:
    """A case in which it does not fire yet, and does later."""
    if "for" not in ALERTS[name]:
        return
    cases = chain.from_iterable(yaml.safe_load(file.read_text())["tests"] for file in CASES)
    courses = [[bool(one["exp_alerts"]) for one in case.get("alert_rule_test", ()) if one["alertname"] == name] for case in cases]
    assert any(course[:2] == [False, True] or course[1:3] == [False, True] for course in courses)


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_tests_of_rules_evaluate_all_groups_in_the_order_of_the_files(file: Any) -> None:
    found = yaml.safe_load(file.read_text())
    assert found["group_eval_order"] == [group["name"] for group in groups()]
    assert [(file.parent / name).resolve() for name in found["rule_files"]] == [one.resolve() for one in FILES]
