"""What of an object expressions are given.

Aspects: fields that are named, to two levels · what is used as a whole · what is never given · the answer stays the same.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cvstate_operator.vital.facts.fields import Fields
from cvstate_operator.vital.health import view
from cvstate_operator.vital.health.library.catalog import LIBRARY
from cvstate_operator.vital.language.expression import ExpressionError, compile_expression
from tests.unit.vital.health.test_library import kind_of

OBJECT: dict[str, Any] = {
    "apiVersion": "example.io/v1",
    "kind": "Widget",
    "metadata": {"name": "a", "managedFields": [{"manager": "x"}]},
    "spec": {"size": 1, "other": {"size": 2}, "list": [{"size": 3}]},
    "status": {"phase": "Ready", "size": 4, "self": 5},
    "data": None,
    "rules": [{"self": 6}],
}


def seen(*expressions: str) -> dict[str, Any]:
    return view.of(Fields.of(OBJECT), expressions)


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("", {}),
        ("self.status.phase == 'Ready'", {"status": {"phase": "Ready"}}),
        ("has(self.status.phase) && self.?status.?size.orValue(0) == 4", {"status": {"phase": "Ready", "size": 4}}),
        ("self . status\n. phase == ''", {"status": {"phase": "Ready"}}),
        ("self.spec.other.size == self.status.size", {"spec": {"other": {"size": 2}}, "status": {"size": 4}}),
        ("self.spec.list.all(x, x.size > 0)", {"spec": {"list": [{"size": 3}]}}),
        ("size(self.status) == 3", {"status": OBJECT["status"]}),
        ("self.status.all(x, x != 'phase')", {"status": OBJECT["status"]}),
        ("self.status['phase'] == 'Ready'", {"status": OBJECT["status"]}),
        ("self.status[?'phase'].hasValue()", {"status": OBJECT["status"]}),
        ("cel.bind(s, self.status, s.phase == 'Ready')", {"status": OBJECT["status"]}),
        ("self.rules.exists(r, r.size > 0)", {"rules": OBJECT["rules"]}),
        ("self.kind == 'Widget'", {"kind": "Widget"}),
        ("self.status.nowhere == 1", {"status": {}}),
        ("self.nowhere.inner == 1", {}),
        ("has(self.data)", {}),
    ],
)
def test_only_what_is_named_is_given(text: str, given: dict[str, Any]) -> None:
    assert seen(text) == given | {"metadata": {"name": "a"}}


@pytest.mark.parametrize("text", ["self['status'].phase == 'x'", "size(self) == 4", "[self].exists(s, s.status.phase == 'x')", "dyn(self).kind == ''", ".self['kind'] == ''", "self.rules.exists(r, has(r.self))", "self.`status`.phase == 'x'"])  # fmt: skip
def test_an_object_that_is_used_as_a_whole_is_given_but_for_its_managed_fields(text: str) -> None:
    assert seen(text) == {**{name: value for name, value in OBJECT.items() if value is not None}, "metadata": {"name": "a"}}


def test_what_several_expressions_name_is_given_together() -> None:
    assert seen("self.status.phase == ''", "", "self.spec.size == 1") == {
        "metadata": {"name": "a"},
        "spec": {"size": 1},
        "status": {"phase": "Ready"},
    }


def answer(text: str, obj: dict[str, Any]) -> bool | str:
    try:
        return compile_expression(text, ("self",)).holds({"self": obj})
    except ExpressionError as exc:
        return str(exc)


def test_every_expression_of_the_library_answers_as_with_the_whole_object() -> None:
    for path in sorted((Path(__file__).parent / "library").glob("*.yaml")):
        for case in yaml.safe_load(path.read_text()):
            whole = {name: value for name, value in case["object"].items() if value is not None}
            rule = LIBRARY[kind_of(whole)]
            for text in filter(None, (rule.suspended, rule.failed, rule.current)):
                assert answer(text, view.of(Fields.of(whole), (text,))) == answer(text, whole), case["name"]
