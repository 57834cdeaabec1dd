"""Tenants: the operator acts as their accounts, with the chart's own rights, and nothing of its own beyond them.

Aspects: the operator's rights, to the last verb · they suffice · whose name is on each request · an account that sees its namespace only, and several ClusterStates of it · two
tenants side by side ·
rights that come and go · another account in the spec · a default account · constrained impersonation.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.audit import complete_lines, parse
from tests.cluster.control_plane import Cluster
from tests.support import tenancy
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.objects import RBAC, config_map, manifest, text
from tests.support.tenancy import OPERATOR_USER, Tenancy
from tests.support.waiting import never, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

GOLDEN: Final = Path(__file__).with_name("golden_rights.txt")
HOME: Final = "team-a"
NEIGHBOUR: Final = "team-b"
APPLIER: Final = "applier"
OTHER: Final = "other"
USER: Final = f"system:serviceaccount:{HOME}:{APPLIER}"
TENANTS: Final[Json] = {
    "tenants": [{"namespace": HOME, "serviceAccounts": [APPLIER, OTHER]}, {"namespace": NEIGHBOUR, "serviceAccounts": [APPLIER]}]
}
WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})

Rights = dict[str, set[str]]
"""By `group/resource` or `group/resource name`: verbs."""


def prepare(api: Api) -> None:
    for name in (HOME, NEIGHBOUR):
        tenancy.namespace(api, name)
        tenancy.account(api, name, APPLIER, *tenancy.WORKS_WITH)
    tenancy.account(api, HOME, OTHER, *tenancy.WORKS_WITH)


@pytest.fixture(scope="module")
def ground(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenancy]:
    with tenancy.running(git, tmp_path_factory.mktemp("tenants"), TENANTS, prepare) as found:
        yield found


# -- the operator's own rights -------------------------------------------------------------------------------------


def rights_of(cluster: Cluster, user: str, namespace: str) -> Rights:
    """What the API server says that a user may do in a namespace: what `kubectl auth can-i --list` asks for."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = json.loads(cluster.kubectl("create", "--validate=false", "-f", "-", "-o", "json", f"--as={user}", input=json.dumps(review)))
    assert not answer["status"].get("incomplete"), answer
    found: Rights = {}
    for one in answer["status"]["resourceRules"]:
        for group in one["apiGroups"]:
            for resource in one["resources"]:
                for name in one.get("resourceNames") or [""]:
                    found.setdefault(f"{group or 'core'}/{resource} {name}".rstrip(), set()).update(one["verbs"])
    return found


def own_rights(cluster: Cluster, api: Api, namespace: str) -> Rights:
    """What the operator may and an account without any rights may not."""
    nobody = tenancy.account(api, "default", "nobody")
    everybodys = rights_of(cluster, nobody, namespace)
    found = rights_of(cluster, OPERATOR_USER, namespace)
    return {what: rest for what, verbs in found.items() if (rest := verbs - everybodys.get(what, set()))}


def golden() -> dict[str, Rights]:
    sections: dict[str, Rights] = {}
    for line in GOLDEN.read_text().splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = section = {}
        elif line and not line.startswith("#"):
            what, _, verbs = line.partition(": ")
            section[what] = set(verbs.split())
    return sections


def grown(base: Rights, more: Rights) -> Rights:
    return {what: base.get(what, set()) | more.get(what, set()) for what in base.keys() | more.keys()}


@pytest.fixture(scope="module")
def default_install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Api]]:
    """A cluster with the rights of the chart's defaults and one tenant, without an operator."""
    with Cluster.start(quiet=True) as cluster:
        api = Api(cluster.admin_kubeconfig)
        for name in (HOME, NEIGHBOUR):
            tenancy.namespace(api, name)
        tenancy.grant(api, tmp_path_factory.mktemp("chart"), {"tenants": [{"namespace": HOME, "serviceAccounts": [APPLIER]}]})
        until("the rights are known", lambda: own_rights(cluster, api, HOME).get(f"core/serviceaccounts {APPLIER}"))
        yield cluster, api


@pytest.mark.parametrize("namespace", [NEIGHBOUR, "default", "kube-system", tenancy.NAMESPACE, "kube-node-lease", HOME])
def test_the_operator_may_do_what_the_golden_file_says_and_nothing_else(default_install: tuple[Cluster, Api], namespace: str):
    sections = golden()
    wanted = grown(sections["everywhere"], sections.get(namespace, {}))
    assert own_rights(*default_install, namespace) == wanted


def test_the_golden_file_has_no_wildcards_no_secrets_and_no_writes_of_the_core():
    for section, found in golden().items():
        for what, verbs in found.items():
            group, _, resource = what.partition("/")
            assert "*" not in what, what
            assert "*" not in verbs, what
            assert not resource.startswith("secrets"), what
            assert group != "core" or not verbs & WRITES, f"{section}: {what}"
            assert "bind" not in verbs
            assert "escalate" not in verbs
            assert "impersonate" not in verbs or " " in what, "by name alone"
    written = {what for found in golden().values() for what, verbs in found.items() if verbs & WRITES}
    assert {what.partition("/")[0] for what in written} == {"cvstate.io", "events.k8s.io", "coordination.k8s.io"}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="default"),
        pytest.param({"replicas": 3, "webhook": {"enabled": True}}, id="high-availability"),
        pytest.param({"config": {"namespaces": [HOME]}}, id="one-namespace"),
        pytest.param({"impersonation": {"mode": "Constrained"}}, id="constrained"),
        pytest.param({"impersonation": {"mode": "Constrained", "constrained": {"clusterWide": True}}}, id="constrained-everywhere"),
    ],
)
def test_no_values_of_the_chart_make_a_wildcard_or_a_right_on_secrets(tmp_path: Path, values: Mapping[str, Any]):
    tenants = [{"namespace": HOME, "serviceAccounts": [APPLIER]}]
    roles = [body for body in tenancy.rights(tmp_path, {"tenants": tenants, **values}) if body["kind"] in ("Role", "ClusterRole")]
    assert roles
    for role in roles:
        for one in role.get("rules", ()):
            assert "*" not in [*one.get("apiGroups", ()), *one.get("resources", ()), *one["verbs"]], role["metadata"]["name"]
            own = [verb for verb in one["verbs"] if not verb.startswith("impersonate-on:")]
            assert not own or "secrets" not in one.get("resources", ()), role["metadata"]["name"]


def test_these_rights_suffice(ground: Tenancy):
    """Nothing that the operator asks for in its own name is refused, from its start to an object that is applied, drifts and is repaired."""
    ground.commit("suffice", {"apps/a.yaml": text(config_map("suffice", k="v"))})
    ground.declare(HOME, "suffice", serviceAccountName=APPLIER)
    ground.wait(HOME, "suffice", "True")
    path = f"/api/v1/namespaces/{HOME}/configmaps/suffice"
    ground.api.merge(path, {"data": {"k": "drifted"}}, manager="somebody")
    until("it is repaired", lambda: (ground.api.get(path) or {}).get("data") == {"k": "v"})
    refused = [(one.verb, one.uri) for one, acted_as in asked(ground) if one.code in (401, 403) and not acted_as]
    assert refused == []


# -- whose name is on it -------------------------------------------------------------------------------------------


def asked(ground: Tenancy, since: int = 0) -> list[tuple[Any, str]]:
    """Requests of the operator since a mark of the audit log, and as whom."""
    log = ground.cluster.audit_log
    assert log is not None
    with log.open("rb") as file:
        file.seek(since)
        lines = complete_lines(file.read())
    found = ((parse(line), (json.loads(line).get("impersonatedUser") or {}).get("username", "")) for line in lines)
    return [(one, acted_as) for one, acted_as in found if one.user == OPERATOR_USER]


def test_objects_are_read_and_written_in_the_account_s_name_and_the_rest_in_the_operator_s(ground: Tenancy):
    mark = ground.cluster.audit.mark()
    ground.commit("named", {"apps/a.yaml": text(config_map("named", k="v"))})
    ground.declare(HOME, "named", serviceAccountName=APPLIER)
    ground.wait(HOME, "named", "True")
    ground.cluster.audit.mark()
    found = [(one, acted_as) for one, acted_as in asked(ground, mark) if one.code < 300]
    assert {acted_as for one, acted_as in found if one.resource == "configmaps"} == {USER}
    assert {acted_as for one, acted_as in found if one.resource in ("clusterstates", "events")} == {""}
    managers = {entry["manager"] for entry in ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/named")["metadata"]["managedFields"]}
    assert managers == {"cvstate-operator"}, "who it was for is in the audit log; the field manager stays the same"


def test_an_account_that_sees_its_namespace_only_is_watched_there(ground: Tenancy):
    mark = ground.cluster.audit.mark()
    service = manifest("Service", "narrow", spec={"clusterIP": "None", "ports": [{"port": 80}]})
    ground.commit("narrow", {"apps/a.yaml": text(service)})
    ground.declare(HOME, "narrow", serviceAccountName=APPLIER)
    ground.wait(HOME, "narrow", "True")
    ground.cluster.audit.mark()
    lists = [
        one for one, acted_as in asked(ground, mark) if acted_as == USER and one.resource == "services" and one.verb in ("list", "watch")
    ]
    assert {one.namespace for one in lists if one.code < 300} <= {HOME}
    assert len([one for one in lists if not one.namespace]) <= 2, "whether it may look everywhere is asked once, not again and again"
    path = f"/api/v1/namespaces/{HOME}/services/narrow"
    ground.api.merge(path, {"spec": {"publishNotReadyAddresses": True, "ports": [{"port": 81}]}}, manager="somebody")
    until("its drift is repaired", lambda: [p["port"] for p in (ground.api.get(path) or {})["spec"]["ports"]] == [80])


def test_several_clusterstates_of_an_account_that_sees_its_namespace_only_work_side_by_side(ground: Tenancy):
    """They share watches: what one of them declares, loses or leaves behind concerns no other."""
    names, path = ("side-one", "side-two", "side-three"), f"/api/v1/namespaces/{HOME}/configmaps"
    for name in names:
        ground.commit(name, {"apps/a.yaml": text(config_map(name, k="v"), config_map(f"{name}-more", k="v"))})
        ground.declare(HOME, name, serviceAccountName=APPLIER, deletionPolicy="Delete" if name == "side-one" else "Orphan")
    for name in names:
        ground.wait(HOME, name, "True")

    def repairs(*of: str) -> None:
        for name in of:
            ground.api.merge(f"{path}/{name}", {"data": {"k": "drifted"}}, manager="somebody")
        for name in of:
            until(f"drift of {name} is repaired", lambda name=name: (ground.api.get(f"{path}/{name}") or {})["data"] == {"k": "v"})

    repairs(*names)
    for name in names[:2]:
        ground.api.delete(f"{CLUSTER_STATES.format(HOME)}/{name}")
    for name in names[:2]:
        until(f"{name} is gone", lambda name=name: ground.api.get(f"{CLUSTER_STATES.format(HOME)}/{name}") is None, seconds=45)
    left = {name for name in names if ground.api.get(f"{path}/{name}") and ground.api.get(f"{path}/{name}-more")}
    assert left == {"side-two", "side-three"}, "the first took its objects with it, the second left them"
    repairs("side-three")
    assert ground.condition(HOME, "side-three")["status"] == "True"


def test_two_tenants_with_the_same_names_do_not_meet(ground: Tenancy):
    for namespace in (HOME, NEIGHBOUR):
        ground.commit(f"same-{namespace}", {"apps/a.yaml": text(config_map("same", k=namespace))})
        ground.declare(namespace, "same", repository=f"same-{namespace}", serviceAccountName=APPLIER)
    for namespace in (HOME, NEIGHBOUR):
        ground.wait(namespace, "same", "True")
        found = ground.api.get(f"/api/v1/namespaces/{namespace}/configmaps/same")
        assert found is not None
        assert found["data"] == {"k": namespace}
    writes = {
        (one.namespace, acted_as) for one, acted_as in asked(ground) if one.is_write and one.resource == "configmaps" and one.code < 300
    }
    assert {(namespace, acted_as.split(":")[2]) for namespace, acted_as in writes} <= {(HOME, HOME), (NEIGHBOUR, NEIGHBOUR)}


# -- rights that come and go ---------------------------------------------------------------------------------------


def test_rights_that_are_taken_away_stop_it_without_a_delete_and_come_back(ground: Tenancy):
    api, name = ground.api, "losing"
    user = tenancy.account(api, HOME, name, *tenancy.WORKS_WITH)
    impersonate = tenancy.rule(["serviceaccounts"], verbs=["impersonate"], names=[name])
    allow(api, "may-act", impersonate)
    repository = ground.git.repository("losing")
    repository.commit({"apps/a.yaml": text(config_map("kept", k="v")), "apps/b.yaml": text(config_map("leaves", k="v"))})
    ground.declare(HOME, "losing", serviceAccountName=name, git={"interval": "1s"})
    ground.wait(HOME, "losing", "True")
    role = f"/apis/{RBAC}/namespaces/{HOME}/roles/{name}"
    api.merge(role, {"rules": []})
    repository.commit({"apps/a.yaml": text(config_map("kept", k="new")), "apps/b.yaml": None})
    told = ground.wait(HOME, "losing", "False", "Forbidden")
    assert user in told["message"]
    path = f"/api/v1/namespaces/{HOME}/configmaps"
    assert (api.get(f"{path}/kept") or {})["data"] == {"k": "v"}
    assert api.get(f"{path}/leaves") is not None, "nothing is pruned by who may not look"
    api.merge(role, {"rules": list(tenancy.WORKS_WITH)})
    annotate(ground, "losing")
    until("it goes on", lambda: (api.get(f"{path}/kept") or {})["data"] == {"k": "new"}, seconds=60)
    until("what left Git goes", lambda: api.get(f"{path}/leaves") is None, seconds=60)


def test_the_grant_to_act_is_told_when_it_is_lacking_and_counts_when_it_comes(ground: Tenancy):
    api, name = ground.api, "later"
    tenancy.account(api, HOME, name, *tenancy.WORKS_WITH)
    ground.commit("later", {"apps/a.yaml": text(config_map("later", k="v"))})
    ground.declare(HOME, "later", serviceAccountName=name)
    told = ground.wait(HOME, "later", "False", "ImpersonationRefused")
    assert f"{HOME}:{name}" in told["message"]
    assert api.get(f"/api/v1/namespaces/{HOME}/configmaps/later") is None
    allow(api, "may-act-later", tenancy.rule(["serviceaccounts"], verbs=["impersonate"], names=[name]))
    annotate(ground, "later")
    ground.wait(HOME, "later", "True", seconds=60)


def test_another_account_in_the_spec_counts_at_once(ground: Tenancy):
    repository = ground.git.repository("switched")
    repository.commit({"apps/a.yaml": text(config_map("switched", k="v"))})
    ground.declare(HOME, "switched", serviceAccountName=APPLIER, git={"interval": "1s"})
    ground.wait(HOME, "switched", "True")
    mark = ground.cluster.audit.mark()
    ground.declare(HOME, "switched", serviceAccountName=OTHER, git={"interval": "1s"})
    repository.commit({"apps/a.yaml": text(config_map("switched", k="new"))})
    path = f"/api/v1/namespaces/{HOME}/configmaps/switched"
    until("the new commit is applied", lambda: (ground.api.get(path) or {})["data"] == {"k": "new"})
    ground.cluster.audit.mark()
    writers = {
        acted_as for one, acted_as in asked(ground, mark) if one.is_write and one.name == "switched" and one.resource == "configmaps"
    }
    assert writers == {f"system:serviceaccount:{HOME}:{OTHER}"}


def test_a_clusterstate_without_an_account_writes_nothing(ground: Tenancy):
    ground.commit("nobody", {"apps/a.yaml": text(config_map("nobody", k="v"))})
    ground.declare(HOME, "nobody")
    told = ground.wait(HOME, "nobody", "False", "ServiceAccountRequired")
    assert "spec.serviceAccountName" in told["message"]
    never("it was made", lambda: ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/nobody"), seconds=2)


def test_what_a_tenant_leaves_behind_goes_in_his_name_too(ground: Tenancy):
    ground.commit("leaving", {"apps/a.yaml": text(config_map("leaving", k="v"))})
    ground.declare(HOME, "leaving", serviceAccountName=APPLIER, deletionPolicy="Delete")
    ground.wait(HOME, "leaving", "True")
    mark = ground.cluster.audit.mark()
    path = f"{CLUSTER_STATES.format(HOME)}/leaving"
    ground.api.delete(path)
    until("it is gone", lambda: ground.api.get(path) is None, seconds=45)
    assert ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/leaving") is None
    ground.cluster.audit.mark()
    deletes = {acted_as for one, acted_as in asked(ground, mark) if one.verb == "delete" and one.resource == "configmaps"}
    assert deletes == {USER}


def allow(api: Api, name: str, *rules: Json) -> None:
    """Give the operator's own account more rights in the tenant's namespace."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": tenancy.ACCOUNT, "namespace": tenancy.NAMESPACE}]
    bodies = {
        "roles": manifest("Role", name, api_version=RBAC, rules=[*rules]),
        "rolebindings": manifest("RoleBinding", name, api_version=RBAC, roleRef=reference, subjects=subjects),
    }
    for plural, body in bodies.items():
        code, answer = api.apply(f"/apis/{RBAC}/namespaces/{HOME}/{plural}/{name}", body)
        assert code < 300, answer


def annotate(ground: Tenancy, name: str) -> None:
    """Ask for a full reconcile now."""
    stamp = {"metadata": {"annotations": {"reconcile.cvstate.io/requestedAt": f"after {name}"}}}
    ground.api.merge(f"{CLUSTER_STATES.format(HOME)}/{name}", stamp)


# -- other set-ups -------------------------------------------------------------------------------------------------


def test_a_default_account_acts_where_the_spec_names_none(git: GitServer, tmp_path: Path):
    with tenancy.running(git, tmp_path, TENANTS, prepare, "--default-service-account", APPLIER) as ground:
        ground.commit("defaulted", {"apps/a.yaml": text(config_map("defaulted", k="v"))})
        ground.declare(HOME, "defaulted")
        ground.wait(HOME, "defaulted", "True")
        ground.cluster.audit.mark()
        writers = {acted_as for one, acted_as in asked(ground) if one.is_write and one.resource == "configmaps"}
        assert writers == {USER}
        tenancy.namespace(ground.api, "team-c")
        ground.declare("team-c", "defaulted")
        told = ground.wait("team-c", "defaulted", "False", "ImpersonationRefused")
        assert "team-c:applier" in told["message"], "the account of that name in the own namespace, and no other"


def test_constrained_impersonation_ends_where_the_chart_says(git: GitServer, tmp_path: Path):
    """KEP-5284: what the account may do and the chart does not list is refused, whoever takes over the operator."""

    def with_leases(api: Api) -> None:
        prepare(api)
        everything = (*tenancy.WORKS_WITH, tenancy.rule(["leases"], group="coordination.k8s.io"))
        tenancy.account(api, HOME, APPLIER, *everything)

    values = {**TENANTS, "impersonation": {"mode": "Constrained"}}
    with tenancy.running(git, tmp_path, values, with_leases) as ground:
        ground.commit("listed", {"apps/a.yaml": text(config_map("listed", k="v"))})
        ground.declare(HOME, "listed", serviceAccountName=APPLIER)
        lease = manifest("Lease", "unlisted", api_version="coordination.k8s.io/v1", spec={})
        ground.commit("unlisted", {"apps/a.yaml": text(lease)})
        ground.declare(HOME, "unlisted", serviceAccountName=APPLIER)
        ground.wait(HOME, "listed", "True")
        told = ground.wait(HOME, "unlisted", "False", "ImpersonationRefused")
        assert "impersonate-on:serviceaccount" in told["message"]
        assert ground.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/unlisted") is None


def test_with_constrained_impersonation_what_another_account_may_have_is_kept_for_it(git: GitServer, tmp_path: Path):
    """The operator asks that account what it may do; as long as it may not ask, whatever is claimed is kept."""

    def with_other(api: Api) -> None:
        prepare(api)
        tenancy.account(
            api,
            HOME,
            OTHER,
            tenancy.rule(["configmaps"], verbs=["get", "list", "watch"]),
            tenancy.rule(["configmaps"], verbs=["patch"], names=["handed"]),
        )

    bodies = {name: text(config_map(name, k="v")) for name in ("handed", "dropped", "stays")}
    asking = f"/apis/{RBAC}/clusterrolebindings/{tenancy.ACCOUNT}-impersonate-ask"
    with tenancy.running(git, tmp_path, {**TENANTS, "impersonation": {"mode": "Constrained"}}, with_other) as ground:

        def left() -> set[str]:
            return {name for name in bodies if ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/{name}")}

        binding = ground.api.get(asking)
        assert binding is not None
        ground.api.delete(asking)
        repository = ground.git.repository("giver")
        repository.commit({f"apps/{name}.yaml": body for name, body in bodies.items()})
        ground.declare(HOME, "giver", serviceAccountName=APPLIER, git={"interval": "5s"}, prune={"maxPercent": 100})
        ground.wait(HOME, "giver", "True")
        heirs = ground.git.repository("heir")
        heirs.commit({f"apps/{name}.yaml": bodies[name] for name in ("handed", "dropped")})
        ground.declare(HOME, "heir", serviceAccountName=OTHER, git={"interval": "5s"}, suspend=True)
        until("it is claimed", lambda: ground.status(HOME, "heir").get("claims"), seconds=45)
        repository.commit({"apps/handed.yaml": None, "apps/dropped.yaml": None})
        kept = f"kept by ClusterState {HOME}/heir"
        until("it is said who keeps it", lambda: kept in ground.condition(HOME, "giver").get("message", ""), seconds=45)
        never("anything goes", lambda: left() != {*bodies}, seconds=5)
        again = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
        ground.api.create(asking.rpartition("/")[0], {**again, "metadata": {"name": binding["metadata"]["name"]}})
        until("what that account may not have goes", lambda: left() == {"handed", "stays"}, seconds=60)
        assert kept in ground.condition(HOME, "giver").get("message", "")
        heirs.commit({"apps/dropped.yaml": None})
        ground.declare(HOME, "heir", serviceAccountName=OTHER, git={"interval": "5s"}, suspend=False)
        ground.wait(HOME, "heir", "True")
        assert left() == {"handed", "stays"}
