"""Figures of the site, and whether the gateway is well."""

from __future__ import annotations

from collections import Counter

from starlette.responses import Response

from gateway.contract import Struct
from gateway.dispatch.state import ORDER_STATES
from gateway.host.access import Refused, permit
from gateway.host.api.call import Call
from gateway.host.api.giving import encoded, give
from gateway.host.api.moment import text_of
from gateway.host.api.offer import Offer
from gateway.host.api.order_view import shown_state
from gateway.host.api.parts import Parts

JSON = "application/json"


class Summary(Struct, frozen=True):
    """`orders`: kept orders by state · `steps`: their steps by state · `totals`: since the journal began · `devices` by
    what is with them · `waits_s_max`: how long the oldest order waits for its release."""

    at: str | None
    orders: dict[str, int]
    steps: dict[str, int]
    totals: dict[str, int]
    sorts_by_lane: dict[str, int]
    reject_reasons: dict[str, int]
    loads: int
    commands_open: int
    commands_unknown: int
    alarms_active: int
    devices: dict[str, int]
    waits_s_max: float


class Alive(Struct, frozen=True):
    status: str


class Ready(Struct, frozen=True, omit_defaults=True):
    """`links` and the times are for whoever may look on."""

    ready: bool
    status: str
    links: dict[str, int] | None = None
    last_input: int | None = None
    last_input_at: str | None = None
    live: bool | None = None


class About(Struct, frozen=True):
    """`last_input_at`: time of the last input, by the clock of the gateway; `now`: its time. `timezone` is the site's,
    for whoever shows times to people; all times of the API are in UTC."""

    site: str
    timezone: str
    version: str
    now: str | None
    last_input: int
    last_input_at: str | None
    epoch: int


class Reports:
    """The routes below /reports, and those that probes ask."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: tuple[int, float, Summary] | None = None

    def offer(self, offer: Offer) -> None:
        offer.route("GET", "/reports/summary", self.summary, "viewer", {200: Summary}, tag="reports")
        offer.route("GET", "/about", self.about, "viewer", {200: About}, tag="health")
        offer.route("GET", "/health", self.health, "anybody", {200: Alive}, tag="health")
        offer.route("GET", "/ready", self.ready, "anybody", {200: Ready, 503: Ready}, tag="health")

    async def summary(self, call: Call) -> Response:
        """Figures as they are now."""
        return give(call, self._summary())

    async def about(self, call: Call) -> Response:
        """Site, version, and the time of the last input."""
        state = self._parts.gate.kernel.state
        at, now = text_of(state.now_ns), text_of(self._parts.gate.now_ns())
        zone = self._parts.gate.kernel.site.site.timezone
        return give(call, About(self._parts.site_name, zone, self._parts.version, now, state.seq, at, state.epoch))

    async def health(self, call: Call) -> Response:
        """The process is alive."""
        return give(call, Alive("alive"))

    async def ready(self, call: Call) -> Response:
        """Whether requests are taken: the journal has room, the kernel has not halted, the gateway has started."""
        gate = self._parts.gate
        state = gate.kernel.state
        status = gate.status if state.epoch else "starting"
        ready = status == "healthy"
        shown = Ready(ready, status)
        if permit(call.principal, "viewer") is None and self._may_look(call):
            links = Counter(
                device.health.link for spec in gate.kernel.site.devices if (device := state.device(spec.id)) is not None
            )
            found = {name: links.get(name, 0) for name in ("up", "uncertain", "down")}
            at = text_of(state.now_ns)
            shown = Ready(ready, status, found, state.seq, at, self._parts.live is not None)
        return Response(encoded(shown), 200 if ready else 503, media_type=JSON)

    def _may_look(self, call: Call) -> bool:
        return call.known or not isinstance(call.door, Refused)

    def _summary(self) -> Summary:
        state, gate = self._parts.gate.kernel.state, self._parts.gate
        now_s = gate.now_ns() / 1e9
        # All orders are looked at: not more often than once a second, however many ask.
        if self._made is not None and (self._made[0] == state.seq or now_s - self._made[1] < 1.0):
            return self._made[2]
        orders = dict.fromkeys((*ORDER_STATES, "interrupted"), 0)
        orders.update(Counter(shown_state(order) for order in state.orders.values()))
        devices = dict.fromkeys(("usable", "refused"), 0)
        for spec in gate.kernel.site.devices:
            device = state.device(spec.id)
            if device is not None:
                devices["usable" if device.refusal() is None else "refused"] += 1
        oldest_ns = min((state.orders[entry[-1]].accepted_ns for entry in state.queue), default=gate.now_ns())
        tally = state.tally
        totals = {name: value for name in tally.__struct_fields__ if isinstance(value := getattr(tally, name), int)}
        summary = Summary(
            at=text_of(gate.now_ns()),
            orders=orders,
            steps=dict(Counter(task.state for task in state.tasks.values())),
            totals=totals,
            sorts_by_lane=dict(tally.sorts_by_lane),
            reject_reasons=dict(tally.reject_reasons),
            loads=len(state.loads),
            commands_open=len(state.ledger),
            commands_unknown=sum(entry.state == "unknown" for entry in state.ledger.values()),
            alarms_active=sum(alarm.active for alarm in state.alarms.values()),
            devices=devices,
            waits_s_max=max(0.0, (gate.now_ns() - oldest_ns) / 1e9),
        )
        self._made = (state.seq, now_s, summary)
        return summary
