"""The admission policy that docs/tenancy.md proposes, taken from the page and tried against a real API server.

Aspects: who may use an account may name it · who may not is told so · no account · another source is as good as another account · what is no change of the spec passes · the operator's
own marks pass.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.control_plane import Cluster
from tests.cluster.errors import ClusterError
from tests.conftest import install_crd
from tests.support.api import Api, Json
from tests.support.objects import RBAC, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration

PAGE: Final = (
    (Path(__file__).parents[2] / "docs" / "tenancy.md")
    .read_text()
    .partition("### Which account a person may name")[2]
    .partition("\n## ")[0]
)
NAMESPACE: Final = "team-a"
JANE: Final = "jane"
OPERATOR: Final = "system:serviceaccount:cvstate-system:cvstate-operator"


def manifests() -> str:
    """All that the page has people apply."""
    found = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    return "---\n".join(found)


def state(name: str, account: str | None, *, url: str = "https://git.example.com/shop.git") -> str:
    spec: Json = {"source": {"git": {"url": url, "path": "apps"}}}
    if account is not None:
        spec["serviceAccountName"] = account
    return json.dumps(manifest("ClusterState", name, api_version="cvstate.io/v1alpha1", namespace=NAMESPACE, spec=spec))


def refusal(cluster: Cluster, user: str, *arguments: str, body: str | None = None) -> str:
    """What a user is told by kubectl; empty if it works."""
    try:
        cluster.kubectl(f"--as={user}", "--namespace", NAMESPACE, *arguments, input=body)
    except ClusterError as exc:
        return str(exc)
    return ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """With a namespace of two accounts, of which Jane may use one, and a ClusterState by the administrator that names the other."""
    with Cluster.start(quiet=True) as running:
        api = Api(running.admin_kubeconfig)
        install_crd(api)
        api.create("/api/v1/namespaces", manifest("Namespace", NAMESPACE))
        rules = [{"apiGroups": ["cvstate.io"], "resources": ["clusterstates"], "verbs": ["*"]}]
        api.create(f"/apis/{RBAC}/namespaces/{NAMESPACE}/roles", manifest("Role", "states", api_version=RBAC, rules=rules))
        subjects = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"} for user in (JANE, OPERATOR)]
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "states"}
        api.create(
            f"/apis/{RBAC}/namespaces/{NAMESPACE}/rolebindings",
            manifest("RoleBinding", "states", api_version=RBAC, subjects=subjects, roleRef=role),
        )
        running.kubectl("apply", "--filename", "-", input=manifests())
        until("the policy is in force", lambda: refusal(running, JANE, "create", "--dry-run=server", "-f", "-", body=state("probe", None)))
        running.kubectl("create", "--filename", "-", input=state("strong", "admin"))
        yield running


def test_the_policy_has_no_warnings_of_the_type_checker(cluster: Cluster):
    told = Api(cluster.admin_kubeconfig).get("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/clusterstate-accounts")
    assert told is not None
    assert told.get("status", {}).get("typeChecking", {}).get("expressionWarnings", []) == []


def test_who_may_use_an_account_may_name_it(cluster: Cluster):
    assert refusal(cluster, JANE, "apply", "-f", "-", body=state("shop", "applier")) == ""
    assert refusal(cluster, JANE, "apply", "-f", "-", body=state("shop", "applier", url="https://git.example.com/other.git")) == ""


@pytest.mark.parametrize("account", ["admin", "default"])
def test_who_may_not_is_told_so(cluster: Cluster, account: str):
    assert f"jane may not use the account {account}" in refusal(cluster, JANE, "create", "-f", "-", body=state("mine", account))


@pytest.mark.parametrize("account", [None, ""], ids=["absent", "empty"])
def test_one_has_to_be_named(cluster: Cluster, account: str | None):
    told = refusal(cluster, JANE, "create", "-f", "-", body=state("mine", account))
    assert "name an account in spec.serviceAccountName" in told or "spec.serviceAccountName in body" in told


def test_another_source_for_an_account_that_one_may_not_use_is_refused(cluster: Cluster):
    source = json.dumps({"spec": {"source": {"git": {"url": "https://git.example.com/mine.git"}}}})
    told = refusal(cluster, JANE, "patch", "clusterstate", "strong", "--type=merge", f"--patch={source}")
    assert "jane may not use the account admin" in told


def test_what_is_no_change_of_the_spec_passes(cluster: Cluster):
    assert refusal(cluster, JANE, "annotate", "clusterstate", "strong", "note=here") == ""


def test_the_operators_marks_pass(cluster: Cluster):
    marks = json.dumps({"metadata": {"finalizers": ["cvstate.io/finalizer"], "labels": {"applyset.kubernetes.io/id": "applyset-x-v1"}}})
    assert refusal(cluster, OPERATOR, "patch", "clusterstate", "strong", "--type=merge", f"--patch={marks}") == ""
    assert "may not use" in refusal(cluster, OPERATOR, "create", "-f", "-", body=state("its", "admin"))
