"""How an OPC UA session proves who it is and whom it talks to; `security: none` waives both."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.ua.uaerrors import UaError
from cryptography import x509

from drivers.link import LinkLostError
from drivers.opcua.pki import Pki, PkiError, name_of, read_certificate, read_key
from gateway.site import OpcuaSecurity

_POLICIES: dict[str, Any] = {
    "Basic256Sha256": SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": SecurityPolicyAes256Sha256RsaPss,
}
_MODES = {"sign": ua.MessageSecurityMode.Sign, "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt}


class UntrustedServerError(LinkLostError):
    """A person has to decide on the server's certificate; `next_step` says how."""

    def __init__(self, found: str, next_step: str) -> None:
        super().__init__(found + next_step)
        self.found = found.rstrip()
        self.next_step = next_step


async def secure(client: Client, where: str, security: OpcuaSecurity) -> None:
    """Prepare a client for an encrypted session with a server that is trusted.

    Asks the server for its endpoints first. Raises LinkLostError with what to do, and what asyncua raises.
    """
    pki = Pki(Path(security.pki))
    try:
        pki.require_own()
        client.application_uri = pki.application_uri()
        pki.known()
        if security.user:
            client.set_user(security.user)
            client.set_password(_password(security))
        elif security.user_certificate:
            _log_in_with_certificate(client, security)
    except PkiError as problem:
        raise LinkLostError(f"{where}: {problem}") from None
    client.certificate_validator = _Gate(where, pki).check
    try:
        await client.set_security(
            _POLICIES[security.policy], str(pki.certificate), str(pki.key), mode=_MODES[security.mode]
        )
    except (UaError, ValueError) as refused:
        raise LinkLostError(
            f"{where}: the server offers no {security.policy} with {security.mode}, or the own key does not fit "
            f"({refused}): see what the server offers, and `security` of the device"
        ) from None


def _password(security: OpcuaSecurity) -> str:
    try:
        return Path(security.password_file).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise PkiError(f"the password of {security.user} can't be read from {security.password_file} ({exc})") from None


def _log_in_with_certificate(client: Client, security: OpcuaSecurity) -> None:
    step = "see `user_certificate` and `user_key` of the device's `security`"
    certificate = read_certificate(Path(security.user_certificate), step)
    key = read_key(Path(security.user_key), step)
    if certificate.public_key() != key.public_key():
        raise PkiError(f"the key {security.user_key} is not that of the login {security.user_certificate}")
    if datetime.datetime.now(datetime.UTC) > certificate.not_valid_after_utc:
        day = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        raise PkiError(f"the login {security.user_certificate} was valid until {day}: get a new one")
    client.user_certificate, client.user_private_key = certificate, key


class _Gate:
    """Lets only servers in that are trusted, valid now and who they say they are; keeps the others' certificates."""

    def __init__(self, where: str, pki: Pki) -> None:
        self._where = where
        self._pki = pki

    async def check(self, certificate: x509.Certificate, application: ua.ApplicationDescription) -> None:
        """Raises LinkLostError with the certificate's name and what to do."""
        plain = CertificateValidatorOptions.TIME_RANGE | CertificateValidatorOptions.PEER_SERVER
        plain |= CertificateValidatorOptions.URI
        name = name_of(certificate)
        try:
            await CertificateValidator(plain).validate(certificate, application)
        except UaError as bad:
            raise LinkLostError(
                f"{self._where}: the server's certificate {name} is not valid ({type(bad).__name__}): its dates, this "
                "machine's clock, or the application URI in it"
            ) from None
        try:
            authority = self._pki.authority_of(certificate)
            revoked = authority is not None and self._pki.is_revoked(certificate, authority)
            trusted = authority is not None or self._pki.is_trusted(certificate)
        except PkiError as problem:
            raise LinkLostError(f"{self._where}: {problem}") from None
        if revoked:
            raise LinkLostError(
                f"{self._where}: the server's certificate {name} ({certificate.subject.rfc4514_string()}) was revoked "
                f"by its authority (a list in {self._pki.folder / 'crl'}): the PLC needs a new one"
            )
        if trusted:
            return
        self._pki.met(certificate)
        raise UntrustedServerError(
            f"{self._where}: the server's certificate {name} ({certificate.subject.rfc4514_string()}) is not trusted. ",
            f"Compare it with what the PLC shows, then: stellwerk pki trust {name} --folder {self._pki.folder}",
        )
