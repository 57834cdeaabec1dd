"""Verdicts: what an API server's answer means for us.

HTTP codes alone mislead: a wrong field type in an apply is a 500, quota and terminating namespaces are 403, a kind that is not served is a plain-text
404. One table, most specific rule first, turns an answer into one of our errors.
Source: answers of kube-apiserver 1.36.3, measured (RELIABILITY §2); tests/integration/test_verdict.py asks a live one again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line

MAX_SERVER_MESSAGE: Final = 500
"""Longest part of a server's message that is passed on; it can hold the whole object otherwise."""

_TYPED_FIELD: Final = re.compile(r"^(?:failed to create typed patch object.*?: )?\.?(?P<field>[\w.\[\]\"=/-]+): (?P<fault>.*)$", re.DOTALL)
_IMMUTABLE: Final = re.compile(
    r"immutable|may not change|cannot be changed|cannot change roleRef|updates to .* are forbidden|Forbidden: updates to", re.IGNORECASE
)
_IMPERSONATION: Final = re.compile(r"cannot (?P<verb>impersonate(?:-on)?[\w:-]*) resource")
"""What the API server says to whoever may not act in the name of another: with the verb that is lacking, `impersonate` or those of constrained impersonation (KEP-5284)."""
_VALUE: Final = "Invalid value: "
"""Field errors of apimachinery: `field: Invalid value: VALUE: reason`."""
_SAID_ABOUT: Final = 3
"""Fields of a refused change that are told; one is enough to see what is wrong."""
_GO_VALUES: Final = (
    (re.compile(r"&value\.valueUnstructured\{Value:(?:interface \{\}\((?P<null>nil)\)|(?P<value>.*?))\}$"), ""),
    (re.compile(r"&value\.list\w+\{.*\}$"), "a list"),
    (re.compile(r"&value\.map\w+\{.*\}$"), "a map"),
    (re.compile(r"&\{(?P<value>.*)\}$"), ""),
)
"""How structured-merge-diff prints what it got (typed/helpers.go, `%#v` and `%v`)."""


def error_for(code: int, status: Mapping[str, Any] | None, *, retry_after: str | None = None, act_as: str = "") -> errors.CvstateError:
    """The error that an answer stands for.

    Args:
        code: HTTP status, 400 or above.
        status: the answer as a `metav1.Status`; None if it was no JSON object.
        retry_after: the Retry-After header.
        act_as: user in whose name it was asked; empty: our own.
    """
    body = status or {}
    message = str(body.get("message") or "no message")
    details = body.get("details") or {}
    causes = details.get("causes") or ()
    seconds = _seconds(retry_after, details)
    match code:
        case 401:
            return errors.UnauthorizedError(
                "the API server does not accept our credentials; renew the kubeconfig or the service account token"
            )
        case 403:
            return _forbidden(message, causes, act_as)
        case 404:
            return _not_found(status, message, details)
        case 409:
            return _conflict(message, causes)
        case 410:
            return errors.StaleError("the resource version is too old")
        case 429:
            return errors.ThrottledError(f"the API server asks for fewer requests: {_short(message)}", retry_after_seconds=seconds or 1.0)
        case 500:
            return _internal(message, seconds)
        case 504:
            return errors.ServerTimeoutError(f"the API server ran out of time: {_short(message)}", retry_after_seconds=seconds)
        case _ if code >= 500:
            return errors.ServerError(f"HTTP {code}: {_short(message)}", retry_after_seconds=seconds)
        case _:
            return _invalid(message, causes)


def _forbidden(message: str, causes: Sequence[Mapping[str, Any]], act_as: str) -> errors.CvstateError:
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return errors.NamespaceTerminatingError("the namespace is being deleted; wait until it is gone, or take the object out of Git")
    if "custom resource definition is terminating" in message:
        return errors.KindUnknownError("its CustomResourceDefinition is being deleted; wait until it is gone, and have it installed again")
    if "exceeded quota" in message:
        return errors.QuotaExceededError(f"{_short(message)}; raise the quota or lower the request")
    if "denied" in message and ("admission webhook" in message or "ValidatingAdmissionPolicy" in message):
        return errors.AdmissionDeniedError(_short(message))
    if _IMPERSONATION.search(message):
        return errors.ImpersonationRefusedError(
            # Which account it is, the server does not say where impersonation is constrained: it tells what the first of several ways lacks.
            f"the operator may not act as {act_as or 'that account'}: {_short(message)}; allow it by a Role with the verb impersonate on that serviceaccount "
            "(docs/tenancy.md)"
        )
    return errors.ForbiddenError(f"{_short(message)}; grant it to that user, or take the object out of Git")


def _not_found(status: Mapping[str, Any] | None, message: str, details: Mapping[str, Any]) -> errors.CvstateError:
    if status is None or not details.get("name"):
        return errors.KindUnknownError(
            "the API server serves no such kind; install its CustomResourceDefinition or correct apiVersion and kind"
        )
    if details.get("kind") == "namespaces":
        name = details.get("name")
        return errors.NamespaceMissingError(f"namespace {name} does not exist; add it to Git or create it")
    return errors.NotFoundError(_short(message))


def _conflict(message: str, causes: Sequence[Mapping[str, Any]]) -> errors.CvstateError:
    held = [cause for cause in causes if cause.get("reason") == "FieldManagerConflict"]
    if held:
        fields = tuple(str(cause.get("field", "")) for cause in held)
        who = "; ".join(sorted({f"{cause.get('field')}: {_short(str(cause.get('message', '')))}" for cause in held}))
        return errors.FieldConflictError(
            f"others hold fields that Git declares with other values ({who})",
            fields=fields,
        )
    return errors.StaleError(f"the object changed meanwhile: {_short(message)}")


def _internal(message: str, seconds: float | None) -> errors.CvstateError:
    if "unable to convert unstructured object" in message or "illegal base64 data" in message:
        return errors.InvalidError(
            f"{_short(message)}; correct the value in Git: `data` of a Secret, `binaryData` and `caBundle`, for example, are base64"
        )
    if "typed patch object" in message or "expected list, got" in message or "expected map, got" in message:
        return _wrong_type(message)
    if "failed calling webhook" in message:
        return errors.WebhookUnavailableError(
            f"{_short(message)}; repair the webhook's backend or its configuration", retry_after_seconds=seconds
        )
    return errors.ServerError(f"HTTP 500: {_short(message)}", retry_after_seconds=seconds)


def _wrong_type(message: str) -> errors.InvalidError:
    # `failed to create typed patch object (ns/name; v1, Kind=Service): .spec.ports: expected list, got &{notalist}`; several faults come as a list.
    tail = message.partition("): ")[2] or message
    tail = tail.removeprefix("errors:").strip()
    match = _TYPED_FIELD.match(tail)
    field = match["field"] if match else ""
    faults = [_without_go(line.strip()) for line in tail.splitlines() if line.strip()]
    # The commonest slip: `y`, `on` and `1.10` mean no text in YAML.
    is_unquoted = len(faults) == 1 and re.search(r"expected string, got (?!a list|a map|null)", faults[0])
    remedy = "put it in quotes if a text is meant" if is_unquoted else "correct the field's type or name in Git"
    return errors.InvalidError(f"{_short('; '.join(faults))}; {remedy}", field=field)


def _without_go(fault: str) -> str:
    """`expected string, got true` for `expected string, got &value.valueUnstructured{Value:true}`; also a Secret's is masked by its `got`."""
    before, got, value = fault.partition(", got ")
    for pattern, word in _GO_VALUES if got else ():
        if found := pattern.fullmatch(value):
            return before + got + (word or ("null" if found.groupdict().get("null") else found["value"]))
    return fault


def _invalid(message: str, causes: Sequence[Mapping[str, Any]]) -> errors.CvstateError:
    field = next((str(cause["field"]) for cause in causes if cause.get("field")), "")
    if field in ("metadata.uid", "metadata.resourceVersion"):
        return errors.StaleError("the object was replaced meanwhile")
    if "ValidatingAdmissionPolicy" in message or "admission webhook" in message:
        return errors.AdmissionDeniedError(_short(message), field=field)
    if _IMMUTABLE.search(message):
        return errors.ImmutableError(
            f"{_short(_without_values(message, causes))}; set the old value in Git, or let the object be made anew (spec.apply.recreate)",
            field=field,
        )
    return errors.InvalidError(f"{_short(message)}; correct it in Git", field=field)


def _without_values(message: str, causes: Sequence[Mapping[str, Any]]) -> str:
    """Which fields, and why; without their values, which may be the whole object as a Go struct."""
    told = dict.fromkeys(
        f"{cause['field']}: {_reason(str(cause['message']))}" for cause in causes if cause.get("field") and cause.get("message")
    )
    more = f"; and {len(told) - _SAID_ABOUT} more" if len(told) > _SAID_ABOUT else ""
    return "; ".join(list(told)[:_SAID_ABOUT]) + more if told else message


def _reason(said: str) -> str:
    """`field is immutable` for `Invalid value: {…}: field is immutable`. What follows the first line is a comparison of Go structs."""
    value = said.partition(_VALUE)[2] if said.startswith(_VALUE) else ""
    if not value:
        return said.partition("\n")[0]
    try:
        _, end = json.JSONDecoder().raw_decode(value)
        found = value[end:].removeprefix(": ")
    except (ValueError, RecursionError):
        found = value.rpartition(": ")[2]
    return found.partition("\n")[0] or said.partition("\n")[0]


def _seconds(retry_after: str | None, details: Mapping[str, Any]) -> float | None:
    text = retry_after or details.get("retryAfterSeconds")
    try:
        return float(text) if text else None
    except (TypeError, ValueError):
        return None


def _short(message: str) -> str:
    return one_line(" ".join(message.split()), MAX_SERVER_MESSAGE)
