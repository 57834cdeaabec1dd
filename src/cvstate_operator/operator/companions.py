"""Companions: what is known of StateApprovals, ClusterStatePlans and EmergencyStops. Kept by events; JSON that anybody may have written."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.reconcile.ports import Consents

LOOKS: Final = 3
"""How often the EmergencyStops are listed in a row while events about them come meanwhile."""

Changed = Callable[[str], None]
"""Called with the namespace in which what may be written may have changed; empty for all."""


class Companions:
    """Of one process."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._approvals: dict[str, dict[str, Mapping[str, Any]]] = {}
        """By namespace and name."""
        self._plans: dict[str, dict[str, Mapping[str, Any]]] = {}
        """By the uid of the ClusterState, and name."""
        self._stops: dict[str, str] = {}
        """By name: the reason given."""
        self._heard: set[str] = set()
        """Names of EmergencyStops that events spoke of since the last list of them was asked for."""

    async def load(self, client: Client) -> None:
        """Learn whether an EmergencyStop is in force: before anything is written, and now and then since an event may be missed.

        An event may be quicker than the answer, which tells of a moment before it: of those that an event spoke of meanwhile the list has no say, and it is asked for again.

        Raises:
            CvstateError: that cannot be told.
        """
        for _ in range(LOOKS):
            self._heard.clear()
            there = await self._listed(client)
            for name in there.keys() - self._heard:
                self._note_stop(name, there[name])
            for name in self._stops.keys() - there.keys() - self._heard:
                self._note_stop(name, None)
            if not self._heard:
                return

    @staticmethod
    async def _listed(client: Client) -> dict[str, Mapping[str, Any]]:
        """The EmergencyStops as the API server has them, by name."""
        try:
            found = await client.get(f"/apis/{names.API_VERSION}/{names.EMERGENCY_STOPS}")
        except errors.ForbiddenError as exc:
            raise errors.ForbiddenError(f"whether an EmergencyStop is in force cannot be told: {exc.message}") from exc
        return {str(stop["metadata"]["name"]): stop for stop in (found or {}).get("items", ())}

    def stopped(self) -> str:
        """Why nothing may be written in the whole cluster; empty if it may."""
        if not self._stops:
            return ""
        name, reason = min(self._stops.items())
        return f"{name} ({reason})" if reason else name

    def consents(self, namespace: str, uid: str) -> Consents:
        """What people wrote about the plans of one ClusterState."""
        return Consents(tuple(self._approvals.get(namespace, {}).values()), tuple(self._plans.get(uid, {}).values()))

    def approval_seen(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A StateApproval is as it says, or went."""
        meta = body["metadata"]
        _keep(self._approvals, meta["namespace"], meta["name"], None if gone else body)
        self._changed(meta["namespace"])

    def plan_seen(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A ClusterStatePlan is as it says, or went."""
        meta = body["metadata"]
        for owner in meta.get("ownerReferences") or ():
            if owner.get("kind") == names.CLUSTER_STATE:
                _keep(self._plans, owner["uid"], meta["name"], None if gone else body)

    def stop_seen(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """An EmergencyStop is as it says, or went."""
        name = str(body["metadata"]["name"])
        self._heard.add(name)
        self._note_stop(name, None if gone else body)

    def _note_stop(self, name: str, body: Mapping[str, Any] | None) -> None:
        """An EmergencyStop is like this; None: there is none."""
        before = self.stopped()
        if body is None:
            self._stops.pop(name, None)
        else:
            self._stops[name] = one_line(str((body.get("spec") or {}).get("reason", "")))
        if self.stopped() != before:
            self._changed("")


def _keep(folders: dict[str, dict[str, Mapping[str, Any]]], folder: str, name: str, body: Mapping[str, Any] | None) -> None:
    """Put a body where it belongs, or take it away; empty folders are not kept."""
    if body is not None:
        folders.setdefault(folder, {})[name] = body
    elif folder in folders:
        folders[folder].pop(name, None)
        if not folders[folder]:
            del folders[folder]
