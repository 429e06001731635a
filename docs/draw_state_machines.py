"""Draws docs/state-machines.md from the tables that the gateway runs on.

    python docs/draw_state_machines.py > docs/state-machines.md

The page is never edited by hand: tests/test_docs.py holds it against what this script prints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from gateway.devices.agv import AGV
from gateway.devices.conveyor import ZONE
from gateway.devices.machine import STEPS_MAX, Table
from gateway.devices.packml import PACKML
from gateway.devices.sorter import LANE, TRACK
from gateway.devices.workstation import STATION
from gateway.dispatch.state import ORDER, TASK

SOURCES_DRAWN_MAX = 4
"""A trigger that leads from more states than this into one state is listed below the picture, not drawn in it."""

HEAD = f"""# State machines

Drawn from the tables in `gateway/devices` and `gateway/dispatch/state.py` by `docs/draw_state_machines.py`. Do not
edit this page: change the table, then run the script again.

A machine takes a transition only if its table has a row for it; anything else changes nothing and is noted in the
log. Where a device's state is read from the plant (all machines but order, task, track and workstation), the gateway
follows what the plant shows by the shortest way through the table, {STEPS_MAX} steps at most, because a polled level
may hide some. Where there is no such way the state is taken over all the same and the jump is noted: the plant
outranks the picture.

Beside its own state every device carries the health of its link (`up`, `uncertain`, `down`), whether it has reported
in full since the link came up, and the mode an operator has chosen (`automatic`, `manual`, `maintenance`); see
`gateway/devices/health.py`. The dispatcher uses a device only if none of them speaks against it.
"""

PAGES: tuple[tuple[str, str, Table], ...] = (
    (
        "Order",
        "What a host asked for. `fail` comes with the first step that can't be done, `cancel` from the host.",
        ORDER,
    ),
    (
        "Task",
        "One step of an order. `set_back`: what was under way came to nothing, and the step is planned anew from where "
        "its load is. `postpone`: a clarification was put before it.",
        TASK,
    ),
    (
        "Machine state: conveyor, sorter, robot cell",
        "PackML as in OPC 30050 v1.01. `StateComplete` is the machine's own step. A conveyor or sorter is used in "
        "Execute; a cell is started from Idle and reset from Complete and Stopped.",
        PACKML,
    ),
    ("Conveyor zone", "One zone of a conveyor, from its occupied, jam and fault bits.", ZONE),
    ("Sorter lane", "From the lane's enabled, half-full and full bits.", LANE),
    (
        "Sorter track",
        "One item between scan point and lane. After `failed` it runs on and is diverted into the reject lane.",
        TRACK,
    ),
    ("Vehicle", "From VDA 5050 state messages, most severe first: manual, faulted, paused, then what it does.", AGV),
    ("Workstation", "Driven by people's requests alone. `walk_off`: signed off with work in hand.", STATION),
)


def diagram(table: Table) -> Iterator[str]:
    """The table as Mermaid, then what was left out of the picture."""
    sources: dict[tuple[str, str], list[str]] = {}
    for trigger, source, dest in table.rows:
        sources.setdefault((trigger, dest), []).append(source)
    listed = {key for key, states in sources.items() if len(states) > SOURCES_DRAWN_MAX}
    arrows: dict[tuple[str, str], list[str]] = {}
    for trigger, source, dest in table.rows:
        if (trigger, dest) not in listed:
            arrows.setdefault((source, dest), []).append(trigger)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {table.initial}"
    for (source, dest), triggers in arrows.items():
        yield f"    {source} --> {dest}: {', '.join(triggers)}"
    left = {source for _, source, _ in table.rows}
    for state in table.states:
        if state not in left:
            yield f"    {state} --> [*]"
    yield "```"
    if listed:
        yield ""
    for trigger, dest in sources:
        if (trigger, dest) in listed:
            yield f"* `{trigger}` leads to `{dest}` from {', '.join(sources[trigger, dest])}."


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for title, text, table in PAGES:
        parts.append("\n".join([f"## {title}", "", text, "", *diagram(table), ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
