"""How a plan is shown: as text for a terminal, as JSON for programs (docs/cli.md describes it), as Markdown for a comment in a pull request."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from cvstate_operator.cli.plan.result import Entry, Field, Plan
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.redaction import as_text as value_text
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.changes import Action

MAX_MARKDOWN: Final = 60_000
"""Characters; GitHub takes comments of 65,536."""
_SHORT_COMMIT: Final = 12
"""As `git log --abbrev=12` for large repositories."""


class _Look(NamedTuple):
    sign: str
    style: str
    done: str
    """As in `2 to create`."""


_LOOKS: Final = {
    Action.CREATE: _Look("+", "green", "to create"),
    Action.UPDATE: _Look("~", "yellow", "to update"),
    Action.REPAIR: _Look("~", "cyan", "to repair"),
    Action.RECREATE: _Look("±", "magenta", "to delete and create anew"),
    Action.PRUNE: _Look("-", "red", "to delete"),
}


_LINE_STYLES: Final = {"+": "green", "-": "red"}


def show(plan: Plan, output: Literal["text", "json", "markdown"]) -> None:
    """Print the plan."""
    if output == "json":
        typer.echo(json.dumps(as_json(plan), indent=2))
    elif output == "markdown":
        typer.echo(as_markdown(plan))
    else:
        console = Console()
        for line in as_text(plan):
            console.print(line, soft_wrap=True)


# -- text ----------------------------------------------------------------------------------------------------------


def as_text(plan: Plan) -> Iterable[Text]:
    """Line by line."""
    yield Text.assemble((plan.state, "bold"), f"  {plan.ref}  ", (short(plan.revision), "bold"), f"  {_objects(plan.objects)}")
    for block, actions in plan.gates:
        yield Text(f"held  {', '.join(actions)}: {one_line(block.message, 1000)}", "yellow")
    for warning in plan.warnings:
        yield Text(f"note  {one_line(warning, 1000)}", "yellow")
    yield Text()
    for entry in plan.entries:
        yield from _entry_lines(entry)
    yield from _kept_lines(plan)
    yield from _problem_lines(plan.problems)
    yield from _reasons(plan)
    yield Text(summary(plan), "bold" if plan.entries else "green")


def _entry_lines(entry: Entry) -> Iterable[Text]:
    look = _LOOKS[entry.action]
    line = Text.assemble((f"{look.sign} {entry.action.value:8} ", look.style), (one_line(str(entry.ref), 300), "bold"))
    if entry.file:
        line.append(f"  {_place(entry.file, entry.document)}", "dim")
    if entry.held:
        line.append("  held", "yellow")
    yield line
    if entry.note:
        yield Text(f"    {one_line(entry.note, 1000)}", "dim")
    width = min(60, max((len(field.shown) for field in entry.fields), default=0))
    for field in entry.fields:
        yield field_line(field, width)
        for changed in field.lines:
            yield Text(f"      {changed}", _LINE_STYLES.get(changed[:1], "dim"))
    if entry.more:
        yield Text(f"    … and {entry.more} more fields", "dim")


def field_line(field: Field, width: int) -> Text:
    """One field: what is there, and what would be."""
    if not field.path:
        gone = f"changed inside a field that is ours as a whole, last written by {field.manager}" if field.after is None else "is gone"
        return Text(f"    {gone}", "red")
    line = Text(f"    {field.shown:{width}}  ")
    if field.lines:
        return line
    if field.before is not None:
        line.append(value_text(field.before), "red")
    line.append(" → " if field.before is not None and field.after is not None else "")
    if field.after is not None:
        line.append(("+ " if field.before is None else "") + value_text(field.after), "green")
    else:
        line.append("  removed", "red")
    if field.manager and field.manager != "cvstate-operator":
        line.append(f"  {field.manager}{f' since {field.since}' if field.since else ''}", "dim")
    return line


def _kept_lines(plan: Plan) -> Iterable[Text]:
    for kept in plan.kept:
        for ref in kept.refs:
            yield Text.assemble(("= keep     ", "dim"), one_line(str(ref), 300))
        yield Text(f"    left Git and stays: {one_line(kept.by, 1000)}", "dim")


def _problem_lines(problems: Sequence[Problem]) -> Iterable[Text]:
    for problem in problems:
        yield Text.assemble(
            ("! problem  ", "bold red"),
            (one_line(problem.object or problem.file, 300), "bold"),
            f"  {_place(problem.file, problem.document)}",
        )
        # Many messages name the field themselves.
        field = f"{one_line(problem.field, 200)}: " if problem.field and problem.field not in problem.message else ""
        yield Text.assemble("    ", (problem.reason, "red"), f"  {field}{one_line(problem.message, 1000)}")


def _reasons(plan: Plan) -> Iterable[Text]:
    """Why objects are held, each reason once; those of gates stand at the top."""
    if plan.entries or plan.problems or plan.kept:
        yield Text()
    told = {block.message for block, _ in plan.gates}
    for reason, count in Counter(entry.held for entry in plan.entries if entry.held and entry.held not in told).items():
        yield Text(f"held  {_objects(count)}: {one_line(reason, 1000)}", "yellow")


def summary(plan: Plan) -> str:
    """One line that says it all."""
    parts = [f"{count} {_LOOKS[Action(action)].done}" for action, count in plan.counts.items() if count]
    if plan.held:
        parts.append(f"{plan.held} of them held")
    if plan.problems:
        parts.append(f"{len(plan.problems)} {'problem' if len(plan.problems) == 1 else 'problems'}")
    return f"Plan: {', '.join(parts)}." if parts else "Nothing to do: the cluster is as the commit declares."


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"


def short(revision: str) -> str:
    """A revision with a short commit."""
    return re.sub(r"(?<=sha1:)([0-9a-f]{40})", lambda found: found[1][:_SHORT_COMMIT], revision)


def _place(file: str, document: int) -> str:
    return one_line(file, 200) + (f" document {document}" if document > 1 else "")


# -- JSON ----------------------------------------------------------------------------------------------------------


def as_json(plan: Plan) -> dict[str, Any]:
    """See docs/cli.md; keys are only ever added."""
    return {
        "clusterState": plan.state,
        "ref": plan.ref,
        "revision": plan.revision,
        "objects": plan.objects,
        "counts": {**plan.counts, "held": plan.held, "problems": len(plan.problems)},
        "changes": [_entry_json(entry) for entry in plan.entries],
        "kept": [{"object": str(ref), "by": kept.by} for kept in plan.kept for ref in kept.refs],
        "problems": [problem_json(problem) for problem in plan.problems],
        "gates": [{"reason": block.reason.value, "message": block.message, "actions": list(actions)} for block, actions in plan.gates],
        "warnings": list(plan.warnings),
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    told = {"held": entry.held, "note": entry.note, "file": entry.file, "document": entry.document, "moreFields": entry.more}
    return {
        "action": entry.action.value,
        "object": str(entry.ref),
        **{key: value for key, value in told.items() if value},
        "fields": [field_json(field) for field in entry.fields],
    }


def field_json(field: Field) -> dict[str, Any]:
    """One field; what is not known is left out."""
    told: Mapping[str, Any] = {
        "before": field.before,
        "after": field.after,
        "manager": field.manager or None,
        "since": field.since or None,
    }
    lines = {"lines": list(field.lines)} if field.lines else {}
    return {"path": field.path, "shown": field.shown, **{key: value for key, value in told.items() if value is not None}, **lines}


def problem_json(problem: Problem) -> dict[str, Any]:
    """With the keys of `status.problems`."""
    told = {"file": problem.file, "document": problem.document, "object": problem.object, "field": problem.field}
    return {"reason": problem.reason, "message": problem.message, **{key: value for key, value in told.items() if value}}


# -- Markdown ------------------------------------------------------------------------------------------------------


def as_markdown(plan: Plan) -> str:
    """A table, and the details folded away; what does not fit is counted."""
    head = [f"### cvstate plan: {_code(plan.state)} at {_code(short(plan.revision))}", "", summary(plan), ""]
    for block, actions in plan.gates:
        head.append(f"> **Held** ({', '.join(actions)}): {_plain(block.message)}")
    told = {block.message for block, _ in plan.gates}
    for reason, count in Counter(entry.held for entry in plan.entries if entry.held and entry.held not in told).items():
        head.append(f"> **Held** ({_objects(count)}): {_plain(reason)}")
    head += [f"> **Note**: {_plain(warning)}" for warning in plan.warnings]
    rows = [
        f"| {entry.action.value} | {_code(str(entry.ref))} | {len(entry.fields) + entry.more or ''} | {_code(entry.file) if entry.file else ''} | {'held' if entry.held else ''} |"
        for entry in plan.entries
    ]
    rows += [
        f"| **problem** | {_code(problem.object or '-')} | | {_code(problem.file) if problem.file else ''} | {problem.reason}: {_plain(problem.message)} |"
        for problem in plan.problems
    ]
    table = ["", "| action | object | fields | file | |", "|---|---|---|---|---|"] if rows else []
    text, left = _fitting(["\n".join([*head, *table])], rows, "\n", MAX_MARKDOWN // 2)
    more = f"\n\n… and {left} more; see `cvstate plan`" if left else ""
    details = [_details(entry) for entry in plan.entries if entry.fields or entry.note]
    whole, hidden = _fitting([text + more], details, "\n\n", MAX_MARKDOWN)
    return whole + (f"\n\n… details of {hidden} more objects are left out; see `cvstate plan`" if hidden else "")


def _fitting(parts: list[str], more: Sequence[str], glue: str, limit: int) -> tuple[str, int]:
    """As many as fit, and how many do not."""
    size = sum(map(len, parts))
    for number, part in enumerate(more):
        size += len(part) + len(glue)
        if size > limit:
            return glue.join(parts), len(more) - number
        parts.append(part)
    return glue.join(parts), 0


def _details(entry: Entry) -> str:
    lines = [f"! {one_line(entry.note, 500)}"] if entry.note else []
    for field in entry.fields:
        held = (
            f"  ({field.manager}{f' since {field.since}' if field.since else ''})" if field.manager not in ("", "cvstate-operator") else ""
        )
        if not field.path:
            lines.append(f"@@ {field_line(field, 0).plain.strip()} @@")
            continue
        lines.append(f"@@ {field.shown}{held} @@")
        if field.lines:
            lines += field.lines
            continue
        lines += [f"- {value_text(field.before)}"] if field.before is not None else []
        lines += [f"+ {value_text(field.after)}"] if field.after is not None else []
    if entry.more:
        lines.append(f"! and {entry.more} more")
    body = "\n".join(lines)
    # Longer than any run of backticks in it, so that nothing in it can end the block.
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", body)), default=0) + 1)
    title = f"{entry.action.value} <code>{_html(str(entry.ref))}</code>"
    return f"<details><summary>{title}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _code(text: str) -> str:
    return f"`{one_line(text, 300).replace('`', '´').replace('|', chr(92) + '|')}`"


def _plain(text: str) -> str:
    """Foreign text that is no markup: an @ names nobody, a # links nothing."""
    return re.sub(r"([\\`*_{}\[\]<>#@|!~])", r"\\\1", one_line(text, 500)).replace("\\@", "@\u200b")


def _html(text: str) -> str:
    return one_line(text, 300).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
