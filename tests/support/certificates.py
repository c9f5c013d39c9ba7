"""A certificate for servers that do TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from streamy_core.testing.reading import DEADLINE

SEVERAL = "DNS:localhost,DNS:shop.example,IP:127.0.0.1"
"""Names of a certificate for a server that is asked by each of them."""


def make_certificate(directory: Path, names: str = "") -> Path:
    """A self-signed certificate and its key, in one PEM file.

    names: of whom, beside localhost, as openssl takes them: "DNS:shop.example,IP:127.0.0.1".
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=localhost"]
    if names:
        command += ["-addext", f"subjectAltName={names}"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE)
    both = directory / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    return both
