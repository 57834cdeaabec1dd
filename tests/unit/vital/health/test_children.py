"""Children: what the Pods of a workload tell of it.

Aspects: containers that crash, wait, run and end · those that initialise, and sidecars · a Pod as a whole: no node, gates, a silent node · Pods that go or are gone ·
many Pods: the same reason is told once, the worst first · since when · values that nobody checked.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from cvstate_operator.vital.health import children
from cvstate_operator.vital.health.children import Child, explain
from tests.unit.vital.objects import MADE, Json, condition, container, pod

LATER = "2026-03-01T10:07:30Z"
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "password=hunter2", "finishedAt": LATER}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": LATER}}

READY = condition("Ready", "True")
NOT_READY = condition("Ready", "False", "ContainersNotReady", "containers with unready status: [main]")
CONTAINERS_READY = condition("ContainersReady", "True")
NO_NODE = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")
GATED = condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
NOT_SET_UP = condition("PodReadyToStartContainers", "False")
PROBES = {"readinessProbe": {"httpGet": {"path": "/ready?token=hunter2", "port": 8080}}, "startupProbe": {"exec": {"command": ["test"]}}}


def crashing(name: str = "main", last: Json | None = None, restarts: int = 7) -> Json:
    waits = container(name, waits="CrashLoopBackOff", message="back-off 5m0s restarting failed container=main pod=web_shop(u)")
    return waits | {"restartCount": restarts, "lastState": CRASHED if last is None else last}


def named(name: str, body: Json, **meta: Any) -> Json:
    return {**body, "metadata": {**body["metadata"], "name": name, **meta}}


def asked(body: Json, **spec: Any) -> Json:
    return {**body, "spec": {**body["spec"], **spec}}


def running(*entries: Json, containers: Any = (), init: Any = (), restart: str = "Always") -> Json:
    return pod("Running", *(entries or (NOT_READY,)), containers=containers or [container()], init=init, restart=restart)


SIDECAR = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}]}
UNREADY = container() | {"ready": False, "started": True}

ONE = [
    ("crash loop", running(containers=[container("side"), crashing()]), "CrashLoopBackOff", "main", "ends with exit code 1 (Error)"),
    ("crash loop, end not told", running(containers=[crashing(last={})]), "CrashLoopBackOff", "main", "back-off 5m0s"),
    ("out of memory", running(containers=[crashing(last=OOM)]), "OOMKilled", "main", "exit code 137 (SIGKILL, OOMKilled), and waits: CrashLoopBackOff"),
    ("ends well, and is not to end", running(containers=[crashing(last={"terminated": {"exitCode": 0, "reason": "Completed"}})]), "CrashLoopBackOff", "main", "exit code 0 (Completed)"),
    ("just crashed", running(containers=[container(exited=139)]), "Error", "main", "ended with exit code 139 (SIGSEGV, Error)"),
    ("just ended well", running(containers=[container(exited=0)]), "Completed", "main", "is to run all the time"),
    ("an exit code of Windows", running(containers=[crashing(last={"terminated": {"exitCode": -1073741819}})]), "CrashLoopBackOff", "main", "exit code -1073741819"),
    ("image", pod("Pending", containers=[container(waits="ImagePullBackOff", message="Back-off pulling image web:2")]), "ImagePullBackOff", "main", "Back-off pulling image web:2"),
    ("image, first try", pod("Pending", containers=[container(waits="ErrImagePull", message="manifest unknown")]), "ErrImagePull", "main", "manifest unknown"),
    ("ConfigMap is missing", pod("Pending", containers=[container(waits="CreateContainerConfigError", message='configmap "c" not found')]), "CreateContainerConfigError", "main", 'configmap "c" not found'),
    ("crashes while it initialises", pod("Pending", NOT_READY, init=[crashing("migrate")], containers=[container(waits="PodInitializing")]), "CrashLoopBackOff", "migrate", "exit code 1"),
    ("initialises", pod("Pending", NOT_READY, init=[container("migrate")], containers=[container(waits="PodInitializing")]), "PodInitializing", "migrate", "those after it wait for its end"),
    ("initialised", pod("Pending", NOT_READY, init=[container("migrate", exited=0)], containers=[container(waits="PodInitializing")]), "PodInitializing", "", "about to start"),
    ("sidecar crashes", asked(running(init=[crashing("proxy"), container("migrate", exited=0)]), **SIDECAR), "CrashLoopBackOff", "proxy", "exit code 1"),
    ("sidecar ended", asked(running(init=[container("proxy", exited=0), container("migrate", exited=0)]), **SIDECAR), "Completed", "proxy", "is to run all the time"),
    ("readiness probe", asked(running(containers=[UNREADY]), containers=[{"name": "main", **PROBES}]), "NotReady", "main", "runs, but its readinessProbe (httpGet port 8080) does not succeed"),
    ("startup probe", asked(running(containers=[UNREADY | {"started": False}]), containers=[{"name": "main", **PROBES}]), "NotReady", "main", "runs, but its startupProbe (exec) does not succeed"),
    ("not ready without a probe", running(containers=[UNREADY]), "NotReady", "main", "runs, and is not ready"),
    ("not ready after a crash", running(containers=[UNREADY | {"lastState": OOM}]), "NotReady", "main", "the time before it ended with exit code 137 (SIGKILL, OOMKilled)"),
    ("unschedulable", pod("Pending", NO_NODE), "Unschedulable", "", "3 Insufficient cpu"),
    ("gated", pod("Pending", GATED), "SchedulingGated", "", "scheduling gates"),
    ("nobody schedules it", pod("Pending"), "Pending", "", "no scheduler has looked at it yet"),
    ("nothing told at all", pod(""), "Pending", "", "no scheduler"),
    ("node has not begun", asked(pod("Pending"), nodeName="n1"), "Pending", "", "its node n1 has not started it yet"),
    ("volumes are not there", asked(pod("Pending", NOT_SET_UP, containers=[container(waits="ContainerCreating")]), nodeName="n1"), "ContainerCreating", "", "volumes are not set up yet"),
    ("being created", asked(pod("Pending", containers=[container(waits="ContainerCreating")]), nodeName="n1"), "ContainerCreating", "", "about to start"),
    ("readiness gate", asked(running(condition("Ready", "False", "ReadinessGatesNotReady", "x"), CONTAINERS_READY, condition("lb", "False", message="not registered")), readinessGates=[{"conditionType": "lb"}]), "ReadinessGatesNotReady", "", "its readiness gate lb is not True: not registered"),
    ("readiness gate of which nothing is told", asked(running(NOT_READY, CONTAINERS_READY), readinessGates=[{"conditionType": "lb"}]), "ReadinessGatesNotReady", "", "gate lb is not True"),
    ("node is silent", asked(running(condition("Ready", "False"), CONTAINERS_READY), nodeName="n1"), "NodeNotReady", "", "its node n1 does not answer"),
    ("node is lost", asked(pod("Running", NOT_READY, reason="NodeLost"), nodeName="n1"), "NodeLost", "", "n1 does not answer"),
    ("phase is unknown", pod("Unknown"), "NodeLost", "", "does not answer"),
    ("only the condition says so", running(NOT_READY), "NotReady", "", "unready status: [main]"),
    ("failed", pod("Failed", restart="Never", containers=[container("side", exited=0), container(exited=3)]), "Error", "main", "ended with exit code 3 (Error)"),
    ("failed without a word", pod("Failed", restart="Never"), "PodFailed", "", "not to run again"),
    ("one container of a task failed, the other runs", running(restart="Never", containers=[container(exited=3), UNREADY | {"name": "side", "ready": True}]), "Error", "main", "exit code 3"),
    ("evicted", pod("Failed", reason="Evicted", message="The node was low on resource: memory."), "Evicted", "", "low on resource"),
    ("over its deadline", pod("Failed", restart="Never", reason="DeadlineExceeded", message="Pod was active too long"), "DeadlineExceeded", "", "active too long"),
    ("ended, though to be restarted", pod("Succeeded"), "PodFailed", "", "not to run again"),
    ("goes", named("web", running(READY), deletionTimestamp=LATER), "Terminating", "", "is being deleted"),
    ("is kept", named("web", running(READY), deletionTimestamp=LATER, finalizers=["example.io/hold"]), "Terminating", "", "waits for example.io/hold"),
    ("goes with its node", named("web", asked(pod("Running", condition("DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"), reason="NodeLost"), nodeName="n1"), deletionTimestamp=LATER), "Terminating", "", "NoExecute taint; its node n1 does not answer"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "reason", "name", "told"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in ONE])
def test_a_pod_tells_what_is_wrong_with_it_and_with_which_container(body: Json, reason: str, name: str, told: str) -> None:
    (found,) = explain([body])
    assert (found.ref, found.reason, found.container) == ("Pod shop/web", reason, name)
    assert told in found.message
    assert found.since is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(running(READY), id="ready"),
        pytest.param(running(READY, containers=[container() | {"restartCount": 7, "lastState": CRASHED}]), id="ready-after-a-crash"),
        pytest.param(pod("Succeeded", restart="Never", containers=[container(exited=0)]), id="completed"),
        pytest.param(pod("Succeeded", restart="OnFailure"), id="completed-after-retries"),
    ],
)
def test_of_a_pod_that_is_well_nothing_is_told(body: Json) -> None:
    assert explain([body]) == ()


def test_a_workload_without_pods_is_not_explained_by_them() -> None:
    assert explain([]) == ()


@pytest.mark.parametrize(
    ("body", "role"),
    [
        (running(containers=[crashing()]), "container"),
        (pod("Pending", init=[crashing("migrate")]), "init container"),
        (asked(pod("Pending", init=[crashing("proxy")]), **SIDECAR), "sidecar"),
        (pod("Pending", NO_NODE), ""),
    ],
)
def test_people_are_told_what_the_container_is_for(body: Json, role: str) -> None:
    (found,) = explain([body])
    assert found.role == role
    assert (f", {role} {found.container}: " in found.text) == bool(role)


def test_ephemeral_containers_are_nobodys_reason() -> None:
    body = running(containers=[UNREADY])
    body["status"]["ephemeralContainerStatuses"] = [crashing("debug")]
    assert [child.container for child in explain([body])] == ["main"]


def test_two_containers_in_trouble_are_both_told() -> None:
    found = explain([running(containers=[UNREADY, crashing("side")])])
    assert [(child.container, child.reason) for child in found] == [("side", "CrashLoopBackOff"), ("main", "NotReady")]


# -- many Pods -----------------------------------------------------------------------------------------------------


def test_the_same_reason_of_many_pods_is_told_once_with_the_first_of_them_as_example() -> None:
    pods = [named(f"web-{i}", running(containers=[crashing(restarts=i)])) for i in (3, 1, 2)]
    (found,) = explain([*pods, named("web-0", running(READY)), named("web-4", running(READY))])
    assert (found.pods, found.of, found.ref, found.restarts) == (3, 5, "Pod shop/web-1", 3)
    assert found.text == ("CrashLoopBackOff: 3 of 5 Pods, e.g. Pod shop/web-1, container main: ends with exit code 1 (Error)")


def test_of_one_pod_no_count_is_told() -> None:
    (found,) = explain([named("web-1", pod("Pending", NO_NODE)), named("web-2", running(READY))])
    assert found.text == "Unschedulable: Pod shop/web-1: 0/3 nodes are available: 3 Insufficient cpu."


def test_if_not_all_pods_were_looked_at_the_text_says_so() -> None:
    pods = [named(f"web-{i}", pod("Pending", NO_NODE)) for i in range(2)]
    assert "2 of the first 2 Pods" in explain(pods, is_part=True)[0].text


def test_what_needs_a_person_comes_before_what_needs_time_and_five_are_enough() -> None:
    evicted = pod("Failed", reason="Evicted", message="The node was low on resource: memory.")
    pods = [
        named("a", evicted),
        named("b", evicted),
        named("c", evicted),
        named("d", pod("Pending", containers=[container(waits="ContainerCreating")])),
        named("e", running(containers=[UNREADY])),
        named("f", pod("Pending", containers=[container(waits="CreateContainerConfigError")])),
        named("g", pod("Pending", NO_NODE)),
        named("h", running(containers=[crashing()])),
    ]
    found = explain(pods)
    assert [child.reason for child in found] == [
        "CrashLoopBackOff",
        "Unschedulable",
        "CreateContainerConfigError",
        "NotReady",
        "ContainerCreating",
    ]
    assert len(found) == children.MOST


def test_pods_that_were_replaced_come_last_but_those_of_a_task_first() -> None:
    starting = named("new", pod("Pending", containers=[container(waits="ContainerCreating")]))
    gone = pod("Failed", containers=[container(exited=3)])
    task = pod("Failed", restart="Never", containers=[container(exited=3)])
    assert [child.reason for child in explain([gone, starting])] == ["ContainerCreating", "Error"]
    assert [child.reason for child in explain([task, starting])] == ["Error", "ContainerCreating"]


def test_of_equal_weight_what_more_pods_have_comes_first() -> None:
    pods = [named("a", running(containers=[crashing("x")])), *(named(name, running(containers=[crashing("y")])) for name in "bc")]
    assert [child.container for child in explain(pods)] == ["y", "x"]


def test_the_order_of_the_pods_does_not_matter() -> None:
    pods = [named(f"web-{i}", running(containers=[crashing(restarts=i)])) for i in range(4)] + [named("web-9", pod("Pending", NO_NODE))]
    assert explain(pods) == explain(pods[::-1])


# -- times ---------------------------------------------------------------------------------------------------------


def since(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_it_is_so_since_the_pod_stopped_being_ready_or_since_it_was_made() -> None:
    stopped = running(condition("Ready", "False") | {"lastTransitionTime": LATER}, containers=[crashing()])
    assert explain([stopped])[0].since == since(LATER)
    assert explain([pod("Pending", containers=[container(waits="ImagePullBackOff")])])[0].since == since(MADE)


def test_of_many_pods_the_first_says_since_when_and_the_latest_end_is_told() -> None:
    early, late = ({"terminated": {"exitCode": 1, "finishedAt": moment}} for moment in (MADE, LATER))
    pods = [named("a", running(containers=[crashing(last=late)])), named("b", running(containers=[crashing(last=early)]))]
    pods[0]["status"]["conditions"] = [NOT_READY | {"lastTransitionTime": LATER}]
    (found,) = explain(pods)
    assert (found.since, found.ended_at) == (since(MADE), since(LATER))


def test_a_pod_goes_since_it_was_asked_to_and_not_since_it_should_be_gone() -> None:
    going = named("web", running(READY), deletionTimestamp=LATER, deletionGracePeriodSeconds=30)
    assert explain([going])[0].since == since("2026-03-01T10:07:00Z")


@pytest.mark.parametrize("text", ["", "yesterday", "0001-01-01T00:00:00+10:00", "2026-03-01T10:00:00"])
def test_a_time_that_is_none_is_not_told(text: str) -> None:
    body = running(
        condition("Ready", "False") | {"lastTransitionTime": text},
        containers=[crashing(last={"terminated": {"exitCode": 1, "finishedAt": text}})],
    )
    body["metadata"]["creationTimestamp"] = text
    (found,) = explain([body])
    assert (found.since, found.ended_at) == (None, None)


# -- foreign values ------------------------------------------------------------------------------------------------


def strange(**changes: Any) -> Json:
    body = running(containers=[crashing()])
    return {**body, **changes}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "Pod",
        {},
        {"metadata": None, "status": None},
        {"metadata": []},
        strange(status=[]),
        strange(spec="x"),
        strange(metadata={"name": 7, "namespace": None}),
        strange(status={"phase": 7}),
        strange(status={"phase": "Running", "conditions": {}}),
        strange(status={"phase": "Running", "containerStatuses": [None]}),
        strange(status={"phase": "Running", "containerStatuses": [crashing() | {"restartCount": -1}]}),
        strange(status={"phase": "Running", "containerStatuses": [crashing() | {"lastState": {"terminated": {"exitCode": "1"}}}]}),
        strange(status={"phase": "Failed", "containerStatuses": [crashing() | {"state": {"terminated": {}}}]}),
        strange(status={"phase": "Running", "conditions": [READY, NOT_READY]}),
        strange(status={"phase": "Dancing"}),
        strange(metadata={"deletionTimestamp": "soon", "deletionGracePeriodSeconds": 2**62}),
        strange(metadata={"deletionTimestamp": "0002-01-01T00:00:00Z", "deletionGracePeriodSeconds": 2**62}),
        strange(spec={"containers": [{"name": "main", "readinessProbe": 1}]}, status={"phase": "Running", "containerStatuses": [UNREADY]}),
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_a_reason_and_no_error(body: Any) -> None:
    (found,) = explain([body])
    assert found.ref.startswith("Pod")
    assert found.reason


def test_foreign_texts_are_one_line_and_cut() -> None:
    evil = "\x1b[2J\nfirst\tsecond " + "x" * 5000
    body = running(containers=[container(evil, waits=evil, message=evil)])
    body["metadata"]["name"] = evil
    (found,) = explain([body])
    assert found.text.isprintable()
    assert len(found.message) == children.MESSAGE_CHARACTERS
    assert "first second" in found.message
    assert len(found.reason) == len(found.container) == children.WORD_CHARACTERS
    assert len(found.ref) <= children.NAME_CHARACTERS


def test_what_an_application_wrote_and_paths_of_probes_are_not_passed_on() -> None:
    probed = asked(running(containers=[UNREADY]), containers=[{"name": "main", **PROBES}])
    found: tuple[Child, ...] = (*explain([running(containers=[crashing()])]), *explain([probed]))
    assert len(found) == 2
    assert not any("hunter2" in child.text for child in found)
