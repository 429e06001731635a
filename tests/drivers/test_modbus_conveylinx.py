"""The ConveyLinx profile: its enumerations and fault bits become a conveyor's zones, and it is never written to."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.binding import bind_registers
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.picture import RegisterPicture
from drivers.modbus.registers import Flag, Layout, decode, plan
from drivers.signals import BadValueError, Bound
from gateway.contract import Command, NotWritten, Scalar
from gateway.devices import conveyor
from gateway.devices.conveyor import Discharge
from gateway.site import ConveyorSpec, Profile, Site
from gateway.site.checks import check

FIRST = 1499
"""4:1500 on the wire."""


def image(**changes: int) -> list[int]:
    """A module at rest with one load: nineteen registers from 4:1500 on, by their number in the maker's guide."""
    registers = {
        1500: 0x0104, 1501: 0x0001, 1502: 41, 1503: 40, 1504: 40, 1505: 40, 1506: 0, 1507: 0,
        1508: 7, 1509: 0x1234, 1510: 0, 1511: 0, 1512: 3, 1513: 2, 1518: 0x8010,
        **{int(name[1:]): value for name, value in changes.items()},
    }  # fmt: skip
    return [registers.get(number, 0) for number in range(1500, 1519)]


def picture(shown: Profile) -> RegisterPicture:
    binding = bind_registers(shown, zones=2)
    layout = Layout(shown.byte_order, shown.word_order)
    return RegisterPicture(plan(binding.signals.values()), layout, binding.flags, binding.constants)


def values(shown: Profile, words: list[int]) -> Mapping[str, Scalar]:
    made = picture(shown)
    _, bad = made.take(0, words)
    assert not bad
    assert made.problem == ""
    return made.values


def test_one_read_from_the_assemblys_first_register_is_all(profile):
    (block,) = picture(profile("conveylinx")).blocks
    assert (block.table, block.address, block.count) == ("holding", FIRST, 19)
    assert block.count <= 45, "more than the module gives at once"


def test_a_module_at_rest(profile):
    report = conveyor.decode(values(profile("conveylinx"), image()), zones=2)
    first, second = report.zones
    assert (first.occupied, first.running, first.held, first.fault) == (True, True, False, False)
    assert (first.arrivals, first.departures, first.track_id) == (41, 40, 0x0007_1234)
    assert (second.occupied, second.running, second.arrivals, second.departures) == (False, False, 40, 40)
    assert report.state == 6
    assert report.mode == 3, "never Produce: the dispatcher leaves it alone"
    assert report.echo.done_seq == 0


@pytest.mark.parametrize(
    ("status", "occupied", "running"),
    [(1, False, False), (2, False, True), (3, False, True), (4, True, True), (5, True, False), (6, True, False)],
)
@pytest.mark.parametrize("zone", [1, 2])
def test_each_status_of_each_zone(profile, status, occupied, running, zone):
    reverse = 0x0500  # the high byte tells of the other direction and does not count
    shown = values(profile("conveylinx"), image(**{f"r{1499 + zone}": reverse | status}))
    assert (shown[f"zone.{zone}.occupied"], shown[f"zone.{zone}.running"]) == (occupied, running)


@pytest.mark.parametrize(
    ("bit", "jam", "fault"),
    [
        (0, False, False),  # has been reset
        (2, False, True),
        (3, False, True),
        (4, False, False),  # Ethernet neighbours missing
        (5, True, False),
        (6, False, True),
        (7, False, True),
        (12, False, True),
        (13, False, True),
        (15, False, False),  # motor not used
    ],
)
@pytest.mark.parametrize("zone", [1, 2])
def test_each_fault_bit_of_each_side(profile, bit, jam, fault, zone):
    shown = values(profile("conveylinx"), image(**{f"r{1505 + zone}": 1 << bit}))
    assert (shown[f"zone.{zone}.jam_at_sensor"], shown[f"zone.{zone}.fault"]) == (jam, fault)
    assert not shown[f"zone.{3 - zone}.jam_at_sensor"]
    assert not shown[f"zone.{3 - zone}.fault"]


@pytest.mark.parametrize("status", [0, 7, 0xFF])
def test_a_status_that_is_none_is_a_bad_value_and_no_free_zone(profile, status):
    made = picture(profile("conveylinx"))
    _, bad = made.take(0, image(r1500=status))
    assert {each.signal for each in bad} == {"zone.1.occupied", "zone.1.running"}
    assert "none of 1, 2, 3, 4, 5, 6: is it the register?" in str(bad[0])
    assert made.problem
    assert "zone.1.occupied" not in made.values


# --- on the wire ---


def spec(port: int) -> ConveyorSpec:
    return ConveyorSpec.model_validate(
        {"id": "C1", "type": "conveyor", "driver": "modbus", "profile": "conveylinx", "zones": 2,
         "connection": {"port": port, "timeout_ms": 300},
         "runs": [{"from": "A", "to": "B", "zone_first": 1, "zone_last": 2, "loads_max": 2}]}
    )  # fmt: skip


async def test_the_driver_observes_a_module_and_never_writes(modbus_plc, sink, profile, running, until):
    modbus_plc.registers[FIRST : FIRST + 19] = image()
    shown = Profile.model_validate({**profile("conveylinx").model_dump(), "fast_poll_ms": 20})
    driver = ModbusDriver(spec(modbus_plc.port), shown, sink, lambda: 0, rng=random.Random(1))
    running(driver)
    await until(lambda: modbus_plc.requests)
    assert sink.links("C1") == [], "a value that has not changed is no life"
    modbus_plc.registers[1517] ^= 0x8000
    await until(lambda: sink.links("C1") == ["up"])
    modbus_plc.registers[1505] = 1 << 5
    await until(lambda: sink.reports("C1")[-1].zones[0].jam_at_sensor)
    with pytest.raises(NotWritten, match=r"has no mailbox.*only observed; nothing was written") as refused:
        await driver.send(Command("c", "C1", 7, 3, 10**18, Discharge(zone=1, track_id=5)))
    assert refused.value.certain
    await driver.safe_stop()
    assert {function for function, _, _ in modbus_plc.requests} == {3}


# --- enumerations in general ---


def signal(**changes: Any) -> Bound:
    fields = {
        "name": "x", "type": "bool", "writable": False, "table": "holding", "address": 0, "bit": None,
        "registers": 1, "node": "", "scale": 1.0, "poll": "fast",
    }  # fmt: skip
    return Bound(**{**fields, **changes})


@given(
    st.integers(0, 0xFFFF),
    st.integers(1, 0xFFFF),
    st.frozensets(st.integers(0, 0xFFFF), max_size=5),
    st.sampled_from(["big", "little"]),
)
def test_a_flag_is_its_numbers_or_any_of_its_bits_in_either_byte_order(word, mask, equals, byte_order):
    layout = Layout(byte_order)
    flag = Flag(mask, equals, frozenset())
    value = decode(signal(), layout.arrange([word]), layout, flag)
    assert value is ((word & mask in equals) if equals else bool(word & mask))


@given(st.integers(0, 0xFFFF), st.frozensets(st.integers(0, 0xFFFF), min_size=1, max_size=5))
def test_an_unknown_number_is_never_a_value(word, known):
    flag = Flag(0xFFFF, known, known)
    if word in known:
        assert decode(signal(), [word], Layout(), flag) is True
    else:
        with pytest.raises(BadValueError):
            decode(signal(), [word], Layout(), flag)


def test_constants_stand_from_the_first_reply_on_and_are_never_read(profile):
    shown = profile("conveylinx")
    binding = bind_registers(shown, zones=2)
    assert binding.constants["mode"] == 3
    assert not set(binding.constants) & set(binding.signals)
    made = picture(shown)
    made.forget()
    assert made.values == binding.constants


# --- the check ---


def messages(profile: Profile, **changes: Any) -> list[str]:
    """What the check says of registers when the zone's signals are changed so."""
    data = yaml.safe_load(yaml.safe_dump(profile.model_dump(mode="json")))
    for each in (*data["signals"], *data["groups"][0]["signals"]):
        each.update(changes.get(each["name"], {}))
    site = Site.model_validate({"site": {"id": "s", "name": "s"}, "devices": [spec(1502)], "profiles": [data]})
    return [found.message for found in check(site) if "register" in found.message or "signal" in found.message]


def told(found: list[str], text: str) -> bool:
    return any(text in message for message in found)


def test_flags_that_compare_may_share_a_register_and_nothing_else_may(profile):
    shown = profile("conveylinx")
    assert not told(messages(shown), "are both at register")
    assert not told(messages(shown), "overlaps itself")
    assert told(messages(shown, fault={"mask": 0x20}), "fault and zone.jam_at_sensor are both at register 1505")
    assert told(messages(shown, arrivals={"address": 1499}), "are both at register")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"occupied": {"type": "uint16"}}, "which only a bool that is read from a whole register can have"),
        ({"occupied": {"bit": 1}}, "which only a bool that is read from a whole register can have"),
        ({"occupied": {"access": "write"}}, "which only a bool that is read from a whole register can have"),
        ({"occupied": {"equals": [256], "known": []}}, "256 has bits that its mask 0x00ff takes away"),
        ({"occupied": {"equals": [9]}}, "is to be true at 9, which is not in known"),
        ({"mode": {"table": "holding", "address": 5}}, "is the constant 3, so it is not on the wire"),
    ],
)
def test_what_makes_no_sense_is_refused(profile, change, text):
    assert not told(messages(profile("conveylinx")), text)
    assert told(messages(profile("conveylinx"), **change), text)
