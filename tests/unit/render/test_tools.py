"""Where the official programs are found.

Aspects: PATH · beside Python · our own variable wins · what is missing or no program is absent.
"""

import os
import sys
from pathlib import Path

import pytest

from cvstate_operator.render import tools


def install(directory: Path, *names: str, mode: int = 0o755) -> Path:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(mode)
    return directory


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.delenv(tools.TOOLS_VARIABLE, raising=False)


def test_without_programs_nothing_is_found() -> None:
    assert tools.find() == {}


def test_programs_are_found_in_path_by_their_real_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, linked = install(tmp_path / "real", "helm-v4"), install(tmp_path / "bin", "kustomize", "kubectl")
    (linked / "helm").symlink_to(real / "helm-v4")
    monkeypatch.setenv("PATH", str(linked))
    assert tools.find() == {"kustomize": str(linked / "kustomize"), "helm": str(real / "helm-v4")}


def test_our_own_variable_wins_over_path_for_each_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, system = install(tmp_path / "a", "helm"), install(tmp_path / "b", "helm"), install(tmp_path / "c", "helm", "kustomize")
    monkeypatch.setenv("PATH", str(system))
    monkeypatch.setenv(tools.TOOLS_VARIABLE, os.pathsep.join(map(str, (first, second))))
    assert tools.find() == {"helm": str(first / "helm"), "kustomize": str(system / "kustomize")}


def test_what_lies_beside_python_wins_over_path_but_not_over_our_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, system, ours = install(tmp_path / "venv", "helm", "kustomize"), install(tmp_path / "c", "helm"), install(tmp_path / "a", "helm")
    monkeypatch.setenv("PATH", str(system))
    assert tools.find() == {"helm": str(beside / "helm"), "kustomize": str(beside / "kustomize")}
    monkeypatch.setenv(tools.TOOLS_VARIABLE, str(ours))
    assert tools.find() == {"helm": str(ours / "helm"), "kustomize": str(beside / "kustomize")}


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty part of a path would mean the working directory."""
    monkeypatch.chdir(install(tmp_path / "cwd", "helm"))
    monkeypatch.setenv(tools.TOOLS_VARIABLE, "")
    assert tools.find() == {}


def test_what_cannot_be_executed_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(install(tmp_path / "bin", "helm", mode=0o644)))
    assert tools.find() == {}
