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
from cvstate_operator.render import checkout, export, helm, kustomization_file, kustomize
from cvstate_operator.render.files import DiskFiles
from cvstate_operator.render.globs import matcher
from cvstate_operator.render.paths import CHART_FILE


@dataclass(frozen=True, slots=True)
class Rendering:
    """What an order stands for."""

    texts: tuple["Text", ...] = ()
    problems: tuple[Problem, ...] = ()
    """What cannot be read or rendered."""
    notes: tuple[Problem, ...] = ()
    """What somebody should know though the render is good."""
    namespace: str = ""
    """Where a chart's objects go that name none; empty if that is as for every source."""


@dataclass(frozen=True, slots=True)
class Text:
    """Manifests."""

    file: str
    """Relative to the order's path; for kustomize and Helm the file that all came from."""
    content: bytes
    is_source: bool = True
    """Whether lines of `content` are lines of `file`."""


def render(order: Order, tools: Mapping[str, str]) -> Rendering:
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
        return _kustomize(order, tools, file) if kind == "Kustomize" else _helm(order, tools, file)
    except errors.ToolMissingError:
        raise
    except (errors.BuildFailedError, errors.SourceInvalidError) as exc:
        return Rendering(problems=(Problem(file, 0, "", exc.reason, exc.message),))


def _detect(target: Path) -> str:
    if any((target / name).is_file() for name in kustomization_file.FILE_NAMES):
        return "Kustomize"
    return "Helm" if (target / CHART_FILE).is_file() else "Plain"


def _main_file(target: Path, kind: str) -> str:
    candidates: Iterator[str] = iter(kustomization_file.FILE_NAMES if kind == "Kustomize" else (CHART_FILE,))
    return next((name for name in candidates if (target / name).is_file()), "")


def _plain(order: Order, target: Path) -> Rendering:
    wanted = matcher(order.recipe.include, order.recipe.exclude)
    paths, problems = files.listed(target, order.root)
    found = []
    for path in paths:
        if path and not wanted(path):
            continue
        try:
            found.append(Text(path, files.read(target, path)))
        except (errors.SourceInvalidError, errors.RenderTooLargeError) as exc:
            problems.append(Problem(path, 0, "", exc.reason, exc.message))
    # What stands for a directory, or is one, is wanted if a manifest in it would be.
    told = [p for p in problems if not p.file or wanted(p.file) or wanted(f"{p.file.rstrip('/')}/_.yaml")]
    return Rendering(tuple(found), tuple(told))


def _kustomize(order: Order, tools: Mapping[str, str], file: str) -> Rendering:
    program = _program(tools, "kustomize", kustomize.KUSTOMIZE_VERSION)
    for directory in kustomize.roots(DiskFiles(order.root), order.path):
        _refuse_pointers(order.root, directory)
    return Rendering((Text(file, kustomize.build(order.root, order.path, program=program), is_source=False),))


def _refuse_pointers(root: Path, directory: str) -> None:
    """A checkout made without Git LFS has pointers where files should be, as the operator would find them."""
    for entry in sorted((root / directory).iterdir()):
        if entry.is_file() and entry.stat().st_size < export.LFS_POINTER_BYTES and entry.read_bytes().startswith(export.LFS_POINTER):
            raise checkout.lfs_pointer(entry.relative_to(root).as_posix())


def _helm(order: Order, tools: Mapping[str, str], file: str) -> Rendering:
    made = helm.template(order.root, order.path, order.recipe.helm, program=_program(tools, "helm", helm.HELM_VERSION))
    notes = tuple(Problem(file, 0, "", notice.reason, notice.message) for notice in made.notices)
    return Rendering((Text(file, made.text, is_source=False),), notes=notes, namespace=order.recipe.helm.namespace)


def _program(tools: Mapping[str, str], name: str, wanted: str) -> Path:
    if name not in tools:
        raise errors.ToolMissingError(f"{name} is not installed; put {wanted} on PATH or into $CVSTATE_TOOLS, or check with --type plain")
    return Path(tools[name])
