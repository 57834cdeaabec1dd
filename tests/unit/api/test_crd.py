"""The CustomResourceDefinitions.

Aspects: the files in crds/ are the generated ones · the schemas are structural · everything is explained · patterns are the ones of the models · what
tells the kinds apart: scope, short names, columns, what may not change.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cvstate_operator.api import crd
from cvstate_operator.api.approval import StateApprovalSpec
from cvstate_operator.api.change_plan import ClusterStatePlanSpec, plan_name
from cvstate_operator.api.emergency_stop import EmergencyStopSpec

CRDS = {definition["spec"]["names"]["kind"]: definition for definition in crd.definitions()}
FOLDER = Path(__file__).parents[3] / "crds"
DIGEST = "sha256:" + "4c1f03a9be12" + "0" * 52


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema node with its path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}[]")


NODES = {kind: dict(nodes(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"])) for kind, found in CRDS.items()}
every_kind = pytest.mark.parametrize("kind", CRDS)


def test_the_files_are_what_the_models_say() -> None:
    files = {file.name: yaml.safe_load(file.read_text()) for file in FOLDER.iterdir()}
    assert files == {f"{found['metadata']['name']}.yaml": found for found in CRDS.values()}, "run `make crds`"


def test_generating_them_twice_gives_the_same() -> None:
    assert crd.definitions() == tuple(CRDS.values())
    assert crd.cluster_state_crd() == CRDS["ClusterState"]


def test_the_program_prints_the_kinds_that_are_named_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    crd.main(["emergencystops"])
    assert yaml.safe_load(capsys.readouterr().out) == CRDS["EmergencyStop"]
    crd.main([])
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == list(CRDS.values())


@every_kind
@pytest.mark.parametrize(
    "word", ["$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "definitions", "nullable", "x-kubernetes-preserve-unknown-fields"]
)
def test_a_companion_schema_has_no_word_that_it_may_not_have(kind: str, word: str) -> None:
    found = [path for path, node in NODES[kind].items() if word in node]
    # Values of a Helm chart may be anything.
    assert found == [] or (kind, word) == ("ClusterState", "x-kubernetes-preserve-unknown-fields")


def test_only_a_map_of_free_keys_has_additional_properties() -> None:
    maps = [f"{kind}{path}" for kind, found in NODES.items() for path, node in found.items() if "additionalProperties" in node]
    assert sorted(maps) == ["ClusterState.spec.render.commonLabels", "ClusterState.spec.render.substitute"]
    assert not any("properties" in NODES["ClusterState"][path.removeprefix("ClusterState")] for path in maps)


@every_kind
def test_every_node_has_one_type(kind: str) -> None:
    kinds = {"object", "array", "string", "integer", "number", "boolean"}
    assert [path for path, node in NODES[kind].items() if node.get("type") not in kinds] == []


@every_kind
def test_no_default_is_null(kind: str) -> None:
    assert [path for path, node in NODES[kind].items() if "default" in node and node["default"] is None] == []


@every_kind
def test_every_field_is_explained(kind: str) -> None:
    silent = [path for path, node in NODES[kind].items() if not node.get("description") and not path.endswith("[]")]
    assert silent == [".apiVersion", ".kind", ".metadata"]


@every_kind
def test_fields_with_a_default_are_not_required(kind: str) -> None:
    found = NODES[kind].items()
    assert [f"{path}.{name}" for path, node in found for name in node.get("required", ()) if "default" in node["properties"][name]] == []


@pytest.mark.parametrize("kind", ["StateApproval", "ClusterStatePlan", "EmergencyStop"])
def test_every_text_and_list_of_a_companion_has_a_limit(kind: str) -> None:
    below_spec = {path: node for path, node in NODES[kind].items() if path.startswith(".spec")}
    limits = {"string": ("maxLength", "enum"), "array": ("maxItems",)}
    assert [path for path, node in below_spec.items() if node["type"] in limits and not set(limits[node["type"]]) & set(node)] == []


def test_a_clusterstate_is_an_applyset_parent_with_a_status() -> None:
    definition = CRDS["ClusterState"]
    assert definition["metadata"]["annotations"] == {"applyset.kubernetes.io/is-parent-type": "true"}
    assert definition["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_only_a_clusterstate_has_a_status_and_is_a_parent() -> None:
    companions = [found for kind, found in CRDS.items() if kind != "ClusterState"]
    assert [found["metadata"].get("annotations") for found in companions] == [None] * 3
    assert [found["spec"]["versions"][0].get("subresources") for found in companions] == [None] * 3


def test_short_names_scopes_and_categories() -> None:
    assert {kind: (found["spec"]["names"]["shortNames"], found["spec"]["scope"]) for kind, found in CRDS.items()} == {
        "ClusterState": (["cst"], "Namespaced"),
        "StateApproval": (["csa"], "Namespaced"),
        "ClusterStatePlan": (["csp"], "Namespaced"),
        "EmergencyStop": (["cstop"], "Cluster"),
    }
    assert all("cvstate" in found["spec"]["names"]["categories"] for found in CRDS.values())


@every_kind
def test_every_column_shows_a_field_that_exists(kind: str) -> None:
    paths = [column["jsonPath"] for column in CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]]
    plain = [re.sub(r"\[\?\(.*\)\]", "[]", path) for path in paths]
    assert [path for path in plain if path not in NODES[kind] and path != ".metadata.creationTimestamp"] == []


def test_conditions_merge_by_type() -> None:
    conditions = NODES["ClusterState"][".status.conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_what_was_approved_never_changes() -> None:
    fixed = {f"{kind}{path}" for kind, found in NODES.items() for path, node in found.items() if "oldSelf" in str(_rules(node))}
    plan = {f"ClusterStatePlan.spec.{name}" for name in ("clusterState", "digest", "fingerprints")}
    assert fixed == {"StateApproval.spec", *plan}


def _rules(node: dict[str, Any]) -> list[str]:
    return [rule["rule"] for rule in node.get("x-kubernetes-validations", ())]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (StateApprovalSpec, {"planDigest": DIGEST, "reason": " "}),
        (StateApprovalSpec, {"planDigest": DIGEST, "reason": "x" * 1001}),
        (StateApprovalSpec, {"planDigest": DIGEST[:-1], "reason": "x"}),
        (StateApprovalSpec, {"planDigest": DIGEST.upper(), "reason": "x"}),
        (StateApprovalSpec, {"planDigest": DIGEST, "reason": "x", "expiresAt": "2027-01-01"}),
        (StateApprovalSpec, {"planDigest": DIGEST, "reason": "x", "expiresAt": "2027-01-01T00:00:00"}),
        (EmergencyStopSpec, {"reason": ""}),
        (ClusterStatePlanSpec, {"clusterState": "shop", "digest": DIGEST, "total": 1, "fingerprints": "x" * 15}),
        (ClusterStatePlanSpec, {"clusterState": "shop", "digest": DIGEST, "total": -1, "fingerprints": ""}),
    ],
)
def test_the_models_refuse_what_the_schema_refuses(model: Any, body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        model.model_validate(body)


def test_a_plan_is_named_after_its_clusterstate_and_digest() -> None:
    assert plan_name("shop", DIGEST) == "shop-4c1f03a9be12"


@pytest.mark.parametrize("length", range(1, 254))
def test_the_name_of_a_plan_is_a_name_however_long_the_clusterstates_is(length: int) -> None:
    name = plan_name(("a.b-" * 64)[:length].rstrip(".-"), DIGEST)
    assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*-4c1f03a9be12", name)
    assert len(name) <= 253
