"""Members: the replica's own part in sharing the work; keeps its Lease, looks at those of the others, and says what it may write.

The rules are those of `plan/membership.py`; here are the clock, the requests and the log. `Alone` stands in where there is nobody to share with.
"""

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cvstate_operator import errors
from cvstate_operator.kube.leases import Leases
from cvstate_operator.plan.membership import LOOK_SECONDS, RENEW_SECONDS, Lease, Membership

JUDGE_SECONDS: Final = 0.5
"""How often it is looked whether time alone changed what we may write: a fence that was reached, a wait that is over."""
LINGER_SECONDS: Final = 3.0
"""How long a Lease that was given up is left to be seen before it is deleted: longer than from one look of the others to the next."""
DELETED_AT_ONCE: Final = 1
"""Old Leases that are deleted after one look, so that the next one is hardly late."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MemberState:
    """How things stand, for metrics and readiness."""

    members: int
    """Replicas that are live, this one included."""
    settled: bool
    """Whether this replica may own anything. False for the first 15 s, and for 15 s after it had lost touch."""
    fenced: str
    """Why it may write nothing now; empty if it may."""

    @property
    def is_able(self) -> bool:
        """Whether it carries out what it owns: it has settled, and has not lost touch since."""
        return self.settled and not self.fenced


class Replicas(Protocol):
    """Who shares the work; `Members` or `Alone`."""

    @property
    def member(self) -> str:
        """Id of this replica: unique, for the life of the process."""

    @property
    def peers(self) -> tuple[str, ...]:
        """Base URLs of the webhooks of the other live replicas, sorted; those that have none are left out."""

    @property
    def state(self) -> MemberState:
        """As it is now."""

    @property
    def broken(self) -> str:
        """What of keeping in touch ended by itself, so that only a restart helps; empty if nothing did."""

    async def join(self) -> None:
        """Begin to take part.

        Raises:
            CvstateError: that is not possible now; nothing is left running.
        """

    def is_mine(self, owner: str) -> bool:
        """Whether a ClusterState (its ApplySet id) belongs to this replica. Nothing may be written all the same while it is `fenced`."""

    def fenced(self) -> str:
        """Why this replica may write nothing at all now; empty if it may. To be asked before each write; costs next to nothing."""

    def hand_over_seconds(self, owner: str) -> float:
        """How long this replica may still write a ClusterState (its ApplySet id) that belongs to another one since now: to finish what is in hand."""

    async def leave(self) -> None:
        """Let others take over at once; to be called when the last write was answered. Nothing may be written any more."""


class Alone:
    """For a process without Leases: everything is its own."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.peers: tuple[str, ...] = ()
        self.state = MemberState(members=1, settled=True, fenced="")
        self.broken = ""

    async def join(self) -> None:
        """Nobody has to know."""

    def is_mine(self, owner: str) -> bool:
        """Always."""
        return True

    def fenced(self) -> str:
        """Never."""
        return ""

    def hand_over_seconds(self, owner: str) -> float:
        """For ever: there is nobody to hand it over to."""
        return float("inf")

    async def leave(self) -> None:
        """Nobody takes over."""


class Members:
    """One of several replicas. See `Replicas` for what its methods promise."""

    def __init__(
        self, leases: Leases, *, member: str, group: str, advertise: str, changed: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        """
        Args:
            leases: where replicas find each other.
            member: id of this one (`new_member`).
            group: replicas with the same one share the work; a label value.
            advertise: base URL of this one's webhook, for the others; empty if they cannot reach it.
            changed: called when what is ours, or whether we may write, may be otherwise than before, and again every JUDGE_SECONDS as long as it raises; must be quick.
            clock: seconds; must go on while the process is stopped (`since_boot`).
        """
        self.member = member
        self._leases = leases
        self._group = group
        self._advertise = advertise
        self._changed = changed
        self._clock = clock
        self._known = Membership(member)
        self._lease: Lease | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._told: tuple[bool, str, frozenset[str], frozenset[str]] = (False, "", frozenset(), frozenset())
        """What was told last: whether we are settled, why we are fenced, who else is live, and which of these may write."""
        self._failing: dict[str, str] = {}
        """Reason by what fails, so that the log has it once."""

    # -- what others ask -------------------------------------------------------------------------------------------

    @property
    def peers(self) -> tuple[str, ...]:
        """See `Replicas`."""
        return tuple(sorted(webhook for webhook in self._known.others.values() if webhook))

    @property
    def state(self) -> MemberState:
        """See `Replicas`."""
        return MemberState(members=1 + len(self._known.others), settled=self._known.settles_in(self._clock()) == 0.0, fenced=self.fenced())

    @property
    def broken(self) -> str:
        """See `Replicas`."""
        return next((f"the task to {task.get_name()} ended" for task in self._tasks if task.done()), "")

    def is_mine(self, owner: str) -> bool:
        """See `Replicas`."""
        return self._known.owns(owner, self._clock())

    def fenced(self) -> str:
        """See `Replicas`."""
        return self._known.fence(self._clock())

    def hand_over_seconds(self, owner: str) -> float:
        """See `Replicas`."""
        return self._known.hand_over_seconds(owner, self._clock())

    # -- coming and going ------------------------------------------------------------------------------------------

    async def join(self) -> None:
        """See `Replicas`. Others count on us from their next look on; we own something once they have all had one."""
        await self._renew()
        await self._look()
        _log.info("joined", extra={"member": self.member, "group": self._group, "others": len(self._known.others)})
        self._judge()
        self._tasks = (
            asyncio.create_task(self._repeat("renewing the Lease", self._renew, every=RENEW_SECONDS), name="renew the Lease"),
            asyncio.create_task(self._repeat("looking at the Leases", self._look, every=LOOK_SECONDS), name="look at the Leases"),
            asyncio.create_task(self._watch_time(), name="watch the fence"),
        )

    async def leave(self) -> None:
        """See `Replicas`. Takes LINGER_SECONDS while there are others: then all have seen that they need not wait for us."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lease, self._lease = self._lease, None
        self._known = self._known.lost()
        if lease is None:
            return
        try:
            released = await self._leases.release(lease)
            if released is not None:
                if self._known.others:
                    await asyncio.sleep(LINGER_SECONDS)
                await self._leases.delete(released)
            _log.info("left", extra={"member": self.member, "others": len(self._known.others)})
        except errors.CvstateError as exc:
            _log.warning("left without a word: others take over when the Lease expires", extra={"reason": exc.reason, "error": exc.message})

    # -- keeping in touch ------------------------------------------------------------------------------------------

    async def _repeat(self, what: str, step: Callable[[], Awaitable[None]], *, every: float) -> None:
        """Do it every so many seconds from beginning to beginning, whatever comes of it."""
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                await step()
                if self._failing.pop(what, None):
                    _log.info("works again", extra={"what": what})
            except errors.CvstateError as exc:
                if self._failing.get(what) != exc.reason:
                    self._failing[what] = exc.reason
                    _log.warning("failing, trying again", extra={"what": what, "reason": exc.reason, "error": exc.message})
            except Exception:  # the next try may succeed; meanwhile the fence holds
                _log.exception("internal error, trying again", extra={"what": what})
            self._judge()
            await asyncio.sleep(max(0.0, begun + every - asyncio.get_running_loop().time()))

    async def _renew(self) -> None:
        begun = self._clock()
        if self._lease is not None:
            self._lease = await self._leases.renew(self._lease)
            if self._lease is None:
                _log.warning("the Lease was deleted, or taken by somebody else; joining anew", extra={"member": self.member})
                self._known = self._known.lost()
        if self._lease is None:
            self._lease = await self._leases.take(member=self.member, group=self._group, webhook=self._advertise)
        self._known = self._known.renewed(self._lease, begun=begun, ended=self._clock())

    async def _look(self) -> None:
        begun = self._clock()
        found = await self._leases.look(self._group)
        self._known = self._known.looked(found, begun=begun, ended=self._clock())
        self._judge()  # before anything else is waited for
        for old in self._known.garbage(self._clock())[:DELETED_AT_ONCE]:
            try:
                await self._leases.delete(old)
                _log.info("deleted the Lease of a replica that is long gone", extra={"lease": old.name})
            except errors.StaleError:
                continue  # its holder is back

    async def _watch_time(self) -> None:
        while True:
            self._judge()
            await asyncio.sleep(JUDGE_SECONDS)

    def _judge(self) -> None:
        """Tell what is otherwise than it was told last; what could not be told is told again by the next judgement."""
        what = "telling what changed"
        try:
            self._tell()
            if self._failing.pop(what, None):
                _log.info("works again", extra={"what": what})
        except Exception as exc:  # nothing may end the tasks that keep us in touch, nor what is still to be handed over be forgotten
            if self._failing.get(what) != repr(exc):
                self._failing[what] = repr(exc)
                _log.exception("internal error, trying again", extra={"what": what})

    def _tell(self) -> None:
        now = self._clock()
        was_settled, was_fenced, before, _ = self._told
        is_settled, fenced, others = self._known.settles_in(now) == 0.0, self._known.fence(now), frozenset(self._known.others)
        standing = is_settled, fenced, others, self._known.able(now)
        if standing == self._told:
            return
        self._changed()
        self._told = standing
        for other in sorted(others - before):
            _log.info("another replica joined", extra={"other": other, "members": 1 + len(others)})
        for other in sorted(before - others):
            _log.info("another replica is gone", extra={"other": other, "members": 1 + len(others)})
        if is_settled and not was_settled:
            _log.info("settled: taking on a share", extra={"members": 1 + len(others)})
        if fenced and fenced != was_fenced:
            _log.log(logging.WARNING if was_settled else logging.INFO, "writing nothing", extra={"why": fenced})


def new_member() -> str:
    """An id for this process: where it runs, and what no other process ever had. As client-go's leader election names itself."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def since_boot() -> float:
    """Seconds that also pass while the machine sleeps, where the system counts them (Linux: CLOCK_BOOTTIME; elsewhere the monotonic clock)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
