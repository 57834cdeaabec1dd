"""The verdict: whether the whole is acceptable, as spec.vital.acceptance says. Input is the score; the reader is the condition Accepted. Pure.

The first row that holds decides:

| when | Accepted is | reason |
|---|---|---|
| the objects were never compared with Git | Unknown | NotEvaluated |
| a critical item is breached | False | CriticalBreached |
| the score is below minScore, and that is no matter of doubt | False | ScoreBelowMinimum |
| the confidence is below minConfidence | Unknown | ConfidenceBelowMinimum |
| declared objects were never made, or never were all ready, and it was not True before | Unknown; or as before | NotEvaluated; or Settling |
| all is met, but for less than SETTLE_SECONDS since it was not | as before | Settling |
| all is met | True | RequirementsMet |

"No matter of doubt": the confidence suffices, or the score would be too low even if every object of which nothing is known were well. So an API server
that cannot be reached makes it Unknown, and a bad score with half of the telemetry gone is still bad.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cvstate_operator.api.vital import Acceptance
from cvstate_operator.vital.verdicts.score import Pull, Score

SETTLE_SECONDS: Final = 60.0
"""So long everything must be met before the verdict is True again: two evaluations of a signal with the usual interval of 30 s, so that a number that goes
up and down around its limit does not flap. It is left at once."""
NAMED: Final = 3
"""Things that pull the score down which the message names."""
_SETTLE: Final = timedelta(seconds=SETTLE_SECONDS)


class Reason(StrEnum):
    """Why, in one word; the set is closed, so it may be a metric label."""

    NOT_EVALUATED = "NotEvaluated"
    CRITICAL_BREACHED = "CriticalBreached"
    SCORE_BELOW_MINIMUM = "ScoreBelowMinimum"
    CONFIDENCE_BELOW_MINIMUM = "ConfidenceBelowMinimum"
    SETTLING = "Settling"
    REQUIREMENTS_MET = "RequirementsMet"


_SETTLED: Final = frozenset({Reason.REQUIREMENTS_MET, Reason.NOT_EVALUATED})
"""After these nothing has to settle: it was met, or nobody had looked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the whole is acceptable."""

    status: bool | None
    """None is Unknown."""
    reason: Reason
    message: str
    """For people: what is asked for, and what stands against it. The same as long as these are."""
    met_since: datetime | None = None
    """Since when all is met, UTC; None if it is not."""

    @property
    def next_change(self) -> datetime | None:
        """When time alone changes the verdict; None: never."""
        return self.met_since + _SETTLE if self.reason is Reason.SETTLING and self.met_since else None


def recalled(word: str, now: datetime) -> Verdict | None:
    """The verdict of an earlier process, from the status of its condition (`True`, `False`, `Unknown`); None for any other word."""
    match word:
        case "True":
            return Verdict(True, Reason.REQUIREMENTS_MET, "", now)
        case "False":
            return Verdict(False, Reason.SCORE_BELOW_MINIMUM, "")
        case "Unknown":
            return Verdict(None, Reason.CONFIDENCE_BELOW_MINIMUM, "")
    return None


def judge(score: Score, acceptance: Acceptance, *, before: Verdict | None, now: datetime, is_made: bool = True) -> Verdict:
    """Whether a score is acceptable.

    Args:
        score: of now.
        acceptance: what is asked for.
        before: the last verdict; None if there never was one. Then nothing has to settle.
        now: UTC.
        is_made: whether every declared object was made, and all were ready once.
    """
    found = _unmet(score, acceptance)
    if found:
        return found
    if not is_made and not (before and before.status):
        is_first = before is None or before.reason in _SETTLED
        status, reason = (None, Reason.NOT_EVALUATED) if is_first or before is None else (before.status, Reason.SETTLING)
        return Verdict(status, reason, "not all declared objects were made and ready yet")
    met_since = now if before is None or before.met_since is None else before.met_since
    if before and before.reason not in _SETTLED and now - met_since < _SETTLE:
        return Verdict(before.status, Reason.SETTLING, f"all that is asked for is met, not yet for {SETTLE_SECONDS:g} s", met_since)
    met = f"the score is at least {acceptance.min_score} and the confidence at least {acceptance.min_confidence}"
    return Verdict(True, Reason.REQUIREMENTS_MET, met, met_since)


def _unmet(score: Score, acceptance: Acceptance) -> Verdict | None:
    """What stands against it; None if nothing does."""
    if score.score is None:
        return Verdict(None, Reason.NOT_EVALUATED, "the objects were not compared with Git yet")
    if score.breached:
        return Verdict(False, Reason.CRITICAL_BREACHED, f"critical and breached: {', '.join(score.breached)}")
    is_certain = score.confidence >= acceptance.min_confidence or (score.potential or 0) < acceptance.min_score
    if score.score < acceptance.min_score and is_certain:
        told = _named(score, [pull for pull in score.pulls if pull.points])
        return Verdict(False, Reason.SCORE_BELOW_MINIMUM, f"the score is below {acceptance.min_score}{told}")
    if score.confidence < acceptance.min_confidence:
        told = _named(score, [pull for pull in score.pulls if pull.confidence_points])
        return Verdict(None, Reason.CONFIDENCE_BELOW_MINIMUM, f"the confidence is below {acceptance.min_confidence}{told}")
    return None


def _named(score: Score, pulls: list[Pull]) -> str:
    """What pulls, by name only: values change with every look, and the text of a condition should not."""
    shown = (pulls or list(score.pulls))[:NAMED]
    return f": {', '.join(pull.name for pull in shown)}" if shown else ""
