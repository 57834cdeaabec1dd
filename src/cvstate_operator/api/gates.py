"""ClusterState, `spec.gates`: what holds new revisions back."""

from enum import StrEnum

from pydantic import Field

from cvstate_operator.api.model import ApiModel


class GateMode(StrEnum):
    """What a closed gate does."""

    HOLD = "Hold"
    """It holds what it is closed for."""
    WARN = "Warn"
    """It is told of, and nothing is held."""
    OFF = "Off"
    """It is not there."""


class GatePolicy(ApiModel):
    """What holds new revisions back. Hold: they wait; Warn: they are applied, and it is told; Off: nothing."""

    error_budget: GateMode = Field(
        GateMode.HOLD,
        description="While an SLO uses its error budget up faster than its burnLimit, or has none left, new revisions wait. Repairs, rollbacks and commits "
        "that a person lets pass (cvstate approve --fix) do not.",
    )
    windows: GateMode = Field(GateMode.HOLD, description="What spec.windows do while they are closed.")
