"""Foreign objects: of the declared kinds and sizes, in the same namespaces, of somebody else. A tool should neither touch them nor pay for them.

They are there before the tool is. The observer does not look at them; the audit log says whether the tool wrote any.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench import bulk, objects
from tests.cluster.audit import Request

MOST_FAULTS: Final = 10


def create(kubeconfig: Path, m: int, seed: int) -> None:
    """Make m foreign objects, those of `objects.foreign`.

    Args:
        kubeconfig: of a user who may make anything, no tool's.
        m: how many, from 0.
        seed: of the objects.

    Raises:
        BulkError: the API server refuses one.
    """
    if m:
        bulk.create(kubeconfig, ((objects.collection_path(body), body) for body in objects.foreign(m, seed)))


def faults(requests: Iterable[Request]) -> tuple[str, ...]:
    """Return what a tool, by all its requests, did to foreign objects, one line each and MOST_FAULTS at most; nothing if the run counts."""
    found = {f"{r.verb} {r.resource} {r.namespace}/{r.name}: is foreign" for r in requests if r.is_write and _is_foreign(r)}
    return tuple(sorted(found)[:MOST_FAULTS])


def _is_foreign(request: Request) -> bool:
    is_one = request.name.startswith(objects.FOREIGN_PREFIX)
    return request.resource in objects.PLURALS and (is_one or request.verb == "deletecollection")
