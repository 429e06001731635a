"""What leaves the kernel: commands, answers, events."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from gateway.contract.words import CommandId, DeviceId, LoadId, LocationId, Ns, OrderId, StepId, Struct

ActionT = TypeVar("ActionT")


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


RefusalCode = Literal["", "unknown", "invalid", "conflict", "version", "limit", "reused", "unavailable"]
"""Kinds of refusals: `unknown` names something that is not there · `invalid` is wrong in itself · `conflict` does not
fit what is so now · `version` is about an older state of it · `limit` may be asked again later · `reused` is a request
id that stood for another request before · `unavailable`: the gateway takes nothing at present. "" is no refusal."""


class Reply(Struct, frozen=True, tag="reply"):
    """The answer to a host request. `reason` says why not, and what would be right; `code` is its kind."""

    client: str
    request_id: str
    accepted: bool
    reason: str = ""
    code: RefusalCode = ""


class OrderEvent(Struct, frozen=True, tag="order_event"):
    """An order changed its state; hosts and the log are told. `state` is `interrupted` while it is held, and `client`
    is who ordered it. Any change of the order raises `version`, so versions rise by one from event to event."""

    order: OrderId
    state: str
    reason: str = ""
    client: str = ""
    version: int = 0


class StepEvent(Struct, frozen=True, tag="step_event"):
    """A step of an order was `started`, `finished`, `failed` or `cancelled`; `at`: where its load is then."""

    order: OrderId
    step: StepId
    state: str
    load: LoadId
    at: LocationId
    reason: str = ""
    client: str = ""


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


Effect = Command[Any] | Consume | Reply | OrderEvent | StepEvent | AlarmEvent | Note
