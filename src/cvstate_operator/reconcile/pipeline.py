"""The pipeline of one ClusterState: source, render, drift, plan, apply, report. Every trigger ends in the same idempotent call, `run`; for an object that
changed, `repair` does its writing part at once.

    look()   source ─▶ newest commit                          (by poll or push; beside everything else)
    run()    gates ─▶ revision ─▶ desired ─▶ observed ─▶ decided ─▶ applied ─▶ pruned ─▶ judged ─▶ outcome

A pass costs what changed: after an event only the touched objects are looked at, after a commit the whole plan is made from memory, and only
differing objects are written. What may not be written now is looked at all the same.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.mode import Mode
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan import adoption
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.history import applied_digest, commits_of
from cvstate_operator.plan.prune import PruneGuard
from cvstate_operator.reconcile.decide_stage import Decision
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.left_stage import NOTHING
from cvstate_operator.reconcile.observe_stage import tolerated_age
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.outcome import Done, Outcome
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.revision_stage import excluded
from cvstate_operator.reconcile.source_stage import News
from cvstate_operator.reconcile.stages import Identity, assemble
from cvstate_operator.reconcile.summary import Pass, fault, summarize
from cvstate_operator.reconcile.teardown_stage import Departure
from cvstate_operator.vital.health.custom_health import Rules


class Pipeline:
    """One ClusterState. Not for concurrent use, but for `look` and `stop`, which may run beside `run`."""

    def __init__(
        self,
        world: World,
        *,
        who: Identity,
        name_owner: adoption.NameOwner,
        known_kinds: frozenset[GroupKind],
        known_namespaces: frozenset[str] = frozenset(),
        status: Mapping[str, Any],
        generation: int | None = None,
    ) -> None:
        """
        Args:
            world: everything outside.
            who: the ClusterState.
            name_owner: names other ApplySets for people.
            known_kinds: kinds that members may be of, from before this process.
            known_namespaces: other namespaces that members may be in, likewise.
            status: of an earlier life of the operator; what was going on is taken up from it.
            generation: of the ClusterState as it is now; None: the one that the status told of.
        """
        self._world = world
        self._who = who
        self._stages = assemble(
            world,
            who,
            name_owner=name_owner,
            known_kinds=known_kinds,
            known_namespaces=known_namespaces,
            status=status,
            generation=generation,
            is_superseded=lambda: self._is_outdated or self._is_superseded,
        )
        self._is_outdated = False
        self._rules: object = None
        """What drift was judged by in the pass before."""
        self._newest: Artifact | None = None
        """The newest commit as of the beginning of the pass."""
        self._attempted: Artifact | None = None
        """What the pass is about; a look beside it may already have found a newer one."""
        self._decision = Decision()
        self._looked_over: tuple[tuple[object, ...], Desired] | None = None
        """By what every object was judged last; None if a pass ended half-way, so that the next one looks at everything."""
        self._fixes: frozenset[str] = frozenset()
        """Commits that a person lets pass although an error budget burns."""
        self._begun_at = world.clock.monotonic()
        """From when on all that concerns its objects is heard; before that another replica may have had it."""
        self._has_told = False
        """Whether what this process found out was told once."""
        self._applied_digest = applied_digest(status)
        """Digest of desired objects that were all in the cluster once: what is absent of them vanished, and is not new."""
        self._untold: list[Done] = []
        """What `repair` did since the last outcome."""

    @property
    def ledger(self) -> Ledger:
        """What waits to be looked at."""
        return self._stages.ledger

    @property
    def unwritten(self) -> int:
        """Objects of the pass in progress that are to be written and that nobody has taken up yet; 0 between passes."""
        return self._stages.writer.unwritten

    def stop(self) -> None:
        """Finish the objects in hand and start no others; the pass in progress then ends."""
        self._stages.writer.stopping = True
        self._stages.vital.stop()

    def interrupt(self) -> None:
        """What may be written is not what the pass in progress was told: it ends with the objects in hand, and another one has to follow."""
        self._is_outdated = True

    def changed(self) -> None:
        """The spec is another one now: other ClusterStates delete nothing that this one may come to declare by it."""
        self.interrupt()
        self._world.index.claims.change(self._who.owner, self._world.clock.monotonic())

    def told(self, body: Mapping[str, Any]) -> None:
        """The ClusterState is as `body` says now: its annotations may reject commits, and expressions may look at it."""
        annotations = body["metadata"].get("annotations") or {}
        self._stages.gates.this = body
        self._stages.observe.told(body["metadata"].get("labels") or {})
        self._stages.revision.reject(commits_of(annotations.get(names.REJECTED)))
        self._stages.revision.release(str(annotations.get(names.RELEASED) or ""), commits_of(annotations.get(names.RELEASED)))
        self._fixes = frozenset(commits_of(annotations.get(names.FIX)))

    async def look(self, spec: ClusterStateSpec, *, fresh: bool) -> News:
        """Look for a new commit. `fresh`: ask the server now, whatever others learned lately."""
        before = self._stages.source.error(spec)
        if not await self._stages.source.look(spec, fresh=fresh):
            return News.NONE
        is_same = before is None and self._stages.source.error(spec) is None and not self._is_superseded
        return News.REVISION if is_same else News.CONTENT

    def ask_at(self, spec: ClusterStateSpec) -> float | None:
        """When telemetry is to be asked for next, monotonic seconds; None if there is none to ask for."""
        return self._stages.vital.ask_at(spec)

    async def ask(self, spec: ClusterStateSpec) -> bool:
        """Ask for everything that is due of signals, SLOs and causes; True if a pass would have something new to tell."""
        with self._world.tracer.span("telemetry") as span:
            is_news = await self._stages.vital.ask(spec)
            if is_news:
                span.keep()
            return is_news

    @property
    def _is_superseded(self) -> bool:
        """Whether a commit is known by now that declares something else than what is being worked with."""
        newest = self._stages.source.artifact
        return newest is not self._newest and not (newest and self._stages.render.is_made_of(newest))

    @property
    def wants_look(self) -> bool:
        """The cache was lost; the source should be asked at once."""
        return self._stages.source.wants_look

    @property
    def store_keys(self) -> frozenset[str]:
        """What this ClusterState uses of the render store."""
        return self._stages.render.store_keys | self._stages.left.store_keys

    @property
    def revision(self) -> str:
        """Of the commit that the last pass was about; empty if there is none."""
        return self._attempted.revision if self._attempted else ""

    @property
    def correlation_id(self) -> str:
        """Of the roll-out that was begun last; empty if there is none."""
        current = self._stages.revision.history.current
        return current.correlation_id if current else ""

    def observes(self, kinds: Collection[GroupKind]) -> bool:
        """Whether objects of one of these kinds are, or may be, members."""
        return not self._stages.observe.kinds.isdisjoint(kinds)

    def news(self, status: Mapping[str, Any]) -> str:
        """What the pass in progress brings that `status` does not know yet, for people; empty for a mere resync or repair."""
        revision = self._attempted.revision if self._attempted else ""
        return f"applying {revision}" if revision and revision != status.get("lastAttemptedRevision") else ""

    # -- the pass --------------------------------------------------------------------------------------------------

    async def run(self, spec: ClusterStateSpec, *, full: bool, asked: bool = False, reset: bool = False) -> Outcome:
        """Bring the cluster one step closer to the newest commit, and say where it stands.

        Args:
            spec: the ClusterState as it is now.
            full: look at every object, whatever events said, and at lists that are not too old; other ClusterStates need them as well.
            asked: a person asked for it: lists are made now.
            reset: a person asked for it: what was left alone after a fight is tried once more.
        """
        if reset:
            self._stages.drift.half_open()
        orders, done = await self._bring(spec, full=full, asked=asked)
        if not self._has_told and self._stages.place.desired is not None:
            self._look(orders, self._stages.drift.missing)
            await self._stages.vital.first_answers(spec)
            self._has_told = True
        done, self._untold = [*self._untold, *done], []
        return self._outcome(orders, done)

    async def repair(self, spec: ClusterStateSpec) -> None:
        """Put right what events spoke of, as `run` does, and leave it to the next `run`, in a moment, to judge it and to tell of it."""
        with self._world.tracer.span("repair") as span:
            _, done = await self._bring(spec, full=False, asked=False)
            self._untold += done
            span.set(
                commit=self._attempted.commit if self._attempted else None, correlation_id=self.correlation_id or None, changed=len(done)
            )
            if done:
                span.keep()

    async def _bring(self, spec: ClusterStateSpec, *, full: bool, asked: bool) -> tuple[Orders, list[Done]]:
        """Everything of a pass but what it comes to; what was written and deleted."""
        started = self._world.clock.monotonic()
        self._is_outdated = self._stages.writer.was_cut_short = False
        newest = self._newest = self._stages.source.artifact
        is_begun = newest is None or newest.commit == self._stages.revision.accepted
        burning = self._stages.vital.burning(spec)
        gates, is_other = await self._stages.gates.judge(
            spec,
            revision=newest.revision if newest else "",
            is_settled=self._is_settled,
            is_unread=not is_begun and not self._stages.source.is_read_by(spec),
            # What was begun goes on although a budget burns: to stop half-way mends nothing.
            burning=None if is_begun or (newest and newest.commit in self._fixes) else burning,
        )
        orders = Orders(spec, gates, self._stages.consent.agreed(), until=self._stages.consent.until)
        is_judged_anew = bool(self._world.index.judge_by(self._who.owner, Rules.of(spec.vital.health_exprs)))
        rules = (spec.drift, spec.apply.conflicts)
        if self._rules not in (None, rules):
            self._world.index.doubt(self._who.owner)
        is_other, self._rules = is_other or self._rules != rules, rules
        is_new = await self._renew(orders, full=full)
        wanted = self._stages.place.desired
        if wanted is None:
            return orders, []
        news = self._news(wanted, orders)
        everything = news is None or full or is_other or self._stages.consent.is_news or (is_new and self._stages.revision.is_rollback)
        self._looked_over = None
        age = 0.0 if asked or not self._stages.observe.seen_all else tolerated_age(parse_seconds(spec.interval))
        is_sketched = self._world.index.hear_again(self._who.owner)
        is_listed = full or is_judged_anew or is_sketched or not self._stages.observe.seen_all
        # What is taken over together is listed together: a list that was begun since is new enough.
        listed_since = started if is_judged_anew else max(started - age, self._begun_at if is_sketched else 0.0)
        with self._world.tracer.span("observe", listed=is_listed):
            visible = await self._stages.observe.observe(wanted, resync_before=listed_since if is_listed else None)
        looked_at = self._due(visible, wanted.objects if everything else news or ())
        done = await self._apply(
            wanted, looked_at, orders, is_thorough=everything or bool(news), retry_all=full or self._stages.consent.is_news
        )
        if everything or self._stages.prune.is_open or any(ref not in wanted.objects for ref in looked_at):
            keeps = partial(self._stages.revision.leaves, spec)
            with self._world.tracer.span("prune"):
                done += await self._stages.prune.prune(wanted, self._guard(wanted, orders), orders, keeps=keeps, retry_all=full)
        await self._stages.recreations.look(self._stages.writer.waiting, wanted)
        if not self._stages.writer.was_cut_short:
            self._looked_over = self._basis(orders), wanted
        if full:
            self._stages.ledger.left.clear()
            self._stages.drift.tidy(wanted.objects)
        return orders, done

    async def tear_down(self, spec: ClusterStateSpec) -> Departure:
        """The ClusterState is being deleted, and its objects with it: delete what may go now. Observing goes on until nothing is left."""
        with self._world.tracer.span("teardown") as span:
            gates, _ = await self._stages.gates.judge(spec, is_settled=True)
            departure = await self._stages.teardown.run(Orders(spec, gates, lambda item: False))
            span.set(left=len(departure.left))
            span.keep()
            return departure

    @property
    def _is_settled(self) -> bool:
        """Whether the newest commit that is known is applied already, so that it does not matter what a new one would wait for."""
        newest = self._stages.source.artifact
        return newest is not None and newest is self._attempted and not self._decision.held and not self._decision.later

    async def _renew(self, orders: Orders, *, full: bool) -> bool:
        """Turn the commit to work with into desired objects; True if they are new."""
        if not self._world.cluster.capabilities().kube_version:
            await self._world.cluster.discover()  # a remote one was not asked at the start; charts depend on what it serves
        before = self._attempted
        artifact = self._attempted = await self._stages.revision.choose(orders.spec, self._newest, orders.gates)
        if artifact is None:
            return False
        if self._stages.writer.lost_body:
            self._stages.render.lost()
            self._stages.left.lost()
            self._stages.writer.lost_body = False
        try:
            with self._world.tracer.span("render", commit=artifact.commit):
                await self._stages.render.render(orders.spec, artifact, full=full)
        except errors.CacheLostError:
            self._stages.source.lost()
            self._attempted = before  # which is what is desired still
            return False
        rendered = self._stages.render.rendered
        if rendered is None:
            return False
        is_left = await self._leave(orders.spec, full=full)
        if not (await self._stages.place.place(orders.spec, rendered, full=full) or is_left):
            return False
        if wanted := self._stages.place.desired:
            self._stages.ledger.keep_only(wanted.objects)
            self._stages.drift.keep_only(wanted.objects)
            if wanted.digest == self._applied_digest:
                self._stages.ledger.present.update(filter(wanted.may_be_new, wanted.objects))
        return True

    async def _leave(self, spec: ClusterStateSpec, *, full: bool) -> bool:
        """In a rollback, find out how objects are to be that it leaves alone; True if that is new."""
        if not self._stages.revision.is_rollback:
            if is_over := self._stages.place.leave_nothing():
                self._stages.left.clear()
            return is_over
        given_up: Desired | None = NOTHING
        if self._stages.revision.given_up:
            given_up = None
            if artifact := await self._stages.revision.recall_given_up(spec):
                try:
                    given_up = await self._stages.left.declared(spec, artifact, full=full)
                except errors.CacheLostError:
                    self._stages.source.lost()
        return self._stages.place.leave(excluded(spec), given_up)

    def _basis(self, orders: Orders) -> tuple[object, ...]:
        """What else decides about an object than how it is declared and how it is."""
        revision = self._stages.revision
        return revision.block(orders.gates), revision.is_unaccepted, revision.is_rollback, orders.rules

    def _news(self, wanted: Desired, orders: Orders) -> Sequence[ObjectRef] | None:
        """Objects that are declared otherwise than when everything was judged last; None if nothing of that holds any more."""
        if self._looked_over is None or self._looked_over[0] != self._basis(orders):
            return None
        return wanted.news(self._looked_over[1])

    def _due(self, visible: Iterable[GroupKind], news: Iterable[ObjectRef]) -> dict[ObjectRef, float]:
        """Objects to look at in this pass, and since when each is due (monotonic seconds)."""
        now = self._world.clock.monotonic()
        self._stages.ledger.retry(frozenset(visible), now)
        waiting = (change.ref for change in (*self._decision.held, *self._decision.later))
        return {**dict.fromkeys(waiting, now), **dict.fromkeys(news, now), **self._stages.ledger.take(now)}

    async def _apply(
        self, wanted: Desired, looked_at: Mapping[ObjectRef, float], orders: Orders, *, is_thorough: bool, retry_all: bool
    ) -> list[Done]:
        """Decide on what is due and carry it out, wave by wave."""
        index, clock = self._world.index, self._world.clock
        index.claims.want(self._who.owner, wanted.objects, None if self._stages.render.error else self._attempted, clock.monotonic())
        block, leaves = self._stages.revision.block(orders.gates), partial(self._stages.revision.leaves, orders.spec)
        with self._world.tracer.span("plan", objects=len(looked_at)):
            decision = await self._stages.decide.decide(
                wanted,
                looked_at,
                self._stages.observe.error_of,
                rules=orders.rules,
                block=block,
                is_accepted=not self._stages.revision.is_unaccepted,
                pending=frozenset(change.ref for change in (*self._decision.held, *self._decision.later)),
                left_as_is=leaves,
                retry_all=retry_all,
            )
        if self._attempted and not block and not self._stages.render.error:
            is_new = self._stages.revision.begin(orders.spec, self._attempted, wanted)
            self._stages.revision.history.describe(digest=wanted.digest, uid=self._who.uid)
            if is_new:
                self._stages.vital.begin(orders.spec, wanted, unseen=self._stages.observe.unseen)
        done: list[Done] = []
        self._decision = decision = self._stages.decide.advance(wanted, decision, orders, left_as_is=leaves)
        while decision.plan:
            batch, decision.plan = decision.plan, []
            with self._world.tracer.span("apply", objects=len(batch)) as span:
                written = await self._stages.writer.apply(batch, looked_at, orders)
                span.set(changed=len(written))
            done += written
            decision = self._stages.decide.advance(wanted, decision, orders, left_as_is=leaves)
        if orders.spec.mode is Mode.OBSERVE and is_thorough:
            with self._world.tracer.span("drift", objects=len(decision.held)):
                await self._stages.writer.survey(decision.held, orders)
        return done

    def _guard(self, wanted: Desired, orders: Orders) -> PruneGuard:
        """What is sure enough to delete by."""
        decision = self._decision
        return PruneGuard(
            complete=not wanted.problems and not self._stages.render.error,
            fresh=self._stages.source.error(orders.spec) is None,
            applied=self._stages.ledger.failures.keys().isdisjoint(wanted.objects.keys())
            and not (decision.held or decision.later or self._stages.writer.was_cut_short),
            observed=not self._stages.observe.unseen and not self._stages.observe.closed and self._stages.observe.seen_all,
        )

    # -- outcome ---------------------------------------------------------------------------------------------------

    def _outcome(self, orders: Orders, done: Iterable[Done]) -> Outcome:
        with self._world.tracer.span("vital"):
            return self._judged(orders, done)

    def _judged(self, orders: Orders, done: Iterable[Done]) -> Outcome:
        stages = self._stages
        missing = stages.drift.missing
        found = Pass(self._attempted, self._decision, tuple(done), self._look(orders, missing), missing)
        outcome = summarize(stages, orders, self._world, found, members=self._world.index.count(self._who.owner))
        if outcome.is_rolled_out and self._attempted:
            self._applied_digest = outcome.digest
            stages.source.applied(self._attempted)
        return stages.vital.tell(orders.spec, outcome, fault=fault(stages, outcome))

    def _look(self, orders: Orders, missing: frozenset[ObjectRef]) -> Health:
        stages = self._stages
        return stages.vital.look(orders.spec, stages.place.desired, unseen=stages.observe.unseen, missing=missing)
