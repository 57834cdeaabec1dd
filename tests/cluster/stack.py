"""Starts the programs of one cluster in order, each as soon as what it needs is there, and stops them.

Runs inside `supervisor` only. The order: etcd at once, then the certificates while it starts, then the API server; when that is ready, everything else
together. Waiting is polling of real conditions (`/readyz`, a Node that is Ready), never a fixed sleep.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.cluster import certificates, command_lines, kubeconfig, ports, processes
from tests.cluster.api_client import ApiClient
from tests.cluster.certificates import Authority, KeyPair
from tests.cluster.command_lines import Layout
from tests.cluster.errors import ClusterError
from tests.cluster.processes import Identity
from tests.cluster.state import Record, StateDirectory

OPERATOR_USER = "cvstate-operator"
"""The ordinary user tests let the operator be: it has no groups of its own, so API priority and fairness applies to it."""

READY_SECONDS = 60.0
"""How long a start may take. A start needs 2-5 s on two idle cores; the rest is for machines that are busy building."""

STOP_SECONDS = 0.5
"""How long programs may take to end before they are killed. Their data goes away with them, so nothing is lost."""

_RESTART_STOP_SECONDS = 10.0
"""How long a program that is restarted may take to end: long enough that the API server closes its watches in order."""

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  # A watch is one request, written when it starts; a second line at its end would be counted twice.
  - level: Metadata
    verbs: [watch]
    omitStages: [RequestReceived, ResponseComplete]
  - level: Metadata
"""
"""One line per request, without bodies. Source: Kubernetes documentation, "Auditing"."""


class Stack:
    """The running programs of one cluster."""

    def __init__(
        self,
        directory: StateDirectory,
        binaries: Mapping[str, Path],
        *,
        stage_files: tuple[Path, ...],
        nodes: int,
        check: Callable[[], None],
    ) -> None:
        """Choose ports; nothing runs yet.

        Args:
            binaries: The programs to run; a cluster without a controller manager is quiet.
            stage_files: What kwok simulates; empty for a quiet cluster.
            nodes: How many nodes to simulate.
            check: Called often while waiting; raises to abandon the start.
        """
        etcd_port, etcd_peer_port, api_port = ports.free(3)
        is_quiet = "kube-controller-manager" not in binaries
        self._layout = Layout(directory, etcd_port=etcd_port, etcd_peer_port=etcd_peer_port, api_port=api_port, is_quiet=is_quiet)
        self._binaries = binaries
        self._stage_files = stage_files
        self._nodes = 0 if is_quiet else nodes
        self._check = check
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._identities: dict[str, Identity] = {}
        self._client: ApiClient | None = None

    def start(self) -> None:
        """Start everything; returns when the cluster is ready.

        Ready means: `/readyz` answers ok and the operator's user has its rights; in a full cluster also every node is Ready and the namespace `default`
        has its service account, so that a Deployment created now becomes Available.

        Raises:
            ClusterError: A program ended, or the cluster was not ready in time; the message has the end of the culprit's log.
        """
        self._launch("etcd")
        self._write_files()
        self._launch("kube-apiserver")
        self._wait_for("kube-apiserver", lambda client: client.is_ready())
        if not self._layout.is_quiet:
            for name in ("kube-controller-manager", "kube-scheduler", "kwok"):
                self._launch(name)
        self._create_objects()
        if not self._layout.is_quiet:
            self._wait_for("kwok", self._nodes_are_ready)
            self._wait_for("kube-controller-manager", _has_default_account)

    def stop(self) -> None:
        """Stop every program; returns when none is left."""
        processes.stop(self._children.values(), grace_seconds=STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Stop one program, if it still runs, and start it again with the same flags; returns when the API server is ready.

        Raises:
            ClusterError: The cluster has no such program, or it does not come up again.
        """
        if name not in self._children:
            raise ClusterError(f"this cluster does not run {name}", remedy=f"choose from {', '.join(self._children)}")
        processes.stop([self._children[name]], grace_seconds=_RESTART_STOP_SECONDS)
        self._launch(name)
        self._wait_for(name, lambda client: client.is_ready(), only=name)

    def reap(self) -> None:
        """Take note of programs that have ended, so that none stays a zombie."""
        for child in self._children.values():
            child.poll()

    def record(self) -> Record:
        """Return what others may know about the cluster."""
        return Record(url=self._layout.url, is_quiet=self._layout.is_quiet, programs=dict(self._identities))

    def _launch(self, name: str) -> None:
        command = [str(self._binaries[name]), *self._flags(name)]
        directory = self._layout.directory
        # A fixed environment: etcd reads its flags from ETCD_*, Go programs read proxies, and a HOME could hold a kubeconfig.
        environment = {"PATH": os.defpath, "HOME": str(directory.path), "TMPDIR": str(directory.path)}
        child = processes.start(command, log=directory.log(name), directory=directory.path, environment=environment)
        self._children[name] = child
        identity = processes.identify(child.pid)
        if identity is not None:  # None only if it has ended already, which the next wait reports with its log
            self._identities[name] = identity

    def _flags(self, name: str) -> list[str]:
        match name:
            case "etcd":
                return command_lines.etcd(self._layout)
            case "kube-apiserver":
                return command_lines.api_server(self._layout)
            case "kube-controller-manager":
                return command_lines.controller_manager(self._layout)
            case "kube-scheduler":
                return command_lines.scheduler(self._layout)
            case "kwok":
                return command_lines.kwok(self._layout, self._stage_files)
            case _:
                raise ClusterError(f"{name} is not part of a cluster", remedy="see programs.FULL")

    def _write_files(self) -> None:
        """Write certificates, kubeconfigs and the audit policy into the cluster's directory."""
        layout = self._layout
        authority = Authority("cvstate-test-cluster")
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        server = authority.server("kube-apiserver", addresses=["127.0.0.1", command_lines.SERVICE_ADDRESS], names=names)
        admin = authority.client("admin", groups=["system:masters"])
        contents = {
            "ca.crt": authority.certificate,
            "server.crt": server.certificate,
            "server.key": server.key,
            "admin.crt": admin.certificate,
            "admin.key": admin.key,
            "service-accounts.key": certificates.signing_key(),
            "audit-policy.yaml": AUDIT_POLICY.encode(),
            "admin.kubeconfig": self._kubeconfig(authority, "admin", admin),
        }
        for file, user, groups in _users(is_quiet=layout.is_quiet):
            contents[file] = self._kubeconfig(authority, user, authority.client(user, groups=groups))
        for name, content in contents.items():
            _write_private(layout.file(name), content)
        self._client = ApiClient(
            layout.api_port, authority=layout.file("ca.crt"), certificate=layout.file("admin.crt"), key=layout.file("admin.key")
        )

    def _kubeconfig(self, authority: Authority, user: str, client: KeyPair) -> bytes:
        name = f"cvstate-{self._layout.directory.name}"
        return kubeconfig.render(url=self._layout.url, cluster=name, authority=authority.certificate, user=user, client=client).encode()

    def _create_objects(self) -> None:
        client = self._connected()
        client.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _operator_binding())
        for number in range(self._nodes):
            client.create("/api/v1/nodes", _node(f"node-{number}"))

    def _nodes_are_ready(self, client: ApiClient) -> bool:
        found = client.get("/api/v1/nodes")
        ready = [
            condition
            for node in (found or {}).get("items", ())
            for condition in node.get("status", {}).get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return len(ready) >= self._nodes

    def _connected(self) -> ApiClient:
        assert self._client is not None, "files are written before anything waits for the API server"
        return self._client

    def _wait_for(self, name: str, condition: Callable[[ApiClient], bool], *, only: str | None = None) -> None:
        """Wait for a condition that the program `name` is to bring about; `only` limits the look for ended programs to that one."""
        client = self._connected()

        def holds() -> bool:
            self._check()
            self._raise_if_ended(only)
            return condition(client)

        if not processes.wait_until(holds, seconds=READY_SECONDS):
            log = self._layout.directory.log(name)
            message = f"{name} was not ready in {READY_SECONDS:.0f} s; the end of its log:\n{processes.tail(log)}"
            raise ClusterError(message, remedy="run it again when the machine is less busy")

    def _raise_if_ended(self, only: str | None) -> None:
        for name, child in self._children.items():
            code = child.poll()
            if code is not None and only in (None, name):
                raise processes.died(name, code, self._layout.directory.log(name))


def _users(*, is_quiet: bool) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return file, user and groups of every kubeconfig but the admin's.

    Source for the names of the two programs: Kubernetes documentation, "Using RBAC authorization", core component roles.
    """
    users: list[tuple[str, str, tuple[str, ...]]] = [("operator.kubeconfig", OPERATOR_USER, ())]
    if not is_quiet:
        users.append(("controller-manager.kubeconfig", "system:kube-controller-manager", ()))
        users.append(("scheduler.kubeconfig", "system:kube-scheduler", ()))
        users.append(("kwok.kubeconfig", "kwok", ("system:masters",)))
    return users


def _write_private(path: Path, content: bytes) -> None:
    """Write a file only this user can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _has_default_account(client: ApiClient) -> bool:
    return client.get("/api/v1/namespaces/default/serviceaccounts/default") is not None


def _operator_binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": OPERATOR_USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR_USER}],
    }


def _node(name: str) -> dict[str, Any]:
    """Return a Node for kwok to bring to life; it fills in status, with room for any number of pods."""
    label, _, value = command_lines.SIMULATED.partition("=")
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", label: value}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
