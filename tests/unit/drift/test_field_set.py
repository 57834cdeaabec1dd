"""Field sets.

Aspects: who owns what · what is seen as a change · what is not · order does not matter · broken input is refused.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cvstate_operator.drift.field_set import FieldSetError, FieldTree, Ownership, fingerprint, owned_values, ownership

OURS = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:name": {}, "f:image": {}}}}},
    },
}


def deployment() -> dict[str, Any]:
    """A live Deployment in which `cvstate` owns a label, the replicas and one container's image."""
    return {
        "metadata": {
            "labels": {"app": "web", "team": "a"},
            "managedFields": [
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
                {"manager": "cvstate", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
                {"manager": "cvstate", "operation": "Apply", "fieldsV1": OURS},
            ],
        },
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {"containers": [{"name": "side", "image": "s:1"}, {"name": "main", "image": "m:1", "imagePullPolicy": "Always"}]}
            },
        },
    }


def edited(edit: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    live = copy.deepcopy(deployment())
    edit(live)
    return live


def containers(live: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = live["spec"]["template"]["spec"]["containers"]
    return found


def seen(live: dict[str, Any]) -> bytes:
    return fingerprint(live, ownership(live, "cvstate"))


def test_only_what_we_applied_is_ours() -> None:
    assert ownership(deployment(), "flux").ours == {}
    assert dict(owned_values(deployment(), ownership(deployment(), "cvstate"))) == {
        "f:metadata/f:labels/f:app": "web",
        "f:spec/f:replicas": 2,
        'f:spec/f:template/f:spec/f:containers/k:{"name":"main"}/.': True,
        'f:spec/f:template/f:spec/f:containers/k:{"name":"main"}/f:name': "main",
        'f:spec/f:template/f:spec/f:containers/k:{"name":"main"}/f:image': "m:1",
    }


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda o: o["spec"].update(replicas=3), id="value-changed"),
        pytest.param(lambda o: o["spec"].pop("replicas"), id="field-removed"),
        pytest.param(lambda o: o["metadata"]["labels"].pop("app"), id="label-removed"),
        pytest.param(lambda o: containers(o)[1].update(image="m:2"), id="field-of-list-item-changed"),
        pytest.param(lambda o: containers(o).pop(1), id="list-item-removed"),
        pytest.param(lambda o: o["spec"].update(replicas="2"), id="type-changed"),
    ],
)
def test_a_change_of_an_owned_field_changes_the_fingerprint(edit: Callable[[dict[str, Any]], Any]) -> None:
    assert seen(edited(edit)) != seen(deployment())


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda o: o["metadata"]["labels"].update(team="b"), id="label-of-another-owner"),
        pytest.param(lambda o: containers(o)[1].update(imagePullPolicy="Never"), id="defaulted-field"),
        pytest.param(lambda o: containers(o)[0].update(image="s:2"), id="injected-sidecar"),
        pytest.param(lambda o: containers(o).reverse(), id="order-of-an-associative-list"),
        pytest.param(lambda o: o.update(status={"readyReplicas": 2}), id="status"),
    ],
)
def test_a_change_of_anything_else_does_not(edit: Callable[[dict[str, Any]], Any]) -> None:
    assert seen(edited(edit)) == seen(deployment())


def test_an_element_of_a_set_list_is_seen_by_its_value() -> None:
    owners = Ownership({"f:finalizers": {'v:"a"': {}}}, ())
    assert list(owned_values({"finalizers": ["b", "a"]}, owners)) == [('f:finalizers/v:"a"', "a")]
    assert list(owned_values({"finalizers": ["b"]}, owners)) == []


def test_what_others_put_into_an_empty_map_of_ours_is_theirs() -> None:
    alone = Ownership({"f:emptyDir": {}}, ())
    shared = Ownership({"f:emptyDir": {}}, ({"f:emptyDir": {"f:medium": {}}},))
    assert fingerprint({"emptyDir": {"medium": "Memory"}}, shared) == fingerprint({"emptyDir": {}}, alone)
    assert fingerprint({"emptyDir": {"medium": "Memory"}}, alone) != fingerprint({"emptyDir": {}}, alone)


@pytest.mark.parametrize("element", ["x:y", "k:{broken", "v:"])
def test_a_broken_path_element_is_refused_by_name(element: str) -> None:
    with pytest.raises(FieldSetError, match="path element"):
        list(owned_values({"a": [1]}, Ownership({"f:a": {element: {}}}, ())))


def test_the_example_is_not_changed_by_looking_at_it() -> None:
    live = deployment()
    seen(live)
    assert live == deployment()


def test_an_object_without_managed_fields_has_no_owner() -> None:
    assert ownership({"metadata": {}}, "cvstate") == Ownership({}, ())


@pytest.mark.parametrize(
    ("items", "element", "found"),
    [
        ([{"name": "a", "value": 1}, {"name": "b", "value": 2}], 'k:{"name":"b"}', [2]),
        ([{"port": 80, "protocol": "TCP", "value": 1}, {"port": 80, "protocol": "UDP", "value": 2}], 'k:{"port":80,"protocol":"UDP"}', [2]),
        ([{"name": "a", "value": 1}, {"name": "a", "value": 2}], 'k:{"name":"a"}', [1, 2]),
        ([{"value": 1}, "text", {"name": "b", "value": 2}], 'k:{"name":"a"}', []),
        ([{"name": {"odd": 1}, "value": 1}, {"name": "a", "value": 2}], 'k:{"name":"a"}', [2]),
        ([{"name": ["odd"], "value": 1}, {"name": "a", "value": 2}], 'k:{"name":["odd"]}', [1]),
        ([{"value": 1}, "text"], "k:{}", [1]),
    ],
    ids=["one-key", "two-keys", "twins", "absent", "a-stranger-among-them", "a-key-that-is-a-list", "no-key"],
)
def test_an_item_is_found_by_its_key_fields(items: list[Any], element: str, found: list[int]) -> None:
    live = {"spec": {"ports": items}}
    owners = Ownership({"f:spec": {"f:ports": {element: {"f:value": {}}}}}, ())
    assert [value for _, value in owned_values(live, owners)] == found


def test_each_of_many_items_is_found() -> None:
    items = [{"name": f"n{number}", "value": number} for number in range(500)]
    ours: FieldTree = {f'k:{{"name":"n{number}"}}': {".": {}, "f:value": {}} for number in range(500)}
    found = owned_values({"env": items}, Ownership({"f:env": ours}, ()))
    assert sorted(value for path, value in found if path.endswith("f:value")) == list(range(500))  # type: ignore[type-var]
