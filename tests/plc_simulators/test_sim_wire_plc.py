"""PLC models on the real wire: plain Modbus and OPC UA clients see what docs/plc-interface.md promises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError
from pymodbus.client import AsyncModbusTcpClient

from plc_simulators.rig import Rig

CONVEYOR_SITE = """
locations:
  - {id: C1-IN, kind: transfer}
  - {id: OUT, kind: rack, capacity: 9}
devices:
  - {id: C1, type: conveyor, zones: 3, runs: [{from: C1-IN, to: OUT, zone_first: 1, zone_last: 3}]}
"""
SORTER_SITE = """
locations:
  - {id: LANE-1, kind: lane, capacity: 4}
  - {id: LANE-2, kind: lane, capacity: 4}
devices:
  - {id: S1, type: sorter, infeed: S1-IN, reject_lane: 2,
     lanes: [{lane: 1, location: LANE-1}, {lane: 2, location: LANE-2}]}
"""
CELL_SITE = """
devices:
  - {id: RC1, type: robot_cell, infeed: RC1-IN, outfeed: RC1-OUT}
"""
WaitFor = Callable[..., Any]


def site(folder: Path, text: str) -> Path:
    (folder / "site.yaml").write_text(text)
    return folder


# --- Modbus ---


@pytest.fixture
async def conveyor_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(site(tmp_path, CONVEYOR_SITE), speed=20) as rig:
        yield rig


@pytest.fixture
async def modbus(conveyor_rig: Rig) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=int(conveyor_rig.environment["STELLWERK_C1_PORT"]), retries=0)
    assert await client.connect()
    yield client
    client.close()


async def registers(client: AsyncModbusTcpClient, address: int, count: int) -> list[int]:
    answer = await client.read_holding_registers(address, count=count)
    assert not answer.isError(), answer
    return list(answer.registers)


async def command(client: AsyncModbusTcpClient, seq: int, code: int, zone: int, track_id: int, epoch: int = 1) -> None:
    values = [epoch >> 16, epoch & 0xFFFF, code, zone, track_id >> 16, track_id & 0xFFFF, seq >> 16, seq & 0xFFFF]
    answer = await client.write_registers(1001, values)
    assert not answer.isError(), answer


async def done(client: AsyncModbusTcpClient, wait_for: WaitFor, seq: int) -> int:
    """Wait for the echo of a command and return its result."""

    async def echoed() -> list[int]:
        status = await registers(client, 0, 11)
        return status if (status[6] << 16 | status[7]) == seq else []

    status = await wait_for(echoed)
    assert status[4] << 16 | status[5] == seq
    return int(status[8])


async def test_a_tote_goes_over_the_conveyor_by_registers_alone(
    conveyor_rig: Rig, modbus: AsyncModbusTcpClient, wait_for: WaitFor
) -> None:
    await wait_for(lambda: conveyor_rig.plant.controllers()["C1"].unit.state == 6)
    status = await registers(modbus, 0, 11)
    assert (status[1], status[9:]) == (conveyor_rig.plant.controllers()["C1"].boot_id, [6, 1])
    conveyor_rig.plant.put("L1", [], "C1-IN")
    zone = await registers(modbus, 100, 8)
    assert zone[1:] == [1, 0, 0, 0, 0, 0, 0]
    assert zone[0] & 1
    track, seq = 0x0001_0002, 0x0003_0004
    await command(modbus, seq, 1, 1, track)
    assert await done(modbus, wait_for, seq) == 1

    async def held_at_exit() -> bool:
        return (await registers(modbus, 116, 8))[0] & 5 == 5

    await wait_for(held_at_exit)
    assert (await registers(modbus, 116, 5))[1:] == [1, 0, 1, 2]
    await command(modbus, seq + 1, 2, 3, track)
    assert await done(modbus, wait_for, seq + 1) == 1
    assert conveyor_rig.plant.loads() == {"L1": "OUT"}
    await command(modbus, seq, 2, 3, track)
    assert await done(modbus, wait_for, seq) == 1  # only echoed again
    await command(modbus, seq + 2, 3, 1, 0, epoch=0)
    assert await done(modbus, wait_for, seq + 2) == 4
    box = conveyor_rig.plant.controllers()["C1"].mailbox
    assert (box.accepted, box.executed, box.repeated) == (2, 2, 0)


async def test_only_the_command_registers_can_be_written(modbus: AsyncModbusTcpClient) -> None:
    for address, values in ((0, [1]), (100, [1]), (1009, [1]), (1008, [1, 1]), (999, [1])):
        assert (await modbus.write_registers(address, values)).isError(), address
    assert (await modbus.read_input_registers(0, count=1)).isError()
    assert (await modbus.read_holding_registers(100 + 3 * 8, count=1)).isError()
    assert not (await modbus.write_register(1000, 7)).isError()
    assert await registers(modbus, 1000, 1) == [7]


async def test_a_command_in_single_writes_runs_when_its_last_word_is_there(
    conveyor_rig: Rig, modbus: AsyncModbusTcpClient, wait_for: WaitFor
) -> None:
    for address, value in ((1002, 1), (1003, 3), (1004, 2), (1008, 41)):
        assert not (await modbus.write_register(address, value)).isError()
    assert await done(modbus, wait_for, 41) == 1


async def test_the_plc_beats_and_hears_the_gateway(
    conveyor_rig: Rig, modbus: AsyncModbusTcpClient, wait_for: WaitFor
) -> None:
    async def beaten() -> bool:
        return (await registers(modbus, 0, 1))[0] >= 2

    await modbus.write_register(1000, 1)
    await modbus.write_register(1000, 2)
    await wait_for(beaten)
    await wait_for(lambda: conveyor_rig.plant.controllers()["C1"].life.safe)
    await modbus.write_register(1000, 3)
    assert not conveyor_rig.plant.controllers()["C1"].life.safe


async def test_a_dropped_modbus_link_is_cut_and_comes_back_on_the_same_port(
    conveyor_rig: Rig, modbus: AsyncModbusTcpClient, wait_for: WaitFor
) -> None:
    port = int(conveyor_rig.environment["STELLWERK_C1_PORT"])
    await conveyor_rig.fault("link_drop", "C1")
    await conveyor_rig.fault("link_drop", "C1")
    await wait_for(lambda: not modbus.connected)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await conveyor_rig.fault("link_drop", "C1", on=False)
    again = AsyncModbusTcpClient("127.0.0.1", port=port)
    assert await again.connect()
    assert len(await registers(again, 0, 11)) == 11
    again.close()


# --- OPC UA ---


class Plc:
    """A plain OPC UA client on one simulated PLC."""

    def __init__(self, client: Client, index: int) -> None:
        self.client = client
        self.index = index

    async def read(self, *names: str) -> list[Any]:
        nodes = [self.client.get_node(ua.NodeId(name, self.index)) for name in names]
        return list(await self.client.read_values(nodes))

    async def write(self, **values: tuple[ua.VariantType, Any]) -> list[ua.StatusCode]:
        """Write `Command.<name>` nodes in one call, in the order given."""
        ids = [ua.NodeId(f"Command.{name}", self.index) for name in values]
        data = [ua.DataValue(ua.Variant(value, type_)) for type_, value in values.values()]
        return list(await self.client.uaclient.write_attributes(ids, data))


@pytest.fixture
async def plc() -> AsyncIterator[Callable[[str], Any]]:
    clients: list[Client] = []

    async def connect(url: str) -> Plc:
        client = Client(url, timeout=4)
        await client.connect()
        clients.append(client)
        return Plc(client, await client.get_namespace_index("urn:stellwerk:plc"))

    yield connect
    for client in clients:
        await client.disconnect()


U16, U32, TEXT = ua.VariantType.UInt16, ua.VariantType.UInt32, ua.VariantType.String


async def test_an_item_is_scanned_assigned_and_diverted_over_opc_ua(
    tmp_path: Path, wait_for: WaitFor, plc: Callable[[str], Any]
) -> None:
    async with Rig(site(tmp_path, SORTER_SITE), speed=4) as rig:
        sorter = rig.plant.sorters["S1"]
        sorter.no_read_share = 0.0
        client: Plc = await plc(rig.environment["STELLWERK_S1_URL"])
        await wait_for(rig.plant.places["S1-IN"].room)
        rig.plant.put("L1", ["A", "B"], "S1-IN")

        async def event(number: int) -> list[Any]:
            fields = ("Type", "TrackId", "Lane", "Result", "PlcMs", "Barcodes", "Seq")
            if (await client.read("Event.Wr"))[0] < number:
                return []
            return await client.read(*(f"Event.{number}.{name}" for name in fields))

        type_, track, _, _, plc_ms, barcodes, seq = await wait_for(lambda: event(1))
        assert (type_, barcodes, seq) == (1, "A;B", 1)
        results = await client.write(
            Epoch=(U32, 3),
            Code=(U16, 10),
            TrackId=(U32, track),
            Lane1=(U16, 1),
            Lane2=(U16, 0),
            Lane3=(U16, 0),
            Lane4=(U16, 0),
            DeadlineMs=(U32, plc_ms + 1900),
            Seq=(U32, 1),
        )
        assert all(status.is_good() for status in results)

        async def echoed() -> bool:
            return (await client.read("Status.DoneSeq"))[0] == 1

        await wait_for(echoed)
        assert await client.read("Status.AckSeq", "Status.Result", "Status.Epoch") == [1, 1, 3]
        assert (await wait_for(lambda: event(2)))[:4] == [2, track, 1, 0]

        async def counted() -> bool:
            return await client.read("Lane.1.Count", "Lane.1.Full", "Lane.1.Enabled") == [1, False, True]

        await wait_for(counted)
        assert len(rig.opcua["S1"].latency_ms) == 1
        node = client.client.get_node(ua.NodeId("Event.Rd", client.index))
        await node.write_value(ua.DataValue(ua.Variant(2, U32)))
        assert sorter.ring.rd == 2

        old = rig.plant.controllers()["S1"].boot_id
        await rig.fault("plc_restart", "S1")

        async def restarted() -> bool:
            return await client.read("Status.BootId", "Event.Wr", "Event.1.Seq") == [old + 1, 0, 0]

        await wait_for(restarted)


async def test_a_cell_is_started_over_opc_ua_and_survives_a_dropped_link(
    tmp_path: Path, wait_for: WaitFor, plc: Callable[[str], Any]
) -> None:
    async with Rig(site(tmp_path, CELL_SITE), speed=20) as rig:
        client: Plc = await plc(rig.environment["STELLWERK_RC1_URL"])
        await wait_for(lambda: rig.plant.cells["RC1"].controller.unit.state == 4)
        rig.plant.put("L1", [], "RC1-IN")
        await client.write(
            Epoch=(U32, 1), Code=(U16, 2), TrackId=(U32, 8), Recipe=(TEXT, "small"), Seq=(U32, 5), HbGw=(U16, 1)
        )

        async def complete() -> bool:
            return await client.read("Status.DoneSeq", "Status.Result", "Status.State") == [5, 1, 17]

        await wait_for(complete)
        names = ("Cell.TrackId", "Cell.Processed", "Cell.InfeedOccupied", "Cell.OutfeedOccupied")
        assert await client.read(*names) == [8, 1, False, True]
        with pytest.raises(UaError):
            await client.client.get_node(ua.NodeId("Status.State", client.index)).write_value(4, U16)
        wrong = await client.write(Seq=(U16, 6))
        assert [status.is_good() for status in wrong] == [False]
        url = rig.environment["STELLWERK_RC1_URL"]
        await rig.fault("link_drop", "RC1")
        with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the loop calls it
            await Client(url, timeout=1).connect()
        await rig.fault("link_drop", "RC1", on=False)
        again: Plc = await plc(url)
        assert await again.read("Cell.Processed") == [1]


# --- control ---


async def test_the_control_channel_answers_every_line(conveyor_rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", conveyor_rig.control_port)

    async def ask(request: object) -> dict[str, Any]:
        writer.write(json.dumps(request).encode() + b"\n")
        answer = json.loads(await reader.readline())
        assert isinstance(answer, dict)
        return answer

    assert await ask({"op": "put", "load": "L1", "barcodes": ["A"], "location": "C1-IN"}) == {"ok": True}
    assert (await ask({"op": "put", "load": "L1", "location": "C1-IN"}))["ok"] is False
    assert "strings" in (await ask({"op": "put", "load": 1, "location": "C1-IN"}))["error"]
    assert await ask({"op": "loads"}) == {"ok": True, "loads": {"L1": "C1/zone 1"}, "shipped": {}}
    assert await ask({"op": "fault", "kind": "jam", "device": "C1", "zone": 2, "on": True}) == {"ok": True}
    assert (await ask({"op": "faults"}))["faults"] == [{"kind": "jam", "device": "C1", "number": 2}]
    assert "no zone 7" in (await ask({"op": "fault", "kind": "jam", "device": "C1", "zone": 7}))["error"]
    counts = (await ask({"op": "stats"}))["stats"]["C1"]
    assert (counts["accepted"], counts["executed"], counts["repeated"]) == (0, 0, 0)
    for nonsense in ([1], {"op": "dance"}, {}, {"op": "fault"}):
        assert (await ask(nonsense))["ok"] is False
    writer.write(b"no json\n")
    assert json.loads(await reader.readline())["ok"] is False
    assert await ask({"op": "stop"}) == {"ok": True}
    await asyncio.wait_for(conveyor_rig.finished(), 5)
    writer.close()


async def test_a_rig_leaves_no_task_and_no_port_behind(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with Rig(site(tmp_path, CONVEYOR_SITE)) as rig:
        ports = [
            int(rig.environment["STELLWERK_C1_PORT"]),
            rig.control_port,
            int(rig.environment["STELLWERK_MQTT_PORT"]),
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.control_port)
    assert await reader.read() == b""
    writer.close()
    assert asyncio.all_tasks() == before
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
