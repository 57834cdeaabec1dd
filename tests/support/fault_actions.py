"""What a fault proxy can do to a request or to the events of a watch, and the answers a real API server gives when it is in trouble.

Source of the answers: kube-apiserver 1.36.3, measured; the 429 of API priority and fairness and those of load balancers are plain text.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Shape = Callable[[bytes], Iterable[bytes | None]]
"""Turns one event of a watch into those that are passed on; None among them resets the stream. It is called with b"" once, when the stream opens."""


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all."""


@dataclass(frozen=True, slots=True)
class Delay(Action):
    """Forwards later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer(Action):
    """Answers by itself; nothing is forwarded."""

    code: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Reset(Action):
    """Resets the connection: before the request is forwarded, or after it was carried out, so that only its reply is lost."""

    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class Freeze(Action):
    """Never answers; the connection stays open."""


@dataclass(frozen=True, slots=True)
class Replay(Action):
    """Time travel: LISTs answer what they did earlier."""

    lists: Mapping[str, bytes]
    """Path → body."""


@dataclass(frozen=True, slots=True)
class Watched(Action):
    """Base of what is done to the events of a watch."""

    def shape(self) -> Shape:
        """One for each stream."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Silence(Watched):
    """A watch that opens and never says a word: a half-open connection."""


@dataclass(frozen=True, slots=True)
class Cut(Watched):
    """Resets a watch when its next event comes, after so many were passed on."""

    events: int

    def shape(self) -> Shape:
        passed = 0

        def each(event: bytes) -> Sequence[bytes | None]:
            nonlocal passed
            if not _is_change(event):
                return [event] if event else []
            passed += 1
            return [None] if passed > self.events else [event]

        return each


@dataclass(frozen=True, slots=True)
class Expire(Watched):
    """A watch that opens and says at once that its version is too old: 410 inside of a 200."""

    def shape(self) -> Shape:
        status = _status(410, "Expired", "too old resource version: 7 (4711)")
        line = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
        return lambda event: [] if event else [line]


@dataclass(frozen=True, slots=True)
class Drop(Watched):
    """Loses events of objects whose name holds a text."""

    name: str = ""

    def shape(self) -> Shape:
        return lambda event: [] if not event or (_is_change(event) and self.name in _name(event)) else [event]


@dataclass(frozen=True, slots=True)
class Repeat(Watched):
    """Tells every event several times."""

    times: int = 2

    def shape(self) -> Shape:
        return lambda event: [event] * (self.times if _is_change(event) else 1) if event else []


@dataclass(frozen=True, slots=True)
class Shuffle(Watched):
    """Holds so many events back and tells them in another order."""

    seed: int
    held: int = 2

    def shape(self) -> Shape:
        waiting: list[bytes] = []
        dice = random.Random(self.seed)

        def each(event: bytes) -> Sequence[bytes]:
            if not _is_change(event):
                return [event] if event else []
            waiting.append(event)
            if len(waiting) < self.held:
                return []
            told = list(waiting)
            while told == waiting and len({*waiting}) > 1:
                dice.shuffle(told)
            waiting.clear()
            return told

        return each


# -- what API servers and load balancers answer ----------------------------------------------------------------------------


def throttled(seconds: int) -> Answer:
    """429 of API priority and fairness."""
    return Answer(429, b"Too many requests, please try again later.\n", {"Content-Type": "text/plain", "Retry-After": str(seconds)})


def stale() -> Answer:
    """409 of optimistic locking."""
    message = 'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again'
    return _answer(409, "Conflict", message)


def held_by(manager: str) -> Answer:
    """409 of server-side apply."""
    cause = {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}" using v1', "field": ".data.k"}
    return _answer(409, "Conflict", f'Apply failed with 1 conflict: conflict with "{manager}" using v1: .data.k', causes=[cause])


def internal() -> Answer:
    """500 while etcd chooses a leader."""
    return _answer(500, "InternalError", "Internal error occurred: etcdserver: leader changed")


def webhook_down() -> Answer:
    """500 while the backend of an admission webhook is away."""
    address = "https://policy.example.test:443/validate?timeout=10s"
    message = f'Internal error occurred: failed calling webhook "policy.example.test": failed to call webhook: Post "{address}": connect: connection refused'
    return _answer(500, "InternalError", message)


def bad_gateway() -> Answer:
    """502 of a load balancer without a backend."""
    return Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})


def unavailable() -> Answer:
    """503 of an API server that is starting or ending."""
    return _answer(503, "ServiceUnavailable", "apiserver is shutting down", headers={"Retry-After": "1"})


def timed_out() -> Answer:
    """504 of an API server whose etcd does not answer."""
    return _answer(504, "Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded")


def unauthorized() -> Answer:
    """401 of a token or certificate that is over."""
    return _answer(401, "Unauthorized", "Unauthorized")


def forbidden(verb: str, plural: str) -> Answer:
    """403 of RBAC."""
    message = f'{plural} "x" is forbidden: User "cvstate-operator" cannot {verb} resource "{plural}" in API group "" in the namespace "x"'
    return _answer(403, "Forbidden", message)


def over_quota() -> Answer:
    """403 of the quota admission plugin."""
    return _answer(403, "Forbidden", 'configmaps "x" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: 1, limited: 1')


def not_served() -> Answer:
    """404 of a path that nobody serves."""
    return Answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})


def _answer(code: int, reason: str, message: str, *, headers: Mapping[str, str] | None = None, **details: Any) -> Answer:
    body = json.dumps(_status(code, reason, message, **details)).encode()
    return Answer(code, body, {"Content-Type": "application/json", **(headers or {})})


def _status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    more = {"details": details} if details else {}
    failure = {"status": "Failure", "message": message, "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, **failure, **more}


TROUBLE: tuple[Callable[[], Answer], ...] = (internal, bad_gateway, unavailable, timed_out)
"""Answers that pass."""


# -- events ----------------------------------------------------------------------------------------------------------------


def _is_change(event: bytes) -> bool:
    return bool(event) and json.loads(event)["type"] in ("ADDED", "MODIFIED", "DELETED")


def _name(event: bytes) -> str:
    return str(json.loads(event)["object"]["metadata"]["name"])
