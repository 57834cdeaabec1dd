"""Plain scalars.

Aspects: each spelling has the value that the API server gives it · what JSON cannot hold is refused · tags.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.render.scalars import Scalar, plain, tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # texts that YAML 1.1 takes for something else
        ("22:22", "22:22"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("1,000", "1,000"),
        ("0x", "0x"),
        ("0b", "0b"),
        ("0b12", "0b12"),
        ("0o8", "0o8"),
        ("0xG", "0xG"),
        ("1e", "1e"),
        ("e3", "e3"),
        (".", "."),
        ("-", "-"),
        ("+", "+"),
        ("--1", "--1"),
        ("inf", "inf"),
        ("nan", "nan"),
        (".infinity", ".infinity"),
        ("yEs", "yEs"),
        ("tRUE", "tRUE"),
        ("nULL", "nULL"),
        ("None", "None"),
        ("100m", "100m"),
        ("1Gi", "1Gi"),
        ("_1", "_1"),
        ("٣", "٣"),
        ("1\n", "1\n"),
        # booleans
        ("true", True),
        ("y", True),
        ("Y", True),
        ("yes", True),
        ("on", True),
        ("ON", True),
        ("false", False),
        ("n", False),
        ("no", False),
        ("off", False),
        # null
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        # integers
        ("0", 0),
        ("-0", 0),
        ("+1", 1),
        ("-1", -1),
        ("0o777", 511),
        ("0777", 511),
        ("-0777", -511),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("0x_1F", 31),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        # floats; whole ones are integers, as kubectl sends them
        ("08", 8),
        ("0.1", 0.1),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1.", 1),
        ("1.0", 1),
        ("1e3", 1000),
        ("12e03", 12000),
        ("1E-2", 0.01),
        ("-0.0", 0),
        ("1e300", 1e300),
        ("1e-999", 0),
    ],
)
def test_a_spelling_has_the_value_that_the_api_server_gives_it(text: str, value: Scalar) -> None:
    found = plain(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(".inf", id="infinite"),
        pytest.param("-.INF", id="minus-infinite"),
        pytest.param("+.Inf", id="plus-infinite"),
        pytest.param(".nan", id="not-a-number"),
        pytest.param("1e400", id="float-out-of-range"),
        pytest.param("-1e400", id="negative-float-out-of-range"),
        pytest.param("9" * 5000, id="endless-integer"),
        pytest.param("0x" + "f" * 5000, id="endless-hexadecimal"),
        pytest.param("0." + "1" * 5000, id="endless-fraction"),
        pytest.param("18446744073709551616", id="more-than-64-bits"),
        pytest.param("-9223372036854775809", id="less-than-64-bits"),
        pytest.param("0xFFFFFFFFFFFFFFFFF", id="hexadecimal-of-more-than-64-bits"),
    ],
)
def test_a_number_that_json_cannot_hold_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="quotes") as caught:
        plain(text)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [
        ("str", "123", "123"),
        ("str", "", ""),
        ("str", "true", "true"),
        ("int", "0x1F", 31),
        ("int", "-7", -7),
        ("float", "1.5", 1.5),
        ("float", "2", 2),
        ("bool", "yes", True),
        ("null", "", None),
        ("null", "~", None),
    ],
)
def test_a_tag_of_the_core_schema_is_obeyed(tag: str, text: str, value: Scalar) -> None:
    found = tagged(tag, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("int", "abc"),
        ("int", "true"),
        ("int", "1.5"),
        ("float", "no"),
        ("float", "x"),
        ("bool", "1"),
        ("null", "x"),
        ("binary", "aGk="),
        ("timestamp", "2020-01-01"),
        ("set", "x"),
        ("python/object/apply:os.system", "id"),
    ],
)
def test_a_tag_that_does_not_fit_or_is_not_known_is_refused(tag: str, text: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        tagged(tag, text)


@given(st.text())
def test_any_text_has_a_value_that_json_can_hold_or_is_refused(text: str) -> None:
    try:
        value = plain(text)
    except ValueError:
        return
    assert value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))


@given(st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_json_can_hold_is_read_as_itself(number: float) -> None:
    assert plain(repr(number)) == number
