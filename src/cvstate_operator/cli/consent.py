"""`cvstate approve`: shows what waits in a ClusterState, and consents to it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import approval, names
from cvstate_operator.api.change_plan import PlanAction, plan_name
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.cli import budget_gate, layout, lookup, terminal
from cvstate_operator.cli import fix as budget_fix
from cvstate_operator.cli.confirm import confirmed
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, chosen_namespace, with_client
from cvstate_operator.cli.lookup import NameArgument, NamespaceOption
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client
    from cvstate_operator.objects.manifest import Body

_DEFAULT_REASON: Final = "approved with cvstate approve"
_DEFAULT_EXPIRY: Final = "24h"
_COLOURS: Final = {"Prune": "red", "Recreate": "magenta", "Drift": "yellow"}
_COUNTED: Final = (("prune", "to delete"), ("recreate", "to delete and create anew"), ("drift", "to put back"))
_MAX_PREFIX: Final = 200
"""Characters of a ClusterState's name before the part that the API server adds; together 253 at most."""


def approve(
    name: NameArgument,
    namespace: NamespaceOption = None,
    digest: Annotated[
        str | None, typer.Option(help="Approve only if this is what waits (sha256:…), as status.plan.digest says.", metavar="DIGEST")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for those who ask later.")] = _DEFAULT_REASON,
    expires: Annotated[
        str, typer.Option(help="How long it is good, by this machine's clock: 30m, 8h.", metavar="DURATION")
    ] = _DEFAULT_EXPIRY,
    fix: Annotated[
        bool, typer.Option("--fix", help="Let the newest commit pass although an error budget burns: it is what mends it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show what waits for consent in a ClusterState, and approve it.

    Approved is what is shown, by its digest; what comes up later waits anew. To take an approval back, delete the StateApproval.

    With --fix it is about the gate of error budgets alone: new revisions wait while an SLO burns, and exactly the newest commit is let pass.

    Ends with 0 if it was approved or nothing waits, with 1 if you say no, with 2 on an error.

    Examples:

      cvstate approve shop -n team-a                        show, ask, approve

      cvstate approve shop -n team-a --expires 1h --reason "CHG-1234"

      cvstate approve shop -n team-a --yes --digest sha256:4c1f…     in a script: exactly this

      cvstate approve shop -n team-a --fix                  this commit mends what burns
    """
    spec = _spec(reason, expires)
    if fix and (digest is not None or expires != _DEFAULT_EXPIRY):
        raise errors.SettingsError("--digest and --expires have no meaning with --fix, which lets one commit pass for good; leave them out")
    namespace = chosen_namespace(namespace, kubeconfig, context)
    if fix:
        budget_fix.let_pass(namespace, name, reason=reason, yes=yes, kubeconfig=kubeconfig, context=context)
        return
    console = terminal.console()
    state, plan = with_client(kubeconfig, context, lambda client: _load(client, namespace, name, digest))
    if plan is None:
        console.print(Text(f"Nothing waits for consent in {namespace}/{name}."))
        if hold := budget_gate.hold(state):
            lets = layout.command("approve", state, "--fix")
            console.print(Text(f"An error budget holds {one_line(hold.revision, 300)}; if that mends it: {lets}"), soft_wrap=True)
        return
    console.print(_shown(state, plan))
    if not confirmed("Approve this", yes=yes):
        console.print(Text("Nothing was approved."))
        raise typer.Exit(1)
    spec["planDigest"] = plan["spec"]["digest"]
    made = with_client(kubeconfig, context, lambda client: _create(client, namespace, name, spec))
    own = f"{namespace}/{made['metadata']['name']}"
    console.print(Text(f"Approved by StateApproval {own}, good until {made['spec']['expiresAt']}."))


def _spec(reason: str, expires: str) -> dict[str, Any]:
    """The StateApproval's spec but for its digest.

    Raises:
        SettingsError: an option is wrong.
    """
    try:
        seconds = parse_seconds(expires)
    except ValueError as exc:
        raise errors.SettingsError(f"--expires {exc}") from exc
    if seconds < 1:
        raise errors.SettingsError("--expires must be one second or longer")
    spec = {"reason": reason, "expiresAt": f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"}
    try:
        approval.StateApprovalSpec.model_validate({"planDigest": f"sha256:{'0' * 64}", **spec})
    except ValidationError as exc:
        raise errors.SettingsError(f"--reason must be a text of 1 to {approval.MAX_REASON} characters") from exc
    return spec


# -- requests ------------------------------------------------------------------------------------------------------


async def _load(client: "Client", namespace: str, name: str, digest: str | None) -> "tuple[Body, Body | None]":
    """The ClusterState, and the plan that waits in it; None if nothing waits.

    Raises:
        StaleError: something else waits than `digest`.
        NotFoundError: there is no such ClusterState, or its plan is not there (yet).
    """
    state = await lookup.cluster_state(client, namespace, name)
    current = state.get("status", {}).get("plan", {}).get("digest", "")
    if digest and digest != current:
        raise errors.StaleError(
            f"{one_line(digest)} is not what waits in {namespace}/{name} now, but {current or 'nothing'} is; look at it without --digest"
        )
    if not current:
        return state, None
    own = plan_name(name, current)
    with lookup.explained("get", names.CLUSTER_STATE_PLANS, namespace):
        plan = await client.get(lookup.path(names.CLUSTER_STATE_PLANS, own, namespace=namespace))
    if plan is None or plan["spec"]["digest"] != current or not _is_owned(plan, state):
        raise errors.NotFoundError(
            f"the ClusterStatePlan {namespace}/{own}, which should show what waits, is not there or not of this ClusterState; "
            "try again in a moment, and see the operator's log if that does not help"
        )
    return state, plan


def _is_owned(plan: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    return any(owner["uid"] == state["metadata"]["uid"] for owner in plan["metadata"].get("ownerReferences", ()))


async def _create(client: "Client", namespace: str, name: str, spec: Mapping[str, Any]) -> "Body":
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.STATE_APPROVAL,
        "metadata": {"generateName": f"{name[:_MAX_PREFIX]}-", "namespace": namespace},
        "spec": spec,
    }
    with lookup.explained("create", names.STATE_APPROVALS, namespace):
        return await client.create(lookup.path(names.STATE_APPROVALS, namespace=namespace), body)


# -- presentation --------------------------------------------------------------------------------------------------


def _shown(state: Mapping[str, Any], plan: Mapping[str, Any]) -> RenderableType:
    """What would be done. A reason that several writes have in common is said once, below them."""
    meta, spec = state["metadata"], plan["spec"]
    counts = spec.get("counts", {})
    summary = ", ".join(f"{counts[key]} {text}" for key, text in _COUNTED if counts.get(key))
    items = spec.get("items", ())
    told = Counter((item["reason"], item["detail"]) for item in items if item.get("detail"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ACTION", "OBJECT", "FIELD", "WHY"):
        table.add_column(column, overflow="fold")
    if 1 in told.values():
        table.add_column("DETAIL", overflow="fold")
    for item in items:
        own = told[item["reason"], item.get("detail")] == 1
        table.add_row(
            Text(item["action"], style=_COLOURS.get(item["action"], "")),
            Text(one_line(item["object"], 1000)),
            Text(one_line(item.get("path", ""), 2000)),
            Text(one_line(item["reason"])),
            *([Text(one_line(item["detail"], 1000))] if own else []),
        )
    shared = [Text(f"{one_line(reason)}: {one_line(why, 1000)}") for (reason, why), count in told.items() if count > 1]
    shared += _recreated(items)
    if any(item["action"] == PlanAction.RECREATE for item in items):
        shared.append(Text(f"All fields: cvstate plan {meta['name']} -n {meta['namespace']}", "dim"))
    more = spec["total"] - len(items)
    return Group(
        Text(f"{meta['namespace']}/{meta['name']}  {one_line(spec.get('revision', ''), 300)}".rstrip(), style="bold"),
        Text(),
        table,
        *([Text(f"… and {more} more", style="yellow")] if more > 0 else []),
        Text(),
        *shared,
        # Last, since a long table scrolls away what is above it.
        Text(f"{summary or spec['total']}; {spec['digest']}"),
    )


def _recreated(items: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """What the new objects would have otherwise, field by field; of the others the table says it."""
    for item in items:
        if changes := item.get("changes"):
            yield Text(f"{one_line(item['object'], 1000)} anew:", "bold")
            yield from (Text(f"  {one_line(change, 1000)}") for change in changes)
