"""A reading from two answers of Prometheus: the numbers, and how old the data behind them is. Readers are signals.

Why ages are asked for at all: `rate(x[1h])` gives numbers for an hour after the last sample, and `or vector(0)` gives one forever. What is told of it:

- The age is that of the stalest selector that has data: a quotient whose upper half died long ago is not known, however fresh the lower half is.
- A selector without data is left out if another one has some: a counter of errors need not exist before the first error, so that
  `(sum(rate(errors[5m])) or vector(0)) / sum(rate(requests[5m]))` is known as long as requests are counted.
- If no selector has data, there is no data, whatever the number: so `sum(rate(errors[5m])) or vector(0)` alone is unknown until the first error. Divide it by
  what always exists, as above. `absent(x)` is never known, for it is a number only where there is no data; ask for `count(x)` or for `up`.
- A number without a selector (`vector(1)`, `time()`) is as fresh as the answer.
- Series that end while their target lives (a new Pod has no errors yet) make a long range stale: `rate(errors[1h])` for 55 minutes with staleAfter 5m.
  Take a short range, or a staleAfter as long as the range.
- The time of a recording rule's sample is when the rule ran, which says nothing about the data that it read.

Ages are told by the server's own clock, so that it and ours may differ.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.telemetry.prometheus_answer import Series
from cvstate_operator.vital.language import promql
from cvstate_operator.vital.reading import Gap, Reading, gap

_NAME: Final = "__name__"


def judge(values: Sequence[Series], newest: Sequence[Series] | None, *, stale_after_seconds: float, asked_at: datetime) -> Reading:
    """What was answered, or why it does not count.

    Args:
        values: of the query.
        newest: of `promql.Freshness` for it; None if the query has no selector.
        stale_after_seconds: a newest sample that is older is no data.
        asked_at: by our clock, UTC.
    """
    taken_at = _taken_at(newest, asked_at)
    if not values:
        return gap(Gap.NO_DATA, "the query gives no series", asked_at=asked_at, taken_at=taken_at)
    if taken_at is None:
        return gap(
            Gap.NO_DATA, "none of the series behind the query has a sample, so its number comes from the query itself", asked_at=asked_at
        )
    if asked_at - taken_at > timedelta(seconds=stale_after_seconds):
        return gap(Gap.STALE, f"the newest sample is older than {stale_after_seconds:g} s", asked_at=asked_at, taken_at=taken_at)
    if strange := next((one for one in values if not math.isfinite(one.value)), None):
        where = f" for {_name(strange)}" if len(values) > 1 else ""
        return gap(
            Gap.NOT_A_NUMBER, f"the query gives {strange.value}{where}, which is no number to judge", asked_at=asked_at, taken_at=taken_at
        )
    low, high = min(values, key=lambda one: one.value), max(values, key=lambda one: one.value)
    names = (_name(low), _name(high)) if len(values) > 1 else ("", "")
    return Reading(asked_at, low.value, high.value, taken_at, *names)


def _taken_at(newest: Sequence[Series] | None, asked_at: datetime) -> datetime | None:
    """When the newest sample of the stalest selector was taken, by our clock; None if there is no sample. Never after `asked_at`."""
    if newest is None:
        return asked_at
    ages = [one.at.timestamp() - one.value for one in newest if promql.SELECTOR_LABEL in one.labels and math.isfinite(one.value)]
    try:
        return asked_at - timedelta(seconds=max(0.0, *ages)) if ages else None
    except OverflowError:
        return None


def _name(series: Series) -> str:
    """A series by its labels, as {instance="a"}; one line, cut."""
    return one_line("{" + ",".join(f'{label}="{value}"' for label, value in sorted(series.labels.items()) if label != _NAME) + "}")
