"""Expressions in CEL.

Aspects: what they can ask of an object · missing fields · what is no boolean · faults when they are read, with their place · what is told of a fault ·
hostile ones: endless macros, growth, patterns, depth · hostile objects: size, types, depth · loading the library.
"""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.vital.language import expression_cost
from cvstate_operator.vital.language.expression import MAX_TEXT, ExpressionError, compile_expression

DATABASE: dict[str, Any] = {
    "apiVersion": "example.io/v1",
    "kind": "Db",
    "metadata": {"name": "orders", "generation": 3, "annotations": {"app/version": "v1.2.3"}},
    "spec": {"replicas": 2},
    "status": {
        "phase": "Ready",
        "ratio": 0.5,
        "note": None,
        "isPrimary": True,
        "conditions": [
            {"type": "Ready", "status": "True", "observedGeneration": 3},
            {"type": "Backup", "status": "False", "observedGeneration": 2},
        ],
    },
}
APPLICATION: dict[str, Any] = {"metadata": {"name": "app", "annotations": {"app/version": "v1.2.3"}}}


def holds(text: str, **variables: Any) -> bool:
    return compile_expression(text).holds({"self": APPLICATION, "dep": DATABASE} | variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dep.status.phase == 'Ready'", True),
        ("dep.status.phase != 'Ready'", False),
        ("dep.status.isPrimary", True),
        ("dep.spec.replicas == 2 && dep.status.ratio > 0.4", True),
        ("dep.spec.replicas == 2.0", True),
        ("dep.status.note == null", True),
        ("dep.metadata.annotations['app/version'] == self.metadata.annotations['app/version']", True),
        ("dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", True),
        ("dep.status.conditions.filter(c, c.type == 'Ready').all(c, c.observedGeneration == dep.metadata.generation)", True),
        ("dep.status.conditions.all(c, c.status == 'True')", False),
        ("'Ready' in dep.status.conditions.map(c, c.type)", True),
        ("size(dep.status.conditions) == 2", True),
        ("has(dep.status.phase)", True),
        ("has(dep.status.nowhere)", False),
        ("dep.?status.?nowhere.orValue('none') == 'none'", True),
        ("dep.status.?phase.hasValue()", True),
        ("dep.status[?'phase'].orValue('') == 'Ready'", True),
        ("dep.status.phase.lowerAscii().startsWith('rea')", True),
        ("dep.metadata.name.split('e').size() == 2", True),
        ("dep.status.phase.matches('^R[a-z]+$')", True),
        ("cel.bind(version, dep.metadata.annotations['app/version'], version == 'v1.2.3')", True),
        ("math.greatest(dep.spec.replicas, 5) == 5", True),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')", True),
        ("dep.status.nowhere == 1 || true", True),
    ],
)
def test_an_expression_asks_about_both_objects(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "dep.status.nowhere == 'Ready'",
        "dep.nowhere.phase == 'Ready'",
        "has(dep.nowhere.phase)",
        "dep.status.conditions[7].status == 'True'",
        "dep.status.phase == 'Ready' && dep.nowhere",
        "!dep.nowhere",
    ],
)
def test_a_missing_field_is_an_error_and_no_answer(text: str) -> None:
    with pytest.raises(ExpressionError):
        holds(text)


@pytest.mark.parametrize(
    "text",
    ["dep.status.phase", "dep.spec.replicas", "dep.status.note", "dep.status", "dep.status.conditions", "dep.status.?isPrimary", "dep"],
)
def test_only_a_boolean_is_an_answer(text: str) -> None:
    with pytest.raises(ExpressionError, match="not true or false"):
        holds(text)


def test_the_word_true_in_an_object_is_no_answer() -> None:
    with pytest.raises(ExpressionError, match="gives string"):
        holds("dep.status.conditions[0].status")


@pytest.mark.parametrize("text", ["1", "'true'", "[true]", "{'a': true}", "optional.of(true)", "size(dep.status.conditions)", "null"])
def test_what_can_never_be_a_boolean_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ExpressionError, match="not true or false"):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", ["dep.status.phase > 1", "dep.status.phase + 1 == 2", "dep.status.phase ? true : false", "dep.spec.replicas / 0 == 1"]
)
def test_types_that_do_not_fit_are_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        holds(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1, column 1: "),
        ("  ", "line 1, column 3: "),
        ("dep.status.phase ==", "line 1, column 20: "),
        ("true &&\n  other.status == 1", "line 2, column 8: undeclared reference to 'other"),
        ("unheard(1)", "line 1, column 8: undeclared reference to 'unheard'"),
        ("true\nfalse", "line 2, column 1: "),
        ("dep.phase == 'Ready", "line 1, column 14: "),
        ("true ? true : 1", "line 1, column 6: "),
        ("\ud800 == 1", ""),
    ],
)
def test_a_fault_is_told_on_one_short_line_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert str(caught.value).startswith(told)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_text_that_is_too_long_is_refused() -> None:
    assert compile_expression("true" + " " * (MAX_TEXT - 4)).holds({"self": {}, "dep": {}})
    with pytest.raises(ExpressionError, match="longer"):
        compile_expression("true" + " " * (MAX_TEXT - 3))


def test_variables_are_those_that_are_declared() -> None:
    assert compile_expression("self.a == 1", ("self",)).holds({"self": {"a": 1}})
    with pytest.raises(ExpressionError, match="undeclared reference to 'dep"):
        compile_expression("dep.a == 1", ("self",))
    with pytest.raises(ExpressionError, match="dep has no value"):
        compile_expression("self.a == 1").holds({"self": {"a": 1}})


def test_a_fault_repeats_no_value_of_an_object() -> None:
    secret = {"data": {"password": "hunter2\" in map : 'x"}, "known": {}}
    for text in (
        "dep.known[dep.data.password] == 1",
        "timestamp(dep.data.password) == null",
        "int(dep.data.password) == 1",
        "dep.data.password",
    ):
        with pytest.raises(ExpressionError) as caught:
            holds(text, dep=secret)
        assert "hunter2" not in str(caught.value), text


def test_a_field_that_the_expression_names_is_named_in_the_fault() -> None:
    with pytest.raises(ExpressionError, match="nowhere"):
        holds("dep.nowhere == 1")


# -- hostile expressions --------------------------------------------------------------------------------------------

NUMBERS = list(range(9999))


@pytest.mark.parametrize(
    "text",
    [
        "dep.l.all(x, dep.l.all(y, dep.l.all(z, x >= 0)))",
        "dep.l.all(x, dep.l.all(y, dep.l != dep.s))",
        "dep.l.map(x, dep.l.map(y, x)).size() > 0",
        "dep.s.split('').all(x, dep.s.contains(x))",
        "dep.l.exists(x, dep.s.contains('ab'))",
        "dep.l.exists_one(x, [x] + dep.l == dep.l)",
    ],
)
def test_macros_without_end_are_stopped(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"too long|10000 iterations"):
        holds(text, dep={"l": NUMBERS, "s": "a" * 50_000})


def doubled(times: int, seed: str, last: str) -> str:
    opened = "".join(f"cel.bind(v{n + 1}, v{n} + v{n}, " for n in range(times))
    return f"cel.bind(v0, {seed}, {opened}v{times}{last}" + ")" * (times + 1)


def test_growth_by_doubling_is_stopped() -> None:
    assert holds(doubled(2, "'ab'", ".contains('ba')"))
    for text in (
        doubled(25, "'ab'", ".contains('aa')"),
        "['ab']" + ".map(x, x + x)" * 25 + " == []",
        "[1]" + ".map(x, dyn([x, x]))" * 25 + " == [1]",
    ):
        with pytest.raises(ExpressionError, match=r"too long|recursion"):
            holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "dep.s.replace('a', dep.s) == ''",
        "dep.l.join(dep.s) == ''",
        "'%s'.format([dep.s]) == ''",
        "strings.quote(strings.quote(dep.s)) == ''",
    ],
)
def test_functions_whose_result_has_no_bound_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="not available"):
        compile_expression(text)


def test_a_pattern_that_explodes_elsewhere_does_not_here() -> None:
    assert holds("dep.s.matches('^(a+)+$')", dep={"s": "a" * 100_000})
    assert not holds("dep.s.matches('^(a+)+$')", dep={"s": "a" * 100_000 + "!"})


@pytest.mark.parametrize(
    "text",
    [
        "'a'.matches('(')",
        r"'a'.matches('[\\pL]{999}c')",
        "dep.l.exists(x, 'a'.matches('a'))",
        "dep.l.exists(x, (true) && ('a'.matches('a')))",
        "dep.l\n. exists // )\n (x, 'a'. matches ('a'))",
        "dep.l.exists(x, ')' == '(' || matches('a', 'a'))",
        r"dep.l.exists(x, r'\(' == ')' || matches('a', 'a'))",
        """dep.l.exists(x, '''a')''' == "a')" || matches('a', 'a'))""",
        " || ".join(["'a'.matches('b')"] * (expression_cost.MOST_PATTERNS + 1)),
    ],
)
def test_patterns_that_cost_too_much_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"matches|regular expression"):
        holds(text, dep={"l": [1]})


@pytest.mark.parametrize(
    "text", ["(" * 2000 + "true" + ")" * 2000, "[" * 2000, "!" * 4000, "-" * 4000, "+".join("1" * 2000), "{" * 4000, "a." * 2000]
)
def test_depth_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text)


PIECES = [*"selfdp. ()[]{}'\"\\rb=!&|?:+-,1\n/`", "dep", "all(x,", "'a'", "matches(", "has("]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_whatever_the_text_is_it_is_read_or_refused(text: str) -> None:
    try:
        compile_expression(text)
    except ExpressionError as exc:
        told = str(exc)
    else:
        told = "read"
    assert told.isprintable()


# -- hostile objects ------------------------------------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, object(), {1}, (1, 2), b"a", {1: 2}, nested(100_000), "\ud800"],
    ids=["64 bits", "negative", "object", "set", "tuple", "bytes", "number as key", "deep", "surrogate"],
)
def test_what_is_no_json_is_an_error(value: Any) -> None:
    with pytest.raises(ExpressionError):
        holds("dep.ok", dep={"value": value, "ok": True})


def test_json_of_any_form_is_fine() -> None:
    for value in (2**63 - 1, -(2**63), 1.5, float("inf"), None, "", "é\0\n", [], {}, [[{"": []}]], nested(30)):
        assert holds("dep.ok", dep={"value": value, "ok": True})


def test_a_large_object_is_no_obstacle_to_a_simple_question() -> None:
    large = {"data": {f"k{n}": "x" * 100 for n in range(10_000)}, "status": DATABASE["status"]}
    assert holds("dep.status.phase == 'Ready' && dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", dep=large)


def test_an_object_as_variable_may_be_anything() -> None:
    assert holds("dep == null", dep=None)
    assert holds("dep == 3", dep=3)


def test_arguments_are_not_changed() -> None:
    before = repr(DATABASE)
    holds("dep.status.conditions.map(c, c.type).size() == 2")
    assert repr(DATABASE) == before


def test_equal_texts_are_compiled_once() -> None:
    assert compile_expression("self.once == 1") is compile_expression("self.once == 1")


# -- the library ----------------------------------------------------------------------------------------------------


def test_the_library_is_loaded_with_the_first_expression() -> None:
    script = (
        "import sys; from cvstate_operator.vital.language import expression; assert 'cel_expr_python' not in sys.modules\n"
        "expression.compile_expression('true'); assert 'cel_expr_python' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
