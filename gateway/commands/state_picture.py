"""A kernel's state as people want to read it: orders, devices, loads by place, trips, commands, alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.dispatch import explain
from gateway.dispatch.state import Device, Order, State
from gateway.shell.journal.moments import iso


def picture(state: State, site_id: str) -> dict[str, Any]:
    """Plain data, ready for JSON. Times are ISO 8601, UTC."""
    return {
        "site": site_id,
        "seq": state.seq,
        "time": iso(state.now_ns),
        "epoch": state.epoch,
        "orders": dict(Counter(order.state for order in state.orders.values())),
        "open_orders": [_order(state, order) for order in _open(state)],
        "devices": [_device(kind, device) for kind, group in _groups(state) for device in group.values()],
        "people": state.people,
        "loads": _loads(state),
        "trips": [_trip(state, vehicle) for vehicle in state.trips],
        "commands": [
            {
                "command": entry.command_id, "state": entry.state, "load": entry.load, "tries": entry.tries,
                "action": msgspec.to_builtins(entry.action),
            }
            for entry in state.ledger.values()
        ],
        "alarms": [
            {"alarm": alarm.alarm, "since": iso(alarm.raised_ns), "count": alarm.count, "text": alarm.text}
            for alarm in state.alarms.values()
            if alarm.active
        ],
    }  # fmt: skip


def _open(state: State) -> Iterator[Order]:
    released = sorted((state.orders[name] for name in state.released), key=Order.rank)
    yield from released
    yield from (state.orders[entry[-1]] for entry in state.queue)


def _order(state: State, order: Order) -> dict[str, Any]:
    why = explain.order(state, order.order)
    return {"order": order.order, "state": order.state, "client": order.client, "priority": order.priority, "why": why}


def _groups(state: State) -> Iterator[tuple[str, Mapping[str, Device]]]:
    yield "conveyor", state.conveyors
    yield "sorter", state.sorters
    yield "robot cell", state.cells
    yield "vehicle", state.agvs
    yield "workstation", state.stations


def _device(kind: str, device: Device) -> dict[str, Any]:
    health = device.health
    return {
        "device": device.device, "type": kind, "state": device.state, "link": health.link, "mode": health.mode,
        "refusal": health.refusal() or "",
    }  # fmt: skip


def _loads(state: State) -> dict[str, list[str]]:
    """Place → loads, in the order in which they came. Nobody knows where those at "?" are."""
    places: dict[str, list[str]] = {}
    for load in sorted(state.loads.values(), key=lambda load: (load.location, load.since_ns)):
        doubt = f" (unsure: {load.unsure})" if load.unsure else ""
        places.setdefault(load.location or "?", []).append(f"{load.load}{doubt}")
    return places


def _trip(state: State, vehicle: str) -> dict[str, Any]:
    trip = state.trips[vehicle]
    return {
        "vehicle": vehicle, "at": trip.nodes[trip.passed], "to": trip.nodes[-1], "load": trip.load,
        "from": trip.source, "dest": trip.dest, "released_to": trip.nodes[trip.released - 1],
        "waits_for": trip.waits_for,
    }  # fmt: skip


def as_text(seen: Mapping[str, Any]) -> str:
    return "\n".join(_lines(seen))


def _lines(seen: Mapping[str, Any]) -> Iterator[str]:
    yield f"site {seen['site']}, after input {seen['seq']}, {seen['time']}, epoch {seen['epoch']}"
    counts = ", ".join(f"{count} {state}" for state, count in sorted(seen["orders"].items()))
    yield f"\norders: {counts or 'none'}"
    for order in seen["open_orders"]:
        yield f"  {order['order']} ({order['client']}, priority {order['priority']}): {order['state']}"
        yield from (f"    {line}" for line in order["why"])
    yield "\ndevices"
    for device in seen["devices"]:
        said = "" if device["type"] == "workstation" else f"link {device['link']}, "
        refusal = f": {device['refusal']}" if device["refusal"] else ""
        yield f"  {device['device']:<10} {device['type']:<12} {device['state']:<12} {said}{device['mode']}{refusal}"
    yield f"\npeople: {', '.join(f'{person} at {place}' for person, place in seen['people'].items()) or 'nobody'}"
    yield f"\nloads: {sum(len(loads) for loads in seen['loads'].values())}"
    for place, loads in seen["loads"].items():
        yield f"  {place:<10} {', '.join(loads)}"
    yield f"\ntrips: {len(seen['trips'])}"
    for trip in seen["trips"]:
        what = f"{trip['load']} from {trip['from']} to {trip['dest']}" if trip["load"] else f"empty to {trip['to']}"
        waits = f", waits for {trip['waits_for']}" if trip["waits_for"] else ""
        yield f"  {trip['vehicle']:<10} at {trip['at']}, may go to {trip['released_to']}: {what}{waits}"
    yield f"\nopen commands: {len(seen['commands'])}"
    for command in seen["commands"]:
        action = ", ".join(f"{name} {value}" for name, value in command["action"].items() if not _is_long(value))
        load = f" for {command['load']}" if command["load"] else ""
        yield f"  {command['command']:<14} {command['state']}{load}: {action}"
    yield f"\nalarms: {len(seen['alarms'])}"
    for alarm in seen["alarms"]:
        yield f"  {alarm['alarm']} since {alarm['since']}: {alarm['text']}"


def _is_long(value: object) -> bool:
    return isinstance(value, list | dict) and len(value) > 4
