"""Traces: what a pass over a ClusterState did, and how long each part of it took, as spans in the sense of OpenTelemetry.

Spans come from the pipeline by the port Tracer (`reconcile/tracer.py`), requests from whoever sends them by `called`. They are collected until the whole trace
is over, since only then it is known whether it is worth being sent: traces that changed something, failed, or are cited by the log are, of the quiet ones
one in QUIET_SHARE. Where they go is for `otlp.py`. docs/traces.md has the names.

A span belongs to the tasks that are started within it (contextvars). One that ended is nobody's any more: a watch that was started by a pass lives on.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from cvstate_operator.errors import CvstateError
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.telemetry.spans import MAX_TEXT, Finished, Kind, Link, Send, Value

QUIET_SHARE: Final = 10
"""One in so many of the traces in which nothing happened is sent: enough to see how long quiet passes take, and little enough that a thousand ClusterStates which
are looked at each minute send two traces a second."""
MAX_SPANS: Final = 200
"""Of one trace. A pass of many waves has some dozens; what is beyond is counted in `cvstate.spans_dropped` of the root."""
MAX_CAUSES: Final = 8
"""Looks that a pass is linked to; the newest ones."""

_PASSES: Final = frozenset({"reconcile", "teardown"})
"""Roots that carry out what others found out; they are linked to those."""
_ORDINARY: Final = frozenset({"ok", "success", "NotFound", "Cancelled"})
"""Results of requests that are no errors: to ask for an object that is not there is how one finds out."""
_LASTING: Final = frozenset({"prometheus"})
"""Programs whose errors are no reason to send a trace: they may last for days, every question has one, and the condition Healthy tells of them."""
_INHERITED: Final = ("cvstate.commit", "cvstate.correlation_id")
"""What is known of the root at its end and put on each span, so that any of them is found by it."""
_NAMES: Final = {"repository": "vcs.repository.url.full"}
"""Attributes for which OpenTelemetry has a name of its own (semantic conventions, VCS); all others are ours."""
_NANO: Final = 1_000_000_000
_TRACE_BITS: Final = 128
_SPAN_BITS: Final = 64


class Traces:
    """All traces of one process."""

    def __init__(
        self,
        send: Send,
        *,
        wall: Callable[[], int] = time.time_ns,
        ticks: Callable[[], int] = time.monotonic_ns,
        bits: Callable[[int], int] = random.getrandbits,
    ) -> None:
        """
        Args:
            send: where traces go that are worth it.
            wall: the time, nanoseconds since 1970.
            ticks: nanoseconds that only go forward; a clock that is set must not give a span a negative length.
            bits: a random number of so many bits. Ids are no secrets.
        """
        self.send = send
        self.wall = wall
        self.ticks = ticks
        self.bits = bits

    def of(self, *, namespace: str, name: str, uid: str, account: str = "", target: str = "") -> "Tracer":
        """The tracer of one ClusterState.

        Args:
            namespace: of the ClusterState.
            name: of the ClusterState.
            uid: of the ClusterState.
            account: `namespace/name` of the ServiceAccount that it acts as; empty: the operator itself.
            target: `namespace/name/key` of the Secret with the kubeconfig of its cluster; empty: the cluster it is in.
        """
        identity = {
            "cvstate.clusterstate.namespace": namespace,
            "cvstate.clusterstate.name": name,
            "cvstate.clusterstate.uid": uid,
            "cvstate.account": account,
            "cvstate.target": target,
        }
        return Tracer(self, {key: value for key, value in identity.items() if value})


class Tracer:
    """Of one ClusterState; adapter of the port of the same name."""

    def __init__(self, traces: Traces, identity: Mapping[str, Value]) -> None:
        self.traces = traces
        self.identity = identity
        """Attributes of every span."""
        self._causes: list[Link] = []
        """What was found out since the last pass."""

    def span(self, name: str, **attributes: Value | None) -> "Span":
        """A part of what is under way, or the root of a trace if nothing of this ClusterState is; to be entered by `with`, once.

        Args:
            name: a word from a small set.
            attributes: as of `Span.set`.
        """
        within = _current.get()
        if within is None or not within.is_open or within.trace.tracer is not self:
            within = None
        found = Span(within.trace if within else Trace(self), name, parent_id=within.id if within else "")
        if within is None and name in _PASSES:
            found.trace.take_causes(self._causes)
            self._causes = []
        found.set(**attributes)
        return found

    def batch(self, name: str) -> "Part":
        """One of many small parts of the same name; all those of a span are told as one, with their number. Without a span it is nothing."""
        return Part(self, name)

    def over(self, trace: "Trace", root: "Span") -> None:
        """A trace is over: send it, if it is worth it."""
        if trace.is_news and root.name not in _PASSES:
            self._causes = [*self._causes, Link(trace.id, root.id)][-MAX_CAUSES:]
        if trace.is_kept or int(trace.id[-8:], 16) % QUIET_SHARE == 0:
            self.traces.send(trace.finished(root))


class Trace:
    """The spans of one root, while it lasts."""

    __slots__ = ("_offset", "_spans", "id", "is_kept", "is_news", "is_open", "links", "lost", "size", "tracer")

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.id = self.new_id(_TRACE_BITS)
        self.is_kept = False
        """Whether it is sent in any case."""
        self.is_news = False
        """Whether a pass may come of it."""
        self.is_open = True
        self.links: tuple[Link, ...] = ()
        self.size = 1
        self.lost = 0
        """Spans that were too many."""
        self._spans: list[Span] = []
        self._offset = tracer.traces.wall() - tracer.traces.ticks()

    def take_causes(self, causes: Sequence[Link]) -> None:
        """What this trace carries out; whoever looks at one of the two finds the other, so that both are sent."""
        self.links = tuple(causes)
        self.is_kept = self.is_kept or bool(causes)

    def now(self) -> int:
        """Nanoseconds since 1970, by a clock that does not jump within the trace."""
        return self._offset + self.tracer.traces.ticks()

    def new_id(self, bits: int) -> str:
        """Hexadecimal; never zero, which means none (W3C Trace Context)."""
        return f"{self.tracer.traces.bits(bits) or 1:0{bits // 4}x}"

    def has_room(self) -> bool:
        """Whether one more span may be kept; counted."""
        if self.size >= MAX_SPANS:
            self.lost += 1
            return False
        self.size += 1
        return True

    def over(self, span: "Span") -> None:
        """One of its spans ended. What ends after the root came too late to be told."""
        if not self.is_open:
            return
        if span.parent_id:
            if self.has_room():
                self._spans.append(span)
            return
        self.is_open = False
        self.tracer.over(self, span)
        self._spans.clear()  # a task that was started within may remember one of them for as long as it lives

    def finished(self, root: "Span") -> list[Finished]:
        """Everything, the root first."""
        known: dict[str, Value] = {key: root.attributes[key] for key in _INHERITED if key in root.attributes}
        shared = {**self.tracer.identity, **known}
        if not self.is_kept:
            root.attributes["cvstate.quiet"] = True
        if self.lost:
            root.attributes["cvstate.spans_dropped"] = self.lost
        return [found for span in (root, *self._spans) for found in span.finished(shared)]


class Span:
    """One part of what was done, from entering it to leaving it."""

    __slots__ = ("_batches", "_token", "attributes", "ended", "error", "id", "is_open", "name", "parent_id", "started", "trace")

    def __init__(self, trace: Trace, name: str, *, parent_id: str) -> None:
        self.trace = trace
        self.name = name
        self.parent_id = parent_id
        self.id = trace.new_id(_SPAN_BITS)
        self.attributes: dict[str, Value] = {}
        self.started = self.ended = 0
        self.error: str | None = None
        self.is_open = False
        self._batches: dict[str, _Batch] = {}
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Self:
        self.started = self.trace.now()
        self.is_open = True
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.attributes["cvstate.cancelled"] = True
        elif error is not None:
            self.fail(error)
            self.trace.is_kept = True
        if self._token is not None:
            _current.reset(self._token)
        self.ended = self.trace.now()
        self.is_open = False
        self.trace.over(self)

    def set(self, **attributes: Value | None) -> None:
        """Tell more of it; an attribute `objects` is sent as `cvstate.objects`. None: it has none of that name."""
        for key, value in attributes.items():
            if value is not None:
                self.attributes[_NAMES.get(key) or f"cvstate.{key}"] = value

    def fail(self, error: BaseException) -> None:
        """It did not come to what it was for. That alone is no reason to send the trace: a server that is away is away for long."""
        kind, self.error = _told(error)
        self.attributes["error.type"] = kind

    def keep(self) -> None:
        """Something happened that somebody may want to look at: the trace is sent, and a pass that follows is linked to it."""
        self.trace.is_kept = self.trace.is_news = True

    def note(self, name: str, kind: Kind, *, result: str, seconds: float) -> None:
        """One of many small parts ended just now; `result` is a word of docs/reasons.md, or ok. More kinds of them than a trace has room for are not told."""
        batch = self._batches.get(name)
        if batch is None:
            if not self.trace.has_room():
                return
            batch = self._batches[name] = _Batch(name, kind)
        batch.add(self.trace.now(), round(seconds * _NANO), result)

    def finished(self, shared: Mapping[str, Value]) -> list[Finished]:
        """This span, and one for each of its batches; `shared` is put on each."""
        links = () if self.parent_id else self.trace.links
        own = Finished(
            self.name,
            Kind.INTERNAL,
            self.trace.id,
            self.id,
            self.parent_id,
            self.started,
            max(self.started, self.ended),
            {**shared, **self.attributes},
            links,
            self.error,
        )
        return [own, *(batch.finished(self, shared) for batch in self._batches.values())]


class Part:
    """One of many small parts; see `Tracer.batch`."""

    __slots__ = ("_name", "_span", "_started", "_ticks")

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._name = name
        self._ticks = tracer.traces.ticks
        self._span = _present()
        self._started = 0

    def __enter__(self) -> None:
        self._started = self._ticks()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._span is not None and self._span.is_open:
            word = "ok" if error is None else "Cancelled" if isinstance(error, asyncio.CancelledError) else _told(error)[0]
            self._span.note(self._name, Kind.INTERNAL, result=word, seconds=(self._ticks() - self._started) / _NANO)
            self._span.trace.is_kept = self._span.trace.is_kept or word not in _ORDINARY


class _Batch:
    """Small parts of one name within a span."""

    __slots__ = ("_busy", "_count", "_ended", "_errors", "_kind", "_name", "_started")

    def __init__(self, name: str, kind: Kind) -> None:
        self._name = name
        self._kind = kind
        self._count = 0
        self._errors: Counter[str] = Counter()
        self._started = self._ended = 0
        self._busy = 0

    def add(self, now: int, nanoseconds: int, result: str) -> None:
        """One that took so long ended now."""
        began = now - nanoseconds
        self._started = began if not self._count else min(self._started, began)
        self._ended = now
        self._count += 1
        self._busy += nanoseconds
        if result not in _ORDINARY:
            self._errors[result] += 1

    def finished(self, within: Span, shared: Mapping[str, Value]) -> Finished:
        """From the beginning of the first to the end of the last; how long all of them took together is in `cvstate.busy_seconds`."""
        attributes: dict[str, Value] = {**shared, "cvstate.count": self._count, "cvstate.busy_seconds": self._busy / _NANO}
        error = None
        if self._errors:
            attributes["cvstate.errors"] = self._errors.total()
            attributes["error.type"], number = self._errors.most_common(1)[0]
            error = f"{self._errors.total()} of {self._count} failed, {number} with {attributes['error.type']}"
        trace = within.trace
        return Finished(
            self._name,
            self._kind,
            trace.id,
            trace.new_id(_SPAN_BITS),
            within.id,
            max(within.started, self._started),  # who measured a request has another clock
            self._ended,
            attributes,
            error=error,
        )


_current: ContextVar[Span | None] = ContextVar("cvstate_span", default=None)
"""What the present task is a part of; it may have ended."""


def called(system: str, action: str, *, result: str, seconds: float) -> None:
    """A request to another program ended; it is counted with its like in what is under way. Without a span, as when tracing is off, nothing happens.

    Args:
        system: `kubernetes`, `prometheus`.
        action: get, apply …; a word from a small set.
        result: ok, success, or the reason of an error.
        seconds: that it took.
    """
    if (span := _present()) is not None:
        span.note(f"{system} {action}", Kind.CLIENT, result=result, seconds=seconds)
        span.trace.is_kept = span.trace.is_kept or not (system in _LASTING or result in _ORDINARY)


def cite() -> Mapping[str, str]:
    """The ids of what is under way, for a line of the log; empty if nothing is. The trace is sent then: whoever reads the line may look for it."""
    span = _present()
    if span is None:
        return {}
    span.trace.is_kept = True
    return {"trace_id": span.trace.id, "span_id": span.id}


def _present() -> Span | None:
    span = _current.get()
    return span if span is not None and span.is_open and span.trace.is_open else None


def _told(error: BaseException) -> tuple[str, str]:
    """What an error is, in a word and for people. Texts of others may hold anything; ours are told in the status just so."""
    if isinstance(error, CvstateError):
        return error.reason, one_line(error.message, MAX_TEXT)
    return type(error).__name__, "a fault of the operator; its log has the details"
