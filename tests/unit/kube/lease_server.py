"""An API server that keeps Leases in memory, behind the methods of our client. What it answers is compared with a real one in tests/integration/test_leases.py."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from cvstate_operator import errors
from cvstate_operator.kube.client import Client

Json = dict[str, Any]


class LeaseServer:
    """One namespace."""

    def __init__(self) -> None:
        self.leases: dict[str, Json] = {}
        self.requests: list[tuple[float, str]] = []
        """When each came, and its verb."""
        self.failures: dict[str, errors.CvstateError] = {}
        """What each verb is answered with; `*` for all."""
        self.delays: dict[str, float] = {}
        """How long each verb waits before it is carried out, seconds."""
        self.lost: dict[str, int] = {}
        """How many more answers of a verb get lost, after it was carried out."""
        self._version = 100

    def client(self) -> Client:
        """What `Leases` takes for a client."""
        return cast(Client, self)

    def holders(self) -> list[str]:
        """Who holds the Leases, sorted; empty for one that was given up."""
        return sorted(each["spec"]["holderIdentity"] for each in self.leases.values())

    def edit(self, name: str, **spec: Any) -> None:
        """As somebody would by hand."""
        self.leases[name]["spec"].update(spec)
        self._touch(self.leases[name])

    # -- as Client ------------------------------------------------------------------------------------------------

    async def pages(self, path: str, *, params: Mapping[str, str] | None = None) -> AsyncIterator[Json]:
        await self._begin("list")
        wanted = dict(part.split("=") for part in (params or {}).get("labelSelector", "").split(",") if part)
        found = [each for each in self.leases.values() if wanted.items() <= each["metadata"]["labels"].items()]
        half = len(found) // 2
        for part in (found[:half], found[half:]):
            yield {"items": copy.deepcopy(part), "metadata": {}}

    async def create(self, path: str, body: Mapping[str, Any]) -> Json:
        await self._begin("create")
        made = copy.deepcopy(dict(body))
        name = made["metadata"]["name"]
        if name in self.leases:
            raise errors.StaleError(f"leases {name} already exists")
        made["metadata"]["uid"] = f"uid-{self._version}"
        self.leases[name] = made
        return await self._answer("create", self._touch(made))

    async def get(self, path: str) -> Json | None:
        await self._begin("get")
        return copy.deepcopy(self.leases.get(path.rpartition("/")[2]))

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, manager: str) -> Json:
        await self._begin("patch")
        name = path.rpartition("/")[2]
        if name not in self.leases:
            raise errors.NotFoundError(f"leases {name} not found")
        changed = copy.deepcopy(self.leases[name])
        for operation in operations:
            _, section, key = operation["path"].split("/")
            if operation["op"] == "test" and changed[section].get(key) != operation["value"]:
                raise errors.InvalidError("testing value failed")
            if operation["op"] == "add":
                changed[section][key] = operation["value"]
        self.leases[name] = changed
        return await self._answer("patch", self._touch(changed))

    async def delete(self, path: str, *, uid: str, resource_version: str) -> bool:
        await self._begin("delete")
        name = path.rpartition("/")[2]
        if name in self.leases:
            meta = self.leases[name]["metadata"]
            if (meta["uid"], meta["resourceVersion"]) != (uid, resource_version):
                raise errors.StaleError("the object changed meanwhile")
            del self.leases[name]
        return True

    async def _begin(self, verb: str) -> None:
        self.requests.append((asyncio.get_running_loop().time(), verb))
        await asyncio.sleep(self.delays.get(verb, 0.0))
        if failure := self.failures.get(verb) or self.failures.get("*"):
            raise failure

    async def _answer(self, verb: str, body: Json) -> Json:
        if self.lost.get(verb):
            self.lost[verb] -= 1
            await asyncio.sleep(3600)
        return copy.deepcopy(body)

    def _touch(self, lease: Json) -> Json:
        self._version += 1
        lease["metadata"]["resourceVersion"] = str(self._version)
        return lease
