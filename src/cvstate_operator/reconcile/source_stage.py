"""The source stage of one ClusterState: the newest good commit, why a newer one is not taken, and how old the evidence is.

The last good commit stays in use whatever happens to the source: a server that is away, a rewritten history, a missing signature.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Any, NamedTuple

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.source import GitSource
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.plan.history import commit_of
from cvstate_operator.reconcile import inputs
from cvstate_operator.reconcile.ports import World


class News(Enum):
    """What a look at a source brought."""

    NONE = auto()
    REVISION = auto()
    """Another commit that declares the same: nothing but the status has to follow."""
    CONTENT = auto()
    """Another content, or good or bad news of the source itself."""


class Baseline(NamedTuple):
    """The commit that was applied last, and what was followed to it; another URL or selector is a new beginning."""

    url: str
    selector: str
    commit: str
    path: str = ""
    type: str = ""
    """What the path held: Plain, Kustomize or Helm; empty if it is not known."""


NO_BASELINE = Baseline("", "", "")


class Seen(NamedTuple):
    """The newest commit that was acceptable, and what was followed to it."""

    url: str
    selector: str
    revision: str
    """As it is told: `main@sha1:…`."""


NOTHING_SEEN = Seen("", "", "")


def baseline_of(status: Mapping[str, Any]) -> Baseline:
    """What an earlier life of the operator applied, as it noted in the status."""
    source = status.get("lastAppliedFrom") or {}
    commit = commit_of(str(status.get("lastAppliedRevision") or ""))
    return Baseline(*_origin(source), commit, str(source.get("path", "")), str(source.get("type", ""))) if commit else NO_BASELINE


def seen_of(status: Mapping[str, Any]) -> Seen:
    """What an earlier life of the operator saw last, as it noted in the status; it need not have been applied, or may even be quarantined."""
    source = status.get("source") or {}
    revision = str(source.get("revision") or "")
    return Seen(*_origin(source), revision) if commit_of(revision) else NOTHING_SEEN


def _origin(told: Mapping[str, Any]) -> tuple[str, str]:
    return str(told.get("url", "")), str(told.get("ref", "")).partition(" (")[0]


class SourceStage:
    """Not for concurrent use."""

    def __init__(self, world: World, *, namespace: str, baseline: Baseline, seen: Seen = NOTHING_SEEN) -> None:
        self._world = world
        self._namespace = namespace
        self._baseline = baseline
        self._seen = seen
        self._error: errors.CvstateError | None = None
        self._seen_at = world.clock.monotonic()
        self._seen_time = world.clock.now()
        self.artifact: Artifact | None = None
        """The newest commit that was acceptable."""
        self._origin = ("", "")
        """URL and selector that it came from; the spec may name others by now."""
        self._terms: object = None
        """What the spec asked of a source when it was read."""
        self.wants_look = False
        """The cache was lost: the source should be asked again at once."""

    async def look(self, spec: ClusterStateSpec, *, fresh: bool) -> bool:
        """Look for a new commit; True if there is something new to tell, good or bad.

        Args:
            spec: the ClusterState.
            fresh: ask the server now and read Secrets anew; else what is known since half an interval will do.
        """
        with self._world.tracer.span("source", repository=spec.source.git.url, fresh=fresh) as span:
            is_news = await self._look(spec, fresh=fresh)
            if self.artifact:
                span.set(commit=self.artifact.commit, revision=self.artifact.revision)
            if self._error:
                span.fail(self._error)
            if is_news:
                span.keep()
            return is_news

    async def _look(self, spec: ClusterStateSpec, *, fresh: bool) -> bool:
        clock, started = self._world.clock, self._world.clock.monotonic()
        before = (self.artifact, self._message)
        result = "ok"
        self.wants_look = False
        try:
            self.artifact = await self._fetch(spec, fresh=fresh)
            self._terms = _terms(spec.source.git)
            self._origin = (spec.source.git.url, spec.source.git.ref.selector)
            self._seen = Seen(*self._origin, self.artifact.revision)
            self._error, self._seen_at, self._seen_time = None, clock.monotonic(), clock.now()
        except errors.CvstateError as exc:
            self._error, result = exc, exc.reason
            if self.artifact is None:
                await self._recall(spec)
        self._world.meter.fetched(result=result, seconds=clock.monotonic() - started)
        return before != (self.artifact, self._message)

    def is_read_by(self, spec: ClusterStateSpec) -> bool:
        """Whether the newest commit is one by what this spec asks of a source: of that URL, ref and path, and signed as it says."""
        return self._terms == _terms(spec.source.git)

    def lost(self) -> None:
        """The cached repository turned out to be damaged."""
        if self.artifact:
            self._world.source.forget(self.artifact)
        self.artifact, self.wants_look = None, True

    def applied(self, artifact: Artifact) -> None:
        """From now on a new commit has to descend from this one."""
        self._baseline = Baseline(*self._origin, artifact.commit)

    @property
    def url(self) -> str:
        """Where the newest commit came from; empty if there is none yet."""
        return self._origin[0]

    def error(self, spec: ClusterStateSpec) -> errors.CvstateError | None:
        """Why the newest commit is not known or not taken; SourceStale once that lasts longer than the ClusterState allows."""
        limit = spec.source.git.stale_after
        if limit and self._world.clock.monotonic() >= self._seen_at + parse_seconds(limit):
            since = self._seen_time.strftime("%Y-%m-%dT%H:%M:%SZ")
            last = f"the last one: {self._error.message}" if self._error else "the one under way has not ended"
            return errors.SourceStaleError(f"no successful look at the source since {since} (staleAfter {limit}); {last}")
        return self._error

    def stale_at(self, spec: ClusterStateSpec) -> float | None:
        """When the source becomes stale unless a look succeeds by then, monotonic seconds; None if it cannot, or is already."""
        limit = spec.source.git.stale_after
        if not limit:
            return None
        due = self._seen_at + parse_seconds(limit)
        return due if due > self._world.clock.monotonic() else None

    @property
    def _message(self) -> str:
        return self._error.message if self._error else ""

    async def _fetch(self, spec: ClusterStateSpec, *, fresh: bool) -> Artifact:
        git = spec.source.git
        failed = self._error is not None
        # What failed may have been mended in a Secret; what works is read again at each full resync.
        access = await inputs.access(
            self._world.references, git, self._namespace, max_age=0.0 if fresh or failed else parse_seconds(spec.interval)
        )
        follows_on = self._baseline.commit and (self._baseline.url, self._baseline.selector) == (git.url, git.ref.selector)
        return await self._world.source.fetch(
            git,
            access=access,
            known=self.artifact,
            baseline=self._baseline.commit if follows_on and not git.ref.commit else "",
            max_age=0.0 if fresh else parse_seconds(git.interval) / 2,
        )

    async def _recall(self, spec: ClusterStateSpec) -> None:
        """After a restart with the source away: the newest commit that was seen, if the cache still holds it, so that drift is repaired all the same.

        Never an older one: to go back is a rollback, which asks for more than a source that is away.
        """
        git, seen = spec.source.git, self._seen
        if not seen.revision or seen[:2] != (git.url, git.ref.selector):
            return
        try:
            access = await inputs.access(self._world.references, git, self._namespace, max_age=parse_seconds(spec.interval))
            artifact = await self._world.source.recall(git, access=access, commit=commit_of(seen.revision))
        except errors.CvstateError:
            return  # why the source cannot be read is told already
        # No ref may lead to it any more: Git was rewound.
        self.artifact, self._origin = replace(artifact, revision=seen.revision), (git.url, git.ref.selector)
        self._terms = _terms(git)


def _terms(git: GitSource) -> object:
    """What decides which commit is the newest, and which of its files count."""
    return git.url, git.ref, git.path, git.verify, git.allow_rewind
