"""One run from raising to lowering the curtain: a ground, an observer and bystanders, and what every scenario does with a tool on them."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from bench import count, foreign, gate, ground, objects
from bench.count import MemorySampler
from bench.gate import Bystanders
from bench.ground import Ground
from bench.parameters import Parameters
from bench.results import Record
from bench.tools import Tool
from bench.witness import NotReachedError, Witness


@dataclass(frozen=True, slots=True)
class Cost:
    """What a phase cost, from its begin until the tool was silent."""

    figures: Mapping[str, float]
    requests: Mapping[str, int]
    """As `count.by_sort`."""


@dataclass(slots=True)
class Stage:
    """See the module."""

    ground: Ground
    witness: Witness
    bystanders: Bystanders = field(default_factory=Bystanders)
    declared: dict[str, Any] = field(default_factory=dict)
    """URL path → body, of the last push."""
    files: dict[str, str] = field(default_factory=dict)
    """Path → text, of the last push, without the first commit's."""
    idle_share: float = 0.0
    """Processor time of API server and etcd for each second in which nothing happens: 0.02 is usual."""

    def prepare(self, tool: Tool, parameters: Parameters) -> None:
        """Start a tool, let it declare the repository, wait for the first commit's object, and let everything come to rest."""
        self.start(tool, parameters)
        self.declared = objects.parse([yaml.safe_dump(ground.SEED)])
        tool.declare(self.ground)
        self.witness.wait(self.witness.expect(self.declared), seconds=parameters.patience_seconds)
        self.rest(tool, parameters)

    def start(self, tool: Tool, parameters: Parameters) -> None:
        """Put there what belongs to others, and start a tool. It knows of nothing to do."""
        self.bystanders.settle(self.ground.api)
        foreign.create(self.ground.cluster.admin_kubeconfig, parameters.m, parameters.seed)
        tool.start(self.ground)

    def converge(self, tool: Tool, files: Mapping[str, str | None], parameters: Parameters) -> None:
        """Push files and wait until the cluster is as they say and the tool is silent. Not measured."""
        expected = self.expect(files)
        tool.push(self.ground, files)
        self.witness.wait(expected, seconds=parameters.patience_seconds)
        self.settle(tool, seconds=parameters.patience_seconds)

    def rest(self, tool: Tool, parameters: Parameters) -> None:
        """Wait until a tool is done and silent, and then for a while, so that nothing left over is measured; see how busy the servers are then."""
        self.settle(tool, seconds=parameters.patience_seconds)
        self.idle(parameters)

    def idle(self, parameters: Parameters) -> None:
        """Wait for a while; see how busy the servers are then."""
        begin, server = time.monotonic(), self._server_cpu()
        time.sleep(parameters.rest_seconds)
        self.idle_share = (self._server_cpu() - server) / (time.monotonic() - begin)

    def expect(self, files: Mapping[str, str | None]) -> str:
        """Declare files that are about to be pushed; returns the name of what the observer waits for: the objects that they change.

        Files that are None go, and so do objects that were in a file and are no more.
        """
        before = objects.parse(text for path in files if (text := self.files.get(path)) is not None)
        after = objects.parse(text for text in files.values() if text is not None)
        gone = {path: None for path in before if path not in after}
        self.declared = {path: body for path, body in {**self.declared, **after}.items() if path not in gone}
        self.files = {path: text for path, text in {**self.files, **files}.items() if text is not None}
        return self.witness.expect({path: body for path, body in {**after, **gone}.items() if before.get(path) != body})

    def settle(self, tool: Tool, *, seconds: float) -> None:
        """Wait until a tool asks for nothing any more and says that it is done.

        Silence comes first: asking a tool costs the API server time, which would count as the tool's.

        Raises:
            NotReachedError: it does not say so in time.
        """
        end = time.monotonic() + seconds
        while True:
            count.wait_for_silence(self.ground.cluster.audit, self.ground.user, seconds=seconds)
            if tool.settled():
                return
            if time.monotonic() > end:
                raise NotReachedError(f"{tool.name} does not say within {seconds:.0f} s that it is done")

    def source_looks(self) -> list[str]:
        """Return the paths with which anybody began to ask the Git server for what it has, so far. Source: Git, "HTTP transfer protocols", smart clients."""
        return [request.path for request in self.ground.git.requests if request.path.endswith("/info/refs")]

    def record(
        self,
        scenario: str,
        tool: Tool,
        parameters: Parameters,
        figures: Mapping[str, float],
        requests: Mapping[str, int],
        samples: Mapping[str, tuple[float, ...]] | None = None,
        *,
        main: str = "seconds",
    ) -> Record:
        """Look at the end state, and put a run together; the session adds when and where it was.

        Args:
            scenario: its name.
            tool: as it is now.
            parameters: of the run.
            figures: name with its unit at the end → value.
            requests: as `count.by_sort`.
            samples: single values behind a figure.
            main: the figure that the scenario is about, one of `figures`.
        """
        faults = gate.faults(gate.read(self.ground.api), self.declared, self.bystanders)
        if parameters.m:
            faults += foreign.faults(self.ground.cluster.audit.requests(user=tool.user))
        return Record(
            scenario=scenario,
            tool=tool.name,
            world="quiet" if self.ground.is_quiet else "live",
            variant=parameters.variant,
            n=parameters.n,
            m=parameters.m,
            seed=parameters.seed,
            figures=figures,
            requests=requests,
            faults=faults,
            main=main,
            samples=samples or {},
            settings={**parameters.settings(), "kubernetes": self.ground.api.request("GET", "/version")[1]["gitVersion"]},
            facts=tool.facts(),
        )

    @contextmanager
    def measured(self, tool: Tool) -> Iterator[Callable[[], Cost]]:
        """Count what happens in the block; call what it gives at its end, after `settle`."""
        audit = self.ground.cluster.audit
        begin, mark = time.monotonic(), audit.mark()
        own, server = count.cpu_seconds(tool.pids()), self._server_cpu()
        with MemorySampler(tool.pids) as memory:

            def cost() -> Cost:
                seconds, server_seconds = time.monotonic() - begin, self._server_cpu() - server
                requests = audit.requests(mark, user=self.ground.user)
                figures = {
                    "phase_seconds": seconds,
                    "requests": float(len(requests)),
                    "writes": float(sum(request.is_write for request in requests)),
                    "cpu_seconds": count.cpu_seconds(tool.pids()) - own,
                    "server_cpu_seconds": server_seconds,
                    "caused_cpu_seconds": max(0.0, server_seconds - self.idle_share * seconds),
                    **memory.figures(),
                }
                return Cost(figures, count.by_sort(requests))

            yield cost

    def _server_cpu(self) -> float:
        return count.cpu_seconds(self.ground.cluster.pids.values())


@contextmanager
def raised(*, is_quiet: bool) -> Iterator[Stage]:
    """A stage for one run.

    Raises:
        ClusterError: the cluster does not start.
    """
    with ground.prepared(is_quiet=is_quiet) as found, Witness(found.cluster.admin_kubeconfig) as witness:
        yield Stage(found, witness)
