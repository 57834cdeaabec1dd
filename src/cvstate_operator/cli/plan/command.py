"""`cvstate plan`: what the operator would do with a commit, without writing anything."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from cvstate_operator import errors
from cvstate_operator.cli import lookup
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption

if TYPE_CHECKING:
    from cvstate_operator.api.clusterstate import ClusterStateSpec
    from cvstate_operator.cli.plan.bench import Bench, Tell
    from cvstate_operator.cli.plan.result import Plan
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.artifact import Artifact


def plan(
    name: NameArgument,
    namespace: NamespaceOption = None,
    branch: Annotated[str | None, typer.Option(help="Newest commit of this branch.")] = None,
    tag: Annotated[str | None, typer.Option(help="The commit of this tag.")] = None,
    commit: Annotated[str | None, typer.Option(help="This commit, by its full id.", metavar="SHA")] = None,
    semver: Annotated[str | None, typer.Option(help="The highest tag in this range, as in '^1.2'.", metavar="RANGE")] = None,
    path: Annotated[str | None, typer.Option(help="Directory in the repository. Default: as in the ClusterState.", metavar="DIR")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A checkout on this machine instead of Git; read as it is, committed or not.", metavar="DIR")
    ] = None,
    output: Annotated[
        Literal["text", "json", "markdown"], typer.Option("--output", "-o", help="markdown: for a comment in a pull request.")
    ] = "text",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show what the operator would do with a commit. Nothing is written.

    The commit is fetched, rendered and compared as the operator does it, with your own rights. Default: the newest commit of what the ClusterState follows.

    Ends with 0 if there is nothing to do, with 1 if there is, with 2 on an error.

    Examples:

      cvstate plan shop -n team-a                          the newest commit

      cvstate plan shop -n team-a --branch feature         what merging would do, before it is merged

      cvstate plan shop -n team-a --file .                 this checkout, before it is committed

      cvstate plan shop -n team-a --tag v1.2 -o markdown   for a comment in a pull request
    """
    from cvstate_operator.cli.plan import report
    from cvstate_operator.cli.plan.progress import Bar

    chosen = {key: value for key, value in {"branch": branch, "tag": tag, "commit": commit, "semver": semver}.items() if value is not None}
    if len(chosen) + (file is not None) > 1:
        raise errors.SettingsError("say at most one of --branch, --tag, --commit, --semver and --file")
    namespace = chosen_namespace(namespace, kubeconfig, context)
    with Bar() as bar:
        found = with_client(
            kubeconfig, context, lambda client: _plan(client, namespace, name, chosen=chosen, path=path, directory=file, tell=bar)
        )
    report.show(found, output)
    if not found.is_empty:
        raise typer.Exit(1)


async def _plan(
    client: "Client", namespace: str, name: str, *, chosen: dict[str, str], path: str | None, directory: Path | None, tell: "Tell"
) -> "Plan":
    from cvstate_operator.cli.plan.bench import Bench

    state = await lookup.cluster_state(client, namespace, name)
    async with Bench(client, state, tell) as bench:
        spec = overridden(bench.spec, chosen, path)
        artifact = await (bench.local(spec, directory) if directory else bench.fetched(spec))
        return await _compared(bench, spec, artifact)


def overridden(spec: "ClusterStateSpec", chosen: dict[str, str], path: str | None) -> "ClusterStateSpec":
    """The spec with another ref or path.

    Raises:
        SettingsError: one of them cannot be meant.
    """
    from cvstate_operator.api.source import GitRef, GitSource

    git = spec.source.git
    changes: dict[str, Any] = {}
    try:
        if chosen:
            changes["ref"] = GitRef.model_validate(chosen)
        if path is not None:
            changes["path"] = GitSource.model_validate({"url": git.url, "path": path}).path
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        what = (
            "full commit ids have 40 digits from 0 to f" if first["loc"] == ("commit",) else str(first["msg"]).removeprefix("Value error, ")
        )
        raise errors.SettingsError(f"--{first['loc'][-1]}: {what}") from exc
    if not changes:
        return spec
    return spec.model_copy(update={"source": spec.source.model_copy(update={"git": git.model_copy(update=changes)})})


async def _compared(bench: "Bench", spec: "ClusterStateSpec", artifact: "Artifact") -> "Plan":
    from cvstate_operator.cli.plan.compare import Comparison
    from cvstate_operator.cli.plan.result import Plan

    wanted, warnings = await bench.desired(spec, artifact)
    await bench.observe(wanted)
    orders = await bench.orders(spec, artifact.commit)
    comparison = Comparison(bench, wanted, orders)
    entries = await comparison.entries()
    pruned, kept = comparison.pruned()
    closed = dict.fromkeys(orders.gates.blocks.values())
    return Plan(
        state=f"{bench.namespace}/{bench.name}",
        ref=artifact.ref,
        revision=artifact.revision,
        objects=len(wanted.objects),
        entries=(*entries, *pruned),
        kept=kept,
        problems=comparison.problems,
        gates=tuple((block, tuple(action.value for action, one in orders.gates.blocks.items() if one == block)) for block in closed),
        warnings=(*warnings, *_doubts(bench, artifact)),
    )


def _doubts(bench: "Bench", artifact: "Artifact") -> list[str]:
    """What makes the plan differ from what the operator would do."""
    from cvstate_operator.api import names
    from cvstate_operator.plan.history import History, commit_of

    annotations = bench.state["metadata"].get("annotations") or {}
    rejected = {part.strip() for part in annotations.get(names.REJECTED, "").split(",")}
    quarantined = History.read(bench.status).quarantined
    release = f"release it with: cvstate rollback {bench.name} -n {bench.namespace} --undo"
    found = []
    if artifact.commit and artifact.commit in rejected:
        found.append(f"a person rejected this commit, so that it is not applied; {release}")
    elif why := quarantined.get(commit_of(artifact.revision)):
        found.append(f"this commit is quarantined, so that it is not applied: {why}; {release}")
    if bench.unseen:
        kinds = ", ".join(sorted(map(str, bench.unseen)))
        found.append(f"your user may not list {kinds} in the whole cluster; what left Git of them is not shown")
    return found
