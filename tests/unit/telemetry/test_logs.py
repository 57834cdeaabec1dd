"""Logs.

Aspects: one event is one line, whatever it holds · fields, and whom they are for · exceptions · levels. The ids of traces: `test_traces.py`.
"""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from cvstate_operator.telemetry import logs
from cvstate_operator.telemetry.logs import MAX_FIELD, JsonFormatter, TextFormatter

HOSTILE = 'a\nb\x1b[31m"\r\u2028{'


def record(message: str, *args: object, exc_info: Any = None, **fields: object) -> logging.LogRecord:
    found = logging.LogRecord("cvstate_operator.x", logging.INFO, __file__, 1, message, args, exc_info)
    vars(found).update(fields)
    found.created = 0.0
    return found


def test_an_event_is_one_line_of_json_with_its_fields() -> None:
    line = JsonFormatter().format(record("applied %s", 3, clusterstate="default/shop", count=3))
    assert orjson.loads(line) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "logger": "cvstate_operator.x",
        "message": "applied 3",
        "clusterstate": "default/shop",
        "count": 3,
    }


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_foreign_text_never_breaks_a_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("is %s", HOSTILE, manager=HOSTILE, paths=[HOSTILE]))
    assert set(line).isdisjoint("\n\r\x1b")


def test_a_text_for_people_shows_time_level_and_fields() -> None:
    assert TextFormatter().format(record("applied", reason="Applied")) == "00:00:00 info    applied  reason=Applied"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_an_endless_field_is_cut(formatter: logging.Formatter) -> None:
    assert len(formatter.format(record("x" * 10**6, error="y" * 10**6))) < 2 * MAX_FIELD + 300


def test_a_value_that_json_does_not_know_is_told_as_text() -> None:
    assert orjson.loads(JsonFormatter().format(record("x", what=ValueError("bad"))))["what"] == "bad"


def test_fields_of_other_libraries_are_left_out() -> None:
    assert set(orjson.loads(JsonFormatter().format(record("x", k8s_ref={}, _private=1, mine=1)))) == {
        "time",
        "level",
        "logger",
        "message",
        "mine",
    }


def test_a_traceback_is_a_field_of_the_same_line() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        found = record("failed", exc_info=sys.exc_info())
    line = JsonFormatter().format(found)
    assert "\n" not in line
    assert "Traceback" in orjson.loads(line)["exception"]
    assert "Traceback" in TextFormatter().format(found)


def test_what_every_line_has_is_not_hidden_by_a_field_of_that_name() -> None:
    found = orjson.loads(JsonFormatter().format(record("applied", level="high", time="now")))
    assert (found["level"], found["level_"], found["time"], found["time_"]) == ("info", "high", "1970-01-01T00:00:00.000+00:00", "now")


def test_a_person_is_not_shown_what_only_programs_follow() -> None:
    applied = record("applied", clusterstate="team/shop", uid="u1", correlation_id="c1")
    assert TextFormatter().format(applied) == "00:00:00 info    applied  clusterstate=team/shop  correlation_id=c1"
    assert orjson.loads(JsonFormatter().format(applied))["uid"] == "u1"


@pytest.fixture
def untouched() -> Iterator[None]:
    """Logging is as before afterwards."""
    names = (None, "kopf", "asyncio", "aiohttp")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    logging.getLogger().handlers = []  # `configure` closes those that it finds
    yield
    logging.getLogger().handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("untouched")
def test_another_level_takes_effect_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("warning", "debug", "error"):
        logs.configure(level=level, as_json=False)
        logging.getLogger("cvstate_operator.x").info("said at %s", level)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("info    said at debug")


@pytest.mark.usefixtures("untouched")
def test_what_kopf_says_of_every_event_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="debug", as_json=True)
    logging.getLogger("kopf.objects").info("handler is invoked")
    logging.getLogger("kopf.objects").warning("handler failed")
    assert [orjson.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["handler failed"]
