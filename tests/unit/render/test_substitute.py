"""Variables in texts.

Aspects: the forms of Flux · what is set, empty or missing · what is text and stays text · what is refused · sizes · no value is looked at again.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.render.substitute import MAX_EXPRESSIONS, MAX_PATTERN_CHARACTERS, MAX_VALUE_CHARACTERS, Variables

VALUES = {
    "name": "abcABC123ABCabc",
    "file": "bash.string.txt",
    "path": "/home/me/file",
    "word": "hello World",
    "empty": "",
    "n": "3",
    "_A1": "x",
    "umlaut": "über",
}


def apply(text: str, *, strict: bool = True, **values: str) -> str:
    return Variables({**VALUES, **values}, strict).apply(text)


def outcome(text: str, **values: str) -> str:
    """The result, or the message of the refusal."""
    try:
        return apply(text, **values)
    except errors.BuildFailedError as exc:
        return repr(exc.message)


# The forms that Flux documents, with the results of its own package or of bash.
FORMS = [
    ("${n}", "3"),
    ("${_A1}", "x"),
    ("a${n}b${n}${n}", "a3b33"),
    ("${#name}", "15"),
    ("${#empty}", "0"),
    ("${#umlaut}", "4"),
    ("${word^}", "Hello World"),
    ("${word^^}", "HELLO WORLD"),
    ("${name,}", "abcABC123ABCabc"),
    ("${word,,}", "hello world"),
    ("${empty^}", ""),
    ("${umlaut^}", "Über"),
    ("${path:6}", "me/file"),
    ("${path:6:2}", "me"),
    ("${path:0:1}", "/"),
    ("${path:99}", ""),
    ("${path:9:99}", "file"),
    ("${name:1:-1}", "bcABC123ABCab"),
    ("${n:0:-5}", ""),
    ("${file#*.}", "string.txt"),
    ("${file##*.}", "txt"),
    ("${file%.*}", "bash.string"),
    ("${file%%.*}", "bash"),
    ("${path#*/}", "home/me/file"),
    ("${path##*/}", "file"),
    ("${path%/*}", "/home/me"),
    ("${name#abc}", "ABC123ABCabc"),
    ("${name#xyz}", "abcABC123ABCabc"),
    ("${name#a?c}", "ABC123ABCabc"),
    ("${name#[a-c][!0-9]}", "cABC123ABCabc"),
    ("${name#[^a]}", "abcABC123ABCabc"),
    ("${name%[a-c]c}", "abcABC123ABCa"),
    ("${name##*[0-9]}", "ABCabc"),
    ("${file#*\\.}", "string.txt"),
    ("${empty#*}", ""),
    ("${name/ABC/x}", "abcx123ABCabc"),
    ("${name//ABC/x}", "abcx123xabc"),
    ("${name//ABC/}", "abc123abc"),
    ("${name/#abc/x}", "xABC123ABCabc"),
    ("${name/#ABC/x}", "abcABC123ABCabc"),
    ("${name/%abc/x}", "abcABC123ABCx"),
    ("${name/#abc/}", "ABC123ABCabc"),
    ("${n/#/v}", "v3"),
    ("${n/%/.0}", "3.0"),
    ("${path//\\//-}", "-home-me-file"),
    ("${file/./a/b}", "basha/bstring.txt"),
    ("${name/a*c/x}", "abcABC123ABCabc"),
    ("${n:=d}", "3"),
    ("${n:-d}", "3"),
    ("${n=d}", "3"),
    ("${n-d}", "3"),
    ("${empty:=d}", "d"),
    ("${empty:-d}", "d"),
    ("${empty=d}", ""),
    ("${empty-d}", ""),
    ("${unset:=d}", "d"),
    ("${unset:-d}", "d"),
    ("${unset=d}", "d"),
    ("${unset-d}", "d"),
    ("${unset:=}", ""),
    ("${unset:=a: b, #{c}", "a: b, #{c"),
    ("${unset:=${n}}", "3"),
    ("${unset:=a${n}b${word^^}c}", "a3bHELLO WORLDc"),
    ("${unset:=${other:=${third:-x}}}", "x"),
    ("${n:=${unset}}", "3"),
]


@pytest.mark.parametrize(("text", "result"), FORMS, ids=[text for text, _ in FORMS])
def test_each_form_gives_what_flux_documents(text: str, result: str) -> None:
    assert apply(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("$n $(n) $$ $$(n) {n} %n%", "$n $(n) $$ $$(n) {n} %n%"),
        ("$${n}", "${n}"),
        ("$${n:=$(id)} $${", "${n:=$(id)} ${"),
        ("$$${n}", "$3"),
        ("$$$${n}", "$${n}"),
        ("a}b", "a}b"),
        ("$${a ${n}", "${a 3"),
    ],
)
def test_what_is_meant_as_text_stays_text(text: str, result: str) -> None:
    assert apply(text) == result


@pytest.mark.parametrize(
    "text", ["${unset}", "${#unset}", "${unset^^}", "${unset:0}", "${unset#x}", "${unset/a/b}", "a ${n} ${unset}", "${other:=${unset}}"]
)
def test_a_variable_without_value_is_named_with_its_remedy(text: str) -> None:
    with pytest.raises(errors.VariableMissingError) as caught:
        apply(text)
    assert "variable unset has no value" in caught.value.message
    assert "render.substitute" in caught.value.message
    assert "${unset:=default}" in caught.value.message


@pytest.mark.parametrize(("text", "result"), [("a${unset}b", "ab"), ("${#unset}", "0"), ("${unset^^}", ""), ("${unset:=d}", "d")])
def test_without_strictness_it_is_empty(text: str, result: str) -> None:
    assert apply(text, strict=False) == result


REFUSED = [
    "${a${b}}",
    "${}",
    "${ n }",
    "${n }",
    "${1}",
    "${@}",
    "${!n}",
    "${n+x}",
    "${n:+x}",
    "${n?x}",
    "${n:?x}",
    "${n:}",
    "${n:x}",
    "${n: -1}",
    "${n:1:x}",
    "${n^x}",
    "${n^,}",
    "${n@Q}",
    "${n[0]}",
    "${n/x}",
    "${n//}",
    "${n///x}",
    "${n#}${n#[z-a]}",
    "${n.x}",
    "${größe}",
    "${n#${n}}",
    "${n/3/${n}}",
    "${unset:-$(id)}",
    "${$(id)}",
    "${a:=${b:=${c:=${d:=${e:=${f:=x}}}}}}",
    "${n",
    "a ${unset:=${n}",
    "${n#" + "?" * (MAX_PATTERN_CHARACTERS + 1) + "}",
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("text", REFUSED, ids=[text[:40] for text in REFUSED])
def test_any_other_form_is_refused_and_shown(text: str, strict: bool) -> None:
    with pytest.raises(errors.BuildFailedError) as caught:
        apply(text, strict=strict)
    assert caught.value.reason == "BuildFailed"
    assert "${" in caught.value.message
    assert caught.value.message.isprintable()


def test_a_refusal_does_not_show_values() -> None:
    with pytest.raises(errors.BuildFailedError) as caught:
        apply("${token?x}", token="s3cret")
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("text", ["pa${ssW0rd", "${a:?ssW0rd}", "${a ssW0rd}", "${$(ssW0rd)}", "${9ssW0rd}"])
def test_a_refusal_does_not_show_what_may_be_part_of_a_password(text: str) -> None:
    with pytest.raises(errors.BuildFailedError) as caught:
        apply(text, a="x")
    assert "ssW0rd" not in caught.value.message


@given(st.text(max_size=50))
def test_a_value_is_never_looked_at_again(value: str) -> None:
    kept = value.rstrip("\n")
    assert apply("<${v}>", v=value) == f"<{kept}>"
    assert apply("<${unset:=${v}}>", v=value) == f"<{kept}>"


def test_expressions_inside_values_stay_as_they_are() -> None:
    assert apply("${a} ${b}", a="${b}", b="${a} $(id) $${c}") == "${b} ${a} $(id) $${c}"


def test_newlines_at_the_end_of_a_value_are_left_out_and_others_kept() -> None:
    assert apply("[${v}]", v="a\nb\n\n") == "[a\nb]"


@given(st.text(st.sampled_from("${}:=-#%/^,a1 \\[]*?()\n"), max_size=40))
def test_no_text_does_anything_but_give_a_text_or_one_of_our_errors(text: str) -> None:
    assert outcome(text, a="1").replace("\n", "").isprintable()


def matches(value: str, pattern: str) -> bool:
    """Whether the whole of `value` matches, by trying everything."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(matches(value[cut:], pattern[1:]) for cut in range(len(value) + 1))
    return bool(value) and pattern[0] in (value[0], "?") and matches(value[1:], pattern[1:])


@given(st.text("ab", max_size=7), st.text("ab*?", min_size=1, max_size=5).filter(lambda text: text[0] != "#"))
def test_patterns_take_away_the_shortest_and_the_longest_match(value: str, pattern: str) -> None:
    ends = [end for end in range(1, len(value) + 1) if matches(value[:end], pattern)] or [0]
    starts = [start for start in range(len(value)) if matches(value[start:], pattern)] or [len(value)]
    assert apply(f"${{v#{pattern}}}", v=value) == value[min(ends) :]
    assert apply(f"${{v##{pattern}}}", v=value) == value[max(ends) :]
    assert apply(f"${{v%{pattern}}}", v=value) == value[: max(starts)]
    assert apply(f"${{v%%{pattern}}}", v=value) == value[: min(starts)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param("${v}", {"v": "x" * 10_000_000}, id="a-value-of-10-MB"),
        pytest.param("${v//a/" + "b" * 1000 + "}", {"v": "a" * 2000}, id="a-replacement-that-multiplies"),
        pytest.param("${v}" * 30, {"v": "x" * MAX_VALUE_CHARACTERS}, id="a-text-of-30-MiB"),
        pytest.param("$${" * (MAX_EXPRESSIONS + 1), {}, id="a-text-of-half-a-million-expressions"),
        pytest.param("${u:=" + "${v}" * 30 + "}", {"v": "x" * MAX_VALUE_CHARACTERS}, id="a-default-of-30-MiB"),
    ],
)
def test_what_would_become_too_large_is_refused(text: str, values: dict[str, str]) -> None:
    with pytest.raises(errors.RenderTooLargeError):
        apply(text, **values)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("$" * 1_000_000, id="dollars"),
        pytest.param("${" * 500_000, id="open-braces"),
        pytest.param("${n}" * 200_000, id="many"),
        pytest.param("${n:=" * 200_000 + "}" * 200_000, id="nested"),
        pytest.param("${v#" + "*a" * 100 + "b}", id="stars"),
        pytest.param("${v%%" + "*?" * 100 + "b}", id="stars-from-the-end"),
    ],
)
def test_hostile_texts_take_time_in_proportion_to_their_length(text: str) -> None:
    started = time.process_time()
    outcome(text, v="a" * 100_000)
    assert time.process_time() - started < 5
