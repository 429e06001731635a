"""What a screen sees of each thing: the entries of the flat maps.

Times are milliseconds since 1970 as whole numbers, because a browser's numbers can't hold nanoseconds; 0 is never. ""
is nobody, nothing or nowhere. Entries are immutable values, so that a change is found by comparing two of them.
"""

from __future__ import annotations

from gateway.contract import Struct

# --- devices: what all have, then what each type has besides ---


class DeviceView(Struct, frozen=True):
    """`state` is its own state machine's. `why`: the dispatcher leaves it alone for this reason, "" where it need not.
    `unknown`: ids of its commands that a person has to decide about."""

    state: str
    mode: str
    held: str
    link: str
    link_reason: str
    link_since_ms: int
    why: str
    unknown: tuple[str, ...]


class ConveyorView(DeviceView, frozen=True, tag="conveyor"):
    """Its zones are entries of the map `zones`."""

    packml_mode: int


class SorterView(DeviceView, frozen=True, tag="sorter"):
    """`tracks`: items between scan point and lane. Its lanes are entries of the map `lanes`."""

    packml_mode: int
    tracks: int


class CellView(DeviceView, frozen=True, tag="robot_cell"):
    """`state` is PackML's. `processed` and `defective` are the cell's own counters."""

    packml_mode: int
    infeed_occupied: bool
    outfeed_occupied: bool
    processed: int
    defective: int


class AgvView(DeviceView, frozen=True, tag="agv"):
    """`base` begins at the last node reached and ends at the last one released; `horizon` is planned and not released.

    `load`: what it carries; `carries_for`: the load of its trip, also before it has picked it. `asks`: the id of the
    action that a person has to decide about.
    """

    operating_mode: str
    node: str
    battery_percent: int
    charging: bool
    localised: bool
    load: str
    carries_for: str
    dest: str
    base: tuple[str, ...]
    horizon: tuple[str, ...]
    waits_for: str
    waits_since_ms: int
    errors: tuple[str, ...]
    asks: str


class StationView(DeviceView, frozen=True, tag="workstation"):
    """`person`: who has signed on there; `task`: what is in hand."""

    person: str
    task: str


class ZoneView(Struct, frozen=True):
    """A zone of a conveyor, `<device>.<zone>`. `load` is "" where none is known, also when it is occupied."""

    state: str
    occupied: bool
    load: str


class LaneView(Struct, frozen=True):
    """A lane of a sorter, `<device>.<lane>`. `count` as its PLC says."""

    state: str
    count: int


class PositionView(Struct, frozen=True):
    """Where a vehicle is, as it says itself; null where it has not said it."""

    x_mm: int | float | None
    y_mm: int | float | None
    theta_mrad: int | float | None
    speed_mm_s: int | float | None
    map: str | None


# --- the flow ---


class LoadView(Struct, frozen=True):
    """`location`: a place, a run or the device that carries it, "" where nobody knows; `unsure`: why it may be
    another."""

    location: str
    barcodes: tuple[str, ...]
    order: str
    task: str
    unsure: str
    since_ms: int


class OrderView(Struct, frozen=True):
    """An open order. `state` is `interrupted` while it is held, as in order events.

    `done` of `steps` are finished. `step` is the first that is not, `step_state` its state, with its load and whoever
    has it; `why` says why it is not further on.
    """

    client: str
    state: str
    held: str
    priority: int
    version: int
    deadline_ms: int
    accepted_ms: int
    released_ms: int
    steps: int
    done: int
    step: str
    step_state: str
    load: str
    device: str
    person: str
    why: str


class AlarmView(Struct, frozen=True):
    """ISA-18.2. `first_out`: of the active alarms of its source it came first."""

    source: str
    code: str
    text: str
    priority: str
    raised_ms: int
    count: int
    active: bool
    acknowledged: bool
    first_out: bool
    shelved_until_ms: int
    shelved_why: str


class PersonView(Struct, frozen=True):
    """Who has signed on, where, and the work in hand. `accepted_ms`: when it was taken up, 0 before."""

    station: str
    task: str
    order: str
    load: str
    skill: str
    recipe: str
    started_ms: int
    accepted_ms: int


class PassView(Struct, frozen=True):
    """A contested place of the roadmap: the vehicles that pass it, in that order."""

    vehicles: tuple[str, ...]


class RoomView(Struct, frozen=True):
    """A place with room that is reserved: the loads on their way to it."""

    loads: tuple[str, ...]


def ms_of(at_ns: int | None) -> int:
    """Whole milliseconds; 0 for no time."""
    return at_ns // 1_000_000 if at_ns else 0
