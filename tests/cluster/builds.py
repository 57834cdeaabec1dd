"""Builds programs that are missing, once per version, into the user's cache.

Input: names of `programs.CATALOGUE`. Readers: `control_plane` and the command line. go.sum verifies the checksum of every module that is compiled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.cluster import locations, programs, toolchain
from tests.cluster.errors import ClusterError
from tests.cluster.programs import Module, Program
from tests.cluster.progress import BuildProgress

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
"""A folder with ready programs, used instead of building. Source: the name is envtest's, controller-runtime `pkg/envtest/server.go`."""

ASSETS = ("etcd", "kube-apiserver", "kubectl")
"""The programs envtest's folder holds."""

_OUTPUT_LINES = 15


def ensure(names: Iterable[str]) -> Mapping[str, Path]:
    """Return the path of each named program, after building those that are missing.

    Raises:
        ClusterError: A name is unknown, there is no Go, or a build fails; the message has the end of Go's output.
    """
    wanted = [programs.get(name) for name in dict.fromkeys(names)]
    assets = {program.name: found for program in wanted if (found := _asset(program.name)) is not None}
    order = list(programs.CATALOGUE)
    missing = sorted((p for p in wanted if p.name not in assets and not p.path.exists()), key=lambda p: order.index(p.name))
    if missing:
        _build_all(missing)
    return {program.name: assets.get(program.name, program.path) for program in wanted}


def stage_files() -> tuple[Path, ...]:
    """Return what kwok simulates: its own stage files, then ours, each sorted; kwok must have been built.

    Source: kwok's module, folder `kustomize/stage`.
    """
    kept = programs.get("kwok").path.parent / "stages"
    return (*sorted(kept.glob("**/*.yaml")), *sorted(locations.STAGES.glob("*.yaml")))


def crd_files() -> tuple[Path, ...]:
    """Return the CRDs of kustomize-controller, sorted; it must have been built.

    Source: its module, folder `config/crd/bases`.
    """
    return tuple(sorted((programs.get("kustomize-controller").path.parent / "crds").glob("*.yaml")))


def _asset(name: str) -> Path | None:
    """Return the ready program of that name, or None where it has to be built."""
    folder = os.environ.get(ASSETS_VARIABLE, "")
    if not folder or name not in ASSETS:
        return None
    path = Path(folder).absolute() / name
    return path if os.access(path, os.X_OK) else None


def _build_all(missing: Sequence[Program]) -> None:
    with BuildProgress(missing).running() as progress:
        for program in missing:
            with _locked(program, progress):
                if not program.path.exists():  # whoever held the lock before may have built it
                    with progress.building(program):
                        _build(program, progress)


@contextlib.contextmanager
def _locked(program: Program, progress: BuildProgress) -> Iterator[None]:
    """Hold the build lock of the program's module. The kernel drops it when this process ends, however it ends."""
    folder = program.module.built
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.waiting(program)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(program: Program, progress: BuildProgress) -> None:
    """Build into a temporary folder of the cache and rename, so a path that exists is a whole program."""
    go = toolchain.find(needed=program.module.go_line)
    with tempfile.TemporaryDirectory(prefix=f".{program.name}-", dir=program.module.built) as temporary:
        output = Path(temporary) / program.name
        _run_go(go, program, output, progress)
        if program.name == "kwok":
            _keep(go, program.module, "kustomize/stage", programs.STAGE_FOLDERS, Path(temporary) / "stages")
        if program.name == "kustomize-controller":
            _keep(go, program.module, programs.CRD_FOLDER, (".",), Path(temporary) / "crds")
        output.rename(program.path)


def _run_go(go: str, program: Program, output: Path, progress: BuildProgress) -> None:
    command = [go, "build", *program.module.build_flags, "-o", str(output), program.package]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", dir=output.parent) as log:
        with subprocess.Popen(command, cwd=program.module.directory, env=toolchain.environment(), stdout=log, stderr=log) as go_build:
            try:
                while _still_running(go_build, seconds=0.25):
                    progress.tick(program, elapsed_seconds=time.monotonic() - started)
            except BaseException:
                go_build.terminate()  # Ctrl-C must not leave a compiler behind
                raise
        if go_build.returncode != 0:
            log.seek(0)
            tail = "\n".join(log.read().strip().splitlines()[-_OUTPUT_LINES:])
            raise ClusterError(f"building {program.name} {program.module.version} failed:\n{tail}", remedy=_remedy(tail))


def _still_running(process: subprocess.Popen[bytes], *, seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _remedy(output: str) -> str:
    """Return the next step that fits what Go said."""
    if "no space left" in output:
        return "free about 3 GB (Go's build cache and module cache), then run it again"
    if "checksum mismatch" in output or "SECURITY ERROR" in output:
        return (
            "a downloaded module differs from go.sum: run `go clean -modcache`, and if it stays, do not trust the source you download from"
        )
    if "signal: killed" in output:
        return "the compiler was killed, probably for lack of memory: free some, or set GOMAXPROCS=1, then run it again"
    if any(word in output for word in ("dial tcp", "lookup ", "timeout", "connection refused", "404 Not Found", "410 Gone")):
        return "Go could not download a module: check the network and `go env GOPROXY`, then run it again"
    return f"read Go's output above; ready programs can be used with {ASSETS_VARIABLE}=FOLDER"


def _keep(go: str, module: Module, root: str, folders: Iterable[str], temporary: Path) -> None:
    """Copy YAML files of a module next to its program, so that starting it needs no Go.

    Args:
        root: A folder of the module.
        folders: Those below `root` whose files are copied.
        temporary: Where they are gathered; they end in a folder of that name beside the program.
    """
    command = [go, "list", "-m", "-f", "{{.Dir}}", module.path]
    listed = subprocess.run(command, cwd=module.directory, env=toolchain.environment(), capture_output=True, text=True, check=False)
    source = Path(listed.stdout.strip()) / root
    if listed.returncode != 0 or not source.is_dir():
        raise ClusterError(f"{root} is not in {module.path}: {listed.stderr.strip()}", remedy="run `go clean -modcache`, then build again")
    for folder in folders:
        target = temporary / folder
        target.mkdir(parents=True)
        for path in sorted((source / folder).glob("*.yaml")):
            if path.name != "kustomization.yaml":
                # The module cache is read-only; only the content is wanted, not the mode.
                shutil.copyfile(path, target / path.name)
    final = module.built / temporary.name
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
