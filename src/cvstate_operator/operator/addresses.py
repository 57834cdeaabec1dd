"""Addresses: whom each part of the operator may connect to, as its settings say. What such a policy means, `objects/address.py` tells."""

from dataclasses import dataclass, replace

from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Addresses:
    """One policy for each kind of server. A host that is allowed for one of them is not allowed for another."""

    git: AddressPolicy
    prometheus: AddressPolicy
    """For spec.vital.prometheus."""
    notices: AddressPolicy
    clusters: AddressPolicy
    """For the API servers of kubeconfigs."""


def allowed(settings: Settings, *, in_pod: bool, api_server: str) -> Addresses:
    """The policies of a process.

    Args:
        settings: of the process.
        in_pod: whether it runs in a cluster; elsewhere it is somebody's own, and may ask what he may.
        api_server: address of the API server of its own cluster; empty if it is not known.
    """
    insecure = settings.allow_insecure_sources
    common = AddressPolicy(insecure=not in_pod if insecure is None else insecure, api_server=api_server)
    return Addresses(
        git=replace(common, files=settings.allow_file_urls, hosts=settings.allow_git_hosts),
        prometheus=replace(common, hosts=settings.allow_prometheus_hosts, flag="--allow-prometheus-host", only=settings.prometheus_hosts),
        notices=replace(common, hosts=settings.allow_notice_hosts, flag="--allow-notice-host"),
        clusters=replace(common, flag="--allow-insecure-sources"),
    )
