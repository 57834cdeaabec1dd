"""The kubeconfig as commands read it, before a cluster is asked.

Aspects: the namespace that is meant · a file, or a context, that is not there · what is no kubeconfig · nothing of its content in a message.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli import connection
from cvstate_operator.cli.main import app


def written(path: Path, *, current: str = "one", **contexts: str) -> Path:
    """A kubeconfig whose contexts have these namespaces; empty for none."""
    found: list[dict[str, Any]] = [
        {"name": name, "context": {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}}
        for name, namespace in contexts.items()
    ]
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": current, "contexts": found}))
    return path


@pytest.mark.parametrize(
    ("namespace", "context", "meant"),
    [
        pytest.param("team-a", "two", "team-a", id="option"),
        pytest.param(None, None, "first", id="current-context"),
        pytest.param(None, "two", "second", id="named-context"),
        pytest.param(None, "bare", "default", id="context-without-one"),
    ],
)
def test_the_namespace_is_that_of_the_option_or_of_the_context(
    tmp_path: Path, namespace: str | None, context: str | None, meant: str
) -> None:
    file = written(tmp_path / "config", one="first", two="second", bare="")
    assert connection.chosen_namespace(namespace, file, context) == meant


def test_several_files_of_the_environment_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [written(tmp_path / "a", one="first"), tmp_path / "missing", written(tmp_path / "b", one="other", two="second")]
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
    assert connection.chosen_namespace(None, None, None) == "first"
    assert connection.chosen_namespace(None, None, "two") == "second"


@pytest.mark.parametrize("command", [("status",), ("suspend", "shop"), ("backup",)], ids=lambda command: command[0])
def test_an_api_server_that_is_away_is_named_with_what_to_do(command: tuple[str, ...], tmp_path: Path) -> None:
    file = written(tmp_path / "config", one="first")
    content = yaml.safe_load(file.read_text())
    content |= {"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}], "users": [{"name": "u", "user": {"token": "x"}}]}
    file.write_text(yaml.safe_dump(content))  # nobody listens on discard
    result = CliRunner().invoke(app, [*command, "--kubeconfig", str(file)])
    assert isinstance(result.exception, errors.NetworkError)
    assert "https://127.0.0.1:9; is it up? name another with --context or --kubeconfig" in result.exception.message
    assert result.output == ""


@pytest.mark.parametrize("command", [("status",), ("diff", "shop"), ("run",)], ids=lambda command: command[0])
def test_a_file_that_is_not_there_is_told_in_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "missing"
    result = CliRunner().invoke(app, [*command, "--kubeconfig", str(file)])
    assert isinstance(result.exception, errors.SettingsError)
    assert result.exception.message == f"cannot read the kubeconfig {file}: No such file or directory; name another with --kubeconfig"
    assert result.output == ""


def test_without_any_kubeconfig_the_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(errors.SettingsError, match=f"there is no kubeconfig {tmp_path / 'missing'}"):
        connection.check(None, None)


@pytest.mark.parametrize("text", ["hunter2", "- hunter2", "", "a: [hunter2", "\x00", "contexts: hunter2"])
def test_what_is_no_kubeconfig_is_refused_and_its_content_is_not_shown(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(errors.SettingsError) as caught:
        connection.check(file, None)
    assert str(file) in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    file = written(tmp_path / "config", one="a", two="b")
    with pytest.raises(errors.SettingsError, match="has no context prod; there are: one, two"):
        connection.check(file, "prod")
