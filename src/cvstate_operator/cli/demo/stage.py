"""The stage: everything a step needs, and the few things that steps do again and again."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from cvstate_operator.api import names
from cvstate_operator.cli.demo import application, audit, observer, source
from cvstate_operator.cli.demo.application import Body, Changes, Key
from cvstate_operator.cli.demo.audit import AuditLog, Write
from cvstate_operator.cli.demo.findings import NotSeenError
from cvstate_operator.cli.demo.observer import Observer, Sight
from cvstate_operator.cli.demo.operator_process import OperatorProcess
from cvstate_operator.cli.demo.signing import SigningKey
from cvstate_operator.cli.demo.source import Source

NAMESPACE: Final = "cvstate-demo"
NAME: Final = "webshop"
CLUSTER_STATE: Final = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/{names.CLUSTER_STATES}/{NAME}"
PLANS: Final = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/{names.CLUSTER_STATE_PLANS}"
APPROVALS: Final = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/{names.STATE_APPROVALS}"
EVENTS: Final = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
PATIENCE_SECONDS: Final = 30.0
"""How long a step waits for what it expects. Everything takes a few seconds at most on two idle cores; the rest is for busy machines."""
EVENT_SECONDS: Final = 1.0
"""How long an Event may come after the status that says the same."""

_REPAIR: Final = re.compile(
    r"^(?P<object>\S+) (?:(?P<field>/\S*) was (?P<was>.*?) instead of (?P<declared>.*?)|was missing)"
    r"(?:, written by (?P<writer>[^;]*?))?(?: and \d+ more fields)?; repaired in (?P<ms>\d+) ms"
)
"""The operator's Event about a repair (`reconcile/report.py`)."""

_AUTOSCALER_HEALTH: Final[Body] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "current": "has(self.metadata.uid)",
}
"""There is no metrics server beside simulated kubelets, so an autoscaler never reads what it scales by. Here it is ready as soon as it is there."""
_PODS_READY: Final[Body] = {"name": "pods-ready", "indicator": "PodsReady", "min": "0.5", "for": "5s", "interval": "1s"}
"""At least half of all Pods are ready; `for` is for the moment in which the shop opens."""

_DEGRADED_AFTER: Final = "0s"
"""spec.vital.degradedAfter where something is to be rolled back: there is no time for the usual five minutes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repair:
    """What the operator says about one repair."""

    object: str
    """As in `apps/Deployment/webshop-services/catalog`."""
    field: str
    """JSON pointer; empty if the whole object was missing."""
    was: str
    declared: str
    writer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts, and what happened so far."""

    eyes: Observer
    operator: OperatorProcess
    source: Source
    keys: Path
    """Directory for key pairs."""
    audit: AuditLog | None
    tell: Callable[[str, str], None]
    """Shows a line of what happens: who, and what."""
    files: dict[str, str] = field(default_factory=dict)
    """The newest commit."""
    notes: list[Body] = field(default_factory=list)
    """The operator's Events so far."""

    # -- act -------------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes, message: str) -> str:
        """Commit, and return the commit id."""
        for path, text in changes.items():
            if text is None:
                del self.files[path]
            else:
                self.files[path] = text
        commit = self.source.repository.commit(changes, message)
        self.tell("git", f"{commit[:7]} {message}")
        return commit

    def sign(self, key: SigningKey) -> str:
        """Make the newest commit anew, signed, sign every one after it, and return its new id."""
        self.source.repository.sign_with(key.private)
        commit = self.source.repository.amend()
        self.tell("git", f"{commit[:7]} the same change, signed (git commit --amend -S)")
        return commit

    async def give(self, name: str, entries: Mapping[str, str]) -> None:
        """Put a Secret beside the ClusterState."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": dict(entries),
        }
        await self.eyes.send("PATCH", application.address(body), body, kind=observer.APPLY, fieldManager=observer.USER_AGENT)
        self.tell("someone", f"kubectl create secret generic {name}  ({', '.join(entries)})")

    async def declare(self, what: str, *, keys: str = "", give_up_after: str = "") -> int:
        """Apply the ClusterState that points at the source; returns its generation.

        Args:
            what: matters in it now, for the person who watches.
            keys: Secret with the keys that must have signed; empty takes commits as they come.
            give_up_after: how long a new revision may be unhealthy before it is rolled back, as in `5s`; empty lets it stay.
        """
        secret = source.SECRET if self.source.secret else ""
        body = cluster_state(self.source.url, secret=secret, keys=keys, give_up_after=give_up_after)
        self.tell("someone", f"kubectl apply  ({what})")
        applied = await self.eyes.send("PATCH", CLUSTER_STATE, body, kind=observer.APPLY, fieldManager=observer.USER_AGENT)
        return int(applied["metadata"]["generation"])

    async def call(self) -> str:
        """Ask for a reconcile now, as a push webhook would; returns the mark of this request."""
        mark = f"demo-{time.time_ns()}"
        await self.eyes.send("PATCH", CLUSTER_STATE, {"metadata": {"annotations": {names.REQUESTED_AT: mark}}}, kind=observer.MERGE)
        return mark

    # -- see -------------------------------------------------------------------------------------------------------

    async def see(self, claim: Callable[[], T | None], *, expected: str, found: Callable[[], str]) -> Sight[T]:
        """Wait until a claim holds.

        Args:
            claim: gives None as long as it does not hold.
            expected: the claim in words.
            found: what is there instead, in words.

        Raises:
            NotSeenError: it did not hold in time, or the operator ended.
        """
        sight = await self.eyes.until(claim, seconds=PATIENCE_SECONDS, check=self.operator.check)
        if sight is None:
            raise NotSeenError(expected=f"{expected} within {PATIENCE_SECONDS:.0f} s", found=found())
        return sight

    async def see_declared(self, declared: dict[Key, Body]) -> float:
        """Wait until every object is as declared; returns when it was."""

        def missing() -> list[Key]:
            return [key for key, body in declared.items() if not observer.holds(body, self.eyes.objects.get(key))]

        def found() -> str:
            left = missing()
            return f"{len(declared) - len(left)} of {len(declared)}, not yet {_some(left)}; {self.ready_message()}"

        sight = await self.see(lambda: None if missing() else True, expected=f"{len(declared)} objects as declared", found=found)
        return sight.at

    async def see_available(self) -> tuple[float, int]:
        """Wait until every workload runs what it should; returns when, and how many there are."""

        def waiting() -> list[Key]:
            workloads = (key for key in self.eyes.objects if key.kind in ("Deployment", "StatefulSet"))
            return [key for key in workloads if not observer.is_available(self.eyes.objects[key])]

        sight = await self.see(
            lambda: None if waiting() else True, expected="every workload available", found=lambda: f"not yet {_some(waiting())}"
        )
        return sight.at, sum(key.kind in ("Deployment", "StatefulSet") for key in self.eyes.objects)

    async def see_well(self) -> tuple[int, int]:
        """Wait until the operator calls what it applied last healthy, and knows it for sure; score and confidence."""

        def claim() -> tuple[int, int] | None:
            status = self.status()
            is_good = "lastGoodRevision" in status and status["lastGoodRevision"] == status.get("lastAppliedRevision")
            is_well = self.condition("Healthy").get("status") == "True" and self.score()[1] == 100
            return self.score() if is_good and is_well else None

        return (await self.see(claim, expected="condition Healthy True, at a confidence of 100", found=self.health_message)).value

    async def see_reported(self, commit: str, *, ready: str = "True", reason: str = "") -> Sight[Body]:
        """Wait until the operator has finished with a commit; the condition Ready.

        Args:
            commit: its id.
            ready: status of the condition.
            reason: of the condition; empty if it does not matter.
        """

        def claim() -> Body | None:
            condition = self.condition()
            tried = str(self.status().get("lastAttemptedRevision", ""))
            is_so = condition.get("status") == ready and reason in ("", condition.get("reason"))
            return condition if is_so and tried.endswith(commit) else None

        what = f"Ready {ready}, {reason}," if reason else f"Ready {ready}"
        return await self.see(claim, expected=f"condition {what} for commit {commit[:7]}", found=self.ready_message)

    async def see_answered(self, request: str) -> Sight[bool]:
        """Wait until the operator has answered a call (`call`)."""

        def claim() -> bool | None:
            return self.status().get("lastHandledReconcileAt") == request or None

        return await self.see(claim, expected="the request answered in the status", found=self.ready_message)

    async def see_acted_on(self, generation: int) -> None:
        """Wait until the operator has acted on a ClusterState as it was declared (`declare`), so that no pass goes on by an older one."""

        def claim() -> bool | None:
            return self.status().get("observedGeneration", 0) >= generation or None

        await self.see(claim, expected=f"observedGeneration {generation} in the status", found=self.ready_message)

    async def see_refused(self, commit: str) -> Sight[Body]:
        """Wait until the operator has refused a commit for its signature; the condition SourceVerified."""

        def claim() -> Body | None:
            condition = self.condition("SourceVerified")
            return condition if condition.get("status") == "False" and commit[:12] in condition["message"] else None

        return await self.see(claim, expected=f"condition SourceVerified False for commit {commit[:7]}", found=self.ready_message)

    async def hear(self, reason: str) -> None:
        """Give an Event of this reason a moment to come, so that what is shown stays in order; it is no claim."""

        def heard() -> bool | None:
            return any(note["reason"] == reason for note in self.notes) or None

        await self.eyes.until(heard, seconds=EVENT_SECONDS, check=self.operator.check)

    async def see_repair(self, of: Key) -> Repair:
        """Wait for the operator's Event about an object that is not told yet, and take it."""

        def claim() -> Repair | None:
            for note in self.notes:
                said = read_repair(note["note"]) if note["reason"] == "DriftRepaired" else None
                if said and said.object.endswith(of.reference):
                    self.notes.remove(note)
                    return said
            return None

        sight = await self.see(claim, expected=f"an Event DriftRepaired for {of}", found=lambda: f"{len(self.notes)} other Events")
        return sight.value

    def status(self) -> dict[str, Any]:
        """The ClusterState's status as it is now."""
        state = self.eyes.objects.get(Key(names.CLUSTER_STATE, NAMESPACE, NAME), {})
        status: dict[str, Any] = state.get("status") or {}
        return status

    def condition(self, kind: str = "Ready") -> Body:
        """A condition by its type; empty if there is none."""
        return next((c for c in self.status().get("conditions", ()) if c["type"] == kind), {})

    def score(self) -> tuple[int, int]:
        """`status.cv`: score and confidence; zeros as long as there is none."""
        told = self.status().get("cv", {})
        return int(told.get("score", 0)), int(told.get("confidence", 0))

    def ready_message(self) -> str:
        """The condition Ready in words."""
        ready = self.condition()
        return f"Ready is {ready['status']}: {ready['message']}" if ready else "the operator reports nothing yet"

    def health_message(self) -> str:
        """The condition Healthy in words, and the score."""
        healthy, (score, confidence) = self.condition("Healthy"), self.score()
        said = f"Healthy is {healthy['status']}: {healthy['message']}" if healthy else "nothing is said about health yet"
        return f"{said} (score {score}, confidence {confidence})"

    # -- count -----------------------------------------------------------------------------------------------------

    def mark(self) -> int:
        """The end of the audit log now; 0 without one."""
        return self.audit.mark() if self.audit else 0

    def writes(self, since: int) -> tuple[Write, ...] | None:
        """The operator's writes to objects since a mark; None if nobody counts them."""
        return audit.to_objects(self.audit.writes(since)) if self.audit else None

    def reports(self, since: int) -> int:
        """The operator's writes of statuses and Events since a mark."""
        return sum(write.is_report for write in self.audit.writes(since)) if self.audit else 0


def cluster_state(url: str, *, secret: str = "", keys: str = "", give_up_after: str = "") -> Body:
    """The ClusterState of the demo.

    Args:
        url: of the repository.
        secret: Secret with credentials for it; empty if anybody may read.
        keys: Secret with the keys that must have signed the newest commit; empty: no signature is asked for.
        give_up_after: `spec.rollback.onUnhealthyFor`; empty: nothing is rolled back.
    """
    git: Body = {"url": url, "ref": {"branch": "main"}, "path": application.PATH, "interval": "10s"}
    if secret:
        git["secretRef"] = {"name": secret}
    if keys:
        git["verify"] = {"mode": "HEAD", "secretRef": {"name": keys}}
    spec: Body = {"source": {"git": git}, "vital": {"healthExprs": [_AUTOSCALER_HEALTH], "signals": [_PODS_READY]}}
    if give_up_after:
        spec["rollback"] = {"onUnhealthyFor": give_up_after}
        spec["vital"]["degradedAfter"] = _DEGRADED_AFTER
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.CLUSTER_STATE,
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": spec,
    }


def read_repair(note: str) -> Repair | None:
    """What an Event about a repair says; None if it is written otherwise."""
    match = _REPAIR.match(note)
    if not match:
        return None
    said = {name: value or "" for name, value in match.groupdict().items()}
    return Repair(said["object"], said["field"], said["was"], said["declared"], said["writer"], int(said["ms"]) / 1000)


def _some(keys: Iterable[Key]) -> str:
    names_ = sorted(map(str, keys))
    more = len(names_) - 3
    return ", ".join(names_[:3]) + (f" and {more} more" if more > 0 else "")
