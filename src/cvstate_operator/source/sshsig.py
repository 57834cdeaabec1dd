"""SSH signatures: keys as OpenSSH writes them, and the check of one armored SSHSIG signature against them.

Keys are lines of authorized_keys (without options) or of ssh-keygen's allowed_signers. Certificates and certificate authorities are refused: who is
trusted stands in the Secret, key by key.

Source: OpenSSH PROTOCOL.sshsig (format), PROTOCOL.u2f (security keys), ssh-keygen(1) "ALLOWED SIGNERS"; RFC 4253 6.6, RFC 5656, RFC 8332, RFC 8709.
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from cvstate_operator.errors import InvalidSpecError, VerificationFailedError
from cvstate_operator.objects.redaction import one_line

NAMESPACE: Final = "git"
"""The namespace git signs in (git's gpg-interface.c); a signature made for a file or a login is never one of a commit."""
MIN_RSA_BITS: Final = 2048
"""NIST SP 800-131A: less is disallowed since 2013."""
MAX_RSA_BITS: Final = 16384
"""Largest key OpenSSH takes (SSHBUF_MAX_BIGNUM); a larger one is only a slow check."""
MAX_LINE_CHARACTERS: Final = 8192
"""Longest line of a key; one of RSA with 16384 bits takes 2800."""

_ED25519: Final = "ssh-ed25519"
_SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
_SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
_RSA: Final = "ssh-rsa"
_CURVES: Final[dict[str, tuple[type[ec.EllipticCurve], type[hashes.HashAlgorithm]]]] = {
    "nistp256": (ec.SECP256R1, hashes.SHA256),
    "nistp384": (ec.SECP384R1, hashes.SHA384),
    "nistp521": (ec.SECP521R1, hashes.SHA512),
}
"""Curve and hash of each ECDSA key type (RFC 5656 6.2.1)."""
_KEY_TYPES: Final = frozenset({_ED25519, _SK_ED25519, _SK_ECDSA, _RSA, *(f"ecdsa-sha2-{curve}" for curve in _CURVES)})
_RSA_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {"rsa-sha2-256": hashes.SHA256, "rsa-sha2-512": hashes.SHA512}
_USER_PRESENT: Final = 0x01
"""Flag of a security key that somebody touched it (PROTOCOL.u2f)."""

_MAGIC: Final = b"SSHSIG"
_ARMOR: Final = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n?")
_SIGNER: Final = re.compile(
    r'(?P<principals>"[^"]+"|[^\s"]+)\s+(?:(?P<options>(?:[^\s"]|"[^"]*")+)\s+)?(?P<kind>(?:ssh|ecdsa|sk)-\S+)\s+(?P<key>\S+)(?:\s.*)?'
)
"""A line of allowed_signers; a line of authorized_keys without options begins with the type instead."""
_OPTION: Final = re.compile(r'([A-Za-z-]+)(?:="([^"]*)")?(?:,|$)')
_LOGIN_OPTIONS: Final = frozenset(
    {"cert-authority", "restrict", "verify-required", "no-touch-required"}
    | {no + option for no in ("", "no-") for option in ("agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding")}
)
"""Options of authorized_keys (sshd(8)) that would stand where allowed_signers has its principals: read as a name, what they restrict would be lost."""
_TIME_FORMATS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class SSHKey:
    """A public key that may sign.

    Attributes:
        kind: its OpenSSH name, for example `ssh-ed25519`.
        blob: the key in SSH's wire form; two keys are the same if this is.
        owner: principals or comment of its line, for people; may be empty.
        valid_after: not before, None without limit.
        valid_before: not at or after, None without limit.
    """

    kind: str
    blob: bytes
    public: PublicKey
    application: bytes = b""
    owner: str = ""
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l prints it: `SHA256:` and base64 without padding."""
        return _fingerprint(self.blob)


def parse_keys(name: str, data: bytes) -> tuple[SSHKey, ...]:
    """The keys of one entry of the Secret.

    Args:
        name: the entry, for messages, for example `jane.sshpub`.
        data: its content.

    Raises:
        InvalidSpecError: a line is no key, or one that is never accepted (private, DSA, RSA below 2048 bits, certificate); or there is no key.
    """
    if b"PRIVATE KEY" in data:
        raise InvalidSpecError(
            f"spec.source.git.verify.secretRef: {name} holds a private key; put the public key (.pub) there, and replace this key pair"
        )
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise InvalidSpecError(f"spec.source.git.verify.secretRef: {name} is not text; put the line of the .pub file there") from None
    keys = tuple(
        _parse_line(f"spec.source.git.verify.secretRef: {name} line {number}", line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    if not keys:
        raise InvalidSpecError(f"spec.source.git.verify.secretRef: {name} holds no key; put the line of the .pub file there")
    return keys


def verify(signature: bytes, payload: bytes, keys: Iterable[SSHKey], *, what: str, dated: datetime, now: datetime) -> SSHKey:
    """The key that signed `payload`.

    Args:
        signature: armored SSHSIG.
        what: the object for messages.
        dated: when the object says it was made; limits on a key's time hold then and now.

    Raises:
        VerificationFailedError: no key in `keys` signed exactly this, or the signature has a form that is not accepted.
    """
    parts = _parse_signature(signature, what)
    fingerprint = _fingerprint(parts.key)
    candidates = [key for key in keys if key.blob == parts.key]
    if not candidates:
        raise _failed(
            what, f"is signed by SSH key {fingerprint}, which is not in verify.secretRef; add the key, or sign with one that is there"
        )
    digest = hashlib.new(parts.hash_name, payload).digest()
    signed = _MAGIC + b"".join(map(_string, (NAMESPACE.encode(), b"", parts.hash_name.encode(), digest)))
    _check_signature(candidates[0], parts.signature, signed, what)
    objections = [_objection(key, dated, now) for key in candidates]
    for key, objection in zip(candidates, objections, strict=True):
        if not objection:
            return key
    raise _failed(
        what, f"is signed by SSH key {fingerprint}, which {objections[0]}; sign with another key, or correct its line in verify.secretRef"
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    key: bytes
    hash_name: str
    signature: bytes


class _Reader:
    """SSH's wire form (RFC 4251 5), read strictly.

    Raises:
        ValueError: it ends too early.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        if len(self._data) < count:
            raise ValueError("ends too early")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def integer(self) -> int:
        """A positive mpint in its shortest form."""
        data = self.string()
        if not data or data[0] & 0x80 or (data[0] == 0 and (len(data) == 1 or not data[1] & 0x80)):
            raise ValueError("holds a number that is not positive or not in its shortest form")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        if self._data:
            raise ValueError("goes on after its end")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _failed(what: str, why: str) -> VerificationFailedError:
    return VerificationFailedError(f"{what} {why}")


def _parse_line(where: str, line: str) -> SSHKey:
    """One key, from `TYPE BASE64 [COMMENT]` or `PRINCIPALS [OPTIONS] TYPE BASE64 [COMMENT]`."""
    if len(line) > MAX_LINE_CHARACTERS:
        raise InvalidSpecError(f"{where} is longer than {MAX_LINE_CHARACTERS} characters; put one key on each line")
    kind, encoded, comment = [*line.split(None, 2), "", ""][:3]
    if kind.startswith(("ssh-", "ecdsa-", "sk-")) and "@" not in kind.removesuffix("@openssh.com"):
        return _make_key(where, kind, encoded, owner=comment)
    found = _SIGNER.fullmatch(line)
    if found is None:
        raise InvalidSpecError(f"{where} is no SSH public key; put the line of the .pub file there, or one of allowed_signers")
    principals = found["principals"].strip('"')
    if _LOGIN_OPTIONS.intersection(principals.lower().split(",")):
        raise InvalidSpecError(
            f"{where} begins with an option of authorized_keys, which means nothing for commits; begin it with the type of the key"
        )
    limits = _parse_options(where, found["options"] or "")
    key = _make_key(where, found["kind"], found["key"], owner=principals)
    return replace(key, valid_after=limits.get("valid_after"), valid_before=limits.get("valid_before"))


def _parse_options(where: str, text: str) -> dict[str, datetime]:
    """The limits on time among the options of allowed_signers; the others are checked here."""
    limits: dict[str, datetime] = {}
    seen: set[str] = set()
    at = 0
    while at < len(text):
        match = _OPTION.match(text, at)
        name = match[1].lower().replace("-", "_") if match else ""
        if match is None or name in seen or name not in ("valid_after", "valid_before", "namespaces"):
            shown = one_line(match[1] if match else text[at:], 40)
            raise InvalidSpecError(
                f"{where} has an option that is not accepted: {shown}; use valid-after, valid-before and namespaces, each once"
            )
        if name != "namespaces":
            limits[name] = _parse_time(where, match[1], match[2] or "")
        elif not _matches_namespace(match[2] or ""):
            raise InvalidSpecError(f'{where} does not allow commits; write namespaces="{NAMESPACE}", or leave it out')
        seen.add(name)
        at = match.end()
    return limits


def _parse_time(where: str, option: str, text: str) -> datetime:
    """ssh-keygen(1): YYYYMMDD[HHMM[SS]][Z]. Without Z it is the time zone of the machine there, and UTC here."""
    digits = text.removesuffix("Z")
    try:
        return datetime.strptime(digits, _TIME_FORMATS[len(digits)]).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        raise InvalidSpecError(f"{where} has a time that cannot be read in {option}; write YYYYMMDD or YYYYMMDDHHMMSS, in UTC") from None


def _matches_namespace(patterns: str) -> bool:
    """OpenSSH's pattern lists (ssh_config(5) PATTERNS): `*`, `?`, and `!` before what is not to match."""
    allowed = False
    for pattern in patterns.split(","):
        wanted = pattern.removeprefix("!")
        if re.fullmatch("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in re.sub(r"\*+", "*", wanted)), NAMESPACE):
            if wanted != pattern:
                return False
            allowed = True
    return allowed


def _make_key(where: str, kind: str, encoded: str, *, owner: str) -> SSHKey:
    if "-cert-v01@" in kind:
        raise InvalidSpecError(f"{where} is a certificate; put the public key itself there")
    if kind not in _KEY_TYPES:
        raise InvalidSpecError(
            f"{where} has a key of a type that is not accepted, {one_line(kind, 40)}; use ed25519, ECDSA, or RSA of {MIN_RSA_BITS} bits or more"
        )
    try:
        blob = base64.b64decode(encoded, validate=True)
        public, application = _read_key(kind, blob)
    except (ValueError, binascii.Error) as exc:
        raise InvalidSpecError(
            f"{where} holds a key that cannot be used: {one_line(str(exc))}; put the line of the .pub file there"
        ) from None
    return SSHKey(kind, blob, public, application, one_line(owner))


def _read_key(kind: str, blob: bytes) -> tuple[PublicKey, bytes]:
    """The key in `blob`, and the application of a security key.

    Raises:
        ValueError: it is none of this type, or too weak.
    """
    reader = _Reader(blob)
    if reader.string() != kind.encode():
        raise ValueError("its data are of another type than its line says")
    public: PublicKey
    application = b""
    if kind in (_ED25519, _SK_ED25519):
        public = ed25519.Ed25519PublicKey.from_public_bytes(reader.string())
    elif kind == _RSA:
        exponent, modulus = reader.integer(), reader.integer()
        if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
            raise ValueError(f"RSA of {modulus.bit_length()} bits, and {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    else:
        curve = reader.string().decode("ascii")
        if not kind.removesuffix("@openssh.com").endswith(f"-{curve}") or curve not in _CURVES:
            raise ValueError("its curve is another than its type says")
        public = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve][0](), reader.string())
    if kind in (_SK_ED25519, _SK_ECDSA):
        application = reader.string()
    reader.end()
    return public, application


def _parse_signature(signature: bytes, what: str) -> _Parts:
    """The parts of an SSHSIG of version 1 for Git."""
    armor = _ARMOR.fullmatch(signature)
    if armor is None:
        raise _failed(what, "has an SSH signature that is damaged, or is followed by something else; sign it again")
    try:
        reader = _Reader(base64.b64decode(armor[1].replace(b"\n", b""), validate=True))
        magic, version = reader.take(len(_MAGIC)), reader.number()
        if magic != _MAGIC or version != 1:
            raise ValueError("is not of version 1")
        key, namespace, reserved, hash_name, inner = (reader.string() for _ in range(5))
        reader.end()
        if reserved:
            raise ValueError("uses its reserved field")
    except (ValueError, binascii.Error) as exc:
        raise _failed(what, f"has an SSH signature that cannot be read: it {one_line(str(exc))}; sign it again") from None
    if namespace != NAMESPACE.encode():
        shown = one_line(namespace.decode("utf-8", "backslashreplace"), 40)
        raise _failed(what, f"has an SSH signature made for {shown!r}, not for {NAMESPACE!r}; sign it with git (gpg.format=ssh)")
    if hash_name not in (b"sha256", b"sha512"):
        raise _failed(what, "has an SSH signature with a hash other than sha256 and sha512; sign it with git (gpg.format=ssh)")
    return _Parts(key, hash_name.decode(), inner)


def _check_signature(key: SSHKey, signature: bytes, signed: bytes, what: str) -> None:
    try:
        reader = _Reader(signature)
        algorithm, value = reader.string().decode("ascii", "replace"), reader.string()
        if key.kind in (_SK_ED25519, _SK_ECDSA):
            flags, counter = reader.take(1), reader.take(4)
            if not flags[0] & _USER_PRESENT:
                raise _failed(what, f"is signed by security key {key.fingerprint} without a touch; sign again, and touch the key")
            digests = (hashlib.sha256(key.application).digest(), hashlib.sha256(signed).digest())
            signed = digests[0] + flags + counter + digests[1]
        reader.end()
        if algorithm != key.kind and not (key.kind == _RSA and algorithm in _RSA_HASHES):
            raise ValueError("its algorithm is not of this key")
        if algorithm == _RSA:
            raise _failed(what, "has an RSA signature with SHA-1; sign it with OpenSSH 8.1 or newer")
        _check_value(key.public, algorithm, value, signed)
    except (ValueError, InvalidSignature):
        raise _failed(
            what,
            f"does not match its signature by SSH key {key.fingerprint}: it was changed, or the signature is of another object; sign it again",
        ) from None


def _check_value(public: PublicKey, algorithm: str, value: bytes, signed: bytes) -> None:
    """Check one bare signature.

    Raises:
        InvalidSignature: it is not of these bytes.
        ValueError: it cannot be read.
    """
    match public:
        case ed25519.Ed25519PublicKey():
            public.verify(value, signed)
        case rsa.RSAPublicKey():
            public.verify(value, signed, padding.PKCS1v15(), _RSA_HASHES[algorithm]())
        case ec.EllipticCurvePublicKey():
            reader = _Reader(value)
            r, s = reader.integer(), reader.integer()
            reader.end()
            public.verify(
                utils.encode_dss_signature(r, s), signed, ec.ECDSA(_CURVES[algorithm.removesuffix("@openssh.com").rpartition("-")[2]][1]())
            )


def _objection(key: SSHKey, dated: datetime, now: datetime) -> str:
    """Why the key must not be used, from the limits of its line; empty if it may. Both times count: the one in the commit is what its signer says."""
    for moment, name in ((dated, "the commit's time"), (now, "now")):
        if key.valid_after and moment < key.valid_after:
            return f"is valid only after {key.valid_after:%Y-%m-%d %H:%M:%S} UTC ({name} is before)"
        if key.valid_before and moment >= key.valid_before:
            return f"was valid only until {key.valid_before:%Y-%m-%d %H:%M:%S} UTC ({name} is after)"
    return ""
