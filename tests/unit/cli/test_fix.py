"""`cvstate approve --fix`, without a cluster.

Aspects: what the error budget gate holds, by the status · where nothing is held, and why · the patch: what it changes, and what stays · what is shown before it asks · options.
"""

from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.cli import budget_gate, fix
from cvstate_operator.cli.main import app
from tests.unit.cli.test_status import ago, text
from tests.unit.cli.test_status_vital import burning

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def state(
    newest: str = B,
    attempted: str = A,
    *slos: Any,
    annotations: dict[str, str] | None = None,
    spec: dict[str, Any] | None = None,
    **told: Any,
) -> Any:
    """A ClusterState whose SLO burns, while a newer commit is there; `slos` in place of that one."""
    declared = {"slos": [{"name": "availability"}, {"name": "latency"}]}
    return {
        "metadata": {"name": "shop", "namespace": "web", "resourceVersion": "7", "annotations": annotations or {}},
        "spec": {"vital": declared, **(spec or {})},
        "status": {
            **({"source": {"revision": f"main@sha1:{newest}", "commitTime": ago(minutes=6)}} if newest else {}),
            **({"lastAttemptedRevision": f"main@sha1:{attempted}"} if attempted else {}),
            "vital": {"slos": list(slos or (burning(),))},
            **told,
        },
    }


# -- what is held --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        pytest.param({"state": "Burning"}, True, id="burning"),
        pytest.param({"state": "Exhausted"}, True, id="used up"),
        pytest.param({"state": "Met"}, False, id="met"),
        pytest.param({"state": "Unknown", "gap": "Stale", "lastKnown": "Burning"}, True, id="unknown after a burn"),
        pytest.param({"state": "Unknown", "gap": "Stale", "lastKnown": "Met"}, False, id="unknown after all was well"),
        pytest.param({"state": "Unknown", "gap": "Stale"}, False, id="never known"),
        pytest.param({"name": "left-the-spec"}, False, id="not declared any more"),
        pytest.param({"state": "Nonsense"}, False, id="nonsense"),
    ],
)
def test_the_newest_commit_is_held_while_a_declared_slo_burns_or_did_when_it_was_last_known(told: dict[str, str], holds: bool) -> None:
    found = budget_gate.hold(state(B, A, burning(**told)))
    assert (found.commit if found else None) == (B if holds else None)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(state(newest=""), id="no revision yet"),
        pytest.param(state(B, B), id="begun already"),
        pytest.param(state(annotations={names.FIX: f"{A}, {B}"}), id="passes already"),
        pytest.param(state(spec={"gates": {"errorBudget": "Warn"}}), id="it only warns"),
        pytest.param(state(spec={"gates": {"errorBudget": "Off"}}), id="off"),
        pytest.param(state(quarantined=[{"revision": f"sha1:{B}", "message": "bad"}]), id="quarantined"),
        pytest.param(state(annotations={names.REJECTED: B}), id="rejected"),
        pytest.param({"metadata": {"name": "shop", "namespace": "web"}, "spec": {}}, id="never seen by an operator"),
    ],
)
def test_where_nothing_is_held_it_says_why(found: Any) -> None:
    assert budget_gate.hold(found) is None
    assert "web" in fix.why_nothing(found) or B[:12] in fix.why_nothing(found)


def test_the_reasons_for_that_nothing_is_held_are_told_apart() -> None:
    met = state(B, A, burning(state="Met"))
    assert fix.why_nothing(met) == "Nothing is held by an error budget in web/shop."
    assert "spec.gates.errorBudget is Warn" in fix.why_nothing(state(spec={"gates": {"errorBudget": "Warn"}}))
    assert "may pass already" in fix.why_nothing(state(annotations={names.FIX: B}))
    assert "cvstate rollback shop -n web --undo" in fix.why_nothing(state(annotations={names.REJECTED: B}))
    assert "no revision yet" in fix.why_nothing(state(newest=""))


def test_what_the_operator_holds_until_it_asked_once_can_be_let_pass_too() -> None:
    held = {"type": "Ready", "status": "False", "reason": "ErrorBudgetBurning", "message": "SLO availability was not asked for yet"}
    found = budget_gate.hold(state(B, A, burning(state="Met"), conditions=[held]))
    assert found is not None
    assert (found.commit, found.slos) == (B, ())
    first = budget_gate.hold(state(B, "", burning(state="Met"), plan={"create": 3, "held": "ErrorBudgetBurning"}))
    assert first is not None


def test_what_has_no_commit_passes_by_nobodys_word() -> None:
    found = state(attempted="", annotations={names.FIX: B})
    assert (budget_gate.passes(found, ""), budget_gate.passes(found, B)) == (False, True)


# -- the patch -----------------------------------------------------------------------------------------------------------


def test_the_newest_commit_takes_the_place_of_older_ones_and_other_annotations_stay() -> None:
    found = state(annotations={names.FIX: f"{C},{A}", "note": "mine", names.REJECTED: C})
    guard, change = fix.operations(found, B, "CHG-1")
    assert guard == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert (change["op"], change["path"]) == ("add", "/metadata/annotations")
    assert change["value"] == {names.FIX: B, fix.REASON: "CHG-1", "note": "mine", names.REJECTED: C}


def test_a_commit_that_is_not_the_newest_any_more_does_not_pass() -> None:
    with pytest.raises(errors.StaleError, match=f"{C[:12]} by now, and not {B[:12]}"):
        fix.operations(state(newest=C), B, "why")
    with pytest.raises(errors.StaleError):
        fix.operations(state(newest=""), B, "why")


# -- what is shown -------------------------------------------------------------------------------------------------------


def question(found: Any, width: int = 200) -> str:
    hold = budget_gate.hold(found)
    assert hold is not None
    return text(fix.question(found, hold), width)


def test_it_shows_what_passes_and_every_slo_that_holds_it() -> None:
    found = question(state(B, A, burning(name="latency", state="Exhausted", budgetLeft="-0.1"), burning()))
    for part in (f"main@sha1:{B}", "SLO latency", "overdrawn by 10 %", "SLO availability", "70 %", "1d11h", "Only this commit passes"):
        assert part in found
    assert "waits for" not in found


def test_what_keeps_it_all_the_same_is_told() -> None:
    window = {"state": "Closed", "blocks": ["NewRevision"], "nextChange": "2027-01-01T00:00:00Z"}
    found = question(state(spec={"suspend": True, "mode": "Observe"}, window=window))
    for part in ("cvstate resume shop -n web", "spec.mode is Observe", "closed until 2027-01-01T00:00:00Z"):
        assert part in found
    assert "window" not in question(state(window={**window, "blocks": ["Prune"]}))


def test_foreign_text_cannot_write_to_the_terminal() -> None:
    evil = "\x1b[2J[red]x[/red]\n" + "long " * 500
    found = question(state(B, A, burning(message=evil, exhaustedIn=evil)), 80)
    assert "\x1b" not in found
    assert "[red]x[/red]" in found
    assert found.count("long") < 200


# -- options -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--digest", f"sha256:{'0' * 64}"], "--digest"), (["--expires", "1h"], "--expires"), (["--reason", " "], "--reason")],
)
def test_options_that_make_no_sense_are_named_before_a_cluster_is_asked(options: list[str], word: str) -> None:
    result = CliRunner().invoke(app, ["approve", "shop", "--fix", "--kubeconfig", "/nonexistent/kubeconfig", *options])
    assert isinstance(result.exception, errors.SettingsError)
    assert word in result.exception.message


def test_the_help_has_an_example() -> None:
    assert "cvstate approve shop -n team-a --fix" in CliRunner().invoke(app, ["approve", "--help"]).stdout
