"""Revisions that do not become healthy: rollback and history in passes of the pipeline.

Aspects: when a revision is given up, and what is applied instead · commits that change nothing · stateful kinds stay, and are held to what
they were applied from · the next commit is taken · a closed window holds it · what a
person rejects or releases · what the history tells · restarts.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.vital.health import lapse
from cvstate_operator.vital.verdicts import verdict
from tests.unit.builders import DEPLOYMENT, STATEFUL_SET, body, problem, ref
from tests.unit.reconcile.fakes import Stage, actions, spec

WEB, DB = ref("web", of=DEPLOYMENT), ref("db", of=STATEFUL_SET)
ROLLBACK: dict[str, Any] = {"rollback": {"onUnhealthyFor": "5m"}}


def web(image: str = "good") -> dict[str, Any]:
    return body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": image})


def db(image: str = "good") -> dict[str, Any]:
    return body("db", of=STATEFUL_SET, spec={"replicas": 1, "image": image})


def image(stage: Stage, name: str = "web") -> str:
    return str(stage.cluster.objects[WEB if name == "web" else DB]["spec"]["image"])


def outcomes(stage: Stage) -> list[str]:
    return [entry["outcome"] for entry in stage.status["history"]]


@pytest.fixture
async def stage() -> Stage:
    """A good revision is applied and healthy; Pods of images that are bad never come up."""
    stage = Stage()
    stage.spec = spec(**ROLLBACK)
    stage.cluster.comes_up = lambda live: not live["spec"]["image"].startswith("bad")
    await stage.commit(web(), db())
    return stage


async def give_up(stage: Stage, outcome: Outcome) -> Outcome:
    """The time of the revision runs out; the pass that gives it up is followed by the one that rolls back."""
    outcome = await stage.wait(outcome)
    assert outcome.next_pass_at == stage.clock.seconds
    return await stage.run()


async def settle(stage: Stage) -> Outcome:
    """What is ready again after it was degraded has to stay so for a while before it counts; and then the whole, before it is acceptable."""
    for seconds in (lapse.SETTLE_SECONDS, verdict.SETTLE_SECONDS):
        stage.clock.seconds += seconds
        outcome = await stage.run()
    return outcome


async def test_a_revision_that_is_healthy_in_time_stays(stage: Stage) -> None:
    outcome = await stage.commit(web("better"), db())
    assert outcomes(stage) == ["Healthy", "Healthy"]
    stage.clock.seconds += 3600
    stage.cluster.bring_up(WEB, is_up=False)
    outcome = await stage.run(full=True)
    assert (image(stage), outcome.quarantined, stage.condition("Healthy")) == ("better", {}, ("False", "Progressing"))
    outcome = await stage.wait(outcome)
    assert (image(stage), outcome.quarantined, stage.condition("Healthy")) == ("better", {}, ("False", "Degraded"))


async def test_a_revision_that_does_not_become_healthy_is_rolled_back_and_quarantined(stage: Stage) -> None:
    outcome = await stage.commit(web("bad"), db())
    bad = stage.git.head
    assert bad is not None
    assert (image(stage), outcome.next_pass_at) == ("bad", stage.clock.seconds + 300)
    stage.clock.seconds += 299
    await stage.run(full=True)
    assert image(stage) == "bad"
    outcome = await give_up(stage, await stage.run())
    assert (actions(outcome), image(stage)) == ({"web": Action.UPDATE}, "good")
    assert list(outcome.quarantined) == [bad.commit]
    assert stage.ready() == ("False", "RolledBack")
    assert "not healthy within 5m" in stage.message()
    assert outcome.history[1].evidence == ("apps/Deployment/default/web: 0 of 1 replicas are ready",)
    assert (await settle(stage)).next_pass_at is None


async def test_while_it_is_rolled_back_nothing_moves(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    await settle(stage)
    for full in (False, True):
        stage.clock.seconds += 3600
        outcome = await stage.run(full=full)
        assert (outcome.done, image(stage), stage.ready()) == ((), "good", ("False", "RolledBack"))
        assert outcome.next_pass_at is None


async def test_drift_is_repaired_towards_the_revision_that_it_was_rolled_back_to(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    stage.cluster.set_field(WEB, "spec/image", "mine")
    await stage.run()
    assert image(stage) == "good"


async def test_what_a_bad_revision_made_goes_with_it(stage: Stage) -> None:
    await stage.commit(web("bad"), db(), body("extra"))
    await stage.settle(await give_up(stage, await stage.run()))
    assert stage.names() == {"web", "db"}


async def test_stateful_kinds_are_left_as_they_are(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db("newer")))
    assert (image(stage), image(stage, "db")) == ("good", "newer")
    outcome = await stage.run(full=True)
    assert (outcome.done, image(stage, "db")) == ((), "newer")


async def test_a_stateful_set_that_a_bad_revision_made_is_kept(stage: Stage) -> None:
    new = body("fresh", of=STATEFUL_SET, spec={"replicas": 1, "image": "x"})
    await stage.settle(await give_up(stage, await stage.commit(web("bad"), db(), new)))
    assert "fresh" in stage.names()


async def test_stateful_kinds_go_back_if_the_spec_says_so(stage: Stage) -> None:
    stage.spec = spec(rollback={"onUnhealthyFor": "5m", "excludeKinds": []})
    await give_up(stage, await stage.commit(web("bad"), db("newer")))
    assert image(stage, "db") == "good"


async def test_the_next_commit_is_taken(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    outcome = await stage.commit(web("best"), db())
    assert (image(stage), outcome.is_converged, outcome.quarantined) == ("best", True, {})
    assert stage.ready() == ("True", "Reconciled")


async def test_a_next_commit_that_is_bad_too_is_rolled_back_to_the_last_good_one(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    await give_up(stage, await stage.commit(web("bad-2"), db()))
    assert (image(stage), stage.ready()) == ("good", ("False", "RolledBack"))


async def test_without_a_good_revision_nothing_is_given_up() -> None:
    stage = Stage()
    stage.spec = spec(**ROLLBACK)
    stage.cluster.comes_up = lambda live: False
    outcome = await stage.wait(await stage.commit(web("bad")))
    assert (outcome.next_pass_at, stage.condition("Healthy")) == (None, ("False", "Degraded"))
    stage.clock.seconds += 3600
    outcome = await stage.run(full=True)
    assert (image(stage), outcome.quarantined) == ("bad", {})


async def test_without_the_setting_nothing_is_given_up(stage: Stage) -> None:
    stage.spec = spec()
    outcome = await stage.commit(web("bad"), db())
    assert stage.condition("Healthy") == ("False", "Progressing")
    outcome = await stage.wait(outcome)
    assert outcome.next_pass_at is None
    stage.clock.seconds += 3600
    await stage.run(full=True)
    assert (image(stage), stage.condition("Healthy")) == ("bad", ("False", "Degraded"))


async def test_a_revision_that_cannot_be_applied_is_given_up_too(stage: Stage) -> None:
    stage.cluster.fixed["ConfigMap"] = ("data", "colour")
    await stage.commit(web("next"), db(), body("a", data={"colour": "blue"}))
    stage.clock.seconds += 1
    outcome = await stage.commit(web("next"), db(), body("a", data={"colour": "red"}))
    assert [p.reason for p in outcome.problems] == ["Immutable"]
    while not outcome.quarantined:
        assert outcome.next_pass_at is not None
        stage.clock.seconds = max(outcome.next_pass_at, stage.clock.seconds)
        outcome = await stage.run()
    outcome = await stage.run()
    assert (outcome.problems, stage.ready()) == ((), ("False", "RolledBack"))


async def test_a_closed_window_for_rollbacks_holds_it_until_it_opens(stage: Stage) -> None:
    closed = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC", "actions": ["Rollback"]}
    stage.spec = spec(windows=[closed], **ROLLBACK)
    outcome = await give_up(stage, await stage.commit(web("bad"), db()))
    assert image(stage) == "bad"
    outcome = await stage.run(full=True)
    assert (image(stage), outcome.next_pass_at) == ("bad", 3600)
    good = stage.status["lastGoodRevision"]
    assert stage.ready() == ("False", "Quarantined")
    assert f"to go back to {good} waits (Rollback is closed until 2026-01-01T01:00Z" in stage.message()
    assert "gone back to" not in stage.message()
    await stage.wait(outcome)
    assert image(stage) == "good"


async def test_a_rollback_survives_a_restart(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db("newer")))
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert (outcome.done, stage.ready()) == ((), ("False", "RolledBack"))
    assert (image(stage), image(stage, "db")) == ("good", "newer")


async def test_a_quarantine_survives_a_restart_with_the_source_away(stage: Stage) -> None:
    outcome = await give_up(stage, await stage.commit(web("bad"), db()))
    stage.git.kept, stage.git.error = dict(stage.git.pushed), errors.FetchFailedError("refused")
    stage.restart(status=stage.status)
    await stage.look()
    again = await stage.run(full=True)
    assert (again.quarantined, again.done, image(stage)) == (outcome.quarantined, (), "good")
    stage.git.error = None
    await stage.look()
    again = await stage.run()
    assert (again.quarantined, again.done, stage.ready()) == (outcome.quarantined, (), ("False", "RolledBack"))


async def test_a_restart_with_the_source_away_goes_back_to_no_older_commit(stage: Stage) -> None:
    stage.cluster.failures["db"] = [errors.InvalidError("no")] * 9
    await stage.commit(web("better"), db("wrong"))
    assert image(stage) == "better"
    stage.git.kept, stage.git.error = dict(stage.git.pushed), errors.FetchFailedError("refused")
    stage.restart(status=stage.status)
    await stage.look()
    await stage.run(full=True)
    assert image(stage) == "better"


async def test_a_restart_gives_a_revision_its_whole_time_again(stage: Stage) -> None:
    await stage.commit(web("bad"), db())
    stage.clock.seconds += 200
    stage.restart(status=stage.status)
    await stage.look()
    restarted = stage.clock.seconds
    outcome = await stage.run(full=True)
    while not outcome.quarantined:
        outcome = await stage.wait(outcome)
    await stage.run()
    assert (stage.clock.seconds, image(stage)) == (restarted + 300, "good")


# -- what is left alone ------------------------------------------------------------------------------------------------


def drop(stage: Stage, name: str = "db") -> None:
    """Somebody deletes a StatefulSet."""
    stage.cluster.delete(ref(name, of=STATEFUL_SET))


async def roll_back(stage: Stage, *more: dict[str, Any]) -> Outcome:
    """A revision with a newer StatefulSet, and `more`, is given up."""
    return await stage.settle(await give_up(stage, await stage.commit(web("bad"), db("newer"), *more)))


async def test_what_is_left_alone_is_named_with_its_revision(stage: Stage) -> None:
    await roll_back(stage)
    assert stage.git.head is not None
    assert f"; left at {stage.git.head.revision}: apps/StatefulSet/default/db. Push" in stage.message()
    assert "not compared" not in stage.message()


async def test_drift_of_what_is_left_alone_is_repaired_towards_what_it_was_applied_from(stage: Stage) -> None:
    await roll_back(stage)
    stage.cluster.set_field(DB, "spec/image", "evil")
    outcome = await stage.run()
    assert (actions(outcome), image(stage, "db")) == ({"db": Action.REPAIR}, "newer")


async def test_drift_of_what_is_left_alone_is_told_where_it_is_not_repaired(stage: Stage) -> None:
    await roll_back(stage)
    stage.spec = spec(drift={"rules": [{"kinds": ["StatefulSet"], "action": "Alert"}]}, **ROLLBACK)
    stage.cluster.set_field(DB, "spec/image", "evil")
    outcome = await stage.run()
    assert (image(stage, "db"), stage.condition("Drifted")) == ("evil", ("True", "DriftDetected"))
    assert [one for one, _ in outcome.drift] == [DB]


async def test_what_is_left_alone_is_made_anew_from_what_it_was_applied_from(stage: Stage) -> None:
    await roll_back(stage)
    drop(stage)
    outcome = await stage.run()
    assert (actions(outcome), image(stage, "db")) == ({"db": Action.REPAIR}, "newer")


@pytest.mark.parametrize("is_away", [False, True], ids=["git-there", "git-away"])
async def test_what_is_left_alone_is_known_after_a_restart(stage: Stage, *, is_away: bool) -> None:
    await roll_back(stage)
    stage.restart(status=stage.status)
    stage.git.kept = dict(stage.git.pushed)
    stage.git.error = errors.FetchFailedError("away") if is_away else None
    await stage.look()
    await stage.run(full=True)
    stage.cluster.set_field(DB, "spec/image", "evil")
    await stage.run()
    assert image(stage, "db") == "newer"
    drop(stage)
    await stage.run()
    assert (image(stage), image(stage, "db")) == ("good", "newer")
    stage.git.error = None
    await stage.look()
    await stage.run()
    assert (image(stage), image(stage, "db"), stage.ready()) == ("good", "newer", ("False", "RolledBack"))


async def test_what_is_left_alone_and_vanished_while_nobody_looked_is_made_anew_after_a_restart(stage: Stage) -> None:
    await roll_back(stage)
    drop(stage)
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert (actions(outcome), image(stage, "db")) == ({"db": Action.REPAIR}, "newer")


async def test_what_only_the_bad_revision_declares_is_repaired_and_made_anew_as_long_as_it_was_seen(stage: Stage) -> None:
    new = body("fresh", of=STATEFUL_SET, spec={"replicas": 1, "image": "x"})
    await roll_back(stage, new)
    fresh = ref("fresh", of=STATEFUL_SET)
    assert "apps/StatefulSet/default/db, apps/StatefulSet/default/fresh" in stage.message()
    stage.cluster.set_field(fresh, "spec/image", "evil")
    await stage.run()
    assert stage.cluster.objects[fresh]["spec"]["image"] == "x"
    drop(stage, "fresh")
    await stage.run()
    assert "fresh" in stage.names()
    drop(stage, "fresh")
    stage.restart(status=stage.status)
    await stage.look()
    await stage.run(full=True)
    assert "fresh" not in stage.names()
    assert "fresh" not in stage.message()


async def test_a_bad_revision_brings_nothing_that_it_did_not_come_to(stage: Stage) -> None:
    late = {"annotations": {"cvstate.io/wave": "1"}}
    new = body("fresh", of=STATEFUL_SET, spec={"replicas": 1, "image": "x"})
    newer = db("newer")
    for one in (new, newer):
        one["metadata"].update(late)
    outcome = await give_up(stage, await stage.commit(web("bad"), newer, new))
    assert (image(stage), image(stage, "db"), stage.names(), outcome.held.left) == ("good", "good", {"web", "db"}, ())
    stage.cluster.set_field(DB, "spec/image", "evil")
    await stage.run()
    assert image(stage, "db") == "good"
    stage.restart(status=stage.status)
    await stage.look()
    await stage.run(full=True)
    assert (stage.names(), image(stage, "db")) == ({"web", "db"}, "good")


async def test_what_the_bad_revision_removed_is_as_the_good_one_declares_it(stage: Stage) -> None:
    stage.spec = spec(prune=False, **ROLLBACK)
    await give_up(stage, await stage.commit(web("bad")))
    stage.cluster.set_field(DB, "spec/image", "evil")
    await stage.run()
    assert image(stage, "db") == "good"
    drop(stage)
    outcome = await stage.run()
    assert (image(stage, "db"), outcome.held.left) == ("good", ())


async def test_what_was_given_up_and_cannot_be_rendered_is_told_by_name_and_not_touched(stage: Stage) -> None:
    await roll_back(stage)
    assert stage.git.head is not None
    stage.git.unbuilt.add(stage.git.head.commit)
    stage.restart(status=stage.status)
    await stage.look()
    stage.cluster.set_field(DB, "spec/image", "evil")
    await stage.run(full=True)
    assert (image(stage, "db"), stage.condition("Drifted")[0]) == ("evil", "Unknown")
    assert "is not at hand: apps/StatefulSet/default/db" in stage.message()
    drop(stage)
    await stage.run()
    assert (stage.names(), stage.condition("Drifted")[0]) == ({"web"}, "Unknown")
    stage.git.unbuilt.clear()
    stage.clock.seconds += 3600
    await stage.run(full=True)
    assert (image(stage, "db"), stage.condition("Drifted")[0]) == ("newer", "False")


async def test_what_is_of_a_third_revision_is_told_by_name_and_not_touched(stage: Stage) -> None:
    await roll_back(stage)
    await give_up(stage, await stage.commit(web("bad-2"), problems=[problem()]))
    stage.cluster.set_field(DB, "spec/image", "evil")
    outcome = await stage.run()
    assert (image(stage), image(stage, "db"), stage.condition("Drifted")[0]) == ("good", "evil", "Unknown")
    assert (outcome.held.left, outcome.held.uncompared) == ((), (DB,))
    assert "is not at hand: apps/StatefulSet/default/db" in stage.message()
    outcome = await stage.commit(web("best"), db("best"))
    assert (image(stage, "db"), outcome.held.uncompared, stage.ready()) == ("best", (), ("True", "Reconciled"))


async def test_what_a_second_bad_revision_did_not_come_to_is_told_by_name_and_not_touched(stage: Stage) -> None:
    await roll_back(stage)
    third = db("third")
    third["metadata"]["annotations"] = {"cvstate.io/wave": "1"}
    outcome = await give_up(stage, await stage.commit(web("bad-2"), third))
    assert (image(stage), image(stage, "db")) == ("good", "newer")
    assert (outcome.held.left, outcome.held.uncompared) == ((), (DB,))


async def test_a_revision_that_was_given_up_before_another_one_is_recalled(stage: Stage) -> None:
    await roll_back(stage)
    between = stage.git.head
    stage.git.commit(web("next"), db("newest"))
    assert stage.git.head is not None
    assert between is not None
    stage.told(rejected=stage.git.head.commit)
    await stage.look()
    await stage.run()
    assert (image(stage), image(stage, "db")) == ("good", "newer")
    assert f"left at {between.revision}: apps/StatefulSet/default/db" in stage.message()
    drop(stage)
    await stage.run()
    assert image(stage, "db") == "newer"


async def test_a_revision_that_cannot_be_recalled_is_looked_for_again_by_and_by(stage: Stage) -> None:
    await roll_back(stage)
    between = stage.git.head
    assert between is not None
    stage.git.commit(web("next"), db("newest"))
    assert stage.git.head is not None
    stage.told(rejected=stage.git.head.commit)
    del stage.git.pushed[between.commit]
    await stage.look()
    outcome = await stage.run()
    assert (image(stage, "db"), outcome.held.uncompared) == ("newer", (DB,))
    stage.git.pushed[between.commit] = between
    outcome = await stage.wait(outcome)
    assert (outcome.held.uncompared, outcome.held.left) == ((), (DB,))
    assert (await settle(stage)).next_pass_at is None


async def test_of_a_commit_that_was_rejected_before_it_was_begun_nothing_is_taken(stage: Stage) -> None:
    stage.git.commit(web("next"), db("newer"))
    assert stage.git.head is not None
    stage.told(rejected=stage.git.head.commit)
    await stage.look()
    await stage.run()
    drop(stage)
    outcome = await stage.run()
    assert (image(stage, "db"), outcome.held.left, "left at" in stage.message()) == ("good", (), False)


@pytest.mark.parametrize("limit", [2, 10])
async def test_what_a_person_rolls_back_is_left_in_the_same_way(stage: Stage, limit: int) -> None:
    stage.spec = spec(history={"limit": limit})
    await stage.commit(web("next"), db("newer"))
    assert stage.git.head is not None
    stage.told(rejected=stage.git.head.commit)
    await stage.run()
    drop(stage)
    await stage.run()
    assert (image(stage), image(stage, "db")) == ("good", "newer")
    stage.told()
    outcome = await stage.run()
    assert (image(stage), outcome.is_converged) == ("next", True)


async def test_the_next_good_commit_ends_what_was_left_alone(stage: Stage) -> None:
    await roll_back(stage, body("extra"))
    assert stage.pipeline.store_keys >= {"key-0", "key-1", "key-2"}
    await stage.commit(web(), db())
    assert (image(stage, "db"), stage.ready()) == ("good", ("True", "Reconciled"))
    assert "key-2" not in stage.pipeline.store_keys


async def test_a_lost_body_of_what_was_left_alone_is_rendered_again(stage: Stage) -> None:
    await roll_back(stage)
    drop(stage)
    stage.git.lost.add("db")
    before = stage.git.renders
    outcome = await stage.wait(await stage.run())
    assert (image(stage, "db"), stage.git.renders, outcome.held.uncompared) == ("newer", before + 2, ())
    drop(stage)
    assert stage.git.head is not None
    stage.git.unbuilt.add(stage.git.head.commit)
    stage.git.lost.add("db")
    outcome = await stage.wait(await stage.run())
    assert (stage.names(), outcome.held.uncompared) == ({"web"}, (DB,))


async def test_a_rollback_after_which_everything_stays_is_begun_like_any_other(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web(), db("bad")))
    assert (image(stage, "db"), stage.ready()) == ("bad", ("False", "RolledBack"))
    assert stage.status["history"][0]["startedAt"] == stage.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def test_a_rollback_costs_one_render_more_and_then_none(stage: Stage) -> None:
    outcome = await stage.commit(web("bad"), db("newer"))
    before = stage.git.renders
    await give_up(stage, outcome)
    assert stage.git.renders == before + 2
    await stage.run(full=True)
    assert stage.git.renders == before + 2


async def test_the_digest_in_a_rollback_is_of_what_is_to_be_in_the_cluster_also_after_a_restart(stage: Stage) -> None:
    good = (await stage.run()).digest
    found = (await roll_back(stage)).digest
    stage.restart(status=stage.status)
    await stage.look()
    assert (await stage.run(full=True)).digest == found != good


# -- commits that change nothing ---------------------------------------------------------------------------------------


async def test_a_commit_that_changes_nothing_is_not_blamed_for_what_was_there(stage: Stage) -> None:
    stage.cluster.bring_up(WEB, is_up=False)
    outcome = await stage.commit(web(), db())
    assert outcomes(stage) == ["Healthy", "Healthy"]
    assert stage.git.head is not None
    assert stage.status["lastGoodRevision"] == stage.git.head.revision
    stage.clock.seconds += 3600
    outcome = await stage.run(full=True)
    assert outcome.next_pass_at is None
    assert (outcome.quarantined, stage.ready(), stage.condition("Healthy")[0]) == ({}, ("True", "Reconciled"), "False")


async def test_a_commit_that_changes_nothing_is_not_blamed_after_a_restart_either(stage: Stage) -> None:
    stage.restart(status=stage.status)
    stage.cluster.bring_up(WEB, is_up=False)
    stage.git.commit(web(), db())
    await stage.look()
    outcome = await stage.wait(await stage.run(full=True))
    assert (outcomes(stage), outcome.next_pass_at) == (["Healthy", "Healthy"], None)


async def test_commits_that_change_nothing_do_not_keep_a_bad_one(stage: Stage) -> None:
    began = stage.clock.seconds
    await stage.commit(web("bad"), db())
    for _ in range(4):
        stage.clock.seconds += 60
        outcome = await stage.commit(web("bad"), db())
        assert outcome.next_pass_at == began + 300
    await give_up(stage, outcome)
    assert (image(stage), stage.ready()) == ("good", ("False", "RolledBack"))


async def test_a_commit_that_changes_nothing_does_not_put_off_a_rollback_that_waits(stage: Stage) -> None:
    closed = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC", "actions": ["Rollback"]}
    stage.spec = spec(windows=[closed], **ROLLBACK)
    await give_up(stage, await stage.commit(web("bad"), db()))
    await stage.commit(web("bad"), db())
    assert stage.git.head is not None
    assert list((await stage.run()).quarantined) == [stage.git.head.commit]
    stage.clock.seconds = 3600
    await stage.run(full=True)
    assert (image(stage), stage.ready()) == ("good", ("False", "RolledBack"))


async def test_time_in_which_nothing_might_be_written_stays_without_count_over_a_commit_that_changes_nothing(stage: Stage) -> None:
    began = stage.clock.seconds
    await stage.commit(web("bad"), db())
    stage.spec = spec(suspend=True, **ROLLBACK)
    await stage.run()
    stage.clock.seconds += 100
    stage.spec = spec(**ROLLBACK)
    await stage.run()
    outcome = await stage.commit(web("bad"), db())
    while not outcome.quarantined:
        outcome = await stage.wait(outcome)
    assert stage.clock.seconds == began + 400


async def test_a_commit_that_takes_a_bad_one_back_is_good_at_once(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    await settle(stage)
    stage.cluster.bring_up(WEB, is_up=False)
    await stage.commit(web(), db())
    assert (outcomes(stage)[0], stage.ready()) == ("Healthy", ("True", "Reconciled"))


async def test_a_commit_that_breaks_a_file_changes_something_although_no_object_does(stage: Stage) -> None:
    outcome = await stage.commit(web(), db(), problems=[problem()])
    assert outcomes(stage) == ["Applying", "Healthy"]
    await give_up(stage, outcome)
    assert stage.ready() == ("False", "RolledBack")


async def test_a_commit_whose_render_was_lost_is_not_taken_for_the_one_before(stage: Stage) -> None:
    stage.git.commit(web("bad"), db())
    stage.git.build_error = errors.CacheLostError("damaged")
    await stage.look()
    outcome = await stage.run()
    assert stage.git.head is not None
    assert (outcomes(stage), outcome.artifact == stage.git.head) == (["Healthy"], False)
    assert stage.status["lastAppliedRevision"] != stage.git.head.revision
    stage.git.build_error = None
    await stage.look()
    await give_up(stage, await stage.run())
    assert (image(stage), stage.ready()) == ("good", ("False", "RolledBack"))


# -- what people say ---------------------------------------------------------------------------------------------------


async def test_a_commit_that_a_person_rejects_is_rolled_back(stage: Stage) -> None:
    await stage.commit(web("next"), db())
    assert stage.git.head is not None
    stage.told(rejected=stage.git.head.commit)
    await stage.run()
    assert (image(stage), stage.ready()) == ("good", ("False", "RolledBack"))
    assert "a person rejected it" in stage.message()


async def test_a_rejection_that_is_taken_back_brings_the_commit_again(stage: Stage) -> None:
    await stage.commit(web("next"), db())
    assert stage.git.head is not None
    stage.told(rejected=stage.git.head.commit)
    await stage.run()
    stage.told()
    await stage.run()
    assert (image(stage), stage.ready()) == ("next", ("True", "Reconciled"))


async def test_a_commit_that_is_released_is_given_another_try(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    assert stage.git.head is not None
    stage.cluster.comes_up = lambda live: True
    stage.told(released=stage.git.head.commit)
    outcome = await stage.run()
    assert (image(stage), outcome.quarantined, stage.ready()) == ("bad", {}, ("True", "Reconciled"))


async def test_a_commit_that_was_released_and_is_bad_again_is_given_up_again(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    assert stage.git.head is not None
    stage.told(released=stage.git.head.commit)
    outcome = await stage.run()
    assert image(stage) == "bad"
    await give_up(stage, outcome)
    assert image(stage) == "good"
    # The annotation is still there: it must not release the commit over and over again.
    stage.told(released=stage.git.head.commit)
    await stage.run()
    assert image(stage) == "good"


async def test_a_rejection_is_of_exact_commits_only(stage: Stage) -> None:
    await stage.commit(web("next"), db())
    assert stage.git.head is not None
    for words in ("", "main", stage.git.head.commit[:12], ",,", "0" * 41):
        stage.told(rejected=words)
        await stage.run(full=True)
        assert image(stage) == "next"


async def test_a_commit_is_rejected_before_anything_of_it_is_written(stage: Stage) -> None:
    stage.git.commit(web("next"), db())
    assert stage.git.head is not None
    stage.told(rejected=stage.git.head.commit)
    await stage.look()
    outcome = await stage.run()
    assert (outcome.done, image(stage)) == ((), "good")


# -- history -----------------------------------------------------------------------------------------------------------


async def test_the_history_tells_what_became_of_each_revision_newest_first(stage: Stage) -> None:
    await stage.commit(web("next"), db())
    await stage.commit(web("bad"), db())
    assert outcomes(stage) == ["Applied", "Healthy", "Healthy"]
    await give_up(stage, await stage.run())
    assert outcomes(stage) == ["Applied", "Unhealthy", "Healthy", "Healthy"]
    await settle(stage)
    assert outcomes(stage) == ["Healthy", "Unhealthy", "Healthy", "Healthy"]
    assert stage.status["lastGoodRevision"] == stage.status["history"][0]["revision"]
    assert stage.status["lastGoodRevision"] == stage.status["lastAppliedRevision"]


async def test_a_revision_that_was_replaced_before_it_was_healthy_is_superseded(stage: Stage) -> None:
    await stage.commit(web("bad"), db())
    await stage.commit(web("best"), db())
    assert outcomes(stage) == ["Healthy", "Superseded", "Healthy"]


async def test_the_history_is_as_long_as_the_spec_says(stage: Stage) -> None:
    stage.spec = spec(history={"limit": 3}, **ROLLBACK)
    for number in range(5):
        await stage.commit(web(f"v{number}"), db())
    assert outcomes(stage) == ["Healthy"] * 3


async def test_a_good_revision_is_not_forgotten_however_many_bad_ones_follow(stage: Stage) -> None:
    stage.spec = spec(history={"limit": 2}, rollback={"onUnhealthyFor": "5m"})
    for number in range(4):
        outcome = await stage.commit(web(f"bad-{number}"), db())
    await give_up(stage, outcome)
    assert image(stage) == "good"


async def test_the_history_goes_on_over_a_restart(stage: Stage) -> None:
    before = stage.status["history"]
    stage.restart(status=stage.status)
    await stage.look()
    await stage.run(full=True)
    assert stage.status["history"] == before
