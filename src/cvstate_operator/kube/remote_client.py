"""The client of a remote cluster: its kubeconfig is read when it is needed, and again when it may have changed.

To whoever asks it is a client like any other. That the cluster cannot be reached, whatever the reason, is `TargetUnreachableError`: it concerns those alone whose objects
are there.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from cvstate_operator import errors
from cvstate_operator.kube import kubeconfig, remote
from cvstate_operator.kube.client import PAGE_OBJECTS, Client, Observe, Params
from cvstate_operator.kube.connection import USER_AGENT, Connection
from cvstate_operator.kube.intake import MAX_OBJECTS
from cvstate_operator.kube.pace import Pace
from cvstate_operator.kube.wire import Fence, not_fenced
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.manifest import Body

READ_SECONDS: Final = 60.0
"""How old the kubeconfig may be that a request goes by: tokens are rotated, and a rotated one works for a while beside the new one."""
AGAIN_SECONDS: Final = 5.0
"""How soon it is read again at the earliest after the cluster refused it, or after it could not be had. Who rotates a token that ends at once waits no longer than that, and a
cluster with a hundred watches asks for the Secret no oftener: the longest pause of a watch (`informer.RETRY_SECONDS`)."""

ReadKubeConfig = Callable[[float], Awaitable[bytes]]
"""Gives the kubeconfig as it was in its Secret at most so many seconds ago; raises CvstateError."""


class RemoteClient(Client):
    """See the module."""

    def __init__(
        self,
        read: ReadKubeConfig,
        *,
        where: str,
        policy: AddressPolicy,
        observe: Observe,
        pace: Pace | None = None,
        fence: Fence = not_fenced,
        tenant: str = "",
        user_agent: str = USER_AGENT,
    ) -> None:
        """
        Args:
            read: the kubeconfig.
            where: it stands, for messages: `Secret team-a/prod, key value`.
            policy: which addresses may be connected to.
            observe: told of every finished request.
            pace: told how requests that write went.
            fence: as of any client.
            tenant: namespace of the kubeconfig: its clusters share the turns at name servers.
            user_agent: as for our own API server.
        """
        super().__init__(None, observe=observe, pace=pace, fence=fence)
        self._read = read
        self._where = where
        self._policy = policy
        self._tenant = tenant
        self._user_agent = user_agent
        self._digest = b""
        self._read_at = self._asked_at = float("-inf")
        """When the kubeconfig was read last, and when it was since the cluster had refused it."""
        self._is_refused = False
        """Whether the cluster refused it since it was read."""
        self._problem: errors.CvstateError | None = None
        """Why it could not be had."""
        self._connecting = asyncio.Lock()
        self._former: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close everything; whatever was opened belongs to this client."""
        connection = self._connection
        await super().close()
        if connection:
            await connection.close()
        await asyncio.gather(*self._former, return_exceptions=True)

    async def watch(self, path: str, *, params: Params, opened: Callable[[], None] = lambda: None) -> AsyncIterator[Body]:
        """As of any client."""
        await self._connect()
        try:
            async for event in super().watch(path, params=params, opened=opened):
                yield event
        except (errors.NetworkError, errors.ServerTimeoutError) as exc:
            problem = self._unreachable(exc)
        except errors.UnauthorizedError:
            self._refuse()
            raise
        else:
            return
        raise problem

    async def pages(self, path: str, *, params: Params | None = None) -> AsyncIterator[Body]:
        """As of any client, but a server that a tenant chose is held to what was asked.

        Raises:
            TargetUnreachableError: a page is none, or holds more than was asked for.
        """
        listed, page = 0, None
        try:
            async for page in super().pages(path, params=params):
                if not isinstance(page, dict) or not isinstance(page.get("items"), list) or not isinstance(page.get("metadata"), dict):
                    raise errors.NetworkError(f"the list of {path} is answered by something else")
                if len(page["items"]) > PAGE_OBJECTS:
                    raise errors.NetworkError(
                        f"a page of the list of {path} holds more than the {PAGE_OBJECTS} objects that were asked for"
                    )
                if (listed := listed + len(page["items"])) > MAX_OBJECTS:
                    raise errors.NetworkError(f"the list of {path} holds more than {MAX_OBJECTS} objects")
                yield page
            return
        except errors.TargetUnreachableError:
            raise
        except errors.NetworkError as exc:
            problem = self._unreachable(exc)
        del page
        raise problem

    async def _exchange(self, method: str, path: str, target: str, accept: str, content_type: str, body: bytes) -> Body:
        await self._connect()
        try:
            return await super()._exchange(method, path, target, accept, content_type, body)
        except (errors.NetworkError, errors.ServerTimeoutError) as exc:
            problem = self._unreachable(exc)
        except errors.UnauthorizedError:
            self._refuse()
            raise
        raise problem

    def _refuse(self) -> None:
        """The cluster does not accept the credentials. They may have been replaced since: the next request goes by what the Secret says then."""
        self._is_refused = True

    async def _connect(self) -> None:
        """Have a connection by the kubeconfig as it is.

        Raises:
            CvstateError: the kubeconfig cannot be read or used.
        """
        if self._is_read():
            return
        async with self._connecting:
            if self._is_read():
                return
            begun = asyncio.get_running_loop().time()
            is_refused, problem = self._is_refused, None
            try:
                await self._take(await self._read(0.0 if is_refused else READ_SECONDS / 2))
                self._is_refused = False
            except errors.CvstateError as exc:
                problem = exc
            self._problem, self._read_at = problem, begun
            self._asked_at = begun if is_refused else self._asked_at
            if problem:
                raise problem

    def _is_read(self) -> bool:
        """Whether the kubeconfig need not be read now; raises what went wrong with it if that was a moment ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._read_at + (AGAIN_SECONDS if self._problem else READ_SECONDS):
            return False
        if self._is_refused and now >= self._asked_at + AGAIN_SECONDS:
            return False
        if self._problem:
            raise self._problem.with_traceback(None)  # of this one; it would grow with each
        return True

    async def _take(self, data: bytes) -> None:
        """Go by this kubeconfig, if it is another one."""
        if (digest := hashlib.sha256(data).digest()) != self._digest:
            found = kubeconfig.read(data, where=self._where, policy=self._policy)
            await self._use(remote.connect(found, self._policy, tenant=self._tenant, user_agent=self._user_agent))
            self._digest = digest

    async def _use(self, connection: Connection) -> None:
        """Go by this connection from now on; what is under way on another one is broken off, and begun anew by whoever needs it."""
        before = self._connection
        await self._attach(connection)
        if before:
            task = asyncio.create_task(before.close(), name="close a connection")
            self._former.add(task)
            task.add_done_callback(self._former.discard)

    def _unreachable(self, error: errors.CvstateError) -> errors.TargetUnreachableError:
        """What that means. To be raised where no other error is handled, so that it has no cause: it is kept while the cluster is away, and with it all that tracebacks lead to,
        such as an answer of megabytes."""
        seconds = error.retry_after_seconds if isinstance(error, errors.TransientError) else None
        return errors.TargetUnreachableError(
            f"the cluster of {self._where} cannot be reached: {error.message}; see whether its API server answers at that address",
            retry_after_seconds=seconds,
        )
