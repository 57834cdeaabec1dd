"""Identity: which object, and which kind, without its version.

An object is the same object in every version its API serves it in, so the version is not part of its identity.
"""

from typing import NamedTuple


class GroupKind(NamedTuple):
    """A kind of an API group; the core group is the empty string."""

    group: str
    kind: str

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

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection (all namespaces if `namespace` is empty), or of one object."""
        gvk = self.gvk
        root = f"/apis/{gvk.group}/{gvk.version}" if gvk.group else f"/api/{gvk.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")
