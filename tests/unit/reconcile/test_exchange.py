"""Handing objects over between ClusterStates of two replicas, which know of each other by what stands in the cluster alone.

Aspects: who wants an object of another's says so on it, once, and takes that back · who would delete it gives it away instead · nobody elsewhere wants it: it is deleted as ever ·
what is asked for by a ClusterState that is gone, or here, or that does not declare it, counts for nothing · nothing is deleted before those elsewhere have come as far · who may not
write asks by its status · who may never write it has no say · a restart forgets none of it.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile import exchange
from cvstate_operator.reconcile.claims import CATCH_UP_SECONDS, RETURN_SECONDS
from cvstate_operator.reconcile.exchange import Operations
from cvstate_operator.reconcile.heirs import ASKED_SECONDS
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, OWNER, RIVAL, body, ref
from tests.unit.reconcile.fakes import Stage, spec

A, B = (body(name, data={"colour": "blue"}) for name in "ab")


def mark(stage: Stage, name: str = "b", by: str = RIVAL) -> None:
    """Another replica marks an object as wanted."""
    live = stage.cluster.objects[ref(name)]
    stage.cluster._put(live, ["metadata", "annotations", CLAIMED_BY], by, manager="cvstate-operator")
    stage.cluster._store(ref(name), live)


def claimed_by(stage: Stage, name: str) -> str:
    return str(stage.cluster.objects[ref(name)]["metadata"].get("annotations", {}).get(CLAIMED_BY, ""))


def owner(stage: Stage, name: str) -> str:
    return str(stage.cluster.objects[ref(name)]["metadata"]["labels"][PART_OF_LABEL])


# -- who wants it ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def wanting() -> Stage:
    """An object of a rival's, which another replica has, that we declare as well."""
    stage = Stage()
    stage.elsewhere.add(RIVAL)
    await stage.commit(A, B)
    live = stage.cluster.objects[ref("b")]
    live["metadata"]["labels"][PART_OF_LABEL] = RIVAL
    stage.cluster._store(ref("b"), live)
    stage.cluster.writes.clear()
    return stage


async def test_an_object_of_another_replicas_is_marked_once(wanting: Stage) -> None:
    outcome = await wanting.run()
    assert claimed_by(wanting, "b") == OWNER
    assert [problem.reason for problem in outcome.problems] == ["OwnerConflict"]
    await wanting.run(full=True)
    assert wanting.cluster.writes == []


async def test_what_is_given_to_us_is_ours_from_then_on(wanting: Stage) -> None:
    await wanting.run()
    live = wanting.cluster.objects[ref("b")]
    wanting.cluster._put(live, ["metadata", "labels", PART_OF_LABEL], OWNER, manager="cvstate-operator")
    wanting.cluster._store(ref("b"), live)
    outcome = await wanting.run(full=True)
    assert outcome.problems == ()
    assert owner(wanting, "b") == OWNER


async def test_what_is_given_before_the_answer_to_our_mark_is_looked_at_at_once(wanting: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = wanting.cluster.edit

    async def given(resource: ApiResource, asked: ObjectRef, operations: Operations) -> dict[str, Any]:
        live = await edit(resource, asked, operations)
        wanting.cluster._put(live, ["metadata", "labels", PART_OF_LABEL], OWNER, manager="cvstate-operator")
        return wanting.cluster._store(asked, live)

    monkeypatch.setattr(wanting.cluster, "edit", given)
    await wanting.run()
    outcome = await wanting.run()
    assert (outcome.problems, owner(wanting, "b")) == ((), OWNER)


@pytest.mark.parametrize("why", ["here", "suspended"])
async def test_nobody_asks_who_need_not_or_may_not(wanting: Stage, why: str) -> None:
    if why == "here":
        wanting.elsewhere.clear()
    else:
        wanting.stop_reason = "stop"
    await wanting.run(full=True)
    assert claimed_by(wanting, "b") == ""


async def test_a_mark_that_may_not_be_made_is_told_as_that(wanting: Stage) -> None:
    wanting.cluster.failures["b"] = [errors.ForbiddenError("may not patch it")]
    outcome = await wanting.run()
    assert [problem.reason for problem in outcome.problems] == ["Forbidden"]


CLOSED = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h", "timeZone": "UTC"}


@pytest.mark.parametrize("gate", ["stop", "suspend", "observe", "window"])
async def test_who_may_not_write_marks_nothing_and_tells_by_its_status_what_it_declares(wanting: Stage, gate: str) -> None:
    wanting.stop_reason = "oops" if gate == "stop" else ""
    windows = [CLOSED] if gate == "window" else []
    wanting.spec = spec(suspend=gate == "suspend", mode="Observe" if gate == "observe" else "Enforce", windows=windows)
    await wanting.run(full=True)
    assert claimed_by(wanting, "b") == ""
    assert wanting.status["claims"] == [str(ref("b"))]


@pytest.mark.parametrize("gate", ["stop", "suspend", "observe", "window"])
async def test_what_one_here_let_go_and_we_may_not_take_over_yet_is_claimed_by_our_status_too(wanting: Stage, gate: str) -> None:
    """Whoever has it may be another replica's the next moment, or this one may start anew."""
    wanting.elsewhere.clear()
    wanting.index.claims.join(RIVAL, 0.0)
    wanting.index.let_go(RIVAL, [ref("b")])
    wanting.stop_reason = "oops" if gate == "stop" else ""
    windows = [CLOSED] if gate == "window" else []
    wanting.spec = spec(suspend=gate == "suspend", mode="Observe" if gate == "observe" else "Enforce", windows=windows)
    await wanting.run(full=True)
    assert wanting.status["claims"] == [str(ref("b"))]
    wanting.stop_reason, wanting.spec = "", spec()
    await wanting.run(full=True)
    assert (owner(wanting, "b"), "claims" in wanting.status) == (OWNER, False)


async def test_what_is_claimed_and_cannot_be_seen_since_a_restart_is_claimed_still(wanting: Stage) -> None:
    await wanting.run(full=True)
    status = wanting.status
    wanting.restart(status=status)
    wanting.cluster.forbidden[CONFIG_MAP.gvk.group_kind] = errors.NetworkError("away")
    await wanting.look()
    await wanting.run(full=True)
    assert wanting.status["claims"] == status["claims"] == [str(ref("b"))]
    del wanting.cluster.forbidden[CONFIG_MAP.gvk.group_kind]
    wanting.cluster.delete(ref("b"))
    await wanting.run(full=True)
    assert "claims" not in wanting.status


async def test_our_mark_is_taken_away_from_what_we_declare_no_more_by_one_write(wanting: Stage) -> None:
    await wanting.run()
    wanting.cluster.writes.clear()
    wanting.git.commit(A)
    await wanting.look()
    await wanting.run()
    assert (claimed_by(wanting, "b"), wanting.cluster.writes) == ("", [("edit", "b")])
    await wanting.run(full=True)
    assert wanting.cluster.writes == []


async def test_a_mark_that_may_not_be_taken_away_is_tried_once(wanting: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await wanting.run()
    tried: list[ObjectRef] = []

    async def refuse(resource: ApiResource, ref: ObjectRef, operations: Operations) -> dict[str, Any]:
        tried.append(ref)
        raise errors.ForbiddenError("may not patch it")

    monkeypatch.setattr(wanting.cluster, "edit", refuse)
    wanting.git.commit(A)
    await wanting.look()
    for _ in range(3):
        outcome = await wanting.run(full=True)
    assert (tried, outcome.problems) == ([ref("b")], ())


async def test_who_is_suspended_takes_no_mark_away(wanting: Stage) -> None:
    await wanting.run()
    wanting.git.commit(A)
    await wanting.look()
    wanting.spec = spec(suspend=True)
    wanting.cluster.writes.clear()
    await wanting.run(full=True)
    assert wanting.cluster.writes == []


# -- who has it --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def having() -> Stage:
    """Objects of ours, one of which leaves Git; another replica has a rival."""
    stage = Stage()
    stage.elsewhere.add(RIVAL)
    stage.index.claims.join(OWNER, 0.0)
    await stage.commit(A, B)
    return stage


async def left(stage: Stage) -> None:
    """B leaves Git, and everything is looked at until nothing changes any more."""
    stage.git.commit(A)
    await quiet(stage)


async def quiet(stage: Stage) -> None:
    """Everything is looked at until nothing changes any more."""
    await stage.look()
    outcome = await stage.settle(await stage.run())
    for _ in range(5):
        if outcome.next_pass_at is None or not outcome.pending:
            break
        outcome = await stage.wait(outcome)


async def test_what_somebody_elsewhere_asked_for_is_given_and_not_deleted(having: Stage) -> None:
    mark(having)
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    assert having.names() == {"a", "b"}
    assert (owner(having, "b"), claimed_by(having, "b")) == (RIVAL, ""), "the mark goes with the same write"
    assert not any(verb == "delete" for verb, _ in having.cluster.writes)


async def test_what_is_given_to_another_replica_is_let_go_to_nobody_of_ours(having: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took it here would write beside the one that it was given to."""
    here, claims = "applyset-of-one-here-v1", having.index.claims
    claims.join(here, 0.0)
    claims.want(here, {ref("b")}, None, 0.0)
    told_free: list[str] = []
    monkeypatch.setattr(claims, "freed", lambda owner, ref: told_free.append(owner))
    mark(having)
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    assert (owner(having, "b"), claims.is_free(ref("b"), OWNER)) == (RIVAL, False)
    assert here not in told_free


async def test_a_mark_that_stands_before_the_status_says_why_keeps_the_object_for_that_moment(having: Stage) -> None:
    mark(having)
    having.git.commit(A)
    told(having)
    await quiet(having)
    assert (having.names(), owner(having, "b")) == ({"a", "b"}, OWNER)
    told(having, str(ref("b")))
    assert ref("b") in having.pipeline.ledger.touched, "it is looked at as soon as the status tells of it"
    await having.run()
    assert owner(having, "b") == RIVAL


@pytest.mark.parametrize("kept", ["prune is off", "its kind is protected", ""])
async def test_a_mark_that_nobody_took_away_gives_nothing_and_keeps_nothing(having: Stage, kept: str) -> None:
    """Its maker has come to the commit, and claims nothing."""
    having.spec = spec(prune=not kept.startswith("prune"), protected=["ConfigMap"] if "protected" in kept else [])
    mark(having)
    having.git.commit(A)
    told(having)
    await quiet(having)
    having.clock.seconds += CATCH_UP_SECONDS + 1
    await having.run(full=True)
    assert (having.names(), owner(having, "a")) == ({"a", "b"} if kept else {"a"}, OWNER)
    assert not kept or owner(having, "b") == OWNER


async def test_a_mark_of_one_that_claims_nothing_is_not_in_the_way_of_one_that_does(having: Stage) -> None:
    """The one with the lower id has its mark there; it is suspended, and cannot take it away."""
    third = "applyset-of-a-third-v1"
    having.elsewhere.add(third)
    mark(having, by=third)
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    assert (having.names(), owner(having, "b"), claimed_by(having, "b")) == ({"a", "b"}, OWNER, "")
    mark(having)
    await quiet(having)
    assert owner(having, "b") == RIVAL


async def test_what_a_setting_of_ours_keeps_is_given_to_who_claims_it(having: Stage) -> None:
    having.spec = spec(protected=["ConfigMap"])
    mark(having)
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    assert owner(having, "b") == RIVAL


async def test_what_nobody_asked_for_is_deleted(having: Stage) -> None:
    await left(having)
    assert having.names() == {"a"}


@pytest.mark.parametrize("by", [OWNER, "applyset-of-nobody-v1"])
async def test_a_mark_of_nobody_else_keeps_nothing(having: Stage, by: str) -> None:
    mark(having, by=by)
    await left(having)
    assert having.names() == {"a"}


async def test_what_is_declared_is_given_to_nobody(having: Stage) -> None:
    mark(having, "a")
    await having.run(full=True)
    assert owner(having, "a") == OWNER


async def test_what_cannot_be_given_is_kept_and_told(having: Stage) -> None:
    mark(having)
    having.git.commit(A)
    told(having, str(ref("b")))
    having.cluster.failures["b"] = [errors.ForbiddenError("may not patch it")]
    await quiet(having)
    assert having.names() == {"a", "b"}
    assert having.ready()[0] == "False"


async def test_nothing_is_deleted_before_those_elsewhere_have_come_to_the_commit(having: Stage) -> None:
    having.git.commit(A)
    await having.look()
    assert having.git.head
    source = (having.git.head.repository, having.git.head.ref)
    having.index.claims.elsewhere(RIVAL, source, "1" * 40, having.clock.seconds)
    outcome = await having.settle(await having.run())
    assert having.names() == {"a", "b"}
    having.index.claims.elsewhere(RIVAL, source, having.git.head.commit, having.clock.seconds)
    await having.wait(outcome)
    assert having.names() == {"a"}


async def test_one_elsewhere_that_never_comes_keeps_nothing_alive(having: Stage) -> None:
    having.git.commit(A)
    await having.look()
    assert having.git.head
    having.index.claims.elsewhere(RIVAL, (having.git.head.repository, having.git.head.ref), "1" * 40, having.clock.seconds)
    await having.settle(await having.run())
    having.clock.seconds += RETURN_SECONDS + 1  # it may have begun anew when it was first heard of
    await having.run()
    assert having.names() == {"a"}


def told(stage: Stage, *claims: str) -> None:
    """The status of the rival says that it has come to the commit, and what it claims."""
    assert stage.git.head
    source = (stage.git.head.repository, stage.git.head.ref)
    stage.index.claims.elsewhere(RIVAL, source, stage.git.head.commit, stage.clock.seconds, told=claims)


async def test_what_one_elsewhere_declares_and_may_not_ask_for_is_kept_until_it_does_so_no_more(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("b")))
    await having.look()
    outcome = await having.settle(await having.run())
    for _ in range(5):
        outcome = await having.wait(outcome)
    assert (having.names(), owner(having, "b"), having.cluster.writes) == ({"a", "b"}, OWNER, [])
    assert having.ready() == ("True", "Reconciled")
    assert f"kept by ClusterState {RIVAL}" in having.message("Ready")
    told(having)
    for _ in range(3):
        outcome = await having.wait(outcome) if outcome.next_pass_at else outcome
    assert having.names() == {"a"}


async def test_what_is_kept_for_one_elsewhere_is_given_as_soon_as_it_asks(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("b")))
    await having.look()
    outcome = await having.settle(await having.run())
    mark(having)
    await having.wait(outcome)
    assert owner(having, "b") == RIVAL


# -- who may have it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_who_may_not_write_an_object_keeps_nobody_from_deleting_it(having: Stage, where: str) -> None:
    having.powerless.add(RIVAL)
    having.git.commit(A)
    if where == "here":
        having.elsewhere.clear()
        having.index.claims.join(RIVAL, 0.0)
        having.index.claims.want(RIVAL, {ref("b")}, having.git.head, having.clock.seconds)
    else:
        told(having, str(ref("b")))
    await quiet(having)
    assert (having.names(), having.ready()[0]) == ({"a"}, "True")
    assert set(having.asked) == {(RIVAL, "b")}


async def test_who_may_not_write_an_object_is_given_nothing_although_it_marked_it(having: Stage) -> None:
    """As it could when it marked it."""
    having.powerless.add(RIVAL)
    mark(having)
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    having.clock.seconds += CATCH_UP_SECONDS + 1
    await having.run(full=True)
    assert having.names() == {"a"}


async def test_whose_right_comes_back_is_asked_again(having: Stage) -> None:
    having.spec = spec(prune=False)
    having.powerless.add(RIVAL)
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    assert "prune.enabled" in having.message("Ready")
    having.powerless.clear()
    having.clock.seconds += ASKED_SECONDS
    await having.run(full=True)
    assert f"kept by ClusterState {RIVAL}" in having.message("Ready")


async def test_nobodys_rights_are_asked_for_where_nothing_is_claimed(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("a")))
    await quiet(having)
    assert (having.names(), having.asked) == ({"a"}, []), "what we declare ourselves is not at stake either"


# -- over a restart ----------------------------------------------------------------------------------------------------


async def test_what_a_suspended_one_claims_is_kept_over_a_restart_however_long_its_first_render_takes(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("b")))
    await quiet(having)
    status = having.status
    having.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}), status=status, generation=1)
    source = (having.git.head.repository, having.git.head.ref) if having.git.head else ("", "")
    having.elsewhere.clear()
    having.index.claims.join(OWNER, having.clock.seconds, source=source, returns=True)
    having.index.claims.join(RIVAL, having.clock.seconds, source=source, told=[str(ref("b"))], returns=True)
    await quiet(having)
    having.clock.seconds += 10 * RETURN_SECONDS
    await having.run(full=True)
    assert having.names() == {"a", "b"}
    having.index.claims.want(RIVAL, (), having.git.head, having.clock.seconds)
    await quiet(having)
    assert having.names() == {"a"}


async def test_what_one_may_come_to_declare_that_was_there_before_a_restart_is_kept_until_it_says_so(having: Stage) -> None:
    having.git.commit(A)
    having.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}), status=having.status, generation=1)
    assert having.git.head
    source = (having.git.head.repository, having.git.head.ref)
    having.elsewhere.clear()
    for one in (OWNER, RIVAL):
        having.index.claims.join(one, having.clock.seconds, source=source, returns=True)
    await quiet(having)
    having.clock.seconds += RETURN_SECONDS - 30
    await having.run()
    assert having.names() == {"a", "b"}
    having.index.claims.want(RIVAL, {ref("b")}, having.git.head, having.clock.seconds)
    having.clock.seconds += RETURN_SECONDS
    await having.run(full=True)
    assert having.names() == {"a", "b"}
    assert f"kept by ClusterState {RIVAL}" in having.message("Ready")


# -- what a status says of it ------------------------------------------------------------------------------------------


def test_few_claims_are_told_one_by_one_and_many_by_their_kind() -> None:
    few = [ref("b"), ref("a")]
    assert exchange.listed(few) == [str(ref("a")), str(ref("b"))]
    many = [ref(f"name-{number}") for number in range(5000)] + [ref("b", of=DEPLOYMENT)]
    assert exchange.listed(many) == ["ConfigMap/default/*", "apps/Deployment/default/*"]
    wide = [ref("a", namespace=f"namespace-{number}") for number in range(5000)] + [ref("b", of=CRD, namespace="")]
    assert exchange.listed(wide) == ["ConfigMap/*/*", "apiextensions.k8s.io/CustomResourceDefinition/*"]
    kinds = [ObjectRef(f"group-{number}.example.com", "Kind", "", "a") for number in range(5000)]
    assert exchange.listed(kinds) == ["*"]


@given(
    st.lists(
        st.builds(
            ObjectRef, st.sampled_from(["", "apps"]), st.sampled_from("XY"), st.sampled_from(["", "n", "m"]), st.text("ab", min_size=1)
        ),
        unique=True,
    ),
    st.integers(20, 200),
)
def test_nothing_that_is_declared_is_left_out_however_little_room_there_is(refs: list[ObjectRef], room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "LISTED_BYTES", room)
        claims = exchange.listed(refs)
    assert all(exchange.is_listed(one, claims) for one in refs)
    assert not exchange.is_listed(ObjectRef("", "Z", "n", "a"), claims) or claims == [exchange.ALL]
