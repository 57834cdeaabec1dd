"""What `cvstate tree` reads: the members of a ClusterState, and the objects among which those below them are; with the person's own rights.

One LIST for each kind of members, by their label; one LIST for each kind of children in each namespace of their owners, since nothing else tells them apart.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.cli import tree_nodes
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.discovery import Discovery
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind
from cvstate_operator.objects.manifest import Body
from cvstate_operator.vital.health.custom_health import Rules
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.language.expression import ExpressionError

if TYPE_CHECKING:
    from cvstate_operator.cli.plan.bench import Tell

PARALLEL: Final = 8
"""Lists at a time, as of `cvstate plan`."""
NAMESPACES: Final = 10
"""If owners are in more namespaces than this, a kind is listed in the whole cluster: one long list instead of many short ones."""
EVERYWHERE: Final = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """A kind of which not all objects could be looked at, or not by the right rules."""

    kind: GroupKind
    message: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """What the operator told last of an object that counts as Degraded."""

    since: str
    """Since when it is not ready; RFC 3339, empty if that is not known."""
    message: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found."""

    namespace: str
    name: str
    revision: str
    """That is applied; empty if none is."""
    members: tuple[Body, ...]
    """Full objects with `apiVersion` and `kind`."""
    others: tuple[Body, ...] = ()
    """What may be below them."""
    unseen: tuple[Unseen, ...] = ()
    rules: Rules = field(default_factory=Rules)
    """`spec.vital.healthExprs`."""
    with_status: frozenset[GroupKind] = frozenset()
    """Kinds of members that have the subresource `status`."""
    degraded: Mapping[str, Degraded] = field(default_factory=dict)
    """Members that take too long: who looks at the cluster once cannot see that."""


async def load(client: Client, state: Body, *, with_children: bool, tell: "Tell") -> Loaded:
    """Read everything.

    Args:
        client: the API server, and who the person is there.
        state: the ClusterState.
        with_children: whether to look for more than the members.
        tell: told of progress.

    Raises:
        CvstateError: the API server does not answer. What the person may not list is no error.
    """
    return await _Load(client, state, tell).run(with_children=with_children)


class _Load:
    """One run."""

    def __init__(self, client: Client, state: Body, tell: "Tell") -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._tell = tell
        meta, self._status = state["metadata"], state.get("status") or {}
        self._spec: Mapping[str, Any] = state.get("spec") or {}
        self._namespace, self._name = str(meta["namespace"]), str(meta["name"])
        self._owner = ownership.applyset_id(name=self._name, namespace=self._namespace, kind=names.CLUSTER_STATE, group=names.GROUP)
        self._kinds = ownership.parse_group_kinds((meta.get("annotations") or {}).get(ownership.GROUP_KINDS_ANNOTATION, ""))
        self._turns = asyncio.Semaphore(PARALLEL)
        self._done, self._total = 0, 0

    async def run(self, *, with_children: bool) -> Loaded:
        """All of it."""
        self._tell("asking the cluster", 0, 0)
        await self._discovery.refresh()
        members, unseen = await self._members()
        others: list[Body] = []
        if with_children:
            others, not_below = await self._others(members)
            unseen += not_below
        rules, not_read = self._rules()
        return Loaded(
            self._namespace,
            self._name,
            str(self._status.get("lastAppliedRevision") or ""),
            tuple(members),
            tuple(others),
            tuple(sorted(unseen + not_read, key=lambda one: one.kind)),
            rules,
            frozenset(GroupKind(*kind) for kind in self._kinds if (found := self._discovery.any_version(*kind)) and found.has_status),
            self._degraded(),
        )

    def _degraded(self) -> dict[str, Degraded]:
        unready = (self._status.get("vital") or {}).get("unready") or ()
        return {
            str(one["object"]): Degraded(str(one.get("since") or ""), str(one["message"]))
            for one in unready
            if one["state"] == Level.DEGRADED
        }

    def _rules(self) -> tuple[Rules, list[Unseen]]:
        """How the ClusterState has its objects judged; if its spec is wrong, as if it said nothing about that."""
        try:
            return Rules.of(parse_spec(self._spec).vital.health_exprs), []
        except (errors.InvalidSpecError, ExpressionError) as exc:
            kind = GroupKind(names.GROUP, names.CLUSTER_STATE)
            return Rules(), [Unseen(kind, f"its spec is wrong, so spec.vital.healthExprs is left out of account: {exc}")]

    # -- members ---------------------------------------------------------------------------------------------------

    async def _members(self) -> tuple[list[Body], list[Unseen]]:
        """Those of all kinds that the ClusterState has; of a kind that may not be listed everywhere those of namespaces that are known."""
        selector = {"labelSelector": f"{ownership.PART_OF_LABEL}={self._owner}"}
        wanted = [resource for kind in sorted(self._kinds) if (resource := self._discovery.any_version(*kind))]
        lists = await self._lists([(resource, EVERYWHERE) for resource in wanted], selector)
        members = [live for found in lists.values() if found is not None for live in found if _is_member(live)]
        refused = [resource for (resource, _), found in lists.items() if found is None]
        where = sorted({self._namespace, *_namespaces(members)})
        again = await self._lists([(resource, namespace) for resource in refused if resource.namespaced for namespace in where], selector)
        members += [live for found in again.values() for live in found or () if _is_member(live)]
        unseen = []
        is_whole = len(members) >= int((self._status.get("inventory") or {}).get("objects") or 0)
        for resource in refused:
            seen = [namespace for namespace in where if again.get((resource, namespace)) is not None]
            if not seen:
                unseen.append(Unseen(resource.gvk.group_kind, f"your user may not list {resource.plural}, so they are not shown"))
            elif not is_whole:
                only = f"namespace {', '.join(seen)}" if len(seen) == 1 else f"namespaces {', '.join(seen)}"
                unseen.append(Unseen(resource.gvk.group_kind, f"your user may list {resource.plural} only in {only}; there may be more"))
        return members, unseen

    # -- what is below them ----------------------------------------------------------------------------------------

    async def _others(self, members: Sequence[Body]) -> tuple[list[Body], list[Unseen]]:
        """Everything that may be below the members."""
        where: dict[GroupKind, set[str]] = {}
        for live in members:
            ref = tree_nodes.ref_of(live)
            for kind in tree_nodes.kinds_below(ref.group_kind) if ref.namespace else ():
                where.setdefault(kind, set()).add(ref.namespace)
        wanted = []
        for kind, namespaces in sorted(where.items()):
            if resource := self._discovery.any_version(*kind):
                wanted += [(resource, namespace) for namespace in (sorted(namespaces) if len(namespaces) <= NAMESPACES else (EVERYWHERE,))]
        lists = await self._lists(wanted, {})
        refused = [key for key, found in lists.items() if found is None]
        # Who may not list everywhere may list where the owners are.
        again = await self._lists(
            [(resource, namespace) for resource, at in refused if at == EVERYWHERE for namespace in sorted(where[resource.gvk.group_kind])],
            {},
        )
        blind: dict[ApiResource, list[str]] = {}
        for (resource, namespace), found in (*lists.items(), *again.items()):
            if found is None and namespace != EVERYWHERE:
                blind.setdefault(resource, []).append(namespace)
        unseen = [
            Unseen(
                resource.gvk.group_kind,
                f"your user may not list {resource.plural} in {', '.join(namespaces[:NAMESPACES])}; what is below there is not shown",
            )
            for resource, namespaces in blind.items()
        ]
        return [live for found in (*lists.values(), *again.values()) for live in found or ()], unseen

    # -- lists -----------------------------------------------------------------------------------------------------

    async def _lists(
        self, wanted: Collection[tuple[ApiResource, str]], params: Mapping[str, str]
    ) -> dict[tuple[ApiResource, str], list[Body] | None]:
        """What is there of each kind in each namespace; None where it may not be listed. A few lists at a time."""
        self._total += len(wanted)

        async def one(resource: ApiResource, namespace: str) -> list[Body] | None:
            async with self._turns:
                found = await self._list(resource, namespace, params)
            self._done += 1
            self._tell("listing", self._done, self._total)
            return found

        tasks = {key: asyncio.ensure_future(one(*key)) for key in wanted}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        return {key: task.result() for key, task in tasks.items()}

    async def _list(self, resource: ApiResource, namespace: str, params: Mapping[str, str]) -> list[Body] | None:
        try:
            return [live async for live in self._items(resource, namespace, params)]
        except errors.ForbiddenError:
            return None
        except errors.KindUnknownError:
            return []  # its definition went meanwhile

    async def _items(self, resource: ApiResource, namespace: str, params: Mapping[str, str]) -> AsyncIterator[Body]:
        typed = {"apiVersion": resource.gvk.api_version, "kind": resource.gvk.kind}
        async for page in self._client.pages(resource.path(namespace), params=params):
            for item in page.get("items") or ():
                yield {**typed, **item}  # items of a list do not say what they are


def _is_member(live: Mapping[str, Any]) -> bool:
    """Whether it belongs to the set that its label names. A label alone may be a copy: an EndpointSlice takes over those of its Service."""
    has_digest = names.DIGEST in (live["metadata"].get("annotations") or {})
    return ownership.is_applied_by(live, names.FIELD_MANAGER) or (has_digest and not ownership.controller_of(live))


def _namespaces(members: Sequence[Body]) -> set[str]:
    return {namespace for live in members if (namespace := live["metadata"].get("namespace"))}
