"""A ClusterState that is being deleted with its objects.

Aspects: what goes, in which order, and what stays · what others elsewhere asked for is given to them · gates hold it · errors and finalizers are told · it goes on where it was.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile import teardown_stage
from cvstate_operator.reconcile.claims import CATCH_UP_SECONDS
from tests.unit.builders import CONFIG_MAP, NAMESPACE, OWNER, RIVAL, SECRET, WEBHOOK, applied, body, ref
from tests.unit.reconcile.fakes import Stage, spec

A, B = body("a", data={"colour": "blue"}), body("b", data={"colour": "blue"})


def asking(name: str, **annotations: str) -> dict[str, Any]:
    made = body(name)
    made["metadata"]["annotations"] = {f"cvstate.io/{key}": value for key, value in annotations.items()}
    return made


async def torn(stage: Stage) -> tuple[list[str], str, int]:
    """One run: what has to go first still, why, and how many stay."""
    stage.cluster.writes.clear()
    found = await stage.pipeline.tear_down(stage.spec)
    return [ref.name for ref in found.left], found.why, found.kept


@pytest.fixture(autouse=True)
def _one_look_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the test that is about it."""
    monkeypatch.setattr(teardown_stage, "AGREEING_SECONDS", 0.0)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.commit(A, B)
    return stage


async def test_its_objects_go_and_then_nothing_keeps_it(stage: Stage) -> None:
    left, _, _ = await torn(stage)
    assert (stage.names(), left) == (set(), ["a", "b"])
    assert await torn(stage) == ([], "", 0)


async def test_nothing_goes_before_a_second_look_agrees(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teardown_stage, "AGREEING_SECONDS", 2.0)
    await torn(stage)
    assert stage.names() == {"a", "b"}
    stage.clock.seconds += 2
    await torn(stage)
    assert stage.names() == set()


async def test_the_last_wave_goes_first_and_the_next_one_when_it_is_gone() -> None:
    stage = Stage()
    stage.spec = spec(protected=[], apply={"wait": False})
    stage.cluster.served |= {WEBHOOK}
    await stage.commit(body("team", of=NAMESPACE), A, asking("late", wave="5"), body("hook", of=WEBHOOK))
    order = []
    for _ in range(4):
        await torn(stage)
        order.append([name for _, name in stage.cluster.writes])
    assert order == [["late"], ["hook"], ["a"], ["team"]]
    assert await torn(stage) == ([], "", 0)


async def test_what_settings_annotations_or_others_keep_stays() -> None:
    stage = Stage()
    await stage.commit(A, body("team", of=NAMESPACE), asking("kept", prune="Disabled"), asking("asked", prune="Confirm"), B)
    stage.index.claims.join(RIVAL, 0.0)
    stage.index.claims.want(RIVAL, {ref("b")}, stage.git.head, stage.clock.seconds)
    await torn(stage)
    assert await torn(stage) == ([], "", 4)
    assert stage.names() == {"team", "kept", "asked", "b"}


# -- what another replica's asked for ----------------------------------------------------------------------------------


@pytest.fixture
async def asked() -> Stage:
    """A ClusterState of another replica marked b as wanted."""
    stage = Stage()
    stage.elsewhere.add(RIVAL)
    stage.index.claims.join(OWNER, 0.0)
    await stage.commit(A, B)
    stage.cluster.objects[ref("b")]["metadata"]["annotations"][CLAIMED_BY] = RIVAL
    stage.cluster._store(ref("b"), stage.cluster.objects[ref("b")])
    stage.index.claims.elsewhere(RIVAL, ("", ""), "1" * 40, -1000.0, told=[str(ref("b"))])
    return stage


async def test_what_one_elsewhere_asked_for_is_given_and_not_deleted(asked: Stage) -> None:
    await torn(asked)
    assert await torn(asked) == ([], "", 0)
    assert (asked.names(), asked.cluster.objects[ref("b")]["metadata"]["labels"][PART_OF_LABEL]) == ({"b"}, RIVAL)


async def test_what_is_protected_is_given_as_well(asked: Stage) -> None:
    asked.spec = spec(protected=["ConfigMap"])
    await torn(asked)
    assert await torn(asked) == ([], "", 1)
    assert asked.cluster.objects[ref("b")]["metadata"]["labels"][PART_OF_LABEL] == RIVAL


async def test_what_one_asked_for_that_is_gone_is_deleted(asked: Stage) -> None:
    asked.elsewhere.clear()
    asked.index.claims.leave(RIVAL)
    await torn(asked)
    assert (asked.names(), await torn(asked)) == (set(), ([], "", 0))


async def test_what_one_asked_for_that_does_not_declare_it_is_deleted_after_a_moment(asked: Stage) -> None:
    """Its status is written at the end of the pass in which it asked."""
    asked.index.claims.elsewhere(RIVAL, ("", ""), "1" * 40, asked.clock.seconds)
    left, _, _ = await torn(asked)
    assert left == ["a", "b"]
    asked.clock.seconds += CATCH_UP_SECONDS + 1
    await torn(asked)
    assert (asked.names(), await torn(asked)) == (set(), ([], "", 0))


async def test_who_may_not_write_an_object_does_not_keep_it_from_going(asked: Stage) -> None:
    asked.powerless.add(RIVAL)
    asked.clock.seconds += CATCH_UP_SECONDS + 1
    await torn(asked)
    asked.clock.seconds += CATCH_UP_SECONDS + 1
    await torn(asked)
    assert (asked.names(), await torn(asked)) == (set(), ([], "", 0))


async def test_what_cannot_be_given_stays_and_keeps_it_and_is_told(asked: Stage) -> None:
    asked.cluster.failures["b"] = [errors.ForbiddenError("may not patch it")]
    await torn(asked)
    left, why, _ = await torn(asked)
    assert (asked.names(), left, "may not patch it" in why) == ({"b"}, ["b"], True)
    del asked.cluster.failures["b"]
    await torn(asked)
    assert await torn(asked) == ([], "", 0)


async def test_what_one_elsewhere_declares_and_may_not_ask_for_stays(stage: Stage) -> None:
    stage.index.claims.elsewhere(RIVAL, ("", ""), "1" * 40, -1000.0, told=[str(ref("b"))])
    await torn(stage)
    assert await torn(stage) == ([], "", 1)
    assert stage.names() == {"b"}


async def test_what_another_comes_to_declare_between_two_deletes_stays(stage: Stage) -> None:
    stage.index.claims.join(RIVAL, -1000.0)
    stage.cluster.after_delete = lambda: stage.index.claims.want(RIVAL, {ref("b")}, stage.git.head, stage.clock.seconds)
    await torn(stage)
    assert stage.names() == {"b"}
    assert await torn(stage) == ([], "", 1)


# -- whose they are, and what holds them -------------------------------------------------------------------------------


async def test_nothing_of_anybody_else_goes(stage: Stage) -> None:
    stage.cluster.put(applied("x", owner=RIVAL))
    stage.cluster.put(applied("copy", digest=""))
    stage.cluster.put(body("plain"))
    await torn(stage)
    await torn(stage)
    assert stage.names() == {"x", "copy", "plain"}


@pytest.mark.parametrize("gate", ["stop", "suspend", "window"])
async def test_while_nothing_may_be_written_nothing_goes_and_it_says_why(stage: Stage, gate: str) -> None:
    closed = [{"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC"}]
    stage.stop_reason = "oops" if gate == "stop" else ""
    stage.spec = spec(suspend=gate == "suspend", windows=closed if gate == "window" else [])
    left, why, _ = await torn(stage)
    assert (stage.names(), left, bool(why)) == ({"a", "b"}, ["a", "b"], True)
    stage.stop_reason, stage.spec = "", spec()
    await torn(stage)
    assert stage.names() == set()


async def test_an_emergency_stop_between_two_deletes_keeps_the_rest(stage: Stage) -> None:
    stage.cluster.after_delete = lambda: setattr(stage, "stop_reason", "oops")
    await torn(stage)
    assert stage.names() == {"b"}


async def test_what_cannot_be_deleted_is_told_and_holds_no_other_of_its_wave(stage: Stage) -> None:
    stage.cluster.failures["a"] = [errors.ForbiddenError("may not delete configmaps; grant it")]
    left, why, _ = await torn(stage)
    assert (stage.names(), "a" in left) == ({"a"}, True)
    assert "may not delete configmaps" in why
    del stage.cluster.failures["a"]
    await torn(stage)
    assert stage.names() == set()


async def test_what_a_finalizer_keeps_is_waited_for_and_named(stage: Stage) -> None:
    stage.cluster.terminate(ref("a"))
    await torn(stage)
    left, why, _ = await torn(stage)
    assert (stage.names(), left) == ({"a"}, ["a"])
    assert "finalizers" in why
    stage.cluster.delete(ref("a"))
    assert await torn(stage) == ([], "", 0)


async def test_a_kind_that_cannot_be_seen_keeps_it() -> None:
    stage = Stage()
    await stage.commit(A, body("s", of=SECRET))
    kinds = stage.reporter.parents[-1].group_kinds
    stage.restart(known_kinds=kinds, status=stage.status)
    stage.cluster.forbidden[SECRET.gvk.group_kind] = errors.ForbiddenError("cannot list secrets")
    left, why, _ = await torn(stage)
    assert left
    assert "cannot list secrets" in why
    del stage.cluster.forbidden[SECRET.gvk.group_kind]
    await torn(stage)
    await torn(stage)
    assert (stage.names(), (await torn(stage))[0]) == (set(), [])


async def test_after_a_restart_it_goes_on_where_it_was(stage: Stage) -> None:
    stage.cluster.failures["b"] = [errors.ServerError("HTTP 500")]
    await torn(stage)
    assert stage.names() == {"b"}
    stage.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}), status=stage.status)
    stage.cluster.failures.clear()
    await torn(stage)
    assert await torn(stage) == ([], "", 0)


GONE = [
    errors.TargetUnreachableError("the cluster cannot be reached"),
    errors.ReferenceMissingError("Secret team/prod does not exist"),
    errors.KubeConfigInvalidError("the kubeconfig is none"),
    errors.URLNotAllowedError("it may not be asked"),
    errors.UnauthorizedError("the credentials are refused"),
    errors.ImpersonationRefusedError("nobody may act as the account"),
]


@pytest.mark.parametrize("error", GONE, ids=lambda error: error.reason)
async def test_after_a_restart_what_nobody_gets_at_is_told_as_that_and_nothing_is_let_go(stage: Stage, error: errors.CvstateError) -> None:
    """Not even what is served can be asked then: a pass that broke off would count no time, and the ClusterState would never be gone."""
    served, known = set(stage.cluster.served), frozenset({CONFIG_MAP.gvk.group_kind})
    stage.restart(known_kinds=known, status=stage.status)
    stage.cluster._known.clear()
    stage.cluster.discover_errors = [error]
    found = await stage.pipeline.tear_down(stage.spec)
    assert (found.is_refused, found.why, [str(ref) for ref in found.left]) == (True, error.message, ["ConfigMap"])
    assert stage.names() == {"a", "b"}
    stage.cluster.served = served
    await torn(stage)
    assert await torn(stage) == ([], "", 0)


async def test_a_fault_that_is_nobody_s_lack_of_rights_ends_the_pass_and_not_the_wait(stage: Stage) -> None:
    stage.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}), status=stage.status)
    stage.cluster._known.clear()
    stage.cluster.discover_errors = [errors.ServerError("HTTP 500")]
    with pytest.raises(errors.ServerError):
        await stage.pipeline.tear_down(stage.spec)


@pytest.mark.parametrize("error", GONE, ids=lambda error: error.reason)
async def test_what_nobody_gets_at_while_it_is_deleted_is_told_as_that(stage: Stage, error: errors.CvstateError) -> None:
    stage.cluster.failures.update({name: [error] for name in "ab"})
    found = await stage.pipeline.tear_down(stage.spec)
    assert (found.is_refused, stage.names()) == (True, {"a", "b"})
