"""What a pass came to, by whose move it is next: the five words that the success of reconciling is counted by.

Input is the reason that `cvstate_reconcile_total` counts by: `ok`, the reason of the condition Ready, or that of the error that broke the pass off. The words
follow the tree of `errors.py`, so that a new error is told without a new line here.

| result | the pass | counts against us |
|---|---|---|
| Succeeded | found everything as declared, or goes on by itself | no |
| Waiting | did all it may: a person, a window, a dependency or a better commit comes first | no |
| Invalid | met what was refused by checking it: spec, signature, render, API validation, admission | no: expected, told apart |
| Transient | failed for a reason that may pass by itself: network, 429, 5xx, a Git server that is away | yes |
| Persistent | failed for a reason that stays: rights, credentials, an owner or field conflict, a fight, a fault of ours; and whatever is not known here | yes |
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

from cvstate_operator import errors
from cvstate_operator.api.conditions import Reason
from cvstate_operator.plan import gates

OK: Final = "ok"
"""What a pass is told as that found everything as declared."""


class PassResult(StrEnum):
    """See the module; the set is closed, so it may be a metric label."""

    SUCCEEDED = "Succeeded"
    WAITING = "Waiting"
    INVALID = "Invalid"
    TRANSIENT = "Transient"
    PERSISTENT = "Persistent"


_REFUSED: Final = (
    errors.InvalidError,
    errors.InvalidSpecError,
    errors.KubeConfigInvalidError,
    errors.BuildFailedError,
    errors.VerificationFailedError,
    errors.RewindRefusedError,
    errors.RefNotFoundError,
    errors.PathNotFoundError,
    errors.SourceInvalidError,
    errors.RepoTooLargeError,
)
"""Errors by which something was refused that somebody wrote, so that only he can mend it."""
_OURS: Final = (errors.ToolMissingError, errors.RenderTimeoutError)
"""Those among them that are not his."""

_REASONS: Final = {
    OK: PassResult.SUCCEEDED,
    Reason.PROGRESSING: PassResult.SUCCEEDED,
    Reason.PROGRESSING_WITH_RETRY: PassResult.SUCCEEDED,
    Reason.WAVE_NOT_READY: PassResult.WAITING,
    Reason.DRIFT_DETECTED: PassResult.WAITING,
    Reason.AWAITING_APPROVAL: PassResult.WAITING,
    Reason.PRUNE_HELD: PassResult.WAITING,
    Reason.ROLLED_BACK: PassResult.WAITING,
    Reason.DELETING: PassResult.WAITING,
    Reason.NOT_EVALUATED: PassResult.TRANSIENT,
    Reason.TARGET_UNREACHABLE: PassResult.TRANSIENT,
    Reason.TELEMETRY_GAP: PassResult.TRANSIENT,
    Reason.BREAKER_OPEN: PassResult.PERSISTENT,
    Reason.APPLY_FAILED: PassResult.PERSISTENT,
    **dict.fromkeys(gates.Reason, PassResult.WAITING),
    # Of documents (`render/yaml_reader.py`, `render/documents.py`, `plan/desired.py`): they have no errors of their own.
    **dict.fromkeys(
        ("YAMLInvalid", "YAMLTooDeep", "YAMLAliasLimit", "DuplicateKey", "DuplicateObject", "EmptyRender", "PolicyViolation"),
        PassResult.INVALID,
    ),
}


@lru_cache(maxsize=256)
def result_of(reason: str) -> PassResult:
    """The word for a pass with this reason."""
    if known := _REASONS.get(reason):
        return known
    found = [error for error in _family(errors.CvstateError) if error.reason == reason]
    return max((_of_error(error) for error in found), key=list(PassResult).index, default=PassResult.PERSISTENT)


def _of_error(error: type[errors.CvstateError]) -> PassResult:
    if issubclass(error, errors.TransientError):
        return PassResult.TRANSIENT
    if issubclass(error, errors.WaitingError):
        return PassResult.WAITING
    return PassResult.INVALID if issubclass(error, _REFUSED) and not issubclass(error, _OURS) else PassResult.PERSISTENT


def _family(error: type[errors.CvstateError]) -> list[type[errors.CvstateError]]:
    return [error, *(one for child in error.__subclasses__() for one in _family(child))]
