"""`cvstate tree`: the objects of a ClusterState and what controllers made for them, with the health of each."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from cvstate_operator.cli import lookup, terminal
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption

if TYPE_CHECKING:
    from cvstate_operator.cli.plan.bench import Tell
    from cvstate_operator.cli.tree_load import Loaded
    from cvstate_operator.kube.client import Client


def tree(
    name: NameArgument,
    namespace: NamespaceOption = None,
    unhealthy: Annotated[bool, typer.Option("--unhealthy", help="Only what is not Current, and what leads to it.")] = False,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, help="Levels to look at; 1: only the objects from Git. Default: all.")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="json: for programs.")] = "text",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show the objects of a ClusterState with what is below them: ReplicaSets, Pods, Jobs, volume claims; and why something is not ready.

    Looks at the cluster now, with your own rights. Kinds that you may not list are told, and the rest is shown.

    Ends with 0 if everything is Current, with 1 if something is not or could not be looked at, with 2 on an error.

    Examples:

      cvstate tree shop -n team-a

      cvstate tree shop -n team-a --unhealthy   what is wrong, with its containers

      cvstate tree shop -n team-a --depth 1     only the objects from Git

      cvstate tree shop -n team-a -o json
    """
    from cvstate_operator.cli import tree_nodes, tree_report
    from cvstate_operator.cli.plan.progress import Bar

    namespace = chosen_namespace(namespace, kubeconfig, context)
    with Bar() as bar:
        loaded = with_client(kubeconfig, context, lambda client: _load(client, namespace, name, depth, bar))
    nodes = tree_nodes.build(loaded.members, loaded.others, loaded.rules, with_status=loaded.with_status)
    nodes = tree_nodes.cut(nodes, depth) if depth else nodes
    shown = tree_nodes.unwell(nodes) if unhealthy else nodes
    if output == "json":
        typer.echo(json.dumps(tree_report.as_json(loaded, nodes, shown), indent=2))
    else:
        console = terminal.console()
        guides = tree_report.ASCII if console.options.ascii_only else tree_report.UNICODE
        lines = tree_report.as_text(loaded, nodes, shown, width=console.width, now=datetime.now(UTC), guides=guides)
        console.print(Text("\n").join(lines), soft_wrap=True)
    if loaded.unseen or not all(node.is_well for node in nodes):
        raise typer.Exit(1)


async def _load(client: "Client", namespace: str, name: str, depth: int | None, tell: "Tell") -> "Loaded":
    from cvstate_operator.cli import tree_load

    state = await lookup.cluster_state(client, namespace, name)
    return await tree_load.load(client, state, with_children=depth != 1, tell=tell)
