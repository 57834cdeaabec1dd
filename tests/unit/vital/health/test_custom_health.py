"""Health by expressions, of a spec or of the library.

Aspects: which expression decides · what comes before all of them · what is missing and what cannot be answered · what expressions see · what people are
told · whose rule wins · faults in a spec.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from cvstate_operator.api.vital import HealthExpr
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.vital.health import custom_health
from cvstate_operator.vital.health.custom_health import HealthRule, Rules
from cvstate_operator.vital.health.library.catalog import LIBRARY
from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import MESSAGE_CHARACTERS, Readiness, Reason, Status
from cvstate_operator.vital.language.expression import ExpressionError
from tests.unit.vital.objects import condition, conditions, deployment, live

WIDGET = GroupKind("example.io", "Widget")
READY = "self.status.phase == 'Ready'"
BROKEN = "self.status.phase == 'Broken'"
MAKING = "self.status.phase == 'Making'"


def widget(phase: str = "", *, generation: int = 2, **status: Any) -> dict[str, Any]:
    return live(
        "example.io/v1", "Widget", spec={"size": 1}, status={**({"phase": phase} if phase else {}), **status}, generation=generation
    )


def judged(
    obj: Any, current: str = READY, *, in_progress: str = "", failed: str = BROKEN, suspended: str = "", waits: str = ""
) -> Readiness:
    return custom_health.judge(HealthRule(WIDGET, current, in_progress, failed, suspended, waits), obj)


@pytest.mark.parametrize(
    ("phase", "in_progress", "status", "reason"),
    [
        ("Ready", "", Status.CURRENT, Reason.READY),
        ("Broken", "", Status.FAILED, Reason.FAILURE_REPORTED),
        ("Making", "", Status.IN_PROGRESS, Reason.NOT_READY),
        ("Making", MAKING, Status.IN_PROGRESS, Reason.NOT_READY),
        ("Strange", MAKING, Status.UNKNOWN, Reason.NO_EXPRESSION_HOLDS),
        ("Strange", "", Status.IN_PROGRESS, Reason.NOT_READY),
    ],
)
def test_the_expression_that_holds_decides(phase: str, in_progress: str, status: Status, reason: Reason) -> None:
    found = judged(widget(phase), in_progress=in_progress)
    assert (found.status, found.reason) == (status, reason)


def test_of_several_that_hold_failed_comes_first_and_then_current() -> None:
    assert judged(widget("Ready"), failed="true", in_progress="true").status is Status.FAILED
    assert judged(widget("Ready"), in_progress="true").status is Status.CURRENT


@pytest.mark.parametrize(
    ("obj", "status", "reason"),
    [
        (
            live("example.io/v1", "Widget", status={"phase": "Ready"}, deletionTimestamp="2026-03-01T10:00:00Z"),
            Status.TERMINATING,
            Reason.DELETING,
        ),
        (widget("Ready", observedGeneration=1), Status.IN_PROGRESS, Reason.NOT_OBSERVED),
        (widget("Broken", observedGeneration=1), Status.IN_PROGRESS, Reason.NOT_OBSERVED),
        (widget("Ready", **conditions(condition("Stalled", "True"))), Status.FAILED, Reason.STALLED),
        (widget("Ready", **conditions(condition("Reconciling", "True"))), Status.IN_PROGRESS, Reason.RECONCILING),
    ],
    ids=["deleted", "ready, of an older generation", "broken, of an older generation", "stalled", "reconciling"],
)
def test_what_holds_for_every_kind_comes_before_the_expressions(obj: Any, status: Status, reason: Reason) -> None:
    found = judged(obj)
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("phase", "status", "reason", "told"),
    [
        ("Held", Status.IN_PROGRESS, Reason.WAITS, "waits on purpose: phase is Held"),
        ("Ready", Status.CURRENT, Reason.READY, "phase is Ready"),
        ("Broken", Status.FAILED, Reason.FAILURE_REPORTED, "phase is Broken"),
        ("Making", Status.IN_PROGRESS, Reason.NOT_READY, "phase is Making"),
        ("", Status.IN_PROGRESS, Reason.NOT_READY, "its status does not say that it is ready"),
    ],
)
def test_one_that_waits_on_purpose_is_in_progress_and_says_so(phase: str, status: Status, reason: Reason, told: str) -> None:
    found = judged(widget(phase, parts=2), waits="self.status.phase in ['Held', 'Ready', 'Broken']")
    assert (found.status, found.reason, found.message) == (status, reason, told)
    assert found.waits == (reason is Reason.WAITS)
    assert found.holds_up == (status is not Status.CURRENT)


def test_one_that_waited_for_an_older_spec_does_not_wait() -> None:
    assert judged(widget("Held", observedGeneration=1), waits="true").reason is Reason.NOT_OBSERVED


def test_a_suspended_object_need_not_be_observed_but_may_be_deleted() -> None:
    obj = widget("Broken", observedGeneration=1)
    assert judged(obj, suspended="self.spec.size == 1").reason is Reason.SUSPENDED
    obj["metadata"]["deletionTimestamp"] = "2026-03-01T10:00:00Z"
    assert judged(obj, suspended="self.spec.size == 1").status is Status.TERMINATING


@pytest.mark.parametrize(
    "current",
    [
        "self.status.nowhere == 'Ready'",
        "self.status.nowhere.phase == 'Ready'",
        "self.status.conditions[0].status == 'True'",
        "self.status.items.exists(i, i.ready == 'yes')",
        "self.metadata.annotations['ready'] == 'yes'",
        "self.metadata.annotations[self.metadata.name] == 'yes'",
        "self.status.?ready.value() == 'yes'",
    ],
)
def test_a_missing_field_means_no(current: str) -> None:
    found = judged(widget("Making", conditions=[], items=[{"name": "a"}]), current, failed=current)
    assert (found.status, found.reason) == (Status.IN_PROGRESS, Reason.NOT_READY)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("current", "self.status.phase > 3"),
        ("current", "self.status.phase"),
        ("current", "self.status.phase.inner == 'x'"),
        ("current", "int(self.status.phase) == 3"),
        ("current", "self.status.phase =="),
        ("current", "self.spec.list.map(x, self.spec.list.map(y, self.spec.list.map(z, x + y + z))).size() > 0"),
        ("failed", "self.status.phase > 3"),
        ("waits", "self.status.phase > 3"),
        ("in_progress", "self.status.phase > 3"),
    ],
)
def test_an_expression_that_cannot_be_answered_makes_the_object_unknown_and_is_named(field: str, text: str) -> None:
    obj = widget("Ready" if field == "failed" else "Making")
    obj["spec"]["list"] = ["word"] * 200
    found = custom_health.judge(HealthRule(WIDGET, **{"current": READY, field: text}), obj)
    assert (found.status, found.reason) == (Status.UNKNOWN, Reason.EXPRESSION_FAILED)
    assert found.message.startswith({"in_progress": "inProgress"}.get(field, field) + ": ")


@pytest.mark.parametrize("obj", ["text", None, [], {}, {"metadata": 7}, {"metadata": {}, "status": "Ready"}], ids=str)
def test_what_is_no_object_is_no_error(obj: Any) -> None:
    assert judged(obj).status in (Status.UNKNOWN, Status.IN_PROGRESS)


@pytest.mark.parametrize("status", [None, {}], ids=str)
def test_an_object_without_a_status_is_not_observed_whatever_is_asked_of_it(status: Any) -> None:
    obj = {**widget(), "status": status}
    found = judged(obj, in_progress=MAKING)
    assert found.status is (Status.IN_PROGRESS if status is None else Status.UNKNOWN)
    assert judged(obj).status is Status.IN_PROGRESS
    assert judged(obj, "self.spec.size == 1").status is Status.CURRENT


def test_managed_fields_are_not_seen_and_the_object_stays_as_it_is() -> None:
    obj = widget("Ready")
    obj["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert judged(obj, "has(self.metadata.managedFields)").status is Status.IN_PROGRESS
    assert judged(obj, "self.metadata.name == 'web' && self.kind == 'Widget'").status is Status.CURRENT
    assert obj["metadata"]["managedFields"] == [{"manager": "kubectl"}]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"phase": "Making"}, "phase is Making"),
        ({"phase": "Making", "message": "2 of 3 parts"}, "phase is Making: 2 of 3 parts"),
        ({"message": "2 of 3 parts"}, "2 of 3 parts"),
        ({"state": {"status": "Making", "message": "inner"}, "error": {"message": "disk full"}}, "state is Making: disk full"),
        (conditions(condition("Ready", "False", "Waiting", "for a disk")), "Ready is False: for a disk"),
        ({"phase": "Making", **conditions(condition("Ready", "False", "Waiting"))}, "Ready is False: Waiting"),
        (conditions(condition("Ready", "True", observedGeneration=1)), "Ready speaks of generation 1, not of the newest"),
        (conditions(condition("Ready", "True"), condition("DiskFailed", "True", "Full", "disk is full")), "DiskFailed: disk is full"),
        (conditions(condition("Bound", "False", "Waiting", "for a disk")), "Bound is False: for a disk"),
        ({"phase": "Making", **conditions(condition("Bound", "False", "Waiting", "for a disk"))}, "Bound is False: for a disk"),
        ({"parents": [conditions(condition("Accepted", "False", "NotAllowed"))]}, "Accepted is False: NotAllowed"),
        ({"phase": 7, "message": ["x"], "parents": 7}, "its status does not say that it is ready"),
        ({"parts": 2}, "its status does not say that it is ready"),
    ],
    ids=str,
)
def test_people_are_told_what_the_object_says_of_itself(status: dict[str, Any], told: str) -> None:
    assert judged(live("example.io/v1", "Widget", status=status, generation=2)).message == told


def test_what_others_say_is_cut_and_on_one_line() -> None:
    found = judged(widget("Making", message="a\nb" + "c" * 500))
    assert "\n" not in found.message
    assert len(found.message) == MESSAGE_CHARACTERS


def test_the_state_in_words_is_told_of_a_ready_object_too() -> None:
    assert judged(widget("Ready")).message == "phase is Ready"
    assert judged(widget("Ready", **conditions(condition("Ready", "True")))).message == "Ready is True"


def test_the_rule_of_a_user_wins_over_the_built_in_one_and_over_the_library() -> None:
    certificate = live("cert-manager.io/v1", "Certificate", status={"phase": "Mine"}, generation=1)
    rules = Rules([HealthRule(GroupKind("apps", "Deployment"), "false"), HealthRule(GroupKind("cert-manager.io", "Certificate"), "self.status.phase == 'Mine'")])  # fmt: skip
    assert readiness(deployment()).status is Status.CURRENT
    assert readiness(deployment(), rules).status is Status.IN_PROGRESS
    assert readiness(certificate).status is Status.IN_PROGRESS
    assert readiness(certificate, rules).status is Status.CURRENT


def test_a_rule_of_a_user_holds_for_an_object_that_tells_nothing() -> None:
    config = live("v1", "ConfigMap", data={"ready": "no"})
    assert readiness(config).status is Status.CURRENT
    assert readiness(config, Rules([HealthRule(GroupKind("", "ConfigMap"), "self.data.ready == 'yes'")])).status is Status.IN_PROGRESS


def test_other_kinds_are_judged_as_without_rules() -> None:
    rules = Rules([HealthRule(WIDGET, "false")])
    issuer = live("cert-manager.io/v1", "Issuer", status=conditions(condition("Ready", "True")))
    assert readiness(issuer, rules) == readiness(issuer)
    assert readiness({"apiVersion": "a/b/c", "kind": "X"}, rules).reason is Reason.MALFORMED


def expressions(*given: Mapping[str, Any]) -> list[HealthExpr]:
    return [HealthExpr.model_validate({"apiVersion": "example.io/v1", "kind": "Widget", "current": READY, **each}) for each in given]


def test_rules_are_read_from_a_spec_by_group_and_kind() -> None:
    rules = Rules.of(expressions({"inProgress": MAKING, "failed": BROKEN}, {"apiVersion": "v1", "kind": "Pod"}))
    assert rules == {WIDGET: HealthRule(WIDGET, READY, MAKING, BROKEN), GroupKind("", "Pod"): HealthRule(GroupKind("", "Pod"), READY)}
    assert len(Rules.of([])) == 0
    assert WIDGET not in LIBRARY


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"current": "self.status."}, "current"),
        ({"inProgress": "1 + 1"}, "inProgress"),
        ({"failed": "other.status.phase == 'x'"}, "failed"),
        ({"failed": "self.a.map(x, x.matches('a')).size() > 0"}, "failed"),
    ],
)
def test_a_wrong_expression_is_told_with_its_kind_and_field(given: Mapping[str, Any], named: str) -> None:
    with pytest.raises(ExpressionError, match=rf"^Widget\.example\.io: {named}: "):
        Rules.of(expressions(given))


def test_a_kind_has_one_rule_in_all_its_versions() -> None:
    with pytest.raises(ExpressionError, match="twice"):
        Rules.of(expressions({}, {"apiVersion": "example.io/v2"}))
