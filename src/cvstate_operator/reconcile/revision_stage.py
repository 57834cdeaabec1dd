"""The revision stage of one ClusterState: which commit to work with, and what becomes of it: healthy, superseded, or rolled back."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.rollback import Rollback
from cvstate_operator.api.source import GitRef
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.rules import is_kind
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan import backoff, revision
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.gates import Block, Gates, Reason
from cvstate_operator.plan.history import History, commit_of
from cvstate_operator.plan.judgement import Evidence
from cvstate_operator.plan.revision import Why
from cvstate_operator.reconcile import inputs
from cvstate_operator.reconcile.ports import World


class RevisionStage:
    """Not for concurrent use."""

    def __init__(self, world: World, *, namespace: str, status: Mapping[str, Any]) -> None:
        self._world = world
        self._namespace = namespace
        self._accepted = commit_of(str(status.get("lastAttemptedRevision") or ""))
        self._recalled: dict[str, Artifact] = {}
        """Older commits that are worked with, by their ids."""
        self._attempt = 0
        self.recall_at: float | None = None
        """The commit that was given up could not be recalled, and is looked for again then (monotonic seconds); None if it could, or need not be."""
        self.history = History.read(status)
        self._declared = self.history.current.digest if self.history.current else ""
        """What the commit that was begun last declares; empty if that is not known."""
        self.rejected: frozenset[str] = frozenset()
        """Commits that a person rejected by annotation."""
        self.released = str(status.get("lastHandledReleased") or "")
        """Value of the annotation that releases commits, as it was last acted on."""
        self.held: Artifact | None = None
        """The newest commit, if another one is worked with."""
        self.why = Why.NEWEST
        self.quarantine = ""
        """Why the newest commit is not to be applied; empty if it may be."""
        self.given_up = ""
        """In a rollback, the commit that was begun last before it: what is left alone is as that one has it. Empty if none was begun since the good one."""
        self._is_substitute = False
        self._begun_here: datetime | None = None
        """When this process first worked on the commit: what passed before, nobody was there to mend anything."""
        self._credit = timedelta()
        """How much time was lost since the commit was begun, since nothing might be written or its objects were not seen: that does not count against it."""
        self._lost: dict[GroupKind | None, datetime] = {}
        """What loses time now, by the clock of `_count`: a kind that cannot be seen; None: nothing may be written."""
        self._unseen: frozenset[GroupKind] = frozenset()
        self.seen_since: dict[GroupKind, datetime] = {}
        """When kinds could be seen again last since the commit was begun, UTC."""
        self._is_blocked = False
        """Nothing of a new revision may be written."""
        self._burns = False
        """An error budget holds newer commits back."""

    @property
    def quarantined(self) -> Mapping[str, str]:
        """Commits that are not applied, and why."""
        return {**self.history.quarantined, **dict.fromkeys(self.rejected, "a person rejected it (cvstate rollback)")}

    @property
    def accepted(self) -> str:
        """The commit that was begun last; empty if none was."""
        return self._accepted

    @property
    def is_unaccepted(self) -> bool:
        """Whether what is worked with is held itself: an older commit could not be had."""
        return self._is_substitute

    @property
    def is_rollback(self) -> bool:
        """Whether what is worked with is an older commit, since the newest is quarantined."""
        return self.why is Why.ROLLED_BACK

    def block(self, gates: Gates) -> Block | None:
        """What keeps the commit from being applied now; None if nothing does."""
        if self.quarantine and not self.is_rollback:
            good, held = self.history.good(self.rejected), gates.block(WindowAction.ROLLBACK)
            back = f"to go back to {good.revision} waits ({held.message})" if good and held else "no good one can be gone back to"
            return Block(
                Reason.QUARANTINED,
                f"the newest commit is quarantined ({self.quarantine}), and {back}; push a better commit, "
                "or release it: cvstate rollback NAME -n NAMESPACE --undo",
            )
        return gates.block(WindowAction.ROLLBACK if self.is_rollback else WindowAction.NEW_REVISION)

    async def choose(self, spec: ClusterStateSpec, newest: Artifact | None, gates: Gates) -> Artifact | None:
        """The commit to work with; None if none is known."""
        self._look_at(gates)
        if newest is None:
            self.held, self.quarantine, self.given_up = None, "", ""
            return None
        history, rejected = self.history, self.rejected
        on_trial = self._on_trial(newest, gates)
        history.keep_quarantined(newest.commit, on_trial)
        self.quarantine = self.quarantined.get(newest.commit, "")
        good = history.good(rejected)
        choice = revision.choose(
            newest.commit,
            accepted=self._accepted,
            on_trial=on_trial,
            good=good.commit if good else "",
            quarantined=self.quarantined,
            may_advance=gates.block(WindowAction.NEW_REVISION) is None,
            may_roll_back=gates.block(WindowAction.ROLLBACK) is None,
        )
        artifact = newest if choice.commit == newest.commit else await self._recall(spec, choice.commit)
        # A commit that is not to be had any more is no reason to stop looking: nothing of the newest is written while it is held.
        self.why, self._is_substitute = (choice.why, False) if artifact else (Why.HELD, True)
        self.held = newest if self.why is not Why.NEWEST else None
        begun = [entry.commit for entry in history.entries]
        self.given_up = revision.given_up(begun, good=choice.commit, newest=on_trial or newest.commit) if self.is_rollback else ""
        in_use = (choice.commit, self.given_up)
        self._recalled = {commit: older for commit, older in self._recalled.items() if commit in in_use}
        return artifact or newest

    @property
    def given_up_revision(self) -> str:
        """The same for people."""
        if self.held and self.held.commit == self.given_up:
            return self.held.revision
        return self._named(self.given_up)

    async def recall_given_up(self, spec: ClusterStateSpec) -> Artifact | None:
        """The commit that was given up; None if there is none, or it cannot be had now."""
        if not self.given_up:
            return None
        if self.held and self.held.commit == self.given_up:
            return self.held
        clock = self._world.clock
        if self.recall_at is not None and clock.monotonic() < self.recall_at:
            return None
        artifact = await self._recall(spec, self.given_up)
        self._attempt = 0 if artifact else self._attempt + 1
        self.recall_at = None
        if artifact is None:
            self.recall_at = clock.monotonic() + backoff.pause_seconds(errors.FetchFailedError(""), self._attempt, random=clock.random())
        return artifact

    def begin(self, spec: ClusterStateSpec, artifact: Artifact, wanted: Desired) -> bool:
        """The commit is about to be applied; `wanted` is what it declares. If the one before declares the same, there is nothing new to judge.

        Returns:
            Whether there is something new to judge: another roll-out, or the one that an earlier process began.
        """
        declared = _digest(wanted)
        is_same = declared == self._declared and not self.is_rollback
        is_new = (artifact.commit != self._accepted and not is_same) or self._begun_here is None
        if is_new:
            now = self._begun_here = self._world.clock.now()
            self._credit, self._lost, self.seen_since = timedelta(), dict.fromkeys(self._lost, now), {}
        self._accepted, self._declared = artifact.commit, declared
        self.history.begin(artifact.revision, self._world.clock.now(), limit=spec.history.limit, is_same=is_same)
        return is_new

    def see(self, unseen: Collection[GroupKind]) -> None:
        """Keep count of the time in which kinds cannot be seen: whatever becomes ready then, nobody hears of it.

        Args:
            unseen: kinds of which nobody knows now how their objects are.
        """
        now = self._world.clock.now()
        self.seen_since.update(dict.fromkeys(self._unseen.difference(unseen), now))
        self._unseen = frozenset(unseen)
        self._count()

    def applied(self, *, healthy: bool) -> None:
        """The cluster is as the commit declares."""
        self.history.applied(self._world.clock.now(), healthy=healthy)

    def deadline(self, spec: ClusterStateSpec) -> datetime | None:
        """When the commit is rolled back unless it is healthy by then; None if it is not to be, or cannot."""
        current = self.history.current
        is_held = self.why is Why.HELD and not self._burns
        if spec.rollback is None or current is None or self.is_rollback or is_held or self._is_blocked:
            return None
        good = self.history.good(self.rejected)
        if good is None or good.commit == current.commit or commit_of(current.revision) in self.history.quarantined:
            return None
        return (
            max(current.started_at, self._begun_here or current.started_at)
            + self._credit
            + timedelta(seconds=parse_seconds(spec.rollback.on_unhealthy_for))
        )

    def give_up(self, spec: ClusterStateSpec, evidence: Sequence[Evidence], causes: Mapping[ObjectRef, str]) -> bool:
        """Quarantine the commit, if it may be gone back from. True if it was.

        Args:
            spec: the ClusterState.
            evidence: what speaks against it; not empty.
            causes: why objects are not ready, as far as that is known.
        """
        deadline, now, current = self.deadline(spec), self._world.clock.now(), self.history.current
        if deadline is None or current is None or spec.rollback is None:
            return False
        known = {str(ref): cause for ref, cause in causes.items()}
        lines = [f"{one} ({cause})" if (cause := known.get(one.subject)) else str(one) for one in evidence]
        is_late = now >= deadline and not all(one.subject.startswith(("signal ", "SLO ")) for one in evidence)
        what = f"not healthy within {spec.rollback.on_unhealthy_for}" if is_late else "worse since it was begun"
        self.history.quarantine(current.commit, f"{what}: {'; '.join(lines)}", now, evidence=lines)
        return True

    def reject(self, commits: Collection[str]) -> None:
        """Stay away from exactly these commits, as a person says."""
        self.rejected = frozenset(commits)

    def release(self, told: str, commits: Collection[str]) -> None:
        """Give these commits another try, once for each value `told` of the annotation: what fails again is quarantined again."""
        if told != self.released:
            self.released = told
            for commit in commits:
                self.history.release(commit, self._world.clock.now())
                self._begun_here = None

    def leaves(self, spec: ClusterStateSpec, ref: ObjectRef) -> bool:
        """Whether a rollback is under way that leaves the object as it is."""
        return self.is_rollback and any(is_kind(ref, kind) for kind in excluded(spec))

    def _on_trial(self, newest: Artifact, gates: Gates) -> str:
        """The commit that was begun last, if a newer one is held only since an error budget burns: it may be what burns. Empty otherwise."""
        if not _is_burning(gates) or newest.commit == self._accepted:
            return ""
        return next((entry.commit for entry in self.history.entries if entry.commit in self.history.quarantined), self._accepted)

    def _look_at(self, gates: Gates) -> None:
        """Keep count of the time in which nothing might be written: nobody can become healthy then. A budget that burns is no such time: the revision that was
        begun goes on, and it may be what burns."""
        self._burns = _is_burning(gates)
        self._is_blocked = gates.block(WindowAction.NEW_REVISION) is not None and not self._burns
        self._count()

    def _count(self) -> None:
        """Count what was lost as soon as it is over, by a clock that is put back by it: what was lost for two reasons at once counts once. A kind that can never
        be seen puts nothing off: others are judged in time."""
        now, loses = self._world.clock.now(), {*self._unseen, *([None] if self._is_blocked else [])}
        counted = {cause: self._lost.get(cause, now - self._credit) for cause in {*self._lost, *loses}}
        back = min((since for cause, since in counted.items() if cause not in loses), default=now - self._credit)
        self._credit = now - back
        self._lost = {cause: min(counted[cause], back) for cause in loses}

    async def _recall(self, spec: ClusterStateSpec, commit: str) -> Artifact | None:
        git = spec.source.git
        older = self._recalled.get(commit)
        if older and older.path == git.path:
            return older
        try:
            access = await inputs.access(self._world.references, git, self._namespace, max_age=parse_seconds(spec.interval))
            try:
                older = await self._world.source.recall(git, access=access, commit=commit)
            except errors.CvstateError:
                exactly = git.model_copy(update={"ref": GitRef(commit=commit)})
                older = await self._world.source.fetch(exactly, access=access, known=None, baseline="", max_age=0.0)
        except errors.CvstateError:
            return None
        older = self._recalled[commit] = replace(older, revision=self._named(commit) or older.revision)
        return older

    def _named(self, commit: str) -> str:
        """The revision of a commit as the history has it; empty if it does not know it."""
        return next((entry.revision for entry in self.history.entries if entry.commit == commit), "")


def excluded(spec: ClusterStateSpec) -> Sequence[str]:
    """Kinds that a rollback leaves alone."""
    return spec.rollback.exclude_kinds if spec.rollback else Rollback().exclude_kinds


def _is_burning(gates: Gates) -> bool:
    block = gates.block(WindowAction.NEW_REVISION)
    return block is not None and block.reason is Reason.ERROR_BUDGET_BURNING and not block.is_brief


def _digest(wanted: Desired) -> str:
    """Of all objects, and of what is wrong with others: a file that cannot be read any more is a change too."""
    if not wanted.problems:
        return wanted.digest
    return hashlib.sha256("\n".join((wanted.digest, *map(repr, wanted.problems))).encode()).hexdigest()
