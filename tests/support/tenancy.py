"""Tenants, and the operator as the chart installs it: an account with exactly the chart's rights, asked for in its own name by a token as a Pod gets one."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster import builds
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.objects import RBAC, manifest
from tests.support.operator import Operator
from tests.support.waiting import until

CHART: Final = Path(__file__).parents[2] / "deploy" / "charts" / "cvstate-operator"
NAMESPACE: Final = "cvstate-system"
ACCOUNT: Final = "cvstate-operator"
"""Of a release with the name of the chart."""
OPERATOR_USER: Final = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"

STRICT: Final = ("--require-service-account", "--no-allow-insecure-sources", "--allow-git-host", "127.0.0.1")
"""Options that outside of a Pod make the operator as strict as in one; but for the Git server of the test, which is on this machine."""

_RIGHTS: Final = {
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "ClusterRole": (f"/apis/{RBAC}", "clusterroles"),
    "ClusterRoleBinding": (f"/apis/{RBAC}", "clusterrolebindings"),
    "Role": (f"/apis/{RBAC}", "roles"),
    "RoleBinding": (f"/apis/{RBAC}", "rolebindings"),
}
VERBS: Final = ["get", "list", "watch", "create", "update", "patch", "delete"]


def rule(resources: Sequence[str], *, group: str = "", verbs: Sequence[str] = VERBS, names: Sequence[str] = ()) -> Json:
    """One rule of a Role."""
    return {"apiGroups": [group], "resources": [*resources], "verbs": [*verbs], **({"resourceNames": [*names]} if names else {})}


WORKS_WITH: Final = (
    rule(["configmaps", "services"]),
    rule(["deployments"], group="apps"),
    rule(["roles", "rolebindings"], group="rbac.authorization.k8s.io"),
)
"""What a tenant's account may do in its namespace: enough to work, and to try to give itself more."""


def rights(directory: Path, values: Mapping[str, Any]) -> list[Json]:
    """The accounts, Roles and bindings of the chart with these values."""
    file = directory / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    helm = builds.ensure(["helm"])["helm"]
    command = (helm, "template", ACCOUNT, CHART, "--namespace", NAMESPACE, "--values", file)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "HOME": str(directory)})
    return [body for body in yaml.safe_load_all(done.stdout) if body and body["kind"] in _RIGHTS]


def grant(api: Api, directory: Path, values: Mapping[str, Any]) -> None:
    """Give the operator's account the rights of the chart."""
    namespace(api, NAMESPACE)
    api.delete(f"/apis/{RBAC}/clusterrolebindings/{ACCOUNT}")  # the test cluster's own user has a binding of that name, to another role
    for body in rights(directory, values):
        root, plural = _RIGHTS[body["kind"]]
        meta = body["metadata"]
        within = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        code, answer = api.apply(f"{root}{within}/{plural}/{meta['name']}", body)
        assert code < 300, answer


def namespace(api: Api, name: str) -> None:
    """Have a namespace; one that is there stays as it is."""
    code, answer = api.apply(f"/api/v1/namespaces/{name}", manifest("Namespace", name))
    assert code < 300, answer


def account(api: Api, where: str, name: str, *rules: Json) -> str:
    """Have an account with these rights in its namespace and none elsewhere; returns its user name."""
    bodies = [("/api/v1", "serviceaccounts", manifest("ServiceAccount", name))]
    if rules:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subjects = [{"kind": "ServiceAccount", "name": name, "namespace": where}]
        bodies.append((f"/apis/{RBAC}", "roles", manifest("Role", name, api_version=RBAC, rules=[*rules])))
        bodies.append(
            (f"/apis/{RBAC}", "rolebindings", manifest("RoleBinding", name, api_version=RBAC, roleRef=reference, subjects=subjects))
        )
    for root, plural, body in bodies:
        code, answer = api.apply(f"{root}/namespaces/{where}/{plural}/{name}", body)
        assert code < 300, answer
    return f"system:serviceaccount:{where}:{name}"


def make_admin(api: Api, where: str, name: str) -> None:
    """Have an account that may do everything in the whole cluster."""
    account(api, where, name)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": where}]
    body = manifest("ClusterRoleBinding", f"{where}-{name}", api_version=RBAC, roleRef=reference, subjects=subjects)
    code, answer = api.apply(f"/apis/{RBAC}/clusterrolebindings/{where}-{name}", body)
    assert code < 300, answer


def token(api: Api, where: str, name: str) -> str:
    """A token of an account, as a Pod gets it."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(api.create(f"/api/v1/namespaces/{where}/serviceaccounts/{name}/token", request)["status"]["token"])


def config(cluster: Cluster, secret: str, **user: Any) -> Json:
    """A kubeconfig of this cluster for the bearer of a token; `user` are more fields of the user."""
    found: Json = yaml.safe_load(cluster.admin_kubeconfig.read_text())
    found["users"][0]["user"] = {"token": secret, **user}
    return found


def kubeconfig(cluster: Cluster, api: Api, file: Path, *, where: str = NAMESPACE, name: str = ACCOUNT) -> Path:
    """The same as a file, by default for the operator's own account."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config(cluster, token(api, where, name))))
    return file


@dataclass
class Tenancy:
    """A cluster in which the operator may act for tenants and has no more rights than the chart gives it."""

    cluster: Cluster
    api: Api
    git: GitServer
    operator: Operator

    def commit(self, repository: str, files: Mapping[str, str]) -> str:
        """A new repository with these files; the id of its only commit."""
        return self.git.repository(repository).commit(files)

    def declare(self, where: str, name: str, *, repository: str = "", **spec: Any) -> None:
        """Apply a ClusterState on the directory apps of a repository, by default one of its own name."""
        git = {"url": self.git.url(repository or name), "path": "apps", "interval": "1m", **spec.pop("git", {})}
        body = manifest("ClusterState", name, api_version="cvstate.io/v1alpha1", spec={"source": {"git": git}, **spec})
        code, answer = self.api.apply(f"{CLUSTER_STATES.format(where)}/{name}", body)
        assert code < 300, answer

    def status(self, where: str, name: str) -> Json:
        """Empty before there is one."""
        found = self.api.get(f"{CLUSTER_STATES.format(where)}/{name}")
        return (found or {}).get("status", {})

    def condition(self, where: str, name: str, kind: str = "Ready") -> Json:
        """Empty if the status does not have it."""
        return next((one for one in self.status(where, name).get("conditions", ()) if one["type"] == kind), {})

    def wait(self, where: str, name: str, status: str, reason: str = "", *, kind: str = "Ready", seconds: float = 45.0) -> Json:
        """Wait until a condition has this status and, if given, this reason; returns it."""

        def look() -> Json | None:
            found = self.condition(where, name, kind)
            return found if found.get("status") == status and reason in ("", found["reason"]) else None

        try:
            return until(f"{kind}={status} {reason} of {where}/{name}", look, seconds=seconds, every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {self.status(where, name)}") from None


@contextmanager
def running(git: GitServer, directory: Path, values: Mapping[str, Any], prepare: Any, *options: str) -> Iterator[Tenancy]:
    """A cluster of its own with the chart's rights, and the operator as a process with its account.

    Args:
        git: where repositories are.
        directory: for the operator's files.
        values: of the chart.
        prepare: called with the admin's client before the operator begins; it makes the tenants' namespaces and accounts.
        options: of `cvstate run` beside STRICT.
    """
    with Cluster.start(quiet=True) as cluster:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        prepare(api)
        grant(api, directory, values)
        user = kubeconfig(cluster, api, directory / "operator.kubeconfig")
        with Operator(user, directory / "operator", *STRICT, *options) as operator:
            yield Tenancy(cluster, api, git, operator)
