"""What `/metrics` says of a ClusterState is what its status says: a real actor on a real pipeline, with the real metrics.

Aspects: conditions, scores and verdict after each way in which a pass ends or does not · before the first pass of a new life · for how long nothing was done of what is due.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from cvstate_operator import errors
from cvstate_operator.operator.actor import Actor
from cvstate_operator.operator.teller import Voice
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Metrics
from tests.unit.builders import CONFIG_MAP, OWNER, body
from tests.unit.operator.test_actor import Reporter, clusterstate, until
from tests.unit.reconcile.fakes import Stage

NUMBERS: Final = {"True": 1.0, "False": 0.0}
WELL: Final = {"Drifted": "False", "Stalled": "False"}
"""What conditions are while all is well that are not True then."""
_SAMPLE: Final = re.compile(r"cvstate_(\w+)\{(.*)\} (\S+)")


@dataclass
class Scene:
    """One ClusterState that is well, and where it is told of."""

    stage: Stage
    reporter: Reporter
    metrics: Metrics
    actor: Actor

    @property
    def status(self) -> Mapping[str, Any]:
        """As it was written last."""
        return self.reporter.statuses[-1]

    def condition(self, kind: str) -> Mapping[str, Any]:
        return next((one for one in self.status["conditions"] if one["type"] == kind), {})

    def samples(self) -> dict[str, dict[tuple[str, ...], float]]:
        """By metric: values by the labels kind and reason, as far as there are any."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for line in self.metrics.expose().decode().splitlines():
            if (match := _SAMPLE.fullmatch(line)) and 'name="state"' in match[2]:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
                found.setdefault(match[1], {})[tuple(labels[one] for one in ("kind", "reason") if one in labels)] = float(match[3])
        return found


def said(status: Mapping[str, Any]) -> dict[str, Mapping[tuple[str, ...], float]]:
    """What a status says, as metrics have to say it."""
    conditions, cv = {one["type"]: one for one in status["conditions"]}, status.get("cv") or {}
    told = {
        kind.lower(): {(): NUMBERS.get(conditions[kind]["status"] if kind in conditions else "", -1.0)}
        for kind in ("Ready", "Healthy", "Accepted")
    }
    told["confidence"] = {(): float(cv.get("confidence", 0))}
    names = {"score": "score", "configuration": "configuration_score", "vital": "vital_score"}
    return {
        **told,
        **{name: {(): float(cv[part])} if part in cv else {} for part, name in names.items()},
        "ready_reason": {(conditions["Ready"]["reason"],): 1.0},
        "condition_unmet_timestamp_seconds": {
            (kind, one["reason"]): pytest.approx(time.time(), abs=60)
            for kind, one in conditions.items()
            if kind != "Reconciling" and one["status"] != WELL.get(kind, "True")
        },
    }


def begin(stage: Stage, reporter: Reporter, metrics: Metrics, *, status: Mapping[str, Any] | None = None, **fields: Any) -> Actor:
    voice = Voice(
        reporter,  # type: ignore[arg-type]
        ClusterStateMeter(metrics, namespace="default", name="state"),
        stage.world.consents,
        TokenBucket(burst=1, per_second=1, now=0),
    )
    return Actor({**clusterstate(**fields), "status": status or {}}, pipeline=stage.pipeline, voice=voice, edges={})


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    stage, reporter, metrics = Stage(), Reporter(), Metrics()
    stage.git.commit(body("a", data={"colour": "blue"}))
    stage.index.claims.join(OWNER, stage.clock.monotonic())
    actor = begin(stage, reporter, metrics)
    await until(lambda: reporter.ready().get("status") == "True")
    yield Scene(stage, reporter, metrics, actor)
    await actor.close(seconds=1)


def breaks(error: Exception) -> Callable[[Scene, pytest.MonkeyPatch], Awaitable[None]]:
    """Passes break off by this error."""

    async def broken(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        async def run(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(scene.stage.pipeline, "run", run)
        reason = error.reason if isinstance(error, errors.CvstateError) else errors.InternalError.reason
        for _ in range(2):  # a first one that may pass by itself is told to nobody
            scene.actor.reconsider()
            await asyncio.sleep(0.02)
        await until(lambda: scene.condition("Ready").get("reason") == reason)

    return broken


async def source_refused(scene: Scene, _: pytest.MonkeyPatch) -> None:
    scene.stage.git.error = errors.AuthFailedError("the token is over")
    scene.actor.look_now()
    await until(lambda: scene.condition("SourceReady").get("reason") == "AuthFailed")


async def render_refused(scene: Scene, _: pytest.MonkeyPatch) -> None:
    scene.stage.git.commit(body("a", data={"colour": "red"}))
    scene.stage.git.build_error = errors.BuildFailedError("no such base")
    scene.actor.look_now()
    await until(lambda: scene.condition("Ready").get("reason") == "BuildFailed")


async def spec_refused(scene: Scene, _: pytest.MonkeyPatch) -> None:
    wrong = clusterstate(generation=2)
    wrong["spec"]["interval"] = "never"
    scene.actor.update(wrong)
    await until(lambda: scene.condition("Ready").get("reason") == "InvalidSpec")


async def nothing_heard(scene: Scene, _: pytest.MonkeyPatch) -> None:
    scene.stage.cluster.silent = {CONFIG_MAP.gvk.group_kind: errors.NetworkError("no connection")}
    scene.actor.reconsider()
    await until(lambda: scene.condition("Healthy").get("status") == "Unknown")


async def deleted(scene: Scene, _: pytest.MonkeyPatch) -> None:
    scene.stage.cluster.failures["a"] = [errors.ForbiddenError("may not delete it")]
    metadata = {"deletionTimestamp": "2026-01-01T12:00:00Z", "finalizers": ["cvstate.io/finalizer"], "resourceVersion": "2"}
    scene.actor.update(clusterstate(generation=2, metadata=metadata, deletion_policy="Delete"))
    await until(lambda: scene.condition("Ready").get("reason") == "Deleting")


async def suspended(scene: Scene, _: pytest.MonkeyPatch) -> None:
    scene.stage.git.commit(body("a", data={"colour": "red"}))
    scene.actor.update(clusterstate(generation=2, suspend=True))
    await until(lambda: scene.condition("Ready").get("reason") == "Suspended")


async def all_is_well(scene: Scene, _: pytest.MonkeyPatch) -> None:
    assert scene.condition("Healthy")["status"] == scene.condition("Accepted")["status"] == "True"


WAYS: Final = {
    "well": all_is_well,
    "target-unreachable": breaks(errors.TargetUnreachableError("no route")),
    "target-unauthorized": breaks(errors.UnauthorizedError("the token is over")),
    "network": breaks(errors.NetworkError("no route")),
    "no-right": breaks(errors.ForbiddenError("may not patch ClusterStates")),
    "fault-of-ours": breaks(ZeroDivisionError("nobody foresaw this")),
    "source-refused": source_refused,
    "render-refused": render_refused,
    "spec-refused": spec_refused,
    "nothing-heard": nothing_heard,
    "being-deleted": deleted,
    "suspended": suspended,
}


@pytest.mark.parametrize("way", WAYS)
async def test_metrics_say_what_the_status_says(scene: Scene, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    await WAYS[way](scene, monkeypatch)
    found, wanted = scene.samples(), said(scene.status)
    assert {name: found.get(name, {}) for name in wanted} == wanted


@pytest.mark.parametrize("way", ["target-unreachable", "spec-refused", "being-deleted"])
async def test_where_nothing_can_be_known_nothing_is_claimed(scene: Scene, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    score = scene.status["cv"]["score"]
    await WAYS[way](scene, monkeypatch)
    found = scene.samples()
    assert (found["accepted"][()], found["healthy"][()], found["confidence"][()]) == (-1, -1, 0)
    assert found["score"][()] == score, "the score is the one that was known last"


async def test_a_new_life_says_what_the_status_says_before_its_first_pass() -> None:
    stage, reporter, metrics = Stage(), Reporter(), Metrics()
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = [
        {"type": kind, "status": status, "reason": "TargetUnreachable", "lastTransitionTime": moment, "message": ""}
        for kind, status in (("Ready", "False"), ("Healthy", "Unknown"), ("Accepted", "Unknown"))
    ]
    status = {"conditions": conditions, "cv": {"score": 90, "confidence": 0, "configuration": 95, "vital": 90}}
    stage.git.commit(body("a", data={"colour": "blue"}))
    actor = begin(stage, reporter, metrics, status=status)
    found, wanted = Scene(stage, reporter, metrics, actor).samples(), said(status)
    await actor.close(seconds=1)
    assert {name: found.get(name, {}) for name in wanted} == wanted


# -- what is due -------------------------------------------------------------------------------------------------------


async def test_while_nothing_is_due_nothing_is_overdue(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.sleep(0)
    now = time.monotonic()
    for later in (0.0, 30.0):  # the shortest interval of a source is a minute here, less its jitter
        monkeypatch.setattr("cvstate_operator.operator.actor.time.monotonic", lambda later=later: now + later)
        assert scene.actor.overdue_seconds == 0


async def test_an_interval_that_is_over_without_a_pass_is_overdue(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr("cvstate_operator.operator.actor.time.monotonic", lambda: now + 7200)
    assert 7200 - 11 * 60 < scene.actor.overdue_seconds < 7200, "its due moments are a minute and ten minutes from now"


async def hang(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a pass begin that does not end."""
    begun = asyncio.Event()

    async def run(*_: Any, **__: Any) -> Any:
        begun.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(scene.stage.pipeline, "run", run)
    scene.actor.reconsider()
    await begun.wait()


async def test_a_pass_that_hangs_is_overdue_since_it_began(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await hang(scene, monkeypatch)
    now = time.monotonic()
    monkeypatch.setattr("cvstate_operator.operator.actor.time.monotonic", lambda: now + 40)
    assert scene.actor.overdue_seconds == pytest.approx(40, abs=2)


async def test_a_pass_that_goes_on_writing_is_not_overdue(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await hang(scene, monkeypatch)
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 40)
    scene.actor._meter.changed(kind="ConfigMap", action="create", result="ok")
    assert scene.actor.overdue_seconds < 2


async def test_a_spec_that_is_refused_leaves_nothing_due(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.actor.reconsider()
    await spec_refused(scene, monkeypatch)
    refused = 'cvstate_reconcile_total{name="state",namespace="default",result="InvalidSpec"} '
    before = scene.metrics.expose().decode().partition(refused)[2].partition("\n")[0]
    await asyncio.sleep(0.05)
    assert scene.metrics.expose().decode().partition(refused)[2].partition("\n")[0] == before, "it is refused once"
    assert scene.actor.overdue_seconds == 0
