"""Identity: which object, and which kind, without its version.

An object is the same object in every version its API serves it in, so the version is not part of its identity.
"""

from typing import Final, NamedTuple

KUBERNETES_GROUPS: Final = frozenset({
    "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "authentication.k8s.io", "authorization.k8s.io",
    "autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io",
    "storage.k8s.io", "storagemigration.k8s.io",
})  # fmt: skip
"""API groups of Kubernetes itself (Kubernetes API reference, "API Groups"); others under k8s.io come with CustomResourceDefinitions."""


class GroupKind(NamedTuple):
    """A kind of an API group; the core group is the empty string."""

    group: str
    kind: str

    @property
    def is_built_in(self) -> bool:
        """Whether it is a kind of Kubernetes itself, of which everybody knows the group."""
        return self.group in KUBERNETES_GROUPS

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


class ObjectRef(NamedTuple):
    """One object of a cluster; `namespace` is empty for cluster-scoped kinds."""

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def group_kind(self) -> GroupKind:
        """The kind this object is of."""
        return GroupKind(self.group, self.kind)

    def __str__(self) -> str:
        """`apps/Deployment/web/api`; group and namespace are left out where they are empty."""
        return "/".join(filter(None, self))


class Gvk(NamedTuple):
    """Group, version and kind, as `apiVersion` and `kind` spell them."""

    group: str
    version: str
    kind: str

    @classmethod
    def parse(cls, api_version: str, kind: str) -> "Gvk":
        """Split `apiVersion` (`v1`, `apps/v1`).

        Raises:
            ValueError: more than one slash, or an empty part.
        """
        group, slash, version = api_version.rpartition("/")
        if not version or not kind or (slash and not group) or "/" in group:
            raise ValueError(f"apiVersion {api_version!r} is not VERSION or GROUP/VERSION")
        return cls(group, version, kind)

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> GroupKind:
        """The kind without its version."""
        return GroupKind(self.group, self.kind)


class ApiResource(NamedTuple):
    """How the API server serves a kind in one version: what discovery says of it."""

    gvk: Gvk
    plural: str
    namespaced: bool
    has_status: bool = False
    """Whether it has the subresource `status`: then nobody but a controller writes the status of an object, and a new one has none."""

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection (all namespaces if `namespace` is empty), or of one object."""
        gvk = self.gvk
        root = f"/apis/{gvk.group}/{gvk.version}" if gvk.group else f"/api/{gvk.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")
