"""Indicators: what the operator counts itself, from looks at the cluster to one reading each. What they mean is fixed by `api.vital.Indicator`.

Input: looks of an adapter (kube/vitals.py), by namespace or of the whole cluster, and what the live index keeps of workloads. Output: a `Reading`, to be judged like
the answer to a query. A reading has one value, so `low` and `high` are the same; `low_series` and `high_series` name the object that counts most in it.

What could not be read is a gap, also if it is one namespace of many: a sum or a ratio of the rest would be a guess. A value is as old as its oldest part.

| indicator | nothing to count | value then |
|---|---|---|
| PodsReady | workloads ask for no Pods | 1: nothing is missing |
| PodsReady | no workloads | none (NoData) |
| Restarts, Evictions, PodsPending, SchedulingSeconds | it did not happen | 0 |
| NodesReady, VolumesBound, QuotaUsed | no nodes, claims, quotas | none (NoData) |
| NodesUnderPressure | no node tells anything | none (NoData) |
| APIErrors, APISeconds | no requests | none (NoData) |
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.cluster.holdings import Claims, QuotaUse
from cvstate_operator.vital.cluster.look import Found, Look, Seen, Unseen
from cvstate_operator.vital.cluster.node_facts import NodeFacts
from cvstate_operator.vital.cluster.pod_tally import PodCounts
from cvstate_operator.vital.facts.replicas import Replicas
from cvstate_operator.vital.reading import Gap, Reading, gap

LEASE_SECONDS: Final = 60.0
"""A Lease that was not renewed for longer means a silent kubelet: six renewals; the node controller waits 40 to 50 s (--node-monitor-grace-period)."""
STATUS_SECONDS: Final = 360.0
"""The same for the status of a node, which an idle kubelet writes every five minutes (nodeStatusReportFrequency), and a minute."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of the operator in the last five minutes, watches apart."""

    total: int
    """Those that we gave up ourselves are not counted."""
    failed: int
    """By the API server: 5xx, no answer in time, no answer at all."""
    seconds: float | None
    """Within which 99 % of the answers came, and of those that did not come in time; None if there were none."""
    newest_at: datetime | None
    """When the last of them ended, UTC; None if there were none."""


Looks = Mapping[str, Look[Found]]
"""By namespace."""


# -- Pods ------------------------------------------------------------------------------------------------------------------


def pods_ready(workloads: Iterable[Replicas], *, now: datetime) -> Reading:
    """Ready Pods of those that the workloads ask for, 0 to 1."""
    asked = tuple(workloads)
    if not asked:
        return gap(Gap.NO_DATA, "no workload is there that asks for Pods", asked_at=now)
    desired, ready = sum(one.desired for one in asked), sum(one.ready for one in asked)
    return _value(ready / desired if desired else 1.0, now, now)


def restarts(looks: Looks[PodCounts], *, now: datetime) -> Reading:
    """Container restarts in the last hour."""

    def summed(found: Mapping[str, PodCounts], as_of: datetime) -> Reading:
        most = max(sorted(found), key=lambda namespace: found[namespace].restarts)
        return _value(sum(one.restarts for one in found.values()), now, as_of, namespace=most, pod=found[most].restarted)

    return _joined(looks, summed, now)


def evictions(looks: Looks[PodCounts], *, now: datetime) -> Reading:
    """Pods evicted in the last hour."""

    def summed(found: Mapping[str, PodCounts], as_of: datetime) -> Reading:
        most = max(sorted(found), key=lambda namespace: found[namespace].evictions)
        return _value(sum(one.evictions for one in found.values()), now, as_of, namespace=most, pod=found[most].evicted)

    return _joined(looks, summed, now)


def pods_pending(looks: Looks[PodCounts], *, now: datetime) -> Reading:
    """Pods that have been waiting for a node for longer than a minute."""

    def summed(found: Mapping[str, PodCounts], as_of: datetime) -> Reading:
        most = max(sorted(found), key=lambda namespace: found[namespace].pending)
        return _value(sum(one.pending for one in found.values()), now, as_of, namespace=most, pod=found[most].longest_pending)

    return _joined(looks, summed, now)


def scheduling_seconds(looks: Looks[PodCounts], *, now: datetime) -> Reading:
    """The longest wait for a node in the last ten minutes, seconds."""

    def longest(found: Mapping[str, PodCounts], as_of: datetime) -> Reading:
        most = max(sorted(found), key=lambda namespace: found[namespace].longest_wait_seconds)
        return _value(found[most].longest_wait_seconds, now, as_of, namespace=most, pod=found[most].longest_waiting)

    return _joined(looks, longest, now)


# -- nodes -----------------------------------------------------------------------------------------------------------------


def nodes_ready(nodes: Look[tuple[NodeFacts, ...]], leases: Look[Mapping[str, datetime]], *, now: datetime) -> Reading:
    """Nodes that are Ready and whose heartbeat is younger than a minute, 0 to 1.

    Args:
        nodes: all of them.
        leases: when each was heard of by its Lease. If we may not read Leases, and for a node without one, the node's own status has to do: STATUS_SECONDS.
        now: UTC.
    """
    if isinstance(nodes, Unseen):
        return _gap(nodes, now)
    if isinstance(leases, Unseen) and leases.why is not Gap.REFUSED:
        return _gap(leases, now)
    if not nodes.found:
        return gap(Gap.NO_DATA, "the cluster has no nodes", asked_at=now, taken_at=nodes.as_of)

    def is_well(node: NodeFacts) -> bool:
        heard_at = leases.found.get(node.name) if isinstance(leases, Seen) else None
        if isinstance(leases, Seen) and heard_at:
            # By the moment of the look: a Lease does not get older by our not looking.
            return node.is_ready and leases.as_of - heard_at < timedelta(seconds=LEASE_SECONDS)
        return node.is_ready and node.heard_at is not None and nodes.as_of - node.heard_at < timedelta(seconds=STATUS_SECONDS)

    unwell = [node.name for node in nodes.found if not is_well(node)]
    as_of = min(nodes.as_of, leases.as_of) if isinstance(leases, Seen) else nodes.as_of
    return _value(1 - len(unwell) / len(nodes.found), now, as_of, node=unwell[0] if unwell else "")


def nodes_under_pressure(nodes: Look[tuple[NodeFacts, ...]], *, now: datetime) -> Reading:
    """Nodes that are short of something. A silent node cannot tell, and is not counted; NodesReady tells of it."""
    if isinstance(nodes, Unseen):
        return _gap(nodes, now)
    if not any(node.tells for node in nodes.found):
        return gap(Gap.NO_DATA, "no node tells whether it is short of anything", asked_at=now, taken_at=nodes.as_of)
    short = [node for node in nodes.found if node.pressures]
    worst = {"node": short[0].name, "condition": short[0].pressures[0]} if short else {}
    return _value(len(short), now, nodes.as_of, **worst)


# -- what namespaces were given --------------------------------------------------------------------------------------------


def volumes_bound(looks: Looks[Claims], *, now: datetime) -> Reading:
    """Bound PersistentVolumeClaims, 0 to 1."""

    def share(found: Mapping[str, Claims], as_of: datetime) -> Reading:
        total, bound = sum(one.total for one in found.values()), sum(one.bound for one in found.values())
        if not total:
            return gap(Gap.NO_DATA, "no PersistentVolumeClaims are there", asked_at=now, taken_at=as_of)
        first = next((namespace for namespace in sorted(found) if found[namespace].unbound), "")
        return _value(bound / total, now, as_of, namespace=first, persistentvolumeclaim=found[first].unbound if first else "")

    return _joined(looks, share, now)


def quota_used(looks: Looks[tuple[QuotaUse, ...]], *, now: datetime) -> Reading:
    """The highest ratio of used to hard. While one quota is not told in whole, the highest is not known."""

    def highest(found: Mapping[str, tuple[QuotaUse, ...]], as_of: datetime) -> Reading:
        uses = [(namespace, use) for namespace in sorted(found) for use in found[namespace]]
        if not uses:
            return gap(Gap.NO_DATA, "no ResourceQuotas are there", asked_at=now, taken_at=as_of)
        for namespace, use in uses:
            if not use.is_told:
                where = one_line(f"{namespace}/{use.quota}")
                return gap(Gap.NO_DATA, f"ResourceQuota {where} does not tell yet what is used", asked_at=now, taken_at=as_of)
        namespace, most = max(uses, key=lambda each: each[1].ratio)
        return _value(most.ratio, now, as_of, namespace=namespace, resourcequota=most.quota, resource=most.resource)

    return _joined(looks, highest, now)


# -- the API server --------------------------------------------------------------------------------------------------------


def api_errors(requests: Requests, *, now: datetime) -> Reading:
    """Requests that the API server failed, 0 to 1."""
    if not requests.total or requests.newest_at is None:
        return gap(Gap.NO_DATA, "the operator had nothing to ask of the API server", asked_at=now)
    return _value(requests.failed / requests.total, now, requests.newest_at)


def api_seconds(requests: Requests, *, now: datetime) -> Reading:
    """Seconds within which 99 % of requests were answered."""
    if requests.newest_at is None or requests.seconds is None:
        return gap(Gap.NO_DATA, "the API server answered nothing", asked_at=now, taken_at=requests.newest_at)
    return _value(requests.seconds, now, requests.newest_at)


# -- looks -----------------------------------------------------------------------------------------------------------------


def _joined(looks: Looks[Found], join: Callable[[Mapping[str, Found], datetime], Reading], now: datetime) -> Reading:
    """The reading of all namespaces together; a gap if one of them could not be read."""
    if not looks:
        return gap(Gap.NO_DATA, "there are no objects in a namespace", asked_at=now)
    found: dict[str, Found] = {}
    as_of = now
    unseen: dict[str, Unseen] = {}
    for namespace in sorted(looks):
        look = looks[namespace]
        if isinstance(look, Unseen):
            unseen[namespace] = look
        else:
            found[namespace], as_of = look.found, min(as_of, look.as_of)
    if not unseen:
        return join(found, as_of)
    # A refusal lasts until a person does something, so it is told first.
    first = min(unseen, key=lambda namespace: (unseen[namespace].why is not Gap.REFUSED, namespace))
    return _gap(unseen[first], now, where=f"namespace {first}: " if len(unseen) == 1 else f"namespace {first} and {len(unseen) - 1} more: ")


def _gap(look: Unseen, now: datetime, *, where: str = "") -> Reading:
    return gap(look.why, f"{where}{look.message}", asked_at=now, taken_at=look.as_of)


def _value(value: float, now: datetime, as_of: datetime, **labels: str) -> Reading:
    """One value; `labels` name the object that counts most, those without a value say that there is none."""
    series = ",".join(f'{label}="{one_line(name)}"' for label, name in labels.items()) if all(labels.values()) else ""
    told = f"{{{series}}}" if series else ""
    return Reading(now, low=float(value), high=float(value), taken_at=as_of, low_series=told, high_series=told)
