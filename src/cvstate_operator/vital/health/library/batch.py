"""Work that ends, and its queues: Tekton, Spark, Flink, Ray, Kubeflow, JobSet, Kueue."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, either, entry, is_, true

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            "tekton.dev",
            kind,
            current=condition("Succeeded", "True"),
            failed=condition("Succeeded", "False"),
            suspended=is_("spec.status", "PipelineRunPending") if kind == "PipelineRun" else "",
            ready="Succeeded is True",
            broken="Succeeded is False: failed, cancelled or timed out",
            source=f"Tekton, v1 {kind}Status: condition Succeeded",
        )
        for kind in ("PipelineRun", "TaskRun")
    ),
    entry(
        "sparkoperator.k8s.io",
        "SparkApplication",
        current=either(
            is_("status.applicationState.state", "COMPLETED"),
            both(is_("status.applicationState.state", "RUNNING"), is_("spec.restartPolicy.type", "Always")),
        ),
        failed=is_("status.applicationState.state", "FAILED"),
        suspended="self.spec.suspend",
        ready="applicationState is COMPLETED, or RUNNING if it is always restarted",
        broken="applicationState is FAILED; while it is tried again, it is FAILING, SUBMISSION_FAILED or PENDING_RERUN",
        source="Spark Operator, v1beta2 ApplicationStateType",
    ),
    entry(
        "sparkoperator.k8s.io",
        "ScheduledSparkApplication",
        current=is_("status.scheduleState", "Scheduled"),
        failed=is_("status.scheduleState", "FailedValidation"),
        suspended="self.spec.suspend",
        ready="scheduleState is Scheduled",
        broken="scheduleState is FailedValidation",
        source="Spark Operator, v1beta2 ScheduleState",
    ),
    entry(
        "flink.apache.org",
        "FlinkDeployment",
        current=either(
            is_("status.lifecycleState", "STABLE"), both(is_("status.lifecycleState", "SUSPENDED"), is_("spec.job.state", "suspended"))
        ),
        failed=is_("status.lifecycleState", "FAILED", "ROLLED_BACK"),
        ready="lifecycleState is STABLE, or SUSPENDED as the spec asks for",
        broken="lifecycleState is FAILED, or ROLLED_BACK: it runs another spec",
        source="Flink Kubernetes Operator, v1beta1 ResourceLifecycleState",
    ),
    entry(
        "ray.io",
        "RayCluster",
        current=both(
            is_("status.state", "ready"), "self.status.?readyWorkerReplicas.orValue(0) >= self.status.?desiredWorkerReplicas.orValue(0)"
        ),
        failed=is_("status.state", "failed"),
        suspended=both("self.spec.suspend", is_("status.state", "suspended")),
        ready="state is ready, and as many workers as desired are",
        broken="state is failed",
        source="KubeRay, v1 RayClusterStatus: state, readyWorkerReplicas, desiredWorkerReplicas",
    ),
    entry(
        "ray.io",
        "RayJob",
        current=is_("status.jobDeploymentStatus", "Complete"),
        failed=is_("status.jobDeploymentStatus", "Failed"),
        suspended=both("self.spec.suspend", is_("status.jobDeploymentStatus", "Suspended")),
        waits=is_("status.jobDeploymentStatus", "Waiting"),
        ready="jobDeploymentStatus is Complete",
        broken="jobDeploymentStatus is Failed",
        source="KubeRay, v1 JobDeploymentStatus",
    ),
    *(
        entry(
            "kubeflow.org",
            kind,
            current=condition("Succeeded", "True"),
            failed=condition("Failed", "True"),
            suspended="self.spec.runPolicy.suspend",
            ready="Succeeded is True",
            broken="Failed is True",
            source="Kubeflow Training Operator, v1 JobConditionType; spec.runPolicy.suspend",
        )
        for kind in ("PyTorchJob", "TFJob")
    ),
    entry(
        "jobset.x-k8s.io",
        "JobSet",
        current=condition("Completed", "True"),
        failed=condition("Failed", "True"),
        suspended="self.spec.suspend",
        ready="Completed is True",
        broken="Failed is True",
        source="JobSet, v1alpha2 JobSetConditionType",
    ),
    *(
        entry(
            "kueue.x-k8s.io",
            kind,
            current=true("Active"),
            suspended=is_("spec.stopPolicy", "Hold", "HoldAndDrain"),
            ready="Active is True",
            source=f"Kueue, v1beta1 {kind}Status: condition Active; spec.stopPolicy",
        )
        for kind in ("ClusterQueue", "LocalQueue")
    ),
)
