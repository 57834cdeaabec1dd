"""Keys and signed Git objects for tests: made by gpg and ssh-keygen, as a user makes them, and used by git itself.

Where gpg is not installed, Sequoia makes the OpenPGP key and a small program in gpg's place signs with it, so no test is left out. Keys and objects
that these tools refuse to make (expired, weak, wrong namespace) come from `tests/support/openpgp_maker.py` and from `insert_signature`.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pysequoia import CipherSuite, Sig, SignatureMode, Tsk, sign

from cvstate_operator.cli.demo.git_server import Repository

HAS_GPG = shutil.which("gpg") is not None

_GPG = """#!/bin/sh
exec gpg --homedir '{home}' --batch --no-tty --quiet --no-auto-check-trustdb "$@"
"""
_IN_PLACE_OF_GPG = """#!{python}
# Signs as `gpg -bsau KEY` does for git: the payload comes on standard input, the armored signature goes to standard output.
import sys
from pysequoia import SignatureMode, Tsk, sign
sys.stdout.buffer.write(sign(Tsk.from_file({key!r}).signer(), sys.stdin.buffer.read(), mode=SignatureMode.DETACHED))
sys.stderr.write("\\n[GNUPG:] SIG_CREATED \\n")
"""
_SUITES = {"ed25519": CipherSuite.Cv25519, "rsa2048": CipherSuite.RSA2k, "rsa3072": CipherSuite.RSA3k, "nistp256": CipherSuite.P256}


@dataclass(frozen=True)
class GpgKey:
    """An OpenPGP key with which git can sign.

    Attributes:
        home: directory of its keyring; close() ends the agent that gpg started there.
        fingerprint: of the primary key, in upper case.
        signs_as: fingerprint of the key that signs: the primary one or a subkey.
        public: armored public key, as it goes into an entry `*.asc` of a Secret.
    """

    home: Path
    fingerprint: str
    signs_as: str
    public: bytes

    entry = "signer.asc"

    @classmethod
    def make(cls, home: Path, *, algorithm: str = "ed25519", user: str = "Jane <jane@example.org>") -> "GpgKey":
        """A new key without passphrase and expiry.

        Args:
            home: directory to make; a short path, since the agent's socket stands below it (at most 108 bytes).
            algorithm: as gpg spells it: ed25519, rsa2048, rsa3072 or nistp256.
        """
        home.mkdir(mode=0o700, parents=True)
        if not HAS_GPG:
            return cls._make_without_gpg(home, algorithm, user)
        program = _script(home / "sign-with-gpg", _GPG.format(home=home))
        _run(program, "--passphrase", "", "--quick-gen-key", user, algorithm, "sign", "never")
        listed = _run(program, "--with-colons", "--list-keys").decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        return cls(home, fingerprint, fingerprint, _run(program, "--armor", "--export", fingerprint))

    @classmethod
    def _make_without_gpg(cls, home: Path, algorithm: str, user: str) -> "GpgKey":
        key = Tsk.generate(user, cipher_suite=_SUITES[algorithm])
        (home / "key.pgp").write_bytes(bytes(key))
        _script(home / "sign-with-gpg", _IN_PLACE_OF_GPG.format(python=sys.executable, key=str(home / "key.pgp")))
        public = key.extract_certificate()
        sample = Sig.from_bytes(sign(key.signer(), b"", mode=SignatureMode.DETACHED))
        return cls(home, public.fingerprint.upper(), str(sample.issuer_fingerprint).upper(), str(public).encode())

    def git_config(self) -> tuple[str, ...]:
        """Options for `git`, before its command: `repository.git(*key.git_config(), "commit", "-S", ...)`."""
        return _options(format="openpgp", program=str(self.home / "sign-with-gpg"), key=self.fingerprint)

    def gpg(self, *args: str) -> bytes:
        """Run gpg with this keyring."""
        return _run(str(self.home / "sign-with-gpg"), *args)

    def close(self) -> None:
        """End the agent of this keyring."""
        if HAS_GPG:
            _run("gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent")

    def __enter__(self) -> "GpgKey":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class SshKey:
    """An SSH key with which git can sign.

    Attributes:
        private: file of the private key; the public one stands beside it, with `.pub`.
        fingerprint: as ssh-keygen -l prints it.
        public: its public line, as it goes into an entry `*.sshpub` of a Secret.
    """

    private: Path
    fingerprint: str
    public: bytes

    entry = "signer.sshpub"

    @property
    def signs_as(self) -> str:
        """The same; an SSH key has no subkeys."""
        return self.fingerprint

    @classmethod
    def make(cls, directory: Path, *, kind: str = "ed25519", bits: int | None = None, comment: str = "jane@example.org") -> "SshKey":
        """A new key without passphrase.

        Args:
            directory: made if absent; the key gets a name of its own in it.
            kind: as ssh-keygen spells it: ed25519, ecdsa or rsa.
            bits: of an RSA or ECDSA key; None takes ssh-keygen's default.
        """
        directory.mkdir(parents=True, exist_ok=True)
        private = directory / f"id_{kind}_{len(list(directory.glob('*.pub')))}"
        size = () if bits is None else ("-b", str(bits))
        _run("ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", comment, "-f", str(private))
        public = private.with_name(private.name + ".pub")
        return cls(private, _run("ssh-keygen", "-l", "-f", str(public)).decode().split()[1], public.read_bytes())

    def git_config(self) -> tuple[str, ...]:
        """Options for `git`, before its command: `repository.git(*key.git_config(), "commit", "-S", ...)`."""
        return _options(format="ssh", program="ssh-keygen", key=str(self.private))

    def allowed_signers(self) -> bytes:
        """Its line for git's gpg.ssh.allowedSignersFile."""
        return b"jane@example.org " + self.public

    def sign(self, payload: bytes, *, namespace: str = "git", hash_name: str = "sha512") -> bytes:
        """Armored SSHSIG of `payload`."""
        return subprocess.run(
            ("ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-O", f"hashalg={hash_name}", "-f", str(self.private)),
            input=payload,
            check=True,
            capture_output=True,
        ).stdout


SigningKey = GpgKey | SshKey


def commit(repository: Repository, key: SigningKey, message: str = "signed", *, options: tuple[str, ...] = ()) -> str:
    """Commit nothing but a message, signed by git with this key; returns the commit id."""
    repository.git(*key.git_config(), *options, "commit", "-q", "-S", "--allow-empty", "-m", message)
    return repository.git("rev-parse", "HEAD").strip()


def tag(repository: Repository, key: SigningKey, name: str, target: str = "HEAD") -> str:
    """Make an annotated tag, signed by git with this key; returns the id of the tag object."""
    repository.git(*key.git_config(), "tag", "-s", "-m", f"release {name}", name, target)
    return repository.git("rev-parse", f"refs/tags/{name}").strip()


def raw(repository: Repository, object_id: str) -> bytes:
    """The bytes of an object, as they are stored."""
    return bytes(pygit2.Repository(str(repository.directory)).read(object_id)[1])


def write(repository: Repository, kind: str, data: bytes) -> str:
    """Store an object as it is, however wrong; returns its id."""
    command = ("git", "hash-object", "-t", kind, "-w", "--literally", "--stdin")
    done = subprocess.run(command, cwd=repository.directory, input=data, check=True, capture_output=True)
    return done.stdout.decode().strip()


def insert_signature(payload: bytes, signature: bytes, header: bytes = b"gpgsig") -> bytes:
    """A commit's bytes with a signature as its last header, as git puts it there."""
    headers, message = payload.split(b"\n\n", 1)
    return headers + b"\n" + header + b" " + signature.strip().replace(b"\n", b"\n ") + b"\n\n" + message


def _options(*, format: str, program: str, key: str) -> tuple[str, ...]:
    named = {"gpg.format": format, f"gpg.{format}.program": program, "user.signingKey": key}
    return tuple(word for name, value in named.items() for word in ("-c", f"{name}={value}"))


def _script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout
