"""`cvstate suspend`, `resume`, `reconcile` and `stop`: small writes that start and halt the operator's work."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.api.approval import MAX_REASON
from cvstate_operator.api.duration import human, parse_seconds
from cvstate_operator.cli import lookup, terminal
from cvstate_operator.cli.confirm import confirmed
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.manifest import Body

LOOK_SECONDS: Final = 0.25
"""Pause between two looks at a status that is waited for."""
STOP_NAME: Final = "stop"
"""Name of the EmergencyStop that this command makes; others may be made with kubectl."""

_UNUSABLE: Final = frozenset(kind.reason for kind in (errors.InvalidSpecError, errors.URLNotAllowedError, errors.InvalidURLError))
"""Reasons for which the operator does not look at a ClusterState at all, and so answers no request."""


# -- suspend and resume --------------------------------------------------------------------------------------------


def suspend(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Write nothing for a ClusterState until it is resumed; looking goes on, and drift is told.

    Sets spec.suspend. If the ClusterState itself comes from Git, set it there.

    Ends with 0, with 2 on an error.

    Examples:

      cvstate suspend shop -n team-a
    """
    namespace = chosen_namespace(namespace, kubeconfig, context)
    was = with_client(kubeconfig, context, lambda client: _switch(client, namespace, name, is_suspended=True))
    _say(namespace, name, "was suspended already" if was else "is suspended: nothing is written, looking goes on")


def resume(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Write again for a ClusterState that was suspended.

    Ends with 0, with 2 on an error.

    Examples:

      cvstate resume shop -n team-a
    """
    namespace = chosen_namespace(namespace, kubeconfig, context)
    was = with_client(kubeconfig, context, lambda client: _switch(client, namespace, name, is_suspended=False))
    _say(namespace, name, "is resumed: what differs is written now" if was else "was not suspended")


def _say(namespace: str, name: str, what: str) -> None:
    terminal.console().print(Text(f"{namespace}/{name} {what}."), soft_wrap=True)


async def _switch(client: "Client", namespace: str, name: str, *, is_suspended: bool) -> bool:
    """Set spec.suspend; returns what it was.

    Raises:
        SettingsError: it is half restored, and would not go on by this.
        KindUnknownError: the CRD in the cluster is too old to know the field.
    """
    found = await lookup.cluster_state(client, namespace, name)
    if restoring.is_marked(found):
        raise errors.SettingsError(
            f"{namespace}/{name} is half restored, and nobody looks at it; bring cvstate restore to its end (--suspend leaves it suspended)"
        )
    was = bool(found["spec"].get("suspend"))
    if was is is_suspended:
        return was
    change = {"op": "add", "path": "/spec/suspend", "value": is_suspended}
    with lookup.explained("patch", names.CLUSTER_STATES, namespace):
        now = await client.patch(lookup.path(names.CLUSTER_STATES, name, namespace=namespace), [change], manager=lookup.MANAGER)
    if bool(now["spec"].get("suspend")) is not is_suspended:
        raise errors.KindUnknownError(
            "the ClusterState resource of the cluster does not know spec.suspend; bring it up to date with: kubectl apply -f crds/"
        )
    return was


# -- reconcile -----------------------------------------------------------------------------------------------------


def reconcile(
    name: NameArgument,
    namespace: NamespaceOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and say how things stand.")] = True,
    timeout: Annotated[str, typer.Option(help="How long to wait.", metavar="DURATION")] = "5m",
    reset: Annotated[bool, typer.Option("--reset", help="Also try once more what is left alone after a fight.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Look at Git and at every object of a ClusterState now, and write what differs.

    Ends with 0 if it is Ready then, with 1 if it is not, with 2 on an error; with --no-wait with 0 as soon as it is asked for.

    Examples:

      cvstate reconcile shop -n team-a

      cvstate reconcile shop -n team-a --timeout 20m

      cvstate reconcile shop -n team-a --no-wait

      cvstate reconcile shop -n team-a --reset     once the rival of a fight is stopped
    """
    seconds = _seconds(timeout)
    namespace = chosen_namespace(namespace, kubeconfig, context)
    console = terminal.console()
    # The spinner is silent where standard error is no terminal.
    with Console(stderr=True).status("asking") as spinner:
        found = with_client(
            kubeconfig,
            context,
            lambda client: _reconcile(
                client, namespace, name, seconds=seconds if wait else 0.0, reset=reset, tell=lambda text: spinner.update(Text(text))
            ),
        )
    if not wait:
        console.print(Text(f"{namespace}/{name} is asked for a reconcile; see: cvstate status {name} -n {namespace}"), soft_wrap=True)
        return
    ready = _ready(found)
    is_ready = ready.get("status") == "True"
    verdict = Text("Ready" if is_ready else f"not Ready, {ready.get('reason', 'nothing is known')}", style="green" if is_ready else "red")
    console.print(Text(f"{namespace}/{name} ").append_text(verdict).append(f"  {one_line(ready.get('message', ''), 2000)}"), soft_wrap=True)
    if found["spec"].get("suspend"):
        console.print(Text(f"It is suspended, so nothing was written; go on with: cvstate resume {name} -n {namespace}"), soft_wrap=True)
    if not is_ready:
        raise typer.Exit(1)


def _seconds(timeout: str) -> float:
    """Seconds of --timeout.

    Raises:
        SettingsError: it is no duration, or zero.
    """
    try:
        seconds = parse_seconds(timeout)
    except ValueError as exc:
        raise errors.SettingsError(f"--timeout {exc}") from exc
    if not seconds:
        raise errors.SettingsError("--timeout must be longer than zero; to wait for nothing use --no-wait")
    return seconds


async def _reconcile(client: "Client", namespace: str, name: str, *, seconds: float, reset: bool, tell: Callable[[str], None]) -> "Body":
    """Ask for a reconcile, and wait until it is answered; returns the ClusterState as it is then.

    Raises:
        ServerTimeoutError: the request was not answered in time.
        NotFoundError: there is no such ClusterState, or no more.
    """
    state = await lookup.cluster_state(client, namespace, name)
    asked = _now()
    annotations = {names.REQUESTED_AT: asked, **({names.RESET_AT: asked} if reset else {})}
    where = lookup.path(names.CLUSTER_STATES, name, namespace=namespace)
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.CLUSTER_STATE,
        # With its uid, so that one which is deleted meanwhile is not made again.
        "metadata": {"name": name, "namespace": namespace, "uid": state["metadata"]["uid"], "annotations": annotations},
    }
    with lookup.explained("patch", names.CLUSTER_STATES, namespace):
        state = await client.apply(where, body, manager=lookup.MANAGER, force=True)
    deadline = time.monotonic() + seconds
    while seconds and not _is_answered(state, asked):
        if time.monotonic() > deadline:
            return _given_up(state, asked, seconds)
        tell(_progress(state, asked))
        await asyncio.sleep(LOOK_SECONDS)
        try:
            state = await lookup.cluster_state(client, namespace, name)
        except errors.NotFoundError:
            raise
        except errors.TransientError as exc:
            tell(exc.message)
    return state


def _is_handled(state: Mapping[str, Any], asked: str) -> bool:
    """Whether a full pass that began after the request is over; a later request by somebody else answers ours as well."""
    handled = state.get("status", {}).get("lastHandledReconcileAt")
    return handled is not None and handled in (asked, state["metadata"].get("annotations", {}).get(names.REQUESTED_AT))


def _is_answered(state: Mapping[str, Any], asked: str) -> bool:
    ready = _ready(state)
    if ready.get("reason") in _UNUSABLE and ready.get("observedGeneration") == state["metadata"]["generation"]:
        return True
    return _is_handled(state, asked) and ready.get("status") in ("True", "False")


def _given_up(state: "Body", asked: str, seconds: float) -> "Body":
    """The ClusterState if at least it was looked at.

    Raises:
        ServerTimeoutError: it was not.
    """
    if _is_handled(state, asked):
        return state
    raise errors.ServerTimeoutError(
        f"{state['metadata']['namespace']}/{state['metadata']['name']} was not looked at within {human(seconds)}; "
        "see whether the operator runs, or wait longer with --timeout"
    )


def _progress(state: Mapping[str, Any], asked: str) -> str:
    """What is going on, for the spinner."""
    ready = _ready(state)
    if _is_handled(state, asked) or ready.get("status") == "Unknown":
        return one_line(ready.get("message") or "working")
    return "waiting for the operator"


def _ready(state: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((c for c in state.get("status", {}).get("conditions", ()) if c["type"] == "Ready"), {})


def _now() -> str:
    """RFC 3339 with nanoseconds, so that no two requests are the same."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


# -- stop ----------------------------------------------------------------------------------------------------------


def stop(
    reason: Annotated[str | None, typer.Option(help="Stop all writes, and say why.")] = None,
    release: Annotated[bool, typer.Option("--release", help="Let writes go on.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say whether writes are stopped.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Stop all writes of the operator in the whole cluster, at once; looking goes on.

    Makes or deletes the EmergencyStop named `stop`. While any EmergencyStop exists, nothing is written.

    Ends with 0 if it was done, or if nothing is stopped (--status); with 1 if you say no, or if writes are (still) stopped; with 2 on an error.

    Examples:

      cvstate stop --reason "INC-42: wrong branch merged"

      cvstate stop --status

      cvstate stop --release
    """
    if sum((reason is not None, release, status)) != 1:
        raise errors.SettingsError("say one of --reason TEXT, --release and --status")
    if reason is not None and not 0 < len(reason.strip()) <= len(reason) <= MAX_REASON:
        raise errors.SettingsError(f"--reason must be a text of 1 to {MAX_REASON} characters")
    console = terminal.console()
    stops = with_client(kubeconfig, context, _stops)
    if reason is not None:
        _stop(console, stops, yes=yes, act=lambda: with_client(kubeconfig, context, partial(_create, reason=reason)))
        return
    if release:
        own = [one for one in stops if one["metadata"]["name"] == STOP_NAME]
        for one in own:
            with_client(kubeconfig, context, partial(_delete, one=one))
        stops = [one for one in stops if one not in own]
    _print_stops(console, stops)
    if stops:
        raise typer.Exit(1)


def _stop(console: Console, stops: Sequence[Mapping[str, Any]], *, yes: bool, act: Callable[[], object]) -> None:
    if any(one["metadata"]["name"] == STOP_NAME for one in stops):
        console.print(Text("Writes are stopped already; nothing was changed."))
        _print_stops(console, stops)
        return
    if not confirmed("Stop all writes of the operator in this cluster", yes=yes):
        console.print(Text("Nothing was stopped."))
        raise typer.Exit(1)
    act()
    console.print(Text("All writes stop within 5 seconds; looking goes on. To let them go on: cvstate stop --release"), soft_wrap=True)


async def _stops(client: "Client") -> "list[Body]":
    """Every EmergencyStop, by name."""
    with lookup.explained("list", names.EMERGENCY_STOPS):
        pages = client.pages(lookup.path(names.EMERGENCY_STOPS))
        found = [item async for page in pages for item in page["items"]]
    return sorted(found, key=lambda one: str(one["metadata"]["name"]))


async def _create(client: "Client", *, reason: str) -> "Body":
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.EMERGENCY_STOP,
        "metadata": {"name": STOP_NAME},
        "spec": {"reason": reason},
    }
    with lookup.explained("create", names.EMERGENCY_STOPS):
        return await client.create(lookup.path(names.EMERGENCY_STOPS), body)


async def _delete(client: "Client", *, one: Mapping[str, Any]) -> None:
    meta = one["metadata"]
    with lookup.explained("delete", names.EMERGENCY_STOPS):
        where = lookup.path(names.EMERGENCY_STOPS, meta["name"])
        await client.delete(where, uid=meta["uid"], resource_version=meta["resourceVersion"])


def _print_stops(console: Console, stops: Sequence[Mapping[str, Any]]) -> None:
    if not stops:
        console.print(Text("Writes are not stopped."))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("EMERGENCYSTOP", "SINCE"):
        table.add_column(column, no_wrap=True)
    table.add_column("REASON", overflow="fold")
    for one in stops:
        meta = one["metadata"]
        table.add_row(Text(meta["name"]), Text(meta["creationTimestamp"]), Text(one_line(one["spec"]["reason"], MAX_REASON)))
    console.print(
        Text("All writes are stopped, until each of these is gone (cvstate stop --release; kubectl delete emergencystop NAME):", "red")
    )
    console.print(table)
