"""The operator as the demo runs it: a process of its own, `cvstate run`, that logs to a file."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Final

from cvstate_operator.cli.demo.findings import NotSeenError

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 25.0
"""A little more than the operator itself takes for objects in hand (`Settings.shutdown_seconds`)."""
TAIL_LINES: Final = 8


class OperatorProcess:
    """One run of the operator."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log

    @classmethod
    async def start(cls, *, kubeconfig: Path, cache: Path, log: Path, namespace: str | None) -> "OperatorProcess":
        """Start it, and wait until it watches.

        Args:
            kubeconfig: who it is, and where.
            cache: a directory of its own.
            log: file for its log, one JSON object per line.
            namespace: the only one whose ClusterStates it acts on; None for all.
        """
        entry = (sys.executable, "-c", "from cvstate_operator.cli.main import main; main()")
        options = ["--kubeconfig", str(kubeconfig), "--cache", str(cache), "--listen", "127.0.0.1:0", "--log-format", "json"]
        if namespace:
            options += ["--namespace", namespace]
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                *entry, "run", *options, stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        operator = cls(process, log)
        try:
            await operator._wait_until_started()
        except BaseException:
            await operator.stop()
            raise
        return operator

    def check(self) -> None:
        """See that it runs.

        Raises:
            NotSeenError: it ended.
        """
        if (code := self._process.returncode) is not None:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise NotSeenError(expected="the operator keeps running", found=f"it {how}", tail=self._tail())

    async def stop(self) -> None:
        """End it in order; by force if it does not."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _wait_until_started(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        while not any('"message":"started"' in line for line in self.log.read_text().splitlines()):
            self.check()
            if loop.time() > deadline:
                raise NotSeenError(expected="the operator starts", found="no line `started` in its log", tail=self._tail())
            await asyncio.sleep(0.02)

    def _tail(self) -> tuple[str, ...]:
        return tuple(map(_readable, self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]))


def _readable(line: str) -> str:
    """A JSON line for people; anything else, a traceback for example, as it is."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    rest = "".join(f"  {name}={value}" for name, value in fields.items() if name not in ("time", "level", "logger", "message"))
    return f"{fields.get('time', '')[11:19]} {fields.get('level', '')} {fields.get('message', '')}{rest}"
