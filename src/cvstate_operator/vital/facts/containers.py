"""Containers: what the status of a Pod tells about each of them. Read by the rule for Pods, and by the explanation of workloads.

Source: Kubernetes API reference, ContainerStatus, ContainerState; KEP-753 for sidecars. Ephemeral containers are left out: nothing waits for them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cvstate_operator.vital.facts.fields import Fields, MalformedError

CRASH_LOOP: Final = "CrashLoopBackOff"
"""What a container waits for that ended too often (kubelet, container/sync_result.go)."""
IMAGE_FAILURES: Final = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""The same of one whose image was pulled in vain more than once, or will not be pulled at all (kubelet, images/types.go). `ErrImagePull` is a first try."""
ORDINARY: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""What every container waits for at first (kubelet, kubelet_pods.go)."""
OOM_KILLED: Final = "OOMKilled"
"""How a container ended that took more memory than it may (kubelet, kuberuntime; the word is the container runtimes')."""

_SIGNALS: Final = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    15: "SIGTERM",
}
"""Source: signal(7), x86 and Arm."""
_BY_SIGNAL: Final = 128
"""A program that a signal ended has this exit code and the signal's number (POSIX shells, container runtimes)."""


class Role(StrEnum):
    """What a container is for, as people call it."""

    INIT = "init container"
    """Has to end before those after it start."""
    SIDECAR = "sidecar"
    """Starts like one that initialises, and goes on."""
    MAIN = "container"


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended."""

    exit_code: int
    """Below zero are those of Windows."""
    reason: str
    """One word of the container runtime's, as Error, Completed, OOMKilled; may be empty."""
    finished_at: str
    """RFC 3339, as it stands there; may be empty. Nobody checked it."""

    @property
    def is_good(self) -> bool:
        """Whether it says of itself that all went well."""
        return self.exit_code == 0

    @property
    def told(self) -> str:
        """For people: `exit code 137 (SIGKILL, OOMKilled)`."""
        beside = ", ".join(filter(None, (_SIGNALS.get(self.exit_code - _BY_SIGNAL), self.reason)))
        return f"exit code {self.exit_code}{f' ({beside})' if beside else ''}"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a Pod, as its status has it."""

    name: str
    role: Role
    spec: Fields
    """What the Pod asks for; without fields if it does not name the container."""
    is_ready: bool
    is_started: bool
    """Whether its startup probe succeeded, or it has none."""
    is_running: bool
    restarts: int
    waits: str
    """Why it does not run yet, in one word of the kubelet's; empty if it does not wait."""
    waits_told: str
    """The same for people; may be empty."""
    end: End | None
    """How it ended; None if it did not, or runs again."""
    last_end: End | None
    """How it ended the time before; None if it never did."""

    @property
    def has_given_up(self) -> bool:
        """Whether the kubelet tried more than once and backs off, or will not try."""
        return self.waits == CRASH_LOOP or self.waits in IMAGE_FAILURES

    @property
    def is_held_up(self) -> bool:
        """Whether it waits for something else than its turn."""
        return bool(self.waits) and self.waits not in ORDINARY


def of(pod: Fields) -> tuple[Container, ...]:
    """All containers that the Pod's status knows, those that initialise first; empty if no kubelet told of it yet.

    Raises:
        MalformedError: a field has not the type that it should have.
    """
    spec, status = pod.below("spec"), pod.below("status")
    found = []
    for kind, told in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        asked = {one.text("name"): one for one in spec.items(kind)}
        for one in status.items(told):
            wanted = asked.get(one.text("name"), Fields({}))
            role = Role.MAIN if kind == "containers" else Role.SIDECAR if wanted.text("restartPolicy") == "Always" else Role.INIT
            found.append(_container(one, role, wanted))
    return tuple(found)


def _container(told: Fields, role: Role, spec: Fields) -> Container:
    state = told.below("state")
    waiting = state.below("waiting")
    return Container(
        told.text("name"),
        role,
        spec,
        is_ready=told.flag("ready"),
        is_started=told.flag("started") or not told.has("started"),
        is_running=state.has("running"),
        restarts=told.count("restartCount"),
        waits=waiting.text("reason"),
        waits_told=waiting.text("message"),
        end=_end(state),
        last_end=_end(told.below("lastState")),
    )


def _end(state: Fields) -> End | None:
    if not state.has("terminated"):
        return None
    end = state.below("terminated")
    code = end.values.get("exitCode")
    if isinstance(code, bool) or not isinstance(code, int):
        raise MalformedError(f"{end.path}/exitCode is no number")
    return End(code, end.text("reason"), end.text("finishedAt"))
