"""`cvstate restore`: makes everything that a backup holds, in an order in which nothing is acted on half-way.

EmergencyStops come first, so that what was stopped stays so. Then ClusterStates, suspended and marked as being restored, and the status of each; and when all of them
are there, the marks are taken away and what was not suspended goes on. What a running operator sees first of a ClusterState thus is the whole of it
(`api/restoring.py`), and of those that depend on each other none is ahead. A restore that broke off is repeated: what is there is left as it is, and what is marked
still is finished.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.cli import lookup, terminal
from cvstate_operator.cli.backup import document as documents
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, with_client
from cvstate_operator.objects.redaction import one_line

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

MAX_BYTES: Final = 256 * 2**20
"""Largest file that is read: 1,000 ClusterStates with as many plans of a third of a megabyte fit in."""
_ESCAPED_MARK: Final = restoring.MARK.replace("~", "~0").replace("/", "~1")
"""As it stands in a JSON pointer. Source: RFC 6901, section 3."""

_HOPELESS: Final = (errors.KindUnknownError, errors.NetworkError, errors.ServerTimeoutError, errors.UnauthorizedError)
"""What befalls one object befalls all."""
_HALF_WAY: Final = "it is there, suspended, and not looked at until it is restored again"


class Outcome(StrEnum):
    """What became of one object of a backup."""

    RESTORED = "restored"
    THERE = "is there"
    """One of that name exists, and was left as it is."""
    RECORD = "not restored"
    """Good for the object that it was made for alone."""
    LEFT_OUT = "left out"
    """What it needs is not there."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """One object, and what became of it."""

    kind: str
    object: str
    outcome: Outcome
    message: str = ""


@dataclass(slots=True)
class _Restore:
    """One run."""

    client: "Client"
    is_dry: bool
    stays_suspended: bool
    results: list[Result]
    _uids: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of the ClusterStates that were made here, by namespace and name."""
    _missing: set[str] = field(default_factory=set)
    """Namespaces that are not there."""

    async def run(self, found: Sequence[Mapping[str, Any]], spinner: Status) -> None:
        """Restore everything; what goes wrong with one object keeps no other from it.

        Raises:
            CvstateError: the API server cannot be asked, or does not know our kinds.
        """
        states = [one for one in found if one["kind"] == names.CLUSTER_STATE]
        for number, document in enumerate(found, 1):
            spinner.update(Text(f"{number} of {len(found)}  {_name(document)}"))
            await self._each(document)
        for number, document in enumerate(states, 1):
            spinner.update(Text(f"{number} of {len(states)}  {_name(document)} goes on"))
            await self._release(document)

    async def _each(self, document: Mapping[str, Any]) -> None:
        namespace = document["metadata"].get("namespace", "")
        if document["kind"] in documents.RECORDS:
            self._note(document, Outcome.RECORD)
            return
        if namespace in self._missing:
            self._note(document, Outcome.LEFT_OUT, f"there is no namespace {namespace}; create it, and restore again")
            return
        try:
            await self._restore(document)
        except _HOPELESS:
            raise
        except errors.NamespaceMissingError:
            self._missing.add(namespace)
            self._note(document, Outcome.LEFT_OUT, f"there is no namespace {namespace}; create it, and restore again")
        except errors.CvstateError as exc:
            self._note(document, Outcome.FAILED, exc.message)

    async def _restore(self, document: Mapping[str, Any]) -> None:
        if document["kind"] == names.CLUSTER_STATE:
            await self._restore_state(document)
        else:
            made = await self._create(document, {"metadata": document["metadata"], "spec": document["spec"]})
            self._note(document, Outcome.RESTORED if made else Outcome.THERE)

    async def _restore_state(self, document: Mapping[str, Any]) -> None:
        """Make a ClusterState of which nothing is seen or written yet, and give it its past."""
        meta = document["metadata"]
        marked = {**meta, "annotations": {**(meta.get("annotations") or {}), restoring.MARK: "true"}}
        made = await self._create(document, {"metadata": marked, "spec": {**document["spec"], "suspend": True}})
        if made is None:
            made = await self._unfinished(document)
        if made is None:
            self._note(document, Outcome.THERE)
            return
        if self.is_dry:
            self._note(document, Outcome.RESTORED)
            return
        uid = made["metadata"]["uid"]
        if status := document.get("status"):
            operations = [{"op": "test", "path": "/metadata/uid", "value": uid}, {"op": "add", "path": "/status", "value": status}]
            try:
                with lookup.explained("patch", f"{names.CLUSTER_STATES}/status", meta["namespace"]):
                    await self.client.patch(f"{_path(document)}/status", operations, manager=lookup.MANAGER)
            except _HOPELESS:
                raise
            except errors.CvstateError as exc:
                self._note(document, Outcome.FAILED, f"{_HALF_WAY}: {exc.message}")
                return
        self._uids[meta["namespace"], meta["name"]] = uid

    async def _unfinished(self, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The ClusterState of that name, if an earlier restore broke off before it was whole."""
        with lookup.explained("get", names.CLUSTER_STATES, document["metadata"]["namespace"]):
            found = await self.client.get(_path(document))
        return found if found and restoring.is_marked(found) else None

    async def _release(self, document: Mapping[str, Any]) -> None:
        """Take the mark away, and let a ClusterState go on that was not suspended."""
        meta = document["metadata"]
        uid = self._uids.get((meta["namespace"], meta["name"]))
        if uid is None:
            return
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "remove", "path": f"/metadata/annotations/{_ESCAPED_MARK}"},
        ]
        if not self.stays_suspended:
            was = document["spec"].get("suspend")
            operations.append(
                {"op": "remove", "path": "/spec/suspend"} if was is None else {"op": "add", "path": "/spec/suspend", "value": was}
            )
        try:
            with lookup.explained("patch", names.CLUSTER_STATES, meta["namespace"]):
                await self.client.patch(_path(document), operations, manager=lookup.MANAGER)
        except errors.CvstateError as exc:
            self._note(document, Outcome.FAILED, f"{_HALF_WAY}: {exc.message}")
        else:
            self._note(document, Outcome.RESTORED)

    async def _create(self, document: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Make an object; None if there is one of that name.

        Raises:
            KindUnknownError: the CRD in the cluster is too old for it. An API server leaves out what it does not know, and without its account, for example, a
                ClusterState would act with other rights: so it is asked by a dry run first.
        """
        body = {"apiVersion": names.API_VERSION, "kind": document["kind"], **parts}
        plural, namespace = _plural(document), document["metadata"].get("namespace", "")
        folder = lookup.path(plural, namespace=namespace)
        try:
            with lookup.explained("create", plural, namespace):
                made = await self.client.create(folder, body, dry_run=True)
                lost = left_out(body["spec"], made.get("spec"), "spec")
                if not lost and not self.is_dry:
                    made = await self.client.create(folder, body)
        except errors.NotFoundError:
            raise
        except errors.StaleError:  # 409
            return None
        if lost:
            raise errors.KindUnknownError(
                f"the {plural} resource of the cluster does not know {lost} of {_name(document)}; bring it up to date with: kubectl apply -f crds/"
            )
        return made

    def _note(self, document: Mapping[str, Any], outcome: Outcome, message: str = "") -> None:
        self.results.append(Result(document["kind"], _name(document), outcome, message))


def restore(
    file: Annotated[Path, typer.Argument(help="What cvstate backup wrote; - for standard input.", metavar="FILE")],
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only what is in this namespace. Default: everything.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Have the API server check everything, and write nothing.")] = False,
    suspend: Annotated[bool, typer.Option("--suspend", help="Leave every ClusterState suspended; go on with: cvstate resume.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Make everything that a backup holds. What is there already is left as it is.

    Namespaces, Secrets and the CRDs have to be there before; the operator may run or not. Approvals and plans are not made: what waits is to be approved anew.

    Ends with 0 if everything is restored, with 1 if something was there already or lacks what it needs, with 2 on an error.

    Examples:

      cvstate restore cvstate.yaml --dry-run

      cvstate restore cvstate.yaml --suspend      look at it first: cvstate plan, cvstate resume

      cvstate restore cvstate.yaml -n team-a
    """
    found = documents.read(_content(file), where=str(file))
    if namespace is not None:
        found = [one for one in found if one["metadata"].get("namespace") == namespace]
    if not found:
        raise errors.SettingsError(f"{file} holds nothing in namespace {namespace}; name another with --namespace")

    results: list[Result] = []

    async def work(client: "Client") -> None:
        with Console(stderr=True).status("connecting") as spinner:  # silent where standard error is no terminal
            await _Restore(client, dry_run, suspend, results).run(found, spinner)

    try:
        with_client(kubeconfig, context, work)
    finally:
        if results:  # also of a run that broke off
            _print(terminal.console(), results, is_dry=dry_run, needs=[documents.told(need) for need in documents.needs(found)])
    outcomes = {one.outcome for one in results}
    if Outcome.FAILED in outcomes:
        raise typer.Exit(2)
    if outcomes & {Outcome.THERE, Outcome.LEFT_OUT}:
        raise typer.Exit(1)


def _content(file: Path) -> bytes:
    """What is to be read.

    Raises:
        SettingsError: it cannot be, or is too large.
    """
    try:
        if str(file) == "-":
            found = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with file.open("rb") as stream:
                found = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise errors.SettingsError(f"cannot read {file}: {exc.strerror}; name a file that cvstate backup wrote") from exc
    if len(found) > MAX_BYTES:
        raise errors.SettingsError(
            f"{file} is larger than {MAX_BYTES // 2**20} MiB; restore namespace by namespace, from files of cvstate backup -n"
        )
    return found


def _print(console: Console, results: Sequence[Result], *, is_dry: bool, needs: Sequence[str]) -> None:
    """What became of everything: counts, and each object that was not restored."""
    console.print(
        Text(f"{'Would be restored' if is_dry else 'Restored'}: {_counted(results, Outcome.RESTORED) or 'nothing'}."), soft_wrap=True
    )
    if records := _counted(results, Outcome.RECORD):
        why = "they hold for the ClusterStates of the backup alone; what waits is shown anew, and has to be approved anew"
        console.print(Text(f"Not restored: {records}: {why}."), soft_wrap=True)
    others = [one for one in results if one.outcome not in (Outcome.RESTORED, Outcome.RECORD)]
    if others:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("KIND", "OBJECT", "OUTCOME"):
            table.add_column(column, no_wrap=True)
        table.add_column("WHY", overflow="fold")
        for one in others:
            style = "red" if one.outcome is Outcome.FAILED else "yellow"
            table.add_row(Text(one.kind), Text(one.object), Text(one.outcome.value, style), Text(one_line(one.message, 1000)))
        console.print(table)
    if needs:
        console.print(Text("Have to be there, and are not made by this:"))
        for need in needs:
            console.print(Text(f"  {need}"), soft_wrap=True)


def _counted(results: Sequence[Result], outcome: Outcome) -> str:
    """How many of which kind came to that, as in `2 ClusterStates, 1 EmergencyStop`; empty if nothing did."""
    counts = Counter(one.kind for one in results if one.outcome is outcome)
    return ", ".join(f"{number} {kind}{'s' if number != 1 else ''}" for kind, number in counts.items())


def left_out(ours: Any, theirs: Any, path: str) -> str:
    """Path of the first field of `ours` that `theirs` lacks; empty if there is none. What is only in `theirs` are defaults."""
    match ours, theirs:
        case {**fields}, {**known}:
            found = (left_out(value, known[key], f"{path}.{key}") if key in known else f"{path}.{key}" for key, value in fields.items())
        case [*items], [*kept] if len(items) == len(kept):
            found = (left_out(item, one, f"{path}[{number}]") for number, (item, one) in enumerate(zip(items, kept, strict=True)))
        case {**_fields}, _:
            return path
        case [*_items], _:
            return path
        case _:
            return ""
    return next(filter(None, found), "")


def _plural(document: Mapping[str, Any]) -> str:
    return documents.PLURALS[document["kind"]]


def _path(document: Mapping[str, Any]) -> str:
    """URL path of the object."""
    meta = document["metadata"]
    return lookup.path(_plural(document), meta["name"], namespace=meta.get("namespace", ""))


def _name(document: Mapping[str, Any]) -> str:
    """The object for people: `team-a/shop`, or `stop` for a kind without namespaces."""
    meta = document["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])
