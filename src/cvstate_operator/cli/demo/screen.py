"""The screen: shows the demo to a person. On a terminal a calm live view, elsewhere one line per step; at the end a table of what was seen.

Input: what `show` and `steps` tell. Nothing is measured here but the seconds on the running step's line.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.steps import STEPS, Step

TITLES: Final = {"ready": "cluster and operator", **{step.key: step.title for step in STEPS}}
FRAMES_PER_SECOND: Final = 10
LINES_KEPT: Final = 40
FIXED_LINES: Final = 19
"""Lines of the live view besides what happens: heads, steps, story, and one that must stay free below."""

_WHO: Final = {"git": "magenta", "operator": "cyan", "someone": "yellow", "status": "red"}


class Screen(Protocol):
    """What the show tells; a context manager around it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; the terminal is as before."""

    def begin(self, step: Step) -> None:
        """A step is announced."""

    def act(self) -> None:
        """It begins."""

    def finish(self, seen: Seen) -> None:
        """It was seen."""

    def tell(self, who: str, what: str) -> None:
        """Something happens."""

    def conclude(self, seen: Mapping[str, Seen], missed: NotSeenError | None, log: Path | None) -> None:
        """The last step is over."""

    def invite(self, *, kubeconfig: Path, kubectl: str, repository: Path, log: Path) -> None:
        """Everything goes on, and the person may play."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of what happens."""

    at: float
    who: str
    what: str


class LineScreen:
    """For pipes and logs: one line per step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._title = TITLES["ready"]
        self._playing = False

    def __enter__(self) -> Self:
        self._console.print("Starting a cluster, a Git server and the operator …")
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left on the screen."""

    def begin(self, step: Step) -> None:
        """Remember what the next line is about."""
        self._title = step.title

    def act(self) -> None:
        """Nothing to show."""

    def finish(self, seen: Seen) -> None:
        """The step's line."""
        self._console.print(f"ok  {self._title:22} {duration(seen.seconds):>8}  {seen.summary}", soft_wrap=True)

    def tell(self, who: str, what: str) -> None:
        """Only shown when the steps are over."""
        if self._playing:
            self._console.print(f"{who:9} {what}", soft_wrap=True)

    def conclude(self, seen: Mapping[str, Seen], missed: NotSeenError | None, log: Path | None) -> None:
        """The table."""
        _conclude(self._console, seen, missed, log, title=self._title)

    def invite(self, *, kubeconfig: Path, kubectl: str, repository: Path, log: Path) -> None:
        """How to play."""
        _invite(self._console, kubeconfig=kubeconfig, kubectl=kubectl, repository=repository, log=log)
        self._playing = True


class LiveScreen:
    """For terminals: the steps, the story of the running one, and what happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._step_started = time.monotonic()
        self._seen: dict[str, Seen] = {}
        self._step = "ready"
        self._is_waiting = False
        self._story = "A Kubernetes control plane, a Git server and the operator are started, all on this machine."
        self._happened: deque[Happening] = deque(maxlen=LINES_KEPT)
        self._spinner = Spinner("dots", style="cyan")
        self._playing = False
        self._live = Live(self, console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, step: Step) -> None:
        """Show the story while the person reads it."""
        self._step, self._story, self._is_waiting = step.key, step.story, True

    def act(self) -> None:
        """Start the clock on the step's line."""
        self._step_started, self._is_waiting = time.monotonic(), False

    def finish(self, seen: Seen) -> None:
        """Tick it off."""
        self._seen[self._step] = seen
        self._live.refresh()

    def tell(self, who: str, what: str) -> None:
        """Add a line; when the steps are over, below everything else."""
        line = Happening(time.monotonic() - self._started, who, what)
        if self._playing:
            self._console.print(_happenings([line]))
        else:
            self._happened.append(line)

    def conclude(self, seen: Mapping[str, Seen], missed: NotSeenError | None, log: Path | None) -> None:
        """The table takes the place of the live view."""
        self._live.stop()
        _conclude(self._console, seen, missed, log, title=TITLES[self._step])

    def invite(self, *, kubeconfig: Path, kubectl: str, repository: Path, log: Path) -> None:
        """How to play."""
        _invite(self._console, kubeconfig=kubeconfig, kubectl=kubectl, repository=repository, log=log)
        self._playing = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = (options.height or console.height) - FIXED_LINES
        newest = list(self._happened)[-max(2, min(height, 14)) :]
        yield _head(time.monotonic() - self._started)
        yield Padding(self._steps(), (1, 1, 0, 1))
        yield Padding(_clamped(self._story, console.width - 4, lines=2), (1, 2))
        yield Rule(style="dim")
        yield Padding(_happenings(newest), (0, 1))

    def _steps(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=22)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(width=7, justify="right")
        for key, title in TITLES.items():
            table.add_row(*self._row(key, title))
        return table

    def _row(self, key: str, title: str) -> tuple[RenderableType, ...]:
        if seen := self._seen.get(key):
            return Text("✓", "green"), title, Text(seen.summary, "default"), Text(duration(seen.seconds), "green")
        if key != self._step:
            return Text("·", "dim"), Text(title, "dim"), "", ""
        if self._is_waiting:
            return Text("›", "cyan"), Text(title, "bold"), "", ""
        return self._spinner, Text(title, "bold"), "", Text(f"{time.monotonic() - self._step_started:.1f} s", "cyan")


def make(console: Console) -> Screen:
    """The screen that fits where the output goes."""
    return LiveScreen(console) if console.is_terminal else LineScreen(console)


def _head(elapsed: float) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(justify="right")
    table.add_row(Text.assemble((" cvstate demo", "bold"), ("   Git says, the cluster follows", "dim")), Text(f"{elapsed:.0f} s ", "dim"))
    return table


def _clamped(text: str, width: int, *, lines: int) -> RenderableType:
    """Text that always takes the same room, so that nothing below it jumps."""
    wrapped = Text(text, "italic").wrap(Console(width=width), width)[:lines]
    return Group(*wrapped, *[Text("")] * (lines - len(wrapped)))


def _happenings(lines: list[Happening]) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=6, justify="right", style="dim")
    table.add_column(width=8)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for line in lines:
        table.add_row(f"{line.at:.1f} s", Text(line.who, _WHO.get(line.who, "default")), Text(line.what))
    return table


def _conclude(console: Console, seen: Mapping[str, Seen], missed: NotSeenError | None, log: Path | None, *, title: str) -> None:
    console.print()
    console.print(_table(seen))
    if missed:
        _tell_missed(console, missed, log, title=title)
        return
    console.print(
        Padding(
            Text(
                "Times: by the demo's own watch, from the change to the sight of the answer. Writes: counted in the API server's log.",
                "dim",
            ),
            (0, 1, 1, 1),
        )
    )


def _table(seen: Mapping[str, Seen]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("What happened", no_wrap=True)
    table.add_column("What was seen")
    table.add_column("Time", justify="right", no_wrap=True, style="green")
    for key, found in seen.items():
        what = Text(found.summary)
        if found.detail:
            what.append(f"\n{found.detail}", "dim")
        table.add_row(TITLES[key], what, duration(found.seconds))
    return table


def _tell_missed(console: Console, missed: NotSeenError, log: Path | None, *, title: str) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(" not seen", "bold red"), Text(title, "bold"))
    table.add_row(" expected", Text(missed.expected))
    table.add_row(" seen", Text(missed.found))
    if log:
        table.add_row(" log", Text(str(log)))
    console.print(table)
    for line in missed.tail:
        console.print(Text(f"   {line}", "dim"), soft_wrap=True)


def _invite(console: Console, *, kubeconfig: Path, kubectl: str, repository: Path, log: Path) -> None:
    console.print(Text(" It goes on. In another terminal:", "bold"))
    short = "kubectl"
    lines = [
        (f"export KUBECONFIG={kubeconfig}", ""),
        (f"alias kubectl={kubectl}", "") if kubectl != short else None,
        ("kubectl get cst -A -o wide", "how it stands"),
        ("kubectl scale -n webshop-services deployment/catalog --replicas=9", "is taken back"),
        ("kubectl delete -n webshop-web configmap/storefront", "comes back"),
        (f"cd {repository}", "edit, git commit: noticed within 10 s"),
        (f"tail -f {log}", "what the operator logs"),
    ]
    for line in lines:
        if line:
            console.print(Text.assemble(("   $ ", "dim"), line[0], (f"   {line[1]}" if line[1] else "", "dim")), soft_wrap=True)
    console.print(Text(" Ctrl-C here stops and removes everything. What happens until then:\n", "bold"))
