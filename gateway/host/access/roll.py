"""Who is known: all accounts and keys, in memory, and never older than a second.

Every request looks here, so it costs no disk. What another process changes (`stellwerk access`) is seen because every
change counts a number up, and that number is read again before the picture is a second old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, TypeVar

import apsw
import msgspec

from gateway.host.access.audit import Audit, AuditEntry
from gateway.host.access.roles import Role
from gateway.host.access.rows import rows
from gateway.host.store import Store

T = TypeVar("T")
LOOK_AFTER_S = 0.5
OLD_AFTER_S = 1.0


class Known(msgspec.Struct, frozen=True):
    """Somebody with a name. `generation` changes with whatever ends his sessions; a name given anew has another one."""

    name: str
    kind: str
    role: Role
    disabled: bool
    generation: int


class KnownKey(msgspec.Struct, frozen=True):
    name: str
    digest: bytes
    expires_ns: int
    """0: never."""


class Roll:
    """The picture. `people` is by folded name, `keys` by id, `subjects` by the provider's `sub`."""

    SCHEMA: ClassVar[str] = """
    create table if not exists access_change (one integer primary key check (one = 1), number integer not null) strict;
    insert or ignore into access_change values (1, 0);
    create table if not exists principal (
        name text primary key collate nocase, kind text not null check (kind in ('user', 'key', 'oidc')),
        role text not null check (role in ('viewer', 'operator', 'engineer', 'admin')),
        disabled integer not null default 0, generation integer not null, made_ns integer not null
    ) strict, without rowid;
    create table if not exists account (
        name text primary key collate nocase references principal (name) on delete cascade, password text not null
    ) strict, without rowid;
    create table if not exists api_key (
        id text primary key, name text not null collate nocase references principal (name) on delete cascade,
        digest blob not null, expires_ns integer not null, made_ns integer not null
    ) strict, without rowid;
    create index if not exists api_key_name on api_key (name);
    create table if not exists subject (
        subject text primary key, name text not null unique collate nocase references principal (name) on delete cascade
    ) strict, without rowid;
    """

    def __init__(self, store: Store, audit: Audit, steady_s: Callable[[], float]) -> None:
        self._store = store
        self._audit = audit
        self._steady_s = steady_s
        self._number = -1
        self._looked_s = float("-inf")
        self._look: asyncio.Future[None] | None = None
        self.people: dict[str, Known] = {}
        self.keys: dict[str, KnownKey] = {}
        self.subjects: dict[str, str] = {}

    async def fresh(self) -> None:
        """Return once the picture is at most OLD_AFTER_S old: nearly always at once. Raises apsw.Error."""
        age_s = self._steady_s() - self._looked_s
        if age_s < LOOK_AFTER_S:
            return
        if self._look is None:
            self._look = asyncio.ensure_future(self.look())
            self._look.add_done_callback(self._looked)
        if age_s >= OLD_AFTER_S:
            await asyncio.shield(self._look)

    async def look(self) -> None:
        """Bring the picture up to date."""
        began_s = self._steady_s()
        seen = self._number
        found = await self._store.read(lambda db: _picture(db, seen))
        # Two looks may be under way; the older one must not win.
        if found is not None and found[0] > self._number:
            self._number, self.people, self.keys, self.subjects = found
        self._looked_s = max(self._looked_s, began_s)

    async def change(self, work: Callable[[apsw.Connection, int], T], noted: AuditEntry | None = None) -> T:
        """Run `work(connection, generation)`, and keep `noted` in the audit log, in one transaction; when this returns,
        both are durable and the picture shows it."""

        def counted(db: apsw.Connection) -> T:
            # A write first: it takes the lock that another process may hold, so that no check is of old data.
            ((number,),) = rows(db, "update access_change set number = number + 1 returning number")
            done = work(db, number)
            if noted is not None:
                self._audit.put(db, noted)
            return done

        done = await self._store.write(counted)
        await self.look()
        return done

    def find(self, name: str) -> Known | None:
        """Who has this name and may come in."""
        known = self.people.get(name.casefold())
        return None if known is None or known.disabled else known

    def _looked(self, look: asyncio.Future[None]) -> None:
        self._look = None
        if not look.cancelled():
            look.exception()  # whoever waited has been told; the next one looks again


_Picture = tuple[int, dict[str, Known], dict[str, KnownKey], dict[str, str]]


def _picture(db: apsw.Connection, seen: int) -> _Picture | None:
    """None when nothing has changed since `seen`.

    The number is read first: where another process changes something meanwhile, the next look reads it all again.
    """
    ((number,),) = rows(db, "select number from access_change")
    if number == seen:
        return None
    everybody = rows(db, "select name, kind, role, disabled, generation from principal")
    people = {
        name.casefold(): Known(name, kind, role, bool(disabled), generation)
        for name, kind, role, disabled, generation in everybody
    }
    keys = {
        key_id: KnownKey(name, bytes(hashed), expires_ns)
        for key_id, name, hashed, expires_ns in rows(db, "select id, name, digest, expires_ns from api_key")
    }
    return number, people, keys, dict(rows(db, "select subject, name from subject"))
