"""Build: the child process that turns a commit into objects (`isolation/task.py` runs it).

Plain YAML comes straight from Git's object database; only files that are new are read, each once, however many commits and ClusterStates hold it. For
kustomize and Helm the directories they need are written into this process's own home, and the official program is run there.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pygit2

from cvstate_operator import errors
from cvstate_operator.render import charts, kustomizations, listing
from cvstate_operator.render.globs import matcher
from cvstate_operator.render.parse import Options, parse
from cvstate_operator.render.store import Store

KUSTOMIZATION_FILES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART_FILE: Final = "Chart.yaml"


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Render one directory of a commit into the store.

    Args:
        request: `repository` (bare), `tree` (of the commit), `directory` (tree at the path), `path`, `previous` (tree at the path that the caller knows
            the files of; or empty), `type`, `include`, `exclude`, `options` (of `parse.Options`), `store` (directory), `helm` (of `HelmRecipe`), `tools`
            ({"kustomize" | "helm": path of the program}).

    Returns:
        `type`, `tool`, `warnings`; `changed` {path: key of its content in the store} of new and changed files, `refused` {path: [reason, message]} of
        entries that are never read, `gone` [path]; `indexes` {key: index} of contents that were rendered now.

    Raises:
        BuildFailedError: nothing can be said about any file.
        CacheLostError: the repository lacks objects.
    """
    try:
        repository = pygit2.Repository(request["repository"])
        root, directory = repository[request["tree"]], repository[request["directory"]]
        if not (isinstance(root, pygit2.Tree) and isinstance(directory, pygit2.Tree)):
            raise KeyError(request["tree"])
        kind = request["type"] if request["type"] != "Auto" else _detect(directory)
        store = Store(Path(request["store"]).parent)
        if kind == "Plain":
            return {"type": kind, "tool": "", "warnings": [], **_plain(repository, root, directory, request, store)}
        return {"type": kind, **_whole(repository, root, kind, request, store)}
    except (pygit2.GitError, KeyError) as exc:
        raise errors.CacheLostError("the cached repository is damaged; it is fetched again") from exc


def _detect(directory: pygit2.Tree) -> str:
    if any(name in directory for name in KUSTOMIZATION_FILES):
        return "Kustomize"
    return "Helm" if CHART_FILE in directory else "Plain"


def _plain(
    repository: pygit2.Repository, root: pygit2.Tree, directory: pygit2.Tree, request: Mapping[str, Any], store: Store
) -> dict[str, Any]:
    before = repository.get(request["previous"]) if request["previous"] else None
    options = Options.from_request(request["options"])
    path = "" if request["path"] in (".", "./") else request["path"].strip("/").removeprefix("./")
    found = listing.compare(
        root,
        directory,
        before if isinstance(before, pygit2.Tree) else None,
        path=path,
        wanted=matcher(request["include"], request["exclude"]),
    )
    changed, indexes = {}, {}
    for where, blob in found.files.items():
        key = changed[where] = f"{blob}-{options.key}" if options.key else blob
        if key not in indexes and not store.has(key):
            index, bodies = parse(repository[blob].read_raw(), options)
            indexes[key] = store.write(key, index, bodies)
    # Without a tree to compare with, everything is told, and what is not told is gone.
    return {
        "changed": changed,
        "refused": found.refused,
        "gone": found.gone,
        "indexes": indexes,
        "complete": not isinstance(before, pygit2.Tree),
    }


def _whole(repository: pygit2.Repository, root: pygit2.Tree, kind: str, request: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Kustomize or Helm: all of it or nothing."""
    options = Options.from_request(request["options"])
    builder = kustomizations if kind == "Kustomize" else charts
    tool = builder.tool(request["tools"])
    inputs = orjson.dumps(
        [kind, tool, str(root.id), request["path"], request["helm"] if kind == "Helm" else None], option=orjson.OPT_SORT_KEYS
    )
    key = hashlib.sha256(inputs).hexdigest()[:40] + (f"-{options.key}" if options.key else "")
    indexes: dict[str, Any] = {}
    if not store.has(key):
        text, warnings = builder.build(repository, root, request, Path(os.environ["HOME"]))
        index, bodies = parse(text, options)
        if index["problems"]:
            _, name, reason, message, field = index["problems"][0]
            more = f" (and {len(index['problems']) - 1} more)" if len(index["problems"]) > 1 else ""
            kinds = {"VariableMissing": errors.VariableMissingError, "RenderTooLarge": errors.RenderTooLargeError}
            raise kinds.get(reason, errors.BuildFailedError)(
                f"what {tool} made of {request['path']} cannot be used: {name} {field} {message}{more}"
            )
        indexes[key] = store.write(key, {**index, "warnings": list(warnings)}, bodies)
    where = "/".join(part for part in (request["path"].strip("./"), "kustomization.yaml" if kind == "Kustomize" else CHART_FILE) if part)
    warnings = indexes[key]["warnings"] if key in indexes else store.index(key).get("warnings", [])
    return {"tool": tool, "warnings": warnings, "changed": {where: key}, "refused": {}, "gone": [], "indexes": indexes, "complete": True}
