"""`cvstate rollback`, without a cluster.

Aspects: which commit is meant, and where it goes back to · what is refused · the patch: what it changes, and what stays · options.
"""

from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.cli import rollback
from cvstate_operator.cli.main import app

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def state(
    *history: tuple[str, str],
    newest: str = "",
    quarantined: tuple[str, ...] = (),
    rejected: str = "",
    released: str = "",
    **annotations: str,
) -> Any:
    """A ClusterState; history newest first."""
    marks = {names.REJECTED: rejected, names.RELEASED: released, **annotations}
    return {
        "metadata": {
            "name": "s",
            "namespace": "n",
            "resourceVersion": "7",
            "annotations": {key: value for key, value in marks.items() if value},
        },
        "status": {
            **({"source": {"revision": f"main@sha1:{newest}"}} if newest else {}),
            "history": [
                {"revision": f"main@sha1:{commit}", "outcome": outcome, "startedAt": "2026-11-21T12:00:00Z"} for commit, outcome in history
            ],
            "quarantined": [{"revision": f"main@sha1:{commit}", "message": "not healthy"} for commit in quarantined],
        },
    }


def annotations(found: Any, commit: str, *, undo: bool = False) -> dict[str, str]:
    guard, change = rollback.operations(found, commit, undo=undo)
    assert guard == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert (change["op"], change["path"]) == ("add", "/metadata/annotations")
    return dict(change["value"])


# -- which commit --------------------------------------------------------------------------------------------------------


def test_the_newest_commit_is_left_for_the_newest_other_one_that_was_healthy() -> None:
    found = state((C, "Unhealthy"), (B, "Healthy"), (A, "Healthy"), newest=C)
    assert rollback._to_reject(found) == C
    good = rollback.good(found, C)
    assert good is not None
    assert good.commit == B


def test_a_commit_that_is_healthy_itself_can_be_left_too() -> None:
    good = rollback.good(state((B, "Healthy"), (A, "Healthy"), newest=B), B)
    assert good is not None
    assert good.commit == A


def test_rejected_and_quarantined_commits_are_nowhere_to_go_back_to() -> None:
    found = state((C, "Applied"), (B, "Healthy"), (A, "Healthy"), newest=C, rejected=B, quarantined=(A,))
    assert rollback.good(found, C) is None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(state(), id="no revision yet"),
        pytest.param(state((A, "Healthy"), newest=A), id="no other revision"),
        pytest.param(state((B, "Applied"), (A, "Superseded"), newest=B), id="none that was healthy"),
        pytest.param(state((B, "Applied"), (A, "Healthy"), newest=B, rejected=B), id="rejected already"),
        pytest.param(state((B, "Unhealthy"), (A, "Healthy"), newest=B, quarantined=(B,)), id="quarantined already"),
        pytest.param({"metadata": {"name": "s", "namespace": "n"}}, id="never seen by an operator"),
    ],
)
def test_where_nothing_can_be_gone_back_to_it_says_so(found: Any) -> None:
    with pytest.raises(errors.NotFoundError):
        rollback._to_reject(found)


def test_undo_means_the_newest_commit_that_is_not_applied() -> None:
    assert rollback._to_undo(state((B, "Applied"), newest=B, rejected=f"{A},{B}")) == B
    assert rollback._to_undo(state((B, "Unhealthy"), newest=B, quarantined=(B,))) == B
    assert rollback._to_undo(state((B, "Healthy"), newest=B, rejected=A)) == A
    with pytest.raises(errors.NotFoundError):
        rollback._to_undo(state((B, "Healthy"), newest=B))


# -- the patch -----------------------------------------------------------------------------------------------------------


def test_a_rejection_keeps_other_rejections_and_other_annotations() -> None:
    found = state(newest=C, rejected=f"{B} , {A}", released=C, note="mine")
    assert annotations(found, C) == {"note": "mine", names.REJECTED: f"{B},{A},{C}"}


def test_undoing_a_rejection_takes_this_commit_alone_off_the_list() -> None:
    assert annotations(state(newest=B, rejected=f"{A},{B}"), B, undo=True) == {names.REJECTED: A}
    assert annotations(state(newest=B, rejected=B, note="mine"), B, undo=True) == {"note": "mine"}


def test_what_the_operator_quarantined_itself_is_released() -> None:
    assert annotations(state(newest=B, quarantined=(B,), released=A), B, undo=True) == {names.RELEASED: f"{A},{B}"}


def test_what_is_quarantined_again_after_its_release_is_released_by_another_value() -> None:
    seen = [""]
    for _ in range(4):
        released = annotations(state(newest=B, quarantined=(B,), released=seen[-1]), B, undo=True)[names.RELEASED]
        assert released != seen[-1]
        assert set(released.split(",")) == {B}
        seen.append(released)
    assert max(map(len, seen)) == len(f"{B},{B}")


def test_a_clusterstate_without_annotations_gets_some() -> None:
    found = state(newest=B)
    del found["metadata"]["annotations"]
    assert annotations(found, B) == {names.REJECTED: B}


def test_undo_and_list_exclude_each_other() -> None:
    result = CliRunner().invoke(app, ["rollback", "shop", "--undo", "--list"])
    assert isinstance(result.exception, errors.SettingsError)
