"""Plain scalars as kubectl and the API server read them. Pure.

Source: the resolver of goyaml.v2 as sigs.k8s.io/yaml uses it; asked of kubectl v1.36 scalar by scalar in tests/integration/test_yaml_parity.py.
It differs from YAML 1.1 as PyYAML knows it: dates, `12:30:45` and `=` are strings, `y` and `on` are booleans, `0o644`, `1e3` and `08` are numbers.
"""

import re
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_FIRST: Final = frozenset("0123456789+-.yYnNtTfFoO~")
"""Every plain scalar that is not a string begins with one of these."""

_INTEGER: Final = re.compile(r"[-+]?(0[bB][01]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")

MAX_DIGITS: Final = 400
"""No number that JSON and a double can hold is longer; Python's own conversion of longer ones is quadratic."""
_LARGEST_INTEGER: Final = 2.0**63
_CACHE_ENTRIES: Final = 4096

_TAGS: Final[dict[str, tuple[type, ...]]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}

_cache: dict[str, Scalar] = {}


def plain(text: str) -> Scalar:
    """The value of an unquoted, untagged scalar.

    Raises:
        ValueError: a number that JSON cannot hold: `.inf`, `.nan`, an integer of more than 64 bits, a float out of range.
    """
    if text and text[0] not in _FIRST:
        return text
    try:
        return _cache[text]
    except KeyError:
        value = _resolve(text)
    if len(_cache) < _CACHE_ENTRIES:
        _cache[text] = value
    return value


def tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with a tag of YAML's core schema (`int`, `float`, `bool`, `null`, `str`).

    Raises:
        ValueError: another tag, or a text that is none of that type.
    """
    if tag == "str":
        return text
    value = _resolve(text)
    fits = _TAGS.get(tag)
    if fits is None:
        raise ValueError(f"tag !!{tag} is not allowed; write the value itself")
    if not isinstance(value, fits) or (isinstance(value, bool) and tag != "bool"):
        raise ValueError(f"is no {tag} although tagged !!{tag}")
    return value


def _resolve(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
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
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    prefix = digits[:2].lower()
    if prefix in ("0b", "0o", "0x"):
        value = int(digits, 0)
    else:
        value = int(digits, 8 if digits[0] == "0" else 10)
    value *= sign
    if not -(2**63) <= value < 2**64:
        raise ValueError("an integer of more than 64 bits; put it in quotes if it is a text")
    return value


def _float(text: str) -> int | float:
    _check_length(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is out of the range of numbers; put it in quotes if it is a text")
    # The API server is sent JSON by kubectl, where 1.0 is 1.
    return int(value) if value.is_integer() and abs(value) < _LARGEST_INTEGER else value


def _check_length(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters; put it in quotes if it is a text")
