"""Every kind of object that people keep in Git: applied once, and never written again while nobody touches it.

Aspects: defaulting, conversion, quantities and write-only fields of the built-in kinds are no drift, neither at once nor after a restart.
"""

import signal

import pytest

from tests.support.objects import deployment, manifest, text
from tests.support.world import World

pytestmark = pytest.mark.integration

POD = {
    "containers": [
        {"name": "main", "image": "x:1", "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}}, "env": [{"name": "A", "value": ""}]}
    ]
}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
SELECTOR = {"matchLabels": {"app": "x"}}
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
HOOK = {
    "name": "hook.example.test",
    "clientConfig": {"url": "https://127.0.0.1:9/x"},
    "rules": [{"apiGroups": ["none.example.test"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "failurePolicy": "Ignore",
}


def everything(name: str) -> list[dict]:
    """One object of each kind; cluster-scoped ones carry the test's name."""
    rbac, apps, batch, net, adm = (
        "rbac.authorization.k8s.io",
        "apps/v1",
        "batch/v1",
        "networking.k8s.io/v1",
        "admissionregistration.k8s.io/v1",
    )
    job = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "view"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1000Mi"}}, "storageClassName": ""}
    group = f"{name}.kinds.test"
    crd = {
        "group": group,
        "scope": "Cluster",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
    }
    return [
        manifest("Namespace", f"{name}-extra", labels={"a": "b"}),
        manifest("ConfigMap", "x", data={"empty": "", "multi": "a\nb\n"}, binaryData={"b": "aGk="}),
        manifest("Secret", "x", stringData={"a": "b"}, data={"c": "aGk="}, type="Opaque"),
        manifest("Service", "x", spec={"selector": {"app": "x"}, "ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "name": "dns"}][:1]}),
        manifest("Service", "two", spec={"selector": {"app": "x"}, "ports": [{"port": 53, "name": "t"}, {"port": 53, "protocol": "UDP", "name": "u"}]}),
        manifest("ServiceAccount", "x", automountServiceAccountToken=False),
        manifest("PersistentVolumeClaim", "x", spec=claim),
        manifest("PersistentVolume", name, spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}),
        manifest("ResourceQuota", "x", spec={"hard": {"pods": "10", "requests.cpu": "1500m"}}),
        manifest("LimitRange", "x", spec={"limits": [{"type": "Container", "default": {"cpu": "1.0"}, "max": {"memory": "2048Mi"}}]}),
        manifest("PodTemplate", "x", template=TEMPLATE),
        manifest("Pod", "x", spec=POD),
        manifest("ReplicationController", "x", spec={"replicas": 0, "selector": {"app": "x"}, "template": TEMPLATE}),
        deployment("x"),
        manifest("StatefulSet", "x", api_version=apps, spec={"serviceName": "x", "selector": SELECTOR, "template": TEMPLATE}),
        manifest("DaemonSet", "x", api_version=apps, spec={"selector": SELECTOR, "template": TEMPLATE}),
        manifest("ReplicaSet", "x", api_version=apps, spec={"selector": SELECTOR, "template": TEMPLATE}),
        manifest("Job", "x", api_version=batch, spec=job),
        manifest("CronJob", "x", api_version=batch, spec={"schedule": "0 0 * * *", "jobTemplate": {"spec": job}}),
        manifest(
            "HorizontalPodAutoscaler",
            "x",
            api_version="autoscaling/v2",
            spec={
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": apps, "kind": "Deployment", "name": "x"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
            },
        ),
        manifest("PodDisruptionBudget", "x", api_version="policy/v1", spec={"minAvailable": "50%", "selector": SELECTOR}),
        manifest(
            "Ingress",
            "x",
            api_version=net,
            spec={"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]},
        ),
        manifest("IngressClass", name, api_version=net, spec={"controller": "example.test/x"}),
        manifest("NetworkPolicy", "x", api_version=net, spec={"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 80}]}]}),
        manifest("Role", "x", api_version=f"{rbac}/v1", rules=[RULE]),
        manifest("RoleBinding", "x", api_version=f"{rbac}/v1", roleRef=role, subjects=[{"kind": "ServiceAccount", "name": "x"}]),
        manifest("ClusterRole", name, api_version=f"{rbac}/v1", rules=[RULE], aggregationRule=None),
        manifest("ClusterRoleBinding", name, api_version=f"{rbac}/v1", roleRef=role, subjects=[{"kind": "Group", "name": "g"}]),
        manifest("StorageClass", name, api_version="storage.k8s.io/v1", provisioner="example.test/x", parameters={"a": "b"}),
        manifest("CSIDriver", f"{name}.example.test", api_version="storage.k8s.io/v1", spec={"attachRequired": False}),
        manifest("PriorityClass", name, api_version="scheduling.k8s.io/v1", value=1000),
        manifest("RuntimeClass", name, api_version="node.k8s.io/v1", handler="x"),
        manifest("Lease", "x", api_version="coordination.k8s.io/v1", spec={"leaseDurationSeconds": 15}),
        manifest("EndpointSlice", "x", api_version="discovery.k8s.io/v1", addressType="IPv4", endpoints=[{"addresses": ["10.0.0.1"]}], ports=[{"port": 80}]),
        manifest("ValidatingWebhookConfiguration", name, api_version=adm, webhooks=[HOOK]),
        manifest("MutatingWebhookConfiguration", name, api_version=adm, webhooks=[HOOK]),
        manifest(
            "ValidatingAdmissionPolicy",
            name,
            api_version=adm,
            spec={"matchConstraints": {"resourceRules": HOOK["rules"]}, "validations": [{"expression": "true"}]},
        ),
        manifest("ValidatingAdmissionPolicyBinding", name, api_version=adm, spec={"policyName": name, "validationActions": ["Audit"]}),
        manifest("APIService", f"v1.{name}.agg.test", api_version="apiregistration.k8s.io/v1", spec={"group": f"{name}.agg.test", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"name": "x", "namespace": name}}),
        manifest("PriorityLevelConfiguration", name, api_version="flowcontrol.apiserver.k8s.io/v1", spec={"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}),
        manifest("CustomResourceDefinition", f"things.{group}", api_version="apiextensions.k8s.io/v1", spec=crd),
        manifest("Thing", "x", api_version=f"{group}/v1"),
    ]  # fmt: skip


def test_no_kind_is_written_again_while_nobody_touches_it(own: World):
    objects = everything(own.name)
    assert len({o["kind"] for o in objects}) >= 40
    commit = own.commit({f"{i:02}.yaml": text(o) for i, o in enumerate(objects)})
    mark = own.cluster.audit.mark()
    own.operator.start()
    own.declare()
    own.wait_applied(commit, seconds=40)
    assert len(own.writes(mark)) == len(objects), "each in one PATCH"
    mark = own.cluster.audit.mark()
    own.request()
    own.request()
    assert own.writes(mark) == []
    own.operator.end(signal.SIGKILL)
    own.operator.start()
    own.request()
    assert own.writes(mark) == [], "after a restart"


ONE_OF_A_KIND = {
    "Namespace", "Pod", "ResourceQuota", "LimitRange", "CSIDriver", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "APIService", "PriorityLevelConfiguration", "CustomResourceDefinition", "Thing",
}  # fmt: skip
"""Kinds of which many would get into each other's way, or into that of other tests."""


def test_a_thousand_objects_of_many_kinds_are_left_alone_by_a_second_look(own: World):
    models = [o for o in everything(own.name) if o["kind"] not in ONE_OF_A_KIND]
    assert len({o["kind"] for o in models}) >= 25
    copies = range(1 + 1000 // len(models))
    many = {
        f"{number:02}.yaml": text(*({**o, "metadata": {**o["metadata"], "name": f"{o['metadata']['name']}-{number}"}} for o in models))
        for number in copies
    }
    own.operator.start()
    own.declare()
    own.wait_applied(own.commit(many), seconds=60)
    assert own.state()["status"]["inventory"]["objects"] >= 1000
    mark = own.cluster.audit.mark()
    own.request()
    assert own.writes(mark) == []
