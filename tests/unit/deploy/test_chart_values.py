"""The charts as they lie there, without Helm.

Aspects: every value has a comment, a type and a use · what nobody foresaw is refused · the tables in the READMEs · the copies of the CRDs · versions
agree · settings are those of the operator · templates grant no wildcard and write nothing of others.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cvstate_operator import __version__
from cvstate_operator.settings_file import SETTINGS
from deploy import charts

BOTH = pytest.mark.parametrize("chart", [charts.OPERATOR, charts.CRDS], ids=lambda chart: chart.name)
MANAGED_BY_THE_CHART = {
    "listen",
    "tlsDirectory",
    "cache",
    "cacheBytes",
    "memoryBytes",
    "webhookListen",
    "leaseNamespace",
    "group",
    "advertise",
}
"""Settings that the Deployment sets by the environment, which wins over the file."""

TAKEN_APART = {"networkPolicy", "monitoring.serviceMonitor", "monitoring.podMonitor"}
"""Maps that a template puts into a variable, or opens by `with`, and then takes values out of."""


def values(chart: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((chart / "values.yaml").read_text())
    return found


def schema(chart: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((chart / "values.schema.json").read_text())
    return found


def templates(chart: Path) -> str:
    return "".join(file.read_text() for file in sorted((chart / "templates").iterdir()))


def resolved(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    found: dict[str, Any] = root["definitions"][reference.removeprefix("#/definitions/")] if reference else node
    return found


def fields(node: dict[str, Any], root: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of all values that the schema knows one by one."""
    for name, below in resolved(node, root).get("properties", {}).items():
        if name == "global":
            continue  # what Helm itself puts into a chart that is part of another
        here = f"{path}{name}"
        deeper = list(fields(below, root, f"{here}."))
        yield from deeper or [here]


def leaves(found: dict[str, Any], known: set[str], path: str = "") -> Iterator[str]:
    for name, value in found.items():
        here = f"{path}{name}"
        if here not in known and isinstance(value, dict) and value:
            yield from leaves(value, known, f"{here}.")
        else:
            yield here


@BOTH
def test_every_value_has_a_comment(chart: Path):
    assert [one.path for one in charts.documented_values(chart) if not one.meaning] == []


@BOTH
def test_the_defaults_meet_the_schema(chart: Path):
    jsonschema_rs.validator_for(schema(chart)).validate(values(chart))


@BOTH
def test_schema_and_defaults_know_the_same_values(chart: Path):
    typed = set(fields(schema(chart), schema(chart)))
    probes = {
        f"{path}.initialDelaySeconds" for path in ("probes.startup", "probes.readiness", "probes.liveness")
    }  # Kubernetes' default is meant
    present = set(leaves(values(chart), typed))
    # A map without a default of its own, such as resources.limits, is one value to the schema and has entries in the file.
    assert {path for path in present if not any(path == one or path.startswith(f"{one}.") for one in typed)} == set()
    assert {path for path in typed - probes if not any(path == one or one.startswith(f"{path}.") for one in present)} == set()


@BOTH
def test_no_level_of_the_schema_lets_an_unknown_value_pass(chart: Path):
    root = schema(chart)

    def open_maps(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            if "properties" in node and node.get("additionalProperties") is not False:
                yield path
            for name, below in node.items():
                yield from open_maps(below, f"{path}/{name}")

    assert list(open_maps(root, "")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 2},
        {"replicas": "2"},
        {"image": {"digest": "sha256:1234"}},
        {"config": {"writers": 0}},
        {"config": {"writer": 3}},
        {"config": {"group": "mine"}},
        {"config": {"logLevel": "trace"}},
        {"config": {"allowGitHosts": ["https://git.example.com"]}},
        {"tenants": [{"namespace": "team-a"}]},
        {"tenants": [{"namespace": "team-a", "serviceAccounts": []}]},
        {"tenants": [{"namespace": "Team", "serviceAccounts": ["applier"]}]},
        {"impersonation": {"mode": "constrained"}},
        {"http": {"port": 80}},
        {"webhook": {"enabled": "yes"}},
        {"networkPolicy": {"git": {"cidrs": ["10.0.0.1"]}}},
        {"cache": {"sizeLimit": 4}},
    ],
    ids=json.dumps,
)
def test_a_value_that_cannot_be_meant_is_refused(wrong: dict[str, Any]):
    def merged(base: Any, over: Any) -> Any:
        if isinstance(base, dict) and isinstance(over, dict):
            return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
        return over

    validator = jsonschema_rs.validator_for(schema(charts.OPERATOR))
    assert not validator.is_valid(merged(values(charts.OPERATOR), wrong))


@BOTH
def test_every_value_is_used_by_a_template(chart: Path):
    text = templates(chart)
    used = set(re.findall(r"\.Values\.([A-Za-z]+(?:\.[A-Za-z]+)*)", text)) - TAKEN_APART

    def is_used(path: str) -> bool:
        if any(path == one or path.startswith(f"{one}.") for one in used):
            return True
        parts = [path.removeprefix(f"{one}.") for one in TAKEN_APART if path.startswith(f"{one}.")]
        return any(re.search(rf"(?<!Values)\.{re.escape(part)}\b", text) for part in parts)

    assert [path for path in fields(schema(chart), schema(chart)) if not is_used(path)] == []


@BOTH
def test_the_readme_has_the_table_of_values(chart: Path):
    assert (chart / "README.md").read_text() == charts.readme(chart), "run make charts"


def test_the_chart_of_the_kinds_holds_the_crds_of_the_repository():
    held = {path: path.read_bytes() for path in (charts.CRDS / "files").iterdir()}
    assert held == charts.copies(), "run make charts"


@BOTH
def test_the_chart_carries_the_version_of_the_operator(chart: Path):
    meta = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (meta["appVersion"], meta["version"]) == (__version__, __version__)
    assert meta["type"] == "application"


def test_no_rule_has_a_wildcard():
    rules = (charts.OPERATOR / "templates" / "rbac.yaml").read_text() + (charts.OPERATOR / "templates" / "tenants.yaml").read_text()
    lists = re.findall(r"(?:apiGroups|resources|verbs|resourceNames): (\[.*\])", rules)
    assert lists
    assert [found for found in lists if "*" in found] == []


def test_the_operators_own_role_never_names_secrets():
    rules = (charts.OPERATOR / "templates" / "rbac.yaml").read_text()
    assert re.findall(r"resources: \[.*\b(?:secrets|configmaps|serviceaccounts|roles|clusterroles)\b.*\]", rules) == []


def test_settings_of_the_chart_are_settings_of_the_operator():
    known = set(schema(charts.OPERATOR)["properties"]["config"]["properties"])
    assert known == {setting.key for setting in SETTINGS if setting.key} - MANAGED_BY_THE_CHART
