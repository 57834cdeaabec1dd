"""Keys, certificates and tokens for Git servers, made on the spot; and the Secrets that hold them, with the keys that Flux gives them."""

import base64
import secrets
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.api import Json
from tests.support.objects import manifest

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, PEM."""

    certificate: str
    key: str


class Authority:
    """A certificate authority of one test run."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name("authority of a test")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._certificate = (
            _builder(self._name, self._key.public_key(), by=(self._name, self._key), valid=_DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> str:
        """PEM: what goes into `ca.crt`."""
        return _pem(self._certificate)

    def issue(self, *names: str, valid: timedelta = _DAY, rsa_key: bool = False) -> KeyPair:
        """A certificate for a server of these names and addresses, or, without any, for a client; `valid` from now, in the past if negative. Its key is
        of an elliptic curve, or RSA."""
        key: _Key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        return _issued(names, key, by=(self._name, self._key), valid=valid)


def self_signed(*names: str) -> KeyPair:
    """A certificate for a server that nobody else vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _issued(names, key, by=(_common_name(names[0]), key), valid=_DAY)


def server_tls(pair: KeyPair, *, clients: Authority | None = None) -> ssl.SSLContext:
    """What a server shows, and, if `clients` is given, who must have signed the certificate of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # a weak certificate is for the client to refuse
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(pair.certificate + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.certificate)
    return context


@dataclass(frozen=True)
class SshIdentity:
    """A key of a user or of a host: the private one in OpenSSH's format, and the public line."""

    private: str
    public: str

    @classmethod
    def make(cls) -> "SshIdentity":
        """A new ed25519 key, not encrypted."""
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return cls(private.decode(), public.decode())

    def encrypted(self, passphrase: str) -> "SshIdentity":
        """The same key, encrypted as ssh-keygen does it (cryptography would want bcrypt for that)."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "key")
            file.touch(mode=0o600)
            file.write_text(self.private)
            subprocess.run(("ssh-keygen", "-q", "-p", "-N", passphrase, "-f", file), check=True, capture_output=True)
            return replace(self, private=file.read_text())


def token() -> str:
    """A secret that is found wherever it leaks."""
    return f"canary-{secrets.token_hex(12)}"


def basic(user: str, password: str) -> str:
    """The Authorization header of a user with a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(value: str) -> str:
    """The Authorization header of a token (RFC 6750)."""
    return f"Bearer {value}"


def secret(name: str, data: dict[str, str]) -> Json:
    """A Secret as a user would write it."""
    return manifest("Secret", name, stringData=data)


_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_Signer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def _issued(names: tuple[str, ...], key: _Key, *, by: _Signer, valid: timedelta) -> KeyPair:
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = _builder(_common_name(names[0] if names else "client"), key.public_key(), by=by, valid=valid)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(_pem(builder.sign(by[1], hashes.SHA256())), private.decode())


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, *, by: _Signer, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0])
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by[1].public_key()), critical=False)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
