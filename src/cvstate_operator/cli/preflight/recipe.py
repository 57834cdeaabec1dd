"""Recipe: what is to be rendered, and how, from a ClusterState in a file and from options of the command line. Used in the child only."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.recipe import Capabilities, HelmRecipe, Recipe
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.reconcile import inputs
from cvstate_operator.render.files import DiskFiles
from cvstate_operator.render.parse import parse
from cvstate_operator.vital import declared

RELEASE: Final = "release"
"""Name of a Helm release where no ClusterState gives one."""
GIT: Final = ".git"


@dataclass(frozen=True, slots=True)
class Order:
    """What to render."""

    root: Path
    """The repository: nothing outside it is read."""
    path: str
    """Directory or file in it; empty for the repository itself."""
    namespace: str
    """Where objects go that name none."""
    recipe: Recipe


def order(request: Mapping[str, Any]) -> Order:
    """What the request asks for; its keys are described in `task.py`.

    Raises:
        InvalidSpecError: the ClusterState cannot work.
        SourceInvalidError: its file cannot be read, or holds not exactly one.
        SymlinkEscapesError: its path leads out of the repository.
    """
    target, namespace = Path(request["root"]), str(request["namespace"])
    if request["clusterstate"]:
        state = _cluster_state(Path(request["clusterstate"]))
        metadata = state["metadata"]
        namespace = metadata.get("namespace") or namespace
        spec = parse_spec(state.get("spec") or {})
        declared.check(spec.vital)
        root, path = target, spec.source.git.path.strip("/").removeprefix("./")
        DiskFiles(root).directory(path)  # raises for a link that leads out of the repository
        recipe = _recipe(spec, name=metadata["name"], namespace=namespace)
    else:
        root = _repository(target)
        path = target.relative_to(root).as_posix()
        recipe = Recipe(helm=HelmRecipe(RELEASE, namespace))
    return Order(root, "" if path == "." else path, namespace, _with_options(recipe, request))


def for_cluster(order: Order, schemas: Mapping[str, Any]) -> Order:
    """The order with what charts may ask of a cluster: its version, and the kinds it serves.

    Args:
        order: what to render.
        schemas: of `openapi.compact`.
    """
    kinds = [Gvk(group, version, kind) for group, version, kind, *_ in schemas["kinds"]]
    served = {gvk.api_version for gvk in kinds} | {f"{gvk.api_version}/{gvk.kind}" for gvk in kinds}
    helm = replace(order.recipe.helm, kube_version=schemas["version"], api_versions=tuple(sorted(served)))
    return replace(order, recipe=replace(order.recipe, helm=helm))


def _with_options(recipe: Recipe, request: Mapping[str, Any]) -> Recipe:
    """The recipe with what the command line says, which wins."""
    given: dict[str, str] = request["variables"]
    return replace(
        recipe,
        type=request["type"] or recipe.type,
        include=tuple(request["include"]) or recipe.include,
        exclude=(*recipe.exclude, *request["exclude"]),
        variables={**(recipe.variables or {}), **given} if given else recipe.variables,
    )


def _recipe(spec: ClusterStateSpec, *, name: str, namespace: str) -> Recipe:
    """As the operator makes it, but for ConfigMaps and Secrets, which are in the cluster: --vars stands in for them."""
    helm = spec.render.helm.model_copy(update={"values_from": []})
    spec = spec.model_copy(update={"render": spec.render.model_copy(update={"helm": helm})})
    return asyncio.run(inputs.recipe(_Nothing(), spec, name=name, namespace=namespace, capabilities=Capabilities(), max_age=0.0))


class _Nothing:
    """References of which nothing is known."""

    async def read(self, kind: str, namespace: str, name: str, *, max_age: float) -> Mapping[str, bytes]:
        """No keys."""
        return {}


def _cluster_state(file: Path) -> Body:
    try:
        index, bodies = parse(file.read_bytes())
    except OSError as exc:
        raise errors.SourceInvalidError(
            f"{one_line(str(file), 200)} cannot be read: {exc.strerror}; give a file with a ClusterState"
        ) from exc
    found = [entry for entry in index["objects"] if entry[0] == names.API_VERSION and entry[1] == names.CLUSTER_STATE]
    if len(found) != 1 or index["problems"]:
        said = f": {index['problems'][0][3]}" if index["problems"] else ""
        raise errors.SourceInvalidError(f"{one_line(str(file), 200)} must hold exactly one ClusterState, it holds {len(found)}{said}")
    *_, offset, length = found[0]
    body: Body = orjson.loads(bodies[offset : offset + length])
    return body


def _repository(target: Path) -> Path:
    """The checkout that holds `target`; without one, the directory itself."""
    start = target if target.is_dir() else target.parent
    return next((place for place in (start, *start.parents) if (place / GIT).exists()), start)
