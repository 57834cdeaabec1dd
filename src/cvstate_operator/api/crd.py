"""The CRD of ClusterState, made from the models, so that schema and code cannot disagree.

`make crds` writes it to `crds/`; a test keeps that file in step.
Source: Kubernetes, "Specifying a structural schema": no $ref, no title, one type each, nullable by leaving out.
"""

from typing import Any

import yaml
from pydantic import BaseModel

from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.status import ClusterStateStatus

_PRINTER_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Drift", "string", '.status.conditions[?(@.type=="Drifted")].status', 0),
    ("Revision", "string", ".status.lastAppliedRevision", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Objects", "integer", ".status.inventory.objects", 1),
    ("Status", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
)
"""Name, type, JSON path, priority (1: only with `-o wide`)."""


def cluster_state_crd() -> dict[str, Any]:
    """The CustomResourceDefinition as plain data, deterministic."""
    schema = {
        "description": "Continuously makes a cluster match a directory of a Git repository, and tells how far it does.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(ClusterStateSpec),
            "status": structural_schema(ClusterStateStatus),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.CLUSTER_STATES}.{names.GROUP}", "annotations": {"applyset.kubernetes.io/is-parent-type": "true"}},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.CLUSTER_STATE,
                "listKind": f"{names.CLUSTER_STATE}List",
                "plural": names.CLUSTER_STATES,
                "singular": names.CLUSTER_STATE.lower(),
                "shortNames": ["cst"],
                "categories": ["cvstate", "gitops"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in _PRINTER_COLUMNS],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI schema of a model in the form the API server accepts."""
    raw = model.model_json_schema(by_alias=True)
    schema = _structural(raw, raw.get("$defs", {}))
    assert isinstance(schema, dict)  # a model's schema is always an object  # noqa: S101
    return schema


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column


def _structural(node: Any, definitions: dict[str, Any]) -> Any:
    """Inline references, drop titles, and turn `X or null` into an optional X."""
    if isinstance(node, list):
        return [_structural(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        (chosen,) = (option for option in node["anyOf"] if option.get("type") != "null")
        node = {**_structural(chosen, definitions), **{key: value for key, value in node.items() if key != "anyOf"}}
    if node.get("x-kubernetes-preserve-unknown-fields"):
        node = {key: value for key, value in node.items() if key != "additionalProperties"}
    return {
        key: {name: _structural(sub, definitions) for name, sub in value.items()}
        if key == "properties"
        else _structural(value, definitions)
        for key, value in node.items()
        if key not in ("title", "$defs") and not (key == "default" and value is None)
    }


def main() -> None:
    """Print the CRD as YAML, with a note on where it comes from."""
    print("# Made from src/cvstate_operator/api/clusterstate.py by `make crds`; do not edit.")
    print(yaml.safe_dump(cluster_state_crd(), sort_keys=False, width=140, allow_unicode=True), end="")


if __name__ == "__main__":
    main()
