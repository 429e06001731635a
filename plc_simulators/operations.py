"""What the control channel can ask of a rig, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plc_simulators.rig import Rig


class RequestError(ValueError):
    """The request is not one; the text says what would be."""


async def answer(rig: Rig, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do one request and give its answer without `ok`. Raises ValueError with a text for the caller."""
    operation = request.get("op")
    if operation == "put":
        return _put(rig, request)
    if operation == "fault":
        return await _fault(rig, request)
    if operation == "loads":
        return {"loads": rig.plant.loads(), "shipped": dict(rig.plant.shipped)}
    if operation == "stats":
        return {"stats": stats(rig), "plant_ms": rig.plant.now_ns // 1_000_000, "speed": rig.speed}
    if operation == "faults":
        active = rig.plant.faults.active()
        return {"faults": [{"kind": f.kind, "device": f.device, "number": f.number} for f in active]}
    if operation == "stop":
        rig.stop_asked.set()
        return {}
    raise RequestError(f"op {operation!r} is unknown; known are put, fault, faults, loads, stats, stop")


def _put(rig: Rig, request: Mapping[str, Any]) -> dict[str, Any]:
    load, location, barcodes = request.get("load"), request.get("location"), request.get("barcodes", [])
    if not isinstance(load, str) or not isinstance(location, str):
        raise RequestError("put needs a load and a location, both strings")
    if not isinstance(barcodes, list) or not all(isinstance(code, str) for code in barcodes):
        raise RequestError("put: barcodes must be an array of strings")
    rig.plant.put(load, barcodes, location)
    return {}


async def _fault(rig: Rig, request: Mapping[str, Any]) -> dict[str, Any]:
    where = {key: value for key, value in request.items() if key not in ("op", "kind", "device", "on")}
    kind, device, on = request.get("kind"), request.get("device"), request.get("on", True)
    if not isinstance(kind, str) or not isinstance(device, str) or not isinstance(on, bool):
        raise RequestError("fault needs a kind and a device, both strings, and on: true or false")
    await rig.fault(kind, device, on, **where)
    return {}


def stats(rig: Rig) -> dict[str, dict[str, Any]]:
    """Counts by device, for checks from outside: `repeated` must stay 0."""
    found: dict[str, dict[str, Any]] = {}
    for name, controller in rig.plant.controllers().items():
        box = controller.mailbox
        found[name] = {
            "accepted": box.accepted,
            "executed": box.executed,
            "repeated": box.repeated,
            "boot_id": controller.boot_id,
            "safe": controller.life.safe,
        }
    for name, sorter in rig.plant.sorters.items():
        found[name]["sorted"] = {str(number): lane.sorted for number, lane in sorter.lanes.items()}
        found[name]["events"] = {"wr": sorter.ring.wr, "overwritten": sorter.ring.overwritten}
        found[name]["scan_to_assign_ms"] = _percentiles(list(rig.opcua[name].latency_ms))
    for name, cell in rig.plant.cells.items():
        found[name] |= {"processed": cell.processed, "defective": cell.defective}
    for name, agv in rig.plant.vehicles.items():
        found[name] = {
            "accepted": agv.orders_accepted,
            "executed": agv.actions_done,
            "refused": agv.orders_refused,
            "repeated": agv.repeated,
            "battery_percent": round(agv.battery_percent, 1),
            "node": agv.last_node,
        }
    return found


def _percentiles(samples: list[float]) -> dict[str, float | int | None]:
    """Median and 99th percentile of the newest samples, None while there are none."""
    samples.sort()
    if not samples:
        return {"samples": 0, "p50": None, "p99": None}
    last = len(samples) - 1
    return {
        "samples": len(samples),
        "p50": round(samples[last // 2], 3),
        "p99": round(samples[last * 99 // 100], 3),
    }
