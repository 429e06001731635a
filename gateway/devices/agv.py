"""AGV: a vehicle that drives over nodes and edges and picks and drops loads, as VDA 5050 describes it.

What VDA 5050 calls an order is a *drive* here (an order is what the WMS asked for). A drive has an id, an update
number, a base that the vehicle may drive and a horizon that it may not yet.
"""

from __future__ import annotations

import msgspec

from gateway.contract import DeviceId, NodeId, Scalar, Struct
from gateway.devices.facts import (
    ActionEnded,
    Fact,
    FaultCleared,
    Faulted,
    NodeReached,
    OrderRejected,
    StateChanged,
)
from gateway.devices.health import Health
from gateway.devices.machine import Row, Table

# --- records on the wire ---


class AgvError(Struct, frozen=True):
    error_type: str
    level: str
    """WARNING or FATAL in VDA 5050 2.x, URGENT and CRITICAL besides in 3.0."""
    description: str = ""
    drive_id: str = ""
    """From the error's references, where the vehicle names the order it means."""


class ActionState(Struct, frozen=True):
    action_id: str
    status: str
    """WAITING INITIALIZING RUNNING PAUSED FINISHED FAILED"""
    result: str = ""


class PathState(Struct, frozen=True):
    """A node still to be reached, as the vehicle lists it."""

    node: NodeId
    sequence_id: int
    released: bool


class AgvReport(Struct, frozen=True, tag="agv"):
    """The vehicle's state message, without what goes to telemetry (position, speed)."""

    drive_id: str
    update_id: int
    last_node: NodeId
    last_sequence_id: int
    path: tuple[PathState, ...]
    edges_left: int
    actions: tuple[ActionState, ...]
    driving: bool
    paused: bool
    new_base_request: bool
    operating_mode: str
    battery_permille: int
    charging: bool
    e_stop: str
    field_violation: bool
    errors: tuple[AgvError, ...]
    loads: tuple[str, ...] | None = None
    localised: bool = True


class AgvFactsheet(Struct, frozen=True, tag="agv_factsheet"):
    """What the vehicle says of itself: which actions it knows and how fast it is."""

    series: str
    actions: tuple[str, ...]
    speed_max_mm_s: int
    length_mm: int
    width_mm: int


class DriveAction(Struct, frozen=True):
    """An action at a node: `kind` pick or drop, parameters by VDA 5050's names. Blocking type HARD."""

    action_id: str
    kind: str
    parameters: dict[str, Scalar] = {}


class DriveNode(Struct, frozen=True):
    node: NodeId
    sequence_id: int
    released: bool
    x_mm: int
    y_mm: int
    actions: tuple[DriveAction, ...] = ()


class DriveEdge(Struct, frozen=True):
    edge: str
    sequence_id: int
    released: bool
    from_node: NodeId
    to_node: NodeId
    speed_max_mm_s: int


class Drive(Struct, frozen=True, tag="drive"):
    """A VDA 5050 order or an update of one: edges = nodes − 1, sequence ids node 0, edge 1, node 2 …"""

    drive_id: str
    update_id: int
    map_id: str
    nodes: tuple[DriveNode, ...]
    edges: tuple[DriveEdge, ...]


class Instant(Struct, frozen=True, tag="instant"):
    """An instant action (cancelOrder, startPause, stopPause, stateRequest, startCharging …)."""

    action_id: str
    kind: str
    parameters: dict[str, Scalar] = {}
    blocking: str = "HARD"


AgvAction = Drive | Instant

# --- the vehicle's state machine ---

AGV_STATES = ("idle", "driving", "acting", "waiting", "paused", "charging", "faulted", "manual")
_WORKING = ("idle", "driving", "acting", "waiting", "paused", "charging")
AGV_ROWS: tuple[Row, ...] = (
    ("depart", "idle", "driving"),
    ("depart", "waiting", "driving"),
    ("depart", "acting", "driving"),
    ("depart", "charging", "driving"),
    ("act", "idle", "acting"),
    ("act", "driving", "acting"),
    ("act", "waiting", "acting"),
    ("wait", "idle", "waiting"),
    ("wait", "driving", "waiting"),
    ("wait", "acting", "waiting"),
    ("finish", "driving", "idle"),
    ("finish", "acting", "idle"),
    ("finish", "waiting", "idle"),
    ("charge", "idle", "charging"),
    ("unplug", "charging", "idle"),
    *(("pause", s, "paused") for s in _WORKING if s != "paused"),
    ("resume", "paused", "idle"),
    *(("fail", s, "faulted") for s in (*_WORKING, "manual")),
    ("recover", "faulted", "idle"),
    *(("take_over", s, "manual") for s in (*_WORKING, "faulted")),
    ("hand_back", "manual", "idle"),
)
AGV = Table("agv", AGV_STATES, AGV_ROWS, "idle")
_ENDED = ("FINISHED", "FAILED")
_STOPPING_LEVELS = ("FATAL", "CRITICAL")
# Refusals of what we sent: they stay in the vehicle's error list but do not stop the vehicle.
_REFUSALS = ("validationError", "orderError", "orderUpdateError", "noRouteError", "noOrderToCancel")


class Agv(msgspec.Struct):
    """The gateway's picture of one vehicle."""

    device: DeviceId
    health: Health = msgspec.field(default_factory=Health)
    state: str = "idle"
    operating_mode: str = "AUTOMATIC"
    drive_id: str = ""
    update_id: int = 0
    last_node: NodeId = ""
    last_sequence_id: int = 0
    ahead: tuple[NodeId, ...] = ()
    """Nodes that it will drive to whatever is decided now: the released ones of its path, in order."""
    at_rest: bool = True
    """Idle in VDA 5050's sense: nothing left to drive and every action ended."""
    battery_permille: int = 1000
    charging: bool = False
    localised: bool = True
    loads: tuple[str, ...] | None = None
    errors: tuple[AgvError, ...] = ()
    actions: dict[str, str] = msgspec.field(default_factory=dict)
    """Status of the actions that the vehicle lists, by action id."""
    factsheet: AgvFactsheet | None = None

    def refusal(self) -> str | None:
        reason = self.health.refusal()
        if reason is None and self.operating_mode != "AUTOMATIC":
            reason = f"vehicle is in mode {self.operating_mode}"
        if reason is None and self.state == "faulted":
            causes = [_describe(e) for e in self.errors if _stops(e)]
            reason = f"vehicle has a fault: {'; '.join(causes) or 'emergency stop'}"
        if reason is None and self.state == "paused":
            reason = "vehicle is paused"
        if reason is None and not self.localised:
            reason = "vehicle does not know where it is"
        if reason is None and not self.last_node:
            reason = "vehicle stands on no known node"
        return reason


def new(device: DeviceId) -> Agv:
    return Agv(device=device)


def _stops(error: AgvError) -> bool:
    return error.level in _STOPPING_LEVELS and error.error_type not in _REFUSALS


def _describe(error: AgvError) -> str:
    return f"{error.error_type} ({error.level})" + (f": {error.description}" if error.description else "")


def classify(report: AgvReport) -> str:
    """The state of AGV_STATES that a state message shows."""
    if report.operating_mode not in ("AUTOMATIC", "SEMIAUTOMATIC"):
        return "manual"
    if report.e_stop not in ("", "NONE") or any(_stops(e) for e in report.errors):
        return "faulted"
    if report.paused:
        return "paused"
    if any(a.status in ("INITIALIZING", "RUNNING", "PAUSED") for a in report.actions) and not report.driving:
        return "acting"
    if report.driving:
        return "driving"
    if report.path or report.edges_left or any(a.status not in _ENDED for a in report.actions):
        return "waiting"
    return "charging" if report.charging else "idle"


def observe(agv: Agv, report: AgvReport) -> list[Fact]:
    """Bring the picture up to `report` and say what happened meanwhile."""
    facts: list[Fact] = []
    first = not agv.health.reported
    before = agv.state
    AGV.adopt(agv, classify(report))  # every state is two rows at most from any other: never a jump
    if before != agv.state:
        facts.append(StateChanged(agv.device, "vehicle", before, agv.state))
    facts.extend(_faults(agv, before, report))
    known = {(e.error_type, e.drive_id, e.description) for e in agv.errors}
    for error in report.errors:
        is_refusal = error.error_type in _REFUSALS and error.error_type != "noOrderToCancel"
        if is_refusal and (error.error_type, error.drive_id, error.description) not in known:
            known.add((error.error_type, error.drive_id, error.description))
            facts.append(OrderRejected(agv.device, error.drive_id, _describe(error)))
    moved = (report.last_node, report.last_sequence_id, report.drive_id) != (
        agv.last_node,
        agv.last_sequence_id,
        agv.drive_id,
    )
    # Right after taking a new drive a vehicle may still show the sequence number of the last node of its old one.
    stale = bool(report.path) and report.last_sequence_id >= report.path[0].sequence_id
    if report.last_node and (moved or first) and not stale:
        facts.append(NodeReached(agv.device, report.last_node, report.last_sequence_id))
    # Action ids are unique for good, so an action still listed beside a new drive's has not ended once more.
    for action in {a.action_id: a for a in report.actions}.values():
        if action.status in _ENDED and agv.actions.get(action.action_id) not in _ENDED:
            facts.append(ActionEnded(agv.device, action.action_id, action.status == "FINISHED", action.result))
    agv.actions = {a.action_id: a.status for a in report.actions}
    agv.drive_id, agv.update_id = report.drive_id, report.update_id
    agv.last_node, agv.last_sequence_id = report.last_node, report.last_sequence_id
    agv.ahead = tuple(n.node for n in report.path if n.released)
    agv.at_rest = not report.path and not report.edges_left and all(a.status in _ENDED for a in report.actions)
    agv.operating_mode, agv.localised = report.operating_mode, report.localised
    agv.battery_permille, agv.charging = report.battery_permille, report.charging
    agv.loads, agv.errors = report.loads, report.errors
    agv.health.reported = True
    return facts


def _faults(agv: Agv, before: str, report: AgvReport) -> list[Fact]:
    if agv.state == "faulted" and before != "faulted":
        causes = [_describe(e) for e in report.errors if _stops(e)]
        if report.e_stop not in ("", "NONE"):
            causes.append(f"emergency stop {report.e_stop}")
        text = "; ".join(causes) + ": clear the cause at the vehicle"
        return [Faulted(agv.device, "vehicle", "faulted", text)]
    if before == "faulted" and agv.state != "faulted":
        return [FaultCleared(agv.device, "vehicle", "faulted")]
    return []
