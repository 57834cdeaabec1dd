"""The Git cache on disk.

Aspects: a place per URL and Secret · what is collected: too old, too much, too scattered · what is in use · what is no repository · damage.
"""

import fcntl
import os
import time
from pathlib import Path

import pytest

from cvstate_operator.source import cache as cache_module
from cvstate_operator.source.cache import MAX_IDLE_SECONDS, MAX_PACKS, GitCache

URL = "https://git.example.org/r"


@pytest.fixture
def cache(tmp_path: Path) -> GitCache:
    return GitCache(tmp_path / "git")


def repository(cache: GitCache, name: str, *, size_bytes: int = 1000, idle_seconds: float = 0, packs: int = 1) -> Path:
    """A repository of that size, used so long ago."""
    directory = cache.repository(f"https://git.example.org/{name}", "")
    (directory / "objects" / "pack").mkdir(parents=True)
    for number in range(packs):
        (directory / "objects" / "pack" / f"{number}.pack").write_bytes(b"")
    (directory / "objects" / "pack" / "0.pack").write_bytes(b"x" * size_bytes)
    then = time.time() - idle_seconds
    os.utime(directory, (then, then))
    return directory


def test_each_url_and_secret_has_a_place_of_its_own(cache: GitCache) -> None:
    places = [cache.repository(url, secret) for url in (URL, f"{URL}2") for secret in ("", "a/auth", "b/auth")]
    assert len(set(places)) == 6
    assert cache.repository(URL, "a/auth") == places[1]


def test_a_url_and_a_secret_cannot_be_mistaken_for_another_pair(cache: GitCache) -> None:
    assert cache.repository(URL + "a", "b/c") != cache.repository(URL, "ab/c")


def test_no_url_leads_out_of_the_cache(cache: GitCache, tmp_path: Path) -> None:
    for url in ("../../etc", "https://h/../../x", "/etc", "a\0b", "x" * 5000):
        place = cache.repository(url, "../..")
        assert place.parent == tmp_path / "git"
        assert place.name.isalnum()
        assert len(place.name) == 32


def test_while_there_is_room_everything_stays(cache: GitCache) -> None:
    places = [repository(cache, name) for name in "abc"]
    assert cache.collect() == 3000
    assert all(place.exists() for place in places)


def test_what_was_used_least_recently_goes_first(cache: GitCache) -> None:
    oldest, middle, newest = (
        repository(cache, "a", idle_seconds=30),
        repository(cache, "b", idle_seconds=20),
        repository(cache, "c", idle_seconds=10),
    )
    cache.used(str(oldest))
    assert cache.collect(max_bytes=2500) == 2000
    assert (oldest.exists(), middle.exists(), newest.exists()) == (True, False, True)


def test_a_large_one_that_does_not_fit_leaves_room_for_older_ones(cache: GitCache) -> None:
    first, large, last = (
        repository(cache, "a", idle_seconds=1),
        repository(cache, "b", idle_seconds=2, size_bytes=5000),
        repository(cache, "c", idle_seconds=3),
    )
    assert cache.collect(max_bytes=2500) == 2000
    assert (first.exists(), large.exists(), last.exists()) == (True, False, True)


@pytest.mark.parametrize(("idle_seconds", "stays"), [(MAX_IDLE_SECONDS - 60, True), (MAX_IDLE_SECONDS + 60, False)])
def test_what_nobody_used_for_long_goes(cache: GitCache, idle_seconds: float, stays: bool) -> None:
    place = repository(cache, "a", idle_seconds=idle_seconds)
    cache.collect()
    assert place.exists() == stays


@pytest.mark.parametrize(("packs", "stays"), [(MAX_PACKS, True), (MAX_PACKS + 1, False)])
def test_what_is_scattered_over_too_many_packs_goes(cache: GitCache, packs: int, stays: bool) -> None:
    place = repository(cache, "a", packs=packs)
    cache.collect()
    assert place.exists() == stays


def test_a_repository_in_use_is_never_removed_and_still_counted(cache: GitCache) -> None:
    place = repository(cache, "a", idle_seconds=2 * MAX_IDLE_SECONDS)
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cache.collect(max_bytes=0) == 1000
        cache.discard(str(place))
        assert place.exists()
    assert cache.collect(max_bytes=0) == 0
    assert not place.exists()


def test_what_a_killed_rebuild_left_counts_and_goes_too(cache: GitCache) -> None:
    left = repository(cache, "a").with_suffix(".new")
    left.mkdir()
    (left / "half").write_bytes(b"x" * 500)
    assert cache.collect() == 1500
    os.utime(left, (0, 0))
    assert cache.collect() == 1000
    assert not left.exists()


def test_a_repository_that_is_discarded_is_gone(cache: GitCache) -> None:
    place = repository(cache, "a")
    cache.discard(str(place))
    cache.discard(str(place))
    assert not place.exists()


def test_an_empty_cache_and_none_at_all_are_collected(cache: GitCache, tmp_path: Path) -> None:
    assert cache.collect() == 0
    (tmp_path / "git").mkdir()
    assert cache.collect() == 0


def test_files_beside_the_repositories_are_left_alone(cache: GitCache, tmp_path: Path) -> None:
    place = repository(cache, "a")
    other = tmp_path / "git" / "note.txt"
    other.write_text("x" * 10_000)
    assert cache.collect(max_bytes=5000) == 1000
    assert other.exists()
    assert place.exists()


def test_a_link_out_of_the_cache_is_never_followed(cache: GitCache, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x" * 10_000)
    place = repository(cache, "a")
    (place / "link").symlink_to(outside)
    cache.discard(str(place))
    assert (outside / "precious").exists()


def test_using_what_is_not_there_is_no_error(cache: GitCache) -> None:
    cache.used(str(cache.repository(URL, "")))


def test_a_cache_that_cannot_be_read_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert GitCache(tmp_path / "file").collect() == 0


def test_the_default_bound_holds(cache: GitCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_size", lambda directory: 4 * 2**30)
    places = [repository(cache, name, idle_seconds=age) for age, name in enumerate("abcd")]
    assert cache.collect() == 8 * 2**30
    assert [place.exists() for place in places] == [True, True, False, False]
