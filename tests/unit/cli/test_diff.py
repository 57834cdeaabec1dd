"""`cvstate diff`, without a cluster.

Aspects: which objects are meant · how drift is shown: text and JSON · options.
"""

import json

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli import diff
from cvstate_operator.cli.diff import Drifted, Found
from cvstate_operator.cli.main import app
from cvstate_operator.objects.identity import ObjectRef

DEPLOYMENT = ObjectRef("apps", "Deployment", "web", "api")
REPLICAS = Drifted(
    str(DEPLOYMENT), "/spec/replicas", 7, 2, "kubectl-edit", "2026-11-21T12:00:00Z", "2026-11-21T12:00:01Z", "Medium", "Auto", "Held"
)
LABEL = Drifted(str(DEPLOYMENT), "/metadata/labels/a", None, "b", "", "", "", "Low", "Alert", "Alerted")
GONE = Drifted("ConfigMap/web/cm", "", None, None, "", "", "", "High", "Auto", "Repairing", is_gone=True)
INSIDE = Drifted("ConfigMap/web/cm", "", None, None, "rogue", "", "", "High", "Auto", "Repairing")


def found(*fields: Drifted, not_applied: int = 0, unseen: tuple[str, ...] = ()) -> Found:
    return Found("web/shop", f"main@sha1:{'4' * 40}", 7, fields, not_applied, unseen)


def text(told: Found) -> str:
    return "\n".join(line.plain for line in diff.as_text(told))


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("Deployment/api", True),
        ("deployment/api", True),
        ("Deployment.apps/api", True),
        ("Deployment.other/api", False),
        ("Deployment/other", False),
        ("ConfigMap/api", False),
    ],
)
def test_an_object_is_named_by_kind_and_name(wanted: str, meant: bool) -> None:
    assert diff._is_meant(DEPLOYMENT, wanted) is meant


@pytest.mark.parametrize("wanted", ["api", "/api", "Deployment/", ""])
def test_what_is_no_kind_and_name_is_refused(wanted: str) -> None:
    result = CliRunner().invoke(app, ["diff", "shop", "--object", wanted])
    assert isinstance(result.exception, errors.SettingsError)


def test_fields_stand_below_their_object_with_both_values_and_the_writer() -> None:
    told = text(found(REPLICAS, LABEL))
    assert told.count(str(DEPLOYMENT)) == 1
    for part in ("7", "2", "kubectl-edit at 2026-11-21T12:00:00Z", "first seen 2026-11-21T12:00:01Z", "(gone)", "Held (Medium, Auto)"):
        assert part in told
    assert "2 fields of 1 object drifted." in told


def test_an_object_that_is_gone_is_told_apart_from_one_that_changed_inside_a_field() -> None:
    assert "is gone" in text(found(GONE))
    assert diff.as_json(found(GONE))["fields"][0]["gone"] is True
    assert "changed inside" in text(found(INSIDE))
    assert "gone" not in diff.as_json(found(INSIDE))["fields"][0]


def test_what_could_not_be_looked_at_is_told_beside_no_drift() -> None:
    told = text(found(not_applied=2, unseen=("Secret/web/s",)))
    for part in ("Secret/web/s", "2 objects not brought", "No drift"):
        assert part in told


def test_the_json_is_as_documented() -> None:
    told = diff.as_json(found(REPLICAS, LABEL, not_applied=1))
    assert json.loads(json.dumps(told)) == told
    assert told["drifted"] == {"objects": 1, "fields": 2}
    assert told["notApplied"] == 1
    assert told["fields"][0] == {
        "object": "apps/Deployment/web/api",
        "path": "/spec/replicas",
        "live": 7,
        "desired": 2,
        "manager": "kubectl-edit",
        "writtenAt": "2026-11-21T12:00:00Z",
        "firstSeen": "2026-11-21T12:00:01Z",
        "severity": "Medium",
        "action": "Auto",
        "state": "Held",
    }
    assert "live" not in told["fields"][1]
