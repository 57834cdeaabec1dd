"""`cvstate diff`: which fields are not as declared now, and who wrote them."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.cli import lookup
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption
from cvstate_operator.objects.redaction import as_text as value_text
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.cli.plan.bench import Tell
    from cvstate_operator.cli.plan.survey import Drifted, Found
    from cvstate_operator.kube.client import Client

NAMED: Final = 3
"""Objects that are named of those that share a reason; the rest is counted."""
LISTED: Final = 100
"""Objects that were not compared, or are left alone, in JSON; `objects` counts all of them."""
_SEVERITY_COLOURS: Final = {"Critical": "bold red", "High": "red", "Medium": "yellow", "Low": "cyan"}


def diff(
    name: NameArgument,
    namespace: NamespaceOption = None,
    object_: Annotated[
        str | None, typer.Option("--object", help="Only objects of this kind and name, as in Deployment/api.", metavar="KIND/NAME")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="json: for programs.")] = "text",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show drift: every field that is not as the applied commit declares, who wrote it and when, and what is done about it.

    Looks at the cluster now, with your own rights. Values of Secrets are not shown. What cannot be compared is told, and why.

    Ends with 0 if everything was compared and nothing drifted, with 1 if something did or could not be compared, with 2 on an error.

    Examples:

      cvstate diff shop -n team-a

      cvstate diff shop -n team-a --object Deployment/api

      cvstate diff shop -n team-a -o json
    """
    from cvstate_operator.cli.plan.progress import Bar

    if object_ is not None and not all(object_.rpartition("/")[::2]):
        raise errors.SettingsError("--object must be KIND/NAME, as in Deployment/api")
    namespace = chosen_namespace(namespace, kubeconfig, context)
    with Bar() as bar:
        found = with_client(kubeconfig, context, lambda client: _diff(client, namespace, name, wanted=object_, tell=bar))
    if output == "json":
        typer.echo(json.dumps(as_json(found), indent=2))
    else:
        console = Console()
        for line in as_text(found):
            console.print(line, soft_wrap=True)
    if found.fields or not found.is_whole:
        raise typer.Exit(1)


async def _diff(client: "Client", namespace: str, name: str, *, wanted: str | None, tell: "Tell") -> "Found":
    from cvstate_operator.cli.plan.bench import Bench
    from cvstate_operator.cli.plan.survey import survey

    state = await lookup.cluster_state(client, namespace, name)
    async with Bench(client, state, tell) as bench:
        return await survey(bench, wanted)


# -- presentation --------------------------------------------------------------------------------------------------


def as_text(found: "Found") -> Iterable[Text]:
    """Line by line, grouped by object; what could not be compared by its reason."""
    from cvstate_operator.cli.plan.report import short

    yield Text.assemble((found.state, "bold"), "  ", (short(found.revision), "bold"), f"  {found.objects} objects")
    yield Text()
    before = ""
    for field in found.fields:
        if field.object != before:
            yield Text(one_line(field.object, 300), "bold")
            before = field.object
        yield from _lines(field)
    if found.fields:
        yield Text()
    if found.unseen:
        yield Text(f"Not looked at, since your user may not read them: {_named(found.unseen)}", "yellow")
    if found.exempt:
        yield Text(f"Left as they are, as their annotations ask: {_named(found.exempt)}", "yellow")
    yield from _uncompared(found)
    yield _summary(found)


def _uncompared(found: "Found") -> Iterable[Text]:
    if not found.uncompared:
        return
    by_reason: dict[str, list[tuple[str, str]]] = {}
    for one in found.uncompared:
        by_reason.setdefault(one.reason, []).append((one.object, one.message))
    yield Text("Not compared, since they are not in the cluster as this revision has them:", "bold yellow")
    for reason, members in by_reason.items():
        yield Text(f"  {reason}  {_named([name for name, _ in members])}", "yellow")
        yield Text(f"    {one_line(members[0][1], 1000)}", "dim")
    if any(field.object == one.object for field in found.fields for one in found.uncompared):
        yield Text("  Of these, declared fields that somebody else changed are told above.", "dim")
    yield Text()


def _summary(found: "Found") -> Text:
    """One line that says no more than is known."""
    left = len(found.uncompared) + len(found.unseen)
    beside = f"; {_count(left, 'object')} could not be compared" if left else ""
    if found.fields:
        objects = len({field.object for field in found.fields})
        return Text(f"{_count(len(found.fields), 'field')} of {_count(objects, 'object')} drifted{beside}.", "bold")
    if left:
        return Text(
            f"No drift in {_count(found.compared, 'object')}{beside}." if found.compared else f"Nothing is known{beside}.", "yellow"
        )
    if found.exempt:
        return Text("No drift: every field of the other objects is as declared.", "green")
    return Text("No drift: every field is as declared.", "green")


def _named(objects: Sequence[str]) -> str:
    """How many, and the first of them."""
    more = f" and {len(objects) - NAMED} more" if len(objects) > NAMED else ""
    return f"{_count(len(objects), 'object')} ({', '.join(one_line(name, 300) for name in objects[:NAMED])}{more})"


def _lines(field: "Drifted") -> Iterable[Text]:
    if field.path:
        yield Text.assemble("  ", (one_line(field.path, 500), "cyan"))
        yield Text.assemble("    live     ", (value_text(field.live), "red") if field.live is not None else ("(gone)", "red"))
        yield Text.assemble("    desired  ", (value_text(field.desired), "green") if field.desired is not None else ("(none)", "green"))
    else:
        yield Text("  is not there" if field.is_gone else "  changed inside a field that is ours as a whole", "red")
    if field.manager:
        at = f" at {field.written_at}" if field.written_at else ""
        yield Text(f"    written  by {field.manager}{at}", "dim")
    seen = f", first seen {field.first_seen}" if field.first_seen else ""
    severity = (field.severity, _SEVERITY_COLOURS.get(field.severity, ""))
    yield Text.assemble("    state    ", field.state, " (", severity, f", {field.action}){seen}")
    if field.why:
        yield Text(f"    why      {one_line(field.why, 1000)}", "yellow")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(found: "Found") -> dict[str, Any]:
    """See docs/cli.md; keys are only ever added."""
    return {
        "clusterState": found.state,
        "revision": found.revision,
        "objects": found.objects,
        "compared": found.compared,
        "drifted": {"objects": len({field.object for field in found.fields}), "fields": len(found.fields)},
        "fields": [_field_json(field) for field in found.fields],
        "notCompared": {
            "objects": len(found.uncompared),
            "sample": [{"object": one.object, "reason": one.reason, "message": one.message} for one in found.uncompared[:LISTED]],
        },
        "notApplied": found.not_applied,
        "leftAlone": {"objects": len(found.exempt), "sample": list(found.exempt[:LISTED])},
        "notReadable": list(found.unseen),
    }


def _field_json(field: "Drifted") -> dict[str, Any]:
    told = {
        "live": field.live,
        "desired": field.desired,
        "manager": field.manager or None,
        "writtenAt": field.written_at or None,
        "firstSeen": field.first_seen or None,
    }
    return {
        "object": field.object,
        "path": field.path,
        **({"gone": True} if field.is_gone else {}),
        **{key: value for key, value in told.items() if value is not None},
        "severity": field.severity,
        "action": field.action,
        "state": field.state,
        **({"why": field.why} if field.why else {}),
    }
