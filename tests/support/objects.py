"""Builders of the objects that tests put into Git or into the cluster."""

from typing import Any

import yaml

from tests.support.api import Json

RBAC = "rbac.authorization.k8s.io/v1"


def manifest(kind: str, name: str, /, *, api_version: str = "v1", namespace: str | None = None, **body: Any) -> Json:
    """An object; metadata beyond the name by `labels=` and `annotations=`."""
    meta = {key: body.pop(key) for key in ("labels", "annotations") if key in body}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {}), **meta},
        **body,
    }


def config_map(name: str, /, **data: str) -> Json:
    return manifest("ConfigMap", name, data=data)


def deployment(
    name: str, /, *, namespace: str | None = None, replicas: int = 1, image: str = "registry.example/app:1", app: str = ""
) -> Json:
    """A Deployment whose selector and Pods carry the label `app`, by default its name."""
    labels = {"app": app or name}
    container = {
        "name": "main",
        "image": image,
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "0.1", "memory": "131072Ki"}, "limits": {"cpu": "1000m"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return manifest("Deployment", name, api_version="apps/v1", namespace=namespace, spec=spec)


def mixed(count: int, namespace: str) -> dict[str, str]:
    """Files with `count` objects of several kinds, o0, o1, …, 50 in each file."""
    objects = []
    for i in range(count):
        name = f"o{i}"
        match i % 5:
            case 0 | 1:
                objects.append(manifest("ConfigMap", name, namespace=namespace, data={f"key{j}": f"value {i} {j}" for j in range(4)}))
            case 2:
                ports = [{"name": "http", "port": 80, "targetPort": 8080}]
                objects.append(
                    manifest("Service", name, namespace=namespace, spec={"clusterIP": "None", "selector": {"app": name}, "ports": ports})
                )
            case 3:
                objects.append(deployment(name, namespace=namespace, replicas=0))
            case _:
                rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
                objects.append(manifest("Role", name, api_version=RBAC, namespace=namespace, rules=rules))
    return {f"f{start:04}.yaml": text(*objects[start : start + 50]) for start in range(0, count, 50)}


def definition(group: str, kind: str, schema: Json | None = None) -> Json:
    """A CustomResourceDefinition of a namespaced kind, version v1; by default it takes any fields."""
    plural = kind.lower() + "s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or anything}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return manifest("CustomResourceDefinition", f"{plural}.{group}", api_version="apiextensions.k8s.io/v1", spec=spec)


def text(*objects: Json) -> str:
    """Objects as one YAML file."""
    return yaml.safe_dump_all(objects, sort_keys=False)
