"""Which commit of this repository is measured."""

import subprocess
from typing import Final

from bench.witness import ROOT

DIRTY: Final = "-dirty"
"""At the end of a commit whose files were changed since. Source: git-describe(1)."""
_OURS: Final = (":!docs/benchmark.md", ":!docs/benchmark", ":!bench/results")
"""What the benchmark itself writes is no change of what is measured: else no session could be continued after its first report."""


def current() -> str:
    """Return the commit that is checked out, shortened, with DIRTY at its end where files differ from it; empty outside of a repository."""
    commit = _git("describe", "--always")
    changed = commit and _git("status", "--porcelain", "--untracked-files=no", "--", ".", *_OURS)
    return f"{commit}{DIRTY}" if changed else commit


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
