"""Globs of manifest files.

Aspects: one name · directories · characters · include and exclude · what cannot be read · no glob is slow.
"""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.render.globs import matcher


def matches(glob: str, path: str) -> bool:
    return matcher([glob], ())(path)


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("a.yaml", ["a.yaml", "x/a.yaml", "x/y/a.yaml"], ["ba.yaml", "a.yaml/b.yaml"]),
        ("/a.yaml", [], ["x/a.yaml"]),
        ("./a/*.yaml", ["a/b.yaml"], ["x/a/b.yaml"]),
        ("*.yaml", ["a.yaml", ".yaml", "x/a.yaml"], ["a.yml"]),
        ("*", ["a.yaml", "x/y/a.json"], []),
        ("apps/*", ["apps/a.yaml"], ["apps/x/a.yaml", "x/apps/a.yaml"]),
        ("apps/**", ["apps/a.yaml", "apps/x/y/a.yaml"], ["a.yaml", "xapps/a.yaml"]),
        ("apps/", ["apps/a.yaml", "apps/x/a.yaml", "x/apps/a.yaml"], ["a.yaml", "apps.yaml"]),
        ("**/prod/*.yaml", ["prod/a.yaml", "x/y/prod/a.yaml"], ["prod/x/a.yaml", "xprod/a.yaml"]),
        ("a/**/b.yaml", ["a/b.yaml", "a/x/b.yaml", "a/x/y/b.yaml"], ["ab.yaml", "a/xb.yaml"]),
        ("a**b.yaml", ["ab.yaml", "axxb.yaml", "d/ab.yaml"], ["a/b.yaml"]),
        ("?.yaml", ["a.yaml", "ä.yaml"], ["ab.yaml", ".yaml"]),
        ("a?b/c.yaml", ["axb/c.yaml"], ["a/b/c.yaml"]),
        ("[ab].yaml", ["a.yaml", "b.yaml"], ["c.yaml"]),
        ("[a-c].yaml", ["b.yaml"], ["d.yaml"]),
        ("[!ab].yaml", ["c.yaml"], ["a.yaml"]),
        ("[^ab].yaml", ["c.yaml"], ["a.yaml"]),
        ("x[!a]y/b.yaml", ["xby/b.yaml"], ["x/y/b.yaml"]),
        ("[].yaml", ["[].yaml"], ["a.yaml"]),
        ("[.yaml", ["[.yaml"], ["a.yaml"]),
        ("a+b(c)|d$.yaml", ["a+b(c)|d$.yaml"], ["aab(c)|d$.yaml", "d$.yaml"]),
        ("größe/*.yaml", ["größe/a.yaml"], ["grosse/a.yaml"]),
    ],
)
def test_a_glob_means_what_gitignore_says(glob: str, yes: list[str], no: list[str]) -> None:
    assert [path for path in yes if not matches(glob, path)] == []
    assert [path for path in no if matches(glob, path)] == []


@pytest.mark.parametrize(("name", "is_read"), [("a.yaml", True), ("a.yml", True), ("a.json", True), ("a.txt", False), ("a.YAML", False)])
def test_only_files_of_manifests_are_read_whatever_the_globs_say(name: str, is_read: bool) -> None:
    assert matcher((), ())(name) is is_read
    assert matcher(["**"], ())(name) is is_read


def test_any_glob_of_several_is_enough_and_exclude_wins() -> None:
    matches = matcher(["a/*", "b/*"], ["b/x.yaml", "*.json"])
    assert [path for path in ("a/a.yaml", "b/a.yaml", "b/x.yaml", "a/a.json", "c/a.yaml") if matches(path)] == ["a/a.yaml", "b/a.yaml"]


@pytest.mark.parametrize("glob", ["test", "test/", "test/**", "/test", "te*"])
def test_a_directory_that_is_excluded_is_so_with_everything_in_it(glob: str) -> None:
    matches = matcher((), [glob.removeprefix("/")])
    assert [path for path in ("a.yaml", "test/a.yaml", "test/b/a.yaml") if matches(path)] == ["a.yaml"]


def test_exclude_alone_leaves_the_rest() -> None:
    assert [path for path in ("a.yaml", "test/a.yaml") if matcher((), ["test/"])(path)] == ["a.yaml"]


@pytest.mark.parametrize("lists", [(["[z-a].yaml"], []), ([], ["[z-a].yaml"])])
def test_a_range_that_goes_backwards_is_an_invalid_spec(lists: tuple[list[str], list[str]]) -> None:
    with pytest.raises(errors.InvalidSpecError, match="glob"):
        matcher(*lists)


@given(st.lists(st.text("ab*?[]!^-/.\\&~|(){}+$", max_size=12), max_size=3), st.text("ab/.-[]", max_size=12))
def test_no_glob_raises_anything_else(globs: list[str], path: str) -> None:
    with contextlib.suppress(errors.InvalidSpecError):
        matcher(globs, globs)(path + ".yaml")


@given(st.text(st.characters(exclude_characters="*?[/", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_a_name_without_signs_means_itself(name: str) -> None:
    assert matcher([f"d/{name}.yaml"], ())(f"d/{name}.yaml")
    assert not matcher([f"d/{name}.yaml"], ())(f"d/x{name}.yaml")


@pytest.mark.parametrize("glob", ["**/" * 40 + "x.yaml", "*a" * 60 + ".yaml", "a/" + "**/*" * 30 + "/z.yaml", "**" * 60 + "z.yaml"])
def test_no_glob_takes_for_ever(glob: str) -> None:
    path = "a/" * 60 + "a" * 200 + ".yaml"
    started = time.perf_counter()
    matches(glob, path)
    assert time.perf_counter() - started < 1
