"""The charts, by the real Helm in a real API server.

Aspects: lint · what a default install makes · the Pod under the Pod Security Standard "restricted" · upgrade from one set of values to another · what
the operator may do, and for whom · constrained impersonation · monitoring objects hold the files of the repository · values that are refused ·
uninstall leaves kinds, ClusterStates and objects · install.yaml.
"""

import copy
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy import charts as made
from tests.cluster import builds
from tests.cluster.control_plane import Cluster
from tests.support import charts, tenants
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.charts import CRDS, NAMESPACE, OPERATOR, RELEASE, HelmFailedError
from tests.support.objects import RBAC, config_map, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration

TENANTS: Final = [
    {"namespace": "team-a", "serviceAccounts": ["applier", "reader"]},
    {"namespace": "team-b", "serviceAccounts": ["applier"]},
]
ACCOUNT: Final = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
DEPLOYMENT: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}"
HOSTS: Final = ("allowGitHosts", "allowPrometheusHosts", "allowNoticeHosts", "prometheusHosts")
"""Settings that name hosts."""
NO_HOSTS: Final = ("10.0.0.1:443", "[2001:db8::1]:443", "10.0.0.256", "10.0.0", "2001:db8::1::2", "2001:db8:1", "1:2:3:4:5:6:7:8:9")
"""What looks like an address, and is none."""
ADDRESSES: Final = (
    "git.example.com.",
    "10.0.0.255",
    "::",
    "::1",
    "2001:db8::1",
    "[2001:DB8::a]",
    "2001:db8::",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
)
"""What may be named there."""


class Chart:
    """Helm on one cluster, with a home of its own."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.api = Api(cluster.admin_kubeconfig)
        self._kubeconfig, self._home = cluster.admin_kubeconfig, home

    def upgrade(self, values: Json | None = None) -> str:
        """Install the operator, or upgrade it to exactly these values."""
        command = ("upgrade", "--install", RELEASE, OPERATOR, "--namespace", NAMESPACE, "--reset-values")
        return charts.helm(*command, values=values or {}, kubeconfig=self._kubeconfig, home=self._home)

    def run(self, *arguments: str | Path) -> str:
        return charts.helm(*arguments, kubeconfig=self._kubeconfig, home=self._home)

    def deployment(self) -> Json:
        found = self.api.get(DEPLOYMENT)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helm")


@pytest.fixture(scope="module")
def chart(home: Path) -> Iterator[Chart]:
    """A cluster of its own, with the kinds and two tenants' namespaces; the operator is not installed."""
    with Cluster.start(quiet=True) as running:
        found = Chart(running, home)
        charts.make_room(found.api)
        for name in (NAMESPACE, "team-a", "team-b", "team-c"):
            labels = RESTRICTED if name == NAMESPACE else {}
            found.api.create("/api/v1/namespaces", manifest("Namespace", name, labels=labels))
        found.run("install", "cvstate-operator-crds", CRDS, "--namespace", NAMESPACE)
        until("the kinds are served", lambda: found.api.request("GET", "/apis/cvstate.io/v1alpha1/clusterstates")[0] == 200)
        yield found


def names(objects: list[Json]) -> list[str]:
    return sorted(f"{one['kind']} {one['metadata'].get('namespace', '-')}/{one['metadata']['name']}" for one in objects)


# -- rendering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", [OPERATOR, CRDS], ids=lambda directory: directory.name)
def test_lint_has_nothing_to_say(home: Path, directory: Path):
    told = charts.helm("lint", "--strict", directory, home=home)
    assert "0 chart(s) failed" in told
    assert "[WARNING]" not in told


def test_a_default_install_makes_this_and_nothing_else(home: Path):
    assert names(charts.rendered(OPERATOR, home=home)) == [
        "ClusterRole -/cvstate-operator",
        "ClusterRole -/cvstate-operator-approve",
        "ClusterRole -/cvstate-operator-clusterstates",
        "ClusterRole -/cvstate-operator-edit",
        "ClusterRole -/cvstate-operator-view",
        "ClusterRoleBinding -/cvstate-operator",
        "ClusterRoleBinding -/cvstate-operator-clusterstates",
        "ConfigMap cvstate-system/cvstate-operator",
        "Deployment cvstate-system/cvstate-operator",
        "NetworkPolicy cvstate-system/cvstate-operator",
        "Role cvstate-system/cvstate-operator-members",
        "RoleBinding cvstate-system/cvstate-operator-members",
        "Service cvstate-system/cvstate-operator",
        "ServiceAccount cvstate-system/cvstate-operator",
    ]


def test_an_operator_of_some_namespaces_has_rights_in_these_only(home: Path):
    objects = charts.rendered(OPERATOR, {"config": {"namespaces": ["team-a", "team-b"]}}, home=home)
    cluster_wide = {one["roleRef"]["name"] for one in objects if one["kind"] == "ClusterRoleBinding"}
    assert cluster_wide == {RELEASE}
    bound = {
        (one["metadata"]["namespace"], one["roleRef"]["name"])
        for one in objects
        if one["kind"] == "RoleBinding" and one["roleRef"]["kind"] == "ClusterRole"
    }
    assert bound == {(space, f"{RELEASE}-clusterstates") for space in ("team-a", "team-b")}


def test_the_settings_file_holds_what_was_set_and_nothing_empty(home: Path):
    objects = charts.rendered(OPERATOR, {"config": {"writers": 8, "allowGitHosts": ["git.example.com"]}}, home=home)
    settings = yaml.safe_load(charts.one(objects, "ConfigMap")["data"]["config.yaml"])
    assert settings["writers"] == 8
    assert settings["allowGitHosts"] == ["git.example.com"]
    assert "otlpEndpoint" not in settings
    assert "defaultServiceAccount" not in settings


def template(objects: list[Json]) -> Json:
    found: Json = charts.one(objects, "Deployment")["spec"]["template"]
    return found


@pytest.mark.parametrize(
    ("values", "is_new"),
    [({"config": {"logLevel": "debug"}}, False), ({"config": {"notices": [{"name": "a"}]}}, False), ({"config": {"writers": 8}}, True)],
    ids=["log-level", "notices", "writers"],
)
def test_settings_that_are_read_anew_make_no_new_pods(home: Path, values: Json, is_new: bool):
    assert (template(charts.rendered(OPERATOR, values, home=home)) != template(charts.rendered(OPERATOR, home=home))) is is_new


def test_the_grace_period_is_longer_than_the_shutdown(home: Path):
    spec = template(charts.rendered(OPERATOR, {"config": {"shutdownSeconds": 60}}, home=home))["spec"]
    assert spec["terminationGracePeriodSeconds"] == 75


def test_a_digest_wins_over_a_tag(home: Path):
    digest = f"sha256:{'a' * 64}"
    (container,) = template(charts.rendered(OPERATOR, {"image": {"tag": "1", "digest": digest}}, home=home))["spec"]["containers"]
    assert container["image"] == f"ghcr.io/cvstate/cvstate-operator@{digest}"


def test_addresses_of_metadata_services_stay_closed(home: Path):
    policy = charts.one(charts.rendered(OPERATOR, home=home), "NetworkPolicy")
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    assert all("169.254.0.0/16" in block["except"] for block in blocks if block["cidr"] == "0.0.0.0/0")
    assert all({"fe80::/10", "fd00:ec2::254/128"} <= set(block["except"]) for block in blocks if block["cidr"] == "::/0")


def test_ranges_that_hold_none_of_them_are_taken_as_they_are(home: Path):
    cidrs = ["10.0.0.0/8", "192.168.7.0/24", "10.169.254.0/24", "2001:db8::/32", "fd12:3456::/32"]
    policy = charts.one(charts.rendered(OPERATOR, {"networkPolicy": {"git": {"cidrs": cidrs}}}, home=home), "NetworkPolicy")
    (rule,) = [rule for rule in policy["spec"]["egress"] if {"protocol": "TCP", "port": 22} in rule["ports"]]
    assert rule["to"] == [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]


def test_monitoring_objects_hold_the_files_of_the_repository(home: Path):
    on = {"monitoring": {"serviceMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboards": {"enabled": True}}}
    objects = charts.rendered(OPERATOR, on, home=home)
    groups = [group for file in sorted((OPERATOR / "rules").glob("*.yaml")) for group in yaml.safe_load(file.read_text())["groups"]]
    assert groups
    assert charts.one(objects, "PrometheusRule")["spec"]["groups"] == groups
    boards = {file.name: json.loads(file.read_text()) for file in (OPERATOR / "dashboards").glob("*.json")}
    assert boards
    held = [one for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert {name.removeprefix("cvstate-"): json.loads(text) for one in held for name, text in one["data"].items()} == boards
    (endpoint,) = charts.one(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True


def test_a_service_monitor_selects_the_service_of_metrics_alone(home: Path):
    objects = charts.rendered(OPERATOR, {"webhook": {"enabled": True}, "monitoring": {"serviceMonitor": {"enabled": True}}}, home=home)
    wanted = charts.one(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    selected = [one["metadata"]["name"] for one in objects if one["kind"] == "Service" and wanted <= one["metadata"]["labels"].items()]
    assert selected == [RELEASE]


@pytest.mark.parametrize(("listen", "host"), [("0.0.0.0", "$(POD_IP)"), ("[::]", "[$(POD_IP)]")], ids=["ipv4", "ipv6"])  # noqa: S104
def test_replicas_reach_the_webhooks_of_each_other(home: Path, listen: str, host: str):
    values = {"replicas": 2, "webhook": {"enabled": True, "port": 9300}, "listenAddress": listen}
    objects = charts.rendered(OPERATOR, values, home=home)
    (container,) = template(objects)["spec"]["containers"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["CVSTATE_ADVERTISE"] == f"http://{host}:9300"
    assert variables["CVSTATE_WEBHOOK_LISTEN"] == f"{listen}:9300"
    egress = [
        rule for rule in charts.one(objects, "NetworkPolicy")["spec"]["egress"] if rule["ports"] == [{"protocol": "TCP", "port": 9300}]
    ]
    assert [list(peer) for rule in egress for peer in rule["to"]] == [["podSelector"]]


def test_what_users_add_reaches_the_pod(home: Path):
    values = {
        "commonLabels": {"team": "platform"},
        "podLabels": {"tier": "control"},
        "podAnnotations": {"note": "here"},
        "annotations": {"owner": "us"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "image": {"pullSecrets": [{"name": "registry"}]},
        "extraArgs": ["--writers", "4"],
        "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "gitops"}],
        "extraVolumes": [{"name": "receivers", "secret": {"secretName": "receivers"}}],
        "extraVolumeMounts": [{"name": "receivers", "mountPath": "/etc/receivers", "readOnly": True}],
    }
    objects = charts.rendered(OPERATOR, values, home=home)
    assert {one["metadata"]["labels"].get("team") for one in objects} == {"platform"}
    assert charts.one(objects, "Deployment")["metadata"]["annotations"] == {"owner": "us"}
    pod = template(objects)
    assert pod["metadata"]["labels"]["tier"] == "control"
    assert pod["metadata"]["annotations"]["note"] == "here"
    spec = pod["spec"]
    for field in ("priorityClassName", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"):
        assert spec[field] == values[field]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    (container,) = spec["containers"]
    assert container["args"] == ["run", "--writers", "4"]
    assert values["extraEnv"][0] in container["env"]
    assert values["extraVolumes"][0] in spec["volumes"]
    assert values["extraVolumeMounts"][0] in container["volumeMounts"]


def test_an_account_that_somebody_else_made_gets_the_rights(home: Path):
    objects = charts.rendered(OPERATOR, {"serviceAccount": {"create": False, "name": "ours"}, "tenants": TENANTS}, home=home)
    assert "ServiceAccount" not in {one["kind"] for one in objects}
    assert template(objects)["spec"]["serviceAccountName"] == "ours"
    subjects = [subject["name"] for one in objects if one["kind"].endswith("Binding") for subject in one["subjects"]]
    assert set(subjects) == {"ours"}


def test_of_two_values_for_one_label_that_of_the_object_counts(home: Path):
    objects = charts.rendered(OPERATOR, {"commonLabels": {"team": "platform"}, "podLabels": {"team": "gitops"}}, home=home)
    assert template(objects)["metadata"]["labels"]["team"] == "gitops"
    assert charts.one(objects, "Deployment")["metadata"]["labels"]["team"] == "platform"


@pytest.mark.parametrize(
    ("cache", "cache_bytes", "requested", "limited"),
    [
        ({}, 4 * 2**30 * 4 // 5, "4160Mi", "4672Mi"),
        ({"sizeLimit": "500M"}, 400_000_000, "541Mi", "1053Mi"),
        ({"sizeLimit": "1.5Gi"}, 3 * 2**29 * 4 // 5, "1600Mi", "2112Mi"),
        ({"sizeLimit": "200Mi", "medium": "Memory"}, 160 * 2**20, "64Mi", "576Mi"),
    ],
    ids=["default", "decimal", "fraction", "in-memory"],
)
def test_the_bound_of_the_cache_and_the_storage_of_the_pod_follow_from_the_volume(
    home: Path, cache: Json, cache_bytes: int, requested: str, limited: str
):
    (container,) = template(charts.rendered(OPERATOR, {"cache": cache}, home=home))["spec"]["containers"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert told["CVSTATE_CACHE_BYTES"] == str(cache_bytes)
    assert container["resources"]["requests"]["ephemeral-storage"] == requested
    assert container["resources"]["limits"]["ephemeral-storage"] == limited


def test_storage_that_is_told_is_taken(home: Path):
    values = {"resources": {"limits": {"ephemeral-storage": "9Gi"}}}
    (container,) = template(charts.rendered(OPERATOR, values, home=home))["spec"]["containers"]
    assert container["resources"]["limits"]["ephemeral-storage"] == "9Gi"
    assert container["resources"]["limits"]["memory"] == "1Gi"


@pytest.mark.parametrize("taken", [{"resources": None}, {"resources": {"limits": None, "requests": None}}], ids=["all", "each"])
def test_without_resources_there_is_no_limit_but_that_of_storage(home: Path, taken: Json):
    (container,) = template(charts.rendered(OPERATOR, taken, home=home))["spec"]["containers"]
    assert container["resources"] == {"requests": {"ephemeral-storage": "4160Mi"}, "limits": {"ephemeral-storage": "4672Mi"}}


@pytest.mark.parametrize("memory", ["512Mi", "0.5Gi", 536_870_912], ids=str)
def test_the_least_memory_is_taken(home: Path, memory: str | int):
    (container,) = template(charts.rendered(OPERATOR, {"resources": {"limits": {"memory": memory}}}, home=home))["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == memory


def test_another_replica_leaves_the_pods_that_are_there(home: Path):
    one, two = (template(charts.rendered(OPERATOR, {"replicas": replicas}, home=home)) for replicas in (1, 2))
    assert one == two
    assert one["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "ScheduleAnyway"


@pytest.mark.parametrize(
    ("values", "mentions"),
    [
        ({"replica": 2}, "replica"),
        ({"config": {"writer": 8}}, "writer"),
        ({"tenants": [TENANTS[0], TENANTS[0]]}, "team-a is listed twice"),
        ({"networkPolicy": {"git": {"cidrs": ["169.254.169.254/32"]}}}, "link-local"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["128.0.0.0/1"]}}}, "link-local"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["169.192.0.0/10"]}}}, "link-local"),
        ({"networkPolicy": {"git": {"cidrs": ["fe80::/64"]}}}, "link-local"),
        ({"networkPolicy": {"git": {"cidrs": ["fd00::/16"]}}}, "link-local"),
        ({"monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}, "scraped twice"),
        ({"serviceAccount": {"create": False}}, "name the account to use"),
        ({"webhook": {"enabled": True, "port": 8080}}, "give the webhook another port"),
        ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels: app.kubernetes.io/name is set by the chart"),
        ({"commonLabels": {"app.kubernetes.io/instance": "mine"}}, "commonLabels: app.kubernetes.io/instance is set by the chart"),
        ({"monitoring": {"rules": {"labels": {"cvstate.io/service": "a"}}}}, "monitoring.rules.labels: cvstate.io/service is set"),
        ({"podAnnotations": {"checksum/config": "mine"}}, "podAnnotations: checksum/config is set by the chart"),
        ({"tenants": TENANTS, "config": {"namespaces": ["team-a"]}}, "namespace team-b, which is not in config.namespaces"),
        *(
            ({"config": {key: ["ok.example.com", "git.example.com:8443"]}}, f"config.{key}: git.example.com:8443 is no host")
            for key in HOSTS
        ),
        *(({"config": {"allowGitHosts": [host]}}, f"{re.escape(host)} is no host") for host in NO_HOSTS),
        ({"config": {"otlpEndpoint": "http://10.0.0:4318"}}, "config.otlpEndpoint: 10.0.0 is no host"),
        ({"cache": {"sizeLimit": "100Mi"}}, "give it 128Mi at least"),
        ({"cache": {"medium": "Memory"}}, "of which it may be a quarter"),
        ({"cache": {"sizeLimit": "500m"}}, "cache.sizeLimit: 500m are thousandths of a byte"),
        ({"resources": {"limits": {"memory": "512m"}}}, "resources.limits.memory: 512m are thousandths of a byte"),
        ({"resources": {"requests": {"ephemeral-storage": "1m"}}}, "resources.requests.ephemeral-storage: 1m are thousandths"),
        ({"resources": {"limits": {"memory": "511Mi"}}}, "resources.limits.memory: 511Mi is too little"),
        ({"resources": {"limits": {"memory": 500_000_000}}}, "give it 512Mi at least"),
    ],
    ids=[
        "unknown",
        "unknown-setting",
        "tenant-twice",
        "metadata-service",
        "range-around-it",
        "narrower-range-around-it",
        "ipv6",
        "ipv6-range-around-it",
        "two-monitors",
        "default-account",
        "one-port-twice",
        "label-of-the-selector",
        "label-of-the-selector-everywhere",
        "label-of-a-service",
        "annotation-of-the-chart",
        "tenant-out-of-reach",
        *(f"port-in-{key}" for key in HOSTS),
        *NO_HOSTS,
        "no-address-in-a-url",
        "cache-too-small",
        "cache-in-too-little-memory",
        "cache-in-thousandths",
        "memory-in-thousandths",
        "storage-in-thousandths",
        "too-little-memory",
        "too-little-memory-as-a-number",
    ],
)
def test_values_that_cannot_be_meant_are_refused_with_a_reason(home: Path, values: Json, mentions: str):
    with pytest.raises(HelmFailedError, match=mentions):
        charts.rendered(OPERATOR, values, home=home)


def test_a_host_is_taken_by_name_and_by_whatever_address(home: Path):
    objects = charts.rendered(OPERATOR, {"config": {key: list(ADDRESSES) for key in HOSTS}}, home=home)
    settings = yaml.safe_load(charts.one(objects, "ConfigMap")["data"]["config.yaml"])
    assert [host for key in HOSTS for host in settings[key]] == [*ADDRESSES] * len(HOSTS)


# -- in a cluster ------------------------------------------------------------------------------------------------------


def pod_of(deployment: Json) -> Json:
    """The Pod that the ReplicaSet controller would make of it."""
    spec = copy.deepcopy(deployment["spec"]["template"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**spec["metadata"], "name": "operator-0"}, "spec": spec["spec"]}


def admitted(chart: Chart, pod: Json) -> tuple[int, str]:
    code, answer = chart.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)
    return code, answer.get("message", "")


def test_the_pod_is_admitted_where_restricted_is_enforced(chart: Chart):
    told = chart.upgrade()
    assert "may act for nobody yet" in told
    assert admitted(chart, pod_of(chart.deployment()))[0] == 201


def _root(pod: Json) -> None:
    pod["spec"]["securityContext"]["runAsUser"] = 0


def _capabilities(pod: Json) -> None:
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]


def _escalation(pod: Json) -> None:
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


def _seccomp(pod: Json) -> None:
    del pod["spec"]["securityContext"]["seccompProfile"]


@pytest.mark.parametrize("spoil", [_root, _capabilities, _escalation, _seccomp])
def test_each_part_of_the_hardening_is_needed_for_that(chart: Chart, spoil: Callable[[Json], None]):
    chart.upgrade()
    pod = pod_of(chart.deployment())
    spoil(pod)
    code, message = admitted(chart, pod)
    assert (code, "restricted" in message) == (403, True)


def test_hardening_beyond_the_standard_is_there(chart: Chart):
    chart.upgrade()
    spec = chart.deployment()["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["enableServiceLinks"] is False
    assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume)
    assert {"cpu", "memory", "ephemeral-storage"} == set(container["resources"]["requests"]) == set(container["resources"]["limits"])
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert not any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))


def test_an_upgrade_goes_from_one_set_of_values_to_another_and_back(chart: Chart):
    chart.upgrade()
    budget = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{RELEASE}"
    assert chart.api.get(budget) is None
    large = {"replicas": 3, "webhook": {"enabled": True}, "networkPolicy": {"webhookFrom": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}}
    chart.upgrade({**large, "tenants": TENANTS})
    spec = chart.deployment()["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["template"]["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "ScheduleAnyway"
    assert chart.api.get(budget) is not None
    assert chart.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-webhook") is not None
    policy = chart.api.get(f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/{RELEASE}")
    assert policy is not None
    assert {"ipBlock": {"cidr": "192.0.2.0/24"}} in [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
    chart.upgrade()
    assert chart.api.get(budget) is None
    assert chart.deployment()["spec"]["replicas"] == 1
    assert chart.api.get(f"/apis/{RBAC}/namespaces/team-a/roles/{RELEASE}-impersonate") is None


def may(chart: Chart, verb: str, resource: str, namespace: str = "", name: str = "", user: str = ACCOUNT) -> bool:
    """Whether RBAC lets the operator's account do this; resource as `group/plural/subresource`, the group empty for the core."""
    group, plural, *sub = resource.split("/")
    asked = {"verb": verb, "group": group, "resource": plural, "subresource": "".join(sub), "namespace": namespace, "name": name}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": asked}}
    return bool(chart.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "name", "allowed"),
    [
        ("impersonate", "/serviceaccounts", "team-a", "applier", True),
        ("impersonate", "/serviceaccounts", "team-a", "reader", True),
        ("impersonate", "/serviceaccounts", "team-b", "applier", True),
        ("impersonate", "/serviceaccounts", "team-b", "reader", False),
        ("impersonate", "/serviceaccounts", "team-a", "default", False),
        ("impersonate", "/serviceaccounts", "kube-system", "applier", False),
        ("impersonate", "/users", "", "admin", False),
        ("impersonate", "/groups", "", "system:masters", False),
        ("get", "/secrets", "team-a", "x", False),
        ("get", "/configmaps", "team-a", "x", False),
        ("list", "/secrets", NAMESPACE, "", False),
        ("create", "/pods", "team-a", "", False),
        ("patch", "apps/deployments", "team-a", "x", False),
        ("create", "/serviceaccounts/token", "team-a", "applier", False),
        ("patch", "cvstate.io/clusterstates", "team-a", "x", True),
        ("patch", "cvstate.io/clusterstates/status", "team-a", "x", True),
        ("create", "cvstate.io/clusterstates", "team-a", "", False),
        ("delete", "cvstate.io/clusterstates", "team-a", "x", False),
        ("create", "cvstate.io/stateapprovals", "team-a", "", False),
        ("delete", "cvstate.io/emergencystops", "", "x", False),
        ("create", "events.k8s.io/events", "team-a", "", True),
        ("create", "coordination.k8s.io/leases", NAMESPACE, "", True),
        ("create", "coordination.k8s.io/leases", "team-a", "", False),
        ("list", "coordination.k8s.io/leases", "kube-node-lease", "", False),
        ("list", "/pods", "team-a", "", False),
        ("list", "/nodes", "", "", False),
        ("escalate", f"{RBAC.partition('/')[0]}/roles", "team-a", "x", False),
        ("patch", "apiextensions.k8s.io/customresourcedefinitions", "", "x", False),
    ],
)
def test_rights_end_where_they_should(chart: Chart, verb: str, resource: str, namespace: str, name: str, allowed: bool):
    if chart.api.get(f"/apis/{RBAC}/namespaces/team-b/roles/{RELEASE}-impersonate") is None:
        chart.upgrade({"tenants": TENANTS})
    assert may(chart, verb, resource, namespace, name) is allowed


class Asking:
    """The operator's account, asking the API server by its token."""

    def __init__(self, chart: Chart) -> None:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{RELEASE}/token"
        self._token = chart.api.create(path, request)["status"]["token"]
        self._server, self._tls = chart.api.server, ssl.create_default_context(cadata=chart.api.authority)

    def code(self, method: str, path: str, account: str, body: Json | None = None) -> int:
        """HTTP status of a request as a ServiceAccount, `namespace:name`."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Impersonate-User": f"system:serviceaccount:{account}",
        }
        request = urllib.request.Request(self._server + path, json.dumps(body).encode() if body else None, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.mark.parametrize("mode", ["Classic", "Constrained"])
def test_the_operator_acts_as_the_accounts_of_tenants_and_as_no_other(chart: Chart, mode: str):
    rules = [{"apiGroups": [""], "resources": ["configmaps"]}]
    chart.upgrade({"tenants": TENANTS, "impersonation": {"mode": mode, "constrained": {"rules": rules}}})
    everything = [
        {"apiGroups": ["", "apps"], "resources": ["configmaps", "secrets", "deployments"], "verbs": ["get", "list", "create", "delete"]}
    ]
    for account in ("applier", "stranger"):
        tenants.make(chart.api, "team-a", account, everything)
    asking, maps = Asking(chart), "/api/v1/namespaces/team-a/configmaps"
    until("RBAC has heard of it", lambda: asking.code("GET", maps, "team-a:applier") == 200)
    assert asking.code("POST", maps, "team-a:applier", config_map(f"made-{mode.lower()}", k="v")) == 201
    assert asking.code("GET", maps, "team-a:stranger") == 403
    assert asking.code("GET", maps, "team-a:default") == 403
    assert asking.code("GET", "/api/v1/namespaces/team-b/configmaps", "team-a:applier") == 403
    # The account may read Secrets; whether by way of the operator, the mode decides.
    assert asking.code("GET", "/api/v1/namespaces/team-a/secrets", "team-a:applier") == (200 if mode == "Classic" else 403)


def test_uninstalling_leaves_kinds_clusterstates_and_objects(chart: Chart):
    chart.upgrade({"tenants": TENANTS})
    source = {"git": {"url": "https://git.example.com/team-a.git", "path": "apps"}}
    body = {
        "apiVersion": "cvstate.io/v1alpha1",
        "kind": "ClusterState",
        "metadata": {"name": "web"},
        "spec": {"source": source, "serviceAccountName": "applier"},
    }
    code, answer = chart.api.apply(f"{CLUSTER_STATES.format('team-a')}/web", body)
    assert code < 300, answer
    chart.api.apply("/api/v1/namespaces/team-a/configmaps/kept", config_map("kept", k="v"))
    chart.run("uninstall", RELEASE, "--namespace", NAMESPACE)
    chart.run("uninstall", "cvstate-operator-crds", "--namespace", NAMESPACE)
    assert chart.api.get(DEPLOYMENT) is None
    assert not may(chart, "impersonate", "/serviceaccounts", "team-a", "applier")
    assert chart.api.get(f"{CLUSTER_STATES.format('team-a')}/web") is not None
    assert chart.api.get("/api/v1/namespaces/team-a/configmaps/kept") is not None
    # Installed again, the chart takes the kinds back.
    chart.run("install", "cvstate-operator-crds", CRDS, "--namespace", NAMESPACE)


# -- without Helm ------------------------------------------------------------------------------------------------------


def test_the_manifest_is_what_the_charts_render():
    helm = builds.ensure(["helm"])["helm"]
    assert made.MANIFEST.read_text() == made.manifest(str(helm)), "run make install-manifest"


def test_the_manifest_applies_to_an_empty_cluster():
    with Cluster.start(quiet=True) as cluster:
        api = Api(cluster.admin_kubeconfig)
        charts.make_room(api)
        cluster.kubectl("apply", "--server-side", "-f", str(made.MANIFEST))
        deployment = api.get(DEPLOYMENT)
        assert deployment is not None
        code, answer = api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod_of(deployment))
        assert code == 201, answer
        marked: list[Any] = [
            one["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") for one in yaml.safe_load_all(made.MANIFEST.read_text())
        ]
        assert set(marked) == {None}
