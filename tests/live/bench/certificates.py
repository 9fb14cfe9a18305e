"""Certificates for TLS on loopback: one that is fine and three that a client must refuse."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Certificates:
    """Server-side contexts; `ca_file`: what a client must trust to accept `trusted`; it also signed the next two."""

    ca_file: Path
    trusted: ssl.SSLContext
    expired: ssl.SSLContext
    wrong_host: ssl.SSLContext
    self_signed: ssl.SSLContext

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


def make_certificates(directory: Path) -> Certificates:
    """Make an authority of our own and write it to `directory`."""
    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return Certificates(
        ca_file,
        trusted=_context(authority.issue_cert(*LOOPBACK)),
        expired=_context(authority.issue_cert(*LOOPBACK, not_before=yesterday, not_after=yesterday)),
        wrong_host=_context(authority.issue_cert("elsewhere.example")),
        self_signed=_self_signed(directory / "self-signed.pem"),
    )


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _self_signed(path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*plain) + _certificate_of_itself(key).public_bytes(plain[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _certificate_of_itself(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256())


def make_certificate_files(directory: Path) -> dict[str, Path]:
    """Certificate chains with their keys, for programs that read files, by the names of `Certificates`; `authority`."""
    authority = trustme.CA()
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    issued = {
        "trusted": authority.issue_cert(*LOOPBACK),
        "expired": authority.issue_cert(*LOOPBACK, not_before=yesterday, not_after=yesterday),
        "wrong host": authority.issue_cert("elsewhere.example"),
    }
    files = {name: directory / f"{name.replace(' ', '-')}.pem" for name in [*issued, "self-signed", "authority"]}
    for name, certificate in issued.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(str(files[name]))
    authority.cert_pem.write_to_path(str(files["authority"]))
    _self_signed(files["self-signed"])
    return files
