"""What is taken of a server that a tenant chose.

Aspects: objects without the label are nobody's · no more than fit, nor more bytes · names and marks of a length that they can have · an informer that is told too much knows nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import DIGEST
from cvstate_operator.kube import intake
from cvstate_operator.kube.informer import Informer
from cvstate_operator.kube.intake import Intake
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, applied, ref


@pytest.fixture
def index() -> LiveIndex:
    return LiveIndex(lambda owner, ref: None)


def unlabelled(name: str, version: str = "10") -> dict[str, Any]:
    found = applied(name, version=version)
    del found["metadata"]["labels"][PART_OF_LABEL]
    return found


def test_an_object_without_the_label_is_not_taken(index: LiveIndex) -> None:
    Intake(index).observed(CONFIG_MAP, unlabelled("a"))
    assert index.size == 0


def test_one_that_lost_its_label_is_gone(index: LiveIndex) -> None:
    taken = Intake(index)
    taken.observed(CONFIG_MAP, applied("a", version="10"))
    taken.observed(CONFIG_MAP, unlabelled("a", version="11"))
    assert taken.known(CONFIG_MAP) == frozenset()


def test_no_more_are_taken_than_fit_and_those_that_are_known_go_on(index: LiveIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_OBJECTS", 2)
    taken = Intake(index)
    for name in "ab":
        taken.observed(CONFIG_MAP, applied(name, version="10"))
    with pytest.raises(errors.TargetUnreachableError, match="more than 2 objects"):
        taken.observed(CONFIG_MAP, applied("c", version="10"))
    taken.observed(CONFIG_MAP, applied("a", version="11"))
    taken.gone(CONFIG_MAP, ref("a"), "12")
    taken.observed(CONFIG_MAP, applied("c", version="13"))
    assert index.known(CONFIG_MAP) == {ref("b"), ref("c")}


@pytest.mark.parametrize(
    ("where", "key", "length"),
    [
        ("", "name", intake.MAX_NAME),
        ("", "namespace", intake.MAX_NAME),
        ("", "uid", intake.MAX_MARK),
        ("labels", PART_OF_LABEL, intake.MAX_MARK),
        ("annotations", DIGEST, intake.MAX_MARK),
    ],
)
def test_what_no_object_can_have_is_not_taken(index: LiveIndex, where: str, key: str, length: int) -> None:
    for more, is_taken in ((0, True), (1, False)):
        found = applied("a")
        (found["metadata"][where] if where else found["metadata"])[key] = "x" * (length + more)
        if is_taken:
            Intake(index).observed(CONFIG_MAP, found)
        else:
            with pytest.raises(errors.TargetUnreachableError):
                Intake(index).observed(CONFIG_MAP, found)
    assert index.size == 1


@pytest.mark.parametrize("key", ["name", "namespace", "uid", "resourceVersion"])
def test_a_name_or_mark_that_is_no_text_is_not_taken(index: LiveIndex, key: str) -> None:
    found = applied("a")
    found["metadata"][key] = ["x" * 60_000]
    with pytest.raises(errors.TargetUnreachableError):
        Intake(index).observed(CONFIG_MAP, found)
    assert index.size == 0


@pytest.mark.parametrize(
    ("name", "namespace", "version"),
    [("x" * 254, "team", "10"), ("a", "x" * 254, "10"), ("a", "team", "1" * 257)],
    ids=["name", "namespace", "version"],
)
def test_what_no_object_can_be_called_is_not_told_as_gone(index: LiveIndex, name: str, namespace: str, version: str) -> None:
    Intake(index).gone(CONFIG_MAP, ObjectRef("", "ConfigMap", namespace[:253], name[:253]), version[:256])
    with pytest.raises(errors.TargetUnreachableError):
        Intake(index).gone(CONFIG_MAP, ObjectRef("", "ConfigMap", namespace, name), version)


def test_what_a_controller_is_called_costs_no_more_than_a_line() -> None:
    index = LiveIndex(lambda owner, ref: None)
    found = applied("a")
    found["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "x" * 60_000, "controller": True}]
    Intake(index).observed(CONFIG_MAP, found)
    live = index.get(ref("a"))
    assert live is not None
    assert 0 < len(live.controller) < 200


class Server:
    """Lists two objects, and then tells of one more by a watch."""

    async def pages(self, path: str, *, params: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        yield {"metadata": {"resourceVersion": "50"}, "items": [applied("a"), applied("b")]}

    async def watch(self, path: str, *, params: dict[str, str], opened: Callable[[], None]) -> AsyncIterator[dict[str, Any]]:
        opened()
        yield {"type": "ADDED", "object": applied("c", version="51")}


@pytest.mark.parametrize("fit", [1, 2], ids=["in-a-list", "in-a-watch"])
async def test_a_kind_that_is_told_too_much_of_is_not_known(index: LiveIndex, monkeypatch: pytest.MonkeyPatch, fit: int) -> None:
    monkeypatch.setattr(intake, "MAX_OBJECTS", fit)
    monkeypatch.setattr("cvstate_operator.kube.informer.PATIENCE_SECONDS", 0.0)
    informer = Informer(Server(), CONFIG_MAP, selector=PART_OF_LABEL, sink=Intake(index))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        while informer._trouble is None:
            await asyncio.sleep(0.01)
    assert isinstance(informer._trouble, errors.TargetUnreachableError)
    assert index.size == fit
    await informer.stop()
