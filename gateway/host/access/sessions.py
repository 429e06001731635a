"""Logins of browsers: who holds which cookie."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import apsw
import msgspec

from gateway.contract import Struct
from gateway.host.access.roles import Kind, Principal, Role
from gateway.host.access.roll import Known, Roll
from gateway.host.access.rows import rows
from gateway.host.access.tokens import TOKEN_LENGTH_MAX, csrf_of, digest, new_token
from gateway.host.store import Store
from gateway.site.http import SessionSpec

EACH_MAX = 20
"""Sessions of one name; the oldest ends when there is one more."""
SEEN_STEPS = 10
"""A session's last request is kept no finer than a tenth of its idle time: requests are not to become writes."""
COOKIE = "stellwerk_session"
STATE_COOKIE = "stellwerk_login"


class Session(Struct, frozen=True):
    """A login. `token` goes into the cookie and nowhere else; `csrf` goes to the page, which sends it back in the
    header X-CSRF-Token with whatever it changes."""

    token: str
    csrf: str
    principal: Principal
    expires_ns: int


class _Held(msgspec.Struct):
    name: str
    kind: str
    role: Role
    generation: int
    expires_ns: int
    seen_ns: int


class Sessions:
    """All sessions, in memory and in the store: a restart of the gateway logs nobody out."""

    SCHEMA: ClassVar[str] = """
    create table if not exists session (
        digest blob primary key, name text not null collate nocase, kind text not null, role text not null,
        generation integer not null, expires_ns integer not null, seen_ns integer not null
    ) strict, without rowid;
    """

    def __init__(self, store: Store, roll: Roll, spec: SessionSpec, now_ns: Callable[[], int]) -> None:
        self._store = store
        self._roll = roll
        self._now_ns = now_ns
        self._lifetime_ns = spec.hours_max * 3_600 * 10**9
        self._idle_ns = spec.idle_min_max * 60 * 10**9
        self._held: dict[bytes, _Held] = {}

    async def load(self) -> None:
        """Take those over that the last run has left."""
        found = await self._store.read(lambda db: rows(db, "select * from session"))
        self._held = {bytes(key): _Held(*row) for key, *row in found}

    async def begin(self, known: Known, role: Role) -> Session:
        """A new session; durable when it returns."""
        await self._sweep()
        now_ns = self._now_ns()
        token = new_token()
        key = digest(token)
        held = _Held(known.name, known.kind, role, known.generation, now_ns + self._lifetime_ns, now_ns)
        own = sorted((h.seen_ns, k) for k, h in self._held.items() if h.name == known.name)
        surplus = [k for _, k in own[: max(0, len(own) + 1 - EACH_MAX)]]

        def work(db: apsw.Connection) -> None:
            db.executemany("delete from session where digest = ?", [(k,) for k in surplus])
            db.execute("insert into session values (?, ?, ?, ?, ?, ?, ?)", (key, *msgspec.structs.astuple(held)))

        await self._store.write(work)
        for gone in surplus:
            self._held.pop(gone, None)
        self._held[key] = held
        return self._shown(token, held)

    async def find(self, token: str) -> Session | None:
        """The session of a cookie, while it lasts."""
        if len(token) > TOKEN_LENGTH_MAX:
            return None
        key = digest(token)
        held = self._held.get(key)
        now_ns = self._now_ns()
        if held is None or not self._lasts(held, now_ns):
            return None
        if now_ns - held.seen_ns > self._idle_ns // SEEN_STEPS:
            held.seen_ns = now_ns
            await self._store.write(
                lambda db: db.execute("update session set seen_ns = ? where digest = ?", (now_ns, key))
            )
        return self._shown(token, held)

    async def end(self, token: str) -> None:
        """Nothing happens where there is no such session."""
        if self._held.pop(key := digest(token), None) is not None:
            await self._store.write(lambda db: db.execute("delete from session where digest = ?", (key,)))

    def _lasts(self, held: _Held, now_ns: int) -> bool:
        known = self._roll.find(held.name)
        return (
            known is not None
            and known.generation == held.generation
            and now_ns < held.expires_ns
            and now_ns - held.seen_ns < self._idle_ns
        )

    def _shown(self, token: str, held: _Held) -> Session:
        known = self._roll.find(held.name)
        # A user's role may have changed since; that of the provider's people is the one they came with.
        role = known.role if known is not None and held.kind == "user" else held.role
        kind: Kind = "oidc" if held.kind == "oidc" else "user"
        return Session(token, csrf_of(token), Principal(held.name, kind, role), held.expires_ns)

    async def _sweep(self) -> None:
        """Forget those that have ended: so there are never more than EACH_MAX for each name."""
        now_ns = self._now_ns()
        gone = [key for key, held in self._held.items() if not self._lasts(held, now_ns)]
        if not gone:
            return
        for key in gone:
            del self._held[key]
        await self._store.write(lambda db: db.executemany("delete from session where digest = ?", [(k,) for k in gone]))


def cookie(name: str, value: str, *, secure: bool, max_age_s: int, cross_site: bool = False) -> str:
    """A Set-Cookie header. `secure`: the page is reached with TLS, be it by a proxy. `cross_site`: it must come back
    with the provider's redirect, so SameSite is Lax. `max_age_s` 0 takes the cookie away."""
    site = "Lax" if cross_site else "Strict"
    return f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite={site}{'; Secure' if secure else ''}"
