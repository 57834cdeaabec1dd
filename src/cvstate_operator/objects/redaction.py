"""Redaction: values that may be shown, and those that may not."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from cvstate_operator.objects.identity import GroupKind

MASK: Final = "***"
SHOWN_CHARACTERS: Final = 120
"""Longest value shown in a status or event; enough for an image reference, small against the 1 KiB of an event message."""

SHORTEST_VALUE: Final = 4
"""Shorter values are not searched for in a text: `1` or `no` would be found everywhere. Those that a text quotes are masked all the same."""

_SECRET: Final = GroupKind("", "Secret")
_SECRET_FIELDS: Final = ("data", "stringData")
_PUBLIC_FIELDS: Final = ("/type", "/immutable", "/metadata/labels", "/metadata/finalizers", "/metadata/ownerReferences")
"""Of a Secret. Not its annotations: `last-applied-configuration` holds the whole object."""
_VALUES: Final = re.compile(
    r"""(?P<kept>\A(?:Internal\ error\ occurred:\ failed\ calling|admission)\ webhook\ "[\w.-]+"
          | conflict\ with\ "[^"\\]*"
          | \ is\ forbidden:\ User\ "[^"\\]*"\ cannot\ [\w-]+\ resource\ "[\w./-]*"\ in\ API\ group\ "[\w.-]*")  # names, not values
      | (?P<lead>,?\ got\               # expected string, got &value.valueUnstructured{...}
          | denied\ (?:the\ )?request:\ ).*  # what follows is free text, also about what is in the cluster but not in Git
      | (?P<label>\ value:\ )(?!"|\*{3}:)[^;]*  # Invalid value: 123456: must be ...
      | "(?:[^"\\]|\\.)*"?               # anything in quotes, or from a quote to where the text was cut
      | `[^`]*`?
      | \|.*                             # ...|"password":12|..., where a decoder shows what is around its error
    """,
    re.VERBOSE | re.DOTALL,
)
"""Where an API server's message may repeat a value: structured-merge-diff, field errors of apimachinery, Go's %q, JSON decoders, admission."""


def shown(kind: GroupKind, path: str, value: Any) -> str:
    """`value` as text for people: cut, on one line, and masked if it may be the content of a Secret.

    Args:
        kind: kind of the object the value is from.
        path: JSON pointer of the field in it.
        value: any JSON value; None reads as `(none)`.
    """
    return as_text(disclosed(kind, path, value))


def disclosed(kind: GroupKind, path: str, value: Any) -> Any:
    """`value` as it is, for programs, or MASK if it may be the content of a Secret; the arguments are those of `shown`."""
    return MASK if value is not None and is_secret(kind) and not path.startswith(_PUBLIC_FIELDS) else value


def as_text(value: Any) -> str:
    """A JSON value for people: texts as they are, anything else as JSON; cut, on one line. None reads as `(none)`."""
    if value is None:
        return "(none)"
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def is_secret(kind: GroupKind) -> bool:
    """Whether objects of this kind hold values that may not be shown."""
    return kind == _SECRET


def without_values(text: str, body: Mapping[str, Any] | None = None) -> str:
    """What a server said about a Secret, without anything that may be a value of it; field names stay.

    Args:
        text: the message.
        body: the Secret, whose values are masked wherever they stand; as base64 and as plain text.
    """
    masked = _VALUES.sub(lambda match: match["kept"] or f"{match['lead'] or match['label'] or ''}{MASK}", text)
    for value in sorted(set(_secret_values(body or {})), key=len, reverse=True):
        masked = masked.replace(value, MASK)
    return masked


def _secret_values(body: Mapping[str, Any]) -> Iterator[str]:
    """Every value of a Secret as it may stand in a text of one line."""
    for name in _SECRET_FIELDS:
        for leaf in map(str, leaves(body.get(name))):
            texts = [leaf]
            with suppress(binascii.Error, ValueError):  # not base64, or no text
                texts.append(base64.b64decode(leaf, validate=True).decode())
            for text in texts:
                yield from (shown for shown in (text, " ".join(text.split()), text.strip()) if len(shown) >= SHORTEST_VALUE)


def leaves(value: Any) -> Iterator[str | int | float]:
    """Every text and number in a JSON value."""
    if isinstance(value, Mapping):
        for below in value.values():
            yield from leaves(below)
    elif isinstance(value, list):
        for below in value:
            yield from leaves(below)
    elif value is not None and not isinstance(value, bool):
        yield value


def one_line(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """`text` with every unprintable character escaped and cut to `limit` characters.

    Foreign text (commit messages, values, server messages) can hold newlines and terminal escapes; one event is one line.
    """
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
