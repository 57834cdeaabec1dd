"""`cvstate status`: how things stand, as a table or one ClusterState in detail."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.duration import human
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, with_client
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

_COLOURS = {"True": "green", "False": "red", "Unknown": "yellow"}
_INVERSE = {"True": "red", "False": "green", "Unknown": "yellow"}
_COLUMNS = ("NAMESPACE", "NAME", "READY", "DRIFT", "OBJECTS", "REVISION", "AGE", "STATUS")
_SHORT_REVISION = 8
"""Characters of a commit id that are shown in the table."""


def status(
    name: Annotated[str | None, typer.Argument(help="One ClusterState, in detail. Default: a table of all.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Default: all namespaces, or `default` if NAME is given.")
    ] = None,
    output: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="json prints the objects as the API server has them.")
    ] = "text",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show how ClusterStates stand: ready, drift, revision, problems.

    Ends with 0 if everything shown is Ready, with 1 if something is not, with 2 on an error.

    Examples:

      cvstate status                    all ClusterStates

      cvstate status -n team-a          those of one namespace

      cvstate status shop -n team-a     one in detail, with its problems and latest events

      cvstate status -o json
    """
    found, events = with_client(kubeconfig, context, lambda client: _load(client, name, namespace))
    if output == "json":
        typer.echo(json.dumps(found[0] if name else found, indent=2))
    else:
        console = Console()
        console.print(_detail(found[0], events) if name else _table(found))
    if any(_condition(item, "Ready").get("status") != "True" for item in found):
        raise typer.Exit(1)


async def _load(client: "Client", name: str | None, namespace: str | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The ClusterStates to show, and the events of the one that is named."""
    root = f"/apis/{names.API_VERSION}"
    try:
        if name is None:
            scope = f"/namespaces/{namespace}" if namespace else ""
            pages = [page async for page in client.pages(f"{root}{scope}/{names.CLUSTER_STATES}")]
            return [item for page in pages for item in page["items"]], []
        where = namespace or "default"
        one = await client.get(f"{root}/namespaces/{where}/{names.CLUSTER_STATES}/{name}")
    except errors.KindUnknownError as exc:
        raise errors.KindUnknownError("the cluster has no ClusterState resource; install it with: kubectl apply -f crds/") from exc
    if one is None:
        raise errors.NotFoundError(f"there is no ClusterState {where}/{name}; see: cvstate status")
    selector = f"regarding.uid={one['metadata']['uid']}"
    events = await client.get(f"/apis/events.k8s.io/v1/namespaces/{where}/events", params={"fieldSelector": selector})
    return [one], (events or {}).get("items", [])


# -- presentation --------------------------------------------------------------------------------------------------


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not items:
        return Text("No ClusterStates. The README shows a first one; apply it with kubectl apply -f.")
    rows = [_row(item) for item in items]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, title in enumerate(_COLUMNS):
        # Only the last column gives way on a narrow terminal.
        width = max(len(title), *(len(row[index]) for row in rows)) if index < len(_COLUMNS) - 1 else None
        table.add_column(title, no_wrap=True, min_width=width, overflow="ellipsis", justify="right" if title == "OBJECTS" else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _row(item: Mapping[str, Any]) -> tuple[Text, ...]:
    meta, state = item["metadata"], item.get("status", {})
    ready, drift = _condition(item, "Ready"), _condition(item, "Drifted")
    return (
        Text(meta["namespace"]),
        Text(meta["name"]),
        _coloured(ready.get("status", "Unknown"), _COLOURS),
        _coloured(drift.get("status", "Unknown"), _INVERSE),
        Text(str(state.get("inventory", {}).get("objects", ""))),
        Text(_revision(state.get("lastAppliedRevision", ""))),
        Text(_age(meta["creationTimestamp"])),
        Text(one_line(ready.get("message", "not seen by an operator yet"), 300)),
    )


def _detail(item: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> RenderableType:
    meta, spec, state = item["metadata"], item["spec"], item.get("status", {})
    git = spec["source"]["git"]
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("ClusterState", f"{meta['namespace']}/{meta['name']}")
    head.add_row("Source", Text(f"{git['url']}  path {git.get('path', '.')}"))
    head.add_row("Newest", Text(_source_line(state)))
    if signed_by := state.get("source", {}).get("signedBy"):
        head.add_row("Signed by", Text(one_line(signed_by, 300)))
    head.add_row("Applied", Text(state.get("lastAppliedRevision", "nothing yet")))
    head.add_row("Objects", str(state.get("inventory", {}).get("objects", 0)))
    if render := state.get("render"):
        tool = f" by {render['tool']}" if render.get("tool") else ""
        head.add_row("Rendered", Text(f"{render['type']}{tool}, {render['digest'][:19]}"))
        for warning in render.get("warnings", ()):
            head.add_row("", Text(one_line(warning, 1000), style="yellow"))
    return Group(head, Text(), _conditions(state), *_problems(state), *_drift(state), *_events(events))


def _source_line(state: Mapping[str, Any]) -> str:
    source = state.get("source")
    if not source:
        return "not read yet"
    followed = f"  by {source['ref']}" if source.get("ref", "").endswith(")") else ""
    return f"{source['revision']}{followed}  committed {_age(source['commitTime'])} ago"


def _conditions(state: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("CONDITION", "STATUS", "SINCE", "REASON"):
        table.add_column(column, no_wrap=True)
    table.add_column("MESSAGE", overflow="fold")
    for condition in state.get("conditions", ()):
        colours = _INVERSE if condition["type"] in ("Drifted", "Stalled") else _COLOURS
        table.add_row(
            condition["type"],
            _coloured(condition["status"], colours),
            _age(condition["lastTransitionTime"]),
            condition["reason"],
            Text(one_line(condition["message"], 1000)),
        )
    return table


def _problems(state: Mapping[str, Any]) -> list[RenderableType]:
    problems = state.get("problems")
    if not problems:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", title="\nProblems", title_justify="left", title_style="bold red")
    for column in ("REASON", "WHERE", "OBJECT"):
        table.add_column(column, overflow="fold")
    table.add_column("MESSAGE", overflow="fold", ratio=1)
    for problem in problems:
        where = problem.get("file", "") + (f" document {problem['document']}" if "document" in problem else "")
        table.add_row(
            problem["reason"], Text(one_line(where, 300)), Text(problem.get("object", "")), Text(one_line(problem["message"], 1000))
        )
    return [table]


def _drift(state: Mapping[str, Any]) -> list[RenderableType]:
    drift = state.get("drift")
    if not drift:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", title="\nOpen drift", title_justify="left", title_style="bold red")
    for column in ("OBJECT", "FIELD", "WRITTEN BY"):
        table.add_column(column, overflow="fold")
    for field in drift["sample"]:
        table.add_row(Text(field["object"]), Text(field["path"]), Text(one_line(field["manager"])))
    return [table]


def _events(events: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    if not events:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", title="\nLatest events", title_justify="left", title_style="bold")
    for column in ("AGE", "TYPE", "REASON"):
        table.add_column(column, no_wrap=True)
    table.add_column("MESSAGE", overflow="fold", ratio=1)
    for event in sorted(events, key=lambda e: e.get("eventTime") or "")[-10:]:
        table.add_row(_age(event["eventTime"]), event["type"], event["reason"], Text(one_line(event.get("note", ""), 1000)))
    return [table]


def _condition(item: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    return next((c for c in item.get("status", {}).get("conditions", ()) if c["type"] == kind), {})


def _coloured(word: str, colours: Mapping[str, str]) -> Text:
    return Text(word, style=colours.get(word, ""))


def _revision(revision: str) -> str:
    ref, _, commit = revision.rpartition("sha1:")
    return f"{ref}{commit[:_SHORT_REVISION]}"


def _age(moment: str) -> str:
    return human(max(0.0, round((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())))
