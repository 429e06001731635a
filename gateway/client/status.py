"""How the gateway and its site are: probes, figures, who is asking, and what could not be told to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from gateway.client.ask import PREFIX, Ask, Body, Record, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends


class Summary(Record, frozen=True):
    """`orders`: kept orders by state · `steps`: their steps by state · `totals`: since the journal began · `devices` by
    what is with them · `waits_s_max`: how long the oldest order waits for its release."""

    at: datetime | None
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


class Alive(Record, frozen=True):
    status: str


class Ready(Record, frozen=True):
    """`ready`: requests are taken. What is None is for whoever may look on."""

    ready: bool
    status: str
    links: dict[str, int] | None = None
    last_input: int | None = None
    last_input_at: datetime | None = None
    live: bool | None = None


class About(Record, frozen=True):
    """`last_input_at`: time of the last input, by the clock of the gateway; `now`: its time."""

    site: str
    version: str
    now: datetime | None
    last_input: int
    last_input_at: datetime | None
    epoch: int
    timezone: str = "UTC"


class Who(Record, frozen=True):
    """Who is asking, and what they may do. `name` is the client of your orders."""

    name: str
    kind: str
    role: str
    csrf: str
    expires: datetime | None


class LetterPage(Record, frozen=True):
    """Letters as docs/outward.md has them."""

    items: tuple[dict[str, Any], ...] = msgspec.field(name="letters")
    next: str = ""


class Replayed(Record, frozen=True):
    request_id: str
    replayed: int
    repeated: bool = False


class _Numbers(Body, frozen=True):
    numbers: tuple[int, ...]


class Status(Group[W]):
    """Probes, figures, and who is asking."""

    @sends
    def health(self) -> Ask[Alive]:
        """The process is alive."""
        return reads(path_of("health"), Alive)

    @sends
    def ready(self) -> Ask[Ready]:
        """Whether requests are taken. A "no" is an answer, too: it is not waited for."""
        return replace(reads(path_of("ready"), Ready), statuses=frozenset({200, 503}))

    @sends
    def about(self) -> Ask[About]:
        """Site, version, and the time of the last input."""
        return reads(path_of("about"), About)

    @sends
    def summary(self) -> Ask[Summary]:
        """Figures as they are now."""
        return reads(path_of("reports", "summary"), Summary)

    @sends
    def who(self) -> Ask[Who]:
        """Whose key this is."""
        return reads(path_of("session"), Who)


class DeadLetters(Group[W]):
    """The routes below /dead-letters."""

    @lists(dict[str, Any])
    def browse(self, *, limit: int = 100, cursor: str = "") -> Ask[LetterPage]:
        """What could not be delivered, newest first."""
        return reads(path_of("dead-letters"), LetterPage, limit=limit, cursor=cursor)

    @sends
    def replay(self, numbers: Sequence[int], *, reason: str = "", key: str | None = None) -> Ask[Replayed]:
        """Try some of them again."""
        path = f"{PREFIX}/dead-letters:replay"
        return writes("POST", path, Replayed, _Numbers(tuple(numbers)), key=key, reason=reason)
