"""Heirs: what becomes of an object that somebody declares who may not have it, as far as can be told.

Aspects: a refusal counts when a second one agrees, and right before something is done about it · it is not asked for more often than that · a look takes a moment, however much is
claimed, and the rest is in doubt · nothing is asked once nothing may be written.
"""

import pytest

from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.plan.prune import AGREEING_SECONDS
from cvstate_operator.reconcile.claims import CATCH_UP_SECONDS
from cvstate_operator.reconcile.heirs import ASKED_SECONDS, LOOK_SECONDS, Heirs
from tests.unit.builders import CONFIG_MAP, OWNER, RIVAL, body, ref
from tests.unit.reconcile.fakes import Stage, spec

A, B = (body(name, data={"colour": "blue"}) for name in "ab")
THIRD = "applyset-of-a-third-v1"
MANY = [f"b-{number}" for number in range(10)]


@pytest.fixture
async def stage() -> Stage:
    """Objects of ours; a rival of this replica declares B, and may write nothing. Both have been here for long."""
    stage = Stage()
    stage.index.claims.join(OWNER, 0.0)
    stage.powerless.add(RIVAL)
    await stage.commit(A, B)
    return stage


def declare(stage: Stage, *names: str, by: str = RIVAL) -> None:
    """Another one says that it declares these by the commit that there is."""
    stage.index.claims.join(by, 0.0)
    stage.index.claims.want(by, {ref(name) for name in names}, stage.git.head, stage.clock.seconds)


async def leave(stage: Stage, *names: str) -> None:
    """B leaves Git, and the rival declares these."""
    stage.git.commit(A)
    declare(stage, *names)
    await stage.look()


def label(stage: Stage) -> tuple[str, str]:
    """Whose B is, and whose mark it bears."""
    meta = stage.cluster.objects[ref("b")]["metadata"]
    return meta["labels"][PART_OF_LABEL], meta["annotations"].get(CLAIMED_BY, "")


async def test_whose_right_comes_between_two_looks_keeps_the_object(stage: Stage) -> None:
    await leave(stage, "b")
    outcome = await stage.run()
    stage.powerless.clear()
    outcome = await stage.settle(outcome)
    for _ in range(3):
        outcome = await stage.wait(outcome)
    assert stage.names() == {"a", "b"}
    assert f"kept by ClusterState {RIVAL}" in stage.message()


async def test_the_first_refusal_deletes_nothing_although_the_object_was_found_superfluous_long_ago(stage: Stage) -> None:
    """One that waits for an approval, for example: a moment ago it was nobody's, and then somebody is given it and the right to write it by one commit."""
    stage.spec = spec(prune={"maxDeletes": 0})
    await leave(stage)
    outcome = await stage.run()
    stage.clock.seconds += 60
    stage.approve(outcome)
    declare(stage, "b")
    outcome = await stage.run()
    assert (stage.names(), stage.asked) == ({"a", "b"}, [(RIVAL, "b")])
    stage.powerless.clear()
    for _ in range(3):
        outcome = await stage.wait(outcome)
    assert stage.names() == {"a", "b"}


async def test_what_two_looks_refuse_goes_and_takes_two_questions(stage: Stage) -> None:
    await leave(stage, "b")
    await stage.settle(await stage.run())
    assert (stage.names(), stage.asked) == ({"a"}, [(RIVAL, "b")] * 2)


async def test_who_was_refused_is_not_asked_for_again_at_once_where_nothing_is_to_be_done_about_it(stage: Stage) -> None:
    stage.spec = spec(prune=False)
    await leave(stage, "b")
    for _ in range(5):
        await stage.run(full=True)
        stage.clock.seconds += ASKED_SECONDS / 5
    assert len(stage.asked) == 1
    await stage.run(full=True)
    assert len(stage.asked) == 2


async def test_no_mark_is_taken_away_by_a_refusal_that_no_second_one_agrees_with(stage: Stage) -> None:
    stage.elsewhere.add(THIRD)
    stage.powerless = {THIRD}
    live = stage.cluster.objects[ref("b")]
    stage.cluster._put(live, ["metadata", "annotations", CLAIMED_BY], THIRD, manager="cvstate-operator")
    stage.cluster._store(ref("b"), live)
    await leave(stage, "b")
    assert stage.git.head
    source = (stage.git.head.repository, stage.git.head.ref)
    stage.index.claims.elsewhere(THIRD, source, stage.git.head.commit, stage.clock.seconds, told=[str(ref("b"))])
    await stage.run()
    assert label(stage) == (OWNER, THIRD)
    stage.powerless.clear()
    stage.clock.seconds += AGREEING_SECONDS
    await stage.run(full=True)
    assert label(stage) == (THIRD, ""), "it may write it by now"


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def crowded(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Ten objects left Git; the rival declares them all, and may write none. Each question takes its time."""
    stage = Stage()
    stage.index.claims.join(OWNER, 0.0)
    stage.powerless.add(RIVAL)

    async def slow(owner: str, resource: ApiResource, ref: ObjectRef) -> bool:
        stage.clock.seconds += LOOK_SECONDS / 4
        stage.asked.append((owner, ref.name))
        return owner not in stage.powerless

    monkeypatch.setattr(stage, "_may_have", slow)
    stage.restart()
    stage.index.claims.join(OWNER, 0.0)
    await stage.commit(A, *(body(name, data={"k": "v"}) for name in MANY))
    await leave(stage, *MANY)
    return stage


async def test_a_look_takes_a_moment_and_the_next_one_goes_on(crowded: Stage) -> None:
    looking, members = Heirs(crowded.world, owner=OWNER), [ref(name) for name in MANY]
    for asked, unasked in ((4, 6), (8, 2), (10, 0)):
        await looking.look(members)
        assert (len(set(crowded.asked)), len(looking.unasked)) == (asked, unasked)
    assert not any(looking.first(one) for one in members)


async def test_what_there_was_no_time_for_is_in_doubt(crowded: Stage) -> None:
    looking, members = Heirs(crowded.world, owner=OWNER), [ref(name) for name in MANY]
    await looking.look(members)
    assert {one for one in members if looking.first(one)} == set(looking.unasked)


async def test_a_prune_does_not_pass_its_limits_piece_by_piece(crowded: Stage) -> None:
    crowded.spec = spec(prune={"maxDeletes": 8, "maxPercent": 100})
    outcome = await crowded.run()
    for _ in range(5):
        crowded.clock.seconds += AGREEING_SECONDS
        outcome = await crowded.run()
    assert crowded.names() == {"a", *MANY}
    assert {item.item.ref.name for item in outcome.consent.waits} == set(MANY)


async def test_what_is_refused_goes_when_all_of_it_is_known(crowded: Stage) -> None:
    for _ in range(6):
        await crowded.run()
        crowded.clock.seconds += AGREEING_SECONDS
    assert crowded.names() == {"a"}


async def test_a_teardown_leaves_nothing_behind_for_which_it_had_no_time(crowded: Stage) -> None:
    """Although all that it had time for are kept."""
    able: list[str] = []
    may_have = crowded._may_have

    async def some(owner: str, resource: ApiResource, ref: ObjectRef) -> bool:
        if len(able) < 4:
            able.append(ref.name)
        return await may_have(owner, resource, ref) or ref.name in able

    crowded._may_have = some  # type: ignore[method-assign]
    crowded.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}))
    crowded.index.claims.join(OWNER, 0.0)
    declare(crowded, "a", *MANY)
    left: tuple[ObjectRef, ...] = (ref("a"),)
    for _ in range(12):
        left = (await crowded.pipeline.tear_down(crowded.spec)).left if left else ()
        crowded.clock.seconds += CATCH_UP_SECONDS
    assert (left, crowded.names()) == ((), set(able))


async def test_nobody_is_asked_once_nothing_may_be_written(crowded: Stage) -> None:
    looking, members = Heirs(crowded.world, owner=OWNER), [ref(name) for name in MANY]
    crowded.stop_reason = "oops"
    await looking.look(members)
    assert (crowded.asked, looking.unasked) == ([], tuple(sorted(members)))
