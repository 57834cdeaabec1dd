"""OpenPGP signatures, made by gpg and, where it refuses to make them, packet by packet.

Aspects: real keys · when keys and signatures are valid · flags, subkeys, revocation · hashes and strength · the form of the signature · the form of
keys, private ones, several in a file, several exports of one · hostile input in bounded time · every flipped bit.
"""

import base64
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pysequoia import CipherSuite, Profile, SignatureMode, Tsk, sign

from cvstate_operator.errors import InvalidSpecError, VerificationFailedError
from cvstate_operator.source import openpgp
from tests.support.openpgp_maker import CERTIFY, ENCRYPT, SIGN, PacketCertificate, PacketKey, armor, detached, packet
from tests.support.signing import GpgKey

PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nmessage\n"
MADE = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SIGNED = MADE + 10 * DAY
NOW = MADE + 100 * DAY
"""All in the past, because Sequoia asks the real clock as well: whether a signature is from the future or has expired, and whether a key is revoked."""


@pytest.fixture(scope="module", params=["ed25519", "rsa3072", "nistp256"])
def gpg(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpgKey]:
    with GpgKey.make(tmp_path_factory.mktemp("gpg") / "home", algorithm=request.param) as key:
        yield key


@pytest.fixture
def primary() -> PacketKey:
    return PacketKey(MADE)


def check(signature: bytes, *public: bytes, payload: bytes = PAYLOAD, now: datetime = NOW) -> openpgp.Certificate:
    certificates = openpgp.merge(key for data in public for key in openpgp.parse_keys("jane.asc", data))
    return openpgp.verify(signature, payload, certificates, what="commit 4c1f09aab3d2", now=now)


def refused(signature: bytes, *public: bytes, now: datetime = NOW) -> str:
    with pytest.raises(VerificationFailedError) as caught:
        check(signature, *public, now=now)
    assert caught.value.verdict == "SignatureInvalid"
    assert "commit 4c1f09aab3d2" in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


def signed(key: PacketKey, **more: object) -> bytes:
    return detached(key.sign(PAYLOAD, more.pop("at", SIGNED), **more))  # type: ignore[arg-type]


def gpg_sign(key: GpgKey, path: Path, payload: bytes = PAYLOAD) -> bytes:
    path.write_bytes(payload)
    with path.open("rb") as stream:
        return subprocess.run(
            (str(key.home / "sign-with-gpg"), "-bsa", "-u", key.fingerprint), stdin=stream, check=True, capture_output=True
        ).stdout


def test_a_signature_by_gpg_is_accepted(gpg: GpgKey, tmp_path: Path) -> None:
    found = check(gpg_sign(gpg, tmp_path / "payload"), gpg.public, now=datetime.now(UTC))
    assert (found.fingerprint.upper(), found.owner) == (gpg.fingerprint, "Jane <jane@example.org>")


def test_a_signature_of_other_bytes_is_refused(gpg: GpgKey, tmp_path: Path) -> None:
    assert "does not match" in refused(gpg_sign(gpg, tmp_path / "payload", PAYLOAD + b"x"), gpg.public, now=datetime.now(UTC))


@pytest.mark.parametrize("suite", [CipherSuite.Cv25519, CipherSuite.Cv448, CipherSuite.RSA2k, CipherSuite.P384])
@pytest.mark.parametrize("profile", [Profile.RFC4880, Profile.RFC9580])
def test_keys_of_both_generations_are_accepted(suite: CipherSuite, profile: Profile) -> None:
    secret = Tsk.generate("Jane <jane@example.org>", cipher_suite=suite, profile=profile)
    signature = sign(secret.signer(), PAYLOAD, mode=SignatureMode.DETACHED)
    public = secret.extract_certificate()
    assert check(signature, str(public).encode(), now=datetime.now(UTC)).fingerprint == public.fingerprint.lower()


def test_the_keys_made_here_are_right_if_nothing_is_wrong_with_them(primary: PacketKey) -> None:
    assert check(signed(primary), PacketCertificate(primary).public).owner == "Jane <jane@example.org>"


def test_an_unknown_key_is_named(primary: PacketKey) -> None:
    message = refused(signed(primary), PacketCertificate(PacketKey(MADE)).public)
    assert primary.fingerprint in message
    assert "not in verify.secretRef" in message


def test_a_signature_that_names_another_key_than_made_it_is_refused(primary: PacketKey) -> None:
    other = PacketKey(MADE)
    body = bytearray(other.sign(PAYLOAD, SIGNED)).replace(bytes.fromhex(other.fingerprint), bytes.fromhex(primary.fingerprint))
    body = body.replace(bytes.fromhex(other.fingerprint)[-8:], bytes.fromhex(primary.fingerprint)[-8:])
    assert "does not match" in refused(detached(bytes(body)), PacketCertificate(primary).public, PacketCertificate(other).public)


@pytest.mark.parametrize(
    ("expires", "now", "words"),
    [
        (None, NOW, ""),
        (50 * DAY, MADE + 20 * DAY, ""),
        (50 * DAY, MADE + 50 * DAY, "expired at 2024-02-20 00:00:00 UTC"),
        (50 * DAY, NOW, "expired at 2024-02-20 00:00:00 UTC"),
        (5 * DAY, NOW, "expired at 2024-01-06 00:00:00 UTC"),
        (5 * DAY, MADE + 4 * DAY, "from the future"),
    ],
    ids=["never", "not yet", "at this moment", "since the signature", "before the signature", "signature of tomorrow"],
)
@pytest.mark.parametrize("of", ["primary", "subkey"])
def test_a_key_must_be_valid_when_it_signs_and_now(
    of: str, expires: timedelta | None, now: datetime, words: str, primary: PacketKey
) -> None:
    subkey = PacketKey(MADE)
    certificate = PacketCertificate(primary, expires=expires if of == "primary" else None)
    certificate.add_subkey(subkey, expires=expires if of == "subkey" else None)
    if words:
        assert words in refused(signed(subkey), certificate.public, now=now)
    else:
        check(signed(subkey), certificate.public, now=now)


def test_a_key_that_expired_and_was_extended_later_did_not_sign_in_between(primary: PacketKey) -> None:
    old = PacketCertificate(primary, expires=5 * DAY).public
    new = PacketCertificate(primary, expires=500 * DAY, bound_at=MADE + 20 * DAY).public
    refused(signed(primary, at=MADE + 10 * DAY), old, new)
    check(signed(primary, at=MADE + 4 * DAY), old, new)
    check(signed(primary, at=MADE + 30 * DAY), old, new)


def test_after_an_extension_the_older_export_is_needed_for_older_signatures(primary: PacketKey) -> None:
    """GnuPG replaces a self-signature when it extends a key; the new export alone does not say what held before."""
    old = PacketCertificate(primary, expires=50 * DAY).public
    new = PacketCertificate(primary, expires=500 * DAY, bound_at=MADE + 40 * DAY).public
    assert "put an older export" in refused(signed(primary), new)
    check(signed(primary), old, new)
    check(signed(primary), new, old)


def test_signatures_expire(primary: PacketKey) -> None:
    public = PacketCertificate(primary).public
    check(signed(primary, expires=36500 * DAY), public)
    assert "expired at" in refused(signed(primary, expires=10 * DAY), public, now=SIGNED + 10 * DAY)


def test_a_clock_may_be_a_little_wrong_but_not_much(primary: PacketKey) -> None:
    public = PacketCertificate(primary).public
    check(signed(primary), public, now=SIGNED - timedelta(minutes=4))
    assert "from the future" in refused(signed(primary), public, now=SIGNED - timedelta(minutes=6))


@pytest.mark.parametrize("reason", [0, 1, 2, 3], ids=["none given", "superseded", "compromised", "retired"])
def test_a_revoked_key_never_counts_even_for_older_signatures(reason: int, primary: PacketKey) -> None:
    certificate = PacketCertificate(primary)
    certificate.revoke(SIGNED + DAY, reason=reason)
    assert "is revoked" in refused(signed(primary), certificate.public)


def test_a_revocation_in_one_export_counts_for_all(primary: PacketKey) -> None:
    certificate = PacketCertificate(primary)
    before = certificate.public
    certificate.revoke(SIGNED + DAY)
    assert "is revoked" in refused(signed(primary), before, certificate.public)
    assert "is revoked" in refused(signed(primary), certificate.public, before)


def test_a_subkey_signs_in_the_name_of_its_primary_key(primary: PacketKey) -> None:
    subkey = PacketKey(MADE)
    certificate = PacketCertificate(primary, flags=CERTIFY)
    certificate.add_subkey(subkey)
    assert check(signed(subkey), certificate.public).fingerprint.upper() == primary.fingerprint


def test_a_subkey_of_a_revoked_key_does_not_count(primary: PacketKey) -> None:
    subkey = PacketKey(MADE)
    certificate = PacketCertificate(primary)
    certificate.add_subkey(subkey)
    certificate.revoke(SIGNED + DAY)
    assert "is revoked" in refused(signed(subkey), certificate.public)


def test_a_revoked_subkey_does_not_count_and_leaves_the_primary_key_alone(primary: PacketKey) -> None:
    subkey = PacketKey(MADE)
    certificate = PacketCertificate(primary)
    certificate.add_subkey(subkey)
    certificate.revoke_subkey(subkey, SIGNED + DAY)
    assert "is revoked" in refused(signed(subkey), certificate.public)
    check(signed(primary), certificate.public)


def test_a_key_that_is_not_meant_for_signing_does_not_count(primary: PacketKey) -> None:
    subkey = PacketKey(MADE)
    certificate = PacketCertificate(primary, flags=CERTIFY)
    certificate.add_subkey(subkey, flags=ENCRYPT)
    assert "not meant for signing" in refused(signed(primary), certificate.public)
    assert "not meant for signing" in refused(signed(subkey), certificate.public)


def test_a_subkey_that_did_not_agree_to_its_binding_does_not_count(primary: PacketKey) -> None:
    """Else anybody could take another's subkey for his own, and his signatures with it (RFC 9580 5.2.1.9)."""
    subkey = PacketKey(MADE)
    certificate = PacketCertificate(primary)
    certificate.add_subkey(subkey, back_signed=False)
    refused(signed(subkey), certificate.public)


@pytest.mark.parametrize(("hash_name", "ok"), [("md5", False), ("sha1", False), ("sha224", False), ("sha256", True), ("sha512", True)])
def test_the_hash_must_be_strong(hash_name: str, ok: bool) -> None:
    key = PacketKey(MADE, "rsa", 2048)
    public = PacketCertificate(key).public
    if ok:
        check(signed(key, hash_name=hash_name), public)
    else:
        assert "too weak" in refused(signed(key, hash_name=hash_name), public)


@pytest.mark.parametrize(
    ("kind", "bits", "words"),
    [("rsa", 1024, "RSA of 1024 bits"), ("dsa", 1024, "DSA"), ("dsa", 2048, "DSA")],
)
def test_a_weak_key_is_refused_in_the_secret(kind: str, bits: int, words: str) -> None:
    key = PacketKey(MADE, kind, bits)  # type: ignore[arg-type]
    with pytest.raises(InvalidSpecError, match=words):
        openpgp.parse_keys("jane.asc", PacketCertificate(key).public)


def test_a_weak_subkey_does_not_count(primary: PacketKey) -> None:
    subkey = PacketKey(MADE, "rsa", 1024)
    certificate = PacketCertificate(primary)
    certificate.add_subkey(subkey)
    assert "too weak" in refused(signed(subkey), certificate.public)


def test_a_key_for_which_only_sha1_vouches_is_refused(primary: PacketKey) -> None:
    with pytest.raises(InvalidSpecError, match=r"jane\.asc holds a key that cannot be used"):
        openpgp.parse_keys("jane.asc", PacketCertificate(primary, hash_name="sha1").public)


def test_a_signature_of_text_is_refused(primary: PacketKey) -> None:
    """Its line ends are not signed as they are (RFC 9580 5.2.1.2), so two payloads would have one signature."""
    assert "binary" in refused(signed(primary, kind=0x01), PacketCertificate(primary).public)


def compressed(data: bytes) -> bytes:
    deflated = zlib.compressobj(wbits=-15)
    return packet(8, b"\x01" + deflated.compress(data) + deflated.flush())


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "two packets": lambda body: detached(body, body),
    "two blocks": lambda body: detached(body) + detached(body),
    "text before": lambda body: b"hello\n" + detached(body),
    "text after": lambda body: detached(body) + b"hello\n",
    "another block": lambda body: armor(packet(2, body), "MESSAGE"),
    "literal data": lambda body: armor(packet(11, b"b\0\0\0\0\0" + PAYLOAD) + packet(2, body), "SIGNATURE"),
    "compressed": lambda body: armor(compressed(packet(2, body)), "SIGNATURE"),
    "bomb": lambda body: armor(compressed(b"\0" * 2**28), "SIGNATURE"),
    "in parts": lambda body: armor(bytes([0xC2, 0xE0]) + body[:1] + bytes([len(body) - 1]) + body[1:], "SIGNATURE"),
    "without length": lambda body: armor(bytes([0x80 | 2 << 2 | 3]) + body, "SIGNATURE"),
    "too short": lambda body: armor(packet(2, body)[:-1], "SIGNATURE"),
    "too long": lambda body: armor(packet(2, body) + b"x", "SIGNATURE"),
    "empty packet": lambda body: armor(packet(2, b""), "SIGNATURE"),
    "version 3": lambda body: armor(packet(2, b"\x03" + body[1:]), "SIGNATURE"),
    "no end": lambda body: detached(body)[:-30],
    "empty armor": lambda body: b"-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n",
    "no base64": lambda body: b"-----BEGIN PGP SIGNATURE-----\n\nA===\n-----END PGP SIGNATURE-----\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_anything_but_one_signature_packet_in_armor_is_refused(form: str, primary: PacketKey) -> None:
    refused(FORMS[form](primary.sign(PAYLOAD, SIGNED)), PacketCertificate(primary).public)


def test_signatures_nested_deeply_in_each_other_do_no_harm(primary: PacketKey) -> None:
    body = primary.sign(PAYLOAD, SIGNED)
    while len(body) < 60_000:
        inner = b"\xff" + struct.pack(">I", len(body) + 1) + b"\x20" + body
        body = b"\x04\x00\x16\x08\x00\x00" + struct.pack(">H", len(inner)) + inner + b"\0\0\0\x01\x01\0\x01\x01"
    whole = primary.sign(PAYLOAD, SIGNED, more=b"\xff" + struct.pack(">I", len(body) + 1) + b"\x20" + body)
    refused(detached(whole[:-1] + bytes([whole[-1] ^ 1])), PacketCertificate(primary).public)


@pytest.mark.parametrize("length", ["old", "new of one byte", "new of two bytes"])
def test_each_way_to_write_a_length_is_read(length: str, primary: PacketKey) -> None:
    body = primary.sign(PAYLOAD, SIGNED, more=b"" if length != "new of two bytes" else b"\x02\x1c\x00" * 50)
    head = {
        "old": bytes([0x80 | 2 << 2 | 1]) + struct.pack(">H", len(body)),
        "new of one byte": bytes([0xC2, len(body) & 0xFF]),
        "new of two bytes": bytes([0xC2, (len(body) - 192 >> 8) + 192, (len(body) - 192) & 0xFF]),
    }[length]
    check(armor(head + body, "SIGNATURE"), PacketCertificate(primary).public)


def test_no_flipped_bit_of_the_payload_or_of_the_signed_part_is_accepted(primary: PacketKey) -> None:
    certificates = openpgp.parse_keys("jane.asc", PacketCertificate(primary).public)
    body = primary.sign(PAYLOAD, SIGNED)
    for at in range(len(PAYLOAD) * 8):
        with pytest.raises(VerificationFailedError):
            openpgp.verify(detached(body), flipped(PAYLOAD, at), certificates, what="commit 1", now=NOW)
    signed_part = 6 + int.from_bytes(body[4:6], "big")
    for at in range(signed_part * 8):
        with pytest.raises(VerificationFailedError):
            openpgp.verify(detached(flipped(body, at)), PAYLOAD, certificates, what="commit 1", now=NOW)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_several_keys_and_blocks_in_one_file_are_all_read() -> None:
    keys = [PacketKey(MADE) for _ in range(4)]
    made = [PacketCertificate(key) for key in keys]
    text = armor(made[0].packets + made[1].packets, "PUBLIC KEY BLOCK") + b"\n" + made[2].public + made[3].public
    for key in keys:
        check(signed(key), text)


def test_armor_with_headers_checksum_and_dos_line_ends_is_read(primary: PacketKey) -> None:
    text = PacketCertificate(primary).public
    text = text.replace(b"BLOCK-----\n\n", b"BLOCK-----\nVersion: GnuPG v2\nComment: mine\n\n").replace(b"\n-----END", b"\n=abcd\n-----END")
    check(signed(primary), text.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"hello", "is not armored"),
        (b"\x99\x01\x0d\x04", "is not armored"),
        (armor(b"", "PUBLIC KEY BLOCK"), "is not armored"),
        (armor(packet(13, b"Jane"), "PUBLIC KEY BLOCK"), "something else than public keys"),
        (armor(packet(6, b"\x04"), "PUBLIC KEY BLOCK"), "cannot be used"),
        (armor(packet(6, b""), "PUBLIC KEY BLOCK"), "cannot be used"),
        (armor(compressed(b"\0" * 2**28), "PUBLIC KEY BLOCK"), "something else than public keys"),
        (armor(packet(5, b"\x04"), "PUBLIC KEY BLOCK"), "private key"),
        (armor(packet(5, b"\x04"), "PRIVATE KEY BLOCK"), "private key"),
        (armor(packet(2, b"\x04"), "SIGNATURE"), "holds a PGP SIGNATURE"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + b"\n" * 2**20, "is not armored"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + b"A\n" * 2**19, "is not armored"),
    ],
)
def test_what_is_no_public_key_is_refused_by_name(text: bytes, words: str) -> None:
    with pytest.raises(InvalidSpecError, match=rf"jane\.asc.*{words}"):
        openpgp.parse_keys("jane.asc", text)


def test_a_private_key_is_refused_without_showing_it() -> None:
    secret = Tsk.generate("Jane <jane@example.org>")
    for text in (str(secret).encode(), armor(bytes(secret), "PUBLIC KEY BLOCK")):
        with pytest.raises(InvalidSpecError, match=r"jane\.asc holds a private key") as caught:
            openpgp.parse_keys("jane.asc", text)
        assert not any(line in caught.value.message for line in text.decode().splitlines() if line)


def test_a_key_is_not_exported_into_the_secret_without_end(primary: PacketKey) -> None:
    certificates = openpgp.parse_keys("jane.asc", PacketCertificate(primary).public) * (openpgp.MAX_EXPORTS + 1)
    with pytest.raises(InvalidSpecError, match=primary.fingerprint):
        openpgp.merge(certificates)


def test_names_of_a_key_are_shown_on_one_line(primary: PacketKey) -> None:
    certificate = PacketCertificate(primary, user="Jane\n\x1b[31m" + "x" * 500)
    owner = check(signed(primary), certificate.public).owner
    assert owner.isprintable()
    assert len(owner) <= 120


def test_the_right_key_is_found_among_several(primary: PacketKey) -> None:
    others = [PacketCertificate(PacketKey(MADE, "ed25519"), flags=SIGN).public for _ in range(3)]
    assert check(signed(primary), *others, PacketCertificate(primary).public).fingerprint.upper() == primary.fingerprint


def test_base64_of_the_armor_is_read_strictly(primary: PacketKey) -> None:
    body = base64.b64encode(packet(2, primary.sign(PAYLOAD, SIGNED)))
    refused(b"-----BEGIN PGP SIGNATURE-----\n\n" + body + b"!\n-----END PGP SIGNATURE-----\n", PacketCertificate(primary).public)
