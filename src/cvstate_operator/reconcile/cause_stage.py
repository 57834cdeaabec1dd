"""The cause stage of one ClusterState: which Pods and containers keep its workloads from being ready. Looked for beside the passes, and only while something is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.ports import World
from cvstate_operator.vital.health.lapse import Lapse, Level
from cvstate_operator.vital.health.state import Reason

MOST: Final = 5
"""Objects that are looked into: the worst ones. Each costs a GET, and a LIST of up to 50 Pods."""
FIRST_SECONDS: Final = 2.0
"""How long an object has to be in trouble before it is looked into: what a watch tells of a crash comes in several steps."""
PROGRESS_SECONDS: Final = 20.0
"""The same for one that is on its way: most are there by then, and nobody asks why. Before a revision is given up it is looked into all the same."""
LEAD_SECONDS: Final = 1.5
"""How long before that."""
SILENT_SECONDS: Final = 5.0
"""From one look to the next while the Pods say nothing, or the object says something else than before."""
AGAIN_SECONDS: Final = 30.0
"""From one look to the next while all stays as it is; twice as long each time, up to LONGEST_SECONDS."""
LONGEST_SECONDS: Final = 3600.0
CAUSE_CHARACTERS: Final = 400
"""Longest cause that is told."""


@dataclass(slots=True)
class _Case:
    """One object that is looked into."""

    lapse: tuple[str, str]
    """Reason and message of its lapse."""
    due: float
    """When it is looked into next, monotonic seconds."""
    looks: int = 0
    """How often it was, since it says the same."""


class CauseStage:
    """Not for concurrent use, but for `ask`, which may run beside everything else."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.causes: Mapping[ObjectRef, str] = {}
        """By object, for people."""
        self._cases: dict[ObjectRef, _Case] = {}

    def wants(self, health: Health, *, within: float | None = None) -> None:
        """Health is this now: whose cause is to be looked for, and which ones are over.

        Args:
            health: as it was judged just now.
            within: seconds until the revision is given up if nothing changes; None if it is not to be.
        """
        now, before = self._world.clock.monotonic(), self._cases
        chosen = islice(((ref, lapse, pause) for ref, lapse in health.worst if (pause := _pause(lapse, within))), MOST)
        self._cases = {ref: _case(before.get(ref), (lapse.reason, lapse.message), now, pause) for ref, lapse, pause in chosen}
        if any(ref not in self._cases for ref in self.causes):
            self.causes = {ref: cause for ref, cause in self.causes.items() if ref in self._cases}

    @property
    def ask_at(self) -> float | None:
        """When something is to be looked for next, monotonic seconds; None if nothing is."""
        return min((case.due for case in self._cases.values()), default=None)

    async def ask(self) -> bool:
        """Look into everything that is due; True if a cause is another one than before."""
        now = self._world.clock.monotonic()
        is_news = False
        for ref in [ref for ref, case in self._cases.items() if case.due <= now]:
            found = await self._cause(ref)
            if case := self._cases.get(ref):  # else it is ready by now
                pause = min(AGAIN_SECONDS * 2.0**case.looks, LONGEST_SECONDS) if found else SILENT_SECONDS * 2.0 ** min(case.looks, 10)
                case.due, case.looks = self._world.clock.monotonic() + pause, case.looks + 1
                is_news |= found != self.causes.get(ref, "")
                self.causes = {**{one: cause for one, cause in self.causes.items() if one != ref}, **({ref: found} if found else {})}
        return is_news

    async def _cause(self, ref: ObjectRef) -> str:
        """Why an object is not ready, for people; empty if its Pods say nothing."""
        live = self._world.index.get(ref)
        if live is None:
            return ""
        try:
            found = await self._world.causes.explain(live.resource, ref)
        except errors.CvstateError as exc:
            return one_line(exc.message, CAUSE_CHARACTERS)
        except Exception as exc:  # nobody waits for a cause
            self._world.reporter.fault(f"the Pods of {ref} could not be looked at", exc)
            return ""
        return one_line("; ".join(child.text for child in found[:2]), CAUSE_CHARACTERS)


def _pause(lapse: Lapse, within: float | None) -> float:
    """How long an object has to be as it is before it is looked into, seconds; 0: it is not. What its controller did not see yet has no Pods to look at."""
    if lapse.ready_at or lapse.reason == Reason.NOT_OBSERVED or lapse.level in (Level.READY, Level.MISSING, Level.UNKNOWN):
        return 0.0
    pause = PROGRESS_SECONDS if lapse.level is Level.PROGRESSING else FIRST_SECONDS
    return min(pause, max(LEAD_SECONDS, within - LEAD_SECONDS)) if within is not None and within > LEAD_SECONDS else pause


def _case(before: _Case | None, told: tuple[str, str], now: float, pause: float) -> _Case:
    """The same case, sooner if it is more urgent now; or a new one if the object says something else."""
    if before is None:
        return _Case(told, now + pause)
    if before.lapse != told:
        return _Case(told, min(before.due, now + (SILENT_SECONDS if before.looks else pause)))
    return replace(before, due=before.due if before.looks else min(before.due, now + pause))
