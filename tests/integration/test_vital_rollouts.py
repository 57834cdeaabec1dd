"""Health while things are rolled out, in a real cluster with controllers and simulated kubelets.

Aspects: what was healthy is restarted and scaled, and stays so · a commit is rolled out · rules of health change while objects do not · an image that nobody can
pull: found, rolled back, quarantined with its cause, and the next commit is taken.

The roll-outs are scenes that are played at a time (tests/support/scene.py); the tests read what was told.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.support.api import Json
from tests.support.objects import config_map, definition, deployment, manifest, text
from tests.support.scene import Clock, Scene, Seen, Told, played
from tests.support.versions import Version, words

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

FATE = "test.cvstate.io/fate"
SLOWLY = 60.0
"""Longest wait for controllers."""


# -- scenes --------------------------------------------------------------------------------------------------------------


def slow(name: str, image: str = "registry.example/app:1") -> Json:
    """A Deployment whose roll-outs take some seconds, however fast its Pods start."""
    body = deployment(name, replicas=3, image=image)
    body["spec"]["minReadySeconds"] = 2
    return body


@dataclass(frozen=True)
class Rolled:
    """Every version of a status from before a roll-out to its end."""

    restarted: list[Version]
    scaled: list[Version]
    committed: list[Version]
    after: Seen


def rolling(scene: Scene) -> Rolled:
    """A Deployment is restarted, another one is scaled as an autoscaler does it, and then a commit changes the first."""
    kubectl, name = scene.world.cluster.kubectl, scene.world.name
    ignore = [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment", "name": "scaled"}}]
    scene.settle(slow("web"), slow("scaled"), drift={"ignore": ignore}, vital={"degradedAfter": "5m"})

    begun = time.monotonic()
    kubectl("rollout", "restart", "deployment/web", "-n", name)
    kubectl("rollout", "status", "deployment/web", "-n", name, f"--timeout={SLOWLY}s")
    scene.wait("all are ready", _is_calm)
    restarted = scene.versions.of("state", since=begun)

    begun = time.monotonic()
    kubectl("scale", "deployment/scaled", "-n", name, "--replicas=8")
    kubectl("rollout", "status", "deployment/scaled", "-n", name, f"--timeout={SLOWLY}s")
    scene.wait("all are ready", _is_calm)
    scaled = scene.versions.of("state", since=begun)

    commit = scene.world.commit({"all.yaml": text(slow("web", "registry.example/app:2"), slow("scaled"))})
    begun = scene.wait("the commit is worked with", lambda told: commit in told.status.get("lastAttemptedRevision", "")).at
    scene.wait("it is good", lambda told: commit in told.status.get("lastGoodRevision", ""))
    scene.well()
    return Rolled(restarted, scaled, scene.versions.of("state", since=begun), scene.see())


def ramp(scene: Scene) -> list[Version]:
    """An autoscaler adds one Pod after the other for longer than `degradedAfter`; each is ready before the next one comes."""
    kubectl, name = scene.world.cluster.kubectl, scene.world.name
    ignore = [{"paths": ["/spec/replicas"]}]
    scene.settle(slow("scaled"), config_map("settings"), drift={"ignore": ignore})
    scene.declare(drift={"ignore": ignore}, vital={"degradedAfter": "10s"})
    scene.well()
    begun, count = time.monotonic(), 3
    while time.monotonic() < begun + 20:
        count += 1
        kubectl("scale", "deployment/scaled", "-n", name, f"--replicas={count}")
        kubectl("rollout", "status", "deployment/scaled", "-n", name, f"--timeout={SLOWLY}s")
    return scene.versions.of("state", since=begun)


def _is_calm(told: Version) -> bool:
    return bool(told.status["vital"]["objects"] == {"ready": 2})


@dataclass(frozen=True)
class Rules:
    """What was told of one and the same object by one set of rules after the other."""

    unseen: Seen
    """Before anybody wrote its status."""
    without: Seen
    unclear: Seen
    failing: Seen
    passing: Seen
    versions: set[str]
    """resourceVersions of the object."""
    lists: int
    """Of its kind, since the first rules came."""


def new_rules(scene: Scene) -> Rules:
    """No controller looks at a database; one tells its phase, about which the spec says nothing; then that it has failed; then that it is as it should be."""
    path = scene.world.path("databases", "main", group="example.io/v1")
    scene.world.commit(
        {"all.yaml": text(manifest("Database", "main", api_version="example.io/v1", spec={"size": 1}), config_map("settings"))}
    )
    scene.declare()
    scene.wait("nobody looked at it", lambda told: "no controller has written its status" in told.condition("Healthy").get("message", ""))
    unseen = scene.see()
    versions = {scene.api.merge(f"{path}/status", {"status": {"phase": "Standby"}})["metadata"]["resourceVersion"]}
    scene.well()
    without, audit = scene.see(), scene.world.cluster.audit
    mark = audit.mark()
    own = {"apiVersion": "example.io/v1", "kind": "Database", "current": "self.status.phase == 'Ready'"}
    scene.vital(healthExprs=[{**own, "inProgress": "self.status.phase == 'Restoring'"}])
    scene.wait("nobody knows", lambda told: words(told.status, "Healthy")[0] == "Unknown")
    unclear = scene.see()
    scene.vital(healthExprs=[{**own, "failed": "self.status.phase == 'Standby'"}])
    scene.unwell("Degraded", "main")
    failing = scene.see()
    scene.vital(healthExprs=[{**own, "current": "self.status.phase in ['Ready', 'Standby']"}])
    scene.well()
    versions |= {(scene.api.get(path) or {})["metadata"]["resourceVersion"]}
    lists = [one for one in audit.requests(mark, user="cvstate-operator") if (one.verb, one.resource) == ("list", "databases")]
    return Rules(unseen, without, unclear, failing, scene.see(), versions, len(lists))


@dataclass(frozen=True)
class GivenUp:
    """What became of a bad revision."""

    good: str
    bad: str
    ready: Json
    """The condition Ready after it was given up."""
    seen: Seen
    after: Seen
    during: Seen | None = None
    """While it was rolled out, once the cause was known; None if it was given up before."""
    seconds: Mapping[str, float] = field(default_factory=dict)


def pulled(image: str) -> Json:
    """A Deployment with that image, which can be pulled if it is a good one."""
    body = deployment("web", replicas=2, image=image)
    if "bad" in image:
        body["spec"]["template"]["metadata"]["labels"] = {"app": "web", FATE: "image-pull"}
    return body


def bad_image(scene: Scene) -> GivenUp:
    """A commit names an image that nobody can pull, and is given a few seconds; the next one mends that."""
    return _roll_out_badly(scene, within="5s")


def bad_image_with_patience(scene: Scene) -> GivenUp:
    """The same, given longer than it takes to look for causes."""
    return _roll_out_badly(scene, within="25s", is_patient=True)


def _roll_out_badly(scene: Scene, *, within: str, is_patient: bool = False) -> GivenUp:
    scene.settle(pulled("registry.example/good:1"), config_map("settings", v="1"), rollback={"onUnhealthyFor": within})
    good = scene.world.repository.git("rev-parse", "HEAD").strip()
    scene.wait("it is good", lambda told: good in told.status.get("lastGoodRevision", ""))

    clock = Clock()
    bad = scene.world.commit({"all.yaml": text(pulled("registry.example/bad:1"), config_map("settings", v="2"))})
    scene.until("it is applied", lambda: _image(scene).endswith("bad:1"), every=0.1)
    clock.note("applied")
    clock.note("unhealthy", scene.unwell("Progressing", "web").at)
    during = None
    if is_patient:
        cause = scene.wait("the cause is told", lambda told: "cause" in str(told.status["vital"].get("unready")))
        clock.note("cause", cause.at)
        during = scene.see()
    given_up = scene.wait("it is given up", lambda told: words(told.status, "Ready") == ("False", "RolledBack"))
    clock.note("given up", given_up.at)
    scene.until("the good one is back", lambda: _image(scene).endswith("good:1"), every=0.1)
    clock.note("rolled back")
    back = scene.wait("all are ready", lambda told: words(told.status, "Healthy") == ("True", "Healthy") and _is_calm(told))
    clock.note("healthy", back.at)
    seen, ready = scene.see(), back.condition("Ready")

    better = scene.world.commit({"all.yaml": text(pulled("registry.example/good:2"), config_map("settings", v="3"))})
    clock.note("next commit")
    clock.note("next is good", scene.wait("the next one is good", lambda told: better in told.status.get("lastGoodRevision", "")).at)
    scene.well()
    return GivenUp(good, bad, ready, seen, scene.see(), during, clock.seconds)


def _image(scene: Scene) -> str:
    live = scene.api.get(scene.world.path("deployments", "web", group="apps/v1")) or {}
    return str(live["spec"]["template"]["spec"]["containers"][0]["image"])


SCENES = (rolling, ramp, new_rules, bad_image, bad_image_with_patience)


@pytest.fixture(scope="module")
def told(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    kind = definition("example.io", "Database")
    kind["spec"]["versions"][0]["subresources"] = {"status": {}}
    with played(SCENES, git, tmp_path_factory.mktemp("operator"), kind) as found:
        yield found


# -- what was told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["restarted", "scaled"])
def test_what_was_healthy_stays_healthy_while_it_is_rolled_or_scaled(told: Told, what: str) -> None:
    versions: list[Version] = getattr(told(rolling), what)
    assert {words(one.status, "Healthy") for one in versions} == {("True", "Healthy")}
    assert {one.status["cv"]["score"] for one in versions} == {100}
    assert {words(one.status, "Ready")[0] for one in versions} == {"True"}
    assert any(one.status["vital"]["objects"].get("progressing") for one in versions), "the roll-out was never seen"
    assert any("some are on their way" in one.condition("Healthy")["message"] for one in versions)


def test_what_is_scaled_again_and_again_stays_healthy_if_it_is_ready_each_time(told: Told) -> None:
    versions: list[Version] = told(ramp)
    assert any(one.status["vital"]["objects"].get("progressing") for one in versions), "no roll-out was ever seen"
    assert {words(one.status, "Healthy") for one in versions} == {("True", "Healthy")}


def test_a_commit_that_is_rolled_out_is_progressing_and_never_degraded(told: Told) -> None:
    rolled: Rolled = told(rolling)
    found = [words(one.status, "Healthy") for one in rolled.committed]
    assert set(found) <= {("False", "Progressing"), ("True", "Healthy")}
    assert ("False", "Progressing") in found
    assert found[-1] == ("True", "Healthy")
    assert not any(one.status["vital"]["objects"].get("degraded") for one in rolled.committed)
    assert rolled.after.exit_codes == (0, 0)
    assert rolled.after.metrics["cvstate_pods_ready_ratio"] == 1


def test_objects_that_did_not_change_are_judged_anew_by_new_rules(told: Told) -> None:
    found: Rules = told(new_rules)
    assert (found.unseen.healthy, found.unseen.score) == (("Unknown", "NotEvaluated"), (87, 75))
    assert (found.unseen.unready("main")["state"], found.unseen.unready("main")["reason"]) == ("Unknown", "NotObserved")
    assert found.unseen.count("Ready") == 1
    assert "no controller has written its status yet" in found.unseen.tree
    assert (found.without.healthy, found.without.score) == (("True", "Healthy"), (100, 100))
    assert (found.unclear.healthy, found.unclear.score) == (("Unknown", "NotEvaluated"), (87, 75))
    assert found.unclear.message.endswith("/main: no expression of Database.example.io holds: phase is Standby")
    assert (found.unclear.count("Unknown"), found.unclear.metrics["cvstate_accepted"]) == (1, -1)
    assert (found.failing.healthy, found.failing.score) == (("False", "Degraded"), (70, 100))
    assert "/main: phase is Standby" in found.failing.message
    assert (found.failing.count("Failed"), found.failing.exit_codes[1]) == (1, 1)
    assert (found.passing.healthy, found.passing.exit_codes) == (("True", "Healthy"), (0, 0))
    assert len(found.versions) == 1, "the object itself did change"
    assert found.lists >= 3


@pytest.mark.parametrize(("scene", "within"), [(bad_image, 5), (bad_image_with_patience, 25)], ids=["5s", "25s"])
def test_a_revision_with_a_bad_image_is_given_up_in_time_and_the_good_one_comes_back(
    told: Told, scene: Callable[[Scene], GivenUp], within: int
) -> None:
    found: GivenUp = told(scene)
    assert found.bad in found.ready["message"]
    assert found.good in found.ready["message"]
    assert f"not healthy within {within}s" in found.ready["message"]
    assert found.seen.healthy == ("True", "Healthy")
    assert found.seen.metrics["cvstate_pods_ready_ratio"] == 1
    assert found.seen.score == (100, 100), "what is rolled back to is well"
    (quarantined,) = found.seen.status["quarantined"]
    assert found.bad in quarantined["revision"]
    history = found.seen.status["history"]
    assert [entry["outcome"] for entry in history] == ["Healthy", "Unhealthy", "Healthy"]
    assert within <= history[1]["durationSeconds"] < within + 5
    assert "Quarantined" in found.seen.text


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(bad_image, id="5s"),
        pytest.param(bad_image_with_patience, id="25s"),
    ],
)
def test_a_revision_is_given_up_with_the_cause_that_its_pods_tell(told: Told, scene: Callable[[Scene], GivenUp]) -> None:
    found: GivenUp = told(scene)
    (evidence,) = found.seen.status["history"][1]["evidence"]
    assert "/web: 1 of 2 replicas are updated" in evidence
    assert "ImagePullBackOff: Pod " in evidence
    assert 'container main: Back-off pulling image "registry.example/bad:1"' in evidence
    assert "ImagePullBackOff" in found.seen.status["quarantined"][0]["message"]
    assert "ImagePullBackOff" in found.seen.text


def test_the_cause_is_told_while_a_bad_revision_is_rolled_out(told: Told) -> None:
    seen = told(bad_image_with_patience).during
    assert (seen.healthy, seen.score) == (("False", "Progressing"), (100, 100))
    assert "/web: 1 of 2 replicas are updated" in seen.message
    assert "ImagePullBackOff: Pod " in seen.unready("web")["cause"]
    assert seen.metrics["cvstate_pods_ready_ratio"] == 1, "the Pods before it are still there"
    assert all('Back-off pulling image "registry.example/bad:1"' in shown for shown in (seen.text, seen.tree))
    assert "container main: ImagePullBackOff for " in seen.tree


def test_the_commit_after_a_bad_one_is_taken_and_nothing_is_quarantined_any_more(told: Told) -> None:
    found: GivenUp = told(bad_image)
    assert (found.after.healthy, found.after.score) == (("True", "Healthy"), (100, 100))
    assert "quarantined" not in found.after.status
    assert found.after.exit_codes == (0, 0)
