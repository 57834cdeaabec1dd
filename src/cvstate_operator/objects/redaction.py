"""Redaction: values that may be shown, and those that may not."""

from typing import Any, Final

from cvstate_operator.objects.identity import GroupKind

MASK: Final = "***"
SHOWN_CHARACTERS: Final = 120
"""Longest value shown in a status or event; enough for an image reference, small against the 1 KiB of an event message."""

_SECRET: Final = GroupKind("", "Secret")


def shown(kind: GroupKind, path: str, value: Any) -> str:
    """`value` as text for people: cut, on one line, and masked if it is the content of a Secret.

    Args:
        kind: kind of the object the value is from.
        path: JSON pointer of the field in it.
        value: any JSON value; None reads as `(none)`.
    """
    if value is None:
        return "(none)"
    if kind == _SECRET and path.startswith(("/data", "/stringData")):
        return MASK
    return one_line(value if isinstance(value, str) else repr(value))


def one_line(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """`text` with every unprintable character escaped and cut to `limit` characters.

    Foreign text (commit messages, values, server messages) can hold newlines and terminal escapes; one event is one line.
    """
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
