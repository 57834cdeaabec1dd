"""`cvstate approve`, without a cluster: what is refused before one is asked, and how a plan is shown.

Aspects: options · the table · foreign text.
"""

import io
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli import consent
from cvstate_operator.cli.main import app

STATE = {"metadata": {"namespace": "team-a", "name": "shop"}}
DIGEST = f"sha256:{'0' * 64}"


def shown(*items: dict[str, Any], **spec: Any) -> str:
    """The text of a plan on a wide screen."""
    console = Console(file=io.StringIO(), width=200)
    console.print(consent._shown(STATE, {"spec": {"digest": DIGEST, "items": list(items), "total": len(items), **spec}}))
    return console.file.getvalue()


def item(action: str = "Prune", **more: Any) -> dict[str, Any]:
    return {"action": action, "object": "ConfigMap/web/old", "reason": "PruneHeld", **more}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--expires", "soon"), "--expires"),
        (("--expires", "0s"), "--expires"),
        (("--expires", "900ms"), "--expires"),
        (("--expires", "9000h"), "--expires"),
        (("--reason", ""), "--reason"),
        (("--reason", " \t"), "--reason"),
        (("--reason", "x" * 1001), "--reason"),
    ],
)
def test_an_option_that_makes_no_sense_is_named_before_a_cluster_is_asked(options: tuple[str, ...], word: str) -> None:
    result = CliRunner().invoke(app, ["approve", "shop", "--kubeconfig", "/nonexistent/kubeconfig", *options])
    assert isinstance(result.exception, errors.SettingsError)
    assert word in result.exception.message


def test_counts_are_said_and_zeros_are_not() -> None:
    text = shown(item(), counts={"prune": 3, "recreate": 0, "drift": 2}, revision="main@sha1:4c1f")
    assert text.splitlines()[0] == "team-a/shop  main@sha1:4c1f"
    assert text.splitlines()[-1] == f"3 to delete, 2 to put back; {DIGEST}"


def test_every_write_has_its_line_with_field_reason_and_detail() -> None:
    line = next(line for line in shown(item("Drift", path="/data/k", detail="5, was 3")).splitlines() if "Drift" in line)
    assert line.split() == ["Drift", "ConfigMap/web/old", "/data/k", "PruneHeld", "5,", "was", "3"]


def test_a_reason_that_many_have_in_common_is_said_once() -> None:
    text = shown(*[item(detail="3 of 9 would go at once")] * 3, item("Drift", path="/data/k", detail="5, was 3"))
    assert text.count("3 of 9 would go at once") == 1
    assert "PruneHeld: 3 of 9 would go at once" in text
    assert "5, was 3" in text


def test_of_what_is_made_anew_the_fields_are_shown_below_the_table() -> None:
    changes = ["/spec/serviceName: db → other", "… and 3 more"]
    lines = shown(item("Recreate", object="apps/StatefulSet/web/db", changes=changes), item()).splitlines()
    at = lines.index("apps/StatefulSet/web/db anew:")
    assert [line.rstrip() for line in lines[at + 1 : at + 3]] == ["  /spec/serviceName: db → other", "  … and 3 more"]
    assert sum(line.endswith(" anew:") for line in lines) == 1


def test_for_all_fields_of_what_is_made_anew_the_command_is_named() -> None:
    assert "cvstate plan shop -n team-a" in shown(item("Recreate"))
    assert "cvstate plan" not in shown(item())


def test_an_approval_always_says_until_when_it_is_good() -> None:
    assert consent._spec("why", "1h")["expiresAt"].endswith("Z")
    assert CliRunner().invoke(app, ["approve", "--help"]).stdout.count("24h") == 1


@pytest.mark.parametrize(("total", "more"), [(1, None), (2, "and 1 more"), (20_000, "and 19999 more")])
def test_what_is_not_shown_is_counted(total: int, more: str | None) -> None:
    text = shown(item(), total=total)
    assert (more in text) if more else ("more" not in text)


def test_foreign_text_cannot_steer_the_terminal_or_pass_for_markup() -> None:
    text = shown(item("Recreate", detail="\x1b[2Jgone\nPrune  Nothing", path="[red]/data[/red]", changes=["\x1b[2J\nPrune  Nothing"]))
    assert "\x1b" not in text
    assert "[red]/data[/red]" in text
    assert not any(line.startswith("Prune") for line in text.splitlines())


def test_the_help_has_examples() -> None:
    assert "cvstate approve shop -n team-a" in CliRunner().invoke(app, ["approve", "--help"]).stdout
