"""Drift as a plan: who changes which object when, and how it should be afterwards. Seeded, pure; `bench.drifter` carries it out.

Each object drifts at most once, so that no repair is mistaken for another's, and half of them not at all.
"""

import copy
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bench import objects
from bench.gate import FOREIGN_ANNOTATION
from bench.objects import Body


class Sort(StrEnum):
    """What is done to an object."""

    FIELD = "field"
    """A declared value is changed."""
    LABEL = "label"
    """A declared label is changed, or every label is removed, those of the tool too: then it leaves every watch that selects by label."""
    ADDED = "added"
    """A key is added to a map that has one owner as a whole: the selector of a Service. A key that is added to any other map belongs to whoever adds it."""
    DELETED = "deleted"
    """The object is deleted."""
    UNDECLARED = "undeclared"
    """A field is set that nobody declared. It must stay."""


SHARES: Final[Mapping[Sort, int]] = {Sort.FIELD: 5, Sort.LABEL: 2, Sort.ADDED: 1, Sort.DELETED: 1, Sort.UNDECLARED: 1}
"""Of each ten drifts."""
_STRANGE_FIELDS: Final[Mapping[str, Body]] = {
    "ConfigMap": {"data": {"of-a-stranger": "keep"}},
    "Service": {"spec": {"publishNotReadyAddresses": True}},
    "Deployment": {"spec": {"minReadySeconds": 5}},
    "ServiceAccount": {"imagePullSecrets": [{"name": "of-a-stranger"}]},
    "Role": {"metadata": {"annotations": {FOREIGN_ANNOTATION: "keep"}}},
}
"""Kind → a field that `bench.objects` never declares, as a merge patch."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One write of somebody who is no tool."""

    seconds: float
    """When, after the first moment of the plan."""
    sort: Sort
    path: str
    """URL path of the object."""
    patch: Body | None
    """JSON merge patch (RFC 7386); None deletes the object."""
    wanted: Body
    """What the object holds when all is right again. null: must not be there."""


def plan(declared: Mapping[str, Body], *, rate: float, seconds: float, seed: int) -> list[Drift]:
    """Return the drifts of a time, in their order; at most half as many as there are objects, so it may end early.

    Args:
        declared: URL path → body.
        rate: of the Poisson process, per second.
        seconds: how long it goes on.
        seed: of times, sorts and objects.
    """
    chooser = random.Random(f"drift-{seed}")
    waiting = deque(chooser.sample(sorted(declared), len(declared)))
    sorts = _sorts(chooser)
    found: list[Drift] = []
    moment = chooser.expovariate(rate)
    while moment < seconds and len(found) < len(declared) // 2:
        sort = next(sorts)
        path = next((path for path in waiting if sort is not Sort.ADDED or declared[path]["kind"] == "Service"), "")
        if path:
            waiting.remove(path)
            found.append(_drift(moment, sort, path, declared[path], chooser, f"drift-{seed}-{len(found)}"))
        moment += chooser.expovariate(rate)
    return found


def edits(declared: Mapping[str, Body], paths: Iterable[str], value: str) -> list[Drift]:
    """Return a drift of sort FIELD for each of these objects, all at once; `value` is one that it has not had."""
    return [Drift(0.0, Sort.FIELD, path, _edit(declared[path], value), declared[path]) for path in paths]


def _sorts(chooser: random.Random) -> Iterator[Sort]:
    deck = [sort for sort, count in SHARES.items() for _ in range(count)]
    while True:
        yield from chooser.sample(deck, len(deck))


def _drift(moment: float, sort: Sort, path: str, body: Body, chooser: random.Random, value: str) -> Drift:
    match sort:
        case Sort.FIELD:
            return Drift(moment, sort, path, _edit(body, value), body)
        case Sort.LABEL:
            labels = chooser.choice((None, {"app.kubernetes.io/part-of": value}))
            return Drift(moment, sort, path, {"metadata": {"labels": labels}}, body)
        case Sort.ADDED:
            wanted = copy.deepcopy(body)
            wanted["spec"]["selector"]["of-a-stranger"] = None
            return Drift(moment, sort, path, {"spec": {"selector": {"of-a-stranger": value}}}, wanted)
        case Sort.DELETED:
            return Drift(moment, sort, path, None, body)
        case Sort.UNDECLARED:
            patch = _STRANGE_FIELDS[body["kind"]]
            return Drift(moment, sort, path, patch, patch)


def _edit(body: Body, value: str) -> Body:
    changed = copy.deepcopy(body)
    objects.KINDS[body["kind"]].change(changed, value)
    return _merge_patch(body, changed)


def _merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Body:
    """The merge patch of two objects with the same keys; lists are replaced whole."""
    found: Body = {}
    for name, value in after.items():
        if before[name] != value:
            found[name] = _merge_patch(before[name], value) if isinstance(value, dict) else value
    return found
