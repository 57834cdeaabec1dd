"""Numbers as Grafana writes them, for the units that our dashboards use.

Source: Grafana, packages/grafana-data/src/valueFormats and `getDecimalsForValue` in field/displayProcessor.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

_SECONDS: Final = ((60.0, 1.0, " s"), (3600.0, 60.0, " mins"), (86400.0, 3600.0, " hours"), (604800.0, 86400.0, " days"))
"""Below so many seconds they are told in units of so many; above all of them in weeks."""
_WEEK: Final = 604800.0
_PARTS: Final = ((1e-3, 1e-6, " µs"), (1.0, 1e-3, " ms"))
_AGO: Final = ((60, 1, "second"), (3600, 60, "minute"), (86400, 3600, "hour"), (math.inf, 86400, "day"))


def written(value: float, unit: str, *, now: float, decimals: int | None = None) -> str:
    """A number with its unit.

    Args:
        value: any number; NaN and the infinities are written as words.
        unit: one of Grafana's; it must be one that this module knows.
        now: seconds since 1970, for units that tell how long ago.
        decimals: places after the point; None: as many as the number needs, as Grafana decides it.

    Raises:
        KeyError: the unit is not known here; it is added when a panel begins to use it.
    """
    write = _UNITS[unit]
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if unit == "dateTimeFromNow":
        return _ago(now - value / 1000)
    return write(value, decimals)


def _fixed(value: float, decimals: int | None) -> str:
    return f"{value:.{_places(value) if decimals is None else decimals}f}"


def _places(value: float) -> int:
    """How many places a number needs to be told to three digits; whole numbers need none."""
    return 0 if value == int(value) else max(0, 2 - math.floor(math.log10(abs(value))))


def _scaled(value: float, decimals: int | None, *, step: float, names: tuple[str, ...], space: str = " ") -> str:
    place = 0
    while abs(value) >= step and place < len(names) - 1:
        value, place = value / step, place + 1
    return f"{_fixed(value, decimals)}{space if names[place] else ''}{names[place]}"


def _short(value: float, decimals: int | None) -> str:
    return _scaled(value, decimals, step=1000.0, names=("", "K", "Mil", "Bil", "Tri"))


def _rated(name: str) -> Callable[[float, int | None], str]:
    return lambda value, decimals: f"{_scaled(value, decimals, step=1000.0, names=('', 'K', 'M', 'B'), space='')} {name}"


def _bytes(value: float, decimals: int | None) -> str:
    return _scaled(value, decimals, step=1024.0, names=("B", "KiB", "MiB", "GiB", "TiB"))


def _percent(value: float, decimals: int | None) -> str:
    return f"{_fixed(value * 100, decimals)}%"


def _seconds(value: float, decimals: int | None) -> str:
    size = abs(value)
    if size == 0:
        return "0 s"
    for limit, unit, name in (*_PARTS, *_SECONDS):
        if size < limit:
            return f"{_fixed(value / unit, decimals)}{name}"
    return f"{_fixed(value / _WEEK, decimals)} weeks"


def _ago(seconds: float) -> str:
    for limit, unit, name in _AGO:
        if abs(seconds) < limit:
            count = round(abs(seconds) / unit)
            text = f"a {name}" if count == 1 else f"{count} {name}s" if name != "second" else "a few seconds"
            return f"{text} ago" if seconds >= 0 else f"in {text}"
    raise AssertionError("the last limit is infinite")


_UNITS: Final[Mapping[str, Callable[[float, int | None], str]]] = {
    "short": _short,
    "none": _fixed,
    "s": _seconds,
    "bytes": _bytes,
    "percentunit": _percent,
    "reqps": _rated("req/s"),
    "ops": _rated("ops/s"),
    "opm": _rated("ops/min"),
    "cpm": _rated("c/m"),
    "reqpm": _rated("req/min"),
    "dateTimeFromNow": lambda value, decimals: str(value),
}
