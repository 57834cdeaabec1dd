"""Colours of words: the same state has the same colour on every panel, and green is never what is broken.

A pattern is a regular expression for the whole legend. Where it stands for one word the colour is that very one, where for several they are shades of it; the last
that fits counts.
"""

from typing import Final

Colors = tuple[tuple[str, str], ...]
"""Patterns with the name of a colour."""

READY: Final[Colors] = (
    (".*", "red"),
    ("Progressing|Deleting|SourceChanged|WaveNotReady|DependencyNotReady", "blue"),
    ("AwaitingApproval|PruneHeld|WindowClosed|ErrorBudgetBurning|Suspended|ObserveOnly|EmergencyStop", "purple"),
    ("RolledBack|Quarantined|BreakerOpen|DriftDetected", "orange"),
    ("Reconciled", "green"),
    ("ok", "green"),
)
"""Reasons of the condition Ready, and what passes came to: well, on the way, held on purpose, needing somebody, broken."""
RESULTS: Final[Colors] = (
    ("Succeeded", "green"),
    ("ok", "green"),
    ("Waiting", "purple"),
    ("Invalid", "yellow"),
    ("Transient", "orange"),
    ("Persistent", "red"),
    ("failed", "red"),
    ("dropped", "dark-red"),
)
"""What a pass, or a message, came to."""
HEALTH: Final[Colors] = (
    ("Ready", "green"),
    ("Progressing", "blue"),
    ("Missing", "orange"),
    ("Degraded", "red"),
    ("Failed", "dark-red"),
    ("Unknown", "gray"),
)
CONFIGURATION: Final[Colors] = (
    ("AsDeclared", "green"),
    ("LowDrift", "light-blue"),
    ("MediumDrift", "yellow"),
    ("HighDrift", "orange"),
    ("CriticalDrift", "red"),
    ("Held", "purple"),
    ("NotApplied", "dark-red"),
    ("Unjudged", "gray"),
)
FAILURES: Final[Colors] = ((".*", "red"),)
"""Why something failed or is not known, whatever the word."""
SEVERITIES: Final[Colors] = ((".*Low", "light-blue"), (".*Medium", "yellow"), (".*High", "orange"), (".*Critical", "red"))
SIGNALS: Final[Colors] = (
    ("Passing", "green"),
    ("Met", "green"),
    ("Pending", "yellow"),
    ("Burning", "orange"),
    ("Breached", "red"),
    ("Exhausted", "dark-red"),
    ("Unknown", "gray"),
    ("NotAsked", "light-blue"),
)
"""States of signals and of objectives."""
ROLLOUTS: Final[Colors] = ((".*Healthy", "green"), (".*Superseded", "yellow"), (".*Unhealthy", "red"))
