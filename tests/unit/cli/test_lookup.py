"""Lookup: URL paths of our kinds, and errors in words for the person at the command line.

Aspects: names that are none, or empty · paths with and without namespace · which errors are said in other words.
"""

import sys
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli import lookup
from cvstate_operator.cli.main import COMMANDS, app, main


def test_paths_of_collections_and_objects() -> None:
    assert lookup.path("clusterstates", "shop", namespace="team-a") == "/apis/cvstate.io/v1alpha1/namespaces/team-a/clusterstates/shop"
    assert lookup.path("emergencystops") == "/apis/cvstate.io/v1alpha1/emergencystops"


@pytest.mark.parametrize("text", ["..", "../secrets/x", "a/b", "a?b=c", "A", "-a", "a%2fb", "a\n", "a" * 254, "ä", "\x1b[2J"])
def test_a_text_that_is_no_name_never_gets_into_a_path(text: str) -> None:
    for name, namespace in ((text, "default"), ("shop", text)):
        with pytest.raises(errors.SettingsError) as caught:
            lookup.path("clusterstates", name, namespace=namespace)
        assert "\x1b" not in caught.value.message
        assert "\n" not in caught.value.message


def with_parameter(name: str) -> list[str]:
    """Commands with that parameter, whose functions name it as users do."""
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    with commands.make_context("cvstate", ["version"]) as context:
        found = ((one, commands.get_command(context, one)) for one in COMMANDS)
        return [one for one, command in found if command and name in {parameter.name for parameter in command.params}]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """Of a cluster that nothing should be asked of: nobody listens there."""
    file = tmp_path / "kubeconfig"
    content = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "it", "user": {}}],
    }
    file.write_text(yaml.safe_dump(content))
    return str(file)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that ends with 2 says."""
    monkeypatch.setattr(sys, "argv", ["cvstate", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", with_parameter("name"))
def test_an_empty_name_is_refused_by_every_command_that_takes_one(
    command: str, kubeconfig: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cvstate: NAME is empty" in refused(monkeypatch, capsys, command, "", "-n", "team-a", "--kubeconfig", kubeconfig)


@pytest.mark.parametrize("command", [one for one in with_parameter("namespace") if one not in ("run", "check")])
def test_an_empty_namespace_is_refused_and_not_taken_for_the_whole_cluster(
    command: str, kubeconfig: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"backup": [], "restore": ["FILE"]}.get(command, ["shop"])
    assert "cvstate: --namespace is empty" in refused(monkeypatch, capsys, command, *about, "-n", "", "--kubeconfig", kubeconfig)


def test_an_empty_namespace_lists_no_clusterstates(
    kubeconfig: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cvstate: --namespace is empty" in refused(monkeypatch, capsys, "status", "-n", "", "--kubeconfig", kubeconfig)


@pytest.mark.parametrize("command", [("approve", "--yes"), ("suspend",), ("resume",), ("reconcile",)], ids=lambda command: command[0])
def test_every_command_about_a_clusterstate_shows_help_with_an_example(command: tuple[str, ...]) -> None:
    output = CliRunner().invoke(app, [command[0], "--help"]).stdout
    assert f"cvstate {command[0]} shop -n team-a" in output
    assert all(option in output for option in ("--namespace", "--kubeconfig", "--context"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.ForbiddenError("x; grant it or take the object out of Git"), "may not patch clusterstates.cvstate.io in namespace team-a"),
        (errors.KindUnknownError("x; correct apiVersion"), "kubectl apply -f crds/"),
    ],
)
def test_errors_that_speak_of_git_are_said_in_other_words(error: errors.CvstateError, words: str) -> None:
    with pytest.raises(type(error), match=words) as caught, lookup.explained("patch", "clusterstates", "team-a"):
        raise error
    assert caught.value.__cause__ is error
    assert "Git" not in caught.value.message


@pytest.mark.parametrize("error", [errors.NetworkError("x"), errors.AdmissionDeniedError("x"), errors.StaleError("x")])
def test_other_errors_pass_as_they_are(error: errors.CvstateError) -> None:
    with pytest.raises(errors.CvstateError) as caught, lookup.explained("patch", "clusterstates"):
        raise error
    assert caught.value is error
