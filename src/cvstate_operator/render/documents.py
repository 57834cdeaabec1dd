"""Documents to objects: what a manifest must have, and what is left out of it. Pure."""

import base64
from collections.abc import Iterator
from typing import Any, Final

from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Body

_SERVER_OWNED: Final = (
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
"""Metadata that only the API server writes; `kubectl get -o yaml` prints it, so it is often committed by accident."""


class DocumentError(ValueError):
    """A document that is no usable object; the message says what is wrong and what to do."""

    def __init__(self, message: str, *, field: str = "", name: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.name = name
        """The object as far as it is known (`Deployment/web`); empty if it is not."""


def objects(value: Any) -> Iterator[Body | DocumentError]:
    """The objects that one document holds: one, none if it is empty, or the items of a List. A bad one is told as an error, and the rest goes on."""
    if value is None:
        return
    if isinstance(value, dict) and value.get("kind") == "List" and value.get("apiVersion") == "v1" and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from objects(item)
        return
    try:
        yield _object(value)
    except DocumentError as error:
        yield error


def _object(value: Any) -> Body:
    if not isinstance(value, dict):
        raise DocumentError(f"is a {_kind_of(value)}, not an object; a manifest is a mapping with apiVersion, kind and metadata")
    label = "/".join(str(part) for part in (value.get("kind"), _name(value)) if part)
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), str) or not value[field]:
            raise DocumentError(f"has no {field}; add it, or keep files that are no manifests out of the path", field=field, name=label)
    try:
        Gvk.parse(value["apiVersion"], value["kind"])
    except ValueError as exc:
        raise DocumentError(str(exc), field="apiVersion", name=label) from exc
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise DocumentError("has no metadata; add at least metadata.name", field="metadata", name=label)
    if metadata.get("name") and not isinstance(metadata["name"], str):
        raise DocumentError(
            f"metadata.name is a {_kind_of(metadata['name'])}, not a string; put it in quotes", field="metadata.name", name=label
        )
    if not metadata.get("name"):
        hint = "; generateName makes a new object at each apply" if "generateName" in metadata else ""
        raise DocumentError(f"has no name; add metadata.name{hint}", field="metadata.name", name=label)
    _check_name(metadata["name"], "metadata.name", label)
    if not isinstance(metadata.get("namespace") or "", str):
        raise DocumentError("metadata.namespace is no string", field="metadata.namespace", name=label)
    _check_name(metadata.get("namespace") or "", "metadata.namespace", label)
    for field in ("labels", "annotations"):
        _check_strings(metadata.get(field), f"metadata.{field}", label)
    return _normal(value, metadata)


def _normal(value: Body, metadata: Body) -> Body:
    """Without what only the server writes; Secrets with `data` alone, since `stringData` is never seen again and its drift neither."""
    clean = {key: item for key, item in value.items() if key != "status"}
    clean["metadata"] = {key: item for key, item in metadata.items() if key not in _SERVER_OWNED and item is not None}
    if value["kind"] == "Secret" and value["apiVersion"] == "v1" and isinstance(value.get("stringData"), dict):
        plain = clean.pop("stringData")
        _check_strings(plain, "stringData", f"Secret/{metadata['name']}")
        if not isinstance(clean.get("data") or {}, dict):
            raise DocumentError(f"data is a {_kind_of(clean['data'])}, not a mapping", field="data", name=f"Secret/{metadata['name']}")
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        clean["data"] = {**(clean.get("data") or {}), **encoded}
    return clean


def _check_name(name: str, field: str, label: str) -> None:
    """A name becomes a part of a URL path; everything finer is for the API server to judge."""
    if name in (".", "..") or not name.isprintable() or not set(name).isdisjoint("/%?#"):
        raise DocumentError(f"{field} is not allowed: it may hold no '/', '%', '?', '#' or unprintable character", field=field, name=label)


def _check_strings(mapping: Any, field: str, label: str) -> None:
    if mapping is None:
        return
    if not isinstance(mapping, dict):
        raise DocumentError(f"{field} is a {_kind_of(mapping)}, not a mapping", field=field, name=label)
    for key, item in mapping.items():
        if not isinstance(item, str):
            raise DocumentError(f"{field}.{key} is a {_kind_of(item)}, not a string; put it in quotes", field=f"{field}.{key}", name=label)


def _name(value: Body) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _kind_of(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "mapping", type(None): "null"}
    return names.get(type(value), type(value).__name__)
