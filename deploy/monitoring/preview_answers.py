"""What a Prometheus answers to the panels of a dashboard, asked as Grafana asks: variables resolved, steps and windows as its data source chooses them.

Source: Grafana documentation, "Prometheus query editor" ($__rate_interval, $__range, min step), "Variables"; rangeutil.roundInterval in its source.
"""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]
SCRAPE_SECONDS: Final = 15.0
"""Grafana's scrape interval of a Prometheus whose settings name none; the least step, and a quarter of the least `$__rate_interval`."""
_STEPS: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds that a step is rounded to, upwards: Grafana's own list is finer below its least step."""
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<series>.+),\s*(?P<label>\w+)\)")


@dataclass(frozen=True)
class Span:
    """The time that a dashboard shows; seconds since 1970."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin


@dataclass(frozen=True)
class Series:
    """One line, or one number if it has one point."""

    name: str
    """From the legend; empty where there is none."""
    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]
    """Time and value, in order; never empty."""

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


@dataclass(frozen=True)
class Answer:
    """What came of the query of one target."""

    ref: str
    series: tuple[Series, ...]
    step: float
    """Between two points, seconds; 0 for a query of one moment."""


@dataclass
class Asking:
    """One dashboard, at one Prometheus, for one time.

    Raises (of every method):
        OSError: Prometheus does not answer, or refuses a query; the message has what it says.
    """

    url: str
    span: Span
    chosen: dict[str, str] = field(default_factory=dict)
    """Variables by name, as they are put into queries."""

    def choose(self, variables: Sequence[Json], *, wanted: Mapping[str, str]) -> None:
        """Resolve the variables of a dashboard, in order.

        Args:
            variables: `templating.list` of the dashboard.
            wanted: what is to be chosen, by name; of others All, or the first value that there is, as Grafana does.
        """
        for one in variables:
            if one["type"] != "query":
                continue
            name = str(one["name"])
            if name in wanted:
                self.chosen[name] = wanted[name]
            elif one["includeAll"]:
                self.chosen[name] = str(one["allValue"])
            else:
                values = self.values(str(one["query"]["query"]))
                self.chosen[name] = values[0] if values else ""

    def values(self, query: str) -> list[str]:
        """Values of a variable: `label_values(SERIES, LABEL)`, sorted."""
        found = _LABEL_VALUES.fullmatch(query)
        if not found:
            raise ValueError(f"no query for a variable that Grafana has for Prometheus: {query}")
        asked = {"match[]": self._filled(found["series"], 0.0), "start": self.span.begin, "end": self.span.end}
        return sorted(self._get(f"label/{found['label']}/values", asked))

    def answers(self, panel: Json, *, points: int) -> list[Answer]:
        """What a panel shows.

        Args:
            panel: as it stands in the dashboard.
            points: how many its width has room for.
        """
        return [self._answer(target, points) for target in panel["targets"]]

    def _answer(self, target: Json, points: int) -> Answer:
        step = max(SCRAPE_SECONDS, _rounded(self.span.seconds / points))
        query = self._filled(target["expr"], step)
        if target["instant"]:
            found = self._get("query", {"query": query, "time": self.span.end})["result"]
            rows = [(one["metric"], [one["value"]]) for one in found]
            step = 0.0
        else:
            # Grafana lets both ends lie on steps, so that a picture that is drawn anew does not shiver.
            begin, end = (moment // step * step for moment in (self.span.begin, self.span.end))
            found = self._get("query_range", {"query": query, "start": begin, "end": end, "step": step})["result"]
            rows = [(one["metric"], one["values"]) for one in found]
        series = (
            Series(_legend(target["legendFormat"], labels), labels, tuple((float(at), float(value)) for at, value in values))
            for labels, values in rows
        )
        return Answer(target["refId"], tuple(series), step)

    def _filled(self, query: str, step: float) -> str:
        """The query with its variables filled in."""
        window = max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
        times = {"$__rate_interval": f"{window:.0f}s", "$__range": f"{self.span.seconds:.0f}s", "$__interval": f"{step:.0f}s"}
        for name, value in {**times, **{f"${name}": value for name, value in self.chosen.items()}}.items():
            query = query.replace(name, value)
        return query

    def _get(self, path: str, asked: Mapping[str, Any]) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - the address is that which the user gave
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise OSError(f"{json.load(error).get('error')}; asked: {asked}") from None


def _rounded(seconds: float) -> float:
    return float(next((step for step in _STEPS if step >= seconds), _STEPS[-1]))


def _legend(form: str, labels: Mapping[str, str]) -> str:
    """`{{label}}` is filled in; with `__auto` it is the value of the only label, or all of them."""
    if form == "__auto":
        named = {name: value for name, value in labels.items() if name != "__name__"}
        return next(iter(named.values())) if len(named) == 1 else ", ".join(f"{name}={value}" for name, value in sorted(named.items()))
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), form).strip()
