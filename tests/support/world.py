"""One test's own corner of the cluster: a namespace, a repository, a ClusterState."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cvstate_operator.api.names import REQUESTED_AT, RESET_AT
from cvstate_operator.cli.demo.git_server import GitServer, Repository
from tests.cluster.control_plane import Cluster
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.operator import Operator
from tests.support.waiting import until

_counter = itertools.count(1)


@dataclass
class World:
    """See the module."""

    cluster: Cluster
    api: Api
    git: GitServer
    operator: Operator
    name: str = field(default_factory=lambda: f"t{next(_counter)}")
    repository: Repository = field(init=False)
    _declared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.repository = self.git.repository(self.name)
        self.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})

    # -- the ClusterState ------------------------------------------------------------------------------------------

    def path(self, plural: str, name: str = "", *, group: str = "", namespace: str | None = None) -> str:
        """URL path of an object in this test's namespace; group as `apps/v1`, empty for the core."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{namespace or self.name}/{plural}" + (f"/{name}" if name else "")

    def declare(self, name: str = "state", *, git: Mapping[str, Any] | None = None, **spec: Any) -> None:
        """Apply a ClusterState on this test's repository."""
        source = {"url": self.git.url(self.name), "path": "apps", "interval": "1s", **(git or {})}
        body = {
            "apiVersion": "cvstate.io/v1alpha1",
            "kind": "ClusterState",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"source": {"git": source}, **spec},
        }
        code, answer = self.api.apply(f"{CLUSTER_STATES.format(self.name)}/{name}", body)
        assert code < 300, answer
        self._declared.add(name)

    def state(self, name: str = "state") -> Json:
        found = self.api.get(f"{CLUSTER_STATES.format(self.name)}/{name}")
        assert found is not None
        return found

    def condition(self, kind: str = "Ready", name: str = "state") -> Json:
        return next((c for c in self.state(name).get("status", {}).get("conditions", ()) if c["type"] == kind), {})

    def request(self, name: str = "state") -> str:
        """Ask for a full reconcile, and wait until it is done; returns the value that the status shows now."""
        value = self.trigger(name)
        until("the request is handled", lambda: self.state(name).get("status", {}).get("lastHandledReconcileAt") == value)
        return value

    def trigger(self, name: str = "state", *, reset: bool = False) -> str:
        """Ask for a full reconcile, and with `reset` for another try of what is left alone; returns the value that the status will show once it is done."""
        value = f"r{next(_counter)}"
        annotations = {REQUESTED_AT: value, **({RESET_AT: value} if reset else {})}
        self.api.merge(f"{CLUSTER_STATES.format(self.name)}/{name}", {"metadata": {"annotations": annotations}})
        return value

    # -- what happens ----------------------------------------------------------------------------------------------

    def commit(self, files: Mapping[str, str | None], *, tell: bool = True, **kwargs: Any) -> str:
        """Commit files below apps/; every ClusterState of this test is told of it, unless its own polls are to find it."""
        commit = self.repository.commit({f"apps/{name}": content for name, content in files.items()}, **kwargs)
        for name in sorted(self._declared) if tell else ():
            self.trigger(name)
        return commit

    def wait_applied(self, commit: str, name: str = "state", *, seconds: float = 20.0) -> None:
        """Wait until that commit is applied without a problem and Ready says so."""

        def applied() -> bool:
            status = self.state(name).get("status", {})
            return commit in status.get("lastAppliedRevision", "") and self.condition(name=name).get("status") == "True"

        try:
            until(f"{commit} is applied", applied, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {self.state(name).get('status')}") from None

    def wait_ready(self, name: str = "state") -> Json:
        """Wait until the ClusterState is Ready, and return the condition. For one that is Ready already and is to become so again: `wait_applied`."""
        return until("it is Ready", lambda: (found := self.condition("Ready", name)).get("status") == "True" and found)

    def wait_failed(self, reason: str, name: str = "state", *, mentions: str = "", kind: str = "Ready") -> Json:
        """Wait until Ready is False for that reason, and the message holds a text; returns the condition."""

        def failed() -> Json | None:
            found = self.condition(kind, name)
            return found if found.get("status") == "False" and found.get("reason") == reason and mentions in found["message"] else None

        try:
            return until(f"{kind}=False, {reason}, {mentions!r}", failed)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {self.state(name).get('status')}") from None

    def writes(self, since: int) -> list[str]:
        """Writing requests of the operator to managed objects since a mark of the audit log, as `verb resource namespace/name`."""
        own = ("clusterstates", "events")
        found = self.cluster.audit.requests(since, user="cvstate-operator")
        return [f"{r.verb} {r.resource} {r.namespace}/{r.name}" for r in found if r.is_write and r.resource not in own]

    def events(self, reason: str) -> list[str]:
        """Notes of Events of that reason in this namespace."""
        found = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.name}/events") or {"items": []}
        return [e.get("note", "") for e in found["items"] if e["reason"] == reason]
