"""Manifests: desired objects as they came out of the render, without their bodies.

A body is 1–30 KB and is needed only when a PATCH is due; what stays in memory is its identity, its digest and where to read it again.
The renderer writes manifests, plan and apply read them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import orjson

from cvstate_operator.objects.directives import DEFAULT, Directives
from cvstate_operator.objects.identity import Gvk, ObjectRef

DIGEST_BYTES: Final = 16


def digest_of(body: Mapping[str, Any]) -> str:
    """Hex digest of a body in canonical JSON: equal bodies, equal digests, whatever the YAML looked like."""
    return hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=DIGEST_BYTES).hexdigest()


class Origin(NamedTuple):
    """Where in the repository a manifest stands."""

    file: str
    document: int
    """1-based number of the YAML document in the file."""
    line: int
    """1-based line on which the document starts."""


class BodyRef(NamedTuple):
    """Where the rendered body can be read again: a span of bytes of one file in the render store."""

    key: str
    """Name of the file in the store."""
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One desired object."""

    gvk: Gvk
    namespace: str
    name: str
    digest: str
    """Of the body, by `digest_of`."""
    origin: Origin
    body: BodyRef
    directives: Directives = DEFAULT
    """What its annotations ask for."""
    ref: ObjectRef = field(init=False, repr=False, compare=False)
    """Identity of the object. Kept, since each commit asks every manifest for it; whoever keeps objects by their identity keeps this very value."""
    _moved: "Manifest | None" = field(default=None, init=False, repr=False, compare=False)
    """The same in the namespace that was asked for last: what a commit does not change is placed again with each one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ref", ObjectRef(self.gvk.group, self.gvk.kind, self.namespace, self.name))

    def in_namespace(self, namespace: str) -> "Manifest":
        """The same manifest in another namespace (empty: cluster-scoped)."""
        if namespace == self.namespace:
            return self
        moved = self._moved
        if moved is None or moved.namespace != namespace:
            moved = replace(self, namespace=namespace)
            object.__setattr__(self, "_moved", moved)
        return moved


Body = dict[str, Any]
"""A Kubernetes object as plain JSON data."""

Remade = Callable[[Mapping[str, Any] | None], Body]
"""Makes the body to send to an object as it is; None if there is none."""
