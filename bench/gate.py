"""Whether a run counts: the cluster, read anew when all is over, is what was declared, and nobody touched anything else.

Three questions: does every declared object hold every declared field; did anybody set a field of one that is not declared (`comparison.undeclared`); are
the bystanders, objects and fields that were there for others, as they were.

A field that a tool sets to what the API server would have put there by itself is not declared either: the tool owns it from then on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from bench import comparison, objects
from tests.support.api import Api, Json

MOST_FAULTS: Final = 10
"""Named in a record; the rest is counted."""
STRANGER: Final = "stranger"
"""Field manager of what belongs to somebody else."""
FOREIGN_ANNOTATION: Final = "stranger.example/mark"


@dataclass(slots=True)
class Bystanders:
    """What others have in the cluster; made before the tools act."""

    versions: dict[str, str] = field(default_factory=dict)
    """URL path of an object nobody declares → its resourceVersion."""
    marked: dict[str, str] = field(default_factory=dict)
    """URL path of a declared object → value of the annotation that somebody else set on it."""

    def settle(self, api: Api) -> None:
        """Put a ConfigMap that looks like a declared one into each namespace."""
        for index, namespace in enumerate(objects.NAMESPACES):
            meta = {"name": f"bystander-{index}", "labels": {"app.kubernetes.io/part-of": "bench"}}
            collection = f"/api/v1/namespaces/{namespace}/configmaps"
            made = api.create(collection, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"is": "here"}})
            self.versions[f"{collection}/{meta['name']}"] = made["metadata"]["resourceVersion"]

    def mark(self, api: Api, path: str, value: str) -> None:
        """Set a field of a declared object that is none of the tool's business."""
        api.merge(path, {"metadata": {"annotations": {FOREIGN_ANNOTATION: value}}}, manager=STRANGER)
        self.marked[path] = value


def faults(live: Mapping[str, Json], declared: Mapping[str, Any], bystanders: Bystanders) -> tuple[str, ...]:
    """Return what is wrong, one line each; nothing if the run counts.

    Args:
        live: all objects of the declared kinds, as `read` gives them.
        declared: URL path → body.
        bystanders: as they were made.
    """
    found = [fault for path, body in declared.items() for fault in _of_declared(path, body, live.get(path))]
    for path, version in bystanders.versions.items():
        if path not in live or live[path]["metadata"]["resourceVersion"] != version:
            found.append(f"{path}: was not declared, and somebody touched it")
    for path, value in bystanders.marked.items():
        if live.get(path, {}).get("metadata", {}).get("annotations", {}).get(FOREIGN_ANNOTATION) != value:
            found.append(f"{path}: the annotation {FOREIGN_ANNOTATION} of somebody else is gone or changed")
    ours = {path for path, body in live.items() if "app.kubernetes.io/name" in body["metadata"].get("labels", {})}
    found += [f"{path}: is there, but not declared" for path in sorted(ours - set(declared))]
    if len(found) > MOST_FAULTS:
        found[MOST_FAULTS:] = [f"and {len(found) - MOST_FAULTS} more"]
    return tuple(found)


def _of_declared(path: str, declared: Json, live: Json | None) -> list[str]:
    if live is None:
        return [f"{path}: is not there"]
    found = (
        [] if comparison.holds(declared, {**live, "kind": declared["kind"], "apiVersion": declared["apiVersion"]}) else [f"{path}: differs"]
    )
    return found + [f"{path}: {name} was set and is not declared" for name in comparison.undeclared(declared, _without_strangers(live))]


def _without_strangers(live: Json) -> Json:
    """An object without the fields that others own who are no tool: the bystanders' and the control plane's."""
    meta = live["metadata"]
    kept = [entry for entry in meta.get("managedFields", ()) if entry["manager"] not in (STRANGER, "kube-controller-manager")]
    return {**live, "metadata": {**meta, "managedFields": kept}}


def read(api: Api) -> dict[str, Json]:
    """Return all objects of the declared kinds by their URL path, foreign ones left out.

    Args:
        api: of a user who may see everything.

    Raises:
        ConnectionError: the API server refuses a list.
    """
    found: dict[str, Json] = {}
    for name, kind in objects.KINDS.items():
        code, answer = api.request("GET", f"{kind.collection}?labelSelector={quote('!' + objects.FOREIGN_LABEL)}")
        if code != 200:
            raise ConnectionError(f"{kind.collection} answered {code}: {answer.get('message')}")
        found |= {objects.url_path({"kind": name, "metadata": item["metadata"]}): item for item in answer["items"]}
    return found
