"""History: what became of the revisions that were begun, newest first. Pure: time is an argument.

    Applying ─▶ Applied ─▶ Healthy
        └──────────┴─▶ Unhealthy (quarantined) · Superseded (a newer one was begun first)

`status.history` is this list as JSON; an earlier life of the operator is remembered from it.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

CORRELATION_CHARACTERS: Final = 16
"""Hex digits of a correlation id: 64 bits tell more roll-outs apart than a cluster ever sees, and a person can copy them."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class Stage(StrEnum):
    """How far a revision came."""

    APPLYING = "Applying"
    APPLIED = "Applied"
    """The cluster is as it declares."""
    HEALTHY = "Healthy"
    """And everything in it is ready, or was once."""
    UNHEALTHY = "Unhealthy"
    """It did not become healthy in time."""
    SUPERSEDED = "Superseded"


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision."""

    revision: str
    commit: str
    started_at: datetime
    stage: Stage = Stage.APPLYING
    seconds: float | None = None
    """From its beginning to the stage it came to; None while it is on its way."""
    digest: str = ""
    """Of its desired objects, as they were rendered last; empty if that is not known."""
    correlation_id: str = ""
    """Of this roll-out: its log lines and Events carry it. Empty if it was begun before there were any."""
    evidence: tuple[str, ...] = ()
    """What spoke against it when it was given up, for people; one line each."""


@dataclass(slots=True)
class History:
    """Mutable; owned by one reconciler."""

    entries: list[Entry] = field(default_factory=list)
    """Newest first."""
    quarantined: dict[str, str] = field(default_factory=dict)
    """Commits that are not applied again, and why."""

    @classmethod
    def read(cls, status: Mapping[str, Any]) -> "History":
        """What an earlier life noted in the status; what cannot be read is left out."""
        found = [entry for told in status.get("history") or () if (entry := _entry(told))]
        quarantined = {
            commit_of(str(told.get("revision", ""))): str(told.get("message", ""))
            for told in status.get("quarantined") or ()
            if isinstance(told, Mapping) and not told.get("rejected")
        }
        return cls(found, {commit: why for commit, why in quarantined.items() if commit})

    @property
    def current(self) -> Entry | None:
        """The revision that was begun last."""
        return self.entries[0] if self.entries else None

    def good(self, excluded: Iterable[str] = ()) -> Entry | None:
        """The newest revision that became healthy and is not quarantined; None if there is none."""
        bad = {*self.quarantined, *excluded}
        return next((entry for entry in self.entries if entry.stage is Stage.HEALTHY and entry.commit not in bad), None)

    def begin(self, revision: str, now: datetime, *, limit: int, is_same: bool = False) -> None:
        """A revision is being applied. To say so again changes nothing.

        Args:
            revision: with its commit.
            now: UTC.
            limit: entries that are kept, at least 1.
            is_same: whether it declares exactly what the current one does. Then what is known of that one is known of it: healthy is healthy, and
                time that ran out goes on running out.
        """
        if self.current and self.current.commit == commit_of(revision):
            return
        entry = self._successor(self.current, revision, now) if is_same and self.current else Entry(revision, commit_of(revision), now)
        if self.current and self.current.stage in (Stage.APPLYING, Stage.APPLIED):
            self._reach(Stage.SUPERSEDED, now)
        good = self.good()
        self.entries = [entry, *self.entries][:limit]
        if good and good not in self.entries:
            # Whatever the limit, what could be gone back to is not forgotten.
            self.entries[-1:] = [good] if len(self.entries) > 1 else [*self.entries, good]

    def describe(self, *, digest: str, uid: str) -> None:
        """Note what the current revision declares, and name its roll-out; `uid` is that of the ClusterState. To say so again changes nothing."""
        if current := self.current:
            self.entries[0] = replace(current, digest=digest, correlation_id=correlation_id(uid, current.commit, current.started_at))

    def applied(self, now: datetime, *, healthy: bool) -> None:
        """The cluster is as the current revision declares."""
        current = self.current
        if current and current.stage in (Stage.APPLYING, Stage.APPLIED, Stage.SUPERSEDED):
            if healthy:
                self._reach(Stage.HEALTHY, now)
            elif current.stage is not Stage.APPLIED:
                self._reach(Stage.APPLIED, now)

    def quarantine(self, commit: str, why: str, now: datetime, *, evidence: Iterable[str] = ()) -> None:
        """Do not apply this commit again."""
        self.quarantined[commit] = why
        if self.current and self.current.commit == commit:
            self._reach(Stage.UNHEALTHY, now)
            self.entries[0] = replace(self.entries[0], evidence=tuple(evidence))

    def release(self, commit: str, now: datetime) -> None:
        """It may be applied again; if it is the current one, its time begins anew."""
        self.quarantined.pop(commit, None)
        if self.current and self.current.commit == commit and self.current.stage is Stage.UNHEALTHY:
            self.entries[0] = replace(self.current, stage=Stage.APPLYING, started_at=now, seconds=None, evidence=())

    def keep_quarantined(self, *commits: str) -> None:
        """Only these can come again, as the source's newest commit or the one before a commit that is held; the rest is forgotten."""
        self.quarantined = {commit: why for commit, why in self.quarantined.items() if commit in commits}

    @staticmethod
    def _successor(before: Entry, revision: str, now: datetime) -> Entry:
        """A revision that declares the same as the one before."""
        match before.stage:
            case Stage.HEALTHY:
                return Entry(revision, commit_of(revision), now, Stage.HEALTHY, 0.0)
            case Stage.APPLYING | Stage.APPLIED:
                return replace(before, revision=revision, commit=commit_of(revision))
            case Stage.UNHEALTHY | Stage.SUPERSEDED:
                return Entry(revision, commit_of(revision), before.started_at)

    def _reach(self, stage: Stage, now: datetime) -> None:
        entry = self.entries[0]
        self.entries[0] = replace(entry, stage=stage, seconds=max(0.0, (now - entry.started_at).total_seconds()))


def correlation_id(uid: str, commit: str, started_at: datetime) -> str:
    """What names one roll-out: the same for the same ClusterState, commit and beginning, also after a restart."""
    return hashlib.sha256(f"{uid} {commit} {started_at.isoformat()}".encode()).hexdigest()[:CORRELATION_CHARACTERS]


def commit_of(revision: str) -> str:
    """The commit id in `main@sha1:4c1f…`; empty if there is none. Anybody may have written into a status or an annotation."""
    commit = revision.rpartition("sha1:")[2]
    return commit if _COMMIT.fullmatch(commit) else ""


def _entry(told: Any) -> Entry | None:
    match told:
        case {"revision": str(revision), "outcome": str(stage), "startedAt": str(started_at)} if commit_of(revision):
            try:
                seconds, began = told.get("durationSeconds"), datetime.fromisoformat(started_at)
                if began.tzinfo is None:
                    return None
                return Entry(
                    revision,
                    commit_of(revision),
                    began,
                    Stage(stage),
                    float(seconds) if seconds is not None else None,
                    str(told.get("digest") or ""),
                    str(told.get("correlationID") or ""),
                    tuple(str(line) for line in told.get("evidence") or () if isinstance(line, str)),
                )
            except (TypeError, ValueError):
                return None
    return None


def commits_of(annotation: Any) -> tuple[str, ...]:
    """Commit ids in the value of an annotation, separated by commas; anything else in it is left out."""
    return tuple(found for part in str(annotation or "").split(",") if (found := commit_of(f"sha1:{part.strip()}")))


def applied_digest(status: Mapping[str, Any]) -> str:
    """Digest of the desired objects if `status` says that all of them were applied; empty if it does not."""
    applied, attempted = (commit_of(str(status.get(name) or "")) for name in ("lastAppliedRevision", "lastAttemptedRevision"))
    return str((status.get("inventory") or {}).get("digest") or "") if applied and applied == attempted else ""
