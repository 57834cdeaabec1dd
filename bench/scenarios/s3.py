"""S3, an idle hour: n objects are as declared, and nobody changes anything.

An hour is put together from parts, so that it need not be waited for:

- **full looks** at everything, as many as the tool makes by itself in an hour; one is asked for and measured. Writes of a status are left out of it: they
  answer the request, and a look by the timer has none to answer;
- **comparisons** of everything that is known with what is declared, which ask for nothing, likewise. One is asked for by a change of the spec, so what is
  measured holds a look at the repository and the processor time of an answer too: the hour is rather too dear than too cheap;
- **silence** after that, for `idle_seconds` and until the next look at the repository, so that it holds whole pauses between these looks and one look for
  each, scaled to an hour. Tools spread the pauses, by a tenth to both sides, so over two of them the share of looks is right to some hundredths;
- **watches**: each that is open is asked for anew when the time is over that the tool asked for.

What the servers use by themselves is measured afterwards, when the tool has been stopped.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from bench import objects, response_bytes, tools
from bench.parameters import Parameters
from bench.results import Figures, Record
from bench.stage import Cost, Stage
from bench.tools import Tool
from tests.cluster.audit import Request

HOUR_SECONDS: Final = 3600.0
MOST_WITHOUT_SECONDS: Final = 30.0
"""How long the servers are watched without the tool: they are as busy all the time, and half a second of processor time is known to a fiftieth."""
SPREAD: Final = 1.5
"""How many times its usual pause a look at the repository is waited for at most: tools spread theirs by a tenth."""
LOOK_SECONDS: Final = 3.0
"""How long a look at the repository may take, processes that end included."""
DEFAULT_WATCH_SECONDS: Final = 2700.0
"""When the API server ends a watch that says nothing of it: after 30 to 60 minutes. Source: kube-apiserver, --min-request-timeout."""
_OF_MEMORY: Final = ("rss_bytes", "pss_bytes", "peak_rss_bytes", "peak_pss_bytes", "high_water_bytes")


@dataclass(frozen=True, slots=True)
class Phase:
    """What was measured in one part of the run."""

    cost: Cost
    asked: Sequence[Request]
    """What the tool asked for."""
    response_bytes: float


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`.

    Raises:
        NotOfferedError: the tool does only what it is told to.
        ValueError: it would look at everything by itself while it is watched.
    """
    tools.must_watch(tool)
    period, idle = min(tool.period_seconds, tool.compare_seconds), parameters.idle_seconds
    longest = idle if math.isinf(tool.source_seconds) else idle + SPREAD * tool.source_seconds
    if longest >= period:
        raise ValueError(f"{tool.name} goes over everything every {period:.0f} s; watch it for a shorter time than {longest:.0f} s")
    stage.prepare(tool, parameters)
    stage.converge(tool, objects.files(parameters.n, parameters.seed), parameters)
    stage.rest(tool, parameters)

    def done(order: Callable[[], None]) -> Phase:
        def act() -> None:
            order()
            stage.settle(tool, seconds=parameters.patience_seconds)

        return _phase(stage, tool, act)

    looking = done(tool.look)
    comparing = done(tool.compare) if math.isfinite(tool.compare_seconds) else None
    looks_before = len(stage.source_looks())
    silence = _phase(stage, tool, lambda: be_silent(stage, tool, idle))
    source_looks = len(stage.source_looks()) - looks_before
    watches = renewals_per_hour(stage.ground.cluster.audit.requests(user=tool.user))
    tool.stop()
    without = _phase(stage, tool, lambda: time.sleep(min(idle, MOST_WITHOUT_SECONDS)))
    idle_share = without.cost.figures["server_cpu_seconds"] / without.cost.figures["phase_seconds"]
    look = part(looking, idle_share, is_answer=_is_status)
    looks = [(look, tool.period_seconds)]
    if comparing:
        looks.append((part(comparing, idle_share, is_answer=_is_status), tool.compare_seconds))
    figures = {
        **per_hour(looks, part(silence, idle_share), watches, n=parameters.n, silence_seconds=silence.cost.figures["phase_seconds"]),
        "source_looks": float(source_looks),
        "silence_seconds": silence.cost.figures["phase_seconds"],
        **{f"{name}_per_look": value for name, value in look.items()},
        **{name: silence.cost.figures[name] for name in _OF_MEMORY},
    }
    return stage.record("S3", tool, parameters, figures, silence.cost.requests, main="requests_per_hour")


def be_silent(stage: Stage, tool: Tool, seconds: float) -> None:
    """Let so much time go by, and then until the tool has looked at the repository once more, if it does by itself."""
    time.sleep(seconds)
    if math.isinf(tool.source_seconds):
        return
    before, end = len(stage.source_looks()), time.monotonic() + SPREAD * tool.source_seconds
    while len(stage.source_looks()) == before and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(LOOK_SECONDS)


def _phase(stage: Stage, tool: Tool, act: Callable[[], None]) -> Phase:
    admin, audit = stage.ground.cluster.admin_kubeconfig, stage.ground.cluster.audit
    # The API server needs a tenth of a second to say its metrics, so that is asked outside of what is measured.
    mark, before = audit.mark(), response_bytes.read(admin)
    with stage.measured(tool) as cost:
        act()
        spent = cost()
    asked = audit.requests(mark, user=tool.user)
    return Phase(spent, asked, response_bytes.between(before, response_bytes.read(admin), asked))


def part(phase: Phase, idle_share: float, *, is_answer: Callable[[Request], bool] = lambda request: False) -> Figures:
    """Return what a phase has cost, without watches, and without what only answers us.

    Args:
        phase: as measured.
        idle_share: processor time of the servers for each second without the tool.
        is_answer: which requests the tool would not have made by itself.
    """
    asked = [request for request in phase.asked if request.verb != "watch" and not is_answer(request)]
    cost = phase.cost.figures
    return {
        "requests": float(len(asked)),
        "writes": float(sum(request.is_write for request in asked)),
        "response_bytes": phase.response_bytes,
        "cpu_seconds": cost["cpu_seconds"],
        "caused_cpu_seconds": max(0.0, cost["server_cpu_seconds"] - idle_share * cost["phase_seconds"]),
    }


def per_hour(looks: Sequence[tuple[Figures, float]], silence: Figures, watches: float, *, n: int, silence_seconds: float) -> Figures:
    """Return what an hour costs.

    Args:
        looks: `part` of each sort of full look, and seconds from one to the next; the first asks for everything.
        silence: `part` of some time without one.
        watches: requests of an hour that ask for a watch anew.
        n: declared objects.
        silence_seconds: how long that silence was.
    """
    hour = {
        name: value * HOUR_SECONDS / silence_seconds + sum(look[name] * HOUR_SECONDS / period for look, period in looks)
        for name, value in silence.items()
    }
    hour["requests"] += watches
    thousands = n / 1000
    return {
        **{f"{name}_per_hour": value for name, value in hour.items()},
        **{f"{name}_per_hour_and_1000": value / thousands for name, value in hour.items() if thousands},
        "watch_requests_per_hour": watches,
        "looks_per_hour": HOUR_SECONDS / looks[0][1],
    }


def renewals_per_hour(requests: Iterable[Request]) -> float:
    """Return how often in an hour watches are asked for anew, by the last request for each."""
    last: dict[tuple[str, ...], float] = {}
    for request in requests:
        if request.verb == "watch" and request.code == 200:
            where = urlsplit(request.uri)
            query = parse_qs(where.query)
            last[where.path, *query.get("labelSelector", ()), *query.get("fieldSelector", ())] = _seconds(query)
    return sum(HOUR_SECONDS / seconds for seconds in last.values())


def _seconds(query: Mapping[str, Sequence[str]]) -> float:
    return float(query.get("timeoutSeconds", ("0",))[0]) or DEFAULT_WATCH_SECONDS


def _is_status(request: Request) -> bool:
    return request.is_write and request.subresource == "status"
