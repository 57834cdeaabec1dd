"""Verdicts on answers of the API server.

Aspects: every row of the table measured on kube-apiserver 1.36 (RELIABILITY §2) · the field to blame · Retry-After · malformed answers · texts.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.kube.verdict import error_for


def status(message: str, *, causes: Any = None, **details: Any) -> dict[str, Any]:
    """A metav1.Status as the API server sends it."""
    return {"kind": "Status", "status": "Failure", "message": message, "details": {**details, **({"causes": causes} if causes else {})}}


CONFLICT = {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-edit" using apps/v1', "field": ".spec.replicas"}
UNCONVERTIBLE = "unable to convert unstructured object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 2"
TYPED = "failed to create typed patch object (web/a; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("code", "body", "expected", "field"),
    [
        pytest.param(500, status(UNCONVERTIBLE), errors.InvalidError, "", id="no-base64"),
        pytest.param(
            409,
            status('Apply failed with 1 conflict: conflict with "kubectl-edit"', causes=[CONFLICT]),
            errors.FieldConflictError,
            "",
            id="field-manager-conflict",
        ),
        pytest.param(
            409,
            status('Operation cannot be fulfilled on configmaps "a": the object has been modified'),
            errors.StaleError,
            "",
            id="stale-version",
        ),
        pytest.param(
            409,
            status("uid mismatch: the provided object specified uid x, and no existing object was found"),
            errors.StaleError,
            "",
            id="uid-of-a-gone-object",
        ),
        pytest.param(
            422,
            status(
                'ConfigMap "a" is invalid: metadata.uid: Invalid value', causes=[{"field": "metadata.uid", "reason": "FieldValueInvalid"}]
            ),
            errors.StaleError,
            "",
            id="uid-of-another-object",
        ),
        pytest.param(
            409,
            status("Precondition failed: UID in precondition: a, UID in object meta: b"),
            errors.StaleError,
            "",
            id="delete-precondition",
        ),
        pytest.param(
            500, status(TYPED + ".spec.replcas: field not declared in schema"), errors.InvalidError, "spec.replcas", id="unknown-field"
        ),
        pytest.param(
            500, status(TYPED + ".spec.ports: expected list, got &{notalist}"), errors.InvalidError, "spec.ports", id="wrong-type"
        ),
        pytest.param(
            500,
            status(
                TYPED
                + 'errors:\n  .spec.template.spec.containers[name="a"].image: expected string, got &value.valueUnstructured{Value:5}\n  .spec.x: field not declared in schema'
            ),
            errors.InvalidError,
            'spec.template.spec.containers[name="a"].image',
            id="several-wrong-fields",
        ),
        pytest.param(
            422,
            status(
                'Service "a" is invalid: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535',
                causes=[{"field": "spec.ports[0].port"}],
            ),
            errors.InvalidError,
            "spec.ports[0].port",
            id="bad-value",
        ),
        pytest.param(
            422,
            status('Job "a" is invalid: spec.template: Invalid value: {…}: field is immutable', causes=[{"field": "spec.template"}]),
            errors.ImmutableError,
            "spec.template",
            id="immutable-field",
        ),
        pytest.param(
            422,
            status(
                'Service "a" is invalid: spec.clusterIPs[0]: Invalid value: []: may not change once set',
                causes=[{"field": "spec.clusterIPs[0]"}],
            ),
            errors.ImmutableError,
            "spec.clusterIPs[0]",
            id="field-that-may-not-change",
        ),
        pytest.param(
            422,
            status(
                'StatefulSet.apps "a" is invalid: spec: Forbidden: updates to statefulset spec for fields other than replicas are forbidden',
                causes=[{"field": "spec"}],
            ),
            errors.ImmutableError,
            "spec",
            id="stateful-set",
        ),
        pytest.param(
            422,
            status("metadata.annotations: Too long: must have at most 262144 bytes", causes=[{"field": "metadata.annotations"}]),
            errors.InvalidError,
            "metadata.annotations",
            id="annotations-too-long",
        ),
        pytest.param(
            422,
            status("ValidatingAdmissionPolicy 'replicas' with binding 'b' denied request: too many", causes=[{"message": "too many"}]),
            errors.AdmissionDeniedError,
            "",
            id="admission-policy",
        ),
        pytest.param(
            400,
            status('admission webhook "check.example.io" denied the request: no'),
            errors.AdmissionDeniedError,
            "",
            id="webhook-says-no",
        ),
        pytest.param(
            403,
            status('admission webhook "check.example.io" denied the request: no'),
            errors.AdmissionDeniedError,
            "",
            id="webhook-says-no-as-403",
        ),
        pytest.param(413, status("Request entity too large: limit is 3145728"), errors.InvalidError, "", id="body-too-large"),
        pytest.param(400, status("metadata.managedFields must be nil"), errors.InvalidError, "", id="managed-fields-sent"),
        pytest.param(
            400, status("the name of the object (b) does not match the name on the URL (a)"), errors.InvalidError, "", id="name-mismatch"
        ),
        pytest.param(404, None, errors.KindUnknownError, "", id="no-such-kind-in-plain-text"),
        pytest.param(404, status("the server could not find the requested resource"), errors.KindUnknownError, "", id="no-such-kind"),
        pytest.param(
            404,
            status('namespaces "web" not found', name="web", kind="namespaces"),
            errors.NamespaceMissingError,
            "",
            id="no-such-namespace",
        ),
        pytest.param(404, status('configmaps "a" not found', name="a", kind="configmaps"), errors.NotFoundError, "", id="no-such-object"),
        pytest.param(
            403,
            status('pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5'),
            errors.QuotaExceededError,
            "",
            id="quota",
        ),
        pytest.param(
            403,
            status(
                'configmaps "a" is forbidden: unable to create new content in namespace web because it is being terminated',
                causes=[{"reason": "NamespaceTerminating", "field": "metadata.namespace"}],
            ),
            errors.NamespaceTerminatingError,
            "",
            id="terminating-namespace",
        ),
        pytest.param(
            403,
            status('secrets is forbidden: User "x" cannot list resource "secrets" in API group ""'),
            errors.ForbiddenError,
            "",
            id="rbac",
        ),
        pytest.param(401, status("Unauthorized"), errors.UnauthorizedError, "", id="unauthorized"),
        pytest.param(
            500,
            status('Internal error occurred: failed calling webhook "a.b.c": failed to call webhook: connection refused'),
            errors.WebhookUnavailableError,
            "",
            id="webhook-down",
        ),
        pytest.param(500, status("etcdserver: leader changed"), errors.ServerError, "", id="server-fault"),
        pytest.param(500, None, errors.ServerError, "", id="server-fault-without-words"),
        pytest.param(502, None, errors.ServerError, "", id="bad-gateway"),
        pytest.param(503, status("the server is currently unable to handle the request"), errors.ServerError, "", id="unavailable"),
        pytest.param(
            504, status("Timeout: request did not complete within the allotted timeout"), errors.ServerTimeoutError, "", id="etcd-frozen"
        ),
        pytest.param(
            504,
            status("Too large resource version", causes=[{"reason": "ResourceVersionTooLarge"}], retryAfterSeconds=1),
            errors.ServerTimeoutError,
            "",
            id="version-from-the-future",
        ),
        pytest.param(410, status("too old resource version: 1 (2)"), errors.StaleError, "", id="expired-watch"),
        pytest.param(429, status("Too many requests, please try again later."), errors.ThrottledError, "", id="throttled"),
        pytest.param(418, None, errors.InvalidError, "", id="any-other-code"),
    ],
)
def test_an_answer_stands_for_one_error(code: int, body: dict[str, Any] | None, expected: type[errors.CvstateError], field: str) -> None:
    found = error_for(code, body)
    assert type(found) is expected
    assert getattr(found, "field", "") == field
    assert found.message.isprintable()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(
            ".a: expected string, got &value.valueUnstructured{Value:true}",
            ".a: expected string, got true; put it in quotes if a text is meant",
            id="boolean-for-a-text",
        ),
        pytest.param(
            ".a: expected string, got &value.valueUnstructured{Value:interface {}(nil)}",
            ".a: expected string, got null; correct the field's type or name in Git",
            id="null",
        ),
        pytest.param(
            '.a: expected string, got &value.listUnstructured{[]interface {}{"x"}}',
            ".a: expected string, got a list; correct the field's type or name in Git",
            id="list",
        ),
        pytest.param(
            ".a: expected list, got &{notalist}", ".a: expected list, got notalist; correct the field's type or name in Git", id="text"
        ),
        pytest.param(
            "errors:\n  .a: expected string, got &value.valueUnstructured{Value:5}\n  .b: field not declared in schema",
            ".a: expected string, got 5; .b: field not declared in schema; correct the field's type or name in Git",
            id="several",
        ),
    ],
)
def test_a_wrong_type_is_told_without_go(fault: str, told: str) -> None:
    assert error_for(500, status(TYPED + fault)).message == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param('Invalid value: {"matchLabels":{"a":"x: y"}}: field is immutable', "field is immutable", id="json"),
        pytest.param('Invalid value: core.PodTemplateSpec{Name:"a: b"}: field is immutable', "field is immutable", id="go-struct"),
        pytest.param(
            "Forbidden: spec is immutable after creation\n  core.Spec{\n- a", "Forbidden: spec is immutable after creation", id="go-diff"
        ),
        pytest.param("Invalid value: immutable", "immutable", id="no-value"),
    ],
)
def test_what_cannot_be_changed_is_told_by_field_and_reason_without_the_value(said: str, told: str) -> None:
    found = error_for(422, status("huge and immutable", causes=[{"field": "spec.x", "message": said}]))
    assert isinstance(found, errors.ImmutableError)
    assert found.message.startswith(f"spec.x: {told}; set the old value in Git")


def test_a_field_conflict_names_every_field_and_manager() -> None:
    other = {"reason": "FieldManagerConflict", "message": 'conflict with "hpa" with subresource "scale"', "field": ".spec.paused"}
    found = error_for(409, status("Apply failed with 2 conflicts", causes=[CONFLICT, other]))
    assert isinstance(found, errors.FieldConflictError)
    assert found.fields == (".spec.replicas", ".spec.paused")
    assert '"kubectl-edit"' in found.message
    assert '"hpa"' in found.message


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        pytest.param("7", {}, 7, id="header"),
        pytest.param("7", {"retryAfterSeconds": 3}, 7, id="header-over-body"),
        pytest.param(None, {"retryAfterSeconds": 3}, 3, id="body"),
        pytest.param(None, {}, 1, id="neither"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", {}, 1, id="date"),
        pytest.param("soon", {}, 1, id="nonsense"),
    ],
)
def test_a_throttled_request_waits_as_long_as_asked_or_a_second(header: str | None, details: dict[str, Any], seconds: float) -> None:
    found = error_for(429, status("slow down", **details), retry_after=header)
    assert isinstance(found, errors.TransientError)
    assert found.retry_after_seconds == seconds


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_server_error_carries_what_was_asked(code: int) -> None:
    found = error_for(code, None, retry_after="5")
    assert isinstance(found, errors.TransientError)
    assert found.retry_after_seconds == 5
    again = error_for(code, None)
    assert isinstance(again, errors.TransientError)
    assert again.retry_after_seconds is None


def test_a_long_message_is_cut_and_stays_one_line() -> None:
    found = error_for(422, status("x\n\x1b[31m" * 100_000))
    assert len(found.message) < 700
    assert found.message.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": None},
        {"message": "x", "details": None},
        {"details": {"causes": None}},
        {"details": {"causes": []}},
        {"details": {"causes": [{}]}},
    ],
    ids=repr,
)
@given(code=st.integers(400, 599))
def test_a_malformed_answer_is_still_an_error_of_ours(body: dict[str, Any], code: int) -> None:
    assert isinstance(error_for(code, body), errors.CvstateError)
