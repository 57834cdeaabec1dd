"""Binary values: fields of built-in kinds that hold base64. The API server refuses others without naming the field."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from cvstate_operator.objects.identity import GroupKind

_FIELDS: Final = {GroupKind("", "Secret"): "data", GroupKind("", "ConfigMap"): "binaryData"}


def bad_base64(kind: GroupKind, body: Mapping[str, Any]) -> str:
    """Path of the first value that should be base64 and is not, as in `data.password`; empty if there is none."""
    field = _FIELDS.get(kind, "")
    values = body.get(field)
    if not isinstance(values, Mapping):
        return ""
    return next((f"{field}.{name}" for name, value in sorted(values.items()) if isinstance(value, str) and not _is_base64(value)), "")


def _is_base64(text: str) -> bool:
    """By Go's base64.StdEncoding: padded, and line ends are passed over."""
    try:
        base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
