"""Flux's kustomize-controller as released, for one Kustomization of a test.

There is no source-controller, which is no Go module: a commit is archived as that archives it, and its words are said in the status of the GitRepository.
`python -m tests.cluster build kustomize-controller` builds the program.
"""

import datetime
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import yaml

from bench.tools.artifacts import BRANCH, ArtifactServer
from bench.tools.flux import KUSTOMIZATION_GROUP, PROGRAM, SOURCE_GROUP, SOURCES, STARTED
from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.cli.demo.loopback import HOST
from tests.cluster import builds, ports, processes, programs
from tests.cluster.control_plane import Cluster
from tests.support.api import Api, Json
from tests.support.objects import definition, manifest
from tests.support.waiting import until

HOME: Final = "flux-system"
"""Namespace of Flux's own objects."""
MANAGER: Final = "kustomize-controller"
"""Under which it applies. Source: its `main.go`, controllerName."""
REQUESTED_AT: Final = "reconcile.fluxcd.io/requestedAt"
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0


def is_built() -> bool:
    """Its build takes five minutes: tests ask for nothing that nobody built."""
    return programs.get(PROGRAM).path.exists()


def path(plural: str, name: str) -> str:
    """URL path of a Kustomization or a GitRepository."""
    group = KUSTOMIZATION_GROUP if plural == "kustomizations" else SOURCE_GROUP
    return f"/apis/{group}/v1/namespaces/{HOME}/{plural}/{name}"


class Flux:
    """One process, and one Kustomization `name` that applies `apps` of a repository into a namespace and prunes."""

    def __init__(self, cluster: Cluster, repository: Repository, directory: Path, *, name: str, namespace: str) -> None:
        self._api, self._kubeconfig = Api(cluster.admin_kubeconfig), cluster.admin_kubeconfig
        self._repository, self._directory, self._name, self._namespace = repository, directory, name, namespace
        self._log = directory / f"{PROGRAM}.log"
        self._until_ended = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir()
        for crd in (
            *(yaml.safe_load(file.read_text()) for file in builds.crd_files()),
            *(definition(SOURCE_GROUP, kind) for kind in SOURCES),
        ):
            plural = crd["spec"]["names"]["plural"] = SOURCES.get(crd["spec"]["names"]["kind"], "kustomizations")
            crd["metadata"]["name"] = f"{plural}.{crd['spec']['group']}"
            self._api.create(_CRDS, crd)
            served = f"/apis/{crd['spec']['group']}/v1/{plural}"
            until(f"{plural} are served", lambda served=served: self._api.request("GET", served)[0] == 200)
        self._artifacts = self._until_ended.enter_context(ArtifactServer(self._directory / "artifacts"))
        self._process = self._started()
        self._until_ended.callback(processes.stop, (self._process,), grace_seconds=_STOP_SECONDS)
        until("kustomize-controller has started", lambda: STARTED in self._log.read_bytes(), seconds=_START_SECONDS)
        return self

    def __exit__(self, *exc: object) -> None:
        self._until_ended.close()

    def declare(self) -> None:
        """Make the Kustomization and its source, and wait until the newest commit is applied."""
        api_version = f"{SOURCE_GROUP}/v1"
        source = manifest(
            "GitRepository", self._name, api_version=api_version, spec={"url": "https://git.example.com/shop.git", "interval": "1h"}
        )
        self._api.create(path("gitrepositories", "").rstrip("/"), source)
        spec = {
            "interval": "1h",
            "path": "./apps",
            "prune": True,
            "targetNamespace": self._namespace,
            "sourceRef": {"kind": "GitRepository", "name": self._name},
        }
        self._api.create(
            path("kustomizations", "").rstrip("/"),
            manifest("Kustomization", self._name, api_version=f"{KUSTOMIZATION_GROUP}/v1", spec=spec),
        )
        self.apply()

    def apply(self) -> None:
        """Say that there is a commit, as source-controller does, ask for a look, and wait until it is applied."""
        artifact = self._artifacts.add(self._repository, self._repository.git("rev-parse", "HEAD").strip())
        now = datetime.datetime.now(datetime.UTC).isoformat()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": "stored artifact",
            "lastTransitionTime": artifact["lastUpdateTime"],
        }
        status = {"status": {"observedGeneration": 1, "artifact": artifact, "conditions": [ready]}}
        self._api.merge(path("gitrepositories", self._name), status, manager="source-controller")
        self._api.merge(path("kustomizations", self._name), {"metadata": {"annotations": {REQUESTED_AT: now}}}, manager="flux")
        until(f"Flux has applied {BRANCH}; log: {self._log}", lambda: self._has_applied(artifact["revision"], now))

    def _has_applied(self, revision: str, asked: str) -> bool:
        status = self.kustomization().get("status", {})
        return (status.get("lastAppliedRevision"), status.get("lastHandledReconcileAt")) == (revision, asked)

    def kustomization(self) -> Json:
        """The Kustomization; empty if it is not there."""
        return self._api.get(path("kustomizations", self._name)) or {}

    def _started(self) -> subprocess.Popen[bytes]:
        metrics, health = ports.free(2)
        command = [
            str(builds.ensure([PROGRAM])[PROGRAM]),
            "--events-addr=",
            f"--metrics-addr={HOST}:{metrics}",
            f"--health-addr={HOST}:{health}",
        ]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self._directory),
            "TMPDIR": str(self._directory),
            "KUBECONFIG": str(self._kubeconfig),
            "RUNTIME_NAMESPACE": HOME,
        }
        return processes.start(command, log=self._log, directory=self._directory, environment=environment)
