"""The exposition: all series as text, the way Prometheus scrapes them, for a fraction of what prometheus-client takes for it.

With 1,000 ClusterStates there are 90,000 series. `generate_latest` makes a dictionary of labels for each of them, sorts and escapes it, each time anew; here the labels are
written once, when a series is first seen, and a scrape writes the numbers. One text serves all scrapers for a while, in proportion to what it took to write.

Source of the format: Prometheus documentation, "Exposition formats", "Text-based format".
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.utils import floatToGoString

from cvstate_operator.telemetry.owned_series import Metric

SHARE: Final = 50
"""A text is shared for so many times the processor time it took: however many scrape, and however often, they cost two hundredths of a core."""
LONGEST_SECONDS: Final = 10.0
"""And never for longer than this, a third of the 30 s between two scrapes of the chart's monitors."""
SLICE: Final = 250
"""Series after which the thread that writes lets others run: about a millisecond. By itself a thread keeps the interpreter for 5 ms each time it gets it."""

_LARGEST: Final = 1e6
"""From here on Go, and so the format, writes numbers with an exponent."""


class Writer:
    """Writes metrics out. For one thread at a time; series may come, go and be counted by another one meanwhile."""

    def __init__(self, metrics: Sequence[Metric], others: CollectorRegistry) -> None:
        """
        Args:
            metrics: those that may have many series.
            others: what else there is, of a few series; left to prometheus-client.
        """
        self._texts = [_Histogram(metric) if isinstance(metric, Histogram) else _Number(metric) for metric in metrics]
        self._others = others

    def write(self) -> bytes:
        """The text of all series as they are now."""
        found: list[str] = []
        for texts in self._texts:
            found.append(texts.head)
            children = texts.children()
            for start in range(0, len(children), SLICE):
                texts.add(found, children[start : start + SLICE])
                time.sleep(0)  # others may have the interpreter
        return "".join(found).encode() + generate_latest(self._others)


class _Texts(ABC):
    """One metric, with the labels of its series as they are written."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self.name = f"{metric._name}_total" if isinstance(metric, Counter) else metric._name
        meaning = metric._documentation.replace("\\", r"\\").replace("\n", r"\n")
        self.head = f"# HELP {self.name} {meaning}\n# TYPE {self.name} {metric._type}\n"
        self._known: dict[Sequence[str], str] = {}

    def children(self) -> Sequence[tuple[str, Any]]:
        """Its series: `a="b",c="d"`, empty if it has no labels, and what holds the numbers."""
        metric, known = self._metric, self._known
        if not metric._labelnames:
            return (("", metric),)
        with metric._lock:
            children = dict(metric._metrics)
        if len(known) > len(children):  # some are gone
            known = self._known = {values: labels for values, labels in known.items() if values in children}
        for values in children:
            if values not in known:
                known[values] = _labels(metric._labelnames, values)
        return [(known[values], child) for values, child in children.items()]

    @abstractmethod
    def add(self, found: list[str], children: Iterable[tuple[str, Any]]) -> None:
        """Add the lines of some series."""


class _Number(_Texts):
    """A counter or gauge."""

    def add(self, found: list[str], children: Iterable[tuple[str, Any]]) -> None:
        name = self.name
        for labels, child in children:
            asks = vars(child).get("_child_samples")  # it is there if a function is asked (Gauge.set_function)
            value = next(iter(asks())).value if asks else child._value.get()
            found.append(f"{name}{{{labels}}} {_number(value)}\n" if labels else f"{name} {_number(value)}\n")


class _Histogram(_Texts):
    """A histogram."""

    def __init__(self, metric: Histogram) -> None:
        super().__init__(metric)
        self._bounds = [f'le="{_number(bound)}"}}' for bound in metric._upper_bounds]

    def add(self, found: list[str], children: Iterable[tuple[str, Any]]) -> None:
        name, bounds = self.name, self._bounds
        for labels, child in children:
            start = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
            count = 0.0
            for bound, bucket in zip(bounds, child._buckets, strict=True):
                count += bucket.get()
                found.append(f"{start}{bound} {_number(count)}\n")
            braces = f"{{{labels}}}" if labels else ""
            found.append(f"{name}_count{braces} {_number(count)}\n{name}_sum{braces} {_number(child._sum.get())}\n")


class Exposition:
    """The text for everybody who asks, written at most once at a time."""

    def __init__(self, write: Callable[[], bytes], *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            write: writes the text; called in a thread.
            clock: seconds, monotonic.
        """
        self._write = write
        self._clock = clock
        self._text = b""
        self._good_until = float("-inf")
        self._writing: asyncio.Task[bytes] | None = None

    async def text(self) -> bytes:
        """The text, at most LONGEST_SECONDS old."""
        if self._clock() < self._good_until:
            return self._text
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._renew(), name="write out metrics")
        return await asyncio.shield(self._writing)  # who hangs up takes it from nobody else

    async def _renew(self) -> bytes:
        self._text, seconds = await asyncio.to_thread(self._timed)
        self._good_until = self._clock() + min(SHARE * seconds, LONGEST_SECONDS)
        return self._text

    def _timed(self) -> tuple[bytes, float]:
        """The text, and the processor time that it took."""
        began = time.thread_time()
        return self._write(), time.thread_time() - began


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(zip(names, values, strict=True)))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return repr(value) if -_LARGEST < value < _LARGEST else str(floatToGoString(value))  # type: ignore[no-untyped-call]
