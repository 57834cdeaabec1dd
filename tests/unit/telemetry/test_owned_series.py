"""Series of ClusterStates. Aspects: they go with their owner and with nobody else · values that are not known · values that end · cost."""

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cvstate_operator.telemetry.owned_series import OwnedSeries

SHOP, BANK = ("team", "shop"), ("team", "bank")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def own(registry: CollectorRegistry) -> OwnedSeries:
    return OwnedSeries(registry)


def series(registry: CollectorRegistry) -> dict[str, float]:
    """What is exposed, by name and labels."""
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#") and "_created" not in line]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_all_series_of_one_go_and_no_others(registry: CollectorRegistry, own: OwnedSeries) -> None:
    plain, by_kind = own.gauge("a", "A.", "kind"), own.counter("b", "B.")
    took = own.histogram("c", "C.", (1.0,), "action")
    for owner in (SHOP, BANK):
        own.of(plain, owner, "Pod").set(1)
        own.of(plain, owner, "Node").set(2)
        own.of(by_kind, owner).inc()
        own.of(took, owner, "Auto").observe(0.1)
    before = {line: value for line, value in series(registry).items() if "bank" in line}
    own.forget(SHOP)
    assert series(registry) == before
    assert len(before) == 2 + 1 + 4


def test_what_is_counted_after_a_predecessor_went_is_there_and_goes_too(registry: CollectorRegistry, own: OwnedSeries) -> None:
    counter = own.counter("a", "A.", "kind")
    own.of(counter, SHOP, "Pod").inc()
    own.forget(SHOP)
    own.of(counter, SHOP, "Pod").inc()
    assert list(series(registry).values()) == [1.0]
    own.forget(SHOP)
    assert series(registry) == {}


def test_one_that_was_never_told_of_may_be_forgotten(own: OwnedSeries) -> None:
    own.gauge("a", "A.")
    own.forget(SHOP)


def test_a_value_that_is_not_known_has_no_series(registry: CollectorRegistry, own: OwnedSeries) -> None:
    gauge = own.gauge("a", "A.")
    own.set(gauge, SHOP, None)
    own.set(gauge, SHOP, 0.0)
    assert list(series(registry).values()) == [0.0]
    own.set(gauge, SHOP, None)
    assert series(registry) == {}


def test_only_the_values_that_hold_now_have_series(registry: CollectorRegistry, own: OwnedSeries) -> None:
    gauge = own.gauge("a", "A.", "reason")
    own.only(gauge, SHOP, {("One",): 1, ("Two",): 2})
    own.only(gauge, SHOP, {("Two",): 3, ("Three",): 4})
    own.only(gauge, BANK, {("One",): 5})
    assert series(registry) == {
        'cvstate_a{name="shop",namespace="team",reason="Two"}': 3,
        'cvstate_a{name="shop",namespace="team",reason="Three"}': 4,
        'cvstate_a{name="bank",namespace="team",reason="One"}': 5,
    }


def test_counts_that_are_no_more_are_zero(registry: CollectorRegistry, own: OwnedSeries) -> None:
    gauge = own.gauge("a", "A.", "result")
    own.counts(gauge, SHOP, {"Bad": 2})
    own.counts(gauge, SHOP, {"Good": 1})
    assert sorted(series(registry).values()) == [0.0, 1.0]


def cost(owners: int) -> float:
    """CPU seconds to forget ten of so many owners, the least of a few."""
    own = OwnedSeries(CollectorRegistry())
    gauges = [own.gauge(f"g{letter}", "G.", "reason") for letter in "abcdefgh"]
    found = []
    for attempt in range(3):
        for number in range(owners):
            for gauge in gauges:
                own.of(gauge, ("team", f"n{number}"), "One").set(1)
        began = time.process_time()
        for number in range(attempt, attempt + 10):
            own.forget(("team", f"n{number}"))
        found.append(time.process_time() - began)
    return min(found)


def test_to_forget_one_costs_no_more_when_there_are_many() -> None:
    assert cost(3000) < 10 * cost(30)
