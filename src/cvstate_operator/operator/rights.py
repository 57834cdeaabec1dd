"""Rights: which account may write which objects of this cluster, as the API server says. An answer is kept for a moment.

Only an API server that says no is taken for a no: whoever has to know would delete something else. Whether an account may not, or only may not be asked about, is told apart like this:

| answer | counts as |
|---|---|
| a review that allows it | allowed |
| a review that does not, and could look at everything | refused |
| a review that does not, with an `evaluationError`: an authorizer was away, or a binding names a role that is not there | in doubt |
| the operator may not act as the account, neither by `impersonate` nor by `impersonate:serviceaccount` | refused |
| the operator may act as it, and not ask this in its name (constrained impersonation) | in doubt |
| the account may not ask, no answer, any other error | in doubt |
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, ObjectRef

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""Whoever is logged in may ask what he may himself (ClusterRole system:basic-user). Nothing is kept of it."""
KEPT_SECONDS: Final = 60.0
"""How long it counts that an account may."""
REFUSED_SECONDS: Final = 1.0
"""How long it counts that it may not: less than lies between two looks that have to agree, or else both would see one answer. A right that was granted takes as long to get to every
authorizer."""
DOUBT_SECONDS: Final = 10.0
"""How long nobody asks again what could not be told: a request that hangs takes 15 s."""
KEPT: Final = 10_000
"""Most answers kept; the oldest go first."""
CLIENTS: Final = 16
"""Most accounts whose connections stay open while nobody asks. Of those that nobody uses, the ones that were used longest ago are closed first."""
_ALL: Final = ("", "", "", "")
"""In place of group, plural, namespace and name: what is true of everything that an account could be asked about."""
_ON: Final = "impersonate-on:"
"""In what the API server says: it is this request that may not be made as the account. Since 1.36 it says so as well if the operator may not act as the account at all.
Source: kube-apiserver 1.36, endpoints/filters/impersonation/mode.go: the first of several ways is told, after all have been tried."""

_Key = tuple[str, str, str, str, str]
"""Account, group, plural, namespace, and name, which is empty for all."""


@dataclass(slots=True)
class _Opened:
    """A client in the name of an account."""

    client: Client
    users: int = 0


class Rights:
    """Of accounts of this cluster, asked for in their names."""

    def __init__(self, open_as: Callable[[str], Client], own: Client) -> None:
        """
        Args:
            open_as: a client in the name of an account (`namespace/name`); closed here.
            own: asks what the operator itself may; not closed here.
        """
        self._open_as = open_as
        self._own = own
        self._opened: dict[str, _Opened] = {}
        """By account; who was asked for last comes last."""
        self._kept: dict[_Key, tuple[float, bool]] = {}
        """Until when it counts (monotonic seconds), and whether the account may; doubt counts as if it may."""

    async def close(self) -> None:
        """Close the connections."""
        await self._close_idle(0)

    async def may_patch(self, account: str, resource: ApiResource, ref: ObjectRef) -> bool:
        """Whether an account may patch an object. Asked for all objects of the kind in the namespace, and if that is refused, for this one.

        What cannot be told now counts as allowed.

        Args:
            account: `namespace/name`.
            resource: how the kind is served.
            ref: the object.
        """
        kind = (account, resource.gvk.group, resource.plural, ref.namespace)
        if (known := self._known((account, *_ALL))) is not None:
            return known
        try:
            return await self._ask((*kind, "")) or await self._ask((*kind, ref.name))
        except errors.ImpersonationRefusedError as exc:
            may = not await self._is_out_of_reach(account, exc)
            return self._keep((account, *_ALL), may, DOUBT_SECONDS if may else REFUSED_SECONDS)
        except errors.CvstateError:
            return self._keep((account, *_ALL), True, DOUBT_SECONDS)

    async def _ask(self, key: _Key) -> bool:
        if (known := self._known(key)) is not None:
            return known
        account, group, plural, namespace, name = key
        async with self._as(account) as client:
            answer = await _review(client, verb="patch", group=group, resource=plural, namespace=namespace, name=name)
        if answer.get("allowed") is True:
            return self._keep(key, True, KEPT_SECONDS)
        return self._keep(key, True, DOUBT_SECONDS) if answer.get("evaluationError") else self._keep(key, False, REFUSED_SECONDS)

    async def _is_out_of_reach(self, account: str, exc: errors.ImpersonationRefusedError) -> bool:
        """Whether the operator may not act as an account, whatever it would do; else it may only not ask in its name.

        All other ways were tried before that error came, so it is asked about the one that may have been lacking nothing but the leave to ask.
        """
        if _ON not in exc.message:
            return True
        namespace, _, name = account.partition("/")
        try:
            answer = await _review(
                self._own,
                verb="impersonate:serviceaccount",
                group="authentication.k8s.io",
                resource="serviceaccounts",
                namespace=namespace,
                name=name,
            )
        except errors.CvstateError:
            return False
        return answer.get("allowed") is not True and not answer.get("evaluationError")

    # -- what is kept ----------------------------------------------------------------------------------------------

    def _known(self, key: _Key) -> bool | None:
        until, may = self._kept.get(key, (float("-inf"), False))
        return may if time.monotonic() < until else None

    def _keep(self, key: _Key, may: bool, seconds: float) -> bool:
        self._kept.pop(key, None)
        self._kept[key] = time.monotonic() + seconds, may
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)))
        return may

    @asynccontextmanager
    async def _as(self, account: str) -> AsyncIterator[Client]:
        """A client in the name of an account; its connection serves the next question too."""
        one = self._opened.pop(account, None) or _Opened(self._open_as(account))
        self._opened[account] = one
        one.users += 1
        try:
            yield one.client
        finally:
            one.users -= 1
            await self._close_idle(CLIENTS)

    async def _close_idle(self, most: int) -> None:
        for account in [account for account, one in self._opened.items() if not one.users][: max(len(self._opened) - most, 0)]:
            await self._opened.pop(account).client.close()


async def _review(client: Client, **wanted: str) -> dict[str, Any]:
    """What a SelfSubjectAccessReview says (`status`) of whoever the client is."""
    attributes = {key: value for key, value in wanted.items() if value or key == "group"}
    spec = {"resourceAttributes": attributes}
    answer = await client.create(_REVIEWS, {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec})
    return answer.get("status") or {}
