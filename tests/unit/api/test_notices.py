"""Notice targets.

Aspects: what a target may say, and its defaults · what is refused, and how it is told · which namespaces it takes · URLs · nothing secret in a message.
"""

from typing import Any

import pytest

from cvstate_operator.api.notices import MAX_TARGETS, MuteInWindows, NoticeSeverity, NoticeTarget, NoticeType, parse_targets, url_fault
from cvstate_operator.errors import SettingsError

HOOK = {"name": "ops", "type": "Webhook", "url": "https://hooks.example.com/cvstate"}


def target(**more: Any) -> NoticeTarget:
    (found,) = parse_targets([{**HOOK, **more}])
    return found


def test_a_target_needs_a_name_a_type_and_a_url() -> None:
    found = target()
    assert (found.min_duration, found.repeat_interval, found.timeout) == ("1m", "24h", "10s")
    assert found.severities == tuple(NoticeSeverity)
    assert found.mute_in_windows is MuteInWindows.CHANGES
    assert (found.namespaces, found.labels) == ((), {})


@pytest.mark.parametrize("raw", [None, [], ()])
def test_no_targets_are_fine(raw: Any) -> None:
    assert parse_targets(raw) == ()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param({"url": None}, "notices[0]: set url or urlFile", id="no-url"),
        pytest.param({"urlFile": "/etc/x"}, "notices[0]: set url or urlFile", id="two-urls"),
        pytest.param({"url": "ftp://x/y"}, "notices[0].url: does not match", id="no-http"),
        pytest.param({"url": "https://me:pw@x/y"}, "headersFile", id="a-password-in-the-url"),
        pytest.param({"urlFile": "hooks/slack", "url": None}, "notices[0].urlFile: does not match", id="a-relative-file"),
        pytest.param({"name": "Ops"}, "notices[0].name: does not match", id="a-name-in-capitals"),
        pytest.param({"type": "Mail"}, "notices[0].type: Input should be 'Webhook', 'Slack' or 'Alertmanager'", id="an-unknown-type"),
        pytest.param({"type": "Slack", "secretFile": "/etc/key"}, "secretFile signs requests of type Webhook only", id="a-key-for-slack"),
        pytest.param({"minDuration": "soon"}, "notices[0].minDuration", id="no-duration"),
        pytest.param({"repeatInterval": "1m"}, "notices[0].repeatInterval: must be 5m or longer", id="a-reminder-a-minute"),
        pytest.param({"timeout": "0s"}, "notices[0].timeout", id="no-time-at-all"),
        pytest.param({"severities": []}, "notices[0].severities", id="no-severity"),
        pytest.param({"severities": ["High"]}, "notices[0].severities[0]", id="a-severity-of-drift"),
        pytest.param({"namespaces": ["*-a"]}, "notices[0].namespaces[0]", id="a-star-in-front"),
        pytest.param({"labels": {"severity": "x"}}, "severity is a label that has a meaning already", id="a-taken-label"),
        pytest.param({"labels": {"a-b": "x"}}, "notices[0].labels", id="no-label-name"),
        pytest.param({"minimumDuration": "1m"}, "there is no such field; there are name, type, url", id="a-typing-error"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        target(**more)
    assert told in caught.value.message
    assert caught.value.message.isprintable()


def test_all_faults_are_told_together() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_targets([{**HOOK, "minDuration": "x"}, {**HOOK, "name": "b", "timeout": "x"}])
    assert "notices[0].minDuration" in caught.value.message
    assert "notices[1].timeout" in caught.value.message


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="two targets are called ops"):
        parse_targets([HOOK, HOOK])


def test_there_is_a_limit_to_targets() -> None:
    many = [{**HOOK, "name": f"t{number}"} for number in range(MAX_TARGETS + 1)]
    assert len(parse_targets(many[1:])) == MAX_TARGETS
    with pytest.raises(SettingsError):
        parse_targets(many)


@pytest.mark.parametrize("raw", [{"name": "x"}, "https://x", 5, [None], ["x"]])
def test_something_else_than_a_list_of_targets_is_refused(raw: Any) -> None:
    with pytest.raises(SettingsError, match="notices"):
        parse_targets(raw)


def test_a_url_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        target(url="https://me:hunter2@hooks.example.com/T0/s3cret")
    assert "hunter2" not in caught.value.message
    assert "s3cret" not in caught.value.message
    assert "s3cret" not in repr(target(url="https://hooks.example.com/T0/s3cret"))


@pytest.mark.parametrize(
    ("namespaces", "namespace", "is_taken"),
    [
        pytest.param([], "any", True, id="all-by-default"),
        pytest.param(["team-a"], "team-a", True, id="by-name"),
        pytest.param(["team-a"], "team-a-2", False, id="a-name-is-no-prefix"),
        pytest.param(["team-*"], "team-a", True, id="by-prefix"),
        pytest.param(["team-*"], "steam-a", False, id="only-from-its-beginning"),
        pytest.param(["x", "*"], "team-a", True, id="a-star-alone"),
    ],
)
def test_a_target_takes_the_namespaces_it_names(namespaces: list[str], namespace: str, is_taken: bool) -> None:
    assert target(namespaces=namespaces).takes(namespace) is is_taken


@pytest.mark.parametrize(
    ("url", "kind", "is_fine"),
    [
        pytest.param("https://hooks.slack.com/services/T/B/x", NoticeType.SLACK, True, id="slack"),
        pytest.param("http://receiver.tools.svc:8080/?team=a", NoticeType.WEBHOOK, True, id="a-query"),
        pytest.param("http://[fd00::1]:9093", NoticeType.ALERTMANAGER, True, id="ipv6"),
        pytest.param("https://am.example.com/prefix/", NoticeType.ALERTMANAGER, True, id="a-prefix"),
        pytest.param("https://am.example.com/api/v2/alerts", NoticeType.ALERTMANAGER, False, id="the-path-of-the-api"),
        pytest.param("https://am.example.com/?x=1", NoticeType.ALERTMANAGER, False, id="a-query-before-the-path"),
        pytest.param("https://x/#a", NoticeType.WEBHOOK, False, id="a-fragment"),
        pytest.param("https://a@x/", NoticeType.WEBHOOK, False, id="a-user"),
        pytest.param("https://x/@b", NoticeType.WEBHOOK, True, id="an-at-in-the-path"),
        pytest.param("https://x/\x1b", NoticeType.WEBHOOK, False, id="a-control-character"),
        pytest.param("x", NoticeType.WEBHOOK, False, id="nothing-like-it"),
    ],
)
def test_urls(url: str, kind: NoticeType, is_fine: bool) -> None:
    assert (url_fault(url, kind) == "") is is_fine
