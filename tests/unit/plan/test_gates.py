"""Gates.

Aspects: what each of them closes · which one is named if several do · when it is looked at again.
"""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.gates import GatePolicy
from cvstate_operator.api.mode import Mode
from cvstate_operator.api.windows import Window, WindowAction
from cvstate_operator.plan import windows
from cvstate_operator.plan.gates import Block, Gates, Reason, judge
from cvstate_operator.plan.windows import WindowState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALL = frozenset(WindowAction)


def closed(*actions: str) -> WindowState:
    """A window that is closed from noon to one for these classes."""
    window = {"kind": "Deny", "schedule": "0 12 * * *", "duration": "1h", "timeZone": "UTC"}
    return windows.state([Window.model_validate({**window, **({"actions": list(actions)} if actions else {})})], NOON)


def gates(
    *,
    stop: str = "",
    suspend: bool = False,
    mode: Mode = Mode.ENFORCE,
    windows: WindowState | None = None,
    waits_for: str = "",
    burning: str = "",
    **policy: str,
) -> Gates:
    return judge(
        stop=stop,
        suspend=suspend,
        mode=mode,
        windows=windows,
        waits_for=waits_for,
        burning=Block(Reason.ERROR_BUDGET_BURNING, burning) if burning else None,
        policy=GatePolicy.model_validate(policy),
    )


def blocked(found: Gates) -> dict[WindowAction, Reason]:
    return {action: block.reason for action, block in found.blocks.items()}


def test_without_a_word_everything_may_be_written() -> None:
    assert blocked(gates()) == {}
    assert gates().block(WindowAction.PRUNE) is None


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        pytest.param(gates(stop="red button (oops)"), Reason.EMERGENCY_STOP, ["red button (oops)", "cvstate stop --release"], id="stop"),
        pytest.param(gates(suspend=True), Reason.SUSPENDED, ["spec.suspend", "cvstate resume"], id="suspend"),
        pytest.param(gates(mode=Mode.OBSERVE), Reason.OBSERVE_ONLY, ["spec.mode"], id="observe"),
        pytest.param(gates(windows=closed()), Reason.WINDOW_CLOSED, ["until 2026-01-01T13:00Z", "spec.windows[0]"], id="window"),
    ],
)
def test_what_closes_everything_says_so_and_what_opens_it(found: Gates, reason: Reason, words: list[str]) -> None:
    assert blocked(found) == dict.fromkeys(ALL, reason)
    for action in ALL:
        block = found.block(action)
        assert block is not None
        assert [word for word in words if word not in block.message] == []


def test_a_window_closes_what_it_names() -> None:
    assert blocked(gates(windows=closed("Prune", "Rollback"))) == {
        WindowAction.PRUNE: Reason.WINDOW_CLOSED,
        WindowAction.ROLLBACK: Reason.WINDOW_CLOSED,
    }


def test_a_dependency_closes_new_revisions_alone() -> None:
    found = gates(waits_for="Database db is not ready")
    assert blocked(found) == {WindowAction.NEW_REVISION: Reason.DEPENDENCY_NOT_READY}
    block = found.block(WindowAction.NEW_REVISION)
    assert block is not None
    assert block.message == "Database db is not ready"


ORDER = [Reason.EMERGENCY_STOP, Reason.SUSPENDED, Reason.OBSERVE_ONLY, Reason.WINDOW_CLOSED, Reason.DEPENDENCY_NOT_READY]


@given(st.sets(st.sampled_from(ORDER), min_size=1))
def test_of_several_the_first_one_in_the_order_is_named(those: set[Reason]) -> None:
    found = gates(
        stop="x" if Reason.EMERGENCY_STOP in those else "",
        suspend=Reason.SUSPENDED in those,
        mode=Mode.OBSERVE if Reason.OBSERVE_ONLY in those else Mode.ENFORCE,
        windows=closed() if Reason.WINDOW_CLOSED in those else None,
        waits_for="x" if Reason.DEPENDENCY_NOT_READY in those else "",
    )
    assert blocked(found)[WindowAction.NEW_REVISION] is next(reason for reason in ORDER if reason in those)


def test_it_is_told_when_a_window_opens_or_closes_whatever_else_is_closed() -> None:
    one_o_clock = datetime(2026, 1, 1, 13, tzinfo=UTC)
    assert gates(windows=closed()).next_change == one_o_clock
    assert gates(windows=closed(), suspend=True).next_change == one_o_clock
    assert gates(suspend=True).next_change is None


# -- the error budget --------------------------------------------------------------------------------------------------

BURNS = "availability burns 14 times too fast"


def test_a_budget_that_burns_holds_new_revisions_and_nothing_else() -> None:
    assert blocked(gates(burning=BURNS)) == {WindowAction.NEW_REVISION: Reason.ERROR_BUDGET_BURNING}


def test_a_gate_that_only_warns_holds_nothing_and_is_told() -> None:
    found = gates(burning=BURNS, errorBudget="Warn", windows=closed("Prune"))
    assert blocked(found) == {WindowAction.PRUNE: Reason.WINDOW_CLOSED}
    assert [(block.reason, block.message) for block in found.warnings] == [(Reason.ERROR_BUDGET_BURNING, BURNS)]


def test_a_gate_that_is_off_is_not_even_told() -> None:
    assert gates(burning=BURNS, errorBudget="Off") == gates()


def test_windows_may_only_warn_too() -> None:
    found = judge(
        stop="", suspend=False, mode=Mode.ENFORCE, windows=closed(), waits_for="", policy=GatePolicy.model_validate({"windows": "Warn"})
    )
    assert blocked(found) == {}
    assert {block.reason for block in found.warnings} == {Reason.WINDOW_CLOSED}


def test_a_window_is_named_before_a_budget_that_burns_and_that_before_a_dependency() -> None:
    assert blocked(gates(burning=BURNS, windows=closed("NewRevision"))) == {WindowAction.NEW_REVISION: Reason.WINDOW_CLOSED}
    assert blocked(gates(burning=BURNS, waits_for="db is not ready")) == {WindowAction.NEW_REVISION: Reason.ERROR_BUDGET_BURNING}
