"""Alarms (ISA-18.2): what a person must act on."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gateway.client.ask import Ask, Body, Done, Record, moment, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends
from gateway.client.orders import Why


class _Shelving(Body, frozen=True):
    until: datetime
    reason: str = ""


class Alarm(Record, frozen=True):
    """`active`: its cause is still there. `count`: how often it came. `shelved_until`: off the list for so long."""

    alarm: str
    source: str
    code: str
    text: str
    raised_at: datetime | None
    count: int
    active: bool
    acknowledged: bool
    shelved_until: datetime | None
    shelved_why: str


class AlarmPage(Record, frozen=True):
    items: tuple[Alarm, ...] = msgspec.field(name="alarms")
    next: str = ""


class Alarms(Group[W]):
    """The routes below /alarms."""

    @lists(Alarm)
    def browse(
        self, *, source: str = "", shelved: Literal["no", "only", "too"] = "no", limit: int = 100, cursor: str = ""
    ) -> Ask[AlarmPage]:
        """Alarms that are active or not acknowledged."""
        return reads(path_of("alarms"), AlarmPage, source=source, shelved=shelved, limit=limit, cursor=cursor)

    @sends
    def acknowledge(self, alarm: str, reason: str = "", *, key: str | None = None) -> Ask[Done]:
        """Somebody has seen it and acts on it."""
        return writes("POST", path_of("alarms", alarm, "acknowledge"), Done, Why(reason), key=key)

    @sends
    def shelve(self, alarm: str, until: datetime, reason: str = "", *, key: str | None = None) -> Ask[Done]:
        """Keep it off the list for a while, 24 hours at most."""
        body = _Shelving(moment(until), reason)
        return writes("POST", path_of("alarms", alarm, "shelve"), Done, body, key=key)

    @sends
    def unshelve(self, alarm: str, reason: str = "", *, key: str | None = None) -> Ask[Done]:
        """Put it back on the list."""
        return writes("POST", path_of("alarms", alarm, "unshelve"), Done, Why(reason), key=key)
