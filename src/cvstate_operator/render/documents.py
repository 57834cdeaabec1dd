"""Documents to objects: what a manifest must have, and what is left out of it. Pure."""

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

from cvstate_operator.api.names import DIGEST
from cvstate_operator.objects import directives
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.ownership import ID_LABEL, PART_OF_LABEL

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


_RESERVED: Final = (("labels", PART_OF_LABEL), ("labels", ID_LABEL), ("annotations", DIGEST))
"""Marks of ownership, which only the operator writes."""

_KUSTOMIZE: Final = "kustomize.config.k8s.io/"
_ENCRYPTED: Final = "ENC[AES256_GCM,"
"""How a value that SOPS encrypted begins. Source: SOPS's documentation, "Encryption Protocol"."""


class DocumentError(ValueError):
    """A document that is no usable object; the message says what is wrong and what to do."""

    def __init__(self, message: str, *, field: str = "", reason: str = "BuildFailed", discreet: str = "") -> None:
        super().__init__(message)
        self.discreet = discreet or message
        """The message without values of the document; they may come from a Secret."""
        self.reason = reason
        """BuildFailed, Invalid, PolicyViolation, VariableMissing or RenderTooLarge."""
        self.field = field
        self.name = ""
        """The object as far as it is known (`Deployment/web`); empty if it is not."""


def objects(value: Any, prepare: Callable[[Any], Any] = lambda item: item) -> Iterator[Body | DocumentError]:
    """The objects that one document holds: one, none if it is empty, or the items of a List. A bad one is told as an error, and the rest goes on.

    Args:
        value: the document.
        prepare: what is done to each object before it is looked at; may raise DocumentError.
    """
    if value is None:
        return
    if isinstance(value, dict) and value.get("kind") == "List" and value.get("apiVersion") == "v1" and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from objects(item, prepare)
        return
    try:
        value = prepare(value)
        yield _object(value)
    except DocumentError as error:
        error.name = _label(value)
        yield error


def refuse_encrypted(value: Any, path: str = "") -> None:
    """Look at every text of an object, for what SOPS encrypted.

    Raises:
        DocumentError: PolicyViolation, with the field (`data.password`) and without the value.
    """
    if isinstance(value, str):
        if value.startswith(_ENCRYPTED):
            raise _encrypted(path)
        return
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        if isinstance(item, (str, dict, list)):
            refuse_encrypted(item, f"{path}.{key}" if path else str(key))


def _encrypted(field: str) -> DocumentError:
    message = "is encrypted with SOPS, which is not decrypted; keep it out of the path, or let a controller in the cluster make the Secret"
    return DocumentError(message, field=field, reason="PolicyViolation")


def _label(value: Any) -> str:
    """What a document calls itself, as far as it does: `Deployment/web`."""
    parts = (value.get("kind"), _name(value)) if isinstance(value, dict) else ()
    return "/".join(str(part) for part in parts if part and not str(part).startswith(_ENCRYPTED))


def _object(value: Any) -> Body:
    if not isinstance(value, dict):
        raise DocumentError(f"is a {_kind_of(value)}, not an object; a manifest is a mapping with apiVersion, kind and metadata")
    if isinstance(sops := value.get("sops"), dict) and "mac" in sops:
        raise _encrypted("sops")
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), str) or not value[field]:
            raise DocumentError(f"has no {field}; add it, or keep files that are no manifests out of the path", field=field)
    try:
        Gvk.parse(value["apiVersion"], value["kind"])
    except ValueError as exc:
        raise DocumentError(str(exc), field="apiVersion") from exc
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        if value["apiVersion"].startswith(_KUSTOMIZE):
            raise DocumentError(
                "is a kustomization and no object; name its directory as spec.source.git.path, or leave the file out by spec.source.git.exclude"
            )
        raise DocumentError("has no metadata; add at least metadata.name", field="metadata")
    if metadata.get("name") is not None and not isinstance(metadata["name"], str):
        raise DocumentError(f"metadata.name is a {_kind_of(metadata['name'])}, not a string; put it in quotes", field="metadata.name")
    if not metadata.get("name"):
        hint = "; generateName makes a new object at each apply" if "generateName" in metadata else ""
        raise DocumentError(f"has no name; add metadata.name{hint}", field="metadata.name")
    _check_name(metadata["name"], "metadata.name")
    if not isinstance(metadata.get("namespace") or "", str):
        raise DocumentError("metadata.namespace is no string", field="metadata.namespace")
    _check_name(metadata.get("namespace") or "", "metadata.namespace")
    for field in ("labels", "annotations"):
        _check_strings(metadata.get(field), f"metadata.{field}")
    _check_ownership(metadata)
    _check_directives(metadata)
    return _normal(value, metadata)


def _normal(value: Body, metadata: Body) -> Body:
    """Without what only the server writes; Secrets with `data` alone, since `stringData` is never seen again and its drift neither."""
    clean = {key: item for key, item in value.items() if key != "status"}
    clean["metadata"] = {key: item for key, item in metadata.items() if key not in _SERVER_OWNED and item is not None}
    if value["kind"] == "Secret" and value["apiVersion"] == "v1" and isinstance(value.get("stringData"), dict):
        plain = clean.pop("stringData")
        _check_strings(plain, "stringData")
        if not isinstance(clean.get("data") or {}, dict):
            raise DocumentError(f"data is a {_kind_of(clean['data'])}, not a mapping", field="data")
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        clean["data"] = {**(clean.get("data") or {}), **encoded}
    return clean


def _check_ownership(metadata: Body) -> None:
    """Whose an object is, is said by the operator and by the API server, not by Git."""
    for field, key in _RESERVED:
        if key in (metadata.get(field) or {}):
            what = f"metadata.{field}.{key}"
            raise DocumentError(f"{field[:-1]} {key} is written by the operator alone; remove it", field=what, reason="Invalid")
    if metadata.get("ownerReferences"):
        message = (
            "metadata.ownerReferences names owners by the uid they have in one cluster; elsewhere the object would be deleted; remove it"
        )
        raise DocumentError(message, field="metadata.ownerReferences", reason="Invalid")


def _check_directives(metadata: Body) -> None:
    """What an object asks of us has to be understood before it is applied: `prune: Disbled` must not be the end of it."""
    try:
        directives.parse(metadata.get("annotations"))
    except directives.DirectiveError as exc:
        raise DocumentError(str(exc), field=exc.field, reason="Invalid", discreet=exc.discreet) from exc


def _check_name(name: str, field: str) -> None:
    """A name becomes a part of a URL path; everything finer is for the API server to judge."""
    if name in (".", "..") or not name.isprintable() or not set(name).isdisjoint("/%?#"):
        raise DocumentError(f"{field} is not allowed: it may hold no '/', '%', '?', '#' or unprintable character", field=field)


def _check_strings(mapping: Any, field: str) -> None:
    if mapping is None:
        return
    if not isinstance(mapping, dict):
        raise DocumentError(f"{field} is a {_kind_of(mapping)}, not a mapping", field=field)
    for key, item in mapping.items():
        if not isinstance(item, str):
            raise DocumentError(f"{field}.{key} is a {_kind_of(item)}, not a string; put it in quotes", field=f"{field}.{key}")


def _name(value: Body) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _kind_of(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "mapping", type(None): "null"}
    return names.get(type(value), type(value).__name__)
