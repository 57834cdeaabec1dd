"""`cvstate plan`, without a cluster.

Aspects: options · another ref or path · how a plan is shown: text, JSON, Markdown · foreign text in Markdown · texts of several lines · repairs and what they wait for · what
counts as vanished.
"""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.cli.main import app
from cvstate_operator.cli.plan import command, compare, fields, report
from cvstate_operator.cli.plan.result import Entry, Field, Kept, Plan
from cvstate_operator.drift.difference import FieldChange, Kind
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.gates import Block, Reason

COMMIT = "4c1f03a9be12" + "0" * 28
SPEC = parse_spec({"source": {"git": {"url": "https://git.example.com/shop.git", "ref": {"branch": "main"}, "path": "apps"}}})
CONFIG_MAP, SECRET = GroupKind("", "ConfigMap"), GroupKind("", "Secret")


def ref(name: str, kind: str = "ConfigMap") -> ObjectRef:
    return ObjectRef("", kind, "web", name)


def plan(*entries: Entry, **changes: Any) -> Plan:
    return Plan(
        **{"state": "web/shop", "ref": "branch main", "revision": f"main@sha1:{COMMIT}", "objects": 7, "entries": entries, **changes}
    )


UPDATE = Entry(
    ref("cm"), Action.UPDATE, (Field("/data/a", "/data/a", "1", "2", "kubectl", "2026-11-21T12:00:00Z"),), more=3, file="a.yaml", document=2
)
PRUNES = tuple(Entry(ref(f"old{i}"), Action.PRUNE, held="would wait for approval: too many") for i in range(3))
WHOLE = plan(
    Entry(ref("new"), Action.CREATE, note="its kind comes with this commit"),
    UPDATE,
    *PRUNES,
    kept=(Kept((ref("data", "PersistentVolumeClaim"),), "spec.prune.protectedKinds"),),
    problems=(Problem("b.yaml", 1, "Foo/x", "KindUnknown", "the API server serves no Foo", "kind"),),
    gates=((Block(Reason.WINDOW_CLOSED, "Prune is closed until later"), ("Prune",)),),
    warnings=("your user may not list Widget",),
)


def lines(found: Plan) -> str:
    return "\n".join(line.plain for line in report.as_text(found))


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [["--branch", "a", "--tag", "b"], ["--file", ".", "--commit", COMMIT], ["--semver", "1", "--tag", "v1"]]
)
def test_only_one_commit_can_be_meant(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["plan", "shop", *options])
    assert isinstance(result.exception, errors.SettingsError)


def test_the_ref_that_is_asked_for_takes_the_place_of_the_specs() -> None:
    found = command.overridden(SPEC, {"tag": "v1"}, "other").source.git
    assert (found.ref.selector, found.path, found.url) == ("tag v1", "other", SPEC.source.git.url)
    assert SPEC.source.git.ref.selector == "branch main"


def test_without_options_it_is_the_spec() -> None:
    assert command.overridden(SPEC, {}, None) is SPEC


@pytest.mark.parametrize(
    ("chosen", "path", "says"),
    [
        ({"commit": "4c1f"}, None, "--commit: full commit ids"),
        ({"branch": "a..b"}, None, "--branch: "),
        ({"semver": "not a range"}, None, "--semver: "),
        ({}, "../other", "--path: must stay inside"),
    ],
)
def test_what_cannot_be_meant_names_the_option(chosen: dict[str, str], path: str | None, says: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        command.overridden(SPEC, chosen, path)
    assert caught.value.message.startswith(says)


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_text_of_several_lines_is_compared_line_by_line() -> None:
    before = "".join(f"line {i}\n" for i in range(20))
    found = fields.lines_of(before, before.replace("line 10", "line ten"))
    assert "-line 10" in found
    assert "+line ten" in found
    assert "-line 3" not in "".join(found)


def test_of_very_many_changed_lines_the_first_are_shown_and_the_rest_counted() -> None:
    found = fields.lines_of("a\n" * 300, "b\n" * 300)
    assert len(found) == fields.SHOWN_LINES + 1
    assert re.search(r"\d+ more lines", found[-1])


@pytest.mark.parametrize(("before", "after"), [("one", "two"), (1, "a\nb"), (None, "a\nb"), ("a\n" * 9000, "b\n" * 9000)])
def test_other_values_are_shown_as_they_are(before: object, after: object) -> None:
    assert fields.lines_of(before, after) == ()


def test_lines_of_a_secret_are_never_shown() -> None:
    change = FieldChange("/data/key", "/data/key", Kind.CHANGED, "secret\none\n", "secret\ntwo\n", "m", "")
    assert fields.changed(CONFIG_MAP, change).lines
    masked = fields.changed(SECRET, change)
    assert (masked.before, masked.after, masked.lines) == ("***", "***", ())


# -- text --------------------------------------------------------------------------------------------------------------


def test_the_text_tells_every_object_field_and_problem() -> None:
    text = lines(WHOLE)
    for part in ("+ create", "~ update", "- prune", "= keep", "! problem", "a.yaml document 2", "1 → 2", "kubectl since", "3 more fields"):
        assert part in text
    assert "Plan: 1 to create, 1 to update, 3 to delete, 3 of them held, 1 problem." in text
    assert COMMIT not in text
    assert COMMIT[:12] in text


def test_what_holds_many_objects_is_told_once() -> None:
    assert lines(WHOLE).count("would wait for approval") == 1
    assert "3 objects: would wait" in lines(WHOLE)


def test_what_a_closed_gate_holds_is_told_at_the_top_alone() -> None:
    block = Block(Reason.SUSPENDED, "spec.suspend is true")
    text = lines(plan(Entry(ref("a"), Action.CREATE, held=block.message), gates=((block, ("NewRevision",)),)))
    assert text.count(block.message) == 1
    assert text.index(block.message) < text.index("create")


def test_a_gate_that_an_error_budget_closes_is_told_at_the_top_by_the_slo_that_burns() -> None:
    block = Block(
        Reason.ERROR_BUDGET_BURNING, "SLO availability: the error budget burns more than 5 times faster than evenly, over 1h and 5m"
    )
    found = plan(Entry(ref("a"), Action.UPDATE, held=block.message), gates=((block, ("NewRevision",)),))
    assert lines(found).splitlines()[1] == f"held  NewRevision: {block.message}"
    assert lines(found).endswith("Plan: 1 to update, 1 of them held.")
    assert report.as_json(found)["gates"] == [{"reason": "ErrorBudgetBurning", "message": block.message, "actions": ["NewRevision"]}]
    assert block.message in re.sub(r"\\(.)", r"\1", report.as_markdown(found))


def test_an_empty_plan_says_so() -> None:
    assert "Nothing to do" in lines(plan())
    assert plan().is_empty
    assert not plan(problems=WHOLE.problems).is_empty


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_the_json_is_as_documented() -> None:
    found = report.as_json(WHOLE)
    assert json.loads(json.dumps(found)) == found
    assert found["counts"] == {"create": 1, "update": 1, "repair": 0, "recreate": 0, "prune": 3, "held": 3, "problems": 1}
    assert found["changes"][1] == {
        "action": "update",
        "object": "ConfigMap/web/cm",
        "file": "a.yaml",
        "document": 2,
        "moreFields": 3,
        "fields": [
            {"path": "/data/a", "shown": "/data/a", "before": "1", "after": "2", "manager": "kubectl", "since": "2026-11-21T12:00:00Z"}
        ],
    }
    assert found["kept"] == [{"object": "PersistentVolumeClaim/web/data", "by": "spec.prune.protectedKinds"}]
    assert found["gates"] == [{"reason": "WindowClosed", "message": "Prune is closed until later", "actions": ["Prune"]}]


# -- Markdown ----------------------------------------------------------------------------------------------------------


def test_the_markdown_is_a_table_and_folded_details() -> None:
    found = report.as_markdown(WHOLE)
    assert "| update | `ConfigMap/web/cm` | 4 | `a.yaml` |" in found
    assert "- 1\n+ 2" in found
    assert found.count("<details>") == found.count("</details>") == 2


def test_a_large_plan_still_fits_a_comment_and_says_what_is_missing() -> None:
    many = [Entry(ref(f"cm{i}"), Action.UPDATE, UPDATE.fields) for i in range(5000)]
    found = report.as_markdown(plan(*many))
    assert len(found) < 65_536
    assert re.search(r"and \d+ more", found)
    assert re.search(r"details of \d+ more objects are left out", found)


@given(st.text(alphabet="`~|<>@#*_[]()\\\n-+ab ", max_size=60), st.text(alphabet="`~|<>@#\nab ", max_size=60))
def test_foreign_text_cannot_leave_its_place_in_markdown(value: str, note: str) -> None:
    field = fields.changed(CONFIG_MAP, FieldChange("/data/a", "/data/a", Kind.CHANGED, "x\n", value, "", ""))
    problem = Problem(note, 1, note, "Invalid", note)
    found = report.as_markdown(plan(Entry(ref("cm"), Action.UPDATE, (field,), note=note), problems=(problem,)))
    fences = re.findall(r"^(`{3,})(?:diff)?$", found, re.MULTILINE)
    assert len(fences) == 2
    assert fences[0] == fences[1]
    outside = re.sub(r"^(`{3,})diff$.*^\1$", "", found, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"<[^>\n]*>", re.sub(r"\\.|`[^`\n]*`", "", outside)) == [
        "<details>",
        "<summary>",
        "<code>",
        "</code>",
        "</summary>",
        "</details>",
    ]
    assert not re.search(r"@\w", re.sub(r"`[^`\n]*`", "", outside))


def test_every_row_of_the_table_has_its_five_cells() -> None:
    names = plan(Entry(ref("a|b`c"), Action.CREATE, file="x|y.yaml"), problems=(Problem("a|b", 1, "c|d", "Invalid", "e|f"),))
    rows = [line for line in report.as_markdown(names).splitlines() if line.startswith("| ") and "object" not in line]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6, 6]


# -- what counts as vanished -------------------------------------------------------------------------------------------

NOTHING = Desired()
THERE = {
    "lastAppliedRevision": f"main@sha1:{COMMIT}",
    "lastAttemptedRevision": f"main@sha1:{COMMIT}",
    "inventory": {"objects": 1, "digest": NOTHING.digest},
}


@pytest.mark.parametrize(
    ("status", "is_applied"),
    [
        pytest.param(THERE, True, id="all-of-it"),
        pytest.param({**THERE, "lastAttemptedRevision": f"main@sha1:{'9' * 40}"}, False, id="a-newer-one-is-under-way"),
        pytest.param({**THERE, "inventory": {"digest": "sha256:0"}}, False, id="others-were"),
        pytest.param({"inventory": THERE["inventory"]}, False, id="nothing-ever"),
        pytest.param({}, False, id="no-status"),
    ],
)
def test_what_is_absent_vanished_only_if_all_of_it_was_applied(status: dict[str, Any], is_applied: bool) -> None:
    assert compare.is_applied(status, NOTHING) is is_applied
