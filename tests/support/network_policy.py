"""What a NetworkPolicy lets through, judged as a network plugin has to: there is none where tests run.

Source: Kubernetes documentation, "Network Policies"; API reference, NetworkPolicySpec.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.api import Json

NAME_LABEL = "kubernetes.io/metadata.name"
"""Label that each namespace has, with its own name."""


@dataclass(frozen=True)
class Pod:
    """Somebody in the cluster."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)


Peer = Pod | str
"""A Pod of the cluster; or an address outside of it. A range of addresses is not taken to hold Pods, since not every plugin takes it so."""


def lets_out(policy: Json, to: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a Pod that the policy selects may open a connection there."""
    return _allowed(policy, "Egress", "to", to, port, protocol)


def lets_in(policy: Json, by: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether somebody may open a connection to a Pod that the policy selects."""
    return _allowed(policy, "Ingress", "from", by, port, protocol)


def _allowed(policy: Json, direction: str, peers: str, other: Peer, port: int, protocol: str) -> bool:
    spec = policy["spec"]
    if direction not in spec["policyTypes"]:
        return True
    own = policy["metadata"]["namespace"]
    return any(
        # A rule without peers is about everybody, one without ports about all of them.
        (not rule.get(peers) or any(_matches(peer, other, own) for peer in rule[peers]))
        and (not rule.get("ports") or any((one.get("protocol", "TCP"), one.get("port", port)) == (protocol, port) for one in rule["ports"]))
        for rule in spec.get(direction.lower(), ())
    )


def _matches(peer: Json, other: Peer, own: str) -> bool:
    if isinstance(other, str):
        address, block = ipaddress.ip_address(other), peer.get("ipBlock", {"cidr": "192.0.2.255/32"})
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(one) for one in block.get("except", ())
        )
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" not in peer and other.namespace != own:
        return False
    return _selects(peer.get("namespaceSelector", {}), {NAME_LABEL: other.namespace}) and _selects(
        peer.get("podSelector", {}), other.labels
    )


def _selects(selector: Json, labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, f"selectors like {selector} are not judged here"
    return selector.get("matchLabels", {}).items() <= labels.items()
