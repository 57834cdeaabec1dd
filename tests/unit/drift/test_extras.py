"""Extra fields.

Aspects: who makes a field extra and who does not · which fields never are · told as one or key by key · list items · defaults · order and bounds ·
hostile field sets · what is removed, in which order, and what is not · for any object: none as applied, one when one is added, none after the removal.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.extras import COMPONENTS, MAX_EXTRAS, extras, removal

US = "cvstate-operator"
Json = dict[str, Any]


def entry(manager: str, tree: Any, *, operation: str = "Update", time: str = "2026-01-01T00:00:00Z", **more: str) -> Json:
    return {"manager": manager, "operation": operation, "time": time, "fieldsV1": tree, **more}


def obj(*entries: Json, api_version: str = "v1", kind: str = "Thing", **body: Any) -> Json:
    meta = {"name": "a", "uid": "u", "resourceVersion": "7", **body.pop("metadata", {}), "managedFields": list(entries)}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}


def told(live: Json, desired: Json | None = None, left_alone: Sequence[str] = ()) -> tuple[FieldDrift, ...]:
    return extras(desired or {}, live, manager=US, left_alone=lambda manager: manager in left_alone)


def paths(live: Json, desired: Json | None = None) -> list[str]:
    return [drift.path for drift in told(live, desired)]


def patched(live: Json, operations: Sequence[Json]) -> Json:
    """What a JSON patch of tests and removals makes of an object."""
    result = copy.deepcopy(live)
    for operation in operations:
        at: Any = result
        *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        if operation["op"] == "test":
            assert at[last] == operation["value"]
        else:
            assert operation["op"] == "remove"
            del at[int(last) if isinstance(at, list) else last]
    return result


# -- who --------------------------------------------------------------------------------------------------------------

PAUSED: Json = {"f:spec": {"f:paused": {}}}


def test_a_field_of_an_imperative_writer_is_extra() -> None:
    assert told(obj(entry("kubectl-edit", PAUSED), spec={"paused": True})) == (
        FieldDrift("/spec/paused", None, True, "kubectl-edit", "2026-01-01T00:00:00Z"),
    )


OTHERS = [
    pytest.param(entry("helm", PAUSED, operation="Apply"), id="an-applier"),
    pytest.param(entry(US, PAUSED, operation="Apply"), id="ourselves"),
    pytest.param(entry(US, PAUSED), id="ourselves-by-a-removal"),
    pytest.param(entry("hpa", PAUSED, subresource="scale"), id="a-subresource"),
    pytest.param(entry("vpa", PAUSED), id="a-manager-that-is-left-alone"),
    pytest.param(entry("aws-cloud-controller-manager", PAUSED), id="a-cloud"),
    *(pytest.param(entry(name, PAUSED), id=name) for name in sorted(COMPONENTS)),
]


@pytest.mark.parametrize("other", OTHERS)
def test_a_field_that_somebody_else_holds_too_is_not(other: Json) -> None:
    spec = {"paused": True, "more": "x"}
    edit = entry("kubectl-edit", {"f:spec": {"f:paused": {}, "f:more": {}}})
    for live in (obj(other, edit, spec=spec), obj(edit, other, spec=spec)):
        assert [drift.path for drift in told(live, left_alone=["vpa"])] == ["/spec/more"]
        assert told(obj(other, spec=spec), left_alone=["vpa"]) == ()


def test_of_two_writers_the_last_one_is_named() -> None:
    first, last = entry("a", PAUSED, time="2026-01-01T00:00:00Z"), entry("b", PAUSED, time="2026-02-01T00:00:00Z")
    assert {told(obj(*entries, spec={"paused": True}))[0].manager for entries in ((first, last), (last, first))} == {"b"}


def test_a_writer_by_another_version_of_the_api_is_not_understood() -> None:
    assert told(obj(entry("kubectl-edit", PAUSED, apiVersion="v2"), spec={"paused": True})) == ()


def test_if_an_applier_by_another_version_is_not_understood_nothing_is_told() -> None:
    other = entry("helm", {"f:spec": {"f:old": {}}}, operation="Apply", apiVersion="v2")
    assert told(obj(entry("kubectl-edit", PAUSED), other, spec={"paused": True})) == ()


@pytest.mark.parametrize("fields", [None, []])
def test_without_managed_fields_nothing_is_told(fields: Any) -> None:
    assert told({"apiVersion": "v1", "kind": "X", "metadata": {"managedFields": fields}, "spec": {"a": 1}}) == ()


# -- which fields -----------------------------------------------------------------------------------------------------

META = {
    "name": "a", "namespace": "b", "generation": 3, "creationTimestamp": "x", "deletionTimestamp": "x", "generateName": "x",
    "ownerReferences": [{"uid": "1"}], "finalizers": ["f"], "selfLink": "x",
}  # fmt: skip


def test_identity_lifecycle_and_status_are_never_extra() -> None:
    tree: Json = {
        "f:apiVersion": {},
        "f:kind": {},
        "f:status": {"f:ready": {}},
        "f:metadata": {f"f:{name}": {} for name in META} | {"f:finalizers": {".": {}, 'v:"f"': {}}},
    }
    assert told(obj(entry("kubectl-edit", tree), metadata=META, status={"ready": True})) == ()


@pytest.mark.parametrize(
    "name",
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        "kubectl.kubernetes.io/restartedAt",
        "deprecated.daemonset.template.generation",
        "kubernetes.io/metadata.name",
        "applyset.kubernetes.io/part-of",
        "cvstate.io/paused",
        "reconcile.cvstate.io/requestedAt",
    ],
)
def test_bookkeeping_and_orders_to_us_are_never_extra(name: str) -> None:
    values = {name: "x", "evilcvstate.io/x": "y"}
    tree: Json = {"f:metadata": {"f:annotations": {".": {}, **{f"f:{key}": {} for key in values}}}}
    live = obj(entry("kubectl-annotate", tree), metadata={"annotations": values})
    assert paths(live) == ["/metadata/annotations/evilcvstate.io~1x"]


def test_labels_annotations_and_data_are_told_key_by_key() -> None:
    both: Json = {".": {}, "f:a": {}, "f:b": {}}
    tree: Json = {"f:metadata": {"f:labels": both, "f:annotations": both}, "f:data": both, "f:binaryData": both}
    values = {"a": "", "b": "RollingUpdate"}
    live = obj(entry("x", tree), metadata={"labels": values, "annotations": values}, data=values, binaryData=values)
    where = ("metadata/labels", "metadata/annotations", "data", "binaryData")
    assert paths(live) == [f"/{place}/{key}" for place in where for key in "ab"]


def test_what_a_writer_made_as_a_whole_is_told_as_one() -> None:
    tree: Json = {"f:spec": {"f:limits": {".": {}, "f:cpu": {}, "f:memory": {}}, "f:strategy": {"f:a": {}, "f:b": {}}, "f:atomic": {}}}
    spec = {"limits": {"cpu": "1", "memory": "1"}, "strategy": {"a": "x", "b": "y"}, "atomic": {"x": [1]}}
    assert paths(obj(entry("x", tree), spec=spec)) == ["/spec/limits", "/spec/strategy/a", "/spec/strategy/b", "/spec/atomic"]


def test_what_two_writers_made_is_told_field_by_field() -> None:
    first, last = entry("a", {"f:spec": {"f:m": {".": {}, "f:x": {}}}}), entry("b", {"f:spec": {"f:m": {"f:y": {}}}})
    drifts = told(obj(first, last, spec={"m": {"x": "1", "y": "2"}}))
    assert [(drift.path, drift.manager) for drift in drifts] == [("/spec/m/x", "a"), ("/spec/m/y", "b")]


def test_a_map_that_git_declares_empty_may_have_extra_fields() -> None:
    ours = entry(US, {"f:spec": {"f:emptyDir": {}}}, operation="Apply")
    edit = entry("x", {"f:spec": {"f:emptyDir": {"f:medium": {}}}})
    assert paths(obj(ours, edit, spec={"emptyDir": {"medium": "Memory"}}), {"spec": {"emptyDir": {}}}) == ["/spec/emptyDir/medium"]


@pytest.mark.parametrize("desired", [{"spec": {"paused": False}}, {"spec": {"paused": {"a": 1}}}, {"spec": {"paused": ["x"]}}])
def test_a_declared_field_that_we_lost_is_not_extra(desired: Json) -> None:
    assert paths(obj(entry("x", PAUSED), spec={"paused": True}), desired) == []


# -- list items -------------------------------------------------------------------------------------------------------

TCP, UDP = ('k:{"port":53,"protocol":"' + name + '"}' for name in ("TCP", "UDP"))
ITEM: Json = {".": {}, "f:port": {}, "f:protocol": {}}


def ports(*entries: Json) -> Json:
    return obj(*entries, spec={"ports": [{"port": 53, "protocol": "UDP", "nodePort": 1}, {"port": 53, "protocol": "TCP", "name": "dns"}]})


def test_an_item_is_told_as_one_by_its_place_in_the_live_list() -> None:
    edit = entry("x", {"f:spec": {"f:ports": {UDP: ITEM, TCP: {"f:name": {}}}}})
    assert paths(ports(edit), {"spec": {"ports": [{"port": 53}]}}) == ["/spec/ports/0", "/spec/ports/1/name"]


def test_an_item_that_two_wrote_is_told_as_one_since_it_is_nothing_without_its_key() -> None:
    first, last = entry("a", {"f:spec": {"f:ports": {UDP: ITEM}}}), entry("b", {"f:spec": {"f:ports": {UDP: {"f:name": {}}}}}, time="2027")
    assert [(drift.path, drift.manager) for drift in told(ports(first, last))] == [("/spec/ports/0", "b")]


def test_an_item_in_which_somebody_declares_a_field_is_told_field_by_field() -> None:
    other = entry("helm", {"f:spec": {"f:ports": {TCP: {".": {}, "f:port": {}, "f:protocol": {}}}}}, operation="Apply")
    edit = entry("x", {"f:spec": {"f:ports": {TCP: {**ITEM, "f:name": {}}}}})
    assert paths(ports(other, edit)) == ["/spec/ports/1/name"]


def test_an_item_that_cannot_be_told_from_another_one_is_left_alone() -> None:
    edit = entry("x", {"f:spec": {"f:ports": {'k:{"port":53}': ITEM}}})
    assert paths(ports(edit)) == []


def test_an_element_of_a_set_is_told_alone() -> None:
    ours = entry(US, {"f:spec": {"f:set": {'v:"a"': {}}}}, operation="Apply")
    edit = entry("x", {"f:spec": {"f:set": {'v:"b"': {}, "v:1": {}}}})
    assert paths(obj(ours, edit, spec={"set": [1, "a", "b"]}), {"spec": {"set": ["a"]}}) == ["/spec/set/0", "/spec/set/2"]


# -- defaults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"replicas": 1}, [], id="default"),
        pytest.param({"replicas": 2}, ["/spec/replicas"], id="another-value"),
        pytest.param({"replicas": True}, ["/spec/replicas"], id="another-type"),
        pytest.param({"port": 80, "targetPort": 80}, ["/spec/port"], id="copy-of-a-field-beside-it"),
        pytest.param({"port": 80, "targetPort": 81}, ["/spec/port", "/spec/targetPort"], id="no-copy"),
        pytest.param({"a": {}, "b": [], "c": None}, [], id="empty"),
        pytest.param({"rolling": {"maxSurge": "25%", "maxUnavailable": "25%"}}, [], id="map-of-defaults"),
    ],
)
def test_a_default_of_a_built_in_kind_is_not_extra(spec: Json, expected: list[str]) -> None:
    assert paths(obj(entry("kubectl-create", {"f:spec": {f"f:{name}": {} for name in spec}}), spec=spec)) == expected


@pytest.mark.parametrize("api_version", ["example.io/v1", "gateway.networking.k8s.io/v1"])
def test_of_another_kind_what_was_written_before_us_may_be_a_default(api_version: str) -> None:
    ours = entry(US, {"f:spec": {"f:name": {}}}, operation="Apply")
    maker = entry("kubectl-create", {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:name": {}, "f:size": {}}})
    editor = entry("kubectl-edit", {"f:spec": {"f:replicas": {}}})
    spec = {"name": "x", "size": 3, "replicas": 1}
    live = obj(ours, maker, editor, api_version=api_version, metadata={"labels": {"a": "b"}}, spec=spec)
    assert paths(live, {"spec": {"name": "x"}}) == ["/metadata/labels/a", "/spec/replicas"]


def test_what_cannot_be_taken_away_is_not_told() -> None:
    tree: Json = {"f:spec": {"f:clusterIP": {}, "f:externalName": {}, "f:ports": {TCP: {"f:nodePort": {}}}}}
    spec = {"clusterIP": "1.2.3.4", "externalName": "x", "ports": [{"port": 53, "protocol": "TCP", "nodePort": 31000}]}
    assert paths(obj(entry("x", tree), kind="Service", spec=spec)) == ["/spec/externalName"]


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_no_more_than_so_many_are_told() -> None:
    data = {f"k{i}": "x" for i in range(2 * MAX_EXTRAS)}
    live = obj(entry("x", {"f:data": {f"f:{name}": {} for name in data}}), data=data)
    assert paths(live) == [f"/data/{name}" for name in list(data)[:MAX_EXTRAS]]


def nested(depth: int, key: str, end: Any) -> Any:
    for _ in range(depth):
        end = {key: end}
    return end


@pytest.mark.parametrize("api_version", ["v1", "example.io/v1"])
def test_a_very_deep_object_is_not_followed_to_the_end(api_version: str) -> None:
    spec, tree = nested(50_000, "a", "x"), nested(50_000, "f:a", {})
    live = obj(entry("x", {"f:spec": tree}), entry(US, {"f:spec": tree}, operation="Apply"), spec=spec, api_version=api_version)
    assert paths(live) == []
    alone = obj(entry("x", {"f:spec": {"f:a": {}}}), spec=spec, api_version=api_version)
    assert [operation["path"] for operation in removal(alone, told(alone))[2:]] == ["/spec/a"]


def test_a_very_deep_item_is_nobodys_key() -> None:
    items = [[nested(500, "a", "x")], {"name": nested(500, "a", "x")}, {"name": "b"}, 2**70]
    tree: Json = {"f:list": {'v:"b"': {}, 'k:{"name":"b"}': {".": {}, "f:name": {}}}}
    assert paths(obj(entry("x", {"f:spec": tree}), spec={"list": items})) == ["/spec/list/2"]


@pytest.mark.parametrize("element", ["k:", "k:{", "k:[1]", "k:{}", "v:", "i:0", "i:-1", "x", "", "f", 'k:{"a":1,"b":1,"c":1,"d":1,"e":1}'])
def test_an_element_that_cannot_be_read_is_passed_over(element: str) -> None:
    tree: Json = {"f:spec": {"f:list": {element: {}, 'k:{"name":"a"}': {".": {}, "f:name": {}}}, element: {}}}
    assert paths(obj(entry("x", tree), spec={"list": [{"name": "a"}, {}, [1], "x"]})) == ["/spec/list/0"]


def test_a_long_list_is_walked_in_one_go() -> None:
    """A million comparisons of items would be seen by anybody who waits for this test."""
    names = [f"n{i}" for i in range(20_000)]
    tree: Json = {"f:list": {f'k:{{"name":"{name}"}}': {"f:x": {}} for name in names}}
    live = obj(entry("x", {"f:spec": tree}), spec={"list": [{"name": name, "x": 0} for name in names]})
    desired = {"spec": {"list": [{"name": name} for name in names]}}
    assert len(told(live, desired)) == MAX_EXTRAS


# -- removal ----------------------------------------------------------------------------------------------------------


def drift(path: str, live: Any) -> FieldDrift:
    return FieldDrift(path, None, live, "x", "")


def test_a_removal_tests_identity_and_version_first_and_takes_items_last_first() -> None:
    live = obj(spec={"list": list(range(12)), "a": {"b": 1}})
    found = [drift("/spec/list/2", 2), drift("/spec/list/11", 11), drift("/spec/a/b", 1), drift("/spec/list/9", 9)]
    operations = removal(live, found)
    assert operations[:2] == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
    ]
    assert [operation["path"] for operation in operations[2:]] == ["/spec/list/11", "/spec/list/9", "/spec/list/2", "/spec/a/b"]
    assert patched(live, operations)["spec"] == {"list": [0, 1, 3, 4, 5, 6, 7, 8, 10], "a": {}}


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(drift("/spec/list/0", 1), id="another-value"),
        pytest.param(drift("/spec/list/7", 1), id="index-beyond-the-list"),
        pytest.param(drift("/spec/list/name", 1), id="name-in-a-list"),
        pytest.param(drift("/spec/x", 1), id="no-such-field"),
        pytest.param(drift("/spec/a/b/c", 1), id="field-in-a-value"),
        pytest.param(drift("", None), id="the-object"),
    ],
)
def test_what_is_not_there_as_it_was_found_is_not_removed(gone: FieldDrift) -> None:
    live = obj(spec={"list": [0, 5], "a": {"b": "c"}})
    assert removal(live, [gone]) == []
    assert [operation["path"] for operation in removal(live, [gone, drift("/spec/list/1", 5)])[2:]] == ["/spec/list/1"]


def test_a_field_that_is_named_twice_is_removed_once() -> None:
    assert len(removal(obj(data={"a/b~": "1"}), [drift("/data/a~1b~0", "1")] * 2)) == 3


# -- for any object ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c/d", "e~f", "name2", "0"])
SCALARS = st.integers(1000, 1003) | st.sampled_from(["x", "y", ""]) | st.booleans()


def _maps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.dictionaries(st.sampled_from("pqrs"), st.dictionaries(NAMES, values, max_size=2), min_size=1, max_size=3)
    lists = items.map(lambda found: [{"name": name, **rest} for name, rest in found.items()])
    return st.dictionaries(NAMES, values, min_size=1, max_size=3) | lists


SPECS = st.dictionaries(NAMES, st.recursive(SCALARS, _maps, max_leaves=10), min_size=1, max_size=3)
STATUS = st.dictionaries(NAMES, SCALARS, max_size=3)


def field_tree(value: Any, *, is_made: bool = False) -> Json:
    """How the API server lists a value that somebody wrote; with a `.` for all that an update made."""
    made: Json = {".": {}} if is_made else {}
    if isinstance(value, dict) and value:
        return {**made, **{f"f:{name}": field_tree(below, is_made=is_made) for name, below in value.items()}}
    if isinstance(value, list):
        return {
            **made,
            **{f"k:{json.dumps({'name': item['name']}, separators=(',', ':'))}": {".": {}, **field_tree(item)} for item in value},
        }
    return {}


def places(value: Any, path: str = "/spec", tree: tuple[str, ...] = ("f:spec",)) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every map and list in it, with its pointer and its path elements."""
    if isinstance(value, dict):
        yield path, tree, value
        for name, below in value.items():
            yield from places(below, f"{path}/{name.replace('~', '~0').replace('/', '~1')}", (*tree, f"f:{name}"))
    elif isinstance(value, list):
        yield path, tree, value
        for index, item in enumerate(value):
            yield from places(item, f"{path}/{index}", (*tree, f'k:{{"name":"{item["name"]}"}}'))


def applied(spec: Json, status: Json) -> Json:
    ours = entry(US, {"f:spec": field_tree(spec)}, operation="Apply")
    theirs = entry("kube-controller-manager", {"f:status": field_tree(status)}, subresource="status")
    return obj(ours, theirs, entry("kubectl-edit", {"f:status": field_tree(status)}), spec=copy.deepcopy(spec), status=status)


@given(SPECS, STATUS)
def test_an_object_as_we_applied_it_has_no_extra_fields_whatever_its_status(spec: Json, status: Json) -> None:
    assert told(applied(spec, status), {"spec": spec}) == ()


@given(st.data(), SPECS, STATUS, st.integers(1000, 1003) | st.fixed_dictionaries({"k": st.just("v")}))
def test_one_added_field_is_the_extra_one_and_its_removal_restores_the_object(
    data: st.DataObject, spec: Json, status: Json, value: Any
) -> None:
    live = applied(spec, status)
    path, elements, at = data.draw(st.sampled_from(list(places(live["spec"]))))
    if isinstance(at, list):
        index = data.draw(st.integers(0, len(at)))
        added = {"name": "new", "value": value}
        at.insert(index, added)
        expected, last = f"{path}/{index}", 'k:{"name":"new"}'
    else:
        at["new"] = added = value
        expected, last = f"{path}/new", "f:new"
    tree: Json = {**({".": {}} if isinstance(at, list) else {}), last: {**field_tree(added, is_made=True)}}
    for element in reversed(elements):
        tree = {element: tree}
    live["metadata"]["managedFields"].append(entry("python-requests", tree))
    found = told(live, {"spec": spec})
    assert [(drift.path, drift.live, drift.manager) for drift in found] == [(expected, added, "python-requests")]
    after = patched(live, removal(live, found))
    assert (after["spec"], after["status"]) == (spec, status)
    assert told(after, {"spec": spec}) == ()
