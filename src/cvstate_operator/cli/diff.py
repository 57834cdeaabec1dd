"""`cvstate diff`: which fields are not as declared now, and who wrote them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.cli import lookup
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption
from cvstate_operator.objects.redaction import as_text as value_text
from cvstate_operator.objects.redaction import disclosed, one_line

if TYPE_CHECKING:
    from cvstate_operator.cli.plan.bench import Bench, Tell
    from cvstate_operator.cli.plan.compare import Comparison
    from cvstate_operator.drift.ledger import Entry
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.identity import ObjectRef
    from cvstate_operator.plan.changes import Change

_SEVERITY_COLOURS: Final = {"Critical": "bold red", "High": "red", "Medium": "yellow", "Low": "cyan"}


@dataclass(frozen=True, slots=True)
class Drifted:
    """One field that is not as declared; values masked in Secrets."""

    object: str
    path: str
    """JSON pointer; empty for the object as a whole."""
    live: Any
    """JSON value that is there; None if there is none."""
    desired: Any
    manager: str
    written_at: str
    first_seen: str
    """When the operator first saw it; empty if it has not told yet."""
    severity: str
    action: str
    state: str
    is_gone: bool = False
    """Whether the object as a whole is not there."""


@dataclass(frozen=True, slots=True)
class Found:
    """All drift of one ClusterState."""

    state: str
    revision: str
    objects: int
    """How many were compared."""
    fields: tuple[Drifted, ...]
    not_applied: int
    """Objects that are not brought to this revision yet: no drift, but a plan."""
    unseen: tuple[str, ...]
    """Objects that this person may not read."""


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

    Looks at the cluster now, with your own rights. Values of Secrets are not shown.

    Ends with 0 if nothing drifted, with 1 if something did, with 2 on an error.

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
    if found.fields:
        raise typer.Exit(1)


async def _diff(client: "Client", namespace: str, name: str, *, wanted: str | None, tell: "Tell") -> Found:
    from cvstate_operator.cli.plan.bench import Bench
    from cvstate_operator.cli.plan.compare import Comparison
    from cvstate_operator.plan.history import commit_of

    state = await lookup.cluster_state(client, namespace, name)
    async with Bench(client, state, tell) as bench:
        revision = str(bench.status.get("lastAttemptedRevision") or "")
        if not commit_of(revision):
            raise errors.NotFoundError(
                f"{namespace}/{name} works with no revision yet, so that nothing can have drifted; see: cvstate status {name} -n {namespace}"
            )
        artifact = await bench.at_commit(bench.spec, commit_of(revision))
        desired, _ = await bench.desired(bench.spec, artifact)
        if wanted:
            chosen = {ref: manifest for ref, manifest in desired.objects.items() if _is_meant(ref, wanted)}
            if not chosen:
                raise errors.NotFoundError(f"{one_line(wanted)} is not declared by {namespace}/{name} at {revision}; correct --object")
        else:
            chosen = dict(desired.objects)
        await bench.observe(desired, with_members=False)
        comparison = Comparison(bench, desired, await bench.orders(bench.spec), only=frozenset(chosen))
        return await _found(bench, comparison, revision, len(chosen))


def _is_meant(ref: "ObjectRef", wanted: str) -> bool:
    kind, _, name = wanted.rpartition("/")
    plain, _, group = kind.partition(".")
    return ref.name == name and ref.kind.lower() == plain.lower() and (not group or ref.group == group)


async def _found(bench: "Bench", comparison: "Comparison", revision: str, objects: int) -> Found:
    from cvstate_operator.plan.changes import Action

    fields: list[Drifted] = []
    not_applied = 0
    unseen: list[str] = []

    async def one(change: "Change") -> None:
        nonlocal not_applied
        if change.action in (Action.CREATE, Action.UPDATE):
            not_applied += 1
            return
        try:
            fields.extend(await _drift_of(bench, comparison, change))
        except errors.NotFoundError:
            return  # it went meanwhile; the next look says so
        except errors.ForbiddenError:
            unseen.append(str(change.ref))

    changes = await comparison.changes()
    await bench.each("comparing", changes, one)
    rank = {"Critical": 0, "High": 1, "Medium": 2, "Low": 3}
    by_object: dict[str, int] = {}
    for field in fields:
        by_object[field.object] = min(by_object.get(field.object, 9), rank.get(field.severity, 9))
    fields.sort(key=lambda field: (by_object[field.object], field.object, rank.get(field.severity, 9), field.path))
    unseen += [problem.object for problem in comparison.problems if problem.reason == errors.ForbiddenError.reason]
    return Found(f"{bench.namespace}/{bench.name}", revision, objects, tuple(fields), not_applied, tuple(sorted(unseen)))


async def _drift_of(bench: "Bench", comparison: "Comparison", change: "Change") -> list[Drifted]:
    """Every drifted field of one object, with what the operator says of it."""
    _, look = await comparison.look(change)
    told = {(str(one.get("object")), str(one.get("path"))): one for one in (bench.status.get("drift") or {}).get("sample") or ()}
    found = [_field(change.ref, entry, told.get((str(change.ref), entry.drift.path))) for entry in look.remedy.entries]
    whole = told.get((str(change.ref), ""))
    if found or not whole or change.live is None:
        return found
    return [_told(change.ref, whole)]


def _field(ref: "ObjectRef", entry: "Entry", told: Mapping[str, Any] | None) -> Drifted:
    drift, kind = entry.drift, ref.group_kind
    own = Drifted(
        str(ref),
        drift.path,
        disclosed(kind, drift.path, drift.live) if drift.path else None,
        disclosed(kind, drift.path, drift.desired) if drift.path else None,
        one_line(drift.manager),
        drift.since,
        "",
        entry.severity.value,
        entry.action.value,
        entry.state.value,
        is_gone=not drift.path and drift.desired is not None,
    )
    if not told:
        return own
    return replace(
        own,
        first_seen=str(told.get("since", "")),
        severity=str(told.get("severity", own.severity)),
        action=str(told.get("action", own.action)),
        state=str(told.get("state", own.state)),
    )


def _told(ref: "ObjectRef", sample: Mapping[str, Any]) -> Drifted:
    """Drift that only the operator can see, since it remembers what it wrote: a value inside a field of ours."""
    return Drifted(
        str(ref),
        "",
        None,
        None,
        one_line(str(sample.get("manager", ""))),
        str(sample.get("writtenAt", "")),
        str(sample.get("since", "")),
        str(sample.get("severity", "")),
        str(sample.get("action", "")),
        str(sample.get("state", "")),
    )


# -- presentation --------------------------------------------------------------------------------------------------


def as_text(found: Found) -> Iterable[Text]:
    """Line by line, grouped by object."""
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
        yield Text(
            f"Not looked at, since your user may not read them: {', '.join(found.unseen[:10])}{' …' if len(found.unseen) > 10 else ''}",
            "yellow",
        )
    if found.not_applied:
        namespace, _, name = found.state.partition("/")
        yield Text(
            f"{_count(found.not_applied, 'object')} not brought to this revision yet; see: cvstate plan {name} -n {namespace}", "yellow"
        )
    objects = len({field.object for field in found.fields})
    if found.fields:
        yield Text(f"{_count(len(found.fields), 'field')} of {_count(objects, 'object')} drifted.", "bold")
    else:
        yield Text("No drift: every field is as declared.", "green")


def _lines(field: Drifted) -> Iterable[Text]:
    if field.path:
        yield Text.assemble("  ", (one_line(field.path, 500), "cyan"))
        yield Text.assemble("    live     ", (value_text(field.live), "red") if field.live is not None else ("(gone)", "red"))
        yield Text.assemble("    desired  ", (value_text(field.desired), "green") if field.desired is not None else ("(none)", "green"))
    else:
        yield Text("  is gone" if field.is_gone else "  changed inside a field that is ours as a whole", "red")
    if field.manager:
        at = f" at {field.written_at}" if field.written_at else ""
        yield Text(f"    written  by {field.manager}{at}", "dim")
    seen = f", first seen {field.first_seen}" if field.first_seen else ""
    severity = (field.severity, _SEVERITY_COLOURS.get(field.severity, ""))
    yield Text.assemble("    state    ", field.state, " (", severity, f", {field.action}){seen}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(found: Found) -> dict[str, Any]:
    """See docs/cli.md; keys are only ever added."""
    return {
        "clusterState": found.state,
        "revision": found.revision,
        "objects": found.objects,
        "drifted": {"objects": len({field.object for field in found.fields}), "fields": len(found.fields)},
        "fields": [_field_json(field) for field in found.fields],
        "notApplied": found.not_applied,
        "notReadable": list(found.unseen),
    }


def _field_json(field: Drifted) -> dict[str, Any]:
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
    }
