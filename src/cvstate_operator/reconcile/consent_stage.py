"""The consent stage of one ClusterState: what waits for a person, shown as a plan in the cluster, and what people agreed to."""

from collections.abc import Callable, Iterable
from datetime import datetime

from cvstate_operator.plan.consent import Approvals, Item, plan_digest
from cvstate_operator.reconcile.outcome import Consent, Waits
from cvstate_operator.reconcile.ports import World


class ConsentStage:
    """Not for concurrent use."""

    def __init__(self, world: World, *, uid: str, namespace: str) -> None:
        self._world = world
        self._uid = uid
        self._namespace = namespace
        self._approvals = Approvals()
        self._waiting: tuple[Item, ...] = ()
        self.is_news = False
        """Whether something was approved, or no longer is, since the pass before."""

    def agreed(self) -> Callable[[Item], bool]:
        """Read what people agreed to; the answer says it of each write, as of now."""
        told = self._world.consents()
        found = Approvals.read(
            cluster_state_uid=self._uid, namespace=self._namespace, approvals=told.approvals, plans=told.plans, waiting=self._waiting
        )
        now = self._world.clock.now()
        self.is_news = any(found.covers(item, now) != self._approvals.covers(item, now) for item in self._waiting)
        self._approvals = found

        def agrees(item: Item) -> bool:
            return found.covers(item, self._world.clock.now())

        return agrees

    @property
    def until(self) -> datetime | None:
        """When the first approval expires; None if there is none."""
        return self._approvals.next_expiry(self._world.clock.now())

    def collect(self, waits: Iterable[Waits]) -> Consent:
        """Everything that waits after a pass."""
        found = tuple(sorted(waits, key=lambda one: (one.item.action, one.item.ref, one.item.path)))
        self._waiting = tuple(one.item for one in found)
        return Consent(found, plan_digest(self._uid, self._waiting)) if found else Consent()
