"""Holdings: what a namespace was given, claims for volumes and quotas, reduced to what is counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.facts.quantity import quantity

OVER_NOTHING: Final = 2.0
"""Ratio of what is used of a quota of zero: there is none, so it is told as twice what is allowed."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The PersistentVolumeClaims of a namespace."""

    total: int = 0
    bound: int = 0
    unbound: str = ""
    """The first that is not, by name."""


def claims(live: Iterable[Mapping[str, Any]], before: Claims | None = None) -> Claims:
    """Count claims, a page of them after another. One whose phase cannot be read is not bound."""
    total, bound, unbound = (before.total, before.bound, before.unbound) if before else (0, 0, "")
    for one in live:
        total += 1
        phase, name = _phase_and_name(one)
        if phase == "Bound":
            bound += 1
        elif not unbound or name < unbound:
            unbound = name
    return Claims(total, bound, unbound)


def _phase_and_name(live: Mapping[str, Any]) -> tuple[str, str]:
    try:
        claim = Fields.of(live)
        return claim.below("status").text("phase"), claim.below("metadata").text("name")
    except MalformedError:
        return "", ""


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """The resource of one ResourceQuota that is used most."""

    quota: str
    resource: str
    """As the quota names it, for example requests.cpu; empty if it limits nothing, or what is used was not told yet."""
    ratio: float
    """Used to hard; 0 and above. None used of none allowed is 0."""
    is_told: bool
    """Whether the quota controller told what is used of everything that the newest spec limits."""


def quota_use(live: Mapping[str, Any]) -> QuotaUse | None:
    """How far a ResourceQuota is used; None if it limits nothing.

    Source: Kubernetes API reference, ResourceQuotaStatus: `hard` is the set of limits that `used` is counted for.
    """
    name = ""
    try:
        found = Fields.of(live)
        name = found.below("metadata").text("name")
        limits = found.below("spec").below("hard").values
        if not limits:
            return None
        hard, used = found.below("status").below("hard").values, found.below("status").below("used").values
    except MalformedError:
        return QuotaUse(name, "", 0.0, is_told=False)
    ratios = {str(resource): ratio for resource in limits if (ratio := _ratio(used.get(resource), hard.get(resource))) is not None}
    worst = max(sorted(ratios), key=lambda resource: ratios[resource], default="")
    return QuotaUse(name, worst, ratios.get(worst, 0.0), is_told=len(ratios) == len(limits))


def _ratio(used: Any, hard: Any) -> float | None:
    """None if either is not told."""
    amount, limit = quantity(used), quantity(hard)
    if amount is None or limit is None:
        return None
    if limit <= 0:
        return OVER_NOTHING if amount > 0 else 0.0
    return float(max(amount, Decimal(0)) / limit)
