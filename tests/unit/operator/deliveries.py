"""Deliveries as the providers send them: the fields and headers that their documentation shows, signed for real."""

import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
ZEROS = "0" * 40


@dataclass(frozen=True)
class Sent:
    """One request: headers and raw body."""

    headers: dict[str, str]
    body: bytes

    def having(self, **headers: str) -> "Sent":
        """The same with these headers too; `_` in a name stands for `-`."""
        return replace(self, headers=self.headers | {name.replace("_", "-"): value for name, value in headers.items()})

    def without(self, *names: str) -> "Sent":
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


def digest(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def github(secret: bytes, *, repo: str = "acme/web", ref: str = "refs/heads/main", event: str = "push", **fields: Any) -> Sent:
    """docs.github.com, "Webhook events and payloads", push."""
    payload: dict[str, Any] = {
        "ref": ref,
        "before": "9049f1265b7d61be4a8904a9a27120d2064dab3b",
        "after": COMMIT,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"https://github.com/{repo}/compare/9049f1265b7d...6113728f27ae",
        "commits": [{"id": COMMIT, "message": "Raise replicas", "added": [], "removed": [], "modified": ["web.yaml"]}],
        "repository": {
            "id": 186853002,
            "name": repo.partition("/")[2],
            "full_name": repo,
            "private": True,
            "html_url": f"https://github.com/{repo}",
            "url": f"https://api.github.com/repos/{repo}",
            "git_url": f"git://github.com/{repo}.git",
            "ssh_url": f"git@github.com:{repo}.git",
            "clone_url": f"https://github.com/{repo}.git",
            "pushed_at": 1557933657,
            "default_branch": "main",
        },
        "pusher": {"name": "octocat", "email": "octocat@example.com"},
    } | fields
    body = json.dumps(payload).encode()
    return Sent(
        {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-GitHub-Hook-ID": "292430182",
            "X-Hub-Signature": "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest(),
            "X-Hub-Signature-256": "sha256=" + digest(secret, body),
        },
        body,
    )


def github_ping(secret: bytes, **repository: Any) -> Sent:
    """What GitHub sends when a webhook is made; one of an organisation has no repository."""
    payload = {"zen": "Design for failure.", "hook_id": 292430182, "hook": {"type": "Repository", "events": ["push"]}} | repository
    body = json.dumps(payload).encode()
    return Sent({"X-GitHub-Event": "ping", "X-Hub-Signature-256": "sha256=" + digest(secret, body)}, body)


def gitlab(token: str, *, repo: str = "acme/web", ref: str = "refs/heads/main", kind: str = "push", **fields: Any) -> Sent:
    """docs.gitlab.com, "Webhook events", push."""
    base, ssh = f"https://gitlab.example.com/{repo}", f"git@gitlab.example.com:{repo}.git"
    payload: dict[str, Any] = {
        "object_kind": kind,
        "event_name": kind,
        "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
        "after": COMMIT,
        "ref": ref,
        "checkout_sha": COMMIT,
        "user_username": "jsmith",
        "project": {
            "id": 15,
            "web_url": base,
            "git_ssh_url": ssh,
            "git_http_url": f"{base}.git",
            "path_with_namespace": repo,
            "default_branch": "main",
            "homepage": base,
            "url": ssh,
            "ssh_url": ssh,
            "http_url": f"{base}.git",
        },
        "commits": [],
        "total_commits_count": 1,
        "repository": {"name": "web", "url": ssh, "homepage": base, "git_http_url": f"{base}.git", "git_ssh_url": ssh},
    } | fields
    header = {"push": "Push Hook", "tag_push": "Tag Push Hook"}.get(kind, "System Hook")
    headers = {"X-Gitlab-Event": header, "X-Gitlab-Token": token, "Idempotency-Key": str(uuid.uuid4())}
    return Sent(headers, json.dumps(payload).encode())


def gitea(secret: bytes, *, repo: str = "acme/web", ref: str = "refs/heads/main", event: str = "push", forgejo: bool = False) -> Sent:
    """docs.gitea.com and forgejo.org, "Webhooks": both send the headers of those before them as well."""
    base = f"https://git.example.com:3000/{repo}"
    payload = {
        "ref": ref,
        "before": "28e1879d029cb852e4844d9c718537df08844e03",
        "after": COMMIT,
        "compare_url": f"{base}/compare/a...b",
        "commits": [{"id": COMMIT, "message": "Webhooks Yay!"}],
        "repository": {
            "id": 140,
            "full_name": repo,
            "html_url": base,
            "ssh_url": f"ssh://git@git.example.com:2222/{repo}.git",
            "clone_url": f"{base}.git",
            "default_branch": "main",
        },
        "pusher": {"login": "gitea"},
    }
    body = json.dumps(payload, indent=2).encode()
    signed = digest(secret, body)
    headers = {"X-GitHub-Event": event, "X-Gogs-Event": event, "X-Gitea-Event": event, "X-Gitea-Delivery": str(uuid.uuid4())}
    headers |= {"X-Hub-Signature-256": f"sha256={signed}", "X-Gogs-Signature": signed, "X-Gitea-Signature": signed}
    if forgejo:
        headers |= {"X-Forgejo-Event": event, "X-Forgejo-Signature": signed}
    return Sent(headers, body)


def generic(secret: bytes, *, timestamp: float = 1_700_000_000, **fields: Any) -> Sent:
    """Our own form, see docs/webhook.md."""
    payload = {"url": "https://git.example.com/acme/web", "ref": "refs/heads/main", "timestamp": timestamp} | fields
    body = json.dumps(payload).encode()
    return Sent({"X-Signature": "sha256=" + digest(secret, body)}, body)
