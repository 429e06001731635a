"""All that the kernel knows and a restart must bring back: devices, loads, orders, tasks, trips, commands, alarms.

Plain mutable structs, so that a snapshot is one encode and a restore one decode. Nothing in here is derived from
the site alone; that is in `floor`.
"""

from __future__ import annotations

import msgspec

from gateway.contract import CommandId, DeviceId, LoadId, LocationId, NodeId, Ns, OrderId, PersonId, RefusalCode, TaskId
from gateway.devices.agv import Agv, Drive, Instant
from gateway.devices.conveyor import Conveyor, Discharge, Induct, ResetZone
from gateway.devices.machine import Row, Table
from gateway.devices.robot_cell import Control, RobotCell
from gateway.devices.sorter import Assign, Sorter
from gateway.devices.workstation import Workstation

Action = Induct | Discharge | ResetZone | Assign | Control | Drive | Instant
Device = Conveyor | Sorter | RobotCell | Agv | Workstation

ORDER_STATES = ("created", "released", "started", "finished", "failed", "cancelled")
ORDER_ROWS: tuple[Row, ...] = (
    ("release", "created", "released"),
    ("start", "released", "started"),
    ("finish", "released", "finished"),
    ("finish", "started", "finished"),
    *(("fail", s, "failed") for s in ("created", "released", "started")),
    *(("cancel", s, "cancelled") for s in ("created", "released", "started")),
)
ORDER = Table("order", ORDER_STATES, ORDER_ROWS, "created")
ORDER_ENDED = ("finished", "failed", "cancelled")

TASK_STATES = ("waiting", "ready", "active", "finished", "failed", "cancelled")
TASK_ROWS: tuple[Row, ...] = (
    ("prepare", "waiting", "ready"),
    ("start", "ready", "active"),
    ("set_back", "active", "ready"),
    ("postpone", "ready", "waiting"),
    *(("finish", s, "finished") for s in ("ready", "active")),
    *(("fail", s, "failed") for s in ("waiting", "ready", "active")),
    *(("cancel", s, "cancelled") for s in ("waiting", "ready", "active")),
)
TASK = Table("task", TASK_STATES, TASK_ROWS, "waiting")
TASK_ENDED = ("finished", "failed", "cancelled")


class Load(msgspec.Struct):
    """A tote, carton or pallet. `location` is a location id, a run id, or the id of the device that carries it;
    empty when nobody knows. `task` is the task that has the load to itself just now."""

    load: LoadId
    track_id: int
    location: LocationId
    barcodes: tuple[str, ...] = ()
    since_ns: Ns = 0
    put_ns: Ns = 0
    """When a device has put it down where it is booked; 0 where a person has said so or it came otherwise."""
    task: TaskId = ""
    unsure: str = ""


class Task(msgspec.Struct):
    """One step of one order on one load. `reason` says, at any time, why it is not further on."""

    task: TaskId
    order: OrderId
    kind: str
    load: LoadId
    to: str
    skill: str = ""
    recipe: str = ""
    after: tuple[TaskId, ...] = ()
    state: str = "waiting"
    target: LocationId = ""
    device: DeviceId = ""
    person: PersonId = ""
    tries: int = 0
    reason: str = ""
    started_ns: Ns = 0
    accepted_ns: Ns = 0
    """When the person has taken it up; 0 before, and for what no person does."""
    ended_ns: Ns = 0


class Order(msgspec.Struct):
    order: OrderId
    client: str
    number: int
    priority: int
    deadline_ns: Ns | None
    tasks: list[TaskId]
    state: str = "created"
    reason: str = ""
    version: int = 0
    """Raised by one with whatever is told of the order; 1 when it has been accepted."""
    held: str = ""
    """Why no further step is begun; "" where nobody holds it."""
    accepted_ns: Ns = 0
    released_ns: Ns = 0
    ended_ns: Ns = 0

    def rank(self) -> tuple[int, int, int]:
        """What comes first: priority, then deadline, then age."""
        return (self.priority, self.deadline_ns if self.deadline_ns is not None else 2**63, self.number)


class Trip(msgspec.Struct):
    """One vehicle's way over the roadmap: `nodes` whole, of which `released` are in its base and `passed` is the
    index of the last one reached. `pick_at` and `drop_at` are indices of `nodes`, −1 where there is none."""

    vehicle: DeviceId
    drive_id: str
    nodes: list[NodeId]
    load: LoadId = ""
    source: LocationId = ""
    dest: LocationId = ""
    pick_at: int = -1
    drop_at: int = -1
    released: int = 1
    passed: int = 0
    update_id: int = 0
    sent_released: int = 0
    sent_route: int = 0
    """`route_number` at the last update sent; differs when the horizon was planned anew since."""
    route_number: int = 1
    accepted: bool = False
    picked: bool = False
    action_number: int = 0
    moved_ns: Ns = 0
    waits_for: str = ""
    waits_since_ns: Ns = 0

    @property
    def takes_load(self) -> bool:
        """The load is on board, or the vehicle will pick it whatever is decided now: the pick is in its base."""
        return self.picked or 0 <= self.pick_at < self.released

    @property
    def pick_id(self) -> str:
        return f"{self.drive_id}.{self.action_number}.pick"

    @property
    def drop_id(self) -> str:
        return f"{self.drive_id}.{self.action_number}.drop"


class Entry(msgspec.Struct):
    """One command in the ledger: queued → sent → accepted, and gone when done. `unknown`: a person decides."""

    command_id: CommandId
    device: DeviceId
    seq: int
    action: Action
    load: LoadId = ""
    state: str = "queued"
    created_ns: Ns = 0
    sent_ns: Ns = 0
    deadline_ns: Ns = 0
    tries: int = 0


class Question(msgspec.Struct):
    """What a person has to decide about a failed action: is `load` at `at` (done), or is it to be tried again?"""

    action_id: str
    task: TaskId
    load: LoadId
    at: LocationId


class HoldOff(msgspec.Struct):
    """Something was refused: not again before `until_ns`."""

    until_ns: Ns
    tries: int
    reason: str


class Alarm(msgspec.Struct):
    """ISA-18.2: a person must act. Kept while active or not acknowledged."""

    alarm: str
    source: str
    code: str
    text: str
    raised_ns: Ns
    count: int = 1
    active: bool = True
    acknowledged: bool = False
    shelved_until_ns: Ns = 0
    shelved_why: str = ""


class Answer(msgspec.Struct):
    """What a host was told, to be told again when it asks the same again."""

    digest: bytes
    accepted: bool
    reason: str
    code: RefusalCode = ""


class Tally(msgspec.Struct):
    """Figures since the journal began."""

    orders_accepted: int = 0
    orders_refused: int = 0
    orders_finished: int = 0
    orders_failed: int = 0
    orders_cancelled: int = 0
    commands_sent: int = 0
    commands_repeated: int = 0
    scans: int = 0
    sorts: int = 0
    rejects: int = 0
    sorts_by_lane: dict[str, int] = {}
    reject_reasons: dict[str, int] = {}
    loads_shipped: int = 0
    loads_lost: int = 0


class State(msgspec.Struct):
    """The kernel's whole memory."""

    now_ns: Ns = 0
    seq: int = 0
    """The number of the last input that was applied."""
    site: str = ""
    """The site in force, as JSON; "" before an input has said it: then it is the one that the kernel was given."""
    sort_plan: str = ""
    """The sort plan that was put in force in place of the site's own, as JSON; "" where there is none."""
    epoch: int = 0
    conveyors: dict[DeviceId, Conveyor] = {}
    sorters: dict[DeviceId, Sorter] = {}
    cells: dict[DeviceId, RobotCell] = {}
    agvs: dict[DeviceId, Agv] = {}
    stations: dict[DeviceId, Workstation] = {}
    people: dict[PersonId, DeviceId] = {}
    loads: dict[LoadId, Load] = {}
    standing: dict[LocationId, dict[LoadId, int]] = {}
    """Location → the loads booked there, oldest first. Kept by `loads` alone, like the two indices below."""
    by_track: dict[int, LoadId] = {}
    by_barcode: dict[str, list[LoadId]] = {}
    entry_empty_ns: dict[LocationId, Ns] = {}
    """Entry of a run → when its zone was last seen empty: what was put down there before that has moved on."""
    coming: dict[LocationId, dict[LoadId, int]] = {}
    """Reserved room: place → the loads on their way to it."""
    orders: dict[OrderId, Order] = {}
    tasks: dict[TaskId, Task] = {}
    queue: list[tuple[int, int, int, OrderId]] = []
    """Accepted and not released, by rank."""
    released: list[OrderId] = []
    ended: list[OrderId] = []
    trips: dict[DeviceId, Trip] = {}
    passes: dict[str, list[tuple[DeviceId, int]]] = {}
    """Resource of the roadmap → who enters it with which node of its trip, in passing order."""
    passes_void: bool = False
    """A vehicle has given up its way, so the passing order no longer describes what will be driven."""
    locked: list[DeviceId] = []
    traffic_seen: str = ""
    """What the passing order was worked out from; another value asks for a new one."""
    ledger: dict[CommandId, Entry] = {}
    next_seq: dict[DeviceId, int] = {}
    hold_offs: dict[str, HoldOff] = {}
    questions: dict[DeviceId, Question] = {}
    """Vehicle → what it waits for a person to decide."""
    charge_skipped: list[DeviceId] = []
    """Vehicles that could not charge where they are parked now, and are not told again there."""
    alarms: dict[str, Alarm] = {}
    answers: dict[str, Answer] = {}
    tally: Tally = msgspec.field(default_factory=Tally)
    order_number: int = 0
    track_number: int = 0
    drive_number: int = 0

    def device(self, device: DeviceId) -> Device | None:
        for group in (self.conveyors, self.sorters, self.cells, self.agvs, self.stations):
            if device in group:
                return group[device]
        return None

    def open_orders(self) -> int:
        return len(self.queue) + len(self.released)
