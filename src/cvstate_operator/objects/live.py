"""Live objects: what we remember of an object in the cluster. About half a kilobyte, never the body: memory grows with their number."""

from dataclasses import dataclass

from cvstate_operator.objects.directives import DEFAULT, Directives
from cvstate_operator.objects.identity import ApiResource


@dataclass(frozen=True, slots=True)
class Live:
    """One object that carries an owner label, as of its newest known state."""

    resource: ApiResource
    uid: str
    version: str
    """`metadata.resourceVersion`."""
    owner: str
    """ApplySet id on the object's label."""
    digest: str
    """Digest of the manifest that was applied last, by its annotation; empty if there is none."""
    fingerprint: bytes
    """Digest of the values we own in it now; empty in a sketch."""
    terminating: bool = False
    """Being deleted; applying to it would be lost."""
    leaving: str = ""
    """Of an object that is being deleted, for people: since when, and which finalizers keep it."""
    baseline: bytes | None = None
    """Fingerprint right after our own last apply: the server's normal form. None until it was learned or verified."""
    snapshot: bytes | None = None
    """The object as JSON, kept only while it must be looked at: it may have drifted, or its baseline is not known yet.
    None also where there is no room for it."""
    applied: bool = True
    """Whether `managedFields` records an apply of ours."""
    directives: Directives = DEFAULT
    """What its annotations ask for."""
    is_labelled_by_us: bool = True
    """Whether we put the owner label on it; a tool that takes an object over puts its own."""
    claimed_by: str = ""
    """ApplySet id of another ClusterState that declares it, too, as its replica of the operator marked it; empty if none did."""
    controller: str = ""
    """Kind and name of the controller that made it, by its ownerReference; empty if there is none."""

    @property
    def is_member(self) -> bool:
        """Whether it belongs to the set that its label names. A label alone may be a copy: an EndpointSlice takes over those of its Service."""
        return self.applied or bool(self.digest and not self.controller)

    @property
    def is_certain(self) -> bool:
        """Whether nobody but us made it, so that it may be deleted."""
        return self.applied and not self.controller

    @property
    def is_sketch(self) -> bool:
        """Whether nobody asked yet how the object is, only that it is there: another replica has the ClusterState that it belongs to, or had it until just now."""
        return not self.fingerprint

    @property
    def is_settled(self) -> bool:
        """Known to hold exactly what we applied."""
        return self.baseline is not None and self.baseline == self.fingerprint


def is_newer(version: str, than: str) -> bool:
    """Whether resource version `version` is later than `than`.

    Source: KEP-5504: resource versions of one resource are comparable as decimal integers. Where an API deviates, anything different is newer.
    """
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
