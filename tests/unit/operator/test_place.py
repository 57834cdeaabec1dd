"""Where a ClusterState acts, and as whom."""

import pytest

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.operator.place import OWN, Place, place_of

GIT = {"git": {"url": "https://git.example.com/shop.git"}}
REMOTE = {"kubeConfig": {"secretRef": {"name": "prod"}}}


def spec(**fields: object) -> ClusterStateSpec:
    return parse_spec({"source": GIT, **fields})


@pytest.mark.parametrize(
    ("fields", "default", "expected"),
    [
        pytest.param({}, "", OWN, id="neither"),
        pytest.param({"serviceAccountName": "applier"}, "", Place("team/applier", ""), id="account"),
        pytest.param({}, "everybody", Place("team/everybody", ""), id="the operator's default"),
        pytest.param({"serviceAccountName": "applier"}, "everybody", Place("team/applier", ""), id="its own before the default"),
        pytest.param({"target": REMOTE}, "", Place("", "team/prod/value"), id="another cluster"),
        pytest.param({"target": REMOTE, "serviceAccountName": "applier"}, "", Place("team/applier", "team/prod/value"), id="both"),
    ],
)
def test_a_place_is_of_the_clusterstates_own_namespace(fields: dict[str, object], default: str, expected: Place) -> None:
    assert place_of(spec(**fields), "team", default_account=default, is_required=False) == expected


@pytest.mark.parametrize("fields", [{}, {"target": REMOTE}], ids=["this cluster", "another one"])
def test_where_an_account_is_required_none_is_no_answer(fields: dict[str, object]) -> None:
    with pytest.raises(errors.ServiceAccountRequiredError, match=r"spec\.serviceAccountName"):
        place_of(spec(**fields), "team", default_account="", is_required=True)


@pytest.mark.parametrize(
    "name",
    [
        "../kube-system/admin",
        "kube-system/admin",
        "Admin",
        "a b",
        "-a",
        "",
        "a" * 254,
        "system:serviceaccount:kube-system:admin",
        "a\r\nX: y",
    ],
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidSpecError, match="serviceAccountName"):
        spec(serviceAccountName=name)


@pytest.mark.parametrize(
    "reference", [{"name": "../other"}, {"name": "other/prod"}, {"name": "prod", "key": "../value"}, {"name": "prod", "key": ""}, {}]
)
def test_a_secret_that_is_not_in_the_same_namespace_cannot_be_named(reference: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidSpecError, match="kubeConfig"):
        spec(target={"kubeConfig": {"secretRef": reference}})
