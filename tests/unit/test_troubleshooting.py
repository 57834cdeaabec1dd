"""Troubleshooting goes by reasons, and has to have all of them.

Aspects: a row for every reason of docs/reasons.md, and for no other word · what it means, where to look and what to do are told · every command can be read ·
what is looked at changes nothing.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import typer

from cvstate_operator.cli.main import app
from cvstate_operator.telemetry import reference
from tests.support.alert_rules import commands

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "troubleshooting.md").read_text()
COLUMNS: Final = 4
KUBECTL_LOOKS: Final = frozenset({"api-resources", "auth", "describe", "events", "explain", "get", "logs"})
CVSTATE_LOOKS: Final = frozenset({"check", "diff", "plan", "status", "tree"})
ASKS: Final = {"approve": "shows them|shows it", "rollback": "--list", "stop": "--status"}
"""Commands that write, and what makes them harmless: an option, or that they show first and ask, as the cell says."""
_WORDS: Final = re.compile(r"^\| ((?:`[A-Z]\w+`(?:, )?)+) \|", flags=re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One row of a table of reasons."""

    reasons: tuple[str, ...]
    meaning: str
    look: str
    mend: str


def words(text: str) -> Counter[str]:
    """The reasons in the first columns of a page's tables, as often as they stand there."""
    return Counter(word for cell in _WORDS.findall(text) for word in re.findall(r"\w+", cell))


def rows() -> Iterator[Row]:
    for line in PAGE.splitlines():
        if found := _WORDS.match(line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == COLUMNS, f"a column is missing, or a | stands in a cell: {line}"
            yield Row(tuple(re.findall(r"\w+", found[1])), *cells[1:])


ROWS: Final = tuple(rows())
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row.reasons))


def spans(cell: str) -> list[str]:
    """Commands in a cell."""
    return [span for span in re.findall(r"`([^`]+)`", cell) if span.startswith(("kubectl ", "cvstate "))]


def blocks() -> list[str]:
    """Lines of the page's blocks for a shell."""
    found = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines() if line]


def test_every_reason_has_a_row_wherever_reasons_md_has_one_and_no_other_word_has() -> None:
    """A word that stands for two things, such as `Stale`, has two rows in both."""
    assert words(PAGE) == words((DOCS / "reasons.md").read_text())


@each
def test_a_row_says_what_it_means_where_to_look_and_what_to_do(row: Row) -> None:
    assert len(row.meaning.split()) >= 3
    assert len(row.look.split()) >= 1
    assert row.mend


@each
def test_what_is_looked_at_changes_nothing(row: Row) -> None:
    for program, verb, *rest in (command for span in spans(row.look) for command in commands(span)):
        if program == "cvstate" and verb in ASKS:
            assert re.search(ASKS[verb], " ".join([*rest, row.look])), row.look
        else:
            assert verb in (KUBECTL_LOOKS if program == "kubectl" else CVSTATE_LOOKS), row.look


@pytest.mark.parametrize("line", sorted({*blocks(), *(span for row in ROWS for cell in (row.look, row.mend) for span in spans(cell))}))
def test_every_command_can_be_read(line: str) -> None:
    for program, verb, *rest in commands(line):
        if program == "kubectl":
            assert verb in KUBECTL_LOOKS, line
            continue
        assert program == "cvstate", line
        group = typer.main.get_command(app)
        command = group.get_command(typer.Context(group), verb)  # type: ignore[attr-defined]
        assert command, line
        command.make_context(verb, list(rest))


def test_metrics_that_it_speaks_of_exist() -> None:
    told = set(re.findall(r"`(cvstate_\w+)`", PAGE))
    assert told
    assert {metric for metric in told if f"`{metric}`" not in reference.page()} == set()
