"""`stellwerk import lif`: a layout as a vehicle maker's tool exports it, into a site that passes its checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import app
from gateway.shell.config import as_text, load


def edge(name: str, start: str, end: str, **speeds: float) -> dict[str, Any]:
    kinds = [{"vehicleTypeId": kind, "maxSpeed": speed, "rotationAllowed": False} for kind, speed in speeds.items()]
    return {"edgeId": name, "startNodeId": start, "endNodeId": end, "vehicleTypeEdgeProperties": kinds}


def node(name: str, x: float, y: float, *kinds: str) -> dict[str, Any]:
    entries = [{"vehicleTypeId": kind, "theta": 0.0, "actions": []} for kind in kinds]
    position = {"x": x, "y": y}
    return {"nodeId": name, "mapId": "hall", "nodePosition": position, "vehicleTypeNodeProperties": entries}


def hall() -> dict[str, Any]:
    return {
        "layoutId": "hall-1", "layoutName": "Hall 1", "layoutVersion": "7", "layoutLevelId": "",
        "nodes": [
            node("P1", 0.0, 0.0, "carrier", "tugger"), node("C1", 4.0005, 0.0, "carrier", "tugger"),
            node("R1", 4.0, 3.25, "carrier"), node("R2", 8.0, -3.25, "carrier"), node("T1", -4.0, 0.0, "tugger"),
        ],
        "edges": [
            edge("e1", "P1", "C1", carrier=1.5, tugger=0.8), edge("e2", "C1", "P1", carrier=1.5, tugger=0.8),
            edge("e3", "C1", "R1", carrier=0.5), edge("e4", "R1", "C1", carrier=0.3),
            edge("e5", "C1", "R2", carrier=1.1), edge("e6", "R2", "C1", carrier=1.1),
            edge("e7", "P1", "T1", tugger=0.8), edge("e8", "T1", "P1", tugger=0.8),
        ],
        "stations": [
            {"stationId": "RACK-1", "interactionNodeIds": ["R1"], "stationName": "Rack one", "stationHeight": 0.4},
            {"stationId": "RACK-2", "interactionNodeIds": ["R2", "C1"]},
        ],
    }  # fmt: skip


def written(folder: Path, *layouts: dict[str, Any], version: str = "1.0.0") -> Path:
    meta = {"projectIdentification": "p", "creator": "c", "exportTimestamp": "2026-01-01T00:00:00Z"}
    file = folder / "hall.lif.json"
    file.write_text(json.dumps({"metaInformation": {**meta, "lifVersion": version}, "layouts": list(layouts)}))
    return file


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", "lif", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_layout_becomes_a_map_and_locations_that_pass_the_checks(tmp_path: Path) -> None:
    code, text, _ = run(written(tmp_path, hall()), "--vehicle-type", "carrier")
    assert code == 0
    found = yaml.safe_load(text)
    assert found["map"]["id"] == "hall-1"
    assert {n["id"]: (n["x_mm"], n["y_mm"]) for n in found["map"]["nodes"]} == {
        "P1": (0, 0), "C1": (4000, 0), "R1": (4000, 3250), "R2": (8000, -3250),
    }  # fmt: skip
    assert found["map"]["edges"] == [
        {"from": "P1", "to": "C1", "both_ways": True, "speed_max_mm_s": 1500},
        {"from": "C1", "to": "R1", "speed_max_mm_s": 500},
        {"from": "R1", "to": "C1", "speed_max_mm_s": 300},
        {"from": "C1", "to": "R2", "both_ways": True, "speed_max_mm_s": 1100},
    ]
    places = {place["id"]: place["node"] for place in found["locations"]}
    assert places == {"RACK-1": "R1", "RACK-2-1": "R2", "RACK-2-2": "C1"}
    vehicle = {
        "id": "AGV1", "type": "agv", "driver": "vda5050", "profile": "vda5050-2.0", "home": "P1",
        "connection": {"manufacturer": "m", "serial": "s"},
    }  # fmt: skip
    site = tmp_path / "site.yaml"
    site.write_text(text + yaml.safe_dump({"site": {"id": "s", "name": "S"}, "devices": [vehicle]}))
    loaded = load(site, {})
    assert loaded.site is not None, as_text(loaded.problems, loaded.sources)


def test_all_types_together_drive_at_the_slowest_speed(tmp_path: Path) -> None:
    found = yaml.safe_load(run(written(tmp_path, hall()))[1])
    assert [n["id"] for n in found["map"]["nodes"]] == ["P1", "C1", "R1", "R2", "T1"]
    assert found["map"]["edges"][0]["speed_max_mm_s"] == 800


def test_several_layouts_need_a_name(tmp_path: Path) -> None:
    file = written(tmp_path, hall(), {**hall(), "layoutId": "hall-2"})
    code, out, error = run(file)
    assert (code, out) == (2, "")
    assert error == f"stellwerk import lif: {file}: 2 layouts (hall-1, hall-2): name one with --layout\n"
    code, out, _ = run(file, "--layout", "hall-2")
    assert (code, yaml.safe_load(out)["map"]["id"]) == (0, "hall-2")
    assert run(file, "--layout", "attic")[0] == 2


def test_out_never_overwrites_without_force(tmp_path: Path) -> None:
    file, out = written(tmp_path, hall()), tmp_path / "map.yaml"
    assert run(file, "--out", out) == (0, "", "")
    out.write_text("mine")
    code, _, error = run(file, "--out", out)
    assert (code, out.read_text()) == (2, "mine")
    assert "is there already" in error
    assert run(file, "--out", out, "--force")[0] == 0
    assert yaml.safe_load(out.read_text())["map"]["id"] == "hall-1"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"edges": [edge("e1", "P1", "Z9")]}, "edge e1: node 'Z9' is not in the layout"),
        ({"nodes": [*hall()["nodes"], node("P1", 9.0, 9.0)]}, "nodeId 'P1' occurs 2 times"),
        ({"edges": [edge("e1", "P1", "C1"), edge("e1", "C1", "P1")]}, "edgeId 'e1' occurs 2 times"),
        ({"edges": [edge("e1", "P1", "C1"), edge("e2", "P1", "C1")]}, "2 edges lead from P1 to C1"),
        ({"edges": [edge("e1", "P1", "C1", carrier=-1.0)]}, "edge e1: maxSpeed -1.0 m/s"),
        ({"stations": [{"stationId": "S", "interactionNodeIds": ["Z9"]}]}, "station S: node 'Z9' is not in"),
        ({"nodes": [*hall()["nodes"], node("a b", 0.0, 1.0)]}, "nodeId 'a b' can't be an id in a site"),
        ({"nodes": "none"}, "not LIF: Expected `array`, got `str` - at `$.layouts[0].nodes`"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    file = written(tmp_path, {**hall(), **change})
    code, out, error = run(file)
    assert (code, out) == (2, "")
    assert error.startswith(f"stellwerk import lif: {file}: {problem}")
    assert error.count("\n") == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, hall(), version="2.0.0")
    assert "lifVersion is '2.0.0', 1.x" in run(file)[2]
    assert "no vehicle type 'crane' in the layout; there are: carrier, tugger" in run(
        written(tmp_path, hall()), "--vehicle-type", "crane"
    )[2]  # fmt: skip
    file.write_text("nodes: []")
    code, _, error = run(file)
    assert (code, error.count("\n")) == (2, 1)
    assert f"{file}: not JSON" in error
    assert run(tmp_path / "nowhere.json")[0] == 2
