"""Armor and packet boundaries of OpenPGP, read before any OpenPGP library sees the bytes.

Such a library unpacks what it is given: a signature of 64 KiB may hold compressed data of gigabytes, nested. `openpgp.py` lets through only the packets
it expects, each with its length said outright.

Source: RFC 9580 4.2 (packet headers), 6.2 (armor).
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

_BLOCK: Final = re.compile(
    rb"-----BEGIN PGP (?P<kind>[A-Z ]{1,30})-----[ \t]*\n(?:[A-Za-z]{1,30}: [^\n]{0,200}\n)*[ \t]*\n"
    rb"(?P<data>(?:[A-Za-z0-9+/=]{1,200}\n)+?)(?:=[A-Za-z0-9+/]{4}\n)?-----END PGP (?P=kind)-----[ \t]*\n+"
)
"""One armored block (RFC 9580 6.2). Its checksum is passed over, as that section asks: the signatures inside are the better one."""


def unarmor(data: bytes, kind: bytes) -> Iterator[bytes]:
    """The content of each armored block; around the blocks only blanks.

    Raises:
        ValueError: it is no sequence of such blocks.
    """
    at = 0
    data = data.strip() + b"\n"
    if data == b"\n":
        raise ValueError("is empty")
    while at < len(data):
        block = _BLOCK.match(data, at)
        if block is None:
            raise ValueError("is not armored text, or is damaged")
        if b"PRIVATE KEY" in block["kind"]:
            raise ValueError("holds a private key, which must not be there")
        if block["kind"] != kind:
            raise ValueError(f"holds a PGP {block['kind'].decode()}, not a {kind.decode()}")
        try:
            yield base64.b64decode(block["data"].replace(b"\n", b""), validate=True)
        except binascii.Error:
            raise ValueError("is damaged") from None
        at = block.end()


def packets(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of each packet, none of them of a length that is told in parts (RFC 9580 4.2).

    Raises:
        ValueError: the lengths do not fit.
    """
    at = 0
    while at < len(data):
        start, first = at, data[at]
        if not first & 0x80:
            raise ValueError("is damaged")
        if first & 0x40:
            tag = first & 0x3F
            length, size = _new_length(data[at + 1 : at + 6])
        else:
            tag, size = first >> 2 & 0x0F, (1, 2, 4, 0)[first & 3]
            if not size:
                raise ValueError("has a packet without a length")
            length = int.from_bytes(data[at + 1 : at + 1 + size], "big")
        at += 1 + size + length
        if at > len(data):
            raise ValueError("ends too early")
        yield tag, start, at


def _new_length(head: bytes) -> tuple[int, int]:
    if head and head[0] < 192:
        return head[0], 1
    if len(head) >= 2 and head[0] < 224:
        return (head[0] - 192 << 8) + head[1] + 192, 2
    if len(head) >= 5 and head[0] == 255:
        return int.from_bytes(head[1:5], "big"), 5
    raise ValueError("has a packet whose length is told in parts")
