"""The next step: what a person does about one thing that pulls the score down. Input is an entry of `status.vital.pulls`; `cvstate status NAME` shows the answer."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cvstate_operator.api.vital import WINDOW_MARK, Indicator
from cvstate_operator.cli import budget_gate, layout
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.objectives.slo import State
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.verdicts.compliance import Doubt, Fault

QUERY_CHARACTERS: Final = 300
"""Of a query that is shown; a longer one is found in the spec."""

LATELY: Final = "5m"
"""The shorter of the two windows of the gate (vital.burn), so that it shows what goes on now."""

_DRIFT: Final = "see each field, and who wrote it: {diff}"
_UNREADY: Final = "see which Pods and containers, and why: {tree}"
_WORDS: Final[Mapping[str | None, str]] = {
    Fault.CRITICAL_DRIFT: _DRIFT,
    Fault.HIGH_DRIFT: _DRIFT,
    Fault.MEDIUM_DRIFT: _DRIFT,
    Fault.LOW_DRIFT: _DRIFT,
    Fault.NOT_APPLIED: "see what is wrong with each: {plan}",
    Fault.HELD: "see what holds them: {plan}",
    Fault.UNJUDGED: "have everything compared now: {reconcile}",
    Doubt.SOURCE_STALE: "SourceReady says why; once that is mended: {reconcile}",
    Doubt.UNSEEN: "see which kinds cannot be listed or are not told of any more, and let the operator list and watch them: {tree}",
    Level.FAILED: _UNREADY,
    Level.DEGRADED: _UNREADY,
    Level.MISSING: "see what is gone, and what keeps it from being made anew: {diff}",
    Level.UNKNOWN: "see what cannot be told, and why: {tree}",
}
_INDICATORS: Final[Mapping[str | None, str]] = {
    Indicator.PODS_READY: "see which Pods, and why: {tree}",
    Indicator.RESTARTS: "see which containers, and how they ended: {tree}",
    Indicator.EVICTIONS: "see which Pods: kubectl get events -A --field-selector reason=Evicted",
    Indicator.PODS_PENDING: "see which Pods, and what they wait for: kubectl get pods -A --field-selector status.phase=Pending",
    Indicator.SCHEDULING_SECONDS: "see which Pods, and what they wait for: kubectl get pods -A --field-selector status.phase=Pending",
    Indicator.NODES_READY: "see which nodes: kubectl get nodes",
    Indicator.NODES_UNDER_PRESSURE: "see which nodes, and what they lack: kubectl describe nodes",
    Indicator.VOLUMES_BOUND: "see which claims, and what they wait for: kubectl describe pvc -A",
    Indicator.QUOTA_USED: "see which quota is full: kubectl describe quota -A",
    Indicator.API_ERRORS: "see what the API server lacks: kubectl get --raw '/readyz?verbose'",
    Indicator.API_SECONDS: "see what the API server lacks: kubectl get --raw '/readyz?verbose'",
}
_SEES_QUERY: Final = "ask Prometheus for: {query}"
_SEES_RATIO: Final = "see what fails; ask Prometheus for: {query}"
_GAPS: Final[Mapping[str | None, str]] = {
    Gap.NOT_ASKED: "it is asked for in a moment; if it stays like this, see the operator's log",
    Gap.NO_DATA: "is anything scraped, and are the names right? ask Prometheus for: {query}",
    Gap.NOT_A_NUMBER: "often 0/0 without traffic (docs/signals.md, Queries that work); ask Prometheus for: {query}",
    Gap.STALE: "is it still scraped? see {url}/targets, and ask Prometheus for: {query}",
    Gap.UNREACHABLE: "see that this answers, and that the operator may connect to it: {url}",
    Gap.REFUSED: "mend the Secret of spec.vital.prometheus.secretRef{secret}, for {url}",
    Gap.QUERY_FAILED: "correct it, or make it cheaper: {query}",
    Gap.TOO_MANY_SERIES: "let the query add them up, as sum(...) or max(...): {query}",
}
_INDICATOR_GAP: Final = "docs/indicators.md, When the value is not known"


def step(name: str, item: Mapping[str, Any]) -> str:
    """What to do; one line, empty if nothing is known of the thing.

    Args:
        name: of a signal, of an SLO, or a word of Fault, Doubt or Level.
        item: the ClusterState as the API server gave it.
    """
    if name in (Fault.HELD, Fault.NOT_APPLIED) and (item.get("spec") or {}).get("suspend"):
        return f"nothing is written while it is suspended; let it go on: {layout.command('resume', item)}"
    if name == Fault.HELD and budget_gate.hold(item):
        return f"if the newest commit is what mends it, let it pass: {layout.command('approve', item, '--fix')}"
    if name in _WORDS:
        return _filled(_WORDS[name], item)
    return _of_slo(name, item) or _of_signal(name, item)


def _of_signal(name: str, item: Mapping[str, Any]) -> str:
    signal, told = _named(name, "signals", item)
    if signal is None:
        return ""
    gap, indicator = told.get("gap"), signal.get("indicator")
    if indicator and gap in _GAPS and gap != Gap.NOT_ASKED:
        return _INDICATOR_GAP
    return _filled(_GAPS.get(gap) or _INDICATORS.get(indicator) or _SEES_QUERY, item, query=signal.get("query"))


def _of_slo(name: str, item: Mapping[str, Any]) -> str:
    slo, told = _named(name, "slos", item)
    if slo is None or told.get("state") == State.MET:
        return ""
    return _filled(_GAPS.get(told.get("gap")) or _SEES_RATIO, item, query=_ratio(slo))


def _ratio(slo: Mapping[str, Any]) -> str:
    """PromQL for the share that is good, or fails, lately; in words that can be pasted."""
    series = slo.get("series") or {}
    if sloth := series.get("sloth"):
        return f'slo:sli_error:ratio_rate5m{{sloth_id="{sloth}"}}'
    if pyrra := series.get("pyrra"):
        return f'pyrra_availability{{slo="{pyrra}"}}'
    good, total = (str(slo.get(part) or "") for part in ("good", "total"))
    return " / ".join(q.replace(WINDOW_MARK, LATELY) if WINDOW_MARK in q else f"sum(increase({q}[{LATELY}]))" for q in (good, total))


def _named(name: str, where: str, item: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
    """A signal or SLO as the spec has it, and as the status tells it; None if the spec has none of this name, empty if nothing is told."""
    spec, status = ((item.get(part) or {}).get("vital") or {} for part in ("spec", "status"))
    return _first(name, spec.get(where)), _first(name, status.get(where)) or {}


def _first(name: str, entries: Iterable[Mapping[str, Any]] | None) -> Mapping[str, Any] | None:
    return next((one for one in entries or () if one.get("name") == name), None)


def _filled(template: str, item: Mapping[str, Any], *, query: Any = "") -> str:
    prometheus = ((item.get("spec") or {}).get("vital") or {}).get("prometheus") or {}
    secret = (prometheus.get("secretRef") or {}).get("name")
    return template.format(
        diff=layout.command("diff", item),
        tree=layout.command("tree", item, "--unhealthy"),
        plan=layout.command("plan", item),
        reconcile=layout.command("reconcile", item),
        # Queries are written over several lines.
        query=one_line(" ".join(str(query or "").split()), QUERY_CHARACTERS),
        url=one_line(str(prometheus.get("url") or ""), QUERY_CHARACTERS).rstrip("/"),
        secret=f" ({one_line(str(secret))})" if secret else "",
    )
