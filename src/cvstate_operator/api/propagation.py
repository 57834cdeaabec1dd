"""What becomes of the dependents of an object that is deleted. Apart from the models, for those that need no pydantic: the fork server and its children."""

from enum import StrEnum


class PropagationPolicy(StrEnum):
    """What becomes of the dependents of an object that is deleted. Source: Kubernetes API, DeleteOptions.propagationPolicy."""

    BACKGROUND = "Background"
    """It goes at once, and they go after it."""
    FOREGROUND = "Foreground"
    """It stays, marked as being deleted, until those that block it are gone."""
    ORPHAN = "Orphan"
    """They stay."""
