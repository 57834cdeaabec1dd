"""Imports: modules of the standard library that a library loads for a part of itself that nobody calls here, kept out of processes that run for months."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _LeftOut(ModuleType):
    """In the place of a module: whatever is named of it is a class of its own that can do nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Load modules without these, which they import at their top; afterwards whoever asks for one of them gets it. Those that are loaded already stay."""
    left_out = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _LeftOut(name) for name in left_out})
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]
