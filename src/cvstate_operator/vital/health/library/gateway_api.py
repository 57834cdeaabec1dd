"""Gateway API: classes, gateways and routes. Only conditions tell the generation, if at all, and those of a route stand once for each parent."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, entry, true

_GROUP: Final = "gateway.networking.k8s.io"
_NEW: Final = "(c.?observedGeneration.orValue(0) == 0 || c.observedGeneration >= self.metadata.generation)"
"""As of all kinds: one without a generation counts, since not every controller writes it."""
_ACCEPTED: Final = f"p.conditions.exists(c, c.type == 'Accepted' && c.status == 'True' && {_NEW})"
_RESOLVED: Final = f"p.conditions.exists(c, c.type == 'ResolvedRefs' && c.status == 'True' && {_NEW})"
_REFUSED: Final = (
    f"c.status == 'False' && {_NEW} && c.reason in ['UnsupportedValue', 'IncompatibleFilters', 'InvalidKind', 'UnsupportedProtocol']"
)
"""Reasons that neither a gateway nor a backend heals."""
_DROPPED: Final = f"c.type == 'PartiallyInvalid' && c.status == 'True' && {_NEW}"
"""Some rules of the route are left out, although Accepted is True."""

ENTRIES: Final[tuple[Entry, ...]] = (
    entry(
        _GROUP,
        "GatewayClass",
        current=true("Accepted"),
        failed=condition("Accepted", "False", "InvalidParameters", "Unsupported", "UnsupportedVersion"),
        ready="Accepted is True for the newest generation",
        broken="Accepted is False with InvalidParameters, Unsupported or UnsupportedVersion",
        source="Gateway API, v1 GatewayClassStatus: condition Accepted and its reasons",
    ),
    entry(
        _GROUP,
        "Gateway",
        current=both(true("Accepted"), true("Programmed")),
        failed=condition("Accepted", "False", "InvalidParameters", "UnsupportedAddress"),
        ready="Accepted and Programmed are True for the newest generation",
        broken="Accepted is False with InvalidParameters or UnsupportedAddress",
        source="Gateway API, v1 GatewayStatus: conditions Accepted, Programmed and their reasons",
    ),
    *(
        entry(
            _GROUP,
            kind,
            current=both(
                "size(self.status.parents) > 0 && size(self.status.parents) >= size(self.spec.parentRefs)",
                f"self.status.parents.all(p, {_ACCEPTED} && {_RESOLVED})",
            ),
            failed=f"self.status.parents.exists(p, p.conditions.exists(c, {_REFUSED} || {_DROPPED}))",
            ready="every parent says Accepted and ResolvedRefs for the newest generation",
            broken="a parent refuses a value, filter, kind or protocol that the spec asks for, or leaves rules out (PartiallyInvalid)",
            source=f"Gateway API, {version} RouteStatus: parents[].conditions and their reasons",
        )
        for kind, version in (("HTTPRoute", "v1"), ("GRPCRoute", "v1"), ("TLSRoute", "v1alpha2"), ("TCPRoute", "v1alpha2"))
    ),
)
