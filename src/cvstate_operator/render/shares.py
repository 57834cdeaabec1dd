"""Shares: many new files are parsed by several processes, each a fork of the render child and as confined as it is.

A first render of thousands of objects is the longest wait before the first of them is applied, and nothing else has work meanwhile. The forks are in the render
child's process group: whatever ends it ends them.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pygit2

from cvstate_operator.isolation import task
from cvstate_operator.render.parse import Options, parse
from cvstate_operator.render.store import Store

MOST: Final = 4
"""Processes of one render; several renders may run at a time."""
MIN_BYTES: Final = 200_000
"""What is worth a process: to parse so much YAML takes about 0.1 s, a fork and what it answers 10 ms (measured)."""

Indexes = dict[str, dict[str, Any]]
"""By key, as `Store.find` tells them."""


def count(sizes: Sequence[int]) -> int:
    """Into how many shares files of so many bytes are worth dividing: at least 1, at most the cores that this process may use."""
    return max(1, min(MOST, _cores(), len(sizes), sum(sizes) // MIN_BYTES))


def _cores() -> int:
    """Cores of this machine that are not withheld from us, by a container's quota either. Source: Linux, cgroup-v2, cpu.max."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or `max`: there is no quota
        return cores


def parse_all(repository: pygit2.Repository, blobs: Mapping[str, str], options: Options, store: Store, *, shares: int) -> Indexes:
    """Parse blobs into the store; their indexes.

    Args:
        repository: where the blobs are.
        blobs: key of a content → blob id.
        options: what is done to every object.
        store: where the objects go; each share is a file of its own.
        shares: how many processes do it, this one among them.
    """
    keys = list(blobs)
    first, *others = [{key: blobs[key] for key in keys[number::shares]} for number in range(shares)]
    if not others:
        return _parse(repository, first, options, store)
    # All of them together may have what this process may have, and write what it may.
    memory_bytes = task.free_memory_bytes() // shares
    forks = [_Fork(memory_bytes, repository, share, options, store.divided(shares)) for share in others]
    found: list[Indexes | None] = []
    with contextlib.suppress(MemoryError, task.OutOfRoomError), task.restricted(memory_bytes):
        found.append(_parse(repository, first, options, store.divided(shares)))
    found = [*(found or [None]), *(fork.result() for fork in forks)]
    indexes: Indexes = {}
    for share, part in zip((first, *others), found, strict=True):
        # What one of them could not do (it may have been too much for a part) is done again here, or fails as it would have alone.
        indexes |= _parse(repository, share, options, store) if part is None else part
    return indexes


def _parse(repository: pygit2.Repository, blobs: Mapping[str, str], options: Options, store: Store) -> Indexes:
    with store.write() as writing:
        for key, blob in blobs.items():
            writing.add(key, *parse(repository[blob].read_raw(), options))
    return writing.indexes


class _Fork:
    """One share, in a process of its own."""

    def __init__(self, memory_bytes: int, *arguments: Any) -> None:
        self._readable, writable = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            task.die_with_parent(parent)
            _work(writable, memory_bytes, arguments)
        os.close(writable)

    def result(self) -> Indexes | None:
        """What it found; None if it failed. To be called once."""
        with open(self._readable, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(self._pid, 0)
        return orjson.loads(told) if status == 0 else None


def _work(writable: int, memory_bytes: int, arguments: Sequence[Any]) -> None:
    """Never returns: the stack of the process that was forked must not be unwound here."""
    code = 1
    try:
        with task.restricted(memory_bytes):
            told = orjson.dumps(_parse(*arguments))
        with open(writable, "wb") as stream:
            stream.write(told)
        code = 0
    finally:
        os._exit(code)
