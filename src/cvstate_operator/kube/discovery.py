"""Discovery: which kinds the API server serves, and under which path.

Source: Kubernetes, "Aggregated discovery" (stable since 1.30): two requests tell everything but the version.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.recipe import Capabilities

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_NEEDED_VERBS: Final = frozenset({"list", "watch", "patch", "delete"})
"""Verbs without which a kind cannot be kept in step; virtual kinds (TokenReview, Binding) lack them."""


class Discovery:
    """What is served, as of the last `refresh`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._resources: Mapping[Gvk, ApiResource] = {}
        self._capabilities = Capabilities()
        self._refreshing: asyncio.Task[None] | None = None

    def resource(self, gvk: Gvk) -> ApiResource | None:
        """How `gvk` is served; None if it is not, or was not at the last refresh."""
        return self._resources.get(gvk)

    def any_version(self, group: str, kind: str) -> ApiResource | None:
        """Some served version of a kind, the API server's preferred one first; None if there is none."""
        return next((r for gvk, r in self._resources.items() if gvk.group == group and gvk.kind == kind), None)

    def capabilities(self) -> Capabilities:
        """Version of the API server and everything it serves, also what cannot be kept in step."""
        return self._capabilities

    async def refresh(self) -> None:
        """Ask the API server again; callers that come while an answer is under way share it."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        core, groups, version = await asyncio.gather(
            self._client.get("/api", accept=AGGREGATED), self._client.get("/apis", accept=AGGREGATED), self._client.get("/version")
        )
        found: dict[Gvk, ApiResource] = {}
        served: set[str] = set()
        for group in (*(core or {}).get("items", ()), *(groups or {}).get("items", ())):
            found.update(_resources(group))
            served.update(_served(group))
        self._resources = found
        self._capabilities = Capabilities((version or {}).get("gitVersion", ""), tuple(sorted(served)))


def _served(group: Mapping[str, Any]) -> Iterator[str]:
    """`apps/v1` and `apps/v1/Deployment`, as charts ask for them."""
    name = group["metadata"].get("name", "")
    for version in group.get("versions", ()):
        api_version = f"{name}/{version['version']}" if name else version["version"]
        yield api_version
        for entry in version.get("resources", ()):
            if kind := (entry.get("responseKind") or {}).get("kind"):
                yield f"{api_version}/{kind}"


def _resources(group: Mapping[str, Any]) -> dict[Gvk, ApiResource]:
    """Resources of one group; `versions` come in the server's order of preference."""
    name = group["metadata"].get("name", "")
    found = {}
    for version in group.get("versions", ()):
        for entry in version.get("resources", ()):
            kind = (entry.get("responseKind") or {}).get("kind")
            if kind and set(entry.get("verbs", ())) >= _NEEDED_VERBS:
                gvk = Gvk(name, version["version"], kind)
                has_status = any(below.get("subresource") == "status" for below in entry.get("subresources") or ())
                found[gvk] = ApiResource(gvk, entry["resource"], entry["scope"] == "Namespaced", has_status)
    return found
