"""Pages that people follow from the top: the index, the pictures, and that their commands can be read.

Aspects: the index has every page, once · a picture is whole, needs nothing from elsewhere, and no text stands out of its box · it has the stages that its page
explains · the commands of the quick start and of the migrations can be read.
tests/e2e/test_new_user.py and tests/integration/test_migrate_from_*.py run them.
"""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import typer

from cvstate_operator.cli.main import app
from tests.support import pages
from tests.support.pages import DOCS, Command

SVG: Final = "{http://www.w3.org/2000/svg}"
PICTURES: Final = sorted((DOCS / "pictures").glob("*.svg"))
WALKED: Final = ("quick-start", "migrate-from-flux", "migrate-from-argo-cd")
WIDTHS: Final = {"name": 8.0, "note": 6.6}
"""Width of a character in user units, on the generous side: Helvetica at 14 px, bold, and at 12 px."""
PROGRAMS: Final = {"kubectl", "helm", "cvstate", "kind", "docker", "make", "curl", "export", "kill"}
picture = pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)


def parsed(path: Path) -> ET.Element:
    return ET.parse(path).getroot()  # noqa: S314 - a file of this repository


def all_commands() -> list[tuple[str, Command]]:
    found = [(name, pages.read(DOCS / f"{name}.md")) for name in WALKED]
    return [(name, command) for name, page in found for section in page.sections for command in page.commands(section)]


def test_the_index_has_every_page_once() -> None:
    linked = re.findall(r"^\| \[([^]]+)\]\(([^)]+)\)", (DOCS / "README.md").read_text(), flags=re.MULTILINE)
    assert [name for name, target in linked if name != target] == []
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.parent.name != "runbooks"} - {"README.md"}
    assert sorted(target for _, target in linked) == sorted(there)


def test_every_picture_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    found = re.findall(r"!\[([^]]*)\]\((pictures/[^)]+)\)", (DOCS / "concepts.md").read_text())
    shown = {target: words for words, target in found}
    assert sorted(shown) == [f"pictures/{path.name}" for path in PICTURES]
    assert all(len(words.split()) > 5 for words in shown.values())


@picture
def test_a_picture_is_whole_and_needs_nothing_from_elsewhere(path: Path) -> None:
    root = parsed(path)
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert not re.search(r"(?:href|src)=|url\((?!#)|<script|@import", path.read_text())


@picture
def test_no_text_stands_out_of_its_box_and_no_two_boxes_overlap(path: Path) -> None:
    root = parsed(path)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    boxes = [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if "class" in rect.attrib
    ]
    for x, y, w, h in boxes:
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    for at, (x, y, w, h) in enumerate(boxes):
        assert not [
            other
            for other in boxes[at + 1 :]
            if x < other[0] + other[2] and other[0] < x + w and y < other[1] + other[3] and other[1] < y + h
        ]
    for text in root.iter(f"{SVG}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        half = WIDTHS[text.attrib["class"]] * len(text.text or "") / 2
        around = [box for box in boxes if box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]] or [(0.0, 0.0, width, height)]
        (left, _, wide, _) = around[0]
        assert left <= x - half, text.text
        assert x + half <= left + wide, text.text


def test_the_picture_of_the_pipeline_has_the_stages_that_the_page_explains_in_their_order() -> None:
    concepts = (DOCS / "concepts.md").read_text()
    told = re.findall(r"^\| (\w+) \|", concepts.partition("| stage |")[2].partition("\n\n")[0], flags=re.MULTILINE)
    root = parsed(DOCS / "pictures" / "pipeline.svg")
    boxes = [
        (float(text.attrib["y"]), float(text.attrib["x"]), text.text) for text in root.iter(f"{SVG}text") if text.attrib["class"] == "name"
    ]
    drawn = [name for _, _, name in sorted(boxes)]
    assert len(told) == 10
    places = [drawn.index(stage) for stage in told]
    assert all(after == before + 1 for before, after in pairwise(places)), drawn


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(name, command, id=f"{name}-{n}") for n, (name, command) in enumerate(all_commands())]
)
def test_a_command_to_follow_can_be_read(name: str, command: Command) -> None:
    first, *arguments = command.text.partition("#")[0].split() if "<<" not in command.text else command.text.splitlines()[0].split()
    assert first.partition('="$(')[2] in PROGRAMS if command.assigned else first in PROGRAMS, name
    if first == "cvstate":
        group = typer.main.get_command(app)
        verb, *rest = arguments
        found = group.get_command(typer.Context(group), verb)  # type: ignore[attr-defined]
        assert found, command.text
        found.make_context(verb, rest)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a\nb\n", ["a", "b"]),
        ("# why\n\na \\\n  b\nc\n", ["a \\\n  b", "c"]),
        ("a <<'END'\nit's\nEND\nb\n", ["a <<'END'\nit's\nEND", "b"]),
        ("a '{{x}}\n---\n{{end}}' | b\n", ["a '{{x}}\n---\n{{end}}' | b"]),
    ],
    ids=["lines", "continued", "here-document", "quoted"],
)
def test_a_block_is_cut_into_whole_commands(text: str, cut: list[str]) -> None:
    assert [command.text for command in pages.split(text)] == cut


def test_a_command_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError, match="does not end"):
        pages.split("a 'b\n")


@pytest.mark.parametrize(
    ("text", "code"), [("cvstate diff x # ends with 1: drift", 1), ("cvstate diff x # ends well", 0), ("cvstate diff x", 0)]
)
def test_a_page_promises_an_exit_code_by_a_comment(text: str, code: int) -> None:
    assert Command(text).code == code


@pytest.mark.parametrize(("text", "name"), [('ID="$(kubectl get x)"', "ID"), ("kubectl get x --output name=y", ""), ("export PATH=x", "")])
def test_a_command_may_give_a_variable_its_value(text: str, name: str) -> None:
    assert Command(text).assigned == name
