"""The teller of one ClusterState, on fakes of what it tells.

Aspects: what is told while an earlier status waits for its turn, or could not be written, follows from that one · the last word.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.operator import teller
from cvstate_operator.operator.teller import Teller, Voice
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.ports import Consents
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Metrics
from tests.unit.builders import ref
from tests.unit.operator.test_actor import Reporter
from tests.unit.reconcile.test_report import CONVERGED

DEGRADED = replace(CONVERGED, missing=(ref("a"),))
"""An object is not there, which Healthy tells."""
MAY_NOT = errors.ForbiddenError("may not patch ClusterStates; grant it")


class Refusing(Reporter):
    """One whose next statuses are refused."""

    refusals = 0

    async def write_status(self, status: Mapping[str, Any]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise MAY_NOT
        await super().write_status(status)


class Scene:
    """A teller that told of a first pass, in which all was well; what is new waits for its turn from now on."""

    def __init__(self) -> None:
        self.reporter, self.observed = Refusing(), list[Mapping[str, Any]]()
        voice = Voice(
            self.reporter,  # type: ignore[arg-type]
            ClusterStateMeter(Metrics(), namespace="default", name="state"),
            lambda: Consents(),
            TokenBucket(burst=9, per_second=9, now=0),
            observe=lambda status, **_: self.observed.append(status),
        )
        self.teller = Teller({}, voice, about=dict)

    async def tell(self, outcome: Outcome) -> None:
        await self.teller.tell(outcome, generation=1, handled_at=None, correlation_id="", seconds=0.1, is_full=True)

    def told(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition as it was written last."""
        return next((one["status"], one["reason"]) for one in self.reporter.statuses[-1]["conditions"] if one["type"] == kind)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    await scene.tell(CONVERGED)
    assert scene.told("Healthy") == ("True", "Healthy")
    monkeypatch.setattr(teller, "STATUS_SECONDS", 3600.0)
    return scene


async def test_an_announcement_takes_back_nothing_that_waits_for_its_turn(scene: Scene) -> None:
    await scene.tell(DEGRADED)
    assert scene.told("Healthy") == ("True", "Healthy"), "it waits"
    assert await scene.teller.announce("applying main@sha1:b", generation=1)
    assert (scene.told("Healthy"), scene.told("Ready")) == (("False", "Degraded"), ("Unknown", "Progressing"))


async def test_an_announcement_after_a_status_that_could_not_be_written_tells_what_that_said(scene: Scene) -> None:
    scene.reporter.refusals = 1
    with pytest.raises(errors.ForbiddenError):
        await scene.tell(replace(DEGRADED, released="now"))  # somebody waits for that, so it is told at once
    await scene.teller.announce("applying main@sha1:b", generation=1)
    assert scene.told("Healthy") == ("False", "Degraded")


async def test_since_when_something_is_wrong_is_not_later_because_its_status_was_not_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "_rfc3339", lambda: "2026-05-01T10:00:00Z")
    await scene.tell(DEGRADED)
    monkeypatch.setattr(teller, "_rfc3339", lambda: "2026-05-01T11:00:00Z")
    monkeypatch.setattr(teller, "STATUS_SECONDS", 0.0)
    await scene.tell(DEGRADED)
    (healthy,) = [one for one in scene.reporter.statuses[-1]["conditions"] if one["type"] == "Healthy"]
    assert (healthy["reason"], healthy["lastTransitionTime"]) == ("Degraded", "2026-05-01T10:00:00Z")
    assert scene.reporter.statuses[-1] == scene.observed[-1] == scene.observed[-2]


async def test_the_last_word_is_what_was_told_last_even_if_it_could_not_be_written_before(scene: Scene) -> None:
    scene.reporter.refusals = 1
    with pytest.raises(errors.ForbiddenError):
        await scene.tell(replace(DEGRADED, released="now"))
    await scene.teller.close()
    assert scene.told("Healthy") == ("False", "Degraded")


async def test_there_is_no_last_word_if_everything_is_written(scene: Scene) -> None:
    written = len(scene.reporter.statuses)
    await scene.tell(CONVERGED)
    await scene.teller.close()
    assert len(scene.reporter.statuses) == written
