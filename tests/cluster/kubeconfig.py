"""Kubeconfig files with everything embedded: they work from any folder and verify the server.

Source: Kubernetes API reference, "kubeconfig (v1)".
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.certificates import KeyPair
from tests.cluster.errors import ClusterError


def render(*, url: str, cluster: str, authority: bytes, user: str, client: KeyPair) -> str:
    """Return a kubeconfig, YAML, whose only context is `user` at `url`."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": url, "certificate-authority-data": _encoded(authority)}}],
        "users": [
            {"name": user, "user": {"client-certificate-data": _encoded(client.certificate), "client-key-data": _encoded(client.key)}},
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    return yaml.safe_dump(document, sort_keys=False)


def server_url(path: Path) -> str:
    """Return the URL of the API server that a kubeconfig's current context points at.

    Raises:
        ClusterError: The file cannot be read or has no such context.
    """
    try:
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
        clusters = {entry["name"]: entry["cluster"] for entry in document["clusters"]}
        return str(clusters[contexts[document["current-context"]]["cluster"]]["server"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as exc:
        message = f"{path} is not a kubeconfig with a current context"
        raise ClusterError(message, remedy="point CVSTATE_KUBECONFIG at a file kubectl can use, or unset it") from exc


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
