"""Which ref is meant.

Aspects: precedence, as in Flux · branches, tags and full names · annotated and light tags · version ranges: order, pre-releases, `v`, build metadata, what
is no version · what is not there.
"""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.source.refs import Chosen, choose

URL = "https://git.example.org/r"
A, B, C, D, E = (character * 40 for character in "abcde")


def chosen(ref: dict[str, str], heads: dict[str, str]) -> Chosen:
    return choose(ref, heads, url=URL)


def newest(wanted: str, *tags: str) -> str:
    """The tag that is chosen for a range."""
    return chosen({"semver": wanted}, {f"refs/tags/{tag}": A for tag in tags}).short


EVERYTHING = {"refs/heads/dev": A, "refs/tags/stable": B, "refs/tags/v1.2.0": C, "refs/pull/1/head": D, "refs/heads/main": E}


@pytest.mark.parametrize(
    ("ref", "name", "commit"),
    [
        pytest.param(
            {"branch": "dev", "tag": "stable", "semver": "^1", "name": "refs/pull/1/head"}, "refs/pull/1/head", D, id="name-first"
        ),
        pytest.param({"branch": "dev", "tag": "stable", "semver": "^1"}, "refs/tags/v1.2.0", C, id="then-semver"),
        pytest.param({"branch": "dev", "tag": "stable"}, "refs/tags/stable", B, id="then-tag"),
        pytest.param({"branch": "dev"}, "refs/heads/dev", A, id="then-branch"),
        pytest.param({}, "refs/heads/main", E, id="else-main"),
    ],
)
def test_the_more_exact_field_wins(ref: dict[str, str], name: str, commit: str) -> None:
    found = chosen(ref, EVERYTHING)
    assert (found.name, found.commit) == (name, commit)


def test_a_more_exact_field_that_finds_nothing_does_not_fall_back() -> None:
    with pytest.raises(errors.RefNotFoundError):
        chosen({"branch": "dev", "tag": "gone"}, EVERYTHING)


@pytest.mark.parametrize(
    ("ref", "short"),
    [
        ({"branch": "dev"}, "dev"),
        ({"tag": "stable"}, "stable"),
        ({"semver": "1.x"}, "v1.2.0"),
        ({"name": "refs/heads/dev"}, "refs/heads/dev"),
    ],
)
def test_a_revision_spells_it_as_it_was_asked_for(ref: dict[str, str], short: str) -> None:
    assert chosen(ref, EVERYTHING).short == short


def test_a_branch_and_a_tag_of_one_name_are_kept_apart() -> None:
    heads = {"refs/heads/v1": A, "refs/tags/v1": B}
    assert chosen({"branch": "v1"}, heads).commit == A
    assert chosen({"tag": "v1"}, heads).commit == B


def test_an_annotated_tag_stands_for_its_commit_and_names_its_own_object() -> None:
    assert chosen({"tag": "v1"}, {"refs/tags/v1": A, "refs/tags/v1^{}": B}) == Chosen("refs/tags/v1", "v1", B, A)


def test_a_light_tag_has_no_object_of_its_own() -> None:
    assert chosen({"tag": "v1"}, {"refs/tags/v1": A}) == Chosen("refs/tags/v1", "v1", A, None)


def test_a_full_name_may_lead_to_an_annotated_tag_too() -> None:
    assert chosen({"name": "refs/tags/v1"}, {"refs/tags/v1": A, "refs/tags/v1^{}": B}).tag_object == A


@pytest.mark.parametrize(
    ("wanted", "tags", "expected"),
    [
        pytest.param("^1.2", ["1.2.0", "1.10.0", "1.9.0", "2.0.0"], "1.10.0", id="by-number-not-by-text"),
        pytest.param("~1.2.3", ["1.2.2", "1.2.9", "1.3.0"], "1.2.9", id="tilde"),
        pytest.param("1.x", ["0.9.0", "1.4.2", "2.0.0"], "1.4.2", id="x"),
        pytest.param("*", ["0.1.0", "3.0.0"], "3.0.0", id="any"),
        pytest.param(">=1.0.0 <2.0.0", ["0.9.9", "1.9.9", "2.0.0"], "1.9.9", id="and-by-blank"),
        pytest.param(">=1.0.0, <2.0.0", ["0.9.9", "1.9.9", "2.0.0"], "1.9.9", id="and-by-comma"),
        pytest.param("1.2 - 1.4", ["1.1.0", "1.4.7", "1.5.0"], "1.4.7", id="hyphen"),
        pytest.param("1.0.x || 3.x", ["1.0.4", "2.0.0", "3.1.0"], "3.1.0", id="or"),
        pytest.param("1.2.3", ["1.2.3", "1.2.4"], "1.2.3", id="exactly"),
    ],
)
def test_the_highest_version_in_the_range_is_taken(wanted: str, tags: list[str], expected: str) -> None:
    assert newest(wanted, *tags) == newest(wanted, *reversed(tags)) == expected


def test_a_v_before_the_version_does_not_count() -> None:
    assert newest("^1", "v1.0.0", "1.1.0", "v1.2.0") == "v1.2.0"


@pytest.mark.parametrize(
    "tag", ["latest", "v1", "v1.2", "1.2.3.4", "01.2.3", "vv1.2.3", "release-1.2.3", "charts/v1.2.3", "v1.2.3-", "V1.2.3", "v"]
)
def test_a_tag_that_is_no_version_is_passed_over(tag: str) -> None:
    assert newest(">=0.0.1", tag, "0.1.0") == "0.1.0"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(">=1.0.0", "1.1.0", id="not-unless-asked-for"),
        pytest.param(">=1.2.0-rc.1", "1.2.0-rc.10", id="asked-for-and-ordered-by-number"),
        pytest.param(">=1.2.0-0 <1.3.0", "1.2.0-rc.10", id="the-lowest-asked-for"),
        pytest.param("1.2.0-rc.2", "1.2.0-rc.2", id="exactly"),
    ],
)
def test_pre_releases_count_only_if_the_range_names_one(wanted: str, expected: str) -> None:
    assert newest(wanted, "1.1.0", "1.2.0-rc.2", "1.2.0-rc.10", "1.2.0-alpha") == expected


def test_a_release_comes_after_its_pre_releases() -> None:
    assert newest(">=1.2.0-0", "1.2.0-rc.1", "1.2.0", "1.2.0-rc.2") == "1.2.0"


def test_between_versions_that_are_equal_the_last_by_name_is_taken() -> None:
    assert newest("1.x", "1.0.0+b", "1.0.0+a") == newest("1.x", "1.0.0+a", "1.0.0+b") == "1.0.0+b"


def test_only_tags_are_versions() -> None:
    with pytest.raises(errors.RefNotFoundError):
        chosen({"semver": "*"}, {"refs/heads/1.0.0": A, "refs/pull/1.0.0": A, "1.0.0": A})


def test_an_annotated_version_is_one_tag_not_two() -> None:
    assert chosen({"semver": "*"}, {"refs/tags/1.0.0": A, "refs/tags/1.0.0^{}": B}) == Chosen("refs/tags/1.0.0", "1.0.0", B, A)


@pytest.mark.parametrize("ref", [{"branch": "no"}, {"tag": "no"}, {"semver": "^9"}, {"name": "refs/pull/2/head"}, {"name": "main"}])
def test_what_is_not_there_is_told_with_what_was_asked_for(ref: dict[str, str]) -> None:
    with pytest.raises(errors.RefNotFoundError) as caught:
        chosen(ref, EVERYTHING)
    assert next(iter(ref.values())) in caught.value.message
    assert URL in caught.value.message


@given(names=st.lists(st.text(max_size=12).map(lambda text: f"refs/tags/{text}"), max_size=8))
def test_whatever_a_server_calls_its_tags_the_answer_is_one_of_them_or_none(names: list[str]) -> None:
    heads = dict.fromkeys(names, A)
    with contextlib.suppress(errors.RefNotFoundError):
        assert chosen({"semver": "*"}, heads).name in heads
