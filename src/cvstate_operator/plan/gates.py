"""Gates: what may not be written now, and why. Looking never stops; only writing does.

    closed by            for
    EmergencyStop        everything, of every ClusterState
    spec.suspend         everything
    spec.mode Observe    everything
    spec.windows         the actions that the window names
    an SLO               new revisions, while it uses its error budget up too fast (spec.gates.errorBudget)
    spec.dependsOn       new revisions
    spec.source          new revisions, while it was not read since it changed

If several close a gate, the first one in this order is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from cvstate_operator.api.gates import GateMode, GatePolicy
from cvstate_operator.api.mode import Mode
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.plan.windows import WindowState


class Reason(StrEnum):
    """What closes a gate; the same word in conditions, events, metrics and docs."""

    EMERGENCY_STOP = "EmergencyStop"
    SUSPENDED = "Suspended"
    OBSERVE_ONLY = "ObserveOnly"
    WINDOW_CLOSED = "WindowClosed"
    ERROR_BUDGET_BURNING = "ErrorBudgetBurning"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    SOURCE_CHANGED = "SourceChanged"
    """The newest commit that is known was read by an older spec: it may not be signed as this one asks."""
    QUARANTINED = "Quarantined"
    """The newest revision was given up or rejected, and there is none to go back to, or that is held."""


PASSING: Final = frozenset({Reason.WINDOW_CLOSED, Reason.ERROR_BUDGET_BURNING, Reason.DEPENDENCY_NOT_READY, Reason.SOURCE_CHANGED})
"""Closed gates that open by themselves; the others need a person."""


DEFAULT: Final = GatePolicy()


@dataclass(frozen=True, slots=True)
class Block:
    """Why something is not written now."""

    reason: Reason
    message: str
    """For people: what closes the gate, and what opens it."""
    is_brief: bool = False
    """It lasts seconds, and no Event tells it."""


UNREAD: Final = Block(Reason.SOURCE_CHANGED, "spec.source changed, and was not read since", is_brief=True)


@dataclass(frozen=True, slots=True)
class Gates:
    """The answer for every class of changes."""

    blocks: Mapping[WindowAction, Block] = field(default_factory=dict)
    """What is closed; everything else is open."""
    next_change: datetime | None = None
    """When a window opens or closes next."""
    warnings: tuple[Block, ...] = ()
    """What would hold new revisions back if `spec.gates` did not say Warn."""

    def block(self, action: WindowAction) -> Block | None:
        """Why changes of this class are not made now; None if they are."""
        return self.blocks.get(action)


def judge(
    *,
    stop: str,
    suspend: bool,
    mode: Mode,
    windows: WindowState | None,
    waits_for: str,
    is_unread: bool = False,
    burning: Block | None = None,
    policy: GatePolicy = DEFAULT,
) -> Gates:
    """Which gates are closed.

    Args:
        stop: the reason given for an EmergencyStop; empty if there is none.
        suspend: `spec.suspend`.
        mode: `spec.mode`.
        windows: what `spec.windows` say now; None if there are none.
        waits_for: a dependency that is not ready, for people; empty if all are.
        is_unread: whether the source was not read since its spec changed.
        burning: the SLO that uses its error budget up too fast; None if none does, or if a person lets the newest commit pass.
        policy: `spec.gates`.
    """
    blocks: dict[WindowAction, Block] = {}
    warnings: list[Block] = []
    if is_unread:
        blocks[WindowAction.NEW_REVISION] = UNREAD
    if waits_for:
        blocks[WindowAction.NEW_REVISION] = Block(Reason.DEPENDENCY_NOT_READY, waits_for)
    if burning:
        _close(burning, WindowAction.NEW_REVISION, policy.error_budget, blocks, warnings)
    for action in windows.blocked if windows else ():
        if windows:
            _close(_closed(windows, action), action, policy.windows, blocks, warnings)
    if everything := _everything(stop, suspend=suspend, mode=mode):
        blocks = dict.fromkeys(WindowAction, everything)
    return Gates(blocks, windows.next_change if windows else None, tuple(warnings))


def _close(block: Block, action: WindowAction, mode: GateMode, blocks: dict[WindowAction, Block], warnings: list[Block]) -> None:
    match mode:
        case GateMode.HOLD:
            blocks[action] = block
        case GateMode.WARN:
            warnings.append(block)
        case GateMode.OFF:
            pass


def _everything(stop: str, *, suspend: bool, mode: Mode) -> Block | None:
    if stop:
        return Block(
            Reason.EMERGENCY_STOP, f"an EmergencyStop is in force: {stop}; nothing is written until it is deleted (cvstate stop --release)"
        )
    if suspend:
        return Block(Reason.SUSPENDED, "spec.suspend is true; nothing is written until it is false (cvstate resume NAME -n NAMESPACE)")
    if mode is Mode.OBSERVE:
        return Block(Reason.OBSERVE_ONLY, "spec.mode is Observe; nothing is ever written")
    return None


def _closed(windows: WindowState, action: WindowAction) -> Block:
    found = windows.of(action)
    until = f" until {found.until:%Y-%m-%dT%H:%MZ}" if found.until else ""
    return Block(Reason.WINDOW_CLOSED, f"{action.value} is closed{until}: {found.text}")
