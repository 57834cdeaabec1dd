"""`cvstate approve --fix` and the score in `cvstate status`, against a real API server. No operator runs: the status is what one would have told.

Aspects: exactly the newest commit passes, as the operator reads it · it asks · nothing to let pass · another commit meanwhile, other writers, missing rights · status and plan
tell of the gate.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.cli import fix
from cvstate_operator.plan.history import commits_of
from tests.support import accounts
from tests.support.api import CLUSTER_STATES, Json
from tests.support.commands import READ, on_a_terminal, run
from tests.support.objects import config_map, text
from tests.support.world import World

VITAL = {
    "prometheus": {"url": "http://prometheus.monitoring:9090"},
    "signals": [{"name": "error-rate", "query": "sum(rate(errors_total[5m]))", "max": "0.01"}],
    "slos": [{"name": "availability", "objective": "99.9", "good": "ok_total", "total": "all_total"}],
}
BEFORE = "a" * 40


def ago(**span: int) -> str:
    return (datetime.now(UTC) - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def tell(world: World, **status: Any) -> None:
    """Write the status as the operator does."""
    code, answer = world.api.request(
        "PATCH", f"{CLUSTER_STATES.format(world.name)}/state/status", {"status": status}, "application/merge-patch+json"
    )
    assert code == 200, answer


def condition(kind: str, word: str, reason: str, message: str) -> Json:
    return {"type": kind, "status": word, "reason": reason, "message": message, "lastTransitionTime": ago(minutes=13)}


def burn(world: World, newest: str, state: str = "Burning") -> None:
    """An SLO burns, and the newest commit waits for it."""
    slo = {
        "name": "availability",
        "state": state,
        "objective": "99.9",
        "budgetLeft": "0.7",
        "burnRate": "14.4",
        "exhaustedIn": "1d11h",
        "level": "Page",
        "since": ago(minutes=13),
        "takenAt": ago(minutes=11),
        "message": "the error budget burns more than 5 times faster than evenly, over 1h and 5m",
    }
    signal = {
        "name": "error-rate",
        "state": "Breached",
        "value": "0.034",
        "bound": "<= 0.01",
        "since": ago(minutes=12),
        "takenAt": ago(minutes=11),
        "outsideSince": ago(minutes=12),
        "message": "should be <= 0.01 and is not",
    }
    pull = {"name": "availability", "points": 11, "since": ago(minutes=13), "message": slo["message"]}
    tell(
        world,
        source={"revision": f"main@sha1:{newest}", "commitTime": ago(minutes=14), "fetchedAt": ago(minutes=14)},
        lastAttemptedRevision=f"main@sha1:{BEFORE}",
        lastAppliedRevision=f"main@sha1:{BEFORE}",
        cv={"score": 80, "confidence": 100, "configuration": 100, "vital": 78, "completeness": 100, "worst": "availability"},
        vital={"objects": {"ready": 1}, "slos": [slo], "signals": [signal], "pulls": [pull]},
        conditions=[condition("Ready", "False", "ErrorBudgetBurning", f"main@sha1:{newest} waits: SLO availability: {slo['message']}")],
    )


def annotations(world: World) -> dict[str, str]:
    return dict(world.state()["metadata"].get("annotations") or {})


@pytest.fixture
def shop(own: World) -> tuple[World, str]:
    """A ClusterState whose newest commit waits for an error budget, and that commit."""
    commit = own.commit({"a.yaml": text(config_map("cm", k="new"))})
    own.declare(vital=VITAL)
    burn(own, commit)
    return own, commit


def test_exactly_the_newest_commit_passes_and_other_annotations_stay(shop: tuple[World, str]) -> None:
    world, commit = shop
    where = f"{CLUSTER_STATES.format(world.name)}/state"
    world.api.merge(where, {"metadata": {"annotations": {names.FIX: f"{'c' * 40},{'d' * 40}", "note": "mine"}}})
    code, output = run(world, "approve", "state", "-n", world.name, "--fix", "--yes", "--reason", "CHG-1")
    assert code == 0
    for part in (f"main@sha1:{commit}", "SLO availability", "70 % of the error budget left", f"{commit[:12]} may pass"):
        assert part in output
    found = annotations(world)
    assert commits_of(found[names.FIX]) == (commit,)
    assert (found[fix.REASON], found["note"]) == ("CHG-1", "mine")
    managers = {entry["manager"] for entry in world.state()["metadata"]["managedFields"] if names.FIX in json.dumps(entry)}
    assert managers == {"cvstate-cli"}

    code, output = run(world, "approve", "state", "-n", world.name, "--fix", "--yes")
    assert (code, "may pass already" in output) == (0, True)
    newer = world.commit({"a.yaml": text(config_map("cm", k="newer"))})
    burn(world, newer)
    assert run(world, "approve", "state", "-n", world.name, "--fix", "--yes")[0] == 0
    assert commits_of(annotations(world)[names.FIX]) == (newer,)


@pytest.mark.parametrize(("answer", "code", "passes"), [("n", 1, False), ("", 1, False), ("y", 0, True)])
def test_it_asks_and_enter_means_no(shop: tuple[World, str], answer: str, code: int, passes: bool) -> None:
    world, commit = shop
    ended, output = on_a_terminal(world, answer, "approve", "state", "-n", world.name, "--fix")
    assert ended == code, output
    assert f"Let {commit[:12]} pass?" in output
    assert (annotations(world).get(names.FIX) == commit) is passes


def test_without_a_terminal_nothing_passes_unasked(shop: tuple[World, str]) -> None:
    world, _ = shop
    with pytest.raises(errors.SettingsError, match="--yes"):
        run(world, "approve", "state", "-n", world.name, "--fix")
    assert names.FIX not in annotations(world)


def test_where_nothing_burns_nothing_is_written(shop: tuple[World, str]) -> None:
    world, commit = shop
    burn(world, commit, "Met")
    tell(world, conditions=[condition("Ready", "True", "Applied", "m")])
    version = world.state()["metadata"]["resourceVersion"]
    code, output = run(world, "approve", "state", "-n", world.name, "--fix", "--yes")
    assert (code, "Nothing is held by an error budget" in output) == (0, True)
    assert world.state()["metadata"]["resourceVersion"] == version


def test_a_commit_that_comes_while_the_person_thinks_does_not_pass(shop: tuple[World, str], monkeypatch: pytest.MonkeyPatch) -> None:
    world, commit = shop

    def confirmed(question: str, *, yes: bool) -> bool:
        burn(world, "e" * 40)
        return True

    monkeypatch.setattr(fix, "confirmed", confirmed)
    with pytest.raises(errors.StaleError, match=f"eeeeeeeeeeee by now, and not {commit[:12]}"):
        run(world, "approve", "state", "-n", world.name, "--fix")
    assert names.FIX not in annotations(world)


def test_without_the_right_to_patch_it_says_what_is_missing(shop: tuple[World, str], tmp_path: Path) -> None:
    world, _ = shop
    user = accounts.kubeconfig(world, accounts.token(world, "person"), tmp_path / "person")
    accounts.grant(world, "person", [READ])
    with pytest.raises(errors.ForbiddenError, match=r"your user may not patch clusterstates\.cvstate\.io in namespace"):
        run(world, "approve", "state", "-n", world.name, "--fix", "--yes", user=user)


def test_status_shows_the_score_what_pulls_it_down_and_the_way_out(shop: tuple[World, str]) -> None:
    world, commit = shop
    code, table = run(world, "status", "-n", world.name)
    assert code == 1
    assert table.split().index("SCORE") == 3
    assert "80" in table.splitlines()[1].split()
    code, output = run(world, "status", "state", "-n", world.name)
    assert code == 1
    for part in (
        "80, confidence 100",
        "configuration 100, vital 78, telemetry 100 % complete",
        "Pulls the score down",
        "sum(increase(ok_total[5m])) / sum(increase(all_total[5m]))",
        "0.034 (11 m ago): should be <= 0.01 and is not",
        "70 % of the error budget left, burn rate 14.4 over the last hour, gone in 1d11h",
        f"main@{commit[:12]}: ErrorBudgetBurning",
        f"cvstate approve state -n {world.name} --fix",
    ):
        assert part in output
    told = json.loads(run(world, "status", "state", "-n", world.name, "-o", "json")[1])
    assert told["status"] == world.state()["status"]


def test_approve_without_fix_names_the_way_out_too(shop: tuple[World, str]) -> None:
    world, _ = shop
    code, output = run(world, "approve", "state", "-n", world.name, "--yes")
    assert (code, f"cvstate approve state -n {world.name} --fix" in output) == (0, True)
    assert names.FIX not in annotations(world)


def test_plan_shows_that_the_error_budget_holds_the_revision(shop: tuple[World, str]) -> None:
    world, _ = shop
    code, output = run(world, "plan", "state", "-n", world.name)
    assert code == 1
    assert "held  NewRevision: SLO availability: the error budget burns more than 5 times faster" in output
    (gate,) = json.loads(run(world, "plan", "state", "-n", world.name, "-o", "json")[1])["gates"]
    assert (gate["reason"], gate["actions"]) == ("ErrorBudgetBurning", ["NewRevision"])
