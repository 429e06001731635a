"""People with a password of their own here."""

from __future__ import annotations

import re
from collections.abc import Callable

import apsw

from gateway.contract import Struct
from gateway.host.access.audit import AuditEntry
from gateway.host.access.passwords import Passwords
from gateway.host.access.roles import ANONYMOUS_NAME, ROLES, AccessError, Role
from gateway.host.access.roll import Roll
from gateway.host.access.rows import rows
from gateway.host.store import Store

PEOPLE_MAX = 10_000
"""Users, keys and people of the identity provider together."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@\-]{0,63}")


class Account(Struct, frozen=True):
    """Somebody who may log in. `kind` is `user`, or `oidc` for people whom the identity provider has vouched for; their
    role is the one of their last login."""

    name: str
    kind: str
    role: Role
    disabled: bool
    made_ns: int


class Accounts:
    """Each change is durable and in force when its call returns, and kept together with `noted` in the audit log.
    Raises AccessError where it can't be made, StoreFull, TooManyHashes."""

    def __init__(self, store: Store, roll: Roll, passwords: Passwords, now_ns: Callable[[], int]) -> None:
        self._store = store
        self._roll = roll
        self._passwords = passwords
        self._now_ns = now_ns

    async def list(self) -> list[Account]:
        """All of them, by name."""
        query = "select name, kind, role, disabled, made_ns from principal where kind <> 'key' order by name"
        found = await self._store.read(lambda db: rows(db, query))
        return [Account(name, kind, role, bool(disabled), made_ns) for name, kind, role, disabled, made_ns in found]

    async def add(self, name: str, password: str, role: Role, *, noted: AuditEntry | None = None) -> None:
        check_name(name)
        check_role(role)
        kept = await self._passwords.hash(name, password)
        await self._roll.change(lambda db, turn: insert(db, turn, name, role, kept, self._now_ns()), noted)

    async def change(
        self,
        name: str,
        *,
        role: Role | None = None,
        password: str | None = None,
        disabled: bool | None = None,
        noted: AuditEntry | None = None,
    ) -> None:
        """A new password or being disabled ends all sessions of `name` at once; a new role counts from the next
        request. Of somebody from the identity provider only `disabled` can be changed here."""
        if role is not None:
            check_role(role)
        kept = None if password is None else await self._passwords.hash(name, password)

        def work(db: apsw.Connection, turn: int) -> None:
            kind, was_admin = _standing(db, name)
            if kind == "oidc" and (role is not None or kept is not None):
                raise AccessError("conflict", f"{name} is the identity provider's: role and password are changed there")
            if role is not None:
                db.execute("update principal set role = ? where name = ?", (role, name))
            if kept is not None:
                db.execute("update account set password = ? where name = ?", (kept, name))
            if disabled is not None:
                db.execute("update principal set disabled = ? where name = ?", (disabled, name))
            if kept is not None or disabled:
                db.execute("update principal set generation = ? where name = ?", (turn, name))
            if was_admin:
                _check_admins(db, name)

        await self._roll.change(work, noted)

    async def remove(self, name: str, *, noted: AuditEntry | None = None) -> None:
        """Forget `name`. The audit log goes on naming it."""

        def work(db: apsw.Connection, _: int) -> None:
            was_admin = _standing(db, name)[1]
            db.execute("delete from principal where name = ?", (name,))
            if was_admin:
                _check_admins(db, name)

        await self._roll.change(work, noted)


def check_name(name: str) -> None:
    """Raises AccessError."""
    if not NAME.fullmatch(name):
        rule = "1 to 64 letters, digits, or one of _ . @ -, beginning with a letter or digit"
        raise AccessError("invalid", f"{name[:80]!r} is no name: it has {rule}")
    if name.casefold() == ANONYMOUS_NAME:
        raise AccessError("invalid", f"{name!r} is who has not logged in: choose another name")


def check_role(role: str) -> None:
    """Raises AccessError."""
    if role not in ROLES:
        raise AccessError("invalid", f"{role[:80]!r} is no role: it is one of {', '.join(ROLES)}")


def claim_name(db: apsw.Connection, turn: int, name: str, kind: str, role: Role, now_ns: int) -> None:
    """Make `name` somebody's. Raises AccessError where it is taken, in whatever case, or there are too many."""
    ((count,),) = rows(db, "select count(*) from principal")
    if count >= PEOPLE_MAX:
        raise AccessError("limit", f"there are {count} names, at most {PEOPLE_MAX}: remove those not used any more")
    for (taken,) in rows(db, "select kind from principal where name = ?", (name,)):
        what = {"user": "a user", "key": "a key", "oidc": "a person of the identity provider"}[taken]
        raise AccessError("conflict", f"{name} is the name of {what} already: choose another one")
    db.execute("insert into principal values (?, ?, ?, 0, ?, ?)", (name, kind, role, turn, now_ns))


def insert(db: apsw.Connection, turn: int, name: str, role: Role, kept: str, now_ns: int) -> None:
    """A new account with the password hash `kept`."""
    if role != "admin" and not count_users(db):
        raise AccessError("conflict", f"the first account is an admin's, {name} would be {role}: add an admin first")
    claim_name(db, turn, name, "user", role, now_ns)
    db.execute("insert into account values (?, ?)", (name, kept))


def count_users(db: apsw.Connection) -> int:
    ((count,),) = rows(db, "select count(*) from principal where kind = 'user'")
    return int(count)


def _standing(db: apsw.Connection, name: str) -> tuple[str, bool]:
    """Kind, and whether it is an admin of our own who can log in."""
    query = "select kind, kind = 'user' and role = 'admin' and not disabled from principal where name = ?"
    for kind, is_admin in rows(db, query, (name,)):
        if kind != "key":
            return str(kind), bool(is_admin)
    raise AccessError("unknown", f"there is no account {name[:80]}: `stellwerk access list` shows all")


def _check_admins(db: apsw.Connection, name: str) -> None:
    """Looked at after the change, which is undone with the transaction it is in."""
    ((admins,),) = rows(db, "select count(*) from principal where kind = 'user' and role = 'admin' and not disabled")
    if not admins:
        raise AccessError("conflict", f"{name} is the last admin: make somebody else admin first")
