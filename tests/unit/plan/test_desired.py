"""Desired state.

Aspects: placing into kinds and namespaces · what cannot be placed · duplicates, however they come about · what is news ·
the digest of it all · what a rollback leaves.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.directives import Directives
from cvstate_operator.objects.identity import ApiResource, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.plan.desired import Desired, leave, place
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, NAMESPACE, WIDGET, live, manifest, problem, ref

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


def test_the_digest_tells_objects_apart_that_read_alike() -> None:
    apart = [ObjectRef("", "A", "B", "c"), ObjectRef("A", "B", "", "c")]
    assert str(apart[0]) == str(apart[1])
    assert len({Desired({one: manifest()}).digest for one in apart}) == 2


def test_objects_are_known_by_the_identity_that_their_manifest_keeps() -> None:
    found = placed(manifest("a"), manifest("b", namespace=""))
    assert all(key is one.ref for key, one in found.objects.items())


def test_a_kind_of_which_nothing_is_placed_is_none_of_the_desired_state() -> None:
    assert placed(manifest("web", of=NAMESPACE, namespace="x"), manifest("a")).kinds == {CONFIG_MAP.gvk.group_kind}


def test_what_is_placed_again_is_the_same_value() -> None:
    one = manifest("a", namespace="")
    assert placed(one).objects[ref("a", namespace="team")] is placed(one).objects[ref("a", namespace="team")]


@pytest.mark.parametrize(
    ("now", "news"),
    [
        pytest.param("abc", "", id="same"),
        pytest.param("ab", "c", id="gone"),
        pytest.param("abcd", "d", id="added"),
        pytest.param("abd", "cd", id="one-for-another"),
        pytest.param("", "abc", id="all-gone"),
    ],
)
def test_news_are_what_came_and_what_went(now: str, news: str) -> None:
    before = placed(*map(manifest, "abc"))
    assert sorted(one.name for one in placed(*map(manifest, now)).news(before)) == list(news)


def test_news_are_what_is_declared_otherwise_and_not_what_stands_elsewhere() -> None:
    before = placed(*map(manifest, "abc"))
    now = placed(manifest("a", file="moved.yaml"), manifest("b", digest="other"), replace(manifest("c"), directives=Directives(wave=1)))
    assert [one.name for one in now.news(before)] == ["b", "c"]
    assert now.news(now) == []


def test_the_digest_does_not_depend_on_files() -> None:
    assert placed(manifest(file="a.yaml")).digest == placed(manifest(file="b.yaml", document=2, line=9)).digest


# -- rollbacks -----------------------------------------------------------------------------------------------------------


def is_left(ref: ObjectRef) -> bool:
    return ref.kind == "Deployment"


A, B, OTHER = ref("a", of=DEPLOYMENT), ref("b", of=DEPLOYMENT), ref("a")


def of(digest: str, *names: str) -> Desired:
    return placed(*(manifest(name, of=DEPLOYMENT, digest=digest) for name in names), manifest("a", digest=digest))


def test_what_a_rollback_leaves_is_as_the_given_up_revision_has_it_and_the_rest_as_the_good_one() -> None:
    found = leave(of("good", "a", "b"), of("bad", "a", "c"), is_left)
    assert {ref.name: one.digest for ref, one in found.objects.items() if is_left(ref)} == {"a": "bad", "b": "good", "c": "bad"}
    assert found.objects[OTHER].digest == "good"
    assert {ref.name: one and one.digest for ref, one in found.left.items()} == {"a": "good", "c": None}


def test_what_both_revisions_declare_alike_is_not_left() -> None:
    good = of("same", "a")
    assert leave(good, of("same", "a"), is_left) is good


def test_kinds_that_only_the_given_up_revision_has_are_known_as_it_has_them() -> None:
    found = leave(placed(manifest("a")), of("bad", "a"), is_left)
    assert found.resources[DEPLOYMENT.gvk] == DEPLOYMENT


def test_what_is_left_has_its_digest_whoever_composed_it() -> None:
    good, bad = of("good", "a", "b"), of("bad", "a")
    assert leave(good, bad, is_left).digest == leave(of("good", "b", "a"), of("bad", "a"), is_left).digest
    assert leave(good, bad, is_left).digest not in (good.digest, bad.digest)


@pytest.mark.parametrize(
    ("applied_from", "expected"),
    [("bad", "bad"), ("bad+rules", "bad"), ("good", "good"), ("good+rules", "good"), ("older", "bad"), ("badly", "bad"), (None, "bad")],
)
def test_what_is_left_is_compared_with_what_it_was_applied_from(applied_from: str | None, expected: str) -> None:
    found = leave(of("good", "a"), of("bad", "a"), is_left)
    there = live(of=DEPLOYMENT, digest=applied_from) if applied_from else None
    compared = found.manifest_for(A, there)
    assert compared is not None
    assert (compared.digest, found.is_left(A, there)) == (expected, expected == "bad")


def test_without_the_given_up_revision_only_what_the_good_one_was_applied_to_is_compared() -> None:
    found = leave(of("good", "a"), None, is_left)
    assert found.unknown == {A}
    assert [found.manifest_for(A, there) for there in (None, live(digest="older"))] == [None, None]
    assert found.manifest_for(A, live(digest="good")) is found.objects[A]
    assert found.manifest_for(OTHER, None) is found.objects[OTHER]


def test_only_what_the_good_revision_declares_may_be_new() -> None:
    found = leave(of("good", "a"), of("bad", "a", "b"), is_left)
    assert [found.may_be_new(ref) for ref in (A, B, OTHER)] == [True, False, True]
    assert not found.is_left(B, None)
    assert found.is_left(B, live(digest="bad"))
