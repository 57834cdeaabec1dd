"""Readiness of objects that stand for something in a cloud, of kinds that nobody can list.

Aspects: Crossplane's Synced beside Ready · conditions of the AWS Controllers for Kubernetes.
"""

from typing import Any

import pytest

from cvstate_operator.vital.health.state import Reason, Status
from tests.unit.vital.health.table import CURRENT, FAILED, IN_PROGRESS, check, row
from tests.unit.vital.objects import condition, live, widget

READY = condition("Ready", "True", "Available")
NOT_APPLIED = condition("Synced", "False", "ReconcileError", "update failed: InvalidParameterValue")
TERMINAL = condition("ACK.Terminal", "True", "", "InvalidParameterValue: engine version")

PROVIDED = [
    row("ready and applied", widget(READY, condition("Synced", "True", "ReconcileSuccess")), CURRENT, Reason.READY, "Ready is True"),
    row("ready by an older spec", widget(READY, NOT_APPLIED), IN_PROGRESS, Reason.NOT_READY, "Synced is False: update failed"),
    row("ready, not told whether applied", widget(READY, condition("Synced", "Unknown")), CURRENT, Reason.READY),
    row("ready and paused", widget(READY, condition("Synced", "False", "ReconcilePaused")), CURRENT, Reason.READY, "Ready is True"),
    row("being made", widget(condition("Ready", "False", "Creating"), NOT_APPLIED), IN_PROGRESS, Reason.NOT_READY, "Ready is False"),
    row("applied, and nothing else told", widget(NOT_APPLIED), CURRENT, Reason.NO_KNOWN_CONDITION),
    row("ACK resource in sync", widget(condition("ACK.ResourceSynced", "True")), CURRENT, Reason.READY),
    row("ACK resource not in sync", widget(condition("ACK.ResourceSynced", "False", "", "creating")), IN_PROGRESS, Reason.NOT_READY, "creating"),
    row("ACK resource refused", widget(condition("ACK.ResourceSynced", "True"), TERMINAL), FAILED, Reason.SPEC_REFUSED, "engine version"),
    row("ACK resource refused before", widget(READY, TERMINAL | {"status": "False"}), CURRENT, Reason.READY),
    row("ACK resource refused, of an older spec", live("rds.services.k8s.aws/v1alpha1", "DBInstance", status={"conditions": [TERMINAL], "observedGeneration": 1}, generation=2), IN_PROGRESS, Reason.NOT_OBSERVED),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "status", "reason", "told"), PROVIDED)
def test_what_a_provider_says_of_the_newest_spec_counts(obj: Any, status: Status, reason: Reason, told: str) -> None:
    check(obj, status, reason, told)
