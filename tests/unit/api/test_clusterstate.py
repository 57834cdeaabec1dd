"""Reading a ClusterState's spec.

Aspects: defaults · every wrong field is named, its value never · unknown fields.
"""

from typing import Any

import pytest

from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.errors import InvalidSpecError

URL = "https://git.example.com/shop.git"


def spec(*, git: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"source": {"git": {"url": URL, **(git or {})}}, **more}


def test_a_url_is_enough_and_everything_else_has_a_default() -> None:
    found = parse_spec(spec())
    git = found.source.git
    assert (found.interval, git.interval, git.timeout, git.path, git.ref.branch) == ("10m", "1m", "1m", ".", None)
    assert found.prune.enabled
    assert found.prune.protected_kinds == ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"]


def test_names_are_read_in_camel_case() -> None:
    assert parse_spec(spec(prune={"protectedKinds": ["Secret"]})).prune.protected_kinds == ["Secret"]


def test_fields_of_a_newer_version_are_tolerated() -> None:
    assert parse_spec(spec(git={"sparseCheckout": ["a"]}, canary={"weight": 5})) == parse_spec(spec())


@pytest.mark.parametrize(
    "git",
    [
        pytest.param({"url": "http://localhost:3000/a"}, id="http"),
        pytest.param({"url": "file:///srv/git/a.git"}, id="file"),
        pytest.param({"ref": {"branch": "feature/a+b_c-1.2"}}, id="branch"),
        pytest.param({"ref": {"tag": "v1.2.3-rc.1+build"}}, id="tag"),
        pytest.param({"ref": {"commit": "0123456789abcdef0123456789abcdef01234567"}}, id="commit"),
        pytest.param({"path": "clusters/prod/"}, id="path-with-a-slash-at-the-end"),
        pytest.param({"path": "./clusters/..prod"}, id="path-with-dots-that-lead-nowhere"),
        pytest.param({"path": "Größe/世界"}, id="path-with-any-letters"),
    ],
)
def test_what_git_allows_and_we_need_is_accepted(git: dict[str, Any]) -> None:
    parse_spec(spec(git=git))


# Values in this table hold a word that must not come back in the message.
@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param({}, "spec.source", id="no-source"),
        pytest.param({"source": {}}, "spec.source.git", id="no-git"),
        pytest.param({"source": {"git": {}}}, "spec.source.git.url", id="no-url"),
        pytest.param({"source": "hunter2"}, "spec.source", id="source-of-a-wrong-type"),
        pytest.param(spec(git={"url": "https://user:hunter2@example.com/a"}), "spec.source.git.url", id="password-in-the-url"),
        pytest.param(spec(git={"url": "git://hunter2/a"}), "spec.source.git.url", id="git-protocol"),
        pytest.param(spec(git={"url": "git@hunter2:a"}), "spec.source.git.url", id="scp-like"),
        pytest.param(spec(git={"url": "ext::sh -c hunter2"}), "spec.source.git.url", id="remote-helper"),
        pytest.param(spec(git={"url": "https://hunter2 /a"}), "spec.source.git.url", id="blank-in-the-url"),
        pytest.param(spec(git={"url": "https://hunter2/" + "a" * 3000}), "spec.source.git.url", id="endless-url"),
        pytest.param(spec(git={"url": 7}), "spec.source.git.url", id="url-of-a-wrong-type"),
        pytest.param(spec(git={"ref": {"branch": "hunter2..x"}}), "spec.source.git.ref.branch", id="branch-with-dots"),
        pytest.param(spec(git={"ref": {"branch": "hunter2.lock"}}), "spec.source.git.ref.branch", id="branch-that-is-a-lock"),
        pytest.param(spec(git={"ref": {"branch": "--upload-pack=hunter2"}}), "spec.source.git.ref.branch", id="branch-that-is-an-option"),
        pytest.param(spec(git={"ref": {"tag": "hunter2/"}}), "spec.source.git.ref.tag", id="tag-ends-in-a-slash"),
        pytest.param(spec(git={"ref": {"tag": "hunter2 x"}}), "spec.source.git.ref.tag", id="tag-with-a-blank"),
        pytest.param(spec(git={"ref": {"commit": "hunter2"}}), "spec.source.git.ref.commit", id="short-commit"),
        pytest.param(spec(git={"ref": {"commit": "A" * 40}}), "spec.source.git.ref.commit", id="commit-in-capitals"),
        pytest.param(spec(git={"path": "/etc/hunter2"}), "spec.source.git.path", id="absolute-path"),
        pytest.param(spec(git={"path": "a/../../hunter2"}), "spec.source.git.path", id="path-that-leads-out"),
        pytest.param(spec(git={"path": "a//hunter2"}), "spec.source.git.path", id="path-with-an-empty-part"),
        pytest.param(spec(git={"path": "hunter2\n"}), "spec.source.git.path", id="path-with-a-newline"),
        pytest.param(spec(git={"path": "C:\\hunter2"}), "spec.source.git.path", id="windows-path"),
        pytest.param(spec(git={"interval": "hunter2"}), "spec.source.git.interval", id="interval-that-is-none"),
        pytest.param(spec(git={"interval": "5m5"}), "spec.source.git.interval", id="interval-without-a-unit"),
        pytest.param(spec(git={"timeout": "-1s"}), "spec.source.git.timeout", id="negative-timeout"),
        pytest.param(spec(git={"timeout": "0s"}), "spec.source.git.timeout", id="timeout-of-nothing"),
        pytest.param(spec(interval="1y"), "spec.interval", id="interval-in-years"),
        pytest.param(spec(interval="9999999h"), "spec.interval", id="interval-beyond-a-year"),
        pytest.param(spec(interval="0h"), "spec.interval", id="interval-of-nothing"),
        pytest.param(spec(interval=60), "spec.interval", id="interval-as-a-number"),
        pytest.param(spec(prune={"enabled": "hunter2"}), "spec.prune.enabled", id="switch-that-is-none"),
        pytest.param(spec(prune={"protectedKinds": "hunter2"}), "spec.prune.protectedKinds", id="kinds-as-text"),
        pytest.param(spec(prune={"protectedKinds": ["a", 7]}), "spec.prune.protectedKinds.1", id="kind-that-is-no-text"),
        pytest.param(spec(prune={"protectedKinds": ["x"] * 65}), "spec.prune.protectedKinds", id="too-many-kinds"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not_repeated(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse_spec(raw)
    assert f"{field}: " in caught.value.message
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse_spec(spec(git={"path": "/x", "timeout": "1y"}, interval="x"))
    for field in ("spec.interval", "spec.source.git.path", "spec.source.git.timeout"):
        assert field in caught.value.message


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_spec(spec()).interval = "1h"  # type: ignore[misc]
