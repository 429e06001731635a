"""What enters the kernel: reports, notices, links, requests, time."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from gateway.contract.requests import Request
from gateway.contract.words import CommandId, DeviceId, LinkState, Ns, Struct

ReportT = TypeVar("ReportT")
NoticeT = TypeVar("NoticeT")


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
