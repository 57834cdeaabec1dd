"""Orders: what a pass may do, as one value: the spec, the gates, and what people agreed to."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cvstate_operator.api.apply import Conflicts
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.drift import DriftAction
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.breaker import Limits
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.gates import Block, Gates


@dataclass(frozen=True)
class Orders:
    """Made once for each pass."""

    spec: ClusterStateSpec
    gates: Gates
    agreed: Callable[[Item], bool]
    """Whether a person agreed to exactly this write."""
    until: datetime | None = None
    """When the first of what they agreed to expires; None if nothing does."""

    def block(self, action: WindowAction) -> Block | None:
        """Why changes of this class are not made now; None if they are."""
        return self.gates.block(action)

    @property
    def yields(self) -> bool:
        """Whether fields that other managers hold are left to them."""
        return self.spec.apply.conflicts is Conflicts.YIELD

    @cached_property
    def rules(self) -> str:
        """Digest of what decides which fields an apply leaves out."""
        drift, told = self.spec.drift, hashlib.blake2b(digest_size=4)
        told.update(repr((drift.ignore, drift.rules, self.spec.apply.conflicts)).encode())
        return told.hexdigest()

    @cached_property
    def limits(self) -> Limits:
        """When a fight ends."""
        return Limits.of(self.spec.drift.breaker)

    @cached_property
    def is_plain(self) -> bool:
        """Whether every drift is simply repaired, so that an apply needs no look at the live object before."""
        drift = self.spec.drift
        return (
            not self.yields
            and not drift.ignore
            and not parse_seconds(drift.transient_for)
            and all(rule.action is DriftAction.AUTO for rule in drift.rules)
        )
