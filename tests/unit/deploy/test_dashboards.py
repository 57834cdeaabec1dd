"""Dashboards of the chart, as files and as queries.

Aspects: in step with their generator · Grafana can place every panel · people can read every panel · queries are PromQL about metrics and labels that exist ·
every metric is shown somewhere · links lead somewhere. tests/integration/test_dashboards.py asks a real Prometheus.
"""

import itertools
import json
from pathlib import Path
from typing import Any, Final

import pytest

from cvstate_operator.telemetry.metrics import Metrics
from cvstate_operator.telemetry.process_metrics import API_FAILURES
from cvstate_operator.telemetry.rollout_metrics import LEAD_BUCKETS
from tests.support.dashboards import (
    BOARDS,
    COLUMNS,
    DOWN,
    FAILURES,
    IDS,
    PANELS,
    PICTURES,
    ROOT,
    Panel,
    asked,
    digest,
    drawn,
    file,
    note_drawn,
    promql_pieces,
    queries,
    text,
)
from tests.support.exposed import LABELS, OF_PROMETHEUS, aggregations, parts, unknown

each_board = pytest.mark.parametrize("name", BOARDS)
each_panel = pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)


def panels(name: str) -> list[dict[str, Any]]:
    """What Grafana reads, rows included."""
    found: list[dict[str, Any]] = json.loads(file(name).read_text())["panels"]
    return found


@each_board
def test_a_file_is_as_its_generator_makes_it(name: str) -> None:
    assert file(name).read_text() == text(name), "run `make dashboards`"


@each_board
def test_the_picture_of_a_dashboard_is_of_the_dashboard_as_it_is(name: str) -> None:
    assert (PICTURES / f"dashboard-{name}.png").exists()
    assert drawn(name) == digest(name), "run `make dashboard-pictures`"


@pytest.mark.parametrize(
    ("change", "is_seen"),
    [
        pytest.param({"targets": [{"expr": "up"}]}, True, id="a-query"),
        pytest.param({"gridPos": {"x": 0, "y": 0, "w": 1, "h": 1}}, True, id="a-place"),
        pytest.param({"title": "Another"}, True, id="a-title"),
        pytest.param({"fieldConfig": {}}, True, id="units-and-colours"),
        pytest.param({"description": "another"}, False, id="a-description"),
        pytest.param({"links": []}, False, id="a-runbook"),
    ],
)
def test_a_picture_is_of_another_dashboard_once_it_would_look_otherwise(
    change: dict[str, Any], is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, body = digest("executive"), json.loads(file("executive").read_text())
    note_drawn(tmp_path)
    body["panels"][1] |= change
    (tmp_path / "executive.json").write_text(json.dumps(body))
    monkeypatch.setattr("tests.support.dashboards.file", lambda name: tmp_path / f"{name}.json")
    assert drawn("executive", tmp_path) == before
    assert (digest("executive") != before) == is_seen


def test_there_is_no_file_without_a_generator() -> None:
    assert {one.stem for one in file("executive").parent.glob("*.json")} == set(BOARDS)


def test_dashboards_are_known_by_fixed_ids_that_differ() -> None:
    assert sorted(json.loads(file(name).read_text())["uid"] for name in BOARDS) == ["cvstate-debug", "cvstate-executive", "cvstate-on-call"]


@each_board
def test_panels_have_ids_of_their_own(name: str) -> None:
    ids = [one["id"] for one in panels(name)]
    assert len(set(ids)) == len(ids)


@each_board
def test_panels_lie_within_the_grid_and_not_upon_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for one in panels(name):
        place = one["gridPos"]
        cells = set(itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])))
        assert place["x"] + place["w"] <= COLUMNS
        assert taken.isdisjoint(cells), one["title"]
        taken |= cells


@each_board
def test_every_query_asks_the_chosen_prometheus(name: str) -> None:
    assert json.loads(file(name).read_text())["templating"]["list"][0]["type"] == "datasource"
    for one in panels(name):
        if one["type"] != "row":
            assert {target["datasource"]["uid"] for target in one["targets"]} == {"${datasource}"}


@each_board
def test_each_dashboard_leads_to_the_others(name: str) -> None:
    links = {link["url"] for link in json.loads(file(name).read_text())["links"]}
    assert links == {f"/d/{board.uid}" for other, board in BOARDS.items() if other != name}


@each_panel
def test_a_panel_says_what_it_shows(board: str, panel: Panel) -> None:
    assert panel.meaning.endswith((".", "%."))
    assert panel.unit
    assert not panel.empty or panel.empty.startswith("Empty w")
    assert panel.kind != "table" or all(query.legend for query in panel.queries)
    assert len(panel.queries) == 1 or all(query.legend for query in panel.queries)


@each_panel
def test_a_query_is_promql_about_metrics_that_exist(board: str, panel: Panel) -> None:
    for query in queries(panel):
        assert unknown(query) == [], query


@each_board
def test_what_is_said_of_now_is_said_in_red_while_no_operator_is_scraped(name: str) -> None:
    """Else a 0 that no operator told, or an empty table, would look as if all were well."""
    for one in panels(name):
        if one["type"] in ("stat", "table"):
            columns = [override["properties"] for override in one["fieldConfig"]["overrides"]]
            changed = [property["value"] for properties in columns for property in properties if property["id"] == "mappings"]
            for mappings in (one["fieldConfig"]["defaults"]["mappings"], *changed):
                assert mappings[0]["options"][str(DOWN)]["color"] == "red", one["title"]
            for target in one["targets"]:
                assert target["expr"].startswith(f"{DOWN} * absent(cvstate_build_info) or on () ("), one["title"]


@each_panel
def test_a_legend_names_labels_that_are_left(board: str, panel: Panel) -> None:
    for query in panel.queries:
        named = {part.partition("}}")[0] for part in query.legend.split("{{")[1:]}
        kept = [set(one.modifier.labels) for one in aggregations(asked(query.expr)) if one.modifier]
        left = kept[0] if kept else OF_PROMETHEUS.union(*(LABELS[one.name] for one in parts(asked(query.expr))))
        assert named <= left, query.expr


@pytest.mark.parametrize("metric", [*Metrics().described(), *Metrics().described_process()], ids=lambda one: one.name)
def test_every_metric_is_shown_somewhere(metric: Any) -> None:
    if metric.name == "process_virtual_memory_bytes":
        return  # of the address space, of which the isolated children take much and use little: it tells nothing
    shown = {found.name for _, panel in PANELS for query in queries(panel) for found in parts(query)}
    assert {metric.name, f"{metric.name}_total", f"{metric.name}_bucket", f"{metric.name}_sum"} & shown


def test_failures_of_the_api_server_are_the_same_as_in_the_code() -> None:
    assert FAILURES.removeprefix("~").split("|") == list(API_FAILURES)


def asks_for_what_failed(panel: Panel) -> bool:
    """Whether each of its lines is why something failed or is not known, in words that nobody counted beforehand."""
    for query in queries(panel):
        for found in parts(query):
            not_well = any(one.name == "result" and one.value == "ok" and "NotEqual" in str(one.op) for one in found.matchers.matchers)
            if (found.name.endswith("_total") and not_well) or found.name == "cvstate_telemetry_missing_sources":
                return True
    return False


FAILED_PANELS: Final = [
    (panel.title, panel)
    for _, panel in PANELS
    if panel.kind == "timeseries" and asks_for_what_failed(panel) and "{{" in panel.queries[0].legend
]


def test_there_are_panels_about_failures() -> None:
    assert {"Looks at sources that failed", "Writes that failed", "Passes by why they are not ready", "Sources that tell nothing"} <= {
        title for title, _ in FAILED_PANELS
    }


@pytest.mark.parametrize(("title", "panel"), FAILED_PANELS, ids=[title for title, _ in FAILED_PANELS])
def test_what_failed_is_drawn_in_red_and_never_in_a_colour_by_its_place(title: str, panel: Panel) -> None:
    """The first colour by place is green."""
    assert panel.colors[:1] == ((".*", "red"),)


@each_panel
def test_a_runbook_that_is_linked_is_there(board: str, panel: Panel) -> None:
    for name in panel.runbooks:
        assert (ROOT / "docs" / "runbooks" / f"{name}.md").exists()


def test_what_nobody_counted_is_no_time_of_0() -> None:
    """A green 0 s would say that it was done at once."""
    assert "clamp_min" not in promql_pieces.mean("cvstate_drift_remediation_by_severity_seconds")
    assert promql_pieces.mean("x", window="1h") == "sum(increase(x_sum[1h])) / (sum(increase(x_count[1h])) > 0)"


@pytest.mark.parametrize("seconds", [1.5, 2.28, 7.0, 12.0, 28.0, 90.0])
def test_a_lead_time_is_shown_within_its_factor_of_two_and_a_half(seconds: float) -> None:
    """As histogram_quantile finds the median of changes that all took so long: in the middle of their bucket."""
    below = max((bound for bound in LEAD_BUCKETS if bound < seconds), default=0.0)
    above = min(bound for bound in LEAD_BUCKETS if bound >= seconds)
    assert 1 / 2.5 <= (below + above) / 2 / seconds <= 2.5
