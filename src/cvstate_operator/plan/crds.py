"""CRDs of the same commit: kinds that do not exist yet but will, once their CustomResourceDefinition is applied."""

from collections.abc import Iterable, Mapping
from typing import Any

from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk


def is_crd(kind: GroupKind) -> bool:
    """Whether objects of this kind define other kinds."""
    return kind == GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")


def declared_resources(definitions: Iterable[Mapping[str, Any]]) -> dict[Gvk, ApiResource]:
    """The resources that CustomResourceDefinitions will bring; a definition that is not well formed brings none (the API server will say why)."""
    found: dict[Gvk, ApiResource] = {}
    for definition in definitions:
        spec = definition.get("spec")
        try:
            names, group, namespaced = spec["names"], spec["group"], spec["scope"] == "Namespaced"  # type: ignore[index]
            for version in spec["versions"]:  # type: ignore[index]
                if version.get("served"):
                    gvk = Gvk(group, version["name"], names["kind"])
                    subresources = version.get("subresources")
                    has_status = isinstance(subresources, Mapping) and subresources.get("status") is not None
                    found[gvk] = ApiResource(gvk, names["plural"], namespaced, has_status)
        except (KeyError, TypeError, AttributeError):
            continue
    return found
