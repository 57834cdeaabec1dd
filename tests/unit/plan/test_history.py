"""The history of revisions.

Aspects: how a revision goes from stage to stage · one that declares the same as the one before · what was good last · how much is kept · what is read from a status · quarantine · what a roll-out is known by.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.plan.history import CORRELATION_CHARACTERS, Entry, History, Stage, commit_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE, TWO, THREE = (f"main@sha1:{digit * 40}" for digit in "123")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def lived(*revisions: tuple[str, Stage], limit: int = 10) -> History:
    """Revisions that were begun one after the other, oldest first, and how far they came."""
    history = History()
    for revision, stage in revisions:
        history.begin(revision, NOW, limit=limit)
        if stage in (Stage.APPLIED, Stage.HEALTHY):
            history.applied(NOW, healthy=stage is Stage.HEALTHY)
        elif stage is Stage.UNHEALTHY:
            history.quarantine(commit_of(revision), "bad", NOW)
    return history


def stages(history: History) -> list[Stage]:
    return [entry.stage for entry in history.entries]


def test_a_revision_goes_from_applying_over_applied_to_healthy() -> None:
    history = lived((ONE, Stage.APPLYING))
    seen = [history.entries[0]]
    for seconds, healthy in ((5, False), (7, False), (9, True), (11, True)):
        history.applied(later(seconds), healthy=healthy)
        seen.append(history.entries[0])
    assert [(entry.stage, entry.seconds) for entry in seen] == [
        (Stage.APPLYING, None),
        (Stage.APPLIED, 5),
        (Stage.APPLIED, 5),
        (Stage.HEALTHY, 9),
        (Stage.HEALTHY, 9),
    ]


def test_what_was_healthy_once_stays_so() -> None:
    history = lived((ONE, Stage.HEALTHY))
    history.applied(later(100), healthy=False)
    assert stages(history) == [Stage.HEALTHY]


def test_to_begin_the_same_again_changes_nothing() -> None:
    history = lived((ONE, Stage.APPLIED))
    before = list(history.entries)
    history.begin(ONE, later(100), limit=10)
    assert history.entries == before


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage.APPLYING, Stage.SUPERSEDED),
        (Stage.APPLIED, Stage.SUPERSEDED),
        (Stage.HEALTHY, Stage.HEALTHY),
        (Stage.UNHEALTHY, Stage.UNHEALTHY),
    ],
)
def test_a_newer_revision_supersedes_one_that_did_not_come_to_its_end(stage: Stage, expected: Stage) -> None:
    assert stages(lived((ONE, stage), (TWO, Stage.APPLYING))) == [Stage.APPLYING, expected]


def test_a_revision_that_declares_the_same_as_a_healthy_one_is_healthy() -> None:
    history = lived((ONE, Stage.HEALTHY))
    history.begin(TWO, later(100), limit=10, is_same=True)
    assert history.entries[0] == Entry(TWO, commit_of(TWO), later(100), Stage.HEALTHY, 0.0)
    assert (stages(history), history.good()) == ([Stage.HEALTHY] * 2, history.entries[0])


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage.APPLYING, [Stage.APPLYING, Stage.SUPERSEDED]),
        (Stage.APPLIED, [Stage.APPLIED, Stage.SUPERSEDED]),
        (Stage.UNHEALTHY, [Stage.APPLYING, Stage.UNHEALTHY]),
    ],
)
def test_a_revision_that_declares_the_same_as_one_that_is_not_healthy_has_no_time_of_its_own(stage: Stage, expected: list[Stage]) -> None:
    history = lived((ONE, stage))
    history.begin(TWO, later(100), limit=10, is_same=True)
    assert (stages(history), history.entries[0].revision, history.entries[0].started_at) == (expected, TWO, NOW)


def test_a_good_revision_is_the_newest_healthy_one_that_nobody_excluded() -> None:
    history = lived((ONE, Stage.HEALTHY), (TWO, Stage.HEALTHY), (THREE, Stage.APPLIED))
    assert [entry.revision if entry else None for entry in (history.good(), history.good([commit_of(TWO)]))] == [TWO, ONE]
    history.quarantine(commit_of(TWO), "bad", NOW)
    assert history.good([commit_of(ONE)]) is None


def test_only_so_many_are_kept() -> None:
    assert len(lived(*((f"main@sha1:{number:040}", Stage.HEALTHY) for number in range(9)), limit=3).entries) == 3


@pytest.mark.parametrize("limit", [2, 3])
def test_what_could_be_gone_back_to_is_kept_whatever_the_limit(limit: int) -> None:
    bad = [(f"main@sha1:{number:040}", Stage.APPLYING) for number in range(9)]
    history = lived((ONE, Stage.HEALTHY), *bad, limit=limit)
    good = history.good()
    assert (len(history.entries), good and good.revision) == (limit, ONE)
    assert history.entries[0].revision == bad[-1][0]


def test_what_is_quarantined_is_unhealthy_and_may_be_released() -> None:
    history = lived((ONE, Stage.HEALTHY), (TWO, Stage.APPLIED))
    history.quarantine(commit_of(TWO), "bad", later(5))
    assert (stages(history)[0], history.quarantined) == (Stage.UNHEALTHY, {commit_of(TWO): "bad"})
    history.release(commit_of(TWO), NOW)
    history.release(commit_of(THREE), NOW)
    assert history.quarantined == {}


def test_only_the_newest_commit_can_come_again_and_stays_quarantined() -> None:
    history = History(quarantined={commit_of(ONE): "x", commit_of(TWO): "y"})
    history.keep_quarantined(commit_of(TWO))
    assert history.quarantined == {commit_of(TWO): "y"}


def test_a_history_is_read_from_a_status() -> None:
    status = {
        "history": [
            {
                "revision": TWO,
                "outcome": "Applying",
                "startedAt": "2026-01-01T12:00:00.500000Z",
                "digest": "sha256:2",
                "correlationID": "4c1f03a9be126d5b",
            },
            {"revision": ONE, "outcome": "Healthy", "startedAt": "2026-01-01T12:00:00Z", "durationSeconds": 1.5},
        ],
        "quarantined": [{"revision": f"sha1:{commit_of(THREE)}", "message": "bad"}],
    }
    history = History.read(status)
    assert history.entries == [
        Entry(TWO, commit_of(TWO), later(0.5), Stage.APPLYING, None, "sha256:2", "4c1f03a9be126d5b"),
        Entry(ONE, commit_of(ONE), NOW, Stage.HEALTHY, 1.5),
    ]
    assert history.quarantined == {commit_of(THREE): "bad"}


GOOD: dict[str, Any] = {"revision": ONE, "outcome": "Healthy", "startedAt": "2026-01-01T12:00:00Z"}


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({**GOOD, "revision": "main"}, id="no-commit"),
        pytest.param({**GOOD, "outcome": "Wonderful"}, id="unknown-stage"),
        pytest.param({**GOOD, "startedAt": "yesterday"}, id="no-time"),
        pytest.param({**GOOD, "durationSeconds": "long"}, id="no-number"),
        pytest.param({}, id="empty"),
        pytest.param("Healthy", id="no-map"),
        pytest.param(None, id="null"),
    ],
)
def test_what_cannot_be_read_is_left_out(told: Any) -> None:
    assert History.read({"history": [told, GOOD], "quarantined": [told, {"revision": "x"}]}).entries[-1].revision == ONE
    assert len(History.read({"history": [told, GOOD]}).entries) == 1


def test_a_time_without_a_zone_is_left_out() -> None:
    assert History.read({"history": [{**GOOD, "startedAt": "2026-01-01T12:00:00"}]}).entries == []


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(ONE, "1" * 40), ("sha1:" + "a" * 40, "a" * 40), ("main", ""), ("", ""), ("main@sha1:12", ""), ("main@sha1:" + "../" * 13 + "a", "")],
)
def test_a_commit_is_forty_characters_after_its_kind(revision: str, commit: str) -> None:
    assert commit_of(revision) == commit


# -- what a roll-out is known by ---------------------------------------------------------------------------------------


def named(uid: str = "u", revision: str = ONE, began: datetime = NOW) -> str:
    """The name of one roll-out."""
    history = History()
    history.begin(revision, began, limit=10)
    history.describe(digest="sha256:1", uid=uid)
    return history.entries[0].correlation_id


def test_a_roll_out_has_a_name_of_its_own() -> None:
    others = [named(uid="v"), named(revision=TWO), named(began=later(0.001))]
    assert len({named(), *others}) == 4
    assert all(len(one) == CORRELATION_CHARACTERS for one in others)


def test_a_roll_out_keeps_its_name_through_every_stage_and_a_restart() -> None:
    history = History()
    history.begin(ONE, NOW, limit=10)
    history.describe(digest="sha256:1", uid="u")
    told = {"revision": ONE, "outcome": "Applying", "startedAt": "2026-01-01T12:00:00Z", "correlationID": named()}
    again = History.read({"history": [told]})
    for one in (history, again):
        one.applied(later(5), healthy=True)
        one.describe(digest="sha256:1", uid="u")
    assert [one.entries[0].correlation_id for one in (history, again)] == [named(), named()]


def test_a_second_try_is_another_roll_out() -> None:
    history = lived((ONE, Stage.UNHEALTHY))
    history.release(commit_of(ONE), later(60))
    history.describe(digest="sha256:1", uid="u")
    assert history.entries[0].correlation_id == named(began=later(60)) != named()


def test_the_digest_is_that_of_the_newest_render_and_older_revisions_keep_theirs() -> None:
    history = History()
    for revision, digests in ((ONE, ["sha256:1"]), (TWO, ["sha256:2", "sha256:3"])):
        history.begin(revision, NOW, limit=10)
        for digest in digests:
            history.describe(digest=digest, uid="u")
    assert [entry.digest for entry in history.entries] == ["sha256:3", "sha256:1"]


def test_before_anything_was_begun_there_is_nothing_to_name() -> None:
    history = History()
    history.describe(digest="sha256:1", uid="u")
    assert history.entries == []
