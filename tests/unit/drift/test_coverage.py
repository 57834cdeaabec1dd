"""Coverage of desired fields by our field set.

Aspects: which fields are lost · which are not, however the server writes them down · pointers · who is named as the writer · what is shown.
"""

from typing import Any

import pytest

from cvstate_operator.drift.coverage import FieldDrift, Item, field_drifts, lost_fields, pointer

TLS = 'k:{"containerPort":443,"protocol":"TCP"}'
PORT = 'k:{"containerPort":80,"protocol":"TCP"}'

DESIRED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "labels": {"app": "web", "example.io/tier": "front"},
        "finalizers": ["example.io/hold"],
    },
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "web:1",
                        "args": ["--a", "--b"],
                        "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 443}],
                    },
                    {"name": "side"},
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        },
    },
}
OURS: dict[str, Any] = {
    "f:metadata": {"f:labels": {"f:app": {}, "f:example.io/tier": {}}, "f:finalizers": {'v:"example.io/hold"': {}}},
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"main"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:ports": {PORT: {".": {}, "f:containerPort": {}, "f:name": {}}, TLS: {".": {}, "f:containerPort": {}}},
                    },
                    'k:{"name":"side"}': {".": {}, "f:name": {}},
                },
                "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
            }
        },
    },
}
CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"main"}')


def without(*path: str) -> dict[str, Any]:
    """OURS but for what is at `path`; a node that would stay empty goes too, since it would stand for the whole value below it."""
    head, *rest = path
    return _without(OURS, head, rest)


def _without(tree: dict[str, Any], head: str, rest: list[str]) -> dict[str, Any]:
    if not rest:
        return {key: below for key, below in tree.items() if key != head}
    below = _without(tree[head], rest[0], rest[1:])
    return {**tree, head: below} if below else {key: other for key, other in tree.items() if key != head}


def lost(desired: Any, ours: Any) -> list[str]:
    return [pointer(path) for path in lost_fields(desired, ours)]


def test_an_object_that_we_hold_as_a_whole_has_lost_nothing() -> None:
    assert lost(DESIRED, OURS) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(("f:spec", "f:replicas"), ["/spec/replicas"], id="scalar"),
        pytest.param(("f:metadata", "f:labels", "f:app"), ["/metadata/labels/app"], id="label"),
        pytest.param(("f:metadata", "f:labels", "f:example.io/tier"), ["/metadata/labels/example.io~1tier"], id="slash-in-a-key"),
        pytest.param(("f:metadata", "f:finalizers", 'v:"example.io/hold"'), ["/metadata/finalizers"], id="only-element-of-a-set"),
        pytest.param((*CONTAINER, "f:image"), ["/spec/template/spec/containers/0/image"], id="field-of-a-list-item"),
        pytest.param((*CONTAINER, "f:args"), ["/spec/template/spec/containers/0/args"], id="atomic-list-as-one"),
        pytest.param((*CONTAINER, "f:ports", PORT), ["/spec/template/spec/containers/0/ports/0"], id="list-item-with-two-keys"),
        pytest.param(CONTAINER, ["/spec/template/spec/containers/0"], id="list-item-as-one"),
        pytest.param(
            ("f:metadata",),
            ["/metadata/labels/app", "/metadata/labels/example.io~1tier", "/metadata/finalizers"],
            id="map-as-a-whole-is-told-field-by-field",
        ),
    ],
)
def test_a_desired_field_outside_our_set_is_lost(path: tuple[str, ...], expected: list[str]) -> None:
    assert lost(DESIRED, without(*path)) == expected


def test_without_any_field_of_ours_every_field_is_lost() -> None:
    assert lost(DESIRED, {}) == [
        "/metadata/labels/app",
        "/metadata/labels/example.io~1tier",
        "/metadata/finalizers",
        "/spec/replicas",
        "/spec/template/spec/containers",
        "/spec/template/spec/volumes",
    ]


@pytest.mark.parametrize(
    ("desired", "ours"),
    [
        pytest.param({"spec": {"nodeName": None}}, {}, id="null"),
        pytest.param({"spec": {"nodeSelector": {}, "tolerations": []}}, {"f:spec": {}}, id="empty-map-and-list"),
        pytest.param(
            {"spec": {"affinity": {"podAffinity": {}, "hosts": [], "x": None}}}, {"f:spec": {"f:y": {}}}, id="map-of-empty-things"
        ),
        pytest.param({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "namespace": "b", "uid": "c"}}, {}, id="identity"),
        pytest.param({"spec": {"args": ["a", {"b": "c"}]}}, {"f:spec": {"f:args": {}}}, id="inside-an-atomic-list"),
        pytest.param({"spec": {"selector": {"app": "web"}}}, {"f:spec": {"f:selector": {}}}, id="inside-an-atomic-map"),
        pytest.param(
            {"ports": [{"port": 80}]}, {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}, id="defaulted-key-field"
        ),
        pytest.param({"set": ["a", 1]}, {"f:set": {'v:"a"': {}, "v:1": {}}}, id="set-of-mixed-types"),
    ],
)
def test_what_the_server_does_not_list_or_lists_otherwise_is_not_lost(desired: Any, ours: Any) -> None:
    assert lost(desired, ours) == []


def test_an_element_of_a_set_is_lost_alone() -> None:
    assert lost({"finalizers": ["a", "b"]}, {"f:finalizers": {'v:"a"': {}}}) == ["/finalizers/1"]


def test_a_port_of_another_protocol_is_another_item() -> None:
    ours: dict[str, Any] = {"f:ports": {'k:{"port":53,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}}}
    assert lost({"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}, ours) == ["/ports/1"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param((), "", id="whole-object"),
        pytest.param(("metadata", "annotations", "a/b"), "/metadata/annotations/a~1b", id="slash"),
        pytest.param(("data", "~x/y~"), "/data/~0x~1y~0", id="tilde-before-slash"),
        pytest.param(("spec", Item({"name": "a"}, 3), "image"), "/spec/3/image", id="list-item"),
    ],
)
def test_a_pointer_is_spelled_as_in_rfc_6901(path: Any, text: str) -> None:
    assert pointer(path) == text


def entry(manager: str, fields: Any, *, time: str = "2026-01-01T00:00:00Z", operation: str = "Update", **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, "time": time, **more}


def live(*others: dict[str, Any], replicas: Any = 5) -> dict[str, Any]:
    spec = {**DESIRED["spec"], "replicas": replicas}
    ours = entry("cvstate", without("f:spec", "f:replicas"), operation="Apply", time="2026-01-09T00:00:00Z")
    return {**DESIRED, "spec": spec, "metadata": {**DESIRED["metadata"], "managedFields": [*others, ours]}}


def drifts(obj: dict[str, Any]) -> tuple[FieldDrift, ...]:
    ours: dict[str, Any] = next(
        (e["fieldsV1"] for e in obj["metadata"].get("managedFields", ()) if (e["manager"], e["operation"]) == ("cvstate", "Apply")), {}
    )
    return field_drifts(DESIRED, obj, ours, manager="cvstate")


REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}


def test_a_changed_scalar_is_told_with_both_values_and_its_writer() -> None:
    others = entry("kubectl-edit", REPLICAS, time="2026-01-02T00:00:00Z")
    assert drifts(live(others)) == (FieldDrift("/spec/replicas", 2, 5, "kubectl-edit", "2026-01-02T00:00:00Z", is_held=True),)


@pytest.mark.parametrize(
    ("others", "manager"),
    [
        pytest.param([entry("old", REPLICAS), entry("new", REPLICAS, time="2026-01-03T00:00:00Z")], "new", id="newest-of-two-holders"),
        pytest.param(
            [entry("edit", REPLICAS), entry("later", {"f:x": {}}, time="2026-01-03T00:00:00Z")], "edit", id="holder-before-later-writer"
        ),
        pytest.param([entry("hpa", REPLICAS, subresource="scale"), entry("x", {"f:x": {}})], "hpa", id="holder-through-a-subresource"),
        pytest.param([entry("a", {"f:spec": {}}), entry("b", {"f:x": {}})], "a", id="holder-of-the-whole-map"),
        pytest.param(
            [entry("a", {"f:x": {}}), entry("kcm", {"f:status": {}}, subresource="status", time="2026-01-04T00:00:00Z")],
            "a",
            id="nobody-holds-it-and-status-writers-do-not-count",
        ),
        pytest.param([entry("cvstate", REPLICAS)], "cvstate", id="an-update-under-our-own-name-is-foreign"),
        pytest.param([entry("kcm", {"f:status": {}}, subresource="status")], "", id="only-a-status-writer"),
        pytest.param([], "", id="nobody"),
    ],
)
def test_the_writer_is_who_holds_the_field_or_else_the_last_other_writer(others: list[dict[str, Any]], manager: str) -> None:
    (drift,) = drifts(live(*others))
    assert drift.manager == manager


def test_a_removed_label_has_no_live_value() -> None:
    obj = live(entry("kubectl-label", {"f:metadata": {}}))
    obj["metadata"] = {**obj["metadata"], "labels": {"app": "web"}}
    ours = without("f:metadata", "f:labels", "f:example.io/tier")
    (drift,) = field_drifts(DESIRED, obj, ours, manager="cvstate")
    assert (drift.path, drift.desired, drift.live) == ("/metadata/labels/example.io~1tier", "front", None)


def test_a_field_of_a_list_item_is_found_by_its_key_not_its_index() -> None:
    obj = live(replicas=2)
    main = {"name": "main", "image": "evil:2"}
    obj["spec"]["template"] = {"spec": {"containers": [{"name": "sidecar", "image": "side:1"}, main]}}
    found = field_drifts(DESIRED, obj, without(*CONTAINER, "f:image"), manager="cvstate")
    assert [(d.path, d.desired, d.live) for d in found] == [("/spec/template/spec/containers/0/image", "web:1", "evil:2")]


def test_a_list_item_that_is_gone_has_no_live_value() -> None:
    obj = live(replicas=2)
    obj["spec"]["template"] = {"spec": {"containers": [{"name": "sidecar"}]}}
    (drift,) = field_drifts(DESIRED, obj, without(*CONTAINER), manager="cvstate")
    assert drift.live is None
    assert drift.desired["name"] == "main"


def test_an_element_of_a_set_is_found_by_its_value() -> None:
    obj = live(replicas=2)
    found = field_drifts(DESIRED, obj, without("f:metadata", "f:finalizers"), manager="cvstate")
    assert [(d.path, d.live) for d in found] == [("/metadata/finalizers", ["example.io/hold"])]


def test_an_object_without_managed_fields_has_lost_everything_to_nobody() -> None:
    found = field_drifts({"spec": {"replicas": 2}}, {"metadata": {}, "spec": {"replicas": 2}}, {}, manager="cvstate")
    assert found == (FieldDrift("/spec/replicas", 2, 2, "", ""),)
