"""Requests from a table of a PostgreSQL database, and answers and order events into another.

Rows are taken in the order of their ids, and marked as taken in the transaction that writes their answers. A row whose
answer was lost on the way (the line, the database or the gateway went down in between) is taken again with the same
request ids, so it is done once. NOTIFY is a hint only: the table is looked at every `poll_s` in any case.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Effect, Ns, StepEvent, Struct
from gateway.host.channels.asking import Asking, Outcome
from gateway.host.channels.events import Events, KeptEvent
from gateway.host.channels.intake import Intake, Piece
from gateway.host.channels.line import Line
from gateway.host.formats import Unreadable
from gateway.host.patience import honour_cancellation
from gateway.site.channels import TableSpec
from gateway.site.outward import is_this_machine

CONNECT_S = 10
DSN_BYTES_MAX = 4_096
EVENTS_PER_TURN = 500
SAFE_MODES = ("verify-full", "verify-ca")
WAKE_S = 0.25
"""How soon an event is seen that is heard while the channel waits for rows."""


class TableAway(Exception):
    """The database can't be used; the text is for an operator."""


class _Row(Struct, frozen=True):
    id: str
    payload: str


_Connection = psycopg.AsyncConnection[tuple[object, ...]]


class TableChannel:
    def __init__(
        self, spec: TableSpec, intake: Intake, asking: Asking, events: Events | None, site: str, log: Log
    ) -> None:
        self.client = asking.client
        self._spec = spec
        self._intake = intake
        self._asking = asking
        self._events = events
        self._name = f"stellwerk {site} {asking.client}"
        self._line = Line(asking.client, log)
        self._log = log
        self._ids = _in_order_of(spec)

    def heard(self, seq: int, number: int, at_ns: Ns, effect: Effect) -> None:
        """A `Listener`: events of this channel's orders are kept for the outbox."""
        if self._events is not None:
            self._events.heard(seq, number, at_ns, effect)

    async def flush(self) -> None:
        """All that was heard is durable when it returns."""
        if self._events is not None:
            await self._events.flush()

    async def run(self) -> None:
        """Connect, take, connect again, for ever."""
        while True:
            honour_cancellation()
            try:
                await self._one_connection()
            except TableAway as away:
                self._line.away(str(away))
            except (psycopg.Error, OSError) as error:
                self._line.away(_why(error))
            await self.flush()  # else events would gather in memory while the database is away
            await asyncio.sleep(self._line.wait_s())

    async def _one_connection(self) -> None:
        dsn = await asyncio.to_thread(self._dsn)
        connection = await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=CONNECT_S, application_name=self._name
        )
        try:
            await connection.execute(sql.SQL("listen {}").format(sql.Identifier(self._spec.notify)))
            await self._take(connection)  # a table that is not there is told now
            self._line.up()
            while True:
                honour_cancellation()
                taken = await self._take(connection)
                told = await self._tell(connection)
                if not taken and not told:
                    await self._wait(connection)
        finally:
            with suppress(psycopg.Error, OSError):  # gone already
                await connection.close()

    async def _wait(self, connection: _Connection) -> None:
        """Until a hint comes, an event is heard, or it is time to look."""
        left_s = self._spec.poll_s
        while left_s > 0 and not (self._events is not None and self._events.has_news):
            honour_cancellation()
            step_s = min(left_s, WAKE_S) if self._events is not None else left_s
            async for _ in connection.notifies(timeout=step_s, stop_after=1):
                return
            left_s -= step_s

    async def _take(self, connection: _Connection) -> int:
        """Rows that were taken and answered; 0 where none waits."""
        async with connection.transaction():
            found = await (await connection.execute(self._ids, {"most": self._spec.batch_max})).fetchall()
            rows = [_Row(str(row[0]), str(row[1]) if row[1] is not None else "") for row in found]
            if not rows:
                return 0
            answers = await self._carry_out(rows)
            async with connection.cursor() as cursor:
                await cursor.executemany(_answer_of(self._spec), answers)
                await cursor.execute(_mark_of(self._spec), {"ids": [row[0] for row in found]})
        return len(rows)

    async def _carry_out(self, rows: Sequence[_Row]) -> list[dict[str, object]]:
        pieces: list[Piece] = []
        owners: list[str] = []
        for row in rows:
            for piece in await asyncio.to_thread(self._pieces, row):
                pieces.append(piece)
                owners.append(row.id)
        outcomes = await self._asking.ask_all(pieces)
        return [_answer(owner, outcome) for owner, outcome in zip(owners, outcomes, strict=True)]

    def _pieces(self, row: _Row) -> list[Piece]:
        try:
            data = _bytes_of(row.payload)
            if len(data) > self._spec.bytes_max:
                raise Unreadable("message", f"{len(data)} bytes, at most {self._spec.bytes_max}", "split it")
            pieces = self._intake.whole(data, row.id, f"row-{row.id}")
        except Unreadable as problem:
            self._log.warning("row refused", channel=self.client, row=row.id, reason=str(problem))
            return [Piece("row", "", None, str(problem))]
        # Nothing to do is an answer, too: the host sees that the row was taken.
        return pieces or [Piece("row", f"row-{row.id}", None, "")]

    async def _tell(self, connection: _Connection) -> int:
        """Order events that were written into the outbox; 0 where there is none."""
        if self._events is None:
            return 0
        await self._events.flush()
        kept = await self._events.oldest(EVENTS_PER_TURN)
        if not kept:
            return 0
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(_event_of(self._spec), [_event(event) for event in kept])
        # A crash in between tells them again: the outbox knows them by seq and number.
        await self._events.told(kept[-1])
        return len(kept)

    def _dsn(self) -> str:
        """Raises TableAway with what is wrong; the text never holds the string itself."""
        spec = self._spec
        source = f"`dsn_file` {spec.dsn_file}" if spec.dsn_file else f"`dsn_env` {spec.dsn_env}"
        try:
            if spec.dsn_file:
                with Path(spec.dsn_file).open(encoding="utf-8") as file:
                    text = file.read(DSN_BYTES_MAX + 1).strip()
            else:
                text = os.environ.get(spec.dsn_env, "").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TableAway(f"{source} can't be read: {error}") from None
        if not text or len(text) > DSN_BYTES_MAX:
            raise TableAway(f"{source} must hold a connection string of 1 to {DSN_BYTES_MAX} characters")
        try:
            parts = conninfo_to_dict(text)
        except psycopg.Error:
            # libpq's own message may hold parts of the string, and so of the password.
            raise TableAway(f"{source} holds no connection string: postgresql://user:password@host/database") from None
        hosts = f"{parts.get('hostaddr') or parts.get('host') or ''}".split(",")
        near = all(not host or host.startswith(("/", "@")) or is_this_machine(host) for host in hosts)
        if not near and spec.tls is None and parts.get("sslmode") not in SAFE_MODES:
            raise TableAway(
                f"{source} leads to another machine without a checked certificate: add sslmode=verify-full and "
                "sslrootcert=…, or waive it with `tls: waived`"
            )
        return text


def _bytes_of(payload: str) -> bytes:
    """jsonb as it is; a JSON string is the text within it, for formats that are no JSON."""
    if payload.startswith('"'):
        try:
            return msgspec.json.decode(payload, type=str).encode()
        except msgspec.DecodeError:
            pass  # a text column whose text begins with a quote
    return payload.encode("utf-8", "surrogatepass")


def _answer(row: str, outcome: Outcome) -> dict[str, object]:
    # A row that the mapping ignores has no request and no problem.
    ignored = not outcome.request and not outcome.reason
    return {
        "in_id": row,
        "kind": "answer",
        "request_id": _clean(outcome.request_id),
        "request": _clean(outcome.request),
        "accepted": outcome.accepted or ignored,
        "code": "" if ignored else outcome.code,
        "reason": "nothing to do" if ignored else _clean(outcome.reason),
        "place": outcome.place,
    }


def _event(kept: KeptEvent) -> dict[str, object]:
    body = kept.body
    return {
        "kind": "step" if isinstance(body, StepEvent) else "order",
        "seq": kept.seq,
        "number": kept.number,
        "at": datetime.fromtimestamp(kept.at_ns / 1e9, UTC),
        "order_id": _clean(body.order),
        "state": body.state,
        "reason": _clean(body.reason),
        "body": msgspec.json.encode(body).decode().replace("\\u0000", "\\ufffd"),
    }


def _clean(text: str) -> str:
    """What PostgreSQL takes as text: one character that it does not take would keep the row waiting for ever."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _table(spec: TableSpec, name: str) -> sql.Identifier:
    return sql.Identifier(spec.schema_name, name)


def _in_order_of(spec: TableSpec) -> sql.Composed:
    payload = sql.SQL("t.{}::text").format(sql.Identifier(spec.payload_column))
    return sql.SQL(
        "select t.{id}, {payload} from {table} t where t.{taken} is null order by t.{id} "
        "for update skip locked limit %(most)s"
    ).format(
        id=sql.Identifier(spec.id_column),
        payload=payload if spec.payload_column else sql.SQL("to_jsonb(t)::text"),
        table=_table(spec, spec.inbox),
        taken=sql.Identifier(spec.taken_column),
    )


def _mark_of(spec: TableSpec) -> sql.Composed:
    return sql.SQL("update {table} set {taken} = now() where {id} = any(%(ids)s)").format(
        table=_table(spec, spec.inbox), taken=sql.Identifier(spec.taken_column), id=sql.Identifier(spec.id_column)
    )


def _answer_of(spec: TableSpec) -> sql.Composed:
    return sql.SQL(
        "insert into {} (kind, in_id, request_id, request, accepted, code, reason, place) values (%(kind)s, "
        "%(in_id)s, %(request_id)s, %(request)s, %(accepted)s, %(code)s, %(reason)s, %(place)s)"
    ).format(_table(spec, spec.outbox))


def _event_of(spec: TableSpec) -> sql.Composed:
    return sql.SQL(
        "insert into {} (kind, seq, number, at, order_id, state, reason, body) values (%(kind)s, %(seq)s, %(number)s, "
        "%(at)s, %(order_id)s, %(state)s, %(reason)s, %(body)s) on conflict (seq, number) do nothing"
    ).format(_table(spec, spec.outbox))


def _why(error: Exception) -> str:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return f"{str(error).splitlines()[0]}: make the tables with config/channels/table.sql, or correct their names"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"{str(error).splitlines()[0]}: grant the gateway's user what config/channels/table.sql says"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
