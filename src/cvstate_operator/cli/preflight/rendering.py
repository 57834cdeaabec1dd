"""Rendering: the texts that an order stands for. Used in the child only.

Plain YAML file by file, so that one bad file does not hide the others; kustomize and Helm all or nothing, by the programs that the operator uses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cvstate_operator import errors
from cvstate_operator.cli.preflight import files
from cvstate_operator.cli.preflight.recipe import Order
from cvstate_operator.objects.problem import Problem
from cvstate_operator.render import helm, kustomization_file, kustomize
from cvstate_operator.render.build import CHART_FILE
from cvstate_operator.render.files import DiskFiles
from cvstate_operator.render.globs import matcher


@dataclass(frozen=True, slots=True)
class Text:
    """Manifests."""

    file: str
    """Relative to the order's path; for kustomize and Helm the file that all came from."""
    content: bytes
    is_source: bool = True
    """Whether lines of `content` are lines of `file`."""


def texts(order: Order, tools: Mapping[str, str]) -> tuple[list[Text], list[Problem]]:
    """Everything to look at, and what cannot be.

    Args:
        order: what to render.
        tools: `kustomize` and `helm`, and where the programs are.

    Raises:
        PathNotFoundError: there is nothing at the path.
        ToolMissingError: kustomize or Helm is not installed; that is no fault of the files.
    """
    target = order.root / order.path
    kind = order.recipe.type if order.recipe.type != "Auto" else _detect(target)
    if kind == "Plain":
        return _plain(order, target)
    file = _main_file(target, kind)
    try:
        content = _kustomize(order, tools) if kind == "Kustomize" else _helm(order, tools)
    except errors.ToolMissingError:
        raise
    except errors.BuildFailedError as exc:
        return [], [Problem(file, 0, "", exc.reason, exc.message)]
    return [Text(file, content, is_source=False)], []


def _detect(target: Path) -> str:
    if any((target / name).is_file() for name in kustomization_file.FILE_NAMES):
        return "Kustomize"
    return "Helm" if (target / CHART_FILE).is_file() else "Plain"


def _main_file(target: Path, kind: str) -> str:
    candidates: Iterator[str] = iter(kustomization_file.FILE_NAMES if kind == "Kustomize" else (CHART_FILE,))
    return next((name for name in candidates if (target / name).is_file()), "")


def _plain(order: Order, target: Path) -> tuple[list[Text], list[Problem]]:
    wanted = matcher(order.recipe.include, order.recipe.exclude)
    paths, problems = files.listed(target)
    found = []
    for path in paths:
        if path and not wanted(path):
            continue
        try:
            found.append(Text(path, files.read(target, path)))
        except (errors.SourceInvalidError, errors.RenderTooLargeError) as exc:
            problems.append(Problem(path, 0, "", exc.reason, exc.message))
    # A directory is wanted if a manifest in it would be.
    return found, [problem for problem in problems if wanted(problem.file + "_.yaml" if problem.file.endswith("/") else problem.file)]


def _kustomize(order: Order, tools: Mapping[str, str]) -> bytes:
    if "kustomize" not in tools:
        raise errors.ToolMissingError(f"kustomize is not installed; put {kustomize.KUSTOMIZE_VERSION} on PATH, or check with --type plain")
    kustomize.roots(DiskFiles(order.root), order.path)
    return kustomize.build(order.root, order.path, program=Path(tools["kustomize"]))


def _helm(order: Order, tools: Mapping[str, str]) -> bytes:
    if "helm" not in tools:
        raise errors.ToolMissingError(f"Helm is not installed; put {helm.HELM_VERSION} on PATH, or check with --type plain")
    return helm.template(order.root, order.path, order.recipe.helm, program=Path(tools["helm"])).text
