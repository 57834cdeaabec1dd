"""Bad specs: the API server itself refuses them, with the field in its message, so that nobody has to look into a status."""

from typing import Any


def git(**fields: Any) -> dict[str, Any]:
    return {"source": {"git": {"url": "https://git.example.com/a.git", **fields}}}


SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "C03-path-up": (git(path="../../etc"), "path"),
    "C04-path-absolute": (git(path="/etc"), "path"),
    "C04-path-of-windows": (git(path="C:\\x"), "path"),
    "C04-path-nul": (git(path="a\0b"), "path"),
    "C20-bare-path": (git(url="/etc"), "url"),
    "C21-ext": (git(url="ext::sh -c id"), "url"),
    "C21-descriptor": (git(url="fd::7"), "url"),
    "C21-proxy-command": (git(url="-oProxyCommand=x"), "url"),
    "C21-upload-pack": (git(url="--upload-pack=x"), "url"),
    "C22-line-break": (git(url="https://example.com/a\r\nX: y"), "url"),
    "C22-nul": (git(url="https://example.com/\0"), "url"),
    "C22-tab": (git(url="https://example.com/\t"), "url"),
    "C22-blank": (git(url="https://example.com/a b"), "url"),
    "C23-option": (git(ref={"branch": "-x"}), "branch"),
    "C23-range": (git(ref={"branch": "main..dev"}), "ref"),
    "C23-reflog": (git(ref={"branch": "main@{1}"}), "branch"),
    "C23-file": (git(ref={"branch": "main:file"}), "branch"),
    "C23-search": (git(ref={"branch": "HEAD^{/a}"}), "branch"),
    "C23-nul": (git(ref={"tag": "a\0"}), "tag"),
    "C23-long": (git(ref={"tag": "a" * 5000}), "tag"),
    "C23-short-commit": (git(ref={"commit": "abc123"}), "commit"),
    "C23-range-of-versions": (git(ref={"semver": "$(id)"}), "semver"),
    "C23-name": (git(ref={"name": "main"}), "name"),
    "C28-password-in-url": (git(url="https://user:hunter2@example.com/a.git"), "url"),
    "C29-git-protocol": (git(url="git://example.com/a.git"), "url"),
    "C55-years": ({**git(), "interval": "1y"}, "interval"),
    "C55-negative": ({**git(), "interval": "-1s"}, "interval"),
    "C55-zero": ({**git(), "interval": "0s"}, "interval"),
    "C55-no-unit": ({**git(), "interval": "5m5"}, "interval"),
    "C55-timeout-zero": (git(timeout="0s"), "timeout"),
    "C67-owner-label": ({**git(), "render": {"commonLabels": {"applyset.kubernetes.io/part-of": "x"}}}, ""),
    "unknown-field": (git(brunch="main"), "brunch"),
}
"""By number and name: the spec, and a word of the refusal."""
