"""Bodies of notices: what a target of each type is sent. Pure. Formats of docs/notices.md.

What stands in a message comes from Git, from the cluster or from people (RELIABILITY C66): it is data of JSON, and in chats a block of code, where nothing is
a link, a mention or a mark-up.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

import orjson

from cvstate_operator import __version__
from cvstate_operator.api.notices import NoticeTarget, NoticeType
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.incident_course import KEEP_SECONDS, Phase
from cvstate_operator.plan.incidents import Notice
from cvstate_operator.telemetry import notice_labels

SCHEMA_VERSION: Final = "1"
"""Of the webhook's JSON. Fields may be added to it; what is there keeps its meaning."""
SIGNATURE_HEADER: Final = "X-Cvstate-Signature"
ALERTS_PATH: Final = "/api/v2/alerts"
"""Source: Alertmanager, OpenAPI of its API v2, postAlerts."""
ALERT_NAME: Final = "CvstateIncident"
KEPT_SECONDS: Final = 4 * KEEP_SECONDS
"""How long an alert counts that is not sent again: four times the pause between two sendings, so that three may fail. It is sent with its end, so Alertmanager's
own resolve_timeout, which is for alerts without one, has no say. A replica takes over within 20 s. Source: Prometheus, `rules/manager.go`, SendAlerts."""
REASONS_URL: Final = "https://github.com/cvstate/cvstate-operator/blob/main/docs/reasons.md"
"""Where each reason is explained."""

MESSAGE_CHARACTERS: Final = 1000
"""Longest message: a person reads less, and the whole is in the condition."""
CHAT_CHARACTERS: Final = 400
"""Longest message in a chat. Even if each has to be escaped, a block stays below the 3,000 characters that Slack takes, and LISTED of them below 40,000."""
CHAT_LABEL_CHARACTERS: Final = 100
"""Of all labels together in a chat."""
LISTED: Final = 10
"""Incidents that one chat message spells out; the others are counted."""

_BATCH: Final = {NoticeType.WEBHOOK: 100, NoticeType.SLACK: 10_000, NoticeType.ALERTMANAGER: 256}
"""Most notices of one request. In a chat all that come together are one message; 256 as Prometheus sends (--alertmanager.notification-batch-size)."""


def most(kind: NoticeType) -> int:
    """How many notices one request to a target of this type may hold."""
    return _BATCH[kind]


def body(target: NoticeTarget, notices: Sequence[Notice], now: datetime) -> bytes:
    """What is posted, as JSON.

    Args:
        target: where to.
        notices: one or more, at most `most(target.type)`.
        now: UTC.
    """
    match target.type:
        case NoticeType.WEBHOOK:
            return orjson.dumps(_webhook(target, notices, now))
        case NoticeType.SLACK:
            return orjson.dumps(_slack(target, notices))
        case NoticeType.ALERTMANAGER:
            return orjson.dumps([_alert(target, one, now) for one in notices])
        case _:
            assert_never(target.type)


def signature(key: bytes, sent: bytes) -> str:
    """Value of SIGNATURE_HEADER: the HMAC-SHA256 of the body, as GitHub writes it."""
    return "sha256=" + hmac.new(key, sent, hashlib.sha256).hexdigest()


# -- our own --------------------------------------------------------------------------------------------------------------


def _webhook(target: NoticeTarget, notices: Iterable[Notice], now: datetime) -> dict[str, Any]:
    return {
        "version": SCHEMA_VERSION,
        "sender": f"cvstate-operator/{__version__}",
        "target": target.name,
        "labels": target.labels,
        "sentAt": _time(now),
        "notices": [_told(one) for one in notices],
    }


def _told(notice: Notice) -> dict[str, Any]:
    found = {
        "incident": str(notice.key),
        "phase": notice.phase.value,
        "namespace": notice.key.namespace,
        "name": notice.key.name,
        "reason": notice.key.reason,
        "severity": notice.severity.value,
        "message": one_line(notice.message, MESSAGE_CHARACTERS),
        "startedAt": _time(notice.started_at),
        "endedAt": _time(notice.ended_at) if notice.ended_at else None,
        "decidedAt": _time(notice.at),
        "returns": notice.returns,
        "flaps": notice.flaps,
        "revision": notice.revision or None,
        "correlationID": notice.correlation_id or None,
    }
    return {name: value for name, value in found.items() if value is not None}


# -- Alertmanager ---------------------------------------------------------------------------------------------------------


def _alert(target: NoticeTarget, notice: Notice, now: datetime) -> dict[str, Any]:
    ends_at = notice.ended_at if notice.phase is Phase.RESOLVED and notice.ended_at else now + timedelta(seconds=KEPT_SECONDS)
    annotations = {
        "summary": f"ClusterState {notice.key.namespace}/{notice.key.name}: {notice.key.reason}",
        "description": one_line(notice.message, MESSAGE_CHARACTERS),
        "incident_severity": notice.severity.value,
        "flaps": str(notice.flaps or ""),
        "revision": notice.revision,
        "correlation_id": notice.correlation_id,
    }
    return {
        "labels": {
            **target.labels,
            "alertname": ALERT_NAME,
            "namespace": notice.key.namespace,
            "name": notice.key.name,
            "reason": notice.key.reason,
            "severity": notice_labels.SEVERITIES[notice.severity],
            "area": notice_labels.area(notice.key.reason),
        },
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _time(notice.started_at),
        "endsAt": _time(max(ends_at, notice.started_at)),
        "generatorURL": REASONS_URL,
    }


# -- chats ----------------------------------------------------------------------------------------------------------------


def _slack(target: NoticeTarget, notices: Sequence[Notice]) -> dict[str, Any]:
    ordered = sorted(notices, key=lambda one: (one.phase is Phase.RESOLVED, -one.severity.rank, one.key))
    lines = [_line(one, target.labels) for one in ordered[:LISTED]]
    if rest := ordered[LISTED:]:
        counts = Counter((one.phase.value, one.key.reason) for one in rest)
        named = ", ".join(f"{number} × {reason} {phase}" for (phase, reason), number in sorted(counts.items()))
        lines.append(f"and {len(rest)} more: {named}")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": line}} for line in lines]
    return {"text": "\n".join(lines), "blocks": blocks}


def _line(notice: Notice, labels: Mapping[str, str]) -> str:
    """One incident: what, where, and the message as code, in which a chat looks for nothing."""
    named = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    where = f" · {_escaped(one_line(named, CHAT_LABEL_CHARACTERS))}" if named else ""
    what = f"*{notice.phase.value.capitalize()}* · {notice.severity.value} · {notice.key.reason}"
    head = f"{what} · `{notice.key.namespace}/{notice.key.name}`{where}{_again(notice)}"
    return f"{head}\n```{_escaped(one_line(notice.message, CHAT_CHARACTERS))}```"


def _again(notice: Notice) -> str:
    """What there is to say of an incident that comes and goes; empty of one that does not."""
    match notice.phase, notice.returns, notice.flaps:
        case Phase.RESOLVED, _, _:
            return ""
        case _, returns, flaps if returns > 1 or flaps > 1:
            return f" · flapping, came back {flaps} times"
        case _, 1, _:
            return " · came back"
        case _:
            return ""


def _escaped(text: str) -> str:
    """Foreign text that stays in its block of code, and without what Slack reads as a link or a mention. Source: Slack, "Formatting text", escaping text."""
    return text.replace("`", "'").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
