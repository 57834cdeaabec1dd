"""Variables: `${region}` in a text, as Flux's post-build substitution reads it. Pure.

Source: "Post build variable substitution" of Flux's Kustomization API, and the table of forms of its package envsubst, with which v1.8.0 agrees (20,000
random forms were compared). Where that package does not do what its table says (`${var=default}`, `${var-default}`, `${var/#old/}`), bash decides. Nothing is run, no environment is read, and a value is never looked at again. `transform.py` says which texts of a document are given to it.
"""

import re
from collections.abc import Mapping
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line

MAX_VALUE_CHARACTERS: Final = 2**20
"""Of one value, also after it was changed. A whole ConfigMap or Secret holds no more than 1 MiB."""
MAX_TEXT_CHARACTERS: Final = 20 * 2**20
"""Of one text after substitution: as much as a file may have."""
MAX_EXPRESSIONS: Final = 500_000
"""Of one text, and of one file; 5,000 Deployments with 100 each. That many in one text take 1.6 s and 112 MiB (measured)."""
MAX_NESTING: Final = 4
"""Defaults inside defaults: `${a:=${b:=c}}` is 1."""
MAX_PATTERN_CHARACTERS: Final = 256
"""Of `${var#pattern}`: matching takes time in proportion to value and pattern."""

_SHOWN_CHARACTERS: Final = 60

_BRACES: Final = re.compile(r"\$\{|\}")
_LENGTH: Final = re.compile(r"#([A-Za-z_][A-Za-z0-9_]*)")
_FORM: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:=|:-|=|-|\^\^?|,,?|##?|%%?|/[/#%]?|:)(.*))?", re.DOTALL)
_BEGINNING: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,30}(?!\w))?[^\w\s]{0,2}")
_SPAN: Final = re.compile(r"([0-9]{1,9})(?::(-?[0-9]{1,9}))?")
_REPLACEMENT: Final = re.compile(r"((?:\\[/\\]|[^/])*+)/(.*)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\([/\\])")
_PATTERN_PART: Final = re.compile(r"\\(?P<escaped>.)|\[(?P<negated>[!^]?)(?P<members>[^]]+)\]|(?P<single>.)", re.DOTALL)
_NO_WORD: Final = re.compile(r"[^0-9A-Za-z-]")


class Variables:
    """Values by name."""

    def __init__(self, values: Mapping[str, str], strict: bool = True) -> None:
        """Take the values; newlines at their end are left out, since files and `echo` leave them there.

        Args:
            values: by name. Names that no `${...}` can spell are never asked for.
            strict: a variable without value and default is an error, and not an empty text.
        """
        self._values = {name: value.rstrip("\n") for name, value in values.items()}
        self._strict = strict

    def apply(self, text: str) -> str:
        """`text` with every `${...}` replaced, and `$${` made `${`.

        Raises:
            VariableMissingError: a variable without value and default, if strict.
            BuildFailedError: a form that is not known.
            RenderTooLargeError: a value or the result is larger than its limit.
        """
        return self._expanded(text, 0)

    def _expanded(self, text: str, depth: int) -> str:
        parts: list[str] = []
        position = length = 0
        while (brace := text.find("${", position)) >= 0:
            start = brace
            while start > position and text[start - 1] == "$":
                start -= 1
            # Two dollars are one that is meant; so before an opening brace, and nowhere else.
            dollars = brace - start + 1
            parts.append(text[position:start] + "$" * (dollars // 2))
            if dollars % 2 == 0:
                parts.append("{")
                position = brace + 2
            else:
                end = _end(text, brace)
                parts.append(self._evaluated(text[brace + 2 : end], depth))
                position = end + 1
            length += len(parts[-1]) + len(parts[-2])
            if len(parts) > 2 * MAX_EXPRESSIONS:
                raise errors.RenderTooLargeError(f"a text with more than {MAX_EXPRESSIONS} variables; split it")
            if length > MAX_TEXT_CHARACTERS:
                raise errors.RenderTooLargeError(
                    f"a text of more than {MAX_TEXT_CHARACTERS // 2**20} MiB after substitution; use fewer variables"
                )
        parts.append(text[position:])
        return "".join(parts)

    def _evaluated(self, expression: str, depth: int) -> str:
        """The text that stands for `${expression}`."""
        if found := _LENGTH.fullmatch(expression):
            return str(len(self._value(found[1])))
        found = _FORM.fullmatch(expression)
        if found is None:
            raise _refused(expression, "a variable's name has letters, digits and underscores, and only the forms of Flux may follow")
        name, operator, word = found[1], found[2], found[3]
        if operator is None:
            return self._value(name)
        if operator in (":=", ":-", "=", "-"):
            value = self._values.get(name)
            return self._value(name) if value or (value is not None and ":" not in operator) else self._default(expression, word, depth)
        if "${" in word:
            raise _refused(expression, "variables may stand in defaults, and nowhere else inside braces")
        changed = _changed(self._value(name), operator, word)
        if changed is None:
            raise _refused(expression, "no such form is known")
        return changed

    def _default(self, expression: str, word: str, depth: int) -> str:
        if "$(" in word:
            raise _refused(expression, "no command is run")
        if depth == MAX_NESTING and "${" in word:
            raise _refused(expression, f"more than {MAX_NESTING} defaults inside each other")
        return self._expanded(word, depth + 1)

    def _value(self, name: str) -> str:
        value = self._values.get(name)
        if value is None:
            if self._strict:
                raise errors.VariableMissingError(
                    f"variable {one_line(name, _SHOWN_CHARACTERS)} has no value; give it in render.substitute or render.substituteFrom, "
                    f"or write ${{{one_line(name, _SHOWN_CHARACTERS)}:=default}}"
                )
            return ""
        if len(value) > MAX_VALUE_CHARACTERS:
            raise _too_large(f"variable {name}")
        return value


def _end(text: str, start: int) -> int:
    """Where the expression that begins at `start` has its closing brace."""
    depth = 0
    for found in _BRACES.finditer(text, start):
        depth += 1 if found[0] == "${" else -1
        if depth == 0:
            return found.start()
    # Not a word of what follows: where no variable is meant, it may be part of a Secret.
    raise errors.BuildFailedError("a ${ has no closing brace; close it, or write $${ for a ${ that is meant as text")


def _changed(value: str, operator: str, word: str) -> str | None:
    """`value` after one of the functions; None if the form is none of them."""
    if operator[0] in "^,":
        return _cased(value, operator) if not word else None
    if operator == ":":
        return _span(value, word)
    if operator[0] == "/":
        return _replaced(value, operator, word)
    return _trimmed(value, operator, word)


def _cased(value: str, operator: str) -> str:
    if len(operator) == 2:
        return value.upper() if operator == "^^" else value.lower()
    return (value[:1].upper() if operator == "^" else value[:1].lower()) + value[1:]


def _span(value: str, word: str) -> str | None:
    """`${var:position}` and `${var:position:length}`; a negative length counts from the end."""
    found = _SPAN.fullmatch(word)
    if found is None:
        return None
    start = int(found[1])
    if found[2] is None:
        return value[start:]
    length = int(found[2])
    return value[start : start + length] if length >= 0 else value[start : max(start, len(value) + length)]


def _replaced(value: str, operator: str, word: str) -> str | None:
    """`${var/old/new}` and its kin: texts, not patterns, as Flux does it; `\\/` is a slash in them."""
    found = _REPLACEMENT.fullmatch(word)
    if found is None:
        return None
    old, new = (_ESCAPED.sub(r"\1", part) for part in found.groups())
    if operator == "/#":
        return new + value[len(old) :] if value.startswith(old) else value
    if operator == "/%":
        return value[: len(value) - len(old)] + new if value.endswith(old) else value
    if not old:
        return None
    times = value.count(old) if operator == "//" else 1
    if len(value) + times * len(new) > MAX_VALUE_CHARACTERS:
        raise _too_large(f"a variable with {old!r} replaced")
    return value.replace(old, new, times)


def _trimmed(value: str, operator: str, pattern: str) -> str | None:
    """`${var#pattern}` and its kin, with `*`, `?` and `[...]`; doubled operators take the longest match away, single ones the shortest."""
    parts = _pattern(pattern)
    if parts is None:
        return None
    if operator[0] == "#":
        return value[_matched(value, parts, longest=operator == "##") :]
    backwards = value[::-1]
    return backwards[_matched(backwards, parts[::-1], longest=operator == "%%") :][::-1]


def _pattern(text: str) -> list[str] | None:
    """The pattern as regular expressions of one character each, and `*`; None if it is none."""
    if len(text) > MAX_PATTERN_CHARACTERS:
        return None
    parts = []
    for found in _PATTERN_PART.finditer(text):
        if found["members"] is not None:
            part = "[" + ("^" if found["negated"] else "") + _NO_WORD.sub(r"\\\g<0>", found["members"]) + "]"
        else:
            part = {"*": "*", "?": "."}.get(found["single"] or "") or re.escape(found["escaped"] or found["single"])
        parts.append(part)
    try:
        re.compile("".join(part for part in parts if part != "*"))
    except re.error:
        return None
    return parts


def _matched(value: str, parts: list[str], *, longest: bool) -> int:
    """How many characters at the beginning of `value` match; 0 if none do. Takes time in proportion to value and pattern, whatever the stars."""
    runs: list[str] = [""]
    for part in parts:
        if part == "*":
            runs.append("")
        else:
            runs[-1] += part
    head = re.compile(runs[0], re.DOTALL).match(value)
    if head is None:
        return 0
    position = head.end()
    for number, run in enumerate(runs[1:], 2):
        # The first place of each run leaves the most room for the next; only of the last one, the last place is asked for.
        last = longest and number == len(runs)
        found = re.compile(f".*{run}" if last else run, re.DOTALL)
        hit = found.match(value, position) if last else found.search(value, position)
        if hit is None:
            return 0
        position = hit.end()
    # As Flux: what is taken away is not empty if the pattern has a star.
    return position or min(1, len(value) if len(runs) > 1 else 0)


def _too_large(what: str) -> errors.RenderTooLargeError:
    return errors.RenderTooLargeError(
        f"{one_line(what, _SHOWN_CHARACTERS)} has more than {MAX_VALUE_CHARACTERS // 2**20} MiB; make it smaller"
    )


def _refused(expression: str, why: str) -> errors.BuildFailedError:
    begun = _begun(expression)
    return errors.BuildFailedError(f"${{{begun}}} is not understood: {why}; correct it, or write $${{{begun}}} to keep it as text")


def _begun(expression: str) -> str:
    """As much of an expression as tells which one is meant; what follows may be part of a Secret."""
    found = _BEGINNING.match(expression)
    name = one_line(found[0], _SHOWN_CHARACTERS) if found else ""
    return name if len(name) == len(expression) else f"{name}…"
