"""SIGKILL at a write, and another operator in its place: it goes on, and ends where an undisturbed one does.

Aspects: before the write is forwarded · after it was carried out and before its reply came · after the reply. See README.md for CVSTATE_SWEEP.
"""

import os
import random
from collections.abc import Sequence

import pytest

from tests.faults.scenarios import SCENARIOS, Ground, Reference, Run, Victim, Writes, undisturbed
from tests.support.fault_proxy import Moment, Seen
from tests.support.waiting import until

pytestmark = pytest.mark.integration

WANTED = os.environ.get("CVSTATE_SWEEP", "12")
"""How many points in total, `all`, or one as `scenario|write|moment`."""
SEED = os.environ.get("CVSTATE_SWEEP_SEED", "1")
REACH_SECONDS = 3.0
SPACES = [(scenario, moment) for scenario in SCENARIOS for moment in Moment]


@pytest.fixture(scope="module")
def references() -> dict[str, Reference]:
    """Filled as they are needed."""
    return {}


class Kill:
    """Kills the operator when it comes to a write."""

    def __init__(self, run: Run, victim: Victim, write: str, moment: Moment) -> None:
        self._writes, self._victim = Writes(run), victim
        self._point = (write, moment)
        self.is_done = False

    def __call__(self, seen: Seen, moment: Moment) -> bool:
        name = self._writes.name(seen, moment)
        if self.is_done or (name, moment) != self._point:
            return False
        self.is_done = True
        self._victim.kill()
        return True


def points(scenario: str, moment: Moment, writes: Sequence[str]) -> list[str]:
    if WANTED == "all":
        return list(writes)
    if "|" in WANTED:
        chosen_scenario, write, chosen_moment = WANTED.split("|")
        return [write] if (chosen_scenario, chosen_moment) == (scenario, moment) else []
    share = int(WANTED) // len(SPACES) + (SPACES.index((scenario, moment)) < int(WANTED) % len(SPACES))
    return random.Random(f"{SEED}/{scenario}/{moment}").sample(writes, min(share, len(writes)))


def killed_at(ground: Ground, scenario: str, reference: Reference, write: str, moment: Moment) -> list[str]:
    """Violations of one run."""
    run = Run(ground)
    SCENARIOS[scenario].prepare(run)
    kill = ground.proxy.on_write = Kill(run, run.operator, write, moment)
    SCENARIOS[scenario].act(run)
    try:
        until("it comes to that write", lambda: kill.is_done, seconds=REACH_SECONDS)
    except AssertionError:  # it never does this time: two writes of a status may have become one
        run.operator.kill()
    run.operator.wait()
    ground.proxy.on_write = None
    run.operator.start()
    run.converge()
    end = run.end_state()
    violations = [
        f"{path}: {reference.end.get(path)} is now {end.get(path)}"
        for path in sorted({*reference.end, *end})
        if reference.end.get(path) != end.get(path)
    ]
    violations += [*run.violations(), *run.looked_again()]
    run.end()
    return violations


@pytest.mark.timeout(0 if WANTED == "all" else 120)
@pytest.mark.parametrize(("scenario", "moment"), SPACES)
def test_killed_at_a_write_it_ends_where_an_undisturbed_run_does(
    ground: Ground, references: dict[str, Reference], scenario: str, moment: Moment
):
    if "|" in WANTED and not WANTED.startswith(f"{scenario}|"):
        pytest.skip("another point was asked for")
    if scenario not in references:
        references[scenario] = undisturbed(ground, SCENARIOS[scenario])
    found = {}
    for write in points(scenario, moment, references[scenario].writes):
        point = f"{scenario}|{write}|{moment}"
        print(f"seed {SEED}; again: CVSTATE_SWEEP='{point}' .venv/bin/python -m pytest tests/faults/test_kill_sweep.py")
        if violations := killed_at(ground, scenario, references[scenario], write, moment):
            found[point] = violations
    assert found == {}
