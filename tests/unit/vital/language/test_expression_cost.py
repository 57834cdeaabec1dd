"""What an expression may cost, told before it runs.

Aspects: what is counted and what is not · strings and comments · what things hold · the bound grows with everything it is made of · usual expressions cost
next to nothing.
"""

import itertools
from typing import Any

import pytest

from cvstate_operator.vital.language import expression_cost
from cvstate_operator.vital.language.expression_cost import MOST_DEPTH, MOST_WORK, Size


def work(text: str, *, characters: int = 20_000, longest: int = 50) -> int:
    return expression_cost.work(expression_cost.shape(text), Size(characters, longest))


@pytest.mark.parametrize(
    ("text", "iterating", "depth"),
    [
        ("dep.a == 1", 0, 0),
        ("dep.a.all(x, x == 1)", 1, 1),
        ("dep.a.filter(x, x == 1).all(x, x == 1)", 2, 1),
        ("dep.a.all(x, x.b.exists(y, (y == 1)))", 2, 2),
        ("dep.a.all(x, (x.b).exists(y, y.all(z, true))) && dep.b.exists(x, true)", 4, 3),
        ("dep.a . all // .all(\n ( x , true )", 1, 1),
        ("'a.all(x, true)' == \".all(\" || r'.all(' == '''.all('''", 0, 0),
        ("dep.all == dep.exists", 0, 0),
        ("'\\'.all(' == ''", 0, 0),
        ("dep.`a.all(` == 1", 0, 0),
        ("cel.bind(x, dep.a, x == 1)", 0, 0),
    ],
)
def test_macros_that_go_through_lists_are_counted(text: str, iterating: int, depth: int) -> None:
    found = expression_cost.shape(text)
    assert (found.iterating, found.depth) == (iterating, depth)


@pytest.mark.parametrize(
    ("text", "costly"),
    [
        ("dep.a == 'x' && 'y' != dep.b && dep.c == 1 && dep.d == true && dep.e == null", 0),
        ("has(dep.a) && size(dep.a) > 1", 0),
        ("dep.a == dep.b", 1),
        ("dep.a in dep.b", 1),
        ("dep.a in [dep.b, 'x']", 1),
        ("dep.a in ['x', 'y'] || dep.a in []", 0),
        ("dep.a.contains('x')", 1),
        ("dep.a + 'x' == 'y'", 1),
        ("dep.a.inside == 'in'", 0),
    ],
)
def test_operations_whose_cost_grows_with_their_values_are_counted(text: str, costly: int) -> None:
    assert expression_cost.shape(text).costly == costly


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Size(0, 0)),
        ({"self": None}, Size(10, 0)),
        ({"self": "abc"}, Size(13, 0)),
        ({"self": {"ab": "abc", "c": 1}}, Size(36, 2)),
        ({"self": [1, 2, 3], "dep": []}, Size(50, 3)),
    ],
)
def test_characters_and_items_are_counted(variables: dict[str, Any], expected: Size) -> None:
    assert expression_cost.size(variables) == expected


def test_depth_has_a_limit() -> None:
    value: Any = 1
    for _ in range(MOST_DEPTH - 1):
        value = [value]
    assert expression_cost.size({"self": value}).longest == 1
    with pytest.raises(ValueError, match="deeper"):
        expression_cost.size({"self": [value]})


def test_a_message_names_no_value() -> None:
    for value in (b"hunter2", {"hunter2"}, {("hunter2",): 1}):
        with pytest.raises(ValueError, match="no JSON") as caught:
            expression_cost.size({"self": value})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "dep.status.phase == 'Ready'",
        "dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
        "dep.status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True' && c.observedGeneration == dep.metadata.generation)",
        "dep.metadata.annotations['app/version'] == self.metadata.annotations['app/version']",
        "dep.status.shards.all(s, s.replicas.exists(r, r.role == 'primary' && r.state in ['streaming', 'running']))",
        "cel.bind(v, dep.?status.?version.orValue(''), v.startsWith('1.') || v.startsWith('2.'))",
    ],
)
def test_usual_expressions_stay_below_the_bound_on_large_objects(text: str) -> None:
    assert work(text, characters=20_000, longest=50) <= MOST_WORK
    assert work(text, characters=5_000, longest=20) <= MOST_WORK / 10


def test_the_bound_grows_with_what_there_is_to_look_at() -> None:
    text = "dep.a.exists(x, dep.s.contains(x))"
    assert work(text, characters=10_000) < work(text, characters=20_000)
    assert work(text, longest=10) < work(text, longest=20)
    assert work("dep.a.exists(x, dep.b.exists(y, dep.s.contains(y)))") > work(text)
    assert work("dep.a.map(x, x).size() == 1", characters=10**6, longest=10_000) > MOST_WORK


def test_a_text_that_becomes_a_list_counts_as_one() -> None:
    assert work("dep.s.split('').all(x, x == dep.t)") > 10 * work("dep.s.all(x, x == dep.t)")


def test_each_level_of_doubling_doubles_the_bound() -> None:
    texts = ["dep.s" + "".join(f".map(v{n}, v{n} + v{n})" for n in range(levels)) + ".exists(x, x == dep.s)" for levels in range(1, 12)]
    found = [work(text) for text in texts]
    assert all(after >= 2 * before for before, after in itertools.pairwise(found))
