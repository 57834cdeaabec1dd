"""Imports: leaves out of the process what a library loads on its own account and we never use.

The package `kubernetes` is here for what its asynchronous half reads: kubeconfigs, exec plugins, service accounts. Its top module besides loads the synchronous
half with requests, oauthlib and websocket: 270 modules, 8 MB and 0.1 CPU seconds at each start (measured, kubernetes 37.0).

aiohttp, and what reads the metadata of packages, import modules for what nobody calls here: the command line of aiohttp, cookies in files, packages in archives, names
of characters. 1.4 MB (measured).

aiohttp reads the certificate authorities of the machine at its import, for connections without TLS settings of their own: 1.1 MB (measured, 140 authorities).
Every connection of ours brings its own.
"""

import importlib
import importlib.util
import ssl
import sys
from types import ModuleType
from typing import Final

PACKAGES: Final = ("kubernetes", "kubernetes.aio")
"""Their `__init__` only imports all that is below; each module of theirs names what it needs itself."""
ABSENT: Final = "kubernetes.client"
"""The synchronous models. kopf takes them for optional and does without if they cannot be imported; we hand it no such models."""
REPLACED: Final = "kubernetes.aio.client.api_client"
"""The client for requests, with dateutil and the models: 0.9 MB (measured). What reads kubeconfigs only names its class; our requests go other ways."""
UNUSED: Final = ("argparse", "pickle", "zipfile", "html.entities")
"""Modules of the standard library, to be left out while the operator is loaded (`isolation/imports.py`)."""


def leave_out_unused() -> None:
    """Do so for this process, once and before the first import of kopf or of `kubernetes`; a later call changes nothing."""
    for name in PACKAGES:
        if name in sys.modules or not (spec := importlib.util.find_spec(name)):
            return
        sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.modules[ABSENT] = None  # type: ignore[assignment]  # documented: an import of it fails
    sys.modules[REPLACED] = replacement = ModuleType(REPLACED)
    replacement.__dict__["ApiClient"] = None


def load_aiohttp() -> None:
    """Load aiohttp without authorities, if it is not loaded yet. A connection that brings no TLS settings after all then trusts nobody, and fails."""
    read = ssl.create_default_context
    ssl.create_default_context = _trust_nobody
    try:
        importlib.import_module("aiohttp")
    finally:
        ssl.create_default_context = read


def _trust_nobody(*_: object, **__: object) -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
