"""Parsing of whole files, as the child process does it.

Aspects: the index cuts out the bodies · digests · problems with their place · LFS pointers · the store.
"""

from pathlib import Path
from typing import Any

import orjson
import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.render.parse import handle, parse

TWO = b"""\
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: web}
data: {gruen: "gr\xc3\xbcn"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b}
"""


def cut(index: dict[str, Any], bodies: bytes) -> list[Any]:
    """The bodies, by what the index says."""
    return [orjson.loads(bodies[offset : offset + length]) for *_, offset, length in index["objects"]]


def digest(text: bytes) -> str:
    index, _ = parse(text)
    ((_, _, _, _, found, *_),) = index["objects"]
    return str(found)


def test_the_index_names_each_object_and_where_its_body_is() -> None:
    index, bodies = parse(TWO)
    assert [row[:4] + row[5:7] for row in index["objects"]] == [
        ["v1", "ConfigMap", "web", "a", 1, 1],
        ["apps/v1", "Deployment", "", "b", 2, 6],
    ]
    assert [item["metadata"]["name"] for item in cut(index, bodies)] == ["a", "b"]
    assert cut(index, bodies)[0]["data"] == {"gruen": "grün"}
    assert index["problems"] == []


@given(st.lists(st.text(st.characters(categories=("L", "N", "Zs")), min_size=1), min_size=1, max_size=8))
def test_bodies_of_any_length_are_cut_where_the_index_says(texts: list[str]) -> None:
    documents = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": text}} for text in texts]
    index, bodies = parse(b"\n---\n".join(orjson.dumps(document) for document in documents))
    assert cut(index, bodies) == documents
    assert sum(row[-1] for row in index["objects"]) == len(bodies)


def test_the_same_object_spelled_otherwise_has_the_same_digest() -> None:
    block = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n  z: '2'\n"
    other = b'# a comment\n{"data": {"z": "2", "x": "1"}, "metadata": {"name": "a"}, "kind": "ConfigMap", "apiVersion": "v1"}\n'
    assert digest(block) == digest(other)


@pytest.mark.parametrize("change", [(b"'1'", b"'2'"), (b"x: '1'", b"z: '1'"), (b"ConfigMap", b"Secret"), (b"v1", b"v2")])
def test_any_other_content_has_another_digest(change: tuple[bytes, bytes]) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n"
    assert digest(text.replace(*change)) != digest(text)


def test_an_lfs_pointer_is_not_taken_for_a_manifest() -> None:
    index, bodies = parse(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    assert (index["objects"], bodies) == ([], b"")
    assert [row[2] for row in index["problems"]] == ["SourceInvalid"]


def test_a_fault_of_yaml_is_told_by_line_and_document() -> None:
    index, bodies = parse(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\na: 1\na: 2\n")
    ((document, name, reason, message, field),) = index["problems"]
    assert (document, name, reason, field) == (2, "", "DuplicateKey", "")
    assert message.startswith("line 6: ")
    assert len(cut(index, bodies)) == 1


def test_a_document_that_is_no_object_is_told_by_name_and_field() -> None:
    index, _ = parse(b'kind: Deployment\nmetadata: {name: "we\\eb"}\n')
    ((document, name, reason, _, field),) = index["problems"]
    assert (document, name, reason, field) == (1, r"Deployment/we\x1bb", "BuildFailed", "apiVersion")


@given(st.binary(max_size=200))
def test_no_bytes_make_parsing_raise(text: bytes) -> None:
    parse(text)


json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "v1", "apps/v1", "Secret", "List", "a", "x y"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["apiVersion", "kind", "metadata", "name", "namespace", "labels", "items", "data", "stringData"]),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=20,
)


@given(json_value)
def test_no_shape_of_document_makes_parsing_raise(value: Any) -> None:
    index, bodies = parse(orjson.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "x": value}))
    assert len(cut(index, bodies)) == 1
    parse(orjson.dumps(value))
    parse(orjson.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": value, "stringData": {"a": "b"}}))
    parse(orjson.dumps({"apiVersion": "v1", "kind": "X", "metadata": value}))


def test_each_blob_becomes_one_file_of_the_store(tmp_path: Path) -> None:
    repository = pygit2.init_repository(str(tmp_path / "git"), bare=True)
    blobs = [str(repository.create_blob(text)) for text in (TWO, b"no: manifest\n")]
    answer = handle({"repository": str(tmp_path / "git"), "store": str(tmp_path / "new" / "store"), "blobs": blobs})
    stored = {path.name: path.read_bytes() for path in (tmp_path / "new" / "store").iterdir()}
    assert set(stored) == set(blobs) == set(answer["indexes"])
    head, _, bodies = stored[blobs[0]].partition(b"\n")
    assert orjson.loads(head) == answer["indexes"][blobs[0]]
    assert len(cut(orjson.loads(head), bodies)) == 2
