"""What an apply would change, field by field.

Aspects: no difference · fields · lists by key, sets and lists as a whole · what the server and we write ourselves · who holds a field · bounds and order ·
what people are shown.
"""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.names import DIGEST, FIELD_MANAGER
from cvstate_operator.drift import difference
from cvstate_operator.drift.difference import MAX_CHANGES, Difference, FieldChange, Kind
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.ownership import PART_OF_LABEL

Json = dict[str, Any]
DEPLOYMENT = GroupKind("apps", "Deployment")
SECRET = GroupKind("", "Secret")


def thing(*, meta: Json | None = None, managed: list[Json] | None = None, **fields: Any) -> Json:
    entries = {"managedFields": managed} if managed else {}
    return {"apiVersion": "example.io/v1", "kind": "Thing", "metadata": {"name": "x", **(meta or {}), **entries}, **fields}


def entry(fields: Json, manager: str = "rival", *, operation: str = "Update", time: str = "2026-01-01T00:00:00Z", **more: Any) -> Json:
    return {"manager": manager, "operation": operation, "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def of(live: Json | None, planned: Json) -> Difference:
    return difference.differences(live, planned, manager=FIELD_MANAGER)


def told(live: Json | None, planned: Json) -> list[tuple[str, str, Any, Any]]:
    return [(change.shown, change.kind.value, change.before, change.after) for change in of(live, planned).changes]


# -- none --------------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text("ab/~.", max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["name", "key", "a", "b", "status"]), below, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_an_object_does_not_differ_from_itself(spec: Any) -> None:
    assert not of(thing(spec=spec), thing(spec=copy.deepcopy(spec)))


@given(VALUES, VALUES)
def test_whatever_differs_is_told_and_an_empty_answer_means_equal(before: Any, after: Any) -> None:
    found = of(thing(spec=before), thing(spec=after))
    if not found:
        assert normal(before) == normal(after)
    for change in found.changes:
        assert normal(change.before) != normal(change.after)
        assert change.path.startswith("/spec")
        assert (change.before is None) == (change.kind is Kind.ADDED)
        assert (change.after is None) == (change.kind is Kind.REMOVED)


@given(VALUES, VALUES)
def test_the_way_back_has_as_many_changes_as_the_way_there(before: Any, after: Any) -> None:
    assert len(of(thing(spec=before), thing(spec=after)).changes) == len(of(thing(spec=after), thing(spec=before)).changes)


def normal(value: Any) -> Any:
    """Numbers and truth values apart, and lists whose items are matched in one order."""
    if isinstance(value, dict):
        return {name: normal(below) for name, below in value.items()}
    if isinstance(value, list):
        for key in ("name", "key"):
            values = [item.get(key) if isinstance(item, dict) else None for item in value]
            if value and all(isinstance(name, str) for name in values) and len(set(values)) == len(values):
                return sorted((normal(item) for item in value), key=lambda item: str(item[key]))
        return [(type(item), normal(item)) for item in value]
    return (isinstance(value, bool), value)


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": 1}, {"a": 2}, [("/spec/a", "Changed", 1, 2)], id="a-value-changes"),
        pytest.param({}, {"a": 1}, [("/spec/a", "Added", None, 1)], id="a-field-comes"),
        pytest.param({"a": 1}, {}, [("/spec/a", "Removed", 1, None)], id="a-field-goes"),
        pytest.param({"a": 1}, {"a": True}, [("/spec/a", "Changed", 1, True)], id="one-is-not-true"),
        pytest.param({"a": [1]}, {"a": [True]}, [("/spec/a", "Changed", [1], [True])], id="one-is-not-true-in-a-list-either"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 1}]}, [], id="equal-lists"),
        pytest.param({"a": {"b": 1}}, {"a": "b"}, [("/spec/a", "Changed", {"b": 1}, "b")], id="a-map-becomes-a-text"),
        pytest.param({"a": None}, {}, [], id="a-null-is-no-field"),
        pytest.param({}, {"a": {"b": None}}, [], id="a-map-of-nulls-has-no-field"),
        pytest.param({}, {"a": {}}, [("/spec/a", "Added", None, {})], id="an-empty-map-comes"),
        pytest.param({"a": {}}, {}, [("/spec/a", "Removed", {}, None)], id="an-empty-map-goes"),
        pytest.param({"a": False}, {}, [("/spec/a", "Removed", False, None)], id="false-goes"),
        pytest.param(
            {}, {"a": {"c": 1, "b": {"d": 2}}}, [("/spec/a/b/d", "Added", None, 2), ("/spec/a/c", "Added", None, 1)], id="a-map-comes"
        ),
        pytest.param({"a": {"b": 1}}, {"a": {}}, [("/spec/a/b", "Removed", 1, None)], id="a-map-is-emptied"),
        pytest.param({}, {"a": [1, 2]}, [("/spec/a", "Added", None, [1, 2])], id="a-list-comes-as-one"),
        pytest.param({"a/b": 1}, {"a/b": 2}, [("/spec/a~1b", "Changed", 1, 2)], id="a-slash-in-a-name"),
        pytest.param({"example.io": 1}, {"example.io": 2}, [("/spec/example.io", "Changed", 1, 2)], id="dots-in-a-name"),
    ],
)
def test_fields(before: Json, after: Json, expected: list[Any]) -> None:
    assert told(thing(spec=before), thing(spec=after)) == expected


def test_an_object_that_is_not_there_is_added_as_a_whole_without_what_the_server_and_we_add() -> None:
    planned = thing(meta={"uid": "u", "labels": {PART_OF_LABEL: "us", "app": "x"}, "annotations": {DIGEST: "d"}}, spec={"a": 1}, status={})
    found = of(None, planned)
    assert found.changes == (FieldChange("", "", Kind.ADDED, None, thing(meta={"labels": {"app": "x"}}, spec={"a": 1}), "", ""),)
    assert not found.only_marks


# -- lists -------------------------------------------------------------------------------------------------------------

WEB, SIDE = {"name": "web", "image": "w:1"}, {"name": "side", "image": "s:1"}
TCP, UDP = {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}
PORTS = {"f:spec": {"f:ports": {'k:{"port":53,"protocol":"TCP"}': {".": {}, "f:port": {}}}}}


def test_items_with_a_name_are_matched_by_it() -> None:
    assert told(thing(spec={"c": [WEB, SIDE]}), thing(spec={"c": [SIDE, {**WEB, "image": "w:2"}]})) == [
        ("/spec/c[name=web]/image", "Changed", "w:1", "w:2")
    ]


def test_a_path_counts_items_as_they_are_planned_and_removed_ones_as_they_are() -> None:
    planned = {"name": "new"}
    changes = of(thing(spec={"c": [SIDE, WEB]}), thing(spec={"c": [planned, {**WEB, "image": "w:2"}]})).changes
    assert [(c.path, c.shown, c.before, c.after) for c in changes] == [
        ("/spec/c/0", "/spec/c[name=new]", None, planned),
        ("/spec/c/1/image", "/spec/c[name=web]/image", "w:1", "w:2"),
        ("/spec/c/0", "/spec/c[name=side]", SIDE, None),
    ]


def test_order_alone_is_no_difference_where_items_are_matched() -> None:
    assert not of(thing(spec={"c": [WEB, SIDE]}), thing(spec={"c": [SIDE, WEB]}))


@pytest.mark.parametrize("items", [[1, 2], [{"a": 1}, {"a": 2}], [WEB, {"image": "x"}], [WEB, {**WEB, "image": "x"}]])
def test_order_is_a_difference_in_any_other_list(items: list[Any]) -> None:
    (change,) = of(thing(spec={"c": items}), thing(spec={"c": items[::-1]})).changes
    assert (change.shown, change.before, change.after) == ("/spec/c", items, items[::-1])


def test_key_fields_are_those_that_managed_fields_name() -> None:
    live = thing(spec={"ports": [TCP, UDP]}, managed=[entry(PORTS)])
    planned = thing(spec={"ports": [{**UDP, "name": "dns"}, TCP]})
    assert told(live, planned) == [("/spec/ports[port=53,protocol=UDP]/name", "Added", None, "dns")]


def test_key_fields_may_be_known_from_the_planned_object_alone() -> None:
    live = thing(spec={"ports": [TCP, UDP]})
    assert not of(live, thing(spec={"ports": [UDP, TCP]}, managed=[entry(PORTS)]))


def test_a_list_with_one_owner_is_one_value_although_its_items_have_names() -> None:
    atomic = [entry({"f:spec": {"f:c": {}}})]
    assert told(thing(spec={"c": [WEB, SIDE]}, managed=atomic), thing(spec={"c": [SIDE, WEB]}, managed=atomic)) == [
        ("/spec/c", "Changed", [WEB, SIDE], [SIDE, WEB])
    ]


def test_elements_of_a_set_come_and_go_one_by_one() -> None:
    held = [entry({"f:metadata": {"f:finalizers": {".": {}, 'v:"example.io/a"': {}}}})]
    live, planned = (thing(meta={"finalizers": f}, managed=held) for f in (["example.io/a", "b"], ["c", "example.io/a"]))
    assert told(live, planned) == [
        ("/metadata/finalizers[=c]", "Added", None, "c"),
        ("/metadata/finalizers[=b]", "Removed", "b", None),
    ]


def test_items_with_the_same_key_are_matched_in_their_order() -> None:
    held = [entry({"f:spec": {"f:env": {'k:{"name":"A"}': {".": {}}}}})]
    live, planned = (thing(spec={"env": [{"name": "A", "value": v}, {"name": "A", "value": "1"}]}, managed=held) for v in "23")
    assert told(live, planned) == [("/spec/env[name=A]/value", "Changed", "2", "3")]


@pytest.mark.parametrize("element", ["k:", "k:1", 'k:{"name":', "v:", "i:0", "?", "k:[1]"])
def test_a_field_set_that_makes_no_sense_only_means_that_less_is_known(element: str) -> None:
    live = thing(spec={"c": [WEB]}, managed=[entry({"f:spec": {"f:c": {element: {}}}})])
    assert of(live, thing(spec={"c": [SIDE]}))
    assert not of(live, live)


# -- what the server and we write --------------------------------------------------------------------------------------


def marks(owner: str, digest: str, **labels: str) -> Json:
    return {"labels": {**labels, PART_OF_LABEL: owner}, "annotations": {DIGEST: digest}}


def test_what_only_the_server_writes_is_no_difference() -> None:
    live = thing(meta={"uid": "1", "resourceVersion": "1", "generation": 1, "creationTimestamp": "t", "selfLink": "/"}, status={"a": 1})
    planned = thing(meta={"uid": "2", "resourceVersion": "2", "generation": 2}, managed=[entry({"f:spec": {}})], status={"a": 2})
    assert not of(live, planned)


def test_a_template_inside_an_object_is_compared_in_every_field() -> None:
    live, planned = (thing(spec={"template": {"metadata": {"generation": n}, "status": n}}) for n in (1, 2))
    assert [change.path for change in of(live, planned).changes] == ["/spec/template/metadata/generation", "/spec/template/status"]


def test_our_marks_are_left_out_beside_another_change() -> None:
    found = of(thing(meta=marks("us", "1"), spec={"a": 1}), thing(meta=marks("us", "2"), spec={"a": 2}))
    assert [change.path for change in found.changes] == ["/spec/a"]
    assert not found.only_marks


def test_our_marks_are_told_if_nothing_else_changes() -> None:
    found = of(thing(meta={"labels": {"app": "x"}}), thing(meta=marks("us", "1", app="x")))
    assert [(c.path, c.kind, c.after) for c in found.changes] == [
        ("/metadata/annotations/cvstate.io~1digest", Kind.ADDED, "1"),
        ("/metadata/labels/applyset.kubernetes.io~1part-of", Kind.ADDED, "us"),
    ]
    assert found.only_marks


def test_equal_marks_are_nothing() -> None:
    found = of(thing(meta=marks("us", "1")), thing(meta=marks("us", "1")))
    assert (bool(found), found.only_marks) == (False, False)


# -- who holds it ------------------------------------------------------------------------------------------------------

OURS = entry({"f:spec": {"f:a": {}, "f:b": {}}}, FIELD_MANAGER, operation="Apply", time="2026-01-09T00:00:00Z")


@pytest.mark.parametrize(
    ("managed", "holder"),
    [
        pytest.param([], ("", ""), id="nobody"),
        pytest.param([OURS], (FIELD_MANAGER, "2026-01-09T00:00:00Z"), id="we-alone"),
        pytest.param([OURS, entry({"f:spec": {"f:a": {}}})], ("rival", "2026-01-01T00:00:00Z"), id="another-before-ourselves"),
        pytest.param([OURS, entry({"f:spec": {"f:c": {}}})], (FIELD_MANAGER, "2026-01-09T00:00:00Z"), id="others-hold-something-else"),
        pytest.param(
            [entry({"f:spec": {"f:a": {}}}), entry({"f:spec": {"f:a": {}}}, "later", time="2026-01-02T00:00:00Z")],
            ("later", "2026-01-02T00:00:00Z"),
            id="of-others-who-wrote-last",
        ),
        pytest.param(
            [OURS, entry({"f:spec": {"f:a": {}}}, "hpa", subresource="scale")], ("hpa", "2026-01-01T00:00:00Z"), id="by-a-subresource"
        ),
        pytest.param([entry({"f:spec": {}})], ("rival", "2026-01-01T00:00:00Z"), id="one-that-holds-the-whole-map"),
        pytest.param([entry({}), {"manager": "old"}], ("", ""), id="an-entry-without-fields-holds-nothing"),
    ],
)
def test_the_holder_of_a_field_is_named(managed: list[Json], holder: tuple[str, str]) -> None:
    (change,) = of(thing(spec={"a": 1}, managed=managed), thing(spec={"a": 2}, managed=[entry({"f:spec": {"f:a": {}}}, "not-yet")])).changes
    assert (change.manager, change.since) == holder


def test_the_holder_of_a_field_in_a_list_item_is_named() -> None:
    held = [
        entry({"f:spec": {"f:c": {'k:{"name":"web"}': {".": {}, "f:image": {}}}}}),
        entry({"f:spec": {"f:c": {'k:{"name":"side"}': {}}}}, "s"),
    ]
    changes = of(thing(spec={"c": [WEB, SIDE]}, managed=held), thing(spec={"c": [{**WEB, "image": "w:2"}]})).changes
    assert [(c.shown, c.manager) for c in changes] == [("/spec/c[name=web]/image", "rival"), ("/spec/c[name=side]", "s")]


def test_nobody_holds_a_field_that_is_not_there() -> None:
    (change,) = of(thing(managed=[entry({"f:spec": {"f:a": {}}})]), thing(spec={"a": 1})).changes
    assert (change.manager, change.since) == ("", "")


# -- bounds and order --------------------------------------------------------------------------------------------------


def test_the_first_changes_are_told_and_the_others_counted() -> None:
    found = of(thing(), thing(spec={f"f{i:04}": i for i in range(MAX_CHANGES + 7)}))
    assert [c.after for c in found.changes] == list(range(MAX_CHANGES))
    assert found.more == 7


def test_the_order_of_fields_in_the_objects_makes_no_difference_to_the_answer() -> None:
    live, planned = thing(spec={"a": 1, "b": 2}), thing(spec={"c": 3, "b": 4})
    reversed_live, reversed_planned = ({key: obj[key] for key in reversed(obj)} for obj in (live, planned))
    assert of(live, planned) == of(reversed_live, reversed_planned)


def test_a_deeply_nested_object_is_compared_to_its_end() -> None:
    def nested(leaf: int) -> Json:
        value: Any = leaf
        for _ in range(195):
            value = {"a": value}
        return thing(spec=value)

    (change,) = of(nested(1), nested(2)).changes
    assert (change.path, change.after) == ("/spec" + "/a" * 195, 2)


def test_the_arguments_are_not_changed() -> None:
    live, planned = thing(meta=marks("us", "1"), spec={"c": [WEB]}, managed=[OURS]), thing(meta=marks("us", "2"), spec={"c": [SIDE]})
    before = orjson.dumps([live, planned])
    of(live, planned)
    assert orjson.dumps([live, planned]) == before


# -- shown -------------------------------------------------------------------------------------------------------------


def line(live: Json | None, planned: Json, kind: GroupKind = DEPLOYMENT) -> str:
    (change,) = of(live, planned).changes
    return difference.shown(change, kind)


def test_a_change_is_shown_with_its_values_and_its_holder() -> None:
    live = thing(spec={"replicas": 5}, managed=[entry({"f:spec": {"f:replicas": {}}}, "kubectl", subresource="scale")])
    assert line(live, thing(spec={"replicas": 2})) == "/spec/replicas: 5 → 2, held by kubectl since 2026-01-01T00:00:00Z"


def test_a_change_without_a_holder_is_shown_without_one() -> None:
    assert line(thing(), thing(spec={"a": "b"})) == "/spec/a: (none) → b"


def test_a_new_object_is_shown_in_few_words() -> None:
    assert line(None, thing(data={"password": "aHVudGVyMg=="}), SECRET) == "the object is created"


def test_the_content_of_a_secret_is_neither_shown_nor_printed() -> None:
    live, planned = thing(data={"password": "aHVudGVyMg=="}), thing(data={"password": "c2VzYW1l"})
    assert line(live, planned, SECRET) == "/data/password: *** → ***"
    assert "aHVudGVyMg" not in repr(of(live, planned))
    assert "c2VzYW1l" not in repr(of(live, planned))


def test_foreign_text_stays_on_one_line() -> None:
    live = thing(spec={"c": [{"name": "a\nb\x1b[31m", "v": 1}]}, managed=[entry({"f:spec": {}}, "m\nn", time="\t")])
    planned = thing(spec={"c": [{"name": "a\nb\x1b[31m", "v": "\r\n"}]}, managed=[entry({"f:spec": {"f:c": {'k:{"name":"x"}': {}}}})])
    assert line(live, planned) == r"/spec/c[name=a\nb\x1b[31m]/v: 1 → \r\n, held by m\nn since \t"


def test_a_long_path_is_cut_where_it_is_shown_and_nowhere_else() -> None:
    (change,) = of(thing(), thing(spec={"n" * 9000: 1})).changes
    assert (len(change.shown), len(change.path)) == (512, 9006)
