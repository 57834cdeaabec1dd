"""The live index: what the process knows of every labelled object of one cluster, kept by informers and by the answers to our own writes.

It is told of each change once, drops the echo of our own writes (their resourceVersion is known), compares what we own with the baseline, and says
whose object needs a look. Of objects of a ClusterState that another replica has it keeps a sketch: that they are there, whose, and in which version, for whoever declares
one of them as well. What they hold is neither compared nor judged, nor kept; when the ClusterState is taken over they are heard again (`hear_again`). No I/O.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import filterfalse
from typing import Any

import orjson

from cvstate_operator.api.names import CLAIMED_BY, DIGEST, FIELD_MANAGER
from cvstate_operator.drift.field_set import FieldTree, fingerprint, ownership
from cvstate_operator.objects.directives import of_live
from cvstate_operator.objects.identity import ApiResource, GroupKind, ObjectRef
from cvstate_operator.objects.live import Live, is_newer
from cvstate_operator.objects.ownership import HOME, PART_OF_LABEL, OwnerLabels, controller_of, is_applied_by
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.reconcile.claims import Claims
from cvstate_operator.reconcile.readiness_index import ReadinessIndex
from cvstate_operator.vital.health.custom_health import HealthRule
from cvstate_operator.vital.health.state import Readiness

Touched = Callable[[str, ObjectRef], None]
"""Called with an ApplySet id and an object of it that changed in a way that matters."""


class LiveIndex:
    """Labelled objects of one cluster."""

    def __init__(
        self,
        touched: Touched,
        *,
        now: Callable[[], datetime] | None = None,
        claims: Claims | None = None,
        labels: OwnerLabels = HOME,
        is_elsewhere: Callable[[str], bool] = lambda owner: False,
        snapshot_bytes: int | None = None,
    ) -> None:
        """
        Args:
            touched: is told.
            now: tells the time, UTC: when objects went forward; None if nobody asks for that.
            claims: shared by all who see the same cluster, each as another account; None: nobody else does.
            labels: of the cluster: how it says whose an object is.
            is_elsewhere: whether another replica has the ClusterState of an ApplySet id.
            snapshot_bytes: room for snapshots; what does not fit is read when it is looked at. None: as much as they need.
        """
        self._touched = touched
        self._is_elsewhere = is_elsewhere
        self.labels = labels
        """How the cluster says whose an object is."""
        self._objects: dict[ObjectRef, Live] = {}
        self._snapshot_limit = snapshot_bytes
        self._snapshot_bytes = 0
        """In use."""
        self._members: dict[str, set[ObjectRef]] = {}
        self._joins = 0
        """How often an object came to an ApplySet, or left it."""
        self._joined: dict[str, int] = {}
        """By ApplySet id that has members: the number of the last time that one came or left."""
        self._kinds: dict[GroupKind, set[ObjectRef]] = {}
        self._sketches: dict[str, set[ObjectRef]] = {}
        """By ApplySet id: members of which only a sketch is kept."""
        self._claimed: dict[str, set[ObjectRef]] = {}
        """By ApplySet id: objects that are marked as wanted by it."""
        self._writing: dict[ObjectRef, str | None] = {}
        """Objects being written; with the resource version at which one was seen to go meanwhile."""
        self._echoes: dict[ObjectRef, tuple[ApiResource, dict[str, Any]]] = {}
        """What was observed last of objects that are being written."""
        self.readiness = ReadinessIndex(now)
        """What members say of themselves."""
        self.claims = claims if claims is not None else Claims(freed=touched)
        """Who declares which objects."""

    @property
    def size(self) -> int:
        """How many objects are known."""
        return len(self._objects)

    def get(self, ref: ObjectRef) -> Live | None:
        """What is known of an object; None if it has no owner label, or does not exist."""
        return self._objects.get(ref)

    def members(self, owner: str) -> Mapping[ObjectRef, Live]:
        """Every object that belongs to the ApplySet id `owner`, by its label and by what else we left on it."""
        return {ref: self._objects[ref] for ref in self._members.get(owner, ())}

    def unready(self, ref: ObjectRef) -> Readiness | None:
        """What an object lacks to be ready; None if nothing, or if it is not known."""
        live = self._objects.get(ref)
        return self.readiness.unready(ref, live.owner) if live else None

    def judge_by(self, owner: str, rules: Mapping[GroupKind, HealthRule]) -> frozenset[GroupKind]:
        """Judge the readiness of members by these rules from now on; returns the kinds that have to be listed again for that."""
        return self.readiness.judge_by(owner, rules, self._members.get(owner, ()))

    def hear_again(self, owner: str) -> bool:
        """Whether the kinds of an ApplySet's members have to be listed again, since of some there is only a sketch. To be asked by whoever has the ClusterState."""
        return owner in self._sketches

    def claimed(self, owner: str) -> Sequence[ObjectRef]:
        """Objects that are marked as wanted by an ApplySet, sorted."""
        return sorted(self._claimed.get(owner, ()))

    def membership_of(self, owner: str) -> int:
        """Another one if an ApplySet may have other members; 0 if it has none."""
        return self._joined.get(owner, 0)

    def namespaces(self, owner: str) -> frozenset[str]:
        """Namespaces in which an ApplySet has members; those that are only declared are not among them, since anybody may declare anything."""
        return frozenset(ref.namespace for ref in self._members.get(owner, ()) if ref.namespace)

    def absent(self, owner: str, refs: Iterable[ObjectRef]) -> Iterator[ObjectRef]:
        """Of these objects, those that are no members of an ApplySet."""
        members: Collection[ObjectRef] = self._members.get(owner, ())
        return filterfalse(members.__contains__, refs)

    def count(self, owner: str) -> int:
        """Number of members of an ApplySet."""
        return len(self._members.get(owner, ()))

    def doubt(self, owner: str) -> None:
        """What was found out about the members of an ApplySet holds no more, since it is judged by other rules now: each is to be looked at again."""
        for ref in self._members.get(owner, ()):
            self._objects[ref] = replace(self._objects[ref], baseline=None)

    def let_go(self, owner: str, refs: Collection[ObjectRef]) -> None:
        """`owner` would delete exactly these of its objects; who declares one of them is told."""
        news = [ref for ref in refs if not self.claims.is_free(ref, owner)]
        self.claims.let_go(owner, refs)
        for ref in news:
            for claimant in self.claims.claimants(ref):
                if claimant != owner:
                    self.claims.freed(claimant, ref)

    # -- what informers tell ---------------------------------------------------------------------------------------

    def known(self, resource: ApiResource, namespace: str = "") -> frozenset[ObjectRef]:
        """Objects of one kind that are in the index as of this version; those of one namespace if there is one."""
        refs = self._kinds.get(resource.gvk.group_kind, ())
        return frozenset(ref for ref in refs if self._objects[ref].resource.gvk == resource.gvk and namespace in ("", ref.namespace))

    def observed(self, resource: ApiResource, live: dict[str, Any]) -> None:
        """An object exists in this state."""
        meta = live["metadata"]
        ref = ObjectRef(resource.gvk.group, resource.gvk.kind, sys.intern(meta.get("namespace", "")), meta["name"])
        if ref in self._writing:
            # Most likely the echo of our write: it is looked at when the answer is there, and then need not be.
            self._take_echo(ref)
            self._echoes[ref] = (resource, live)
            return
        self._observe(ref, resource, live)

    def _take_echo(self, ref: ObjectRef, *, answered: str = "") -> None:
        """Look at what was observed of an object that is being written, unless that is the very state that was `answered`."""
        if (echo := self._echoes.pop(ref, None)) and echo[1]["metadata"]["resourceVersion"] != answered:
            self._observe(ref, *echo)

    def _observe(self, ref: ObjectRef, resource: ApiResource, live: dict[str, Any]) -> None:
        meta = live["metadata"]
        before = self._objects.get(ref)
        same = before if before and before.uid == meta["uid"] else None
        is_comparable = same is not None and same.resource.gvk == resource.gvk
        version = meta["resourceVersion"]
        if same and not is_newer(version, same.version) and (is_comparable or version != same.version):
            if version != same.version:
                return
            if not same.is_sketch or self._is_elsewhere(same.owner):
                if self.readiness.is_doubted(ref) and self._judge(ref, same, live):
                    self._tell(ref, same.owner)
                return
        # A baseline holds in the version it was learned in; the state we know is news if it comes in another one.
        is_sketch = self._is_elsewhere(_owner(live, self.labels))
        now = _live(resource, live, self.labels, baseline=same.baseline if same and is_comparable else None, is_sketch=is_sketch)
        if now.is_member and not now.is_sketch and not now.is_settled and not now.terminating:
            now = replace(now, snapshot=_snapshot(live))
        self._put(ref, now)
        is_news = self._judge(ref, now, live)
        if before and before.owner != now.owner:
            self._tell(ref, before.owner, *(() if ref in self._writing else self.claims.claimants(ref)))
        elif before and before.claimed_by and not now.claimed_by:
            self._tell(ref, *self.claims.claimants(ref))  # the next one may ask for it
        if ref in self._writing:
            return
        if (
            is_news
            or not now.is_settled
            or before is None
            or not before.is_settled
            or before.terminating != now.terminating
            or before.digest != now.digest
            or before.claimed_by != now.claimed_by
        ):
            # Copies of labels come and go with what they are copied from; they matter only to who declares such an object.
            self._tell(ref, *((now.owner,) if now.is_member or (before and before.is_member) else self.claims.claimants(ref)))

    def gone(self, resource: ApiResource, ref: ObjectRef, resource_version: str) -> None:
        """An object was deleted or lost its owner label."""
        self._take_echo(ref)
        before = self._objects.get(ref)
        if ref in self._writing:
            self._writing[ref] = resource_version
        if before is None or not is_newer(resource_version, before.version):
            return
        self._remove(ref)
        if ref not in self._writing:
            self._tell(ref, *((before.owner,) if before.is_member else ()), *self.claims.claimants(ref))

    # -- what our own writes tell ----------------------------------------------------------------------------------

    def writing(self, ref: ObjectRef) -> None:
        """We are about to write: what is observed until `written` may be the echo of it."""
        self._writing[ref] = None

    def written(self, ref: ObjectRef, live: dict[str, Any] | None, resource: ApiResource | None, *, is_final: bool = True) -> None:
        """Our write ended; `live` is the API server's answer, or None if the write failed or was a delete.

        The answer holds our fields in the server's normal form: that is the baseline from now on. If something newer was observed meanwhile, it
        is compared with that baseline at once. If the write was not `is_final`, fields of it are left to others, and every change has to be looked at.
        """
        self._take_echo(ref, answered=live["metadata"]["resourceVersion"] if live and resource else "")
        gone_at = self._writing.pop(ref, None)
        seen = self._objects.get(ref)
        if live is None or resource is None:
            if seen and not seen.is_settled:
                self._touched(seen.owner, ref)
            return
        answer = _live(resource, live, self.labels, baseline=None, is_baseline=is_final, snapshot=None if is_final else _snapshot(live))
        if seen is None and gone_at is not None and is_newer(gone_at, answer.version):
            self._touched(answer.owner, ref)
            return
        if seen is None or not is_newer(seen.version, answer.version):
            self._put(ref, answer)
            self._judge(ref, answer, live)
            if seen and seen.owner != answer.owner:
                self._tell(ref, seen.owner)
            return
        if seen.uid == answer.uid and seen.resource.gvk == answer.resource.gvk:
            seen = replace(seen, baseline=answer.baseline)
            self._put(ref, replace(seen, snapshot=None) if seen.is_settled else seen)
        if not seen.is_settled or seen.terminating or seen.owner != answer.owner:
            for owner in dict.fromkeys((answer.owner, seen.owner)):
                self._touched(owner, ref)

    def verified(self, ref: ObjectRef, was: Live) -> None:
        """The state `was` was found to be what we applied; what is there now may be newer."""
        live = self._objects.get(ref)
        if live is None or live.uid != was.uid or live.is_sketch or was.is_sketch:
            return
        is_settled = live.fingerprint == was.fingerprint
        self._keep(ref, replace(live, baseline=was.fingerprint, snapshot=None if is_settled else live.snapshot))

    def _judge(self, ref: ObjectRef, now: Live, live: Mapping[str, Any]) -> bool:
        """Note whether a member is ready; True if that is another answer than before."""
        if not now.is_member or now.is_sketch:
            return self.readiness.forget(ref, now.owner)
        return self.readiness.judge(ref, now.owner, live, has_status=now.resource.has_status)

    def _tell(self, ref: ObjectRef, *owners: str) -> None:
        for owner in dict.fromkeys(owners):
            self._touched(owner, ref)

    def _put(self, ref: ObjectRef, live: Live) -> None:
        before = self._objects.get(ref)
        if before and (before.owner != live.owner or not live.is_member):
            self._leave(ref, before.owner)
        self._keep(ref, live)
        if live.is_member and ref not in self._members.get(live.owner, ()):
            self._members.setdefault(live.owner, set()).add(ref)
            self._count(live.owner)
        self._kinds.setdefault(ref.group_kind, set()).add(ref)
        if live.is_sketch and live.is_member:
            self._sketches.setdefault(live.owner, set()).add(ref)
        else:
            self._fill_in(ref, live.owner)

    def _keep(self, ref: ObjectRef, live: Live) -> None:
        """Remember this of an object; the snapshot only if there is room for it."""
        before = self._objects.get(ref)
        used = self._snapshot_bytes - _snapshot_size(before)
        if self._snapshot_limit is not None and used + _snapshot_size(live) > self._snapshot_limit:
            live = replace(live, snapshot=None)
        self._snapshot_bytes = used + _snapshot_size(live)
        self._objects[ref] = live
        self._note_mark(ref, before.claimed_by if before else "", live.claimed_by)

    def _note_mark(self, ref: ObjectRef, before: str, now: str) -> None:
        """An object is marked as wanted by another ApplySet than before, or by none."""
        if before == now:
            return
        if before:
            self._claimed[before].discard(ref)
            if not self._claimed[before]:
                del self._claimed[before]
        if now:
            self._claimed.setdefault(now, set()).add(ref)

    def _fill_in(self, ref: ObjectRef, owner: str) -> None:
        """There is no sketch of the object any more."""
        if sketches := self._sketches.get(owner):
            sketches.discard(ref)
            if not sketches:
                del self._sketches[owner]

    def _remove(self, ref: ObjectRef) -> None:
        live = self._objects.pop(ref)
        self._snapshot_bytes -= _snapshot_size(live)
        self._note_mark(ref, live.claimed_by, "")
        self._leave(ref, live.owner)
        self._kinds[ref.group_kind].discard(ref)

    def _leave(self, ref: ObjectRef, owner: str) -> None:
        self.readiness.forget(ref, owner)
        self._fill_in(ref, owner)
        members = self._members.get(owner)
        if members is None or ref not in members:
            return
        members.remove(ref)
        if members:
            self._count(owner)
        else:  # anybody may label objects with whatever they like
            del self._members[owner], self._joined[owner]

    def _count(self, owner: str) -> None:
        """An ApplySet has other members. Numbers never come again, so one that has none needs none."""
        self._joins += 1
        self._joined[owner] = self._joins


def _live(
    resource: ApiResource,
    live: Mapping[str, Any],
    labels: OwnerLabels,
    *,
    baseline: bytes | None,
    is_baseline: bool = False,
    is_sketch: bool = False,
    snapshot: bytes | None = None,
) -> Live:
    """What is remembered of an object; if it `is_baseline`, its own fingerprint is. A sketch has none: that takes as long as everything else."""
    meta, held = live["metadata"], ownership(live, FIELD_MANAGER)
    found = b"" if is_sketch else fingerprint(live, held)
    return Live(
        resource=resource,
        uid=meta["uid"],
        version=meta["resourceVersion"],
        # Shared by all members, and with the manifest: a tenth of what an object takes each.
        owner=sys.intern(_owner(live, labels)),
        digest=sys.intern((meta.get("annotations") or {}).get(DIGEST, "")),
        fingerprint=found,
        terminating="deletionTimestamp" in meta,
        leaving=_leaving(meta),
        baseline=found if is_baseline else None if is_sketch else baseline,
        snapshot=snapshot,
        applied=is_applied_by(live, FIELD_MANAGER),
        is_labelled_by_us=_is_labelled(held.ours) or _is_put_under(meta),
        directives=of_live(meta.get("annotations"), meta.get("labels")),
        claimed_by=sys.intern(labels.read((meta.get("annotations") or {}).get(CLAIMED_BY, ""))),
        controller=one_line(controller_of(live)),
    )


def _snapshot(live: Mapping[str, Any]) -> bytes:
    # A copy has the size of its text; what orjson gives keeps the buffer that it was written to, of 4 KB at least (measured).
    return bytes(memoryview(orjson.dumps(live)))


def _snapshot_size(live: Live | None) -> int:
    return len(live.snapshot) if live and live.snapshot else 0


def _owner(live: Mapping[str, Any], labels: OwnerLabels) -> str:
    return labels.read((live["metadata"].get("labels") or {}).get(PART_OF_LABEL, ""))


def _is_labelled(ours: FieldTree) -> bool:
    """Whether our field set holds the owner label."""
    labels = ours.get("f:metadata", {}).get("f:labels", {})
    return f"f:{PART_OF_LABEL}" in labels


def _is_put_under(meta: Mapping[str, Any]) -> bool:
    """Whether we changed the owner label alone, without an apply: an object was given away, or taken as it is (`exchange.py`)."""
    ours = (entry.get("fieldsV1") or {} for entry in meta.get("managedFields") or () if entry.get("manager") == FIELD_MANAGER)
    return any(map(_is_labelled, ours))


def _leaving(meta: Mapping[str, Any]) -> str:
    if "deletionTimestamp" not in meta:
        return ""
    finalizers = ", ".join(map(str, meta.get("finalizers") or ()))
    return one_line(f"since {meta['deletionTimestamp']}" + (f", kept by finalizers {finalizers}" if finalizers else ""))
