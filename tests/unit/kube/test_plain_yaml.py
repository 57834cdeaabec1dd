"""Plain YAML.

Aspects: values are texts, whatever they look like · nothing is null but what YAML calls so · JSON · what grows, or runs, or kills the process · keys that stand twice · size ·
what is no YAML · no word of the file in a message.
"""

import time

import pytest

from cvstate_operator.kube import plain_yaml
from cvstate_operator.kube.plain_yaml import PlainYamlError


@pytest.mark.parametrize("text", ["12345", "2026-01-01", "1e3", "yes", "0x10", "22:22", "=", "1:1:1.5", "0b_", "9" * 5000])
def test_a_value_is_the_text_that_stands_there(text: str) -> None:
    assert plain_yaml.read(f"password: {text}".encode()) == {"password": text}


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_what_yaml_calls_null_is_nothing(text: str) -> None:
    assert plain_yaml.read(f"token: {text}".encode()) == {"token": None}


@pytest.mark.parametrize("text", ['""', "'null'", '"~"', "|-\n  null"])
def test_in_quotes_it_is_a_text(text: str) -> None:
    found = plain_yaml.read(f"token: {text}".encode())
    assert isinstance(found, dict)
    assert found["token"] in ("", "null", "~")


def test_json_is_read_the_same_way() -> None:
    assert plain_yaml.read(b'{"a": [1, "b", null, {"c": true}]}') == {"a": ["1", "b", None, {"c": "true"}]}


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n...\n"])
def test_an_empty_file_holds_nothing(data: bytes) -> None:
    assert plain_yaml.read(data) is None


BOMB = "a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b, *b, *b]\n"


@pytest.mark.parametrize(
    ("data", "mentions"),
    [
        pytest.param(BOMB.encode(), "anchor", id="alias-bomb"),
        pytest.param(b"a: &a [*a]\n", "anchor", id="an-anchor-that-holds-itself"),
        pytest.param(b"a: *canary\n", "alias", id="alias-of-nothing"),
        pytest.param(b"a: !!python/object/apply:os.system [canary]\n", "tag", id="python-tag"),
        pytest.param(b"a: !canary x\n", "tag", id="a-tag-of-somebody-s-own"),
        pytest.param(b"!!map\na: canary\n", "tag", id="tag-of-the-whole"),
        pytest.param(b"a: canary-1\nb: x\na: canary-2\n", "line 3", id="key-twice"),
        pytest.param(b"? [canary]\n: x\n", "no text", id="a-list-as-key"),
        pytest.param(b"[" * 50_000, "too deep", id="brackets"),
        pytest.param(b"".join(b" " * n + b"a:\n" for n in range(1000)), "too deep", id="indentation"),
        pytest.param(b"- " * 30 + b"canary", "too deep", id="lists-in-lists"),
        pytest.param(b"[" + b"canary," * 20_001 + b"]", "too many", id="parts"),
        pytest.param(b"a: " + b"x" * plain_yaml.MAX_BYTES, "larger", id="size"),
        pytest.param(b"a: canary\n---\nb: x\n", "line 2", id="two-documents"),
        pytest.param(b"a: [canary\nb: }\n", "no YAML", id="syntax"),
        pytest.param(b"a: \x00canary", "no YAML", id="nul"),
        pytest.param(b"a: \xff\xfecanary", "UTF-8", id="latin-1"),
        pytest.param("a: canary".encode("utf-16"), "UTF-8", id="utf-16"),
        pytest.param(b'a: "canary \\ud800"', "", id="half-a-character"),
        pytest.param(b"%YAML 9.9\n---\na: canary", "no YAML", id="a-version-that-is-none"),
    ],
)
def test_what_is_not_plain_is_refused_without_a_word_of_it(data: bytes, mentions: str) -> None:
    with pytest.raises(PlainYamlError) as caught:
        plain_yaml.read(data)
    message = str(caught.value)
    assert mentions in message
    assert "canary" not in message
    assert message.isprintable()
    assert "; " in message, "it says what to do"


def test_the_largest_file_and_the_most_parts_are_still_read() -> None:
    parts = b"[" + b"x," * (plain_yaml.MAX_NODES - 1) + b"]"
    found = plain_yaml.read(parts)
    assert isinstance(found, list)
    assert len(found) == plain_yaml.MAX_NODES - 1
    head = b"a: "
    assert plain_yaml.read(head + b"x" * (plain_yaml.MAX_BYTES - len(head))) is not None


def test_the_worst_file_costs_little_time() -> None:
    started = time.process_time()
    with pytest.raises(PlainYamlError):
        plain_yaml.read(b"{a: " * (plain_yaml.MAX_BYTES // 4))
    assert time.process_time() - started < 1.0
