"""Renders that the process dies of: suspected at the next start, refused after the second death, and free again with another commit.

Each death is a SIGKILL while the render is under way, which is what the kernel does to a container whose memory runs out.
"""

import signal
from pathlib import Path

import orjson
import pytest

from cvstate_operator.render.journal import BLAME_LASTING
from tests.support.objects import config_map, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

KUSTOMIZATION = "resources: [all.yaml]\ncommonLabels: {a: b}\n"
SLOW = "---\n".join(text(config_map(f"m{number}")) for number in range(2500))
"""So many objects with common labels take kustomize many seconds: it compares each with each."""


def lasts(journal: Path) -> bool:
    """Whether a render is under way for so long that a death now is believed to be its doing."""
    return any(orjson.loads(file.read_bytes())["blame"] == BLAME_LASTING for file in journal.glob("under-way-*"))


def test_a_render_that_the_process_died_of_twice_is_refused_until_another_commit(own: World, tmp_path: Path):
    directory = tmp_path / "dying"
    journal = directory / "cache" / "journal"
    own.operator = Operator(own.cluster.operator_kubeconfig, directory)
    own.commit({"light/a.yaml": text(config_map("light")), "slow/kustomization.yaml": KUSTOMIZATION, "slow/all.yaml": SLOW})
    own.declare("slow", git={"path": "apps/slow"})
    own.operator.start()
    until("the render is under way", lambda: lasts(journal), seconds=30)
    own.operator.end(signal.SIGKILL)

    own.declare("light", git={"path": "apps/light"})
    own.operator.start()
    own.wait_ready("light")  # although the other one is suspected, and slow
    until("the suspect has its turn", lambda: lasts(journal), seconds=30)
    own.operator.end(signal.SIGKILL)

    with own.operator:
        own.wait_failed("RenderTooLarge", "slow", mentions="died each time")
        own.commit({"light/a.yaml": text(config_map("light", k="new"))}, tell=False)
        own.trigger("light")
        until("the others go on", lambda: (own.api.get(own.path("configmaps", "light")) or {}).get("data") == {"k": "new"})
        commit = own.commit({"slow/all.yaml": text(config_map("small"))})
        own.wait_applied(commit, "slow")
        assert not list(journal.glob("under-way-*"))
