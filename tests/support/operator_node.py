"""A node that runs the Pods of the operator's Deployment as processes of this machine, so that what people do with kubectl happens to a real operator.

What is as on a node: arguments and variables of the container, its ConfigMap as a file that changes, a token of its account, readiness, restarts with a pause after a
crash, SIGTERM at a deletion, logs for `kubectl logs`. What is not: the image, its root filesystem and user (`container` has those), limits, and a network of its own.
"""

import json
import os
import re
import ssl
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.cluster import ports
from tests.cluster.certificates import Authority
from tests.cluster.control_plane import Cluster
from tests.support import kubelet, tenancy
from tests.support.api import Api, Json
from tests.support.container import referred_resource
from tests.support.operator import CVSTATE, tools

NAME: Final = "operators"
IP: Final = "127.0.0.1"
_LOOK_SECONDS: Final = 0.25
_BACK_OFF_SECONDS: Final = 3.0
"""Before a container that ended is started again; kubelets wait for 10 s at first."""
_REFERENCE: Final = re.compile(r"\$\((\w+)\)")
_LOGS: Final = re.compile(r"/containerLogs/[^/]+/(?P<pod>[^/]+)/[^/]+")


@dataclass
class _Life:
    """One Pod: its process, and those before it."""

    pod: Json
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    ended_at: float = 0.0
    """When the process ended, seconds since 1970; 0 while it runs."""
    code: int = 0
    told: Json = field(default_factory=dict)
    """The status that was written last."""

    def log(self, *, previous: bool = False) -> Path:
        """Of the process that runs, or of the one before it."""
        return self.directory / f"{self.starts - 1 if previous and self.starts > 1 else self.starts}.log"


class OperatorNode:
    """See the module. Used by `with`; Pods get there by the node selector and tolerations of `values`."""

    def __init__(self, cluster: Cluster, directory: Path, *, namespace: str) -> None:
        """
        Args:
            cluster: a full one: its controllers make the Pods.
            directory: for logs, files and `targets`.
            namespace: of the operator's Deployment.
        """
        self._cluster, self._directory, self._namespace = cluster, directory, namespace
        self._api = Api(cluster.admin_kubeconfig)
        self._lives: dict[str, _Life] = {}
        self._is_over = threading.Event()
        self._watching = threading.Thread(target=self._run, name=NAME)
        self.error: BaseException | None = None
        """What ended the node's own work; None while all is well."""
        directory.mkdir(parents=True, exist_ok=True)
        self.targets = directory / "targets.json"
        """For Prometheus' file_sd_configs: the address of each Pod's port http."""
        self.targets.write_text("[]")

    @property
    def values(self) -> Json:
        """Values of the chart that bring Pods here."""
        spec = kubelet.pinned({"spec": {"template": {"spec": {}}}}, NAME)["spec"]["template"]["spec"]
        return {"nodeSelector": spec["nodeSelector"], "tolerations": spec["tolerations"]}

    @property
    def pids(self) -> list[int]:
        """Of the operators that run."""
        return [life.process.pid for life in list(self._lives.values()) if life.process and life.process.poll() is None]

    def pid(self, pod: str) -> int:
        """Of the operator of a Pod, which runs; it leads a process group of its own."""
        process = self._lives[pod].process
        assert process is not None
        return process.pid

    def __enter__(self) -> Self:
        self._logs = _LogServer(self)
        self._logs.start()
        kubelet.join(self._api, NAME)
        addresses = [{"type": "InternalIP", "address": IP}]
        endpoints = {"kubeletEndpoint": {"Port": self._logs.port}}
        disk = {"ephemeral-storage": "64Gi"}  # each Pod asks for as much as its cache may take
        self._status(
            f"{kubelet.NODES}/{NAME}", {"addresses": addresses, "daemonEndpoints": endpoints, "allocatable": disk, "capacity": disk}
        )
        self._watching.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._watching.join()
        for life in self._lives.values():
            _end(life)
        self._logs.stop()

    def path(self, pod: str, *, previous: bool) -> Path | None:
        """The log of a Pod."""
        life = self._lives.get(pod)
        return life.log(previous=previous) if life else None

    # -- what a kubelet does -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with kubelet.beating(self._api, NAME):
                while not self._is_over.wait(_LOOK_SECONDS):
                    self._look()
        except BaseException as error:
            self.error = error
            raise

    def _look(self) -> None:
        code, found = self._api.request("GET", f"/api/v1/namespaces/{self._namespace}/pods?fieldSelector=spec.nodeName%3D{NAME}")
        assert code == 200, found
        pods = {pod["metadata"]["name"]: pod for pod in found["items"]}
        for name in [name for name in self._lives if name not in pods]:
            _end(self._lives.pop(name))
        for name, pod in pods.items():
            if "deletionTimestamp" in pod["metadata"]:
                if name in self._lives:
                    _end(self._lives.pop(name))
                self._api.request("DELETE", kubelet.path(pod), {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
                continue
            if name not in self._lives:
                (port,) = ports.free(1)
                self._lives[name] = _Life(pod, self._directory / name, port)
            self._keep(self._lives[name])
        targets = [{"targets": [f"{IP}:{life.port}"]} for life in self._lives.values()]
        self.targets.with_suffix(".new").write_text(json.dumps(targets))
        self.targets.with_suffix(".new").rename(self.targets)

    def _keep(self, life: _Life) -> None:
        """Have the process of a Pod run, with its files as they are now, and tell how it is."""
        now = datetime.now(UTC).timestamp()
        self._project(life)
        if life.process and (code := life.process.poll()) is not None:
            life.process, life.ended_at, life.code = None, now, code
        if not life.process and now - life.ended_at >= _BACK_OFF_SECONDS:
            self._start(life)
        self._tell(life)

    def _project(self, life: _Life) -> None:
        """The ConfigMaps of its volumes; replaced as a whole, as kubelets do it."""
        life.directory.mkdir(exist_ok=True)
        for volume in (one for one in life.pod["spec"]["volumes"] if "configMap" in one):
            found = self._api.get(f"/api/v1/namespaces/{self._namespace}/configmaps/{volume['configMap']['name']}")
            for name, content in (found or {"data": {}})["data"].items():
                file = life.directory / name
                if not file.exists() or file.read_text() != content:
                    file.with_suffix(".new").write_text(content)
                    file.with_suffix(".new").rename(file)

    def _start(self, life: _Life) -> None:
        (container,) = life.pod["spec"]["containers"]
        kubeconfig = life.directory / "kubeconfig"
        account = life.pod["spec"]["serviceAccountName"]
        kubeconfig.write_text(yaml.safe_dump(tenancy.config(self._cluster, tenancy.token(self._api, self._namespace, account))))
        life.starts, life.ended_at = life.starts + 1, 0.0
        with life.log().open("wb") as sink:
            life.process = subprocess.Popen(
                [CVSTATE, *container["args"], "--kubeconfig", kubeconfig],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                cwd=life.directory,
                env={**os.environ, **self._environment(life, container)},
            )

    def _environment(self, life: _Life, container: Json) -> dict[str, str]:
        fields = {"metadata.name": life.pod["metadata"]["name"], "metadata.namespace": self._namespace, "status.podIP": IP}
        found: dict[str, str] = {}
        for one in container["env"]:
            source = one.get("valueFrom", {})
            if "resourceFieldRef" in source:
                value = referred_resource(container, source["resourceFieldRef"])
            else:
                value = fields[source["fieldRef"]["fieldPath"]] if source else one["value"]
            found[one["name"]] = _REFERENCE.sub(lambda match: found.get(match[1], match[0]), value)
        # Places of the container that are elsewhere on this machine.
        places = {"CVSTATE_CONFIG": life.directory / "config.yaml", "CVSTATE_CACHE": life.directory / "cache"}
        return {
            **found,
            **{name: str(place) for name, place in places.items()},
            "CVSTATE_LISTEN": f"{IP}:{life.port}",
            "CVSTATE_TOOLS": tools(),
        }

    def _tell(self, life: _Life) -> None:
        is_ready = life.process is not None and _answers(f"http://{IP}:{life.port}/readyz")
        ready = "True" if is_ready else "False"
        state: Json = {"running": {"startedAt": life.pod["metadata"]["creationTimestamp"]}}
        last: Json = {}
        if life.starts > 1 or not life.process:
            reason = "Completed" if life.code == 0 else "Error"
            last = {"terminated": {"exitCode": abs(life.code), "reason": reason}}
        if not life.process:
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
        status = {
            "phase": "Running",
            "podIP": IP,
            "hostIP": IP,
            "conditions": [{"type": kind, "status": ready} for kind in ("Initialized", "PodScheduled", "ContainersReady", "Ready")],
            "containerStatuses": [
                {
                    "name": "operator",
                    "image": life.pod["spec"]["containers"][0]["image"],
                    "imageID": "",
                    "ready": is_ready,
                    "restartCount": max(0, life.starts - 1),
                    "state": state,
                    "lastState": last,
                    "started": is_ready,
                }
            ],
        }
        if status != life.told:
            self._status(kubelet.path(life.pod), status)
            life.told = status

    def _status(self, path: str, status: Json) -> None:
        """Written where the object still is."""
        code, answer = self._api.request("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")
        assert code in (200, 404), answer


def _end(life: _Life) -> None:
    """As a kubelet ends a Pod: SIGTERM, and SIGKILL after its grace period."""
    if life.process and life.process.poll() is None:
        life.process.terminate()
        try:
            life.process.wait(life.pod["spec"]["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            life.process.kill()
            life.process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1):
            return True
    except OSError:
        return False


class _LogServer:
    """What a kubelet serves for `kubectl logs`: /containerLogs/NAMESPACE/POD/CONTAINER. Whoever asks is not asked who he is; it is the API server."""

    def __init__(self, node: OperatorNode) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                options = parse_qs(asked.query)
                found = _LOGS.fullmatch(asked.path)
                file = node.path(found["pod"], previous=options.get("previous") == ["true"]) if found else None
                lines = file.read_bytes().splitlines(keepends=True) if file and file.exists() else []
                tail = int(options.get("tailLines", ["-1"])[0])
                content = b"".join(lines[-tail:] if tail >= 0 else lines)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer((IP, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with _pair() as (certificate, key):
            context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def _pair() -> Iterator[tuple[Path, Path]]:
    """Files of a certificate and its key, for a moment; API servers do not check those of kubelets unless they are told to."""
    pair = Authority("kubelet").server(NAME, addresses=[IP], names=[NAME])
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = (Path(directory) / name for name in ("crt", "key"))
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        yield certificate, key
