"""ClusterState, `spec.mode`: whether the cluster is written at all."""

from enum import StrEnum


class Mode(StrEnum):
    """What is done about differences."""

    ENFORCE = "Enforce"
    """They are repaired."""
    OBSERVE = "Observe"
    """They are told, and nothing is written."""
