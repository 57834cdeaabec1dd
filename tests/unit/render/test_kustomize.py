"""Which directories a kustomization needs, and what in it is refused before anything runs.

Aspects: what is followed · the network · plugins and Helm · paths that escape · cycles and limits · files that cannot be read without doubt, and any
others · the same from a directory on disk · what kustomize says when it fails.
"""

import contextlib
from pathlib import Path

import orjson
import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.render import kustomize, program
from cvstate_operator.render.export import TreeFiles
from cvstate_operator.render.files import DiskFiles, Files
from tests.cluster import programs
from tests.unit.render.trees import Tree, link, write

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "cache.git"), bare=True)


def roots(repository: pygit2.Repository, tree: Tree, path: str = "") -> tuple[str, ...]:
    return kustomize.roots(TreeFiles(repository, write(repository, tree)), path)


def refused(repository: pygit2.Repository, text: str, **more: "str | Tree") -> errors.CvstateError:
    """What `app/kustomization.yaml` with this text is refused with; `base`, `app/x.yaml` and `other.yaml` are there."""
    base: Tree = {"kustomization.yaml": "resources: [b.yaml]\n", "b.yaml": CONFIG_MAP}
    tree: Tree = {"app": {"kustomization.yaml": text, "x.yaml": CONFIG_MAP, **more}, "base": base, "other.yaml": CONFIG_MAP}
    with pytest.raises(errors.CvstateError) as caught:
        roots(repository, tree, "app")
    assert caught.value.message.isprintable()
    return caught.value


# -- what is followed --------------------------------------------------------------------------------------------------


def test_bases_components_and_generator_directories_are_followed_to_their_end(repository: pygit2.Repository) -> None:
    leaf = "namePrefix: x-\n"
    plugins: Tree = {
        "kustomization.yaml": "resources: [label.yaml]\n",
        "label.yaml": "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {a: b}\n",
    }
    overlay = "resources: [../../base, x.yaml, sub]\nbases: [../../old]\ncomponents: [../../component]\ntransformers: [../../plugins]\n"
    tree: Tree = {
        "overlays": {"prod": {"kustomization.yaml": overlay, "x.yaml": CONFIG_MAP, "sub": {"Kustomization": leaf}}},
        "base": {"kustomization.yml": "resources:\n- ../deeper\n"},
        "deeper": {"kustomization.yaml": leaf},
        "old": {"kustomization.yaml": leaf},
        "component": {"kustomization.yaml": "kind: Component\n"},
        "plugins": plugins,
        "unrelated": {"kustomization.yaml": "resources: [https://example.io/x.yaml]\n"},
    }
    expected = ("base", "component", "deeper", "old", "overlays/prod", "overlays/prod/sub", "plugins")
    assert roots(repository, tree, "overlays/prod") == expected
    assert roots(repository, tree, "./overlays/prod/") == expected


def test_the_repository_itself_may_be_the_kustomization(repository: pygit2.Repository) -> None:
    tree: Tree = {
        "kustomization.yaml": "resources: [x.yaml, base]\n",
        "x.yaml": CONFIG_MAP,
        "base": {"kustomization.yaml": "namePrefix: a-\n"},
    }
    assert roots(repository, tree, ".") == ("", "base")


def test_a_base_through_a_link_is_the_directory_it_leads_to(repository: pygit2.Repository) -> None:
    tree: Tree = {
        "app": {"kustomization.yaml": "resources: [base]\n", "base": link("../v2")},
        "v2": {"kustomization.yaml": "namePrefix: a-\n"},
    }
    assert roots(repository, tree, "app") == ("app", "v2")


def test_a_base_of_two_others_is_followed_once(repository: pygit2.Repository) -> None:
    tree: Tree = {f"level{i}": {"kustomization.yaml": f"resources: [../level{i + 1}, ../level{i + 1}/twin]\n"} for i in range(20)}
    for i in range(1, 20):
        tree[f"level{i}"]["twin"] = {"kustomization.yaml": f"resources: [../../level{i + 1}]\n"}  # type: ignore[index]
    tree["level20"] = {"kustomization.yaml": "namePrefix: a-\n", "twin": {"kustomization.yaml": "namePrefix: b-\n"}}
    assert len(roots(repository, tree, "level0")) == 41


def test_everything_kustomize_reads_in_the_directory_is_allowed(repository: pygit2.Repository) -> None:
    text = """
resources: [x.yaml, ./deep/../deep/y.yaml]
configurations: [deep/names.yaml]
crds: [deep/crd.json]
openapi: {path: deep/openapi.json}
patches:
- path: deep/patch.yaml
- patch: |-
    - op: add
      path: /metadata/annotations
      value: {url: "https://example.io"}
  target: {kind: ConfigMap}
patchesStrategicMerge:
- deep/strategic.yaml
- |
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: a}
  data: {home: https://example.io/../../x}
patchesJson6902: [{path: deep/json.yaml, target: {version: v1, kind: ConfigMap, name: a}}]
replacements: [{path: deep/replacement.yaml}]
configMapGenerator:
- {name: c, files: [deep/a.txt, key=deep/b.txt, kustomization.yaml], envs: [deep/c.env], env: deep/d.env, literals: ["a=https://example.io", "b=/etc/passwd", "c=../../.."]}
secretGenerator: [{name: s, files: [deep/a.txt]}]
helmCharts: []
images: [{name: registry.example.io/a, newName: git.example.io/b}]
commonAnnotations: {source: "git@example.io:x/y"}
"""
    tree: Tree = {"kustomization.yaml": text, "x.yaml": CONFIG_MAP, "deep": {"y.yaml": CONFIG_MAP}}
    assert roots(repository, {"app": tree}, "app") == ("app",)


# -- the network -------------------------------------------------------------------------------------------------------

REMOTE = [
    "github.com/x/y?ref=main",
    "GitHub.com/x/y",
    "github.com:x/y.git",
    "https://github.com/x/y//deploy?ref=v1",
    "HTTPS://example.io/x.yaml",
    "http://169.254.169.254/latest/meta-data",
    "ssh://git@example.io/x/y",
    "git@example.io:x/y.git",
    "deploy@example.io/x/y",
    "git::https://example.io/x/y.git",
    "git::git@example.io:x/y",
    "file:///etc/kubernetes",
    "example.io/org/repo//deploy",
    "example.io/org/repo.git",
    "example.io/org/repo?ref=main",
]


@pytest.mark.parametrize("field", ["resources", "bases", "components", "generators", "transformers", "validators"])
@pytest.mark.parametrize("remote", REMOTE)
def test_a_base_on_the_network_is_refused_with_its_line(repository: pygit2.Repository, field: str, remote: str) -> None:
    error = refused(repository, f"# {remote}\nnamePrefix: a-\n{field}:\n- '{remote}'\n")
    assert isinstance(error, errors.RemoteBaseRefusedError)
    assert error.message.startswith(f"app/kustomization.yaml:4: {field}: ")


@pytest.mark.parametrize(
    "text",
    [
        "openapi: {path: 'https://example.io/s.json'}",
        "configurations: ['https://example.io/c.yaml']",
        "crds: ['https://example.io/c.json']",
        "patches: [{path: 'https://example.io/p.yaml'}]",
        "patches: [{PATH: 'https://example.io/p.yaml'}]",
        "patchesJson6902: [{path: 'https://example.io/p.yaml'}]",
        "patchesStrategicMerge: ['https://example.io/p.yaml']",
        "replacements: [{path: 'https://example.io/r.yaml'}]",
        "configMapGenerator: [{name: a, files: ['https://example.io/f']}]",
        "configMapGenerator: [{name: a, files: ['key=https://example.io/f']}]",
        "configMapGenerator: [{name: a, envs: ['https://example.io/f']}]",
        "secretGenerator: [{name: a, env: 'https://example.io/f'}]",
        "Resources: ['https://example.io/r.yaml']",
        "re\u017fources: ['https://example.io/r.yaml']",
        "list: &a ['https://example.io/r.yaml']\nresources: *a",
        'transformers: ["{apiVersion: builtin, kind: PatchTransformer, metadata: {name: p}, path: https://example.io/p.yaml}"]',
        'generators: ["{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: c}, files: [k=https://example.io/p.yaml]}"]',
        'transformers: ["{apiVersion: builtin, kind: ReplacementTransformer, metadata: {name: c}, replacements: [{path: https://example.io/p}]}"]',
        'transformers: ["{kind: XList, apiVersion: v1, items: [{apiVersion: builtin, kind: ValueAddTransformer, targetFilePath: https://example.io/p}]}"]',
    ],
)
def test_a_file_on_the_network_is_refused_in_every_field(repository: pygit2.Repository, text: str) -> None:
    error = refused(repository, f"namePrefix: a-\n{text}\n")
    assert isinstance(error, errors.RemoteBaseRefusedError)
    assert error.message.startswith("app/kustomization.yaml:")


def test_a_file_on_the_network_is_refused_in_the_file_of_a_generator(repository: pygit2.Repository) -> None:
    generator = "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: s}\nenvs: [https://example.io/e]\n"
    assert isinstance(refused(repository, "generators: [g.yaml]\n", **{"g.yaml": generator}), errors.RemoteBaseRefusedError)
    inner: Tree = {"kustomization.yaml": "resources: [g.yaml]\n", "g.yaml": generator}
    assert isinstance(refused(repository, "generators: [inner]\n", inner=inner), errors.RemoteBaseRefusedError)


# -- plugins and Helm --------------------------------------------------------------------------------------------------

EXEC = """\
apiVersion: example.io/v1
kind: Maker
metadata:
  name: m
  annotations:
    config.kubernetes.io/function: |
      exec: {path: ./maker.sh}
"""


@pytest.mark.parametrize(
    "text",
    [
        "helmCharts: [{name: minecraft, repo: https://example.io}]",
        "helmChartInflationGenerator: [{chartName: minecraft}]",
        "helmGlobals: {chartHome: charts}",
        "HELMCHARTS: [{name: minecraft}]",
        "generators: ['{apiVersion: builtin, kind: HelmChartInflationGenerator, metadata: {name: x}, name: minecraft}']",
        "generators: ['{apiVersion: example.io/v1, kind: GoPlugin, metadata: {name: x}}']",
        "transformers: ['{apiVersion: builtin, kind: LabelTransformer, metadata: {name: x, annotations: {config.k8s.io/function: x}}}']",
        "validators: ['{apiVersion: builtin, kind: LabelTransformer, metadata: {name: x, configFn: {}}}']",
        "transformers: ['[{apiVersion: example.io/v1, kind: InAList}]']",
        "generators: [plugin.yaml]",
        "transformers: [plugin.yaml]",
        "validators: [plugin.yaml]",
        "transformers: [inner]",
    ],
)
def test_foreign_code_is_refused(repository: pygit2.Repository, text: str) -> None:
    inner: Tree = {"kustomization.yaml": "resources: [plugin.yaml]\n", "plugin.yaml": EXEC}
    error = refused(repository, f"namePrefix: a-\n{text}\n", inner=inner, **{"plugin.yaml": EXEC})
    assert isinstance(error, errors.PluginRefusedError)


def test_the_same_object_as_a_resource_is_only_an_object(repository: pygit2.Repository) -> None:
    assert roots(repository, {"app": {"kustomization.yaml": "resources: [plugin.yaml]\n", "plugin.yaml": EXEC}}, "app") == ("app",)


# -- paths that escape -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "resources: [../../../etc/hosts]",
        "resources: [/etc/hosts]",
        "resources: [../other.yaml]",
        "resources: [../base/b.yaml]",
        "resources: [..\\x2f..\\x2fetc]".replace("[", '["').replace("]", '"]'),
        "bases: [../../..]",
        "components: [/]",
        "openapi: {path: ../../../etc/hosts}",
        "openapi: {path: /etc/hosts}",
        "crds: [../../../etc/hosts]",
        "configurations: [/etc/hosts]",
        "patches: [{path: ../other.yaml}]",
        "patchesStrategicMerge: [../other.yaml]",
        "replacements: [{path: ../other.yaml}]",
        "configMapGenerator: [{name: a, files: [../other.yaml]}]",
        "configMapGenerator: [{name: a, files: [key=/etc/passwd]}]",
        "secretGenerator: [{name: a, envs: [../../../etc/passwd]}]",
        "generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: c}, files: [/etc/passwd]}']",
        "transformers: [../other.yaml]",
    ],
)
def test_a_path_out_of_its_place_is_refused_with_its_line(repository: pygit2.Repository, text: str) -> None:
    error = refused(repository, f"# /etc/hosts\nnamePrefix: a-\n{text}\n")
    assert isinstance(error, errors.PathEscapesError)
    assert error.message.startswith("app/kustomization.yaml:3: ")


def test_a_path_out_of_its_place_is_refused_in_the_file_of_a_generator(repository: pygit2.Repository) -> None:
    generator = "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: s}\nfiles: [../base/b.yaml]\n"
    error = refused(repository, "generators: [g.yaml]\n", **{"g.yaml": generator})
    assert isinstance(error, errors.PathEscapesError)
    assert error.message.startswith("app/g.yaml: ")


def test_a_link_out_of_the_repository_is_refused(repository: pygit2.Repository) -> None:
    tree: Tree = {"app": {"kustomization.yaml": "resources: [x]\n", "x": link("../../etc")}}
    with pytest.raises(errors.SymlinkEscapesError):
        roots(repository, tree, "app")


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc", "a\0b"])
def test_a_start_out_of_the_repository_is_refused(repository: pygit2.Repository, path: str) -> None:
    with pytest.raises(errors.PathEscapesError):
        roots(repository, {"kustomization.yaml": "namePrefix: a-\n"}, path)


# -- cycles and limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "circle"),
    [
        ({"a": {"kustomization.yaml": "resources: [.]"}}, "a -> a"),
        ({"a": {"kustomization.yaml": "resources: [kustomization.yaml]"}}, "a/kustomization.yaml -> a/kustomization.yaml"),
        ({"a": {"kustomization.yaml": "resources: [../b]"}, "b": {"kustomization.yaml": "resources: [../a]"}}, "a -> b -> a"),
        ({"a": {"kustomization.yaml": "bases: [../b]"}, "b": {"kustomization.yaml": "components: [../b]"}}, "b -> b"),
        ({"a": {"kustomization.yaml": "resources: [l]", "l": link("../a")}}, "a -> a"),
        ({"a": {"kustomization.yaml": "resources: [..]"}, "kustomization.yaml": "namePrefix: a-"}, "a -> ."),
        ({"a": {"kustomization.yaml": "transformers: [../b]"}, "b": {"kustomization.yaml": "generators: [../a]"}}, "a -> b -> a"),
    ],
)
def test_a_circle_is_told_as_it_goes(repository: pygit2.Repository, tree: Tree, circle: str) -> None:
    with pytest.raises(errors.BuildFailedError) as caught:
        roots(repository, tree, "a")
    assert f"cycle {circle}" in caught.value.message or f"cycle: {circle}" in caught.value.message


def test_a_row_of_bases_ends_at_the_limit(repository: pygit2.Repository) -> None:
    tree: Tree = {f"d{i}": {"kustomization.yaml": f"resources: [../d{i + 1}]\n"} for i in range(kustomize.MAX_DEPTH + 1)}
    with pytest.raises(errors.RenderTooLargeError):
        roots(repository, tree, "d0")


def test_many_bases_end_at_the_limit(repository: pygit2.Repository) -> None:
    tree: Tree = {f"d{i}": {"kustomization.yaml": "namePrefix: a-\n"} for i in range(kustomize.MAX_ROOTS)}
    tree["app"] = {"kustomization.yaml": "resources:\n" + "".join(f"- ../d{i}\n" for i in range(kustomize.MAX_ROOTS))}
    with pytest.raises(errors.RenderTooLargeError):
        roots(repository, tree, "app")


# -- what cannot be read without doubt ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("resources: [x.yaml\n", id="syntax"),
        pytest.param("resources: [x.yaml]\nresources: ['https://example.io']\n", id="field-twice"),
        pytest.param("a: &a {resources: ['https://example.io']}\nresources: []\n<<: *a\n", id="merge-after-the-field"),
        pytest.param("namePrefix: a-\n---\nresources: ['https://example.io']\n", id="two-documents"),
        pytest.param("- x.yaml\n", id="list"),
        pytest.param("", id="empty"),
        pytest.param("resources: [missing.yaml]\n", id="file-that-is-not-there"),
        pytest.param("components: [x.yaml]\n", id="component-that-is-a-file"),
        pytest.param("resources: [empty]\n", id="directory-without-kustomization"),
        pytest.param("generators: ['a: [']\n", id="generator-that-is-no-yaml"),
        pytest.param("generators: ['{a: b\n']\n", id="inline-generator-that-is-no-yaml"),
    ],
)
def test_a_kustomization_that_is_not_clear_is_refused(repository: pygit2.Repository, text: str) -> None:
    error = refused(repository, text, empty={"x": "1"})
    assert type(error) is errors.BuildFailedError
    assert error.message.startswith("app")


def test_two_kustomization_files_in_one_directory_are_refused(repository: pygit2.Repository) -> None:
    assert "more than one" in refused(repository, "namePrefix: a-\n", **{"kustomization.yml": "namePrefix: b-\n"}).message


def test_a_path_without_a_directory_is_told_as_such(repository: pygit2.Repository) -> None:
    with pytest.raises(errors.PathNotFoundError):
        roots(repository, {"x": "1"}, "app")


FIELDS = [
    "resources",
    "components",
    "generators",
    "Transformers",
    "patches",
    "patchesStrategicMerge",
    "configMapGenerator",
    "openapi",
    "helmCharts",
    "x",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=8)
    | st.sampled_from([*REMOTE, "..", "/", ".", "x.yaml", "\0", "{a: b}", "a: [", EXEC]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["path", "files", "env", "kind", "items", "metadata"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4).map(orjson.dumps) | st.binary(max_size=80))
def test_any_kustomization_ends_in_its_directories_or_in_one_of_our_errors(text: bytes) -> None:
    class OneFile:
        def read(self, path: str) -> bytes | None:
            return text if path in ("kustomization.yaml", "x.yaml") else None

        def is_file(self, path: str) -> bool:
            return self.read(path) is not None

        def directory(self, path: str) -> str | None:
            return "" if path == "" else None

    with contextlib.suppress(errors.BuildFailedError):
        assert kustomize.roots(OneFile(), "") == ("",)


# -- from a directory on disk ------------------------------------------------------------------------------------------


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    (root / "app").mkdir(parents=True)
    (root / "base").mkdir()
    (root / "app" / "kustomization.yaml").write_text("resources: [../base, ../link]\n")
    (root / "base" / "kustomization.yaml").write_text("namePrefix: a-\n")
    (root / "link").symlink_to("base")
    return root


def test_a_directory_on_disk_is_followed_like_a_tree(on_disk: Path) -> None:
    assert kustomize.roots(DiskFiles(on_disk), "app") == ("app", "base")


@pytest.mark.parametrize("target", ["../..", "/etc", "link", "../work/.git"])
def test_a_link_on_disk_that_leaves_the_repository_is_refused(on_disk: Path, target: str) -> None:
    (on_disk / ".git").mkdir()
    (on_disk / "link").unlink()
    (on_disk / "link").symlink_to(target)
    with pytest.raises(errors.SymlinkEscapesError):
        kustomize.roots(DiskFiles(on_disk), "app")


def test_a_file_on_disk_is_read_up_to_the_limit(on_disk: Path) -> None:
    files: Files = DiskFiles(on_disk)
    assert files.read("base/kustomization.yaml") == b"namePrefix: a-\n"
    assert files.read("base/none") is None
    with (on_disk / "big").open("wb") as file:
        file.truncate(50 * 2**20 + 1)
    with pytest.raises(errors.RenderTooLargeError):
        files.read("big")


# -- the program -------------------------------------------------------------------------------------------------------


def test_the_pinned_version_is_the_one_that_is_built() -> None:
    assert programs.get("kustomize").module.version == kustomize.KUSTOMIZE_VERSION


def test_a_missing_program_is_told_with_its_path(tmp_path: Path) -> None:
    for ask in (lambda: kustomize.build(tmp_path, "", program=tmp_path / "none"), lambda: kustomize.version(tmp_path / "none")):
        with pytest.raises(errors.ToolMissingError) as caught:
            ask()
        assert str(tmp_path / "none") in caught.value.message


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ("Error: no such file '{root}/app/x.yaml'\n", errors.BuildFailedError, "kustomize: no such file 'app/x.yaml'"),
        ("# Warning: 'bases' is deprecated.\nError: in '{root}'\n  twice\n", errors.BuildFailedError, "kustomize: app: in '.' twice"),
        (
            "Error: external plugins disabled; unable to load X\n",
            errors.PluginRefusedError,
            "kustomize: app: external plugins disabled; unable to load X",
        ),
        ("Error: security; file '{root}/x' is not in\n", errors.PathEscapesError, "kustomize: app: security; file 'x' is not in"),
        (
            "Error: dial tcp: socket: permission denied\n",
            errors.RemoteBaseRefusedError,
            "kustomize: app: dial tcp: socket: permission denied",
        ),
        ("\x1b[31m\n", errors.BuildFailedError, "kustomize: app: \\x1b[31m"),
        ("", errors.BuildFailedError, "kustomize: app: exit code 1"),
    ],
)
def test_what_kustomize_says_is_told_in_one_line_with_paths_of_the_repository(
    tmp_path: Path, said: str, kind: type[errors.CvstateError], message: str
) -> None:
    failure = program.ProgramFailedError(1, said.replace("{root}", str(tmp_path.resolve())))
    error = kustomize._translate(failure, tmp_path, "app")
    assert type(error) is kind
    assert error.message == message
