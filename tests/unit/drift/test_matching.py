"""Path patterns on fields.

Aspects: which fields a pattern covers · what more it touches · positions and keys of list items · many `**` · pointers and their steps · names.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.path_pattern import AnyDepth, Named, Pattern, exact, parse_pattern
from cvstate_operator.drift import matching
from cvstate_operator.drift.coverage import Item, Step, pointer

BODY: dict[str, Any] = {
    "metadata": {"annotations": {"a.io/x": "1", "b": "2"}, "finalizers": ["a.io/hold", "b"]},
    "spec": {
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "app", "image": "a:1", "ports": [{"containerPort": 80}]}, {"name": "side"}]}},
        "flags": [True, 1, "x"],
    },
}
CONTAINERS = "/spec/template/spec/containers"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/spec/replicas", "/spec/replicas", True, id="the-field"),
        pytest.param("/spec", "/spec/replicas", True, id="a-field-around-it"),
        pytest.param("/spec/replicas/x", "/spec/replicas", False, id="a-field-inside-it"),
        pytest.param("/spec/replica", "/spec/replicas", False, id="a-name-that-starts-so"),
        pytest.param("/spec/replica*", "/spec/replicas", True, id="a-prefix"),
        pytest.param("/metadata/annotations/a.io~1*", "/metadata/annotations/a.io~1x", True, id="a-prefix-with-a-slash"),
        pytest.param("/metadata/annotations/a.io~1*", "/metadata/annotations/b", False, id="another-prefix"),
        pytest.param("/*/replicas", "/spec/replicas", True, id="any-step"),
        pytest.param("/*", "/spec/replicas", True, id="anything"),
        pytest.param("/*/*/replicas", "/spec/replicas", False, id="one-step-too-many"),
        pytest.param("/**/replicas", "/spec/replicas", True, id="any-depth"),
        pytest.param("/**/spec/replicas", "/spec/replicas", True, id="no-step-for-any-depth"),
        pytest.param("/spec/**", "/spec/replicas", True, id="any-depth-at-the-end"),
        pytest.param("/**/image", f"{CONTAINERS}/0/image", True, id="any-depth-through-a-list"),
        pytest.param("/**/**/x/**", f"{CONTAINERS}/0/image", False, id="any-depth-but-not-there"),
        pytest.param(f"{CONTAINERS}/*/image", f"{CONTAINERS}/0/image", True, id="any-item"),
        pytest.param(f"{CONTAINERS}/0/image", f"{CONTAINERS}/0/image", True, id="item-by-position"),
        pytest.param(f"{CONTAINERS}/1", f"{CONTAINERS}/0/image", False, id="another-position"),
        pytest.param(f"{CONTAINERS}/[name=app]/image", f"{CONTAINERS}/0/image", True, id="item-by-key"),
        pytest.param(f"{CONTAINERS}/[name=side]", f"{CONTAINERS}/0/image", False, id="another-key"),
        pytest.param("/**/[containerPort=80]", f"{CONTAINERS}/0/ports/0", True, id="a-key-that-is-a-number"),
        pytest.param("/**/[containerPort=80,protocol=TCP]", f"{CONTAINERS}/0/ports/0", False, id="a-key-that-git-leaves-out"),
        pytest.param("/spec/[name=app]", "/spec/replicas", False, id="a-key-for-what-is-no-item"),
        pytest.param("/metadata/finalizers/[=a.io~1hold]", "/metadata/finalizers/0", True, id="element-by-value"),
        pytest.param("/metadata/finalizers/[=b]", "/metadata/finalizers/0", False, id="another-value"),
        pytest.param("/spec/flags/[=true]", "/spec/flags/0", True, id="element-that-is-true"),
        pytest.param("/spec/flags/[=1]", "/spec/flags/0", False, id="true-is-not-one"),
        pytest.param(f"{CONTAINERS}/[=app]", f"{CONTAINERS}/0", False, id="value-for-an-item-with-keys"),
        pytest.param("/spec/gone/[name=app]", "/spec/gone/0", False, id="item-that-is-not-there"),
        pytest.param("/**", "", True, id="any-depth-is-the-object-too"),
        pytest.param("/*", "", False, id="the-object-is-no-field"),
    ],
)
def test_a_pattern_covers_its_field_and_everything_in_it(pattern: str, path: str, expected: bool) -> None:
    assert matching.covers(parse_pattern(pattern), matching.locate(path, BODY)) is expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/**/image", f"{CONTAINERS}/0", True, id="field-of-the-item"),
        pytest.param("/**/image", f"{CONTAINERS}/1", False, id="item-without-the-field"),
        pytest.param("/**/image", CONTAINERS, True, id="field-of-some-item"),
        pytest.param(f"{CONTAINERS}/[name=side]", CONTAINERS, True, id="one-of-the-items"),
        pytest.param(f"{CONTAINERS}/[name=x]", CONTAINERS, False, id="none-of-the-items"),
        pytest.param("/spec/replicas", "/spec/replicas", True, id="the-field"),
        pytest.param("/spec/**/image", "/spec/replicas", False, id="any-depth-below-a-scalar"),
    ],
)
def test_a_pattern_touches_a_value_that_holds_its_field(pattern: str, path: str, expected: bool) -> None:
    steps = matching.locate(path, BODY)
    value: Any = BODY
    for step in steps:
        value = value[step.position if isinstance(step, Item) else step]
    assert matching.touches(parse_pattern(pattern), steps, value) is expected


def test_a_pattern_of_any_depths_alone_is_no_slower() -> None:
    hostile = parse_pattern("/**/a" * 16)
    path: list[Step] = ["a"] * 15 + ["b"] * 2000
    assert not matching.covers(hostile, path)
    assert matching.covers(hostile, ["a", *path])


def recursive(pattern: Pattern, names: tuple[str, ...]) -> bool:
    """The definition: a pattern of names covers a path."""
    if not pattern:
        return True
    head, *rest = pattern
    if isinstance(head, AnyDepth):
        return recursive(tuple(rest), names) or bool(names and recursive(pattern, names[1:]))
    assert isinstance(head, Named)
    fits = bool(names) and (names[0].startswith(head.name) if head.is_prefix else names[0] == head.name)
    return fits and recursive(tuple(rest), names[1:])


@given(
    st.lists(st.sampled_from(["**", "*", "a", "b", "a*"]), min_size=1, max_size=6), st.lists(st.sampled_from(["a", "b", "ab"]), max_size=6)
)
def test_matching_step_by_step_is_the_recursive_definition(parts: list[str], names: list[str]) -> None:
    pattern = parse_pattern("/" + "/".join(parts))
    assert matching.covers(pattern, names) == recursive(pattern, tuple(names))


JSON = st.recursive(
    st.none() | st.integers(0, 3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab/~0*[", max_size=3), below, max_size=3),
)


def paths(value: Any, path: tuple[Step, ...] = ()) -> list[tuple[Step, ...]]:
    if isinstance(value, dict):
        return [path, *(p for name, below in value.items() for p in paths(below, (*path, name)))]
    if isinstance(value, list):
        return [path, *(p for at, below in enumerate(value) for p in paths(below, (*path, Item(below, at))))]
    return [path]


@given(JSON)
def test_a_pointer_leads_back_to_its_steps_and_means_them_exactly(obj: Any) -> None:
    for path in paths(obj):
        assert matching.locate(pointer(path), obj) == path
        assert matching.covers(exact(pointer(path)), path)


def test_a_pointer_out_of_the_object_is_read_as_names() -> None:
    assert matching.locate("/spec/flags/7/x", BODY) == ("spec", "flags", "7", "x")
    assert matching.locate("", BODY) == ()


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        pytest.param("vpa", ("hpa", "vpa"), True, id="one-of-them"),
        pytest.param("vpa-recommender", ("vpa",), False, id="longer"),
        pytest.param("vpa-recommender", ("vpa*",), True, id="prefix"),
        pytest.param("", ("*",), True, id="any-even-unknown"),
        pytest.param("a", (), False, id="none"),
    ],
)
def test_a_star_at_the_end_of_a_name_stands_for_any_rest(name: str, words: tuple[str, ...], expected: bool) -> None:
    assert matching.is_named(name, words) is expected
