"""What the person in front of the demo asked for: made by `command`, read by `show`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Transport(StrEnum):
    """How the operator reads the demo's repository."""

    HTTP = "http"
    """Anybody may read."""
    SSH = "ssh"
    """By a key pair, and a known host key."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One demo, as it was ordered."""

    kubeconfig: Path | None
    """An existing cluster; None for one of our own."""
    transport: Transport
    keep: bool
    """Go on until Ctrl-C."""
    pace_seconds: float
    """Pause before each step."""
