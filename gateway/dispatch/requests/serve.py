"""What hosts and people may ask for: checked whole before anything is changed, answered with a reason.

Each rule either returns the reason for a refusal (nothing has changed then) or None and has done what was asked.
`UseSortPlan` is not here: it changes the site itself, which is the kernel's.
"""

from __future__ import annotations

from gateway.contract import (
    AcceptWork,
    AcknowledgeAlarm,
    AnnounceLoad,
    CallHelp,
    CancelOrder,
    ChangeOrder,
    ConfirmWork,
    CreateOrder,
    HoldDevice,
    HoldOrder,
    RemoveLoad,
    Request,
    ResetDevice,
    ResolveCommand,
    SetMode,
    ShelveAlarm,
    SignOff,
    SignOn,
)
from gateway.dispatch.requests import alarms, devices, loads, orders, people
from gateway.dispatch.requests.refusal import Refusal, invalid
from gateway.dispatch.turn import Turn


def serve(turn: Turn, client: str, request: Request) -> Refusal | None:
    """Do what is asked; the reason where it is refused."""
    match request:
        case CreateOrder():
            return orders.create(turn, client, request)
        case ChangeOrder():
            return orders.change(turn, request)
        case HoldOrder():
            return orders.hold(turn, request)
        case CancelOrder():
            return orders.cancel(turn, request)
        case AnnounceLoad():
            return loads.announce(turn, request)
        case RemoveLoad():
            return loads.remove(turn, request)
        case SignOn() | SignOff() | AcceptWork() | ConfirmWork() | CallHelp():
            return _of_people(turn, request)
        case SetMode():
            return devices.set_mode(turn, request)
        case HoldDevice():
            return devices.hold(turn, request)
        case ResetDevice():
            return devices.reset(turn, request)
        case ResolveCommand():
            return devices.resolve(turn, request)
        case AcknowledgeAlarm():
            return alarms.acknowledge(turn, request)
        case ShelveAlarm():
            return alarms.shelve(turn, request)
        case _:  # a request of a later version, out of its journal
            return invalid(f"unknown request {type(request).__name__}")


def _of_people(turn: Turn, request: SignOn | SignOff | AcceptWork | ConfirmWork | CallHelp) -> Refusal | None:
    match request:
        case SignOn():
            return people.sign_on(turn, request)
        case SignOff():
            return people.sign_off(turn, request)
        case AcceptWork():
            return people.accept(turn, request)
        case ConfirmWork():
            return people.confirm(turn, request)
        case _:  # CallHelp
            return people.call_help(turn, request)
