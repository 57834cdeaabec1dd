"""A restart.

Aspects: of what it wrote only objects of the declared kinds count, and no dry runs · nothing but the start of the process is in its clock.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import count, objects
from bench.tools import cvstate


def test_only_writes_of_declared_kinds_count():
    requests = {
        "patch configmaps": 2,
        "delete roles": 1,
        "patch configmaps dry-run": 300,
        "patch clusterstates/status": 1,
        "create events": 4,
        "list configmaps": 1,
        "get /readyz": 1,
    }
    assert count.writes(requests, objects.PLURALS) == 3


def test_programs_are_not_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(names: object) -> None:
        raise AssertionError(f"{names} were looked for while the clock ran")

    monkeypatch.setattr(cvstate.builds, "ensure", refuse)
    monkeypatch.setattr(cvstate, "_PROGRAM", Path("/bin/true"))
    tool = cvstate.make("cvstate")
    tool._ground = SimpleNamespace(directory=tmp_path, kubeconfig=tmp_path / "kubeconfig")
    tool._log = tmp_path / "log"
    tool.restart()
    assert len(tool.pids()) == 1
    tool.stop()
    assert not tool.pids()
