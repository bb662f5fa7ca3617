import base64
import hashlib
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.ingest.rtsp.certificate import keep_pinned_key


def test_the_key_is_kept_private_and_its_pin_is_that_of_the_public_key(tmp_path: Path) -> None:
    kept = keep_pinned_key(tmp_path / "data")
    assert keep_pinned_key(tmp_path / "data") == kept
    assert keep_pinned_key(tmp_path / "other").pin != kept.pin
    assert stat.S_IMODE(kept.file.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(kept.file.read_bytes())
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode(kept.pin, validate=True) == hashlib.sha256(spki).digest()
    assert len(kept.pin) == 44
    assert kept.server_context().minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_damaged_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "rtsps.pem").write_text("nothing")
    with pytest.raises(ValueError, match="PEM"):
        keep_pinned_key(tmp_path)
