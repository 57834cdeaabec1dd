"""The preview of the dashboards shows what Grafana would show.

Aspects: numbers with units · steps and windows · variables · legends · gaps · thresholds, mappings and colours · tables · everything that our dashboards use is known ·
pictures keep what they show. `make dashboard-pictures` draws with a real Prometheus and a real browser.
"""

import json
import re
import struct
import zlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.dashboards import BOARDS, file

# Modules of a program and no package, which the import above made known.
answers, chart, colors, page, png, units = (
    import_module(f"preview_{name}") for name in ("answers", "chart", "colors", "page", "png", "units")
)
NOW = 1_700_000_000.0
Series, Answer = answers.Series, answers.Answer


def board_panels() -> list[dict[str, Any]]:
    return [panel for name in BOARDS for panel in json.loads(file(name).read_text())["panels"] if panel["type"] != "row"]


def panel(kind: str, title: str) -> dict[str, Any]:
    return next(one for one in board_panels() if (one["type"], one["title"]) == (kind, title))


class Told(answers.Asking):
    """Answers from a table, by what stands in a query; keeps what was asked."""

    def __init__(self, told: Mapping[str, Any], *, seconds: float = 3600.0) -> None:
        super().__init__("http://prometheus.example", answers.Span(NOW - seconds, NOW))
        self.told, self.asked = told, []

    def _get(self, path: str, asked: Mapping[str, Any]) -> Any:
        self.asked.append((path, dict(asked)))
        return next((value for part, value in self.told.items() if part in asked.get("query", path)), {"result": []})


def series(name: str, *values: float, step: float = 60.0, **labels: str) -> Any:
    return Series(name, labels, tuple((NOW - (len(values) - 1 - place) * step, value) for place, value in enumerate(values)))


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        pytest.param(0, "short", None, "0", id="nothing"),
        pytest.param(12345, "short", None, "12.3 K", id="thousands"),
        pytest.param(0.9934, "percentunit", 1, "99.3%", id="a share"),
        pytest.param(0.032, "s", None, "32 ms", id="parts of a second"),
        pytest.param(1.5, "s", None, "1.50 s", id="seconds"),
        pytest.param(90, "s", None, "1.50 mins", id="minutes"),
        pytest.param(7200, "s", None, "2 hours", id="hours"),
        pytest.param(3 * 2**20, "bytes", None, "3 MiB", id="bytes"),
        pytest.param(2.034, "opm", None, "2.03 ops/min", id="a rate"),
        pytest.param((NOW - 120) * 1000, "dateTimeFromNow", None, "2 minutes ago", id="a time"),
        pytest.param(float("nan"), "s", None, "NaN", id="no number"),
    ],
)
def test_a_number_is_written_with_its_unit(value: float, unit: str, decimals: int | None, text: str) -> None:
    assert units.written(value, unit, now=NOW, decimals=decimals) == text


def test_every_unit_and_colour_of_our_dashboards_is_known() -> None:
    for one in board_panels():
        units.written(1.0, one["fieldConfig"]["defaults"]["unit"], now=NOW)
        for named in re.findall(r'"(?:color|fixedColor)": "([\w-]+)"', json.dumps(one)):
            colors.shade(named)


def test_a_graph_is_asked_for_by_steps_that_are_no_finer_than_scrapes() -> None:
    asking = Told({})
    asking.answers(panel("timeseries", "Memory"), points=600)
    ((path, asked), *_) = asking.asked
    assert path == "query_range"
    assert asked["step"] == answers.SCRAPE_SECONDS
    assert asked["start"] % asked["step"] == asked["end"] % asked["step"] == 0


@pytest.mark.parametrize(("hours", "window"), [(1, "60s"), (6, "75s"), (24 * 7, "1215s")])
def test_the_window_of_rates_grows_with_the_step(hours: int, window: str) -> None:
    asking = Told({}, seconds=hours * 3600.0)
    asking.answers(panel("timeseries", "CPU"), points=600)
    assert f"[{window}]" in asking.asked[0][1]["query"]


def test_a_number_and_a_table_are_asked_for_at_one_moment() -> None:
    asking = Told({})
    asking.answers(panel("stat", "Not ready"), points=100)
    assert asking.asked[0][0] == "query"
    assert asking.asked[0][1]["time"] == NOW


def test_a_variable_has_the_first_value_that_there_is_or_all() -> None:
    for name, chosen in (("debug", {"namespace": "a", "name": "shop"}), ("on-call", {"namespace": ".*"})):
        asking = Told({"label/namespace": ["b", "a"], "label/name": ["shop"]})
        asking.choose(json.loads(file(name).read_text())["templating"]["list"], wanted={})
        assert asking.chosen == chosen
    assert asking.asked == []


def test_a_chosen_value_is_put_into_the_queries() -> None:
    asking = Told({})
    asking.choose(json.loads(file("debug").read_text())["templating"]["list"], wanted={"namespace": "team-a", "name": "shop"})
    asking.answers(panel("stat", "Score"), points=100)
    assert 'namespace="team-a",name="shop"' in asking.asked[-1][1]["query"]


def test_a_line_ends_where_numbers_are_missing() -> None:
    found = series("memory", 1, 2, 3, 4, 5, 6)
    broken = Series("memory", {}, tuple(point for place, point in enumerate(found.points) if place not in (2, 3)))
    for whole, count in ((found, 1), (broken, 2)):
        drawn = chart.drawn(
            panel("timeseries", "Memory"), [Answer("A", (whole,), 60.0)], span=answers.Span(NOW - 600, NOW), width=400, height=200
        )
        assert drawn.count("<polyline") == count


@pytest.mark.parametrize("value", [0.0, -2.0, 3.0, 1e-9])
def test_a_number_that_never_changes_is_a_line(value: float) -> None:
    found = [Answer("A", (series("left", value, value, value),), 60.0)]
    drawn = chart.drawn(panel("timeseries", "Error budget"), found, span=answers.Span(NOW - 120, NOW), width=400, height=200)
    assert drawn.count("<polyline") == 1


def test_limits_are_drawn_even_if_all_is_far_below_them() -> None:
    drawn = chart.drawn(
        panel("timeseries", "Event loop"),
        [Answer("A", (series("99 %", 0.01, 0.01),), 60.0)],
        span=answers.Span(NOW - 60, NOW),
        width=400,
        height=200,
    )
    assert drawn.count("stroke-dasharray") == 2


def test_what_is_broken_is_never_green_and_what_is_well_is() -> None:
    ready = panel("timeseries", "Ready")
    assert colors.of_name(ready, "Reconciled", 3) == colors.shade("green")
    for place, reason in enumerate(("Invalid", "PathNotFound", "AwaitingApproval", "Progressing", "BreakerOpen", "NobodyKnowsThisWord")):
        assert colors.of_name(ready, reason, place) != colors.shade("green")
    health = panel("timeseries", "Objects by health")
    assert [colors.of_name(health, word, 0) for word in ("Ready", "Degraded")] == [colors.shade("green"), colors.shade("red")]


def test_lines_that_no_pattern_fits_have_the_colours_of_their_place() -> None:
    memory = panel("timeseries", "Memory")
    assert [colors.of_name(memory, "a", place) for place in (0, 1)] == list(colors.CLASSIC[:2])


def test_a_condition_is_shown_as_a_word_and_a_count_in_its_threshold_s_colour() -> None:
    ready = page.shown(panel("stat", "Ready"), Told({"cvstate_ready": result({}, 0)}), width=200, height=80)
    assert ">no<" in ready
    assert colors.shade("red") in ready
    assert colors.shade("green") in page.shown(panel("stat", "Not ready"), Told({"cvstate_ready": result({}, 0)}), width=200, height=80)


def result(labels: Mapping[str, str], *values: float) -> Any:
    return {"result": [{"metric": dict(labels), "value": [NOW, str(value)]} for value in values]}


def test_a_table_shows_whom_it_concerns_first_and_the_newest_on_top() -> None:
    rows = [
        {"metric": {"reason": word, "name": name, "namespace": "team-a", "kind": "Ready"}, "value": [NOW, str((NOW - age) * 1000)]}
        for word, name, age in (("Invalid", "old", 7200), ("PathNotFound", "new", 60))
    ]
    shown = page.shown(
        panel("table", "Conditions that are not as they should be"),
        Told({"cvstate_condition_unmet": {"result": rows}}),
        width=600,
        height=300,
    )
    assert re.findall(r"<th[^>]*>(\w+)", shown) == ["namespace", "name", "kind", "reason", "Since"]
    assert shown.index("new") < shown.index("old")
    assert "2 hours ago" in shown


def test_what_has_no_answer_says_so() -> None:
    assert "No data" in page.shown(panel("table", "Oldest drift"), Told({}), width=600, height=300)
    assert "–" in page.shown(panel("stat", "Lowest score"), Told({}), width=600, height=300)


def test_a_page_shows_every_panel_with_its_title() -> None:
    board = json.loads(file("on-call").read_text())
    asking = Told({})
    asking.choose(board["templating"]["list"], wanted={})
    html, height = page.page(board, asking, note="drawn by a test")
    assert all(f">{one['title']}<" in html for one in board["panels"])
    assert "<script" not in html
    assert height > 2000


def picture(pixels: list[list[tuple[int, int, int]]]) -> bytes:
    """A PNG without filters."""
    rows = b"".join(b"\0" + b"".join(bytes(pixel) for pixel in row) for row in pixels)
    head = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_picture_with_few_colours_keeps_each_pixel(tmp_path: Path) -> None:
    pixels = [[(x * 16, y * 16, 7) for x in range(16)] for y in range(16)]
    target = tmp_path / "a.png"
    target.write_bytes(picture(pixels))
    png.shrink(target)
    chunks = dict(png.chunks(target.read_bytes()))
    palette, rows = chunks[b"PLTE"], zlib.decompress(chunks[b"IDAT"])
    found = [[tuple(palette[place * 3 : place * 3 + 3]) for place in rows[line * 17 + 1 : line * 17 + 17]] for line in range(16)]
    assert found == pixels


def test_what_is_no_picture_of_a_browser_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="no PNG"):
        png.shrink(target)
