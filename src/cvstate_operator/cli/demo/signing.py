"""Signing: the key pair with which the demo's commits are signed, made by ssh-keygen and used by git itself, as a person does it."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

OWNER: Final = "jane@example.test"
"""Whose key it is: the comment of its public line, which the operator names with the fingerprint."""
GIT_SINCE: Final = (2, 34)
"""The first git that signs with SSH keys. Source: its release notes, `gpg.format=ssh`."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair without passphrase."""

    private: Path
    """Its file; the public one stands beside it, with `.pub`."""
    public: str
    """One line, as it goes into an entry `*.sshpub` of a Secret."""
    fingerprint: str
    """As ssh-keygen shows it: `SHA256:…`."""

    @classmethod
    def make(cls, directory: Path) -> Self:
        """A new ed25519 key below a directory, which is made if absent.

        Raises:
            subprocess.CalledProcessError: ssh-keygen failed.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        private = directory / "signing"
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", OWNER, "-f", str(private))
        public = private.with_suffix(".pub")
        return cls(private, public.read_text(), _run("ssh-keygen", "-l", "-f", str(public)).split()[1])


def hindrance() -> str:
    """Why commits cannot be signed on this machine, and the remedy; empty if they can."""
    if not shutil.which("ssh-keygen"):
        return "ssh-keygen is not on PATH; install OpenSSH's client"
    said = _run("git", "version")
    version = re.search(r"(\d+)\.(\d+)", said)
    if version and (int(version[1]), int(version[2])) < GIT_SINCE:
        return f"git is {version[0]}; signing with SSH keys needs {GIT_SINCE[0]}.{GIT_SINCE[1]} or newer"
    return ""


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
