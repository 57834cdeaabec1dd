"""Shows a person how far the builds are: a bar with the time left on a terminal, plain lines elsewhere.

Input: the programs about to be built, then start and end of each from `builds`. Everything goes to stderr, so stdout stays for machines.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tests.cluster.programs import Program

_NEVER_FULL = 0.95
"""A build that takes longer than estimated stops its part of the bar here: the bar must not claim an end it has not seen."""


class BuildProgress:
    """Reports builds of a fixed list of programs, in their order."""

    def __init__(self, programs: Sequence[Program], *, console: Console | None = None) -> None:
        """Prepare for these programs; nothing is shown before `running`."""
        self._console = console or Console(stderr=True, highlight=False)
        self._total = sum(program.build_seconds for program in programs)
        self._finished = 0.0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    @contextmanager
    def running(self) -> Iterator[BuildProgress]:
        """Show the bar for the duration of the block; on a non-terminal there is none."""
        if not self._console.is_terminal:
            yield self
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._task = self._bar.add_task("preparing", total=self._total, left=time_left(self._total))
            yield self
        self._bar = None

    def waiting(self, program: Program) -> None:
        """Say that another process is building from the same module."""
        self._say(f"{program.name}: another process is building it, waiting")

    @contextmanager
    def building(self, program: Program) -> Iterator[None]:
        """Announce the build of one program, and its duration when the block ends without an error."""
        self._say(f"building {program.name} {program.module.version} (about {program.build_seconds:.0f} s with a cold cache)")
        started = time.monotonic()
        yield
        self._finished += program.build_seconds
        self._console.print(f"built {program.name} {program.module.version} in {time.monotonic() - started:.0f} s")

    def tick(self, program: Program, *, elapsed_seconds: float) -> None:
        """Move the bar while a build runs; call a few times a second."""
        if self._bar is None:
            return
        done = self._finished + min(elapsed_seconds, program.build_seconds * _NEVER_FULL)
        # An estimate that has proved wrong is not repeated: a program built alone takes longer than after its siblings.
        is_late = elapsed_seconds > program.build_seconds
        self._bar.update(self._task, completed=done, left="longer than estimated" if is_late else time_left(self._total - done))

    def _say(self, text: str) -> None:
        if self._bar is None:
            self._console.print(text)
        else:
            self._bar.update(self._task, description=text)


def time_left(seconds: float) -> str:
    """Return an estimate in words that does not pretend to be exact.

    >>> time_left(200), time_left(42)
    ('about 4 min left', 'about 45 s left')
    """
    if seconds >= 90:
        return f"about {-(-seconds // 60):.0f} min left"
    return f"about {-(-seconds // 5) * 5:.0f} s left"
