"""Recipes: everything besides the commit that decides what a render gives. Made from the spec and what it refers to, read by the renderer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self


class Capabilities(NamedTuple):
    """What charts may ask of the target cluster."""

    kube_version: str = ""
    """As in `v1.36.3`; empty if it is not known."""
    api_versions: tuple[str, ...] = ()
    """`apps/v1` and `apps/v1/Deployment`, sorted."""


@dataclass(frozen=True, slots=True)
class HelmRecipe:
    """For charts."""

    release_name: str
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """Inline values; they win."""
    values_files: tuple[str, ...] = ()
    """Paths relative to the chart."""
    values_documents: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """From ConfigMaps and Secrets, in order: where it is to be put (a path such as `image.tag`; empty for the root), and the text."""
    kube_version: str = ""
    """Version of the target cluster, as charts see it."""
    api_versions: tuple[str, ...] = ()
    """What the target cluster serves, as charts see it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to render one source. Equal recipes and equal commits give equal objects."""

    type: str = "Auto"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = field(default=None, repr=False)
    """Values of ${variables}; None: nothing is substituted."""
    strict: bool = True
    common_labels: Mapping[str, str] = field(default_factory=dict)
    target_namespace: str = ""
    helm: HelmRecipe = HelmRecipe("release", "default")

    def bearing_on(self, kind: str) -> Self:
        """What of it decides a render of this kind (`Plain`, `Kustomize`, `Helm`): what charts need does not touch others."""
        return self if kind == "Helm" else replace(self, helm=HelmRecipe("", ""))
