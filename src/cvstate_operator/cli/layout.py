"""What the sections of `cvstate status` have in common: tables and blocks, ages, counts, and commands that go on from there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cvstate_operator.api.duration import human
from cvstate_operator.vital.facts.moments import moment


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is to be told, whatever it is."""

    name: str
    word: Text
    """Its state, or what it costs."""
    since: str
    """For how long; empty if that is not known."""
    lines: tuple[Text, ...]
    """What there is to say."""


def section(
    title: str, columns: tuple[str, str, str, str], entries: Iterable[Entry], *, style: str, is_narrow: bool
) -> list[RenderableType]:
    """A table; on a narrow terminal a block of lines for each entry.

    Args:
        title: above it.
        columns: what name, word, since and lines are.
        entries: in this order.
        style: of the title.
        is_narrow: whether a table cannot be read.
    """
    # Not the title of the table: that one is wrapped where the table ends.
    head = Text(f"\n{title}", style)
    if is_narrow:
        return [head, *(part for entry in entries for part in block(entry))]
    found = table(None)
    found.add_column(columns[0], overflow="fold")
    for column in columns[1:3]:
        found.add_column(column, no_wrap=True)
    found.add_column(columns[3], overflow="fold", ratio=1)
    for entry in entries:
        found.add_row(Text(entry.name), entry.word, entry.since, Text("\n").join(entry.lines))
    return [head, found]


def block(entry: Entry) -> Iterator[RenderableType]:
    """An entry as a line with its name, and what there is to say below it."""
    yield Text.assemble((entry.name, "bold"), "  ", entry.word, f", for {entry.since}" if entry.since else "")
    yield from (Padding(line, (0, 0, 0, 2), expand=False) for line in entry.lines)


def table(title: str | None, *columns: str, style: str = "bold") -> Table:
    """A table without lines; `columns` never wrap."""
    found = Table(
        box=None, pad_edge=False, header_style="bold", title=f"\n{title}" if title else None, title_justify="left", title_style=style
    )
    for column in columns:
        found.add_column(column, no_wrap=True)
    return found


def age(at: str) -> str:
    """How long ago that was, for people: rounded down to minutes from ten minutes on, to hours from a day on; `?` if it is no time."""
    began = moment(at)
    if began is None:
        return "?"
    seconds = max(0, round((datetime.now(UTC) - began).total_seconds()))
    step = 3600 if seconds >= 86400 else 60 if seconds >= 600 else 1
    return f"{seconds} s" if seconds < 10 else human(seconds - seconds % step)


def command(name: str, item: Mapping[str, Any], *options: str) -> str:
    """`cvstate NAME` for one ClusterState, to be copied."""
    meta = item["metadata"]
    return " ".join((f"cvstate {name} {meta['name']} -n {meta['namespace']}", *options))


def said(text: str, item: Mapping[str, Any]) -> str:
    """What the operator says of a ClusterState, with its names in the commands that are meant to be copied."""
    meta = item["metadata"]
    return text.replace("NAME -n NAMESPACE", f"{meta['name']} -n {meta['namespace']}")


def count(number: int, what: str) -> str:
    """As in `1 field`, `2 fields`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
