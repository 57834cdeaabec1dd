"""What an idle hour is put together from.

Aspects: looks and silence are scaled · silence ends with a look at the repository, or without one · watches count by their timeouts · what answers us does not count · the servers' own work does not count.
"""

import math

import pytest

from bench.scenarios import s3
from bench.scenarios.s3 import Phase
from bench.stage import Cost
from tests.cluster.audit import Request
from tests.unit.bench.builders import request


def phase(*asked: Request, seconds: float = 10.0, server: float = 1.0) -> Phase:
    figures = {"phase_seconds": seconds, "server_cpu_seconds": server, "cpu_seconds": 0.5}
    return Phase(Cost(figures, {}), asked, response_bytes=100.0)


def test_looks_and_silence_are_scaled_to_an_hour():
    one = {"requests": 1.0, "writes": 0.0}
    found = s3.per_hour(
        [({"requests": 5.0, "writes": 0.0}, 3600.0), ({"requests": 2.0, "writes": 0.0}, 600.0)], one, 0.0, n=2000, silence_seconds=60.0
    )
    assert found["requests_per_hour"] == 5 + 2 * 6 + 1 * 60
    assert found["writes_per_hour"] == 0
    assert found["requests_per_hour_and_1000"] == 38.5
    assert found["looks_per_hour"] == 1


def test_watches_are_added_to_the_requests_of_an_hour():
    found = s3.per_hour([({"requests": 0.0}, 600.0)], {"requests": 0.0}, 12.0, n=2000, silence_seconds=60.0)
    assert found["requests_per_hour"] == found["watch_requests_per_hour"] == 12


@pytest.mark.parametrize(("timeout", "times"), [("&timeoutSeconds=300", 12.0), ("", 3600 / s3.DEFAULT_WATCH_SECONDS)])
def test_a_watch_is_asked_for_anew_when_its_time_is_over(timeout: str, times: float):
    assert s3.renewals_per_hour([request("watch", uri=f"/api/v1/configmaps?watch=1{timeout}")]) == times


def test_of_a_watch_that_was_asked_for_again_only_the_last_request_counts():
    before, after = (
        request("watch", uri=f"/api/v1/configmaps?labelSelector=a&resourceVersion={v}&timeoutSeconds={t}") for v, t in ((1, 100), (2, 300))
    )
    other = request("watch", uri="/api/v1/configmaps?labelSelector=b&timeoutSeconds=300")
    refused = request("watch", uri="/api/v1/configmaps?labelSelector=c&timeoutSeconds=300", code=410)
    assert s3.renewals_per_hour([before, after, other, refused]) == 24


def test_watches_and_answers_to_us_are_no_part_of_a_look():
    asked = request("list"), request("watch"), request("patch", subresource="status"), request("patch")
    found = s3.part(phase(*asked), 0.0, is_answer=lambda each: each.subresource == "status")
    assert (found["requests"], found["writes"]) == (2, 1)


def test_a_status_that_is_written_in_silence_counts():
    assert s3.part(phase(request("patch", subresource="status")), 0.0)["writes"] == 1


def test_what_the_servers_do_by_themselves_is_not_caused_by_the_tool():
    assert s3.part(phase(seconds=10.0, server=1.0), 0.02)["caused_cpu_seconds"] == pytest.approx(0.8)
    assert s3.part(phase(seconds=10.0, server=0.1), 0.02)["caused_cpu_seconds"] == 0


class Room:
    """A tool that looks at the repository every `source_seconds` of a clock that nobody waits for, and the stage that sees it."""

    def __init__(self, source_seconds: float) -> None:
        self.source_seconds = source_seconds
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def source_looks(self) -> list[str]:
        return ["/platform/info/refs"] * int(self.now // self.source_seconds)


def silence(monkeypatch: pytest.MonkeyPatch, room: Room, seconds: float) -> Room:
    monkeypatch.setattr(s3, "time", room)
    s3.be_silent(room, room, seconds)  # type: ignore[arg-type]
    return room


def test_silence_ends_when_the_look_after_it_is_over(monkeypatch: pytest.MonkeyPatch):
    room = silence(monkeypatch, Room(60.0), 100.0)
    assert len(room.source_looks()) == 2
    assert room.now == pytest.approx(120 + s3.LOOK_SECONDS, abs=0.2)


def test_a_tool_that_never_looks_at_the_repository_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    assert silence(monkeypatch, Room(math.inf), 100.0).now == 100.0
