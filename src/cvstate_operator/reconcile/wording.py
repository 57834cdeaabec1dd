"""Wording: how outcomes are told in conditions and events. Pure; equal outcomes give equal texts."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.history import commit_of
from cvstate_operator.reconcile.outcome import Done, Outcome

SPELLED_OUT: Final = 3
"""Problems and objects that a message names; the rest is counted."""

_DOES: Final = {
    State.REPAIRING: "being repaired",
    State.TRANSIENT: "younger than spec.drift.transientFor",
    State.ALERTED: "left as it is by a rule",
    State.AWAITING_APPROVAL: "awaiting approval",
    State.BREAKER_OPEN: "in a fight",
    State.YIELDED: "left to another manager",
    State.HELD: "held since nothing may be written now",
}
_REFUSED: Final = "whose repair is refused (see status.problems)"


def plural(count: int, word: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def named(refs: Sequence[ObjectRef]) -> str:
    """The first few objects, and how many more there are."""
    names = ", ".join(str(ref) for ref in refs[:SPELLED_OUT])
    more = len(refs) - SPELLED_OUT
    return f"{names}{f' and {more} more' if more > 0 else ''}"


def left_git(refs: Sequence[ObjectRef]) -> str:
    """`2 objects left Git (…)`."""
    return f"{plural(len(refs), 'object')} left Git ({named(refs)})"


def problems(outcome: Outcome) -> str:
    """The first few problems, spelled out."""
    spelled = "; ".join(str(problem) for problem in outcome.problems[:SPELLED_OUT])
    more = len(outcome.problems) - SPELLED_OUT
    held = f"; {unpruned(outcome)}" if outcome.pruning.held else ""
    return f"{plural(len(outcome.problems), 'problem')}: {spelled}" + (f"; and {more} more in status.problems" if more > 0 else "") + held


def unpruned(outcome: Outcome) -> str:
    """Objects that are not deleted since something is in doubt."""
    return f"{left_git(outcome.pruning.held)}, but not the cluster, since {outcome.pruning.objection}"


def waiting(outcome: Outcome) -> str:
    """What waits for a person, and how to agree to it."""
    counts = {"Prune": "delete", "Recreate": "recreate", "Drift": "repair"}
    tally = [
        plural(count, word) for action, word in counts.items() if (count := sum(one.item.action == action for one in outcome.consent.waits))
    ]
    why = "; ".join(dict.fromkeys(found.objection for found in outcome.pruning.waiting))
    verb = "awaits" if len(outcome.consent.waits) == 1 else "await"
    return f"{' and '.join(tally)} {verb} approval of plan {outcome.consent.digest[:19]}" + (
        f": {why}" if why else " (cvstate approve NAME -n NAMESPACE)"
    )


def exempt(outcome: Outcome) -> str:
    """Objects that are left as they are, `; …`; empty if there are none."""
    if not outcome.exempt:
        return ""
    return f"; left as they are, as their annotations ask: {named(outcome.exempt)}"


def open_drift(outcome: Outcome) -> str:
    """How much drift there is, the first field of it, and what is being done about each."""
    entries = [(ref, entry) for ref, found in outcome.drift for entry in found]
    ref, found = first_drift(outcome)
    field = f" {found.drift.path}" if found.drift.path else ""
    who = f" (by {one_line(found.drift.manager)})" if found.drift.manager else ""
    refused = {problem.object for problem in outcome.problems if not problem.retryable}
    does = Counter(_REFUSED if entry.state is State.REPAIRING and str(ref) in refused else _DOES[entry.state] for ref, entry in entries)
    states = "; ".join(f"{does[told]} {told}" for told in (*_DOES.values(), _REFUSED) if does[told])
    block = outcome.blocks.get(WindowAction.DRIFT_REPAIR)
    held = f" ({block.message})" if block and any(entry.state is State.HELD for _, entry in entries) else ""
    return f"{plural(len(entries), 'field')} of {plural(len(outcome.drift), 'object')} drifted, first {ref}{field}{who}: {states}{held}"


def first_drift(outcome: Outcome) -> tuple[ObjectRef, Entry]:
    """The drift that matters most."""
    return min(((ref, entry) for ref, found in outcome.drift for entry in found), key=lambda one: (-one[1].severity.rank, one[0]))


def fights(outcome: Outcome) -> str:
    """Fields that are left alone since somebody undoes every repair, and who; empty if there are none."""
    opened = [fight for fight in outcome.fights if fight.breaker.opened_at is not None]
    if not opened:
        return ""
    first = opened[0]
    rival = first.breaker.rival or "somebody unknown"
    more = f"; and {len(opened) - 1} more" if len(opened) > 1 else ""
    what = f"{first.object} {first.key.path}".strip()
    give_up = "leave the field to it by spec.drift.ignore" if first.key.path else "take the object out of Git"
    return (
        f"{one_line(rival)} undoes every repair of {what}, which is left alone; stop one of the two writers "
        f"(cvstate reconcile NAME -n NAMESPACE --reset then tries once more), or {give_up}{more}"
    )


def held(outcome: Outcome) -> str:
    """Newer manifests that may not be applied now, and why."""
    block, artifact = outcome.held.block, outcome.held.artifact
    parts = [f"{count} to {word}" for count, word in ((outcome.held.creates, "create"), (outcome.held.updates, "update")) if count]
    what = f"{artifact.revision} waits" if artifact else f"{' and '.join(parts)} wait"
    return f"{what}: {block.message}" if block else what


def rolled_back(outcome: Outcome) -> str:
    """Which revision was given up, why, and where the cluster is."""
    bad, now = outcome.held.artifact, outcome.artifact
    if bad is None or now is None:
        return ""
    held = outcome.held
    left = f"; left at {held.left_at}: {named(held.left)}" if held.left else ""
    unknown = f"; not compared, since what they were applied from is not at hand: {named(held.uncompared)}" if held.uncompared else ""
    if not held.why:
        why = outcome.quarantined.get(commit_of(held.left_at), "it was given up")
        block = outcome.blocks.get(WindowAction.NEW_REVISION)
        waits = f"{bad.revision} waits: {block.message}" if block else f"{bad.revision} is newer"
        return f"{held.left_at or 'the revision before'} is quarantined ({why}); the cluster is at {now.revision}{left}{unknown}. {waits}"
    return (
        f"{bad.revision} is quarantined ({held.why}); the cluster is at {now.revision}{left}{unknown}. "
        "Push a better commit, or release it: cvstate rollback NAME -n NAMESPACE --undo"
    )


def waves(outcome: Outcome) -> str:
    """What later waves wait for."""
    frontier = outcome.held.frontier
    if frontier is None:
        return ""
    return f"{plural(outcome.held.later, 'object')} of later waves wait for wave {frontier.wave}: {frontier.ref}: {frontier.why}"


def counts(done: Sequence[Done]) -> str:
    """`2 created, 1 pruned`."""
    words = {Action.CREATE: "created", Action.UPDATE: "updated", Action.RECREATE: "deleted to be recreated", Action.PRUNE: "pruned"}
    tally: dict[str, int] = {}
    for item in done:
        tally[words[item.action]] = tally.get(words[item.action], 0) + 1
    return ", ".join(f"{count} {word}" for word, count in sorted(tally.items()))
