"""A real Git server over HTTP on the loopback interface: git's own http-backend behind an aiohttp front, in a thread of its own."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

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

    def git(self, *args: str) -> str:
        """Run git here and return what it prints.

        Raises:
            subprocess.CalledProcessError: git failed.
        """
        # Without variables such as GIT_DIR, which a git hook sets: they would lead to another repository.
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _IDENTITY
        return subprocess.run(("git", *args), cwd=self.directory, env=env, check=True, capture_output=True, text=True).stdout


class GitServer:
    """Serves every repository below a directory at http://127.0.0.1:PORT/NAME."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name="git server", daemon=True)
        self.port = 0

    def __enter__(self) -> "GitServer":
        self._thread.start()
        self._bound.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def repository(self, name: str) -> Repository:
        """A new, empty repository; its address is `url(name)`."""
        return Repository(self._root / name)

    def url(self, name: str) -> str:
        """Where a repository is served."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self.answer)
        # The body stays as it comes: http-backend undoes the client's gzip itself.
        runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        self._bound.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass one request to http-backend (CGI, RFC 3875) and stream its answer."""
        name, *rest = request.path.lstrip("/").split("/", 1)
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{name}/.git/" + "".join(rest),
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        body = await request.read()
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=env, limit=2**24
        )
        out, _ = await process.communicate(body)
        head, _, payload = out.partition(b"\r\n\r\n")
        status, headers = _cgi_head(head.decode().split("\r\n"))
        return web.Response(status=status, headers=headers, body=payload)


def _cgi_head(lines: Iterable[str]) -> tuple[int, dict[str, str]]:
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return int(headers.pop("Status", "200").split()[0]), headers
