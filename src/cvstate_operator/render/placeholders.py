"""Placeholders: how `${...}` passes the YAML parser as one piece of text, whatever is in it. Pure.

`{a: ${b}, c: ${d:=e, f}}` is no YAML, and `a: ${b:= #}` another one than meant. So each expression is replaced by letters before parsing, and stands
again in the scalar that the parser finds. The parser never sees a value: no value can change what is a key, a list or the end of a text.
"""

import hashlib
import re
from typing import Any, Final

import yaml

from cvstate_operator.render.substitute import MAX_EXPRESSIONS

_TEXT: Final = rb"[^${}'\"\\\x00-\x1f\x7f]|\$(?!\{)"
"""What is written alike in every kind of YAML scalar. An expression with quotes or escapes is left to YAML's own rules."""
_INNERMOST: Final = rb"\$\{(?:" + _TEXT + rb")*+\}"
_INNER: Final = rb"\$\{(?:" + _TEXT + rb"|" + _INNERMOST + rb")*+\}"
_EXPRESSION: Final = re.compile(rb"\$\{(?:" + _TEXT + rb"|" + _INNER + rb")*+\}")

_CORE: Final = "tag:yaml.org,2002:"


class Template(str):
    """A scalar that holds `${`, as it was written."""

    line: int
    """From 1: where it begins."""
    plain: bool
    """Neither quoted nor in a block: what it becomes may be a number, a boolean or null."""
    tag: str | None
    """Its tag in YAML's core schema (`int`); None for none."""


class TooManyError(ValueError):
    """More expressions than a file may have."""


class Placeholders:
    """The expressions of one file."""

    def __init__(self, text: bytes) -> None:
        """Replace them; `text` is what the parser should read, with the same lines.

        Raises:
            TooManyError: more than `MAX_EXPRESSIONS`.
        """
        self._mark = _mark(text)
        self._found: dict[bytes, int] = {}
        self._replaced = 0
        self.text = _EXPRESSION.sub(self._replace, text)
        self._written = [expression.decode() for expression in self._found]
        self._spelled = re.compile(self._mark + r"([0-9]{1,9})E")

    def restore(self, text: str) -> str:
        """`text` as it was before."""
        return self._spelled.sub(self._expression, text) if self._mark in text else text

    def events(self, parser: Any) -> "Events":
        """The events of `parser`, which reads `self.text`, with a Template in place of each text that holds `${`."""
        return Events(parser, self)

    def holds(self, text: str) -> bool:
        """Whether `text`, as the parser gave it, holds an expression or what looks like one."""
        return self._mark in text or "${" in text

    def _expression(self, found: re.Match[str]) -> str:
        number = int(found[1])
        return self._written[number] if number < len(self._written) else found[0]

    def _replace(self, found: re.Match[bytes]) -> bytes:
        expression = found[0]
        if not expression.isascii() and not expression.decode().isprintable():
            return expression  # line breaks that only YAML knows, and what it forbids
        self._replaced += 1
        if self._replaced > MAX_EXPRESSIONS:
            raise TooManyError
        number = self._found.setdefault(expression, len(self._found))
        return f"{self._mark}{number}E".encode()


class Events:
    """A parser whose scalars are Templates where they hold `${`."""

    def __init__(self, parser: Any, placeholders: Placeholders) -> None:
        self._next, self._placeholders = parser.get_event, placeholders
        self.peek_event = parser.peek_event
        """The next event, as the parser gave it: good for its line."""

    def get_event(self) -> Any:
        """The next event."""
        event = self._next()
        if event.__class__ is yaml.ScalarEvent and self._placeholders.holds(event.value):
            self._make_template(event)
        return event

    def _make_template(self, event: Any) -> None:
        template = Template(self._placeholders.restore(event.value))
        template.line = int(event.start_mark.line) + 1
        template.plain, template.tag = event.tag is None and event.implicit[0], None
        if event.tag == "!":
            event.tag = None
        elif event.tag is not None and event.tag.startswith(_CORE):
            template.tag, event.tag = event.tag.removeprefix(_CORE), None
        # To the builder it is a text in quotes; what it becomes is seen after substitution.
        event.value, event.implicit = template, (False, event.tag is None)


def _mark(text: bytes) -> str:
    """Letters that are not in `text`, and are the same each time it is read."""
    number = 0
    while (mark := "V" + hashlib.blake2b(text, digest_size=5, salt=number.to_bytes(2)).hexdigest() + "N").encode() in text:
        number += 1
    return mark
