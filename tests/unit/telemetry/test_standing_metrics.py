"""Metrics of conditions. Aspects: ready and its reason · what is not as it should be, and since when · what ends · what is no condition · since when looks at the source fail."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cvstate_operator.api.conditions import Condition, ConditionType, merge
from cvstate_operator.telemetry.standing_metrics import StandingMetrics

SHOP = ("team", "shop")
NOON, NOON_UNIX = "2026-01-01T12:00:00Z", 1767268800.0
WELL = (
    Condition(ConditionType.READY, True, "Reconciled"),
    Condition(ConditionType.SOURCE_READY, True, "Fetched"),
    Condition(ConditionType.DRIFTED, False, "NoDriftDetected"),
    Condition(ConditionType.HEALTHY, True, "Healthy"),
    Condition(ConditionType.TELEMETRY_COMPLETE, True, "TelemetryComplete"),
    Condition(ConditionType.ACCEPTED, True, "RequirementsMet"),
    Condition(ConditionType.RECONCILING, False, "Progressing"),
    Condition(ConditionType.STALLED, False, "Reconciled"),
)


class Told:
    """What is exposed after one status after the other."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = StandingMetrics(self._registry)
        self._before: list[dict[str, Any]] = []

    def say(self, *conditions: Condition, now: str = NOON) -> None:
        """The next status: these conditions, and the others of WELL."""
        types = {one.type for one in conditions}
        current = [*conditions, *(one for one in WELL if one.type not in types)]
        self._before = merge(self._before, current, generation=1, now=now)
        self.write(self._before)

    def write(self, conditions: list[dict[str, Any]]) -> None:
        """The next status, as it is written."""
        self.metrics.tell_status(SHOP, {"conditions": conditions}, target="home")

    def of(self, metric: str) -> dict[str, float]:
        """Values by the last labels of the series."""
        start = f"cvstate_{metric}{{"
        found = [line for line in generate_latest(self._registry).decode().splitlines() if line.startswith(start)]
        return {line.partition("{")[2].rpartition("}")[0]: float(line.rpartition(" ")[2]) for line in found}


def label(reason: str, kind: str = "") -> str:
    """The labels of a series of an unmet condition, as they are exposed."""
    owner = f'name="shop",namespace="team",reason="{reason}"'
    return f'kind="{kind}",{owner}' if kind else owner


def ready(reason: str, target: str = "home") -> str:
    """The labels of the reason of Ready."""
    return f'{label(reason)},target="{target}"'


def test_while_all_is_well_nothing_is_unmet() -> None:
    told = Told()
    told.say()
    assert told.of("condition_unmet_timestamp_seconds") == {}
    assert told.of("ready_reason") == {ready("Reconciled"): 1}


@pytest.mark.parametrize("condition", [one for one in WELL if one.type is not ConditionType.RECONCILING], ids=lambda one: one.type)
def test_a_condition_that_is_not_as_it_should_be_is_told_with_its_reason_and_time(condition: Condition) -> None:
    told = Told()
    told.say(Condition(condition.type, not condition.status, "Why"))
    assert told.of("condition_unmet_timestamp_seconds") == {label("Why", condition.type): NOON_UNIX}


def test_what_is_not_known_is_not_well() -> None:
    told = Told()
    told.say(Condition(ConditionType.HEALTHY, None, "TelemetryGap"))
    assert told.of("condition_unmet_timestamp_seconds") == {label("TelemetryGap", "Healthy"): NOON_UNIX}
    assert list(told.of("healthy").values()) == [-1]


def test_work_that_goes_on_is_nothing_bad() -> None:
    told = Told()
    told.say(Condition(ConditionType.RECONCILING, True, "Progressing"))
    assert told.of("condition_unmet_timestamp_seconds") == {}


def test_another_reason_takes_the_place_of_the_one_before_and_the_time_stays() -> None:
    told = Told()
    told.say(Condition(ConditionType.READY, False, "FetchFailed"))
    told.say(Condition(ConditionType.READY, False, "SourceStale"), now="2026-01-01T13:00:00Z")
    assert told.of("condition_unmet_timestamp_seconds") == {label("SourceStale", "Ready"): NOON_UNIX}
    assert told.of("ready_reason") == {ready("SourceStale"): 1}
    told.say(now="2026-01-01T14:00:00Z")
    assert told.of("condition_unmet_timestamp_seconds") == {}


@pytest.mark.parametrize(("status", "number"), [(True, 1), (False, 0), (None, -1)])
def test_ready_is_what_the_condition_says(status: bool | None, number: int) -> None:
    told = Told()
    told.say(Condition(ConditionType.READY, status, "Why"))
    assert list(told.of("ready").values()) == [number]


def test_of_a_refused_spec_nothing_is_said_of_health() -> None:
    told = Told()
    told.say()
    refused = [Condition(ConditionType.READY, False, "InvalidSpec"), Condition(ConditionType.STALLED, True, "InvalidSpec")]
    told.write(merge((), refused, generation=2, now=NOON))
    assert (list(told.of("ready").values()), list(told.of("healthy").values())) == ([0], [-1])
    assert set(told.of("condition_unmet_timestamp_seconds")) == {label("InvalidSpec", "Ready"), label("InvalidSpec", "Stalled")}


def test_health_is_what_the_condition_says_whichever_way_it_came_about() -> None:
    told = Told()
    for status, number in (("Unknown", -1), ("True", 1), ("False", 0)):
        told.write([{"type": "Healthy", "status": status, "reason": "Why", "lastTransitionTime": NOON}])
        assert list(told.of("healthy").values()) == [number]


def test_it_is_told_where_a_clusterstate_acts() -> None:
    told = Told()
    unreachable = [Condition(ConditionType.READY, False, "TargetUnreachable")]
    told.metrics.tell_status(SHOP, {"conditions": merge((), unreachable, generation=1, now=NOON)}, target="remote")
    assert told.of("ready_reason") == {ready("TargetUnreachable", "remote"): 1}


@pytest.mark.parametrize("moment", ["", "yesterday", None, 5])
def test_a_time_that_somebody_spoiled_is_now(moment: object) -> None:
    told = Told()
    told.write([{"type": "Ready", "status": "False", "reason": "Why", "lastTransitionTime": moment}])
    (since,) = told.of("condition_unmet_timestamp_seconds").values()
    assert since > NOON_UNIX


def test_conditions_of_others_are_not_ours() -> None:
    told = Told()
    told.write([{"type": "Alien", "status": "False", "reason": "Why", "lastTransitionTime": NOON}])
    assert told.of("condition_unmet_timestamp_seconds") == {}


# -- looks at the source -----------------------------------------------------------------------------------------------


def test_looks_that_fail_one_after_the_other_keep_the_moment_of_the_first() -> None:
    told = Told()
    told.metrics.tell_look(SHOP, "FetchFailed")
    (first,) = told.of("source_failing_timestamp_seconds").values()
    told.metrics.tell_look(SHOP, "AuthFailed")
    assert told.of("source_failing_timestamp_seconds") == {label("AuthFailed"): first}


def test_a_look_that_succeeds_ends_it_and_the_next_failure_is_a_new_one() -> None:
    told = Told()
    told.write([{"type": "SourceReady", "status": "False", "reason": "AuthFailed", "lastTransitionTime": NOON}])
    told.metrics.tell_look(SHOP, "ok")
    assert told.of("source_failing_timestamp_seconds") == {}
    told.metrics.tell_look(SHOP, "AuthFailed")
    assert told.of("source_failing_timestamp_seconds")[label("AuthFailed")] > NOON_UNIX


def test_a_source_that_failed_before_a_restart_has_failed_since_then() -> None:
    told = Told()
    told.write([{"type": "SourceReady", "status": "False", "reason": "AuthFailed", "lastTransitionTime": NOON}])
    assert told.of("source_failing_timestamp_seconds") == {}
    told.metrics.tell_look(SHOP, "AuthFailed")
    assert told.of("source_failing_timestamp_seconds") == {label("AuthFailed"): NOON_UNIX}


def test_a_source_that_was_read_in_this_life_fails_since_then_whatever_an_old_status_says() -> None:
    """A pass that breaks off keeps what the status said of the source before."""
    told = Told()
    told.metrics.tell_look(SHOP, "ok")
    told.write([{"type": "SourceReady", "status": "False", "reason": "AuthFailed", "lastTransitionTime": NOON}])
    told.metrics.tell_look(SHOP, "AuthFailed")
    assert told.of("source_failing_timestamp_seconds")[label("AuthFailed")] > NOON_UNIX


def test_a_namesake_does_not_inherit_since_when_a_source_fails() -> None:
    told = Told()
    told.write([{"type": "SourceReady", "status": "False", "reason": "AuthFailed", "lastTransitionTime": NOON}])
    told.metrics.tell_look(SHOP, "AuthFailed")
    told.metrics.forget(SHOP)
    assert told.of("source_failing_timestamp_seconds") == {}
    told.metrics.tell_look(SHOP, "AuthFailed")
    assert told.of("source_failing_timestamp_seconds")[label("AuthFailed")] > NOON_UNIX
