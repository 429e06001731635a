"""Register values: every type in every byte and word order, there and back, and what is refused on either way."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.picture import RegisterPicture, words_of
from drivers.modbus.registers import Layout, Write, decode, encode, plan, plan_writes
from drivers.signals import BadValueError, Bound, WriteRefusedError, bind
from gateway.site import Profile
from gateway.site.profile import REGISTERS

RANGES = {
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint64": (0, 2**64 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "bcd16": (0, 9_999),
    "bcd32": (0, 99_999_999),
}
LAYOUTS = {
    "ABCD": Layout("big", "big"),
    "CDAB": Layout("big", "little"),
    "BADC": Layout("little", "big"),
    "DCBA": Layout("little", "little"),
}


def signal(name: str = "x", kind: str = "uint16", **changes: Any) -> Bound:
    fields = {
        "name": name, "type": kind, "writable": True, "table": "holding", "address": 0, "bit": None,
        "registers": REGISTERS.get(kind, 1), "node": "", "scale": 1.0, "poll": "fast",
    }  # fmt: skip
    return Bound(**{**fields, **changes})


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


# --- numbers ---


@pytest.mark.parametrize("order", LAYOUTS)
@given(data=st.data())
def test_whole_numbers_survive_the_wire_in_every_order(order, data):
    kind = data.draw(st.sampled_from(sorted(RANGES)))
    low, high = RANGES[kind]
    value = data.draw(st.integers(low, high))
    bound, layout = signal(kind=kind), LAYOUTS[order]
    shown = encode(bound, value, layout)
    assert len(shown) == bound.registers
    assert decode(bound, shown, layout) == value
    for outside in (low - 1, high + 1):
        with pytest.raises(WriteRefusedError, match="does not fit"):
            encode(bound, outside, layout)


@pytest.mark.parametrize("order", LAYOUTS)
@given(data=st.data())
def test_floats_survive_the_wire_in_every_order(order, data):
    kind = data.draw(st.sampled_from(["float32", "float64"]))
    value = data.draw(st.floats(width=int(kind[5:]), allow_nan=False, allow_infinity=False))
    assert decode(signal(kind=kind), encode(signal(kind=kind), value, LAYOUTS[order]), LAYOUTS[order]) == value


@pytest.mark.parametrize(
    ("order", "wire16", "wire32", "wire64"),
    [
        ("ABCD", "0102", "01020304", "0102030405060708"),
        ("CDAB", "0102", "03040102", "0708050603040102"),
        ("BADC", "0201", "02010403", "0201040306050807"),
        ("DCBA", "0201", "04030201", "0807060504030201"),
    ],
)
def test_the_four_orders_are_what_manuals_mean_by_them(order, wire16, wire32, wire64):
    for kind, wire, value in (
        ("uint16", wire16, 0x0102),
        ("uint32", wire32, 0x0102_0304),
        ("uint64", wire64, 0x0102_0304_0506_0708),
        ("bcd32", wire32, 1_02_03_04),
        ("float64", wire64, struct.unpack(">d", bytes(range(1, 9)))[0]),
        ("int64", wire64, 0x0102_0304_0506_0708),
    ):
        assert encode(signal(kind=kind), value, LAYOUTS[order]) == words(bytes.fromhex(wire)), kind
        assert decode(signal(kind=kind), words(bytes.fromhex(wire)), LAYOUTS[order]) == value, kind


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0.1, 0.001, 2.5, -0.5, 3.0]), st.sampled_from(list(LAYOUTS)))
def test_a_scaled_value_is_written_as_the_raw_number_that_it_was_read_from(raw, scale, order):
    layout, plain, scaled = LAYOUTS[order], signal(kind="int32"), signal(kind="int32", scale=scale)
    shown = encode(plain, raw, layout)
    value = decode(scaled, shown, layout)
    assert value == pytest.approx(raw * scale)
    assert encode(scaled, value, layout) == shown


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "7", None])
def test_what_is_no_number_is_not_written(value):
    for kind in ("uint16", "float32", "float64", "bcd16"):
        with pytest.raises(WriteRefusedError, match="is not a number"):
            encode(signal(kind=kind), value, Layout())


def test_a_number_that_the_type_cannot_hold_is_not_written():
    with pytest.raises(WriteRefusedError, match="does not fit float32"):
        encode(signal(kind="float32"), 1e39, Layout())
    with pytest.raises(WriteRefusedError, match="no whole number"):
        encode(signal(kind="uint16"), 1.5, Layout())
    assert encode(signal(kind="uint16"), 2.0, Layout()) == [2]


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_an_infinite_float_is_a_bad_value(kind):
    data = struct.pack({"float32": ">f", "float64": ">d"}[kind], float("inf"))
    with pytest.raises(BadValueError, match="not a finite number"):
        decode(signal(kind=kind), words(data), Layout())


# --- BCD ---


@pytest.mark.parametrize(("kind", "wire"), [("bcd16", "12a4"), ("bcd16", "f000"), ("bcd32", "1234567b")])
def test_a_nibble_beyond_nine_is_a_bad_value(kind, wire):
    with pytest.raises(BadValueError, match=f"0x{wire}.*not a BCD number"):
        decode(signal(kind=kind), words(bytes.fromhex(wire)), Layout())


def test_a_bad_bcd_value_takes_only_its_own_signal_out():
    picture = RegisterPicture(
        plan([signal("n", "bcd16", writable=False), signal("m", address=1, writable=False)]), Layout()
    )
    _, bad = picture.take(0, [0x00FF, 5])
    assert [b.signal for b in bad] == ["n"]
    assert picture.values == {"m": 5}
    assert picture.problem
    assert picture.take(0, [0x0042, 5]) == (True, [])
    assert (picture.values, picture.problem) == ({"n": 42, "m": 5}, "")


# --- texts ---


@given(st.text(max_size=8), st.sampled_from(["big", "little"]), st.sampled_from(["", "big", "little"]))
def test_texts_survive_the_wire_in_every_order(text, byte_order, string_byte_order):
    bound, layout = signal(kind="string", registers=16), Layout(byte_order, "little", string_byte_order)
    shown = text.split("\0", 1)[0].rstrip(" ")
    assert decode(bound, encode(bound, text, layout), layout) == shown


def test_texts_have_a_byte_order_of_their_own():
    bound = signal(kind="string", registers=2)
    assert encode(bound, "ABCD", Layout()) == [0x4142, 0x4344]
    assert encode(bound, "ABCD", Layout("little")) == [0x4241, 0x4443]
    assert encode(bound, "ABCD", Layout("little", "big", "big")) == [0x4142, 0x4344]
    assert encode(bound, "ABCD", Layout(string_byte_order="little")) == [0x4241, 0x4443]
    assert encode(signal(), 0x0102, Layout(string_byte_order="little")) == [0x0102]


# --- bits ---


@given(st.integers(0, 2**16 - 1), st.integers(0, 15), st.booleans(), st.sampled_from(["big", "little"]))
def test_writing_a_bit_changes_that_bit_alone(before, bit, value, byte_order):
    layout, bound = Layout(byte_order), signal(kind="bool", bit=bit)
    (write,) = plan_writes([(bound, value)], layout)
    after = before & ~write.mask | write.words[0] & write.mask
    assert decode(bound, [after], layout) is value
    others = [signal(kind="bool", bit=other) for other in range(16) if other != bit]
    assert [decode(o, [after], layout) for o in others] == [decode(o, [before], layout) for o in others]


def test_bits_of_one_register_are_one_masked_write_and_the_number_still_comes_last():
    def bit(address: int, number: int) -> Bound:
        return signal(f"b{address}.{number}", "bool", address=address, bit=number)

    values = [(bit(5, 0), True), (signal("n", address=4), 9), (bit(5, 3), False), (bit(6, 1), True)]
    writes = plan_writes([*values, (signal("seq", "uint32", address=7), 1)], Layout())
    assert writes == [
        Write("holding", 4, (9,)),
        Write("holding", 5, (0b0001,), mask=0b1001),
        Write("holding", 6, (0b0010,), mask=0b0010),
        Write("holding", 7, (0, 1), decisive=True),
    ]


# --- what was read ---


@given(st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12), min_size=1, max_size=8))
def test_what_is_decoded_piece_by_piece_is_what_is_decoded_at_once(replies):
    kinds = ("uint16", "int32", "float32", "bcd16", "bool", "uint16", "bcd32")
    signals, address = [], 0
    for n, kind in enumerate(kinds):
        signals.append(signal(f"s{n}", kind, address=address, writable=False, bit=1 if kind == "bool" else None))
        address += signals[-1].registers
    signals += [signal(f"again{n}", "bool", address=4, bit=n, writable=False) for n in (0, 3)]
    blocks = plan(signals)
    growing = RegisterPicture(blocks, Layout())
    for reply in replies:
        data = struct.pack(">12H", *reply)[: 2 * blocks[0].count]
        growing.take_reply(0, data)
        fresh = RegisterPicture(blocks, Layout())
        fresh.take_reply(0, data)
        assert growing.values == fresh.values
        assert growing.problem == fresh.problem == ""
        assert growing.take_reply(0, data) == (False, ())


def test_a_bad_value_is_told_again_only_when_its_own_register_changes():
    picture = RegisterPicture(
        plan([signal("n", "bcd16", writable=False), signal("m", address=1, writable=False)]), Layout()
    )
    assert len(picture.take(0, [0x00FF, 5])[1]) == 1
    assert picture.take(0, [0x00FF, 6]) == (True, [])
    assert picture.problem
    assert len(picture.take(0, [0x00FE, 6])[1]) == 1
    assert picture.take(0, [0x0042, 6]) == (True, [])
    assert picture.problem == ""


def test_what_was_refused_counts_as_news_when_it_is_back_unchanged():
    picture = RegisterPicture(plan([signal("m", writable=False)]), Layout())
    assert picture.take_reply(0, b"\0\5") == (True, [])
    assert len(picture.refuse(0, "exception 2", "refused")) == 1
    assert picture.refuse(0, "exception 2", "refused") == []
    assert picture.problem
    assert picture.take_reply(0, b"\0\5") == (True, [])
    assert picture.problem == ""


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_come_lowest_first(bits):
    data = bytearray((len(bits) + 7) // 8)
    for n, bit in enumerate(bits):
        data[n // 8] |= bit << n % 8
    assert words_of("coil", len(bits), bytes(data)) == tuple(map(int, bits))


def test_a_long_reply_is_as_bad_as_a_short_one():
    picture = RegisterPicture(plan([signal(writable=False)]), Layout())
    assert picture.take(0, [1, 2])[1][0].problem.startswith("too long a reply")
    assert picture.take(0, [])[1][0].problem.startswith("short reply")
    assert not picture.values


# --- binding ---


def profile(**group: Any) -> Profile:
    signals = [
        {"name": "total", "type": "uint64", "table": "holding", "address": 10},
        {"name": "weight", "type": "bcd32", "table": "input", "address": 20},
        {"name": "label", "type": "string", "length": 6, "table": "holding", "address": 30},
    ]
    data = {"profile": "p", "device_type": "conveyor", "protocol": "modbus", "signals": signals, **group}
    return Profile.model_validate(data)


def test_a_type_takes_the_registers_that_it_needs():
    bound = bind(profile())
    assert {name: s.registers for name, s in bound.items()} == {"total": 4, "weight": 2, "label": 6}
    assert [(b.table, b.address, b.count) for b in plan(bound.values())] == [("holding", 10, 26), ("input", 20, 2)]


def test_a_wide_value_beyond_the_last_register_is_refused():
    beyond = {"name": "a", "type": "uint64", "table": "holding", "address": 65_533}
    with pytest.raises(ValueError, match=r"g\.1\.a would lie at register 65533"):
        bind(profile(groups=[{"group": "g", "count": 1, "signals": [beyond]}]))
