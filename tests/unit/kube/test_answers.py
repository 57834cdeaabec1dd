"""How an answer is read from what comes over the wire.

Aspects: a length · chunks, in whatever pieces they come · the end of the connection · gzip · what only says to wait · what is no HTTP · more than a server may send that a tenant chose.
"""

import zlib
from collections.abc import Callable

import pytest

from cvstate_operator.kube.answers import MAX_HEAD_BYTES, Answer, Answering, WireError, too_large

SIZED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a": 12}'
CHUNKED = b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4;why=not\r\n{"a"\r\n5\r\n: 12}\r\n0\r\n\r\n'
TRAILED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"a": 12}\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n'


def read(data: bytes, *, piece: int = 0) -> Answer | None:
    answering = Answering()
    found = None
    step = piece or len(data)
    for at in range(0, len(data), step):
        assert found is None, "it ended too early"
        found = answering.feed(data[at : at + step])
    assert found is None or found.unpack()
    return found


@pytest.mark.parametrize("piece", [0, 1, 2, 3, 7, 40])
@pytest.mark.parametrize("data", [SIZED, CHUNKED, TRAILED], ids=["sized", "chunked", "with-trailers"])
def test_an_answer_is_whole_with_its_last_byte_and_not_before(data: bytes, piece: int) -> None:
    answer = read(data, piece=piece)
    assert answer is not None
    assert answer.body == b'{"a": 12}'
    assert answer.status in (200, 201)


@pytest.mark.parametrize("data", [SIZED, CHUNKED, TRAILED], ids=["sized", "chunked", "with-trailers"])
def test_without_its_last_byte_an_answer_is_none(data: bytes) -> None:
    answering = Answering()
    assert answering.feed(data[:-1]) is None
    assert answering.end() is None


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    answering = Answering()
    assert answering.feed(b"HTTP/1.0 200 OK\r\n\r\nsome") is None
    assert answering.feed(b" text") is None
    answer = answering.end()
    assert answer
    assert answer.body == b"some text"
    assert answer.is_last


def test_an_answer_in_a_coding_that_nobody_asked_for_is_none() -> None:
    answering = Answering()
    assert answering.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nabc") is None
    assert answering.end() is None


@pytest.mark.parametrize(("header", "is_last"), [("", False), ("Connection: close\r\n", True), ("Connection: keep-alive\r\n", False)])
def test_the_server_says_whether_it_closes_the_connection(header: str, is_last: bool) -> None:
    answer = read(f"HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n".encode())
    assert answer
    assert answer.is_last is is_last


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body(status: str) -> None:
    answer = read(f"HTTP/1.1 {status}\r\nContent-Length: 7\r\n\r\n".encode())
    assert answer
    assert answer.body == b""


def test_names_of_headers_are_in_lower_case() -> None:
    answer = read(b"HTTP/1.1 429 Too Many Requests\r\nRETRY-After:  3 \r\nContent-Length: 0\r\n\r\n")
    assert answer
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")


def test_what_is_packed_is_unpacked() -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    packed = packer.compress(b"text " * 100) + packer.flush()
    answer = read(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    assert answer
    assert answer.body == b"text " * 100


def test_what_only_says_to_wait_is_passed_over() -> None:
    answer = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED, piece=11)
    assert answer
    assert (answer.status, answer.body) == (200, b'{"a": 12}')


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 twohundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsize\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        SIZED + b"HTTP/1.1 200 OK",
        b"x" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        read(data)


def test_of_a_long_answer_in_chunks_nothing_is_lost() -> None:
    chunks = [bytes([65 + number % 26]) * 20_000 for number in range(30)]
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    answer = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data + b"0\r\n\r\n", piece=16_384)
    assert answer
    assert answer.body == b"".join(chunks)


# -- an answer of a server that somebody chose -------------------------------------------------------------------------

LIMIT = 1000


def limited(data: bytes, *, piece: int = 100) -> Answer | None:
    answering = Answering(max_bytes=LIMIT)
    found = None
    for at in range(0, len(data), piece):
        found = answering.feed(data[at : at + piece])
    found = found or answering.end()
    if found and not found.unpack(LIMIT):
        raise too_large(LIMIT)
    return found


def gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    packed = packer.compress(body) + packer.flush()
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


def plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def open_ended(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n\r\n" + body


@pytest.mark.parametrize("form", [plain, open_ended])
@pytest.mark.parametrize("piece", [1, 100, 100_000])
def test_an_answer_as_long_as_it_may_be_is_taken(form: Callable[[bytes], bytes], piece: int) -> None:
    answer = limited(form(b"x" * LIMIT), piece=piece)
    assert answer
    assert len(answer.body) == LIMIT


@pytest.mark.parametrize("form", [plain, open_ended, gzipped])
@pytest.mark.parametrize("piece", [1, 100, 100_000])
def test_a_longer_one_is_refused_also_when_it_is_packed(form: Callable[[bytes], bytes], piece: int) -> None:
    with pytest.raises(WireError, match="larger than"):
        limited(form(b"x" * (100 * LIMIT)), piece=piece)


def test_a_packed_one_that_is_cut_off_is_none() -> None:
    packed = gzipped(b"text " * 100)
    _, _, body = packed.partition(b"\r\n\r\n")
    cut = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(body) - 8) + body[:-8]
    with pytest.raises(WireError):
        limited(cut)


@pytest.mark.parametrize("form", [plain, gzipped])
def test_of_our_own_server_any_length_is_taken(form: Callable[[bytes], bytes]) -> None:
    answer = read(form(b"x" * (100 * LIMIT)), piece=10_000)
    assert answer
    assert len(answer.body) == 100 * LIMIT
