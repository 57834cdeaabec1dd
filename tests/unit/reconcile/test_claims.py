"""Claims.

Aspects: who declares what · what is free · waiting for those who read the same ref · newcomers · ClusterStates in Git · another spec · those who are gone · what is known by
a status · a restart · a move to another replica, and back.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cvstate_operator.api.names import CLUSTER_STATE, CLUSTER_STATES, GROUP, VERSION
from cvstate_operator.objects.identity import ApiResource, Gvk, ObjectRef
from cvstate_operator.objects.ownership import applyset_id
from cvstate_operator.reconcile.claims import CATCH_UP_SECONDS, RETURN_SECONDS, Claims
from tests.unit.builders import SECRET, artifact, ref

CHILD = ref("child", of=ApiResource(Gvk(GROUP, VERSION, CLUSTER_STATE), CLUSTER_STATES, True))
CHILD_ID = applyset_id(name="child", namespace="default", kind=CLUSTER_STATE, group=GROUP)
A, B, SECRET_REF = ref("a"), ref("b"), ref("c", of=SECRET)
OLD, NEW = artifact("1" * 40), artifact("2" * 40)
LATE = 100.0


@pytest.fixture
def hurried() -> list[str]:
    return []


@pytest.fixture
def claims(hurried: list[str]) -> Claims:
    """Two ClusterStates on one ref, long settled at one commit; the first declares A."""
    claims = Claims(hurried.append)
    for owner in ("one", "two"):
        claims.join(owner, 0.0)
    claims.want("one", {A}, OLD, 0.0)
    claims.want("two", {B}, OLD, 0.0)
    return claims


def test_who_declares_an_object_is_known_by_what_was_said_last(claims: Claims) -> None:
    claims.want("two", {A, B}, OLD, LATE)
    assert claims.claimants(A) == ("one", "two")
    claims.want("one", set(), NEW, LATE)
    assert claims.claimants(A) == ("two",)


def test_who_declares_many_objects_is_the_same_as_who_declares_each_of_them(claims: Claims) -> None:
    claims.want("two", {A, B, SECRET_REF}, OLD, LATE)
    claims.elsewhere("far", ("another", "main"), "3" * 40, LATE, told=["ConfigMap/default/*"])
    claims.move_away("one", LATE)
    many = [A, B, SECRET_REF, ref("nobody's", of=SECRET)]
    each = {one: tuple(owner for owner in claims.claimants(one) if owner != "two") for one in many}
    assert claims.among(many, but="two") == {one: owners for one, owners in each.items() if owners} == {A: ("far", "one"), B: ("far",)}


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda claims: claims.want("one", {A, B}, OLD, LATE), id="another set"),
        pytest.param(lambda claims: claims.want("one", claims._claimants["one"].wanted, NEW, LATE), id="another commit"),
        pytest.param(lambda claims: claims.join("three", LATE, told=["ConfigMap/default/a"]), id="a newcomer"),
        pytest.param(lambda claims: claims.move_away("two", LATE), id="one that moves away"),
        pytest.param(lambda claims: claims.leave("one"), id="one that goes"),
        pytest.param(lambda claims: claims.elsewhere("far", ("r", "main"), "", LATE), id="a status of another replica"),
    ],
)
def test_what_was_found_is_out_of_date_once_somebody_says_something_else(claims: Claims, say: Callable[[Claims], object]) -> None:
    before = claims.state
    say(claims)
    assert claims.state != before


def test_what_was_found_holds_while_a_pass_says_the_same_again(claims: Claims) -> None:
    before = claims.state
    claims.want("one", claims._claimants["one"].wanted, OLD, LATE)
    assert claims.state == before


def test_what_is_let_go_is_free_until_it_is_declared_again(claims: Claims) -> None:
    claims.want("one", set(), NEW, LATE)
    assert not claims.is_free(A, "one")
    claims.let_go("one", [A])
    assert claims.is_free(A, "one")
    assert not claims.is_free(A, "two")
    claims.want("one", {A}, OLD, LATE)
    assert not claims.is_free(A, "one")


def test_at_one_commit_nobody_waits(claims: Claims, hurried: list[str]) -> None:
    assert not claims.catch_up("one", LATE)
    assert hurried == []


def test_who_comes_to_a_commit_first_waits_for_the_other_and_hurries_it_once(claims: Claims, hurried: list[str]) -> None:
    claims.want("one", set(), NEW, LATE)
    assert claims.catch_up("one", LATE)
    assert claims.catch_up("one", LATE + 1)
    assert hurried == ["two"]
    claims.want("two", {A}, NEW, LATE + 1)
    assert not claims.catch_up("one", LATE + 1)


def test_who_declares_a_foreign_object_first_hurries_its_owner(claims: Claims, hurried: list[str]) -> None:
    claims.want("two", {A, B}, NEW, LATE)
    claims.catch_up("two", LATE)
    assert hurried == ["one"]


def test_the_wait_ends_even_if_the_other_never_comes(claims: Claims) -> None:
    claims.want("one", set(), NEW, LATE)
    claims.want("two", {B}, None, LATE + 1)
    assert claims.catch_up("one", LATE + CATCH_UP_SECONDS - 0.1)
    for again in range(5):
        claims.want("one", set(), NEW, LATE + again)
        claims.want("two", {B}, OLD, LATE + again)
    assert not claims.catch_up("one", LATE + CATCH_UP_SECONDS)


def test_another_repository_or_ref_is_not_waited_for(claims: Claims, hurried: list[str]) -> None:
    claims.join("three", 0.0)
    claims.want("three", {B}, artifact("3" * 40, ref="branch other"), 0.0)
    claims.want("two", {B}, NEW, LATE)
    claims.want("one", set(), NEW, LATE)
    assert not claims.catch_up("one", LATE)
    assert hurried == []


def test_a_newcomer_is_waited_for_until_it_said_what_it_declares(claims: Claims) -> None:
    claims.join("three", LATE)
    assert claims.catch_up("one", LATE)
    assert not claims.catch_up("one", LATE + CATCH_UP_SECONDS)
    claims.join("four", LATE)
    claims.want("four", {A}, OLD, LATE)
    claims.want("three", {A}, OLD, LATE)
    assert not claims.catch_up("one", LATE)


@pytest.mark.parametrize("owner", ["one", "two"])
def test_a_clusterstate_that_stands_in_git_is_waited_for_before_it_exists(claims: Claims, owner: str) -> None:
    """By its parent too: an object may move from there into it."""
    claims.want("one", set(), NEW, LATE)
    claims.want("two", {B, CHILD}, NEW, LATE)
    assert claims.catch_up(owner, LATE)
    claims.join(CHILD_ID, LATE + 1)
    assert claims.catch_up(owner, LATE + 1)
    claims.want(CHILD_ID, {A}, NEW, LATE + 1)
    assert not claims.catch_up(owner, LATE + 1)


def test_a_clusterstate_in_git_that_never_comes_is_waited_for_once_a_commit(claims: Claims) -> None:
    claims.want("two", {B, CHILD}, OLD, LATE)
    assert not claims.catch_up("one", LATE)
    for commit, since in ((NEW, LATE), (artifact("3" * 40), LATE * 2)):
        for owner in ("one", "two"):
            claims.want(owner, {B, CHILD}, commit, since)
        assert claims.catch_up("one", since + CATCH_UP_SECONDS - 0.1)
        assert not claims.catch_up("one", since + CATCH_UP_SECONDS)


def test_who_got_another_spec_is_waited_for_until_it_said_what_it_declares_by_that(claims: Claims) -> None:
    claims.change("two", LATE)
    assert claims.claimants(B) == ("two",), "what it declared before stands"
    assert claims.catch_up("one", LATE)
    assert not claims.catch_up("one", LATE + CATCH_UP_SECONDS)
    claims.want("two", {A}, OLD, LATE)
    assert not claims.catch_up("one", LATE)


def test_who_is_gone_or_never_joined_has_no_say(claims: Claims) -> None:
    claims.let_go("one", [A])
    claims.leave("one")
    claims.change("one", LATE)
    claims.want("one", {A}, NEW, LATE)
    claims.let_go("one", [A])
    assert claims.claimants(A) == ()
    assert not claims.is_free(A, "one")
    assert not claims.catch_up("two", LATE)
    assert not claims.catch_up("one", LATE)


# -- ClusterStates of other replicas -----------------------------------------------------------------------------------


def test_one_elsewhere_that_is_behind_is_waited_for_as_long_as_it_takes_to_look(claims: Claims) -> None:
    claims.want("one", set(), NEW, LATE)
    claims.want("two", {B}, NEW, LATE)
    for commit in ("3" * 40, OLD.commit):  # it is at work
        claims.elsewhere("three", (OLD.repository, OLD.ref), commit, LATE, looks_each=60.0)
    assert claims.catch_up("one", LATE + CATCH_UP_SECONDS + 59)
    assert not claims.catch_up("one", LATE + CATCH_UP_SECONDS + 61)


@pytest.mark.parametrize("how", ["first heard of", "handed over", "replicas came or went"])
def test_one_elsewhere_that_may_have_to_begin_anew_is_waited_for_longer_and_not_for_ever(claims: Claims, how: str) -> None:
    """As when all replicas are replaced: it has to settle, to clone and to render among many before it comes to the commit."""
    source = (OLD.repository, OLD.ref)
    if how == "handed over":
        claims.join("three", 0.0)
        claims.want("three", {B}, OLD, 0.0)
        claims.move_away("three", LATE)
    for commit in ("3" * 40, OLD.commit) if how == "replicas came or went" else (OLD.commit,):
        claims.elsewhere("three", source, commit, LATE, looks_each=60.0)
    if how == "replicas came or went":
        claims.move_about(LATE)
    claims.want("one", set(), NEW, LATE)
    claims.want("two", {B}, NEW, LATE)
    assert claims.catch_up("one", LATE + RETURN_SECONDS - 1)
    assert not claims.catch_up("one", LATE + RETURN_SECONDS + 1)
    claims.elsewhere("three", source, NEW.commit, LATE, looks_each=60.0)
    assert not claims.catch_up("one", LATE + CATCH_UP_SECONDS)


def test_who_reads_the_same_repository_with_another_secret_is_waited_for_too(claims: Claims, hurried: list[str]) -> None:
    mine, theirs = (replace(NEW, repository=f"/{one}", repository_key="git.example.com/shop") for one in ("mine", "theirs"))
    claims.want("one", {A}, replace(mine, commit="3" * 40), LATE)
    claims.want("two", {B}, replace(theirs, commit="3" * 40), LATE)
    claims.want("one", set(), mine, LATE)
    assert (claims.catch_up("one", LATE), hurried) == (True, ["two"])
    claims.want("two", {A, B}, theirs, LATE)
    assert (claims.catch_up("one", LATE), claims.claimants(A)) == (False, ("two",))


def test_one_elsewhere_that_came_to_the_commit_is_not_waited_for(claims: Claims) -> None:
    claims.want("one", set(), NEW, LATE)
    claims.want("two", {B}, NEW, LATE)
    claims.elsewhere("three", (OLD.repository, OLD.ref), OLD.commit, LATE, looks_each=60.0)
    claims.elsewhere("three", (OLD.repository, OLD.ref), NEW.commit, LATE + 1, looks_each=60.0)
    assert not claims.catch_up("one", LATE + 1)


def test_what_one_elsewhere_told_last_does_not_make_an_old_commit_the_newest(claims: Claims) -> None:
    claims.want("one", set(), NEW, LATE)
    claims.want("two", {B}, NEW, LATE)
    claims.elsewhere("three", (OLD.repository, OLD.ref), NEW.commit, LATE)
    claims.elsewhere("three", (OLD.repository, OLD.ref), OLD.commit, LATE + 1)
    assert claims.catch_up("one", LATE + 2)


def test_one_that_was_handed_over_is_waited_for_until_it_is_known_how_far_it_is(claims: Claims) -> None:
    claims.leave("two")
    claims.elsewhere("two", ("", ""), "", LATE)
    assert claims.catch_up("one", LATE + 1)
    assert not claims.catch_up("one", LATE + CATCH_UP_SECONDS + 1)


SOURCE = (OLD.repository, OLD.ref)


def test_one_elsewhere_declares_what_its_status_claims(claims: Claims) -> None:
    claims.elsewhere("three", SOURCE, OLD.commit, LATE, told=[str(A)])
    assert (claims.claimants(A), claims.claimants(B)) == (("one", "three"), ("two",))
    claims.elsewhere("three", SOURCE, OLD.commit, LATE, told=[str(B)])
    assert (claims.claimants(A), claims.claimants(B)) == (("one",), ("three", "two"))


def test_one_whose_claims_are_told_by_their_kind_alone_declares_all_of_them_and_nothing_else(claims: Claims) -> None:
    claims.elsewhere("three", SOURCE, OLD.commit, LATE, told=[f"ConfigMap/{A.namespace}/*"])
    assert claims.claimants(A) == ("one", "three")
    assert claims.claimants(ref("a", of=SECRET)) == ()
    assert claims.claimants(A._replace(namespace="elsewhere")) == ()


def test_who_would_delete_an_object_is_told_that_one_elsewhere_claims_it_now(claims: Claims) -> None:
    told: list[tuple[str, ObjectRef]] = []
    claims.freed = lambda owner, ref: told.append((owner, ref))
    claims.let_go("one", [A])
    claims.elsewhere("three", SOURCE, OLD.commit, LATE, told=[str(A), str(B)])
    claims.elsewhere("three", SOURCE, NEW.commit, LATE, told=[str(A), str(B)])
    assert told == [("one", A)], "once, and of that object alone"


@pytest.mark.parametrize("how", ["said here", "told by its status"])
def test_what_one_declared_before_it_was_taken_up_stands_until_it_says_what_it_declares_now(claims: Claims, how: str) -> None:
    if how == "said here":
        claims.join("two", LATE, source=SOURCE, returns=True)
    else:
        claims.leave("two")
        claims.join("two", LATE, source=SOURCE, told=[str(B)], returns=True)
    assert claims.claimants(B) == ("two",)
    claims.want("two", set(), NEW, LATE + 10 * RETURN_SECONDS)
    assert claims.claimants(B) == ()


def test_one_that_comes_back_is_waited_for_longer_by_those_who_read_the_same_ref(claims: Claims) -> None:
    """It has to clone and to render anew, and they know that it will."""
    claims.join("other", 0.0)
    claims.want("other", {B}, artifact("3" * 40, ref="branch other"), 0.0)
    claims.join("two", LATE, source=SOURCE, returns=True)
    assert claims.catch_up("one", LATE + RETURN_SECONDS - 1)
    assert not claims.catch_up("one", LATE + RETURN_SECONDS), "one that never comes keeps nothing alive"
    assert claims.catch_up("other", LATE + CATCH_UP_SECONDS - 1)
    assert not claims.catch_up("other", LATE + CATCH_UP_SECONDS)


def test_one_that_is_being_deleted_since_a_restart_waits_for_those_who_read_its_ref_alone(claims: Claims) -> None:
    claims.join("going", LATE, source=("repository", "branch other"), returns=True)
    claims.want("going", (), None, LATE)
    claims.join("two", LATE, source=SOURCE, returns=True)
    assert not claims.catch_up("going", LATE + CATCH_UP_SECONDS)


def test_what_one_declared_that_is_handed_over_stands_until_its_status_tells_of_that_commit(claims: Claims) -> None:
    claims.move_away("two", LATE)
    assert claims.claimants(B) == ("two",)
    assert claims.catch_up("one", LATE + 1)
    claims.elsewhere("two", SOURCE, OLD.commit, LATE + 2)
    assert claims.claimants(B) == ()


def test_one_that_is_handed_over_is_waited_for_as_one_that_comes_back(claims: Claims) -> None:
    """Nothing is heard of it before its new replica has rendered it."""
    claims.move_away("two", LATE)
    assert claims.catch_up("one", LATE + RETURN_SECONDS - 1)
    assert not claims.catch_up("one", LATE + RETURN_SECONDS)


def test_a_status_from_before_what_was_said_here_does_not_take_it_back(claims: Claims) -> None:
    """As when somebody annotates a ClusterState that was handed over in the midst of a pass."""
    for owner in ("one", "two"):
        claims.want(owner, {B}, NEW, LATE)
    claims.want("one", set(), NEW, LATE)
    claims.move_away("two", LATE)
    claims.elsewhere("two", SOURCE, OLD.commit, LATE + 1)
    assert claims.claimants(B) == ("two",)
    claims.want("one", set(), artifact("3" * 40), LATE + 2)
    assert claims.claimants(B) == (), "there is a later commit, and it may have come to that"


def test_a_mark_counts_for_a_moment_as_long_as_whoever_made_it_had_no_time_to_say_why(claims: Claims) -> None:
    claims.elsewhere("three", SOURCE, OLD.commit, LATE, looks_each=60.0)
    assert claims.may_come("three", LATE, LATE + CATCH_UP_SECONDS + 59)
    assert not claims.may_come("three", LATE, LATE + CATCH_UP_SECONDS + 61)
    claims.join("four", LATE)
    assert claims.may_come("four", LATE, LATE + 1)
    assert not any(claims.may_come(owner, LATE, LATE + 1) for owner in ("one", "nobody"))


def test_nothing_is_left_of_refs_that_nobody_follows_any_more(claims: Claims) -> None:
    for number in range(100):
        claims.want("one", {A}, artifact(f"{number:040}", ref=f"branch {number}"), LATE)
        claims.elsewhere("three", (OLD.repository, f"tag {number}"), OLD.commit, LATE)
    assert len(claims._newest) == 3
    for owner in ("one", "two", "three"):
        claims.leave(owner)
    assert (claims.is_used, claims._newest) == (False, {})
