"""What the engine makes of the settings.

Aspects: the memory of renders and fetches is that of `memoryBytes`.
"""

from pathlib import Path

from cvstate_operator.isolation import memory
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.operator.engine import Engine
from cvstate_operator.operator.members import Alone
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.metrics import Metrics


def test_renders_and_fetches_have_what_memory_bytes_leaves_them_and_not_what_the_machine_has(tmp_path: Path) -> None:
    made = Engine(
        Settings(cache=tmp_path, memory_bytes=512 * memory.MIB),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Metrics(),
        pace=None,  # type: ignore[arg-type]
        quality=ApiQuality(),
        observe=lambda **_: None,
        observe_remote=lambda **_: None,
        replicas=Alone("this"),
    )
    assert made.memory.division == memory.divide(512 * memory.MIB)
