"""The rules for Prometheus and their runbooks, as tests read them."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "charts" / "cvstate-operator" / "rules"
FILES: Final = tuple(RULES / name for name in ("recording.yaml", "alerts.yaml"))
CASES: Final = tuple(sorted((ROOT / "deploy" / "monitoring" / "tests").glob("*.yaml")))
"""Unit tests of rules, as promtool runs them."""
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
ADDRESS: Final = "https://github.com/cvstate/cvstate-operator/blob/main/docs/runbooks/{}.md"

Rule = Mapping[str, Any]
_OPERATORS: Final = frozenset({"|", "||", "&&", ";"})


def groups() -> list[dict[str, Any]]:
    """Every group of every file, in order."""
    return [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]


def _rules(kind: str) -> dict[str, Rule]:
    return {rule[kind]: rule for group in groups() for rule in group["rules"] if kind in rule}


ALERTS: Final = _rules("alert")
RECORDS: Final = _rules("record")


def selectors(query: str) -> list[Any]:
    """Every selector of series in a query.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), found.append)
    return [node for node in found if isinstance(node, promql_parser.VectorSelector)]


def asked_by(rule: Rule) -> Iterator[str]:
    """Every query of a rule: its expression, and those by which its annotations are filled."""
    yield rule["expr"]
    for text in rule.get("annotations", {}).values():
        for quoted in re.findall(r'"((?:[^"\\]|\\.)*cvstate(?:[^"\\]|\\.)*)"', text):
            yield quoted.replace("%s", "x").replace("'", '"')


@dataclass(frozen=True)
class Runbook:
    """One page below docs/runbooks."""

    name: str
    head: str
    """What stands before the first section."""
    sections: Mapping[str, str]
    """By heading, in order."""

    def blocks(self, language: str, *sections: str) -> list[str]:
        """Code of a language in some sections; in all, if none is named."""
        texts = [text for heading, text in self.sections.items() if not sections or heading in sections]
        return [block for text in texts for block in re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)]

    def lines(self, *sections: str) -> list[str]:
        """Lines for a shell in some sections; in all, if none is named."""
        found = [line for block in self.blocks("sh", *sections) for line in block.splitlines()]
        return [line for line in found if line.strip() and not line.startswith("#")]

    def queries(self) -> list[str]:
        """Each line of PromQL."""
        return [line for block in self.blocks("promql") for line in block.splitlines() if line.strip()]


def runbooks() -> list[Runbook]:
    """All of them, by name."""
    return [_read(path) for path in sorted(RUNBOOKS.glob("*.md"))]


def _read(path: Path) -> Runbook:
    head, *parts = re.split(r"^## ", path.read_text(), flags=re.MULTILINE)
    sections = {heading: text for heading, _, text in (part.partition("\n") for part in parts)}
    return Runbook(path.stem, head, sections)


def commands(line: str) -> list[Sequence[str]]:
    """The simple commands of a line for a shell, each as its words; variables stay as they are written.

    Raises:
        ValueError: a quote is not closed.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in _OPERATORS:
            found.append([])
        elif word == ">":
            next(words)  # the file
        elif found[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            found[-1].append(word)
    return [command for command in found if command]
