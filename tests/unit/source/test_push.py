"""Deliveries of push webhooks, read from headers and body.

Aspects: each provider's repository, ref and event · signatures · what makes two deliveries one · hostile bodies · which refs a push concerns ·
which URLs mean one repository.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.source import GitRef
from cvstate_operator.source import push
from cvstate_operator.source.push import Delivery, Event, MalformedDeliveryError, Provider
from cvstate_operator.source.repository_key import repository_key
from tests.unit.operator import deliveries
from tests.unit.operator.deliveries import COMMIT, Sent

SECRET = b"a token of some length"
KEY = "example.com/acme/web"


def read(sent: Sent) -> Delivery:
    return push.parse(sent.headers, sent.body)


def keys(delivery: Delivery) -> set[str]:
    return {repository_key(url) for url in delivery.urls}


class TestProviders:
    @pytest.mark.parametrize(
        ("sent", "provider", "repositories"),
        [
            (deliveries.github(SECRET), Provider.GITHUB, {"github.com/acme/web"}),
            (deliveries.gitlab(SECRET.decode()), Provider.GITLAB, {"gitlab.example.com/acme/web"}),
            (deliveries.gitea(SECRET), Provider.GITEA, {"git.example.com:3000/acme/web", "git.example.com:2222/acme/web"}),
            (deliveries.gitea(SECRET, forgejo=True), Provider.FORGEJO, {"git.example.com:3000/acme/web", "git.example.com:2222/acme/web"}),
            (deliveries.generic(SECRET, after=COMMIT), Provider.GENERIC, {"git.example.com/acme/web"}),
        ],
        ids=["github", "gitlab", "gitea", "forgejo", "generic"],
    )
    def test_a_push_is_read_and_its_signature_holds(self, sent: Sent, provider: Provider, repositories: set[str]) -> None:
        delivery = read(sent)
        assert (delivery.provider, delivery.event, delivery.ref, delivery.commit) == (provider, Event.PUSH, "refs/heads/main", COMMIT)
        assert keys(delivery) == repositories
        assert delivery.is_signed_with(SECRET)
        assert not delivery.is_signed_with(SECRET + b"\n")

    def test_github_tells_its_api_address_which_is_not_taken_for_the_repository(self) -> None:
        assert "api.github.com/repos/acme/web" not in keys(read(deliveries.github(SECRET)))

    @pytest.mark.parametrize("event", ["create", "delete"])
    @pytest.mark.parametrize(
        ("told", "kind", "ref"),
        [
            ("main", "branch", "refs/heads/main"),
            ("v1.2.0", "tag", "refs/tags/v1.2.0"),
            ("team/x", "branch", "refs/heads/team/x"),
            ("refs/tags/v1", "tag", "refs/tags/v1"),
        ],
    )
    def test_create_and_delete_tell_a_short_ref_and_its_type(self, event: str, told: str, kind: str, ref: str) -> None:
        assert read(deliveries.github(SECRET, event=event, ref=told, ref_type=kind)).ref == ref

    def test_a_deleted_ref_is_a_push(self) -> None:
        delivery = read(deliveries.github(SECRET, after=deliveries.ZEROS, deleted=True))
        assert (delivery.event, delivery.commit) == (Event.PUSH, deliveries.ZEROS)

    def test_gitlab_names_the_event_in_the_payload(self) -> None:
        assert read(deliveries.gitlab("t", kind="tag_push", ref="refs/tags/v1")).ref == "refs/tags/v1"
        assert read(deliveries.gitlab("t", kind="push").having(X_Gitlab_Event="System Hook")).event is Event.PUSH
        assert read(deliveries.gitlab("t", kind="merge_request")).event is Event.OTHER

    @pytest.mark.parametrize(("refs", "ref"), [(["refs/heads/main"], "refs/heads/main"), (["refs/heads/a", "refs/heads/b"], ""), ([], "")])
    def test_a_gitlab_repository_update_of_several_refs_is_any_ref(self, refs: list[str], ref: str) -> None:
        assert read(deliveries.gitlab("t", kind="repository_update", refs=refs)).ref == ref

    def test_a_ping_needs_no_repository(self) -> None:
        assert read(deliveries.github_ping(SECRET)).event is Event.PING

    def test_an_event_that_is_no_push_asks_for_nothing(self) -> None:
        assert read(deliveries.github(SECRET, event="issues", ref=None)).event is Event.OTHER

    def test_a_generic_delivery_without_ref_is_any_ref(self) -> None:
        assert read(deliveries.generic(SECRET, ref=None)).ref == ""

    def test_header_names_are_read_in_any_case(self) -> None:
        sent = deliveries.github(SECRET)
        assert push.parse({name.upper(): value for name, value in sent.headers.items()}, sent.body).is_signed_with(SECRET)


class TestSignatures:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "sha256=",
            "sha256=zz",
            "sha256=" + "0" * 63,
            "sha256=" + "0" * 65,
            "sha256= " + "0" * 63,
            "sha256=" + "0" * 64,
            "sha1=" + "0" * 40,
            "0" * 64,
        ],
    )
    def test_a_wrong_or_cut_signature_is_none(self, header: str) -> None:
        assert not read(deliveries.github(SECRET).having(X_Hub_Signature_256=header)).is_signed_with(SECRET)

    def test_sha1_alone_is_not_enough(self) -> None:
        sent = deliveries.github(SECRET).without("X-Hub-Signature-256")
        assert "X-Hub-Signature" in sent.headers
        assert not read(sent).is_signed_with(SECRET)

    def test_the_signature_speaks_of_the_raw_body(self) -> None:
        sent = deliveries.github(SECRET)
        same_json = json.dumps(json.loads(sent.body), separators=(",", ":")).encode()
        assert not push.parse(sent.headers, same_json).is_signed_with(SECRET)
        assert not push.parse(sent.headers, sent.body + b"\n").is_signed_with(SECRET)

    @pytest.mark.parametrize(
        "sent", [deliveries.github(b""), deliveries.gitlab(""), deliveries.generic(b"")], ids=["github", "gitlab", "generic"]
    )
    def test_an_empty_secret_signs_nothing(self, sent: Sent) -> None:
        assert not read(sent).is_signed_with(b"")

    @pytest.mark.parametrize("token", ["", "x", "a token of some lengt", "a token of some length ", "A token of some length"])
    def test_a_wrong_gitlab_token_is_refused(self, token: str) -> None:
        assert not read(deliveries.gitlab(token)).is_signed_with(SECRET)

    def test_forgejos_own_header_decides_even_if_the_others_are_right(self) -> None:
        assert not read(deliveries.gitea(SECRET, forgejo=True).having(X_Forgejo_Signature="0" * 64)).is_signed_with(SECRET)

    @pytest.mark.parametrize("sent", [deliveries.github(SECRET), deliveries.gitlab(SECRET.decode())], ids=["hmac", "token"])
    def test_every_comparison_takes_constant_time(self, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[tuple[bytes, bytes]] = []
        monkeypatch.setattr(push.hmac, "compare_digest", lambda a, b: bool(compared.append((a, b))))
        assert not read(sent).is_signed_with(SECRET)
        ((ours, theirs),) = compared
        assert ours == theirs
        assert len(ours) == 32

    def test_neither_token_nor_body_shows_in_its_text(self) -> None:
        text = repr(read(deliveries.gitlab("glpat-secret")))
        assert "glpat-secret" not in text
        assert "jsmith" not in text


class TestFingerprint:
    def test_a_replay_under_other_headers_is_the_same_delivery(self) -> None:
        sent = deliveries.github(SECRET)
        signed = sent.headers["X-Hub-Signature-256"].removeprefix("sha256=")
        as_gitea = Sent({"X-Gitea-Event": "push", "X-Gitea-Signature": signed.upper()}, sent.body)
        assert read(as_gitea).is_signed_with(SECRET)
        assert read(sent).fingerprint == read(sent.having(X_GitHub_Delivery="another")).fingerprint == read(as_gitea).fingerprint

    def test_one_push_delivered_by_two_webhooks_is_two_deliveries(self) -> None:
        assert read(deliveries.github(SECRET)).fingerprint != read(deliveries.github(b"other")).fingerprint

    def test_gitlabs_own_id_tells_equal_pushes_apart(self) -> None:
        first, second = deliveries.gitlab("t"), deliveries.gitlab("t")
        assert first.body == second.body
        assert read(first).fingerprint != read(second).fingerprint
        assert read(first).fingerprint == read(first).fingerprint
        assert read(first).fingerprint != read(first.having(X_Gitlab_Token="u")).fingerprint

    def test_what_stands_for_a_gitlab_token_is_good_for_this_delivery_alone(self) -> None:
        sent = deliveries.gitlab(SECRET.decode(), repository={"clone_url": "https://gitlab.example.com/acme/web.git"})
        headers = push.passed_on(read(sent), sent.headers)
        assert SECRET.decode() not in repr(headers)
        assert push.parse(headers, sent.body).is_signed_with(SECRET)
        assert not push.parse(headers, sent.body).is_signed_with(b"other")
        assert not push.parse(headers, sent.body + b" ").is_signed_with(SECRET)
        renamed = {name: "another" if name in ("idempotency-key", "x-gitlab-event-uuid") else value for name, value in headers.items()}
        assert renamed != headers
        assert not push.parse(renamed, sent.body).is_signed_with(SECRET)
        as_github = {"x-github-event": "push", "x-hub-signature-256": f"sha256={headers['x-cvstate-token-signature']}"}
        assert not push.parse(as_github, sent.body).is_signed_with(SECRET)

    @pytest.mark.parametrize("value", ["", "00", "zz", SECRET.decode()])
    def test_a_token_does_not_help_beside_a_wrong_signature_in_its_place(self, value: str) -> None:
        sent = deliveries.gitlab(SECRET.decode())
        assert not push.parse({**sent.headers, "X-Cvstate-Token-Signature": value}, sent.body).is_signed_with(SECRET)

    def test_a_later_generic_push_is_another_delivery(self) -> None:
        assert read(deliveries.generic(SECRET, timestamp=1)).fingerprint != read(deliveries.generic(SECRET, timestamp=2)).fingerprint


WRONG: dict[str, Any] = {
    "null": None,
    "number": 5,
    "list": [],
    "object": {},
    "bool": True,
    "text": "refs",
    "nul": "refs/heads/\x00",
    "long": "refs/" + "x" * 4096,
}


class TestHostile:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"5",
            b'"x"',
            b"{",
            b"\xff\xfe",
            b"payload=%7B%7D",
            b'{"url": NaN}',
            b"[" * 100_000 + b"]" * 100_000,
            b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
            b'{"repository":' * 100_000,
        ],
        ids=["empty", "null", "array", "number", "string", "cut", "not-utf8", "form", "nan", "deep-array", "deep-object", "deep-and-cut"],
    )
    @pytest.mark.parametrize(
        "headers", [{}, {"X-GitHub-Event": "push"}, {"X-Gitlab-Event": "Push Hook"}, {"X-Gitea-Event": "push"}], ids=str
    )
    def test_what_is_no_json_object_is_malformed(self, headers: dict[str, str], body: bytes) -> None:
        with pytest.raises(MalformedDeliveryError):
            push.parse(headers, body)

    @pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
    def test_a_repository_of_a_wrong_type_is_malformed(self, wrong: Any) -> None:
        for sent in (
            deliveries.github(SECRET, repository=wrong),
            deliveries.github(SECRET, repository={"clone_url": wrong, "ssh_url": wrong, "html_url": wrong}),
            deliveries.gitlab("t", project=wrong, repository=wrong),
            deliveries.gitlab("t", project={"git_http_url": wrong, "url": wrong}, repository=None),
            deliveries.generic(SECRET, url=wrong),
        ):
            with pytest.raises(MalformedDeliveryError):
                read(sent)

    @pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
    def test_a_ref_of_a_wrong_type_is_malformed(self, wrong: Any) -> None:
        makers = [lambda: deliveries.github(SECRET, ref=wrong), lambda: deliveries.gitlab("t", ref=wrong)]
        for make in makers if wrong is None else [*makers, lambda: deliveries.generic(SECRET, ref=wrong)]:
            with pytest.raises(MalformedDeliveryError):
                read(make())

    @pytest.mark.parametrize("wrong", [None, "1700000000", True, [], {}], ids=str)
    def test_a_generic_delivery_without_a_time_is_malformed(self, wrong: Any) -> None:
        with pytest.raises(MalformedDeliveryError):
            read(deliveries.generic(SECRET, timestamp=wrong))

    def test_fields_that_are_not_needed_may_be_anything(self) -> None:
        delivery = read(deliveries.github(SECRET, commits=None, pusher=[], after=7, before={}))
        assert (delivery.ref, delivery.commit) == ("refs/heads/main", "")

    def test_the_number_of_urls_is_bounded(self) -> None:
        many = {name: f"https://h/{name}" for name in ("git_http_url", "git_ssh_url", "web_url", "http_url", "ssh_url", "url", "homepage")}
        others = {name: url + "2" for name, url in many.items()}
        assert len(read(deliveries.gitlab("t", project=many, repository=others)).urls) == push.MAX_URLS

    def test_the_fault_repeats_nothing_of_the_request(self) -> None:
        with pytest.raises(MalformedDeliveryError) as caught:
            read(deliveries.generic(SECRET, ref="s3cret\n"))
        assert "s3cret" not in str(caught.value)

    @given(
        event=st.sampled_from(["push", "create", "ping", "Push Hook", "x"]),
        header=st.sampled_from(["X-GitHub-Event", "X-Gitlab-Event", "X-Gitea-Event", "X-Forgejo-Event", "X-Other"]),
        signature=st.text(max_size=80),
        body=st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53), 2**53)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["repository", "project", "url", "clone_url", "git_http_url", "ref", "refs", "ref_type", "object_kind", "timestamp"]
                    ),
                    inner | st.sampled_from(["https://h/r", "refs/heads/main", "push", "repository_update"]),
                )
            ),
            max_leaves=12,
        ),
    )
    def test_whatever_comes_is_read_or_malformed(self, event: str, header: str, signature: str, body: Any) -> None:
        headers = {header: event, "X-Hub-Signature-256": signature, "X-Gitlab-Token": signature, "X-Signature": f"sha256={signature}"}
        try:
            delivery = push.parse(headers, json.dumps(body).encode())
        except MalformedDeliveryError:
            return
        assert delivery.event is not Event.PUSH or delivery.urls
        assert len(delivery.fingerprint) in (0, 32)
        assert not delivery.is_signed_with(SECRET)


class TestConcerns:
    @pytest.mark.parametrize(
        ("ref", "told", "expected"),
        [
            (GitRef(), "refs/heads/main", True),
            (GitRef(), "refs/heads/dev", False),
            (GitRef(), "refs/tags/main", False),
            (GitRef(), "", True),
            (GitRef(branch="dev"), "refs/heads/dev", True),
            (GitRef(branch="dev"), "refs/heads/main", False),
            (GitRef(branch="dev"), "refs/heads/dev/x", False),
            (GitRef(branch="a.b"), "refs/heads/axb", False),
            (GitRef(tag="v1"), "refs/tags/v1", True),
            (GitRef(tag="v1"), "refs/tags/v10", False),
            (GitRef(tag="v1"), "refs/heads/v1", False),
            (GitRef(tag="v1", branch="main"), "refs/heads/main", False),
            (GitRef(semver="^1"), "refs/tags/v2.0.0", True),
            (GitRef(semver="^1"), "refs/heads/main", False),
            (GitRef(semver="^1", tag="v1"), "refs/tags/v9", True),
            (GitRef(name="refs/heads/main"), "refs/heads/main", True),
            (GitRef(name="refs/tags/v1"), "refs/tags/v1", True),
            (GitRef(name="refs/pull/4/head"), "refs/heads/main", False),
            (GitRef(name="refs/heads/x", semver="^1"), "refs/tags/v1", False),
            (GitRef(commit="a" * 40), "refs/heads/main", False),
            (GitRef(commit="a" * 40, branch="main"), "refs/heads/main", False),
            (GitRef(commit="a" * 40), "", False),
        ],
    )
    def test_a_push_concerns_only_who_could_see_another_commit(self, ref: GitRef, told: str, expected: bool) -> None:
        assert push.concerns(ref, told) is expected


class TestSameRepository:
    @pytest.mark.parametrize(
        "url",
        [
            "https://example.com/acme/web",
            "https://example.com/acme/web/",
            "https://example.com/acme/web.git",
            "https://example.com/acme/web.git/",
            "https://EXAMPLE.com:443/acme/web",
            "http://example.com:80/acme/web",
            "https://user:pw@example.com/acme/web.git",
            "ssh://git@example.com/acme/web.git",
            "ssh://git@example.com:22/acme/web",
            "git://example.com:9418/acme/web",
            "git@example.com:acme/web.git",
            "git@example.com:/acme/web",
            "Example.com:acme/web",
        ],
    )
    def test_one_repository_has_one_key(self, url: str) -> None:
        assert repository_key(url) == KEY == repository_key("https://example.com/acme/web")

    @pytest.mark.parametrize(
        "url",
        [
            "https://example.com:8443/acme/web",
            "ssh://git@example.com:2222/acme/web",
            "https://example.com.evil.org/acme/web",
            "https://evil.org/example.com/acme/web",
            "https://example.com@evil.org/acme/web",
            "https://example.com/acme/web2",
            "https://example.com/acme",
            "https://example.com/acme/Web",
            "https://example.com/acme/web.git.git",
            "https://example.com/.*/.*",
            "https://.*/acme/web",
            "https://example.com/acme/(web|api)",
            "https://e?ample.com/acme/web",
            "file:///acme/web",
        ],
    )
    def test_another_repository_has_another_key(self, url: str) -> None:
        assert repository_key(url) != repository_key("https://example.com/acme/web")

    @pytest.mark.parametrize(
        "url",
        [
            "",
            ".*",
            "acme/web",
            "/acme/web",
            "https://",
            "https://example.com",
            "https://example.com/",
            "https:///acme/web",
            "https://[::1/acme/web",
            "https://example.com:99999/acme/web",
            "https://example.com:x/acme/web",
            "https://example.com/acme/web?x=1",
            "https://example.com/acme/web#x",
            "https://example.com/acme\n/web",
            " https://example.com/acme/web",
            "https://example.com/" + "a" * 2048,
            "git@example.com:",
            "file://",
            "file:///",
        ],
    )
    def test_what_is_no_repository_url_has_no_key(self, url: str) -> None:
        assert repository_key(url) == ""

    def test_ipv6_and_files_have_keys_too(self) -> None:
        assert repository_key("https://[2001:DB8::1]:8443/a/b.git") == "[2001:db8::1]:8443/a/b"
        assert repository_key("git@[2001:db8::1]:a/b") == repository_key("https://[2001:db8::1]/a/b")
        assert repository_key("file:///srv/git/web.git") == "/srv/git/web"

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_any_text_has_a_key_or_none(self, a: str, b: str) -> None:
        for url in (a, f"https://{a}/{b}", f"git@{a}:{b}"):
            assert repository_key(url) == "" or "/" in repository_key(url)
