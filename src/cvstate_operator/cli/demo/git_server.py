"""A real Git server over HTTP or HTTPS on the loopback interface: git's own http-backend behind an aiohttp front, in a thread of its own."""

import asyncio
import contextlib
import os
import ssl
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from cvstate_operator.cli.demo.loopback import HOST, LoopbackServer

_IDENTITY: Final = {
    "GIT_AUTHOR_NAME": "demo",
    "GIT_AUTHOR_EMAIL": "demo@example.test",
    "GIT_COMMITTER_NAME": "demo",
    "GIT_COMMITTER_EMAIL": "demo@example.test",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Repository:
    """A working repository on disk; whatever is committed here the server serves at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "uploadpack.allowReachableSHA1InWant", "true")

    def commit(self, files: Mapping[str, str | None], message: str = "change", *, allow_empty: bool = False) -> str:
        """Write files (None removes one), commit everything, and return the commit id."""
        for name, text in files.items():
            path = self.directory / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, *(("--allow-empty",) if allow_empty else ()))
        return self.git("rev-parse", "HEAD").strip()

    def sign_with(self, private_key: Path) -> None:
        """Sign every commit from now on with this SSH key, also those that a person makes in the directory."""
        for name, value in {"gpg.format": "ssh", "user.signingKey": str(private_key), "commit.gpgSign": "true"}.items():
            self.git("config", name, value)

    def amend(self) -> str:
        """Make the last commit anew, with the same changes and message, and return its new id."""
        self.git("commit", "-q", "--amend", "--no-edit")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *args: str) -> str:
        """Run git here and return what it prints.

        Raises:
            subprocess.CalledProcessError: git failed.
        """
        # Without variables such as GIT_DIR, which a git hook sets: they would lead to another repository.
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _IDENTITY
        return subprocess.run(("git", *args), cwd=self.directory, env=env, check=True, capture_output=True, text=True).stdout


class Request(NamedTuple):
    """One request that a Git server got."""

    method: str
    path: str
    """Without the query."""
    scheme: str | None
    """First word of the Authorization header; None if there was none."""


class GitServer(LoopbackServer):
    """Serves every repository below a directory at http://127.0.0.1:PORT/NAME."""

    def __init__(self, root: Path, *, port: int = 0, tls: ssl.SSLContext | None = None, authorization: str = "") -> None:
        """
        Args:
            root: where the repositories are; one that is served by another server too may be shared.
            port: to listen on; 0 takes a free one.
            tls: makes it https; the context says which certificate is shown and whether clients need one.
            authorization: value that the Authorization header must have; empty: anybody may read. May be changed later.
        """
        super().__init__(name="git server", port=port)
        self._root = root
        self._tls = tls
        self.authorization = authorization
        self.redirects: dict[str, str] = {}
        """Begin of a path → where such requests are sent instead; the rest of the path and the query are kept."""
        self.requests: list[Request] = []
        """All that came so far, also what was refused."""

    def repository(self, name: str) -> Repository:
        """A new, empty repository; its address is `url(name)`."""
        return Repository(self._root / name)

    def url(self, name: str, *, host: str = HOST) -> str:
        """Where a repository is served; `host` is another name of this machine."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/{name}"

    def asked(self, name: str) -> list[Request]:
        """The requests so far that were about one repository."""
        return [request for request in self.requests if f"{request.path}/".startswith(f"/{name}/")]

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self._receive)
        # The body stays as it comes: http-backend undoes the client's gzip itself. Nobody waits for a client that is in no hurry when it ends.
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port, ssl_context=self._tls).start()
            self.port = runner.addresses[0][1]
            self._bound.set()
            await self._stopped.wait()
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        self.requests.append(Request(request.method, request.path, given.partition(" ")[0] or None))
        for beginning, location in self.redirects.items():
            if request.path_qs.startswith(beginning):
                return web.Response(status=302, headers={"Location": location + request.path_qs.removeprefix(beginning)})
        if self.authorization and given != self.authorization:
            wanted = self.authorization.partition(" ")[0]
            return web.Response(status=401, headers={"WWW-Authenticate": f'{wanted} realm="git"'})
        return await self.answer(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass one request that may pass to http-backend (CGI, RFC 3875), and stream its answer."""
        process = await asyncio.create_subprocess_exec(
            *("git", "http-backend"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self.environment(request),
        )
        assert process.stdin  # noqa: S101 - PIPE
        assert process.stdout  # noqa: S101 - PIPE
        try:
            # All of it first: http-backend reads its request to the end before it answers.
            process.stdin.write(await request.read())
            process.stdin.close()
            head = await process.stdout.readuntil(b"\r\n\r\n")
            status, headers = _cgi_head(head.decode().split("\r\n"))
            response = web.StreamResponse(status=status, headers=headers)
            await response.prepare(request)
            while chunk := await process.stdout.read(2**16):
                await response.write(chunk)
            await response.write_eof()
        except BaseException:
            _end(process)
            raise
        finally:
            await process.wait()
        return response

    def directory(self, request: web.Request) -> Path:
        """Where the repository lies that a request is about."""
        return self._root / _parts(request)[0]

    def environment(self, request: web.Request) -> dict[str, str]:
        """What http-backend is told of a request."""
        name, rest = _parts(request)
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{name}/.git/{rest}",
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }


def _parts(request: web.Request) -> tuple[str, str]:
    """Name of the repository, and the path in it."""
    name, _, rest = request.path.lstrip("/").partition("/")
    return name, rest


def _cgi_head(lines: Iterable[str]) -> tuple[int, dict[str, str]]:
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return int(headers.pop("Status", "200").split()[0]), headers


def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it, and close our ends of its pipes: what it started may hold the others, and asyncio closes ours only then."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process._transport.close()  # type: ignore[attr-defined]
