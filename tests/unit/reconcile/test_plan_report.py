"""The ClusterStatePlan that a person reads.

Aspects: what is told of each write, and how much.
"""

import pytest

from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan.consent import Item
from cvstate_operator.reconcile.outcome import Consent, Waits
from cvstate_operator.reconcile.plan_report import PRUNE_DETAIL, plan_body

OWNER = {"name": "shop", "namespace": "team-a", "uid": "u"}


def detail(action: PlanAction, text: str) -> str:
    """What a plan with one write says of it."""
    waits = Waits(Item(action, ObjectRef("", "ConfigMap", "web", "old"), "u1"), "Some", text)
    body = plan_body(Consent((waits,), "sha256:0"), name="p", revision="main@sha1:4c1f", owner=OWNER)
    return str(body["spec"]["items"][0].get("detail", ""))


@pytest.mark.parametrize(
    ("action", "text", "told"),
    [
        pytest.param(PlanAction.PRUNE, "3 of 9 would go; approve it", "3 of 9 would go", id="the-remedy-is-in-hand"),
        pytest.param(PlanAction.PRUNE, "", "", id="nothing"),
        pytest.param(PlanAction.DRIFT, "is 5 instead of 2; by hpa", "is 5 instead of 2; by hpa", id="drift-in-full"),
        pytest.param(PlanAction.RECREATE, "data: fixed; set it back", "data: fixed; set it back", id="recreate-in-full"),
    ],
)
def test_of_a_prune_only_the_reason_is_told_and_of_others_everything(action: PlanAction, text: str, told: str) -> None:
    assert detail(action, text) == told


def test_the_detail_of_a_prune_is_short() -> None:
    assert len(detail(PlanAction.PRUNE, "x" * 1000)) == PRUNE_DETAIL
