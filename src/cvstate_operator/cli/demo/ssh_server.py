"""A real Git server over SSH on the loopback interface: git's own upload-pack behind asyncssh, in a thread of its own. It does nothing else for anyone."""

import asyncio
import contextlib
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import asyncssh

from cvstate_operator.cli.demo.loopback import HOST, LoopbackServer

USER: Final = "git"
_REPOSITORY: Final = re.compile(r"/?([A-Za-z0-9_-][A-Za-z0-9_.-]*?)(\.git)?/?")
"""What may be read: one directory right below the root."""
_PROTOCOL: Final = re.compile(r"version=[0-9]")
_CHUNK_BYTES: Final = 2**16
_REFUSED: Final = 128
"""Exit code of git when it dies."""


class SshServer(LoopbackServer):
    """Serves every repository below a directory, to read only, at ssh://git@127.0.0.1:PORT/NAME."""

    def __init__(self, root: Path, *, authorized: Iterable[str], host_key: str = "", port: int = 0) -> None:
        """
        Args:
            root: where the repositories are, as of `GitServer`.
            authorized: public keys that may log in, as lines of authorized_keys(5).
            host_key: private key, PEM or OpenSSH; empty makes a new one.
            port: to listen on; 0 takes a free one.
        """
        super().__init__(name="ssh server", port=port)
        self._root = root
        self._authorized = asyncssh.import_authorized_keys("".join(f"{line.strip()}\n" for line in authorized))
        self._host_key = asyncssh.import_private_key(host_key) if host_key else asyncssh.generate_private_key("ssh-ed25519")
        self.commands: list[str | None] = []
        """What clients that had logged in asked for so far; None is a shell."""

    def url(self, name: str) -> str:
        """Where a repository is served."""
        return f"ssh://{USER}@{HOST}:{self.port}/{name}"

    @property
    def known_hosts(self) -> str:
        """The line of known_hosts(5) by which this server is recognised."""
        return f"[{HOST}]:{self.port} {self._host_key.export_public_key().decode()}"

    async def _serve(self) -> None:
        listener = await asyncssh.listen(
            HOST,
            self.port,
            server_host_keys=[self._host_key],
            authorized_client_keys=self._authorized,
            process_factory=self._answer,
            encoding=None,
            password_auth=False,
            kbdint_auth=False,
            allow_pty=False,
            agent_forwarding=False,
            login_timeout=10,
        )
        self.port = listener.get_port()
        self._bound.set()
        await self._stopped.wait()
        listener.close()
        await listener.wait_closed()

    async def _answer(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run upload-pack if that is what the client wants."""
        self.commands.append(session.command)
        directory = self._wanted(session)
        if directory is None:
            session.stderr.write(b"only git-upload-pack of a repository is served here\n")
            session.exit(_REFUSED)
            return
        process = await asyncio.create_subprocess_exec(
            *("git", "-c", "safe.directory=*", "upload-pack", "--strict", str(directory / ".git")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(session),
        )
        assert process.stdin  # noqa: S101 - PIPE
        assert process.stdout  # noqa: S101 - PIPE
        asking = asyncio.create_task(_pump(session.stdin, process.stdin))
        try:
            await _pump(process.stdout, session.stdout)
            session.exit(await process.wait())
        except BaseException:
            _end(process)
            raise
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await process.wait()

    def _wanted(self, session: asyncssh.SSHServerProcess[bytes]) -> Path | None:
        """The repository that is to be read; None for everything that is not served."""
        try:
            words = shlex.split(session.command or "")
        except ValueError:
            return None
        if words[:2] == ["git", "upload-pack"]:
            words = ["git-upload-pack", *words[2:]]
        name = _REPOSITORY.fullmatch(words[1]) if len(words) == 2 and words[0] == "git-upload-pack" else None
        if session.subsystem or name is None:
            return None
        directory = self._root / name[1]
        return directory if (directory / ".git").is_dir() else None


def _environment(session: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
    """Of what the client sends only the version of Git's protocol."""
    protocol = session.env.get("GIT_PROTOCOL", "")
    return {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **({"GIT_PROTOCOL": protocol} if _PROTOCOL.fullmatch(protocol) else {}),
    }


def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def _pump(source: asyncssh.SSHReader[bytes] | asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes] | asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()
    sink.write_eof()
