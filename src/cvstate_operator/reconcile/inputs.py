"""Inputs: what a spec refers to (Secrets, ConfigMaps), read and put together into what source and render need."""

from collections.abc import Mapping
from typing import Final

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.render import HelmValuesReference, ValuesReference
from cvstate_operator.api.source import GitSource
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.recipe import Capabilities, HelmRecipe, Recipe
from cvstate_operator.reconcile.ports import References

SECRET: Final = "Secret"  # noqa: S105 - a kind


async def access(references: References, git: GitSource, namespace: str, *, max_age: float) -> Access:
    """Credentials and trusted keys of a source.

    Raises:
        ReferenceMissingError: a Secret is not there.
        CvstateError: it could not be read.
    """
    secret, credentials, keys = "", {}, {}
    if git.secret_ref:
        secret = f"{namespace}/{git.secret_ref.name}"
        credentials = dict(await references.read(SECRET, namespace, git.secret_ref.name, max_age=max_age))
    if git.verify:
        keys = dict(await references.read(SECRET, namespace, git.verify.secret_ref.name, max_age=max_age))
    return Access(secret, credentials, keys, namespace)


async def recipe(
    references: References, spec: ClusterStateSpec, *, name: str, namespace: str, capabilities: Capabilities, max_age: float
) -> Recipe:
    """How the ClusterState wants its source rendered.

    Raises:
        ReferenceMissingError: a ConfigMap or Secret is not there and not optional.
        CvstateError: one could not be read.
    """
    render, git = spec.render, spec.source.git
    target = render.target_namespace
    documents = [await _values_document(references, reference, namespace, max_age) for reference in render.helm.values_from]
    return Recipe(
        type=render.type.value,
        include=tuple(git.include),
        exclude=tuple(git.exclude),
        variables=await _variables(references, spec, namespace, max_age),
        strict=render.strict_variables,
        common_labels=render.common_labels,
        target_namespace=target,
        helm=HelmRecipe(
            release_name=render.helm.release_name or name,
            namespace=release_namespace(spec, namespace),
            values=render.helm.values,
            values_files=tuple(render.helm.values_files),
            values_documents=tuple(document for document in documents if document),
            kube_version=capabilities.kube_version,
            api_versions=capabilities.api_versions,
        ),
    )


def release_namespace(spec: ClusterStateSpec, namespace: str) -> str:
    """The namespace of a chart's release: objects that name none go there, as `helm install` does it. `namespace` is that of the ClusterState."""
    return spec.render.helm.namespace or spec.render.target_namespace or namespace


async def _variables(references: References, spec: ClusterStateSpec, namespace: str, max_age: float) -> Mapping[str, str] | None:
    if spec.render.substitute is None and not spec.render.substitute_from:
        return None
    values: dict[str, str] = {}
    for reference in spec.render.substitute_from:
        for key, value in (await _read(references, reference, namespace, max_age)).items():
            if key.isidentifier() and key.isascii():
                values[key] = _decode(value, reference, key)
    return {**values, **(spec.render.substitute or {})}


async def _values_document(
    references: References, reference: HelmValuesReference, namespace: str, max_age: float
) -> tuple[str, str] | None:
    data = await _read(references, reference, namespace, max_age)
    if reference.values_key not in data:
        if reference.optional:
            return None
        raise errors.ReferenceMissingError(
            f"{reference.kind} {namespace}/{reference.name} has no key {reference.values_key}; add it, or correct spec.render.helm.valuesFrom"
        )
    return reference.target_path or "", _decode(data[reference.values_key], reference, reference.values_key)


async def _read(references: References, reference: ValuesReference, namespace: str, max_age: float) -> Mapping[str, bytes]:
    try:
        return await references.read(reference.kind.value, namespace, reference.name, max_age=max_age)
    except errors.ReferenceMissingError:
        if reference.optional:
            return {}
        raise


def _decode(value: bytes, reference: ValuesReference, key: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise errors.InvalidSpecError(f"{reference.kind} {reference.name}: key {key} is not UTF-8 text") from exc
