"""Nesting.

Aspects: what is deep but can be read · what cannot be read whole · strings that look like nesting · what is no JSON · cutting values.
"""

import orjson
import pytest

from cvstate_operator.kube import nesting


def nested(levels: int, core: str = "1") -> str:
    return '{"x":' * levels + core + "}" * levels


def depth(value: object) -> int:
    levels = 0
    while isinstance(value, dict):
        value, levels = value["x"], levels + 1
    return levels


@pytest.mark.parametrize("levels", [1, 200, 1000])
def test_what_can_be_read_is_read_whole(levels: int) -> None:
    assert depth(nesting.read(nested(levels).encode())) == levels


@pytest.mark.parametrize("levels", [1100, 10_000])
def test_what_is_too_deep_to_be_read_is_null_and_all_beside_it_is_there(levels: int) -> None:
    found = nesting.read(f'{{"before": [1], "deep": {nested(levels)}, "after": {{"y": "z"}}}}'.encode())
    assert (found["before"], found["after"]) == ([1], {"y": "z"})
    assert depth(found["deep"]) == nesting.LEVELS - 1


@pytest.mark.parametrize("levels", [1100, 5000])
def test_lists_are_cut_as_well(levels: int) -> None:
    assert nesting.read(b'{"a":' + b"[" * levels + b"]" * levels + b"}")["a"]


def test_brackets_and_quotes_in_strings_do_not_count() -> None:
    text = '{"[[{{": "\\"]]}}\\\\"}'
    found = nesting.read(f'{{"deep": {nested(1100, text)}, "beside": {text}}}'.encode())
    assert found["beside"] == {"[[{{": '"]]}}\\'}


@pytest.mark.parametrize("payload", [b"", b"{", b"[" * 5000, b"<html>", nested(1100).encode()[:-1]])
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        nesting.read(payload)


def test_a_value_is_cut_so_that_it_can_be_written() -> None:
    value = orjson.loads(nested(900))
    with pytest.raises(TypeError):
        orjson.dumps(value)
    cut = nesting.cut(value)
    assert depth(cut) == nesting.LEVELS
    assert orjson.dumps(cut)
    assert depth(value) == 900, "the argument is left as it is"
