"""`cvstate backup`: writes everything of ours that is in a cluster into one file."""

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cvstate_operator import __version__, errors
from cvstate_operator.api import names, restoring
from cvstate_operator.cli import lookup
from cvstate_operator.cli.backup import document
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, check_namespace, with_client

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

_NAMES_SHOWN: Final = 10


def backup(
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Only what is in this namespace; EmergencyStops are in none. Default: the whole cluster."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write, replaced if it is there. Default: standard output.", dir_okay=False),
    ] = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Also write a backup without any ClusterState.")] = False,
    allow_half_restored: Annotated[
        bool, typer.Option("--allow-half-restored", help="Also write ClusterStates that a restore left half-way, suspended as they are.")
    ] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Write all ClusterStates, what became of their revisions, approvals, plans and EmergencyStops into one file.

    Secrets are not in it; those that are needed are named. What is in Git is not in it either: see docs/backup.md.

    A cluster, or a namespace, without ClusterStates is taken for an error: most often it is the wrong one, and its backup would replace a good one.
    So are ClusterStates that a restore left half-way: they are suspended, and may lack what became of their revisions.

    Ends with 0, with 2 on an error; then nothing was written, and an older file is as it was.

    Examples:

      cvstate backup -o cvstate.yaml

      cvstate backup -n team-a -o team-a.yaml

      cvstate backup | gpg -e -r ops > cvstate.yaml.gpg
    """
    check_namespace(namespace)
    found = with_client(kubeconfig, context, lambda client: _gather(client, namespace))
    staying = [body for body in found if "deletionTimestamp" not in body["metadata"]]
    documents = [document.kept(body) for body in staying]
    if not allow_empty and not any(one["kind"] == names.CLUSTER_STATE for one in documents):
        raise errors.SettingsError(_empty(namespace, leaving=len(found) - len(staying), kept=output))
    half = [f"{body['metadata']['namespace']}/{body['metadata']['name']}" for body in staying if restoring.is_marked(body)]
    if half and not allow_half_restored:
        raise errors.SettingsError(_half(half, kept=output))
    about = f"Backup of {f'namespace {namespace}' if namespace else 'the whole cluster'}, {_now()}, by cvstate {__version__}"
    text = document.written(documents, about=about)
    if output:
        _write(output, text)
    else:
        typer.echo(text, nl=False)
    for line in _summary(documents, leaving=len(found) - len(staying), needs=[document.told(need) for need in document.needs(documents)]):
        typer.echo(line, err=True)


async def _gather(client: "Client", namespace: str | None) -> list[dict[str, Any]]:
    """All objects of our kinds.

    Raises:
        CvstateError: one of the lists cannot be read; half a backup would be taken for a whole one.
    """
    found: list[dict[str, Any]] = []
    for kind, plural in document.PLURALS.items():
        if namespace and kind == names.EMERGENCY_STOP:
            continue
        with lookup.explained("list", plural, namespace or ""):
            pages = client.pages(lookup.path(plural, namespace=namespace or ""))
            # Items of a list do not say what they are.
            found += [{**item, "kind": kind} async for page in pages for item in page["items"]]
    return found


def _empty(namespace: str | None, *, leaving: int, kept: Path | None) -> str:
    """Why nothing was written, and what to do."""
    where = f"namespace {namespace}" if namespace else "the cluster"
    rest = f" but {leaving} that {'is' if leaving == 1 else 'are'} being deleted" if leaving else ""
    return (
        f"{where} has no ClusterState{rest}, so that no backup was written{_older(kept)}; "
        "name another one with --context or --namespace, or write it all the same with --allow-empty"
    )


def _half(marked: Sequence[str], *, kept: Path | None) -> str:
    """Why nothing was written, and what to do."""
    rest = f" and {len(marked) - _NAMES_SHOWN} more" if len(marked) > _NAMES_SHOWN else ""
    return (
        f"a restore left half-way: {', '.join(marked[:_NAMES_SHOWN])}{rest}; so no backup was written{_older(kept)}; "
        "bring cvstate restore to its end, or write it all the same with --allow-half-restored"
    )


def _older(kept: Path | None) -> str:
    """What became of an older backup; empty if there is none."""
    return f", and {kept} was left as it is" if kept and kept.is_file() else ""


def _write(file: Path, text: str) -> None:
    """Write the file as a whole or not at all: an older backup is not lost to one that breaks off. For nobody else to
    read: no Secret is in it, but people write into a ClusterState what they should not.

    Raises:
        SettingsError: it cannot be written.
    """
    new: Path | None = None
    try:
        target = file.resolve()
        if target.exists() and not target.is_file():  # a pipe or a terminal: nothing to replace
            target.write_text(text, encoding="utf-8")
            return
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        new = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(target)
    except OSError as exc:
        if new:
            new.unlink(missing_ok=True)
        raise errors.SettingsError(f"cannot write {file}: {exc.strerror}; name another file with --output") from exc


def _summary(documents: Sequence[Mapping[str, Any]], *, leaving: int, needs: Sequence[str]) -> list[str]:
    """What was written, what was left out, and what has to be kept elsewhere."""
    counts = Counter(one["kind"] for one in documents)
    told = ", ".join(f"{number} {kind}{'s' if number != 1 else ''}" for kind, number in counts.items()) or "nothing"
    lines = [f"Written: {told}."]
    if leaving:
        lines.append(f"Left out: {leaving} that {'is' if leaving == 1 else 'are'} being deleted.")
    if needs:
        lines += ["Not in it, and needed to restore it:", *(f"  {need}" for need in needs)]
    return lines


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
