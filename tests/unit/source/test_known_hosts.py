"""known_hosts.

Aspects: which lines list a host, by name, port, pattern and hash · marks · fingerprints · what makes no sense.
"""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.source.known_hosts import HostKey, entry, listed
from tests.support.credentials import SshIdentity

KEY = SshIdentity.make().public.strip()
OTHER = SshIdentity.make().public.strip()


def key(public: str) -> HostKey:
    return HostKey(*public.split()[:2])


@pytest.mark.parametrize(
    ("names", "port", "is_listed"),
    [
        pytest.param("h.example.org", 22, True, id="plain"),
        pytest.param("H.Example.org", 22, True, id="letters-of-any-size"),
        pytest.param("h.example.org", 2222, False, id="the-default-port-is-not-another"),
        pytest.param("[h.example.org]:2222", 2222, True, id="with-port"),
        pytest.param("[h.example.org]:2222", 22, False, id="another-port"),
        pytest.param("a.example.org,h.example.org,192.0.2.1", 22, True, id="several-names"),
        pytest.param("*.example.org", 22, True, id="pattern"),
        pytest.param("?.example.org", 22, True, id="one-letter"),
        pytest.param("[*.example.org]:2222", 2222, True, id="pattern-with-port"),
        pytest.param("*.example.org,!h.example.org", 22, False, id="all-but-this"),
        pytest.param("[a-z].example.org", 22, False, id="brackets-are-no-pattern"),
        pytest.param("# h.example.org", 22, False, id="comment"),
        pytest.param("@cert-authority h.example.org", 22, False, id="authority"),
        pytest.param("@revoked h.example.org", 22, False, id="revoked"),
        pytest.param("@unknown h.example.org", 22, False, id="unknown-mark"),
        pytest.param("xh.example.org", 22, False, id="longer-name"),
        pytest.param("|1|x|y", 22, False, id="broken-hash"),
    ],
)
def test_a_line_lists_a_host_or_not(names: str, port: int, is_listed: bool) -> None:
    assert listed(f"{names} {KEY}\n".encode(), "h.example.org", port) == ([key(KEY)] if is_listed else [])


def test_a_hashed_name_is_found(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(f"[h.example.org]:2222 {KEY}\n")
    subprocess.run(("ssh-keygen", "-q", "-H", "-f", file), check=True, capture_output=True)
    assert listed(file.read_bytes(), "h.example.org", 2222) == [key(KEY)]
    assert listed(file.read_bytes(), "h.example.org", 22) == []


def test_every_key_of_a_host_is_listed_once_and_a_revoked_one_never() -> None:
    lines = f"h {KEY}\nh {OTHER} comment\nh,i {KEY}\n"
    assert listed(lines.encode(), "h", 22) == [key(KEY), key(OTHER)]
    assert listed(f"{lines}@revoked * {KEY}\n".encode(), "h", 22) == [key(OTHER)]


def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(KEY)
    told = subprocess.run(("ssh-keygen", "-l", "-f", tmp_path / "key.pub"), check=True, capture_output=True, text=True).stdout
    assert key(KEY).fingerprint == f"ssh-ed25519 {told.split()[1]}"


def test_the_default_port_is_not_named() -> None:
    assert (entry("h", 22), entry("h", 2222), entry("::1", 2222)) == ("h", "[h]:2222", "[::1]:2222")


@given(st.binary(max_size=200))
def test_whatever_stands_in_it_is_no_crash(data: bytes) -> None:
    listed(data, "h", 22)
    listed(b"h ssh-ed25519 " + data, "h", 22)
