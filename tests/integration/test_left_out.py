"""Bodies that leave fields alone, applied to a live API server: it removes, defaults and hands over as drift/ignores.py says it does.

Aspects: a field that is simply not sent falls back to its default · one that we alone hold keeps its value, whatever Git says, and when it left Git ·
one that others hold stays theirs · of two holders the other one stays · a drift beside it is repaired · items of lists · a write in between is not undone.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.path_pattern import parse_pattern
from cvstate_operator.drift import ignores
from cvstate_operator.drift.ignores import LeftOut
from tests.support import ours
from tests.support.api import Json
from tests.support.objects import deployment
from tests.support.world import World

pytestmark = pytest.mark.integration

US = "cvstate-operator"
NOTHING = LeftOut()
REPLICAS = LeftOut((parse_pattern("/spec/replicas"),))
IMAGES = LeftOut((parse_pattern("/**/containers/[name=app]/image"),))


def path(world: World) -> str:
    return world.path("deployments", "x", group="apps/v1")


def live(world: World) -> Json:
    found = world.api.get(path(world))
    assert found is not None
    return found


def apply(world: World, body: Json, left_out: LeftOut = NOTHING, *, seen: Json | None = None) -> Json:
    """Apply as the operator does, but for what is left out."""
    before = seen or world.api.get(path(world))
    return ours.apply(world, path(world), ignores.without(body, left_out, live=before, manager=US), force=True)


def holders(obj: Json, *names: str) -> set[str]:
    """Managers that hold the field below these names."""
    found = set()
    for entry in obj["metadata"]["managedFields"]:
        at: Any = entry["fieldsV1"]
        for name in names:
            at = at.get(name) if at is not None else None
        if at is not None:
            found.add(entry["manager"])
    return found


def scale(world: World, replicas: int) -> None:
    world.api.merge(path(world) + "/scale", {"spec": {"replicas": replicas}}, manager="hpa")


def desired(replicas: int | None = 2, image: str = "web:1") -> Json:
    """What Git has; without a number of replicas if that is None."""
    body = deployment("x", replicas=replicas or 1)
    if replicas is None:
        del body["spec"]["replicas"]
    body["spec"]["template"]["spec"]["containers"] = [{"name": "app", "image": image}, {"name": "side", "image": "side:1"}]
    return body


def test_a_field_that_is_simply_not_sent_any_more_falls_back_to_its_default(world: World) -> None:
    apply(world, desired(4))
    assert apply(world, desired(None))["spec"]["replicas"] == 1


@pytest.mark.parametrize("later", [9, None], ids=["git-changes-it", "git-drops-it"])
def test_a_field_that_we_alone_hold_keeps_its_value(world: World, later: int | None) -> None:
    apply(world, desired(4))
    after = apply(world, desired(later), REPLICAS)
    assert after["spec"]["replicas"] == 4
    assert holders(after, "f:spec", "f:replicas") == {US}


@pytest.mark.parametrize("later", [9, None], ids=["git-changes-it", "git-drops-it"])
def test_a_field_that_somebody_else_set_stays_theirs(world: World, later: int | None) -> None:
    apply(world, desired(4))
    scale(world, 7)
    for _ in range(2):
        after = apply(world, desired(later), REPLICAS)
        assert after["spec"]["replicas"] == 7
        assert holders(after, "f:spec", "f:replicas") == {"hpa"}


def test_of_two_holders_the_other_one_stays(world: World) -> None:
    apply(world, desired(4))
    shared = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": 4}}
    assert world.api.apply(path(world), shared, manager="other")[0] == 200
    assert holders(live(world), "f:spec", "f:replicas") == {US, "other"}
    after = apply(world, desired(9), REPLICAS)
    assert after["spec"]["replicas"] == 4
    assert holders(after, "f:spec", "f:replicas") == {"other"}


def test_the_first_value_is_gits(world: World) -> None:
    assert apply(world, desired(4), REPLICAS)["spec"]["replicas"] == 4


def test_a_drift_beside_it_is_repaired_and_it_is_not(world: World) -> None:
    apply(world, desired(4))
    scale(world, 7)
    world.api.merge(path(world), {"spec": {"minReadySeconds": 30, "paused": True}}, manager="kubectl-edit")
    body = desired(4)
    body["spec"]["paused"] = False
    after = apply(world, body, REPLICAS)
    assert (after["spec"]["replicas"], after["spec"].get("paused", False), after["spec"]["minReadySeconds"]) == (7, False, 30)


def test_an_image_that_waits_for_consent_stays_while_its_container_is_repaired(world: World) -> None:
    apply(world, desired())
    edited = [{"name": "app", "image": "web:9"}, {"name": "side", "image": "side:9"}]
    strategic = "application/strategic-merge-patch+json"
    code, _ = world.api.request(
        "PATCH", path(world) + "?fieldManager=cli", {"spec": {"template": {"spec": {"containers": edited}}}}, strategic
    )
    assert code == 200
    after = apply(world, desired(), LeftOut().with_fields(["/spec/template/spec/containers/0/image"]))
    assert [(c["name"], c["image"]) for c in after["spec"]["template"]["spec"]["containers"]] == [("app", "web:9"), ("side", "side:1")]
    again = apply(world, desired())
    assert [c["image"] for c in again["spec"]["template"]["spec"]["containers"]] == ["web:1", "side:1"]


def test_an_image_that_we_alone_hold_stays_whatever_git_says(world: World) -> None:
    apply(world, desired(image="web:1"))
    after = apply(world, desired(image="web:2"), IMAGES)
    assert [c["image"] for c in after["spec"]["template"]["spec"]["containers"]] == ["web:1", "side:1"]


def test_a_label_that_left_git_stays_while_it_is_ignored_and_goes_when_it_is_not(world: World) -> None:
    body = desired()
    apply(world, {**body, "metadata": {**body["metadata"], "labels": {"team": "a", "tier": "front"}}})
    labels = {"team": "a"}
    smaller = {**body, "metadata": {**body["metadata"], "labels": labels}}
    kept = apply(world, smaller, LeftOut((parse_pattern("/metadata/labels/tier"),)))
    assert kept["metadata"]["labels"] == {"team": "a", "tier": "front"}
    assert apply(world, smaller)["metadata"]["labels"] == labels


def test_a_value_that_somebody_wrote_meanwhile_is_not_put_back(world: World) -> None:
    seen = apply(world, desired(4))
    scale(world, 7)
    with pytest.raises(errors.StaleError):
        apply(world, desired(9), REPLICAS, seen=seen)
    assert live(world)["spec"]["replicas"] == 7


def test_an_apply_that_leaves_fields_out_costs_no_version_when_nothing_else_changed(world: World) -> None:
    apply(world, desired(4))
    scale(world, 7)
    first = apply(world, desired(4), REPLICAS)
    assert apply(world, desired(4), REPLICAS)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
