"""`cvstate check` and a real API server say the same of an object.

Aspects: objects of every kind that the API server takes are found good, by the built-in schemas and by the cluster's · of some thousand changes to them
(fields left out, null, of another type, unknown; items twice) none is called wrong that the API server takes, and none is passed that it cannot even read ·
rules of a CRD · what only the API server knows · where check is stricter · the built-in file is what this API server says · the command: --kubeconfig, exit codes, a
real kustomization, hostile files.
"""

import copy
import http.client
import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator.cli.main import app
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.render import parse
from cvstate_operator.schema import builtin, openapi
from cvstate_operator.schema.catalogue import Catalogue
from tests.cluster import builds
from tests.cluster.control_plane import Cluster
from tests.integration.check_corpus import CORNER_CASES, CORNER_DEFINITION, GROUP, corner, corners
from tests.integration.test_kinds import everything
from tests.support.api import Api, Json
from tests.support.objects import deployment, manifest, text
from tests.support.waiting import until

pytestmark = pytest.mark.integration

DRY_RUN = "?dryRun=All&fieldManager=check&force=true&fieldValidation=Strict"
UNREADABLE = 500
"""What the API server answers to a server-side apply that does not fit the schema of its kind; 422 is for everything it finds later."""
NO_ANSWER = 599
"""The API server drops the connection: some broken objects make its own validation panic."""

CORNER = ApiResource(Gvk(GROUP, "v1", "Corner"), "corners", True)
OBJECTS = [*(o for o in everything("check") if o["kind"] != "Thing"), *corners(), corner()]


class Judge:
    """The API server's verdict, on one connection."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(urllib.parse.urlparse(self._api.server).netloc, context=self._api._tls, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def judge(self, resource: ApiResource, body: Json) -> tuple[int, str]:
        """HTTP status and message of a dry run."""
        path = resource.path("default", body["metadata"]["name"]) + DRY_RUN
        try:
            self._connection.request("PATCH", path, json.dumps(body), {"Content-Type": "application/apply-patch+yaml"})
            answer = self._connection.getresponse()
            content = answer.read()
        except http.client.RemoteDisconnected:
            self._connection.close()
            self._connection = self._connect()
            return NO_ANSWER, ""
        is_json = "json" in answer.headers["Content-Type"]  # a path that is not served (yet) is answered with plain text
        return answer.status, json.loads(content).get("message", "") if is_json else content.decode()


@pytest.fixture(scope="module")
def judge(api: Api) -> Iterator[Judge]:
    code, answer = api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/corners.{GROUP}", CORNER_DEFINITION)
    assert code < 300, answer
    found = Judge(api)
    # The kind is served a moment before its schema is used.
    until(
        "the rules of the kind are in force",
        lambda: found.judge(CORNER, corner())[0] < 300 and found.judge(CORNER, corner(size="x"))[0] >= 400,
    )
    yield found
    found.close()


@pytest.fixture(scope="module")
def known() -> Catalogue:
    found = Catalogue(builtin.load())
    found.add(CORNER_DEFINITION)
    return found


@pytest.fixture(scope="module")
def of_cluster(judge: Judge, api: Api) -> Catalogue:
    code, document = api.request("GET", "/openapi/v2")
    assert code == 200
    found = Catalogue(openapi.compact(document, version="1.36"), groups={group for group, *_ in builtin.load()["kinds"]})
    found.add(CORNER_DEFINITION)
    return found


def resource_of(body: Json, known: Catalogue) -> ApiResource:
    gvk = Gvk.parse(body["apiVersion"], body["kind"])
    found = CORNER if gvk == CORNER.gvk else known.resource(gvk)
    assert found is not None
    return found


def checked(body: Json, known: Catalogue) -> tuple[Json, list[str]]:
    """The object as it would be applied, and what check says of it."""
    index, rendered = parse.parse(json.dumps(body).encode())
    if index["problems"]:
        return body, [str(problem) for problem in index["problems"]]
    found = json.loads(rendered)
    return found, [f"{fault.field}: {fault.message}" for fault in known.faults(Gvk.parse(body["apiVersion"], body["kind"]), found)]


def name_of(body: Json) -> str:
    return f"{body['kind']}-{body['metadata']['name']}"


@pytest.mark.parametrize("body", OBJECTS, ids=name_of)
def test_an_object_that_the_api_server_takes_is_good_by_both_schemas(body: Json, judge: Judge, known: Catalogue, of_cluster: Catalogue):
    applied, faults = checked(body, known)
    code, message = judge.judge(resource_of(body, known), applied)
    assert code == 201, message
    assert faults == []
    assert checked(body, of_cluster)[1] == []


# -- changes -------------------------------------------------------------------------------------------------------


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path in an object, from the root down."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


def changed(body: Json, path: tuple[str | int, ...], value: Any) -> Json:
    """A copy with another value at a path; without it for `...`."""
    copied: Any = copy.deepcopy(body)
    parent = copied
    for part in path[:-1]:
        parent = parent[part]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return copied


def changes(body: Json) -> Iterator[tuple[str, Json]]:
    """What can go wrong at each place of an object."""
    for path in paths(body):
        value: Any = body
        for part in path:
            value = value[part]
        if path in (("metadata",), ("metadata", "name")) or (path and path[0] in ("apiVersion", "kind")):
            continue
        if isinstance(value, dict):
            yield f"{path} gets an unknown field", changed(body, (*path, "bogusField"), "x")
        if not path:
            continue
        if isinstance(path[-1], str):
            yield f"{path} is left out", changed(body, path, ...)
        yield f"{path} is null", changed(body, path, None)
        for other in (7, "x", True, {}, [None]):
            if type(other) is not type(value):
                yield f"{path} is {other!r}", changed(body, path, other)
        if isinstance(value, list) and value:
            yield f"{path} has an item twice", changed(body, path, [*value, value[0]])


def is_stricter_on_purpose(what: str, faults: list[str]) -> bool:
    """A null among labels, annotations and stringData: the render itself refuses it."""
    return "is null" in what and len(faults) == 1 and "BuildFailed" in faults[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("body", OBJECTS, ids=name_of)
def test_whatever_is_changed_in_an_object_check_refuses_what_cannot_be_read_and_nothing_that_is_taken(
    body: Json, judge: Judge, known: Catalogue
):
    resource = resource_of(body, known)
    wrong = []
    for what, body_changed in changes(body):
        applied, faults = checked(body_changed, known)
        code, message = judge.judge(resource, applied)
        if code < 300 and faults and not is_stricter_on_purpose(what, faults):
            wrong.append(f"called wrong, though it is taken: {what}: {faults}")
        elif code == UNREADABLE and not faults:
            wrong.append(f"passed, though it cannot be read: {what}: {message}")
    assert wrong == []


# -- single rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "is_good"), CORNER_CASES.values(), ids=CORNER_CASES.keys())
def test_a_rule_of_a_crd_is_judged_alike(change: Json, is_good: bool, judge: Judge, known: Catalogue):
    applied, faults = checked(corner(**change), known)
    code, message = judge.judge(CORNER, applied)
    assert (code < 300) is is_good, message
    assert (not faults) is is_good, faults


def with_container(**fields: Any) -> Json:
    return changed(deployment("x"), ("spec", "template", "spec", "containers"), [{"name": "main", "image": "x", **fields}])


SERVER_ONLY = {
    "selector that does not match": changed(deployment("x"), ("spec", "selector"), {"matchLabels": {"app": "other"}}),
    "negative replicas": changed(deployment("x"), ("spec", "replicas"), -1),
    "empty image": with_container(image=""),
    "name that is no DNS label": manifest("Service", "Not_A_Name", spec={"ports": [{"port": 80}]}),
    "label that is too long": manifest("ConfigMap", "x", labels={"a": "b" * 64}),
    "mount of an unknown volume": with_container(volumeMounts=[{"name": "nowhere", "mountPath": "/x"}]),
    "two sources of one value": with_container(env=[{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
    "cron schedule": manifest("CronJob", "x", api_version="batch/v1", spec={"schedule": "often", "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never"}}}}}),
    "CEL of a policy": manifest("ValidatingAdmissionPolicy", "x", api_version="admissionregistration.k8s.io/v1", spec={"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}, "validations": [{"expression": "no such"}]}),
}  # fmt: skip
"""docs/check.md lists these."""


@pytest.mark.parametrize("body", SERVER_ONLY.values(), ids=SERVER_ONLY.keys())
def test_what_only_the_api_server_knows_is_passed(body: Json, judge: Judge, known: Catalogue):
    applied, faults = checked(body, known)
    assert judge.judge(resource_of(body, known), applied)[0] == 422
    assert faults == []


STRICTER = {
    "number that does not fit": changed(deployment("x"), ("spec", "revisionHistoryLimit"), 2**32 + 1),
    "label that is null": manifest("ConfigMap", "x", labels={"a": None}),
}
"""docs/check.md lists these."""


@pytest.mark.parametrize("body", STRICTER.values(), ids=STRICTER.keys())
def test_what_the_api_server_takes_for_something_else_is_refused(body: Json, judge: Judge, known: Catalogue):
    applied, faults = checked(body, known)
    assert judge.judge(resource_of(body, known), applied)[0] == 201
    assert len(faults) == 1


def test_the_built_in_schemas_are_those_of_this_api_server(api: Api):
    code, document = api.request("GET", "/openapi/v2")
    assert code == 200
    ours = builtin.load()
    theirs = openapi.compact(document, version=ours["version"])
    groups = {group for group, *_ in ours["kinds"]}
    # Kinds that other tests installed are none of Kubernetes' own.
    assert [kind for kind in theirs["kinds"] if kind[0] in groups] == ours["kinds"], "run `make schemas`"
    assert {name: theirs["definitions"].get(name) for name in ours["definitions"]} == ours["definitions"], "run `make schemas`"


def test_the_command_checks_by_the_kinds_of_a_cluster(judge: Judge, cluster: Cluster, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(text(corner(small="x"), manifest("Nobody", "x", api_version="unheard.example.test/v1")))
    result = CliRunner().invoke(app, ["check", str(tmp_path), "--kubeconfig", str(cluster.admin_kubeconfig), "-o", "json"])
    found = {(item["reason"], item["field"]) for item in json.loads(result.stdout)}
    assert found == {("Invalid", "spec.small"), ("KindUnknown", "kind")}
    assert result.exit_code == 1


# -- the command ---------------------------------------------------------------------------------------------------


def run(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the real program."""
    programs = builds.ensure(["kustomize", "helm"]).values()
    environment = {**os.environ, "CVSTATE_TOOLS": os.pathsep.join(str(program.parent) for program in programs)}
    command = [str(Path(sys.executable).parent / "cvstate"), "check", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_exit_code_says_whether_there_is_something_to_mend(tmp_path: Path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.yaml").write_text(text(deployment("a")))
    (tmp_path / "bad.yaml").write_text(text(manifest("ConfigMap", "a", dta={})))
    assert run("good", cwd=tmp_path) == (0, "1 object in 1 file, no problems\n", "")
    code, out, err = run(".", "-o", "github", cwd=tmp_path)
    assert (code, err) == (1, "")
    assert out.startswith("::error file=bad.yaml,line=5,title=Invalid ConfigMap/a::dta: is an unknown field; did you mean data?\n")
    code, out, err = run("none", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert "none cannot be read" in err


def test_a_kustomization_is_built_by_the_real_program_and_its_objects_are_judged(tmp_path: Path):
    for name in ("base", "prod"):
        (tmp_path / name).mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "base" / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "base" / "a.yaml").write_text(text(deployment("a")))
    overlay = "resources: [../base]\nnamePrefix: prod-\npatches:\n- {patch: '- {op: add, path: /spec/replica, value: 3}', target: {kind: Deployment}}\n"
    (tmp_path / "prod" / "kustomization.yaml").write_text(overlay)
    assert run("base", cwd=tmp_path)[0] == 0
    code, out, _ = run("prod", cwd=tmp_path)
    assert code == 1
    assert (
        out.splitlines()[0]
        == "prod/kustomization.yaml apps/Deployment/prod-a spec.replica: is an unknown field; did you mean replicas? (Invalid)"
    )


CHART_TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
dta: {version: "{{ .Capabilities.KubeVersion.Minor }}", has: "{{ .Capabilities.APIVersions.Has "apps/v1/Deployment" }}"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}
"""


def test_a_chart_is_rendered_by_the_real_program_and_its_objects_are_judged(tmp_path: Path):
    (tmp_path / "shop" / "templates").mkdir(parents=True)
    (tmp_path / "shop" / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    template = tmp_path / "shop" / "templates" / "a.yaml"
    template.write_text(CHART_TEMPLATE)
    code, out, err = run("shop", cwd=tmp_path)
    assert (code, err) == (1, "")
    hook, fault, _, total = out.splitlines()
    assert hook.startswith("shop/Chart.yaml: hooks that only Helm could run were left out: Job/migrate")
    assert fault == "shop/Chart.yaml ConfigMap/a dta: is an unknown field; did you mean data? (Invalid)"
    assert total == "1 object in 1 file, 1 problem, 1 note"
    template.write_text(CHART_TEMPLATE.replace("dta", "data"))
    assert run("shop", cwd=tmp_path)[0] == 0, "a hook that is left out is only a note"


def test_a_chart_is_told_the_kinds_and_the_version_that_it_is_checked_against(tmp_path: Path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\nkubeVersion: '1.36.x'\n")
    condition = '{{ if not (.Capabilities.APIVersions.Has "apps/v1/Deployment") }}{{ fail "unknown" }}{{ end }}'
    (tmp_path / "templates" / "a.yaml").write_text(condition + CHART_TEMPLATE.replace("dta", "data"))
    assert run(".", cwd=tmp_path)[0] == 0


def test_a_chart_that_cannot_be_rendered_is_a_problem_of_its_file(tmp_path: Path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(
        "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, repository: 'https://charts.example.io'}]\n"
    )
    code, out, _ = run(".", "-o", "json", cwd=tmp_path)
    assert code == 1
    (item,) = json.loads(out)
    assert (item["file"], item["reason"]) == ("Chart.yaml", "BuildFailed")
    assert "run helm dependency build and commit charts/" in item["message"]


def test_hostile_files_are_read_in_a_child_with_limits(tmp_path: Path):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else '*a'] * 10)}]\n" for i in range(12)
    )
    (tmp_path / "a.yaml").write_text(bomb)
    (tmp_path / "b.yaml").write_text("[" * 100_000)
    (tmp_path / "c.yaml").write_text(text(deployment("a")))
    code, out, _ = run(".", "-o", "json", cwd=tmp_path)
    assert code == 1
    assert {item["reason"] for item in json.loads(out)} == {"YAMLAliasLimit", "YAMLTooDeep"}
