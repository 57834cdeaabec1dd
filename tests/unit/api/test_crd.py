"""The CustomResourceDefinition.

Aspects: the file in crds/ is the generated one · the schema is structural · everything is explained · patterns are the ones of the models.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cvstate_operator.api.crd import cluster_state_crd

CRD = cluster_state_crd()
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FILE = Path(__file__).parents[3] / "crds" / "clusterstates.cvstate.io.yaml"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema node with its path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}[]")


NODES = dict(nodes(SCHEMA))


def test_the_file_is_what_the_models_say() -> None:
    assert yaml.safe_load(FILE.read_text()) == CRD, "run `make crds`"


def test_generating_it_twice_gives_the_same() -> None:
    assert cluster_state_crd() == CRD


@pytest.mark.parametrize("word", ["$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "definitions", "nullable"])
def test_the_schema_has_no_word_that_a_structural_schema_may_not_have(word: str) -> None:
    assert [path for path, node in NODES.items() if word in node] == []


def test_only_a_map_of_free_keys_has_additional_properties() -> None:
    maps = [path for path, node in NODES.items() if "additionalProperties" in node]
    assert sorted(maps) == [".spec.render.commonLabels", ".spec.render.substitute"]
    assert not any("properties" in NODES[path] for path in maps)


def test_every_node_has_one_type() -> None:
    kinds = {"object", "array", "string", "integer", "boolean"}
    assert [path for path, node in NODES.items() if node.get("type") not in kinds] == []


def test_no_default_is_null() -> None:
    assert [path for path, node in NODES.items() if "default" in node and node["default"] is None] == []


def test_every_field_is_explained() -> None:
    silent = [path for path, node in NODES.items() if not node.get("description") and not path.endswith("[]")]
    assert silent == [".apiVersion", ".kind", ".metadata"]


def test_fields_with_a_default_are_not_required() -> None:
    wrong = [f"{path}.{name}" for path, node in NODES.items() for name in node.get("required", ()) if "default" in node["properties"][name]]
    assert wrong == []


def test_it_is_an_applyset_parent_with_a_status() -> None:
    assert CRD["metadata"]["annotations"] == {"applyset.kubernetes.io/is-parent-type": "true"}
    assert CRD["spec"]["versions"][0]["subresources"] == {"status": {}}
    assert CRD["spec"]["names"]["shortNames"] == ["cst"]


def test_conditions_merge_by_type() -> None:
    conditions = NODES[".status.conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
