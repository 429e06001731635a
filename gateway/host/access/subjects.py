"""People whom the identity provider vouches for: the name each one has here, for ever."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b

import apsw

from gateway.host.access.accounts import claim_name
from gateway.host.access.roles import AccessError, Role
from gateway.host.access.roll import Known, Roll
from gateway.host.access.rows import rows

PREFIX = "oidc:"
"""No user or key can have it in his name, so nobody there can take a name from here."""
NAME_LENGTH_MAX = 48


class Subjects:
    """`sub` → name. The provider's names may be changed or given to others; `sub` never is."""

    def __init__(self, roll: Roll, now_ns: Callable[[], int]) -> None:
        self._roll = roll
        self._now_ns = now_ns

    async def known(self, subject: str, wanted: str, role: Role) -> Known | None:
        """Who `subject` is here; None when he is disabled. At the first time he gets the name `wanted`, with a mark
        behind it where another one has that. Raises AccessError, StoreFull."""
        name = self._roll.subjects.get(subject)
        if name is None:
            name = await self._roll.change(lambda db, turn: self._enter(db, turn, subject, wanted, role))
        return self._roll.find(name)

    async def seen(self, known: Known, role: Role) -> None:
        """Keep the role of a login, for whoever reads the list."""
        if known.role != role:
            await self._roll.change(
                lambda db, _: db.execute("update principal set role = ? where name = ?", (role, known.name))
            )

    def _enter(self, db: apsw.Connection, turn: int, subject: str, wanted: str, role: Role) -> str:
        for (name,) in rows(db, "select name from subject where subject = ?", (subject,)):
            return str(name)  # another request of his was first
        plain = PREFIX + (re.sub(r"[^A-Za-z0-9_.@\-]", "_", wanted)[:NAME_LENGTH_MAX] or "_")
        mark = blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        name = plain
        if rows(db, "select 1 from principal where name = ?", (plain,)):
            name = f"{plain}.{mark}"
        try:
            claim_name(db, turn, name, "oidc", role, self._now_ns())
        except AccessError as error:
            raise AccessError(error.code, f"{wanted[:80]} can't be entered: {error.reason}") from None
        db.execute("insert into subject values (?, ?)", (subject, name))
        return name
