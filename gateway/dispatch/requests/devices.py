"""What people want of devices: another mode, a rest, to go on after a fault, a decision about a command."""

from __future__ import annotations

from gateway.contract import DeviceId, HoldDevice, ResetDevice, ResolveCommand, SetMode
from gateway.devices.agv import Agv, Instant
from gateway.devices.conveyor import Conveyor, ResetZone
from gateway.devices.robot_cell import Control, RobotCell
from gateway.dispatch import ledger, outcomes, questions
from gateway.dispatch.requests.refusal import Refusal, absent, conflict, invalid, unknown
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn


def set_mode(turn: Turn, request: SetMode) -> Refusal | None:
    device = turn.state.device(request.device)
    if device is None:
        return _unknown(turn, request.device)
    device.health.mode = request.mode
    if request.device in turn.state.agvs:
        trips.reported(turn, request.device)  # what it has said meanwhile counts from now on
    return None


def hold(turn: Turn, request: HoldDevice) -> Refusal | None:
    device = turn.state.device(request.device)
    if device is None:
        return _unknown(turn, request.device)
    if bool(device.health.held) == request.hold:
        return conflict(f"{request.device} is {'held already' if request.hold else 'not held'}")
    device.health.held = (request.reason or "no reason given") if request.hold else ""
    match device:
        case RobotCell(state="Execute") if request.hold:
            ledger.issue(turn, request.device, Control("Hold"))
        case RobotCell(state="Holding" | "Held") if not request.hold:
            ledger.issue(turn, request.device, Control("Unhold"))
        case Agv():
            _pause(turn, device, "startPause" if request.hold else "stopPause")
        case _:
            pass
    return None


def _pause(turn: Turn, agv: Agv, kind: str) -> None:
    """A vehicle without such an action drives on to the end of its base; no more of its way is released."""
    if agv.factsheet is None or kind in agv.factsheet.actions:
        number = turn.state.next_seq.get(agv.device, 1)
        ledger.issue(turn, agv.device, Instant(f"hold-{turn.state.epoch}-{number}", kind))
    trips.reported(turn, agv.device)  # what it has said meanwhile counts from now on


def reset(turn: Turn, request: ResetDevice) -> Refusal | None:
    device, state = request.device, turn.state
    if device in state.conveyors:
        return _reset_conveyor(turn, state.conveyors[device], request.zone)
    if device in state.cells:
        return _reset_cell(turn, state.cells[device])
    if state.device(device) is None:
        return _unknown(turn, device)
    return conflict(f"{device} is reset at the machine itself")


def _reset_cell(turn: Turn, cell: RobotCell) -> Refusal | None:
    if cell.health.link == "down":
        return conflict(f"{cell.device} can't be reached: {cell.health.link_reason}")
    command = {"Aborted": "Clear", "Held": "Unhold", "Suspended": "Unsuspend"}.get(cell.state)
    if command is None:
        return conflict(f"{cell.device} is {cell.state}: nothing to reset")
    ledger.issue(turn, cell.device, Control(command))
    return None


def _reset_conveyor(turn: Turn, conveyor: Conveyor, zone: int) -> Refusal | None:
    zones = len(conveyor.zones)
    if not 0 <= zone <= zones:
        return invalid(f"zone {zone} of {conveyor.device} does not exist (1 to {zones})")
    if conveyor.health.link == "down":
        return conflict(f"{conveyor.device} can't be reached: {conveyor.health.link_reason}")
    troubled = [n for n, z in enumerate(conveyor.zones, 1) if z.state in ("jammed", "faulted")]
    for number in [zone] if zone else troubled:
        ledger.issue(turn, conveyor.device, ResetZone(number))
    return None


def resolve(turn: Turn, request: ResolveCommand) -> Refusal | None:
    asking = questions.of_action(turn, request.command_id)
    if asking is not None:
        trips.decided(turn, asking, request.done)
        return None
    entry = turn.state.ledger.get(request.command_id)
    if entry is None:
        return absent(f"no open command {request.command_id}")
    if entry.state != "unknown":
        return conflict(
            f"command {entry.command_id} is {entry.state}: only one with an unknown outcome can be resolved"
        )
    ledger.settle(turn, entry, request.done, "resolved by a person", outcomes.settled)
    return None


def _unknown(turn: Turn, device: DeviceId) -> Refusal:
    return unknown("device", device, [d.id for d in turn.site.devices])
