"""Formats: texts whose form the type alone does not tell. Pure.

Source: apimachinery v0.36 `resource.ParseQuantity`, Go's `encoding/base64` and `time.RFC3339`; asked of an API server by tests/integration/test_check.py.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from cvstate_operator.objects.binary import is_base64

QUANTITY: Final = "quantity"
BASE64: Final = "k8s-base64"
TIME: Final = "k8s-time"
ANY_CASE_TIME: Final = "k8s-any-case-time"
"""`date-time` of a CRD, where `t` and `z` may be small letters."""

_QUANTITY: Final = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?\s*\Z")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}([.,]\d+)?(Z|[+-]\d{2}:\d{2})\Z", re.ASCII)


def is_quantity(text: str) -> bool:
    """Whether `text` is an amount as in `500m`, `1.5`, `128Mi` or `1e3`."""
    return _QUANTITY.match(text) is not None


def is_time(text: str) -> bool:
    """Whether `text` is a moment of RFC 3339 with a zone."""
    if not _TIME.match(text):
        return False
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    QUANTITY: is_quantity,
    BASE64: is_base64,
    TIME: is_time,
    ANY_CASE_TIME: lambda text: is_time(text.upper()),
}
"""Every format of ours by its name in the schemas."""

_NO_TIME: Final = "is no RFC 3339 time; write it as in 2026-01-31T12:00:00Z"
REMEDIES: Final[Mapping[str, str]] = {
    QUANTITY: "is no quantity; write it as in 500m, 1.5 or 128Mi",
    BASE64: "is not base64; encode it, or for a Secret use stringData",
    TIME: _NO_TIME,
    ANY_CASE_TIME: _NO_TIME,
}
"""What is wrong, and what to do, by format."""
