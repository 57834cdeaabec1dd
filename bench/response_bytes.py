"""How much the API server has answered to reads, by its own metrics; those do not say to whom, so readers ask for what only one user reads.

Watches are not in it: the API server counts answers that end. Source: Kubernetes documentation, "Kubernetes Metrics Reference",
apiserver_response_sizes (stable).
"""

import re
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from bench import access
from tests.cluster.audit import Request

Sort: TypeAlias = tuple[str, str]
"""Verb in lower case and resource: ``("list", "configmaps")``."""
_LINE: Final = re.compile(r"^apiserver_response_sizes_sum\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def read(kubeconfig: Path) -> dict[Sort, float]:
    """Return the bytes so far of each sort of read, from a kubeconfig of a user who may read metrics."""
    user = access.read(kubeconfig)
    request = urllib.request.Request(f"{user.server}/metrics", headers=dict(user.headers))
    with urllib.request.urlopen(request, context=user.tls, timeout=30) as answer:
        return parse(answer.read().decode())


def parse(text: str) -> dict[Sort, float]:
    """Return what `read` does from metrics as text."""
    found: dict[Sort, float] = {}
    for labels, value in _LINE.findall(text):
        of = dict(_LABEL.findall(labels))
        sort = of.get("verb", "").lower(), of.get("resource", "")
        found[sort] = found.get(sort, 0.0) + float(value)
    return found


def between(before: dict[Sort, float], after: dict[Sort, float], requests: Iterable[Request]) -> float:
    """Return the bytes that were answered from one reading to another, for all sorts that are among these requests."""
    return sum(after.get(sort, 0.0) - before.get(sort, 0.0) for sort in {(request.verb, request.resource) for request in requests})
