"""Makes the browser's pictures a third of their size: 256 colours in place of millions, of which a page with flat colours needs few.

Source: PNG specification (third edition): 7.2 scanlines, 9 filtering, 11.2.2 PLTE.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {2: 3, 6: 4}
"""Bytes of a pixel by colour type: RGB, RGBA."""
COLORS: Final = 256


def shrink(file: Path) -> None:
    """Write a picture anew with a palette; what is behind a transparent pixel is lost.

    Raises:
        ValueError: it is no PNG of eight bits a channel without interlacing, as browsers make them.
    """
    data = file.read_bytes()
    named = dict(chunks(data))
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", named[b"IHDR"])
    if depth != 8 or kind not in _CHANNELS or interlace:
        raise ValueError(f"{file} is a PNG of another kind than browsers make")
    packed = b"".join(content for name, content in chunks(data) if name == b"IDAT")
    size = _CHANNELS[kind]
    lines = list(_unfiltered(zlib.decompress(packed), width * size, size))
    counts: Counter[bytes] = Counter()
    for line in lines:
        counts.update(_pixels(line, size))
    palette = [color for color, _ in counts.most_common(COLORS)]
    place = {color: _nearest(color, palette) if number >= COLORS else number for number, (color, _) in enumerate(counts.most_common())}
    # Lines of indexes are packed best as they are: neighbours with close numbers have nothing in common.
    rows = b"".join(b"\0" + bytes(place[pixel] for pixel in _pixels(line, size)) for line in lines)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    file.write_bytes(_SIGNATURE + b"".join(_chunk(name, content) for name, content in parts))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the parts of a PNG, in order.

    Raises:
        ValueError: it is none.
    """
    if not data.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    at = len(_SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _pixels(line: bytes, size: int) -> Iterator[bytes]:
    """Red, green and blue of each."""
    return (line[at : at + 3] for at in range(0, len(line), size))


def _unfiltered(data: bytes, length: int, size: int) -> Iterator[bytes]:
    """Lines as they were before their filter: None, Sub, Up, Average, Paeth."""
    above = bytes(length)
    for at in range(0, len(data), length + 1):
        kind, line = data[at], bytearray(data[at + 1 : at + 1 + length])
        if kind == 1:
            for i in range(size, length):
                line[i] = (line[i] + line[i - size]) & 255
        elif kind == 2:
            line = bytearray((new + up) & 255 for new, up in zip(line, above, strict=True))
        elif kind == 3:
            for i in range(length):
                line[i] = (line[i] + ((line[i - size] if i >= size else 0) + above[i]) // 2) & 255
        elif kind == 4:
            for i in range(length):
                left, corner = (line[i - size], above[i - size]) if i >= size else (0, 0)
                line[i] = (line[i] + _paeth(left, above[i], corner)) & 255
        above = bytes(line)
        yield above


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    to_left, to_up, to_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


def _nearest(color: bytes, palette: list[bytes]) -> int:
    return min(range(len(palette)), key=lambda place: sum((one - other) ** 2 for one, other in zip(color, palette[place], strict=True)))
