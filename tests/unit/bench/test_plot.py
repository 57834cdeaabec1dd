"""Pictures.

Aspects: well-formed, every point shown and inside · axes are round and labelled · readable in light and dark · names do not cover each other · a tool keeps its
colour.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bench import plot
from bench.plot import Point

SERIES = {"a <b>": [Point(1000, 0.5, 1, 2), Point(10000, 5, 10, 20)], "c": [Point(1000, 3, 3, 3)]}


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - written by us


def all_of(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [each for each in root.iter() if each.tag.endswith(f"}}{tag}")]


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in all_of(root, "text")]


def test_a_picture_is_well_formed_and_shows_every_point():
    circles = all_of(parsed(plot.draw("t & t", "x", "y", SERIES)), "circle")
    places = [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in circles]
    assert len(places) == 3
    assert places[0][0] < places[1][0]
    assert places[0][1] > places[1][1]
    assert all(0 < x < plot.WIDTH and 0 < y < plot.HEIGHT for x, y in places)


def test_axes_say_what_they_are_and_have_round_numbers_below_and_above_all_runs():
    told = texts(parsed(plot.draw("Title", "declared objects", "time, s", SERIES)))
    assert {"Title", "declared objects", "time, s", "1,000", "10,000", "0.5", "1", "2", "5", "10", "20"} <= set(told)


@pytest.mark.parametrize(
    ("values", "fewest", "most"),
    [
        pytest.param([70, 96], 3, 8, id="narrow"),
        pytest.param([0.0001, 90000], 3, 11, id="wide"),
        pytest.param([5, 5], 2, 8, id="one value"),
    ],
)
def test_there_are_some_numbers_on_an_axis_and_not_too_many(values: Sequence[float], fewest: int, most: int):
    points = [Point(1000 * (place + 1), value, value, value) for place, value in enumerate(values)]
    root = parsed(plot.draw("t", "x", "y", {"a": points}))
    ticks = [each for each in all_of(root, "text") if each.get("text-anchor") == "end"]
    assert fewest <= len(ticks) <= most


def test_a_picture_has_colours_for_readers_of_light_and_of_dark_pages():
    light, _, dark = plot.draw("t", "x", "y", SERIES).partition("@media (prefers-color-scheme: dark)")
    paper = re.compile(r"\.paper{fill:(#[0-9a-f]{6})}")
    assert [each.group(1) for part in (light, dark) if (each := paper.search(part))] == ["#ffffff", "#0d1117"]


def test_names_of_lines_that_end_at_one_place_do_not_cover_each_other():
    many = {f"tool-{number}": [Point(1000, 1, 1 + number / 1000, 2)] for number in range(7)}
    root = parsed(plot.draw("t", "x", "y", many))
    places = sorted(float(each.get("y", "")) for each in all_of(root, "text") if (each.text or "").startswith("tool-"))
    assert min(after - before for before, after in pairwise(places)) >= plot.LABEL_SPACE
    assert places[-1] < plot.HEIGHT


def test_a_tool_has_the_same_colour_in_every_picture():
    alone = plot.draw("t", "x", "y", {"flux": SERIES["c"]})
    both = plot.draw("t", "x", "y", {"cvstate": SERIES["c"], "flux": SERIES["c"]})
    colour = re.search(r"\.c0{color:(#\w+)}", alone)
    assert colour
    assert f".c1{{color:{colour.group(1)}}}" in both


def test_nothing_is_no_picture():
    with pytest.raises(ValueError, match="needs points"):
        plot.draw("t", "x", "y", {})
