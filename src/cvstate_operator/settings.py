"""Settings of the operator: each with its unit, its default and the reason for it.

Filled by `settings_file.read` from the options of `cvstate run`, the environment and one file; docs/settings.md has the names that users give them.

Light to import, as `settings_file` is: `cvstate run` does so before the allocator is tuned.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from cvstate_operator.api.notices import NoticeTarget

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]
"""auto: text on a terminal, JSON elsewhere."""

RELOADED: Final = ("log_level", "notices")
"""What takes effect while the operator runs, when the file changes; everything else at its next start."""


def default_cache() -> Path:
    """Where repositories and rendered objects are kept: `$XDG_CACHE_HOME/cvstate-operator/operator`. All of it can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cvstate-operator" / "operator"


@dataclass(frozen=True, slots=True)
class Origin:
    """What was told beside the file: it wins over the file whenever that is read again."""

    options: Mapping[str, object] = field(default_factory=dict)
    """Of the command line, by name of the field of Settings; None for those that were not given."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables as they were at the start; others than ours do no harm."""


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
    cache_bytes: int = 10 * 2**30
    """What the cache directory may hold at most, bytes; 64 MiB at least. Of an emptyDir with a sizeLimit take 80 %: the kubelet evicts a Pod that has more, and counts
    what is being removed too."""
    memory_bytes: int | None = None
    """What the operator and its children may have together, bytes; 64 MiB at least, and never more than there is. None: the limit of the container, or without one the
    memory of the machine."""
    allow_file_urls: bool = False
    """Whether sources may be file:// URLs; they reach whatever the operator's user can read."""
    allow_insecure_sources: bool | None = None
    """Whether sources may be http:// URLs or on the loopback interface, and Prometheus on that or asked with credentials over http://. None: only
    outside a Pod, where the operator is somebody's own."""
    allow_git_hosts: tuple[str, ...] = ()
    """Hosts that are allowed as sources whatever they resolve to."""
    allow_prometheus_hosts: tuple[str, ...] = ()
    """Hosts that are allowed for Prometheus whatever they resolve to."""
    allow_notice_hosts: tuple[str, ...] = ()
    """Hosts that are allowed for notices whatever they resolve to."""
    prometheus_hosts: tuple[str, ...] = ()
    """If there are any: no other hosts are asked for signals and SLOs, but for those that are allowed whatever they resolve to. Empty: any, since a ClusterState that
    names its own Prometheus is of use to most."""
    webhook_listen: str | None = None
    """HOST:PORT of the push webhook; None: there is none."""
    listen: str | None = None
    """HOST:PORT of /metrics, /healthz and /readyz. None: port 8080, on all addresses in a Pod and on 127.0.0.1 elsewhere; a free port if 8080 is
    taken elsewhere than in a Pod."""
    tls_directory: Path | None = None
    """Where `tls.crt` and `tls.key` of that are, read again when they change; None: it is plain HTTP."""
    writers: int = 16
    """Objects written at a time, 1 to 256. 16 keeps a 2-core API server busy (615 creates/s); more only makes each slower."""
    shutdown_seconds: float = 20.0
    """How long objects in hand may take after SIGTERM, more than 0 and up to 3600; below the 30 s that a Pod has by default."""

    require_service_account: bool | None = None
    """Whether a ClusterState without an account is refused instead of acted on with the operator's own rights. None: only in a Pod; outside, the operator
    is somebody's own."""
    default_service_account: str = ""
    """Account, of the ClusterState's own namespace, where spec.serviceAccountName is absent; empty: none."""

    lease_namespace: str | None = None
    """Namespace of the Leases by which replicas find each other; None or empty: this process is alone. Where nothing tells it, `settings_file.read` puts the
    Pod's own here."""
    group: str = "cvstate-operator"
    """Replicas of the same group share the ClusterStates among them."""
    advertise: str = ""
    """URL at which other replicas reach the webhook of this one, without a slash at its end; empty: they do not."""

    cluster_id: str = ""
    """What tells this cluster from others, in the labels of objects in remote clusters; empty: the uid of its namespace kube-system. For a cluster that takes the place
    of one that is lost."""

    otlp_endpoint: str = ""
    """Base URL that traces are sent to by OTLP/HTTP, without a slash at its end; empty: tracing is off."""
    notices: "tuple[NoticeTarget, ...]" = ()
    """Who is told of incidents, in the order of the file."""
    log_level: LogLevel = "info"
    """Least important lines that are logged."""
    log_format: LogFormat = "auto"

    config: Path | None = None
    """The file; None: there is none."""
    origin: Origin = field(default_factory=Origin, repr=False, compare=False)
    """What was told beside the file."""
