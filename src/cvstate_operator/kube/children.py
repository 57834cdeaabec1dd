"""Children: the Pods of one workload, looked at when it is not ready and somebody asks why. Nothing is kept of them.

A look is one LIST, narrowed by the workload's own selector, and a GET of the workload if nobody has it at hand. Whose a Pod is, its controller says, since two
workloads may select the same labels. The pipeline asks for a few workloads of each ClusterState; many may ask at a time, so turns are taken.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import children
from cvstate_operator.vital.health.children import Child

PODS: Final = ApiResource(Gvk("", "v1", "Pod"), "pods", True)
LIMIT: Final = 50
"""Pods of a workload that are looked at: enough to see what ails it; about 10 KB each."""
LOOK_SECONDS: Final = 10.0
"""Deadline of a look, its turn included: who is told about a workload waits for no explanation longer."""
AT_A_TIME: Final = 4

DEPLOYMENT: Final = GroupKind("apps", "Deployment")
REPLICATION_CONTROLLER: Final = GroupKind("", "ReplicationController")
CRON_JOB: Final = GroupKind("batch", "CronJob")
SELECTING: Final = frozenset(
    {
        DEPLOYMENT,
        REPLICATION_CONTROLLER,
        GroupKind("apps", "ReplicaSet"),
        GroupKind("apps", "StatefulSet"),
        GroupKind("apps", "DaemonSet"),
        GroupKind("batch", "Job"),
    }
)
"""Kinds with Pods that `spec.selector` selects."""
JOB_NAME: Final = "batch.kubernetes.io/job-name"
"""On the Pods of a Job (Kubernetes documentation, "Well-Known Labels")."""
TEMPLATE_HASH: Final = "pod-template-hash"
"""On the Pods of a Deployment, and the end of their ReplicaSet's name (Kubernetes documentation, "Deployments", "Pod-template-hash label")."""
_OPERATORS: Final = {"In": "{0} in ({1})", "NotIn": "{0} notin ({1})", "Exists": "{0}", "DoesNotExist": "!{0}"}


class Pods(NamedTuple):
    """What was found below a workload."""

    items: tuple[Mapping[str, Any], ...]
    """Full objects."""
    is_part: bool = False
    """Whether there are more than were looked at."""


class Children:
    """Looks at the Pods of workloads of one cluster, with one identity."""

    def __init__(self, client: Client) -> None:
        """
        Args:
            client: the API server and who we are there; stays open.
        """
        self._client = client
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._looks: dict[ObjectRef, asyncio.Task[Pods]] = {}

    async def explain(self, resource: ApiResource, ref: ObjectRef) -> tuple[Child, ...]:
        """Why the Pods of a workload are not ready, what needs a person first; empty if they are, or if the kind has none.

        Raises:
            ForbiddenError: RBAC does not let us look; says what is to be granted.
            ServerTimeoutError: it took longer than LOOK_SECONDS.
            CvstateError: the API server does not answer.
        """
        found = await self._below(resource, ref, None)
        return children.explain(found.items, is_part=found.is_part)

    async def below(self, resource: ApiResource, ref: ObjectRef, live: Mapping[str, Any] | None = None) -> tuple[Mapping[str, Any], ...]:
        """The Pods of a workload, LIMIT at most; a Pod has itself, other kinds than workloads have none, nor has what is gone.

        Args:
            resource: how the workload's kind is served.
            ref: the workload.
            live: the workload as it is; None to have it read.

        Raises:
            ForbiddenError: RBAC does not let us look; says what is to be granted.
            ServerTimeoutError: it took longer than LOOK_SECONDS.
            CvstateError: the API server does not answer.
        """
        return (await self._below(resource, ref, live)).items

    async def _below(self, resource: ApiResource, ref: ObjectRef, live: Mapping[str, Any] | None) -> Pods:
        """As `below`; who asks about the same workload while a look is under way shares it."""
        if not may_have_pods(ref.group_kind):
            return Pods(())
        look = self._looks.get(ref)
        if look is None:
            look = self._looks[ref] = asyncio.create_task(self._look(resource, ref, live))
            look.add_done_callback(lambda done: self._done(ref, done))
        return await asyncio.shield(look)

    def _done(self, ref: ObjectRef, look: "asyncio.Task[Pods]") -> None:
        self._looks.pop(ref, None)
        if not look.cancelled():
            look.exception()  # whoever asked may be gone by now

    async def _look(self, resource: ApiResource, ref: ObjectRef, live: Mapping[str, Any] | None) -> Pods:
        try:
            async with asyncio.timeout(LOOK_SECONDS), self._turns:
                return await self._ask(resource, ref, live)
        except TimeoutError as exc:
            raise errors.ServerTimeoutError(f"the Pods of {ref} could not be looked at within {LOOK_SECONDS:.0f} s") from exc
        except errors.ForbiddenError as exc:
            raise errors.ForbiddenError(
                f"the Pods of {ref} cannot be looked at: get {resource.plural} and list pods in namespace {ref.namespace} are needed; grant both"
            ) from exc

    async def _ask(self, resource: ApiResource, ref: ObjectRef, live: Mapping[str, Any] | None) -> Pods:
        if live is None:
            live = await self._client.get(resource.path(ref.namespace, ref.name))
        if live is None:
            return Pods(())
        if ref.group_kind == PODS.gvk.group_kind:
            return Pods((live,))
        selector = _selector(ref.group_kind, live)
        if not selector:
            return Pods(())
        page = await self._client.get(PODS.path(ref.namespace), params={"labelSelector": selector, "limit": str(LIMIT)}) or {}
        # Items of a list do not say what they are.
        listed = ({"apiVersion": "v1", "kind": "Pod", **item} for item in page.get("items") or ())
        return Pods(tuple(pod for pod in listed if _is_below(pod, ref, live)), bool((page.get("metadata") or {}).get("continue")))


def may_have_pods(kind: GroupKind) -> bool:
    """Whether objects of this kind are Pods, or have some that can be told by the object itself."""
    return kind in SELECTING or kind in (CRON_JOB, PODS.gvk.group_kind)


def _selector(kind: GroupKind, live: Mapping[str, Any]) -> str:
    """The label selector of a workload's Pods, as a query takes it; empty if it selects none. Of a CronJob those of the Jobs that run now.

    Source: Kubernetes documentation, "Labels and Selectors", "Resources that support set-based requirements".
    """
    try:
        fields = Fields.of(live)
        if kind == CRON_JOB:
            jobs = sorted(job.text("name") for job in fields.below("status").items("active"))
            return _OPERATORS["In"].format(JOB_NAME, ",".join(jobs)) if jobs else ""
        selector = fields.below("spec").below("selector")
        labels = selector if kind == REPLICATION_CONTROLLER else selector.below("matchLabels")
        parts = [f"{key}={labels.text(key)}" for key in sorted(labels.values)]
        for one in () if labels is selector else selector.items("matchExpressions"):
            parts.append(_OPERATORS[one.text("operator")].format(one.text("key"), ",".join(one.texts("values"))))
        return ",".join(parts)
    except (MalformedError, KeyError):
        return ""


def _is_below(pod: Mapping[str, Any], ref: ObjectRef, live: Mapping[str, Any]) -> bool:
    """Whether the workload is the Pod's controller, or its controller's controller, as far as names tell that."""
    meta = pod["metadata"]
    owner = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), None)
    if owner is None:
        return False
    if ref.group_kind == DEPLOYMENT:
        template = (meta.get("labels") or {}).get(TEMPLATE_HASH)
        return (owner["kind"], owner["name"]) == ("ReplicaSet", f"{ref.name}-{template}")
    if ref.group_kind == CRON_JOB:
        return owner["uid"] in {job.get("uid") for job in live["status"]["active"]}
    return bool(owner["uid"] == live["metadata"]["uid"])
