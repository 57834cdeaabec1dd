"""Node facts: what is kept of the nodes of a cluster, about a quarter of a kilobyte each, and when each of them was heard of last.

A kubelet renews the Lease of its node every ten seconds; its node's status it writes only if something changed, else every five minutes (KEP-589). The node
controller turns a silent kubelet's conditions to Unknown. Leases tell the same where there is no node controller, or a dead one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cvstate_operator.vital.facts import conditions
from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.facts.moments import moment

PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
"""Conditions that are True when something is short. Source: Kubernetes documentation, "Node Status"."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node."""

    name: str
    is_ready: bool
    pressures: tuple[str, ...]
    """Those of PRESSURES that are True."""
    tells: bool
    """Whether its kubelet told one of them at all, and is not silent."""
    heard_at: datetime | None
    """When its kubelet wrote its status last, UTC; None if it never did."""


def node_facts(live: Mapping[str, Any]) -> NodeFacts | None:
    """Reduce a node. One that cannot be read is not ready; None if not even its name can be."""
    name = ""
    try:
        node = Fields.of(live)
        name = node.below("metadata").text("name")
        told = Conditions.of(node.below("status"))
        ready = told.find("Ready")
        found = {kind: one.status for kind in PRESSURES if (one := told.find(kind))}
        beats = (one for one in node.below("status").items("conditions") if one.values.get("type") == "Ready")
        return NodeFacts(
            name=name,
            is_ready=ready is not None and ready.status == conditions.TRUE,
            pressures=tuple(kind for kind, status in found.items() if status == conditions.TRUE),
            tells=any(status != conditions.UNKNOWN for status in found.values()),
            heard_at=next((moment(one.values.get("lastHeartbeatTime")) for one in beats), None),
        )
    except MalformedError:
        return NodeFacts(name, is_ready=False, pressures=(), tells=False, heard_at=None) if name else None


class NodeTally:
    """All nodes, as a list and a watch tell them."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFacts] = {}
        self._listed: set[str] | None = None
        """Names that a list told so far; None while none is under way."""

    def begin(self, now: datetime, *, known_until: datetime | None) -> None:
        """A list begins."""
        self._listed = set()

    def listed(self, now: datetime) -> None:
        """The list is complete: nodes that were not in it are gone."""
        seen = self._listed or set()
        self._nodes = {name: node for name, node in self._nodes.items() if name in seen}
        self._listed = None

    def seen(self, live: Mapping[str, Any], now: datetime) -> None:
        """A node is there, in this state."""
        if node := node_facts(live):
            self._nodes[node.name] = node
            if self._listed is not None:
                self._listed.add(node.name)

    def gone(self, live: Mapping[str, Any], now: datetime) -> None:
        """A node is not there any more."""
        if node := node_facts(live):
            self._nodes.pop(node.name, None)

    def nodes(self) -> tuple[NodeFacts, ...]:
        """All of them, by name."""
        return tuple(self._nodes[name] for name in sorted(self._nodes))


class Heartbeats:
    """When each node's Lease was renewed, by our own clock as far as that can be told.

    A node's clock may be wrong, as the node controller knows too. Of a renewal that came between two looks it is certain that it was between them, whatever
    time it carries; a Lease that does not change is not being renewed, though its time may lie in the future.
    """

    def __init__(self) -> None:
        self._renewals: dict[str, tuple[str, datetime]] = {}
        """The time that the Lease carries, and when that was, by node."""
        self._looked_at: datetime | None = None

    def looked(self, leases: Mapping[str, str], now: datetime) -> Mapping[str, datetime]:
        """Take a look at all Leases: `spec.renewTime` by name, as text. Returns when each node was heard of last; without those that never were."""
        renewals: dict[str, tuple[str, datetime]] = {}
        for name, told in leases.items():
            before = self._renewals.get(name)
            if before and before[0] == told:
                renewals[name] = before
            elif at := moment(told):
                earliest = self._looked_at if before and self._looked_at else at
                renewals[name] = (told, min(max(at, earliest), now))
        self._renewals, self._looked_at = renewals, now
        return {name: at for name, (_, at) in renewals.items()}
