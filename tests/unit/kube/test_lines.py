"""Lines of a watch, in whatever pieces they come."""

from collections.abc import AsyncIterator

import pytest

from cvstate_operator import errors
from cvstate_operator.kube import client


class Stream:
    """What comes from the server."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def iter_any(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


async def lines(*chunks: bytes) -> list[bytes]:
    return [line async for line in client._lines(Stream(*chunks))]  # type: ignore[arg-type]


TEXT = b'{"a": 1}\n\n{"b": "' + b"x" * 5000 + b'"}\n{"c": 3}\n'


@pytest.mark.parametrize("piece", [1, 2, 7, 100, 100_000])
async def test_lines_are_the_same_in_whatever_pieces_they_come(piece: int) -> None:
    chunks = [TEXT[at : at + piece] for at in range(0, len(TEXT), piece)]
    assert await lines(*chunks) == [line for line in TEXT.split(b"\n") if line]


async def test_what_does_not_end_in_a_line_break_is_no_line() -> None:
    assert await lines(b"one\ntw", b"o") == [b"one"]


async def test_a_line_without_end_is_refused_however_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_LINE_BYTES", 10_000)
    for piece in (1, 999, 20_000):
        with pytest.raises(errors.NetworkError, match="a line of it is longer"):
            await lines(*[b"x" * piece] * (20_000 // piece + 1))
