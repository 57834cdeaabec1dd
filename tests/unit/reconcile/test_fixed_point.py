"""From wherever it starts, a ClusterState whose world is at rest comes to a fixed point: passes then write nothing, and none is due at once.

Aspects: any history of commits, edits, gates, approvals, failures, restarts · no pass is scheduled in the past · after everything is opened and mended, the
cluster is what Git declares · what was told is what is so.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile.outcome import Outcome
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, body, ref
from tests.unit.reconcile.fakes import Stage, spec

PASSES = 60
"""More than any of these worlds needs to come to rest: waves, two looks, a breaker's last repairs, a rollback."""
WEB = ref("web", of=DEPLOYMENT)


def named(name: str, colour: str, **annotations: str) -> dict[str, Any]:
    made = body(name, of=CONFIG_MAP, data={"colour": colour, "size": "1"})
    if annotations:
        made["metadata"]["annotations"] = {f"cvstate.io/{key}": value for key, value in annotations.items()}
    return made


def web(image: str, **annotations: str) -> dict[str, Any]:
    made = body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": image})
    made["metadata"]["annotations"] = {f"cvstate.io/{key}": value for key, value in annotations.items()}
    return made


COMMITS: tuple[list[dict[str, Any]], ...] = (
    [named("a", "blue"), named("b", "blue"), web("good")],
    [named("a", "red"), web("good")],
    [named("a", "red", apply="IfNotPresent"), named("b", "blue", prune="Confirm"), web("bad", wave="1"), named("c", "blue", wave="2")],
    [named("a", "blue", reconcile="Disabled"), named("d", "x", recreate="Enabled")],
    [named("a", "red", prune="Disabled"), named("c", "blue"), web("bad")],
    [named(name, "blue") for name in "abcdef"],
)
DRIFT: tuple[dict[str, Any], ...] = (
    {},
    {"rules": [{"match": {"paths": ["/data/colour"]}, "action": "Approve"}]},
    {"rules": [{"match": {"paths": ["/data/colour"]}, "action": "Alert"}, {"match": {"paths": ["/data/size"]}, "action": "Ignore"}]},
    {"transientFor": "30s", "breaker": {"reversals": 2, "within": "1m", "halfOpenAfter": "1m"}},
    {"ignore": [{"paths": ["/data/size"]}, {"managers": ["hpa"]}], "extraFields": "Report"},
    {"extraFields": "Remove"},
)
SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"suspend": True},
    {"mode": "Observe"},
    {"windows": [{"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC"}]},
    {
        "windows": [
            {"kind": "Deny", "schedule": "*/30 * * * *", "duration": "10m", "timeZone": "UTC", "actions": ["NewRevision", "Rollback"]}
        ]
    },
    {"apply": {"conflicts": "Yield", "recreate": "Approve"}},
    {"apply": {"conflicts": "Abort", "recreate": "IfImmutable", "wait": False}},
    {"rollback": {"onUnhealthyFor": "2m"}},
    {"prune": {"maxDeletes": 1, "maxPercent": 30}},
)
Step = tuple[str, Any]

STEPS = st.one_of(
    st.tuples(st.just("commit"), st.sampled_from(range(len(COMMITS)))),
    st.tuples(st.just("spec"), st.tuples(st.sampled_from(SPECS), st.sampled_from(DRIFT))),
    st.tuples(
        st.just("edit"), st.tuples(st.sampled_from("abc"), st.sampled_from(["colour", "size", "shape"]), st.sampled_from(["red", None]))
    ),
    st.tuples(st.just("fight"), st.sampled_from("ab")),
    st.tuples(st.just("delete"), st.sampled_from("abcd")),
    st.tuples(st.just("fail"), st.sampled_from("abc")),
    st.tuples(st.just("stop"), st.booleans()),
    st.tuples(st.just("approve"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 200, 2000])),
    st.tuples(st.just("full"), st.none()),
)


def kind_of(kind: str) -> ApiResource:
    return DEPLOYMENT if kind == "Deployment" else CONFIG_MAP


class Life:
    """A ClusterState to which things happen."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.stage.cluster.comes_up = lambda live: live["spec"]["image"] == "good"
        self.stage.cluster.fixed = {"ConfigMap": ("data", "size")}
        self.outcome: Outcome | None = None

    async def begin(self) -> None:
        self.outcome = await self.stage.commit(*COMMITS[0])

    async def run(self, *, full: bool = False) -> Outcome:
        self.outcome = await self.stage.run(full=full)
        return self.outcome

    async def do(self, step: Step) -> None:
        """One thing happens, and a pass follows."""
        what, value = step
        await getattr(self, f"_{what}")(value)
        await self.run(full=what in ("restart", "spec", "full"))

    async def _commit(self, number: int) -> None:
        self.stage.git.commit(*COMMITS[number])
        await self.stage.look()

    async def _spec(self, fields: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self.stage.spec = spec(drift=fields[1], **fields[0])

    async def _edit(self, of: tuple[str, str, str | None]) -> None:
        name, key, value = of
        if ref(name) in self.stage.cluster.objects:
            self.stage.cluster.set_field(ref(name), f"data/{key}", value)

    async def _fight(self, name: str) -> None:
        for number in range(6):
            self.stage.clock.seconds += 1
            if ref(name) in self.stage.cluster.objects:
                self.stage.cluster.set_field(ref(name), "data/colour", f"c{number}", manager="hpa")
            await self.run()

    async def _delete(self, name: str) -> None:
        if ref(name) in self.stage.cluster.objects:
            self.stage.cluster.delete(ref(name))

    async def _fail(self, name: str) -> None:
        failures = self.stage.cluster.failures
        failures.pop(name) if name in failures else failures.setdefault(name, [errors.ServerError("HTTP 500")])

    async def _stop(self, is_stopped: bool) -> None:
        self.stage.stop_reason = "oops" if is_stopped else ""

    async def _approve(self, _: None) -> None:
        if self.outcome and self.outcome.consent.waits:
            self.stage.approve(self.outcome)

    async def _restart(self, _: None) -> None:
        kinds = self.stage.reporter.parents[-1].group_kinds
        self.stage.restart(known_kinds=kinds, status=self.stage.status)
        await self.stage.look()

    async def _wait(self, seconds: int) -> None:
        self.stage.clock.seconds += seconds

    async def _full(self, _: None) -> None:
        return

    async def rest(self) -> Outcome:
        """Nothing happens any more but what the pipeline itself asks for; the outcome when nothing is due within an hour, or only to look again."""
        outcome = await self.run()
        for _ in range(PASSES):
            due = outcome.next_pass_at
            assert not self.stage.reporter.faults, self.stage.reporter.faults
            if due is None or due > self.stage.clock.seconds + 3600:
                break
            self.stage.clock.seconds = max(due, self.stage.clock.seconds)
            outcome = await self.run()
        return outcome


def lived(steps: list[Step], claim: Callable[[Life], Any]) -> None:
    async def life() -> None:
        one = Life()
        await one.begin()
        for step in steps:
            await one.do(step)
        await claim(one)

    asyncio.run(life())


@given(st.lists(STEPS, max_size=10))
def test_a_world_at_rest_is_not_written(steps: list[Step]) -> None:
    async def claim(life: Life) -> None:
        await life.rest()
        stage = life.stage
        if stage.cluster.failures:
            return  # what fails is tried again for ever, later and later
        for full in (True, False, True):
            outcome = await stage.run(full=full)
            assert stage.cluster.writes == []
            assert outcome.next_pass_at is None or outcome.next_pass_at > stage.clock.seconds

    lived(steps, claim)


@given(st.lists(STEPS, max_size=10))
def test_passes_at_rest_are_few(steps: list[Step]) -> None:
    async def claim(life: Life) -> None:
        await life.rest()
        begin, passes = life.stage.clock.seconds, 0
        outcome = await life.run()
        while outcome.next_pass_at is not None and outcome.next_pass_at < begin + 600 and passes < PASSES:
            life.stage.clock.seconds = max(outcome.next_pass_at, life.stage.clock.seconds)
            outcome = await life.run()
            passes += 1
        # A failing object is tried once a minute at most by now; 10 minutes of the most patient error are ten passes, of three objects thirty.
        assert passes <= 45

    lived(steps, claim)


@given(st.lists(STEPS, max_size=10))
def test_once_everything_is_opened_and_mended_the_cluster_is_what_git_declares(steps: list[Step]) -> None:
    async def claim(life: Life) -> None:
        stage = life.stage
        await life.rest()
        stage.cluster.failures.clear()
        stage.cluster.fixed.clear()
        stage.stop_reason = ""
        stage.spec = spec(drift={"extraFields": "Ignore"})
        stage.clock.seconds += 24 * 3600  # every breaker is closed by then
        stage.git.commit(named("a", "final"), named("z", "final"), web("good"))
        await stage.look()
        await life.run(full=True)
        stage.clock.seconds += 3600
        await life.run(full=True)
        outcome = await life.rest()
        if outcome.consent.waits:
            stage.approve(outcome)
            outcome = await life.rest()
        assert outcome.is_converged, outcome
        assert stage.ready() == ("True", "Reconciled")
        for name in "az":
            assert stage.cluster.objects[ref(name)]["data"]["colour"] == "final"
        assert stage.names() - {"a", "z", "web"} <= {name for kept in outcome.pruning.kept for name in (one.name for one in kept.refs)}

    lived(steps, claim)


@given(st.lists(STEPS, max_size=10))
def test_nothing_is_written_while_nothing_may_be(steps: list[Step]) -> None:
    async def claim(life: Life) -> None:
        stage = life.stage
        stage.stop_reason = "oops"
        before = {ref: one["metadata"]["uid"] for ref, one in stage.cluster.objects.items()}
        for full in (False, True, False):
            stage.clock.seconds += 700
            await life.run(full=full)
            assert stage.cluster.writes == []
        assert {ref: one["metadata"]["uid"] for ref, one in stage.cluster.objects.items()} == before

    lived(steps, claim)


@given(st.lists(STEPS, max_size=10))
def test_whoever_says_that_all_is_applied_says_the_truth(steps: list[Step]) -> None:
    async def life() -> None:
        one = Life()
        await one.begin()
        for step in steps:
            await one.do(step)
            outcome, stage = one.outcome, one.stage
            if outcome is None or not outcome.is_converged or any(done.action is Action.RECREATE for done in outcome.done):
                continue
            assert stage.git.head is not None
            declared = stage.git._rendered[stage.git.head.commit].manifests
            absent = {m.name for m in declared if m.directives.reconcile and m.directives.apply != "Ignore"} - stage.names()
            assert not absent
            if stage.spec.drift.rules or stage.spec.drift.ignore:
                continue
            for manifest in declared:
                if manifest.directives.reconcile and manifest.directives.apply == "Override":
                    wanted, live = stage.git.body(manifest), stage.cluster.objects[ref(manifest.name, of=kind_of(manifest.gvk.kind))]
                    assert {key: live["data"].get(key) for key in wanted.get("data", {})} == wanted.get("data", {})
                    assert {key: live["spec"].get(key) for key in wanted.get("spec", {})} == wanted.get("spec", {})

    asyncio.run(life())
