"""Answers to writes that are not the kernel's, to be told again when the same is asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import ClassVar

import apsw
from starlette.responses import Response

from gateway.host.api.call import Call
from gateway.host.api.giving import JSON
from gateway.host.api.problem import Refusal
from gateway.host.store import Store

ANSWERS_MAX = 100_000
SWEEP = 1_000
"""The oldest make room so many at a time."""
REUSED = "this Idempotency-Key was used before with other content"


def digest_of(call: Call) -> bytes:
    """What makes a request the same request: method, path and body, and the version that it was decided by."""
    found = blake2b(digest_size=16)
    for part in (call.method, call.scope["path"], call.headers.get("if-match", "")):
        found.update(part.encode("utf-8", "surrogateescape") + b"\n")
    found.update(getattr(call, "_body", b""))
    return found.digest()


class Remembered:
    """By client and key, in the Store; refusals are not kept, since what they say may change."""

    SCHEMA: ClassVar[str] = """
    create table if not exists api_answer (
        number integer primary key, client text not null, key text not null, digest blob not null,
        status integer not null, location text not null, body blob not null, unique (client, key)
    ) strict;
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._busy: set[tuple[str, str]] = set()

    async def claim(self, client: str, key: str, digest: bytes) -> None:
        """Let `key` stand for this content for ever. Raises Refusal where it stands for another one."""

        def work(db: apsw.Connection) -> bytes:
            for (kept,) in db.execute("select digest from api_answer where client = ? and key = ?", (client, key)):
                return bytes(kept)
            _put(db, client, key, digest, 0, "", b"")
            return digest

        if await self._store.write(work) != digest:
            raise Refusal("reused", REUSED)

    async def once(self, call: Call, work: Callable[[], Awaitable[Response]]) -> Response:
        """The answer of `work`, done once for the call's key. After a power cut between the deed and this note it may
        be done again: a repeat then makes another version, or finds that it is so already."""
        if not call.key_given:
            return await work()
        client, key, digest = call.principal.name, call.key, digest_of(call)
        if call.is_known(key):
            raise Refusal("reused", REUSED)
        if (client, key) in self._busy:
            raise Refusal("conflict", "the same is being done just now: ask again in a moment")
        self._busy.add((client, key))
        try:
            kept = await self._store.read(lambda db: _found(db, client, key))
            if kept is not None:
                if kept[0] != digest:
                    raise Refusal("reused", REUSED)
                call.replayed = True
                headers = {"Location": kept[2]} if kept[2] else None
                return Response(kept[3], kept[1], headers, JSON)
            response = await work()
            location = response.headers.get("location", "")
            row = (client, key, digest, response.status_code, location, bytes(response.body))
            await self._store.write(lambda db: _put(db, *row))
            return response
        finally:
            self._busy.discard((client, key))


def _found(db: apsw.Connection, client: str, key: str) -> tuple[bytes, int, str, bytes] | None:
    query = "select digest, status, location, body from api_answer where client = ? and key = ?"
    for digest, status, location, body in db.execute(query, (client, key)):
        return bytes(digest), int(status), str(location), bytes(body)
    return None


def _put(db: apsw.Connection, client: str, key: str, digest: bytes, status: int, location: str, body: bytes) -> None:
    row = (client, key, digest, status, location, body)
    db.execute("insert into api_answer (client, key, digest, status, location, body) values (?, ?, ?, ?, ?, ?)", row)
    number = db.last_insert_rowid()
    if number % SWEEP == 0:
        db.execute("delete from api_answer where number <= ?", (number - ANSWERS_MAX,))
