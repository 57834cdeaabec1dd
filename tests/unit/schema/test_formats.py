"""Formats.

Aspects: quantities · base64 · times.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.binary import is_base64
from cvstate_operator.schema import formats


@pytest.mark.parametrize("text", ["1", "0.5", ".5", "5.", "-1", "+1", "500m", "128Mi", "1e3", "1E-3", "2G", "1n", "1u", " 1 "])
def test_an_amount_is_a_quantity(text: str):
    assert formats.is_quantity(text)


@pytest.mark.parametrize("text", ["", ".", "1.5x", "Mi", "1 Gi", "1MI", "1e", "one", "0x10", "1,5", "1.2.3", "٣"])
def test_anything_else_is_none(text: str):
    assert not formats.is_quantity(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.sampled_from(["", "m", "k", "Ki", "Gi", "E", "e3"]))
def test_every_decimal_with_a_suffix_is_a_quantity(number, suffix: str):
    assert formats.is_quantity(f"{number:f}{suffix}")


@pytest.mark.parametrize(("text", "is_good"), [("", True), ("aGk=", True), ("aG\nk=\r\n", True), ("aGk", False), ("a b=", False), ("aG-_", False), ("ä===", False)])  # fmt: skip
def test_base64_is_padded_and_of_the_standard_alphabet(text: str, is_good: bool):
    assert is_base64(text) is is_good


@given(st.text())
def test_no_text_makes_a_format_fail(text: str):
    assert {check(text) for check in formats.CHECKS.values()} <= {True, False}


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456789+01:00"])
def test_a_moment_with_a_zone_is_a_time(text: str):
    assert formats.is_time(text)


@pytest.mark.parametrize(
    "text", ["", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-13-31T12:00:00Z", "2026-01-31t12:00:00z"]
)
def test_a_day_or_a_moment_without_a_zone_is_none(text: str):
    assert not formats.is_time(text)


def test_in_a_custom_resource_letters_of_a_time_may_be_small():
    assert formats.CHECKS[formats.ANY_CASE_TIME]("2026-01-31t12:00:00z")
