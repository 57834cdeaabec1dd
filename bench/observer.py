"""The observer, a process of its own: it says when the cluster first held what was declared. No tool's word counts for it.

    python -m bench.observer KUBECONFIG

It lists and watches every kind of `bench.objects` in all namespaces, foreign objects left out, and notes the time (CLOCK_MONOTONIC) at which each piece of a watch arrives, before
it looks at it. What arrived is looked at when nothing came for REST_SECONDS, or when it waited for MOST_SECONDS: so observing costs the machine next to
nothing while the tools work, and the time is right all the same.

Orders come as one JSON a line, answers go out alike:

    {"expect": "s1", "objects": [[url path, body or null], ...], "after": 0, "again": false}      null: must not be there
    {"done": "s1", "times": [seconds, ...]}           once each was as expected; in the order of the objects, of the first time that it was so
    {"ask": "s1"}     →     {"asked": "s1", "missing": [url path, ...], "times": [seconds or null, ...]}     at most MOST_NAMED are named
    {"state": [url path, ...]}     →     {"state": [body or null, ...]}              as seen last

With `after` only states count whose resourceVersion is greater: what was right before somebody changed it is not right again. With `again` each object
must be seen otherwise first; so an order can come before the change does.
It ends at the end of its input.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from bench import access, comparison, objects

REST_SECONDS: Final = 0.02
MOST_SECONDS: Final = 1.0
SLICE: Final = 20
"""Events looked at before anything else may happen: a millisecond. So late may an arrival be noted at worst, and only while others are looked at."""
MOST_NAMED: Final = 20
SELECTOR: Final = f"!{objects.FOREIGN_LABEL}"
MOST_LINE: Final = 1 << 28
"""Bytes of one order: 10,000 objects are 15 MB."""


@dataclass(frozen=True, slots=True)
class State:
    """An object as one event showed it."""

    seconds: float
    """When the event arrived, CLOCK_MONOTONIC."""
    version: int
    """Its resourceVersion. An integer: Kubernetes enhancement proposal 5504."""
    raw: bytes | None
    """The object; None: it is gone."""


class Expectation:
    """What one order waits for."""

    def __init__(self, wanted: Mapping[str, Any], after: int, *, again: bool = False) -> None:
        """
        Args:
            wanted: URL path → body, or None for what must not be there.
            after: states up to this resourceVersion do not count.
            again: each must be seen otherwise before it counts.
        """
        self.wanted = wanted
        self.times: dict[str, float] = {}
        """URL path → when it was first as wanted."""
        self._after = after
        self._right_so_far = set(wanted) if again else set()
        """What was not seen otherwise yet, though it has to be."""

    @property
    def is_met(self) -> bool:
        """Whether each object was as wanted once."""
        return len(self.times) == len(self.wanted)

    def see(self, path: str, state: State, body: Any) -> None:
        """Take note of a state; `body` is what its `raw` says."""
        if path in self.times or path not in self.wanted or state.version <= self._after:
            return
        wanted = self.wanted[path]
        if not (body is wanted or (body is not None and wanted is not None and comparison.holds(wanted, body))):
            self._right_so_far.discard(path)
        elif path not in self._right_so_far:
            self.times[path] = state.seconds


class Observer:
    """See the module."""

    def __init__(self) -> None:
        self._arrived: deque[tuple[float, str, bytes]] = deque()
        """When, of which collection, one event."""
        self._states: dict[str, State] = {}
        self._expectations: dict[str, Expectation] = {}

    async def run(self, kubeconfig: Path) -> None:
        """Observe until the end of the input."""
        user = access.read(kubeconfig)
        connector = aiohttp.TCPConnector(ssl=user.tls)
        patience = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(user.server, connector=connector, headers=user.headers, timeout=patience) as session:
            listed = [(kind, await self._list(session, kind.collection)) for kind in objects.KINDS.values()]
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._watch(session, kind.collection, version)) for kind, version in listed]
                running.append(tasks.create_task(self._look()))
                await self._obey()
                for task in running:
                    task.cancel()

    async def _list(self, session: aiohttp.ClientSession, collection: str) -> str:
        async with session.get(collection, params={"labelSelector": SELECTOR}, raise_for_status=True) as answer:
            found = orjson.loads(await answer.read())
        now = time.monotonic()
        for item in found["items"]:
            self._note(now, collection, "ADDED", item)
        return str(found["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, collection: str, version: str) -> None:
        """Note what arrives until cancelled. A watch that ends is an error: then a run would not be seen."""
        parameters = {"watch": "1", "labelSelector": SELECTOR, "resourceVersion": version, "timeoutSeconds": str(24 * 3600)}
        async with session.get(collection, params=parameters, raise_for_status=True) as answer:
            rest = b""
            async for data in answer.content.iter_any():
                now = time.monotonic()
                *lines, rest = (rest + data).split(b"\n")
                self._arrived.extend((now, collection, line) for line in lines)
        raise RuntimeError(f"the watch of {collection} ended; the run cannot be judged")

    async def _look(self) -> None:
        while True:
            seen = len(self._arrived)
            await asyncio.sleep(REST_SECONDS)
            if not self._arrived:
                continue
            is_silent = len(self._arrived) == seen
            if is_silent or time.monotonic() - self._arrived[0][0] > MOST_SECONDS:
                await self._look_at_all()

    async def _look_at_all(self) -> None:
        while self._arrived:
            for _ in range(min(SLICE, len(self._arrived))):
                seconds, collection, line = self._arrived.popleft()
                event = orjson.loads(line)
                self._note(seconds, collection, event["type"], event["object"])
            self._report()
            await asyncio.sleep(0)

    def _note(self, seconds: float, collection: str, event: str, body: dict[str, Any]) -> None:
        if event == "ERROR":
            raise RuntimeError(f"the watch of {collection} failed: {body.get('message')}; the run cannot be judged")
        meta = body["metadata"]
        root, _, plural = collection.rpartition("/")
        path = f"{root}/namespaces/{meta['namespace']}/{plural}/{meta['name']}"
        is_gone = event == "DELETED"
        state = self._states[path] = State(seconds, int(meta["resourceVersion"]), None if is_gone else orjson.dumps(body))
        for expectation in self._expectations.values():
            expectation.see(path, state, None if is_gone else body)

    def _report(self) -> None:
        for name, expectation in list(self._expectations.items()):
            if expectation.is_met:
                _say({"done": name, "times": [expectation.times[path] for path in expectation.wanted]})
                del self._expectations[name]

    async def _obey(self) -> None:
        reader = asyncio.StreamReader(limit=MOST_LINE)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        _say({"ready": True})
        while line := await reader.readline():
            order = orjson.loads(line)
            if "expect" in order:
                self._expect(order["expect"], Expectation(dict(order["objects"]), order.get("after", 0), again=order.get("again", False)))
            elif "ask" in order:
                expectation = self._expectations.get(order["ask"])
                times = {path: expectation.times.get(path) for path in expectation.wanted} if expectation else {}
                missing = [path for path, seconds in times.items() if seconds is None]
                _say({"asked": order["ask"], "missing": missing[:MOST_NAMED], "times": list(times.values())})
            else:
                _say({"state": list(self._bodies(order["state"]))})

    def _expect(self, name: str, expectation: Expectation) -> None:
        self._expectations[name] = expectation
        now = time.monotonic()
        for path in expectation.wanted:
            state = self._states.get(path) or State(now, sys.maxsize, None)
            expectation.see(path, state, state.raw and orjson.loads(state.raw))
        self._report()

    def _bodies(self, paths: list[str]) -> Iterator[Any]:
        for path in paths:
            state = self._states.get(path)
            yield orjson.loads(state.raw) if state and state.raw else None


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(Observer().run(Path(sys.argv[1])))
