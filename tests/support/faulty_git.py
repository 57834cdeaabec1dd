"""A Git server that misbehaves as told, in front of real repositories: `server.fault = hang`, and None when it is to be good again.

A fault is a coroutine function of the server and one request. It may answer itself, or take what git's own http-backend answers and spoil it.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from cvstate_operator.cli.demo.git_server import GitServer
from tests.support.waiting import until

_ADVERTISEMENT: Final = "/info/refs"
_BAND_BYTES: Final = 65_515
"""Most data of one side-band-64k packet. Source: gitprotocol-pack(5)."""
_LONG_SECONDS: Final = 3600.0
_MADE_UP: Final = "0123456789abcdef0123456789abcdef01234567"


class FaultyGit(GitServer):
    """See the module."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fault: Fault | None = None
        """What is wrong now; may be changed at any time, and counts from the next request on."""
        self._under_way = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As the fault of the moment says; without one, well."""
        self._under_way += 1
        try:
            return await (self.fault(self, request) if self.fault else super().answer(request))
        finally:
            self._under_way -= 1

    def turn_bad(self, fault: "Fault") -> None:
        """Have this fault for all that is pushed from now on: what was asked before is answered, well, when this returns."""
        self.fault = fault
        until("what was asked before is answered", lambda: not self._under_way)

    async def real(self, request: web.Request, *, body: bytes | None = None) -> tuple[web.StreamResponse, bytes]:
        """What git answers: head and content. `body` replaces that of the request."""
        sent = await request.read() if body is None else body
        process = await asyncio.create_subprocess_exec(
            *("git", "http-backend"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self.environment(request),
        )
        head, _, content = (await process.communicate(sent))[0].partition(b"\r\n\r\n")
        kind = re.search(rb"Content-Type: (\S+)", head)
        assert kind, head
        return web.StreamResponse(headers={"Content-Type": kind[1].decode(), "Content-Length": str(len(content))}), content


Fault = Callable[[FaultyGit, web.Request], Awaitable[web.StreamResponse]]


# -- faults of the connection --------------------------------------------------------------------------------------------


async def hang(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """Take the request, and never answer."""
    await asyncio.sleep(_LONG_SECONDS)
    raise web.HTTPGatewayTimeout


async def drip(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """One byte a second: never silent for long, and never done."""
    response, content = await server.real(request)
    await response.prepare(request)
    for byte in content:
        await response.write(bytes((byte,)))
        await asyncio.sleep(1)
    return response


async def truncated(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """The pack ends in its middle, with the connection."""
    response, content = await server.real(request)
    await response.prepare(request)
    if _is_advertisement(request):
        await response.write(content)
        return response
    await response.write(content[: len(content) // 2])
    assert request.transport
    request.transport.close()
    return response


async def endless(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """Refs that never end: about 6 MB a second, until the client goes."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-git-upload-pack-advertisement"})
    await response.prepare(request)
    await response.write(_advertised([("refs/heads/main", _MADE_UP)])[:-4])
    for number in range(int(_LONG_SECONDS * 100)):
        await response.write(b"".join(_packet(f"{_MADE_UP} refs/heads/b{number}-{i}\n".encode()) for i in range(1000)))
        await asyncio.sleep(0.01)
    return response


# -- faults of the content -----------------------------------------------------------------------------------------------


async def corrupt(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """Bytes in the middle of the pack are turned over."""
    return await _with_pack(server, request, _turned_over)


async def wrong_checksum(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """The pack is sound but for the hash at its end."""
    return await _with_pack(server, request, lambda pack: pack[:-20] + bytes(byte ^ 0xFF for byte in pack[-20:]))


async def resealed(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """Bytes in the middle of the pack are turned over, and its hash is right again."""

    def change(pack: bytes) -> bytes:
        spoilt = _turned_over(pack)[:-20]
        return spoilt + hashlib.sha1(spoilt, usedforsecurity=False).digest()

    return await _with_pack(server, request, change)


async def wrong_hash(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """The branch is said to be at a commit that is not there; whoever wants it gets another one."""
    main = await _main(server, request)
    if _is_advertisement(request):
        return _refs([("refs/heads/main", _MADE_UP)])
    body = (await request.read()).replace(_MADE_UP.encode(), main.encode())
    response, content = await server.real(request, body=body)
    return await _send(request, response, content)


def refs(*names: str) -> Fault:
    """These refs beside the real branch main, all at its commit."""

    async def fault(server: FaultyGit, request: web.Request) -> web.StreamResponse:
        if not _is_advertisement(request):
            return await _send(request, *await server.real(request))
        main = await _main(server, request)
        return _refs([("refs/heads/main", main), *((name, main) for name in names)])

    return fault


# -- faults of HTTP --------------------------------------------------------------------------------------------------------


def status(code: int, headers: Mapping[str, str] | None = None) -> Fault:
    """Nothing but this status."""

    async def fault(server: FaultyGit, request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return fault


def redirect(location: str) -> Fault:
    """Always there, with the rest of the path and the query."""

    async def fault(server: FaultyGit, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location + request.path_qs})

    return fault


async def redirect_loop(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """Twenty hops on this host, then the answer."""
    hop = int(request.query.get("hop", "0"))
    if hop >= 20:
        return await _send(request, *await server.real(request))
    return web.Response(status=302, headers={"Location": str(request.rel_url.update_query(hop=str(hop + 1)))})


async def html(server: FaultyGit, request: web.Request) -> web.StreamResponse:
    """A friendly page, with 200: a portal, a login form."""
    return web.Response(text="<!DOCTYPE html><html><body>Please log in</body></html>", content_type="text/html")


# -- Git's wire format -------------------------------------------------------------------------------------------------------


def _is_advertisement(request: web.Request) -> bool:
    return request.path.endswith(_ADVERTISEMENT)


async def _send(request: web.Request, response: web.StreamResponse, content: bytes) -> web.StreamResponse:
    await response.prepare(request)
    await response.write(content)
    return response


async def _main(server: FaultyGit, request: web.Request) -> str:
    """The commit of the branch main of the repository that is asked for."""
    directory = server.directory(request)
    process = await asyncio.create_subprocess_exec(
        "git", "-C", str(directory), "rev-parse", "refs/heads/main", stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode().strip()


async def _with_pack(server: FaultyGit, request: web.Request, change: Callable[[bytes], bytes]) -> web.StreamResponse:
    """The real answer, with another pack in it."""
    response, content = await server.real(request)
    if _is_advertisement(request):
        return await _send(request, response, content)
    packets = list(_packets(content))
    # Shallow commits and NAK come before the pack, progress beside it, a flush after it.
    before = [packet for packet in packets[:-1] if packet[:1] not in (b"\x01", b"\x02")]
    pack = change(b"".join(packet[1:] for packet in packets if packet[:1] == b"\x01"))
    bands = [b"\x01" + pack[i : i + _BAND_BYTES] for i in range(0, len(pack), _BAND_BYTES)]
    changed = b"".join(_packet(packet) if packet else b"0000" for packet in (*before, *bands, b""))
    response.headers["Content-Length"] = str(len(changed))
    return await _send(request, response, changed)


def _turned_over(pack: bytes) -> bytes:
    middle = len(pack) // 2
    return pack[:middle] + bytes(byte ^ 0xFF for byte in pack[middle : middle + 8]) + pack[middle + 8 :]


def _refs(entries: list[tuple[str, str]]) -> web.Response:
    return web.Response(body=_advertised(entries), content_type="application/x-git-upload-pack-advertisement")


def _advertised(entries: list[tuple[str, str]]) -> bytes:
    """Refs as protocol version 0 lists them. Source: gitprotocol-http(5)."""
    (first, oid), *rest = entries
    capabilities = "multi_ack_detailed no-done thin-pack side-band-64k ofs-delta shallow allow-reachable-sha1-in-want agent=git/2"
    lines = [_packet(f"{oid} {first}".encode() + b"\0" + capabilities.encode() + b"\n")]
    lines += [_packet(f"{oid} {name}\n".encode()) for name, oid in rest]
    return _packet(b"# service=git-upload-pack\n") + b"0000" + b"".join(lines) + b"0000"


def _packet(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data


def _packets(content: bytes) -> Iterator[bytes]:
    """Contents of pkt-lines; a flush packet is empty."""
    at = 0
    while at < len(content):
        size = max(int(content[at : at + 4], 16), 4)
        yield content[at + 4 : at + size]
        at += size
