"""Workers at their stations, and the pieces of work that they are given."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.client.ask import Ask, Body, Done, Record, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends
from gateway.client.orders import Why


class _AtStation(Body, frozen=True):
    station: str


class _Help(Body, frozen=True):
    text: str = ""


class _ByPerson(Body, frozen=True):
    person: str


class _Short(Body, frozen=True):
    person: str
    found: int | None = None
    note: str = ""


class _Damaged(Body, frozen=True):
    person: str
    note: str = ""


class Worker(Record, frozen=True):
    """`station`: where the person is signed on, "" where nowhere. `work`: what they have in hand."""

    person: str
    name: str
    skills: tuple[str, ...]
    station: str
    work: str


class WorkerPage(Record, frozen=True):
    items: tuple[Worker, ...] = msgspec.field(name="workers")
    next: str = ""


class PieceOfWork(Record, frozen=True):
    """`state`: `waiting` for a person, `offered` to one who has not taken it up, or `accepted`."""

    work: str
    order: str
    step: str
    state: str
    load: str
    barcodes: tuple[str, ...]
    at: str
    station: str
    person: str
    skill: str
    recipe: str
    priority: int
    deadline: datetime | None
    offered_at: datetime | None
    accepted_at: datetime | None


class WorkList(Record, frozen=True):
    """By rank: what comes first is first."""

    work: tuple[PieceOfWork, ...]


class Workers(Group[W]):
    """The routes below /workers."""

    @lists(Worker)
    def browse(self, *, limit: int = 100, cursor: str = "") -> Ask[WorkerPage]:
        """The people of the site, by id."""
        return reads(path_of("workers"), WorkerPage, limit=limit, cursor=cursor)

    @sends
    def get(self, person: str) -> Ask[Worker]:
        """One person."""
        return reads(path_of("workers", person), Worker)

    @sends
    def sign_on(self, person: str, station: str, *, reason: str = "", key: str | None = None) -> Ask[Done]:
        """The person begins to work at a station."""
        path = path_of("workers", person, "sign-on")
        return writes("POST", path, Done, _AtStation(station), key=key, reason=reason)

    @sends
    def sign_off(self, person: str, reason: str = "", *, key: str | None = None) -> Ask[Done]:
        """The person goes; what they had in hand waits for the next one."""
        return writes("POST", path_of("workers", person, "sign-off"), Done, Why(reason), key=key)

    @sends
    def help(self, person: str, text: str = "", *, reason: str = "", key: str | None = None) -> Ask[Done]:
        """The person needs somebody: an alarm until it is acknowledged."""
        return writes("POST", path_of("workers", person, "help"), Done, _Help(text), key=key, reason=reason)


class Work(Group[W]):
    """The routes below /work."""

    @sends
    def browse(self, *, person: str = "", limit: int = 20) -> Ask[WorkList]:
        """What a person has in hand, then what waits where they stand for somebody with their skills."""
        return reads(path_of("work"), WorkList, person=person, limit=limit)

    @sends
    def accept(self, work: str, person: str, *, reason: str = "", key: str | None = None) -> Ask[Done]:
        """The person has taken up the piece of work that was given to them."""
        return writes("POST", path_of("work", work, "accept"), Done, _ByPerson(person), key=key, reason=reason)

    @sends
    def confirm(self, work: str, person: str, *, reason: str = "", key: str | None = None) -> Ask[Done]:
        """The work is done."""
        return writes("POST", path_of("work", work, "confirm"), Done, _ByPerson(person), key=key, reason=reason)

    @sends
    def short(
        self, work: str, person: str, found: int | None = None, note: str = "", *, key: str | None = None
    ) -> Ask[Done]:
        """There was less than was asked for: the step fails, and its order with it."""
        return writes("POST", path_of("work", work, "short"), Done, _Short(person, found, note), key=key)

    @sends
    def damaged(self, work: str, person: str, note: str = "", *, key: str | None = None) -> Ask[Done]:
        """The goods are damaged: the step fails, and its order with it."""
        return writes("POST", path_of("work", work, "damaged"), Done, _Damaged(person, note), key=key)
