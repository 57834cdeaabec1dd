"""Flux: its kustomize-controller as released, fed by us in the place of its source-controller.

`flux` runs with the program's own defaults and the interval that its documentation shows; `flux-tuned` with what its documentation advises for large
clusters: more workers, a file system in memory for the directories it unpacks into, a longer interval. `flux-60s` is the same with the shortest interval
that its documentation advises: for drift alone, which Flux finds when the interval is over and not before.

What stands in for the rest of Flux, and why:

- **A static source.** There is no source-controller: `push` archives the commit as that does (a tar.gz of the tree, served over HTTP, named in the
  `GitRepository`'s status), and the clock starts when the archive lies ready. So Flux's times, requests and memory hold no clone, no archive and no
  second controller: all are lower bounds of the whole of Flux.
- **A push is told as its Receiver does**, by the annotation REQUESTED_AT on the `GitRepository`, and then as its source-controller does, by the new
  artifact in the status. The controller acts on the artifact. Annotating the Kustomization too would only cost it a second pass.
- **`prune: true`**, as the rules for all tools say and its documentation shows.
- **`wait: false`**: with `wait: true` the controller would go on to read every object every five seconds until it is healthy. We measure until the
  objects hold what is declared, so this would only cost it requests.

The user is the one of all tools. No events go to a notification-controller (``--events-addr=``), and there is no leader election, which is the
program's default outside its manifests.
"""

import datetime
import math
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from bench import bulk, guard
from bench.ground import Ground
from bench.guard import MEMORY
from bench.tools import NotOfferedError, Push
from bench.tools.artifacts import BRANCH, ArtifactServer
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.cli.demo.loopback import HOST
from tests.cluster import builds, ports, processes, programs
from tests.support.api import Api, Json
from tests.support.waiting import until

PROGRAM: Final = "kustomize-controller"
PROGRAMS: Final = (PROGRAM,)
REQUESTED_AT: Final = "reconcile.fluxcd.io/requestedAt"
"""Source: fluxcd/pkg `apis/meta`, ReconcileRequestAnnotation."""
SOURCES: Final[Mapping[str, str]] = {"GitRepository": "gitrepositories", "OCIRepository": "ocirepositories", "Bucket": "buckets"}
"""Kinds of source → plural. The controller watches all three and does not start before it can. Source: its `kustomization_manager.go`."""
SOURCE_GROUP: Final = "source.toolkit.fluxcd.io"
KUSTOMIZATION_GROUP: Final = "kustomize.toolkit.fluxcd.io"
OBJECT: Final = "platform"
"""Name of the GitRepository and of the Kustomization."""
STARTED: Final = b'"msg":"Starting workers"'
"""What the log says once its caches are filled. The health endpoint answers before. Source: controller-runtime `controller.go`."""
PASSES: Final = re.compile(rb'^gotk_reconcile_duration_seconds_count\{kind="Kustomization",.*\} (\d+)', re.MULTILINE)
"""How many passes are behind it since it started. Source: fluxcd/pkg `runtime/metrics`."""
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
"""How long it may take to end: it gives up a pass that runs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs between the variants."""

    concurrent: int
    """Kustomizations at a time."""
    concurrent_ssa: int
    """Objects at a time, where it compares them; it applies them one by one."""
    interval: str
    """Of the Kustomization: how often it looks at everything again."""
    in_memory: bool
    """Unpack into memory, where the machine offers that."""


SETTINGS: Final[Mapping[str, Settings]] = {
    "flux": Settings(concurrent=4, concurrent_ssa=4, interval="10m", in_memory=False),
    "flux-tuned": Settings(concurrent=20, concurrent_ssa=16, interval="60m", in_memory=True),
    "flux-60s": Settings(concurrent=20, concurrent_ssa=16, interval="60s", in_memory=True),
}
"""Source of the first: the flags' defaults in the program's `main.go`, and the examples in Flux's documentation of Kustomization; of the second: its
documentation, "Vertical scaling"; its benchmark's settings (flux-benchmark). 16 is ours: the documentation names no number, and four times the
default was a little faster for 1000 objects."""


def make(name: str) -> "Flux":
    """Return one of SETTINGS."""
    return Flux(name, SETTINGS[name])


class Flux:
    """See the module. A `bench.tools.Tool`."""

    unit: Final = "kustomizations"
    is_watching: Final = False

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.user = ""
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._until_stopped = ExitStack()
        self._revision = ""
        self._asked = ""
        self._has_passed = False

    @property
    def period_seconds(self) -> float:
        """The Kustomization's interval, which the program spreads evenly to both sides. Source: fluxcd/pkg `runtime/jitter`."""
        return parse_seconds(self._settings.interval)

    @property
    def compare_seconds(self) -> float:
        """See `bench.tools.Tool`."""
        return math.inf

    @property
    def source_seconds(self) -> float:
        """Infinity: it is given archives, and the controller that asks the repository does not run."""
        return math.inf

    def compare(self) -> None:
        """See `bench.tools.Tool`."""
        raise NotOfferedError(f"{self.name} compares nothing with what it knows")

    def look(self) -> None:
        """As `flux reconcile kustomization` does."""
        self._asked = _now()
        self._ground.api.merge(
            self._path(KUSTOMIZATION_GROUP, "kustomizations"), {"metadata": {"annotations": {REQUESTED_AT: self._asked}}}
        )

    def facts(self) -> Mapping[str, str]:
        """Version and settings."""
        return {
            PROGRAM: programs.get(PROGRAM).module.version,
            "--concurrent": str(self._settings.concurrent),
            "--concurrent-ssa": str(self._settings.concurrent_ssa),
            "interval": self._settings.interval,
            "prune": "true",
            "wait": "false",
            "temporary files": "memory" if self._temporary.is_relative_to(MEMORY) else "disk",
            "source": "static artifact, no source-controller",
        }

    def start(self, ground: Ground) -> None:
        """Build the program where it is missing, install its CRDs, serve artifacts, and start it."""
        self._ground, self.user = ground, ground.user
        self._program = builds.ensure([PROGRAM])[PROGRAM]
        self._log = ground.directory / f"{PROGRAM}.log"
        self._temporary = self._temporary_directory()
        self._metrics_port, self._health_port = ports.free(2)
        _install(ground.api, [*(yaml.safe_load(file.read_text()) for file in builds.crd_files()), *map(_source_crd, SOURCES)])
        self._artifacts = self._until_stopped.enter_context(ArtifactServer(ground.directory / "artifacts"))
        self._launch()
        until("kustomize-controller has started", self._has_started, seconds=READY_SECONDS)

    def declare(self, ground: Ground, paths: Sequence[str] = (Ground.PATH,)) -> None:
        """Create the GitRepository, with the commit that is there, and a Kustomization for each directory."""
        artifact = self._artifacts.add(ground.repository, ground.repository.git("rev-parse", "HEAD").strip())
        meta = {"name": OBJECT, "namespace": ground.namespace}
        repository = {
            "apiVersion": f"{SOURCE_GROUP}/v1",
            "kind": "GitRepository",
            "metadata": meta,
            "spec": {"url": ground.url, "ref": {"branch": BRANCH}, "interval": self._settings.interval},
        }
        ground.api.create(self._path(SOURCE_GROUP, "gitrepositories", ""), repository)
        self._publish(artifact)
        collection = self._path(KUSTOMIZATION_GROUP, "kustomizations", "")
        bulk.create(ground.cluster.admin_kubeconfig, ((collection, self._kustomization(path)) for path in paths))

    def push(self, ground: Ground, files: Mapping[str, str | None]) -> Push:
        """Commit and archive; then, with the clock running, tell it as Receiver and source-controller do."""
        commit = ground.commit(files)
        artifact = self._artifacts.add(ground.repository, commit)
        announced = time.monotonic()
        annotation = {"metadata": {"annotations": {REQUESTED_AT: _now()}}}
        ground.api.merge(self._path(SOURCE_GROUP, "gitrepositories"), annotation, manager="notification-controller")
        self._publish(artifact)
        return Push(commit=commit, monotonic_seconds=announced)

    def settled(self) -> bool:
        """Say whether every Kustomization is Ready at the last commit, and the process, if it was started anew, has looked at everything once."""
        found = self._ground.api.get(self._path(KUSTOMIZATION_GROUP, "kustomizations", "")) or {"items": ()}
        return all(self._is_done(item.get("status", {})) for item in found["items"]) and self._made_a_pass()

    def _is_done(self, status: Json) -> bool:
        ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", ()))
        is_handled = self._asked in ("", status.get("lastHandledReconcileAt"))
        return ready and is_handled and status.get("lastAppliedRevision") == self._revision

    def pids(self) -> Sequence[int]:
        """The one process, while it runs."""
        return [self._process.pid] if self._process is not None and self._process.poll() is None else []

    def stop(self, *, kill: bool = False) -> None:
        """End the process; without `kill`, for good: the artifacts and its temporary directory go too."""
        if self._process is not None:
            if kill:
                self._process.kill()
            processes.stop([self._process], grace_seconds=STOP_SECONDS)
            self._process = None
        if not kill:
            self._until_stopped.close()

    def restart(self) -> None:
        """Start the process again. It keeps nothing on disk: all it knows is in the cluster."""
        self._launch()

    def _launch(self) -> None:
        command = [
            str(self._program),
            f"--concurrent={self._settings.concurrent}",
            f"--concurrent-ssa={self._settings.concurrent_ssa}",
            "--events-addr=",
            f"--metrics-addr={HOST}:{self._metrics_port}",
            f"--health-addr={HOST}:{self._health_port}",
        ]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self._ground.directory),
            "TMPDIR": str(self._temporary),
            "KUBECONFIG": str(self._ground.kubeconfig),
            "RUNTIME_NAMESPACE": self._ground.namespace,
        }
        self._has_passed = False
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._ground.directory,
                env=environment,
                process_group=0,  # as `processes.stop` expects; a terminal's Ctrl-C reaches us only, and we stop it
            )

    def _has_started(self) -> bool:
        """Raises ClusterError when it has ended instead."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise processes.died(PROGRAM, code, self._log)
        return STARTED in self._log.read_bytes()

    def _made_a_pass(self) -> bool:
        """Ask its metrics, until they say so once: more would be load that its users do not make."""
        if not self._has_passed:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{self._metrics_port}/metrics", timeout=5) as answer:
                    self._has_passed = any(int(count) for count in PASSES.findall(answer.read()))
            except OSError:
                return False
        return self._has_passed

    def _kustomization(self, path: str) -> Json:
        """The Kustomization of a directory of the repository."""
        return {
            "apiVersion": f"{KUSTOMIZATION_GROUP}/v1",
            "kind": "Kustomization",
            "metadata": {"name": OBJECT if path == Ground.PATH else path.replace("/", "-"), "namespace": self._ground.namespace},
            "spec": {
                "interval": self._settings.interval,
                "path": f"./{path}",
                "prune": True,
                "wait": False,
                "sourceRef": {"kind": "GitRepository", "name": OBJECT},
            },
        }

    def _publish(self, artifact: Json) -> None:
        """Say in the status what source-controller would say."""
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact", "lastTransitionTime": _now()}
        status = {"status": {"observedGeneration": 1, "artifact": artifact, "conditions": [ready]}}
        self._revision = artifact["revision"]
        self._ground.api.merge(self._path(SOURCE_GROUP, "gitrepositories") + "/status", status, manager="source-controller")

    def _path(self, group: str, plural: str, name: str = OBJECT) -> str:
        """URL path of one of our two objects, or of its collection."""
        return f"/apis/{group}/v1/namespaces/{self._ground.namespace}/{plural}" + (f"/{name}" if name else "")

    def _temporary_directory(self) -> Path:
        """A directory that goes with `stop`: in memory if that was asked for and can be had, else on disk."""
        in_memory = self._settings.in_memory and os.access(MEMORY, os.W_OK)
        path = guard.directory(MEMORY) if in_memory else Path(tempfile.mkdtemp(prefix="flux-", dir=self._ground.directory))
        self._until_stopped.callback(shutil.rmtree, path, ignore_errors=True)
        return path


def _install(api: Api, crds: Iterable[Json]) -> None:
    """Create CRDs, and wait until the API server serves their kinds."""
    for crd in crds:
        api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        spec = crd["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        until(f"{path} is served", partial(_is_served, api, path), seconds=READY_SECONDS)


def _is_served(api: Api, path: str) -> bool:
    """Say whether a kind can be listed: 404 before it is known, then 429 while its storage is made."""
    code, _ = api.request("GET", path)
    return code == 200


def _source_crd(kind: str) -> Json:
    """The CRD of a source without a schema: source-controller is no Go module that could be asked for its own."""
    plural = SOURCES[kind]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{SOURCE_GROUP}"},
        "spec": {"group": SOURCE_GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _now() -> str:
    """RFC 3339, whole seconds, as Kubernetes writes times."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
