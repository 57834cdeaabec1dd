"""Standing: whether a workload was ready as it is now, and has no ready Pod left. Then it is down, and neither rolled, nor scaled, nor moved Pod by Pod.

Input: a live object each time somebody looks at it, and what the look before came to. Read by the readiness index. Pure, and never an error.

| it is | while nothing of it is ready |
|---|---|
| ready before, and of the same template since | down |
| never ready, or of another template since (a roll-out, also one by `Recreate`) | on its way |
| scaled from 0 | on its way |

Who sees it for the first time, as after a restart, knows that of a Deployment alone: its condition Progressing has the reason NewReplicaSetAvailable from the
end of its roll-out until the next one begins (Kubernetes documentation, "Deployments", "Complete Deployment").
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cvstate_operator.objects.identity import GroupKind, Gvk
from cvstate_operator.vital.facts import progress
from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields
from cvstate_operator.vital.facts.replicas import replicas

KEEPERS: Final = frozenset(
    {
        GroupKind("apps", "Deployment"),
        GroupKind("apps", "StatefulSet"),
        GroupKind("apps", "DaemonSet"),
        GroupKind("apps", "ReplicaSet"),
        GroupKind("", "ReplicationController"),
    }
)
"""Kinds that keep Pods up for ever. A Job ends, and a Pod is one itself."""


class Standing(NamedTuple):
    """What is remembered of one workload."""

    uid: str
    template: str
    """Of its Pods; of one that does not tell it, its generation."""
    was_ready: bool
    """Whether it was as asked for since it has this template, and was not scaled to 0 since."""
    is_down: bool
    """Whether it was, and has no ready Pod now."""


def follow(before: Standing | None, live: Mapping[str, Any], *, is_current: bool) -> Standing | None:
    """How a workload stands.

    Args:
        before: after the last look; None if there was none.
        live: the object as it is now.
        is_current: whether it is judged Current.

    Returns:
        None if its kind keeps no Pods up, or nothing can be told of it yet.
    """
    try:
        return _follow(before, Fields.of(live), live, is_current=is_current)
    except ValueError:  # MalformedError is one too
        return before


def _follow(before: Standing | None, found: Fields, live: Mapping[str, Any], *, is_current: bool) -> Standing | None:
    kind = Gvk.parse(found.text("apiVersion"), found.text("kind")).group_kind
    counts = replicas(live) if kind in KEEPERS else None
    if counts is None:
        return None
    meta, status = found.below("metadata"), found.below("status")
    uid, generation = meta.text("uid"), meta.count("generation")
    same = before if before and before.uid == uid else None
    if status.count("observedGeneration") < generation:
        # What it counts is as of the spec before, so it stands as it did; but who asks for no Pods has none.
        return same if counts.desired or same is None else same._replace(was_ready=False, is_down=False)
    done = progress.of(live)
    template = (done.template if done else "") or str(generation)
    if not counts.desired or is_current:
        was_ready = counts.ready > 0
    elif same and same.template == template:
        was_ready = same.was_ready
    else:
        was_ready = _was_rolled_out(kind, status)
    return Standing(uid, template, was_ready, was_ready and not is_current and not counts.ready)


def _was_rolled_out(kind: GroupKind, status: Fields) -> bool:
    """Whether it says itself that all Pods of its newest template were available once."""
    told = Conditions.of(status).true("Progressing") if kind.kind == "Deployment" else None
    return told is not None and told.reason == "NewReplicaSetAvailable"
