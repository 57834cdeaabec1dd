"""Four pieces of everyday work on thirty objects, each of which must end alike whatever happens meanwhile: install, update, drift, prune.

A run is one of them in a namespace of its own. The undisturbed run of each is the reference: its writes are the points where faults can be put, its end state is
what every disturbed run must come to.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.support import invariants
from tests.support.api import Api, Json
from tests.support.fault_proxy import FaultProxy, Moment, Seen
from tests.support.invariants import Entry, Wish
from tests.support.objects import RBAC, config_map, definition, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

SEEDS: Final = range(1, 1 + int(os.environ.get("CVSTATE_FAULT_SEEDS", "2")))
each_seed = pytest.mark.parametrize("seed", SEEDS)
long = pytest.mark.skipif("CVSTATE_FAULT_SEEDS" not in os.environ, reason="takes long; set CVSTATE_FAULT_SEEDS")
CONVERGE_SECONDS: Final = 60.0
"""L1: from the end of the faults to the desired state; the longest pause of the back-off."""
NETWORKING: Final = "networking.k8s.io/v1"
PLURALS: Final = {
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Deployment": "deployments",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "NetworkPolicy": "networkpolicies",
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
    found += [_plain_deployment(f"d{i}") for i in range(4)]
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


def _plain_deployment(name: str) -> Json:
    """One whose quantities the API server spells as we do, so that its fields can be compared as they are."""
    found = deployment(name, replicas=0)
    found["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "128Mi"}}
    return found


class Victim(Operator):
    """An operator that may be killed from any thread."""

    def kill(self) -> None:
        """SIGKILL, without waiting for the end."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)


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
        self._mark = ground.cluster.audit.mark()
        self._seen = len(ground.proxy.requests)

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def wish(self, wanted: Sequence[Json], *, sound: bool = True) -> None:
        """Commit these objects, all in one file; told to the ClusterState if there is one."""
        self.wanted = list(wanted) if sound else self.wanted
        self.wishes.append(Wish(datetime.now(UTC), frozenset(self.key(each) for each in wanted), sound))
        self.commit = self.world.commit({"all.yaml": text(*wanted) + ("" if sound else "---\nnot: [closed\n")})

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
        api = self.ground.api
        desired = {self.path(each): each for each in self.wanted}
        ever = {key for wish in self.wishes for key in wish.keys} - {self.key(each) for each in self.wanted}
        gone = [
            f"/api/v1/namespaces/{self.name}/{key.split()[0]}/{key.rpartition('/')[2]}" for key in ever if key.startswith("configmaps ")
        ]
        return invariants.l1_live_is_desired(api.get, desired, gone)

    def converge(self, *, seconds: float = CONVERGE_SECONDS) -> float:
        """Wait for L1 and for a Ready that says so; returns how long it took."""
        begun = time.monotonic()
        self.world.wait_applied(self.commit, seconds=seconds)
        try:
            until("live is desired", lambda: not self.away(), seconds=max(1.0, begun + seconds - time.monotonic()), every=0.05)
        except AssertionError:
            writes = [str(entry) for entry in invariants.managed_writes(self.entries())[-5:]]
            raise AssertionError(f"L1: {self.away()}; status {self.world.state().get('status')}; last writes {writes}") from None
        return time.monotonic() - begun

    def end_state(self) -> Mapping[str, Json]:
        """Everything in the run's namespace that it could have made, and its cluster-scoped objects; normalised."""
        api, found = self.ground.api, {}
        lists = {path.rpartition("/")[0] for path in map(self.path, objects(self.name)) if f"/{self.name}" in path}
        for path in sorted(lists - {"/api/v1/namespaces", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"}):
            for item in (api.request("GET", path)[1]).get("items", ()):
                found[f"{path}/{item['metadata']['name']}"] = item
        for path in map(self.path, objects(self.name)[:2]):
            if live := api.get(path):
                found[path] = live
        return {path.replace(self.name, "RUN"): invariants.normalised(live, self.name) for path, live in found.items()}

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
            *invariants.s4_nothing_is_deleted_in_doubt(log, (), self.wishes),
            *invariants.s10_retries_wait(requests, path=""),
            *invariants.s11_no_hot_loop(requests),
        ]

    def looked_again(self) -> list[str]:
        """S9: a forced reconcile, and what it wrote. Two come before it: they finish what was under way, and write down which kinds are no longer held."""
        self.world.request()
        self.world.request()
        mark = self.ground.cluster.audit.mark()
        self.world.request()
        log = [entry for entry in invariants.entries(self.ground.audit_log, mark) if self.name in entry.key]
        return invariants.s9_a_second_look_writes_nothing(log)

    def restart(self, number: int = signal.SIGKILL) -> None:
        """Another operator in the place of this one."""
        self.operator.end(number)
        self.operator.start()

    def end(self) -> None:
        """Remove what would cost the next runs time."""
        api = self.ground.api
        self.ground.proxy.calm()
        api.delete(f"/apis/cvstate.io/v1alpha1/namespaces/{self.name}/clusterstates/state")
        until("it is let go", lambda: f'namespace="{self.name}"' not in self.ground.operator().http("/metrics")[1], seconds=10)
        for path in {self.path(each).rpartition("/")[0] for each in objects(self.name)[2:]}:
            api.request("DELETE", path)
        api.delete(self.path(objects(self.name)[1]))


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
    assert [*run.violations(foreign=foreign), *run.looked_again()] == []


def edit(run: Run, name: str) -> None:
    """Somebody changes one of the ConfigMaps of `some`."""
    run.ground.api.merge(run.world.path("configmaps", name), {"data": {"key": "HACKED"}}, manager="kubectl-edit")


def is_repaired(run: Run, name: str) -> bool:
    """Whether that was undone."""
    live = run.ground.api.get(run.world.path("configmaps", name))
    return live is not None and live["data"]["key"] != "HACKED"


# -- the scenarios ---------------------------------------------------------------------------------------------------------


def _installed(run: Run) -> None:
    run.wish(objects(run.name))
    run.world.declare()
    run.converge()


def _update(run: Run) -> None:
    changed = objects(run.name)
    by_name = {each["metadata"]["name"]: each for each in changed}
    for name in ("c0", "c1", "c2", "x0"):
        by_name[name]["data"]["key"] = "new"
    by_name["s0"]["data"]["key"] = "bmV3"
    for name in ("d0", "d1"):
        by_name[name]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/app:2"
    by_name["v0"]["spec"]["ports"][0]["targetPort"] = 9090
    by_name["r0"]["rules"][0]["verbs"] = ["get", "list"]
    by_name["w0"]["spec"]["size"] = 10
    run.wish(changed)


def _drift(run: Run) -> None:
    api, by_name = run.ground.api, {each["metadata"]["name"]: run.path(each) for each in run.wanted}
    someone = "kubectl-edit"
    api.merge(by_name["c3"], {"data": {"key": "HACKED"}}, manager=someone)
    api.merge(by_name["d2"], {"spec": {"replicas": 3}}, manager=someone)
    api.delete(by_name["c4"])
    api.merge(by_name["r1"], {"rules": []}, manager=someone)
    api.merge(by_name["w1"], {"spec": {"size": 99}}, manager=someone)


def _prune(run: Run) -> None:
    run.wish([each for each in objects(run.name) if each["metadata"]["name"] not in ("c5", "d3")])


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is there before, and what happens."""

    prepare: Callable[[Run], None]
    act: Callable[[Run], None]


def _install(run: Run) -> None:
    run.wish(objects(run.name))
    run.world.declare()


SCENARIOS: Final = {
    "install": Scenario(lambda run: None, _install),
    "update": Scenario(_installed, _update),
    "drift": Scenario(_installed, _drift),
    "prune": Scenario(_installed, _prune),
}


# -- writes as points ------------------------------------------------------------------------------------------------------


class Writes:
    """Names the writes of a run so that another run knows them again: `PATCH:/api/v1/namespaces/RUN/configmaps/c0#1`, the number for the n-th of its kind."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.names: list[str] = []
        self._named: dict[int, str] = {}

    def name(self, seen: Seen, moment: Moment) -> str:
        """Its name, or empty for an Event and for what belongs to another run."""
        if seen.method == "POST" or self._run.name not in seen.path:
            return ""
        if moment is Moment.BEFORE:
            plain = f"{seen.method}:{seen.path.replace(self._run.name, 'RUN')}"
            name = f"{plain}#{1 + sum(each.startswith(plain + '#') for each in self.names)}"
            self._named[id(seen)] = name
            self.names.append(name)
        return self._named.get(id(seen), "")


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed run did."""

    writes: tuple[str, ...]
    end: Mapping[str, Json]


def undisturbed(ground: Ground, scenario: Scenario) -> Reference:
    """Run it without a fault; that it keeps the invariants is asserted, since nothing else can be judged by it otherwise."""
    run = Run(ground)
    scenario.prepare(run)
    writes = Writes(run)

    def note(seen: Seen, moment: Moment) -> bool:
        writes.name(seen, moment)
        return False

    ground.proxy.on_write = note
    scenario.act(run)
    run.converge()
    ground.proxy.on_write = None
    reference = Reference(tuple(writes.names), run.end_state())
    violations = [*run.violations(), *run.looked_again()]
    run.end()
    assert violations == []
    return reference
