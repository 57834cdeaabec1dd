"""The screen: shows the demo to a person. On a terminal a calm live view, elsewhere one line per step; at the end a table of what was seen.

Input: what `show` and `steps` tell. Nothing is measured here but the seconds on the running step's line.
"""

import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cvstate_operator.cli.demo import stage
from cvstate_operator.cli.demo.findings import NotSeenError, Seen
from cvstate_operator.cli.demo.steps import STEPS, Step
from cvstate_operator.cli.demo.wish import Transport

TITLES: Final = {"ready": "cluster and operator", **{step.key: step.title for step in STEPS}}
"""Every line of the list, by the key of its step."""
READS: Final = {Transport.HTTP: "over HTTP", Transport.SSH: "over SSH, by a key in a Secret"}
"""How the operator reads the repository, for the stories."""
FRAMES_PER_SECOND: Final = 10
LINES_KEPT: Final = 14
"""Happenings shown at most, however high the terminal is."""
FIXED_LINES: Final = 8 + len(TITLES)
"""Lines of the live view besides what happens: heads, steps, story, and one that must stay free below."""
STORY_LINES: Final = 2
"""Lines that the story takes, and a happening at most."""
MARGIN: Final = 19
"""Columns of the live view that happenings do not have: padding, seconds, who."""

Happening = tuple[float, str, str]
"""Seconds since the start, who, and what."""

_WHO: Final = {"git": "magenta", "operator": "cyan", "someone": "yellow", "tuner": "yellow", "status": "red"}
_COMMIT: Final = re.compile(r"(?:sha1:|\bcommit )([0-9a-f]{7})[0-9a-f]{5,33}\b")
_DIGESTS: Final = re.compile(r" \(tree \w+, objects \w+:\w+\)")
_FIELD: Final = re.compile(r" (?:/[^/\s]+){3,}/([^/\s]+) was ")
_REGISTRY: Final = re.compile(r"\bghcr\.io/[\w-]+/")
_OBJECT: Final = re.compile(r"(?:[\w.]+/)?([A-Z]\w+)/webshop-\w+/([\w-]+)")
_SHORTER: Final = ((_COMMIT, r"\1"), (_DIGESTS, ""), (_FIELD, r" …/\1 was "), (_REGISTRY, ""), (_OBJECT, r"\1/\2"))


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person needs to play on."""

    kubeconfig: Path
    kubectl: str
    cvstate: str
    repository: Path
    log: Path


class Screen:
    """For pipes and logs: one line per step. A context manager around the show."""

    def __init__(self, console: Console, transport: Transport = Transport.HTTP) -> None:
        self._console = console
        self._transport = transport
        self._step = "ready"
        self._is_open = False
        """The steps are over, and everything goes on."""

    def __enter__(self) -> Self:
        self._console.print(f"Making ready: a cluster, a Git server ({self._transport.name}), the operator …")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The terminal is as before."""

    def begin(self, step: Step) -> None:
        """A step is announced."""
        self._step = step.key

    def act(self) -> None:
        """It begins."""

    def finish(self, seen: Seen) -> None:
        """It was seen."""
        self._console.print(f"{'--' if seen.is_left_out else 'ok'}  {TITLES[self._step]:22} {seen.took:>8}  {seen.summary}", soft_wrap=True)

    def tell(self, who: str, what: str) -> None:
        """Something happens; here it is only shown when the steps are over."""
        if self._is_open:
            self._console.print(f"{who:9} {what}", soft_wrap=True)

    def conclude(self, seen: Mapping[str, Seen], missed: NotSeenError | None, log: Path | None) -> None:
        """The last step is over."""
        self._console.print()
        self._console.print(_table(seen))
        if missed:
            _print_missed(self._console, missed, log, title=TITLES[self._step])
        else:
            is_counted = any(found.measures.get("writes") is not None for found in seen.values())
            note = ", writes by the API server's audit log" if is_counted else ""
            self._console.print(Text(f" Times by the demo's own watch{note}.", "dim"))

    def invite(self, invitation: Invitation) -> None:
        """Everything goes on, and the person may play."""
        _print_invitation(self._console, invitation)
        self._is_open = True

    def leave(self, what: str) -> None:
        """The end takes a while, since this is being done."""
        self._console.print(Text(f" {what} …", "dim"))

    def part(self) -> None:
        """It is over, and everything was seen: where to go from here."""
        name = "cvstate" if shutil.which("cvstate") else sys.argv[0]
        other = next(transport for transport in Transport if transport is not self._transport)
        commands = [
            (f"{name} demo --keep", "leaves it running, for you"),
            (f"{name} demo --git {other}", f"reads the repository {READS[other]}"),
            (f"{name} run --help", "on a cluster you have"),
        ]
        self._console.print()
        _print_commands(self._console, commands)


class LiveScreen(Screen):
    """For terminals: the steps, the story of the running one, and what happens."""

    def __init__(self, console: Console, transport: Transport = Transport.HTTP) -> None:
        super().__init__(console, transport)
        self._started = self._step_started = time.monotonic()
        self._seen: dict[str, Seen] = {}
        self._is_waiting = False
        self._story = f"A cluster, a Git server ({transport.name}) and the operator are made ready."
        self._happened: deque[Happening] = deque(maxlen=LINES_KEPT)
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(self, console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        self._started = self._step_started = time.monotonic()
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def begin(self, step: Step) -> None:
        """Show the story while the person reads it."""
        self._step, self._story, self._is_waiting = step.key, step.story.format(git=READS[self._transport]), True

    def act(self) -> None:
        """Start the clock on the step's line."""
        self._step_started, self._is_waiting = time.monotonic(), False

    def finish(self, seen: Seen) -> None:
        """Tick it off."""
        self._seen[self._step] = seen
        self._live.refresh()

    def tell(self, who: str, what: str) -> None:
        """Add a line; when the steps are over, below everything else."""
        line = (time.monotonic() - self._started, who, what)
        if self._is_open:
            self._console.print(_happenings([(*line[:2], _brief(what))]))
        else:
            self._happened.append(line)

    def conclude(self, seen: Mapping[str, Seen], missed: NotSeenError | None, log: Path | None) -> None:
        """The table takes the place of the live view."""
        self._live.stop()
        super().conclude(seen, missed, log)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _head(time.monotonic() - self._started)
        yield Padding(self._steps(), (1, 1, 0, 1))
        yield Padding(_story(self._story, console), (1, 2))
        yield Rule(style="dim")
        yield Padding(_happenings(self._newest(console)), (0, 1))

    def _newest(self, console: Console) -> list[Happening]:
        """As many of the latest happenings as there is room for."""
        room = max(STORY_LINES, console.height - FIXED_LINES)
        newest: list[Happening] = []
        # A copy: the terminal is drawn in another thread than the one in which things happen.
        for at, who, what in reversed(list(self._happened)):
            lines = _cut(_brief(what), console, console.width - MARGIN)
            room -= len(lines)
            if room < 0:
                break
            newest.insert(0, (at, who, "\n".join(lines)))
        return newest

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
            return Text("–", "yellow") if seen.is_left_out else Text("✓", "green"), title, seen.summary, Text(seen.took, "green")
        if key != self._step:
            return Text("·", "dim"), Text(title, "dim"), "", ""
        if self._is_waiting:
            return Text("›", "cyan"), Text(title, "bold"), "", ""
        return self._spinner, Text(title, "bold"), "", Text(f"{time.monotonic() - self._step_started:.1f} s", "cyan")


def make(console: Console, transport: Transport) -> Screen:
    """The screen that fits where the output goes."""
    return LiveScreen(console, transport) if console.is_terminal else Screen(console, transport)


def _head(elapsed_seconds: float) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(justify="right")
    name = Text.assemble((" cvstate demo", "bold"), ("   Git says, the cluster follows", "dim"))
    table.add_row(name, Text(f"{elapsed_seconds:.0f} s ", "dim"))
    return table


def _story(text: str, console: Console) -> Text:
    """Text that always takes the same room, so that nothing below it jumps."""
    lines = _cut(text, console, console.width - 4)
    return Text("\n".join(lines) + "\n" * (STORY_LINES - len(lines)), "italic")


def _cut(text: str, console: Console, width: int) -> list[str]:
    """Two lines of a text at most; an ellipsis stands for the rest."""
    lines = [line.plain.rstrip() for line in Text(text).wrap(console, width)]
    return lines if len(lines) <= STORY_LINES else [*lines[: STORY_LINES - 1], f"{lines[STORY_LINES - 1][: width - 1]}…"]


def _happenings(lines: Iterable[Happening]) -> Table:
    """Seconds since the start, who, and what."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=7, justify="right", style="dim")
    table.add_column(width=8)
    table.add_column(ratio=1, overflow="fold")
    for at, who, what in lines:
        table.add_row(f"{at:.1f} s", Text(who, _WHO.get(who, "default")), Text(what))
    return table


def _brief(what: str) -> str:
    """Commits by seven digits, objects by kind and name, fields by their end: lines are short, and the rest says nothing here."""
    for pattern, short in _SHORTER:
        what = pattern.sub(short, what)
    return what


def _table(seen: Mapping[str, Seen]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("What happened", no_wrap=True)
    table.add_column("What was seen")
    table.add_column("Time", justify="right", no_wrap=True, style="green")
    for key, found in seen.items():
        what = Text(found.summary)
        if found.detail:
            what.append(f"\n{found.detail}", "dim")
        table.add_row(TITLES[key], what, found.took)
    return table


def _print_missed(console: Console, missed: NotSeenError, log: Path | None, *, title: str) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(" not seen", "bold red"), Text(title, "bold"))
    table.add_row(" expected", Text(missed.expected))
    table.add_row(" seen", Text(missed.found))
    if log:
        table.add_row(" log", Text(str(log)))
    console.print()
    console.print(table, soft_wrap=False)
    for line in missed.tail:
        console.print(Text(f"   {line}", "dim"), soft_wrap=True)


def _print_invitation(console: Console, invitation: Invitation) -> None:
    console.print(Text("\n It goes on. In another terminal:", "bold"))
    commands = [(f"export KUBECONFIG={invitation.kubeconfig}", "")]
    if invitation.kubectl != "kubectl":
        commands.append((f"alias kubectl={invitation.kubectl}", ""))
    commands += [
        ("kubectl get cst -A -o wide", "how it stands"),
        (f"{invitation.cvstate} status", "the score, and what pulls it down"),
        (f"{invitation.cvstate} tree {stage.NAME} -n {stage.NAMESPACE}", "its objects, and what they made"),
        ("kubectl scale -n webshop-services deployment/catalog --replicas=9", ""),
        ("kubectl delete -n webshop-web configmap/storefront", ""),
        (f"cd {invitation.repository}", "edit, git commit: noticed within 10 s"),
        (f"tail -f {invitation.log}", "the operator's log"),
    ]
    _print_commands(console, commands)
    console.print(Text(" Ctrl-C here stops and removes everything. What happens until then:\n", "bold"))


def _print_commands(console: Console, commands: Iterable[tuple[str, str]]) -> None:
    listed = list(commands)
    width = max(len(command) for command, meaning in listed if meaning)
    for command, meaning in listed:
        console.print(
            Text.assemble(("   $ ", "dim"), f"{command:{width}}" if meaning else command, (f"   {meaning}" if meaning else "", "dim")),
            soft_wrap=True,
        )
