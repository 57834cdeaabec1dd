"""Path patterns: which fields of an object a rule speaks of.

A pattern is a JSON pointer (RFC 6901) into the object as Git has it, with four more steps:

    /spec/replicas                             one field, with everything in it
    /metadata/annotations/example.io~1*        fields whose name starts with `example.io/`; `*` alone is any one step
    /spec/**/image                             `**` is any number of steps, none too
    /spec/containers/[name=app]/image          the list item with these key fields, as Git spells them; several are joined by commas
    /metadata/finalizers/[=example.io~1hold]   an element of a list of plain values

`~1` stands for a slash and `~0` for a tilde, inside brackets too. A number is a position in the list as Git has it.
A field whose own name is `*` or starts with `[` cannot be named alone.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field

MAX_CHARACTERS: Final = 512
MAX_STEPS: Final = 32
"""Far above the nesting of any built-in kind (a probe's header in a pod template is at 10)."""

PATTERN: Final = r"^(/[^/]+)+$"
"""The same pattern stands in the CRD, so that the API server refuses `spec.replicas` and `/spec//x` itself."""

_BAD_TILDE: Final = re.compile(r"~(?![01])")
_NEXT_KEY: Final = re.compile(r",(?=[A-Za-z0-9_-]+=)")
"""A comma separates key fields only before the next one: values may hold commas."""


@dataclass(frozen=True, slots=True)
class Named:
    """A field by its name, or a list item by its position."""

    name: str
    is_prefix: bool = False
    """Any name that starts so; with an empty name any step at all."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A list item by its key fields."""

    keys: tuple[tuple[str, str], ...]
    """Name and value, as text; the empty name stands for the element itself in a list of plain values."""


@dataclass(frozen=True, slots=True)
class AnyDepth:
    """Any number of steps."""


PatternStep: TypeAlias = Named | Keyed | AnyDepth
Pattern: TypeAlias = tuple[PatternStep, ...]


def parse_pattern(text: str) -> Pattern:
    """The steps of a path pattern, at least one.

    Raises:
        ValueError: not a pattern; says which step is wrong and how to write it.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
    if not text.startswith("/"):
        raise ValueError("must start with '/'; write a field like /spec/replicas")
    parts = text[1:].split("/")
    if len(parts) > MAX_STEPS:
        raise ValueError(f"has more than {MAX_STEPS} steps")
    return tuple(_parse_step(part, number) for number, part in enumerate(parts, 1))


def exact(pointer: str) -> Pattern:
    """The pattern that means one field, given as JSON pointer: nothing in it is a wildcard. Empty for the object as a whole."""
    return tuple(Named(unescape(part)) for part in pointer.split("/")[1:])


def unescape(part: str) -> str:
    """A step of a JSON pointer as the name it stands for (RFC 6901, section 4)."""
    return part.replace("~1", "/").replace("~0", "~")


def _parse_step(part: str, number: int) -> PatternStep:
    if not part:
        raise ValueError(f"step {number} is empty")
    if _BAD_TILDE.search(part):
        raise ValueError(f"step {number} holds a bare '~'; write ~0 for '~' and ~1 for '/'")
    if part == "**":
        return AnyDepth()
    if part.startswith("["):
        return _parse_keys(part, number)
    if "*" in part[:-1]:
        raise ValueError(
            f"step {number} holds '*' before its end; write '*' for a step, 'name*' for names that start so, '**' for any steps"
        )
    return Named(unescape(part.removesuffix("*")), is_prefix=part.endswith("*"))


def _parse_keys(part: str, number: int) -> Keyed:
    pairs = [pair.partition("=") for pair in _NEXT_KEY.split(part[1:-1])]
    if not part.endswith("]") or not all(equals for _, equals, _ in pairs) or (len(pairs) > 1 and not all(name for name, _, _ in pairs)):
        raise ValueError(f"step {number} is no list item; write it like [name=app], [containerPort=80,protocol=TCP] or [=value]")
    return Keyed(tuple((unescape(name), unescape(value)) for name, _, value in pairs))


def _check(text: str) -> str:
    parse_pattern(text)
    return text


PathPattern = Annotated[str, Field(pattern=PATTERN, max_length=MAX_CHARACTERS), AfterValidator(_check)]
"""A pydantic field type: a path pattern, kept as the user wrote it; `parse_pattern` reads it."""
