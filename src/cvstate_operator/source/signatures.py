"""Who signed a commit or tag, checked against the public keys of a Secret (`spec.source.git.verify`).

Runs in the child process of the fetch: objects come from Git and are hostile, keys come from a tenant's Secret. What an object's signature covers is
read in `signed_object.py`; the two kinds of signature are checked in `openpgp.py` and `sshsig.py`. Nothing here asks a clock, the network or a program.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pygit2
from pygit2.enums import ObjectType

from cvstate_operator.errors import InvalidSpecError, VerificationFailedError
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.source import openpgp, signed_object, sshsig
from cvstate_operator.source.openpgp import Certificate
from cvstate_operator.source.signed_object import SignedObject
from cvstate_operator.source.sshsig import SSHKey

MAX_KEYS_BYTES: Final = 2**20
"""Most bytes of all keys; a Secret holds no more (Kubernetes, MaxSecretSize)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The public keys whose signatures count."""

    openpgp: tuple[Certificate, ...] = ()
    ssh: tuple[SSHKey, ...] = ()

    @classmethod
    def parse(cls, files: Mapping[str, bytes]) -> "Keys":
        """The keys of a Secret: `*.asc` OpenPGP, `*.sshpub` SSH; other entries are passed over.

        Args:
            files: entry to content; never shown, only its name.

        Raises:
            InvalidSpecError: an entry cannot be read, holds a private, too weak or otherwise unusable key, or there is none at all.
        """
        wanted = {name: files[name] for name in sorted(files) if name.endswith((".asc", ".sshpub"))}
        if not wanted:
            raise InvalidSpecError(
                "spec.source.git.verify.secretRef: the Secret has no entry *.asc (OpenPGP) or *.sshpub (SSH); add the public keys of who may sign"
            )
        if sum(map(len, wanted.values())) > MAX_KEYS_BYTES:
            raise InvalidSpecError(
                f"spec.source.git.verify.secretRef: the keys are larger than {MAX_KEYS_BYTES // 2**20} MiB; keep only those that may sign"
            )
        certificates = [item for name, data in wanted.items() if name.endswith(".asc") for item in openpgp.parse_keys(one_line(name), data)]
        ssh = [key for name, data in wanted.items() if name.endswith(".sshpub") for key in sshsig.parse_keys(one_line(name), data)]
        return cls(openpgp.merge(certificates), tuple(ssh))


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, as `status.source.signedBy` shows it: `openpgp:FINGERPRINT (user id)` or `ssh:SHA256:… (principals or comment)`."""

    text: str

    def __str__(self) -> str:
        return self.text


def verify(
    repository: pygit2.Repository, *, commit: str, tag: str | None, mode: str, keys: Keys, now: datetime, tag_name: str | None = None
) -> Signer:
    """Check that what is about to be rendered is signed by one of the keys.

    Args:
        commit: id of the commit, in hex.
        tag: id of the annotated tag object that the ref points at; None if it is a branch, a commit or a lightweight tag.
        mode: HEAD (the commit), Tag (the tag object) or TagAndHEAD (both), as in `spec.source.git.verify.mode`.
        now: with a time zone. Keys must be valid now as well as when the signature was made.
        tag_name: short name of the tag that was asked for (`v1.2.0`); the tag object must have this name. None: its name is not looked at.

    Raises:
        VerificationFailedError: with verdict SignatureMissing if there is no signature, else SignatureInvalid.
    """
    signers: dict[str, str] = {}
    if mode in ("Tag", "TagAndHEAD"):
        signers["tag"] = _check(_read_tag(repository, commit, tag, tag_name), keys, now)
    if mode in ("HEAD", "TagAndHEAD"):
        signers["commit"] = _check(_read_commit(repository, commit), keys, now)
    if not signers:
        raise InvalidSpecError(f"spec.source.git.verify.mode: {one_line(mode)} is none of HEAD, Tag and TagAndHEAD")
    if len(set(signers.values())) == 1:
        return Signer(next(iter(signers.values())))
    return Signer("; ".join(f"{what} {who}" for what, who in sorted(signers.items())))


def _read_commit(repository: pygit2.Repository, commit: str) -> SignedObject:
    found = signed_object.read_commit(commit, _raw(repository, commit, ObjectType.COMMIT))
    try:
        parsed = repository[commit]
    except (KeyError, ValueError, pygit2.GitError):
        parsed = None
    if not isinstance(parsed, pygit2.Commit) or str(parsed.tree_id) != found.target:
        raise VerificationFailedError(f"{found.what} is read by libgit2 in another way than it is signed; make it anew with git")
    return found


def _read_tag(repository: pygit2.Repository, commit: str, tag: str | None, tag_name: str | None) -> SignedObject:
    if tag is None:
        raise VerificationFailedError(
            f"commit {commit[:12]} is not reached through an annotated tag, and verify.mode asks for a signed one; push one (git tag -s), or use mode HEAD",
            verdict="SignatureMissing",
        )
    found = signed_object.read_tag(tag, _raw(repository, tag, ObjectType.TAG))
    if found.target != commit:
        raise VerificationFailedError(
            f"{found.what} is of commit {found.target[:12]}, not of {commit[:12]}; make the tag anew (git tag -s -f)"
        )
    if tag_name is not None and found.name != tag_name:
        raise VerificationFailedError(
            f"{found.what} was signed as tag {one_line(found.name)!r}, and the ref is {one_line(tag_name)!r}: a tag under another name does not count; "
            "make a tag of this name (git tag -s)"
        )
    return found


def _raw(repository: pygit2.Repository, object_id: str, kind: ObjectType) -> bytes:
    """The object's bytes, after its kind and size were looked at."""
    what = f"{'commit' if kind is ObjectType.COMMIT else 'tag object'} {object_id[:12]}"
    try:
        found, size = repository.odb.read_header(object_id)
        if found != kind:
            raise VerificationFailedError(f"{what} is another kind of object; correct spec.source.git.ref")
        if size > signed_object.MAX_OBJECT_BYTES:
            raise VerificationFailedError(f"{what} is larger than {signed_object.MAX_OBJECT_BYTES // 2**20} MiB; shorten its message")
        return bytes(repository.read(object_id)[1])
    except (KeyError, ValueError, pygit2.GitError):
        raise VerificationFailedError(f"{what} cannot be read; fetch again, or correct spec.source.git.ref") from None


def _check(signed: SignedObject, keys: Keys, now: datetime) -> str:
    """Who signed the object, of whichever kind its signature is."""
    if signed.signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        key = sshsig.verify(signed.signature, signed.payload, keys.ssh, what=signed.what, dated=signed.dated, now=now)
        return _shown(f"ssh:{key.fingerprint}", key.owner)
    if signed.signature.startswith(b"-----BEGIN PGP SIGNATURE-----"):
        certificate = openpgp.verify(signed.signature, signed.payload, keys.openpgp, what=signed.what, now=now)
        return _shown(f"openpgp:{certificate.fingerprint.upper()}", certificate.owner)
    raise VerificationFailedError(
        f"{signed.what} has a signature of a kind that is not accepted (X.509 of gpgsm or gitsign, or none that Git makes); sign with OpenPGP or SSH"
    )


def _shown(key: str, owner: str) -> str:
    return f"{key} ({owner})" if owner else key
