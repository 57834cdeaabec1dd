"""Waves: in which order objects are applied, and how far that may go now.

Two orders, the first one counts more: the number that an object's annotation gives it (`cvstate.io/wave`, 0 without one), and the stage of its kind
(objects/ordering.py). Between stages of kinds nothing waits but for what the API server insists on. Before a later number is begun, every object of the
earlier ones has to be applied, and ready if `spec.apply.wait` says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cvstate_operator.objects.identity import ObjectRef


class Frontier(NamedTuple):
    """How far objects may be applied now."""

    wave: int
    """The last number that may be begun."""
    ref: ObjectRef
    """An object of that wave that is not finished, so that no later one may be begun."""
    why: str
    """What it lacks, for people."""


def frontier(waves: Mapping[int, Sequence[ObjectRef]], lacks: Callable[[ObjectRef], str]) -> Frontier | None:
    """The first wave that is not finished; None if none holds up another.

    Args:
        waves: everything desired, by the numbers of the waves; in order.
        lacks: what an object lacks to be applied and ready, for people; empty if nothing.
    """
    for number in list(waves)[:-1]:
        if found := _first(waves[number], lacks):
            return Frontier(number, *found)
    return None


def _first(refs: Iterable[ObjectRef], lacks: Callable[[ObjectRef], str]) -> tuple[ObjectRef, str] | None:
    return next(((ref, why) for ref in refs if (why := lacks(ref))), None)
