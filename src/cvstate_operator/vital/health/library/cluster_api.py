"""Cluster API: clusters and their machines, in v1beta1 and v1beta2."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, count, either, entry, is_, true

_GROUP: Final = "cluster.x-k8s.io"
_PAUSED: Final = "self.spec.paused || 'cluster.x-k8s.io/paused' in self.metadata.annotations"
_FAULT: Final = "has(self.status.failureReason) || has(self.status.failureMessage)"
"""Terminal, by the contract of v1beta1; v1beta2 has no such thing."""
_WANTED: Final = count("spec.replicas", 1)
_UP_TO_DATE: Final = f"self.status.?upToDateReplicas.or(self.status.?updatedReplicas).orValue(0) == {_WANTED}"
"""The field has another name since v1beta2."""
_NODE_KNOWN_WELL: Final = "!self.status.conditions.exists(c, c.type == 'NodeHealthy' && c.status != 'True')"
"""Ready sums it up in v1beta2 alone: the one of v1beta1 speaks of the machine, and not of its node."""

ENTRIES: Final[tuple[Entry, ...]] = (
    entry(
        _GROUP,
        "Cluster",
        current=both(is_("status.phase", "Provisioned"), either(true("Available"), true("Ready"))),
        failed=either(is_("status.phase", "Failed"), _FAULT),
        suspended=_PAUSED,
        ready="phase is Provisioned, and Available (v1beta1: Ready) is True",
        broken="phase is Failed, or a failureReason is told",
        source="Cluster API, ClusterStatus: phase, conditions, failureReason",
    ),
    entry(
        _GROUP,
        "Machine",
        current=both(is_("status.phase", "Running"), true("Ready"), _NODE_KNOWN_WELL),
        failed=either(is_("status.phase", "Failed"), _FAULT),
        suspended=_PAUSED,
        ready="phase is Running, Ready is True, and NodeHealthy is nothing else",
        broken="phase is Failed, or a failureReason is told",
        source="Cluster API, MachineStatus: phase, conditions Ready and NodeHealthy, failureReason",
    ),
    entry(
        _GROUP,
        "MachineSet",
        current=both(f"{count('status.replicas')} == {_WANTED}", f"{count('status.availableReplicas')} == {_WANTED}"),
        failed=_FAULT,
        suspended=_PAUSED,
        ready="as many replicas are there and available as asked for",
        broken="a failureReason is told",
        source="Cluster API, MachineSetStatus: replicas, availableReplicas, failureReason",
    ),
    entry(
        _GROUP,
        "MachineDeployment",
        current=both(is_("status.phase", "Running"), _UP_TO_DATE, f"{count('status.availableReplicas')} == {_WANTED}"),
        failed=is_("status.phase", "Failed"),
        suspended=_PAUSED,
        ready="phase is Running, and all replicas are up to date and available",
        broken="phase is Failed (v1beta1)",
        source="Cluster API, MachineDeploymentStatus: phase, upToDateReplicas (v1beta1: updatedReplicas), availableReplicas",
    ),
    entry(
        "controlplane.cluster.x-k8s.io",
        "KubeadmControlPlane",
        current=both(true("Available"), _UP_TO_DATE, f"{count('status.readyReplicas')} == {_WANTED}"),
        failed=_FAULT,
        suspended=_PAUSED,
        ready="Available is True, and all replicas are up to date and ready",
        broken="a failureReason is told",
        source="Cluster API, KubeadmControlPlaneStatus: condition Available, upToDateReplicas (v1beta1: updatedReplicas), readyReplicas, failureReason",
    ),
)
