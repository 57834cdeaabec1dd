"""Ownership on a real API server: what is adopted, what is refused, and that nothing is taken from anybody.

Aspects: objects without an owner · fields of others · another ClusterState · Helm, Flux and Argo CD · ApplySet marks.
"""

import pytest

from cvstate_operator.objects.ownership import applyset_id
from tests.support.objects import config_map, deployment, text
from tests.support.world import World

pytestmark = pytest.mark.integration


def test_an_object_without_an_owner_is_adopted_and_keeps_its_identity(world: World):
    before = world.api.create(world.path("configmaps"), config_map("a", k="v"))
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v", more="x"))}))
    after = world.api.get(world.path("configmaps", "a"))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["data"] == {"k": "v", "more": "x"}


def test_a_field_that_somebody_holds_with_another_value_is_not_overwritten(world: World):
    body = {**deployment("d", replicas=5)}
    code, _ = world.api.apply(world.path("deployments", "d", group="apps/v1"), body, manager="platform-team")
    assert code == 201
    world.commit({"a.yaml": text(deployment("d", replicas=1), config_map("other", k="v"))})
    world.declare()
    condition = world.wait_failed("FieldConflict", mentions="platform-team")
    assert ".spec.replicas" in condition["message"]
    assert world.api.get(world.path("deployments", "d", group="apps/v1"))["spec"]["replicas"] == 5
    assert world.api.get(world.path("configmaps", "other")) is not None, "the rest is applied"


def test_two_clusterstates_on_one_object_are_told_and_the_first_keeps_it(world: World):
    world.declare("first")
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="first"))}), "first")
    other = world.git.repository(f"{world.name}-other")
    other.commit({"apps/a.yaml": text(config_map("a", k="second"), config_map("b", k="v"))})
    world.declare("second", git={"url": world.git.url(f"{world.name}-other")})
    condition = world.wait_failed("OwnerConflict", "second", mentions=f"ClusterState {world.name}/first")
    assert "apps/a.yaml document 1" in condition["message"]
    live = world.api.get(world.path("configmaps", "a"))
    assert live["data"] == {"k": "first"}
    assert (
        live["metadata"]["labels"]["applyset.kubernetes.io/part-of"]
        == world.state("first")["metadata"]["labels"]["applyset.kubernetes.io/id"]
    )
    assert world.api.get(world.path("configmaps", "b")) is not None, "the rest is applied"


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        pytest.param({"annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm release shop", id="helm"),
        pytest.param({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization apps", id="flux"),
        pytest.param({"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:x/a"}}, "Argo CD application shop", id="argo"),
        pytest.param({"labels": {"applyset.kubernetes.io/part-of": "applyset-x-v1"}}, "ApplySet applyset-x-v1", id="applyset"),
    ],
)
def test_an_object_of_another_tool_is_refused_and_the_tool_named(world: World, metadata, named):
    body = config_map("a", k="theirs")
    body["metadata"].update(metadata)
    world.api.create(world.path("configmaps"), body)
    world.commit({"a.yaml": text(config_map("a", k="ours"))})
    world.declare()
    world.wait_failed("OwnerConflict", mentions=named)
    assert world.api.get(world.path("configmaps", "a"))["data"] == {"k": "theirs"}


def test_parent_and_members_carry_the_marks_of_an_applyset(world: World):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"), deployment("d"))}))
    meta = world.state()["metadata"]
    wanted = applyset_id(name="state", namespace=world.name, kind="ClusterState", group="cvstate.io")
    assert meta["labels"]["applyset.kubernetes.io/id"] == wanted
    assert meta["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap,Deployment.apps"
    assert meta["annotations"]["applyset.kubernetes.io/tooling"] == "cvstate-operator/v1"
    assert world.api.get(world.path("configmaps", "a"))["metadata"]["labels"]["applyset.kubernetes.io/part-of"] == wanted
