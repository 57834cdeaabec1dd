"""Plain scalars.

Aspects: each spelling has the value that the API server gives it · what JSON cannot hold is refused · tags · keys.
"""

import math
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.render import scalars
from cvstate_operator.render.scalars import Scalar, key, plain, tagged


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
        ("0b+1", 1),
        ("-_1", -1),
        ("9223372036854775807", 2**63 - 1),
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
        (".0_5", 0.05),
        (".5_", ".5_"),
        ("._5", "._5"),
        ("-._5", -0.5),
        # from 2^53 on a whole double is what Go writes for it, and from 2^63 on every integer is a double
        ("6.577395330136859e+16", 65773953301368590),
        ("9223372036854775808", 9223372036854776000),
        ("0x8000000000000000", 9223372036854776000),
        ("18446744073709551615", 1.8446744073709552e19),
        ("-9.3e18", -9.3e18),
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
        pytest.param("+9223372036854775808", id="signed-integer-of-more-than-63-bits"),
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
        ("float", "0x520e9f68926082", 23097025907286144),
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
        ("int", "3.0"),
        ("int", "08"),
        ("float", "_5"),
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


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_json_can_hold_is_read_as_itself(number: float) -> None:
    found = plain(repr(number))
    assert found == number or (isinstance(number, float) and float(str(found)) == number)


@given(st.floats(allow_nan=False, allow_infinity=False).filter(float.is_integer))
def test_a_whole_double_is_what_comes_back_from_the_api_server(number: float) -> None:
    # Go's JSON writes doubles below 1e21 without an exponent, as their shortest digits and zeros.
    sent = f"{Decimal(repr(number)):f}" if abs(number) < 1e21 else repr(number)
    assert plain(repr(number)) == orjson.loads(sent)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", "a"),
        ("1", "1"),
        ("-0", "0"),
        ("0x10", "16"),
        ("on", "true"),
        ("n", "false"),
        ("1.5", "1.5"),
        ("1.10", "1.1"),
        ("1.0", "1"),
        ("-0.0", "-0"),
        ("08", "8"),
        ("100000.0", "100000"),
        ("1e6", "1e+06"),
        ("1e-5", "1e-05"),
        ("2020-01-01", "2020-01-01"),
        ("22:22", "22:22"),
    ],
)
def test_a_key_is_spelled_as_kubectl_spells_it(text: str, found: str) -> None:
    assert key(text) == found


@pytest.mark.parametrize("text", ["", "~", "1234567.5", "46.0722832172465", "1e300", "1e-40", "18446744073709551615", ".inf", "1e400"])
def test_a_key_that_kubectl_does_not_keep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quotes"):
        key(text)


def test_a_tag_holds_for_keys_too() -> None:
    assert (key("1", "str"), key("0x1F", "int"), key("yes", "bool")) == ("1", "31", "true")
    with pytest.raises(ValueError, match="tag"):
        key("aGk=", "binary")


def test_long_texts_are_not_remembered() -> None:
    long = "1" * 300 + "x"
    assert plain(long) == long
    assert long not in scalars._cache
