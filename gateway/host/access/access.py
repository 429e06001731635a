"""The door of the host interface: who comes in, how often, and as whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hmac import compare_digest
from typing import ClassVar

import apsw

from gateway.host.access.accounts import Accounts, check_name
from gateway.host.access.audit import Audit, AuditEntry
from gateway.host.access.keys import Keys
from gateway.host.access.link import NO_LINK, FirstLink
from gateway.host.access.oidc import Oidc
from gateway.host.access.passwords import Passwords, TooManyHashes
from gateway.host.access.peers import Proxies, is_local, neighbourhood
from gateway.host.access.rates import Buckets, Throttle
from gateway.host.access.roles import ANONYMOUS, AccessError, Presented, Principal, Refused
from gateway.host.access.roll import Roll
from gateway.host.access.rows import rows
from gateway.host.access.sessions import Session, Sessions
from gateway.host.access.subjects import Subjects
from gateway.host.access.tokens import KEY_PREFIX
from gateway.host.store import Store, StoreFull
from gateway.site.http import HttpSpec

NAME_DELAY_S_MAX = 30.0
"""So long at the most does somebody else's guessing keep the right person out."""
PEER_DELAY_S_MAX = 300.0
STRANGERS_PER_S, STRANGERS_BURST = 20.0, 100.0
"""Requests with wrong keys or tokens, for each address."""
BUSY_S = 2.0
WRONG = "name or password is wrong"


class Access:
    """Open with `open`, on a Store that was opened with SCHEMA."""

    SCHEMA: ClassVar[str] = Roll.SCHEMA + Sessions.SCHEMA + FirstLink.SCHEMA + Audit.SCHEMA

    def __init__(self, store: Store, spec: HttpSpec, now_ns: Callable[[], int], steady_s: Callable[[], float]) -> None:
        self._spec = spec
        self._now_ns = now_ns
        self._steady_s = steady_s
        self._store = store
        self.audit = Audit(store, spec.audit_entries_max)
        self._roll = Roll(store, self.audit, steady_s)
        self._passwords = Passwords()
        self.accounts = Accounts(store, self._roll, self._passwords, now_ns)
        self.keys = Keys(store, self._roll, now_ns)
        self.proxies = Proxies(spec.proxies)
        self._sessions = Sessions(store, self._roll, spec.session, now_ns)
        self._link = FirstLink(store, self._roll, self.audit, now_ns, spec.link_minutes_max)
        subjects = Subjects(self._roll, now_ns)
        self.oidc = None if spec.oidc is None else Oidc(spec.oidc, subjects, self._sessions, now_ns, steady_s)
        rate = spec.rate
        self._reads = Buckets(rate.reads.per_s, rate.reads.burst)
        self._writes = Buckets(rate.writes.per_s, rate.writes.burst)
        self._logins = Buckets(rate.logins.per_s, rate.logins.burst)
        self._strangers = Buckets(STRANGERS_PER_S, STRANGERS_BURST)
        self._names = Throttle(NAME_DELAY_S_MAX)
        self._peers = Throttle(PEER_DELAY_S_MAX)

    @classmethod
    async def open(
        cls,
        store: Store,
        spec: HttpSpec,
        now_ns: Callable[[], int],
        steady_s: Callable[[], float] | None = None,
    ) -> Access:
        """`now_ns`: the time of day, for whatever expires. `steady_s`: a clock that never goes back, for rates and
        delays; the loop's where it is not given. Raises apsw.Error."""
        access = cls(store, spec, now_ns, steady_s or asyncio.get_running_loop().time)
        await access._roll.look()
        await access._sessions.load()
        return access

    # --- each request ---

    async def identify(self, presented: Presented, *, writes: bool) -> Principal | Refused:
        """Who asks. `writes`: the request may change something. What is presented must be right: with a wrong key
        nobody is taken for anonymous, and the cookie does not count then."""
        try:
            await self._roll.fresh()
            if presented.authorization is not None:
                return await self._authorized(presented.authorization, presented.peer)
            if presented.session:
                return await self._by_cookie(presented, writes=writes)
        except (apsw.Error, StoreFull) as error:
            return Refused(503, f"accounts can't be read ({error}): look after the data folder's disk", BUSY_S)
        if writes or not self.may_look_on(presented):
            return Refused(401, "log in, or send a key as `Authorization: Bearer swk_…`")
        return ANONYMOUS

    def may_look_on(self, presented: Presented) -> bool:
        """Whether a request without a login may read: from this machine itself, and not passed on by anybody."""
        peer = presented.peer
        passed_on = presented.forwarded or self.proxies.trusts(peer)
        return self._spec.anonymous_read and is_local(peer) and not passed_on

    def admit(self, principal: Principal, peer: str, *, writes: bool = False) -> float | None:
        """Count a request. None: go on; else it is one too many, and may come again after so many seconds."""
        key = neighbourhood(peer) if principal.kind == "anonymous" else f"{principal.kind} {principal.name}"
        return (self._writes if writes else self._reads).take(key, self._steady_s())

    # --- logins ---

    async def login(self, name: str, password: str, peer: str) -> Session | Refused:
        """A session for the right password. A name that is unknown, disabled or a key's takes as long and is answered
        the same as a wrong password. Kept in the audit log, but for those turned away before the password is looked at.
        """
        counted = self._begin_try(name, peer)
        if isinstance(counted, Refused):
            return counted
        await self._roll.fresh()
        known = self._roll.find(name)
        known = known if known is not None and known.kind == "user" else None
        try:
            kept = await self._store.read(lambda db: _password(db, name if known is not None else ""))
            right = await self._passwords.verify(kept, password)
        except TooManyHashes as error:
            self._take_back(counted)
            return Refused(429, str(error), BUSY_S)
        # It may have been disabled, or got another password, while this one was looked at.
        current = self._roll.find(name) if right else None
        if known is None or current is None or current.generation != known.generation:
            await self._note("login", name, "refused", peer, 401, WRONG)
            return Refused(401, f"{WRONG}: try again, or ask an admin for a new password")
        self._names.forgive(counted[0])
        self._peers.took_back(counted[1])
        session = await self._sessions.begin(known, current.role)
        await self._note("login", known.name, "accepted", peer, 200, "", session.principal)
        return session

    async def logout(self, token: str) -> None:
        """End the session of a cookie; there may be none."""
        await self._sessions.end(token)

    async def session(self, presented: Presented) -> Session | None:
        """The session of the cookie, for a page that has to learn its CSRF token."""
        await self._roll.fresh()
        return await self._sessions.find(presented.session) if presented.session else None

    async def note_oidc_login(self, outcome: Session | Refused, peer: str) -> None:
        """Keep in the audit log how a login with the identity provider has ended."""
        if isinstance(outcome, Refused):
            await self._note("login", "", "refused", peer, outcome.status, outcome.reason)
        else:
            who = outcome.principal
            await self._note("login", who.name, "accepted", peer, 200, "", who)

    def admit_login(self, peer: str) -> float | None:
        """Count a step of a login with the identity provider; None, or come again after so many seconds."""
        return self._logins.take(neighbourhood(peer), self._steady_s())

    # --- the first account ---

    async def first_token(self) -> str | None:
        """A new one-time token for the first account; those before it are worth nothing. None when there is a user, or
        when the identity provider says who is admin."""
        return None if self._spec.oidc is not None else await self._link.make()

    async def make_link(self, *, noted: AuditEntry | None = None) -> str | None:
        """The same for whoever sits at the machine: whatever the identity provider says."""
        return await self._link.make(noted)

    async def redeem(self, token: str, name: str, password: str, peer: str = "") -> Principal | Refused:
        """Make the first admin. Works once; what is refused leaves the token as it was."""
        counted = self._begin_try("", peer)
        if isinstance(counted, Refused):
            return counted
        if not await self._link.is_good(token):
            await self._note("first account", name, "refused", peer, 403, NO_LINK)
            return Refused(403, NO_LINK)
        self._take_back(counted)
        principal = Principal(name, "user", "admin")
        entry = self._entry("first account", name, "accepted", peer, 200, "", principal)
        try:
            check_name(name)
            kept = await self._passwords.hash(name, password)
            await self._link.use(token, name, kept, entry)
        except TooManyHashes as error:
            return Refused(429, str(error), BUSY_S)
        except AccessError as error:
            return Refused(422 if error.code == "invalid" else 409, error.reason)
        return principal

    # --- within ---

    async def _authorized(self, authorization: str, peer: str) -> Principal | Refused:
        scheme, _, credentials = authorization.partition(" ")
        credentials = credentials.strip()
        place, now_s = neighbourhood(peer), self._steady_s()
        found: Principal | Refused
        if scheme.lower() != "bearer" or not credentials:
            found = Refused(401, "send `Authorization: Bearer swk_…`; other schemes are not known here")
        elif credentials.startswith(KEY_PREFIX):
            known = self.keys.find(credentials)
            found = Refused(401, known) if isinstance(known, str) else Principal(known.name, "key", known.role)
        elif self.oidc is None:
            found = Refused(401, "this is no key of this gateway: those begin with swk_")
        # The signature of a token costs real time: whoever has sent many wrong ones waits first.
        elif not self.oidc.knows(credentials) and (wait_s := self._strangers.wait_s(place, now_s)) > 0:
            return Refused(429, "too many wrong keys or tokens from this address: wait", wait_s)
        else:
            found = await self.oidc.bearer(credentials)
        if isinstance(found, Refused) and found.status == 401:
            wait = self._strangers.take(place, now_s)
            if wait is not None:
                return Refused(429, f"too many wrong keys or tokens from this address: wait. {found.reason}", wait)
        return found

    async def _by_cookie(self, presented: Presented, *, writes: bool) -> Principal | Refused:
        session = await self._sessions.find(presented.session or "")
        if session is None:
            return Refused(401, "the session has ended: log in again")
        if writes and not compare_digest(session.csrf.encode(), (presented.csrf or "").encode("utf-8", "replace")):
            return Refused(403, "a change by cookie needs the session's token in the header X-CSRF-Token")
        return session.principal

    def _begin_try(self, name: str, peer: str) -> tuple[str, str] | Refused:
        """Count a try of `name` from `peer`, or say how long to wait; then nothing is counted."""
        now_s = self._steady_s()
        keys = (name.casefold()[:100], neighbourhood(peer)[:100])
        wait_s = max(self._names.wait_s(keys[0], now_s) if name else 0.0, self._peers.wait_s(keys[1], now_s))
        if wait_s > 0:
            return Refused(429, f"too many failed logins: try again in {wait_s:.0f} s", wait_s)
        spare = self._logins.take(keys[1], now_s)
        if spare is not None:
            return Refused(429, f"too many logins from this address: try again in {spare:.0f} s", spare)
        if name:
            self._names.failed(keys[0], now_s)
        self._peers.failed(keys[1], now_s)
        return keys

    def _take_back(self, counted: tuple[str, str]) -> None:
        if counted[0]:
            self._names.took_back(counted[0])
        self._peers.took_back(counted[1])

    async def _note(
        self, what: str, who: str, outcome: str, peer: str, status: int, detail: str, principal: Principal | None = None
    ) -> None:
        await self.audit.append(self._entry(what, who, outcome, peer, status, detail, principal))

    def _entry(
        self, what: str, who: str, outcome: str, peer: str, status: int, detail: str, principal: Principal | None = None
    ) -> AuditEntry:
        kind, role = ("", "") if principal is None else (principal.kind, principal.role)
        return AuditEntry(
            who, what, outcome, self._now_ns(), kind=kind, role=role, peer=peer, status=status, detail=detail
        )


def _password(db: apsw.Connection, name: str) -> str | None:
    found = rows(db, "select password from account where name = ?", (name,))
    return str(found[0][0]) if found else None
