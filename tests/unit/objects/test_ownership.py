"""Ownership.

Aspects: ApplySet ids by the KEP's formula · labels in other clusters · the list of kinds · marks of other tools · marking our own objects.
"""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.names import DIGEST
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.ownership import (
    HOME,
    PART_OF_LABEL,
    OwnerLabels,
    applyset_id,
    foreign_owner,
    format_group_kinds,
    has_hub,
    hub_of,
    marked,
    parse_group_kinds,
    told,
)

SHOP = applyset_id(name="shop", namespace="team-a", kind="ClusterState", group="cvstate.io")
"""Of a ClusterState team-a/shop, in whichever cluster."""
HUB = OwnerLabels(hub_of("9f2c1c5e-hub"))
OTHER_HUB = OwnerLabels(hub_of("77aa0b12-hub"))


def test_an_applyset_id_follows_the_formula_of_the_kep() -> None:
    # printf 'shop.default.ClusterState.cvstate.io' | openssl dgst -sha256 -binary | basenc --base64url | tr -d =
    literal = "applyset-L_BarGIektmcNfAbDoB8ClfHA7P9gSQRp_dHhqR9Vzk-v1"
    assert applyset_id(name="shop", namespace="default", kind="ClusterState", group="cvstate.io") == literal


@given(st.text(max_size=80))
def test_an_applyset_id_is_always_a_valid_label_value(name: str) -> None:
    value = applyset_id(name=name.encode(errors="ignore").decode(), namespace="n", kind="ClusterState", group="cvstate.io")
    assert len(value) <= 63
    assert value.replace("-", "").replace("_", "").isalnum()


# -- labels in other clusters ------------------------------------------------------------------------------------------


def test_namesakes_of_three_clusters_put_three_labels_on_their_objects_in_one() -> None:
    assert len({HOME.write(SHOP), HUB.write(SHOP), OTHER_HUB.write(SHOP)}) == 3


def test_a_label_is_that_of_the_namesake_whose_cluster_it_names() -> None:
    labels = [HOME.write(SHOP), HUB.write(SHOP), OTHER_HUB.write(SHOP)]
    assert [[who.read(label) == SHOP for label in labels] for who in (HOME, HUB, OTHER_HUB)] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_in_its_own_cluster_the_label_is_the_id_of_the_kep() -> None:
    assert (HOME.write(SHOP), has_hub(SHOP)) == (SHOP, False)


@pytest.mark.parametrize("labels", [HOME, HUB], ids=["here", "elsewhere"])
@given(label=st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", fullmatch=True))
def test_every_label_is_read_as_an_owner_of_its_own_and_written_back(labels: OwnerLabels, label: str) -> None:
    assert labels.write(labels.read(label)) == label
    assert (labels.read(label) == "") == (label == "")


@given(cluster=st.text(min_size=1))
def test_a_label_with_a_hub_is_a_valid_value(cluster: str) -> None:
    label = OwnerLabels(hub_of(cluster)).write(SHOP)
    assert len(label) <= 63
    assert label[-1].isalnum()
    assert has_hub(label)


def test_only_its_own_id_without_a_hub_may_be_from_before_there_were_hubs() -> None:
    met = [HUB.read(label) for label in (SHOP, "applyset-x-v1", HUB.write(SHOP), OTHER_HUB.write(SHOP))]
    assert [HUB.is_former(owner, SHOP) for owner in met] == [True, False, False, False]
    assert not HOME.is_former(SHOP, SHOP)


def test_a_stranger_is_told_by_the_label_on_the_object() -> None:
    assert [told(HUB.read(label)) for label in ("applyset-x-v1", OTHER_HUB.write(SHOP))] == [
        "ApplySet applyset-x-v1",
        f"ApplySet {OTHER_HUB.write(SHOP)}",
    ]


# -- kinds -------------------------------------------------------------------------------------------------------------


def test_kinds_are_written_sorted_and_read_back() -> None:
    kinds = frozenset({GroupKind("apps", "Deployment"), GroupKind("", "ConfigMap"), GroupKind("networking.k8s.io", "Ingress")})
    text = format_group_kinds(kinds)
    assert text == "ConfigMap,Deployment.apps,Ingress.networking.k8s.io"
    assert parse_group_kinds(text) == kinds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        pytest.param("", frozenset(), id="empty"),
        pytest.param(" ConfigMap , Deployment.apps", frozenset({GroupKind("", "ConfigMap"), GroupKind("apps", "Deployment")}), id="blanks"),
        pytest.param(",,.apps,", frozenset(), id="parts-that-are-no-kind"),
    ],
)
def test_kinds_written_by_others_are_read_with_tolerance(text: str, kinds: frozenset[GroupKind]) -> None:
    assert parse_group_kinds(text) == kinds


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        pytest.param({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization apps", id="flux-kustomization"),
        pytest.param({"labels": {"helm.toolkit.fluxcd.io/name": "redis"}}, "Flux HelmRelease redis", id="flux-helm"),
        pytest.param(
            {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:web/api"}}, "Argo CD application shop", id="argo-cd"
        ),
        pytest.param({"annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm release shop", id="helm"),
        pytest.param({"annotations": {"config.k8s.io/owning-inventory": "inv-1"}}, "inventory inv-1", id="cli-utils"),
        pytest.param({"ownerReferences": [{"kind": "ReplicaSet", "name": "a", "controller": True}]}, "ReplicaSet a", id="controller"),
        pytest.param({"ownerReferences": [{"kind": "ReplicaSet", "name": "a"}]}, None, id="owner-that-is-no-controller"),
        pytest.param({"labels": None, "annotations": None, "ownerReferences": None}, None, id="nulls"),
        pytest.param({"labels": {PART_OF_LABEL: "applyset-x-v1"}}, None, id="applyset-is-the-caller's-business"),
        pytest.param({}, None, id="nobody"),
    ],
)
def test_the_owner_that_left_its_mark_is_named(metadata: dict[str, Any], owner: str | None) -> None:
    assert foreign_owner({"metadata": metadata}) == owner


BODY: dict[str, Any] = {"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "old", "labels": {"x": "1"}, "annotations": None}}


def test_a_marked_object_carries_owner_digest_and_namespace_besides_its_own_metadata() -> None:
    assert marked(BODY, owner="applyset-1", digest="d", namespace="new") == {
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "new", "labels": {"x": "1", PART_OF_LABEL: "applyset-1"}, "annotations": {DIGEST: "d"}},
    }


def test_a_cluster_scoped_object_is_given_no_namespace() -> None:
    assert "namespace" not in marked({"metadata": {"name": "a"}}, owner="o", digest="d", namespace="")["metadata"]


def test_marking_does_not_change_what_is_marked() -> None:
    before = copy.deepcopy(BODY)
    marked(BODY, owner="applyset-1", digest="d", namespace="new")
    assert before == BODY
