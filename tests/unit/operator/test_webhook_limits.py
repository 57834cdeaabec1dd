"""The limits of the push webhook, on a clock of their own.

Aspects: bursts and rates · one address against all · which addresses are one sender · what is remembered, for how long, and how much of it.
"""

import pytest

from cvstate_operator.operator import webhook_limits as limits
from cvstate_operator.operator.webhook_limits import Seen, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def passed(throttle: Throttle, address: str, times: int) -> int:
    return sum(throttle.take(address) == 0 for _ in range(times))


def test_one_address_has_a_burst_and_then_its_rate(clock: Clock) -> None:
    throttle = Throttle(clock)
    assert passed(throttle, "192.0.2.1", 1000) == limits.BURST_PER_ADDRESS
    clock.now += 3
    assert passed(throttle, "192.0.2.1", 1000) == 3 * limits.PER_SECOND_PER_ADDRESS


def test_an_address_over_its_limit_leaves_the_rest_to_others(clock: Clock) -> None:
    throttle = Throttle(clock)
    passed(throttle, "192.0.2.1", 5000)
    assert passed(throttle, "192.0.2.2", 100) == 100


def test_many_addresses_share_one_limit(clock: Clock) -> None:
    throttle = Throttle(clock)
    assert sum(passed(throttle, f"192.0.2.{n}", 10) for n in range(200)) == limits.BURST
    clock.now += 2
    assert sum(passed(throttle, f"192.0.2.{n}", 10) for n in range(200)) == 2 * limits.PER_SECOND


def test_the_wait_is_told_in_whole_seconds_and_is_enough(clock: Clock) -> None:
    throttle = Throttle(clock)
    passed(throttle, "192.0.2.1", limits.BURST_PER_ADDRESS)
    wait = throttle.take("192.0.2.1")
    assert wait >= 1
    clock.now += wait
    assert throttle.take("192.0.2.1") == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("unix", ""),
    ],
)
def test_addresses_of_one_sender_share_its_limit(clock: Clock, a: str, b: str) -> None:
    throttle = Throttle(clock)
    passed(throttle, a, limits.BURST_PER_ADDRESS)
    assert throttle.take(b) > 0


@pytest.mark.parametrize(("a", "b"), [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("192.0.2.1", "192.0.2.2")])
def test_addresses_of_two_senders_do_not(clock: Clock, a: str, b: str) -> None:
    throttle = Throttle(clock)
    passed(throttle, a, limits.BURST_PER_ADDRESS)
    assert throttle.take(b) == 0


def test_the_memory_of_addresses_is_bounded(clock: Clock) -> None:
    throttle = Throttle(clock)
    for n in range(3 * limits.MAX_ADDRESSES):
        throttle.take(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(throttle) == limits.MAX_ADDRESSES


def test_a_delivery_is_new_once_and_again_after_a_day(clock: Clock) -> None:
    seen = Seen(clock)
    assert [seen.add(b"a"), seen.add(b"a"), seen.add(b"b")] == [True, False, True]
    clock.now += limits.SEEN_SECONDS - 1
    assert not seen.add(b"a")
    clock.now += 1
    assert seen.add(b"a")


def test_the_memory_of_deliveries_is_bounded_and_forgets_the_oldest(clock: Clock) -> None:
    seen = Seen(clock)
    for n in range(limits.MAX_SEEN + 5):
        assert seen.add(n.to_bytes(32, "big"))
    assert len(seen) == limits.MAX_SEEN
    assert not seen.add((limits.MAX_SEEN + 4).to_bytes(32, "big"))
    assert seen.add((0).to_bytes(32, "big"))
