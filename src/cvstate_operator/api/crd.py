"""The CRDs of our kinds, made from the models, so that schema and code cannot disagree.

`make crds` writes them to `crds/`, one file per kind; a test keeps those files in step.
Source: Kubernetes, "Specifying a structural schema": no $ref, no title, one type each, nullable by leaving out.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from pydantic import BaseModel

from cvstate_operator.api import names
from cvstate_operator.api.approval import StateApprovalSpec
from cvstate_operator.api.change_plan import ClusterStatePlanSpec
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.emergency_stop import EmergencyStopSpec
from cvstate_operator.api.status import ClusterStateStatus

Column = tuple[str, str, str, int]
"""Name, type, JSON path, priority (1: only with `-o wide`)."""

_AGE: Final[Column] = ("Age", "date", ".metadata.creationTimestamp", 0)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What distinguishes one of our kinds."""

    name: str
    plural: str
    short_name: str
    description: str
    module: str
    """Of its models, for the note in the file."""
    spec: type[BaseModel]
    columns: tuple[Column, ...]
    status: type[BaseModel] | None = None
    is_namespaced: bool = True
    categories: tuple[str, ...] = ("cvstate",)
    annotations: Mapping[str, str] = field(default_factory=dict)


_KINDS: Final = (
    _Kind(
        names.CLUSTER_STATE,
        names.CLUSTER_STATES,
        "cst",
        "Continuously makes a cluster match a directory of a Git repository, and tells how far it does.",
        "clusterstate",
        ClusterStateSpec,
        (
            ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
            ("Drift", "string", '.status.conditions[?(@.type=="Drifted")].status', 0),
            ("Health", "string", '.status.conditions[?(@.type=="Healthy")].status', 0),
            ("Score", "integer", ".status.cv.score", 0),
            ("Revision", "string", ".status.lastAppliedRevision", 0),
            _AGE,
            ("Confidence", "integer", ".status.cv.confidence", 1),
            ("Accepted", "string", '.status.conditions[?(@.type=="Accepted")].status', 1),
            ("Suspended", "boolean", ".spec.suspend", 1),
            ("Window", "string", ".status.window.state", 1),
            ("Objects", "integer", ".status.inventory.objects", 1),
            ("Status", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
        ),
        status=ClusterStateStatus,
        categories=("cvstate", "gitops"),
        annotations={"applyset.kubernetes.io/is-parent-type": "true"},
    ),
    _Kind(
        names.STATE_APPROVAL,
        names.STATE_APPROVALS,
        "csa",
        "Consents to what a ClusterStatePlan shows. Whoever may create these may approve: see docs/approvals.md.",
        "approval",
        StateApprovalSpec,
        (
            ("Reason", "string", ".spec.reason", 0),
            ("Expires", "string", ".spec.expiresAt", 0),
            _AGE,
            ("Plan", "string", ".spec.planDigest", 1),
        ),
    ),
    _Kind(
        names.CLUSTER_STATE_PLAN,
        names.CLUSTER_STATE_PLANS,
        "csp",
        "What waits for consent in a ClusterState. Written by the operator only; consent is given by a StateApproval that names its digest.",
        "change_plan",
        ClusterStatePlanSpec,
        (
            ("ClusterState", "string", ".spec.clusterState", 0),
            ("Prune", "integer", ".spec.counts.prune", 0),
            ("Recreate", "integer", ".spec.counts.recreate", 0),
            ("Drift", "integer", ".spec.counts.drift", 0),
            _AGE,
            # A JSON path cannot shorten it; the name of a plan ends in its first digits.
            ("Digest", "string", ".spec.digest", 1),
            ("Revision", "string", ".spec.revision", 1),
        ),
    ),
    _Kind(
        names.EMERGENCY_STOP,
        names.EMERGENCY_STOPS,
        "cstop",
        "While one exists, the operator writes to no object of any ClusterState; looking goes on.",
        "emergency_stop",
        EmergencyStopSpec,
        (("Reason", "string", ".spec.reason", 0), _AGE),
        is_namespaced=False,
    ),
)


def definitions() -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions of all our kinds as plain data, deterministic; ClusterState comes first."""
    return tuple(_definition(kind) for kind in _KINDS)


def cluster_state_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of ClusterState."""
    return _definition(_KINDS[0])


def _definition(kind: _Kind) -> dict[str, Any]:
    schema = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(kind.spec),
            **({"status": structural_schema(kind.status)} if kind.status else {}),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{names.GROUP}",
            **({"annotations": dict(kind.annotations)} if kind.annotations else {}),
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced" if kind.is_namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": list(kind.categories),
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if kind.status else {}),
                    "additionalPrinterColumns": [_column(*column) for column in kind.columns],
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


def main(plurals: list[str]) -> None:
    """Print the CRDs of these kinds (none: all) as YAML, each with a note on where it comes from.

    Raises:
        KeyError: no such kind.
    """
    by_plural = {kind.plural: kind for kind in _KINDS}
    for number, plural in enumerate(plurals or by_plural):
        kind = by_plural[plural]
        print("---\n" * bool(number) + f"# Made from src/cvstate_operator/api/{kind.module}.py by `make crds`; do not edit.")
        print(yaml.safe_dump(_definition(kind), sort_keys=False, width=140, allow_unicode=True), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
