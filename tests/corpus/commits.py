"""Bad commits. Each is laid over a sound one, and must end in its reason with nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pygit2.enums import FileMode

from tests.unit.render.trees import Tree, link

SOUND = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sound}\ndata: {k: v}\n"
CHART = "apiVersion: v2\nname: chart\nversion: 0.1.0\n"


@dataclass(frozen=True)
class BadCommit:
    """What is in the source's path, and what has to be said about it.

    Attributes:
        tree: entries below the path, besides `sound.yaml` if it is plain YAML; a function where making it takes time.
        reason: of the problem.
        mentions: words of its message or file.
        beside: entries beside the path.
        spec: parts of the ClusterState.
        whole: whether nothing of the commit is applied (kustomize, Helm).
        refused: whether the source itself is refused, so that there is no list of problems.
    """

    tree: Tree | Callable[[], Tree]
    reason: str
    mentions: tuple[str, ...]
    beside: Tree = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
    refused: bool = False


def manifest(name: str = "bad", *, api_version: str = "v1", kind: str = "ConfigMap", **more: Any) -> str:
    return json.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **more.pop("metadata", {})}, **more})


def yaml_file(content: str | bytes, reason: str, *mentions: str, **more: Any) -> BadCommit:
    """One bad file of plain YAML."""
    return BadCommit({"bad.yaml": content}, reason, ("bad.yaml", *mentions), **more)


def kustomization(content: str, reason: str, *mentions: str, beside: Tree | None = None, **files: str) -> BadCommit:
    found: Tree = {
        "kustomization.yaml": content,
        "sound.yaml": SOUND,
        **{name.replace("_yaml", ".yaml"): text for name, text in files.items()},
    }
    return BadCommit(found, reason, mentions, beside=beside or {}, whole=True)


def chart(template: str, reason: str, *mentions: str, spec: dict[str, Any] | None = None, **files: str | Tree) -> BadCommit:
    found: Tree = {
        "Chart.yaml": CHART,
        "templates": {"a.yaml": SOUND, "t.yaml": template},
        **{k.replace("_yaml", ".yaml"): v for k, v in files.items()},
    }
    return BadCommit(found, reason, mentions, spec=spec or {}, whole=True)


def _alias_bomb() -> str:
    levels = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
    return "a: &a [x,x,x,x,x,x,x,x,x]\n" + levels


def _merge_bomb() -> str:
    levels = "".join(f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 9)}], k{i}: v}}\n" for i in range(12))
    return "a: &a {x: y}\n" + levels


COMMITS: dict[str, BadCommit] = {
    "C01-link-to-etc-passwd": BadCommit({"x.yaml": link("/etc/passwd")}, "SymlinkEscapes", ("x.yaml",)),
    "C01-link-out-of-the-repository": BadCommit({"x.yaml": link("../../outside.yaml")}, "SymlinkEscapes", ("x.yaml",)),
    "C02-links-in-a-circle": BadCommit({"a.yaml": link("b.yaml"), "b.yaml": link("a.yaml")}, "SymlinkEscapes", ("circle",)),
    "C05-kustomize-resource-outside": kustomization("resources: [../../../etc/hosts]\n", "PathEscapes", "kustomization.yaml:1"),
    "C06-kustomize-circle": kustomization("resources: [../kustomized]\n", "BuildFailed"),
    "C07-values-file-outside": chart(
        "", "PathEscapes", "secret.yaml", spec={"render": {"helm": {"valuesFiles": ["../../../secret.yaml"]}}}
    ),
    "C08-directory-link-into-git": BadCommit({"hooks": link(".git/hooks")}, "SymlinkEscapes", ("hooks",)),
    "C08-directory-link": BadCommit(
        {"more": link("../beside")}, "BuildFailed", ("more", "symbolic link"), beside={"beside": {"a.yaml": SOUND}}
    ),
    "C09-git-directory": BadCommit({".GIT": {"config": "x"}}, "BuildFailed", (".GIT", "file name not allowed")),
    "C09-newline": BadCommit({"a\nb.yaml": SOUND}, "BuildFailed", ("file name not allowed",)),
    "C09-zero-width": BadCommit({".git\u200c": {"a.yaml": SOUND}}, "BuildFailed", ("file name not allowed",)),
    "C09-not-utf-8": BadCommit({"a\udcff.yaml": SOUND}, "BuildFailed", ("file name not allowed",)),
    "C09-4-kib": BadCommit({"n" * 4096 + ".yaml": SOUND}, "BuildFailed", ("file name not allowed",)),
    "C10-submodule": BadCommit({"vendored": (FileMode.COMMIT, b"")}, "BuildFailed", ("vendored", "submodule")),
    "C11-lfs-pointer": yaml_file("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "BuildFailed", "Git LFS pointer"),
    "C13-remote-base": kustomization("resources:\n- github.com/x/y?ref=main\n", "RemoteBaseRefused", "kustomization.yaml:2"),
    "C13-https-resource": kustomization("resources: ['https://example.com/a.yaml']\n", "RemoteBaseRefused", "kustomization.yaml:1"),
    "C14-exec-plugin": kustomization(
        "transformers: [t.yaml]\nresources: [sound.yaml]\n",
        "PluginRefused",
        t_yaml="apiVersion: x/v1\nkind: T\nmetadata:\n  name: t\n  annotations:\n    config.kubernetes.io/function: 'exec: {path: /bin/id}'\n",
    ),
    "C14-helm-inflation": kustomization("helmCharts: [{name: a, repo: 'https://example.com'}]\n", "PluginRefused", "kustomization.yaml:1"),
    "C15-openapi-outside": kustomization("openapi: {path: ../../../schema.json}\nresources: [sound.yaml]\n", "PathEscapes"),
    "C17-env": chart('a: {{ env "HOME" }}', "BuildFailed", "not allowed"),
    "C17-host-by-name": chart('a: {{ getHostByName "example.com" }}', "BuildFailed", "not allowed"),
    "C18-endless-include": chart('{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}', "BuildFailed"),
    "C18-endless-range": chart("{{ range until 1000000000 }}a{{ end }}", "RenderTooLarge"),
    "C19-unmet-dependency": chart(
        SOUND,
        "BuildFailed",
        "vendor dependencies",
        Chart_yaml=CHART + "dependencies: [{name: redis, version: 1.0.0, repository: 'https://example.com'}]\n",
    ),
    "C36-unsigned": BadCommit({"bad.yaml": manifest()}, "VerificationFailed", ("not signed",), spec={"verify": True}, refused=True),
    "C40-alias-bomb": yaml_file(_alias_bomb(), "YAMLAliasLimit"),
    "C41-merge-bomb": yaml_file(_merge_bomb(), "YAMLAliasLimit"),
    "C42-flow-depth": yaml_file("[" * 50_000, "YAMLTooDeep", "100"),
    "C42-block-depth": yaml_file("- " * 50_000 + "a\n", "YAMLTooDeep", "100"),
    "C42-json-depth": BadCommit({"bad.json": "[" * 50_000 + "]" * 50_000}, "YAMLTooDeep", ("bad.json",)),
    "C43-recursive-anchor": yaml_file("a: &a [*a]\n", "YAMLInvalid"),
    "C44-python-tag": yaml_file("a: !!python/object/apply:os.system [id]\n", "YAMLInvalid", "tag"),
    "C44-vault": yaml_file("a: !vault secret\n", "YAMLInvalid", "tag"),
    "C44-set": yaml_file("a: !!set {x}\n", "YAMLInvalid", "tag"),
    "C45-duplicate-key": yaml_file(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata:\n  a: '1'\n  a: '2'\n", "DuplicateKey", "line 5", "line 6"
    ),
    "C47-nan": yaml_file("a: .nan\n", "YAMLInvalid"),
    "C47-infinity": yaml_file("a: -.inf\n", "YAMLInvalid"),
    "C47-long-integer": yaml_file(f"a: {'9' * 5000}\n", "YAMLInvalid"),
    "C47-large-float": yaml_file("a: 1e400\n", "YAMLInvalid"),
    "C48-nul": yaml_file(b"a: \0\n", "YAMLInvalid"),
    "C48-byte-order-mark-inside": yaml_file(
        "apiVersion: v1\n\ufeffkind: ConfigMap\nmetadata: {name: bad}\n", "YAMLInvalid", "byte order mark"
    ),
    "C48-utf-16": yaml_file("a: b\n".encode("utf-16"), "YAMLInvalid"),
    "C48-latin-1": yaml_file("a: é\n".encode("latin-1"), "YAMLInvalid"),
    "C48-tabs": yaml_file("a:\n\t- b\n", "YAMLInvalid"),
    "C49-too-many-documents": yaml_file("---\na: b\n" * 100_000, "RenderTooLarge", "documents"),
    "C50-list": yaml_file("- a\n", "BuildFailed", "list"),
    "C50-scalar": yaml_file("hello\n", "BuildFailed", "string"),
    "C50-no-kind": yaml_file("apiVersion: v1\nmetadata: {name: bad}\n", "BuildFailed", "kind"),
    "C50-no-api-version": yaml_file("kind: ConfigMap\nmetadata: {name: bad}\n", "BuildFailed", "apiVersion"),
    "C50-no-name": yaml_file("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n", "BuildFailed", "generateName"),
    "C51-200-mb": BadCommit(lambda: {"bad.yaml": b"#" * 200_000_000}, "RenderTooLarge", ("bad.yaml", "split")),
    "C52-number-as-key": yaml_file(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, labels: {a: 1}}\n", "BuildFailed", "metadata.labels.a"
    ),
    "C52-number-in-data": yaml_file("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {port: 8080}\n", "Invalid", "port"),
    "C53-twice": BadCommit({"bad.yaml": manifest("sound", data={"k": "w"})}, "DuplicateObject", ("sound.yaml", "bad.yaml")),
    "C54-cluster-scoped-with-namespace": yaml_file(
        manifest(api_version="rbac.authorization.k8s.io/v1", kind="ClusterRole", metadata={"namespace": "default"}),
        "Invalid",
        "cluster-scoped",
    ),
    "C56-command": yaml_file('a: "${A:-$(id)}"\n' + SOUND.replace("sound", "bad"), "BuildFailed", spec={"render": {"substitute": {}}}),
    "C56-unset": yaml_file(
        SOUND.replace("sound", "bad").replace("k: v", "k: '${nowhere}'"), "VariableMissing", "nowhere", spec={"render": {"substitute": {}}}
    ),
    "C57-sops": yaml_file(
        manifest(kind="Secret", data={"password": "ENC[AES256_GCM,data:aGk=,iv:eA==,tag:eQ==,type:str]"}, sops={"mac": "x"}),
        "PolicyViolation",
        "SOPS",
    ),
    "C67-owner-label": yaml_file(
        manifest(metadata={"labels": {"applyset.kubernetes.io/part-of": "applyset-x-v1"}}), "Invalid", "applyset.kubernetes.io/part-of"
    ),
    "C69-owner-reference": yaml_file(
        manifest(metadata={"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}]}),
        "Invalid",
        "ownerReferences",
    ),
}
"""By number and name; the numbers are those of the project's list of bad inputs."""
