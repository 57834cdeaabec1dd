"""`cvstate approve --fix`: lets exactly the newest commit of a ClusterState pass although an error budget burns, since it is what mends it.

The consent is the commit's id in an annotation (`names.FIX`), which the operator reads; whoever may patch the ClusterState may give it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.gates import GateMode
from cvstate_operator.cli import budget_gate, layout, lookup, status_vital, terminal
from cvstate_operator.cli.confirm import confirmed
from cvstate_operator.cli.connection import with_client
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.history import commit_of

if TYPE_CHECKING:
    from cvstate_operator.cli.budget_gate import Hold
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.manifest import Body

REASON: Final = f"{names.FIX}-reason"
"""Annotation beside `names.FIX`: why, for people who ask later; the operator does not read it."""
_ATTEMPTS: Final = 3
"""How often the annotations are read and written again if somebody else writes meanwhile; as `cvstate rollback` does."""


def let_pass(namespace: str, name: str, *, reason: str, yes: bool, kubeconfig: Path | None, context: str | None) -> None:
    """Show what the error budget gate holds, ask, and let the newest commit pass.

    Args:
        namespace: of the ClusterState.
        name: of the ClusterState.
        reason: why, for those who ask later.
        yes: do not ask.
        kubeconfig: None for the default one.
        context: None for the current one.

    Raises:
        Exit: with 1; the person said no.
        StaleError: another commit came meanwhile, or somebody else writes all the time.
        CvstateError: it could not be read or written.
    """
    console = terminal.console()
    state = with_client(kubeconfig, context, lambda client: lookup.cluster_state(client, namespace, name))
    hold = budget_gate.hold(state)
    if hold is None:
        console.print(Text(why_nothing(state)), soft_wrap=True)
        return
    console.print(question(state, hold))
    if not confirmed(f"Let {hold.commit[:12]} pass", yes=yes):
        console.print(Text("Nothing was changed."))
        raise typer.Exit(1)
    with_client(kubeconfig, context, lambda client: _write(client, namespace, name, hold.commit, reason))
    console.print(Text(f"{hold.commit[:12]} may pass; watch it with: {layout.command('status', state)}"), soft_wrap=True)


# -- requests ------------------------------------------------------------------------------------------------------


async def _write(client: "Client", namespace: str, name: str, commit: str, reason: str) -> None:
    """Put the consent into the annotations.

    Raises:
        StaleError: it is not the newest commit any more, or somebody else writes all the time.
        CvstateError: it could not be written.
    """
    for _ in range(_ATTEMPTS):
        state = await lookup.cluster_state(client, namespace, name)
        try:
            with lookup.explained("patch", names.CLUSTER_STATES, namespace):
                where = lookup.path(names.CLUSTER_STATES, name, namespace=namespace)
                await client.patch(where, operations(state, commit, reason), manager=lookup.MANAGER)
            return
        except errors.InvalidError:
            pass  # A `test` that fails is a 422: the ClusterState is another one by now.
    raise errors.StaleError(f"{namespace}/{name} is written by somebody else all the time; try again")


def operations(state: "Body", commit: str, reason: str) -> list[dict[str, Any]]:
    """The JSON patch that lets `commit` pass, and no other: consents to older ones are of no use any more.

    Raises:
        StaleError: it is not the newest commit any more.
    """
    newest = commit_of(_newest(state))
    if newest != commit:
        raise errors.StaleError(
            f"the newest commit is {newest[:12] or 'not known'} by now, and not {commit[:12]}; look at it, and approve it anew"
        )
    annotations = {**(state["metadata"].get("annotations") or {}), names.FIX: commit, REASON: reason}
    guard = {"op": "test", "path": "/metadata/resourceVersion", "value": state["metadata"]["resourceVersion"]}
    return [guard, {"op": "add", "path": "/metadata/annotations", "value": annotations}]


def _newest(state: Mapping[str, Any]) -> str:
    return str(((state.get("status") or {}).get("source") or {}).get("revision") or "")


# -- presentation --------------------------------------------------------------------------------------------------


def why_nothing(state: Mapping[str, Any]) -> str:
    """Why there is nothing to let pass, for people."""
    where = f"{state['metadata']['namespace']}/{state['metadata']['name']}"
    commit = commit_of(_newest(state))
    if not commit:
        return f"{where} has no revision yet, so that nothing is held; see: {layout.command('status', state)}"
    if (mode := budget_gate.mode(state)) is not GateMode.HOLD:
        return f"Nothing is held by an error budget in {where}: spec.gates.errorBudget is {mode}."
    if budget_gate.is_given_up(state, commit):
        return f"{commit[:12]} is not held by an error budget: it is quarantined. Give it another try with: {layout.command('rollback', state, '--undo')}"
    if commit in budget_gate.fixes(state):
        return f"{commit[:12]} may pass already; see what it waits for: {layout.command('plan', state)}"
    return f"Nothing is held by an error budget in {where}."


def question(state: Mapping[str, Any], hold: "Hold") -> Table:
    """What would pass, which SLOs hold it, and what else keeps it from being applied."""
    meta = state["metadata"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(f"{meta['namespace']}/{meta['name']}"), "")
    committed = ((state.get("status") or {}).get("source") or {}).get("commitTime")
    age = f"  committed {layout.age(committed)} ago" if committed else ""
    table.add_row("  passes", Text.assemble((one_line(hold.revision, 300), "bold green"), age))
    for told in hold.slos:
        line = Text.assemble((f"SLO {one_line(told['name'])}", "bold red"), f": {one_line(told['message'], 300)}")
        table.add_row("  held by", line)
        if burns := status_vital.budget(told):
            table.add_row("", Text(burns))
    if not hold.slos:
        table.add_row("  held by", Text("SLOs that the operator did not ask for since its start; it does so within a minute", "yellow"))
    for other in _others(state):
        table.add_row("  waits for", Text(other, "yellow"))
    table.add_row("", Text("Only this commit passes. The next one waits again, as long as the SLOs are not met.", "dim"))
    return table


def _others(state: Mapping[str, Any]) -> list[str]:
    """What keeps the commit from being applied all the same, as far as the ClusterState tells."""
    spec, window, found = state.get("spec") or {}, (state.get("status") or {}).get("window") or {}, []
    if spec.get("suspend"):
        found.append(f"it is suspended; go on with: {layout.command('resume', state)}")
    if spec.get("mode") == "Observe":
        found.append("spec.mode is Observe, so that nothing is ever written")
    if "NewRevision" in (window.get("blocks") or ()):
        until = f" until {one_line(window['nextChange'])}" if window.get("nextChange") else ""
        found.append(f"a window that is closed{until} for new revisions")
    return found
