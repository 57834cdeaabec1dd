"""Extra fields on a live API server: its own managedFields, its own defaults, and what its JSON patch takes away.

Aspects: what we applied has none · an object that was made otherwise, then adopted, has none by its defaults alone, in every kind · what people add is told ·
taking it away leaves everything else, and everybody else · a write in between makes the removal fail · a default that came back is no drift.
"""

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.extras import extras, removal
from tests.support.api import Api, Json
from tests.support.objects import RBAC, config_map, definition, deployment, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration

US = "cvstate-operator"
MERGE, STRATEGIC, PATCH = (f"application/{kind}+json" for kind in ("merge-patch", "strategic-merge-patch", "json-patch"))
NAMESPACE = "/api/v1/namespaces/default"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def told(desired: Json, live: Json) -> tuple[FieldDrift, ...]:
    return extras(desired, live, manager=US, left_alone=lambda manager: manager == "vpa")


def paths(desired: Json, live: Json) -> list[str]:
    return [drift.path for drift in told(desired, live)]


def write(api: Api, path: str, body: Any, kind: str = MERGE, *, manager: str = "kubectl-edit") -> Json:
    code, answer = api.request("PATCH", f"{path}?fieldManager={manager}", body, kind)
    assert code < 300, answer
    return answer


def applied(api: Api, path: str, body: Json, *, manager: str = US) -> Json:
    code, answer = api.apply(path, body, manager=manager)
    assert code < 300, answer
    return answer


def removed(api: Api, path: str, live: Json, drifts: Sequence[FieldDrift]) -> Json:
    return write(api, path, removal(live, drifts), PATCH, manager=US)


@pytest.fixture
def web(api: Api) -> Any:
    """Path of a Deployment that we applied; gone after the test."""
    applied(api, f"{DEPLOYMENTS}/extra", deployment("extra"))
    yield f"{DEPLOYMENTS}/extra"
    api.delete(f"{DEPLOYMENTS}/extra")


@pytest.fixture
def settings(api: Api) -> Any:
    """The same of a ConfigMap."""
    applied(api, f"{NAMESPACE}/configmaps/extra", config_map("extra", a="1"))
    yield f"{NAMESPACE}/configmaps/extra"
    api.delete(f"{NAMESPACE}/configmaps/extra")


# -- no drift where there is none -------------------------------------------------------------------------------------

POD: Json = {
    "serviceAccountName": "default",
    "hostNetwork": True,
    "containers": [
        {
            "name": "app",
            "image": "web:1",
            "env": [
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
            "startupProbe": {"grpc": {"port": 80}},
            "lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 80}}},
            "resources": {"limits": {"cpu": "1"}},
        }
    ],
    "volumes": [
        {"name": "a", "configMap": {"name": "a"}},
        {"name": "b", "secret": {"secretName": "b"}},
        {"name": "c", "hostPath": {"path": "/c"}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {"items": []}}]}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}}},
        {"name": "f", "iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2000-01.x:y", "lun": 0}},
    ],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
}  # fmt: skip
LABELS = {"app": "extra"}
TEMPLATE: Json = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD: Json = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
JOB: Json = {"template": {**TEMPLATE, "spec": {**POD, "restartPolicy": "Never"}}}
CLAIM: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
WEBHOOK: Json = {
    "name": "a.example.io",
    "clientConfig": {"service": {"name": "a", "namespace": "default"}},
    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["none"], "operations": ["CREATE"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
ADMISSION = "admissionregistration.k8s.io/v1"
KINDS = [
    ("apps/v1", "Deployment", "deployments", {"spec": WORKLOAD}),
    ("apps/v1", "DaemonSet", "daemonsets", {"spec": WORKLOAD}),
    ("apps/v1", "ReplicaSet", "replicasets", {"spec": WORKLOAD}),
    (
        "apps/v1",
        "StatefulSet",
        "statefulsets",
        {"spec": {**WORKLOAD, "serviceName": "a", "volumeClaimTemplates": [{"metadata": {"name": "x"}, "spec": CLAIM}]}},
    ),
    ("batch/v1", "Job", "jobs", {"spec": JOB}),
    ("batch/v1", "CronJob", "cronjobs", {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}}}),
    ("v1", "Pod", "pods", {"spec": POD}),
    ("v1", "Service", "services", {"spec": {"selector": LABELS, "ports": [{"port": 80}]}}),
    ("v1", "ConfigMap", "configmaps", {"data": {"type": "x"}}),
    ("v1", "Secret", "secrets", {"data": {"a": "YQ=="}}),
    ("v1", "ServiceAccount", "serviceaccounts", {}),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", {"spec": CLAIM}),
    ("v1", "ResourceQuota", "resourcequotas", {"spec": {"hard": {"pods": "900"}}}),
    ("v1", "LimitRange", "limitranges", {"spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "1Ti"}}]}}),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", {"spec": {"podSelector": {}, "egress": [{}]}}),
    (
        "networking.k8s.io/v1",
        "Ingress",
        "ingresses",
        {"spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}]}}]}},
    ),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", {"spec": {"maxUnavailable": 2, "selector": {"matchLabels": LABELS}}}),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        {"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 3}}}},
    ),
    (RBAC, "Role", "roles", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    (
        RBAC,
        "RoleBinding",
        "rolebindings",
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}, "subjects": [{"kind": "User", "name": "a"}]},
    ),
    (RBAC, "!ClusterRole", "clusterroles", {"rules": []}),
    ("v1", "!Namespace", "namespaces", {}),
    ("v1", "!PersistentVolume", "persistentvolumes", {"spec": {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}),
    ("storage.k8s.io/v1", "!StorageClass", "storageclasses", {"provisioner": "a.example.io"}),
    ("storage.k8s.io/v1", "!CSIDriver", "csidrivers", {"spec": {}}),
    ("scheduling.k8s.io/v1", "!PriorityClass", "priorityclasses", {"value": 3}),
    (ADMISSION, "!ValidatingWebhookConfiguration", "validatingwebhookconfigurations", {"webhooks": [WEBHOOK]}),
    (ADMISSION, "!MutatingWebhookConfiguration", "mutatingwebhookconfigurations", {"webhooks": [WEBHOOK]}),
    (
        ADMISSION,
        "!ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        {"spec": {"matchConstraints": {"resourceRules": WEBHOOK["rules"]}, "validations": [{"expression": "true"}]}},
    ),
    ("apiregistration.k8s.io/v1", "!APIService", "apiservices", {"spec": {"group": "none.example.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"name": "a", "namespace": "default"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("version", "kind", "plural", "body"), KINDS, ids=[kind for _, kind, _, _ in KINDS])
def test_defaults_are_no_extra_fields_of_an_object_that_was_made_otherwise(
    api: Api, version: str, kind: str, plural: str, body: Json
) -> None:
    name = "v1.none.example.io" if kind == "!APIService" else "extra-defaults"
    body = manifest(kind.lstrip("!"), name, api_version=version, labels={"a": "b"}, **copy.deepcopy(body))
    root = f"/{'apis' if '/' in version else 'api'}/{version}{'' if kind.startswith('!') else '/namespaces/default'}/{plural}"
    code, answer = api.request("POST", f"{root}?fieldManager=kubectl-create", body)
    assert code == 201, answer
    try:
        live = applied(api, f"{root}/{name}", body)
        assert [(drift.path, drift.live) for drift in told(body, live)] == []
        labelled = write(api, f"{root}/{name}", {"metadata": {"labels": {"x": "y"}}})
        assert paths(body, labelled) == ["/metadata/labels/x"]
        assert paths(body, removed(api, f"{root}/{name}", labelled, told(body, labelled))) == []
    finally:
        api.delete(f"{root}/{name}")
