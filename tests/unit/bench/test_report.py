"""Cells and the report.

Aspects: which session counts · the best width of the lower bound · ratios by turns · tools stand side by side · goals come first · where we lose and what
broke is told · growth, also with each object · what was measured another day is marked · old pictures go.
"""

import re
from pathlib import Path

import pytest

from bench import report
from bench.cells import cells, per_object
from tests.unit.bench import invented
from tests.unit.bench.builders import run


def test_of_the_lower_bound_only_the_best_width_is_kept():
    widths = {"bound-4": 2.0, "bound-16": 1.0, "bound-64": 3.0}
    [cell] = cells([run(tool, seconds) for tool, seconds in widths.items()] + [run(seconds=4.0)])
    assert set(cell.runs) == {"bound-16", "cvstate"}


def test_the_session_with_most_tools_counts_then_the_one_with_most_runs_then_the_newest():
    alone = [run(session="3", turn=turn) for turn in range(9)]
    small = [run(session="1"), run("flux", session="1")]
    large = [run(tool, session="2", turn=turn) for tool in ("cvstate", "flux") for turn in range(2)]
    newer = [run(tool, session="4", turn=turn) for tool in ("cvstate", "flux") for turn in range(2)]
    assert cells(alone + small)[0].session == "1"
    assert cells(alone + small + large)[0].session == "2"
    assert cells(alone + small + newer + large)[0].session == "4"
    assert cells(alone + small + newer + large)[0].superseded == 9 + 2 + 4


def test_more_widths_do_not_make_more_tools():
    many = [run("bound-4", session="1"), run("bound-8", session="1"), run("bound-16", session="1")]
    assert cells([*many, run(session="0"), run("flux", session="0")])[0].session == "0"


def test_a_ratio_takes_only_turns_in_which_both_runs_count():
    broken = run("flux", turn=1, faults=("x: differs",))
    [cell] = cells([run(seconds=1.0), run("flux", 2.0), run(seconds=50.0, turn=1), broken])
    found = cell.ratio("cvstate", "flux")
    assert found
    assert found.value == 0.5


def test_there_is_no_ratio_without_the_other_or_to_zero():
    [cell] = cells([run(), run("flux", 0.0)])
    assert cell.ratio("cvstate", "argo") is None
    assert cell.ratio("cvstate", None) is None
    assert cell.ratio("cvstate", "flux") is None


def test_the_better_of_two_peers_is_the_one_compared_with():
    [cell] = cells([run(), run("flux", 4.0), run("flux-tuned", 2.0)])
    assert cell.best("flux") == "flux-tuned"
    assert cell.best("argo") is None


def test_a_setting_with_few_runs_is_not_compared_with():
    often = [run(tool, 3.0, turn=turn) for tool in ("cvstate", "flux-tuned") for turn in range(5)]
    few = [run("flux", 2.0, turn=turn) for turn in range(3)]
    assert cells(often + few[:2])[0].best("flux") == "flux-tuned"
    assert cells(often + few)[0].best("flux") == "flux"


def test_the_report_shows_tools_side_by_side_with_runs_and_ratios():
    text = report.page([run(seconds=1.0), run("flux", 4.0), run("bound-8", 0.5)])
    lines = text.partition("## S1, cold convergence")[2].splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| objects | median (least – most) | cvstate | flux | bound |"
    assert table[2:6] == [
        "| **1,000** | **push → last object right, s** | 1 | 4 | 0.500 |",
        "|  | runs | 1 | 1 | 1, 8 wide, no other tried |",
        "|  | × lower bound | 2 (1 turn) | 8 (1 turn) |  |",
        "|  | × better Flux | 0.250 (1 turn) |  | 0.125 (1 turn) |",
    ]


def test_a_ratio_of_several_turns_comes_with_its_interval():
    text = report.page([run(tool, seconds, turn=turn) for turn in range(5) for tool, seconds in (("cvstate", 1.0), ("flux", 4.0))])
    assert "|  | × better Flux | 0.250 (5 turns, 95 %: 0.250 – 0.250) |" in text


def test_a_ratio_of_few_turns_comes_with_its_least_and_most():
    text = report.page(
        [
            run(tool, seconds * (1 + turn) ** (tool == "flux"), turn=turn)
            for turn in range(2)
            for tool, seconds in (("cvstate", 1.0), ("flux", 4.0))
        ]
    )
    assert "|  | × better Flux | 0.167 (2 turns, from 0.125 to 0.250) |" in text


@pytest.mark.parametrize(
    ("best", "told"),
    [("bound-4", "1, 4 wide, the narrowest tried |"), ("bound-8", "1, 8 wide |"), ("bound-16", "1, 16 wide, the widest tried |")],
)
def test_a_lower_bound_at_the_edge_of_what_was_tried_is_said_to_be_there(best: str, told: str):
    widths = ("bound-4", "bound-8", "bound-16")
    assert told in report.page([run(), *(run(width, 1.0 if width == best else 2.0) for width in widths)])


def test_the_live_world_has_its_own_heading_after_the_quiet_one():
    text = report.page([run(world="live"), run()])
    assert text.index("### Quiet world") < text.index("### Live world")
    assert text.index("## S1, cold convergence") < text.index("### Quiet world")


def test_what_is_not_measured_is_told():
    method = report.page([run()]).partition("## How it was measured")[2].partition("\n## ")[0]
    assert "Not measured" in method
    assert all(
        each in method
        for each in ("one in a hundred", "rename", "no webhook", "kustomize overlays", "0.1 and 1 a second", "50,000 foreign")
    )


def test_drift_is_shown_from_sending_and_from_the_answer():
    text = report.page([run(scenario="S4", figures={"seconds": 0.004, "sent_seconds": 0.006})])
    assert "| **drift answered → repaired, p50 of a run, ms** | 4 |" in text
    assert "| drift sent → repaired, p50 of a run, ms | 6 |" in text


def test_the_spread_of_runs_is_shown():
    text = report.page([run(seconds=seconds, turn=turn) for turn, seconds in enumerate((1.0, 5.0, 2.0))])
    assert "| **push → last object right, s** | 2 (1 – 5) |" in text


def test_a_scenario_may_be_about_another_figure():
    idle = [
        run(tool, scenario="S3", figures={"requests_per_hour": value}, main="requests_per_hour")
        for tool, value in (("cvstate", 0), ("flux", 12345.6))
    ]
    assert "| **1,000** | **requests per hour** | 0 | 12,346 |" in report.page(idle)


MEMORY = [
    run(scenario="S6", n=n, m=m, figures={"pss_bytes": 70e6 + 1000 * n + 2 * m}, main="pss_bytes")
    for n in (0, 1000, 10000)
    for m in (0, 10000, 100000)
]


def test_memory_is_fitted_for_each_declared_and_each_foreign_object():
    declared, foreign = per_object(cells(MEMORY), "cvstate")
    assert declared == pytest.approx(1000)
    assert foreign == pytest.approx(2)


def test_memory_of_two_sessions_has_no_slope():
    other = [run(scenario="S6", n=n, figures={"pss_bytes": 1e9}, main="pss_bytes", session="s0") for n in (20000,)]
    assert per_object(cells(MEMORY + other), "cvstate")[0] == pytest.approx(1000)


def test_one_size_has_no_slope():
    assert per_object(cells([run()]), "cvstate") == (None, None)
    assert per_object(cells(MEMORY), "flux") == (None, None)


def test_memory_is_shown_in_megabytes():
    text = report.page(MEMORY)
    assert "| **0** | **steady, MB** | 70.0 |" in text
    assert "cvstate 1000 bytes for each declared one, 2 bytes for each foreign one" in text


def test_where_only_foreign_objects_were_measured_there_is_no_picture():
    assert "](benchmark/" not in report.page([run(m=500)])
    assert "](benchmark/" in report.page([run(m=500), run(m=0)])


def test_a_ratio_to_itself_is_no_loss():
    runs = [
        run(tool, scenario="S6", figures={"pss_bytes": 1e8, "peak_ratio": ratio}, main="pss_bytes")
        for tool, ratio in (("cvstate", 1.2), ("flux", 1.0))
    ]
    text = report.page(runs)
    assert "| highest sample over steady | 1.20 | 1 |" in text
    assert "Against no peer in these runs." in text


def test_a_cell_without_a_run_that_counts_is_named():
    text = report.page([run(faults=("x: differs",))])
    assert "No run counts" in text.partition("## S1")[2]
    assert "- S1 quiet, 1,000 objects, cvstate, turn 1 of session s1: x: differs" in text


def test_figures_that_no_run_has_are_left_out():
    title = "memory, highest of samples a second apart, MB"
    assert title not in report.page([run()])
    assert f"| {title} | 9 |" in report.page([run(figures={"seconds": 1.0, "peak_pss_bytes": 9e6})])


@pytest.mark.parametrize(("tools", "told"), [(("cvstate", "bound-4"), "No peer took part"), (("cvstate", "flux"), "Against no peer")])
def test_to_lose_nowhere_is_told_apart_from_meeting_nobody(tools: tuple[str, ...], told: str):
    assert told in report.page([run(tool) for tool in tools])


def test_the_report_says_where_we_lose_and_what_does_not_count():
    slow = run(seconds=5.0, figures={"seconds": 5.0, "peak_pss_bytes": 9e6})
    other = run("flux", figures={"seconds": 1.0, "peak_pss_bytes": 1e7})
    text = report.page([slow, other, run("flux", turn=1, faults=("/api/v1/x: differs", "and more"))])
    losses = text.partition("## Where we lose")[2].partition("\n## ")[0]
    assert "- S1 quiet, 1,000 objects: push → last object right, s: 5 against 1 of flux (1 turn)" in losses
    assert "memory" not in losses
    assert "flux, turn 2 of session s1: /api/v1/x: differs" in text.partition("## Runs that do not count")[2]


def test_a_loss_within_the_spread_of_runs_is_said_to_be_one():
    runs = [
        run(tool, seconds, turn=turn)
        for tool, all_of in (("cvstate", (2.0, 4.0, 5.0)), ("flux", (1.0, 3.0, 6.0)))
        for turn, seconds in enumerate(all_of)
    ]
    assert "4 against 3 of flux (3 turns, within the spread of the runs)" in report.page(runs)


def test_a_loss_is_one_in_the_turns_that_both_have():
    runs = [run(seconds=seconds, turn=turn) for turn, seconds in enumerate((1.0, 1.0, 9.0, 9.0, 9.0))]
    runs += [run("flux", 2.0, turn=turn) for turn in range(2)]
    assert "Against no peer in these runs." in report.page(runs)


OLD = [run(n=n, session="s0", commit="aaaaaaa", turn=turn) for n in (1000, 5000, 10000) for turn in range(5)]
NEW = [run(n=n, session="s1", commit="bbbbbbb", scenario=name) for name, n in (("S1", 2000), ("S2", 1000), ("S1", 1000))]


def test_the_report_says_which_commit_each_figure_is_of():
    text = report.page(OLD + NEW)
    assert "- session s0, commit aaaaaaa: 15 runs of S1\n- session s1, commit bbbbbbb: 2 runs of S1, S2\n" in text
    cold, small = (text.partition(f"## {name},")[2].partition("\n## ")[0] for name in ("S1", "S2"))
    assert "Measured in session s0, commit aaaaaaa (1,000, 5,000, 10,000 objects); session s1, commit bbbbbbb (2,000 objects)." in cold
    assert "Measured in session s1, commit bbbbbbb.\n" in small
    assert "Kept, but not shown: 1 run;" in text


def test_one_session_is_told_once():
    text = report.page(OLD)
    assert text.count("session s0") == 1
    assert "not shown" not in text


def test_the_tools_of_a_session_have_the_commit_that_one_of_them_noted():
    [cell] = cells([run("flux"), run(commit="aaaaaaa")])
    assert cell.commits == ["aaaaaaa"]


def test_what_broke_in_a_session_that_is_not_shown_is_told_all_the_same():
    text = report.page([*OLD, run(session="s2", faults=("y: differs",), turn=3)])
    assert "- S1 quiet, 1,000 objects, cvstate, turn 4 of session s2: y: differs" in text


def test_the_report_fits_growth_over_three_sizes():
    text = report.page([run(seconds=n / 1000, n=n) for n in (1000, 5000, 10000)])
    assert "| S1 quiet | push → last object right | 1,000 – 10,000 | 1.00 ± 0.00 |" in text


def test_without_sizes_there_is_no_chapter_on_growth():
    assert "## S9" not in report.page([run()])


def test_forms_of_a_scenario_have_sections_of_their_own():
    text = report.page([run(scenario="S4", variant=variant) for variant in ("20 per second", "100 per second")])
    assert text.count("## S4, drift\n") == 1
    assert "### 20 per second, quiet world" in text
    assert "(benchmark/S4-100-per-second-quiet.svg)" in text
    assert text.index("### 20 per second") < text.index("### 100 per second")


def test_what_was_measured_another_day_is_marked_so():
    argo = report.page([run()]).partition("## Argo CD")[2].partition("\n## ")[0]
    assert "measured another day" in argo.splitlines()[0]
    assert "not to be divided by them" in argo


def test_goals_come_before_everything_else():
    headings = [line for line in report.page(invented.records(1)).splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## Goals", "## Where we lose"]


def test_the_report_and_its_pictures_are_written(tmp_path: Path):
    report.write([run(), run("flux", 2.0), run(n=5000)], tmp_path)
    text = (tmp_path / report.PAGE).read_text()
    [picture] = (tmp_path / report.PICTURES).iterdir()
    assert f"({report.PICTURES}/{picture.name})" in text


def test_pictures_of_an_earlier_report_go(tmp_path: Path):
    report.write([run(scenario="S2")], tmp_path)
    report.write([run()], tmp_path)
    assert [path.name for path in (tmp_path / report.PICTURES).iterdir()] == ["S1-quiet.svg"]


def test_every_picture_that_the_page_shows_is_there(tmp_path: Path):
    report.write(invented.records(2), tmp_path)
    shown = re.findall(r"\]\((benchmark/.+?)\)", (tmp_path / report.PAGE).read_text())
    assert len(shown) == len(set(shown)) == 12
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / report.PICTURES).iterdir()} == set(shown)
