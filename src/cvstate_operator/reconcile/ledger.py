"""The ledger: what one ClusterState remembers between passes: which objects need a look, and which failed. No I/O, no clock."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cvstate_operator.errors import CvstateError, OwnerConflictError, TerminalError, TerminatingError
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan import backoff

YOUNG_SECONDS: Final = 60.0
"""So long a failure that may pass by itself is no more than a pause: an API server that is restarted, or that elects an etcd leader, is back by then."""
YOUNG_ATTEMPTS: Final = 2
"""However old it is, a failure that was met in fewer tries is no more than a pause either: the server may have asked to come back later."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An object that could not be brought to its desired state."""

    problem: Problem
    digest: str
    """Digest of the manifest that failed; another manifest is tried at once."""
    attempts: int
    retry_at: float
    """Monotonic seconds."""
    since: float
    """When this manifest failed first, monotonic seconds."""

    def is_young(self, now: float) -> bool:
        """Whether it is too early to call it more than a pause."""
        return self.problem.retryable and (self.attempts < YOUNG_ATTEMPTS or now - self.since < YOUNG_SECONDS)


@dataclass(slots=True)
class Ledger:
    """Mutable; owned by one reconciler, and touched between its steps by events."""

    touched: dict[ObjectRef, float] = field(default_factory=dict)
    """Objects an event spoke of, and when the first one did (monotonic seconds)."""
    failures: dict[ObjectRef, Failure] = field(default_factory=dict)
    deferred: dict[ObjectRef, float] = field(default_factory=dict)
    """Objects that are to be looked at again at a certain time, and when (monotonic seconds)."""
    left: set[ObjectRef] = field(default_factory=set)
    """Objects that somebody else made, and that are to be left as they are; asked again at each full pass."""
    exempt: set[ObjectRef] = field(default_factory=set)
    """Objects that annotations ask to be left as they are."""
    remaking: set[ObjectRef] = field(default_factory=set)
    """Objects that go, and are made anew when they are gone, whatever gate has closed meanwhile."""
    present: set[ObjectRef] = field(default_factory=set)
    """Objects that we saw in their desired state; if one is absent later, it vanished."""

    def touch(self, ref: ObjectRef, now: float) -> None:
        """An event spoke of the object. If another owner held it, that is what its pause was for."""
        self.touched.setdefault(ref, now)
        failure = self.failures.get(ref)
        if failure and failure.problem.reason == OwnerConflictError.reason:
            self.failures[ref] = replace(failure, retry_at=min(now, failure.retry_at))

    def take(self, now: float) -> dict[ObjectRef, float]:
        """Objects to look at now, and since when they are due: touched ones, and failed ones whose pause is over."""
        due = {ref: failure.retry_at for ref, failure in self.failures.items() if failure.retry_at <= now}
        due.update({ref: at for ref, at in self.deferred.items() if at <= now})
        self.deferred = {ref: at for ref, at in self.deferred.items() if at > now}
        due.update(self.touched)
        self.touched = {}
        return due

    def next_retry(self) -> float | None:
        """When the first pause ends; None if nothing failed."""
        return min((*(failure.retry_at for failure in self.failures.values()), *self.deferred.values()), default=None)

    def defer(self, ref: ObjectRef, until: float) -> None:
        """Look at the object again then, monotonic seconds."""
        self.deferred[ref] = until

    def is_paused(self, ref: ObjectRef, manifest: Manifest | None, now: float) -> bool:
        """Whether the object failed with this very manifest, and its pause is not over.

        One that is on its way out is never paused: an event says when it is gone, and to look costs no request.
        """
        failure = self.failures.get(ref)
        if failure is None or failure.problem.reason == TerminatingError.reason:
            return False
        return failure.retry_at > now and failure.digest == (manifest.digest if manifest else "")

    def failed(self, ref: ObjectRef, manifest: Manifest | None, error: CvstateError, *, now: float, random: float) -> Failure:
        """Note a failure; the pause grows with every one of the same manifest."""
        digest = manifest.digest if manifest else ""
        before = self.failures.get(ref)
        attempts, since = (before.attempts + 1, before.since) if before and before.digest == digest else (1, now)
        pause = backoff.pause_seconds(error, attempts, random=random)
        failure = Failure(_problem(ref, manifest, error), digest, attempts, now + pause, since)
        self.failures[ref] = failure
        self.deferred.pop(ref, None)
        return failure

    def done(self, ref: ObjectRef) -> None:
        """The object is as desired."""
        self.failures.pop(ref, None)
        self.remaking.discard(ref)
        self.present.add(ref)

    def leave(self, ref: ObjectRef) -> None:
        """Somebody else made the object, and it is to be left as it is."""
        self.left.add(ref)
        self.failures.pop(ref, None)

    def excuse(self, ref: ObjectRef) -> None:
        """The object may not be written now, so that it does not matter how that would go."""
        self.failures.pop(ref, None)

    def forget(self, refs: Iterable[ObjectRef]) -> None:
        """Objects that are neither desired nor there."""
        for ref in refs:
            self.failures.pop(ref, None)
            self.deferred.pop(ref, None)
            for noted in (self.present, self.left, self.exempt, self.remaking):
                noted.discard(ref)

    def retry(self, kinds: Collection[GroupKind], now: float) -> None:
        """What kept objects of these kinds from being applied is over: their pauses end."""
        for ref, failure in self.failures.items() if kinds else ():
            if ref.group_kind in kinds:
                self.failures[ref] = replace(failure, retry_at=min(now, failure.retry_at))

    def keep_only(self, desired: Mapping[ObjectRef, Manifest]) -> None:
        """Forget everything about objects that are no longer desired."""
        # Not one by one: of ten thousand that are present nearly all stay.
        gone = self.present.difference(desired)
        self.forget([*gone, *(ref for ref in (*self.failures, *self.deferred, *self.exempt, *self.remaking) if ref not in desired)])


def _problem(ref: ObjectRef, manifest: Manifest | None, error: CvstateError) -> Problem:
    return Problem(
        file=manifest.origin.file if manifest else "",
        document=manifest.origin.document if manifest else 0,
        object=str(ref),
        reason=error.reason,
        message=error.message,
        field=getattr(error, "field", ""),
        retryable=not isinstance(error, TerminalError),
    )
