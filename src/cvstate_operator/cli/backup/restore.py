"""`cvstate restore`: makes everything that a backup holds, in an order in which nothing is acted on half-way.

EmergencyStops come first, so that what was stopped stays so. Then ClusterStates, suspended and marked as being restored, and the status of each; and when all of them
are there, the marks are taken away and what was not suspended goes on. What a running operator sees first of a ClusterState thus is the whole of it
(`api/restoring.py`), and of those that depend on each other none is ahead.

A restore may break off at any request, and is run again: what is there is left as it is, what is marked still is finished, what is lacking is made. At
the end, also of one that broke off, it says of each object what became of it, and how to go on.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.cli import lookup, terminal
from cvstate_operator.cli.backup import document as documents
from cvstate_operator.cli.backup import report
from cvstate_operator.cli.backup.report import Outcome, Result
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, check_namespace, with_client

if TYPE_CHECKING:
    from cvstate_operator.kube.client import Client

MAX_BYTES: Final = 256 * 2**20
"""Largest file that is read: 1,000 ClusterStates with as many plans of a third of a megabyte fit in."""
_ESCAPED_MARK, _ESCAPED_ORIGIN = (name.replace("~", "~0").replace("/", "~1") for name in (restoring.MARK, restoring.RESTORED_FROM))
"""As they stand in a JSON pointer. Source: RFC 6901, section 3."""

_HOPELESS: Final = (errors.KindUnknownError, errors.NetworkError, errors.ServerTimeoutError, errors.UnauthorizedError)
"""What befalls one object befalls all."""
_HALF_WAY: Final = "it is there, suspended, and not looked at until it is restored again"
_IN_DOUBT: Final = "the restore broke off while it was made: it is not there, or suspended and not looked at until it is restored again"
_NOT_TRIED: Final = "the restore broke off before"


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
    _doubtful: set[tuple[str, str]] = field(default_factory=set)
    """What was asked for, by namespace and name."""

    async def run(self, found: Sequence[Mapping[str, Any]], spinner: Status) -> None:
        """Restore everything; what goes wrong with one object keeps no other from it. Of each there is a result then, also if it breaks off.

        Raises:
            CvstateError: the API server cannot be asked, or does not know our kinds.
        """
        states = [one for one in found if one["kind"] == names.CLUSTER_STATE]
        try:
            for number, document in enumerate(found, 1):
                spinner.update(Text(f"{number} of {len(found)}  {_name(document)}"))
                await self._each(document)
            for number, document in enumerate(states, 1):
                spinner.update(Text(f"{number} of {len(states)}  {_name(document)} goes on"))
                await self._release(document)
        finally:
            self._note_rest(found)

    def _note_rest(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Note how far everything came of which nothing is noted yet: all of it, if the run broke off."""
        noted = {(one.kind, one.object) for one in self.results}
        for document in found:
            if (document["kind"], _name(document)) in noted:
                continue
            key = _key(document)
            if key in self._uids:
                self._note(document, Outcome.HALF_WAY, _HALF_WAY)
            elif key in self._doubtful:
                is_state = document["kind"] == names.CLUSTER_STATE
                self._note(
                    document, Outcome.HALF_WAY, _IN_DOUBT if is_state else "the restore broke off while it was made: it may be there"
                )
            else:
                self._note(document, Outcome.NOT_TRIED, _NOT_TRIED)

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
        elif await self._create(document, {"metadata": _annotated(document, restoring.RESTORED_FROM), "spec": document["spec"]}):
            self._note(document, Outcome.RESTORED)
        else:
            self._note_there(document, await self._found(document))

    async def _restore_state(self, document: Mapping[str, Any]) -> None:
        """Make a ClusterState of which nothing is seen or written yet, and give it its past."""
        meta = document["metadata"]
        made = await self._create(
            document, {"metadata": _annotated(document, restoring.MARK), "spec": {**document["spec"], "suspend": True}}
        )
        if made is None and not ((made := await self._found(document)) and restoring.is_begun(made, document)):
            self._note_there(document, made)
            return
        if self.is_dry:
            self._note(document, Outcome.RESTORED)
            return
        self._doubtful.add(_key(document))
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
        self._uids[_key(document)] = uid

    async def _found(self, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The object of that name, as it is; None if it went away meanwhile."""
        with lookup.explained("get", _plural(document), document["metadata"].get("namespace", "")):
            return await self.client.get(_path(document))

    def _note_there(self, document: Mapping[str, Any], found: Mapping[str, Any] | None) -> None:
        """One of that name is there, and whole: by an earlier run, or by somebody else."""
        if found is None:
            self._note(document, Outcome.FAILED, "it was there, and was deleted meanwhile")
        elif restoring.is_restored(found, document):
            self._note(document, Outcome.BEFORE)
        elif restoring.is_marked(found):
            self._note(document, Outcome.FAILED, "another restore, of another backup, left it half-way: finish that one, or delete it")
        else:
            self._note(document, Outcome.THERE, "it is not from this backup, and was left as it is")

    async def _release(self, document: Mapping[str, Any]) -> None:
        """Take the mark away, and let a ClusterState go on that was not suspended."""
        meta = document["metadata"]
        uid = self._uids.get(_key(document))
        if uid is None:
            return
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": f"/metadata/annotations/{_ESCAPED_ORIGIN}", "value": restoring.digest(document)},
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
        except _HOPELESS:
            raise
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
                    self._doubtful.add(_key(document))
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

    If it breaks off, run it again: it says how far it came, and goes on from there.

    Ends with 0 if everything is restored, now or by an earlier run, with 1 if something was there already or lacks what it needs, with 2 on an error.

    Examples:

      cvstate restore cvstate.yaml --dry-run

      cvstate restore cvstate.yaml --suspend      look at it first: cvstate plan, cvstate resume

      cvstate restore cvstate.yaml -n team-a
    """
    check_namespace(namespace)
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
        if any(one.outcome is not Outcome.NOT_TRIED for one in results):  # also of a run that broke off
            again = _command(file, namespace, suspend=suspend, dry_run=dry_run, kubeconfig=kubeconfig, context=context)
            report.show(terminal.console(), results, again, is_dry=dry_run, needs=[documents.told(need) for need in documents.needs(found)])
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


def _command(file: Path, namespace: str | None, *, suspend: bool, dry_run: bool, kubeconfig: Path | None, context: str | None) -> str:
    """What to type to run the same again."""
    options = {"--namespace": namespace, "--kubeconfig": kubeconfig, "--context": context}
    words = ["cvstate", "restore", str(file), *(f"{name}={value}" for name, value in options.items() if value is not None)]
    words += [name for name, is_set in (("--suspend", suspend), ("--dry-run", dry_run)) if is_set]
    return shlex.join(words) + (" < FILE" if str(file) == "-" else "")


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


def _key(document: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name; empty for a kind without namespaces."""
    return document["metadata"].get("namespace", ""), document["metadata"]["name"]


def _annotated(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The metadata to make it with; `name` says whether it is whole."""
    return {**document["metadata"], "annotations": {**(document["metadata"].get("annotations") or {}), name: restoring.digest(document)}}


def _path(document: Mapping[str, Any]) -> str:
    """URL path of the object."""
    meta = document["metadata"]
    return lookup.path(_plural(document), meta["name"], namespace=meta.get("namespace", ""))


def _name(document: Mapping[str, Any]) -> str:
    """The object for people: `team-a/shop`, or `stop` for a kind without namespaces."""
    meta = document["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])
