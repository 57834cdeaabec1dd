"""Notices at an Alertmanager: as it takes them, keeps them and routes them.

Aspects: an alert fires as long as its incident is open, also over flaps and restarts, and not longer · one vocabulary with our alert rules · where the documented routes
lead · what the documented inhibitions silence · the documented example.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
import yaml

from cvstate_operator.api.notices import NoticeSeverity
from cvstate_operator.plan.incident_course import Phase
from cvstate_operator.plan.incidents import Key, Notice
from cvstate_operator.telemetry import notice_bodies, notice_labels
from cvstate_operator.telemetry.notice_bodies import KEPT_SECONDS
from tests.support.alert_rules import ALERTS, ROOT
from tests.unit.plan.test_incidents import DAY, HOUR, MINUTE, START, Life, target, wrong

KEEPING: Final = target(kind="Alertmanager")
PAGE: Final = ROOT / "docs" / "alerts.md"
Alert = dict[str, Any]


class Alertmanager:
    """Keeps alerts as Alertmanager does. Source: its 0.34, `provider/mem/mem.go`, Put; `alert/alert.go`, Merge, of alerts that come with their end."""

    def __init__(self) -> None:
        self._kept: dict[frozenset[tuple[str, str]], tuple[datetime, datetime]] = {}
        """Start and end by labels."""

    def post(self, content: bytes, now: datetime) -> None:
        for alert in json.loads(content):
            start, end = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
            assert start <= end, "it would be refused"
            labels = frozenset(alert["labels"].items())
            if known := self._kept.get(labels):
                old_start, old_end = known
                if old_start < end < old_end or old_start < start < old_end:
                    start = min(start, old_start)
                    is_over, was_over = end <= now, old_end <= now
                    if was_over or not is_over:
                        end = max(end, old_end)
            self._kept[labels] = start, end

    def firing(self, now: datetime) -> int:
        return sum(end > now for _, end in self._kept.values())


def replayed(sent: Iterable[tuple[float, Notice]], until: float) -> tuple[list[float], list[float]]:
    """When an alert began to fire at the Alertmanager, and when it ended there, to the second it was looked at."""
    there, begins, ends, was = Alertmanager(), list[float](), list[float](), 0
    posts = list(sent)
    moments = sorted({at for at, _ in posts} | set(range(0, int(until), 10)))
    for moment in moments:
        now = START + timedelta(seconds=moment)
        while posts and posts[0][0] <= moment:
            there.post(notice_bodies.body(KEEPING, [posts.pop(0)[1]], now), now)
        found = there.firing(now)
        assert found <= 1
        (begins if found > was else ends if found < was else []).append(moment)
        was = found
    return begins, ends


# -- kept there ---------------------------------------------------------------------------------------------------------


def test_an_alert_fires_as_long_as_its_incident_is_open_and_not_longer() -> None:
    life = Life(KEEPING)
    life.wait(10)
    life.trouble(5 * HOUR)
    life.well(HOUR)
    assert replayed(life.sent, life.now) == ([70.0], [10 + 5 * HOUR + MINUTE])


def test_what_flaps_is_one_alert_there_as_it_is_one_incident_here() -> None:
    life = Life(KEEPING)
    for _ in range(40):
        life.trouble(20 * MINUTE)
        life.well(40 * MINUTE)
    life.well(2 * DAY)
    begins, ends = replayed(life.sent, life.now)
    assert (len(begins), len(ends)) == (2, 2)
    assert ends[-1] == pytest.approx(39 * HOUR + 20 * MINUTE + HOUR, abs=1)


def test_a_restart_and_another_replica_end_no_alert() -> None:
    here = Life(KEEPING)
    here.trouble(3 * HOUR)
    there = Life(KEEPING, at=here.now + KEPT_SECONDS - 1 - 60, first=wrong())
    there.wait(HOUR)
    begins, ends = replayed([*here.sent, *there.sent], there.now)
    assert (begins, ends) == ([60.0], [])


def test_an_operator_that_is_gone_leaves_no_alert_behind() -> None:
    life = Life(KEEPING)
    life.trouble(HOUR)
    _, ends = replayed(life.sent, life.now + HOUR)
    assert ends == [pytest.approx(HOUR + KEPT_SECONDS, abs=10)]


# -- routed there -------------------------------------------------------------------------------------------------------


def matches(matchers: Iterable[str], labels: Mapping[str, str]) -> bool:
    """Whether all of them say yes. Source: Alertmanager, "Configuration", matchers: a label that is absent is an empty one, a regular expression matches the whole."""
    for text in matchers:
        found = re.fullmatch(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*)"', text)
        assert found, f"{text} is no matcher"
        name, operator, value = found.groups()
        given = labels.get(name, "")
        is_equal = re.fullmatch(value, given) is not None if "~" in operator else given == value
        if is_equal is operator.startswith("!"):
            return False
    return True


def routed(route: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Receiver and grouping of an alert: the deepest route that matches, the first of several."""
    for child in route.get("routes", ()):
        assert not child.get("continue"), "not evaluated here"
        if matches(child["matchers"], labels):
            return routed({"receiver": route["receiver"], "group_by": route["group_by"], **child}, labels)
    return route["receiver"], tuple(route["group_by"])


def silenced_by(rules: Sequence[Mapping[str, Any]], source: Mapping[str, str], target: Mapping[str, str]) -> bool:
    return any(
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(name) == target.get(name) for name in rule.get("equal", ()))
        for rule in rules
    )


@pytest.fixture(scope="module")
def documented() -> Mapping[str, Any]:
    """The configuration for Alertmanager that docs/alerts.md tells people to take."""
    (found,) = re.findall(r"```yaml\n(route:.*?)```", PAGE.read_text(), re.DOTALL)
    return yaml.safe_load(found)


def alert(severity: NoticeSeverity, reason: str = "Degraded", name: str = "web") -> Alert:
    one = Notice("ops", Phase.OPENED, Key("shop", name, reason), severity, "text", START, None, START)
    (found,) = json.loads(notice_bodies.body(KEEPING, [one], START))
    return dict(found["labels"])


@pytest.mark.parametrize(
    ("severity", "reason", "receiver", "group_by"),
    [
        pytest.param(NoticeSeverity.CRITICAL, "Degraded", "pager", ("namespace", "name"), id="critical"),
        pytest.param(NoticeSeverity.WARNING, "PruneHeld", "tickets", ("namespace", "name"), id="warning"),
        pytest.param(NoticeSeverity.INFO, "AwaitingApproval", "tickets", ("namespace", "name"), id="info"),
        pytest.param(NoticeSeverity.WARNING, "FetchFailed", "tickets", ("alertname",), id="a source is one message for all"),
        pytest.param(NoticeSeverity.CRITICAL, "TargetUnreachable", "pager", ("alertname",), id="so is a cluster that is away"),
    ],
)
def test_the_documented_routes_lead_an_incident_where_they_lead_an_alert(
    documented: Mapping[str, Any], severity: NoticeSeverity, reason: str, receiver: str, group_by: tuple[str, ...]
) -> None:
    assert routed(documented["route"], alert(severity, reason)) == (receiver, group_by)


@pytest.mark.parametrize("name", ALERTS)
def test_the_documented_routes_lead_each_alert_to_whom_its_severity_says(documented: Mapping[str, Any], name: str) -> None:
    labels = {"alertname": name, **ALERTS[name]["labels"]}
    assert routed(documented["route"], labels)[0] == {"page": "pager", "ticket": "tickets"}[labels["severity"]]


def test_every_receiver_of_a_documented_route_is_there(documented: Mapping[str, Any]) -> None:
    def named(route: Mapping[str, Any]) -> set[str]:
        return {route["receiver"]}.union(*(named({"receiver": route["receiver"], **child}) for child in route.get("routes", ())))

    assert named(documented["route"]) == {one["name"] for one in documented["receivers"]}


def test_a_page_silences_the_tickets_of_its_own_clusterstate_alone(documented: Mapping[str, Any]) -> None:
    rules, page = documented["inhibit_rules"], alert(NoticeSeverity.CRITICAL)
    assert silenced_by(rules, page, alert(NoticeSeverity.WARNING, "PruneHeld"))
    assert not silenced_by(rules, page, alert(NoticeSeverity.WARNING, "PruneHeld", name="other"))
    assert not silenced_by(rules, page, alert(NoticeSeverity.CRITICAL, "SignalBreached"))


def test_incidents_and_alert_rules_have_one_vocabulary() -> None:
    rules = [rule["labels"] for rule in ALERTS.values()]
    assert set(notice_labels.SEVERITIES) == set(NoticeSeverity)
    assert set(notice_labels.SEVERITIES.values()) == {labels["severity"] for labels in rules}
    reasons = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "reasons.md").read_text(), re.MULTILINE)
    assert {notice_labels.area(reason) for reason in reasons} == {labels["area"] for labels in rules}


def test_what_is_wrong_with_a_source_is_of_the_area_source() -> None:
    (section,) = re.findall(r"^## The source\n(.*?)^## ", (ROOT / "docs" / "reasons.md").read_text(), re.MULTILINE | re.DOTALL)
    reasons = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) - {"ReferenceMissing"}  # of values and variables too
    assert reasons
    assert {notice_labels.area(reason) for reason in reasons} == {"source"}


def test_the_documented_alert_is_the_one_that_is_sent() -> None:
    (found,) = re.findall(r"```yaml\n(labels: \{alertname: CvstateIncident.*?)```", (ROOT / "docs" / "notices.md").read_text(), re.DOTALL)
    told = yaml.safe_load(found)
    started = datetime.fromisoformat("2026-05-01T12:00:00.000Z")
    one = Notice(
        "ops", Phase.OPENED, Key("team-a", "platform", "Degraded"), NoticeSeverity.CRITICAL, told["annotations"]["description"], started, None, started,
        revision=told["annotations"]["revision"],
    )  # fmt: skip
    (sent,) = json.loads(
        notice_bodies.body(target(kind="Alertmanager", labels={"cluster": "prod-eu"}), [one], started + timedelta(seconds=299))
    )
    assert {name: sent[name] for name in told} == told
