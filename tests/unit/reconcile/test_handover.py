"""Handing objects over while a pass deletes: each delete takes time, and others say meanwhile what they declare.

Aspects: an object that somebody comes to declare · a ClusterState that comes meanwhile.
"""

from collections.abc import Callable

import pytest

from cvstate_operator.reconcile.claims import RETURN_SECONDS
from tests.unit.builders import OWNER, RIVAL, body, ref
from tests.unit.reconcile.fakes import Stage

NEWCOMER = "applyset-of-a-newcomer-v1"
A, B, C = (body(name, data={"colour": "blue"}) for name in "abc")


@pytest.fixture
async def stage() -> Stage:
    """Two ClusterStates at the same commit, that declares A, B and C in the first one."""
    stage = Stage()
    for owner in (OWNER, RIVAL):
        stage.index.claims.join(owner, 0.0)
    await stage.commit(A, B, C)
    stage.index.claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    return stage


def declares(stage: Stage) -> None:
    stage.index.claims.want(RIVAL, {ref("c")}, stage.git.head, stage.clock.seconds)


def comes(stage: Stage) -> None:
    stage.index.claims.join(NEWCOMER, stage.clock.seconds)


@pytest.mark.parametrize("meanwhile", [declares, comes])
async def test_what_somebody_may_come_to_declare_during_deletes_is_kept(stage: Stage, meanwhile: Callable[[Stage], None]) -> None:
    stage.git.commit(A)
    stage.index.claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    stage.cluster.after_delete = lambda: meanwhile(stage)
    await stage.look()
    outcome = await stage.settle(await stage.run())
    assert stage.names() == {"a", "c"}
    assert outcome.pending == (ref("c"),)
    assert not outcome.is_converged
    outcome = await stage.wait(outcome)
    assert stage.names() == {"a", "c"}


async def test_a_newcomer_that_declares_nothing_of_it_delays_the_deletes_only(stage: Stage) -> None:
    stage.git.commit(A)
    stage.index.claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    stage.cluster.after_delete = lambda: comes(stage)
    await stage.look()
    outcome = await stage.settle(await stage.run())
    stage.cluster.after_delete = lambda: None
    stage.index.claims.want(NEWCOMER, (), stage.git.head, stage.clock.seconds)
    outcome = await stage.wait(outcome)
    assert stage.names() == {"a"}
    assert outcome.is_converged


async def test_who_is_waited_for_long_is_looked_for_ever_more_seldom(stage: Stage) -> None:
    """Each look costs a pass, and one that comes back after a restart has ten minutes."""
    stage.git.commit(A)
    assert stage.git.head
    source = (stage.git.head.repository, stage.git.head.ref)
    stage.index.claims.join(RIVAL, stage.clock.seconds, source=source, returns=True)
    await stage.look()
    began, looks = stage.clock.seconds, 0
    outcome = await stage.settle(await stage.run())
    while stage.names() != {"a"}:
        outcome, looks = await stage.wait(outcome), looks + 1
    assert (stage.clock.seconds - began) >= RETURN_SECONDS
    assert looks < 250
