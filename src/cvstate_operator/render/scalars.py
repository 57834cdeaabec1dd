"""Scalars as kubectl and the API server read them. Pure.

Source: the resolver of goyaml.v2 as sigs.k8s.io/yaml v1.6 uses it, then Go's JSON, then the API server's numbers (int64, else float64); asked of kubectl
v1.36.3 by tests/integration/test_yaml_parity.py. It differs from YAML 1.1 as PyYAML knows it: dates, `12:30:45` and `=` are strings, `y` and `on` are
booleans, `0o644`, `1e3` and `08` are numbers. Numbers that JSON or the API server cannot hold are refused where kubectl makes a string or infinity of them.
"""

import re
from decimal import Decimal
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
FIRST: Final = frozenset(("", *"0123456789+-.yYnNtTfFoO~"))
"""First characters of every plain scalar that is not a string; the empty one is null. Source: goyaml.v2 `resolveTable`."""

_INTEGER: Final = re.compile(r"([-+]?(0[bB][01]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)|0b[-+][01]+)\Z")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_STRAY_UNDERSCORE: Final = re.compile(r"(?<![0-9])_|_(?![0-9])")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")

_BASES: Final = {"0b": 2, "0o": 8, "0x": 16}

MAX_DIGITS: Final = 400
"""No number that JSON and a double can hold is longer; Python's own conversion of longer ones is quadratic."""
_INT64: Final = 2**63
_UINT64: Final = 2**64
_CACHE_ENTRIES: Final = 4096
_CACHE_CHARACTERS: Final = 64
"""Longest text the cache keeps, so that it holds less than 1 MB."""

_TAGS: Final[dict[str, tuple[type, ...]]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}

_cache: dict[str, Scalar] = {}


def plain(text: str) -> Scalar:
    """The value of an unquoted, untagged scalar.

    Raises:
        ValueError: a number that JSON cannot hold: `.inf`, `.nan`, an integer of more than 64 bits, a float out of range.
    """
    if text[:1] not in FIRST:
        return text
    try:
        return _cache[text]
    except KeyError:
        value = _as_json(_resolve(text))
    if len(_cache) < _CACHE_ENTRIES and len(text) <= _CACHE_CHARACTERS:
        _cache[text] = value
    return value


def tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with a tag of YAML's core schema (`int`, `float`, `bool`, `null`, `str`), quoted or not.

    Raises:
        ValueError: another tag, or a text that is none of that type.
    """
    return _as_json(_resolve_tagged(tag, text))


def key(text: str, tag: str | None = None) -> str:
    """The key that a scalar stands for: `1` is "1", `on` is "true", `1e6` is "1e+06", as in kubectl's JSON.

    Args:
        text: as written, unquoted unless it has a tag.
        tag: of the core schema; None for none.

    Raises:
        ValueError: null, a number that kubectl refuses or shortens as a key, or what `plain` and `tagged` refuse.
    """
    value = _resolve(text) if tag is None else _resolve_tagged(tag, text)
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError("a key must be a string, not null; put it in quotes")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value < _INT64:
        return str(value)
    # sigs.k8s.io/yaml writes float keys as Go's 'g' does, of 32 bits: the same as Python's up to six digits, and another number beyond.
    spelled = f"{value:g}"
    if isinstance(value, int) or float(spelled) != value or not (value == 0 or 1e-37 < abs(value) < 1e38):
        raise ValueError(f"key {text[:40]} is a number that kubectl does not keep as it is; put it in quotes")
    return spelled


def _resolve_tagged(tag: str, text: str) -> Scalar:
    if tag == "str":
        return text
    fits = _TAGS.get(tag)
    if fits is None:
        raise ValueError(f"tag !!{tag[:40]} is not allowed; write the value itself")
    value = _resolve(text)
    if not isinstance(value, fits) or (isinstance(value, bool) and tag != "bool"):
        raise ValueError(f"is no {tag} although tagged !!{tag}")
    return float(value) if tag == "float" and isinstance(value, int) else value


def _resolve(text: str) -> Scalar:
    """As goyaml.v2 does, before JSON: `1e3` is a float, integers have up to 64 bits with or without a sign."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in FIRST:
        return text
    # goyaml drops every underscore, but leaves a text that begins with a dot to Go's ParseFloat, which wants digits on both sides of each.
    if text[0] == "." and _STRAY_UNDERSCORE.search(text):
        return text
    number = text.replace("_", "")
    if _INTEGER.match(number):
        return _integer(number)
    if _FLOAT.match(number):
        return _float(number)
    if _NOT_FINITE.match(text):
        raise ValueError(f"{text} is no number that JSON can hold; put it in quotes if it is a text")
    return text


def _integer(text: str) -> int:
    _check_length(text)
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.removeprefix("+"))
    base = _BASES.get(digits[:2].lower())
    if base is not None:
        value = sign * int(digits[2:], base)
    else:
        value = sign * int(digits, 8 if digits[0] == "0" else 10)
    # Go's ParseUint takes no sign.
    if not -_INT64 <= value < (_INT64 if text[0] == "+" else _UINT64):
        raise ValueError("an integer of more than 64 bits; put it in quotes if it is a text")
    return value


def _float(text: str) -> float:
    _check_length(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        # Not told as it is written: it may be a Secret's.
        raise ValueError("a number that no double can hold; put it in quotes if it is a text")
    return value


def _as_json(value: Scalar) -> Scalar:
    """The number that the API server holds and gives back: 1.0 is 1, and from 2^63 on integers have the precision of a double."""
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, int) and value >= _INT64:
        return _shortest(float(value))
    return value


def _shortest(value: float) -> int | float:
    """Go writes a whole double below 1e21 with its shortest digits, filled up with zeros: 6.577395330136859e16 is 65773953301368590, not …592."""
    if not value.is_integer():
        return value
    whole = int(Decimal(repr(value))) if abs(value) < 1e21 else _UINT64
    return whole if -_INT64 <= whole < _UINT64 else value


def _check_length(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters; put it in quotes if it is a text")
