"""Traces, with a clock and ids that the test says.

Aspects: parents, also over tasks · one trace for each root · ids and times · attributes, and those of the root on every span · batches · errors · what is sent and
what is not · links · limits · what ends too late · what the log cites.
"""

import asyncio
import gc
import itertools
import logging
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import pytest

from cvstate_operator import errors
from cvstate_operator.telemetry import traces
from cvstate_operator.telemetry.logs import JsonFormatter
from cvstate_operator.telemetry.spans import Finished, Kind
from cvstate_operator.telemetry.traces import MAX_CAUSES, MAX_SPANS, QUIET_SHARE, Tracer, Traces

EPOCH = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
QUIET, LUCKY = QUIET_SHARE + 1, QUIET_SHARE
"""Random bits of trace ids that are not sent by chance, and that are."""


class Text(str):
    """One that can be seen to be forgotten."""


@dataclass
class Desk:
    """Takes what is sent; its clock stands still unless the test moves it."""

    sent: list[Sequence[Finished]] = field(default_factory=list)
    ticks: int = 0
    trace_bits: int = QUIET
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    traces: Traces = field(init=False)
    tracer: Tracer = field(init=False)

    def __post_init__(self) -> None:
        self.traces = Traces(self.sent.append, wall=lambda: EPOCH + self.ticks, ticks=lambda: self.ticks, bits=self._bits)
        self.tracer = self.traces.of(namespace="team", name="shop", uid="u1")

    def wait(self, seconds: float) -> None:
        self.ticks += round(seconds * SECOND)

    def _bits(self, number: int) -> int:
        return self.trace_bits if number == 128 else next(self._ids)

    @property
    def only(self) -> dict[str, Finished]:
        """The spans of the only trace that was sent, by name."""
        (spans,) = self.sent
        assert len({span.name for span in spans}) == len(spans)
        return {span.name: span for span in spans}


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- parents -----------------------------------------------------------------------------------------------------------


def test_parts_are_children_of_what_they_are_a_part_of(desk: Desk) -> None:
    with desk.tracer.span("reconcile") as root:
        root.keep()
        with desk.tracer.span("plan"), desk.tracer.span("within"):
            pass
        with desk.tracer.span("apply"):
            pass
    found = desk.only
    assert [(name, span.parent_id) for name, span in found.items()] == [
        ("reconcile", ""),
        ("within", found["plan"].span_id),
        ("plan", found["reconcile"].span_id),
        ("apply", found["reconcile"].span_id),
    ]
    assert len({span.trace_id for span in found.values()}) == 1


async def test_a_task_that_is_started_within_a_part_belongs_to_it(desk: Desk) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        with desk.tracer.span("render"):
            traces.called("kubernetes", "get", result="ok", seconds=0.0)

    with desk.tracer.span("reconcile") as root:
        root.keep()
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
    assert desk.only["render"].parent_id == desk.only["reconcile"].span_id
    assert desk.only["kubernetes get"].parent_id == desk.only["render"].span_id


async def test_two_passes_at_a_time_have_a_trace_each(desk: Desk) -> None:
    other = desk.traces.of(namespace="team", name="other", uid="u2")

    async def work(tracer: Tracer, first: asyncio.Event, second: asyncio.Event) -> None:
        with tracer.span("reconcile") as root:
            root.keep()
            first.set()
            await second.wait()
            with tracer.span("plan"):
                pass

    one, two = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(work(desk.tracer, one, two))
        group.create_task(work(other, two, one))
    for spans in desk.sent:
        root, plan = spans
        assert plan.parent_id == root.span_id
        assert plan.attributes["cvstate.clusterstate.uid"] == root.attributes["cvstate.clusterstate.uid"]
    assert {spans[0].attributes["cvstate.clusterstate.name"] for spans in desk.sent} == {"shop", "other"}


def test_what_one_clusterstate_does_is_no_part_of_what_another_does(desk: Desk) -> None:
    other = desk.traces.of(namespace="team", name="other", uid="u2")
    with desk.tracer.span("reconcile") as root:
        root.keep()
        with other.span("source") as look:
            look.keep()
        traces.called("kubernetes", "get", result="ok", seconds=0.0)
    assert [[span.name for span in spans] for spans in desk.sent] == [["source"], ["reconcile", "kubernetes get"]]
    assert [spans[0].parent_id for spans in desk.sent] == ["", ""]


# -- times and ids -----------------------------------------------------------------------------------------------------


def test_a_span_tells_when_it_began_and_ended(desk: Desk) -> None:
    desk.wait(1)
    with desk.tracer.span("reconcile") as root:
        root.keep()
        desk.wait(2)
        with desk.tracer.span("plan"):
            desk.wait(0.5)
    assert [(span.started - EPOCH, span.ended - EPOCH) for span in desk.sent[0]] == [(SECOND, 3.5 * SECOND), (3 * SECOND, 3.5 * SECOND)]


def test_a_clock_that_is_set_back_gives_no_negative_times() -> None:
    sent: list[Sequence[Finished]] = []
    wall = iter([EPOCH])
    ticks = itertools.count(0, SECOND)
    tracer = Traces(sent.append, wall=lambda: next(wall), ticks=lambda: next(ticks)).of(namespace="n", name="s", uid="u")
    with tracer.span("reconcile") as root, tracer.span("plan"):
        root.keep()
    assert all(EPOCH <= span.started < span.ended for span in sent[0])


def test_ids_have_their_lengths_and_are_never_zero() -> None:
    sent: list[Sequence[Finished]] = []
    tracer = Traces(sent.append, bits=lambda number: 0).of(namespace="n", name="s", uid="u")
    with tracer.span("reconcile") as root:
        root.keep()
    assert (sent[0][0].trace_id, sent[0][0].span_id) == ("0" * 31 + "1", "0" * 15 + "1")


# -- attributes --------------------------------------------------------------------------------------------------------


def test_attributes_are_ours_but_for_those_that_have_a_common_name(desk: Desk) -> None:
    with desk.tracer.span("source", repository="https://git.example.com/shop", fresh=True, missing=None) as look:
        look.set(objects=3, ratio=0.5)
        look.keep()
    assert desk.sent[0][0].attributes == {
        "cvstate.clusterstate.namespace": "team",
        "cvstate.clusterstate.name": "shop",
        "cvstate.clusterstate.uid": "u1",
        "vcs.repository.url.full": "https://git.example.com/shop",
        "cvstate.fresh": True,
        "cvstate.objects": 3,
        "cvstate.ratio": 0.5,
    }


def test_a_span_tells_as_whom_and_where_it_acts_if_that_is_said(desk: Desk) -> None:
    tracer = desk.traces.of(namespace="team", name="shop", uid="u1", account="team/applier", target="team/prod/value")
    with tracer.span("reconcile") as root:
        root.keep()
    told = desk.sent[0][0].attributes
    assert (told["cvstate.account"], told["cvstate.target"]) == ("team/applier", "team/prod/value")


def test_every_span_has_the_ids_that_are_known_at_the_end(desk: Desk) -> None:
    with desk.tracer.span("reconcile", full=True) as root:
        with desk.tracer.span("apply"):
            traces.called("kubernetes", "apply", result="ok", seconds=0.0)
        root.set(commit="4c1f", correlation_id="c1")
        root.keep()
    for span in desk.sent[0]:
        assert (span.attributes["cvstate.commit"], span.attributes["cvstate.correlation_id"]) == ("4c1f", "c1")
        assert span.attributes["cvstate.clusterstate.uid"] == "u1"
        assert ("cvstate.full" in span.attributes) is (span.name == "reconcile")


# -- batches -----------------------------------------------------------------------------------------------------------


def test_requests_of_one_kind_are_one_span_of_each_part(desk: Desk) -> None:
    with desk.tracer.span("reconcile") as root:
        root.keep()
        with desk.tracer.span("apply"):
            for _ in range(3):
                desk.wait(1)
                traces.called("kubernetes", "apply", result="ok", seconds=0.25)
            traces.called("kubernetes", "get", result="NotFound", seconds=0.0)
        traces.called("kubernetes", "patch", result="ok", seconds=0.0)
    found = desk.only
    batch = found["kubernetes apply"]
    assert (batch.kind, batch.parent_id, batch.error) == (Kind.CLIENT, found["apply"].span_id, None)
    assert (batch.started - EPOCH, batch.ended - EPOCH) == (0.75 * SECOND, 3 * SECOND)
    assert (batch.attributes["cvstate.count"], batch.attributes["cvstate.busy_seconds"]) == (3, 0.75)
    assert "cvstate.errors" not in found["kubernetes get"].attributes
    assert found["kubernetes patch"].parent_id == found["reconcile"].span_id


def test_a_batch_tells_how_many_failed_and_most_often_why(desk: Desk) -> None:
    with desk.tracer.span("reconcile"):
        for result in ("ok", "Forbidden", "Stale", "Forbidden"):
            traces.called("kubernetes", "apply", result=result, seconds=0.0)
    batch = desk.only["kubernetes apply"]
    assert (batch.attributes["cvstate.errors"], batch.attributes["error.type"]) == (3, "Forbidden")
    assert batch.error == "3 of 4 failed, 2 with Forbidden"


def test_many_small_parts_are_one_span(desk: Desk) -> None:
    with desk.tracer.span("apply") as root:
        root.keep()
        for _ in range(2):
            with desk.tracer.batch("drift"):
                desk.wait(1)
        with pytest.raises(errors.ServerError), desk.tracer.batch("drift"):
            raise errors.ServerError("HTTP 500")
    batch = desk.only["drift"]
    assert (batch.kind, batch.attributes["cvstate.count"], batch.attributes["cvstate.busy_seconds"]) == (Kind.INTERNAL, 3, 2.0)
    assert batch.attributes["error.type"] == "ServerError"


def test_a_small_part_and_a_request_outside_of_everything_are_nothing(desk: Desk) -> None:
    with desk.tracer.batch("drift"):
        traces.called("kubernetes", "get", result="ok", seconds=0.0)
    assert not desk.sent


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_goes_on_and_its_trace_is_sent(desk: Desk) -> None:
    with pytest.raises(errors.FetchFailedError), desk.tracer.span("source"):
        raise errors.FetchFailedError("the server is away\nfor good")
    (span,) = desk.sent[0]
    assert (span.attributes["error.type"], span.error) == ("FetchFailed", r"the server is away\nfor good")


def test_the_text_of_an_error_that_is_not_ours_is_not_told(desk: Desk) -> None:
    with pytest.raises(ValueError, match="hunter2"), desk.tracer.span("reconcile"):
        raise ValueError("password hunter2 is wrong")
    (span,) = desk.sent[0]
    assert span.attributes["error.type"] == "ValueError"
    assert "hunter2" not in repr(span)


def test_a_part_that_was_given_up_did_not_fail(desk: Desk) -> None:
    desk.trace_bits = LUCKY
    with pytest.raises(asyncio.CancelledError), desk.tracer.span("reconcile"):
        raise asyncio.CancelledError
    (span,) = desk.sent[0]
    assert (span.error, span.attributes["cvstate.cancelled"]) == (None, True)


def test_a_failure_that_is_no_news_is_told_but_not_kept_for_its_own_sake(desk: Desk) -> None:
    for bits in (QUIET, LUCKY):
        desk.trace_bits = bits
        with desk.tracer.span("source") as look:
            look.fail(errors.FetchFailedError("away"))
    assert [spans[0].error for spans in desk.sent] == ["away"]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_of_the_quiet_traces_one_in_ten_is_sent_and_says_so(desk: Desk) -> None:
    for bits in range(1, 10 * QUIET_SHARE + 1):
        desk.trace_bits = bits
        with desk.tracer.span("reconcile"):
            pass
    assert len(desk.sent) == 10
    assert all(spans[0].attributes["cvstate.quiet"] for spans in desk.sent)


def test_a_trace_in_which_something_happened_is_not_called_quiet(desk: Desk) -> None:
    desk.trace_bits = LUCKY
    with desk.tracer.span("reconcile") as root:
        root.keep()
    assert "cvstate.quiet" not in desk.sent[0][0].attributes


def test_a_request_that_failed_is_reason_enough_unless_that_may_last(desk: Desk) -> None:
    with desk.tracer.span("telemetry"):
        traces.called("prometheus", "query", result="Unreachable", seconds=0.0)
    assert not desk.sent
    with desk.tracer.span("reconcile"):
        traces.called("kubernetes", "apply", result="Forbidden", seconds=0.0)
    assert len(desk.sent) == 1


def test_a_request_cannot_have_begun_before_what_it_is_a_part_of(desk: Desk) -> None:
    desk.wait(5)
    with desk.tracer.span("reconcile") as root:
        root.keep()
        traces.called("kubernetes", "get", result="ok", seconds=0.001)
    assert desk.only["kubernetes get"].started == desk.only["reconcile"].started


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_pass_is_linked_to_the_looks_that_brought_news(desk: Desk) -> None:
    for name, is_news in (("source", True), ("source", False), ("telemetry", True)):
        with desk.tracer.span(name) as look:
            if is_news:
                look.keep()
    for _ in range(2):
        with desk.tracer.span("reconcile") as root:
            root.keep()
    source, telemetry, first, second = (spans[0] for spans in desk.sent)
    assert first.links == ((source.trace_id, source.span_id), (telemetry.trace_id, telemetry.span_id))
    assert second.links == ()


def test_a_look_that_the_log_names_or_that_went_wrong_is_no_news(desk: Desk) -> None:
    with desk.tracer.span("source"):
        traces.cite()
    with desk.tracer.span("source"):
        traces.called("kubernetes", "get", result="Forbidden", seconds=0.0)
    with desk.tracer.span("reconcile") as root:
        root.keep()
    assert len(desk.sent) == 3
    assert desk.sent[-1][0].links == ()


def test_a_pass_that_carries_out_news_is_sent_whatever_it_does(desk: Desk) -> None:
    with desk.tracer.span("source") as look:
        look.keep()
    with desk.tracer.span("reconcile"), desk.tracer.span("plan"):
        pass
    root, plan = desk.sent[1]
    assert (len(root.links), len(plan.links)) == (1, 0)


def test_news_that_no_pass_takes_up_does_not_pile_up(desk: Desk) -> None:
    for _ in range(3 * MAX_CAUSES):
        with desk.tracer.span("source") as look:
            look.keep()
    with desk.tracer.span("reconcile"):
        pass
    newest = [spans[0].span_id for spans in desk.sent[:-1]][-MAX_CAUSES:]
    assert [link.span_id for link in desk.sent[-1][0].links] == newest


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_trace_has_an_end_and_tells_what_is_beyond(desk: Desk) -> None:
    with desk.tracer.span("reconcile") as root:
        root.keep()
        for _ in range(MAX_SPANS + 5):
            with desk.tracer.span("apply"):
                pass
        for number in range(5):
            traces.called("kubernetes", f"action{number}", result="ok", seconds=0.0)
    (spans,) = desk.sent
    assert len(spans) == MAX_SPANS
    assert spans[0].attributes["cvstate.spans_dropped"] == MAX_SPANS + 5 + 5 - (MAX_SPANS - 1)


async def test_what_ends_after_its_root_is_left_out(desk: Desk) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()
    text = Text("told")
    gone = weakref.ref(text)

    async def work(told: str) -> None:
        with desk.tracer.span("late", what=told):
            del told
            begun.set()
            await goes_on.wait()

    with desk.tracer.span("reconcile") as root:
        root.keep()
        task = asyncio.create_task(work(text))
        await begun.wait()
    del text
    goes_on.set()
    await task
    del task
    gc.collect()
    assert [span.name for span in desk.sent[0]] == ["reconcile"]
    assert len(desk.sent) == 1
    assert gone() is None, f"{root.name} remembers what nobody will ask for"


async def test_a_task_that_outlives_the_pass_is_no_part_of_anything(desk: Desk) -> None:
    goes_on = asyncio.Event()

    async def watch() -> dict[str, str]:
        await goes_on.wait()
        traces.called("kubernetes", "list", result="ok", seconds=0.0)
        with desk.tracer.batch("drift"):
            return dict(traces.cite())

    with desk.tracer.span("reconcile") as root:
        root.keep()
        task = asyncio.create_task(watch())
    goes_on.set()
    assert await task == {}
    assert [span.name for span in desk.sent[0]] == ["reconcile"]


async def test_a_task_that_outlives_the_pass_does_not_keep_what_was_told_of_it(desk: Desk) -> None:
    goes_on = asyncio.Event()
    text = Text("told")
    gone = weakref.ref(text)
    with desk.tracer.span("reconcile"):
        with desk.tracer.span("observe"):
            task = asyncio.create_task(goes_on.wait())
        with desk.tracer.span("apply", what=text):
            pass
    del text
    gc.collect()
    assert gone() is None
    goes_on.set()
    await task


# -- the log -----------------------------------------------------------------------------------------------------------


def line() -> dict[str, str]:
    record = logging.LogRecord("cvstate_operator.x", logging.INFO, __file__, 1, "applied", (), None)
    found: dict[str, str] = orjson.loads(JsonFormatter().format(record))
    return found


def test_a_line_of_the_log_has_the_ids_of_what_is_under_way_and_they_can_be_looked_up(desk: Desk) -> None:
    with desk.tracer.span("reconcile"), desk.tracer.span("report"):
        told = line()
    report = desk.only["report"]
    assert (told["trace_id"], told["span_id"]) == (report.trace_id, report.span_id)


def test_a_line_of_the_log_has_no_ids_when_nothing_is_under_way(desk: Desk) -> None:
    with desk.tracer.span("reconcile"):
        pass
    assert line().keys().isdisjoint({"trace_id", "span_id"})
