"""The document: what a backup holds of each object, and the stream of YAML that it is written as.

Kept is what cannot be found out again: what people declared and decided, and what became of revisions. Left out is what the API server gives every object anew, and
what the operator sees by itself with its first pass. That matters most for what is in the cluster: a status that tells of objects would make everything that a new
cluster lacks look like deleted by hand.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import yaml

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.api.approval import LIFETIME_SECONDS
from cvstate_operator.api.model import NAME_PATTERN
from cvstate_operator.objects.redaction import one_line

PLURALS: Final[Mapping[str, str]] = {
    names.EMERGENCY_STOP: names.EMERGENCY_STOPS,
    names.CLUSTER_STATE: names.CLUSTER_STATES,
    names.CLUSTER_STATE_PLAN: names.CLUSTER_STATE_PLANS,
    names.STATE_APPROVAL: names.STATE_APPROVALS,
}
"""What a backup holds, in its order: what stops writes before what they are made for."""

RECORDS: Final = frozenset({names.CLUSTER_STATE_PLAN, names.STATE_APPROVAL})
"""Kinds that a backup holds for the record alone. A digest is good for the ClusterState with that very uid (`plan/consent.py`), which a restored one has not: what was
approved in one cluster is not approved in another."""

REMEMBERED: Final = (
    "lastHandledReconcileAt",
    "lastHandledReleased",
    "lastAttemptedRevision",
    "lastAppliedRevision",
    "lastAppliedFrom",
    "lastGoodRevision",
    "quarantined",
    "history",
)
"""Of the status of a ClusterState: which requests were answered, what was begun, which commit a newer one must descend from, where a rollback goes, and what is not
applied again. Everything else in it is told anew by the first pass."""

_FORGOTTEN_ANNOTATIONS: Final = ("kubectl.kubernetes.io/last-applied-configuration", restoring.MARK, restoring.RESTORED_FROM)
"""The first holds the whole object a second time, as it was once; the others are about an earlier restore."""
_FREE: Final = frozenset({"values", "substitute", "commonLabels"})
"""Fields of a spec whose content is not ours: a key in them that is called like one of ours is none."""
_MAX_FAULTS: Final = 10


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """An object beside our own that a ClusterState names, and that a backup does not hold."""

    kind: str
    """Secret, ConfigMap or ServiceAccount."""
    namespace: str
    name: str
    is_optional: bool = False


def kept(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a backup holds of an object, as it came from the API server."""
    meta, kind = body["metadata"], body["kind"]
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _FORGOTTEN_ANNOTATIONS}
    found = {
        "name": meta["name"],
        "namespace": meta.get("namespace"),
        "labels": meta.get("labels"),
        "annotations": annotations,
    }
    document = {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {key: value for key, value in found.items() if value},
        "spec": body.get("spec") or {},
    }
    if kind == names.CLUSTER_STATE and (status := _remembered(body.get("status") or {})):
        document["status"] = status
    if kind == names.STATE_APPROVAL:
        document["spec"] = _dated(body)
    return document


def _remembered(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: status[key] for key in REMEMBERED if status.get(key)}


def _dated(approval: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a StateApproval with the time at which it ends: that is counted from its creation, which a backup does not hold."""
    spec, made = dict(approval.get("spec") or {}), _moment(approval["metadata"].get("creationTimestamp"))
    if "expiresAt" not in spec and made:
        spec["expiresAt"] = (made + timedelta(seconds=LIFETIME_SECONDS)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return spec


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def needs(documents: Iterable[Mapping[str, Any]]) -> list[Need]:
    """Secrets, ConfigMaps and ServiceAccounts that ClusterStates name, sorted. One that somebody needs and somebody else could do without is needed."""
    found: dict[tuple[str, str, str], bool] = {}
    for document in documents:
        if document["kind"] == names.CLUSTER_STATE:
            for kind, name, is_optional in _references(document.get("spec") or {}):
                key = (kind, str(document["metadata"].get("namespace") or ""), name)
                found[key] = found.get(key, True) and is_optional
    return sorted(Need(*key, is_optional) for key, is_optional in found.items())


def _references(node: Any) -> Iterator[tuple[str, str, bool]]:
    """Kind and name of what a part of a spec names, and whether it may be absent."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        match key, value:
            case "secretRef", {"name": str(name)}:
                yield "Secret", name, False
            case (("valuesFrom" | "substituteFrom"), [*references]):
                for one in references:
                    if isinstance(one, Mapping) and isinstance(one.get("name"), str):
                        yield str(one.get("kind")), one["name"], bool(one.get("optional"))
            case "serviceAccountName", str(name) if name:
                yield "ServiceAccount", name, False
            case _ if key not in _FREE:
                yield from _references(value)


# -- the stream ----------------------------------------------------------------------------------------------------


class _Loader(yaml.CSafeLoader):
    """Times stay the texts that they are in the API."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def written(documents: Sequence[Mapping[str, Any]], *, about: str) -> str:
    """The stream: a comment that says what it is, the objects in the order in which they are restored, and at the end what they need.

    Args:
        documents: as `kept` made them.
        about: whose they are, and since when; one line.
    """
    order = list(PLURALS)
    ordered = sorted(documents, key=lambda one: (order.index(one["kind"]), one["metadata"].get("namespace", ""), one["metadata"]["name"]))
    text = "".join(f"---\n{yaml.dump(one, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=10_000)}" for one in ordered)
    lines = [
        f"# {one_line(about, 1000)}",
        "# Restored with: cvstate restore FILE",
        *(f"# Not in here, and needed: {told(one)}" for one in needs(documents)),
    ]
    return "\n".join(lines) + "\n" + text


def told(need: Need) -> str:
    """A need for people: `Secret team-a/git-auth`."""
    return f"{need.kind} {need.namespace}/{need.name}{' (optional)' if need.is_optional else ''}"


def read(content: str | bytes, *, where: str) -> list[dict[str, Any]]:
    """The objects of a stream, in the order in which they are restored.

    Args:
        content: of the file.
        where: its name, for messages.

    Raises:
        SettingsError: it is no backup; says which document is wrong, and why.
    """
    try:
        documents = [one for one in yaml.load_all(content, Loader=_Loader) if one is not None]
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise errors.SettingsError(
            f"{where} is no YAML{f' from line {mark.line + 1} on' if mark else ''}; give a file that cvstate backup wrote"
        ) from exc
    if not documents:
        raise errors.SettingsError(f"{where} holds no objects; give a file that cvstate backup wrote")
    faults: list[str] = []
    seen: set[tuple[str, str, str]] = set()
    for number, one in enumerate(documents, 1):
        if fault := _fault(one):
            faults.append(f"document {number} {fault}")
        elif (key := _key(one)) in seen:
            faults.append(f"document {number} is {key[0]} {f'{key[1]}/' if key[1] else ''}{key[2]} again")
        else:
            seen.add(key)
    if faults:
        rest = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise errors.SettingsError(f"{where} is no backup: {'; '.join(faults[:_MAX_FAULTS])}{rest}")
    order = list(PLURALS)
    return sorted(documents, key=lambda one: order.index(one["kind"]))


def _fault(document: Any) -> str:
    """Why a document is none of ours; empty if it is one."""
    match document:
        case {"apiVersion": names.API_VERSION, "kind": str(kind), "metadata": {"name": str(name), **meta}, "spec": {**_spec}} if (
            kind in PLURALS
        ):
            namespace = meta.get("namespace", "")
            if kind == names.EMERGENCY_STOP and namespace:
                return "has a namespace, which its kind has not"
            if not isinstance(namespace, str) or (kind != names.EMERGENCY_STOP and not namespace):
                return "has no metadata.namespace"
            if not all(re.fullmatch(NAME_PATTERN, text) for text in ((name, namespace) if namespace else (name,))):
                return "has a name or namespace that no object can have"
            return "" if isinstance(document.get("status") or {}, Mapping) else "has a status that is no mapping"
        case {"apiVersion": str(version), "kind": str(kind)}:
            return (
                f"is a {one_line(kind)} of {one_line(version)}, or lacks its name or spec; only kinds of {names.API_VERSION} are restored"
            )
    return "is no object"


def _key(document: Mapping[str, Any]) -> tuple[str, str, str]:
    return document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]
