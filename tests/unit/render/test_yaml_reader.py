"""The YAML reader.

Aspects: structure and places · merge keys · what is refused, with line and document · hostile files · a bad document harms no good one · JSON ·
templates.
"""

import json
import resource
import tracemalloc
from decimal import Decimal
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cvstate_operator.render.placeholders import Template
from cvstate_operator.render.substitute import MAX_EXPRESSIONS
from cvstate_operator.render.yaml_reader import MAX_BOMBS, Limits, read
from cvstate_operator.render.yaml_text import YamlError

DEFAULT = Limits()
SMALL = Limits(max_bytes=10_000, max_nodes=1000, max_depth=10, max_documents=20)


def values(text: str | bytes) -> list[Any]:
    """All documents of a file that has no fault."""
    documents, faults = read(text.encode() if isinstance(text, str) else text)
    assert faults == ()
    return [document.value for document in documents]


def fault(text: str | bytes, limits: Limits = DEFAULT) -> YamlError:
    """The only fault of a file."""
    _, faults = read(text.encode() if isinstance(text, str) else text, limits=limits)
    (only,) = faults
    return only


# -- structure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: 1\nb: [x, {c: d}]", {"a": 1, "b": ["x", {"c": "d"}]}, id="block-and-flow"),
        pytest.param("- 1\n- - 2", [1, [2]], id="nested-list"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="literal"),
        pytest.param("a: >-\n  x\n  y\n", {"a": "x y"}, id="folded"),
        pytest.param("a: 'yes'\nb: \"1\"", {"a": "yes", "b": "1"}, id="quoted-scalars-are-texts"),
        pytest.param("a: |-\n  1", {"a": "1"}, id="block-scalars-are-texts"),
        pytest.param("a:\nb: ~", {"a": None, "b": None}, id="nulls"),
        pytest.param("1: a\ntrue: b\n1.5: c", {"1": "a", "true": "b", "1.5": "c"}, id="keys-become-texts"),
        pytest.param("? a\n: b", {"a": "b"}, id="explicit-key"),
        pytest.param("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}, id="alias"),
        pytest.param("a: &x 5\n*x : 6", {"a": 5, "5": 6}, id="alias-as-a-key"),
        pytest.param("a: &x 1e6\n*x : 6", {"a": 1000000, "1e+06": 6}, id="alias-to-a-number-as-a-key"),
        pytest.param("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}, id="anchor-defined-again"),
        pytest.param(
            "a: &x {b: &x {c: 1}, d: *x}\ne: *x", {"a": {"b": {"c": 1}, "d": {"c": 1}}, "e": {"c": 1}}, id="anchor-defined-again-inside"
        ),
        pytest.param("!!str 1: a\n!!int '2': b\n! 3: c", {"1": "a", "2": "b", "3": "c"}, id="tagged-keys"),
        pytest.param("a: |\n  x", {"a": "x\n"}, id="literal-at-the-end-of-a-file-without-newline"),
        pytest.param("a: |-\n  x", {"a": "x"}, id="stripped-literal-at-the-end-of-a-file-without-newline"),
        pytest.param("a: |\r\n  x\r\r\n  y\r\n", {"a": "x\ny\n"}, id="doubled-windows-line-ends"),
        pytest.param("a: !!str 1\nb: !!int '1'\nc: ! 2", {"a": "1", "b": 1, "c": "2"}, id="core-tags"),
        pytest.param("!!map {a: !!seq [1]}", {"a": [1]}, id="tags-of-containers"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="byte-order-mark-at-the-start"),
        pytest.param("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}, id="directives"),
        pytest.param("# comment\na: 1 # more\r\nb: 2\r\n", {"a": 1, "b": 2}, id="comments-and-windows-line-ends"),
        pytest.param('{"a": [1, 2.5, "x\\n\\u00e9", true, null]}', {"a": [1, 2.5, "x\né", True, None]}, id="json"),
        pytest.param("a: 世界\n🎉: b", {"a": "世界", "🎉": "b"}, id="any-letters"),
        pytest.param("just a text", "just a text", id="scalar-as-a-document"),
    ],
)
def test_a_document_is_read_as_plain_data(text: str, value: Any) -> None:
    assert values(text) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("d: &d {a: 1, b: 2}\nx: {<<: *d, b: 3}", {"a": 1, "b": 3}, id="own-key-after"),
        pytest.param("d: &d {a: 1, b: 2}\nx: {b: 3, <<: *d}", {"a": 1, "b": 3}, id="own-key-before"),
        pytest.param("d: [&d {a: 1}, &e {a: 2, c: 4}]\nx: {<<: [*d, *e]}", {"a": 1, "c": 4}, id="earlier-map-wins"),
        pytest.param("d: 0\nx: {<<: {a: 1}}", {"a": 1}, id="map-in-place"),
        pytest.param("d: 0\nx: {'<<': {a: 1}}", {"<<": {"a": 1}}, id="quoted-it-is-a-key"),
        pytest.param("d: &d {a: 1}\nx: {!!merge <<: *d}", {"a": 1}, id="tagged-as-yq-writes-it"),
        pytest.param("d: &d {a: 1}\ne: &e {<<: *d, b: 2}\nx: {<<: *e, c: 3}", {"a": 1, "b": 2, "c": 3}, id="merge-of-a-merge"),
        pytest.param("d: 0\nx: {<<: [], a: 1}", {"a": 1}, id="of-nothing"),
        pytest.param("d: 0\nx: [<<]", ["<<"], id="as-a-value-it-is-a-text"),
    ],
)
def test_merge_keys_fill_in_what_a_map_does_not_say(text: str, value: Any) -> None:
    (document,) = values(text)
    assert document["x"] == value


def test_documents_are_numbered_and_know_their_line() -> None:
    documents, _ = read(b"# head\n---\n\na: 1\n---\n# nothing here\n---\nb: 2\n---\n\nscalar\n---\n- item\n")
    assert [(d.number, d.line, d.value) for d in documents] == [(1, 4, {"a": 1}), (2, 8, {"b": 2}), (3, 11, "scalar"), (4, 13, ["item"])]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "---\n", "---\n---\n# x\n---\n...\n", "---" + "\n---" * 19_000])
def test_a_file_without_content_holds_no_documents(text: str) -> None:
    assert values(text) == []


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        pytest.param("a: 1\nb: 2\na: 3", "DuplicateKey", 3, id="duplicate-key"),
        pytest.param("a:\n  b: 1\n  'b': 2", "DuplicateKey", 3, id="duplicate-key-quoted"),
        pytest.param("1: a\n'1': b", "DuplicateKey", 2, id="duplicate-key-as-text-and-number"),
        pytest.param("a: &k b\nb: 1\n*k : 2", "DuplicateKey", 3, id="duplicate-key-by-alias"),
        pytest.param("d: &d {a: 1}\nx:\n  <<: *d\n  <<: *d", "DuplicateKey", 4, id="duplicate-merge"),
        pytest.param("d: &d [{a: 1}]\nx:\n  <<: *d", "YAMLInvalid", 3, id="merge-of-an-alias-to-a-list"),
        pytest.param("b: &b 1\na: &b [*b]", "YAMLInvalid", 2, id="alias-to-itself-by-a-name-that-was-taken"),
        pytest.param("a: 1\n? - x\n  - y\n: b", "YAMLInvalid", 2, id="list-of-lines-as-a-key"),
        pytest.param("a: &x [1]\n*x : b", "YAMLInvalid", 2, id="alias-to-a-list-as-a-key"),
        pytest.param("a: 1\n18446744073709551615: b", "YAMLInvalid", 2, id="unsigned-integer-as-a-key"),
        pytest.param("1234567.8: b", "YAMLInvalid", 1, id="number-as-a-key-that-kubectl-shortens"),
        pytest.param("a: &a [*a]", "YAMLInvalid", 1, id="alias-to-itself"),
        pytest.param("a: 1\nb: *nobody", "YAMLInvalid", 2, id="unknown-alias"),
        pytest.param("a: !!python/object/apply:os.system ['id']", "YAMLInvalid", 1, id="python-tag"),
        pytest.param("a: 1\nb: !vault x", "YAMLInvalid", 2, id="tag-of-another-tool"),
        pytest.param("!vault x: 1", "YAMLInvalid", 1, id="tagged-key-of-another-tool"),
        pytest.param("a: !!merge x", "YAMLInvalid", 1, id="merge-tag-on-a-value"),
        pytest.param("a: !!timestamp 2020-01-01", "YAMLInvalid", 1, id="timestamp"),
        pytest.param("a: !!binary aGk=", "YAMLInvalid", 1, id="binary"),
        pytest.param("a: !!set {x}", "YAMLInvalid", 1, id="set"),
        pytest.param("a: !!seq {x: 1}", "YAMLInvalid", 1, id="tag-of-another-type"),
        pytest.param("a: !!int x", "YAMLInvalid", 1, id="value-that-is-not-as-tagged"),
        pytest.param("a: 1\nb: .nan", "YAMLInvalid", 2, id="not-a-number"),
        pytest.param("a: 1e400", "YAMLInvalid", 1, id="number-out-of-range"),
        pytest.param("a: " + "9" * 5000, "YAMLInvalid", 1, id="endless-number"),
        pytest.param("? [a, b]\n: c", "YAMLInvalid", 1, id="list-as-a-key"),
        pytest.param("a: 1\n~: c", "YAMLInvalid", 2, id="null-as-a-key"),
        pytest.param("a: 1\nb:\n  <<: 5", "YAMLInvalid", 3, id="merge-of-a-scalar"),
        pytest.param("<<: [{a: 1}, 5]", "YAMLInvalid", 1, id="merge-of-a-list-with-a-scalar"),
        pytest.param("a: 1\n\tb: 2", "YAMLInvalid", 2, id="tab-as-indentation"),
        pytest.param("a: 1\nb: ]", "YAMLInvalid", 2, id="stray-bracket"),
        pytest.param("a: 'x", "YAMLInvalid", 1, id="open-quote"),
        pytest.param("a: b: c", "YAMLInvalid", 1, id="two-colons"),
        pytest.param("a: 1\nb: x\0y", "YAMLInvalid", 2, id="nul"),
        pytest.param("a: 1\nb: \x1b[31m", "YAMLInvalid", 2, id="terminal-escape"),
        pytest.param(b"a: 1\nb: caf\xe9\n", "YAMLInvalid", 2, id="latin-1"),
        pytest.param(b"a: \xed\xa0\x80", "YAMLInvalid", 1, id="lone-surrogate"),
        pytest.param("a: 1".encode("utf-16"), "YAMLInvalid", 1, id="utf-16"),
        pytest.param('a: 1\nb: "\\ud800"', "YAMLInvalid", 2, id="escaped-lone-surrogate"),
    ],
)
def test_a_fault_is_told_with_its_line(text: str | bytes, reason: str, line: int) -> None:
    found = fault(text)
    assert (found.reason, found.line, found.document) == (reason, line, 1)
    assert found.message.isprintable()
    assert len(found.message) < 350


def test_a_duplicate_key_names_both_lines() -> None:
    found = fault("x:\n  image: a\n  y: 1\n  image: b\n")
    assert "'image'" in found.message
    assert "line 2" in found.message
    assert found.line == 4


def test_the_lines_of_a_duplicate_key_are_those_of_the_key_and_not_of_the_end_of_its_value() -> None:
    found = fault("spec:\n  a: 1\n  b: 2\nmeta: 1\nspec:\n  c: 1\n  d: 2\nz: 1\n")
    assert "line 1" in found.message
    assert found.line == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\n---\n\ufeffb: 2\n", 3), ("a: 1\n\ufeffb: 2\n", 2), ("\ufeff\ufeffa: 1", 1), ("\r\ufeffa: 1", 1)],
    ids=["document", "line", "second-at-the-start", "after-another-line-break"],
)
def test_a_byte_order_mark_inside_a_file_is_refused(text: str, line: int) -> None:
    # libyaml skips it, kubectl takes it for a letter of the key.
    found = fault(text)
    assert (found.reason, found.line) == ("YAMLInvalid", line)


def test_a_byte_order_mark_within_a_text_is_a_letter() -> None:
    assert values("a: x\ufeffy") == [{"a": "x\ufeffy"}]


# -- hostile files -----------------------------------------------------------------------------------------------------


def lines(*more: str) -> str:
    return "\n".join(more) + "\n"


ALIAS_BOMB = lines(
    "a: &a [x,x,x,x,x,x,x,x,x]", *(f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
)
MERGE_BOMB = lines(
    "a0: &a0 {" + ", ".join(f"k{n}: v" for n in range(50)) + "}",
    *(f"a{n}: &a{n} {{<<: *a{n - 1}, " + ", ".join(f"x{n}_{m}: *a{n - 1}" for m in range(9)) + "}" for n in range(1, 10)),
)
DEEP_ALIASES = lines("a0: &a0 " + "[" * 90 + "]" * 90, *(f"a{n}: &a{n} {'[' * 90}*a{n - 1}{']' * 90}" for n in range(1, 20)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[" * 50_000, "YAMLTooDeep", id="brackets"),
        pytest.param("{a: " * 50_000, "YAMLTooDeep", id="braces"),
        pytest.param("- " * 40_000 + "x", "YAMLTooDeep", id="dashes"),
        pytest.param("".join(" " * n + "a:\n" for n in range(3000)), "YAMLTooDeep", id="indentation"),
        pytest.param('{"a":' * 1000 + "1" + "}" * 1000, "YAMLTooDeep", id="json"),
        pytest.param(ALIAS_BOMB, "YAMLAliasLimit", id="alias-bomb"),
        pytest.param(MERGE_BOMB, "YAMLAliasLimit", id="merge-bomb"),
        pytest.param(DEEP_ALIASES, "YAMLAliasLimit", id="nesting-through-aliases"),
        pytest.param("---\n" * 100_000, "RenderTooLarge", id="too-many-empty-documents"),
        pytest.param("a\n---\n" * 25_000, "RenderTooLarge", id="too-many-documents"),
        pytest.param(b"a: " + b"x" * (20 * 2**20), "RenderTooLarge", id="too-many-bytes"),
        pytest.param("&" + "a" * 100_000 + " x: *" + "a" * 100_000, "YAMLInvalid", id="endless-anchor"),
        pytest.param("%TAG !a! b\n" * 30_000 + "--- x", "YAMLInvalid", id="tag-directives"),
        pytest.param(bytes(range(256)) * 20_000, "YAMLInvalid", id="garbage"),
    ],
)
@pytest.mark.timeout(10)
def test_a_bomb_is_refused_quickly(text: str | bytes, reason: str) -> None:
    assert fault(text).reason == reason


@pytest.mark.parametrize(
    ("rest", "second"),
    [
        pytest.param("b: " + "[" * 100_000, "YAMLTooDeep", id="brackets"),
        pytest.param("b: " + "{a: " * 100_000, "YAMLTooDeep", id="braces"),
        pytest.param("b: [" + "[]," * 1000 + "]", "RenderTooLarge", id="values"),
        pytest.param("b: 'x", "YAMLInvalid", id="syntax"),
    ],
)
@pytest.mark.timeout(10)
def test_what_follows_a_fault_in_its_document_is_skipped_within_the_same_limits(rest: str, second: str) -> None:
    documents, faults = read(f"ok: 1\n---\na: 1\na: 2\n{rest}".encode(), limits=Limits(max_nodes=1000))
    assert [d.value for d in documents] == [{"ok": 1}]
    assert [(f.reason, f.line, f.document) for f in faults] == [("DuplicateKey", 4, 2), (second, 5, 2)]


def test_question_marks_are_keys_that_are_maps_and_then_too_deep() -> None:
    _, faults = read(b"? " * 30_000)
    assert [f.reason for f in faults] == ["YAMLInvalid", "YAMLTooDeep"]


@pytest.mark.parametrize("bomb", [ALIAS_BOMB, MERGE_BOMB, "[" * 1_000_000, "- " * 500_000], ids=["alias", "merge", "brackets", "dashes"])
def test_a_bomb_takes_little_memory(bomb: str) -> None:
    text = bomb.encode()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB; sees what libyaml takes
    tracemalloc.start()
    try:
        read(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(text) + 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 64 * 2**10


def test_nesting_up_to_the_limit_is_fine_and_one_more_is_not() -> None:
    assert values("[" * 100 + "]" * 100)
    assert fault("[" * 101 + "]" * 101).reason == "YAMLTooDeep"


def test_nesting_through_aliases_counts_from_where_they_stand() -> None:
    def nested(levels: int) -> str:
        return f"a: &a {'[' * levels}{']' * levels}\nb: {'[' * 50}*a{']' * 50}\n"

    (document,) = values(nested(49))
    assert orjson.dumps(document)
    assert fault(nested(50)).reason == "YAMLAliasLimit"


def test_aliases_that_stay_small_are_no_bomb() -> None:
    (document,) = values("d: &d {a: 1}\nx: [" + "*d," * 1000 + "]")
    assert document["x"] == [{"a": 1}] * 1000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("a: " + "x" * 10_000, "RenderTooLarge", id="bytes"),
        pytest.param("[" + "1," * 1000 + "]", "RenderTooLarge", id="nodes"),
        pytest.param("[" * 11 + "]" * 11, "YAMLTooDeep", id="depth"),
        pytest.param("---\n" * 21, "RenderTooLarge", id="documents"),
    ],
)
def test_limits_can_be_set(text: str, reason: str) -> None:
    assert fault(text, SMALL).reason == reason


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("a: 1\na: 2", id="duplicate-key"),
        pytest.param("a: !vault x", id="tag"),
        pytest.param("a: *nobody", id="unknown-alias"),
        pytest.param("a: .inf", id="number"),
        pytest.param("? [a]\n: b", id="key"),
        pytest.param(ALIAS_BOMB, id="alias-bomb"),
        pytest.param(DEEP_ALIASES, id="nesting-through-aliases"),
        pytest.param("b: *before", id="alias-into-another-document"),
    ],
)
def test_good_documents_around_a_bad_one_survive(bad: str) -> None:
    documents, faults = read(f"good: &before 1\n---\n{bad}\n---\ngood: 3\n".encode())
    assert [(d.number, d.value) for d in documents] == [(1, {"good": 1}), (3, {"good": 3})]
    assert [f.document for f in faults] == [2]


def test_a_file_of_bombs_is_not_read_to_its_end() -> None:
    documents, faults = read(("---\n" + ALIAS_BOMB).encode() * (MAX_BOMBS + 5) + b"---\ngood: 1\n")
    assert documents == ()
    assert [f.reason for f in faults] == ["YAMLAliasLimit"] * MAX_BOMBS + ["RenderTooLarge"]


def test_after_a_fault_of_syntax_documents_before_it_are_still_there() -> None:
    documents, faults = read(b"a: 1\n---\nb: [1\n---\nc: 3\n")
    assert [d.value for d in documents] == [{"a": 1}]
    assert [(f.reason, f.document) for f in faults] == [("YAMLInvalid", 2)]


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b"%YAML 99999999999999999999.1\n--- x")
@example(b"%TAG ! tag:\n---\n!x y")
@example(b"!<")
@example(b"&")
@example(b"- !!float -\n")
def test_no_bytes_make_the_reader_raise(text: bytes) -> None:
    read(text)


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"#%@`,\n \t~<0.", max_size=80))
def test_no_mixture_of_indicators_makes_the_reader_raise(text: str) -> None:
    documents, faults = read(text.encode())
    for document in documents:
        orjson.dumps(document.value)
    for found in faults:
        assert found.message.isprintable()


# -- JSON and what PyYAML writes ---------------------------------------------------------------------------------------

# YAML knows more line breaks than JSON, and does not allow every character in the clear:
# U+2028, U+2029 and U+0085 are folded like newlines, U+007F to U+009F, U+FEFF, U+FFFE and U+FFFF are refused, and so are surrogates.
FOREIGN_TO_YAML = "".join(map(chr, (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)))
yaml_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=FOREIGN_TO_YAML), max_size=40)
number = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), number, yaml_text),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(yaml_text, inner, max_size=5)),
    max_leaves=30,
)


def as_the_api_server_holds_it(value: Any) -> Any:
    """Whole doubles come back from the API server as integers, with their shortest digits filled up with zeros; so they are read like that."""
    if isinstance(value, float) and value.is_integer():
        whole = int(Decimal(repr(value)))
        return whole if -(2**63) <= whole < 2**64 else value
    if isinstance(value, list):
        return [as_the_api_server_holds_it(item) for item in value]
    if isinstance(value, dict):
        return {key: as_the_api_server_holds_it(item) for key, item in value.items()}
    return value


@given(json_value)
@example({"<<": {"a": 1}, "=": 1, "~": None, "yes": "no"})
@example(['\u0000\u001f\t\n\r"\\/', "- x", "&a", "*a", "!!int 5", "%"])
def test_what_json_says_is_read_as_json_reads_it(value: Any) -> None:
    expected = [] if value is None else [as_the_api_server_holds_it(value)]
    assert values(orjson.dumps(value)) == expected
    assert values(orjson.dumps(value, option=orjson.OPT_INDENT_2)) == expected


@pytest.mark.parametrize("text", ["x\x85y", "x \u2028 y", "x \u2029 y"], ids=ascii)
def test_in_json_a_line_break_that_only_yaml_knows_is_refused(text: str) -> None:
    # libyaml would fold it; kubectl reads a file that begins with a brace as JSON, and keeps it.
    found = fault(b'{"b": 1,\n' + orjson.dumps({"a": text})[1:])
    assert (found.reason, found.line) == ("YAMLInvalid", 2)
    assert values(json.dumps({"a": text})) == [{"a": text}]


@pytest.mark.parametrize(
    "text",
    ['{"a": "\\ud83c"}', '{"a": "\\udf89\\ud83c"}', '{"a": "\x7f"}', '{"' + "k" * 2000 + '": 1}'],
    ids=["lone-surrogate", "surrogates-in-the-wrong-order", "delete", "endless-key"],
)
def test_json_that_yaml_has_no_words_for_is_refused_and_not_misread(text: str) -> None:
    assert fault(text).reason == "YAMLInvalid"


@given(st.text(st.characters(min_codepoint=0x10000), min_size=1, max_size=5), st.text('\\ud83a0" ', max_size=12))
def test_json_may_escape_a_letter_as_a_pair_of_surrogates(letters: str, beside: str) -> None:
    value = {beside + letters + beside: [beside, letters, beside + letters]}
    assert values(json.dumps(value)) == [value]
    assert values("\ufeff\n" + json.dumps(value, indent=1)) == [value]


@pytest.mark.parametrize("text", ['a: "\\ud83c\\udf89"', '{a: "\\ud83c\\udf89"}'])
def test_yaml_may_not_as_with_kubectl(text: str) -> None:
    assert fault(text).reason == "YAMLInvalid"


@pytest.mark.parametrize("text", ["a: '\\ud83c\\udf89'", r"{a: '\ud83c\udf89', b: 1}", r'{"a": "\\ud83c\\udf89"}'])
def test_where_the_same_letters_are_no_escape_they_are_kept(text: str) -> None:
    assert values(text)[0]["a"] == r"\ud83c\udf89"


TRICKY = (
    *(
        "",
        " ",
        "a ",
        " a",
        "~",
        "null",
        "true",
        "yes",
        "no",
        "on",
        "off",
        "1",
        "-1",
        "1.5",
        "0x1f",
        "0b11",
        "0777",
        "1_000",
        "1:30",
        "2020-01-01",
    ),
    *("- a", "-", "?", ":", "a: b", "a #b", "#a", "&a", "*a", "!a", "%a", "@a", "`a", "[a", "{a", "]", "|", ">", "'", '"', "<<", "=", ","),
    *(
        "a\nb",
        "a\n",
        "\n",
        "a\tb",
        "\ta",
        "\\",
        "\x07",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "é",
        "🎉",
        "---",
        "...",
        ".inf",
        ".nan",
        "0.0",
    ),
)


@pytest.mark.parametrize("text", TRICKY, ids=ascii)
def test_a_text_that_pyyaml_wrote_is_read_as_that_text(text: str) -> None:
    assert values(yaml.safe_dump({"key": text, text: "value"})) == [{"key": text, text: "value"}]


@pytest.mark.parametrize(
    ("text", "value"),
    [("y", True), ("N", False), ("0o17", 15), ("1e3", 1000), ("1e-2", 0.01), ("08", 8), ("1e+3", 1000), ("+08", 8)],
)
def test_what_pyyaml_leaves_unquoted_is_read_as_kubectl_reads_it(text: str, value: Any) -> None:
    # PyYAML quotes only what it would itself take for no text. The API server gives these the values here, so the file does not say what its author meant.
    (document,) = values(yaml.safe_dump({"key": text}))
    assert document == {"key": value}


@given(st.dictionaries(yaml_text, st.lists(yaml_text | number | st.booleans() | st.none(), max_size=3), max_size=3))
def test_what_pyyaml_writes_in_quotes_is_read_as_written(value: Any) -> None:
    expected = [as_the_api_server_holds_it(value)] if value else [{}]
    assert values(yaml.safe_dump(value, default_style='"', allow_unicode=True)) == expected


# -- templates ---------------------------------------------------------------------------------------------------------


def templates(text: str) -> Any:
    """The only document of a file without fault, read for substitution."""
    (document,), faults = read(text.encode(), templates=True)
    assert faults == ()
    return document.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: ${b}\n${c}: d\n- ${", None, id="a-fault-elsewhere"),
        pytest.param("a: ${b}\n${c}: d", {"a": "${b}", "${c}": "d"}, id="block"),
        pytest.param("{a: ${b}, ${c}: [${d}, ${e:=f, g}]}", {"a": "${b}", "${c}": ["${d}", "${e:=f, g}"]}, id="flow"),
        pytest.param("a: ${b:= - #c}", {"a": "${b:= - #c}"}, id="what-yaml-would-take-for-a-comment"),
        pytest.param("a: ${b:=c: d}", {"a": "${b:=c: d}"}, id="what-yaml-would-take-for-a-map"),
        pytest.param("a: ${b:=[1, {}", {"a": "${b:=[1, {}"}, id="an-odd-number-of-braces"),
        pytest.param("a: ${b:=${c:=d, e}}", {"a": "${b:=${c:=d, e}}"}, id="inside-another"),
        pytest.param("a: x-${b}.y # ${c}", {"a": "x-${b}.y"}, id="beside-a-comment"),
        pytest.param("a: \"${b:=\\\"c\\\"}\"\nd: '${e:=it''s}'", {"a": '${b:="c"}', "d": "${e:=it's}"}, id="quotes-inside"),
        pytest.param("a: |\n  x ${b}\n  ${c:=\n  d}\n", {"a": "x ${b}\n${c:=\nd}\n"}, id="literal"),
        pytest.param("a: >-\n  x\n  ${b}\n", {"a": "x ${b}"}, id="folded"),
        pytest.param('{"a": "\\u0024{b}", "c": "$\\x7bd}"}', {"a": "${b}", "c": "${d}"}, id="spelled-with-escapes"),
        pytest.param("a: $${b}\nc: $d $(e) $$", {"a": "$${b}", "c": "$d $(e) $$"}, id="what-is-text"),
        pytest.param("a: ${grün:=世, 界}", {"a": "${grün:=世, 界}"}, id="any-letters"),
        pytest.param("a: &x ${b}\n*x : 1\nc: *x", {"a": "${b}", "${b}": 1, "c": "${b}"}, id="alias"),
        pytest.param("a: !!int ${b}\nc: ! ${d}", {"a": "${b}", "c": "${d}"}, id="tags"),
    ],
)
def test_an_expression_is_one_piece_of_text_wherever_it_stands(text: str, value: Any) -> None:
    if value is None:
        assert read(text.encode(), templates=True)[1][0].line == 3
    else:
        assert templates(text) == value


def kind(text: str) -> tuple[bool, str | None, int]:
    value = templates(text)["a"]
    assert type(value) is Template
    return value.plain, value.tag, value.line


def test_a_template_knows_how_it_was_written() -> None:
    assert kind("\na: ${b}") == (True, None, 2)
    assert kind("a: '${b}'") == (False, None, 1)
    assert kind("# ${x}\n# ${y}\na: |\n  ${b}") == (False, None, 3)
    assert kind("a: !!int ${b}") == (False, "int", 1)
    assert kind("a: ! ${b}") == (False, None, 1)
    assert kind("a: 3${b}") == (True, None, 1)


def test_other_texts_are_no_templates() -> None:
    value = templates("a: ${b}\nc: d\ne: $f")
    assert [type(item) for item in value.values()] == [Template, str, str]


def test_a_file_read_for_substitution_leaves_nothing_behind_for_the_next() -> None:
    templates("a: 3${b}")
    assert type(values("a: 3${b}")[0]["a"]) is str


@given(st.binary(max_size=200) | st.text("${}ab:=-, []'\"\\#\n&*!|>?", max_size=60).map(str.encode))
def test_nothing_makes_reading_for_substitution_raise(text: bytes) -> None:
    for found in read(text, templates=True)[1]:
        assert found.message.isprintable()


@given(json_value)
def test_a_file_without_expressions_reads_the_same(value: Any) -> None:
    text = orjson.dumps(value)
    if b"${" not in text:
        assert read(text, templates=True) == read(text)
    text = yaml.safe_dump(value, allow_unicode=True).encode()
    if b"${" not in text:
        assert read(text, templates=True) == read(text)


def test_lines_are_those_of_the_file() -> None:
    text = "${a}: 1\n# ${b\nc: ${d:=x\n  y}\nd: {\n"
    assert [found.line for found in read(text.encode(), templates=True)[1]] == [found.line for found in read(text.encode())[1]]
    assert [found.line for found in read(b"a: ${b}\n\n${c}: 1\n${c}: 2", templates=True)[1]] == [4]


def test_a_fault_shows_the_key_as_it_stands_in_the_file() -> None:
    (found,) = read(b"${a}: 1\n${a}: 2", templates=True)[1]
    assert "${a}" in found.message


@pytest.mark.parametrize("text", ["a: *ssW0rd", "a: !ssW0rd x", "a: !ssW0rd", "a: !<ssW0rd> x", "a: [*ssW0rd]"])
@pytest.mark.parametrize("templates", [True, False])
def test_what_looks_like_a_tag_or_alias_is_not_shown_since_it_may_be_a_password(text: str, templates: bool) -> None:
    (found,) = read(text.encode(), templates=templates)[1]
    assert "ssW0rd" not in found.message
    assert "quotes" in found.message


def test_a_file_has_a_limit_of_expressions() -> None:
    (found,) = read(b"# ${a}" * (MAX_EXPRESSIONS + 1), templates=True)[1]
    assert found.reason == "RenderTooLarge"


@pytest.mark.parametrize(
    "text",
    ["${" * 300_000, "${a" * 300_000, "${a:=${b" * 100_000, "${${${a}" * 100_000, "$" * 1_000_000, "${a}" * 300_000],
    ids=lambda text: text[:10],
)
def test_hostile_expressions_cost_time_in_proportion_to_their_length(text: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    read(b"a: '" + text.encode() + b"'", templates=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 5
