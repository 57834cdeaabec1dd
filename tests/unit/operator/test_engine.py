"""The engine: which actor an event about a ClusterState concerns. Aspects: events about two objects of one name come in any
order · kinds that come into doubt are told to every actor."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.operator.engine import Engine
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.metrics import Metrics

CLUSTER_STATE = {"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState"}


class Recorded:
    """An actor that does nothing but remember what it was told."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.uid, self.namespace = body["metadata"]["uid"], body["metadata"]["namespace"]
        self.told: list[str] = []
        self.doubts: list[GroupKind] = []
        self.update(body)
        self.is_closed = False

    def update(self, body: dict[str, Any]) -> None:
        self.version = body["metadata"]["resourceVersion"]
        self.told.append(self.version)

    def reconsider(self) -> None:
        pass

    def heard(self, kinds: Collection[GroupKind]) -> None:
        self.doubts += kinds

    async def close(self, *, seconds: float) -> None:
        self.is_closed = True


def body(uid: str, version: int, **metadata: Any) -> dict[str, Any]:
    return {**CLUSTER_STATE, "metadata": {"name": "shop", "namespace": "team", "uid": uid, "resourceVersion": str(version), **metadata}}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(Settings(cache=tmp_path), None, Metrics(), None, ApiQuality())  # type: ignore[arg-type]
    monkeypatch.setattr(made, "_make", lambda owner, told: Recorded(told))
    return made


def actor(engine: Engine) -> Any:
    (found,) = engine._actors.values()
    return found


async def test_events_about_one_clusterstate_go_to_its_actor(engine: Engine) -> None:
    engine.observed(body("a", 1))
    engine.observed(body("a", 2))
    assert actor(engine).told == ["1", "2"]
    engine.deleted(body("a", 3))
    assert engine._actors == {}


async def test_another_one_of_the_name_has_an_actor_of_its_own(engine: Engine) -> None:
    engine.observed(body("a", 1))
    engine.observed(body("b", 3))
    assert (actor(engine).uid, actor(engine).told) == ("b", ["3"])


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(lambda engine: engine.deleted(body("a", 2)), id="deleted"),
        pytest.param(lambda engine: engine.observed(body("a", 2)), id="changed"),
        pytest.param(lambda engine: engine.observed(body("a", 2, deletionTimestamp="2026-01-01T00:00:00Z")), id="going"),
    ],
)
async def test_a_late_event_about_one_that_is_gone_does_not_concern_the_new_one(engine: Engine, late: Any) -> None:
    engine.observed(body("a", 1))
    engine.observed(body("b", 3))
    late(engine)
    assert (actor(engine).uid, actor(engine).told, actor(engine).is_closed) == ("b", ["3"], False)


async def test_a_kind_that_comes_into_doubt_is_told_to_every_actor(engine: Engine) -> None:
    engine.observed(body("a", 1))
    engine._heard(frozenset({GroupKind("", "ConfigMap")}))
    assert actor(engine).doubts == [GroupKind("", "ConfigMap")]
