"""Logins with the company's identity provider: authorization code with PKCE.

Sources: RFC 6749, RFC 7636, OpenID Connect Core 1.0.

What a login needs until the browser comes back travels in a cookie that only this process can have made, so waiting
logins take no memory. A login that came back is remembered until its cookie has expired: it counts once.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.contract import Struct
from gateway.host.access.claims import Claims, TokenRefused, believed
from gateway.host.access.issuer import CodeRefused, Issuer, IssuerDown
from gateway.host.access.roles import AccessError, Principal, Refused
from gateway.host.access.sessions import Session, Sessions
from gateway.host.access.subjects import Subjects
from gateway.host.access.tokens import digest
from gateway.site.http import OidcSpec

LOGIN_LASTS_S = 600
USED_MAX = 10_000
BELIEVED_MAX = 5_000
CODE_LENGTH_MAX = 4_096
_MAC_BYTES = 32


class Started(Struct, frozen=True):
    """`url`: where the browser goes. `cookie`: the value of the cookie STATE_COOKIE, for `max_age_s`."""

    url: str
    cookie: str
    max_age_s: int = LOGIN_LASTS_S


class _Login(msgspec.Struct, frozen=True, array_like=True):
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    expires_s: float


class Oidc:
    """One provider's logins, and its access tokens."""

    def __init__(
        self,
        spec: OidcSpec,
        subjects: Subjects,
        sessions: Sessions,
        now_ns: Callable[[], int],
        steady_s: Callable[[], float],
    ) -> None:
        self._spec = spec
        self._subjects = subjects
        self._sessions = sessions
        self._now_ns = now_ns
        self._steady_s = steady_s
        self._issuer = Issuer(spec, steady_s)
        self._sealing_key = secrets.token_bytes(32)
        self._used: dict[str, float] = {}
        self._believed: dict[bytes, Claims] = {}
        self._believed_keys = 0

    async def start(self, redirect_uri: str) -> Started | Refused:
        """Begin a login that comes back to `redirect_uri`, as it is entered with the provider."""
        try:
            address = (await self._issuer.metadata()).authorization_endpoint
        except IssuerDown as error:
            return _down(error)
        login = _Login(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect_uri,
            self._steady_s() + LOGIN_LASTS_S,
        )  # fmt: skip
        query = {
            "response_type": "code",
            "client_id": self._spec.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._spec.scopes),
            "state": login.state,
            "nonce": login.nonce,
            "code_challenge": _base64url(sha256(login.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(address).query else "?"
        return Started(f"{address}{joint}{urlencode(query)}", self._seal(login))

    async def finish(self, code: str, state: str, cookie: str | None) -> Session | Refused:
        """The browser is back with `code` and `state` in the query and the cookie of `start`: a session, if the
        provider confirms who it is and he has a role. Takes the same login once."""
        login = self._opened(cookie or "")
        if login is None or not hmac.compare_digest(login.state.encode(), state.encode("utf-8", "replace")):
            return Refused(403, "this login was not begun here, or took too long: begin it again")
        if not self._first_time(login):
            return Refused(403, "this login has been used already: begin a new one")
        if len(code) > CODE_LENGTH_MAX:
            return Refused(403, f"the code has more than {CODE_LENGTH_MAX} characters")
        try:
            token = await self._redeemed(code, login)
            claims = await believed(
                token, self._issuer, self._spec, self._spec.client_id, self._now_ns(), nonce=login.nonce
            )
            principal = await self._principal(claims)
            if isinstance(principal, Refused):
                return principal
            known = await self._subjects.known(claims.subject, claims.name, principal.role)
            if known is None:
                return _disabled(principal.name)
            await self._subjects.seen(known, principal.role)
            return await self._sessions.begin(known, principal.role)
        except IssuerDown as error:
            return _down(error)
        except CodeRefused as error:
            return Refused(403, f"the identity provider does not take the code ({error}): begin the login again")
        except TokenRefused as error:
            return Refused(403, f"the identity provider's answer is not believed: {error}")

    async def bearer(self, token: str) -> Principal | Refused:
        """Who sends this access token. One that was believed before costs microseconds until it expires."""
        now_ns = self._now_ns()
        key = digest(sha256(token.encode("utf-8", "surrogatepass")).hexdigest())
        try:
            await self._issuer.keep_fresh()
            # Whatever was concluded with keys that are no longer the provider's is concluded anew.
            if self._believed_keys != self._issuer.keys_changed:
                self._believed.clear()
                self._believed_keys = self._issuer.keys_changed
            claims = self._believed.get(key)
            if claims is None or now_ns >= claims.expires_ns:
                audience = self._spec.audience or self._spec.client_id
                claims = await believed(token, self._issuer, self._spec, audience, now_ns, nonce=None)
                self._remember(key, claims)
            return await self._principal(claims)
        except IssuerDown as error:
            return _down(error)
        except TokenRefused as error:
            return Refused(401, str(error))

    def knows(self, token: str) -> bool:
        """Whether `bearer` will answer without any work."""
        return digest(sha256(token.encode("utf-8", "surrogatepass")).hexdigest()) in self._believed

    async def _principal(self, claims: Claims) -> Principal | Refused:
        if claims.role is None:
            reason = (
                f"{claims.name[:80]} has no role here: `{self._spec.role_claim}` has none of the site's `roles` in it"
            )
            return Refused(403, reason)
        try:
            known = await self._subjects.known(claims.subject, claims.name, claims.role)
        except AccessError as error:
            return Refused(403, error.reason)
        return _disabled(claims.name) if known is None else Principal(known.name, "oidc", claims.role)

    async def _redeemed(self, code: str, login: _Login) -> str:
        """The ID token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.redirect_uri,
            "code_verifier": login.verifier,
        }
        basic: tuple[str, str] | None = None
        if self._spec.client_secret_file:
            secret = await asyncio.to_thread(_secret, self._spec.client_secret_file)
            methods = (await self._issuer.metadata()).token_endpoint_auth_methods_supported
            if "client_secret_basic" in methods or "client_secret_post" not in methods:
                # Both are form-encoded first: RFC 6749, section 2.3.1.
                basic = (quote(self._spec.client_id, safe=""), quote(secret, safe=""))
            else:
                form |= {"client_id": self._spec.client_id, "client_secret": secret}
        else:
            form["client_id"] = self._spec.client_id
        body = await self._issuer.exchange(form, basic)
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IssuerDown("the identity provider answers the code with what can't be read") from error
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise IssuerDown("the identity provider sends no ID token: it has to know this client for OpenID Connect")
        return token

    def _first_time(self, login: _Login) -> bool:
        now_s = self._steady_s()
        if len(self._used) >= USED_MAX:
            self._used = {state: until_s for state, until_s in self._used.items() if until_s > now_s}
        if login.state in self._used or len(self._used) >= USED_MAX:
            return False
        self._used[login.state] = login.expires_s
        return True

    def _remember(self, key: bytes, claims: Claims) -> None:
        if len(self._believed) >= BELIEVED_MAX:
            self._believed.pop(next(iter(self._believed)))
        self._believed[key] = claims

    def _seal(self, login: _Login) -> str:
        body = msgspec.msgpack.encode(login)
        return _base64url(hmac.digest(self._sealing_key, body, "sha256") + body)

    def _opened(self, cookie: str) -> _Login | None:
        if not 0 < len(cookie) <= CODE_LENGTH_MAX:
            return None
        try:
            raw = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
        except ValueError:
            return None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, hmac.digest(self._sealing_key, body, "sha256")):
            return None
        login = msgspec.msgpack.decode(body, type=_Login)
        return login if self._steady_s() < login.expires_s else None


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _secret(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        # Whoever reads this has not logged in yet: the file's name is none of his business.
        what = getattr(error, "strerror", None) or "it is no text"
        problem = f"`client_secret_file` of the site can't be read ({what}): correct it, or the file's rights"
        raise IssuerDown(problem) from error


def _down(error: IssuerDown) -> Refused:
    return Refused(503, f"the identity provider can't be asked: {error}. Keys and local accounts still work", 10.0)


def _disabled(name: str) -> Refused:
    return Refused(403, f"{name[:80]} is disabled here: ask an admin")
