"""References: Secrets and ConfigMaps by name.

Aspects: one read is enough for as long as asked · none is kept for ever · only the newest are · a refusal is told with whose it is.
"""

import asyncio
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.kube import references
from cvstate_operator.kube.references import References


class Api:
    """Answers each read with how many there were before."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: errors.CvstateError | None = None

    async def get(self, path: str) -> dict[str, Any] | None:
        if self.error:
            raise self.error
        self.asked.append(path.rpartition("/")[2])
        return {"data": {"n": str(len(self.asked))}}


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def found(api: Api) -> References:
    return References(api)  # type: ignore[arg-type]


async def read(found: References, name: str, max_age: float = 60.0) -> str:
    return (await found.read("ConfigMap", "team", name, max_age=max_age))["n"].decode()


async def test_one_read_is_enough_for_as_long_as_asked(found: References, api: Api) -> None:
    assert [await read(found, "a"), await read(found, "a"), await read(found, "a", 0.0)] == ["1", "1", "2"]


async def test_nothing_is_kept_for_ever(found: References, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await read(found, "a")
    await read(found, "b")
    monkeypatch.setattr(references, "KEPT_SECONDS", -1.0)
    await read(found, "c")
    assert [name for _, _, name in found._kept] == ["c"]


async def test_where_nobody_reads_any_more_it_is_forgotten_by_who_tidies_up(
    found: References, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read(found, "a")
    found.tidy()
    assert len(found._kept) == 1
    monkeypatch.setattr(references, "KEPT_SECONDS", -1.0)
    found.tidy()
    assert found._kept == {}


async def test_what_is_kept_too_long_is_read_anew_although_older_would_do(
    found: References, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read(found, "a", 7200.0)
    monkeypatch.setattr(references, "KEPT_SECONDS", -1.0)
    assert await read(found, "a", 7200.0) == "2"


async def test_of_many_the_newest_are_kept(found: References, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "KEPT", 2)
    for name in "abac":
        await read(found, name, 0.0)
    assert [name for _, _, name in found._kept] == ["a", "c"]


async def test_many_that_read_the_same_together_keep_it_once(found: References, api: Api) -> None:
    await asyncio.gather(*(read(found, "a") for _ in range(5)))
    assert len(found._kept) == 1


async def test_a_refusal_says_what_may_not_be_read(found: References, api: Api) -> None:
    api.error = errors.ForbiddenError("user x cannot get configmaps; grant it")
    with pytest.raises(errors.ForbiddenError, match="ConfigMap team/a may not be read: user x cannot get configmaps"):
        await read(found, "a")
