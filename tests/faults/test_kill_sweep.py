"""SIGKILL at a write, and another operator in its place: it goes on, and ends where an undisturbed one does.

Aspects: before the write is forwarded · after it was carried out and before its reply came · after the reply. See README.md for CVSTATE_SWEEP.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

import pytest

from tests.faults.runs import Ground, Run, Victim
from tests.faults.scenarios import SCENARIOS, Reference, Scenario, Writes, end_state, undisturbed
from tests.support.fault_proxy import Moment, Seen
from tests.support.waiting import until

pytestmark = pytest.mark.integration

WANTED = os.environ.get("CVSTATE_SWEEP", "10")
"""How many points in total, `all`, or one as `scenario|write|moment`."""
SEED = os.environ.get("CVSTATE_SWEEP_SEED", "1")
QUIET_SECONDS = 3.5
"""After so long without a write no other comes: what left Git is deleted after 2 s, and what is not ready is rolled back after 2 s."""


def drawn() -> Mapping[tuple[str, Moment], int | None]:
    """How many points of each scenario and moment are tried; None: all. Each scenario has its share."""
    if "|" in WANTED:
        scenario, _, moment = WANTED.split("|")
        return {(scenario, Moment(moment)): 1}
    dice = random.Random(SEED)
    moments = {scenario: dice.sample(list(Moment), len(Moment)) for scenario in SCENARIOS}
    turns = [
        (scenario, moments[scenario][turn]) for turn in range(len(Moment)) for scenario in dice.sample(list(SCENARIOS), len(SCENARIOS))
    ]
    return dict.fromkeys(turns) if WANTED == "all" else Counter(islice(cycle(turns), int(WANTED)))


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
        self._last = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it was done, or never comes: two writes of a status may have become one."""
        return self.is_done or time.monotonic() - self._last > QUIET_SECONDS

    def __call__(self, seen: Seen, moment: Moment) -> bool:
        self._last = time.monotonic()
        name = self._writes.name(seen, moment)
        if self.is_done or (name, moment) != self._point:
            return False
        self.is_done = True
        self._victim.kill()
        return True


def points(scenario: str, moment: Moment, writes: Sequence[str]) -> Sequence[str]:
    if "|" in WANTED:
        return [WANTED.split("|")[1]]
    share = drawn()[scenario, moment]
    return writes if share is None else random.Random(f"{SEED}/{scenario}/{moment}").sample(writes, min(share, len(writes)))


def killed_at(ground: Ground, scenario: Scenario, reference: Reference, write: str, moment: Moment) -> list[str]:
    """Violations of one run."""
    run = Run(ground)
    scenario.prepare(run)
    kill = ground.proxy.on_write = Kill(run, run.operator, write, moment)
    scenario.act(run)
    until("it comes to that write", lambda: kill.is_over)
    if not kill.is_done:
        run.operator.kill()
    run.operator.wait()
    ground.proxy.on_write = None
    run.operator.start()
    scenario.settle(run)
    end = end_state(run, scenario)
    violations = [
        f"{path}: {reference.end.get(path)} is now {end.get(path)}"
        for path in sorted({*reference.end, *end})
        if reference.end.get(path) != end.get(path)
    ]
    violations += [*run.violations(), *run.looked_again()]
    run.end()
    return violations


@pytest.mark.timeout(0 if WANTED == "all" else 120)
@pytest.mark.parametrize(("scenario", "moment"), sorted(drawn()))
def test_killed_at_a_write_it_ends_where_an_undisturbed_run_does(
    ground: Ground, references: dict[str, Reference], scenario: str, moment: Moment
):
    if scenario not in references:
        references[scenario] = undisturbed(ground, SCENARIOS[scenario])
    found = {}
    for write in points(scenario, moment, references[scenario].writes):
        point = f"{scenario}|{write}|{moment}"
        print(f"seed {SEED}; again: CVSTATE_SWEEP='{point}' .venv/bin/python -m pytest tests/faults/test_kill_sweep.py")
        if violations := killed_at(ground, SCENARIOS[scenario], references[scenario], write, moment):
            found[point] = violations
    assert found == {}
