"""A certificate of our own for `--https`: made once, kept beside the database, renewed before it ends.

Clients that verify get the certificate itself as their authority, for example by REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from adjourn import runtime

_DAYS = 365
_RENEW_DAYS = 30
_NAMES = ("localhost", "127.0.0.1", "::1")


def own(path: Path, host: str) -> Path:
    """The file with key and certificate for `host` and the names of the loopback, made if it is missing, old or for others."""
    names = tuple(dict.fromkeys((*_NAMES, host)))
    if not _fits(path, names):
        _write(path, _make(names))
    return path


def _fits(path: Path, names: tuple[str, ...]) -> bool:
    if not path.exists():
        return False
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        present = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    known = {str(name.value) for name in present}
    return found.not_valid_after_utc > runtime.now() + timedelta(days=_RENEW_DAYS) and known.issuperset(names)


def _make(names: tuple[str, ...]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "adjourn")])
    now = runtime.now()
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        # Its own authority, so that a client can be given this one file to trust; it signs nothing but itself.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM) + private


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes) -> None:
    """In place at once, readable by us alone: it holds the key."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    os.replace(temporary, path)
