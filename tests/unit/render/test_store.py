"""The render store, on a real directory.

Aspects: what goes in comes out · one file for many contents · damage · other versions · writers at the same time · what is collected.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from cvstate_operator.isolation.task import OutOfRoomError
from cvstate_operator.render import store as module
from cvstate_operator.render.parse import parse
from cvstate_operator.render.store import MANY, Shelf, Store

KEYS = [f"{n:040x}" for n in range(MANY)]
Contents = dict[str, tuple[dict[str, Any], bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "rendered")


def content(name: str) -> tuple[dict[str, Any], bytes]:
    """One file with two ConfigMaps."""
    documents = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name + end}} for end in "xy"]
    return parse(b"\n---\n".join(map(orjson.dumps, documents)))


def put(store: Store, *keys: str) -> dict[str, dict[str, Any]]:
    with store.write() as writing:
        for key in keys:
            writing.add(key, *content(key))
    return writing.indexes


def names(store: Store, index: dict[str, Any]) -> list[str]:
    """The objects of a content, as they are read back."""
    return [store.body(index["file"], index["start"] + offset, length)["metadata"]["name"] for *_, offset, length in index["objects"]]


def files(store: Store) -> list[str]:
    return sorted(os.listdir(store.directory))


def age(store: Store, name: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(store.directory / name, (then, then))


# -- in and out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS], ids=["one", "many"])
def test_what_was_put_in_is_found_and_read_back(store: Store, keys: list[str]) -> None:
    written = put(store, *keys)
    assert store.find(keys) == written
    assert all(names(store, written[key]) == [key + "x", key + "y"] for key in keys)
    assert len(files(store)) == 1


def test_an_index_keeps_all_that_it_was_given(store: Store) -> None:
    index = {"objects": [], "problems": [[1, "", "YAMLInvalid", "grün", ""]], "warnings": ["left out"]}
    with store.write() as writing:
        writing.add("k", index, b"")
    assert store.find(["k"]) == {"k": {**index, "file": "k", "start": 0}}


def test_what_was_never_put_in_is_not_found(store: Store) -> None:
    assert store.find(KEYS) == {}
    put(store, *KEYS)
    assert store.find(["other", KEYS[0], *(f"o{n}" for n in range(MANY))]).keys() == {KEYS[0]}


def test_of_few_keys_only_single_contents_are_looked_for(store: Store) -> None:
    put(store, *KEYS)
    put(store, "single")
    assert store.find([KEYS[0], "single"]).keys() == {"single"}


def test_contents_of_several_renders_are_found_together(store: Store) -> None:
    other = [f"o{n}" for n in range(MANY)]
    expected = {**put(store, *KEYS), **put(store, *other), **put(store, "single")}
    assert store.find([*KEYS, *other, "single"]) == expected
    assert len(files(store)) == 3


def test_only_so_many_files_are_searched_and_the_newest_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SEARCHED", 1)
    (old,) = {index["file"] for index in put(store, *KEYS).values()}
    age(store, old, 60)
    new = put(store, *(f"o{n}" for n in range(MANY)))
    assert store.find(KEYS) == {}
    assert store.find([*KEYS, *new]) == new


def test_nothing_is_written_for_nothing(store: Store) -> None:
    assert put(store) == {}
    assert not store.directory.exists()


def test_a_body_that_is_not_there_is_an_error(store: Store) -> None:
    index = put(store, "k")["k"]
    store.discard("k")
    with pytest.raises(FileNotFoundError):
        names(store, index)
    store.discard("k")


def parts(keys: bytes, indexes: bytes) -> bytes:
    """A file without bodies."""
    return keys + indexes + b"cvstate3" + len(keys).to_bytes(8) + len(indexes).to_bytes(8)


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS], ids=["one", "many"])
@pytest.mark.parametrize("kept", [0, 1, 10, -1, -20, -100])
def test_a_truncated_file_is_removed_and_can_be_made_again(store: Store, keys: list[str], kept: int) -> None:
    written = put(store, *keys)
    path = store.directory / written[keys[0]]["file"]
    path.write_bytes(path.read_bytes()[:kept])
    assert store.find(keys) == {}
    assert files(store) == []
    assert put(store, *keys) == written == store.find(keys)


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage" * 100, id="text"),
        pytest.param(bytes(24), id="zeros"),
        pytest.param(b"cvstate3" + b"\xff" * 16, id="lengths-beyond-the-file"),
        pytest.param(parts(b"[]", b"{}"), id="another-key"),
        pytest.param(parts(b'["k"]', b"{}"), id="no-index"),
        pytest.param(parts(b'["k"]', b'{"k": 1}'), id="an-index-that-is-a-number"),
        pytest.param(parts(b'["k"]', b'{"k"'), id="half-an-index"),
        pytest.param(parts(b"[[]]", b"{}"), id="keys-that-are-lists"),
        pytest.param(parts(b"1", b"{}"), id="keys-that-are-a-number"),
    ],
)
def test_garbage_under_the_name_of_a_content_is_never_taken_for_it(store: Store, garbage: bytes) -> None:
    put(store, "k")
    (store.directory / "k").write_bytes(garbage)
    assert store.find(["k"]) == {}
    put(store, "k")
    assert store.find(["k"]).keys() == {"k"}


def test_a_damaged_file_does_not_hide_the_others(store: Store) -> None:
    put(store, *KEYS)
    (bad,) = {index["file"] for index in put(store, *(f"o{n}" for n in range(MANY))).values()}
    (store.directory / bad).write_bytes(b"garbage")
    assert store.find(KEYS).keys() == set(KEYS)
    assert bad not in files(store)


def test_a_body_that_cannot_be_read_leaves_no_file_open(store: Store) -> None:
    index = put(store, "k")["k"]
    size = (store.directory / "k").stat().st_size
    before = os.dup(0)
    os.close(before)
    with pytest.raises(ValueError, match="empty"):
        store.body(index["file"], size, 10)  # beyond its end
    after = os.dup(0)
    os.close(after)
    assert after == before


def test_a_body_whose_bytes_are_damaged_is_an_error(store: Store) -> None:
    index = put(store, "k")["k"]
    path = store.directory / "k"
    path.write_bytes(b"?" + path.read_bytes()[1:])
    with pytest.raises(ValueError, match="JSON"):
        names(store, index)


def test_what_ends_in_an_error_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.write() as writing:
            writing.add("k", *content("k"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert files(store) == []


# -- versions and writers ----------------------------------------------------------------------------------------------


def test_what_another_version_wrote_is_not_used_and_removed(store: Store) -> None:
    put(store, "k")
    other = store.directory.with_name("v2")
    store.directory.rename(other)
    assert store.find(["k"]) == {}
    mine = store.directory.with_name("mine")
    mine.mkdir()
    store.collect(())
    assert not other.exists()
    assert mine.exists()


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS], ids=["one", "many"])
def test_writers_of_the_same_contents_do_not_disturb_each_other(store: Store, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: put(store, *keys), range(40)))
    assert all(one == written[0] for one in written)
    assert store.find(keys) == written[0]
    assert len(files(store)) == 1


def test_a_file_is_not_there_before_it_is_whole(store: Store) -> None:
    with store.write() as writing:
        writing.add("k", *content("k"))
        assert store.find(["k"]) == {}
    assert store.find(["k"]).keys() == {"k"}


# -- collecting --------------------------------------------------------------------------------------------------------


def test_what_is_used_or_was_used_lately_is_kept(store: Store) -> None:
    for name, seconds in (("used", 10 * 86400), ("lately", 3600), ("old", 2 * 86400)):
        put(store, name)
        age(store, name, seconds)
    left = store.collect({"used"})
    assert files(store) == ["lately", "used"]
    assert left == sum((store.directory / name).stat().st_size for name in files(store))


def test_a_shelf_spares_what_is_used_and_what_was_just_rendered(store: Store) -> None:
    shelf = Shelf(store, used=lambda: {"used"})
    for name in ("used", "new", "other"):
        put(store, name)
    paths = {name: str(store.directory / name) for name in ("used", "new", "other")}
    found = shelf.measure(paths["new"])
    assert found == shelf.kept()[paths["new"]]
    assert set(shelf.kept()) == set(paths.values())
    assert set(shelf.spared()) == {paths["used"], paths["new"]}
    shelf.remove(paths["other"])
    assert shelf.measure(paths["other"]) is None
    assert files(store) == ["new", "used"]


def test_what_is_found_again_counts_as_used_lately(store: Store) -> None:
    for name in ("old", "older"):
        put(store, name)
        age(store, name, 4000)
    store.find(["older"])
    kept = Shelf(store, used=tuple).kept()
    assert kept[str(store.directory / "older")].used_at > kept[str(store.directory / "old")].used_at + 3000


def test_a_file_that_grows_too_large_is_given_up(store: Store) -> None:
    small = Store(store.directory.parent, most_bytes=1000)

    def fill() -> None:
        with small.write() as writing:
            for number in range(3):
                writing.add(str(number), {"objects": []}, b"x" * 400)

    with pytest.raises(OutOfRoomError):
        fill()
    assert files(store) == []
    assert small.divided(4).most_bytes == 250


def test_what_a_killed_child_left_goes_soon(store: Store) -> None:
    put(store, "k")
    for name, seconds in ((".dead", 400), (".writing", 10)):
        (store.directory / name).write_bytes(b"x")
        age(store, name, seconds)
    store.collect({"k"})
    assert files(store) == [".writing", "k"]


def test_a_store_that_does_not_exist_yet_holds_nothing(store: Store) -> None:
    assert store.collect(()) == 0
