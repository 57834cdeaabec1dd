"""Remote clusters: one operator, several real control planes, by kubeconfigs in Secrets of tenants.

Aspects: applied there and nothing here · whose name is on it in both · drift and health · a cluster that is gone, or frozen, and the others meanwhile · what happened meanwhile ·
a server that cannot prove who it is, or means harm · a user without rights · a key that is missing · tokens that are rotated · memory for each cluster.
"""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench import count
from cvstate_operator.api.names import DIGEST, FIELD_MANAGER
from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.objects.ownership import PART_OF_LABEL, applyset_id, has_hub
from tests.cluster import builds
from tests.cluster.audit import complete_lines, parse
from tests.cluster.control_plane import Cluster
from tests.support import hostile_cluster, tenancy
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.credentials import Authority, server_tls
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.tenancy import OPERATOR_USER, Tenancy
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HOME: Final = "team-a"
APPLIER: Final = "applier"
USER: Final = f"system:serviceaccount:{HOME}:{APPLIER}"
SHOP: Final = "store"
"""The namespace in the remote clusters in which the kubeconfigs' users may work."""
DEPLOYER: Final = "deployer"
CROWD: Final = 20
"""Kubeconfigs whose memory is measured."""
GOAL_BYTES: Final = 1 * 2**20
LIMIT_BYTES: Final = 3 * 2**20
"""For each remote cluster; the goal is a third of it."""
AT_ONCE: Final = 4
"""Clusters that mean harm, of which one alone would need less."""
SECRETS: Final = (
    "far",
    "other",
    "mirror",
    "stranger-authority",
    "stranger-name",
    "powerless",
    "keyless",
    "rotated",
    *(f"hostile-{answer}-{number}" for answer in ("endless", "bomb", "announced", "garbage", "generous") for number in range(AT_ONCE)),
    *(f"crowd{number}" for number in range(CROWD)),
)
HARM_BYTES: Final = 300 * 2**20
"""What the operator may hold in all while servers mean harm: itself, and two answers of 32 MiB, put together and parsed. The chart's limit is 1 GiB, half of which is for
children."""
OUTAGE_SECONDS: Final = 130.0
"""Longest until an outage is told: what was heard of a cluster is believed for 90 s (docs/failures.md)."""


@dataclass
class Remotes:
    """A cluster with the operator, and two others."""

    home: Tenancy
    far: Cluster
    other: Cluster
    _asked: int = field(default=0)

    def __post_init__(self) -> None:
        self.far_api, self.other_api = Api(self.far.admin_kubeconfig), Api(self.other.admin_kubeconfig)

    def secret(self, name: str, document: Json, *, key: str = "value") -> None:
        """Put a kubeconfig into a Secret, in place of one that may be there."""
        body = manifest("Secret", name, stringData={key: yaml.safe_dump(document)})
        code, answer = self.home.api.apply(f"/api/v1/namespaces/{HOME}/secrets/{name}", body)
        assert code < 300, answer

    def declare(self, name: str, *objects: Json, secret: str = "", **spec: Any) -> None:
        """A ClusterState with these objects, on the cluster of a Secret or on this one."""
        self.home.commit(f"remote-{name}", {"apps/a.yaml": text(*objects)})
        target = {"target": {"kubeConfig": {"secretRef": {"name": secret}}}} if secret else {}
        self.home.declare(HOME, name, repository=f"remote-{name}", serviceAccountName=APPLIER, **target, **spec)

    def ask(self, name: str) -> None:
        """Ask for a full reconcile now."""
        self._asked += 1
        stamp = {"metadata": {"annotations": {"reconcile.cvstate.io/requestedAt": f"{name} {self._asked}"}}}
        self.home.api.merge(f"{CLUSTER_STATES.format(HOME)}/{name}", stamp)

    def unknown(self, name: str) -> None:
        """Wait until all that is said of the cluster there is that nobody knows."""
        for kind in ("Healthy", "Drifted"):
            self.home.wait(HOME, name, "Unknown", "TargetUnreachable", kind=kind, seconds=OUTAGE_SECONDS)
        assert self.home.condition(HOME, name)["status"] != "True"


@pytest.fixture(scope="module")
def remotes(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remotes]:
    def prepare(api: Api) -> None:
        tenancy.namespace(api, HOME)
        tenancy.account(api, HOME, APPLIER, *tenancy.WORKS_WITH, tenancy.rule(["secrets"], verbs=["get"], names=SECRETS))

    values = {"tenants": [{"namespace": HOME, "serviceAccounts": [APPLIER]}]}
    directory = tmp_path_factory.mktemp("remotes")
    with (
        Cluster.start(quiet=True) as far,
        Cluster.start(quiet=True) as other,
        # All of them are on this machine, which is what --allow-insecure-sources is for.
        tenancy.running(git, directory, values, prepare, "--allow-insecure-sources") as home,
    ):
        found = Remotes(home, far, other)
        for name, cluster in (("far", far), ("other", other)):
            found.secret(name, user_of(cluster, DEPLOYER, *tenancy.WORKS_WITH))
        yield found


def user_of(cluster: Cluster, name: str, *rules: Json) -> Json:
    """A kubeconfig of an account that may do this in the namespace SHOP of a cluster."""
    api = Api(cluster.admin_kubeconfig)
    tenancy.namespace(api, SHOP)
    tenancy.account(api, SHOP, name, *rules)
    return tenancy.config(cluster, tenancy.token(api, SHOP, name))


def in_shop(body: Json) -> Json:
    return {**body, "metadata": {**body["metadata"], "namespace": SHOP}}


def shown(api: Api, name: str) -> dict[str, str] | None:
    """The data of a ConfigMap of SHOP; None if it is not there."""
    found = api.get(f"/api/v1/namespaces/{SHOP}/configmaps/{name}")
    return found["data"] if found else None


def asked(cluster: Cluster, user: str) -> list[tuple[Any, str]]:
    """Requests of a user, and as whom."""
    assert cluster.audit_log is not None
    lines = complete_lines(cluster.audit_log.read_bytes())
    found = ((parse(line), (json.loads(line).get("impersonatedUser") or {}).get("username", "")) for line in lines)
    return [(one, acted_as) for one, acted_as in found if one.user == user]


# -- what is done there --------------------------------------------------------------------------------------------


def test_objects_are_applied_there_in_the_name_of_the_kubeconfig_s_user_and_nothing_here(remotes: Remotes):
    remotes.declare("applied", in_shop(config_map("applied", k="v")), secret="far")
    remotes.home.wait(HOME, "applied", "True")
    assert shown(remotes.far_api, "applied") == {"k": "v"}
    assert shown(remotes.other_api, "applied") is None
    assert remotes.home.api.get(f"/api/v1/namespaces/{HOME}/configmaps/applied") is None
    remotes.far.audit.mark()
    there = asked(remotes.far, f"system:serviceaccount:{SHOP}:{DEPLOYER}")
    assert any(one.is_write and one.name == "applied" for one, _ in there)
    assert {acted_as for _, acted_as in there} == {""}, "the account of this cluster is nobody there"
    here = [(one, acted_as) for one, acted_as in asked(remotes.home.cluster, OPERATOR_USER) if one.resource == "secrets"]
    assert {acted_as for _, acted_as in here} == {USER}, "the kubeconfig is read as the account"


def test_an_object_without_a_namespace_goes_into_that_of_the_clusterstate(remotes: Remotes):
    remotes.declare("homeless", config_map("homeless", k="v"), secret="far")
    told = remotes.home.wait(HOME, "homeless", "False", "Forbidden")
    assert f'namespace "{HOME}"' in told["message"], "there, where that user may do nothing"


def test_what_was_applied_there_before_labels_told_the_hub_is_taken_over_without_a_delete(remotes: Remotes):
    name = "former"
    former = applyset_id(name=name, namespace=HOME, kind="ClusterState", group="cvstate.io")
    body = in_shop(config_map(name, k="v"))
    body["metadata"] |= {"labels": {PART_OF_LABEL: former}, "annotations": {DIGEST: "of-before"}}
    path = f"/api/v1/namespaces/{SHOP}/configmaps/{name}"
    assert remotes.far_api.apply(path, body, manager=FIELD_MANAGER)[0] == 201
    before = remotes.far_api.get(path)["metadata"]["uid"]
    remotes.declare(name, in_shop(config_map(name, k="v")), secret="far")
    remotes.home.wait(HOME, name, "True")
    found = remotes.far_api.get(path)["metadata"]
    assert (found["uid"], has_hub(found["labels"][PART_OF_LABEL])) == (before, True)


def test_drift_there_is_repaired_and_health_is_judged_by_what_is_there(remotes: Remotes):
    remotes.declare("lively", in_shop(config_map("lively", k="v")), in_shop(deployment("lively")), secret="far")
    path = f"/apis/apps/v1/namespaces/{SHOP}/deployments/lively"
    found = until("it is made", lambda: remotes.far_api.get(path))
    remotes.home.wait(HOME, "lively", "False", "Progressing", kind="Healthy")
    numbers = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    condition = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": ""}
    status = {"observedGeneration": found["metadata"]["generation"], **numbers, "conditions": [condition]}
    remotes.far_api.merge(f"{path}/status", {"status": status}, manager="controller")
    remotes.home.wait(HOME, "lively", "True", kind="Healthy", seconds=90)
    remotes.far_api.merge(f"/api/v1/namespaces/{SHOP}/configmaps/lively", {"data": {"k": "drifted"}}, manager="somebody")
    until("it is repaired", lambda: shown(remotes.far_api, "lively") == {"k": "v"}, seconds=5)


PAGE: Final = Path(__file__).parents[2] / "docs" / "remote-clusters.md"


def test_the_page_s_own_commands_set_up_a_remote_cluster(remotes: Remotes, tmp_path: Path):
    """Word for word: what stands under "Set it up", and the ClusterState at its top, with our repository."""
    configs = {
        name: yaml.safe_load(cluster.admin_kubeconfig.read_text())
        for name, cluster in (("here", remotes.home.cluster), ("prod-eu", remotes.far))
    }
    merged: Json = {"apiVersion": "v1", "kind": "Config", "current-context": "here"}
    merged["clusters"] = [{"name": name, "cluster": one["clusters"][0]["cluster"]} for name, one in configs.items()]
    merged["users"] = [{"name": name, "user": one["users"][0]["user"]} for name, one in configs.items()]
    merged["contexts"] = [{"name": name, "context": {"cluster": name, "user": name}} for name in configs]
    (tmp_path / "config").write_text(yaml.safe_dump(merged))
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    (_, state), *commands = blocks[:3]
    assert [language for language, _ in commands] == ["bash", "bash"]
    kubectl = builds.ensure(["kubectl"])["kubectl"]
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config"), "PATH": f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}"}
    script = "".join(text for _, text in commands)
    subprocess.run(("bash", "-euo", "pipefail", "-c", script), check=True, cwd=tmp_path, env=environment, timeout=60)
    body = yaml.safe_load(state)
    body["spec"]["source"]["git"] = {"url": remotes.home.git.url("by-the-page"), "path": "apps"}
    by_the_page = config_map("by-the-page", k="v")
    by_the_page["metadata"]["namespace"] = "shop"
    remotes.home.commit("by-the-page", {"apps/a.yaml": text(by_the_page)})
    remotes.home.api.create(CLUSTER_STATES.format(HOME), body)
    remotes.home.wait(HOME, body["metadata"]["name"], "True")
    assert remotes.far_api.get("/api/v1/namespaces/shop/configmaps/by-the-page") is not None


# -- outages -------------------------------------------------------------------------------------------------------

PLACES: Final = ("far", "other", "mirror", "here")
"""Two clusters that fail, this one by a kubeconfig as if it were a third, and this one itself."""


def others_go_on(remotes: Remotes) -> None:
    """Drift in the clusters that are well is repaired as ever."""
    for path in (f"/api/v1/namespaces/{SHOP}/configmaps/outage-mirror", f"/api/v1/namespaces/{HOME}/configmaps/outage-here"):
        remotes.home.api.merge(path, {"data": {"k": "drifted"}}, manager="somebody")
        until(f"{path} is repaired", lambda path=path: (remotes.home.api.get(path) or {})["data"] == {"k": "v"}, seconds=5)
    for name in ("mirror", "here"):
        assert remotes.home.condition(HOME, f"outage-{name}")["status"] == "True"


def samples(remotes: Remotes, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels and values of a metric's series, as they are told."""
    code, text = remotes.home.operator.http("/metrics")
    assert code == 200
    return [
        (sample.labels, sample.value) for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == name
    ]


def clusters(remotes: Remotes) -> dict[str, float]:
    """Remote clusters by whether they can be reached, as the metrics tell."""
    return {labels["result"]: value for labels, value in samples(remotes, "cvstate_target_clusters")}


def away(remotes: Remotes) -> dict[str, str]:
    """ClusterStates whose cluster is away, as the metrics tell: by name, whose cluster it is. Those of tests before may be among them."""
    found = samples(remotes, "cvstate_ready_reason")
    return {labels["name"]: labels["target"] for labels, _ in found if labels["reason"] == "TargetUnreachable"}


def test_clusters_that_are_gone_or_frozen_are_unknown_and_the_others_go_on(remotes: Remotes):
    mirror = user_of(remotes.home.cluster, DEPLOYER, *tenancy.WORKS_WITH)
    mirror["clusters"][0]["cluster"]["tls-server-name"] = (
        "kubernetes.default.svc"  # one of the names in its certificate; it is dialled by its address
    )
    remotes.secret("mirror", mirror)
    for name in PLACES:
        body = config_map(f"outage-{name}", k="v")
        remotes.declare(f"outage-{name}", body if name == "here" else in_shop(body), secret="" if name == "here" else name)
    for name in PLACES:
        remotes.home.wait(HOME, f"outage-{name}", "True")
    until("those of other tests are gone", lambda: clusters(remotes)["unreachable"] == 0)
    remotes.far.kill("kube-apiserver")
    remotes.other.pause("kube-apiserver")
    try:
        others_go_on(remotes)
        for name in ("far", "other"):
            remotes.unknown(f"outage-{name}")
        others_go_on(remotes)
        until("the metrics tell it", lambda: clusters(remotes)["unreachable"] >= 2)
        until("and whose clusters they are", lambda: away(remotes).keys() >= {"outage-far", "outage-other"})
        told = away(remotes)
        assert set(told.values()) == {"remote"}
        assert {name for name in told if name.startswith("outage-")} == {"outage-far", "outage-other"}, "the others of this test go on"
        failed = [
            labels for labels, value in samples(remotes, "cvstate_api_requests_total") if labels["result"] == "TargetUnreachable" and value
        ]
        assert {labels["target"] for labels in failed} <= {"remote"}, "our own API server failed nothing"
    finally:
        remotes.far.restart("kube-apiserver")
        remotes.other.resume("kube-apiserver")
    for name, api in (("far", remotes.far_api), ("other", remotes.other_api)):
        api.merge(f"/api/v1/namespaces/{SHOP}/configmaps/outage-{name}", {"data": {"k": "meanwhile"}}, manager="somebody")
        until("it goes on by itself", lambda api=api, name=name: shown(api, f"outage-{name}") == {"k": "v"}, seconds=60)
        remotes.home.wait(HOME, f"outage-{name}", "True", seconds=60)
        remotes.home.wait(HOME, f"outage-{name}", "True", kind="Healthy", seconds=60)


# -- kubeconfigs that do not do ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(remotes: Remotes, wrong: str):
    document, name = user_of(remotes.far, f"stranger-{wrong}", *tenancy.WORKS_WITH), f"stranger-{wrong}"
    cluster = document["clusters"][0]["cluster"]
    if wrong == "authority":
        theirs = yaml.safe_load(remotes.other.admin_kubeconfig.read_text())["clusters"][0]["cluster"]
        cluster["certificate-authority-data"] = theirs["certificate-authority-data"]
    else:
        cluster["tls-server-name"] = "elsewhere.example.test"
    remotes.secret(name, document)
    remotes.declare(name, in_shop(config_map(name, k="v")), secret=name)
    told = remotes.home.wait(HOME, name, "False", "TargetUnreachable")
    assert "SSLCertVerificationError" in told["message"]
    assert document["users"][0]["user"]["token"] not in json.dumps(remotes.home.status(HOME, name))
    assert asked(remotes.far, f"system:serviceaccount:{SHOP}:{name}") == []


def test_a_user_without_rights_there_is_told_by_that_cluster_s_words(remotes: Remotes):
    remotes.secret("powerless", user_of(remotes.far, "powerless"))
    remotes.declare("powerless", in_shop(config_map("powerless", k="v")), secret="powerless")
    told = remotes.home.wait(HOME, "powerless", "False", "Forbidden")
    assert f"system:serviceaccount:{SHOP}:powerless" in told["message"]


def test_a_secret_or_a_key_that_is_missing_is_awaited(remotes: Remotes):
    remotes.declare("keyless", in_shop(config_map("keyless", k="v")), secret="keyless")
    assert "keyless" in remotes.home.wait(HOME, "keyless", "False", "ReferenceMissing")["message"]
    remotes.secret("keyless", user_of(remotes.far, DEPLOYER, *tenancy.WORKS_WITH), key="config")
    spec = {"spec": {"target": {"kubeConfig": {"secretRef": {"name": "keyless", "key": "config"}}}}}
    remotes.home.api.merge(f"{CLUSTER_STATES.format(HOME)}/keyless", spec)
    remotes.home.wait(HOME, "keyless", "True", seconds=60)


def test_a_rotated_token_is_taken_up(remotes: Remotes):
    remotes.secret("rotated", user_of(remotes.far, "first", *tenancy.WORKS_WITH))
    remotes.declare("rotated", in_shop(config_map("rotated", k="v")), secret="rotated")
    remotes.home.wait(HOME, "rotated", "True")
    remotes.secret("rotated", user_of(remotes.far, "second", *tenancy.WORKS_WITH))
    remotes.far_api.delete(f"/api/v1/namespaces/{SHOP}/serviceaccounts/first")
    second = f"system:serviceaccount:{SHOP}:second"

    def taken_up() -> bool:
        remotes.ask("rotated")
        return any(one.code < 300 for one, _ in asked(remotes.far, second))

    until("the second account is used", taken_up, seconds=120, every=2)
    remotes.home.wait(HOME, "rotated", "True", seconds=60)


# -- servers that mean harm ----------------------------------------------------------------------------------------


HARM: Final = (
    hostile_cluster.endless,
    hostile_cluster.bomb,
    hostile_cluster.announced,
    hostile_cluster.garbage,
    hostile_cluster.generous,
)


@pytest.mark.parametrize("answer", HARM, ids=lambda answer: answer.__name__)
def test_a_server_that_means_harm_fills_nobody_s_memory_and_stops_nobody(remotes: Remotes, answer: hostile_cluster.Answer):
    """Whoever may write a ClusterState chooses the server, and one process works for all tenants."""
    names, authority = [f"hostile-{answer.__name__}-{number}" for number in range(AT_ONCE)], Authority()
    pid = pid_of(remotes.home.operator)
    with hostile_cluster.HostileCluster(answer, server_tls(authority.issue("127.0.0.1"))) as server:
        cluster = {"server": server.url, "certificate-authority-data": base64.b64encode(authority.certificate.encode()).decode()}
        document = tenancy.config(remotes.far, "of-no-use")
        document["clusters"][0]["cluster"] = cluster
        for name in names:
            remotes.secret(name, document)
            remotes.declare(name, in_shop(config_map(name, k="v")), secret=name)
        most = 0

        def is_told() -> bool:
            nonlocal most
            most = max(most, count.memory([pid]).pss)
            return all(remotes.home.condition(HOME, name).get("status") == "False" for name in names)

        # Their answers are taken two at a time, and one that drips takes as long as a request may.
        until("it is told", is_told, seconds=150, every=0.05)
        assert server.asked, remotes.home.condition(HOME, names[0])
        for name in names:
            remotes.home.api.delete(f"{CLUSTER_STATES.format(HOME)}/{name}")
        for name in names:  # or they would connect again while the server ends
            path = f"{CLUSTER_STATES.format(HOME)}/{name}"
            until("it is gone", lambda path=path: remotes.home.api.get(path) is None)
    assert most < HARM_BYTES, f"{most / 2**20:.0f} MiB"


# -- memory --------------------------------------------------------------------------------------------------------


def test_a_remote_cluster_costs_little_memory(remotes: Remotes, capsys: pytest.CaptureFixture[str]):
    """Kubeconfigs of different users are different clusters to the operator, wherever they lead: each has its own connections, discovery and watches."""
    for name in ("far", "other"):
        remotes.declare(f"before-{name}", in_shop(config_map(f"before-{name}", k="v")), secret=name)
        remotes.home.wait(HOME, f"before-{name}", "True", seconds=60)
    for number in range(CROWD):
        name = f"crowd{number}"
        remotes.secret(name, user_of(remotes.other, name, *tenancy.WORKS_WITH))
    before = held(remotes.home.operator)
    for number in range(CROWD):
        name = f"crowd{number}"
        remotes.declare(name, in_shop(config_map(name, k="v")), secret=name)
    for number in range(CROWD):
        remotes.home.wait(HOME, f"crowd{number}", "True", seconds=90)
    each = (held(remotes.home.operator) - before) / CROWD
    with capsys.disabled():
        print(
            f"\nmemory for each remote cluster: {each / 2**20:.2f} MiB (PSS of operator and helpers, {CROWD} clusters; goal {GOAL_BYTES / 2**20:.0f})"
        )
    assert each < LIMIT_BYTES


def held(operator: Operator) -> int:
    """PSS of the operator and its children, bytes: the least of some seconds, since renders come and go."""
    pid = pid_of(operator)
    samples: list[int] = []

    def settled() -> bool:
        samples.append(count.memory([pid]).pss)
        return len(samples) >= 6

    until("it was looked at", settled, seconds=30, every=1)
    return min(samples)


def pid_of(operator: Operator) -> int:
    """The process that runs with this operator's cache; its children have another command line, or came later."""
    cache = str(operator.log.parent / "cache")
    for place in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            words = place.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if "run" in words and cache in words:
            return int(place.name)
    raise AssertionError("the operator does not run")
