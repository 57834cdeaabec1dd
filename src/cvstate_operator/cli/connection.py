"""What commands that talk to a cluster share: the options, and one short-lived client."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

KubeconfigOption = Annotated[
    Path | None,
    typer.Option(help="Kubeconfig of the cluster. Default: the Pod's service account, else $KUBECONFIG or ~/.kube/config.", dir_okay=False),
]
ContextOption = Annotated[str | None, typer.Option(help="Context of the kubeconfig. Default: its current one.")]

Result = TypeVar("Result")


def with_client(kubeconfig: Path | None, context: str | None, work: "Callable[[Client], Awaitable[Result]]") -> Result:
    """Run `work` with a client, and close it.

    Raises:
        CvstateError: no usable configuration, or whatever `work` raises.
    """

    async def run() -> Result:
        # Both take half a second to import; `--help` does without.
        from cvstate_operator.kube.client import Client
        from cvstate_operator.kube.connection import connect

        connection = await connect(kubeconfig, context)
        client = Client(connection, observe=_ignore)
        try:
            return await work(client)
        finally:
            await client.close()
            await connection.close()

    return asyncio.run(run())


def _ignore(*, action: str, result: str, seconds: float) -> None:
    """Requests of a command are not counted."""
