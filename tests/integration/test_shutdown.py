"""The end of the operator within its grace period.

Aspects: under load every write that was begun is answered, and nothing new is begun · it is not ready meanwhile · with an API server that does not answer it ends all
the same, by the setting · the next one goes on.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.objects import config_map, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

STATES = 6
OBJECTS = 150
"""Of each: what takes a few seconds to write."""
GRACE_SECONDS = 8
LAST_WORDS_SECONDS = 10.0
"""Beyond the setting: the last status and Events (2 s), what is left of watches (5 s), and a machine that has other things to do."""


def written(world: World) -> int:
    found = world.cluster.audit.requests(0, user="cvstate-operator")
    return sum(1 for r in found if r.resource == "configmaps" and r.verb == "patch" and r.namespace == world.name and r.code == 201)


@pytest.fixture
def ending(own: World, tmp_path: Path) -> Iterator[World]:
    """A corner whose operator has GRACE_SECONDS for its end."""
    own.operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "ending", "--shutdown-seconds", str(GRACE_SECONDS))
    with own.operator:
        yield own


def loaded(world: World) -> None:
    """Several ClusterStates with much to write."""
    for number in range(STATES):
        files = {f"apps/s{number}/{i}.yaml": text(config_map(f"s{number}-{i}", k="v")) for i in range(OBJECTS)}
        world.repository.commit(files)
    for number in range(STATES):
        world.declare(f"s{number}", git={"path": f"apps/s{number}"})


def test_under_load_what_was_begun_is_finished_and_nothing_is_begun(ending: World):
    loaded(ending)
    until("all of them are at it", lambda: written(ending) > 50, every=0.05, seconds=40)
    started = time.monotonic()
    assert ending.operator.end(signal.SIGTERM, seconds=GRACE_SECONDS + LAST_WORDS_SECONDS) == 0
    seconds = time.monotonic() - started
    before = written(ending)
    assert before < STATES * OBJECTS, "it was stopped half-way"
    assert seconds < GRACE_SECONDS, "what is in hand takes moments, not the whole grace period"
    asked = [
        r
        for r in ending.cluster.audit.requests(0, user="cvstate-operator")
        if r.namespace == ending.name and r.resource == "configmaps" and r.is_write
    ]
    assert Counter(r.code for r in asked if not 200 <= r.code < 300) == {}, "every write was answered"
    assert not any("Traceback" in line["message"] or line.get("exception") for line in ending.operator.lines())

    ending.operator.start()
    until("the next one does the rest", lambda: written(ending) == STATES * OBJECTS, seconds=40, every=0.2)


def test_while_it_ends_it_is_not_ready(ending: World):
    ending.declare(git={"path": "apps"})
    ending.wait_applied(ending.commit({"a.yaml": text(config_map("a", k="v"))}))
    ending.cluster.pause("kube-apiserver")
    try:
        ending.commit({"a.yaml": text(config_map("a", k="w"))}, tell=False)
        until("the change is under way", lambda: ending.operator.http("/readyz")[0] == 200, seconds=5)
        time.sleep(2.0)  # its own poll of Git, each second
        started = time.monotonic()
        ending.operator._process.send_signal(signal.SIGTERM)
        until("it says so", lambda: ending.operator.http("/readyz") == (503, "stopping\n") or not ending.operator.is_running, seconds=5)
        code = ending.operator.wait(GRACE_SECONDS + LAST_WORDS_SECONDS)
        seconds = time.monotonic() - started
    finally:
        ending.cluster.resume("kube-apiserver")
    assert code in (0, 1), "1: some requests had to be cut off"
    assert seconds < GRACE_SECONDS + LAST_WORDS_SECONDS
