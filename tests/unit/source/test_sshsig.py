"""SSH signatures, made by ssh-keygen; ssh-keygen -Y verify says the same.

Aspects: each type of key · what is no signature for Git · each field of the format · security keys · lines of keys, their options and limits in time ·
what is never taken for a key · every flipped bit.
"""

import base64
import hashlib
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, utils

from cvstate_operator.errors import InvalidSpecError, VerificationFailedError
from cvstate_operator.source import sshsig
from tests.support.signing import SshKey

PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nmessage\n"
DATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
KINDS = {
    "ed25519": ("ed25519", None),
    "rsa": ("rsa", 2048),
    "nistp256": ("ecdsa", 256),
    "nistp384": ("ecdsa", 384),
    "nistp521": ("ecdsa", 521),
}


@pytest.fixture(scope="module", params=KINDS)
def key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SshKey:
    kind, bits = KINDS[request.param]
    return SshKey.make(tmp_path_factory.mktemp("ssh"), kind=kind, bits=bits)


@pytest.fixture(scope="module")
def ed25519_key(tmp_path_factory: pytest.TempPathFactory) -> SshKey:
    return SshKey.make(tmp_path_factory.mktemp("ssh"))


def check(signature: bytes, public: bytes, payload: bytes = PAYLOAD, *, dated: datetime = DATED, now: datetime = NOW) -> sshsig.SSHKey:
    keys = sshsig.parse_keys("signer.sshpub", public)
    return sshsig.verify(signature, payload, keys, what="commit 4c1f09aab3d2", dated=dated, now=now)


def openssh_accepts(signature: bytes, public: bytes, directory: Path, payload: bytes = PAYLOAD) -> bool:
    (directory / "signers").write_bytes(b"jane@example.org " + public)
    (directory / "signature").write_bytes(signature)
    signers, signed = str(directory / "signers"), str(directory / "signature")
    command = ("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "jane@example.org", "-n", "git", "-s", signed)
    return subprocess.run(command, input=payload, capture_output=True).returncode == 0


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armor(data: bytes) -> bytes:
    return b"-----BEGIN SSH SIGNATURE-----\n" + base64.encodebytes(data) + b"-----END SSH SIGNATURE-----\n"


def blob(public: bytes) -> bytes:
    return base64.b64decode(public.split()[1])


def line(key_blob: bytes) -> bytes:
    length = int.from_bytes(key_blob[:4], "big")
    return key_blob[4 : 4 + length] + b" " + base64.b64encode(key_blob) + b" made here\n"


class Maker:
    """Signatures of an ed25519 key with any field changed."""

    def __init__(self) -> None:
        self.secret = ed25519.Ed25519PrivateKey.generate()
        self.blob = string(b"ssh-ed25519") + string(self.secret.public_key().public_bytes_raw())
        self.public = line(self.blob)

    def sign(
        self,
        *,
        magic: bytes = b"SSHSIG",
        version: int = 1,
        namespace: bytes = b"git",
        reserved: bytes = b"",
        hash_name: bytes = b"sha512",
        algorithm: bytes = b"ssh-ed25519",
        after: bytes = b"",
        after_inner: bytes = b"",
    ) -> bytes:
        digest = hashlib.new(hash_name.decode(), PAYLOAD).digest()
        fields = string(namespace) + string(reserved) + string(hash_name)
        inner = string(algorithm) + string(self.secret.sign(b"SSHSIG" + fields + string(digest))) + after_inner
        return armor(magic + struct.pack(">I", version) + string(self.blob) + fields + string(inner) + after)


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_a_signature_of_each_type_of_key_is_accepted(key: SshKey, hash_name: str, tmp_path: Path) -> None:
    signature = key.sign(PAYLOAD, hash_name=hash_name)
    found = check(signature, key.public)
    assert (found.fingerprint, found.owner) == (key.fingerprint, "jane@example.org")
    assert openssh_accepts(signature, key.public, tmp_path)


def test_a_signature_of_other_bytes_is_refused(key: SshKey, tmp_path: Path) -> None:
    signature = key.sign(PAYLOAD + b"more")
    with pytest.raises(VerificationFailedError, match="does not match") as caught:
        check(signature, key.public)
    assert caught.value.verdict == "SignatureInvalid"
    assert not openssh_accepts(signature, key.public, tmp_path)


def test_an_unknown_key_is_named_by_its_fingerprint(ed25519_key: SshKey, key: SshKey) -> None:
    with pytest.raises(VerificationFailedError) as caught:
        check(ed25519_key.sign(PAYLOAD), key.public)
    assert ed25519_key.fingerprint in caught.value.message
    assert "commit 4c1f09aab3d2" in caught.value.message
    assert caught.value.verdict == "SignatureInvalid"


def test_a_signature_for_files_is_none_for_git(ed25519_key: SshKey, tmp_path: Path) -> None:
    signature = ed25519_key.sign(PAYLOAD, namespace="file")
    with pytest.raises(VerificationFailedError, match="made for 'file'"):
        check(signature, ed25519_key.public)
    assert not openssh_accepts(signature, ed25519_key.public, tmp_path)


def test_the_signatures_made_here_are_right_if_nothing_is_changed(tmp_path: Path) -> None:
    maker = Maker()
    check(maker.sign(), maker.public)
    assert openssh_accepts(maker.sign(), maker.public, tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"magic": b"SSHSIH"},
        {"version": 0},
        {"version": 2},
        {"namespace": b""},
        {"namespace": b"git\0"},
        {"namespace": b"Git"},
        {"reserved": b"x"},
        {"hash_name": b"sha1"},
        {"hash_name": b"md5"},
        {"hash_name": b"sha384"},
        {"algorithm": b"ssh-rsa"},
        {"algorithm": b"rsa-sha2-512"},
        {"algorithm": b""},
        {"after": b"x"},
        {"after_inner": b"x"},
        {"after_inner": b"\x01\0\0\0\0"},
    ],
    ids=str,
)
def test_a_field_of_another_value_is_refused_though_it_is_signed(changed: dict[str, object]) -> None:
    maker = Maker()
    with pytest.raises(VerificationFailedError):
        check(maker.sign(**changed), maker.public)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + text,
        lambda text: text + b"more\n",
        lambda text: b"\n" + text,
        lambda text: text.replace(b"\n-----END", b"\n!\n-----END"),
        lambda text: text.removesuffix(b"-----END SSH SIGNATURE-----\n"),
        lambda text: b"-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n",
        lambda text: b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
    ],
    ids=["two", "text after", "text before", "no base64", "no end", "empty", "magic alone"],
)
def test_damaged_armor_is_refused(change, ed25519_key: SshKey) -> None:
    with pytest.raises(VerificationFailedError):
        check(change(ed25519_key.sign(PAYLOAD)), ed25519_key.public)


def test_no_flipped_bit_of_the_payload_or_of_the_signature_is_accepted(ed25519_key: SshKey) -> None:
    signature = ed25519_key.sign(PAYLOAD)
    data = base64.b64decode(b"".join(signature.splitlines()[1:-1]))
    for at in range(len(PAYLOAD) * 8):
        with pytest.raises(VerificationFailedError):
            check(signature, ed25519_key.public, flipped(PAYLOAD, at))
    for at in range(len(data) * 8):
        with pytest.raises(VerificationFailedError):
            check(armor(flipped(data, at)), ed25519_key.public)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def rsa_signature(secret: rsa.RSAPrivateKey, algorithm: bytes, of: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    numbers = secret.public_key().public_numbers()
    public = string(b"ssh-rsa") + mpint(numbers.e) + mpint(numbers.n)
    fields = string(b"git") + string(b"") + string(b"sha512")
    value = secret.sign(b"SSHSIG" + fields + string(hashlib.sha512(PAYLOAD).digest()), padding.PKCS1v15(), of)
    inner = string(algorithm) + string(value)
    return armor(b"SSHSIG" + struct.pack(">I", 1) + string(public) + fields + string(inner)), line(public)


def test_rsa_counts_with_sha2_alone() -> None:
    secret = rsa.generate_private_key(65537, 2048)
    check(*rsa_signature(secret, b"rsa-sha2-256", hashes.SHA256()))
    check(*rsa_signature(secret, b"rsa-sha2-512", hashes.SHA512()))
    for algorithm, of in ((b"ssh-rsa", hashes.SHA1()), (b"rsa-sha2-256", hashes.SHA1()), (b"rsa-sha2-256", hashes.SHA512())):  # noqa: S303
        with pytest.raises(VerificationFailedError):
            check(*rsa_signature(secret, algorithm, of))


@pytest.mark.parametrize("flags", [0x01, 0x05])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_security_key_that_was_touched_is_accepted(kind: str, flags: int, tmp_path: Path) -> None:
    signature, public = security_key_signature(kind, flags)
    check(signature, public)
    assert openssh_accepts(signature, public, tmp_path)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_security_key_that_nobody_touched_is_refused(kind: str) -> None:
    with pytest.raises(VerificationFailedError, match="touch"):
        check(*security_key_signature(kind, 0x00))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_security_key_vouches_for_its_flags(kind: str) -> None:
    with pytest.raises(VerificationFailedError, match="does not match"):
        check(*security_key_signature(kind, 0x01, signed_flags=0x00))


def security_key_signature(kind: str, flags: int, signed_flags: int | None = None) -> tuple[bytes, bytes]:
    """As an authenticator signs (PROTOCOL.u2f): hash of the application, flags, counter, hash of the message."""
    fields = string(b"git") + string(b"") + string(b"sha512")
    message = b"SSHSIG" + fields + string(hashlib.sha512(PAYLOAD).digest())
    counter = struct.pack(">I", 7)
    signed = (
        hashlib.sha256(b"ssh:").digest()
        + bytes([flags if signed_flags is None else signed_flags])
        + counter
        + hashlib.sha256(message).digest()
    )
    if kind == "ed25519":
        secret = ed25519.Ed25519PrivateKey.generate()
        name = b"sk-ssh-ed25519@openssh.com"
        public = string(name) + string(secret.public_key().public_bytes_raw()) + string(b"ssh:")
        value = secret.sign(signed)
    else:
        curve = ec.generate_private_key(ec.SECP256R1())
        name = b"sk-ecdsa-sha2-nistp256@openssh.com"
        point = curve.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        public = string(name) + string(b"nistp256") + string(point) + string(b"ssh:")
        r, s = utils.decode_dss_signature(curve.sign(signed, ec.ECDSA(hashes.SHA256())))
        value = mpint(r) + mpint(s)
    inner = string(name) + string(value) + bytes([flags]) + counter
    return armor(b"SSHSIG" + struct.pack(">I", 1) + string(public) + fields + string(inner)), line(public)


@pytest.mark.parametrize(
    ("before", "owner"),
    [
        (b"jane@example.org,*@ops.example.org ", "jane@example.org,*@ops.example.org"),
        (b'"jane doe" ', "jane doe"),
        (b'jane namespaces="git" ', "jane"),
        (b'jane namespaces="file,g*" ', "jane"),
        (b'jane valid-after="20260101" ', "jane"),
        (b'jane valid-before="20270101000000Z",NAMESPACES="git" ', "jane"),
        (b"build-bot\t", "build-bot"),
    ],
)
def test_a_line_of_allowed_signers_is_read(before: bytes, owner: str, ed25519_key: SshKey) -> None:
    assert check(ed25519_key.sign(PAYLOAD), b"# who may sign\n\n" + before + ed25519_key.public).owner == owner


@pytest.mark.parametrize(
    "before",
    [
        b"jane cert-authority ",
        b'jane cert-authority,namespaces="git" ',
        b"cert-authority ",
        b"restrict ",
        b"no-pty,restrict ",
        b'from="10.0.0.1" ',
        b'command="/bin/true" ',
        b'jane namespaces="file" ',
        b'jane namespaces="*,!git" ',
        b"jane namespaces ",
        b'jane verify-required="x" ',
        b'jane valid-before="tomorrow" ',
        b'jane valid-before="20261301" ',
        b'jane valid-before="20260101",valid-before="20990101" ',
        b"jane doe smith ",
        b'"jane ',
    ],
)
def test_a_line_with_more_than_can_be_honoured_is_refused(before: bytes, ed25519_key: SshKey) -> None:
    with pytest.raises(InvalidSpecError, match=r"signer\.sshpub line 2"):
        sshsig.parse_keys("signer.sshpub", b"# mine\n" + before + ed25519_key.public)


@pytest.mark.parametrize(
    ("option", "ok"),
    [
        ('valid-after="20260301"', True),
        ('valid-after="20260301130000"', False),
        ('valid-after="20260302"', False),
        ('valid-before="20260303"', True),
        ('valid-before="202603021200"', False),
        ('valid-before="20260302"', False),
        ('valid-before="20260301"', False),
        ('valid-after="20260301",valid-before="20260303"', True),
    ],
)
def test_limits_in_time_hold_for_the_time_of_the_commit_and_for_now(option: str, ok: bool, ed25519_key: SshKey) -> None:
    public = f"jane {option} ".encode() + ed25519_key.public
    if ok:
        check(ed25519_key.sign(PAYLOAD), public)
    else:
        with pytest.raises(VerificationFailedError, match=r"valid only (after|until)"):
            check(ed25519_key.sign(PAYLOAD), public)


def test_a_key_on_two_lines_counts_if_one_of_them_is_valid(ed25519_key: SshKey) -> None:
    lines = b'old valid-before="20250101" ' + ed25519_key.public + b'jane valid-after="20250101" ' + ed25519_key.public
    assert check(ed25519_key.sign(PAYLOAD), lines).owner == "jane"


def test_a_private_key_is_refused_without_showing_it(ed25519_key: SshKey) -> None:
    secret = ed25519_key.private.read_bytes()
    with pytest.raises(InvalidSpecError, match=r"signer\.sshpub holds a private key") as caught:
        sshsig.parse_keys("signer.sshpub", secret)
    assert not any(line in caught.value.message for line in secret.decode().splitlines())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n# nothing\n",
        b"hello",
        b"\xff\xfe",
        b"ssh-ed25519",
        b"ssh-ed25519 !!!!",
        b"ssh-ed25519 AAAA",
        b"ssh-rsa " + b"A" * 9000,
        b"a " * 100,
    ],
)
def test_what_is_no_key_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidSpecError, match=r"signer\.sshpub"):
        sshsig.parse_keys("signer.sshpub", text)


def weak_keys() -> dict[str, bytes]:
    small = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - made to be refused
    old = dsa.generate_private_key(1024).public_key().public_numbers()  # noqa: S505
    domain = old.parameter_numbers
    good = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    point = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )
    return {
        "RSA of 1024 bits": line(string(b"ssh-rsa") + mpint(small.e) + mpint(small.n)),
        "DSA": line(string(b"ssh-dss") + mpint(domain.p) + mpint(domain.q) + mpint(domain.g) + mpint(old.y)),
        "more after the key": line(string(b"ssh-ed25519") + string(good) + b"x"),
        "short key": line(string(b"ssh-ed25519") + string(good[:31])),
        "another curve": line(string(b"ecdsa-sha2-nistp384") + string(b"nistp256") + string(point)),
        "point not on the curve": line(string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(point[:-1] + bytes([point[-1] ^ 1]))),
        "type unlike the data": b"ssh-rsa " + base64.b64encode(string(b"ssh-ed25519") + string(good)),
        "certificate": line(string(b"ssh-ed25519-cert-v01@openssh.com") + string(good)),
        "even exponent": line(string(b"ssh-rsa") + mpint(4) + mpint(2**2047 + 1)),
    }


@pytest.mark.parametrize(("public"), [pytest.param(value, id=name) for name, value in weak_keys().items()])
def test_a_weak_or_wrong_key_is_refused(public: bytes) -> None:
    with pytest.raises(InvalidSpecError, match=r"signer\.sshpub line 1"):
        sshsig.parse_keys("signer.sshpub", public)


def test_a_commit_dated_in_the_far_past_does_not_bring_back_a_key_that_ran_out(ed25519_key: SshKey) -> None:
    public = b'jane valid-before="20260101" ' + ed25519_key.public
    with pytest.raises(VerificationFailedError):
        check(ed25519_key.sign(PAYLOAD), public, dated=DATED - timedelta(days=1000))
