"""The conveyor's picture under any sequence of reports, outages and restarts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices import conveyor as cv
from gateway.devices.conveyor import Conveyor, ConveyorReport, Discharge, Induct, ResetZone, Zone
from gateway.devices.echo import Echo
from gateway.devices.facts import (
    Fact,
    FaultCleared,
    Faulted,
    Irregular,
    Restarted,
    StateChanged,
    ZoneLeft,
    ZoneTaken,
)
from gateway.devices.packml import STATE_BY_NUMBER

ZONES = 3
counters = st.sampled_from([0, 1, 2, 65_534, 65_535])
zones = st.builds(
    Zone,
    occupied=st.booleans(), running=st.booleans(), held=st.booleans(), jam_at_arrival=st.booleans(),
    jam_at_sensor=st.booleans(), fault=st.booleans(), arrivals=counters, departures=counters,
    track_id=st.integers(0, 3),
)  # fmt: skip
echoes = st.builds(Echo, ack_seq=st.integers(0, 9), done_seq=st.integers(0, 9), result=st.integers(0, 7))
reports = st.builds(
    ConveyorReport,
    boot_id=st.integers(1, 2), echo=echoes, state=st.integers(0, 19), mode=st.integers(0, 4),
    zones=st.lists(zones, min_size=ZONES, max_size=ZONES).map(tuple),
)  # fmt: skip
links = st.sampled_from(["up", "uncertain", "down"])


def report(*levels: Zone, state: int = 6, boot_id: int = 1) -> ConveyorReport:
    return ConveyorReport(boot_id, Echo(), state, 1, levels)


def connected(zones_count: int) -> Conveyor:
    conveyor = cv.new("C1", zones_count)
    conveyor.health.link_changed("up", "connected", 1)
    return conveyor


def follow(loads: dict[int, int], facts: list[Fact]) -> None:
    """Book named loads by facts alone; a fact that does not fit the books fails."""
    for fact in facts:
        if isinstance(fact, ZoneLeft):
            assert loads.pop(fact.zone) == fact.track_id != 0
        elif isinstance(fact, ZoneTaken):
            assert fact.zone not in loads
            if fact.track_id:
                loads[fact.zone] = fact.track_id


def follow_faults(standing: dict[str, str], facts: list[Fact]) -> None:
    for fact in facts:
        if isinstance(fact, Faulted):
            assert fact.part not in standing
            standing[fact.part] = fact.code
        elif isinstance(fact, FaultCleared):
            assert standing.pop(fact.part) == fact.code


def assert_pictured(conveyor: Conveyor, seen: ConveyorReport) -> None:
    assert conveyor.state == STATE_BY_NUMBER.get(seen.state, f"number {seen.state}")
    assert (conveyor.boot_id, conveyor.echo, conveyor.packml_mode) == (seen.boot_id, seen.echo, seen.mode)
    for known, zone in zip(conveyor.zones, seen.zones, strict=True):
        jammed = zone.jam_at_arrival or zone.jam_at_sensor
        level = "occupied" if zone.occupied else "empty"
        assert known.state == ("faulted" if zone.fault else "jammed" if jammed else level)
        assert (known.occupied, known.track_id) == (zone.occupied, zone.track_id)
        assert (known.arrivals, known.departures) == (zone.arrivals, zone.departures)


@settings(max_examples=300)
@given(steps=st.lists(st.one_of(reports, links), max_size=20))
def test_any_sequence(steps: list[ConveyorReport | str]) -> None:
    conveyor = cv.new("C1", ZONES)
    loads: dict[int, int] = {}
    faults: dict[str, str] = {}
    for at_ns, step in enumerate(steps):
        if isinstance(step, str):
            conveyor.health.link_changed(step, "test", at_ns)  # type: ignore[arg-type]
            continue
        booted = conveyor.boot_id
        facts = cv.observe(conveyor, step)
        follow(loads, facts)
        follow_faults(faults, facts)
        assert loads == {n: z.track_id for n, z in enumerate(step.zones, 1) if z.occupied and z.track_id}
        assert (Restarted("C1", step.boot_id) in facts) is (booted not in (None, step.boot_id))
        assert_pictured(conveyor, step)
        assert conveyor.health.reported
        assert cv.observe(conveyor, step) == []
        usable = conveyor.health.link == "up" and step.state == 6 and step.mode == 1
        assert (conveyor.refusal() is None) is usable
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(conveyor), type=Conveyor) == conveyor


class Line:
    """A line of zones as a PLC would run it, for as long as it is not looked at."""

    def __init__(self, zones_count: int, counter: int) -> None:
        self.arrivals = [counter] * zones_count
        self.departures = [counter] * zones_count
        self.track: list[int | None] = [None] * zones_count
        self.next_track = 1

    def act(self, action: str, zone: int) -> None:
        last = len(self.track) - 1
        if action == "arrive" and self.track[0] is None:
            self.track[0] = 0
            self.arrivals[0] = (self.arrivals[0] + 1) % 65_536
        elif action == "name" and self.track[0] == 0:
            self.track[0] = self.next_track
            self.next_track += 1
        elif action == "move" and zone < last and self.track[zone] and self.track[zone + 1] is None:
            self._go(zone)
            self.track[zone + 1] = self.track[zone]
            self.arrivals[zone + 1] = (self.arrivals[zone + 1] + 1) % 65_536
            self.track[zone] = None
        elif action == "leave" and self.track[last] is not None:
            self._go(last)
            self.track[last] = None
        elif action == "take away":
            self.track[zone] = None

    def _go(self, zone: int) -> None:
        self.departures[zone] = (self.departures[zone] + 1) % 65_536

    def report(self) -> ConveyorReport:
        return report(
            *(
                Zone(occupied=t is not None, track_id=t or 0, arrivals=a, departures=d)
                for t, a, d in zip(self.track, self.arrivals, self.departures, strict=True)
            )
        )


acts = st.tuples(st.sampled_from(["arrive", "name", "move", "move", "leave", "take away", "poll"]), st.integers(0, 3))


@settings(max_examples=300)
@given(actions=st.lists(acts, max_size=60), counter=st.sampled_from([0, 65_534, 65_535]))
def test_a_load_is_never_told_to_be_in_two_zones(actions: list[tuple[str, int]], counter: int) -> None:
    line = Line(4, counter)
    conveyor = connected(4)
    cv.observe(conveyor, line.report())
    places: dict[int, int] = {}
    for action, zone in actions:
        line.act(action, zone)
        if action != "poll":
            continue
        for fact in cv.observe(conveyor, line.report()):
            if isinstance(fact, ZoneLeft):
                assert places.pop(fact.track_id) == fact.zone
            elif isinstance(fact, ZoneTaken) and fact.track_id:
                assert fact.track_id not in places
                places[fact.track_id] = fact.zone
        assert places == {t: n for n, t in enumerate(line.track, 1) if t}


def test_a_load_leaves_its_zone_before_it_is_told_in_the_next() -> None:
    conveyor = connected(2)
    cv.observe(conveyor, report(Zone(occupied=True, track_id=7, arrivals=1), Zone()))
    facts = cv.observe(conveyor, report(Zone(arrivals=1, departures=1), Zone(occupied=True, track_id=7, arrivals=1)))
    assert facts[:2] == [ZoneLeft("C1", 1, 7), ZoneTaken("C1", 2, 7)]


def test_a_counter_that_rolls_over_is_one_arrival() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, report(Zone(occupied=True, arrivals=65_535, departures=65_534)))
    # The one load went and another came, between two reports; only the counters tell.
    facts = cv.observe(conveyor, report(Zone(occupied=True, arrivals=0, departures=65_535)))
    assert facts == [ZoneTaken("C1", 1, 0)]


def test_a_departure_counted_early_is_not_a_second_leaving() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, report(Zone(occupied=True, track_id=7, arrivals=1)))
    assert cv.observe(conveyor, report(Zone(occupied=True, track_id=7, arrivals=1, departures=1))) == []
    facts = cv.observe(conveyor, report(Zone(arrivals=1, departures=1)))
    assert [fact for fact in facts if isinstance(fact, ZoneLeft)] == [ZoneLeft("C1", 1, 7)]


def test_a_restart_that_resets_the_counters_moves_no_load() -> None:
    conveyor = connected(2)
    full = Zone(occupied=True, track_id=7, arrivals=40, departures=39)
    unnamed = Zone(occupied=True, arrivals=41, departures=40)
    cv.observe(conveyor, report(full, unnamed))
    after = report(Zone(occupied=True, track_id=7), Zone(occupied=True), boot_id=2)
    assert cv.observe(conveyor, after) == [Restarted("C1", 2)]


def test_a_restart_that_forgets_the_track_is_told() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, report(Zone(occupied=True, track_id=7)))
    facts = cv.observe(conveyor, report(Zone(occupied=True), boot_id=2))
    assert facts == [Restarted("C1", 2), ZoneLeft("C1", 1, 7), ZoneTaken("C1", 1, 0)]


def test_naming_a_load_is_no_leaving() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, report(Zone(occupied=True, arrivals=1)))
    assert cv.observe(conveyor, report(Zone(occupied=True, track_id=7, arrivals=1))) == [ZoneTaken("C1", 1, 7)]


def test_what_moved_during_an_outage_is_told_after_it() -> None:
    conveyor = connected(2)
    cv.observe(conveyor, report(Zone(occupied=True, track_id=7, arrivals=1), Zone()))
    conveyor.health.link_changed("down", "cable", 2)
    assert conveyor.refusal() == "link is down: cable"
    conveyor.health.link_changed("up", "connected", 3)
    assert conveyor.refusal() == "no report since the link came up"
    # Stopped and then at work again by hand meanwhile: after an outage that is no jump.
    facts = cv.observe(
        conveyor, report(Zone(arrivals=1, departures=1), Zone(occupied=True, track_id=7, arrivals=1), state=9)
    )
    assert [type(fact) for fact in facts] == [StateChanged, Faulted, ZoneLeft, ZoneTaken, StateChanged, StateChanged]
    assert conveyor.refusal() == "PLC state is Aborted, not Execute"


def test_a_jump_is_told_once_and_a_way_through_the_table_is_none() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, report(Zone()))
    assert cv.observe(conveyor, report(Zone(), state=11)) == [StateChanged("C1", "machine", "Execute", "Held")]
    cv.observe(conveyor, report(Zone(), state=9))
    facts = cv.observe(conveyor, report(Zone(), state=6))
    assert facts == [
        Irregular("C1", "machine state jumped from Aborted to Execute"),
        StateChanged("C1", "machine", "Aborted", "Execute"),
        FaultCleared("C1", "machine", "aborted"),
    ]


@pytest.mark.parametrize("first", [True, False])
def test_a_state_that_packml_does_not_know_stops_the_use_of_the_conveyor(first: bool) -> None:
    conveyor = connected(1)
    if not first:
        cv.observe(conveyor, report(Zone()))
        assert conveyor.refusal() is None
    facts = cv.observe(conveyor, report(Zone(), state=42))
    assert sum(isinstance(fact, Irregular) for fact in facts) == 1
    assert conveyor.refusal() == "PLC state is number 42, not Execute"
    assert cv.observe(conveyor, report(Zone(), state=42)) == []
    cv.observe(conveyor, report(Zone()))
    assert conveyor.refusal() is None


def test_a_report_with_other_zones_makes_the_conveyor_unusable() -> None:
    conveyor = connected(2)
    cv.observe(conveyor, report(Zone(), Zone()))
    facts = cv.observe(conveyor, report(Zone(), Zone(), Zone()))
    assert facts == [Irregular("C1", "report has 3 zones, configured 2")]
    assert conveyor.refusal() is not None
    cv.observe(conveyor, report(Zone(), Zone()))
    assert conveyor.refusal() is None


def _values() -> dict[str, bool | int | float | str | None]:
    levels = {"occupied": True, "running": False, "held": True, "jam_at_arrival": False, "jam_at_sensor": False}
    zone: dict[str, bool | int] = {**levels, "fault": False, "arrivals": 65_535, "departures": 3, "track_id": 2**32 - 1}
    status = {"boot_id": 4, "ack_seq": 2, "done_seq": 1, "result": 1, "epoch": 7, "state": 6, "mode": 1}
    return {**status, **{f"zone.1.{name}": value for name, value in zone.items()}}


def test_decode_and_encode() -> None:
    zone = Zone(occupied=True, held=True, arrivals=65_535, departures=3, track_id=2**32 - 1)
    assert cv.decode(_values(), 1) == ConveyorReport(4, Echo(2, 1, 1, 7), 6, 1, (zone,))
    with pytest.raises(KeyError):
        cv.decode(_values(), 2)
    with pytest.raises(msgspec.ValidationError):
        cv.decode({**_values(), "zone.1.arrivals": "many"}, 1)
    assert cv.encode(Induct(1, 9)) == {"cmd_code": 1, "cmd_zone": 1, "cmd_track_id": 9}
    assert cv.encode(Discharge(4, 9)) == {"cmd_code": 2, "cmd_zone": 4, "cmd_track_id": 9}
    assert cv.encode(ResetZone(2)) == {"cmd_code": 3, "cmd_zone": 2, "cmd_track_id": 0}


def test_a_drive_fault_is_told_until_it_has_gone() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, report(Zone()))
    text = "drive fault: check the motor, then reset the zone"
    assert cv.observe(conveyor, report(Zone(fault=True, jam_at_sensor=True))) == [
        StateChanged("C1", "zone 1", "empty", "faulted"),
        Faulted("C1", "zone 1", "faulted", text),
    ]
    facts = cv.observe(conveyor, report(Zone(occupied=True)))
    assert FaultCleared("C1", "zone 1", "faulted") in facts


def test_a_plc_that_is_not_in_produce_is_left_alone() -> None:
    conveyor = connected(1)
    cv.observe(conveyor, msgspec.structs.replace(report(Zone()), mode=3))
    assert conveyor.refusal() == "PLC is in mode 3, not Produce"


def test_a_first_report_may_show_any_state() -> None:
    """Whatever happened before the link came up was seen by nobody: no jump."""
    conveyor = connected(1)
    assert cv.observe(conveyor, report(Zone(), state=17)) == [StateChanged("C1", "machine", "Stopped", "Complete")]
