"""Desired state.

Aspects: placing into kinds and namespaces · what cannot be placed · duplicates, however they come about · the digest of it all.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.plan.desired import Desired, place
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, NAMESPACE, WIDGET, manifest, problem, ref

BETA = ApiResource(Gvk("apps", "v1beta1", "Deployment"), "deployments", True)
SERVED = {resource.gvk: resource for resource in (CONFIG_MAP, DEPLOYMENT, NAMESPACE, BETA)}


def placed(*manifests: Manifest, problems: Sequence[object] = ()) -> Desired:
    return place(manifests, problems, resolve=SERVED.get, namespace="team")  # type: ignore[arg-type]


def test_an_object_without_a_namespace_goes_into_that_of_the_cluster_state() -> None:
    found = placed(manifest("a", namespace=""), manifest("b", namespace="other"))
    assert set(found.objects) == {ref("a", namespace="team"), ref("b", namespace="other")}
    assert found.problems == ()


def test_a_cluster_scoped_object_has_no_namespace() -> None:
    found = placed(manifest("web", of=NAMESPACE, namespace=""))
    assert set(found.objects) == {ref("web", of=NAMESPACE)}
    assert found.resources == {NAMESPACE.gvk: NAMESPACE}


def test_a_namespace_on_a_cluster_scoped_object_is_a_mistake() -> None:
    found = placed(manifest("web", of=NAMESPACE, namespace="x", file="ns.yaml", document=3))
    (mistake,) = found.problems
    assert (mistake.reason, mistake.field, mistake.file, mistake.document) == ("Invalid", "metadata.namespace", "ns.yaml", 3)
    assert found.objects == {}


def test_an_unknown_kind_is_left_out_and_may_come_later() -> None:
    found = placed(manifest("w", of=WIDGET), manifest("a"))
    (mistake,) = found.problems
    assert (mistake.reason, mistake.field, mistake.retryable) == ("KindUnknown", "kind", True)
    assert "example.io/v1" in mistake.message
    assert set(found.objects) == {ref("a")}


@pytest.mark.parametrize(
    "twice",
    [
        pytest.param([manifest(file="a.yaml"), manifest(file="b.yaml")], id="same-object"),
        pytest.param([manifest(namespace="team", file="a.yaml"), manifest(namespace="", file="b.yaml")], id="same-after-defaulting"),
        pytest.param([manifest(of=DEPLOYMENT, file="a.yaml"), manifest(of=BETA, file="b.yaml")], id="same-in-two-versions"),
        pytest.param([manifest(document=1), manifest(document=2, digest="d2")], id="same-file"),
    ],
)
def test_an_object_that_stands_twice_is_applied_from_neither_place(twice: list[Manifest]) -> None:
    found = placed(*twice, manifest("other"))
    (mistake,) = found.problems
    assert mistake.reason == "DuplicateObject"
    assert set(found.objects) == {ref("other")}
    for m in twice:
        assert f"{m.origin.file} document {m.origin.document} (line {m.origin.line})" in mistake.message


def test_three_places_are_one_problem_that_names_all() -> None:
    found = placed(*(manifest(file=name) for name in ("c.yaml", "a.yaml", "b.yaml")))
    (mistake,) = found.problems
    assert mistake.message.index("a.yaml") < mistake.message.index("b.yaml") < mistake.message.index("c.yaml")
    assert mistake.file == "c.yaml"


def test_names_that_differ_in_case_are_different_objects() -> None:
    assert len(placed(manifest("a"), manifest("A")).objects) == 2


def test_thousands_of_places_make_no_endless_message() -> None:
    (mistake,) = placed(*(manifest(file=f"{n}.yaml") for n in range(10_000))).problems
    assert len(mistake.message) < 500
    assert "9995 more" in mistake.message


def test_problems_of_the_render_are_kept_and_sorted_by_file() -> None:
    found = placed(manifest("w", of=WIDGET, file="apps/00001b.yaml"), problems=[problem(2), problem(1)])
    assert [p.file for p in found.problems] == ["apps/00001.yaml", "apps/00001b.yaml", "apps/00002.yaml"]


def test_nothing_gives_nothing() -> None:
    found = placed()
    assert (found.objects, found.problems) == ({}, ())
    assert found.digest == Desired().digest


MANIFESTS = tuple(manifest(name, digest=f"d-{name}", file=f"{name}.yaml") for name in "abcdef")


@given(st.permutations(MANIFESTS))
def test_the_digest_does_not_depend_on_order(shuffled: list[Manifest]) -> None:
    assert placed(*shuffled).digest == placed(*MANIFESTS).digest


@pytest.mark.parametrize(
    "others",
    [
        pytest.param(MANIFESTS[1:], id="object-gone"),
        pytest.param((*MANIFESTS, manifest("g")), id="object-added"),
        pytest.param((manifest("a", digest="other"), *MANIFESTS[1:]), id="object-changed"),
        pytest.param((manifest("a", digest="d-a", namespace="x"), *MANIFESTS[1:]), id="object-moved"),
    ],
)
def test_the_digest_tells_any_other_desired_state_apart(others: tuple[Manifest, ...]) -> None:
    assert placed(*others).digest != placed(*MANIFESTS).digest


def test_the_digest_does_not_depend_on_files() -> None:
    assert placed(manifest(file="a.yaml")).digest == placed(manifest(file="b.yaml", document=2, line=9)).digest
