"""Wanted: what the user wants of one ClusterState, as of the last event about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvstate_operator.api import names


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants now."""

    generation: int
    requested_at: str | None
    """Value of the annotation `requestedAt`; None if it was handled already or is absent."""
    spec: Mapping[str, Any]
    verdicts: tuple[str, str, str] = ("", "", "")
    """Values of the annotations that reject commits, release them, and let them pass the error budget gate."""
    finalizers: tuple[str, ...] = ()
    is_reset: bool = False
    """Whether the request also has tried once more what is left alone after a fight: the annotation `resetAt` has the value of `requestedAt`."""
    is_leaving: bool = False
    """Whether it is being deleted."""

    @staticmethod
    def read(body: Mapping[str, Any], *, before: "Wanted | None" = None) -> "Wanted":
        """What the ClusterState says; a spec that is the same as `before` is that very object, so that it need not be understood again."""
        meta = body["metadata"]
        is_same = before is not None and "generation" in meta and meta["generation"] == before.generation
        annotations = meta.get("annotations") or {}
        verdicts = (annotations.get(names.REJECTED, ""), annotations.get(names.RELEASED, ""), annotations.get(names.FIX, ""))
        return Wanted(
            meta.get("generation", 1),
            annotations.get(names.REQUESTED_AT),
            before.spec if before and is_same else dict(body.get("spec") or {}),
            verdicts,
            tuple(meta.get("finalizers") or ()),
            names.REQUESTED_AT in annotations and annotations.get(names.RESET_AT) == annotations[names.REQUESTED_AT],
            "deletionTimestamp" in meta,
        )
