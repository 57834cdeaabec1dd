"""Changes that a ClusterState asks for, made to one object after another. Pure; what was read is never changed, but copied where it differs.

Comes after the YAML reader (`templates=True`) and before or after `documents.py` looks at the object; `parse.py` has the order.
"""

from collections.abc import Mapping
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import scalars
from cvstate_operator.render.documents import DocumentError
from cvstate_operator.render.placeholders import Template
from cvstate_operator.render.substitute import MAX_TEXT_CHARACTERS, Variables

SUBSTITUTE_MARKS: Final = ("cvstate.io/substitute", "kustomize.toolkit.fluxcd.io/substitute")
"""Labels or annotations that with the value `disabled` keep an object as it is written. The second is Flux's."""

_RESERVED: Final = ("applyset.kubernetes.io", "cvstate.io")
"""Domains of labels that say whose an object is."""

_WHITE: Final = " \t\r\n"
_BINDINGS: Final = ("RoleBinding", "ClusterRoleBinding")
_RBAC: Final = "rbac.authorization.k8s.io/"


class Substitution:
    """Gives the Templates of one file their values."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._spent = 0
        """Characters that this file has got so far."""

    def filled(self, value: Any) -> Any:
        """An object with values in place of its Templates; as it is written, if it says so.

        Raises:
            DocumentError: a variable is missing, a form is not known, a value cannot stand where it is, or all together are too large.
        """
        try:
            return _Filler(self, None if is_exempt(value) else self._variables).value(value)
        except errors.CvstateError as exc:
            raise DocumentError(exc.message, reason=exc.reason) from exc

    def spend(self, characters: int) -> None:
        """Count what is written out.

        Raises:
            RenderTooLargeError: more than a file may hold.
        """
        self._spent += characters
        if self._spent > MAX_TEXT_CHARACTERS:
            raise errors.RenderTooLargeError(f"more than {MAX_TEXT_CHARACTERS // 2**20} MiB of texts with variables in the file; split it")


class _Filler:
    """Fills one object; without variables its texts stay as they are written.

    Parts that were aliases stay shared, and are counted as often as they will be written out.
    """

    def __init__(self, substitution: Substitution, variables: Variables | None) -> None:
        self._substitution, self._variables = substitution, variables
        self._spent = 0
        self._done: dict[int, tuple[Any, int]] = {}
        """What became of each list and map, and the characters in it, by identity."""

    def value(self, value: Any) -> Any:
        if isinstance(value, Template):
            return self._scalar(value)
        if not isinstance(value, (dict, list)):
            return value
        if id(value) in self._done:
            result, cost = self._done[id(value)]
            self._spend(cost)
            return result
        before = self._spent
        result = [self.value(item) for item in value] if isinstance(value, list) else self._map(value)
        self._done[id(value)] = (result, self._spent - before)
        return result

    def _map(self, value: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key)
            if name in result:
                raise self._duplicate(value, name)
            result[name] = self.value(item)
        return result

    def _duplicate(self, value: dict[str, Any], name: str) -> DocumentError:
        """Told as the keys are written; what they become may be secret."""
        same = [key for key in value if self._key(key) == name]
        template = next(key for key in reversed(same) if isinstance(key, Template))
        other = next(key for key in same if key is not template)
        message = f"line {template.line}: key {one_line(template, 60)!r} becomes the same as {one_line(other, 60)!r}; keep one of them"
        return DocumentError(message, reason="DuplicateKey")

    def _key(self, template: str) -> str:
        if not isinstance(template, Template):
            return template
        text = self._text(template)
        if template.tag is None and not template.plain:
            return text
        text, quoted = (text, False) if template.tag else _unquoted(text)
        try:
            return text if quoted else scalars.key(text, template.tag)
        except ValueError as exc:
            raise _no_value(template, "null, or a number that cannot be a key") from exc

    def _scalar(self, template: Template) -> scalars.Scalar:
        text = self._text(template)
        try:
            if template.tag is not None:
                return scalars.tagged(template.tag, text)
            if not template.plain:
                return text
            text, quoted = _unquoted(text)
            return text if quoted else scalars.plain(text)
        except ValueError as exc:
            raise _no_value(template, "no value of its type, or a number that cannot be held") from exc

    def _text(self, template: Template) -> str:
        if self._variables is None:
            return str(template)
        try:
            text = self._variables.apply(template)
        except errors.CvstateError as exc:
            raise type(exc)(f"line {template.line}: {exc.message}") from exc
        self._spend(len(text))
        return text

    def _spend(self, characters: int) -> None:
        self._spent += characters
        self._substitution.spend(characters)


def is_exempt(value: Any) -> bool:
    """Whether an object asks to be left as it is written."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return False
    groups = [group for group in (metadata.get("labels"), metadata.get("annotations")) if isinstance(group, dict)]
    return any(str(group.get(mark)).lower() == "disabled" for group in groups for mark in SUBSTITUTE_MARKS)


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse common labels that say whose an object is.

    Raises:
        InvalidSpecError: a label of `applyset.kubernetes.io` or `cvstate.io`.
    """
    for key in labels:
        domain = key.partition("/")[0]
        if "/" in key and any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED):
            raise errors.InvalidSpecError(
                f"spec.render.commonLabels must not hold {one_line(key, 80)}: it says whose an object is; remove it"
            )


def labelled(body: Body, labels: Mapping[str, str]) -> Body:
    """The object with `labels`, which win over its own; selectors and templates are left alone."""
    if not labels:
        return body
    metadata = body["metadata"]
    return {**body, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}


def with_subject_namespace(body: Body, namespace: str) -> Body:
    """A binding with `namespace` for each ServiceAccount that it names without one; any other object as it is.

    The namespace of the object itself is set by the plan, which knows the kinds that have one.
    """
    subjects = body.get("subjects")
    if not namespace or body["kind"] not in _BINDINGS or not body["apiVersion"].startswith(_RBAC) or not isinstance(subjects, list):
        return body
    return {**body, "subjects": [_in_namespace(subject, namespace) for subject in subjects]}


def _in_namespace(subject: Any, namespace: str) -> Any:
    if not isinstance(subject, dict) or subject.get("kind") != "ServiceAccount" or subject.get("namespace"):
        return subject
    return {**subject, "namespace": namespace}


def _unquoted(text: str) -> tuple[str, bool]:
    """What a scalar without quotes says: white space around it does not count, and quotes that came with a value make it a text (Flux's `${quote}`)."""
    text = text.strip(_WHITE)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1] and "\\" not in text:
        return text[1:-1], True
    return text, False


def _no_value(template: Template, why: str) -> DocumentError:
    message = f"line {template.line}: {one_line(template, 60)} gives {why}; put it in quotes if it is a text"
    return DocumentError(message, reason="YAMLInvalid")
