"""Our drivers against peers that nobody of us wrote: libmodbus, node-opcua, vda5050-sdk, Mosquitto."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from pymodbus.client import AsyncModbusTcpClient

from drivers.modbus.driver import ModbusDriver
from drivers.opcua.driver import OpcuaDriver
from drivers.opcua.pki import Pki
from drivers.vda5050.driver import VdaDriver
from gateway.contract import Command, NotWritten
from gateway.devices.agv import Drive, DriveAction, DriveEdge, DriveNode, Instant
from gateway.devices.conveyor import Discharge, Induct
from gateway.devices.sorter import Assign
from gateway.site import AgvSpec, ConveyorSpec, SorterSpec
from plc_simulators.servers.broker import EmbeddedBroker

sys.path.insert(0, str(Path(__file__).parent))
import peers

LATER_NS = 10**18
LANES = 3
STALE_MS = 1000
PROCESS_S = 20.0
"""Starting a process and coming back after a back-off, on a machine that does something else as well."""
VEHICLES = ("vda5050-sdk on amqtt", "vda5050-sdk on Mosquitto")
KINDS = ("libmodbus", "node-opcua", *VEHICLES)


@dataclass
class Stand:
    """A peer that runs and the driver that is to talk to it, not started yet."""

    peer: peers.Peer
    driver: Any
    device: str
    restarted: tuple[str, ...] = ()
    """What it is started with the second time: its port and another boot id, where it has them."""
    pki: Pki | None = None

    async def restart(self) -> None:
        await self.peer.start(*self.restarted)


class Shelf:
    """What takes long to make and is kept by one test process: a compiled server, a sorter that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sorter: peers.Peer | None = None


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path_factory.mktemp("peers"))
    yield shelf
    if shelf.sorter is not None:
        shelf.sorter.end()


@pytest.fixture
async def stand(
    request: pytest.FixtureRequest, shelf: Shelf, tmp_path: Path, sink: Any, profile: Any
) -> AsyncIterator[Stand]:
    kind: str = request.param
    if kind.startswith("vda5050-sdk"):
        port = peers.outside_broker(request.node) if kind.endswith("Mosquitto") else None
        async with vehicle(request.node, port, sink, profile) as made:
            yield made
    elif kind == "libmodbus":
        made = await conveyor(request.node, shelf, sink, profile)
        yield made
        await made.peer.stop()
    else:
        pki = Pki(tmp_path) if kind.endswith("encrypted") else None
        yield await sorter(request.node, shelf, sink, profile, pki)


async def conveyor(item: pytest.Item, shelf: Shelf, sink: Any, profile: Any) -> Stand:
    peer = peers.modbus_peer(peers.modbus_binary(item, shelf.folder))
    await peer.start()
    peers.met(item, peer.name)
    spec = ConveyorSpec.model_validate(
        {
            "id": "C1", "type": "conveyor", "driver": "modbus", "profile": "stellwerk-conveyor", "zones": 12,
            "connection": {"port": peer.port, "timeout_ms": 400},
            "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 12, "loads_max": 8}],
        }
    )  # fmt: skip
    spoken = profile("stellwerk-conveyor", stale_ms=STALE_MS, heartbeat_ms=200)
    driver = ModbusDriver(spec, spoken, sink, lambda: 0, rng=random.Random(1))
    return Stand(peer, driver, "C1", ("--port", str(peer.port), "--boot-id", "2"))


async def sorter(item: pytest.Item, shelf: Shelf, sink: Any, profile: Any, pki: Pki | None) -> Stand:
    spoken = profile("stellwerk-sorter", stale_ms=STALE_MS, heartbeat_ms=200)
    if shelf.sorter is None:
        peer = peers.opcua_peer(item, spoken, shelf.folder, lanes=LANES)
        await peer.start()
        shelf.sorter = peer
    peer = shelf.sorter
    peer.thaw()
    await peer.ask("reset")
    peers.met(item, peer.name)
    security: Any = "none"
    if pki is not None:
        pki.create_own("edge")
        security = {"policy": "Basic256Sha256", "mode": "sign_and_encrypt", "pki": str(pki.folder)}
    url = f"opc.tcp://127.0.0.1:{peer.port}"
    spec = SorterSpec.model_validate(
        {
            "id": "S1", "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "IN",
            "connection": {"url": url, "security": security, "timeout_ms": 1000}, "reject_lane": LANES,
            "lanes": [{"lane": n, "location": f"L{n}"} for n in range(1, LANES + 1)],
        }
    )  # fmt: skip
    driver = OpcuaDriver(spec, spoken, sink, lambda: 0, rng=random.Random(2))
    return Stand(peer, driver, "S1", ("--port", str(peer.port), "--boot-id", "2"), pki)


@contextlib.asynccontextmanager
async def vehicle(item: pytest.Item, port: int | None, sink: Any, profile: Any) -> AsyncIterator[Stand]:
    """Behind the broker on `port`, or behind the one that the simulators bring along."""
    broker = EmbeddedBroker()
    if port is None:
        await broker.open()
    at = broker.port if port is None else port
    serial = f"peer-{uuid.uuid4().hex[:12]}"
    peer = peers.vehicle_peer(item, at, "--serial", serial)
    await peer.start()
    peers.met(item, f"{peer.name} on {'amqtt' if port is None else await peers.broker_name(port)}")
    spec = AgvSpec.model_validate(
        {
            "id": "AGV1", "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": "H1",
            "connection": {"port": at, "manufacturer": "peer", "serial": serial},
        }
    )  # fmt: skip
    profiles = {"vda5050-2.1": profile("vda5050-2.1", stale_ms=STALE_MS)}
    now = "2026-01-02T03:04:05.678Z"
    driver = VdaDriver([spec], profiles, sink, lambda: 0, lambda: now, rng=random.Random(3))
    yield Stand(peer, driver, "AGV1")
    await peer.stop()
    await peers.forget_retained(at, f"uagv/v2/peer/{serial}")
    await broker.close()


async def come_up(stand: Stand, sink: Any, until: Callable[..., Awaitable[None]]) -> None:
    """Wait for up, trusting the peer's certificate as a person would where it is asked for."""
    if stand.pki is not None:
        known = stand.pki.known
        await until(lambda: known() and sink.links(stand.device), "a certificate is shown to a person", PROCESS_S)
        (stranger,) = stand.pki.known()
        assert stranger.standing == "rejected"
        assert f"certificate {stranger.name}" in sink.reason(stand.device)
        stand.pki.move(stranger.name, "trusted")
    await until(lambda: sink.links(stand.device)[-1:] == ["up"] and sink.reports(stand.device), "up", PROCESS_S)


# --- what holds for every peer ---


@pytest.mark.parametrize("stand", KINDS, indirect=True)
async def test_a_peer_that_is_killed_is_down_and_its_return_brings_it_up(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    reports = len(sink.reports(stand.device))
    await stand.peer.kill()
    await until(lambda: sink.links(stand.device)[-1] == "down", "down")
    with pytest.raises(NotWritten) as refused:
        await stand.driver.send(Command("x", stand.device, 9, 1, LATER_NS, ANY_ACTION[stand.device]))
    assert refused.value.certain
    await stand.restart()
    await until(lambda: sink.links(stand.device)[-1] == "up", "up again", PROCESS_S)
    await until(lambda: len(sink.reports(stand.device)) > reports, "a full report follows")
    if stand.restarted:
        assert (sink.reports(stand.device)[0].boot_id, sink.reports(stand.device)[-1].boot_id) == (1, 2)
    assert not sink.bad


@pytest.mark.parametrize("stand", KINDS, indirect=True)
async def test_a_peer_that_freezes_is_no_longer_up_until_it_thaws(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    stand.peer.freeze()
    await until(lambda: sink.links(stand.device)[-1] in ("uncertain", "down"), "no longer up")
    with pytest.raises(NotWritten):
        await stand.driver.send(Command("x", stand.device, 9, 1, LATER_NS, ANY_ACTION[stand.device]))
    stand.peer.thaw()
    await until(lambda: sink.links(stand.device)[-1] == "up", "up again", PROCESS_S)
    assert (await stand.peer.log()).get("runs", []) == [], "what was refused has not run later"
    assert {signal for _, signal, _, _ in sink.bad} <= {"subscription"}, "at most that it had to be built anew"


ANY_ACTION: dict[str, Any] = {
    "C1": Induct(1, 1),
    "S1": Assign(1, (2,), 0),
    "AGV1": Instant("x", "stateRequest", {}),
}


# --- libmodbus ---


@pytest.mark.parametrize("stand", ["libmodbus"], indirect=True)
async def test_a_conveyors_day_on_libmodbus(stand, sink, running, until):
    peer, driver = stand.peer, stand.driver
    running(driver)
    await come_up(stand, sink, until)
    first = sink.reports("C1")[0]
    assert (first.state, first.mode, len(first.zones)) == (6, 1, 12)
    assert await peer.ask("set 100 1") == "OK"
    await until(lambda: sink.reports("C1")[-1].zones[0].occupied, "a load stands in zone 1")
    await driver.send(Command("c1", "C1", 1, 7, LATER_NS, Induct(1, 70_000)))
    await until(lambda: sink.reports("C1")[-1].echo.done_seq == 1, "echo of induct")
    shown = sink.reports("C1")[-1]
    assert (shown.echo.ack_seq, shown.echo.result, shown.echo.epoch, shown.zones[0].track_id) == (1, 1, 7, 70_000)
    await peer.ask("work 300")
    await driver.send(Command("c2", "C1", 2, 7, LATER_NS, Discharge(1, 70_000)))
    await until(lambda: sink.reports("C1")[-1].echo.ack_seq == 2, "accepted")
    await until(lambda: sink.reports("C1")[-1].echo.done_seq == 2, "done")
    taken = [report for report in sink.reports("C1") if (report.echo.ack_seq, report.echo.done_seq) == (2, 1)]
    assert taken, "taken and done are two reports"
    assert (sink.reports("C1")[-1].zones[0].occupied, sink.reports("C1")[-1].zones[0].departures) == (False, 1)
    log = await peer.log()
    assert [(run["seq"], run["code"], run["zone"], run["track"], run["result"]) for run in log["runs"]] == [
        (1, 1, 1, 70_000, 1),
        (2, 2, 1, 70_000, 1),
    ]
    assert (log["repeats"], log["refused_writes"]) == (0, 0), "each was written once, and nothing else"
    assert not sink.bad


@pytest.mark.parametrize("stand", ["libmodbus"], indirect=True)
async def test_a_number_that_is_written_twice_runs_once_on_libmodbus(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    await stand.peer.ask("set 100 1")
    for _ in range(2):
        await stand.driver.send(Command("c1", "C1", 5, 1, LATER_NS, Induct(1, 9)))
    await stand.driver.send(Command("c2", "C1", 6, 0, LATER_NS, Induct(1, 9)))
    await until(lambda: sink.reports("C1")[-1].echo.done_seq == 6, "the older controller is answered")
    assert sink.reports("C1")[-1].echo.result == 4
    log = await stand.peer.log()
    assert ([run["seq"] for run in log["runs"]], log["repeats"]) == ([5], 1)


@pytest.mark.parametrize("stand", ["libmodbus"], indirect=True)
async def test_libmodbus_hears_our_heartbeat_and_the_goodbye(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    heard = (await stand.peer.log())["beats_heard"]
    await stand.peer.log_when(lambda log: log["beats_heard"] >= heard + 2, "two more heartbeats")
    await stand.driver.safe_stop()
    assert (await stand.peer.log())["beat_heard"] == 0


@pytest.mark.parametrize("stand", ["libmodbus"], indirect=True)
async def test_a_connection_that_libmodbus_drops_is_made_anew(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    await stand.peer.ask("drop")
    await until(lambda: sink.links("C1") == ["up", "down", "up"], "down and up", PROCESS_S)
    assert (await stand.peer.log())["connections"] == 2


@pytest.mark.parametrize("stand", ["libmodbus"], indirect=True)
async def test_a_heartbeat_that_stands_makes_the_link_uncertain(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    await stand.peer.ask("beat 0")
    await until(lambda: sink.links("C1") == ["up", "uncertain"], "uncertain, and not down")
    await stand.peer.ask("beat 100")
    await until(lambda: sink.links("C1") == ["up", "uncertain", "up"], "up again")


# --- node-opcua ---


@pytest.mark.parametrize("stand", ["node-opcua", "node-opcua encrypted"], indirect=True)
async def test_a_sorters_day_on_node_opcua(stand, sink, running, until):
    peer, driver = stand.peer, stand.driver
    running(driver)
    await come_up(stand, sink, until)
    first = sink.reports("S1")[0]
    assert (first.state, first.mode, first.boot_id, len(first.lanes)) == (6, 1, 1, LANES)
    await peer.ask("set Lane.2.Full true")
    await until(lambda: sink.reports("S1")[-1].lanes[1].full, "lane 2 is full")
    await peer.ask('event {"type": 1, "track_id": 70000, "point": 1, "barcodes": "4711;0815"}')
    await until(lambda: sink.notices("S1"), "the scan")
    (scan,) = sink.notices("S1")
    assert (scan.ring_index, scan.data.kind, scan.data.track_id) == (1, "scan", 70_000)
    assert scan.data.barcodes == ("4711", "0815")
    await driver.consume("S1", 1)
    assert (await peer.log())["evt_rd"] == [1]
    for _ in range(2):
        await driver.send(Command("s1", "S1", 3, 5, LATER_NS, Assign(70_000, (2, 1), 90_000)))
    await until(lambda: sink.reports("S1")[-1].echo.done_seq == 3, "echo of assign")
    echo = sink.reports("S1")[-1].echo
    assert (echo.ack_seq, echo.result, echo.epoch) == (3, 1, 5)
    log = await peer.log()
    (run,) = log["runs"]
    assert (run["seq"], run["code"], run["track_id"], run["lanes"]) == (3, 10, 70_000, [2, 1, 0, 0])
    assert (run["deadline_ms"], log["repeats"]) == (90_000, 1), "the second write of the same number ran nothing"
    assert log["beats_heard"] > 0
    assert not sink.bad
    await driver.safe_stop()
    assert (await peer.log())["beat_heard"] == 0


@pytest.mark.parametrize("stand", ["node-opcua"], indirect=True)
async def test_events_come_in_order_round_the_ring_of_node_opcua(stand, sink, running, until):
    running(stand.driver)
    await come_up(stand, sink, until)
    for written in range(20, 81, 20):
        for number in range(written - 19, written + 1):
            await stand.peer.ask(f'event {{"type": 1, "track_id": {number}, "barcodes": "B{number}"}}')
        await until(lambda written=written: len(sink.notices("S1")) == written, f"{written} events")
        await stand.driver.consume("S1", written)
    notices = sink.notices("S1")
    assert [notice.ring_index for notice in notices] == list(range(1, 81))
    assert [notice.data.barcodes for notice in notices] == [(f"B{number}",) for number in range(1, 81)]
    assert (await stand.peer.log())["evt_rd"] == [20, 40, 60, 80]
    assert not sink.alarms()


# --- vda5050-sdk ---

PICK = DriveAction("a1", "pick", {"stationName": "RACK-1", "loadId": "L1"})
NODES = (
    DriveNode("N1", 0, True, 0, 0),
    DriveNode("N2", 2, True, 2000, 0, (PICK,)),
    DriveNode("N3", 4, False, 4000, 0),
)
EDGES = (DriveEdge("N1-N2", 1, True, "N1", "N2", 1200), DriveEdge("N2-N3", 3, False, "N2", "N3", 1200))


def actions(sink: Any) -> dict[str, str]:
    """The newest status of every action."""
    return {action.action_id: action.status for action in sink.reports("AGV1")[-1].actions}


@pytest.mark.parametrize("stand", VEHICLES, indirect=True)
async def test_a_vehicle_on_vda5050_sdk_drives_picks_and_goes_on(stand, sink, running, until):
    peer, driver = stand.peer, stand.driver
    running(driver)
    await come_up(stand, sink, until)
    first = sink.reports("AGV1")[0]
    assert (first.last_node, first.drive_id, first.battery_permille, first.localised) == ("N1", "", 1000, True)
    await until(lambda: sink.notices("AGV1"), "the factsheet")
    sheet = sink.notices("AGV1")[0].data
    assert (sheet.series, sheet.speed_max_mm_s, sheet.length_mm) == ("SDK", 1500, 900)
    assert {"pick", "drop", "cancelOrder"} <= set(sheet.actions)
    await peer.ask("battery 55")
    await until(lambda: sink.reports("AGV1")[-1].battery_permille == 550, "the battery's new charge")
    await driver.send(Command("d1", "AGV1", 1, 1, LATER_NS, Drive("D1", 0, "floor", NODES, EDGES)))
    await until(lambda: sink.reports("AGV1")[-1].drive_id == "D1", "the drive is accepted")
    await until(lambda: actions(sink).get("a1") == "FINISHED", "the pick is done")
    at_base = sink.reports("AGV1")[-1]
    assert (at_base.last_node, at_base.last_sequence_id, at_base.loads) == ("N2", 2, ("L1",))
    assert [(p.node, p.released) for p in at_base.path] == [("N3", False)], "it waits at the end of its base"
    there = (DriveNode("N2", 2, True, 2000, 0, (PICK,)), DriveNode("N3", 4, True, 4000, 0))
    on = Drive("D1", 1, "floor", there, (DriveEdge("N2-N3", 3, True, "N2", "N3", 1200),))
    await driver.send(Command("d2", "AGV1", 2, 1, LATER_NS, on))
    await until(lambda: sink.reports("AGV1")[-1].last_node == "N3", "the rest of the way")
    statuses = {a.status for report in sink.reports("AGV1") for a in report.actions if a.action_id == "a1"}
    assert {"WAITING", "FINISHED"} <= statuses
    log = await peer.log()
    assert log["orders"] == [["D1", 0, 3], ["D1", 1, 2]], "each was sent once and accepted"
    assert log["nodes"] == ["N2", "N3"]
    assert sink.reports("AGV1")[-1].errors == ()
    assert {"stateRequest", "factsheetRequest"} <= set(log["instant"])
    assert not sink.bad


@pytest.mark.parametrize("stand", VEHICLES, indirect=True)
async def test_a_vehicle_on_vda5050_sdk_cancels(stand, sink, running, until):
    peer, driver = stand.peer, stand.driver
    running(driver)
    await come_up(stand, sink, until)
    far = tuple(DriveNode(f"N{n + 1}", 2 * n, True, 2000 * n, 0) for n in range(40))
    edges = tuple(DriveEdge(f"E{n}", 2 * n + 1, True, f"N{n + 1}", f"N{n + 2}", 1200) for n in range(39))
    await driver.send(Command("d1", "AGV1", 1, 1, LATER_NS, Drive("D1", 0, "floor", far, edges)))
    await until(lambda: sink.reports("AGV1")[-1].last_node == "N2", "it is on its way")
    await driver.send(Command("c1", "AGV1", 2, 1, LATER_NS, Instant("stop-1", "cancelOrder", {})))
    await until(lambda: actions(sink).get("stop-1") == "FINISHED", "cancelled")
    await until(lambda: not sink.reports("AGV1")[-1].path and not sink.reports("AGV1")[-1].driving, "nothing is left")
    assert sink.reports("AGV1")[-1].drive_id == "D1", "the standard keeps the id"
    log = await peer.log()
    assert len(log["nodes"]) < 39
    assert log["orders"] == [["D1", 0, 40]]
    assert log["instant"].count("cancelOrder") == 1


# --- the peers as load for a benchmark ---


async def test_libmodbus_bare_answers_all_functions_on_many_connections(request, shelf):
    peer = peers.modbus_peer(peers.modbus_binary(request.node, shelf.folder), "--bare")
    await peer.start()
    clients = [AsyncModbusTcpClient("127.0.0.1", port=peer.port) for _ in range(16)]
    try:
        for number, client in enumerate(clients):
            assert await client.connect()
            await client.write_registers(10 * number, [number, number + 1])
        for number, client in enumerate(clients):
            assert (await client.read_holding_registers(10 * number, count=2)).registers == [number, number + 1]
            assert (await client.read_input_registers(0, count=125)).registers == [0] * 125
            assert (await client.read_coils(0, count=8)).bits == [False] * 8
            assert (await client.read_discrete_inputs(0, count=8)).bits == [False] * 8
        assert (await clients[0].read_holding_registers(0, count=1)).registers == [0], "no heartbeat in it"
    finally:
        for client in clients:
            client.close()
        await peer.stop()


async def test_node_opcua_makes_load_and_times_the_round_trip(request, until):
    peer = peers.opcua_load(request.node, tags=50, changing=10, every_ms=50)
    await peer.start()
    try:
        async with Client(f"opc.tcp://127.0.0.1:{peer.port}") as client:
            index = await client.get_namespace_index("urn:stellwerk:plc")
            scan, divert = client.get_node(f"ns={index};s=Scan"), client.get_node(f"ns={index};s=Divert")
            tags = [client.get_node(f"ns={index};s=Tag0.{n}") for n in (1, 10, 11, 50)]
            for _ in range(5):
                value = await scan.read_value()
                await divert.write_value(value, ua.VariantType.Int32)
            first, tenth, eleventh, last = await client.read_values(tags)
            assert (first > 0, first == tenth, eleventh, last) == (True, True, 0, 0)
        log = await peer.log()
        assert log["changes"] == 10 * log["ticks"]
        assert len(peer.rounds_us) == log["rounds"] > 0
        assert all(0 < round_us < 5_000_000 for round_us in peer.rounds_us)
    finally:
        await peer.stop()


# --- the list at the end of a run ---

NOTED = """
import pytest

def test_met(request):
    request.node.user_properties.append(("peer", "libexample 1.2"))

@pytest.fixture
def absent(request):
    request.node.user_properties.append(("peer missing", "libother: install it"))
    pytest.skip("not there")

def test_missing(absent):
    raise AssertionError
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_the_summary_lists_who_was_met_in_every_process(processes, tmp_path):
    (tmp_path / "test_noted.py").write_text(NOTED)
    argv = [sys.executable, "-m", "pytest", "-p", "peers_report", "-n", processes, "-c", "/dev/null", "."]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "libexample 1.2: 1 tests passed" in done.stdout
    assert "not there: libother: install it" in done.stdout
