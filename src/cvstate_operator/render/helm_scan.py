"""Scan: which functions the templates of a chart call, and where. Pure.

Reads actions as Go's text/template does, as far as to tell a function from a field, a variable, a string or a comment. What it cannot read ends a file;
Helm then says what is wrong with it.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

MAX_NESTING: Final = 2
"""Templates in strings of templates, as for `tpl`."""

_COMMENT: Final = re.compile(rb"\{\{(?:-[ \t\r\n])?/\*")
_TOKEN: Final = re.compile(
    rb"""(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*')|(?P<broken>["'`])|(?P<end>(?:[ \t\r\n]-)?\}\})"""
    rb"""|(?P<name>(?<![\w.$])[A-Za-z_]\w*)|(?P<open>\()|(?P<close>\))|(?P<pipe>\|)"""
)
"""What matters inside an action. A quote without its second ends the scan: going on from there would take quadratic time."""


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a function."""

    name: str
    line: int
    """From 1."""
    is_quoted: bool
    """In a string, which may be a template for `tpl` or just a text."""


def calls(text: bytes, names: Collection[str]) -> Iterator[Call]:
    """Uses of the functions `names` in a template, in order."""
    line, counted = 1, 0
    for start, name, is_quoted in _names(text, depth=0):
        if name in names:
            line += text.count(b"\n", counted, start)
            counted = start
            yield Call(name, line, is_quoted)


def replaced(text: bytes, name: str, by: bytes) -> bytes:
    """The template with `by` wherever the function `name` is used, strings left alone."""
    parts, end = [], 0
    for token in _tokens(text):
        if token.lastgroup == "name" and token[0] == name.encode():
            parts += [text[end : token.start()], by]
            end = token.end()
    return b"".join((*parts, text[end:]))


def piped(text: bytes, name: str, into: bytes) -> bytes:
    """The template with what the function `name` gives piped into something else: `keys .a` becomes `keys .a | sortAlpha`."""
    parts, end = [], 0
    is_open = [False]
    """For each parenthesis that is open, whether its last command has the function."""
    for token in _tokens(text):
        kind = token.lastgroup
        if kind == "name" and token[0] == name.encode():
            is_open[-1] = True
        elif kind == "open":
            is_open.append(False)
        elif kind in ("pipe", "close", "end"):
            if is_open[-1]:
                parts += [text[end : token.start()], b" | ", into, b" "]
                end = token.start()
            is_open[-1] = False
            if kind == "close" and len(is_open) > 1:
                is_open.pop()
            elif kind == "end":
                is_open = [False]
    return b"".join((*parts, text[end:]))


def _names(text: bytes, depth: int) -> Iterator[tuple[int, str, bool]]:
    """Offset and name of what may be a function, and whether it stands in a string; offsets of those are of the string."""
    for token in _tokens(text):
        if token.lastgroup == "name":
            yield token.start(), token[0].decode(), depth > 0
        elif token.lastgroup == "string" and depth < MAX_NESTING and b"{{" in token[0]:
            for _, name, _ in _names(token[0][1:-1].replace(b'\\"', b'"'), depth + 1):
                yield token.start(), name, True


def _tokens(text: bytes) -> Iterator[re.Match[bytes]]:
    """Tokens of all actions, each action with its end."""
    position = text.find(b"{{")
    while position >= 0:
        if comment := _COMMENT.match(text, position):
            end = text.find(b"*/", comment.end())
            if end < 0:
                return
            position = text.find(b"{{", end)
            continue
        position += 2
        while True:
            token = _TOKEN.search(text, position)
            if token is None or token.lastgroup == "broken":
                return
            position = token.end()
            yield token
            if token.lastgroup == "end":
                break
        position = text.find(b"{{", position)
