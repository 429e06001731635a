"""What `examine` and `browse` find at a real OPC UA server, and that they leave nothing behind."""

from __future__ import annotations

import datetime
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua

from plc_simulators.servers.opcua import uncollected

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from opcua_plc import OpcuaPlc, cell_spec, serving, sorter_spec

from drivers.link import LinkLostError
from drivers.opcua import probe
from drivers.opcua.pki import Pki
from drivers.probe import Examination


@pytest.fixture
async def plc(profile: Any, free_port: Any) -> AsyncIterator[OpcuaPlc]:
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/", clock=True)) as plc:
        yield plc


def verdicts(found: Examination) -> dict[str, str]:
    return {check.step: check.verdict for check in found.checks}


def check_of(found: Examination, step: str) -> Any:
    return next(check for check in found.checks if check.step == step)


async def test_a_good_server_is_examined_to_the_end_and_nothing_is_written(plc, profile, until):
    await plc.put("Lane.3.Count", 17)
    await plc.server.set_build_info("urn:p", "Muster AG", "Sorter 9", "2.4", "77", datetime.datetime.now(datetime.UTC))
    plc.written.clear()
    found = await probe.examine(sorter_spec(plc.url), profile("stellwerk-sorter"))
    assert verdicts(found) == {
        "name": "good", "tcp": "good", "handshake": "good", "security": "doubtful", "identity": "good",
        "signals": "good", "latency": "good", "clock": "good",
    }  # fmt: skip
    assert found.is_good
    assert check_of(found, "handshake").found == "it offers None"
    assert "switch encryption on in the server" in check_of(found, "security").next_step
    identity = check_of(found, "identity").found
    assert identity == "urn:freeopcua:python:server: maker Muster AG, product Sorter 9, version 2.4, build 77"
    assert len(found.readings) == 20 + 4 * 9 + 8 * 32
    assert {r.signal: (r.where, r.value) for r in found.readings}["lane.3.count"] == ("s=Lane.3.Count", 17)
    assert found.latency_p50_ms is not None
    assert found.latency_p99_ms is not None
    assert 0 < found.latency_p50_ms <= found.latency_p99_ms
    assert found.clock_offset_ms is not None
    assert abs(found.clock_offset_ms) < 1000
    assert plc.written == []
    await until(lambda: not plc.sessions, "the session is closed")


async def test_what_is_wrong_with_signals_and_clock_is_named(plc, profile):
    aspace = plc.server.iserver.aspace
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    value = ua.DataValue(ua.Variant(past, ua.VariantType.DateTime))
    aspace.set_attribute_value_callback(ua.NodeId(2258), ua.AttributeIds.Value, lambda *_: value)
    await plc.put_bad("Lane.2.Full")
    await plc.server.delete_nodes([plc.nodes["Command.Lane4"], plc.nodes["Status.Mode"]])
    found = await probe.examine(sorter_spec(plc.url), profile("stellwerk-sorter"))
    assert not found.is_good
    assert {r.signal: r.problem.partition(":")[0] for r in found.readings if r.problem} == {
        "mode": "BadNodeIdUnknown", "cmd_lane_4": "BadNodeIdUnknown", "lane.2.full": "BadSensorFailure",
    }  # fmt: skip
    assert check_of(found, "signals").found.startswith("3 of 312 signals are bad, mode for one: BadNodeIdUnknown")
    assert check_of(found, "clock").verdict == "doubtful"
    assert found.clock_offset_ms == pytest.approx(-3_600_000, abs=20_000)
    assert "NTP" in check_of(found, "clock").next_step

    elsewhere = profile("stellwerk-sorter").model_copy(update={"namespace": "urn:elsewhere"})
    found = await probe.examine(sorter_spec(plc.url), elsewhere)
    assert "no namespace 'urn:elsewhere'" in check_of(found, "signals").found


async def test_nobody_there_and_somebody_else(profile, free_port, modbus_plc):
    found = await probe.examine(sorter_spec(f"opc.tcp://127.0.0.1:{free_port()}/"), profile("stellwerk-sorter"))
    assert verdicts(found) == {"name": "good", "tcp": "bad"}
    url = f"opc.tcp://127.0.0.1:{modbus_plc.port}/"
    found = await probe.examine(sorter_spec(url, timeout_ms=300), profile("stellwerk-sorter"))
    assert verdicts(found) == {"name": "good", "tcp": "good", "handshake": "bad"}
    assert "is it an OPC UA server" in check_of(found, "handshake").next_step
    with pytest.raises(LinkLostError):
        await probe.browse(sorter_spec(url, timeout_ms=300), profile("stellwerk-sorter"))


async def test_what_an_encrypted_server_offers_and_how_to_trust_it(profile, free_port, tmp_path, until):
    url, own, pki = f"opc.tcp://127.0.0.1:{free_port()}/", Pki(tmp_path / "plc"), Pki(tmp_path / "pki")
    own.create_own("plc")
    pki.create_own("edge")
    server = Server()
    server.disable_clock(True)  # its task would make every stop wait for a second
    with uncollected():
        await server.init()
    server.set_endpoint(url)
    await server.set_application_uri(own.application_uri())
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(own.certificate))
    await server.load_private_key(str(own.key))
    security = {"pki": str(pki.folder)}
    async with server:
        found = await probe.examine(cell_spec(url, security), profile("stellwerk-robot-cell"))
        assert check_of(found, "handshake").found == "it offers Basic256Sha256 SignAndEncrypt"
        stranger = check_of(found, "security")
        assert stranger.verdict == "bad"
        (met,) = pki.known()
        assert stranger.next_step.endswith(f"stellwerk pki trust {met.name} --folder {pki.folder}")
        pki.move(met.name, "trusted")
        found = await probe.examine(cell_spec(url, security), profile("stellwerk-robot-cell"))
        assert check_of(found, "security").verdict == "good"
        assert check_of(found, "identity").found.startswith("urn:plc:stellwerk")
        wrong = {**security, "policy": "Aes256Sha256RsaPss"}
        found = await probe.examine(cell_spec(url, wrong), profile("stellwerk-robot-cell"))
        assert "not Aes256Sha256RsaPss SignAndEncrypt" in check_of(found, "security").next_step
        found = await probe.examine(cell_spec(url), profile("stellwerk-robot-cell"))
        assert "choose one that it offers, not None" in check_of(found, "security").next_step
        await until(lambda: not server.iserver._external_sessions)


async def test_the_tree_is_shown_as_far_as_its_bounds(plc, profile, until, monkeypatch):
    await plc.put("Lane.3.Count", 17)
    await plc.root.add_method(ua.NodeId("Take", plc.index), f"{plc.index}:Take", lambda _parent: [], [], [])
    deep = plc.root
    for number in range(12):
        deep = await deep.add_object(ua.NodeId(f"deep{number}", plc.index), f"{plc.index}:deep{number}")
    spec, shown = sorter_spec(plc.url), profile("stellwerk-sorter")
    found = await probe.browse(spec, shown)
    lines = [(f.depth, f.what.partition(" ")[0], f.kind, f.value) for f in found]
    at = lines.index((0, "PLC", "object", ""))
    assert (1, "Status", "object", "") in lines[at:]
    assert (3, "Count", "variable UInt16", "17") in lines
    assert (1, "Take", "method", "") in lines
    assert f"(ns={plc.index};s=Lane.3.Count)" in next(f.what for f in found if f.value == "17")
    assert max(depth for depth, *_ in lines) == probe.DEPTH_MAX - 1
    assert any(f.what.startswith("[http://opcfoundation.org/UA/]Server ") for f in found)
    assert not any("ServerStatus" in f.what for f in found), "the server's own object is not opened"
    monkeypatch.setattr(probe, "NODES_MAX", 50)
    found = await probe.browse(spec, shown)
    assert len(found) == 51
    assert found[-1].what == "there are more than 50 nodes; those farther away are not shown"
    await until(lambda: not plc.sessions)
