"""The pipeline of one ClusterState: source, render, drift, plan, apply, report. Every trigger ends in the same idempotent call, `run`.

    look()   source ─▶ artifact                          (by poll or push; beside everything else)
    run()    artifact ─▶ desired ─▶ observed ─▶ plan ─▶ applied ─▶ pruned ─▶ outcome

A pass costs what changed: after an event only the touched objects are looked at, after a commit the whole plan is made from memory, and only
differing objects are written.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan import adoption, backoff, changes, crds, desired
from cvstate_operator.plan.changes import Action, Change, Hold
from cvstate_operator.reconcile import inputs
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.outcome import Done, Outcome, Render
from cvstate_operator.reconcile.ports import ParentMetadata, World
from cvstate_operator.reconcile.render_stage import RenderStage
from cvstate_operator.reconcile.source_stage import Baseline, SourceStage
from cvstate_operator.reconcile.writer import Writer

BREATH_OBJECTS: Final = 1000
"""After so many objects others get their turn: deciding on one takes 5 µs (measured), and the event loop must not lag."""
BLIND_SECONDS: Final = 5.0
"""How often it looks whether a kind can be seen again; the informer tries as often. Costs no request of its own."""
WAITING_SECONDS: Final = 0.25
"""How often a prune looks whether it still has to wait for other ClusterStates. Costs no request."""
HANDED_OVER_SECONDS: Final = 10.0
"""How often it looks whether who declares an object still does; that it was taken over is told by an event."""


class Pipeline:
    """One ClusterState. Not for concurrent use, but for `look` and `stop`, which may run beside `run`."""

    def __init__(
        self,
        world: World,
        *,
        owner: str,
        name: str,
        namespace: str,
        name_owner: adoption.NameOwner,
        known_kinds: frozenset[GroupKind],
        baseline: Baseline,
    ) -> None:
        """
        Args:
            world: everything outside.
            owner: ApplySet id.
            name: of the ClusterState.
            namespace: of the ClusterState; namespaced objects that name no namespace go there.
            name_owner: names other ApplySets for people.
            known_kinds: kinds that members may be of, from before this process.
            baseline: what was applied last, from before this process.
        """
        self._world = world
        self._owner = owner
        self._namespace = namespace
        self._name_owner = name_owner
        self._marked_kinds: frozenset[GroupKind] | None = known_kinds or None
        self._source = SourceStage(world, namespace=namespace, baseline=baseline)
        self._render = RenderStage(world, name=name, namespace=namespace, former=(baseline.path, baseline.type))
        self._attempted: Artifact | None = None
        """What the pass is about; a look beside it may already have found a newer one."""
        self._desired: desired.Desired | None = None
        self._placed: Rendered | None = None
        self._unfinished = False
        """An error ended the last pass half-way; the next one looks at everything."""
        self._unknown_kinds_attempt = 0
        self._place_again_at: float | None = None
        self._pruning = changes.Pruning()
        self._pending: tuple[ObjectRef, ...] = ()
        self._seen_all = True
        self._blind: frozenset[GroupKind] = frozenset()
        """Kinds that could not be seen in the last pass."""
        self.ledger = Ledger()
        self._writer = Writer(world, self.ledger, owner=owner, name_owner=name_owner)

    def stop(self) -> None:
        """Finish the objects in hand and start no others; the pass in progress then ends."""
        self._writer.stopping = True

    def changed(self) -> None:
        """The spec is another one now: other ClusterStates delete nothing that this one may come to declare by it."""
        self._world.index.claims.change(self._owner, self._world.clock.monotonic())

    async def look(self, spec: ClusterStateSpec, *, fresh: bool) -> bool:
        """Look for a new commit; True if there is something new to tell, good or bad. `fresh`: ask the server now, whatever others learned lately."""
        return await self._source.look(spec, fresh=fresh)

    @property
    def wants_look(self) -> bool:
        """The cache was lost; the source should be asked at once."""
        return self._source.wants_look

    @property
    def store_keys(self) -> frozenset[str]:
        """What this ClusterState uses of the render store."""
        return frozenset(piece.key for piece in self._render.rendered.pieces.values()) if self._render.rendered else frozenset()

    def news(self, status: Mapping[str, Any]) -> str:
        """What the pass in progress brings that `status` does not know yet, for people; empty for a mere resync or repair."""
        revision = self._source.artifact.revision if self._source.artifact else ""
        return f"applying {revision}" if revision and revision != status.get("lastAppliedRevision") else ""

    # -- the pass --------------------------------------------------------------------------------------------------

    async def run(self, spec: ClusterStateSpec, *, full: bool) -> Outcome:
        """Bring the cluster one step closer to the newest commit, and say where it stands.

        Args:
            spec: the ClusterState as it is now.
            full: list everything again and look at every object, whatever events said.
        """
        started = self._world.clock.monotonic()
        fresh = await self._renew(spec, full=full) or self._unfinished
        if self._desired is None:
            return self._outcome(spec, ())
        self._unfinished = True
        before, blind = self._blind, await self._observe(self._desired, resync_before=started if full else None)
        self._blind = frozenset(blind)
        due = self._world.clock.monotonic()
        self.ledger.retry(before - self._blind, due)
        looked_at = self.ledger.take(due)
        if full or fresh:
            looked_at = {**dict.fromkeys(self._desired.objects, due), **looked_at}
        plan = await self._plan(self._desired, looked_at, blind, retry_all=full)
        done = [*await self._writer.apply(plan, looked_at)]
        stray = any(ref not in self._desired.objects for ref in looked_at)
        if full or fresh or stray or self._pruning.held or self._writer.prune_again_at is not None:
            done += await self._prune(spec, self._desired, blind, retry_all=full)
        self._unfinished = False
        return self._outcome(spec, done)

    # -- render ----------------------------------------------------------------------------------------------------

    async def _renew(self, spec: ClusterStateSpec, *, full: bool) -> bool:
        """Turn the newest artifact into desired objects; True if they are new."""
        artifact = self._attempted = self._source.artifact
        if artifact is None:
            return False
        if self._writer.lost_body:
            self._render.lost()
            self._writer.lost_body = False
        try:
            await self._render.render(spec, artifact, full=full)
        except errors.CacheLostError:
            self._source.lost()
            return False
        rendered = self._render.rendered
        if rendered is None or (rendered is self._placed and not self._must_place_again(full=full)):
            return False
        # Unset until it is placed: a pass that ends here by an error is repeated from the placing on.
        self._placed = None
        await self._place(spec, rendered)
        self._placed = rendered
        return True

    def _must_place_again(self, *, full: bool) -> bool:
        return self._place_again_at is not None and (full or self._world.clock.monotonic() >= self._place_again_at)

    async def _place(self, spec: ClusterStateSpec, rendered: Rendered) -> None:
        cluster = self._world.cluster
        declared = crds.declared_resources(self._world.renderer.body(m) for m in rendered.manifests if crds.is_crd(m.gvk.group_kind))

        def resolve(gvk: Gvk) -> ApiResource | None:
            return cluster.resource(gvk) or declared.get(gvk)

        if any(resolve(gvk) is None for gvk in {m.gvk for m in rendered.manifests}):
            await cluster.discover()
        namespace = inputs.release_namespace(spec, self._namespace) if rendered.type == "Helm" else self._namespace
        self._desired = desired.place(
            rendered.manifests, rendered.problems, resolve=resolve, namespace=namespace, target_namespace=spec.render.target_namespace
        )
        await self._world.clock.sleep(0)
        self.ledger.keep_only(self._desired.objects)
        unknown = any(problem.reason == errors.KindUnknownError.reason for problem in self._desired.problems)
        self._unknown_kinds_attempt = self._unknown_kinds_attempt + 1 if unknown else 0
        clock = self._world.clock
        self._place_again_at = (
            clock.monotonic() + backoff.pause_seconds(errors.KindUnknownError(""), self._unknown_kinds_attempt, random=clock.random())
            if unknown
            else None
        )

    # -- observe ---------------------------------------------------------------------------------------------------

    async def _observe(self, wanted: desired.Desired, *, resync_before: float | None) -> Mapping[GroupKind, errors.CvstateError]:
        """Watch every kind that members are or may be of; returns those that cannot be seen."""
        kinds = frozenset(ref.group_kind for ref in wanted.objects)
        possible = kinds | (self._marked_kinds or frozenset())
        await self._mark(possible)
        cluster = self._world.cluster
        if resync_before is not None and any(cluster.any_version(kind) is None for kind in possible - kinds):
            await cluster.discover()
        # Each version that a manifest uses is watched on its own: drift shows only in the version that was applied.
        served = [resource for gvk in wanted.resources if (resource := cluster.resource(gvk))]
        former = [resource for kind in possible - kinds if (resource := cluster.any_version(kind))]
        blind = dict(await cluster.observe([*served, *former]))
        if former:
            held = {ref.group_kind for ref in self._world.index.members(self._owner)}
            seen = {kind for resource in former if cluster.any_version(kind := resource.gvk.group_kind)} - blind.keys()
            await self._mark(possible - (seen - held))
        if resync_before is not None:
            try:
                await cluster.resync(sorted({r.gvk.group_kind for r in (*served, *former)}), since=resync_before)
                self._seen_all = True
            except errors.CvstateError:
                # What the watches told still stands, but nothing may be deleted by it until a resync succeeds.
                self._seen_all = False
        return blind

    async def _mark(self, kinds: frozenset[GroupKind]) -> None:
        """Write down which kinds members may be of, for whoever comes after us; before there are any, and after there were the last."""
        if kinds != self._marked_kinds:
            await self._world.reporter.write_parent(ParentMetadata(self._owner, kinds))
            self._marked_kinds = kinds

    # -- plan ------------------------------------------------------------------------------------------------------

    async def _plan(
        self,
        wanted: desired.Desired,
        refs: Iterable[ObjectRef],
        blind: Mapping[GroupKind, errors.CvstateError],
        *,
        retry_all: bool,
    ) -> list[Change]:
        """Decide on each object; what is held becomes a failure in the ledger."""
        now = self._world.clock.monotonic()
        claims = self._world.index.claims
        claims.want(self._owner, wanted.objects, None if self._render.error else self._attempted, now)
        plan = []
        for number, ref in enumerate(refs, 1):
            if number % BREATH_OBJECTS == 0:
                await self._world.clock.sleep(0)
            manifest = wanted.objects.get(ref)
            if manifest is None or (not retry_all and self.ledger.is_paused(ref, manifest, now)):
                continue
            if error := blind.get(ref.group_kind):
                self._writer.fail(ref, manifest, error)
                continue
            live = self._world.index.get(ref)
            is_free = live is not None and claims.is_free(ref, live.owner)
            match changes.decide(ref, manifest, live, owner=self._owner, was_applied=ref in self.ledger.present, is_free=is_free):
                case None:
                    self.ledger.done(ref)
                case Hold.OWNER_CONFLICT:
                    claims.catch_up(self._owner, now)
                    self._writer.fail(ref, manifest, adoption.conflict(self._name_owner(live.owner if live else "")))
                case Hold.TERMINATING:
                    self._writer.fail(
                        ref, manifest, errors.TerminatingError("the object is being deleted; it is applied again when it is gone")
                    )
                case Change() as change:
                    due = self.ledger.repair_due(ref, now) if change.action is Action.REPAIR else now
                    if due > now:
                        self.ledger.deferred[ref] = due
                        self._writer.note_drift(change)
                    else:
                        plan.append(change)
        return plan

    # -- prune -----------------------------------------------------------------------------------------------------

    async def _prune(
        self, spec: ClusterStateSpec, wanted: desired.Desired, blind: Mapping[GroupKind, errors.CvstateError], *, retry_all: bool
    ) -> list[Done]:
        """Delete members that left Git, if everything that must be sure is."""
        self._writer.prune_again_at = None
        guard = changes.PruneGuard(
            complete=not wanted.problems and not self._render.error,
            empty=not wanted.objects,
            applied=self.ledger.failures.keys().isdisjoint(wanted.objects) and not self._writer.stopping,
            observed=not blind and self._seen_all,
        )
        self._pruning = changes.prune(
            changes.leftovers(self._world.index.members(self._owner), wanted.objects),
            guard,
            enabled=spec.prune.enabled,
            protected_kinds=spec.prune.protected_kinds,
            claimant=self._claimant,
        )
        doomed = {change.ref: change for change in self._pruning.doomed}
        # A prune that failed before is of no interest once its object is gone or held.
        self.ledger.forget([ref for ref in self.ledger.failures if ref not in wanted.objects and ref not in doomed])
        done = [] if self._hand_over() else await self._delete(doomed, retry_all=retry_all)
        deleted = {item.ref for item in done}
        self._pending = tuple(ref for ref in doomed if ref not in deleted and ref not in self.ledger.failures)
        return done

    async def _delete(self, doomed: Mapping[ObjectRef, Change], *, retry_all: bool) -> list[Done]:
        claims, clock = self._world.index.claims, self._world.clock
        done: list[Done] = []
        for ref, change in doomed.items():
            now = clock.monotonic()
            if self._writer.stopping or (not retry_all and self.ledger.is_paused(ref, None, now)):
                continue
            # Each delete takes a request, and others say meanwhile what they declare.
            if self._claimant(ref) or claims.catch_up(self._owner, now):
                self._writer.prune_again_at = now + WAITING_SECONDS
                continue
            if result := await self._writer.delete(change):
                done.append(result)
        return done

    def _claimant(self, ref: ObjectRef) -> str:
        """Another ClusterState that declares the object; empty if there is none."""
        return next((self._name_owner(owner) for owner in self._world.index.claims.claimants(ref) if owner != self._owner), "")

    def _hand_over(self) -> bool:
        """Let others have what left Git; True if nothing may be deleted yet, since one of them may come to declare it."""
        index, now = self._world.index, self._world.clock.monotonic()
        index.let_go(self._owner, self._pruning.free)
        is_waiting = bool(self._pruning.doomed) and index.claims.catch_up(self._owner, now)
        if is_waiting or self._pruning.handed_over:
            self._writer.prune_again_at = now + (WAITING_SECONDS if is_waiting else HANDED_OVER_SECONDS)
        return is_waiting

    # -- outcome ---------------------------------------------------------------------------------------------------

    def _outcome(self, spec: ClusterStateSpec, done: Iterable[Done]) -> Outcome:
        wanted, build_error = self._desired, self._render.error
        problems = [failure.problem for failure in self.ledger.failures.values()]
        problems += wanted.problems if wanted else ()
        if build_error:
            passes = isinstance(build_error, errors.TransientError | errors.WaitingError)
            problems.append(Problem("", 0, "", build_error.reason, build_error.message, retryable=passes))
        if wanted and not wanted.objects and not problems:
            problems.append(
                Problem(
                    "",
                    0,
                    "",
                    "EmptyRender",
                    "the commit declares no objects; nothing was pruned. Correct spec.source.git.path, or delete the ClusterState",
                )
            )
        timers = (
            self.ledger.next_retry(),
            self._world.clock.monotonic() + BLIND_SECONDS if self._blind else None,
            self._place_again_at,
            self._writer.prune_again_at,
            self._render.again_at,
            self._source.stale_at(spec),
        )
        rendered = self._render.rendered
        outcome = Outcome(
            artifact=self._attempted,
            url=spec.source.git.url,
            source_error=self._source.error(spec),
            rendered=Render(rendered.type, rendered.tool, rendered.warnings) if rendered else None,
            evaluated=wanted is not None and build_error is None,
            digest=wanted.digest if wanted else "",
            desired=len(wanted.objects) if wanted else 0,
            members=self._world.index.count(self._owner),
            done=tuple(sorted(done, key=lambda d: d.ref)),
            problems=tuple(sorted(problems)),
            drift=tuple(sorted(self.ledger.drift.items())),
            unpruned=tuple(sorted(self._pruning.held)),
            objection=self._pruning.objection,
            pending=tuple(sorted(self._pending)),
            kept=self._pruning.kept,
            next_pass_at=min((time for time in timers if time is not None), default=None),
        )
        if outcome.is_applied and self._attempted:
            self._source.applied(spec, self._attempted)
        return outcome
