"""PromQL, before it is asked.

Aspects: which queries are accepted · where a fault is told to be · plain selectors · windows put in · selectors found, with what they see of the past ·
texts written anew, quoted · hostile ones: length, depth, operators, what is no text · loading the library. That Prometheus takes what is made here is
tested against a real one (tests/integration/test_prometheus.py).
"""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.vital import MAX_QUERY
from cvstate_operator.vital.language import promql
from cvstate_operator.vital.language.promql import MAX_SELECTORS, PromqlError
from cvstate_operator.vital.language.promql_text import MAX_DEPTH, MAX_OPERATORS

ACCEPTED = [
    "up",
    'up{job="a",instance!~"b.*"}',
    "sum by (job) (rate(x[5m])) / on (job) group_left sum(rate(y[5m])) by (job)",
    "max_over_time(rate(x[5m])[1h:1m] offset 5m)",
    "histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))",
    "time() - max(last_success)",
    "scalar(up)",
    "1",
    "up or vector(0)",
    "up # a note\n> 0",
    '{"a metric", "a label"="x"}',
    "x @ end() offset -5m",
    "((up))",
    "-up",
    'x{a="it\'s {{ fine }} # here ("}',
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_gives_numbers_is_accepted(text: str) -> None:
    promql.check(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("# nothing", "there is no expression"),
        ("x[5m]", "a range vector"),
        ("(x[5m])", "a range vector"),
        ("x[1h:1m]", "a range vector"),
        ('"x"', "a text"),
        ('("x")', "a text"),
        ("rate(x[{{.window}}])", "column 8: {{.window}} has no meaning here"),
        ("sum(rate(x[{{ .window }}]))", "column 12: {{.window}}"),
        ("rate(x[5m]", "column 5: this ( is not closed"),
        ("rate(x[5m)", "column 10: this ) closes no bracket"),
        ("up)", "column 3: this ) closes no bracket"),
        ('up{a="b}', 'column 6: this " is not closed'),
        ("1 +\n  rate(up)", "line 2, column 3: expected type matrix in call to function 'rate'"),
        ("sum(a) + foo(x)", "column 10: unknown function with name 'foo'"),
        ("sum(rate(a[5m]) rate(b[5m]))", "column 17: makes no sense here"),
        ("a b", "column 3: makes no sense here"),
        ("sum by (a) (x) y", "column 16: makes no sense here"),
        ("sum by (a) (rate(up))", "column 13: expected type matrix"),
        ("x{a=~'('}", "illegal regex"),
        ("{a=~'.*'}", "at least one non-empty matcher"),
        ("1 > 2", "must use BOOL modifier"),
        ('{a="b" or c="d"}', "no PromQL"),
        ("x[5m] smoothed", "makes no sense here"),
        ("x @ -5", "column 5: a time before 1970"),
        ("x @ 1e300", "too far away"),
        ("x @ NaN", "out of bounds"),
        ("x @ 9e15", "too far away"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(PromqlError) as caught:
        promql.check(text)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("up", True),
        ('up{job="a"}', True),
        ('{__name__="up"}', True),
        ("  up # a note", True),
        ("(up)", False),
        ("-up", False),
        ("up offset 5m", False),
        ("up @ 5", False),
        ("up[5m]", False),
        ("sum(up)", False),
        ("1", False),
        ("up{", False),
        ("up[{{.window}}]", False),
        ("", False),
    ],
)
def test_only_a_plain_selector_is_one(text: str, expected: bool) -> None:
    assert promql.is_selector(text) is expected


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("x", "5m", "sum(increase(x[5m]))"),
        ("x{code!~'5..'} # all that went well", "1h30m", 'sum(increase(x{code!~"5.."}[1h30m]))'),
        ('{"a metric"}', "30d", 'sum(increase({__name__="a metric"}[30d]))'),
        ("sum(increase(x[{{.window}}]))", "5m", "sum(increase(x[5m]))"),
        ("sum(rate(x[{{.window}}])) / sum(rate(y[{{ .window }}]))", "2592000s", "sum(rate(x[2592000s])) / sum(rate(y[2592000s]))"),
        ("max_over_time(x[{{.window}}:1m])", "1d", "max_over_time(x[1d:1m])"),
        ('sum(good:rate{{.window}}{job="a"})', "1h", 'sum(good:rate1h{job="a"})'),
    ],
)
def test_a_window_is_put_where_it_belongs(text: str, window: str, expected: str) -> None:
    made = promql.over(text, window)
    assert made == expected
    promql.check(made)


@pytest.mark.parametrize(
    ("text", "window", "words"),
    [
        ("sum(x)", "5m", "put the mark where the time belongs"),
        ("x offset 5m", "5m", "neither a selector nor"),
        ("1", "5m", "neither a selector nor"),
        ("x[{{.window}}]", "5m", "a range vector"),
        ("rate(x[{{.window}}]", "5m", "column 5: this ( is not closed"),
        ("rate(x_{{.window}})", "5m", "expected type matrix"),
        ("x{", "5m", "column 2: this { is not closed"),
        ("x", "1.5h", "no time of Prometheus"),
        ("x", "", "no time of Prometheus"),
        ("x", "m5", "no time of Prometheus"),
        ("x", "5m]) or vector(1", "no time of Prometheus"),
        ("sum(rate(x[{{.window}}]))", "0s", "must be greater than 0"),
    ],
)
def test_what_has_no_place_for_a_window_is_refused(text: str, window: str, words: str) -> None:
    with pytest.raises(PromqlError) as caught:
        promql.over(text, window)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["1", "time()", "vector(1)", "pi() * 2", "month()"])
def test_without_a_selector_nothing_is_asked(text: str) -> None:
    assert promql.newest_sample(text) is None


def asked(text: str) -> list[str]:
    """What is asked about each selector of `text`."""
    whole = promql.newest_sample(text) or ""
    promql.check(whole)
    parts = whole.removeprefix("label_replace(").split(" or label_replace(")
    for number, part in enumerate(parts):
        assert part.endswith(f', "cvstate_selector", "{number}", "", "")')
    return [part.partition(', "cvstate_selector"')[0].removeprefix("(").removesuffix(")") for part in parts]


def searched(selector: str, *steps: str, where: str = "") -> str:
    return " or ".join(
        [f"max(timestamp({selector}{where}))", *(f"max(max_over_time(timestamp({selector})[{step}]{where}))" for step in steps)]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", [searched("x")]),
        ("sum(x) or vector(0)", [searched("x")]),
        ("x / y", [searched("x"), searched("y")]),
        ("x / x", [searched("x")]),
        ("rate(x[5m])", [searched("x", "300s:15s")]),
        ("rate(x[1h])", [searched("x", "600s:15s", "3600s:60s")]),
        ("rate(x[5m]) / rate(x[1h])", [searched("x", "600s:15s", "3600s:60s")]),
        ("rate(x[2s])", [searched("x", "2s:500ms")]),
        ("rate(x[1h]) / rate(x[5m])", [searched("x", "600s:15s", "3600s:60s")]),
        ("max_over_time(x[2m:])", [searched("x", "120s:15s")]),
        ("max_over_time(rate(x[2m])[3m:1m])", [searched("x", "300s:15s")]),
        ("topk(scalar(n), x)", [searched("n"), searched("x")]),
        ("quantile by (a) (0.9, x)", [searched("x")]),
        ('label_replace(x, "a", "b", "c", "d")', [searched("x")]),
        ('info(x, {a="b"})', [searched("x")]),
        ("absent(-(x))", [searched("x")]),
        ('{__name__="x", a="b"}', [searched('{__name__="x",a="b"}')]),
        ("x @ end()", [searched("x")]),
    ],
)
def test_each_selector_is_asked_for_its_newest_sample(text: str, expected: list[str]) -> None:
    assert asked(text) == expected


@pytest.mark.parametrize(
    ("text", "where", "shift"),
    [
        ("x offset 5m", " offset 300s", " + 300.000"),
        ("x offset -5m", " offset -300s", " + -300.000"),
        ("x @ end() offset 5m", " offset 300s", " + 300.000"),
    ],
)
def test_data_of_an_offset_is_as_old_as_it_was_then(text: str, where: str, shift: str) -> None:
    assert asked(text) == [searched("x", where=where) + shift]


def test_what_lives_is_asked_for_cheaply() -> None:
    fresh = promql.freshness("rate(x[1h]) / y")
    assert fresh
    assert (fresh.selectors, fresh.living) == (2, promql.newest_sample("x / y"))
    assert fresh.newest == promql.newest_sample("rate(x[1h]) / y")


def test_offsets_of_subqueries_add_up() -> None:
    (question,) = asked("max_over_time((x offset 5m)[2m:] offset 10m)")
    assert question == "max(timestamp(x offset 900s)) + 900.000 or max(max_over_time(timestamp(x)[120s:15s] offset 900s)) + 900.000"


def test_a_fixed_time_counts_only_where_nothing_else_moves() -> None:
    assert asked("x - x @ 1700000000") == [searched("x")]
    assert asked("x @ 1700000000 offset 1m") == [searched("x", where=" @ 1700000000.000 offset 60s")]


def test_a_fixed_time_inside_a_subquery_is_fixed() -> None:
    assert asked("max_over_time((x @ 1700000000)[1h:] offset 10m)") == [searched("x", where=" @ 1700000000.000")]


@pytest.mark.parametrize("text", ['{__name__=~"a|b"}', '{job="x"}', 'rate({__name__=~"a|b"}[2m])'])
def test_several_metrics_are_not_asked_for_their_timestamps_which_prometheus_cannot_tell(text: str) -> None:
    (question,) = asked(text)
    assert "timestamp(" not in question
    assert "time() - 15 * group(last_over_time(" in question


def test_a_selector_is_written_so_that_its_values_stay_values() -> None:
    value = 'a"b\\c\nd\te'
    text = 'x{a="a\\"b\\\\c\\nd\\te"}'
    (question,) = asked(text)
    assert question == 'max(timestamp(x{a="a\\"b\\\\c\\nd\\x09e"}))'
    assert promql.newest_sample(f"x{{a='{value.replace(chr(92), chr(92) * 2).replace(chr(10), chr(92) + 'n')}'}}") == promql.newest_sample(
        text
    )


@given(st.text(max_size=20))
def test_no_value_of_a_label_breaks_out_of_its_quotes(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    try:
        promql.check(f'x{{a="{quoted}"}}')
    except PromqlError:
        return
    made = promql.over(f'x{{a="{quoted}"}}', "5m")
    promql.check(made)
    again = made.removeprefix("sum(increase(").removesuffix("[5m]))")
    assert promql.is_selector(again)
    assert promql.over(again, "5m") == made


def fault_of(reads: Callable[[str], object], text: str) -> str:
    """What is wrong with a text; empty if nothing is."""
    try:
        reads(text)
    except PromqlError as exc:
        return str(exc)
    return ""


@given(st.text(max_size=60) | st.text(alphabet="x{}[]()\"'`\\=~!+-,.:@#5m \n", max_size=60))
def test_no_text_makes_more_than_a_refusal(text: str) -> None:
    for reads in (promql.check, promql.newest_sample, promql.is_selector, lambda each: promql.over(each, "5m")):
        assert fault_of(reads, text).isprintable()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * (MAX_QUERY + 1), f"longer than {MAX_QUERY}"),
        ("(" * 2000 + "x" + ")" * 2000, f"more than {MAX_DEPTH} brackets"),
        ("-(" * 1300 + "x" + ")" * 1300, f"more than {MAX_DEPTH} brackets"),
        ("-" * 4000 + "x", f"more than {MAX_OPERATORS} operators"),
        ("^".join(["x"] * 2000), f"more than {MAX_OPERATORS} operators"),
        (" or ".join(["x"] * 800), f"more than {MAX_OPERATORS} operators"),
        (" OR ".join(["x"] * 800), f"more than {MAX_OPERATORS} operators"),
        ("+".join(f"x{n}" for n in range(MAX_SELECTORS + 1)), f"more than {MAX_SELECTORS} different selectors"),
        ("x{a='\ud800'}", "column 6: this is no character"),
    ],
)
def test_what_is_too_much_is_refused_before_the_parser_sees_it(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(PromqlError) as caught:
        promql.check(text)
    assert words in str(caught.value)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "text",
    [
        "-(" * (MAX_DEPTH - 1) + "x" + ")" * (MAX_DEPTH - 1),
        "-(" * (MAX_DEPTH - 1) + "x y" + ")" * (MAX_DEPTH - 1),
        "+".join(["x"] * MAX_OPERATORS),
        "^".join(["x"] * MAX_OPERATORS) + " y",
        "sum(" + ",".join(["abs(x)"] * 500) + ")",
        "x{" + ",".join(f'a{n}=~"a*"' for n in range(300)) + "}",
        "x y " * 1000,
    ],
)
def test_the_most_that_is_read_is_read_fast(text: str) -> None:
    began = time.process_time()
    fault = fault_of(promql.newest_sample, text)
    assert time.process_time() - began < 1
    assert not fault or fault.startswith("column")


def test_a_text_and_its_windows_may_be_longer_than_what_was_written() -> None:
    text = "+".join(["rate(x[{{.window}}])"] * 100)
    assert len(text) > MAX_QUERY / 2
    promql.newest_sample(promql.over(text, "123456789s"))


def test_the_library_is_loaded_with_the_first_query() -> None:
    script = (
        "import sys; from cvstate_operator.vital.language import promql; assert 'promql_parser' not in sys.modules; "
        "promql.check('up'); assert 'promql_parser' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
