"""Dependencies: whether what a ClusterState waits for is ready, and whether it waits for itself.

Input are `spec.dependsOn` (`api/dependencies.py`) and live objects; the reader is the pipeline, which applies nothing while anything is awaited.

**Ready** is

- by `readyExpr`, if there is one, in place of all that follows (as in Flux, `spec.dependsOn[].readyExpr`). An expression that fails is not ready.
- a ClusterState, when its condition Ready is True and speaks of its newest generation. If it follows the same URL and ref, it must have applied the
  very commit that is to be applied now: one commit may change both, and its order would be lost otherwise. Source: Flux, kustomize-controller, which
  compares `status.lastAppliedRevision` with the artifact of a source that both use. Two that follow one branch thus go through each commit in order;
  who read an older commit waits until it reads the newer one too.
- any other object, when `vital.readiness` calls it Current. A custom resource that no controller has looked at yet, and that has no status, is: where
  that matters, `readyExpr` can tell.

What is being deleted is never ready, whatever an expression says: it is no ground to build on.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.api.dependencies import Dependency
from cvstate_operator.api.source import GitRef
from cvstate_operator.errors import InvalidSpecError
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import readiness
from cvstate_operator.vital.health.state import Status
from cvstate_operator.vital.language import expression
from cvstate_operator.vital.language.expression import ExpressionError

_SHOWN_COMMIT = 12
"""Characters of a commit that are shown, as `git log --abbrev=12` does for large repositories."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A dependency is not ready."""

    message: str
    """For people: which one, and what is missing. One line, without times: it is the same as long as nothing changes."""


def judge(dependency: Dependency, live: Mapping[str, Any] | None, this: Mapping[str, Any], *, revision: str = "") -> Waiting | None:
    """Say what is missing for `dependency` to be ready; None if it is. Never raises, whatever is in the objects.

    Args:
        dependency: one of `spec.dependsOn`.
        live: the object it names, as the API server gave it; None if there is none, or its kind is not served.
        this: the ClusterState that waits, as the API server gave it.
        revision: what `this` is about to apply, as in `main@sha1:4c1f…`. Empty: what it read last, by its status.
    """
    if live is None:
        return Waiting(f"{dependency} does not exist")
    try:
        if Fields.of(live).below("metadata").has("deletionTimestamp"):
            missing = "is being deleted"
        elif dependency.ready_expr:
            missing = _missing_by_expression(dependency.ready_expr, live, this)
        elif dependency.is_cluster_state:
            missing = _missing_by_condition(Fields.of(live)) or _missing_by_revision(Fields.of(live), Fields.of(this), revision)
        else:
            missing = _missing_by_readiness(live)
    except MalformedError as exc:
        missing = f"cannot be judged: {exc}"
    return Waiting(f"{dependency} {missing}") if missing else None


def require_expression(dependency: Dependency) -> None:
    """Check that a readyExpr can be meant.

    Raises:
        InvalidSpecError: it cannot; says where and why.
    """
    try:
        if dependency.ready_expr:
            expression.compile_expression(dependency.ready_expr)
    except ExpressionError as exc:
        raise InvalidSpecError(f"spec.dependsOn: {dependency}: readyExpr {exc}; correct it") from exc


def find_cycle(edges: Mapping[str, Collection[str]], start: str) -> tuple[str, ...]:
    """The shortest way from `start` back to itself, as in `(a, b, a)`; of several the first by name. Empty if there is none.

    A cycle that `start` only leads to is not its fault, and is not reported.

    Args:
        edges: names of ClusterStates of one namespace, and what each depends on. Those that are not there depend on nothing.
        start: one of them.
    """
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for name in sorted(edges.get(here, ())):
            if name == start:
                return (*_way(came_from, start, here), start)
            if name not in came_from:
                came_from[name] = here
                queue.append(name)
    return ()


def _way(came_from: Mapping[str, str], start: str, end: str) -> tuple[str, ...]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return tuple(reversed(way))


def _missing_by_expression(text: str, live: Mapping[str, Any], this: Mapping[str, Any]) -> str:
    try:
        holds = expression.compile_expression(text).holds({"self": _without_managed_fields(this), "dep": _without_managed_fields(live)})
    except ExpressionError as exc:
        return f"cannot be judged: readyExpr {exc}"
    return "" if holds else "is not ready: its readyExpr is false"


def _without_managed_fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    """They are half of an object, and nothing to ask about (the API server hides them from its own CEL rules, too)."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping):
        return dict(obj)
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _missing_by_condition(live: Fields) -> str:
    ready = next((each for each in live.below("status").items("conditions") if each.text("type") == ConditionType.READY), None)
    if ready is None:
        return "is not ready: it has no condition Ready yet"
    if ready.generation("observedGeneration") != live.below("metadata").generation("generation"):
        return "is not ready: its newest generation was not looked at yet"
    if ready.text("status") != "True":
        return one_line(f"is not ready: {ready.text('reason') or 'no reason'}: {ready.text('message')}", 200)
    return ""


def _missing_by_revision(live: Fields, this: Fields, revision: str) -> str:
    source = _source(this)
    if source is None or source != _source(live):
        return ""
    wanted = _commit(revision or this.below("status").below("source").text("revision"))
    if not wanted or _commit(live.below("status").text("lastAppliedRevision")) == wanted:
        return ""
    return one_line(f"has not applied commit {wanted[:_SHOWN_COMMIT]} yet, of the source that both follow")


def _missing_by_readiness(live: Mapping[str, Any]) -> str:
    found = readiness.readiness(live)
    return "" if found.status is Status.CURRENT else f"is not ready: {found.status}: {found.message}"


def _source(state: Fields) -> tuple[str, str] | None:
    """URL, and what is followed there; None if the spec does not say."""
    git = state.below("spec").below("source").below("git")
    try:
        ref = GitRef.model_validate(dict(git.below("ref").values))
    except ValidationError:
        return None
    return (git.text("url"), ref.selector) if git.text("url") else None


def _commit(revision: str) -> str:
    """The commit in `main@sha1:4c1f…`; empty if there is none."""
    return revision.rpartition("sha1:")[2]
