"""Extra fields: what a live object has that Git does not declare, and that nobody else declares either.

A field is extra if only *imperative* writers hold it: `metadata.managedFields` lists it under the operation Update, for whoever used kubectl edit, patch,
create or replace, a console or a script. It is none if any of these holds it too:

    operation Apply                    somebody declares it
    a subresource (status, scale)      a controller or an autoscaler
    a component of the cluster         `COMPONENTS`
    a manager that is left alone       spec.drift.ignore
    ourselves                          what came of a removal: a default

Nobody holds what the API server adds to an apply. It does list defaults under an Update, though; see drift/defaults.py. In kinds that are not built in,
defaults are not known: there a writer who holds what we apply too, and so wrote the object before us, may hold defaults, and only its labels and
annotations count. A value that the server puts back after its removal cannot be taken away: whatever `extras` still finds in the answer is such.

An extra field is told as one with everything in it, if the writer made it as a whole. Labels, annotations and data are told key by key, since each
has a meaning of its own. Pure: no clock, no I/O; arguments are never changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson

from cvstate_operator.api.names import GROUP
from cvstate_operator.drift import defaults, matching
from cvstate_operator.drift.coverage import FieldDrift, Item
from cvstate_operator.drift.field_set import FieldTree
from cvstate_operator.drift.keyed_items import ABSENT, Items
from cvstate_operator.objects.ownership import PART_OF_LABEL

MAX_EXTRAS: Final = 500
"""Most that are told of one object. A removal of more takes more than one turn."""

MAX_DEPTH: Final = 100
"""Deepest field that is looked at. A Pod template is about 12 deep; managedFields are the writers' word and may be anything."""

COMPONENTS: Final = frozenset(
    {
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        # All of them in one process.
        "k3s",
        "kubelite",
        # An object that is older than managedFields: written by anybody.
        "before-first-apply",
    }
)
"""Field managers of the cluster itself. Source: Kubernetes documentation, "Cluster Architecture", for the names of the programs; "Server-Side Apply",
for a manager's name being the first part of the User-Agent, and for `before-first-apply`."""

_CLOUD: Final = "cloud-controller-manager"
"""Every cloud puts its own name before it."""

_NOT_LOOKED_AT: Final = frozenset({"apiVersion", "kind", "status"})
_LOOKED_AT_IN_METADATA: Final = frozenset({"labels", "annotations"})
_NAMED_BY_USERS: Final = frozenset({"labels", "annotations"})
_NAMED_BY_USERS_AT_ROOT: Final = frozenset({"data", "binaryData"})

_BOOKKEEPING: Final = frozenset(
    {
        # What kubectl apply remembers: no configuration, the whole object with its secrets, and needed by whoever still uses kubectl.
        "kubectl.kubernetes.io/last-applied-configuration",
        # An order that was carried out (kubectl rollout restart). To take it away would restart all Pods once more.
        "kubectl.kubernetes.io/restartedAt",
        # Made by the API server, and listed for whoever writes next.
        "deprecated.daemonset.template.generation",
        "kubernetes.io/metadata.name",
        PART_OF_LABEL,
    }
)
"""Labels and annotations that are never extra; besides them those of our own group, by which people give us orders."""

_FIXED: Final = frozenset(
    {
        *(("", "Service", "spec", name) for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")),
        ("", "Pod", "spec"),
        ("", "PersistentVolumeClaim", "spec"),
        ("", "Namespace", "spec"),
        ("", "Secret", "type"),
        *(("batch", "Job", "spec", name) for name in ("selector", "template", "completions", "completionMode")),
        *(("apps", "StatefulSet", "spec", name) for name in ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy")),
        *(("apps", kind, "spec", "selector") for kind in ("Deployment", "DaemonSet", "ReplicaSet")),
        ("apiextensions.k8s.io", "CustomResourceDefinition", "spec"),
    }
)
"""What cannot be taken away once it is there: immutable, or filled in again from the old object. Of Pods and claims a little could be changed, but
admission plugins add to them under their writer's name. A CustomResourceDefinition is filled in by the API server from its own names."""

_NODE_PORT: Final = "nodePort"
"""The same, in the ports of a Service."""


class _Held(NamedTuple):
    """What one imperative writer holds at one place."""

    manager: str
    since: str
    tree: FieldTree


class _Place(NamedTuple):
    """One field or list item of the live object. A tuple, because a walk makes many: a frozen dataclass takes three times as long."""

    path: str
    """JSON pointer."""
    name: str
    """Of the field; empty for a list item."""
    live: Any
    desired: Any
    """`ABSENT` if Git has nothing here."""
    writers: tuple[_Held, ...]
    others: tuple[FieldTree, ...]
    """What those hold that are not imperative."""
    beside: Mapping[str, Any]
    """The map that a field stands in; of a list item its key fields."""
    depth: int

    @property
    def is_named_by_users(self) -> bool:
        """Whether the keys of this map were chosen by people."""
        if self.depth == 1:
            return self.name in _NAMED_BY_USERS_AT_ROOT
        return self.name in _NAMED_BY_USERS and self.path.endswith("/metadata/" + self.name)


def extras(
    desired: Mapping[str, Any], live: Mapping[str, Any], *, manager: str, left_alone: Callable[[str], bool]
) -> tuple[FieldDrift, ...]:
    """Every field of `live` that nobody declares, in document order; `MAX_EXTRAS` at most.

    Args:
        desired: the object as Git has it.
        live: the object as it is, with `managedFields`; without them nothing is found.
        manager: our field manager.
        left_alone: whether the fields of a manager are none of our business.

    Returns:
        Drifts with `desired=None` and a JSON pointer into `live`, list items by their index there; none is inside another.
        The manager is the one that wrote last of those who hold the field.
    """
    writers, others = _holders(live, manager, left_alone)
    if not writers:
        return ()
    root = _Place("", "", live, desired, writers, others, {}, 0)
    judge = _Judge.of(str(live.get("apiVersion", "")), str(live.get("kind", "")))
    return tuple(islice(_below(root, judge), MAX_EXTRAS))


def removal(live: Mapping[str, Any], drifts: Sequence[FieldDrift]) -> list[dict[str, Any]]:
    """A JSON patch (RFC 6902) that takes exactly these fields away from exactly this object; empty if there is nothing to take away.

    It tests uid and resourceVersion first: if anybody wrote since `live` was read, the API server refuses all of it (422 Invalid). List items go last
    first, so that the index of the others stays right.

    Args:
        live: the object that the drifts were found in.
        drifts: what `extras` found, or some of it. What `live` does not have, or has with another value, is left out.
    """
    meta = live.get("metadata", {})
    there = {drift.path for drift in drifts if drift.path and _value(live, drift.path) == drift.live}
    paths = sorted(there, key=lambda path: _position(path, live), reverse=True)
    if not paths:
        return []
    return [
        {"op": "test", "path": "/metadata/uid", "value": meta.get("uid")},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta.get("resourceVersion")},
        *({"op": "remove", "path": path} for path in paths),
    ]


# -- who holds what ---------------------------------------------------------------------------------------------------


def _holders(live: Mapping[str, Any], manager: str, left_alone: Callable[[str], bool]) -> tuple[tuple[_Held, ...], tuple[FieldTree, ...]]:
    """What imperative writers hold, and what anybody else does. No writers if that cannot be told."""
    writers: list[_Held] = []
    others: list[FieldTree] = []
    ours: FieldTree = {}
    version = live.get("apiVersion")
    for entry in live.get("metadata", {}).get("managedFields") or ():
        name, tree = str(entry.get("manager", "")), entry.get("fieldsV1") or {}
        # Paths of another version of the API may mean something else.
        is_readable = entry.get("apiVersion", version) == version
        is_declared = entry.get("operation") != "Update" or bool(entry.get("subresource"))
        if not is_declared and name != manager and not _is_component(name) and not left_alone(name):
            writers += [_Held(name, str(entry.get("time", "")), tree)] if is_readable else []
        elif is_readable:
            others.append(tree)
            ours = tree if name == manager and not entry.get("subresource") and entry.get("operation") == "Apply" else ours
        else:
            return (), ()
    if not defaults.is_builtin(str(version)):
        writers = [_without_defaults(held, ours) for held in writers]
    return tuple(writers), tuple(others)


def _is_component(manager: str) -> bool:
    return manager in COMPONENTS or manager.endswith(_CLOUD)


def _without_defaults(held: _Held, ours: FieldTree) -> _Held:
    """What a writer holds and the API server did not add, in a kind whose defaults are not known."""
    if not _meet(held.tree, ours):
        return held
    return held._replace(tree={name: tree for name, tree in held.tree.items() if name == "f:metadata"})


def _meet(first: FieldTree, second: FieldTree, depth: int = 0) -> bool:
    """Whether two field sets have a field in common."""
    if not first or not second:
        return depth > 0 and not first and not second
    return depth < MAX_DEPTH and any(
        name != "." and name in second and _meet(below, second[name], depth + 1) for name, below in first.items()
    )


# -- the walk ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Judge:
    """What is never extra in objects of this kind."""

    knows_defaults: bool
    fixed: frozenset[str]
    """JSON pointers."""
    is_service: bool

    @classmethod
    def of(cls, api_version: str, kind: str) -> "_Judge":
        """Of one kind."""
        whose = (api_version.rpartition("/")[0], kind)
        fixed = frozenset("/" + "/".join(path) for group, name, *path in _FIXED if (group, name) == whose)
        return cls(defaults.is_builtin(api_version), fixed, whose == ("", "Service"))

    def passes_over(self, place: _Place) -> bool:
        """Whether a field, with all that is in it, is nobody's drift."""
        if place.depth == 1:
            return place.name in _NOT_LOOKED_AT or place.path in self.fixed
        if place.depth == 2 and place.path.startswith("/metadata/"):
            return place.name not in _LOOKED_AT_IN_METADATA
        return place.path in self.fixed or (self.is_service and place.name == _NODE_PORT)

    def is_default(self, place: _Place) -> bool:
        """Whether the field would be back as soon as it is gone."""
        return self.knows_defaults and bool(place.name) and defaults.is_default(place.name, place.live, place.beside)

    def may_be_filled_in(self, name: str, value: Any) -> bool:
        """Whether the server may have given a key field this value."""
        return not self.knows_defaults or defaults.is_default(name, value, {})


def _below(place: _Place, judge: _Judge) -> Iterator[FieldDrift]:
    """Extra fields inside a place."""
    if place.depth >= MAX_DEPTH:
        return
    if isinstance(place.live, dict):
        if place.is_named_by_users:
            yield from _keys(place)
        else:
            for below in _fields(place):
                if not judge.passes_over(below):
                    yield from _at(below, judge)
    elif isinstance(place.live, list):
        for below in _items(place, judge):
            yield from _at(below, judge)


def _at(place: _Place, judge: _Judge) -> Iterator[FieldDrift]:
    """The place itself if it is extra as a whole, or what in it is."""
    if place.live is None or place.live == {} or place.live == []:
        return
    # Who holds a map without anything in it (`emptyDir: {}`) does not hold what others put in.
    is_leaf = not any(held.tree for held in place.writers)
    if place.desired is ABSENT and not place.others and (is_leaf or _is_made_as_one(place)):
        if not judge.is_default(place):
            yield _drift(place)
    elif not is_leaf:
        yield from _below(place, judge)


def _is_made_as_one(place: _Place) -> bool:
    """Whether a map, list or item was put there by an imperative writer: `.` stands for the thing itself.

    Of an item that two of them wrote, the fields cannot go one by one: it is nothing without its key.
    """
    if place.name and len(place.writers) > 1:
        return False
    return any("." in held.tree for held in place.writers) and not place.is_named_by_users


def _keys(place: _Place) -> Iterator[FieldDrift]:
    for below in _fields(place):
        if below.desired is ABSENT and not below.others and not _is_bookkeeping(below.name):
            yield _drift(below)


def _is_bookkeeping(name: str) -> bool:
    domain = name.partition("/")[0]
    return name in _BOOKKEEPING or domain == GROUP or domain.endswith("." + GROUP)


def _fields(place: _Place) -> Iterator[_Place]:
    """Fields of a map that imperative writers hold, or hold something in."""
    desired = place.desired if isinstance(place.desired, dict) else {}
    keys = place.beside if not place.name else ()
    held = place.writers[0].tree if len(place.writers) == 1 else {element for held in place.writers for element in held.tree}
    for name, value in place.live.items():
        element = "f:" + name
        if element not in held or name in keys:
            continue
        others = tuple([tree[element] for tree in place.others if element in tree])
        wanted = desired.get(name)
        if (others or wanted is not None) and not isinstance(value, (dict, list)):
            # Nothing in a value that is declared could be extra. Most are, so they are passed over before anything is made of them.
            continue
        path = f"{place.path}/{_escaped(name)}"
        writers = _under(place.writers, element)
        yield _Place(path, name, value, ABSENT if wanted is None else wanted, writers, others, place.live, place.depth + 1)


def _items(place: _Place, judge: _Judge) -> Iterator[_Place]:
    """The same of a list; an item that cannot be told from another one is left out."""
    items = Items(place.live)
    wanted = Items(place.desired if isinstance(place.desired, list) else [])
    found: dict[int, tuple[str, Any, Any]] = {}
    for element in dict.fromkeys(element for held in place.writers for element in held.tree):
        kind, _, rest = element.partition(":")
        if kind not in ("k", "v"):
            continue
        try:
            key = orjson.loads(rest)
        except orjson.JSONDecodeError:
            continue
        at = items.find(key, is_value=kind == "v")
        if len(at) == 1:
            found[at[0]] = element, key if kind == "k" else {}, wanted.like(key, judge.may_be_filled_in, is_value=kind == "v")
    for index, (element, key, desired) in sorted(found.items()):
        others = tuple(tree[element] for tree in place.others if element in tree)
        yield _Place(f"{place.path}/{index}", "", place.live[index], desired, _under(place.writers, element), others, key, place.depth + 1)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name


def _under(writers: tuple[_Held, ...], element: str) -> tuple[_Held, ...]:
    return tuple([_Held(held.manager, held.since, held.tree[element]) for held in writers if element in held.tree])


def _drift(place: _Place) -> FieldDrift:
    last = max(place.writers, key=lambda held: (held.since, held.manager))
    return FieldDrift(place.path, None, place.live, last.manager, last.since)


# -- pointers ---------------------------------------------------------------------------------------------------------


def _position(path: str, live: Mapping[str, Any]) -> tuple[str | int, ...]:
    """A pointer to sort by: below one place there are only names, or only indexes."""
    return tuple(step.position if isinstance(step, Item) else step for step in matching.locate(path, live))


def _value(live: Any, path: str) -> Any:
    for step in matching.locate(path, live):
        if isinstance(step, Item):
            live = step.value
        elif isinstance(live, Mapping) and step in live:
            live = live[step]
        else:
            return ABSENT
    return live
