"""Modbus over TLS against a real pymodbus TLS server, with certificates made here."""

from __future__ import annotations

import datetime
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymodbus.server import ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus.driver import ModbusDriver
from gateway.contract import Command
from gateway.devices.conveyor import Discharge
from gateway.site import ConveyorSpec


class Authority:
    """Signs certificates into PEM files of key and certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        issued = self._sign(self._key.public_key(), name, is_ca=True)
        self.file.write_bytes(issued.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        file = self.folder / f"{self.name}-{name}.pem"
        pem = serialization.Encoding.PEM
        shown = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(shown + self._sign(key.public_key(), name, is_ca=False).public_bytes(pem))
        return file

    def _sign(self, key: ec.EllipticCurvePublicKey, name: str, *, is_ca: bool) -> x509.Certificate:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), now - day, now + day)
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Plc:
    def __init__(self) -> None:
        self.port = 0
        self.beat = 0
        self.writes: list[int] = []

    async def act(self, function: int, start: int, address: int, count: int, registers: Any, values: Any) -> None:
        if values is not None:
            self.writes.append(address)
        elif address == 0:
            self.beat = (self.beat + 1) % 65536
            registers[0 - start] = self.beat


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "plant")


@pytest.fixture
async def plc(authority: Authority) -> AsyncIterator[Plc]:
    """A PLC named plc7 that asks for a certificate of the plant."""
    made = Plc()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("plc7"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    data = [SimData(0, count=1100, values=0, datatype=DataType.REGISTERS)]
    server = ModbusTlsServer(SimDevice(id=1, simdata=data, action=made.act), sslctx=context, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    made.port = server.transport.sockets[0].getsockname()[1]
    yield made
    await server.shutdown()


def driver(plc: Plc, sink: Any, profile: Any, **tls: Any) -> ModbusDriver:
    spec = ConveyorSpec.model_validate(
        {"id": "C1", "type": "conveyor", "driver": "modbus", "profile": "p", "zones": 2,
         "connection": {"port": plc.port, "timeout_ms": 1000, "tls": {k: str(v) for k, v in tls.items()}},
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 8}]}
    )  # fmt: skip
    shown = profile("stellwerk-conveyor", heartbeat_ms=50, stale_ms=2000)
    return ModbusDriver(spec, shown, sink, lambda: 0, rng=random.Random(1))


async def test_a_plc_of_the_plant_is_served_over_tls(plc, authority, sink, profile, running, until):
    ours = authority.issue("gateway")
    c1 = driver(plc, sink, profile, ca_file=authority.file, cert_file=ours, server_name="plc7")
    running(c1)
    await until(lambda: sink.links("C1") == ["up"])
    await c1.send(Command("c", "C1", 7, 3, 10**18, Discharge(zone=1, track_id=5)))
    assert 1001 in plc.writes


@pytest.mark.parametrize("wrong", ["authority", "name", "host"])
async def test_a_plc_that_cannot_show_who_it_is_gets_nothing(
    plc, authority, sink, profile, running, until, wrong, tmp_path
):
    trusted = Authority(tmp_path, "stranger") if wrong == "authority" else authority
    name = {} if wrong == "host" else {"server_name": "plc7" if wrong == "authority" else "plc8"}
    running(driver(plc, sink, profile, ca_file=trusted.file, cert_file=authority.issue("gateway"), **name))
    await until(lambda: sink.links("C1"))
    assert sink.links("C1") == ["down"]
    assert "TLS handshake failed" in sink.reason("C1")
    assert (plc.beat, plc.writes) == (0, [])


async def test_a_gateway_without_a_certificate_gets_nothing(plc, authority, sink, profile, running, until):
    running(driver(plc, sink, profile, ca_file=authority.file, server_name="plc7"))
    await until(lambda: sink.links("C1"))
    assert sink.links("C1") == ["down"]
    assert (plc.beat, plc.writes) == (0, [])


async def test_a_missing_file_is_told(plc, sink, profile, running, until, tmp_path):
    running(driver(plc, sink, profile, ca_file=tmp_path / "none.pem"))
    await until(lambda: sink.links("C1"))
    assert "C1 127.0.0.1" in sink.reason("C1")
    assert "TLS files can't be used" in sink.reason("C1")
