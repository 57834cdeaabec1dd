"""Revisions that do not become healthy: rollback and history in passes of the pipeline.

Aspects: when a revision is given up, and what is applied instead · commits that change nothing · stateful kinds stay · the next commit is taken · a closed window holds it · what a
person rejects or releases · what the history tells · restarts.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile.outcome import Outcome
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


async def test_a_revision_that_is_healthy_in_time_stays(stage: Stage) -> None:
    outcome = await stage.commit(web("better"), db())
    assert outcomes(stage) == ["Healthy", "Healthy"]
    stage.clock.seconds += 3600
    stage.cluster.bring_up(WEB, is_up=False)
    outcome = await stage.run(full=True)
    assert (image(stage), outcome.quarantined, stage.condition("Healthy")[0]) == ("better", {}, "False")


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
    assert outcome.next_pass_at is None


async def test_while_it_is_rolled_back_nothing_moves(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
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
    outcome = await stage.commit(web("bad"))
    assert outcome.next_pass_at is None
    stage.clock.seconds += 3600
    outcome = await stage.run(full=True)
    assert (image(stage), outcome.quarantined) == ("bad", {})


async def test_without_the_setting_nothing_is_given_up(stage: Stage) -> None:
    stage.spec = spec()
    outcome = await stage.commit(web("bad"), db())
    assert outcome.next_pass_at is None
    stage.clock.seconds += 3600
    await stage.run(full=True)
    assert (image(stage), stage.condition("Healthy")) == ("bad", ("False", "Progressing"))


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
    await stage.wait(outcome)
    assert image(stage) == "good"


async def test_a_rollback_survives_a_restart(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db("newer")))
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert (outcome.done, stage.ready()) == ((), ("False", "RolledBack"))
    assert (image(stage), image(stage, "db")) == ("good", "newer")


async def test_a_restart_gives_a_revision_its_whole_time_again(stage: Stage) -> None:
    await stage.commit(web("bad"), db())
    stage.clock.seconds += 200
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert outcome.next_pass_at == stage.clock.seconds + 300
    await give_up(stage, outcome)
    assert image(stage) == "good"


# -- commits that change nothing ---------------------------------------------------------------------------------------


async def test_a_commit_that_changes_nothing_is_not_blamed_for_what_was_there(stage: Stage) -> None:
    stage.cluster.bring_up(WEB, is_up=False)
    outcome = await stage.commit(web(), db())
    assert (outcomes(stage), outcome.next_pass_at) == (["Healthy", "Healthy"], None)
    assert stage.git.head is not None
    assert stage.status["lastGoodRevision"] == stage.git.head.revision
    stage.clock.seconds += 3600
    outcome = await stage.run(full=True)
    assert (outcome.quarantined, stage.ready(), stage.condition("Healthy")[0]) == ({}, ("True", "Reconciled"), "False")


async def test_a_commit_that_changes_nothing_is_not_blamed_after_a_restart_either(stage: Stage) -> None:
    stage.restart(status=stage.status)
    stage.cluster.bring_up(WEB, is_up=False)
    stage.git.commit(web(), db())
    await stage.look()
    outcome = await stage.run(full=True)
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
    assert outcome.next_pass_at == began + 400


async def test_a_commit_that_takes_a_bad_one_back_is_good_at_once(stage: Stage) -> None:
    await give_up(stage, await stage.commit(web("bad"), db()))
    stage.cluster.bring_up(WEB, is_up=False)
    outcome = await stage.commit(web(), db())
    assert (outcomes(stage)[0], outcome.next_pass_at, stage.ready()) == ("Healthy", None, ("True", "Reconciled"))


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
