"""Discovery: what is made of the API server's answers.

Aspects: paths and scopes · which kinds have a status · kinds that cannot be kept in step.
"""

import asyncio
from typing import Any, cast

from cvstate_operator.kube.client import Client
from cvstate_operator.kube.discovery import Discovery
from cvstate_operator.objects.identity import Gvk

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def entry(kind: str, *subresources: str, verbs: list[str] = VERBS) -> dict[str, Any]:
    """A kind, as an APIGroupDiscoveryList has it; without subresources the field is left out."""
    plural = f"{kind.lower()}s"
    below = [{"subresource": name, "responseKind": {"kind": kind}, "verbs": ["get", "patch", "update"]} for name in subresources]
    found = {
        "resource": plural,
        "responseKind": {"group": "example.io", "version": "v1", "kind": kind},
        "scope": "Namespaced",
        "verbs": verbs,
    }
    return {**found, **({"subresources": below} if below else {})}


class Server:
    """Answers as an API server that serves these kinds."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self._group = {"metadata": {"name": "example.io"}, "versions": [{"version": "v1", "resources": list(entries)}]}

    async def get(self, path: str, **_: Any) -> dict[str, Any]:
        answers: dict[str, dict[str, Any]] = {
            "/api": {"items": []},
            "/apis": {"items": [self._group]},
            "/version": {"gitVersion": "v1.36.3"},
        }
        return answers[path]


def discovered(*entries: dict[str, Any]) -> Discovery:
    found = Discovery(cast(Client, Server(*entries)))
    asyncio.run(found.refresh())
    return found


def has_status(kind: str, *subresources: str) -> bool:
    found = discovered(entry(kind, *subresources)).resource(Gvk("example.io", "v1", kind))
    assert found is not None
    return found.has_status


def test_a_kind_has_a_status_if_that_is_a_subresource_of_it() -> None:
    assert has_status("Widget", "status")
    assert has_status("Widget", "scale", "status")
    assert not has_status("Widget", "scale")
    assert not has_status("Widget")


def test_what_cannot_be_watched_and_written_is_no_resource() -> None:
    assert discovered(entry("Review", verbs=["create"])).resource(Gvk("example.io", "v1", "Review")) is None
