"""The observer: the demo's own eyes. It watches the API server beside the operator and believes nothing else.

One watch per kind of the application keeps a mirror of its objects; claims about the mirror are tried again whenever something changed. Times are
taken on this process's monotonic clock when a watch tells of a change.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import aiohttp

from cvstate_operator.cli.demo.application import Body, Key, key_of
from cvstate_operator.errors import NetworkError
from cvstate_operator.kube import verdict
from cvstate_operator.kube.connection import Connection

USER_AGENT: Final = "cvstate-demo"
REQUEST_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.05
"""Pause before a watch is tried again: the kind may just be being installed."""
GLANCE_SECONDS: Final = 0.25
"""How often a claim is tried although nothing changed, so that an operator that died is noticed."""

MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

T = TypeVar("T")
Tell = Callable[[str, Body], None]
"""Told of every event of a watch: its type and the object."""


@dataclass(frozen=True, slots=True)
class Sight(Generic[T]):
    """Something that was seen."""

    value: T
    at: float
    """Monotonic seconds at which the observer was told."""


class Observer:
    """Eyes and hands of the person in front of the demo; an async context manager."""

    def __init__(self, connection: Connection) -> None:
        self.objects: dict[Key, Body] = {}
        """The mirror."""
        self._server = connection.server
        self._session = connection.session()
        self._changed = asyncio.Condition()
        self._changed_at = time.monotonic()
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await self._session.close()

    def mirror(self, collections: Iterable[str], *, selector: str = "") -> None:
        """Keep `objects` as the API server has them, for every kind at these URL paths; one that is not served yet is tried again."""
        for path in collections:
            self.follow(path, self._reflect, selector=selector)

    def follow(self, path: str, tell: Tell, *, selector: str = "") -> None:
        """Watch one URL path; what exists already is told first, as ADDED."""
        params = {"watch": "true", **({"labelSelector": selector} if selector else {})}
        self._watches.append(asyncio.create_task(self._watch(path, params, tell), name=f"watch {path}"))

    async def until(self, claim: Callable[[], T | None], *, seconds: float, check: Callable[[], None]) -> Sight[T] | None:
        """Wait until a claim gives a value that is not None; None if it did not in time.

        Args:
            claim: looked at now and after every change.
            seconds: how long to wait.
            check: raises if waiting makes no sense any more.
        """
        deadline = time.monotonic() + seconds
        while (value := claim()) is None:
            check()
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with a change (python/cpython#86296).
            async with self._changed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, GLANCE_SECONDS)):
                        await self._changed.wait()
        return Sight(value, self._changed_at)

    async def send(self, method: str, path: str, body: Body | None = None, *, kind: str = "application/json", **params: str) -> Body:
        """One request as the person; the answer.

        Raises:
            CvstateError: whatever the API server refuses.
            NetworkError: it cannot be reached.
        """
        headers = {"User-Agent": USER_AGENT, "Content-Type": kind}
        data = None if body is None else json.dumps(body)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        try:
            async with self._session.request(
                method, self._server + path, params=params, data=data, headers=headers, timeout=timeout
            ) as response:
                payload = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise NetworkError(f"no answer from the API server at {self._server}; is it running, and is the kubeconfig its own?") from exc
        if response.status >= 400:
            raise verdict.error_for(response.status, _json(payload))
        return _json(payload) or {}

    async def _watch(self, path: str, params: Mapping[str, str], tell: Tell) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS)
        headers = {"User-Agent": USER_AGENT}
        while True:
            try:
                async with self._session.get(
                    self._server + path, params=params, headers=headers, timeout=timeout, read_bufsize=2**21
                ) as response:
                    if response.status == 200:
                        async for line in response.content:
                            await self._note(json.loads(line), tell)
            except (aiohttp.ClientError, OSError, ValueError):
                pass  # a broken watch is begun anew, and tells everything again
            await asyncio.sleep(RETRY_SECONDS)

    async def _note(self, event: Body, tell: Tell) -> None:
        if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            return
        tell(event["type"], event["object"])
        async with self._changed:
            self._changed_at = time.monotonic()
            self._changed.notify_all()

    def _reflect(self, change: str, body: Body) -> None:
        if change == "DELETED":
            self.objects.pop(key_of(body), None)
        else:
            self.objects[key_of(body)] = body


def holds(declared: Any, live: Any) -> bool:
    """Whether everything declared stands in the live object; what the server or others added does not matter."""
    if isinstance(declared, dict):
        return isinstance(live, dict) and all(holds(value, live.get(name)) for name, value in declared.items())
    if isinstance(declared, list):
        return isinstance(live, list) and len(live) >= len(declared) and all(map(holds, declared, live))
    return bool(declared == live)


def is_available(body: Body) -> bool:
    """Whether a Deployment or StatefulSet runs what its spec says, with every replica ready and none of an older template left.

    Source: `kubectl rollout status` (kubectl/pkg/polymorphichelpers/rollout_status.go).
    """
    status, wanted = body.get("status", {}), body["spec"]["replicas"]
    ready = status.get("availableReplicas" if body["kind"] == "Deployment" else "readyReplicas", 0)
    current = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    return bool(current and status.get("updatedReplicas", 0) == status.get("replicas", 0) == ready == wanted)


def _json(payload: bytes) -> Body | None:
    try:
        answer = json.loads(payload)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
