"""Redaction.

Aspects: contents of Secrets are masked, also in what a server says · one value stays one short line.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.redaction import MASK, SHOWN_CHARACTERS, disclosed, one_line, shown, without_values

SECRET = GroupKind("", "Secret")
CONFIG_MAP = GroupKind("", "ConfigMap")


@pytest.mark.parametrize(
    ("kind", "path", "value", "text"),
    [
        pytest.param(SECRET, "/data/password", "aHVudGVyMg==", MASK, id="secret-data"),
        pytest.param(SECRET, "/data", {"password": "aHVudGVyMg=="}, MASK, id="secret-data-as-a-whole"),
        pytest.param(SECRET, "/stringData/password", "hunter2", MASK, id="secret-string-data"),
        pytest.param(SECRET, "/type", "Opaque", "Opaque", id="other-field-of-a-secret"),
        pytest.param(SECRET, "/metadata/labels/app", "shop", "shop", id="label-of-a-secret"),
        pytest.param(
            SECRET, "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", "{}", MASK, id="secret-in-annotation"
        ),
        pytest.param(SECRET, "/metadata/annotations", {"a": "b"}, MASK, id="annotations-of-a-secret"),
        pytest.param(SECRET, "", {"data": {"a": "b"}}, MASK, id="whole-secret"),
        pytest.param(SECRET, "/data/password", None, "(none)", id="absent-secret"),
        pytest.param(GroupKind("example.io", "Secret"), "/data/x", "y", "y", id="secret-of-another-group"),
        pytest.param(CONFIG_MAP, "/data/x", "y", "y", id="config-map"),
        pytest.param(CONFIG_MAP, "/spec/replicas", 5, "5", id="number"),
        pytest.param(CONFIG_MAP, "/spec/paused", True, "true", id="boolean"),
        pytest.param(CONFIG_MAP, "/spec/number", 2**70, str(2**70), id="number-beyond-64-bits"),
        pytest.param(CONFIG_MAP, "/spec", {"a": [1]}, '{"a": [1]}', id="structure"),
    ],
)
def test_a_value_is_shown_unless_it_is_the_content_of_a_secret(kind: GroupKind, path: str, value: object, text: str) -> None:
    assert shown(kind, path, value) == text


@pytest.mark.parametrize(
    ("kind", "path", "value", "told"),
    [
        pytest.param(CONFIG_MAP, "/spec/replicas", 5, 5, id="number"),
        pytest.param(CONFIG_MAP, "/spec/replicas", None, None, id="absent"),
        pytest.param(SECRET, "/data", {"a": "b"}, MASK, id="secret"),
        pytest.param(SECRET, "/data/a", None, None, id="absent-from-a-secret"),
    ],
)
def test_programs_get_the_value_itself_unless_it_is_the_content_of_a_secret(
    kind: GroupKind, path: str, value: object, told: object
) -> None:
    assert disclosed(kind, path, value) == told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a\nb\r\n", r"a\nb\r\n", id="newlines"),
        pytest.param("\x1b[31mred\x07", r"\x1b[31mred\x07", id="terminal-escapes"),
        pytest.param("user\u202etxt.exe", r"user\u202etxt.exe", id="bidirectional-override"),
        pytest.param("\ud800", r"\ud800", id="lone-surrogate"),
        pytest.param("Grüße 世界", "Grüße 世界", id="letters-of-any-language"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * SHOWN_CHARACTERS) == "x" * SHOWN_CHARACTERS
    assert one_line("x" * 10**7) == "x" * (SHOWN_CHARACTERS - 1) + "…"


@given(st.text(), st.integers(1, 50))
def test_any_text_becomes_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) <= limit


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(
            '.data.password: expected string, got &value.listUnstructured{[]interface {}{"hunter2"}}',
            ".data.password: expected string, got ***",
            id="wrong-type",
        ),
        pytest.param(".data.password: expected string, got 1234567", ".data.password: expected string, got ***", id="number"),
        pytest.param("expected map, got &{hunter2}; correct it in Git", "expected map, got ***", id="everything-after-it"),
        pytest.param('data[x/]: Invalid value: "x/": a valid key', "data[x/]: Invalid value: ***: a valid key", id="quoted"),
        pytest.param('Invalid value: "a\\"hunter2": no', "Invalid value: ***: no", id="escaped-quote"),
        pytest.param('Invalid value: "hunter2 was c…', "Invalid value: ***", id="cut-off"),
        pytest.param("data: Invalid value: 1234567: must be text", "data: Invalid value: ***", id="unquoted"),
        pytest.param("refused: `hunter2` is weak", "refused: *** is weak", id="backquoted"),
        pytest.param('found 1, error in #10 byte of ...|word":12345|...', "found 1, error in #10 byte of ...***", id="around-an-error"),
        pytest.param(
            "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: hunter2 is weak",
            "secrets *** is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ***",
            id="free-text-of-a-policy",
        ),
        pytest.param(
            'admission webhook "check.example.com" denied the request: hunter2 is weak',
            'admission webhook "check.example.com" denied the request: ***',
            id="free-text-of-a-webhook",
        ),
        pytest.param(
            'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: Post "https://a": refused',
            'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: Post ***: refused',
            id="webhooks-are-named",
        ),
        pytest.param(
            '.data.a: conflict with "kubectl-edit" using v1', '.data.a: conflict with "kubectl-edit" using v1', id="managers-are-named"
        ),
        pytest.param(
            'secrets is forbidden: User "ops" cannot list resource "secrets" in API group "" at the cluster scope',
            'secrets is forbidden: User "ops" cannot list resource "secrets" in API group "" at the cluster scope',
            id="what-right-is-missing-for-whom",
        ),
        pytest.param('Invalid value: "conflict with \\"hunter2\\""', "Invalid value: ***", id="a-value-like-a-manager"),
        pytest.param('x: admission webhook "hunter2"', "x: admission webhook ***", id="a-value-like-a-webhook"),
        pytest.param(".dataa: field not declared in schema", ".dataa: field not declared in schema", id="field-names-stay"),
        pytest.param("illegal base64 data at input byte 7", "illegal base64 data at input byte 7", id="positions-stay"),
    ],
)
def test_a_servers_words_about_a_secret_lose_what_may_be_a_value(said: str, shown: str) -> None:
    assert without_values(said) == shown
    assert without_values(shown) == shown


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param({"data": {"p": "aHVudGVyMg=="}}, "is aHVudGVyMg== here", id="base64"),
        pytest.param({"data": {"p": "aHVudGVyMg=="}}, "is hunter2 here", id="plain"),
        pytest.param({"data": {"p": "aHVudGVyMgpvbmU="}}, "is hunter2 one here", id="lines-joined"),
        pytest.param({"data": {"p": ["hunter2"]}}, "is hunter2 here", id="wrong-type"),
        pytest.param({"data": {"p": 7362519}}, "is 7362519 here", id="number"),
        pytest.param({"data": "hunter2"}, "is hunter2 here", id="no-map"),
        pytest.param({"stringData": {"p": "hunter2", "q": "hunter2 and more"}}, "is hunter2 and more here", id="longest-first"),
    ],
)
def test_a_value_of_a_secret_is_masked_wherever_it_stands(data: dict[str, object], said: str) -> None:
    assert without_values(said, data) == "is *** here"


def test_a_value_too_short_to_be_one_spoils_no_text() -> None:
    assert without_values("1 of 3 is no number", {"data": {"a": "1", "b": "no", "c": None, "d": True}}) == "1 of 3 is no number"
