"""S4, drift: while all is as declared, somebody changes objects at random times, and the tool puts right what is its own.

What is done to them is in `bench.drifts`. The clock of each drift runs from the moment its write was answered until the observer saw the object right
again; `sent_seconds` runs from when it was sent: whoever made the drift hears of it a little after the watches do, so the truth lies between the two, and
the report shows both. Fields that nobody declared are set too: they must stay, else the repair was false.

Then ten objects drift, the same ten again as soon as they are right, and ten others: a tool that slows down whoever comes again shows it here.

For tools that watch, or look at everything at least every LONGEST_PERIOD_SECONDS; for the others nothing would be measured but their interval.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench import comparison, count, drifter, drifts, gate, objects, statistics
from bench.drifts import Drift, Sort
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Stage
from bench.tools import NotOfferedError, Tool
from bench.witness import NotReachedError

VARIANTS: Final = ("20 per second", "100 per second")
TOOLS: Final = ("cvstate", "flux-60s")
LONGEST_PERIOD_SECONDS: Final = 60.0
MISSED_SECONDS: Final = 180.0
"""A drift that was not repaired so long after the last one was made is missed: three times the longest period."""
COMPANIONS: Final = 10
"""Objects that drift at the same moment, where it is asked what a second drift costs."""


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`."""
    if not tool.is_watching and tool.period_seconds > LONGEST_PERIOD_SECONDS:
        raise NotOfferedError(f"{tool.name} looks only every {tool.period_seconds:.0f} s")
    files = objects.files(parameters.n, parameters.seed)
    declared = objects.parse(files.values())
    plan = drifts.plan(declared, rate=_rate(parameters), seconds=parameters.drift_seconds, seed=parameters.seed)
    stage.prepare(tool, parameters)
    stage.converge(tool, files, parameters)
    stage.rest(tool, parameters)
    with stage.measured(tool) as cost:
        seen = _make(stage, plan)
        stage.settle(tool, seconds=parameters.patience_seconds)
        spent = cost()
    latencies = {path: latency for path, (_, latency) in seen.items()}
    repaired = [latency for latency in latencies.values() if latency is not None]
    missed = len(latencies) - len(repaired)
    false = _lost(stage, plan)
    figures = {
        **_of_latencies(plan, latencies),
        "sent_seconds": statistics.quantile([sent for sent, _ in seen.values() if sent is not None] or [0.0], 0.5),
        "drifts": float(len(plan)),
        "drifts_per_second": len(plan) / plan[-1].seconds,
        "missed": float(missed),
        "false_repairs": float(len(false)),
        "requests_per_drift": spent.figures["requests"] / len(latencies),
        "writes_per_drift": spent.figures["writes"] / len(latencies),
        "object_writes_per_drift": count.writes(spent.requests, objects.PLURALS) / len(latencies),
        "cpu_seconds_per_drift": spent.figures["cpu_seconds"] / len(latencies),
        "caused_cpu_seconds_per_drift": spent.figures["caused_cpu_seconds"] / len(latencies),
        **spent.figures,
    }
    if not missed:
        figures |= _repeated(stage, declared, plan)
    record = stage.record("S4", tool, parameters, figures, spent.requests, {"seconds": tuple(repaired)})
    faults = [f"{path}: drifted and was not repaired" for path, latency in latencies.items() if latency is None]
    faults += [f"{path}: a field that nobody declared was taken away" for path in false]
    return dataclasses.replace(record, faults=(*record.faults, *faults[: gate.MOST_FAULTS]))


def _rate(parameters: Parameters) -> float:
    return float((parameters.variant or VARIANTS[0]).partition(" ")[0])


def _make(stage: Stage, plan: Sequence[Drift]) -> dict[str, tuple[float | None, float | None]]:
    """Make drifts; URL path of what has to be repaired → seconds until it was, from sending and from the answer; None: it was missed."""
    wanted = {drift.path: drift.wanted for drift in plan if drift.sort is not Sort.UNDECLARED}
    order = stage.witness.expect(wanted, again=True)
    written = dict(zip((drift.path for drift in plan), drifter.drift(stage.ground.cluster.admin_kubeconfig, plan), strict=True))
    times: Sequence[float | None]
    try:
        times = stage.witness.wait(order, seconds=MISSED_SECONDS)
    except NotReachedError:
        times = stage.witness.times(order)
    return {
        path: (None, None) if seen is None else (seen - written[path].sent, seen - written[path].answered)
        for path, seen in zip(wanted, times, strict=True)
    }


def _of_latencies(plan: Sequence[Drift], latencies: Mapping[str, float | None]) -> dict[str, float]:
    """Median, p99 and longest of all that were repaired, and the median of each sort; without those of which there are none."""
    found: dict[str, float] = {}
    repaired = [latency for latency in latencies.values() if latency is not None]
    if repaired:
        found = {
            "seconds": statistics.quantile(repaired, 0.5),
            "p99_seconds": statistics.quantile(repaired, 0.99),
            "max_seconds": max(repaired),
        }
    for sort in Sort:
        some = [latency for drift in plan if drift.sort is sort and (latency := latencies.get(drift.path)) is not None]
        if some:
            found[f"{sort}_seconds"] = statistics.quantile(some, 0.5)
    return found


def _lost(stage: Stage, plan: Sequence[Drift]) -> list[str]:
    """URL paths of objects from which a field was taken that nobody declared."""
    strange = {drift.path: drift.wanted for drift in plan if drift.sort is Sort.UNDECLARED}
    live: list[Any] = stage.witness.state(list(strange))
    return [path for (path, wanted), body in zip(strange.items(), live, strict=True) if not comparison.holds(wanted, body)]


def _repeated(stage: Stage, declared: Mapping[str, objects.Body], plan: Sequence[Drift]) -> dict[str, float]:
    """Medians of a first drift of some objects, of a second of the same, and then of others."""
    drifted = {drift.path for drift in plan}
    fresh = (path for path in declared if path not in drifted)
    same, others = list(itertools.islice(fresh, COMPANIONS)), list(itertools.islice(fresh, COMPANIONS))
    found: dict[str, float] = {}
    for name, paths in (("first", same), ("second", same), ("other", others)):
        latencies = [latency for _, latency in _make(stage, drifts.edits(declared, paths, f"drift-{name}")).values()]
        repaired = [latency for latency in latencies if latency is not None]
        if repaired:
            found[f"{name}_drift_seconds"] = statistics.quantile(repaired, 0.5)
        found[f"{name}_drift_missed"] = float(len(latencies) - len(repaired))
    return found
