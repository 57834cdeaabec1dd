"""Label selectors as text: `app=web`, `tier!=test`, `env in (a, b)`, `env notin (a)`, `canary`, `!canary`, joined by commas: all must hold.

Source: Kubernetes documentation, "Labels and Selectors"; `k8s.io/apimachinery/pkg/labels`: `!=` and `notin` hold for objects without the label too.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, Field

MAX_CHARACTERS: Final = 1024

_KEY: Final = r"(?P<{}>[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?)"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SPLIT: Final = re.compile(r",(?![^(]*\))")
"""Commas outside parentheses."""
_REQUIREMENT: Final = re.compile(
    rf"(?P<absent>!)\s*{_KEY.format('without')}"
    rf"|{_KEY.format('key')}(?:\s*(?P<sign>==|=|!=)\s*(?P<value>{_VALUE})|\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\))?"
)


class Requirement(NamedTuple):
    """One part of a selector."""

    key: str
    values: frozenset[str] | None
    """The label's value is one of these; None: any value."""
    negated: bool
    """The opposite: also if the label is missing."""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets it."""
        met = self.key in labels if self.values is None else labels.get(self.key) in self.values
        return met != self.negated


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """The requirements of a selector; none for an empty one, which every object meets.

    Raises:
        ValueError: not a selector; says which part is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
    return tuple(_parse(part.strip(), number) for number, part in enumerate(_SPLIT.split(text), 1)) if text.strip() else ()


def _parse(part: str, number: int) -> Requirement:
    found = _REQUIREMENT.fullmatch(part)
    if not found:
        raise ValueError(
            f"part {number} is no requirement; write it like app=web, app!=web, app in (web, api), app notin (web), app or !app"
        )
    if found["absent"]:
        return Requirement(found["without"], None, True)
    if found["sign"]:
        return Requirement(found["key"], frozenset((found["value"],)), found["sign"] == "!=")
    if not found["word"]:
        return Requirement(found["key"], None, False)
    values = frozenset(value.strip() for value in found["values"].split(","))
    if not all(re.fullmatch(_VALUE, value) for value in values):
        raise ValueError(f"part {number} holds a value that no label can have")
    return Requirement(found["key"], values, found["word"] == "notin")


def _check(text: str) -> str:
    parse_selector(text)
    return text


LabelSelector = Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_check)]
"""A pydantic field type: a label selector, kept as the user wrote it; `parse_selector` reads it."""
