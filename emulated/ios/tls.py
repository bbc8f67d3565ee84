"""The certificate of a lab's host and phones, made once per process by the `openssl` program."""

from __future__ import annotations

import functools
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

_SECONDS = 60.0


@dataclass(frozen=True)
class Identity:
    """A key and a certificate that signs itself: host, phone and root in one.

    Attributes:
        certificate: as PEM.
        key: as PEM.
        context: of a TLS server that has them, and asks its clients for the same.
    """

    certificate: bytes
    key: bytes
    context: ssl.SSLContext


@functools.cache
def identity() -> Identity:
    """The identity of this process's labs; nothing of it stays on disk.

    Raises:
        UsageError: there is no `openssl` program here, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix="emulated-iphone-") as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30"]
        argv += ["-subj", "/CN=emulated iPhone", "-keyout", str(key), "-out", str(certificate)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except FileNotFoundError:
            raise UsageError("emulated iPhones with TLS need the program openssl: apt-get install openssl") from None
        if done.returncode:
            raise UsageError(f"openssl made no certificate for the emulated iPhones: {done.stderr.strip()}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Above 1.2 the server sends tickets after the handshake, and those that go on in plain would read them as data.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        return Identity(certificate.read_bytes(), key.read_bytes(), context)
