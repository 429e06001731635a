"""The words that all floors of the house share: ids, inputs, effects, and what a driver is.

Everything here is plain data. An `Input` is whatever enters the kernel, stamped with a sequence number and a
time; an `Effect` is whatever leaves it. Device-specific payloads (records, notices, actions) are type
parameters, so that this module need not know any device type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import msgspec

DeviceId = str
LocationId = str
LoadId = str
OrderId = str
StepId = str
TaskId = str
PersonId = str
CommandId = str
NodeId = str
Ns = int
"""Kernel time: nanoseconds since the Unix epoch, carried by inputs; only the shell reads a clock."""

Scalar = bool | int | float | str | None
LinkState = Literal["up", "uncertain", "down"]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number from outside: JSON knows no limit, the journal does."""
Priority = Int64
"""1 is the most urgent, 5 the least (five priorities are what hosts in the field use)."""

ReportT = TypeVar("ReportT")
NoticeT = TypeVar("NoticeT")
ActionT = TypeVar("ActionT")


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable value."""


# --- what enters the kernel ------------------------------------------------------------------------------


class Report(Struct, Generic[ReportT], frozen=True, tag="report"):
    """A level: this is so now at the device. A newer one replaces an older one that was not yet applied."""

    device: DeviceId
    data: ReportT


class Notice(Struct, Generic[NoticeT], frozen=True, tag="notice"):
    """An edge: this happened at the device. Never dropped, never merged.

    `ring_index` is the device's own running number of the event where it has an event ring; the kernel answers
    with `Consume` once the notice is durable. None where the protocol has no such thing.
    """

    device: DeviceId
    data: NoticeT
    ring_index: int | None = None


class LinkChanged(Struct, frozen=True, tag="link"):
    """The link to a device came up, became doubtful (no fresh heartbeat or data) or went down.

    A driver posts `up` before the first report of a connection and posts a full report right after it.
    """

    device: DeviceId
    state: LinkState
    reason: str


class SendFailed(Struct, frozen=True, tag="send_failed"):
    """A command could not be written. `certain`: it surely did not reach the device."""

    command_id: CommandId
    device: DeviceId
    certain: bool
    reason: str


class Tick(Struct, frozen=True, tag="tick"):
    """Time has passed; sent when the deadline that the kernel named is reached."""


class Started(Struct, frozen=True, tag="started"):
    """The process has started. `epoch` is higher than that of any earlier controller on this journal."""

    epoch: int
    version: str


class SiteChanged(Struct, frozen=True, tag="site"):
    """The YAML says something else than the site in force: `site` as JSON. `at_start`: no link is up yet, so that
    devices and map may change, too; while running only policies, sort plan, people and names may."""

    site: str
    at_start: bool


class ShellAlarm(Struct, frozen=True, tag="shell_alarm"):
    """The shell noticed something that a person must know (journal full, bad frames …)."""

    source: str
    code: str
    text: str
    active: bool


# --- what hosts and people ask for -----------------------------------------------------------------------

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


class CancelOrder(Struct, frozen=True, tag="cancel_order"):
    order: OrderId
    reason: str = ""


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


class ConfirmWork(Struct, frozen=True, tag="confirm_work"):
    """A person has ended a piece of work. `ok` False fails the step with `note` as the reason."""

    task: TaskId
    person: PersonId
    ok: bool = True
    note: str = ""


class SetMode(Struct, frozen=True, tag="set_mode"):
    device: DeviceId
    mode: Literal["automatic", "manual", "maintenance"]


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


Request = (
    CreateOrder
    | CancelOrder
    | AnnounceLoad
    | RemoveLoad
    | SignOn
    | SignOff
    | ConfirmWork
    | SetMode
    | ResetDevice
    | ResolveCommand
    | AcknowledgeAlarm
)


class HostRequest(Struct, frozen=True, tag="host"):
    """A request, identified by (`client`, `request_id`): the same pair is answered the same and done once."""

    client: str
    request_id: str
    request: Request


class Input(Struct, frozen=True):
    """What the journal holds: one thing that entered the kernel, its number (1, 2, 3 …) and its time."""

    seq: int
    at_ns: Ns
    body: Any


# --- what leaves the kernel ------------------------------------------------------------------------------


class Command(Struct, Generic[ActionT], frozen=True, tag="command"):
    """One instruction to one device.

    `seq` counts per device, never repeats and never runs twice; `epoch` fences off an older controller; after
    `deadline_ns` it must no longer be written.
    """

    command_id: CommandId
    device: DeviceId
    seq: int
    epoch: int
    deadline_ns: Ns
    action: ActionT


class Consume(Struct, frozen=True, tag="consume"):
    """The device's events up to `ring_index` are durable here; it may overwrite them."""

    device: DeviceId
    ring_index: int


class Reply(Struct, frozen=True, tag="reply"):
    """The answer to a host request. `reason` says why not, and what would be right."""

    client: str
    request_id: str
    accepted: bool
    reason: str = ""


class OrderEvent(Struct, frozen=True, tag="order_event"):
    """An order changed its state; hosts and the log are told."""

    order: OrderId
    state: str
    reason: str = ""


class AlarmEvent(Struct, frozen=True, tag="alarm_event"):
    """An alarm came or went (ISA-18.2: something a person must act on)."""

    alarm: str
    source: str
    code: str
    text: str
    active: bool


class Note(Struct, frozen=True, tag="note"):
    """Something worth a line in the log: a transition, an illegal trigger, a refused move."""

    source: str
    event: str
    detail: str = ""


Effect = Command[Any] | Consume | Reply | OrderEvent | AlarmEvent | Note


# --- what a driver is ------------------------------------------------------------------------------------


class NotWritten(Exception):
    """`Driver.send` could not write the command. `certain`: it surely did not reach the device."""

    def __init__(self, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.certain = certain


class Sink(Protocol):
    """Where drivers put what they learn. All methods return at once and may be called from the loop only."""

    def post(self, body: Report[Any] | Notice[Any] | LinkChanged | ShellAlarm) -> None:
        """Hand over something for the kernel."""

    def telemetry(self, device: DeviceId, values: Mapping[str, Scalar]) -> None:
        """Show live values (position, current …) that never enter the kernel."""

    def bad_value(self, device: DeviceId, signal: str, value: object, problem: str) -> None:
        """Count and log something malformed that a device sent."""


class LinkFigures(Struct, frozen=True):
    """What one device's link has done since the start; counters only ever grow.

    `latency_buckets`: answers by time, one more than `LATENCY_BOUNDS_MS` (the last is "slower"). `data_age_ms`: since
    the device last said something, None while it never has.
    """

    device: DeviceId
    protocol: str
    requests: int
    errors: int
    bad_values: int
    messages_in: int
    connects: int
    latency_buckets: tuple[int, ...]
    latency_sum_ms: float
    data_age_ms: float | None


LATENCY_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
"""Upper bounds of the buckets in which answers are counted by time."""


class Driver(Protocol):
    """One connection to equipment, for one device or several behind one gateway or broker."""

    async def run(self) -> None:
        """Connect, watch and reconnect for ever; ends only by cancellation, leaving nothing open."""

    async def send(self, command: Command[Any]) -> None:
        """Return when the command is *written*; its completion comes back as a report or a notice.

        Raises `NotWritten`. Never repeats a write by itself.
        """

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        """Tell the device that its events up to `ring_index` are durable; errors wait for the next call."""

    async def safe_stop(self) -> None:
        """Bring outputs to their known state before the process ends: stop the heartbeat, close sessions."""

    def figures(self) -> Sequence[LinkFigures]:
        """One record a device, for metrics; may be called at any time, from the loop only."""
