"""Notices: tells people and their tools of trouble, by the settings' targets. Fed with every status that the operator tells (`operator/teller.py`).

What is told to whom and when is decided in `plan/incidents.py`; this is its clock, and `notice_sender.py` its hands. Nothing here keeps a pass waiting, and without
targets nothing is sent.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from cvstate_operator.api.notices import NoticeTarget
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.plan.incidents import Incidents, Notice
from cvstate_operator.telemetry.notice_sender import GATHER_SECONDS, Sender

LONGEST_SLEEP_SECONDS: Final = 60.0
"""Then it is looked again whatever was due: clocks are set, and ours of day decides here."""
MISHAP_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class Observe(Protocol):
    """Takes note of what is told of one ClusterState, as `Notices.observe` does of all."""

    def __call__(self, status: Mapping[str, Any], *, correlation_id: str = "") -> None: ...


def unheard(status: Mapping[str, Any], *, correlation_id: str = "") -> None:
    """Where nobody is told; see Observe."""


class Notices:
    """One for the process. To be started and closed in one event loop; what is observed before `start` is told after it."""

    def __init__(
        self,
        targets: Iterable[NoticeTarget],
        policy: AddressPolicy,
        *,
        count: Callable[[str, int], None] = lambda result, number: None,
        gather_seconds: float = GATHER_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            targets: who is told; their names differ.
            policy: which hosts may be asked.
            count: told of every request: `ok`, `failed` or `dropped`, and of how many notices.
            gather_seconds: how long what happens together is gathered before it is sent.
            now: the time of day, UTC.
        """
        self._targets = tuple(targets)
        self._policy = policy
        self._count = count
        self._gather_seconds = gather_seconds
        self._now = now
        self._incidents = Incidents(self._targets)
        self._senders: dict[str, Sender] = {}
        """By name of the target."""
        self._ending: set[asyncio.Task[None]] = set()
        """Of targets that are no more."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell; nothing if that was begun already."""
        if self._task:
            return
        self._senders = {target.name: self._sender(target) for target in self._targets}
        self._task = asyncio.create_task(self._run(), name="notices")

    def observe(self, namespace: str, name: str, status: Mapping[str, Any], *, correlation_id: str = "") -> None:
        """Take note of what is told of a ClusterState; the first time of each, of what its status said before. Never waits.

        Args:
            namespace: of the ClusterState.
            name: of the ClusterState.
            status: its status, whole.
            correlation_id: of the roll-out that is under way; empty if there is none.
        """
        before = self._incidents.next_at
        self._incidents.observe(namespace, name, status, correlation_id=correlation_id, now=self._now())
        self._wake_for(before)

    def forget(self, namespace: str, name: str, *, is_gone: bool) -> None:
        """A ClusterState is looked after no more: `is_gone` if there is none any more, else others look after it from now on."""
        before = self._incidents.next_at
        self._incidents.forget(namespace, name, is_gone=is_gone, now=self._now())
        self._wake_for(before)

    def replace(self, targets: Iterable[NoticeTarget]) -> None:
        """The settings changed: there are other targets from now on. What waits for one of the same name goes on waiting; what waits for one that is no
        more is given up, and what that one was told of stays open there."""
        before, self._targets = self._targets, tuple(targets)
        for name in sorted({one.name for one in before} - {one.name for one in self._targets}):
            if number := self._incidents.open_at(name):
                _log.warning("notice target removed, with incidents that stay open there", extra={"target": name, "number": number})
        self._incidents.replace(self._targets, self._now())
        if self._task is None:
            return
        wanted = {target.name: target for target in self._targets}
        for name in self._senders.keys() - wanted.keys():
            task = asyncio.create_task(self._senders.pop(name).close(seconds=0.0), name=f"end notices to {name}")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for name, target in wanted.items():
            if sender := self._senders.get(name):
                sender.target = target
            else:
                self._senders[name] = self._sender(target)
        self._wake.set()

    async def close(self, *, seconds: float) -> None:
        """Send what is due, as far as there is time, and end. What is open stays open: the next life recalls it from the statuses, and takes it for told."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._deal()
        await asyncio.gather(*(sender.close(seconds=seconds) for sender in self._senders.values()), *self._ending, return_exceptions=True)
        self._senders.clear()

    def _sender(self, target: NoticeTarget) -> Sender:
        return Sender(target, self._policy, count=self._count, gather_seconds=self._gather_seconds, now=self._now)

    def _wake_for(self, before: datetime | None) -> None:
        """Wake the clock if something is due earlier than it thinks."""
        after = self._incidents.next_at
        if after is not None and (before is None or after < before):
            self._wake.set()

    def _deal(self) -> None:
        """Hand out what is due."""
        by_target: dict[str, list[Notice]] = {}
        for notice in self._incidents.due(self._now()):
            _log.debug("notice due", extra={"incident": str(notice.key), "phase": notice.phase.value, "target": notice.target})
            by_target.setdefault(notice.target, []).append(notice)
        for name, found in by_target.items():
            self._senders[name].offer(found)

    async def _run(self) -> None:
        while True:
            pause = MISHAP_SECONDS
            try:
                self._deal()
                due_at = self._incidents.next_at
                left = LONGEST_SLEEP_SECONDS if due_at is None else (due_at - self._now()).total_seconds()
                pause = min(max(left, 0.0), LONGEST_SLEEP_SECONDS)
            except Exception:  # what is wrong with one incident must not silence all others
                _log.exception("internal error while looking for notices, trying again")
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
