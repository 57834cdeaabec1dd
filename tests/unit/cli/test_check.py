"""`cvstate check` without its child process: files in, findings out, and how they are told.

Aspects: which files are read, and which never · file, document, line, object and field of a finding · duplicates · kinds without a schema, --strict · CRDs
among the files · ClusterStates among the files, and as the order · variables · an empty path, none, standard input · text, JSON, annotations · options that
are wrong.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.cli import check
from cvstate_operator.cli.preflight import places, report, task
from cvstate_operator.cli.preflight.finding import Finding
from cvstate_operator.cli.preflight.report import Outcome
from tests.support.objects import config_map, definition, deployment, manifest, text


def request(root: Path | None = None, **more: Any) -> dict[str, Any]:
    """As the command makes it."""
    options = {"type": "", "include": [], "exclude": [], "variables": {}, "clusterstate": "", "tools": {}}
    where = {"root": str(root)} if root else {}
    return {"shown": ".", "namespace": "default", "strict": False, **options, **where, **more}


def findings(root: Path | None = None, **more: Any) -> list[Finding]:
    return [Finding(**finding) for finding in task.handle(request(root, **more))["findings"]]


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def broken(name: str = "web") -> dict[str, Any]:
    body = deployment(name)
    body["spec"]["replicas"] = "3"
    return body


# -- files ---------------------------------------------------------------------------------------------------------


def test_good_files_have_no_finding(tmp_path: Path):
    write(
        tmp_path,
        {"a.yaml": text(deployment("a"), config_map("b")), "sub/c.yml": text(config_map("c")), "d.json": json.dumps(config_map("d"))},
    )
    assert task.handle(request(tmp_path)) == {"objects": 4, "files": 3, "findings": []}


def test_other_files_and_the_git_directory_are_not_read(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(config_map("a")), ".git/x.yaml": "{", "README.md": "{", "b.yaml.txt": "{"})
    assert task.handle(request(tmp_path))["files"] == 1


def test_include_and_exclude_are_globs(tmp_path: Path):
    write(tmp_path, {"apps/a.yaml": text(config_map("a")), "apps/b.yaml": "{", "other/c.yaml": "{"})
    assert task.handle(request(tmp_path, include=["apps/**"], exclude=["b.yaml"])) == {"objects": 1, "files": 1, "findings": []}


def test_a_symbolic_link_is_refused_and_never_followed(tmp_path: Path):
    write(tmp_path, {"repo/a.yaml": text(config_map("a")), "secret.yaml": text(config_map("b"))})
    os.symlink("../secret.yaml", tmp_path / "repo" / "b.yaml")
    os.symlink("..", tmp_path / "repo" / "up")
    answer = task.handle(request(tmp_path / "repo"))
    assert answer["objects"] == 1
    assert [(f["file"], f["reason"]) for f in answer["findings"]] == [("b.yaml", "SymlinkEscapes"), ("up", "SymlinkEscapes")]


def test_a_link_to_a_directory_is_refused_and_may_be_left_out(tmp_path: Path):
    write(tmp_path, {".git/HEAD": "", "apps/a.yaml": text(config_map("a"))})
    os.symlink("apps", tmp_path / "more")
    (finding,) = findings(tmp_path)
    assert (finding.file, finding.reason) == ("more", "BuildFailed")
    assert findings(tmp_path, exclude=["more"]) == []


def test_a_submodule_that_was_not_fetched_is_refused(tmp_path: Path):
    write(tmp_path, {".git/HEAD": "", ".gitmodules": '[submodule "x"]\n\tpath = vendor/x\n', "a.yaml": text(config_map("a"))})
    (tmp_path / "vendor" / "x").mkdir(parents=True)
    (finding,) = findings(tmp_path)
    assert (finding.file, finding.reason) == ("vendor/x/", "BuildFailed")


def test_a_file_that_is_too_large_is_told_as_such(tmp_path: Path):
    (tmp_path / "huge.yaml").write_bytes(b"#" * (20 * 2**20 + 1))
    assert [finding.reason for finding in findings(tmp_path / "huge.yaml")] == ["RenderTooLarge"]


def test_a_submodule_is_refused(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(config_map("a")), "lib/.git": "gitdir: elsewhere", "lib/b.yaml": "{"})
    (finding,) = findings(tmp_path)
    assert (finding.file, finding.reason) == ("lib/", "BuildFailed")


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.yaml")
    assert [f.reason for f in findings(tmp_path)] == ["BuildFailed"]


def test_one_file_is_a_path_too(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(broken())})
    assert [f.file for f in findings(tmp_path / "a.yaml", shown="x/a.yaml")] == ["x/a.yaml"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(errors.PathNotFoundError, match="give a directory"):
        task.handle(request(tmp_path / "none"))


def test_a_path_without_any_object_is_a_problem(tmp_path: Path):
    assert [f.reason for f in findings(tmp_path)] == ["EmptyRender"]


def test_standard_input_takes_any_bytes():
    content = text(broken()).encode() + b"---\n\xff\n"
    assert [f.reason for f in findings(text=content.decode("latin-1"), shown="-")] == ["YAMLInvalid"]
    (finding,) = findings(text=text(broken()), shown="-")
    assert (finding.file, finding.field) == ("-", "spec.replicas")


# -- findings ------------------------------------------------------------------------------------------------------


def test_a_finding_names_file_line_document_object_and_field(tmp_path: Path):
    write(tmp_path, {"apps/web.yaml": text(config_map("a")) + "---\n# ours\n" + text(broken())})
    (finding,) = findings(tmp_path, shown="repo")
    content = (tmp_path / "apps/web.yaml").read_text().splitlines()
    assert content[finding.line - 1].strip() == "replicas: '3'"
    assert finding == Finding(
        file="repo/apps/web.yaml",
        line=finding.line,
        object="apps/Deployment/web",
        field="spec.replicas",
        reason="Invalid",
        message='"3" is not an integer; remove the quotes',
        document=2,
    )


def test_a_bad_file_does_not_hide_the_others(tmp_path: Path):
    write(tmp_path, {"a.yaml": "a: [", "b.yaml": text(broken()), "c.yaml": "kind: X\n", "d.yaml": b"\xff"})
    assert [(f.file, f.reason) for f in findings(tmp_path)] == [
        ("a.yaml", "YAMLInvalid"),
        ("b.yaml", "Invalid"),
        ("c.yaml", "BuildFailed"),
        ("d.yaml", "YAMLInvalid"),
    ]


def test_an_annotation_of_ours_that_is_not_known_is_a_problem(tmp_path: Path):
    bad = manifest("ConfigMap", "b", annotations={"cvstate.io/prune": "maybe"})
    write(tmp_path, {"a.yaml": text(config_map("a"), bad)})
    (finding,) = findings(tmp_path)
    assert (finding.file, finding.document, finding.object, finding.reason) == ("a.yaml", 2, "ConfigMap/b", "Invalid")
    assert finding.field == "metadata.annotations[cvstate.io/prune]"
    assert finding.message == "annotation cvstate.io/prune: 'maybe' is not one of Enabled, Disabled, Confirm"


def test_an_object_that_stands_twice_is_told_once_with_both_places(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(config_map("x")), "b.yaml": text(manifest("ConfigMap", "x", namespace="default"))})
    (finding,) = findings(tmp_path)
    assert finding.reason == "DuplicateObject"
    assert "a.yaml document 1" in finding.message
    assert "b.yaml document 1" in finding.message


def test_a_namespace_of_a_cluster_scoped_object_is_refused(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(manifest("Namespace", "x", namespace="y"))})
    assert [f.field for f in findings(tmp_path)] == ["metadata.namespace"]


def test_no_value_of_a_secret_reaches_the_answer(tmp_path: Path):
    write(
        tmp_path,
        {"a.yaml": text(manifest("Secret", "s", data={"a": "hunter2!", "b": 1234567}, stringData={"c": "hunter3"}, typ="hunter4"))},
    )
    answer = json.dumps(task.handle(request(tmp_path)))
    assert not [value for value in ("hunter", "1234567") if value in answer]


# -- kinds ---------------------------------------------------------------------------------------------------------

DB = manifest("Db", "d", api_version="example.io/v1", spec={"size": "x"})
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}


def test_a_kind_without_a_schema_is_a_note_and_with_strict_a_problem(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(DB)})
    (note,) = findings(tmp_path)
    assert note.level == "note"
    assert note.message.startswith("not checked: no schema for example.io/v1 Db")
    (problem,) = findings(tmp_path, strict=True)
    assert problem.level == "error"


def test_a_definition_among_the_files_judges_its_kind_whatever_the_order(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(DB), "z.yaml": text(definition("example.io", "Db", SCHEMA))})
    assert [(f.object, f.field) for f in findings(tmp_path)] == [("example.io/Db/d", "spec.size")]


def test_a_misspelt_or_removed_kind_of_kubernetes_is_a_problem_with_a_remedy(tmp_path: Path):
    write(
        tmp_path,
        {"a.yaml": text(manifest("Ingress", "x", api_version="extensions/v1beta1"), manifest("Deploymnt", "z", api_version="apps/v1"))},
    )
    messages = [f.message for f in findings(tmp_path)]
    assert messages == [
        "Kubernetes 1.36 has no Ingress in extensions/v1beta1; use networking.k8s.io/v1",
        "Kubernetes 1.36 has no Deploymnt in apps/v1; did you mean Deployment?",
    ]


def state(**git: Any) -> dict[str, Any]:
    spec = {"source": {"git": {"url": "https://git.example/x", **git}}}
    return manifest("ClusterState", "shop", api_version="cvstate.io/v1alpha1", namespace="team", spec=spec)


def test_a_clusterstate_is_judged_like_the_api_server_does(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(state(pth="x")), "b.yaml": text({**state(path="../x"), "metadata": {"name": "b"}})})
    found = {f.file: f for f in findings(tmp_path)}
    assert found["a.yaml"].message == "is an unknown field; did you mean path?"
    assert "path" in found["b.yaml"].field + found["b.yaml"].message


def test_expressions_and_queries_of_a_clusterstate_are_checked_too(tmp_path: Path):
    signals = [{"name": "errors", "query": "sum(", "max": "1"}]
    depends_on = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "readyExpr": "dep.data.x =="}]
    one, other = state(), state()
    one["spec"]["vital"] = {"prometheus": {"url": "http://prometheus:9090"}, "signals": signals}
    other["spec"]["dependsOn"] = depends_on
    write(tmp_path, {"a.yaml": text(one), "b.yaml": text({**other, "metadata": {"name": "b"}})})
    found = {f.file: f.message for f in findings(tmp_path)}
    assert "spec.vital.signals[errors].query" in found["a.yaml"]
    assert "readyExpr" in found["b.yaml"]


def test_what_a_clusterstate_would_apply_is_checked_with_its_path_and_options(tmp_path: Path):
    file = write(tmp_path, {"state.yaml": text({**state(path="./apps", exclude=["skip.yaml"])})}) / "state.yaml"
    repository = write(
        tmp_path / "repo",
        {"apps/a.yaml": text(manifest("ConfigMap", "x")), "apps/b.yaml": text(manifest("ConfigMap", "x", namespace="team")), "apps/skip.yaml": "{", "c.yaml": "{"},
    )  # fmt: skip
    (finding,) = findings(repository, clusterstate=str(file), shown="repo")
    assert (finding.reason, finding.file) == ("DuplicateObject", "repo/apps/b.yaml")


def test_a_target_namespace_concerns_namespaced_objects_only(tmp_path: Path):
    order = state()
    order["spec"]["render"] = {"targetNamespace": "prod"}
    file = write(tmp_path, {"state.yaml": text(order)}) / "state.yaml"
    objects = [manifest("ConfigMap", "x", namespace="a"), manifest("ConfigMap", "x", namespace="b"), manifest("Namespace", "other")]
    repository = write(tmp_path / "repo", {"a.yaml": text(*objects)})
    assert [(f.reason, f.object) for f in findings(repository, clusterstate=str(file))] == [("DuplicateObject", "ConfigMap/prod/x")]


@pytest.mark.parametrize("content", ["", "a: [", text(state(), state())], ids=["none", "broken", "two"])
def test_an_order_must_hold_exactly_one_clusterstate(tmp_path: Path, content: str):
    file = write(tmp_path, {"state.yaml": content}) / "state.yaml"
    with pytest.raises(errors.SourceInvalidError, match="exactly one"):
        task.handle(request(tmp_path, clusterstate=str(file)))


def test_the_path_of_a_clusterstate_stays_in_the_repository_also_through_links(tmp_path: Path):
    file = (
        write(tmp_path, {"state.yaml": text(state(path="apps")), "outside/a.yaml": text(config_map("a")), "repo/b.yaml": ""}) / "state.yaml"
    )
    os.symlink("../outside", tmp_path / "repo" / "apps")
    with pytest.raises(errors.SymlinkEscapesError):
        task.handle(request(tmp_path / "repo", clusterstate=str(file)))


def test_variables_are_filled_in_and_a_missing_one_is_a_problem(tmp_path: Path):
    write(tmp_path, {"a.yaml": text(config_map("a", region="${region}"))})
    assert findings(tmp_path) == []
    assert findings(tmp_path, variables={"region": "eu"}) == []
    assert [f.reason for f in findings(tmp_path, variables={"other": "x"})] == ["VariableMissing"]


def test_without_the_program_a_kustomization_is_an_error_not_a_fault_of_the_files(tmp_path: Path):
    write(tmp_path, {"kustomization.yaml": "resources: []\n"})
    with pytest.raises(errors.ToolMissingError, match="kustomize"):
        task.handle(request(tmp_path))


def test_without_the_program_a_chart_is_an_error_and_not_taken_for_plain_files(tmp_path: Path):
    write(tmp_path, {"Chart.yaml": "name: x\nversion: 1.0.0\n", "templates/a.yaml": "{{ .Values.x }}"})
    with pytest.raises(errors.ToolMissingError, match="helm"):
        task.handle(request(tmp_path))


def test_a_kustomization_with_a_remote_base_is_refused_before_anything_runs(tmp_path: Path):
    write(tmp_path, {"kustomization.yaml": "resources:\n- https://git.example/x\n"})
    (finding,) = findings(tmp_path, tools={"kustomize": "/nonexistent"})
    assert (finding.file, finding.reason) == ("kustomization.yaml", "RemoteBaseRefused")


# -- lines ---------------------------------------------------------------------------------------------------------

YAML = b"""\
a: 1
b:
  - c: &x {d: 1}
    e: |
      text
  - *x
---
'f.g': {h: [1, 2]}
? [complex]
: x
last: 1
"""


@pytest.mark.parametrize(
    ("start", "path", "line"),
    [
        (1, ("a",), 1),
        (1, ("b", 0, "c", "d"), 3),
        (1, ("b", 0, "e"), 4),
        (1, ("b", 1), 6),
        (1, ("b", 1, "d"), 6),
        (1, ("nowhere", "x"), 1),
        (8, ("f.g", "h", 1), 8),
        (8, ("last",), 11),
    ],
)
def test_the_line_of_a_field_is_found_or_that_of_the_next_field_above(start: int, path: tuple[str | int, ...], line: int):
    assert places.nearest(places.lines(YAML, {1, 8})[start], path) == line


# -- reports -------------------------------------------------------------------------------------------------------

OUTCOME = Outcome(
    objects=412,
    files=96,
    findings=(
        Finding("apps/db.yaml", 1, "example.io/Db/d", "kind", "KindUnknown", "not checked", 1, "note"),
        Finding("apps/web.yaml", 12, "apps/Deployment/web", "spec.replicas", "Invalid", '"3" is not an integer', 1),
        Finding("apps/web.yaml", 0, "", "", "YAMLInvalid", "100% wrong: a, b"),
    ),
)


def test_text_has_a_line_for_each_finding_files_apart_and_the_sum():
    assert list(report.text(OUTCOME)) == [
        "apps/db.yaml:1 example.io/Db/d kind: not checked (KindUnknown)",
        "",
        'apps/web.yaml:12 apps/Deployment/web spec.replicas: "3" is not an integer (Invalid)',
        "apps/web.yaml: 100% wrong: a, b (YAMLInvalid)",
        "",
        "412 objects in 96 files, 2 problems, 1 note",
    ]


def test_nothing_to_tell_is_one_line():
    assert list(report.text(Outcome(1, 1, ()))) == ["1 object in 1 file, no problems"]


def test_colour_is_put_on_only_when_asked_for():
    assert "\x1b" not in "".join(report.text(OUTCOME))
    assert "\x1b" in "".join(report.text(OUTCOME, colour=True))


def test_json_has_the_fields_of_status_problems_and_the_line():
    items = json.loads(report.as_json(OUTCOME))
    assert items[1] == {
        "level": "error",
        "reason": "Invalid",
        "message": '"3" is not an integer',
        "file": "apps/web.yaml",
        "line": 12,
        "document": 1,
        "object": "apps/Deployment/web",
        "field": "spec.replicas",
    }
    assert set(items[2]) == {"level", "reason", "message", "file"}


def test_annotations_escape_what_github_would_read():
    lines = list(report.github(OUTCOME))
    assert lines[0].startswith("::notice file=apps/db.yaml,line=1,title=")
    assert lines[1] == '::error file=apps/web.yaml,line=12,title=Invalid apps/Deployment/web::spec.replicas: "3" is not an integer'
    assert lines[2] == "::error file=apps/web.yaml,title=YAMLInvalid::100%25 wrong: a, b"


def test_a_file_name_cannot_become_another_command():
    finding = Finding("a,line=1::b\n::error::x", 1, "", "", "Invalid", "x\n::warning::y")
    (line, _) = report.github(Outcome(1, 1, (finding,)))
    assert "\n" not in line
    _, properties, _ = line.split("::", 2)
    assert properties == "error file=a%2Cline=1%3A%3Ab%0A%3A%3Aerror%3A%3Ax,line=1,title=Invalid"


# -- options -------------------------------------------------------------------------------------------------------


def test_variables_come_from_a_file_and_the_command_line_which_wins(tmp_path: Path):
    file = write(tmp_path, {"vars": "# ours\nA=1\n\nB=x=y\n"}) / "vars"
    assert check.variables_of(file, ["A=2"]) == {"A": "2", "B": "x=y"}


def test_a_file_of_variables_that_is_no_text_is_refused(tmp_path: Path):
    with pytest.raises(errors.SettingsError, match="UTF-8"):
        check.variables_of(write(tmp_path, {"vars": b"\xff"}) / "vars", [])


@pytest.mark.parametrize("given", ["A", "=1", "A B=secret", "1=2"])
def test_a_variable_of_another_form_is_refused_without_showing_it(given: str):
    with pytest.raises(errors.SettingsError, match="NAME=VALUE") as caught:
        check.variables_of(None, [given])
    assert "secret" not in str(caught.value)
