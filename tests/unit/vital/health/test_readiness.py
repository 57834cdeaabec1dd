"""Readiness by the rules for every kind.

Aspects: deletion · generations · Stalled, Reconciling, Ready and its like · objects without status · broken objects · no kind is forgotten · more ready
Pods never make it worse · which kinds are stateful.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.schema import builtin
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.facts.stateful import is_stateful
from cvstate_operator.vital.health import generic
from cvstate_operator.vital.health.readiness import RULES, readiness
from cvstate_operator.vital.health.state import MESSAGE_CHARACTERS, Reason, Status
from tests.unit.vital import objects
from tests.unit.vital.health import test_kinds, test_pods, test_workloads
from tests.unit.vital.health.table import CURRENT, FAILED, IN_PROGRESS, TERMINATING, UNKNOWN, check, row
from tests.unit.vital.objects import condition, deployment, live, replica_set, stateful_set, widget

GONE = "2026-03-01T11:00:00Z"
READY = condition("Ready", "True")
STALLED = condition("Stalled", "True", "BuildFailed", "kustomize build failed")
RECONCILING = condition("Reconciling", "True", "Progressing", "reconciliation in progress")


def deleted(obj: Any, *finalizers: str) -> Any:
    meta = {**obj["metadata"], "deletionTimestamp": GONE, **({"finalizers": list(finalizers)} if finalizers else {})}
    return {**obj, "metadata": meta}


GENERIC = [
    row("object without status", live("v1", "ConfigMap", data={"a": "b"}), CURRENT, Reason.NO_STATUS),
    row("custom resource nobody looked at", live("example.io/v1", "Widget", spec={}, generation=1), CURRENT, Reason.NO_STATUS),
    row("status null", {**live("example.io/v1", "Widget"), "status": None}, CURRENT, Reason.NO_STATUS),
    row("status without conditions", live("v1", "ResourceQuota", status={"hard": {"pods": "4"}}), CURRENT, Reason.NO_KNOWN_CONDITION),
    row("conditions of its own", widget(condition("Dangling", "False")), CURRENT, Reason.NO_KNOWN_CONDITION),
    row("ready", widget(READY), CURRENT, Reason.READY, "Ready is True"),
    row("not ready", widget(condition("Ready", "False", "Issuing", "waiting for the order")), IN_PROGRESS, Reason.NOT_READY, "Ready is False: waiting for the order"),
    row("not ready, only a reason", widget(condition("Ready", "False", "Issuing")), IN_PROGRESS, Reason.NOT_READY, "Issuing"),
    row("ready unknown", widget(condition("Ready", "Unknown")), IN_PROGRESS, Reason.NOT_READY, "Ready is Unknown"),
    row("ready neither", widget(condition("Ready", "true")), IN_PROGRESS, Reason.NOT_READY),
    row("available", widget(condition("Available", "True")), CURRENT, Reason.READY),
    row("not available", widget(condition("Available", "False", "", "1 node is down")), IN_PROGRESS, Reason.NOT_READY, "1 node is down"),
    row("ready outweighs available", widget(condition("Available", "False"), READY), CURRENT, Reason.READY),
    row("established", widget(condition("Established", "True"), condition("Offered", "False")), CURRENT, Reason.READY),
    row("stalled", widget(STALLED, condition("Ready", "False")), FAILED, Reason.STALLED, "kustomize build failed"),
    row("reconciling", widget(RECONCILING, condition("Ready", "Unknown")), IN_PROGRESS, Reason.RECONCILING, "in progress"),
    row("reconciling, still ready", widget(READY, RECONCILING), IN_PROGRESS, Reason.RECONCILING),
    row("stalled after reconciling", widget(RECONCILING, STALLED), FAILED, Reason.STALLED),
    row("stalled before reconciling", widget(STALLED, RECONCILING), FAILED, Reason.STALLED),
    row("no longer stalled", widget(condition("Stalled", "False"), condition("Reconciling", "False"), READY), CURRENT, Reason.READY),
    row("stalled Deployment", deployment(STALLED), FAILED, Reason.STALLED),
    row("newest generation seen", widget(READY, observedGeneration=3), CURRENT, Reason.READY),
    row("older generation seen", widget(READY, observedGeneration=2), IN_PROGRESS, Reason.NOT_OBSERVED, "generation 3 is not seen"),
    row("stalled on an older generation", widget(STALLED, observedGeneration=2), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("generation as text", widget(READY, observedGeneration="3"), CURRENT, Reason.READY),
    row("older generation as text", widget(READY, observedGeneration="2"), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("generation before the first look", widget(observedGeneration=-1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("no generation to compare with", widget(READY, generation=None, observedGeneration=3), CURRENT, Reason.READY),
    row("condition of an older generation", widget(READY | {"observedGeneration": 2}), IN_PROGRESS, Reason.NOT_OBSERVED, "generation 2"),
    row("condition of the newest generation", widget(READY | {"observedGeneration": 3}), CURRENT, Reason.READY),
    row("condition without generation", widget(READY | {"observedGeneration": 0}), CURRENT, Reason.READY),
    row("old condition, whole status newest", widget(READY | {"observedGeneration": 2}, observedGeneration=3), CURRENT, Reason.READY),
    row("stalled long ago", widget(STALLED | {"observedGeneration": 2}, READY | {"observedGeneration": 3}), CURRENT, Reason.READY),
    row("history of phases", live("example.io/v1", "Widget", status={"conditions": [{"phase": "Pending"}, {"phase": "Succeeded"}]}), CURRENT, Reason.NO_KNOWN_CONDITION),
    row("Deployment of another group", live("example.io/v1", "Deployment", spec={"replicas": 3}), CURRENT, Reason.NO_STATUS),
    row("going", deleted(widget(READY)), TERMINATING, Reason.DELETING, "is being deleted"),
    row("going, held", deleted(widget(READY), "z.example.io", "a.example.io"), TERMINATING, Reason.DELETING, "waits for a.example.io, z.example.io"),
    row("going, stalled", deleted(widget(STALLED)), TERMINATING, Reason.DELETING),
    row("going Deployment", deleted(deployment()), TERMINATING, Reason.DELETING),
    row("going Pod", deleted(objects.pod("Running", READY)), TERMINATING, Reason.DELETING),
]  # fmt: skip

BROKEN = [
    row("nothing", {}, UNKNOWN, Reason.MALFORMED, "apiVersion and kind"),
    row("no object", "Deployment", UNKNOWN, Reason.MALFORMED, "is no map"),
    row("kind is a number", {"apiVersion": "v1", "kind": 7}, UNKNOWN, Reason.MALFORMED),
    row("version with slashes", {"apiVersion": "a/b/c", "kind": "Pod"}, UNKNOWN, Reason.MALFORMED),
    row("metadata is text", {"apiVersion": "v1", "kind": "Pod", "metadata": "x"}, UNKNOWN, Reason.MALFORMED, "/metadata is no map"),
    row("metadata is a list, of a kind that tells nothing", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": []}, UNKNOWN, Reason.MALFORMED, "/metadata is no map"),
    row("generation is text, of a kind that tells nothing", live("v1", "ConfigMap", generation="one"), UNKNOWN, Reason.MALFORMED, "/metadata/generation is no generation"),
    row("version with slashes, of a kind that tells nothing", {"apiVersion": "a/b/c", "kind": "ConfigMap", "metadata": {}}, UNKNOWN, Reason.MALFORMED, "apiVersion and kind"),
    row("status is text", live("example.io/v1", "Widget", status="Ready"), UNKNOWN, Reason.MALFORMED, "/status is no map"),
    row("status is a list", live("v1", "Pod", status=["Ready"]), UNKNOWN, Reason.MALFORMED),
    row("conditions are a map", live("v1", "Node", status={"conditions": {"Ready": "True"}}), UNKNOWN, Reason.MALFORMED, "/status/conditions is no list"),
    row("condition is text", live("v1", "Node", status={"conditions": ["Ready"]}), UNKNOWN, Reason.MALFORMED, "/status/conditions/0 is no map"),
    row("condition status is a boolean", widget({"type": "Ready", "status": True}), UNKNOWN, Reason.MALFORMED, "/status/conditions/0/status is no string"),
    row("condition twice", widget(READY, condition("Ready", "False")), UNKNOWN, Reason.MALFORMED, "condition Ready is there twice"),
    row("replicas are text", deployment(readyReplicas="3"), UNKNOWN, Reason.MALFORMED, "/status/readyReplicas is no count"),
    row("replicas are negative", deployment(readyReplicas=-1), UNKNOWN, Reason.MALFORMED),
    row("replicas are a boolean", deployment(readyReplicas=True), UNKNOWN, Reason.MALFORMED),
    row("replicas are endless", deployment(readyReplicas=10**5000), UNKNOWN, Reason.MALFORMED),
    row("wanted is a fraction", deployment(wanted=1.5), UNKNOWN, Reason.MALFORMED, "/spec/replicas"),
    row("generation is a hash", widget(READY, observedGeneration="6b4d"), UNKNOWN, Reason.MALFORMED, "/status/observedGeneration is no generation"),
    row("generation in other digits", widget(READY, observedGeneration="٣"), UNKNOWN, Reason.MALFORMED),
    row("finalizers are numbers", deleted(widget()) | {"metadata": {"deletionTimestamp": GONE, "finalizers": [1]}}, UNKNOWN, Reason.MALFORMED),
    row("paused is text", {**deployment(), "spec": {"paused": "yes"}}, UNKNOWN, Reason.MALFORMED, "/spec/paused is no boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "status", "reason", "told"), GENERIC)
def test_every_kind_goes_by_deletion_generation_and_standard_conditions(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), BROKEN)
def test_a_broken_object_is_unknown_and_the_field_is_named(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (condition("Ready", "False", "Issuing", "waiting for the order"), "Ready is False: waiting for the order"),
        (condition("Ready", "False", "Issuing"), "Ready is False: Issuing"),
        (condition("Ready", "Unknown"), "Ready is Unknown"),
        (condition("Ready", ""), "Ready is not told"),
        (condition("Stalled", "True", "Broken", "no such chart"), "no such chart"),
        (condition("Stalled", "True", "Broken"), "Broken"),
        (condition("Stalled", "True"), "Stalled is True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_condition_tells_its_message_or_else_its_reason_or_else_itself(entry: Any, told: str):
    assert readiness(widget(entry)).message == told


def test_a_message_of_others_is_cut_and_on_one_line():
    found = readiness(widget(condition("Stalled", "True", "", "a\nb\x1b[31m" + "x" * 10_000)))
    assert found.message.startswith("a\\nb\\x1b[31mx")
    assert len(found.message) == MESSAGE_CHARACTERS


ROWS = [*test_workloads.DEPLOYMENTS, *test_workloads.REPLICA_SETS, *test_workloads.STATEFUL_SETS, *test_workloads.DAEMON_SETS, *test_pods.PODS,
        *test_pods.JOBS, *test_kinds.PROVIDED, *test_kinds.ACTING, *test_kinds.CLUSTER, *GENERIC, *BROKEN]  # fmt: skip
OBJECTS = [row.values[0] for row in ROWS if isinstance(row.values[0], dict)]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(("True", "Ready", "Bound")),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(("type", "status", "reason", "conditions", "x")), below),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value but its root."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def put(obj: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(obj)
    target = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return changed


@settings(max_examples=500)
@given(st.data())
def test_whatever_stands_in_an_object_nothing_is_raised_and_nothing_is_changed(data: st.DataObject):
    obj = data.draw(st.sampled_from(OBJECTS))
    for _ in range(data.draw(st.integers(0, 3))):
        if paths := list(places(obj)):
            obj = put(obj, data.draw(st.sampled_from(paths)), data.draw(JSON))
    before = copy.deepcopy(obj)
    found = readiness(obj)
    assert obj == before
    assert isinstance(found.reason, Reason)
    assert found.message.isprintable()
    assert len(found.message) <= MESSAGE_CHARACTERS


@given(st.sampled_from(sorted(RULES)), JSON, JSON, JSON)
def test_any_json_in_place_of_metadata_spec_and_status_is_judged(kind: GroupKind, meta: Any, spec: Any, status: Any):
    api_version = f"{kind.group}/v1" if kind.group else "v1"
    assert readiness({"apiVersion": api_version, "kind": kind.kind, "metadata": meta, "spec": spec, "status": status}).status in Status


META = st.dictionaries(st.sampled_from(("name", "labels", "generation", "deletionTimestamp", "finalizers")), JSON)


@given(st.sampled_from(("ConfigMap", "Widget")), st.one_of(META, JSON), st.one_of(st.none(), JSON))
def test_a_kind_without_a_rule_is_judged_by_the_rules_for_every_kind_however_little_it_tells(kind: str, meta: Any, status: Any):
    obj = {"apiVersion": "example.io/v1", "kind": kind, "metadata": meta, "status": status}
    try:
        expected = generic.first(Fields.of(obj)) or generic.by_conditions(Fields.of(obj))
    except MalformedError:
        expected = None
    found = readiness(obj)
    assert (found.status, found.reason) == ((expected.status, expected.reason) if expected else (Status.UNKNOWN, Reason.MALFORMED))


BETTER = {Status.CURRENT: 0, Status.IN_PROGRESS: 1, Status.FAILED: 2}
COUNT = st.integers(0, 5)
COUNTS = {"readyReplicas": COUNT, "availableReplicas": COUNT, "updatedReplicas": COUNT}
STRATEGIES = st.sampled_from((test_workloads.ON_DELETE, test_workloads.FROM_TWO, {}))
WORKLOADS = st.one_of(
    st.builds(deployment, st.sampled_from((objects.PROGRESSED, objects.DEADLINE, objects.QUOTA)), wanted=COUNT, paused=st.booleans(), replicas=COUNT, **COUNTS),
    st.builds(replica_set, kind=st.sampled_from(("ReplicaSet", "ReplicationController")), wanted=COUNT, replicas=COUNT, **COUNTS),
    st.builds(stateful_set, wanted=COUNT, strategy=STRATEGIES, new=st.sampled_from(("web-a", "web-b")), replicas=COUNT, **COUNTS),
)  # fmt: skip


@settings(max_examples=500)
@given(WORKLOADS, st.sampled_from(sorted(COUNTS)), st.integers(1, 3))
def test_more_ready_available_or_updated_pods_never_make_it_worse(obj: Any, name: str, more: int):
    better = put(obj, ("status", name), obj["status"].get(name, 0) + more)
    assert BETTER[readiness(better).status] <= BETTER[readiness(obj).status]


@given(COUNT, COUNT, COUNT, st.integers(1, 3), st.sampled_from(("RollingUpdate", "OnDelete")))
def test_more_ready_daemon_pods_never_make_it_worse(wanted: int, ready: int, updated: int, more: int, strategy: str):
    def daemons(number: int) -> Any:
        return objects.daemon_set(
            strategy=strategy, desiredNumberScheduled=wanted, numberReady=number, numberAvailable=number, updatedNumberScheduled=updated
        )

    assert BETTER[readiness(daemons(ready + more)).status] <= BETTER[readiness(daemons(ready)).status]


@given(st.permutations((STALLED, RECONCILING, READY, condition("Available", "False"), condition("Synced", "True"))))
def test_the_order_of_conditions_does_not_matter(entries: list[Any]):
    assert readiness(widget(*entries)) == readiness(widget(*sorted(entries, key=lambda entry: entry["type"])))


DELIBERATELY_GENERIC = {
    GroupKind("", "ResourceQuota"),  # use is not readiness
    GroupKind(
        "admissionregistration.k8s.io", "ValidatingAdmissionPolicy"
    ),  # works from the moment it is stored; warnings of its types are no failure
    GroupKind("certificates.k8s.io", "CertificateSigningRequest"),  # Approved and Denied are decisions, and no state to wait for
    GroupKind("flowcontrol.apiserver.k8s.io", "FlowSchema"),  # Dangling: its level may come; nothing waits for it
    GroupKind("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    GroupKind("networking.k8s.io", "ServiceCIDR"),  # has Ready
    GroupKind("resource.k8s.io", "ResourceClaim"),  # allocated when a Pod uses it
    GroupKind("storage.k8s.io", "VolumeAttachment"),  # made by controllers only
}


def with_status(compact: dict[str, Any]) -> set[GroupKind]:
    """Kinds of the built-in catalogue whose objects have a status."""

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema or "then" in schema:
            schema = schema["then"] if "then" in schema else compact["definitions"][schema["$ref"].rpartition("/")[2]]
        return schema

    return {GroupKind(group, kind) for group, _, kind, _, _, name in compact["kinds"]
            if "status" in resolved(compact["definitions"][name]).get("properties", {})}  # fmt: skip


def test_every_built_in_kind_with_a_status_has_a_rule_or_is_generic_on_purpose():
    known = with_status(builtin.load())
    assert len(known) > 20
    assert known == RULES.keys() | DELIBERATELY_GENERIC
    assert not RULES.keys() & DELIBERATELY_GENERIC


OF_EXPRESSIONS = {Reason.FAILURE_REPORTED, Reason.WAITS, Reason.EXPRESSION_FAILED, Reason.NO_EXPRESSION_HOLDS}
"""See test_custom_health."""


def test_every_rule_and_every_reason_stands_in_a_table():
    judged = {GroupKind(obj["apiVersion"].rpartition("/")[0], obj["kind"]) for obj in OBJECTS if isinstance(obj.get("apiVersion"), str) and isinstance(obj["kind"], str)}  # fmt: skip
    assert RULES.keys() <= judged
    assert {row.values[2] for row in ROWS} == set(Reason) - OF_EXPRESSIONS
    assert {row.values[1] for row in ROWS} == set(Status)


@pytest.mark.parametrize(
    "kind", [GroupKind("apps", "StatefulSet"), GroupKind("", "PersistentVolumeClaim"), GroupKind("", "Namespace")], ids=str
)
def test_kinds_that_hold_what_git_does_not_are_stateful(kind: GroupKind):
    assert is_stateful(kind)


@pytest.mark.parametrize(
    "kind",
    [GroupKind("apps", "Deployment"), GroupKind("", "Secret"), GroupKind("example.io", "StatefulSet"), GroupKind("", "Pod")],
    ids=str,
)
def test_kinds_that_git_describes_in_full_are_not_stateful(kind: GroupKind):
    assert not is_stateful(kind)


def test_an_object_that_goes_and_is_held_by_nothing_does_not_speak_of_waiting():
    assert readiness(deleted(widget())).message == "is being deleted"
