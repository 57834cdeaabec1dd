"""Rights: what an account may write, as the API server says.

Aspects: what is asked, in whose name · for the whole kind first, then for the object · an answer counts for a moment · whoever may not be acted as may nothing · what cannot be
told counts as allowed · no more is kept than there is room for.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.operator import rights
from cvstate_operator.operator.rights import KEPT_SECONDS, Rights
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, ref


class Server:
    """An API server that allows what the test says, by account, plural and name."""

    def __init__(self) -> None:
        self.allowed: set[tuple[str, str, str]] = set()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.error: errors.CvstateError | None = None
        self.open = 0

    def open_as(self, account: str) -> Any:
        server = self

        class Connected:
            async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
                assert (path.rpartition("/")[2], body["kind"]) == ("selfsubjectaccessreviews", "SelfSubjectAccessReview")
                wanted = body["spec"]["resourceAttributes"]
                server.asked.append((account, wanted))
                if server.error:
                    raise server.error
                return {"status": {"allowed": (account, wanted["resource"], wanted.get("name", "")) in server.allowed}}

            async def close(self) -> None:
                server.open -= 1

        server.open += 1
        return Connected()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [1000.0]
    monkeypatch.setattr(rights.time, "monotonic", lambda: found[0])
    return found


async def test_who_may_patch_a_kind_in_a_namespace_is_asked_once_for_all_its_objects(server: Server, now: list[float]) -> None:
    server.allowed.add(("team/applier", "deployments", ""))
    asking = Rights(server.open_as)
    assert [await asking.may_patch("team/applier", DEPLOYMENT, ref(name, of=DEPLOYMENT)) for name in "abc"] == [True, True, True]
    assert server.asked == [("team/applier", {"verb": "patch", "group": "apps", "resource": "deployments", "namespace": "default"})]
    assert server.open == 0


async def test_who_may_patch_one_object_alone_is_found_out_by_its_name(server: Server, now: list[float]) -> None:
    server.allowed.add(("team/applier", "configmaps", "a"))
    asking = Rights(server.open_as)
    assert [await asking.may_patch("team/applier", CONFIG_MAP, ref(name)) for name in "ab"] == [True, False]
    assert [wanted.get("name") for _, wanted in server.asked] == [None, "a", "b"]


async def test_an_object_of_the_whole_cluster_is_asked_about_without_a_namespace(server: Server, now: list[float]) -> None:
    assert not await Rights(server.open_as).may_patch("team/applier", CRD, ref("a", of=CRD))
    assert all("namespace" not in wanted for _, wanted in server.asked)


async def test_an_answer_counts_for_its_account_and_for_a_moment(server: Server, now: list[float]) -> None:
    asking = Rights(server.open_as)
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    server.allowed |= {(account, "configmaps", "") for account in ("team/applier", "other/applier")}
    assert await asking.may_patch("other/applier", CONFIG_MAP, ref("a"))
    assert not await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))
    now[0] += KEPT_SECONDS
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a"))


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (errors.ImpersonationRefusedError("may not act as it"), False),
        (errors.ForbiddenError("may not ask"), False),
        (errors.NetworkError("away"), True),
        (errors.ServerError("500"), True),
    ],
)
async def test_whoever_may_not_be_acted_as_may_nothing_and_what_cannot_be_told_now_counts_as_allowed(
    server: Server, now: list[float], error: errors.CvstateError, may: bool
) -> None:
    server.error = error
    asking = Rights(server.open_as)
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a")) is may
    server.error = None
    server.allowed.add(("team/applier", "configmaps", ""))
    assert await asking.may_patch("team/applier", CONFIG_MAP, ref("a")), "no error is kept"
    assert server.open == 0


async def test_no_more_answers_are_kept_than_there_is_room_for(server: Server, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "KEPT", 3)
    asking = Rights(server.open_as)
    for number in range(10):
        await asking.may_patch(f"team/{number}", CONFIG_MAP, ref("a"))
    assert len(asking._kept) == 3
