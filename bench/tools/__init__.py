"""Who takes part: one adapter per tool, and what all of them have to offer.

To add a tool, write a module here with a function ``make(name) -> Tool``, and name it in `MODULES`; perhaps with ``PROGRAMS``, to be built before the first run. What a run does with it:

    tool = make(name)
    tool.start(ground)              not timed: CRDs, Secrets, processes
    tool.declare(ground)            the object that names the repository; `ground.repository` has a first commit with one small object
    ... until the observer sees that object, and `settled` is true ...
    push = tool.push(ground, files)          the clock runs from push.monotonic_seconds
    ... until the observer has seen every declared field, then until `settled`, then until the audit log is silent ...
    tool.stop()

Rules for all, so that they can be compared:

- Every request a tool makes is made with `ground.kubeconfig`: one ServiceAccount for all, so API priority and fairness treats them alike. (A tool of
  several processes gives it to each of them.)
- Files that belong to the declared set lie below `ground.PATH` in the repository. Pruning is on; everything else is as the tool's own documentation
  advises, and `facts` says what was set.
- A push is told in the tool's own way (webhook, annotation), and nothing is asked of the tool that its users would not do.
- `settled` is only used to know when to go on. It may be wrong; the observer and the audit log decide.
- A tool that cannot do something (the bare lower bound has no drift detection) raises `NotOfferedError`: the scenario is left out for it.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Protocol

from bench.ground import Ground


class NotOfferedError(Exception):
    """The tool does not do this at all."""


@dataclass(frozen=True, slots=True)
class Push:
    """A commit that was announced."""

    commit: str
    """Full id."""
    monotonic_seconds: float
    """When the repository had the commit, before it was announced (CLOCK_MONOTONIC, the same in all processes)."""


class Tool(Protocol):
    """A tool that makes a cluster what a repository says. One object lives for one run, on one ground."""

    @property
    def name(self) -> str:
        """As on the command line, for example ``flux-tuned``."""

    @property
    def user(self) -> str:
        """User name in the audit log; `ground.user`."""

    @property
    def unit(self) -> str:
        """Plural of the kind whose objects each name a directory of the repository: ``clusterstates``; empty if it has none."""

    @property
    def is_watching(self) -> bool:
        """Whether it hears of changes in the cluster; else it notices them after `period_seconds`, or never."""

    @property
    def period_seconds(self) -> float:
        """How long it waits, as it is set up, until it looks at everything again though nothing happened: infinity for never."""

    @property
    def compare_seconds(self) -> float:
        """How long it waits until it compares all that it knows with what is declared, and asks for nothing: infinity for never."""

    @property
    def source_seconds(self) -> float:
        """How long it usually waits until it asks the repository for what is new by itself: infinity for never."""

    def facts(self) -> Mapping[str, str]:
        """Versions and settings, for the record: program → version, flag → value. Called after `start`."""

    def start(self, ground: Ground) -> None:
        """Install what the tool needs, start its processes, and return when they are ready. Not timed."""

    def declare(self, ground: Ground, paths: Sequence[str] = (Ground.PATH,)) -> None:
        """Tell it about `ground.repository`, which has a commit already, with one object for each of these directories. Returns at once."""

    def push(self, ground: Ground, files: Mapping[str, str | None]) -> Push:
        """Commit files (path in the repository → text, None removes one) and announce the commit. Returns when the announcement was answered.

        After `stop(kill=True)` whatever is to hear of it and was not stopped does; nobody repeats it for the tool.
        """

    def look(self) -> None:
        """Have it look at everything again, as it does by itself after `period_seconds`. Returns at once."""

    def compare(self) -> None:
        """Have it compare everything, as it does by itself after `compare_seconds`. Returns at once."""

    def settled(self) -> bool:
        """Say whether its own status says that the last push, `declare`, `look` or `compare` is done."""

    def pids(self) -> Sequence[int]:
        """Its processes now, without their children."""

    def stop(self, *, kill: bool = False) -> None:
        """End its processes: as a user does, or with SIGKILL. May be called twice, and before `start`."""

    def restart(self) -> None:
        """Start its processes again after `stop(kill=True)`, with the state they left on disk, and return without waiting until they are ready."""


MODULES: Final[Mapping[str, str]] = {
    "cvstate": "bench.tools.cvstate",
    "flux": "bench.tools.flux",
    "flux-tuned": "bench.tools.flux",
    "flux-60s": "bench.tools.flux",
    "bound": "bench.tools.bound",
}
"""Name of a tool, without a ``-NUMBER`` at its end → module with ``make(name)``."""


def must_watch(tool: Tool) -> None:
    """Leave a scenario out for a tool that does only what it is told to.

    Raises:
        NotOfferedError: it is one.
    """
    if math.isinf(tool.period_seconds):
        raise NotOfferedError(f"{tool.name} looks at nothing by itself")


def make(name: str) -> Tool:
    """Return the tool of that name; ``bound-16`` is the variant 16 of `bound`.

    Raises:
        KeyError: nobody is called so.
    """
    tool: Tool = _module(name).make(name)
    return tool


def programs(name: str) -> tuple[str, ...]:
    """Return what has to be built before a tool can run, `PROGRAMS` of its module, as `tests.cluster.builds` calls them; nothing if it does not say.

    Raises:
        KeyError: nobody is called so.
    """
    found: tuple[str, ...] = getattr(_module(name), "PROGRAMS", ())
    return found


def _module(name: str) -> ModuleType:
    base, _, number = name.rpartition("-")  # not `flux-60s`, which ends in no number
    return importlib.import_module(MODULES[base if number.isdecimal() else name])
