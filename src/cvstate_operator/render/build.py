"""Build: the child process that turns a commit into objects (`isolation/task.py` runs it).

Plain YAML comes straight from Git's object database; only files that are new are read, each once, however many commits and ClusterStates hold it. For
kustomize and Helm the directories they need are written into this process's own home, and the official program is run there.
"""

import hashlib
import os
import posixpath
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import orjson
import pygit2
from pygit2.enums import RepositoryOpenFlag

from cvstate_operator import errors
from cvstate_operator.isolation import task
from cvstate_operator.render import checkout, kustomization_file, listing, shares
from cvstate_operator.render import program as runner
from cvstate_operator.render.globs import matcher
from cvstate_operator.render.parse import Options, parse
from cvstate_operator.render.paths import CHART_FILE
from cvstate_operator.render.store import Store

_PLAIN: Final = RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.NO_DOTGIT | RepositoryOpenFlag.BARE
"""This directory itself, not one above it."""


BATCH_SECONDS: Final = 1.0
"""After this a batch takes up no more: whoever still waits is rendered alone, at the same time as others."""


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Render one directory, or with `batch` one after another of them; see `render`.

    Returns:
        What `render` does. Of a batch `answers`, one for each: `{"ok": …}`, `{"error": …}` (`errors.to_data`), or nothing if it has to be rendered alone.
    """
    if "batch" not in request:
        return render(request)
    end = time.monotonic() + BATCH_SECONDS
    return {"answers": [_together(one) if time.monotonic() < end else {} for one in request["batch"]]}


def _together(request: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = render(request, only_plain=True)
    except errors.CvstateError as exc:
        return {"error": errors.to_data(exc)}
    return {"ok": answer} if answer else {}


def render(request: dict[str, Any], *, only_plain: bool = False) -> dict[str, Any]:
    """Render one directory of a commit into the store.

    Args:
        request: `repository` (bare), `tree` (of the commit), `directory` (tree at the path), `path`, `previous` (tree at the path that the caller knows
            the files of; or empty), `type`, `include`, `exclude`, `options` (of `parse.Options`), `store` (directory), `helm` (of `HelmRecipe`), `tools`
            ({"kustomize" | "helm": path of the program}).
        only_plain: answer nothing where kustomize or Helm would have to be run.

    Returns:
        `type`, `tool`, `warnings`; `changed` {path: key of its content} of new and changed files, `refused` {path: [reason, message]} of entries that are
        never read, `gone` [path]; `indexes` {key: index, as the store tells it} of all contents in `changed`; `complete`: whether paths that are not told
        are gone; `comparable`: whether the next render may name this one as `previous`.

    Raises:
        BuildFailedError: nothing can be said about any file.
        CacheLostError: the repository lacks objects.
        MemoryError, OutOfRoomError: more would have to be read or written than it may.
    """
    try:
        repository = pygit2.Repository(request["repository"], _PLAIN)
        root, directory = repository[request["tree"]], repository[request["directory"]]
        if not (isinstance(root, pygit2.Tree) and isinstance(directory, pygit2.Tree)):
            raise KeyError(request["tree"])
        kind = request["type"] if request["type"] != "Auto" else _detect(directory)
        if only_plain and kind != "Plain":
            return {}
        store = Store(Path(request["store"]).parent, most_bytes=checkout.part_bytes(request))
        if kind == "Plain":
            return {"type": kind, "tool": "", "warnings": [], **_plain(repository, root, directory, request, store)}
        return {"type": kind, **_whole(repository, root, kind, request, store)}
    except runner.ProgramMemoryError as exc:
        raise MemoryError(exc.message) from exc
    except runner.ProgramOutputError as exc:
        if checkout.part_bytes(request) < runner.MAX_OUTPUT_BYTES:
            raise task.OutOfRoomError(exc.message) from exc
        raise errors.RenderTooLargeError(exc.message) from exc
    except (pygit2.GitError, KeyError) as exc:
        task.raise_if_short(exc)
        raise errors.CacheLostError("the cached repository is damaged; it is fetched again") from exc


def _detect(directory: pygit2.Tree) -> str:
    files = {entry.name for entry in directory if isinstance(entry, pygit2.Blob)}
    if files.intersection(kustomization_file.FILE_NAMES):
        return "Kustomize"
    return "Helm" if CHART_FILE in files else "Plain"


def _plain(
    repository: pygit2.Repository, root: pygit2.Tree, directory: pygit2.Tree, request: Mapping[str, Any], store: Store
) -> dict[str, Any]:
    before = repository.get(request["previous"]) if request["previous"] else None
    options = Options.from_request(request["options"])
    found = listing.compare(
        root,
        directory,
        before if isinstance(before, pygit2.Tree) else None,
        path=checkout.path_of(request),
        wanted=matcher(request["include"], request["exclude"]),
    )
    changed = {where: f"{blob}-{options.key}" if options.key else blob for where, blob in found.files.items()}
    indexes = store.find(dict.fromkeys(changed.values()))
    fresh = {key: found.files[where] for where, key in changed.items() if key not in indexes}
    parsed = shares.parse_all(repository, fresh, options, store, shares=shares.count([found.sizes[blob] for blob in fresh.values()]))
    return {
        "changed": changed,
        "refused": found.refused,
        "gone": found.gone,
        "indexes": {**indexes, **parsed},
        # Without a tree to compare with, everything is told, and what is not told is gone.
        "complete": not isinstance(before, pygit2.Tree),
        # Where a link leads may change although the link does not, so the next render has to look at all of them again.
        "comparable": not found.has_links,
    }


def _whole(repository: pygit2.Repository, root: pygit2.Tree, kind: str, request: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Kustomize or Helm: all of it or nothing."""
    options = Options.from_request(request["options"])
    builder = _builder(kind)
    tool = builder.tool(request["tools"])
    inputs = orjson.dumps(
        [kind, tool, str(root.id), request["path"], request["helm"] if kind == "Helm" else None], option=orjson.OPT_SORT_KEYS
    )
    key = hashlib.sha256(inputs).hexdigest()[:40] + (f"-{options.key}" if options.key else "")
    indexes = store.find([key])
    if key not in indexes:
        text, warnings = builder.build(repository, root, request, Path(os.environ["HOME"]))
        # Values of a chart that come from ConfigMaps and Secrets.
        index, bodies = parse(text, options, may_be_secret=kind == "Helm" and bool(request["helm"].get("values_documents")))
        if index["problems"]:
            raise _unusable(f"what {tool} made of {request['path']} cannot be used", index["problems"])
        with store.write() as writing:
            writing.add(key, {**index, "warnings": list(warnings)}, bodies)
        indexes = writing.indexes
    where = posixpath.join(checkout.path_of(request), "kustomization.yaml" if kind == "Kustomize" else CHART_FILE)
    return {
        "tool": tool,
        "warnings": indexes[key]["warnings"],
        "changed": {where: key},
        "refused": {},
        "gone": [],
        "indexes": indexes,
        "complete": True,
        "comparable": False,
    }


def _builder(kind: str) -> ModuleType:
    """What only some renders need is loaded by the child, in a fraction of the time that they take, and not kept by the fork server."""
    if kind == "Kustomize":
        from cvstate_operator.render import kustomizations

        return kustomizations
    from cvstate_operator.render import charts

    return charts


def _unusable(what: str, problems: Sequence[Sequence[Any]]) -> errors.BuildFailedError:
    """The first of the problems as an error, and how many more there are."""
    _, name, reason, message, field = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    told = " ".join(part for part in (name, field, message) if part)
    kinds = {"VariableMissing": errors.VariableMissingError, "RenderTooLarge": errors.RenderTooLargeError}
    return kinds.get(reason, errors.BuildFailedError)(f"{what}: {told}{more}")
