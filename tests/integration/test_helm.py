"""Helm as we run it gives what `helm template` gives: the real binary, on charts made on the spot.

Aspects: equality with a plain run, object by object, on disk and from a commit · where values come from and which win · what our own reader makes of a normal
chart · the same each time · hooks · what is refused, and how Helm's own words are told · values that are never told · limits · nothing of the machine is seen.
"""

import base64
import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pygit2
import pytest

from cvstate_operator import errors
from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.render import charts, documents, helm, yaml_reader
from cvstate_operator.render.helm import Rendered
from cvstate_operator.render.helm_run import Limits
from cvstate_operator.render.program import ProgramMemoryError, ProgramOutputError
from tests.cluster import builds
from tests.unit.render.trees import Tree, link
from tests.unit.render.trees import write as tree

pytestmark = pytest.mark.integration

Chart = dict[str, str | bytes]

RECIPE: Final = HelmRecipe("shop", "web", kube_version="v1.36.3", api_versions=("example.io/v1", "monitoring.coreos.com/v1/ServiceMonitor"))
MEANS: Final = {"room": 2**28, "memory": 2**30}
"""What a child may write to disk and hold in memory, bytes."""
CHART_YAML: Final = "apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: '2.0'\n"
CONFIG_MAP: Final = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"


def named(name: str, more: str = "") -> str:
    return CHART_YAML.format(name=name) + more


def config(line: str, name: str = "settings") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  a: {line}\n"


def packed(files: Chart, name: str) -> bytes:
    """As `helm package` packs a chart."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for file, text in files.items():
            data = text if isinstance(text, bytes) else text.encode()
            member = tarfile.TarInfo(f"{name}/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-api
  namespace: {{ .Release.Namespace }}
  labels: {{- include "app.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: api}}
  template:
    metadata:
      labels: {app: api}
      annotations: {checksum/config: '{{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}'}
    spec:
      containers:
      - name: api
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
        {{- with .Values.resources }}
        resources: {{- toYaml . | nindent 10 }}
        {{- end }}
        env:
        {{- range $name, $value := .Values.env }}
        - {name: {{ $name | quote }}, value: {{ $value | quote }}}
        {{- end }}
"""
HELPERS = """\
{{/* Labels: now and env are only words here. */}}
{{- define "app.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
"""
SIMPLE: Final[Chart] = {
    "Chart.yaml": named("app"),
    "values.yaml": "replicas: 2\nimage: {repository: registry.example.io/api}\nresources: {limits: {memory: 64Mi}}\nenv: {MODE: fast, DEBUG: 'on'}\nhosts: [a, b]\n",
    "templates/_helpers.tpl": HELPERS,
    "templates/deployment.yaml": DEPLOYMENT,
    "templates/config.yaml": config('{{ join "," .Values.hosts | quote }}'),
    "templates/NOTES.txt": "Visit https://{{ .Release.Name }}.example.io\n",
    ".helmignore": "*.bak\n",
    "templates/old.yaml.bak": "{{ this is not a template",
}
SUBCHART: Final[Chart] = {
    "Chart.yaml": named("db"),
    "values.yaml": "user: admin\nsize: 1Gi\n",
    "templates/config.yaml": config("{{ .Values.user }}-{{ .Values.size }}-{{ .Values.global.zone }}", "db"),
}
DEPENDENCIES = """\
dependencies:
- {name: db, version: 1.2.3, condition: db.enabled, repository: "https://charts.example.io"}
- {name: db, version: 1.2.3, alias: replica, tags: [more], repository: "https://charts.example.io"}
- {name: lib, version: 1.2.3, repository: "file://../lib"}
"""
PARENT: Final[Chart] = {
    "Chart.yaml": named("parent", DEPENDENCIES),
    "values.yaml": "db: {enabled: true, user: shop}\nreplica: {user: reader}\ntags: {more: true}\nglobal: {zone: eu-1}\n",
    "templates/config.yaml": config('{{ include "lib.name" . }}'),
    **{f"charts/db/{name}": text for name, text in SUBCHART.items()},
    "charts/lib/Chart.yaml": named("lib", "type: library\n"),
    "charts/lib/templates/_name.tpl": '{{ define "lib.name" }}{{ .Release.Name }}-of-{{ .Chart.Name }}{{ end }}',
}
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.example.io}
spec: {group: example.io, scope: Namespaced, names: {kind: Widget, plural: PLURAL}, versions: []}
"""
CAPABILITIES = """\
{{- if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: m}
{{- end }}
---
{{- if semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version }}
apiVersion: v1
kind: ConfigMap
metadata: {name: new}
data: {v: "{{ .Capabilities.KubeVersion.Minor }}", has: "{{ .Capabilities.APIVersions.Has "absent.io/v1" }}", install: "{{ .Release.IsInstall }}"}
{{- end }}
---
# only a comment
"""
SCALARS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: scalars}
data:
{{- range $key, $value := .Values.scalars }}
  {{ $key }}: {{ $value | quote }}
{{- end }}
  block: |
    {{- .Values.text | nindent 4 }}
  json: {{ toJson .Values | quote }}
"""
GRAFANA = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: dashboard}
data:
  own.json: |
    {{- `{"legend": "{{ env }} {{ now }} {{ getHost }}"}` | nindent 4 }}
{{ (.Files.Glob "dashboards/*").AsConfig | indent 2 }}
  first: {{ .Files.Get "dashboards/a.json" | b64enc }}
  lines: {{ .Files.Lines "dashboards/b.txt" | len | quote }}
"""
CHARTS: Final[dict[str, tuple[Chart, dict[str, Any]]]] = {
    "simple": (SIMPLE, {}),
    "values": (SIMPLE, {"replicas": 5, "image": {"tag": "3"}, "env": {"DEBUG": None, "NEW": "1e3"}, "hosts": ["c"]}),
    "subcharts": (PARENT, {}),
    "subchart-off": (PARENT, {"db": {"enabled": False}, "tags": {"more": False}}),
    "packed-subchart": (
        {
            "Chart.yaml": named("p", "dependencies: [{name: db, version: 1.2.3, repository: ''}]\n"),
            "values.yaml": "global: {zone: z}\n",
            "charts/db-1.2.3.tgz": packed(SUBCHART, "db"),
        },
        {},
    ),
    "crds": (
        {
            "Chart.yaml": named("c"),
            "crds/b.yaml": CRD.replace("PLURAL", "bs") + "---\n" + CRD.replace("PLURAL", "cs"),
            "crds/a.yaml": "# leading comment\n---\n" + CRD.replace("PLURAL", "as"),
            "charts/x/Chart.yaml": named("x"),
            "charts/x/crds/x.yaml": CRD.replace("PLURAL", "xs"),
            "charts/y/Chart.yaml": named("y"),
            "charts/y/crds/y.yaml": CRD.replace("PLURAL", "ys"),
            "templates/w.yaml": "apiVersion: example.io/v1\nkind: Widget\nmetadata: {name: w}\n",
        },
        {},
    ),
    "capabilities": ({"Chart.yaml": named("c", "kubeVersion: '>=1.30.0-0'\n"), "templates/a.yaml": CAPABILITIES}, {}),
    "tpl": (
        {
            "Chart.yaml": named("t"),
            "values.yaml": 'name: "{{ .Release.Name }}-{{ .Values.suffix }}"\nsuffix: x\n',
            "templates/a.yaml": config("{{ tpl .Values.name . }}"),
        },
        {"suffix": "{{ not again }}"},
    ),
    "files": (
        {
            "Chart.yaml": named("f"),
            "templates/a.yaml": GRAFANA,
            "dashboards/a.json": '{"legend": "{{ now }}"}',
            "dashboards/b.txt": "one\ntwo\n",
        },
        {},
    ),
    "scalars": (
        {
            "Chart.yaml": named("s"),
            "values.yaml": "scalars: {}\ntext: ''\n",
            "templates/a.yaml": SCALARS,
        },
        {
            "scalars": {"a": "on", "b": 1e6, "c": 12345678901, "d": "0644", "e": True, "f": "ünï", "g": 1.5},
            "text": 'two\nlines: "x" # no comment\n--- not a separator',
        },
    ),
    "ranges": (
        {
            "Chart.yaml": named("r"),
            "templates/a.yaml": "{{- range $i := until 20 }}\n---\n" + config("'{{ $i }}'", "c{{ $i }}") + "{{- end }}\n",
            "templates/empty.yaml": "{{- if false }}\na: b\n{{- end }}\n",
        },
        {},
    ),
    "dict-order": (
        {
            "Chart.yaml": named("o"),
            "values.yaml": "m: {z: 1, y: 2, x: 3, w: 4}\n",
            "templates/a.yaml": config('{{ keys .Values.m | sortAlpha | join "," }}'),
        },
        {},
    ),
    "derived": (
        {"Chart.yaml": named("d"), "templates/a.yaml": config('{{ derivePassword 1 "long" "secret" "user" "example.io" | quote }}')},
        {},
    ),
    "schema": (
        {
            "Chart.yaml": named("s"),
            "values.yaml": "port: 80\n",
            "values.schema.json": '{"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"port": {"$ref": "#/$defs/p"}}, "$defs": {"p": {"type": "integer"}}}',
            "templates/a.yaml": config("'{{ .Values.port }}'"),
        },
        {"port": 8080},
    ),
}


@pytest.fixture(scope="module")
def binary() -> Path:
    return builds.ensure(["helm"])["helm"]


def write(root: Path, chart: Chart, path: str = "deploy/app") -> None:
    for name, content in chart.items():
        target = root / path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


def nested(chart: Chart) -> Tree:
    """The files as a Git tree."""
    found: Tree = {}
    for name, content in chart.items():
        *folders, file = name.split("/")
        place: Tree = found
        for folder in folders:
            place = place.setdefault(folder, {})  # type: ignore[assignment]
        place[file] = content
    return found


def render(root: Path, chart: Chart, binary: Path, recipe: HelmRecipe = RECIPE, **limits: Any) -> Rendered:
    write(root, chart)
    return helm.template(root, "deploy/app", recipe, program=binary, limits=Limits(**limits))


def refused(root: Path, chart: Chart, binary: Path, recipe: HelmRecipe = RECIPE, **limits: Any) -> errors.BuildFailedError:
    with pytest.raises(errors.BuildFailedError) as caught:
        render(root, chart, binary, recipe, **limits)
    assert caught.value.message.isprintable()
    assert tempfile.gettempdir() not in caught.value.message
    return caught.value


def plain(chart: Path, binary: Path, home: Path, values: Sequence[Path] = ()) -> bytes:
    """What a person gets."""
    flags = [flag for path in values for flag in ("-f", str(path))]
    command = [binary, "template", "shop", chart, "-n", "web", "--include-crds", "--kube-version", "v1.36.3", *flags]
    apis = ["-a", "example.io/v1", "-a", "monitoring.coreos.com/v1/ServiceMonitor"]
    home.mkdir(exist_ok=True)
    return subprocess.run([*command, *apis], env={"HOME": str(home)}, check=True, capture_output=True).stdout


def objects(text: bytes) -> list[dict[str, Any]]:
    """Read by our own reader without a fault, and sorted, since the order of dependencies is another each time."""
    found, faults = yaml_reader.read(text)
    assert not faults
    values = [value for document in found for value in documents.objects(document.value)]
    assert all(isinstance(value, dict) for value in values), values
    return sorted(values, key=lambda value: (value["kind"], value["metadata"]["name"]))


def names(rendered: Rendered) -> list[str]:
    return [f"{value['kind']}/{value['metadata']['name']}" for value in objects(rendered.text)]


def data(rendered: Rendered) -> Any:
    (only,) = objects(rendered.text)
    return only["data"]


# -- equality ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chart", "values"), CHARTS.values(), ids=CHARTS)
def test_the_objects_are_those_of_a_plain_helm_template(tmp_path: Path, binary: Path, chart: Chart, values: dict[str, Any]) -> None:
    recipe = HelmRecipe("shop", "web", values, kube_version=RECIPE.kube_version, api_versions=RECIPE.api_versions)
    ours = render(tmp_path / "repository", chart, binary, recipe)
    file = tmp_path / "values.json"
    file.write_bytes(helm.to_json(values))
    theirs = plain(tmp_path / "repository/deploy/app", binary, tmp_path / "home", [file])
    assert objects(ours.text) == objects(theirs)
    assert objects(theirs)
    assert not ours.notices


def test_a_chart_in_a_commit_gives_what_helm_makes_of_the_checkout(tmp_path: Path, binary: Path) -> None:
    checkout = tmp_path / "checkout"
    write(checkout, PARENT)
    write(checkout, {"eu.yaml": "db: {user: eu}\n"}, "deploy/common")
    repository = pygit2.init_repository(str(tmp_path / "cache.git"), bare=True)
    files: Tree = {"deploy": {"app": nested(PARENT), "common": {"eu.yaml": "db: {user: eu}\n"}}, "unrelated": {"x": link("/etc")}}
    recipe = asdict(HelmRecipe("shop", "web", values_files=("../common/eu.yaml",), values_documents=(("replica.user", "from"),)))
    request = {"path": "./deploy/app/", "helm": json.loads(json.dumps(recipe)), "tools": {"helm": str(binary)}, **MEANS}
    home = tmp_path / "home"
    home.mkdir()
    text, warnings = charts.build(repository, tree(repository, files), request, home)
    values = tmp_path / "values.yaml"
    values.write_text("replica: {user: from}\n")
    theirs = plain(checkout / "deploy/app", binary, tmp_path / "other", [checkout / "deploy/common/eu.yaml", values])
    assert objects(text) == objects(theirs)
    assert len(objects(text)) == 3
    assert warnings == []
    assert charts.tool(request["tools"]) == f"helm {helm.HELM_VERSION}"


def test_a_chart_that_makes_no_object_gives_nothing(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {"Chart.yaml": named("n"), "templates/a.yaml": "{{ if .Values.enabled }}a: b{{ end }}\n---\n# only this\n"}
    assert render(tmp_path, chart, binary) == Rendered(b"", ())


def test_the_chart_that_helm_itself_creates_is_rendered(tmp_path: Path, binary: Path) -> None:
    (tmp_path / "deploy").mkdir()
    subprocess.run([binary, "create", "app"], cwd=tmp_path / "deploy", env={"HOME": str(tmp_path)}, check=True, capture_output=True)
    rendered = helm.template(tmp_path, "deploy/app", RECIPE, program=binary)
    theirs = objects(plain(tmp_path / "deploy/app", binary, tmp_path / "home"))
    assert objects(rendered.text) == [value for value in theirs if value["kind"] != "Pod"], "its test is no desired state"
    assert len(theirs) == 4
    assert not rendered.notices


def test_notes_and_partials_are_no_documents(tmp_path: Path, binary: Path) -> None:
    rendered = render(tmp_path, SIMPLE, binary)
    assert names(rendered) == ["ConfigMap/settings", "Deployment/shop-api"]
    assert b"Visit" not in rendered.text


def test_every_document_names_its_template(tmp_path: Path, binary: Path) -> None:
    chart = {**CHARTS["crds"][0]}
    text = render(tmp_path, chart, binary).text
    assert text.count(b"\n# Source: ") == text.count(b"---\n") == 6
    assert text.count(b"# Source: c/crds/b.yaml\n") == 2


def test_the_same_chart_gives_the_same_bytes(tmp_path: Path, binary: Path) -> None:
    first = render(tmp_path / "a", CHARTS["crds"][0], binary)
    for number in range(5):
        assert render(tmp_path / str(number), CHARTS["crds"][0], binary) == first


def test_the_version_is_the_one_that_is_shipped(binary: Path) -> None:
    assert helm.version(binary) == helm.HELM_VERSION


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.ToolMissingError):
        helm.version(tmp_path / "helm")


# -- values --------------------------------------------------------------------------------------------------------------

LEVELS = {f"l{number}": f"chart{number}" for number in range(6)}
LEVELS_CHART: Final[Chart] = {
    "Chart.yaml": named("v"),
    "values.yaml": helm.to_json({"levels": LEVELS, "list": [1, 2]}),
    "templates/a.yaml": config("{{ toJson .Values | quote }}"),
    "prod.yaml": "levels: {l1: file1, l2: file1, l3: file1, l4: file1, l5: file1}\n",
}


def test_later_values_win_and_maps_are_merged(tmp_path: Path, binary: Path) -> None:
    write(tmp_path, {"eu.yaml": "levels: {l2: file2, l3: file2, l4: file2, l5: file2}\nlist: [3]\n"}, "deploy/values")
    recipe = HelmRecipe(
        "shop",
        "web",
        {"levels": {"l5": "inline"}},
        ("prod.yaml", "../values/eu.yaml"),
        (("", "levels: {l3: from1, l4: from1, l5: from1}"), ("levels.l4", "from2"), ("levels.l6", "true")),
    )
    found = yaml_reader.read(data(render(tmp_path, LEVELS_CHART, binary, recipe))["a"].encode())[0][0].value
    levels = {"l0": "chart0", "l1": "file1", "l2": "file2", "l3": "from1", "l4": "from2", "l5": "inline", "l6": "true"}
    assert found == {"levels": levels, "list": [3], "global": {}} or found == {"levels": levels, "list": [3]}


SCALAR_VALUES = """\
on: off
nested: {y: n}
list: [1e3, 0o14, 0644, 0xFF, 0b11, 1_000, -0, +1, 1.50, 12345678901, 2020-01-01, ~, null, "null", yes, 'yes', 0.1, 1e-7, 12e30, "", 1:20]
1: one
text: |
  two
  lines
merge: {<<: {a: 1}, b: 2}
unicode: "\\u00fc\\n"
"""


def test_a_document_of_values_means_what_it_means_in_a_file(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {"Chart.yaml": named("v"), "templates/a.yaml": config("{{ toJson .Values | quote }}"), "values.prod": SCALAR_VALUES}
    from_file = render(tmp_path, chart, binary, HelmRecipe("shop", "web", {}, ("values.prod",)))
    assert render(tmp_path, chart, binary, HelmRecipe("shop", "web", values_documents=(("", SCALAR_VALUES),))).text == from_file.text


def test_values_from_every_place_give_what_helm_gives_for_the_same_files(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {
        **PARENT,
        "values.yaml": "db: {enabled: true, user: shop, size: 9Gi}\nreplica: {user: reader}\ntags: {more: true}\nglobal: {zone: eu-1}\nlist: [1]\n",
        "templates/all.yaml": config("{{ toJson .Values | quote }}", "all"),
        "prod.yaml": "db: {user: null}\nlist: null\n",
    }
    first, second, inline = "db: null\nreplica: {size: 2Gi}\n", "db: {size: 3Gi, enabled: true}\n", {"global": {"zone": None, "other": [1]}}
    recipe = HelmRecipe("shop", "web", inline, ("prod.yaml",), (("", first), ("", second)), RECIPE.kube_version, RECIPE.api_versions)
    given = []
    for number, content in enumerate((first, second, json.dumps(inline))):
        given.append(tmp_path / f"{number}.yaml")
        given[-1].write_text(content)
    ours = render(tmp_path / "repository", chart, binary, recipe)
    place = tmp_path / "repository/deploy/app"
    theirs = plain(place, binary, tmp_path / "home", [place / "prod.yaml", *given])
    assert objects(ours.text) == objects(theirs)
    assert len(objects(theirs)) == 4


def test_null_takes_a_default_of_the_chart_away(tmp_path: Path, binary: Path) -> None:
    found = data(render(tmp_path, LEVELS_CHART, binary, HelmRecipe("shop", "web", {"levels": None, "list": None})))
    assert "levels" not in found["a"]


@pytest.mark.parametrize("name", ["../../../outside.yaml", "../../.././outside.yaml"])
def test_values_files_stay_in_the_repository(tmp_path: Path, binary: Path, name: str) -> None:
    (tmp_path / "outside.yaml").write_text("a: b\n")
    error = refused(tmp_path / "repository", SIMPLE, binary, HelmRecipe("shop", "web", {}, (name,)))
    assert isinstance(error, errors.PathEscapesError)


def test_a_values_file_that_is_a_link_out_of_the_repository_is_refused(tmp_path: Path, binary: Path) -> None:
    write(tmp_path / "repository", SIMPLE)
    (tmp_path / "repository/deploy/app/out.yaml").symlink_to("/etc/hostname")
    with pytest.raises(errors.SymlinkEscapesError):
        helm.template(tmp_path / "repository", "deploy/app", HelmRecipe("shop", "web", {}, ("out.yaml",)), program=binary)


def test_a_values_file_on_the_network_is_a_file_that_is_not_there(tmp_path: Path, binary: Path) -> None:
    error = refused(tmp_path, SIMPLE, binary, HelmRecipe("shop", "web", {}, ("https://example.io/values.yaml",)))
    assert "not in the repository" in error.message


@pytest.mark.parametrize("name", ["values.yaml", "prod.yaml", "templates/a.yaml"])
def test_a_git_lfs_pointer_is_not_taken_for_the_file(tmp_path: Path, binary: Path, name: str) -> None:
    chart: Chart = {**SIMPLE, "prod.yaml": "a: b\n", name: "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"}
    error = refused(tmp_path, chart, binary, HelmRecipe("shop", "web", {}, ("prod.yaml",)))
    assert f"deploy/app/{name} is a Git LFS pointer" in error.message


def test_a_values_file_that_is_no_yaml_is_named(tmp_path: Path, binary: Path) -> None:
    error = refused(tmp_path, {**SIMPLE, "bad.yaml": "a: [\n"}, binary, HelmRecipe("shop", "web", {}, ("bad.yaml",)))
    assert "deploy/app/bad.yaml" in error.message


def test_a_value_from_a_secret_is_not_told_when_the_render_fails(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {"Chart.yaml": named("s"), "templates/a.yaml": '{{ fail (printf "bad %s and %v" .Values.password .Values.nested.pin) }}'}
    recipe = HelmRecipe("shop", "web", values_documents=(("password", "hunter2!"), ("", "nested: {pin: 123456}")))
    error = refused(tmp_path, chart, binary, recipe)
    assert "bad" in error.message
    assert "hunter2!" not in error.message
    assert "123456" not in error.message


SECRET_VALUE: Final = 'hunter2 "x"\nMIIEvQIBADANBg  kqhkiG9w0\n'
SHOWN: Final = {
    "as it is": "{{ fail .Values.s }}",
    "quoted": '{{ fail (printf "%q" .Values.s) }}',
    "base64": "{{ fail (b64enc .Values.s) }}",
    "a line": '{{ fail (last (splitList "\\n" (trim .Values.s))) }}',
    "json": "{{ fail (toJson .Values) }}",
    "a date": '{{ mustToDate "2006" .Values.s }}',
    "a number": "{{ fail (print .Values.n) }}",
    "a template": "{{ tpl (print `{{ ` .Values.t) . }}",
    "a part of a template": "{{ tpl .Values.t . }}",
    "a name": "apiVersion: v1\nkind: {{ .Values.t | quote }}\nmetadata: [\n",
    "a type": "apiVersion: v1\nkind: [{{ .Values.t | quote }}]\n",
}


@pytest.mark.parametrize("template", SHOWN.values(), ids=SHOWN)
def test_no_error_shows_a_value_from_a_secret_or_a_part_of_it(tmp_path: Path, binary: Path, template: str) -> None:
    document = json.dumps({"s": SECRET_VALUE, "n": 87654321, "t": "{{ kqhkiG9w0 }} MIIEvQIBADANBg"})
    chart: Chart = {"Chart.yaml": named("s"), "templates/a.yaml": template}
    error = refused(tmp_path, chart, binary, HelmRecipe("shop", "web", values_documents=(("", document),)))
    assert "deploy/app/templates/a.yaml" in error.message
    for part in ("hunter2", "MIIEvQ", "kqhkiG9w0", "87654321", "8.7654321", "aHVudGVy"):
        assert part not in error.message


@pytest.mark.parametrize("value", ["!hunter2 x", "{hunter2: 1, hunter2: 2}", "&hunter2 x"])
def test_a_value_that_stands_without_quotes_is_not_told_either(tmp_path: Path, binary: Path, value: str) -> None:
    chart: Chart = {"Chart.yaml": named("s"), "templates/a.yaml": CONFIG_MAP + "data: {a: {{ .Values.s }}, a: b}\n"}
    error = refused(tmp_path, chart, binary, HelmRecipe("shop", "web", values_documents=(("s", value),)))
    assert "deploy/app/templates/a.yaml" in error.message
    assert "hunter2" not in error.message


def test_a_value_that_is_the_name_of_the_chart_does_not_hide_the_file(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {"Chart.yaml": named("shop"), "templates/a.yaml": "{{ fail .Values.name }}"}
    error = refused(tmp_path, chart, binary, HelmRecipe("shop", "web", values_documents=(("name", "shop"), ("other", "templates"))))
    assert error.message == "helm: execution error at (deploy/app/templates/a.yaml:1:3): ***"


def test_a_schema_does_not_show_a_value_from_a_secret(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {
        "Chart.yaml": named("s"),
        "values.schema.json": '{"properties": {"s": {"pattern": "^x$"}, "n": {"const": 1}}}',
        "templates/a.yaml": CONFIG_MAP,
    }
    error = refused(tmp_path, chart, binary, HelmRecipe("shop", "web", values_documents=(("s", SECRET_VALUE), ("", "n: 87654321"))))
    assert "does not match pattern" in error.message
    assert "hunter2" not in error.message
    assert "87654321" not in error.message


# -- the same each time --------------------------------------------------------------------------------------------------

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\ndata:\n  fixed: YQ==\n  token: "
CHANGING = {
    "randAlphaNum": "{{ randAlphaNum 20 | b64enc }}",
    "uuidv4": "{{ uuidv4 | b64enc }}",
    "genCA": '{{ (genCA "ca" 365).Cert | b64enc }}',
    "htpasswd": '{{ htpasswd "a" "b" | b64enc }}',
    "shuffle": '{{ shuffle "abcdefghijklmnopqrstuvwxyz" | b64enc }}',
    "now": '{{ now | date "2006-01-02" | b64enc }}',
    "now-method": '{{ now.Format "2006" | b64enc }}',
    "keys": '{{ keys (dict "a" 1 "b" 2) | join "," | b64enc }}',
    "keys-first": '{{ first (keys (dict "a" 1 "b" 2)) | b64enc }}',
    "keys-piped": '{{ dict "a" 1 "b" 2 | keys | join "," | b64enc }}',
    "keys-range": '{{ range $i, $k := keys (dict "a" 1 "b" 2) -}} {{ $k | b64enc }} {{- end }}',
    "values": '{{ values (dict "a" 1 "b" 2 "c" 3 "d" 4 "e" 5 "f" 6 "g" 7 "h" 8) | join "," | b64enc }}',
}


@pytest.mark.parametrize("call", CHANGING.values(), ids=CHANGING)
def test_a_chart_that_gives_something_else_each_time_is_refused(tmp_path: Path, binary: Path, call: str) -> None:
    chart: Chart = {"Chart.yaml": named("n"), "templates/secret.yaml": SECRET + call + "\n", "templates/a.yaml": CONFIG_MAP}
    error = refused(tmp_path, chart, binary)
    assert "Secret/token data.token (deploy/app/templates/secret.yaml:6 " in error.message
    assert re.search(r"keys|values|now|genCA|htpasswd|shuffle|uuidv4|randAlphaNum", error.message)
    assert "give the value in spec.render.helm.values" in error.message


def test_a_changing_name_names_the_object(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {
        "Chart.yaml": named("n"),
        "templates/_n.tpl": '{{ define "n" }}{{ randAlpha 30 | lower }}{{ end }}',
        "templates/a.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "n" . }}}\n',
    }
    error = refused(tmp_path, chart, binary)
    assert "ConfigMap/" in error.message
    assert "deploy/app/templates/_n.tpl:1 randAlpha" in error.message


def test_a_changing_function_in_a_packed_chart_is_seen(tmp_path: Path, binary: Path) -> None:
    inner: Chart = {"Chart.yaml": named("db"), "templates/a.yaml": config('{{ now | date "2006" | quote }}')}
    outer: Chart = {"Chart.yaml": named("p"), "charts/db-1.tgz": packed(inner, "db"), "templates/b.yaml": config("x", "other")}
    error = refused(tmp_path, outer, binary)
    assert "ConfigMap/settings data.a (deploy/app/charts/db-1.tgz/templates/a.yaml:5 now date)" in error.message


def test_a_changing_function_in_values_is_seen(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {"Chart.yaml": named("n"), "templates/a.yaml": config("{{ tpl .Values.text . }}")}
    error = refused(tmp_path, chart, binary, HelmRecipe("shop", "web", {"text": "{{ uuidv4 }}"}))
    assert "ConfigMap/settings data.a" in error.message


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(config("{{ if false }}{{ uuidv4 }}{{ end }}x"), id="not reached"),
        pytest.param(config("{{ randAlpha 5 | len | quote }}"), id="the same after all"),
        pytest.param('{{ define "unused" }}{{ now }}{{ end }}' + CONFIG_MAP, id="never called"),
        pytest.param("# made {{ now }}\n" + CONFIG_MAP, id="comment"),
        pytest.param(config('{{ keys (dict "a" 1 "b" 2) | len | quote }}'), id="keys counted"),
        pytest.param(config('{{ range $k := keys (dict "a" 1 "b" 2) | sortAlpha }}{{ $k }}{{ end }}'), id="keys sorted"),
        pytest.param(config('{{ if has "b" (keys (dict "a" 1 "b" 2)) }}yes{{ end }}'), id="keys searched"),
        pytest.param(config("{{ .Values.token | default (randAlpha 9) }}"), id="value given"),
        pytest.param(config('{{ date "2006" (toDate "2006" "1999") | quote }}'), id="fixed date"),
    ],
)
def test_a_changing_function_that_changes_nothing_is_let_pass(tmp_path: Path, binary: Path, template: str) -> None:
    recipe = HelmRecipe("shop", "web", {"token": "given"})
    rendered = render(tmp_path, {"Chart.yaml": named("n"), "templates/a.yaml": template}, binary, recipe)
    assert names(rendered) == ["ConfigMap/settings"]


# -- hooks ---------------------------------------------------------------------------------------------------------------


def hook(kind: str, name: str, events: str, policy: str = "") -> str:
    api = {"Job": "batch/v1", "Pod": "v1", "ConfigMap": "v1", "Secret": "v1", "ServiceAccount": "v1"}[kind]
    more = f', "helm.sh/hook-delete-policy": "{policy}"' if policy else ""
    return f'---\napiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n  annotations: {{"helm.sh/hook": "{events}"{more}}}\n'


HOOKS: Final[Chart] = {
    "Chart.yaml": named("h"),
    "templates/main.yaml": CONFIG_MAP,
    "templates/hooks.yaml": (
        hook("Job", "migrate", "pre-install, pre-upgrade")
        + hook("Job", "seed", "post-install", "hook-succeeded")
        + hook("Pod", "check", "test")
        + hook("ConfigMap", "test-data", "test-success")
        + hook("Job", "drain", "pre-delete")
        + hook("ConfigMap", "undo", "post-rollback")
        + hook("ConfigMap", "upgrade", "pre-upgrade")
        + hook("ServiceAccount", "account", "pre-install,pre-upgrade", "before-hook-creation")
        + hook("Secret", "first", "Pre-Install")
        + hook("Secret", "passing", "pre-install", "before-hook-creation,hook-succeeded")
    ),
    "templates/old.yaml": hook("ConfigMap", "old", "crd-install"),
}


def test_of_the_hooks_only_lasting_objects_of_an_installation_are_applied(tmp_path: Path, binary: Path) -> None:
    rendered = render(tmp_path, HOOKS, binary)
    assert names(rendered) == ["ConfigMap/settings", "Secret/first", "ServiceAccount/account"]
    assert b"old" not in plain(tmp_path / "deploy/app", binary, tmp_path / "home"), "Helm itself says nothing"


def test_besides_hooks_everything_is_what_helm_makes(tmp_path: Path, binary: Path) -> None:
    ours = objects(render(tmp_path, HOOKS, binary).text)
    theirs = objects(plain(tmp_path / "deploy/app", binary, tmp_path / "home"))
    assert [value for value in theirs if value in ours] == ours
    left_out = [value for value in theirs if value not in ours]
    assert len(left_out) == 8
    assert all("helm.sh/hook" in value["metadata"]["annotations"] for value in left_out)


def test_hooks_that_were_left_out_are_told_but_not_tests(tmp_path: Path, binary: Path) -> None:
    left_out, forgotten = render(tmp_path, HOOKS, binary).notices
    assert str(left_out).startswith("HooksLeftOut: ")
    assert "Job/migrate (pre-install, pre-upgrade, deploy/app/templates/hooks.yaml)" in left_out.message
    assert "Job/drain" in left_out.message
    assert "and 1 more" in left_out.message
    assert "check" not in left_out.message
    assert "test-data" not in left_out.message
    assert forgotten.reason == "HooksLeftOut"
    assert "deploy/app/templates/old.yaml" in forgotten.message


def test_a_hook_that_changes_each_time_does_no_harm_when_it_is_left_out(tmp_path: Path, binary: Path) -> None:
    chart: Chart = {"Chart.yaml": named("h"), "templates/a.yaml": CONFIG_MAP + hook("Job", "j{{ randNumeric 9 }}", "pre-upgrade")}
    first, second = render(tmp_path / "a", chart, binary), render(tmp_path / "b", chart, binary)
    assert first.text == second.text
    assert names(first) == ["ConfigMap/settings"]


# -- what Helm cannot do here --------------------------------------------------------------------------------------------


def test_lookup_finds_nothing_and_is_told(tmp_path: Path, binary: Path) -> None:
    """C16."""
    line = '{{ (lookup "v1" "Secret" "kube-system" "token") | toJson | quote }}'
    rendered = render(tmp_path, {"Chart.yaml": named("l"), "templates/a.yaml": config(line)}, binary)
    assert data(rendered) == {"a": "{}"}
    (notice,) = rendered.notices
    assert notice.reason == "LookupIgnored"
    assert "deploy/app/templates/a.yaml:5" in notice.message


@pytest.mark.parametrize("function", ['env "HOME"', 'expandenv "$HOME"', 'getHostByName "example.io"'])
def test_functions_that_ask_the_machine_are_refused(tmp_path: Path, binary: Path, function: str) -> None:
    chart: Chart = {"Chart.yaml": named("e"), "templates/a.yaml": CONFIG_MAP, "templates/b.yaml": config(f"{{{{ {function} }}}}")}
    error = refused(tmp_path, chart, binary)
    assert "deploy/app/templates/b.yaml:5: function not allowed" in error.message


@pytest.mark.parametrize("function", ["env `HOME`", "expandenv `$HOME`", "getHostByName `localhost`"])
@pytest.mark.parametrize("where", ["string", "values"])
def test_functions_that_ask_the_machine_are_refused_behind_tpl(tmp_path: Path, binary: Path, function: str, where: str) -> None:
    text = f"{{{{ {function} }}}}"
    line = "{{ tpl .Values.text . }}" if where == "values" else f'{{{{ tpl "{text}" . }}}}'
    chart: Chart = {"Chart.yaml": named("e"), "templates/b.yaml": config(line)}
    assert "function not allowed" in refused(tmp_path, chart, binary, HelmRecipe("shop", "web", {"text": text})).message


def test_files_outside_the_chart_are_not_read(tmp_path: Path, binary: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, {"secret": "hidden"}, "deploy")
    (tmp_path / "secret").write_text("hidden")
    for number, expression in enumerate(('.Files.Get "../secret"', ".Files.Get `/etc/hostname`", '(.Files.Glob "a/../../../*").AsConfig')):
        chart: Chart = {"Chart.yaml": named("f"), "templates/a.yaml": config(f"{{{{ {expression} }}}}")}
        error = refused(repository, chart, binary)
        assert isinstance(error, errors.PathEscapesError), number
        assert "deploy/app/templates/a.yaml:5" in error.message


def test_a_path_that_is_put_together_reads_nothing_outside_the_chart(tmp_path: Path, binary: Path) -> None:
    write(tmp_path, {"secret": "hidden"}, "deploy")
    line = '{{ .Files.Get (printf "%s/secret" "..") | quote }}'
    assert data(render(tmp_path, {"Chart.yaml": named("f"), "templates/a.yaml": config(line)}, binary)) == {"a": ""}


def test_a_link_out_of_the_repository_is_refused(tmp_path: Path, binary: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, SIMPLE)
    (repository / "deploy/app/templates/x.yaml").symlink_to("/etc/hostname")
    with pytest.raises(errors.SymlinkEscapesError, match=r"deploy/app/templates/x\.yaml"):
        helm.template(repository, "deploy/app", RECIPE, program=binary)


def test_a_link_inside_the_repository_is_followed(tmp_path: Path, binary: Path) -> None:
    write(tmp_path, {"shared.yaml": config("shared", "shared")}, "common")
    write(tmp_path, SIMPLE)
    (tmp_path / "deploy/app/templates/shared").symlink_to("../../../common")
    rendered = helm.template(tmp_path, "deploy/app", RECIPE, program=binary)
    assert "ConfigMap/shared" in names(rendered)
    assert objects(rendered.text) == objects(plain(tmp_path / "deploy/app", binary, tmp_path / "home"))


@pytest.mark.parametrize(
    ("more", "kind", "text"),
    [
        pytest.param(
            {"Chart.yaml": named("d", "dependencies: [{name: redis, version: 1.0.0, repository: 'https://charts.example.io'}]\n")},
            errors.BuildFailedError,
            "vendor dependencies: run helm dependency build and commit charts/",
            id="C19-remote dependency",
        ),
        pytest.param(
            {"Chart.yaml": named("d", "dependencies: [{name: redis, version: 1.0.0, repository: 'file://../redis'}]\n")},
            errors.BuildFailedError,
            "vendor dependencies",
            id="C19-local dependency",
        ),
        pytest.param(
            {"values.schema.json": '{"properties": {"port": {"type": "integer", "maximum": 9}}}', "values.yaml": "port: 10\n"},
            errors.BuildFailedError,
            "'/port': maximum: got 10, want 9",
            id="schema",
        ),
        pytest.param(
            {"values.schema.json": '{"$ref": "https://example.io/schema.json"}'},
            errors.RemoteBaseRefusedError,
            "deploy/app/values.schema.json",
            id="schema on the network",
        ),
        pytest.param({"values.schema.json": '{"$ref": "file:///etc/x.json"}'}, errors.PathEscapesError, "$ref", id="schema of the machine"),
        pytest.param({"templates/a.yaml": "{{ .Values.a.b.c }}"}, errors.BuildFailedError, "deploy/app/templates/a.yaml:1:", id="nil"),
        pytest.param({"templates/a.yaml": "{{ if }}"}, errors.BuildFailedError, "deploy/app/templates/a.yaml:1", id="syntax"),
        pytest.param({"templates/a.yaml": "a: [\n"}, errors.BuildFailedError, "deploy/app/templates/a.yaml", id="no YAML"),
        pytest.param(
            {"templates/a.yaml": '{{ required "say .Values.host" .Values.host }}'},
            errors.BuildFailedError,
            "say .Values.host",
            id="required",
        ),
        pytest.param({"Chart.yaml": named("l", "type: library\n")}, errors.BuildFailedError, "library", id="library"),
        pytest.param({"Chart.yaml": named("l", "kubeVersion: '<1.20'\n")}, errors.BuildFailedError, "incompatible", id="kubeVersion"),
        pytest.param(
            {"templates/a.yaml": CONFIG_MAP + "data: {a: b, a: c}\n"},
            errors.BuildFailedError,
            "deploy/app/templates/a.yaml: what Helm made of it cannot be used: key 'a' stands twice",
            id="key twice",
        ),
        pytest.param({"charts/x": b"no chart"}, errors.BuildFailedError, "subchart x", id="no chart"),
        pytest.param({"Chart.yaml": named("../../etc")}, errors.BuildFailedError, "is invalid", id="name"),
        pytest.param({"Chart.yaml": "name: [\n"}, errors.BuildFailedError, "Chart.yaml", id="Chart.yaml"),
        pytest.param({"charts/x.tgz": b"no archive"}, errors.BuildFailedError, "deploy/app/charts/x.tgz", id="no archive"),
        pytest.param(
            {"templates/a.yaml": '{{ define "r" }}{{ include "r" . }}{{ end }}{{ include "r" . }}'},
            errors.BuildFailedError,
            "deploy/app/templates/a.yaml:1: a template includes itself",
            id="C18-include",
        ),
        pytest.param(
            {"templates/a.yaml": '{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}'},
            errors.BuildFailedError,
            "",
            id="C18-template",
        ),
        pytest.param({"templates/a.yaml": "{{ range until 1000000000 }}{{ end }}"}, ProgramMemoryError, "", id="C18-until"),
        pytest.param(
            {"templates/a.yaml": "{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}"},
            errors.RenderTimeoutError,
            "3 s",
            id="C18-nested",
        ),
        pytest.param({"templates/a.yaml": "a: {{ repeat 20000000 `x` }}"}, ProgramOutputError, "", id="output"),
        pytest.param(
            {"templates/a.yaml": '{{ $x := "xx" }}{{ range until 64 }}{{ $x = print $x $x }}{{ end }}'},
            ProgramMemoryError,
            "",
            id="doubling",
        ),
    ],
)
def test_what_cannot_be_rendered_has_its_reason(
    tmp_path: Path, binary: Path, more: Chart, kind: type[errors.BuildFailedError], text: str
) -> None:
    chart: Chart = {"Chart.yaml": named("d"), "templates/z.yaml": CONFIG_MAP, **more}
    error = refused(tmp_path, chart, binary, seconds=3, max_output_bytes=2**24)
    assert type(error) is kind, error.message
    assert text in error.message
    assert "goroutine" not in error.message


@pytest.mark.parametrize("memory_mib", [48, 288, 330, 360, 400, 432, 576, 2304])
def test_as_much_is_rendered_with_more_memory_as_with_less(tmp_path: Path, binary: Path, memory_mib: int) -> None:
    """What Go reserves of its address space depends on how much there is of it."""
    chart: Chart = {"Chart.yaml": named("d"), "templates/a.yaml": f"a: {{{{ repeat {2**20 if memory_mib == 48 else 2**23} `x` }}}}"}
    assert len(render(tmp_path, chart, binary, memory_bytes=memory_mib * 2**20).text) > 2**20


def test_a_release_name_that_helm_does_not_allow_is_told_with_the_field_to_set(tmp_path: Path, binary: Path) -> None:
    error = refused(tmp_path, SIMPLE, binary, HelmRecipe("a" * 54, "web"))
    assert "set spec.render.helm.releaseName" in error.message


def test_the_environment_and_the_home_of_the_operator_are_not_seen(tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin in the user's data directory would be loaded, and complain, if Helm looked there."""
    plugin = tmp_path / "data/plugins/bad"
    plugin.mkdir(parents=True)
    (plugin / "plugin.yaml").write_text("no: plugin\n")
    for name, value in {"HELM_PLUGINS": "data/plugins", "HELM_NAMESPACE": "other", "HELM_DATA_HOME": "data", "HELM_DEBUG": "true"}.items():
        monkeypatch.setenv(name, str(tmp_path / value) if "data" in value else value)
    rendered = render(tmp_path / "repository", {"Chart.yaml": named("e"), "templates/a.yaml": config("{{ .Release.Namespace }}")}, binary)
    assert data(rendered) == {"a": "web"}


def test_the_chart_may_be_the_repository_itself(tmp_path: Path, binary: Path) -> None:
    write(tmp_path, {**SIMPLE, ".git/config": "[core]\n"}, ".")
    rendered = helm.template(tmp_path, "", RECIPE, program=binary)
    assert rendered == helm.template(tmp_path, ".", RECIPE, program=binary)
    assert len(names(rendered)) == 2


def test_binary_files_of_a_chart_are_kept_as_they_are(tmp_path: Path, binary: Path) -> None:
    content = bytes(range(256))
    chart: Chart = {
        "Chart.yaml": named("b"),
        "logo.bin": content,
        "templates/a.yaml": config('{{ .Files.Get "logo.bin" | b64enc }} # {{ now }}'),
    }
    assert base64.b64decode(data(render(tmp_path, chart, binary))["a"]) == content


def test_a_chart_of_a_thousand_objects_is_rendered_in_time(tmp_path: Path, binary: Path) -> None:
    body = "{{- range until 1000 }}\n---\n" + config("{{ . | quote }}", "c{{ . }}") + "{{- end }}\n"
    assert len(names(render(tmp_path, {"Chart.yaml": named("m"), "templates/a.yaml": body}, binary, seconds=20))) == 1000
