"""The kernel: one input in, effects out. No clock, no I/O, no randomness: the same inputs give the same effects.

`apply` is total: whatever the outside sends ends in a changed state and effects, never in an exception. An
assertion that fails in here is a bug of ours; the shell then stops sending and calls the operator.
"""

from __future__ import annotations

import hashlib

from gateway.codec import decode_state, encode_request, encode_state
from gateway.contract import (
    Consume,
    Effect,
    HostRequest,
    Input,
    LinkChanged,
    Notice,
    Ns,
    Reply,
    Report,
    SendFailed,
    ShellAlarm,
    Started,
    Tick,
)
from gateway.devices import agv, conveyor, robot_cell, sorter, workstation
from gateway.devices.agv import AgvFactsheet, AgvReport
from gateway.devices.conveyor import ConveyorReport
from gateway.devices.facts import Fact
from gateway.devices.robot_cell import CellReport
from gateway.devices.sorter import SorterEvent, SorterReport
from gateway.dispatch import ledger, phases, requests
from gateway.dispatch.floor import Floor
from gateway.dispatch.state import Answer, State
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn
from gateway.site import AgvSpec, ConveyorSpec, RobotCellSpec, Site, SorterSpec, WorkstationSpec

ANSWERS_MAX = 100_000
HEARTBEAT_NS = 1_000_000_000
"""A tick comes at least so often: reasons, time limits and stuck vehicles are looked at then."""


class Kernel:
    """The deterministic core of one site."""

    def __init__(self, site: Site, state: State | None = None) -> None:
        self.site = site
        self.floor = Floor(site)
        self.state = state if state is not None else State()
        _add_devices(self.state, site)

    def apply(self, entered: Input) -> list[Effect]:
        """Take one input in; returns what shall leave once the input is durable."""
        self.state.now_ns = max(self.state.now_ns, entered.at_ns)
        turn = Turn(self.site, self.floor, self.state)
        self._enter(turn, entered.body)
        phases.run(turn)
        return turn.effects

    def next_deadline_ns(self) -> Ns:
        """When the kernel wants a tick at the latest."""
        due = ledger.next_due_ns(self.state.ledger, self.site.policies.ack_timeout_ms)
        held = min(
            (h.until_ns for h in self.state.hold_offs.values() if h.until_ns > self.state.now_ns),
            default=None,
        )
        latest = self.state.now_ns + HEARTBEAT_NS
        return max(min(x for x in (due, held, latest) if x is not None), self.state.now_ns + 1_000_000)

    def snapshot(self) -> bytes:
        return encode_state(self.state)

    @classmethod
    def restore(cls, site: Site, snapshot: bytes) -> Kernel:
        """The kernel as it was; raises msgspec.DecodeError for bytes that are no snapshot."""
        return cls(site, decode_state(snapshot))

    def _enter(self, turn: Turn, body: object) -> None:
        match body:
            case Report():
                self._report(turn, body)
            case Notice():
                self._notice(turn, body)
            case LinkChanged():
                self._link(turn, body)
            case HostRequest():
                self._host(turn, body)
            case SendFailed():
                ledger.send_failed(turn, body.command_id, body.certain)
                turn.note(body.device, "command not written", f"{body.command_id}: {body.reason}")
            case Started():
                self._started(turn, body)
            case ShellAlarm(active=True):
                turn.raise_alarm(body.source, body.code, body.text)
            case ShellAlarm():
                turn.clear_alarm(body.source, body.code)
            case Tick():
                pass
            case _:
                turn.note("kernel", "unknown input", type(body).__name__)

    def _report(self, turn: Turn, report: Report[object]) -> None:
        state, device, data = self.state, report.device, report.data
        facts: list[Fact] = []
        match data:
            case ConveyorReport() if device in state.conveyors:
                facts = conveyor.observe(state.conveyors[device], data)
                self._book(turn, facts)
                ledger.echoed(turn, device, data.echo, requests.settled)
            case SorterReport() if device in state.sorters:
                facts = sorter.observe(state.sorters[device], data)
                self._book(turn, facts)
                ledger.echoed(turn, device, data.echo, requests.settled)
            case CellReport() if device in state.cells:
                facts = robot_cell.observe(state.cells[device], data)
                self._book(turn, facts)
                ledger.echoed(turn, device, data.echo, requests.settled)
            case AgvReport() if device in state.agvs:
                facts = agv.observe(state.agvs[device], data)
                ledger.agv_reported(turn, state.agvs[device])
                self._book(turn, facts)
                trips.reported(turn, device)
            case _:
                turn.note(device, "report does not fit", f"a {type(data).__name__} for {device}, ignored")

    def _notice(self, turn: Turn, notice: Notice[object]) -> None:
        state, device = self.state, notice.device
        match notice.data:
            case SorterEvent() if device in state.sorters:
                if not sorter.is_repeat(state.sorters[device], notice.ring_index):
                    self._book(turn, sorter.notice(state.sorters[device], notice.data))
            case AgvFactsheet() if device in state.agvs:
                state.agvs[device].factsheet = notice.data
            case _:
                turn.note(device, "notice does not fit", f"a {type(notice.data).__name__} for {device}, ignored")
        if notice.ring_index is not None:
            turn.effects.append(Consume(device, notice.ring_index))

    def _book(self, turn: Turn, facts: list[Fact]) -> None:
        for fact in facts:
            phases.apply_fact(turn, fact)

    def _link(self, turn: Turn, change: LinkChanged) -> None:
        device = self.state.device(change.device)
        if device is None:
            turn.note(change.device, "link of an unknown device", change.reason)
            return
        was = device.health.link
        device.health.link_changed(change.state, change.reason, turn.now_ns)
        if change.state == "up":
            turn.clear_alarm(change.device, "link")
            if was != "up":
                ledger.link_changed(turn, change.device)
        else:
            turn.raise_alarm(
                change.device,
                "link",
                change.reason if change.reason.startswith(change.device) else f"{change.device}: {change.reason}",
            )

    def _started(self, turn: Turn, started: Started) -> None:
        """A process begins: whatever was connected is not, until its driver says so again."""
        self.state.epoch = max(started.epoch, self.state.epoch)
        for spec in self.site.devices:
            device = self.state.device(spec.id)
            if device is not None and not isinstance(spec, WorkstationSpec):
                device.health.link_changed("down", "gateway has started, not connected yet", turn.now_ns)
        turn.note("gateway", "started", f"version {started.version}, epoch {self.state.epoch}")

    def _host(self, turn: Turn, asked: HostRequest) -> None:
        key = f"{asked.client}\n{asked.request_id}"
        digest = hashlib.blake2b(encode_request(asked.request), digest_size=16).digest()
        known = self.state.answers.get(key)
        if known is not None:
            if known.digest == digest:
                reply = Reply(asked.client, asked.request_id, known.accepted, known.reason)
            else:
                text = "this request id was used before with other content: use a new one"
                reply = Reply(asked.client, asked.request_id, False, text)
            turn.effects.append(reply)
            return
        refusal = requests.serve(turn, asked.client, asked.request)
        accepted = refusal is None
        self.state.tally.orders_refused += not accepted and type(asked.request).__name__ == "CreateOrder"
        if len(self.state.answers) >= ANSWERS_MAX:
            del self.state.answers[next(iter(self.state.answers))]
        self.state.answers[key] = Answer(digest, accepted, refusal or "")
        turn.effects.append(Reply(asked.client, asked.request_id, accepted, refusal or ""))


def _add_devices(state: State, site: Site) -> None:
    """Give every configured device its record; those of a restored state stay as they are."""
    for spec in site.devices:
        match spec:
            case ConveyorSpec():
                state.conveyors.setdefault(spec.id, conveyor.new(spec.id, spec.zones))
            case SorterSpec():
                lanes = max(lane.lane for lane in spec.lanes)
                state.sorters.setdefault(spec.id, sorter.new(spec.id, lanes, spec.reject_lane))
            case RobotCellSpec():
                state.cells.setdefault(spec.id, robot_cell.new(spec.id))
            case AgvSpec():
                state.agvs.setdefault(spec.id, agv.new(spec.id))
            case WorkstationSpec():
                state.stations.setdefault(spec.id, workstation.new(spec.id))
