"""The steps about edits past Git: someone changes a field or deletes an object in the cluster, and it comes back."""

import time

from cvstate_operator.cli.demo import application, observer
from cvstate_operator.cli.demo.application import Body, Key
from cvstate_operator.cli.demo.findings import Seen, duration
from cvstate_operator.cli.demo.stage import Stage


async def scale(on: Stage) -> Seen:
    """Someone scales a Deployment."""
    on.tell("someone", "kubectl scale deployment/catalog --replicas=9")
    return await edit(on, application.CATALOG, {"spec": {"replicas": 9}}, manager="kubectl", subresource="/scale")


async def edit_image(on: Stage) -> Seen:
    """Someone changes an image."""
    on.tell("someone", "kubectl edit deployment/checkout  (image podinfo:latest)")
    body = application.objects(on.files)[application.CHECKOUT]
    container = {**body["spec"]["template"]["spec"]["containers"][0], "image": "ghcr.io/stefanprodan/podinfo:latest"}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    return await edit(on, application.CHECKOUT, patch, manager="kubectl-edit")


async def delete(on: Stage) -> Seen:
    """Someone deletes a Service."""
    on.tell("someone", "kubectl delete service/cart")
    declared = application.objects(on.files)[application.CART_SERVICE]
    old = on.eyes.objects[application.CART_SERVICE]["metadata"]["uid"]
    started = time.monotonic()
    await on.eyes.send("DELETE", application.address(declared))

    def is_back() -> bool | None:
        live = on.eyes.objects.get(application.CART_SERVICE)
        return (live is not None and live["metadata"]["uid"] != old and observer.holds(declared, live)) or None

    sight = await on.see(is_back, expected=f"a new {application.CART_SERVICE}", found=on.ready_message)
    said = await on.see_repair(application.CART_SERVICE)
    seconds = sight.at - started
    measures = {"object": said.object, "seconds": seconds, "operator_seconds": said.seconds}
    return Seen(f"{application.CART_SERVICE} is back, as declared", seconds, measures=measures)


async def edit(on: Stage, key: Key, patch: Body, *, manager: str, subresource: str = "") -> Seen:
    """Change an object past Git, and see it come back.

    Raises:
        NotSeenError: it did not.
    """
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


def _short(pointer: str) -> str:
    """A long pointer by its end."""
    return pointer if pointer.count("/") < 3 else f"…/{pointer.rpartition('/')[2]}"


def _tail(value: str) -> str:
    """An image by its tag, anything else as it is."""
    text = value.strip("\"'")
    return f":{text.rpartition(':')[2]}" if "/" in text and ":" in text else text
