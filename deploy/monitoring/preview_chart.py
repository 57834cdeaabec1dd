"""Numbers in time, drawn as SVG: lines or stacked areas, an axis with units, thresholds, a legend with the newest values; as Grafana's panel `timeseries` has them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from preview_answers import Answer, Series, Span
from preview_colors import of_name, shade
from preview_units import written

Json = dict[str, Any]
_DIGIT: Final = 6.6
"""Width of a character of the axis, pixels."""
_FOOT: Final = 18
"""Pixels for the times below."""
_TICKS: Final = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Line:
    """One series, with its colour, and what lies below it."""

    series: Series
    color: str
    below: tuple[float, ...]
    """For each point; zeros where nothing is stacked."""
    step: float
    """Between two points that belong together, seconds."""


def drawn(panel: Json, answers: Sequence[Answer], *, span: Span, width: int, height: int) -> str:
    """The picture and its legend.

    Args:
        panel: as it stands in the dashboard.
        answers: of all its queries; with at least one series.
        span: what the axis of time shows.
        width: of the picture, pixels.
        height: of the picture without its legend, pixels.
    """
    field, custom = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["defaults"]["custom"]
    lines = _lines(panel, answers, is_stacked=custom["stacking"]["mode"] == "normal")
    limits = (
        [step for step in field["thresholds"]["steps"] if step["value"] is not None] if custom["thresholdsStyle"]["mode"] != "off" else []
    )
    low, high = _ends(lines, field, soft=custom.get("axisSoftMax"))
    ticks = _ticks(low, high, count=max(2, height // 45))
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    told = {tick: _trimmed(written(tick, field["unit"], now=span.end, decimals=field.get("decimals"))) for tick in ticks}
    axis = 14 + max(map(len, told.values())) * _DIGIT

    def x(at: float) -> float:
        return axis + (at - span.begin) / span.seconds * (width - axis - 8)

    def y(value: float) -> float:
        return 6 + (high - value) / ((high - low) or 1) * (height - _FOOT - 8)

    parts = [f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">']
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{axis:.1f}" x2="{width - 8}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{axis - 6:.1f}" y="{y(tick) + 4:.1f}" text-anchor="end">{escape(told[tick])}</text>')
    parts += [
        f'<text class="tick" x="{x(at):.1f}" y="{height - 4}" text-anchor="middle">{datetime.fromtimestamp(at, UTC):%H:%M}</text>'
        for at in _moments(span, count=max(2, width // 110))
    ]
    for line in lines:
        parts += _paths(line, x, y, fill=custom["fillOpacity"] / 100, base=max(low, min(0.0, high)))
    for limit in limits:
        if low <= limit["value"] <= high:
            place = f'y1="{y(limit["value"]):.1f}" y2="{y(limit["value"]):.1f}"'
            parts.append(f'<line x1="{axis:.1f}" x2="{width - 8}" {place} stroke="{shade(limit["color"])}" stroke-dasharray="8 5"/>')
    parts.append("</svg>")
    return "".join(parts) + _legend(lines, field, now=span.end)


def _lines(panel: Json, answers: Sequence[Answer], *, is_stacked: bool) -> list[Line]:
    found: list[Line] = []
    heights: dict[float, float] = {}
    for answer in answers:
        for series in answer.series:
            finite = tuple(point for point in series.points if math.isfinite(point[1]))
            if not finite:
                continue
            below = tuple(heights.get(at, 0.0) if is_stacked else 0.0 for at, _ in finite)
            for (at, value), start in zip(finite, below, strict=True):
                heights[at] = start + value
            color = of_name(panel, series.name, len(found))
            found.append(Line(Series(series.name, series.labels, finite), color, below, answer.step))
    return found


def _ends(lines: Sequence[Line], field: Json, *, soft: float | None) -> tuple[float, float]:
    """Lower and upper end of the scale; `soft`: what it reaches at least."""
    tops = [start + value for line in lines for (_, value), start in zip(line.series.points, line.below, strict=True)]
    low = field.get("min", min(0.0 if any(any(line.below) for line in lines) else math.inf, *tops))
    high = field.get("max", max(tops))
    high = max(high, soft) if soft is not None else high
    if low == high:
        low, high = (min(low, 0.0), max(high, 0.0)) if high else (0.0, 1.0)
    return float(low), float(high)


def _ticks(low: float, high: float, *, count: int) -> list[float]:
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in _TICKS if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _moments(span: Span, *, count: int) -> list[float]:
    step = next(step for step in (60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400, 604800) if span.seconds / step <= count)
    first = math.ceil(span.begin / step) * step
    return [float(at) for at in range(first, int(span.end) + 1, step)]


def _paths(line: Line, x: Any, y: Any, *, fill: float, base: float) -> list[str]:
    """A path for each stretch without a gap; Grafana is told not to span any."""
    points = [(at, start + value, start) for (at, value), start in zip(line.series.points, line.below, strict=True)]
    stretches: list[list[tuple[float, float, float]]] = []
    for point in points:
        if stretches and point[0] - stretches[-1][-1][0] <= line.step * 1.5:
            stretches[-1].append(point)
        else:
            stretches.append([point])
    parts = []
    for stretch in stretches:
        if len(stretch) == 1:
            parts.append(f'<circle cx="{x(stretch[0][0]):.1f}" cy="{y(stretch[0][1]):.1f}" r="2" fill="{line.color}"/>')
            continue
        top = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value, _ in stretch)
        floor = " ".join(f"{x(at):.1f},{y(max(start, base)):.1f}" for at, _, start in reversed(stretch))
        parts.append(f'<polygon points="{top} {floor}" fill="{line.color}" fill-opacity="{fill}"/>')
        parts.append(f'<polyline points="{top}" fill="none" stroke="{line.color}" stroke-width="1.5"/>')
    return parts


def _legend(lines: Sequence[Line], field: Json, *, now: float) -> str:
    items = (
        f'<span><i style="background:{line.color}"></i>{escape(line.series.name)} '
        f"<b>{escape(written(line.series.last, field['unit'], now=now, decimals=field.get('decimals')))}</b></span>"
        for line in lines
    )
    return f'<div class="legend">{"".join(items)}</div>'


def _trimmed(text: str) -> str:
    """The number of a tick without zeros that say nothing: `2.50 s` is one, `2.00 s` is `2 s`."""
    number, space, unit = text.partition(" ")
    sign = "%" if number.endswith("%") else ""
    number = number.removesuffix("%")
    return f"{number.rstrip('0').rstrip('.') if '.' in number and 'e' not in number else number}{sign}{space}{unit}"
