"""`cvstate diff`, without a cluster.

Aspects: which objects are meant · how drift is shown: text and JSON · what is said of objects that were not compared · options.
"""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli import diff
from cvstate_operator.cli.main import app
from cvstate_operator.cli.plan.survey import Drifted, Found, Uncompared, is_meant
from cvstate_operator.objects.identity import ObjectRef

DEPLOYMENT = ObjectRef("apps", "Deployment", "web", "api")
REPLICAS = Drifted(
    str(DEPLOYMENT), "/spec/replicas", 7, 2, "kubectl-edit", "2026-11-21T12:00:00Z", "2026-11-21T12:00:01Z", "Medium", "Auto", "Held"
)
LABEL = Drifted(str(DEPLOYMENT), "/metadata/labels/a", None, "b", "", "", "", "Low", "Alert", "Alerted")
GONE = Drifted("ConfigMap/web/cm", "", None, None, "", "", "", "High", "Auto", "Repairing", is_gone=True)
INSIDE = Drifted("ConfigMap/web/cm", "", None, None, "rogue", "", "", "High", "Auto", "Repairing")


REFUSED = Drifted(
    str(DEPLOYMENT), "/spec/replicas", 7, 2, "kubectl", "", "", "Medium", "Auto", "Refused", why="FieldConflict: others hold fields"
)


def found(*fields: Drifted, **more: Any) -> Found:
    return Found("web/shop", f"main@sha1:{'4' * 40}", **{"objects": 7, "compared": 7, "fields": fields, **more})


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
    assert is_meant(DEPLOYMENT, wanted) is meant


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


def test_an_object_that_is_not_there_is_told_apart_from_one_that_changed_inside_a_field() -> None:
    assert "is not there" in text(found(GONE))
    assert diff.as_json(found(GONE))["fields"][0]["gone"] is True
    assert "changed inside" in text(found(INSIDE))
    assert "gone" not in diff.as_json(found(INSIDE))["fields"][0]


def test_what_keeps_a_field_from_being_put_back_is_told_with_it() -> None:
    told = text(found(REFUSED))
    assert "Refused (Medium, Auto)" in told
    assert "FieldConflict: others hold fields" in told
    assert diff.as_json(found(REFUSED))["fields"][0]["why"] == "FieldConflict: others hold fields"
    assert "why" not in diff.as_json(found(REPLICAS))["fields"][0]


def test_no_drift_is_claimed_only_of_what_was_compared() -> None:
    conflicts = [Uncompared(f"ConfigMap/web/c{number}", "FieldConflict", "others hold fields") for number in range(5)]
    told = text(found(compared=1, uncompared=(*conflicts, Uncompared("Secret/web/s", "WindowClosed", "closed until six"))))
    for part in (
        "FieldConflict  5 objects (ConfigMap/web/c0, ConfigMap/web/c1, ConfigMap/web/c2 and 2 more)",
        "closed until six",
        "No drift in 1 object;",
    ):
        assert part in told
    assert "6 objects could not be compared" in told
    assert "every field is as declared" not in told


def test_where_nothing_was_compared_nothing_is_claimed() -> None:
    told = text(found(compared=0, unseen=("Secret/web/s",)))
    assert "Secret/web/s" in told
    assert "Nothing is known; 1 object could not be compared." in told
    assert "No drift" not in told


def test_objects_that_are_left_alone_are_named_beside_no_drift() -> None:
    told = text(found(compared=6, exempt=("ConfigMap/web/handmade",)))
    assert "ConfigMap/web/handmade" in told
    assert "No drift: every field of the other objects is as declared." in told


def test_only_where_everything_was_compared_every_field_is_as_declared() -> None:
    assert text(found()).endswith("No drift: every field is as declared.")
    assert found().is_whole
    assert not found(unseen=("Secret/web/s",)).is_whole
    assert not found(uncompared=(Uncompared("Secret/web/s", "Invalid", "no"),)).is_whole


def test_the_json_of_many_objects_that_were_not_compared_is_bounded() -> None:
    many = tuple(Uncompared(f"ConfigMap/web/{number}", "Suspended", "suspended") for number in range(5000))
    told = diff.as_json(found(uncompared=many, exempt=tuple(one.object for one in many)))
    for key in ("notCompared", "leftAlone"):
        assert told[key]["objects"] == 5000
        assert len(told[key]["sample"]) == diff.LISTED


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
