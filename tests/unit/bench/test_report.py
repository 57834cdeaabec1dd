"""Sessions, cells and the report.

Aspects: turns go to and fro · which session counts · the best width of the lower bound · ratios by turns · where we lose and what broke is told ·
growth, also with each object · pictures are well-formed.
"""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import plot, report
from bench.cells import cells, per_object
from bench.plot import Point
from bench.session import order
from tests.unit.bench.builders import run


def test_every_second_turn_goes_backwards():
    assert order(["a", "b", "c"], 3) == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a"), (2, "a"), (2, "b"), (2, "c")]


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
    assert cells(alone + small + newer + large)[0].sessions == 4


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


def test_the_report_names_every_tool_its_runs_and_the_ratios():
    text = report.page([run(seconds=1.0), run("flux", 4.0), run("bound-8", 0.5)])
    assert "| 1000 | cvstate | 1 | 1.000 | 1.000 – 1.000 |" in text
    assert "| 2.00 | 0.25 |" in text
    assert "## S1, cold convergence (quiet)" in text


def test_a_ratio_of_several_turns_comes_with_its_interval():
    text = report.page([run(tool, seconds, turn=turn) for turn in range(3) for tool, seconds in (("cvstate", 1.0), ("flux", 4.0))])
    assert "0.25 (0.25 – 0.25) |" in text


def test_a_scenario_may_be_about_another_figure():
    idle = [
        run(tool, scenario="S3", figures={"requests_per_hour": value}, main="requests_per_hour")
        for tool, value in (("cvstate", 0), ("flux", 12345.6))
    ]
    text = report.page(idle)
    assert "| requests per hour, median |" in text
    assert "| 1000 | cvstate | 1 | 0 | 0 – 0 |" in text
    assert "| 1000 | flux | 1 | 12346 | 12346 – 12346 |" in text


MEMORY = [
    run(scenario="S6", n=n, m=m, figures={"pss_bytes": 70e6 + 1000 * n + 2 * m}, main="pss_bytes")
    for n in (0, 1000, 10000)
    for m in (0, 10000, 100000)
]


def test_memory_is_fitted_for_each_declared_and_each_foreign_object():
    declared, foreign = per_object(cells(MEMORY), "cvstate")
    assert declared == pytest.approx(1000)
    assert foreign == pytest.approx(2)


def test_one_size_has_no_slope():
    assert per_object(cells([run()]), "cvstate") == (None, None)
    assert per_object(cells(MEMORY), "flux") == (None, None)


def test_memory_is_shown_in_megabytes_and_without_objects_there_is_no_dot():
    text = report.page(MEMORY)
    assert "| pss MB, median |" in text
    assert "| 0 | cvstate | 1 | 70.00 | 70.00 – 70.00 |" in text
    assert "cvstate 1000 bytes for each declared one, 2 bytes for each foreign one" in text


def test_where_only_foreign_objects_were_measured_there_is_no_picture():
    assert "](benchmark/" not in report.page([run(m=500)])
    assert "](benchmark/" in report.page([run(m=500), run(m=0)])


def test_a_ratio_to_itself_is_no_loss():
    text = report.page([run(tool, figures={"seconds": 1.0, "peak_ratio": ratio}) for tool, ratio in (("cvstate", 1.2), ("flux", 1.0))])
    assert "| peak over steady |" in text
    assert "Against no peer in these runs." in text


def test_columns_that_a_scenario_does_not_have_are_left_out():
    assert "p99" not in report.page([run()])
    assert "p99" in report.page([run(figures={"seconds": 1.0, "p99_seconds": 2.0})])


@pytest.mark.parametrize(("tools", "told"), [(("cvstate", "bound-4"), "No peer took part"), (("cvstate", "flux"), "Against no peer")])
def test_to_lose_nowhere_is_told_apart_from_meeting_nobody(tools: tuple[str, ...], told: str):
    assert told in report.page([run(tool) for tool in tools])


def test_the_report_says_where_we_lose_and_what_does_not_count():
    slow = run(seconds=5.0, figures={"seconds": 5.0, "peak_pss_bytes": 9e6})
    other = run("flux", figures={"seconds": 1.0, "peak_pss_bytes": 1e7})
    text = report.page([slow, other, run("flux", turn=1, faults=("/api/v1/x: differs", "and more"))])
    losses, _, broken = text.partition("## Where we lose")[2].partition("## Runs that do not count")
    assert "S1 quiet, 1000 objects: seconds: 5.000 against 1.000 of flux" in losses
    assert "memory" not in losses
    assert "flux, turn 1: /api/v1/x: differs" in broken


def test_the_report_fits_growth_over_three_sizes():
    text = report.page([run(seconds=n / 1000, n=n) for n in (1000, 5000, 10000)])
    assert "| S1 quiet | seconds | 1000 – 10000 | 1.00 ± 0.00 |" in text


def test_without_sizes_there_is_no_chapter_on_growth():
    assert "S9" not in report.page([run()])


def test_forms_of_a_scenario_have_chapters_of_their_own():
    text = report.page([run(scenario="S4", variant=variant) for variant in ("20 per second", "100 per second")])
    assert "## S4, drift, 20 per second (quiet)" in text
    assert "(benchmark/S4-100-per-second-quiet.svg)" in text
    assert text.index("20 per second") < text.index("100 per second")


def test_the_report_and_its_pictures_are_written(tmp_path: Path):
    report.write([run(), run("flux", 2.0), run(n=5000)], tmp_path)
    text = (tmp_path / report.PAGE).read_text()
    [picture] = (tmp_path / report.PICTURES).iterdir()
    assert f"({report.PICTURES}/{picture.name})" in text


def test_a_picture_is_well_formed_and_shows_every_point():
    series = {"a <b>": [Point(1000, 0.5, 1, 2), Point(10000, 5, 10, 20)], "c": [Point(1000, 3, 3, 3)]}
    root = ElementTree.fromstring(plot.draw("t & t", "x", "y", series))  # noqa: S314 - written by us
    circles = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(circles) == 3
    places = [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in circles]
    assert places[0][0] < places[1][0]
    assert places[0][1] > places[1][1]
    assert all(0 < x < plot.WIDTH and 0 < y < plot.HEIGHT for x, y in places)


def test_nothing_is_no_picture():
    with pytest.raises(ValueError, match="needs points"):
        plot.draw("t", "x", "y", {})
