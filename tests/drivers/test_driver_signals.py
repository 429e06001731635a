"""The pure parts: binding, registers, blocks, mailbox order, heartbeat, ring cursor, back-off, loopback."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.handshake import Heartbeat, RingCursor
from drivers.link import BACKOFF_MAX_S, Backoff
from drivers.loopback import LoopbackDriver
from drivers.modbus.picture import RegisterPicture
from drivers.modbus.registers import GAP_MAX, Layout, Write, decode, encode, plan, plan_writes
from drivers.signals import BadValueError, Bound, WriteRefusedError, bind, mailbox
from gateway.contract import Command, NotWritten
from gateway.site import Profile

MS = 1_000_000


def signal(name: str = "x", kind: str = "uint16", **changes: Any) -> Bound:
    words = {"uint32": 2, "int32": 2, "float32": 2}.get(kind, 1)
    fields = {
        "name": name, "type": kind, "writable": False, "table": "holding", "address": 0, "bit": None,
        "registers": words, "node": "", "scale": 1.0, "poll": "fast",
    }  # fmt: skip
    return Bound(**{**fields, **changes})


# --- binding ---


def test_a_group_becomes_numbered_signals_with_its_stride(profile):
    signals = bind(profile("stellwerk-conveyor"), zones=12)
    assert signals["zone.3.track_id"].address == 119
    assert signals["zone.12.fault"].bit == 5
    assert "zone.13.fault" not in signals
    assert bind(profile("stellwerk-sorter"), lanes=9)["lane.9.half_full"].node == "s=Lane.9.HalfFull"
    assert bind(profile("stellwerk-sorter"), lanes=9)["event.32.seq"].node == "s=Event.32.Seq"


def test_an_address_beyond_the_last_register_is_refused():
    data = {
        "profile": "p", "device_type": "conveyor", "protocol": "modbus",
        "groups": [
            {"group": "zone", "count": "zones", "stride": 1000, "signals": [
                {"name": "a", "type": "uint16", "table": "holding", "address": 65_000}]},
        ],
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"zone\.2\.a would lie at register 66000"):
        bind(Profile.model_validate(data), zones=2)


# --- registers ---


@given(
    st.sampled_from(["uint16", "int16", "uint32", "int32"]),
    st.sampled_from(["big", "little"]),
    st.sampled_from(["big", "little"]),
    st.data(),
)
def test_numbers_survive_the_wire_in_every_order(kind, byte_order, word_order, data):
    bits = 16 if kind.endswith("16") else 32
    low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    value = data.draw(st.integers(low, high))
    layout, bound = Layout(byte_order, word_order), signal(kind=kind)
    assert decode(bound, encode(bound, value, layout), layout) == value
    for outside in (low - 1, high + 1):
        with pytest.raises(WriteRefusedError, match="does not fit"):
            encode(bound, outside, layout)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(["big", "little"]))
def test_floats_survive_the_wire(value, order):
    layout, bound = Layout(order, order), signal(kind="float32")
    assert decode(bound, encode(bound, value, layout), layout) == value


@given(st.text(max_size=10))
def test_texts_survive_the_wire(text):
    bound, layout = signal(kind="string", registers=20), Layout("little")
    shown = text.split("\0", 1)[0].rstrip(" ")
    assert decode(bound, encode(bound, text, layout), layout) == shown


def test_known_words_are_what_the_standard_says():
    assert decode(signal(kind="uint32"), [0x0001, 0x0002], Layout()) == 0x0001_0002
    assert decode(signal(kind="uint32"), [0x0001, 0x0002], Layout(word_order="little")) == 0x0002_0001
    assert decode(signal(kind="uint16"), [0x1234], Layout(byte_order="little")) == 0x3412
    assert decode(signal(kind="int16", scale=0.1), [0xFFFF], Layout()) == pytest.approx(-0.1)
    assert decode(signal(kind="bool", bit=3), [0b1000], Layout()) is True
    assert decode(signal(kind="float32"), [0x3FC0, 0], Layout()) == 1.5


@pytest.mark.parametrize("words", [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]])
def test_a_float_that_is_no_number_is_bad(words):
    with pytest.raises(BadValueError, match="not a finite number"):
        decode(signal(kind="float32"), words, Layout())


# --- blocks ---


def test_blocks_merge_small_gaps_and_keep_off_forbidden_ranges():
    near = [signal("a"), signal("b", address=GAP_MAX + 1), signal("c", address=2 * GAP_MAX + 3)]
    assert [(b.address, b.count) for b in plan(near)] == [(0, GAP_MAX + 2), (2 * GAP_MAX + 3, 1)]
    assert [b.address for b in plan(near, [(5, 5)])] == [0, GAP_MAX + 1, 2 * GAP_MAX + 3]
    with pytest.raises(ValueError, match="forbidden"):
        plan(near, [(0, 3)])


@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 420), st.integers(0, 10)).map(lambda r: (r[0], r[0] + r[1])), max_size=4),
)
def test_every_readable_signal_is_in_one_block_and_no_block_is_illegal(places, forbidden):
    signals = [
        signal(f"s{n}", "uint32" if wide else "uint16", address=at, writable=writable)
        for n, (at, wide, writable) in enumerate(places)
    ]
    signals = [s for s in signals if not any(a < s.end and s.address <= b for a, b in forbidden)]
    blocks = plan(signals, forbidden)
    assert sorted(s.name for b in blocks for s in b.signals) == sorted(s.name for s in signals if not s.writable)
    for block in blocks:
        assert 1 <= block.count <= 125
        assert not any(a < block.address + block.count and block.address <= b for a, b in forbidden)
        assert all(block.address <= s.address and s.end <= block.address + block.count for s in block.signals)


def test_only_changed_blocks_count_and_life_signs_are_no_change():
    blocks = plan([signal("hb_plc"), signal("level", address=1), signal("temp", "float32", address=2)])
    picture = RegisterPicture(blocks, Layout())
    assert picture.problem
    assert picture.take(0, [1, 5, 0, 0]) == (True, [])
    assert not picture.problem
    assert picture.take(0, [1, 5, 0, 0]) == (False, [])
    assert picture.take(0, [2, 5, 0, 0]) == (False, [])
    assert picture.values["hb_plc"] == 2
    changed, bad = picture.take(0, [2, 6, 0x7FC0, 0])
    assert changed
    assert [b.signal for b in bad] == ["temp"]
    assert picture.problem
    assert picture.take(0, [2, 6, 0x7FC0, 0]) == (False, [])
    assert picture.take(0, [2, 6, 0, 0]) == (True, [])
    assert not picture.problem


# --- writing ---


def test_the_mailbox_is_one_write_with_the_number_last_and_nothing_undeclared(profile):
    signals = bind(profile("stellwerk-conveyor"), zones=2)
    values = mailbox(signals, {"cmd_zone": 2, "cmd_track_id": 7, "cmd_code": 1}, epoch=1, seq=9)
    assert values[-1] == (signals["cmd_seq"], 9)
    assert plan_writes(values, Layout()) == [Write("holding", 1001, (0, 1, 1, 2, 0, 7, 0, 9), True)]
    with pytest.raises(WriteRefusedError, match="hb_plc is not declared"):
        mailbox(signals, {"hb_plc": 1}, epoch=1, seq=9)
    with pytest.raises(WriteRefusedError, match="no signal cmd_colour"):
        mailbox(signals, {"cmd_colour": 1}, epoch=1, seq=9)


def test_a_mailbox_with_holes_never_fills_them_and_still_ends_with_the_number():
    def at(address: int) -> Bound:
        return signal(f"s{address}", address=address, writable=True)

    writes = plan_writes([(at(12), 3), (at(10), 1), (at(20), 4), (at(11), 9)], Layout())
    assert [(w.address, w.words, w.decisive) for w in writes] == [
        (10, (1,), False),
        (12, (3,), False),
        (20, (4,), False),
        (11, (9,), True),
    ]


def test_a_bit_of_a_register_is_never_written_as_a_whole_register():
    with pytest.raises(WriteRefusedError, match="bit of a register"):
        encode(signal(kind="bool", bit=2, writable=True), True, Layout())


# --- handshakes ---


def test_only_a_changing_heartbeat_is_fresh():
    heart = Heartbeat(3000)
    heart.restart(0)
    heart.see(5, 100 * MS)
    assert not heart.fresh(100 * MS)
    assert not heart.overdue(2999 * MS)
    assert heart.overdue(3000 * MS)
    heart.see(5, 3100 * MS)
    assert not heart.fresh(3100 * MS)
    heart.see(4, 3200 * MS)
    assert heart.fresh(6199 * MS)
    assert not heart.fresh(6200 * MS)
    heart.restart(7000 * MS)
    assert not heart.fresh(7000 * MS)


def test_the_cursor_starts_where_the_plc_was_told_and_tells_what_is_lost():
    cursor = RingCursor(32)
    cursor.start(evt_rd=10, evt_wr=12)
    assert cursor.pending(12).numbers() == [11, 12]
    cursor.advance(12)
    assert cursor.pending(12).count == 0
    late = cursor.pending(12 + 40)
    assert (late.lost, late.count, late.first) == (8, 32, 21)
    cursor.start(evt_rd=0, evt_wr=52)
    assert cursor.last == 12, "a reconnect goes on after what was posted here"


def test_the_cursor_follows_a_restart_and_a_roll_over():
    cursor = RingCursor(32)
    cursor.start(evt_rd=100, evt_wr=3)
    assert cursor.pending(3).numbers() == [1, 2, 3], "the PLC had forgotten"
    cursor.advance(2**32 - 1)
    assert cursor.pending(1).numbers() == [0, 1]
    assert cursor.behind(2**32 - 2)
    cursor.restart()
    assert not cursor.covers(1)
    cursor.advance(1)
    assert cursor.covers(1)
    assert not cursor.covers(2)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=20))
def test_every_event_is_read_once_or_counted_as_lost(begin, steps):
    cursor = RingCursor(16)
    cursor.start(begin, begin)
    written = read = lost = 0
    for step in steps:
        written += step
        pending = cursor.pending((begin + written) % 2**32)
        lost += pending.lost
        for number in pending.numbers():
            assert (number - begin) % 2**32 == read + lost + 1 or pending.lost
            read += 1
            cursor.advance(number)
    assert read + lost == written


def test_waiting_times_grow_to_ten_seconds_and_begin_anew():
    backoff = Backoff(random.Random(1))
    waits = [backoff.next_s() for _ in range(12)]
    assert all(BACKOFF_MAX_S / 2 <= wait <= BACKOFF_MAX_S for wait in waits[-5:])
    assert waits[0] <= 0.2
    backoff.reset()
    assert backoff.next_s() <= 0.2


# --- loopback ---


async def test_loopback_keeps_what_was_sent_and_fails_when_told(sink):
    driver = LoopbackDriver("X1", sink)
    order = Command("c1", "X1", 1, 1, 0, "go")
    with pytest.raises(NotWritten):
        await driver.send(order)
    driver.connect()
    driver.feed("level")
    driver.notify("edge", ring_index=4)
    await driver.send(order)
    driver.fail_next_send(certain=True)
    with pytest.raises(NotWritten) as certain:
        await driver.send(order)
    driver.fail_next_send(certain=False)
    with pytest.raises(NotWritten) as doubtful:
        await driver.send(order)
    assert (certain.value.certain, doubtful.value.certain) == (True, False)
    assert driver.sent == [order, order]
    await driver.consume("X1", 4)
    assert driver.consumed == [4]
    driver.disconnect("unplugged")
    assert sink.links("X1") == ["up", "down"]
    assert (sink.reports("X1"), sink.notices("X1")[0].ring_index) == (["level"], 4)
