"""Settings of the operator: each with its unit, its default and the reason for it. Filled by `cvstate run` from options and environment."""

import os
from dataclasses import dataclass, field
from pathlib import Path


def default_cache() -> Path:
    """Where repositories and rendered objects are kept: `$XDG_CACHE_HOME/cvstate-operator/operator`. All of it can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cvstate-operator" / "operator"


@dataclass(frozen=True, slots=True)
class Settings:
    """How one operator process runs."""

    kubeconfig: Path | None = None
    """None: the Pod's service account, or else $KUBECONFIG or ~/.kube/config."""
    context: str | None = None
    """Context of the kubeconfig; None: its current one."""
    namespaces: tuple[str, ...] = ()
    """Namespaces whose ClusterStates are acted on; empty: all."""
    cache: Path = field(default_factory=default_cache)
    allow_file_urls: bool = False
    """Whether sources may be file:// URLs; they reach whatever the operator's user can read."""
    allow_insecure_sources: bool | None = None
    """Whether sources may be http:// URLs or on the loopback interface, and Prometheus on that or asked with credentials over http://. None: only
    outside a Pod, where the operator is somebody's own."""
    allow_git_hosts: tuple[str, ...] = ()
    """Hosts that are allowed as sources whatever they resolve to."""
    allow_prometheus_hosts: tuple[str, ...] = ()
    """Hosts that are allowed for Prometheus whatever they resolve to."""
    prometheus_hosts: tuple[str, ...] = ()
    """If there are any: no other hosts are asked for signals and SLOs, but for those that are allowed whatever they resolve to. Empty: any, since a ClusterState that
    names its own Prometheus is of use to most."""
    webhook_listen: str | None = None
    """HOST:PORT of the push webhook; None: there is none."""
    listen: str | None = None
    """HOST:PORT of /metrics, /healthz and /readyz. None: port 8080, on all addresses in a Pod and on 127.0.0.1 elsewhere; a free port if 8080 is
    taken elsewhere than in a Pod."""
    writers: int = 16
    """Objects written at a time. 16 keeps a 2-core API server busy (615 creates/s); more only makes each slower."""
    shutdown_seconds: float = 20.0
    """How long objects in hand may take after SIGTERM; below the 30 s that a Pod has by default."""
