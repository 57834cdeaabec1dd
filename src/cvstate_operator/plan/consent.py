"""Consent: which of the writes that wait have been approved, and until when.

Input is what waits (`Item`), and the StateApprovals and ClusterStatePlans as they are in the cluster; the pipeline asks `covers` before each write
that needs consent. Pure: no clock; and nothing in those objects can make it raise, since anybody may have written them.

**Fingerprint.** One write that waits is known by everything that a person said yes to. If one of these changes, it is another write, and waits anew:

    Prune     the object and its uid
    Recreate  the object and its uid, and the digest of the manifest it would be made from
    Drift     the object and its uid, the field, the digest of the manifest, when that was first seen, and a hash of the live value

**Digest.** A plan is known by the ClusterState's uid and the fingerprints of everything that waits, in no order. So nobody can approve for one
ClusterState what was shown for another of the same name, and the same writes have the same digest after a restart.

**What an approval approves.** A StateApproval names a digest. It is good for a write if that write

- stands in a ClusterStatePlan with this digest, or
- waits now, and what waits now has this digest.

By the first rule a plan that was interrupted half-way goes on although what is left has another digest, and something new that waits takes consent
from nothing that has it. By the second one a plan works that was lost, or is too large to hold its fingerprints (MAX_FINGERPRINTS).

**What is not believed.** A ClusterStatePlan counts only if the ClusterState owns it by its uid, and if its digest is the one of its fingerprints: a
plan that claims another's digest for other writes is worthless. StateApprovals count only from the ClusterState's own namespace: whoever may create
them elsewhere may not approve here. What cannot be read approves nothing.

**Until when.** Until `expiresAt`, or else 24 hours after creation; at that very moment it approves nothing any more. One that is being deleted
approves nothing either, whatever finalizers keep it.

**Cost.** To read 20,000 writes that wait takes 0.1 s, to ask for each of them as long; 170 bytes are kept per write (measured). MAX_APPROVED digests are
followed, those that last longest; more are ignored, which means consent that is not seen, never consent that was not given.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cvstate_operator.api import approval
from cvstate_operator.api.change_plan import DIGEST_PATTERN, FINGERPRINT_CHARACTERS, MAX_FINGERPRINTS, PlanAction
from cvstate_operator.objects.identity import ObjectRef

MAX_APPROVED: Final = 32
"""Digests that count at the same time for one ClusterState. A person approves a few."""

_FINGERPRINT_BYTES: Final = 12
"""96 bits: to find a write with the fingerprint of a given one takes 2^96 tries. To find any two that are equal takes 2^48, which is not out of reach of
somebody who may choose both; but uids are chosen by the API server, and both manifests of a Recreate would stand in Git's history."""
_MAX_TEXT: Final = MAX_FINGERPRINTS * FINGERPRINT_CHARACTERS
_DIGEST: Final = re.compile(DIGEST_PATTERN)
_MOMENT: Final = re.compile(approval.MOMENT_PATTERN)
_LIFETIME: Final = timedelta(seconds=approval.LIFETIME_SECONDS)


@dataclass(frozen=True, slots=True)
class Item:
    """One write that waits, by what makes it this one and no other."""

    action: PlanAction
    ref: ObjectRef
    uid: str
    """Of the live object: one of the same name that was made later is another."""
    digest: str = ""
    """Of the manifest that would be applied; empty for Prune."""
    path: str = ""
    """JSON pointer of the field; only for Drift."""
    since: str = ""
    """When the drift was first seen; only for Drift."""
    value: str = ""
    """Hash of the live value; only for Drift. Of a Secret the object's resourceVersion instead: whoever may read plans could guess a short
    password from its hash."""

    @property
    def fingerprint(self) -> str:
        """FINGERPRINT_CHARACTERS of base64url: 12 bytes of SHA-256 over all fields."""
        fields = (self.action.value, *self.ref, self.uid, self.digest, self.path, self.since, self.value)
        found = hashlib.sha256(b"cvstate.io/plan-item/1\n" + b"".join(map(_framed, fields))).digest()
        return base64.urlsafe_b64encode(found[:_FINGERPRINT_BYTES]).decode()


def plan_digest(cluster_state_uid: str, items: Iterable[Item]) -> str:
    """`sha256:…` of everything that waits in a ClusterState, in whatever order and however often it is named."""
    return _digest(cluster_state_uid, _joined(items))


def fingerprints(items: Iterable[Item]) -> str:
    """What a ClusterStatePlan holds in `spec.fingerprints`; empty if there are more than MAX_FINGERPRINTS."""
    text = _joined(items)
    return text if len(text) <= _MAX_TEXT else ""


@dataclass(frozen=True, slots=True)
class _Consent:
    """The writes of one approved digest."""

    until: datetime
    writes: frozenset[str]
    """Fingerprints."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """What has been approved in one ClusterState. `Approvals()` approves nothing."""

    _consents: tuple[_Consent, ...] = ()

    @classmethod
    def read(
        cls,
        *,
        cluster_state_uid: str,
        namespace: str,
        approvals: Iterable[object],
        plans: Iterable[object],
        waiting: Iterable[Item] = (),
    ) -> "Approvals":
        """Put together what the cluster holds, by the rules of this module. Never raises for what is in `approvals` and `plans`.

        Args:
            cluster_state_uid: of the ClusterState.
            namespace: where it is.
            approvals: StateApprovals as JSON, also of other namespaces.
            plans: ClusterStatePlans as JSON, also of other ClusterStates.
            waiting: everything that waits now.
        """
        until = _last_moments(approvals, namespace)
        if not until:
            return cls()
        texts = {_digest(cluster_state_uid, text): text for text in (_joined(waiting), *_plan_texts(plans, cluster_state_uid, until))}
        approved = sorted(until.keys() & texts.keys(), key=lambda digest: (until[digest], digest), reverse=True)[:MAX_APPROVED]
        return cls(tuple(_Consent(until[digest], frozenset(_split(texts[digest]))) for digest in approved))

    def covers(self, item: Item, now: datetime) -> bool:
        """Whether this write is approved at `now`.

        Raises:
            ValueError: `now` has no time zone.
        """
        _check_zone(now)
        found = item.fingerprint
        return any(now < consent.until and found in consent.writes for consent in self._consents)

    def next_expiry(self, now: datetime) -> datetime | None:
        """When the next approval that is good at `now` ends, in UTC; None if there is none.

        Raises:
            ValueError: `now` has no time zone.
        """
        _check_zone(now)
        return min((consent.until for consent in self._consents if consent.until > now), default=None)


# -- digests -------------------------------------------------------------------------------------------------------


def _framed(text: str) -> bytes:
    """With its length before it, so that no two lists of fields have the same bytes."""
    content = text.encode(errors="surrogatepass")
    return len(content).to_bytes(8, "big") + content


def _joined(items: Iterable[Item]) -> str:
    return "".join(sorted({item.fingerprint for item in items}))


def _split(text: str) -> Iterator[str]:
    return (text[at : at + FINGERPRINT_CHARACTERS] for at in range(0, len(text), FINGERPRINT_CHARACTERS))


def _digest(cluster_state_uid: str, text: str) -> str:
    found = hashlib.sha256(b"cvstate.io/plan/1\n" + _framed(cluster_state_uid) + _framed(text))
    return f"sha256:{found.hexdigest()}"


# -- what stands in the cluster, by whomever it was written --------------------------------------------------------


def _last_moments(approvals: Iterable[object], namespace: str) -> dict[str, datetime]:
    """Until when each digest is approved, by the approval that lasts longest."""
    found: dict[str, datetime] = {}
    for body in approvals:
        metadata, spec = _map(body, "metadata"), _map(body, "spec")
        digest, until = spec.get("planDigest"), _until(metadata, spec)
        if metadata.get("namespace") != namespace or "deletionTimestamp" in metadata or until is None:
            continue
        if isinstance(digest, str) and _DIGEST.fullmatch(digest):
            found[digest] = max(until, found.get(digest, until))
    return found


def _until(metadata: Mapping[Any, Any], spec: Mapping[Any, Any]) -> datetime | None:
    """When an approval ends; None if it cannot be told."""
    try:
        if "expiresAt" in spec:
            return _moment(spec["expiresAt"])
        return _moment(metadata.get("creationTimestamp")) + _LIFETIME
    except (ValueError, OverflowError):
        return None


def _moment(text: object) -> datetime:
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ValueError("no moment in RFC 3339")
    return datetime.fromisoformat(text).astimezone(UTC)


def _plan_texts(plans: Iterable[object], cluster_state_uid: str, approved: Collection[str]) -> Iterator[str]:
    """Fingerprints of plans that have the digest they say they have, and an approved one."""
    for body in plans:
        spec, owners = _map(body, "spec"), _map(body, "metadata").get("ownerReferences")
        digest, text = spec.get("digest"), spec.get("fingerprints")
        if not isinstance(digest, str) or digest not in approved or not isinstance(text, str) or len(text) > _MAX_TEXT:
            continue
        is_owned = isinstance(owners, list) and any(isinstance(owner, dict) and owner.get("uid") == cluster_state_uid for owner in owners)
        if is_owned and _digest(cluster_state_uid, text) == digest:
            yield text


def _map(body: object, key: str) -> Mapping[Any, Any]:
    """What stands under `key`; empty if it is no mapping, or `body` is none."""
    found = body.get(key) if isinstance(body, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _check_zone(now: datetime) -> None:
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
