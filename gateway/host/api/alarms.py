"""Alarms (ISA-18.2): what a person must act on."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import Path, Query
from starlette.responses import Response

from gateway.contract import AcknowledgeAlarm, ShelveAlarm, Struct
from gateway.dispatch.state import Alarm
from gateway.host.api.bodies import Shelving, Why
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, done, give, small_page
from gateway.host.api.moment import ns_of, text_of
from gateway.host.api.offer import Offer
from gateway.host.api.parts import Parts

AlarmId = Annotated[str, Path(max_length=300, description="As listed; it has '/' in it.")]


class AlarmView(Struct, frozen=True):
    """`active`: its cause is still there. `count`: how often it came. `shelved_until`: off the list for so long."""

    alarm: str
    source: str
    code: str
    text: str
    raised_at: str | None
    count: int
    active: bool
    acknowledged: bool
    shelved_until: str | None
    shelved_why: str


class AlarmPage(Struct, frozen=True):
    alarms: tuple[AlarmView, ...]
    next: str = ""


class Alarms:
    """The routes below /alarms."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def offer(self, offer: Offer) -> None:
        route, one = partial(offer.route, tag="alarms"), "/alarms/{alarm:path}"
        route("GET", "/alarms", self.browse, "viewer", {200: AlarmPage})
        acknowledge = f"{one}/acknowledge"
        route("POST", acknowledge, self.acknowledge, "operator", {200: Done}, what="acknowledge_alarm")
        route("POST", f"{one}/shelve", self.shelve, "operator", {200: Done}, what="shelve_alarm")
        route("POST", f"{one}/unshelve", self.unshelve, "operator", {200: Done}, what="unshelve_alarm")

    async def browse(
        self,
        call: Call,
        source: Annotated[str, Query(max_length=64)] = "",
        shelved: Annotated[Literal["no", "only", "too"], Query(description="Those off the list.")] = "no",
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        """Alarms that are active or not acknowledged."""
        state = self._parts.gate.kernel.state
        now_ns = self._parts.gate.now_ns()
        every = [
            alarm
            for alarm in state.alarms.values()
            if source in ("", alarm.source) and shelved in ("too", "only" if alarm.shelved_until_ns > now_ns else "no")
        ]
        found, following = small_page(every, lambda alarm: alarm.alarm, cursor, limit)
        return give(call, AlarmPage(tuple(_view(alarm, now_ns) for alarm in found), following))

    async def acknowledge(self, call: Call, alarm: AlarmId, body: Why | None = None) -> Response:
        """Somebody has seen it and acts on it."""
        call.reason(body.reason if body else "")
        await call.demand(AcknowledgeAlarm(alarm), f"acknowledge_alarm {alarm}")
        return done(call, alarm)

    async def shelve(self, call: Call, alarm: AlarmId, body: Shelving) -> Response:
        """Keep it off the list for a while."""
        why = call.reason(body.reason)
        await call.demand(ShelveAlarm(alarm, ns_of(body.until), why), f"shelve_alarm {alarm} until {body.until}")
        return done(call, alarm)

    async def unshelve(self, call: Call, alarm: AlarmId, body: Why | None = None) -> Response:
        """Put it back on the list."""
        why = call.reason(body.reason if body else "")
        await call.demand(ShelveAlarm(alarm, 0, why), f"unshelve_alarm {alarm}")
        return done(call, alarm)


def _view(alarm: Alarm, now_ns: int) -> AlarmView:
    shelved = alarm.shelved_until_ns > now_ns
    return AlarmView(
        alarm.alarm, alarm.source, alarm.code, alarm.text, text_of(alarm.raised_ns), alarm.count, alarm.active,
        alarm.acknowledged, text_of(alarm.shelved_until_ns) if shelved else None, alarm.shelved_why if shelved else "",
    )  # fmt: skip
