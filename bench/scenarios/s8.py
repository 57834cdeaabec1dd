"""S8, fan-out: one repository of a hundred ConfigMaps, declared for n/100 other clusters, each by an object of its own that names a kubeconfig.

Cold: all of them are declared at once, and the clock runs from then until the last cluster that answers holds the last object. Then a commit that changes one object,
which concerns all clusters; its clock runs from the moment the repository has it. The other clusters are stubs, so that they are not what is measured
(`bench.stub_clusters`); memory and sockets are those of the tool, for each cluster what came on top of none.

In the form with a dead cluster, one more takes connections and never answers: what it does to the others is the difference between the forms.
"""

import dataclasses
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from bench import count, ground, objects
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Stage
from bench.stubs import Stubs
from bench.tools import NotOfferedError, Tool
from bench.tools.cvstate import Cvstate

ALL_ALIVE: Final = "all alive"
ONE_DEAD: Final = "one dead"
VARIANTS: Final = (ALL_ALIVE, ONE_DEAD)
TOOLS: Final = ("cvstate",)
OBJECTS_PER_CLUSTER: Final = 100


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`."""
    if not isinstance(tool, Cvstate):
        raise NotOfferedError(f"the adapter of {tool.name} knows no other clusters")
    alive, dead = parameters.n // OBJECTS_PER_CLUSTER, int(parameters.variant == ONE_DEAD)
    files = _files(parameters.seed)
    with Stubs(alive, dead, stage.ground.directory / "stubs") as stubs:
        tool.reach_loopback()
        stage.start(tool, parameters)
        stage.idle(parameters)
        before = count.memory(tool.pids())
        stage.ground.commit({**files, f"{ground.Ground.PATH}/{ground.SEED_FILE}": None})
        with stage.measured(tool) as cost:
            begin = time.monotonic()
            tool.declare_far(stage.ground, [stubs.kubeconfig(port) for port in (*stubs.alive, *stubs.dead)])
            times = stubs.wait(files, seconds=parameters.patience_seconds)
            count.wait_for_silence(stage.ground.cluster.audit, stage.ground.user, seconds=_rest(parameters))
            cold = cost()
        asked = sum(sum(each.requests.values()) for each in stubs.seen())
        memory, sockets = count.memory(tool.pids()), _sockets(tool.pids())
        changed = objects.change(files, parameters.seed, 1)
        pushed = tool.push(stage.ground, changed).monotonic_seconds
        applied = stubs.wait({**files, **changed}, seconds=parameters.patience_seconds)
        writes = sum(each.requests.get("PATCH", 0) for each in stubs.seen())
    clusters = alive + dead
    figures = {
        "seconds": max(times) - begin,
        "median_seconds": sorted(times)[len(times) // 2] - begin,
        "one_seconds": max(applied) - pushed,
        "clusters": float(clusters),
        "far_requests_per_object": asked / (alive * OBJECTS_PER_CLUSTER),
        "surplus_writes": float(writes - alive * (OBJECTS_PER_CLUSTER + 1)),
        "cluster_bytes": (memory.pss - before.pss) / clusters,
        "sockets_per_cluster": sockets / clusters,
        **cold.figures,
    }
    record = stage.record("S8", tool, parameters, figures, cold.requests)
    return dataclasses.replace(record, settings={**record.settings, "clusters": "stubs of bench.stub_clusters"})


def _rest(parameters: Parameters) -> float:
    """How long the tool may take to tell what it did: a dead cluster is told of again and again, so there may be no silence."""
    return min(parameters.patience_seconds, 10.0)


def _files(seed: int) -> objects.Files:
    """The first hundred ConfigMaps of the generator's mix, one file."""
    text = "".join(objects.files(OBJECTS_PER_CLUSTER * 3, seed).values())
    bodies = [body for body in yaml.load_all(text, Loader=yaml.CSafeLoader) if body["kind"] == "ConfigMap"]
    return {f"{objects.ROOT}/maps.yaml": yaml.dump_all(bodies[:OBJECTS_PER_CLUSTER], Dumper=yaml.CSafeDumper, explicit_start=True)}


def _sockets(pids: Iterable[int]) -> int:
    """Open sockets of processes. Source: proc_pid_fd(5)."""
    found = 0
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found += os.readlink(entry).startswith("socket:")
            except FileNotFoundError:
                continue  # closed meanwhile
    return found
