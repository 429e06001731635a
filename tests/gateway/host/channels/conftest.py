"""A channel as the assembly builds it, at work on a gateway or on an ask that the test holds up."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from gateway.contract import Reply, Request
from gateway.host.channels.assembly import Channel, channels_for
from gateway.host.channels.book import SCHEMA
from gateway.host.channels.hook import Hook
from gateway.host.store import Store
from gateway.site import ChannelSpec, Site

Ask = Callable[[str, str, Request], Awaitable[Reply]]
START_NS = 1_795_600_000 * 10**9


class Desk:
    """Answers as a gateway would: what it has answered before it answers the same. Remembers what it was asked, may be
    closed, and may refuse."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Request]] = []
        self.done: dict[str, Request] = {}
        """Request id → what was carried out under it, once."""
        self.refuses: Callable[[str], Reply | None] = lambda request_id: None
        self.open = asyncio.Event()
        self.open.set()
        self.in_flight = self.in_flight_max = 0

    async def ask(self, client: str, request_id: str, request: Request) -> Reply:
        self.asked.append((request_id, request))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight, self.in_flight_max)
        try:
            await asyncio.sleep(0)  # no answer comes in the turn of its question
            await self.open.wait()
        finally:
            self.in_flight -= 1
        refusal = self.refuses(request_id)
        if refusal is not None:
            return refusal
        if self.done.setdefault(request_id, request) != request:
            return Reply(client, request_id, False, "other content", "reused")
        return Reply(client, request_id, True)


class Way:
    """One channel of a site, its store and its log; `restart` makes it anew as a start of the process would."""

    def __init__(self, spec: dict[str, Any], folder: Path, store: Store) -> None:
        self.data = folder
        self.store = store
        self.desk = Desk()
        self.log = structlog.testing.CapturingLogger()
        self.now_ns = START_NS
        self.spec = ChannelSpec.model_validate(spec)
        self.ask: Ask = self.desk.ask
        self.restart()

    def restart(self) -> None:
        site = Site.model_validate({"site": {"id": "test", "name": "Test", "timezone": "Europe/Berlin"}})
        site = site.model_copy(update={"channels": (self.spec,)})
        log: Any = self.log
        self.channels: list[Channel]
        self.hooks: dict[str, Hook]
        self.channels, self.hooks = channels_for(site, self.data, self.ask, log, self.store, lambda: self.now_ns)

    @property
    def folder(self) -> Path:
        return self.data / "inbox" / self.spec.id

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        (channel,) = self.channels
        task = asyncio.create_task(channel.run())
        try:
            yield
        finally:
            ended = task.done() and task.exception()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert not ended

    def said(self, event: str) -> list[dict[str, Any]]:
        return [dict(call.kwargs) for call in self.log.calls if call.args and call.args[0] == event]


class Cable:
    """A line to a server of this machine that may be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server

    async def plug(self, port: int) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", port)

    async def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, there_writer]
        with suppress(OSError):
            await asyncio.gather(_pass(reader, there_writer), _pass(there_reader, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.transport.abort()


Make = Callable[[dict[str, Any]], Way]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "host.sqlite", SCHEMA)
    yield store
    await store.close()


@pytest.fixture
async def make(tmp_path: Path, store: Store) -> Make:
    return lambda spec: Way(spec, tmp_path, store)


TABLES = (Path(__file__).parents[4] / "config" / "channels" / "table.sql").read_text()


class Database:
    """A schema of its own in a real PostgreSQL, with the two tables, as the host sees it."""

    def __init__(self, dsn: str, schema: str, connection: psycopg.AsyncConnection[Any]) -> None:
        self.dsn = dsn
        self.schema = schema
        self.connection = connection

    async def rows(self, text: str, *values: object) -> list[Any]:
        cursor = await self.connection.execute(text, values)  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description is not None else []


@pytest.fixture
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """From STELLWERK_TEST_POSTGRES=postgresql://…; skips, or fails, without."""
    import peers  # only where it is wanted: it brings the drivers with it

    dsn = os.environ.get("STELLWERK_TEST_POSTGRES")
    if not dsn:
        peers.missing(request.node, "PostgreSQL", "set STELLWERK_TEST_POSTGRES=postgresql://user@127.0.0.1/test")
    peers.met(request.node, "PostgreSQL, with a channel's tables")
    schema = f"swk_{uuid.uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(f"create schema {schema}")  # type: ignore[arg-type]
        try:
            await connection.execute(f"set search_path to {schema}")  # type: ignore[arg-type]
            await connection.execute(TABLES)  # type: ignore[arg-type]
            yield Database(dsn, schema, connection)
        finally:
            await connection.execute(f"drop schema {schema} cascade")  # type: ignore[arg-type]
