"""Kustomize: find the directories that a kustomization needs, and build it with the official binary.

`roots` runs before anything is written: it follows the kustomization files and refuses what would reach the network, run foreign code or read outside the
repository. The directories it returns are all that a build reads, since kustomize takes files only in or below the directory that names them. `build` works
on directories on disk: an export of the commit, or the working directory of `cvstate check`.
"""

import os
import posixpath
import re
import tempfile
from pathlib import Path
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import kustomization_file, paths
from cvstate_operator.render import program as runner
from cvstate_operator.render.files import Files
from cvstate_operator.render.kustomization_file import Reference
from cvstate_operator.render.program import Limits

KUSTOMIZE_VERSION: Final = "v5.8.2"
"""The version that is tested and shipped; v5.8.3 needs a module version that was never published. A test holds it in step with the go.mod it is built from."""

DEFAULT_LIMITS: Final = Limits()
MAX_ROOTS: Final = 1000
"""Directories of one kustomization, components and bases included."""
MAX_DEPTH: Final = 50
"""Kustomizations in a row, each referring to the next."""

_MEANING: Final[tuple[tuple[str, type[errors.BuildFailedError]], ...]] = (
    ("external plugins disabled", errors.PluginRefusedError),
    ("must specify --enable-helm", errors.PluginRefusedError),
    ("security; file", errors.PathEscapesError),
    ("cannot be absolute", errors.PathEscapesError),
    ("no 'git' program on path", errors.RemoteBaseRefusedError),
    ("socket: permission denied", errors.RemoteBaseRefusedError),
)
"""What kustomize says of things that only it can see, because a generator or a patch made them. Source: kustomize v5.8.2, tried."""

_VALUE: Final = re.compile(
    r"""(?P<lead>invalid\ literal\ source\ )\S+ | (?P<lead2>unknown\ anchor\ )'[^']*' | (?P<lead3>cannot\ decode\ )\S+\ (?:`[^`]*`|'[^']*'|"[^"]*")""",
    re.VERBOSE,
)
"""Where kustomize repeats a text that may be a password: a literal of a secretGenerator, what looks like an alias or has a tag (tried)."""
_DETOUR: Final = re.compile(r"accumulation err='accumulating resources from '[^']*': '[^']*' must resolve to a file': ")
"""kustomize tries every directory as a file first, and says so in each error."""


def roots(files: Files, path: str) -> tuple[str, ...]:
    """Every directory with a kustomization that building `path` reads, sorted; links are resolved.

    Args:
        files: the repository.
        path: directory of the kustomization; empty for the repository itself.

    Raises:
        PathNotFoundError: there is no such directory.
        RemoteBaseRefusedError: something is to come from the network.
        PluginRefusedError: a chart would be inflated, or a plugin run.
        PathEscapesError: a path leads out of the repository, or a file out of the directory that names it.
        RenderTooLargeError: more directories than the limit.
        BuildFailedError: a directory or file is missing, a kustomization cannot be read, or they refer to each other in a circle.
    """
    start = files.directory(paths.inside(path, path))
    if start is None:
        raise errors.PathNotFoundError(f"path {one_line(path)} is not in the commit, or is no directory; correct it, or push it")
    walk = _Walk(files)
    walk.visit(start, chain=(), plugins_of=None)
    return tuple(sorted(walk.found))


def build(root: Path, path: str, *, program: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Build the kustomization at `path` below `root`, whose `roots` were checked, and return the YAML.

    Args:
        root: the repository, or as much of it as `roots` names.
        path: directory of the kustomization, relative to `root`.
        program: the kustomize binary.
        limits: of this build.

    Raises:
        ToolMissingError: kustomize is not there.
        RenderTimeoutError: not finished in time.
        RenderTooLargeError: more output or memory than the limit.
        BuildFailedError: kustomize says no; nothing of its output is used.
    """
    directory = "./" + path.strip("/")  # never taken for an option or a host
    command = [str(program), "build", "--load-restrictor", "LoadRestrictionsRootOnly", directory]
    try:
        with tempfile.TemporaryDirectory() as home:
            return runner.run(command, home=Path(home), cwd=root, limits=limits)
    except runner.ProgramFailedError as exc:
        raise _translate(exc, root, path.strip("/")) from exc


def version(program: Path) -> str:
    """What the binary says its version is, like `v5.8.2`.

    Raises:
        ToolMissingError: kustomize is not there, or is something else.
    """
    return runner.version([str(program), "version"], wanted=f"kustomize {KUSTOMIZE_VERSION}")


def _translate(failure: runner.ProgramFailedError, root: Path, path: str) -> errors.BuildFailedError:
    """One of our errors for what kustomize said, with paths of the repository in place of ours, and `path` if it names none."""
    said = [line for line in failure.stderr.splitlines() if line.strip() and not line.startswith("# Warning")]
    text = _DETOUR.sub("", " ".join(" ".join(said).split()).removeprefix("Error: "))
    real = os.path.realpath(root)
    text = re.sub(f"{re.escape(real)}(/|(?=[^\\w.-])|$)", lambda found: "" if found[1] else ".", text)
    text = _VALUE.sub(lambda found: f"{found['lead'] or found['lead2'] or found['lead3']}…", text)
    kind = next((error for words, error in _MEANING if words in text), errors.BuildFailedError)
    where = "" if path in text else f"{one_line(path, 200)}: "
    return kind(f"kustomize: {where}{runner.ending(text) or failure.message}")


class _Walk:
    """Follows kustomizations from one to the next, each once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._visited: set[tuple[str, str | None]] = set()
        self._checked: set[tuple[str, str]] = set()
        """Files of generators and transformers, with the directory that their paths are relative to."""
        self.found: set[str] = set()

    def visit(self, directory: str, *, chain: tuple[str, ...], plugins_of: str | None) -> None:
        """Follow the kustomization in `directory`.

        Args:
            directory: with its links resolved.
            chain: the directories that led here, outermost first.
            plugins_of: the directory whose generators and transformers its resources configure, and to which their paths are relative; None if they
                are resources.
        """
        _check_circle(directory, chain)
        if (directory, plugins_of) in self._visited:
            return
        self._visited.add((directory, plugins_of))
        if len(self._visited) > MAX_ROOTS or len(chain) >= MAX_DEPTH:
            raise errors.RenderTooLargeError(f"more than {MAX_ROOTS} kustomizations, or {MAX_DEPTH} in a row; choose a narrower path")
        self.found.add(directory)
        file = self._kustomization(directory)
        for reference in kustomization_file.read(self._read(file), file):
            self._follow(reference, directory, file, chain=(*chain, directory), plugins_of=plugins_of)

    def _follow(self, reference: Reference, directory: str, file: str, *, chain: tuple[str, ...], plugins_of: str | None) -> None:
        target = paths.inside(posixpath.join(directory, reference.path), f"{reference.where}: {reference.path}")
        if reference.is_plugin:
            plugins_of = directory
        if reference.may_be_directory:
            base = self._files.directory(target)
            if base is not None:
                self.visit(base, chain=chain, plugins_of=plugins_of)
                return
        if reference.must_be_directory or (reference.may_be_directory and not self._files.is_file(target)):
            raise _missing(reference)
        if reference.may_be_directory and target == file:
            raise errors.BuildFailedError(f"{reference.where}: cycle {one_line(file)} -> {one_line(file)}; remove the entry")
        _check_below(reference, target, directory)
        if reference.may_be_directory and plugins_of is not None and (target, plugins_of) not in self._checked:
            self._checked.add((target, plugins_of))
            for inner in kustomization_file.read_plugins(self._read(target), target):
                _check_below(inner, paths.inside(posixpath.join(plugins_of, inner.path), f"{inner.where}: {inner.path}"), plugins_of)

    def _kustomization(self, directory: str) -> str:
        """Path of the kustomization file of a directory."""
        names = [path for name in kustomization_file.FILE_NAMES if self._files.is_file(path := posixpath.join(directory, name))]
        if len(names) != 1:
            what = "more than one kustomization file" if names else "no kustomization.yaml"
            raise errors.BuildFailedError(f"{one_line(directory) or '.'}: has {what}; {'keep one' if names else 'add one'}")
        return names[0]

    def _read(self, path: str) -> bytes:
        content = self._files.read(path)
        if content is None:
            raise errors.BuildFailedError(f"{one_line(path)}: is not in the repository; add it")
        return content


def _check_below(reference: Reference, target: str, directory: str) -> None:
    if directory and not target.startswith(directory + "/"):
        raise errors.PathEscapesError(
            f"{reference.where}: {one_line(reference.path)} is not in or below {one_line(directory)}, where kustomize takes files from;"
            " move it there, or give it a kustomization and refer to its directory"
        )


def _check_circle(directory: str, chain: tuple[str, ...]) -> None:
    """kustomize refuses a directory that is, or contains, one that led to it."""
    for position, earlier in enumerate(chain):
        if not directory or earlier == directory or earlier.startswith(directory + "/"):
            round_trip = " -> ".join(one_line(name) or "." for name in (*chain[position:], directory))
            contains = "" if earlier == directory else " (the last contains the first)"
            raise errors.BuildFailedError(f"kustomizations refer to each other in a cycle: {round_trip}{contains}; remove one reference")


def _missing(reference: Reference) -> errors.BuildFailedError:
    if kustomization_file.looks_remote(reference.path):
        return errors.RemoteBaseRefusedError(
            f"{reference.where}: {one_line(reference.path)} is not in the repository, and a render never asks the network; copy it here"
        )
    what = "no directory of" if reference.must_be_directory else "not in"
    return errors.BuildFailedError(f"{reference.where}: {one_line(reference.path)} is {what} the repository; correct the path, or add it")
