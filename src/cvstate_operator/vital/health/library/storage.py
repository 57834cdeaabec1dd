"""Storage, backups and virtual machines: CSI snapshots, Velero, Rook, Longhorn, MinIO, KubeVirt."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, either, entry, is_, true

_VELERO: Final = "velero.io"
_CEPH: Final = "ceph.rook.io"
_NOT_TO_RUN: Final = "self.spec.running == false || self.spec.runStrategy in ['Halted', 'Manual', 'RerunOnFailure', 'Once']"
"""Its observed generation is the one that it was last started with, so a stopped machine keeps an old one."""

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            "snapshot.storage.k8s.io",
            kind,
            current="self.status.readyToUse == true",
            ready="readyToUse is true; an error before may pass by itself",
            source=f"Kubernetes CSI external-snapshotter, v1 {kind}Status: readyToUse, error",
        )
        for kind in ("VolumeSnapshot", "VolumeSnapshotContent")
    ),
    *(
        entry(
            _VELERO,
            kind,
            current=is_("status.phase", "Completed"),
            failed=is_("status.phase", "Failed", "PartiallyFailed", "FailedValidation"),
            ready="phase is Completed",
            broken="phase is Failed, PartiallyFailed or FailedValidation",
            source=f"Velero, v1 {kind}Phase",
        )
        for kind in ("Backup", "Restore")
    ),
    entry(
        _VELERO,
        "Schedule",
        current=is_("status.phase", "Enabled"),
        failed=is_("status.phase", "FailedValidation"),
        suspended="self.spec.paused",
        ready="phase is Enabled",
        broken="phase is FailedValidation",
        source="Velero, v1 SchedulePhase; spec.paused",
    ),
    entry(
        _VELERO,
        "BackupStorageLocation",
        current=is_("status.phase", "Available"),
        ready="phase is Available",
        source="Velero, v1 BackupStorageLocationPhase: Unavailable is asked again",
    ),
    entry(
        _CEPH,
        "CephCluster",
        current=both(is_("status.phase", "Ready", "Connected"), is_("status.ceph.health", "HEALTH_OK", "HEALTH_WARN")),
        failed=is_("status.phase", "Failure"),
        ready="phase is Ready (of an external cluster: Connected), and Ceph does not say HEALTH_ERR",
        broken="phase is Failure",
        source="Rook, v1 ClusterStatus: phase (ConditionType), ceph.health",
    ),
    *(
        entry(
            _CEPH,
            kind,
            current=is_("status.phase", "Ready", "Connected"),
            failed=is_("status.phase", "Failure"),
            ready="phase is Ready (of an external cluster: Connected)",
            broken="phase is Failure",
            source=f"Rook, v1 status of a {kind}: phase (ConditionType)",
        )
        for kind in ("CephBlockPool", "CephFilesystem", "CephObjectStore")
    ),
    entry(
        "longhorn.io",
        "Volume",
        current=either(
            both(is_("status.state", "attached"), is_("status.robustness", "healthy")),
            is_("status.state", "detached"),
        ),
        failed=is_("status.robustness", "faulted"),
        ready="attached and healthy, or detached since nobody uses it; a degraded one is being rebuilt",
        broken="robustness is faulted: no replica is left that works",
        source="Longhorn, v1beta2 VolumeStatus: state, robustness",
    ),
    entry(
        "minio.min.io",
        "Tenant",
        current=both(is_("status.currentState", "Initialized"), is_("status.healthStatus", "green")),
        ready="currentState is Initialized and healthStatus is green",
        source="MinIO Operator, v2 TenantStatus: currentState, healthStatus",
    ),
    entry(
        "kubevirt.io",
        "VirtualMachine",
        current=is_("status.printableStatus", "Running"),
        failed=is_("status.printableStatus", "CrashLoopBackOff", "ImagePullBackOff", "DataVolumeError"),
        suspended=both(is_("status.printableStatus", "Stopped"), _NOT_TO_RUN),
        ready="printableStatus is Running, or Stopped if it need not run",
        broken="printableStatus is CrashLoopBackOff, ImagePullBackOff or DataVolumeError",
        source="KubeVirt, v1 VirtualMachinePrintableStatus; spec.running, spec.runStrategy",
    ),
    entry(
        "kubevirt.io",
        "VirtualMachineInstance",
        current=either(both(is_("status.phase", "Running"), true("Ready")), is_("status.phase", "Succeeded")),
        failed=is_("status.phase", "Failed"),
        ready="phase is Running and Ready is True, or phase is Succeeded",
        broken="phase is Failed",
        source="KubeVirt, v1 VirtualMachineInstancePhase, condition Ready",
    ),
    entry(
        "cdi.kubevirt.io",
        "DataVolume",
        current=is_("status.phase", "Succeeded", "WaitForFirstConsumer", "PendingPopulation"),
        failed=is_("status.phase", "Failed"),
        ready="phase is Succeeded, or WaitForFirstConsumer or PendingPopulation: what uses it has to come first",
        broken="phase is Failed",
        source="KubeVirt Containerized Data Importer, v1beta1 DataVolumePhase",
    ),
)
