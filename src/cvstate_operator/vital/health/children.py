"""Children: why a workload is not ready, told by its Pods: which Pod, which container, what it waits for or how it ended, since when.

The Pods come from the API server as they are (kube/children.py, `cvstate tree`); the reasons are the words of the kubelet, the scheduler and the container
runtime, so anybody may have put them there. What an application wrote about its own end (`terminationMessagePath`) is left out: it may be a line of its log,
and who reads this need not be allowed to read that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.facts import conditions, containers
from cvstate_operator.vital.facts.conditions import Condition, Conditions
from cvstate_operator.vital.facts.containers import Container, End, Role
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.facts.moments import moment
from cvstate_operator.vital.health import generic

MOST: Final = 5
"""Explanations of one workload: the first one mostly is the cause, and a status has no room for all Pods."""
MESSAGE_CHARACTERS: Final = 300
WORD_CHARACTERS: Final = 64
"""Longest reason; those that Kubernetes has are half as long."""
NAME_CHARACTERS: Final = 330
"""A namespace, a slash and a name (RFC 1123: 63 and 253), and the kind before them."""

_READY: Final = "Ready"
_LONGEST_GRACE_SECONDS: Final = 365 * 86400
"""Of a Pod that is deleted; a longer one is nobody's intention, and no time may lie before the year 1."""


class _Weight(IntEnum):
    """What is told first: what needs a person before what may need nothing but time."""

    GIVEN_UP = 1
    """It failed more than once, or for good."""
    NODE_SILENT = 2
    NO_NODE = 3
    HELD_UP = 4
    """Something is wrong, and is tried again."""
    NOT_READY = 5
    STUCK = 6
    """It is to go, and something keeps it."""
    UNREADABLE = 7
    STARTING = 8
    LEAVING = 9
    REPLACED = 10
    """It ended, and its controller made another one in its place."""


@dataclass(frozen=True, slots=True)
class Child:
    """Why Pods of a workload are not ready, and one of them as an example. All texts are one line, and foreign ones are cut."""

    ref: str
    """The Pod: `Pod web/api-7d9-x`."""
    container: str
    """Its name; empty if it is about the Pod as a whole."""
    role: str
    """What that container is: container, init container, sidecar; empty as `container` is."""
    reason: str
    """One word, mostly Kubernetes' own: CrashLoopBackOff, ImagePullBackOff, Unschedulable, OOMKilled, Evicted, NotReady … The set is open, so it is no metric label."""
    message: str
    """What is known beside that; without times and counts that move. May be empty."""
    since: datetime | None
    """Since when, of several Pods the first, UTC; None if nobody told."""
    restarts: int
    """Of the container, of several Pods the most."""
    ended_at: datetime | None = None
    """When the container ended last, of several Pods the latest, UTC; None if it never did, or nobody told."""
    pods: int = 1
    """How many Pods it is so with."""
    of: int = 1
    """Out of how many that were looked at."""
    is_part: bool = False
    """Whether there are more Pods, that nobody looked at."""

    @property
    def text(self) -> str:
        """All of it but times and restarts: `CrashLoopBackOff: 3 of 5 Pods, e.g. Pod web/api-7d9-x, container main: …`."""
        count = f"{self.pods} of {'the first ' if self.is_part else ''}{self.of} Pods, e.g. " if self.pods > 1 else ""
        where = f", {self.role} {self.container}" if self.container else ""
        return f"{self.reason}: {count}{self.ref}{where}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is wrong with one Pod or one container of it; as foreign as it came."""

    weight: _Weight
    reason: str
    message: str
    since: str
    container: Container | None = None
    end: End | None = None


def explain(pods: Sequence[Mapping[str, Any]], *, is_part: bool = False) -> tuple[Child, ...]:
    """Why these Pods are not ready, what needs a person first; never raises, whatever is in them.

    Args:
        pods: of one workload, full objects.
        is_part: whether the workload has more of them.

    Returns:
        One for each reason and container, `MOST` at most; empty if all Pods are ready, have completed, or are none.
    """
    groups: dict[tuple[_Weight, str, str, str], list[tuple[str, _Trouble]]] = {}
    for pod in pods:
        ref = _ref(pod)
        for trouble in _troubles(pod):
            container = trouble.container
            key = (trouble.weight, _word(trouble.reason), container.role.value if container else "", container.name if container else "")
            groups.setdefault(key, []).append((ref, trouble))
    ranked = sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1]), group[0]))
    return tuple(_child(reason, role, name, group, of=len(pods), is_part=is_part) for (_, reason, role, name), group in ranked[:MOST])


def _child(reason: str, role: str, name: str, group: list[tuple[str, _Trouble]], *, of: int, is_part: bool) -> Child:
    ref, example = min(group, key=lambda one: one[0])
    troubles = [trouble for _, trouble in group]
    began = [found for trouble in troubles if (found := moment(trouble.since))]
    ended = [found for trouble in troubles if trouble.end and (found := moment(trouble.end.finished_at))]
    return Child(
        ref=ref,
        container=one_line(name, WORD_CHARACTERS),
        role=role,
        reason=reason,
        message=one_line(" ".join(example.message[: 4 * MESSAGE_CHARACTERS].split()), MESSAGE_CHARACTERS),
        since=min(began, default=None),
        restarts=max((trouble.container.restarts for trouble in troubles if trouble.container), default=0),
        ended_at=max(ended, default=None),
        pods=len({one for one, _ in group}),
        of=of,
        is_part=is_part,
    )


# -- one Pod -------------------------------------------------------------------------------------------------------


def _troubles(pod: Any) -> tuple[_Trouble, ...]:
    """What is wrong with a Pod; empty if nothing is."""
    try:
        return tuple(_of_pod(Fields.of(pod)))
    except MalformedError as exc:
        return (_Trouble(_Weight.UNREADABLE, "Malformed", str(exc), ""),)


def _of_pod(pod: Fields) -> Iterator[_Trouble]:
    status = pod.below("status")
    told = Conditions.of(status)
    if pod.below("metadata").text("deletionTimestamp"):
        yield _leaving(pod, told)
        return
    phase = status.text("phase")
    is_to_end = pod.below("spec").text("restartPolicy") in ("Never", "OnFailure")
    if phase == "Failed" or (phase == "Succeeded" and not is_to_end):
        yield _ended(pod, is_to_end=is_to_end)
    elif phase == "Unknown" or status.text("reason") == "NodeLost":
        yield _Trouble(_Weight.NODE_SILENT, "NodeLost", f"its node {_node(pod)} does not answer", _since(pod, _READY))
    elif phase != "Succeeded" and not told.true(_READY):
        found = [trouble for one in containers.of(pod) if (trouble := _of_container(one, pod, is_to_end=is_to_end))]
        yield from found or [_as_a_whole(pod, told)]


def _leaving(pod: Fields, told: Conditions) -> _Trouble:
    """A Pod that is being deleted. Its controller does not count it any more, but a StatefulSet waits for it."""
    meta, status = pod.below("metadata"), pod.below("status")
    message = generic.terminating(meta).message
    if why := told.true("DisruptionTarget"):
        message += f"; {why.told}"
    is_lost = status.text("reason") == "NodeLost"
    if is_lost:
        message += f"; its node {_node(pod)} does not answer"
    # The timestamp says when it is to be gone (API conventions, metadata.deletionTimestamp).
    due, grace = moment(meta.text("deletionTimestamp")), min(meta.count("deletionGracePeriodSeconds"), _LONGEST_GRACE_SECONDS)
    since = (due - timedelta(seconds=grace)).isoformat() if due and due.year > 1 else ""
    return _Trouble(_Weight.STUCK if is_lost or meta.texts("finalizers") else _Weight.LEAVING, "Terminating", message, since)


def _ended(pod: Fields, *, is_to_end: bool) -> _Trouble:
    """A Pod that will not run again."""
    status = pod.below("status")
    weight = _Weight.GIVEN_UP if is_to_end else _Weight.REPLACED
    found = next((one for one in containers.of(pod) if one.end and not one.end.is_good), None)
    reason, message = status.text("reason"), status.text("message")
    if found and found.end:
        message = message or f"ended with {found.end.told}"
        return _Trouble(
            weight, reason or found.end.reason or "Error", message, found.end.finished_at or _since(pod, _READY), found, found.end
        )
    return _Trouble(weight, reason or "PodFailed", message or "ended, and is not to run again", _since(pod, _READY))


# -- its containers ------------------------------------------------------------------------------------------------


def _of_container(container: Container, pod: Fields, *, is_to_end: bool) -> _Trouble | None:
    """What is wrong with a container of a Pod that is not ready; None if nothing is, or if it only waits for its turn."""
    since = _since(pod, "Initialized" if container.role is Role.INIT else _READY)
    last = container.last_end
    if container.is_held_up:
        weight = _Weight.GIVEN_UP if container.has_given_up else _Weight.HELD_UP
        if container.waits != containers.CRASH_LOOP or not last:
            return _Trouble(weight, container.waits, container.waits_told, since, container, last)
        is_oom = last.reason == containers.OOM_KILLED
        message = f"ends with {last.told}" + (f", and waits: {container.waits}" if is_oom else "")
        return _Trouble(weight, containers.OOM_KILLED if is_oom else container.waits, message, since, container, last)
    if end := container.end:
        may_end = container.role is Role.INIT or (container.role is Role.MAIN and is_to_end)
        if end.is_good and may_end:
            return None
        is_last = container.role is Role.MAIN and pod.below("spec").text("restartPolicy") == "Never"
        message = f"ended with {end.told}" + ("" if not end.is_good else ", and is to run all the time")
        return _Trouble(_Weight.GIVEN_UP if is_last else _Weight.HELD_UP, end.reason or "Error", message, since, container, end)
    if not container.is_running:
        return None
    if container.role is Role.INIT:
        return _Trouble(
            _Weight.STARTING, "PodInitializing", f"runs, and those after it wait for its end{_after(last)}", since, container, last
        )
    if container.is_ready:
        return None
    return _Trouble(_Weight.NOT_READY, "NotReady", f"runs, {_probe(container)}{_after(last)}", since, container, last)


def _after(last: End | None) -> str:
    return f"; the time before it ended with {last.told}" if last else ""


def _probe(container: Container) -> str:
    """What keeps a running container from being ready. Of the probe no path, header or command is told: these may hold a password."""
    for name, is_asked in (("startupProbe", not container.is_started), ("readinessProbe", True)):
        if is_asked and container.spec.has(name):
            probe = container.spec.below(name)
            what = next((f"{how}{_port(probe.below(how))}" for how in ("httpGet", "tcpSocket", "grpc") if probe.has(how)), "exec")
            return f"but its {name} ({what}) does not succeed"
    return "and is not ready"


def _port(probe: Fields) -> str:
    port = probe.values.get("port")
    return f" port {port}" if isinstance(port, str | int) else ""


# -- a Pod as a whole ----------------------------------------------------------------------------------------------


def _as_a_whole(pod: Fields, told: Conditions) -> _Trouble:
    """A Pod that is not ready, though nothing is wrong with its containers."""
    status = pod.below("status")
    scheduled = told.find("PodScheduled")
    if scheduled and scheduled.status == conditions.FALSE:
        return _Trouble(_Weight.NO_NODE, scheduled.reason or "Unschedulable", scheduled.message, _since(pod, "PodScheduled"))
    ready, since = told.find(_READY), _since(pod, _READY)
    if told.true("ContainersReady") and ready:
        return _marked(pod, told, ready, since)
    if status.text("phase") in ("", "Pending"):
        is_set_up = told.find("PodReadyToStartContainers")
        waits = {one.waits for one in containers.of(pod)}
        reason = next((word for word in ("ContainerCreating", "PodInitializing") if word in waits), "Pending")
        message = "its containers are about to start"
        if is_set_up and is_set_up.status == conditions.FALSE:
            message = "its sandbox, network or volumes are not set up yet"
        elif not waits:
            node = _node(pod)
            message = f"its node {node} has not started it yet" if node else "no scheduler has looked at it yet"
        return _Trouble(_Weight.STARTING, reason, message, since)
    return _Trouble(_Weight.NOT_READY, "NotReady", ready.told if ready else "runs, and is not ready", since)


def _marked(pod: Fields, told: Conditions, ready: Condition, since: str) -> _Trouble:
    """A Pod whose containers are ready: somebody else has to agree, or took it out.

    The node controller sets Ready to False where a node does not answer, and nothing else (Kubernetes, pkg/controller/util/node, MarkPodsNotReady).
    """
    for gate in pod.below("spec").items("readinessGates"):
        kind = gate.text("conditionType")
        if not told.true(kind):
            found = told.find(kind)
            why = f": {found.message or found.reason}" if found and (found.message or found.reason) else ""
            return _Trouble(_Weight.NOT_READY, "ReadinessGatesNotReady", f"its readiness gate {kind} is not True{why}", since)
    if ready.message or ready.reason:
        return _Trouble(_Weight.NOT_READY, ready.reason or "NotReady", ready.message, since)
    return _Trouble(_Weight.NODE_SILENT, "NodeNotReady", f"its containers are ready, but its node {_node(pod)} does not answer", since)


# -- words and times -----------------------------------------------------------------------------------------------


def _ref(pod: Any) -> str:
    meta = pod.get("metadata") if isinstance(pod, Mapping) else None
    if not isinstance(meta, Mapping):
        return "Pod"
    parts = [part for part in (meta.get("namespace"), meta.get("name")) if isinstance(part, str)]
    return one_line(f"Pod {'/'.join(parts)}", NAME_CHARACTERS)


def _node(pod: Fields) -> str:
    return pod.below("spec").text("nodeName")


def _word(text: str) -> str:
    return one_line(text, WORD_CHARACTERS)


def _since(pod: Fields, kind: str) -> str:
    """When that condition became what it is; without it, when the Pod was made."""
    found = (one.text("lastTransitionTime") for one in pod.below("status").items("conditions") if one.values.get("type") == kind)
    return next(found, "") or pod.below("metadata").text("creationTimestamp")
