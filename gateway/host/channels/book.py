"""What channels must not forget over a restart: files that were taken, deliveries of shops that were answered."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import msgspec

from gateway.contract import Struct
from gateway.host.store import Store

FILES_MAX = 20_000
DELIVERIES_MAX = 20_000
"""Of one channel; the oldest are forgotten first."""

SCHEMA = """
create table if not exists channel_file(
  channel text not null, digest text not null, name text not null, at_ns integer not null, pieces integer not null,
  accepted integer not null, refused integer not null, reply_bytes integer not null, finished integer not null,
  primary key(channel, digest)) without rowid;
create index if not exists channel_file_by_time on channel_file(channel, at_ns);
create table if not exists channel_delivery(
  channel text not null, delivery text not null, at_ns integer not null, status integer not null, reason text not null,
  primary key(channel, delivery)) without rowid;
create index if not exists channel_delivery_by_time on channel_delivery(channel, at_ns);
create table if not exists channel_event(
  channel text not null, seq integer not null, number integer not null, at_ns integer not null, body blob not null,
  primary key(channel, seq, number)) without rowid;
create table if not exists channel_counter(channel text primary key, number integer not null) without rowid;
create table if not exists channel_told(
  channel text primary key, seq integer not null, number integer not null) without rowid;
"""


class FileState(Struct, frozen=True):
    """How far a file has come. `pieces` requests were answered, and their answers are `reply_bytes` of its reply."""

    digest: str
    name: str
    at_ns: int
    pieces: int = 0
    accepted: int = 0
    refused: int = 0
    reply_bytes: int = 0
    finished: bool = False


class Book:
    """One channel's part of it."""

    def __init__(self, channel: str, store: Store, now_ns: Callable[[], int]) -> None:
        self._channel = channel
        self._store = store
        self.now_ns = now_ns

    async def file(self, digest: str) -> FileState | None:
        """The file with this content, if it was taken before and is not forgotten."""

        def look(db: apsw.Connection) -> FileState | None:
            columns = ", ".join(FileState.__struct_fields__)
            found = db.execute(
                f"select {columns} from channel_file where channel = ? and digest = ?", (self._channel, digest)
            ).fetchone()
            if found is None:
                return None
            return msgspec.convert(dict(zip(FileState.__struct_fields__, found, strict=True)), FileState, strict=False)

        return await self._store.read(look)

    async def note(self, state: FileState) -> None:
        """Durable when it returns."""

        def work(db: apsw.Connection) -> None:
            db.execute(
                "insert or replace into channel_file values(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._channel, state.digest, state.name, state.at_ns, state.pieces, state.accepted, state.refused,
                    state.reply_bytes, int(state.finished),
                ),
            )  # fmt: skip
            if state.finished:
                _forget(db, "channel_file", self._channel, FILES_MAX)

        await self._store.write(work)

    async def next_number(self) -> int:
        """1, 2, 3 … for what this channel numbers; after 999,999,999 it begins anew."""

        def work(db: apsw.Connection) -> int:
            found = db.execute(
                "insert into channel_counter values(?, 1) on conflict(channel) do update set "
                "number = number % 999999999 + 1 returning number",
                (self._channel,),
            ).fetchall()
            return int(str(found[0][0]))

        return await self._store.write(work)

    async def delivery(self, delivery: str) -> tuple[int, str] | None:
        """How a delivery was answered, if it was: status and reason."""

        def look(db: apsw.Connection) -> tuple[int, str] | None:
            found = db.execute(
                "select status, reason from channel_delivery where channel = ? and delivery = ?",
                (self._channel, delivery),
            ).fetchone()
            return (found[0], found[1]) if found is not None else None

        return await self._store.read(look)

    async def answered(self, delivery: str, status: int, reason: str) -> None:
        """Durable when it returns."""

        def work(db: apsw.Connection) -> None:
            db.execute(
                "insert or replace into channel_delivery values(?, ?, ?, ?, ?)",
                (self._channel, delivery, self.now_ns(), status, reason),
            )
            _forget(db, "channel_delivery", self._channel, DELIVERIES_MAX)

        await self._store.write(work)


def _forget(db: apsw.Connection, table: str, channel: str, count_max: int) -> None:
    db.execute(
        f"delete from {table} where channel = ?1 and at_ns < "
        f"(select at_ns from {table} where channel = ?1 order by at_ns desc limit 1 offset ?2)",
        (channel, count_max),
    )
