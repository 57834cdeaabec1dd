"""Ownership: one owner per object, told by labels.

A ClusterState is the parent of an ApplySet; its members carry the label `applyset.kubernetes.io/part-of` with the parent's id.
Source: KEP-3659 (kubectl apply --prune with ApplySet), section "Design Details: ApplySet Specification".
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cvstate_operator.api.names import DIGEST
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.manifest import Body

PART_OF_LABEL: Final = "applyset.kubernetes.io/part-of"
"""On members: id of the ApplySet they belong to."""
ID_LABEL: Final = "applyset.kubernetes.io/id"
"""On the parent: its id."""
TOOLING_ANNOTATION: Final = "applyset.kubernetes.io/tooling"
"""On the parent: who manages the set; other tools keep their hands off."""
GROUP_KINDS_ANNOTATION: Final = "applyset.kubernetes.io/contains-group-kinds"
"""On the parent: sorted, comma-separated kinds that members may be of."""
NAMESPACES_ANNOTATION: Final = "applyset.kubernetes.io/additional-namespaces"
"""On the parent: sorted, comma-separated namespaces besides its own that members may be in. Written only where somebody has to look for them one by one."""

_FOREIGN_MARKS: Final = (
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("annotations", "meta.helm.sh/release-name", "Helm release"),
    ("annotations", "config.k8s.io/owning-inventory", "inventory"),
)
"""Marks that other tools leave on what they manage, by their documentation."""


def applyset_id(*, name: str, namespace: str, kind: str, group: str) -> str:
    """Id of the ApplySet whose parent is the given object.

    Source: KEP-3659: `applyset-<base64url(sha256("<name>.<namespace>.<kind>.<group>"))>-v1`, without padding.
    """
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.{group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def format_group_kinds(kinds: Iterable[GroupKind]) -> str:
    """Value of the annotation `contains-group-kinds`: `ConfigMap,Deployment.apps`, sorted."""
    return ",".join(sorted(str(kind) for kind in kinds))


def parse_group_kinds(value: str) -> frozenset[GroupKind]:
    """Read the annotation `contains-group-kinds`; parts that are no kind are left out."""
    parts = (part.strip().partition(".") for part in value.split(","))
    return frozenset(GroupKind(group, kind) for kind, _, group in parts if kind)


def format_namespaces(namespaces: Iterable[str]) -> str:
    """Value of the annotation `additional-namespaces`: `shop,web`, sorted."""
    return ",".join(sorted(namespaces))


def parse_namespaces(value: str) -> frozenset[str]:
    """Read the annotation `additional-namespaces`."""
    return frozenset(filter(None, (part.strip() for part in value.split(","))))


def is_applied_by(live: Mapping[str, Any], manager: str) -> bool:
    """Whether `managedFields` of `live` records a server-side apply of `manager`; one of a subresource does not count."""
    entries = live.get("metadata", {}).get("managedFields") or ()
    return any(e.get("manager") == manager and e.get("operation") == "Apply" and not e.get("subresource") for e in entries)


def controller_of(live: Mapping[str, Any]) -> str:
    """Kind and name of the controller that made `live`, as in `ReplicaSet web-5d4`; empty if there is none."""
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    return next((f"{owner.get('kind')} {owner.get('name')}" for owner in owners if owner.get("controller")), "")


def foreign_owner(live: Mapping[str, Any]) -> str | None:
    """Name the other tool or controller that owns `live`, as in `Helm release shop`; None if there is none.

    The ApplySet label is not looked at here: whose it is, is the caller's knowledge.
    """
    meta = live.get("metadata", {})
    for where, key, what in _FOREIGN_MARKS:
        if value := (meta.get(where) or {}).get(key):
            return f"{what} {value.partition(':')[0]}"
    return controller_of(live) or None


def marked(body: Mapping[str, Any], *, owner: str, digest: str, namespace: str) -> Body:
    """The body as it is sent: in its namespace, with its owner's label and the digest of the manifest it was made from.

    Args:
        body: the rendered object; not changed.
        owner: ApplySet id.
        digest: `Manifest.digest`.
        namespace: empty for cluster-scoped kinds.
    """
    meta = dict(body["metadata"])
    if namespace:
        meta["namespace"] = namespace
    meta["labels"] = {**(meta.get("labels") or {}), PART_OF_LABEL: owner}
    meta["annotations"] = {**(meta.get("annotations") or {}), DIGEST: digest}
    return {**body, "metadata": meta}
