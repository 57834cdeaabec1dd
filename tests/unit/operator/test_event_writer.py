"""The event writer. Aspects: the first is written at once · what comes soon after is written together · nothing is lost at the end · who it is about."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.operator import event_writer
from cvstate_operator.operator.event_writer import EventWriter, together

REGARDING = {"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState", "namespace": "team", "name": "shop", "uid": "u"}


class Recorder:
    """Takes what is created."""

    def __init__(self) -> None:
        self.created: list[Mapping[str, Any]] = []
        self.error: errors.CvstateError | None = None

    async def create(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        assert path == "/apis/events.k8s.io/v1/namespaces/team/events"
        if self.error:
            raise self.error
        self.created.append(body)
        return body

    @property
    def notes(self) -> list[tuple[str, str]]:
        return [(event["reason"], event["note"]) for event in self.created]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def writer(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EventWriter]:
    monkeypatch.setattr(event_writer, "TOGETHER_SECONDS", 0.2)
    made = EventWriter(recorder, REGARDING)  # type: ignore[arg-type]
    yield made
    await made.close()


async def settled() -> None:
    await asyncio.sleep(0.05)


async def test_the_first_is_written_at_once_and_says_whom_it_is_about(recorder: Recorder, writer: EventWriter) -> None:
    writer.tell(kind="Normal", reason="Applied", note="one", correlation_id="c1")
    await settled()
    (event,) = recorder.created
    assert (event["type"], event["reason"], event["note"], event["regarding"]) == ("Normal", "Applied", "one", REGARDING)
    assert event["metadata"] == {"generateName": "shop-", "namespace": "team", "annotations": {"cvstate.io/correlation-id": "c1"}}


async def test_what_comes_soon_after_is_written_together_by_reason(recorder: Recorder, writer: EventWriter) -> None:
    writer.tell(kind="Normal", reason="DriftRepaired", note="0")
    await settled()
    for number in range(1, 6):
        writer.tell(kind="Normal", reason="DriftRepaired", note=str(number))
    writer.tell(kind="Warning", reason="BreakerOpen", note="fight")
    await settled()
    assert recorder.notes == [("DriftRepaired", "0")]
    await asyncio.sleep(0.25)
    assert recorder.notes[1:] == [("DriftRepaired", "1 | 2 | 3 | and 2 more within 0 s"), ("BreakerOpen", "fight")]


async def test_at_the_end_what_waits_is_written_without_delay(recorder: Recorder, writer: EventWriter) -> None:
    writer.tell(kind="Normal", reason="Applied", note="one")
    await settled()
    writer.tell(kind="Normal", reason="Applied", note="two")
    async with asyncio.timeout(0.1):
        await writer.close()
    assert [note for _, note in recorder.notes] == ["one", "two"]


async def test_after_the_end_nothing_is_written_even_if_nobody_waited_for_it(recorder: Recorder, writer: EventWriter) -> None:
    writer.tell(kind="Normal", reason="Applied", note="late")
    writer.end()
    await settled()
    assert recorder.notes == []
    assert writer._task.done()


async def test_one_that_cannot_be_written_stops_no_other(recorder: Recorder, writer: EventWriter) -> None:
    recorder.error = errors.ServerError("HTTP 500")
    writer.tell(kind="Normal", reason="Applied", note="lost")
    await settled()
    recorder.error = None
    writer.tell(kind="Normal", reason="Applied", note="told")
    await asyncio.sleep(0.25)
    assert [note for _, note in recorder.notes] == ["told"]


async def test_too_many_are_dropped_and_do_not_hold_up_who_tells_them(recorder: Recorder, writer: EventWriter) -> None:
    for number in range(event_writer.PENDING + 10):
        writer.tell(kind="Normal", reason="Applied", note=str(number))
    await settled()
    assert len(recorder.created) == 1


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        (["a"], "a"),
        (["a", "a"], "a"),
        (["a", "b", "c"], "a | b | c"),
        (["a", "b", "c", "d", "e"], "a | b | c | and 2 more within 1 s"),
    ],
)
def test_several_notes_are_one(notes: list[str], told: str) -> None:
    assert together(notes) == told
