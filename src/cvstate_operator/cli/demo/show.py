"""The show: gets everything ready, plays the steps one after the other, and puts everything away."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cvstate_operator.api import names
from cvstate_operator.api.crd import cluster_state_crd
from cvstate_operator.cli.demo import application, cluster, stage
from cvstate_operator.cli.demo.application import Body
from cvstate_operator.cli.demo.audit import AuditLog
from cvstate_operator.cli.demo.cluster import Checkout, Cluster
from cvstate_operator.cli.demo.findings import NotSeenError, Seen
from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.cli.demo.observer import Observer
from cvstate_operator.cli.demo.operator_process import OperatorProcess
from cvstate_operator.cli.demo.screen import Screen
from cvstate_operator.cli.demo.stage import Stage
from cvstate_operator.cli.demo.steps import STEPS
from cvstate_operator.errors import CvstateError, SettingsError
from cvstate_operator.kube.connection import connect

REPOSITORY: Final = "webshop"
CLEAN_UP_SECONDS: Final = 60.0
"""How long namespaces in a cluster that was given may take to go; ours goes as a whole."""

_NAMESPACES: Final = "/api/v1/namespaces"
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for."""

    kubeconfig: Path | None
    """An existing cluster; None for one of our own."""
    keep: bool
    """Go on until Ctrl-C."""
    pace_seconds: float
    """Pause before each step."""


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
        SettingsError: there is no cluster to play on, or it must not be used.
        CvstateError: the cluster refuses what the demo asks for.
    """
    started = time.monotonic()
    checkout = None if wish.kubeconfig else cluster.find_checkout()
    if checkout:
        await checkout.build()
    try:
        with screen, _scratch() as scratch, GitServer(scratch / "git") as git:
            async with _cluster(wish, checkout) as ours, _prepared(ours) as eyes, _operator(ours, scratch, findings) as operator:
                on = _set(eyes, operator, git, ours, screen)
                version = (await eyes.send("GET", "/version"))["gitVersion"]
                ready = Seen(f"Kubernetes {version}, operator ready", time.monotonic() - started)
                await _play_steps(on, ready, wish, screen, findings)
                findings.seconds = time.monotonic() - started
                screen.conclude(findings.seen, findings.missed, operator.log)
                if wish.keep and not findings.missed:
                    await _stay(on, screen, ours, checkout)
    except NotSeenError as exc:  # the operator ended before the first step, or after the last
        screen.conclude(findings.seen, exc, findings.log)


async def _play_steps(on: Stage, ready: Seen, wish: Wish, screen: Screen, findings: Findings) -> None:
    screen.finish(ready)
    findings.seen["ready"] = ready
    try:
        for step in STEPS:
            screen.begin(step)
            await asyncio.sleep(wish.pace_seconds)
            screen.act()
            findings.seen[step.key] = await step.act(on)
            screen.finish(findings.seen[step.key])
    except NotSeenError as exc:
        findings.missed = exc


async def _stay(on: Stage, screen: Screen, ours: Cluster, checkout: Checkout | None) -> None:
    kubectl = str(await checkout.kubectl()) if checkout and not shutil.which("kubectl") else "kubectl"
    screen.invite(kubeconfig=ours.admin_kubeconfig, kubectl=kubectl, repository=on.repository.directory, log=on.operator.log)
    while True:
        await asyncio.sleep(1)
        on.operator.check()


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
async def _prepared(ours: Cluster) -> AsyncIterator[Observer]:
    """The CRD and a namespace for the ClusterState; removed again with everything of the shop if the cluster is not ours."""
    connection = await connect(ours.admin_kubeconfig)
    try:
        async with Observer(connection) as eyes:
            had_crd = await _check_free(eyes)
            try:
                await _install(eyes, with_crd=not had_crd)
                yield eyes
            finally:
                if not ours.is_own:
                    await _clean_up(eyes, keep_crd=had_crd)
    finally:
        await connection.close()


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


def _set(eyes: Observer, operator: OperatorProcess, git: GitServer, ours: Cluster, screen: Screen) -> Stage:
    """Everything in its place, and the observer's eyes open."""
    audit = AuditLog(ours.audit_log) if ours.audit_log else None
    repository = git.repository(REPOSITORY)
    on = Stage(eyes, operator, repository, git.url(REPOSITORY), audit, screen.tell)

    def note(change: str, event: Body) -> None:
        if change == "ADDED":
            on.notes.append(event)
            screen.tell("operator", f"{event['reason']}: {event['note']}")

    bodies = application.objects(application.files()).values()
    eyes.mirror({application.collection(body) for body in bodies}, selector=application.SELECTOR)
    eyes.mirror([stage.CLUSTER_STATE.rpartition("/")[0]])
    eyes.follow(stage.EVENTS, note)
    return on


async def _check_free(eyes: Observer) -> bool:
    """Say whether the CRD of ClusterStates is there already.

    Raises:
        SettingsError: something in the cluster has a name that the demo would use.
    """
    declared = application.objects(application.files())
    ours = {stage.NAMESPACE, *(key.name for key in declared if key.kind in ("Namespace", "CustomResourceDefinition"))}
    namespaces = {item["metadata"]["name"] for item in (await eyes.send("GET", _NAMESPACES))["items"]}
    kinds = {item["metadata"]["name"] for item in (await eyes.send("GET", _CRDS))["items"]}
    if taken := sorted(ours & (namespaces | kinds)):
        raise SettingsError(
            f"the cluster already holds {', '.join(taken)}, which the demo would make and remove; delete them, or use another cluster"
        )
    return f"{names.CLUSTER_STATES}.{names.GROUP}" in kinds


async def _install(eyes: Observer, *, with_crd: bool) -> None:
    if with_crd:
        await eyes.send("POST", _CRDS, cluster_state_crd())
    await eyes.send("POST", _NAMESPACES, {"metadata": {"name": stage.NAMESPACE}})
    collection = stage.CLUSTER_STATE.rpartition("/")[0]
    await _retry(lambda: eyes.send("GET", collection), seconds=stage.PATIENCE_SECONDS)


async def _clean_up(eyes: Observer, *, keep_crd: bool) -> None:
    """Remove what the demo made, and wait until it is gone."""
    declared = application.objects(application.files())
    paths = [f"{_NAMESPACES}/{stage.NAMESPACE}"]
    paths += [application.address(body) for key, body in declared.items() if key.kind in ("Namespace", "CustomResourceDefinition")]
    if not keep_crd:
        paths.append(f"{_CRDS}/{names.CLUSTER_STATES}.{names.GROUP}")
    for path in paths:
        with suppress(CvstateError):  # it was never made
            await eyes.send("DELETE", path)
    deadline = time.monotonic() + CLEAN_UP_SECONDS
    while paths and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        paths = [path for path in paths if await _exists(eyes, path)]


async def _exists(eyes: Observer, path: str) -> bool:
    try:
        await eyes.send("GET", path)
    except CvstateError:
        return False
    return True


async def _retry(request: Callable[[], Awaitable[object]], *, seconds: float) -> None:
    """Until it works; the last error goes through."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await request()
            return
        except CvstateError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)
