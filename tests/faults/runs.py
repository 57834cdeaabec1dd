"""A run: one ClusterState in a namespace of its own, what is wanted of it from moment to moment, and what it came to."""

import math
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.operator.event_writer import TOGETHER_SECONDS
from tests.cluster.control_plane import Cluster
from tests.support import invariants
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.fault_proxy import FaultProxy, Seen
from tests.support.invariants import Entry, Wish
from tests.support.objects import RBAC, config_map, definition, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

MAY_TAKE_LONG: Final = "CVSTATE_FAULT_SEEDS" in os.environ
SEEDS: Final = range(1, 1 + int(os.environ.get("CVSTATE_FAULT_SEEDS", "1")))
each_seed = pytest.mark.parametrize("seed", SEEDS)
long = pytest.mark.skipif(not MAY_TAKE_LONG, reason="takes long; set CVSTATE_FAULT_SEEDS")
WATCHED_SECONDS: Final = 20.0 if MAY_TAKE_LONG else 3.0
"""How long something is watched that should not happen, and how long what stands still does."""
CONVERGE_SECONDS: Final = 60.0
"""L1: from the end of the faults to the desired state; the longest pause of the back-off."""
UNLIMITED: Final = {"maxDeletes": 100, "maxPercent": 100}
"""`spec.prune` of all: a few of a few objects are more than may go unasked by default."""
NETWORKING: Final = "networking.k8s.io/v1"
PLURALS: Final = {
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Deployment": "deployments",
    "Job": "jobs",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Widget": "widgets",
    "Namespace": "namespaces",
    "CustomResourceDefinition": "customresourcedefinitions",
}


def objects(run: str) -> list[Json]:
    """Thirty objects of eleven kinds; in every namespace and group stands the run's name."""
    extra, group = f"{run}-extra", f"{run}.example.test"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    found = [manifest("Namespace", extra), definition(group, "Widget")]
    found += [config_map(f"c{i}", key=f"value {i}") for i in range(6)]
    found += [manifest("ConfigMap", f"x{i}", namespace=extra, data={"key": "there"}) for i in range(2)]
    found += [manifest("Secret", f"s{i}", type="Opaque", data={"key": "dmFsdWU="}) for i in range(2)]
    found += [manifest("ServiceAccount", f"a{i}") for i in range(2)]
    found += [manifest("Service", f"v{i}", spec={"clusterIP": "None", "selector": {"app": "a"}, "ports": ports}) for i in range(3)]
    found += [plain_deployment(f"d{i}") for i in range(4)]
    found += [manifest("Role", f"r{i}", api_version=RBAC, rules=rules) for i in range(2)]
    for i in range(2):
        subjects = [{"kind": "ServiceAccount", "name": f"a{i}", "namespace": run}]
        reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": f"r{i}"}
        found.append(manifest("RoleBinding", f"b{i}", api_version=RBAC, roleRef=reference, subjects=subjects))
    found += [
        manifest("NetworkPolicy", f"n{i}", api_version=NETWORKING, spec={"podSelector": {}, "policyTypes": ["Egress"]}) for i in range(2)
    ]
    found += [manifest("Widget", f"w{i}", api_version=f"{group}/v1", spec={"size": i, "colour": "red"}) for i in range(3)]
    return found


def plain_deployment(name: str, *, tag: str = "1") -> Json:
    """One whose quantities the API server spells as we do, so that its fields can be compared as they are."""
    found = deployment(name, replicas=0, image=f"registry.example/app:{tag}")
    found["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "128Mi"}}
    return found


class Victim(Operator):
    """An operator that may be killed from any thread."""

    def kill(self) -> None:
        """SIGKILL, without waiting for the end."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it stands still, and its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


@dataclass
class Ground:
    """What all runs share."""

    cluster: Cluster
    api: Api
    git: GitServer
    proxy: FaultProxy
    folder: Path
    operators: list[Victim] = field(default_factory=list)

    @property
    def audit_log(self) -> Path:
        """Of the cluster, which is our own."""
        assert self.cluster.audit_log is not None
        return self.cluster.audit_log

    def operator(self) -> Victim:
        """The one that runs; started if none does."""
        running = next((operator for operator in self.operators if operator.is_running), None)
        if running is None:
            running = Victim(self.proxy.kubeconfig, self.folder / f"operator-{len(self.operators)}")
            self.operators.append(running)
            running.start()
        return running


class Run:
    """One world and what is wanted of it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.operator = ground.operator()
        self.world = World(ground.cluster, ground.api, ground.git, self.operator)
        self.name = self.world.name
        self.wishes: list[Wish] = []
        self.wanted: list[Json] = []
        self.commit = ""
        self._ever: dict[str, Json] = {}
        """Everything that was ever in a commit, by URL path."""
        self._mark = ground.cluster.audit.mark()
        self._seen = len(ground.proxy.requests)

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def declare(self, **spec: Any) -> None:
        """The ClusterState of the run."""
        self.world.declare(prune=UNLIMITED, **spec)

    def wish(
        self,
        committed: Sequence[Json],
        *,
        sound: bool = True,
        comes_to: Sequence[Json] | None = None,
        replaceable: Sequence[str] = (),
        tell: bool = True,
    ) -> None:
        """Commit these objects, all in one file; told to the ClusterState if there is one.

        Args:
            committed: the objects.
            sound: whether the file can be read.
            comes_to: what is to be in the cluster in the end, if that is not what was committed.
            replaceable: names of objects that may be deleted to be made anew.
            tell: whether the ClusterState is asked to look.
        """
        wanted = list(committed if comes_to is None else comes_to)
        self.wanted = wanted if sound else self.wanted
        self._ever.update((self.path(each), each) for each in committed)
        may_go = frozenset(self.key(each) for each in wanted if each["metadata"]["name"] in replaceable)
        self.wishes.append(Wish(datetime.now(UTC), frozenset(map(self.key, wanted)), sound, may_go))
        self.commit = self.world.commit({"all.yaml": text(*committed) + ("" if sound else "---\nnot: [closed\n")}, tell=tell)

    def say_farewell(self, *, keeping: Sequence[Json]) -> None:
        """Delete the ClusterState; these of its objects are to stay."""
        self.wanted = list(keeping)
        self.wishes.append(Wish(datetime.now(UTC), frozenset(map(self.key, keeping)), is_farewell=True))
        self.ground.api.delete(self.state_path)

    @property
    def state_path(self) -> str:
        """URL path of the ClusterState."""
        return f"{CLUSTER_STATES.format(self.name)}/state"

    def path(self, wanted: Json) -> str:
        """URL path of an object."""
        group, kind, name = wanted["apiVersion"], wanted["kind"], wanted["metadata"]["name"]
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        place = "" if kind in ("Namespace", "CustomResourceDefinition") else f"/namespaces/{wanted['metadata'].get('namespace', self.name)}"
        return f"{root}{place}/{PLURALS[kind]}/{name}"

    def key(self, wanted: Json) -> str:
        """As `Entry.key`."""
        kind, meta = wanted["kind"], wanted["metadata"]
        place = {"Namespace": meta["name"], "CustomResourceDefinition": ""}.get(kind, meta.get("namespace", self.name))
        return f"{PLURALS[kind]} {place}/{meta['name']}"

    # -- what is -------------------------------------------------------------------------------------------------------

    def away(self) -> list[str]:
        """L1, now."""
        desired = {self.path(each): each for each in self.wanted}
        return invariants.l1_live_is_desired(self.ground.api.get, desired, self._ever.keys() - desired.keys())

    def converge(self, *, seconds: float = CONVERGE_SECONDS) -> float:
        """Wait for L1 and for a Ready that says so; returns how long it took."""
        begun = time.monotonic()
        self.world.wait_applied(self.commit, seconds=seconds)
        self.await_desired(seconds=max(1.0, begun + seconds - time.monotonic()))
        return time.monotonic() - begun

    def await_desired(self, *, seconds: float = CONVERGE_SECONDS) -> None:
        """Wait for L1, whatever the status says."""
        try:
            until("live is desired", lambda: not self.away(), seconds=seconds, every=0.05)
        except AssertionError:
            writes = [str(entry) for entry in invariants.managed_writes(self.entries())[-5:]]
            status = (self.ground.api.get(self.state_path) or {}).get("status")
            raise AssertionError(f"L1: {self.away()}; status {status}; last writes {writes}") from None

    def end_state(self) -> Mapping[str, Json]:
        """Everything in the run's namespaces that it could have made, and its cluster-scoped objects; normalised."""
        api, found = self.ground.api, {}
        for folder in self._folders():
            for item in (api.request("GET", folder)[1]).get("items", ()):
                found[f"{folder}/{item['metadata']['name']}"] = item
        for path in self._ever:
            if not re.search("/namespaces/[^/]+/", path) and (live := api.get(path)):
                found[path] = live
        return {path.replace(self.name, "RUN"): invariants.normalised(live, self.name) for path, live in found.items()}

    def _folders(self) -> list[str]:
        """URL paths of the namespaced kinds that were ever in a commit."""
        return sorted({path.rpartition("/")[0] for path in self._ever if re.search("/namespaces/[^/]+/", path)})

    def entries(self) -> list[Entry]:
        """The operator's requests in the audit log about this run."""
        return [entry for entry in invariants.entries(self.ground.audit_log, self._mark) if self.name in entry.key]

    def requests(self) -> list[Seen]:
        """What came to the proxy about this run."""
        return [seen for seen in self.ground.proxy.requests[self._seen :] if self.name in seen.path]

    def violations(self, *, foreign: Sequence[str] = ()) -> list[str]:
        """Of every invariant that concerns a whole run."""
        log, requests = self.entries(), self.requests()
        return [
            *invariants.s1_nothing_desired_is_deleted(log, self.wishes),
            *invariants.s2_nothing_foreign_is_written(log, foreign),
            *invariants.s3_deletes_are_conditional(log),
            *invariants.s3_what_left_git_is_looked_at_twice(log, self.wishes),
            *invariants.s4_nothing_is_deleted_in_doubt(log, (), self.wishes),
            *invariants.s10_retries_wait(requests, path=""),
            *invariants.s11_no_hot_loop(requests),
        ]

    def looked_again(self) -> list[str]:
        """S9: a forced reconcile, and what it wrote. Two come before it: they finish what was under way, and write down which kinds are no longer held."""
        if self.wishes[-1].is_farewell:
            return []
        self.world.request()
        handled = self.world.request()
        # The API server writes a line of the audit log after it has answered: whoever asked may see the new status before the log has it.
        until(
            "the log has it",
            lambda: any(repr(handled) in str(each.answered.get("status")) for each in self.entries()),
        )
        until("Events that were held back are told", lambda: self._seconds_since_events() > TOGETHER_SECONDS + 1.0)
        mark = self.ground.cluster.audit.mark()
        self.world.request()
        log = [entry for entry in invariants.entries(self.ground.audit_log, mark) if self.name in entry.key]
        return invariants.s9_a_second_look_writes_nothing(log)

    def _seconds_since_events(self) -> float:
        """Since the last Event was written; many if none was."""
        moments = [each.at for each in self.entries() if each.resource == "events"]
        return (datetime.now(UTC) - moments[-1]).total_seconds() if moments else math.inf

    def restart(self, number: int = signal.SIGKILL) -> None:
        """Another operator in the place of this one."""
        self.operator.end(number)
        self.operator.start()

    def end(self) -> None:
        """Remove what would cost the next runs time."""
        api = self.ground.api
        self.ground.proxy.calm()
        api.delete(self.state_path)
        until("it is let go", lambda: f'namespace="{self.name}"' not in self.ground.operator().http("/metrics")[1], seconds=10)
        for folder in self._folders():
            api.request("DELETE", folder)
        for path, each in self._ever.items():
            if each["kind"] == "CustomResourceDefinition":
                api.delete(path)


# -- smaller ones -------------------------------------------------------------------------------------------------------------


def some(*, without: tuple[str, ...] = ()) -> list[Json]:
    """Nine objects of five kinds."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    found = [config_map(f"c{i}", key=f"value {i}") for i in range(5)]
    found.append(manifest("Secret", "s0", type="Opaque", data={"key": "dmFsdWU="}))
    found.append(manifest("Service", "v0", spec={"clusterIP": "None", "selector": {"app": "a"}, "ports": ports}))
    found.append(manifest("Role", "r0", api_version=RBAC, rules=rules))
    found.append(manifest("NetworkPolicy", "n0", api_version=NETWORKING, spec={"podSelector": {}, "policyTypes": ["Egress"]}))
    return [each for each in found if each["metadata"]["name"] not in without]


def judge(run: Run, *, foreign: tuple[str, ...] = ()) -> None:
    """Live is desired, no invariant was broken, and a second look writes nothing."""
    run.converge(seconds=CONVERGE_SECONDS)
    found = [*run.violations(foreign=foreign), *run.looked_again()]
    assert not found, found


def edit(run: Run, name: str) -> None:
    """Somebody changes one of the ConfigMaps of `some`."""
    run.ground.api.merge(run.world.path("configmaps", name), {"data": {"key": "HACKED"}}, manager="kubectl-edit")


def is_repaired(run: Run, name: str) -> bool:
    """Whether that was undone."""
    live = run.ground.api.get(run.world.path("configmaps", name))
    return live is not None and live["data"]["key"] != "HACKED"
