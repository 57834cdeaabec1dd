"""List items of ours that somebody gave another key.

Aspects: which item is taken for ours, and which is not · lists that were lost as a whole, and inside items · whose items are never touched · what is handed
over, and what is left of the other entries · hostile and unusual field sets.
"""

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from cvstate_operator.drift.coverage import field_drifts
from cvstate_operator.drift.field_set import ownership
from cvstate_operator.drift.rekeyed import rekeyed

US, EDIT = "cvstate-operator", "kubectl-edit"
Json = dict[str, Any]
WEB, ADMIN = {"name": "http", "port": 80}, {"name": "admin", "port": 81}


def entry(manager: str, tree: Any, *, operation: str = "Update", **more: str) -> Json:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": tree, **more}


def key(port: int) -> str:
    return f'k:{{"port":{port},"protocol":"TCP"}}'


def held(*ports: int) -> Json:
    """A field set with these ports."""
    return {key(port): {".": {}, "f:name": {}, "f:port": {}} for port in ports}


def service(live: Sequence[Json], *entries: Json) -> Json:
    ports = [{"protocol": "TCP", **port} for port in live]
    meta = {"name": "a", "resourceVersion": "7", "managedFields": list(entries)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}}


def declared(*ports: Json) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": list(ports)}}


def ours(*ports: int) -> Json:
    return entry(US, {"f:spec": {"f:ports": held(*ports), "f:type": {}} if ports else {"f:type": {}}}, operation="Apply")


def theirs(*ports: int, manager: str = EDIT, **more: str) -> Json:
    return entry(manager, {"f:spec": {"f:ports": held(*ports)}}, **more)


def asked(desired: Json, live: Json, **more: Any) -> list[Json]:
    return rekeyed(desired, live, field_drifts(desired, live, ownership(live, US).ours, manager=US), manager=US, **more)


def taken(desired: Json, live: Json, **more: Any) -> list[int]:
    """Ports that were handed to us."""
    operations = asked(desired, live, **more)
    if not operations:
        return []
    before, after = (
        ownership({"metadata": {"managedFields": fields}}, US).ours
        for fields in (live["metadata"]["managedFields"], operations[0]["value"])
    )

    def ports(tree: Any) -> set[str]:
        return set(tree["f:spec"].get("f:ports", {}))

    return sorted(port for port in range(100) if key(port) in ports(after) - ports(before))


# -- which one ----------------------------------------------------------------------------------------------------------


def test_the_item_with_the_name_of_ours_was_made_of_it():
    live = service([{**WEB, "port": 90}, ADMIN], ours(81), theirs(90))
    assert taken(declared(WEB, ADMIN), live) == [90]


def test_several_items_are_told_by_their_names():
    live = service([{**WEB, "port": 90}, {**ADMIN, "port": 91}], ours(), theirs(90, 91))
    assert taken(declared(WEB, ADMIN), live) == [90, 91]


def test_without_a_name_the_only_one_of_its_sort_was_made_of_ours():
    live = service([{"port": 90}], ours(), theirs(90))
    assert taken(declared({"port": 80}), live) == [90]


def test_another_item_beside_makes_it_uncertain_unless_names_tell():
    live = service([{"port": 90}, {"port": 91}], ours(), theirs(90, 91))
    assert taken(declared({"port": 80}), live) == []
    named = service([{**WEB, "port": 90}, {"name": "more", "port": 91}], ours(), theirs(90, 91))
    assert taken(declared(WEB), named) == [90]


def test_an_item_beside_one_that_is_gone_is_an_item_of_its_own():
    live = service([{"name": "more", "port": 90}, {"name": "most", "port": 91}], ours(), theirs(90, 91))
    assert taken(declared(WEB), live) == []


def test_where_ours_is_live_nothing_was_made_of_it():
    live = service([WEB, {**WEB, "port": 90}], ours(), theirs(80, 90))
    assert taken(declared(WEB), live) == []


def test_a_key_field_that_git_leaves_out_is_its_default():
    live = service([{**WEB, "protocol": "UDP"}], ours())
    udp = 'k:{"port":80,"protocol":"UDP"}'
    live["metadata"]["managedFields"].append(
        entry(EDIT, {"f:spec": {"f:ports": {udp: {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}}}})
    )
    (handed, _) = asked(declared(WEB), live)
    assert handed["value"] == [entry(US, {"f:spec": {"f:type": {}, "f:ports": {udp: {".": {}}}}}, operation="Apply")]


def test_nothing_is_asked_for_without_such_a_drift():
    live = service([WEB], ours(80))
    assert asked(declared(WEB), live) == []
    assert rekeyed(declared(WEB), live, (), manager=US) == []


# -- whose ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        theirs(90, operation="Apply"),
        theirs(90, manager="kube-controller-manager"),
        theirs(90, subresource="status"),
    ],
    ids=["declared", "a component", "a subresource"],
)
def test_items_that_others_stand_for_are_not_touched(other):
    assert taken(declared(WEB), service([{**WEB, "port": 90}], ours(), other)) == []
    assert taken(declared(WEB), service([{**WEB, "port": 90}], ours(), theirs(90), other)) == []


def test_items_of_managers_that_are_left_alone_are_not_touched():
    live = service([{**WEB, "port": 90}], ours(), theirs(90))
    assert taken(declared(WEB), live, left_alone=lambda manager: manager == EDIT) == []


def test_an_object_that_we_never_applied_is_not_touched():
    assert asked(declared(WEB), service([{**WEB, "port": 90}], theirs(90))) == []


# -- inside items ----------------------------------------------------------------------------------------------------------


def test_a_variable_that_was_renamed_is_found_inside_its_container():
    def pod(*names: str) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Thing",
            "spec": {"containers": [{"name": "side"}, {"name": "main", "env": [{"name": n, "value": "1"} for n in names]}]},
        }

    main, side = 'k:{"name":"main"}', 'k:{"name":"side"}'
    mine = {"f:spec": {"f:containers": {main: {".": {}, "f:name": {}}, side: {".": {}, "f:name": {}}}}}
    edited = {"f:spec": {"f:containers": {main: {"f:env": {'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}}}}}}}
    live = {**pod("B"), "metadata": {"resourceVersion": "7", "managedFields": [entry(US, mine, operation="Apply"), entry(EDIT, edited)]}}
    live["spec"]["containers"].reverse()
    (handed, _) = asked(pod("A"), live)
    (only,) = handed["value"]
    assert only["fieldsV1"]["f:spec"]["f:containers"][main] == {".": {}, "f:name": {}, "f:env": {'k:{"name":"B"}': {".": {}}}}


# -- what is handed over ------------------------------------------------------------------------------------------------------


def test_the_patch_changes_who_holds_the_item_and_nothing_else():
    label = {"f:metadata": {"f:labels": {"f:a": {}}}}
    edited = entry(EDIT, {"f:spec": {"f:ports": held(90)}, **label}, time="2026-01-01T00:00:00Z")
    live = service([{**WEB, "port": 90}, ADMIN], ours(81), edited)
    before = copy.deepcopy(live)
    assert asked(declared(WEB, ADMIN), live) == [
        {
            "op": "replace",
            "path": "/metadata/managedFields",
            "value": [
                entry(US, {"f:spec": {"f:ports": {**held(81), key(90): {".": {}}}, "f:type": {}}}, operation="Apply"),
                {**edited, "fieldsV1": label},
            ],
        },
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]
    assert live == before


def test_an_entry_that_held_nothing_else_goes():
    operations = asked(declared(WEB), service([{**WEB, "port": 90}], ours(), theirs(90), theirs(90, manager="kubectl-patch")))
    assert [one["manager"] for one in operations[0]["value"]] == [US]


def test_who_holds_the_whole_list_keeps_it():
    whole = entry("kubectl-replace", {"f:spec": {"f:ports": {}}})
    operations = asked(declared(WEB), service([{**WEB, "port": 90}], ours(), theirs(90), whole))
    assert whole in operations[0]["value"]


# -- unusual -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("element", ["k:{", "k:[1]", "k:{}", "v:1", "i:0", "nonsense", ""])
def test_elements_that_make_no_sense_do_no_harm(element):
    tree = {"f:spec": {"f:ports": {element: {".": {}}, **held(90)}}}
    assert taken(declared(WEB), service([{**WEB, "port": 90}], ours(), entry(EDIT, tree))) == [90]


@pytest.mark.parametrize("ports", [None, "x", {}, [1, 2], [[]], [None]])
def test_lists_that_are_none_are_passed_over(ports):
    live = service([], ours(), theirs(90))
    live["spec"]["ports"] = ports
    assert asked(declared(WEB), live) == []
    assert asked({**declared(), "spec": {"ports": ports}}, service([{**WEB, "port": 90}], ours(), theirs(90))) == []


def test_two_live_items_of_one_key_cannot_be_told_apart():
    live = service([{**WEB, "port": 90}, {**WEB, "port": 90}], ours(), theirs(90))
    assert taken(declared(WEB), live) == []
