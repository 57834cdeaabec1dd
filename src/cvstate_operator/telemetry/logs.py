"""Logs: one line per event, as JSON for machines or as text for people; foreign text is escaped, so that one event stays one line.

Fields come with the record (`extra=`); of what is under way in the same task, the ids of its trace are added. docs/logs.md has the names.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.telemetry import traces

MAX_FIELD: Final = 2000
"""Longest field of a log line."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of every record; whatever else a record has is a field of ours."""
_NOISY: Final = {"kopf": logging.WARNING, "asyncio": logging.WARNING, "aiohttp": logging.WARNING}
"""kopf tells every handler call at INFO."""
_FOR_MACHINES: Final = frozenset({"uid"})
"""Fields that say nothing to a person at a terminal."""


def configure(*, level: str, as_json: bool) -> None:
    """Send every log record of the process to standard error. May be called again, for another level.

    Args:
        level: debug, info, warning or error: the least important lines that are told.
        as_json: for machines; else as text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, floor in _NOISY.items():
        logging.getLogger(name).setLevel(max(floor, logging.getLevelName(level.upper())))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, our fields, the ids of the trace, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": one_line(record.getMessage(), MAX_FIELD),
        }
        for key, value in {**_fields(record), **traces.cite()}.items():
            line[f"{key}_" if key in line else key] = value  # whoever reads relies on the four above
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """`12:00:00 info  message  key=value …` for terminals, without the fields that only programs follow."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = "".join(f"  {key}={value}" for key, value in _fields(record).items() if key not in _FOR_MACHINES)
        line = f"{clock} {record.levelname.lower():7} {one_line(record.getMessage(), MAX_FIELD)}{fields}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = ((key, value) for key, value in vars(record).items() if key not in _STANDARD and not key.startswith(("k8s", "_")))
    return {key: one_line(value, MAX_FIELD) if isinstance(value, str) else value for key, value in found}
