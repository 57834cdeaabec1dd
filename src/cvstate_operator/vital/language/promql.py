"""PromQL: queries that users write for signals and SLOs, read before they are asked, and the queries that are made of them.

Input are `query`, `good` and `total` of `spec.vital`; readers are the checks of a spec, the judges of SLOs, and the adapter for Prometheus.

The text is read by promql-parser (GreptimeTeam, in Rust). It knows the grammar of Prometheus 3 without what is still an experiment there
(arithmetic of durations, `smoothed` and `anchored`). A text that it accepts may still be refused by a server, which tells so.
The library is loaded with the first query, not before (2 MB, measured). It tells no places of faults; `promql_text` finds them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from cvstate_operator.api.vital import MAX_QUERY
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.language.promql_text import MARK, PromqlError, check_shape, fault, place

__all__ = ["MAX_SELECTORS", "SELECTOR_LABEL", "Freshness", "PromqlError", "check", "freshness", "is_selector", "newest_sample", "over"]

SELECTOR_LABEL: Final = "cvstate_selector"
"""Label that says which selector a series is about (`Freshness`)."""
MAX_SELECTORS: Final = 32
"""Different selectors in one query: more than a person reads, and each is a question of its own."""

_WINDOW: Final = re.compile(r"([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
"""Prometheus' durations: whole numbers, from the largest unit to the smallest."""
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_GREATEST_TEXT: Final = 4 * MAX_QUERY
"""A text with its windows put in may be longer than what was written."""

_FINE: Final = timedelta(minutes=10)
_FINE_STEP: Final = timedelta(seconds=15)
_STEPS: Final = 60
"""How the past is searched for the last sample of what is gone (`_newest`): the last ten minutes closely, and as far back as the query looks in steps."""
_RUNGS: Final = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 10800, 21600, 43200, 86400)
"""Seconds; the same where only "is there one within" can be asked (`_rungs`)."""
_LOOKBACK: Final = timedelta(minutes=5)
"""How old a sample may be for an instant selector to see it. Source: Prometheus documentation, "Staleness"; its option --query.lookback-delta."""


def check(text: str) -> None:
    """Accept a query that gives a number, or one for each series.

    Raises:
        PromqlError: it is empty, too long or no PromQL; gives a range vector or a text; uses too many selectors; or has `{{.window}}` in it, which only
            SLOs know.
    """
    _read(text)


def is_selector(text: str) -> bool:
    """Whether `text` is a plain selector, as `http_requests_total{code="200"}`: no offset, no @, no brackets around. False for what is no PromQL."""
    try:
        return _plain(text) is not None
    except PromqlError:
        return False


@lru_cache(maxsize=256)
def over(text: str, window: str) -> str:
    """The query of how much `text` counted within `window`.

    Args:
        text: a plain selector of a counter, or PromQL with `{{.window}}` wherever the time belongs.
        window: a time as Prometheus writes it, whole numbers only: `5m`, `1h30m`, `30d`, `2592000s`.

    Returns:
        `sum(increase(SELECTOR[WINDOW]))`, or the text with the window put in. It is a query that `check` accepts.

    Raises:
        PromqlError: the text is neither, or no valid query once the window is put in; or the window is no time.
    """
    if not window or not _WINDOW.fullmatch(window):
        raise PromqlError(f"{one_line(window)} is no time of Prometheus; write it like 5m, 1h or 30d")
    if MARK.search(text):
        if len(text) > MAX_QUERY:
            raise PromqlError(f"is longer than {MAX_QUERY} characters")
        filled = MARK.sub(window, text)
        _read(filled, longest=_GREATEST_TEXT)
        return filled
    selector = _plain(text)
    if selector is None:
        raise PromqlError(
            "is neither a selector nor has {{.window}} in it; write METRIC{LABEL='VALUE'}, or put the mark where the time belongs, "
            "as in sum(increase(METRIC[{{.window}}]))"
        )
    return f"sum(increase({selector}[{window}]))"


@dataclass(frozen=True, slots=True)
class Freshness:
    """What to ask to know how fresh the data behind a query is. Answers have one series `{cvstate_selector="0"}` for each different selector, whose value
    is the Unix time in seconds of the newest sample of any of its series; and none for a selector that sees no sample."""

    selectors: int
    """How many there are."""
    living: str
    """About series that live: cheap, and enough while all selectors have some."""
    newest: str
    """Also about those that ended, as far back as the query looks. Takes the server up to four times as long as the query itself (measured with 2,000
    series, Prometheus 3.15)."""


def newest_sample(text: str) -> str | None:
    """`Freshness.newest` of a query; None if there is no selector in it.

    Raises:
        PromqlError: as `check`.
    """
    asked = freshness(text)
    return asked.newest if asked else None


@lru_cache(maxsize=256)
def freshness(text: str) -> Freshness | None:
    """How to ask for the age of the data behind a query. None if there is no selector in it.

    An offset is taken away: `x offset 1h` is as fresh as x was an hour ago, for that is what was asked about. A fixed time (`x @ 1700000000`) does not
    move, so its data grows old; it is a thing to compare with, and counts only if the query has nothing else.

    Raises:
        PromqlError: as `check`.
    """
    seen = _selections(_read(text, longest=_GREATEST_TEXT))
    moving = [selection for selection in seen if selection.at is None] or seen
    if not moving:
        return None
    return Freshness(len(moving), _told([replace(one, reach=timedelta()) for one in moving]), _told(moving))


def _told(selections: Iterable["_Selection"]) -> str:
    """One question about all of them."""
    return " or ".join(f'label_replace({_newest(one)}, "{SELECTOR_LABEL}", "{number}", "", "")' for number, one in enumerate(selections))


@dataclass(frozen=True, slots=True)
class _Selection:
    """What a selector sees of the past, seen from the outside of the query."""

    selector: str
    at: datetime | None = None
    """A fixed time it looks at (`@`); None if it moves with the time of asking."""
    offset: timedelta = timedelta()
    """By how much earlier it looks, with those of the subqueries around it."""
    reach: timedelta = timedelta()
    """How far back from there, with the ranges of the subqueries around it; 0 for the newest sample only."""
    is_named: bool = True
    """Whether it is of one metric."""


def _selections(root: Any) -> tuple[_Selection, ...]:
    """Each different one once, with its longest reach, in the order of the text."""
    found: dict[_Selection, timedelta] = {}
    try:
        for selection in _walk(root, _Selection("")):
            key = replace(selection, reach=timedelta())
            found[key] = max(found.get(key, timedelta()), selection.reach)
    except (ValueError, OverflowError) as exc:
        raise exc if isinstance(exc, PromqlError) else PromqlError("holds a time that is too far away") from None
    if len(found) > MAX_SELECTORS:
        raise PromqlError(f"has more than {MAX_SELECTORS} different selectors; use a recording rule")
    return tuple(replace(key, reach=reach) for key, reach in found.items())


def _walk(node: Any, around: _Selection) -> Iterator[_Selection]:
    import promql_parser

    match node:
        case promql_parser.VectorSelector():
            yield replace(_seen(node, around, timedelta()), selector=_selector(node), is_named=_is_named(node))
        case promql_parser.MatrixSelector():
            inner = node.vector_selector
            yield replace(_seen(inner, around, node.range), selector=_selector(inner), is_named=_is_named(inner))
        case promql_parser.SubqueryExpr():
            yield from _walk(node.expr, _seen(node, around, node.range))
        case promql_parser.Call():
            # The second argument of info() is written like a selector, and is a filter.
            for argument in node.args[:1] if node.func.name == "info" else node.args:
                yield from _walk(argument, around)
        case promql_parser.BinaryExpr():
            yield from _walk(node.lhs, around)
            yield from _walk(node.rhs, around)
        case promql_parser.AggregateExpr():
            if isinstance(node.param, promql_parser.Expr):
                yield from _walk(node.param, around)
            yield from _walk(node.expr, around)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _walk(node.expr, around)


def _seen(node: Any, around: _Selection, reach: timedelta | None) -> _Selection:
    """What `node` sees within `around`. With @ it sees the same wherever it stands; start() and end() are the time of asking."""
    import promql_parser

    offset = node.offset or timedelta()
    if node.at is None:
        return _Selection("", around.at, around.offset + offset, around.reach + (reach or timedelta()))
    is_fixed = node.at.type == promql_parser.AtModifierType.At
    return _Selection("", node.at.at if is_fixed else None, offset, reach or timedelta())


def _newest(seen: _Selection) -> str:
    """The time of the newest sample of any series; that of an offset is told as if there were none.

    What lives has its time exactly. What is gone has a mark of its end (Prometheus writes one when a scrape fails, or lacks the series), and
    `timestamp()` sees it no more, though `rate()` does: so its last time is searched for in steps, and found a step too early at worst.
    """
    where = f" @ {seen.at.timestamp():.3f}" if seen.at else ""
    if seen.offset:
        where += f" offset {_duration(seen.offset)}"
    if not seen.is_named:
        found = _rungs(seen, where)
    else:
        steps = [(min(seen.reach, _FINE), min(seen.reach / 4, _FINE_STEP))] if seen.reach else []
        if seen.reach > _FINE:
            steps.append((seen.reach, max(seen.reach / _STEPS, _FINE_STEP)))
        found = [f"max(timestamp({seen.selector}{where}))"]
        found += [f"max(max_over_time(timestamp({seen.selector})[{_duration(reach)}:{_duration(step)}]{where}))" for reach, step in steps]
        if seen.offset and seen.at is None:
            found = [f"{part} + {seen.offset.total_seconds():.3f}" for part in found]
    return f"({' or '.join(found)})"


def _rungs(seen: _Selection, where: str) -> list[str]:
    """The same for a selector of several metrics. timestamp() drops their names, and fails if two differ in nothing else; so it is asked whether there is
    a sample within 15 s, 30 s, and so on, and the newest is told as old as that."""
    reach = max(seen.reach, _LOOKBACK).total_seconds()
    base = f"{seen.at.timestamp() - seen.offset.total_seconds():.3f}" if seen.at else "time()"
    rungs = [rung for rung in _RUNGS if rung < reach]
    return [f"{base} - {rung:.0f} * group(last_over_time({seen.selector}[{rung:.0f}s]{where}))" for rung in (*rungs, reach)]


def _plain(text: str) -> str | None:
    """The selector that `text` is; None if it is something else."""
    import promql_parser

    node = _read(text)
    if isinstance(node, promql_parser.VectorSelector) and node.offset is None and node.at is None:
        return _selector(node)
    return None


def _read(text: str, *, longest: int = MAX_QUERY) -> Any:
    """The tree of a query that gives a scalar or an instant vector."""
    if len(text) > longest:
        raise PromqlError(f"is longer than {longest} characters")
    if not text.strip():
        raise PromqlError("is empty")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise fault(text, exc.start, "this is no character") from None
    check_shape(text)
    node = _parse(text)
    if (kind := _kind(node)) not in ("scalar", "vector"):
        remedy = "; use a function over it, as rate()" if kind == "matrix" else ""
        raise PromqlError(f"gives {_KINDS[kind]}, not a number for each series{remedy}")
    _selections(node)
    return node


_KINDS: Final = {"matrix": "a range vector", "string": "a text"}


def _parse(text: str) -> Any:
    node, problem = _try(text)
    if problem:
        raise fault(text, place(text, lambda part: _try(part)[1]), problem)
    return node


def _try(text: str) -> tuple[Any, str]:
    """The tree, and empty; or None, and what is wrong."""
    # Here and not above: see the module's docstring.
    import promql_parser

    try:
        return promql_parser.parse(text), ""
    except Exception as exc:
        said = one_line(str(exc)) or "cannot be read"
        return None, _SAID.get(said, said)
    except BaseException as exc:
        # A panic of the library, which is no Exception to Python, and is one of its own to us.
        if type(exc).__module__ != "pyo3_runtime":
            raise
        return None, "cannot be read"


_SAID: Final = {"invalid promql query": "makes no sense here", "no expression found in input": "there is no expression"}
"""What the library says, in other words."""


def _kind(node: Any) -> str:
    """scalar, vector, matrix or string."""
    import promql_parser

    match node:
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return _kind(node.expr)
        case promql_parser.MatrixSelector() | promql_parser.SubqueryExpr():
            return "matrix"
        case promql_parser.StringLiteral():
            return "string"
        case promql_parser.NumberLiteral():
            return "scalar"
        case promql_parser.Call():
            return str(node.func.return_type).rpartition(".")[2].lower()
        case _:
            return "vector"


def _selector(node: Any) -> str:
    """A selector as text, written anew: the library's own text does not quote what it should."""
    if node.matchers.or_matchers:
        raise PromqlError("`or` between labels is no PromQL; write two selectors with `or` between them")
    name = node.name or ""
    matchers = [_matcher(matcher) for matcher in node.matchers.matchers if not (name and matcher.name == "__name__")]
    if name and not _NAME.fullmatch(name):
        matchers.insert(0, _quoted(name))
        name = ""
    return name + ("{" + ",".join(matchers) + "}" if matchers else "")


def _is_named(node: Any) -> bool:
    return bool(node.name) or any(_sign(one) == "=" and one.name == "__name__" and one.value for one in node.matchers.matchers)


def _matcher(matcher: Any) -> str:
    label = matcher.name if _LABEL.fullmatch(matcher.name) else _quoted(matcher.name)
    return label + _sign(matcher) + _quoted(matcher.value)


def _sign(matcher: Any) -> str:
    return _SIGNS[str(matcher.op).rpartition(".")[2]]


_SIGNS: Final = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(char if char >= " " else f"\\x{ord(char):02x}" for char in escaped) + '"'


def _duration(time: timedelta) -> str:
    milliseconds = round(time.total_seconds() * 1000) or 1
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
