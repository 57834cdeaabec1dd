"""Scenes: a fault told from its beginning to its end, each in a namespace and a thread of its own.

After a fault an object has to be ready for half a minute before all is well again; scenes that are played at a time wait for that once. A test reads what its
scene saw; if the scene broke off, it fails with the error of that.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support import commands, telling
from tests.support.api import Api, Json
from tests.support.objects import text
from tests.support.operator import Operator
from tests.support.versions import Version, Versions
from tests.support.waiting import until
from tests.support.world import World

Found = TypeVar("Found")

WAIT_SECONDS: Final = 90.0
"""Longest wait for one step: half a minute of it is the operator's, the rest is for a machine that has other things to do."""
_POLL_SECONDS: Final = 0.05
_COMMAND_LINE: Final = threading.Lock()
"""The runner of commands puts its own streams in the place of the process's."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was told of a ClusterState at one moment."""

    status: Json
    metrics: Mapping[str, float]
    text: str = ""
    """Of `cvstate status NAME`; empty if nobody asked."""
    tree: str = ""
    """Of `cvstate tree NAME`."""
    exit_codes: tuple[int, int] = (-1, -1)
    """Of the two."""

    @property
    def healthy(self) -> tuple[str, str]:
        """Status and reason of the condition."""
        found = self._condition
        return found["status"], found["reason"]

    @property
    def message(self) -> str:
        """Of the condition Healthy."""
        return str(self._condition["message"])

    @property
    def score(self) -> tuple[int, int]:
        """Score and confidence, which the metrics tell alike."""
        told = self.status["cv"]
        assert (told["score"], told["confidence"]) == (self.metrics["cvstate_score"], self.metrics["cvstate_confidence"])
        return int(told["score"]), int(told["confidence"])

    def count(self, level: str) -> int:
        """Objects of a level, which the metrics tell alike."""
        told = int(self.status["vital"]["objects"].get(level.lower(), 0))
        assert told == self.metrics.get(f"cvstate_objects_by_health {level}", 0)
        return told

    def unready(self, name: str) -> Json:
        """What the status tells of an object that is not ready; empty if it does not."""
        return next((one for one in self.status["vital"].get("unready", ()) if one["object"].endswith(f"/{name}")), {})

    def signal(self, name: str) -> Json:
        """What the status tells of a signal."""
        (found,) = (one for one in self.status["vital"]["signals"] if one["name"] == name)
        return dict(found)

    @property
    def _condition(self) -> Json:
        (found,) = (one for one in self.status["conditions"] if one["type"] == "Healthy")
        return dict(found)


@dataclass
class Scene:
    """One ClusterState of its own, and whoever waits for what is told of it."""

    world: World
    versions: Versions = field(init=False)
    _generation: int = 0

    def __post_init__(self) -> None:
        self.versions = Versions(self.world.api, self.world.name)

    @property
    def api(self) -> Api:
        return self.world.api

    def settle(self, *objects: Json, **spec: Any) -> None:
        """Declare these objects, and wait until all is well."""
        self.world.commit({"all.yaml": text(*objects)})
        self.declare(**spec)
        self.well()

    def declare(self, **spec: Any) -> None:
        """Apply the ClusterState; whoever waits from now on waits for what is told of this spec."""
        self.world.declare(**spec)
        self._generation = self.world.state()["metadata"]["generation"]

    def vital(self, *signals: Json, **vital: Any) -> None:
        """Apply the ClusterState with these signals, asked for each second."""
        self.declare(vital={"signals": [{"interval": "1s", **signal} for signal in signals], **vital})

    def wait(self, what: str, look: Callable[[Version], object]) -> Version:
        """Wait until the newest version of the ClusterState tells that, and return it."""

        def found() -> Version | None:
            told = self.versions.of("state")
            is_new = bool(told) and told[-1].status.get("observedGeneration") == self._generation
            return told[-1] if is_new and look(told[-1]) else None

        return self.until(what, found, every=_POLL_SECONDS)

    def until(self, what: str, look: Callable[[], Found | None], *, every: float = 0.2) -> Found:
        """Wait until something else than the status tells that."""
        try:
            return until(what, look, seconds=WAIT_SECONDS, every=every)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {self.world.state().get('status')}") from None

    def unwell(self, reason: str, *mentions: str) -> Version:
        """Wait until Healthy is False for that reason, and its message holds these texts."""

        def is_so(told: Version) -> bool:
            found = told.condition("Healthy")
            return (found["status"], found["reason"]) == ("False", reason) and all(text in found["message"] for text in mentions)

        return self.wait(f"Healthy=False, {reason}, {mentions}", is_so)

    def well(self) -> Version:
        """Wait until everything is well and known."""

        def is_so(told: Version) -> bool:
            numbers = told.status.get("cv", {})
            return told.condition("Healthy").get("status") == "True" and numbers.get("score") == numbers.get("confidence") == 100

        return self.wait("Healthy=True, 100 and 100", is_so)

    def see(self, *, with_commands: bool = True) -> Seen:
        """What is told now."""
        status, metrics = self.until("the metrics tell what the status does", self._alike, every=_POLL_SECONDS)
        if not with_commands:
            return Seen(status, metrics)
        with _COMMAND_LINE:
            first, second = self._run("status"), self._run("tree")
        return Seen(status, metrics, first[1], second[1], (first[0], second[0]))

    def _alike(self) -> tuple[Json, dict[str, float]] | None:
        """Status and metrics, if they are of the same moment: a watch tells of a status before the operator, who counts what was written, has the answer."""
        status, metrics = self.world.state()["status"], telling.metrics(self.world)
        told = [status.get("cv", {}).get(number) for number in ("score", "confidence")]
        return (status, metrics) if told == [metrics.get("cvstate_score"), metrics.get("cvstate_confidence")] else None

    def _run(self, command: str) -> tuple[int, str]:
        return commands.run(self.world, command, "state", "-n", self.world.name)


@dataclass(frozen=True, slots=True)
class Story:
    """What a scene saw."""

    before: Seen
    during: Seen
    after: Seen
    later: Seen | None = None
    """A second moment of the fault, if it has one."""
    versions: Sequence[Version] = ()
    """What the status told from the fault to `during`."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long steps took."""


Told = Callable[[Callable[[Scene], Any]], Any]
"""What a scene returned; waits for its end, and raises what it raised."""


class Clock:
    """How long the steps of a scene take, from its making."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.seconds: dict[str, float] = {}

    def note(self, step: str, at: float | None = None) -> None:
        """A step is done, now or at that moment (monotonic seconds)."""
        self.seconds[step] = round((at or time.monotonic()) - self._begun, 1)


@contextmanager
def played(scenes: Sequence[Callable[[Scene], Any]], git: GitServer, directory: Path, *kinds: Json) -> Iterator[Told]:
    """Play scenes at a time in a cluster with controllers, two simulated nodes and one operator.

    Args:
        scenes: each gets a scene, and returns what its tests want to know.
        git: where their repositories are.
        directory: for the operator.
        kinds: CustomResourceDefinitions that are there from the beginning.
    """
    with Cluster.start(nodes=2) as cluster:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        for kind in kinds:
            api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", kind)
        with Operator(cluster.operator_kubeconfig, directory) as operator, ExitStack() as stack:
            stages = [Scene(World(cluster, api, git, operator)) for _ in scenes]
            for stage in stages:
                stack.enter_context(stage.versions)
            threads = stack.enter_context(ThreadPoolExecutor(len(scenes)))
            ends = {scene: threads.submit(scene, stage) for scene, stage in zip(scenes, stages, strict=True)}

            def told(scene: Callable[[Scene], Any]) -> Any:
                try:
                    return ends[scene].result()
                except Exception as exc:  # one and the same for all who ask: each gets his own, with his own traceback
                    raise AssertionError("the scene broke off") from exc

            yield told
