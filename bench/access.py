"""Who somebody is at which API server: what a kubeconfig of this benchmark says, in the form that a bare HTTP client needs."""

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Access:
    """One user of one API server."""

    server: str
    """URL without a path."""
    tls: ssl.SSLContext
    headers: Mapping[str, str]
    """To send with every request."""


def read(kubeconfig: Path) -> Access:
    """Read a kubeconfig with everything embedded: a client certificate or a token."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "token" in user:
        return Access(cluster["server"], tls, {"Authorization": f"Bearer {user['token']}"})
    with tempfile.NamedTemporaryFile("wb") as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
        pair.flush()
        tls.load_cert_chain(pair.name)
    return Access(cluster["server"], tls, {})
