"""A Pod's container as a kubelet would start it, without a container engine: from the Pod template that the API server holds, in a root filesystem that
cannot be written.

What is the same as in a node: the root (assembled as for the image) and that it is read-only, the volumes and their sizes, arguments and variables
with what they refer to, the projected token, user and group, no capabilities, no new privileges. What is not: the container runtime itself, its
seccomp profile, limits of memory and CPU, and a network of its own: it shares the machine's.
"""

import base64
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from tests.support import confinement, dockerfile
from tests.support.api import Api, Json
from tests.support.waiting import until

ACCOUNT_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_REFERENCE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
IP: Final = "127.0.0.1"
"""The Pod's address, and the node's."""


class Container:
    """The only container of a Pod template."""

    def __init__(self, api: Api, template: Json, *, namespace: str, root: Path, directory: Path) -> None:
        """
        Args:
            api: a user of the API server who may read the ConfigMaps of the namespace and make tokens.
            template: `spec.template` of the Deployment as the API server returns it.
            namespace: of the Deployment.
            root: the root filesystem; only read.
            directory: for volumes and the log; made if absent.
        """
        self._api, self._pod, self._namespace, self._root, self._directory = api, template["spec"], namespace, root, directory
        (self._container,) = self._pod["containers"]
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / "container.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.is_running:
            self.end()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait as long as its startup probe lets it take."""
        self._directory.mkdir(parents=True, exist_ok=True)
        order = {
            "root": str(self._root),
            "at": str(self._made("root")),
            "mounts": [*self._volumes(), self._account()],
            "uid": self._pod["securityContext"]["runAsUser"],
            "gid": self._pod["securityContext"]["runAsGroup"],
            "command": [*(self._container.get("command") or dockerfile.vector("ENTRYPOINT")), *self._container["args"]],
            "environment": self.environment(),
            "directory": "/tmp",  # noqa: S108 - WORKDIR of the image
        }
        with self.log.open("wb") as sink:
            # -P: beside it lie modules with names of the standard library.
            command = [*confinement.entering(), sys.executable, "-P", confinement.__file__, json.dumps(order)]
            self._process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, start_new_session=True)
        probe = self._container["startupProbe"]
        seconds = probe["periodSeconds"] * probe["failureThreshold"]
        until(f"its startup probe passes; log: {self.log}", lambda: not self.is_running or self.probe("startupProbe"), seconds=seconds)
        assert self.is_running, self.log.read_text()

    def probe(self, which: str) -> bool:
        """Whether a probe passes now: startupProbe, readinessProbe or livenessProbe."""
        asked = self._container[which]["httpGet"]
        return self.http(asked["path"], asked["port"])[0] == 200

    def port(self, name: str) -> int:
        """Number of a named port."""
        return int(next(one["containerPort"] for one in self._container["ports"] if one["name"] == name))

    def http(self, path: str, port: str = "http") -> tuple[int, str]:
        """Ask one of its named ports; code 0 if nobody listens there."""
        scheme = self._container["startupProbe"]["httpGet"].get("scheme", "HTTP").lower() if port == "http" else "http"
        number = self.port(port)
        anybody = ssl.create_default_context()  # a kubelet does not judge certificates of probes
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(f"{scheme}://{IP}:{number}{path}", timeout=5, context=anybody) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def end(self) -> int:
        """End it as a kubelet does, within its grace period; the exit code.

        Raises:
            subprocess.TimeoutExpired: it took longer; a kubelet would kill it now.
        """
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(self._pod["terminationGracePeriodSeconds"])

    def environment(self) -> dict[str, str]:
        """All variables: of the image, of the Service of the API server, of the container with what they refer to."""
        server = urlsplit(self._api.server)
        of_the_server = {"KUBERNETES_SERVICE_HOST": str(server.hostname), "KUBERNETES_SERVICE_PORT": str(server.port)}
        found = {**dockerfile.environment(), **of_the_server}
        for one in self._container.get("env", ()):
            value = self._referred(one["valueFrom"]) if "valueFrom" in one else one["value"]
            found[one["name"]] = _REFERENCE.sub(lambda match: found.get(match[1], match[0]), value)
        return found

    def _referred(self, source: Json) -> str:
        if "resourceFieldRef" in source:
            return referred_resource(self._container, source["resourceFieldRef"])
        fields = {"metadata.name": "operator-0", "metadata.namespace": self._namespace, "status.podIP": IP, "spec.nodeName": "node-0"}
        return fields[source["fieldRef"]["fieldPath"]]

    def _volumes(self) -> list[dict[str, Any]]:
        mounted = {one["name"]: one for one in self._container["volumeMounts"]}
        return [self._volume(volume, mounted[volume["name"]]) for volume in self._pod["volumes"]]

    def _volume(self, volume: Json, mount: Json) -> dict[str, Any]:
        told = {"path": mount["mountPath"], "read_only": mount.get("readOnly", False)}
        if "emptyDir" in volume:
            return {**told, "tmpfs_bytes": size_bytes(volume["emptyDir"]["sizeLimit"]), "gid": self._pod["securityContext"]["fsGroup"]}
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            found = self._api.get(f"/api/v1/namespaces/{self._namespace}/configmaps/{name}")
            assert found is not None, f"ConfigMap {name} does not exist: the Pod would not start"
            return {**told, "read_only": True, "source": str(self._files(volume["name"], found["data"]))}
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            found = self._api.get(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
            assert found is not None, f"Secret {name} does not exist: the Pod would not start"
            files = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
            return {**told, "read_only": True, "source": str(self._files(volume["name"], files))}
        raise AssertionError(f"volumes like {volume['name']} are not made here")

    def _account(self) -> dict[str, Any]:
        """What a kubelet projects for the account: a token of its own, the API server's authority, the namespace."""
        assert self._pod.get("automountServiceAccountToken") is True
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{self._pod['serviceAccountName']}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3607}}
        token = self._api.create(path, request)["status"]["token"]
        files = {"token": token, "ca.crt": self._api.authority, "namespace": self._namespace}
        return {"path": ACCOUNT_DIRECTORY, "read_only": True, "source": str(self._files("account", files))}

    def _files(self, name: str, content: Mapping[str, str]) -> Path:
        directory = self._made(name)
        for file, text in content.items():
            (directory / file).write_text(text)
            (directory / file).chmod(0o644)
        return directory

    def _made(self, name: str) -> Path:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        return directory


def size_bytes(quantity: str) -> int:
    """A quantity with a binary suffix, as in `64Mi`, in bytes."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def referred_resource(container: Json, reference: Json) -> str:
    """The value of a variable that refers to memory by `resourceFieldRef`, in bytes.

    Raises:
        KeyError: the container has no such limit; a kubelet would take what the node has.
    """
    kind, _, name = reference["resource"].partition(".")
    return str(size_bytes(container["resources"][kind][name]))


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process: /proc/PID/status."""
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def mounts(pid: int) -> dict[str, str]:
    """Mount point, as the process sees it, to the mount's own options."""
    lines = Path("/proc", str(pid), "mountinfo").read_text().splitlines()
    return {fields[4]: fields[5] for fields in (line.split() for line in lines)}


def has_in_root(pid: int, path: str) -> bool:
    """Whether a path exists for the process."""
    return os.path.lexists(f"/proc/{pid}/root{path}")
