"""The push webhook over real HTTP on the loopback interface.

Aspects: who is told of which push · what is answered, and that refusals are alike · replays and old deliveries · bodies too large, too slow,
compressed, malformed · floods · Secrets that are missing, unreadable, many · what is counted and logged · binding · docs/webhook.md. (Cases C58 to
C62.)
"""

import asyncio
import gzip
import hmac
import io
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cvstate_operator import errors
from cvstate_operator.api.source import GitRef
from cvstate_operator.operator import webhook, webhook_limits
from cvstate_operator.operator.forwarder import MARK
from cvstate_operator.operator.webhook import Subscription, WebhookServer
from tests.unit.operator import deliveries
from tests.unit.operator.deliveries import Sent

TOKEN = b"token of team a"
OTHER = b"token of team b"
NOW = 1_700_000_000.0
ACCEPTED = {"accepted": True}
PAGE = (Path(__file__).parents[3] / "docs" / "webhook.md").read_text()


def wants(
    name: str, *, url: str = "https://github.com/acme/web", ref: GitRef | None = None, namespace: str = "team-a", signed_by: str = "hook"
) -> Subscription:
    return Subscription(owner=f"id-{name}", namespace=namespace, name=name, url=url, ref=ref or GitRef(), secret_name=signed_by)


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Hook:
    """A running webhook, what it was told, and what it did."""

    subscriptions: list[Subscription] = field(default_factory=list)
    tokens: dict[tuple[str, str], bytes | Exception] = field(default_factory=lambda: {("team-a", "hook"): TOKEN, ("team-b", "hook"): OTHER})
    told: list[str] = field(default_factory=list)
    counted: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    """Owners that another replica has."""
    forwarded: list[Sent] = field(default_factory=list)
    clock: float = 1000.0
    now: float = NOW
    address: str = ""
    client: aiohttp.ClientSession | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """A request was counted."""

    def __post_init__(self) -> None:
        self.server = WebhookServer(
            subscriptions=lambda: self.subscriptions,
            trigger=self._trigger,
            forward=lambda headers, body: self.forwarded.append(Sent({**headers, MARK: "1"}, body)),
            secret=self._secret,
            observe=self._observe,
            clock=lambda: self.clock,
            now=lambda: self.now,
        )

    def _trigger(self, owner: str) -> bool:
        if owner in self.elsewhere:
            return False
        self.told.append(owner)
        return True

    def _observe(self, result: str, provider: str) -> None:
        self.counted.append((result, provider))
        self.ended.set()

    async def _secret(self, one: Subscription) -> bytes | None:
        self.asked.append(f"{one.namespace}/{one.secret_name}")
        found = self.tokens.get((one.namespace, one.secret_name))
        if isinstance(found, Exception):
            raise found
        return found

    async def post(self, sent: Sent, *, path: str = "/hook", method: str = "POST") -> Answer:
        return await self.request(method, path, data=io.BytesIO(sent.body), headers=sent.headers)

    async def request(self, method: str, path: str, **arguments: Any) -> Answer:
        assert self.client
        async with self.client.request(method, f"http://{self.address}{path}", **arguments) as response:
            return Answer(response.status, await response.json(), dict(response.headers))

    async def raw(self, *pieces: bytes) -> bytes:
        """Send bytes as they are; returns all of the answer."""
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook([wants("web")])
    hook.address = await hook.server.start("127.0.0.1:0")
    async with aiohttp.ClientSession() as hook.client:
        yield hook
    await hook.server.close()


class TestWhoIsTold:
    @pytest.mark.parametrize(
        ("sent", "url"),
        [
            (deliveries.github(TOKEN), "git@github.com:acme/web.git"),
            (deliveries.gitlab(TOKEN.decode()), "https://gitlab.example.com/acme/web.git"),
            (deliveries.gitea(TOKEN), "ssh://git@git.example.com:2222/acme/web"),
            (deliveries.gitea(TOKEN, forgejo=True), "https://git.example.com:3000/acme/web"),
            (deliveries.generic(TOKEN, timestamp=NOW), "https://git.example.com/acme/web"),
        ],
        ids=["github", "gitlab", "gitea", "forgejo", "generic"],
    )
    async def test_a_signed_push_of_each_provider_is_told(self, hook: Hook, sent: Sent, url: str) -> None:
        hook.subscriptions = [wants("web", url=url)]
        answer = await hook.post(sent)
        assert (answer.status, answer.body) == (202, ACCEPTED)
        assert hook.told == ["id-web"]

    async def test_exactly_those_of_repository_ref_and_token_are_told(self, hook: Hook) -> None:
        hook.subscriptions = [
            wants("default"),
            wants("main", ref=GitRef(branch="main")),
            wants("by-name", ref=GitRef(name="refs/heads/main")),
            wants("by-ssh", url="ssh://git@github.com/acme/web.git"),
            wants("other-branch", ref=GitRef(branch="dev")),
            wants("tag", ref=GitRef(tag="v1")),
            wants("range", ref=GitRef(semver=">=1.0.0")),
            wants("pinned", ref=GitRef(commit="a" * 40)),
            wants("other-repository", url="https://github.com/acme/web2"),
            wants("pattern", url="https://github.com/acme/.*"),
            wants("other-token", namespace="team-b"),
            wants("no-token", signed_by="none"),
        ]
        await hook.post(deliveries.github(TOKEN))
        assert sorted(hook.told) == ["id-by-name", "id-by-ssh", "id-default", "id-main"]

    async def test_a_tag_is_told_to_who_follows_tags(self, hook: Hook) -> None:
        hook.subscriptions = [wants("main"), wants("tag", ref=GitRef(tag="v1")), wants("range", ref=GitRef(semver="^1"))]
        await hook.post(deliveries.github(TOKEN, ref="refs/tags/v1"))
        assert sorted(hook.told) == ["id-range", "id-tag"]

    async def test_two_secrets_with_one_token_are_both_told(self, hook: Hook) -> None:
        hook.subscriptions = [wants("a"), wants("b", namespace="team-b")]
        hook.tokens["team-b", "hook"] = TOKEN
        await hook.post(deliveries.github(TOKEN))
        assert sorted(hook.told) == ["id-a", "id-b"]

    async def test_the_answer_does_not_tell_how_many_were_told(self, hook: Hook) -> None:
        one = await hook.post(deliveries.github(TOKEN))
        none = await hook.post(deliveries.github(TOKEN, ref="refs/heads/other"))
        assert (one.status, one.body) == (none.status, none.body)
        assert hook.told == ["id-web"]

    @pytest.mark.parametrize(
        "sent", [deliveries.github(TOKEN, event="issues"), deliveries.gitlab(TOKEN.decode(), kind="note")], ids=["github", "gitlab"]
    )
    async def test_a_signed_event_that_is_no_push_tells_nobody(self, hook: Hook, sent: Sent) -> None:
        hook.subscriptions.append(wants("gitlab", url="https://gitlab.example.com/acme/web"))
        assert (await hook.post(sent)).status == 202
        assert hook.told == []
        assert hook.counted[0][0] == "Ignored"

    async def test_a_trailing_slash_is_the_same_endpoint(self, hook: Hook) -> None:
        assert (await hook.post(deliveries.github(TOKEN), path="/hook/")).status == 202


class TestPing:
    async def test_a_ping_signed_rightly_is_greeted(self, hook: Hook) -> None:
        repository = {"clone_url": "https://github.com/acme/web.git"}
        assert (await hook.post(deliveries.github_ping(TOKEN, repository=repository))).status == 200
        assert (await hook.post(deliveries.github_ping(OTHER, repository=repository))).status == 401
        assert hook.told == []

    async def test_a_ping_of_an_organisation_is_greeted_unchecked(self, hook: Hook) -> None:
        assert (await hook.post(deliveries.github_ping(TOKEN))).status == 200
        assert hook.asked == []


def refused() -> dict[str, Sent]:
    sent = deliveries.github(TOKEN)
    reserialised = json.dumps(json.loads(sent.body), sort_keys=True).encode()
    return {
        "no signature": sent.without("X-Hub-Signature-256", "X-Hub-Signature"),
        "SHA-1 only": sent.without("X-Hub-Signature-256"),
        "wrong token": deliveries.github(OTHER),
        "cut signature": sent.having(X_Hub_Signature_256=sent.headers["X-Hub-Signature-256"][:-2]),
        "re-serialised body": Sent(sent.headers, reserialised),
        "unknown repository": deliveries.github(TOKEN, repo="acme/unknown"),
        "no headers": Sent({}, deliveries.generic(TOKEN, url="https://github.com/acme/web").body),
        "pattern": deliveries.generic(TOKEN, url="https://github.com/acme/.*"),
        "GitLab without token": deliveries.gitlab("", project={"web_url": "https://github.com/acme/web"}).without("X-Gitlab-Token"),
        "signed with an empty token": deliveries.github(b""),
    }


class TestRefusals:
    @pytest.mark.parametrize("sent", refused().values(), ids=refused())
    async def test_what_is_not_signed_or_not_known_is_401(self, hook: Hook, sent: Sent) -> None:
        answer = await hook.post(sent)
        assert answer.status == 401
        assert hook.told == []
        assert hook.counted[0][0] == "Unauthorized"

    async def test_all_refusals_are_alike(self, hook: Hook) -> None:
        hook.tokens["team-a", "empty"] = b""
        hook.subscriptions.append(wants("empty", signed_by="empty"))
        answers = [await hook.post(sent) for sent in refused().values()]
        assert len({(a.status, str(a.body), tuple(sorted(a.headers.items() - {("Date", a.headers["Date"])}))) for a in answers}) == 1

    async def test_an_unknown_repository_costs_an_hmac_as_well(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[int] = []
        real = hmac.compare_digest
        monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(len(a)) or real(a, b))
        await hook.post(deliveries.github(OTHER))
        await hook.post(deliveries.github(OTHER, repo="acme/unknown"))
        assert compared == [32, 32]

    async def test_a_refusal_is_sent_no_sooner_than_the_delay_that_hides_the_work(self, hook: Hook) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await hook.post(deliveries.github(TOKEN, repo="acme/unknown"))
        assert loop.time() - start >= webhook.REFUSAL_SECONDS

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
    async def test_only_post_is_answered(self, hook: Hook, method: str) -> None:
        answer = await hook.post(deliveries.github(TOKEN), method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    @pytest.mark.parametrize("path", ["/", "/hooks", "/hook/x", "/metrics", "/api/webhook"])
    async def test_nothing_else_is_there(self, hook: Hook, path: str) -> None:
        assert (await hook.post(deliveries.github(TOKEN), path=path)).status == 404
        assert hook.told == []


class TestReplays:
    async def test_the_same_delivery_again_is_accepted_and_not_told(self, hook: Hook) -> None:
        sent = deliveries.github(TOKEN)
        answers = [await hook.post(sent) for _ in range(3)]
        assert [(a.status, a.body) for a in answers] == [(202, ACCEPTED)] * 3
        assert hook.told == ["id-web"]
        assert [result for result, _ in hook.counted] == ["ok", "Replayed", "Replayed"]

    async def test_other_headers_do_not_make_it_new(self, hook: Hook) -> None:
        sent = deliveries.github(TOKEN)
        await hook.post(sent)
        await hook.post(sent.having(X_GitHub_Delivery="new"))
        await hook.post(Sent({"X-Gitea-Event": "push", "X-Gitea-Signature": sent.headers["X-Hub-Signature-256"][7:]}, sent.body))
        assert hook.told == ["id-web"]

    async def test_a_delivery_cannot_be_used_up_by_who_does_not_know_the_token(self, hook: Hook) -> None:
        sent = deliveries.github(TOKEN)
        await hook.post(sent.having(X_Hub_Signature_256="sha256=" + "0" * 64))
        await hook.post(Sent(sent.headers, sent.body + b" "))
        await hook.post(sent)
        assert hook.told == ["id-web"]

    async def test_after_a_day_it_is_forgotten(self, hook: Hook) -> None:
        sent = deliveries.github(TOKEN)
        await hook.post(sent)
        hook.clock += webhook_limits.SEEN_SECONDS
        await hook.post(sent)
        assert hook.told == ["id-web", "id-web"]

    @pytest.mark.parametrize(("age", "told"), [(0, True), (299, True), (301, False), (600, False), (-301, False)])
    async def test_a_generic_delivery_counts_for_five_minutes(self, hook: Hook, age: float, told: bool) -> None:
        answer = await hook.post(deliveries.generic(TOKEN, url="https://github.com/acme/web", timestamp=NOW - age))
        assert (answer.status, answer.body) == (202, ACCEPTED)
        assert bool(hook.told) is told
        assert hook.counted == [("ok" if told else "Stale", "generic")]


HEAD = b"POST /hook HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\n"


class TestBodies:
    async def test_a_body_at_the_limit_is_read(self, hook: Hook) -> None:
        empty = deliveries.github(TOKEN, padding="")
        sent = deliveries.github(TOKEN, padding="x" * (webhook.MAX_BODY - len(empty.body)))
        assert len(sent.body) == webhook.MAX_BODY
        assert (await hook.post(sent)).status == 202
        assert hook.told == ["id-web"]

    async def test_a_body_over_the_limit_is_413(self, hook: Hook) -> None:
        assert (await hook.post(deliveries.github(TOKEN, padding="x" * webhook.MAX_BODY))).status == 413

    async def test_fifty_megabytes_are_refused_before_they_come(self, hook: Hook) -> None:
        answer = await hook.raw(HEAD + b"Content-Length: 52428800\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")

    async def test_an_endless_chunked_body_is_413(self, hook: Hook) -> None:
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        answer = await hook.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
        assert answer.startswith(b"HTTP/1.1 413 ")

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, gzip", "x"])
    async def test_a_compressed_body_is_415_and_never_inflated(self, hook: Hook, encoding: str) -> None:
        sent = Sent({**deliveries.github(TOKEN).headers, "Content-Encoding": encoding}, gzip.compress(b" " * 10_000_000))
        assert (await hook.post(sent)).status == 415

    async def test_a_body_that_drips_is_408(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "BODY_SECONDS", 0.2)
        answer = await hook.raw(HEAD + b"Content-Length: 100\r\n\r\n", b"{")
        assert answer.startswith(b"HTTP/1.1 408 ")

    async def test_headers_that_drip_end_the_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "BODY_SECONDS", 0.2)
        hook = Hook()
        hook.address = await hook.server.start("127.0.0.1:0")
        async with asyncio.timeout(10):
            assert await hook.raw(HEAD) == b""
            assert await hook.raw() == b""
        await hook.server.close()

    async def test_a_sender_that_goes_away_half_way_leaves_nothing(self, hook: Hook) -> None:
        host, _, port = hook.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(10):
            await hook.ended.wait()
        assert hook.counted == [("Malformed", "unknown")]
        assert (await hook.post(deliveries.github(TOKEN))).status == 202

    async def test_bodies_in_hand_are_bounded_all_together(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_HELD", 100)
        answer = await hook.post(deliveries.github(TOKEN))
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")

    async def test_a_body_is_let_go_with_its_answer(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        sent = [deliveries.github(TOKEN), deliveries.github(OTHER), Sent({}, b"{"), deliveries.github(TOKEN, ref="refs/heads/x")]
        monkeypatch.setattr(webhook, "MAX_HELD", max(len(one.body) for one in sent))
        assert [(await hook.post(one)).status for one in sent] == [202, 401, 400, 202]

    async def test_connections_are_bounded(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_CONNECTIONS", 0)
        assert await hook.raw(HEAD + b"Content-Length: 0\r\n\r\n") == b""
        assert hook.counted == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"null",
            b"payload=%7B%7D",
            b"[" * 100_000 + b"]" * 100_000,
            b'{"repository":' * 1000 + b"null" + b"}" * 1000,
            b'{"repository": null, "ref": "refs/heads/main"}',
            b'{"repository": {"clone_url": ".*"}, "ref": "refs/heads/main"}',
            b'{"repository": {"clone_url": ["https://github.com/acme/web"]}, "ref": "refs/heads/main"}',
            b'{"repository": {"clone_url": "https://github.com/acme/web"}, "ref": null}',
            b'{"repository": {"clone_url": "https://github.com/acme/web"}, "ref": ["refs/heads/main"]}',
        ],
        ids=["empty", "no fields", "null", "form", "deep", "deep object", "null repository", "pattern", "url list", "null ref", "ref list"],
    )
    async def test_a_malformed_body_is_400_even_if_signed(self, hook: Hook, body: bytes) -> None:
        headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + deliveries.digest(TOKEN, body)}
        answer = await hook.post(Sent(headers, body))
        assert answer.status == 400
        assert answer.body["error"]
        assert hook.told == []
        assert hook.counted == [("Malformed", "unknown")]


class TestFloods:
    async def test_two_thousand_requests_for_an_unknown_repository_are_bounded(self, hook: Hook) -> None:
        sent = deliveries.github(TOKEN, repo="acme/unknown")
        answers = []
        for _ in range(20):
            answers += await asyncio.gather(*(hook.post(sent) for _ in range(100)))
        by_status = {status: sum(a.status == status for a in answers) for status in (401, 429)}
        assert by_status == {401: webhook_limits.BURST_PER_ADDRESS, 429: 2000 - webhook_limits.BURST_PER_ADDRESS}
        assert all(int(a.headers["Retry-After"]) >= 1 for a in answers if a.status == 429)
        assert (hook.told, hook.asked) == ([], [])
        hook.clock += 1
        assert (await hook.post(deliveries.github(TOKEN))).status == 202

    async def test_a_flood_with_wrong_signatures_reads_each_secret_once(self, hook: Hook) -> None:
        for _ in range(10):
            await asyncio.gather(*(hook.post(deliveries.github(OTHER)) for _ in range(5)))
        assert hook.asked.count("team-a/hook") <= 5
        assert hook.told == []

    async def test_a_github_burst_of_one_push_goes_through(self, hook: Hook) -> None:
        sent = [deliveries.github(TOKEN, ref=f"refs/heads/b{n}") for n in range(webhook_limits.BURST_PER_ADDRESS)]
        assert {a.status for a in await asyncio.gather(*map(hook.post, sent))} == {202}


class TestSecrets:
    async def test_a_secret_that_cannot_be_read_looks_like_no_secret(self, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
        hook.tokens["team-a", "hook"] = errors.ForbiddenError("secrets is forbidden")
        assert (await hook.post(deliveries.github(TOKEN))).status == 401
        assert [r.levelname for r in caplog.records if r.name == webhook.__name__ and r.levelno > logging.INFO] == ["WARNING"]

    async def test_a_secret_that_cannot_be_read_does_not_stop_the_others(self, hook: Hook) -> None:
        hook.subscriptions.append(wants("b", namespace="team-b"))
        hook.tokens["team-a", "hook"] = errors.NetworkError("refused")
        await hook.post(deliveries.github(OTHER))
        assert hook.told == ["id-b"]

    async def test_a_new_token_counts_after_the_time_that_the_old_one_is_remembered(self, hook: Hook) -> None:
        await hook.post(deliveries.github(TOKEN))
        hook.tokens["team-a", "hook"] = b"new"
        assert (await hook.post(deliveries.github(b"new"))).status == 401
        hook.clock += webhook.SECRET_SECONDS
        assert (await hook.post(deliveries.github(b"new"))).status == 202
        assert (await hook.post(deliveries.github(TOKEN, ref="refs/heads/x"))).status == 401

    async def test_the_secrets_tried_are_bounded_and_no_namespace_crowds_out_another(self, hook: Hook) -> None:
        hook.subscriptions = [wants(f"{n}", namespace="a-crowd", signed_by=f"s{n}") for n in range(100)] + [wants("b", namespace="team-b")]
        await hook.post(deliveries.github(OTHER))
        assert hook.told == ["id-b"]
        assert len(hook.asked) == webhook.MAX_SECRETS

    async def test_a_large_body_is_hashed_with_fewer_secrets(self, hook: Hook) -> None:
        hook.subscriptions = [wants(f"{n}", signed_by=f"s{n}") for n in range(100)]
        sent = deliveries.github(OTHER, padding="x" * (webhook.MAX_BODY - 2000))
        assert (await hook.post(sent)).status == 401
        assert len(hook.asked) == webhook.MAX_HASHED // len(sent.body) < webhook.MAX_SECRETS

    async def test_remembered_secrets_are_bounded(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_CACHED_SECRETS", 3)
        hook.subscriptions = [wants(f"{n}", signed_by=f"s{n}") for n in range(10)]
        await hook.post(deliveries.github(OTHER))
        assert len(hook.server._tokens._known) == 3

    async def test_a_secret_that_never_comes_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "SECRET_SECONDS", 0.1)

        async def never(one: Subscription) -> bytes:
            await asyncio.Event().wait()
            return TOKEN

        hook = Hook([wants("web")])
        monkeypatch.setattr(hook.server._tokens, "_secret", never)
        hook.address = await hook.server.start("127.0.0.1:0")
        async with aiohttp.ClientSession() as hook.client:
            assert (await hook.post(deliveries.github(TOKEN))).status == 401
        await hook.server.close()


class TestTelling:
    async def test_results_are_words_of_a_fixed_set(self, hook: Hook) -> None:
        for sent in (
            deliveries.github(TOKEN),
            deliveries.github(OTHER),
            deliveries.gitlab("x" * 500, kind="\n"),
            Sent({"X-GitHub-Event": "ü" * 50}, b"{"),
        ):
            await hook.post(sent)
        await hook.request("GET", "/" + "x" * 500)
        assert hook.counted == [
            ("ok", "github"),
            ("Unauthorized", "github"),
            ("Unauthorized", "gitlab"),
            ("Malformed", "unknown"),
            ("NotFound", "unknown"),
        ]
        assert {result for result, _ in hook.counted} <= {one.value for one in webhook.Result}

    async def test_logs_hold_neither_token_nor_body(self, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        hook.subscriptions.append(wants("gitlab", url="https://gitlab.example.com/acme/web"))
        await hook.post(deliveries.gitlab(TOKEN.decode()))
        await hook.post(deliveries.gitlab("wrong-token"))
        await hook.raw(b"POST /hook HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: bad\x00token\r\n\r\n")
        said = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records if not record.name.startswith("asyncio"))
        assert "push delivered" in said
        for secret in (TOKEN.decode(), "wrong-token", "bad", "jsmith"):
            assert secret not in said

    async def test_a_fault_of_ours_is_500_and_told_without_details(self, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
        hook.subscriptions = None  # type: ignore[assignment]
        answer = await hook.post(deliveries.github(TOKEN))
        assert (answer.status, answer.body) == (500, {"error": "internal error"})
        assert hook.counted == [("InternalError", "unknown")]
        assert "internal error in the push webhook" in caplog.text


class TestBinding:
    @pytest.mark.parametrize(
        "listen", ["", "9292", ":9292", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "nowhere.invalid:80"]
    )
    async def test_what_is_no_address_is_a_setting_error(self, listen: str) -> None:
        with pytest.raises(errors.SettingsError):
            await Hook().server.start(listen)

    async def test_a_taken_address_is_a_setting_error(self, hook: Hook) -> None:
        with pytest.raises(errors.SettingsError):
            await Hook().server.start(hook.address)

    async def test_once_closed_nobody_answers(self) -> None:
        hook = Hook()
        hook.address = await hook.server.start("127.0.0.1:0")
        await hook.server.close()
        with pytest.raises(ConnectionRefusedError):
            await hook.raw(b"")


class TestPage:
    async def test_the_command_of_the_page_delivers(self, hook: Hook, tmp_path: Path) -> None:
        (command,) = (block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "curl" in block)
        hook.subscriptions = [wants("web", url="git@git.example.com:acme/web.git")]
        hook.now = time.time()
        commit = "git init --quiet && git -c user.name=x -c user.email=x@example.com commit --quiet --allow-empty --message x\n"
        variables = {"TOKEN": TOKEN.decode(), "HOOK": f"http://{hook.address}/hook", "HOME": str(tmp_path)}
        shell = await asyncio.create_subprocess_exec("bash", "-ec", commit + command, cwd=tmp_path, env=os.environ | variables)
        assert await shell.wait() == 0
        assert hook.counted == [("ok", "generic")]
        assert hook.told == ["id-web"]

    def test_every_result_is_on_the_page(self) -> None:
        assert {f"`{one.value}`" for one in webhook.Result} <= set(re.findall(r"`\w+`", PAGE))

    def test_the_limits_of_the_page_are_those_of_the_code(self) -> None:
        for told in (
            f"{webhook_limits.BURST_PER_ADDRESS} at once, then {webhook_limits.PER_SECOND_PER_ADDRESS:.0f}/s",
            f"{webhook_limits.BURST} at once, then {webhook_limits.PER_SECOND:.0f}/s",
            f"{webhook.MAX_HELD >> 20} MiB together",
            f"| {webhook.MAX_CONNECTIONS} |",
            f"{webhook_limits.MAX_SEEN:,}, {webhook_limits.SEEN_SECONDS / 3600:.0f} h",
            f"{webhook_limits.MAX_ADDRESSES:,}",
            f"At most {webhook.MAX_SECRETS} different Secrets",
            f"counts after {webhook.SECRET_SECONDS:.0f} seconds",
        ):
            assert told in PAGE


class TestOtherReplicas:
    async def test_what_concerns_another_replica_is_passed_on_as_it_came(self, hook: Hook) -> None:
        hook.elsewhere.add("id-web")
        sent = deliveries.github(TOKEN)
        assert (await hook.post(sent)).status == 202
        assert (hook.told, [one.body for one in hook.forwarded]) == ([], [sent.body])

    @pytest.mark.parametrize(
        ("sent", "url"),
        [
            (deliveries.github(TOKEN), "https://github.com/acme/web"),
            (deliveries.gitlab(TOKEN.decode()), "https://gitlab.example.com/acme/web"),
            (deliveries.gitea(TOKEN), "https://git.example.com:3000/acme/web"),
            (deliveries.gitea(TOKEN, forgejo=True), "https://git.example.com:3000/acme/web"),
            (deliveries.generic(TOKEN, timestamp=NOW), "https://git.example.com/acme/web"),
        ],
        ids=["github", "gitlab", "gitea", "forgejo", "generic"],
    )
    async def test_another_replica_believes_what_it_is_passed_without_being_told_a_secret(self, hook: Hook, sent: Sent, url: str) -> None:
        hook.subscriptions = [wants("web", url=url)]
        hook.elsewhere.add("id-web")
        await hook.post(Sent({**sent.headers, "Authorization": f"Bearer {TOKEN.decode()}", "Cookie": TOKEN.decode()}, sent.body))
        (passed,) = hook.forwarded
        assert TOKEN.decode() not in repr(passed.headers)
        other = Hook([wants("web", url=url)])
        other.address = await other.server.start("127.0.0.1:0")
        async with aiohttp.ClientSession() as other.client:
            assert [(await other.post(passed)).status for _ in range(2)] == [202, 202]
            # The delivery itself, sent there once more, is known too.
            await other.post(sent)
        assert other.told == ["id-web"]
        assert [result for result, _ in other.counted] == ["ok", "Replayed", "Replayed"]
        await other.server.close()

    async def test_what_concerns_nobody_elsewhere_stays_here(self, hook: Hook) -> None:
        await hook.post(deliveries.github(TOKEN))
        assert (hook.told, hook.forwarded) == (["id-web"], [])

    async def test_what_is_not_signed_is_not_passed_on(self, hook: Hook) -> None:
        hook.elsewhere.add("id-web")
        assert (await hook.post(deliveries.github(OTHER))).status == 401
        assert hook.forwarded == []

    async def test_what_was_passed_on_goes_no_further(self, hook: Hook) -> None:
        hook.elsewhere.add("id-web")
        sent = deliveries.github(TOKEN)
        await hook.post(Sent({**sent.headers, MARK: "1"}, sent.body))
        assert hook.forwarded == []
