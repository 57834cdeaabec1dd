"""The steps about what leaves Git: a little goes by itself, much waits until a person approves it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from cvstate_operator.api import names
from cvstate_operator.api.change_plan import plan_name
from cvstate_operator.api.conditions import Reason
from cvstate_operator.cli.demo import application, audit, stage
from cvstate_operator.cli.demo.application import Body, Key
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.observer import Sight
from cvstate_operator.cli.demo.stage import Stage
from cvstate_operator.plan.prune import AGREEING_SECONDS

HELD_SECONDS: Final = AGREEING_SECONDS + 0.5
"""How long nothing may be deleted for the prune to count as held: longer than one takes that is not."""

_REASON: Final = "their owner agreed"


async def remove_file(on: Stage) -> Seen:
    """A commit that removes a service."""
    before = application.objects(on.files)
    mark = on.mark()
    commit = on.commit({application.RECOMMENDATIONS: None}, "Close the recommendations service")
    gone = sorted(set(before) - set(application.objects(on.files)))
    started = time.monotonic()
    await on.call()
    seconds = (await _see_gone(on, gone)).at - started
    await on.see_reported(commit)
    writes = on.writes(mark)
    return Seen(
        f"{len(gone)} objects pruned" + ("" if writes is None else f" by {audit.tally(writes)}"),
        seconds,
        f"the whole of {gone[0].name}",
        {"pruned": [application.counted_name(before[key]) for key in gone], "seconds": seconds, "writes": audit.as_data(writes)},
    )


async def remove_many(on: Stage) -> Seen:
    """A commit that removes more than the limits allow, and somebody who approves it."""
    before = application.objects(on.files)
    mark = on.mark()
    commit = on.commit(application.smaller_shop(), "Close what did not pay")
    gone = sorted(set(before) - set(application.objects(on.files)))
    started = time.monotonic()
    await on.call()
    held = await on.see_reported(commit, ready="False", reason=Reason.PRUNE_HELD)
    plan = await _see_plan(on, gone)
    await on.hear(Reason.PRUNE_HELD)
    await _see_nothing_deleted(on, gone, mark)
    approving = time.monotonic()
    await _approve(on, plan["spec"]["digest"])
    seconds = (await _see_gone(on, gone)).at - approving
    await on.see_reported(commit)
    writes = on.writes(mark)
    return Seen(
        f"{len(gone)} objects held; pruned once approved",
        seconds,
        f"held after {duration(held.at - started)}; {plan['spec']['total']} listed in ClusterStatePlan {plan['metadata']['name']}"
        + ("" if writes is None else f"\n0 writes until the approval, then {audit.tally(writes)}"),
        {
            "pruned": [application.counted_name(before[key]) for key in gone],
            "held_seconds": held.at - started,
            "held_message": held.value["message"],
            "plan": plan["metadata"]["name"],
            "planned": plan["spec"]["total"],
            "seconds": seconds,
            "writes": audit.as_data(writes),
        },
    )


async def _see_gone(on: Stage, keys: Sequence[Key]) -> Sight[bool]:
    """Wait until none of these objects is left."""

    def left() -> list[Key]:
        return [key for key in keys if key in on.eyes.objects]

    return await on.see(
        lambda: None if left() else True, expected=f"{len(keys)} objects pruned", found=lambda: f"{len(left())} left; {on.ready_message()}"
    )


async def _see_plan(on: Stage, keys: Sequence[Key]) -> Body:
    """Wait for the ClusterStatePlan that the status names.

    Raises:
        NotSeenError: it does not come, or lists something else.
    """

    def claim() -> Body | None:
        digest = on.status().get("plan", {}).get("digest", "")
        plan = on.eyes.objects.get(Key(names.CLUSTER_STATE_PLAN, stage.NAMESPACE, plan_name(stage.NAME, digest)))
        return plan if plan and plan["spec"]["digest"] == digest else None

    plan = (await on.see(claim, expected="the ClusterStatePlan of status.plan.digest", found=on.ready_message)).value
    listed = [item["object"] for item in plan["spec"]["items"]]
    unlisted = [key for key in keys if not any(item.endswith(key.reference) for item in listed)]
    if unlisted or len(listed) != len(keys):
        found = f"{len(listed)} listed" + (f", not {unlisted[0]}" if unlisted else "")
        raise NotSeenError(expected=f"a plan of {len(keys)} objects to delete", found=found)
    on.tell("operator", f"ClusterStatePlan {plan['metadata']['name']} lists {plan['spec']['total']} objects to delete")
    return plan


async def _see_nothing_deleted(on: Stage, keys: Sequence[Key], mark: int) -> None:
    """See that a prune waits, for longer than one takes that does not."""
    await asyncio.sleep(HELD_SECONDS)
    missing = [key for key in keys if key not in on.eyes.objects or "deletionTimestamp" in on.eyes.objects[key]["metadata"]]
    if missing:
        raise NotSeenError(expected="nothing deleted before somebody approves", found=f"{missing[0]} is gone")
    if writes := on.writes(mark):
        raise NotSeenError(expected="no write before somebody approves", found=audit.tally(writes))
    on.tell("status", f"Ready is False, {on.condition().get('reason')}; after {HELD_SECONDS} s all {len(keys)} objects are still there")


async def _approve(on: Stage, digest: str) -> None:
    """Consent to a plan, as `cvstate approve` does."""
    on.tell("someone", f'cvstate approve {stage.NAME} --digest {digest[:19]}… --reason "{_REASON}"')
    body: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": names.STATE_APPROVAL,
        "metadata": {"generateName": f"{stage.NAME}-", "namespace": stage.NAMESPACE},
        "spec": {"planDigest": digest, "reason": _REASON},
    }
    await on.eyes.send("POST", stage.APPROVALS, body)
