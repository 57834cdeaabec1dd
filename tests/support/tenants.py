"""Tenants: a ServiceAccount in a namespace, with the rights that a test gives it there and nowhere else."""

from tests.support.api import Api, Json
from tests.support.objects import RBAC, manifest


def make(api: Api, namespace: str, account: str, rules: list[Json]) -> None:
    """Make the account with a Role and a RoleBinding of its name, or give it other rules."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": account}
    for path, body in (
        (f"/api/v1/namespaces/{namespace}/serviceaccounts", manifest("ServiceAccount", account)),
        (f"/apis/{RBAC}/namespaces/{namespace}/roles", manifest("Role", account, api_version=RBAC, rules=rules)),
        (
            f"/apis/{RBAC}/namespaces/{namespace}/rolebindings",
            manifest("RoleBinding", account, api_version=RBAC, roleRef=reference, subjects=[subject]),
        ),
    ):
        code, answer = api.apply(f"{path}/{account}", body)
        assert code < 300, answer
