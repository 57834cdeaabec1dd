"""A shop that another tool has, and its way to us and back, as the pages about migration go it: what both tests of these pages share."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cvstate_operator.api.names import REQUESTED_AT
from cvstate_operator.cli.demo.git_server import GitServer, Repository
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support import tenants
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.pages import Command, Page, Shell
from tests.support.waiting import until

NAMESPACE: Final = "team-a"
URL: Final = "https://git.example.com/shop.git"
"""What the pages write where a person has a repository of his own."""
FILE: Final = "apps/shop.yaml"
PART_OF: Final = "applyset.kubernetes.io/part-of"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MARKS: Final = ("applyset.kubernetes.io/", "cvstate.io/", "kustomize.toolkit.fluxcd.io/", "argocd.argoproj.io/", LAST_APPLIED)
"""How the labels and annotations begin that are tools' own."""
OURS: Final = ("cvstate-operator", "Apply")
RIGHTS: Final = [
    {
        "apiGroups": ["", "apps"],
        "resources": ["configmaps", "secrets", "services", "deployments", "pods", "replicasets"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    }
]
REPLICAS: Final = 2
SERVICE: Final = manifest("Service", "web", spec={"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]})
SECRET: Final = manifest("Secret", "web", data={"password": "bWFkZS11cA=="})
SETTINGS: Final = config_map("web", color="blue", size="l")
FEWER: Final = config_map("web", color="blue")
"""The same without one of its fields."""
SHOP: Final = (deployment("web", replicas=REPLICAS), SERVICE, SETTINGS, SECRET)
"""What Git declares, and the tool before us applied."""
STRAY: Final = manifest("ConfigMap", "stray", data={"k": "v"}, annotations={"kustomize.toolkit.fluxcd.io/prune": "disabled"})
"""The other tool's as well, and in no file."""
PLURALS: Final = {"Deployment": "deployments", "Service": "services", "ConfigMap": "configmaps", "Secret": "secrets"}
LOOK: Final = "1. Look, and write nothing"
TAKE: Final = "3. Take over"
BACK: Final = "The way back"
CONSENT_BACK: Final = "6. Take the consent back"


class Tool(Protocol):
    """Who had the objects before us."""

    name: str
    """As problems name it."""
    is_server_side: bool
    """How it applies."""

    def apply(self) -> None:
        """Carry out what Git declares now."""

    def act(self) -> None:
        """Do what it does by itself by now, or what the page asks for in its own words; nothing if it is really there."""


@dataclass
class Ground:
    """A cluster of its own with an operator, and a person with a shell."""

    cluster: Cluster
    api: Api
    repository: Repository
    url: str
    """Of the repository."""
    shell: Shell
    directory: Path
    declared: tuple[Json, ...] = SHOP
    """By the newest commit."""

    def path(self, body: Json) -> str:
        root = "/apis/apps/v1" if body["kind"] == "Deployment" else "/api/v1"
        return f"{root}/namespaces/{NAMESPACE}/{PLURALS[body['kind']]}/{body['metadata']['name']}"

    def live(self, body: Json) -> Json | None:
        return self.api.get(self.path(body))

    def all_live(self) -> list[Json]:
        """The shop as it is in the cluster, once its controllers have nothing to do.

        Raises:
            AssertionError: an object is not there.
        """
        until("the Deployment is rolled out", lambda: is_rolled_out(self.live(SHOP[0]) or {}))
        found = [self.live(body) for body in SHOP]
        assert None not in found
        return [one for one in found if one]

    def pods(self) -> set[str]:
        """Of the shop, by uid."""
        found = self.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dweb")[1]["items"]
        return {one["metadata"]["uid"] for one in found}

    def status(self) -> Json:
        found = self.api.get(f"{CLUSTER_STATES.format(NAMESPACE)}/shop")
        return (found or {}).get("status", {})

    def carry_out(self, page: Page, section: str) -> list[str]:
        """Run the commands of a section; what each of them printed."""
        return [self.shell.run(command) for command in page.commands(section)]

    def declare(self, *objects: Json) -> str:
        """Git declares these from now on; the commit."""
        self.declared = objects
        return self.repository.commit({FILE: text(*objects)})

    def commit(self, *objects: Json) -> None:
        """Git declares these from now on, and it is carried out."""
        commit = self.declare(*objects)
        self.look(commit)
        until("the commit is applied", lambda: commit in self.status().get("lastAppliedRevision", ""))

    def look(self, value: str) -> None:
        """Have the operator look at Git now; a value that was not used yet."""
        self.api.merge(f"{CLUSTER_STATES.format(NAMESPACE)}/shop", {"metadata": {"annotations": {REQUESTED_AT: value}}})


@contextmanager
def prepared(git: GitServer, directory: Path) -> Iterator[Ground]:
    """A cluster with controllers, the operator, and a repository that declares the shop; nothing of it is applied yet."""
    name = f"shop-{directory.name}"
    repository = git.repository(name)
    repository.commit({FILE: text(*SHOP)})
    with Cluster.start(nodes=1) as cluster:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        for namespace in (NAMESPACE, "flux-system", "argocd"):
            api.create("/api/v1/namespaces", manifest("Namespace", namespace))
        tenants.make(api, NAMESPACE, "applier", RIGHTS)
        shell = Shell(directory / "checkout", cluster.admin_kubeconfig, instead={URL: git.url(name)})
        with Operator(cluster.operator_kubeconfig, directory / "operator"):
            yield Ground(cluster, api, repository, git.url(name), shell, directory)


def with_meta(body: Json, **meta: Mapping[str, str]) -> Json:
    """The object with more labels or annotations."""
    added = {kind: {**body["metadata"].get(kind, {}), **values} for kind, values in meta.items()}
    return {**body, "metadata": {**body["metadata"], **added}}


def kind(api: Api, crd: Json) -> None:
    """Have a kind of another tool, which takes whatever it is given."""
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    spec = crd["spec"]
    path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    until(f"{path} is served", lambda: api.request("GET", path)[0] == 200)


def is_rolled_out(found: Json) -> bool:
    """Whether the controllers have done all that this Deployment asks for, and have said so."""
    status = found.get("status", {})
    return status.get("observedGeneration") == found["metadata"]["generation"] and status.get("availableReplicas") == REPLICAS


def held(obj: Json) -> dict[tuple[str, str], Json]:
    """Who holds what, but for the status."""
    found = [entry for entry in obj["metadata"].get("managedFields", ()) if "subresource" not in entry]
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in found}


def held_by_both(ours: Json, theirs: Json, at: str = "") -> list[str]:
    """Fields that are in two field sets."""
    found: list[str] = []
    for name in (ours.keys() & theirs.keys()) - {"."}:
        here = f"{at}/{name}"
        found += held_by_both(ours[name], theirs[name], here) if ours[name] and theirs[name] else [here]
    return found


def content(obj: Json) -> Json:
    """What must not change on the way: the very object, and all that is neither a tool's mark nor told by the API server."""
    meta = obj["metadata"]
    kept = {kind: {k: v for k, v in meta.get(kind, {}).items() if not k.startswith(MARKS)} for kind in ("labels", "annotations")}
    return {"uid": meta["uid"], **kept, **{name: value for name, value in obj.items() if name not in ("metadata", "status")}}


def standing(ground: Ground) -> tuple[list[Json], set[str]]:
    """The content of all objects, and the Pods."""
    return [content(one) for one in ground.all_live()], ground.pods()


def deleted(ground: Ground, since: int) -> list[str]:
    """Deletes of anybody since a mark, but for those of the tools' own kinds."""
    ground.cluster.audit.mark()  # waits until it has caught up
    found = ground.cluster.audit.requests(since)
    resources = {*PLURALS.values(), "pods", "replicasets"}
    return [f"{r.user} {r.resource} {r.name}" for r in found if r.verb in ("delete", "deletecollection") and r.resource in resources]


def refuses_without_consent(ground: Ground, tool: Tool) -> None:
    """Without `adoption: Force` nothing is taken, and the tool is named."""
    spec = {"serviceAccountName": "applier", "source": {"git": {"url": ground.url, "path": "apps"}}}
    ground.api.create(CLUSTER_STATES.format(NAMESPACE), manifest("ClusterState", "shop", api_version="cvstate.io/v1alpha1", spec=spec))

    def refused() -> bool:
        problems = ground.status().get("problems", ())
        return (
            {p["reason"] for p in problems} == {"OwnerConflict"}
            and len(problems) == len(SHOP)
            and all(tool.name in p["message"] for p in problems)
        )

    until(f"all of it is refused as {tool.name}'s", refused)
    assert not [one for one in ground.all_live() if PART_OF in one["metadata"].get("labels", {})]


def looked_at(ground: Ground, page: Page) -> None:
    """Step 1: all is adopted in the plan, nothing changes but our own marks, and nothing is written."""
    before = ground.all_live()
    *_, plan = ground.carry_out(page, LOOK)
    assert plan.count("adopted") == len(SHOP), plan
    answer = ground.shell.run(Command(f"cvstate plan shop -n {NAMESPACE} -o json # ends with 1"))
    planned = json.loads(answer)
    assert planned["counts"] | {"held": 0} == {"create": 0, "update": 4, "repair": 0, "recreate": 0, "prune": 0, "held": 0, "problems": 0}
    fields = {field["path"] for change in planned["changes"] for field in change["fields"]}
    assert not [path for path in fields if not path.startswith("/metadata/")], fields
    assert [one["metadata"]["resourceVersion"] for one in ground.all_live()] == [one["metadata"]["resourceVersion"] for one in before]


def taken(ground: Ground, page: Page, tool: Tool, rest: str) -> str:
    """Steps 1 to 3; what the check found."""
    refuses_without_consent(ground, tool)
    looked_at(ground, page)
    ground.carry_out(page, rest)
    *_, left = ground.carry_out(page, TAKE)
    assert all(OURS in held(one) for one in ground.all_live())
    return left


def there_and_back(ground: Ground, page: Page, tool: Tool, rest: str, *back: str) -> None:
    """Steps 1 to 3 and the way back: everything is the tool's again, as it was, and what leaves Git leaves the cluster by it."""
    before = ground.all_live()
    taken(ground, page, tool, rest)
    for section in back:
        for command in page.commands(section):
            if is_awaited(command):
                tool.act()
            ground.shell.run(command)
        tool.act()
    assert ground.api.get(f"{CLUSTER_STATES.format(NAMESPACE)}/shop") is None
    tool.apply()
    after = ground.all_live()
    assert [content(one) for one in after] == [content(one) for one in before]
    for one, was in zip(after, before, strict=True):
        marks = {**one["metadata"].get("labels", {}), **one["metadata"].get("annotations", {})}
        assert not [mark for mark in marks if mark.startswith(("applyset.kubernetes.io/", "cvstate.io/"))]
        assert not tool.is_server_side or held(one) == held(was)
    ground.declare(SHOP[0], SERVICE, FEWER, SECRET)
    tool.apply()
    assert (ground.live(SETTINGS) or {})["data"] == FEWER["data"]
    ground.declare(*SHOP)
    tool.apply()


def is_awaited(command: Command) -> bool:
    """Whether a command waits for what the tool does with the objects."""
    return command.text.startswith(f"kubectl --namespace {NAMESPACE} wait deployments")


def leaves_with_git(ground: Ground) -> None:
    """Nobody else keeps alive what leaves Git: neither a field nor an object."""
    ground.commit(SHOP[0], SERVICE, FEWER, SECRET)
    until("the field is gone", lambda: (ground.live(FEWER) or {})["data"] == FEWER["data"])
    ground.commit(SHOP[0], FEWER, SECRET)
    until("the object is gone", lambda: ground.live(SERVICE) is None)


def takes_nothing_more(ground: Ground, marked: Json, tool: Tool) -> None:
    """The consent is gone: another object of the tool's, now in Git, is refused."""
    ground.api.create(ground.path(marked).rpartition("/")[0], marked)
    ground.look(ground.repository.commit({"apps/more.yaml": text(config_map(marked["metadata"]["name"], k="ours"))}))
    problems = until("it is a problem", lambda: ground.status().get("problems"))
    assert [p["reason"] for p in problems] == ["OwnerConflict"]
    assert tool.name in problems[0]["message"]
    assert (ground.live(marked) or {})["data"] == marked["data"]


def somebody_else_writes(ground: Ground) -> None:
    """Fields that are in no file have to stay too."""
    ground.api.merge(ground.path(SHOP[0]), {"metadata": {"annotations": {"example.com/on-duty": "jane"}}}, manager="somebody")
