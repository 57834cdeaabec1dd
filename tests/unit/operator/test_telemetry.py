"""Telemetry as one ClusterState asks for it, with the operator's own settings; what Prometheus answers is in tests/unit/telemetry.

Aspects: hosts that the operator's owner did not list.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cvstate_operator.api.vital import Prometheus, Slo
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.operator.engine import Engine
from cvstate_operator.operator.members import Alone
from cvstate_operator.operator.place import OWN
from cvstate_operator.operator.telemetry import Telemetry
from cvstate_operator.reconcile.ports import Server
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.metrics import Metrics
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.reading import Gap

SLO = Slo.model_validate({"name": "availability", "objective": "99.9", "good": "good_total", "total": "all_total"})


@asynccontextmanager
async def telemetry(directory: Path, **settings: tuple[str, ...]) -> AsyncIterator[Telemetry]:
    """Of an operator that was started so."""
    made = Engine(
        Settings(cache=directory, **settings),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Metrics(),
        pace=None,  # type: ignore[arg-type]
        quality=ApiQuality(),
        observe=lambda **_: None,
        observe_remote=lambda **_: None,
        replicas=Alone("this"),
    )
    try:
        yield made._targets.take(OWN).telemetry
    finally:
        await made._targets.close()
        await made._prometheus.close()


def server(url: str) -> Server:
    return Server(Prometheus(url=url), {}, "shop")


async def gap_and_message(asked: Telemetry, url: str) -> tuple[Gap | None, str]:
    found = await asked.read(server(url), "up", timeout_seconds=5, max_age_seconds=5, stale_after_seconds=300)
    return found.gap, found.message


@pytest.mark.parametrize("url", ["http://another.invalid:9090", "http://10.0.0.1:9090", "https://prometheus.invalid.example.org"])
async def test_a_host_that_is_not_listed_is_refused_for_signals_and_slos(tmp_path: Path, url: str) -> None:
    async with telemetry(tmp_path, prometheus_hosts=("prometheus.invalid",)) as asked:
        why, message = await gap_and_message(asked, url)
        assert (why, "--prometheus-host" in message) == (Gap.REFUSED, True)
        (query, *_) = slo_queries.queries(SLO)
        answer = await asked.answer(server(url), query, timeout_seconds=5)
        assert (answer.gap, answer.message) == (Gap.REFUSED, message)


async def test_a_host_that_is_listed_is_asked_and_without_a_list_every_one_is(tmp_path: Path) -> None:
    for settings in ({"prometheus_hosts": ("prometheus.invalid",)}, {}):
        async with telemetry(tmp_path, **settings) as asked:
            assert (await gap_and_message(asked, "http://prometheus.invalid:9090"))[0] is Gap.UNREACHABLE, "nobody has that name"
