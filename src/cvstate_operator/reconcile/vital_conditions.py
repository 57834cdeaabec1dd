"""The conditions Healthy, TelemetryComplete and Accepted: how well what runs is doing, as users and `kubectl wait` read it. Pure."""

from collections.abc import Collection

from cvstate_operator.api.conditions import Condition, ConditionType, Reason
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.plan.history import Stage
from cvstate_operator.reconcile import wording
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.vitals import Vitals
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.item import ItemKind
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.verdicts.completeness import SourceKind

_BAD = (Level.FAILED, Level.MISSING, Level.DEGRADED)


def conditions(outcome: Outcome) -> tuple[Condition, ...]:
    """All three; TelemetryComplete only where something is expected to tell anything, Accepted only of what was judged."""
    vitals = outcome.vitals
    if vitals is None:
        return (healthy(outcome),)
    verdict = vitals.verdict
    accepted = Condition(ConditionType.ACCEPTED, verdict.status, verdict.reason, verdict.message)
    return (healthy(outcome), *_complete(vitals), accepted)


def healthy(outcome: Outcome) -> Condition:
    """Of what was applied. What is known to be bad comes before what is not known; as long as nothing was compared, nothing is claimed."""
    if not outcome.is_compared:
        return _condition(None, Reason.NOT_EVALUATED, "no object was looked at yet")
    if outcome.missing:
        gone = f"{wording.plural(len(outcome.missing), 'object')} not there ({wording.named(outcome.missing)})"
        return _condition(False, Reason.DEGRADED, f"{gone}; {outcome.health.text}" if outcome.health.text else gone)
    if bad := _bad(outcome) or _hidden(outcome.vitals):
        return _condition(False, Reason.DEGRADED, bad)
    if breached := _breached(outcome.vitals):
        return _condition(False, Reason.SIGNAL_BREACHED, breached)
    if outcome.health.holds_up and (outcome.health.is_down or _is_rolling_out(outcome)):
        return _condition(False, Reason.PROGRESSING, outcome.health.text)
    if outcome.health.blind:
        return _condition(None, *hidden_kinds(outcome, outcome.health.blind))
    if unseen := _unseen(outcome):
        return _condition(None, Reason.NOT_EVALUATED, unseen)
    if outcome.vitals and (gap := _gap(outcome.vitals)):
        return _condition(None, Reason.TELEMETRY_GAP, gap)
    on_their_way = "; some are on their way" if outcome.health.holds_up else ""
    told = "every object says that it is ready, or has nothing to say" if not on_their_way else "every object was ready"
    return _condition(True, Reason.HEALTHY, told + on_their_way)


def _condition(status: bool | None, reason: str, message: str) -> Condition:
    return Condition(ConditionType.HEALTHY, status, reason, message)


def _is_rolling_out(outcome: Outcome) -> bool:
    """Whether the revision that was begun last was never healthy yet: then what is on its way is not ready. Later on it was, and is scaled, rolled or moved."""
    return not outcome.history or outcome.history[0].stage is not Stage.HEALTHY


def _bad(outcome: Outcome) -> str:
    """The worst object that is degraded, and how many there are, for people; empty if none is."""
    counts = outcome.health.counts
    number = sum(counts.count(level) for level in _BAD)
    found = next(((ref, lapse) for ref, lapse in outcome.health.worst if lapse.level in _BAD), None)
    if not number or found is None:
        return ""
    ref, lapse = found
    cause = outcome.vitals.causes.get(ref, "") if outcome.vitals else ""
    more = f" (and {number - 1} more)" if number > 1 else ""
    return f"{ref}: {lapse.message}{f'; {cause}' if cause else ''}{more}"


def _hidden(vitals: Vitals | None) -> str:
    """Objects that were bad when the file could last be read that declares them, for people; empty if none is."""
    found = sorted(vitals.hidden.items(), key=lambda item: (_BAD.index(item[1]), item[0])) if vitals else []
    if not found:
        return ""
    (ref, level), more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{ref}: was {level.value} when the file that declares it could be read last{more}"


def _breached(vitals: Vitals | None) -> str:
    """Signals and SLOs that are outside, for people; empty if none is."""
    found = [item for item in vitals.known.items if item.is_breached] if vitals else []
    named = [
        f"{'SLO' if item.kind is ItemKind.SLO else 'signal'} {item.name}: {item.message}"
        for item in sorted(found, key=lambda one: one.name)
    ]
    more = f" (and {len(named) - wording.SPELLED_OUT} more)" if len(named) > wording.SPELLED_OUT else ""
    return "; ".join(named[: wording.SPELLED_OUT]) + more


def hidden_kinds(outcome: Outcome, kinds: Collection[GroupKind]) -> tuple[Reason, str]:
    """Reason and message of what cannot be said since these kinds, one at least, cannot be seen. If that is all, for want of an answer, the API server is away."""
    blind = outcome.health.blind
    is_away = all(blind.get(kind) is Gap.UNREACHABLE for kind in (*outcome.kinds, *blind))
    if is_away:
        return Reason.TARGET_UNREACHABLE, "the API server tells nothing of any object now"
    named = [f"{kind} ({blind[kind].value})" for kind in sorted(kinds)]
    more = f" and {len(named) - wording.SPELLED_OUT} more" if len(named) > wording.SPELLED_OUT else ""
    return Reason.TELEMETRY_GAP, f"objects of these kinds cannot be seen: {', '.join(named[: wording.SPELLED_OUT])}{more}"


def _unseen(outcome: Outcome) -> str:
    """Why nothing can be said about health; empty if something can."""
    if lasting := [problem for problem in outcome.left_out if not problem.retryable]:
        where = lasting[0].object or lasting[0].file
        more = f" (and {len(lasting) - 1} more)" if len(lasting) > 1 else ""
        return f"what is declared is not all known: {f'{where}: ' if where else ''}{lasting[0].message}{more}"
    if outcome.held.creates:
        return f"not ours yet, so not seen: {wording.held(outcome)}"
    if outcome.unmade.later:
        return f"not made yet: {wording.waves(outcome)}"
    if outcome.unjudged:
        return f"not applied, so nothing is known of {wording.plural(len(outcome.unjudged), 'object')}: {wording.named(outcome.unjudged)}"
    unknown = [(ref, lapse) for ref, lapse in outcome.health.worst if lapse.level is Level.UNKNOWN]
    if unknown:
        ref, lapse = unknown[0]
        number = outcome.health.counts.unknown
        more = f" (and {number - 1} more)" if number > 1 else ""
        return f"{ref}: {lapse.message}{more}"
    return ""


def _gap(vitals: Vitals) -> str:
    """Which signals and SLOs tell nothing, for people; empty if all do."""
    missing = [one for one in vitals.completeness.missing if one.kind is not SourceKind.OBJECTS]
    return vitals.completeness.text if missing else ""


def _complete(vitals: Vitals) -> tuple[Condition, ...]:
    whole = vitals.completeness
    if not whole.expected:
        return ()
    return (Condition(ConditionType.TELEMETRY_COMPLETE, not whole.missing, whole.reason, whole.text),)
