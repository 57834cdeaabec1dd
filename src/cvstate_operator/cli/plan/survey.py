"""Survey: how the cluster differs from what the operator works with, and of which objects that cannot be said. For `cvstate diff`, by the operator's own stages."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.api.conditions import Reason
from cvstate_operator.api.mode import Mode
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.cli.plan.bench import Bench
from cvstate_operator.cli.plan.compare import GRANT, Comparison
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.drift.rules import is_kind
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.redaction import disclosed, is_secret, one_line, without_values
from cvstate_operator.plan import desired as placing
from cvstate_operator.plan import revision as revisions
from cvstate_operator.plan import waves
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.history import History, commit_of
from cvstate_operator.plan.waves import Frontier
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.revision_stage import excluded

REFUSED: Final = "Refused"
"""State of a drift whose repair the API server does not take, or we do not send; in the status it is `Repairing`, beside the problem."""
NOT_APPLIED: Final = "NotApplied"
"""Why an object is not compared of which nothing else is known."""
MESSAGE_CHARACTERS: Final = 1000
"""As of problems in the status."""
_SEVERITIES: Final = ("Critical", "High", "Medium", "Low")
_REVISES: Final = (Action.CREATE, Action.UPDATE)


def _reasons(kind: type[errors.CvstateError]) -> frozenset[str]:
    return frozenset({kind.reason}.union(*(_reasons(narrower) for narrower in kind.__subclasses__())))


_FINAL: Final = _reasons(errors.TerminalError)
"""What does not pass by itself."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """One field that is not as declared; values masked in Secrets."""

    object: str
    path: str
    """JSON pointer; empty for the object as a whole."""
    live: Any
    """JSON value that is there; None if there is none."""
    desired: Any
    manager: str
    written_at: str
    first_seen: str
    """When the operator first saw it; empty if it has not told yet."""
    severity: str
    action: str
    state: str
    is_gone: bool = False
    """Whether the object as a whole is not there."""
    why: str = ""
    """What keeps it from being put back, for people; empty if the state says it all."""


@dataclass(frozen=True, slots=True)
class Uncompared:
    """An object of which it cannot be said whether it is as declared."""

    object: str
    """Empty of a file."""
    reason: str
    """One fixed word, as in docs/reasons.md."""
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """All drift of one ClusterState."""

    state: str
    """`namespace/name` of the ClusterState."""
    revision: str
    objects: int
    """How many are declared, or were chosen of these."""
    compared: int
    """Of these, how many can be said to drift or not."""
    fields: tuple[Drifted, ...] = ()
    uncompared: tuple[Uncompared, ...] = ()
    not_applied: int = 0
    """Of these, objects that are not brought to this revision yet: what differs by that is no drift, but a plan."""
    exempt: tuple[str, ...] = ()
    """Objects that are left as they are, since their annotations ask for it."""
    unseen: tuple[str, ...] = ()
    """Objects that this person may not read."""

    @property
    def is_whole(self) -> bool:
        """Whether everything was compared that could drift."""
        return not (self.uncompared or self.unseen)


class _Hindrance(NamedTuple):
    """What keeps an object from being written."""

    reason: str
    message: str


_LEFT: Final = _Hindrance(
    Reason.ROLLED_BACK, "the rollback leaves it as it is (spec.rollback.excludeKinds), and it is as neither of the two revisions has it"
)


async def survey(bench: Bench, wanted: str | None) -> Found:
    """Compare the cluster with what the operator works with, or before it began with anything, with the newest commit it knows.

    Args:
        bench: entered.
        wanted: only objects of this `KIND/NAME`; None for all.

    Raises:
        NotFoundError: there is no such revision, or no such object in it.
        CvstateError: the source cannot be read, or the API server does not answer.
    """
    attempted, newest = str(bench.status.get("lastAttemptedRevision") or ""), str((bench.status.get("source") or {}).get("revision") or "")
    revision = attempted if commit_of(attempted) else newest
    state = f"{bench.namespace}/{bench.name}"
    if not commit_of(revision):
        raise errors.NotFoundError(
            f"{state} works with no revision yet, so that nothing can have drifted; see: cvstate status {bench.name} -n {bench.namespace}"
        )
    declared, _ = await bench.desired(bench.spec, await bench.at_commit(bench.spec, commit_of(revision)))
    declared = await _with_left(bench, declared, good=commit_of(revision), newest=commit_of(newest))
    chosen = frozenset(ref for ref in declared.objects if not wanted or is_meant(ref, wanted))
    if wanted and not chosen:
        raise errors.NotFoundError(f"{one_line(wanted)} is not declared by {state} at {revision}; correct --object")
    await bench.observe(declared, with_members=False)
    orders = await bench.orders(bench.spec, commit_of(revision))
    found = await _Survey(bench, declared, orders, chosen).run(with_files=not wanted)
    return replace(found, revision=revision)


def is_meant(ref: ObjectRef, wanted: str) -> bool:
    """Whether an object is named by `KIND/NAME` or `KIND.GROUP/NAME`."""
    kind, _, name = wanted.rpartition("/")
    plain, _, group = kind.partition(".")
    return ref.name == name and ref.kind.lower() == plain.lower() and (not group or ref.group == group)


async def _with_left(bench: Bench, declared: Desired, *, good: str, newest: str) -> Desired:
    """In a rollback, with what it leaves alone as the revision has it that was given up."""
    if not _is_rollback(bench):
        return declared
    given_up = revisions.given_up([entry.commit for entry in History.read(bench.status).entries], good=good, newest=newest)
    if not given_up:
        return declared
    try:
        newer, _ = await bench.desired(bench.spec, await bench.at_commit(bench.spec, given_up))
    except errors.CvstateError:
        newer = None
    return placing.leave(declared, newer, lambda ref: _is_left(bench, ref))


def _is_rollback(bench: Bench) -> bool:
    """Whether the operator works with an older commit, since the newest is quarantined or rejected."""
    newest = commit_of(str((bench.status.get("source") or {}).get("revision") or ""))
    given_up = {commit_of(str(one.get("revision") or "")) for one in bench.status.get("quarantined") or ()}
    return newest in given_up and newest != commit_of(str(bench.status.get("lastAttemptedRevision") or ""))


def _is_left(bench: Bench, ref: ObjectRef) -> bool:
    """Whether a rollback does not touch the object."""
    return any(is_kind(ref, kind) for kind in excluded(bench.spec))


class _Thorough(Orders):
    """The same orders, by which the live object is read also where an apply would overwrite it unseen."""

    @property
    def is_plain(self) -> bool:
        """Never."""
        return False


class _Survey:
    """One run."""

    def __init__(self, bench: Bench, declared: Desired, orders: Orders, chosen: frozenset[ObjectRef]) -> None:
        self._bench = bench
        self._declared = declared
        self._orders = orders
        self._chosen = chosen
        self._comparison = Comparison(bench, declared, orders, only=chosen)
        self._told = {(str(one.get("object")), str(one.get("path"))): one for one in (bench.status.get("drift") or {}).get("sample") or ()}
        self._refused = {
            str(one["object"]): _Hindrance(str(one.get("reason")), one_line(str(one.get("message")), MESSAGE_CHARACTERS))
            for one in bench.status.get("problems") or ()
            if one.get("object")
        }
        """What the operator says of objects that it could not write; the first twenty."""
        self._fields: list[Drifted] = []
        self._uncompared: list[Uncompared] = []
        self._unseen: list[str] = []
        self._not_applied = 0
        self._frontier: Frontier | None = None

    async def run(self, *, with_files: bool) -> Found:
        """Everything; `with_files` also what is wrong with files that declare nobody knows what."""
        changes = await self._comparison.changes()
        self._frontier = self._first_unfinished({change.ref for change in changes if change.action in _REVISES})
        await self._bench.each("comparing", changes, self._one)
        looked_at, chosen = {str(change.ref) for change in changes}, {str(ref) for ref in self._chosen}
        for problem in self._comparison.problems:
            if problem.reason == errors.ForbiddenError.reason:
                self._unseen.append(problem.object)
            elif with_files or problem.object in chosen:
                self._uncompared.append(Uncompared(problem.object or problem.file, problem.reason, problem.message))
            looked_at.add(problem.object)
        exempt = []
        for ref in sorted(self._chosen):
            if str(ref) in looked_at:
                continue
            if ref in self._comparison.exempt:
                exempt.append(str(ref))
            else:
                self._uncompared.append(Uncompared(str(ref), *_LEFT))
        return Found(
            f"{self._bench.namespace}/{self._bench.name}",
            "",
            len(self._chosen),
            len(chosen.difference(exempt, self._unseen, (one.object for one in self._uncompared))),
            tuple(_sorted(self._fields)),
            tuple(sorted(self._uncompared, key=lambda one: (one.reason, one.object))),
            self._not_applied,
            tuple(exempt),
            tuple(sorted(self._unseen)),
        )

    async def _one(self, change: Change) -> None:
        ref, orders = str(change.ref), self._orders
        try:
            if change.action not in _REVISES:
                self._fields += await self._compared(change)
            elif orders.spec.mode is Mode.OBSERVE:
                self._fields += await self._observed(change)
            else:
                hindrance = self._hindrance(change)
                self._not_applied += 1
                self._uncompared.append(Uncompared(ref, *hindrance))
                # The rest of it is as the manifest before has it, which nobody keeps.
                _, look = await self._comparison.look(change, _Thorough(orders.spec, orders.gates, orders.agreed, orders.until))
                self._fields += [self._field(change, entry, hindrance) for entry in look.remedy.entries]
        except (errors.NetworkError, errors.UnauthorizedError):
            raise
        except errors.NotFoundError:
            return  # it went meanwhile; the next look says so
        except errors.ForbiddenError:
            self._unseen.append(ref)
        except errors.CvstateError as exc:
            message = without_values(exc.message) if is_secret(change.ref.group_kind) else exc.message
            self._uncompared.append(Uncompared(ref, exc.reason, one_line(message, MESSAGE_CHARACTERS)))

    async def _observed(self, change: Change) -> list[Drifted]:
        """In mode Observe every difference is drift, also of objects that are not ours: by a dry run."""
        try:
            entries = await self._comparison.survey(change)
        except errors.ForbiddenError as exc:
            raise errors.AdmissionDeniedError(f"your user may not try it: {exc.message.partition(';')[0]}; {GRANT}") from exc
        return [self._field(change, entry, None) for entry in entries]

    async def _compared(self, change: Change) -> list[Drifted]:
        """Every drifted field of one object that has its manifest, with what the operator says of it."""
        _, look = await self._comparison.look(change)
        found = [self._field(change, entry, self._refused.get(str(change.ref))) for entry in look.remedy.entries]
        whole = self._told.get((str(change.ref), ""))
        return [_told(change.ref, whole)] if whole and change.live and not found else found

    def _field(self, change: Change, entry: Entry, hindrance: _Hindrance | None) -> Drifted:
        drift, kind = entry.drift, change.ref.group_kind
        told = self._told.get((str(change.ref), drift.path)) or {}
        state, why = self._state(change, entry, told, hindrance)
        return Drifted(
            str(change.ref),
            drift.path,
            disclosed(kind, drift.path, drift.live) if drift.path else None,
            disclosed(kind, drift.path, drift.desired) if drift.path else None,
            one_line(drift.manager),
            drift.since,
            str(told.get("since", "")),
            str(told.get("severity", entry.severity.value)),
            str(told.get("action", entry.action.value)),
            state,
            is_gone=drift.is_absence,
            why=why,
        )

    def _state(self, change: Change, entry: Entry, told: Mapping[str, Any], hindrance: _Hindrance | None) -> tuple[str, str]:
        """What is done about a drift, and what keeps it from being put back."""
        state = str(told.get("state", entry.state.value))
        if state == State.HELD and (block := self._orders.block(WindowAction.DRIFT_REPAIR)):
            return state, block.message
        if state == State.BREAKER_OPEN:
            return (
                state,
                f"somebody undoes every repair; once that one is stopped: cvstate reconcile {self._bench.name} -n {self._bench.namespace} --reset",
            )
        if state != State.REPAIRING:
            return state, ""
        if not hindrance:
            return state, ""
        held = State.HELD.value if change.action in _REVISES else state
        return REFUSED if hindrance.reason in _FINAL else held, f"{hindrance.reason}: {hindrance.message}"

    def _hindrance(self, change: Change) -> _Hindrance:
        """Why an object is not as this revision has it."""
        if refused := self._refused.get(str(change.ref)):
            return refused
        if _is_rollback(self._bench) and change.live and _is_left(self._bench, change.ref):
            return _LEFT
        if block := self._orders.block(WindowAction.ROLLBACK if _is_rollback(self._bench) else WindowAction.NEW_REVISION):
            return _Hindrance(block.reason, block.message)
        if (first := self._frontier) and change.wave[0] > first.wave:
            return _Hindrance(Reason.WAVE_NOT_READY, one_line(f"waits for wave {first.wave}: {first.ref}: {first.why}", MESSAGE_CHARACTERS))
        return _Hindrance(NOT_APPLIED, f"not brought to this revision yet; see: cvstate plan {self._bench.name} -n {self._bench.namespace}")

    def _first_unfinished(self, pending: Collection[ObjectRef]) -> Frontier | None:
        """What later waves wait for, as far as this person can see it."""
        is_rollback = _is_rollback(self._bench)

        def lacks(ref: ObjectRef) -> str:
            if is_rollback and _is_left(self._bench, ref):
                return ""
            if refused := self._refused.get(str(ref)):
                return refused.message
            if ref in pending:
                return "it is not applied yet"
            readiness = self._bench.index.unready(ref) if self._orders.spec.apply.wait else None
            return readiness.message if readiness and readiness.holds_up else ""

        return waves.frontier(self._declared.waves, lacks)


def _told(ref: ObjectRef, sample: Mapping[str, Any]) -> Drifted:
    """Drift that only the operator can see, since it remembers what it wrote: a value inside a field of ours."""
    return Drifted(
        str(ref),
        "",
        None,
        None,
        one_line(str(sample.get("manager", ""))),
        str(sample.get("writtenAt", "")),
        str(sample.get("since", "")),
        str(sample.get("severity", "")),
        str(sample.get("action", "")),
        str(sample.get("state", "")),
    )


def _sorted(fields: Iterable[Drifted]) -> list[Drifted]:
    """Objects with what matters most first; fields of one object stay together."""
    found = list(fields)
    rank = {severity: number for number, severity in enumerate(_SEVERITIES)}
    worst: dict[str, int] = {}
    for one in found:
        worst[one.object] = min(worst.get(one.object, len(rank)), rank.get(one.severity, len(rank)))
    return sorted(found, key=lambda one: (worst[one.object], one.object, rank.get(one.severity, len(rank)), one.path))
