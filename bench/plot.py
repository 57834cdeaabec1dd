"""A picture of how something grows with size: medians as dots on logarithmic axes, smallest and largest run as a line. SVG, written by hand. Pure.

Its colours follow the reader's: dark text on white, or light text on black where that is preferred (`prefers-color-scheme`). A tool has the same colour in
every picture.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 420
LABEL_SPACE: Final = 18
"""Pixels from one label to the next at least."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 104, 44, 56
_STEPS: Final = ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), (1.0, 2.0, 5.0), (1.0,))
"""Round numbers, times a power of ten: the first that do not give too many ticks are used."""
_MOST_TICKS: Final = 8
_NARROW: Final = 1.2
"""How much room there is beside the smallest and the largest size, as a factor."""
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "cvstate": ("#0072b2", "#56b4e9"),
    "flux": ("#d55e00", "#ff8c42"),
    "flux-tuned": ("#b8860b", "#f0e442"),
    "flux-60s": ("#b8860b", "#f0e442"),
    "bound": ("#767676", "#a0a0a0"),
}
"""Tool → its colour on white, on black."""
_OTHERS: Final = (("#009e73", "#2fd6a3"), ("#cc79a7", "#e6a5c8"), ("#7a5195", "#b491c8"))
"""Of tools that are not named above. Source of all: Okabe and Ito, "Color Universal Design", changed in lightness only."""
_DASHED: Final = "bound"


@dataclass(frozen=True, slots=True)
class Point:
    """The runs of one size."""

    size: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to pixels, logarithmically."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]

    def __call__(self, value: float) -> float:
        return self.start + math.log(value / self.low) / math.log(self.high / self.low) * (self.end - self.start)


def draw(title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[Point]]) -> str:
    """Return the picture as SVG.

    Args:
        title: above it.
        x_label: of sizes.
        y_label: of values, with their unit.
        series: tool → its points, all above 0.

    Raises:
        ValueError: there are no points.
    """
    points = [point for each in series.values() for point in each]
    if not points:
        raise ValueError("a picture needs points")
    sizes = sorted({point.size for point in points})
    x = _Axis(sizes[0] / _NARROW, sizes[-1] * _NARROW, _LEFT, WIDTH - _RIGHT, sizes)
    y = _round_axis([value for point in points for value in (point.low, point.high)], HEIGHT - _BOTTOM, _TOP)
    order = {name: sorted(each, key=lambda point: point.size) for name, each in series.items() if each}
    labels = _spread({name: y(each[-1].median) for name, each in order.items()})
    parts = [*_frame(title, x_label, y_label, x, y)]
    for index, (name, each) in enumerate(order.items()):
        parts += _series(name, each, x, y, index, labels[name])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="13" '
        f'role="img" aria-label="{escape(title)}">'
    )
    return (
        "\n".join(
            (head, f"<style>{_style(list(order))}</style>", f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>', *parts, "</svg>")
        )
        + "\n"
    )


def _style(names: Sequence[str]) -> str:
    """The classes, for light and for dark."""

    def rules(which: int, paper: str, ink: str, grid: str) -> str:
        colours = (f".c{index}{{color:{_colour(name, index)[which]}}}" for index, name in enumerate(names))
        return f".paper{{fill:{paper}}}.ink{{fill:{ink}}}.grid{{stroke:{grid}}}{''.join(colours)}"

    light, dark = rules(0, "#ffffff", "#1f2328", "#d8dee4"), rules(1, "#0d1117", "#e6edf3", "#30363d")
    return f"{light}@media (prefers-color-scheme: dark){{{dark}}}"


def _colour(name: str, index: int) -> tuple[str, str]:
    return _COLOURS.get(name) or _OTHERS[index % len(_OTHERS)]


def _round_axis(values: Sequence[float], start: float, end: float) -> _Axis:
    """An axis from a round number below all values to one above them."""
    axes = (_axis_by(values, steps, start, end) for steps in _STEPS)
    return next((axis for axis in axes if len(axis.ticks) <= _MOST_TICKS), _axis_by(values, _STEPS[-1], start, end))


def _axis_by(values: Sequence[float], steps: Sequence[float], start: float, end: float) -> _Axis:
    first, last = math.floor(math.log10(min(values))), math.floor(math.log10(max(values)))
    places = [step * 10.0**power for power in range(first - 1, last + 2) for step in steps]
    low = max(place for place in places if place <= min(values) * (1 + 1e-9))
    high = min(place for place in places if place >= max(values) * (1 - 1e-9) and place > low)
    return _Axis(low, high, start, end, [place for place in places if low <= place <= high])


def _spread(places: Mapping[str, float]) -> Mapping[str, float]:
    """Where labels go so that none covers another: downwards from the highest, and back up if that leaves the picture."""
    found: dict[str, float] = {}
    for name in sorted(places, key=lambda name: places[name]):
        found[name] = max([places[name], *(place + LABEL_SPACE for place in found.values())])
    below = max(found.values()) - (HEIGHT - _BOTTOM)
    return {name: place - max(0.0, below) for name, place in found.items()}


def _frame(title: str, x_label: str, y_label: str, x: _Axis, y: _Axis) -> Iterable[str]:
    yield _text(_LEFT, 24, title, "start", size=16)
    yield _text((x.start + x.end) / 2, HEIGHT - 14, x_label, "middle")
    yield f'<g transform="translate(22 {(y.start + y.end) / 2:.1f}) rotate(-90)">{_text(0, 0, y_label, "middle")}</g>'
    for tick in x.ticks:
        yield _line(x(tick), y.start, x(tick), y.end, 'class="grid"')
        yield _text(x(tick), y.start + 20, f"{tick:,g}", "middle")
    for tick in y.ticks:
        yield _line(x.start, y(tick), x.end, y(tick), 'class="grid"')
        yield _text(x.start - 8, y(tick) + 4, f"{tick:,g}", "end")


def _series(name: str, points: Sequence[Point], x: _Axis, y: _Axis, index: int, label: float) -> Iterable[str]:
    path = " ".join(f"{x(point.size):.1f},{y(point.median):.1f}" for point in points)
    dashes = ' stroke-dasharray="6 4"' if name == _DASHED else ""
    yield f'<g class="c{index}" fill="currentColor" stroke="currentColor">'
    yield f'<polyline points="{path}" fill="none" stroke-width="2.5"{dashes}/>'
    for point in points:
        yield _line(x(point.size), y(point.low), x(point.size), y(point.high), 'stroke-width="2"')
        yield f'<circle cx="{x(point.size):.1f}" cy="{y(point.median):.1f}" r="4.5"/>'
    if points[-1].size * _NARROW >= x.high:
        yield _line(x(points[-1].size) + 7, y(points[-1].median), x.end + 4, label, 'stroke-opacity="0.6"')
    yield f'<text x="{x.end + 8:.1f}" y="{label + 4:.1f}" stroke="none" font-weight="600">{escape(name)}</text>'
    yield "</g>"


def _line(x1: float, y1: float, x2: float, y2: float, how: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {how}/>'


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 13) -> str:
    return f'<text class="ink" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
