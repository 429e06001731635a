"""A conveyor line, stepped: the way of a tote, jams, discharges, restarts."""

from __future__ import annotations

from typing import Any

from plc_simulators.models.conveyor import (
    DISCHARGE,
    HELD,
    INDUCT,
    JAM_ARRIVAL,
    JAM_SENSOR,
    OCCUPIED,
    RESET_ZONE,
    RUNNING,
)
from plc_simulators.models.mailbox import FAILED, INVALID, NOT_NOW, NOT_THERE, OK, OLDER_EPOCH

HandT = Any


def put_and_induct(hand: HandT, load: str = "L1", track: int = 11) -> None:
    hand.plant.put(load, [f"CODE-{load}"], "C1-IN")
    assert hand.command("C1", INDUCT, zone=1, track_id=track) == OK


def at(hand: HandT, load: str) -> str:
    return str(hand.plant.loads().get(load, "gone"))


def test_a_tote_waits_for_its_name_travels_12_zones_and_holds_at_the_exit(hand: HandT) -> None:
    line = hand.plant.conveyors["C1"]
    hand.plant.put("L1", [], "C1-IN")
    hand.run(30)
    first = line.zones[0]
    assert (first.status(), first.track_id, first.arrivals) == (OCCUPIED | HELD, 0, 1)
    assert hand.command("C1", INDUCT, zone=1, track_id=11) == OK
    assert hand.command("C1", INDUCT, zone=1, track_id=0) == INVALID
    hand.until(lambda: at(hand, "L1") == "C1/zone 5")
    assert line.zones[4].track_id == 11
    assert line.zones[4].status() == OCCUPIED | RUNNING
    hand.until(lambda: bool(line.zones[11].status() & HELD))
    assert [zone.arrivals for zone in line.zones] == [1] * 12
    assert [zone.departures for zone in line.zones] == [1] * 11 + [0]
    hand.run(30)
    assert at(hand, "L1") == "C1/zone 12"


def test_belt_speed_rules_the_time_that_the_way_takes(hand: HandT) -> None:
    put_and_induct(hand)
    start_ns = hand.plant.now_ns
    hand.until(lambda: bool(hand.plant.conveyors["C1"].zones[11].status() & HELD))
    expected_s = 11 * 700 / 600
    assert abs((hand.plant.now_ns - start_ns) / 1e9 - expected_s) < 0.3


def test_totes_accumulate_zone_by_zone_without_touching(hand: HandT) -> None:
    for index in range(1, 5):
        put_and_induct(hand, f"L{index}", 10 + index)
        hand.until(lambda: hand.plant.places["C1-IN"].room() == 1)
    hand.run(40)
    places = [at(hand, f"L{index}") for index in range(1, 5)]
    assert places == ["C1/zone 12", "C1/zone 11", "C1/zone 10", "C1/zone 9"]
    assert [zone.track_id for zone in hand.plant.conveyors["C1"].zones[8:]] == [14, 13, 12, 11]


def test_inducting_again_is_fine_with_the_same_track_only(hand: HandT) -> None:
    assert hand.command("C1", INDUCT, zone=1, track_id=5) == NOT_NOW
    hand.plant.put("L1", [], "C1-IN")
    hand.plant.conveyors["C1"].zones[1].jam = JAM_SENSOR  # keeps the tote in zone 1
    assert hand.command("C1", INDUCT, zone=1, track_id=5) == OK
    assert hand.command("C1", INDUCT, zone=1, track_id=5) == OK
    assert hand.command("C1", INDUCT, zone=1, track_id=6) == NOT_NOW


def test_discharge_hands_over_and_says_why_not(hand: HandT) -> None:
    put_and_induct(hand)
    hand.until(lambda: at(hand, "L1") == "C1/zone 12")
    assert hand.command("C1", DISCHARGE, zone=12, track_id=99) == NOT_THERE
    assert hand.command("C1", DISCHARGE, zone=3, track_id=11) == INVALID
    assert hand.command("C1", DISCHARGE, zone=13, track_id=11) == INVALID
    assert hand.command("C1", 9, zone=12, track_id=11) == INVALID
    hand.plant.sorters["S1"].controller.unit.restart()
    assert hand.command("C1", DISCHARGE, zone=12, track_id=11) == NOT_NOW
    hand.run(2)
    assert hand.command("C1", DISCHARGE, zone=12, track_id=11) == OK
    assert at(hand, "L1") == "S1/belt"
    zone = hand.plant.conveyors["C1"].zones[11]
    assert (zone.status() & OCCUPIED, zone.track_id, zone.departures) == (0, 0, 1)
    assert hand.command("C1", DISCHARGE, zone=12, track_id=11) == NOT_THERE


def test_a_jam_holds_until_its_cause_is_gone_and_it_is_reset(hand: HandT) -> None:
    line = hand.plant.conveyors["C1"]
    hand.plant.fault("jam", "C1", zone=5)
    put_and_induct(hand)
    hand.until(lambda: bool(line.zones[4].jam))
    assert line.zones[4].status() == OCCUPIED | JAM_ARRIVAL
    assert hand.command("C1", RESET_ZONE, zone=5, track_id=0) == NOT_NOW
    hand.plant.fault("jam", "C1", on=False, zone=5)
    hand.run(10)
    assert at(hand, "L1") == "C1/zone 5"
    assert hand.command("C1", RESET_ZONE, zone=5, track_id=0) == OK
    hand.until(lambda: at(hand, "L1") == "C1/zone 12")


def test_a_standing_load_jams_at_the_sensor_and_a_discharge_of_it_is_refused(hand: HandT) -> None:
    put_and_induct(hand)
    hand.until(lambda: bool(hand.plant.conveyors["C1"].zones[11].status() & HELD))
    hand.plant.fault("jam", "C1", zone=12)
    hand.run(0.1)
    assert hand.plant.conveyors["C1"].zones[11].status() == OCCUPIED | JAM_SENSOR
    assert hand.command("C1", DISCHARGE, zone=12, track_id=11) == NOT_NOW


def test_counters_roll_over(hand: HandT) -> None:
    zone = hand.plant.conveyors["C1"].zones[2]
    zone.arrivals = zone.departures = 65535
    put_and_induct(hand)
    hand.until(lambda: at(hand, "L1") == "C1/zone 4")
    assert (zone.arrivals, zone.departures) == (0, 0)


def test_the_same_number_runs_once_and_a_lower_epoch_not_at_all(hand: HandT) -> None:
    put_and_induct(hand)
    hand.until(lambda: at(hand, "L1") == "C1/zone 12")
    box = hand.plant.conveyors["C1"].controller.mailbox
    seq = hand.send("C1", DISCHARGE, zone=12, track_id=11, epoch=2)
    hand.until(lambda: box.done_seq == seq)
    put_and_induct_next = hand.send("C1", INDUCT, seq=seq, epoch=2, zone=1, track_id=12)
    hand.run(1)
    assert (put_and_induct_next, box.done_seq, box.result, box.repeated) == (seq, seq, OK, 0)
    assert hand.command("C1", INDUCT, zone=1, track_id=12, epoch=1) == OLDER_EPOCH
    assert box.epoch == 2


def test_a_restart_forgets_tracks_and_counts_but_no_load(hand: HandT) -> None:
    put_and_induct(hand)
    hand.until(lambda: at(hand, "L1") == "C1/zone 12")
    controller = hand.plant.conveyors["C1"].controller
    boot_id = controller.boot_id
    hand.send("C1", DISCHARGE, zone=12, track_id=11)
    hand.run(0.1)
    hand.plant.fault("plc_restart", "C1")
    zone = hand.plant.conveyors["C1"].zones[11]
    assert controller.boot_id == boot_id + 1
    assert (zone.track_id, zone.arrivals, controller.mailbox.result) == (0, 0, FAILED)
    hand.run(2)
    assert at(hand, "L1") == "C1/zone 12"
    assert hand.command("C1", DISCHARGE, zone=12, track_id=11) == NOT_THERE
    assert hand.command("C1", INDUCT, zone=12, track_id=11) == OK
    assert hand.command("C1", DISCHARGE, zone=12, track_id=11) == OK


def test_a_silent_gateway_gets_nothing_new_started_but_what_moves_is_finished(hand: HandT) -> None:
    line = hand.plant.conveyors["C1"]
    put_and_induct(hand)
    hand.until(lambda: at(hand, "L1") == "C1/zone 3")
    line.controller.life.safe = True
    hand.plant.put("L2", [], "C1-IN")
    assert hand.command("C1", INDUCT, zone=1, track_id=12) == NOT_NOW
    hand.until(lambda: at(hand, "L1") == "C1/zone 12")
    assert at(hand, "L2") == "C1/zone 1"


def test_c2_feeds_the_cell_only_while_its_infeed_is_free(hand: HandT) -> None:
    hand.plant.put("L1", [], "RC1-IN")
    hand.plant.put("L2", [], "C2-IN")
    assert hand.command("C2", INDUCT, zone=1, track_id=1) == OK
    hand.until(lambda: at(hand, "L2") == "C2/zone 12")
    assert hand.command("C2", DISCHARGE, zone=12, track_id=1) == NOT_NOW
    assert hand.plant.places["RC1-IN"].give("L1") == "L1"
    assert hand.command("C2", DISCHARGE, zone=12, track_id=1) == OK
    assert at(hand, "L2") == "RC1-IN"
