"""A picture of how something grows with size: medians as dots on logarithmic axes, smallest and largest run as a line. SVG, written by hand. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 36, 48
_COLOURS: Final = ("#0072b2", "#d55e00", "#e69f00", "#666666", "#009e73", "#cc79a7", "#56b4e9")
"""Told apart by people who see colours differently. Source: Okabe and Ito, "Color Universal Design"."""


@dataclass(frozen=True, slots=True)
class Point:
    """The runs of one size."""

    size: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to pixels, logarithmically, from a power of ten to another."""

    low: int
    high: int
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> Iterable[float]:
        return (10.0**power for power in range(self.low, self.high + 1))


def draw(title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[Point]]) -> str:
    """Return the picture as SVG.

    Args:
        title: above it.
        x_label: of sizes.
        y_label: of values.
        series: name → its points, all above 0. Colours follow the order.

    Raises:
        ValueError: there are no points.
    """
    points = [point for each in series.values() for point in each]
    if not points:
        raise ValueError("a picture needs points")
    x = _axis([point.size for point in points], _LEFT, WIDTH - _RIGHT)
    y = _axis([value for point in points for value in (point.low, point.high)], HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(title, x_label, y_label, x, y)]
    for index, (name, each) in enumerate(series.items()):
        parts += _series(name, sorted(each, key=lambda point: point.size), x, y, index)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
    return "\n".join((head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>")) + "\n"


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return _Axis(low, max(high, low + 1), start, end)


def _frame(title: str, x_label: str, y_label: str, x: _Axis, y: _Axis) -> Iterable[str]:
    yield _text(WIDTH / 2, 20, title, "middle", size=14)
    yield _text((x.start + x.end) / 2, HEIGHT - 10, x_label, "middle")
    yield f'<g transform="translate(16 {(y.start + y.end) / 2:.1f}) rotate(-90)">{_text(0, 0, y_label, "middle")}</g>'
    for tick in x.ticks():
        yield _line(x(tick), y.start, x(tick), y.end, "#dddddd")
        yield _text(x(tick), y.start + 16, f"{tick:g}", "middle")
    for tick in y.ticks():
        yield _line(x.start, y(tick), x.end, y(tick), "#dddddd")
        yield _text(x.start - 6, y(tick) + 4, f"{tick:g}", "end")


def _series(name: str, points: Sequence[Point], x: _Axis, y: _Axis, index: int) -> Iterable[str]:
    colour = _COLOURS[index % len(_COLOURS)]
    path = " ".join(f"{x(point.size):.1f},{y(point.median):.1f}" for point in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for point in points:
        yield _line(x(point.size), y(point.low), x(point.size), y(point.high), colour)
        yield f'<circle cx="{x(point.size):.1f}" cy="{y(point.median):.1f}" r="4" fill="{colour}"/>'
    yield f'<rect x="{WIDTH - _RIGHT + 16}" y="{_TOP + 20 * index}" width="12" height="12" fill="{colour}"/>'
    yield _text(WIDTH - _RIGHT + 34, _TOP + 20 * index + 10, name, "start")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
