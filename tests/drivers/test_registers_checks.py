"""The config check knows the Modbus value types: their widths, their tables and where they may not stand."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.modbus.registers import Layout, Write, plan, plan_writes
from drivers.signals import bind, mailbox
from gateway.site import ConveyorSpec, Profile, Site
from gateway.site.checks import check


def findings(profile: Profile, changes: dict[str, dict[str, Any]]) -> list[str]:
    """What the check says when signals of the shipped conveyor profile are changed so."""
    data = profile.model_dump()
    for signal in (*data["signals"], *data["groups"][0]["signals"]):
        signal.update(changes.get(signal["name"], {}))
    spec = ConveyorSpec.model_validate(
        {"id": "C1", "type": "conveyor", "driver": "modbus", "profile": profile.profile, "zones": 2,
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 1}]}
    )  # fmt: skip
    places = [{"id": "A", "kind": "transfer"}, {"id": "B", "kind": "lane"}]
    site = Site.model_validate(
        {"site": {"id": "s", "name": "s"}, "locations": places, "devices": [spec], "profiles": [data]}
    )
    return [f.message for f in check(site) if f.message.startswith("profile")]


def test_the_shipped_profile_is_sound(profile):
    assert findings(profile("stellwerk-conveyor"), {}) == []


def test_whole_numbers_may_be_bcd_or_64_bit(profile):
    changes = {"result": {"type": "bcd16"}, "track_id": {"type": "uint64"}, "cmd_zone": {"type": "bcd16"}}
    assert findings(profile("stellwerk-conveyor"), changes) == []


@pytest.mark.parametrize(
    ("kind", "width"), [("uint64", 4), ("int64", 4), ("bcd32", 2)]
)  # ack_seq stands 2 registers before done_seq
def test_a_wide_value_claims_all_its_registers(profile, kind, width):
    found = findings(profile("stellwerk-conveyor"), {"ack_seq": {"type": kind}})
    assert bool(found) is (width > 2)
    if found:
        assert "signal done_seq and profile" in found[0] or "both at register 6" in found[0]


@pytest.mark.parametrize("kind", ["int16", "bcd16"])
def test_our_heartbeat_needs_all_of_a_uint16(profile, kind):
    (found,) = findings(profile("stellwerk-conveyor"), {"hb_gw": {"type": kind}})
    assert found.endswith(f"signal hb_gw counts up to 65535, more than {kind} holds")


@pytest.mark.parametrize("kind", ["float64", "bcd32"])
def test_a_register_type_in_a_bit_table_or_as_a_flag_is_refused(profile, kind):
    found = findings(profile("stellwerk-conveyor"), {"fault": {"type": kind}})
    assert any(f"must be a bool, not {kind}" in message for message in found)
    found = findings(profile("stellwerk-conveyor"), {"result": {"type": kind, "table": "coil"}})
    assert any("where there are only bits" in message for message in found)


def test_function_23_can_not_read_an_echo_outside_the_holding_registers(profile):
    shown = profile("stellwerk-conveyor", read_write=True)
    assert findings(shown, {}) == []
    (found,) = findings(shown, {"ack_seq": {"table": "input"}})
    assert "read_write reads ack_seq with function 23, but it is in no holding register" in found


def test_the_d_block_profile_is_sound_and_a_command_in_it_is_one_write(profile):
    shown = profile("mitsubishi-d-block")
    assert findings(shown, {}) == []
    signals = bind(shown, zones=20)
    assert [(b.address, b.count) for b in plan(signals.values())] == [(1000, 123), (1124, 92)]
    values = mailbox(signals, {"cmd_code": 1, "cmd_zone": 2, "cmd_track_id": 0x0001_0005}, epoch=3, seq=9)
    words = (3, 0, 1, 2, 5, 1, 9, 0)
    assert plan_writes(values, Layout(shown.byte_order, shown.word_order)) == [Write("holding", 3002, words, True)]


@pytest.mark.parametrize("kind", ["bcd16", "bcd32"])
def test_register_types_are_refused_on_opcua(profile, kind):
    shown = profile("stellwerk-robot-cell")
    site = Site.model_validate({"site": {"id": "s", "name": "s"}, "profiles": [shown.model_dump()]})
    assert not [f for f in check(site) if "only Modbus" in f.message]
    data = shown.model_dump()
    data["signals"][0]["type"] = kind
    site = Site.model_validate({"site": {"id": "s", "name": "s"}, "profiles": [data]})
    assert [f.message for f in check(site) if "only Modbus" in f.message] == [
        f"profile stellwerk-robot-cell: signal {data['signals'][0]['name']} is a {kind}, which only Modbus has here"
    ]
