"""Consent and switches at the command line, against a real API server.

Aspects: `approve` shows what waits and writes an approval that the operator's own rules accept · it asks, and what it refuses · what the API server
refuses in the companion kinds · `suspend` and `resume` · `reconcile`, with an operator and without · `stop` · errors that say what to do.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.change_plan import PlanAction, plan_name
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan import consent
from cvstate_operator.plan.consent import Approvals, Item
from tests.support import accounts
from tests.support.api import CLUSTER_STATES, Json
from tests.support.commands import READ, on_a_terminal, run
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

PRUNE = Item(PlanAction.PRUNE, ObjectRef("", "ConfigMap", "web", "old"), "u1")
DRIFT = Item(PlanAction.DRIFT, ObjectRef("apps", "Deployment", "web", "api"), "u2", "d", "/spec/replicas", "2026-11-21T11:00:00Z", "h")
ITEMS = [
    {"action": "Prune", "object": str(PRUNE.ref), "reason": "PruneHeld", "detail": "it left Git"},
    {"action": "Drift", "object": str(DRIFT.ref), "path": DRIFT.path, "reason": "AwaitingApproval", "detail": "5, was 3; kubectl-edit"},
]
STOPS = "/apis/cvstate.io/v1alpha1/emergencystops"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def let_wait(world: World, *items: Item, name: str = "state", **spec: Any) -> str:
    """Do as the operator does when something waits: a plan, and its digest in the status; returns the digest."""
    uid = world.state(name)["metadata"]["uid"]
    digest = consent.plan_digest(uid, items)
    owner = {"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState", "name": name, "uid": uid}
    plan = {
        "apiVersion": "cvstate.io/v1alpha1",
        "kind": "ClusterStatePlan",
        "metadata": {"name": plan_name(name, digest), "namespace": world.name, "ownerReferences": [owner]},
        "spec": {
            "clusterState": name,
            "digest": digest,
            "revision": "main@sha1:4c1f",
            "counts": {"prune": 1, "drift": 1},
            "items": ITEMS,
            "total": len(items),
            "fingerprints": consent.fingerprints(items),
            **spec,
        },
    }
    world.api.create(ours(world, "clusterstateplans"), plan)
    world.api.merge(
        f"{CLUSTER_STATES.format(world.name)}/{name}/status", {"status": {"plan": {"digest": digest, "held": "AwaitingApproval"}}}
    )
    return digest


def ours(world: World, plural: str, name: str = "") -> str:
    return world.path(plural, name, group="cvstate.io/v1alpha1")


def approvals(world: World) -> list[Json]:
    return list((world.api.get(ours(world, "stateapprovals")) or {})["items"])


@pytest.fixture
def waiting(own: World) -> tuple[World, str]:
    """A ClusterState in which two writes wait, and their digest."""
    own.declare()
    return own, let_wait(own, PRUNE, DRIFT)


# -- approve -------------------------------------------------------------------------------------------------------


def test_what_is_approved_is_shown_and_covered_by_the_rules_of_the_operator(waiting: tuple[World, str]):
    world, digest = waiting
    code, output = run(world, "approve", "state", "-n", world.name, "--yes")
    assert code == 0
    assert all(
        word in output for word in ("Prune", "ConfigMap/web/old", "it left Git", "Drift", "/spec/replicas", "5, was 3", digest, "4c1f")
    )
    (made,) = approvals(world)
    assert made["metadata"]["name"].startswith("state-")
    assert made["metadata"]["name"] in output
    assert made["spec"].items() >= {"planDigest": digest, "reason": "approved with cvstate approve"}.items()
    plans = world.api.get(ours(world, "clusterstateplans"))["items"]
    uid = world.state()["metadata"]["uid"]
    found = Approvals.read(cluster_state_uid=uid, namespace=world.name, approvals=[made], plans=plans)
    now = datetime.now(UTC)
    assert (found.covers(PRUNE, now), found.covers(DRIFT, now)) == (True, True)
    expires = datetime.fromisoformat(made["spec"]["expiresAt"])
    assert abs(expires - datetime.fromisoformat(made["metadata"]["creationTimestamp"]) - timedelta(days=1)) <= timedelta(minutes=1)
    assert found.next_expiry(now) == expires


def test_reason_and_expiry_are_kept(waiting: tuple[World, str]):
    world, digest = waiting
    before = datetime.now(UTC).replace(microsecond=0)
    _, output = run(world, "approve", "state", "-n", world.name, "--yes", "--digest", digest, "--reason", "CHG-1", "--expires", "1h30m")
    (made,) = approvals(world)
    assert made["spec"]["reason"] == "CHG-1"
    assert made["spec"]["expiresAt"] in output
    assert timedelta(0) <= datetime.fromisoformat(made["spec"]["expiresAt"]) - before - timedelta(minutes=90) < timedelta(minutes=1)


def test_of_a_long_plan_it_is_said_how_much_is_not_shown(own: World):
    own.declare()
    let_wait(own, PRUNE, DRIFT, total=1234)
    assert "and 1232 more" in run(own, "approve", "state", "-n", own.name, "--yes")[1]


def test_where_nothing_waits_nothing_is_written(own: World):
    own.declare()
    code, output = run(own, "approve", "state", "-n", own.name, "--yes")
    assert (code, approvals(own)) == (0, [])
    assert "Nothing waits" in output


def test_another_digest_than_the_one_that_waits_is_refused(waiting: tuple[World, str]):
    world, digest = waiting
    other = f"sha256:{'0' * 64}"
    with pytest.raises(errors.StaleError, match=f"{other} is not what waits .* but {digest}"):
        run(world, "approve", "state", "-n", world.name, "--yes", "--digest", other)
    assert approvals(world) == []


def test_a_plan_of_another_clusterstate_is_not_shown_as_this_ones(waiting: tuple[World, str]):
    world, digest = waiting
    path = ours(world, "clusterstateplans", plan_name("state", digest))
    stranger = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "00000000-0000-0000-0000-000000000000"}
    world.api.merge(path, {"metadata": {"ownerReferences": [stranger]}})
    with pytest.raises(errors.NotFoundError, match="not of this ClusterState"):
        run(world, "approve", "state", "-n", world.name, "--yes")
    world.api.delete(path)
    with pytest.raises(errors.NotFoundError, match="not there"):
        run(world, "approve", "state", "-n", world.name, "--yes")
    assert approvals(world) == []


def test_without_a_terminal_nothing_is_approved_unasked(waiting: tuple[World, str]):
    world, _ = waiting
    with pytest.raises(errors.SettingsError, match="--yes"):
        run(world, "approve", "state", "-n", world.name)
    assert approvals(world) == []


@pytest.mark.parametrize(("answer", "code", "made"), [("n", 1, 0), ("", 1, 0), ("y", 0, 1)])
def test_on_a_terminal_it_asks_and_enter_means_no(waiting: tuple[World, str], answer: str, code: int, made: int):
    world, _ = waiting
    ended, output = on_a_terminal(world, answer, "approve", "state", "-n", world.name)
    assert ended == code, output
    assert "Approve this?" in output
    assert len(approvals(world)) == made


# -- what the API server refuses -----------------------------------------------------------------------------------


DIGEST = f"sha256:{'0' * 64}"
PLAN = {"clusterState": "state", "digest": DIGEST, "total": 0, "fingerprints": ""}


@pytest.mark.parametrize(
    ("plural", "kind", "spec", "word"),
    [
        ("stateapprovals", "StateApproval", {"planDigest": "sha256:abc", "reason": "x"}, "planDigest"),
        ("stateapprovals", "StateApproval", {"planDigest": DIGEST}, "reason"),
        ("stateapprovals", "StateApproval", {"planDigest": DIGEST, "reason": "  "}, "reason"),
        ("stateapprovals", "StateApproval", {"planDigest": DIGEST, "reason": "x" * 1001}, "reason"),
        ("stateapprovals", "StateApproval", {"planDigest": DIGEST, "reason": "x", "expiresAt": "tomorrow"}, "expiresAt"),
        ("stateapprovals", "StateApproval", {"planDigest": DIGEST, "reason": "x", "expiresAt": "2099-01-01t00:00:00z"}, "expiresAt"),
        ("stateapprovals", "StateApproval", {"planDigest": DIGEST, "reason": "x", "expiresAt": "2099-02-30T00:00:00Z"}, "expiresAt"),
        ("clusterstateplans", "ClusterStatePlan", {**PLAN, "fingerprints": "x" * 17}, "fingerprints"),
        ("clusterstateplans", "ClusterStatePlan", {**PLAN, "items": [{**ITEMS[0], "action": "Delete"}]}, "action"),
        ("clusterstateplans", "ClusterStatePlan", {**PLAN, "items": [{**ITEMS[0], "detail": "x" * 301}]}, "detail"),
        ("clusterstateplans", "ClusterStatePlan", {**PLAN, "items": [ITEMS[0]] * 101}, "items"),
        ("emergencystops", "EmergencyStop", {"reason": ""}, "reason"),
        ("emergencystops", "EmergencyStop", {}, "reason"),
    ],
)
def test_nonsense_is_refused_by_the_api_server(own: World, plural: str, kind: str, spec: Json, word: str):
    path = STOPS if plural == "emergencystops" else ours(own, plural)
    code, answer = own.api.request(
        "POST", path, {"apiVersion": "cvstate.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    )
    assert code == 422, answer
    assert f"spec.{word}" in answer["message"] or f".{word}" in answer["message"]


def test_an_approval_never_changes_and_a_plan_never_becomes_another(waiting: tuple[World, str]):
    world, digest = waiting
    run(world, "approve", "state", "-n", world.name, "--yes", "--expires", "1h")
    approval = ours(world, "stateapprovals", approvals(world)[0]["metadata"]["name"])
    plan = ours(world, "clusterstateplans", plan_name("state", digest))
    changes = [
        (approval, {"planDigest": DIGEST}),
        (approval, {"expiresAt": "2099-01-01T00:00:00Z"}),
        (approval, {"expiresAt": None}),
        (approval, {"reason": "another"}),
        (plan, {"digest": DIGEST}),
        (plan, {"fingerprints": ""}),
        (plan, {"clusterState": "other"}),
    ]
    for path, change in changes:
        code, answer = world.api.request("PATCH", path, {"spec": change}, "application/merge-patch+json")
        assert (code, "never" in answer["message"]) == (422, True), (path, change, answer)


def test_a_plan_of_the_greatest_size_is_taken(own: World):
    own.declare()
    many = [Item(PlanAction.PRUNE, PRUNE.ref, str(number)) for number in range(20_000)]
    items = [{**ITEMS[1], "object": "o" * 1000, "path": "p" * 2000, "detail": "d" * 300}] * 100
    digest = let_wait(own, *many, items=items)
    plan = own.api.get(ours(own, "clusterstateplans", plan_name("state", digest)))
    assert len(plan["spec"]["fingerprints"]) == 320_000


# -- suspend and resume --------------------------------------------------------------------------------------------


def test_suspend_and_resume_set_the_field_and_say_what_was(own: World):
    own.declare()
    said = []
    for command, value in (("suspend", True), ("suspend", True), ("resume", False), ("resume", False)):
        code, output = run(own, command, "state", "-n", own.name)
        assert (code, own.state()["spec"]["suspend"]) == (0, value)
        said.append("already" in output or "was not" in output)
    assert said == [False, True, False, True]


# -- reconcile -----------------------------------------------------------------------------------------------------


def test_reconcile_waits_until_the_newest_commit_is_there(own: World):
    own.operator.start()
    own.commit({"a.yaml": text(config_map("a", k="1"))})
    own.declare(git={"interval": "1h"})
    assert run(own, "reconcile", "state", "-n", own.name)[0] == 0
    own.commit({"a.yaml": text(config_map("a", k="2"))}, tell=False)
    code, output = run(own, "reconcile", "state", "-n", own.name)
    assert (code, own.api.get(own.path("configmaps", "a"))["data"]) == (0, {"k": "2"})
    assert "Ready" in output

    own.commit({"a.yaml": "kind: [\n"}, tell=False)
    code, output = run(own, "reconcile", "state", "-n", own.name)
    assert code == 1
    assert "not Ready" in output
    assert "a.yaml" in output


def test_reconcile_of_a_spec_that_makes_no_sense_ends_at_once(own: World):
    own.operator.start()
    own.commit({"a.yaml": text(config_map("a"))})
    own.declare(git={"url": "file:///nowhere"})
    code, output = run(own, "reconcile", "state", "-n", own.name, "--timeout", "20s")
    assert code == 1
    assert "not Ready" in output


def test_reconcile_without_an_operator_says_so(own: World):
    own.declare()
    with pytest.raises(errors.ServerTimeoutError, match="operator"):
        run(own, "reconcile", "state", "-n", own.name, "--timeout", "1s")


def test_reconcile_that_does_not_wait_leaves_a_request_that_keeps_other_annotations(own: World):
    own.declare()
    own.api.merge(ours(own, "clusterstates", "state"), {"metadata": {"annotations": {"mine": "kept"}}})
    values = set()
    for _ in range(2):
        assert run(own, "reconcile", "state", "-n", own.name, "--no-wait")[0] == 0
        annotations = own.state()["metadata"]["annotations"]
        assert annotations["mine"] == "kept"
        values.add(annotations["reconcile.cvstate.io/requestedAt"])
    assert len(values) == 2
    assert run(own, "reconcile", "state", "-n", own.name, "--no-wait", "--reset")[0] == 0
    annotations = own.state()["metadata"]["annotations"]
    assert annotations["reconcile.cvstate.io/resetAt"] == annotations["reconcile.cvstate.io/requestedAt"]
    assert all(datetime.fromisoformat(value) for value in values)


# -- stop ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stops(own: World):
    """A world, in which no EmergencyStop is left."""
    yield own
    for one in own.api.get(STOPS)["items"]:
        own.api.delete(f"{STOPS}/{one['metadata']['name']}")


def test_writes_are_stopped_and_released(stops: World):
    assert run(stops, "stop", "--status") == (0, "Writes are not stopped.\n")
    assert run(stops, "stop", "--reason", "INC-42", "--yes")[0] == 0
    assert stops.api.get(f"{STOPS}/stop")["spec"] == {"reason": "INC-42"}
    code, output = run(stops, "stop", "--status")
    assert (code, "INC-42" in output) == (1, True)
    code, output = run(stops, "stop", "--reason", "INC-43", "--yes")
    assert (code, "stopped already" in output) == (0, True)
    assert stops.api.get(f"{STOPS}/stop")["spec"] == {"reason": "INC-42"}
    assert run(stops, "stop", "--release") == (0, "Writes are not stopped.\n")
    assert stops.api.get(f"{STOPS}/stop") is None
    assert run(stops, "stop", "--release")[0] == 0


def test_a_stop_of_somebody_else_is_not_released_but_named(stops: World):
    body = {"apiVersion": "cvstate.io/v1alpha1", "kind": "EmergencyStop", "metadata": {"name": "theirs"}, "spec": {"reason": "upgrade"}}
    stops.api.create(STOPS, body)
    run(stops, "stop", "--reason", "INC-42", "--yes")
    code, output = run(stops, "stop", "--release")
    assert code == 1
    assert all(word in output for word in ("theirs", "upgrade"))
    assert [one["metadata"]["name"] for one in stops.api.get(STOPS)["items"]] == ["theirs"]


def test_everything_is_not_stopped_unasked(stops: World):
    with pytest.raises(errors.SettingsError, match="--yes"):
        run(stops, "stop", "--reason", "INC-42")
    assert on_a_terminal(stops, "n", "stop", "--reason", "INC-42")[0] == 1
    assert stops.api.get(STOPS)["items"] == []
    assert on_a_terminal(stops, "y", "stop", "--reason", "INC-42")[0] == 0
    assert stops.api.get(f"{STOPS}/stop") is not None


# -- errors that say what to do ------------------------------------------------------------------------------------

ABOUT_ONE = [("approve", "--yes"), ("suspend",), ("resume",), ("reconcile",)]


@pytest.mark.parametrize("command", ABOUT_ONE, ids=lambda command: command[0])
def test_for_a_clusterstate_that_is_not_there_those_that_are_are_named(own: World, command: tuple[str, ...]):
    with pytest.raises(errors.NotFoundError, match="see: cvstate status"):
        run(own, *command, "shop", "-n", own.name)
    for name in ("web", "state"):
        own.declare(name)
    with pytest.raises(errors.NotFoundError, match=f"there is no ClusterState {own.name}/shop; in namespace {own.name} are: state, web"):
        run(own, *command, "shop", "-n", own.name)
    assert {"state", "web"} == {one["metadata"]["name"] for one in own.api.get(CLUSTER_STATES.format(own.name))["items"]}


def test_what_a_user_may_not_do_is_said_with_verb_and_kind(waiting: tuple[World, str], tmp_path: Path):
    world, _ = waiting
    user = accounts.kubeconfig(world, accounts.token(world, "person"), tmp_path / "person")
    for command in ABOUT_ONE:
        with pytest.raises(errors.ForbiddenError, match=f"may not get clusterstates.cvstate.io in namespace {world.name};"):
            run(world, *command, "state", "-n", world.name, user=user)
    with pytest.raises(errors.ForbiddenError, match=r"may not list emergencystops.cvstate.io;"):
        run(world, "stop", "--status", user=user)

    accounts.grant(world, "person", [READ])
    verbs = {("approve", "--yes"): "create stateapprovals", ("suspend",): "patch clusterstates", ("reconcile",): "patch clusterstates"}
    for command, verb in verbs.items():
        with pytest.raises(errors.ForbiddenError, match=f"may not {verb}.cvstate.io in namespace {world.name};"):
            run(world, *command, "state", "-n", world.name, user=user)
    assert approvals(world) == []


def test_without_the_crds_it_says_how_to_install_them(own: World):
    own.api.delete(f"{CRDS}/emergencystops.cvstate.io")
    until("the kind is gone", lambda: own.api.request("GET", STOPS)[0] == 404)
    with pytest.raises(errors.KindUnknownError, match="kubectl apply -f crds/"):
        run(own, "stop", "--status")
