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
        {"name": "g", "rbd": {"monitors": ["1.2.3.4"], "image": "x"}},
        {"name": "h", "azureDisk": {"diskName": "x", "diskURI": "https://example.io/x.vhd"}},
        {"name": "i", "scaleIO": {"gateway": "x", "system": "x", "secretRef": {"name": "x"}, "volumeName": "x"}},
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
    ("flowcontrol.apiserver.k8s.io/v1", "!FlowSchema", "flowschemas", {"spec": {"priorityLevelConfiguration": {"name": "exempt"}}}),
    ("coordination.k8s.io/v1", "Lease", "leases", {"spec": {"holderIdentity": "x"}}),
    ("node.k8s.io/v1", "!RuntimeClass", "runtimeclasses", {"handler": "x"}),
    ("networking.k8s.io/v1", "!IngressClass", "ingressclasses", {"spec": {"controller": "example.io/x", "parameters": {"kind": "X", "name": "x"}}}),
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


def test_what_we_applied_alone_has_no_extra_fields(api: Api, web: str, settings: str) -> None:
    for path, body in ((web, deployment("extra")), (settings, config_map("extra", a="1"))):
        live = api.get(path)
        assert live is not None
        assert told(body, live) == ()


def test_a_writer_before_us_may_hold_defaults_of_a_kind_that_is_not_built_in(api: Api) -> None:
    """Its labels count all the same, and so does what a later writer adds."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "default": 3}, "color": {"type": "string"}, "name": {"type": "string"}, "x": {"type": "string"},
    }}}}  # fmt: skip
    crd = definition("extra.example.io", "Extra", schema)
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    root = "/apis/extra.example.io/v1/namespaces/default/extras"
    until("extras are served", lambda: api.request("GET", root)[0] == 200)
    body = manifest("Extra", "a", api_version="extra.example.io/v1", spec={"name": "a"})
    before = manifest("Extra", "a", api_version="extra.example.io/v1", labels={"x": "y"}, spec={"name": "a", "color": "red"})
    code, answer = api.request("POST", f"{root}?fieldManager=kubectl-create", before)
    assert (code, answer["spec"]["size"]) == (201, 3)
    applied(api, f"{root}/a", body)
    live = write(api, f"{root}/a", {"spec": {"x": "1"}})
    assert sorted(paths(body, live)) == ["/metadata/labels/x", "/spec/x"]
    after = removed(api, f"{root}/a", live, told(body, live))
    assert (after["spec"], after["metadata"].get("labels")) == ({"name": "a", "color": "red", "size": 3}, None)
    api.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}")


# -- drift where there is some ----------------------------------------------------------------------------------------

POD_PATH = "/spec/template/spec"
EDIT: Json = {
    "metadata": {"annotations": {"note": "mine", "kubectl.kubernetes.io/last-applied-configuration": "{}", "cvstate.io/x": "y"}},
    "spec": {
        "minReadySeconds": 7,
        "template": {
            "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
            "spec": {
                "nodeSelector": {"zone": "a"},
                "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}, {"name": "more", "emptyDir": {}}],
                "containers": [
                    {
                        "name": "main",
                        "env": [{"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 8443, "name": "tls"}],
                        "livenessProbe": {"tcpSocket": {"port": 8080}},
                    },
                    {"name": "side", "image": "side:1"},
                ],
            },
        },
    },
}


def edited(api: Api, web: str) -> Json:
    return write(api, web, EDIT, STRATEGIC)


def named(live: Json, drift: FieldDrift) -> str:
    """The pointer without the order of lists, which is the server's: items by their name."""
    at: Any = live
    parts = []
    for part in drift.path.split("/")[1:]:
        at = at[int(part)] if isinstance(at, list) else at[part.replace("~1", "/")]
        parts.append(str(at.get("name", at)) if part.isdecimal() else part)
    return "/" + "/".join(parts)


def test_what_somebody_added_is_told_with_its_writer(api: Api, web: str) -> None:
    live = edited(api, web)
    drifts = told(deployment("extra"), live)
    assert sorted(named(live, drift) for drift in drifts) == [
        "/metadata/annotations/note",
        "/spec/minReadySeconds",
        f"{POD_PATH}/containers/main/env/B",
        f"{POD_PATH}/containers/main/livenessProbe",
        f"{POD_PATH}/containers/main/ports/tls",
        f"{POD_PATH}/containers/side",
        f"{POD_PATH}/nodeSelector",
        f"{POD_PATH}/volumes/more",
        f"{POD_PATH}/volumes/tmp/emptyDir/medium",
    ]
    assert {drift.manager for drift in drifts} == {"kubectl-edit"}
    assert all(drift.since and drift.desired is None for drift in drifts)


def test_its_removal_leaves_everything_else_and_everybody_else(api: Api, web: str) -> None:
    applied(api, web, manifest("Deployment", "extra", api_version="apps/v1", annotations={"theirs": "1"}), manager="other")
    write(api, web, {"metadata": {"annotations": {"vpa": "1"}}}, manager="vpa")
    write(api, f"{web}/scale", {"spec": {"replicas": 1}}, manager="hpa")
    before = api.get(web)
    assert before is not None
    live = edited(api, web)
    after = removed(api, web, live, told(deployment("extra"), live))
    assert after["spec"] == {
        **before["spec"],
        "template": {**before["spec"]["template"], "metadata": after["spec"]["template"]["metadata"]},
    }
    kept = {"theirs": "1", "vpa": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}", "cvstate.io/x": "y"}
    assert after["metadata"]["annotations"] == kept
    assert after["spec"]["template"]["metadata"]["annotations"] == {"kubectl.kubernetes.io/restartedAt": "now"}
    assert told(deployment("extra"), after) == ()


def test_of_several_extra_items_one_is_removed_and_no_other(api: Api, web: str) -> None:
    live = write(api, web, {"spec": {"template": {"spec": {"containers": [
        {"name": "main", "env": [{"name": name, "value": "x"} for name in "BCDE"]},
    ]}}}}, STRATEGIC)  # fmt: skip
    drifts = told(deployment("extra"), live)
    assert [drift.live["name"] for drift in drifts] == list("BCDE")
    after = removed(api, web, live, [drifts[2], drifts[0]])
    assert {item["name"] for item in after["spec"]["template"]["spec"]["containers"][0]["env"]} == {"A", "C", "E"}


def test_a_key_of_a_config_map_is_told_and_taken_away(api: Api, settings: str) -> None:
    live = write(api, settings, {"data": {"b": "2", "c.d": ""}})
    assert paths(config_map("extra", a="1"), live) == ["/data/b", "/data/c.d"]
    assert removed(api, settings, live, told(config_map("extra", a="1"), live))["data"] == {"a": "1"}


def test_a_declared_field_that_somebody_changed_is_no_extra_one(api: Api, web: str) -> None:
    live = write(
        api, web, {"spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "main", "image": "other:9"}]}}}}, STRATEGIC
    )
    assert told(deployment("extra"), live) == ()


def test_what_another_manager_applied_or_is_left_alone_is_no_extra_field(api: Api, web: str) -> None:
    applied(api, web, manifest("Deployment", "extra", api_version="apps/v1", spec={"minReadySeconds": 7}), manager="other")
    live = write(api, web, {"metadata": {"labels": {"a": "b"}}}, manager="vpa")
    live = write(api, web, {"metadata": {"labels": {"c": "d"}}}, manager="kube-controller-manager")
    assert told(deployment("extra"), live) == ()
    assert extras(deployment("extra"), live, manager=US, left_alone=lambda _: False)[0].path == "/metadata/labels/a"


def test_a_value_that_was_changed_and_is_the_default_again_is_no_drift(api: Api, web: str) -> None:
    changed = write(api, web, {"spec": {"revisionHistoryLimit": 3}})
    assert paths(deployment("extra"), changed) == ["/spec/revisionHistoryLimit"]
    assert told(deployment("extra"), write(api, web, {"spec": {"revisionHistoryLimit": 10}})) == ()


def test_after_a_removal_the_default_is_back_and_no_drift(api: Api, web: str) -> None:
    changed = write(api, web, {"spec": {"revisionHistoryLimit": 3, "strategy": {"rollingUpdate": {"maxSurge": 5}}}})
    after = removed(api, web, changed, told(deployment("extra"), changed))
    assert (after["spec"]["revisionHistoryLimit"], after["spec"]["strategy"]["rollingUpdate"]["maxSurge"]) == (10, "25%")
    assert told(deployment("extra"), after) == ()


def test_a_service_goes_back_to_its_own_type(api: Api) -> None:
    body = manifest("Service", "extra", spec={"selector": {"a": "b"}, "ports": [{"name": "dns", "port": 53}]})
    path = f"{NAMESPACE}/services/extra"
    applied(api, path, body)
    write(api, path, {"spec": {"type": "NodePort"}})
    live = write(api, path, [{"op": "add", "path": "/spec/ports/0", "value": {"name": "dns-udp", "port": 53, "protocol": "UDP"}}], PATCH)
    drifts = told(body, live)
    assert sorted(named(live, drift) for drift in drifts) == ["/spec/ports/dns-udp", "/spec/type"]
    after = removed(api, path, live, drifts)
    assert (after["spec"]["type"], [port["name"] for port in after["spec"]["ports"]]) == ("ClusterIP", ["dns"])
    assert told(body, after) == ()
    api.delete(path)


# -- a write in between -----------------------------------------------------------------------------------------------


def test_a_write_in_between_makes_the_removal_fail_and_nothing_is_removed(api: Api, web: str) -> None:
    live = edited(api, web)
    operations: Any = removal(live, told(deployment("extra"), live))
    first: Json = {"spec": {"template": {"spec": {"containers": [{"name": "first", "image": "first:1"}]}}}}
    between = write(api, web, first, STRATEGIC, manager="somebody")
    code, answer = api.request("PATCH", f"{web}?fieldManager={US}", operations, PATCH)
    assert (code, answer["reason"]) == (422, "Invalid")
    now = api.get(web)
    assert now is not None
    assert now["metadata"]["resourceVersion"] == between["metadata"]["resourceVersion"]


def test_an_object_that_was_made_anew_is_not_touched(api: Api, settings: str) -> None:
    live = write(api, settings, {"data": {"b": "2"}})
    operations: Any = removal(live, told(config_map("extra", a="1"), live))
    api.delete(settings)
    again = api.create(f"{NAMESPACE}/configmaps", config_map("extra", a="1", b="2"))
    code, _ = api.request("PATCH", f"{settings}?fieldManager={US}", operations, PATCH)
    now = api.get(settings)
    assert now is not None
    assert (code, now["data"], now["metadata"]["uid"]) == (422, {"a": "1", "b": "2"}, again["metadata"]["uid"])
