"""Builders of objects: each gives a complete, valid value of which a test changes only what it is about."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cvstate_operator.api.names import DIGEST, FIELD_MANAGER
from cvstate_operator.objects.artifact import Artifact, Piece, Rendered
from cvstate_operator.objects.identity import ApiResource, Gvk, ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import BodyRef, Manifest, Origin
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.objects.problem import Problem

OWNER = "applyset-L_BarGIektmcNfAbDoB8ClfHA7P9gSQRp_dHhqR9Vzk-v1"
RIVAL = "applyset-of-somebody-else-v1"

CONFIG_MAP = ApiResource(Gvk("", "v1", "ConfigMap"), "configmaps", True)
SECRET = ApiResource(Gvk("", "v1", "Secret"), "secrets", True)
NAMESPACE = ApiResource(Gvk("", "v1", "Namespace"), "namespaces", False)
DEPLOYMENT = ApiResource(Gvk("apps", "v1", "Deployment"), "deployments", True)
STATEFUL_SET = ApiResource(Gvk("apps", "v1", "StatefulSet"), "statefulsets", True)
WEBHOOK = ApiResource(Gvk("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"), "validatingwebhookconfigurations", False)
CRD = ApiResource(Gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), "customresourcedefinitions", False)
WIDGET = ApiResource(Gvk("example.io", "v1", "Widget"), "widgets", True)


def manifest(
    name: str = "a",
    *,
    of: ApiResource = CONFIG_MAP,
    namespace: str = "default",
    digest: str = "d1",
    file: str = "a.yaml",
    document: int = 1,
    line: int = 1,
) -> Manifest:
    """A desired object."""
    return Manifest(of.gvk, namespace, name, digest, Origin(file, document, line), BodyRef("blob", 0, 0))


def live(
    *,
    of: ApiResource = CONFIG_MAP,
    owner: str = OWNER,
    version: str = "1",
    digest: str = "d1",
    fingerprint: bytes = b"as applied",
    baseline: bytes | None = b"as applied",
    terminating: bool = False,
) -> Live:
    """What is remembered of an object that is as we applied it."""
    return Live(of, "uid-1", version, owner, digest, fingerprint, terminating=terminating, baseline=baseline)


def ref(name: str = "a", *, of: ApiResource = CONFIG_MAP, namespace: str = "default") -> ObjectRef:
    """Identity of an object."""
    return ObjectRef(of.gvk.group, of.gvk.kind, namespace if of.namespaced else "", name)


def body(name: str = "a", *, of: ApiResource = CONFIG_MAP, namespace: str = "default", **fields: Any) -> dict[str, Any]:
    """An object as it stands in Git."""
    metadata = {"name": name, **({"namespace": namespace} if of.namespaced and namespace else {})}
    return {"apiVersion": of.gvk.api_version, "kind": of.gvk.kind, "metadata": metadata, **fields}


def applied(
    name: str = "a",
    *,
    of: ApiResource = CONFIG_MAP,
    version: str = "1",
    uid: str = "uid-1",
    owner: str | None = OWNER,
    digest: str = "d1",
    data: Mapping[str, str] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """An object as the API server answers after our apply."""
    data = {"colour": "blue"} if data is None else data
    labels = {PART_OF_LABEL: owner} if owner else {}
    ours = {
        "f:metadata": {"f:labels": {f"f:{PART_OF_LABEL}": {}}, "f:annotations": {f"f:{DIGEST}": {}}},
        "f:data": {"f:colour": {}},
    }
    return {
        "apiVersion": of.gvk.api_version,
        "kind": of.gvk.kind,
        "metadata": {
            "name": name,
            **({"namespace": "default"} if of.namespaced else {}),
            "uid": uid,
            "resourceVersion": version,
            "labels": labels,
            "annotations": {DIGEST: digest},
            "managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": ours, "time": "2026-01-01T00:00:00Z"}],
            **metadata,
        },
        "data": dict(data),
    }


def artifact(commit: str = "1" * 40, **changes: Any) -> Artifact:
    """A commit on branch main; its tree is its own unless `changes` say otherwise."""
    moment = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    plain = Artifact(
        repository="/repository",
        path=".",
        revision=f"main@sha1:{commit}",
        ref="branch main",
        commit=commit,
        tree=f"tree-{commit}",
        directory=f"directory-{commit}",
        committed_at=moment,
        fetched_at=moment,
    )
    return replace(plain, **changes)


def rendered(*manifests: Manifest, problems: Iterable[Problem] = (), **changes: Any) -> Rendered:
    """What a render of plain YAML gave; each manifest is a file of its own."""
    pieces = {f"{number:06}": Piece(f"key-{number}", (one,), ()) for number, one in enumerate(manifests)}
    return Rendered({**pieces, "zz-bad.yaml": Piece("", (), tuple(problems))}, **changes)


def problem(number: int = 1, *, reason: str = "Invalid", message: str = "is wrong; mend it", retryable: bool = False) -> Problem:
    """A problem of one file."""
    return Problem(f"apps/{number:05}.yaml", 1, f"ConfigMap/default/{number}", reason, message, "data.x", retryable)
