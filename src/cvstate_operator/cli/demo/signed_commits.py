"""The step about signatures: an unsigned commit is refused, the same change signed is applied. From then on every commit of the demo is signed."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cvstate_operator.cli.demo import application, audit, observer, signing
from cvstate_operator.cli.demo.audit import Write
from cvstate_operator.cli.demo.findings import NotSeenError, Seen, duration
from cvstate_operator.cli.demo.signing import SigningKey
from cvstate_operator.cli.demo.stage import Stage

KEYS: Final = "git-keys"
"""The Secret that `spec.source.git.verify.secretRef` names."""
QUIET_SECONDS: Final = 0.3
"""How long the cluster is watched after a refusal, in case something is applied after all."""


async def demand(on: Stage) -> Seen:
    """Ask for signatures, and see what becomes of a commit without and with one."""
    if hindrance := signing.hindrance():
        on.tell("git", f"no signature can be made: {hindrance}")
        return Seen(f"left out: {hindrance}", 0.0, measures={"left_out": hindrance}, is_left_out=True)
    key = SigningKey.make(on.keys)
    await on.give(KEYS, {"jane.sshpub": key.public})
    await on.declare(f"verify: mode HEAD, keys of {KEYS}", keys=KEYS)
    refused = await _offer_unsigned(on)
    seconds, writes = await _offer_signed(on, key)
    signer = str(on.status().get("source", {}).get("signedBy", ""))
    if key.fingerprint not in signer:
        raise NotSeenError(expected=f"signedBy ssh:{key.fingerprint} in the status", found=signer or "no signedBy")
    on.tell("operator", f"status.source.signedBy is {signer}")
    counted = "nothing applied" if refused["refused_writes"] is None else "0 writes"
    return Seen(
        "unsigned commit refused, signed one applied",
        seconds,
        f"refused in {duration(refused['refused_seconds'])}, {counted}\nsignedBy {signer.replace(key.fingerprint, key.fingerprint[:12] + '…')}",
        {**refused, "seconds": seconds, "writes": audit.as_data(writes), "fingerprint": key.fingerprint, "signed_by": signer},
    )


async def _offer_unsigned(on: Stage) -> Mapping[str, Any]:
    """Commit without a signature, and see it refused; what was measured."""
    before = application.objects(on.files)
    mark = on.mark()
    commit = on.commit(application.live_payments(on.files), "Payments go live")
    started = time.monotonic()
    await on.call()
    refusal = await on.see_refused(commit)
    await on.hear("VerificationFailed")
    await asyncio.sleep(QUIET_SECONDS)
    if touched := [key for key, body in before.items() if not observer.holds(body, on.eyes.objects.get(key))]:
        raise NotSeenError(expected="nothing of an unsigned commit applied", found=f"{touched[0]} is not as it was")
    if writes := on.writes(mark):
        raise NotSeenError(expected="no write for an unsigned commit", found=f"{len(writes)} of them")
    on.tell("status", f"SourceVerified is False, {refusal.value['reason']}; nothing was applied")
    return {
        "refused_seconds": refusal.at - started,
        "refused_reason": refusal.value["reason"],
        "refused_message": refusal.value["message"],
        "refused_writes": None if writes is None else len(writes),
    }


async def _offer_signed(on: Stage, key: SigningKey) -> tuple[float, Sequence[Write] | None]:
    """Sign the same change, and see it applied; how long that took, and what was written."""
    mark = on.mark()
    commit = on.sign(key)
    started = time.monotonic()
    await on.call()
    seconds = await on.see_declared(application.objects(on.files)) - started
    await on.see_reported(commit)
    return seconds, on.writes(mark)
