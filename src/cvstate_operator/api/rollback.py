"""ClusterState, `spec.rollback`: what is done about a revision that does not become healthy."""

from pydantic import Field

from cvstate_operator.api.drift import KindName
from cvstate_operator.api.duration import Duration, LastingFor
from cvstate_operator.api.model import ApiModel


class Rollback(ApiModel):
    """What is done about a revision that does not become healthy. Without it, nothing is: it is shown, and stays."""

    on_unhealthy_for: Duration = Field(
        "5m",
        description="A new revision that is not applied and healthy so long after it was begun is quarantined, and the last good one is applied.",
    )
    watch_for: LastingFor = Field(
        "0s",
        description="How long a new revision is watched after it became healthy, before it counts as good. A signal that is breached or an SLO that burns "
        "meanwhile, and was not before, gives it up at once.",
    )
    exclude_kinds: list[KindName] = Field(
        ["StatefulSet", "PersistentVolumeClaim"],
        description="Kinds that a rollback leaves as they are, because older programs may not read what newer ones wrote.",
        max_length=64,
    )
