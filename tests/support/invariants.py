"""What must hold in every run, whatever went wrong: functions over the API server's audit log and the objects at the end.

Each returns its violations, one line each with the request that broke it; an empty list is good news. The names S1 … L1 are those of the reliability notes in
tests/faults/README.md. The audit log must be written at level RequestResponse for the operator's user (`verbose_audit`).
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise, takewhile
from pathlib import Path
from typing import Any

from tests.cluster.audit import WRITE_VERBS, complete_lines
from tests.cluster.stack import OPERATOR_USER
from tests.support.api import Json
from tests.support.fault_proxy import Seen

OWN_RESOURCES = frozenset({"clusterstates", "clusterstateplans", "events"})
"""What the operator writes for itself."""
AGAIN_SECONDS = 0.3
"""Two writes of one object that are closer than this are one attempt: a create that found the object there, and the update after a look."""
LOOK_SECONDS = 5.0
"""How old the look may be by which an object is deleted."""
AGREEING_SECONDS = 2.0
"""How long an object must have left Git before it is deleted."""
ON_THEIR_WAY_SECONDS = 0.3
"""So long after an answer requests may still come that were sent before it was read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of the operator, with what was sent and answered."""

    verb: str
    key: str
    """`resource namespace/name`, and `/subresource` if there is one."""
    resource: str
    code: int
    at: datetime
    sent: Json
    answered: Json
    user_agent: str

    @property
    def is_write(self) -> bool:
        """Whether it was meant to change an object."""
        return self.verb in WRITE_VERBS

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.verb} {self.key} -> {self.code}"


def entries(log: Path, since: int = 0) -> list[Entry]:
    """The operator's requests after a mark of the audit log, in the order they came."""
    with log.open("rb") as file:
        file.seek(since)
        lines = [json.loads(line) for line in complete_lines(file.read()) if OPERATOR_USER.encode() in line]
    return sorted((_entry(line) for line in lines if line["user"]["username"] == OPERATOR_USER), key=lambda entry: entry.at)


def _entry(event: Mapping[str, Any]) -> Entry:
    target = event.get("objectRef") or {}
    name = "/".join(part for part in (target.get("name", ""), target.get("subresource", "")) if part)
    return Entry(
        verb=event["verb"],
        key=f"{target.get('resource', '')} {target.get('namespace', '')}/{name}",
        resource=target.get("resource", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        sent=event.get("requestObject") or {},
        answered=event.get("responseObject") or {},
        user_agent=event.get("userAgent", ""),
    )


def managed_writes(log: Iterable[Entry]) -> list[Entry]:
    """Writes to what is not the operator's own."""
    return [entry for entry in log if entry.is_write and entry.resource not in OWN_RESOURCES]


# -- safety ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What Git wanted from a moment on."""

    since: datetime
    keys: frozenset[str]
    """As `Entry.key`."""
    is_sound: bool = True
    """Whether all of it can be rendered."""
    replaceable: frozenset[str] = frozenset()
    """Which of them may be deleted to be made anew."""
    is_farewell: bool = False
    """The ClusterState is deleted, and its objects with it, but for these."""


def s1_nothing_desired_is_deleted(log: Iterable[Entry], wishes: Sequence[Wish]) -> list[str]:
    """No DELETE of an object that the newest sound wish holds."""
    sound = [wish for wish in wishes if wish.is_sound]
    found = []
    for entry in _deletes(log):
        wish = _newest(sound, entry.at)
        if wish and entry.key in wish.keys - wish.replaceable:
            found.append(f"S1 {entry}: Git wants it")
    return found


def s2_nothing_foreign_is_written(log: Iterable[Entry], foreign: Collection[str] = ()) -> list[str]:
    """No write that succeeded to one of these keys, or to an object that another controller owns."""
    found = []
    for entry in managed_writes(log):
        meta = entry.answered.get("metadata") or {}
        owned = any(reference.get("controller") for reference in meta.get("ownerReferences") or ())
        if entry.code < 300 and (entry.key in foreign or owned):
            found.append(f"S2 {entry}: it is somebody else's")
    return found


def s3_deletes_are_conditional(log: Iterable[Entry]) -> list[str]:
    """Every DELETE names the uid and the resourceVersion that a GET answered just before; none deletes a collection."""
    entries = list(log)
    found = []
    for entry in _deletes(entries):
        conditions = entry.sent.get("preconditions") or {}
        wanted = (conditions.get("uid"), conditions.get("resourceVersion"))
        if entry.verb != "delete" or not all(wanted):
            found.append(f"S3 {entry}: sent {json.dumps(entry.sent)}")
        elif wanted not in (looks := _looks(entries, entry)):
            found.append(f"S3 {entry}: sent {wanted}, and looks in {LOOK_SECONDS} s before it found {looks}")
    return found


def _looks(entries: Iterable[Entry], before: Entry) -> list[tuple[str, str]]:
    """uid and resourceVersion of the object, as answered to every GET shortly before."""
    near = [each for each in entries if each.verb == "get" and each.key == before.key and each.code == 200]
    metas = [each.answered["metadata"] for each in near if 0 <= (before.at - each.at).total_seconds() < LOOK_SECONDS]
    return [(meta["uid"], meta["resourceVersion"]) for meta in metas]


def s3_what_left_git_is_looked_at_twice(log: Iterable[Entry], wishes: Sequence[Wish]) -> list[str]:
    """No DELETE of an object sooner than two seconds after it left Git."""
    found = []
    for entry in _deletes(log):
        left = _left_git(entry, [wish for wish in wishes if wish.is_sound])
        if left and (seconds := (entry.at - left).total_seconds()) < AGREEING_SECONDS:
            found.append(f"S3 {entry}: {seconds:.2f} s after it left Git")
    return found


def _left_git(entry: Entry, wishes: Iterable[Wish]) -> datetime | None:
    """When the object was last taken out of Git; None if it never was, or the ClusterState goes itself."""
    known = sorted((wish for wish in wishes if wish.since <= entry.at), key=lambda wish: wish.since, reverse=True)
    without = list(takewhile(lambda wish: entry.key not in wish.keys, known))
    return None if len(without) in (0, len(known)) or without[0].is_farewell else without[-1].since


def s4_nothing_is_deleted_in_doubt(
    log: Iterable[Entry], doubts: Iterable[tuple[datetime, datetime]], wishes: Sequence[Wish] = ()
) -> list[str]:
    """No DELETE between these moments, nor while the newest wish cannot be rendered."""
    spans = list(doubts)
    found = []
    for entry in _deletes(log):
        wish = _newest(wishes, entry.at)
        if any(begin <= entry.at < end for begin, end in spans) or (wish and not wish.is_sound):
            found.append(f"S4 {entry}: not everything was sure then")
    return found


def s9_a_second_look_writes_nothing(log: Iterable[Entry]) -> list[str]:
    """Of a reconcile without a change: no write but one of the status."""
    writes = [entry for entry in log if entry.is_write]
    status = [entry for entry in writes if entry.resource == "clusterstates" and entry.key.endswith("/status")]
    others = [entry for entry in writes if entry not in status]
    again = [f"S9 {after}: {_told_anew(before, after)}" for before, after in pairwise(status)]
    return [f"S9 {entry}: nothing had changed" for entry in others] + again


def _told_anew(before: Entry, after: Entry) -> list[str]:
    """What differs in the status, `.field: wanted …, is …`."""
    now, then = ((entry.answered.get("status") or {}) for entry in (after, before))
    return lacks(now, then) + [f".{key}: not wanted" for key in then.keys() - now.keys()]


def s10_retries_wait(requests: Sequence[Seen], *, path: str) -> list[str]:
    """No retry earlier than Retry-After, and no more attempts for one object than the back-off allows. `path`: a regular expression."""
    return [
        line
        for target, attempts in _attempts(requests, path).items()
        for line in (*_too_early(target, attempts), *_too_many(target, attempts))
    ]


def _too_early(target: str, attempts: Sequence[Seen]) -> list[str]:
    found = []
    for before, after in pairwise(attempts):
        pause = after.at - (before.ended or before.at)
        if before.status >= 400 and pause < before.retry_after - 0.01:
            found.append(f"S10 {target}: {before.status} asked for {before.retry_after} s, tried again after {pause:.2f} s")
    return found


def _too_many(target: str, attempts: Sequence[Seen]) -> list[str]:
    """Pauses double from 0.5 s up to a minute, a fifth shorter at most."""
    failed = _each_once([seen for seen in attempts if seen.status >= 400 or not seen.status])
    if not failed:
        return []
    span = failed[-1].at - failed[0].at
    most = 2 + math.log2(1 + span / 0.4) + span / 48
    return [f"S10 {target}: {len(failed)} attempts in {span:.1f} s"] if len(failed) > most else []


def s10_nobody_starts_while_it_is_throttled(requests: Sequence[Seen], *, path: str) -> list[str]:
    """After a 429 no write at all starts before Retry-After is over; those that were on their way do not count. `path`: a regular expression."""
    writes = [seen for seen in requests if seen.is_write and re.search(path, seen.path)]
    return [
        f"S10 {late.method} {late.path}: {late.at - refusal.ended:.2f} s after a 429 that asked for {refusal.retry_after} s"
        for refusal in writes
        if refusal.status == 429
        for late in writes
        if ON_THEIR_WAY_SECONDS < late.at - refusal.ended < refusal.retry_after - 0.01
    ]


def most_at_a_time(requests: Iterable[Seen]) -> int:
    """How many of these were under way together."""
    steps = sorted(step for seen in requests for step in ((seen.at, 1), (seen.ended or math.inf, -1)))
    return max(accumulate(change for _, change in steps), default=0)


def s11_no_hot_loop(requests: Sequence[Seen], *, path: str = "") -> list[str]:
    """Whatever fails is not tried more often than once a second for long: four failed attempts for one object need two seconds."""
    found = []
    for target, attempts in _attempts(requests, path).items():
        failed = _each_once([seen for seen in attempts if seen.status >= 400 or not seen.status])
        for first, last in zip(failed, failed[3:], strict=False):
            if last.at - first.at < 2.0:
                found.append(f"S11 {target}: four failed attempts in {last.at - first.at:.2f} s")
    return found


# -- liveness --------------------------------------------------------------------------------------------------------------


def l1_live_is_desired(get: Callable[[str], Json | None], desired: Mapping[str, Json], gone: Collection[str] = ()) -> list[str]:
    """Every desired object is there with all its fields, and the others are not.

    Args:
        get: an object by its URL path, or None.
        desired: URL path → manifest.
        gone: URL paths.
    """
    found = []
    for path, manifest in desired.items():
        live = get(path)
        found += (
            [f"L1 {path}: {where}" for where in ("is not there",)]
            if live is None
            else [f"L1 {path}{where}" for where in lacks(manifest, live)]
        )
    return found + [f"L1 {path}: is still there" for path in gone if get(path) is not None]


def lacks(wanted: Any, live: Any, at: str = "") -> list[str]:
    """Where `live` does not hold what is wanted; more is fine, but not in lists."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return [line for key, value in wanted.items() for line in lacks(value, live.get(key), f"{at}.{key}")]
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return [line for number, pair in enumerate(zip(wanted, live, strict=True)) for line in lacks(*pair, f"{at}[{number}]")]
    return [] if wanted == live else [f"{at}: wanted {wanted!r}, is {live!r}"]


# -- the end state ---------------------------------------------------------------------------------------------------------

_FLUCTUATING = frozenset({"resourceVersion", "uid", "creationTimestamp", "time", "lastTransitionTime", "selfLink"})
_OWNER = re.compile(r"applyset-[\w-]+-v1")


def normalised(live: Json, name: str) -> Json:
    """An object without what differs between two runs that did the same; `name` is that of the run, which stands in names."""
    uid = live["metadata"]["uid"]

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {clean(key): clean(item) for key, item in value.items() if key not in _FLUCTUATING}
        if isinstance(value, list):
            return [clean(item) for item in value]
        return _OWNER.sub("OWNER", re.sub(rf"\b{name}\b", "RUN", value.replace(uid, "UID"))) if isinstance(value, str) else value

    plain: Json = clean(live)
    # Made from the manifest with the run's names in it; that it is the right one shows in S9.
    (plain["metadata"].get("annotations") or {}).pop("cvstate.io/digest", None)
    entries = plain["metadata"].get("managedFields") or []
    entries.sort(key=lambda entry: (entry["manager"], entry["operation"], entry.get("subresource", "")))
    return plain


# -- shared ----------------------------------------------------------------------------------------------------------------


def _deletes(log: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in managed_writes(log) if entry.verb.startswith("delete")]


def _newest(wishes: Sequence[Wish], at: datetime) -> Wish | None:
    return max((wish for wish in wishes if wish.since <= at), key=lambda wish: wish.since, default=None)


def _attempts(requests: Sequence[Seen], path: str) -> Mapping[str, list[Seen]]:
    found: defaultdict[str, list[Seen]] = defaultdict(list)
    for seen in requests:
        if seen.is_write and seen.method != "POST" and re.search(path, seen.path):
            found[f"{seen.method} {seen.path}"].append(seen)
    return found


def _each_once(attempts: Sequence[Seen]) -> list[Seen]:
    kept: list[Seen] = []
    for seen in attempts:
        if not kept or seen.at - kept[-1].at >= AGAIN_SECONDS:
            kept.append(seen)
    return kept
