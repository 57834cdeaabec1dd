"""What a push webhook delivers: who sent it, which repository and ref changed, and whether it is signed.

Input is one HTTP request of anybody (`operator/webhook.py`); nothing in it counts before `Delivery.is_signed_with` says yes.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from cvstate_operator.api.source import GitRef
from cvstate_operator.source.repository_key import MAX_URL, repository_key

MAX_URLS: Final = 8
"""URLs read from one payload; GitLab names a repository eleven times, by three different ones."""
MAX_TEXT: Final = 1024
"""Longest ref, event name or delivery id that is read, in characters."""

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class MalformedDeliveryError(ValueError):
    """The request is no delivery of a push; the message names the fault and no part of the request."""

    status: Final = 400


class Provider(StrEnum):
    """Who sends, by its headers. Forgejo sends Gitea's and GitHub's headers too, and Gitea sends GitHub's: the most special comes first."""

    FORGEJO = "forgejo"
    GITEA = "gitea"
    GITLAB = "gitlab"
    GITHUB = "github"
    GENERIC = "generic"


class Event(StrEnum):
    """What is told."""

    PUSH = "push"
    """A ref was created, moved or deleted."""
    PING = "ping"
    """GitHub's greeting when the webhook is set up."""
    OTHER = "other"
    """Anything else; signed or not, nothing follows from it."""


_EVENT_HEADERS: Final = {
    Provider.FORGEJO: "x-forgejo-event",
    Provider.GITEA: "x-gitea-event",
    Provider.GITLAB: "x-gitlab-event",
    Provider.GITHUB: "x-github-event",
}
_SIGNATURE_HEADERS: Final = {
    Provider.FORGEJO: "x-forgejo-signature",
    Provider.GITEA: "x-gitea-signature",
    Provider.GITHUB: "x-hub-signature-256",
    Provider.GENERIC: "x-signature",
}
"""Sources: the webhook pages of docs.github.com, docs.gitea.com and forgejo.org; fluxcd.io, "Receivers", generic-hmac. X-Hub-Signature is SHA-1 and not read."""
_BARE_DIGEST: Final = frozenset({Provider.FORGEJO, Provider.GITEA})
"""These send the digest without `sha256=` before it."""
_ID_HEADERS: Final = ("idempotency-key", "x-gitlab-event-uuid")
_STAND_IN: Final = "x-cvstate-token-signature"
"""What one replica passes on to another in the place of a token: an HMAC-SHA256 with it, in hex."""
_STAND_IN_USE: Final = b"cvstate: a delivery that was passed on\0"
"""Begins what is signed with a token, so that the signature is good for nothing else: not as X-Hub-Signature-256 of the same body."""
_GITLAB_PUSHES: Final = frozenset({"push", "tag_push", "repository_update"})
_URL_FIELDS: Final = (
    ("clone_url", "ssh_url", "git_url", "html_url"),
    ("git_http_url", "git_ssh_url", "web_url", "http_url", "ssh_url", "url", "homepage"),
)
"""Of `repository` (GitHub, Gitea, Forgejo); of `project` and `repository` (GitLab)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery, read but not believed."""

    provider: Provider
    event: Event
    urls: tuple[str, ...]
    """Every readable address of the repository in the payload, without repeats, at most MAX_URLS."""
    ref: str
    """`refs/heads/x`, `refs/tags/y`; empty: any ref may have changed."""
    commit: str
    """Where the ref is now; empty if that is not told, zeros if the ref was deleted."""
    timestamp: float | None
    """When it was made, in unix seconds; None except for the generic form."""
    signature: bytes = field(repr=False)
    """The HMAC-SHA256 that came along, 32 bytes; for GitLab the token itself, or if another replica passed it on, an HMAC with it. Empty: unsigned."""
    message: bytes = field(repr=False)
    """What the signature speaks of: the body as it came, byte by byte."""
    delivery_id: str = field(repr=False)
    """The sender's own id. Only GitLab's counts, since nobody signs it."""
    is_passed_on: bool = False
    """Whether another replica put a signature in the place of GitLab's token."""

    def is_signed_with(self, secret: bytes) -> bool:
        """Whether who sent it knows `secret`, compared in constant time. Nothing is signed with an empty secret."""
        if not secret or not self.signature:
            return False
        if self.is_passed_on:
            return hmac.compare_digest(self._signed(secret), self.signature)
        if self.provider is Provider.GITLAB:
            # Digests have one length, so the time tells not even how long the token is.
            return hmac.compare_digest(hashlib.sha256(self.signature).digest(), hashlib.sha256(secret).digest())
        return hmac.compare_digest(hmac.new(secret, self.message, hashlib.sha256).digest(), self.signature)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that are the same if this very delivery comes again, whatever headers it then has.

        An HMAC is that already: it changes with the secret and with every byte of the body, and is the same under the header of another provider. A
        delivery id would not do, since it is not signed. GitLab signs nothing, so what another replica would be passed is taken, with its id in it.
        """
        if self.provider is not Provider.GITLAB or self.is_passed_on:
            return self.signature
        return self._signed(self.signature)

    def _signed(self, token: bytes) -> bytes:
        """What stands for a token when this is passed on: of the sender's id, since two pushes may have one body, and of the body."""
        said = hashlib.sha256(self.delivery_id.encode("utf-8", "surrogateescape")).digest()
        return hmac.new(token, _STAND_IN_USE + said + self.message, hashlib.sha256).digest()


def passed_on(delivery: Delivery, headers: Mapping[str, str]) -> dict[str, str]:
    """Headers to pass a delivery on to other replicas with: those that `parse` reads, and nothing that is secret, since Pods speak plain HTTP with each other.

    Args:
        delivery: as it was read, and signed.
        headers: that it came with.
    """
    read = {*_EVENT_HEADERS.values(), *_SIGNATURE_HEADERS.values(), *_ID_HEADERS}
    kept = {name.lower(): value for name, value in headers.items() if name.lower() in read}
    if delivery.provider is Provider.GITLAB:
        kept[_STAND_IN] = delivery.fingerprint.hex()
    return kept


def parse(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Read one request. A missing, SHA-1 or unreadable signature gives a delivery that is signed with nothing.

    Args:
        headers: of the request; names in any case.
        body: as it came, not decompressed.

    Raises:
        MalformedDeliveryError: no JSON object, nested more than 1024 deep, or without what a push must tell: repository and ref, in the generic form
            repository and timestamp.
    """
    known = {name.lower(): value for name, value in headers.items()}
    provider = next((provider for provider, name in _EVENT_HEADERS.items() if name in known), Provider.GENERIC)
    payload = _object(body)
    event = _event(provider, known, payload)
    urls = _urls(provider, payload)
    if event is Event.PUSH and not urls:
        raise MalformedDeliveryError("the payload names no repository")
    return Delivery(
        provider=provider,
        event=event,
        urls=urls,
        ref=_ref(provider, known, payload) if event is Event.PUSH else "",
        commit=_commit(payload),
        timestamp=_timestamp(payload) if provider is Provider.GENERIC else None,
        signature=_signature(provider, known),
        message=body,
        delivery_id=next((known[name] for name in _ID_HEADERS if known.get(name)), "")[:MAX_TEXT],
        is_passed_on=provider is Provider.GITLAB and _STAND_IN in known,
    )


def concerns(ref: GitRef, delivery_ref: str) -> bool:
    """Whether a push to `delivery_ref` can change the commit that `ref` selects; an empty `delivery_ref` is any push.

    Precedence as in GitRef. A commit never changes; a semver range may change with any tag, also a deleted one.
    """
    if ref.commit:
        return False
    if not delivery_ref:
        return True
    if ref.name:
        return delivery_ref == ref.name
    if ref.semver:
        return delivery_ref.startswith("refs/tags/")
    if ref.tag:
        return delivery_ref == f"refs/tags/{ref.tag}"
    return delivery_ref == f"refs/heads/{ref.branch or 'main'}"


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise MalformedDeliveryError("the body is no JSON; choose the content type application/json where the webhook is set up") from exc
    if not isinstance(payload, dict):
        raise MalformedDeliveryError("the body is no JSON object")
    return payload


def _event(provider: Provider, known: Mapping[str, str], payload: Mapping[str, Any]) -> Event:
    if provider is Provider.GENERIC:
        return Event.PUSH
    if provider is Provider.GITLAB:
        # Push, tag and system hooks name the event in the payload; the header only says which kind of hook it is.
        name = _text(payload.get("object_kind")) or _text(payload.get("event_name"))
        return Event.PUSH if name in _GITLAB_PUSHES else Event.OTHER
    name = known[_EVENT_HEADERS[provider]]
    if name == "ping":
        return Event.PING
    return Event.PUSH if name in ("push", "create", "delete") else Event.OTHER


def _signature(provider: Provider, known: Mapping[str, str]) -> bytes:
    if provider is Provider.GITLAB and _STAND_IN not in known:
        return known.get("x-gitlab-token", "").encode("utf-8", "surrogateescape")
    if provider is Provider.GITLAB:
        digest = known[_STAND_IN]
        return bytes.fromhex(digest) if _DIGEST.fullmatch(digest) else b""
    value = known.get(_SIGNATURE_HEADERS[provider], "")
    digest = value if provider in _BARE_DIGEST else value.removeprefix("sha256=") if value.startswith("sha256=") else ""
    return bytes.fromhex(digest) if _DIGEST.fullmatch(digest) else b""


def _urls(provider: Provider, payload: Mapping[str, Any]) -> tuple[str, ...]:
    if provider is Provider.GENERIC:
        return _readable([payload.get("url")])
    gitlab = provider is Provider.GITLAB
    holders = [payload.get("project"), payload.get("repository")] if gitlab else [payload.get("repository")]
    return _readable(holder.get(name) for holder in holders if isinstance(holder, dict) for name in _URL_FIELDS[gitlab])


def _readable(values: Iterable[Any]) -> tuple[str, ...]:
    urls = dict.fromkeys(value for value in values if isinstance(value, str) and len(value) <= MAX_URL and repository_key(value))
    return tuple(urls)[:MAX_URLS]


def _ref(provider: Provider, known: Mapping[str, str], payload: Mapping[str, Any]) -> str:
    refs = payload.get("refs")
    if provider is Provider.GITLAB and isinstance(refs, list):
        # repository_update tells several refs at once.
        return _text(refs[0]) if len(refs) == 1 else ""
    if provider is Provider.GENERIC and payload.get("ref") in (None, ""):
        return ""
    ref = _text(payload.get("ref"))
    if known.get(_EVENT_HEADERS.get(provider, "")) in ("create", "delete") and ref and not ref.startswith("refs/"):
        ref = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(_text(payload.get("ref_type")), "") + ref
    if not ref.startswith("refs/"):
        raise MalformedDeliveryError("the payload names no ref in full, as in refs/heads/main")
    return ref


def _timestamp(payload: Mapping[str, Any]) -> float:
    """Without it, two pushes to one ref would have one body and one signature, and the second would pass for a replay of the first."""
    value = payload.get("timestamp")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MalformedDeliveryError("the payload has no timestamp, the time in unix seconds as a number")
    return float(value)


def _commit(payload: Mapping[str, Any]) -> str:
    after = _text(payload.get("after"))
    return after if _COMMIT.fullmatch(after) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable() else ""
