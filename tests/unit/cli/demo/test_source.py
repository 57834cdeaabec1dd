"""How the demo serves its repository.

Aspects: git clones it both ways, with what the Secret holds; SSH lets nobody else in; what is missing is told with the remedy.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cvstate_operator.cli.demo import source
from cvstate_operator.cli.demo.source import Source
from cvstate_operator.cli.demo.wish import Transport
from cvstate_operator.errors import SettingsError


def clone(served: Source, into: Path, *, known_hosts: str, identity: str) -> subprocess.CompletedProcess[str]:
    """What git says, with nothing but these two to know."""
    (into.parent / "known_hosts").write_text(known_hosts)
    key = into.parent / "identity"
    key.touch(mode=0o600)
    key.write_text(identity)
    options = {"UserKnownHostsFile": into.parent / "known_hosts", "IdentityFile": key, "IdentitiesOnly": "yes", "BatchMode": "yes"}
    ssh = ("ssh", "-F", os.devnull, *(word for name, value in options.items() for word in ("-o", f"{name}={value}")))
    env = {"PATH": os.environ["PATH"], "HOME": str(into.parent), "GIT_SSH_COMMAND": shlex.join(ssh)}
    return subprocess.run(("git", "clone", "-q", served.url, str(into)), env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "transport",
    [Transport.HTTP, Transport.SSH],
)
def test_git_clones_what_is_served_with_what_the_secret_holds(tmp_path: Path, transport: Transport) -> None:
    with source.served(transport, tmp_path / "root") as served:
        assert served.url.startswith(f"{transport}://")
        served.repository.commit({"a.txt": "hello"})
        done = clone(
            served, tmp_path / "copy", known_hosts=served.secret.get("known_hosts", ""), identity=served.secret.get("identity", "")
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "a.txt").read_text() == "hello"


def test_another_key_is_not_let_in(tmp_path: Path) -> None:
    with source.served(Transport.SSH, tmp_path / "one") as served, source.served(Transport.SSH, tmp_path / "two") as other:
        done = clone(served, tmp_path / "copy", known_hosts=served.secret["known_hosts"], identity=other.secret["identity"])
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_secret_has_the_entries_that_the_operator_reads(tmp_path: Path) -> None:
    with source.served(Transport.SSH, tmp_path) as served:
        assert set(served.secret) == {"identity", "known_hosts"}
    with source.served(Transport.HTTP, tmp_path / "http") as served:
        assert not served.secret


def test_ssh_without_asyncssh_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(SettingsError, match=r"pip install asyncssh.*--git http"):
        source.check(Transport.SSH)
    source.check(Transport.HTTP)
