"""Runs that are kept.

Aspects: a run is read as it was written · runs are added, never replaced · a broken file is named · what counts · names of sessions.
"""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bench import results
from bench.results import BrokenResultsError
from tests.unit.bench.builders import run


def test_a_run_is_read_as_it_was_written(tmp_path: Path):
    record = run(samples={"seconds": (0.1, 0.2)}, facts={"cvstate": "1"}, faults=("a: differs",), machine=results.machine(), started="now")
    results.append(record, tmp_path / "S1-a.jsonl")
    assert results.read(tmp_path) == [record]


def test_runs_are_added_to_those_that_are_there(tmp_path: Path):
    for turn in range(3):
        results.append(run(turn=turn), tmp_path / "below" / "S1-a.jsonl")
    results.append(run(scenario="S2"), tmp_path / "below" / "S2-a.jsonl")
    assert [(record.scenario, record.turn) for record in results.read(tmp_path / "below")] == [("S1", 0), ("S1", 1), ("S1", 2), ("S2", 0)]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"faults": [], "nonsense": 1}', "7"])
def test_a_line_that_is_no_run_is_named(tmp_path: Path, line: str):
    results.append(run(), tmp_path / "S1-a.jsonl")
    with (tmp_path / "S1-a.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(BrokenResultsError, match=r"S1-a\.jsonl:2 is no run"):
        results.read(tmp_path)


def test_no_directory_is_no_runs(tmp_path: Path):
    assert results.read(tmp_path / "nowhere") == []


def test_only_runs_without_faults_count():
    good, bad = run(), run(faults=("x: is not there",))
    assert results.counted([bad, good, bad]) == [good]


def test_sessions_are_named_by_their_begin_in_utc_and_sort_by_it():
    early = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    assert results.stamp(early) == "20260131T235959Z"
    assert results.stamp(early.astimezone(timezone(timedelta(hours=5)))) == results.stamp(early)
    assert results.stamp(early) < results.stamp(early + timedelta(seconds=1))
