"""A dashboard as one HTML page without scripts: Grafana's grid of 24 columns, each panel with its title, what it says of itself, and what Prometheus answered."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import preview_chart
from preview_answers import Answer, Asking
from preview_colors import of_value, shade
from preview_units import written

Json = dict[str, Any]
WIDTH: Final = 1440
"""Of the page, pixels."""
_COLUMN: Final = WIDTH / 24
_CELL, _GAP = 30, 8
"""Height of a row of the grid and what lies between two. Source: Grafana, core/constants.ts."""
_HEAD: Final = 64
_CAPTION: Final = 34
"""Height of a panel's title, and of what it says of itself."""
_LEGEND: Final = 26

_STYLE: Final = """
body{margin:0;background:#f4f5f5;color:#24292e;font:12px/1.35 "DejaVu Sans",Arial,sans-serif}
header{height:56px;padding:8px 12px 0}header b{font-size:17px}header p{margin:2px 0;color:#57606a}
.panel,.row{position:absolute;box-sizing:border-box}
.panel{background:#fff;border:1px solid #dfe1e5;border-radius:2px;padding:5px 8px;overflow:hidden}
.row{font-size:15px;font-weight:bold;padding-top:7px}
h3{margin:0;font-size:12.5px;white-space:nowrap}.why{color:#6e7781;font-size:10px;height:15px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis}
.number{text-align:center;white-space:nowrap}.nothing{color:#6e7781;text-align:center;padding-top:22px}.fault{color:#c4162a}
.grid{stroke:#e5e7ea}.tick{fill:#6e7781;font-size:10.5px}
.legend{font-size:10.5px;height:30px;overflow:hidden}.legend span{margin-right:12px;display:inline-block}
.legend i{display:inline-block;width:13px;height:4px;margin-right:5px;vertical-align:middle}
table{border-collapse:collapse;width:100%;font-size:11.5px}th,td{text-align:left;padding:2.5px 6px;border-bottom:1px solid #eceef0;white-space:nowrap}
th,td.link{color:#3274d9}td.n,th.n{text-align:right}
.bar{display:flex;align-items:center;margin:3px 0}.bar span{width:130px;overflow:hidden;white-space:nowrap}
.bar div{flex:1;background:#eceef0;height:14px}.bar div i{display:block;height:14px}.bar b{width:80px;text-align:right}
"""


def page(board: Json, asking: Asking, *, note: str) -> tuple[str, int]:
    """The page of a dashboard, and its height in pixels.

    Args:
        board: the dashboard as Grafana reads it.
        asking: with the dashboard's variables chosen.
        note: what the reader has to know of how it came about; stands below the title.
    """
    chosen = " · ".join(f"{name}: {'All' if value == '.*' else value}" for name, value in asking.chosen.items())
    begin, end = (datetime.fromtimestamp(moment, UTC) for moment in (asking.span.begin, asking.span.end))
    head = f"<header><b>{escape(board['title'])}</b> &nbsp; {escape(chosen)} &nbsp; {begin:%H:%M} – {end:%H:%M} UTC<p>{escape(note)}</p></header>"
    panels = "".join(_placed(panel, asking) for panel in board["panels"])
    height = _HEAD + max(sum(_vertical(panel["gridPos"])) for panel in board["panels"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(board["title"])}</title><style>{_STYLE}</style><body>{head}{panels}</body></html>',
        height,
    )


def _vertical(place: Mapping[str, int]) -> tuple[int, int]:
    """Top and height, pixels."""
    return place["y"] * (_CELL + _GAP), place["h"] * (_CELL + _GAP) - _GAP


def _placed(panel: Json, asking: Asking) -> str:
    place = panel["gridPos"]
    top, height = _vertical(place)
    left, width = place["x"] * _COLUMN + 4, int(place["w"] * _COLUMN - _GAP)
    where = f'style="left:{left:.0f}px;top:{top + _HEAD}px;width:{width}px;height:{height}px"'
    if panel["type"] == "row":
        return f'<div class="row" {where}>{escape(panel["title"])}</div>'
    content = shown(panel, asking, width=width - 18, height=height - _CAPTION - 14)
    return (
        f'<div class="panel" {where}><h3>{escape(panel["title"])}</h3><div class="why">{escape(panel["description"])}</div>{content}</div>'
    )


def shown(panel: Json, asking: Asking, *, width: int, height: int) -> str:
    """What a panel shows below its title, in so many pixels; a query that is refused shows why.

    Raises:
        ValueError: it is a panel of a type that is not drawn here.
    """
    try:
        answers = asking.answers(panel, points=width)
    except OSError as error:
        return f'<div class="fault">{escape(str(error))}</div>'
    if not any(answer.series for answer in answers):
        text = panel["fieldConfig"]["defaults"]["noValue"] if panel["type"] == "stat" else "No data"
        return f'<div class="nothing" style="font-size:{20 if panel["type"] == "stat" else 13}px">{escape(text)}</div>'
    match panel["type"]:
        case "stat":
            return _stat(panel, answers, now=asking.span.end, width=width, height=height)
        case "table":
            return _table(panel, answers, now=asking.span.end)
        case "bargauge":
            return _bars(panel, answers, now=asking.span.end)
        case "timeseries":
            return preview_chart.drawn(panel, answers, span=asking.span, width=width, height=height - _LEGEND)
    raise ValueError(f"a panel of a type that is not drawn here: {panel['type']}")


def _text(field: Json, value: float, *, now: float) -> tuple[str, str]:
    """A number and its colour: a mapping decides both, where there is one for it."""
    color = of_value(field["thresholds"]["steps"], value) if math.isfinite(value) else shade("text")
    for mapping in field.get("mappings", ()):
        found = mapping["options"].get(f"{value:g}") if mapping["type"] == "value" else None
        if found:
            return found["text"], shade(found["color"]) if "color" in found else color
    return written(value, field["unit"], now=now, decimals=field.get("decimals")), color


def _stat(panel: Json, answers: Sequence[Answer], *, now: float, width: int, height: int) -> str:
    series = [one for answer in answers for one in answer.series]
    numbers = []
    for one in series:
        text, color = _text(panel["fieldConfig"]["defaults"], one.last, now=now)
        size = min(height * 0.6, width / len(series) / max(len(text), 3) * 1.5)
        name = f'<div class="why">{escape(one.name)}</div>' if len(series) > 1 else ""
        numbers.append(
            f'<div style="flex:1"><div class="number" style="color:{color};font-size:{size:.0f}px">{escape(text)}</div>{name}</div>'
        )
    return f'<div style="display:flex;align-items:center;height:{height}px">{"".join(numbers)}</div>'


def _table(panel: Json, answers: Sequence[Answer], *, now: float) -> str:
    """Rows by labels, as the transformations `merge` and `organize` make them: a column for each label, then one for each query."""
    (organized,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
    names = [organized["renameByName"].get(f"Value #{answer.ref}" if len(answers) > 1 else "Value", answer.ref) for answer in answers]
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for answer, name in zip(answers, names, strict=True):
        for series in answer.series:
            kept = tuple((label, value) for label, value in series.labels.items() if not organized["excludeByName"].get(label))
            rows.setdefault(kept, {})[name] = series.last
    places = organized["indexByName"]
    labels = sorted(dict.fromkeys(label for row in rows for label, _ in row), key=lambda label: (places.get(label, len(places)), label))
    heads = "".join(f"<th>{escape(organized['renameByName'].get(label, label))}</th>" for label in labels)
    heads += "".join(f'<th class="n">{escape(name)}</th>' for name in names)
    body = []
    for row, values in _ordered(rows, panel["options"]["sortBy"]):
        cells = "".join(f"<td{_link(panel, label)}>{escape(dict(row).get(label, ''))}</td>" for label in labels)
        body.append(f"<tr>{cells}{''.join(_cell(panel, name, values.get(name), now=now) for name in names)}</tr>")
    return f"<table><tr>{heads}</tr>{''.join(body)}</table>"


Row = tuple[tuple[tuple[str, str], ...], dict[str, float]]


def _ordered(rows: Mapping[tuple[tuple[str, str], ...], dict[str, float]], sort: Sequence[Json]) -> list[Row]:
    """As the table is sorted at first; without an order as Prometheus answered."""
    found = list(rows.items())
    for order in sort:
        found.sort(key=lambda row: row[1].get(order["displayName"], math.inf), reverse=order["desc"])
    return found


def _link(panel: Json, column: str) -> str:
    """Cells that lead somewhere look so."""
    overrides = (one for one in panel["fieldConfig"]["overrides"] if one["matcher"] == {"id": "byName", "options": column})
    return ' class="link"' if any(each["id"] == "links" for one in overrides for each in one["properties"]) else ""


def _cell(panel: Json, name: str, value: float | None, *, now: float) -> str:
    if value is None:
        return '<td class="n"></td>'
    field = dict(panel["fieldConfig"]["defaults"])
    is_colored = False
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": name}:
            changed = {one["id"]: one["value"] for one in override["properties"]}
            field |= {key: changed[key] for key in ("unit", "mappings", "thresholds", "decimals") if key in changed}
            is_colored = changed.get("custom.cellOptions", {}).get("type") == "color-text"
    text, color = _text(field, value, now=now)
    return f'<td class="n"{f" style=color:{color}" if is_colored else ""}>{escape(text)}</td>'


def _bars(panel: Json, answers: Sequence[Answer], *, now: float) -> str:
    series = [one for answer in answers for one in answer.series]
    most = max((one.last for one in series if math.isfinite(one.last)), default=0.0) or 1.0
    bars = []
    for one in series:
        text, color = _text(panel["fieldConfig"]["defaults"], one.last, now=now)
        share = min(max(one.last / most, 0.0), 1.0) * 100
        bar = f'<div><i style="width:{share:.0f}%;background:{color}"></i></div>'
        bars.append(f'<div class="bar"><span>{escape(one.name)}</span>{bar}<b style="color:{color}">{escape(text)}</b></div>')
    return "".join(bars)
