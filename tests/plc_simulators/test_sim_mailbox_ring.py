"""Sequence numbers, epochs and echoes; the event ring; life signs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plc_simulators.models.lifesign import LifeSign
from plc_simulators.models.mailbox import FAILED, MEMORY_MAX, OK, OLDER_EPOCH, Mailbox, Offer
from plc_simulators.models.ring import ENTRIES, Entry, Ring

SECOND_NS = 1_000_000_000


def offer(seq: int, epoch: int = 1) -> Offer:
    return Offer(seq, epoch, 1)


def test_a_command_is_taken_once_and_only_echoed_again() -> None:
    box = Mailbox()
    box.offer(offer(5), 0)
    assert box.take(0) == offer(5)
    assert (box.ack_seq, box.done_seq) == (5, 0)
    box.finish(OK)
    box.offer(offer(6), 0)
    assert box.take(0) is not None
    box.finish(FAILED)
    box.offer(offer(5), 0)
    assert box.take(0) is None
    assert (box.ack_seq, box.done_seq, box.result) == (5, 5, OK)
    assert (box.accepted, box.executed, box.repeated) == (2, 2, 0)


def test_number_zero_is_no_command() -> None:
    box = Mailbox()
    box.offer(offer(0), 0)
    assert box.take(0) is None
    assert (box.ack_seq, box.done_seq) == (0, 0)


def test_a_lower_epoch_is_refused_and_does_not_use_up_the_number() -> None:
    box = Mailbox()
    box.offer(offer(1, epoch=3), 0)
    assert box.take(0) is not None
    box.finish(OK)
    box.offer(offer(2, epoch=2), 0)
    assert box.take(0) is None
    assert (box.done_seq, box.result, box.epoch) == (2, OLDER_EPOCH, 3)
    box.offer(offer(2, epoch=3), 0)
    assert box.take(0) == offer(2, epoch=3)


def test_one_command_is_under_way_at_a_time_and_the_newest_write_waits() -> None:
    box = Mailbox()
    for seq in (1, 2, 3):
        box.offer(offer(seq), 0)
        if seq == 1:
            assert box.take(0) is not None
    assert box.take(0) is None
    box.finish(OK)
    taken = box.take(0)
    assert taken is not None
    assert taken.seq == 3


def test_a_slow_program_looks_late() -> None:
    box = Mailbox()
    box.delay_ns = 500
    box.offer(offer(1), 1000)
    assert box.take(1499) is None
    assert box.take(1500) is not None


def test_a_restart_fails_what_was_under_way_and_keeps_numbers_and_epoch() -> None:
    box = Mailbox()
    box.offer(offer(9, epoch=4), 0)
    box.take(0)
    box.restart()
    assert (box.done_seq, box.result, box.epoch) == (9, FAILED, 4)
    box.offer(offer(9, epoch=4), 0)
    assert box.take(0) is None
    assert box.executed == 1


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 3), st.booleans()), max_size=60))
def test_no_row_of_writes_runs_a_number_twice(writes: list[tuple[int, int, bool]]) -> None:
    box = Mailbox()
    ran: list[int] = []
    for seq, epoch, restart in writes:
        box.offer(offer(seq, epoch), 0)
        taken = box.take(0)
        if taken is not None:
            ran.append(taken.seq)
            if not restart:
                box.finish(OK)
        if restart:
            box.restart()
    assert len(ran) == len(set(ran)) == box.executed
    assert box.repeated == 0


def test_memory_is_bounded_and_forgotten_numbers_still_do_not_run() -> None:
    box = Mailbox()
    for seq in range(1, MEMORY_MAX + 3):
        box.offer(offer(seq), 0)
        assert box.take(0) is not None
        box.finish(OK)
    box.offer(offer(1), 0)
    assert box.take(0) is None
    assert (box.done_seq, box.result) == (1, 0)


def test_the_ring_numbers_its_entries_and_counts_what_it_overwrites() -> None:
    ring = Ring()
    for track in range(ENTRIES + 2):
        ring.append(Entry(type=1, track_id=track))
    assert ring.wr == ENTRIES + 2
    assert ring.overwritten == 2
    assert [entry.seq for entry in ring.since(ENTRIES)] == [ENTRIES + 1, ENTRIES + 2]
    assert len(ring.since(0)) == ENTRIES
    assert ring.entries[1].seq == ENTRIES + 2
    ring.restart()
    assert (ring.wr, ring.rd, ring.since(0)) == (0, 0, [])


def test_only_a_heartbeat_that_was_there_and_stops_is_missed() -> None:
    life = LifeSign()
    life.tick(0)
    life.tick(60 * SECOND_NS)
    assert not life.safe
    life.hear(1, 60 * SECOND_NS)
    life.hear(2, 61 * SECOND_NS)
    life.hear(2, 65 * SECOND_NS)
    life.tick(66 * SECOND_NS)
    assert life.safe
    life.hear(3, 67 * SECOND_NS)
    assert not life.safe


def test_the_plc_beats_once_a_second_and_rolls_over() -> None:
    life = LifeSign()
    life.hb_plc = 65535
    for tenth in range(25):
        life.tick(tenth * SECOND_NS // 10)
    assert life.hb_plc == 1
