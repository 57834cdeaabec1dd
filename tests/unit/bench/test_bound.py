"""The lower bound: the necessary requests, and when one has been answered.

Aspects: new, changed, equal and gone objects · answers that come in pieces, by length and in chunks.
"""

import pytest

from bench.tools import NotOfferedError, make
from bench.tools.bound import requests
from bench.tools.sender import is_whole

BY_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
CHUNKED = b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def test_new_and_changed_objects_are_applied_gone_ones_deleted_equal_ones_left_alone():
    before = {"/a": {"v": 1}, "/b": {"v": 1}, "/c": {"v": 1}}
    after = {"/a": {"v": 1}, "/b": {"v": 2}, "/d": {"v": 1}}
    found = [(method, path.partition("?")[0], body) for method, path, body in requests(before, after)]
    assert found == [("PATCH", "/b", '{"v":2}'), ("PATCH", "/d", '{"v":1}'), ("DELETE", "/c", "")]


@pytest.mark.parametrize("answer", [BY_LENGTH, CHUNKED, EMPTY], ids=["by length", "chunked", "empty"])
def test_an_answer_ends_with_its_last_byte(answer: bytes):
    assert [length for length in range(len(answer) + 1) if is_whole(answer[:length])] == [len(answer)]


def test_a_width_is_part_of_the_name():
    assert make("bound-4").facts()["width"] == "4"
    assert make("bound-4").name == "bound-4"


def test_an_unknown_tool_is_not_made():
    with pytest.raises(KeyError):
        make("nobody-4")


def test_it_offers_no_restart():
    with pytest.raises(NotOfferedError):
        make("bound").restart()
