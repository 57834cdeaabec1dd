"""docs/incidents.md is in step with the tests it names.

Aspects: every row names tests that are there · every test of an incident has a row, with its links · what is not kept yet says so.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "incidents.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| [")]
MODULES = ("integration/test_incidents.py", "integration/test_incidents_live.py", "integration/test_incidents_vital.py")
Test = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(module: str) -> Mapping[str, Test]:
    """Test functions of a module below tests/, by name."""
    tree = ast.parse((TESTS / module).read_text())
    return {node.name: node for node in tree.body if isinstance(node, Test) and node.name.startswith("test_")}


def named(text: str) -> list[tuple[str, str]]:
    """Module and function of each test that is named."""
    return re.findall(r"`([a-z_/]+\.py)::(\w+)`", text)


def rows_of(name: str) -> list[str]:
    return [row for row in ROWS if f"::{name}`" in row]


EXPECTED_TO_FAIL = {
    name for module in MODULES for name in re.findall(r"^([A-Z_]+) = pytest\.mark\.xfail", (TESTS / module).read_text(), re.MULTILINE)
}
"""Marks that have a name because several tests carry them."""
OURS = {name: node for module in MODULES for name, node in functions_of(module).items()}


def test_the_page_holds_many() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[3:].partition("]")[0])
def test_every_row_names_tests_that_are_there(row: str) -> None:
    assert len(row.strip("| ").split(" | ")) == 4
    assert named(row)
    for module, name in named(row):
        assert name in functions_of(module), f"{module} has no {name}"


@pytest.mark.parametrize("name", OURS)
def test_every_test_of_an_incident_has_a_row_that_links_what_it_tells(name: str) -> None:
    rows = " ".join(rows_of(name))
    assert rows
    story = ast.get_docstring(OURS[name]) or ""
    assert story, "the incident in one sentence"
    for number in re.findall(r"#(\d+)", story):
        assert re.search(rf"/(issues|pull)/{number}\)", PAGE), f"#{number} is not linked"


@pytest.mark.parametrize("name", OURS)
def test_a_row_says_not_yet_just_when_its_test_is_expected_to_fail(name: str) -> None:
    marks = [ast.unparse(each) for each in OURS[name].decorator_list]
    is_expected = any(mark.startswith("pytest.mark.xfail") or mark in EXPECTED_TO_FAIL for mark in marks)
    assert all(("**Not yet**" in row) == is_expected for row in rows_of(name))
