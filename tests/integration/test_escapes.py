"""Tenants who try to get out: what a person who may write ClusterStates, Secrets and a repository cannot make the operator do.

Aspects: objects beyond the account's rights · objects of others · objects that are to go · sources, renders and references · accounts · kubeconfigs · specs that the API server itself refuses · who
asked, by the audit log · nothing is left behind · and that the same tenant's honest work is done. (G14 of the reliability goals, S15 of its invariants.)

One operator has exactly the rights of the chart; all attempts are under way at once, since each takes a second or two of waiting.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.audit import complete_lines, parse
from tests.support import tenancy
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.escape_attempts import (
    ADMIN,
    APPLIER,
    ATTEMPTS,
    CANARY,
    GHOST,
    HIDDEN,
    HIS_SET,
    HOLDS,
    HOME,
    KEEPER,
    NEIGHBOUR,
    PLATFORM,
    SHARED,
    SIGNAL,
    SPECS,
    STRANGER,
    USER,
    Attempt,
    Hold,
)
from tests.support.objects import RBAC, config_map, manifest, text
from tests.support.tenancy import OPERATOR_USER, Tenancy
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TENANTS: Final = [
    {"namespace": HOME, "serviceAccounts": [APPLIER, GHOST]},
    {"namespace": NEIGHBOUR, "serviceAccounts": [APPLIER]},
    {"namespace": PLATFORM, "serviceAccounts": [KEEPER]},
]
SECONDS: Final = 60.0
"""Longest wait for one of the attempts; on an idle machine all of them are told within ten."""
GUARDED: Final = (
    "/api/v1/namespaces",
    "/api/v1/nodes",
    "/api/v1/persistentvolumes",
    f"/api/v1/namespaces/{HOME}/secrets",
    f"/api/v1/namespaces/{NEIGHBOUR}/configmaps",
    f"/api/v1/namespaces/{NEIGHBOUR}/secrets",
    f"/api/v1/namespaces/{STRANGER}/configmaps",
    f"/api/v1/namespaces/{tenancy.NAMESPACE}/configmaps",
    "/api/v1/namespaces/kube-system/configmaps",
    f"/apis/{RBAC}/clusterroles",
    f"/apis/{RBAC}/clusterrolebindings",
    f"/apis/{RBAC}/namespaces/{HOME}/roles",
    f"/apis/{RBAC}/namespaces/{HOME}/rolebindings",
    f"/apis/{RBAC}/namespaces/kube-system/roles",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    f"/apis/coordination.k8s.io/v1/namespaces/{tenancy.NAMESPACE}/leases",
    "/apis/cvstate.io/v1alpha1/emergencystops",
    "/apis/cvstate.io/v1alpha1/stateapprovals",
)
"""Lists that have to be the same before and after, to the last version of the last object."""
BYSTANDERS: Final = ("victim", "controlled", "innocent")


@dataclass
class Ground:
    """Where the attempts are under way."""

    tenancy: Tenancy
    before: dict[str, dict[str, str]]
    """By list: names and versions."""

    @property
    def api(self) -> Api:
        return self.tenancy.api

    def told(self, name: str, attempt: Attempt) -> tuple[str, str]:
        """Reason and message by which an attempt is refused so far; empty if nothing is told."""
        status = self.tenancy.status(attempt.where, name)
        if attempt.told_by == SIGNAL:
            signal = next(iter(status.get("vital", {}).get("signals", ())), {})
            return signal.get("gap", ""), signal.get("message", "")
        found = next((one for one in status.get("conditions", ()) if one["type"] == attempt.told_by), {})
        return (found["reason"], found["message"]) if found and found["status"] != "True" else ("", "")

    def refusal(self, name: str, attempt: Attempt) -> str:
        """Wait until it is refused for its reason; the message."""
        try:
            return until(
                f"{name} is refused",
                lambda: (
                    (found := self.told(name, attempt))[0] == attempt.reason
                    and all(one in found[1] for one in attempt.mentions)
                    and found[1]
                ),
                seconds=SECONDS,
                every=0.2,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; wanted: {attempt.reason} {attempt.mentions}; told: {self.told(name, attempt)}") from None


@pytest.fixture(scope="module")
def ground(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory = tmp_path_factory.mktemp("escapes")
    with tenancy.running(git, directory, {"tenants": TENANTS}, prepare) as found:
        victim(found)
        stage(found)
        before = versions(found.api)
        for name, attempt in ATTEMPTS.items():
            begin(found, name, attempt)
        yield Ground(found, before)


def prepare(api: Api) -> None:
    """The namespaces and accounts."""
    for name in (HOME, NEIGHBOUR, STRANGER, PLATFORM, SHARED):
        tenancy.namespace(api, name)
    kubeconfigs = [secret_of(name) for name, attempt in ATTEMPTS.items() if attempt.user is not None]
    tenancy.account(api, HOME, APPLIER, *tenancy.WORKS_WITH, tenancy.rule(["secrets"], verbs=["get"], names=kubeconfigs))
    tenancy.account(api, NEIGHBOUR, APPLIER, *tenancy.WORKS_WITH)
    tenancy.make_admin(api, HOME, ADMIN)
    tenancy.make_admin(api, STRANGER, "root")
    tenancy.make_admin(api, PLATFORM, KEEPER)
    tenancy.account(api, SHARED, "reader", tenancy.rule(["configmaps"], verbs=["get", "list", "watch"]))
    subjects = [{"kind": "ServiceAccount", "name": APPLIER, "namespace": HOME}]
    code, answer = api.apply(
        f"/apis/{RBAC}/namespaces/{SHARED}/rolebindings/reader",
        manifest(
            "RoleBinding",
            "reader",
            api_version=RBAC,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            subjects=subjects,
        ),
    )
    assert code < 300, answer


def victim(ground: Tenancy) -> None:
    """The ClusterState of a colleague, in the same namespace and with the same account."""
    ground.commit("victim", {"apps/a.yaml": text(config_map("victim", k="v"))})
    ground.declare(HOME, "victim", serviceAccountName=APPLIER)
    ground.wait(HOME, "victim", "True")


def stage(ground: Tenancy) -> None:
    """What is there before: Secrets, and objects that are nobody's to take."""
    api = ground.api
    secrets = f"/api/v1/namespaces/{HOME}/secrets"
    config_maps = f"/api/v1/namespaces/{HOME}/configmaps"
    config = yaml.safe_dump(tenancy.config(ground.cluster, CANARY))
    api.create(secrets, manifest("Secret", HIDDEN, stringData={"password": CANARY, "value": config}))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "controller", "uid": "0-0", "controller": True}
    controlled, innocent = config_map("controlled", k="v"), config_map("innocent", k="v")
    controlled["metadata"]["ownerReferences"] = [owner]
    innocent["metadata"].update(labels={"applyset.kubernetes.io/part-of": HIS_SET}, annotations={"cvstate.io/digest": f"sha256:{'0' * 64}"})
    api.create(config_maps, controlled)
    api.create(config_maps, innocent)
    for name, attempt in ATTEMPTS.items():
        if attempt.user is not None:
            body = tenancy.config(ground.cluster, "")
            body["users"][0]["user"] = dict(attempt.user)
            body["clusters"][0]["cluster"].update(attempt.server)
            api.create(secrets, manifest("Secret", secret_of(name), stringData={"value": yaml.safe_dump(body)}))


def begin(ground: Tenancy, name: str, attempt: Attempt) -> None:
    """Commit what an attempt needs, and declare it."""
    repository = ground.git.repository(name)
    if attempt.link:
        (repository.directory / "apps").mkdir()
        (repository.directory / "apps" / "link.yaml").symlink_to(attempt.link)
    files = attempt.files or {"harmless.yaml": text(config_map(f"harmless-{name}", k="v"))}
    repository.commit({f"apps/{file}": content for file, content in files.items()})
    spec = json.loads(json.dumps(attempt.spec))
    git = spec.pop("source", {}).get("git", {})
    if attempt.account is not None:
        spec["serviceAccountName"] = attempt.account
    if attempt.user is not None:
        spec["target"] = {"kubeConfig": {"secretRef": {"name": secret_of(name)}}}
    ground.declare(attempt.where, name, git=git, **spec)


def secret_of(name: str) -> str:
    return f"of-{name}"


def versions(api: Api) -> dict[str, dict[str, str]]:
    """Names and versions of everything that is guarded."""

    def listed(path: str) -> dict[str, str]:
        code, answer = api.request("GET", path)
        assert code == 200, answer
        return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in answer["items"]}

    return {path: listed(path) for path in GUARDED}


def test_there_are_enough_attempts():
    assert len(ATTEMPTS) + len(SPECS) >= 60


@pytest.mark.parametrize(("name", "attempt"), ATTEMPTS.items(), ids=ATTEMPTS.keys())
def test_an_escape_is_refused_with_its_reason(ground: Ground, name: str, attempt: Attempt):
    message = ground.refusal(name, attempt)
    assert CANARY not in message, "no value of a Secret is told"
    for path in attempt.absent:
        assert ground.api.get(path) is None, f"{path} was made"


@pytest.mark.parametrize(("spec", "named"), SPECS.values(), ids=SPECS.keys())
def test_a_spec_that_reaches_elsewhere_is_refused_by_the_api_server(ground: Ground, spec: Json, named: str):
    whole = {"source": {"git": {"url": "https://git.example.test/x"}}, **spec}
    body = manifest("ClusterState", "bad", api_version="cvstate.io/v1alpha1", spec=whole)
    code, answer = ground.api.request("POST", f"{CLUSTER_STATES.format(HOME)}?fieldValidation=Strict", body)
    assert code in (400, 422), answer
    assert named in answer["message"]


def test_a_namespace_in_a_reference_counts_for_nothing_where_nobody_refused_it(ground: Ground):
    """Without strict validation the API server drops what it does not know; the Secret is then one of the own namespace."""
    ground.tenancy.git.repository("lenient").commit({"apps/a.yaml": text(config_map("lenient", k="v"))})
    ground.api.create(f"/api/v1/namespaces/{NEIGHBOUR}/secrets", manifest("Secret", "theirs", stringData={"bearerToken": CANARY}))
    git = {"url": ground.tenancy.git.url("lenient"), "path": "apps", "secretRef": {"name": "theirs", "namespace": NEIGHBOUR}}
    spec = {"source": {"git": git}, "serviceAccountName": APPLIER}
    body = manifest("ClusterState", "lenient", api_version="cvstate.io/v1alpha1", spec=spec)
    ground.api.create(CLUSTER_STATES.format(HOME), body)
    try:
        ground.refusal("lenient", Attempt("Forbidden", (USER, "theirs", f'namespace "{HOME}"')))
    finally:
        ground.api.delete(f"/api/v1/namespaces/{NEIGHBOUR}/secrets/theirs")


def given(ground: Ground, name: str, body: Json) -> Callable[[], str]:
    """The platform team declares an object, beside one that stays; returns what takes it out of its Git, which gives the commit."""
    repository = ground.tenancy.git.repository(f"of-{name}")
    repository.commit({"apps/a.yaml": text(body), "apps/b.yaml": text(config_map(f"of-{name}", k="v"))})
    prune = {"maxPercent": 100}
    ground.tenancy.declare(PLATFORM, f"of-{name}", serviceAccountName=KEEPER, git={"interval": "5s"}, prune=prune)
    ground.tenancy.wait(PLATFORM, f"of-{name}", "True", seconds=SECONDS)
    return lambda: repository.commit({"apps/a.yaml": None})


@pytest.mark.parametrize(("name", "hold"), HOLDS.items(), ids=HOLDS.keys())
def test_what_is_taken_away_goes_although_a_tenant_declares_it_who_may_not_write_it(ground: Ground, name: str, hold: Hold):
    take_away = given(ground, name, hold.body)
    ground.tenancy.commit(name, {"apps/a.yaml": text(hold.body)})
    ground.tenancy.declare(HOME, name, serviceAccountName=APPLIER)
    ground.refusal(name, Attempt(hold.reason, ()))
    commit = take_away()
    until("it is gone", lambda: ground.api.get(hold.path) is None, seconds=SECONDS)
    until(
        "that commit is applied",
        lambda: commit in ground.tenancy.status(PLATFORM, f"of-{name}").get("lastAppliedRevision", ""),
        seconds=SECONDS,
    )
    ground.tenancy.wait(PLATFORM, f"of-{name}", "True", seconds=SECONDS)
    ground.refusal(name, Attempt("Forbidden", (USER,)))


def test_what_is_taken_away_stays_for_a_tenant_who_may_write_it_and_does_not_yet(ground: Ground):
    body, path = manifest("ConfigMap", "handed", namespace=HOME, data={"k": "v"}), f"/api/v1/namespaces/{HOME}/configmaps/handed"
    take_away = given(ground, "handed", body)
    before = ground.api.get(path)
    assert before is not None
    ground.tenancy.commit("handed", {"apps/a.yaml": text(body)})
    ground.tenancy.declare(HOME, "handed", serviceAccountName=APPLIER, suspend=True)
    until("it is claimed", lambda: ground.tenancy.status(HOME, "handed").get("claims") == [f"ConfigMap/{HOME}/handed"], seconds=SECONDS)
    take_away()
    kept = f"kept by ClusterState {HOME}/handed"
    until("it is said who keeps it", lambda: kept in ground.tenancy.condition(PLATFORM, "of-handed").get("message", ""), seconds=SECONDS)
    ground.tenancy.declare(HOME, "handed", serviceAccountName=APPLIER, suspend=False)
    ground.tenancy.wait(HOME, "handed", "True", seconds=SECONDS)
    now = ground.api.get(path)
    assert now is not None
    assert now["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_lookup_in_a_chart_finds_nothing(ground: Ground):
    line = f'{{{{ (lookup "v1" "Secret" "{HOME}" "{HIDDEN}") | toJson | quote }}}}'
    template = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: looked-up}}\ndata: {{found: {line}}}\n"
    chart = {"apps/Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n", "apps/templates/a.yaml": template}
    ground.tenancy.commit("lookup", chart)
    ground.tenancy.declare(HOME, "lookup", serviceAccountName=APPLIER)
    ground.tenancy.wait(HOME, "lookup", "True", seconds=SECONDS)
    made = ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/looked-up")
    assert made is not None
    assert made["data"] == {"found": "{}"}
    assert any("LookupIgnored" in warning or "lookup" in warning for warning in ground.tenancy.status(HOME, "lookup")["render"]["warnings"])


def test_honest_work_of_the_same_tenant_is_done(ground: Ground):
    role = manifest("Role", "honest", api_version=RBAC, rules=[tenancy.rule(["configmaps"], verbs=["get"])])
    ground.tenancy.commit("honest", {"apps/a.yaml": text(config_map("honest", k="v"), role)})
    ground.tenancy.declare(HOME, "honest", serviceAccountName=APPLIER)
    ground.tenancy.wait(HOME, "honest", "True", seconds=SECONDS)
    made = ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/honest")
    assert made is not None
    assert made["data"] == {"k": "v"}


def all_refused(ground: Ground) -> None:
    for name, attempt in ATTEMPTS.items():
        ground.refusal(name, attempt)


def test_nothing_that_is_guarded_was_touched(ground: Ground):
    all_refused(ground)
    now = versions(ground.api)
    made = {"honest"}  # the tenant's own Role, if that test ran before
    for path in GUARDED:
        found = {name: version for name, version in now[path].items() if name not in made}
        assert found == ground.before[path], path
    for name in BYSTANDERS:
        body = ground.api.get(f"/api/v1/namespaces/{HOME}/configmaps/{name}")
        assert body is not None, f"{name} is gone"
        assert body["data"] == {"k": "v"}


def test_every_write_was_asked_for_in_the_tenant_s_name_or_was_about_the_operator_s_own_kinds(ground: Ground):
    all_refused(ground)
    log = ground.tenancy.cluster.audit_log
    assert log is not None
    mine = {("clusterstates", ""), ("clusterstates", "status"), ("clusterstateplans", ""), ("events", "")}
    seen = {"own": 0, "tenant": 0}
    for line in complete_lines(log.read_bytes()):
        request, event = parse(line), json.loads(line)
        if request.user != OPERATOR_USER or request.code >= 300:
            continue
        acted_as = (event.get("impersonatedUser") or {}).get("username", "")
        if acted_as == f"system:serviceaccount:{PLATFORM}:{KEEPER}":
            continue  # no tenant of ours
        if acted_as:
            assert acted_as.split(":")[2] in (HOME, NEIGHBOUR), event
            assert request.resource != "secrets" or request.namespace == acted_as.split(":")[2], event
        else:
            assert request.resource not in ("secrets", "configmaps"), "read with the operator's own rights"
        if request.is_write and acted_as:
            assert (acted_as, request.namespace) == (USER, HOME), event
            seen["tenant"] += 1
        elif request.is_write:
            assert (request.resource, request.subresource) in mine, event
            seen["own"] += 1
    assert seen["tenant"] >= 1, "the victim's ConfigMap at least"
    assert seen["own"] >= len(ATTEMPTS), "each attempt has a status at least"


def test_events_tell_it_in_the_namespace_of_the_clusterstate_alone(ground: Ground):
    all_refused(ground)

    def told() -> dict[str, Any]:
        items = ground.api.request("GET", "/apis/events.k8s.io/v1/events")[1]["items"]
        return {one["regarding"]["name"]: one for one in items if one["regarding"].get("kind") == "ClusterState"}

    wanted = {"neighbour", "git-credentials"}
    deadline = time.monotonic() + 20
    while (missing := wanted - told().keys()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not missing
    for event in told().values():
        assert event["metadata"]["namespace"] == event["regarding"]["namespace"]
