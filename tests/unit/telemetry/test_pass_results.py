"""Results of passes. Aspects: every reason has one · failures that are ours · what was refused by checking it · what waits."""

import pytest

from cvstate_operator import errors
from cvstate_operator.api.conditions import Reason
from cvstate_operator.plan import gates
from cvstate_operator.telemetry.pass_results import _REASONS, PassResult, _family, result_of

NOT_OF_READY = {
    Reason.RECONCILED,
    Reason.FETCHED,
    Reason.VERIFIED,
    Reason.NO_DRIFT_DETECTED,
    Reason.HEALTHY,
    Reason.DEGRADED,
    Reason.SIGNAL_BREACHED,
    Reason.ORPHANED,
}
"""Reasons of other conditions and of Events, or of Ready while it is true, which is told as ok."""


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("ok", PassResult.SUCCEEDED),
        ("Progressing", PassResult.SUCCEEDED),
        ("AwaitingApproval", PassResult.WAITING),
        ("PruneHeld", PassResult.WAITING),
        ("WindowClosed", PassResult.WAITING),
        ("Suspended", PassResult.WAITING),
        ("DriftDetected", PassResult.WAITING),
        ("RolledBack", PassResult.WAITING),
        ("KindUnknown", PassResult.WAITING),
        ("InvalidSpec", PassResult.INVALID),
        ("Invalid", PassResult.INVALID),
        ("AdmissionDenied", PassResult.INVALID),
        ("YAMLInvalid", PassResult.INVALID),
        ("VariableMissing", PassResult.INVALID),
        ("VerificationFailed", PassResult.INVALID),
        ("KubeConfigInvalid", PassResult.INVALID),
        ("ServiceAccountRequired", PassResult.INVALID),
        ("PathNotFound", PassResult.INVALID),
        ("FetchFailed", PassResult.TRANSIENT),
        ("SourceStale", PassResult.TRANSIENT),
        ("Throttled", PassResult.TRANSIENT),
        ("TargetUnreachable", PassResult.TRANSIENT),
        ("ServerError", PassResult.TRANSIENT),
        ("Forbidden", PassResult.PERSISTENT),
        ("ImpersonationRefused", PassResult.PERSISTENT),
        ("AuthFailed", PassResult.PERSISTENT),
        ("OwnerConflict", PassResult.PERSISTENT),
        ("BreakerOpen", PassResult.PERSISTENT),
        ("ApplyFailed", PassResult.PERSISTENT),
        ("InternalError", PassResult.PERSISTENT),
        ("ToolMissing", PassResult.PERSISTENT),
        ("RenderTimeout", PassResult.PERSISTENT),
    ],
)
def test_a_reason_says_whose_move_it_is(reason: str, result: PassResult) -> None:
    assert result_of(reason) is result


@pytest.mark.parametrize("error", _family(errors.CvstateError), ids=lambda error: error.__name__)
def test_every_error_is_told_by_its_place_in_the_tree(error: type[errors.CvstateError]) -> None:
    found = result_of(error.reason)
    if issubclass(error, errors.TransientError):
        assert found is PassResult.TRANSIENT
    elif issubclass(error, errors.WaitingError):
        assert found is PassResult.WAITING
    else:
        assert found in (PassResult.INVALID, PassResult.PERSISTENT)


@pytest.mark.parametrize("reason", [one for one in Reason if one not in NOT_OF_READY] + list(gates.Reason))
def test_every_reason_of_ready_was_thought_of(reason: str) -> None:
    assert reason in _REASONS


def test_what_is_not_known_counts_as_a_failure() -> None:
    assert result_of("SomethingElse") is PassResult.PERSISTENT
