"""The key that RTSPS publishers pin: made once, kept in the data folder, with a certificate of its own."""

import base64
import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.embedded.private_files import keep_secret, make_private_folder

# Publishers look at the key alone (recorder.md §2): it is not renewed, or they would have to be told.
_VALID_FOR = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """`file` holds key and certificate (0600); `pin` is the standard base64 of SHA-256 over the DER
    SubjectPublicKeyInfo, as RFC 7469 §2.4 has it."""

    file: Path
    pin: str

    def server_context(self) -> ssl.SSLContext:
        """The TLS context of a server that shows this key."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.file)
        return context


def keep_pinned_key(data_dir: Path) -> PinnedKey:
    """Return the key kept in the data folder, made the first time. Raises `ValueError` for a damaged file."""
    file = make_private_folder(data_dir) / "rtsps.pem"
    certificate = x509.load_pem_x509_certificate(keep_secret(file, _new_key_and_certificate).encode())
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PinnedKey(file, base64.b64encode(hashlib.sha256(key).digest()).decode())


def _new_key_and_certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OpenCapture RTSPS")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID_FOR)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (key_pem + certificate.public_bytes(serialization.Encoding.PEM)).decode("ascii")
