"""Identities other than the cluster's two users: service accounts with the rights a test gives them."""

from pathlib import Path

import yaml

from tests.support.api import Json
from tests.support.objects import RBAC, manifest
from tests.support.world import World


def token(world: World, account: str) -> str:
    """A token of a service account of this test's namespace; the account is made if it is not there."""
    world.api.apply(world.path("serviceaccounts", account), manifest("ServiceAccount", account))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(world.api.create(world.path("serviceaccounts", f"{account}/token"), request)["status"]["token"])


def kubeconfig(world: World, secret: str, file: Path) -> Path:
    """The operator's kubeconfig, but with this token."""
    config = yaml.safe_load(world.cluster.operator_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": secret}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config))
    return file


def grant(world: World, account: str, rules: list[Json]) -> None:
    """Let a service account of this test's namespace do this, and nothing else, in the whole cluster."""
    name = f"{world.name}-{account}"
    role = manifest("ClusterRole", name, api_version=RBAC, rules=rules)
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": world.name}]
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": name}
    binding = manifest("ClusterRoleBinding", name, api_version=RBAC, roleRef=reference, subjects=subjects)
    for plural, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        code, answer = world.api.apply(f"/apis/{RBAC}/{plural}/{name}", body)
        assert code < 300, answer
