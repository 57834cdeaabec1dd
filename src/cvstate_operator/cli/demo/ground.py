"""The ground: what must be in a cluster before the operator starts, and an existing cluster left as it was found.

A cluster of our own goes as a whole; in one that was given, only what the demo itself made is removed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from cvstate_operator.api import crd, names
from cvstate_operator.cli.demo import application, observer, stage
from cvstate_operator.cli.demo.cluster import Cluster
from cvstate_operator.cli.demo.observer import Observer
from cvstate_operator.errors import CvstateError, SettingsError
from cvstate_operator.kube.connection import connect

CLEAN_UP_SECONDS: Final = 60.0
"""How long namespaces may take to go."""
PROBE_SECONDS: Final = 2.0
"""How long an operator that already runs may take to report on a new ClusterState. Ours takes 0.1 s."""

_NAMESPACES: Final = "/api/v1/namespaces"
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CLUSTER_STATES: Final = f"{names.CLUSTER_STATES}.{names.GROUP}"
"""Name of their CRD."""


@asynccontextmanager
async def prepared(ours: Cluster) -> AsyncIterator[Observer]:
    """Our CRDs and a namespace for the ClusterState; removed again with everything of the shop if the cluster is not ours.

    Raises:
        SettingsError: the cluster must not be used.
        CvstateError: it refuses, or cannot be reached.
    """
    connection = await connect(ours.admin_kubeconfig)
    try:
        async with Observer(connection) as eyes:
            had = await _check_free(eyes)
            try:
                await _install(eyes, had)
                if _CLUSTER_STATES in had:
                    await _check_alone(eyes)
                yield eyes
            finally:
                if not ours.is_own:
                    await _clean_up(eyes, had)
    finally:
        await connection.close()


async def _check_free(eyes: Observer) -> frozenset[str]:
    """Say which of our CRDs are there already, by their names.

    Raises:
        SettingsError: something in the cluster has a name that the demo would use.
    """
    declared = application.objects(application.files())
    ours = {stage.NAMESPACE, *(key.name for key in declared if key.kind in ("Namespace", "CustomResourceDefinition"))}
    namespaces = {item["metadata"]["name"] for item in (await eyes.send("GET", _NAMESPACES))["items"]}
    kinds = {item["metadata"]["name"] for item in (await eyes.send("GET", _CRDS))["items"]}
    if taken := sorted(ours & (namespaces | kinds)):
        raise SettingsError(
            f"the cluster already holds {', '.join(taken)}, which the demo would make and remove; delete them, or use another cluster"
        )
    return frozenset(kinds) & {definition["metadata"]["name"] for definition in crd.definitions()}


async def _check_alone(eyes: Observer) -> None:
    """See that no operator acts on ClusterStates here: two would write the same objects.

    Raises:
        SettingsError: one does.
    """
    await eyes.send(
        "PATCH",
        stage.CLUSTER_STATE,
        stage.cluster_state("http://127.0.0.1:9/probe"),
        kind=observer.APPLY,
        fieldManager=observer.USER_AGENT,
    )
    deadline = time.monotonic() + PROBE_SECONDS
    while time.monotonic() < deadline:
        if (await eyes.send("GET", stage.CLUSTER_STATE)).get("status"):
            raise SettingsError(
                "an operator already acts on ClusterStates in this cluster, and the demo brings its own; use another cluster"
            )
        await asyncio.sleep(0.1)
    await eyes.send("DELETE", stage.CLUSTER_STATE)


async def _install(eyes: Observer, had: Collection[str]) -> None:
    """Make the namespace, and those of our CRDs that are not there; wait until all are served."""
    definitions = crd.definitions()
    for definition in definitions:
        if definition["metadata"]["name"] not in had:
            await eyes.send("POST", _CRDS, definition)
    await eyes.send("POST", _NAMESPACES, {"metadata": {"name": stage.NAMESPACE}})
    for definition in definitions:
        path = f"/apis/{names.API_VERSION}/{definition['spec']['names']['plural']}"
        await _retry(partial(eyes.send, "GET", path), seconds=stage.PATIENCE_SECONDS)


async def _clean_up(eyes: Observer, had: Collection[str]) -> None:
    """Remove what the demo made, and wait until it is gone."""
    declared = application.objects(application.files())
    paths = [f"{_NAMESPACES}/{stage.NAMESPACE}"]
    paths += [application.address(body) for key, body in declared.items() if key.kind in ("Namespace", "CustomResourceDefinition")]
    ours = (definition["metadata"]["name"] for definition in crd.definitions())
    paths += [f"{_CRDS}/{name}" for name in ours if name not in had]
    for path in paths:
        with suppress(CvstateError):  # it was never made
            await eyes.send("DELETE", path)
    deadline = time.monotonic() + CLEAN_UP_SECONDS
    while paths and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        paths = [path for path in paths if await _exists(eyes, path)]


async def _exists(eyes: Observer, path: str) -> bool:
    try:
        await eyes.send("GET", path)
    except CvstateError:
        return False
    return True


async def _retry(request: Callable[[], Awaitable[object]], *, seconds: float) -> None:
    """Until it works; the last error goes through."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await request()
            return
        except CvstateError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)
