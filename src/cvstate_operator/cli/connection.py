"""What commands that talk to a cluster share: the options, the namespace that is meant, and one short-lived client."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

KubeconfigOption = Annotated[
    Path | None,
    typer.Option(help="Kubeconfig of the cluster. Default: the Pod's service account, else $KUBECONFIG or ~/.kube/config.", dir_okay=False),
]
ContextOption = Annotated[str | None, typer.Option(help="Context of the kubeconfig. Default: its current one.")]

DEFAULT_NAMESPACE: Final = "default"
"""Where nothing names another one; as kubectl does it."""
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Source: Kubernetes, "Accessing the Kubernetes API from a Pod"."""
_CONTEXTS_SHOWN: Final = 10

Result = TypeVar("Result")


def with_client(kubeconfig: Path | None, context: str | None, work: "Callable[[Client], Awaitable[Result]]") -> Result:
    """Run `work` with a client, and close it.

    Raises:
        NetworkError: the API server cannot be reached; says which one was asked, and how to name another.
        CvstateError: no usable configuration, or whatever else `work` raises.
    """
    check(kubeconfig, context)

    async def run() -> Result:
        # Both take half a second to import; `--help` does without.
        from cvstate_operator.kube.client import Client
        from cvstate_operator.kube.connection import connect

        connection = await connect(kubeconfig, context)
        client = Client(connection, observe=_ignore)
        try:
            return await work(client)
        except errors.NetworkError as exc:
            if isinstance(exc, errors.TargetUnreachableError):  # another cluster than the one that the options name
                raise
            raise errors.NetworkError(
                f"{exc.message} at {connection.server}; is it up? name another with --context or --kubeconfig"
            ) from exc
        finally:
            await client.close()
            await connection.close()

    return asyncio.run(run())


def _ignore(*, action: str, result: str, seconds: float) -> None:
    """Requests of a command are not counted."""


# -- the kubeconfig ------------------------------------------------------------------------------------------------


def check(kubeconfig: Path | None, context: str | None) -> None:
    """See that there is a kubeconfig with that context: the official client tells less clearly that there is not.

    Raises:
        SettingsError: there is none; says which file, and what to do.
    """
    if not _speaks_for_pod(kubeconfig):
        _context(kubeconfig, context)


def chosen_namespace(namespace: str | None, kubeconfig: Path | None, context: str | None) -> str:
    """The namespace that a command is about: the option, else that of the context (in a Pod: its own), else `default`.

    Raises:
        SettingsError: there is no usable kubeconfig, or the option is empty.
    """
    if namespace is not None:
        check_namespace(namespace)
        return namespace
    if not _speaks_for_pod(kubeconfig):
        return str(_context(kubeconfig, context).get("namespace") or DEFAULT_NAMESPACE)
    try:
        return _POD_NAMESPACE.read_text().strip() or DEFAULT_NAMESPACE
    except OSError:
        return DEFAULT_NAMESPACE


def check_namespace(namespace: str | None) -> None:
    """See that an option which names a namespace names one: an empty one, as by a variable that is not set, would mean the whole cluster.

    Raises:
        SettingsError: it is empty.
    """
    if namespace == "":
        raise errors.SettingsError("--namespace is empty; name one, or leave the option out")


def _speaks_for_pod(kubeconfig: Path | None) -> bool:
    from cvstate_operator.kube.connection import in_cluster

    return kubeconfig is None and in_cluster()


def _context(kubeconfig: Path | None, context: str | None) -> Mapping[str, Any]:
    """The context that is meant, as it stands in the file. Of several files the official client takes the last current context."""
    files = [kubeconfig] if kubeconfig else _default_files()
    contexts: dict[str, Mapping[str, Any]] = {}
    current = ""
    for file in files:
        content = _content(file)
        current = str(content.get("current-context") or current)
        for entry in content.get("contexts") or ():
            if isinstance(entry, dict) and isinstance(entry.get("context"), dict):
                contexts.setdefault(str(entry.get("name")), entry["context"])
    where, wanted = ", ".join(map(str, files)), context or current
    if not wanted:
        raise errors.SettingsError(f"{where} names no current context; give --context, or another file with --kubeconfig")
    if wanted not in contexts:
        there = ", ".join(sorted(contexts)[:_CONTEXTS_SHOWN]) or "none"
        raise errors.SettingsError(f"{where} has no context {one_line(wanted)}; there are: {one_line(there, 500)}")
    return contexts[wanted]


def _default_files() -> list[Path]:
    """Those of $KUBECONFIG that are there, or else the one in the home directory."""
    named = [Path(part).expanduser() for part in os.environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep) if part]
    found = [file for file in named if file.exists()]
    if not found:
        told = ", ".join(map(str, named)) or "in $KUBECONFIG"
        raise errors.SettingsError(f"there is no kubeconfig {told}; name one with --kubeconfig")
    return found


def _content(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)  # it is a safe one
    except OSError as exc:
        raise errors.SettingsError(f"cannot read the kubeconfig {file}: {exc.strerror}; name another with --kubeconfig") from exc
    except yaml.YAMLError:
        content = None  # its words may hold what is secret in the file
    if not isinstance(content, dict):
        raise errors.SettingsError(f"{file} is no kubeconfig: a YAML mapping is expected; name another with --kubeconfig")
    return content
