"""The steps of the demo, in their order: each does something to Git or to the cluster, waits until it sees the answer, and tells what it measured."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator.cli.demo import application, audit, bad_image, fight, hand_edits, prunes, signed_commits, source
from cvstate_operator.cli.demo.application import Key
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.stage import Stage

QUIET_SECONDS: Final = 0.3
"""How long the log is watched after a pass that should write nothing."""


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
    await on.declare(f"url: {on.source.url}")
    seconds = await on.see_declared(declared) - started
    await on.see_reported(commit)
    writes = on.writes(mark)
    available_at, workloads = await on.see_available()
    score, confidence = await on.see_well()
    how = "all as declared" if writes is None else f"{audit.tally(writes)}, no other write"
    return Seen(
        f"{len(declared)} objects, {how}",
        seconds,
        f"{workloads} workloads with all pods ready after {duration(available_at - started)}\nscore {score}, confidence {confidence}",
        {
            "objects": len(declared),
            "files": len(files) - 1,
            "seconds": seconds,
            "workloads": workloads,
            "available_seconds": available_at - started,
            "score": score,
            "confidence": confidence,
            "writes": audit.as_data(writes),
        },
    )


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
            "changed": sorted(application.counted_name(after[key]) for key in changed),
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
    said = (await on.see_reported(commit, ready="False")).value
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


async def reconcile_again(on: Stage) -> Seen:
    """Nothing changed, and everything is looked at again."""
    mark = on.mark()
    started = time.monotonic()
    request = await on.call()
    on.tell("someone", "asks for a full reconcile")
    sight = await on.see_answered(request)
    await asyncio.sleep(QUIET_SECONDS)
    writes = on.writes(mark)
    if writes:
        raise NotSeenError(expected="no write to any object", found=", ".join(f"{w.verb} {w.resource} {w.name}" for w in writes[:3]))
    seconds = sight.at - started
    reports = on.reports(mark)
    ready = on.condition()
    if ready["status"] != "True":
        raise NotSeenError(expected="condition Ready True at the end", found=on.ready_message())
    measures = {"seconds": seconds, "writes": audit.as_data(writes), "reports": reports, "ready_message": ready["message"]}
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
        "Someone scales the catalog past Git, as the manager kubectl. The field should come back, and the writer be named.",
        hand_edits.scale,
    ),
    Step(
        "edited",
        "image edited by hand",
        "Someone edits the checkout's image in the cluster. Only this field is not as Git says, and only this object should be written.",
        hand_edits.edit_image,
    ),
    Step(
        "deleted",
        "object deleted",
        "Someone deletes the cart's Service. It should be back before the next customer comes.",
        hand_edits.delete,
    ),
    Step(
        "fought",
        "fight that ends",
        "Another controller, replica-tuner, undoes every repair. After three the field should be left alone, the rival named, all else go on.",
        fight.fight,
    ),
    Step(
        "released",
        "new commit",
        "A commit changes one image and one setting. Only these two objects should be written, and the pods replaced.",
        release,
    ),
    Step(
        "crashed",
        "image that crashes",
        "A commit brings an image that crashes (kubelets are simulated). It should be named, rolled back, quarantined, and the next commit taken.",
        bad_image.crash,
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
    Step("pruned", "file removed", "A commit removes a file. Its objects should go, and nothing else.", prunes.remove_file),
    Step(
        "held",
        "large prune, approved",
        "A commit removes a quarter of the shop, more than the limits allow. Nothing should go until someone approves the plan; then all of it.",
        prunes.remove_many,
    ),
    Step(
        "quiet",
        "reconciled again",
        "Nothing changed, and a full reconcile is asked for. Everything should be compared, and nothing be written.",
        reconcile_again,
    ),
)


def _together(keys: Sequence[Key]) -> str:
    """Objects of one name: `ConfigMap, Deployment checkout`."""
    return f"{', '.join(key.kind for key in keys)} {keys[0].name}"
