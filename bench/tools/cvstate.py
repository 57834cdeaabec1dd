"""This project's operator as users run it: `cvstate run`, everything as it is by default, with as much memory as the chart gives it, pruning on, pushes
told to its webhook.

How pushes are signed: docs/webhook.md, "Anything else".
"""

import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

import cvstate_operator
from bench import bulk
from bench.ground import HOME, Ground
from bench.tools import Push
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.names import REQUESTED_AT
from cvstate_operator.api.source import GitSource
from cvstate_operator.reconcile.observe_stage import LIST_SECONDS
from tests.cluster import builds, programs
from tests.support.api import CLUSTER_STATES, Json
from tests.support.waiting import until

PROGRAMS: Final = programs.RENDERERS
STATE: Final = "platform"
SECRET: Final = "push"  # noqa: S105 - a name
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
_CRDS: Final = sorted((Path(__file__).parents[2] / "crds").glob("*.yaml"))
_CHART: Final = Path(__file__).parents[2] / "deploy" / "charts" / "cvstate-operator"
_MEMORY: Final[str] = yaml.safe_load((_CHART / "values.yaml").read_text())["resources"]["limits"]["memory"]
"""Else it would take the machine for its container, and have more renders and larger ones at a time than an installed one."""
_PROGRAM: Final = Path(sys.executable).with_name("cvstate")
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Cvstate:
    """See `bench.tools.Tool`."""

    unit: Final = "clusterstates"
    is_watching: Final = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.user = ""
        self._token = secrets.token_hex(32)
        self._wanted = ""
        """The commit that is to be applied."""
        self._asked = ""
        """The request that is to be answered."""
        self._tools = ""
        """Where the programs are that it renders with, as a search path."""
        self._generation = 0
        """The spec that is to be carried out."""
        self._options: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def period_seconds(self) -> float:
        """It lists about once an hour."""
        return LIST_SECONDS

    @property
    def compare_seconds(self) -> float:
        """The default of a ClusterState's `interval`."""
        return parse_seconds(str(ClusterStateSpec.model_fields["interval"].default))

    @property
    def source_seconds(self) -> float:
        """The default of `source.git.interval`, spread by a tenth."""
        return parse_seconds(str(GitSource.model_fields["interval"].default))

    def compare(self) -> None:
        """By another interval: a new spec has everything compared as the timer has it, and lists nothing either."""
        self._generation = self._ground.api.merge(f"{CLUSTER_STATES.format(HOME)}/{STATE}", {"spec": {"interval": "10m1s"}})["metadata"][
            "generation"
        ]

    def look(self) -> None:
        """As `cvstate` users do: by the annotation."""
        self._asked = secrets.token_hex(8)
        self._ground.api.merge(f"{CLUSTER_STATES.format(HOME)}/{STATE}", {"metadata": {"annotations": {REQUESTED_AT: self._asked}}})

    def facts(self) -> Mapping[str, str]:
        """See `bench.tools.Tool`."""
        return {
            "cvstate": cvstate_operator.__version__,
            "python": sys.version.split()[0],
            "--webhook-listen": "on",
            "--memory-bytes": f"{_MEMORY} as in the chart",
            "prune": "true",
            "others": " ".join(self._options) or "defaults",
        }

    def start(self, ground: Ground) -> None:
        """See `bench.tools.Tool`."""
        self._ground, self.user = ground, ground.user
        self._install()
        self._log = ground.directory / "operator.log"
        self._tools = os.pathsep.join(str(path.parent) for path in builds.ensure(programs.RENDERERS).values())
        self.restart()
        until("cvstate is ready", self._is_ready, seconds=READY_SECONDS)

    def restart(self) -> None:
        """See `bench.tools.Tool`."""
        directory = self._ground.directory
        own = ("--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0", "--memory-bytes", _MEMORY)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (_PROGRAM, "run", "--kubeconfig", self._ground.kubeconfig, "--cache", directory / "cache", *own, *self._options),
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=directory,
                env={**os.environ, "CVSTATE_TOOLS": self._tools},
            )

    def declare(self, ground: Ground, paths: Sequence[str] = (Ground.PATH,)) -> None:
        """See `bench.tools.Tool`."""
        self._wanted = ground.repository.git("rev-parse", "HEAD").strip()
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"token": self._token}}
        ground.api.create(f"/api/v1/namespaces/{HOME}/secrets", secret)
        bulk.create(ground.cluster.admin_kubeconfig, ((CLUSTER_STATES.format(HOME), _state(ground.url, path)) for path in paths))

    def reach_loopback(self) -> None:
        """Before `start`: other clusters may be on this machine, which is what the option is for."""
        self._options = ("--allow-insecure-sources",)

    def declare_far(self, ground: Ground, kubeconfigs: Sequence[str]) -> None:
        """As `declare`, the directory once for each of the clusters that these lead to."""
        self.declare(ground, ())
        secrets_path = f"/api/v1/namespaces/{HOME}/secrets"
        named = [(f"far-{number:04d}", kubeconfig) for number, kubeconfig in enumerate(kubeconfigs)]
        admin = ground.cluster.admin_kubeconfig
        bulk.create(
            admin,
            (
                (secrets_path, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"value": text}})
                for name, text in named
            ),
        )
        bulk.create(admin, ((CLUSTER_STATES.format(HOME), _state(ground.url, Ground.PATH, target=name)) for name, _ in named))

    def push(self, ground: Ground, files: Mapping[str, str | None]) -> Push:
        """See `bench.tools.Tool`."""
        self._wanted = ground.commit(files)
        pushed = time.monotonic()
        if not self._process:
            return Push(self._wanted, pushed)
        told = {"url": ground.url, "ref": "refs/heads/main", "after": self._wanted, "timestamp": int(time.time())}
        body = json.dumps(told).encode()
        signature = hmac.new(self._token.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}
        request = urllib.request.Request(self._said("webhook"), body, headers)
        with urllib.request.urlopen(request, timeout=30):
            return Push(self._wanted, pushed)

    def settled(self) -> bool:
        """See `bench.tools.Tool`."""
        found = self._ground.api.get(CLUSTER_STATES.format(HOME)) or {"items": ()}
        return all(self._is_done(item.get("status", {})) for item in found["items"])

    def _is_done(self, status: Json) -> bool:
        is_answered = self._asked in ("", status.get("lastHandledReconcileAt")) and self._generation <= status.get("observedGeneration", 0)
        return is_answered and self._wanted in status.get("lastAppliedRevision", "")

    def pids(self) -> Sequence[int]:
        """See `bench.tools.Tool`."""
        return (self._process.pid,) if self._process else ()

    def stop(self, *, kill: bool = False) -> None:
        """See `bench.tools.Tool`."""
        if self._process:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None

    def _install(self) -> None:
        definitions = [yaml.safe_load(file.read_text()) for file in _CRDS]
        for definition in definitions:
            self._ground.api.create(_DEFINITIONS, definition)
        for plural in (definition["spec"]["names"]["plural"] for definition in definitions):
            path = f"/apis/cvstate.io/v1alpha1/{plural}"
            until(f"{plural} are served", lambda path=path: self._ground.api.request("GET", path)[0] == 200)  # type: ignore[misc]

    def _is_ready(self) -> bool:
        if self._process and self._process.poll() is not None:
            raise RuntimeError(f"cvstate ended: {self._log.read_text()[-1000:]}")
        address = self._said("http")
        if not address:
            return False
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _said(self, field: str) -> str:
        """A field of the log line `started`; empty until it is written."""
        for line in self._log.read_text().splitlines():
            if '"started"' in line:
                return str(json.loads(line)[field])
        return ""


def _state(url: str, path: str, *, target: str = "") -> Json:
    """The ClusterState of a directory of the repository, about the cluster of a Secret if one is named."""
    spec: Json = {"source": {"git": {"url": url, "path": path, "webhook": {"secretRef": {"name": SECRET}}}}, "prune": {"enabled": True}}
    if target:
        spec["target"] = {"kubeConfig": {"secretRef": {"name": target}}}
    name = target or (STATE if path == Ground.PATH else path.replace("/", "-"))
    return {
        "apiVersion": "cvstate.io/v1alpha1",
        "kind": "ClusterState",
        "metadata": {"name": name, "namespace": HOME},
        "spec": spec,
    }


def make(name: str) -> Cvstate:
    """Return the tool, not started."""
    return Cvstate(name)
