"""Whoever makes drift, a process of its own: it writes when the plan says so, whether the tool keeps up or not.

    python -m bench.drifter KUBECONFIG

It takes one JSON: ``[[seconds, path, merge patch or null], ...]``; null deletes. The first moment is LEAD_SECONDS after it was read. At the end it prints

    [[sent, answered, status], ...]        CLOCK_MONOTONIC, the second when the answer began, and its HTTP status; in the order of the plan
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import orjson

from bench import access
from bench.drifts import Drift
from bench.gate import STRANGER
from bench.witness import ROOT

LEAD_SECONDS: Final = 0.5
CONNECTIONS: Final = 16
"""Writes under way at most. At 100 a second and 3 ms each there is less than one on average."""
SPARE_SECONDS: Final = 60.0
"""How much longer than its plan it may take."""


class DrifterError(Exception):
    """Drift could not be made: the run says nothing."""


class Written(NamedTuple):
    """When a drift was made, CLOCK_MONOTONIC. A tool that watches may hear of it before whoever made it has the answer."""

    sent: float
    answered: float


def drift(kubeconfig: Path, drifts: Sequence[Drift]) -> list[Written]:
    """Make these drifts; returns when.

    Args:
        kubeconfig: of a user who may change anything, no tool's.
        drifts: in the order of their times.

    Raises:
        DrifterError: one of them was refused, or the process failed.
    """
    plan = [(each.seconds, each.path, each.patch) for each in drifts]
    limit = (drifts[-1].seconds if drifts else 0.0) + SPARE_SECONDS
    command = (sys.executable, "-m", "bench.drifter", str(kubeconfig))
    try:
        done = subprocess.run(command, input=orjson.dumps(plan), stdout=subprocess.PIPE, cwd=ROOT, timeout=limit, check=True)
    except subprocess.SubprocessError as exc:
        raise DrifterError(f"the process that makes drift failed: {exc}") from exc
    answers: list[tuple[float, float, int]] = orjson.loads(done.stdout)
    refused = [f"{each.path} {status}" for each, (_, _, status) in zip(drifts, answers, strict=True) if status >= 300]
    if refused:
        raise DrifterError(f"{len(refused)} drifts were refused: {', '.join(refused[:10])}")
    return [Written(sent, answered) for sent, answered, _ in answers]


async def _run(kubeconfig: Path, plan: Sequence[Any]) -> list[tuple[float, float, int]]:
    user = access.read(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=user.tls, limit=CONNECTIONS)
    async with aiohttp.ClientSession(user.server, connector=connector, headers=user.headers) as session:
        begin = time.monotonic() + LEAD_SECONDS
        return await asyncio.gather(*(_write(session, begin + seconds, path, patch) for seconds, path, patch in plan))


async def _write(session: aiohttp.ClientSession, moment: float, path: str, patch: Any) -> tuple[float, float, int]:
    await asyncio.sleep(moment - time.monotonic())
    method, data = ("DELETE", None) if patch is None else ("PATCH", orjson.dumps(patch))
    content = "application/json" if patch is None else "application/merge-patch+json"
    where = path if patch is None else f"{path}?fieldManager={STRANGER}"
    sent = time.monotonic()
    async with session.request(method, where, data=data, headers={"Content-Type": content}) as answer:
        answered = time.monotonic()
        await answer.read()
        return sent, answered, answer.status


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(_run(Path(sys.argv[1]), orjson.loads(sys.stdin.buffer.read())))))
