"""References: Secrets and ConfigMaps that specs refer to, read by name, with the rights of one account, and kept for a while. Never shared between accounts."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Final

from cvstate_operator import errors
from cvstate_operator.kube.client import Client

_PLURALS: Final = {"Secret": "secrets", "ConfigMap": "configmaps"}
KEPT: Final = 2000
"""Most of them kept; the one that was read first goes first."""
KEPT_SECONDS: Final = 3600.0
"""How long one is kept at most, whoever would do with an older one: what nobody names any more, or is deleted, does not stay in memory: it goes with the next
read, or when somebody tidies up. Longer than the 10 minutes that a ClusterState looks at everything again by default."""


class References:
    """See the port of the same name in reconcile/ports.py."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: dict[tuple[str, str, str], tuple[float, Mapping[str, bytes]]] = {}

    async def read(self, kind: str, namespace: str, name: str, *, max_age: float) -> Mapping[str, bytes]:
        """The data of one Secret or ConfigMap; read anew if what is kept is older than `max_age` seconds, or than KEPT_SECONDS.

        Raises:
            ReferenceMissingError: it does not exist.
            CvstateError: it could not be read.
        """
        key, now = (kind, namespace, name), asyncio.get_running_loop().time()
        self.tidy()
        read_at, data = self._kept.get(key, (float("-inf"), {}))
        if now - read_at < max_age:
            return data
        self._kept.pop(key, None)
        try:
            found = await self._client.get(f"/api/v1/namespaces/{namespace}/{_PLURALS[kind]}/{name}")
        except errors.ImpersonationRefusedError:
            raise
        except errors.ForbiddenError as exc:
            said = exc.message.rpartition("; ")[0]
            raise errors.ForbiddenError(
                f"{kind} {namespace}/{name} may not be read: {said}; grant get on it to that account, or correct the ClusterState"
            ) from exc
        if found is None:
            raise errors.ReferenceMissingError(
                f"{kind} {namespace}/{name} does not exist; create it, or correct its name in the ClusterState"
            )
        data = _data(found, kind)
        self._kept.pop(key, None)  # others may have read it at the same time; the last one comes last
        self._kept[key] = (now, data)
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)))
        return data

    def tidy(self) -> None:
        """Forget what was read more than KEPT_SECONDS ago. Each read does, but nobody may read any more."""
        before = asyncio.get_running_loop().time() - KEPT_SECONDS
        while self._kept and next(iter(self._kept.values()))[0] < before:
            self._kept.pop(next(iter(self._kept)))


def _data(found: Mapping[str, Mapping[str, str]], kind: str) -> dict[str, bytes]:
    if kind == "Secret":
        return {name: _decoded(value) for name, value in (found.get("data") or {}).items()}
    plain = {name: value.encode() for name, value in (found.get("data") or {}).items()}
    return {**plain, **{name: _decoded(value) for name, value in (found.get("binaryData") or {}).items()}}


def _decoded(value: str | None) -> bytes:
    try:
        return base64.b64decode(value or "")
    except binascii.Error:
        return b""  # the API server stores nothing else than base64
