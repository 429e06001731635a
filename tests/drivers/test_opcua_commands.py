"""How commands reach a real OPC UA server: read back where the profile wants it, or as a Call of a method."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from opcua_plc import FAST, OpcuaPlc, assign, serving, sorter_spec

from drivers.opcua.driver import OpcuaDriver
from gateway.contract import NotWritten

METHOD = {"object": "/PLC/Command", "method": "/PLC/Command/Take"}
ARGUMENTS = (3, 10, 5, 2, 8, 0, 0, 12_345, 7)
"""Epoch, code, track, four lanes, deadline and sequence number of `assign()`."""
KINDS = [
    ua.VariantType.UInt32, ua.VariantType.UInt16, ua.VariantType.UInt32, ua.VariantType.UInt16, ua.VariantType.UInt16,
    ua.VariantType.Int32, ua.VariantType.UInt16, ua.VariantType.UInt32, ua.VariantType.UInt32,
]  # fmt: skip


def with_signals(shown: Any, change: dict[str, dict[str, Any]]) -> Any:
    signals = tuple(s.model_copy(update=change.get(s.name, {})) for s in shown.signals)
    return shown.model_copy(update={"signals": signals})


def with_method(profile: Any) -> Any:
    """The shipped sorter whose commands are a method's arguments and have no nodes."""
    shown = profile("stellwerk-sorter", **FAST, method=METHOD)
    names = [s.name for s in shown.signals if s.name.startswith("cmd_")]
    return with_signals(shown, {name: {"node": None} for name in names})


def driver_of(shown: Any, plc: OpcuaPlc, sink: Any) -> OpcuaDriver:
    return OpcuaDriver(sorter_spec(plc.url), shown, sink, lambda: 0, rng=random.Random(1))


async def test_what_is_written_is_read_back_where_the_profile_says_so(profile, free_port, sink, running, until):
    shown = with_signals(
        profile("stellwerk-sorter", **FAST), {"cmd_lane_1": {"verify": True}, "evt_rd": {"verify": True}}
    )
    async with serving(OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        driver = driver_of(shown, plc, sink)
        running(driver)
        await until(lambda: sink.reports("S1"))
        await driver.send(assign(seq=7))
        aspace = plc.server.iserver.aspace

        async def overwrite(_handle: int, value: ua.DataValue) -> None:
            if value.Value.Value == 2:
                await plc.put("Command.Lane1", 0)

        await plc.put("Command.Lane1", 0)
        aspace.add_datachange_callback(plc.nodes["Command.Lane1"].nodeid, ua.AttributeIds.Value, overwrite)
        with pytest.raises(NotWritten, match=r"cmd_lane_1 \(s=Command.Lane1\) holds 0 after 2 was written") as refused:
            await driver.send(assign(seq=8))
        assert not refused.value.certain
        assert [value for name, value in plc.written if name == "Command.Seq"] == [7, 8], "written once each"

        await plc.event(1)
        await until(lambda: sink.notices("S1"))

        async def forget(_handle: int, value: ua.DataValue) -> None:
            if value.Value.Value == 1:
                await plc.put("Event.Rd", 0)

        handle = aspace.add_datachange_callback(plc.nodes["Event.Rd"].nodeid, ua.AttributeIds.Value, forget)[1]
        await driver.consume("S1", 1)
        assert ("S1", "evt_rd", 0) in [entry[:3] for entry in sink.bad]
        aspace.delete_datachange_callback(handle)
        plc.written.clear()
        await driver.consume("S1", 1)
        assert plc.wrote("Event.Rd") == [("Event.Rd", 1)]


async def test_the_whole_mailbox_is_read_back_and_the_heartbeat_never(profile, free_port, sink, running, until):
    shown = profile("stellwerk-sorter", **FAST, verify=True)
    shown = with_signals(shown, {"hb_gw": {"verify": True}})
    async with serving(OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        read: list[str] = []
        service = plc.server.iserver.attribute_service
        plain = service.read

        def note(params: ua.ReadParameters) -> Any:
            read.extend(str(node.NodeId.Identifier) for node in params.NodesToRead)
            return plain(params)

        driver = driver_of(shown, plc, sink)
        running(driver)
        await until(lambda: sink.reports("S1"))
        service.read = note
        await driver.send(assign(seq=7))
        assert [name for name in read if name.startswith("Command.")] == [
            name for name, _ in plc.written if name.startswith("Command.") and name != "Command.HbGw"
        ]


async def test_a_value_that_its_node_cant_hold_is_not_written(profile, free_port, sink, running, until):
    shown = profile("stellwerk-sorter", **FAST)
    plc = OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")
    plc.kinds = {"Command.DeadlineMs": ua.VariantType.Int16, "Command.Seq": ua.VariantType.Int64}
    async with serving(plc):
        driver = driver_of(shown, plc, sink)
        running(driver)
        await until(lambda: sink.reports("S1"))
        await driver.send(assign(seq=2**32 - 1))
        assert plc.wrote("Command.Seq") == [("Command.Seq", 2**32 - 1)]
        late = assign(seq=8)
        late = type(late)("s8", "S1", 8, 3, 10**18, type(late.action)(5, (2, 8), 40_000))
        with pytest.raises(NotWritten, match=r"cmd_deadline_ms = 40000 does not fit the Int16 of its node") as refused:
            await driver.send(late)
        assert refused.value.certain
        assert len(plc.wrote("Command.Seq")) == 1


async def test_a_node_of_another_kind_keeps_the_link_down(profile, free_port, sink, running, until):
    shown = profile("stellwerk-sorter", **FAST)
    plc = OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")
    plc.kinds = {"Command.Lane2": ua.VariantType.String}
    async with serving(plc):
        running(driver_of(shown, plc, sink))
        await until(lambda: sink.links("S1"))
        assert "cmd_lane_2 is a uint16 in the profile, its node s=Command.Lane2 holds a String" in sink.reason("S1")


async def test_a_command_is_one_call_of_a_method(profile, free_port, sink, running, until):
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        calls: list[list[ua.Variant]] = []
        answer = ua.StatusCode()

        async def take(_parent: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
            calls.append(list(arguments))
            await plc.put("Status.AckSeq", arguments[-1].Value)
            return answer

        await plc.root.get_child([f"{plc.index}:Command"])
        folder = await plc.root.get_child([f"{plc.index}:Command"])
        method = await folder.add_method(ua.NodeId("Take", plc.index), f"{plc.index}:Take", take, KINDS, [])
        plc.written.clear()
        driver = driver_of(with_method(profile), plc, sink)
        running(driver)
        await until(lambda: sink.reports("S1"))
        await driver.send(assign(seq=7))
        assert [tuple(argument.Value for argument in call) for call in calls] == [ARGUMENTS]
        assert [argument.VariantType for argument in calls[0]] == KINDS, "in the method's own types"
        await until(lambda: sink.reports("S1")[-1].echo.ack_seq == 7, "accepted by the echo")
        assert plc.wrote("Command.") == [], "nothing but the call"

        answer = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadInvalidState))
        with pytest.raises(NotWritten, match="/PLC/Command/Take answered BadInvalidState") as unsure:
            await driver.send(assign(seq=8))
        assert not unsure.value.certain
        answer = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadUserAccessDenied))
        with pytest.raises(NotWritten, match="answered BadUserAccessDenied") as sure:
            await driver.send(assign(seq=9))
        assert sure.value.certain
        await plc.server.delete_nodes([method])
        with pytest.raises(NotWritten, match="answered BadNodeIdInvalid") as gone:
            await driver.send(assign(seq=10))
        assert gone.value.certain
        assert len(calls) == 3


async def test_a_method_that_takes_other_arguments_keeps_the_link_down(profile, free_port, sink, running, until):
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        folder = await plc.root.get_child([f"{plc.index}:Command"])
        driver = driver_of(with_method(profile), plc, sink)
        running(driver)
        await until(lambda: sink.links("S1") == ["down"])
        assert "the path /PLC/Command/Take of handshake.method.method leads nowhere" in sink.reason("S1")
        await folder.add_method(ua.NodeId("Take", plc.index), f"{plc.index}:Take", lambda _parent: [], KINDS[:4], [])
        second = type(sink)()
        other = driver_of(with_method(profile), plc, second)
        running(other)
        await until(lambda: second.links("S1") == ["down"])
        assert "takes 4 arguments, the profile has 9 (cmd_epoch, cmd_code," in second.reason("S1")


async def test_a_write_without_an_answer_is_open_and_never_repeated(profile, free_port, sink, running, until):
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        service = plc.server.iserver.attribute_service
        plain, commands = service.write, []

        async def late(params: ua.WriteParameters, *args: Any, **kwargs: Any) -> Any:
            if len(params.NodesToWrite) > 1:
                commands.append([value.Value.Value.Value for value in params.NodesToWrite])
                await asyncio.sleep(1.5)  # longer than the driver waits
            return await plain(params, *args, **kwargs)

        service.write = late
        driver = driver_of(profile("stellwerk-sorter", **FAST), plc, sink)
        running(driver)
        await until(lambda: sink.reports("S1"))
        with pytest.raises(NotWritten, match="the command's Write call failed: TimeoutError") as unknown:
            await driver.send(assign(seq=7))
        assert not unknown.value.certain
        await until(lambda: plc.wrote("Command.Seq") == [("Command.Seq", 7)], "it came through all the same")
        await until(lambda: sink.links("S1")[-1] == "up")
        assert len(commands) == 1


async def test_nothing_is_written_that_the_profile_does_not_declare(profile, free_port, sink, running, until):
    shown = profile("stellwerk-sorter", **FAST)
    async with serving(OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        read_only = {name: {"access": "read"} for name in ("cmd_seq", "hb_gw")}
        driver = driver_of(with_signals(shown, read_only), plc, sink)
        running(driver)
        await until(lambda: sink.reports("S1"))
        with pytest.raises(NotWritten, match="cmd_seq is not declared `access: write`") as refused:
            await driver.send(assign(seq=7))
        assert refused.value.certain
        heard = driver.figures()[0].messages_in
        await until(lambda: driver.figures()[0].messages_in > heard + 5, "some heartbeats of the PLC later")
        assert plc.written == []
