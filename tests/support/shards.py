"""Several operators that share the work, somebody who makes drift all the time, and the audit log that says who put it right.

Judges are the API server's audit log and the user agents in it; never what the operators say of themselves.
"""

import itertools
import math
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.plan.membership import FENCE_SECONDS
from tests.cluster.audit import Request
from tests.cluster.control_plane import Cluster
from tests.cluster.stack import OPERATOR_USER
from tests.support.api import Api
from tests.support.objects import config_map, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

LEASE_NAMESPACE: Final = "cvstate-system"
READY_SECONDS: Final = 60.0
"""Until an operator has settled: 15 s, and what a busy machine adds."""
_KEYS: Final = 10
_BREAKER: Final = {"reversals": 20, "within": "10s"}
"""Drift comes again and again on purpose, in one field after the other: no field is repaired so often in so short a time."""
_DRIFT_PAUSE_SECONDS: Final = 0.05
_AGENT: Final = re.compile(r"cvstate-operator/\S+ \((?P<member>[^()\s]+)\)")


class Shard(Operator):
    """One of them; may be killed, stopped and continued. It is started once: after its end another takes its place."""

    _member = ""
    _was_ready = False

    @property
    def member(self) -> str:
        """What it calls itself; empty before it joined."""
        self._member = self._member or next((str(line["member"]) for line in self.lines() if line["message"] == "joined"), "")
        return self._member

    @property
    def is_ready(self) -> bool:
        """It has settled, at least once. Its log grows: it is not read again and again for that."""
        self._was_ready = self._was_ready or self.http("/readyz")[0] == 200
        return self._was_ready

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """A signal, without waiting for what comes of it."""
        assert self._process is not None
        os.killpg(self._process.pid, number)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a ClusterState's object, or of its own status."""

    state: str
    member: str
    at: datetime
    ended: datetime
    verb: str
    code: int

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.verb} {self.state} -> {self.code} by {self.member[-8:]}"


def writes(requests: Iterable[Request], namespace: str) -> list[Write]:
    """What was written in a namespace, in the order it came; the ConfigMap of a ClusterState has its name."""
    found = []
    for each in requests:
        if (
            each.user == OPERATOR_USER
            and each.is_write
            and each.namespace == namespace
            and each.resource in ("configmaps", "clusterstates")
        ):
            match = _AGENT.match(each.user_agent)
            assert match, f"a write by somebody who does not say who he is: {each}"
            ended = datetime.fromtimestamp(each.timestamp.timestamp() + each.duration_seconds, UTC)
            found.append(Write(each.name, match["member"], each.timestamp, ended, each.verb, each.code))
    return sorted(found, key=lambda write: write.at)


def by_state(log: Iterable[Write]) -> dict[str, list[Write]]:
    """The same for each ClusterState, by name."""
    found: dict[str, list[Write]] = {}
    for write in log:
        found.setdefault(write.state, []).append(write)
    return found


def overlaps(log: Iterable[Write]) -> list[str]:
    """Where two members wrote the same at a time: before the other's was answered, however long ago that was begun, or by turns.

    A ClusterState may come back to whoever had it, but not so soon that it can have been taken for dead, or for a newcomer, in between.
    """
    found = []
    for name, mine in sorted(by_state(log).items()):
        wrote_last: dict[str, datetime] = {}
        longest: dict[str, Write] = {}
        """By member: of all its writes so far, the one that was answered last."""
        before: Write | None = None
        for after in mine:
            for other in (write for member, write in longest.items() if member != after.member and after.at < write.ended):
                found.append(f"{name}: {after} came before {other} was answered at {other.ended:%H:%M:%S.%f}")
            last = wrote_last.get(after.member)
            if before and before.member != after.member and last and (seconds := (after.at - last).total_seconds()) < FENCE_SECONDS:
                found.append(f"{name}: {after} came {seconds:.2f} s after its own last write, with {before} in between")
            wrote_last[after.member] = after.at
            longest[after.member] = max(longest.get(after.member, after), after, key=lambda write: write.ended)
            before = after
    return found


@dataclass(frozen=True, slots=True)
class Mended:
    """One drift, and the first write after it, which puts everything right."""

    state: str
    drifted_at: datetime
    seconds: float
    member: str
    """Who mended it."""


def mended(requests: Iterable[Request], namespace: str) -> list[Mended]:
    """Each drift that was mended, by the time of the drift. Unlike the pauses between writes it does not tell how often something drifted."""
    found, open_drifts = [], dict[str, list[datetime]]()
    for each in sorted(requests, key=lambda request: request.timestamp):
        if each.namespace != namespace or each.resource != "configmaps" or not each.is_write or each.code >= 300:
            continue
        if each.user != OPERATOR_USER:
            open_drifts.setdefault(each.name, []).append(each.timestamp)
        elif match := _AGENT.match(each.user_agent):
            drifts = open_drifts.pop(each.name, [])
            found += [Mended(each.name, at, (each.timestamp - at).total_seconds(), match["member"]) for at in drifts]
    return sorted(found, key=lambda one: one.drifted_at)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all is not above (nearest rank); of none: not a number."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


class Drifter:
    """Changes one value of one ConfigMap after the other, all the time."""

    def __init__(self, api: Api, world: World, names: Sequence[str]) -> None:
        self._api, self._world, self._names = api, world, names
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join(30)

    def _run(self) -> None:
        for number in itertools.count():
            name, key = self._names[number % len(self._names)], f"k{number // len(self._names) % _KEYS}"
            if self._done.wait(_DRIFT_PAUSE_SECONDS):
                return
            self._api.merge(self._world.path("configmaps", name), {"data": {key: f"drift {number}"}})


@dataclass
class Shards:
    """See the module."""

    cluster: Cluster
    world: World
    names: tuple[str, ...]
    """Of the ClusterStates."""
    make: Callable[[], Shard]
    running: list[Shard] = field(default_factory=list)
    begun: int = 0
    """Place in the audit log from which everything counts."""

    def start(self, count: int) -> list[Shard]:
        """So many more, without waiting for them."""
        found = [self.make() for _ in range(count)]
        for each in found:
            each.start(wait=False)
        self.running += found
        return found

    def log(self, since: int | None = None) -> list[Write]:
        """What was written since a mark of the audit log; None: from the beginning."""
        return writes(self.cluster.audit.requests(self.begun if since is None else since), self.world.name)

    def mended(self, since: int) -> list[Mended]:
        """What drifted since a mark, and was mended."""
        return mended(self.cluster.audit.requests(since), self.world.name)

    def joined(self, since: int) -> dict[str, datetime]:
        """When each member asked for its Lease, of those that did since a mark."""
        asked = [each for each in self.cluster.audit.requests(since) if each.resource == "leases" and each.verb == "create"]
        return {match["member"]: each.timestamp for each in asked if (match := _AGENT.match(each.user_agent))}

    def await_ready(self) -> None:
        """Until all that run have settled."""
        until("all have settled", lambda: all(each.is_ready for each in self.running), seconds=READY_SECONDS, every=0.2)

    def await_written(self, *, since: int, without: Sequence[str] = (), seconds: float = 30.0) -> Mapping[str, Write]:
        """Until each ClusterState was written since a mark by a member that is not one of these; its first such write."""

        def found() -> dict[str, Write] | None:
            first: dict[str, Write] = {}
            for write in self.log(since):
                if write.member not in without and write.code < 300:
                    first.setdefault(write.state, write)
            return first if first.keys() >= set(self.names) else None

        return until("each ClusterState is written", found, seconds=seconds, every=0.2)

    def keepers(self, since: int) -> dict[str, str]:
        """Which member wrote each ClusterState last since a mark."""
        return {name: mine[-1].member for name, mine in by_state(self.log(since)).items()}


def offer(cluster: Cluster, git: GitServer, directory: Path, names: Sequence[str] = ()) -> Shards:
    """A world and whoever starts operators that share it; none runs yet.

    Args:
        cluster: with our kinds.
        git: where the repository is.
        directory: for the operators; its name is that of their group.
        names: of the ClusterStates that there will be.
    """
    api = Api(cluster.admin_kubeconfig)
    code, answer = api.apply(f"/api/v1/namespaces/{LEASE_NAMESPACE}", manifest("Namespace", LEASE_NAMESPACE))
    assert code < 300, answer
    numbers = itertools.count()
    options = ("--lease-namespace", LEASE_NAMESPACE, "--group", directory.name)

    def make() -> Shard:
        return Shard(cluster.operator_kubeconfig, directory / f"shard-{next(numbers)}", *options)

    return Shards(cluster, World(cluster, api, git, make()), tuple(names), make, begun=cluster.audit.mark())


@contextmanager
def sharing(cluster: Cluster, git: GitServer, directory: Path, *, states: int, replicas: int) -> Iterator[Shards]:
    """So many ClusterStates of one ConfigMap each, and so many operators that are ready and have applied everything."""
    shards = offer(cluster, git, directory, [f"s{number:02}" for number in range(states)])
    world, data = shards.world, {f"k{key}": "as in Git" for key in range(_KEYS)}
    commit = world.commit({f"{name}/one.yaml": text(config_map(name, **data)) for name in shards.names})
    for name in shards.names:
        world.declare(name, git={"path": f"apps/{name}", "interval": "10s"}, drift={"breaker": _BREAKER})
    with ExitStack() as stack:
        stack.callback(lambda: [each.end(signal.SIGKILL) for each in shards.running if each.is_running])
        shards.start(replicas)
        shards.await_ready()
        for name in shards.names:
            world.wait_applied(commit, name, seconds=60)
        yield shards
