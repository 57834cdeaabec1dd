"""Redaction.

Aspects: contents of Secrets are masked · one value stays one short line.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.redaction import MASK, SHOWN_CHARACTERS, one_line, shown

SECRET = GroupKind("", "Secret")
CONFIG_MAP = GroupKind("", "ConfigMap")


@pytest.mark.parametrize(
    ("kind", "path", "value", "text"),
    [
        pytest.param(SECRET, "/data/password", "aHVudGVyMg==", MASK, id="secret-data"),
        pytest.param(SECRET, "/data", {"password": "aHVudGVyMg=="}, MASK, id="secret-data-as-a-whole"),
        pytest.param(SECRET, "/stringData/password", "hunter2", MASK, id="secret-string-data"),
        pytest.param(SECRET, "/type", "Opaque", "Opaque", id="other-field-of-a-secret"),
        pytest.param(SECRET, "/data/password", None, "(none)", id="absent-secret"),
        pytest.param(GroupKind("example.io", "Secret"), "/data/x", "y", "y", id="secret-of-another-group"),
        pytest.param(CONFIG_MAP, "/data/x", "y", "y", id="config-map"),
        pytest.param(CONFIG_MAP, "/spec/replicas", 5, "5", id="number"),
        pytest.param(CONFIG_MAP, "/spec", {"a": [1]}, "{'a': [1]}", id="structure"),
    ],
)
def test_a_value_is_shown_unless_it_is_the_content_of_a_secret(kind: GroupKind, path: str, value: object, text: str) -> None:
    assert shown(kind, path, value) == text


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
