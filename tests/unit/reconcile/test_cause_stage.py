"""Causes: which Pods keep workloads from being ready, and how often that is looked for.

Aspects: nothing is asked while all is well, nor at once · the worst few · again after a while · only another cause is news · what is over is forgotten ·
what cannot be read · size.
"""

from datetime import timedelta

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.reconcile import cause_stage
from cvstate_operator.reconcile.cause_stage import CauseStage
from cvstate_operator.reconcile.health import Health
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.health.lapses import Lapses
from cvstate_operator.vital.health.state import Reason, failed, in_progress, unknown
from tests.unit.builders import DEPLOYMENT, body, ref
from tests.unit.reconcile.fakes import Stage

WEB = ref("web", of=DEPLOYMENT)
CRASH = Child("Pod default/web-x", "web", "container", "CrashLoopBackOff", "exit code 1", None, 3)
BROKEN = failed(Reason.CRASH_LOOP, "crashes")


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.commit(*(body(name, of=DEPLOYMENT, spec={"replicas": 1}) for name in ("web", *(f"w{n}" for n in range(12)))))
    stage.causes.children = (CRASH,)
    stage.causes.asked.clear()
    return stage


def sick(stage: Stage, *refs: ObjectRef, lapses: Lapses | None = None, is_failed: bool = True) -> Health:
    """These are not ready, as of now."""
    lapses = lapses or Lapses(300.0)
    for one in refs:
        lapses.note(one, BROKEN if is_failed else in_progress(Reason.REPLICAS_NOT_READY, "0 of 1"), stage.clock.now())
    return Health(worst=lapses.worst(), lapses=lapses.open)


async def test_while_all_is_well_nothing_is_asked_for(stage: Stage) -> None:
    causes = CauseStage(stage.world)
    causes.wants(Health())
    assert causes.ask_at is None
    assert not await causes.ask()
    assert stage.causes.asked == []


async def test_what_failed_is_looked_into_after_a_moment_and_told(stage: Stage) -> None:
    causes = CauseStage(stage.world)
    causes.wants(sick(stage, WEB))
    assert causes.ask_at == stage.clock.seconds + cause_stage.FIRST_SECONDS
    assert not await causes.ask()
    stage.clock.seconds += cause_stage.FIRST_SECONDS
    assert await causes.ask()
    assert "CrashLoopBackOff" in causes.causes[WEB]


async def test_what_is_on_its_way_is_left_alone_for_longer(stage: Stage) -> None:
    causes = CauseStage(stage.world)
    causes.wants(sick(stage, WEB, is_failed=False))
    assert causes.ask_at == stage.clock.seconds + cause_stage.PROGRESS_SECONDS


async def test_a_pass_that_finds_the_same_puts_nothing_off(stage: Stage) -> None:
    causes, lapses = CauseStage(stage.world), Lapses(300.0)
    health = sick(stage, WEB, lapses=lapses)
    causes.wants(health)
    at = causes.ask_at
    for _ in range(5):
        stage.clock.seconds += 0.1
        causes.wants(health)
    assert causes.ask_at == at


async def test_it_is_looked_into_again_after_a_while_and_the_same_cause_is_no_news(stage: Stage) -> None:
    causes, health = CauseStage(stage.world), sick(stage, WEB)
    causes.wants(health)
    stage.clock.seconds += cause_stage.FIRST_SECONDS
    assert await causes.ask()
    causes.wants(health)
    assert causes.ask_at == stage.clock.seconds + cause_stage.AGAIN_SECONDS
    stage.clock.seconds += cause_stage.AGAIN_SECONDS
    assert not await causes.ask()
    assert causes.ask_at == stage.clock.seconds + 2 * cause_stage.AGAIN_SECONDS, "what stays as it is is looked into less and less"
    stage.causes.children = (Child("Pod default/web-y", "web", "container", "OOMKilled", "", None, 4),)
    stage.clock.seconds += 2 * cause_stage.AGAIN_SECONDS
    assert await causes.ask()
    assert "OOMKilled" in causes.causes[WEB]


async def test_only_the_worst_few_are_looked_into(stage: Stage) -> None:
    causes = CauseStage(stage.world)
    causes.wants(sick(stage, *(ref(f"w{n}", of=DEPLOYMENT) for n in range(12))))
    stage.clock.seconds += 10
    await causes.ask()
    assert len(stage.causes.asked) == cause_stage.MOST


async def test_the_cause_of_what_is_ready_again_is_forgotten(stage: Stage) -> None:
    causes, lapses = CauseStage(stage.world), Lapses(300.0)
    causes.wants(sick(stage, WEB, lapses=lapses))
    stage.clock.seconds += 10
    await causes.ask()
    lapses.note(WEB, None, stage.clock.now())
    causes.wants(Health(worst=lapses.worst(), lapses=lapses.open))
    assert (dict(causes.causes), causes.ask_at) == ({}, None)


async def test_what_is_missing_or_unknown_has_no_pods_to_ask(stage: Stage) -> None:
    causes, lapses = CauseStage(stage.world), Lapses(300.0)
    lapses.note_missing(WEB, stage.clock.now())
    lapses.note(ref("w1", of=DEPLOYMENT), unknown(Reason.MALFORMED, "odd"), stage.clock.now() + timedelta(seconds=1))
    causes.wants(Health(worst=lapses.worst(), lapses=lapses.open))
    assert causes.ask_at is None


async def test_what_cannot_be_read_says_why(stage: Stage) -> None:
    causes = CauseStage(stage.world)
    stage.causes.error = errors.ForbiddenError("may not list Pods\nin default")
    causes.wants(sick(stage, WEB))
    stage.clock.seconds += 10
    assert await causes.ask()
    assert "may not list Pods" in causes.causes[WEB]
    assert "\n" not in causes.causes[WEB]


async def test_one_that_is_ready_by_the_time_of_the_answer_gets_no_cause(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    causes = CauseStage(stage.world)
    causes.wants(sick(stage, WEB))
    stage.clock.seconds += 10

    async def slowly(*_: object) -> tuple[Child, ...]:
        causes.wants(Health())
        return (CRASH,)

    monkeypatch.setattr(stage.causes, "explain", slowly)
    assert not await causes.ask()
    assert dict(causes.causes) == {}


async def test_a_cause_is_one_short_line(stage: Stage) -> None:
    causes = CauseStage(stage.world)
    stage.causes.children = (Child("Pod default/x", "c\n", "container", "x" * 500, "y\n" * 4000, None, 1),) * 3
    causes.wants(sick(stage, WEB))
    stage.clock.seconds += 10
    await causes.ask()
    assert len(causes.causes[WEB]) <= cause_stage.CAUSE_CHARACTERS
    assert "\n" not in causes.causes[WEB]


async def test_in_passes_the_cause_comes_into_the_status_and_the_condition() -> None:
    stage = Stage()
    stage.causes.children = (CRASH,)
    stage.cluster.comes_up = lambda live: False
    await stage.commit(body("web", of=DEPLOYMENT, spec={"replicas": 1}))
    stage.clock.seconds += 301
    await stage.run()
    stage.clock.seconds += 10
    assert await stage.ask()
    await stage.run()
    assert "CrashLoopBackOff" in stage.message("Healthy")
    assert "CrashLoopBackOff" in stage.status["vital"]["unready"][0]["cause"]
