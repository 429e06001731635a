"""Devices and the commands on their way to them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query
from starlette.responses import Response

from gateway.contract import HoldDevice, LinkFigures, ResetDevice, ResolveCommand, Scalar, SetMode, Struct
from gateway.dispatch.state import Device, Entry, Question
from gateway.host.api.bodies import Decision, ModeWanted, Reset, Why
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, check_match, done, give, small_page
from gateway.host.api.moment import text_of
from gateway.host.api.offer import Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import of_reply
from gateway.site import DeviceSpec

DeviceId = Annotated[str, Path(max_length=64)]
CommandId = Annotated[str, Path(max_length=200, description="As listed; it has '/' in it.")]


class LinkView(Struct, frozen=True):
    """`age_ms`: since the device last said something, null where that is not known."""

    state: str
    since: str | None
    reason: str
    age_ms: float | None


class CommandView(Struct, frozen=True):
    """A command on its way. `unknown`: a person decides what became of it. `question`: what a vehicle asks about a pick
    or drop that failed; it is resolved in the same way."""

    command: str
    device: str
    state: str
    kind: str
    load: str
    at: str
    seq: int
    tries: int
    created_at: str | None
    sent_at: str | None
    deadline: str | None
    action: dict[str, Any]


class DeviceView(Struct, frozen=True):
    """`state` is its own state machine's. `reason`: why the dispatcher leaves it alone, "" when it need not. `picture`:
    all that is known of it, by device type."""

    device: str
    type: str
    state: str
    mode: str
    held: str
    reason: str
    link: LinkView
    commands: tuple[str, ...]
    telemetry: dict[str, Scalar]
    picture: dict[str, Any]


class DevicePage(Struct, frozen=True):
    devices: tuple[DeviceView, ...]
    next: str = ""


class CommandPage(Struct, frozen=True):
    commands: tuple[CommandView, ...]
    next: str = ""


class Devices:
    """The routes below /devices and /commands."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def offer(self, offer: Offer) -> None:
        route, one = partial(offer.route, tag="devices"), "/devices/{device}"
        route("GET", "/devices", self.browse, "viewer", {200: DevicePage})
        route("GET", one, self.get, "viewer", {200: DeviceView})
        to = partial(route, matches=True)
        to("POST", f"{one}/mode", self.mode, "operator", {200: Done}, what="set_mode")
        to("POST", f"{one}/hold", self.hold, "operator", {200: Done}, what="hold_device")
        to("POST", f"{one}/resume", self.resume, "operator", {200: Done}, what="resume_device")
        to("POST", f"{one}/reset", self.reset, "operator", {200: Done}, what="reset_device")
        route = partial(offer.route, tag="commands")
        route("GET", "/commands", self.commands, "viewer", {200: CommandPage})
        resolve = "/commands/{command:path}/resolve"
        route("POST", resolve, self.resolve, "operator", {200: Done}, what="resolve_command")

    async def browse(
        self, call: Call, type: Annotated[str, Query(max_length=20)] = "", limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        """Devices by id, with state, reasons, mode, link, commands and telemetry."""
        specs = [spec for spec in self._parts.gate.kernel.site.devices if type in ("", spec.type)]
        found, following = small_page(specs, lambda spec: spec.id, cursor, limit)
        ages, commands = self._ages(), self._commands_by_device()
        views = [self._view(spec, ages, commands) for spec in found]
        return give(call, DevicePage(tuple(view for view in views if view is not None), following))

    async def get(self, call: Call, device: DeviceId) -> Response:
        """One device."""
        return give(call, self._known(device))

    async def mode(self, call: Call, device: DeviceId, body: ModeWanted) -> Response:
        """Switch it to automatic, manual or maintenance. Only in automatic is it given work."""
        self._match(call, device)
        call.reason(body.reason)
        await call.demand(SetMode(device, body.mode), f"set_mode {device} {body.mode}")
        return done(call, device)

    async def hold(self, call: Call, device: DeviceId, body: Why | None = None) -> Response:
        """Give it no new work. A vehicle stops where it is, a cell holds; this is no emergency stop."""
        return await self._hold(call, device, body, hold=True)

    async def resume(self, call: Call, device: DeviceId, body: Why | None = None) -> Response:
        """Go on with a device that was held."""
        return await self._hold(call, device, body, hold=False)

    async def reset(self, call: Call, device: DeviceId, body: Reset | None = None) -> Response:
        """The cause of its fault has been cleared: go on."""
        self._match(call, device)
        call.reason(body.reason if body else "")
        zone = body.zone if body else 0
        await call.demand(ResetDevice(device, zone), f"reset_device {device}" + (f" zone {zone}" if zone else ""))
        return done(call, device)

    async def commands(
        self, call: Call, device: Annotated[str, Query(max_length=64)] = "", limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        """Open commands, and what vehicles ask a person to decide."""
        state = self._parts.gate.kernel.state
        every = [_command(entry) for entry in state.ledger.values() if device in ("", entry.device)]
        every += [_question(name, asked) for name, asked in state.questions.items() if device in ("", name)]
        found, following = small_page(every, lambda view: view.command, cursor, limit)
        return give(call, CommandPage(tuple(found), following))

    async def resolve(self, call: Call, command: CommandId, body: Decision) -> Response:
        """A person decides what became of a command whose outcome is unknown."""
        call.reason(body.reason)
        what = f"resolve_command {command} {'done' if body.done else 'not done'}"
        await call.demand(ResolveCommand(command, body.done), what)
        return done(call, command)

    async def _hold(self, call: Call, device: str, body: Why | None, *, hold: bool) -> Response:
        self._match(call, device)
        why = call.reason(body.reason if body else "")
        await call.demand(HoldDevice(device, hold, why), f"{call.what} {device}")
        return done(call, device)

    def _match(self, call: Call, device: str) -> None:
        if "if-match" in call.headers and self._parts.gate.kernel.state.device(device) is not None:
            check_match(call, self._known(device))

    def _known(self, device: str) -> DeviceView:
        spec = next((spec for spec in self._parts.gate.kernel.site.devices if spec.id == device), None)
        view = self._view(spec, self._ages(), self._commands_by_device()) if spec is not None else None
        if view is None:
            raise of_reply("unknown", f"there is no device {device!r} on this site")
        return view

    def _ages(self) -> dict[str, float | None]:
        figures: list[LinkFigures] = list(self._parts.figures())
        return {each.device: each.data_age_ms for each in figures}

    def _commands_by_device(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in self._parts.gate.kernel.state.ledger.values():
            found.setdefault(entry.device, []).append(entry.command_id)
        return found

    def _view(
        self, spec: DeviceSpec, ages: dict[str, float | None], commands: dict[str, list[str]]
    ) -> DeviceView | None:
        device = self._parts.gate.kernel.state.device(spec.id)
        if device is None:
            return None
        health = device.health
        return DeviceView(
            device=spec.id,
            type=spec.type,
            state=device.state,
            mode=health.mode,
            held=health.held,
            reason=device.refusal() or "",
            link=LinkView(health.link, text_of(health.link_since_ns), health.link_reason, ages.get(spec.id)),
            commands=tuple(commands.get(spec.id, ())),
            telemetry=dict(self._parts.gate.telemetry.get(spec.id, {})),
            picture=_picture(device),
        )


def _picture(device: Device) -> dict[str, Any]:
    """What the gateway knows of it beside what every device has."""
    found: dict[str, Any] = msgspec.to_builtins(device)
    for name in ("device", "health", "state"):
        found.pop(name, None)
    return found


def _command(entry: Entry) -> CommandView:
    action: dict[str, Any] = msgspec.to_builtins(entry.action)
    kind = str(action.pop("type", type(entry.action).__name__))
    return CommandView(
        entry.command_id, entry.device, entry.state, kind, entry.load, "", entry.seq, entry.tries,
        text_of(entry.created_ns), text_of(entry.sent_ns), text_of(entry.deadline_ns), action,
    )  # fmt: skip


def _question(vehicle: str, asked: Question) -> CommandView:
    return CommandView(
        asked.action_id, vehicle, "unknown", "question", asked.load, asked.at, 0, 0, None, None, None, {}
    )
