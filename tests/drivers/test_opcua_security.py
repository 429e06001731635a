"""Encrypted sessions with a real server: who is let in, who is turned away, and what a person reads."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole

from drivers.opcua.driver import OpcuaDriver
from drivers.opcua.pki import Pki, PkiError
from gateway.site import RobotCellSpec

POLICIES = {
    "Basic256Sha256": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    "Aes128Sha256RsaOaep": ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    "Aes256Sha256RsaPss": ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}


class OneUser:
    """The server's user list: operator with the password "right"."""

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        if username is None or (username, password) == ("operator", "right"):
            return User(role=UserRole.User, name=str(username))
        return None


class SecurePlc:
    """A server that speaks nothing but encrypted sessions. It has no nodes: what counts is whether one gets in."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.pki = Pki(folder)
        self.server: Server | None = None

    async def start(self) -> None:
        self.pki.create_own("plc")
        self.server = Server(user_manager=OneUser())
        await self.server.init()
        self.server.set_endpoint(self.url)
        await self.server.set_application_uri(self.pki.application_uri())
        self.server.set_security_policy(list(POLICIES.values()))
        self.server.set_security_IDs(["Anonymous", "Username"])
        await self.server.load_certificate(str(self.pki.certificate))
        await self.server.load_private_key(str(self.pki.key))
        await self.server.start()


@pytest.fixture
async def plc(free_port: Any, tmp_path: Path) -> AsyncIterator[SecurePlc]:
    plc = SecurePlc(f"opc.tcp://127.0.0.1:{free_port()}/", tmp_path / "plc")
    await plc.start()
    yield plc
    assert plc.server is not None
    await plc.server.stop()


def driver_for(url: str, profile: Any, sink: Any, **security: str) -> OpcuaDriver:
    spec = RobotCellSpec.model_validate(
        {
            "id": "RC1", "type": "robot_cell", "driver": "opcua", "profile": "stellwerk-robot-cell",
            "connection": {"url": url, "security": security, "timeout_ms": 3000},
            "infeed": "A", "outfeed": "B", "skills": ["decant"],
        }
    )  # fmt: skip
    return OpcuaDriver(spec, profile("stellwerk-robot-cell"), sink, lambda: 0)


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
