"""Whom each part of the operator may connect to.

Aspects: a host that is allowed for one kind of server is refused for the others, with the option that would allow it · what holds for all · in a Pod and outside.
"""

from dataclasses import fields

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy, check_host
from cvstate_operator.operator import addresses
from cvstate_operator.settings import Settings

METADATA = "169.254.169.254"
OF_ITS_OWN = {
    "git": ("allow_git_hosts", "--allow-git-host"),
    "prometheus": ("allow_prometheus_hosts", "--allow-prometheus-host"),
    "notices": ("allow_notice_hosts", "--allow-notice-host"),
}


def policies(*, in_pod: bool = True, **told: object) -> dict[str, AddressPolicy]:
    found = addresses.allowed(Settings(**told), in_pod=in_pod, api_server="10.96.0.1")  # type: ignore[arg-type]
    return {field.name: getattr(found, field.name) for field in fields(found)}


def refused(policy: AddressPolicy, host: str) -> str:
    """Why a host is refused; empty if it is not."""
    try:
        check_host(host, policy)
    except errors.URLNotAllowedError as exc:
        return exc.message
    return ""


@pytest.mark.parametrize("part", OF_ITS_OWN)
def test_a_host_is_allowed_for_what_it_was_named_for_and_for_nothing_else(part: str) -> None:
    setting, _ = OF_ITS_OWN[part]
    found = policies(**{setting: (METADATA,)})
    assert [name for name, policy in found.items() if not refused(policy, METADATA)] == [part]


@pytest.mark.parametrize("part", OF_ITS_OWN)
def test_a_refusal_names_the_option_of_its_own_kind(part: str) -> None:
    _, option = OF_ITS_OWN[part]
    assert f"allow it by {option} {METADATA}" in refused(policies()[part], METADATA)


def test_only_prometheus_is_held_to_its_list() -> None:
    found = policies(prometheus_hosts=("prometheus.monitoring",))
    assert [name for name, policy in found.items() if refused(policy, "example.com")] == ["prometheus"]


def test_files_are_for_git_alone() -> None:
    assert [name for name, policy in policies(allow_file_urls=True).items() if policy.files] == ["git"]


def test_the_api_server_of_its_own_cluster_is_refused_to_all() -> None:
    assert all(refused(policy, "10.96.0.1") for policy in policies().values())


@pytest.mark.parametrize(
    ("told", "in_pod", "insecure"), [(None, True, False), (None, False, True), (True, True, True), (False, False, False)]
)
def test_this_machine_may_be_asked_outside_a_pod_unless_told_otherwise(told: bool | None, in_pod: bool, insecure: bool) -> None:
    found = policies(in_pod=in_pod, allow_insecure_sources=told)
    assert {policy.insecure for policy in found.values()} == {insecure}
    assert all(bool(refused(policy, "127.0.0.1")) is not insecure for policy in found.values())
