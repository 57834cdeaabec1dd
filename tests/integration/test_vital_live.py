"""Faults of what runs, in a real cluster with controllers, a scheduler and simulated kubelets, as the operator, its metrics and the command line tell them.

Aspects: a node falls silent, and its Pods with it · Pods crash · a Pod is evicted · a quota is full · a Pod fits nowhere · a custom resource is not ready any
more, by a rule of the library · one fails, by a rule of the spec. Of each: condition, score before, during and after, metrics, `cvstate status` and
`cvstate tree`, and the way back.

The faults are scenes that are played at a time (tests/support/scene.py); the tests read what was told.
"""

import re
import time
from collections.abc import Iterator

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.vital.health.lapse import SETTLE_SECONDS
from tests.support import kubelet
from tests.support.api import Json
from tests.support.objects import config_map, definition, deployment, manifest, text
from tests.support.scene import Clock, Scene, Seen, Story, Told, played
from tests.support.versions import words
from tests.support.waiting import never

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

WELL = ("True", "Healthy")
DEGRADED_AFTER_SECONDS = 3
DEGRADED_AFTER = f"{DEGRADED_AFTER_SECONDS}s"
NODE = "silent-node"


# -- scenes --------------------------------------------------------------------------------------------------------------


def silent_node(scene: Scene) -> Story:
    """A node's kubelet renews its Lease no more; a good while later the node controller notices."""
    signal = {"name": "nodes", "indicator": "NodesReady", "min": "1"}
    kubelet.join(scene.api, NODE)
    scene.world.commit({"all.yaml": text(kubelet.pinned(deployment("web"), NODE), deployment("far"))})
    scene.declare()
    (pod,) = scene.until("the Pod has its node", lambda: _on_node(scene, "web"))
    kubelet.runs(scene.api, pod)
    scene.well()
    kubelet.beat(scene.api, NODE, seconds_ago=35)  # nobody looked at Leases so far: for the operator it is 35 s old, and 25 s are left
    scene.vital(signal, degradedAfter=DEGRADED_AFTER)
    scene.well()
    before = scene.see(with_commands=False)
    scene.unwell("SignalBreached", "nodes")
    during = scene.see()
    kubelet.give_up(scene.api, NODE, [pod])
    scene.unwell("Degraded", "web", "NodeNotReady")
    later = scene.see()
    with kubelet.beating(scene.api, NODE):
        kubelet.come_back(scene.api, NODE, [pod])
        scene.well()
        return Story(before, during, scene.see(), later)


def crash_loop(scene: Scene) -> Story:
    """The Pods of a Deployment that was healthy crash, and run again."""
    signal = {"name": "pods", "indicator": "PodsReady", "min": "0.9"}
    scene.settle(deployment("web", replicas=2), config_map("settings"))
    scene.vital(signal, degradedAfter=DEGRADED_AFTER)
    scene.well()
    before, clock = scene.see(with_commands=False), Clock()
    for pod in kubelet.pods(scene.world, "web"):
        kubelet.crashes(scene.api, pod)
    clock.note("degraded", scene.unwell("Degraded", "web").at)
    clock.note("cause", scene.unwell("Degraded", "CrashLoopBackOff").at)
    during = scene.see()
    for pod in kubelet.pods(scene.world, "web"):
        kubelet.runs(scene.api, pod)
    clock.note("mended")
    clock.note("well", scene.well().at)
    return Story(before, during, scene.see(), seconds=clock.seconds)


def eviction(scene: Scene) -> Story:
    """A kubelet evicts one Pod of two, which is replaced; a person who knows why lets it pass."""
    scene.settle(deployment("web", replicas=2), config_map("settings"))
    scene.vital({"name": "evicted", "indicator": "Evictions", "max": "0"})
    scene.well()
    before = scene.see(with_commands=False)
    kubelet.evicts(scene.api, kubelet.pods(scene.world, "web")[0])
    scene.unwell("SignalBreached", "evicted")
    scene.wait("another Pod is ready", lambda told: told.status["vital"]["objects"] == {"ready": 2})
    during = scene.see()
    scene.vital({"name": "evicted", "indicator": "Evictions", "max": "1"})
    scene.well()
    return Story(before, during, scene.see())


def full_quota(scene: Scene) -> Story:
    """Somebody lowers a quota below what is there; then a Pod is lost, and no other can be made until the quota is raised."""
    path = scene.world.path("resourcequotas")
    scene.api.create(path, manifest("ResourceQuota", "team", spec={"hard": {"pods": "3"}}))
    scene.settle(deployment("web", replicas=2), config_map("settings"))
    scene.vital({"name": "quota", "indicator": "QuotaUsed", "max": "0.9"}, degradedAfter=DEGRADED_AFTER)
    scene.well()
    before = scene.see(with_commands=False)
    scene.api.merge(f"{path}/team", {"spec": {"hard": {"pods": "1"}}})
    lost = kubelet.pods(scene.world, "web")[0]["metadata"]["name"]
    scene.api.delete(scene.world.path("pods", lost))
    scene.unwell("Degraded", "web", "quota")
    scene.wait("both are told", lambda told: _state(told.status, "quota") == "Breached")
    during = scene.see()
    scene.api.merge(f"{path}/team", {"spec": {"hard": {"pods": "3"}}})
    scene.well()
    return Story(before, during, scene.see())


def no_node_fits(scene: Scene) -> Story:
    """The only node that a Deployment may use loses its label, and then the Pod is lost; the label comes back."""
    node = str(scene.api.request("GET", kubelet.NODES)[1]["items"][0]["metadata"]["name"])
    room, path = f"room.{scene.world.name}", f"{kubelet.NODES}/{node}"
    scene.api.merge(path, {"metadata": {"labels": {room: "yes"}}})
    web = deployment("web")
    web["spec"]["template"]["spec"]["nodeSelector"] = {room: "yes"}
    scene.settle(web, config_map("settings"))
    scene.vital({"name": "scheduling", "indicator": "SchedulingSeconds", "max": "10"}, degradedAfter=DEGRADED_AFTER)
    scene.well()
    before = scene.see(with_commands=False)
    scene.api.merge(path, {"metadata": {"labels": {room: None}}})
    (lost,) = kubelet.pods(scene.world, "web")
    scene.api.delete(scene.world.path("pods", lost["metadata"]["name"]))
    scene.unwell("Degraded", "web", "Unschedulable")
    scene.wait("both are told", lambda told: _state(told.status, "scheduling") == "Breached")
    during = scene.see()
    # A wait that is over is told in whole seconds: it has to be longer than the bound by more than that.
    never("it has a node", lambda: _on_node(scene, "web"), seconds=2)
    scene.api.merge(path, {"metadata": {"labels": {room: "yes"}}})
    scene.unwell("SignalBreached", "scheduling")  # the Pod runs, and waits of the last ten minutes still count
    later = scene.see(with_commands=False)
    scene.vital({"name": "scheduling", "indicator": "SchedulingSeconds", "max": "600"}, degradedAfter=DEGRADED_AFTER)
    scene.well()
    return Story(before, during, scene.see(), later)


def expired_certificate(scene: Scene) -> Story:
    """cert-manager tells that a certificate is not ready any more, and then that it is again."""
    path = scene.world.path("certificates", "site", group="cert-manager.io/v1")
    site = manifest("Certificate", "site", api_version="cert-manager.io/v1", spec={"secretName": "site-tls"})
    _tell_when_made(scene, path, _ready("True", "Certificate is up to date"), site, config_map("settings"))
    scene.vital(degradedAfter=DEGRADED_AFTER)
    scene.well()
    before = scene.see(with_commands=False)
    never("it is unwell", lambda: scene.versions.of("state")[-1].condition("Healthy")["status"] != "True", seconds=SETTLE_SECONDS)
    clock, begun = Clock(), time.monotonic()
    scene.api.merge(f"{path}/status", _ready("False", "Certificate expired on Sunday", reason="Expired"))
    clock.note("degraded", scene.unwell("Degraded", "site").at)
    during, versions = scene.see(), scene.versions.of("state", since=begun)
    scene.api.merge(f"{path}/status", _ready("True", "Certificate is up to date"))
    scene.well()
    return Story(before, during, scene.see(), versions=versions, seconds=clock.seconds)


def failed_database(scene: Scene) -> Story:
    """A kind that nobody has heard of, with rules in the spec, tells that it failed."""
    path = scene.world.path("databases", "main", group="example.io/v1")
    own = {
        "apiVersion": "example.io/v1",
        "kind": "Database",
        "current": "self.status.phase == 'Ready'",
        "failed": "self.status.phase == 'Failed'",
    }
    main = manifest("Database", "main", api_version="example.io/v1", spec={"size": 1})
    _tell_when_made(scene, path, {"status": {"phase": "Ready"}}, main, config_map("settings"), vital={"healthExprs": [own]})
    before = scene.see(with_commands=False)
    scene.api.merge(f"{path}/status", {"status": {"phase": "Failed", "message": "the disk is full"}})
    scene.unwell("Degraded", "main")
    during = scene.see()
    scene.api.merge(f"{path}/status", {"status": {"phase": "Ready", "message": None}})
    scene.unwell("Degraded", "ready again")
    later = scene.see(with_commands=False)
    scene.well()
    return Story(before, during, scene.see(), later)


def _on_node(scene: Scene, app: str) -> list[Json]:
    return [pod for pod in kubelet.pods(scene.world, app) if pod["spec"].get("nodeName")]


def _state(status: Json, signal: str) -> str:
    return next((str(one["state"]) for one in status["vital"].get("signals", ()) if one["name"] == signal), "")


def _ready(status: str, message: str, *, reason: str = "Ready") -> Json:
    return {"status": {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message}]}}


def _tell_when_made(scene: Scene, path: str, status: Json, *objects: Json, **spec: Json) -> None:
    """Do as the controller of a custom resource: once it is there, say that it is ready; then all is well."""
    scene.world.commit({"all.yaml": text(*objects)})
    scene.declare(**spec)
    scene.until("it is made", lambda: scene.api.get(path))
    scene.api.merge(f"{path}/status", status)
    scene.well()


SCENES = (silent_node, crash_loop, eviction, full_quota, no_node_fits, expired_certificate, failed_database)


@pytest.fixture(scope="module")
def told(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    kinds = [definition("cert-manager.io", "Certificate"), definition("example.io", "Database")]
    for kind in kinds:
        kind["spec"]["versions"][0]["subresources"] = {"status": {}}
    with played(SCENES, git, tmp_path_factory.mktemp("operator"), *kinds) as found:
        yield found


# -- what was told -------------------------------------------------------------------------------------------------------


def is_well(seen: Seen) -> None:
    """All is well and known, whoever is asked."""
    assert (seen.healthy, seen.score) == (WELL, (100, 100))
    assert (seen.metrics["cvstate_vital_score"], seen.metrics["cvstate_configuration_score"]) == (100, 100)
    assert sum(seen.count(level) for level in ("Progressing", "Degraded", "Failed", "Missing", "Unknown")) == 0


def is_told(seen: Seen, *words: str) -> None:
    """The command line tells of ill health, with these words."""
    (row,) = (line for line in seen.text.splitlines() if line.split()[:1] == ["Healthy"])
    assert row.split()[1] == "False"
    for word in words:
        assert word in seen.text


def test_a_node_that_falls_silent_is_told_though_its_status_says_that_it_is_ready(told: Told) -> None:
    story: Story = told(silent_node)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "SignalBreached"), (95, 100))
    assert seen.message == "signal nodes: should be >= 1 and is not"
    assert seen.signal("nodes")["series"] == f'{{node="{NODE}"}}'
    assert seen.metrics["cvstate_signals Breached"] == 1
    assert (seen.metrics["cvstate_pods_ready_ratio"], seen.count("Ready")) == (1, 2)
    is_told(seen, "SignalBreached", NODE)
    is_well(story.after)


def test_pods_on_a_silent_node_degrade_their_workload_and_the_cause_names_the_node(told: Told) -> None:
    story: Story = told(silent_node)
    seen = story.later
    assert seen is not None
    assert (seen.healthy, seen.score) == (("False", "Degraded"), (78, 100))
    assert seen.message.startswith("apps/Deployment/")
    assert "/web: 0 of 1 replicas are ready; NodeNotReady: Pod " in seen.message
    assert f"its containers are ready, but its node {NODE} does not answer" in seen.message
    assert (seen.count("Degraded"), seen.count("Ready"), seen.metrics["cvstate_pods_ready_ratio"]) == (1, 1, 0.5)
    is_told(seen, "NodeNotReady", NODE)
    assert "NodeNotReady" in seen.tree
    assert seen.exit_codes[1] == 1
    assert story.after.exit_codes == (0, 0)
    assert "Deployment/web" in story.after.tree


def test_a_workload_that_degrades_while_a_signal_is_breached_is_told_by_an_event(told: Told) -> None:
    story: Story = told(silent_node)
    assert [line for line in story.after.text.splitlines() if " Warning " in line and " Degraded " in line]


def test_pods_that_crash_degrade_their_workload_and_the_cause_names_pod_and_container(told: Told) -> None:
    story: Story = told(crash_loop)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "Degraded"), (78, 100))
    assert "/web: 0 of 2 replicas are ready; CrashLoopBackOff: 2 of 2 Pods, e.g. Pod " in seen.message
    assert "container main: ends with exit code 1 (Error)" in seen.message
    unready = seen.unready("web")
    assert (unready["state"], unready["reason"]) == ("Degraded", "ReplicasNotReady")
    assert "container main" in unready["cause"]
    assert (seen.metrics["cvstate_pods_ready_ratio"], seen.metrics["cvstate_signals Breached"], seen.count("Degraded")) == (0, 1, 1)
    is_told(seen, "CrashLoopBackOff", "container main")
    assert "Degraded for " in seen.tree
    assert "container main: CrashLoopBackOff for " in seen.tree
    assert seen.exit_codes[1] == 1
    is_well(story.after)
    assert (story.after.exit_codes, story.after.metrics["cvstate_pods_ready_ratio"]) == ((0, 0), 1)
    assert SETTLE_SECONDS <= story.seconds["well"] - story.seconds["mended"] + 1 < SETTLE_SECONDS + 15


def test_the_event_that_all_is_well_again_names_what_was_wrong(told: Told) -> None:
    story: Story = told(crash_loop)
    (event,) = (line for line in story.after.text.splitlines() if "healthy again; before: " in line)
    assert "replicas are ready" in event


def test_the_cause_is_looked_for_soon_after_a_workload_is_degraded(told: Told) -> None:
    seconds = told(crash_loop).seconds
    assert seconds["cause"] - seconds["degraded"] < 10


def test_an_eviction_is_told_though_the_pod_was_replaced_and_passes_when_it_is_allowed(told: Told) -> None:
    story: Story = told(eviction)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "SignalBreached"), (95, 100))
    assert seen.message == "signal evicted: should be <= 0 and is not"
    assert 'pod="web-' in seen.signal("evicted")["series"]
    assert (seen.metrics["cvstate_pods_ready_ratio"], seen.count("Ready"), seen.metrics["cvstate_signals Breached"]) == (1, 2, 1)
    is_told(seen, "SignalBreached", 'pod="web-')
    assert "Evicted" in seen.tree
    is_well(story.after)
    assert story.after.exit_codes[0] == 0


def test_a_full_quota_is_told_with_its_name_and_passes_when_it_is_raised(told: Told) -> None:
    story: Story = told(full_quota)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "Degraded"), (78, 100))
    assert "/web: 1 of 2 replicas are there: " in seen.message
    assert "exceeded quota: team" in seen.message
    assert seen.unready("web")["reason"] == "ReplicaFailure"
    assert 'resourcequota="team"' in seen.signal("quota")["series"]
    assert (seen.metrics["cvstate_pods_ready_ratio"], seen.metrics["cvstate_signals Breached"], seen.count("Degraded")) == (0.5, 1, 1)
    is_told(seen, "exceeded quota: team", 'resourcequota="team"')
    assert "exceeded quota: team" in seen.tree
    is_well(story.after)
    assert story.after.exit_codes == (0, 0)


def test_a_full_quota_is_told_with_what_it_allows(told: Told) -> None:
    story: Story = told(full_quota)
    assert re.search(r"used: pods=\d, limited: pods=1", story.during.message)


def test_a_pod_that_fits_nowhere_is_told_in_the_words_of_the_scheduler(told: Told) -> None:
    story: Story = told(no_node_fits)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "Degraded"), (78, 100))
    assert "/web: 0 of 1 replicas are ready; Unschedulable: Pod " in seen.message
    assert "nodes are available" in seen.message
    assert 'pod="web-' in seen.signal("scheduling")["series"]
    assert (seen.metrics["cvstate_pods_ready_ratio"], seen.metrics["cvstate_signals Breached"], seen.count("Degraded")) == (0, 1, 1)
    is_told(seen, "Unschedulable", "nodes are available")
    assert "Unschedulable" in seen.tree
    assert "nodes are available" in seen.tree


def test_a_long_wait_for_a_node_counts_on_when_it_is_over_and_passes_when_it_is_allowed(told: Told) -> None:
    story: Story = told(no_node_fits)
    assert story.later is not None
    assert (story.later.healthy, story.later.score) == (("False", "SignalBreached"), (95, 100))
    assert (story.later.count("Degraded"), story.later.metrics["cvstate_pods_ready_ratio"]) == (0, 1)
    is_well(story.after)
    assert story.after.exit_codes == (0, 0)


def test_a_custom_resource_of_the_library_degrades_when_its_condition_is_not_true_for_too_long(told: Told) -> None:
    story: Story = told(expired_certificate)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "Degraded"), (80, 100))
    assert seen.message.startswith("cert-manager.io/Certificate/")
    assert seen.message.endswith("/site: Ready is False: Certificate expired on Sunday")
    assert (seen.count("Degraded"), seen.count("Ready"), "cvstate_pods_ready_ratio" in seen.metrics) == (1, 1, False)
    is_told(seen, "Certificate expired on Sunday")
    assert "Certificate expired on Sunday" in seen.tree
    is_well(story.after)
    assert story.after.exit_codes == (0, 0)


def test_what_is_not_ready_any_more_is_on_its_way_until_it_took_too_long(told: Told) -> None:
    story: Story = told(expired_certificate)
    assert DEGRADED_AFTER_SECONDS <= story.seconds["degraded"] < DEGRADED_AFTER_SECONDS + 10
    first, last = story.versions[0], story.versions[-1]
    assert (words(first.status, "Healthy"), first.status["vital"]["objects"]) == (WELL, {"ready": 1, "progressing": 1})
    assert first.condition("Healthy")["message"] == "every object was ready; some are on their way"
    assert first.status["cv"]["score"] == 100
    assert words(last.status, "Healthy") == ("False", "Degraded")


def test_a_custom_resource_fails_at_once_by_a_rule_of_the_spec_and_settles_when_it_is_ready_again(told: Told) -> None:
    story: Story = told(failed_database)
    is_well(story.before)
    seen = story.during
    assert (seen.healthy, seen.score) == (("False", "Degraded"), (70, 100))
    assert seen.message.endswith("/main: phase is Failed: the disk is full")
    assert (seen.unready("main")["state"], seen.count("Failed"), seen.count("Ready")) == ("Failed", 1, 1)
    is_told(seen, "the disk is full")
    assert "the disk is full" in seen.tree
    assert story.later is not None
    assert (story.later.count("Failed"), story.later.count("Degraded"), story.later.score) == (0, 1, (80, 100))
    assert "is ready again, not yet for 30 s" in story.later.message
    is_well(story.after)
    assert story.after.exit_codes == (0, 0)
