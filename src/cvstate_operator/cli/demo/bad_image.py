"""The step about a bad image: a new revision whose Pods crash is named, rolled back and quarantined, and the next commit is taken.

The kubelets of the demo's cluster are simulated (kwok): which Pods crash is told by their labels, and what the operator sees is what a kubelet would report.
"""

import re
import time
from dataclasses import dataclass
from typing import Final

from cvstate_operator.api.conditions import Reason
from cvstate_operator.cli.demo import application, audit, observer
from cvstate_operator.cli.demo.application import CHECKOUT, Body
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.observer import Sight
from cvstate_operator.cli.demo.stage import Stage

GIVE_UP_AFTER: Final = "5s"
"""spec.rollback.onUnhealthyFor in this step. The operator looks into the Pods of an object after two seconds in trouble; the rest is for busy machines."""

_CAUSE: Final = re.compile(
    r"(?P<reason>\w+): (?:\d+ of [\w ]+ Pods, e\.g\. )?Pod (?P<pod>\S+), container (?P<container>\S+): (?P<why>[^;]+)"
)
"""What the operator tells of a Pod (`vital/health/children`)."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a workload is not ready, in the operator's words (`vital/health/children`)."""

    reason: str
    """As in `CrashLoopBackOff`."""
    pod: str
    """As in `webshop-services/checkout-6d5f7c9b8-x2x4z`."""
    container: str
    why: str


@dataclass(slots=True)
class Lows:
    """The worst that was seen while a bad revision was there. Looked for after each change, so what is over before that is not in it."""

    score: int
    """`status.cv.score`; at first as before the revision."""
    ready: int
    """Ready Pods of the Deployment; at first all of them."""

    def look(self, on: Stage) -> None:
        """Note what there is now."""
        score, _ = on.score()
        self.score = min(self.score, score)
        self.ready = min(self.ready, int(on.eyes.objects[CHECKOUT]["status"].get("readyReplicas", 0)))


async def crash(on: Stage) -> Seen:
    """A commit whose image crashes is given up; the one after it is taken."""
    if on.audit is None:
        return Seen(
            "left out: only the demo's own cluster crashes on demand",
            0.0,
            measures={"left_out": "not the demo's own cluster"},
            is_left_out=True,
        )
    before, _ = await on.see_well()
    await on.declare(f"rollback: onUnhealthyFor {GIVE_UP_AFTER}", give_up_after=GIVE_UP_AFTER)
    good = dict(on.files)
    declared = application.objects(good)[CHECKOUT]
    replicas = declared["spec"]["replicas"]
    lows, mark = Lows(before, replicas), on.mark()
    commit = on.commit(application.crashing_release(on.files), "Checkout 6.9.3, which crashes (kwok simulates it, by a label)")
    started = time.monotonic()
    await on.call()
    named = await _see_named(on, lows)
    back_at = await _see_back(on, declared, lows)
    quarantine = await _see_quarantined(on, commit)
    ready_at, _ = await on.see_available()
    writes = on.writes(mark)
    on.tell("status", f"score {before} → {lows.score}; {lows.ready} of {replicas} pods, of the old image, stayed ready")
    next_seconds = await _see_next_taken(on, good)
    await on.see_acted_on(await on.declare("no rollback from here on"))
    cause = named.value
    return Seen(
        "crash named, rolled back, quarantined",
        ready_at - started,
        f"named in {duration(named.at - started)}: {cause.reason}, container {cause.container}\n"
        f"back in {duration(back_at - started)} ({GIVE_UP_AFTER} allowed), score {before} → {lows.score}\n"
        f"{lows.ready} of {replicas} pods stayed ready; next commit in {duration(next_seconds)}",
        {
            "seconds": ready_at - started,
            "named_seconds": named.at - started,
            "rolled_back_seconds": back_at - started,
            "next_seconds": next_seconds,
            "reason": cause.reason,
            "pod": cause.pod,
            "container": cause.container,
            "why": cause.why,
            "score_before": before,
            "score_worst": lows.score,
            "replicas": replicas,
            "ready_worst": lows.ready,
            "quarantined": quarantine["message"],
            "evidence": quarantine["evidence"],
            "writes": audit.as_data(writes),
        },
    )


def read_cause(told: str) -> Cause | None:
    """The first thing that is told of a container; None if none is named."""
    match = _CAUSE.search(told)
    return Cause(**match.groupdict()) if match else None


async def _see_named(on: Stage, lows: Lows) -> Sight[Cause]:
    """Wait until Healthy is False and the status says which container of which Pod, and why.

    Raises:
        NotSeenError: it does not, or the revision is given up before.
    """

    def claim() -> Cause | None:
        lows.look(on)
        cause = read_cause(_told_of_checkout(on))
        if cause is None and on.condition().get("reason") == Reason.ROLLED_BACK:
            raise NotSeenError(expected="a Pod and its container named before the rollback", found=on.ready_message())
        return cause if on.condition("Healthy").get("status") == "False" else None

    sight = await on.see(claim, expected="condition Healthy False, and a container named", found=on.health_message)
    cause = sight.value
    pod = cause.pod.rpartition("/")[2]
    on.tell("status", f"Healthy is False: {cause.reason}, pod {pod}, container {cause.container}: {cause.why}")
    return sight


def _told_of_checkout(on: Stage) -> str:
    """Why the Deployment is not ready, by `status.vital.unready`; empty if it does not say. The condition Healthy names the worst object, which may be another."""
    entries = on.status().get("vital", {}).get("unready", ())
    return next((str(one.get("cause", "")) for one in entries if one["object"].endswith(CHECKOUT.reference)), "")


async def _see_back(on: Stage, declared: Body, lows: Lows) -> float:
    """Wait until the Deployment is as the last good revision declares it; returns when it was."""

    def claim() -> bool | None:
        lows.look(on)
        live = on.eyes.objects[CHECKOUT]
        # A label more is no difference to `holds`.
        is_labelled = application.CRASH_LABEL in live["spec"]["template"]["metadata"]["labels"]
        return (observer.holds(declared, live) and not is_labelled) or None

    return (await on.see(claim, expected=f"{CHECKOUT} rolled back", found=on.health_message)).at


async def _see_quarantined(on: Stage, commit: str) -> Body:
    """Wait until the status says that a commit was given up; `message` and `evidence` of it."""

    def claim() -> Body | None:
        status = on.status()
        message = next((one["message"] for one in status.get("quarantined", ()) if commit in one["revision"]), "")
        evidence = next((one.get("evidence") for one in status.get("history", ()) if commit in one["revision"]), None)
        is_told = on.condition().get("reason") == Reason.ROLLED_BACK
        return {"message": message, "evidence": evidence} if is_told and message and evidence else None

    sight = await on.see(claim, expected=f"commit {commit[:7]} in status.quarantined, with evidence", found=on.ready_message)
    await on.hear(Reason.ROLLED_BACK)
    return sight.value


async def _see_next_taken(on: Stage, good: dict[str, str]) -> float:
    """Take the image back in Git and change something else; how long until that is applied.

    Raises:
        NotSeenError: it is not, or something is left in quarantine.
    """
    changes = {path: text for path, text in good.items() if on.files[path] != text}
    commit = on.commit({**changes, **application.larger_orders(good)}, "Back to checkout 6.9.2, and still larger orders")
    started = time.monotonic()
    await on.call()
    seconds = await on.see_declared(application.objects(on.files)) - started
    await on.see_reported(commit)
    if left := on.status().get("quarantined"):
        raise NotSeenError(expected="nothing in quarantine after a better commit", found=str(left[0]["revision"]))
    return seconds
