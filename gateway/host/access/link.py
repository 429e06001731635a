"""The way in for the first account: a link that is good once."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import apsw

from gateway.host.access.accounts import count_users, insert
from gateway.host.access.audit import Audit, AuditEntry
from gateway.host.access.roles import AccessError
from gateway.host.access.roll import Roll
from gateway.host.access.rows import rows
from gateway.host.access.tokens import digest, new_token
from gateway.host.store import Store


class FirstLink:
    """At most one link at a time; only its hash is kept."""

    SCHEMA: ClassVar[str] = """
    create table if not exists first_link (
        one integer primary key check (one = 1), digest blob not null, expires_ns integer not null
    ) strict;
    """

    def __init__(self, store: Store, roll: Roll, audit: Audit, now_ns: Callable[[], int], minutes_max: int) -> None:
        self._store = store
        self._audit = audit
        self._roll = roll
        self._now_ns = now_ns
        self._lasts_ns = minutes_max * 60 * 10**9

    async def make(self, noted: AuditEntry | None = None) -> str | None:
        """A new token, and the ones before it are worth nothing; None when there is a user already."""
        token = new_token()
        row = (digest(token), self._now_ns() + self._lasts_ns)

        def work(db: apsw.Connection) -> bool:
            db.execute("delete from first_link")
            if count_users(db):
                return False
            db.execute("insert into first_link values (1, ?, ?)", row)
            if noted is not None:
                self._audit.put(db, noted)
            return True

        return token if await self._store.write(work) else None

    async def is_good(self, token: str) -> bool:
        query = "select 1 from first_link where digest = ? and expires_ns > ?"
        values = (digest(token), self._now_ns())
        return bool(await self._store.read(lambda db: rows(db, query, values)))

    async def use(self, token: str, name: str, kept: str, noted: AuditEntry) -> None:
        """Make `name` the first admin. Of two at once one is told no: all of it is one transaction. Raises AccessError;
        the link is then as good as it was."""

        def work(db: apsw.Connection, turn: int) -> None:
            db.execute("delete from first_link where digest = ? and expires_ns > ?", (digest(token), self._now_ns()))
            if not db.changes():
                raise AccessError("conflict", NO_LINK)
            if count_users(db):
                raise AccessError("conflict", "there is an account already: log in, or ask its owner for one")
            insert(db, turn, name, "admin", kept, self._now_ns())

        await self._roll.change(work, noted)


def address(base_url: str, token: str) -> str:
    """What is printed for a person to open."""
    return f"{base_url.rstrip('/')}/first/{token}"


NO_LINK = "the link was used, has expired or was replaced by a newer one: `stellwerk access link` makes another one"
