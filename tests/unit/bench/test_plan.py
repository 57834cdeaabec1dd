"""What is measured in which order, what a session has already, and how long the rest takes.

Aspects: turns go to and fro · who takes part in few turns · important cells first · a continued session makes what it lacks, and nothing twice · other sizes, seeds
and sessions are other runs · the estimate follows what runs took · what comes next is told · the plan fits an afternoon.
"""

import dataclasses
from pathlib import Path

import pytest

from bench import __main__ as command_line
from bench import goals, guard, plan, progress, results, revision, tools
from bench.parameters import Parameters
from bench.plan import Cell, Run
from bench.progress import Planned, Progress
from bench.results import Record
from bench.scenarios import s2, s3
from bench.session import Session, conflicts
from tests.cluster import builds, programs
from tests.unit.bench.builders import run

CELL = Cell("S1", 1000, ("cvstate", "flux"))
BUDGET_MINUTES = 240
"""The plan on a machine that is busy with other things, as the table of durations has it; on a quiet one it is about three hours."""


def planned(cell: Cell = CELL, turns: int = 2, **rest: object) -> list[Planned]:
    parameters = dataclasses.replace(Parameters(n=cell.n, m=cell.m, variant=cell.variant), **rest)  # type: ignore[arg-type]
    return [(each, parameters) for each in plan.order(cell, turns)]


def session(name: str = "s1") -> Session:
    return Session(name, directory=Path("/nowhere"))


def names(waiting: list[Planned]) -> list[tuple[int, str]]:
    return [(each.turn, each.tool) for each, _ in waiting]


def test_every_second_turn_goes_backwards():
    cell = Cell("S1", 1, ("a", "b", "c"))
    assert [(each.turn, each.tool) for each in plan.order(cell, 3)] == [
        *((0, "a"), (0, "b"), (0, "c")),
        *((1, "c"), (1, "b"), (1, "a")),
        *((2, "a"), (2, "b"), (2, "c")),
    ]


def test_who_takes_part_in_few_turns_is_left_out_of_the_others():
    cell = Cell("S1", 1, ("a", "b"), few=frozenset({"b"}))
    assert [each.tool for each in plan.order(cell, 4)] == ["a", "b", "b", "a", "a", "a"]


def test_cold_convergence_and_small_commits_come_first():
    assert [cell.scenario for cell in plan.CELLS[:6]] == ["S1"] * 3 + ["S2"] * 3


def test_the_live_world_comes_last_and_in_few_turns():
    live = [cell for cell in plan.CELLS if cell.world == "live"]
    assert {cell.scenario for cell in live} == {"S1", "S4"}
    assert live == list(plan.CELLS[-len(live) :])
    assert max(each.turn for cell in live for each in plan.order(cell, 5)) == plan.FEW_TURNS - 1


def test_growth_is_fitted_from_three_sizes_or_more():
    sizes = {(scenario, variant): set[int]() for scenario, variant, _ in goals.EXPONENTS}
    for cell in plan.CELLS:
        if (cell.scenario, cell.variant) in sizes and not cell.m and cell.world == "quiet":
            sizes[cell.scenario, cell.variant].add(cell.n)
    assert min(map(len, sizes.values())) >= 3


def test_every_tool_of_the_plan_is_there():
    assert all(tools.make(name).name == name for cell in plan.CELLS for name in cell.tools)


def test_every_program_that_a_tool_needs_can_be_built():
    assert tools.programs("flux-tuned") == ("kustomize-controller",)
    assert tools.programs("bound-8") == ()
    assert all(program in programs.CATALOGUE for name in tools.MODULES for program in tools.programs(name))


def test_no_cell_is_planned_twice():
    keys = [(cell.scenario, cell.variant, cell.n, cell.m, cell.world) for cell in plan.CELLS]
    assert len(keys) == len(set(keys))


def test_the_plan_with_five_turns_keeps_its_budget():
    runs = [each for cell in plan.CELLS for each in planned(cell, 5, **_bounds(cell))]
    assert sum(progress.seconds(*each) for each in runs) / 60 < BUDGET_MINUTES


def _bounds(cell: Cell) -> dict[str, object]:
    return {"rounds": cell.rounds or 10, "idle_seconds": cell.idle_seconds or 120.0}


# -- a session that is continued -------------------------------------------------------------------------------------------


def test_a_continued_session_makes_only_what_it_lacks():
    kept = [run("cvstate", turn=0), run("flux", turn=0), run("flux", turn=1)]
    assert names(session().waiting(planned(), kept)) == [(1, "cvstate")]


def test_a_run_that_broke_is_not_made_again():
    kept = [run("cvstate", turn=turn, faults=("broken: x",)) for turn in (0, 1)]
    assert names(session().waiting(planned(), kept)) == [(0, "flux"), (1, "flux")]


@pytest.mark.parametrize(
    "other",
    [{"session": "s2"}, {"n": 5000}, {"m": 7}, {"seed": 8}, {"variant": "other"}, {"world": "live"}, {"scenario": "S2"}],
    ids=lambda other: next(iter(other)),
)
def test_runs_of_another_kind_do_not_count_as_made(other: dict[str, object]):
    kept = [dataclasses.replace(run("cvstate", turn=0), **other)]  # type: ignore[arg-type]
    assert (0, "cvstate") in names(session().waiting(planned(), kept))


def test_more_turns_can_be_asked_for_later():
    kept = [run(tool, turn=turn) for tool in ("cvstate", "flux") for turn in (0, 1)]
    assert names(session().waiting(planned(turns=3), kept)) == [(2, "cvstate"), (2, "flux")]


def test_runs_of_another_commit_are_not_continued():
    kept = [run("cvstate", commit="1234567")]
    assert conflicts(planned(), kept, "1234567") == []
    assert conflicts(planned(), kept, "1234567-dirty") == ["it was measured with the commit 1234567, and 1234567-dirty is checked out"]


def test_runs_with_other_settings_are_not_continued():
    kept = [run("cvstate", settings=Parameters(drift_seconds=30.0).settings()), run("flux")]
    assert conflicts(planned(), kept, "1") == []
    assert conflicts(planned(drift_seconds=60.0), kept, "1") == ["S1 was measured with drift_seconds 30.0, and 60.0 is asked for"]


def test_turns_to_come_have_the_seed_and_settings_of_those_that_are_kept():
    kept = [run("cvstate", turn=5, settings=Parameters(seed=7).settings())]
    assert conflicts(planned(seed=8), kept, "1") == ["S1 was measured with seed 7, and 8 is asked for"]


def test_a_run_that_needed_fewer_rounds_than_were_asked_for_has_the_same_settings():
    cell = Cell("S2", 5000, ("flux",))
    made = dataclasses.replace(run("flux", scenario="S2", n=5000), settings=Parameters(n=5000, rounds=s2.MOST_PASSES).settings())
    assert conflicts(planned(cell, rounds=10), [made], "1") == []


def test_parameters_are_read_from_a_record_as_they_were_written():
    parameters = Parameters(n=7, variant="x", rounds=3, rest_seconds=0.5)
    assert Parameters.of_settings({**parameters.settings(), "kubernetes": "v1"}) == parameters


# -- rounds ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "n", "rounds"),
    [("cvstate", 10000, 10), ("flux", 1000, 10), ("flux", 5000, 2), ("flux-tuned", 10000, 2), ("bound-8", 10000, 10)],
)
def test_a_tool_that_looks_at_everything_has_few_rounds_where_that_takes_long(tool: str, n: int, rounds: int):
    assert s2.rounds(tools.make(tool), Parameters(n=n, rounds=10)) == rounds


# -- progress --------------------------------------------------------------------------------------------------------------


def test_what_comes_next_is_told():
    runs = planned(Cell("S2", 5000, ("flux", "cvstate")), 3)
    assert Progress(runs).line(runs[4:]).startswith("S2 n=5000 flux turn 3/3, 5 of 6 runs, about ")


def test_the_estimate_follows_what_runs_took_so_far():
    runs = planned()
    first, parameters = runs[0]
    slow = _took(first, parameters, 3 * progress.seconds(first, parameters))
    assert Progress(runs, [slow]).factor == pytest.approx(3)
    assert Progress(runs).factor == 1


def test_broken_runs_say_nothing_about_how_long_runs_take():
    runs = planned()
    broken = dataclasses.replace(_took(*runs[0], 1.0), faults=("broken: x",))
    assert Progress(runs, [broken]).factor == 1


def _took(made: Run, parameters: Parameters, seconds: float) -> Record:
    return run(made.tool, settings=parameters.settings(), run_seconds=seconds)


def test_the_live_world_takes_longer():
    quiet, live = (progress.seconds(*planned(dataclasses.replace(CELL, world=world))[0]) for world in ("quiet", "live"))
    assert live == quiet + plan.LIVE_SECONDS


def test_an_idle_tool_is_watched_until_the_next_look_at_the_repository():
    ours, flux = (progress.seconds(*planned(Cell("S3", 0, (tool,)), idle_seconds=100.0)[0]) for tool in ("cvstate", "flux-tuned"))
    without = 100.0 + s3.MOST_WITHOUT_SECONDS
    assert ours - plan.seconds("S3", "cvstate", n=0, m=0, rounds=1, idle_seconds=without) == 20.0 + s3.LOOK_SECONDS
    assert flux == plan.seconds("S3", "flux-tuned", n=0, m=0, rounds=1, idle_seconds=without)


def test_more_objects_and_rounds_take_longer():
    small, large = (progress.seconds(*planned(Cell("S2", n, ("flux",)))[0]) for n in (1000, 4000))
    many = progress.seconds(*planned(Cell("S2", 1000, ("flux",)), rounds=50)[0])
    assert small < large
    assert small < many


# -- the command line ------------------------------------------------------------------------------------------------------


def test_the_plan_is_shown_with_its_minutes(capsys: pytest.CaptureFixture[str]):
    assert command_line.main(["plan", "--runs", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    *cell, runs, minutes = lines[1].split()
    assert " ".join(cell) == "S1 n=1000 cvstate 5, flux 5, flux-tuned 5, bound-4 2, bound-8 5, bound-16 5, bound-32 5, bound-64 2"
    assert (runs, int(minutes) > 0) == ("34", True)
    assert lines[-1].startswith("together")


def test_sizes_and_tools_of_the_command_line_take_the_place_of_the_plan(capsys: pytest.CaptureFixture[str]):
    assert command_line.main(["plan", "--n", "300", "--m", "0", "--tools", "cvstate"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert lines
    assert all("n=300" in line and "cvstate 1 " in line for line in lines)


def test_only_the_scenarios_that_are_named_are_planned(capsys: pytest.CaptureFixture[str]):
    assert command_line.main(["plan", "--scenarios", "S4,S7"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert {line.split()[0] for line in lines} == {"S4", "S7"}
    assert command_line.main(["plan", "--scenarios", "S5", "--n", "300", "--tools", "cvstate"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-1]} == {"S5"}


def test_a_scenario_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command_line.main(["plan", "--scenarios", "S4,S11"])
    assert "no scenario is called 'S11'" in capsys.readouterr().err


def test_a_report_is_of_the_sessions_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("one", "two"):
        results.append(run(session=name, scenario={"one": "S1", "two": "S2"}[name]), tmp_path / f"S1-{name}.jsonl")
    where = ["--results", str(tmp_path), "--docs", str(tmp_path)]
    assert command_line.main(["report", "--session", "two", *where]) == 0
    text = (tmp_path / "benchmark.md").read_text()
    assert "## S2" in text
    assert "## S1" not in text
    assert command_line.main(["report", *where]) == 0
    assert "## S1" in (tmp_path / "benchmark.md").read_text()
    assert command_line.main(["report", "--session", "three", *where]) == 2
    assert "no session three" in capsys.readouterr().err


def test_only_the_cells_of_a_world_that_is_named_are_planned(capsys: pytest.CaptureFixture[str]):
    assert command_line.main(["plan", "--world", "live"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert lines
    assert all("live" in line for line in lines)


def test_a_session_of_another_commit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results.append(run(session="here", commit="0000000"), tmp_path / "S1-here.jsonl")
    assert command_line.main(["S1", "--resume", "here", "--results", str(tmp_path)]) == 2
    assert "cannot be continued: it was measured with the commit 0000000" in capsys.readouterr().err


def test_a_continued_session_with_a_run_that_broke_says_so_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Nothing is left to be made, so nothing is started.
    monkeypatch.setattr(guard, "run", lambda work: work())
    monkeypatch.setattr(builds, "ensure", dict)
    for faults, code in (((), 0), (("broken: x",), 1)):
        directory = tmp_path / str(code)
        settings = Parameters().settings()
        results.append(run(session="here", faults=faults, settings=settings, commit=revision.current()), directory / "S1-here.jsonl")
        assert command_line.main(["S1", "--tools", "cvstate", "--resume", "here", "--results", str(directory)]) == code


def test_a_session_that_is_nowhere_cannot_be_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results.append(run(session="here"), tmp_path / "S1-here.jsonl")
    code = command_line.main(["S1", "--resume", "nowhere", "--results", str(tmp_path)])
    assert code == 2
    assert "no session nowhere" in capsys.readouterr().err
