"""API keys: how other programs come in."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

import apsw

from gateway.contract import Struct
from gateway.host.access.accounts import check_name, check_role, claim_name
from gateway.host.access.audit import AuditEntry
from gateway.host.access.roles import AccessError, Role
from gateway.host.access.roll import Known, Roll
from gateway.host.access.rows import rows
from gateway.host.access.tokens import digest, id_of, new_key
from gateway.host.store import Store

SECRETS_MAX = 2
"""Of one name, while the old one is being replaced."""


class ApiKey(Struct, frozen=True):
    """A key without its secret. `expires_ns` 0: never."""

    id: str
    name: str
    role: Role
    made_ns: int
    expires_ns: int


class Keys:
    """Each change is durable and in force when its call returns, and kept together with `noted` in the audit log.
    Raises AccessError where it can't be made, StoreFull."""

    def __init__(self, store: Store, roll: Roll, now_ns: Callable[[], int]) -> None:
        self._store = store
        self._roll = roll
        self._now_ns = now_ns

    async def list(self) -> list[ApiKey]:
        """All of them, by name; those that have expired, too."""
        query = (
            "select k.id, p.name, p.role, k.made_ns, k.expires_ns from api_key k join principal p on p.name = k.name "
            "order by p.name, k.made_ns"
        )
        return [ApiKey(*row) for row in await self._store.read(lambda db: rows(db, query))]

    async def add(
        self, name: str, role: Role, expires_ns: int | None = None, *, noted: AuditEntry | None = None
    ) -> str:
        """A new key for the program `name`; returns its text, which is shown this once and never again."""
        check_name(name)
        check_role(role)
        self._check_expiry(expires_ns)
        key_id, text = new_key()

        def work(db: apsw.Connection, turn: int) -> None:
            claim_name(db, turn, name, "key", role, self._now_ns())
            self._insert(db, key_id, name, text, expires_ns)

        await self._roll.change(work, noted)
        return text

    async def renew(
        self, name: str, overlap_ns: int, expires_ns: int | None = None, *, noted: AuditEntry | None = None
    ) -> str:
        """Another secret for the same name: requests keep their client, so that none is done twice over the change. The
        one before it is good for `overlap_ns` more; any older one ends now."""
        self._check_expiry(expires_ns)
        key_id, text = new_key()

        def work(db: apsw.Connection, _: int) -> None:
            kept = rows(db, "select id from api_key where name = ? order by made_ns desc", (name,))
            if not kept:
                raise AccessError("unknown", f"there is no key {name[:80]}: `stellwerk access list` shows all")
            for (old,) in kept[SECRETS_MAX - 1 :]:
                db.execute("delete from api_key where id = ?", (old,))
            end_ns = self._now_ns() + max(overlap_ns, 0)
            soon = "update api_key set expires_ns = ? where name = ? and (expires_ns = 0 or expires_ns > ?)"
            db.execute(soon, (end_ns, name, end_ns))
            self._insert(db, key_id, name, text, expires_ns)

        await self._roll.change(work, noted)
        return text

    async def revoke(self, name: str, *, noted: AuditEntry | None = None) -> None:
        """End all keys of `name`, at once. The name may be given to a new key afterwards."""

        def work(db: apsw.Connection, _: int) -> None:
            db.execute("delete from principal where name = ? and kind = 'key'", (name,))
            if not db.changes():
                raise AccessError("unknown", f"there is no key {name[:80]}: `stellwerk access list` shows all")

        await self._roll.change(work, noted)

    def find(self, text: str) -> Known | str:
        """Whose key `text` is, or why it is not let in. Microseconds: all is in memory."""
        key = self._roll.keys.get(id_of(text))
        if key is None or not compare_digest(key.digest, digest(text)):
            return "the key is not known here: it was revoked, or is not copied whole"
        known = self._roll.find(key.name)
        if known is None:
            return f"the key {key.name} is disabled: ask an admin"
        if key.expires_ns and self._now_ns() >= key.expires_ns:
            return f"the key {key.name} has expired: have it renewed (`stellwerk access key-add {key.name} --renew`)"
        return known

    def _check_expiry(self, expires_ns: int | None) -> None:
        if expires_ns is not None and not self._now_ns() < expires_ns < 2**63:
            raise AccessError("invalid", "the key would have expired already: give a time that is to come")

    def _insert(self, db: apsw.Connection, key_id: str, name: str, text: str, expires_ns: int | None) -> None:
        row = (key_id, name, digest(text), expires_ns or 0, self._now_ns())
        db.execute("insert into api_key values (?, ?, ?, ?, ?)", row)
