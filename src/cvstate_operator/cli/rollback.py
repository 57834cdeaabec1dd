"""`cvstate rollback`: has the operator leave a revision for the last good one, or give it another try."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.cli import lookup, terminal
from cvstate_operator.cli.confirm import confirmed
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.history import Entry, History, Stage, commit_of

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.manifest import Body

_COLOURS: Final = {Stage.HEALTHY: "green", Stage.UNHEALTHY: "red", Stage.APPLYING: "yellow", Stage.APPLIED: "yellow"}
_BY_A_PERSON: Final = "rejected by a person"
_ATTEMPTS: Final = 3
"""How often the annotations are read and written again if somebody else writes meanwhile."""


def rollback(
    name: NameArgument,
    namespace: NamespaceOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let the rejected or quarantined revision be applied again.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the history, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Reject the newest revision of a ClusterState, so that the operator goes back to the last good one.

    The next commit in Git is taken as usual. Kinds that hold data stay as they are (spec.rollback.excludeKinds).

    Ends with 0 if it was done, with 1 if you say no, with 2 on an error.

    Examples:

      cvstate rollback shop -n team-a           show, ask, go back

      cvstate rollback shop -n team-a --list    the history

      cvstate rollback shop -n team-a --undo    give the revision another try
    """
    if undo and list_:
        raise errors.SettingsError("say one of --undo and --list")
    namespace = chosen_namespace(namespace, kubeconfig, context)
    console = terminal.console()
    state = with_client(kubeconfig, context, lambda client: lookup.cluster_state(client, namespace, name))
    if list_:
        console.print(_history(state))
        return
    commit = _to_undo(state) if undo else _to_reject(state)
    for line in _question(state, commit, undo=undo):
        console.print(line, soft_wrap=True)
    if not confirmed("Give it another try" if undo else "Go back", yes=yes):
        console.print(Text("Nothing was changed."))
        raise typer.Exit(1)
    with_client(kubeconfig, context, lambda client: _write(client, namespace, name, commit, undo=undo))
    done = "may be applied again" if undo else "is rejected"
    console.print(Text(f"{commit[:12]} {done}; watch it with: cvstate status {name} -n {namespace}"), soft_wrap=True)


# -- which commit --------------------------------------------------------------------------------------------------


def newest(state: Mapping[str, Any]) -> str:
    """The revision that the source gave last; empty if none was read yet."""
    status = state.get("status") or {}
    return str((status.get("source") or {}).get("revision") or status.get("lastAttemptedRevision") or "")


def _to_reject(state: Mapping[str, Any]) -> str:
    """The commit to stay away from.

    Raises:
        NotFoundError: there is nothing to go back from, or to.
    """
    commit, history = commit_of(newest(state)), History.read(state.get("status") or {})
    where = f"{state['metadata']['namespace']}/{state['metadata']['name']}"
    if not commit:
        raise errors.NotFoundError(f"{where} has no revision yet, so that there is nothing to go back from; see: cvstate status")
    rejected = annotated(state, names.REJECTED)
    if commit in rejected or commit in history.quarantined:
        raise errors.NotFoundError(f"{where} left {commit[:12]} already; commit a mend to Git, or try it again with --undo")
    if good(state, commit) is None:
        raise errors.NotFoundError(
            f"{where} has no other revision in its history that became healthy, so that there is nothing to go back to; "
            "revert the commit in Git (git revert), or stop writes with: cvstate suspend"
        )
    return commit


def _to_undo(state: Mapping[str, Any]) -> str:
    """The commit to be tried again.

    Raises:
        NotFoundError: nothing is rejected or quarantined.
    """
    commit, history = commit_of(newest(state)), History.read(state.get("status") or {})
    candidates = [*([commit] if commit else []), *history.quarantined, *annotated(state, names.REJECTED)]
    bad = {*history.quarantined, *annotated(state, names.REJECTED)}
    for one in candidates:
        if one in bad:
            return one
    raise errors.NotFoundError(
        f"nothing is rejected or quarantined in {state['metadata']['namespace']}/{state['metadata']['name']}; see it with --list"
    )


def good(state: Mapping[str, Any], commit: str) -> Entry | None:
    """Where a rollback from `commit` goes; None if nowhere."""
    return History.read(state.get("status") or {}).good({commit, *annotated(state, names.REJECTED)})


def annotated(state: Mapping[str, Any], name: str) -> list[str]:
    """The commits that an annotation names, in its order."""
    value = str((state["metadata"].get("annotations") or {}).get(name) or "")
    return [part.strip() for part in value.split(",") if part.strip()]


# -- requests ------------------------------------------------------------------------------------------------------


async def _write(client: "Client", namespace: str, name: str, commit: str, *, undo: bool) -> None:
    """Put the decision into the annotations; what they say of other commits stays.

    Raises:
        StaleError: somebody else writes all the time.
        CvstateError: it could not be written.
    """
    for attempt in range(_ATTEMPTS):
        state = await lookup.cluster_state(client, namespace, name)
        try:
            with lookup.explained("patch", names.CLUSTER_STATES, namespace):
                where = lookup.path(names.CLUSTER_STATES, name, namespace=namespace)
                await client.patch(where, operations(state, commit, undo=undo), manager=lookup.MANAGER)
            return
        except errors.InvalidError as exc:
            # A `test` that fails is a 422: the annotations are others by now.
            if attempt == _ATTEMPTS - 1:
                raise errors.StaleError(f"{namespace}/{name} is written by somebody else all the time; try again") from exc


def operations(state: "Body", commit: str, *, undo: bool) -> list[dict[str, Any]]:
    """The JSON patch that rejects a commit, or takes that back."""
    annotations = dict(state["metadata"].get("annotations") or {})
    rejected, released = annotated(state, names.REJECTED), annotated(state, names.RELEASED)
    others = [one for one in released if one != commit]
    if undo:
        rejected = [one for one in rejected if one != commit]
        if commit in History.read(state.get("status") or {}).quarantined:
            # Only another value is news to the operator: a commit that was released before, and quarantined again, is named twice.
            released = [*others, *[commit] * (2 if released.count(commit) == 1 else 1)]
    else:
        rejected, released = [*rejected, commit], others
    for key, commits in ((names.REJECTED, rejected), (names.RELEASED, released)):
        annotations.pop(key, None)
        if commits:
            annotations[key] = ",".join(commits)
    guard = {"op": "test", "path": "/metadata/resourceVersion", "value": state["metadata"]["resourceVersion"]}
    return [guard, {"op": "add", "path": "/metadata/annotations", "value": annotations}]


# -- presentation --------------------------------------------------------------------------------------------------


def _question(state: Mapping[str, Any], commit: str, *, undo: bool) -> list[Text]:
    from cvstate_operator.cli.plan.report import short

    meta = state["metadata"]
    lines = [Text(f"{meta['namespace']}/{meta['name']}", "bold")]
    if undo:
        why = quarantined(state).get(commit, "")
        return [*lines, Text.assemble("  try again  ", (commit[:12], "bold"), f"  {one_line(why, 300)}")]
    target = good(state, commit)
    at = f"  healthy, begun {target.started_at:%Y-%m-%d %H:%M:%SZ}" if target else ""
    lines.append(Text.assemble("  from  ", (short(newest(state)), "bold red")))
    lines.append(Text.assemble("  to    ", (short(target.revision) if target else "", "bold green"), at))
    if (state.get("spec") or {}).get("suspend"):
        lines.append(Text("  It is suspended, so that nothing is written until it is resumed.", "yellow"))
    return lines


def quarantined(state: Mapping[str, Any]) -> dict[str, str]:
    """Commits that are not applied, and why."""
    return {**History.read(state.get("status") or {}).quarantined, **dict.fromkeys(annotated(state, names.REJECTED), _BY_A_PERSON)}


def _history(state: Mapping[str, Any]) -> Table | Text:
    from cvstate_operator.api.duration import human
    from cvstate_operator.cli.plan.report import short

    entries = History.read(state.get("status") or {}).entries
    bad = quarantined(state)
    if not entries and not bad:
        return Text("No revision was begun yet.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("REVISION", "OUTCOME", "STARTED", "DURATION"):
        table.add_column(column, no_wrap=True)
    table.add_column("NOT APPLIED BECAUSE", overflow="fold")
    for entry in entries:
        table.add_row(
            Text(short(entry.revision)),
            Text(entry.stage.value, _COLOURS.get(entry.stage, "")),
            f"{entry.started_at:%Y-%m-%d %H:%M:%SZ}",
            human(entry.seconds) if entry.seconds is not None else "",
            Text(one_line(bad.pop(entry.commit, ""), 300), "red"),
        )
    for commit, why in bad.items():
        table.add_row(Text(commit[:12]), "", "", "", Text(one_line(why, 300), "red"))
    return table
