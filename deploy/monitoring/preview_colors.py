"""Colours as Grafana's light theme has them. Source: Grafana, packages/grafana-data/src/themes/createVisualizationColors and `colors.ts`."""

import re
from collections.abc import Sequence
from typing import Any, Final

Json = dict[str, Any]
CLASSIC: Final = (
    *("#7EB26D", "#EAB839", "#6ED0E0", "#EF843C", "#E24D42", "#1F78C1", "#BA43A9", "#705DA0", "#508642", "#CCA300"),
    *("#447EBC", "#C15C17", "#890F02", "#0A437C", "#6D1F62", "#584477", "#B7DBAB", "#F4D598", "#70DBED", "#F9BA8F"),
)
"""The palette `palette-classic`: series by their place."""
_SHADES: Final = {
    "green": "#56A64B",
    "dark-green": "#37872D",
    "light-green": "#96D98D",
    "orange": "#FA6400",
    "red": "#E02F44",
    "dark-red": "#C4162A",
    "yellow": "#E0B400",
    "blue": "#3274D9",
    "light-blue": "#8AB8FF",
    "purple": "#A352CC",
    "gray": "#9DA3AD",
    "text": "#24292E",
}


_LIGHTER: Final = (1.0, 1.5, 0.75, 2.1, 0.55, 1.25)
"""Factors of brightness; above 1 towards white."""


def shade(name: str) -> str:
    """The colour of a name.

    Raises:
        KeyError: it is not known here; it is added when a dashboard begins to use it.
    """
    return _SHADES[name]


def of_value(steps: Sequence[Json], value: float) -> str:
    """The colour of the last threshold that a value reached; the first has no value and holds for all below."""
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    return shade(reached[-1]["color"])


def of_name(panel: Json, name: str, place: int) -> str:
    """The colour of a series: as the last override that fits its name says, else by its place in the palette.

    Args:
        panel: as it stands in the dashboard.
        name: of the series, from its legend.
        place: of the series among all of the panel, from 0.
    """
    found = CLASSIC[place % len(CLASSIC)]
    for override in panel["fieldConfig"]["overrides"]:
        matcher, properties = override["matcher"], {one["id"]: one["value"] for one in override["properties"]}
        if "color" in properties and matcher["id"] == "byRegexp" and re.search(matcher["options"].strip("/"), name):
            color = properties["color"]
            found = shade(color["fixedColor"]) if color["mode"] == "fixed" else _shaded(shade(color["fixedColor"]), place)
    return found


def _shaded(color: str, place: int) -> str:
    """The colour, darker or lighter by its place, as Grafana's mode `shades` tells series apart."""
    factor = _LIGHTER[place % len(_LIGHTER)]
    parts = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(part * factor if factor <= 1 else 255 - (255 - part) / factor):02x}" for part in parts)
