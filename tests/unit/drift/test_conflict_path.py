"""From the path in a conflict to the field of the desired object.

Aspects: fields, dots in names · list items by key, value and index · what the server defaulted · what nothing matches · ambiguous texts · printed by the
rules of the server and read again (property) · hostile texts and bodies.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cvstate_operator.drift.conflict_path import LONGEST_FIELD, pointer_of
from cvstate_operator.drift.coverage import Item, Step, pointer

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "labels": {"app": "web", "app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"},
        "annotations": {"a~b/c": "x"},
        "finalizers": ["example.com/first", "example.com/hold"],
    },
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {"name": "side", "image": "side:1"},
                    {
                        "name": "app",
                        "image": "web:1",
                        "args": ["--a", "--b"],
                        "ports": [
                            {"containerPort": 80},
                            {"containerPort": 80, "protocol": "UDP", "hostPort": 8080},
                            {"containerPort": 443},
                        ],
                        "env": [{"name": 'odd "]name', "value": "1"}],
                    },
                ]
            }
        },
    },
}
APP = "/spec/template/spec/containers/1"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (".spec.replicas", "/spec/replicas"),
        (".metadata.labels.app", "/metadata/labels/app"),
        (".metadata.labels.app.kubernetes.io/name", "/metadata/labels/app.kubernetes.io~1name"),
        (".metadata.annotations.a~b/c", "/metadata/annotations/a~0b~1c"),
        ('.metadata.finalizers[="example.com/hold"]', "/metadata/finalizers/1"),
        ('.spec.template.spec.containers[name="app"].image', APP + "/image"),
        ('.spec.template.spec.containers[name="app"]', APP),
        ('.spec.template.spec.containers[name="app"].args[1]', APP + "/args/1"),
        (
            '.spec.template.spec.containers[name="app"].ports[containerPort=443,protocol="TCP"].containerPort',
            APP + "/ports/2/containerPort",
        ),
        ('.spec.template.spec.containers[name="app"].ports[containerPort=80,protocol="TCP"]', APP + "/ports/0"),
        ('.spec.template.spec.containers[name="app"].ports[containerPort=80,protocol="UDP"].hostPort', APP + "/ports/1/hostPort"),
        (r'.spec.template.spec.containers[name="app"].env[name="odd \"]name"].value', APP + "/env/0/value"),
        (".spec.template", "/spec/template"),
    ],
)
def test_a_path_of_the_server_is_a_field_of_the_body(field: str, expected: str) -> None:
    assert pointer_of(field, DEPLOYMENT) == expected


@pytest.mark.parametrize(
    "field",
    [
        "",
        ".",
        "spec",
        "spec.replicas",
        ".spec.paused",
        ".spec.replicas.",
        ".spec..replicas",
        ".spec.replicas[0]",
        ".spec.replicas.x",
        ".metadata.labels.app.kubernetes",
        ".metadata.finalizers[=example.com/hold]",
        '.metadata.finalizers["example.com/hold"]',
        '.metadata.finalizers[="example.com/gone"]',
        ".metadata.finalizers[2]",
        ".metadata.finalizers[-1]",
        ".metadata.finalizers[",
        ".metadata.finalizers[]",
        ".metadata.finalizers[1]x",
        ".metadata.finalizers[" + "1" * 2000 + "]",
        '.spec.template.spec.containers[name="gone"].image',
        '.spec.template.spec.containers[name="app",].image',
        '.spec.template.spec.containers[name="app"].ports[containerPort=true,protocol="TCP"]',
        '.spec.template.spec.containers[name="app"].ports[containerPort="80",protocol="TCP"]',
        r'.metadata.finalizers[="\Uffffffff"]',
        ".spec" * 3000,
    ],
)
def test_what_is_not_in_the_body_is_told_apart(field: str) -> None:
    assert pointer_of(field, DEPLOYMENT) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"a": {"b": {"c": 1}}}, "/a/b/c"),
        ({"a": {"b": {"c": 1}}, "a.b": {"c": 1}}, "/a.b/c"),
        ({"a": {"b": {"c": 1}}, "a.b": {"d": 1}}, "/a/b/c"),
        ({"a": {"b": {"c": 1}, "b.c": 1}, "a.b": {}}, "/a/b.c"),
        ({"a.b.c": 1, "a": {"b.c": 1}}, "/a.b.c"),
    ],
)
def test_of_two_readings_longer_names_win_if_all_of_the_path_is_there(body: dict[str, Any], expected: str) -> None:
    assert pointer_of(".a.b.c", body) == expected


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("9007199254740993", 9007199254740993),
        ("1.5", 1.5),
        ("1e+21", 1e21),
        ("1", 1.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ('""', ""),
        (r'"a\"\\b\n\t\x00\u200b\U0001f9ff"', 'a"\\b\n\t\0\u200b\U0001f9ff'),
        ('"é☃]=,"', "é☃]=,"),
    ],
)
def test_values_are_read_as_go_prints_them(printed: str, value: Any) -> None:
    others = ["other", 0, 2, 0.25]
    assert pointer_of(f".l[={printed}]", {"l": [*others, value]}) == f"/l/{len(others)}"
    assert pointer_of(f".l[a={printed},b=1].c", {"l": [{"a": "other"}, {"a": value, "c": 1}]}) == "/l/1/c"


@pytest.mark.parametrize(("printed", "value"), [("1", True), ("0", False), ("true", 1), ("null", 0), ('"1"', 1), ("1", "1")])
def test_values_of_other_types_are_not_equal(printed: str, value: Any) -> None:
    assert pointer_of(f".l[={printed}]", {"l": [value]}) is None


# -- what the server prints, read again --------------------------------------------------------------------------------

NAMES = st.text(alphabet='ab./[]="~,-', max_size=4)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(alphabet='ab."\\[]=,\n\té', max_size=4)
BODIES = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda below: (
            st.dictionaries(NAMES, below, max_size=4)
            | st.lists(SCALARS, max_size=3)
            | st.lists(
                st.fixed_dictionaries({"name": st.text(alphabet='ab"]', max_size=2), "port": st.integers(0, 3)}, optional={"v": below}),
                max_size=3,
            )
        ),
        max_leaves=12,
    ),
    max_size=4,
)


def quoted(value: Any) -> str:
    """A scalar as structured-merge-diff prints it (`%q` and `%v` of Go)."""
    if isinstance(value, str):
        escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
        return '"' + "".join(escapes.get(char, char) for char in value) + '"'
    return {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else str(value)


def printed_paths(value: Any, printed: str = "", path: tuple[Step, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every place of a body: its path as the server prints it, and its pointer. Lists of maps go by key, of unique scalars by value, else by index."""
    if path:
        yield printed, pointer(path)
    if isinstance(value, dict):
        for name, below in value.items():
            yield from printed_paths(below, f"{printed}.{name}", (*path, name))
    elif isinstance(value, list):
        as_set = len({quoted(item) for item in value if not isinstance(item, dict)}) == len(value)
        for at, item in enumerate(value):
            if isinstance(item, dict):
                element = f"[name={quoted(item['name'])},port={item['port']}]"
            else:
                element = f"[={quoted(item)}]" if as_set else f"[{at}]"
            yield from printed_paths(item, printed + element, (*path, Item(item, at)))


@given(BODIES)
@example({"a": {"b": 1}, "a.b": 1})
def test_every_place_of_a_body_is_found_by_what_the_server_prints(body: dict[str, Any]) -> None:
    meant: dict[str, set[str]] = {}
    for printed, at in printed_paths(body):
        meant.setdefault(printed, set()).add(at)
    for printed, places in meant.items():
        # Where one text means several places, one of them is named; nearly always there is one.
        assert pointer_of(printed, body) in places


@given(BODIES, st.text(alphabet='ab./[]="\\~,-1', max_size=30))
def test_whatever_the_text_is_nothing_is_raised(body: dict[str, Any], text: str) -> None:
    found = pointer_of(text, body)
    assert found is None or found in {at for _, at in printed_paths(body)}


# -- hostile ----------------------------------------------------------------------------------------------------------


def test_a_deep_body_is_read() -> None:
    depth = LONGEST_FIELD // 2
    body: Any = 1
    for _ in range(depth):
        body = {"a": body}
    assert pointer_of(".a" * depth, body) == "/a" * depth


def test_a_text_with_very_many_readings_takes_no_time_to_speak_of() -> None:
    # Every dot may end a name or not: 2^14 readings, of which the body has all, and the last name none.
    def body(rest: int) -> dict[str, Any]:
        return {".".join("a" * names): body(rest - names) for names in range(1, rest + 1)} if rest else {}

    assert pointer_of(".a" * 14 + ".gone", body(14)) is None


def test_arguments_are_not_changed() -> None:
    before = repr(DEPLOYMENT)
    pointer_of('.spec.template.spec.containers[name="app"].image', DEPLOYMENT)
    assert repr(DEPLOYMENT) == before
