"""A feed that no plant gives: a large site in motion, told to a page in place of the gateway's."""

from __future__ import annotations

import json
import math
import time
from typing import Any

PITCH_MM = 3_000
COLUMNS, ROWS = 41, 21
CONVEYORS, ZONES = 10, 40
RACKED = 1_600


def site() -> dict[str, Any]:
    """A grid of aisles, ten conveyors of forty zones, racks along the upper edge."""
    nodes = {f"N{x}-{y}": {"x_mm": x * PITCH_MM, "y_mm": y * PITCH_MM} for x in range(COLUMNS) for y in range(ROWS)}
    across = [(f"N{x}-{y}", f"N{x + 1}-{y}") for x in range(COLUMNS - 1) for y in range(ROWS)]
    along = [(f"N{x}-{y}", f"N{x}-{y + 1}") for x in range(COLUMNS) for y in range(ROWS - 1)]
    edges = [{"from": a, "to": b, "both_ways": False, "speed_max_mm_s": 2_000} for a, b in across + along]
    racks = {f"RACK-{x}": {"kind": "rack", "capacity": 60, "node": f"N{x}-{ROWS - 1}"} for x in range(COLUMNS)}
    places = {f"IN-{n}": {"kind": "transfer", "capacity": 1, "node": ""} for n in range(CONVEYORS)}
    sizes = {"zones": ZONES, "zone_length_mm": 700, "speed_mm_s": 600}
    devices: dict[str, Any] = {
        f"C{n}": {
            "type": "conveyor", **sizes,
            "runs": [{"run": f"C{n}.1", "from": f"IN-{n}", "to": "", "zone_first": 1, "zone_last": ZONES}],
        }
        for n in range(CONVEYORS)
    }  # fmt: skip
    for n in range(200):
        devices[f"AGV{n}"] = {"type": "agv", "home": "N0-0", "speed_max_mm_s": 2_000, "battery_min_percent": 20}
    return {
        "id": "large", "name": "Large", "timezone": "UTC", "map": {"id": "m", "nodes": nodes, "edges": edges},
        "locations": racks | places, "devices": devices, "people": {}, "sort_plan": None,
    }  # fmt: skip


HEAD = {
    "mode": "automatic", "held": "", "link": "up", "link_reason": "", "link_since_ms": 1, "why": "", "unknown": [],
}  # fmt: skip


def vehicle(n: int) -> dict[str, Any]:
    return HEAD | {
        "type": "agv", "state": "driving", "operating_mode": "AUTOMATIC", "node": "N0-0", "charging": False,
        "battery_percent": 70 + n % 30, "localised": True, "load": f"V{n}" if n % 2 else "", "carries_for": "",
        "dest": "", "base": ["N0-0"], "horizon": [], "waits_for": "", "waits_since_ms": 0, "errors": [], "asks": "",
    }  # fmt: skip


def positions(tick: int) -> dict[str, Any]:
    """All vehicles on circles, 200 mm further each tick."""
    found = {}
    for n in range(200):
        turn = tick / 40 + n
        x, y, r = (n % 20 + 0.5) * 6_000, (n // 20 + 0.5) * 6_000, 2_000 + n % 7 * 300
        found[f"AGV{n}"] = {
            "x_mm": round(x + r * math.cos(turn)), "y_mm": round(y + r * math.sin(turn)),
            "theta_mrad": round((turn + math.pi / 2) * 1000), "speed_mm_s": 1_500, "map": "m",
        }  # fmt: skip
    return found


def zones(tick: int) -> dict[str, Any]:
    """Every conveyor full, all loads one zone further each second."""
    step = tick // 10
    return {
        f"C{n}.{z}": {"state": "occupied", "occupied": True, "load": f"L{n}-{(z - step) % ZONES}"}
        for n in range(CONVEYORS)
        for z in range(1, ZONES + 1)
    }


def snapshot() -> str:
    load = {"barcodes": [], "order": "", "task": "", "unsure": "", "since_ms": 1}
    loads = {f"R{n}": load | {"location": f"RACK-{n % COLUMNS}"} for n in range(RACKED)}
    loads |= {f"L{n}-{z}": load | {"location": f"C{n}"} for n in range(CONVEYORS) for z in range(ZONES)}
    devices = {f"AGV{n}": vehicle(n) for n in range(200)}
    devices |= {f"C{n}": HEAD | {"type": "conveyor", "state": "Execute", "packml_mode": 1} for n in range(CONVEYORS)}
    now_ms = time.time_ns() // 1_000_000
    return json.dumps({
        "type": "snapshot", "seq": 1, "at_ms": now_ms, "epoch": 1, "begins": True, "more": False, "topics": [],
        "gateway": {"status": "healthy", "time_ms": now_ms}, "site": site(), "devices": devices, "zones": zones(0),
        "positions": positions(0), "loads": loads, "tally": {"orders_open": 0},
    })  # fmt: skip


def diff(tick: int) -> str:
    found: dict[str, Any] = {
        "type": "diff", "seq": tick + 1, "at_ms": time.time_ns() // 1_000_000, "positions": positions(tick),
    }  # fmt: skip
    if tick % 10 == 0:
        found["zones"] = zones(tick)
    return json.dumps(found)
