"""`cvstate status`: how things stand, as a table or one ClusterState in detail."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.cli import layout, lookup, status_detail, status_vital, terminal
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, check_namespace, chosen_namespace, with_client
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

_COLUMNS = ("NAMESPACE", "NAME", "READY", "SCORE", "DRIFT", "HEALTH", "OBJECTS", "REVISION", "AGE", "STATUS")
_NUMBERS = ("SCORE", "OBJECTS")
_DISPENSABLE = {"AGE": 30, "OBJECTS": 30, "REVISION": 30, "SCORE": 16}
"""Columns that are left out on a narrow terminal, in this order, where the last column would have fewer characters than this."""
_COMMIT = re.compile(r"sha1:([0-9a-f]{12})[0-9a-f]{28}\b")
"""A commit in a sentence, and as much of it as is shown."""
_SHORT_REVISION = 8
"""Characters of a commit id that are shown in the table."""


def status(
    name: Annotated[str | None, typer.Argument(help="One ClusterState, in detail. Default: a table of all.", metavar="NAME")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Default: all namespaces, or that of the context if NAME is given.")
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces, as is the default without NAME.")] = False,
    output: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="json prints the objects as the API server has them.")
    ] = "text",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show how ClusterStates stand: ready, score, drift, health, revision, problems.

    Ends with 0 if everything shown is Ready, with 1 if something is not, with 2 on an error.

    Examples:

      cvstate status                    all ClusterStates

      cvstate status -n team-a          those of one namespace

      cvstate status shop -n team-a     one in detail: what pulls its score down, and what to do

      cvstate status -o json
    """
    if everywhere and (name or namespace):
        raise typer.BadParameter("it goes neither with NAME nor with --namespace", param_hint="--all-namespaces")
    check_namespace(namespace)
    if name is not None:
        namespace = chosen_namespace(namespace, kubeconfig, context)
    found, events, stops = with_client(kubeconfig, context, lambda client: _load(client, name, namespace))
    if output == "json":
        typer.echo(json.dumps(found[0] if name else found, indent=2))
    else:
        console = terminal.console()
        for stop in stops:
            console.print(Text(f"All writes are stopped: {stop} (cvstate stop --release)", "bold red"), soft_wrap=True)
        is_narrow = console.width < terminal.NARROW_CHARACTERS
        console.print(status_detail.shown(found[0], events, is_narrow=is_narrow) if name else _table(found, width=console.width))
    if any(_condition(item, "Ready").get("status") != "True" for item in found):
        raise typer.Exit(1)


async def _load(client: "Client", name: str | None, namespace: str | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """The ClusterStates to show, the events of the one that is named, and the reasons of EmergencyStops."""
    if name is None:
        with lookup.explained("list", names.CLUSTER_STATES, namespace or ""):
            pages = [page async for page in client.pages(lookup.path(names.CLUSTER_STATES, namespace=namespace or ""))]
        return [item for page in pages for item in page["items"]], [], await _stops(client)
    where = str(namespace)
    one = await lookup.cluster_state(client, where, name)
    return [one], await _about(client, where, one["metadata"]["uid"]), await _stops(client)


async def _about(client: "Client", namespace: str, uid: str) -> list[dict[str, Any]]:
    """Events about one object; empty if this person may not see any: the rest is worth showing."""
    try:
        found = await client.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", params={"fieldSelector": f"regarding.uid={uid}"})
    except errors.ForbiddenError:
        return []
    return list((found or {}).get("items", []))


async def _stops(client: "Client") -> list[str]:
    """Why writes are stopped in the whole cluster; empty if they are not, or if this person may not see it."""
    try:
        found = await client.get(f"/apis/{names.API_VERSION}/{names.EMERGENCY_STOPS}")
    except (errors.ForbiddenError, errors.KindUnknownError):
        return []
    items = (found or {}).get("items", [])
    return sorted(one_line(f"{item['metadata']['name']}: {(item.get('spec') or {}).get('reason', '')}", 500) for item in items)


# -- presentation --------------------------------------------------------------------------------------------------


def _table(items: Sequence[Mapping[str, Any]], *, width: int) -> RenderableType:
    if not items:
        return Text(
            "No ClusterStates found. docs/quick-start.md shows how to make a first one; they may be in another cluster: see --context."
        )
    rows = [dict(zip(_COLUMNS, _row(item), strict=True)) for item in items]
    table = Table(box=None, pad_edge=False, header_style="bold")
    widths = {title: max(len(title), *(len(row[title]) for row in rows)) for title in _COLUMNS[:-1]}
    for title, least in _DISPENSABLE.items():
        if sum(widths.values()) + 2 * len(widths) + least > width:
            del widths[title]
    for title in widths:
        table.add_column(title, no_wrap=True, min_width=widths[title], justify="right" if title in _NUMBERS else "left")
    # Only the last column gives way on a narrow terminal; left to itself, rich takes from all.
    left = width - sum(widths.values()) - 2 * len(widths)
    table.add_column(_COLUMNS[-1], no_wrap=True, overflow="ellipsis", max_width=max(left, len(_COLUMNS[-1])))
    for row in rows:
        table.add_row(*(row[title] for title in (*widths, _COLUMNS[-1])))
    return table


def _row(item: Mapping[str, Any]) -> tuple[Text, ...]:
    meta, state = item["metadata"], item.get("status", {})
    ready, drift = _condition(item, "Ready"), _condition(item, "Drifted")
    return (
        Text(meta["namespace"]),
        Text(meta["name"]),
        _coloured(ready, status_detail.TRUE_IS_GOOD),
        status_vital.score_text(item),
        _coloured(drift, status_detail.TRUE_IS_BAD),
        _coloured(_condition(item, "Healthy"), status_detail.TRUE_IS_GOOD),
        Text(str(state.get("inventory", {}).get("objects", ""))),
        Text(_revision(state.get("lastAppliedRevision", ""))),
        Text(layout.age(meta["creationTimestamp"])),
        Text(one_line(_says(item), 300)),
    )


def _says(item: Mapping[str, Any]) -> str:
    """Why it is not Ready; else why it is not Healthy; else how it stands. The reason comes first: of a long text there is often room for no more."""
    ready, healthy = _condition(item, "Ready"), _condition(item, "Healthy")
    told = healthy if ready.get("status") == "True" and healthy.get("status", "True") != "True" else ready
    if restoring.is_marked(item):
        return "half restored: nobody looks at it until cvstate restore is at its end; run it again if it broke off"
    if not told:
        return "not seen by an operator yet"
    reason = "" if told["status"] == "True" else f"{told['reason']}: "
    return reason + _COMMIT.sub(r"\1", layout.said(told["message"], item))


def _condition(item: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    return next((c for c in item.get("status", {}).get("conditions", ()) if c["type"] == kind), {})


def _coloured(condition: Mapping[str, str], colours: Mapping[str, str]) -> Text:
    word = condition.get("status", "Unknown")
    return Text(word, style=colours.get(word, ""))


def _revision(revision: str) -> str:
    ref, _, commit = revision.rpartition("sha1:")
    return f"{ref}{commit[:_SHORT_REVISION]}"
