"""VdaDriver at a real Mosquitto with TLS, password and client certificates; a broker that ends and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from drivers.link import honour_cancellation
from drivers.vda5050 import broker as way
from drivers.vda5050.driver import VdaDriver
from gateway.contract import Command
from gateway.devices.agv import Drive, DriveNode
from gateway.shell.clock import utc_now
from gateway.site import AgvSpec, Site
from gateway.site.checks import check

PEM = serialization.Encoding.PEM
SECRET = "kö:1 2"
STATE: dict[str, Any] = {
    "orderId": "", "orderUpdateId": 0, "lastNodeId": "A", "lastNodeSequenceId": 0, "nodeStates": [], "edgeStates": [],
    "driving": False, "operatingMode": "AUTOMATIC", "actionStates": [], "errors": [],
    "batteryState": {"batteryCharge": 80.0, "charging": False},
    "safetyState": {"eStop": "NONE", "fieldViolation": False},
}  # fmt: skip


class Authority:
    """Signs certificates into PEM files of key and certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._sign(self._key.public_key(), name, is_ca=True).public_bytes(PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key, for a host name or an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert_file, key_file = self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key"
        shown = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_file.write_bytes(shown)
        cert_file.write_bytes(self._sign(key.public_key(), name, is_ca=False).public_bytes(PEM))
        return cert_file, key_file

    def _sign(self, key: ec.EllipticCurvePublicKey, name: str, *, is_ca: bool) -> x509.Certificate:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), now - day, now + day)
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        is_address = name[0].isdigit()
        names = x509.IPAddress(ipaddress.ip_address(name)) if is_address else x509.DNSName(name)
        builder = builder.add_extension(x509.SubjectAlternativeName([names]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Mosquitto:
    """One Mosquitto on a loopback port, as the lines of its configuration say; it can end and come back."""

    def __init__(self, folder: Path, port: int, *lines: str) -> None:
        self.port = port
        self._file = folder / f"mosquitto-{port}.conf"
        self._file.write_text("\n".join([f"listener {port} 127.0.0.1", "set_tcp_nodelay true", *lines]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end_s = time.monotonic() + 5.0
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            assert self._process.poll() is None, f"mosquitto has ended: {self._file.read_text()}"
            assert time.monotonic() < end_s, "mosquitto does not listen"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Mosquitto]]:
    if shutil.which("mosquitto") is None or shutil.which("mosquitto_passwd") is None:
        reason = "mosquitto and mosquitto_passwd are not installed"
        if os.environ.get("STELLWERK_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    begun: list[Mosquitto] = []

    def begin(*lines: str) -> Mosquitto:
        begun.append(Mosquitto(tmp_path, free_port(), *lines))
        begun[-1].start()
        return begun[-1]

    yield begin
    for broker in begun:
        broker.stop()


class Guarded:
    """A broker with TLS, a password and certificates on both sides, and what a client needs to come in."""

    def __init__(self, folder: Path, begin: Callable[..., Mosquitto]) -> None:
        self.ours, self.foreign = Authority(folder, "ours"), Authority(folder, "foreign")
        cert, key = self.ours.issue("127.0.0.1")
        self.own_cert, self.own_key = self.ours.issue("gateway")
        passwords, self.password_file = folder / "passwords", folder / "secret"
        self.password_file.write_text(SECRET + "\n", encoding="utf-8")
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "stellwerk", SECRET], check=True)
        # Mosquitto gives its rights up when root starts it; its files must still be read then.
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.broker = begin(
            f"cafile {self.ours.file}", f"certfile {cert}", f"keyfile {key}", "require_certificate true",
            f"password_file {passwords}", "allow_anonymous false", f"user {os.environ.get('USER', 'root')}",
        )  # fmt: skip

    def connection(self, **changes: Any) -> dict[str, Any]:
        tls = {"ca_file": str(self.ours.file), "cert_file": str(self.own_cert), "key_file": str(self.own_key)}
        tls |= changes.pop("tls", {})
        tls = {key: str(value) for key, value in tls.items() if value is not None}
        return {
            "port": self.broker.port, "tls": tls, "user": "stellwerk", "password_file": str(self.password_file),
            **changes,
        }  # fmt: skip


@pytest.fixture
def guarded(tmp_path: Path, mosquitto: Callable[..., Mosquitto]) -> Guarded:
    return Guarded(tmp_path, mosquitto)


def spec(connection: dict[str, Any], name: str = "AGV1") -> AgvSpec:
    own = {"manufacturer": "stellwerk", "serial": name.lower()}
    return AgvSpec.model_validate(
        {
            "id": name, "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": "H",
            "connection": {**own, **connection},
        }
    )  # fmt: skip


@pytest.fixture
def make(sink: Any, profile: Any) -> Callable[..., VdaDriver]:
    def driver(*connections: dict[str, Any]) -> VdaDriver:
        specs = [spec(connection, f"AGV{n}") for n, connection in enumerate(connections, 1)]
        profiles = {"vda5050-2.1": profile("vda5050-2.1")}
        return VdaDriver(specs, profiles, sink, lambda: 0, utc_now, rng=random.Random(1))

    return driver


async def answer(client: aiomqtt.Client, asked: list[str], serial: str = "agv1") -> None:
    """A vehicle that says a state when it is asked for one, and never else."""
    head = {"headerId": 1, "timestamp": utc_now(), "version": "2.1.0", "manufacturer": "m", "serialNumber": serial}
    root = f"uagv/v2/stellwerk/{serial}"
    await client.subscribe([(f"{root}/instantActions", 0), (f"{root}/order", 0)])
    online = {**head, "connectionState": "ONLINE"}
    await client.publish(f"{root}/connection", json.dumps(online), qos=1, retain=True)
    honour_cancellation()
    async for message in client.messages:
        body = json.loads(message.payload)
        for action in body.get("actions", [{"actionType": "order"}]):
            asked.append(action["actionType"])
            if action["actionType"] == "stateRequest":
                await client.publish(f"{root}/state", json.dumps({**head, **STATE}))
        honour_cancellation()


@contextlib.asynccontextmanager
async def vehicle(connection: dict[str, Any], asked: list[str]) -> Any:
    async with way.client(spec(connection).connection, "vehicle-agv1") as client:
        task = asyncio.create_task(answer(client, asked))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await task


async def test_a_vehicle_is_served_over_tls_with_password_and_certificates(guarded, make, running, sink, until):
    asked: list[str] = []
    driver = make(guarded.connection())
    async with vehicle(guarded.connection(), asked):
        running(driver)
        await until(lambda: sink.links("AGV1") == ["up"])
        action = Drive("D", 0, "m", (DriveNode("A", 0, True, 0, 0),), ())
        await driver.send(Command("c", "AGV1", 1, 1, 10**18, action))
        await until(lambda: asked == ["stateRequest", "factsheetRequest", "order"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that stays mute is given up sooner than in life."""
    monkeypatch.setattr(way, "TIMEOUT_S", 1.0)


async def told(driver: VdaDriver, running: Any, sink: Any, until: Callable[..., Awaitable[None]]) -> str:
    running(driver)
    await until(lambda: sink.links("AGV1") == ["down"], "the refusal is told")
    reason: str = sink.reason("AGV1")
    assert SECRET not in reason
    return reason


async def test_a_wrong_password_is_told_and_a_corrected_file_counts_at_once(guarded, make, running, sink, until):
    guarded.password_file.write_text("wrong")
    reason = await told(make(guarded.connection()), running, sink, until)
    where = f"AGV1: MQTT broker 127.0.0.1:{guarded.broker.port}: the broker refuses the login of stellwerk"
    assert reason.startswith(where)
    assert reason.endswith(f"the password in {guarded.password_file}, and the broker's list of users")
    guarded.password_file.write_text(SECRET, encoding="utf-8")
    async with vehicle(guarded.connection(), []):
        await until(lambda: sink.links("AGV1") == ["down", "up"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"user": "", "password_file": ""}, "the broker wants a login"),
        ({"password_file": "/nowhere"}, "the password of stellwerk can't be read from /nowhere"),
        ({"tls": {"ca_file": "foreign"}}, "the broker's certificate is not trusted"),
        ({"tls": {"server_name": "plc7"}}, "the broker's certificate is not made for plc7"),
        ({"host": "localhost"}, "the broker's certificate is not made for localhost"),
        ({"tls": {"ca_file": "/nowhere"}}, "the TLS files can't be used"),
        ({"tls": {"cert_file": None, "key_file": None}}, "may check the gateway's own certificate and ask for one"),
        ({"tls": {"cert_file": "foreign", "key_file": "foreign"}}, "certificate and refuse the one in"),
    ],
    ids=["no login", "no password file", "authority", "server name", "host name", "no file", "no own", "foreign own"],
)
@pytest.mark.usefixtures("impatient")
async def test_a_refusal_says_what_to_do(changes, says, guarded, make, running, sink, until):
    if "tls" in changes:
        names = dict(changes["tls"])
        if names.get("ca_file") == "foreign":
            names["ca_file"] = guarded.foreign.file
        if names.get("cert_file") == "foreign":
            names["cert_file"], names["key_file"] = guarded.foreign.issue("gateway")
        changes = {"tls": names}
    assert says in await told(make(guarded.connection(**changes)), running, sink, until)


@pytest.mark.usefixtures("impatient")
async def test_plain_mqtt_to_a_tls_port_and_tls_to_a_plain_one_are_told(guarded, mosquitto, make, running, sink, until):
    reason = await told(make({"port": guarded.broker.port}), running, sink, until)
    assert "does it want TLS on this port?" in reason
    plain = mosquitto("allow_anonymous true")
    sink.posts.clear()
    reason = await told(make(guarded.connection(port=plain.port)), running, sink, until)
    assert "the TLS handshake failed" in reason


async def test_vehicles_of_one_broker_that_disagree_are_refused(guarded, make):
    one, other = guarded.connection(), guarded.connection(user="robot")
    with pytest.raises(ValueError, match=r"^AGV2 and AGV1 reach the broker 127\.0\.0\.1:\d+ with different `tls`"):
        make(one, other)


# --- the broker ends and comes back ---


async def test_after_a_broker_restart_everything_is_asked_for_anew(mosquitto, make, running, sink, until):
    broker = mosquitto("allow_anonymous true", "persistence false")
    connection, asked = {"port": broker.port}, []
    driver = make(connection)
    running(driver)
    async with vehicle(connection, asked):
        await until(lambda: sink.links("AGV1") == ["up"])
        broker.stop()
        await until(lambda: sink.links("AGV1") == ["up", "down"])
    asked.clear()
    broker.start()
    async with vehicle(connection, asked):
        await until(lambda: sink.links("AGV1") == ["up", "down", "up"], "no wait for the next regular state")
        await until(lambda: asked == ["stateRequest", "factsheetRequest"], "asked for everything, once")
        assert len(sink.reports("AGV1")) == 2
        assert driver.figures()[0].connects == 2


async def test_a_broker_that_comes_late_is_found(mosquitto, make, running, sink, until):
    broker = mosquitto("allow_anonymous true")
    broker.stop()
    running(make({"port": broker.port}))
    await until(lambda: sink.links("AGV1") == ["down"], "the first connect has failed")
    assert sink.reason("AGV1").endswith("is it running?")
    broker.start()
    async with vehicle({"port": broker.port}, []):
        await until(lambda: sink.links("AGV1") == ["down", "up"])


class Relay:
    """Counts the connections that are made through it, and those that are open."""

    def __init__(self, port: int) -> None:
        self.port, self._to = 0, port
        self.made = self.open = 0

    async def pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        self.open += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self.pipe(reader, back), self.pipe(there, writer))
        self.open -= 1


@pytest.fixture
async def relay(mosquitto: Callable[..., Mosquitto]) -> Any:
    relay = Relay(mosquitto("allow_anonymous true").port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    yield relay
    server.close()
    await server.wait_closed()


async def test_all_vehicles_share_one_connection_and_a_cancelled_driver_closes_it(relay, make, running, sink, until):
    task = running(make(*[{"port": relay.port}] * 20))
    async with vehicle({"port": relay.port}, []):
        await until(lambda: sink.links("AGV1") == ["up"])
        assert (relay.made, relay.open) == (2, 2), "one of the driver, one of the vehicle"
        task.cancel()
        await until(lambda: task.done() and relay.open == 1, "the driver's connection is closed")
        assert task.cancelled()
    await until(lambda: relay.open == 0)


# --- what the YAML may say ---


def site(*connections: dict[str, Any]) -> Site:
    devices = [spec(connection, f"AGV{n}") for n, connection in enumerate(connections, 1)]
    nodes = [{"id": "H", "x_mm": 0, "y_mm": 0}]
    body = {"site": {"id": "s", "name": "s"}, "map": {"nodes": nodes}, "devices": [d.model_dump() for d in devices]}
    return Site.model_validate(body)


def wire_findings(*connections: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f.message, f.hint) for f in check(site(*connections), left_out={"vda5050-2.1"}) if "broker" in f.message]


def test_a_broker_over_the_network_needs_tls_or_a_waiver():
    ((message, hint),) = wire_findings({"host": "10.0.0.9"})
    assert message == "agv AGV1 reaches the broker 10.0.0.9:1883 over the network without TLS"
    assert "waive it for this device with `tls: waived`" in hint
    tls = {"ca_file": "ca.pem"}
    for sound in ({"host": "10.0.0.9", "tls": "waived"}, {"host": "mqtt.plant", "tls": tls}, {"host": "localhost"},
                  {"host": "127.0.0.7"}, {"host": "::1"}):  # fmt: skip
        assert wire_findings(sound) == []
    assert wire_findings({"host": "mqtt.plant"})


def test_vehicles_of_one_broker_must_be_set_alike():
    login = {"user": "u", "password_file": "f"}
    ((message, hint),) = wire_findings({}, login)
    assert message == ("agv AGV2 and AGV1 reach the broker 127.0.0.1:1883 with different `user` and `password_file`")
    assert "set them alike" in hint
    assert wire_findings(login, login) == []
    assert wire_findings({}, {**login, "port": 1884}) == []


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        ({"user": "u"}, "`user` and `password_file` go together"),
        ({"password_file": "f"}, "`user` and `password_file` go together"),
        ({"tls": {"ca_file": "c", "key_file": "k"}}, "give that too"),
        ({"tls": {"cert_file": "c"}}, "ca_file"),
        ({"tls": "none"}, "waived"),
        ({"user": "u", "password": "p"}, "password"),
    ],
)
def test_half_a_login_is_refused(connection, says):
    with pytest.raises(ValidationError, match=says):
        spec(connection)


async def test_a_broker_that_closes_before_it_answers_is_told_at_once(make, sink, running, until):
    """Not after the time-out for an answer, and not as one that is silent."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        driver = make({"port": server.sockets[0].getsockname()[1]})
        begun_s = time.monotonic()
        running(driver)
        await until(lambda: sink.links("AGV1") == ["down"], "told")
        assert time.monotonic() - begun_s < way.TIMEOUT_S
        assert "closed the connection before it answered: it took the connection" in sink.reason("AGV1")
