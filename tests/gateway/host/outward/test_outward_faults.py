"""Webhooks over TLS, and hosts that fail in every way at once: still all of it, in order."""

from __future__ import annotations

import datetime
import ipaddress
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from outward_rig import OK, Answer, Arrived, Host, House, Kernelspeak, at_work, figures_of, order

from gateway.host import patience


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, as a file to trust and as a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host of the test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return cert_file, context


async def test_certificates_are_checked(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, tmp_path: Path
) -> None:
    ca_file, context = certificate(tmp_path)
    await host.close()
    await host.open(context)
    url = host.url.replace("http:", "https:")
    trusting = house.hook(host) | {"url": url, "ca_file": str(ca_file)}
    wary = house.hook(host, id="wary") | {"url": url}
    lost = house.hook(host, id="lost") | {"url": url, "ca_file": "/nowhere.pem"}
    outward = await house.open(webhooks=[trusting, wary, lost])
    kernel.say(outward, order("O1", 1))
    async with at_work(outward):
        await wait(lambda: host.versions("O1") == [1])
        await wait(lambda: all(outward._hooks[name].presence.is_away() for name in ("wary", "lost")))
        assert "certificate is not trusted" in (await figures_of(outward, "wary")).reason
        assert "`ca_file` /nowhere.pem can't be used" in (await figures_of(outward, "lost")).reason
    assert len(host.told) == 1


@pytest.mark.parametrize(("seed", "batch_max"), [(1, 1), (2, 7)])
async def test_a_host_that_fails_in_every_way_gets_everything_in_order(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, monkeypatch: pytest.MonkeyPatch, seed: int, batch_max: int
) -> None:
    """Half of all requests fail; the gateway ends twice in between. Lost: nothing. Out of order: nothing."""
    monkeypatch.setattr(patience, "BACKOFF_MIN_S", 0.005)
    dice = random.Random(seed)

    def answer(_: Arrived) -> Answer:
        return OK if dice.random() < 0.5 else (dice.choice([408, 429, 500, 503]), {}, b"no")

    host.answer = answer
    spec = [house.hook(host, batch_max=batch_max, tries_max=100)]
    orders, versions = [f"O{number}" for number in range(12)], 9
    for life in range(3):
        outward = await house.open(webhooks=spec)
        for version in range(3 * life + 1, 3 * life + 4):
            kernel.say(outward, *(order(name, version) for name in orders))
        await outward.flush()
        async with at_work(outward):
            enough = len(orders) * (3 * life + (3 if life == 2 else 1))
            await wait(lambda: len({e["id"] for e in host.told}) >= enough)  # noqa: B023 - awaited right here
    for name in orders:
        seen = list(dict.fromkeys(host.versions(name)))  # a repeat is allowed, its first time must be in order
        assert seen == list(range(1, versions + 1)), name
    assert (await figures_of(outward, "wms")).dead_letters == 0
