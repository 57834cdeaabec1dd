"""One ClusterState in detail, for `cvstate status NAME`: what is applied, how well it is, what waits and why, what drifted, who fights, what became of revisions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cvstate_operator.api import restoring
from cvstate_operator.api.duration import human
from cvstate_operator.cli import budget_gate, layout, status_vital
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.gates import Reason
from cvstate_operator.plan.history import commit_of

DRIFTS: Final = 5
"""Drifted fields that are shown; `cvstate diff` shows all."""
REVISIONS: Final = 3
"""Revisions that are shown; `cvstate rollback --list` shows all."""
EVIDENCE: Final = 5
"""Lines that are shown of what spoke against a revision."""
EVENTS: Final = 10
SHORT_COMMIT: Final = 12
SHORT_DIGEST: Final = 19
"""Characters of a digest that are shown, its kind included: as in the Event `Applied`."""

TRUE_IS_GOOD: Final = {"True": "green", "False": "red", "Unknown": "yellow"}
TRUE_IS_BAD: Final = {"True": "red", "False": "green", "Unknown": "yellow"}
_BAD_CONDITIONS: Final = ("Drifted", "Stalled")
_SEVERITIES: Final = {"Critical": "bold red", "High": "red", "Medium": "yellow", "Low": "cyan"}
_OUTCOMES: Final = {"Healthy": "green", "Unhealthy": "red", "Applying": "yellow", "Applied": "yellow"}
_WAITING: Final = (
    ("create", "to create"),
    ("update", "to update"),
    ("recreate", "to delete and create anew"),
    ("prune", "to delete"),
    ("repair", "to put back"),
)


def shown(item: Mapping[str, Any], events: Sequence[Mapping[str, Any]], *, is_narrow: bool = False) -> RenderableType:
    """Everything about one ClusterState, what needs a person first.

    Args:
        item: as the API server gave it.
        events: about it.
        is_narrow: whether wide tables are told as blocks of lines.
    """
    state = item.get("status") or {}
    return Group(
        _head(item, state),
        *status_vital.pulls(item, is_narrow=is_narrow),
        Text(),
        *_conditions(item, state, is_narrow=is_narrow),
        *_waiting(item, state),
        *_problems(state),
        *status_vital.unready(item, is_narrow=is_narrow),
        *status_vital.signals(item, is_narrow=is_narrow),
        *status_vital.slos(item, is_narrow=is_narrow),
        *_drift(item, state, is_narrow=is_narrow),
        *_fights(item, state),
        *_quarantined(item, state),
        *_history(state, is_narrow=is_narrow),
        *_events(events, item),
    )


# -- the head ------------------------------------------------------------------------------------------------------


def _head(item: Mapping[str, Any], state: Mapping[str, Any]) -> Table:
    meta, git = item["metadata"], item["spec"]["source"]["git"]
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("ClusterState", f"{meta['namespace']}/{meta['name']}")
    for number, line in enumerate(status_vital.numbers(item)):
        head.add_row("" if number else "Score", line)
    for line in switches(item, state):
        head.add_row("Writes", line)
    head.add_row("Source", Text(f"{git['url']}  path {git.get('path', '.')}"))
    head.add_row("Newest", Text(_source_line(state)))
    if signed_by := state.get("source", {}).get("signedBy"):
        head.add_row("Signed by", Text(one_line(signed_by, 300)))
    for row in _revisions(state):
        head.add_row(*row)
    head.add_row("Objects", str(state.get("inventory", {}).get("objects", 0)))
    if render := state.get("render"):
        tool = f" by {render['tool']}" if render.get("tool") else ""
        head.add_row("Rendered", Text(f"{render['type']}{tool}, {render['digest'][:SHORT_DIGEST]}"))
        for warning in render.get("warnings", ()):
            head.add_row("", Text(one_line(warning, 1000), style="yellow"))
    return head


def switches(item: Mapping[str, Any], state: Mapping[str, Any]) -> list[Text]:
    """What keeps everything, or classes of changes, from being written."""
    spec, found = item["spec"], []
    if restoring.is_marked(item):
        found.append(Text("none, it is half restored, and nobody looks at it; if cvstate restore broke off, run it again", "red"))
    elif spec.get("suspend"):
        found.append(Text(f"none, it is suspended; go on with: {layout.command('resume', item)}", "yellow"))
    if spec.get("mode") == "Observe":
        found.append(Text("none, spec.mode is Observe", "yellow"))
    window = state.get("window")
    if window and window.get("blocks"):
        until = f" until {window['nextChange']}" if window.get("nextChange") else ""
        found.append(Text(f"window closed{until} for {', '.join(window['blocks'])}", "yellow"))
    elif window:
        until = f" until {window['nextChange']}" if window.get("nextChange") else ""
        found.append(Text(f"window open{until}", "green"))
    return found


def _source_line(state: Mapping[str, Any]) -> str:
    source = state.get("source")
    if not source:
        return "not read yet"
    followed = f"  by {source['ref']}" if source.get("ref", "").endswith(")") else ""
    return f"{source['revision']}{followed}  committed {layout.age(source['commitTime'])} ago"


def _revisions(state: Mapping[str, Any]) -> list[tuple[str, Text]]:
    """The revision that is applied; others only where they are others."""
    newest = state.get("source", {}).get("revision", "")
    attempted, applied, good = (state.get(f"last{which}Revision", "") for which in ("Attempted", "Applied", "Good"))
    found = []
    if attempted and attempted not in (newest, applied):
        found.append(("Working with", Text(attempted, "yellow")))
    found.append(("Applied", Text(applied or "nothing yet", "" if applied == newest else "yellow")))
    if good and good != applied:
        found.append(("Last good", Text(good)))
    return found


def _conditions(item: Mapping[str, Any], state: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    # Ready sums the others up; Stalled and Reconciling say the same once more.
    found = sorted(state.get("conditions", ()), key=lambda one: (one["type"] != "Ready", one["type"]))
    sums = {one["message"] for one in found if one["type"] == "Ready"}
    found = [
        {**one, "message": "as Ready" if one["type"] != "Ready" and one["message"] in sums else layout.said(one["message"], item)}
        for one in found
    ]
    if is_narrow:
        return [part for condition in found for part in _condition_block(condition)]
    table = layout.table(None, "CONDITION", "STATUS", "SINCE", "REASON")
    table.add_column("MESSAGE", overflow="fold")
    for condition in found:
        table.add_row(
            Text(one_line(condition["type"])),
            _condition_status(condition),
            layout.age(condition["lastTransitionTime"]),
            Text(one_line(condition["reason"])),
            Text(one_line(condition["message"], 1000)),
        )
    return [table]


def _condition_block(condition: Mapping[str, Any]) -> Iterable[RenderableType]:
    """One condition as a few lines."""
    message = Text(f"{one_line(condition['reason'])}: {one_line(condition['message'], 1000)}")
    return layout.block(
        layout.Entry(one_line(condition["type"]), _condition_status(condition), layout.age(condition["lastTransitionTime"]), (message,))
    )


def _condition_status(condition: Mapping[str, Any]) -> Text:
    colours = TRUE_IS_BAD if condition["type"] in _BAD_CONDITIONS else TRUE_IS_GOOD
    return Text(condition["status"], style=colours.get(condition["status"], ""))


# -- what is not as it should be -----------------------------------------------------------------------------------


def _waiting(item: Mapping[str, Any], state: Mapping[str, Any]) -> list[RenderableType]:
    plan, hold = state.get("plan"), budget_gate.hold(item)
    held: list[RenderableType] = []
    if hold:
        held = [
            Text.assemble(f"{short(hold.revision)}: ", (str(Reason.ERROR_BUDGET_BURNING), "yellow"), ", until the SLOs are met again"),
            Text.assemble("if it mends what burns, let it pass with: ", (layout.command("approve", item, "--fix"), "bold")),
        ]
    if not plan:
        return [Text("\nWaits", "bold yellow"), *held] if held else []
    counts = ", ".join(f"{plan[key]} {text}" for key, text in _WAITING if plan.get(key))
    lines = [Text("\nWaits", "bold yellow"), Text.assemble(f"{counts or 'changes'}: ", (plan["held"], "yellow"))]
    if digest := plan.get("digest"):
        lines.append(Text.assemble(f"{digest}\nlook at it, and approve it, with: ", (layout.command("approve", item), "bold")))
    return [*lines, *held]


def _problems(state: Mapping[str, Any]) -> list[RenderableType]:
    problems = state.get("problems")
    if not problems:
        return []
    table = layout.table("Problems", style="bold red")
    for column in ("REASON", "WHERE", "OBJECT"):
        table.add_column(column, overflow="fold")
    table.add_column("MESSAGE", overflow="fold", ratio=1)
    for problem in problems:
        where = problem.get("file", "") + (f" document {problem['document']}" if "document" in problem else "")
        table.add_row(
            problem["reason"], Text(one_line(where, 300)), Text(problem.get("object", "")), Text(one_line(problem["message"], 1000))
        )
    return [table]


def _drift(item: Mapping[str, Any], state: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    drift = state.get("drift")
    if not drift:
        return []
    title = f"Open drift: {layout.count(drift['fields'], 'field')} of {layout.count(drift['objects'], 'object')}"
    fields = drift["sample"][:DRIFTS]
    found: list[RenderableType]
    found = [Text(f"\n{title}", "bold red"), *map(_drift_block, fields)] if is_narrow else [_drift_table(title, fields)]
    more = drift["fields"] - len(fields)
    return [*found, *([Text(f"… and {more} more; see all of them with: {layout.command('diff', item)}", "dim")] if more > 0 else [])]


def _drift_block(field: Mapping[str, Any]) -> Text:
    """One drifted field as three lines."""
    live, desired = _values(field)
    what = "changed" if not field["path"] else Text.assemble((live, "red"), " instead of ", (desired or "(none)", "green"))
    who = f", by {one_line(field['manager'])}" if field.get("manager") else ""
    return Text.assemble(
        (field["object"], "bold"),
        f"\n  {field['path'] or 'as a whole'}: ",
        what,
        who,
        "\n  ",
        (field["severity"], _SEVERITIES.get(field["severity"], "")),
        f", {field['state']}, for {layout.age(field['since'])}",
    )


def _values(field: Mapping[str, Any]) -> tuple[str, str]:
    """What is there, and what should be; empty for an object as a whole."""
    return one_line(field.get("live", "" if not field["path"] else "(gone)")), one_line(field.get("desired", ""))


def _drift_table(title: str, fields: Sequence[Mapping[str, Any]]) -> Table:
    table = layout.table(title, style="bold red")
    for column in ("OBJECT", "FIELD", "LIVE", "DESIRED", "WRITTEN BY"):
        table.add_column(column, overflow="fold")
    for column in ("SEVERITY", "STATE", "SINCE"):
        table.add_column(column, no_wrap=True)
    for field in fields:
        live, desired = _values(field)
        table.add_row(
            Text(field["object"]),
            Text(field["path"] or "as a whole"),
            Text(live, "red"),
            Text(desired, "green"),
            Text(one_line(field.get("manager", ""))),
            Text(field["severity"], _SEVERITIES.get(field["severity"], "")),
            Text(field["state"]),
            Text(layout.age(field["since"])),
        )
    return table


def _fights(item: Mapping[str, Any], state: Mapping[str, Any]) -> list[RenderableType]:
    """Fields that are repaired and changed back again and again."""
    fights = state.get("breakers")
    if not fights:
        return []
    table = layout.table("Fights", style="bold red")
    for column in ("OBJECT", "FIELD", "RIVAL"):
        table.add_column(column, overflow="fold")
    for column in ("REPAIRED", "NOW"):
        table.add_column(column, no_wrap=True)
    for fight in fights:
        opened = fight.get("openedAt")
        table.add_row(
            Text(one_line(fight["object"], 300)),
            Text(one_line(fight["path"], 300) or "as a whole"),
            Text(one_line(fight.get("manager", ""))),
            # Of a field that is left alone the repairs before are not kept.
            Text(f"{len(repairs)} times" if (repairs := fight.get("repairs")) else "not counted"),
            Text(f"left alone since {layout.age(opened)}", "yellow") if opened else Text("still repaired"),
        )
    if not any(fight.get("openedAt") for fight in fights):
        return [table]
    return [
        table,
        Text(
            f"stop one of the two writers; what is left alone is tried once more now with: {layout.command('reconcile', item)} --reset",
            "dim",
        ),
    ]


# -- revisions -----------------------------------------------------------------------------------------------------


def _quarantined(item: Mapping[str, Any], state: Mapping[str, Any]) -> list[RenderableType]:
    quarantined = state.get("quarantined")
    if not quarantined:
        return []
    table = layout.table("Quarantined", style="bold red")
    table.add_column("REVISION", no_wrap=True)
    table.add_column("WHY", overflow="fold", ratio=1)
    for one in quarantined:
        table.add_row(Text(short(one["revision"])), Text(one_line(_why(one, state), 500)))
    return [table, Text(f"give it another try with: {layout.command('rollback', item)} --undo", "dim")]


def _why(quarantined: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Why a revision is quarantined; without the evidence if the history below shows that."""
    message, commit = str(quarantined.get("message", "")), commit_of(quarantined["revision"])
    is_below = any(entry.get("evidence") and commit_of(entry["revision"]) == commit for entry in (state.get("history") or ())[:REVISIONS])
    return message.partition(": ")[0] if commit and is_below else message


def _history(state: Mapping[str, Any], *, is_narrow: bool) -> list[RenderableType]:
    history = state.get("history")
    if not history:
        return []
    table = layout.table("History", "REVISION", "OUTCOME", "BEGUN", "TOOK", *(() if is_narrow else ("DIGEST",)))
    for entry in history[:REVISIONS]:
        seconds = entry.get("durationSeconds")
        table.add_row(
            Text(short(entry["revision"])),
            Text(entry["outcome"], _OUTCOMES.get(entry["outcome"], "")),
            f"{layout.age(entry['startedAt'])} ago",
            human(seconds) if seconds is not None else "",
            *(() if is_narrow else (one_line(entry.get("digest", ""))[:SHORT_DIGEST],)),
        )
    return [table, *(line for entry in history[:REVISIONS] for line in _evidence(entry))]


def _evidence(entry: Mapping[str, Any]) -> list[RenderableType]:
    """What spoke against a revision that was given up."""
    evidence = entry.get("evidence")
    if not evidence:
        return []
    lines = [Padding(Text(one_line(line, 500)), (0, 0, 0, 2), expand=False) for line in evidence[:EVIDENCE]]
    more = [Text(f"  … and {len(evidence) - EVIDENCE} more", "dim")] if len(evidence) > EVIDENCE else []
    return [Text(f"\n{short(entry['revision'])} was given up, since", "red"), *lines, *more]


def _events(events: Sequence[Mapping[str, Any]], item: Mapping[str, Any]) -> list[RenderableType]:
    if not events:
        return []
    table = layout.table("Latest events", "AGE", "TYPE", "REASON")
    table.add_column("MESSAGE", overflow="fold", ratio=1)
    for event in sorted(events, key=lambda e: e.get("eventTime") or "")[-EVENTS:]:
        moment = event.get("eventTime") or event["metadata"]["creationTimestamp"]
        table.add_row(layout.age(moment), event["type"], event["reason"], Text(one_line(layout.said(event.get("note", ""), item), 1000)))
    return [table]


# -- words ---------------------------------------------------------------------------------------------------------


def short(revision: str) -> str:
    """A revision with a short commit: `main@4c1f03a9be12`."""
    ref, found, commit = revision.rpartition("sha1:")
    return f"{ref}{commit[:SHORT_COMMIT]}" if found else revision[:SHORT_COMMIT] if len(revision) == 40 else revision
