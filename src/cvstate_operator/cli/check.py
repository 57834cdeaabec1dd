"""`cvstate check`: render and validate files without a cluster, for CI."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from cvstate_operator import errors
from cvstate_operator.cli.connection import ContextOption, with_client

if TYPE_CHECKING:
    from cvstate_operator.cli.preflight.report import Outcome
    from cvstate_operator.kube.client import Client

TASK: Final = "cvstate_operator.cli.preflight.task"
CHECK_SECONDS: Final = 120.0
"""Limit of one check; 5,000 objects take about a second."""
MEMORY_BYTES: Final = 4 * 2**30
"""Memory of one check, on a machine of whoever runs it; kustomize and Helm have 1 GiB of their own limits."""
STDIN: Final = "-"
MAX_STDIN_BYTES: Final = 100 * 2**20
"""Longest standard input; the output of a large `helm template` is a few MB."""


def check(
    path: Annotated[str, typer.Argument(help="Directory or file to check; - reads standard input.", metavar="PATH")],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace of objects that name none: that of the ClusterState.")
    ] = "default",
    output: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--output", "-o", help="json: a list with the fields of status.problems, and the line. github: annotations."),
    ] = "text",
    render: Annotated[
        Literal["auto", "plain", "kustomize", "helm"] | None,
        typer.Option("--type", help="What PATH holds. Default: auto, or what the ClusterState says."),
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="GLOB", help="Plain YAML: only these files. May be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Plain YAML: not these files. May be repeated.")
    ] = None,
    set_var: Annotated[
        list[str] | None, typer.Option("--set-var", metavar="NAME=VALUE", help="Value of ${NAME} in the files. May be repeated.")
    ] = None,
    variables: Annotated[
        Path | None, typer.Option("--vars", help="File with lines NAME=VALUE.", exists=True, dir_okay=False, readable=True)
    ] = None,
    clusterstate: Annotated[
        Path | None,
        typer.Option(
            help="Check what the ClusterState in this file would apply; PATH is then the whole repository.", exists=True, dir_okay=False
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Count a kind without a schema as a problem.")] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Check against the kinds of this cluster, its CRDs included. Default: those of Kubernetes 1.36.", dir_okay=False),
    ] = None,
    context: ContextOption = None,
) -> None:
    """Check what the operator would apply: that files can be read and rendered, and that every object has the form of its kind.

    Nothing is asked of a cluster, unless --kubeconfig or --context is given. Nothing is ever written.

    Ends with 0 if there is nothing to mend, with 1 if there is, with 2 on an error.

    Examples:

      cvstate check .                              the whole checkout

      cvstate check apps/shop --output github      in a pull request

      cvstate check . --clusterstate shop.yaml     what this ClusterState would apply from here

      cvstate check apps --set-var region=eu       with a value for ${region}

      helm template chart | cvstate check -        what another tool made

      cvstate check . --kubeconfig prod.yaml       with the CRDs of a cluster
    """
    from cvstate_operator.cli.preflight import report
    from cvstate_operator.render import tools

    if path == STDIN and (clusterstate or render in ("kustomize", "helm")):
        raise errors.SettingsError("standard input holds manifests; give a directory with --clusterstate and --type")
    cluster = with_client(kubeconfig, context, _ask) if kubeconfig or context else None
    request = {
        **_input(path),
        "shown": path if path == STDIN else os.path.normpath(path),
        "namespace": namespace,
        "strict": strict,
        "type": render.capitalize() if render else "",
        "include": include or [],
        "exclude": exclude or [],
        "variables": variables_of(variables, set_var or []),
        "clusterstate": os.path.abspath(clusterstate) if clusterstate else "",
        "tools": tools.find(),
        **({"cluster": cluster} if cluster else {}),
    }
    outcome = asyncio.run(_run(request))
    if output == "json":
        typer.echo(report.as_json(outcome))
    else:
        lines = report.github(outcome) if output == "github" else report.text(outcome, colour=_is_colourful())
        typer.echo("\n".join(lines), color=True)
    if outcome.errors:
        raise typer.Exit(1)


def _input(path: str) -> dict[str, Any]:
    if path != STDIN:
        return {"root": os.path.abspath(path)}
    content = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(content) > MAX_STDIN_BYTES:
        raise errors.RenderTooLargeError(f"standard input is longer than {MAX_STDIN_BYTES // 2**20} MiB; split it, or give files")
    return {"text": content.decode("latin-1")}


def variables_of(file: Path | None, given: list[str]) -> dict[str, str]:
    """Values by name; those of the command line win over those of the file.

    Raises:
        SettingsError: one is not of the form NAME=VALUE.
    """
    lines = [line for line in _text(file).splitlines() if line.strip() and not line.lstrip().startswith("#")] if file else []
    found = {}
    for line in [*lines, *given]:
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            # The line may hold a secret.
            raise errors.SettingsError("a variable is not of the form NAME=VALUE; correct --set-var or the file of --vars")
        found[name.strip()] = value
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.SettingsError(f"{file} cannot be read as UTF-8 text; correct the file or the option") from exc


def _is_colourful() -> bool:
    """Source: https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


async def _run(request: dict[str, Any]) -> "Outcome":
    from rich.console import Console

    from cvstate_operator.cli.preflight.finding import Finding
    from cvstate_operator.cli.preflight.report import Outcome
    from cvstate_operator.isolation.child import ChildFailedError, Children, Limits

    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="cvstate-") as scratch:
        children = Children(Path(scratch), preload=[TASK])
        try:
            # The spinner is silent where standard error is no terminal.
            with console.status("checking"):
                answer = await children.run(TASK, request, limits=Limits(wall_seconds=CHECK_SECONDS, memory_bytes=MEMORY_BYTES))
        except ChildFailedError as exc:
            raise errors.BuildFailedError(f"the check was stopped: {exc.message}; check a narrower path") from exc
        finally:
            await children.close()
    return Outcome(answer["objects"], answer["files"], tuple(Finding(**finding) for finding in answer["findings"]))


async def _ask(client: "Client") -> dict[str, Any]:
    """The schemas of a cluster: OpenAPI for everything, and the CRDs themselves, of which OpenAPI tells less, if they may be read."""
    document = await client.get("/openapi/v2")
    version = await client.get("/version")
    try:
        pages = [page async for page in client.pages("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")]
    except errors.ForbiddenError:
        pages = []
    return {
        "openapi": document,
        "version": ((version or {}).get("gitVersion") or "").removeprefix("v"),
        "definitions": [{"spec": item["spec"]} for page in pages for item in page["items"]],
    }
