"""What hosts and people may ask for. Which of it is right just now is for `dispatch.requests` to say."""

from __future__ import annotations

from typing import Literal

from gateway.contract.words import (
    CommandId,
    DeviceId,
    Int64,
    LoadId,
    LocationId,
    OrderId,
    PersonId,
    Priority,
    StepId,
    Struct,
    TaskId,
)

StepKind = Literal["move", "sort", "work"]


class StepRequest(Struct, frozen=True):
    """One step of an order.

    move: `load` to location `to` · sort: `load` to the sort-plan destination `to` · work: `skill` on `load` at
    location `to`. `after` names steps of the same order that must be finished before.
    """

    step: StepId
    kind: StepKind
    load: LoadId
    to: str
    skill: str = ""
    recipe: str = ""
    after: tuple[StepId, ...] = ()


class CreateOrder(Struct, frozen=True, tag="create_order"):
    order: OrderId
    steps: tuple[StepRequest, ...]
    priority: Priority = 3
    deadline_ns: Int64 | None = None


class ChangeOrder(Struct, frozen=True, tag="change_order"):
    """Another priority or deadline for an open order, other steps for one that is not released yet.

    What is None stays. `no_deadline` takes the deadline away. `version`: see `CancelOrder`.
    """

    order: OrderId
    priority: Priority | None = None
    deadline_ns: Int64 | None = None
    no_deadline: bool = False
    steps: tuple[StepRequest, ...] | None = None
    version: Int64 = 0


class HoldOrder(Struct, frozen=True, tag="hold_order"):
    """Begin no further step of an order (`hold`), or go on with it. A step that is under way is finished."""

    order: OrderId
    hold: bool
    reason: str = ""
    version: Int64 = 0


class CancelOrder(Struct, frozen=True, tag="cancel_order"):
    """`version`: refused where the order has another one by now; 0 is for whoever does not mind."""

    order: OrderId
    reason: str = ""
    version: Int64 = 0


class AnnounceLoad(Struct, frozen=True, tag="announce_load"):
    """A load stands at a location: goods-in, or a person's correction of where it really is."""

    load: LoadId
    location: LocationId
    barcodes: tuple[str, ...] = ()


class RemoveLoad(Struct, frozen=True, tag="remove_load"):
    """A load has left the site, or a person took it away."""

    load: LoadId
    reason: str = ""


class SignOn(Struct, frozen=True, tag="sign_on"):
    person: PersonId
    station: DeviceId


class SignOff(Struct, frozen=True, tag="sign_off"):
    person: PersonId


class AcceptWork(Struct, frozen=True, tag="accept_work"):
    """A person has taken up the piece of work that was given to them."""

    task: TaskId
    person: PersonId


class CallHelp(Struct, frozen=True, tag="call_help"):
    """A person at a workstation needs somebody: an alarm until it is acknowledged."""

    person: PersonId
    text: str = ""


class ConfirmWork(Struct, frozen=True, tag="confirm_work"):
    """A person has ended a piece of work. `ok` False fails the step with `note` as the reason."""

    task: TaskId
    person: PersonId
    ok: bool = True
    note: str = ""


class SetMode(Struct, frozen=True, tag="set_mode"):
    device: DeviceId
    mode: Literal["automatic", "manual", "maintenance"]


class HoldDevice(Struct, frozen=True, tag="hold_device"):
    """Give a device nothing to do (`hold`), or go on. A vehicle stops where it is, a robot cell holds (PackML); a
    conveyor takes and hands over no load, a sorter still sorts what is on it."""

    device: DeviceId
    hold: bool
    reason: str = ""


class ResetDevice(Struct, frozen=True, tag="reset_device"):
    """An operator has cleared the cause of a fault and wants the device to go on. `zone` 0 = the whole device."""

    device: DeviceId
    zone: Int64 = 0


class ResolveCommand(Struct, frozen=True, tag="resolve_command"):
    """A person decides what became of a command whose outcome is unknown."""

    command_id: CommandId
    done: bool


class AcknowledgeAlarm(Struct, frozen=True, tag="acknowledge_alarm"):
    alarm: str


class ShelveAlarm(Struct, frozen=True, tag="shelve_alarm"):
    """Keep an alarm off the list until `until_ns` (ISA-18.2); a time that has passed puts it back."""

    alarm: str
    until_ns: Int64
    reason: str = ""


class UseSortPlan(Struct, frozen=True, tag="use_sort_plan"):
    """Put another sort plan in force, whole or not at all. `plan` is as in the YAML, but in JSON; "" goes back to the
    plan that the YAML has."""

    plan: str


Request = (
    CreateOrder
    | ChangeOrder
    | HoldOrder
    | CancelOrder
    | AnnounceLoad
    | RemoveLoad
    | SignOn
    | SignOff
    | AcceptWork
    | CallHelp
    | ConfirmWork
    | SetMode
    | HoldDevice
    | ResetDevice
    | ResolveCommand
    | AcknowledgeAlarm
    | ShelveAlarm
    | UseSortPlan
)
