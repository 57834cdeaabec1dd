"""Metrics.

Aspects: names and labels · what a ClusterState leaves behind · what is there from the beginning · unknown is not zero · the reference page.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cvstate_operator.api.conditions import Condition, ConditionType, merge
from cvstate_operator.kube import api_quality
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan.history import Entry, Stage
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Described, Metrics, Standing, Step
from cvstate_operator.telemetry.process_metrics import API_FAILURES
from cvstate_operator.telemetry.reference import page
from cvstate_operator.telemetry.rollout_metrics import MAX_KINDS

ALL = Metrics().described()
STANDING = Standing(
    objects=3,
    desired=3,
    problems=0,
    drift={"High": 2},
    drift_since=1_767_225_600.0,
    breakers=1,
    waiting=4,
    leaving=2,
    closed={"Prune": "WindowClosed"},
)
BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
STEP = Step(
    history=(Entry("main@sha1:" + "a" * 40, "a" * 40, BEGAN, Stage.HEALTHY, 30.0),),
    committed_at=BEGAN,
    written={ObjectRef("", "ConfigMap", "default", "one"): 0.1},
)
CONDITIONS = merge((), [Condition(ConditionType.READY, False, "PruneHeld")], generation=1, now="2026-01-01T12:00:00Z")
LABELS = {"namespace", "name", "kind", "reason", "action", "severity", "result", "target", "version"}


def lines(metrics: Metrics, *, about: str) -> list[str]:
    """Exposed samples that mention a ClusterState."""
    return [line for line in metrics.expose().decode().splitlines() if not line.startswith("#") and f'name="{about}"' in line]


def used(metrics: Metrics, name: str) -> ClusterStateMeter:
    """A meter with every metric touched."""
    meter = ClusterStateMeter(metrics, namespace="default", name=name)
    meter.recall(())
    meter.fetched(result="ok", seconds=0.1)
    meter.reconciled(result="ok", seconds=0.1)
    meter.changed(kind="ConfigMap", action="create", result="ok")
    meter.drifted(kind="ConfigMap", severity="High")
    meter.remedied(action="Auto", severity="High", seconds=0.1)
    meter.repaired(seconds=0.1)
    meter.stands(STANDING)
    meter.stepped(STEP)
    meter.status({"conditions": CONDITIONS})
    return meter


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_metric_is_named_by_the_rules(metric: Described) -> None:
    assert re.fullmatch(r"cvstate_[a-z_]+", metric.name)
    assert metric.meaning.endswith(".")
    if metric.type == "histogram":
        assert metric.name.endswith("_seconds")
    assert not re.search(r"_(ms|milliseconds|minutes|total)$", metric.name)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_labels_come_from_the_fixed_set(metric: Described) -> None:
    assert set(metric.labels) <= LABELS


def test_counters_are_exposed_as_totals() -> None:
    metrics = Metrics()
    used(metrics, "shop")
    exposed = {line.partition("{")[0] for line in lines(metrics, about="shop")}
    for metric in ALL:
        if metric.type == "counter" and "name" in metric.labels:
            assert f"{metric.name}_total" in exposed


def test_series_vanish_with_their_cluster_state_and_no_others_do() -> None:
    metrics = Metrics()
    shop, _ = used(metrics, "shop"), used(metrics, "bank")
    before = lines(metrics, about="bank")
    assert len(lines(metrics, about="shop")) == len(before)
    shop.close()
    assert lines(metrics, about="shop") == []
    assert lines(metrics, about="bank") == before


def test_a_successor_of_the_same_name_is_counted_whenever_its_predecessor_goes() -> None:
    metrics = Metrics()
    before, after = used(metrics, "shop"), used(metrics, "shop")
    before.close()
    after.changed(kind="ConfigMap", action="create", result="ok")
    assert any("_changes_total" in line for line in lines(metrics, about="shop"))


def test_writes_are_counted_by_kind_action_and_result() -> None:
    metrics = Metrics()
    shop, bank = (ClusterStateMeter(metrics, namespace="default", name=name) for name in ("shop", "bank"))
    for result in ("ok", "ok", "Throttled"):
        shop.changed(kind="ConfigMap", action="create", result=result)
    bank.changed(kind="ConfigMap", action="create", result="ok")
    counted = [line.rpartition(" ")[2] for name in ("shop", "bank") for line in lines(metrics, about=name) if "_changes_total" in line]
    assert counted == ["2.0", "1.0", "1.0"]


def test_one_that_never_counted_anything_leaves_nothing() -> None:
    metrics = Metrics()
    ClusterStateMeter(metrics, namespace="default", name="new").close()
    assert lines(metrics, about="new") == []


@pytest.mark.parametrize(
    "series",
    [
        'drift_events_total{name="new",namespace="default",severity="Critical"}',
        'policy_denials_total{name="new",namespace="default"}',
        'reconcile_results_total{name="new",namespace="default",result="Persistent"}',
        'rollouts_total{action="NewRevision",name="new",namespace="default",result="Unhealthy"}',
    ],
)
def test_what_an_increase_is_asked_of_is_zero_from_the_beginning(series: str) -> None:
    metrics = Metrics()
    ClusterStateMeter(metrics, namespace="default", name="new")
    assert f"cvstate_{series} 0.0" in metrics.expose().decode()


def test_a_spec_that_is_refused_counts_without_a_duration() -> None:
    metrics = Metrics()
    ClusterStateMeter(metrics, namespace="default", name="new").refused(reason="InvalidSpec")
    exposed = metrics.expose().decode()
    assert 'cvstate_reconcile_total{name="new",namespace="default",result="InvalidSpec"} 1.0' in exposed
    assert 'cvstate_reconcile_results_total{name="new",namespace="default",result="Invalid"} 1.0' in exposed
    assert 'cvstate_reconcile_duration_seconds_count{name="new"' not in exposed


def test_a_write_that_admission_refuses_is_a_denial_and_no_other_is() -> None:
    metrics = Metrics()
    meter = ClusterStateMeter(metrics, namespace="default", name="new")
    for result in ("ok", "AdmissionDenied", "Forbidden", "Invalid", "AdmissionDenied"):
        meter.changed(kind="Pod", action="create", result=result)
    assert 'cvstate_policy_denials_total{name="new",namespace="default"} 2.0' in metrics.expose().decode()


def test_kinds_beyond_the_limit_are_one() -> None:
    metrics = Metrics()
    meter = ClusterStateMeter(metrics, namespace="default", name="new")
    for number in range(MAX_KINDS + 50):
        meter.changed(kind=f"Kind{number}", action="create", result="ok")
        meter.drifted(kind=f"Kind{number}", severity="Low")
    found = [line for line in lines(metrics, about="new") if "_changes_total" in line]
    assert len(found) == MAX_KINDS + 1
    assert any('kind="Other"' in line and line.endswith(" 50.0") for line in found)
    assert len([line for line in lines(metrics, about="new") if "_drift_opened_total" in line]) == MAX_KINDS + 1


def test_remedies_are_told_by_severity_for_all_together() -> None:
    metrics = Metrics()
    for name in ("shop", "bank"):
        used(metrics, name)
    exposed = metrics.expose().decode()
    assert 'cvstate_drift_remediation_by_severity_seconds_count{action="Auto",severity="High"} 2.0' in exposed
    assert 'cvstate_drift_remediation_by_severity_seconds_count{action="Approve",severity="Critical"} 0.0' in exposed


def standing(standing: Standing) -> str:
    """What is exposed of a ClusterState that stands so."""
    metrics = Metrics()
    meter = ClusterStateMeter(metrics, namespace="default", name="shop")
    meter.stands(STANDING)
    meter.stands(standing)
    return metrics.expose().decode()


def test_open_drift_is_told_by_severity_and_is_zero_where_there_is_none() -> None:
    exposed = standing(STANDING)
    for severity, value in (("Low", "0.0"), ("Medium", "0.0"), ("High", "2.0"), ("Critical", "0.0")):
        assert f'cvstate_drift_open_fields{{name="shop",namespace="default",severity="{severity}"}} {value}' in exposed


def test_without_open_drift_nothing_is_said_of_its_age() -> None:
    assert 'cvstate_drift_oldest_timestamp_seconds{name="shop"' in standing(STANDING)
    assert 'cvstate_drift_oldest_timestamp_seconds{name="shop"' not in standing(replace(STANDING, drift={}, drift_since=None))


def test_a_standing_that_says_nothing_of_gates_has_them_all_open() -> None:
    assert 'cvstate_gate_closed{action="Prune",name="shop",namespace="default",reason="WindowClosed"} 1.0' in standing(STANDING)
    assert "cvstate_gate_closed{action=" not in standing(replace(STANDING, closed={}))


def test_requests_are_counted_by_action_result_and_whose_cluster_it_is() -> None:
    metrics = Metrics()
    for action, result in (("apply", "Throttled"), ("apply", "ok"), ("apply", "ok"), ("get", "ok")):
        metrics.observe_request(action=action, result=result, seconds=0.2)
    metrics.observe_request(action="apply", result="ok", seconds=0.2, target="remote")
    exposed = metrics.expose().decode()
    assert 'cvstate_api_requests_total{action="apply",result="Throttled",target="home"} 1.0' in exposed
    assert 'cvstate_api_requests_total{action="apply",result="ok",target="home"} 2.0' in exposed
    assert 'cvstate_api_requests_total{action="apply",result="ok",target="remote"} 1.0' in exposed
    assert 'cvstate_api_request_duration_seconds_count{action="apply",target="home"} 3.0' in exposed
    assert 'cvstate_api_request_duration_seconds_count{action="get",target="home"} 1.0' in exposed


UNKNOWN = 'cvstate_api_unauthorized_timestamp_seconds{target="home"} '
"""The series of an operator that the API server does not know."""


def asked(*results: str, target: str = "home") -> str:
    """What is exposed after requests that ended so."""
    metrics = Metrics()
    for result in results:
        metrics.observe_request(action="list", result=result, seconds=0.1, target=target)
    return metrics.expose().decode()


@pytest.mark.parametrize(
    "results", [("Unauthorized",), ("ok", "Unauthorized", "Unauthorized"), ("Unauthorized", "NetworkError"), ("Unauthorized", "Cancelled")]
)
def test_an_api_server_that_does_not_know_us_is_told_with_since_when(results: tuple[str, ...]) -> None:
    assert UNKNOWN in asked(*results)


@pytest.mark.parametrize("results", [("ok",), ("Forbidden",), ("Unauthorized", "ok"), ("Unauthorized", "Forbidden"), ("NetworkError",)])
def test_an_api_server_that_knows_us_or_says_nothing_is_not(results: tuple[str, ...]) -> None:
    assert UNKNOWN not in asked(*results)


def test_a_remote_cluster_that_does_not_know_us_says_nothing_of_ours() -> None:
    assert UNKNOWN not in asked("Unauthorized", target="remote")


def test_settings_that_were_refused_are_told_until_they_are_taken_up() -> None:
    metrics = Metrics()
    told = []
    for result in ("", "failed", "failed", "ok", "failed", "restart"):
        if result:
            metrics.observe_reload(result)
        told.append("cvstate_config_last_reload_successful 1.0" in metrics.expose().decode())
    assert told == [True, False, False, True, False, True]
    assert 'cvstate_config_reloads_total{result="failed"} 3.0' in metrics.expose().decode()


def test_failures_of_the_api_server_are_zero_until_there_are_any() -> None:
    metrics = Metrics()
    metrics.observe_request(action="apply", result="ok", seconds=0.2)
    assert 'cvstate_api_requests_total{action="apply",result="ServerError",target="home"} 0.0' in metrics.expose().decode()
    assert {*API_FAILURES, "TargetUnreachable"} == api_quality._FAILED, "which is what a remote cluster's are told as"


@pytest.mark.parametrize("name", ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"])
def test_the_process_tells_of_itself(name: str) -> None:
    assert f"\nprocess_{name} " in Metrics().expose().decode()


@pytest.mark.parametrize(
    ("name", "result"),
    [("config_reloads", "failed"), ("notices", "failed"), ("traces_exported", "dropped"), ("webhook_forwards", "failed")],
)
def test_counters_without_an_owner_begin_with_their_words(name: str, result: str) -> None:
    assert f'cvstate_{name}_total{{result="{result}"}} 0.0' in Metrics().expose().decode()


def test_the_reference_page_is_in_step() -> None:
    assert (Path(__file__).parents[3] / "docs" / "metrics.md").read_text() == page(), "run `make docs`"
