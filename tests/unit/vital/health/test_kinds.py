"""Readiness of what others provide, of what acts on Pods, and of what a cluster is made of.

Aspects: addresses · claims and volumes · autoscalers in both versions · budgets · nodes, namespaces, definitions, aggregated APIs.
"""

from typing import Any

import orjson
import pytest

from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Reason
from tests.unit.vital.health.table import CURRENT, FAILED, IN_PROGRESS, TERMINATING, UNKNOWN, check, row
from tests.unit.vital.objects import (
    ABLE,
    ACTIVE,
    api_service,
    autoscaler,
    claim,
    condition,
    definition,
    disruption_budget,
    ingress,
    live,
    namespace,
    node,
    service,
)

PROVISIONER = {"volume.kubernetes.io/storage-provisioner": "ebs.csi.aws.com"}
CHOSEN = {"volume.kubernetes.io/selected-node": "node-1"}


def volume(phase: str, **status: str) -> Any:
    return live("v1", "PersistentVolume", spec={}, status={**({"phase": phase} if phase else {}), **status})


PROVIDED = [
    row("Service inside", service("ClusterIP"), CURRENT, Reason.READY),
    row("Service on nodes", service("NodePort"), CURRENT, Reason.READY),
    row("Service by another name", service("ExternalName"), CURRENT, Reason.READY),
    row("load balancer without address", service("LoadBalancer"), IN_PROGRESS, Reason.PENDING, "no address yet"),
    row("load balancer with IP", service("LoadBalancer", {"ip": "192.0.2.7"}), CURRENT, Reason.READY, "192.0.2.7"),
    row("load balancer with name", service("LoadBalancer", {"hostname": "lb.example.com"}), CURRENT, Reason.READY, "lb.example.com"),
    row("load balancer with an empty entry", service("LoadBalancer", {"ip": ""}), IN_PROGRESS, Reason.PENDING),
    row("Service without status", live("v1", "Service", spec={"type": "LoadBalancer"}), IN_PROGRESS, Reason.PENDING),
    row("Ingress without address", ingress(), CURRENT, Reason.NO_ADDRESS, "no address is told"),
    row("Ingress with address", ingress({"ip": "192.0.2.8"}), CURRENT, Reason.READY, "192.0.2.8"),
    row("claim bound", claim("Bound"), CURRENT, Reason.READY),
    row("claim that waits for a Pod", claim("Pending"), IN_PROGRESS, Reason.AWAITS_CONSUMER, "first Pod"),
    row("claim nobody saw", claim(""), IN_PROGRESS, Reason.AWAITS_CONSUMER),
    row("claim being provisioned", claim("Pending", annotations=PROVISIONER), IN_PROGRESS, Reason.PENDING, "is being made"),
    row("claim whose Pod has a node", claim("Pending", annotations=CHOSEN), IN_PROGRESS, Reason.PENDING),
    row("claim lost", claim("Lost"), FAILED, Reason.VOLUME_LOST),
    row("claim growing", claim("Bound", condition("Resizing", "True")), IN_PROGRESS, Reason.RESIZING),
    row("claim grown but for a mount", claim("Bound", condition("FileSystemResizePending", "True")), CURRENT, Reason.READY),
    row("claim that cannot grow", claim("Bound", condition("Resizing", "True"), condition("ControllerResizeError", "True", "", "quota")), FAILED, Reason.VOLUME_CHANGE_FAILED, "quota"),
    row("claim changing its class", claim("Bound", condition("ModifyingVolume", "True")), IN_PROGRESS, Reason.RESIZING),
    row("claim in a strange phase", claim("Elsewhere"), UNKNOWN, Reason.MALFORMED),
    row("volume available", volume("Available"), CURRENT, Reason.READY, "is Available"),
    row("volume released", volume("Released"), CURRENT, Reason.READY),
    row("volume pending", volume("Pending"), IN_PROGRESS, Reason.PENDING),
    row("volume failed", volume("Failed", message="error deleting volume"), FAILED, Reason.VOLUME_CHANGE_FAILED, "error deleting"),
    row("volume in a strange phase", volume("Lost"), UNKNOWN, Reason.MALFORMED),
]  # fmt: skip


def old_autoscaler(text: str, **status: int) -> Any:
    annotations = {"autoscaling.alpha.kubernetes.io/conditions": text} if text else {}
    return live("autoscaling/v1", "HorizontalPodAutoscaler", spec={}, status=status, annotations=annotations)


NO_METRICS = condition("ScalingActive", "False", "FailedGetResourceMetric", "unable to fetch metrics from resource metrics API")
NO_TARGET = condition("AbleToScale", "False", "FailedGetScale", 'deployments.apps "web" not found')

ACTING = [
    row("autoscaler works", autoscaler(ABLE, ACTIVE), CURRENT, Reason.READY, "wants 4 replicas; 2 are there"),
    row("autoscaler at its limit", autoscaler(ABLE, ACTIVE, condition("ScalingLimited", "True", "TooManyReplicas")), CURRENT, Reason.READY),
    row("autoscaler nobody saw", live("autoscaling/v2", "HorizontalPodAutoscaler", spec={}), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("autoscaler without target", autoscaler(NO_TARGET), IN_PROGRESS, Reason.TARGET_MISSING, '"web" not found'),
    row("autoscaler without metrics", autoscaler(ABLE, NO_METRICS), IN_PROGRESS, Reason.METRICS_MISSING, "unable to fetch metrics"),
    row("autoscaler before its metrics", autoscaler(ABLE), IN_PROGRESS, Reason.METRICS_MISSING),
    row("autoscaler of a target at zero", autoscaler(ABLE, condition("ScalingActive", "False", "ScalingDisabled")), CURRENT, Reason.SUSPENDED),
    row("autoscaler with a bad selector", autoscaler(ABLE, condition("ScalingActive", "False", "InvalidSelector", "no selector")), FAILED, Reason.SPEC_REFUSED),
    row("autoscaler v1 works", old_autoscaler(orjson.dumps([ABLE, ACTIVE]).decode(), currentReplicas=1, desiredReplicas=1), CURRENT, Reason.READY),
    row("autoscaler v1 without metrics", old_autoscaler(orjson.dumps([ABLE, NO_METRICS]).decode()), IN_PROGRESS, Reason.METRICS_MISSING),
    row("autoscaler v1 nobody saw", old_autoscaler(""), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("autoscaler v1 with a broken annotation", old_autoscaler("[{"), UNKNOWN, Reason.MALFORMED, "is no JSON"),
    row("autoscaler v1 with another annotation", old_autoscaler('"yes"'), UNKNOWN, Reason.MALFORMED),
    row("budget computed", disruption_budget(condition("DisruptionAllowed", "True", "SufficientPods")), CURRENT, Reason.READY, "3 healthy, 2 needed, 1 disruptions allowed"),
    row("budget used up", disruption_budget(condition("DisruptionAllowed", "False", "InsufficientPods"), currentHealthy=1), CURRENT, Reason.READY, "1 healthy, 2 needed"),
    row("budget nobody saw", live("policy/v1", "PodDisruptionBudget", spec={}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("budget of an older spec", disruption_budget(observedGeneration=0), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("budget that cannot be computed", disruption_budget(condition("DisruptionAllowed", "False", "SyncFailed", "found no controllers for pod")), FAILED, Reason.SPEC_REFUSED, "found no controllers"),
]  # fmt: skip

UP = condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
DOWN = condition("Ready", "False", "KubeletNotReady", "container runtime network not ready")
SILENT = condition("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
ACCEPTED = condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
CONFLICT = condition("NamesAccepted", "False", "PluralConflict", '"widgets" is already in use')

CLUSTER = [
    row("node ready", node(UP, condition("DiskPressure", "False")), CURRENT, Reason.READY, "is ready"),
    row("node under pressure", node(UP, condition("DiskPressure", "True"), condition("MemoryPressure", "True")), CURRENT, Reason.READY, "MemoryPressure, DiskPressure"),
    row("node cordoned", node(UP, spec={"unschedulable": True}), CURRENT, Reason.READY, "cordoned"),
    row("node not ready", node(DOWN), IN_PROGRESS, Reason.NOT_READY, "network not ready"),
    row("node silent", node(SILENT), UNKNOWN, Reason.HEARTBEAT_LOST, "stopped posting"),
    row("node new", node(), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("namespace active", namespace("Active"), CURRENT, Reason.READY),
    row("namespace new", namespace(""), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("namespace going", namespace("Terminating", deletionTimestamp="2026-03-01T11:00:00Z"), TERMINATING, Reason.DELETING),
    row("namespace going, told by its phase", namespace("Terminating"), TERMINATING, Reason.DELETING),
    row("namespace in a strange phase", namespace("Asleep"), UNKNOWN, Reason.MALFORMED),
    row("definition served", definition(ACCEPTED, condition("Established", "True", "InitialNamesAccepted")), CURRENT, Reason.READY),
    row("definition new", definition(), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("definition accepted", definition(ACCEPTED), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("definition being installed", definition(ACCEPTED, condition("Established", "False", "Installing", "the initial names have been accepted")), IN_PROGRESS, Reason.NOT_READY, "initial names"),
    row("definition in conflict", definition(CONFLICT, condition("Established", "False", "NotAccepted", "not all names are accepted")), FAILED, Reason.SPEC_REFUSED, "already in use"),
    row("definition not accepted", definition(condition("Established", "False", "NotAccepted", "not all names are accepted")), FAILED, Reason.SPEC_REFUSED, "not all names"),
    row("definition in conflict, still served", definition(CONFLICT, condition("Established", "True")), FAILED, Reason.SPEC_REFUSED),
    row("API served here", api_service(condition("Available", "True", "Local")), CURRENT, Reason.READY),
    row("API whose backend is missing", api_service(condition("Available", "False", "MissingEndpoints", "no endpoints")), IN_PROGRESS, Reason.NOT_READY, "no endpoints"),
    row("API new", api_service(), IN_PROGRESS, Reason.NOT_OBSERVED),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "status", "reason", "told"), PROVIDED)
def test_what_others_provide_is_current_when_it_is_there(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), ACTING)
def test_what_acts_on_pods_is_current_when_it_can_work(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), CLUSTER)
def test_what_a_cluster_is_made_of_is_current_when_it_serves(obj, status, reason, told):
    check(obj, status, reason, told)


def test_a_node_in_order_is_ready_without_remarks():
    assert readiness(node(UP)).message == "is ready"
