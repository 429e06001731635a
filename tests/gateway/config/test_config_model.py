"""What does not fit the model is told in plain words at its own place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.shell.config import load

SITE = "site: {id: s, name: S}\n"


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("zones: 6", "▶zonse: 6", "unknown key 'zonse'", "did you mean 'zones'?"),
        ("capacity: 9", "capacity: ▶nine", "'capacity' must be a whole number, not 'nine'", ""),
        ("capacity: 9", "capacity: ▶1.5", "'capacity' must be a whole number, not '1.5'", ""),
        ("capacity: 9", "capacity: ▶0", "'capacity' is 0; it must be at least 1", ""),
        ("capacity: 9", "capacity: ▶true", "'capacity' must be a number, not 'true'", ""),
        ("capacity: 9", "capacity: ▶[1]", "'capacity' must be a whole number, not a list", ""),
        ("capacity: 9", "capacity: ▶", "'capacity' has no value", "write a value"),
        ("capacity: 9", "capacity: ▶" + "9" * 5000, "'capacity' must be a whole number", ""),
        ("x_mm: 6000", "x_mm: ▶6 m", "node C: 'x_mm' must be a whole number of mm, not '6 m'", ""),
        ("id: RACK,", "id: ▶007,", "'id' must be a text, not 007", 'put it in quotes: "007"'),
        ("id: RACK,", "id: ▶'R 1',", "'id' cannot be 'R 1'", "letters, digits"),
        ("kind: rack", "kind: ▶rak", "location RACK: 'kind' is 'rak'", "did you mean 'rack'?"),
        ("driver: modbus", "driver: ▶modbsu", "conveyor C1: 'driver' is 'modbsu'", "did you mean 'modbus'?"),
        ("{host: 10.0.0.1}", "{host: 10.0.0.1, port: ▶70000}", "'port' is 70000; it must be at most 65535", ""),
        ("{host: 10.0.0.1}", "{▶hots: 10.0.0.1}", "conveyor C1: unknown key 'hots'", "did you mean 'host'?"),
        ("{host: 10.0.0.1}", "▶10.0.0.1", "'connection' must be a block of keys, not '10.0.0.1'", "key: value"),
        ("opc.tcp://10.0.0.2:4840/", "▶http://10.0.0.2", "'url' cannot be 'http://10.0.0.2'", "opc.tcp://host:4840/"),
        ("serial: a-1", "serial: ▶a/1", "'serial' cannot be 'a/1'", "letters, digits"),
        ("type: workstation", "type: ▶workstatoin", "device WS1: unknown device type", "did you mean 'workstation'?"),
        ("{id: WS1, type: workstation,", "{▶id: WS1,", "device WS1: 'type' is missing", "add 'type:'"),
        ("[1, 3]", "▶3", "'lanes' must be a list, not '3'", "[a, b]"),
        ("[1, 3]", "▶[]", "'lanes' needs at least 1 entry", ""),
        ("[1, 3]", "[1, ▶x]", "'lanes, entry 2' must be a whole number, not 'x'", ""),
        ("[1, 3]", "▶[1, 3, 1, 3, 1]", "'lanes' has more than 4 entries", "remove some"),
        ("    NORTH:", "    ▶'NOR TH':", "cannot be 'NOR TH'", "letters, digits"),
        ("{id: anna, skills: [pick]}", "▶anna", "must be a block of keys, not 'anna'", ""),
        ("skills: [pick]", "skills: [▶[pick]]", "person anna: 'skills, entry 1' must be a text, not a list", ""),
        ("both_ways: true}\n    - {from: B, to: C", "both_ways: ▶maybe}\n    - {from: B, to: C",
         "edge A → B: 'both_ways' must be true or false, not 'maybe'", ""),
        ("{id: small, name: Small}", "{▶id: small}", "'name' is missing", "add 'name:'"),
        ("{id: small, name: Small}", "{id: small, name: ▶{}}", "'name' must be a text, not a block of keys", ""),
        ("sort_plan:", "▶sortplan:", "unknown key 'sortplan'", "did you mean 'sort_plan'?"),
    ],
)  # fmt: skip
def test_every_kind_of_wrong_value(breaks: Any, old: str, new: str, message: str, hint: str) -> None:
    breaks(old, new, message, hint=hint)


def test_a_missing_key_points_to_its_block(breaks: Any) -> None:
    breaks("  - id: AGV2\n    type: agv\n", "  - ▶type: agv\n", "device without id: 'id' is missing", hint="add 'id:'")


def test_several_missing_keys(breaks: Any) -> None:
    new = "    driver: modbus\n    zones: 2\n"
    old = "    driver: modbus\n    profile: stellwerk-conveyor\n    connection: {host: 10.0.0.1}\n    zones: 6\n"
    problems = breaks(
        "  - id: C1\n    type: conveyor\n" + old, "  - ▶id: C1\n    type: conveyor\n" + new, "'profile' is missing"
    )
    assert problems[0].hint == "add 'profile:'"


def test_no_site_at_all(expect: Any) -> None:
    expect("▶people: []\n", "'site' is missing")


PROFILE = """\
profiles:
  - profile: own
    device_type: conveyor
    protocol: modbus
    groups:
      - group: zone
        count: {count}
        signals: [{{name: x, type: {type}, table: holding, address: {address}}}]
"""


@pytest.mark.parametrize(
    ("count", "type_", "address", "message", "hint"),
    [
        ("▶zone", "bool", "1", "profile own: group zone: 'count' cannot be 'zone'", "'zones' or 'lanes'"),
        ("▶0", "bool", "1", "'count' cannot be '0'", "whole number within its limits"),
        ("2", "▶uint15", "1", "profile own: group zone: signal x: 'type' is 'uint15'", "did you mean 'uint16'?"),
        ("2", "bool", "▶70000", "'address' is 70000; it must be at most 65535", ""),
    ],
)
def test_profiles(expect: Any, count: str, type_: str, address: str, message: str, hint: str) -> None:
    expect(SITE + PROFILE.format(count=count, type=type_, address=address), message, hint=hint)


def test_all_problems_in_one_run(expect: Any) -> None:
    """Syntax of values, keys, references and cross-checks, each told once and at its own place."""
    expect(
        """\
site: {id: s, name: S, timezone: ▶Europe/Berln}
map:
  nodes:
    - {id: N1, x_mm: 0, y_mm: 0}
    - {id: ▶N1, x_mm: 0, y_mm: 0}
    - {id: N2, x_mm: 0, y_mm: ▶zwölf}
  edges:
    - {from: N1, to: ▶N9}
    - {from: N1, to: N2}
locations:
  - {id: L1, kind: ▶rak, node: N1}
  - {id: L2, kind: rack, node: ▶N3, ▶size: 2}
  - {id: L3, kind: rack, node: N2}
devices:
  - id: C1
    type: conveyor
    driver: modbus
    profile: ▶stellwerk-conveyr
    connection: {▶prt: 5}
    zones: 10
    runs: [{from: L1, to: L3, zone_first: 3, zone_last: ▶2, loads_max: 1}]
  - ▶id: A1
    type: agv
    driver: vda5050
    profile: vda5050-2.1
    connection: {manufacturer: x, serial: ▶"${SERIAL}"}
people: [{id: a, skills: [x]}]
""",
        "timezone 'Europe/Berln'",
        "the id 'N1' is taken",
        "'y_mm' must be a whole number of mm",
        "unknown node 'N9'",
        "'kind' is 'rak'",
        "unknown node 'N3'",
        "unknown key 'size'",
        "unknown profile 'stellwerk-conveyr'",
        "unknown key 'prt'",
        "runs backwards",
        "agv A1: 'home' is missing",
        "variable SERIAL is not set",
    )


def test_endless_errors_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE + "people: [" + "x, " * 10_050 + "]\n")
    problems = load(path, {}).problems
    assert len(problems) == 10_001
    assert any("more than 10000 values do not fit" in problem.message for problem in problems)
