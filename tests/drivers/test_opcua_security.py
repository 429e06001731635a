"""Encrypted sessions with a real server: who is let in, who is turned away, and what a person reads."""

from __future__ import annotations

import datetime
import random
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from opcua_plc import cell_spec

from drivers.opcua.driver import OpcuaDriver
from drivers.opcua.pki import Pki, PkiError
from gateway.site import OpcuaSecurity

POLICIES = {
    "Basic256Sha256": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    "Aes128Sha256RsaOaep": ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    "Aes256Sha256RsaPss": ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}


class OneUser:
    """The server's user list: operator with the password "right", and one certificate."""

    def __init__(self) -> None:
        self.certificate: bytes | None = None
        """Once it is set, it is the only login."""

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        if self.certificate is not None:
            return User(role=UserRole.User, name="operator") if certificate == self.certificate else None
        if username is None or (username, password) == ("operator", "right"):
            return User(role=UserRole.User, name=str(username))
        return None


class SecurePlc:
    """A server that speaks nothing but encrypted sessions. It has no nodes: what counts is whether one gets in."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.pki = Pki(folder)
        self.server: Any = None
        self.users = OneUser()

    async def start(self) -> None:
        if not self.pki.certificate.exists():
            self.pki.create_own("plc")
        self.server = Server(user_manager=self.users)
        await self.server.init()
        self.server.set_endpoint(self.url)
        await self.server.set_application_uri(self.pki.application_uri())
        self.server.set_security_policy(list(POLICIES.values()))
        tokens = [ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken]
        self.server.set_identity_tokens(tokens)
        await self.server.load_certificate(str(self.pki.certificate))
        await self.server.load_private_key(str(self.pki.key))
        await self.server.start()


@pytest.fixture
async def plc(free_port: Any, tmp_path: Path) -> AsyncIterator[SecurePlc]:
    plc = SecurePlc(f"opc.tcp://127.0.0.1:{free_port()}/", tmp_path / "plc")
    await plc.start()
    yield plc
    await plc.server.stop()


def driver_for(url: str, profile: Any, sink: Any, **security: str) -> OpcuaDriver:
    return OpcuaDriver(cell_spec(url, security, 3000), profile("stellwerk-robot-cell"), sink, lambda: 0)


async def reason_of(driver: OpcuaDriver) -> str:
    """Why the first session ended; the server has none of the profile's nodes, so it always does."""
    await driver._session()
    return driver._link.reason


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_server_is_let_in_when_a_person_trusts_it(
    plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path, policy: str
) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create_own("edge")
    reason = await reason_of(driver_for(plc.url, profile, sink, policy=policy, pki=str(pki.folder)))
    (stranger,) = pki.known()
    assert stranger.standing == "rejected"
    assert f"certificate {stranger.name}" in reason
    assert f"stellwerk pki trust {stranger.name} --folder {pki.folder}" in reason
    pki.move(stranger.name[:8], "trusted")
    reason = await reason_of(driver_for(plc.url, profile, sink, policy=policy, pki=str(pki.folder)))
    assert "the server has no namespace" in reason, "in the session, so that the namespaces could be read"
    pki.move(stranger.name, "rejected")
    assert "is not trusted" in await reason_of(driver_for(plc.url, profile, sink, policy=policy, pki=str(pki.folder)))


async def test_a_login_needs_the_right_password(plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create_own("edge")
    pki.add(plc.pki.certificate)
    secret = tmp_path / "password"
    login = {"pki": str(pki.folder), "user": "operator", "password_file": str(secret)}
    assert "password of operator can't be read" in await reason_of(driver_for(plc.url, profile, sink, **login))
    secret.write_text("wrong\n")
    assert "no namespace" not in await reason_of(driver_for(plc.url, profile, sink, **login))
    secret.write_text("right\n")
    assert "no namespace" in await reason_of(driver_for(plc.url, profile, sink, **login))


async def test_a_mode_that_the_server_does_not_offer_is_named(
    plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path
) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create_own("edge")
    reason = await reason_of(driver_for(plc.url, profile, sink, mode="sign", pki=str(pki.folder)))
    assert "the server offers no Basic256Sha256 with sign" in reason


async def test_without_an_own_certificate_the_link_says_how_to_make_one(
    plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path
) -> None:
    reason = await reason_of(driver_for(plc.url, profile, sink, pki=str(tmp_path / "none")))
    assert f"stellwerk pki own --folder {tmp_path / 'none'}" in reason


def test_the_key_is_the_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.create_own("edge")
    assert stat.S_IMODE(pki.key.stat().st_mode) == 0o600
    before = pki.key.read_bytes()
    with pytest.raises(PkiError, match="move them away first"):
        pki.create_own("edge")
    assert pki.key.read_bytes() == before
    assert pki.application_uri() == "urn:edge:stellwerk"


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "x.der").write_bytes(b"no")
    with pytest.raises(PkiError, match=r"x\.der is no certificate"):
        pki.known()
    with pytest.raises(PkiError, match="can't be read"):
        pki.add(tmp_path / "missing")


def test_a_name_that_fits_none_moves_none(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="0 certificates"):
        Pki(tmp_path).move("ab", "trusted")


# --- authorities ---


class Authority:
    """Signs certificates, and the list of those that it has taken back."""

    def __init__(self, name: str, *, ca: bool = True) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key.public_key(), [], ca=ca)

    def _signed(self, name: x509.Name, key: Any, uris: list[str], *, ca: bool, days: int = 10) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self.name, name, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=30))
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, pki: Pki, uri: str, *, days: int = 10) -> x509.Certificate:
        """Put a certificate with its key into the folder as its own."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri)])
        certificate = self._signed(name, key.public_key(), [uri], ca=False, days=days)
        pki.certificate.parent.mkdir(parents=True, exist_ok=True)
        pki.certificate.write_bytes(der(certificate))
        plain = serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pki.key.write_bytes(key.private_bytes(pem, pkcs8, plain))
        return certificate

    def revoke(self, *certificates: x509.Certificate) -> x509.CertificateRevocationList:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder(self.name, now, now + datetime.timedelta(days=1))
        for certificate in certificates:
            revoked = x509.RevokedCertificateBuilder(certificate.serial_number, now).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self.key, hashes.SHA256())


def der(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


async def test_an_authority_vouches_for_a_server_until_it_revokes_it(
    profile: Any, sink: Any, free_port: Any, tmp_path: Path
) -> None:
    authority, stranger = Authority("Plant CA"), Authority("Plant CA")
    plc = SecurePlc(f"opc.tcp://127.0.0.1:{free_port()}/", tmp_path / "plc")
    certificate = authority.issue(plc.pki, "urn:plc:signed")
    pki = Pki(tmp_path / "pki")
    pki.create_own("edge")
    (tmp_path / "ca.pem").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    await plc.start()
    try:
        driver = driver_for(plc.url, profile, sink, pki=str(pki.folder))
        assert "is not trusted" in await reason_of(driver)
        pki.add(tmp_path / "ca.pem")
        assert "no namespace" in await reason_of(driver_for(plc.url, profile, sink, pki=str(pki.folder)))
        lists = pki.folder / "crl"
        lists.mkdir()
        (lists / "none.crl").write_bytes(der(authority.revoke()))
        (lists / "not-its-own.crl").write_bytes(der(stranger.revoke(certificate)))
        assert "no namespace" in await reason_of(driver_for(plc.url, profile, sink, pki=str(pki.folder)))
        (lists / "plant.crl").write_bytes(der(authority.revoke(certificate)))
        reason = await reason_of(driver_for(plc.url, profile, sink, pki=str(pki.folder)))
        assert "was revoked by its authority" in reason
        pki.add(plc.pki.certificate)
        reason = await reason_of(driver_for(plc.url, profile, sink, pki=str(pki.folder)))
        assert "was revoked by its authority" in reason, "also where the very certificate is trusted"
        (lists / "broken.crl").write_bytes(b"no list")
        reason = await reason_of(driver_for(plc.url, profile, sink, pki=str(pki.folder)))
        assert "broken.crl is no list of revoked certificates" in reason
    finally:
        await plc.server.stop()


def test_only_an_authority_that_may_sign_vouches(tmp_path: Path) -> None:
    for maker, trusted in ((Authority("CA"), True), (Authority("No CA", ca=False), False)):
        pki = Pki(tmp_path / str(trusted))
        certificate = maker.issue(pki, "urn:x")
        (tmp_path / "one.der").write_bytes(der(maker.certificate))
        pki.add(tmp_path / "one.der")
        assert (pki.authority_of(certificate) is not None) == trusted
        assert pki.authority_of(Authority("CA").issue(Pki(tmp_path / "other"), "urn:x")) is None


# --- the own certificate, and strangers ---


async def test_a_stranger_is_written_down_once(plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create_own("edge")
    driver = driver_for(plc.url, profile, sink, pki=str(pki.folder))
    await reason_of(driver)
    (file,) = (pki.folder / "rejected").glob("*.der")
    file.chmod(0o444)
    before = file.stat()
    await reason_of(driver)
    await reason_of(driver)
    after = file.stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


async def test_a_bad_own_certificate_is_named_before_anything_is_sent(
    profile: Any, sink: Any, free_port: Any, tmp_path: Path
) -> None:
    nobody = f"opc.tcp://127.0.0.1:{free_port()}/"
    pki = Pki(tmp_path / "old")
    Authority("CA").issue(pki, "urn:edge", days=-1)
    reason = await reason_of(driver_for(nobody, profile, sink, pki=str(pki.folder)))
    assert "own/certificate.der was valid until 20" in reason
    assert f"stellwerk pki own --folder {pki.folder}" in reason

    keyless = Pki(tmp_path / "keyless")
    keyless.create_own("edge")
    keyless.key.unlink()
    reason = await reason_of(driver_for(nobody, profile, sink, pki=str(keyless.folder)))
    assert "own/key.pem can't be read (No such file or directory)" in reason
    keyless.key.write_text("no key")
    reason = await reason_of(driver_for(nobody, profile, sink, pki=str(keyless.folder)))
    assert "own/key.pem is no RSA key in PEM or DER without a password" in reason
    keyless.key.write_bytes(pki.key.read_bytes())
    reason = await reason_of(driver_for(nobody, profile, sink, pki=str(keyless.folder)))
    assert "is not that of" in reason


# --- logins ---


async def test_a_login_by_certificate(plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path) -> None:
    pki, operator, other = Pki(tmp_path / "pki"), Pki(tmp_path / "operator"), Pki(tmp_path / "other")
    pki.create_own("edge")
    pki.add(plc.pki.certificate)
    plc.users.certificate = der(Authority("Staff").issue(operator, "urn:operator"))
    Authority("Staff").issue(other, "urn:other")
    login = {"pki": str(pki.folder), "user_certificate": str(operator.certificate), "user_key": str(operator.key)}
    for policy in POLICIES:
        reason = await reason_of(driver_for(plc.url, profile, sink, policy=policy, **login))
        assert "no namespace" in reason, "in the session"
    wrong = {**login, "user_certificate": str(other.certificate)}
    reason = await reason_of(driver_for(plc.url, profile, sink, **wrong))
    assert f"the key {operator.key} is not that of the login" in reason
    reason = await reason_of(driver_for(plc.url, profile, sink, **{**wrong, "user_key": str(other.key)}))
    assert "the server refuses the login (BadUserAccessDenied)" in reason
    reason = await reason_of(driver_for(plc.url, profile, sink, pki=str(pki.folder)))
    assert "the server refuses the login" in reason, "nobody is let in without one"


async def test_a_refused_login_backs_off_and_leaves_no_session_behind(
    plc: SecurePlc, profile: Any, sink: Any, tmp_path: Path, running: Any, until: Any
) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create_own("edge")
    pki.add(plc.pki.certificate)
    (tmp_path / "password").write_text("wrong\n")
    created: list[float] = []
    iserver = plc.server.iserver
    plain = iserver.create_session

    def count(*args: Any, **kwargs: Any) -> Any:
        session = plain(*args, **kwargs)
        if kwargs.get("external"):
            created.append(len(iserver._external_sessions))
        return session

    iserver.create_session = count
    security = {"pki": str(pki.folder), "user": "operator", "password_file": str(tmp_path / "password")}
    driver = OpcuaDriver(
        cell_spec(plc.url, security, 3000), profile("stellwerk-robot-cell"), sink, lambda: 0, rng=random.Random(1)
    )
    waits: list[float] = []
    next_s = driver._backoff.next_s
    driver._backoff.next_s = lambda: waits.append(next_s()) or waits[-1] / 10  # type: ignore[method-assign]
    running(driver)
    await until(lambda: len(waits) >= 4)
    assert "the server refuses the login (BadUserAccessDenied)" in sink.reason("RC1")
    assert created == [1] * len(created), "never two at a time"
    assert not iserver._external_sessions
    assert waits[3] > 2 * waits[0], "each wait is longer"
    (tmp_path / "password").write_text("right\n")
    await until(lambda: len(waits) >= 6)
    assert not iserver._external_sessions, "neither does a session that found no namespace stay"


def test_one_login_only(tmp_path: Path) -> None:
    for wrong in (
        {"user_certificate": "a.der"},
        {"user_key": "a.pem"},
        {"user": "x", "password_file": "p", "user_certificate": "a.der", "user_key": "a.pem"},
    ):
        with pytest.raises(ValidationError, match=r"login|go together"):
            OpcuaSecurity.model_validate(wrong)
