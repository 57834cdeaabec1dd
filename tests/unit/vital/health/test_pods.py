"""Readiness of Pods and Jobs.

Aspects: phases · containers that wait, in back-off or for the first time · scheduling · ends, good and bad · Jobs with and without completions, indexed,
suspended, resumed · CronJobs.
"""

import pytest

from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Reason
from tests.unit.vital.health.table import CURRENT, FAILED, IN_PROGRESS, UNKNOWN, check, row
from tests.unit.vital.objects import MADE, condition, container, job, live, pod

READY = condition("Ready", "True")
NOT_READY = condition("Ready", "False", "ContainersNotReady", "containers with unready status: [main]")
NO_NODE = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")
GATED = condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
CRASHES = container(waits="CrashLoopBackOff", message="back-off 40s restarting failed container")

PODS = [
    row("ready", pod("Running", READY, containers=[container()]), CURRENT, Reason.READY, "is ready"),
    row("no status", live("v1", "Pod", spec={}), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("running, not ready", pod("Running", NOT_READY, containers=[container()]), IN_PROGRESS, Reason.NOT_READY, "unready status: [main]"),
    row("running, nothing told", pod("Running"), IN_PROGRESS, Reason.NOT_READY),
    row("crash loop", pod("Running", NOT_READY, containers=[container("side"), CRASHES]), FAILED, Reason.CRASH_LOOP, "container main: CrashLoopBackOff (back-off 40s"),
    row("crash loop while it initialises", pod("Pending", NOT_READY, init=[container("migrate", waits="CrashLoopBackOff")]), FAILED, Reason.CRASH_LOOP, "container migrate"),
    row("restarted, up again and ready", pod("Running", READY, containers=[container() | {"restartCount": 7}]), CURRENT, Reason.READY),
    row("image back-off", pod("Pending", containers=[container(waits="ImagePullBackOff")]), FAILED, Reason.IMAGE_PULL_FAILED, "ImagePullBackOff"),
    row("image pull, first try", pod("Pending", containers=[container(waits="ErrImagePull", message="manifest unknown")]), IN_PROGRESS, Reason.CONTAINER_WAITING, "ErrImagePull (manifest unknown)"),
    row("image name is none", pod("Pending", containers=[container(waits="InvalidImageName")]), FAILED, Reason.IMAGE_PULL_FAILED),
    row("image may not be pulled", pod("Pending", containers=[container(waits="ErrImageNeverPull")]), FAILED, Reason.IMAGE_PULL_FAILED),
    row("ConfigMap is missing", pod("Pending", containers=[container(waits="CreateContainerConfigError", message='configmap "c" not found')]), IN_PROGRESS, Reason.CONTAINER_WAITING, 'configmap "c" not found'),
    row("being created", pod("Pending", containers=[container(waits="ContainerCreating")]), IN_PROGRESS, Reason.PENDING),
    row("initialises", pod("Pending", init=[container("migrate")], containers=[container(waits="PodInitializing")]), IN_PROGRESS, Reason.PENDING),
    row("pending, nothing told", pod("Pending"), IN_PROGRESS, Reason.PENDING),
    row("unschedulable", pod("Pending", NO_NODE), IN_PROGRESS, Reason.UNSCHEDULABLE, "3 Insufficient cpu"),
    row("gated", pod("Pending", GATED), IN_PROGRESS, Reason.PENDING, "scheduling gates"),
    row("completed", pod("Succeeded", restart="Never", containers=[container(exited=0)]), CURRENT, Reason.COMPLETED),
    row("completed after retries", pod("Succeeded", restart="OnFailure"), CURRENT, Reason.COMPLETED),
    row("ended, though to be restarted", pod("Succeeded", restart="Always"), FAILED, Reason.POD_FAILED, "restarted always"),
    row("failed", pod("Failed", restart="Never", containers=[container("side", exited=0), container(exited=3)]), FAILED, Reason.POD_FAILED, "container main exited with 3 (Error)"),
    row("failed while it initialised", pod("Failed", restart="Never", init=[container("migrate", exited=1)]), FAILED, Reason.POD_FAILED, "container migrate exited with 1"),
    row("failed without a word", pod("Failed"), FAILED, Reason.POD_FAILED, "ended with an error"),
    row("evicted", pod("Failed", reason="Evicted", message="The node was low on resource: memory."), FAILED, Reason.POD_FAILED, "low on resource"),
    row("over its deadline", pod("Failed", reason="DeadlineExceeded", restart="Never"), FAILED, Reason.POD_FAILED, "DeadlineExceeded"),
    row("node is silent", pod("Unknown", NOT_READY, reason="NodeLost"), UNKNOWN, Reason.HEARTBEAT_LOST),
    row("a phase that does not exist", pod("Dancing"), UNKNOWN, Reason.MALFORMED, "/status/phase"),
    row("spec changed, kubelet has not seen it", pod("Running", READY, observedGeneration=1) | {"metadata": {"name": "p", "generation": 2}}, IN_PROGRESS, Reason.NOT_OBSERVED),
]  # fmt: skip

COMPLETE = condition("Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods")
BACKOFF = condition("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
SUSPENDED = condition("Suspended", "True", "JobSuspended", "Job suspended")
INDEXED = {"completions": 5, "completionMode": "Indexed"}

JOBS = [
    row("complete", job(COMPLETE, succeeded=1), CURRENT, Reason.COMPLETED, "1 of 1 Pods succeeded"),
    row("no status", live("batch/v1", "Job", spec={}), IN_PROGRESS, Reason.NOT_OBSERVED, "not started"),
    row("running", job(active=1), IN_PROGRESS, Reason.RUNNING, "0 of 1 Pods succeeded, 1 active"),
    row("retries", job(active=1, failed=2), IN_PROGRESS, Reason.RUNNING, "2 failed"),
    row("failed", job(BACKOFF, failed=7), FAILED, Reason.JOB_FAILED, "backoff limit"),
    row("about to fail", job(condition("FailureTarget", "True", "DeadlineExceeded", "Job was active longer than specified deadline"), active=1), FAILED, Reason.JOB_FAILED, "longer than specified"),
    row("about to succeed", job(condition("SuccessCriteriaMet", "True", "CompletionsReached"), succeeded=1, terminating=1), IN_PROGRESS, Reason.RUNNING),
    row("condition that was taken back", job(condition("Failed", "False"), active=1), IN_PROGRESS, Reason.RUNNING),
    row("indexed", job(spec=INDEXED, active=2, succeeded=3, completedIndexes="0-2"), IN_PROGRESS, Reason.RUNNING, "3 of 5 indexes succeeded"),
    row("indexed, some given up", job(spec=INDEXED | {"backoffLimitPerIndex": 1}, active=1, succeeded=3, failed=2, failedIndexes="4"), IN_PROGRESS, Reason.RUNNING, "indexes given up: 4"),
    row("indexed, failed in the end", job(condition("Failed", "True", "FailedIndexes", "Job has failed indexes"), spec=INDEXED, succeeded=4), FAILED, Reason.JOB_FAILED, "failed indexes"),
    row("indexed and complete", job(COMPLETE, spec=INDEXED, succeeded=5), CURRENT, Reason.COMPLETED, "5 of 5 indexes"),
    row("work queue", job(spec={"completions": None, "parallelism": 3}, active=2, succeeded=1), IN_PROGRESS, Reason.RUNNING, "1 Pods succeeded, 2 active"),
    row("suspended", job(SUSPENDED, spec={"suspend": True}, startTime=None), CURRENT, Reason.SUSPENDED),
    row("to be suspended, not seen yet", job(spec={"suspend": True}, active=1), IN_PROGRESS, Reason.RUNNING),
    row("resumed, condition lags", job(SUSPENDED, startTime=None), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("resumed", job(condition("Suspended", "False", "JobResumed"), active=1), IN_PROGRESS, Reason.RUNNING),
    row("CronJob without status", live("batch/v1", "CronJob", spec={"schedule": "@daily"}, generation=1), CURRENT, Reason.READY, "last success was never"),
    row("CronJob with a run", live("batch/v1", "CronJob", spec={}, status={"active": [{"name": "c-1"}], "lastSuccessfulTime": MADE}), CURRENT, Reason.READY, f"1 Jobs are active; the last success was at {MADE}"),
    row("CronJob suspended", live("batch/v1", "CronJob", spec={"suspend": True}, status={}), CURRENT, Reason.SUSPENDED),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "status", "reason", "told"), PODS)
def test_a_pod_is_current_when_ready_or_completed_as_it_should(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), JOBS)
def test_a_job_is_current_when_complete_or_suspended(obj, status, reason, told):
    check(obj, status, reason, told)


def test_a_job_without_failures_does_not_speak_of_any():
    assert readiness(job(active=1)).message == "0 of 1 Pods succeeded, 1 active"


def test_a_pod_that_tells_no_details_gets_none():
    assert readiness(pod("Failed")).message == "ended with an error"
    assert readiness(pod("Pending", containers=[container(waits="ImagePullBackOff")])).message == "container main: ImagePullBackOff"
