"""Documents of `helm template`: parted, hooks that are no desired state left out, and two renders compared. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import yaml_reader

INSTALL_EVENTS: Final = frozenset({"pre-install", "post-install"})
TEST_EVENTS: Final = frozenset({"test", "test-success"})
"""Source: Helm, pkg/release/v1/util/manifest_sorter.go; events that it does not know make it leave the object out."""
RUNNING_KINDS: Final = frozenset({"Job", "Pod"})
"""Hooks that do something once, instead of being something. Helm waits for these two kinds only. Source: Helm's documentation, "Chart Hooks"."""
MAX_DIFFERENCES: Final = 3
"""Objects that are named when two renders differ."""

_SEPARATOR: Final = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_CRDS: Final = re.compile(r"[^/]+/(?:charts/[^/]+/)*crds/")
_SOURCE: Final = re.compile(rb"^# Source: ([^\r\n]+)$", re.MULTILINE)
_HOOK: Final = b"helm.sh/hook"


@dataclass(frozen=True, slots=True)
class Document:
    """One document as Helm wrote it."""

    source: str
    """The template, as Helm names it: `shop/charts/db/templates/x.yaml`; empty if unknown."""
    text: bytes


@dataclass(frozen=True, slots=True)
class Hook:
    """An object that was left out."""

    name: str
    """`Job/shop-migrate`."""
    events: tuple[str, ...]
    source: str
    is_running: bool
    """A Job or a Pod, which would have done something."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An object that two renders made differently."""

    name: str
    """`Secret/shop-token`, and the field as far as there is one: `Secret/shop-token data.password`."""
    source: str


def parted(text: bytes) -> list[Document]:
    """The documents that are not empty, in Helm's order; CRDs of `crds/` by path, since Helm takes dependencies in any order."""
    documents, source = list[Document](), ""
    for part in _SEPARATOR.split(text):
        if found := _SOURCE.search(part):
            source = found[1].decode(errors="replace")
        if any(line.strip() and not line.lstrip().startswith(b"#") for line in part.splitlines()):
            documents.append(Document(source, part.strip(b"\n")))
    crds = next((number for number, document in enumerate(documents) if not _CRDS.match(document.source)), len(documents))
    return [*sorted(documents[:crds], key=lambda document: document.source), *documents[crds:]]


def joined(documents: list[Document]) -> bytes:
    """A stream of documents, each with the template that it is from."""
    return b"".join(b"---\n# Source: %s\n%s\n" % (each.source.encode(), _SOURCE.sub(b"", each.text, 1).strip(b"\n")) for each in documents)


def without_hooks(documents: list[Document]) -> tuple[list[Document], list[Hook]]:
    """What `helm install` would leave in the cluster apart from Jobs and Pods, and the hooks that are none of it."""
    kept, left_out = list[Document](), list[Hook]()
    for document in documents:
        hook = _hook(document) if _HOOK in document.text else None
        if hook:
            left_out.append(hook)
        else:
            kept.append(document)
    return kept, left_out


def _hook(document: Document) -> Hook | None:
    """The hook that a document is; None if it is no hook, or one that stays as an object."""
    for value in _values(document.text):
        metadata = value.get("metadata") if isinstance(value, dict) else None
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        if not isinstance(annotations, dict) or "helm.sh/hook" not in annotations:
            continue
        events = _words(annotations["helm.sh/hook"])
        is_temporary = "hook-succeeded" in _words(annotations.get("helm.sh/hook-delete-policy"))
        is_running = value.get("kind") in RUNNING_KINDS
        if INSTALL_EVENTS.isdisjoint(events) or is_running or is_temporary:
            return Hook(_name(value), events, document.source, is_running)
    return None


def differences(first: list[Document], second: list[Document]) -> Iterator[Difference]:
    """Objects that are not the same in both, at most `MAX_DIFFERENCES`."""
    count = 0
    before, after = _objects(first), _objects(second)
    for key in [*before, *(key for key in after if key not in before)]:
        path = None
        if key not in before or key not in after:
            path = ""
        elif before[key][0] != after[key][0]:
            path = _first_difference(before[key][0], after[key][0], "")
        if path is not None:
            value, source = before[key] if key in before else after[key]
            yield Difference(f"{_name(value)} {path}".strip(), source)
            count += 1
            if count == MAX_DIFFERENCES:
                return


def _objects(documents: list[Document]) -> dict[tuple[str, int], tuple[Any, str]]:
    """Objects by identity; equal ones, and those without a name, are told apart by their number."""
    found: dict[tuple[str, int], tuple[Any, str]] = {}
    counts: dict[str, int] = {}
    for document in documents:
        for value in _values(document.text):
            name = f"{value.get('apiVersion')} {_namespace(value)} {_name(value)}" if isinstance(value, dict) else ""
            counts[name] = counts.get(name, 0) + 1
            found[name, counts[name]] = (value, document.source)
    return found


def _first_difference(one: Any, other: Any, path: str) -> str:
    """Path of the first field that differs: `data.password`, `spec.rules[1]`."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in one or key not in other or one[key] != other[key]:
                return _first_difference(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    if isinstance(one, list) and isinstance(other, list):
        for number, (item, counterpart) in enumerate(zip(one, other, strict=False)):
            if item != counterpart:
                return _first_difference(item, counterpart, f"{path}[{number}]")
    return one_line(path, 200)


def _values(text: bytes) -> Iterator[Any]:
    # Faults are left to those who read the final text; they say where they are.
    for document in yaml_reader.read(text)[0]:
        yield document.value


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in value.split(",")) if isinstance(value, str) else ()


def _namespace(value: Mapping[str, Any]) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("namespace") or "") if isinstance(metadata, dict) else ""


def _name(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return one_line("/".join(str(part) for part in (value.get("kind"), name) if part))
