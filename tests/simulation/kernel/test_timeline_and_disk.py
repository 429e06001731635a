"""The pieces under a run: virtual time, and what of a journal survives the end of a process or of the power."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.shell.journal import JournalFull, JournalGap
from gateway.simulation import timeline
from gateway.simulation.disk import SNAPSHOTS_KEPT, Disk, Pause, SimJournal
from gateway.simulation.timeline import MS, SECOND, Timeline

BATCH = [(1, 10, b"a"), (2, 11, b"b"), (3, 12, b"c")]


class Hand:
    """Runs a timeline and notes what happens."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.seen: list[tuple[int, str]] = []
        self.moved: list[int] = []

    def at(self, at_ns: int, name: str) -> None:
        self.timeline.at(at_ns, lambda: self.seen.append((self.timeline.now_ns, name)))

    def run(self, until_ns: int) -> list[tuple[int, str]]:
        self.timeline.run(until_ns, self.moved.append, lambda: False)
        return self.seen


# --- time ---


def test_events_come_in_the_order_of_their_times_and_then_of_their_putting_in() -> None:
    hand = Hand()
    for at_ns, name in ((30, "c"), (10, "a"), (30, "d"), (20, "b"), (30, "e")):
        hand.at(at_ns, name)
    assert hand.run(30) == [(10, "a"), (20, "b"), (30, "c"), (30, "d"), (30, "e")]
    assert hand.moved == [10, 20, 30, 30]


def test_what_lies_in_the_past_happens_now() -> None:
    hand = Hand()
    hand.run(100)
    hand.at(50, "late")
    assert hand.run(100) == [(100, "late")]


def test_an_event_may_put_in_another_one_for_the_same_moment() -> None:
    hand = Hand()
    hand.timeline.at(10, lambda: hand.at(10, "second"))
    hand.at(10, "first")
    assert hand.run(10) == [(10, "first"), (10, "second")]


def test_nothing_happens_beyond_the_end_and_goes_on_from_there() -> None:
    hand = Hand()
    hand.at(101, "after")
    assert hand.run(100) == []
    assert hand.timeline.now_ns == 100
    assert hand.moved == [100]
    assert hand.run(101) == [(101, "after")]


def test_what_comes_regularly_comes_for_ever() -> None:
    hand = Hand()
    hand.timeline.every(30, lambda: hand.seen.append((hand.timeline.now_ns, "beat")))
    assert [at for at, _ in hand.run(100)] == [30, 60, 90]
    assert [at for at, _ in hand.run(120)] == [30, 60, 90, 120]


def test_a_run_that_is_stopped_leaves_its_next_event_alone() -> None:
    hand = Hand()
    hand.at(10, "a")
    hand.at(20, "b")
    hand.timeline.run(100, hand.moved.append, lambda: bool(hand.seen))
    assert hand.seen == [(10, "a")]
    assert hand.timeline.now_ns == 20


def test_events_without_end_are_a_bug_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "EVENTS_MAX", 3)
    hand = Hand()
    for _ in range(3):
        hand.at(1, "x")
    with pytest.raises(AssertionError, match="puts in more than it takes out"):
        hand.at(1, "x")


# --- the disk ---


def disk(seed: int = 1) -> Disk:
    return Disk(random.Random(seed))


def finished(coroutine: Coroutine[Any, Any, None]) -> list[str]:
    """Drive a commit to its end; where it paused on the way."""
    places: list[str] = []
    try:
        while True:
            pause = coroutine.send(None)
            assert isinstance(pause, Pause)
            places.append(pause.where)
    except StopIteration:
        return places


def test_a_process_that_dies_loses_nothing_that_was_written() -> None:
    for seed in range(20):
        it = disk(seed)
        it.write(BATCH)
        assert it.lose(power=False) is False
        assert it.records == BATCH


def test_a_power_cut_loses_a_written_batch_whole_or_not_at_all() -> None:
    kept = []
    for seed in range(40):
        it = disk(seed)
        it.write(BATCH)
        lost = it.lose(power=True)
        assert it.records == ([] if lost else BATCH)
        kept.append(not lost)
    assert 0 < sum(kept) < len(kept)


def test_a_power_cut_never_loses_what_was_synced() -> None:
    for seed in range(20):
        it = disk(seed)
        it.write(BATCH)
        it.sync()
        assert it.lose(power=True) is False
        it.write([(4, 13, b"d")])
        it.lose(power=True)
        assert it.records[:3] == BATCH


def test_what_a_dead_process_had_written_is_not_written_by_the_next_one() -> None:
    it = disk()
    it.write(BATCH)
    it.lose(power=True)
    before = list(it.records)
    it.sync()
    assert it.records == before


def test_the_history_is_that_of_what_is_on_the_disk_and_of_what_was_drawn() -> None:
    def history(records: list[tuple[int, int, bytes]], drawn: list[tuple[int, int, bytes]]) -> str:
        it = disk()
        finished(SimJournal(it).commit(records, drawn))
        return it.history.hexdigest()

    assert history(BATCH, []) == history(BATCH, [])
    assert len({history(BATCH, []), history(BATCH[:2], []), history(BATCH, [(1, 1, b"x")]), history([], [])}) == 4


# --- the journal on it ---


def test_what_is_committed_is_read_again_by_the_next_process() -> None:
    it = disk()
    finished(SimJournal(it).commit(BATCH, [(1, 0, b"drawn")]))
    again = SimJournal(it)
    assert (again.first_seq, again.last_seq) == (1, 3)
    assert list(again.read(0)) == BATCH
    assert list(again.read(2)) == BATCH[2:]
    assert list(again.read_drawn(0)) == [(1, 0, b"drawn")]
    assert list(again.read_drawn(1)) == []


def test_a_gap_is_refused_and_changes_nothing() -> None:
    it = disk()
    journal = SimJournal(it)
    finished(journal.commit(BATCH))
    for first in (3, 5):
        with pytest.raises(JournalGap):
            finished(journal.commit([(first, 20, b"x")]))
    assert it.records == BATCH


def test_a_full_disk_takes_neither_inputs_nor_snapshots_until_there_is_room() -> None:
    it = disk()
    journal = SimJournal(it)
    it.full = True
    with pytest.raises(JournalFull, match="simulated disk is full"):
        finished(journal.commit(BATCH))
    with pytest.raises(JournalFull, match="simulated disk is full"):
        finished(journal.save_snapshot(3, 12, b"state"))
    assert (it.records, it.snapshots) == ([], [])
    it.full = False
    finished(journal.commit(BATCH))
    assert it.records == BATCH


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize(
    ("place", "written", "synced"),
    [("before write", False, False), ("before sync", True, False), ("after sync", True, True)],
)
def test_a_commit_can_be_cut_off_at_each_of_its_phases(place: str, *, written: bool, synced: bool, power: bool) -> None:
    survived = set()
    for seed in range(30):
        it = disk(seed)
        journal = SimJournal(it)
        journal.crash_at = place
        coroutine = journal.commit(BATCH)
        while coroutine.send(None).where != place:
            pass
        coroutine.close()
        it.lose(power=power)
        survived.add(len(it.records))
    if synced or (written and not power):
        assert survived == {3}
    else:
        assert survived == ({0, 3} if written else {0})


def test_a_slow_disk_takes_its_time() -> None:
    it = disk()
    it.slow_ms = 400
    pause = SimJournal(it).commit(BATCH).send(None)
    assert pause.where == "before sync"
    assert 401 * MS <= pause.ns <= 412 * MS < SECOND


def test_the_newest_snapshots_are_kept() -> None:
    it = disk()
    journal = SimJournal(it)
    assert journal.latest_snapshot() is None
    for seq in (5, 9, 14):
        finished(journal.save_snapshot(seq, seq, b"%d" % seq))
    assert len(it.snapshots) == SNAPSHOTS_KEPT
    assert journal.latest_snapshot() == (14, b"14")
    assert journal.latest_snapshot(13) == (9, b"9")
    assert journal.latest_snapshot(8) is None


@pytest.mark.parametrize(("place", "kept"), [("before snapshot", 0), ("after snapshot", 1)])
def test_a_snapshot_can_be_cut_off_before_and_after(place: str, kept: int) -> None:
    it = disk()
    journal = SimJournal(it)
    journal.crash_at = place
    coroutine = journal.save_snapshot(5, 5, b"state")
    assert coroutine.send(None).where == place
    coroutine.close()
    assert len(it.snapshots) == kept
