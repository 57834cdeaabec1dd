"""What client-side apply gives up at adoption.

Aspects: whose entries are looked at · what goes and what stays · defaults · list items, in kinds whose defaults are not known too · other versions ·
never an empty list · once is enough · hostile field sets · the patch · values that only look different.
"""

import copy
from typing import Any

import pytest

from cvstate_operator.plan.takeover import LAST_APPLIED, MAX_DEPTH, handover, is_from_client, keeps_values, taken_over

US, KUBECTL = "cvstate-operator", "kubectl-client-side-apply"
Json = dict[str, Any]
ANNOTATION = {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}}


def entry(manager: str, tree: Any, *, operation: str = "Update", version: str = "v1", **more: str) -> Json:
    return {"manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": tree, **more}


def ours(tree: Any, *, version: str = "v1") -> Json:
    return entry(US, tree, operation="Apply", version=version)


def obj(*entries: Json, api_version: str = "v1", **body: Any) -> Json:
    return {"apiVersion": api_version, "metadata": {"name": "a", "resourceVersion": "7", "managedFields": list(entries)}, **body}


def left(theirs: Any, mine: Any, *, api_version: str = "v1", **body: Any) -> Any:
    """What kubectl holds afterwards; empty if nothing, None if it is not asked to give up anything."""
    live = obj(entry(KUBECTL, theirs, version=api_version), api_version=api_version, **body)
    fields = taken_over(live, obj(ours(mine, version=api_version)), manager=US)
    if fields is None:
        return None
    assert fields[-1] == ours(mine, version=api_version)
    return next((e["fieldsV1"] for e in fields if e["manager"] == KUBECTL), {})


@pytest.mark.parametrize("manager", [KUBECTL, "kubectl", "kubectl-create", "kubectl-edit", "before-first-apply"])
def test_managers_of_client_side_apply_are_known_by_their_names(manager):
    assert is_from_client(obj(entry(manager, {"f:data": {"f:a": {}}})))


@pytest.mark.parametrize("manager", ["kubectlx", "kube-controller-manager", "helm", "vpa", US])
def test_other_managers_keep_what_they_hold(manager):
    live = obj(entry(manager, {"f:data": {"f:a": {}}}), data={"a": "1"})
    assert not is_from_client(live)
    assert taken_over(live, obj(ours({"f:data": {"f:a": {}}})), manager=US) is None


def test_whoever_holds_the_last_configuration_applied_it():
    assert is_from_client(obj(entry("deployer", ANNOTATION)))
    assert not is_from_client(obj(entry("deployer", {"f:data": {"f:a": {}}})))


@pytest.mark.parametrize(
    "other",
    [
        entry(KUBECTL, ANNOTATION, operation="Apply"),
        entry(KUBECTL, {"f:spec": {"f:replicas": {}}}, subresource="scale"),
        {"manager": "x"},
    ],
)
def test_declarers_and_subresources_are_no_client_side_apply(other):
    live = obj(other, data={"a": "1"})
    assert not is_from_client(live)
    assert taken_over(live, obj(ours({"f:data": {"f:a": {}}})), manager=US) is None


def test_an_object_older_than_managed_fields_gives_what_it_would_hold():
    assert is_from_client(obj())
    older, mine = entry("before-first-apply", {"f:data": {"f:a": {}, "f:b": {}}}), ours({"f:data": {"f:a": {}}})
    fields = taken_over(obj(data={"a": "1", "b": "2"}), obj(older, mine), manager=US)
    assert fields == [entry("before-first-apply", {"f:data": {"f:b": {}}}), mine]


def test_without_an_entry_of_ours_nobody_gives_anything():
    assert taken_over(obj(), obj(), manager=US) is None
    assert taken_over(obj(entry(KUBECTL, ANNOTATION)), obj(), manager=US) is None


def test_what_we_declare_goes_and_what_we_do_not_stays():
    theirs = {"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:immutable": {}}
    assert left(theirs, {"f:data": {"f:a": {}}}, data={"a": "1", "b": "2"}, immutable=True) == {"f:data": {"f:b": {}}, "f:immutable": {}}


def test_the_last_configuration_stays_with_who_applied_it():
    live = obj(entry(KUBECTL, {"f:data": {"f:a": {}}, **ANNOTATION}), data={"a": "1"})
    live["metadata"]["annotations"] = {LAST_APPLIED: "{}"}
    fields = taken_over(live, obj(ours({"f:data": {"f:a": {}}, "f:metadata": {"f:annotations": {"f:x": {}}}})), manager=US)
    assert fields is not None
    assert fields[0]["fieldsV1"] == ANNOTATION


def test_defaults_go_with_the_rest():
    theirs = {"f:spec": {"f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}}, "f:type": {}}}
    mine = {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}}
    assert left(theirs, mine, spec={"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}) == {}


def test_what_is_no_default_stays_in_an_item_of_ours():
    key = 'k:{"name":"main"}'
    theirs = {"f:containers": {key: {".": {}, "f:name": {}, "f:image": {}, "f:workingDir": {}, "f:resources": {}}}}
    mine = {"f:containers": {key: {".": {}, "f:name": {}, "f:image": {}}}}
    containers = [{"name": "main", "image": "x", "workingDir": "/x", "resources": {}}]
    assert left(theirs, mine, containers=containers) == {"f:containers": {key: {"f:workingDir": {}}}}


def test_an_item_of_an_unknown_kind_goes_as_a_whole():
    key = 'k:{"name":"a"}'
    theirs = {"f:items": {key: {".": {}, "f:name": {}, "f:mode": {}}, 'k:{"name":"b"}': {".": {}, "f:name": {}}}, "f:other": {}}
    mine = {"f:items": {key: {".": {}, "f:name": {}}}}
    body = {"items": [{"name": "a", "mode": "x"}, {"name": "b"}], "other": 1}
    rest = {"f:items": {'k:{"name":"b"}': {".": {}, "f:name": {}}}, "f:other": {}}
    assert left(theirs, mine, api_version="example.io/v1", **body) == rest


def test_what_others_put_into_a_map_that_we_hold_as_a_whole_stays_with_them():
    theirs = {"f:emptyDir": {".": {}, "f:medium": {}}}
    assert left(theirs, {"f:emptyDir": {}}, emptyDir={"medium": "Memory"}) == {"f:emptyDir": {"f:medium": {}}}


def test_an_entry_of_another_version_is_left_as_it_is():
    live = obj(entry(KUBECTL, {"f:data": {"f:a": {}}}, version="v1beta1"), data={"a": "1"})
    assert taken_over(live, obj(ours({"f:data": {"f:a": {}}})), manager=US) is None


def test_our_entry_is_there_even_if_nothing_else_is():
    assert taken_over(obj(entry(KUBECTL, {"f:data": {"f:a": {}}}), data={"a": "1"}), obj(ours({"f:data": {"f:a": {}}})), manager=US) == [
        ours({"f:data": {"f:a": {}}})
    ]


def test_an_older_entry_of_ours_gives_way_and_others_stay_as_they_are():
    other = entry("vpa", {"f:data": {"f:a": {}}}, time="2026-01-01T00:00:00Z")
    live = obj(ours({"f:data": {"f:old": {}}}), other, entry(KUBECTL, {"f:data": {"f:a": {}}}), data={"a": "1"})
    assert taken_over(live, obj(ours({"f:data": {"f:a": {}}})), manager=US) == [other, ours({"f:data": {"f:a": {}}})]


def test_once_given_up_there_is_nothing_left_to_give():
    live = obj(entry(KUBECTL, {"f:data": {".": {}, "f:a": {}, "f:b": {}}}), data={"a": "1", "b": "2"})
    applied = obj(ours({"f:data": {"f:a": {}}}))
    before = copy.deepcopy((live, applied))
    fields = taken_over(live, applied, manager=US)
    assert fields is not None
    assert (live, applied) == before
    assert taken_over(obj(*fields, data=live["data"]), applied, manager=US) is None


@pytest.mark.parametrize("element", ["k:{", "k:[1]", "k:{}", "v:", "i:x", "nonsense", "", "f:"])
def test_elements_that_make_no_sense_do_no_harm(element):
    theirs = {"f:list": {element: {".": {}, "f:x": {}}, 'k:{"name":"b"}': {"f:name": {}}}}
    assert left(theirs, {"f:list": {"f:none": {}}}, list=[{"name": "b"}]) == {"f:list": {'k:{"name":"b"}': {"f:name": {}}}}


def test_below_the_greatest_depth_everything_stays():
    tree: Json = {}
    value: Json | str = "x"
    for _ in range(MAX_DEPTH + 50):
        tree, value = {"f:a": tree}, {"a": value}
    assert isinstance(value, dict)
    assert left(tree, tree, **value) is None


def test_the_patch_is_bound_to_the_state_that_was_read():
    live = obj(entry(KUBECTL, {"f:data": {"f:a": {}}}))
    assert handover(live, [ours({})]) == [
        {"op": "add", "path": "/metadata/managedFields", "value": [ours({})]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]


BEFORE = obj(spec={"cpu": "100m", "ports": [{"port": 80}], "paused": True}, status={"phase": "old"})


@pytest.mark.parametrize(
    "spec",
    [
        BEFORE["spec"],
        {**BEFORE["spec"], "more": 1},
        {**BEFORE["spec"], "ports": [{"port": 80, "name": "http"}]},
    ],
)
def test_an_apply_that_only_adds_keeps_every_value(spec):
    assert keeps_values(BEFORE, {**BEFORE, "spec": spec, "status": {}, "metadata": {"labels": {"a": "b"}, "generation": 2}})


@pytest.mark.parametrize(
    "spec",
    [
        {**BEFORE["spec"], "cpu": "200m"},
        {**BEFORE["spec"], "paused": 1},
        {**BEFORE["spec"], "ports": [{"port": 81}]},
        {**BEFORE["spec"], "ports": [{"port": 80}, {"port": 81}]},
        {"cpu": "100m"},
        None,
    ],
)
def test_an_apply_that_changes_something_does_not(spec):
    assert not keeps_values(BEFORE, {**BEFORE, "spec": spec})


def test_a_label_with_another_value_is_a_change():
    first, second = ({"metadata": {"name": "a", "labels": {"app": app}}} for app in "ab")
    assert keeps_values(first, first)
    assert not keeps_values(first, second)
