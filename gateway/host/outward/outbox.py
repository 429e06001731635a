"""Events that wait for others, on the disk: what is kept, for whom, what was refused, and how far it goes.

An event is known by its input and its number in it. They come in order, so the last one that was kept says of every
other whether it is known: a start that replays the journal's end neither loses nor doubles anything.

An *era* begins when the store is new, or when the journal is behind what was kept: it is another one then, or an older
copy, and its numbers mean other events. Eras are times in seconds, so that event ids never come again, even where
journal and store were both thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from gateway.contract import Ns
from gateway.host.outward.event import Bounds, Event, Row
from gateway.host.outward.retention import drop_beyond, drop_dead_beyond, drop_older
from gateway.host.store import Store

SCHEMA = """
create table if not exists outward_mark(
    one integer primary key check (one = 1), era integer not null, seq integer not null, number integer not null,
    place integer not null) strict;
create table if not exists outward_events(
    place integer primary key, era integer not null, seq integer not null, number integer not null,
    at_ns integer not null, type text not null, subject text not null, body blob not null,
    unique (era, seq, number)) strict;
create table if not exists outward_due(
    target text not null, place integer not null, subject text not null, gap integer not null default 0,
    primary key (target, place)) strict, without rowid;
create index if not exists outward_due_subject on outward_due(target, subject, place);
create index if not exists outward_due_place on outward_due(place);
create table if not exists outward_targets(
    target text primary key, era integer not null, after_seq integer not null, delivered integer not null default 0,
    dropped integer not null default 0) strict, without rowid;
create table if not exists outward_dead(
    number integer primary key autoincrement, target text not null, dead_ns integer not null, tries integer not null,
    reason text not null, place integer not null, era integer not null, seq integer not null, part integer not null,
    at_ns integer not null, type text not null, subject text not null, body blob not null) strict;
create table if not exists outward_retained(
    target text not null, topic text not null, primary key (target, topic)) strict, without rowid;
create table if not exists outward_counters(name text primary key, value integer not null) strict, without rowid;
"""
NUMBER_MAX = 2**62
PAGE_MAX = 1_000
_ROWS = """select d.place, d.gap, e.era, e.seq, e.number, e.at_ns, e.type, d.subject, e.body
from outward_due d join outward_events e on e.place = d.place where d.target = ?"""
_FORGET = """delete from outward_events where place = ?1
and not exists (select 1 from outward_due where place = ?1)"""


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a target refused for good. `body` is what it was sent, as JSON text."""

    number: int
    target: str
    type: str
    subject: str
    at_ns: Ns
    dead_ns: Ns
    tries: int
    reason: str
    body: str


class Waiting(msgspec.Struct, frozen=True):
    """What stands in the store about one target."""

    target: str
    waiting: int
    oldest_ns: Ns
    delivered: int
    dropped: int
    dead_letters: int


class Mark(msgspec.Struct, frozen=True):
    """The last event that was kept: all up to it are known."""

    era: int
    seq: int
    number: int
    place: int


class Outbox:
    """The tables and how they change. `era` and `targets` stay as they are while it is open."""

    def __init__(
        self, store: Store, mark: Mark, targets: Sequence[Bounds], since: dict[str, int], count: dict[str, int]
    ) -> None:
        self.mark = mark
        self._store = store
        self._targets = targets
        self._since = since
        self._count = count
        """How many wait, by target: counted at the start and carried on, never too few."""

    @classmethod
    async def open(cls, store: Store, targets: Sequence[Bounds], kernel_seq: int, now_ns: Ns) -> Outbox:
        """`kernel_seq`: the last input that the kernel has applied. A target that was not there before is told of
        events after it, and of nothing that lies further back."""
        mark, since = await store.write(lambda c: _begin(c, [t.target for t in targets], kernel_seq, now_ns))
        rows = await store.read(lambda c: list(c.execute("select target, count(*) from outward_due group by target")))
        return cls(store, mark, targets, since, {t.target: 0 for t in targets} | dict(rows))

    # --- what comes in ---

    def is_known(self, seq: int, number: int) -> bool:
        return (seq, number) <= (self.mark.seq, self.mark.number)

    async def keep(self, events: Sequence[Event]) -> dict[str, int]:
        """Make `events` durable, in order; returns by target how many older ones were dropped for them."""
        rows, dues, place = [], [], self.mark.place
        for event in events:
            wanted = [t.target for t in self._targets if event.seq > self._since[t.target] and t.wants(event)]
            if not wanted:
                continue
            place += 1
            where = (place, self.mark.era, event.seq, event.number)
            rows.append((*where, event.at_ns, event.type, event.subject, event.body))
            dues += [(target, place, event.subject) for target in wanted]
        mark = Mark(self.mark.era, events[-1].seq, events[-1].number, place)
        count = dict(self._count)
        for target, _, _ in dues:
            count[target] += 1
        full = [t for t in self._targets if count[t.target] > t.waiting_max]

        def write(connection: apsw.Connection) -> dict[str, int]:
            connection.executemany("insert into outward_events values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.executemany("insert into outward_due(target, place, subject) values (?, ?, ?)", dues)
            _put_mark(connection, mark)
            return {t.target: drop_beyond(connection, t.target, t.waiting_max) for t in full}

        dropped = await self._store.write(write)
        self.mark = mark
        for target, _, _ in dues:
            self._count[target] += 1
        for target, number in dropped.items():
            self._count[target] -= number
        return {target: number for target, number in dropped.items() if number}

    # --- what goes out ---

    async def page(self, target: str, after: int, limit: int) -> list[Row]:
        """The oldest `limit` that wait for `target` after `place` `after`."""
        return await self._store.read(
            lambda c: [Row(*r) for r in c.execute(f"{_ROWS} and d.place > ? order by d.place limit ?",
                                                  (target, after, limit))]
        )  # fmt: skip

    async def page_of(self, target: str, subject: str, after: int, until: int, limit: int) -> list[Row]:
        """The same for one subject, up to and with place `until`."""
        return await self._store.read(
            lambda c: [Row(*r) for r in c.execute(
                f"{_ROWS} and d.subject = ? and d.place > ? and d.place <= ? order by d.place limit ?",
                (target, subject, after, until, limit))]
        )  # fmt: skip

    async def delivered(self, target: str, keys: Sequence[tuple[int, int]]) -> None:
        """These have arrived and wait no longer."""

        def write(connection: apsw.Connection) -> None:
            _take_off(connection, target, keys)
            connection.execute(
                "update outward_targets set delivered = delivered + ? where target = ?", (len(keys), target)
            )

        await self._store.write(write)
        self._count[target] = max(0, self._count[target] - len(keys))

    async def bury(self, bounds: Bounds, row: Row, now_ns: Ns, tries: int, reason: str) -> int:
        """`row` is a dead letter from now on; returns how many older ones made room for it."""

        def write(connection: apsw.Connection) -> int:
            connection.execute(
                """insert into outward_dead(target, dead_ns, tries, reason, place, era, seq, part, at_ns, type, subject,
                body) select ?, ?, ?, ?, place, era, seq, number, at_ns, type, subject, body
                from outward_events where place = ?""",
                (bounds.target, now_ns, tries, reason, row.place),
            )
            _take_off(connection, bounds.target, [row.key])
            return drop_dead_beyond(connection, bounds.target, bounds.dead_letters_max)

        made_room = await self._store.write(write)
        self._count[bounds.target] = max(0, self._count[bounds.target] - 1)
        return made_room

    async def drop_older(self, now_ns: Ns) -> dict[str, int]:
        """Drop what has waited longer than its target allows; returns by target how many those were."""

        def write(connection: apsw.Connection) -> dict[str, int]:
            return {t.target: drop_older(connection, t.target, now_ns - t.keep_ns) for t in self._targets}

        dropped = await self._store.write(write)
        for target, number in dropped.items():
            self._count[target] = max(0, self._count[target] - number)
        return {target: number for target, number in dropped.items() if number}

    # --- dead letters ---

    async def dead_letters(self, before: int | None, limit: int) -> list[DeadLetter]:
        """The newest `limit` of those with a smaller number than `before`."""

        def read(connection: apsw.Connection) -> list[DeadLetter]:
            rows = connection.execute(
                """select number, target, type, subject, at_ns, dead_ns, tries, reason, cast(body as text)
                from outward_dead where number < ? order by number desc limit ?""",
                (NUMBER_MAX if before is None else before, max(0, min(limit, PAGE_MAX))),
            )
            return [DeadLetter(*row) for row in rows]

        return await self._store.read(read)

    async def revive(self, numbers: Sequence[int]) -> list[tuple[str, int]]:
        """Let dead letters wait again, at their old places; returns target and place of each. One of a target that is
        not there any more stays dead."""
        known = {t.target for t in self._targets}

        def write(connection: apsw.Connection) -> list[tuple[str, int]]:
            found = []
            for number in numbers:
                row = connection.execute(
                    "select target, place, era, seq, part, at_ns, type, subject, body from outward_dead "
                    "where number = ?", (number,),
                ).fetchone()  # fmt: skip
                if row is None or row[0] not in known:
                    continue
                target, place, *_, subject, _ = row
                connection.execute("insert or ignore into outward_events values (?, ?, ?, ?, ?, ?, ?, ?)", row[1:])
                connection.execute(
                    "insert or ignore into outward_due(target, place, subject) values (?, ?, ?)",
                    (target, place, subject),
                )
                connection.execute("delete from outward_dead where number = ?", (number,))
                found.append((target, place))
            return found

        revived = await self._store.write(write)
        for target, _ in revived:
            self._count[target] += 1
        return revived

    # --- the rest ---

    async def waiting(self) -> list[Waiting]:
        """One a target, also of those that are not in the YAML any more but have something waiting."""

        def read(connection: apsw.Connection) -> list[Waiting]:
            return [Waiting(*row) for row in connection.execute(
                """select t.target, (select count(*) from outward_due d where d.target = t.target),
                coalesce((select e.at_ns from outward_due d join outward_events e on e.place = d.place
                    where d.target = t.target order by d.place limit 1), 0),
                t.delivered, t.dropped, (select count(*) from outward_dead x where x.target = t.target)
                from outward_targets t order by t.target""")]  # fmt: skip

        return await self._store.read(read)

    async def retained(self, target: str) -> set[str]:
        """Topics at which this target may have left a value behind."""
        return await self._store.read(
            lambda c: {
                topic for (topic,) in c.execute("select topic from outward_retained where target = ?", (target,))
            }
        )

    async def retain(self, target: str, added: Iterable[str], removed: Iterable[str]) -> None:
        new, gone = [(target, topic) for topic in added], [(target, topic) for topic in removed]

        def write(connection: apsw.Connection) -> None:
            connection.executemany("insert or ignore into outward_retained values (?, ?)", new)
            connection.executemany("delete from outward_retained where target = ? and topic = ?", gone)

        if new or gone:
            await self._store.write(write)

    async def count_on(self, name: str, below: int) -> int:
        """The next of 0, 1 … `below` − 1, 0 … under this name, durable."""

        def write(connection: apsw.Connection) -> int:
            row = connection.execute("select value from outward_counters where name = ?", (name,)).fetchone()
            value: int = 0 if row is None else (row[0] + 1) % below
            connection.execute("insert or replace into outward_counters values (?, ?)", (name, value))
            return value

        return await self._store.write(write)


def _begin(connection: apsw.Connection, targets: list[str], kernel_seq: int, now_ns: Ns) -> tuple[Mark, dict[str, int]]:
    found = connection.execute("select era, seq, number, place from outward_mark").fetchone()
    mark = Mark(*found) if found else None
    if mark is None or kernel_seq < mark.seq:
        era, place = (now_ns // 1_000_000_000, 0) if mark is None else (mark.era + 1, mark.place)
        # What the journal holds up to here was told in the era before, or nobody wanted it then.
        mark = Mark(max(era, now_ns // 1_000_000_000), kernel_seq, NUMBER_MAX, place)
        _put_mark(connection, mark)
    since = {}
    for target in targets:
        row = connection.execute("select era, after_seq from outward_targets where target = ?", (target,)).fetchone()
        if row is None:
            row = (mark.era, kernel_seq)
            connection.execute("insert into outward_targets(target, era, after_seq) values (?, ?, ?)", (target, *row))
        since[target] = row[1] if row[0] == mark.era else -1
    return mark, since


def _put_mark(connection: apsw.Connection, mark: Mark) -> None:
    connection.execute(
        "insert or replace into outward_mark values (1, ?, ?, ?, ?)", (mark.era, mark.seq, mark.number, mark.place)
    )


def _take_off(connection: apsw.Connection, target: str, keys: Sequence[tuple[int, int]]) -> None:
    connection.executemany(
        "delete from outward_due where target = ? and place = ? and gap = ?", [(target, *key) for key in keys]
    )
    connection.executemany(_FORGET, [(place,) for place, _ in keys])
