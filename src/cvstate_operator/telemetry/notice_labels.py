"""Labels of an incident at an Alertmanager: the words of our alert rules (docs/alerts.md), so that one set of routes and inhibitions serves both. Pure.

A severity of rules says who has to look, and when; that of an incident how much it matters (`api/notices.py`).
"""

from collections.abc import Mapping
from typing import Final

from cvstate_operator import errors
from cvstate_operator.api.conditions import Reason
from cvstate_operator.api.notices import NoticeSeverity
from cvstate_operator.vital.verdicts.verdict import Reason as Verdict

PAGE: Final = "page"
"""Somebody has to look now."""
TICKET: Final = "ticket"
"""Somebody has to look on a working day."""

SEVERITIES: Final[Mapping[NoticeSeverity, str]] = {
    NoticeSeverity.CRITICAL: PAGE,
    NoticeSeverity.WARNING: TICKET,
    NoticeSeverity.INFO: TICKET,
}
"""Label `severity`. Source: docs/alerts.md; there is no third one, since nothing else is an alert."""

OTHER_AREA: Final = "reconcile"
_AREAS: Final = {
    "operator": (Reason.TARGET_UNREACHABLE, errors.InternalError.reason),
    "source": tuple(
        error.reason
        for error in (
            errors.FetchFailedError,
            errors.FetchTimeoutError,
            errors.SourceStaleError,
            errors.CacheLostError,
            errors.AuthFailedError,
            errors.TLSInvalidError,
            errors.URLNotAllowedError,
            errors.InvalidURLError,
            errors.HostKeyUnknownError,
            errors.HostKeyMismatchError,
            errors.RefNotFoundError,
            errors.PathNotFoundError,
            errors.RepoTooLargeError,
            errors.SourceInvalidError,
            errors.VerificationFailedError,
            errors.RewindRefusedError,
        )
    ),
    "drift": (Reason.DRIFT_DETECTED, Reason.BREAKER_OPEN),
    "vital": (
        Reason.DEGRADED,
        Reason.SIGNAL_BREACHED,
        Reason.TELEMETRY_GAP,
        Verdict.CRITICAL_BREACHED,
        Verdict.SCORE_BELOW_MINIMUM,
        Verdict.CONFIDENCE_BELOW_MINIMUM,
    ),
}
_AREA_OF: Final = {str(reason): area for area, reasons in _AREAS.items() for reason in reasons}


def area(reason: str) -> str:
    """Label `area` of an incident: by its reason alone, since another label would make another alert of it. What is not listed is OTHER_AREA."""
    return _AREA_OF.get(reason, OTHER_AREA)
