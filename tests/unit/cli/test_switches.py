"""`cvstate reconcile` and `stop`, without a cluster.

Aspects: options · when a request for a reconcile is answered · what is said while it is not.
"""

from datetime import datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api.names import REQUESTED_AT
from cvstate_operator.cli import switches
from cvstate_operator.cli.main import app

ASKED, LATER, BEFORE = "2026-11-21T12:00:00.000000002Z", "2026-11-21T12:00:00.000000003Z", "2026-11-21T12:00:00.000000001Z"


def state(
    handled: str | None = None, ready: str | None = None, reason: str = "Reconciled", *, annotation: str = ASKED, seen: int = 2
) -> Any:
    """A ClusterState of generation 2 after a request."""
    conditions = [{"type": "Ready", "status": ready, "reason": reason, "message": "m", "observedGeneration": seen}] if ready else []
    status = {"conditions": conditions, **({"lastHandledReconcileAt": handled} if handled else {})}
    return {"metadata": {"namespace": "a", "name": "s", "generation": 2, "annotations": {REQUESTED_AT: annotation}}, "status": status}


@pytest.mark.parametrize(
    ("found", "answered"),
    [
        pytest.param(state(), False, id="never seen by an operator"),
        pytest.param({"metadata": {"generation": 1}}, False, id="without status and annotations"),
        pytest.param(state(BEFORE, "True"), False, id="Ready from before"),
        pytest.param(state(ASKED, "True"), True, id="handled and Ready"),
        pytest.param(state(ASKED, "False", "ApplyFailed"), True, id="handled and not Ready"),
        pytest.param(state(ASKED, "Unknown", "Progressing"), False, id="handled and under way"),
        pytest.param(state(ASKED), False, id="handled without a word about Ready"),
        pytest.param(state(LATER, "True", annotation=LATER), True, id="answered by the pass for a later request"),
        pytest.param(state(BEFORE, "True", annotation=LATER), False, id="neither ours nor a later one"),
        pytest.param(state(BEFORE, "False", "InvalidSpec"), True, id="a spec that makes no sense"),
        pytest.param(state(BEFORE, "False", "InvalidSpec", seen=1), False, id="a spec that made no sense and was corrected"),
    ],
)
def test_when_a_request_is_answered(found: Any, answered: bool) -> None:
    assert switches._is_answered(found, ASKED) is answered


def test_only_one_that_was_never_looked_at_is_an_error_when_time_is_over() -> None:
    under_way = state(ASKED, "Unknown", "Progressing")
    assert switches._given_up(under_way, ASKED, 1.0) is under_way
    with pytest.raises(errors.ServerTimeoutError):
        switches._given_up(state(BEFORE, "True"), ASKED, 1.0)


def test_it_says_who_is_waited_for() -> None:
    assert switches._progress(state(BEFORE, "True"), ASKED) == "waiting for the operator"
    assert switches._progress(state(BEFORE, "Unknown"), ASKED) == "m"
    assert switches._progress(state(ASKED), ASKED) == "working"


def test_no_two_requests_are_the_same_and_each_is_a_moment() -> None:
    values = [switches._now() for _ in range(100)]
    assert len(set(values)) == 100
    assert all(datetime.fromisoformat(value).tzinfo for value in values)


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconcile", "shop", "--timeout", "soon"),
        ("reconcile", "shop", "--timeout", "0s"),
        ("stop",),
        ("stop", "--release", "--status"),
        ("stop", "--reason", "x", "--release"),
        ("stop", "--reason", " "),
        ("stop", "--reason", "x" * 1001),
    ],
)
def test_options_that_make_no_sense_are_refused_before_a_cluster_is_asked(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--kubeconfig", "/nonexistent/kubeconfig"])
    assert isinstance(result.exception, errors.SettingsError)
    assert "--" in result.exception.message
    assert "kubeconfig" not in result.exception.message


def test_the_help_of_stop_has_examples() -> None:
    output = CliRunner().invoke(app, ["stop", "--help"]).stdout
    assert "cvstate stop --release" in output
    assert "cvstate stop --status" in output
