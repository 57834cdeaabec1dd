"""The Prometheus client, against servers on the loopback interface that answer badly, late, or not at all.

Aspects: what is sent · answers that are none, by status and by content · size, time and redirects · what is told of it: one line, no secret · sharing of
equal questions, and of none between credentials · cancellation · limits of questions at a time · retries · addresses · names, and who waits for their name servers ·
TLS · what is observed.
"""

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from cvstate_operator.network import lookups
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.telemetry import endpoint, prometheus, question_turns
from cvstate_operator.telemetry.endpoint import Endpoint
from cvstate_operator.telemetry.prometheus import PrometheusClient
from cvstate_operator.telemetry.prometheus_answer import MAX_BYTES, MAX_SERIES, NoAnswerError
from cvstate_operator.vital.reading import Gap, Reading
from tests.support.credentials import Authority, basic, bearer, server_tls
from tests.unit.telemetry.bad_servers import constant, newest, scripted, sending, serving, vector

LOCAL = AddressPolicy(insecure=True, flag="--allow-prometheus-host")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
EVALUATED = 1_700_000_000.0


@asynccontextmanager
async def client(**more: Any) -> AsyncIterator[PrometheusClient]:
    async with PrometheusClient(more.pop("policy", LOCAL), **more) as made:
        yield made


def where(url: str, **data: bytes) -> Endpoint:
    """An endpoint with a Secret; `ca_crt=b"…"` is `ca.crt`."""
    dotted = {name.replace("_crt", ".crt").replace("_key", ".key"): value for name, value in data.items()}
    return endpoint.read(url, "shop", LOCAL, secret="prom-auth", data=dotted)


async def read(made: PrometheusClient, at: Endpoint, query: str = "x", *, seconds: float = 5.0) -> Reading:
    return await made.read(at, query, timeout_seconds=seconds, stale_after_seconds=300, now=NOW)


async def reading(url: str, query: str = "x", *, seconds: float = 5.0) -> Reading:
    async with client() as made:
        found = await read(made, where(url), query, seconds=seconds)
    assert found.message.isprintable()
    assert (found.gap is None) is (found.low is not None)
    return found


# -- what is sent ------------------------------------------------------------------------------------------------------


async def test_a_question_is_a_form_with_its_limits() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(
            await request.post(), path=request.path, method=request.method, kind=request.content_type, headers=dict(request.headers)
        )
        return web.json_response(vector(1))

    async with serving(handler) as url, client() as made:
        await made.ask(where(f"{url}/prefix/", username=b"me", password=b"hunter2"), "x", timeout_seconds=10)
    assert (seen["method"], seen["path"], seen["kind"]) == ("POST", "/prefix/api/v1/query", "application/x-www-form-urlencoded")
    assert (seen["query"], seen["limit"]) == ("x", str(MAX_SERIES + 1))
    assert 8 < float(seen["timeout"]) < 10
    assert seen["headers"]["Authorization"] == basic("me", "hunter2")
    assert "gzip" not in seen["headers"]["Accept-Encoding"]


async def test_a_token_is_sent_as_one() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(vector(1)) if request.headers.get("Authorization") == bearer("s3cret-token") else web.Response(status=401)

    async with serving(handler) as url, client() as made:
        assert len(await made.ask(where(url, bearerToken=b"s3cret-token\n"), "x", timeout_seconds=5)) == 1
        with pytest.raises(NoAnswerError) as caught:
            await made.ask(where(url, bearerToken=b"another-token"), "x", timeout_seconds=5)
        assert caught.value.gap is Gap.REFUSED


async def test_series_have_labels_values_and_the_server_s_time() -> None:
    async with serving(constant(200, json.dumps(vector(1, "NaN", "-Inf", at=1234.5)))) as url, client() as made:
        series = await made.ask(where(url), "x", timeout_seconds=5)
    assert [str(one.value) for one in series] == ["1.0", "nan", "-inf"]
    assert series[0].labels == {"__name__": "x", "n": "0"}
    assert series[0].at == datetime.fromtimestamp(1234.5, UTC)


async def test_a_scalar_is_one_series_without_labels() -> None:
    body = {"status": "success", "data": {"resultType": "scalar", "result": [1.5, "42"]}}
    async with serving(constant(200, json.dumps(body))) as url, client() as made:
        (one,) = await made.ask(where(url), "42", timeout_seconds=5)
    assert (one.labels, one.value) == ({}, 42.0)


@pytest.mark.parametrize("value", ["0", "-1.5", "+2", "1e+06", "2.5E-3", ".5", "5.", "NaN", "+Inf", "-Inf"])
async def test_a_value_is_a_number_as_prometheus_writes_it(value: str) -> None:
    async with serving(constant(200, json.dumps(vector(value)))) as url, client() as made:
        (one,) = await made.ask(where(url), "x", timeout_seconds=5)
    assert str(one.value) == str(float(value))


@pytest.mark.parametrize("value", ["", " 5 ", "5\n", "1_000", "0x10", "\u0663", "Inf", "inf", "nan", "-NaN", "infinity", "1e", ".", "1,5"])
async def test_a_value_that_only_python_reads_as_a_number_is_none(value: str) -> None:
    async with serving(constant(200, json.dumps(vector(value)))) as url:
        assert (await reading(url)).gap is Gap.UNREACHABLE


# -- values and ages ---------------------------------------------------------------------------------------------------


async def judged(value: dict[str, Any], ages: dict[str, Any], query: str = "x") -> Reading:
    async with serving(scripted(value, ages)) as url:
        return await reading(url, query)


async def test_of_several_series_the_lowest_and_the_highest_are_told() -> None:
    found = await judged(vector(3, 1, 2), newest(EVALUATED - 10))
    assert (found.low, found.high, found.low_series, found.high_series) == (1.0, 3.0, '{n="1"}', '{n="0"}')
    assert found.taken_at is not None
    assert abs(NOW - timedelta(seconds=10) - found.taken_at) < timedelta(seconds=1)


async def test_one_series_needs_no_name() -> None:
    found = await judged(vector(3), newest(EVALUATED))
    assert (found.low, found.high, found.low_series, found.high_series) == (3.0, 3.0, "", "")


async def test_the_stalest_selector_with_data_tells_the_age() -> None:
    found = await judged(vector(3), newest(EVALUATED - 10, EVALUATED - 301), "x / y")
    assert found.gap is Gap.STALE
    assert found.taken_at is not None
    assert abs(NOW - timedelta(seconds=301) - found.taken_at) < timedelta(seconds=1)


async def test_a_selector_without_data_is_left_out_beside_one_with_data() -> None:
    only_second = newest(EVALUATED, EVALUATED - 10)
    del only_second["data"]["result"][0]
    assert (await judged(vector(3), only_second, "(sum(errors) or vector(0)) / sum(requests)")).gap is None


@pytest.mark.parametrize(("known", "questions"), [(2, 2), (1, 3), (0, 3)])
async def test_the_past_is_searched_only_if_a_selector_has_no_living_series(known: int, questions: int) -> None:
    asked: list[str] = []
    async with serving(scripted(vector(3), newest(*[EVALUATED] * known), asked)) as url:
        await reading(url, "rate(x[5m]) / rate(y[5m])")
    assert len(asked) == questions
    assert sum("max_over_time" in query for query in asked) == questions - 2


async def test_a_number_without_data_behind_it_is_none() -> None:
    found = await judged(vector(0), newest(), "sum(rate(errors[5m])) or vector(0)")
    assert (found.gap, found.taken_at) == (Gap.NO_DATA, None)


async def test_no_series_is_no_data() -> None:
    assert (await judged(vector(), newest(EVALUATED))).gap is Gap.NO_DATA


async def test_a_number_of_the_query_itself_is_as_fresh_as_the_answer() -> None:
    found = await judged(vector(5), newest(), "vector(5)")
    assert found.low == 5.0
    assert found.taken_at == found.asked_at


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
async def test_one_series_that_is_no_number_spoils_all(value: str) -> None:
    found = await judged(vector(1, value, 3), newest(EVALUATED))
    assert found.gap is Gap.NOT_A_NUMBER
    assert '{n="1"}' in found.message


async def test_a_clock_of_the_server_that_is_wrong_changes_no_age() -> None:
    found = await judged(vector(1, at=5e8), newest(5e8 - 299, at=5e8))
    assert found.gap is None


async def test_samples_of_the_future_are_of_now() -> None:
    found = await judged(vector(1), newest(EVALUATED + 1e6))
    assert found.taken_at == found.asked_at


@pytest.mark.parametrize("time", ["NaN", "-Inf", "-1e300"])
async def test_a_nonsensical_age_is_none(time: str) -> None:
    assert (await judged(vector(1), newest(time))).gap in (Gap.NO_DATA, Gap.STALE)


# -- answers that are none ---------------------------------------------------------------------------------------------


def failed(kind: str, text: str) -> str:
    return json.dumps({"status": "error", "errorType": kind, "error": text})


def succeeded(kind: Any, result: Any, **extra: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **extra})


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (400, failed("bad_data", "1:2: parse\nerror"), Gap.QUERY_FAILED, "1:2: parse\\nerror"),
        (422, failed("execution", "found duplicate series"), Gap.QUERY_FAILED, "found duplicate series"),
        (503, failed("timeout", "query timed out"), Gap.QUERY_FAILED, "query timed out"),
        (503, failed("canceled", "query was canceled"), Gap.QUERY_FAILED, "canceled"),
        (500, failed("internal", "disk is gone"), Gap.UNREACHABLE, "disk is gone"),
        (503, "Service Unavailable", Gap.UNREACHABLE, "HTTP 503"),
        (502, "<html>", Gap.UNREACHABLE, "HTTP 502"),
        (429, "slow down", Gap.UNREACHABLE, "HTTP 429"),
        (401, failed("unauthorized", "who are you"), Gap.REFUSED, "secretRef"),
        (403, "no", Gap.REFUSED, "HTTP 403"),
        (404, "404 page not found", Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (405, "", Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (200, "<html>Grafana</html>", Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (200, "", Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (200, "[]", Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (200, '{"status": "success"}', Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, '{"status": "success", "data": []}', Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", None), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [1]), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [{"metric": {}, "value": [1, 2]}]), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [{"metric": {}, "value": [1, "x"]}]), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [{"metric": {}, "value": [1e300, "1"]}]), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [{"metric": {"a": 1}, "value": [1, "1"]}]), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [{"value": [1, "1"]}]), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded(["vector"], []), Gap.UNREACHABLE, "not that of a Prometheus"),
        (200, succeeded("vector", [{"metric": {}, "histogram": [1, {}]}]), Gap.QUERY_FAILED, "histogram_quantile"),
        (200, succeeded("matrix", []), Gap.QUERY_FAILED, "a range vector"),
        (200, succeeded("string", [1, "s3cret"]), Gap.QUERY_FAILED, "a text"),
        (200, json.dumps(vector(1, warnings=["store 3 did not answer"])), Gap.QUERY_FAILED, "store 3 did not answer"),
        (200, json.dumps(vector(1, warnings=[{"odd": 1}])), Gap.QUERY_FAILED, "the server warns"),
        (200, json.dumps(vector(*range(MAX_SERIES + 1))), Gap.TOO_MANY_SERIES, "more than 1000 series"),
        (
            200,
            json.dumps(vector(*range(MAX_SERIES + 1), warnings=["results truncated due to limit"])),
            Gap.TOO_MANY_SERIES,
            "more than 1000",
        ),
        (200, "[" * 100_000, Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (200, b"\xff\xfe", Gap.UNREACHABLE, "no Prometheus HTTP API"),
        (204, "", Gap.UNREACHABLE, "HTTP 204"),
    ],
)
async def test_what_is_no_answer_is_a_gap(status: int, body: str | bytes, expected: Gap, words: str) -> None:
    async with serving(constant(status, body)) as url:
        found = await reading(url)
    assert found.gap is expected
    assert words in found.message


async def test_notes_to_people_who_write_queries_are_no_warnings() -> None:
    assert (await judged(vector(1, infos=["metric might not be a counter"]), newest(EVALUATED))).gap is None


async def test_as_many_series_as_are_allowed_are_taken() -> None:
    assert (await judged(vector(*range(MAX_SERIES)), newest(EVALUATED))).high == MAX_SERIES - 1


async def test_a_failure_to_tell_the_age_is_no_age() -> None:
    found = await judged(vector(1), {"status": "error", "errorType": "execution", "error": "too many samples"})
    assert found.gap is Gap.QUERY_FAILED
    assert "how old the data is" in found.message


@pytest.mark.parametrize("query", ["x[5m]", "rate(", "", "x" * 50_000, "x{a='\ud800'}"])
async def test_what_is_no_query_is_not_asked(query: str) -> None:
    asked: list[str] = []
    async with serving(scripted(vector(1), newest(EVALUATED), asked)) as url:
        assert (await reading(url, query)).gap is Gap.QUERY_FAILED
    assert not asked


# -- hostile ones ------------------------------------------------------------------------------------------------------


async def test_a_redirect_is_not_followed() -> None:
    followed = []

    async def elsewhere(request: web.Request) -> web.Response:
        followed.append(request.headers.get("Authorization"))
        return web.json_response(vector(1))

    async with serving(elsewhere) as other, serving(constant(307, "", [("Location", f"{other}/api/v1/query")])) as url:
        found = await reading(url)
    assert found.gap is Gap.UNREACHABLE
    assert "redirects" in found.message
    assert not followed


async def test_a_large_answer_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 20 * MAX_BYTES:
            await response.write(b" " * 2**16)
            sent += 2**16
        return response

    async with serving(endless) as url:
        assert (await reading(url)).gap is Gap.TOO_MANY_SERIES
    assert sent < 6 * MAX_BYTES  # two questions, and what lies in buffers


async def test_a_small_answer_that_unpacks_to_a_large_one_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 10 * MAX_BYTES)
    async with serving(constant(200, bomb, [("Content-Encoding", "gzip")])) as url:
        found = await reading(url)
    assert found.gap is Gap.UNREACHABLE
    assert "compressed" in found.message


async def test_an_answer_that_trickles_in_ends_at_the_deadline() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with sending(head, *[b" "] * 200, seconds_between=0.05) as url:
        began = asyncio.get_running_loop().time()
        found = await reading(url, seconds=0.4)
        assert asyncio.get_running_loop().time() - began < 3
    assert (found.gap, "within 0.4 s" in found.message) == (Gap.UNREACHABLE, True)


async def test_silence_ends_at_the_deadline() -> None:
    async with sending(close=False) as url:
        assert "did not answer within 0.3 s" in (await reading(url, seconds=0.3)).message


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"SSH-2.0-OpenSSH_9.6\r\n",),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",),
        (),
    ],
    ids=["half", "no-chunk", "ssh", "long-header", "nothing"],
)
async def test_what_is_no_http_is_no_answer(pieces: tuple[bytes, ...]) -> None:
    async with sending(*pieces) as url:
        assert (await reading(url)).gap is Gap.UNREACHABLE


async def test_nobody_there() -> None:
    async with sending() as url:
        pass
    found = await reading(url)
    assert (found.gap, "refuses the connection" in found.message) == (Gap.UNREACHABLE, True)


async def test_a_name_that_nobody_has_is_told_in_the_system_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*asked: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    found = await reading("http://nobody.invalid:9090")
    told = "http://nobody.invalid:9090 has a name that was not resolved: Name or service not known"
    assert (found.gap, found.message) == (Gap.UNREACHABLE, told)


async def test_a_connection_that_is_dead_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "RETRY_SECONDS", 0.01)
    count = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        if count == 1:
            assert request.transport
            request.transport.abort()
        return web.json_response(vector(1))

    async with serving(handler) as url, client() as made:
        assert len(await made.ask(where(url), "x", timeout_seconds=5)) == 1
        assert count == 2


async def test_an_error_is_not_tried_again() -> None:
    count = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(status=500)

    async with serving(handler) as url, client() as made:
        with pytest.raises(NoAnswerError):
            await made.ask(where(url), "x", timeout_seconds=5)
    assert count == 1


SECRETS: list[dict[str, bytes]] = [{"username": b"me", "password": b"hunter22"}, {"bearerToken": b"hunter22"}]


@pytest.mark.parametrize("data", SECRETS, ids=["basic", "bearer"])
@pytest.mark.parametrize("repeated", ["hunter22", basic("me", "hunter22")])
async def test_a_server_that_repeats_our_secrets_is_not_quoted(data: dict[str, bytes], repeated: str) -> None:
    async with serving(constant(400, failed("bad_data", f"you sent {repeated} {'x' * 9000}"))) as url, client() as made:
        at = where(url, **data)
        found = await read(made, at)
    assert "hunter22" not in found.message
    assert repeated.removeprefix("Basic ") not in found.message or "bearerToken" in data
    assert len(found.message) < 300
    assert "hunter22" not in repr(at)


# -- sharing -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def slow(seconds: float = 0.1) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that takes its time; and who asked it, by the Authorization header."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", ""))
        number = len(asked)
        await asyncio.sleep(seconds)
        return web.json_response(vector(number))

    async with serving(handler) as url:
        yield url, asked


async def test_equal_questions_are_asked_once() -> None:
    async with slow() as (url, asked), client() as made:
        answers = await asyncio.gather(*(made.ask(where(url), "x", timeout_seconds=5) for _ in range(20)))
        answers.append(await made.ask(where(url), "x", timeout_seconds=5))
    assert len(asked) == 1
    assert {answer[0].value for answer in answers} == {1.0}


async def test_what_somebody_else_asked_is_as_old_as_it_is() -> None:
    async with slow(0.2) as (url, _), client() as made:
        first = await read(made, where(url), "1")
        assert abs(first.asked_at - NOW) < timedelta(seconds=0.15)  # however long the answer took
        second = await read(made, where(url), "1")
        assert second.asked_at < NOW - timedelta(seconds=0.15)
        assert second.taken_at == second.asked_at


async def test_an_old_answer_is_asked_for_anew() -> None:
    async with slow(0) as (url, asked), client(shared_seconds=0.05) as made:
        await made.ask(where(url), "x", timeout_seconds=5)
        await asyncio.sleep(0.1)
        await made.ask(where(url), "x", timeout_seconds=5)
    assert len(asked) == 2


async def test_a_large_answer_is_not_kept() -> None:
    asked: list[str] = []
    async with serving(scripted(vector(*range(MAX_SERIES)), newest(EVALUATED), asked)) as url, client() as made:
        for _ in range(2):
            await made.ask(where(url), "x", timeout_seconds=5)
    assert len(asked) == 2


async def test_other_credentials_namespaces_and_addresses_never_share() -> None:
    async with slow() as (url, asked), client() as made:
        endpoints = [
            where(url),
            where(url, bearerToken=b"one"),
            where(url, bearerToken=b"two"),
            where(url, username=b"me", password=b"one"),
            where(url, username=b"me", password=b"two"),
            where(f"{url}/prefix"),
            endpoint.read(url, "another-namespace", LOCAL),
        ]
        for _ in range(2):
            answers = await asyncio.gather(*(made.ask(each, "x", timeout_seconds=5) for each in endpoints))
            assert len({answer[0].value for answer in answers}) == len(endpoints)
    assert len(asked) == len(endpoints)


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    async with slow() as (url, asked), client() as made:
        first = asyncio.create_task(made.ask(where(url), "x", timeout_seconds=5))
        second = asyncio.create_task(made.ask(where(url), "x", timeout_seconds=5))
        await asyncio.sleep(0.02)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second)[0].value == 1.0
    assert len(asked) == 1


async def test_a_failure_is_told_to_all_who_wait_and_to_nobody_after() -> None:
    statuses = [500, 200]

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.json_response(vector(1), status=statuses.pop(0))

    async with serving(handler) as url, client() as made:
        both = await asyncio.gather(*(made.ask(where(url), "x", timeout_seconds=5) for _ in range(2)), return_exceptions=True)
        assert [type(each) for each in both] == [NoAnswerError, NoAnswerError]
        assert len(await made.ask(where(url), "x", timeout_seconds=5)) == 1


async def test_closing_ends_what_is_on_its_way() -> None:
    async with sending(close=False) as url:
        made = PrometheusClient(LOCAL)
        waiting = asyncio.create_task(read(made, where(url), seconds=60))
        await asyncio.sleep(0.05)
        await made.close()
        assert (await waiting).gap is Gap.UNREACHABLE
        assert (await read(made, where(url), seconds=60)).message == "the operator ends"


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_one_server_is_asked_few_questions_at_a_time() -> None:
    running = most = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.json_response(vector(1))

    async with serving(handler) as url, client() as made:
        tenants = [where(url, bearerToken=f"t{number}".encode()) for number in range(4)]
        await asyncio.gather(*(made.ask(tenants[number % 4], f"x{number}", timeout_seconds=20) for number in range(40)))
    assert most == question_turns.IN_FLIGHT_PER_SERVER


async def test_a_server_that_hangs_holds_up_no_other() -> None:
    async with sending(close=False) as hanging, slow(0) as (url, _), client() as made:
        waiting = [asyncio.create_task(read(made, where(hanging), f"x{number}", seconds=60)) for number in range(60)]
        await asyncio.sleep(0.05)
        assert len(await made.ask(where(url), "x", timeout_seconds=2)) == 1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_waits_for_a_turn_too_long_is_told_so() -> None:
    async with sending(close=False) as hanging, client() as made:
        at = where(hanging)
        waiting = [
            asyncio.create_task(made.ask(at, f"x{number}", timeout_seconds=60)) for number in range(question_turns.IN_FLIGHT_PER_SERVER)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(NoAnswerError) as caught:
            await made.ask(at, "y", timeout_seconds=0.1)
        assert "asked too much at a time" in caught.value.message
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_keeps_a_turn_for_long_is_told_that_others_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_turns, "IN_FLIGHT", 1)
    monkeypatch.setattr(question_turns, "HELD_SECONDS", 0.05)
    async with sending(close=False) as hanging, slow(0) as (url, _), client() as made:
        waiting = asyncio.create_task(made.ask(where(hanging), "x", timeout_seconds=60))
        await asyncio.sleep(0.02)
        assert len(await made.ask(endpoint.read(url, "another-namespace", LOCAL), "x", timeout_seconds=5)) == 1
        with pytest.raises(NoAnswerError, match="others waited") as caught:
            await waiting
    assert caught.value.gap is Gap.UNREACHABLE


async def test_how_long_questions_wait_for_their_turn_is_observed_also_of_those_that_have_none() -> None:
    told: list[float] = []
    async with sending(close=False) as hanging, client(waited=told.append) as made:
        at = where(hanging)
        asking = [made.ask(at, f"x{number}", timeout_seconds=0.3) for number in range(question_turns.IN_FLIGHT_PER_SERVER + 1)]
        await asyncio.gather(*asking, return_exceptions=True)
    assert len(told) == question_turns.IN_FLIGHT_PER_SERVER + 1
    assert max(sorted(told)[:-1]) < 0.2
    assert 0.2 < max(told) < 3


async def test_every_request_is_observed() -> None:
    told: list[tuple[str, float]] = []
    async with serving(constant(200, json.dumps(vector(1)))) as url, client(observe=lambda *each: told.append(each)) as made:
        await made.ask(where(url), "x", timeout_seconds=5)
        await made.ask(where(url), "x", timeout_seconds=5)
    async with serving(constant(401, "")) as url, client(observe=lambda *each: told.append(each)) as made:
        await read(made, where(url), "1")
    assert [result for result, _ in told] == ["success", "Refused"]
    assert all(0 <= seconds < 5 for _, seconds in told)


# -- addresses ---------------------------------------------------------------------------------------------------------


async def test_with_a_list_a_redirect_leads_to_no_other_host() -> None:
    listed = AddressPolicy(insecure=True, only=("127.0.0.1",))
    async with slow(0) as (other, asked):
        elsewhere = other.replace("127.0.0.1", "localhost") + "/api/v1/query"
        for status in (301, 302, 307, 308):
            async with serving(constant(status, "", [("Location", elsewhere)])) as url, client(policy=listed) as made:
                assert (await read(made, endpoint.read(url, "shop", listed), "1")).gap is Gap.UNREACHABLE
    assert asked == []


async def test_a_name_that_leads_where_nobody_may_go_is_refused() -> None:
    strict = AddressPolicy(flag="--allow-prometheus-host")
    async with slow(0) as (url, asked), client(policy=strict) as made:
        # A name to Python, which the resolver of the system takes for the loopback interface.
        port = url.rpartition(":")[2]
        found = await read(made, endpoint.read(f"http://0x7f000001:{port}", "shop", strict))
    assert (found.gap, asked) == (Gap.REFUSED, [])
    assert "--allow-prometheus-host" in found.message


# -- names -------------------------------------------------------------------------------------------------------------


class NameServers:
    """Names that end with `.silent` have none that answers before it is told to; all others lead here."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.speaks = threading.Event()

    def getaddrinfo(self, host: str, *rest: object) -> list[Any]:
        self.asked.append(host)
        if host.endswith(".silent"):
            self.speaks.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async def until_asked(self, number: int) -> None:
        async with asyncio.timeout(5):
            while len(self.asked) < number:
                await asyncio.sleep(0.001)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    found = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    yield found
    found.speaks.set()


def named(host: str, namespace: str, *, port: str = "9090") -> Endpoint:
    return endpoint.read(f"http://{host}:{port}", namespace, LOCAL)


@asynccontextmanager
async def asking(
    made: PrometheusClient, names: NameServers, hosts: Iterable[str], namespace: str
) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Questions to these hosts, once as many names are looked up as a namespace may have; their name servers speak at the end."""
    tasks = [asyncio.create_task(made.ask(named(host, namespace), "x", timeout_seconds=60)) for host in hosts]
    try:
        await names.until_asked(min(len(tasks), prometheus.LOOKUPS_PER_NAMESPACE))
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        names.speaks.set()
        async with asyncio.timeout(5):
            while made._lookups._asking:
                await asyncio.sleep(0.001)


def silent(number: int) -> list[str]:
    return [f"n{each}.silent" for each in range(number)]


async def test_names_whose_name_servers_are_silent_hold_up_their_own_namespace_alone(names: NameServers) -> None:
    async with slow(0) as (url, _), client() as made, asking(made, names, silent(60), "evil"):
        good = named("good.example.org", "good", port=url.rpartition(":")[2])
        assert len(await made.ask(good, "x", timeout_seconds=2)) == 1
        assert len(names.asked) == prometheus.LOOKUPS_PER_NAMESPACE + 1
        with pytest.raises(NoAnswerError):
            await made.ask(replace(good, namespace="evil"), "y", timeout_seconds=0.1)


async def test_who_joins_a_lookup_takes_no_turn_of_the_namespace_that_began_it(names: NameServers) -> None:
    many = ["shared.silent", *silent(prometheus.LOOKUPS_PER_NAMESPACE)]
    async with slow(0) as (url, _), client() as made, asking(made, names, many[:1], "evil"), asking(made, names, many, "good"):
        await names.until_asked(len(many))
        assert names.asked.count("shared.silent") == 1
        evil = named("more.example.org", "evil", port=url.rpartition(":")[2])
        assert len(await made.ask(evil, "x", timeout_seconds=2)) == 1, "the other's turns are not its own"


async def test_nobody_waits_with_a_name_that_waits_for_the_turn_of_another_namespace(names: NameServers) -> None:
    async with slow(0) as (url, _), client() as made, asking(made, names, silent(prometheus.LOOKUPS_PER_NAMESPACE), "evil"):
        good = named("good.example.org", "good", port=url.rpartition(":")[2])
        waiting = asyncio.create_task(made.ask(replace(good, namespace="evil"), "x", timeout_seconds=60))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(await made.ask(good, "x", timeout_seconds=2)) == 1
        assert not waiting.done(), "its own namespace has no turn left"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_good_name_that_has_no_turn_is_not_blamed_for_those_of_others(names: NameServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(prometheus, "LOOKUPS", prometheus.LOOKUPS_PER_NAMESPACE)
    async with client() as made, asking(made, names, silent(prometheus.LOOKUPS_PER_NAMESPACE), "evil"):
        told = [await read(made, named("good.example.org", namespace)) for namespace in ("good", "evil")]
    assert [each.gap for each in told] == [Gap.UNREACHABLE] * 2
    assert "names of other tenants are being looked up, and their name servers do not answer" in told[0].message
    assert "names of the same tenant" in told[1].message


# -- TLS ---------------------------------------------------------------------------------------------------


async def test_certificates_that_cannot_be_used_are_refused() -> None:
    async with client() as made:
        found = await read(made, where("https://127.0.0.1:1", tls_crt=b"hunter2", tls_key=b"hunter2"))
    assert found.gap is Gap.REFUSED
    assert "hunter2" not in found.message


async def test_a_server_is_trusted_by_the_secret_s_authority_and_no_other() -> None:
    ours, other = Authority(), Authority()
    context = server_tls(ours.issue("127.0.0.1"))
    async with serving(constant(200, json.dumps(vector(1))), ssl_context=context) as url, client() as made:
        assert (await read(made, where(url, ca_crt=ours.certificate.encode()), "1")).low == 1.0
        for data in ({"ca_crt": other.certificate.encode()}, {}):
            found = await read(made, where(url, **data), "1")
            assert (found.gap, "certificate that is not accepted" in found.message) == (Gap.UNREACHABLE, True)


async def test_a_server_of_another_name_is_not_trusted() -> None:
    ours = Authority()
    context = server_tls(ours.issue("another.example.org"))
    async with serving(constant(200, json.dumps(vector(1))), ssl_context=context) as url, client() as made:
        assert (await read(made, where(url, ca_crt=ours.certificate.encode()), "1")).gap is Gap.UNREACHABLE


async def test_a_client_certificate_is_shown() -> None:
    ours = Authority()
    context = server_tls(ours.issue("127.0.0.1"), clients=ours)
    pair = ours.issue()
    async with serving(constant(200, json.dumps(vector(1))), ssl_context=context) as url, client() as made:
        trusted = {"ca_crt": ours.certificate.encode()}
        own = {"tls_crt": pair.certificate.encode(), "tls_key": pair.key.encode()}
        assert (await read(made, where(url, **trusted, **own), "1")).low == 1.0
        assert (await read(made, where(url, **trusted), "1")).gap is Gap.UNREACHABLE


async def test_https_to_a_server_without_tls() -> None:
    async with serving(constant(200, "{}")) as url:
        found = await reading(url.replace("http:", "https:"), "1")
    assert (found.gap, "TLS" in found.message) == (Gap.UNREACHABLE, True)
