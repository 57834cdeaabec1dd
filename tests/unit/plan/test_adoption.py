"""Adoption of objects that were there before us.

Aspects: what is ours · what is nobody's · what is another's · what is on its way out · what the user consented to.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.apply import Adoption
from cvstate_operator.api.names import DIGEST
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.plan.adoption import Terms, may_force
from tests.unit.builders import OWNER, RIVAL

US = "cvstate-operator"
APPLIED = {"manager": US, "operation": "Apply"}


def ask(metadata: dict[str, Any], **terms: Any) -> bool:
    return may_force(
        {"metadata": metadata}, owner=OWNER, manager=US, name_owner=lambda owner: f"ClusterState {owner}", terms=Terms(**terms)
    )


@pytest.mark.parametrize(
    ("metadata", "force"),
    [
        pytest.param({}, False, id="nobody's"),
        pytest.param({"labels": None, "managedFields": None}, False, id="nobody's-with-nulls"),
        pytest.param({"managedFields": [{"manager": "kubectl", "operation": "Update"}]}, False, id="only-edited-by-others"),
        pytest.param({"managedFields": [{"manager": US, "operation": "Update"}]}, False, id="only-updated-under-our-name"),
        pytest.param({"labels": {PART_OF_LABEL: OWNER}}, False, id="only-a-copy-of-our-label"),
        pytest.param({"labels": {PART_OF_LABEL: OWNER}, "managedFields": [APPLIED]}, True, id="ours"),
        pytest.param({"labels": {PART_OF_LABEL: OWNER}, "annotations": {DIGEST: "d"}, "managedFields": [{}]}, True, id="ours-but-stripped"),
        pytest.param({"managedFields": [{**APPLIED, "subresource": "status"}]}, False, id="only-its-status-applied"),
        pytest.param({"managedFields": [APPLIED]}, True, id="ours-by-field-manager-after-the-label-was-taken-off"),
        pytest.param(
            {"labels": {PART_OF_LABEL: OWNER}, "annotations": {"meta.helm.sh/release-name": "x"}, "managedFields": [APPLIED]},
            True,
            id="ours-whatever-old-marks-say",
        ),
    ],
)
def test_fields_are_forced_only_on_what_is_ours(metadata: dict[str, Any], force: bool) -> None:
    assert ask(metadata) is force


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        pytest.param({"labels": {PART_OF_LABEL: RIVAL}}, f"ClusterState {RIVAL}", id="another-applyset"),
        pytest.param({"labels": {PART_OF_LABEL: RIVAL}, "managedFields": [APPLIED]}, f"ClusterState {RIVAL}", id="taken-over-from-us"),
        pytest.param({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization apps", id="flux"),
        pytest.param({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}, "Argo CD application shop", id="argo-cd"),
        pytest.param({"annotations": {"meta.helm.sh/release-name": "db"}, "managedFields": [APPLIED]}, "Helm release db", id="helm"),
        pytest.param({"ownerReferences": [{"kind": "Job", "name": "x", "controller": True}]}, "Job x", id="controller"),
        pytest.param(
            {"labels": {PART_OF_LABEL: OWNER}, "ownerReferences": [{"kind": "Service", "name": "s", "controller": True}]},
            "Service s",
            id="controller-that-copied-our-label",
        ),
        pytest.param(
            {
                "labels": {PART_OF_LABEL: OWNER},
                "annotations": {DIGEST: "d"},
                "ownerReferences": [{"kind": "Endpoints", "name": "s", "controller": True}],
            },
            "Endpoints s",
            id="controller-that-copied-all-our-marks",
        ),
    ],
)
def test_an_object_of_another_owner_is_left_to_it_by_name(metadata: dict[str, Any], name: str) -> None:
    with pytest.raises(errors.OwnerConflictError) as caught:
        ask(metadata)
    assert name in caught.value.message


@pytest.mark.parametrize("labels", [{}, {PART_OF_LABEL: OWNER}, {PART_OF_LABEL: RIVAL}], ids=["nobody's", "ours", "another's"])
def test_an_object_on_its_way_out_is_waited_for(labels: dict[str, str]) -> None:
    with pytest.raises(errors.TerminatingError):
        ask({"deletionTimestamp": "2026-01-01T00:00:00Z", "labels": labels})


OURS = {"labels": {PART_OF_LABEL: OWNER}, "managedFields": [APPLIED]}
FLUX = {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}


@pytest.mark.parametrize("adoption", Adoption)
def test_what_is_ours_is_ours_whatever_was_consented_to(adoption: Adoption) -> None:
    assert ask(OURS, adoption=adoption)
    assert not ask(OURS, adoption=adoption, may_force=False)


def test_with_never_what_was_there_before_is_left_alone() -> None:
    with pytest.raises(errors.OwnerConflictError, match=r"spec\.apply\.adoption is Never"):
        ask({}, adoption=Adoption.NEVER)


def test_with_force_what_is_nobodys_or_another_tools_is_taken_with_all_fields() -> None:
    assert ask({}, adoption=Adoption.FORCE)
    assert ask(FLUX, adoption=Adoption.FORCE)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": {PART_OF_LABEL: RIVAL}}, id="another-applyset"),
        pytest.param({"ownerReferences": [{"kind": "Job", "name": "x", "controller": True}]}, id="controller"),
    ],
)
def test_nothing_makes_us_take_from_another_clusterstate_or_a_controller(metadata: dict[str, Any]) -> None:
    with pytest.raises(errors.OwnerConflictError):
        ask(metadata, adoption=Adoption.FORCE)
