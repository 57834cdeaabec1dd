"""The command line of every program of a cluster: the flags, and why each is there.

Input: a `Layout` with the ports and the files of one cluster. Reader: `stack`. All flags are those of the pinned versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.state import StateDirectory

SERVICE_RANGE = "10.96.0.0/16"
"""Addresses of Services; nothing routes them. Source: kubeadm's default network, with a smaller mask."""

SERVICE_ADDRESS = "10.96.0.1"
"""The address of the Service `kubernetes`: the first of the range."""

SIMULATED = "type=kwok"
"""Label of the nodes that kwok brings to life. Source: kwok's documentation, "Manage nodes"."""

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "ttl-after-finished-controller",
)
"""The controllers whose work a GitOps operator sees: they run workloads, own or delete objects, write into namespaces. Nodes, volumes and
certificates are simulated or absent, so their controllers would only cost memory and requests."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Ports and files of one cluster.

    Attributes:
        directory: Where all files of the cluster are.
        etcd_port: Clients of etcd.
        etcd_peer_port: Peers of etcd; there are none, but it insists on listening.
        api_port: The API server, HTTPS.
        is_quiet: No controllers run.
    """

    directory: StateDirectory
    etcd_port: int
    etcd_peer_port: int
    api_port: int
    is_quiet: bool

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://127.0.0.1:{self.api_port}"

    def file(self, name: str) -> Path:
        """Return the path of a file in the cluster's directory."""
        return self.directory.path / name


def etcd(layout: Layout) -> list[str]:
    """Return etcd's flags."""
    client, peer = f"http://127.0.0.1:{layout.etcd_port}", f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        f"--data-dir={layout.file('etcd')}",
        "--unsafe-no-fsync",  # the data need not survive a power failure; a test run is several times faster
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    """Return the API server's flags."""
    return [
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",  # without, it looks for a default route, which an isolated machine lacks
        "--endpoint-reconciler-type=none",  # a loopback address is not valid in the endpoints of Service kubernetes
        f"--secure-port={layout.api_port}",
        f"--tls-cert-file={layout.file('server.crt')}",
        f"--tls-private-key-file={layout.file('server.key')}",
        f"--client-ca-file={layout.file('ca.crt')}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={layout.file('service-accounts.key')}",
        f"--service-account-signing-key-file={layout.file('service-accounts.key')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged",
        # A restart ends watches after a second. By default it would wait a minute for clients to close them.
        "--shutdown-send-retry-after",
        "--shutdown-watch-termination-grace-period=1s",
        f"--disable-admission-plugins={','.join(_disabled_admission(layout))}",
        f"--audit-policy-file={layout.file('audit-policy.yaml')}",
        f"--audit-log-path={layout.directory.audit_log}",
        "--audit-log-mode=blocking",  # the line is in the file before the answer is complete, so a test may count right after
        "--audit-log-maxsize=0",  # never rotated: marks are offsets into one file
    ]


def _disabled_admission(layout: Layout) -> list[str]:
    """Return the admission plugins that wait for controllers which do not run here."""
    # New nodes get a taint that only the node lifecycle controller would remove: pods could not be scheduled.
    plugins = ["TaintNodesByCondition"]
    if layout.is_quiet:
        plugins.append("ServiceAccount")  # refuses pods until a controller has made the account `default`
    return plugins


def controller_manager(layout: Layout) -> list[str]:
    """Return the controller manager's flags."""
    return [
        f"--kubeconfig={layout.file('controller-manager.kubeconfig')}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={layout.file('service-accounts.key')}",
        f"--root-ca-file={layout.file('ca.crt')}",
        "--use-service-account-credentials",  # each controller has a name of its own in the audit log
        "--leader-elect=false",
        "--secure-port=0",
        # Real clusters take these defaults from the number of nodes and objects; here one test should not wait for another's workload.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def scheduler(layout: Layout) -> list[str]:
    """Return the scheduler's flags."""
    return [
        f"--kubeconfig={layout.file('scheduler.kubeconfig')}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def kwok(layout: Layout, stage_files: tuple[Path, ...]) -> list[str]:
    """Return kwok's flags. Without stage files given explicitly it simulates nothing.

    It keeps its hands off nodes without its label, and off their Pods: a test may play the kubelet of those.
    """
    return [
        f"--kubeconfig={layout.file('kwok.kubeconfig')}",
        f"--manage-nodes-with-label-selector={SIMULATED}",
        "--cidr=10.128.0.0/16",  # addresses of simulated pods
        *(f"--config={path}" for path in stage_files),
    ]
