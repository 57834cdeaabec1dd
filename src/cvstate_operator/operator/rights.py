"""Rights: which account may write which objects of this cluster, as the API server says. An answer is kept for a moment."""

import time
from collections.abc import Callable
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, ObjectRef

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""Whoever is logged in may ask what he may himself (ClusterRole system:basic-user). Nothing is kept of it."""
KEPT_SECONDS: Final = 60.0
"""How long an answer counts."""
KEPT: Final = 10_000
"""Most answers kept; the oldest go first."""


class Rights:
    """Of accounts of this cluster, asked for in their names."""

    def __init__(self, open_as: Callable[[str], Client]) -> None:
        """
        Args:
            open_as: a client in the name of an account (`namespace/name`), to be closed after use.
        """
        self._open_as = open_as
        self._kept: dict[tuple[str, str, str, str, str], tuple[float, bool]] = {}
        """By account, group, plural, namespace and name, which is empty for all: when it was asked (monotonic seconds), and the answer."""

    async def may_patch(self, account: str, resource: ApiResource, ref: ObjectRef) -> bool:
        """Whether an account may patch an object. Asked for all objects of the kind in the namespace, and if that is refused, for this one.

        An account that the operator may not act as may do nothing. What cannot be told now counts as allowed: who has to know would delete something else.

        Args:
            account: `namespace/name`.
            resource: how the kind is served.
            ref: the object.
        """
        kind = (account, resource.gvk.group, resource.plural, ref.namespace)
        try:
            return await self._ask(*kind, "") or await self._ask(*kind, ref.name)
        except errors.ForbiddenError:
            return False
        except errors.CvstateError:
            return True

    async def _ask(self, account: str, group: str, plural: str, namespace: str, name: str) -> bool:
        key, now = (account, group, plural, namespace, name), time.monotonic()
        asked, allowed = self._kept.get(key, (float("-inf"), False))
        if now < asked + KEPT_SECONDS:
            return allowed
        wanted = {"verb": "patch", "group": group, "resource": plural, "namespace": namespace, "name": name}
        client = self._open_as(account)
        try:
            answer = await client.create(_REVIEWS, _review(wanted))
        finally:
            await client.close()
        self._kept.pop(key, None)
        self._kept[key] = (now, allowed := (answer.get("status") or {}).get("allowed") is True)
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)))
        return allowed


def _review(wanted: dict[str, str]) -> dict[str, Any]:
    attributes = {key: value for key, value in wanted.items() if value or key == "group"}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
