"""Takeover: what kubectl, and whoever else wrote an object by client-side apply, gives up when we adopt it.

`kubectl apply` without `--server-side` is listed in `metadata.managedFields` under the operation Update, with every field it sent and every default of
that time; so are the other commands of kubectl, with what they wrote. They would hold that besides us for good: a list item that leaves Git could not
leave the cluster, and one whose key changes would be there twice. So at adoption they let go of what we declare. What they alone hold stays live and
stays theirs, as `drift.extraFields` has it; so does the annotation with the last configuration, which whoever still uses kubectl needs.

Unlike k8s.io/client-go/util/csaupgrade, which makes all its fields ours: there the next apply takes away whatever Git does not declare.
Pure: no clock, no I/O; arguments are never changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from cvstate_operator.drift import defaults
from cvstate_operator.drift.field_set import FieldTree
from cvstate_operator.drift.keyed_items import ABSENT, Items

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation of client-side apply: whoever holds it by an Update applied that way. Source: kubectl, pkg/cmd/apply, migrateToSSAIfNecessary."""

_KUBECTL: Final = "kubectl"
"""First part of the field managers of kubectl: `kubectl-client-side-apply`, `kubectl-create`, `kubectl-edit`, and `kubectl` alone before 1.19. Each of
them is a person's command that was carried out. Source: kubectl, pkg/cmd, `--field-manager` of each command."""

_OLDER: Final = "before-first-apply"
"""Whoever wrote an object that is older than managedFields. Source: Kubernetes documentation, "Server-Side Apply"."""

MAX_DEPTH: Final = 100
"""Deepest field that is looked at; what is below stays with its holder. A Pod template is about 12 deep."""


def is_from_client(live: Mapping[str, Any]) -> bool:
    """Whether client-side apply holds anything in this object, or will do so as soon as we apply it: as one that is older than managedFields."""
    entries = live.get("metadata", {}).get("managedFields")
    return not entries or any(_is_client_side(entry) for entry in entries)


def taken_over(live: Mapping[str, Any], applied: Mapping[str, Any], *, manager: str) -> list[dict[str, Any]] | None:
    """The `managedFields` of an object after client-side apply let go of what we declare; None if it holds nothing of that.

    Our own entry is among them: a list that is empty would make the API server forget who wrote what, and start anew.

    Args:
        live: the object as it is.
        applied: the answer to a dry run of our apply to it.
        manager: our field manager.
    """
    entry = next((e for e in applied["metadata"].get("managedFields") or () if _is_ours(e, manager)), None)
    if entry is None:
        return None
    ours: FieldTree = entry.get("fieldsV1") or {}
    letting_go = _Rest(defaults.is_builtin(str(live.get("apiVersion", ""))))
    kept: list[dict[str, Any]] = []
    is_changed = False
    for other in live["metadata"].get("managedFields") or applied["metadata"]["managedFields"]:
        if _is_ours(other, manager):
            continue
        tree: FieldTree = other.get("fieldsV1") or {}
        # Paths of another version of the API may mean something else.
        if not _is_client_side(other) or other.get("apiVersion") != entry.get("apiVersion"):
            kept.append(dict(other))
            continue
        left = letting_go.of(tree, ours, live)
        is_changed = is_changed or left != tree
        kept += [{**other, "fieldsV1": left}] if left else []
    return [*kept, dict(entry)] if is_changed else None


def keeps_values(live: Mapping[str, Any], planned: Mapping[str, Any]) -> bool:
    """Whether an apply changes no value that is there, so that it differs in spelling only (`0.1` and `100m`); it may add fields, but no list items.

    Args:
        live: the object as it is.
        planned: the answer to a forced dry run of the apply to it.
    """
    first, second = live.get("metadata") or {}, planned.get("metadata") or {}
    named = all(_is_kept(first.get(name) or {}, second.get(name) or {}) for name in ("labels", "annotations"))
    return named and all(name in planned and _is_kept(live[name], planned[name]) for name in live.keys() - {"metadata", "status"})


def handover(live: Mapping[str, Any], managed_fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A JSON patch (RFC 6902) that gives exactly this object these `managedFields` and changes nothing else.

    The resourceVersion is set and not tested, so that a write in between is a conflict (409) and no invalid request (422).
    """
    return [
        {"op": "add", "path": "/metadata/managedFields", "value": list(managed_fields)},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _is_client_side(entry: Mapping[str, Any]) -> bool:
    if entry.get("operation") != "Update" or entry.get("subresource"):
        return False
    metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    manager = str(entry.get("manager", ""))
    return manager == _OLDER or manager.partition("-")[0] == _KUBECTL or "f:" + LAST_APPLIED in (metadata.get("f:annotations") or {})


def _is_kept(before: Any, after: Any, depth: int = 0) -> bool:
    if depth >= MAX_DEPTH:
        return False
    if isinstance(before, Mapping):
        return isinstance(after, Mapping) and all(
            name in after and _is_kept(value, after[name], depth + 1) for name, value in before.items()
        )
    if isinstance(before, list):
        same_length = isinstance(after, list) and len(before) == len(after)
        return same_length and all(_is_kept(*pair, depth + 1) for pair in zip(before, after, strict=True))
    # `True == 1` in Python, not in JSON.
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


class _Rest:
    """What is left of a field set without what we hold, and without defaults that would keep alive what we let go of."""

    def __init__(self, knows_defaults: bool) -> None:
        self._knows_defaults = knows_defaults

    def of(self, theirs: FieldTree, ours: FieldTree, value: Any, depth: int = 0) -> dict[str, FieldTree]:
        """The rest of one place that we hold, or hold something in; `value` is what is there."""
        left: dict[str, FieldTree] = {}
        items = Items(value) if isinstance(value, list) else None
        for element, below in theirs.items():
            if element == ".":
                continue  # the thing itself; it is there as long as anything is in it
            inside = _child(value, items, element)
            if depth >= MAX_DEPTH:
                left[element] = below
            elif element not in ours:
                if not self._is_default(element, inside, value):
                    left[element] = below
            elif not ours[element] and not below:
                continue  # both hold the same value
            elif not self._knows_defaults and element[:2] in ("k:", "v:"):
                continue  # what in an item is a default is not known, and an item goes as a whole
            elif rest := self.of(below, ours[element], inside, depth + 1):
                left[element] = rest
        return left

    def _is_default(self, element: str, value: Any, beside: Any) -> bool:
        if value is ABSENT or value in ({}, [], None):
            return True
        name = element[2:] if element.startswith("f:") else ""
        return self._knows_defaults and bool(name) and isinstance(beside, Mapping) and defaults.is_default(name, value, beside)


def _child(value: Any, items: Items | None, element: str) -> Any:
    """What an element of a field set stands for; `ABSENT` if it is not there, or cannot be told from another."""
    kind, _, rest = element.partition(":")
    if kind == "f":
        return value.get(rest, ABSENT) if isinstance(value, Mapping) else ABSENT
    if items is None or kind not in ("k", "v"):
        return ABSENT
    try:
        key = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return ABSENT
    at = items.find(key, is_value=kind == "v")
    return value[at[0]] if len(at) == 1 else ABSENT
