"""The operator process. Aspects: what its probes say of tasks that ended."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from cvstate_operator.kube.connection import Connection
from cvstate_operator.operator.app import _Process
from cvstate_operator.settings import Settings


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[_Process]:
    """One of several replicas that was made, and does nothing yet."""

    async def authorize() -> str | None:
        return None

    async with aiohttp.TCPConnector() as connector:
        yield _Process(Settings(cache=tmp_path, lease_namespace="system"), Connection("https://127.0.0.1:1", connector, authorize), "a_1")


async def test_a_process_whose_tasks_all_go_on_is_alive(process: _Process) -> None:
    process._kopf = asyncio.create_task(asyncio.sleep(60))
    assert process._alive() == ""
    process._kopf.cancel()


async def test_only_a_restart_helps_a_process_that_watches_no_clusterstates_any_more(process: _Process) -> None:
    process._kopf = asyncio.create_task(asyncio.sleep(0))
    await process._kopf
    assert process._alive() == "the watch of ClusterStates ended"


async def test_only_a_restart_helps_a_process_that_does_not_keep_in_touch_with_the_others_any_more(process: _Process) -> None:
    task = asyncio.create_task(asyncio.sleep(0), name="renew the Lease")
    process._replicas._tasks = (task,)  # type: ignore[attr-defined]
    await task
    assert process._alive() == "the task to renew the Lease ended"
