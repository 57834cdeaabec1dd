"""Something that goes on beside a test, in a thread of its own, until a `with` block ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None], *, is_over: threading.Event | None = None) -> Iterator[None]:
    """Work until the end of the `with` statement.

    Args:
        work: is given an event that is set when it has to end; must look at it often.
        is_over: that event, if others may end it too; it must not be set yet.
    """
    over = is_over or threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
