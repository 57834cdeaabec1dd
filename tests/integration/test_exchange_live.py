"""An object moves from a ClusterState that one replica has to one that another has, on a real API server, by what its audit log says.

Aspects: it is asked for, given and updated by one write each · it is never deleted · nor is what is only to be there · not with whoever has it · not while whoever declares it is suspended · whoever was asked is killed before it gives · whoever asked is killed before it gets.
"""

import signal
from collections.abc import Iterator
from itertools import permutations
from typing import Final

import pytest

from cvstate_operator.api.names import CLAIMED_BY, CLUSTER_STATE, GROUP
from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.objects.ownership import PART_OF_LABEL, applyset_id
from tests.cluster.audit import Request
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.objects import config_map, text
from tests.support.shards import Shards, overlaps, sharing
from tests.support.waiting import never, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

STATES: Final = 10
MOVE_SECONDS: Final = 40.0
"""Two polls of the source, and two looks 2 s apart before anything is given away."""
PATIENCE_SECONDS: Final = 25.0
"""More than the owner waits for one that is behind: 10 s and the interval of its polls, also 10 s."""
TAKEOVER_SECONDS: Final = 60.0
"""The same after a takeover."""


@pytest.fixture(scope="module")
def shards(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    with Cluster.start(quiet=True) as cluster:
        install_crd(Api(cluster.admin_kubeconfig))
        with sharing(cluster, git, tmp_path_factory.mktemp("exchange"), states=STATES, replicas=3) as made:
            yield made


class Moving:
    """A ConfigMap of its own name that moves between ClusterStates by one commit."""

    def __init__(self, shards: Shards, name: str, giver: str, taker: str, *, wish: str = "") -> None:
        """`wish`: how it is to be applied."""
        self.shards, self.name, self.giver, self.taker, self.wish = shards, name, giver, taker, wish

    def files(self, *, taken: bool) -> dict[str, str | None]:
        here, there = (self.taker, self.giver) if taken else (self.giver, self.taker)
        declared = config_map(self.name, at=here)
        if self.wish:
            declared["metadata"]["annotations"] = {"cvstate.io/apply": self.wish}
        return {f"{here}/{self.name}.yaml": text(declared), f"{there}/{self.name}.yaml": None}

    def create(self) -> None:
        """Commit it where it comes from."""
        self.shards.world.commit({path: content for path, content in self.files(taken=False).items() if content})
        until("it is there", lambda: self.live() is not None, seconds=MOVE_SECONDS)
        self.uid = self.metadata["uid"]

    def live(self) -> Json | None:
        return self.shards.world.api.get(self.shards.world.path("configmaps", self.name))

    @property
    def metadata(self) -> Json:
        found = self.live()
        assert found is not None, "it was deleted"
        return dict(found["metadata"])

    @property
    def owner(self) -> str:
        return str(self.metadata["labels"][PART_OF_LABEL])

    @property
    def is_asked_for(self) -> bool:
        return CLAIMED_BY in self.metadata["annotations"]

    def await_taken(self, *, seconds: float) -> None:
        """Until it is the taker's, as the taker declares it, and the same object."""
        until("it is the taker's", lambda: self.owner == self.id_of(self.taker), seconds=seconds)
        until("it is as declared there", lambda: (self.live() or {})["data"] == {"at": self.taker}, seconds=seconds)
        assert self.metadata["uid"] == self.uid

    def id_of(self, state: str) -> str:
        return applyset_id(name=state, namespace=self.shards.world.name, kind=CLUSTER_STATE, group=GROUP)

    def writes(self, since: int) -> list[Request]:
        requests = self.shards.cluster.audit.requests(since, user="cvstate-operator")
        return [one for one in requests if one.resource == "configmaps" and one.name == self.name and one.is_write]


def keepers(shards: Shards) -> dict[str, str]:
    """Which replica has each ClusterState: who answers a request to look again."""
    mark = shards.cluster.audit.mark()
    for name in shards.names:
        shards.world.trigger(name)
    shards.await_written(since=mark)
    return shards.keepers(mark)


def test_it_is_asked_for_given_and_updated_by_one_write_each(shards: Shards):
    had = keepers(shards)
    giver, taker = next(pair for pair in permutations(shards.names, 2) if had[pair[0]] != had[pair[1]])
    moving = Moving(shards, "moved", giver, taker)
    moving.create()
    mark = shards.cluster.audit.mark()
    shards.world.commit(moving.files(taken=True))
    moving.await_taken(seconds=MOVE_SECONDS)
    keepers(shards)  # each has looked again, and found nothing to do
    found = [(had_by(one, had, moving), one.verb, one.code) for one in moving.writes(mark)]
    assert found == [("taker", "patch", 200), ("giver", "patch", 200), ("taker", "patch", 200)]


def test_what_is_only_to_be_there_becomes_the_takers_as_it_is(shards: Shards):
    had = keepers(shards)
    apart = next(pair for pair in permutations(shards.names, 2) if had[pair[0]] != had[pair[1]])
    together = next(pair for pair in permutations(shards.names, 2) if had[pair[0]] == had[pair[1]])
    both = [Moving(shards, f"seed-{number}", *pair, wish="IfNotPresent") for number, pair in enumerate((apart, together))]
    for moving in both:
        moving.create()
    mark = shards.cluster.audit.mark()
    shards.world.commit({path: content for moving in both for path, content in moving.files(taken=True).items()})
    for moving in both:
        until("it is the taker's", lambda: moving.owner == moving.id_of(moving.taker), seconds=MOVE_SECONDS)  # noqa: B023
    keepers(shards)
    for moving in both:
        assert moving.metadata["uid"] == moving.uid
        assert (moving.live() or {})["data"] == {"at": moving.giver}
    assert [[had_by(one, had, moving) for one in moving.writes(mark)] for moving in both] == [["taker", "giver"], ["taker"]]


def test_it_is_kept_while_whoever_declares_it_is_suspended_also_over_a_restart_and_given_when_it_is_resumed(shards: Shards):
    """A new one, so that it looks at the newest commit; one that was at work before stays at the commit that it had."""
    world, taker = shards.world, "late"
    world.declare(taker, git={"path": f"apps/{taker}", "interval": "10s"}, suspend=True)
    had = keepers(shards)
    mark = shards.cluster.audit.mark()
    world.trigger(taker)
    has = until("somebody has it", lambda: shards.keepers(mark).get(taker))
    moving = Moving(shards, "waiting", next(name for name in shards.names if had[name] != has), taker)
    moving.create()
    world.commit(moving.files(taken=True))
    kept = f"kept by ClusterState {world.name}/{taker}"
    until("it is said who declares it", lambda: kept in world.condition(name=moving.giver)["message"], seconds=MOVE_SECONDS)
    for each in shards.running:
        each.end(signal.SIGKILL)
    shards.running.clear()
    shards.start(3)
    shards.await_ready()
    never("it is given or asked for", lambda: moving.owner != moving.id_of(moving.giver) or moving.is_asked_for, seconds=PATIENCE_SECONDS)
    world.api.merge(f"{CLUSTER_STATES.format(world.name)}/{taker}", {"spec": {"suspend": False}})
    moving.await_taken(seconds=MOVE_SECONDS)


def test_it_is_not_deleted_with_the_clusterstate_that_has_it(shards: Shards):
    had = keepers(shards)
    giver, taker = next(pair for pair in permutations(shards.names, 2) if had[pair[0]] != had[pair[1]])
    moving, path = Moving(shards, "staying", giver, taker), f"{CLUSTER_STATES.format(shards.world.name)}/{giver}"
    moving.create()
    shards.world.api.merge(path, {"spec": {"deletionPolicy": "Delete"}})
    shards.world.commit({f"{taker}/staying.yaml": text(config_map("staying", at=taker))})
    until("it is asked for", lambda: moving.is_asked_for, seconds=MOVE_SECONDS)
    spec = shards.world.state(giver)["spec"]
    shards.world.api.delete(path)
    moving.await_taken(seconds=MOVE_SECONDS)
    until("who had it is gone, with all that is its own", lambda: shards.world.api.get(path) is None, seconds=MOVE_SECONDS)
    assert shards.world.api.get(shards.world.path("configmaps", giver)) is None
    shards.world.commit({f"{giver}/staying.yaml": None}, tell=False)
    shards.world.declare(giver, git=spec["source"]["git"], drift=spec["drift"])
    until(
        "it is there again, for the tests that follow",
        lambda: shards.world.api.get(shards.world.path("configmaps", giver)),
        seconds=MOVE_SECONDS,
    )


@pytest.mark.parametrize("victim", ["asked", "asking"])
def test_a_replica_that_is_killed_between_asking_and_giving_loses_nothing(shards: Shards, victim: str):
    """Whoever is asked stands still meanwhile: else it gives within milliseconds."""
    had = keepers(shards)
    giver, taker = next(pair for pair in permutations(shards.names, 2) if had[pair[0]] != had[pair[1]])
    asked, asking = (next(shard for shard in shards.running if shard.member == had[state]) for state in (giver, taker))
    moving = Moving(shards, victim, giver, taker)
    moving.create()
    mark = shards.cluster.audit.mark()
    asked.send(signal.SIGSTOP)
    shards.world.commit(moving.files(taken=True))
    until("it is asked for", lambda: moving.is_asked_for, seconds=MOVE_SECONDS, every=0.02)
    killed = asked if victim == "asked" else asking
    killed.end(signal.SIGKILL)
    shards.running.remove(killed)
    if killed is asking:
        asked.send(signal.SIGCONT)
    assert moving.owner == moving.id_of(giver), "it was given too early to tell anything"
    moving.await_taken(seconds=TAKEOVER_SECONDS)
    # Asked for, given and updated; whoever takes over may ask once more.
    assert {one.verb for one in moving.writes(mark)} == {"patch"}
    assert len(moving.writes(mark)) <= 4
    # Of the object itself they write by turns: who wants it asks, who has it gives, who wants it updates.
    assert overlaps(one for one in shards.log(mark) if one.state != victim) == []


def had_by(one: Request, had: dict[str, str], moving: Moving) -> str:
    """Which of the two replicas sent it."""
    names = {had[moving.giver]: "giver", had[moving.taker]: "taker"}
    return next((name for member, name in names.items() if f"({member})" in one.user_agent), one.user_agent)
