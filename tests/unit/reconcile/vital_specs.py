"""Specs, outcomes and moments for tests about vital state: one Prometheus, signals and SLOs on it, and time that passes while they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.reconcile import report
from cvstate_operator.reconcile.outcome import Outcome
from tests.unit.builders import artifact
from tests.unit.reconcile.fakes import Stage, spec

GOOD = "http_ok"
"""The good query of the SLO, as FakeTelemetry.samples has to name it."""
QUERY = "error_ratio"
ERRORS: Mapping[str, Any] = {"name": "errors", "query": QUERY, "max": "0.01"}
SLO: Mapping[str, Any] = {"name": "availability", "objective": "99.9", "good": GOOD, "total": "http_all"}
NAMED: Mapping[str, Any] = {"secretRef": {"name": "prometheus"}}


def vital(
    *,
    signals: Sequence[Mapping[str, Any]] = (),
    slos: Sequence[Mapping[str, Any]] = (),
    prometheus: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The value of spec.vital."""
    return {
        "prometheus": {"url": "http://prometheus:9090", **(prometheus or {})},
        "signals": [dict(one) for one in signals],
        "slos": [dict(one) for one in slos],
        **fields,
    }


def watching(*signals: Mapping[str, Any], slos: Sequence[Mapping[str, Any]] = (), **fields: Any) -> ClusterStateSpec:
    """A spec with these signals and SLOs."""
    return spec(vital=vital(signals=signals, slos=slos), **fields)


def converged(objects: int = 3, **changes: Any) -> Outcome:
    """A pass after which so many objects are as declared; of their health nothing is said, but by `changes`."""
    plain = Outcome(
        artifact=artifact(),
        url="https://git.example.com/a",
        source_error=None,
        rendered=None,
        evaluated=True,
        digest="sha256:d",
        desired=objects,
        members=objects,
        done=(),
        problems=(),
        next_pass_at=None,
    )
    return replace(plain, **changes)


class Life:
    """What an actor does with a Stage as time passes: it asks when something is due, and runs when there is news, or the pass before wanted to."""

    def __init__(self, stage: Stage, outcome: Outcome) -> None:
        self.stage = stage
        self.outcome = outcome
        self.passes = 0
        self.writes = 0
        """Passes after which the status was another one."""

    async def goes_on(self, seconds: float, *, step: float = 5.0) -> Outcome:
        """Time passes, a `step` at a time; the last outcome."""
        clock = self.stage.clock
        for _ in range(int(seconds / step)):
            clock.seconds += step
            at = self.stage.pipeline.ask_at(self.stage.spec)
            is_news = at is not None and at <= clock.seconds and await self.stage.ask()
            if is_news or (self.outcome.next_pass_at is not None and self.outcome.next_pass_at <= clock.seconds):
                await self.runs()
        return self.outcome

    async def runs(self) -> Outcome:
        """One pass."""
        before, now = self.stage.status, self.stage.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.outcome = await self.stage.run()
        self.stage.status = report.status(self.outcome, previous=before, generation=1, handled_at=None, now=now, is_full=False)
        self.passes += 1
        self.writes += self.stage.status != before
        return self.outcome

    async def commits(self, *bodies: dict[str, Any]) -> Outcome:
        """A commit is pushed, fetched and worked with."""
        self.outcome = await self.stage.commit(*bodies)
        return self.outcome

    async def restarts(self) -> Outcome:
        """The operator starts anew, fetches, and runs once; nothing was asked for yet."""
        self.stage.restart(status=self.stage.status)
        await self.stage.look()
        return await self.runs()
