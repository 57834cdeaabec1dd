"""Quantities: amounts as Kubernetes writes them, `500m`, `1.5`, `128Mi`, `1e3`, read as exact decimals.

Source: apimachinery v0.36, `resource.Quantity`, its grammar and suffixes.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?", re.ASCII
)
"""Forty digits are more than the API server keeps (2**63 - 1 at most, and down to nano)."""

_FACTORS: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def quantity(value: Any) -> Decimal | None:
    """The amount that a text stands for, exact to 28 digits; None if it is no quantity."""
    found = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    suffix = found["suffix"] or ""
    factor = _FACTORS.get(suffix)
    return Decimal(found["number"]) * (factor if factor is not None else Decimal(f"1{suffix}"))
