"""Dependencies of a ClusterState.

Aspects: ClusterStates: missing, not ready, not looked at, being deleted · one source: the same commit · other kinds · readyExpr · what a fault tells ·
objects of any form (property) · cycles.
"""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.dependencies import Dependency
from cvstate_operator.plan import dependencies

OLD, NEW = "1" * 40, "2" * 40
URL = "https://git.example.com/platform.git"


def dependency(name: str = "crds", **fields: Any) -> Dependency:
    return Dependency.model_validate({"name": name, **fields})


def cluster_state(
    name: str = "crds",
    *,
    ready: str = "True",
    generation: int = 3,
    observed: int = 3,
    applied: str = OLD,
    fetched: str = OLD,
    git: dict[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """One that is ready."""
    condition = {"type": "Ready", "status": ready, "reason": "SomeReason", "message": "some message", "observedGeneration": observed}
    return {
        "apiVersion": "cvstate.io/v1alpha1",
        "kind": "ClusterState",
        "metadata": {"name": name, "namespace": "team-a", "generation": generation, **metadata},
        "spec": {"source": {"git": {"url": f"https://git.example.com/{name}.git", "path": name, **(git or {})}}},
        "status": {
            "conditions": [{"type": "Drifted", "status": "True"}, condition],
            "source": {"revision": f"main@sha1:{fetched}"},
            "lastAppliedRevision": f"main@sha1:{applied}",
        },
    }


THIS = cluster_state("app")


def message(needed: Dependency, live: dict[str, Any] | None, this: dict[str, Any] = THIS, **kwargs: Any) -> str:
    """What is missing; empty if it is ready."""
    found = dependencies.judge(needed, live, this, **kwargs)
    return found.message if found else ""


# -- ClusterStates ----------------------------------------------------------------------------------------------------


def test_a_cluster_state_that_is_ready_is_not_waited_for() -> None:
    assert message(dependency(), cluster_state()) == ""


@pytest.mark.parametrize(
    ("live", "missing"),
    [
        (None, "ClusterState crds does not exist"),
        (cluster_state(ready="False"), "ClusterState crds is not ready: SomeReason: some message"),
        (cluster_state(ready="Unknown"), "ClusterState crds is not ready: SomeReason: some message"),
        (cluster_state(observed=2), "ClusterState crds is not ready: its newest generation was not looked at yet"),
        ({**cluster_state(), "status": {}}, "ClusterState crds is not ready: it has no condition Ready yet"),
        (cluster_state(deletionTimestamp="2026-01-01T00:00:00Z"), "ClusterState crds is being deleted"),
    ],
    ids=["missing", "false", "unknown", "old", "new", "deleted"],
)
def test_what_is_missing_is_told(live: dict[str, Any] | None, missing: str) -> None:
    assert message(dependency(), live) == missing


def test_a_message_of_another_object_stays_on_one_line() -> None:
    live = cluster_state(ready="False")
    live["status"]["conditions"][1]["message"] = "first\nsecond\x1b[31m" + "x" * 5000
    assert message(dependency(), live).isprintable()
    assert len(message(dependency(), live)) < 300


# -- one source -------------------------------------------------------------------------------------------------------

SHARED = {"url": URL, "ref": {"branch": "main"}}


def test_of_one_source_the_same_commit_is_awaited() -> None:
    this = cluster_state("app", git=SHARED, fetched=NEW)
    assert message(dependency(), cluster_state(git=SHARED, applied=OLD), this) == (
        "ClusterState crds has not applied commit 222222222222 yet, of the source that both follow"
    )
    assert message(dependency(), cluster_state(git=SHARED, applied=NEW), this) == ""


def test_the_commit_is_the_one_that_is_to_be_applied() -> None:
    this, live = cluster_state("app", git=SHARED, fetched=OLD), cluster_state(git=SHARED, applied=NEW)
    assert message(dependency(), live, this, revision=f"main@sha1:{NEW}") == ""
    assert "has not applied commit" in message(dependency(), live, this, revision=f"main@sha1:{OLD}")


@pytest.mark.parametrize("applied", ["", None, "main@sha1:"])
def test_of_one_source_a_first_apply_is_awaited_too(applied: str | None) -> None:
    live = cluster_state(git=SHARED)
    live["status"]["lastAppliedRevision"] = applied
    assert "has not applied commit" in message(dependency(), live, cluster_state("app", git=SHARED))


@pytest.mark.parametrize(
    "git",
    [
        {"url": "https://git.example.com/other.git", "ref": {"branch": "main"}},
        {"url": URL, "ref": {"branch": "next"}},
        {"url": URL, "ref": {"tag": "main"}},
        {"url": URL, "ref": {"branch": "main", "commit": OLD}},
    ],
)
def test_of_different_sources_commits_are_not_compared(git: dict[str, Any]) -> None:
    assert message(dependency(), cluster_state(git=git, applied=OLD), cluster_state("app", git=SHARED, fetched=NEW)) == ""


@pytest.mark.parametrize("ref", [{}, {"branch": "main"}, {"branch": "main", "tag": None}])
def test_a_branch_that_is_left_out_is_main(ref: dict[str, Any]) -> None:
    this = cluster_state("app", git={"url": URL}, fetched=NEW)
    assert "has not applied commit" in message(dependency(), cluster_state(git={"url": URL, "ref": ref}), this)


# -- other kinds ------------------------------------------------------------------------------------------------------

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "db", "generation": 2},
    "spec": {"replicas": 2},
    "status": {
        "observedGeneration": 2,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "conditions": [{"type": "Available", "status": "True"}],
    },
}
DB = dependency("db", apiVersion="apps/v1", kind="Deployment")


def test_another_kind_is_judged_by_its_readiness() -> None:
    assert message(DB, DEPLOYMENT) == ""
    behind = {**DEPLOYMENT, "status": {**DEPLOYMENT["status"], "readyReplicas": 1, "availableReplicas": 1}}
    assert message(DB, behind).startswith("Deployment db is not ready: InProgress: ")
    assert message(DB, None) == "Deployment db does not exist"
    assert message(DB, {**DEPLOYMENT, "status": 7}).startswith("Deployment db is not ready: Unknown: ")


def test_a_kind_that_says_nothing_of_itself_is_ready_when_it_is_there() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {}}
    assert message(dependency("settings", apiVersion="v1", kind="ConfigMap"), config) == ""


# -- readyExpr --------------------------------------------------------------------------------------------------------


def by_expression(text: str) -> Dependency:
    return dependency("db", apiVersion="apps/v1", kind="Deployment", readyExpr=text)


def test_an_expression_decides_in_place_of_the_usual_rules() -> None:
    behind = {**DEPLOYMENT, "status": {"readyReplicas": 1}}
    assert message(by_expression("dep.status.readyReplicas >= 1"), behind) == ""
    assert message(by_expression("dep.status.readyReplicas >= 2"), behind) == "Deployment db is not ready: its readyExpr is false"
    assert message(dependency(readyExpr="dep.metadata.name == 'crds'"), cluster_state(ready="False")) == ""


def test_an_expression_sees_both_objects() -> None:
    this = cluster_state("app", annotations={"version": "v1"})
    asked = by_expression("dep.?metadata.?annotations[?'version'].orValue('') == self.metadata.annotations['version']")
    assert message(asked, {**DEPLOYMENT, "metadata": {"name": "db", "annotations": {"version": "v1"}}}, this) == ""
    assert message(asked, DEPLOYMENT, this) != ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dep.status.phase == 'Ready'", 'Key not found in map : "phase"'),
        ("dep.status.phase ==", "line 1, column 20: "),
        ("dep.metadata.name", "gives string, not true or false"),
        ("other == 1", "undeclared reference to 'other'"),
        ("dep.status.conditions.map(c, c).map(c, [c, c]).map(c, [c, c]).map(c, [c, c]).map(c, [c, c]) != [[self, self]]", "too long"),
    ],
)
def test_an_expression_that_fails_is_never_ready(text: str, reason: str) -> None:
    found = message(by_expression(text), DEPLOYMENT)
    assert found.startswith("Deployment db cannot be judged: readyExpr ")
    assert reason in found


def test_what_is_being_deleted_is_not_ready_whatever_an_expression_says() -> None:
    leaving = {**DEPLOYMENT, "metadata": {"name": "db", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert message(by_expression("true"), leaving) == "Deployment db is being deleted"
    assert message(DB, leaving) == "Deployment db is being deleted"


def test_managed_fields_are_not_shown_to_expressions() -> None:
    live = {**DEPLOYMENT, "metadata": {"name": "db", "managedFields": [{"manager": "kubectl"}]}}
    assert message(by_expression("!has(dep.metadata.managedFields)"), live) == ""
    assert "managedFields" in live["metadata"]


# -- objects of any form ----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: (
        st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(["type", "git", "ref", "url", "conditions", "source"]), below)
    ),
    max_leaves=6,
)
OBJECTS = st.fixed_dictionaries({}, optional={"metadata": JSON, "spec": JSON, "status": JSON, "kind": JSON, "apiVersion": JSON})


@given(OBJECTS, OBJECTS, st.sampled_from([dependency(), DB, by_expression("dep.status == self.spec")]))
def test_objects_of_any_form_are_judged(live: dict[str, Any], this: dict[str, Any], needed: Dependency) -> None:
    found = dependencies.judge(needed, live, this)
    assert found is None or found.message.isprintable()


@given(
    st.sampled_from([(("metadata", "generation"), "3"), (("status", "conditions"), {}), (("status", "conditions"), [1]), (("status",), [])])
)
def test_a_cluster_state_that_cannot_be_read_is_not_ready(change: tuple[tuple[str, ...], Any]) -> None:
    path, value = change
    live = cluster_state(observed=4)
    target = live
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    assert message(dependency(), live) != ""


# -- cycles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({}, ()),
        ({"a": []}, ()),
        ({"a": ["b"], "b": ["c"]}, ()),
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["a", "b"]}, ("a", "b", "c", "a")),
        ({"a": ["z", "b"], "b": ["a"], "z": ["a"]}, ("a", "b", "a")),
        ({"a": ["b", "c"], "b": ["d"], "d": ["a"], "c": ["a"]}, ("a", "c", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ()),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, ()),
    ],
)
def test_the_shortest_way_back_is_told(edges: dict[str, list[str]], cycle: tuple[str, ...]) -> None:
    assert dependencies.find_cycle(edges, "a") == cycle


def test_the_order_of_edges_does_not_matter() -> None:
    found = {
        dependencies.find_cycle({"a": order, **{name: ["a"] for name in order}}, "a") for order in itertools.permutations(["b", "c", "d"])
    }
    assert found == {("a", "b", "a")}


def test_a_cycle_of_any_length_is_found() -> None:
    count = 20_000
    edges = {str(n): [str((n + 1) % count)] for n in range(count)}
    assert len(dependencies.find_cycle(edges, "0")) == count + 1


NODES = "abcdef"


@given(st.dictionaries(st.sampled_from(NODES), st.sets(st.sampled_from(NODES))), st.sampled_from(NODES))
def test_a_cycle_is_a_way_along_the_edges_and_found_if_there_is_one(edges: dict[str, set[str]], start: str) -> None:
    reachable: set[str] = set()
    ahead = set(edges.get(start, ()))
    while ahead - reachable:
        reachable |= ahead
        ahead = {name for here in reachable for name in edges.get(here, ())}
    found = dependencies.find_cycle(edges, start)
    assert bool(found) == (start in reachable)
    assert all(there in edges[here] for here, there in itertools.pairwise(found))
    assert not found or found[0] == found[-1] == start
