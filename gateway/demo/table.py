"""The live table: devices, orders, throughput and alarms, drawn from the kernel's state."""

from __future__ import annotations

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.dispatch import explain
from gateway.dispatch.state import Order, State

ROWS_MAX = 12


def draw(state: State, seconds: float, status: str) -> Group:
    """One frame. Only what is not normal has a colour, and never a colour alone."""
    return Group(_headline(state, seconds, status), _devices(state), _orders(state), _alarms(state))


def _headline(state: State, seconds: float, status: str) -> Text:
    tally = state.tally
    hourly = tally.orders_finished / seconds * 3600 if seconds > 1 else 0.0
    text = (
        f"Stellwerk demo   {seconds:6.0f} s   gateway {status}   orders: {tally.orders_accepted} accepted, "
        f"{len(state.queue)} queued, {len(state.released)} under way, {tally.orders_finished} finished, "
        f"{tally.orders_failed} failed   {hourly:.0f}/h   sorts {tally.sorts} (reject {tally.rejects})"
    )
    return Text(text, style="bold")


def _devices(state: State) -> Table:
    table = Table(title="Devices", expand=True, title_justify="left")
    for column in ("device", "link", "state", "detail"):
        table.add_column(column, overflow="fold")
    for c in state.conveyors.values():
        taken = sum(z.state == "occupied" for z in c.zones)
        bad = [f"zone {i} {z.state}" for i, z in enumerate(c.zones, 1) if z.state in ("jammed", "faulted")]
        _row(
            table,
            c.device,
            c.health.link,
            c.state,
            ", ".join(bad) or f"{taken} of {len(c.zones)} zones taken",
            bool(bad),
        )
    for s in state.sorters.values():
        lanes = " ".join(
            f"{i}:{lane.count}{'!' * (lane.state in ('full', 'disabled'))}" for i, lane in enumerate(s.lanes, 1)
        )
        _row(table, s.device, s.health.link, s.state, f"{len(s.tracks)} on the belt, lanes {lanes}", False)
    for cell in state.cells.values():
        _row(table, cell.device, cell.health.link, cell.state, f"{cell.processed} done, {cell.defective} bad", False)
    for agv in state.agvs.values():
        trip = state.trips.get(agv.device)
        detail = f"at {agv.last_node}, battery {agv.battery_permille / 10:.0f} %"
        if trip is not None:
            what = f"{trip.load} → {trip.dest}" if trip.load else f"→ {trip.nodes[-1]}"
            wait = f", waits for {trip.waits_for}" if trip.waits_for else ""
            detail += f", {what}{wait}"
        _row(table, agv.device, agv.health.link, agv.state, detail, agv.state == "faulted")
    for station in state.stations.values():
        _row(table, station.device, "–", station.state, f"{station.person or 'nobody'} {station.task}", False)
    return table


def _row(table: Table, device: str, link: str, state: str, detail: str, abnormal: bool) -> None:
    style = "bold yellow" if abnormal or link in ("down", "uncertain") else ""
    table.add_row(device, link, ("! " if abnormal else "") + state, detail, style=style)


def _orders(state: State) -> Table:
    table = Table(title="Orders under way, and why they are not further", expand=True, title_justify="left")
    for column, width in (("order", 12), ("prio", 4), ("state", 8)):
        table.add_column(column, min_width=width, no_wrap=True)
    table.add_column("what it waits for", overflow="ellipsis", no_wrap=True, ratio=1)
    first = sorted((state.orders[name] for name in state.released), key=Order.rank)[:ROWS_MAX]
    for order in first:
        name = order.order
        lines = explain.order(state, name)
        table.add_row(name, str(order.priority), order.state, lines[0] if lines else "")
    return table


def _alarms(state: State) -> Panel:
    active = [a for a in state.alarms.values() if a.active]
    text = "\n".join(f"! {a.text}" for a in active[-5:]) or "none"
    return Panel(text, title=f"Alarms ({len(active)})", style="bold red" if active else "", title_align="left")
