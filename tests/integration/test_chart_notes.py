"""What the operator's chart tells after an install, followed to the letter in a cluster with nodes.

Aspects: each command that is shown works when it is copied · warnings are there while there is reason for them, and go · with config.namespaces.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster import builds
from tests.cluster.control_plane import Cluster
from tests.support import charts
from tests.support.api import Api, Json
from tests.support.charts import OPERATOR, ROOT
from tests.support.objects import RBAC, manifest

pytestmark = pytest.mark.integration

NAMESPACE: Final = "gitops"
RELEASE: Final = "ours"
"""Neither is what the documentation names."""
COMMAND: Final = re.compile(r"^  ((?:kubectl|helm) (?:.*\\\n)*.*)$", re.MULTILINE)
NO_KIND: Final = "the kind ClusterState is not served here"
NOBODY: Final = "the operator may act for nobody yet"


class Person:
    """Somebody in a checkout of the repository, with kubectl and Helm."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.api = Api(cluster.admin_kubeconfig)
        self._kubeconfig, self._home = cluster.admin_kubeconfig, home
        programs = builds.ensure(["helm", "kubectl"])
        self._path = ":".join([*(str(program.parent) for program in programs.values()), os.environ["PATH"]])

    def upgrade(self, values: Json) -> str:
        """Install the operator, or upgrade it to exactly these values; what Helm tells."""
        command = ("upgrade", "--install", RELEASE, OPERATOR, "--namespace", NAMESPACE, "--reset-values")
        return charts.helm(*command, values=values, kubeconfig=self._kubeconfig, home=self._home)

    def type(self, command: str) -> str:
        """Run a command as it stands there; what it tells.

        Raises:
            AssertionError: it failed.
        """
        variables = {"PATH": self._path, "HOME": str(self._home), "KUBECONFIG": str(self._kubeconfig)}
        done = subprocess.run(("bash", "-c", command), cwd=ROOT, env=variables, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def granted(self, namespace: str) -> list[str]:
        """Accounts of a namespace that the operator may act as."""
        role = self.api.get(f"/apis/{RBAC}/namespaces/{namespace}/roles/{RELEASE}-cvstate-operator-impersonate")
        return role["rules"][0]["resourceNames"] if role else []


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """In a cluster where nothing is installed."""
    with Cluster.start() as cluster:
        room = json.dumps({"status": {size: {"ephemeral-storage": "100Gi"} for size in ("capacity", "allocatable")}})
        for node in cluster.kubectl("get", "nodes", "--output", "name").split():  # simulated ones have no disks otherwise
            cluster.kubectl("patch", node, "--subresource", "status", "--type", "merge", "--patch", room)
        found = Person(cluster, tmp_path_factory.mktemp("person"))
        found.api.create("/api/v1/namespaces", manifest("Namespace", NAMESPACE))
        yield found


def test_the_commands_work_in_their_order_and_the_warnings_go(person: Person):
    told = person.upgrade({})
    assert NO_KIND in told
    assert NOBODY in told
    commands = COMMAND.findall(told)
    assert [" ".join(command.split()[:2]) for command in commands] == [
        "kubectl --namespace",
        "helm upgrade",
        "kubectl create",
        "kubectl --namespace",
        "kubectl --namespace",
        "helm upgrade",
    ]
    for command in commands:
        said = person.type(command)
    # What the last of them, an upgrade, told in its turn.
    assert NO_KIND not in said
    assert NOBODY not in said
    assert "team-a: applier" in said
    assert person.granted("team-a") == ["applier"]


def test_a_namespace_of_the_operators_own_is_proposed_where_it_has_some(person: Person):
    person.api.create("/api/v1/namespaces", manifest("Namespace", "shop"))
    told = person.upgrade({"config": {"namespaces": ["shop"]}})
    for command in COMMAND.findall(told):
        person.type(command)
    assert person.granted("shop") == ["applier"]


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"rbac": {"create": False}}, "rbac.create is off"),
        ({"impersonation": {"allNamespaces": True}}, "as good as"),
        ({"config": {"requireServiceAccount": False}}, "config.requireServiceAccount is off"),
    ],
    ids=["no-rights", "all-accounts", "no-account-needed"],
)
def test_what_is_dangerous_or_cannot_work_is_told(person: Person, values: Json, warning: str):
    assert warning in person.upgrade(values)
    assert warning not in person.upgrade({})
