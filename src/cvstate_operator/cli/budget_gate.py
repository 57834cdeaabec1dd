"""The error budget gate as `status` tells it: whether it holds the newest commit, and why. Read by `cvstate status` and `cvstate approve --fix`.

The operator decides by what it knows itself (`reconcile.telemetry_stage`); this reads what it told last. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvstate_operator.api import names
from cvstate_operator.api.gates import GateMode
from cvstate_operator.plan.gates import Reason
from cvstate_operator.plan.history import commit_of, commits_of
from cvstate_operator.vital.objectives import slo


@dataclass(frozen=True, slots=True)
class Hold:
    """The newest commit waits for an error budget."""

    commit: str
    """Its full id."""
    revision: str
    """The same with its ref."""
    slos: tuple[Mapping[str, Any], ...]
    """Those that burn or are used up, as in `status.vital.slos`, the worst first; empty if the operator only just started and asks for them."""


def hold(state: Mapping[str, Any]) -> Hold | None:
    """What the gate holds back; None if it holds nothing.

    Args:
        state: the ClusterState as the API server gave it.
    """
    status = state.get("status") or {}
    revision = str((status.get("source") or {}).get("revision") or "")
    commit = commit_of(revision)
    if mode(state) is not GateMode.HOLD or not commit or passes(state, commit) or is_given_up(state, commit):
        return None
    burning = _burning(state)
    return Hold(commit, revision, burning) if burning or _is_told(status) else None


def mode(state: Mapping[str, Any]) -> GateMode:
    """What the spec wants of the gate; of a spec that makes no sense the default."""
    told = ((state.get("spec") or {}).get("gates") or {}).get("errorBudget")
    return GateMode(told) if told in list(GateMode) else GateMode.HOLD


def passes(state: Mapping[str, Any], commit: str) -> bool:
    """Whether the gate is no matter for this commit: it was begun already, or a person lets it pass. Never of an empty one, as of a directory."""
    return bool(commit) and commit in (commit_of(str((state.get("status") or {}).get("lastAttemptedRevision") or "")), *fixes(state))


def fixes(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Commits that a person lets pass."""
    return commits_of((state["metadata"].get("annotations") or {}).get(names.FIX))


def is_given_up(state: Mapping[str, Any], commit: str) -> bool:
    """Whether the commit is quarantined or rejected, so that no gate matters to it."""
    quarantined = (state.get("status") or {}).get("quarantined") or ()
    rejected = commits_of((state["metadata"].get("annotations") or {}).get(names.REJECTED))
    return commit in (*rejected, *(commit_of(str(one.get("revision") or "")) for one in quarantined))


def _burning(state: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """SLOs that close the gate: by what was last known, as the gate stays as it was while nothing is known."""
    declared = {one.get("name") for one in ((state.get("spec") or {}).get("vital") or {}).get("slos") or ()}
    told = ((state.get("status") or {}).get("vital") or {}).get("slos") or ()
    closing = (slo.State.BURNING, slo.State.EXHAUSTED)
    return tuple(one for one in told if (found := slo.from_json(one)) and found.last_known in closing and found.name in declared)


def _is_told(status: Mapping[str, Any]) -> bool:
    """Whether the operator says that the gate is closed; after its start it is until every SLO was asked for once."""
    reasons = (condition.get("reason") for condition in status.get("conditions") or () if condition.get("type") == "Ready")
    return Reason.ERROR_BUDGET_BURNING in ((status.get("plan") or {}).get("held"), *reasons)
