"""Accounts, keys and the audit log: for admins."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import Path, Query
from starlette.responses import Response

from gateway.contract import Struct
from gateway.host.access import Account, ApiKey
from gateway.host.api.bodies import AccountChange, NewAccount, NewKey, Renewal
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, cursor_of, done, give, key_of, made, small_page
from gateway.host.api.moment import ns_of, text_of
from gateway.host.api.offer import PREFIX, Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import Refusal

Name = Annotated[str, Path(max_length=100)]
HOUR_NS = 3_600 * 10**9


class AccountView(Struct, frozen=True):
    """`kind`: `user`, or `oidc` for people of the identity provider."""

    name: str
    kind: str
    role: str
    disabled: bool
    made_at: str | None


class AccountPage(Struct, frozen=True):
    accounts: tuple[AccountView, ...]
    next: str = ""


class KeyView(Struct, frozen=True):
    """A key without its secret."""

    id: str
    name: str
    role: str
    made_at: str | None
    expires: str | None


class KeyPage(Struct, frozen=True):
    keys: tuple[KeyView, ...]
    next: str = ""


class KeyShown(Struct, frozen=True):
    """`key` is shown this once and never again."""

    request_id: str
    name: str
    key: str


class AuditLine(Struct, frozen=True):
    number: int
    at: str | None
    who: str
    kind: str
    role: str
    peer: str
    method: str
    path: str
    what: str
    why: str
    request_id: str
    outcome: str
    status: int
    detail: str


class AuditPage(Struct, frozen=True):
    entries: tuple[AuditLine, ...]
    next: str = ""


class BreakView(Struct, frozen=True):
    number: int
    problem: str


class Verified(Struct, frozen=True):
    """`head`: number and hash of the newest entry. Noted elsewhere, they tell later whether this is still that log."""

    whole: bool
    breaks: tuple[BreakView, ...]
    head_number: int
    head_hash: str


class Accounts:
    """The routes below /accounts, /keys and /audit. What is changed is kept together with its line in the audit log."""

    def __init__(self, parts: Parts) -> None:
        self._access = parts.access

    def offer(self, offer: Offer) -> None:
        route, one = partial(offer.route, tag="accounts", secret=True), "/accounts/{name}"
        route("GET", "/accounts", self.browse, "admin", {200: AccountPage})
        route("POST", "/accounts", self.add, "admin", {201: Done}, what="add_account")
        route("PATCH", one, self.change, "admin", {200: Done}, what="change_account")
        route("DELETE", one, self.remove, "admin", {200: Done}, what="remove_account")
        route, one = partial(offer.route, tag="keys", secret=True), "/keys/{name}"
        route("GET", "/keys", self.keys, "admin", {200: KeyPage})
        route("POST", "/keys", self.add_key, "admin", {201: KeyShown}, what="add_key")
        route("POST", f"{one}/renew", self.renew_key, "admin", {200: KeyShown}, what="renew_key")
        route("DELETE", one, self.revoke_key, "admin", {200: Done}, what="revoke_key")
        route = partial(offer.route, tag="audit")
        route("GET", "/audit", self.audit, "admin", {200: AuditPage})
        route("GET", "/audit:verify", self.verify, "admin", {200: Verified})

    async def browse(self, call: Call, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """Everybody who may log in, by name."""
        every = await self._access.accounts.list()
        found, following = small_page(every, lambda account: account.name, cursor, limit)
        return give(call, AccountPage(tuple(_account(account) for account in found), following))

    async def add(self, call: Call, body: NewAccount) -> Response:
        """A new account with a password."""
        what = f"add_account {body.name} {body.role}"
        await self._access.accounts.add(body.name, body.password, body.role, noted=call.accepted(what, 201))
        return done(call, body.name, 201, f"{PREFIX}/accounts/{quote(body.name, safe='')}")

    async def change(self, call: Call, name: Name, body: AccountChange) -> Response:
        """Another role or password; disabled, or let in again."""
        if not body.model_fields_set:
            raise Refusal("invalid", "nothing to change: give a role, a password or `disabled`")
        changed = [f"role {body.role}"] if body.role is not None else []
        changed += ["password"] if body.password is not None else []
        changed += [] if body.disabled is None else ["disabled" if body.disabled else "enabled"]
        await self._access.accounts.change(
            name,
            role=body.role,
            password=body.password,
            disabled=body.disabled,
            noted=call.accepted(f"change_account {name} {', '.join(changed)}"),
        )
        return done(call, name)

    async def remove(self, call: Call, name: Name) -> Response:
        """Forget an account; its sessions end."""
        await self._access.accounts.remove(name, noted=call.accepted(f"remove_account {name}"))
        return done(call, name)

    async def keys(self, call: Call, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """All keys by name, without their secrets."""
        every = await self._access.keys.list()
        found, following = small_page(every, lambda key: f"{key.name} {key.id}", cursor, limit)
        return give(call, KeyPage(tuple(_key(key) for key in found), following))

    async def add_key(self, call: Call, body: NewKey) -> Response:
        """A key for a program. It is shown in this answer and never again."""
        expires_ns = ns_of(body.expires) if body.expires is not None else None
        noted = call.accepted(f"add_key {body.name} {body.role}", 201)
        text = await self._access.keys.add(body.name, body.role, expires_ns, noted=noted)
        return made(
            KeyShown(call.key, body.name, text), 201, {"Location": f"{PREFIX}/keys/{quote(body.name, safe='')}"}
        )

    async def renew_key(self, call: Call, name: Name, body: Renewal | None = None) -> Response:
        """Another secret for the same name; the one before it is good for a while."""
        wanted = body or Renewal()
        expires_ns = ns_of(wanted.expires) if wanted.expires is not None else None
        noted = call.accepted(f"renew_key {name}")
        text = await self._access.keys.renew(name, wanted.overlap_h * HOUR_NS, expires_ns, noted=noted)
        return made(KeyShown(call.key, name, text), 200)

    async def revoke_key(self, call: Call, name: Name) -> Response:
        """End all keys of a name, at once."""
        if call.principal.kind == "key" and call.principal.name == name:
            detail = f"{name} is the key that you ask with: nobody shuts himself out by mistake"
            raise Refusal("conflict", detail, way_on="ask with another key, or log in")
        await self._access.keys.revoke(name, noted=call.accepted(f"revoke_key {name}"))
        return done(call, name)

    async def audit(
        self,
        call: Call,
        who: Annotated[str | None, Query(max_length=100)] = None,
        what: Annotated[str | None, Query(max_length=300, description="How it begins: cancel_order")] = None,
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        """Who did what, when, from where and why; newest first."""
        before = key_of(cursor, int)
        found = await self._access.audit.read(before, limit + 1, who=who, what=what)
        following = cursor_of(found[limit - 1].number) if len(found) > limit else ""
        lines = (
            AuditLine(
                e.number, text_of(e.at_ns), e.who, e.kind, e.role, e.peer, e.method, e.path, e.what, e.why,
                e.request_id, e.outcome, e.status, e.detail,
            )
            for e in found[:limit]
        )  # fmt: skip
        return give(call, AuditPage(tuple(lines), following))

    async def verify(self, call: Call) -> Response:
        """Whether the audit log is whole: reads all of it."""
        breaks = tuple(BreakView(each.number, each.problem) for each in await self._access.audit.verify())
        number, hashed = await self._access.audit.head()
        return give(call, Verified(not breaks, breaks, number, hashed))


def _account(account: Account) -> AccountView:
    return AccountView(account.name, account.kind, account.role, account.disabled, text_of(account.made_ns))


def _key(key: ApiKey) -> KeyView:
    return KeyView(key.id, key.name, key.role, text_of(key.made_ns), text_of(key.expires_ns))
