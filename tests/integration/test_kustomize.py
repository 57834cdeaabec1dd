"""kustomize as we run it gives what kustomize gives: the real binary, on real repositories.

Aspects: what is built through an export equals a plain build of the whole checkout, object by object · the same twice · what is refused, also behind the
scan's back · limits · scalars · links.
"""

import subprocess
from pathlib import Path
from typing import Any, Final

import pygit2
import pytest

from cvstate_operator import errors
from cvstate_operator.render import export, kustomization_file, kustomizations, kustomize, yaml_reader
from cvstate_operator.render.export import TreeFiles
from cvstate_operator.render.files import DiskFiles
from cvstate_operator.render.program import Limits
from tests.cluster import builds
from tests.unit.render.trees import Tree, link, write

pytestmark = pytest.mark.integration

DEFAULT = Limits()

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {app: api}}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - name: api
        image: registry.example.io/api:1.0
        env: [{name: MODE, value: plain}]
        envFrom: [{configMapRef: {name: settings}}]
      - {name: log, image: registry.example.io/log}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {a: on, b: "yes", c: "0644", d: "1e3", text: "two\\nlines\\n"}
"""
BASE: Final[Tree] = {
    "kustomization.yaml": "resources: [deployment.yaml, service.yaml]\n",
    "deployment.yaml": DEPLOYMENT,
    "service.yaml": SERVICE,
}
MEANS: Final = {"room": 2**28, "memory": 2**30}
"""What a child may write to disk and hold in memory, bytes."""
WIDGET = "apiVersion: example.io/v1\nkind: Widget\nmetadata: {name: w}\nspec: {parts: [{name: a, size: 1}, {name: b, size: 2}], secretRef: {name: token}}\n"

OVERLAY = """\
resources: [../base]
patches:
- path: replicas.yaml
- target: {kind: Deployment, name: api}
  patch: |-
    - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: EXTRA, value: "yes"}}
- patch: |-
    {apiVersion: v1, kind: Service, metadata: {name: api}, $patch: delete}
"""
GENERATORS = """\
resources: [../base]
configMapGenerator:
- {name: settings, literals: [MODE=fast, "EMPTY="], files: [app.properties, renamed.txt=notes.txt], envs: [values.env]}
- {name: fixed, literals: [a=b], options: {disableNameSuffixHash: true, labels: {kind: fixed}}}
secretGenerator:
- {name: token, literals: [token=s3cret], type: Opaque}
generatorOptions: {annotations: {made: "true"}}
"""
REPLACEMENTS = """\
resources: [../base]
replacements:
- path: name.yaml
- source: {kind: ConfigMap, name: plain, fieldPath: data.c}
  targets: [{select: {kind: Deployment}, fieldPaths: ['spec.template.spec.containers.[name=api].env.[name=MODE].value']}]
"""
NAMES = """\
resources: [../base, ../other]
namePrefix: shop-
nameSuffix: -v1
namespace: shop
images: [{name: registry.example.io/api, newName: mirror.example.io/api, newTag: "2.0"}, {name: registry.example.io/log, digest: sha256:abc}]
replicas: [{name: api, count: 3}]
labels: [{pairs: {team: a}, includeSelectors: true, includeTemplates: true}, {pairs: {tier: web}, fields: [{path: metadata/labels, create: true}]}]
commonAnnotations: {owner: team-a}
sortOptions: {order: fifo}
"""
CONFIGURATIONS = """\
resources: [widget.yaml]
secretGenerator: [{name: token, literals: [a=b]}]
configurations: [references.yaml]
crds: [crd.json]
"""
REFERENCES = "nameReference: [{kind: Secret, fieldSpecs: [{path: spec/secretRef/name, kind: Widget}]}]\n"
CRD = """\
{"io.example.v1.Widget": {"Schema": {"description": "", "type": "object", "properties": {"spec": {"type": "object"}}}, "Dependencies": []}}
"""
OPENAPI = """\
{"definitions": {"io.example.v1.Widget": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.io", "kind": "Widget", "version": "v1"}],
"properties": {"spec": {"type": "object", "properties": {"parts": {"type": "array", "items": {"type": "object"},
"x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}}}}}}}
"""
WIDGET_PATCH = "apiVersion: example.io/v1\nkind: Widget\nmetadata: {name: w}\nspec: {parts: [{name: b, size: 5}]}\n"
COMPONENT = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: [extra.yaml]
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: replace, path: /spec/replicas, value: 7}
"""
PLUGINS = """\
resources: [../base]
generators:
- ../plugins
- |
  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: inline}, literals: [a=b]}
transformers:
- annotate.yaml
- |
  apiVersion: builtin
  kind: PrefixTransformer
  metadata: {name: p}
  prefix: pre-
  fieldSpecs: [{path: metadata/name}]
"""
ANNOTATE = """\
apiVersion: builtin
kind: AnnotationsTransformer
metadata: {name: a}
annotations: {by: file}
fieldSpecs: [{path: metadata/annotations, create: true}]
"""
GENERATOR = "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: from-directory}\nliterals: [a=b]\n"
OLD = """\
bases: [../base]
commonLabels: {team: b}
imageTags: [{name: registry.example.io/api, newTag: "9"}]
patchesStrategicMerge:
- replicas.yaml
- |-
  {apiVersion: v1, kind: ConfigMap, metadata: {name: plain}, data: {a: null, added: "1"}}
patchesJson6902: [{target: {version: v1, kind: Service, name: api}, path: port.yaml}]
vars: [{name: SERVICE, objref: {apiVersion: v1, kind: Service, name: api}}]
"""
REPLICAS = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 5, template: {spec: {containers: [{name: log, $patch: delete}]}}}\n"
LIST = "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}, {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}]\n"
LOCAL = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hidden, annotations: {config.kubernetes.io/local-config: 'true'}}\n"

INPUTS: Final[dict[str, Tree]] = {
    "resources": {"app": BASE},
    "overlay-with-patches": {"base": BASE, "app": {"kustomization.yaml": OVERLAY, "replicas.yaml": REPLICAS}},
    "generators-with-hashes": {
        "base": BASE,
        "app": {"kustomization.yaml": GENERATORS, "app.properties": "a=1\n", "notes.txt": "grün\n", "values.env": "# c\nA=1\nB=x y\n"},
    },
    "replacements": {
        "base": BASE,
        "app": {
            "kustomization.yaml": REPLACEMENTS,
            "name.yaml": "source: {kind: Service, name: api}\ntargets: [{select: {kind: ConfigMap}, fieldPaths: [data.service], options: {create: true}}]\n",
        },
    },
    "names-namespace-images-labels": {
        "base": BASE,
        "other": {"Kustomization": "resources: [n.yaml]\n", "n.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"},
        "app": {"kustomization.yaml": NAMES},
    },
    "configurations-and-crds": {
        "app": {"kustomization.yaml": CONFIGURATIONS, "widget.yaml": WIDGET, "references.yaml": REFERENCES, "crd.json": CRD},
    },
    "openapi-from-a-file": {
        "app": {
            "kustomization.yaml": "resources: [widget.yaml]\nopenapi: {path: schema/openapi.json}\npatches: [{path: patch.yaml}]\n",
            "schema": {"openapi.json": OPENAPI},
            "widget.yaml": WIDGET,
            "patch.yaml": WIDGET_PATCH,
        },
    },
    "components": {
        "base": BASE,
        "part": {"kustomization.yaml": COMPONENT, "extra.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"},
        "app": {"kustomization.yml": "resources: [../base]\ncomponents: [../part]\nnamePrefix: c-\n"},
    },
    "generators-and-transformers": {
        "base": BASE,
        "plugins": {"kustomization.yaml": "resources: [generator.yaml]\n", "generator.yaml": GENERATOR},
        "app": {"kustomization.yaml": PLUGINS, "annotate.yaml": ANNOTATE},
    },
    "deprecated-fields": {
        "base": BASE,
        "app": {
            "kustomization.yaml": OLD,
            "replicas.yaml": REPLICAS,
            "port.yaml": "- {op: replace, path: /spec/ports/0/port, value: 81}\n",
        },
    },
    "lists-and-local-objects": {
        "app": {"kustomization.yaml": "resources: [list.yaml, local.yaml]\n", "list.yaml": LIST, "local.yaml": LOCAL}
    },
    "build-metadata": {
        "base": BASE,
        "app": {"kustomization.yaml": "resources: [../base]\nbuildMetadata: [originAnnotations, managedByLabel]\n"},
    },
    "base-through-a-link": {"v2": BASE, "app": {"kustomization.yaml": "resources: [base]\nnamePrefix: l-\n", "base": link("../v2")}},
    "file-through-a-link": {
        "app": {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": link("deep/y.yaml"), "deep": {"y.yaml": LIST}}
    },
    "bases-in-three-steps": {
        "base": BASE,
        "a": {"b": {"kustomization.yaml": "resources: [../../base]\nnameSuffix: -b\n"}},
        "app": {
            "kustomization.yaml": "resources: [../a/b, ./inner]\nnameSuffix: -c\n",
            "inner": {"kustomization.yaml": "configMapGenerator: [{name: inner, literals: [a=b]}]\n"},
        },
    },
}


@pytest.fixture(scope="session")
def binary() -> Path:
    return builds.ensure(["kustomize"])["kustomize"]


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "cache.git"), bare=True)


def built(repository: pygit2.Repository, tree: Tree, into: Path, binary: Path, *, limits: Limits = DEFAULT) -> bytes:
    """`app`, as the operator builds it: scanned in Git, exported, built."""
    root = write(repository, tree)
    into.mkdir()
    export.export(repository, root, into, kustomize.roots(TreeFiles(repository, root), "app"))
    return kustomize.build(into, "app", program=binary, limits=limits)


def check_out(tree: Tree, directory: Path) -> Path:
    """The whole tree on disk, without any code of ours."""
    directory.mkdir()
    for name, value in tree.items():
        if isinstance(value, dict):
            check_out(value, directory / name)
        elif isinstance(value, tuple):
            (directory / name).symlink_to(value[1].decode())
        else:
            (directory / name).write_bytes(value.encode() if isinstance(value, str) else value)
    return directory


def objects(text: bytes) -> list[Any]:
    documents, faults = yaml_reader.read(text)
    assert faults == ()
    return [document.value for document in documents]


# -- equal to a plain build --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INPUTS)
def test_a_build_of_the_export_equals_a_plain_build_of_the_checkout(
    repository: pygit2.Repository, tmp_path: Path, binary: Path, name: str
) -> None:
    tree: Tree = {**INPUTS[name], "unrelated": {"kustomization.yaml": "resources: [https://example.io/x]\n", "big.txt": "x" * 1000}}
    ours = objects(built(repository, tree, tmp_path / "export", binary))
    checkout = check_out(tree, tmp_path / "checkout")
    theirs = objects(subprocess.run([binary, "build", checkout / "app"], capture_output=True, check=True, timeout=60).stdout)
    assert len(theirs) > 0
    assert ours == theirs
    assert objects(kustomize.build(checkout, "app", program=binary)) == theirs
    assert kustomize.roots(DiskFiles(checkout), "app") == kustomize.roots(TreeFiles(repository, write(repository, tree)), "app")
    assert not (tmp_path / "export" / "unrelated").exists()


def test_the_same_commit_gives_the_same_bytes(repository: pygit2.Repository, tmp_path: Path, binary: Path) -> None:
    tree = INPUTS["generators-with-hashes"]
    assert built(repository, tree, tmp_path / "one", binary) == built(repository, tree, tmp_path / "two", binary)


def test_kustomize_writes_a_scalar_that_kubectl_takes_for_a_boolean_as_text(
    repository: pygit2.Repository, tmp_path: Path, binary: Path
) -> None:
    """kubectl and our plain YAML read `a: on` as true, which a ConfigMap cannot hold; kustomize keeps it as the text `on`."""
    (found,) = [
        item for item in objects(built(repository, {"app": BASE}, tmp_path / "export", binary)) if item["metadata"]["name"] == "plain"
    ]
    assert found["data"] == {"a": "on", "b": "yes", "c": "0644", "d": "1e3", "text": "two\nlines\n"}
    source = objects(SERVICE.encode())[1]
    assert source["data"]["a"] is True


DIFFERENT: Final = {
    "on": (True, "on"),
    "off": (False, "off"),
    "yes": (True, "yes"),
    "no": (False, "no"),
    "y": (True, "y"),
    "n": (False, "n"),
    "Yes": (True, "Yes"),
    "OFF": (False, "OFF"),
    "2020-01-01": ("2020-01-01", "2020-01-01T00:00:00Z"),
}
"""Spelling to what kubectl reads (`test_yaml_parity.py` asks it), and what kustomize makes of it."""
ALIKE: Final = (
    "true",
    "TRUE",
    "0644",
    "0o14",
    "1e3",
    "1_000",
    "12:30",
    "~",
    "null",
    "Null",
    ".5",
    "+1",
    "0x1F",
    "1.0",
    "0b11",
    "'on'",
    '"0644"',
    "1.5.2",
)


def test_yaml_scalars_that_kustomize_and_kubectl_read_differently(repository: pygit2.Repository, tmp_path: Path, binary: Path) -> None:
    spellings = [*DIFFERENT, *ALIKE]
    text = "apiVersion: example.io/v1\nkind: Widget\nmetadata: {name: w}\nspec:\n" + "".join(f"- {spelling}\n" for spelling in spellings)
    app: Tree = {"kustomization.yaml": "resources: [w.yaml]\n", "w.yaml": text}
    (built_value,) = objects(built(repository, {"app": app}, tmp_path / "export", binary))
    (plain_value,) = objects(text.encode())
    found = dict(zip(spellings, zip(plain_value["spec"], built_value["spec"], strict=True), strict=True))
    assert {spelling: both for spelling, both in found.items() if both[0] != both[1]} == DIFFERENT


def test_a_kustomization_in_a_commit_is_built_as_in_the_checkout(repository: pygit2.Repository, tmp_path: Path, binary: Path) -> None:
    tree = INPUTS["bases-in-three-steps"]
    request = {"path": "./app/", "tools": {"kustomize": str(binary)}, **MEANS}
    home = tmp_path / "home"
    home.mkdir()
    text, warnings = kustomizations.build(repository, write(repository, tree), request, home)
    checkout = check_out(tree, tmp_path / "checkout")
    assert text == subprocess.run([binary, "build", checkout / "app"], capture_output=True, check=True, timeout=60).stdout
    assert warnings == []
    assert kustomizations.tool(request["tools"]) == f"kustomize {kustomize.KUSTOMIZE_VERSION}"


def test_a_git_lfs_pointer_is_not_built(repository: pygit2.Repository, tmp_path: Path, binary: Path) -> None:
    app: Tree = {
        "kustomization.yaml": "configMapGenerator: [{name: a, files: [big]}]\n",
        "big": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    }
    home = tmp_path / "home"
    home.mkdir()
    request = {"path": "app", "tools": {"kustomize": str(binary)}, **MEANS}
    with pytest.raises(errors.BuildFailedError, match="app/big is a Git LFS pointer"):
        kustomizations.build(repository, write(repository, {"app": app}), request, home)


def test_the_binary_tells_the_pinned_version(binary: Path) -> None:
    assert kustomize.version(binary) == kustomize.KUSTOMIZE_VERSION


# -- refused -----------------------------------------------------------------------------------------------------------

HELM = "helmCharts: [{name: minecraft, repo: https://example.io, version: 1.0.0}]\n"
EXEC = """\
apiVersion: example.io/v1
kind: Maker
metadata: {name: m, annotations: {config.kubernetes.io/function: "exec: {path: ./maker.sh}"}}
"""


@pytest.mark.parametrize(
    ("app", "kind", "words"),
    [
        pytest.param(
            {"kustomization.yaml": "\nresources:\n- ../../../etc/hosts\n"}, errors.PathEscapesError, "kustomization.yaml:3", id="C05"
        ),
        pytest.param({"kustomization.yaml": "resources: [.]\n"}, errors.BuildFailedError, "cycle", id="C06-itself"),
        pytest.param({"kustomization.yaml": "resources: [kustomization.yaml]\n"}, errors.BuildFailedError, "cycle", id="C06-file"),
        pytest.param({"kustomization.yaml": "resources: ['github.com/x/y?ref=main']\n"}, errors.RemoteBaseRefusedError, "yaml:1", id="C13"),
        pytest.param({"kustomization.yaml": HELM}, errors.PluginRefusedError, "Helm", id="C14-helm"),
        pytest.param({"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": EXEC}, errors.PluginRefusedError, "g.yaml", id="C14-exec"),
        pytest.param({"kustomization.yaml": "openapi: {path: ../../../etc/hosts}\n"}, errors.PathEscapesError, "openapi", id="C15-openapi"),
        pytest.param({"kustomization.yaml": "crds: [/etc/hosts]\n"}, errors.PathEscapesError, "crds", id="C15-crds"),
    ],
)
def test_hostile_kustomizations_end_in_their_reason(
    repository: pygit2.Repository, tmp_path: Path, binary: Path, app: Tree, kind: type[errors.CvstateError], words: str
) -> None:
    with pytest.raises(errors.CvstateError) as caught:
        built(repository, {"app": app}, tmp_path / "export", binary)
    assert type(caught.value) is kind
    assert words in caught.value.message


def test_a_generator_that_reads_a_huge_file_is_refused_before_it_is_written(
    repository: pygit2.Repository, tmp_path: Path, binary: Path
) -> None:
    app: Tree = {"kustomization.yaml": "configMapGenerator: [{name: a, files: [big]}]\n", "big": b"\0" * (51 * 2**20)}
    with pytest.raises(errors.RenderTooLargeError):
        built(repository, {"app": app}, tmp_path / "export", binary)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        pytest.param(
            {"kustomization.yaml": "resources: ['http://127.0.0.1:1/x.yaml']\n"}, errors.RemoteBaseRefusedError, id="http-to-loopback"
        ),
        pytest.param(
            {"kustomization.yaml": "resources: ['https://192.0.2.1/x.yaml']\n"}, errors.RemoteBaseRefusedError, id="https-elsewhere"
        ),
        pytest.param({"kustomization.yaml": "resources: ['github.com/x/y?ref=main']\n"}, errors.RemoteBaseRefusedError, id="git"),
        pytest.param({"kustomization.yaml": HELM}, errors.PluginRefusedError, id="helm"),
        pytest.param({"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": EXEC}, errors.PluginRefusedError, id="exec"),
        pytest.param({"kustomization.yaml": "crds: [/etc/hosts]\n"}, errors.PathEscapesError, id="absolute-file"),
        pytest.param(
            {"kustomization.yaml": "configMapGenerator: [{name: a, files: [../secret]}]\n"}, errors.PathEscapesError, id="file-above"
        ),
        pytest.param(
            {"kustomization.yaml": "resources: [l.yaml]\n", "l.yaml": link("../secret")}, errors.PathEscapesError, id="link-above"
        ),
        pytest.param({"kustomization.yaml": "resources: [missing.yaml]\n"}, errors.BuildFailedError, id="missing"),
    ],
)
def test_the_binary_refuses_by_itself_what_a_scan_would_miss(
    tmp_path: Path, binary: Path, files: Tree, kind: type[errors.CvstateError]
) -> None:
    """`build` without `roots`: no network, no git, no plugins, and the reason is the same."""
    root = check_out({"app": files, "secret": "s3cret"}, tmp_path / "root")
    with pytest.raises(errors.CvstateError) as caught:
        kustomize.build(root, "app", program=binary, limits=Limits(seconds=10))
    assert type(caught.value) is kind
    assert str(tmp_path) not in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_url_that_a_patch_puts_together_never_reaches_the_network(repository: pygit2.Repository, tmp_path: Path, binary: Path) -> None:
    """The configuration of a generator comes out of a kustomization that changes it: no scan of files could see the URL."""
    patch = (
        "patches:\n- target: {kind: ConfigMapGenerator}\n  patch: |-\n    - {op: replace, path: /files/0, value: 'http://127.0.0.1:1/x'}\n"
    )
    plugins: Tree = {
        "kustomization.yaml": f"resources: [g.yaml]\n{patch}",
        "g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: c}\nfiles: [x]\n",
    }
    with pytest.raises(errors.RemoteBaseRefusedError) as caught:
        built(repository, {"app": {"kustomization.yaml": "generators: [../plugins]\n"}, "plugins": plugins}, tmp_path / "export", binary)
    assert caught.value.message.startswith("kustomize: app: ")


HOSTS = ["github.com", "GITHUB.com", "example.io", "a", "localhost", "192.0.2.1", ""]
PLACES = ["/", ":", "//", "/a", ":a/b", "/a/b", "/a/b/c", "//a", "/a.git", "/a/_git/b", "/a/b//c", "/a/b?ref=x", ":a/b.git"]
PREFIXES = [
    "",
    "git::",
    "GIT::",
    "https://",
    "HttpS://",
    "http://",
    "https:",
    "ssh://",
    "SSH://",
    "file://",
    "git://",
    "git@",
    "a-b@",
    "A1@",
    "git::git@",
    "1@",
]


def test_whatever_kustomize_takes_for_the_network_is_taken_for_it_by_the_scan(tmp_path: Path, binary: Path) -> None:
    """Every spelling that the scan lets pass is given to kustomize, which must not look for git or open a socket."""
    missed = []
    for number, spelling in enumerate(prefix + host + place for prefix in PREFIXES for host in HOSTS for place in PLACES):
        if kustomization_file.is_remote(spelling):
            continue
        root = check_out({"app": {"kustomization.yaml": f"components: ['{spelling}']\n"}}, tmp_path / str(number))
        with pytest.raises(errors.BuildFailedError) as caught:
            kustomize.build(root, "app", program=binary)
        if type(caught.value) is errors.RemoteBaseRefusedError:
            missed.append(spelling)
    assert missed == []


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path, binary: Path) -> None:
    """Each level reads the next one twice, which kustomize does anew each time: 2^30 builds."""
    levels: Tree = {f"l{i}": {"kustomization.yaml": f"resources: [../l{i + 1}, twin]\n"} for i in range(30)}
    for i in range(30):
        levels[f"l{i}"]["twin"] = {"kustomization.yaml": f"resources: [../../l{i + 1}]\nnamePrefix: t{i}-\n"}  # type: ignore[index]
    levels["l30"] = {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"}
    root = check_out(levels, tmp_path / "root")
    with pytest.raises((errors.RenderTimeoutError, errors.RenderTooLargeError)):
        kustomize.build(root, "l0", program=binary, limits=Limits(seconds=1))


@pytest.mark.parametrize("memory_mib", [48, 144, 288, 400, 432, 500, 576, 2304])
def test_as_much_is_built_with_more_memory_as_with_less(tmp_path: Path, binary: Path, memory_mib: int) -> None:
    """What Go reserves of its address space depends on how much there is of it."""
    text = "---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{number}}}\n" for number in range(100))
    root = check_out({"app": {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": text}}, tmp_path / "root")
    made = kustomize.build(root, "app", program=binary, limits=Limits(memory_bytes=memory_mib * 2**20))
    assert made.count(b"kind: ConfigMap") == 100


def test_more_output_than_the_limit_is_refused(tmp_path: Path, binary: Path) -> None:
    root = check_out({"app": BASE}, tmp_path / "root")
    with pytest.raises(errors.RenderTooLargeError):
        kustomize.build(root, "app", program=binary, limits=Limits(max_output_bytes=100))
