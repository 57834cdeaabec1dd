"""Lookup: URL paths of our kinds, and errors in words for the person at the command line.

Aspects: names that are none · paths with and without namespace · which errors are said in other words.
"""

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli import lookup
from cvstate_operator.cli.main import app


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
