"""How well what runs is doing, for `cvstate status NAME`: the score, what pulls it down and what to do, what is not ready, signals and SLOs that are not well.

All of it stands in `status.cv` and `status.vital`, which `reconcile.vital_report` writes. Of what is well nothing is said.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from cvstate_operator.api.vital import Acceptance
from cvstate_operator.cli import layout, next_step
from cvstate_operator.cli.layout import Entry
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital import saved
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.verdicts.compliance import Doubt
from cvstate_operator.vital.verdicts.score import MOST_PULLS

UNREADY: Final = 5
"""Objects that are shown; `cvstate tree --unhealthy` shows all."""
JUDGED: Final = 10
"""Signals, and SLOs, that are shown."""
GOOD_SCORE: Final = 90
"""The default of spec.vital.acceptance.minScore."""
FAIR_SCORE: Final = 70
"""What is left with an object that is Failed or Missing (vital.verdicts.vetoes.CAPS)."""
MESSAGE_CHARACTERS: Final = 300

_BAD: Final = frozenset({"Breached", "Burning", "Exhausted", "Failed", "Missing", "Degraded"})
"""States that are bad for sure; others are on their way, or not known."""
_UNSURE: Final = "yellow"
_NO_POINTS: Final = "0 points"
_BAD_LEVELS: Final = ("failed", "missing", "degraded")
_LEVELS: Final = (*_BAD_LEVELS, "unknown", "progressing")
"""Of `status.vital.objects`, the worst first; all but `ready`."""


# -- the numbers ---------------------------------------------------------------------------------------------------


def score_text(item: Mapping[str, Any]) -> Text:
    """The score for a table: `97`, with a question mark if too little is known for it to be relied on; `-` if there is none."""
    cv = (item.get("status") or {}).get("cv") or {}
    score = cv.get("score")
    if score is None:
        return Text("-")
    doubt = "" if is_sure(item) else "?"
    return Text(f"{score}{doubt}", "yellow" if doubt and score >= FAIR_SCORE else _score_colour(score))


def is_sure(item: Mapping[str, Any]) -> bool:
    """Whether the confidence is as high as spec.vital.acceptance wants it."""
    accepted = ((item.get("spec") or {}).get("vital") or {}).get("acceptance") or {}
    least = accepted.get("minConfidence", Acceptance().min_confidence)
    return bool(((item.get("status") or {}).get("cv") or {}).get("confidence", 0) >= least)


def numbers(item: Mapping[str, Any]) -> list[Text]:
    """Score and confidence, and what they are made of unless both are 100; empty if nothing was told yet."""
    cv = (item.get("status") or {}).get("cv")
    if not cv:
        return []
    score, confidence = cv.get("score"), cv["confidence"]
    if score is None:
        first = Text.assemble(("none yet", _UNSURE), f", nothing was compared with Git; confidence {confidence}")
    else:
        style = "" if is_sure(item) else _UNSURE
        first = Text.assemble((str(score), f"bold {_score_colour(score)}"), ", confidence ", (str(confidence), style))
    told = [f"{name} {cv[name]}" for name in ("configuration", "vital") if name in cv]
    told += [f"telemetry {cv['completeness']} % complete"] if "completeness" in cv else []
    return [first] if score == confidence == 100 or not told else [first, Text(", ".join(told))]


def _score_colour(score: int) -> str:
    return "green" if score >= GOOD_SCORE else "yellow" if score >= FAIR_SCORE else "red"


# -- what is not well ----------------------------------------------------------------------------------------------


def pulls(item: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    """What pulls score and confidence down, since when, and what to do about each."""
    status = item.get("status") or {}
    cv, told = status.get("cv") or {}, (status.get("vital") or {}).get("pulls") or ()
    if not told and (worst := cv.get("worst")):
        told = [{"name": worst, "points": 0, "message": "not as it should be"}]
    if not told:
        return []
    steps = [next_step.step(one["name"], item) for one in told]
    costs = [_costs(one, item) for one in told]
    entries = [
        # What is to be done about several is said once.
        _pull(one, cost, "" if step in steps[:number] else step)
        for number, (one, cost, step) in enumerate(zip(told, costs, steps, strict=True))
    ]
    title = "Pulls the confidence down" if cv.get("score") == 100 else "Pulls the score down"
    found = layout.section(title, ("WHAT", "COSTS", "SINCE", "WHY, AND WHAT TO DO"), entries, style="bold yellow", is_narrow=is_narrow)
    if _NO_POINTS in costs:
        found.append(Text(f"{_NO_POINTS}: something else keeps the score as low", "dim"))
    if len(told) >= MOST_PULLS:
        found.append(Text(f"the worst {MOST_PULLS} are told; there may be more", "dim"))
    return found


def _costs(told: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    """Points of the score; or the confidence, of what is not known now and was well before; or both, of what is not known and counts as bad, or never was known."""
    status, name = item.get("status") or {}, told["name"]
    vital = status.get("vital") or {}
    judged = next((one for where in ("signals", "slos") for one in vital.get(where) or () if one["name"] == name and one.get("gap")), None)
    if points := told["points"]:
        return layout.count(points, "point") + (", confidence" if judged or name == Level.UNKNOWN else "")
    is_doubt = name in list(Doubt) or (judged and judged.get("lastKnown") not in _BAD)
    return "confidence" if is_doubt or (status.get("cv") or {}).get("score") == 100 else _NO_POINTS


def _pull(told: Mapping[str, Any], costs: str, step: str) -> Entry:
    lines = (Text(_line(told["message"])), *([Text(step, "bold")] if step else []))
    return Entry(_line(told["name"]), Text(costs, "red" if told["points"] else ""), _age(told), lines)


def unready(item: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    """Objects that are not ready, the worst first, and why."""
    vital = (item.get("status") or {}).get("vital") or {}
    told, counts = vital.get("unready") or (), vital.get("objects") or {}
    if not told:
        return []
    listed = ", ".join(f"{counts[level]} {level.capitalize()}" for level in _LEVELS if counts.get(level))
    title = f"Not ready: {listed} of {layout.count(sum(counts.values()), 'object')}" if listed else "Not ready"
    is_bad = any(counts.get(level) for level in _BAD_LEVELS)
    entries = [_unready(one) for one in told[:UNREADY]]
    found = layout.section(
        title, ("OBJECT", "STATE", "SINCE", "WHY"), entries, style="bold red" if is_bad else "bold yellow", is_narrow=is_narrow
    )
    more = max(len(told), sum(counts.get(level, 0) for level in _LEVELS)) - len(entries)
    return [*found, *_more(more, f"see all of them with: {layout.command('tree', item, '--unhealthy')}")]


def _unready(told: Mapping[str, Any]) -> Entry:
    lines = [Text(_line(told["message"]))]
    if cause := told.get("cause"):
        lines.append(Text(_line(cause)))
    return Entry(_line(told["object"]), _state(told), _age(told), tuple(lines))


def signals(item: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    """Signals that are not Passing, the worst first."""
    return _judged(item, "signals", "Passing", _signal, is_narrow=is_narrow)


def slos(item: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    """Service level objectives that are not Met, the worst first."""
    return _judged(item, "slos", "Met", _slo, is_narrow=is_narrow)


def _judged(
    item: Mapping[str, Any], where: str, well: str, entry: Callable[[Mapping[str, Any]], Entry], *, is_narrow: bool
) -> list[RenderableType]:
    """Signals or SLOs that are not well."""
    spec, status = ((item.get(part) or {}).get("vital") or {} for part in ("spec", "status"))
    told = status.get(where) or ()
    bad = [one for one in told if one["state"] != well]
    if not bad:
        return []
    what, is_bad = ("Signals" if where == "signals" else "SLOs"), any(one["state"] in _BAD for one in bad)
    declared = max(len(spec.get(where) or ()), len(told))
    title = f"{what} that are not {well}: {len(bad)} of {declared}"
    entries = [entry(one) for one in bad[:JUDGED]]
    columns = ("SIGNAL" if where == "signals" else "SLO", "STATE", "SINCE", "WHY")
    found = layout.section(title, columns, entries, style="bold red" if is_bad else "bold yellow", is_narrow=is_narrow)
    # The worst are told: only if none of those is well may there be others that are not.
    untold = declared - len(told) if len(bad) == len(told) else 0
    return [*found, *_more(len(bad) - len(entries), "see all of them with -o json"), *_untold(untold)]


def _untold(number: int) -> Iterator[RenderableType]:
    if number > 0:
        yield Text(f"… and {number} of which the status tells nothing; the metrics do (docs/metrics.md)", "dim")


def _signal(told: Mapping[str, Any]) -> Entry:
    lines = []
    if told.get("gap"):
        lines += [Text(f"{_line(told['gap'])}: {_line(told['message'])}"), Text(f"before: {_before(told)}", "dim")]
    else:
        lines.append(Text(f"{_measured(told)}: {_line(told['message'])}"))
    if told.get("series"):
        lines.append(Text(_line(told["series"]), "dim"))
    return Entry(_line(told["name"]), _state(told), _age(told), tuple(lines))


def _before(told: Mapping[str, Any]) -> str:
    """What was known before a gap."""
    if not told.get("lastKnown"):
        return "nothing, it never had data"
    measured = f", {_measured(told)}" if "value" in told else ""
    return f"{_line(told['lastKnown'])}{measured}"


def _measured(told: Mapping[str, Any]) -> str:
    """The last value, and when that was: as of the last change, so it may be old although newer ones are known."""
    taken = f" ({layout.age(told['takenAt'])} ago)" if told.get("takenAt") else ""
    return f"{_line(told.get('value', 'no value'))}{taken}"


def _slo(told: Mapping[str, Any]) -> Entry:
    gap = f"{_line(told['gap'])}: " if told.get("gap") else ""
    lines = [Text(f"{gap}{_line(told['message'])}")]
    if told.get("gap"):
        lines.append(Text(f"before: {_before(told)}", "dim"))
    if burns := budget(told):
        lines.append(Text(burns))
    return Entry(_line(told["name"]), _state(told), _age(told), tuple(lines))


def budget(told: Mapping[str, Any]) -> str:
    """The error budget of an SLO in one line: what is left, how fast it burns, when it is gone; empty if nothing is known.

    Args:
        told: an entry of `status.vital.slos`.
    """
    left, burn = saved.number(told.get("budgetLeft")), saved.number(told.get("burnRate"))
    parts = []
    if left is not None:
        parts.append(
            f"{100 * left:.3g} % of the error budget left" if left >= 0 else f"the error budget is overdrawn by {-100 * left:.3g} %"
        )
    if burn is not None:
        parts.append(f"burn rate {burn:.3g} over the last hour")
    if told.get("exhaustedIn"):
        parts.append(f"gone in {_line(told['exhaustedIn'])}")
    if told.get("level"):
        parts.append(_line(told["level"]))
    taken = f" ({layout.age(told['takenAt'])} ago)" if parts and told.get("takenAt") else ""
    return ", ".join(parts) + taken


# -- parts ---------------------------------------------------------------------------------------------------------


def _more(number: int, where: str) -> Iterator[RenderableType]:
    if number > 0:
        yield Text(f"… and {number} more; {where}", "dim")


def _state(told: Mapping[str, Any]) -> Text:
    return Text(_line(told["state"]), "red" if told["state"] in _BAD else _UNSURE)


def _age(told: Mapping[str, Any]) -> str:
    return layout.age(told["since"]) if told.get("since") else ""


def _line(text: Any) -> str:
    return one_line(str(text), MESSAGE_CHARACTERS)
