"""What `python -m bench all` measures, and how long each of it takes: cells of the goals, most important first, cells for growth, and cells of the live world.
Pure. No other module says which sizes are measured.

A cell is one scenario in one form and size; in it every tool has its turns, to and fro. Cells come one after another, each with all its turns, so that a
session that is stopped early has whole cells. (For all cells with few turns: ``all --runs 1``, and later ``all --runs 5 --resume SESSION``.)

So that it ends in an afternoon, peers are bounded, the same in every session, and the report says how many runs stand behind each figure:

- a setting of a peer takes part in the cells after the first only if it was the better one there, and the other in the first `FEW_TURNS` turns of S1 at
  5,000 objects, to see whether it still is; a peer with which no goal is compared takes part in the first `FEW_TURNS` turns only;
- the sizes of a peer end where the goals stop comparing with it;
- S2 has fewer rounds for a tool that looks at everything after each commit (`scenarios.s2`);
- the lower bound has five widths at the smallest size of S1, those that are far from the best in FEW_TURNS turns, and fewer widths elsewhere; the best one of
  each size is its figure, and the report says where no wider or no narrower one was tried;
- what lies between the sizes of the goals, and the live world, have FEW_TURNS turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

FEW_TURNS: Final = 2
IDLE_SECONDS: Final = 100.0
"""Of S3: until the second look at the repository, a minute after the first, is over; what comes before each is then in it too."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario, in one form and size, and who takes part."""

    scenario: str
    n: int
    tools: tuple[str, ...]
    """In the order of the first turn."""
    few: frozenset[str] = field(default_factory=frozenset)
    """Of these, who takes part in the first FEW_TURNS turns only."""
    m: int = 0
    variant: str = ""
    rounds: int | None = None
    """As in `Parameters`; None: as the command line says."""
    idle_seconds: float | None = None
    """As in `Parameters`; None: as the command line says."""
    world: str = "quiet"
    """``quiet``: only etcd and the API server; ``live``: with the controllers of Kubernetes."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run that is to be made."""

    cell: Cell
    turn: int
    tool: str


_OURS: Final = "cvstate"
_BOTH: Final = ("flux", "flux-tuned")
_WIDE: Final = ("bound-16", "bound-32")
_ALL_FEW: Final = frozenset({_OURS, "flux-tuned", "bound-16"})
_GOALS: Final = (
    Cell("S1", 1000, (_OURS, *_BOTH, "bound-4", "bound-8", *_WIDE, "bound-64"), few=frozenset({"bound-4", "bound-64"})),
    Cell("S1", 5000, (_OURS, "flux-tuned", *_WIDE, "flux"), few=frozenset({"flux"})),
    Cell("S1", 10000, (_OURS, "flux-tuned", *_WIDE)),
    Cell("S2", 10000, (_OURS,), rounds=40),
    Cell("S2", 1000, (_OURS, "flux-tuned", "bound-16"), few=frozenset({"bound-16"}), rounds=4),
    Cell("S2", 5000, (_OURS, "flux-tuned"), rounds=5),
    Cell("S4", 5000, (_OURS,), variant="20 per second"),
    Cell("S4", 5000, (_OURS,), variant="100 per second"),
    Cell("S5", 10000, (_OURS,), variant="unchanged"),
    Cell("S5", 5000, (_OURS, "flux-tuned"), few=_ALL_FEW, variant="unchanged"),
    Cell("S7", 10000, (_OURS,)),
    Cell("S8", 10000, (_OURS,), variant="all alive"),
    Cell("S8", 10000, (_OURS,), variant="one dead"),
    Cell("S3", 10000, (_OURS,), m=50000, idle_seconds=IDLE_SECONDS),
    Cell("S3", 1000, (_OURS, "flux-tuned"), few=frozenset({"flux-tuned"}), idle_seconds=IDLE_SECONDS),
    Cell("S6", 1000, (_OURS, "flux-tuned"), few=frozenset({"flux-tuned"})),
    Cell("S6", 10000, (_OURS,)),
    Cell("S6", 1000, (_OURS,), m=100000),
    Cell("S4", 1000, (_OURS, "flux-60s"), few=frozenset({"flux-60s"}), variant="20 per second"),
    Cell("S5", 1000, (_OURS,), variant="unchanged"),
    Cell("S7", 1000, (_OURS, "flux-tuned"), few=frozenset({"flux-tuned"})),
)
"""What a goal is judged by, and the small sizes that growth is fitted from."""
_BETWEEN: Final = tuple(
    Cell(scenario, n, (_OURS,), few=_ALL_FEW, m=m, variant=variant, rounds=rounds)
    for scenario, n, m, variant, rounds in (
        ("S1", 2000, 0, "", None),
        ("S2", 2000, 0, "", 5),
        ("S4", 2000, 0, "20 per second", None),
        ("S5", 2000, 0, "unchanged", None),
        ("S7", 3000, 0, "", None),
        ("S8", 1000, 0, "all alive", None),
        ("S8", 3000, 0, "all alive", None),
        ("S8", 50000, 0, "all alive", None),
        ("S6", 1000, 10000, "", None),
    )
)
"""Sizes between those of the goals, where a run is cheap: growth is not to be fitted from two sizes alone."""
_LIVE: Final = (
    Cell("S1", 1000, (_OURS, "flux-tuned", "bound-16"), few=_ALL_FEW, world="live"),
    Cell("S4", 1000, (_OURS,), few=_ALL_FEW, variant="20 per second", world="live"),
)
"""With the controllers of Kubernetes beside the API server: no goal speaks of it, the report shows it by itself."""
CELLS: Final = (*_GOALS, *_BETWEEN, *_LIVE)
"""In the order in which they are measured."""


def order(cell: Cell, turns: int) -> Iterator[Run]:
    """Return the runs of a cell in their order: every second turn goes backwards, so that none always comes first."""
    for turn in range(turns):
        names = [name for name in cell.tools if turn < FEW_TURNS or name not in cell.few]
        for name in names if turn % 2 == 0 else reversed(names):
            yield Run(cell, turn, name)


# -- how long a run takes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Duration:
    """Seconds of a run, from the start of its cluster to its end."""

    fixed: float
    per_1000: float
    """For each 1,000 declared objects."""
    per_round: float = 0.0
    per_round_and_1000: float = 0.0

    def of(self, thousands: float, rounds: int) -> float:
        return self.fixed + self.per_1000 * thousands + rounds * (self.per_round + self.per_round_and_1000 * thousands)


LIVE_SECONDS: Final = 20.0
"""How much longer a run takes in the live world: its programs start and stop, and follow what was made."""
FOREIGN_SECONDS: Final = 1.2
"""To make 1,000 foreign objects. Measured."""
_DURATIONS: Final = {
    ("S1", "cvstate"): _Duration(16, 2),
    ("S1", "flux"): _Duration(18, 8.5),
    ("S1", "bound"): _Duration(12, 1.6),
    ("S2", "cvstate"): _Duration(21, 2, 2.2, 0.02),
    ("S2", "flux"): _Duration(23, 8.5, 2.5, 7.2),
    ("S2", "bound"): _Duration(16, 1.6, 2.0),
    ("S3", "cvstate"): _Duration(36, 2),
    ("S3", "flux"): _Duration(38, 12.5),
    ("S4", "cvstate"): _Duration(58, 2.5),
    ("S4", "flux"): _Duration(251, 25),
    ("S5", "cvstate"): _Duration(29, 2.3),
    ("S5", "flux"): _Duration(31, 13.5),
    ("S6", "cvstate"): _Duration(44, 2),
    ("S6", "flux"): _Duration(46, 8.5),
    ("S7", "cvstate"): _Duration(33, 5.5),
    ("S7", "flux"): _Duration(33, 75),
    ("S8", "cvstate"): _Duration(40, 3),
}
"""Measured on two cores that somebody else used too: sizes, not promises. `bench.progress` corrects them by the runs that are kept."""
_UNKNOWN: Final = _Duration(40, 10)
"""For a tool that is not in the table."""


def seconds(scenario: str, tool: str, *, n: int, m: int, rounds: int, idle_seconds: float) -> float:
    """Return about how long a run takes; `idle_seconds` are those of an idle scenario, with the tool and without."""
    found = _DURATIONS.get((scenario, tool.partition("-")[0]), _UNKNOWN)
    return found.of(n / 1000, rounds) + FOREIGN_SECONDS * m / 1000 + (idle_seconds if scenario == "S3" else 0.0)
