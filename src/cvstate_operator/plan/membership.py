"""Membership: which replicas share the work, and which of them a ClusterState belongs to.

Each replica (member) holds a Lease of its own, renews it, and lists those of the others. What comes of that is told here, from one member's own clock and looks
alone: no time that another wrote is ever read.

| what | when | so that |
|---|---|---|
| a ClusterState belongs to | the highest weight, sha256 of both ids, among the live members that may write by now | whoever knows the same members agrees, and only what is a leaver's or newcomer's moves |
| a member is live | it holds a Lease that changed, by looks of one's own, within `expiry_seconds` | it may be slow for as long |
| it is fenced, and writes nothing | its last renewal that succeeded, or its last look, BEGAN `fence_seconds` ago | it stopped before it can be taken for dead |
| it settles, and owns nothing | for `settling_seconds` after its first renewal, and after the first one that succeeded when the last was `fence_seconds` old | whoever still writes has looked since, and seen it |
| others leave it its share | `fence_seconds` after the last look that did not show it; they finish what is in hand within HANDING_OVER_SECONDS | nobody writes that share only for as long as is needed |
| it has left | its Lease says so: nobody holds it | others take over at their next look |
| a Lease that vanished | counts as one that does not change any more | a Lease that is deleted by hand takes nothing from whoever still writes |

Why no two members write the same ClusterState at a time, say A with the higher weight, and B. B writes, so its last look began less than `fence_seconds` ago, and by that look

1. A had never been there: it came later, and settles for longer than that look is good for.
2. A had not changed, or was missing, since another look that ended `expiry_seconds` before: A had renewed its Lease for the last time before that one ended. So it has been fenced for
   `expiry_seconds` - `fence_seconds`, which is what a write that was on its way had to arrive. A renewal that succeeds later makes it settle first.
3. A had left: it wrote its last before.
4. A is there, but was not (1 to 3) by the look before: it began to settle after that was begun, and B ends before A does.

Both clocks may go wrong by a tenth against each other: 10 s of one are less than 12 s of the other. A clock that stands still while the world goes on (a virtual machine that is paused), or
a request that is held up on its way for longer, is beyond any Lease. What such a write does is bounded otherwise: a create, a delete and a status name the version that they were made for, and an apply
that comes late is drift, which whoever owns the object by then puts right.

Source: rendezvous hashing, Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; client-go, tools/leaderelection, for judging by one's own clock.
Pure: no clock, no I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

RENEW_SECONDS: Final = 2.0
"""How often a member renews its Lease; as client-go's RetryPeriod."""
LOOK_SECONDS: Final = 1.0
"""How often it looks at those of the others. A list is a third of the cost of a renewal, and each second here is two of a takeover: one until the last renewal was seen, one until it is seen to
have been the last."""
FENCE_SECONDS: Final = 10.0
"""Five renewals may fail before a member stops; as client-go's RenewDeadline."""
EXPIRY_SECONDS: Final = 12.0
"""Two seconds after the fence: what a write that was on its way may take to arrive, and the error of clocks."""
SETTLING_SECONDS: Final = 15.0
"""Longer than a look is good for, by what is in hand then, and what a write that was on its way may take."""
HANDING_OVER_SECONDS: Final = 3.0
"""How long what is in hand may take when a newcomer is about to begin. With the fence and what a write may take to arrive: as long as it settles."""
GARBAGE_SECONDS: Final = 3600.0
"""After so long a Lease that nobody renews is deleted. Its holder was killed, or it ended before it could."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long things last, seconds; others than these only for tests."""

    fence_seconds: float = FENCE_SECONDS
    expiry_seconds: float = EXPIRY_SECONDS
    settling_seconds: float = SETTLING_SECONDS
    garbage_seconds: float = GARBAGE_SECONDS


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease of a member, as the API server told it."""

    name: str
    uid: str
    version: str
    """resourceVersion."""
    holder: str
    """Id of the member; empty after it left."""
    webhook: str = ""
    """Base URL under which others reach the member's webhook; empty if they cannot."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of one Lease, in one hand, last."""

    lease: Lease
    is_there: bool
    """False from the first look that missed it."""
    since: float
    """When the first look ended that saw it so."""


_Key = tuple[str, str]
"""Uid of the Lease, and who held it: a Lease that passes to somebody else has not been given up by who had it."""


def weight(member: str, owner: str) -> bytes:
    """How much a ClusterState is drawn to a member; the highest wins. Even over all, and fixed for good.

    Args:
        member: its id.
        owner: ApplySet id of the ClusterState.
    """
    return sha256(f"{member}\n{owner}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Membership:
    """What one member knows at a moment. Times are seconds of its own clock, which never goes back."""

    member: str
    times: Times = field(default_factory=Times)
    uid: str = ""
    """Of our Lease; empty if we hold none."""
    renewed_at: float | None = None
    """When the last renewal that succeeded was begun; None if we hold no Lease."""
    entered_at: float | None = None
    """When the first renewal in an unbroken row had succeeded; None if we hold no Lease."""
    settled_at: float = float("inf")
    """From when on we may own something; may lie ahead. Infinity if we hold no Lease."""
    looked_at: float | None = None
    """When the last complete look was begun; None before the first."""
    sightings: Mapping[_Key, Sighting] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    """Other live members by the last look: id and webhook."""
    begin_at: Mapping[str, float] = field(default_factory=dict)
    """By id of another live member: when it may begin to write at the earliest, by what we know."""

    # -- what happened ---------------------------------------------------------------------------------------------

    def renewed(self, lease: Lease, *, begun: float, ended: float) -> "Membership":
        """Our Lease was made or renewed.

        Args:
            lease: as it is now.
            begun: when it was asked for.
            ended: when the answer was read.
        """
        is_unbroken = self.uid == lease.uid and self.renewed_at is not None and ended - self.renewed_at < self.times.fence_seconds
        if is_unbroken:
            return replace(self, renewed_at=begun)
        settled_at = ended + self.times.settling_seconds
        return replace(self, uid=lease.uid, renewed_at=begun, entered_at=ended, settled_at=settled_at)

    def lost(self) -> "Membership":
        """Our Lease is gone, or in other hands, or was given up: nothing is ours until we made another."""
        return replace(self, uid="", renewed_at=None, entered_at=None, settled_at=float("inf"))

    def looked(self, leases: Sequence[Lease], *, begun: float, ended: float) -> "Membership":
        """All Leases of the group were listed.

        Args:
            leases: in any order; ours among them, unless it is lost.
            begun: when they were asked for.
            ended: when the answer was read.
        """
        sightings = {**self._missed(leases, begun, ended), **self._seen(leases, ended)}
        others = {s.lease.holder: s.lease.webhook for s in sightings.values() if s.lease.holder and self._is_live(s, begun)}
        # Who was not live by the look before made or revived his Lease after that was begun, and settles.
        settled_at = float("-inf") if self.looked_at is None else self.looked_at + self.times.settling_seconds
        begin_at = {other: self.begin_at.get(other, settled_at) for other in others}
        then = replace(self, looked_at=begun, sightings=sightings, others=others, begin_at=begin_at)
        is_ours_there = any(lease.uid == self.uid and lease.holder == self.member for lease in leases)
        return then if self.entered_at is None or begun < self.entered_at or is_ours_there else then.lost()

    def _seen(self, leases: Sequence[Lease], ended: float) -> dict[_Key, Sighting]:
        found = {}
        for lease in leases:
            if lease.holder != self.member:
                known = self.sightings.get(key := (lease.uid, lease.holder))
                is_as_before = known is not None and known.is_there and known.lease.version == lease.version
                found[key] = known if known and is_as_before else Sighting(lease, True, ended)
        return found

    def _missed(self, leases: Sequence[Lease], begun: float, ended: float) -> dict[_Key, Sighting]:
        """Those that were live by the look before, and are not there any more, nor given up."""
        there = {(lease.uid, lease.holder) for lease in leases}
        left = {lease.uid for lease in leases if not lease.holder}
        found = {}
        for key, known in self.sightings.items():
            if key in there or key[0] in left or self.looked_at is None or not self._is_live(known, self.looked_at):
                continue
            missed = replace(known, is_there=False, since=ended) if known.is_there else known
            if self._is_live(missed, begun):
                found[key] = missed
        return found

    def _is_live(self, sighting: Sighting, begun: float) -> bool:
        """By a look that was begun then: only another look can tell that nothing changed meanwhile."""
        return begun - sighting.since < self.times.expiry_seconds

    # -- what follows ----------------------------------------------------------------------------------------------

    def settles_in(self, now: float) -> float:
        """Seconds until we may own anything; 0 if we may, infinity if we hold no Lease."""
        return max(0.0, self.settled_at - now)

    def owns(self, owner: str, now: float) -> bool:
        """Whether a ClusterState belongs to us. It may be fenced all the same.

        Args:
            owner: its ApplySet id.
            now: the time.
        """
        return self.settles_in(now) == 0.0 and self.keeper(owner, now) == self.member

    def keeper(self, owner: str, now: float) -> str:
        """Id of the member that a ClusterState belongs to, ours if we may write by now; of those who still settle by what we know, none.

        Args:
            owner: its ApplySet id.
            now: the time.
        """
        return max((self.member, *self.able(now)), key=lambda member: (weight(member, owner), member))

    def able(self, now: float) -> frozenset[str]:
        """Other live members that may write by now, or so soon that we have to end before."""
        return frozenset(other for other, at in self.begin_at.items() if now >= at - self._ahead - HANDING_OVER_SECONDS)

    @property
    def _ahead(self) -> float:
        """How long before another one begins the last write may be sent: as long as it may take to arrive."""
        return self.times.expiry_seconds - self.times.fence_seconds

    def fence(self, now: float) -> str:
        """Why we may write nothing at all; empty if we may write what we own. The same words until it changes."""
        if self.renewed_at is None:
            return "this replica holds no Lease"
        if now - self.renewed_at >= self.times.fence_seconds:
            return f"this replica has not renewed its Lease for {self.times.fence_seconds:.0f} s"
        if self.looked_at is None or now - self.looked_at >= self.times.fence_seconds:
            return f"this replica has not seen the Leases of the others for {self.times.fence_seconds:.0f} s"
        if self.settles_in(now):
            return "this replica has come just now, and waits until all others have seen it"
        return ""

    def hand_over_seconds(self, owner: str, now: float) -> float:
        """How long a ClusterState that was ours may still be written by us, seconds, so that what is sent last arrives before another one's first write; 0 if not at all.

        It only ever goes to a newcomer, or to one who was away: both settle. If we are not fenced, it is HANDING_OVER_SECONDS at first.

        Args:
            owner: its ApplySet id.
            now: the time.
        """
        if self.settles_in(now):
            return 0.0  # others have it already
        ours = weight(self.member, owner), self.member
        # Of several newcomers the first one counts, whoever gets it in the end: he has it until then, or if the others go again.
        begins_at = min((self.begin_at[other] for other in self.able(now) if (weight(other, owner), other) > ours), default=float("inf"))
        return max(0.0, begins_at - self._ahead - now)

    def garbage(self, now: float) -> tuple[Lease, ...]:
        """Leases that nobody has renewed for so long that they may be deleted, by name; empty for all members but the one with the lowest id, so that one does it."""
        if self.settles_in(now) or any(other < self.member for other in self.others):
            return ()
        old = (s.lease for s in self.sightings.values() if s.is_there and now - s.since >= self.times.garbage_seconds)
        return tuple(sorted(old, key=lambda lease: lease.name))
