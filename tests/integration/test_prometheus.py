"""The Prometheus client against a real Prometheus, which scrapes a real exporter each second.

Aspects: values of one and several series · numbers that are none · how fresh data is while its target lives, and after it died, hangs, or lacks the series ·
long ranges over data that ended, and `or vector(0)` · offsets and fixed times · Prometheus killed and started again · users, TLS · limits · that
Prometheus reads PromQL as we do. Data of the past is put into its database by promtool.
"""

import asyncio
import socket
import subprocess
import time
import urllib.error
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.telemetry import endpoint
from cvstate_operator.telemetry.prometheus import PrometheusClient
from cvstate_operator.vital.language import promql
from cvstate_operator.vital.reading import Gap, Reading
from tests.cluster import builds
from tests.support.credentials import Authority
from tests.support.exporter import Exporter
from tests.support.prometheus import Door, Prometheus

pytestmark = pytest.mark.integration

LOCAL = AddressPolicy(insecure=True)
PAST_MINUTES = range(-70, -30)
"""When `old_total` had samples."""
HASHED = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
"""bcrypt of `test`; the example of Prometheus' documentation."""


class Scraped:
    """A Prometheus, and what it scrapes."""

    def __init__(self, prometheus: Prometheus, exporter: Exporter) -> None:
        self.prometheus = prometheus
        self.exporter = exporter


def put_past(directory: Path) -> None:
    """Counters that ended half an hour ago, and one that counts until now, as blocks of the database."""
    now = time.time()
    lines = ["# TYPE old counter"]
    lines += [f"old_total {minute - PAST_MINUTES[0]} {now + minute * 60:.3f}" for minute in PAST_MINUTES]
    lines += ["# TYPE past gauge", *(f"past {minute + 100} {now + minute * 60:.3f}" for minute in range(-70, -2)), "# EOF", ""]
    (directory / "past.txt").write_text("\n".join(lines))
    program = builds.ensure(["promtool"])["promtool"]
    command = (program, "tsdb", "create-blocks-from", "openmetrics", directory / "past.txt", directory / "data")
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    directory = tmp_path_factory.mktemp("prometheus")
    put_past(directory)
    with Exporter() as exporter:
        exporter.set("lives", 1)
        with Prometheus(directory, targets=[exporter.target]) as prometheus:
            yield Scraped(prometheus, exporter)


@pytest.fixture
async def client() -> AsyncIterator[PrometheusClient]:
    async with PrometheusClient(LOCAL, shared_seconds=0) as made:
        yield made


async def ask(
    client: PrometheusClient, at: Prometheus, query: str, *, stale: float = 300, seconds: float = 10, secret: dict[str, str] | None = None
) -> Reading:
    data = {name: value.encode() for name, value in (secret or {}).items()}
    where = endpoint.read(at.url, "shop", LOCAL, secret="prom-auth", data=data)
    found = await client.read(where, query, timeout_seconds=seconds, stale_after_seconds=stale, now=datetime.now(UTC))
    assert found.message.isprintable()
    return found


async def eventually(client: PrometheusClient, at: Prometheus, query: str, gap: Gap | None, *, stale: float = 300) -> Reading:
    """Ask until the answer has this gap, or none."""
    for _ in range(200):
        found = await ask(client, at, query, stale=stale)
        if found.gap is gap:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{query} is {found}")


def age(found: Reading) -> float:
    """Seconds."""
    assert found.taken_at
    return (datetime.now(UTC) - found.taken_at).total_seconds()


# -- values ------------------------------------------------------------------------------------------------------------


async def test_one_series_has_its_value_and_its_age(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.exporter.set("one", 42.5)
    scraped.prometheus.knows("one")
    found = await ask(client, scraped.prometheus, "one")
    assert (found.gap, found.low, found.high, found.low_series) == (None, 42.5, 42.5, "")
    assert 0 <= age(found) < 5


async def test_of_several_series_the_worst_ones_are_named(client: PrometheusClient, scraped: Scraped) -> None:
    for name, value in {"a": 3, "b": 1, "c": 2}.items():
        scraped.exporter.set("several", value, shard=name)
    scraped.prometheus.knows("several")
    found = await ask(client, scraped.prometheus, "sum by (shard) (several)")
    assert (found.low, found.low_series, found.high, found.high_series) == (1.0, '{shard="b"}', 3.0, '{shard="a"}')


@pytest.mark.parametrize(("query", "value"), [("7 * 6", 42.0), ("scalar(lives)", 1.0), ("vector(3)", 3.0), ("time() - time()", 0.0)])
async def test_scalars_are_numbers_too(client: PrometheusClient, scraped: Scraped, query: str, value: float) -> None:
    scraped.prometheus.knows("lives")
    found = await ask(client, scraped.prometheus, query)
    assert (found.gap, found.low) == (None, value)


@pytest.mark.parametrize("query", ["lives * NaN", "lives / 0", "0 / (lives - 1)", "scalar(nobody_has_this)", "-lives / 0"])
async def test_what_is_no_number_is_a_gap(client: PrometheusClient, scraped: Scraped, query: str) -> None:
    scraped.prometheus.knows("lives")
    expected = Gap.NO_DATA if "nobody" in query else Gap.NOT_A_NUMBER
    assert (await ask(client, scraped.prometheus, query)).gap is expected


async def test_a_series_that_says_nan_is_no_number(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.exporter.set("odd", float("nan"), n="1")
    scraped.exporter.set("odd", 1, n="2")
    scraped.prometheus.knows("odd")
    assert (await ask(client, scraped.prometheus, "odd")).gap is Gap.NOT_A_NUMBER


async def test_several_metrics_have_an_age_although_timestamp_cannot_tell_it(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.exporter.set("twin_a", 1)
    scraped.exporter.set("twin_b", 2)
    scraped.prometheus.knows("twin_a + on(job) twin_b")
    found = await ask(client, scraped.prometheus, '{__name__=~"twin_."}')
    assert (found.gap, found.low, found.high) == (None, 1.0, 2.0)
    assert age(found) < 35


# -- freshness ---------------------------------------------------------------------------------------------------------


async def test_a_dead_exporter(client: PrometheusClient, scraped: Scraped) -> None:
    """A range goes on giving numbers; they are known until the newest sample is too old, and told to be as old as they are."""
    server, exporter = scraped.prometheus, scraped.exporter
    exporter.add("count_total")
    searched = "max_over_time(timestamp(count_total)[5m:15s])"
    server.knows(searched)
    server.knows("rate(count_total[5m])")  # which takes two samples
    assert (await ask(client, server, "sum(rate(count_total[5m]))", stale=5)).gap is None
    exporter.die()
    died = time.time()
    try:
        assert (await eventually(client, server, "count_total", Gap.NO_DATA)).taken_at is None
        known = await ask(client, server, "sum(rate(count_total[5m]))", stale=60)
        assert (known.gap, known.low is not None) == (None, True)
        gone = await eventually(client, server, "sum(rate(count_total[5m]))", Gap.STALE, stale=5)
        assert server.ask("sum(rate(count_total[5m]))"), "Prometheus itself gives a number still"
        # Found in steps of 15 s: too early by one step and one scrape at worst, never too late.
        assert time.time() - died - 3 < age(gone) < time.time() - died + 18
    finally:
        exporter.revive()
    assert (await eventually(client, server, "sum(rate(count_total[5m]))", None, stale=5)).low is not None


async def test_an_exporter_that_hangs_gives_no_data(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.prometheus.knows("lives")
    scraped.exporter.hang()
    try:
        await eventually(client, scraped.prometheus, "lives", Gap.NO_DATA)
        assert (await ask(client, scraped.prometheus, "up")).low == 0.0
    finally:
        scraped.exporter.go_on()
    await eventually(client, scraped.prometheus, "lives", None)


async def test_a_series_that_vanishes_is_missed_and_the_others_are_not(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.exporter.set("shard", 1, n="1")
    scraped.exporter.set("shard", 2, n="2")
    scraped.prometheus.knows('shard{n="2"}')
    scraped.exporter.remove("shard", n="2")
    await eventually(client, scraped.prometheus, 'shard{n="2"}', Gap.NO_DATA)
    found = await ask(client, scraped.prometheus, "shard")
    assert (found.gap, found.high) == (None, 1.0)


async def test_a_long_range_over_data_that_ended_is_stale(client: PrometheusClient, scraped: Scraped) -> None:
    server = scraped.prometheus
    assert server.ask("sum(rate(old_total[1h]))"), "Prometheus itself gives a number"
    found = await ask(client, server, "sum(rate(old_total[1h]))")
    assert found.gap is Gap.STALE
    assert 30 * 60 < age(found) < 34 * 60
    assert (await ask(client, server, "sum(rate(old_total[1h]))", stale=3600)).gap is None


async def test_a_quotient_is_as_old_as_its_stalest_half(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.prometheus.knows("lives")
    query = "sum(rate(old_total[1h])) / sum(lives)"
    assert scraped.prometheus.ask(query)
    assert (await ask(client, scraped.prometheus, query)).gap is Gap.STALE


async def test_or_vector_0_is_no_data(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.prometheus.knows("lives")
    trap = "sum(rate(never_seen_total[5m])) or vector(0)"
    assert scraped.prometheus.ask(trap)[0]["value"][1] == "0"
    assert (await ask(client, scraped.prometheus, trap)).gap is Gap.NO_DATA
    found = await ask(client, scraped.prometheus, f"({trap}) / sum(lives)")
    assert (found.gap, found.low) == (None, 0.0)


async def test_data_of_an_offset_is_judged_by_the_time_it_is_of(client: PrometheusClient, scraped: Scraped) -> None:
    server = scraped.prometheus
    then = await ask(client, server, "past offset 30m")
    assert then.gap is None
    assert age(then) < 90
    assert (await ask(client, server, "rate(past[5m] offset 10m)")).gap is None
    assert (await ask(client, server, "avg_over_time(past[1h:1m] offset 1m)", stale=60)).gap is Gap.STALE


async def test_a_fixed_time_grows_old(client: PrometheusClient, scraped: Scraped) -> None:
    scraped.prometheus.knows("lives")
    then = time.time() - 1800
    found = await ask(client, scraped.prometheus, f"past @ {then:.0f}")
    assert found.gap is Gap.STALE
    assert abs(age(found) - 1800) < 90
    assert (await ask(client, scraped.prometheus, f"lives - on() group_left past @ {then:.0f}")).gap is None


# -- PromQL ------------------------------------------------------------------------------------------------------------

QUERIES = [
    "lives",
    'lives{job=~"a.*",instance!=""}',
    "sum by (job) (rate(old_total[5m])) / on (job) group_left () sum by (job) (lives)",
    "max_over_time(rate(old_total[5m])[1h:1m] offset 5m)",
    "max_over_time((past offset 5m)[1h:] offset 10m)",
    "min_over_time(past[2s:500ms])",
    "rate(old_total[1h]) - rate(old_total[1h] offset 1d)",
    "rate(old_total[30d])",
    "past @ start() + past @ end()",
    "rate(old_total[5m] @ 1700000000 offset 1m)",
    "topk(scalar(lives), past)",
    'quantile by (job) (0.9, lives) > bool 1 or count_values("n", lives)',
    '{__name__=~"lives|past"}',
    'rate({__name__=~"old.*",job!="é"}[30m] offset 1h)',
    'label_replace(lives, "x", "$1", "job", "(.*)")',
    'lives{job="a\\"b\\\\c\\n\\x09é"}',
    '{"lives", "a label"="x"}',
    "absent(lives) or histogram_quantile(0.9, lives_bucket)",
    "-lives ^ 2 % 3 atan2 lives unless past",
    "lives offset -1m",
    "predict_linear(past[1h], 3600) + deriv(past[5m]) + time() # the end",
]
FAULTS = [
    "lives[5m]",
    "rate(lives)",
    "foo(lives)",
    "lives{",
    "a b",
    "1 > 2",
    "sum(",
    "lives{a=~'('}",
    "{a=~'.*'}",
    "x[0s]",
    "lives @ x",
    "x offset (5m",
]


@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_takes_what_is_made_of_a_query(scraped: Scraped, query: str) -> None:
    promql.check(query)
    scraped.prometheus.ask(query)
    newest = promql.newest_sample(query)
    assert newest
    for found in scraped.prometheus.ask(newest):
        assert found["metric"].keys() == {"cvstate_selector"}
        assert time.time() - 40 * 86400 < float(found["value"][1]) < time.time() + 120
    if promql.is_selector(query):
        scraped.prometheus.ask(promql.over(query, "5m"))


@pytest.mark.parametrize("query", FAULTS)
def test_prometheus_refuses_what_we_refuse(scraped: Scraped, query: str) -> None:
    with pytest.raises(promql.PromqlError):
        promql.check(query)
    if query != "lives[5m]":  # Prometheus answers with a range vector, of which no signal can be made
        with pytest.raises(urllib.error.HTTPError):
            scraped.prometheus.ask(query)


async def test_what_prometheus_refuses_is_told_in_its_words(client: PrometheusClient, scraped: Scraped) -> None:
    found = await ask(client, scraped.prometheus, "limitk(1, lives)")
    assert (found.gap, "experimental" in found.message) == (Gap.QUERY_FAILED, True)


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_too_many_series(client: PrometheusClient, scraped: Scraped) -> None:
    for number in range(1001):
        scraped.exporter.set("many", number, n=str(number))
    scraped.prometheus.knows('many{n="1000"}')
    assert (await ask(client, scraped.prometheus, "many")).gap is Gap.TOO_MANY_SERIES
    assert (await ask(client, scraped.prometheus, 'many{n!="1000"}')).high == 999.0
    for number in range(1001):
        scraped.exporter.remove("many", n=str(number))


async def test_a_query_that_takes_too_long(client: PrometheusClient, scraped: Scraped) -> None:
    found = await ask(client, scraped.prometheus, "count_over_time((vector(1) + vector(1))[200d:1s])", seconds=0.25)
    assert found.gap in (Gap.QUERY_FAILED, Gap.UNREACHABLE)
    assert "timed out" in found.message or "did not answer within" in found.message


# -- the server --------------------------------------------------------------------------------------------------------


async def test_prometheus_is_killed_and_comes_back(client: PrometheusClient, scraped: Scraped) -> None:
    server = scraped.prometheus
    server.knows("lives")
    await ask(client, server, "lives")
    server.end(kill=True)
    try:
        found = await ask(client, server, "lives")
        assert (found.gap, found.low, found.taken_at) == (Gap.UNREACHABLE, None, None)
    finally:
        server.start()
    assert (await eventually(client, server, "lives", None)).low == 1.0


async def test_users_and_passwords(client: PrometheusClient, tmp_path: Path) -> None:
    with Prometheus(tmp_path, door=Door(users={"me": HASHED})) as server:
        assert (await ask(client, server, "1", secret={"username": "me", "password": "test"})).low == 1.0
        for secret in ({"username": "me", "password": "wrong-one"}, {"bearerToken": "test"}, {}):
            found = await ask(client, server, "1", secret=secret)
            assert (found.gap, "wrong-one" in found.message) == (Gap.REFUSED, False)


async def test_tls_by_an_authority_of_one_s_own(client: PrometheusClient, tmp_path: Path) -> None:
    ours, other = Authority(), Authority()
    pair = ours.issue()
    with Prometheus(tmp_path, door=Door(tls=ours.issue("127.0.0.1"), clients=ours.certificate)) as server:
        shown = {"tls.crt": pair.certificate, "tls.key": pair.key}
        assert (await ask(client, server, "1", secret={"ca.crt": ours.certificate, **shown})).low == 1.0
        for secret in ({"ca.crt": ours.certificate}, {"ca.crt": other.certificate, **shown}, shown):
            assert (await ask(client, server, "1", secret=secret)).gap is Gap.UNREACHABLE


def test_nothing_is_left_of_a_prometheus_and_an_exporter(tmp_path: Path) -> None:
    with Exporter() as exporter, Prometheus(tmp_path, targets=[exporter.target]) as server:
        exporter.set("x", 1)
        server.knows("x")
        ports = (server.port, int(exporter.target.partition(":")[2]))
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1).close()
