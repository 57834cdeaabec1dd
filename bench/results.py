"""Every run as one line of JSON, kept for good: `bench/results/<scenario>-<time>.jsonl`, one file per session."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

DIRECTORY: Final = Path(__file__).parent / "results"

Figures: TypeAlias = Mapping[str, float]
"""Name with its unit at the end (`seconds`, `cpu_seconds`, `peak_pss_bytes`, `requests`) → value."""


class BrokenResultsError(Exception):
    """A file of results cannot be read."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run was made: no figure of one machine is compared with one of another."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    load_average: float
    """Of the last minute, when the run began: of the run before, and of whoever else works there."""


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one tool through one scenario."""

    scenario: str
    tool: str
    world: str
    """``quiet`` or ``live``."""
    n: int
    """Declared objects."""
    m: int
    """Objects in the cluster that nobody declares."""
    seed: int
    figures: Figures
    requests: Mapping[str, int]
    """The tool's requests of the measured time: ``patch configmaps`` → how many."""
    faults: tuple[str, ...]
    """What was not as declared at the end, or why there is no end; empty for a run that counts."""
    variant: str = ""
    """Which form of the scenario, as in `Parameters`."""
    main: str = "seconds"
    """The figure that the scenario is about; every run that counts has it."""
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Single values behind a figure: `latency_seconds` of each round."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the run: numbers of `Parameters`, and the version of Kubernetes."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Versions and settings of the tool."""
    machine: Machine | None = None
    session: str = ""
    """Runs of one session took turns; only those are compared."""
    turn: int = 0
    """Which round of the session: one run of each tool."""
    started: str = ""
    """UTC, ISO 8601."""
    commit: str = ""
    """Of this repository, as `revision.current` tells it; empty where nobody looked."""
    run_seconds: float = 0.0
    """How long all of it took, from the start of its cluster to its end; 0 where nobody looked."""

    @property
    def is_right(self) -> bool:
        """Whether the run counts."""
        return not self.faults


def machine() -> Machine:
    """Return what this machine is, and how busy."""
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in facts if line.startswith("model name")), platform.machine())
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(model, len(os.sched_getaffinity(0)), pages, platform.release().partition("-")[0], os.getloadavg()[0])


def stamp(now: datetime) -> str:
    """Return a time as it stands in names of files and sessions: ``20260131T235959Z``."""
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def append(record: Record, file: Path) -> None:
    """Add a run to a file, which is made if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(record), sort_keys=True) + "\n")


def read(directory: Path = DIRECTORY) -> list[Record]:
    """Return all runs kept there, file by file in the order of names.

    Raises:
        BrokenResultsError: a line is no run.
    """
    return [record for file in sorted(directory.glob("*.jsonl")) for record in _records(file)]


def _records(file: Path) -> Iterator[Record]:
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            yield _record(json.loads(line))
        except (ValueError, TypeError) as exc:
            raise BrokenResultsError(f"{file}:{number} is no run: {exc}; remove the line") from exc


def _record(found: Any) -> Record:
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    where = found.get("machine")
    more = {
        "faults": tuple(found.get("faults", ())),
        "samples": {name: tuple(values) for name, values in found.get("samples", {}).items()},
        "machine": where and Machine(**where),
    }
    return Record(**{**found, **more})


def counted(records: Iterable[Record]) -> list[Record]:
    """Return the runs that count."""
    return [record for record in records if record.is_right]
