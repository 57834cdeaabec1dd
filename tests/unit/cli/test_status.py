"""`cvstate status`, without a cluster: what is said of one ClusterState, and of many.

Aspects: what keeps writes from being made · what waits, and the command that approves it · drift, fights, quarantine and history · foreign text · narrow terminals, and
output that goes to no terminal.
"""

import asyncio
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api import restoring
from cvstate_operator.cli import layout, status, status_detail, terminal
from cvstate_operator.cli.main import app

A, B = "a" * 40, "b" * 40


def ago(**span: int) -> str:
    return (datetime.now(UTC) - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, word: str, reason: str = "Some", message: str = "m") -> dict[str, str]:
    return {"type": kind, "status": word, "reason": reason, "message": message, "lastTransitionTime": ago(minutes=5)}


def item(spec: dict[str, Any] | None = None, **told: Any) -> dict[str, Any]:
    source = {"git": {"url": "https://git.example.com/shop.git", "path": "apps"}}
    base = {
        "source": {"revision": f"main@sha1:{A}", "commitTime": ago(hours=1)},
        "lastAppliedRevision": f"main@sha1:{A}",
        "conditions": [condition("Drifted", "False"), condition("Ready", "True")],
    }
    meta = {"name": "shop", "namespace": "web", "creationTimestamp": ago(days=2)}
    return {"metadata": meta, "spec": {"source": source, **(spec or {})}, "status": {**base, **told}}


def text(shown: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def detail(spec: dict[str, Any] | None = None, **told: Any) -> str:
    return text(status_detail.shown(item(spec, **told), ()))


def test_a_quiet_one_shows_no_sections_about_trouble() -> None:
    found = detail()
    assert not any(word in found for word in ("Waits", "Problems", "drift:", "Fights", "Quarantined", "Writes"))
    assert found.index("Ready ") < found.index("Drifted ")


@pytest.mark.parametrize(
    ("spec", "told", "says"),
    [
        ({"suspend": True}, {}, "suspended; go on with: cvstate resume shop -n web"),
        ({"mode": "Observe"}, {}, "spec.mode is Observe"),
        (
            {},
            {"window": {"state": "Closed", "blocks": ["NewRevision", "Prune"], "nextChange": "2027-01-01T00:00:00Z"}},
            "window closed until 2027-01-01T00:00:00Z for NewRevision, Prune",
        ),
        ({}, {"window": {"state": "Open", "nextChange": "2027-01-01T00:00:00Z"}}, "window open until"),
    ],
)
def test_what_keeps_writes_from_being_made_stands_at_the_top(spec: dict[str, Any], told: dict[str, Any], says: str) -> None:
    found = detail(spec, **told)
    assert says in found
    assert found.index(says) < found.index("CONDITION")


def test_what_waits_is_counted_and_the_command_that_approves_it_is_there() -> None:
    digest = f"sha256:{'0' * 64}"
    found = detail(plan={"digest": digest, "prune": 4, "repair": 1, "held": "PruneHeld"})
    for part in ("4 to delete, 1 to put back", "PruneHeld", digest, "cvstate approve shop -n web"):
        assert part in found
    assert "approve" not in detail(plan={"update": 2, "held": "WindowClosed"})


def test_a_revision_that_is_held_is_told_apart_from_the_one_that_is_applied() -> None:
    newer = {"revision": f"main@sha1:{B}", "commitTime": ago(minutes=1)}
    found = detail(source=newer, lastAttemptedRevision=f"main@sha1:{A}", lastGoodRevision=f"main@sha1:{A}")
    assert found.index(B) < found.index(A)
    assert "Last good" not in found
    assert "Last good" in detail(lastGoodRevision=f"main@sha1:{B}")


def test_of_much_drift_the_first_is_shown_and_the_command_for_the_rest() -> None:
    sample = [
        {
            "object": f"ConfigMap/web/c{i}",
            "path": "/data/k",
            "live": "x",
            "desired": "y",
            "manager": "kubectl",
            "since": ago(minutes=2),
            "severity": "High",
            "action": "Auto",
            "state": "Held",
        }
        for i in range(20)
    ]
    found = detail(drift={"objects": 30, "fields": 40, "highest": "High", "since": ago(minutes=2), "sample": sample})
    assert "40 fields of 30 objects" in found
    assert found.count("ConfigMap/web/c") == status_detail.DRIFTS
    assert "and 35 more" in found
    assert "cvstate diff shop -n web" in found


def test_on_a_narrow_terminal_each_drift_is_a_block_that_can_be_read() -> None:
    drift = {
        "object": "apps/Deployment/a-namespace-of-many-letters/a-deployment-of-many-letters",
        "path": "/spec/replicas",
        "live": "7",
        "desired": "2",
        "manager": "kubectl",
        "since": ago(minutes=2),
        "severity": "High",
        "action": "Auto",
        "state": "Held",
    }
    told = item(drift={"objects": 2, "fields": 2, "sample": [drift, {**drift, "path": "", "live": "x"}]})
    lines = [line.rstrip() for line in text(status_detail.shown(told, (), is_narrow=True), 80).splitlines()]
    first = lines.index(drift["object"])
    assert lines[first + 1] == "  /spec/replicas: 7 instead of 2, by kubectl"
    assert lines[first + 2].startswith("  High, Held, for 2 m")
    assert lines[first + 4] == "  as a whole: changed, by kubectl"


def test_output_that_goes_to_no_terminal_is_as_wide_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert terminal.console().width > 1000
    monkeypatch.setenv("COLUMNS", "90")
    assert terminal.console().width == 90


def test_fights_name_the_rival_and_say_whether_they_go_on() -> None:
    fight = {"object": "apps/Deployment/web/api", "key": "u", "path": "/spec/replicas", "manager": "hpa", "repairs": [ago(minutes=1)] * 3}
    found = detail(breakers=[fight])
    assert "still repaired" in found
    assert "3 times" in found
    assert "cvstate reconcile" not in found


def test_a_field_that_is_left_alone_shows_no_count_that_nobody_kept_and_how_to_try_again() -> None:
    fight = {"object": "apps/Deployment/web/api", "key": "u", "path": "/spec/replicas", "manager": "hpa", "openedAt": ago(minutes=3)}
    found = detail(breakers=[fight])
    for part in ("hpa", "not counted", "left alone since 3 m", "cvstate reconcile shop -n web --reset"):
        assert part in found
    assert " times" not in found


def test_what_is_quarantined_says_why_and_how_it_gets_another_try() -> None:
    found = detail(quarantined=[{"revision": f"main@sha1:{B}", "message": "not healthy within 5m"}])
    for part in (B[:12], "not healthy within 5m", "cvstate rollback shop -n web --undo"):
        assert part in found


def test_of_the_history_the_newest_are_shown() -> None:
    history = [
        {"revision": f"main@sha1:{str(i) * 40}", "outcome": "Healthy", "startedAt": ago(hours=i), "durationSeconds": 41.0}
        for i in range(1, 6)
    ]
    found = detail(history=history)
    assert "111111111111" in found
    assert "41 s" in found
    assert "555555555555" not in found


def test_where_there_is_room_the_history_says_what_was_declared() -> None:
    history = [{"revision": f"main@sha1:{A}", "outcome": "Healthy", "startedAt": ago(hours=1), "digest": f"sha256:{'9' * 64}"}]
    wide, narrow = (text(status_detail.shown(item(history=history), (), is_narrow=is_narrow)) for is_narrow in (False, True))
    assert ("sha256:999999999999\n" in wide.replace(" \n", "\n"), "sha256:9" in narrow) == (True, False)


def test_foreign_text_cannot_write_to_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07"
    found = detail(
        problems=[{"reason": "Invalid", "message": evil, "object": "ConfigMap/web/a"}],
        quarantined=[{"revision": f"main@sha1:{B}", "message": evil}],
        breakers=[{"object": evil, "key": "u", "path": evil, "manager": evil}],
    )
    assert "\x1b" not in found
    assert "\x07" not in found


@pytest.mark.parametrize(
    ("ready", "healthy", "says"),
    [
        ("True", "True", "3 objects match"),
        ("True", "", "3 objects match"),
        ("True", "False", "Ill: web is Degraded"),
        ("True", "Unknown", "Ill: web is Degraded"),
        ("False", "False", "Some: 3 objects match"),
        ("Unknown", "False", "Some: 3 objects match"),
    ],
)
def test_the_table_says_why_something_is_not_ready_or_else_why_it_is_not_healthy(ready: str, healthy: str, says: str) -> None:
    told = [condition("Ready", ready, message="3 objects match")]
    told += [condition("Healthy", healthy, "Ill", "web is Degraded")] if healthy else []
    row = text(status._table([item(conditions=told)], width=200)).splitlines()[1]
    assert row.rstrip().endswith(f"  {says}")


def test_commits_in_the_table_leave_room_for_what_it_is_about() -> None:
    told = [condition("Ready", "False", "RolledBack", f"main@sha1:{B} is quarantined")]
    assert f"RolledBack: main@{B[:12]} is quarantined" in text(status._table([item(conditions=told)], width=200))


@pytest.mark.parametrize("is_narrow", [False, True])
def test_what_ready_says_is_not_said_twice(is_narrow: bool) -> None:
    told = [condition(kind, word, "RolledBack", "it is quarantined") for kind, word in (("Stalled", "True"), ("Ready", "False"))]
    found = text(status_detail.shown(item(conditions=told), (), is_narrow=is_narrow))
    assert (found.count("it is quarantined"), found.count("as Ready")) == (1, 1)


def test_commands_that_the_operator_names_can_be_copied() -> None:
    said = "release it: cvstate rollback NAME -n NAMESPACE --undo"
    event = {"type": "Warning", "reason": "RolledBack", "note": said, "eventTime": ago(minutes=1), "metadata": {}}
    found = text(status_detail.shown(item(conditions=[condition("Ready", "False", message=said)]), [event]))
    assert found.count("cvstate rollback shop -n web --undo") == 2


def test_one_that_no_operator_saw_is_shown_too() -> None:
    fresh = item()
    del fresh["status"]
    assert "nothing yet" in text(status_detail.shown(fresh, ()))
    assert "not seen by an operator yet" in text(status._table([fresh], width=200))


def test_one_that_a_restore_left_half_way_is_told_with_what_to_do() -> None:
    half = item(spec={"suspend": True})
    half["metadata"]["annotations"] = {restoring.MARK: "x"}
    for found in (text(status._table([half], width=200)), text(status_detail.shown(half, ()))):
        assert "half restored" in found
        assert "cvstate restore" in found
        assert "cvstate resume" not in found, "it would not go on by that"


class Server:
    """Has one ClusterState, and refuses what stands in a path."""

    def __init__(self, *refused: str) -> None:
        self._refused = refused

    async def get(self, path: str, **_: Any) -> Any:
        if any(part in path for part in self._refused):
            raise errors.ForbiddenError("x is forbidden; grant it to that user, or take the object out of Git")
        if path.endswith("/clusterstates/shop"):
            found = item()
            return {**found, "metadata": {**found["metadata"], "uid": "u"}}
        note = {"type": "Normal", "reason": "Applied", "note": "told by an event", "eventTime": ago(minutes=1), "metadata": {}}
        return {"items": [note]} if "/events" in path else {"items": []} if path.endswith("/emergencystops") else None

    async def pages(self, path: str) -> Any:
        yield await self.get(path)


def ask(monkeypatch: pytest.MonkeyPatch, server: Server, *arguments: str) -> Any:
    monkeypatch.setattr(status, "with_client", lambda kubeconfig, context, work: asyncio.run(work(server)))
    monkeypatch.setattr(status, "chosen_namespace", lambda namespace, kubeconfig, context: namespace or "web")
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", *arguments])


def test_who_may_not_see_events_is_shown_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "told by an event" in ask(monkeypatch, Server(), "shop").stdout
    found = ask(monkeypatch, Server("/events"), "shop")
    assert found.exit_code == 0
    assert "web/shop" in found.stdout
    assert "told by an event" not in found.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param((), "your user may not list clusterstates.cvstate.io;", id="all"),
        pytest.param(("shop",), "your user may not get clusterstates.cvstate.io in namespace web;", id="one"),
    ],
)
def test_who_may_not_look_is_told_what_is_lacking_and_nothing_about_git(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    error = ask(monkeypatch, Server("/clusterstates"), *arguments).exception
    assert isinstance(error, errors.ForbiddenError)
    assert error.message.startswith(told)
    assert "Git" not in error.message


@pytest.mark.parametrize("name", ["Shop", "../secrets/x"])
def test_a_name_that_no_object_can_have_is_asked_of_nobody(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    error = ask(monkeypatch, Server(), name).exception
    assert isinstance(error, errors.SettingsError)
    assert "cannot be the name of an object" in error.message


def test_where_there_are_none_it_says_how_to_make_one() -> None:
    assert "docs/quick-start.md" in text(status._table([], width=200))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_narrow_terminal_costs_columns_never_the_name_or_the_state(width: int) -> None:
    wordy = item(conditions=[condition("Drifted", "False"), condition("Ready", "True", message="very long " * 50)])
    found = text(status._table([wordy], width=width), width).splitlines()
    assert len(found) == 2
    assert all(len(line.rstrip()) <= width for line in found)
    for part in ("web", "shop", "True", "False"):
        assert part in found[1]
    assert ("AGE" in found[0]) is (width >= 120)


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        ({"minutes": 9, "seconds": 30}, r"9 m 3\d s"),
        ({"minutes": 10, "seconds": 30}, "10 m"),
        ({"hours": 5, "minutes": 7, "seconds": 30}, "5 h 7 m"),
        ({"days": 1, "minutes": 30}, "1 d"),
        ({"days": 2, "hours": 3, "minutes": 30}, "2 d 3 h"),
        ({"hours": -1}, "0 s"),
    ],
)
def test_an_age_is_as_exact_as_it_matters(span: dict[str, int], shown: str) -> None:
    assert re.fullmatch(shown, layout.age(ago(**span)))


@pytest.mark.parametrize("nonsense", ["", "now", "2026-13-01T00:00:00Z", "2026-11-21T12:00:00", "9" * 1000])
def test_what_is_no_time_has_no_age(nonsense: str) -> None:
    assert layout.age(nonsense) == "?"


@pytest.mark.parametrize(("revision", "shown"), [(f"main@sha1:{A}", f"main@{A[:12]}"), (A, A[:12]), ("v1.2", "v1.2"), ("", "")])
def test_commits_are_cut_and_nothing_else(revision: str, shown: str) -> None:
    assert status_detail.short(revision) == shown
