"""The actor: one ClusterState's own task. It waits for whatever concerns it, runs the pipeline, and has the result reported.

Everything that happens ends as a wake-up: a new spec, a request, a touched object, a finished look at the source, an answer about signals, a timer. Looks and
questions run beside the passes, so that a slow Git server or Prometheus never delays a repair.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec, DeletionPolicy, parse_spec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.mode import Mode
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.operator.ending import Ending
from cvstate_operator.operator.questions import Questions
from cvstate_operator.operator.teller import Teller, Voice
from cvstate_operator.operator.wanted import Wanted
from cvstate_operator.plan import backoff, dependencies
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.source_stage import News
from cvstate_operator.reconcile.teardown_stage import AGAIN_SECONDS
from cvstate_operator.reconcile.tracer import Span
from cvstate_operator.vital import declared

JITTER: Final = 0.1
"""Share by which timers are spread, so that ClusterStates of one age do not all wake together."""
PROGRESS_SECONDS: Final = 1.0
"""A pass that takes longer is announced in the status; shorter ones cost one status write, not two."""
REVISION_SECONDS: Final = (0.5, 2.0)
"""When a look is taken up that brought nothing to do, and a commit noted that changed nothing of what is declared here: those it did change something for go first,
and 1,000 ClusterStates of one repository do not all write their status at once."""
HEARD_SECONDS: Final = (0.1, 1.0)
"""When it is told that kinds came into doubt or are heard again: an API server that is away concerns every ClusterState at once."""
TOLD_SECONDS: Final = 0.25
"""When it is judged and told what became of objects that changed, from the first one on: they are put right before, and all that follow within that time too. To judge
takes longer than to put one right, with many objects (measured). Well below the second that a status may wait for its turn (`operator/teller`)."""
BREATHER_SECONDS: Final = 0.1
"""Shortest pause before a pass that nothing but time asks for: whatever goes wrong, the process is not kept busy by it."""
REFETCH_SECONDS: Final = 1.0
"""Pause before a repository is fetched again that was lost from the cache; a disk that fails must not keep us busy."""
ORPHAN_SECONDS: Final = 300.0
"""How long a ClusterState that is being deleted waits for objects that its account may not delete. A namespace that goes takes the account and its rights with it, in any
order, and would else never be gone (a well-known trap of Flux). Long enough for somebody to grant what is lacking."""
MISHAP_SECONDS: Final = 10.0
"""Longest wait without anything to wait for."""

_log = logging.getLogger(__name__)


class Actor:
    """One ClusterState, from its first event to its deletion."""

    def __init__(
        self,
        body: Mapping[str, Any],
        *,
        pipeline: Pipeline,
        voice: Voice,
        edges: Mapping[str, Collection[str]],
        permit: Callable[[ClusterStateSpec], None] = lambda spec: None,
        after: Collection[asyncio.Task[None]] = (),
    ) -> None:
        """
        Args:
            body: the ClusterState.
            pipeline: its pipeline.
            voice: where it is told of.
            edges: who depends on whom in its namespace.
            permit: raises InvalidSpecError for a spec that the operator's owner does not allow.
            after: what has to end first: the actors that the same ClusterState had until now.
        """
        meta = body["metadata"]
        self.uid: str = meta["uid"]
        self.version: str = meta["resourceVersion"]
        """As of the last event about it."""
        self.namespace: str = meta["namespace"]
        self.name: str = meta["name"]
        self._label = f"{meta['namespace']}/{meta['name']}"
        self._pipeline = pipeline
        self._reporter = voice.reporter
        self._meter = voice.meter
        self._tracer = voice.tracer
        self._edges = edges
        self._permit = permit
        self._after = after
        status = body.get("status") or {}
        self._teller = Teller(status, voice, about=lambda: self._about)
        self._wanted = Wanted.read(body)
        self._handled = Wanted(0, status.get("lastHandledReconcileAt"), {})
        self._read: tuple[Mapping[str, Any], ClusterStateSpec] | None = None
        """The spec as it was written and as it was understood: every event asks for it."""
        self._wake = asyncio.Event()
        self._stopping = False
        self._ending = Ending()
        self._look_at = 0.0
        self._look_fresh = True
        """Somebody waits for what the server says now: a user who asked, a push."""
        self._full_at = 0.0
        self._began: float | None = None
        """Since when it is at work, monotonic seconds; None while it waits."""
        self._pass_at: float | None = None
        self._looking: asyncio.Task[News] | None = None
        self._look_began = 0.0
        """When the look began that is under way."""
        self._note_at = 0.0
        """When the last look is to be taken up, if it brought nothing to do."""
        self._looked_for: Wanted | None = None
        self._questions = Questions(pipeline, wake=self._wake.set, label=self._label, about=lambda: self._about)
        self._news = False
        self._mishaps = 0
        """Steps in a row that broke off."""
        self._refused_since: float | None = None
        """Since when each attempt to delete its objects was refused, monotonic seconds; one that breaks off says nothing of that."""
        self._pipeline.told(body)
        self._task = asyncio.create_task(self._run(), name=f"clusterstate {self._label}")

    def update(self, body: Mapping[str, Any]) -> None:
        """An event about the ClusterState came; our own status writes wake nobody."""
        before, self._wanted, self._teller.is_gone = self._wanted, Wanted.read(body, before=self._wanted), False
        self.version = body["metadata"]["resourceVersion"]
        self._reporter.seen(body)
        self._pipeline.told(body)
        if before.generation != self._wanted.generation:
            self._pipeline.changed()
        if (before.generation, before.requested_at) != (self._wanted.generation, self._wanted.requested_at):
            self.look_now()
        elif before.verdicts != self._wanted.verdicts or before.is_leaving != self._wanted.is_leaving:
            self.reconsider()

    def reconsider(self) -> None:
        """What may be written may have changed: somebody approved something, or an EmergencyStop came or went."""
        self._pipeline.interrupt()
        self._pass_at = _now()
        self._wake.set()

    def heard(self, kinds: Collection[GroupKind]) -> None:
        """The API server tells nothing of these kinds any more, or does so again: nothing has to be done, but something else is to be told."""
        if self._pipeline.observes(kinds):
            due = _now() + random.uniform(*HEARD_SECONDS)  # noqa: S311 - spreading timers
            self._pass_at = due if self._pass_at is None else min(self._pass_at, due)
            self._wake.set()

    def look_now(self) -> None:
        """Ask the source at once; one look that begins after this call is enough for any number of them."""
        self._look_at, self._look_fresh = 0.0, True
        self._wake.set()

    def touch(self, ref: ObjectRef) -> None:
        """An object of this ClusterState changed in a way that matters."""
        self._pipeline.ledger.touch(ref, _now())
        self._wake.set()

    @property
    def _about(self) -> dict[str, str]:
        """Fields of every log line: whose it is, and of which roll-out."""
        found = {"revision": self._pipeline.revision, "correlation_id": self._pipeline.correlation_id}
        return {"clusterstate": self._label, "uid": self.uid, **{key: value for key, value in found.items() if value}}

    @property
    def store_keys(self) -> frozenset[str]:
        """What it uses of the render store."""
        return self._pipeline.store_keys

    @property
    def backlog(self) -> int:
        """Objects that changed, and that no pass has taken up yet."""
        return len(self._pipeline.ledger.touched)

    @property
    def unwritten(self) -> int:
        """Objects that a pass is to write and has not taken up yet. May be asked by another thread."""
        return self._pipeline.unwritten

    @property
    def overdue_seconds(self) -> float:
        """For how long nothing was done of what is due or under way; 0 if nothing is. May be asked by another thread."""
        under_way = self._look_began if self._looking and not self._looking.done() else None
        due = [at for at in (self._began, under_way, self._pass_at, self._look_at, self._full_at or None) if at is not None]
        return max(0.0, time.monotonic() - max(self._meter.worked_at, min(due, default=math.inf)))

    async def close(self, *, seconds: float) -> None:
        """Finish the objects in hand and end; what is not finished is cut off, so that nothing at all goes on after `seconds`.

        Members stay as they are and keep their label: a ClusterState of the same name takes them over again.
        """
        self._stopping = True
        self._pipeline.stop()
        self._wake.set()
        self._ending.hasten(seconds=seconds)
        try:
            await self._ending.finish(self._task, others=lambda: self._beside, last_word=self._teller.close, about=self._about)
        finally:
            self._teller.end()

    def hasten(self, *, seconds: float) -> None:
        """Leave no more time than this to an actor that is ending; more than it has changes nothing."""
        self._ending.hasten(seconds=seconds)

    @property
    def _beside(self) -> Collection[asyncio.Task[Any]]:
        """What runs beside the passes."""
        return tuple(task for task in (self._looking, *self._questions.under_way) if task)

    # -- the loop --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        if self._after:
            await asyncio.wait(self._after)
            self._after = ()
        while not self._stopping:
            self._began = _now()
            try:
                await self._step()
                self._mishaps = 0
            except errors.CvstateError as exc:
                _log.warning("pass not finished", extra={**self._about, "reason": exc.reason, "error": exc.message})
                await self._start_over(exc)
            except Exception:  # the shell catches everything: one ClusterState must never stop another
                _log.exception("internal error, trying again", extra=self._about)
                await self._start_over(errors.InternalError("a fault of the operator; its log has the details"))
            self._began = None
            await self._wait()

    async def _start_over(self, error: errors.CvstateError) -> None:
        """A pass broke off: what it had taken up is looked at again, with everything else, soon at first and then more rarely."""
        self._mishaps += 1
        self._meter.reconciled(result=error.reason, seconds=0.0)
        self._pass_at = self._full_at = _now() + backoff.pause_seconds(error, self._mishaps, random=random.random())  # noqa: S311 - jitter
        is_passing = isinstance(error, errors.TransientError) and (self._mishaps == 1 or error.retry_after_seconds is not None)
        if not is_passing:
            await self._teller.tell_broken(error, generation=self._wanted.generation)

    async def _step(self) -> None:
        """Whatever is due now."""
        self._questions.hold()
        if self._teller.is_gone:
            self._pass_at = self._full_at = self._look_at = _now() + MISHAP_SECONDS
            self._pipeline.ledger.touched.clear()
            return
        wanted = self._wanted
        try:
            spec = self._parsed(wanted)
        except errors.InvalidSpecError as exc:
            await (self._let_go() if wanted.is_leaving else self._refuse(wanted, exc))
            return
        if wanted.is_leaving:
            await self._leave(spec)
            return
        await self._reporter.write_finalizer(wanted=spec.deletion_policy is DeletionPolicy.DELETE, found=wanted.finalizers)
        self._take_look(pause=parse_seconds(spec.source.git.interval))
        if self._questions.go_on(spec) and self._handled.generation:  # before the first pass there is nothing to tell news with
            self._pass_at = _now()
        # A pass that broke off is repeated after its pause, whoever waits for its answer; the source is looked at meanwhile.
        is_resting = bool(self._mishaps) and self._pass_at is not None and _now() < self._pass_at
        asked = self._asks(wanted)
        # What the user asked for is answered with what Git holds now, so the look comes first.
        answering = asked and self._looking is None and self._looked_for == wanted and not is_resting
        if _now() >= self._look_at and self._looking is None and not answering:
            self._look_at, fresh, self._look_fresh = float("inf"), self._look_fresh, False
            self._looking = asyncio.create_task(self._pipeline.look(spec, fresh=fresh), name=f"look {self._label}")
            self._looking.add_done_callback(self._looked)
            self._looked_for, self._look_began = wanted, _now()
        full = answering or (_now() >= self._full_at and not asked)
        if full or self._news or (self._pass_at is not None and _now() >= self._pass_at):
            await self._pass(spec, full=full, answered=wanted if answering else None)
        elif self._pipeline.ledger.touched:
            await self._repair(spec)

    def _parsed(self, wanted: Wanted) -> ClusterStateSpec:
        """The spec, if it makes sense, together with what it depends on."""
        if self._read is None or self._read[0] is not wanted.spec:
            spec = parse_spec(wanted.spec)
            declared.check(spec.vital)
            self._read = wanted.spec, spec
        spec = self._read[1]
        self._permit(spec)
        for dependency in spec.depends_on:
            dependencies.require_expression(dependency)
        if cycle := dependencies.find_cycle(self._edges, self.name):
            raise errors.InvalidSpecError(f"spec.dependsOn goes in a circle: {' -> '.join(cycle)}; take one of them out")
        return spec

    async def _leave(self, spec: ClusterStateSpec) -> None:
        """The ClusterState is being deleted: its objects go first, if that is what its spec says."""
        if spec.deletion_policy is not DeletionPolicy.DELETE or spec.mode is Mode.OBSERVE:
            await self._let_go()
            return
        self._pass_at = None
        refused_since, self._refused_since = self._refused_since, None
        if not await self._reporter.is_leaving():
            self._pass_at = self._full_at = self._look_at = _now() + MISHAP_SECONDS
            return
        departure = await self._pipeline.tear_down(spec)
        self._refused_since = (refused_since or _now()) if departure.is_refused else None
        if self._refused_since is not None and _now() >= self._refused_since + ORPHAN_SECONDS:
            self._teller.tell_orphaned(departure)
            await self._let_go()
            return
        if not departure.left:
            await self._let_go()
            return
        self._pass_at = self._full_at = _now() + AGAIN_SECONDS
        self._look_at = float("inf")
        self._pipeline.ledger.touched.clear()
        await self._teller.tell_leaving(departure, generation=self._wanted.generation)

    async def _let_go(self) -> None:
        """Nothing keeps the ClusterState any more."""
        await self._reporter.write_finalizer(wanted=False, found=self._wanted.finalizers)
        self._pass_at = self._full_at = self._look_at = _now() + MISHAP_SECONDS

    def _take_look(self, *, pause: float) -> None:
        if self._looking and self._looking.done():
            task, self._looking = self._looking, None
            # From the end of one look to the beginning of the next, unless somebody asked for one meanwhile.
            self._look_at = min(self._look_at, _later(pause))
            match task.result():
                case News.CONTENT:
                    self._news = True
                case News.REVISION:
                    self._pass_at = min(self._pass_at or self._note_at, self._note_at)

    def _asks(self, wanted: Wanted) -> bool:
        """Whether a person waits for an answer: to another spec, or to a request."""
        return (wanted.generation, wanted.requested_at) != (self._handled.generation, self._handled.requested_at)

    def _looked(self, task: asyncio.Task[News]) -> None:
        """A look ended."""
        self._note_at = _now() + random.uniform(*REVISION_SECONDS)  # noqa: S311 - spreading timers
        if task.cancelled() or task.exception() or task.result() is News.CONTENT or self._asks(self._wanted):
            self._wake.set()
        else:
            asyncio.get_running_loop().call_at(self._note_at, self._wake.set)

    async def _wait(self) -> None:
        times = [self._pass_at, None if self._looking else self._look_at, self._full_at if self._full_at else None, self._questions.due_at]
        # Nothing to wait for but a wake-up, as in the first look at the source, is no reason to keep the process busy.
        pause = max(0.0, min((t for t in times if t is not None), default=_now() + MISHAP_SECONDS) - _now())
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    # -- one pass --------------------------------------------------------------------------------------------------

    async def _repair(self, spec: ClusterStateSpec) -> None:
        """Put right what changed, and have it told in a moment, together with what changes until then."""
        due = _now() + TOLD_SECONDS
        self._pass_at = due if self._pass_at is None else min(self._pass_at, due)
        await self._pipeline.repair(spec)

    async def _pass(self, spec: ClusterStateSpec, *, full: bool, answered: Wanted | None) -> None:
        self._news, self._pass_at = False, None
        with self._tracer.span("reconcile", full=full, asked=answered is not None) as span:
            await self._carry_out(spec, span, full=full, answered=answered)

    async def _carry_out(self, spec: ClusterStateSpec, span: Span, *, full: bool, answered: Wanted | None) -> None:
        started = _now()
        is_reset = answered is not None and answered.is_reset
        # A person who asks wants everything to be listed; a new spec changes nothing of what the watches told.
        is_asked = answered is not None and answered.requested_at != self._handled.requested_at
        work = asyncio.create_task(self._pipeline.run(spec, full=full, asked=is_asked, reset=is_reset))
        try:
            await self._watch(work)
            outcome = await work
        finally:
            work.cancel()
        span.set(**outcome.figures, correlation_id=self._pipeline.correlation_id or None)
        if outcome.done or answered:  # what changed something, or was waited for, is worth a look
            span.keep()
        if self._stopping:
            return
        if answered:
            self._handled = answered
        if full:
            self._full_at = _later(parse_seconds(spec.interval))
        due = None if outcome.next_pass_at is None else max(outcome.next_pass_at, _now() + BREATHER_SECONDS)
        # Whoever asked for another pass while this one came to its end gets it.
        self._pass_at = min((at for at in (self._pass_at, due) if at is not None), default=None)
        if self._pipeline.wants_look:
            self._look_at, self._look_fresh = _now() + REFETCH_SECONDS, True
        with self._tracer.span("report"):
            again_at = await self._teller.tell(
                outcome,
                generation=self._handled.generation or self._wanted.generation,
                handled_at=self._handled.requested_at,
                correlation_id=self._pipeline.correlation_id,
                seconds=_now() - started,
                is_full=full,
            )
        self._pass_at = min((at for at in (self._pass_at, again_at) if at is not None), default=None)

    async def _watch(self, work: asyncio.Task[Outcome]) -> None:
        """Wait for a pass, and announce it if it takes long; its turn to be announced may never come."""
        while not (await asyncio.wait({work}, timeout=PROGRESS_SECONDS))[0]:
            news = self._pipeline.news(self._teller.status)
            if not news or await self._teller.announce(news, generation=self._wanted.generation):
                return

    async def _refuse(self, wanted: Wanted, error: errors.InvalidSpecError) -> None:
        """Nothing of a spec that makes no sense is carried out; what was applied before stays."""
        self._handled = wanted
        self._pass_at = None
        self._look_at = self._full_at = _later(parse_seconds("10m"))
        await self._teller.tell_refused(error, generation=wanted.generation)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _later(seconds: float) -> float:
    return _now() + seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreading timers
