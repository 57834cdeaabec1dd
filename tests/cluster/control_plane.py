"""`Cluster`: what tests, demo and benchmarks use.

    with Cluster.start(quiet=True) as cluster:
        cluster.kubectl("create", "namespace", "shop")

Pods with the label ``test.cvstate.io/fate: crash-loop`` run and never become Ready (`stages/pod-crash-loop.yaml`).

With ``CVSTATE_KUBECONFIG=FILE`` no cluster is started: the one that kubeconfig points at is used, for both users, and stays. Then there is no audit log
and no program to pause, kill or restart, so tests that count requests or break things need the cluster this package starts (`Cluster.audit`,
`Cluster.restart` and the like raise `ClusterError`).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import builds, kubeconfig, locations, processes, programs, state, supervisor
from tests.cluster.audit import Audit
from tests.cluster.errors import ClusterError
from tests.cluster.stack import READY_SECONDS
from tests.cluster.state import Record, StateDirectory
from tests.cluster.supervisor import Order

EXTERNAL_VARIABLE = "CVSTATE_KUBECONFIG"
"""Names a kubeconfig of an existing cluster to use instead of starting one."""

DEFAULT_NODES = 2
"""How many nodes a full cluster simulates: two are enough to see pods spread."""

_KUBECTL_SECONDS = 60.0

_SUPERVISOR_STOP_SECONDS = 20.0
"""How long a supervisor may take to stop everything: its own grace for programs, and slack for a busy machine."""


class Cluster(ABC):
    """A Kubernetes control plane that is ready to be used.

    Attributes:
        name: Its name, unique on this machine while it runs.
        url: Where its API server listens.
        admin_kubeconfig: Kubeconfig of a user in system:masters, who may do everything and is exempt from API priority and fairness.
        operator_kubeconfig: Kubeconfig of the ordinary user `stack.OPERATOR_USER`, bound to the role cluster-admin.
        audit_log: The API server's audit log; None for a cluster that is not ours.
    """

    name: str
    url: str
    admin_kubeconfig: Path
    operator_kubeconfig: Path
    audit_log: Path | None

    @staticmethod
    def start(*, name: str | None = None, quiet: bool = False, nodes: int = DEFAULT_NODES) -> Cluster:
        """Start a cluster, after building programs that are missing, and return it when it is ready.

        It ends with `stop`, at the end of a ``with`` block, or when this process ends, however that happens.

        Args:
            name: A DNS label; None for a random one.
            quiet: Only etcd and the API server, for tests of objects: nothing reacts to them, namespaces never finish terminating.
            nodes: How many nodes to simulate; a quiet cluster has none.

        Raises:
            ClusterError: A program cannot be built or does not start, or the name is taken; nothing is left behind.
        """
        external = _external()
        if external is not None:
            return external
        binaries = builds.ensure(programs.QUIET if quiet else programs.FULL)
        name = name or f"{os.getpid()}-{secrets.token_hex(3)}"
        with state.lock():
            starting = _Starting(state.create(name), binaries, nodes=nodes)
        return starting.wait()

    @staticmethod
    def start_detached(*, name: str, quiet: bool = False, nodes: int = DEFAULT_NODES) -> tuple[Cluster, bool]:
        """Start a cluster that outlives this process, unless one of that name runs; return it and whether it ran before.

        Raises:
            ClusterError: As for `start`; or a cluster of that name runs but does not become ready.
        """
        external = _external()
        if external is not None:
            return external, True
        binaries = builds.ensure(programs.QUIET if quiet else programs.FULL)
        with state.lock():
            is_running = state.at(name).supervisor is not None
            starting = None if is_running else _Starting(state.create(name), binaries, nodes=nodes)
        if starting is None:
            return Cluster.attach(name), True
        starting.wait().detach()
        return Cluster.attach(name), False

    @staticmethod
    def attach(name: str) -> Cluster:
        """Return a cluster that another process started, waiting until it is ready. `stop` and ``with`` leave it running.

        Raises:
            ClusterError: No cluster of that name runs, or it does not become ready.
        """
        external = _external()
        if external is not None:
            return external
        directory = state.at(name)
        if directory.supervisor is None:
            raise ClusterError(f"no cluster named {name} is running", remedy=f"`python -m tests.cluster up --name {name}`")
        processes.wait_until(lambda: directory.record() is not None or directory.supervisor is None, seconds=READY_SECONDS)
        return _LocalCluster(directory)

    def __enter__(self) -> Self:
        """Return the cluster; it has been started already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the cluster."""
        self.stop()

    @abstractmethod
    def stop(self) -> None:
        """Stop all programs and remove the state directory; may be called twice. A cluster this process did not start is left alone."""

    @property
    @abstractmethod
    def pids(self) -> Mapping[str, int]:
        """The process id of every program that runs now, a paused one included; empty for a cluster that is not ours."""

    @abstractmethod
    def restart(self, program: str) -> None:
        """Stop one program, or take one that was killed, and start it again with the same flags; returns when the API server is ready.

        Raises:
            ClusterError: The cluster does not run that program, or it does not come up again.
        """

    @abstractmethod
    def _signal(self, program: str, number: signal.Signals) -> None:
        """Send a signal to a running program of the cluster, or raise `ClusterError`."""

    def restart_api_server(self) -> None:
        """Restart the API server; it keeps its port. Connections and watches break, objects stay."""
        self.restart("kube-apiserver")

    def pause(self, program: str) -> None:
        """Freeze a program: its connections stay open and it does not answer, like a hung machine.

        Raises:
            ClusterError: The cluster does not run that program now.
        """
        self._signal(program, signal.SIGSTOP)

    def resume(self, program: str) -> None:
        """Let a paused program go on."""
        self._signal(program, signal.SIGCONT)

    def kill(self, program: str) -> None:
        """Kill a program, like a crash; it stays down until `restart`."""
        self._signal(program, signal.SIGKILL)

    @property
    def audit(self) -> Audit:
        """A reader of the audit log.

        Raises:
            ClusterError: The cluster is not ours, so there is no log.
        """
        if self.audit_log is None:
            raise ClusterError(
                f"cluster {self.name} has no audit log here", remedy=f"unset {EXTERNAL_VARIABLE}: this test needs a cluster of its own"
            )
        return Audit(self.audit_log)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl, of the cluster's version, as admin; return what it prints.

        Args:
            arguments: Its arguments, for example ``"get", "pods", "-o", "name"``.
            input: What it reads from stdin, for ``apply -f -``; None for nothing.

        Raises:
            ClusterError: It ends with another code than 0, or takes longer than a minute.
        """
        binary = builds.ensure(["kubectl"])["kubectl"]
        command = [str(binary), f"--kubeconfig={self.admin_kubeconfig}", *arguments]
        try:
            done = subprocess.run(command, input=input or "", capture_output=True, text=True, timeout=_KUBECTL_SECONDS, check=False)
        except subprocess.TimeoutExpired as exc:
            raise ClusterError(
                f"kubectl {' '.join(arguments)}: no end after {_KUBECTL_SECONDS:.0f} s", remedy="use --request-timeout"
            ) from exc
        if done.returncode != 0:
            raise ClusterError(
                f"kubectl {' '.join(arguments)}: {done.stderr.strip()}", remedy="check the arguments against the cluster's objects"
            )
        return done.stdout


class _ExternalCluster(Cluster):
    """A cluster someone else runs: it can be used, not broken."""

    def __init__(self, path: Path) -> None:
        self.name = "external"
        self.url = kubeconfig.server_url(path)
        self.admin_kubeconfig = path
        self.operator_kubeconfig = path
        self.audit_log = None

    def stop(self) -> None:
        """Do nothing: it was not started here."""

    @property
    def pids(self) -> Mapping[str, int]:
        return {}

    def restart(self, program: str) -> None:
        self._signal(program, signal.SIGTERM)

    def _signal(self, program: str, number: signal.Signals) -> None:
        raise ClusterError(
            f"{program} of {self.url} is not ours to stop", remedy=f"unset {EXTERNAL_VARIABLE}: this test needs a cluster of its own"
        )


class _LocalCluster(Cluster):
    """A cluster on this machine, known by its directory; some other process holds it."""

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory
        self.name = directory.name
        self.url = self._record().url
        self.admin_kubeconfig = directory.admin_kubeconfig
        self.operator_kubeconfig = directory.operator_kubeconfig
        self.audit_log: Path | None = directory.audit_log

    def stop(self) -> None:
        """Do nothing: whoever started it stops it."""

    @property
    def pids(self) -> Mapping[str, int]:
        return {name: identity.pid for name, identity in self._record().programs.items() if identity.is_alive}

    def restart(self, program: str) -> None:
        supervisor.ask(self._directory, {"restart": program})

    def _signal(self, program: str, number: signal.Signals) -> None:
        identity = self._record().programs.get(program)
        if identity is None or not identity.signal(number):
            running = ", ".join(self.pids) or "nothing"
            raise ClusterError(f"{program} does not run in cluster {self.name}", remedy=f"running now: {running}")

    def _record(self) -> Record:
        record = self._directory.record()
        if record is None:
            raise ClusterError(f"cluster {self._directory.name} is not running", remedy="start it first")
        return record


class _OwnedCluster(_LocalCluster):
    """A cluster this process started: it ends with it."""

    def __init__(self, directory: StateDirectory, holder: subprocess.Popen[bytes], pipe: int) -> None:
        super().__init__(directory)
        self._holder = holder
        self._pipe: int | None = pipe

    def stop(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
            _end(self._holder, self._directory)

    def detach(self) -> None:
        """Let the cluster outlive this process; from now on `stop` leaves it alone."""
        if self._pipe is not None:
            os.write(self._pipe, supervisor.DETACH)
            processes.wait_until(lambda: self._directory.is_detached, seconds=_SUPERVISOR_STOP_SECONDS)
            os.close(self._pipe)
            self._pipe = None
            self._holder.returncode = 0  # it goes on, which is meant: no warning about a child nobody waited for


class _Starting:
    """A supervisor that has been started and has not said yet that its cluster is ready."""

    def __init__(self, directory: StateDirectory, binaries: Mapping[str, Path], *, nodes: int) -> None:
        self._directory = directory
        reading, self._pipe = os.pipe()
        stages = builds.stage_files() if "kwok" in binaries else ()
        order = Order(name=directory.name, binaries=binaries, stage_files=stages, nodes=nodes, pipe=reading)
        command = [sys.executable, "-m", supervisor.__name__, order.to_json()]
        try:
            with directory.log("supervisor").open("wb") as log:
                self._holder = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=locations.PROJECT_ROOT,
                    pass_fds=(reading,),
                    start_new_session=True,  # a terminal's Ctrl-C must not reach it: the owner decides
                )
        except BaseException:
            os.close(self._pipe)
            directory.remove()
            raise
        finally:
            os.close(reading)
        identity = processes.identify(self._holder.pid)
        if identity is not None:
            directory.write_supervisor(identity)

    def wait(self) -> _OwnedCluster:
        """Return the cluster when it is ready.

        Raises:
            ClusterError: It does not start; nothing is left.
        """
        try:
            self._raise_if_failed(self._read_report())
            return _OwnedCluster(self._directory, self._holder, self._pipe)
        except BaseException:  # Ctrl-C too
            os.close(self._pipe)
            _end(self._holder, self._directory)
            raise

    def _read_report(self) -> bytes:
        assert self._holder.stdout is not None, "started with a pipe"
        with self._holder.stdout as report:
            return report.readline()

    def _raise_if_failed(self, report: bytes) -> None:
        if not report:
            log = processes.tail(self._directory.log("supervisor"))
            raise ClusterError(
                f"the supervisor of {self._directory.name} ended at once; the end of its log:\n{log}", remedy="read the log above"
            )
        answer = json.loads(report)
        if "error" in answer:
            raise ClusterError(answer["error"], remedy=answer["remedy"])


def take_down(directory: StateDirectory) -> bool:
    """Stop a cluster by its directory, from any process, and remove the directory; say whether it was running.

    Raises:
        ClusterError: It does not end in time.
    """
    holder = directory.supervisor
    if holder is not None:
        holder.signal(signal.SIGTERM)
        if not holder.wait_gone(seconds=_SUPERVISOR_STOP_SECONDS):
            raise ClusterError(
                f"supervisor {holder.pid} of cluster {directory.name} does not end", remedy=f"kill -9 {holder.pid}, then `down` again"
            )
    # The supervisor removes the directory itself, unless it was killed. The lock keeps us off one that is just being created.
    with state.lock():
        if directory.supervisor is None:
            directory.remove()
    return holder is not None


def _end(holder: subprocess.Popen[bytes], directory: StateDirectory) -> None:
    """Wait until a supervisor whose pipe was closed has cleaned up; kill it if it does not, which kills its programs."""
    try:
        holder.wait(timeout=_SUPERVISOR_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()
    if holder.returncode not in supervisor.CLEAN_CODES:
        directory.remove()


def is_external() -> bool:
    """Say whether the environment asks to use an existing cluster."""
    return bool(os.environ.get(EXTERNAL_VARIABLE))


def _external() -> Cluster | None:
    return _ExternalCluster(Path(os.environ[EXTERNAL_VARIABLE]).absolute()) if is_external() else None
