"""Progress on a terminal: a bar where the work can be counted, a spinner where it cannot; nothing where standard error is no terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from cvstate_operator.objects.redaction import one_line


class Bar:
    """A context manager; called with what is going on."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("connecting", total=None, count="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """`total` is 0 if it is not known."""
        self._progress.update(
            self._task, description=one_line(what), completed=done, total=total or None, count=f"{done}/{total}" if total else ""
        )
