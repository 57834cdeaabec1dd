"""The exposition. Aspects: the same as prometheus-client writes, whatever the numbers and labels · what is gone · how long it keeps others waiting · one text for all who ask."""

import asyncio
import gc
import itertools
import math
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from cvstate_operator.telemetry.exposition import LONGEST_SECONDS, SHARE, Exposition, Writer
from cvstate_operator.telemetry.metrics import Metrics
from tests.unit.telemetry.test_metrics import used

NASTY = 'a "quoted"\nline with \\ and ünïcode, and le="0.1"}'


def read(text: bytes) -> dict[str, tuple[str, str, list[Sample]]]:
    """Families by name: type, meaning, and samples."""
    families = text_string_to_metric_families(text.decode())
    return {
        one.name: (one.type, one.documentation, sorted(one.samples, key=lambda one: (one.name, sorted(one.labels.items()))))
        for one in families
    }


class Metered:
    """A metric of each kind."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.counter = Counter("events", 'What "happens",\nwith \\ in it.', ("kind", "a"), registry=self.registry)
        self.gauge = Gauge("level", "How high.", ("kind",), registry=self.registry)
        self.asked = Gauge("asked", "By a function.", registry=self.registry)
        self.seconds = Histogram("took_seconds", "How long.", ("zone", "kind"), buckets=(0.1, 1, 2.5), registry=self.registry)
        self.plain = Histogram("lag_seconds", "How late.", buckets=(0.5,), registry=self.registry)
        self.asked.set_function(lambda: 7)
        self.writer = Writer((self.counter, self.gauge, self.asked, self.seconds, self.plain), CollectorRegistry())

    def same(self) -> bool:
        return read(self.writer.write()) == read(generate_latest(self.registry))


@pytest.mark.parametrize("number", [0, 1, 0.1, 1e-9, -3.5, 999_999.5, 1e6, 12_345_678.9, 1_767_268_800.25, 1e21, math.inf, -math.inf])
def test_a_number_is_written_as_prometheus_client_writes_it(number: float) -> None:
    metered = Metered()
    metered.gauge.labels("x").set(number)
    metered.seconds.labels("z", "k").observe(number)
    assert metered.same()


def test_what_is_no_number_is_written_as_such() -> None:
    metered = Metered()
    metered.gauge.labels("x").set(math.nan)
    assert 'level{kind="x"} NaN\n' in metered.writer.write().decode()


def test_labels_are_escaped_and_kept_apart() -> None:
    metered = Metered()
    for values in ((NASTY, "1"), ("1", NASTY), ("", "")):
        metered.counter.labels(*values).inc()
        metered.seconds.labels(*values).observe(1)
    metered.plain.observe(1)
    assert metered.same()


def test_all_that_the_operator_tells_is_as_prometheus_client_writes_it() -> None:
    metrics = Metrics()
    used(metrics, "shop")
    for result in ("ok", "Unauthorized"):
        metrics.observe_request(action="get", result=result, seconds=0.1)
    ours, theirs = read(metrics.expose()), read(generate_latest(metrics.registry))
    moving = {name for name in theirs if name.startswith("process_")}
    assert ours.keys() == theirs.keys()
    assert {name: found for name, found in ours.items() if name not in moving} == {
        name: found for name, found in theirs.items() if name not in moving
    }


def test_series_that_are_gone_are_not_written_and_come_back_as_new_ones() -> None:
    metered = Metered()
    for number in range(10):
        metered.gauge.labels(str(number)).set(number)
    assert metered.same()
    for number in range(9):
        metered.gauge.remove(str(number))
    assert metered.same()
    metered.gauge.labels("0").set(5)
    assert metered.same()


def test_series_may_come_and_go_while_it_is_written() -> None:
    metered, is_over = Metered(), threading.Event()

    def stir() -> None:
        number = 0
        while not is_over.is_set():
            metered.gauge.labels(str(number % 50)).set(1)
            metered.gauge.remove(str((number + 25) % 50))
            number += 1

    thread = threading.Thread(target=stir)
    thread.start()
    try:
        for _ in range(50):
            read(metered.writer.write())
    finally:
        is_over.set()
        thread.join()


def test_the_interpreter_is_given_away_every_few_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the event loop goes on meanwhile. Counted is processor time: other things run on the machine."""
    metered = Metered()
    for number in range(20_000):
        metered.gauge.labels(str(number)).set(number)
        metered.seconds.labels(str(number), "k").observe(1)
    moments: list[float] = []
    monkeypatch.setattr("cvstate_operator.telemetry.exposition.time.sleep", lambda _: moments.append(time.thread_time()))
    metered.writer.write()
    moments.clear()
    gc.disable()  # what other tests left to be collected is not meant
    try:
        metered.writer.write()
    finally:
        gc.enable()
    moments.append(time.thread_time())
    assert max(after - before for before, after in itertools.pairwise(moments)) < 0.05


# -- one text for all --------------------------------------------------------------------------------------------------


class Clock:
    """Monotonic seconds as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """Writes texts that tell how many there were, each taking so much processor time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.written = 0

    def __call__(self) -> bytes:
        self.written += 1
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return str(self.written).encode()


async def test_all_who_ask_at_once_get_one_text() -> None:
    slow = Slow(0.02)
    exposition = Exposition(slow, clock=Clock())
    assert await asyncio.gather(*(exposition.text() for _ in range(20))) == [b"1"] * 20


async def test_a_text_is_shared_in_proportion_to_what_it_took_to_write() -> None:
    clock, slow = Clock(), Slow(0.02)
    exposition = Exposition(slow, clock=clock)
    await exposition.text()
    clock.now += SHARE * 0.02 - 0.01
    assert await exposition.text() == b"1"
    clock.now += LONGEST_SECONDS
    assert await exposition.text() == b"2"


async def test_no_text_is_older_than_the_limit() -> None:
    clock, slow = Clock(), Slow(1.01 * LONGEST_SECONDS / SHARE)
    exposition = Exposition(slow, clock=clock)
    await exposition.text()
    clock.now += LONGEST_SECONDS - 0.1
    assert await exposition.text() == b"1"
    clock.now += 0.2
    assert await exposition.text() == b"2"


async def test_who_hangs_up_takes_the_text_from_nobody_else() -> None:
    exposition = Exposition(Slow(0.05), clock=Clock())
    impatient, patient = asyncio.create_task(exposition.text()), asyncio.create_task(exposition.text())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == b"1"


async def test_a_fault_while_writing_is_no_lasting_one() -> None:
    answers = iter([ValueError("spoiled"), b"well"])

    def write() -> bytes:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    exposition = Exposition(write, clock=Clock())
    with pytest.raises(ValueError, match="spoiled"):
        await exposition.text()
    assert await exposition.text() == b"well"
