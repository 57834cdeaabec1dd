"""When a live object is what was declared.

Aspects: what the API server adds is no difference, what is missing or other is one · lists · fields that nobody declared, by managedFields: maps, keyed
items, sets, marks of tools, subresources.
"""

from typing import Any

import pytest

from bench.comparison import holds, undeclared

POD: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"app": "a"}},
    "spec": {"replicas": 1, "containers": [{"name": "app", "image": "x:1", "ports": [{"containerPort": 80}]}], "sets": ["a", "b"]},
}


def owned(*paths: str, subresource: str = "") -> dict[str, Any]:
    """POD, live, with these fields owned by somebody, each as `f:spec/f:replicas`."""
    fields: dict[str, Any] = {}
    for path in paths:
        place = fields
        for part in path.split("/"):
            place = place.setdefault(part, {})
    entry = {"manager": "tool", "fieldsV1": fields, **({"subresource": subresource} if subresource else {})}
    return {**POD, "metadata": {**POD["metadata"], "managedFields": [entry]}}


@pytest.mark.parametrize(
    ("declared", "live"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {}}, {"a": {"b": 1}}),
        ([{"name": "x"}], [{"name": "x", "protocol": "TCP"}]),
        ({"a": None}, {"b": 1}),
        (["a"], ["a"]),
    ],
)
def test_what_the_api_server_adds_is_no_difference(declared: Any, live: Any):
    assert holds(declared, live)


@pytest.mark.parametrize(
    ("declared", "live"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": None}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": 1}),
        (["a"], ["a", "b"]),
        (["a", "b"], ["a"]),
        (["a", "b"], ["b", "a"]),
        ([{"name": "x"}], {"name": "x"}),
        ({"a": 1}, None),
        ({"a": "1"}, {"a": 1}),
    ],
)
def test_what_is_missing_other_or_too_much_in_a_list_is_a_difference(declared: Any, live: Any):
    assert not holds(declared, live)


@pytest.mark.parametrize(
    "path",
    [
        "f:spec/f:replicas",
        "f:spec/f:sets",
        'f:spec/f:sets/v:"a"',
        'f:spec/f:containers/k:{"name":"app"}/f:image',
        'f:spec/f:containers/k:{"name":"app"}/.',
        'f:spec/f:containers/k:{"name":"app"}/f:ports/k:{"containerPort":80,"protocol":"TCP"}/f:containerPort',
        "f:metadata/f:labels/f:app",
        "f:metadata/f:labels/f:tool.example~1owner",
        "f:metadata/f:annotations/f:note",
        "f:metadata/f:ownerReferences",
        "f:metadata/f:finalizers",
    ],
)
def test_declared_fields_and_marks_of_tools_may_be_set(path: str):
    assert undeclared(POD, owned(path)) == []


@pytest.mark.parametrize(
    "path",
    [
        "f:spec/f:paused",
        'f:spec/f:sets/v:"c"',
        'f:spec/f:containers/k:{"name":"sidecar"}/f:image',
        'f:spec/f:containers/k:{"name":"app"}/f:command',
        'f:spec/f:containers/k:{"name":"app"}/f:ports/k:{"containerPort":81,"protocol":"TCP"}/f:containerPort',
        "f:data/f:extra",
        "f:metadata/f:generateName",
    ],
)
def test_other_fields_are_named(path: str):
    assert undeclared(POD, owned("f:spec/f:replicas", path)) == [path]


def test_what_was_written_through_a_subresource_does_not_count():
    assert undeclared(POD, owned("f:status/f:phase", subresource="status")) == []


def test_an_object_that_nobody_manages_is_fine():
    assert undeclared(POD, POD) == []
