"""What a PromQL text looks like before it is read: its brackets and operators, and the mark for a window.

Input is the text of a query of a spec; `promql` asks here before it gives a text to the parser. The parser calls itself for every bracket and operator:
2,000 of them take minutes, or end the process (measured, promql-parser 0.12.0). So they are counted first.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_DEPTH: Final = 32
"""Brackets within each other: more than a person reads. 32 of the worst kind are read in 0.3 ms (measured)."""
MAX_OPERATORS: Final = 128
"""Operators and signs in the whole text. 128 in one row are read in 1 ms (measured)."""

MARK: Final = re.compile(r"\{\{\s*\.window\s*\}\}")
"""`{{.window}}`, also with blanks within, as Go templates allow."""
_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<loose>["'`])
      | (?P<mark>\{\{\s*\.window\s*\}\})
      | (?P<open>[(\[{])
      | (?P<close>[)\]}])
      | (?P<word>[\w:.]+)
      | (?P<operator>==|!=|<=|>=|=~|!~|[-+*/%^<>])
      | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_MODIFIERS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
"""Words whose brackets hold labels."""
_TRIES: Final = 32
"""Parts of a text that are read, at most, to find where a fault is."""
_WORD_OPERATORS: Final = frozenset({"and", "or", "unless", "atan2"})
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}


class PromqlError(ValueError):
    """A query that cannot be asked. The message is one line: where (column, line), what, and mostly what to write instead."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, sign, bracket or quoted text; blanks and comments are none."""

    kind: str
    text: str
    start: int
    end: int


def tokens(text: str) -> Iterator[Token]:
    """All of them, in order. Nothing is left out but blanks and comments."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup and match.lastgroup != "blank":
            yield Token(match.lastgroup, match[0], match.start(), match.end())


def check_shape(text: str) -> None:
    """Refuse what the parser should not see.

    Raises:
        PromqlError: brackets do not match or are too deep, a quote is not closed, there are too many operators, or the mark of a window is there.
    """
    opened: list[Token] = []
    operators = 0
    before = ""
    for token in tokens(text):
        if before == "@" and token.text == "-":
            raise fault(text, token.start, "a time before 1970 has no samples")  # the parser would panic
        before = token.text
        match token.kind:
            case "loose":
                raise fault(text, token.start, f"this {token.text} is not closed")
            case "mark":
                raise fault(text, token.start, "{{.window}} has no meaning here; write a time, as 5m")
            case "open":
                opened.append(token)
                if len(opened) > MAX_DEPTH:
                    raise fault(text, token.start, f"more than {MAX_DEPTH} brackets stand within each other; use a recording rule")
            case "close":
                if not opened or _PAIRS[opened[-1].text] != token.text:
                    raise fault(text, token.start, f"this {token.text} closes no bracket")
                opened.pop()
            case "operator" | "word":
                operators += token.kind == "operator" or token.text.lower() in _WORD_OPERATORS
                if operators > MAX_OPERATORS:
                    raise fault(text, token.start, f"more than {MAX_OPERATORS} operators; use a recording rule")
    if opened:
        raise fault(text, opened[-1].start, f"this {opened[-1].text} is not closed")


def fault(text: str, offset: int, what: str) -> PromqlError:
    """An error that begins with the place: `column 5: ...`, or `line 2, column 5: ...` where there are several lines."""
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    where = f"line {line}, column {column}" if "\n" in text.strip() else f"column {column}"
    return PromqlError(f"{where}: {what}")


def place(text: str, reads: Callable[[str], str]) -> int:
    """Where a fault is, as near as can be told: the parser does not say it.

    It is in the innermost brackets that have the same fault alone; and there, behind the longest part from their beginning that has none.

    Args:
        text: a text of sound shape (`check_shape`) that the parser refused.
        reads: what the parser says of a text; empty if it accepts it.

    Returns:
        Characters from the beginning.
    """
    found = list(tokens(text))
    fault_of_all = reads(text)
    start, inner = (found[0].start if found else 0), found
    for callee, group in _groups(found):
        if reads(text[callee.start : group[-1].end]) == fault_of_all:
            start, inner = callee.start, group
            break
    closing = ")" if inner is not found else ""
    depth = 0
    cuts = []
    for token in inner[1:]:
        depth -= token.kind == "close"
        if depth == 0:
            cuts.append(token.start)
        depth += token.kind == "open"
    for cut in list(reversed(cuts))[:_TRIES]:
        if not reads(text[start:cut] + closing):
            return cut
    return start


def _groups(found: list[Token]) -> Iterator[tuple[Token, list[Token]]]:
    """Each pair of round brackets that is an expression of its own, inner ones first: where it begins, with the function before it; and its tokens."""
    opened: list[int] = []
    tries = 0
    for at, token in enumerate(found):
        if token.kind == "open":
            opened.append(at)
        if token.kind != "close" or token.text != ")":
            opened = opened[: len(opened) - (token.kind == "close")]
            continue
        first = opened.pop()
        before = found[first - 1] if first else None
        if before and (before.text.lower() in _MODIFIERS or before.text == ")"):
            continue  # labels, or the arguments of `sum by (...) (...)`, which are none without it
        tries += 1
        if tries > _TRIES:
            return
        yield (before if before and before.kind == "word" else found[first]), found[first : at + 1]
