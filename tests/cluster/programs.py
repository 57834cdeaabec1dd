"""The programs a cluster is made of, the ones that render, and the peer of `bench`: which Go package each is, at which version, how it is built.

Versions are read from the `go.mod` files, so there is one place to raise them. Readers: `builds` and the command line.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster import locations
from tests.cluster.errors import ClusterError

BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
"""Flags of every build: no local paths and no state of our repository in the program, and go.mod is never rewritten."""

STAGE_FOLDERS = ("node/fast", "node/heartbeat-with-lease", "pod/fast", "pod/chaos")
"""Folders below kwok's `kustomize/stage` that are kept next to the program: how nodes become Ready, how pods run, and how they fail on demand.

The last one acts only on pods that ask for it, so it is always on: the label ``pod-container-running-failed.stage.kwok.x-k8s.io: "true"`` ends a pod a
second or two after it ran, for Jobs that fail. For Deployments that stay broken there is our own `stages/pod-crash-loop.yaml`.
"""

_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
"""The first is what `/version` reports, the second stands in user agents. Source: Kubernetes `hack/lib/version.sh`, kube::version::ldflags."""

_KUSTOMIZE_PATH = "sigs.k8s.io/kustomize/kustomize/v5"
_KUSTOMIZE_VERSION_VARIABLE = "sigs.k8s.io/kustomize/api/provenance.version"
"""Source: `api/provenance/provenance.go`, "set at build time using ldflags"."""

CRD_FOLDER = "config/crd/bases"
"""The folder of kustomize-controller's module with its CRDs, which are kept next to the program."""

_HELM_PATH = "helm.sh/helm/v4"
_HELM_VERSION_PACKAGE = f"{_HELM_PATH}/internal/version"
"""Source: Helm's `Makefile`, LDFLAGS. Without it `helm version` knows the minor version only."""


@dataclass(frozen=True)
class Module:
    """One folder under `modules/`: a go.mod that pins the programs built from it.

    Attributes:
        folder: The name of the folder, for example ``kubernetes``.
        path: The Go module the programs come from, for example ``k8s.io/kubernetes``.
        tags: Go build tags, comma separated; empty for none.
    """

    folder: str
    path: str
    tags: str = ""

    @property
    def directory(self) -> Path:
        """The folder with go.mod and go.sum."""
        return locations.MODULES / self.folder

    @cached_property
    def version(self) -> str:
        """The version of `path` that go.mod requires, with its leading ``v``.

        Raises:
            ClusterError: go.mod is missing or does not require the module.
        """
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(self.path)}\s+(v\S+)", self._go_mod, re.MULTILINE)
        if found is None:
            raise ClusterError(f"{self.directory / 'go.mod'} does not require {self.path}", remedy="restore the file from version control")
        return found.group(1)

    @cached_property
    def go_line(self) -> str:
        """The lowest Go version that may build this module, for example ``1.26.0``."""
        found = re.search(r"^go\s+(\S+)", self._go_mod, re.MULTILINE)
        return found.group(1) if found else "1"

    @cached_property
    def linker_flags(self) -> str:
        """Flags for Go's linker: no debug information, and the version that the programs report where they do not know it themselves."""
        return " ".join(("-s", "-w", *(f"-X {variable}={value}" for variable, value in self._stamps.items())))

    @cached_property
    def build_flags(self) -> tuple[str, ...]:
        """All flags of ``go build`` but the output and the package."""
        tags = (f"-tags={self.tags}",) if self.tags else ()
        return (*BUILD_FLAGS, *tags, f"-ldflags={self.linker_flags}")

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change when the program would: pins, checksums, flags, kept files, platform."""
        return digest_of(
            go_mod=self._go_mod.encode(),
            go_sum=(self.directory / "go.sum").read_bytes(),
            flags=(*self.build_flags, *STAGE_FOLDERS, sys.platform, platform.machine()),
        )

    @property
    def built(self) -> Path:
        """The cache folder for programs of this module at this version; it may not exist yet."""
        return locations.cache_root() / "programs" / f"{self.folder}-{self.version}-{self.digest}"

    @property
    def _stamps(self) -> Mapping[str, str]:
        """Variables of the programs that the linker sets, as the projects' own release builds do."""
        if self.path == "k8s.io/kubernetes":
            major, minor, *_ = self.version.removeprefix("v").split(".")
            values = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
            return {f"{package}.{name}": value for package in _VERSION_PACKAGES for name, value in values.items()}
        if self.path == _HELM_PATH:
            return {f"{_HELM_VERSION_PACKAGE}.version": self.version, f"{_HELM_VERSION_PACKAGE}.gitTreeState": "clean"}
        if self.path == _KUSTOMIZE_PATH:
            return {_KUSTOMIZE_VERSION_VARIABLE: self.version}
        return {}

    @cached_property
    def _go_mod(self) -> str:
        try:
            return (self.directory / "go.mod").read_text()
        except OSError as exc:
            raise ClusterError(f"cannot read {self.directory / 'go.mod'}", remedy="restore the file from version control") from exc


@dataclass(frozen=True)
class Program:
    """One program that can be built.

    Attributes:
        name: The file name of the built program.
        package: The Go package of its main function.
        module: Where the package is pinned.
        build_seconds: How long its build takes with an empty build cache, after the ones above it in `CATALOGUE`. Source: measured on 2 cores.
    """

    name: str
    package: str
    module: Module
    build_seconds: float

    @property
    def path(self) -> Path:
        """Where the program is once it is built."""
        return self.module.built / self.name


_ETCD = Module("etcd", "go.etcd.io/etcd/server/v3")
_KUBERNETES = Module("kubernetes", "k8s.io/kubernetes")
_KWOK = Module("kwok", "sigs.k8s.io/kwok")
_KUSTOMIZE = Module("kustomize", _KUSTOMIZE_PATH)
_HELM = Module("helm", _HELM_PATH)
_PROMETHEUS = Module("prometheus", "github.com/prometheus/prometheus", tags="netgo,remove_all_sd")
_FLUX = Module("flux", "github.com/fluxcd/kustomize-controller")
_BUILDKIT = Module("buildkit", "github.com/moby/buildkit")

CATALOGUE: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program("etcd", "go.etcd.io/etcd/server/v3", _ETCD, 38),
        Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES, 176),
        Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", _KUBERNETES, 32),
        Program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", _KUBERNETES, 20),
        Program("kubectl", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES, 15),
        Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", _KWOK, 55),
        Program("kustomize", _KUSTOMIZE_PATH, _KUSTOMIZE, 8),
        Program("helm", f"{_HELM_PATH}/cmd/helm", _HELM, 96),
        Program("promtool", "github.com/prometheus/prometheus/cmd/promtool", _PROMETHEUS, 77),
        Program("prometheus", "github.com/prometheus/prometheus/cmd/prometheus", _PROMETHEUS, 35),
        Program("kustomize-controller", "github.com/fluxcd/kustomize-controller", _FLUX, 300),  # measured on a busy machine
        Program("dockerfile2llb", "github.com/moby/buildkit/examples/dockerfile2llb", _BUILDKIT, 90),  # measured on a busy machine
    )
}
"""Every program by name, in the order they are built: the API server first, since the ones after it share most of its packages."""

QUIET = ("etcd", "kube-apiserver")
"""What a quiet cluster runs: it stores objects, and nothing reacts to them."""

FULL = (*QUIET, "kube-controller-manager", "kube-scheduler", "kwok")
"""What a full cluster runs: workloads become Available on fake nodes."""

RENDERERS = ("kustomize", "helm")
"""What renders sources that are no plain YAML."""

DEFAULT = (*FULL, "kubectl", *RENDERERS, "promtool")
"""What ``build`` builds when no program is named: all that tests use. `prometheus`, `kustomize-controller` and `dockerfile2llb` are built on request
only."""


def get(name: str) -> Program:
    """Return the program of that name.

    Raises:
        ClusterError: There is no such program.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ClusterError(f"no program named {name!r}", remedy=f"choose from {', '.join(CATALOGUE)}") from None


def digest_of(*, go_mod: bytes, go_sum: bytes, flags: tuple[str, ...]) -> str:
    """Return twelve hex digits over all inputs of a build; parts are delimited, so moving a byte between them changes it."""
    digest = hashlib.sha256()
    for part in (go_mod, go_sum, *(flag.encode() for flag in flags)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:12]
