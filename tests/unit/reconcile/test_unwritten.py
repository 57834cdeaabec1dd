"""What a pass has still to write is known while it writes, for the length of the queue that is told.

Aspects: what nobody has taken up yet counts, what is being written does not · nothing is left after a pass, whatever became of it.
"""

import pytest

from cvstate_operator.plan.changes import Change
from tests.unit.builders import body
from tests.unit.reconcile.fakes import Stage

OBJECTS = 20
WORKERS = 8
"""`parallel` of the fakes."""


@pytest.fixture
def counts() -> list[int]:
    return []


@pytest.fixture
def stage(counts: list[int]) -> Stage:
    """Each write notes how many were left when it was answered."""
    stage = Stage()

    def note(change: Change) -> None:
        counts.append(stage.pipeline.unwritten)

    stage.cluster.before_answer = note
    return stage


async def test_objects_that_nobody_has_taken_up_yet_wait_to_be_written(stage: Stage, counts: list[int]) -> None:
    await stage.commit(*(body(f"o{number}") for number in range(OBJECTS)))
    assert counts[0] == OBJECTS - WORKERS
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == stage.pipeline.unwritten == 0


async def test_nothing_waits_after_a_pass_that_was_cut_short(stage: Stage, counts: list[int]) -> None:
    def stop(change: Change) -> None:
        counts.append(stage.pipeline.unwritten)
        stage.pipeline.stop()

    stage.cluster.before_answer = stop
    await stage.commit(*(body(f"o{number}") for number in range(OBJECTS)))
    assert counts[0] > 0
    assert stage.pipeline.unwritten == 0
