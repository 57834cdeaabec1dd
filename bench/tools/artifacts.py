"""Archives of commits over HTTP, in the form in which Flux's source-controller offers them.

Input: the working repository of a ground. Reader: `bench.tools.flux`. Source: Flux's documentation of GitRepository, "Artifact".
"""

import datetime
import hashlib
from pathlib import Path
from typing import Final

from aiohttp import web

from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.cli.demo.loopback import HOST, LoopbackServer
from tests.support.api import Json

BRANCH: Final = "main"


class ArtifactServer(LoopbackServer):
    """Serves the files of a directory, from a thread of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(name="artifact server")
        directory.mkdir()
        self._directory = directory

    def add(self, repository: Repository, commit: str) -> Json:
        """Archive a commit's files; return the artifact, as it stands in a source's status.

        The archive is that of the tree, not of the commit: before the latter git puts a header that Flux would unpack as a file.
        """
        name = f"{commit}.tar.gz"
        file = self._directory / name
        repository.git("archive", "--format=tar.gz", f"--output={file}", f"{commit}^{{tree}}")
        content = file.read_bytes()
        return {
            "revision": f"{BRANCH}@sha1:{commit}",
            "url": f"http://{HOST}:{self.port}/{name}",
            "path": name,
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "size": len(content),
            "lastUpdateTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_static("/", self._directory)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port).start()
            self.port = runner.addresses[0][1]
            self._bound.set()
            await self._stopped.wait()
        finally:
            await runner.cleanup()
