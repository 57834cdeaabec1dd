"""No part of a rule of the library may be left out: each is taken away, and some object in tests/unit/vital/health/library must then be judged otherwise.

Parts are what `&&` and `||` join, the values of `in [...]`, and each expression as a whole. Kinds that share an expression share its objects.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.vital.health import custom_health
from cvstate_operator.vital.health.custom_health import HealthRule
from cvstate_operator.vital.health.library.catalog import LIBRARY
from cvstate_operator.vital.health.state import Readiness
from tests.unit.vital.health.test_library import CASES, kind_of

FIELDS = ("current", "failed", "suspended")
OPENING, CLOSING, QUOTES = "([{", ")]}", "'\""


def split(text: str, operator: str) -> list[str]:
    """What an operator joins outside of all parentheses and quotes."""
    parts, depth, quote = [""], 0, ""
    for token in re.findall(rf" {re.escape(operator)} |.", text):
        if quote:
            quote = "" if token == quote else quote
        elif token in QUOTES:
            quote = token
        elif token in OPENING:
            depth += 1
        elif token in CLOSING:
            depth -= 1
        elif token == f" {operator} " and depth == 0:
            parts.append("")
            continue
        parts[-1] += token
    return parts


def without_a_part(text: str) -> Iterator[str]:
    for operator in ("||", "&&"):
        parts = split(text, operator)
        if len(parts) == 1:
            continue
        for at, part in enumerate(parts):
            yield f" {operator} ".join(parts[:at] + parts[at + 1 :])
            if part.startswith("(") and part.endswith(")"):
                yield from (f" {operator} ".join([*parts[:at], f"({less})", *parts[at + 1 :]]) for less in without_a_part(part[1:-1]))
        return


def without_a_value(text: str) -> Iterator[str]:
    for found in re.finditer(r" in \[([^\]]*, [^\]]*)\]", text):
        values = found[1].split(", ")
        yield from (text[: found.start(1)] + ", ".join(values[:at] + values[at + 1 :]) + text[found.end(1) :] for at in range(len(values)))


SHARED: dict[tuple[str, str], list[HealthRule]] = defaultdict(list)
for rule in LIBRARY.values():
    for field in FIELDS:
        if text := getattr(rule, field):
            SHARED[field, text].append(rule)

OBJECTS: dict[GroupKind, list[tuple[dict[str, object], Readiness]]] = defaultdict(list)
for case in CASES:
    kind = kind_of(case["object"])
    OBJECTS[kind].append((case["object"], custom_health.judge(LIBRARY[kind], case["object"])))


def is_noticed(field: str, text: str, less: str) -> bool:
    change: dict[str, Any] = {field: less}
    for rule in SHARED[field, text]:
        changed = replace(rule, **change)
        for obj, before in OBJECTS[rule.group_kind]:
            after = custom_health.judge(changed, obj)
            if (after.status, after.reason) != (before.status, before.reason):
                return True
    return False


@pytest.mark.parametrize(("field", "text"), SHARED, ids=lambda value: value if value in FIELDS else "")
def test_every_part_of_an_expression_decides_about_some_object(field: str, text: str) -> None:
    for less in ("", *without_a_part(text), *without_a_value(text)):
        assert is_noticed(field, text, less), less or "without the expression"


def test_parts_are_found_where_they_are() -> None:
    assert split("a && (b || c) && d.exists(x, x && y) && e == ' && '", "&&") == ["a", "(b || c)", "d.exists(x, x && y)", "e == ' && '"]
    assert list(without_a_part("a && (b || c)")) == ["(b || c)", "a", "a && (c)", "a && (b)"]
    assert list(without_a_value("a in ['x', 'y']")) == ["a in ['y']", "a in ['x']"]
