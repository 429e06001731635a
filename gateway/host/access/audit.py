"""Who did what, when, from where and why: a log that is only ever added to.

Each entry's hash covers the one before it, so an entry that was changed, taken out or put in shows. There is no key in
it: whoever can write the file can write a whole new chain. Against that, note the head (`head`) elsewhere.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import apsw
import msgspec

from gateway.contract import Struct
from gateway.host.access.rows import rows
from gateway.host.store import Store

HASH_BYTES = 32
TEXT_MAX = {
    "who": 100, "kind": 20, "role": 20, "peer": 100, "method": 20, "path": 300, "what": 300, "why": 500,
    "request_id": 200, "outcome": 40, "detail": 1_000,
}  # fmt: skip
"""Characters kept of each text; what is longer is cut."""
READ_MAX = 1_000
READ_CHUNK = 20_000
VERIFY_CHUNK = 5_000
BREAKS_MAX = 20
TRIM_EVERY = 1_000
TRIM_MAX = 5_000
_encoder = msgspec.msgpack.Encoder()


class AuditEntry(Struct, frozen=True):
    """`number` counts from 1; 0 before the entry is kept. `what` names the request and its object, as in
    `cancel_order O1`; `outcome` is `accepted`, `refused` or `failed`; `status` is HTTP's, 0 where there is none."""

    who: str
    what: str
    outcome: str
    at_ns: int
    kind: str = ""
    role: str = ""
    peer: str = ""
    method: str = ""
    path: str = ""
    why: str = ""
    request_id: str = ""
    status: int = 0
    detail: str = ""
    number: int = 0


class Break(Struct, frozen=True):
    """Where the chain does not hold."""

    number: int
    problem: str


_FIELDS = (
    "at_ns", "who", "kind", "role", "peer", "method", "path", "what", "why", "request_id", "outcome", "status",
    "detail",
)  # fmt: skip
_COLUMNS = ", ".join(("number", *_FIELDS))


class Audit:
    """The log within a Store that was opened with SCHEMA."""

    SCHEMA: ClassVar[str] = """
    create table if not exists audit (
        number integer primary key, at_ns integer not null, who text not null, kind text not null, role text not null,
        peer text not null, method text not null, path text not null, what text not null, why text not null,
        request_id text not null, outcome text not null, status integer not null, detail text not null,
        hash blob not null
    ) strict;
    create index if not exists audit_who on audit (who, number);
    create table if not exists audit_end (
        side text primary key check (side in ('base', 'head')), number integer not null, hash blob not null
    ) strict;
    insert or ignore into audit_end values ('base', 0, zeroblob(32)), ('head', 0, zeroblob(32));
    create trigger if not exists audit_is_never_changed before update on audit
        begin select raise(abort, 'the audit log is only added to'); end;
    create trigger if not exists audit_is_never_cut before delete on audit
        when old.number > (select number from audit_end where side = 'base')
        begin select raise(abort, 'the audit log is only added to'); end;
    create trigger if not exists audit_has_no_gaps before insert on audit
        when new.number is not (select number from audit_end where side = 'head')
            or exists (select 1 from audit where number = new.number)
        begin select raise(abort, 'the audit log is only added to at its end'); end;
    create trigger if not exists audit_ends_never_go before delete on audit_end
        begin select raise(abort, 'the audit log is only added to'); end;
    create trigger if not exists audit_ends_only_grow before update on audit_end
        when new.side is not old.side or new.number < old.number
            or (new.side = 'base' and new.number > (select number from audit_end where side = 'head'))
        begin select raise(abort, 'the audit log is only added to'); end;
    """

    def __init__(self, store: Store, entries_max: int) -> None:
        """Beyond `entries_max` the oldest make room; the chain then begins with the hash of the last one that went."""
        self._store = store
        self._entries_max = entries_max

    async def append(self, entry: AuditEntry) -> int:
        """Keep `entry`; returns its number when it is durable. Raises StoreFull or apsw.Error: then what it tells of
        must not go unsaid, so don't do it."""
        return await self._store.write(lambda db: self.put(db, entry))

    def put(self, db: apsw.Connection, entry: AuditEntry) -> int:
        """The same, within somebody else's write: both are kept or neither is."""
        # A write first: it takes the lock that another process may hold, and its head is seen then.
        query = "update audit_end set number = number + 1 where side = 'head' returning number, hash"
        ((number, previous),) = rows(db, query)
        row = _row(entry)
        hashed = _hash(previous, number, row)
        marks = ", ".join("?" * (len(row) + 2))
        db.execute(f"insert into audit ({_COLUMNS}, hash) values ({marks})", (number, *row, hashed))
        db.execute("update audit_end set hash = ? where side = 'head'", (hashed,))
        if number % TRIM_EVERY == 0:
            _trim(db, number - self._entries_max)
        return int(number)

    async def read(
        self, before: int | None = None, limit: int = 100, *, who: str | None = None, what: str | None = None
    ) -> list[AuditEntry]:
        """Up to `limit` (at most READ_MAX) entries, newest first; those older than number `before`, of `who`, whose
        `what` begins so."""

        filters = {name: text for name, text in (("who", who), ("what", what)) if text is not None}
        count = max(0, min(limit, READ_MAX))
        end = (await self.head())[0] + 1
        end = end if before is None else max(0, min(before, end))
        found: list[AuditEntry] = []
        while end > 0 and len(found) < count:
            begin = max(0, end - READ_CHUNK)
            found.extend(await self._store.read(partial(_window, begin, end, count - len(found), filters)))
            end = begin
        return found

    async def head(self) -> tuple[int, str]:
        """Number and hash (hex) of the newest entry: noted elsewhere, they tell later if this is still that log."""

        def work(db: apsw.Connection) -> tuple[int, str]:
            ((number, hashed),) = rows(db, "select number, hash from audit_end where side = 'head'")
            return int(number), bytes(hashed).hex()

        return await self._store.read(work)

    async def verify(self) -> list[Break]:
        """Every break of the chain, the first one first, at most BREAKS_MAX; empty when it holds. Reads all of it,
        piece by piece, so that writes get their turn in between."""
        ends = await self._store.read(_ends)
        last, head = ends["head"]
        after = ends["base"][0]
        hashed: bytes | None = ends["base"][1]
        breaks: list[Break] = []
        while after < last and len(breaks) < BREAKS_MAX:
            found = await self._store.read(partial(_chunk, after, last))
            for number, *fields, kept in found:
                if number != after + 1:
                    breaks.append(Break(after + 1, f"the entries {after + 1} to {number - 1} are missing"))
                    hashed = None
                elif hashed is not None and _hash(hashed, number, tuple(fields)) != kept:
                    breaks.append(Break(number, f"entry {number} is not what was written, or follows another one"))
                after, hashed = number, bytes(kept)
            if not found:
                break
        base = (await self._store.read(_ends))["base"][0]
        if after < last and len(breaks) < BREAKS_MAX and base < last:
            breaks.append(Break(after + 1, f"the entries {after + 1} to {last} are missing at the end"))
        elif after == last and hashed != head:
            breaks.append(Break(last, f"the end of the log is not entry {last} as it was written"))
        # What has made room while this was reading is no gap.
        return [found for found in breaks if found.number > base][:BREAKS_MAX]


def _row(entry: AuditEntry) -> tuple[str | int, ...]:
    found: list[str | int] = []
    for name in _FIELDS:
        value = getattr(entry, name)
        found.append(_clean(value, TEXT_MAX[name]) if isinstance(value, str) else value)
    return tuple(found)


def _clean(text: str, length_max: int) -> str:
    """Cut, and with what is no character written out: the log takes whatever was sent."""
    cut = text if len(text) <= length_max else text[: length_max - 1] + "…"
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")


def _hash(previous: bytes, number: int, row: tuple[str | int, ...]) -> bytes:
    return blake2b(bytes(previous) + _encoder.encode((number, *row)), digest_size=HASH_BYTES).digest()


def _entry(row: tuple[object, ...]) -> AuditEntry:
    return msgspec.convert(dict(zip(("number", *_FIELDS), row, strict=True)), AuditEntry)


def _ends(db: apsw.Connection) -> dict[Literal["base", "head"], tuple[int, bytes]]:
    return {side: (number, bytes(hashed)) for side, number, hashed in rows(db, "select * from audit_end")}


def _window(begin: int, end: int, count: int, filters: dict[str, str], db: apsw.Connection) -> list[AuditEntry]:
    """A piece of the log, so that a filter which nothing fits does not keep the writes waiting."""
    tests = {"who": "who = :who", "what": "substr(what, 1, length(:what)) = :what"}
    where = " and ".join(["number >= :begin", "number < :end", *(tests[name] for name in filters)])
    query = f"select {_COLUMNS} from audit where {where} order by number desc limit :count"
    return [_entry(row) for row in rows(db, query, {"begin": begin, "end": end, "count": count, **filters})]


def _chunk(after: int, last: int, db: apsw.Connection) -> list[tuple[Any, ...]]:
    query = f"select {_COLUMNS}, hash from audit where number > ? and number <= ? order by number limit ?"
    return rows(db, query, (after, last, VERIFY_CHUNK))


def _trim(db: apsw.Connection, up_to: int) -> None:
    """Let the oldest entries up to `up_to` go, TRIM_MAX of them at a time."""
    ((base,),) = rows(db, "select number from audit_end where side = 'base'")
    up_to = min(up_to, base + TRIM_MAX)
    if up_to <= base:
        return
    for (hashed,) in rows(db, "select hash from audit where number = ?", (up_to,)):
        db.execute("update audit_end set number = ?, hash = ? where side = 'base'", (up_to, hashed))
        db.execute("delete from audit where number <= ?", (up_to,))
