"""What becomes of the dependents of an object that is deleted.

Aspects: the spec says it, and an annotation on the object otherwise · an object that waits for its dependents is on its way out: told, not deleted again,
and Ready is not True · the same when the ClusterState is deleted.
"""

import pytest

from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.reconcile import teardown_stage
from tests.unit.builders import body, ref
from tests.unit.reconcile.fakes import Stage, spec

A, B = body("a", data={"colour": "blue"}), body("b", data={"colour": "blue"})
OPTIONS = "argocd.argoproj.io/sync-options"


async def staged(policy: str = "", option: str = "") -> Stage:
    """Two objects; what is to become of dependents by the spec, and by the annotation of the second one."""
    stage = Stage()
    stage.spec = spec(prune={"maxPercent": 100, **({"propagationPolicy": policy} if policy else {})})
    annotated = {**B, "metadata": {**B["metadata"], "annotations": {OPTIONS: f"PrunePropagationPolicy={option}"}}} if option else B
    await stage.commit(A, annotated)
    return stage


@pytest.mark.parametrize(
    ("policy", "option", "expected"),
    [
        pytest.param("", "", "Background", id="default"),
        pytest.param("Foreground", "", "Foreground", id="spec"),
        pytest.param("Orphan", "", "Orphan", id="spec-orphan"),
        pytest.param("", "foreground", "Foreground", id="annotation"),
        pytest.param("Foreground", "background", "Background", id="annotation-wins"),
        pytest.param("Foreground", "sideways", "Foreground", id="annotation-that-is-not-known"),
    ],
)
async def test_the_spec_says_it_and_an_annotation_otherwise(policy: str, option: str, expected: str) -> None:
    stage = await staged(policy, option)
    await stage.settle(await stage.commit(A))
    assert stage.cluster.propagations == [("b", PropagationPolicy(expected))]


async def test_an_object_that_waits_for_its_dependents_is_not_gone() -> None:
    stage = await staged("Foreground")
    outcome = await stage.settle(await stage.commit(A))
    assert (outcome.is_converged, stage.ready()) == (False, ("Unknown", "Progressing"))
    for _ in range(2):
        outcome = await stage.run(full=True)
        assert (stage.names(), outcome.is_converged, stage.ready()) == ({"a", "b"}, False, ("Unknown", "Progressing"))
        assert "kept by finalizers foregroundDeletion" in stage.message()
    assert len(stage.cluster.propagations) == 1
    stage.cluster.delete(ref("b"))
    assert ((await stage.run()).is_converged, stage.ready()) == (True, ("True", "Reconciled"))


async def test_it_goes_with_its_clusterstate_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teardown_stage, "AGREEING_SECONDS", 0.0)
    stage = await staged("Foreground", "background")
    for _ in range(2):
        left = (await stage.pipeline.tear_down(stage.spec)).left
    assert [one.name for one in left] == ["a"]
    assert sorted(stage.cluster.propagations) == [("a", PropagationPolicy.FOREGROUND), ("b", PropagationPolicy.BACKGROUND)]
    stage.cluster.delete(ref("a"))
    assert (await stage.pipeline.tear_down(stage.spec)).left == ()
