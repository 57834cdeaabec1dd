"""Cluster vitals against an API server that has no Pods: whose Pods are followed, and for how long. What is counted is in tests/integration/test_cluster_vitals.py.

Aspects: the share of one ClusterState · room for others · what is left behind · what is shared.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cvstate_operator.api.vital import Indicator
from cvstate_operator.kube import vitals as cluster_vitals
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.vitals import MAX_NAMESPACES, MAX_NAMESPACES_EACH, ClusterVitals
from cvstate_operator.vital.reading import Gap, Reading


class Empty:
    """An API server without Pods, which tells nothing more."""

    def __init__(self) -> None:
        self.followed: set[str] = set()
        """Namespaces of which there is a stream."""

    async def pages(self, path: str, *, params: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        yield {"metadata": {"resourceVersion": "1"}, "items": []}

    async def watch(self, path: str, *, params: dict[str, str], opened: Callable[[], None]) -> AsyncIterator[dict[str, Any]]:
        name = path.split("/")[4]
        self.followed.add(name)
        opened()
        try:
            await asyncio.Event().wait()
        finally:
            self.followed.discard(name)
        yield {}


@pytest.fixture
def server() -> Empty:
    return Empty()


@pytest.fixture
async def vitals(server: Empty) -> AsyncIterator[ClusterVitals]:
    made = ClusterVitals(server, ApiQuality())  # type: ignore[arg-type]
    yield made
    await made.close()


def names(of: str, count: int) -> frozenset[str]:
    return frozenset(f"{of}-{number}" for number in range(count))


async def asked(vitals: ClusterVitals, namespaces: frozenset[str], *, owner: str) -> Reading:
    found = await vitals.read(Indicator.RESTARTS, namespaces, owner=owner, max_age_seconds=30)
    for _ in range(3):
        await asyncio.sleep(0)  # streams begin, and end
    return found


async def test_one_cluster_state_has_its_share_and_no_more(vitals: ClusterVitals, server: Empty) -> None:
    assert (await asked(vitals, names("a", MAX_NAMESPACES_EACH), owner="a")).gap is None
    found = await asked(vitals, names("b", MAX_NAMESPACES_EACH + 1), owner="b")
    assert (found.gap, f"in {MAX_NAMESPACES_EACH} namespaces of a ClusterState" in found.message) == (Gap.TOO_MANY_SERIES, True)
    assert server.followed == names("a", MAX_NAMESPACES_EACH)


async def test_who_moves_from_namespace_to_namespace_takes_no_room_from_others(vitals: ClusterVitals, server: Empty) -> None:
    for number in range(2 * MAX_NAMESPACES // MAX_NAMESPACES_EACH):
        assert (await asked(vitals, names(f"a{number}", MAX_NAMESPACES_EACH), owner="a")).gap is None
        assert server.followed == names(f"a{number}", MAX_NAMESPACES_EACH)
    assert (await asked(vitals, names("b", MAX_NAMESPACES_EACH), owner="b")).gap is None


async def test_who_grows_too_large_takes_nothing_more_and_may_shrink_again(vitals: ClusterVitals, server: Empty) -> None:
    await asked(vitals, names("a", MAX_NAMESPACES_EACH), owner="a")
    await asked(vitals, names("a", MAX_NAMESPACES_EACH + 1), owner="a")
    assert server.followed == names("a", MAX_NAMESPACES_EACH)
    await asked(vitals, names("b", MAX_NAMESPACES_EACH), owner="a")
    assert server.followed == names("b", MAX_NAMESPACES_EACH)


async def test_all_together_have_the_whole_and_no_more(vitals: ClusterVitals) -> None:
    for number in range(MAX_NAMESPACES // MAX_NAMESPACES_EACH):
        assert (await asked(vitals, names(f"a{number}", MAX_NAMESPACES_EACH), owner=f"a{number}")).gap is None
    found = await asked(vitals, names("b", 1), owner="b")
    assert (found.gap, f"in {MAX_NAMESPACES} namespaces of all" in found.message) == (Gap.TOO_MANY_SERIES, True)
    assert (await asked(vitals, names("a0", 3), owner="b")).gap is None, "what others have followed costs nothing"


async def test_a_namespace_that_is_left_for_a_moment_is_not_listed_anew(vitals: ClusterVitals, server: Empty) -> None:
    await asked(vitals, names("a", 2), owner="a")
    await asked(vitals, names("a", 1), owner="a")
    assert server.followed == names("a", 2)


async def test_what_two_have_followed_is_not_lost_when_one_moves_on(vitals: ClusterVitals, server: Empty) -> None:
    both = names("both", 3)
    for owner in ("a", "b"):
        await asked(vitals, both, owner=owner)
    await asked(vitals, names("a", MAX_NAMESPACES_EACH), owner="a")
    assert server.followed == both | names("a", MAX_NAMESPACES_EACH)


async def test_who_asks_no_more_holds_nothing(vitals: ClusterVitals, server: Empty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_vitals, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(cluster_vitals, "SWEEP_SECONDS", 0.01)
    await vitals.read(Indicator.RESTARTS, names("a", 3), owner="a", max_age_seconds=0)
    async with asyncio.timeout(10):
        while server.followed or vitals._held:
            await asyncio.sleep(0.01)
