"""Parse: one manifest file to objects, and to what is wrong with it. Used in child processes only; pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson

from cvstate_operator.objects import directives
from cvstate_operator.objects.manifest import DIGEST_BYTES, digest_of
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import documents, transform, yaml_reader
from cvstate_operator.render.substitute import Variables

"""128 bits: a collision among 10^9 manifests has probability below 10^-20."""

_LFS: Final = b"version https://git-lfs.github.com/spec/"
_SOPS: Final = b"ENC[AES256_GCM,"


@dataclass(frozen=True)
class Options:
    """What a ClusterState wants done to every object. Values may be secret; they are not shown."""

    variables: Mapping[str, str] | None = field(default=None, repr=False)
    """Values of `${name}`; None: `${` is a text like any other."""
    strict: bool = True
    """A variable without value and default is a problem; if false it is empty."""
    common_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of every object; they win over its own."""
    target_namespace: str = ""
    """For the ServiceAccounts of bindings that name none; empty: as it is written."""

    def __post_init__(self) -> None:
        """Raises InvalidSpecError for labels that say whose an object is."""
        transform.check_labels(self.common_labels)

    @property
    def key(self) -> str:
        """Hex digest of everything that makes a difference; empty if nothing is asked for. Equal texts and equal keys make equal objects."""
        if self.variables is None and not self.common_labels and not self.target_namespace:
            return ""
        strict = self.strict or self.variables is None
        content = orjson.dumps({**self.to_request(), "strict": strict}, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()[: 2 * DIGEST_BYTES]

    def to_request(self) -> dict[str, Any]:
        """As JSON, for the child process."""
        return {
            "variables": None if self.variables is None else dict(self.variables),
            "strict": self.strict,
            "commonLabels": dict(self.common_labels),
            "targetNamespace": self.target_namespace,
        }

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Self:
        """What `to_request` gave; what is missing has its default."""
        return cls(
            request.get("variables"), request.get("strict", True), request.get("commonLabels") or {}, request.get("targetNamespace") or ""
        )


def parse(text: bytes, options: Options = Options(), *, may_be_secret: bool = False) -> tuple[dict[str, Any], bytes]:
    """Read one file.

    Args:
        text: its content.
        options: what is done to every object in it.
        may_be_secret: whether values in it may come from a Secret, so that problems do not show them; those of variables always may.

    Returns:
        The index, `{"objects": [[apiVersion, kind, namespace, name, digest, document, line, offset, length]], "directives": [[number of the object
        from 0, what `Directives.to_json` tells]] of those that ask for something, "problems": [[document, object, reason, message, field]]}`, and the
        bodies as JSON, one after the other; offsets count from the first body. Digests are of the objects as they are after all that the options ask for.
    """
    if text.startswith(_LFS):
        return _nothing("BuildFailed", "is a Git LFS pointer, not the file itself; commit the file without LFS")
    # Without either, no scalar can hold `${`: a backslash may spell it in double quotes.
    templates = options.variables is not None and (b"${" in text or b"\\" in text)
    found, faults = yaml_reader.read(text, templates=templates)
    if too_large := [fault for fault in faults if fault.reason == "RenderTooLarge"]:
        return _nothing("RenderTooLarge", too_large[0].message)
    objects: list[list[Any]] = []
    asked: list[list[Any]] = []
    problems: list[list[Any]] = [
        [f.document or 0, "", f.reason, f"line {f.line}: {f.message}" if f.line else f.message, ""] for f in faults
    ]
    substitution = transform.Substitution(Variables(options.variables or {}, options.strict)) if templates else None
    encrypted = _SOPS in text

    def prepare(value: Any) -> Any:
        value = substitution.filled(value) if substitution else value
        if encrypted:
            documents.refuse_encrypted(value)
        return value

    bodies = bytearray()
    for document in found:
        for item in documents.objects(document.value, prepare):
            if isinstance(item, documents.DocumentError):
                message = item.discreet if may_be_secret or substitution else str(item)
                problems.append([document.number, one_line(item.name), item.reason, one_line(message, 400), item.field])
                continue
            item = transform.with_subject_namespace(transform.labelled(item, options.common_labels), options.target_namespace)
            body = orjson.dumps(item)
            meta = item["metadata"]
            identity = [item["apiVersion"], item["kind"], meta.get("namespace") or "", meta["name"], digest_of(item)]
            if told := directives.parse(meta.get("annotations"), meta.get("labels")).to_json():
                asked.append([len(objects), told])
            objects.append([*identity, document.number, document.line, len(bodies), len(body)])
            bodies += body
    return {"objects": objects, "directives": asked, "problems": problems}, bytes(bodies)


def _nothing(reason: str, message: str) -> tuple[dict[str, Any], bytes]:
    """Of a file that is not looked into."""
    return {"objects": [], "directives": [], "problems": [[0, "", reason, message, ""]]}, b""
