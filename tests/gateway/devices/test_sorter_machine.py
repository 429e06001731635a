"""The sorter's picture under any sequence of reports and events, outages and restarts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices import sorter as so
from gateway.devices.echo import Echo
from gateway.devices.facts import (
    Diverted,
    DivertFailed,
    Fact,
    Irregular,
    LaneEmptied,
    Restarted,
    Scanned,
    StateChanged,
    TrackLost,
)
from gateway.devices.packml import STATE_BY_NUMBER
from gateway.devices.sorter import TRACKS_MAX, Assign, Lane, Sorter, SorterEvent, SorterReport

LANES = 3
lanes = st.builds(Lane, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 65_535))
reports = st.builds(
    SorterReport,
    boot_id=st.integers(1, 2), echo=st.just(Echo()), state=st.integers(0, 19), mode=st.integers(0, 4),
    lanes=st.lists(lanes, min_size=LANES, max_size=LANES).map(tuple),
)  # fmt: skip
events = st.builds(
    SorterEvent,
    kind=st.sampled_from(["scan", "diverted", "failed", "lost", "lane_emptied"]), track_id=st.integers(0, 4),
    point=st.integers(0, 2), lane=st.integers(0, LANES + 2), result=st.integers(0, 9), plc_ms=st.integers(0, 2**32 - 1),
    barcodes=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)  # fmt: skip
steps = st.lists(st.one_of(reports, events, events, st.sampled_from(["up", "uncertain", "down"])), max_size=30)


def report(*levels: Lane, state: int = 6, boot_id: int = 1) -> SorterReport:
    return SorterReport(boot_id, Echo(), state, 1, levels or (Lane(),) * LANES)


def at_work() -> Sorter:
    sorter = so.new("S1", LANES, LANES)
    sorter.health.link_changed("up", "connected", 1)
    so.observe(sorter, report())
    return sorter


def book(belt: set[int], facts: list[Fact]) -> None:
    """Which tracks are on the belt, by facts alone: each is scanned once and leaves once."""
    for fact in facts:
        if isinstance(fact, Scanned):
            assert fact.track_id not in belt
            belt.add(fact.track_id)
        elif isinstance(fact, Diverted | TrackLost):
            belt.remove(fact.track_id)
        elif isinstance(fact, DivertFailed):
            assert fact.track_id in belt
        if isinstance(fact, Diverted | LaneEmptied):
            assert 1 <= fact.lane <= LANES


def forget(sorter: Sorter, facts: list[Fact]) -> None:
    """What the dispatcher does when it has booked an item that left: the track must still be there for it."""
    for fact in facts:
        if isinstance(fact, Diverted | TrackLost):
            del sorter.tracks[fact.track_id]


@pytest.mark.parametrize("forgetting", [True, False])
@settings(max_examples=200)
@given(steps=steps)
def test_any_sequence(forgetting: bool, steps: list[SorterReport | SorterEvent | str]) -> None:
    sorter = so.new("S1", LANES, LANES)
    belt: set[int] = set()
    for at_ns, step in enumerate(steps):
        if isinstance(step, str):
            sorter.health.link_changed(step, "test", at_ns)  # type: ignore[arg-type]
            continue
        booted = sorter.boot_id
        facts = so.notice(sorter, step) if isinstance(step, SorterEvent) else so.observe(sorter, step)
        book(belt, facts)
        if forgetting:
            forget(sorter, facts)
            assert set(sorter.tracks) == belt
        assert belt == {n for n, track in sorter.tracks.items() if track.state not in ("diverted", "lost")}
        if isinstance(step, SorterEvent):
            assert facts, "every event has a consequence or a complaint"
            continue
        assert (Restarted("S1", step.boot_id) in facts) is (booted not in (None, step.boot_id))
        assert_pictured(sorter, step)
        assert so.observe(sorter, step) == []
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sorter), type=Sorter) == sorter


def assert_pictured(sorter: Sorter, seen: SorterReport) -> None:
    assert sorter.state == STATE_BY_NUMBER.get(seen.state, f"number {seen.state}")
    assert (sorter.boot_id, sorter.packml_mode) == (seen.boot_id, seen.mode)
    for number, (known, lane) in enumerate(zip(sorter.lanes, seen.lanes, strict=True), 1):
        level = "full" if lane.full else "half_full" if lane.half_full else "open"
        assert known.state == (level if lane.enabled else "disabled")
        assert known.count == lane.count
        assert (sorter.lane_refusal(number) is None) is (lane.enabled and not lane.full)
    assert sorter.lane_refusal(0) is not None
    assert sorter.lane_refusal(LANES + 1) is not None
    assert sorter.health.reported
    assert (sorter.refusal() is None) is (sorter.health.link == "up" and seen.state == 6 and seen.mode == 1)


def scan(track_id: int) -> SorterEvent:
    return SorterEvent("scan", track_id, barcodes=(f"code {track_id}",), plc_ms=5)


def test_the_life_of_an_item() -> None:
    sorter = at_work()
    assert so.notice(sorter, scan(1)) == [Scanned("S1", 1, ("code 1",), 5)]
    assert so.notice(sorter, SorterEvent("failed", 1, result=1)) == [DivertFailed("S1", 1, "lane full")]
    assert so.notice(sorter, SorterEvent("diverted", 1, lane=3)) == [Diverted("S1", 1, 3, confirmed=True)]
    assert isinstance(so.notice(sorter, SorterEvent("diverted", 1, lane=3))[0], Irregular)
    assert isinstance(so.notice(sorter, SorterEvent("lost", 1))[0], Irregular)


def test_a_divert_that_no_sensor_saw_is_not_confirmed() -> None:
    sorter = at_work()
    so.notice(sorter, scan(1))
    assert so.notice(sorter, SorterEvent("diverted", 1, lane=2, result=7)) == [Diverted("S1", 1, 2, confirmed=False)]


def test_a_failed_divert_does_not_touch_the_next_item() -> None:
    sorter = at_work()
    for track_id in (1, 2):
        so.notice(sorter, scan(track_id))
    so.notice(sorter, SorterEvent("failed", 1, result=99))
    assert (sorter.tracks[1].state, sorter.tracks[2].state) == ("failed", "scanned")


@pytest.mark.parametrize("lane", [0, LANES + 1, -1])
def test_a_lane_that_does_not_exist_loses_the_item_and_empties_nothing(lane: int) -> None:
    sorter = at_work()
    so.notice(sorter, scan(1))
    facts = so.notice(sorter, SorterEvent("diverted", 1, lane=lane))
    assert [type(fact) for fact in facts] == [Irregular, TrackLost]
    assert [type(fact) for fact in so.notice(sorter, SorterEvent("lane_emptied", 0, lane=lane))] == [Irregular]


def test_a_restart_loses_what_was_on_the_belt_and_only_that() -> None:
    sorter = at_work()
    for track_id in (1, 2, 3):
        so.notice(sorter, scan(track_id))
    sorter.tracks[3].load = "tote 3"
    so.notice(sorter, SorterEvent("diverted", 2, lane=1))
    assert so.observe(sorter, report(boot_id=2)) == [Restarted("S1", 2), TrackLost("S1", 1), TrackLost("S1", 3)]
    # Whoever books the losses still finds which load it was, and the PLC counts its tracks from 1 again.
    assert sorter.tracks[3].load == "tote 3"
    assert so.notice(sorter, scan(3)) == [Scanned("S1", 3, ("code 3",), 5)]
    assert sorter.tracks[3].load == ""


@pytest.mark.parametrize("forgetting", [True, False])
def test_more_items_than_a_sorter_holds_purge_the_oldest(forgetting: bool) -> None:
    sorter = at_work()
    lost: list[int] = []
    for track_id in range(TRACKS_MAX + 50):
        facts = so.notice(sorter, scan(track_id))
        lost.extend(fact.track_id for fact in facts if isinstance(fact, TrackLost))
        if forgetting:
            forget(sorter, facts)
        assert len(sorter.tracks) <= TRACKS_MAX + (not forgetting)
    assert lost == list(range(50))


def test_items_that_left_make_room_without_a_loss() -> None:
    sorter = at_work()
    for track_id in range(TRACKS_MAX * 3):
        assert not any(isinstance(fact, TrackLost) for fact in so.notice(sorter, scan(track_id)))
        so.notice(sorter, SorterEvent("diverted", track_id, lane=1))
        assert len(sorter.tracks) <= TRACKS_MAX


def test_an_outage_keeps_the_tracks_but_not_the_use() -> None:
    sorter = at_work()
    so.notice(sorter, scan(1))
    sorter.health.link_changed("down", "cable", 2)
    sorter.health.link_changed("up", "connected", 3)
    assert sorter.refusal() == "no report since the link came up"
    # The PLC hands over its backlog before or after the report.
    assert so.notice(sorter, SorterEvent("diverted", 1, lane=1)) == [Diverted("S1", 1, 1, confirmed=True)]
    full = Lane(full=True)
    assert so.observe(sorter, report(full, Lane(), Lane())) == [StateChanged("S1", "lane 1", "open", "full")]
    assert sorter.refusal() is None
    assert sorter.lane_refusal(1) == "lane 1 is full"


def test_a_state_that_packml_does_not_know_stops_the_use_of_the_sorter() -> None:
    sorter = at_work()
    assert len([fact for fact in so.observe(sorter, report(state=0)) if isinstance(fact, Irregular)]) == 1
    assert sorter.refusal() == "PLC state is number 0, not Execute"


def test_a_report_with_other_lanes_makes_the_sorter_unusable() -> None:
    sorter = at_work()
    assert so.observe(sorter, report(Lane())) == [Irregular("S1", "report has 1 lanes, configured 3")]
    assert sorter.refusal() is not None


ENTRY: dict[str, bool | int | float | str | None] = {
    "type": 2, "track_id": 9, "point": 1, "lane": 3, "result": 0, "plc_ms": 77, "barcodes": " A1; ;B2 ",
}  # fmt: skip


def test_decode_event() -> None:
    assert so.decode_event(ENTRY) == SorterEvent("diverted", 9, 1, 3, 0, 77, ("A1", "B2"))
    assert so.decode_event({**ENTRY, "type": 1, "barcodes": ""}).barcodes == ()
    assert so.decode_event({**ENTRY, "type": 1, "barcodes": None}).barcodes == ()
    with pytest.raises(KeyError):
        so.decode_event({"type": 1, "barcodes": ""})


@pytest.mark.parametrize("code", [0, 6, -1, None, "scan", "", float("nan"), float("inf"), 1.5])
def test_an_event_of_unknown_type_is_a_validation_error(code: float | str | None) -> None:
    with pytest.raises(msgspec.ValidationError):
        so.decode_event({**ENTRY, "type": code})


def test_decode_and_encode() -> None:
    status = {"boot_id": 4, "ack_seq": 2, "done_seq": 1, "result": 1, "epoch": 7, "state": 6, "mode": 1}
    lane = {"lane.1.enabled": True, "lane.1.half_full": False, "lane.1.full": True, "lane.1.count": 12}
    assert so.decode({**status, **lane}, 1) == SorterReport(4, Echo(2, 1, 1, 7), 6, 1, (Lane(full=True, count=12),))
    with pytest.raises(KeyError):
        so.decode({**status, **lane}, 2)
    payload = {"cmd_code": 10, "cmd_track_id": 9, "cmd_deadline_ms": 5}
    lanes_of = {"cmd_lane_1": 2, "cmd_lane_2": 3, "cmd_lane_3": 0, "cmd_lane_4": 0}
    assert so.encode(Assign(9, (2, 3), 5)) == {**payload, **lanes_of}


def test_a_track_that_is_still_on_the_belt_is_not_scanned_again() -> None:
    """The scanner reads twice, or the PLC gives one number to two items: the first reading stands."""
    sorter = at_work()
    so.notice(sorter, scan(1))
    assert so.notice(sorter, scan(1)) == [Irregular("S1", "track 1 was scanned twice")]
    assert list(sorter.tracks) == [1]
    so.notice(sorter, SorterEvent("diverted", 1, lane=2))
    assert so.notice(sorter, scan(1)) == [Scanned("S1", 1, ("code 1",), 5)]


@pytest.mark.parametrize("lane", [0, LANES + 1, -1])
def test_a_lane_that_does_not_exist_takes_nothing(lane: int) -> None:
    assert at_work().lane_refusal(lane) == f"lane {lane} does not exist (1 to {LANES})"


def test_an_event_that_was_known_before_the_ring_rolled_over_is_known_still() -> None:
    """Its running number is a u32: behind by less than half of that is before, not far ahead."""
    sorter = at_work()
    assert not so.is_repeat(sorter, 2**32 - 1)
    assert so.is_repeat(sorter, 2**32 - 2)
    assert not so.is_repeat(sorter, 0)
    assert not so.is_repeat(sorter, 1)
    assert so.is_repeat(sorter, 2**32 - 1)
    assert not so.is_repeat(sorter, None)
