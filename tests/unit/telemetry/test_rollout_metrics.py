"""Metrics of roll-outs. Aspects: each end counts once, over restarts too · what is no roll-out · there and back · lead time · convergence of objects."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan.history import History
from cvstate_operator.telemetry.rollout_metrics import KindWords, RolloutMetrics, Rollouts, Step

SHOP = ("team", "shop")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"main@sha1:{letter * 40}" for letter in "abc")
APP = ObjectRef("apps", "Deployment", "web", "api")
MAP = ObjectRef("", "ConfigMap", "web", "settings")
_OWNER = 'name="shop",namespace="team",'


class Watched:
    """The roll-outs of one ClusterState with a real history, and what is counted of them."""

    def __init__(self, *, recalled: bool = True) -> None:
        self._registry = CollectorRegistry()
        self._metrics = RolloutMetrics(self._registry, KindWords())
        self._metrics.begin(SHOP)
        self.history = History()
        self.now = NOON
        self.seconds = 1000.0
        self.restart(recalled=recalled)

    def restart(self, *, recalled: bool = True) -> None:
        """Another life of the operator; the counters go on, so that one can see what is counted twice."""
        self._rollouts = Rollouts(self._metrics, SHOP, clock=lambda: self.seconds)
        if recalled:
            self._rollouts.recall(self.history.entries)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def begin(self, revision: str, *, digest: str, is_same: bool = False) -> None:
        self.history.begin(revision, self.now, limit=10, is_same=is_same)
        self.history.describe(digest=digest, uid="u")

    def told(self, *, committed_at: datetime | None = None, **step: object) -> None:
        """A pass ends."""
        self._rollouts.follow(Step(tuple(self.history.entries), committed_at, **step))  # type: ignore[arg-type]

    def deploy(self, revision: str, *, digest: str) -> None:
        """A roll-out of a minute that succeeds, in two passes."""
        self.begin(revision, digest=digest)
        self.told()
        self.wait(60)
        self.history.applied(self.now, healthy=True)
        self.told()

    def exposed(self, start: str) -> dict[str, float]:
        """Samples that begin so, by name and labels without the owner."""
        lines = [line for line in generate_latest(self._registry).decode().splitlines() if line.startswith(f"cvstate_{start}")]
        return {line.rpartition(" ")[0].replace(_OWNER, ""): float(line.rpartition(" ")[2]) for line in lines}

    def ended(self) -> dict[str, float]:
        """Roll-outs by action and result, those that happened."""
        found = self.exposed("rollouts_total")
        return {" ".join(series.split('"')[1::2]): value for series, value in found.items() if value}


def test_a_rollout_counts_once_when_it_ends() -> None:
    watched = Watched()
    watched.begin(FIRST, digest="one")
    watched.told()
    assert watched.ended() == {}
    watched.wait(60)
    watched.history.applied(watched.now, healthy=False)
    watched.told()
    assert watched.ended() == {}
    watched.history.applied(watched.now, healthy=True)
    watched.told()
    watched.told()
    assert watched.ended() == {"NewRevision Healthy": 1}


def test_one_that_begins_and_ends_within_a_pass_counts() -> None:
    watched = Watched()
    watched.begin(FIRST, digest="one")
    watched.wait(0.2)
    watched.history.applied(watched.now, healthy=True)
    watched.told()
    assert watched.ended() == {"NewRevision Healthy": 1}


def test_a_restart_counts_nothing_twice_and_loses_no_end() -> None:
    watched = Watched()
    watched.deploy(FIRST, digest="one")
    watched.begin(SECOND, digest="two")
    watched.told()
    watched.restart()
    watched.wait(60)
    watched.history.applied(watched.now, healthy=True)
    watched.told()
    assert watched.ended() == {"NewRevision Healthy": 2}


def test_what_was_over_before_anybody_looked_is_not_counted() -> None:
    watched = Watched(recalled=False)
    watched.begin(FIRST, digest="one")
    watched.history.applied(watched.now, healthy=True)
    watched.told()
    assert watched.ended() == {}


def test_one_that_is_given_up_and_the_way_back_are_told_apart() -> None:
    watched = Watched()
    watched.deploy(FIRST, digest="one")
    watched.begin(SECOND, digest="two")
    watched.told()
    watched.wait(300)
    watched.history.quarantine("b" * 40, "not healthy", watched.now)
    watched.told()
    watched.deploy(FIRST, digest="one")
    assert watched.ended() == {"NewRevision Healthy": 1, "NewRevision Unhealthy": 1, "Rollback Healthy": 1}


def test_one_that_a_newer_overtakes_is_superseded() -> None:
    watched = Watched()
    watched.begin(FIRST, digest="one")
    watched.told()
    watched.wait(5)
    watched.deploy(SECOND, digest="two")
    assert watched.ended() == {"NewRevision Superseded": 1, "NewRevision Healthy": 1}


def test_a_commit_that_declares_the_same_is_no_rollout() -> None:
    watched = Watched()
    watched.deploy(FIRST, digest="one")
    watched.begin(SECOND, digest="one", is_same=True)
    watched.told(committed_at=watched.now)
    assert watched.ended() == {"NewRevision Healthy": 1}


def test_while_one_is_under_way_its_beginning_is_told() -> None:
    watched = Watched()
    watched.begin(FIRST, digest="one")
    watched.told()
    assert list(watched.exposed("rollout_began_timestamp_seconds").values()) == [NOON.timestamp()]
    watched.history.applied(watched.now, healthy=True)
    watched.told()
    assert watched.exposed("rollout_began_timestamp_seconds") == {}


def test_lead_time_is_from_the_commit_to_health() -> None:
    watched = Watched()
    watched.begin(FIRST, digest="one")
    watched.wait(60)
    watched.history.applied(watched.now, healthy=True)
    watched.told(committed_at=NOON - timedelta(seconds=30))
    assert list(watched.exposed("last_change_lead_time_seconds").values()) == [90]
    assert watched.exposed("change_lead_time_seconds_sum") == {"cvstate_change_lead_time_seconds_sum": 90}


@pytest.mark.parametrize(
    ("committed_at", "counted"),
    [pytest.param(None, 0, id="the commit is not known"), pytest.param(NOON + timedelta(hours=1), 1, id="a committer's clock is ahead")],
)
def test_lead_time_is_never_negative_and_never_guessed(committed_at: datetime | None, counted: int) -> None:
    watched = Watched()
    watched.begin(FIRST, digest="one")
    watched.wait(60)
    watched.history.applied(watched.now, healthy=True)
    watched.told(committed_at=committed_at)
    assert watched.exposed("change_lead_time_seconds_count") == {"cvstate_change_lead_time_seconds_count": counted}
    assert watched.exposed("change_lead_time_seconds_sum") == {"cvstate_change_lead_time_seconds_sum": 0}


def test_an_object_without_health_converges_when_it_is_written() -> None:
    watched = Watched()
    watched.told(written={MAP: 0.3})
    watched.told()
    assert watched.exposed("convergence_seconds_sum") == {'cvstate_convergence_seconds_sum{kind="ConfigMap"}': pytest.approx(0.3)}
    assert watched.exposed("convergence_seconds_count") == {'cvstate_convergence_seconds_count{kind="ConfigMap"}': 1}


def test_one_that_is_not_ready_yet_converges_when_it_is() -> None:
    watched = Watched()
    watched.told(written={APP: 1.0}, unready=lambda: [APP])
    watched.wait(20)
    watched.told(unready=lambda: [APP])
    assert watched.exposed("convergence_seconds_count") == {}
    watched.wait(10)
    watched.told()
    watched.told()
    assert watched.exposed("convergence_seconds_sum") == {'cvstate_convergence_seconds_sum{kind="Deployment"}': 31}


def test_one_that_cannot_be_seen_is_waited_for() -> None:
    watched = Watched()
    watched.told(written={APP: 0.0}, blind=[GroupKind("apps", "Deployment")])
    watched.wait(5)
    assert watched.exposed("convergence_seconds_count") == {}
    watched.told()
    assert watched.exposed("convergence_seconds_sum") == {'cvstate_convergence_seconds_sum{kind="Deployment"}': 5}


def test_one_that_is_deleted_before_it_was_ready_never_converged() -> None:
    watched = Watched()
    watched.told(written={APP: 0.0}, unready=lambda: [APP])
    watched.told(gone=[APP])
    assert watched.exposed("convergence_seconds_count") == {}


def test_nobody_is_asked_what_is_ready_while_nothing_is_waited_for() -> None:
    def asked() -> list[ObjectRef]:
        raise AssertionError("nothing was written")

    Watched().told(unready=asked)
