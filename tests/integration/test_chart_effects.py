"""Each value of the operator's chart, changed once from its default, by the real Helm.

Aspects: every value changes what is made · what is made of all of them together is taken by a real API server, strictly, where the Pod Security Standard "restricted" is enforced.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.control_plane import Cluster
from tests.support import charts
from tests.support.api import Api, Json
from tests.support.charts import NAMESPACE, OPERATOR
from tests.support.objects import manifest

pytestmark = pytest.mark.integration

DEFAULTS: Final[Json] = yaml.safe_load((OPERATOR / "values.yaml").read_text())
PEER: Final = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
RULE: Final = {"ports": [{"protocol": "TCP", "port": 1234}]}
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
OTHERS: Final[Mapping[str, Any]] = {
    "nameOverride": "state",
    "fullnameOverride": "state",
    "commonLabels": {"team": "platform"},
    "image.repository": "registry.example.com/operator",
    "image.tag": "9.9.9",
    "image.digest": f"sha256:{'a' * 64}",
    "image.pullPolicy": "Always",
    "image.pullSecrets": [{"name": "registry"}],
    "serviceAccount.name": "ours",
    "serviceAccount.annotations": {"note": "here"},
    "tenants": [{"namespace": "team-a", "serviceAccounts": ["applier"]}],
    "impersonation.mode": "Constrained",
    "impersonation.constrained.namespaces": ["team-b"],
    "impersonation.constrained.rules": [{"apiGroups": [""], "resources": ["configmaps"]}],
    "config.namespaces": ["team-a"],
    "config.logLevel": "debug",
    "config.logFormat": "text",
    "config.defaultServiceAccount": "applier",
    "config.allowGitHosts": ["git.example.com"],
    "config.allowPrometheusHosts": ["prometheus.example.com"],
    "config.allowNoticeHosts": ["tickets.example.com"],
    "config.prometheusHosts": ["prometheus.monitoring"],
    "config.clusterId": "hub-1",
    "config.otlpEndpoint": "https://otlp.eu.example.com",
    "config.notices": [{"name": "ops", "type": "Webhook", "url": "https://tickets.example.com/hook"}],
    "listenAddress": "[::]",
    "http.tls.secretName": "metrics-tls",
    "http.serviceAnnotations": {"note": "here"},
    "webhook.serviceType": "LoadBalancer",
    "webhook.serviceAnnotations": {"note": "here"},
    "cache.sizeLimit": "5Gi",
    "cache.medium": "Memory",
    "tmp.sizeLimit": "65Mi",
    "resources.requests.cpu": "101m",
    "resources.requests.memory": "257Mi",
    "resources.requests.ephemeral-storage": "257Mi",
    "resources.limits.cpu": "3",
    "resources.limits.memory": "24Gi",
    "resources.limits.ephemeral-storage": "6Gi",
    "networkPolicy.metricsFrom": [PEER],
    "networkPolicy.webhookFrom": [PEER],
    "networkPolicy.dnsTo": [PEER],
    "networkPolicy.apiServer.cidrs": ["10.0.0.1/32"],
    "networkPolicy.apiServer.ports": [6444],
    "networkPolicy.remoteClusters.cidrs": ["10.0.0.2/32"],
    "networkPolicy.remoteClusters.ports": [6445],
    "networkPolicy.git.cidrs": ["10.0.0.3/32"],
    "networkPolicy.git.ports": [7999],
    "networkPolicy.prometheus.to": [PEER],
    "networkPolicy.prometheus.ports": [9091],
    "networkPolicy.configured.cidrs": ["10.0.0.4/32"],
    "networkPolicy.extraIngress": [RULE],
    "networkPolicy.extraEgress": [RULE],
    "monitoring.serviceMonitor.labels": {"release": "prometheus"},
    "monitoring.serviceMonitor.interval": "31s",
    "monitoring.serviceMonitor.scrapeTimeout": "11s",
    "monitoring.serviceMonitor.tlsConfig": {"insecureSkipVerify": True},
    "monitoring.podMonitor.labels": {"release": "prometheus"},
    "monitoring.podMonitor.interval": "31s",
    "monitoring.podMonitor.scrapeTimeout": "11s",
    "monitoring.podMonitor.tlsConfig": {"insecureSkipVerify": True},
    "monitoring.rules.labels": {"release": "prometheus"},
    "monitoring.dashboards.labels.grafana_dashboard": "2",
    "monitoring.dashboards.annotations": {"folder": "GitOps"},
    "priorityClassName": "system-cluster-critical",
    "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "control", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podLabels": {"tier": "control"},
    "podAnnotations": {"note": "here"},
    "annotations": {"owner": "us"},
    "extraArgs": ["--log-format", "text"],
    "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "gitops"}],
    "extraVolumes": [{"name": "receivers", "secret": {"secretName": "receivers"}}],
    "extraVolumeMounts": [{"name": "receivers", "mountPath": "/etc/receivers", "readOnly": True}],
}
"""Another value than the default, where it is neither a number nor a yes or no."""
CONTEXTS: Final[Mapping[str, Json]] = {
    "serviceAccount.create": {"serviceAccount": {"name": "ours"}},
    "impersonation.constrained": {"impersonation": {"mode": "Constrained"}, "tenants": OTHERS["tenants"]},
    "webhook.": {"webhook": {"enabled": True}},
    "networkPolicy.webhookFrom": {"webhook": {"enabled": True}},
    "networkPolicy.configured": {"config": {"otlpEndpoint": OTHERS["config.otlpEndpoint"]}},
    "cache.medium": {"resources": {"limits": {"memory": "24Gi"}}},
    "podDisruptionBudget": {"replicas": 2},
    "monitoring.serviceMonitor.": {"monitoring": {"serviceMonitor": {"enabled": True}}, "http": {"tls": {"secretName": "metrics-tls"}}},
    "monitoring.podMonitor.": {"monitoring": {"podMonitor": {"enabled": True}}, "http": {"tls": {"secretName": "metrics-tls"}}},
    "monitoring.rules.": {"monitoring": {"rules": {"enabled": True}}},
    "monitoring.dashboards.": {"monitoring": {"dashboards": {"enabled": True}}},
}
"""What has to be on for a value, or those that begin so, to matter."""
SWITCHES: Final = {"webhook.enabled", *(f"monitoring.{name}.enabled" for name in ("serviceMonitor", "podMonitor", "rules", "dashboards"))}
"""These put on what the others need."""


def leaves(values: Json, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        here = f"{path}{name}"
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{here}.")
        else:
            yield here, value


def another(path: str, default: Any) -> Any:
    if path in OTHERS:
        return OTHERS[path]
    assert isinstance(default, int), f"{path}: tell another value here"
    return not default if isinstance(default, bool) else default + 1


def having(values: Json, path: str, value: Any) -> Json:
    found = copy.deepcopy(values)
    *above, last = path.split(".")
    node = found
    for name in above:
        node = node.setdefault(name, {})
    node[last] = value
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helm")


@pytest.fixture(scope="module")
def made(home: Path) -> dict[str, list[Json]]:
    """What was rendered already, by values."""
    return {}


@pytest.mark.parametrize(("path", "default"), list(leaves(DEFAULTS)), ids=[path for path, _ in leaves(DEFAULTS)])
def test_a_value_that_is_changed_changes_what_is_made(home: Path, made: dict[str, list[Json]], path: str, default: Any):
    context = next((context for prefix, context in CONTEXTS.items() if path.startswith(prefix) and path not in SWITCHES), {})
    key = json.dumps(context)
    if key not in made:
        made[key] = charts.rendered(OPERATOR, context, home=home)
    assert charts.rendered(OPERATOR, having(context, path, another(path, default)), home=home) != made[key]


def test_other_values_are_told_for_values_that_there_are():
    assert set(OTHERS) - {path for path, _ in leaves(DEFAULTS)} == set()


# -- in a cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.start(quiet=True) as running:
        api = Api(running.admin_kubeconfig)
        charts.make_room(api)
        for name, labels in ((NAMESPACE, RESTRICTED), ("team-a", {}), ("team-b", {})):
            api.create("/api/v1/namespaces", manifest("Namespace", name, labels=labels))
        yield running


def all_together() -> Json:
    values: Json = {"replicas": 3}
    for path, other in OTHERS.items():
        values = having(values, path, other)
    for switch in ("webhook.enabled", "monitoring.rules.enabled", "monitoring.dashboards.enabled", "monitoring.serviceMonitor.enabled"):
        values = having(values, switch, True)
    return having(values, "impersonation.allNamespaces", True)


@pytest.mark.parametrize("values", [{}, all_together()], ids=["defaults", "all-together"])
def test_a_real_api_server_takes_it_strictly_and_the_pod_is_restricted(home: Path, cluster: Cluster, values: Json):
    # The kinds of the Prometheus operator are not served here.
    objects = [one for one in charts.rendered(OPERATOR, values, home=home) if not one["apiVersion"].startswith("monitoring.coreos.com/")]
    text = yaml.safe_dump_all(objects)
    told = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-", input=text)
    assert told.count("(server dry run)") == len(objects)
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "operator-0"}, "spec": template["spec"]}
    pod["spec"]["serviceAccountName"] = "default"  # the other one was made by a dry run
    code, answer = Api(cluster.admin_kubeconfig).request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)
    assert code == 201, answer
