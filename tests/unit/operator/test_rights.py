"""Rights: what an account may write, as the API server says.

Aspects: what is asked, in whose name · for the whole kind first, then for the object · a yes counts longer than a no · whoever may not be acted as may nothing · whatever else is no
answer counts as allowed, and is not asked again at once · connections · no more is kept than there is room for.
"""

import asyncio
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.operator import rights
from cvstate_operator.operator.rights import DOUBT_SECONDS, KEPT_SECONDS, REFUSED_SECONDS, Rights
from cvstate_operator.plan.prune import AGREEING_SECONDS
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, ref

OWN = ""
NO_ROLE = 'RBAC: role.rbac.authorization.k8s.io "gone" not found'


class Server:
    """An API server that allows what the test says, by account, plural and name. What concerns the operator itself is of the account `OWN`."""

    def __init__(self) -> None:
        self.allowed: set[tuple[str, str, str]] = set()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.errors: dict[str, errors.CvstateError] = {}
        """By account: what any question in its name ends with."""
        self.doubts = ""
        """What reviews say that could not look at everything."""
        self.open: list[str] = []
        """Whose connections are."""
        self.opened = 0

    def open_as(self, account: str) -> Any:
        self.open.append(account)
        self.opened += 1
        return Connected(self, account)

    def rights(self) -> Rights:
        return Rights(self.open_as, Connected(self, OWN))  # type: ignore[arg-type]


class Connected:
    """A client in the name of an account."""

    def __init__(self, server: Server, account: str) -> None:
        self._server, self._account = server, account

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert (path.rpartition("/")[2], body["kind"]) == ("selfsubjectaccessreviews", "SelfSubjectAccessReview")
        server, account, wanted = self._server, self._account, body["spec"]["resourceAttributes"]
        server.asked.append((account, wanted))
        await asyncio.sleep(0)
        assert account in (OWN, *server.open), "its connection was closed while it was used"
        if error := server.errors.get(account):
            raise error
        allowed = (account, wanted["resource"], wanted.get("name", "")) in server.allowed
        return {"status": {"allowed": allowed, **({"evaluationError": server.doubts} if server.doubts else {})}}

    async def close(self) -> None:
        self._server.open.remove(self._account)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [1000.0]
    monkeypatch.setattr(rights.time, "monotonic", lambda: found[0])
    return found


async def test_who_may_patch_a_kind_in_a_namespace_is_asked_once_for_all_its_objects(server: Server) -> None:
    server.allowed.add(("team/applier", "deployments", ""))
    asking = server.rights()
    assert [await asking.may_patch("team/applier", DEPLOYMENT, ref(name, of=DEPLOYMENT)) for name in "abc"] == [True, True, True]
    assert server.asked == [("team/applier", {"verb": "patch", "group": "apps", "resource": "deployments", "namespace": "default"})]


async def test_who_may_patch_one_object_alone_is_found_out_by_its_name(server: Server) -> None:
    server.allowed.add(("team/applier", "configmaps", "a"))
    asking = server.rights()
    assert [await asking.may_patch("team/applier", CONFIG_MAP, ref(name)) for name in "ab"] == [True, False]
    assert [wanted.get("name") for _, wanted in server.asked] == [None, "a", "b"]


async def test_an_object_of_the_whole_cluster_is_asked_about_without_a_namespace(server: Server) -> None:
    assert not await server.rights().may_patch("team/applier", CRD, ref("a", of=CRD))
    assert all("namespace" not in wanted for _, wanted in server.asked)


async def test_that_an_account_may_counts_for_a_while_and_for_that_account_alone(server: Server, now: list[float]) -> None:
    asking = server.rights()
    server.allowed.add(("team/applier", "configmaps", ""))
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    assert not await asking.may_patch("other/applier", CONFIG_MAP, ref("a"))
    server.allowed.clear()
    now[0] += KEPT_SECONDS - 1
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    now[0] += 1
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))


@pytest.mark.parametrize("why", ["no right", "no impersonation"])
async def test_two_looks_that_have_to_agree_on_a_refusal_are_two_questions(server: Server, now: list[float], why: str) -> None:
    asking = server.rights()
    if why == "no impersonation":
        server.errors["team/applier"] = errors.ImpersonationRefusedError('cannot impersonate resource "serviceaccounts"')
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    asked, server.errors = len(server.asked), {}
    server.allowed.add(("team/applier", "configmaps", ""))
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    assert len(server.asked) == asked, "one look asks once"
    now[0] += AGREEING_SECONDS - REFUSED_SECONDS  # as late as the first of them may have learnt it from somebody else's question
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))


# -- what is no answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [errors.ForbiddenError("may not create selfsubjectaccessreviews"), errors.NetworkError("away"), errors.ServerError("500")],
    ids=lambda error: error.reason,
)
async def test_whoever_cannot_be_asked_about_counts_as_allowed_and_is_left_in_peace_for_a_moment(
    server: Server, now: list[float], error: errors.CvstateError
) -> None:
    server.errors["team/applier"] = error
    asking = server.rights()
    assert all([await asking.may_patch("team/applier", of, ref(name, of=of)) for name in "abc" for of in (CONFIG_MAP, DEPLOYMENT)])
    assert len(server.asked) == 1, "a request that hangs takes its time, and there may be thousands of objects"
    server.errors.clear()
    now[0] += DOUBT_SECONDS
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))


async def test_a_review_that_could_not_look_at_everything_refuses_nothing(server: Server, now: list[float]) -> None:
    server.doubts = NO_ROLE
    asking = server.rights()
    assert all([await asking.may_patch("team/applier", CONFIG_MAP, ref(name)) for name in "abc"])
    assert len(server.asked) == 1
    server.doubts = ""
    now[0] += DOUBT_SECONDS
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))


async def test_a_review_that_allows_needs_not_look_at_the_rest(server: Server, now: list[float]) -> None:
    server.doubts = NO_ROLE
    server.allowed.add(("team/applier", "configmaps", ""))
    asking = server.rights()
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    now[0] += KEPT_SECONDS - 1
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("said", "is_granted", "may"),
    [
        pytest.param("impersonate", False, False, id="classic, before 1.36"),
        pytest.param("impersonate:serviceaccount", False, False, id="constrained, not this account"),
        pytest.param("impersonate-on:serviceaccount:create", False, False, id="either, since 1.36: not this account"),
        pytest.param("impersonate-on:serviceaccount:create", True, True, id="constrained, this account, and the role to ask is missing"),
    ],
)
async def test_who_may_not_be_acted_as_may_nothing_unless_it_is_only_the_question_that_is_not_allowed(
    server: Server, said: str, is_granted: bool, may: bool
) -> None:
    server.errors["team/applier"] = errors.ImpersonationRefusedError(f'User "operator" cannot {said} resource "x"')
    if is_granted:
        server.allowed.add((OWN, "serviceaccounts", "applier"))
    assert await server.rights().may_patch("team/applier", CONFIG_MAP, ref("a")) is may
    own = [wanted for account, wanted in server.asked if account == OWN]
    way = {"verb": "impersonate:serviceaccount", "group": "authentication.k8s.io", "resource": "serviceaccounts", "namespace": "team"}
    assert own == ([{**way, "name": "applier"}] if "-on" in said else [])


@pytest.mark.parametrize("why", ["may not ask", "an authorizer is away"])
async def test_if_not_even_the_operator_s_own_rights_can_be_told_nobody_is_refused(server: Server, why: str) -> None:
    server.errors["team/applier"] = errors.ImpersonationRefusedError('cannot impersonate-on:serviceaccount:create resource "x"')
    if why == "may not ask":
        server.errors[OWN] = errors.ForbiddenError(why)
    else:
        server.doubts = why
    assert await server.rights().may_patch("team/applier", CONFIG_MAP, ref("a"))


# -- connections, and what is kept -------------------------------------------------------------------------------------


async def test_many_questions_in_one_name_go_by_one_connection(server: Server) -> None:
    asking = server.rights()
    for number in range(20):
        await asking.may_patch("team/applier", CONFIG_MAP, ref(f"a-{number}"))
    await asyncio.gather(*(asking.may_patch("team/applier", DEPLOYMENT, ref(name, of=DEPLOYMENT)) for name in "abc"))
    assert (server.opened, server.open) == (1, ["team/applier"])
    await asking.close()
    assert server.open == []


async def test_connections_of_few_accounts_stay_open_and_none_is_closed_while_it_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "CLIENTS", 2)
    asking = server.rights()
    server.errors["team/1"] = errors.NetworkError("away")
    for number in range(4):
        await asking.may_patch(f"team/{number}", CONFIG_MAP, ref("a"))
    assert sorted(server.open) == ["team/2", "team/3"]
    asked = [asyncio.create_task(asking.may_patch(f"busy/{number}", CONFIG_MAP, ref("a"))) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.gather(*asked)
    assert not any(one.result() for one in asked)
    assert len(server.open) == 2


async def test_no_more_answers_are_kept_than_there_is_room_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "KEPT", 3)
    asking = server.rights()
    for number in range(10):
        await asking.may_patch(f"team/{number}", CONFIG_MAP, ref("a"))
    assert len(asking._kept) == 3
