"""The tree of `cvstate tree`, for people and for programs."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from rich.text import Text

from cvstate_operator.api.duration import human
from cvstate_operator.cli.status_detail import short
from cvstate_operator.cli.tree_load import Degraded, Loaded
from cvstate_operator.cli.tree_nodes import Node, count
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.facts.moments import moment
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.health.state import Status

ALIKE: Final = 10
"""Objects of a kind below one object that are shown; of a DaemonSet's 500 Pods nobody reads more. JSON has all."""
COLOURS: Final = {
    Status.CURRENT: "green",
    Status.IN_PROGRESS: "yellow",
    Status.FAILED: "bold red",
    Status.TERMINATING: "magenta",
    Status.UNKNOWN: "yellow",
}
_STATUS_CHARACTERS: Final = max(map(len, Status))
_AGE_CHARACTERS: Final = len("23 h 59 m")
_GAP: Final = "  "
"""Between columns."""
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"
"""In a time, while lines are wrapped: `1 m 5 s` stays on one line."""
_LEAST_WHY_CHARACTERS: Final = 30
"""Narrower than this no sentence is wrapped."""


class Guides(NamedTuple):
    """What draws a tree; each of three characters."""

    branch: str
    last: str
    """The last branch."""
    way: str
    """On to the next branch."""
    nothing: str


UNICODE: Final = Guides("├─ ", "└─ ", "│  ", "   ")
ASCII: Final = Guides("|- ", "`- ", "|  ", "   ")

# -- for people ----------------------------------------------------------------------------------------------------


def as_text(
    loaded: Loaded, nodes: Sequence[Node], shown: Sequence[Node], *, width: int, now: datetime, guides: Guides = UNICODE
) -> list[Text]:
    """Line by line. Names are never cut or wrapped; what does not fit beside one stands below it.

    Args:
        loaded: what was found, for the first and the last lines.
        nodes: all of it, to be counted.
        shown: those of it that are shown.
        width: characters of a line.
        now: UTC; ages are told from it.
        guides: for a terminal that has line drawing or not.
    """
    drawn = [line for node in shown for line in _drawn(node, loaded.namespace, guides)]
    room = width - _STATUS_CHARACTERS - _AGE_CHARACTERS - 2 * len(_GAP)
    # A name that is too long for a column does not make the way to the next one longer for all others.
    column = max((len(line.head) for line in drawn if len(line.head) <= room), default=0)
    return [
        _first_line(loaded, nodes),
        *(text for line in drawn for text in _texts(line, column, loaded.degraded, width=width, now=now)),
        Text(),
        *(Text(f"{one.kind}: {one_line(one.message, 1000)}", "yellow") for one in loaded.unseen),
        *_settling(loaded, nodes, now),
        _last_line(loaded, nodes),
    ]


def _first_line(loaded: Loaded, nodes: Sequence[Node]) -> Text:
    below = count(nodes).total() - len(nodes)
    made = f", {_count(below, 'object')} below them" if below else ""
    revision = short(one_line(loaded.revision)) or "nothing applied yet"
    return Text.assemble(
        (f"{loaded.namespace}/{loaded.name}", "bold"), _GAP, (revision, "bold"), f"{_GAP}{_count(len(nodes), 'object')}{made}"
    )


def _settling(loaded: Loaded, nodes: Sequence[Node], now: datetime) -> Iterator[Text]:
    """Members that are Current, but were so for too short a time to count as ready."""
    for node in nodes:
        if node.is_current and (told := loaded.degraded.get(str(node.ref))):
            name = _name(node.ref, loaded.namespace)
            yield Text(f"{name} counts as Degraded{_for(told.since, now)}: {one_line(told.message, 1000)}", "yellow")


def _last_line(loaded: Loaded, nodes: Sequence[Node]) -> Text:
    """What it comes to; no more than is known."""
    found = count(nodes)
    if bad := ", ".join(f"{found[status]} {status}" for status in Status if status is not Status.CURRENT and found[status]):
        return Text(f"{_count(found.total(), 'object')}: {bad}, {found[Status.CURRENT]} Current.", "bold")
    if not nodes:
        return Text("No objects.", "yellow")
    if loaded.unseen:
        return Text("Everything that could be looked at is Current.", "yellow")
    return Text(f"All {found.total()} objects are Current." if found.total() > 1 else "It is Current.", "green")


# -- lines ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """One object, before the width of the columns is known."""

    prefix: str
    """Guides before the name."""
    name: str
    """Or a remark, if there is no node."""
    node: Node | None
    indent: str
    """Guides before what stands below it."""

    @property
    def head(self) -> str:
        """The first column."""
        return self.prefix + self.name


def _drawn(node: Node, namespace: str, guides: Guides, prefix: str = "", indent: str = "") -> Iterator[_Line]:
    """The lines of an object and of all below it.

    Args:
        node: the object.
        namespace: that need not be told.
        guides: see there.
        prefix: guides before its name.
        indent: guides before the names below it, without their own.
    """
    yield _Line(prefix, _name(node.ref, namespace), node, indent + (guides.way if node.children else guides.nothing))
    rows = list(_rows(node.children))
    for number, row in enumerate(rows, 1):
        branch, on = (guides.last, guides.nothing) if number == len(rows) else (guides.branch, guides.way)
        if isinstance(row, Node):
            yield from _drawn(row, namespace, guides, indent + branch, indent + on)
        else:
            yield _Line(indent + branch, row, None, indent + on)


def _rows(siblings: Iterable[Node]) -> Iterator[Node | str]:
    """The objects that are shown, and remarks about others. Of very many of a kind the first are, those before all others that are not Current."""
    by_kind: dict[str, list[Node]] = {}
    for node in siblings:
        by_kind.setdefault(str(node.ref.group_kind), []).append(node)
    for alike in by_kind.values():
        first = alike if len(alike) <= ALIKE else sorted(alike, key=lambda node: node.is_well)
        yield from first[:ALIKE]
        if rest := first[ALIKE:]:
            statuses = Counter(node.readiness.status for node in rest)
            counted = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
            yield f"and {len(rest)} more {rest[0].ref.kind}s: {counted}"


def _name(ref: ObjectRef, namespace: str) -> str:
    """`Deployment/api`; with the namespace if it is another one, and with the group where the kind is not one of Kubernetes."""
    kind = ref.kind if ref.group_kind.is_built_in else str(ref.group_kind)
    return one_line("/".join(filter(None, (kind, "" if ref.namespace == namespace else ref.namespace, ref.name))), 1000)


def _texts(line: _Line, column: int, degraded: Mapping[str, Degraded], *, width: int, now: datetime) -> Iterator[Text]:
    """The line itself, and those below it that say why."""
    head, node, indent = Text.assemble((line.prefix, "dim"), line.name), line.node, Text(line.indent, "dim")
    if node is None:
        yield head
        return
    status, made = node.readiness.status, moment(node.created_at)
    beside = Text.assemble((status.ljust(_STATUS_CHARACTERS), COLOURS[status]), _GAP, (_span(made, now) if made else "", "dim"))
    if len(head) + len(_GAP) + len(beside) <= width:
        yield Text.assemble(head, " " * (column - len(head)), _GAP, beside)
    else:
        yield head
        yield Text.assemble(indent, beside)
    room = max(width - len(indent), _LEAST_WHY_CHARACTERS)
    is_bad = status is Status.FAILED or str(node.ref) in degraded
    for why in _why(node, degraded, now):
        for part in textwrap.wrap(why, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False):
            yield Text.assemble(indent, (part.replace(_NO_BREAK, " "), "" if is_bad else "dim"))


def _why(node: Node, degraded: Mapping[str, Degraded], now: datetime) -> Sequence[str]:
    if node.is_current:
        return ()
    found = [_told(child, now) for child in node.why] or [node.readiness.message]
    told = degraded.get(str(node.ref)) if node.readiness.status is not Status.FAILED else None
    return [f"Degraded{_for(told.since, now)}: {found[0]}", *found[1:]] if told else found


def _for(since: str, now: datetime) -> str:
    """`` for 5 m``; empty if it is not known since when."""
    began = moment(since)
    return f" for {_span(began, now)}" if began else ""


def _told(child: Child, now: datetime) -> str:
    """What is wrong with a Pod or a container of it, with its times: `container main: CrashLoopBackOff for 5 m, 7 restarts: ends with …`."""
    since, ended = (_span(when, now).replace(" ", _NO_BREAK) if when else "" for when in (child.since, child.ended_at))
    where = f"{child.role} {child.container}: " if child.container else ""
    latest = f", last end {ended} ago" if ended else ""
    restarts = f", {_count(child.restarts, 'restart')}{latest}" if child.restarts else ""
    return f"{where}{child.reason}{f' for {since}' if since else ''}{restarts}" + (f": {child.message}" if child.message else "")


def _span(since: datetime, now: datetime) -> str:
    """How long ago that was, in whole seconds or more."""
    seconds = max(0, round((now - since).total_seconds()))
    return f"{seconds} s" if seconds < 10 else human(seconds)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# -- for programs --------------------------------------------------------------------------------------------------


def as_json(loaded: Loaded, nodes: Sequence[Node], shown: Sequence[Node]) -> dict[str, Any]:
    """See docs/cli.md; keys are only ever added.

    Args:
        loaded: what was found.
        nodes: all of it, to be counted.
        shown: those of it that are shown.
    """
    return {
        "clusterState": f"{loaded.namespace}/{loaded.name}",
        "revision": loaded.revision,
        "objects": len(nodes),
        "statuses": {status.value: number for status, number in sorted(count(nodes).items())},
        "tree": [_node_json(node, loaded.degraded) for node in shown],
        "notListed": [{"kind": str(one.kind), "message": one.message} for one in loaded.unseen],
    }


def _node_json(node: Node, degraded: Mapping[str, Degraded]) -> dict[str, Any]:
    told = degraded.get(str(node.ref))
    return {
        "object": str(node.ref),
        "status": node.readiness.status.value,
        "reason": node.readiness.reason.value,
        "message": node.readiness.message,
        "createdAt": node.created_at,
        **({"degradedSince": told.since} if told else {}),
        **({"why": [_child_json(child) for child in node.why]} if node.why else {}),
        **({"children": [_node_json(child, degraded) for child in node.children]} if node.children else {}),
    }


def _child_json(child: Child) -> dict[str, Any]:
    told = {
        "container": child.container or None,
        "role": child.role or None,
        "since": _rfc3339(child.since),
        "endedAt": _rfc3339(child.ended_at),
        "restarts": child.restarts or None,
    }
    return {"reason": child.reason, "message": child.message, **{key: value for key, value in told.items() if value is not None}}


def _rfc3339(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
