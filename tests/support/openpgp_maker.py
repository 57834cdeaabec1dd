"""OpenPGP keys and signatures with any time, flag, hash and strength, for what GnuPG and Sequoia refuse to make.

Version 4 packets by hand (RFC 4880 5.2, 5.5; EdDSA as GnuPG writes it: RFC 9580 5.5.5.5, algorithm 22).
"""

import base64
import hashlib
import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, padding, rsa, utils

SIGN, CERTIFY, ENCRYPT = 0x02, 0x01, 0x0C
"""Key flags (RFC 9580 5.2.3.29)."""
HASH_IDS = {"md5": 1, "sha1": 2, "sha256": 8, "sha512": 10, "sha224": 11}

_BINARY, _POSITIVE, _SUBKEY_BINDING, _BACK, _KEY_REVOCATION, _SUBKEY_REVOCATION = 0x00, 0x13, 0x18, 0x19, 0x20, 0x28
_ED25519_OID = bytes.fromhex("2b06010401da470f01")
_ALGORITHMS = {"ed25519": 22, "rsa": 1, "dsa": 17}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303 - made to be refused
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha512": hashes.SHA512(),
}


@dataclass
class PacketKey:
    """A primary key or subkey with its secret.

    Attributes:
        created: its creation time; the fingerprint depends on it.
        kind: ed25519, rsa or dsa.
        bits: of an RSA or DSA key.
    """

    created: datetime
    kind: Literal["ed25519", "rsa", "dsa"] = "ed25519"
    bits: int = 2048
    body: bytes = field(init=False)

    def __post_init__(self) -> None:
        head = b"\x04" + _seconds(self.created) + bytes([_ALGORITHMS[self.kind]])
        if self.kind == "ed25519":
            self._secret: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | dsa.DSAPrivateKey = ed25519.Ed25519PrivateKey.generate()
            point = b"\x40" + self._secret.public_key().public_bytes_raw()
            self.body = head + bytes([len(_ED25519_OID)]) + _ED25519_OID + _mpi(int.from_bytes(point, "big"))
        elif self.kind == "rsa":
            self._secret = rsa.generate_private_key(65537, self.bits)
            numbers = self._secret.public_key().public_numbers()
            self.body = head + _mpi(numbers.n) + _mpi(numbers.e)
        else:
            self._secret = dsa.generate_private_key(self.bits)
            public = self._secret.public_key().public_numbers()
            domain = public.parameter_numbers
            self.body = head + _mpi(domain.p) + _mpi(domain.q) + _mpi(domain.g) + _mpi(public.y)

    @property
    def fingerprint(self) -> str:
        """In upper case, as gpg prints it."""
        return hashlib.sha1(self.hashed, usedforsecurity=False).hexdigest().upper()

    @property
    def hashed(self) -> bytes:
        """The key as signatures over it hash it."""
        return b"\x99" + struct.pack(">H", len(self.body)) + self.body

    def sign(
        self,
        data: bytes,
        at: datetime,
        *,
        expires: timedelta | None = None,
        hash_name: str = "sha256",
        kind: int = _BINARY,
        more: bytes = b"",
    ) -> bytes:
        """The body of a signature packet over `data`."""
        subpackets = _subpacket(2, _seconds(at)) + _subpacket(33, b"\x04" + bytes.fromhex(self.fingerprint)) + more
        if expires is not None:
            subpackets += _subpacket(3, struct.pack(">I", int(expires.total_seconds())))
        head = bytes([4, kind, _ALGORITHMS[self.kind], HASH_IDS[hash_name]]) + struct.pack(">H", len(subpackets)) + subpackets
        digest = hashlib.new(hash_name, data + head + b"\x04\xff" + struct.pack(">I", len(head)), usedforsecurity=False).digest()
        unhashed = _subpacket(16, bytes.fromhex(self.fingerprint)[-8:])
        return head + struct.pack(">H", len(unhashed)) + unhashed + digest[:2] + self._sign_digest(digest, hash_name)

    def _sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        prehashed = utils.Prehashed(_HASHES[hash_name])
        match self._secret:
            case ed25519.Ed25519PrivateKey():
                value = self._secret.sign(digest)
                return _mpi(int.from_bytes(value[:32], "big")) + _mpi(int.from_bytes(value[32:], "big"))
            case rsa.RSAPrivateKey():
                return _mpi(int.from_bytes(self._secret.sign(digest, padding.PKCS1v15(), prehashed), "big"))
            case _:
                r, s = utils.decode_dss_signature(self._secret.sign(digest[:32], prehashed))
                return _mpi(r) + _mpi(s)


@dataclass
class PacketCertificate:
    """A primary key with user id and subkeys, exported as gpg does; what is added later is exported too."""

    primary: PacketKey
    user: str = "Jane <jane@example.org>"
    expires: timedelta | None = None
    flags: int = SIGN | CERTIFY
    hash_name: str = "sha256"
    bound_at: datetime | None = None

    def __post_init__(self) -> None:
        name = self.user.encode()
        binding = self.primary.sign(
            self.primary.hashed + b"\xb4" + struct.pack(">I", len(name)) + name,
            self.bound_at or self.primary.created,
            hash_name=self.hash_name,
            kind=_POSITIVE,
            more=_limits(self.flags, self.expires),
        )
        self._head = packet(6, self.primary.body)
        self._users = packet(13, name) + packet(2, binding)
        self._subkeys = b""

    def add_subkey(
        self, key: PacketKey, *, flags: int = SIGN, expires: timedelta | None = None, back_signed: bool = True, at: datetime | None = None
    ) -> None:
        """Bind a subkey; one that signs needs its own signature on the binding (back_signed)."""
        both = self.primary.hashed + key.hashed
        more = _limits(flags, expires)
        if back_signed:
            more += _subpacket(32, key.sign(both, at or key.created, kind=_BACK))
        self._subkeys += packet(14, key.body) + packet(2, self.primary.sign(both, at or key.created, kind=_SUBKEY_BINDING, more=more))

    def revoke(self, at: datetime, *, reason: int = 0) -> None:
        """Revoke the primary key; reason 1 is superseded, 2 compromised (RFC 9580 5.2.3.31)."""
        body = self.primary.sign(self.primary.hashed, at, kind=_KEY_REVOCATION, more=_subpacket(29, bytes([reason])))
        self._head += packet(2, body)

    def revoke_subkey(self, key: PacketKey, at: datetime, *, reason: int = 0) -> None:
        """Revoke the subkey that was added last."""
        both = self.primary.hashed + key.hashed
        self._subkeys += packet(2, self.primary.sign(both, at, kind=_SUBKEY_REVOCATION, more=_subpacket(29, bytes([reason]))))

    @property
    def packets(self) -> bytes:
        """The key, not armored."""
        return self._head + self._users + self._subkeys

    @property
    def public(self) -> bytes:
        """The key as it goes into an entry `*.asc`."""
        return armor(self.packets, "PUBLIC KEY BLOCK")


def detached(*signatures: bytes) -> bytes:
    """Armor around signature packets with these bodies."""
    return armor(b"".join(packet(2, body) for body in signatures), "SIGNATURE")


def packet(tag: int, body: bytes) -> bytes:
    """One packet with a length of four bytes."""
    return bytes([0xC0 | tag, 0xFF]) + struct.pack(">I", len(body)) + body


def armor(data: bytes, kind: str) -> bytes:
    """ASCII armor without checksum."""
    text = base64.b64encode(data)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"-----BEGIN PGP %s-----\n\n%s\n-----END PGP %s-----\n" % (kind.encode(), lines, kind.encode())


def _limits(flags: int, expires: timedelta | None) -> bytes:
    limit = b"" if expires is None else _subpacket(9, struct.pack(">I", int(expires.total_seconds())))
    return _subpacket(27, bytes([flags])) + limit


def _subpacket(kind: int, body: bytes) -> bytes:
    return b"\xff" + struct.pack(">I", len(body) + 1) + bytes([kind]) + body


def _seconds(time: datetime) -> bytes:
    return struct.pack(">I", int(time.timestamp()))


def _mpi(number: int) -> bytes:
    bits = number.bit_length()
    return struct.pack(">H", bits) + number.to_bytes((bits + 7) // 8, "big")
