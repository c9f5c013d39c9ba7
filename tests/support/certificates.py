"""A certificate for servers that do TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from streamy_core.testing.reading import DEADLINE


def make_certificate(directory: Path) -> Path:
    """A self-signed certificate and its key, in one PEM file."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,DNS:shop.example,IP:127.0.0.1"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE)
    both = directory / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    return both
