"""A small sound site, and a way to break it: the mark ▶ stands where a problem is expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.shell.config import Problem, load

MARK = "▶"
SOUND = """\
site: {id: small, name: Small}
map:
  nodes:
    - {id: A, x_mm: 0, y_mm: 0}
    - {id: B, x_mm: 3000, y_mm: 0}
    - {id: C, x_mm: 6000, y_mm: 0}
    - {id: H1, x_mm: 0, y_mm: 3000}
    - {id: H2, x_mm: 3000, y_mm: 3000}
  edges:
    - {from: A, to: B, both_ways: true}
    - {from: B, to: C, both_ways: true}
    - {from: A, to: H1, both_ways: true}
    - {from: B, to: H2, both_ways: true}
locations:
  - {id: RACK, kind: rack, capacity: 9, node: A}
  - {id: C1-IN, kind: transfer, node: B}
  - {id: S1-IN, kind: transfer}
  - {id: LANE-1, kind: lane}
  - {id: LANE-2, kind: lane}
  - {id: RC1-IN, kind: cell}
  - {id: RC1-OUT, kind: cell, node: C}
devices:
  - id: C1
    type: conveyor
    driver: modbus
    profile: stellwerk-conveyor
    connection: {host: 10.0.0.1}
    zones: 6
    runs:
      - {from: C1-IN, to: S1-IN, zone_first: 1, zone_last: 4, loads_max: 3}
  - id: S1
    type: sorter
    driver: opcua
    profile: stellwerk-sorter
    connection: {url: opc.tcp://10.0.0.2:4840/, security: none}
    infeed: S1-IN
    lanes:
      - {lane: 1, location: LANE-1}
      - {lane: 2, location: LANE-2}
      - {lane: 3, location: RC1-IN}
    reject_lane: 2
  - id: RC1
    type: robot_cell
    driver: opcua
    profile: stellwerk-robot-cell
    connection: {url: opc.tcp://10.0.0.3:4840/, security: none}
    infeed: RC1-IN
    outfeed: RC1-OUT
    skills: [decant]
  - id: AGV1
    type: agv
    driver: vda5050
    profile: vda5050-2.1
    connection: {manufacturer: acme, serial: a-1}
    home: H1
  - id: AGV2
    type: agv
    driver: vda5050
    profile: vda5050-2.1
    connection: {manufacturer: acme, serial: a-2}
    home: H2
  - {id: WS1, type: workstation, location: LANE-2}
sort_plan:
  id: daily
  destinations:
    NORTH: {sorter: S1, lanes: [1, 3]}
people:
  - {id: anna, skills: [pick]}
channels:
  - {id: wms}
"""

Place = tuple[int, int]


def unmark(text: str) -> tuple[str, list[Place]]:
    """The text without its marks, and where they stood (line, column from 1)."""
    places: list[Place] = []
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        while MARK in line:
            places.append((number, line.index(MARK) + 1))
            line = line.replace(MARK, "", 1)
        lines.append(line)
    return "\n".join(lines), places


Expect = Callable[..., list[Problem]]


@pytest.fixture
def expect(tmp_path: Path) -> Expect:
    """Load a marked text as a site of one file; the problems must stand exactly at the marks, in order."""

    def run(text: str, *messages: str, env: dict[str, str] | None = None, hint: str = "") -> list[Problem]:
        plain, places = unmark(text)
        path = tmp_path / "site.yaml"
        path.write_bytes(plain.encode())
        loaded = load(path, env or {})
        said = [f"{p.line}:{p.column}: {p.message} ({p.hint})" for p in loaded.problems]
        assert [(p.line, p.column) for p in loaded.problems] == places, said
        assert {p.file for p in loaded.problems} <= {str(path)}
        for problem, message in zip(loaded.problems, messages, strict=True):
            assert message in problem.message, said
        assert hint in "".join(p.hint for p in loaded.problems), said
        assert (loaded.site is None) == bool(places)
        return list(loaded.problems)

    return run


@pytest.fixture
def breaks(expect: Expect) -> Expect:
    """Break the sound site: replace `old` by `new`, which holds the marks."""

    def run(old: str, new: str, *messages: str, env: dict[str, str] | None = None, hint: str = "") -> list[Problem]:
        assert SOUND.count(old) == 1, f"{old!r} stands {SOUND.count(old)} times in the sound site"
        return expect(SOUND.replace(old, new), *messages, env=env, hint=hint)

    return run


@pytest.fixture
def sound() -> str:
    return SOUND
