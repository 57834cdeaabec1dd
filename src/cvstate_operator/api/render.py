"""ClusterState, `spec.render`: how files become objects."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from cvstate_operator.api.model import NAME_PATTERN, ApiModel
from cvstate_operator.api.source import PATH_PATTERN

_RESERVED_LABELS: Final = ("applyset.kubernetes.io/", "cvstate.io/")
_PATH_PROPERTY: Final = r"^[A-Za-z0-9_.\[\]-]+$"


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    for key in labels:
        if key.startswith(_RESERVED_LABELS):
            raise ValueError(f"must not hold {key}: labels of applyset.kubernetes.io and cvstate.io say whose an object is")
    return labels


def _check_variables(values: dict[str, str]) -> dict[str, str]:
    for name in values:
        if not name.replace("_", "a").isalnum() or name[0].isdigit() or not name.isascii():
            raise ValueError("has a name that is no variable name; use letters, digits and _, not starting with a digit")
    return values


Variables = Annotated[dict[str, Annotated[str, Field(max_length=65536)]], Field(max_length=256), AfterValidator(_check_variables)]


class RenderType(StrEnum):
    """Kinds of sources."""

    AUTO = "Auto"
    PLAIN = "Plain"
    KUSTOMIZE = "Kustomize"
    HELM = "Helm"


class ReferenceKind(StrEnum):
    """Kinds of objects that hold values."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - a kind


class ValuesReference(ApiModel):
    """A ConfigMap or Secret in the ClusterState's namespace."""

    kind: ReferenceKind = Field(description="ConfigMap or Secret.")
    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)] = Field(description="Its name.")
    optional: bool = Field(False, description="Go on without it if it does not exist.")


class HelmValuesReference(ValuesReference):
    """Helm values in a ConfigMap or Secret."""

    values_key: str = Field("values.yaml", description="The key that holds them.", max_length=253)
    target_path: Annotated[str, Field(pattern=_PATH_PROPERTY, max_length=250)] | None = Field(
        None, description="Put the key's content there as one string, for example 'image.tag'. Absent: it is a YAML document of values."
    )


class Helm(ApiModel):
    """How a chart in the repository is rendered; source.git.path is the chart's directory."""

    release_name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$")] | None = Field(
        None, description="Name of the release, as templates see it. Default: the ClusterState's name."
    )
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] | None = Field(
        None,
        description="Namespace of the release, as templates see it. Default: render.targetNamespace, or else the ClusterState's namespace.",
    )
    values: dict[str, Any] = Field(
        {}, description="Values; they win over all others.", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )
    values_files: list[Annotated[str, Field(pattern=PATH_PATTERN, max_length=1024)]] = Field(
        [],
        description="Files of values, relative to the chart; they win over the chart's values.yaml, later ones over earlier ones. They may lie beside the chart.",
        max_length=32,
    )
    values_from: list[HelmValuesReference] = Field(
        [], description="ConfigMaps and Secrets with values; they win over files.", max_length=32
    )


class Render(ApiModel):
    """How files become objects."""

    type: RenderType = Field(
        RenderType.AUTO, description="Auto: Kustomize if the path holds a kustomization, Helm if it holds a Chart.yaml, else Plain."
    )
    helm: Helm = Field(default_factory=Helm, description="For charts.")
    target_namespace: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")] = Field(
        "", description="Namespace of every namespaced object, whatever it says itself. Empty: as it says, or else the ClusterState's."
    )
    common_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], AfterValidator(_check_labels)] = Field(
        {}, description="Labels put on every object; not into selectors or templates.", max_length=32
    )
    strict_variables: bool = Field(True, description="A variable without value and default is an error; if false it is empty.")
    substitute: Variables | None = Field(
        None,
        description="Values of ${variables} in the files; they win over substituteFrom. Without substitute and substituteFrom ${…} is plain text.",
    )
    substitute_from: list[ValuesReference] = Field(
        [], description="ConfigMaps and Secrets whose keys are variables; later ones win over earlier ones.", max_length=32
    )
