"""The sorter, stepped: assignments in time and late, full and disabled lanes, restarts, emptied lanes."""

from __future__ import annotations

from typing import Any

import pytest

from plc_simulators.models import ring
from plc_simulators.models.mailbox import INVALID, NOT_NOW, NOT_THERE, OK
from plc_simulators.models.packml import EXECUTE, SUSPENDED
from plc_simulators.models.sorter import ASSIGN, LANE_DISABLED, LANE_FULL, LATE
from plc_simulators.plant import PutError

HandT = Any


def on_belt(hand: HandT, load: str) -> None:
    hand.until(lambda: hand.plant.places["S1-IN"].room() == 1)
    hand.plant.put(load, [f"A-{load}", f"B-{load}"], "S1-IN")


def scanned(hand: HandT, load: str) -> ring.Entry:
    """Put a load onto the belt and return its scan event."""
    known = hand.plant.sorters["S1"].ring.wr
    on_belt(hand, load)
    code = f"A-{load};B-{load}"
    events = hand.plant.sorters["S1"].ring
    hand.until(lambda: any(e.type == ring.SCAN and e.barcodes == code for e in events.since(known)))
    return next(e for e in events.since(known) if e.barcodes == code)


def assign(hand: HandT, scan: ring.Entry, *lanes: int, within_ms: int = 1800) -> int:
    wanted = {f"lane_{n}": lane for n, lane in enumerate([*lanes, 0, 0, 0, 0][:4], 1)}
    deadline_ms = (scan.plc_ms + within_ms) % 2**32
    return int(hand.command("S1", ASSIGN, track_id=scan.track_id, deadline_ms=deadline_ms, **wanted))


def events_of(hand: HandT, track_id: int) -> list[tuple[int, int, int]]:
    """(type, lane, result) of every event of one track after its scan."""
    entries = hand.plant.sorters["S1"].ring.since(0)
    return [(e.type, e.lane, e.result) for e in entries if e.track_id == track_id and e.type != ring.SCAN]


def ended(hand: HandT, track_id: int) -> list[tuple[int, int, int]]:
    hand.until(lambda: any(kind == ring.DIVERTED for kind, _, _ in events_of(hand, track_id)))
    return events_of(hand, track_id)


def test_an_assignment_in_time_ends_in_its_lane(hand: HandT) -> None:
    scan = scanned(hand, "L1")
    assert (scan.point, scan.barcodes) == (1, "A-L1;B-L1")
    assert assign(hand, scan, 3) == OK
    assert ended(hand, scan.track_id) == [(ring.DIVERTED, 3, 0)]
    assert hand.plant.loads() == {"L1": "LANE-3"}
    assert hand.plant.sorters["S1"].lanes[3].count == 1


def test_without_an_assignment_it_fails_late_and_is_rejected(hand: HandT) -> None:
    scan = scanned(hand, "L1")
    assert ended(hand, scan.track_id) == [(ring.FAILED, 0, LATE), (ring.DIVERTED, 9, 0)]
    assert hand.plant.loads() == {"L1": "LANE-R"}


def test_an_assignment_past_its_deadline_comes_late(hand: HandT) -> None:
    scan = scanned(hand, "L1")
    hand.run(1)
    assert assign(hand, scan, 3, within_ms=500) == NOT_NOW
    assert ended(hand, scan.track_id) == [(ring.FAILED, 0, LATE), (ring.DIVERTED, 9, 0)]


def test_an_assignment_after_the_divert_or_of_an_unknown_track_is_refused(hand: HandT) -> None:
    scan = scanned(hand, "L1")
    hand.run(2.5)
    assert assign(hand, scan, 3, within_ms=60_000) == NOT_NOW
    stranger = ring.Entry(track_id=scan.track_id + 1, plc_ms=scan.plc_ms)
    assert assign(hand, stranger, 3) == NOT_THERE
    assert assign(hand, ring.Entry(plc_ms=scan.plc_ms), 3, within_ms=60_000) == NOT_THERE
    assert assign(hand, scan, 77) == INVALID
    assert assign(hand, scan, 0) == INVALID


@pytest.mark.parametrize(("kind", "reason"), [("lane_full", LANE_FULL), ("lane_disabled", LANE_DISABLED)])
def test_a_lane_that_is_full_or_disabled_gives_way_to_the_next(hand: HandT, kind: str, reason: int) -> None:
    hand.plant.fault(kind, "S1", lane=2)
    first, second = scanned(hand, "L1"), None
    assert assign(hand, first, 2, 4) == OK
    assert ended(hand, first.track_id) == [(ring.DIVERTED, 4, 0)]
    second = scanned(hand, "L2")
    assert assign(hand, second, 2) == OK
    assert ended(hand, second.track_id) == [(ring.FAILED, 0, reason), (ring.DIVERTED, 9, 0)]
    hand.plant.fault(kind, "S1", on=False, lane=2)
    third = scanned(hand, "L3")
    assert assign(hand, third, 2) == OK
    assert ended(hand, third.track_id) == [(ring.DIVERTED, 2, 0)]


def test_an_alternate_behind_the_item_can_not_be_had(hand: HandT) -> None:
    hand.plant.fault("lane_full", "S1", lane=7)
    scan = scanned(hand, "L1")
    assert assign(hand, scan, 7, 6) == OK
    assert ended(hand, scan.track_id) == [(ring.FAILED, 0, LANE_FULL), (ring.DIVERTED, 9, 0)]


def test_lane_eight_is_full_while_the_conveyor_behind_it_is_taken(hand: HandT) -> None:
    lane = hand.plant.sorters["S1"].lanes[8]
    first = scanned(hand, "L1")
    assert assign(hand, first, 8) == OK
    hand.until(lambda: bool(lane.diverting))
    assert lane.full
    assert ended(hand, first.track_id) == [(ring.DIVERTED, 8, 0)]
    assert hand.plant.loads()["L1"] == "C2/zone 1"
    assert (lane.full, lane.count) == (True, 1)
    second = scanned(hand, "L2")
    assert assign(hand, second, 8) == OK
    assert ended(hand, second.track_id) == [(ring.FAILED, 0, LANE_FULL), (ring.DIVERTED, 9, 0)]
    assert hand.command("C2", 1, zone=1, track_id=4) == OK
    hand.until(lambda: not lane.full)


def test_people_empty_a_lane_that_is_two_thirds_full(hand: HandT) -> None:
    shelf = hand.plant.places["LANE-3"]
    for index in range(7):
        hand.plant.put(f"L{index}", [], "LANE-3")
    hand.run(60)
    assert len(shelf.loads()) == 7
    hand.plant.put("L7", [], "LANE-3")
    hand.run(19)
    assert len(shelf.loads()) == 8
    hand.run(2)
    assert shelf.loads() == ()
    assert hand.plant.shipped == {f"L{index}": "LANE-3" for index in range(8)}
    emptied = hand.plant.sorters["S1"].ring.since(0)
    assert [(entry.type, entry.lane) for entry in emptied] == [(ring.LANE_EMPTIED, 3)]


def test_a_full_reject_lane_stops_the_belt_until_somebody_makes_room(hand: HandT) -> None:
    for index in range(10):
        hand.plant.put(f"R{index}", [], "LANE-R")
    with pytest.raises(PutError, match="no room"):
        hand.plant.put("R10", [], "LANE-R")
    on_belt(hand, "L1")
    unit = hand.plant.sorters["S1"].controller.unit
    hand.until(lambda: unit.state == SUSPENDED)
    hand.run(60)
    assert hand.plant.loads()["L1"] == "S1/belt"
    assert hand.plant.places["S1-IN"].room() == 0
    assert hand.plant.places["LANE-R"].give("R0") == "R0"
    hand.until(lambda: hand.plant.loads()["L1"] == "LANE-R")
    assert unit.state == EXECUTE


def test_a_restart_forgets_tracks_and_events_and_runs_the_belt_empty(hand: HandT) -> None:
    sorter = hand.plant.sorters["S1"]
    scan = scanned(hand, "L1")
    assert assign(hand, scan, 3) == OK
    hand.plant.fault("plc_restart", "S1")
    assert (sorter.ring.wr, sorter.ring.rd) == (0, 0)
    hand.run(2)
    assert assign(hand, scan, 3, within_ms=60_000) == NOT_THERE
    hand.until(lambda: hand.plant.loads()["L1"] == "LANE-R")
    assert [(e.type, e.track_id, e.lane) for e in sorter.ring.since(0)] == [(ring.DIVERTED, 0, 9)]
    again = scanned(hand, "L2")
    assert again.track_id != scan.track_id
    assert again.seq == 2


def test_no_read_gives_an_empty_scan(hand: HandT) -> None:
    hand.plant.fault("no_read", "S1")
    on_belt(hand, "L1")
    hand.until(lambda: hand.plant.sorters["S1"].ring.wr > 0)
    assert hand.plant.sorters["S1"].ring.since(0)[0].barcodes == ""
    hand.plant.fault("no_read", "S1", on=False)
    assert scanned(hand, "L2").barcodes == "A-L2;B-L2"


def test_items_keep_their_gap(hand: HandT) -> None:
    on_belt(hand, "L1")
    assert hand.plant.places["S1-IN"].room() == 0
    on_belt(hand, "L2")
    first, second = hand.plant.sorters["S1"].belt
    assert first.position_mm - second.position_mm >= 700
