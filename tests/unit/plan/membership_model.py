"""A world of replicas, for tests: an API server, requests that are slow, lost or late, clocks that drift, processes that stop, are killed, come and go.

Each replica knows only what `Membership` makes of its own renewals and looks. The world knows the true time, and notes when two of them may write the same at a time.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator.plan.membership import LOOK_SECONDS, RENEW_SECONDS, Lease, Membership, Times

OWNERS: Final = ("one", "two")
REQUEST_SECONDS: Final = 2.0
"""Deadline of a request to the API server."""
ON_ITS_WAY_SECONDS: Final = 1.2
"""A write may arrive so long after it was allowed: EXPIRY_SECONDS - FENCE_SECONDS, less what clocks may be wrong by."""
DRIFT: Final = 0.02
LINGER_SECONDS: Final = 3.0
JUDGED_EVERY_SECONDS: Final = 0.3


class Server:
    """Leases, changed by one request after the other."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self._version = 0

    def take(self, member: str) -> Lease | None:
        """Make a member's Lease, or renew the one it has; None if somebody else gave that up."""
        if (found := self.leases.get(member)) is not None:
            return self.renew(found) if found.holder == member else None
        return self._put(member, f"uid of {member} {self._version}", member)

    def renew(self, lease: Lease) -> Lease | None:
        """None if it is gone, or in other hands."""
        return self._put(lease.name, lease.uid, lease.holder) if self._is_held(lease) else None

    def release(self, lease: Lease) -> Lease | None:
        """As `renew`, for the last time."""
        return self._put(lease.name, lease.uid, "") if self._is_held(lease) else None

    def delete(self, lease: Lease) -> None:
        """Nothing happens if it changed since."""
        if self.leases.get(lease.name) == lease:
            del self.leases[lease.name]

    def _is_held(self, lease: Lease) -> bool:
        found = self.leases.get(lease.name)
        return found is not None and (found.uid, found.holder) == (lease.uid, lease.holder)

    def _put(self, name: str, uid: str, holder: str) -> Lease:
        self._version += 1
        self.leases[name] = Lease(name, uid, str(self._version), holder)
        return self.leases[name]


@dataclass
class Replica:
    """One process."""

    known: Membership
    rate: float
    """How fast its clock goes."""
    lease: Lease | None = None
    stopped_until: float = 0.0
    is_alive: bool = True
    is_writing: bool = True
    """False from when it begins to leave."""
    is_taking_part: bool = True
    """False from when it released its Lease."""
    cut_off_until: float = 0.0
    """Its requests are not answered until then."""
    allowed_at: dict[str, float] = field(default_factory=dict)
    """When it last might write, by what."""

    def local(self, at: float) -> float:
        """What its clock shows."""
        return 1000.0 + self.rate * at

    in_hand: set[str] = field(default_factory=set)
    """What it owned when it was last asked, or may still finish."""

    def may_write(self, owner: str, at: float) -> bool:
        """What it would say itself: it owns this, or did and may still finish what is in hand."""
        local = self.local(at)
        if self.known.settles_in(local):
            self.in_hand.clear()
        if not self.is_alive or not self.is_writing or at < self.stopped_until or self.known.fence(local):
            return False
        if self.known.owns(owner, local):
            self.in_hand.add(owner)
        elif not self.known.hand_over_seconds(owner, local):
            self.in_hand.discard(owner)
        return owner in self.in_hand


class World:
    """See the module. What is wrong is in `doubles`."""

    def __init__(
        self, seed: int, *, times: Times | None = None, make: Callable[..., Membership] = Membership, is_calm: bool = False
    ) -> None:
        """
        Args:
            seed: of everything that is left to chance.
            times: other than the real ones; None: these, but for garbage, which is cleared away after 40 s.
            make: what a replica knows.
            is_calm: whether all requests are answered at once, and nobody joins by himself.
        """
        self.dice = random.Random(seed)
        self.server = Server()
        self.now = 0.0
        self.doubles: list[str] = []
        self.owned_seconds: dict[str, float] = dict.fromkeys(OWNERS, 0.0)
        self.takeovers = 0
        self.replicas: list[Replica] = []
        self._times = times or Times(garbage_seconds=40.0)
        self._make = make
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = 0
        self._owned_by: dict[str, str] = {}
        self._is_calm = is_calm
        self._loss = 0.0 if is_calm else self.dice.choice((0.0, 0.05, 0.3, 0.7))
        """How many requests go wrong."""
        for _ in range(0 if is_calm else self.dice.randint(2, 5)):
            self.at(self.dice.choice((0.0, self.dice.uniform(0, 60))), self.join)

    # -- time ------------------------------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[[], object]) -> None:
        """Have it happen then."""
        self._numbers += 1
        heapq.heappush(self._queue, (max(when, self.now), self._numbers, what))

    def run(self, seconds: float) -> None:
        """Let time go on."""
        end = self.now + seconds
        self._tick(end)
        while self._queue and self._queue[0][0] <= end:
            self.now, _, what = heapq.heappop(self._queue)
            what()
        self.now = end

    def _tick(self, end: float) -> None:
        count = int((end - self.now) / JUDGED_EVERY_SECONDS)
        for number in range(1, count + 1):
            self.at(self.now + number * JUDGED_EVERY_SECONDS, self._judge)

    def _judge(self) -> None:
        for owner in OWNERS:
            for replica in self.replicas:
                if replica.may_write(owner, self.now):
                    replica.allowed_at[owner] = self.now
                    self.owned_seconds[owner] += JUDGED_EVERY_SECONDS
                    self.takeovers += self._owned_by.get(owner) != replica.known.member
                    self._owned_by[owner] = replica.known.member
            lately = [each for each in self.replicas if self.now - each.allowed_at.get(owner, float("-inf")) < ON_ITS_WAY_SECONDS]
            if len(lately) > 1 and any(each.allowed_at[owner] == self.now for each in lately):
                self.doubles.append(f"{self.now:.2f} {owner}: {', '.join(sorted(each.known.member for each in lately))}")

    # -- what happens ----------------------------------------------------------------------------------------------

    def join(self) -> Replica:
        """One more."""
        member = f"member-{len(self.replicas)}"
        replica = Replica(self._make(member, times=self._times), rate=self.dice.uniform(1 - DRIFT, 1 + DRIFT))
        self.replicas.append(replica)
        self._renew(replica)
        self._look(replica)
        return replica

    def kill(self, replica: Replica) -> None:
        """SIGKILL. What it sent arrives all the same."""
        replica.is_alive = False

    def stop(self, replica: Replica, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        replica.stopped_until = max(replica.stopped_until, self.now + seconds)

    def leave(self, replica: Replica) -> None:
        """SIGTERM: it writes no more, what is on its way arrives, then others are told."""
        replica.is_writing = False

        def told() -> None:
            if self.now < replica.stopped_until:
                self.at(replica.stopped_until, told)
                return
            replica.is_taking_part = False
            lease, replica.lease = replica.lease, None
            if lease is None or not replica.is_alive:
                return

            def delete(released: Lease | None) -> None:
                if released is not None:
                    self.at(self.now + LINGER_SECONDS, lambda: self._request(replica, lambda: self.server.delete(released), lambda _: None))

            self._request(replica, lambda: self.server.release(lease), delete)

        self.at(max(self.now, replica.stopped_until) + 2 * ON_ITS_WAY_SECONDS, told)

    def cut_off(self, replica: Replica, seconds: float) -> None:
        """It does not reach the API server for so long."""
        replica.cut_off_until = self.now + seconds

    def delete_a_lease(self) -> None:
        """By hand."""
        if self.server.leases:
            self.server.delete(self.dice.choice(list(self.server.leases.values())))

    def trouble(self) -> None:
        """Something of all this, at random."""
        replica = self.dice.choice(self.replicas) if self.replicas else self.join()
        match self.dice.randint(0, 6):
            case 0:
                self.kill(replica)
                self.at(self.now + self.dice.uniform(0, 30), self.join)
            case 1:
                self.leave(replica)
                self.at(self.now + self.dice.uniform(0, 30), self.join)
            case 2:
                self.cut_off(replica, self.dice.choice((5.0, 9.0, 12.0, 40.0, 90.0)))
            case 3:
                self.delete_a_lease()
            case 4:
                self.join()
            case _:
                self.stop(replica, self.dice.choice((1.0, 5.0, 9.0, 10.5, 13.0, 30.0, 90.0)))

    # -- what a replica does ---------------------------------------------------------------------------------------

    def _renew(self, replica: Replica) -> None:
        begun = replica.local(self.now)
        lease = replica.lease

        def ended(found: Lease | None) -> None:
            replica.lease = found
            if found is None:
                replica.known = replica.known.lost()
            else:
                replica.known = replica.known.renewed(found, begun=begun, ended=replica.local(self.now))

        work = (lambda: self.server.take(replica.known.member)) if lease is None else (lambda: self.server.renew(lease))
        self._request(replica, work, ended, again=(RENEW_SECONDS, self._renew))

    def _look(self, replica: Replica) -> None:
        begun = replica.local(self.now)

        def ended(found: tuple[Lease, ...]) -> None:
            replica.known = replica.known.looked(found, begun=begun, ended=replica.local(self.now))
            for old in replica.known.garbage(replica.local(self.now)):
                self.server.delete(old)

        self._request(replica, lambda: tuple(self.server.leases.values()), ended, again=(LOOK_SECONDS, self._look))

    def _request(
        self,
        replica: Replica,
        work: Callable[[], object],
        ended: Callable[..., None],
        *,
        again: tuple[float, Callable[[Replica], None]] | None = None,
    ) -> None:
        """Carried out after a while or never, answered in time or not.

        Args:
            replica: who asks.
            work: what the API server does.
            ended: told what it answered, unless nothing comes in time.
            again: what the replica does so many seconds later, or when this is over.
        """
        begun, deadline = self.now, self.now + REQUEST_SECONDS / replica.rate
        is_lost = begun < replica.cut_off_until or self.dice.random() < self._loss
        arrives = begun + (0.005 if self._is_calm else self.dice.choice((0.005, self.dice.uniform(0, 0.5), self.dice.uniform(0, 1.9))))
        answered = arrives + (0.005 if self._is_calm else self.dice.choice((0.005, self.dice.uniform(0, 0.3))))
        if is_lost:
            # Not sent at all, or its answer is lost, or it waits somewhere for a long time.
            arrives += self.dice.choice((float("inf"), 0.0, self.dice.uniform(0, 30)))
            answered = float("inf")
        answer: list[object] = []
        if arrives < float("inf"):
            self.at(arrives, lambda: answer.append(work()))

        def over() -> None:
            if self.now < replica.stopped_until:
                # When it goes on, both the answer and the deadline are there: either may be seen first.
                self.at(replica.stopped_until, over)
            elif replica.is_alive and (replica.is_taking_part or not again):
                if answer and answered <= self.now and (answered <= deadline or self.dice.random() < 0.5):
                    ended(answer[0])
                if again:
                    seconds, step = again
                    self.at(begun + seconds / replica.rate, lambda: step(replica))

        self.at(min(answered, deadline), over)
