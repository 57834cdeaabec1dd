"""The step about a fight: another controller undoes every repair of one field, until the operator leaves that field alone; then Git leaves it, too."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator.api.conditions import Reason
from cvstate_operator.api.drift import Breaker
from cvstate_operator.cli.demo import application, hand_edits, observer
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.stage import Stage

RIVAL: Final = "replica-tuner"
"""Field manager of the other controller."""
WISH: Final = 5
"""Replicas that it wants; Git declares 2."""
REPAIRS: Final = Breaker().reversals
"""So often a repair is undone before the field is left alone, unless the ClusterState says otherwise, as ours does not."""

_PATH: Final = "/spec/replicas"


@dataclass(slots=True)
class Rival:
    """Another controller, as far as it matters here."""

    writes: int = 0
    """How often it had its way."""


async def fight(on: Stage) -> Seen:
    """Another controller wants other replicas than Git: it is undone three times, named, left alone, and at last declared right."""
    mark = on.mark()
    started = time.monotonic()
    async with _insisting(on) as rival:
        opened = await _see_left_alone(on)
        other = await _edit_another(on)
        await on.see_answered(await on.call())
        repairs = _repairs(on, mark, rival)
        settled_seconds = await _settle(on)
    seconds = opened["at"] - started
    return Seen(
        f"{repairs} repairs, then given up; {RIVAL} named",
        seconds,
        f"meanwhile {application.STOREFRONT} as declared again in {duration(other.seconds)}\n"
        f"Git leaves the field to it: Ready after {duration(settled_seconds)}",
        {
            "object": opened["object"],
            "field": opened["path"],
            "rival": opened["manager"],
            "rival_writes": rival.writes,
            "repairs": repairs,
            "message": opened["message"],
            "seconds": seconds,
            "other_object": other.measures["object"],
            "other_seconds": other.seconds,
            "other_operator_seconds": other.measures["operator_seconds"],
            "settled_seconds": settled_seconds,
        },
    )


@asynccontextmanager
async def _insisting(on: Stage) -> AsyncIterator[Rival]:
    """The other controller, for the duration of the block."""
    rival = Rival()
    task = asyncio.create_task(_insist(on, rival), name=RIVAL)
    try:
        yield rival
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()  # it failed, which explains what was not seen


async def _insist(on: Stage, rival: Rival) -> None:
    """Set the field whenever it has another value."""
    address = application.address(application.objects(on.files)[application.CART])
    version = 0

    def is_otherwise() -> bool | None:
        live = on.eyes.objects[application.CART]
        return (int(live["metadata"]["resourceVersion"]) > version and live["spec"]["replicas"] != WISH) or None

    while True:
        await on.eyes.until(is_otherwise, seconds=math.inf, check=on.operator.check)
        on.tell("tuner", f"sets deployment/cart spec.replicas to {WISH}, as {RIVAL}")
        live = await on.eyes.send("PATCH", address, {"spec": {"replicas": WISH}}, kind=observer.MERGE, fieldManager=RIVAL)
        version = int(live["metadata"]["resourceVersion"])
        rival.writes += 1


async def _see_left_alone(on: Stage) -> dict[str, Any]:
    """Wait until the status says that the field is left alone, and to whom; its entry in `status.breakers`, the message of Ready, and when."""

    def claim() -> dict[str, Any] | None:
        ready, stalled = on.condition(), on.condition("Stalled")
        if (ready.get("status"), ready.get("reason"), stalled.get("status")) != ("False", Reason.BREAKER_OPEN, "True"):
            return None
        entries = (entry for entry in on.status().get("breakers", ()) if entry["path"] == _PATH and entry.get("openedAt"))
        return next(({**entry, "message": ready["message"]} for entry in entries), None)

    sight = await on.see(claim, expected=f"condition Ready False, {Reason.BREAKER_OPEN}, and {_PATH} in the status", found=on.ready_message)
    if sight.value.get("manager") != RIVAL:
        raise NotSeenError(expected=f"{RIVAL} named in status.breakers", found=str(sight.value.get("manager")))
    await on.hear(Reason.BREAKER_OPEN)
    on.tell("status", f"Ready is False, {Reason.BREAKER_OPEN}; status.breakers names {RIVAL}")
    return {**sight.value, "at": sight.at}


async def _edit_another(on: Stage) -> Seen:
    """Everything else goes on."""
    on.tell("someone", "kubectl edit configmap/storefront  (while the field of the cart is left alone)")
    return await hand_edits.edit(on, application.STOREFRONT, {"data": {"PODINFO_UI_MESSAGE": "Everything is free"}}, manager="kubectl-edit")


def _repairs(on: Stage, mark: int, rival: Rival) -> int:
    """How often the operator wrote the object: by the audit log, or else as often as the other controller saw itself undone.

    Raises:
        NotSeenError: not as often as the breaker allows.
    """
    writes = on.writes(mark)
    if writes is None:
        found, how = rival.writes - 1, "seen by the tuner"
    else:
        found = sum((write.resource, write.name) == ("deployments", application.CART.name) for write in writes)
        how = "by the audit log"
    if found != REPAIRS:
        raise NotSeenError(expected=f"{REPAIRS} repairs of {application.CART}, also after a full reconcile", found=f"{found} {how}")
    on.tell("status", f"{found} repairs, {how}, also after a full reconcile that someone asked for")
    return found


async def _settle(on: Stage) -> float:
    """Git no longer declares the field; how long until all is well."""
    commit = on.commit(application.tuned_cart(on.files), f"Cart: leave the replicas to {RIVAL}")
    started = time.monotonic()
    await on.call()
    sight = await on.see_reported(commit)
    replicas = on.eyes.objects[application.CART]["spec"]["replicas"]
    if replicas != WISH:
        raise NotSeenError(expected=f"{WISH} replicas of {application.CART}, as {RIVAL} wants", found=f"{replicas} replicas")
    on.tell("status", f"Ready is True; deployment/cart keeps the {WISH} replicas that {RIVAL} wants")
    return sight.at - started
