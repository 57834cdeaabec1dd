"""Says whether a live object is what was declared, and whether more than that was written to it. Pure; readers are `observer` and `gate`."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import orjson

Body: TypeAlias = Mapping[str, Any]

_OF_THE_TOOL = (("metadata", "labels"), ("metadata", "annotations"), ("metadata", "ownerReferences"), ("metadata", "finalizers"))
"""Where every tool may leave marks of its own."""


def holds(declared: Any, live: Any) -> bool:
    """Say whether every declared field is there with its declared value; what is declared as null must not be there.

    Lists must have the same length: an element too many is a difference. What the API server adds inside of elements is not.
    """
    if isinstance(declared, dict):
        return isinstance(live, dict) and all(holds(value, live.get(name)) for name, value in declared.items())
    if isinstance(declared, list):
        return isinstance(live, list) and len(declared) == len(live) and all(map(holds, declared, live))
    return bool(declared == live)


def undeclared(declared: Body, live: Body) -> list[str]:
    """Return the fields that somebody set though nobody declared them, as ``f:spec/f:replicas``, by the object's managedFields.

    Marks of tools in the metadata, and what was written through a subresource, do not count.
    Source: Kubernetes API reference, ObjectMeta v1, managedFields; structured-merge-diff, fieldpath serialisation.
    """
    entries = live["metadata"].get("managedFields") or ()
    owned = (path for entry in entries if not entry.get("subresource") for path in _leaves(entry["fieldsV1"]))
    return sorted({"/".join(path) for path in owned if _is_foreign(declared, path)})


def _leaves(fields: Body, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    below = {name: value for name, value in fields.items() if name != "."}
    if not below and before:
        yield before
    for name, value in below.items():
        yield from _leaves(value, (*before, name))


def _is_foreign(declared: Body, path: tuple[str, ...]) -> bool:
    names = tuple(part.removeprefix("f:") for part in path)
    return names[:2] not in _OF_THE_TOOL and not _is_within(declared, path)


def _is_within(declared: Any, path: tuple[str, ...]) -> bool:
    """Say whether a path, as managedFields has it, leads to something declared."""
    if not path:
        return True
    sort, _, rest = path[0].partition(":")
    match sort:
        case "f":
            return isinstance(declared, dict) and rest in declared and _is_within(declared[rest], path[1:])
        case "k":
            key = orjson.loads(rest)
            return isinstance(declared, list) and any(_has(item, key) and _is_within(item, path[1:]) for item in declared)
        case "v":
            return isinstance(declared, list) and orjson.loads(rest) in declared
    return False


def _has(item: Any, key: Mapping[str, Any]) -> bool:
    """Say whether a declared item may be the one of that key; what it does not say the API server has defaulted."""
    return isinstance(item, dict) and all(item.get(name, value) == value for name, value in key.items())
