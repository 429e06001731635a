"""What came of a demo: figures from the gateway's state, held against what the plant itself says."""

from __future__ import annotations

from typing import Any

from gateway.dispatch import explain
from gateway.dispatch.state import ORDER_ENDED, State
from gateway.shell.inbox import Inbox


def collect(
    state: State, inbox: Inbox, loads: list[str], plant: dict[str, Any], stats: dict[str, Any]
) -> dict[str, Any]:
    """The summary as JSON-ready data. `plant`: the simulators' answer to `loads`, `stats`: to `stats`."""
    tally = state.tally
    still_open = [o.order for o in state.orders.values() if o.state not in ORDER_ENDED]
    there, shipped = {k: _place(v) for k, v in plant["loads"].items()}, plant["shipped"]
    lost = [x for x in loads if x not in there and x not in shipped]
    misplaced = {
        ld.load: {"gateway": ld.location or "unknown", "plant": there.get(ld.load) or shipped.get(ld.load) or "gone"}
        for ld in state.loads.values()
        if (there.get(ld.load) or shipped.get(ld.load)) != _place(ld.location)
    }
    devices: dict[str, Any] = stats["stats"]
    latency: dict[str, Any] = next((d["scan_to_assign_ms"] for d in devices.values() if "scan_to_assign_ms" in d), {})
    return {
        "orders": {
            "accepted": tally.orders_accepted,
            "refused": tally.orders_refused,
            "finished": tally.orders_finished,
            "failed": tally.orders_failed,
            "cancelled": tally.orders_cancelled,
            "open": len(still_open),
        },
        "failed_orders": {o.order: o.reason for o in state.orders.values() if o.state == "failed"},
        "open_orders": {name: explain.order(state, name) for name in still_open[:20]},
        "sorts": {
            "total": tally.sorts,
            "scans": tally.scans,
            "reject": tally.rejects,
            "reject_reasons": dict(tally.reject_reasons),
            "by_lane": dict(sorted(tally.sorts_by_lane.items())),
        },
        "commands": {
            "sent": tally.commands_sent,
            "written_again": tally.commands_repeated,
            "executed": sum(d.get("executed", 0) for d in devices.values()),
            "duplicated": sum(d.get("repeated", 0) for d in devices.values()),
        },
        "loads": {"put": len(loads), "shipped": len(shipped), "lost": len(lost), "misplaced": misplaced},
        "latency_ms": {"scan_to_divert_p50": latency.get("p50"), "scan_to_divert_p99": latency.get("p99")},
        "alarms": {a.alarm: a.text for a in state.alarms.values() if a.active},
        "bad_values": sum(inbox.bad_values.values()),
    }


def _place(name: str) -> str:
    """Both sides' names for one place: the plant says `C1/zone 4`, the gateway `C1.1`."""
    return name.partition("/")[0].partition(".")[0]


def as_text(figures: dict[str, Any]) -> str:
    """For the terminal."""
    orders, sorts, commands, loads = (figures[k] for k in ("orders", "sorts", "commands", "loads"))
    latency = figures["latency_ms"]
    lines = [
        "",
        f"orders    {orders['accepted']} accepted: {orders['finished']} finished, {orders['failed']} failed, "
        f"{orders['cancelled']} cancelled, {orders['open']} open; {orders['refused']} refused",
        f"sorts     {sorts['total']}, of these {sorts['reject']} to reject {sorts['reject_reasons'] or ''}",
        f"commands  {commands['sent']} sent, {commands['executed']} executed, {commands['duplicated']} executed twice",
        f"loads     {loads['put']} put, {loads['shipped']} shipped, {loads['lost']} lost, "
        f"{len(loads['misplaced'])} not where the gateway books them",
        f"scan → lane assigned at the PLC: p50 {latency['scan_to_divert_p50']} ms, "
        f"p99 {latency['scan_to_divert_p99']} ms",
        f"wall time {figures['wall_s']} s",
    ]
    lines += [f"failed    {name}: {reason}" for name, reason in figures["failed_orders"].items()]
    lines += [f"open      {line}" for reasons in figures["open_orders"].values() for line in reasons]
    lines += [f"alarm     {text}" for text in figures["alarms"].values()]
    return "\n".join(lines)
