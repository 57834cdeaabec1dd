"""The show: gets everything ready, plays the steps one after the other, and puts everything away."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cvstate_operator.cli.demo import application, cluster, ground, source, stage
from cvstate_operator.cli.demo.application import Body
from cvstate_operator.cli.demo.audit import AuditLog
from cvstate_operator.cli.demo.cluster import Checkout, Cluster
from cvstate_operator.cli.demo.findings import NotSeenError, Seen
from cvstate_operator.cli.demo.observer import GLANCE_SECONDS, Observer
from cvstate_operator.cli.demo.operator_process import OperatorProcess
from cvstate_operator.cli.demo.screen import Invitation, Screen
from cvstate_operator.cli.demo.source import Source
from cvstate_operator.cli.demo.stage import Stage
from cvstate_operator.cli.demo.steps import STEPS
from cvstate_operator.cli.demo.wish import Wish
from cvstate_operator.errors import SettingsError


@dataclass(slots=True)
class Findings:
    """Everything that came out."""

    seen: dict[str, Seen] = field(default_factory=dict)
    """By the key of the step."""
    missed: NotSeenError | None = None
    """What did not happen; the show ended there."""
    log: Path | None = None
    """The operator's log, if something did not happen."""
    seconds: float = 0.0
    is_over: bool = False
    """Nothing is left to do but to put everything away."""

    @property
    def is_complete(self) -> bool:
        """Whether every step was seen."""
        return not self.missed and all(step.key in self.seen for step in STEPS)


async def play(wish: Wish, screen: Screen, findings: Findings) -> None:
    """The whole demo.

    Args:
        wish: what the person asked for.
        screen: where it is shown.
        findings: filled as the show goes on, so that nothing is lost when it is interrupted.

    Raises:
        SettingsError: there is no cluster to play on, or it must not be used; a program or library is missing.
        CvstateError: the cluster refuses what the demo asks for.
    """
    if not shutil.which("git"):
        raise SettingsError("the demo needs git, which is not on PATH; install it")
    source.check(wish.transport)
    checkout = None if wish.kubeconfig else cluster.find_checkout()
    if checkout:
        await checkout.build()
    started = time.monotonic()
    try:
        with screen, _scratch() as scratch, source.served(wish.transport, scratch / "git") as git:
            async with _cluster(wish, checkout) as ours, ground.prepared(ours) as eyes, _operator(ours, scratch, findings) as operator:
                on = _set(eyes, operator, git, ours, scratch / "keys", screen)
                version = (await eyes.send("GET", "/version"))["gitVersion"]
                ready = Seen(f"Kubernetes {version}, operator ready", time.monotonic() - started, _served(git))
                await _play_steps(on, ready, wish, screen, findings)
                findings.seconds = time.monotonic() - started
                screen.conclude(findings.seen, findings.missed, operator.log)
                if wish.keep and not findings.missed:
                    await _stay(on, screen, ours, checkout)
                findings.is_over = True
                if not findings.missed:
                    screen.part()
                if not ours.is_own:
                    screen.leave("Removing what the demo made in the cluster")
    except NotSeenError as exc:  # the operator ended before the first step, or after the last
        screen.conclude(findings.seen, exc, findings.log)


async def _play_steps(on: Stage, ready: Seen, wish: Wish, screen: Screen, findings: Findings) -> None:
    screen.finish(ready)
    findings.seen["ready"] = ready
    try:
        for step in STEPS:
            screen.begin(step)
            await _pause(on, wish.pace_seconds)
            screen.act()
            findings.seen[step.key] = await step.act(on)
            screen.finish(findings.seen[step.key])
    except NotSeenError as exc:
        findings.missed = exc


async def _pause(on: Stage, seconds: float) -> None:
    """Time to read; an operator that dies meanwhile is noticed."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        on.operator.check()
        await asyncio.sleep(min(left, GLANCE_SECONDS))


async def _stay(on: Stage, screen: Screen, ours: Cluster, checkout: Checkout | None) -> None:
    kubectl = str(await checkout.kubectl()) if checkout and not shutil.which("kubectl") else "kubectl"
    screen.invite(Invitation(ours.admin_kubeconfig, kubectl, _own_command(), on.source.repository.directory, on.operator.log))
    await _pause(on, float("inf"))


def _own_command() -> str:
    """How a person calls this program in another terminal."""
    return "cvstate" if shutil.which("cvstate") else str(Path(sys.argv[0]).absolute())


# -- getting ready ---------------------------------------------------------------------------------------------------


@contextmanager
def _scratch() -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix="cvstate-demo-"))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@asynccontextmanager
async def _cluster(wish: Wish, checkout: Checkout | None) -> AsyncIterator[Cluster]:
    if checkout:
        async with checkout.cluster() as ours:
            yield ours
    elif wish.kubeconfig:
        yield cluster.given(wish.kubeconfig)


@asynccontextmanager
async def _operator(ours: Cluster, scratch: Path, findings: Findings) -> AsyncIterator[OperatorProcess]:
    """The operator; its log outlives the demo only if something did not happen."""
    log = Path(tempfile.gettempdir()) / f"cvstate-demo-{os.getpid()}.log"
    # A cluster that is not ours may hold other ClusterStates: they are none of our business.
    namespace = None if ours.is_own else stage.NAMESPACE
    operator = None
    try:
        operator = await OperatorProcess.start(kubeconfig=ours.operator_kubeconfig, cache=scratch / "cache", log=log, namespace=namespace)
        yield operator
    except NotSeenError as exc:
        findings.missed = exc
        raise
    finally:
        if operator:
            await operator.stop()
        if findings.missed:
            findings.log = log
        else:
            log.unlink(missing_ok=True)


def _served(git: Source) -> str:
    """How the source is read, for the closing table."""
    return f"Git at {git.url}" + (f"\n{' and '.join(git.secret)} in Secret {source.SECRET}" if git.secret else "")


def _set(eyes: Observer, operator: OperatorProcess, git: Source, ours: Cluster, keys: Path, screen: Screen) -> Stage:
    """Everything in its place, and the observer's eyes open."""
    audit = AuditLog(ours.audit_log) if ours.audit_log else None
    on = Stage(eyes, operator, git, keys, audit, screen.tell)

    def note(change: str, event: Body) -> None:
        if change == "ADDED":
            on.notes.append(event)
            screen.tell("operator", f"{event['reason']}: {event['note']}")

    bodies = application.objects(application.files()).values()
    eyes.mirror({application.collection(body) for body in bodies}, selector=application.SELECTOR)
    eyes.mirror([stage.CLUSTER_STATE.rpartition("/")[0], stage.PLANS])
    eyes.follow(stage.EVENTS, note)
    return on
