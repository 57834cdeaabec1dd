"""Objects for tests/integration/test_check.py: valid ones that reach into the corners of Kubernetes' own kinds, and a kind of its own rules."""

from typing import Any

from tests.support.objects import manifest

SELECTOR = {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]}
TERMS = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
PLAIN_POD = {"containers": [{"name": "main", "image": "x:1"}], "restartPolicy": "Never"}
GROUP = "parity.check.test"


def container(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "x:1", **more}


VOLUMES: list[dict[str, Any]] = [
    {"name": "config", "configMap": {"name": "x", "items": [{"key": "a", "path": "a", "mode": 420}], "optional": True}},
    {"name": "secret", "secret": {"secretName": "x", "defaultMode": 256}},
    {"name": "claim", "persistentVolumeClaim": {"claimName": "x"}},
    {"name": "empty", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    {"name": "host", "hostPath": {"path": "/x", "type": "Directory"}},
    {"name": "nfs", "nfs": {"server": "x", "path": "/x"}},
    {"name": "csi", "csi": {"driver": "csi.example.test"}},
    {"name": "iscsi", "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:x", "lun": 1}},
    {"name": "downward", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    {"name": "azure", "azureFile": {"secretName": "x", "shareName": "x"}},
    {"name": "ceph", "cephfs": {"monitors": ["10.0.0.1"]}},
    {"name": "rbd", "rbd": {"monitors": ["10.0.0.1"], "image": "x"}},
    {"name": "git", "gitRepo": {"repository": "https://git.example/x"}},
    {"name": "flex", "flexVolume": {"driver": "example/x"}},
    {"name": "scale", "scaleIO": {"gateway": "https://x", "system": "x", "secretRef": {"name": "x"}, "volumeName": "x"}},
    {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 1073741824}}}}}},
    {
        "name": "all",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                {"configMap": {"name": "x", "items": [{"key": "a", "path": "b"}]}},
                {"downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}}]}},
            ]
        },
    },
]  # fmt: skip

POD: dict[str, Any] = {
    "initContainers": [container("init", restartPolicy="Always")],
    "containers": [
        container(
            "main",
            args=["--x"],
            env=[
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "x", "key": "b", "optional": False}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "c"}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            envFrom=[{"configMapRef": {"name": "x"}, "prefix": "X_"}],
            ports=[{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}],
            resources={"limits": {"cpu": 1, "memory": "1e9"}, "requests": {"cpu": "1.5e-1", "memory": ".5Gi"}},
            resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
            volumeMounts=[{"name": "config", "mountPath": "/c"}],
            livenessProbe={"httpGet": {"port": "http", "httpHeaders": [{"name": "X", "value": "1"}]}, "periodSeconds": 5},
            readinessProbe={"tcpSocket": {"port": 80}},
            startupProbe={"grpc": {"port": 80}},
            lifecycle={"preStop": {"sleep": {"seconds": 1}}, "postStart": {"exec": {"command": ["x"]}}},
            securityContext={
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
                "appArmorProfile": {"type": "RuntimeDefault"},
            },
            imagePullPolicy="Always",
        )
    ],
    "volumes": VOLUMES,
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": TERMS},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": TERMS[0]}],
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "x", "labelSelector": SELECTOR}}
            ],
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "x", "labelSelector": SELECTOR}],
        },
    },
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "x", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": SELECTOR}],
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}, {"operator": "Exists"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["x"]}],
    "securityContext": {"fsGroup": 1, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
    "readinessGates": [{"conditionType": "x.example/y"}],
    "schedulingGates": [{"name": "example.com/x"}],
    "os": {"name": "linux"},
    "imagePullSecrets": [{"name": "x"}],
    "dnsConfig": {"options": [{"name": "ndots", "value": "2"}], "nameservers": ["10.0.0.1"]},
    "nodeSelector": {"a": "b"},
    "serviceAccountName": "x",
}

SOURCES: dict[str, Any] = {
    "csi": {"driver": "csi.example.test", "volumeHandle": "x"},
    "nfs": {"server": "x", "path": "/x"},
    "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:x", "lun": 1},
    "azureFile": {"secretName": "x", "shareName": "x", "secretNamespace": "x"},
    "cephfs": {"monitors": ["10.0.0.1"]},
    "rbd": {"monitors": ["10.0.0.1"], "image": "x"},
    "flexVolume": {"driver": "example/x"},
    "fc": {"targetWWNs": ["x"], "lun": 1},
}

JOB: dict[str, Any] = {
    "template": {"spec": PLAIN_POD},
    "completions": 2,
    "parallelism": 1,
    "completionMode": "Indexed",
    "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    "podFailurePolicy": {
        "rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42], "containerName": "main"}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    },
}


def metric(kind: str, **source: Any) -> dict[str, Any]:
    return {"type": kind, kind[0].lower() + kind[1:]: source}


TARGET = {"type": "AverageValue", "averageValue": "100m"}
SCALER: dict[str, Any] = {
    "scaleTargetRef": REFERENCE,
    "maxReplicas": 5,
    "metrics": [
        metric("Pods", metric={"name": "x", "selector": {}}, target=TARGET),
        metric("External", metric={"name": "x"}, target=TARGET),
        metric("Object", metric={"name": "x"}, describedObject=REFERENCE, target={"type": "Value", "value": 10}),
        metric("ContainerResource", name="cpu", container="main", target={"type": "Utilization", "averageUtilization": 50}),
    ],
    "behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}], "stabilizationWindowSeconds": 0}},
}

DEFINITION: dict[str, Any] = {
    "group": "more.check.test",
    "scope": "Namespaced",
    "names": {"kind": "More", "plural": "mores"},
    "conversion": {"strategy": "None"},
    "versions": [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "additionalPrinterColumns": [{"name": "X", "type": "string", "jsonPath": ".spec.x"}],
            "selectableFields": [{"jsonPath": ".spec.x"}],
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "x-kubernetes-validations": [{"rule": "self.n > 0", "message": "x"}],
                            "properties": {"x": {"type": "string", "default": "a"}, "n": {"type": "integer", "enum": [1, 2]}},
                        }
                    },
                }
            },
        }
    ],
}

RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
FLOW: dict[str, Any] = {
    "priorityLevelConfiguration": {"name": "global-default"},
    "matchingPrecedence": 1000,
    "distinguisherMethod": {"type": "ByUser"},
    "rules": [
        {
            "subjects": [
                {"kind": "User", "user": {"name": "x"}},
                {"kind": "Group", "group": {"name": "x"}},
                {"kind": "ServiceAccount", "serviceAccount": {"name": "x", "namespace": "x"}},
            ],
            "resourceRules": [{**RULE, "namespaces": ["*"]}],
            "nonResourceRules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}],
        }
    ],
}


def corners() -> list[dict[str, Any]]:
    """Valid objects with as many of the rarer fields as one object can have."""
    net, store, device, flow = "networking.k8s.io/v1", "storage.k8s.io/v1", "resource.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1"
    claim = {
        "devices": {
            "requests": [
                {
                    "name": "gpu",
                    "exactly": {
                        "deviceClassName": "x",
                        "count": 1,
                        "allocationMode": "ExactCount",
                        "selectors": [{"cel": {"expression": "true"}}],
                    },
                }
            ]
        }
    }
    volumes = [
        manifest(
            "PersistentVolume", f"v-{name.lower()}", spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], name: source}
        )
        for name, source in SOURCES.items()
    ]
    local = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": "/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": TERMS}},
    }
    return [
        manifest("PodTemplate", "rich", template={"metadata": {"labels": {"a": "b"}}, "spec": POD}),
        *volumes,
        manifest("PersistentVolume", "v-local", spec=local),
        manifest("PersistentVolumeClaim", "rich", spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1.5Gi"}}, "dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}, "selector": SELECTOR}),
        manifest("ResourceQuota", "rich", spec={"hard": {"pods": 3}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]}}),
        manifest("Node", "rich", spec={"taints": [{"key": "a", "effect": "NoSchedule"}], "podCIDR": "10.1.0.0/24"}),
        manifest("Endpoints", "rich", subsets=[{"addresses": [{"ip": "10.9.9.9"}], "ports": [{"port": 80, "name": "a"}]}]),
        manifest("Service", "rich", spec={"type": "NodePort", "selector": {"a": "b"}, "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}}, "ports": [{"port": 80, "targetPort": "http", "name": "a"}, {"port": 81, "targetPort": 8081, "name": "b"}]}),
        manifest("Service", "outside", spec={"type": "ExternalName", "externalName": "x.example.test"}),
        manifest("Secret", "tls", type="kubernetes.io/tls", data={"tls.crt": "", "tls.key": ""}, immutable=True),
        manifest("Secret", "folded", data={"a": "aGVs\nbG8="}),
        manifest("ConfigMap", "owned", annotations={"a": "1"}, immutable=True, data=None),
        manifest("Event", "rich", involvedObject={"kind": "Pod", "namespace": "default", "name": "x"}, reason="X", message="x", type="Normal"),
        manifest("Job", "rich", api_version="batch/v1", spec=JOB),
        manifest("CronJob", "rich", api_version="batch/v1", spec={"schedule": "@daily", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid", "suspend": False, "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": JOB}}),
        manifest("Deployment", "rich", api_version="apps/v1", spec={"selector": {"matchLabels": {"app": "x"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}, "template": {"metadata": {"labels": {"app": "x"}, "creationTimestamp": None}, "spec": {"containers": [container("main")]}}}),
        manifest("StatefulSet", "rich", api_version="apps/v1", spec={"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container("main")]}}, "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}], "ordinals": {"start": 1}, "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}),
        manifest("ControllerRevision", "rich", api_version="apps/v1", revision=1, data={"any": ["thing"]}),
        manifest("HorizontalPodAutoscaler", "rich", api_version="autoscaling/v2", spec=SCALER),
        manifest("HorizontalPodAutoscaler", "old", api_version="autoscaling/v1", spec={"scaleTargetRef": REFERENCE, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}),
        manifest("PodDisruptionBudget", "rich", api_version="policy/v1", spec={"maxUnavailable": 1, "selector": SELECTOR, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
        manifest("Ingress", "rich", api_version=net, spec={"ingressClassName": "x", "tls": [{"hosts": ["x.test"], "secretName": "x"}], "defaultBackend": {"service": {"name": "x", "port": {"name": "http"}}}, "rules": [{"host": "x.test", "http": {"paths": [{"pathType": "Exact", "path": "/a", "backend": {"resource": {"kind": "X", "name": "x"}}}]}}]}),
        manifest("IngressClass", "rich", api_version=net, spec={"controller": "example.test/x", "parameters": {"kind": "X", "name": "x"}}),
        manifest("NetworkPolicy", "rich", api_version=net, spec={"podSelector": SELECTOR, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80, "endPort": 90}, {"port": "dns", "protocol": "UDP"}]}], "policyTypes": ["Egress"]}),
        manifest("IPAddress", "10.8.0.1", api_version=net, spec={"parentRef": {"resource": "services", "name": "x", "namespace": "default"}}),
        manifest("ServiceCIDR", "rich", api_version=net, spec={"cidrs": ["10.77.0.0/24"]}),
        manifest("CSINode", "rich", api_version=store, spec={"drivers": [{"name": "x.test", "nodeID": "x", "topologyKeys": ["a"]}]}),
        manifest("CSIDriver", "rich.test", api_version=store, spec={"tokenRequests": [{"audience": "x"}], "fsGroupPolicy": "File"}),
        manifest("CSIStorageCapacity", "rich", api_version=store, storageClassName="x", capacity="1Gi", nodeTopology=SELECTOR),
        manifest("StorageClass", "rich", api_version=store, provisioner="x.test/x", volumeBindingMode="WaitForFirstConsumer", reclaimPolicy="Delete", allowedTopologies=[{"matchLabelExpressions": [{"key": "a", "values": ["b"]}]}]),
        manifest("VolumeAttachment", "rich", api_version=store, spec={"attacher": "x.test", "nodeName": "n", "source": {"persistentVolumeName": "x"}}),
        manifest("VolumeAttributesClass", "rich", api_version=store, driverName="x.test", parameters={"a": "b"}),
        manifest("DeviceClass", "rich", api_version=device, spec={"selectors": [{"cel": {"expression": "true"}}], "config": [{"opaque": {"driver": "x.test", "parameters": {"a": 1}}}]}),
        manifest("ResourceClaim", "rich", api_version=device, spec=claim),
        manifest("ResourceClaimTemplate", "rich", api_version=device, spec={"spec": claim}),
        manifest("ResourceSlice", "rich", api_version=device, spec={"driver": "x.test", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "nodeName": "n", "devices": [{"name": "d", "attributes": {"a": {"int": 1}}, "capacity": {"m": {"value": "1Gi"}}, "taints": [{"key": "a", "effect": "NoSchedule"}]}]}),
        manifest("FlowSchema", "rich", api_version=flow, spec=FLOW),
        manifest("CustomResourceDefinition", "mores.more.check.test", api_version="apiextensions.k8s.io/v1", spec=DEFINITION),
        manifest("ClusterRole", "rich", api_version="rbac.authorization.k8s.io/v1", aggregationRule={"clusterRoleSelectors": [SELECTOR]}, rules=[{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
        manifest("Lease", "rich", api_version="coordination.k8s.io/v1", spec={"holderIdentity": "x", "renewTime": "2026-01-01T00:00:00.000000Z", "leaseDurationSeconds": 5}),
        manifest("Event", "rich", api_version="events.k8s.io/v1", eventTime="2026-01-01T00:00:00.000000Z", action="X", reason="X", regarding={"kind": "Pod", "name": "x", "namespace": "default"}, reportingController="x.test/x", reportingInstance="x", type="Normal"),
    ]  # fmt: skip


def _kind_of_its_own() -> dict[str, Any]:
    """A schema with everything that a CRD may say of a field."""
    text, number = {"type": "string"}, {"type": "integer"}
    entry = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": text, "proto": {"type": "string", "default": "TCP"}, "v": number},
    }
    fields: dict[str, Any] = {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "above": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "small": {"type": "integer", "format": "int32"},
        "large": {"type": "integer", "format": "int64"},
        "filled": {"type": "string", "default": "x"},
        "short": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "nullable": {"type": "string", "nullable": True},
        "choice": {"type": "string", "enum": ["a", "b"]},
        "port": {"x-kubernetes-int-or-string": True},
        "share": {"x-kubernetes-int-or-string": True, "anyOf": [number, text], "pattern": "^[0-9]+%$"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "anything": {"x-kubernetes-preserve-unknown-fields": True},
        "empty": {"type": "object"},
        "map": {"type": "object", "additionalProperties": text},
        "list": {"type": "array", "items": text, "maxItems": 2},
        "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
        "entries": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "proto"], "items": entry},
        "when": {"type": "string", "format": "date-time"},
        "bytes": {"type": "string", "format": "byte"},
        "template": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        "either": {"type": "object", "properties": {"a": text, "b": text}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "$ref": text,
    }
    spec = {"type": "object", "required": ["size", "filled"], "properties": fields}
    return {"type": "object", "required": ["spec"], "properties": {"spec": spec}}


CORNER_DEFINITION: dict[str, Any] = manifest(
    "CustomResourceDefinition",
    f"corners.{GROUP}",
    api_version="apiextensions.k8s.io/v1",
    spec={
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Corner", "plural": "corners"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": _kind_of_its_own()}}],
    },
)
CORNER_SPEC: dict[str, Any] = {
    "size": 3,
    "above": 0.5,
    "small": 1,
    "large": 2,
    "filled": "z",
    "short": "abc",
    "nullable": None,
    "choice": "a",
    "port": 80,
    "share": "5%",
    "free": {"a": {"b": 1}},
    "anything": [1],
    "empty": {},
    "map": {"a": "b"},
    "list": ["a"],
    "set": ["a", "b"],
    "entries": [{"name": "a", "v": 1}, {"name": "a", "proto": "UDP"}],
    "when": "2026-01-01T00:00:00Z",
    "bytes": "aGk=",
    "template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {}},
    "either": {"a": "x"},
    "$ref": "x",
}


def corner(**changes: Any) -> dict[str, Any]:
    """An object of that kind."""
    return manifest("Corner", "x", api_version=f"{GROUP}/v1", spec={**CORNER_SPEC, **changes})


CORNER_CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "integer without a fraction": ({"size": 3.0}, True),
    "too great": ({"size": 11}, False),
    "too small": ({"size": 0}, False),
    "exclusive limit": ({"above": 0}, False),
    "integer for a number": ({"above": 1}, True),
    "32 bits": ({"small": 2**31}, False),
    "64 bits": ({"large": 2**63}, False),
    "pattern": ({"short": "ABC"}, False),
    "length": ({"short": "abcdef"}, False),
    "empty choice": ({"choice": ""}, False),
    "port by name": ({"port": "http"}, True),
    "port with a fraction": ({"port": 1.5}, False),
    "share without its sign": ({"share": "5"}, False),
    "share as a number": ({"share": 5}, True),
    "fields of a free object": ({"free": {"x": [1, {"y": None}]}}, True),
    "fields of an object without any": ({"empty": {"x": {"y": 1}}}, True),
    "too many items": ({"list": ["a", "b", "c"]}, False),
    "set with an item twice": ({"set": ["a", "a"]}, False),
    "entries with one key": ({"entries": [{"name": "a"}, {"name": "a", "proto": "TCP"}]}, False),
    "entry without its key": ({"entries": [{"v": 1}]}, False),
    "day for a time": ({"when": "2026-01-01"}, False),
    "time without a zone": ({"when": "2026-01-01T00:00:00"}, False),
    "time in small letters": ({"when": "2026-01-01t00:00:00z"}, True),
    "no base64": ({"bytes": "aGk"}, False),
    "both of either": ({"either": {"a": "x", "b": "y"}}, False),
    "neither of either": ({"either": {}}, False),
    "template without a kind": ({"template": {"apiVersion": "v1"}}, False),
    "null where it may be": ({"nullable": None}, True),
    "null where it may not be": ({"choice": None}, False),
    "null with a default": ({"filled": None}, True),
}
"""What is changed in the spec, and whether the API server takes it (which the test asks it)."""
