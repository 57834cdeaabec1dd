"""Watches of an account that may not list a kind in the whole cluster.

Aspects: it is asked about the namespaces alone that are needed · a namespace that is closed blinds nothing else · what is told of a namespace touches no other · more rights are
noticed · whoever may not act as the account, or could see everything a moment ago, is not narrow · rights that are gone for good · how many namespaces there is room for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.kube import informer, watches
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, NAMESPACE, applied, ref

KIND = CONFIG_MAP.gvk.group_kind
ALL = CONFIG_MAP.path()


class Tenant:
    """An API server that lets an account list in some namespaces."""

    def __init__(self, *open_to: str, everywhere: bool = False) -> None:
        self.open_to = set(open_to)
        self.everywhere = everywhere
        self.error: errors.CvstateError = errors.ForbiddenError("may not list")
        self.objects: dict[str, list[dict[str, Any]]] = {}
        """By namespace."""
        self.listed: list[str] = []

    async def pages(self, path: str, *, params: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        self.listed.append(path)
        self._judge(path)
        found = [one for place, objects in self.objects.items() for one in objects if place == _namespace(path) or not _namespace(path)]
        yield {"metadata": {"resourceVersion": "50"}, "items": found}

    async def watch(self, path: str, *, params: dict[str, str], opened: Callable[[], None]) -> AsyncIterator[dict[str, Any]]:
        self._judge(path)
        opened()
        await asyncio.Event().wait()
        yield {}

    def _judge(self, path: str) -> None:
        if not self.everywhere and _namespace(path) not in self.open_to:
            raise self.error


def _namespace(path: str) -> str:
    return path.split("/")[4] if "/namespaces/" in path else ""


class Discovery:
    def resource(self, gvk: Gvk) -> ApiResource | None:
        return {one.gvk: one for one in (CONFIG_MAP, NAMESPACE)}.get(gvk)

    async def refresh(self) -> None:
        return


def watching(tenant: Tenant) -> tuple[watches.Watches, LiveIndex]:
    index = LiveIndex(lambda owner, ref: None)
    return watches.Watches(tenant, Discovery(), index), index  # type: ignore[arg-type]


def live(name: str, namespace: str) -> dict[str, Any]:
    found = applied(name)
    found["metadata"]["namespace"] = namespace
    return found


async def want(found: watches.Watches, *namespaces: str) -> Any:
    return await found.want([CONFIG_MAP], within=lambda kind: namespaces)


async def test_who_may_list_everywhere_is_asked_once() -> None:
    tenant = Tenant(everywhere=True)
    found, _ = watching(tenant)
    assert await want(found, "team", "shop") == {}
    assert (tenant.listed, found.is_narrow) == ([ALL], False)
    await found.close()


async def test_who_may_not_is_asked_about_the_namespaces_that_are_needed() -> None:
    tenant = Tenant("team", "shop")
    tenant.objects = {"team": [live("a", "team")], "shop": [live("b", "shop")], "other": [live("c", "other")]}
    found, index = watching(tenant)
    assert await want(found, "team", "shop") == {}
    assert (found.is_narrow, found.closed(), found.unheard()) == (True, {}, {})
    assert index.known(CONFIG_MAP) == {ref("a", namespace="team"), ref("b", namespace="shop")}
    await found.close()


async def test_a_namespace_that_is_needed_later_is_watched_then() -> None:
    tenant = Tenant("team", "shop")
    found, _ = watching(tenant)
    await want(found, "team")
    tenant.listed.clear()
    assert await want(found, "team", "shop") == {}
    assert tenant.listed == [CONFIG_MAP.path("shop")]
    await found.close()


async def test_a_closed_namespace_blinds_nothing_else() -> None:
    tenant = Tenant("team")
    found, _ = watching(tenant)
    assert await want(found, "team", "kube-system") == {}
    assert set(found.closed()) == {(KIND, "kube-system")}
    assert found.unheard() == {}
    await found.resync([KIND], since=asyncio.get_running_loop().time())
    await found.close()


async def test_where_every_namespace_is_closed_the_kind_is_blind() -> None:
    found, _ = watching(Tenant())
    blind = await want(found, "team", "shop")
    assert isinstance(blind[KIND], errors.ForbiddenError)
    await found.close()


async def test_a_cluster_scoped_kind_has_no_namespaces_to_fall_back_on() -> None:
    found, _ = watching(Tenant("team"))
    blind = await found.want([NAMESPACE], within=lambda kind: ("team",))
    assert set(blind) == {NAMESPACE.gvk.group_kind}
    assert not found.is_narrow
    await found.close()


async def test_where_nobody_may_act_as_the_account_the_kind_is_blind_and_says_so() -> None:
    tenant = Tenant()
    tenant.error = errors.ImpersonationRefusedError("cannot impersonate")
    found, _ = watching(tenant)
    blind = await want(found, "team")
    assert isinstance(blind[KIND], errors.ImpersonationRefusedError)
    assert found.closed() == {}
    await found.close()


async def test_who_may_be_acted_as_in_some_namespaces_only_is_narrow() -> None:
    tenant = Tenant("team")
    tenant.error = errors.ImpersonationRefusedError("cannot impersonate-on:serviceaccount:list")
    found, _ = watching(tenant)
    assert await want(found, "team") == {}
    assert found.is_narrow
    await found.close()


async def test_who_could_see_everything_once_is_refused_for_a_moment_and_not_narrowed() -> None:
    tenant = Tenant(everywhere=True)
    found, index = watching(tenant)
    tenant.objects = {"team": [live("a", "team")]}
    await want(found, "team")
    tenant.everywhere = False
    with pytest.raises(errors.ForbiddenError):
        await found.resync([KIND], since=asyncio.get_running_loop().time())
    await want(found, "team")
    assert not found.is_narrow
    assert index.known(CONFIG_MAP) == {ref("a", namespace="team")}
    await found.close()


async def test_who_is_refused_for_good_is_looked_after_in_its_namespaces_and_everywhere_when_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = Tenant(everywhere=True)
    found, index = watching(tenant)
    tenant.objects = {"team": [live("a", "team")], "shop": [live("b", "shop")]}
    await want(found, "team", "shop")
    tenant.everywhere, tenant.open_to = False, {"team"}
    with pytest.raises(errors.ForbiddenError):
        await found.resync([KIND], since=asyncio.get_running_loop().time())
    async with asyncio.timeout(5):
        while not await want(found, "team", "shop"):  # the stream is asked for anew, and refused
            await asyncio.sleep(0.01)
    monkeypatch.setattr(informer, "PARDON_SECONDS", 0.0)
    assert await want(found, "team", "shop") == {}
    assert found.is_narrow
    assert set(found.closed()) == {(KIND, "shop")}
    assert found.unheard() == {}
    tenant.objects = {"team": [live("a", "team"), live("c", "team")]}
    await found.resync([KIND], since=asyncio.get_running_loop().time())
    assert ref("c", namespace="team") in index.known(CONFIG_MAP)
    tenant.everywhere = True
    found._narrowed_at[KIND] -= watches.WIDEN_SECONDS + 1
    assert await want(found, "team", "shop") == {}
    assert not found.is_narrow
    await found.close()


# -- room --------------------------------------------------------------------------------------------------------------


def spaces(count: int) -> list[str]:
    return [f"space{number}" for number in range(count)]


async def test_more_namespaces_than_there_is_room_for_blind_who_needs_them_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MAX_NAMESPACES", 5)
    tenant = Tenant(*spaces(6))
    found, _ = watching(tenant)
    assert await want(found, *spaces(5)) == {}
    tenant.listed.clear()
    blind = await want(found, *spaces(6))
    assert isinstance(blind[KIND], errors.TooManyNamespacesError)
    assert "6 namespaces" in blind[KIND].message
    assert tenant.listed == [], "nothing is begun that cannot be finished"
    assert await want(found, *spaces(5)) == {}
    await found.close()


async def test_all_kinds_together_have_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MAX_NARROW", 3)
    found, _ = watching(Tenant(*spaces(4)))
    assert await want(found, *spaces(3)) == {}
    assert isinstance((await want(found, *spaces(4)))[KIND], errors.TooManyNamespacesError)
    await found.close()


async def test_namespaces_that_nobody_wants_any_more_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MAX_NAMESPACES", 2)
    found, _ = watching(Tenant(*spaces(3)))
    await want(found, *spaces(2))
    found._wanted_at = dict.fromkeys(found._wanted_at, float("-inf"))
    assert await want(found, "space2") == {}
    assert len(found._wanted_at) < 4, "nor are they remembered"
    await found.close()


async def test_who_may_list_everywhere_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MAX_NAMESPACES", 2)
    found, _ = watching(Tenant(everywhere=True))
    assert await want(found, *spaces(10)) == {}
    await found.close()


async def test_what_vanished_from_one_namespace_is_gone_and_the_others_stay() -> None:
    tenant = Tenant("team", "shop")
    tenant.objects = {"team": [live("a", "team")], "shop": [live("b", "shop")]}
    found, index = watching(tenant)
    await want(found, "team", "shop")
    tenant.objects = {"shop": [live("b", "shop")]}
    await found.resync([KIND], since=asyncio.get_running_loop().time())
    assert index.known(CONFIG_MAP) == {ref("b", namespace="shop")}
    await found.close()


async def test_more_rights_are_noticed_in_time() -> None:
    tenant = Tenant("team")
    found, _ = watching(tenant)
    await want(found, "team")
    tenant.everywhere = True
    found._narrowed_at[KIND] -= watches.WIDEN_SECONDS + 1
    assert await want(found, "team") == {}
    assert not found.is_narrow
    assert [(watched.gvk, watched.namespace) for watched in found._informers] == [(CONFIG_MAP.gvk, "")]
    await found.close()


async def test_the_same_rights_as_before_leave_it_at_the_namespaces() -> None:
    tenant = Tenant("team")
    found, _ = watching(tenant)
    await want(found, "team")
    found._narrowed_at[KIND] -= watches.WIDEN_SECONDS + 1
    assert await want(found, "team") == {}
    assert found.is_narrow
    await found.close()


async def test_many_that_begin_together_all_see_their_namespaces() -> None:
    found, _ = watching(Tenant("team"))
    assert await asyncio.gather(*(want(found, "team") for _ in range(5))) == [{}] * 5
    await found.close()


async def test_a_namespace_that_is_closed_is_asked_more_and_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, pauses = Tenant("team"), list[float]()
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    found, _ = watching(tenant)
    await want(found, "team", "kube-system")
    monkeypatch.setattr("cvstate_operator.kube.informer.asyncio.sleep", slept)
    while len(pauses) < 30:
        await sleep(0)
    monkeypatch.undo()
    assert max(pauses) > 40
    await found.close()
