"""The allocator of the C library, in a process of its own. Aspects: what is free goes back · time passes without work · other C libraries."""

import subprocess
import sys

import pytest

from cvstate_operator.cli import allocator

pytestmark = pytest.mark.skipif(not allocator._is_glibc(), reason="only glibc holds on to what is free")

SCATTERED = """
from cvstate_operator.cli import allocator
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
allocator.tune()
before = resident()
blocks = [bytes(5000) for _ in range(20_000)]
full = resident() - before
blocks = blocks[::50]
"""
"""Takes 100 MB in small pieces, and keeps one in fifty of them."""


def printed(program: str) -> list[int]:
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_free_memory_between_what_is_kept_goes_back_to_the_machine() -> None:
    full, left = printed(f"{SCATTERED}allocator.give_back()\nprint(full, resident() - before)")
    assert full > 90_000_000
    assert left < full / 4


def test_it_goes_back_by_itself_while_the_process_waits() -> None:
    program = (
        f"{SCATTERED}import asyncio\nallocator.LOOK_SECONDS = 0.01\n"
        "async def wait():\n    task = asyncio.create_task(allocator.give_back_from_time_to_time())\n"
        "    await asyncio.sleep(1)\n    task.cancel()\nasyncio.run(wait())\nprint(full, resident() - before)"
    )
    full, left = printed(program)
    assert left < full / 4


def test_what_was_loaded_is_not_looked_through_for_garbage() -> None:
    program = (
        "import gc\nfrom cvstate_operator.cli import allocator\n"
        "seen = []\ngc.callbacks.append(lambda phase, told: seen.append(told['generation']))\n"
        "with allocator.loading():\n    import kopf\n"
        "print(max(seen), int(gc.get_threshold() == allocator.WORKING), gc.get_freeze_count())"
    )
    oldest, is_working, frozen = printed(program)
    assert (oldest, is_working) == (0, 1)
    assert frozen > 50_000


def test_what_loading_leaves_behind_does_not_stay() -> None:
    program = (
        "import gc, weakref\nfrom cvstate_operator.cli import allocator\n"
        "class Loop:\n    pass\nwith allocator.loading():\n    one = Loop()\n    one.itself = one\n    left = weakref.ref(one)\n    del one\n"
        "    more = [[] for _ in range(2 * allocator.NEW_OBJECTS)]\nprint(int(left() is None))"
    )
    assert printed(program) == [1]


def test_garbage_is_collected_again_when_loading_failed() -> None:
    program = (
        "import gc\nfrom cvstate_operator.cli import allocator\n"
        "try:\n    with allocator.loading():\n        import no_such_module\nexcept ImportError:\n    print(int(gc.get_threshold() == allocator.WORKING))"
    )
    assert printed(program) == [1]


async def test_with_another_c_library_nothing_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_LIBC", object())
    allocator.tune()
    allocator.give_back()
    await allocator.give_back_from_time_to_time()
