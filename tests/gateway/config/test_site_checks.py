"""Cross-checks, each seen from the outside: a sound site, one slip, its place and its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.contract import Scalar
from gateway.devices import conveyor, robot_cell, sorter
from gateway.site.checks_signals import EVENT, GROUPS, READ, WRITE

C1_RUN = "      - {from: C1-IN, to: S1-IN, zone_first: 1, zone_last: 4, loads_max: 3}\n"
LANES = "      - {lane: 3, location: RC1-IN}\n"
SPUR_C = "    - {from: B, to: C, both_ways: true}\n"


@pytest.mark.parametrize(
    ("old", "new", "messages", "hint"),
    [
        # ids
        ("  - {id: LANE-1,", "  - {id: ▶RACK, kind: lane, node: A}\n  - {id: LANE-1,",
         ["'RACK' is taken by another device or location"], ""),
        ("- {id: WS1,", "- {id: ▶RACK,", ["'RACK' is taken by another device or location"], "shared by devices"),
        ("- {id: WS1,", "- {id: ▶AGV2,", ["'AGV2' is taken by another device or location"], ""),
        ("    - {id: B, x_mm", "    - {id: ▶A, x_mm: 1, y_mm: 1}\n    - {id: B, x_mm",
         ["'A' is taken by another node"], ""),
        ("skills: [pick]}", "skills: [pick]}\n  - {id: ▶anna, skills: [x]}", ["taken by another person"], ""),
        ("- {id: wms}", "- {id: wms}\n  - {id: ▶wms}", ["taken by another channel"], ""),
        (SPUR_C, SPUR_C + "    - {from: C, to: ▶B}\n", ["edge C → B stands here twice"], "both_ways"),
        (SPUR_C, SPUR_C + "    - {from: C, to: ▶C}\n", ["leads back to where it begins"], ""),
        # references
        ("profile: vda5050-2.1\n    connection: {manufacturer: acme, serial: a-2}",
         "profile: ▶vda5050-21\n    connection: {manufacturer: acme, serial: a-2}",
         ["unknown profile 'vda5050-21' in agv AGV2"], "did you mean 'vda5050-2.1'?"),
        ("node: C}", "node: ▶CC}", ["unknown node 'CC' in location RC1-OUT"], "did you mean 'C'?"),
        ("from: B, to: C", "from: B, to: ▶Q9", ["unknown node 'Q9' in edge B → Q9"], "map: nodes"),
        ("home: H2", "home: ▶RACK", ["unknown node 'RACK' in agv AGV2"], "'RACK' is a location"),
        ("location: LANE-1}", "location: ▶LANE-9}", ["unknown location 'LANE-9' in sorter S1"], "did you mean"),
        ("outfeed: RC1-OUT", "outfeed: ▶AGV1", ["unknown location 'AGV1' in robot_cell RC1"], "is a device"),
        ("workstation, location: LANE-2", "workstation, location: ▶H1", ["unknown location 'H1'"], "is a node"),
        ("{sorter: S1,", "{sorter: ▶RC1,", ["unknown sorter 'RC1' in destination NORTH"], "not a sorter"),
        ("{sorter: S1,", "{sorter: ▶S11,", ["unknown sorter 'S11' in destination NORTH"], "did you mean 'S1'?"),
        # profile and device
        ("profile: stellwerk-robot-cell", "profile: ▶stellwerk-sorter",
         ["the profile 'stellwerk-sorter' of robot_cell RC1 is written for a sorter"], "for a robot_cell"),
        # addresses
        ("serial: a-2", "serial: ▶a-1", ["agv AGV2 and AGV1 have the same address acme/a-1 on 127.0.0.1:1883"], ""),
        ("opc.tcp://10.0.0.3:4840/", "▶OPC.tcp://10.0.0.2", ["'url' cannot be"], ""),
        ("opc.tcp://10.0.0.3:4840/", "▶opc.tcp://10.0.0.2", ["robot_cell RC1 and S1 have the same address"], ""),
        # runs
        ("zone_last: 4", "zone_last: ▶7", ["uses zone 7; C1 has 6"], "raise 'zones'"),
        ("zone_first: 1, zone_last: 4", "zone_first: 5, zone_last: ▶4", ["runs backwards, from zone 5 to 4"], ""),
        (C1_RUN, C1_RUN + "      - {from: RACK, to: LANE-1, zone_first: ▶4, zone_last: 6, loads_max: 1}\n",
         ["run RACK → LANE-1 shares zone 4 with another run"], "one run"),
        (C1_RUN, C1_RUN + "      - {from: ▶C1-IN, to: LANE-1, zone_first: 5, zone_last: 6, loads_max: 1}\n",
         ["location C1-IN is taken from by a run of conveyor C1 and by a run of conveyor C1"], "one run"),
        (C1_RUN, C1_RUN + "      - {from: RACK, to: ▶RACK, zone_first: 5, zone_last: 6, loads_max: 1}\n",
         ["ends where it begins"], ""),
        ("infeed: RC1-IN\n    outfeed: RC1-OUT", "infeed: RC1-OUT\n    outfeed: ▶RC1-OUT",
         ["'RC1-OUT' is both its infeed and its outfeed"], ""),
        # lanes and the sort plan
        (LANES, LANES + "      - {lane: ▶2, location: LANE-1}\n", ["lane 2 stands here twice"], ""),
        (LANES, LANES + "      - {lane: ▶5, location: LANE-1}\n",
         ["lane 4 is missing; lanes are numbered"], "as the PLC"),
        (LANES, "      - {lane: 3, location: RC1-IN}\n      - {lane: 4, location: ▶S1-IN}\n",
         ["lane 4 leads to its own infeed"], ""),
        ("reject_lane: 2", "reject_lane: ▶9", ["the reject lane 9 is not one of its lanes"], "the lanes are 1, 2, 3"),
        ("lanes: [1, 3]", "lanes: [1, ▶9]", ["sorter S1 has no lane 9"], "the lanes are 1, 2, 3"),
        ("lanes: [1, 3]", "lanes: [1, ▶2]", ["lane 2 is the reject lane of S1"], ""),
        ("lanes: [1, 3]", "lanes: [1, ▶1]", ["lane 1 stands here twice"], ""),
        # homes and the roadmap
        ("home: H2", "home: ▶H1", ["agv AGV2 has the home H1 of AGV1"], "of its own"),
        ("home: H2", "home: ▶C", ["parks at C, where vehicles serve location RC1-OUT"], "without a location"),
        # service
        ("  - {id: LANE-1, kind: lane}\n", "  - {id: LANE-1, kind: lane}\n  - {id: ▶FAR, kind: rack}\n",
         ["location FAR is out of reach"], "give it a 'node'"),
        # time zone, which the shell looks up
        ("name: Small}", "name: Small, timezone: ▶Mars/Olympus}", ["'Mars/Olympus' is unknown"], ""),
        ("name: Small}", "name: Small, timezone: ▶../etc/passwd}", ["is unknown on this machine"], ""),
    ],
)  # fmt: skip
def test_every_slip(breaks: Any, old: str, new: str, messages: list[str], hint: str) -> None:
    breaks(old, new, *messages, hint=hint)


SPUR_H2 = "    - {from: B, to: H2, both_ways: true}\n"


@pytest.mark.parametrize(
    ("old", "new", "at", "message", "hint"),
    [
        (SPUR_H2, "    - {from: B, to: H2}\n", "home: H2", "agv AGV2 cannot leave its home H2", "edge from it"),
        (SPUR_H2, "    - {from: H2, to: B}\n", "home: H2", "agv AGV2 cannot come back to its home H2", "edge to it"),
        (SPUR_H2, "    - {from: H1, to: H2}\n    - {from: B, to: H2}\n    - {from: H2, to: H1}\n", "home: H2",
         "agv AGV2 cannot leave its home H2", "not over another home"),
        (SPUR_C, "    - {from: B, to: C}\n", "node: C", "location RC1-OUT at node C is a dead end", "away from it"),
        (SPUR_C, "    - {from: C, to: B}\n", "node: C", "node C cannot be reached from the other", "edge to it"),
        (SPUR_C, "", "node: C", "location RC1-OUT at node C is cut off", "connect the node"),
        (SPUR_C, "    - {from: H2, to: C, both_ways: true}\n", "node: C",
         "can be reached or left only through the home node H2 of a vehicle", "around it"),
        (SPUR_C, "    - {from: B, to: C}\n    - {from: C, to: H2}\n", "node: C",
         "can be reached or left only through the home node H2 of a vehicle", "around it"),
    ],
)  # fmt: skip
def test_roadmap(expect: Any, sound: str, old: str, new: str, at: str, message: str, hint: str) -> None:
    assert sound.count(old) == sound.count(at) == 1
    key, value = at.split(": ")
    expect(sound.replace(old, new).replace(at, f"{key}: ▶{value}"), message, hint=hint)


def test_two_at_one_modbus_address(breaks: Any) -> None:
    more = """\
  - id: C9
    type: conveyor
    driver: modbus
    profile: stellwerk-conveyor
    connection: {port: ▶502, host: 10.0.0.1, unit: 1}
    zones: 2
    runs: [{from: LANE-1, to: LANE-2, zone_first: 1, zone_last: 2, loads_max: 1}]
  - id: AGV1
"""
    (problem,) = breaks("  - id: AGV1\n", more, "conveyor C9 and C1 have the same address 10.0.0.1:502 unit 1")
    assert "the other one: " in problem.message


def test_another_unit_at_the_same_gateway_is_fine(breaks: Any) -> None:
    more = """\
  - id: C9
    type: conveyor
    driver: modbus
    profile: stellwerk-conveyor
    connection: {port: 502, host: 10.0.0.1, unit: 2}
    zones: 2
    runs: [{from: LANE-1, to: LANE-2, zone_first: 1, zone_last: 2, loads_max: 1}]
  - id: AGV1
"""
    breaks("  - id: AGV1\n", more)


def test_a_site_without_vehicles_does_not_reach_its_nodes(expect: Any) -> None:
    text = """\
site: {id: s, name: S}
map: {nodes: [{id: A, x_mm: 0, y_mm: 0}]}
locations: [{id: ▶L, kind: rack, node: A}]
"""
    expect(text, "location L is out of reach", hint="no vehicles")


# --- the table of needed signals is what the device types really ask for ---


class Asked(Mapping[str, Scalar]):
    """Values that remember which signals were asked for."""

    def __init__(self, **given: Scalar) -> None:
        self.names: set[str] = set()
        self._given = given

    def __getitem__(self, name: str) -> Scalar:
        self.names.add(name)
        flags = ("occupied", "running", "held", "fault", "enabled", "full", "blocked", "starved")
        is_flag = name.endswith(flags) or "jam" in name
        return self._given.get(name, False if is_flag else 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@pytest.mark.parametrize("device_type", ["conveyor", "sorter", "robot_cell"])
def test_read_signals_are_those_that_decode_asks_for(device_type: str) -> None:
    asked = Asked()
    if device_type == "conveyor":
        conveyor.decode(asked, 1)
    elif device_type == "sorter":
        sorter.decode(asked, 1)
    else:
        robot_cell.decode(asked)
    groups = {f"{group}.1.{name}" for group, names in GROUPS[device_type].items() for name in names}
    # The heartbeat and the ring's pointer are the driver's own business.
    assert asked.names == (set(READ[device_type]) - {"hb_plc", "evt_wr"}) | groups


def test_ring_fields_are_those_that_decode_event_asks_for() -> None:
    asked = Asked(barcodes="")
    sorter.decode_event(asked)
    assert asked.names == set(EVENT) - {"seq"}


def test_write_signals_are_those_that_encode_gives() -> None:
    own = {"hb_gw", "cmd_epoch", "cmd_seq"}  # the driver adds them
    assert set(conveyor.encode(conveyor.Induct(1, 2))) == set(WRITE["conveyor"]) - own
    assert set(sorter.encode(sorter.Assign(1, (1,), 5))) == set(WRITE["sorter"]) - own - {"evt_rd"}
    assert set(robot_cell.encode(robot_cell.Control("Start"))) == set(WRITE["robot_cell"]) - own
