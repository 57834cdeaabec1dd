"""What came of the goals.

Aspects: ratios to the lower bound and to the better setting of the peer · figures · single values of all runs · doubt is told: spread, few runs, intervals ·
runs that do not count · what was not measured · memory of foreign objects · growth · every goal is planned.
"""

from collections.abc import Sequence

import pytest

from bench import goals, plan
from bench.cells import cells
from bench.exponents import exponents
from bench.goals import Verdict
from bench.results import Record
from tests.unit.bench import invented
from tests.unit.bench.builders import run


def judged(records: Sequence[Record], scenario: str, part: str, limit: str = "") -> Verdict:
    """The one goal with these words."""
    found = cells(records)
    [verdict] = [
        each for each in goals.verdicts(found, exponents(found)) if each.scenario == scenario and part in each.what and limit in each.limit
    ]
    return verdict


def side(ours: float, bound: float, flux: float, turns: int = 5) -> list[Record]:
    return [
        run(tool, seconds, turn=turn) for turn in range(turns) for tool, seconds in (("cvstate", ours), ("bound-8", bound), ("flux", flux))
    ]


def test_a_ratio_below_its_limit_is_met():
    met = judged(side(1.2, 1.0, 5.0), "S1", "1,000 objects: push", "bound")
    assert (met.ours, met.bound, met.peer) == ("1.20 s", "1 s (bound-8)", "5 s (flux)")
    assert (met.ratio, met.runs, met.word) == ("1.20 (5 turns, 95 %: 1.20 – 1.20) × bound", "5", "met")


def test_a_ratio_above_its_limit_is_not_met():
    assert judged(side(1.4, 1.0, 5.0), "S1", "1,000 objects: push", "bound").word == "**not met**"
    assert judged(side(1.6, 1.0, 5.0), "S1", "1,000 objects: push", "Flux").word == "**not met**"
    assert judged(side(1.4, 1.0, 5.0), "S1", "1,000 objects: push", "Flux").word == "met"


def test_few_turns_are_said():
    assert judged(side(1.2, 1.0, 5.0, turns=3), "S1", "1,000 objects: push", "bound").word == "met (only 3 runs)"


def test_an_interval_that_holds_the_goal_is_said():
    runs = [
        run(tool, seconds, turn=turn)
        for turn, ours in enumerate((1.1, 1.2, 1.25, 1.4, 1.5))
        for tool, seconds in (("cvstate", ours), ("bound-8", 1.0))
    ]
    assert judged(runs, "S1", "1,000 objects: push", "bound").word == "met (the interval holds the goal)"


def test_a_goal_that_not_every_one_of_few_turns_meets_is_said():
    runs = [
        run(tool, seconds, turn=turn)
        for turn, ours in enumerate((1.1, 1.2, 1.4))
        for tool, seconds in (("cvstate", ours), ("bound-8", 1.0))
    ]
    verdict = judged(runs, "S1", "1,000 objects: push", "bound")
    assert (verdict.ratio, verdict.word) == ("1.20 (3 turns, from 1.10 to 1.40) × bound", "met (not so in every turn; only 3 runs)")


def test_a_figure_is_judged_by_its_median_and_runs_on_the_other_side_are_counted():
    runs = [run(figures={"seconds": 1.0, "requests_per_object": value}, turn=turn) for turn, value in enumerate((1.0, 1.0, 1.0, 1.5, 1.0))]
    assert judged(runs, "S1", "1,000 objects: requests per object").word == "met (4 of 5 runs meet it)"


def test_runs_that_do_not_count_are_told_beside_those_that_do():
    runs = [
        *(run(figures={"seconds": 1.0, "requests_per_object": 1.0}, turn=turn) for turn in range(5)),
        run(turn=5, faults=("x: differs",)),
    ]
    assert judged(runs, "S1", "1,000 objects: requests per object").runs == "5, and 1 that do not count"


def test_quantiles_are_those_of_the_single_values_of_all_runs():
    samples = [tuple(0.1 for _ in range(20)), (*(0.1 for _ in range(19)), 9.0)]
    runs = [
        run(scenario="S2", n=10000, figures={"seconds": 0.1, "max_seconds": max(some)}, samples={"seconds": some}, turn=turn)
        for turn, some in enumerate(samples * 3)
    ]
    assert judged(runs, "S2", "p50").ours == "0.100 s"
    assert judged(runs, "S2", "p99").word == "**not met** (3 of 6 runs meet it)"
    assert judged(runs, "S2", "p99").runs == "6, 120 values"


def test_runs_whose_own_quantile_is_on_the_other_side_are_counted():
    samples = [tuple(0.1 for _ in range(200)), (*(0.1 for _ in range(197)), 9.0, 9.0, 9.0)]
    runs = [
        run(scenario="S2", n=10000, figures={"seconds": 0.1, "max_seconds": max(some)}, samples={"seconds": some}, turn=turn)
        for turn, some in enumerate([samples[1], *[samples[0]] * 5])
    ]
    assert judged(runs, "S2", "p99").word == "met (5 of 6 runs meet it)"


def test_what_was_not_measured_is_said_so():
    verdict = judged([], "S7", "commit to one")
    assert (verdict.word, verdict.ours, verdict.runs, verdict.limit) == ("not measured", "–", "0", "≤ 0.5 s")


def test_without_anybody_to_compare_with_a_ratio_is_not_measured():
    assert judged([run()], "S1", "1,000 objects: push", "Flux").word.startswith("not measured")


@pytest.mark.parametrize(("more", "word"), [(4e6, "met"), (6e6, "**not met**")])
def test_memory_of_foreign_objects_is_the_difference_to_as_many_declared_ones_without(more: float, word: str):
    runs = [
        run(scenario="S6", m=m, figures={"pss_bytes": memory}, main="pss_bytes", turn=turn)
        for turn in range(5)
        for m, memory in ((0, 8e7), (100_000, 8e7 + more))
    ]
    verdict = judged(runs, "S6", "foreign")
    assert (verdict.ours, verdict.word) == (f"{more / 1e6:.0f} MB", word)


def test_memory_of_foreign_objects_is_no_difference_of_two_sessions():
    runs = [
        run(scenario="S6", m=m, figures={"pss_bytes": 8e7}, main="pss_bytes", session=session)
        for m, session in ((0, "s1"), (100_000, "s2"))
    ]
    assert judged(runs, "S6", "foreign").word == "not measured"


@pytest.mark.parametrize(("power", "word"), [(1.0, "met"), (1.2, "**not met**")])
def test_growth_is_judged_by_the_exponent(power: float, word: str):
    runs = [run(n=n, seconds=(n / 1000) ** power, turn=turn) for n in (1000, 5000, 10000) for turn in range(5)]
    verdict = judged(runs, "S9", "growth of S1")
    assert (verdict.ours, verdict.runs, verdict.word) == (f"{power:.2f} ± 0.00", "15 at 3 sizes", word)


def test_growth_from_few_runs_at_one_of_its_ends_is_said():
    turns = {1000: 5, 2000: 1, 10000: 2}
    runs = [run(n=n, seconds=n / 1000, turn=turn) for n, number in turns.items() for turn in range(number)]
    verdict = judged(runs, "S9", "growth of S1")
    assert (verdict.runs, verdict.word) == ("8 at 3 sizes", "met (only 2 runs)")


def test_limits_read_as_they_were_set():
    limits = {verdict.limit for verdict in goals.verdicts([], [])}
    assert {"≤ 1.3 × bound", "≤ 1/12 × Flux", "≤ 1/100 × Flux", "≤ 60 ms", "0", "≤ 100 MB", "≤ 12.5 s", "exponent ≤ 0.15"} <= limits


def test_those_that_were_not_met_are_named_first():
    found = cells(side(1.4, 1.0, 5.0))
    text = goals.summary(goals.verdicts(found, []))
    assert (
        "- Not met: S1, 1,000 objects: push → last object right: 1.40 s, 1.40 (5 turns, 95 %: 1.40 – 1.40) × bound; the goal is ≤ 1.3 × bound"
        in text
    )


def test_every_goal_is_measured_by_the_plan():
    found = cells(invented.records())
    assert [verdict.what for verdict in goals.verdicts(found, exponents(found)) if verdict.word == "not measured"] == []


def test_of_what_was_invented_two_goals_are_missed_and_no_other_session_is_mixed_in():
    found = cells(invented.records())
    missed = [verdict for verdict in goals.verdicts(found, exponents(found)) if "not met" in verdict.word]
    assert [(verdict.scenario, verdict.limit) for verdict in missed] == [("S2", "≤ 3"), ("S7", "≤ 30 s")]
    assert {each.session for each in found} == {invented.SESSION}
    assert sum(each.superseded for each in found) == 5


def test_every_goal_has_its_turns_in_the_plan():
    turns = {
        (run.cell.scenario, run.cell.variant, run.cell.n, run.cell.m) for cell in plan.CELLS for run in plan.order(cell, 5) if run.turn == 4
    }
    assert {(goal.scenario, goal.variant, goal.n, goal.m) for goal in goals.GOALS} <= turns
