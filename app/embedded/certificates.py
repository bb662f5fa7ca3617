"""A certificate for one host name, from an authority that is made for it and whose key is thrown away."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.embedded.private_files import make_private_folder, write_private

VALID_FOR = timedelta(days=825)
RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class HostCertificate:
    """`authority` is the PEM file that clients trust; `chain` holds the host's key and certificate (0600)."""

    authority: Path
    chain: Path

    def server_context(self) -> ssl.SSLContext:
        """The TLS context of a server that shows this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain)
        return context


def keep_certificate(folder: Path, host: str) -> HostCertificate:
    """Return the certificate for `host` kept in `folder`; makes one where there is none that still holds."""
    folder = make_private_folder(folder)
    kept = HostCertificate(folder / "ca.pem", folder / "server.pem")
    if not _holds(kept):
        _make(kept, host)
    return kept


def _holds(kept: HostCertificate) -> bool:
    if not (kept.authority.exists() and kept.chain.exists()):
        return False
    authority = x509.load_pem_x509_certificate(kept.authority.read_bytes())
    leaf = x509.load_pem_x509_certificates(kept.chain.read_bytes())[0]
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):  # A kill between the two writes.
        return False
    return leaf.not_valid_after_utc - RENEW_BEFORE > datetime.now(UTC)


def _make(kept: HostCertificate, host: str) -> None:
    # The authority's key never leaves this function, and a name constraint binds it to the one host: whoever
    # trusts ca.pem trusts nothing more than this server's key.
    authority_key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OpenCapture redirect")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names = [x509.DNSName(host)]
    authority = (
        _builder(authority_name, authority_name, authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        _builder(leaf_name, authority_name, leaf_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key_pem = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(kept.chain, (key_pem + leaf.public_bytes(serialization.Encoding.PEM)).decode("ascii"))
    write_private(kept.authority, authority.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    """What both certificates share; RFC 5280 §4.2.1 wants both key identifiers, and strict clients look."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
