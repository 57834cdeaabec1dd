"""What the fork server loads. Every megabyte of it stays for as long as the operator runs, and every child begins with it."""

import subprocess
import sys

from cvstate_operator.isolation import forkserver
from cvstate_operator.operator.engine import TASKS

NOT_NEEDED = {"pydantic", "kopf", "aiohttp", "kubernetes", "prometheus_client", "typer", "rich", "cryptography", "jsonschema_rs"}
RARELY_NEEDED = {
    *forkserver.UNUSED,
    "semantic_version",
    "zipfile",
    "cvstate_operator.render.charts",
    "cvstate_operator.render.kustomizations",
}
"""What the children load that need it."""


def test_the_tasks_bring_in_nothing_that_only_the_operator_needs() -> None:
    program = (
        "import sys\nfrom cvstate_operator.isolation import forkserver, imports\nwith imports.without(*forkserver.UNUSED):\n"
        f"    for name in {TASKS!r}:\n        __import__(name)\nprint(*sys.modules)"
    )
    done = subprocess.run((sys.executable, "-I", "-c", program), capture_output=True, text=True, check=True)
    assert set(TASKS) <= set(done.stdout.split())
    assert not (NOT_NEEDED | RARELY_NEEDED) & set(done.stdout.split())
