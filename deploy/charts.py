"""Keeps the charts in step with the repository: their copies of the CRDs, the tables of values in their READMEs, and `install.yaml`.

    python deploy/charts.py                          copies of the CRDs, and tables (`make charts`)
    python deploy/charts.py manifest HELM            install.yaml, on standard output (`make install-manifest`)

Tests in tests/unit/deploy and tests/integration/test_chart.py fail while something is out of step.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
CHARTS: Final = ROOT / "deploy" / "charts"
OPERATOR: Final = CHARTS / "cvstate-operator"
CRDS: Final = CHARTS / "cvstate-operator-crds"
MANIFEST: Final = ROOT / "deploy" / "install.yaml"
NAMESPACE: Final = "cvstate-system"
RELEASE: Final = "cvstate-operator"

_MARK: Final = "# -- "
_TABLE: Final = re.compile(r"(<!-- values: made by `make charts`; do not edit -->\n).*?(<!-- end -->)", re.DOTALL)
_OF_HELM: Final = re.compile(r"^\s+(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
"""Labels by which Helm knows its own: what `kubectl apply` makes is not Helm's."""
_HEAD: Final = f"""\
# cvstate-operator without Helm: made of deploy/charts by `make install-manifest`; do not edit.
#
#   kubectl apply --server-side -f deploy/install.yaml
#
# The operator may act for nobody yet. For each tenant, grant it the verb impersonate on one account (docs/install.md, "Without Helm").
---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


class Value(NamedTuple):
    """One value of a chart."""

    path: str
    """As in `--set`: `image.tag`."""
    default: str
    """As JSON."""
    meaning: str
    """Its comment, in one line; empty if it has none."""


def documented_values(chart: Path) -> Iterator[Value]:
    """Each value of a chart that has a comment `# --`, in the order of values.yaml; and those without any of their own or above them, with an empty meaning."""
    text = (chart / "values.yaml").read_text()
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - a values.yaml is a map
    return _below(root, yaml.safe_load(text), "", text.splitlines())


def _below(node: yaml.MappingNode, values: dict[str, Any], path: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        default, meaning = values[key.value], _comment_above(lines, key.start_mark.line)
        if not meaning and isinstance(value, yaml.MappingNode) and default:
            yield from _below(value, default, f"{path}{key.value}.", lines)
        else:
            yield Value(f"{path}{key.value}", json.dumps(default), meaning)


def _comment_above(lines: list[str], line: int) -> str:
    comment: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip())
        if comment[0].startswith(_MARK):
            return " ".join((comment[0].removeprefix(_MARK), *(one.removeprefix("# ") for one in comment[1:])))
    return ""


def readme(chart: Path) -> str:
    """The README of a chart with its table of values as it has to be."""
    rows = [f"| `{one.path}` | {_cell(one.default)} | {one.meaning.replace('|', '&#124;')} |" for one in documented_values(chart)]
    table = "\n".join(("| value | default | meaning |", "|---|---|---|", *rows))
    return _TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", (chart / "README.md").read_text())


def _cell(default: str) -> str:
    return f"`{default}`" if len(default) <= 60 else "see values.yaml"


def copies() -> dict[Path, bytes]:
    """The copies of the CRDs that the chart of the kinds has to hold."""
    return {CRDS / "files" / file.name: file.read_bytes() for file in sorted((ROOT / "crds").glob("*.yaml"))}


def manifest(helm: str) -> str:
    """install.yaml: the namespace, the kinds, the operator.

    Raises:
        subprocess.CalledProcessError: Helm cannot render the charts; it told why on standard error.
    """
    kinds = _rendered(helm, CRDS, "--set", "keep=false")
    return _HEAD + kinds + _rendered(helm, OPERATOR, "--api-versions", "cvstate.io/v1alpha1")


def _rendered(helm: str, chart: Path, *options: str) -> str:
    command = (helm, "template", RELEASE, str(chart), "--namespace", NAMESPACE, *options)
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return _OF_HELM.sub("", text if text.startswith("---\n") else f"---\n{text}")


def main() -> None:
    """Do what the command line asks for."""
    match sys.argv[1:]:
        case []:
            for path, content in copies().items():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            for old in set((CRDS / "files").iterdir()) - copies().keys():
                old.unlink()
            for chart in (OPERATOR, CRDS):
                (chart / "README.md").write_text(readme(chart))
        case ["manifest", helm]:
            sys.stdout.write(manifest(helm))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
