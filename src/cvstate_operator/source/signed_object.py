"""A commit or tag object taken apart: what was signed, and the signature. Reads raw bytes, strictly, and knows no keys.

Git signs the object's bytes without the signature, and is lenient in finding them: it joins several `gpgsig` headers, drops `gpgsig-sha256`, and takes
the last signature of a tag. Here every byte of the object is either the one signature or signed, and each header that decides what is rendered
stands exactly once, where Git writes it. So no two readers of the object can disagree on what was signed.

Source: gitformat-signature(5), git-hash-object(1); git's commit.c (parse_signed_commit) and gpg-interface.c (parse_signed_buffer) for the leniency.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cvstate_operator.errors import VerificationFailedError

MAX_OBJECT_BYTES: Final = 2**20
"""Largest commit or tag object; kernel merge commits with several mergetags stay below 64 KiB."""
MAX_SIGNATURE_BYTES: Final = 64 * 2**10
"""Largest signature; RSA-4096 takes 1 KiB, a post-quantum SLH-DSA signature 40 KiB in armor."""

_TREE: Final = re.compile(rb"tree ([0-9a-f]{40})")
_PARENT: Final = re.compile(rb"parent [0-9a-f]{40}")
_OBJECT: Final = re.compile(rb"object ([0-9a-f]{40})")
_PERSON: Final = re.compile(rb" [^<>\n]*<[^<>\n]*> (\d{1,12}) [+-]\d{4}")
_FIXED: Final = frozenset({b"tree", b"parent", b"author", b"committer"})
_BEGIN: Final = re.compile(rb"^-----BEGIN [A-Z ]+-----$", re.MULTILINE)
_MARKERS: Final = (
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
)
"""First lines that git takes for the start of a tag's signature (gpg-interface.c)."""


@dataclass(frozen=True, slots=True)
class SignedObject:
    """One object with its signature.

    Attributes:
        what: the object for messages, for example `commit 4c1f09aab3d2`.
        payload: the bytes that were signed: the object without its signature.
        signature: the armored signature.
        target: of a commit its tree, of a tag the commit it points at, in hex.
        dated: time of the committer or tagger. It is signed, but it is what the signer says.
        name: of a tag its own name; of a commit empty.
    """

    what: str
    payload: bytes
    signature: bytes
    target: str
    dated: datetime
    name: str = ""


def read_commit(object_id: str, raw: bytes) -> SignedObject:
    """Take a commit apart.

    Args:
        object_id: in hex; the bytes are checked against it.
        raw: the object without Git's own header.

    Raises:
        VerificationFailedError: it has no signature, more than one, or a form that Git itself does not write.
    """
    what = f"commit {object_id[:12]}"
    _check_bytes(what, "commit", object_id, raw)
    headers, _ = _headers(what, raw)
    target, dated = _check_commit_order(what, headers)
    found = [header for header in headers if header.name.startswith(b"gpgsig")]
    if not found:
        raise VerificationFailedError(f"{what} is not signed; sign it (git commit -S) and push again", verdict="SignatureMissing")
    if len(found) > 1:
        raise VerificationFailedError(
            f"{what} has {len(found)} signatures, and exactly one is accepted; sign it again (git commit --amend -S)"
        )
    if found[0].name != b"gpgsig":
        raise VerificationFailedError(f"{what} has only a signature of its SHA-256 form ({_text(found[0].name)}); sign its SHA-1 form")
    header = found[0]
    payload = raw[: header.start] + raw[header.end :]
    return SignedObject(what, payload, _checked_size(what, header.value), target, dated)


def read_tag(object_id: str, raw: bytes) -> SignedObject:
    """Take an annotated tag apart, which must point at a commit.

    Args:
        object_id: in hex; the bytes are checked against it.
        raw: the object without Git's own header.

    Raises:
        VerificationFailedError: it has no signature, more than one, points at something else, or has a form that Git itself does not write.
    """
    what = f"tag object {object_id[:12]}"
    _check_bytes(what, "tag", object_id, raw)
    headers, message_at = _headers(what, raw)
    if [header.name for header in headers] != [b"object", b"type", b"tag", b"tagger"]:
        raise _malformed(what, "its headers are not object, type, tag and tagger, each once and in this order")
    pointed, kind, name, tagger = headers
    if kind.value != b"commit":
        raise VerificationFailedError(
            f"{what} points at a {_text(kind.value)}, not at a commit; make the tag of the commit itself (git tag -s)"
        )
    target = _OBJECT.fullmatch(b"object " + pointed.value)
    if target is None:
        raise _malformed(what, "its object header is no object id")
    dated = _time(what, tagger)
    starts = [match.start() for match in _BEGIN.finditer(raw, message_at) if match.group() in _MARKERS]
    if not starts:
        raise VerificationFailedError(f"{what} is not signed; make it anew (git tag -s -f) and push it", verdict="SignatureMissing")
    if len(starts) > 1:
        raise VerificationFailedError(f"{what} has {len(starts)} signatures, and exactly one is accepted; make it anew (git tag -s -f)")
    signature = _checked_size(what, raw[starts[0] :])
    return SignedObject(what, raw[: starts[0]], signature, target.group(1).decode(), dated, _text(name.value))


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    value: bytes
    start: int
    end: int


def _check_bytes(what: str, kind: str, object_id: str, raw: bytes) -> None:
    if len(raw) > MAX_OBJECT_BYTES:
        raise VerificationFailedError(f"{what} is larger than {MAX_OBJECT_BYTES // 2**20} MiB; shorten its message")
    # SHA-1 because Git names objects by it; libgit2 looks for known collision attacks when it reads them.
    if hashlib.sha1(b"%s %d\0" % (kind.encode(), len(raw)) + raw, usedforsecurity=False).hexdigest() != object_id:
        raise _malformed(what, "its bytes do not have this id")
    if b"\0" in raw:
        raise _malformed(what, "it holds a NUL byte, behind which Git stops reading")


def _headers(what: str, raw: bytes) -> tuple[tuple[_Header, ...], int]:
    """The headers in order, and where the message begins. A line that begins with a blank continues the one before."""
    end = raw.find(b"\n\n")
    if end < 0:
        raise _malformed(what, "it has no end of its headers")
    headers: list[_Header] = []
    at = 0
    while at <= end:
        stop = at
        while True:
            stop = raw.index(b"\n", stop) + 1
            if raw[stop : stop + 1] != b" ":
                break
        name, blank, value = raw[at : stop - 1].partition(b" ")
        if not name or not blank:
            raise _malformed(what, "one of its headers has no name or no value")
        headers.append(_Header(name, value.replace(b"\n ", b"\n"), at, stop))
        at = stop
    return tuple(headers), end + 2


def _check_commit_order(what: str, headers: tuple[_Header, ...]) -> tuple[str, datetime]:
    """Tree and committer's time of a commit whose leading headers are tree, parents, author and committer, none of them again later."""
    names = [header.name for header in headers]
    parents = 0
    while names[1 + parents : 2 + parents] == [b"parent"]:
        parents += 1
    lead = [b"tree", *[b"parent"] * parents, b"author", b"committer"]
    rest = names[len(lead) :]
    if names[: len(lead)] != lead or _FIXED.intersection(rest) or rest.count(b"encoding") > 1:
        raise _malformed(what, "its headers are not tree, parents, author, committer, each in its place and none of them twice")
    tree = _TREE.fullmatch(b"tree " + headers[0].value)
    if tree is None or not all(_PARENT.fullmatch(b"parent " + header.value) for header in headers[1 : 1 + parents]):
        raise _malformed(what, "its tree or a parent is no object id")
    _time(what, headers[1 + parents])
    return tree.group(1).decode(), _time(what, headers[2 + parents])


def _time(what: str, header: _Header) -> datetime:
    person = _PERSON.fullmatch(b" " + header.value)
    if person is None:
        raise _malformed(what, f"its {_text(header.name)} is not name, address, time and zone")
    try:
        return datetime.fromtimestamp(int(person.group(1)), UTC)
    except (ValueError, OverflowError, OSError):
        raise _malformed(what, f"the time of its {_text(header.name)} is out of range") from None


def _checked_size(what: str, signature: bytes) -> bytes:
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise VerificationFailedError(f"the signature of {what} is larger than {MAX_SIGNATURE_BYTES // 2**10} KiB; sign again")
    return signature


def _malformed(what: str, why: str) -> VerificationFailedError:
    return VerificationFailedError(f"{what} is not as Git writes it: {why}; make it anew with git")


def _text(name: bytes) -> str:
    return name[:250].decode("utf-8", "backslashreplace")
