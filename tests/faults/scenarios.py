"""Pieces of everyday work, each of which must end alike whatever happens meanwhile: install, update, drift, prune, rollback, delete, recreate.

The undisturbed run of each is the reference: its writes are the points where faults can be put, its end state is what every disturbed run must come to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.faults.runs import CONVERGE_SECONDS, Ground, Run, objects, plain_deployment, some
from tests.integration.test_waves import roll_out
from tests.support.api import Json
from tests.support.fault_proxy import Moment, Seen
from tests.support.objects import config_map, manifest
from tests.support.waiting import until

# -- the scenarios ---------------------------------------------------------------------------------------------------------


def _installed(run: Run) -> None:
    run.wish(objects(run.name))
    run.declare()
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


def _good(tag: str) -> list[Json]:
    return [*some(), plain_deployment("web", tag=tag)]


def _healthy(run: Run) -> None:
    """What was applied is ready, and written down as good."""
    run.wish(_good("good"))
    run.declare(rollback={"onUnhealthyFor": "2s"})
    run.converge()
    roll_out(run.world, "web")
    until("it is good", lambda: run.commit in run.world.state()["status"].get("lastGoodRevision", ""))


def _bad(run: Run) -> None:
    """Nobody rolls it out."""
    changed = [*_good("bad"), config_map("new", key="v")]
    for each in changed[:2]:
        each["data"]["key"] = "bad"
    run.wish(changed, comes_to=run.wanted)


def _rolled_back(run: Run) -> None:
    run.world.wait_failed("RolledBack", mentions=run.commit)
    run.await_desired()
    assert run.commit in run.world.state()["status"]["quarantined"][0]["revision"]


def _some_with_one_that_stays(run: Run) -> None:
    wanted = some()
    wanted[0]["metadata"]["annotations"] = {"cvstate.io/prune": "Disabled"}
    run.wish(wanted)
    run.declare(deletionPolicy="Delete")
    run.converge()


def _gone(run: Run) -> None:
    until("the ClusterState is gone", lambda: run.ground.api.get(run.state_path) is None, seconds=CONVERGE_SECONDS)
    run.await_desired(seconds=1.0)


def _job(tag: str) -> Json:
    containers = [{"name": "main", "image": f"registry.example/app:{tag}"}]
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}
    return manifest("Job", "once", api_version="batch/v1", spec=spec)


def _some_with_a_job(run: Run) -> None:
    run.wish([config_map("c0", key="v"), _job("1")])
    run.declare(apply={"recreate": "IfImmutable"})
    run.converge()


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is there before, what happens, and what it comes to."""

    prepare: Callable[[Run], object]
    act: Callable[[Run], object]
    settle: Callable[[Run], object] = Run.converge
    """Waits for the end."""
    goes_straight: bool = True
    """Whether objects have no more than one new state, so that their `metadata.generation` says that nothing was done twice."""


def _install(run: Run) -> None:
    run.wish(objects(run.name))
    run.declare()


SCENARIOS: Final = {
    "install": Scenario(lambda run: None, _install),
    "update": Scenario(_installed, _update),
    "drift": Scenario(_installed, _drift),
    "prune": Scenario(_installed, _prune),
    "rollback": Scenario(_healthy, _bad, _rolled_back, goes_straight=False),
    "delete": Scenario(_some_with_one_that_stays, lambda run: run.say_farewell(keeping=run.wanted[:1]), _gone),
    "recreate": Scenario(_some_with_a_job, lambda run: run.wish([config_map("c0", key="v"), _job("2")], replaceable=["once"])),
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
    scenario.settle(run)
    ground.proxy.on_write = None
    reference = Reference(tuple(writes.names), end_state(run, scenario))
    violations = [*run.violations(), *run.looked_again()]
    run.end()
    assert not violations, violations
    return reference


def end_state(run: Run, scenario: Scenario) -> Mapping[str, Json]:
    """What the run came to, as far as it must be the same each time."""
    found = run.end_state()
    for live in found.values() if not scenario.goes_straight else ():
        live["metadata"].pop("generation", None)
    return found
