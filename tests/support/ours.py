"""The operator's own client, for tests that ask it about a live API server. Never used to judge what the operator did."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import connect
from tests.support.api import Json
from tests.support.world import World

Result = TypeVar("Result")


def ask(kubeconfig: Path, work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Do something with our client, as the user of that kubeconfig."""

    async def run() -> Result:
        connection = await connect(kubeconfig)
        client = Client(connection, observe=lambda **_: None)
        try:
            return await work(client)
        finally:
            await client.close()
            await connection.close()

    return asyncio.run(run())


def apply(world: World, path: str, body: Json, *, force: bool = False, kubeconfig: Path | None = None, **meta: str) -> Json:
    """Server-side apply as the operator sends it, with these additions to the metadata."""
    whole = {**body, "metadata": {**body["metadata"], **meta}}
    user = kubeconfig or world.cluster.operator_kubeconfig
    return ask(user, lambda client: client.apply(path, whole, manager="cvstate-operator", force=force))
