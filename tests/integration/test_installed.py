"""The operator as it is installed: the tree of the image, started as the chart's Deployment says, with its account, token and rights, carries out a
tenant's ClusterState.

There is no container engine where tests run. What is the same as in a node, and what is not, tests/support/container.py says.

Aspects: user, capabilities, privileges, mounts and memory are those of the Deployment · there is no shell · its probes · a tenant's ClusterState from plain
files, a chart and a kustomization · drift is repaired · every write is the tenant's account · who names no account, or one that is not the operator's
to use, is refused · settings are read anew · it ends within its grace period · metrics by https.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster import ports
from tests.cluster.control_plane import Cluster
from tests.support import charts, container, image, tenants
from tests.support.api import Api, Json
from tests.support.charts import CRDS, NAMESPACE, OPERATOR, RELEASE
from tests.support.container import Container
from tests.support.credentials import Authority
from tests.support.objects import config_map, manifest, text
from tests.support.operator import Operator
from tests.support.prometheus import Prometheus
from tests.support.waiting import until
from tests.support.world import World

# The tree takes half a minute of two idle cores to assemble, most of it to compile what Python imports.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]

ACCOUNT: Final = "applier"
RIGHTS: Final = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}]
SHELLS: Final = ("/bin/sh", "/bin/bash", "/bin/dash", "/bin/busybox", "/usr/bin/env", "/usr/bin/apt-get", "/usr/local/bin/pip")


@dataclass
class Installed:
    """One cluster with the charts in it, and the operator's only Pod."""

    cluster: Cluster
    api: Api
    pod: Container
    values: Json
    home: Path

    def upgrade(self, **config: object) -> None:
        """Upgrade to the same values but for these settings."""
        values = {**self.values, "config": {**self.values["config"], **config}}
        install(self.cluster, values, self.home)


def install(cluster: Cluster, values: Json, home: Path) -> None:
    command = ("upgrade", "--install", RELEASE, OPERATOR, "--namespace", NAMESPACE, "--reset-values")
    charts.helm(*command, values=values, kubeconfig=cluster.admin_kubeconfig, home=home)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    directory = tmp_path_factory.mktemp("installed")
    http, webhook = ports.free(2)
    values = {
        "listenAddress": container.IP,
        "http": {"port": http},
        "webhook": {"enabled": True, "port": webhook},
        # The tests' Git server is on this machine and speaks http; a cluster needs neither.
        "config": {"allowGitHosts": [container.IP], "allowInsecureSources": True},
        "tenants": [],
    }
    with Cluster.start(quiet=True) as cluster:
        api = Api(cluster.admin_kubeconfig)
        charts.make_room(api)
        api.create("/api/v1/namespaces", manifest("Namespace", NAMESPACE))
        charts.helm("install", "cvstate-operator-crds", CRDS, "--namespace", NAMESPACE, kubeconfig=cluster.admin_kubeconfig, home=directory)
        install(cluster, values, directory)
        deployment = api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")
        assert deployment is not None
        tree = image.assembled(directory / "tree")
        with Container(api, deployment["spec"]["template"], namespace=NAMESPACE, root=tree, directory=directory / "pod") as pod:
            until(f"its readiness probe passes; log: {pod.log}", lambda: pod.probe("readinessProbe"), seconds=60)
            yield Installed(cluster, api, pod, values, directory)


@pytest.fixture
def tenant(installed: Installed, git: GitServer, tmp_path: Path) -> World:
    """A namespace whose account may write ConfigMaps, and nothing else; the operator is the installed one."""
    world = World(installed.cluster, installed.api, git, Operator(installed.cluster.admin_kubeconfig, tmp_path))
    allow(installed, world.name)
    return world


def allow(installed: Installed, namespace: str) -> None:
    """Have an account with `RIGHTS` in a namespace, which the operator may use."""
    installed.values["tenants"].append({"namespace": namespace, "serviceAccounts": [ACCOUNT]})
    install(installed.cluster, installed.values, installed.home)
    tenants.make(installed.api, namespace, ACCOUNT, RIGHTS)


def test_the_process_has_no_rights_on_its_machine(installed: Installed):
    told = container.status(installed.pod.pid)
    assert told["Uid"].split() == ["65532"] * 4
    assert told["Gid"].split() == ["65532"] * 4
    assert {told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert told["NoNewPrivs"] == "1"


def test_it_is_told_the_limit_of_its_memory(installed: Installed):
    told = dict(entry.partition("=")[::2] for entry in Path(f"/proc/{installed.pod.pid}/environ").read_text().split("\0"))
    assert told["CVSTATE_MEMORY_BYTES"] == str(2**30)


def test_the_root_cannot_be_written_and_only_two_places_can(installed: Installed):
    found = {place: options.split(",") for place, options in container.mounts(installed.pod.pid).items()}
    ours = {place: options for place, options in found.items() if not place.startswith(("/proc", "/dev"))}
    assert {place for place, options in ours.items() if "rw" in options} == {"/tmp", "/var/cache/cvstate-operator"}  # noqa: S108
    assert {"/", "/etc/cvstate-operator", container.ACCOUNT_DIRECTORY} <= {place for place, options in ours.items() if "ro" in options}


def test_there_is_no_shell_and_nothing_to_install_more_with(installed: Installed):
    assert container.has_in_root(installed.pod.pid, "/usr/local/bin/cvstate")
    assert [path for path in SHELLS if container.has_in_root(installed.pod.pid, path)] == []


def test_all_its_probes_pass(installed: Installed):
    assert [installed.pod.probe(which) for which in ("startupProbe", "readinessProbe", "livenessProbe")] == [True] * 3
    assert "cvstate_build_info" in installed.pod.http("/metrics")[1]


def test_it_says_by_a_lease_that_it_lives(installed: Installed):
    found = installed.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases") or {"items": []}
    ours = [one for one in found["items"] if one["metadata"].get("labels", {}).get("cvstate.io/group") == RELEASE]
    assert len(ours) == 1
    assert ours[0]["metadata"]["annotations"]["cvstate.io/webhook"] == f"http://{container.IP}:{installed.values['webhook']['port']}"


def test_a_tenants_clusterstate_is_carried_out_as_the_tenants_account(installed: Installed, tenant: World):
    mark = installed.cluster.audit.mark()
    tenant.declare(serviceAccountName=ACCOUNT, interval="10s")
    tenant.wait_applied(tenant.commit({"a.yaml": text(config_map("a", k="declared"))}))
    tenant.api.merge(tenant.path("configmaps", "a"), {"data": {"k": "drifted"}}, manager="somebody")
    until("the drift is repaired", lambda: (tenant.api.get(tenant.path("configmaps", "a")) or {})["data"]["k"] == "declared")
    writes = [
        one
        for one in asked(installed, mark)
        if one.get("objectRef", {}).get("resource") == "configmaps" and one["verb"] in ("patch", "create", "update")
    ]
    assert writes
    assert {one.get("impersonatedUser", {"username": "nobody"})["username"] for one in writes} == {
        f"system:serviceaccount:{tenant.name}:{ACCOUNT}"
    }


def asked(installed: Installed, mark: int = 0) -> list[Json]:
    """Lines of the audit log since a mark, of the operator's account, as itself or in the place of another."""
    installed.cluster.audit.mark()  # waits until it has caught up
    assert installed.cluster.audit_log is not None
    lines = [json.loads(line) for line in installed.cluster.audit_log.read_bytes()[mark:].splitlines()]
    return [line for line in lines if line["user"]["username"] == f"system:serviceaccount:{NAMESPACE}:{RELEASE}"]


def refused(installed: Installed, mark: int = 0) -> list[str]:
    """What the operator asked for as itself and may not do, since a mark. That it may not act as some account is refused too, and is no part of it."""
    lines = [line for line in asked(installed, mark) if "impersonatedUser" not in line]
    assert lines
    told = [(line, line.get("responseStatus", {})) for line in lines]
    return [
        f"{line['verb']} {line['requestURI']}: {status.get('message')}"
        for line, status in told
        if status.get("code") in (401, 403) and "impersonate" not in status.get("message", "")
    ]


KUSTOMIZATION: Final = {"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: by-\n", "a.yaml": text(config_map("kustomize", k="v"))}
CHART: Final = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    "templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: by-helm}\ndata: {release: {{ .Release.Name }}}\n",
}


@pytest.mark.parametrize(("files", "name"), [(KUSTOMIZATION, "by-kustomize"), (CHART, "by-helm")], ids=["kustomize", "helm"])
def test_the_programs_of_the_image_render(tenant: World, files: dict[str, str], name: str):
    tenant.declare(serviceAccountName=ACCOUNT)
    tenant.wait_applied(tenant.commit(files))
    assert tenant.api.get(tenant.path("configmaps", name)) is not None


def test_a_clusterstate_without_an_account_is_refused(tenant: World):
    tenant.declare()
    tenant.commit({"a.yaml": text(config_map("a", k="v"))})
    tenant.wait_failed("ServiceAccountRequired")
    assert tenant.api.get(tenant.path("configmaps", "a")) is None


def test_an_account_that_was_not_granted_is_refused(tenant: World):
    tenant.api.apply(tenant.path("serviceaccounts", "stranger"), manifest("ServiceAccount", "stranger"))
    tenant.declare(serviceAccountName="stranger")
    tenant.commit({"a.yaml": text(config_map("a", k="v"))})
    tenant.wait_failed("ImpersonationRefused", mentions="stranger")
    assert tenant.api.get(tenant.path("configmaps", "a")) is None


def test_what_the_account_may_not_do_is_not_done(tenant: World):
    tenant.declare(serviceAccountName=ACCOUNT)
    tenant.commit({"a.yaml": text(manifest("Secret", "a", stringData={"k": "v"}))})
    tenant.wait_failed("Forbidden")
    assert tenant.api.get(tenant.path("secrets", "a")) is None


def test_a_log_level_of_the_configmap_is_taken_up_without_a_restart(installed: Installed):
    pid = installed.pod.pid
    installed.upgrade(logLevel="debug")
    deployment = installed.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")
    assert deployment is not None
    assert deployment["metadata"]["generation"] == 1
    # A kubelet writes the new content into the volume; here that is done by hand.
    told = installed.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{RELEASE}")
    assert told is not None
    assert yaml.safe_load(told["data"]["config.yaml"])["logLevel"] == "debug"
    (installed.home / "pod" / "config" / "config.yaml").write_text(told["data"]["config.yaml"])
    metric = 'cvstate_config_reloads_total{result="'
    until("the file is read anew", lambda: metric in installed.pod.http("/metrics")[1], seconds=30, every=0.5)
    assert installed.pod.pid == pid
    assert installed.pod.is_running


def test_it_asked_for_nothing_that_it_may_not_do_itself(installed: Installed):
    assert refused(installed) == []


def test_it_ends_within_its_grace_period(installed: Installed):
    # The others above need it running.
    assert installed.pod.end() == 0
    assert '"stopped"' in installed.pod.log.read_text()
    until(
        "its Lease is gone",
        lambda: not (installed.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases") or {"items": []})["items"],
    )


def test_an_operator_of_one_namespace_works_there_and_nowhere_else(installed: Installed, tenant: World, git: GitServer, tmp_path: Path):
    elsewhere = World(installed.cluster, installed.api, git, tenant.operator)
    # Tenants whose namespaces are none of the operator's are refused by the chart.
    installed.values["tenants"] = [one for one in installed.values["tenants"] if one["namespace"] == tenant.name]
    installed.upgrade(namespaces=[tenant.name])
    deployment = installed.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")
    assert deployment is not None
    mark = installed.cluster.audit.mark()
    tree = installed.home / "tree" / "image"
    with Container(installed.api, deployment["spec"]["template"], namespace=NAMESPACE, root=tree, directory=tmp_path / "pod") as pod:
        until(f"its readiness probe passes; log: {pod.log}", lambda: pod.probe("readinessProbe"), seconds=60)
        for world in (elsewhere, tenant):
            world.declare(serviceAccountName=ACCOUNT)
        commit = tenant.commit({"a.yaml": text(config_map("a", k="v"))})
        elsewhere.commit({"a.yaml": text(config_map("a", k="v"))})
        tenant.wait_applied(commit)
        assert "status" not in elsewhere.state()
        assert pod.end() == 0
    # The next one hears of the ClusterState while it settles, and has to list it to take it up.
    with Container(installed.api, deployment["spec"]["template"], namespace=NAMESPACE, root=tree, directory=tmp_path / "next") as pod:
        tenant.wait_applied(tenant.commit({"a.yaml": text(config_map("a", k="w"))}, tell=False), seconds=60)
        assert refused(installed, mark) == []


def test_prometheus_scrapes_by_https_as_the_service_monitor_says(installed: Installed, tmp_path: Path):
    tls = {**installed.values, "http": {**installed.values["http"], "tls": {"secretName": "metrics-tls"}}}
    monitored = {**tls, "monitoring": {"serviceMonitor": {"enabled": True}}}
    (endpoint,) = charts.one(charts.rendered(OPERATOR, monitored, home=installed.home), "ServiceMonitor")["spec"]["endpoints"]
    authority = Authority()
    (tmp_path / "authority").write_text(authority.certificate)
    pair = authority.issue(endpoint["tlsConfig"]["serverName"])
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    installed.api.create(
        f"/api/v1/namespaces/{NAMESPACE}/secrets", manifest("Secret", "metrics-tls", type="kubernetes.io/tls", stringData=data)
    )
    install(installed.cluster, tls, installed.home)
    deployment = installed.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")
    assert deployment is not None
    # As the Prometheus operator writes it.
    judged = {"server_name": endpoint["tlsConfig"]["serverName"], "ca_file": str(tmp_path / "authority")}
    scrape = {"scheme": endpoint["scheme"], "tls_config": judged, "honor_labels": endpoint["honorLabels"]}
    if installed.pod.is_running:
        installed.pod.end()
    tree = installed.home / "tree" / "image"
    with Container(installed.api, deployment["spec"]["template"], namespace=NAMESPACE, root=tree, directory=tmp_path / "pod") as pod:
        until(f"its readiness probe passes; log: {pod.log}", lambda: pod.probe("readinessProbe"), seconds=60)
        assert pod.probe("livenessProbe")
        with Prometheus(tmp_path / "prometheus", targets=[f"{container.IP}:{pod.port('http')}"], scrape=scrape) as prometheus:
            prometheus.knows("cvstate_build_info")
