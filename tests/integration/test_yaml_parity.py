"""Scalars mean what kubectl and the API server take them to mean: asked of both (C46 of the list of bad inputs).

Aspects: plain scalars as values, in lists and as keys, through kubectl · what reaches a live object through kubectl and through us.
"""

import json

import pytest

from cvstate_operator.render import yaml_reader
from tests.cluster.control_plane import Cluster
from tests.support.world import World

pytestmark = pytest.mark.integration

SPELLINGS = [
    "22:22",
    "12:30:45",
    "1:2:3",
    "190:20:30",
    "2020-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "2001-12-14",
    "0o777",
    "0777",
    "0o8",
    "08",
    "09",
    "0644",
    "00",
    "0",
    "-0",
    "+0",
    "007",
    "-017",
    "0x1F",
    "0X1f",
    "0xg",
    "-0x1F",
    "0b11",
    "0b12",
    "-0b11",
    "0B11",
    "1_000",
    "1__0",
    "_1",
    "1_",
    "0x_1F",
    "1_000.5",
    "+1",
    "-1",
    "+-1",
    "1",
    "1.0",
    "1.",
    ".5",
    "-.5",
    "+.5",
    ".",
    "..",
    "1.5",
    "-1.5",
    "1.50",
    "1e3",
    "12e03",
    "1E3",
    "1e+3",
    "1e-3",
    "1.5e3",
    ".5e1",
    "1e",
    "1e400x",
    "e3",
    "1.e3",
    "-1e3",
    "1_0e1",
    "9007199254740991",
    "-9007199254740991",
    "1e15",
    "1e16",
    "1e18",
    "1e22",
    "0O17",
    "123456789012",
    "0.1",
    "0.10",
    "100m",
    "1Gi",
    "128Mi",
    "1.2.3",
    "1.2.3.4",
    "v1",
    "v1.0",
    "y",
    "Y",
    "yes",
    "Yes",
    "YES",
    "yEs",
    "n",
    "N",
    "no",
    "No",
    "NO",
    "on",
    "On",
    "ON",
    "oN",
    "off",
    "Off",
    "OFF",
    "true",
    "True",
    "TRUE",
    "tRue",
    "false",
    "False",
    "FALSE",
    "t",
    "f",
    "T",
    "F",
    "null",
    "Null",
    "NULL",
    "nUll",
    "~",
    "~x",
    "=",
    "==",
    "<",
    "<=",
    "--",
    "-a",
    "a-b",
    "/",
    "//",
    "\\",
    "$",
    "^",
    "+",
    "+a",
    "(",
    ")",
    ";",
    "a:b",
    "a::b",
    "http://x:80/y",
    "10.0.0.1",
    "::1",
    "fe80::1",
    "sha256:abc",
    "1d",
    "1h30m",
    "5s",
    "1e",
    "0xdeadbeef",
    "0b",
    "0o",
    "0x",
    "Infinity",
    "infinity",
    "inf",
    "nan",
    "NaN",
    ".infx",
    ".nanx",
    "+.x",
    "!!str",
    "!!str?3",
    "!!int?3",
    "!!float?3",
    "!!bool?yes",
    "!!null?",
    "!?3",
    "\"'3'\"",
    "'\"3\"'",
    "\"'y'\"",
    "'\"0o7\"'",
    "日本",
    "ünï",
    "1١",
]
"""A `?` stands for a blank, so that a tag and its value make one word."""

REFUSED = {
    "!!binary aGk=",
    "!!set {a}",
    ".inf",
    "-.inf",
    "+.Inf",
    ".nan",
    ".NaN",
    "1e400",
    "99999999999999999999999",
    "!custom x",
    "!!timestamp 2020-01-01",
}
"""Where kubectl fails, or makes something of it that is not the same in JSON, we refuse by name."""


def documents(values: list[str]) -> str:
    return "".join(
        f"---\napiVersion: v1\nkind: Probe\nmetadata: {{name: p{i}}}\nvalue: {value}\nlist:\n- {value}\n" for i, value in enumerate(values)
    )


def ask_kubectl(cluster: Cluster, text: str) -> list[dict]:
    """Every document as kubectl reads it, without asking the API server about the kind."""
    answer = cluster.kubectl("patch", "--local", "-f", "-", "--type", "merge", "-p", "{}", "-o", "json", input=text)
    decoder, found, position = json.JSONDecoder(), [], 0
    while position < len(answer.rstrip()):
        value, position = decoder.raw_decode(answer, position)
        found.append(value)
        position += len(answer[position:]) - len(answer[position:].lstrip())
    return found


def test_values_and_list_items_are_read_as_kubectl_reads_them(cluster: Cluster):
    values = [spelling.replace("?", " ") for spelling in SPELLINGS]
    text = documents(values)
    theirs = ask_kubectl(cluster, text)
    ours, faults = yaml_reader.read(text.encode())
    assert faults == ()
    assert len(theirs) == len(ours) == len(values) >= 120
    different = {
        value: (mine.value["value"], his.get("value"))
        for value, mine, his in zip(values, ours, theirs, strict=True)
        if json.dumps(mine.value["value"]) != json.dumps(his.get("value")) or json.dumps(mine.value["list"]) != json.dumps(his["list"])
    }
    assert different == {}


def test_keys_are_read_as_kubectl_reads_them(cluster: Cluster):
    keys = ["1", "1.5", "true", "y", "on", "off", "0o7", "1e3", "a", "22:22", "2020-01-01", "=", "'1'", "~x", "-1", "0x10", "1_0", "'null'"]
    text = "".join(f"---\napiVersion: v1\nkind: Probe\nmetadata: {{name: p}}\nmap:\n  {key}: v\n" for key in keys)
    theirs = [list(document["map"]) for document in ask_kubectl(cluster, text)]
    ours = [list(document.value["map"]) for document in yaml_reader.read(text.encode())[0]]
    assert ours == theirs


@pytest.mark.parametrize("value", sorted(REFUSED))
def test_what_json_cannot_hold_is_refused_and_not_changed(value: str):
    found, faults = yaml_reader.read(documents([value]).encode())
    assert found == ()
    assert [fault.reason for fault in faults] == ["YAMLInvalid"]


def test_the_same_file_makes_the_same_object_through_kubectl_and_through_us(world: World):
    values = ["22:22", "2020-01-01", "0o777", "1e3", "on", "'on'", "=", "08", "1_000", "'~'"]
    preserved = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    group = f"{world.name}.parity.test"
    names = {"kind": "Probe", "plural": "probes", "singular": "probe"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": preserved}}]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"probes.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
    }
    body = "spec:\n" + "".join(f"  f{i}: {value}\n" for i, value in enumerate(values))
    head = f"apiVersion: {group}/v1\nkind: Probe\nmetadata: {{name: NAME, namespace: {world.name}}}\n"
    world.declare()
    world.wait_applied(world.commit({"a.yaml": head.replace("NAME", "ours") + body, "crd.yaml": json.dumps(crd)}))
    world.cluster.kubectl("apply", "-f", "-", input=head.replace("NAME", "theirs") + body)
    ours, theirs = (world.api.get(world.path("probes", name, group=f"{group}/v1")) for name in ("ours", "theirs"))
    assert ours["spec"] == theirs["spec"]
