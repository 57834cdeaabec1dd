"""Faults: what a validator found, said so that a person can mend it. Pure; shows no value of a Secret."""

import json
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from jsonschema_rs import ValidationError, ValidationErrorKind

from cvstate_operator.objects.redaction import MASK, one_line
from cvstate_operator.schema import formats

Kind = ValidationErrorKind
Path = tuple[str | int, ...]

OPTIONS_NAMED: Final = 12
"""Allowed values of a field that are spelled out."""

_NOUNS: Final = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_SCALARS: Final = (str, bool, int, float)


class Fault(NamedTuple):
    """One thing that is wrong with an object."""

    path: Path
    """Keys and indexes from the root of the object to the field."""
    message: str
    """One line: what is wrong, and what to do."""

    @property
    def field(self) -> str:
        """The path as people write it: `spec.ports[0].port`."""
        return spell(self.path)


def spell(path: Path) -> str:
    """`spec.ports[0].port`; a key that is no plain word stands in brackets and quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("-", "").replace("_", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f'["{one_line(part)}"]'
    return text


def explain(error: ValidationError, *, hides_values: bool, names: Callable[[Path], Sequence[str]]) -> Iterator[Fault]:
    """The faults that one error of the validator stands for.

    Args:
        error: from the validator.
        hides_values: True for a Secret.
        names: the fields that are known at a path, for "did you mean".
    """
    path = tuple(error.instance_path)
    kind = error.kind
    if isinstance(kind, Kind.AdditionalProperties):
        for name in kind.unexpected:
            close = get_close_matches(name, names(path), n=1)
            remedy = f"did you mean {close[0]}?" if close else "remove it, or correct its name or place"
            yield Fault((*path, name), f"is an unknown field; {remedy}")
    elif isinstance(kind, Kind.Required):
        yield Fault((*path, kind.property), "is missing; add it")
    else:
        value = MASK if hides_values else _show(error.instance)
        yield Fault(path, _say(error, value))


def _say(error: ValidationError, value: str) -> str:
    match error.kind:
        case Kind.Type(types):
            return f"{value} is not {' or '.join(_NOUNS.get(name, name) for name in types)}; {_retype(error.instance, types)}"
        case Kind.Enum(options):
            shown = ", ".join(one_line(str(option)) for option in options[:OPTIONS_NAMED] if option != "")
            return f"{value} is not one of the allowed values; use one of: {shown}{', …' if len(options) > OPTIONS_NAMED else ''}"
        case Kind.Format(name):
            return f"{value} {formats.REMEDIES.get(name, f'has not the format {name}; correct it')}"
        case Kind.Minimum(limit):
            return f"{value} is less than the least allowed value, {limit}; use a greater one"
        case Kind.Maximum(limit):
            return f"{value} is greater than the greatest allowed value, {limit}; use a smaller one"
        case Kind.ExclusiveMinimum(limit):
            return f"{value} is not greater than {limit}; use a greater one"
        case Kind.ExclusiveMaximum(limit):
            return f"{value} is not less than {limit}; use a smaller one"
        case Kind.Pattern(pattern):
            return f"{value} does not match {one_line(pattern)}; correct it"
        case Kind.MinLength(limit):
            return f"{value} is shorter than {limit} characters; write at least as many"
        case Kind.MaxLength(limit):
            return f"{value} is longer than {limit} characters; shorten it"
        case Kind.MinItems(limit):
            return f"has fewer items than {limit}; add some"
        case Kind.MaxItems(limit):
            return f"has more items than {limit}; remove some"
        case Kind.MinProperties(limit):
            return f"has fewer fields than {limit}; add some"
        case Kind.MaxProperties(limit):
            return f"has more fields than {limit}; remove some"
        case Kind.UniqueItems():
            return "has an item twice; keep one of them"
        case Kind.Custom(_, message):
            return one_line(message, 200)
        case Kind.AnyOf() | Kind.OneOfNotValid():
            return f"{value} fits none of the allowed forms; see the schema of its kind"
        case Kind.OneOfMultipleValid():
            return "fits more than one of the forms that exclude each other; keep the fields of one"
        case _:
            return f"{value} is not allowed by the rule {error.kind.name!r} of its schema; correct it"


def _retype(value: Any, wanted: Sequence[str]) -> str:
    """What to do about a value of the wrong type."""
    if value is None:
        return "give it a value, or remove it"
    if "string" in wanted and isinstance(value, _SCALARS):
        return "put it in quotes"
    if isinstance(value, str) and value and {"integer", "number", "boolean"} & set(wanted):
        return "remove the quotes" if _reads_as(value, wanted) else "correct it"
    if "boolean" in wanted:
        return "write true or false"
    if "array" in wanted:
        return "write a list, each item on a line with '- '"
    if "object" in wanted:
        return "write a mapping, one 'name: value' to a line"
    return "correct it"


def _reads_as(text: str, wanted: Sequence[str]) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    if isinstance(value, bool):
        return "boolean" in wanted
    return isinstance(value, int) or (isinstance(value, float) and "number" in wanted)


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return one_line(json.dumps(value, ensure_ascii=False))
