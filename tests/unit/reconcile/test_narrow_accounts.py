"""Passes of a ClusterState whose account sees some namespaces only.

Aspects: where it is looked · namespaces are noted for whoever comes after us, before objects are made there · a closed namespace stops its own objects, and every delete · objects
that an earlier process left in other namespaces are found.
"""

import pytest

from cvstate_operator import errors
from tests.unit.builders import CONFIG_MAP, body, ref
from tests.unit.reconcile.fakes import Stage

KIND = CONFIG_MAP.gvk.group_kind


def there(name: str, namespace: str) -> dict[str, object]:
    found = body(name, data={"colour": "blue"})
    found["metadata"]["namespace"] = namespace
    return found


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.cluster.narrow = True
    return stage


async def test_it_is_looked_where_objects_are_declared_and_at_home(stage: Stage) -> None:
    await stage.commit(there("a", "team"), there("b", "shop"))
    assert stage.cluster.within[KIND] == {"default", "team", "shop"}


async def test_namespaces_are_noted_beside_the_kinds(stage: Stage) -> None:
    await stage.commit(there("a", "team"), there("b", "default"))
    assert stage.reporter.parents[-1].namespaces == {"team"}
    before = len(stage.reporter.parents)
    await stage.run(full=True)
    assert len(stage.reporter.parents) == before


async def test_a_namespace_is_noted_before_an_object_is_made_there(stage: Stage) -> None:
    await stage.commit(there("a", "team"))
    stage.reporter.failures.append(errors.ServerError("not now"))
    stage.git.commit(there("a", "team"), there("b", "shop"))
    await stage.look()
    with pytest.raises(errors.ServerError):
        await stage.run()
    assert stage.names() == {"a"}


async def test_who_sees_everything_notes_no_namespaces() -> None:
    stage = Stage()
    await stage.commit(there("a", "team"))
    assert [parent.namespaces for parent in stage.reporter.parents] == [frozenset()]


async def test_what_an_earlier_process_noted_is_looked_through_and_pruned(stage: Stage) -> None:
    await stage.commit(there("a", "default"), there("b", "shop"))
    parent = stage.reporter.parents[-1]
    stage.restart(known_kinds=parent.group_kinds, known_namespaces=parent.namespaces, status=stage.status)
    stage.git.commit(there("a", "default"))
    await stage.look()
    await stage.settle(await stage.run(full=True))
    assert "shop" in stage.cluster.within[KIND]
    assert stage.names() == {"a"}


async def test_a_closed_namespace_stops_its_own_objects_alone(stage: Stage) -> None:
    stage.cluster.shut[KIND, "kube-system"] = errors.ForbiddenError("may not list there")
    outcome = await stage.commit(there("a", "team"), there("b", "kube-system"))
    assert stage.names() == {"a"}
    assert [(problem.reason, problem.object) for problem in outcome.problems] == [("Forbidden", str(ref("b", namespace="kube-system")))]
    assert stage.ready()[0] == "False"


async def test_while_a_namespace_is_closed_nothing_is_deleted(stage: Stage) -> None:
    await stage.commit(there("a", "team"), there("b", "shop"), there("c", "team"))
    stage.cluster.shut[KIND, "shop"] = errors.ForbiddenError("may not list there any more")
    stage.git.commit(there("a", "team"), there("b", "shop"))
    await stage.look()
    await stage.settle(await stage.run(full=True))
    assert "c" in stage.names()
    stage.cluster.shut.clear()
    await stage.settle(await stage.run(full=True))
    assert "c" not in stage.names()


async def test_a_closed_namespace_that_is_not_declared_any_more_closes_nothing(stage: Stage) -> None:
    stage.cluster.shut[KIND, "kube-system"] = errors.ForbiddenError("may not list there")
    await stage.commit(there("a", "team"))
    assert stage.ready() == ("True", "Reconciled")
