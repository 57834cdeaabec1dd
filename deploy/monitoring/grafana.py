"""Grafana's JSON for dashboards: what a panel shows, told once, and laid out in rows of 24 columns.

Source: Grafana documentation, "Dashboard JSON model"; schemaVersion 41 is that of Grafana 12, older ones read it too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from colors import Colors

SCHEMA_VERSION: Final = 41
COLUMNS: Final = 24
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
RUNBOOKS: Final = "https://github.com/cvstate/cvstate-operator/blob/main/docs/runbooks"

_HEIGHTS: Final = {"stat": 4, "timeseries": 7, "bargauge": 7, "table": 7}
_COLUMNS_OF_QUERIES: Final = {"Time": True, "__name__": True}
_ORDER: Final = ("namespace", "name", "kind", "action", "reason")
"""Of the columns of a table that are labels: whom it concerns first."""
_DEBUG: Final = (
    "/d/cvstate-debug?var-namespace=${__data.fields.namespace}&var-name=${__data.fields.name}&${datasource:queryparam}&${__url_time_range}"
)
"""The debug dashboard about the ClusterState of a row."""

Json = dict[str, Any]
Steps = tuple[tuple[str, float | None], ...]
"""Colours, each from a value on; the first from everything below."""

Words = tuple[tuple[int, str, str], ...]
"""Numbers that are shown as a word, each with its colour."""

DOWN: Final = -999
"""What tiles and tables get while no operator is scraped, a number that none of them has otherwise. By itself no answer looks like 0, or like nothing to be told: all well."""
_TOLD: Final = ("stat", "table")
"""Panels that say what is so now; lines and bars end where nothing is known any more."""
_DOWN_WORD: Final[Words] = ((DOWN, "operator down", "red"),)

PLAIN: Final[Steps] = (("text", None),)
CLOSED: Final[Words] = ((1, "yes", "purple"),)
"""Of gates."""
YES_NO: Final[Words] = ((1, "yes", "green"), (0, "no", "red"), (-1, "not known", "orange"))
"""Of conditions."""


def at_least(good: float, bad: float) -> Steps:
    """Green from `good` on, red below `bad`."""
    return (("red", None), ("orange", bad), ("green", good))


def at_most(good: float, bad: float) -> Steps:
    """Green below `good`, red from `bad` on; both above 0."""
    return (("green", None), ("orange", good), ("red", bad))


NONE_IS_GOOD: Final[Steps] = (("green", None), ("red", 1))
FEW_ARE_FINE: Final[Steps] = (("green", None), ("orange", 1))


@dataclass(frozen=True)
class Query:
    """One PromQL query; `$__rate_interval`, `$__range` and the variables of the dashboard may stand in it."""

    expr: str
    legend: str = ""
    """What a line is called, as `{{reason}}`; in a table the name of its column."""


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str
    meaning: str
    """For people: what the number is, and when it is good."""
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    """timeseries, stat, bargauge or table."""
    unit: str = "short"
    """A unit of Grafana's: percentunit, s, bytes, dateTimeFromNow."""
    width: int = 8
    steps: Steps = PLAIN
    decimals: int | None = None
    most: float | None = None
    """Upper end of the scale."""
    words: Words = ()
    """Shown in place of numbers."""
    worded: tuple[tuple[str, Words], ...] = ()
    """The same for columns of a table, by their names."""
    colors: Colors = ()
    """Of lines by their legend; those that nothing fits have colours by their place."""
    sorted_by: str = ""
    """Column that a table is sorted by at first, the largest on top; with a minus the smallest."""
    tall: int = 0
    """Height in units of the grid; 0: as all of its kind."""
    is_stacked: bool = False
    empty: str = ""
    """When it shows nothing, and why that is well; empty if it always shows something."""
    runbooks: tuple[str, ...] = ()
    """Alerts that belong to it."""

    @property
    def height(self) -> int:
        """In units of the grid."""
        return self.tall or _HEIGHTS[self.kind]


@dataclass(frozen=True)
class Row:
    """Panels under one headline."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A label to choose by, above the dashboard."""

    name: str
    query: str
    is_multi: bool


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    meaning: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    since: str
    """How far back it looks at first: now-6h."""

    @property
    def panels(self) -> Iterator[Panel]:
        """All of them, in their order."""
        return (panel for row in self.rows for panel in row.panels)


def stat(title: str, meaning: str, expr: str, **more: Any) -> Panel:
    """One number."""
    return Panel(title, meaning, (Query(expr),), kind="stat", **{"width": 4, **more})


def lines(title: str, meaning: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Numbers in time; each query with its legend."""
    return Panel(title, meaning, tuple(Query(*query) for query in queries), **more)


def table(title: str, meaning: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Numbers now, a row for each set of labels; each query with the name of its column."""
    return Panel(title, meaning, tuple(Query(*query) for query in queries), kind="table", **{"width": 12, **more})


def bars(title: str, meaning: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Numbers now, as bars."""
    return Panel(title, meaning, tuple(Query(*query) for query in queries), kind="bargauge", **more)


# -- JSON ------------------------------------------------------------------------------------------------------------------


def dashboard(board: Board, *, others: Sequence[Board]) -> Json:
    """The dashboard as Grafana reads it, with links to the others."""
    return {
        "annotations": {"list": []},
        "description": board.meaning,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [_link(other.title, f"/d/{other.uid}", keeps=True) for other in others],
        "panels": list(_laid_out(board.rows)),
        "refresh": "1m",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["cvstate", "kubernetes", "gitops"],
        "templating": {"list": [_datasource(), *(_variable(one) for one in board.variables)]},
        "time": {"from": board.since, "to": "now"},
        "timezone": "",
        "title": board.title,
        "uid": board.uid,
        "version": 1,
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    number = y = 0
    for row in rows:
        number += 1
        yield {
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
            "id": number,
            "panels": [],
            "title": row.title,
            "type": "row",
        }
        x, y, line = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, line = 0, y + line, 0
            number += 1
            yield _panel(panel, number, {"h": panel.height, "w": panel.width, "x": x, "y": y})
            x, line = x + panel.width, max(line, panel.height)
        y += line


def _panel(panel: Panel, number: int, place: Json) -> Json:
    is_now = panel.kind != "timeseries"
    found: Json = {
        "datasource": DATASOURCE,
        "description": f"{panel.meaning} {panel.empty}".strip(),
        "fieldConfig": {"defaults": _field(panel), "overrides": list(_overrides(panel))},
        "gridPos": place,
        "id": number,
        "links": [_link(f"Runbook {name}", f"{RUNBOOKS}/{name}.md", keeps=False) for name in panel.runbooks],
        "options": _options(panel),
        "targets": [_target(query, chr(ord("A") + place), panel.kind, is_now=is_now) for place, query in enumerate(panel.queries)],
        "title": panel.title,
        "type": panel.kind,
    }
    if panel.kind == "table":
        # With several queries a column of numbers is called `Value #A`, with one it is `Value`.
        named = {f"Value #{chr(ord('A') + place)}": query.legend for place, query in enumerate(panel.queries)}
        names = named if len(panel.queries) > 1 else {"Value": panel.queries[0].legend}
        found["transformations"] = [
            *([{"id": "merge", "options": {}}] if len(panel.queries) > 1 else []),
            {"id": "organize", "options": {"excludeByName": _COLUMNS_OF_QUERIES, "indexByName": _places(names), "renameByName": names}},
        ]
    return found


def _places(numbers: Iterable[str]) -> Json:
    """Labels first, numbers last; without that Grafana sorts labels by the alphabet."""
    return {name: place for place, name in enumerate((*_ORDER, *numbers))}


def _overrides(panel: Panel) -> Iterator[Json]:
    for pattern, color in panel.colors:
        mode = "shades" if re.search(r"[|]", pattern) or pattern == ".*" else "fixed"
        yield _override("byRegexp", f"/^(?:{pattern})$/", color={"mode": mode, "fixedColor": color})
    for column, words in panel.worded:
        yield _override("byName", column, mappings=_mappings((*words, *_DOWN_WORD)), **{"custom.cellOptions": {"type": "color-text"}})
    if panel.kind == "table" and any("name" in query.expr for query in panel.queries):
        yield _override("byName", "name", links=[{"title": "cvstate debug", "url": _DEBUG}])


def _override(matcher: str, options: str, **properties: Any) -> Json:
    return {
        "matcher": {"id": matcher, "options": options},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def told(expr: str) -> str:
    """A query that gives DOWN, and nothing else, while no operator is scraped: counters and what Prometheus recorded go on without one."""
    return f"{DOWN} * absent(cvstate_build_info) or on () ({expr})"


def _mappings(words: Words) -> list[Json]:
    """None for no words."""
    options = {str(value): {"color": color, "index": place, "text": text} for place, (value, text, color) in enumerate(words)}
    return [{"type": "value", "options": options}] if words else []


def _target(query: Query, ref: str, kind: str, *, is_now: bool) -> Json:
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": told(query.expr) if kind in _TOLD else query.expr,
        "format": "table" if kind == "table" else "time_series",
        "instant": is_now,
        "legendFormat": query.legend or "__auto",
        "range": not is_now,
        "refId": ref,
    }


def _field(panel: Panel) -> Json:
    found: Json = {
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "noValue": "–",
        "thresholds": {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in panel.steps]},
        "unit": panel.unit,
    }
    if panel.kind in _TOLD:
        found["mappings"] = _mappings((*panel.words, *_DOWN_WORD))
    if panel.decimals is not None:
        found["decimals"] = panel.decimals
    if panel.most is not None:
        found |= {"min": 0, "max": panel.most}
    if panel.kind == "timeseries":
        fill = 40 if panel.is_stacked else 8
        stacking = {"group": "A", "mode": "normal" if panel.is_stacked else "none"}
        has_limit = panel.steps != PLAIN
        found["custom"] = {
            "drawStyle": "line",
            "fillOpacity": fill,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": stacking,
            "thresholdsStyle": {"mode": "dashed" if has_limit else "off"},
        }
        if has_limit:
            # Else a line at 0 has a scale up to 1, and the limits lie upon it.
            found["custom"]["axisSoftMax"] = panel.steps[-1][1]
    if panel.kind == "table":
        found["custom"] = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}
    return found


def _options(panel: Panel) -> Json:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "stat":
            return {"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "reduceOptions": reduced, "textMode": "auto"}
        case "bargauge":
            return {
                "displayMode": "gradient",
                "orientation": "horizontal",
                "reduceOptions": reduced,
                "showUnfilled": True,
                "valueMode": "color",
            }
        case "table":
            column = panel.sorted_by
            order = [{"displayName": column.removeprefix("-"), "desc": not column.startswith("-")}] if column else []
            return {"cellHeight": "sm", "footer": {"show": False}, "showHeader": True, "sortBy": order}
        case _:
            return {
                "legend": {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }


def _link(title: str, url: str, *, keeps: bool) -> Json:
    """`keeps`: the chosen time and variables go along."""
    return {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": keeps,
        "keepTime": keeps,
        "tags": [],
        "targetBlank": not keeps,
        "title": title,
        "type": "link",
        "url": url,
    }


def _datasource() -> Json:
    return {
        "current": {},
        "hide": 0,
        "label": "Prometheus",
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "type": "datasource",
    }


def _variable(variable: Variable) -> Json:
    return {
        "allValue": ".*" if variable.is_multi else None,
        "current": {"text": "All", "value": "$__all"} if variable.is_multi else {},
        "datasource": DATASOURCE,
        "definition": variable.query,
        "hide": 0,
        "includeAll": variable.is_multi,
        "multi": variable.is_multi,
        "name": variable.name,
        "options": [],
        "query": {"query": variable.query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }
