"""Ownership: one owner per object, told by labels.

A ClusterState is the parent of an ApplySet; its members carry the label `applyset.kubernetes.io/part-of` with the parent's id.
Source: KEP-3659 (kubectl apply --prune with ApplySet), section "Design Details: ApplySet Specification".

The id is made of names alone, and the KEP knows no members in another cluster than their parent's. There, a ClusterState of the same namespace and name may stand that has
members of its own; so members in another cluster say besides which cluster their parent is in (`OwnerLabels`).
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


HUB_MARK: Final = "."
"""Comes between an ApplySet id and the hub, in a label. No id has it."""
HUB_CHARACTERS: Final = 7
"""So much room is left beside an id of 55 characters and the mark: a label's value has 63. 35 bits tell hubs apart that have a ClusterState of the same namespace and name."""
_FOREIGN: Final = "!"
"""What no label can hold (Kubernetes, "Labels and Selectors")."""


def hub_of(cluster_id: str) -> str:
    """What stands for a cluster in the labels of members elsewhere: seven characters of base32, in lower case.

    Args:
        cluster_id: whatever tells the cluster from all others, such as the uid of its namespace kube-system; not empty.
    """
    return base64.b32encode(hashlib.sha256(cluster_id.encode()).digest()).decode().lower()[:HUB_CHARACTERS]


def has_hub(label: str) -> bool:
    """Whether a label is of a member whose parent is in another cluster."""
    return HUB_MARK in label


@dataclass(frozen=True, slots=True)
class OwnerLabels:
    """How owners are written on the objects of one cluster, and read from them. Inside, a ClusterState goes by its ApplySet id wherever it acts.

    | the label | in the cluster of the ClusterStates | in one of a kubeconfig |
    |---|---|---|
    | `ID` | the ClusterState with this id | of a ClusterState of that cluster: not ours, whatever its name |
    | `ID.HUB`, with our hub | not ours | the ClusterState with this id |
    | anything else | not ours | not ours |

    No two labels are read as one owner. Who is not ours is, in the cluster of a kubeconfig, what no label can be.
    """

    hub: str = ""
    """What stands for the cluster of the ClusterStates (`hub_of`), in another cluster; empty in that cluster itself."""

    def write(self, owner: str) -> str:
        """The label of an owner's objects; empty for nobody."""
        if not self.hub or not owner:
            return owner
        return owner.removesuffix(_FOREIGN) if owner.endswith(_FOREIGN) else f"{owner}{HUB_MARK}{self.hub}"

    def read(self, label: str) -> str:
        """The owner that a label means; empty for nobody."""
        if not self.hub or not label:
            return label
        owner = label.removesuffix(f"{HUB_MARK}{self.hub}")
        return f"{label}{_FOREIGN}" if owner == label else owner

    def is_former(self, owner: str, of: str) -> bool:
        """Whether objects with `owner` may be those of the ApplySet id `of`, from before members elsewhere told their hub."""
        return bool(self.hub) and self.write(owner) == of


HOME: Final = OwnerLabels()
"""Of the cluster that the ClusterStates are in."""


def told(owner: str) -> str:
    """An owner of whom nothing else is known, for people: `ApplySet applyset-…-v1`."""
    return f"ApplySet {owner.removesuffix(_FOREIGN)}"


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
