"""Certificates for tests: an authority of its own, and certificates signed by it."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOREVER = dt.timedelta(days=2)


def _certificate(
    name: str, key, issuer: x509.Name, signing, *, is_authority: bool, address: str = "127.0.0.1"
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - FOREVER)
        .not_valid_after(now + FOREVER)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signing, hashes.SHA256())


class Authority:
    """Signs a certificate for each host, with a key of the host's own."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self._own = _certificate("authority", self._key, self._name, self._key, is_authority=True)

    def write(self, folder: Path, address: str = "127.0.0.1") -> dict[str, str]:
        """Write a host's certificate and key beside the authority's; return ca, cert and key as a configuration."""
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        own = _certificate("node", key, self._name, self._key, is_authority=False, address=address)
        written = {
            "ca": self._own.public_bytes(serialization.Encoding.PEM),
            "cert": own.public_bytes(serialization.Encoding.PEM),
            "key": key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        }
        for name, data in written.items():
            (folder / f"{name}.pem").write_bytes(data)
        return {name: str(folder / f"{name}.pem") for name in written}


def write_certificates(folder: Path) -> dict[str, str]:
    """Write an authority and a certificate signed by it; return ca, cert and key as a configuration has them."""
    return Authority().write(folder)
