"""ClusterState: what a user declares, and what we report.

The CRD is generated from these models (`api/crd.py`), so every description here is read by users in `kubectl explain`. A field exists only if
the code behind it works. The API server enforces the same rules by the generated schema; the models check again, since objects may be older than it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from cvstate_operator.api.duration import Interval
from cvstate_operator.api.model import ApiModel
from cvstate_operator.api.render import Render
from cvstate_operator.api.source import Source
from cvstate_operator.errors import InvalidSpecError


class Prune(ApiModel):
    """What happens to objects that left Git."""

    enabled: bool = Field(True, description="Delete objects that are no longer in Git. Never done after a failed, partial or empty render.")
    protected_kinds: list[str] = Field(
        ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"],
        description="Kinds that are kept when they leave Git, because other objects or data go with them.",
        max_length=64,
    )


class ClusterStateSpec(ApiModel):
    """What the cluster should look like, and how to get there."""

    interval: Interval = Field(
        "10m", description="Full resync: every object is listed and compared again. Between resyncs watches report drift at once."
    )
    source: Source = Field(description="Where the desired state comes from.")
    render: Render = Field(default_factory=Render, description="How files become objects.")
    prune: Prune = Field(default_factory=Prune, description="What happens to objects that left Git.")


def parse_spec(raw: Mapping[str, Any]) -> ClusterStateSpec:
    """Read a spec as it came from the API server.

    Raises:
        InvalidSpecError: names every field that is wrong, and why; values are not repeated, they may be secret.
    """
    try:
        return ClusterStateSpec.model_validate(raw)
    except ValidationError as exc:
        faults = "; ".join(f"spec.{'.'.join(map(str, e['loc']))}: {_say(e)}" for e in exc.errors(include_input=False, include_url=False))
        raise InvalidSpecError(f"{faults}; correct the ClusterState") from exc


def _say(error: Any) -> str:
    if error["type"] == "string_pattern_mismatch":
        return f"does not match {error['ctx']['pattern']}"
    return str(error["msg"]).removeprefix("Value error, ")
