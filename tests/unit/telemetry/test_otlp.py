"""The exporter of traces, against collectors on the loopback interface that take them, refuse them, or are not there.

Aspects: what is sent, by the letter of OTLP · batches · nobody waits · answers: taken, refused, taken in part, busy, none · how often it is tried · what finds no
room · the end · what is logged of it · nothing secret.
"""

import asyncio
import gzip
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cvstate_operator import __version__
from cvstate_operator.errors import SettingsError
from cvstate_operator.telemetry import otlp
from cvstate_operator.telemetry.collector import Destination
from cvstate_operator.telemetry.otlp import ATTEMPTS, BATCH_BYTES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Exporter
from cvstate_operator.telemetry.spans import Finished, Kind, Link
from tests.support.collector import Collector, read
from tests.support.credentials import Authority, server_tls
from tests.unit.telemetry.bad_servers import serving

TRACE, ROOT, CHILD = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
SPAN = Finished("reconcile", Kind.INTERNAL, TRACE, ROOT, "", 1_700_000_000_000_000_000, 1_700_000_001_000_000_000, {})
LARGE = [replace(SPAN, attributes={f"a{number}": "x" * 900 for number in range(20)}) for _ in range(10)]
"""A trace of about 200 KB."""


class Open:
    """An exporter, and what it says became of the spans."""

    def __init__(self, url: str, **more: Any) -> None:
        self.counted: Counter[str] = Counter()
        self.pauses: list[float] = []
        """Between attempts; none of them is waited for."""
        target = Destination(f"{url}/v1/traces", more.pop("headers", {}), more.pop("authorities", ""))
        settings = {"linger_seconds": 0.0, "rest": self._rest, **more}
        self.exporter = Exporter(target, about={"service.name": "test"}, observe=self._count, **settings)

    def _count(self, result: str, spans: int) -> None:
        if spans:
            self.counted[result] += spans

    async def _rest(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def counts(self, **wanted: int) -> None:
        """Wait until so many spans have come to that, and no others to anything."""
        async with asyncio.timeout(10):
            while self.counted.total() < sum(wanted.values()):
                await asyncio.sleep(0.005)
        assert self.counted == Counter(wanted)


@asynccontextmanager
async def open_to(url: str, **more: Any) -> AsyncIterator[Open]:
    made = Open(url, **more)
    made.exporter.start()
    try:
        yield made
    finally:
        await made.exporter.close(seconds=5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as serving:
        yield serving
    assert not serving.faults


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_span_is_what_the_specification_says() -> None:
    child = replace(
        SPAN,
        kind=Kind.CLIENT,
        span_id=CHILD,
        parent_id=ROOT,
        attributes={"text": "a\nb", "yes": True, "number": 2**63 - 1, "ratio": 0.25},
        links=(Link(TRACE, ROOT),),
        error="away",
    )
    assert json.loads(otlp.encode(child)) == {
        "traceId": TRACE,
        "spanId": CHILD,
        "parentSpanId": ROOT,
        "flags": 1,
        "name": "reconcile",
        "kind": 3,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001000000000",
        "attributes": [
            {"key": "text", "value": {"stringValue": "a\\nb"}},
            {"key": "yes", "value": {"boolValue": True}},
            {"key": "number", "value": {"intValue": "9223372036854775807"}},
            {"key": "ratio", "value": {"doubleValue": 0.25}},
        ],
        "links": [{"traceId": TRACE, "spanId": ROOT, "flags": 1}],
        "status": {"code": 2, "message": "away"},
    }


def test_text_that_no_encoding_has_a_place_for_does_not_stop_the_rest() -> None:
    assert json.loads(otlp.encode(replace(SPAN, attributes={"manager": "\ud800\x00"})))["attributes"][0]["value"] == {
        "stringValue": r"\ud800\x00"
    }


async def test_a_request_tells_whose_spans_they_are(collector: Collector) -> None:
    async with open_to(collector.url, headers={"Authorization": "Bearer t0ken"}) as made:
        made.exporter.offer([SPAN, replace(SPAN, span_id=CHILD, parent_id=ROOT)])
        await made.counts(ok=2)
    assert [(span.span_id, span.parent_id, span.resource) for span in collector.spans] == [
        (ROOT, "", {"service.name": "test"}),
        (CHILD, ROOT, {"service.name": "test"}),
    ]
    (headers,) = collector.headers
    assert (headers["Authorization"], headers["User-Agent"]) == ("Bearer t0ken", f"cvstate-operator/{__version__}")


async def test_traces_that_end_at_about_the_same_time_are_sent_together(collector: Collector) -> None:
    async with open_to(collector.url, linger_seconds=60) as made:
        for _ in range(5):
            made.exporter.offer([SPAN])
        await asyncio.sleep(0)
    assert (len(collector.headers), len(collector.spans)) == (1, 5)


async def test_a_request_is_not_larger_than_it_should_be(collector: Collector) -> None:
    async with open_to(collector.url, linger_seconds=60) as made:
        for _ in range(6):
            made.exporter.offer(LARGE)
    assert made.counted == {"ok": 60}
    assert [int(headers["Content-Length"]) < BATCH_BYTES + 1000 for headers in collector.headers] == [True] * 3


async def test_after_a_large_request_small_traces_wait_for_each_other_again(collector: Collector) -> None:
    async with open_to(collector.url, linger_seconds=60) as made:
        made.exporter.offer(LARGE * 3)
        await made.counts(ok=30)
        for _ in range(5):
            made.exporter.offer([SPAN])
            await asyncio.sleep(0)
    assert (len(collector.headers), made.counted) == (2, {"ok": 35})


async def test_a_single_trace_that_is_too_large_is_sent_alone(collector: Collector) -> None:
    async with open_to(collector.url) as made:
        made.exporter.offer(LARGE * 4)
        await made.counts(ok=40)
    assert int(collector.headers[0]["Content-Length"]) > BATCH_BYTES


async def test_whoever_offers_a_trace_does_not_wait_for_the_collector() -> None:
    asked = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        asked.set()
        await asyncio.sleep(60)
        return web.Response()

    async with serving(hang) as url:
        made = Open(url)
        made.exporter.start()
        made.exporter.offer([SPAN])
        await asked.wait()
        started = time.perf_counter()
        for _ in range(100):
            made.exporter.offer([SPAN])
        assert time.perf_counter() - started < 0.5
        await made.exporter.close(seconds=0.05)
    assert made.counted == {"dropped": 101}


# -- answers -----------------------------------------------------------------------------------------------------------


def answering(*answers: tuple[int, str], seen: list[int] | None = None, **headers: str) -> Callable[[web.Request], Any]:
    """Answers like this, one after the other, and the last for ever; `seen` gets the number of spans of each request."""
    waiting = list(answers)

    async def answer(request: web.Request) -> web.Response:
        spans = read(await request.read())
        if seen is not None:
            seen.append(len(spans))
        status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return web.Response(status=status, text=body, content_type="application/json", headers=headers)

    return answer


@pytest.mark.parametrize(
    "body", ["{}", "", "no JSON", "[]", '{"partialSuccess": {}}', '{"partialSuccess": {"errorMessage": "slow down"}}', "null"]
)
async def test_spans_are_taken_whatever_else_the_collector_says(body: str) -> None:
    async with serving(answering((200, body))) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(ok=1)


@pytest.mark.parametrize("refused", ["1", 1, "99"])
async def test_spans_that_were_refused_among_others_count_as_failed_and_are_not_sent_again(refused: object) -> None:
    seen: list[int] = []
    body = json.dumps({"partialSuccess": {"rejectedSpans": refused, "errorMessage": "too old"}})
    async with serving(answering((200, body), seen=seen)) as url, open_to(url) as made:
        made.exporter.offer([SPAN, SPAN, SPAN])
        lost = min(int(str(refused)), 3)
        await made.counts(**({"ok": 3 - lost, "failed": lost} if lost < 3 else {"failed": 3}))
    assert seen == [3]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 500])
async def test_a_request_that_is_refused_is_not_repeated(status: int) -> None:
    seen: list[int] = []
    async with serving(answering((status, "{}"), seen=seen, Location="http://127.0.0.1:1/")) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(failed=1)
    assert seen == [1]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_request_is_repeated_while_the_collector_is_busy(status: int) -> None:
    seen: list[int] = []
    async with serving(answering((status, ""), (status, ""), (200, "{}"), seen=seen)) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(ok=1)
    assert seen == [1, 1, 1]


async def test_a_batch_is_given_up_after_so_many_attempts() -> None:
    seen: list[int] = []
    async with serving(answering((503, ""), seen=seen)) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(failed=1)
    assert len(seen) == ATTEMPTS
    assert [round(pause / FIRST_PAUSE_SECONDS / 2**number) for number, pause in enumerate(made.pauses)] == [1] * (ATTEMPTS - 1)
    assert FIRST_PAUSE_SECONDS not in made.pauses, "replicas must not come back together"


@pytest.mark.parametrize(("told", "seconds"), [("7", 7.0), ("86400", LONGEST_PAUSE_SECONDS)])
async def test_a_pause_that_the_collector_asks_for_is_kept_within_reason(told: str, seconds: float) -> None:
    async with serving(answering((429, ""), (200, "{}"), **{"Retry-After": told})) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(ok=1)
    assert made.pauses == [seconds]


@pytest.mark.parametrize("told", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "soon", ""])
async def test_a_pause_that_cannot_be_read_is_our_own(told: str) -> None:
    async with serving(answering((429, ""), (200, "{}"), **{"Retry-After": told})) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(ok=1)
    assert [round(pause) for pause in made.pauses] == [FIRST_PAUSE_SECONDS]


async def test_an_answer_without_an_end_is_not_read_to_it() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        chunk = gzip.compress(b" " * 2**20)
        while True:
            await response.write(chunk)

    async with serving(endless) as url, open_to(url) as made:
        made.exporter.offer([SPAN])
        await made.counts(ok=1)


async def test_traces_get_through_when_the_collector_comes_back(collector: Collector) -> None:
    collector.die()

    async def come_back(seconds: float) -> None:
        collector.revive()

    async with open_to(collector.url, rest=come_back) as made:
        made.exporter.offer([SPAN])
        await made.counts(ok=1)


async def test_a_trace_that_cannot_be_sent_does_not_stop_the_next(collector: Collector) -> None:
    async with open_to(collector.url) as made:
        collector.answer(400)
        made.exporter.offer([SPAN])
        await made.counts(failed=1)
        collector.answer(200)
        made.exporter.offer([SPAN])
        await made.counts(failed=1, ok=1)


async def test_a_fault_of_ours_does_not_end_the_sending(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    counted: list[tuple[str, int]] = []

    def observe(result: str, spans: int) -> None:
        counted.append((result, spans))
        if len(counted) == 1:
            raise ValueError("a fault")

    made = Exporter(Destination(f"{collector.url}/v1/traces"), about={"service.name": "test"}, observe=observe, linger_seconds=0)
    made.start()
    for number in (1, 2):
        made.offer([SPAN])
        async with asyncio.timeout(5):
            while len(collector.headers) < number:
                await asyncio.sleep(0.005)
    await made.close(seconds=5)
    assert counted[-2:] == [("ok", 1), ("failed", 0)]
    assert "internal error while sending traces" in caplog.text


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_a_collector_is_known_by_the_authority_that_was_given(tmp_path: Path) -> None:
    authority = Authority()
    file = tmp_path / "ca.crt"
    file.write_text(authority.certificate)
    handler = answering((200, "{}"))
    async with serving(handler, ssl_context=server_tls(authority.issue("127.0.0.1"))) as url:
        async with open_to(url, authorities=str(file)) as made:
            made.exporter.offer([SPAN])
            await made.counts(ok=1)
        async with open_to(url) as other:
            other.exporter.offer([SPAN])
            await other.counts(failed=1)


async def test_a_file_without_certificates_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("nothing")
    for file in (tmp_path / "empty", tmp_path / "missing"):
        made = Open("https://otel:4318", authorities=str(file))
        with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_CERTIFICATE"):
            made.exporter.start()
        await made.exporter.close(seconds=1)


# -- limits and the end ------------------------------------------------------------------------------------------------


async def test_what_finds_no_room_is_dropped_and_counted(collector: Collector) -> None:
    size = len(otlp.encode(SPAN))
    async with open_to(collector.url, linger_seconds=60, waiting_bytes=3 * size) as made:
        for _ in range(5):
            made.exporter.offer([SPAN])
        assert made.counted == {"dropped": 2}
    assert made.counted == {"dropped": 2, "ok": 3}


async def test_room_is_free_again_once_something_was_sent(collector: Collector) -> None:
    size = len(otlp.encode(SPAN))
    async with open_to(collector.url, waiting_bytes=size) as made:
        for number in range(1, 4):
            made.exporter.offer([SPAN])
            await made.counts(ok=number)


async def test_what_waits_is_sent_at_the_end(collector: Collector) -> None:
    async with open_to(collector.url, linger_seconds=60) as made:
        made.exporter.offer([SPAN])
    assert (made.counted, len(collector.spans)) == ({"ok": 1}, 1)


async def test_the_end_does_not_wait_for_a_collector_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    refused = asyncio.Event()

    async def rest(seconds: float) -> None:
        refused.set()
        await asyncio.Event().wait()

    made = Open("http://127.0.0.1:1", rest=rest)
    made.exporter.start()
    made.exporter.offer([SPAN])
    await refused.wait()
    made.exporter.offer([SPAN])
    started = time.perf_counter()
    await made.exporter.close(seconds=0.1)
    assert time.perf_counter() - started < 2
    assert made.counted == {"dropped": 2}
    assert "dropped at the end" in caplog.text


async def test_what_comes_after_the_end_is_dropped(collector: Collector) -> None:
    async with open_to(collector.url) as made:
        pass
    made.exporter.offer([SPAN])
    assert made.counted == {"dropped": 1}


# -- the log -----------------------------------------------------------------------------------------------------------


async def test_that_traces_do_not_get_through_is_said_once_and_that_they_do_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers = [(500, ""), (500, ""), (503, ""), (200, "{}"), (200, "{}")]
    async with serving(answering(*answers)) as url, open_to(url) as made:
        for number in range(1, 5):
            made.exporter.offer([SPAN])
            async with asyncio.timeout(5):
                while made.counted.total() < number:
                    await asyncio.sleep(0.005)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == otlp.__name__]
    assert told == [("WARNING", "traces are not taken"), ("INFO", "traces are taken again")]


async def test_who_gives_the_port_of_grpc_is_told_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(answering((404, ""))) as url:
        monkeypatch.setattr(otlp, "_GRPC_PORT", int(url.rpartition(":")[2]))
        async with open_to(url) as made:
            made.exporter.offer([SPAN])
            await made.counts(failed=1)
    assert "4318" in str(vars(caplog.records[0])["error"])


async def test_no_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="cvstate_operator")
    headers = {"Authorization": "Bearer hunter2"}
    async with serving(answering((401, "hunter2 is wrong"))) as url, open_to(url, headers=headers) as made:
        made.exporter.offer([SPAN])
        await made.counts(failed=1)
    assert not [record for record in caplog.records if "hunter2" in str(vars(record))]
