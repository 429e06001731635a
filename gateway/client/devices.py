"""Devices, and the commands on their way to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from gateway.client.ask import Ask, Body, Done, Record, Version, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends
from gateway.client.orders import Why

Mode = Literal["automatic", "manual", "maintenance"]
Telemetry = dict[str, bool | int | float | str | None]


class _Mode(Body, frozen=True):
    mode: Mode
    reason: str = ""


class _Reset(Body, frozen=True):
    zone: int = 0
    reason: str = ""


class _Decision(Body, frozen=True):
    done: bool
    reason: str = ""


class Link(Record, frozen=True):
    """`age_ms`: since the device last said something, None where that is not known."""

    state: str
    since: datetime | None
    reason: str
    age_ms: float | None


class Device(Record, frozen=True):
    """`state` is its own state machine's. `reason`: why the dispatcher leaves it alone, "" when it need not. `picture`:
    all that is known of it, by device type. `etag` is there where it was asked for by itself."""

    device: str
    type: str
    state: str
    mode: str
    held: str
    reason: str
    link: Link
    commands: tuple[str, ...]
    telemetry: Telemetry
    picture: dict[str, Any]
    etag: str = ""


class DevicePage(Record, frozen=True):
    items: tuple[Device, ...] = msgspec.field(name="devices")
    next: str = ""


class Command(Record, frozen=True):
    """A command on its way. State `unknown`: a person decides what became of it. Kind `question`: what a vehicle asks
    about a pick or drop that failed; it is resolved in the same way."""

    command: str
    device: str
    state: str
    kind: str
    load: str
    at: str
    seq: int
    tries: int
    created_at: datetime | None
    sent_at: datetime | None
    deadline: datetime | None
    action: dict[str, Any]


class CommandPage(Record, frozen=True):
    items: tuple[Command, ...] = msgspec.field(name="commands")
    next: str = ""


class Devices(Group[W]):
    """The routes below /devices."""

    @lists(Device)
    def browse(self, *, type: str = "", limit: int = 100, cursor: str = "") -> Ask[DevicePage]:
        """Devices by id, with state, reasons, mode, link, commands and telemetry."""
        return reads(path_of("devices"), DevicePage, type=type, limit=limit, cursor=cursor)

    @sends
    def get(self, device: str) -> Ask[Device]:
        """One device."""
        return reads(path_of("devices", device), Device)

    @sends
    def mode(
        self, device: str, mode: Mode, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """Switch it to automatic, manual or maintenance. Only in automatic is it given work."""
        body = _Mode(mode, reason)
        return writes("POST", path_of("devices", device, "mode"), Done, body, key=key, version=version)

    @sends
    def hold(
        self, device: str, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """Give it no new work. A vehicle stops where it is, a cell holds; this is no emergency stop."""
        return writes("POST", path_of("devices", device, "hold"), Done, Why(reason), key=key, version=version)

    @sends
    def resume(
        self, device: str, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """Go on with a device that was held."""
        return writes("POST", path_of("devices", device, "resume"), Done, Why(reason), key=key, version=version)

    @sends
    def reset(
        self, device: str, zone: int = 0, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """The cause of its fault has been cleared: go on. `zone` 0 is the whole device."""
        body = _Reset(zone, reason)
        return writes("POST", path_of("devices", device, "reset"), Done, body, key=key, version=version)


class Commands(Group[W]):
    """The routes below /commands."""

    @lists(Command)
    def browse(self, *, device: str = "", limit: int = 100, cursor: str = "") -> Ask[CommandPage]:
        """Open commands, and what vehicles ask a person to decide."""
        return reads(path_of("commands"), CommandPage, device=device, limit=limit, cursor=cursor)

    @sends
    def resolve(self, command: str, reason: str = "", *, done: bool, key: str | None = None) -> Ask[Done]:
        """Say whether a command whose outcome is unknown has been carried out: look before you say so."""
        return writes("POST", path_of("commands", command, "resolve"), Done, _Decision(done, reason), key=key)
