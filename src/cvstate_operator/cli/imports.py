"""Imports: leaves out of the process what a library loads on its own account and we never use.

The package `kubernetes` is here for what its asynchronous half reads: kubeconfigs, exec plugins, service accounts. Its top module besides loads the synchronous
half with requests, oauthlib and websocket: 270 modules, 8 MB and 0.1 CPU seconds at each start (measured, kubernetes 37.0).
"""

import importlib.util
import sys
from typing import Final

PACKAGES: Final = ("kubernetes", "kubernetes.aio")
"""Their `__init__` only imports all that is below; each module of theirs names what it needs itself."""
ABSENT: Final = "kubernetes.client"
"""The synchronous models. kopf takes them for optional and does without if they cannot be imported; we hand it no such models."""


def leave_out_unused() -> None:
    """Do so for this process, once and before the first import of kopf or of `kubernetes`; a later call changes nothing."""
    for name in PACKAGES:
        if name in sys.modules or not (spec := importlib.util.find_spec(name)):
            return
        sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.modules[ABSENT] = None  # type: ignore[assignment]  # documented: an import of it fails
