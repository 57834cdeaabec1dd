"""Runbooks are whole, and in step with the alerts.

Aspects: one for each alert and no other · severity · sections · every command and every query in them can be read · no name of an installation · how it was tried · words for reasons that exist · the page of all alerts, and its Alertmanager.
tests/integration/test_alert_rules.py has kubectl itself read the commands, and runs those that only look.
"""

import re
from typing import Any, Final

import pytest
import typer
import yaml

from cvstate_operator.cli.main import app
from cvstate_operator.telemetry.notice_bodies import ALERT_NAME
from tests.support.alert_rules import ADDRESS, ALERTS, RECORDS, ROOT, Runbook, commands, runbooks, selectors
from tests.unit.deploy.test_alert_rules import METRICS, reasons_in

SECTIONS: Final = ["Meaning", "Impact", "Diagnose", "Mend"]
PAGE: Final = (ROOT / "docs" / "alerts.md").read_text()
REASONS: Final = (ROOT / "docs" / "reasons.md").read_text()
FOLLOWED: Final = (ROOT / "tests" / "e2e" / "test_runbooks.py").read_text()
KUBECTL: Final = {"annotate", "apply", "auth", "create", "delete", "events", "get", "logs", "patch", "rollout", "top", "wait"}
OTHERS: Final = {"git", "head", "true"}
each = pytest.mark.parametrize("runbook", runbooks(), ids=lambda runbook: runbook.name)


def alertmanager() -> dict[str, Any]:
    """The example of the page."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (found,) = (parsed for parsed in map(yaml.safe_load, blocks) if "route" in parsed)
    return dict(found)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert sorted(runbook.name for runbook in runbooks()) == sorted(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_its_runbook(name: str) -> None:
    assert ALERTS[name]["annotations"]["runbook_url"] == ADDRESS.format(name)


@each
def test_a_runbook_names_its_alert_and_says_how_loud_it_is(runbook: Runbook) -> None:
    severity = ALERTS[runbook.name]["labels"]["severity"].capitalize()
    assert runbook.head.startswith(f"# {runbook.name}\n\n{severity}. ")


@each
def test_a_runbook_says_what_it_means_whom_it_concerns_where_to_look_and_what_to_do(runbook: Runbook) -> None:
    assert list(runbook.sections) == SECTIONS
    assert all(len(text.split()) > 15 for text in runbook.sections.values())
    assert runbook.blocks("sh", "Diagnose")
    assert runbook.blocks("sh", "Mend") or runbook.blocks("promql", "Mend")


@each
def test_an_alert_about_a_clusterstate_has_a_runbook_that_begins_with_its_labels(runbook: Runbook) -> None:
    is_owned = ALERTS[runbook.name]["labels"]["area"] != "operator"
    assert runbook.lines("Diagnose")[0].startswith("NAMESPACE=team-a NAME=shop ") == is_owned or not is_owned


@each
def test_a_runbook_uses_no_name_that_neither_its_alert_nor_a_line_before_gives(runbook: Runbook) -> None:
    """A shell would take an empty word in its place: of another ClusterState, or of none."""
    for section in ("Diagnose", "Mend"):
        for block in runbook.blocks("sh", section):
            if re.search(r"\$(NAME|NAMESPACE)\b", block) and ALERTS[runbook.name]["labels"]["area"] == "operator":
                assert block.startswith("NAMESPACE=team-a NAME=shop    # one "), block


@each
def test_what_is_looked_at_changes_nothing(runbook: Runbook) -> None:
    """Who is woken at night copies these lines before thinking."""
    for line in runbook.lines("Diagnose"):
        for program, verb, *_ in (command for command in commands(line) if command[0] in ("kubectl", "cvstate")):
            assert verb in ("get", "logs", "events", "top", "auth", "status", "tree", "diff", "plan", "rollback", "stop"), line
            assert (program, verb) != ("cvstate", "rollback") or "--list" in line
            assert (program, verb) != ("cvstate", "stop") or "--status" in line


@each
def test_every_command_in_a_runbook_can_be_read(runbook: Runbook) -> None:
    lines = runbook.lines()
    assert lines
    for line in lines:
        for program, *arguments in commands(line):
            match program:
                case "cvstate":
                    verb, *rest = arguments
                    group = typer.main.get_command(app)
                    context = typer.Context(group)
                    command = group.get_command(context, verb)  # type: ignore[attr-defined]
                    assert command, line
                    command.make_context(verb, rest)
                case "kubectl":
                    assert arguments[0] in KUBECTL, line
                case other:
                    assert other in OTHERS, line


@each
def test_a_runbook_holds_under_whatever_name_and_in_whatever_namespace_the_operator_is_installed(runbook: Runbook) -> None:
    is_known = False
    for line in runbook.lines():
        assert not re.search(r"cvstate-system|deployment/|[a-z] cvstate-operator\b", line), line
        assert is_known or '"$OPERATOR_NAMESPACE"' not in line, line
        is_known |= line.startswith("OPERATOR_NAMESPACE=")


@each
def test_a_runbook_was_followed_and_ends_with_how(runbook: Runbook) -> None:
    assert runbook.sections["Mend"].rstrip().rpartition("\n\n")[2].startswith("Tried by `make runbooks`")
    assert f'"{runbook.name}"' in FOLLOWED


@each
def test_a_runbook_offers_no_consent_for_what_its_alert_does_not_tell(runbook: Runbook) -> None:
    left_out = reasons_in(runbook.name, "!~")
    offered = [line for line in runbook.lines("Mend") if line.startswith("cvstate approve")]
    assert not [line for line in offered if ("ErrorBudgetBurning" if "--fix" in line else "AwaitingApproval") in left_out]


@each
def test_every_query_in_a_runbook_asks_for_what_exists(runbook: Runbook) -> None:
    for query in runbook.queries():
        for found in selectors(query):
            assert found.name in METRICS or found.name in RECORDS, query


@each
def test_every_reason_in_a_table_of_a_runbook_is_one(runbook: Runbook) -> None:
    """The first column of a table with this head holds words of conditions; a word that nothing says any more would be looked for in vain."""
    for table in re.findall(
        r"^\| (?:reason|reason of Ready|result|state|gap) \|.*\n\|[-|]+\n((?:\|.*\n)+)", "".join(runbook.sections.values()), re.M
    ):
        for row in table.splitlines():
            for word in re.findall(r"`([A-Z]\w+)`", row.split("|")[1]):
                assert f"`{word}`" in REASONS, row


@pytest.mark.parametrize("name", ALERTS)
def test_the_page_of_all_alerts_has_a_row_with_the_severity(name: str) -> None:
    assert f"| [{name}](runbooks/{name}.md) | {ALERTS[name]['labels']['severity']} | " in PAGE


def test_the_page_says_how_many_there_are() -> None:
    assert len(ALERTS) == 30
    assert "Thirty alerts" in PAGE
    assert set(re.findall(r"\bCvstate\w+", PAGE)) - {ALERT_NAME} == set(ALERTS)


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_recorded_is_used(name: str) -> None:
    """By another rule, a runbook or the page."""
    used = [rule["expr"] for rule in (*ALERTS.values(), *RECORDS.values()) if rule.get("record") != name]
    queries = [query for runbook in runbooks() for query in runbook.queries()]
    assert any(name in text for text in (*used, *queries, PAGE))


def test_what_rules_are_said_to_ask_for_they_ask_for() -> None:
    prose = " ".join(PAGE.split())
    (told,) = re.findall(
        r"rules ask since when something is not as it should be \((.*?)\), and the operator itself says what is overdue \((.*?)\)", prose
    )
    asked = " ".join(rule["expr"] for rule in (*ALERTS.values(), *RECORDS.values()))
    assert [name for name in re.findall(r"`(\w+)`", " ".join(told)) if name not in asked] == []


def test_every_reason_that_burns_the_budget_is_on_the_page() -> None:
    (told,) = re.findall(r"\*\*What fails\*\*.*?: (.*?)\.\n", PAGE, flags=re.DOTALL)
    (matched,) = re.findall(r'reason=~"(\S+)"', RECORDS["cvstate:reconcile_failing:ratio"]["expr"])
    assert set(re.findall(r"`(\w+)`", told)) == set(matched.split("|"))


def test_the_example_for_alertmanager_routes_to_receivers_it_has_and_speaks_of_alerts_that_exist() -> None:
    found = alertmanager()
    receivers = {one["name"] for one in found["receivers"]}
    intervals = {one["name"] for one in found["time_intervals"]}
    pending = [found["route"]]
    while pending:
        route = pending.pop()
        pending += route.get("routes", [])
        assert route.get("receiver", "pager") in receivers
        assert set(route.get("active_time_intervals", ())) <= intervals
    for matcher in re.findall(r"alertname (?:=|=~) \"([^\"]+)\"", yaml.safe_dump(found)):
        for name in matcher.split("|"):
            assert name == "Cvstate.+" or name in ALERTS
