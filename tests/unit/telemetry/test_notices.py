"""Notices, against receivers on the loopback interface.

Aspects: bodies of each type, and what is foreign in them · signatures · what happens together is one request · what a target away for long is told · failures by
status: again, later, never · Retry-After · files: read anew, wrong, secret · addresses · TLS · other targets · the end · what is counted and logged.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cvstate_operator import errors
from cvstate_operator.api.notices import NoticeSeverity, NoticeTarget, parse_targets
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.plan import backoff
from cvstate_operator.plan.incident_course import Phase
from cvstate_operator.plan.incidents import Key, Notice
from cvstate_operator.telemetry import notice_bodies, notice_files
from cvstate_operator.telemetry.notice_bodies import LISTED
from cvstate_operator.telemetry.notice_sender import DROPPED, FAILED, MAX_WAITING, Sender
from cvstate_operator.telemetry.notices import Notices
from tests.support.credentials import Authority, server_tls
from tests.unit.plan.test_troubles import status
from tests.unit.telemetry.bad_servers import serving

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LOCAL = AddressPolicy(insecure=True, flag="--allow-notice-host")
STRICT = AddressPolicy(flag="--allow-notice-host")
ODD = '<!channel> `rm -rf` ${jndi:ldap://x} {{ .x }} %s "quoted" & \x1b[31mred <script>'


def target(url: str = "https://example.com", kind: str = "Webhook", **more: Any) -> NoticeTarget:
    address = {} if "urlFile" in more else {"url": url}
    (found,) = parse_targets([{"name": "ops", "type": kind, "minDuration": "0s", **address, **more}])
    return found


def notice(name: str = "web", phase: Phase = Phase.OPENED, **more: Any) -> Notice:
    ended_at = NOW if phase is Phase.RESOLVED else None
    made = Notice(
        "ops", phase, Key("shop", name, "Degraded"), NoticeSeverity.CRITICAL, "apps/Deployment/web: crash loop", NOW, ended_at, NOW
    )
    return replace(made, **more)


@dataclass
class Receiver:
    """Takes whatever is posted, and answers as it is told to."""

    url: str = ""
    answers: list[web.Response] = field(default_factory=list)
    """Each once, in order; 200 after that."""
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.posts.append((request.path_qs, dict(request.headers), await request.read()))
        self.came.set()
        await self.may_answer.wait()
        return self.answers.pop(0) if self.answers else web.Response()

    async def get(self, number: int) -> list[Any]:
        """What came, when so many requests did."""
        async with asyncio.timeout(10):
            while len(self.posts) < number:
                self.came.clear()
                await self.came.wait()
        return [json.loads(body) for _, _, body in self.posts]


@asynccontextmanager
async def receiver(*answers: web.Response, **site: Any) -> AsyncIterator[Receiver]:
    found = Receiver(answers=list(answers))
    found.may_answer.set()
    async with serving(found.handle, **site) as url:
        found.url = url
        yield found


@asynccontextmanager
async def sender(to: NoticeTarget, *, policy: AddressPolicy = LOCAL, counted: Counter[str] | None = None) -> AsyncIterator[Sender]:
    told = Counter[str]() if counted is None else counted
    made = Sender(to, policy, count=lambda result, number: told.update({result: number}), gather_seconds=0.0)
    try:
        yield made
    finally:
        await made.close(seconds=0.0)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[errors.CvstateError, int]]:
    """Retries come at once; what they were for."""
    seen: list[tuple[errors.CvstateError, int]] = []

    def pause_seconds(error: errors.CvstateError, attempt: int, *, random: float) -> float:
        seen.append((error, attempt))
        return 0.0

    monkeypatch.setattr(backoff, "pause_seconds", pause_seconds)
    return seen


# -- bodies -------------------------------------------------------------------------------------------------------------


def body(kind: str, notices: Sequence[Notice], **more: Any) -> Any:
    return json.loads(notice_bodies.body(target(kind=kind, **more), notices, NOW + timedelta(minutes=5)))


def test_a_webhook_is_told_everything() -> None:
    told = body("Webhook", [notice(revision="main@sha1:4c1", correlation_id="ab12", returns=2)], labels={"cluster": "prod"})
    assert told["version"] == "1"
    assert (told["target"], told["labels"], told["sentAt"]) == ("ops", {"cluster": "prod"}, "2026-05-01T12:05:00.000Z")
    assert told["notices"] == [
        {
            "incident": "shop/web/Degraded",
            "phase": "opened",
            "namespace": "shop",
            "name": "web",
            "reason": "Degraded",
            "severity": "Critical",
            "message": "apps/Deployment/web: crash loop",
            "startedAt": "2026-05-01T12:00:00.000Z",
            "decidedAt": "2026-05-01T12:00:00.000Z",
            "returns": 2,
            "flaps": 0,
            "revision": "main@sha1:4c1",
            "correlationID": "ab12",
        }
    ]


def test_what_is_resolved_has_an_end() -> None:
    (told,) = body("Webhook", [notice(phase=Phase.RESOLVED)])["notices"]
    assert (told["phase"], told["endedAt"]) == ("resolved", "2026-05-01T12:00:00.000Z")


def test_an_alert_is_kept_longer_than_the_pause_until_it_is_sent_again() -> None:
    (alert,) = body("Alertmanager", [notice(revision="main@sha1:4c1")], labels={"cluster": "prod"})
    assert alert["labels"] == {
        "alertname": "CvstateIncident",
        "cluster": "prod",
        "namespace": "shop",
        "name": "web",
        "reason": "Degraded",
        "severity": "page",
        "area": "vital",
    }
    assert alert["annotations"] == {
        "summary": "ClusterState shop/web: Degraded",
        "description": "apps/Deployment/web: crash loop",
        "incident_severity": "Critical",
        "revision": "main@sha1:4c1",
    }
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-05-01T12:00:00.000Z", "2026-05-01T12:09:00.000Z")
    assert alert["generatorURL"].startswith("https://")


def test_an_alert_that_is_resolved_ended_when_it_was_well() -> None:
    (alert,) = body("Alertmanager", [notice(phase=Phase.RESOLVED, ended_at=NOW + timedelta(minutes=1))])
    assert alert["endsAt"] == "2026-05-01T12:01:00.000Z"


def test_no_alert_ends_before_it_starts() -> None:
    (alert,) = body("Alertmanager", [notice(phase=Phase.RESOLVED, ended_at=NOW - timedelta(seconds=1))])
    assert alert["endsAt"] == alert["startsAt"]


def test_a_chat_reads_one_line_and_the_message_as_code() -> None:
    told = body("Slack", [notice(returns=1)], labels={"cluster": "prod"})
    assert told["text"] == "*Opened* · Critical · Degraded · `shop/web` · cluster=prod · came back\n```apps/Deployment/web: crash loop```"
    assert told["blocks"] == [{"type": "section", "text": {"type": "mrkdwn", "text": told["text"]}}]


def test_a_chat_reads_that_something_comes_and_goes_and_how_often() -> None:
    told = body("Slack", [notice(returns=2, flaps=23)])
    assert "`shop/web` · flapping, came back 23 times\n" in told["text"]
    assert "came back" not in body("Slack", [notice(phase=Phase.RESOLVED, returns=2, flaps=23)])["text"]
    (alert,) = body("Alertmanager", [notice(returns=2, flaps=23)])
    assert alert["annotations"]["flaps"] == "23"


def test_a_chat_is_told_the_worst_first_and_counts_what_it_does_not_list() -> None:
    many = [notice(f"n{number:02}", severity=NoticeSeverity.INFO) for number in range(30)]
    told = body("Slack", [notice("over", Phase.RESOLVED), *many, notice("worst")])
    assert len(told["blocks"]) == LISTED + 1
    assert "`shop/worst`" in told["blocks"][0]["text"]["text"]
    assert told["blocks"][-1]["text"]["text"] == "and 22 more: 21 × Degraded opened, 1 × Degraded resolved"


def test_a_chat_never_gets_more_than_it_takes() -> None:
    labels = {f"l{number}": "&" * 253 for number in range(16)}
    told = body("Slack", [notice("n" * 253, message="&" * 3000, key=Key("n" * 63, "n" * 253, "R" * 40))] * 50, labels=labels)
    assert len(told["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in told["blocks"])
    assert len(told["text"]) <= 40_000


def test_foreign_text_is_text_everywhere() -> None:
    (plain,) = body("Webhook", [notice(message=ODD)])["notices"]
    (alert,) = body("Alertmanager", [notice(message=ODD)])
    shown = ODD.replace("\x1b", "\\x1b")
    assert plain["message"] == alert["annotations"]["description"] == shown
    chat = body("Slack", [notice(message=ODD)])["text"]
    assert "<!" not in chat
    assert "<script>" not in chat
    assert chat.count("```") == 2
    assert chat.endswith("```")
    assert "${jndi:ldap://x} {{ .x }} %s" in chat


def test_a_signature_is_what_others_compute() -> None:
    assert notice_bodies.signature(b"key", b"body") == "sha256=" + hmac.new(b"key", b"body", hashlib.sha256).hexdigest()


# -- sending ------------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_posted_json_with_its_headers_and_a_signature(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer s3cret\n\nX-Team:  a b\n")
    (tmp_path / "key").write_text("hmac-key\n")
    files = {"headersFile": str(tmp_path / "headers"), "secretFile": str(tmp_path / "key")}
    async with receiver() as there, sender(target(f"{there.url}/in?team=a", **files)) as made:
        made.offer([notice()])
        await there.get(1)
    path, headers, content = there.posts[0]
    assert (path, headers["Content-Type"]) == ("/in?team=a", "application/json")
    assert (headers["Authorization"], headers["X-Team"]) == ("Bearer s3cret", "a b")
    assert headers["X-Cvstate-Signature"] == notice_bodies.signature(b"hmac-key", content)
    assert headers["User-Agent"].startswith("cvstate-operator/")


async def test_an_alertmanager_is_asked_at_its_api_and_a_chat_where_it_says() -> None:
    async with receiver() as there:
        for kind, path in (("Alertmanager", "/prefix/api/v2/alerts"), ("Slack", "/prefix/")):
            async with sender(target(f"{there.url}/prefix/", kind)) as made:
                made.offer([notice()])
                await there.get(1)
            assert there.posts.pop()[0] == path


async def test_what_happens_together_is_one_request() -> None:
    counted = Counter[str]()
    async with receiver() as there, sender(target(there.url), counted=counted) as made:
        made.offer([notice("a")])
        made.offer([notice("b"), notice("c", Phase.RESOLVED)])
        (told,) = await there.get(1)
        assert [one["name"] for one in told["notices"]] == ["a", "b", "c"]
        await until(lambda: counted == {"ok": 3})


async def test_a_chat_is_told_from_time_to_time_of_all_that_happened_since() -> None:
    async with receiver() as there:
        made = Sender(target(there.url, "Slack"), LOCAL, count=lambda result, number: None, gather_seconds=0.0, chat_seconds=0.3)
        made.offer([notice("a")])
        await there.get(1)
        for name in ("b", "c"):
            made.offer([notice(name)])
            await asyncio.sleep(0.02)
        _, second = await there.get(2)
        await made.close(seconds=0.0)
    assert [f"`shop/{name}`" in second["text"] for name in ("a", "b", "c")] == [False, True, True]


async def test_more_than_fits_into_one_request_follows_in_others() -> None:
    async with receiver() as there, sender(target(there.url)) as made:
        made.offer([notice(f"n{number}") for number in range(250)])
        told = await there.get(3)
    assert [len(one["notices"]) for one in told] == [100, 100, 50]
    assert len({one["name"] for each in told for one in each["notices"]}) == 250


async def until(look: Callable[[], object]) -> None:
    """Let others work until something is so."""
    async with asyncio.timeout(10):
        while not look():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(web.Response(status=500), "ServerError", id="server-error"),
        pytest.param(web.Response(status=503), "ServerError", id="unavailable"),
        pytest.param(web.Response(status=429), "Throttled", id="too-many"),
        pytest.param(web.Response(status=408), "Timeout", id="too-slow"),
        pytest.param(web.Response(status=401), "AuthFailed", id="unknown-credentials"),
        pytest.param(web.Response(status=403), "AuthFailed", id="forbidden"),
        pytest.param(web.Response(status=404), "InvalidURL", id="nothing-there"),
        pytest.param(web.Response(status=302, headers={"Location": "/other"}), "InvalidURL", id="a-redirect"),
    ],
)
async def test_what_may_pass_is_tried_again_with_the_same_notices(answer: web.Response, reason: str, hurried: list[Any]) -> None:
    counted = Counter[str]()
    async with receiver(answer) as there, sender(target(there.url), counted=counted) as made:
        made.offer([notice("a"), notice("b")])
        first, second = await there.get(2)
        await until(lambda: counted["ok"])
    assert first["notices"] == second["notices"]
    assert counted == {FAILED: 2, "ok": 2}
    assert [(error.reason, attempt) for error, attempt in hurried] == [(reason, 1)]


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_what_is_refused_for_its_content_is_given_up_and_holds_nothing_up(
    code: int, hurried: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counter[str]()
    async with receiver(web.Response(status=code, text="s3cret")) as there, sender(target(there.url), counted=counted) as made:
        made.offer([notice("a")])
        await until(lambda: counted[DROPPED])
        made.offer([notice("b")])
        told = await there.get(2)
    assert [one["notices"][0]["name"] for one in told] == ["a", "b"]
    assert (counted[DROPPED], hurried) == (1, [])
    assert "given up" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param((NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 90.0, id="a-date"),
        pytest.param((NOW - timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 0.0, id="a-date-that-is-over"),
        pytest.param("soon", None, id="nothing-to-read"),
        pytest.param("-5", None, id="negative"),
        pytest.param("9" * 400, None, id="far-too-long"),
    ],
)
async def test_a_target_that_asks_for_time_gets_it(said: str, seconds: float | None, hurried: list[Any]) -> None:
    async with receiver(web.Response(status=429, headers={"Retry-After": said})) as there:
        made = Sender(target(there.url), LOCAL, count=lambda result, number: None, gather_seconds=0.0, now=lambda: NOW)
        made.offer([notice()])
        await there.get(2)
        await made.close(seconds=0.0)
    ((error, _),) = hurried
    assert error.retry_after_seconds == seconds


async def test_a_target_that_answers_too_late_is_asked_again(hurried: list[Any]) -> None:
    counted = Counter[str]()
    async with receiver() as there, sender(target(there.url, timeout="100ms"), counted=counted) as made:
        there.may_answer.clear()
        made.offer([notice()])
        await until(lambda: counted[FAILED])
        there.may_answer.set()
        await until(lambda: counted["ok"])
    assert hurried[0][0].reason == "Timeout"


async def test_a_failure_is_logged_once_and_so_is_its_end(hurried: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counted = Counter[str]()
    failures = [web.Response(status=500) for _ in range(5)]
    async with receiver(*failures) as there, sender(target(f"{there.url}/secret-path"), counted=counted) as made:
        made.offer([notice()])
        await until(lambda: counted["ok"])
    messages = [record.message for record in caplog.records if record.name.endswith("notice_sender")]
    assert messages == ["notices not sent, trying again", "notices are taken again"]
    assert "secret-path" not in str([vars(record) for record in caplog.records if record.name.endswith("notice_sender")])


# -- what waits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phases", "sent"),
    [
        pytest.param([Phase.OPENED, Phase.UPDATED], ["opened"], id="opened-as-it-is-now"),
        pytest.param([Phase.OPENED, Phase.RESOLVED], [], id="over-before-anybody-heard-of-it"),
        pytest.param([Phase.UPDATED, Phase.RESOLVED], ["resolved"], id="what-was-known-is-over"),
        pytest.param([Phase.RESOLVED, Phase.OPENED], ["opened"], id="back-again"),
        pytest.param([Phase.UPDATED, Phase.UPDATED], ["updated"], id="as-it-is-now"),
    ],
)
async def test_who_could_not_be_reached_is_told_how_things_are(phases: list[Phase], sent: list[str], hurried: list[Any]) -> None:
    async with receiver() as there:
        gone = "http://127.0.0.1:9"  # nobody listens on discard
        async with sender(target(gone)) as made:
            made.offer([notice("first")])
            await until(lambda: hurried)
            for number, phase in enumerate(phases):
                made.offer([notice(phase=phase, message=f"message {number}")])
            made.target = target(there.url)
            (told,) = await there.get(1)
    found = [one for one in told["notices"] if one["name"] == "web"]
    assert [one["phase"] for one in found] == sent
    assert all(one["message"] == "message 1" for one in found)


async def test_the_end_of_what_a_target_may_have_heard_of_is_told(hurried: list[Any]) -> None:
    async with receiver(web.Response(status=500)) as there, sender(target(there.url)) as made:
        there.may_answer.clear()
        made.offer([notice()])
        await there.get(1)
        made.offer([notice(phase=Phase.RESOLVED)])
        there.may_answer.set()
        first, second = await there.get(2)
    assert [one["notices"][0]["phase"] for one in (first, second)] == ["opened", "resolved"]


async def test_what_ends_while_it_is_taken_in_hand_is_told_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read, may_read = notice_files.read, threading.Event()

    def slowly(*given: Any) -> notice_files.Access:
        may_read.wait(10)
        return read(*given)

    monkeypatch.setattr(notice_files, "read", slowly)
    async with receiver() as there, sender(target(there.url)) as made:
        made.offer([notice()])
        await until(lambda: made._sending.locked())
        made.offer([notice(phase=Phase.RESOLVED)])
        may_read.set()
        first, second = await there.get(2)
    assert [one["notices"][0]["phase"] for one in (first, second)] == ["opened", "resolved"]


async def test_no_more_wait_than_there_is_room_for(hurried: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    counted = Counter[str]()
    async with sender(target("http://127.0.0.1:9"), counted=counted) as made:
        made.offer([notice(f"n{number}") for number in range(MAX_WAITING + 3)])
        made.offer([notice("n0", Phase.UPDATED)])
        assert counted[DROPPED] == 3
    assert "too many wait" in caplog.text


# -- files, addresses, TLS ----------------------------------------------------------------------------------------------


async def test_a_url_and_secrets_from_files_are_read_anew_each_time(tmp_path: Path) -> None:
    url, headers = tmp_path / "url", tmp_path / "headers"
    async with receiver() as there:
        url.write_text(f"{there.url}/one\n")
        headers.write_text("Authorization: old")
        async with sender(target(urlFile=str(url), headersFile=str(headers))) as made:
            made.offer([notice("a")])
            await there.get(1)
            url.write_text(f"{there.url}/two\n")
            headers.write_text("Authorization: new")
            made.offer([notice("b")])
            await there.get(2)
    assert [(path, sent["Authorization"]) for path, sent, _ in there.posts] == [("/one", "old"), ("/two", "new")]


@pytest.mark.parametrize(
    ("option", "content", "told"),
    [
        pytest.param("urlFile", None, "urlFile cannot be read: No such file or directory", id="no-file"),
        pytest.param("urlFile", b"", "urlFile is empty", id="an-empty-file"),
        pytest.param(
            "urlFile", b"https://a.example.com/s3cret\nhttps://b", "urlFile is empty, or holds more than one line", id="two-lines"
        ),
        pytest.param("urlFile", b"hooks.example.com/s3cret", "urlFile holds a URL that is none", id="no-url"),
        pytest.param("urlFile", b"\xff\xfe", "urlFile is no text", id="no-text"),
        pytest.param("urlFile", b"x" * (notice_files.MAX_BYTES + 1), "urlFile is larger than 64 KiB", id="too-large"),
        pytest.param("headersFile", b"s3cret", "headersFile line 1 is no header", id="no-header"),
        pytest.param("headersFile", b"A: b\r\nX-Y: z\x00", "headersFile line 2 is no header", id="a-control-character"),
        pytest.param("headersFile", b"Content-Length: 5", "content-length is set by the operator itself", id="a-header-of-ours"),
        pytest.param("headersFile", b"X-Cvstate-Signature: s3cret", "x-cvstate-signature is set by the operator", id="a-made-up-signature"),
        pytest.param("headersFile", b"\n".join(b"A%d: b" % number for number in range(17)), "more than 16 headers", id="too-many"),
        pytest.param("secretFile", b" \n", "secretFile is empty", id="no-key"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_option_and_not_its_content(
    tmp_path: Path, option: str, content: bytes | None, told: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(errors.SettingsError) as caught:
        notice_files.read(target(**{option: str(file)}), LOCAL)
    assert told in caught.value.message
    assert "s3cret" not in caught.value.message
    assert caught.value.message.startswith("notice target ops: ")


@pytest.mark.parametrize(
    ("url", "policy", "told"),
    [
        pytest.param("http://169.254.169.254/latest", LOCAL, "link-local", id="the-metadata-service"),
        pytest.param("https://metadata.google.internal/", STRICT, "no server that may be asked", id="its-name"),
        pytest.param("https://kubernetes.default.svc/", STRICT, "no server that may be asked", id="the-api-server"),
        pytest.param("https://127.0.0.1:8080/", STRICT, "loopback", id="ourselves"),
        pytest.param("http://93.184.215.14/", STRICT, "can be changed on its way", id="a-public-address-in-clear"),
    ],
)
def test_a_url_leads_to_no_forbidden_address(url: str, policy: AddressPolicy, told: str) -> None:
    with pytest.raises(errors.URLNotAllowedError) as caught:
        notice_files.read(target(url), policy)
    assert told in caught.value.message


def test_an_address_in_one_number_is_refused() -> None:
    with pytest.raises(errors.SettingsError, match="four parts"):
        notice_files.read(target("http://2130706433/"), STRICT)


@pytest.mark.parametrize("option", ["headersFile", "urlFile"])
def test_nothing_secret_goes_in_clear(tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"
    file.write_text("http://receiver.tools.svc/x" if option == "urlFile" else "Authorization: x")
    to = target("http://receiver.tools.svc/x", **{option: str(file)})
    with pytest.raises(errors.URLNotAllowedError, match="in clear"):
        notice_files.read(to, STRICT)
    allowed = replace(STRICT, hosts=("receiver.tools.svc",))
    assert notice_files.read(to, allowed).origin == "http://receiver.tools.svc"


async def test_a_name_that_leads_to_a_forbidden_address_is_not_asked(monkeypatch: pytest.MonkeyPatch, hurried: list[Any]) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    counted = Counter[str]()
    async with sender(target("https://hooks.example.com/"), policy=STRICT, counted=counted) as made:
        made.offer([notice()])
        await until(lambda: counted)
        assert set(counted) == {FAILED}
    assert hurried[0][0].reason == "URLNotAllowed"


async def test_a_name_without_an_address_is_told_in_the_system_s_words(monkeypatch: pytest.MonkeyPatch, hurried: list[Any]) -> None:
    def away(*asked: object) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", away)
    async with sender(target("https://hooks.example.com/"), policy=STRICT) as made:
        made.offer([notice()])
        await until(lambda: hurried)
    error, _ = hurried[0]
    assert error.message == "https://hooks.example.com has a name that was not resolved: Temporary failure in name resolution"


async def test_a_certificate_of_the_given_authority_is_accepted_and_no_other(tmp_path: Path, hurried: list[Any]) -> None:
    ours, other = Authority(), Authority()
    file = tmp_path / "ca"
    file.write_text(other.certificate)
    counted = Counter[str]()
    site = {"ssl_context": server_tls(ours.issue("127.0.0.1"))}
    async with receiver(**site) as there, sender(target(there.url, caFile=str(file)), counted=counted) as made:
        made.offer([notice()])
        await until(lambda: counted[FAILED])
        assert there.posts == []
        file.write_text(ours.certificate)
        await until(lambda: counted["ok"])
    error, _ = hurried[0]
    assert "caFile" in error.message


async def test_an_authority_that_is_none_is_told(tmp_path: Path, hurried: list[Any]) -> None:
    file = tmp_path / "ca"
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    async with sender(target("https://127.0.0.1:9", caFile=str(file))) as made:
        made.offer([notice()])
        await until(lambda: hurried)
    error, _ = hurried[0]
    assert (error.reason, "caFile" in error.message) == ("SettingsInvalid", True)


# -- the whole ----------------------------------------------------------------------------------------------------------

WRONG = status(("SourceReady", "False", "FetchFailed"))


@asynccontextmanager
async def notices(*targets: NoticeTarget, seconds: float = 0.0) -> AsyncIterator[Notices]:
    made = Notices(targets, LOCAL, gather_seconds=0.0)
    made.start()
    try:
        yield made
    finally:
        await made.close(seconds=seconds)


async def test_a_status_becomes_a_message_and_its_end_another() -> None:
    async with receiver() as there, notices(target(there.url)) as made:
        made.observe("shop", "web", {})
        made.observe("shop", "web", WRONG, correlation_id="ab12")
        await there.get(1)
        made.observe("shop", "web", status())
        told = await there.get(2)
    found = [one for each in told for one in each["notices"]]
    assert [(one["incident"], one["phase"], one["correlationID"]) for one in found] == [
        ("shop/web/FetchFailed", "opened", "ab12"),
        ("shop/web/FetchFailed", "resolved", "ab12"),
    ]


async def test_a_minimum_duration_passes_by_itself() -> None:
    async with receiver() as there, notices(target(there.url, minDuration="50ms")) as made:
        made.observe("shop", "web", {})
        made.observe("shop", "web", WRONG)
        await there.get(1)


async def test_a_clusterstate_that_is_deleted_has_no_incidents() -> None:
    async with receiver() as there, notices(target(there.url)) as made:
        made.observe("shop", "web", {})
        made.observe("shop", "web", WRONG)
        await there.get(1)
        made.forget("shop", "web", is_gone=True)
        told = await there.get(2)
    assert told[1]["notices"][0]["phase"] == "resolved"


async def test_a_target_that_is_new_in_the_settings_is_told_and_one_that_is_gone_is_not() -> None:
    async with receiver() as first, receiver() as second, notices(target(first.url)) as made:
        made.observe("shop", "web", {})
        made.observe("shop", "web", WRONG)
        await first.get(1)
        made.replace([target(second.url).model_copy(update={"name": "new"})])
        (told,) = await second.get(1)
        assert told["notices"][0]["phase"] == "opened"
        made.observe("shop", "web", status())
        await second.get(2)
    assert len(first.posts) == 1


async def test_what_waits_for_a_target_that_is_removed_is_counted_and_what_stays_open_there_is_logged(
    caplog: pytest.LogCaptureFixture, hurried: list[Any]
) -> None:
    counted = Counter[str]()
    async with receiver() as there:
        made = Notices([target(there.url)], LOCAL, count=lambda result, number: counted.update({result: number}), gather_seconds=0.0)
        made.start()
        for name in ("web", "api"):
            made.observe("shop", name, {})
            made.observe("shop", name, WRONG)
        await there.get(1)
        await until(lambda: counted["ok"] == 2)
        there.may_answer.clear()
        made.observe("shop", "api", status())
        made.forget("shop", "api", is_gone=True)
        await there.get(2)
        made.replace([])
        await until(lambda: not made._ending)
        assert (counted["ok"], counted[DROPPED]) == (2, 1)
        there.may_answer.set()
        await made.close(seconds=0.0)
    assert [(one.message, one.number) for one in caplog.records if hasattr(one, "number")] == [
        ("notice target removed, with incidents that stay open there", 1),
        ("ended with notices that were not sent", 1),
    ]


async def test_a_target_that_moved_is_told_at_its_new_address_and_nothing_twice() -> None:
    async with receiver() as first, receiver() as second, notices(target(first.url)) as made:
        made.observe("shop", "web", {})
        made.observe("shop", "web", WRONG)
        await first.get(1)
        made.replace([target(second.url)])
        made.observe("shop", "web", status())
        (told,) = await second.get(1)
    assert told["notices"][0]["phase"] == "resolved"


async def test_what_is_due_is_sent_before_the_end() -> None:
    async with receiver() as there:
        async with notices(target(there.url), seconds=5.0) as made:
            made.observe("shop", "web", {})
            made.observe("shop", "web", WRONG)
        assert len(there.posts) == 1


async def test_what_is_not_sent_by_the_end_is_counted_as_given_up() -> None:
    counted = Counter[str]()
    async with receiver() as there:
        there.may_answer.clear()
        made = Notices([target(there.url)], LOCAL, count=lambda result, number: counted.update({result: number}), gather_seconds=0.0)
        made.start()
        for name in ("web", "api"):
            made.observe("shop", name, {})
            made.observe("shop", name, WRONG)
        await there.get(1)
        await made.close(seconds=0.05)
        there.may_answer.set()
    assert (counted["ok"], counted[DROPPED]) == (0, 2)


async def test_a_target_that_hangs_delays_the_end_no_longer_than_it_may() -> None:
    async with receiver() as there:
        there.may_answer.clear()
        loop = asyncio.get_running_loop()
        async with notices(target(there.url), seconds=0.05) as made:
            made.observe("shop", "web", {})
            made.observe("shop", "web", WRONG)
            await there.get(1)
            began = loop.time()
        assert loop.time() - began < 5
        there.may_answer.set()


async def test_without_targets_nothing_happens() -> None:
    async with notices() as made:
        made.observe("shop", "web", {})
        made.observe("shop", "web", WRONG)
        made.forget("shop", "web", is_gone=True)


async def test_what_was_never_started_can_be_closed() -> None:
    made = Notices((), LOCAL)
    made.observe("shop", "web", WRONG)
    await made.close(seconds=1.0)
