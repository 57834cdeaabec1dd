"""Claims and quotas, reduced to what is counted.

Aspects: phases of claims, page after page · the resource that is used most · quotas of zero · quotas that are not told in whole · what cannot be read.
"""

from typing import Any

import pytest

from cvstate_operator.vital.cluster.holdings import OVER_NOTHING, Claims, QuotaUse, claims, quota_use

Json = dict[str, Any]


def claim(name: str, phase: str | None = "Bound") -> Json:
    return {"metadata": {"name": name}, "status": {"phase": phase} if phase else {}}


def quota(used: Json | None = None, hard: Json | None = None, *, spec: Json | None = None) -> Json:
    status = {} if used is None else {"used": used, "hard": hard}
    return {"metadata": {"name": "team"}, "spec": {"hard": hard if spec is None else spec}, "status": status}


def test_claims_are_counted_page_after_page():
    found = claims([claim("a"), claim("z", "Pending")])
    assert claims([claim("m", "Lost"), claim("b"), claim("x", None)], found) == Claims(5, 2, "m")
    assert claims([]) == Claims()


def test_a_claim_that_cannot_be_read_is_not_bound():
    assert claims([{"metadata": 1, "status": []}, claim("a")]).bound == 1


def test_the_resource_that_is_used_most_is_told():
    found = quota_use(quota({"pods": "3", "requests.cpu": "1800m"}, {"pods": "10", "requests.cpu": "2"}))
    assert found == QuotaUse("team", "requests.cpu", 0.9, is_told=True)


def test_more_may_be_used_than_is_allowed_since_a_quota_may_be_lowered():
    found = quota_use(quota({"requests.memory": "3Gi"}, {"requests.memory": "2Gi"}))
    assert found is not None
    assert found.ratio == 1.5


@pytest.mark.parametrize(("used", "ratio"), [("0", 0.0), ("1", OVER_NOTHING), ("100Gi", OVER_NOTHING)])
def test_of_a_quota_of_zero_nothing_is_used_or_too_much(used: str, ratio: float):
    assert quota_use(quota({"services.loadbalancers": used}, {"services.loadbalancers": "0"})) == QuotaUse(
        "team", "services.loadbalancers", ratio, is_told=True
    )


def test_a_quota_without_limits_is_none():
    assert quota_use(quota({}, {})) is None
    assert quota_use({"metadata": {"name": "team"}}) is None


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(quota(spec={"pods": "10"}), id="just made"),
        pytest.param(quota({"pods": "3"}, {"pods": "10"}, spec={"pods": "10", "secrets": "5"}), id="a limit that is new"),
        pytest.param(quota({"pods": "three"}, {"pods": "10"}), id="no quantity"),
        pytest.param(quota({"pods": None}, {"pods": "10"}), id="null"),
        pytest.param({"metadata": {"name": "team"}, "spec": {"hard": {"pods": "10"}}, "status": {"used": 3, "hard": []}}, id="no maps"),
    ],
)
def test_what_the_quota_controller_did_not_tell_is_not_known(live: Json):
    found = quota_use(live)
    assert found is not None
    assert not found.is_told


def test_huge_amounts_give_a_number():
    found = quota_use(quota({"example.io/widgets": "9" * 40 + "Ei"}, {"example.io/widgets": "1n"}))
    assert found is not None
    assert found.ratio > 1e60
