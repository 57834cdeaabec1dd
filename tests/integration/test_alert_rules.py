"""Rules for Prometheus and commands of runbooks, by the programs that read them: promtool and kubectl.

Aspects: rules are valid and without lint · each alert fires with its text and is silent where it has to be (deploy/monitoring/tests) · those tests notice when a rule changes · kubectl
knows every command of every runbook, with all options.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster import builds
from tests.support.alert_rules import ALERTS, CASES, FILES, ROOT, commands, runbooks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def forms() -> list[Sequence[str]]:
    """Commands for kubectl in runbooks, one of each kind: of those with the same verb and options the first."""
    found: dict[object, Sequence[str]] = {}
    for command in (command for runbook in runbooks() for line in runbook.lines() for command in commands(line) if command[0] == "kubectl"):
        options = frozenset(word.partition("=")[0] for word in command if word.startswith("-"))
        found.setdefault((command[1], command[2] if command[1] in ("rollout", "create", "auth") else "", options), command[1:])
    return list(found.values())


def run(program: str, *arguments: str | Path, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = (builds.ensure([program])[program], *arguments)
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=240, check=False)


def copy(directory: Path, case: str, old: str, new: str) -> Path:
    """A test of rules in a folder of its own, beside rules in which a text was replaced."""
    for file in FILES:
        text = file.read_text()
        (directory / file.name).write_text(text.replace(old, new))
    (source,) = (file for file in CASES if file.stem == case)
    target = directory / source.name
    target.write_text(source.read_text().replace("../../charts/cvstate-operator/rules/", ""))
    return target


def test_rules_are_valid() -> None:
    found = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert found.returncode == 0, found.stderr + found.stdout
    assert f"{len(ALERTS)} rules found" in found.stdout


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_alerts_fire_with_their_text_and_only_when_they_should(file: Path) -> None:
    found = run("promtool", "test", "rules", file)
    assert found.returncode == 0, found.stderr + found.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("case", "old", "new"),
    [
        pytest.param("drift", "for: 5m", "for: 8m", id="a longer wait"),
        pytest.param("drift", "for: 5m", "for: 2m", id="a shorter wait"),
        pytest.param("drift", 'reason=~"EmergencyStop|Suspended|ObserveOnly|WindowClosed"', 'reason="none"', id="no silence in windows"),
        pytest.param("source", "by (namespace, name", "by (instance, namespace, name", id="a label of the process"),
        pytest.param("vital", "unless on (namespace, name)", "and on (namespace, name)", id="silence turned round"),
        pytest.param("operator", "{{ $labels.instance }}", "{{ $labels.name }}", id="another text"),
    ],
)
def test_tests_of_rules_notice_a_change(tmp_path: Path, case: str, old: str, new: str) -> None:
    assert old in "".join(file.read_text() for file in FILES)
    found = run("promtool", "test", "rules", copy(tmp_path, case, old, new))
    assert found.returncode == 1
    assert "FAILED" in found.stderr + found.stdout


@pytest.mark.parametrize("command", forms(), ids=lambda command: " ".join(command)[:80])
def test_kubectl_knows_a_command_of_a_runbook(command: Sequence[str]) -> None:
    """With --help it reads verbs and options and does nothing."""
    found = run("kubectl", *command, "--help")
    assert found.returncode == 0, found.stderr
    assert "Usage:" in found.stdout
