"""Certificates for OPC UA: one folder with what the gateway is, whom it trusts and whom it has turned away.

    own/certificate.der, own/key.pem    the gateway's identity; the key is readable by its owner only
    trusted/*.der                       servers, or authorities that sign for servers
    crl/*.crl, *.der, *.pem             lists of what the authorities have revoked, in DER or PEM
    rejected/*.der                      servers that were met and are not trusted: `stellwerk pki` moves them

A certificate goes by the first 16 hex digits of its SHA-256 fingerprint.
"""

from __future__ import annotations

import datetime
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDERS = ("own", "trusted", "crl", "rejected")
NAME_DIGITS = 16
VALID_DAYS = 3650
KEY_BITS = 2048
"""What all three policies that are spoken allow (OPC 10000-7)."""
REJECTED_MAX = 100
"""So many certificates of strangers are kept; a flood of further ones is not."""


class PkiError(Exception):
    """The folder can't serve; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """One certificate of the folder: `standing` is trusted or rejected."""

    name: str
    standing: str
    subject: str
    valid_until: datetime.datetime


class Pki:
    """The folder. Nothing is created but by `create_own`, `trust`, `reject` and `met`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "own" / "certificate.der"
        self.key = folder / "own" / "key.pem"

    def application_uri(self) -> str:
        """The URI in the own certificate, which the session must name as well. Raises PkiError."""
        certificate = read_certificate(self.certificate, f"make it with: stellwerk pki own --folder {self.folder}")
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = x509.SubjectAlternativeName([])
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        if not uris:
            raise PkiError(f"{self.certificate} names no application URI (subject alternative name): make another one")
        if not self.key.is_file():
            raise PkiError(f"{self.key} is missing: it belongs to {self.certificate.name}")
        return uris[0]

    def require_own(self) -> None:
        """The own certificate is there and valid today, and its key can be read. Raises PkiError."""
        step = f"move {self.certificate.parent} away and make a new one: stellwerk pki own --folder {self.folder}"
        certificate = read_certificate(self.certificate, f"make it with: stellwerk pki own --folder {self.folder}")
        now = datetime.datetime.now(datetime.UTC)
        if now > certificate.not_valid_after_utc:
            day = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            raise PkiError(f"the own certificate {self.certificate} was valid until {day}: {step}")
        if now < certificate.not_valid_before_utc:
            day = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            raise PkiError(
                f"the own certificate {self.certificate} is valid from {day} only: check this machine's clock"
            )
        key = read_key(self.key, step)
        if key.public_key() != certificate.public_key():
            raise PkiError(f"the own key {self.key} is not that of {self.certificate}: {step}")

    def create_own(self, host: str = "") -> str:
        """Make the own key and certificate; returns its name. Raises PkiError where there is one already."""
        if self.certificate.exists() or self.key.exists():
            raise PkiError(f"{self.certificate.parent} has a certificate or key already: move them away first")
        host = host or socket.gethostname()
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Stellwerk at {host}")])
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.UniformResourceIdentifier(f"urn:{host}:stellwerk"), x509.DNSName(host)]
        usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
        builder = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
        )
        certificate = builder.sign(key, hashes.SHA256())
        self.key.parent.mkdir(parents=True, exist_ok=True)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(self.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        return name_of(certificate)

    def known(self) -> list[Known]:
        """All certificates that are trusted or were turned away. Raises PkiError for a file that is none."""
        found = []
        for standing in ("trusted", "rejected"):
            for path in sorted((self.folder / standing).glob("*.der")):
                certificate = read_certificate(path, "remove it")
                subject = certificate.subject.rfc4514_string()
                found.append(Known(name_of(certificate), standing, subject, certificate.not_valid_after_utc))
        return found

    def is_trusted(self, certificate: x509.Certificate) -> bool:
        """The very certificate lies in `trusted`."""
        return any(k.name == name_of(certificate) for k in self.known() if k.standing == "trusted")

    def add(self, path: Path) -> str:
        """Trust the certificate in a file, DER or PEM; returns its name. Raises PkiError."""
        certificate = read_certificate(path, "give a certificate in DER or PEM")
        self._put("trusted", certificate)
        return name_of(certificate)

    def met(self, certificate: x509.Certificate) -> None:
        """Keep a stranger's certificate for a person to decide on."""
        folder = self.folder / "rejected"
        if (folder / f"{name_of(certificate)}.der").exists():
            return  # it is met again at every try
        if len(list(folder.glob("*.der"))) < REJECTED_MAX:
            self._put("rejected", certificate)

    def authority_of(self, certificate: x509.Certificate) -> x509.Certificate | None:
        """The trusted authority whose key has signed it; None where there is none that is valid today."""
        now = datetime.datetime.now(datetime.UTC)
        for path in sorted((self.folder / "trusted").glob("*.der")):
            authority = read_certificate(path, "remove it")
            if not _may_sign(authority) or not authority.not_valid_before_utc <= now <= authority.not_valid_after_utc:
                continue
            try:
                certificate.verify_directly_issued_by(authority)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return authority
        return None

    def is_revoked(self, certificate: x509.Certificate, authority: x509.Certificate) -> bool:
        """A list in `crl` that the authority itself has signed names it. Raises PkiError for a file that is no list."""
        key = authority.public_key()
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey), "`authority_of` returns no other"
        for path in sorted((self.folder / "crl").glob("*.*")):
            revoked = _revocation_list(path)
            if revoked.issuer != authority.subject or not revoked.is_signature_valid(key):
                continue
            if revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                return True
        return False

    def move(self, name: str, to: str) -> None:
        """Trust or reject a certificate by (the beginning of) its name. Raises PkiError where none or several fit."""
        fitting = [k for k in self.known() if k.name.startswith(name.lower())]
        if len(fitting) != 1:
            raise PkiError(f"{len(fitting)} certificates in {self.folder} begin with {name!r}: see stellwerk pki list")
        (known,) = fitting
        if known.standing != to:
            target = self.folder / to
            target.mkdir(parents=True, exist_ok=True)
            (self.folder / known.standing / f"{known.name}.der").replace(target / f"{known.name}.der")

    def _put(self, standing: str, certificate: x509.Certificate) -> None:
        folder = self.folder / standing
        folder.mkdir(parents=True, exist_ok=True)
        der = certificate.public_bytes(serialization.Encoding.DER)
        (folder / f"{name_of(certificate)}.der").write_bytes(der)


def read_certificate(path: Path, next_step: str) -> x509.Certificate:
    """A certificate in DER or PEM. Raises PkiError with what to do."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise PkiError(f"{path} can't be read ({exc.strerror}): {next_step}") from None
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        return x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError:
        raise PkiError(f"{path} is no certificate: {next_step}") from None


def read_key(path: Path, next_step: str) -> rsa.RSAPrivateKey:
    """An RSA key in PEM or DER, without a password. Raises PkiError with what to do."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise PkiError(f"the key {path} can't be read ({exc.strerror}): {next_step}") from None
    load = (
        serialization.load_pem_private_key
        if data.lstrip().startswith(b"-----BEGIN")
        else serialization.load_der_private_key
    )
    try:
        key = load(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PkiError(f"{path} is no RSA key in PEM or DER without a password: {next_step}")
    return key


def _may_sign(certificate: x509.Certificate) -> bool:
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _revocation_list(path: Path) -> x509.CertificateRevocationList:
    try:
        data = path.read_bytes()
        pem = data.lstrip().startswith(b"-----BEGIN")
        return x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    except OSError as exc:
        raise PkiError(f"{path} can't be read ({exc.strerror}): nobody can tell whom it revokes") from None
    except ValueError:
        raise PkiError(f"{path} is no list of revoked certificates: remove it, or give it in DER or PEM") from None


def name_of(certificate: x509.Certificate) -> str:
    """The first 16 hex digits of the SHA-256 fingerprint."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:NAME_DIGITS]
