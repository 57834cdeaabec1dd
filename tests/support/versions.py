"""Every version of the ClusterStates of one namespace, as a watch tells them: what a status claimed at any moment, not only when a test happened to look."""

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.waiting import until

_WATCH_SECONDS: Final = 1
"""After so long a watch is begun anew where it ended: so the end of a test is noticed."""


@dataclass(frozen=True)
class Version:
    """One version of one ClusterState."""

    at: float
    """When it was seen, monotonic seconds."""
    name: str
    version: str
    """Its resourceVersion."""
    status: Json

    def condition(self, kind: str) -> Json:
        """Empty if the status does not have it."""
        return condition(self.status, kind)

    def __str__(self) -> str:
        told = [f"{one['type']}={one['status']} {one['reason']}" for one in self.status.get("conditions", ())]
        return f"{self.name} {self.version}: {', '.join(told)}; {self.status.get('cv')}; {self.status.get('vital')}"


class Versions:
    """Records from the beginning of a `with` block to its end."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._path = CLUSTER_STATES.format(namespace)
        self._seen: list[Version] = []
        self._error: Exception | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join(60)

    def of(self, name: str, *, since: float = 0.0) -> list[Version]:
        """Versions of one ClusterState, in their order, seen since a moment (monotonic seconds)."""
        assert self._error is None, self._error
        return [one for one in self._seen if one.name == name and one.at >= since]

    def catch_up(self, name: str) -> None:
        """Wait until the version that the API server holds now was seen: a watch tells a moment later what an answer to a GET tells at once."""
        now = (self._api.get(f"{self._path}/{name}") or {})["metadata"]["resourceVersion"]
        until(f"version {now} of {name} was seen", lambda: any(one.version == now for one in self.of(name)))

    def _record(self) -> None:
        try:
            listed = self._api.request("GET", self._path)[1]
            for item in listed["items"]:
                self._note(item)
            since = listed["metadata"]["resourceVersion"]
            while not self._is_over.is_set():
                for event in self._api.watch(self._path, since=since, seconds=_WATCH_SECONDS):
                    assert event["type"] != "ERROR", event
                    since = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._note(event["object"])
        except Exception as error:  # told by the next `of`: a thread's own is told nobody
            self._error = error

    def _note(self, body: Json) -> None:
        meta = body["metadata"]
        self._seen.append(Version(time.monotonic(), meta["name"], meta["resourceVersion"], body.get("status", {})))


def condition(status: Json, kind: str) -> dict[str, Any]:
    """A condition of a status; empty if it does not have it."""
    return next((one for one in status.get("conditions", ()) if one["type"] == kind), {})


def words(status: Json, kind: str) -> tuple[str, str]:
    """Status and reason of a condition; empty if the status does not have it."""
    found = condition(status, kind)
    return found.get("status", ""), found.get("reason", "")
