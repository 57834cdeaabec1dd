"""Git servers and histories that go wrong: told by their reason; what was applied stays untouched and is still repaired; it heals by itself.

Aspects: a server that is gone, silent, slow, or lies · hostile refs · history that is deleted, rewritten or emptied · waiting for as long as it was asked to.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.support.faulty_git import (
    Fault,
    FaultyGit,
    corrupt,
    drip,
    endless,
    hang,
    html,
    redirect,
    redirect_loop,
    refs,
    resealed,
    status,
    truncated,
    wrong_checksum,
    wrong_hash,
)
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

OBJECTS = ("one", "two", "three")


@pytest.fixture
def faulty(world: World) -> Iterator[FaultyGit]:
    """A second way to this test's repository."""
    with FaultyGit(world.repository.directory.parent) as server:
        yield server


def settle(world: World, **git: Any) -> None:
    """Have three objects applied."""
    world.declare(git=git)
    world.wait_applied(world.commit({f"{name}.yaml": text(config_map(name, k="v")) for name in OBJECTS}))


def versions(world: World) -> dict[str, str]:
    """The resourceVersion of each object; any write would change it."""
    found = {name: world.api.get(world.path("configmaps", name)) for name in OBJECTS}
    return {name: body["metadata"]["resourceVersion"] for name, body in found.items() if body}


def assert_still_repaired(world: World) -> None:
    """Drift is repaired, whatever the source is like."""
    path = world.path("configmaps", "one")
    world.api.merge(path, {"data": {"k": "drifted"}}, manager="somebody")
    until("the drift is repaired", lambda: (world.api.get(path) or {}).get("data") == {"k": "v"})


LAMP: dict[str, str] = {"lamp.yaml": text(config_map("lamp", k="v"))}

FAULTS: dict[str, tuple[Fault, str, str]] = {
    "silent": (hang, "FetchTimeout", "spec.source.git.timeout"),
    "a-byte-a-second": (drip, "FetchTimeout", "spec.source.git.timeout"),
    "refs-without-end": (endless, "FetchTimeout", "spec.source.git.timeout"),
    "pack-cut-short": (truncated, "FetchFailed", "cannot read"),
    "pack-corrupt": (corrupt, "FetchFailed", "cannot read"),
    "pack-corrupt-but-sealed": (resealed, "FetchFailed", "cannot read"),
    "pack-with-wrong-checksum": (wrong_checksum, "FetchFailed", "cannot read"),
    "ref-name-with-a-nul": (refs("refs/heads/a\0b"), "FetchFailed", "cannot read"),
    "page-instead-of-refs": (html, "FetchFailed", "cannot read"),
    "server-error": (status(500), "FetchFailed", "HTTP 500"),
    "server-unavailable": (status(503), "FetchFailed", "HTTP 503"),
    "too-many-requests": (status(429, {"Retry-After": "1"}), "FetchFailed", "HTTP 429"),
    "negotiate-for-ever": (status(401, {"WWW-Authenticate": "Negotiate"}), "AuthFailed", "spec.source.git.secretRef"),
    "redirect-to-another-host": (redirect("http://localhost:9"), "FetchFailed", "redirects to http://localhost"),
    "redirect-to-a-file": (redirect("file:///etc/passwd?"), "FetchFailed", "redirects to file://"),
    "redirect-in-a-circle": (redirect_loop, "FetchFailed", "redirects more than 5 times"),
}


@pytest.mark.parametrize(("fault", "reason", "mentions"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_server_is_told_and_costs_nothing_but_news(world: World, faulty: FaultyGit, fault: Fault, reason: str, mentions: str):
    settle(world, url=faulty.url(world.name), timeout="2s")
    before = versions(world)
    faulty.fault = fault
    commit = world.commit(LAMP)
    world.wait_failed(reason, mentions=mentions, kind="SourceReady")
    world.wait_failed(reason, mentions=mentions)
    assert versions(world) == before
    assert_still_repaired(world)
    assert world.condition("SourceReady")["reason"] == reason
    faulty.fault = None
    world.wait_applied(commit)


def test_a_commit_that_is_not_what_was_promised_is_never_applied(world: World, faulty: FaultyGit):
    settle(world, url=faulty.url(world.name))
    before = versions(world)
    faulty.turn_bad(wrong_hash)
    commit = world.commit(LAMP)
    condition = until("the source is refused", lambda: (c := world.condition("SourceReady")).get("status") == "False" and c)
    assert condition["reason"] in ("FetchFailed", "SourceInvalid", "RefNotFound")
    assert versions(world) == before
    assert world.api.get(world.path("configmaps", "lamp")) is None
    faulty.fault = None
    world.wait_applied(commit)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([f"refs/heads/b{number}" for number in range(10_000)], id="ten-thousand"),
        pytest.param(["refs/heads/" + "x" * 5000], id="five-thousand-characters"),
        pytest.param(["refs/heads/../../../x", "refs/../../HEAD", "../config"], id="out-of-the-repository"),
        pytest.param(["refs/heads/\x1b[31m", "refs/heads/-x", "refs/heads/a b~^:?*[\\"], id="unprintable"),
    ],
)
def test_refs_that_nobody_follows_do_no_harm(world: World, faulty: FaultyGit, names: list[str]):
    settle(world, url=faulty.url(world.name))
    faulty.fault = refs(*names)
    world.wait_applied(world.commit(LAMP))


def test_a_server_that_dies_is_told_and_found_again_when_it_is_back(world: World):
    root = world.repository.directory.parent
    with GitServer(root) as server:
        port = server.port
        settle(world, url=server.url(world.name))
        before = versions(world)
    world.wait_failed("FetchFailed", mentions="Connection refused", kind="SourceReady")
    assert versions(world) == before
    assert_still_repaired(world)
    commit = world.commit(LAMP, tell=False)
    with GitServer(root, port=port):
        world.wait_applied(commit)


def test_a_silent_server_delays_nobody_elses_source(world: World, faulty: FaultyGit):
    faulty.fault = hang
    world.declare("silent", git={"url": faulty.url(world.name), "timeout": "60s"})
    settle(world)
    started = time.monotonic()
    world.wait_applied(world.commit(LAMP, tell=False))
    assert time.monotonic() - started < 5
    assert world.condition(name="silent").get("status") != "True"


def test_a_server_that_asks_for_a_pause_gets_it(world: World, faulty: FaultyGit):
    settle(world, url=faulty.url(world.name))
    faulty.fault = status(429, {"Retry-After": "4"})
    world.wait_failed("FetchFailed", mentions="HTTP 429", kind="SourceReady")
    asked = len(faulty.requests)
    time.sleep(2.5)  # more than two polls
    assert len(faulty.requests) <= asked + 1


def test_a_source_that_is_away_for_too_long_is_stale(world: World, faulty: FaultyGit):
    settle(world, url=faulty.url(world.name), staleAfter="3s")
    before = versions(world)
    faulty.fault = status(500)
    world.wait_failed("FetchFailed", kind="SourceReady")
    world.wait_failed("SourceStale", mentions="staleAfter 3s", kind="SourceReady")
    assert versions(world) == before
    assert_still_repaired(world)
    faulty.fault = None
    until("it is fresh again", lambda: world.condition("SourceReady").get("status") == "True")


# -- history -------------------------------------------------------------------------------------------------------------


def test_a_deleted_branch_prunes_nothing(world: World):
    world.repository.git("checkout", "-q", "-b", "live")
    settle(world, ref={"branch": "live"})
    before = versions(world)
    world.repository.git("checkout", "-q", "--detach")
    world.repository.git("branch", "-q", "-D", "live")
    world.wait_failed("RefNotFound", mentions="live", kind="SourceReady")
    world.wait_failed("RefNotFound", mentions="live")
    assert versions(world) == before
    assert_still_repaired(world)
    world.repository.git("checkout", "-q", "-b", "live")
    until("it is ready again", lambda: world.condition().get("status") == "True")


def test_a_rewritten_history_is_refused_until_it_is_allowed(world: World):
    settle(world)
    before = versions(world)
    world.repository.git("commit", "-q", "--amend", "-m", "rewritten", "--no-edit")
    rewritten = world.commit({**LAMP, "two.yaml": None})
    world.wait_failed("RewindRefused", mentions="allowRewind", kind="SourceReady")
    world.wait_failed("RewindRefused", mentions="allowRewind")
    assert versions(world) == before
    assert_still_repaired(world)
    world.declare(git={"allowRewind": True})
    world.wait_applied(rewritten)
    assert world.api.get(world.path("configmaps", "two")) is None


def test_a_branch_that_goes_back_is_refused_until_it_is_restored(world: World):
    settle(world)
    newest = world.commit(LAMP)
    world.wait_applied(newest)
    before = versions(world)
    world.repository.git("reset", "-q", "--hard", "HEAD~1")
    world.wait_failed("RewindRefused", mentions="an older commit", kind="SourceReady")
    assert versions(world) == before
    assert world.api.get(world.path("configmaps", "lamp")) is not None
    world.repository.git("reset", "-q", "--hard", newest)
    world.wait_applied(newest)


def test_an_emptied_path_prunes_nothing(world: World):
    settle(world)
    before = versions(world)
    world.commit({**{f"{name}.yaml": None for name in OBJECTS}, "README": "nothing here"})
    world.wait_failed("EmptyRender", mentions="declares no objects")
    assert versions(world) == before
    world.wait_applied(world.commit({f"{name}.yaml": text(config_map(name, k="v")) for name in OBJECTS}))
    assert versions(world) == before


def test_a_removed_path_prunes_nothing(world: World):
    world.repository.commit({"other/README": "nothing here"})
    settle(world)
    before = versions(world)
    world.commit({f"{name}.yaml": None for name in OBJECTS})
    world.wait_failed("PathNotFound", mentions="apps", kind="SourceReady")
    world.wait_failed("PathNotFound", mentions="apps")
    assert versions(world) == before
    assert_still_repaired(world)
    world.wait_applied(world.commit({f"{name}.yaml": text(config_map(name, k="v")) for name in OBJECTS}))
