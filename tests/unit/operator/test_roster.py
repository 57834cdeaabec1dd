"""The roster: which actor an event about a ClusterState concerns. Aspects: events about two objects of one name come in any
order · kinds that come into doubt are told to every actor there · where a ClusterState acts · what belongs to other replicas."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.api.names import FINALIZER
from cvstate_operator.api.restoring import MARK
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.objects.identity import ApiResource, GroupKind, ObjectRef
from cvstate_operator.objects.ownership import applyset_id
from cvstate_operator.operator.engine import Engine
from cvstate_operator.operator.members import Alone
from cvstate_operator.operator.place import OWN, Place
from cvstate_operator.operator.roster import Roster
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.metrics import Metrics
from tests.unit.builders import CONFIG_MAP

CLUSTER_STATE = {"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState"}


class Recorded:
    """An actor that does nothing but remember what it was told."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.uid, self.namespace, self.name = (body["metadata"][key] for key in ("uid", "namespace", "name"))
        self.told: list[str] = []
        self.doubts: list[GroupKind] = []
        self.update(body)
        self.is_closed, self.closes = False, 0
        self.seconds = float("inf")
        """What it has to end in, by the last word about that."""
        self.may_end = asyncio.Event()
        self.may_end.set()

    def update(self, body: dict[str, Any]) -> None:
        self.version = body["metadata"]["resourceVersion"]
        self.told.append(self.version)

    def reconsider(self) -> None:
        pass

    def heard(self, kinds: Collection[GroupKind]) -> None:
        self.doubts += kinds

    async def close(self, *, seconds: float) -> None:
        self.closes += 1
        self.hasten(seconds=seconds)
        await self.may_end.wait()
        self.is_closed = True

    def hasten(self, *, seconds: float) -> None:
        self.seconds = min(self.seconds, seconds)


def body(uid: str, version: int, **metadata: Any) -> dict[str, Any]:
    return {**CLUSTER_STATE, "metadata": {"name": "shop", "namespace": "team", "uid": uid, "resourceVersion": str(version), **metadata}}


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicas: Any, client: Any = None, **settings: Any) -> Roster:
    made = Engine(
        Settings(cache=tmp_path, **settings),
        client,
        None,  # type: ignore[arg-type]
        Metrics(),
        pace=None,  # type: ignore[arg-type]
        quality=ApiQuality(),
        observe=lambda **_: None,
        observe_remote=lambda **_: None,
        replicas=replicas,
    )
    monkeypatch.setattr(made.roster, "_make", lambda owner, told, target: Recorded(told))
    return made.roster


@pytest.fixture
def roster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roster:
    return make(tmp_path, monkeypatch, Alone("this"))


def actor(roster: Roster) -> Any:
    (found,) = roster._actors.values()
    return found


async def test_events_about_one_clusterstate_go_to_its_actor(roster: Roster) -> None:
    roster.observed(body("a", 1))
    roster.observed(body("a", 2))
    assert actor(roster).told == ["1", "2"]
    roster.deleted(body("a", 3))
    assert roster._actors == {}


async def test_another_one_of_the_name_has_an_actor_of_its_own(roster: Roster) -> None:
    roster.observed(body("a", 1))
    roster.observed(body("b", 3))
    assert (actor(roster).uid, actor(roster).told) == ("b", ["3"])


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(lambda roster: roster.deleted(body("a", 2)), id="deleted"),
        pytest.param(lambda roster: roster.observed(body("a", 2)), id="changed"),
        pytest.param(lambda roster: roster.observed(body("a", 2, deletionTimestamp="2026-01-01T00:00:00Z")), id="going"),
    ],
)
async def test_a_late_event_about_one_that_is_gone_does_not_concern_the_new_one(roster: Roster, late: Any) -> None:
    roster.observed(body("a", 1))
    roster.observed(body("b", 3))
    late(roster)
    assert (actor(roster).uid, actor(roster).told, actor(roster).is_closed) == ("b", ["3"], False)


async def test_a_kind_that_comes_into_doubt_is_told_to_every_actor(roster: Roster) -> None:
    roster.observed(body("a", 1))
    roster.heard(OWN, frozenset({GroupKind("", "ConfigMap")}))
    assert actor(roster).doubts == [GroupKind("", "ConfigMap")]


async def test_a_kind_that_comes_into_doubt_elsewhere_concerns_nobody_here(roster: Roster) -> None:
    roster.observed(body("a", 1))
    roster.heard(Place("", "team/prod/value"), frozenset({GroupKind("", "ConfigMap")}))
    assert actor(roster).doubts == []


# -- where a ClusterState acts -----------------------------------------------------------------------------------------


def stated(version: int, generation: int, **spec: Any) -> dict[str, Any]:
    found = body("a", version, generation=generation)
    return {**found, "spec": {"source": {"git": {"url": "https://git.example.com/shop.git"}}, **spec}}


def place(roster: Roster) -> Place:
    (target,) = roster._placed.values()
    return target.place


async def test_another_account_is_another_actor(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    roster.observed(stated(1, 1))
    before = actor(roster)
    roster.observed(stated(2, 2, serviceAccountName="applier"))
    assert (place(roster), before is actor(roster)) == (Place("team/applier", ""), False)
    await asyncio.sleep(0)
    assert before.is_closed


async def test_another_spec_of_the_same_account_is_the_same_actor(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    roster.observed(stated(1, 1, serviceAccountName="applier"))
    before = actor(roster)
    roster.observed(stated(2, 2, serviceAccountName="applier", suspend=True))
    assert before is actor(roster)
    assert before.told == ["1", "2"]


async def test_one_target_serves_all_of_an_account_and_is_closed_after_the_last(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    Closing.closed = 0
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    other = stated(1, 1, serviceAccountName="applier")
    other["metadata"] = {**other["metadata"], "name": "other", "uid": "b"}
    roster.observed(stated(1, 1, serviceAccountName="applier"))
    roster.observed(other)
    assert len({id(target) for target in roster._placed.values()}) == 1
    for one in (stated(2, 1), other):
        roster.deleted(one)
        await ended(roster)
    await roster._targets.close()
    assert Closing.closed == 1


async def test_where_an_account_is_required_one_without_acts_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roster = make(tmp_path, monkeypatch, Alone("this"), require_service_account=True)
    roster.observed(stated(1, 1))
    assert place(roster) == OWN
    with pytest.raises(errors.ServiceAccountRequiredError, match=r"spec\.serviceAccountName is missing"):
        roster.permit(parse_spec(stated(1, 1)["spec"]), "team")


async def test_the_default_account_is_one_of_the_clusterstates_own_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    roster = make(tmp_path, monkeypatch, Alone("this"), require_service_account=True, default_service_account="applier")
    roster.observed(stated(1, 1))
    assert place(roster) == Place("team/applier", "")


class Closing:
    """A client that only counts how often one was closed."""

    closed = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        pass

    async def close(self) -> None:
        Closing.closed += 1


# -- what belongs to other replicas ------------------------------------------------------------------------------------


class Shared(Alone):
    """A replica whose share the test says."""

    def __init__(self) -> None:
        super().__init__("this")
        self.mine = False
        self.left_seconds = 3.0
        """How long what is handed over may still be written."""

    def is_mine(self, owner: str) -> bool:
        return self.mine

    def hand_over_seconds(self, owner: str) -> float:
        return self.left_seconds


class Lists:
    """An API server that lists these ClusterStates."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.asked = 0
        self.paths: list[str] = []
        self.error: errors.CvstateError | None = None

    async def pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        self.asked += 1
        self.paths.append(path)
        if self.error:
            error, self.error = self.error, None
            raise error
        yield {"items": self.items}


async def settled(roster: Roster) -> None:
    while roster._sharing and not roster._sharing.done():
        await asyncio.sleep(0)


async def ended(roster: Roster) -> None:
    while tasks := [task for ending in roster.closing.values() for task in ending]:
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)


async def test_what_another_replica_has_is_left_alone_and_taken_up_as_it_is_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    assert roster._actors == {}
    replicas.mine, api.items = True, [stated(7, 1)]
    roster.shares_changed()
    await settled(roster)
    assert (actor(roster).told, api.asked) == (["7"], 1)


async def test_what_another_replica_has_from_now_on_is_ended_and_still_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, api = Shared(), Lists()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    before = actor(roster)
    replicas.mine = False
    roster.shares_changed()
    await settled(roster)
    await asyncio.sleep(0)
    assert (roster._actors, before.is_closed) == ({}, True)
    replicas.mine, api.items = True, [stated(9, 1)]
    roster.shares_changed()
    await settled(roster)
    assert actor(roster).told == ["9"]


async def test_a_share_that_cannot_be_listed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.roster.SHARE_AGAIN_SECONDS", 0)
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    replicas.mine, api.items, api.error = True, [stated(7, 1)], errors.NetworkError("away")
    roster.shares_changed()
    await settled(roster)
    assert (actor(roster).told, api.asked) == (["7"], 2)


async def test_where_only_some_namespaces_may_be_listed_only_these_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart grants nothing more where `config.namespaces` names some: a list of all would be refused for ever."""
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api, namespaces=("team-a", "team-b"))
    roster.observed(stated(1, 1))
    replicas.mine, api.items = True, [stated(7, 1)]
    roster.shares_changed()
    await settled(roster)
    assert actor(roster).told == ["7"]
    assert api.paths == [f"/apis/cvstate.io/v1alpha1/namespaces/team-{one}/clusterstates" for one in "ab"]


async def test_one_that_is_gone_while_another_replica_had_it_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    roster.deleted(stated(2, 1))
    replicas.mine = True
    roster.shares_changed()
    await settled(roster)
    assert (roster._actors, api.asked) == ({}, 0)


async def test_what_belongs_to_another_is_given_up_at_once_whatever_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, api = Shared(), Lists()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    roster._sharing = asyncio.create_task(asyncio.sleep(60))  # a list that the API server takes its time for
    replicas.mine = False
    roster.shares_changed()
    assert roster.actors == ()
    roster._sharing.cancel()


async def test_who_is_closing_takes_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    await roster.close()
    replicas.mine, api.items = True, [stated(7, 1)]
    roster.shares_changed()
    roster.observed(stated(8, 1))
    assert (roster.actors, api.asked) == ((), 0)


async def test_all_that_a_clusterstate_had_end_in_time_when_it_is_handed_over_and_its_next_actor_waits_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    replicas, api = Shared(), Lists()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas, api, shutdown_seconds=25)
    roster.observed(stated(1, 1))
    first = actor(roster)
    first.may_end.clear()
    roster.observed(stated(2, 2, serviceAccountName="applier"))
    await asyncio.sleep(0)
    assert first.seconds == 25
    second = actor(roster)
    second.may_end.clear()
    replicas.mine = False
    roster.shares_changed()
    await asyncio.sleep(0)
    assert (first.seconds, second.seconds) == (3.0, 3.0)
    (owner,) = roster.closing
    second.may_end.set()
    while len(roster.closing[owner]) > 1:
        await asyncio.sleep(0)
    assert list(roster.closing[owner].values()) == [first], "whoever comes next has to wait for it"
    first.may_end.set()
    await ended(roster)


async def test_what_ends_already_is_handed_over_in_time_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = Shared()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas, Lists(), shutdown_seconds=25)
    roster.observed(stated(1, 1))
    deleted = actor(roster)
    deleted.may_end.clear()
    roster.deleted(stated(2, 1))
    await asyncio.sleep(0)
    replicas.mine = False
    roster.shares_changed()
    assert deleted.seconds == 3.0, "one of the same name may be another replica's by now"
    deleted.may_end.set()
    await ended(roster)


async def test_who_is_closing_hands_over_in_time_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = Shared()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas, Lists(), shutdown_seconds=25)
    roster.observed(stated(1, 1))
    last = actor(roster)
    last.may_end.clear()
    closing = asyncio.create_task(roster.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert last.seconds == 25
    replicas.mine, replicas.left_seconds = False, 0.5
    roster.shares_changed()
    assert last.seconds == 0.5
    last.may_end.set()
    await closing


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(lambda: stated(2, 2, serviceAccountName="applier"), id="another account"),
        pytest.param(lambda: stated(2, 2, target={"kubeConfig": {"secretRef": {"name": "prod"}}}), id="another cluster"),
        pytest.param(lambda: {**stated(2, 1), "metadata": {**stated(2, 1)["metadata"], "uid": "b"}}, id="a namesake"),
    ],
)
async def test_who_is_closing_begins_nothing_whatever_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: Any) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    roster = make(tmp_path, monkeypatch, Alone("this"), Lists(), shutdown_seconds=25)
    roster.observed(stated(1, 1))
    last = actor(roster)
    last.may_end.clear()
    closing = asyncio.create_task(roster.close())
    await asyncio.sleep(0)
    roster.observed(event())
    assert (actor(roster) is last, roster.closing) == (True, {})
    last.may_end.set()
    await closing


async def test_what_is_finished_while_closing_hears_of_its_own_clusterstate(roster: Roster) -> None:
    roster.observed(stated(1, 1))
    last = actor(roster)
    last.may_end.clear()
    closing = asyncio.create_task(roster.close())
    await asyncio.sleep(0)
    roster.observed(stated(2, 2, suspend=True))
    assert last.told == ["1", "2"]
    last.may_end.set()
    await closing


async def test_what_is_deleted_while_closing_is_not_ended_twice(roster: Roster) -> None:
    roster.observed(stated(1, 1))
    last = actor(roster)
    last.may_end.clear()
    closing = asyncio.create_task(roster.close())
    await asyncio.sleep(0)
    roster.deleted(stated(2, 1))
    await asyncio.sleep(0)
    last.may_end.set()
    await closing
    assert (last.closes, roster.closing) == (1, {})


async def test_one_that_cannot_be_handed_over_keeps_no_other_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replicas = Shared()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas, Lists())
    for name in "abc":
        one = stated(1, 1)
        one["metadata"] = {**one["metadata"], "name": name, "uid": name}
        roster.observed(one)
    first, *others = roster.actors
    broken, replicas.mine = roster._placed.pop(next(iter(roster._actors))), False
    with pytest.raises(errors.InternalError, match=f"team/{first.name}$"):
        roster.shares_changed()
    assert roster.actors == (first,)
    await settled(roster)
    (left,) = roster._actors
    roster._placed[left] = broken
    roster.shares_changed()
    assert roster.actors == ()
    await settled(roster)
    await ended(roster)
    assert all(each.is_closed for each in (first, *others))


async def test_a_late_event_does_not_undo_what_the_list_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api)
    roster.observed(stated(1, 1))
    replicas.mine, api.items = True, [stated(50, 2, suspend=True)]
    roster.shares_changed()
    await settled(roster)
    roster.observed(stated(40, 1))
    assert actor(roster).told == ["50"]


async def test_one_that_cannot_be_taken_up_stops_no_other_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.roster.TAKE_UP_AGAIN_SECONDS", 0)
    replicas, api = Shared(), Lists()
    roster = make(tmp_path, monkeypatch, replicas, api)
    other = stated(2, 1)
    other["metadata"] = {**other["metadata"], "name": "other", "uid": "b"}
    for one in (stated(1, 1), other):
        roster.observed(one)

    made: list[str] = []

    def broken_at_first(owner: str, told: dict[str, Any], target: Any) -> Recorded:
        made.append(told["metadata"]["name"])
        if made == ["shop"]:
            raise TypeError("nobody foresaw this")
        return Recorded(told)

    monkeypatch.setattr(roster, "_make", broken_at_first)
    replicas.mine, api.items = True, [stated(7, 1), other]
    roster.shares_changed()
    await settled(roster)
    assert (made, api.asked) == (["shop", "other", "shop"], 2)
    assert len(roster.actors) == 2


async def test_a_namesake_with_the_same_generation_is_noted_anew(roster: Roster) -> None:
    roster.observed({**stated(1, 1, dependsOn=[{"name": "infra"}])})
    again = stated(3, 1)
    again["metadata"] = {**again["metadata"], "uid": "b"}
    roster.observed(again)
    assert roster.edges["team"]["shop"] == ()


# -- what is being restored --------------------------------------------------------------------------------------------


# -- what ClusterStates of other replicas declare ----------------------------------------------------------------------


WANTED = ObjectRef("", "ConfigMap", "team", "b")
REMOTE = {"target": {"kubeConfig": {"secretRef": {"name": "prod", "key": "value"}}}}


def claimants(roster: Roster, kubeconfig: str = "") -> tuple[str, ...]:
    """Who declares the object in a cluster."""
    return roster._targets.of_cluster(Place("", kubeconfig)).claimants(WANTED)


def conflicting(version: int, generation: int, **spec: Any) -> dict[str, Any]:
    """A ClusterState that declares what it cannot have."""
    return {**stated(version, generation, **spec), "status": {"observedGeneration": generation, "claims": [str(WANTED)]}}


async def test_what_one_of_another_replica_declares_and_cannot_have_is_known_by_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = make(tmp_path, monkeypatch, Shared())
    roster.observed(conflicting(1, 1, suspend=True))
    (owner,) = claimants(roster)
    assert roster.is_elsewhere(owner)
    going = conflicting(3, 1, suspend=True)
    going["metadata"] = {**going["metadata"], "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": [FINALIZER]}
    roster.observed(going)
    assert claimants(roster) == ()


@pytest.mark.parametrize("before", ["nobody", "another replica", "this one"])
async def test_what_one_declared_that_is_taken_up_is_known_before_it_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    replicas = Shared()
    replicas.mine = before != "another replica"
    roster = make(tmp_path, monkeypatch, replicas)
    roster.observed(conflicting(1, 1))
    replicas.mine = True
    roster.observed(conflicting(2, 2, **({} if before == "nobody" else {"serviceAccountName": "applier"})))
    assert len(roster.actors) == len(claimants(roster)) == 1


async def test_what_one_said_here_stands_when_it_acts_as_another_account_and_not_for_its_namesake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    roster = make(tmp_path, monkeypatch, Alone("this"))
    roster.observed(stated(1, 1))
    (owner,) = roster._actors
    roster._targets.of_cluster(OWN).want(owner, {WANTED}, None, time.monotonic())
    roster.observed(stated(2, 2, serviceAccountName="applier"))
    assert claimants(roster) == (owner,)
    namesake = stated(3, 3, serviceAccountName="other")
    namesake["metadata"] = {**namesake["metadata"], "uid": "b"}
    roster.observed(namesake)
    assert claimants(roster) == ()


async def test_who_names_no_account_where_one_is_required_may_have_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    asked: list[str] = []

    async def may_patch(account: str, resource: ApiResource, ref: ObjectRef) -> bool:
        asked.append(account)
        return account == "team/strong"

    roster = make(tmp_path, monkeypatch, Alone("this"), require_service_account=True)
    monkeypatch.setattr(roster._targets.rights, "may_patch", may_patch)
    giver = stated(1, 1, serviceAccountName="applier")
    giver["metadata"] = {**giver["metadata"], "name": "giver", "uid": "g"}
    roster.observed(giver)
    (giving,) = roster._actors

    async def may_have(**spec: Any) -> bool:
        version = roster._noted.get(owner, ("", 0))[1] or 0
        roster.observed(stated(version + 1, version + 1, **spec))
        return await roster.may_have(giving, owner, CONFIG_MAP, WANTED)

    owner = applyset_id(name="shop", namespace="team", kind="ClusterState", group="cvstate.io")
    assert [await may_have(), await may_have(serviceAccountName="weak"), await may_have(serviceAccountName="strong")] == [
        False,
        False,
        True,
    ]
    assert await may_have(serviceAccountName="applier"), "the same account may what the other one may"
    assert asked == ["team/weak", "team/strong"]


UNREADABLE = {"interval": "never"}


@pytest.mark.parametrize("whose", ["ours", "another replica's"])
async def test_what_one_claims_whose_spec_was_never_read_stands_and_nobody_takes_it_for_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """It could be read when it claimed that; since then it was edited, or a new version of the operator reads more strictly, and this process is a new one."""
    monkeypatch.setattr("cvstate_operator.operator.targets.Client", Closing)
    replicas = Shared()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas)
    giver = stated(1, 1, serviceAccountName="applier")
    giver["metadata"] = {**giver["metadata"], "name": "giver", "uid": "g"}
    roster.observed(giver)
    (giving,) = roster._actors
    replicas.mine = whose == "ours"
    roster.observed(conflicting(2, 2, serviceAccountName="weak", **UNREADABLE))
    (owner,) = claimants(roster)
    assert await roster.may_have(giving, owner, CONFIG_MAP, WANTED)

    async def may_patch(account: str, resource: ApiResource, ref: ObjectRef) -> bool:
        return False

    monkeypatch.setattr(roster._targets.rights, "may_patch", may_patch)
    roster.observed(conflicting(3, 3, serviceAccountName="weak"))
    assert not await roster.may_have(giving, owner, CONFIG_MAP, WANTED), "it is known whom to ask about now"
    roster.observed(conflicting(4, 4, serviceAccountName="strong", **UNREADABLE))
    assert not await roster.may_have(giving, owner, CONFIG_MAP, WANTED), "what was read last counts"


async def test_one_of_another_replica_that_is_about_another_cluster_now_has_no_say_in_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = make(tmp_path, monkeypatch, Shared())
    roster.observed(conflicting(1, 1))
    assert roster._targets.of_cluster(OWN).catch_up("another", time.monotonic())
    roster.observed(conflicting(2, 2, **REMOTE))
    assert not roster._targets.of_cluster(OWN).catch_up("another", time.monotonic())
    assert (claimants(roster), len(claimants(roster, "team/prod/value"))) == ((), 1)


async def test_nothing_is_left_of_clusters_that_nobody_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roster = make(tmp_path, monkeypatch, Shared())
    for number in range(1, 20):
        roster.observed(conflicting(number, number, target={"kubeConfig": {"secretRef": {"name": f"prod-{number}", "key": "value"}}}))
    assert list(roster._targets._claims) == ["team/prod-19/value"]
    roster.deleted(conflicting(20, 20))
    assert list(roster._targets._claims) == []


async def test_what_is_declared_in_a_cluster_that_is_looked_at_is_known_to_all_who_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the last one leaves and another comes while the cluster is still watched."""
    replicas = Shared()
    replicas.mine = True
    roster = make(tmp_path, monkeypatch, replicas)
    roster.observed(stated(1, 1))
    (target,) = roster._placed.values()
    for claims in roster._targets._claims.values():
        for owner in roster._actors:
            claims.leave(owner)
    roster._targets.gone("another")
    assert roster._targets.of_cluster(OWN) is target.index.claims


def restored(version: int, *, is_whole: bool) -> dict[str, Any]:
    found = stated(version, 1)
    if not is_whole:
        found["metadata"] = {**found["metadata"], "annotations": {MARK: "2026-01-01T00:00:00Z"}}
    return found


async def test_what_is_being_restored_is_looked_at_when_it_is_whole(roster: Roster) -> None:
    roster.observed(restored(1, is_whole=False))
    assert roster.actors == ()
    roster.observed(restored(2, is_whole=True))
    assert actor(roster).told == ["2"]


async def test_that_one_is_half_restored_is_said_once_as_long_as_it_is(roster: Roster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for version in (1, 2, 3):
        roster.observed(restored(version, is_whole=False))
    (said,) = [record for record in caplog.records if "restore" in record.message]
    assert vars(said)["clusterstate"] == "team/shop"
    roster.observed(restored(4, is_whole=True))
    assert actor(roster).told == ["4"]


async def test_one_that_is_at_work_already_is_not_stopped_by_the_mark(roster: Roster) -> None:
    roster.observed(restored(1, is_whole=True))
    roster.observed(restored(2, is_whole=False))
    assert actor(roster).told == ["1", "2"]
