"""OpenPGP signatures: public keys as GnuPG exports them, and the check of one armored detached signature against them.

Sequoia (pysequoia) does the cryptography: self-signatures, key flags, back-signatures, and the validity of a key when the signature was made. Around it
stands what it leaves open: what bytes it may see at all (only keys and one signature, so nothing is ever decompressed), and that a key is still valid now.

Source: RFC 9580 (and RFC 4880, which it replaces): keys 5.5 and 10.1, signatures 5.2.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pysequoia import Cert, Sig
from pysequoia import verify as sequoia_verify
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

from cvstate_operator.errors import InvalidSpecError, VerificationFailedError
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.source import openpgp_framing

MIN_RSA_BITS: Final = 2048
"""NIST SP 800-131A: less is disallowed since 2013."""
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far in the future a signature may seem to be made; a laptop's clock is that wrong at times."""

_SIGNATURE_PACKET: Final = 2
_PUBLIC_KEY: Final = 6
_PUBLIC_SUBKEY: Final = 14
_SECRET_KEYS: Final = frozenset({5, 7})
_KEY_PACKETS: Final = frozenset({_SIGNATURE_PACKET, _PUBLIC_KEY, _PUBLIC_SUBKEY, 10, 12, 13, 17, 21})
"""What an exported key consists of (RFC 9580 10.1): keys, user ids (13), user attributes (17), signatures; marker, trust and padding are passed over."""

_RSA: Final = (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSASign)
_OTHER_KEYS: Final = (
    PublicKeyAlgorithm.EdDSA,
    PublicKeyAlgorithm.Ed25519,
    PublicKeyAlgorithm.Ed448,
    PublicKeyAlgorithm.ECDSA,
    PublicKeyAlgorithm.MLDSA65_Ed25519,
    PublicKeyAlgorithm.MLDSA87_Ed448,
    PublicKeyAlgorithm.SLHDSA128s,
    PublicKeyAlgorithm.SLHDSA128f,
    PublicKeyAlgorithm.SLHDSA256s,
)
_SELF: Final = (
    SignatureType.DirectKey,
    SignatureType.GenericCertification,
    SignatureType.PersonaCertification,
    SignatureType.CasualCertification,
    SignatureType.PositiveCertification,
)
"""Signatures by which a primary key says what it is for, and until when."""
_HASHES: Final = (HashAlgorithm.SHA256, HashAlgorithm.SHA384, HashAlgorithm.SHA512, HashAlgorithm.SHA3_256, HashAlgorithm.SHA3_512)
"""MD5, SHA-1 and RIPEMD-160 are broken or close to it; nobody needs SHA-224."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A primary key or subkey: what decides whether it may sign now."""

    fingerprint: str
    strength: str
    """Why the key is too weak, empty if it is not."""
    may_sign: bool
    is_revoked: bool
    bound_at: datetime | None
    """Time of the oldest self-signature that binds it."""
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a signature says of itself; nothing of it is known to be true."""

    kind: SignatureType
    hash_algorithm: HashAlgorithm
    created: datetime
    expires_at: datetime | None
    issuer: str
    """Fingerprint or key id in lower case, empty if there is none."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A public key with its subkeys and names.

    Attributes:
        fingerprint: of the primary key, in lower case.
        owner: its first user id that is not revoked, for people; may be empty.
    """

    fingerprint: str
    owner: str
    is_revoked: bool
    expires_at: datetime | None
    keys: Mapping[str, _Key]
    cert: Cert


def parse_keys(name: str, data: bytes) -> tuple[Certificate, ...]:
    """The keys of one entry of the Secret, in its order.

    Args:
        name: the entry, for messages, for example `jane.asc`.
        data: its content: one or more armored blocks with one or more keys each.

    Raises:
        InvalidSpecError: it cannot be read, holds a private key or one that is too weak, or no key.
    """
    where = f"spec.source.git.verify.secretRef: {name}"
    try:
        groups = list(_split(openpgp_framing.unarmor(data.replace(b"\r\n", b"\n"), b"PUBLIC KEY BLOCK")))
        if not groups:
            raise ValueError("holds no key")
    except ValueError as exc:
        raise InvalidSpecError(f"{where} {exc}; put the output of gpg --armor --export there") from None
    return tuple(_make_certificate(where, group) for group in groups)


MAX_EXPORTS: Final = 8
"""Most exports of one key that are joined; each join checks all its signatures again."""


def merge(certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Join what several entries say of one key: an export from before its expiry was moved, and one from after.

    Raises:
        InvalidSpecError: one key is there too often.
    """
    merged: dict[str, Certificate] = {}
    seen = Counter[str]()
    for certificate in certificates:
        seen[certificate.fingerprint] += 1
        if seen[certificate.fingerprint] > MAX_EXPORTS:
            raise InvalidSpecError(
                f"spec.source.git.verify.secretRef: holds OpenPGP key {certificate.fingerprint.upper()} more than {MAX_EXPORTS} times; keep its newest export"
            )
        known = merged.get(certificate.fingerprint)
        if known is not None:
            certificate = _describe(known.cert.merge(certificate.cert))
        merged[certificate.fingerprint] = certificate
    return tuple(merged.values())


def verify(signature: bytes, payload: bytes, certificates: Iterable[Certificate], *, what: str, now: datetime) -> Certificate:
    """The certificate whose key signed `payload`.

    Args:
        signature: armored detached signature.
        what: the object for messages.

    Raises:
        VerificationFailedError: no key of `certificates` that is valid then and now signed exactly this, or the form is not accepted.
    """
    said, data = _parse_signature(signature, what)
    _check_form(said, what, now)
    certificate, key = _find(certificates, said.issuer, what)
    if objection := _objection(certificate, key, said.created, now):
        raise _failed(what, f"is signed by OpenPGP key {key.fingerprint.upper()}, which {objection}")
    try:
        result = sequoia_verify(bytes=payload, store=lambda _: [certificate.cert], signature=Sig.from_bytes(data))
        signers = [(found.certificate, found.signing_key) for found in result.valid_sigs]
    except Exception:  # Sequoia's errors have one type, and their text holds a stack
        signers = []
    if signers != [(certificate.fingerprint, key.fingerprint)]:
        raise _failed(
            what,
            f"does not match its signature by OpenPGP key {key.fingerprint.upper()}: it was changed, the signature is of another object, "
            "or the key was not valid when it was made; sign it again",
        )
    return certificate


def _failed(what: str, why: str) -> VerificationFailedError:
    return VerificationFailedError(f"{what} {why}")


def _split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The packets of each key. Nothing but key packets passes, so the parser behind never meets a compressed or encrypted one.

    Raises:
        ValueError: they are no public keys.
    """
    for block in blocks:
        starts: list[int] = []
        for tag, start, _ in openpgp_framing.packets(block):
            if tag in _SECRET_KEYS:
                raise ValueError("holds a private key, which must not be there")
            if tag not in _KEY_PACKETS or (not starts and tag != _PUBLIC_KEY):
                raise ValueError("holds something else than public keys")
            if tag == _PUBLIC_KEY:
                starts.append(start)
        for start, end in zip(starts, [*starts[1:], len(block)], strict=True):
            yield block[start:end]


def _make_certificate(where: str, data: bytes) -> Certificate:
    try:
        weakness = _weakness(next(iter(PacketPile.from_bytes(data))))
        certificate = None if weakness else _describe(Cert.from_bytes(data))
    except Exception:  # Sequoia's errors have one type, and their text holds a stack
        raise InvalidSpecError(
            f"{where} holds a key that cannot be used: it is damaged, or nothing but SHA-1 vouches for it; put a current export there"
        ) from None
    if certificate is None:
        raise InvalidSpecError(f"{where} holds a key that is too weak, {weakness}; use ed25519, or RSA of {MIN_RSA_BITS} bits or more")
    return certificate


def _describe(cert: Cert) -> Certificate:
    keys = dict(_keys(cert))
    owner = next((one_line(str(user)) for user in cert.user_ids), "")
    return Certificate(cert.fingerprint.lower(), owner, cert.is_revoked, cert.expiration, keys, cert)


def _keys(cert: Cert) -> Iterator[tuple[str, _Key]]:
    """Each key of the certificate with what its self-signatures say of it.

    These are read here, not checked: this can only refuse what Sequoia, which checks them, accepts for the time of a signature. The one thing taken on
    trust is when a subkey expires, if a newer binding than the signature moved it; the file it stands in could name any key as well.
    """
    primary = cert.fingerprint.lower()
    packets = list(PacketPile.from_bytes(bytes(cert)))
    at = [index for index, packet in enumerate(packets) if packet.tag in (Tag.PublicKey, Tag.PublicSubkey)]
    for index, end in zip(at, [*at[1:], len(packets)], strict=True):
        packet, signatures = packets[index], [item for item in packets[index + 1 : end] if item.tag == Tag.Signature]
        own = [item for item in signatures if _names(_issuer(item), primary)]
        is_primary = packet.tag == Tag.PublicKey
        bindings = [
            item for item in own if _kind(item) in (_SELF if is_primary else (SignatureType.SubkeyBinding,)) and item.signature_created
        ]
        newest = max(bindings, key=lambda item: item.signature_created, default=None)
        fingerprint = (packet.fingerprint or "").lower()
        yield (
            fingerprint,
            _Key(
                fingerprint=fingerprint,
                strength=_weakness(packet),
                may_sign=any(item.key_flags and item.key_flags.signing for item in bindings),
                is_revoked=any(_kind(item) in (SignatureType.SubkeyRevocation, SignatureType.KeyRevocation) for item in signatures),
                bound_at=min((item.signature_created for item in bindings), default=None),
                expires_at=packet.key_created + newest.key_validity_period if newest and newest.key_validity_period else None,
            ),
        )


def _issuer(signature: Packet) -> str:
    return (signature.issuer_fingerprint or signature.issuer_key_id or "").lower()


def _kind(signature: Packet) -> SignatureType | None:
    """Its type, None if Sequoia does not know it: a key may carry signatures of a later time."""
    try:
        return signature.signature_type
    except RuntimeError:
        return None


def _names(issuer: str, fingerprint: str) -> bool:
    """Whether `issuer`, a fingerprint, a key id or empty, means this key: the id is the end of a version 4 fingerprint, the beginning of a version 6 one."""
    if len(issuer) == 16:
        return fingerprint.endswith(issuer) if len(fingerprint) == 40 else fingerprint.startswith(issuer)
    return issuer == fingerprint


def _weakness(key: Packet) -> str:
    """Why the key is too weak to be believed; empty if it is not."""
    try:
        algorithm = key.key_algorithm
    except RuntimeError:
        return "of an unknown kind"
    if algorithm in _RSA:
        # Version 4: version, 4 bytes of time, algorithm, then the modulus with its bits in front (RFC 9580 5.5.2, 5.5.5.1); version 6 has 4 bytes more.
        at = 10 if key.body[0] == 6 else 6
        bits = int.from_bytes(key.body[at : at + 2], "big")
        return f"RSA of {bits} bits" if bits < MIN_RSA_BITS else ""
    return "" if algorithm in _OTHER_KEYS else str(algorithm).rpartition(".")[2]


def _parse_signature(signature: bytes, what: str) -> tuple[_Signature, bytes]:
    """The one signature packet in the armor: what it says, and its bytes."""
    try:
        blocks = list(openpgp_framing.unarmor(signature, b"SIGNATURE"))
        if len(blocks) != 1:
            raise ValueError(f"holds {len(blocks)} signatures, and exactly one is accepted")
        found = list(openpgp_framing.packets(blocks[0]))
        if [tag for tag, _, _ in found] != [_SIGNATURE_PACKET]:
            raise ValueError(f"holds {len(found)} packets, and exactly one signature is accepted")
    except ValueError as exc:
        raise _failed(what, f"has an OpenPGP signature that {one_line(str(exc))}; sign it again with one key") from None
    try:
        (packet,) = PacketPile.from_bytes(blocks[0])
        kind, hash_algorithm, created = packet.signature_type, packet.hash_algorithm, packet.signature_created
        if kind is None or hash_algorithm is None or created is None:
            raise ValueError
        return _Signature(kind, hash_algorithm, created, packet.signature_expiration_time, _issuer(packet)), blocks[0]
    except Exception:  # Sequoia's errors have one type, and their text holds a stack
        raise _failed(what, "has an OpenPGP signature that cannot be read; sign it again") from None


def _check_form(said: _Signature, what: str, now: datetime) -> None:
    """What is wrong with the signature itself, whoever made it."""
    if said.kind != SignatureType.Binary:
        raise _failed(what, "has an OpenPGP signature that is not one of binary data; sign it with git")
    if said.hash_algorithm not in _HASHES:
        name = str(said.hash_algorithm).rpartition(".")[2]
        raise _failed(
            what, f"has an OpenPGP signature with {name}, which is too weak; sign with SHA-256 or better (digest-algo in gpg.conf)"
        )
    if said.created > now + CLOCK_SKEW:
        raise _failed(
            what, f"has a signature from the future, {_moment(said.created)}; correct the clock of the machine that signs, and sign again"
        )
    if said.expires_at and said.expires_at <= now:
        raise _failed(what, f"has a signature that expired at {_moment(said.expires_at)}; sign it again")


def _find(certificates: Iterable[Certificate], issuer: str, what: str) -> tuple[Certificate, _Key]:
    if issuer:
        for certificate in certificates:
            for fingerprint, key in certificate.keys.items():
                if _names(issuer, fingerprint):
                    return certificate, key
    shown = issuer.upper() or "that does not tell its name"
    raise _failed(
        what, f"is signed by OpenPGP key {shown}, which is not in verify.secretRef; add the public key, or sign with one that is there"
    )


def _objection(certificate: Certificate, key: _Key, signed_at: datetime, now: datetime) -> str:
    """Why the key cannot have made an acceptable signature, with what to do; empty if nothing is known against it.

    Expiry counts now as well as when the signature was made: the time in a signature is what its maker says, and a stolen old key would say an old one.
    """
    expired = min((time for time in (certificate.expires_at, key.expires_at) if time and time <= now), default=None)
    if certificate.is_revoked or key.is_revoked:
        return "is revoked; sign again with another key"
    if expired:
        return f"expired at {_moment(expired)}; extend it and put its new export beside the old one, or sign again with another key"
    if key.strength:
        return f"is too weak, {key.strength}; sign again with another key"
    if not key.may_sign:
        return "is not meant for signing; sign again with a key that is"
    if key.bound_at and signed_at < key.bound_at:
        return (
            f"has, in verify.secretRef, no self-signature as old as this signature (key {_moment(key.bound_at)}, signature "
            f"{_moment(signed_at)}); put an older export of the key there too, or sign again"
        )
    return ""


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
