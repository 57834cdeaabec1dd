"""The allocator: has glibc give back the memory that a large list or a large render took.

What is free but lies between what is not stays with the process for ever otherwise: after a restart with 3,000 objects 29 MB of 115 (measured). Other C libraries
manage without; here they are left as they are.
"""

import asyncio
import contextlib
import ctypes
import gc
from collections.abc import Iterator
from typing import Final

LARGE_BYTES: Final = 128 * 1024
"""Blocks from this size on go back at once. It is glibc's default, but that grows with the largest block that was freed, up to 32 MB, unless it is set.
Source: mallopt(3), M_MMAP_THRESHOLD."""
HEAPS: Final = 2
"""Heaps that threads share, in place of 8 for each core: hardly anything allocates in two threads at once. Source: mallopt(3), M_ARENA_MAX."""
LOOK_SECONDS: Final = 20.0
"""How often it is seen whether there is something to give back."""
WORTH_BYTES: Final = 2**20
"""Less than this is not worth the walk through the heap: a millisecond, and one more for each megabyte that goes back (measured), in a thread."""
NEW_OBJECTS: Final = 10_000
"""While modules are loaded, garbage is looked for after so many new objects, and among those alone: as cheap as not to look (measured). With a look at older
ones as well, as Python does by itself, it takes 0.05 CPU seconds more; without any 0.4 MB stay, since each class of a dataclass with slots is made twice."""

WORKING: Final = (5_000, 10, 10)
"""The same once it works: after so many objects, with older ones after ten such times, and all of them after a hundred, if they have become a quarter more. By Python's 700 a
process that takes up 1,000 ClusterStates spends a third of its processor time there, by this a sixth, with not a megabyte more (measured; 10,000 objects are no better, and
garbage waits for longer)."""

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


class _Usage(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later. Source: mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    )


_LIBC: Final = ctypes.CDLL(None)


def tune() -> None:
    """Set how memory is taken and given back; before the first thread, since threads get their heaps when they begin."""
    if not _is_glibc():
        return
    _LIBC.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
    _LIBC.mallopt(_M_ARENA_MAX, HEAPS)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around the imports: what is loaded is not looked through for garbage, now or later, since it stays."""
    gc.set_threshold(NEW_OBJECTS, NEW_OBJECTS, NEW_OBJECTS)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*WORKING)


def give_back() -> None:
    """Return free pages to the machine."""
    if _is_glibc():
        _LIBC.malloc_trim(0)


async def give_back_from_time_to_time() -> None:
    """Do so whenever the free part of the heap has changed by much; never returns."""
    if not _is_glibc():
        return
    _LIBC.mallinfo2.restype = _Usage
    before = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if abs(_free_bytes() - before) >= WORTH_BYTES:
            await asyncio.to_thread(give_back)
            before = _free_bytes()


def _free_bytes() -> int:
    """What lies free in the heap, given back or not."""
    return int(_LIBC.mallinfo2().fordblks)


def _is_glibc() -> bool:
    return all(hasattr(_LIBC, name) for name in ("mallopt", "malloc_trim", "mallinfo2"))
