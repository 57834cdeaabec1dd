"""A cluster to play on: one of its own from a checkout's `tests.cluster`, or the one of a kubeconfig.

Everything started here ends here, also after Ctrl-C; what is made in a cluster that was given is up to `ground`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cvstate_operator
from cvstate_operator.errors import SettingsError

PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl")
"""What a cluster of our own consists of, and what its user needs."""
EXTERNAL_VARIABLE: Final = "CVSTATE_KUBECONFIG"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is ready."""

    admin_kubeconfig: Path
    """Of the person in front of the demo."""
    operator_kubeconfig: Path
    audit_log: Path | None
    """None if it is not ours."""
    is_own: bool


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of the project's repository, which can start clusters."""

    root: Path

    async def build(self) -> None:
        """Build the programs of a cluster; takes minutes the first time and shows how far it is, else it is quiet and quick.

        Raises:
            SettingsError: they cannot be built.
        """
        await self._run("build", *PROGRAMS, shown=True)

    @asynccontextmanager
    async def cluster(self) -> AsyncIterator[Cluster]:
        """A cluster for the duration of the block.

        Raises:
            SettingsError: it does not start.
        """
        name = f"demo-{os.getpid()}"
        try:
            facts: dict[str, Any] = json.loads(await self._run("up", "--name", name, "--json"))
            yield Cluster(Path(facts["admin-kubeconfig"]), Path(facts["operator-kubeconfig"]), Path(facts["audit-log"]), is_own=True)
        finally:
            with suppress(SettingsError):  # it never came up
                await self._run("down", "--name", name)

    async def kubectl(self) -> Path:
        """A kubectl that fits the cluster."""
        return Path((await self._run("path", "kubectl")).strip())

    async def _run(self, *arguments: str, shown: bool = False) -> str:
        """Run `python -m tests.cluster` and return its answer; Ctrl-C is passed on, and it cleans up before we go on.

        Args:
            arguments: its command line.
            shown: whether people see its progress.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.cluster",
            *arguments,
            cwd=self.root,
            env={name: value for name, value in os.environ.items() if name != EXTERNAL_VARIABLE},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if shown else asyncio.subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C reaches us alone; we pass it on once
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGINT)
                await process.communicate()
            raise
        if process.returncode:
            raise SettingsError(_fault(err) or f"`python -m tests.cluster {arguments[0]}` failed; see above")
        return out.decode()


def find_checkout() -> Checkout:
    """The checkout this package is installed from, else the current directory.

    Raises:
        SettingsError: neither is one.
    """
    for root in (Path(cvstate_operator.__file__).parents[2], Path.cwd()):
        if (root / "tests" / "cluster" / "__main__.py").is_file() and _is_project(root / "pyproject.toml"):
            return Checkout(root)
    raise SettingsError(
        "no cluster for the demo: run it in a checkout of cvstate-operator (git clone, then make demo), "
        "or name an existing cluster with --kubeconfig FILE"
    )


def given(kubeconfig: Path) -> Cluster:
    """The cluster of a kubeconfig."""
    return Cluster(kubeconfig, kubeconfig, None, is_own=False)


def _is_project(file: Path) -> bool:
    return file.is_file() and 'name = "cvstate-operator"' in file.read_text()


def _fault(err: bytes | None) -> str:
    """`error: …` and `remedy: …` of the cluster's command line as one line."""
    lines = [line.removeprefix("error: ").removeprefix("remedy: ") for line in (err or b"").decode(errors="replace").splitlines() if line]
    return "; ".join(lines[-2:])
