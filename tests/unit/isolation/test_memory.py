"""What children may have of the memory.

Aspects: where the limit is read · all that may run at a time fits · small and large machines.
"""

from pathlib import Path

import pytest

from cvstate_operator.isolation import memory
from cvstate_operator.isolation.memory import MIB, Memory

V1_WITHOUT_LIMIT = str(2**63 - 4096)


@pytest.mark.parametrize(
    ("files", "limit_mib"),
    [
        ({}, 8192),
        ({"memory.max": "max\n"}, 8192),
        ({"memory.max": str(1024 * MIB)}, 1024),
        ({"memory.max": str(99999 * MIB)}, 8192),
        ({"memory/memory.limit_in_bytes": str(512 * MIB)}, 512),
        ({"memory/memory.limit_in_bytes": V1_WITHOUT_LIMIT}, 8192),
        ({"memory.max": "max", "memory/memory.limit_in_bytes": str(512 * MIB)}, 512),
        ({"memory.max": "nonsense"}, 8192),
    ],
    ids=["no-files", "v2-none", "v2", "v2-more-than-there-is", "v1", "v1-none", "both", "not-read"],
)
def test_the_limit_is_that_of_the_container_else_of_the_machine(tmp_path: Path, files: dict[str, str], limit_mib: int) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(f"MemFree: 1 kB\nMemTotal: {8192 * 1024} kB\n")
    for name, content in files.items():
        file = tmp_path / "sys" / "fs" / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert memory.limit_bytes(tmp_path) == limit_mib * MIB


@pytest.mark.parametrize("limit_mib", [1024, 1500, 2048, 4096, 16384, 262144])
def test_all_children_that_may_run_at_a_time_have_half_at_most(limit_mib: int) -> None:
    assert memory.divide(limit_mib * MIB).total_bytes <= limit_mib * MIB // 2


@pytest.mark.parametrize("limit_mib", [384, 512])
def test_a_small_container_still_has_room_for_the_operator(limit_mib: int) -> None:
    assert limit_mib * MIB - memory.divide(limit_mib * MIB).total_bytes >= 96 * MIB


def test_the_division_of_the_charts_limit_is_as_its_values_say() -> None:
    found = memory.divide(1024 * MIB)
    assert (found.render_alone_bytes, found.fetch_alone_bytes) == (192 * MIB, 64 * MIB)
    assert (found.renders.size_bytes, found.renders.at_once) == (64 * MIB, 2)
    assert (found.fetches.size_bytes, found.fetches.at_once) == (16 * MIB, 8)


def test_more_memory_lets_more_run_and_then_each_have_more() -> None:
    small, large, huge = (memory.divide(limit * MIB) for limit in (2048, 8192, 65536))
    assert small.renders.at_once < large.renders.at_once == huge.renders.at_once
    assert small.renders.size_bytes < large.renders.size_bytes <= huge.renders.size_bytes
    assert small.fetches.at_once < large.fetches.at_once
    assert huge.render_alone_bytes + huge.fetch_alone_bytes == memory.MOST_ALONE_BYTES


def test_what_is_told_counts_but_never_more_than_there_is() -> None:
    assert Memory(256 * MIB).division == memory.divide(256 * MIB)
    assert Memory(2**50).division == Memory().division == memory.divide(memory.limit_bytes())


def test_this_machine_tells_its_memory() -> None:
    assert Memory().division.total_bytes > 64 * MIB
