"""The kernel: one input in, effects out. No clock, no I/O, no randomness: the same inputs give the same effects.

`apply` is total: whatever the outside sends ends in a changed state and effects, never in an exception. An
assertion that fails in here is a bug of ours; the shell then stops sending and calls the operator.
"""

from __future__ import annotations

import hashlib

from gateway.codec import decode_state, encode_request, encode_state
from gateway.contract import (
    Consume,
    CreateOrder,
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
    SiteChanged,
    Started,
    Tick,
    UseSortPlan,
)
from gateway.devices import agv, conveyor, robot_cell, sorter, workstation
from gateway.devices.agv import AgvFactsheet, AgvReport
from gateway.devices.conveyor import ConveyorReport
from gateway.devices.facts import Fact
from gateway.devices.robot_cell import CellReport
from gateway.devices.sorter import SorterEvent, SorterReport
from gateway.dispatch import flow, ledger, outcomes, phases, site_change, sort_plans, work
from gateway.dispatch.floor import Floor
from gateway.dispatch.memory import Memory
from gateway.dispatch.requests.refusal import Refusal, invalid
from gateway.dispatch.requests.serve import serve
from gateway.dispatch.state import Answer, State
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn
from gateway.site import AgvSpec, ConveyorSpec, RobotCellSpec, Site, SorterSpec, WorkstationSpec, decode_site

ANSWERS_MAX = 100_000
HEARTBEAT_NS = 1_000_000_000
"""A tick comes at least so often: reasons, time limits and stuck vehicles are looked at then."""

OF_THE_PROCESS = (("clock", "differs"), ("site", "not-changed"), ("site", "not-reloaded"))
"""Alarms about the process itself: a new one begins without them and says so again where it is still so."""


class Kernel:
    """The deterministic core of one site."""

    def __init__(self, site: Site, state: State | None = None) -> None:
        self._own = site if state is None or not state.site else decode_site(state.site)
        """The site as its YAML says it; in force is that with the sort plan that was put in its place."""
        plan = state.sort_plan if state is not None else ""
        self.site = sort_plans.with_plan(self._own, plan) if plan else self._own
        self.floor = Floor(self.site)
        self.state = state if state is not None else State()
        _add_devices(self.state, self.site)
        self._memory = Memory(self.floor, self.state)

    def apply(self, entered: Input) -> list[Effect]:
        """Take one input in; returns what shall leave once the input is durable."""
        self.state.now_ns = max(self.state.now_ns, entered.at_ns)
        self.state.seq = entered.seq
        turn = Turn(self.site, self.floor, self.state, self._remembered())
        self._enter(turn, entered.body)
        turn.memory = self._remembered()
        phases.run(turn)
        return turn.effects

    def _remembered(self) -> Memory:
        """What was remembered, where it is still about this state and this floor."""
        if not self._memory.fits(self.floor, self.state):
            self._memory = Memory(self.floor, self.state)
        return self._memory

    def next_deadline_ns(self) -> Ns:
        """When the kernel wants a tick at the latest."""
        due = ledger.next_due_ns(self.state, self.site.policies.ack_timeout_ms)
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
        """The kernel as it was, with the site that was in force then; `site` where the snapshot names none.

        Raises msgspec.DecodeError for bytes that are no snapshot and ValueError for a site of another version.
        """
        return cls(site, decode_state(snapshot))

    def site_refusal(self, site: Site) -> str | None:
        """Why `site` can't be put in force at a start, None where it can."""
        return site_change.refusal(self.site, site, self.state, at_start=True)

    def _enter(self, turn: Turn, body: object) -> None:
        if not isinstance(body, Report | Tick) and not self._only_queues(body):
            turn.touch()
            turn.memory.refusals.clear()
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
            case SiteChanged():
                self._site(turn, body)
            case Tick():
                pass
            case _:
                turn.note("kernel", "unknown input", type(body).__name__)

    def _only_queues(self, body: object) -> bool:
        """A new order changes nothing that the phases look at while no order can be released: it waits. A host that
        sends a thousand a second must not have all be planned a thousand times."""
        full = len(self.state.released) >= self.site.policies.orders_released_max
        return full and isinstance(body, HostRequest) and isinstance(body.request, CreateOrder)

    def _report(self, turn: Turn, report: Report[object]) -> None:
        state, device, data = self.state, report.device, report.data
        facts: list[Fact] = []
        match data:
            case ConveyorReport() if device in state.conveyors:
                flow.look_at_entries(turn, device)
                facts = conveyor.observe(state.conveyors[device], data)
                flow.look_at_entries(turn, device)
                self._book(turn, facts)
                ledger.echoed(turn, device, data.echo, outcomes.settled)
                self._shown(turn, device, flow.seen(turn, device))
            case SorterReport() if device in state.sorters:
                facts = sorter.observe(state.sorters[device], data)
                self._book(turn, facts)
                ledger.echoed(turn, device, data.echo, outcomes.settled)
                self._shown(turn, device, flow.seen(turn, device))
            case CellReport() if device in state.cells:
                facts = robot_cell.observe(state.cells[device], data)
                self._book(turn, facts)
                ledger.echoed(turn, device, data.echo, outcomes.settled)
                self._shown(turn, device, work.seen(state.cells[device]))
            case AgvReport() if device in state.agvs:
                turn.memory.refusals.pop(device, None)
                facts = agv.observe(state.agvs[device], data)
                ledger.agv_reported(turn, state.agvs[device])
                self._book(turn, facts)
                trips.reported(turn, device)
                if turn.memory.news(device, trips.refusal(turn, device)):
                    turn.memory.vehicles_touched = True
                    turn.memory.order_checked = False
            case _:
                turn.note(device, "report does not fit", f"a {type(data).__name__} for {device}, ignored")

    def _shown(self, turn: Turn, device: str, view: object) -> None:
        if turn.memory.news(device, view):
            turn.touch()

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
                if change.device in self.state.agvs:
                    trips.reported(turn, change.device)  # what it has said in doubt counts from now on
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
        for source, code in OF_THE_PROCESS:
            turn.clear_alarm(source, code)
        for spec in self.site.devices:
            device = self.state.device(spec.id)
            if device is not None and not isinstance(spec, WorkstationSpec):
                device.health.link_changed("down", "gateway has started, not connected yet", turn.now_ns)
        turn.note("gateway", "started", f"version {started.version}, epoch {self.state.epoch}")

    def _site(self, turn: Turn, change: SiteChanged) -> None:
        """Put another site in force, whole or not at all."""
        try:
            site = decode_site(change.site)
            why = site_change.refusal(self.site, site, self.state, at_start=change.at_start)
        except ValueError as error:
            why = f"this version can't read it: {str(error)[:500]}"
        if why is not None:
            turn.raise_alarm("site", "not-changed", f"the new configuration was not put in force: {why}")
            return
        own, site = site, self._with_its_plan(turn, site)
        site_change.put_straight(turn, site)
        self._own, self.site, self.floor = own, site, Floor(site)
        self.state.site = change.site
        _add_devices(self.state, site)
        site_change.in_force(turn, site, self.floor)

    def _with_its_plan(self, turn: Turn, site: Site) -> Site:
        """A plan that was put in force stays so, unless the YAML now says another one or the plan doesn't fit it."""
        if not self.state.sort_plan:
            return site
        same = site.sort_plan == self._own.sort_plan
        fitting = sort_plans.fitting(site, self.state.sort_plan) if same else "the YAML has another one now"
        if isinstance(fitting, Site):
            return fitting
        self.state.sort_plan = ""
        turn.note("site", "sort plan of the YAML is in force again", fitting)
        return site

    def _use_sort_plan(self, turn: Turn, request: UseSortPlan) -> Refusal | None:
        site = sort_plans.fitting(self._own, request.plan) if request.plan else self._own
        if isinstance(site, str):
            return invalid(site)
        self.state.sort_plan = request.plan
        self.site = turn.site = site
        turn.note("site", "sort plan in force", site.sort_plan.id if site.sort_plan else "none")
        return None

    def _host(self, turn: Turn, asked: HostRequest) -> None:
        key = f"{asked.client}\n{asked.request_id}"
        digest = hashlib.blake2b(encode_request(asked.request), digest_size=16).digest()
        known = self.state.answers.get(key)
        if known is not None:
            if known.digest == digest:
                reply = Reply(asked.client, asked.request_id, known.accepted, known.reason, known.code)
            else:
                text = "this request id was used before with other content: use a new one"
                reply = Reply(asked.client, asked.request_id, False, text, "reused")
            turn.effects.append(reply)
            return
        if isinstance(asked.request, UseSortPlan):
            refusal = self._use_sort_plan(turn, asked.request)
        else:
            refusal = serve(turn, asked.client, asked.request)
        accepted = refusal is None
        code, text = (refusal.code, refusal.text) if refusal is not None else ("", "")
        self.state.tally.orders_refused += not accepted and type(asked.request).__name__ == "CreateOrder"
        if code != "limit":  # that was "ask again later", with the same id
            if len(self.state.answers) >= ANSWERS_MAX:
                del self.state.answers[next(iter(self.state.answers))]
            self.state.answers[key] = Answer(digest, accepted, text, code)
        turn.effects.append(Reply(asked.client, asked.request_id, accepted, text, code))


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
            case _:  # a workstation
                state.stations.setdefault(spec.id, workstation.new(spec.id))
