"""The steps of the demo, in their order: each does something to Git or to the cluster, waits until it sees the answer, and tells what it measured."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator.cli.demo import application, audit, observer, signed_commits, source
from cvstate_operator.cli.demo.application import Body, Key
from cvstate_operator.cli.demo.audit import Write
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.stage import Stage

QUIET_SECONDS: Final = 0.3
"""How long the log is watched after a pass that should write nothing."""

_CATALOG: Final = Key("Deployment", "webshop-services", "catalog")
_CHECKOUT: Final = Key("Deployment", "webshop-services", "checkout")
_CART: Final = Key("Service", "webshop-services", "cart")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to see."""

    key: str
    """Its name in the JSON result."""
    title: str
    """At most 24 characters."""
    story: str
    """What is done and what should follow, for the person who watches; at most two lines of 76 characters. `{git}` is how the repository is read."""
    act: Callable[[Stage], Awaitable[Seen]]


async def converge(on: Stage) -> Seen:
    """The first commit, and the ClusterState that points at it."""
    mark = on.mark()
    files = application.files()
    declared = application.objects(files)
    commit = on.commit(files, f"Open the shop: {len(declared)} objects in {len(files) - 1} files")
    if on.source.secret:
        await on.give(source.SECRET, on.source.secret)
    started = time.monotonic()
    await on.declare()
    seconds = await on.see_declared(declared) - started
    await on.see_reported(commit)
    writes = on.writes(mark)
    available_at, workloads = await on.see_available()
    how = "all as declared" if writes is None else f"{_verbs(writes)}, no other write"
    return Seen(
        f"{len(declared)} objects, {how}",
        seconds,
        f"{workloads} workloads with all pods ready after {duration(available_at - started)}",
        {
            "objects": len(declared),
            "files": len(files) - 1,
            "seconds": seconds,
            "workloads": workloads,
            "available_seconds": available_at - started,
            "writes": audit.as_data(writes),
        },
    )


async def scale_by_hand(on: Stage) -> Seen:
    """Someone scales a Deployment."""
    on.tell("someone", "kubectl scale deployment/catalog --replicas=9")
    return await _edit(on, _CATALOG, {"spec": {"replicas": 9}}, manager="kubectl-scale", subresource="/scale")


async def edit_image_by_hand(on: Stage) -> Seen:
    """Someone changes an image."""
    on.tell("someone", "kubectl edit deployment/checkout  (image podinfo:latest)")
    body = application.objects(on.files)[_CHECKOUT]
    container = {**body["spec"]["template"]["spec"]["containers"][0], "image": "ghcr.io/stefanprodan/podinfo:latest"}
    return await _edit(on, _CHECKOUT, {"spec": {"template": {"spec": {"containers": [container]}}}}, manager="kubectl-edit")


async def _edit(on: Stage, key: Key, patch: Body, *, manager: str, subresource: str = "") -> Seen:
    """Change an object past Git, and see it come back."""
    declared = application.objects(on.files)[key]
    started = time.monotonic()
    edited = await on.eyes.send("PATCH", application.address(declared) + subresource, patch, kind=observer.MERGE, fieldManager=manager)
    version = int(edited["metadata"]["resourceVersion"])

    def is_back() -> bool | None:
        live = on.eyes.objects.get(key)
        return (live is not None and int(live["metadata"]["resourceVersion"]) > version and observer.holds(declared, live)) or None

    sight = await on.see(is_back, expected=f"{key} as declared", found=on.ready_message)
    said = await on.see_repair(key)
    seconds = sight.at - started
    return Seen(
        f"{_short(said.field)} {_tail(said.was)} → {_tail(said.declared)}, {said.writer} undone",
        seconds,
        # On a busy machine our watch may see the repair before the operator has its answer: then its own time says nothing to a person.
        f"{key}" + (f"; {duration(said.seconds)} the operator's own" if said.seconds < seconds else ""),
        {
            "object": said.object,
            "field": said.field,
            "writer": said.writer,
            "edited_by": manager,
            "was": said.was,
            "declared": said.declared,
            "seconds": seconds,
            "operator_seconds": said.seconds,
        },
    )


async def delete_object(on: Stage) -> Seen:
    """Someone deletes a Service."""
    on.tell("someone", "kubectl delete service/cart")
    declared = application.objects(on.files)[_CART]
    old = on.eyes.objects[_CART]["metadata"]["uid"]
    started = time.monotonic()
    await on.eyes.send("DELETE", application.address(declared))

    def is_back() -> bool | None:
        live = on.eyes.objects.get(_CART)
        return (live is not None and live["metadata"]["uid"] != old and observer.holds(declared, live)) or None

    sight = await on.see(is_back, expected=f"a new {_CART}", found=on.ready_message)
    said = await on.see_repair(_CART)
    seconds = sight.at - started
    measures = {"object": said.object, "seconds": seconds, "operator_seconds": said.seconds}
    return Seen(f"{_CART} is back, as declared", seconds, measures=measures)


async def release(on: Stage) -> Seen:
    """A commit that changes two objects."""
    before = application.objects(on.files)
    mark = on.mark()
    commit = on.commit(application.new_release(on.files), "Checkout 6.9.2, and larger orders")
    after = application.objects(on.files)
    changed = [key for key in after if before.get(key) != after[key]]
    started = time.monotonic()
    await on.call()
    seconds = await on.see_declared(after) - started
    await on.see_reported(commit)
    writes = on.writes(mark)
    available_at, _ = await on.see_available()
    written = f"{len(changed)} of {len(after)} objects" if writes is None else f"{len(writes)} of {len(after)} objects written"
    return Seen(
        f"{written}, then rolled out",
        seconds,
        f"{_together(changed)}; pods in {duration(available_at - started)}",
        {
            "objects": len(after),
            "changed": sorted(_plural(after[key]) for key in changed),
            "seconds": seconds,
            "available_seconds": available_at - started,
            "writes": audit.as_data(writes),
        },
    )


async def break_and_mend(on: Stage) -> Seen:
    """A commit with a file that cannot be read, and a sound change beside it; then the correction."""
    changes = application.broken_reviews(on.files)
    sound = {path: text for path, text in changes.items() if path != application.REVIEWS}
    declared = application.objects({**on.files, **sound})
    commit = on.commit(changes, "Reviews, and a banner for them")
    started = time.monotonic()
    await on.call()
    seconds = await on.see_declared(declared) - started
    said = await on.see_reported(commit, ready="False")
    problem: dict[str, Any] = next(iter(on.status().get("problems", ())), {})
    kept = sum(key in on.eyes.objects for key in declared)
    await on.hear(str(problem.get("reason")))
    on.tell("status", f"Ready is False: {said['message']}")
    mended = on.commit(application.mended_reviews(), "Reviews: add the missing colon")
    mending = time.monotonic()
    await on.call()
    mended_seconds = await on.see_declared(application.objects(on.files)) - mending
    await on.see_reported(mended)
    where = f"{problem.get('file', '?').rpartition('/')[2]}, document {problem.get('document', '?')}"
    return Seen(
        f"{where} named; rest applied",
        seconds,
        f"{problem.get('message')}",
        {
            "reason": problem.get("reason"),
            "file": problem.get("file"),
            "document": problem.get("document"),
            "message": problem.get("message"),
            "ready_message": said["message"],
            "kept": kept,
            "declared": len(declared),
            "seconds": seconds,
            "mended_seconds": mended_seconds,
        },
    )


async def remove_file(on: Stage) -> Seen:
    """A commit that removes a service."""
    before = application.objects(on.files)
    mark = on.mark()
    commit = on.commit({application.RECOMMENDATIONS: None}, "Close the recommendations service")
    gone = sorted(set(before) - set(application.objects(on.files)))
    started = time.monotonic()
    await on.call()

    def left() -> list[Key]:
        return [key for key in gone if key in on.eyes.objects]

    sight = await on.see(
        lambda: None if left() else True, expected=f"{len(gone)} objects pruned", found=lambda: f"{len(left())} left; {on.ready_message()}"
    )
    await on.see_reported(commit)
    writes = on.writes(mark)
    seconds = sight.at - started
    return Seen(
        f"{len(gone)} objects pruned" + ("" if writes is None else f" by {_verbs(writes)}"),
        seconds,
        f"the whole of {gone[0].name}",
        {"pruned": [_plural(before[key]) for key in gone], "seconds": seconds, "writes": audit.as_data(writes)},
    )


async def reconcile_again(on: Stage) -> Seen:
    """Nothing changed, and everything is looked at again."""
    mark = on.mark()
    started = time.monotonic()
    request = await on.call()
    on.tell("someone", "asks for a full reconcile")
    sight = await on.see(
        lambda: True if on.status().get("lastHandledReconcileAt") == request else None,
        expected="the request answered in the status",
        found=on.ready_message,
    )
    await asyncio.sleep(QUIET_SECONDS)
    writes = on.writes(mark)
    if writes:
        raise NotSeenError(expected="no write to any object", found=", ".join(f"{w.verb} {w.resource} {w.name}" for w in writes[:3]))
    seconds = sight.at - started
    reports = on.reports(mark)
    measures = {"seconds": seconds, "writes": audit.as_data(writes), "reports": reports}
    if writes is None:
        return Seen("answered; no audit log to count writes in", seconds, "", measures)
    return Seen("0 writes to objects", seconds, "the status alone was written, in answer", measures)


STEPS: Final[Sequence[Step]] = (
    Step(
        "converged",
        "commit → converged",
        "A web shop is committed, CRD and custom resources in one go. A ClusterState reads it {git}; all should be there, written once.",
        converge,
    ),
    Step(
        "scaled",
        "scaled by hand",
        "Someone scales the catalog past Git, as the manager kubectl-scale. The field should come back, and the writer be named.",
        scale_by_hand,
    ),
    Step(
        "edited",
        "image edited by hand",
        "Someone edits the checkout's image in the cluster. Only this field is not as Git says, and only this object should be written.",
        edit_image_by_hand,
    ),
    Step(
        "deleted", "object deleted", "Someone deletes the cart's Service. It should be back before the next customer comes.", delete_object
    ),
    Step(
        "released",
        "new commit",
        "A commit changes one image and one setting. Only these two objects should be written, and the pods replaced.",
        release,
    ),
    Step(
        "signed",
        "signed commits",
        "From now on only commits with Jane's signature count. One without should change nothing; the same change, signed by her, should.",
        signed_commits.demand,
    ),
    Step(
        "broken",
        "broken file",
        "A commit brings a file with a slip, and a sound change. The file should be named, the rest applied, nothing lost; then it is mended.",
        break_and_mend,
    ),
    Step("pruned", "file removed", "A commit removes a file. Its objects should go, and nothing else.", remove_file),
    Step(
        "quiet",
        "reconciled again",
        "Nothing changed, and a full reconcile is asked for. Everything should be compared, and nothing be written.",
        reconcile_again,
    ),
)


def _verbs(writes: Sequence[Write]) -> str:
    """`53 PATCHes`."""
    tally = Counter(write.verb for write in writes)
    words = {"patch": ("PATCH", "PATCHes"), "delete": ("DELETE", "DELETEs")}
    parts = []
    for verb, count in sorted(tally.items()):
        one, many = words.get(verb, (verb.upper(), verb.upper()))
        parts.append(f"{count} {one if count == 1 else many}")
    return ", ".join(parts) or "no write"


def _plural(body: Body) -> str:
    """`deployments webshop-services/checkout`, as the audit log names it."""
    key = application.key_of(body)
    return f"{application.collection(body).rpartition('/')[2]} {key.namespace}/{key.name}"


def _together(keys: Sequence[Key]) -> str:
    """Objects of one name: `ConfigMap, Deployment checkout`."""
    return f"{', '.join(key.kind for key in keys)} {keys[0].name}"


def _short(pointer: str) -> str:
    """A long pointer by its end."""
    return pointer if pointer.count("/") < 3 else f"…/{pointer.rpartition('/')[2]}"


def _tail(value: str) -> str:
    """An image by its tag, anything else as it is."""
    text = value.strip("\"'")
    return f":{text.rpartition(':')[2]}" if "/" in text and ":" in text else text
