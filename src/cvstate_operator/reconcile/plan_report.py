"""The plan report: what waits for a person, as the ClusterStatePlan they read before they approve. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from cvstate_operator.api import names
from cvstate_operator.api.change_plan import MAX_DETAIL, MAX_ITEMS, PlanAction
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.consent import fingerprints
from cvstate_operator.reconcile.outcome import Consent, Waits

PRUNE_DETAIL: Final = 80
"""Characters of the detail of a prune: a plan lists up to 100 of them."""


def plan_body(consent: Consent, *, name: str, revision: str, owner: Mapping[str, str]) -> dict[str, Any]:
    """The whole object.

    Args:
        consent: what waits; not empty.
        name: of the plan.
        revision: of the commit it comes from.
        owner: name, namespace and uid of the ClusterState.
    """
    counted = Counter(one.item.action for one in consent.waits)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.CLUSTER_STATE_PLAN,
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "ownerReferences": [
                {"apiVersion": names.API_VERSION, "kind": names.CLUSTER_STATE, "name": owner["name"], "uid": owner["uid"]},
            ],
        },
        "spec": {
            "clusterState": owner["name"],
            "digest": consent.digest,
            "revision": revision,
            "counts": {action.value.lower(): counted[action] for action in PlanAction},
            "items": [_item(one) for one in consent.waits[:MAX_ITEMS]],
            "total": len(consent.waits),
            "fingerprints": fingerprints(one.item for one in consent.waits),
        },
    }


def _item(one: Waits) -> dict[str, Any]:
    # Prunes share their reason, and who reads a plan has the remedy in hand: only the object matters.
    detail = (
        one_line(one.detail.partition("; ")[0], PRUNE_DETAIL) if one.item.action is PlanAction.PRUNE else one_line(one.detail, MAX_DETAIL)
    )
    told = {
        "action": one.item.action.value,
        "object": str(one.item.ref),
        "path": one.item.path,
        "reason": one.reason,
        "detail": detail,
        "changes": list(one.changes),
    }
    return {key: value for key, value in told.items() if value}
