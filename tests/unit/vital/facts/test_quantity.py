"""Quantities as Kubernetes writes them.

Aspects: suffixes · exponents · exactness · what is no quantity.
"""

from decimal import Decimal
from typing import Any

import pytest

from cvstate_operator.vital.facts.quantity import quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("1", "1"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+3", "3"),
        ("-2", "-2"),
        ("500m", "0.5"),
        ("250u", "0.00025"),
        ("7n", "0.000000007"),
        ("2k", "2000"),
        ("1M", "1000000"),
        ("1G", "1000000000"),
        ("1T", "1e12"),
        ("1P", "1e15"),
        ("1E", "1e18"),
        ("1Ki", "1024"),
        ("128Mi", "134217728"),
        ("0.5Gi", "536870912"),
        ("1Ti", "1099511627776"),
        ("1Pi", "1125899906842624"),
        ("1Ei", "1152921504606846976"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("15e-1", "1.5"),
        (" 12 ", "12"),
        ("9223372036854775807", "9223372036854775807"),
    ],
)
def test_an_amount_is_read_exactly(text: str, amount: str):
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize(
    "value", ["", " ", "m", "1 Gi", "1KI", "1mi", "1e", "0x10", "١", "1e999999999", "9" * 50, "NaN", "Infinity", None, 3, True, []]
)
def test_anything_else_is_none(value: Any):
    assert quantity(value) is None
