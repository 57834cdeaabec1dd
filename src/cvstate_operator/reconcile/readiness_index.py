"""What the members of one cluster say of themselves: which are not ready, and how many Pods their workloads ask for and have. No I/O.

Kept for members that are not ready, and for workloads; one that is ready and has no Pods costs nothing. The live index tells of every state it hears of.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital.facts import standing
from cvstate_operator.vital.facts.replicas import WORKLOADS, Replicas, replicas
from cvstate_operator.vital.facts.standing import KEEPERS, Standing
from cvstate_operator.vital.health.custom_health import HealthRule
from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Readiness, Status

_NO_RULES: Final[Mapping[GroupKind, HealthRule]] = {}


class ReadinessIndex:
    """See the module."""

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        """`now` tells the time, UTC; without it nothing is said about when objects went forward."""
        self._now = now
        self._rules: dict[str, Mapping[GroupKind, HealthRule]] = {}
        """By ApplySet id: how kinds tell that they are ready, where its spec says so."""
        self._unready: dict[str, dict[ObjectRef, Readiness]] = {}
        """By ApplySet id."""
        self._replicas: dict[str, dict[ObjectRef, Replicas]] = {}
        """By ApplySet id, of workloads."""
        self._standing: dict[str, dict[ObjectRef, Standing]] = {}
        """By ApplySet id, of workloads: whether they were ready."""
        self._changes = 0
        """How often something of this became different."""
        self._versions: dict[str, int] = {}
        """By ApplySet id of which something is left: the number of its last change."""
        self._doubted: set[ObjectRef] = set()
        """Judged by rules that do not hold any more."""

    def judge_by(self, owner: str, rules: Mapping[GroupKind, HealthRule], members: Iterable[ObjectRef]) -> frozenset[GroupKind]:
        """From now on judge members of an ApplySet by these rules.

        Args:
            owner: ApplySet id.
            rules: by kind; others are judged as always.
            members: all that are known.

        Returns:
            Kinds that are judged otherwise than before, of which there are members: what is known of those has to be heard again.
        """
        before = self._rules.get(owner, _NO_RULES)
        if before == rules:
            return frozenset()
        self._rules[owner] = rules
        changed = {kind for kind in (*before, *rules) if before.get(kind) != rules.get(kind)}
        doubted = {ref for ref in members if ref.group_kind in changed}
        self._doubted |= doubted
        return frozenset(ref.group_kind for ref in doubted)

    def is_doubted(self, ref: ObjectRef) -> bool:
        """Whether an object has to be judged again, although its state is known."""
        return ref in self._doubted

    def judge(self, ref: ObjectRef, owner: str, live: Mapping[str, Any], *, has_status: bool = False) -> bool:
        """Note what a member says; True if that is another answer than before.

        Args:
            ref: the member.
            owner: its ApplySet id.
            live: as the API server has it.
            has_status: whether its kind has the subresource `status`.
        """
        self._doubted.discard(ref)
        found = readiness(live, self._rules.get(owner, _NO_RULES), has_status=has_status)
        self._count(ref, owner, live)
        before = _take(self._unready, owner, ref)
        is_ready = found.status is Status.CURRENT
        if ref.group_kind in KEEPERS and self._is_down(ref, owner, live, is_ready=is_ready):
            found = replace(found, is_down=found.status in (Status.IN_PROGRESS, Status.FAILED))
        if not is_ready:
            self._unready.setdefault(owner, {})[ref] = found.following(before, self._now() if self._now else None)
        if before is None and is_ready:
            return False
        self._note(owner)
        return before is None or is_ready or (before.status, before.reason, before.is_down) != (found.status, found.reason, found.is_down)

    def forget(self, ref: ObjectRef, owner: str) -> bool:
        """It is gone, or no member of that ApplySet any more; True if it was not ready."""
        self._doubted.discard(ref)
        _take(self._standing, owner, ref)
        had_pods, was_unready = _take(self._replicas, owner, ref), _take(self._unready, owner, ref)
        if had_pods or was_unready:
            self._note(owner)
        return was_unready is not None

    def unready(self, ref: ObjectRef, owner: str) -> Readiness | None:
        """What a member lacks to be ready; None if nothing, or if it is not known."""
        return self._unready.get(owner, {}).get(ref)

    def unready_of(self, owner: str) -> Mapping[ObjectRef, Readiness]:
        """Members of an ApplySet that are not ready."""
        return self._unready.get(owner, {})

    def replicas_of(self, owner: str) -> Mapping[ObjectRef, Replicas]:
        """Workloads of an ApplySet, and how many Pods each asks for and has."""
        return self._replicas.get(owner, {})

    def version_of(self, owner: str) -> int:
        """Another one if what this tells of an ApplySet may be different; 0 if it tells nothing."""
        return self._versions.get(owner, 0)

    def _note(self, owner: str) -> None:
        """Something became different. Numbers never come again, so an ApplySet of which nothing is left needs none."""
        self._changes += 1
        if owner in self._unready or owner in self._replicas:
            self._versions[owner] = self._changes
        else:
            self._versions.pop(owner, None)

    def _is_down(self, ref: ObjectRef, owner: str, live: Mapping[str, Any], *, is_ready: bool) -> bool:
        """Whether a workload that was ready has no ready Pod left."""
        found = standing.follow(_take(self._standing, owner, ref), live, is_current=is_ready)
        if found:
            self._standing.setdefault(owner, {})[ref] = found
        return found is not None and found.is_down

    def _count(self, ref: ObjectRef, owner: str, live: Mapping[str, Any]) -> None:
        if ref.group_kind not in WORKLOADS:
            return
        found = replicas(live)
        if self._replicas.get(owner, {}).get(ref) == found:
            return
        _take(self._replicas, owner, ref)
        if found:
            self._replicas.setdefault(owner, {})[ref] = found
        self._note(owner)


_Kept = TypeVar("_Kept")


def _take(kept: dict[str, dict[ObjectRef, _Kept]], owner: str, ref: ObjectRef) -> _Kept | None:
    """Take an entry out, and the ApplySet with its last one: anybody may label objects with whatever they like."""
    entries = kept.get(owner)
    if entries is None:
        return None
    found = entries.pop(ref, None)
    if not entries:
        del kept[owner]
    return found
