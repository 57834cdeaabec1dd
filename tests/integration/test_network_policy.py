"""The chart's NetworkPolicy, rendered by the real Helm and judged rule by rule.

Aspects: what a default install reaches, and what stays closed · each host that the settings name is open on its port, and the world is not · narrowed
ranges · the webhook and the other replicas · who may come in · addresses that can never be opened.
"""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.support import charts
from tests.support.api import Json
from tests.support.charts import NAMESPACE, OPERATOR, ROOT, HelmFailedError
from tests.support.network_policy import Peer, Pod, lets_in, lets_out

pytestmark = pytest.mark.integration

MONITORING: Final = Pod("monitoring")
STRANGER: Final = Pod("team-a")
FORGE: Final = Pod("forge")
WORLD: Final = "203.0.113.7"
WORLD_6: Final = "2001:db8::7"
METADATA: Final = ("169.254.169.254", "fd00:ec2::254", "fe80::1")
"""Of clouds, and link-local."""
NARROW: Final = {
    "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]},
    "remoteClusters": {"cidrs": []},
    "git": {"cidrs": ["10.1.0.0/16"], "ports": [22]},
    "prometheus": {"to": []},
}
"""Nothing but what an owner knows the addresses of."""


def policy(home: Path, values: Json | None = None) -> Json:
    return charts.one(charts.rendered(OPERATOR, values or {}, home=home), "NetworkPolicy")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helm")


@pytest.mark.parametrize(
    ("to", "port"),
    [
        pytest.param(WORLD, 443, id="https"),
        pytest.param(WORLD, 22, id="git-by-ssh"),
        pytest.param(WORLD, 6443, id="api-servers-here-and-remote"),
        pytest.param(WORLD_6, 443, id="ipv6"),
        pytest.param(MONITORING, 9090, id="prometheus"),
    ],
)
def test_a_default_install_reaches_what_clusterstates_name_as_a_rule(home: Path, to: Peer, port: int):
    assert lets_out(policy(home), to, port)


def test_names_are_resolved_by_the_cluster_alone(home: Path):
    found = policy(home)
    dns = Pod("kube-system", {"k8s-app": "kube-dns"})
    assert lets_out(found, dns, 53, "UDP")
    assert lets_out(found, dns, 53)
    assert not lets_out(found, WORLD, 53, "UDP")
    assert not lets_out(found, STRANGER, 53)


@pytest.mark.parametrize(
    ("to", "port"),
    [(WORLD, 80), (WORLD, 4318), (WORLD, 9093), (STRANGER, 443), (MONITORING, 4318), *((one, 443) for one in METADATA)],
    ids=str,
)
def test_everything_else_is_closed(home: Path, to: Peer, port: int):
    assert not lets_out(policy(home), to, port)


def collector(url: str) -> Json:
    return {"config": {"otlpEndpoint": url}}


def receiver(url: str, kind: str = "Webhook") -> Json:
    return {"config": {"notices": [{"name": "a", "type": kind, "url": url}]}}


@pytest.mark.parametrize(
    ("values", "to", "port"),
    [
        pytest.param(collector("http://otel.monitoring.svc:4318"), MONITORING, 4318, id="collector-in-the-cluster"),
        pytest.param(collector("http://otel.monitoring.svc.cluster.local.:4318"), MONITORING, 4318, id="in-full-with-a-dot"),
        pytest.param(collector("http://otel-0.otel.monitoring.svc:4318"), MONITORING, 4318, id="one-pod-of-a-service"),
        pytest.param(collector("http://otel.monitoring:4318"), MONITORING, 4318, id="name-of-two-parts-as-a-service"),
        pytest.param(collector("http://example.com:4318"), WORLD, 4318, id="name-of-two-parts-as-a-host"),
        pytest.param(collector("http://otel:4318"), Pod(NAMESPACE), 4318, id="in-the-same-namespace"),
        pytest.param(collector("http://OTEL.Monitoring.SVC:4318"), MONITORING, 4318, id="in-capitals"),
        pytest.param(collector("https://otlp.eu.example.com/otlp"), WORLD, 443, id="https-without-a-port"),
        pytest.param(collector("http://otlp.eu.example.com"), WORLD, 80, id="http-without-a-port"),
        pytest.param(collector(f"https://{WORLD}:8443"), WORLD, 8443, id="address"),
        pytest.param(collector(f"https://[{WORLD_6}]:8443"), WORLD_6, 8443, id="ipv6"),
        pytest.param(
            {"extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel.monitoring.svc:4318"}]},
            MONITORING,
            4318,
            id="collector-by-the-environment",
        ),
        pytest.param(receiver("http://alertmanager.monitoring:9093", "Alertmanager"), MONITORING, 9093, id="alertmanager"),
        pytest.param(receiver("https://tickets.eu.example.com:8443/hook?a=b"), WORLD, 8443, id="receiver-on-its-own-port"),
        pytest.param({"config": {"notices": [{"name": "a", "type": "Slack", "urlFile": "/etc/url"}]}}, WORLD, 443, id="url-in-a-file"),
        pytest.param({"config": {"allowGitHosts": ["gitea.forge.svc"]}}, FORGE, 22, id="git-in-the-cluster"),
        pytest.param({"config": {"allowGitHosts": ["gitea.forge"]}}, FORGE, 22, id="git-by-a-name-of-two-parts"),
        pytest.param({"config": {"allowGitHosts": [WORLD]}}, WORLD, 22, id="git-at-an-address"),
        pytest.param({"config": {"allowGitHosts": [f"[{WORLD_6}]"]}}, WORLD_6, 22, id="git-at-an-ipv6-address"),
        pytest.param(
            {"config": {"allowGitHosts": ["gitea.forge"], "allowInsecureSources": True}}, FORGE, 80, id="git-in-the-cluster-by-http"
        ),
        pytest.param({"config": {"allowInsecureSources": True}}, "10.1.0.7", 80, id="git-by-http"),
        pytest.param({"config": {"allowPrometheusHosts": ["prometheus.metrics.svc"]}}, Pod("metrics"), 9090, id="prometheus-elsewhere"),
        pytest.param({"config": {"prometheusHosts": ["prometheus.metrics"]}}, Pod("metrics"), 9090, id="the-only-prometheus"),
    ],
)
def test_what_the_settings_name_is_open_also_where_the_rest_is_narrow(home: Path, values: Json, to: Peer, port: int):
    closed = {**values, "networkPolicy": {**NARROW, "configured": {"enabled": False}}}
    assert not lets_out(policy(home, closed), to, port)
    found = policy(home, {**values, "networkPolicy": NARROW})
    assert lets_out(found, to, port)
    assert not lets_out(found, to, port + 1)
    assert not any(lets_out(found, one, port) for one in METADATA)


def test_a_service_opens_its_namespace_and_neither_the_world_nor_another(home: Path):
    found = policy(home, {**collector("http://otel.monitoring.svc:4318"), "networkPolicy": NARROW})
    assert not lets_out(found, WORLD, 4318)
    assert not lets_out(found, STRANGER, 4318)


def test_a_host_that_is_named_for_git_or_prometheus_opens_the_ports_of_these_alone(home: Path):
    config = {"allowGitHosts": ["gitea.forge.svc"], "allowPrometheusHosts": ["prometheus.metrics.svc"]}
    ports = {"git": {"ports": [22, 3000]}, "prometheus": {"ports": [8429]}}
    found = policy(home, {"config": config, "networkPolicy": ports})
    assert [port for port in (22, 80, 443, 3000, 8429, 9090) if lets_out(found, FORGE, port)] == [22, 3000]
    assert [port for port in (22, 80, 443, 3000, 8429, 9090) if lets_out(found, Pod("metrics"), port)] == [8429]


def test_port_80_of_git_servers_is_opened_once(home: Path):
    found = policy(home, {"config": {"allowInsecureSources": True}, "networkPolicy": {"git": {"ports": [80, 443]}}})
    assert [port["port"] for rule in found["spec"]["egress"] for port in rule["ports"]].count(80) == 1


def test_a_host_of_the_world_opens_no_pods_and_only_the_ranges_that_are_told(home: Path):
    narrow = {**NARROW, "configured": {"cidrs": ["203.0.113.0/24"]}}
    found = policy(home, {**collector("https://otlp.eu.example.com:4318"), "networkPolicy": narrow})
    assert lets_out(found, WORLD, 4318)
    assert not lets_out(found, "198.51.100.1", 4318)
    assert not lets_out(found, STRANGER, 4318)
    closed = {**NARROW, "configured": {"cidrs": []}}
    assert not lets_out(policy(home, {**collector("https://otlp.eu.example.com:4318"), "networkPolicy": closed}), WORLD, 4318)


@pytest.mark.parametrize("url", ["http://localhost:4318", "http://127.0.0.1:4318", "http://[::1]:4318"])
def test_a_collector_in_the_pod_needs_no_rule(home: Path, url: str):
    assert policy(home, collector(url))["spec"] == policy(home)["spec"]


def test_a_collector_at_a_link_local_address_is_refused(home: Path):
    with pytest.raises(HelmFailedError, match=r"config\.otlpEndpoint: 169\.254\.1\.1/32 may hold link-local addresses"):
        policy(home, collector("http://169.254.1.1:4318"))


def test_remote_clusters_are_narrowed_apart_from_the_api_server(home: Path):
    found = policy(home, {"networkPolicy": {**NARROW, "remoteClusters": {"cidrs": ["203.0.113.0/24"], "ports": [8443]}}})
    assert lets_out(found, WORLD, 8443)
    assert not lets_out(found, "10.0.0.1", 8443)
    assert lets_out(found, "10.0.0.1", 6443)
    assert not lets_out(found, WORLD, 6443)


def test_git_on_another_port_is_open_once_it_is_told(home: Path):
    assert not lets_out(policy(home), WORLD, 7999)
    assert lets_out(policy(home, {"networkPolicy": {"git": {"ports": [443, 22, 7999]}}}), WORLD, 7999)


def test_more_can_be_added(home: Path):
    rule = {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [{"protocol": "UDP", "port": 53}]}
    assert lets_out(policy(home, {"networkPolicy": {"extraEgress": [rule]}}), "169.254.20.10", 53, "UDP")


def test_the_example_of_the_documentation_opens_what_it_says(home: Path):
    page = (ROOT / "docs" / "install.md").read_text()
    (example,) = re.findall(r"^```yaml\n(networkPolicy:\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found = policy(home, yaml.safe_load(example))
    assert lets_out(found, "10.1.2.3", 7999)
    assert not lets_out(found, WORLD, 7999)
    assert lets_out(found, "10.2.0.7", 443)
    assert lets_out(found, "169.254.20.10", 53, "UDP")
    assert lets_out(found, Pod("alerts"), 8080)


def test_metrics_are_for_the_monitoring_namespace(home: Path):
    found = policy(home)
    assert lets_in(found, MONITORING, 8080)
    assert not lets_in(found, STRANGER, 8080)
    assert not lets_in(found, MONITORING, 9292)


def test_the_webhook_is_for_those_who_are_listed_and_for_the_other_replicas(home: Path):
    on = {
        "webhook": {"enabled": True},
        "networkPolicy": {"webhookFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]},
    }
    found = policy(home, on)
    replica = Pod(NAMESPACE, found["spec"]["podSelector"]["matchLabels"])
    assert lets_in(found, Pod("ingress"), 9292)
    assert lets_in(found, replica, 9292)
    assert lets_out(found, replica, 9292)
    assert not lets_in(found, STRANGER, 9292)
    assert not lets_in(found, Pod(NAMESPACE), 9292)
    assert not lets_out(found, Pod(NAMESPACE), 9292)
    assert lets_in(policy(home, {"webhook": {"enabled": True}}), WORLD, 9292)
