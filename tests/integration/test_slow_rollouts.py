"""Roll-outs that take several times as long as `degradedAfter`, in a real cluster with controllers and simulated kubelets.

Aspects: one Pod after the other gets ready, and nothing is Degraded · Pods that do not start are, so long after the last one that did.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.support.api import Json
from tests.support.objects import deployment, text
from tests.support.scene import Scene, Told, played
from tests.support.versions import Version

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FATE = "test.cvstate.io/fate"
PODS = 7
DEGRADED_AFTER = 7.0
"""Seconds; longer than one Pod takes on a busy machine, and much shorter than all of them."""


def one_by_one(version: str, **labels: str) -> Json:
    """A Deployment whose Pods are replaced one after the other, two seconds each and more."""
    body = deployment("web", replicas=PODS)
    body["spec"]["minReadySeconds"] = 2
    body["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    body["spec"]["template"]["metadata"]["labels"] = {"app": "web", "version": version, **labels}
    return body


@dataclass(frozen=True)
class Rolled:
    """Every version of a status in two roll-outs."""

    slow: list[Version]
    """From one that goes on, to its end."""
    stuck: list[Version]
    """From one that does not, until it was Degraded."""


def rolled(scene: Scene) -> Rolled:
    """A commit is rolled out slowly, and then one whose Pods cannot start."""
    scene.settle(one_by_one("1"), vital={"degradedAfter": f"{DEGRADED_AFTER:g}s"})
    begun = time.monotonic()
    commit = scene.world.commit({"all.yaml": text(one_by_one("2"))})
    scene.wait("it is good", lambda told: commit in told.status.get("lastGoodRevision", ""))
    slow = scene.versions.of("state", since=begun)

    begun = time.monotonic()
    scene.world.commit({"all.yaml": text(one_by_one("3", **{FATE: "image-pull"}))})
    scene.unwell("Degraded", "web")
    return Rolled(slow, scene.versions.of("state", since=begun))


@pytest.fixture(scope="module")
def told(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with played([rolled], git, tmp_path_factory.mktemp("operator")) as found:
        yield found


def count(version: Version, level: str) -> int:
    return int(version.status.get("vital", {}).get("objects", {}).get(level, 0))


def test_a_roll_out_that_goes_on_is_never_degraded_however_long_it_takes(told: Told) -> None:
    found: list[Version] = told(rolled).slow
    under_way = [one.at for one in found if count(one, "progressing")]
    assert max(under_way) - min(under_way) > 1.5 * DEGRADED_AFTER, "it was over too soon to tell anything"
    assert not [str(one) for one in found if count(one, "degraded")]


def test_one_that_is_stuck_is_degraded_so_long_after_it_went_forward_last(told: Told) -> None:
    found: list[Version] = told(rolled).stuck
    since = min(one.at for one in found if count(one, "progressing"))
    until = min(one.at for one in found if count(one, "degraded"))
    assert 0.9 * DEGRADED_AFTER < until - since < 2 * DEGRADED_AFTER
