"""The source stage, on fakes of its ports.

Aspects: news · what the source is asked with · the last good commit stays in use · staleness · descent from what was applied · after a restart · a lost cache.
"""

from dataclasses import replace
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.reconcile.source_stage import NO_BASELINE, NOTHING_SEEN, Baseline, Seen, SourceStage, baseline_of, seen_of
from tests.unit.builders import artifact, body
from tests.unit.reconcile.fakes import Stage, spec

URL = "https://git.example.com/a"
COMMIT = "4c1f" * 10
REFUSED = errors.FetchFailedError("refused")


class Source:
    """A source stage with everything around it."""

    def __init__(self, baseline: Baseline = NO_BASELINE, seen: Seen = NOTHING_SEEN) -> None:
        self.around = Stage()
        self.git = self.around.git
        self.clock = self.around.clock
        self.references = self.around.references
        self.stage = SourceStage(self.around.world, namespace="default", baseline=baseline, seen=seen)
        self.spec = spec()
        self.git.commit(body("a"))

    async def look(self, *, fresh: bool = True) -> bool:
        return await self.stage.look(self.spec, fresh=fresh)

    @property
    def results(self) -> list[str]:
        return [result for what, result in self.around.meter.counted if what == "fetched"]


@pytest.fixture
def source() -> Source:
    return Source()


# -- news --------------------------------------------------------------------------------------------------------------


async def test_a_new_commit_is_news_once(source: Source) -> None:
    assert await source.look()
    assert source.stage.artifact is source.git.head
    assert not await source.look()
    source.git.commit(body("b"))
    assert await source.look()
    assert source.stage.artifact is source.git.head


async def test_an_error_is_news_when_it_comes_changes_and_goes(source: Source) -> None:
    await source.look()
    news = []
    for error in (REFUSED, REFUSED, errors.FetchFailedError("refused"), errors.AuthFailedError("denied"), None, None):
        source.git.error = error
        news.append(await source.look())
    assert news == [True, False, False, True, True, False]
    assert source.results == ["ok", "FetchFailed", "FetchFailed", "FetchFailed", "AuthFailed", "ok", "ok"]


async def test_whatever_happens_to_the_source_the_last_good_commit_stays(source: Source) -> None:
    await source.look()
    good = source.stage.artifact
    for error in (
        REFUSED,
        errors.RewindRefusedError("rewritten"),
        errors.VerificationFailedError("unsigned"),
        errors.RefNotFoundError("gone"),
    ):
        source.git.error = error
        await source.look()
        assert source.stage.artifact is good
        assert source.stage.error(source.spec) is error


async def test_a_look_that_succeeds_ends_the_error(source: Source) -> None:
    source.git.error = REFUSED
    await source.look()
    source.git.error = None
    await source.look()
    assert source.stage.error(source.spec) is None


async def test_a_fault_of_our_own_is_not_taken_for_the_sources(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(source.git, "fetch", fault)
    with pytest.raises(ZeroDivisionError):
        await source.look()


# -- asking ------------------------------------------------------------------------------------------------------------


async def test_the_source_is_asked_with_what_is_known(source: Source) -> None:
    await source.look()
    await source.look()
    assert [look["known"] for look in source.git.looks] == [None, source.git.head]


@pytest.mark.parametrize(("fresh", "max_age"), [(True, 0.0), (False, 15.0)])
async def test_an_answer_of_half_an_interval_ago_will_do_unless_it_must_be_fresh(source: Source, fresh: bool, max_age: float) -> None:
    source.spec = spec(git={"interval": "30s"})
    await source.look(fresh=fresh)
    assert source.git.looks[-1]["max_age"] == max_age


async def test_credentials_and_keys_are_read_from_their_secrets(source: Source) -> None:
    source.spec = spec(git={"secretRef": {"name": "auth"}, "verify": {"secretRef": {"name": "keys"}}})
    source.references.data = {("Secret", "default", "auth"): {"password": b"p"}, ("Secret", "default", "keys"): {"a.asc": b"k"}}
    await source.look()
    access = source.git.looks[-1]["access"]
    assert (access.secret, access.credentials, access.keys) == ("default/auth", {"password": b"p"}, {"a.asc": b"k"})


async def test_a_missing_secret_is_an_error_of_the_source(source: Source) -> None:
    source.spec = spec(git={"secretRef": {"name": "auth"}})
    assert await source.look()
    assert isinstance(source.stage.error(source.spec), errors.ReferenceMissingError)
    assert source.git.looks == []


async def test_secrets_are_kept_while_the_source_can_be_read_and_read_anew_when_not(source: Source) -> None:
    source.spec = spec(git={"secretRef": {"name": "auth"}})
    source.references.data = {("Secret", "default", "auth"): {}}
    ages = []
    for error, fresh in ((None, False), (None, True), (REFUSED, False), (None, False), (None, False)):
        source.git.error = error
        await source.look(fresh=fresh)
        ages.append(source.references.reads[-1][2])
    assert ages == [600.0, 0.0, 600.0, 0.0, 600.0]


# -- staleness ---------------------------------------------------------------------------------------------------------


async def test_a_source_that_fails_too_long_is_stale(source: Source) -> None:
    source.spec = spec(git={"staleAfter": "15m"})
    await source.look()
    source.git.error = REFUSED
    source.clock.seconds += 600
    await source.look()
    assert source.stage.error(source.spec) is REFUSED
    due = source.stage.stale_at(source.spec)
    assert due == source.clock.seconds + 300
    source.clock.seconds = due
    error = source.stage.error(source.spec)
    assert isinstance(error, errors.SourceStaleError)
    assert "since 2026-01-01T00:16:40Z (staleAfter 15m); the last one: refused" in error.message
    assert source.stage.stale_at(source.spec) is None


async def test_the_message_of_a_stale_source_stays_the_same_while_time_goes_on(source: Source) -> None:
    source.spec = spec(git={"staleAfter": "15m"})
    source.git.error = REFUSED
    told = set()
    for _ in range(3):
        await source.look()
        source.clock.seconds += 1000
        told.add(str(source.stage.error(source.spec)))
    assert len(told) == 1


async def test_a_source_that_was_never_read_becomes_stale_too(source: Source) -> None:
    source.spec = spec(git={"staleAfter": "15m"})
    source.git.error = REFUSED
    await source.look()
    source.clock.seconds += 900
    assert isinstance(source.stage.error(source.spec), errors.SourceStaleError)


async def test_a_source_that_answers_is_not_stale(source: Source) -> None:
    source.spec = spec(git={"staleAfter": "15m"})
    for _ in range(20):
        await source.look()
        source.clock.seconds += 600
        assert source.stage.error(source.spec) is None
    assert source.stage.stale_at(source.spec) == source.clock.seconds + 300


async def test_a_look_that_does_not_end_makes_it_stale_too(source: Source) -> None:
    source.spec = spec(git={"staleAfter": "15m"})
    await source.look()
    source.clock.seconds += 900
    error = source.stage.error(source.spec)
    assert isinstance(error, errors.SourceStaleError)
    assert "the one under way has not ended" in error.message


async def test_without_a_limit_a_source_that_fails_is_not_stale(source: Source) -> None:
    source.git.error = REFUSED
    await source.look()
    source.clock.seconds += 1_000_000
    assert source.stage.error(source.spec) is REFUSED
    assert source.stage.stale_at(source.spec) is None


async def test_a_stale_source_is_well_after_one_good_look(source: Source) -> None:
    source.spec = spec(git={"staleAfter": "15m"})
    source.git.error = REFUSED
    await source.look()
    source.clock.seconds += 900
    source.git.error = None
    await source.look()
    assert source.stage.error(source.spec) is None
    source.git.error = REFUSED
    await source.look()
    assert source.stage.stale_at(source.spec) == source.clock.seconds + 900


# -- descent -----------------------------------------------------------------------------------------------------------


async def test_a_new_commit_has_to_descend_from_the_one_that_was_applied(source: Source) -> None:
    await source.look()
    assert source.git.looks[-1]["baseline"] == ""
    assert source.stage.artifact
    source.stage.applied(source.stage.artifact)
    await source.look()
    assert source.git.looks[-1]["baseline"] == source.stage.artifact.commit


@pytest.mark.parametrize(
    "git",
    [
        pytest.param({"url": "https://git.example.com/other"}, id="another-repository"),
        pytest.param({"ref": {"branch": "next"}}, id="another-branch"),
        pytest.param({"ref": {"tag": "v1"}}, id="a-tag"),
        pytest.param({"ref": {"commit": COMMIT}}, id="a-commit"),
    ],
)
async def test_another_source_is_a_new_beginning(source: Source, git: dict[str, Any]) -> None:
    await source.look()
    source.stage.applied(artifact(COMMIT))
    source.spec = spec(git=git)
    await source.look()
    assert source.git.looks[-1]["baseline"] == ""


async def test_a_commit_that_is_named_need_not_descend_from_anything(source: Source) -> None:
    source.spec = spec(git={"ref": {"commit": COMMIT}})
    source.stage.applied(artifact(COMMIT))
    await source.look()
    assert source.git.looks[-1]["baseline"] == ""


# -- after a restart ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, NO_BASELINE),
        ({"lastAppliedFrom": None}, NO_BASELINE),
        (
            {"lastAppliedRevision": f"main@sha1:{COMMIT}", "lastAppliedFrom": {"url": URL, "ref": "branch main"}},
            (URL, "branch main", COMMIT),
        ),
        ({"lastAppliedRevision": f"sha1:{COMMIT}", "lastAppliedFrom": {"url": URL, "ref": "tag v1"}}, (URL, "tag v1", COMMIT)),
        (
            {"lastAppliedRevision": f"v1@sha1:{COMMIT}", "lastAppliedFrom": {"url": URL, "ref": "semver ^1 (refs/tags/v1)"}},
            (URL, "semver ^1", COMMIT),
        ),
        ({"lastAppliedRevision": f"main@sha1:{COMMIT}"}, ("", "", COMMIT)),
        ({"lastAppliedRevision": f"main@sha1:{COMMIT}", "source": {"url": URL, "ref": "branch main"}}, ("", "", COMMIT)),
        ({"lastAppliedRevision": "main@sha1:4c1f", "lastAppliedFrom": {"url": URL}}, NO_BASELINE),
        ({"lastAppliedRevision": "main@sha256:" + "a" * 64, "lastAppliedFrom": {"url": URL}}, NO_BASELINE),
        ({"lastAppliedRevision": "main@sha1:" + "../" * 13 + "a", "lastAppliedFrom": {"url": URL}}, NO_BASELINE),
    ],
)
def test_a_status_tells_what_was_applied_last(status: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert baseline_of(status)[:3] == expected[:3]


def test_a_status_tells_what_kind_of_source_it_was() -> None:
    applied = {"url": URL, "ref": "branch main", "path": "apps", "type": "Helm"}
    assert baseline_of({"lastAppliedRevision": f"main@sha1:{COMMIT}", "lastAppliedFrom": applied})[3:] == ("apps", "Helm")


BASELINE = Baseline(URL, "branch main", COMMIT)


async def test_the_first_look_after_a_restart_is_held_against_what_was_applied() -> None:
    source = Source(BASELINE)
    await source.look()
    assert source.git.looks[-1]["baseline"] == COMMIT


SEEN = Seen(URL, "branch main", f"main@sha1:{COMMIT}")
SOURCE = {"url": URL, "ref": "semver ^1 (refs/tags/v1)", "revision": f"v1@sha1:{COMMIT}"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, NOTHING_SEEN),
        ({"source": SOURCE}, Seen(URL, "semver ^1", f"v1@sha1:{COMMIT}")),
        ({"source": {**SOURCE, "revision": "main@sha1:4c1f"}}, NOTHING_SEEN),
        ({"lastAppliedRevision": f"main@sha1:{COMMIT}", "lastAppliedFrom": {"url": URL, "ref": "branch main"}}, NOTHING_SEEN),
    ],
)
def test_a_status_tells_what_was_seen_last(status: dict[str, Any], expected: Seen) -> None:
    assert seen_of(status) == expected


async def test_with_the_source_away_what_was_seen_last_is_taken_from_the_cache_under_the_name_it_had() -> None:
    source = Source(BASELINE, SEEN)
    source.git.error = REFUSED
    source.git.kept = {COMMIT: replace(artifact(COMMIT), revision=f"sha1:{COMMIT}")}
    assert await source.look()
    assert source.stage.artifact == replace(artifact(COMMIT), revision=SEEN.revision)
    assert source.stage.error(source.spec) is REFUSED


async def test_with_the_source_away_nothing_older_than_what_was_seen_last_is_taken() -> None:
    source = Source(BASELINE, SEEN._replace(revision="main@sha1:" + "9" * 40))
    source.git.error = REFUSED
    source.git.kept = {COMMIT: artifact(COMMIT)}
    await source.look()
    assert source.stage.artifact is None


async def test_with_the_cache_lost_and_the_source_away_what_was_seen_is_taken_and_not_what_was_applied() -> None:
    source = Source(BASELINE)
    await source.look()
    newest = source.stage.artifact
    assert newest is not None
    source.git.kept, source.git.error = {COMMIT: artifact(COMMIT), newest.commit: newest}, REFUSED
    source.stage.lost()
    await source.look()
    assert source.stage.artifact == newest
    assert newest.commit != COMMIT


@pytest.mark.parametrize("seen", [NOTHING_SEEN, SEEN._replace(selector="branch next"), SEEN._replace(url="https://x")])
async def test_what_was_seen_of_another_source_is_not_taken(seen: Seen) -> None:
    source = Source(BASELINE, seen)
    source.git.error = REFUSED
    source.git.kept = {COMMIT: artifact(COMMIT)}
    await source.look()
    assert source.stage.artifact is None


async def test_a_cache_that_lost_it_too_changes_nothing_in_what_is_told() -> None:
    source = Source(BASELINE, SEEN)
    source.git.error = REFUSED
    assert await source.look()
    assert source.stage.artifact is None
    assert source.stage.error(source.spec) is REFUSED


# -- a lost cache ------------------------------------------------------------------------------------------------------


async def test_a_lost_cache_is_forgotten_and_looked_for_at_once(source: Source) -> None:
    await source.look()
    lost = source.stage.artifact
    source.stage.lost()
    assert (source.git.forgotten, source.stage.artifact, source.stage.wants_look) == ([lost], None, True)
    assert await source.look()
    assert source.stage.artifact is source.git.head
    assert not source.stage.wants_look


async def test_a_look_that_fails_after_a_loss_does_not_want_another_at_once(source: Source) -> None:
    await source.look()
    source.stage.lost()
    source.git.error = REFUSED
    await source.look()
    assert not source.stage.wants_look


@pytest.mark.parametrize("revision", ["main@sha1:" + "z" * 40, "sha1:" + "A" * 40, "sha1:" + "1" * 39, "nonsense", ""])
def test_a_status_that_somebody_spoilt_is_no_baseline(revision: str) -> None:
    """It goes to a child that answers others too."""
    status = {"lastAppliedRevision": revision, "lastAppliedFrom": {"url": "u", "ref": "branch main"}, "source": {"revision": revision}}
    assert (baseline_of(status), seen_of(status)) == (NO_BASELINE, NOTHING_SEEN)
