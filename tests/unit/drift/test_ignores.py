"""Fields that are left to others.

Aspects: which ignores are about an object · which drifts they cover · what an apply carries, by who holds a field · fields that left Git · items of
lists · atomic values · what always stays · the resource version that goes with live values · on random objects, against the rules of server-side apply.
"""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.drift import Ignore
from cvstate_operator.api.names import DIGEST
from cvstate_operator.api.path_pattern import parse_pattern
from cvstate_operator.drift import ignores
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ignores import LeftOut
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.ownership import PART_OF_LABEL

US = "cvstate-operator"
REF = ObjectRef("apps", "Deployment", "shop", "web")


def ignore(*paths: str, managers: list[str] | None = None, **target: str) -> Ignore:
    return Ignore.model_validate({"paths": list(paths), "managers": managers or [], "target": target})


def paths(*texts: str) -> LeftOut:
    return LeftOut(tuple(parse_pattern(text) for text in texts))


def managers(*names: str) -> LeftOut:
    return LeftOut(managers=names)


def tree(value: Any) -> dict[str, Any]:
    """The field set of someone who applied exactly `value`; lists of maps are known by their `name`."""
    if isinstance(value, dict):
        return {"f:" + name: tree(below) for name, below in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {f'k:{{"name":"{item["name"]}"}}': {".": {}, **tree(item)} for item in value}
    return {}


def entry(manager: str, fields: dict[str, Any], *, operation: str = "Update", **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields, **more}


def live(fields: dict[str, Any], ours: Any, **others: Any) -> dict[str, Any]:
    """A live object with `fields`, of which we hold those in `ours`, and each other manager its own; given as values or as field sets."""
    held = [entry(US, tree(ours), operation="Apply"), *(entry(name, tree(value)) for name, value in others.items())]
    metadata = {"name": "web", "resourceVersion": "7", "managedFields": held, **fields.get("metadata", {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", **fields, "metadata": metadata}


def body(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", **fields, "metadata": {"name": "web", **fields.get("metadata", {})}}


def sent(desired: dict[str, Any], left_out: LeftOut, existing: dict[str, Any] | None) -> dict[str, Any]:
    """What the apply carries besides the identity."""
    before = deepcopy((desired, existing))
    result = ignores.without(desired, left_out, live=existing, manager=US)
    assert (desired, existing) == before, "an argument was changed"
    assert (result["apiVersion"], result["kind"], result["metadata"]["name"]) == ("apps/v1", "Deployment", "web")
    rest = {name: value for name, value in result["metadata"].items() if name not in ("name", "resourceVersion")}
    return {key: value for key, value in {**result, "metadata": rest}.items() if key not in ("apiVersion", "kind") and value != {}}


def version(desired: dict[str, Any], left_out: LeftOut, existing: dict[str, Any]) -> Any:
    return ignores.without(desired, left_out, live=existing, manager=US)["metadata"].get("resourceVersion")


# -- which ignores, which drifts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param({}, True, id="any"),
        pytest.param({"kind": "Deployment"}, True, id="kind"),
        pytest.param({"kind": "StatefulSet"}, False, id="another-kind"),
        pytest.param({"group": "apps"}, True, id="group"),
        pytest.param({"group": ""}, False, id="core-group"),
        pytest.param({"name": "w*", "namespace": "shop"}, True, id="name-and-namespace"),
        pytest.param({"name": "we"}, False, id="another-name"),
        pytest.param({"namespace": "web"}, False, id="another-namespace"),
        pytest.param({"labelSelector": "autoscale=true"}, True, id="label"),
        pytest.param({"labelSelector": "!autoscale"}, False, id="another-label"),
        pytest.param({"kind": "Deployment", "labelSelector": "autoscale=false"}, False, id="one-of-two"),
    ],
)
def test_an_ignore_is_about_the_objects_of_its_target(target: dict[str, str], expected: bool) -> None:
    found = ignores.select([ignore("/spec/replicas", **target)], REF, {"autoscale": "true"})
    assert bool(found) is expected


def test_all_ignores_about_an_object_count_together() -> None:
    found = ignores.select([ignore("/spec/replicas"), ignore(managers=["vpa"]), ignore("/x", name="other"), ignore("/y")], REF, {})
    assert found == LeftOut(paths("/spec/replicas", "/y").patterns, ("vpa",))


@pytest.mark.parametrize(
    ("left_out", "path", "expected"),
    [
        pytest.param(paths("/spec"), "/spec/replicas", True, id="by-path"),
        pytest.param(paths("/spec/x"), "/spec/replicas", False, id="by-another-path"),
        pytest.param(managers("h*"), "/spec/replicas", True, id="by-manager"),
        pytest.param(managers("vpa"), "/spec/replicas", False, id="by-another-manager"),
        pytest.param(LeftOut(paths("/**").patterns, ("*",)), "", False, id="never-an-object-that-is-gone"),
        pytest.param(paths("/a").with_fields(["/spec/replicas"]), "/spec/replicas", True, id="by-pointer"),
        pytest.param(LeftOut(), "/spec/replicas", False, id="nothing-left-out"),
    ],
)
def test_a_drift_is_covered_by_its_path_or_by_its_writer(left_out: LeftOut, path: str, expected: bool) -> None:
    assert left_out.covers(FieldDrift(path, 2, 5, "hpa", ""), body(spec={"replicas": 2})) is expected


# -- by who holds a field ----------------------------------------------------------------------------------------------

REPLICAS = paths("/spec/replicas")
TWO, FIVE = {"replicas": 2}, {"replicas": 5}


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        pytest.param(live({"spec": FIVE}, {"spec": FIVE}), {"spec": FIVE}, id="we-alone-hold-it-so-it-is-sent-as-it-is"),
        pytest.param(live({"spec": FIVE}, {"spec": FIVE}, hpa={"spec": FIVE}), {}, id="we-and-others-hold-it-so-it-is-given-up"),
        pytest.param(live({"spec": FIVE}, {}, hpa={"spec": FIVE}), {}, id="others-hold-it"),
        pytest.param(live({"spec": FIVE}, {}), {}, id="nobody-holds-it"),
        pytest.param(live({"spec": {}}, {}, hpa={"spec": {"x": 1}}), {}, id="it-is-gone"),
        pytest.param(None, {"spec": TWO}, id="the-object-is-new"),
    ],
)
def test_what_is_sent_for_a_field_follows_from_who_holds_it(existing: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    assert sent(body(spec=TWO), REPLICAS, existing) == expected


def test_the_rest_of_the_object_is_sent_as_git_has_it() -> None:
    existing = live({"spec": {"replicas": 5, "paused": True}}, {"spec": {"paused": True}}, hpa={"spec": FIVE})
    assert sent(body(spec={"replicas": 2, "paused": False}, data={"a": "b"}), REPLICAS, existing) == {
        "spec": {"paused": False},
        "data": {"a": "b"},
    }


def test_a_field_that_left_git_keeps_its_value_as_long_as_it_is_ignored() -> None:
    existing = live({"spec": {"replicas": 5, "paused": True}}, {"spec": {"replicas": 5, "paused": True}})
    assert sent(body(spec={}), REPLICAS, existing) == {"spec": FIVE}
    assert sent(body(), REPLICAS, existing) == {"spec": FIVE}


def test_an_update_under_our_own_name_and_an_apply_to_a_subresource_are_of_others() -> None:
    existing = live({"spec": FIVE}, {"spec": FIVE})
    for other in (entry(US, tree({"spec": FIVE})), entry(US, tree({"spec": FIVE}), operation="Apply", subresource="scale")):
        held = [*existing["metadata"]["managedFields"], other]
        assert sent(body(spec=TWO), REPLICAS, {**existing, "metadata": {**existing["metadata"], "managedFields": held}}) == {}


def test_a_holder_in_another_version_of_the_api_is_not_relied_on() -> None:
    existing = live({"spec": FIVE}, {"spec": FIVE}, hpa={"spec": FIVE})
    existing["metadata"]["managedFields"][1]["apiVersion"] = "apps/v1beta1"
    assert sent(body(spec=TWO), REPLICAS, existing) == {"spec": FIVE}


def test_an_object_without_managed_fields_keeps_everything_that_is_left_out() -> None:
    existing = {"apiVersion": "apps/v1", "metadata": {"name": "web"}, "spec": FIVE}
    assert sent(body(spec=TWO), REPLICAS, existing) == {}


def test_nothing_left_out_is_the_body_itself() -> None:
    existing = live({"spec": FIVE}, {"spec": FIVE})
    assert sent(body(spec=TWO), LeftOut(), existing) == {"spec": TWO}
    assert sent(body(spec=TWO), paths("/spec/other"), existing) == {"spec": TWO}


# -- by manager -----------------------------------------------------------------------------------------------------------


def test_fields_of_a_manager_that_is_left_alone_are_not_sent_and_all_others_are() -> None:
    existing = live({"data": {"a": "x", "b": "y"}}, {"data": {"a": "x", "b": "y"}}, vpa={"data": {"a": "x"}}, cli={"data": {"b": "y"}})
    assert sent(body(data={"a": "1", "b": "2", "c": "3"}), managers("vpa*"), existing) == {"data": {"b": "2", "c": "3"}}


def test_a_manager_that_holds_nothing_is_not_one_that_holds_everything() -> None:
    existing = live({"data": {"a": "x"}}, {"data": {"a": "x"}}, vpa={})
    assert sent(body(data={"a": "1"}), managers("vpa"), existing) == {"data": {"a": "1"}}


# -- maps ---------------------------------------------------------------------------------------------------------------


def test_a_map_of_which_nothing_is_left_is_not_sent() -> None:
    existing = live({"data": {"a": "x"}}, {}, cli={"data": {"a": "x"}})
    assert sent(body(data={"a": "1"}), paths("/data/*"), existing) == {}


def test_a_map_that_is_empty_in_git_is_sent() -> None:
    existing = live({"spec": {"emptyDir": {"medium": "Memory"}}}, {"spec": {"emptyDir": {}}}, cli={"spec": {"emptyDir": {"medium": "x"}}})
    assert sent(body(spec={"emptyDir": {}}), paths("/spec/emptyDir/medium"), existing) == {"spec": {"emptyDir": {}}}


def test_of_a_map_that_is_left_out_goes_only_what_we_alone_hold() -> None:
    fields = {"data": {"a": "x", "b": "y", "c": "z", "d": {"e": "1", "f": "2"}}}
    existing = live(fields, {"data": {"a": "x", "b": "y", "d": {"e": "1", "f": "2"}}}, cli={"data": {"b": "y", "c": "z", "d": {"f": "2"}}})
    assert sent(body(data={"a": "1", "new": "2"}), paths("/data"), existing) == {"data": {"a": "x", "d": {"e": "1"}}}


def test_keys_of_others_inside_a_value_that_we_hold_as_a_whole_are_theirs() -> None:
    fields = {"spec": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}}
    existing = live(fields, {"spec": {"emptyDir": {}}}, cli={"spec": {"emptyDir": {"medium": "x"}}})
    assert sent(body(spec={"emptyDir": {}}), paths("/spec/emptyDir"), existing) == {"spec": {"emptyDir": {"sizeLimit": "1Gi"}}}


# -- lists ----------------------------------------------------------------------------------------------------------------

APP = {"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}]}
SIDE = {"name": "side", "image": "side:1"}
LIVE_APP = {"name": "app", "image": "app:9", "env": [{"name": "A", "value": "1"}]}
IMAGES = paths("/spec/containers/*/image")


def test_a_field_of_a_list_item_is_left_out_and_the_item_keeps_its_key() -> None:
    existing = live({"spec": {"containers": [SIDE, LIVE_APP]}}, {"spec": {"containers": [SIDE]}}, cli={"spec": {"containers": [LIVE_APP]}})
    found = sent(body(spec={"containers": [APP, SIDE]}), paths("/spec/containers/[name=app]/image"), existing)
    assert found == {"spec": {"containers": [{"name": "app", "env": APP["env"]}, SIDE]}}


def test_a_field_of_a_list_item_that_we_alone_hold_goes_with_its_live_value() -> None:
    containers = {"spec": {"containers": [LIVE_APP, SIDE]}}
    found = sent(body(spec={"containers": [APP, SIDE]}), IMAGES, live(containers, containers))
    assert found == {"spec": {"containers": [{**APP, "image": "app:9"}, SIDE]}}


def test_the_key_of_an_item_is_always_sent() -> None:
    existing = live({"spec": {"containers": [LIVE_APP]}}, {}, cli={"spec": {"containers": [LIVE_APP]}})
    found = sent(body(spec={"containers": [{**APP, "tty": True}]}), paths("/spec/containers/*/name", "/**/image", "/**/env"), existing)
    assert found == {"spec": {"containers": [{"name": "app", "tty": True}]}}


def test_an_item_that_does_not_exist_is_made_as_git_has_it() -> None:
    existing = live({"spec": {"containers": [SIDE]}}, {"spec": {"containers": [SIDE]}})
    assert sent(body(spec={"containers": [APP, SIDE]}), IMAGES, existing) == {"spec": {"containers": [APP, SIDE]}}


def test_an_item_that_is_left_out_as_a_whole_is_not_made() -> None:
    existing = live({"spec": {"containers": [SIDE]}}, {"spec": {"containers": [SIDE]}})
    for left_out in (paths("/spec/containers/[name=app]"), LeftOut().with_fields(["/spec/containers/0"])):
        assert sent(body(spec={"containers": [APP, SIDE]}), left_out, existing) == {"spec": {"containers": [SIDE]}}


def test_an_item_that_left_git_goes_though_a_field_of_it_is_ignored() -> None:
    containers = {"spec": {"containers": [LIVE_APP, SIDE]}}
    assert sent(body(spec={"containers": [SIDE]}), IMAGES, live(containers, containers)) == {"spec": {"containers": [SIDE]}}


def test_an_item_that_left_git_stays_if_it_is_ignored_itself() -> None:
    containers = {"spec": {"containers": [LIVE_APP, SIDE]}}
    found = sent(body(spec={"containers": [SIDE]}), paths("/spec/containers/[name=app]"), live(containers, containers))
    assert found == {"spec": {"containers": [SIDE, LIVE_APP]}}


def test_of_an_item_that_is_left_out_goes_what_we_alone_hold_with_its_key() -> None:
    image = {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:image": {}}}}}
    existing = live({"spec": {"containers": [LIVE_APP]}}, {"spec": {"containers": [LIVE_APP]}}, cli={})
    existing["metadata"]["managedFields"][1]["fieldsV1"] = image
    found = sent(body(spec={"containers": [APP]}), paths("/spec/containers/[name=app]"), existing)
    assert found == {"spec": {"containers": [{"name": "app", "env": APP["env"]}]}}


def test_items_inside_a_map_that_is_left_out_keep_their_key_though_others_hold_it_too() -> None:
    shared = {"spec": {"containers": [{"name": "app", "image": "app:9"}]}}
    existing = live({"spec": {"containers": [LIVE_APP, SIDE]}}, {"spec": {"containers": [LIVE_APP]}}, cli=shared)
    found = sent(body(spec={"containers": [APP]}), paths("/spec"), existing)
    assert found == {"spec": {"containers": [{"name": "app", "env": APP["env"]}]}}


def test_a_list_that_is_empty_in_git_is_sent_and_one_of_which_nothing_is_left_is_not() -> None:
    existing = live({"spec": {"containers": [SIDE]}}, {}, cli={"spec": {"containers": [SIDE]}})
    left_out = paths("/spec/containers/[name=side]")
    assert sent(body(spec={"containers": []}), left_out, existing) == {"spec": {"containers": []}}
    assert sent(body(spec={"containers": [SIDE]}), left_out, existing) == {}


def test_a_key_field_that_the_server_defaulted_does_not_hide_an_item() -> None:
    port = 'k:{"containerPort":80,"protocol":"TCP"}'
    existing = live({"spec": {"ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}]}}, {})
    existing["metadata"]["managedFields"] = [
        entry(US, {"f:spec": {"f:ports": {port: {".": {}, "f:containerPort": {}}}}}, operation="Apply"),
        entry("cli", {"f:spec": {"f:ports": {port: {"f:name": {}}}}}),
    ]
    found = sent(body(spec={"ports": [{"containerPort": 80, "name": "http"}]}), paths("/spec/ports/*/name"), existing)
    assert found == {"spec": {"ports": [{"containerPort": 80}]}}


def test_an_element_of_a_set_is_left_alone_by_its_value() -> None:
    existing = live({"metadata": {"finalizers": ["a", "b", "c"]}}, {})
    ours = {"f:metadata": {"f:finalizers": {'v:"a"': {}, 'v:"c"': {}}}}
    existing["metadata"]["managedFields"] = [
        entry(US, ours, operation="Apply"),
        entry("cli", {"f:metadata": {"f:finalizers": {'v:"b"': {}}}}),
    ]
    left_out = paths("/metadata/finalizers/[=b]", "/metadata/finalizers/[=c]")
    assert sent(body(metadata={"finalizers": ["a", "b"]}), left_out, existing) == {"metadata": {"finalizers": ["a", "c"]}}
    assert sent(body(), left_out, existing) == {"metadata": {"finalizers": ["c"]}}


# -- atomic values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["us", "others"])
@pytest.mark.parametrize(
    ("pattern", "desired", "existing", "expected"),
    [
        pytest.param("/spec/args/1", ["a", "b"], ["x", "y"], ["a", "y"], id="element"),
        pytest.param("/spec/args/1", ["a", "b"], ["x"], ["a", "b"], id="element-of-a-list-of-another-length"),
        pytest.param("/spec/args/k", {"k": "1", "l": "2"}, {"k": "9", "l": "8"}, {"k": "9", "l": "2"}, id="key"),
        pytest.param("/spec/args/k", {"k": "1", "l": "2"}, {"l": "8"}, {"l": "2"}, id="key-that-is-gone"),
        pytest.param("/spec/args/k", {"l": "2"}, {"k": "9", "l": "8"}, {"l": "2", "k": "9"}, id="key-that-is-not-in-git"),
        pytest.param("/spec/args/*/k", [{"k": "1", "l": "2"}], [{"k": "9", "l": "8"}], [{"k": "9", "l": "2"}], id="key-of-an-element"),
    ],
)
def test_inside_a_value_with_one_holder_the_live_parts_are_sent(
    pattern: str, desired: Any, existing: Any, expected: Any, holder: str
) -> None:
    obj = live({"spec": {"args": existing}}, {"spec": {"args": 0}} if holder == "us" else {}, cli={"spec": {"args": 0}})
    assert sent(body(spec={"args": desired}), paths(pattern), obj) == {"spec": {"args": expected}}


def test_a_value_with_one_holder_is_left_out_as_one() -> None:
    theirs = live({"spec": {"args": ["x"]}}, {}, cli={"spec": {"args": 0}})
    ours = live({"spec": {"args": ["x"]}}, {"spec": {"args": 0}})
    assert sent(body(spec={"args": ["a"]}), paths("/spec/args"), theirs) == {}
    assert sent(body(spec={"args": ["a"]}), paths("/spec/args"), ours) == {"spec": {"args": ["x"]}}


# -- what always stays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["/**", "/*", "/metadata", "/metadata/labels", "/metadata/annotations/*", "/**/name"])
def test_identity_and_our_marks_are_always_sent(pattern: str) -> None:
    marks: dict[str, Any] = {"labels": {PART_OF_LABEL: "set-1"}, "annotations": {DIGEST: "new"}}
    old: dict[str, Any] = {"labels": {PART_OF_LABEL: "set-1", "a": "1"}, "annotations": {DIGEST: "old"}}
    existing = live({"metadata": old}, {"metadata": old})
    result = ignores.without(body(metadata={**marks, "namespace": "shop"}), paths(pattern), live=existing, manager=US)
    assert result["metadata"]["labels"][PART_OF_LABEL] == "set-1"
    assert result["metadata"]["annotations"] == {DIGEST: "new"}
    assert (result["metadata"]["name"], result["metadata"]["namespace"]) == ("web", "shop")


def test_a_label_that_is_left_out_keeps_its_live_value_beside_our_mark() -> None:
    old: dict[str, Any] = {"labels": {PART_OF_LABEL: "set-1", "a": "1"}}
    found = sent(
        body(metadata={"labels": {PART_OF_LABEL: "set-1", "a": "2"}}), paths("/metadata/labels"), live({"metadata": old}, {"metadata": old})
    )
    assert found == {"metadata": {"labels": {PART_OF_LABEL: "set-1", "a": "1"}}}


# -- the resource version -----------------------------------------------------------------------------------------------------------


def test_live_values_go_with_the_version_they_were_read_at() -> None:
    assert version(body(spec=TWO), REPLICAS, live({"spec": FIVE}, {"spec": FIVE})) == "7"
    atomic = live({"spec": {"args": ["x", "y"]}}, {"spec": {"args": 0}})
    assert version(body(spec={"args": ["a", "b"]}), paths("/spec/args/0"), atomic) == "7"


def test_a_body_without_live_values_carries_no_version() -> None:
    assert version(body(spec=TWO), REPLICAS, live({"spec": FIVE}, {}, hpa={"spec": FIVE})) is None


# -- random objects -------------------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from("abc")
VALUES = st.recursive(st.integers(1, 3), lambda below: st.dictionaries(NAMES, below, min_size=1, max_size=3), max_leaves=6)
MAPS = st.dictionaries(NAMES, VALUES, max_size=3)
PATTERNS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "*", "**"]), min_size=1, max_size=3).map(lambda parts: "/spec/" + "/".join(parts)), max_size=3
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(value, dict):
        return {p: v for name, below in value.items() for p, v in leaves(below, (*path, name)).items()}
    return {path: value}


def grown(found: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """The nested maps that have these leaves."""
    result: dict[str, Any] = {}
    for path, value in found.items():
        at = result
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = value
    return result


def after_apply(before: dict[Any, Any], ours: set[Any], others: set[Any], carried: dict[Any, Any]) -> dict[Any, Any]:
    """Leaves after a forced server-side apply: what we sent, and of the rest what was not ours alone.

    Source: Kubernetes documentation, "Server-Side Apply". A leaf in the place of a map, or the other way round, replaces it.
    """
    kept = {path: value for path, value in before.items() if path not in ours or path in others or path in carried}
    return {**{p: v for p, v in kept.items() if not any(p != c and (p[: len(c)] == c or c[: len(p)] == p) for c in carried)}, **carried}


@given(MAPS, MAPS, PATTERNS, st.data())
def test_an_apply_changes_nothing_that_is_left_out_and_everything_else_as_git_has_it(
    desired: dict[str, Any], existing: dict[str, Any], patterns: list[str], data: st.DataObject
) -> None:
    wanted, before = leaves({"spec": desired}), leaves({"spec": existing})
    # A field that is a map in Git and a value in the cluster cannot be left out in part.
    before = {p: v for p, v in before.items() if not any(p != w and (p[: len(w)] == w or w[: len(p)] == p) for w in wanted)}
    ours = set(data.draw(st.lists(st.sampled_from(sorted(before)), unique=True))) if before else set()
    others = set(data.draw(st.lists(st.sampled_from(sorted(before)), unique=True))) if before else set()
    obj = live(grown(before), grown(dict.fromkeys(ours, 0)), cli=grown(dict.fromkeys(others, 0)))
    left_out = paths(*patterns)
    carried = {p: v for p, v in leaves(sent(body(**grown(wanted)), left_out, obj)).items() if v != {}}

    after = after_apply(before, ours, others, carried)
    for path in {*wanted, *before, *after}:
        if left_out.covers(FieldDrift("/" + "/".join(path), None, None, "", ""), {}):
            assert after.get(path) == before.get(path), f"{path} is left out, and changed"
        elif path in wanted:
            assert after[path] == wanted[path], f"{path} is not as declared"
        elif path in ours - others:
            assert path not in after, f"{path} left Git, and stays"


@given(MAPS, MAPS, PATTERNS)
def test_what_is_left_out_of_a_body_that_was_sent_so_is_the_same_again(
    desired: dict[str, Any], existing: dict[str, Any], patterns: list[str]
) -> None:
    left_out = paths(*patterns)
    obj = live({"spec": existing}, {"spec": existing})
    once = ignores.without(body(spec=desired), left_out, live=obj, manager=US)
    fields = {name: value for name, value in once.items() if name != "metadata"}
    applied = live(fields, {name: value for name, value in fields.items() if name == "spec"})
    assert ignores.without(body(spec=desired), left_out, live=applied, manager=US) == once
