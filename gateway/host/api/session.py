"""Logins: with a password, with the identity provider, and the link that makes the first account."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Path, Query
from starlette.responses import HTMLResponse, Response

from gateway.contract import Struct
from gateway.host.access import COOKIE, STATE_COOKIE, Presented, Refused, Session, cookie
from gateway.host.api.bodies import Login
from gateway.host.api.call import Call
from gateway.host.api.giving import encoded, give
from gateway.host.api.guarded import turned_away
from gateway.host.api.moment import text_of
from gateway.host.api.offer import PREFIX, Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import Refusal
from gateway.site.http import HttpTls

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
Token = Annotated[str, Path(max_length=200)]
Said = Annotated[str, Query(max_length=4_096)]
PAGE_CSP = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_FORM_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["name", "password"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 64},
                        "password": {"type": "string", "minLength": 1, "maxLength": 200, "format": "password"},
                    },
                }
            }
        },
    }
}


class SessionView(Struct, frozen=True):
    """Who is asking. `csrf`: to be sent as X-CSRF-Token with each change made by cookie, "" without a session."""

    name: str
    kind: str
    role: str
    csrf: str
    expires: str | None


class Sessions:
    """The routes below /session and /oidc, and /first."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._access = parts.access
        self._secure = isinstance(parts.spec.tls, HttpTls) or parts.spec.public_url.startswith("https://")

    def offer(self, offer: Offer) -> None:
        route = partial(offer.route, tag="session", secret=True)
        route("POST", "/session", self.login, "anybody", {200: SessionView}, what="login")
        route("GET", "/session", self.who, "viewer", {200: SessionView})
        route("DELETE", "/session", self.logout, "viewer", {204: None}, what="logout")
        route("GET", "/oidc/start", self.start, "anybody", {303: None})
        route("GET", "/oidc/callback", self.callback, "anybody", {303: None}, any_query=True)
        page = partial(route, role="anybody", media_type="text/html")
        page("GET", "//first/{token}", self.first, answers={200: str})
        page("POST", "//first/{token}", self.redeem, answers={200: str}, what="first_account", extra=_FORM_SCHEMA)

    async def login(self, call: Call, body: Login) -> Response:
        """Log in with name and password; the cookie is the session."""
        session = await self._access.login(body.name, body.password, call.peer)
        if isinstance(session, Refused):
            raise turned_away(session)
        return self._begun(session, Response(encoded(_view(session)), 200, media_type=JSON))

    async def who(self, call: Call) -> Response:
        """Who am I."""
        session = await self._access.session(Presented(session=call.cookies.get(COOKIE)))
        if session is not None and "authorization" not in call.headers:
            return give(call, _view(session))
        who = call.principal
        return give(call, SessionView(who.name, who.kind, who.role, "", None))

    async def logout(self, call: Call) -> Response:
        """Log out. Nothing happens where there is no session."""
        token = call.cookies.get(COOKIE)
        if token:
            await self._access.logout(token)
        response = Response(status_code=204)
        response.headers.append("Set-Cookie", cookie(COOKIE, "", secure=self._secure, max_age_s=0))
        return response

    async def start(self, call: Call) -> Response:
        """Begin a login with the identity provider."""
        oidc = self._access.oidc
        if oidc is None:
            raise Refusal("unknown", "this gateway has no identity provider", way_on="log in with name and password")
        self._count(call)
        begun = await oidc.start(f"{self._address(call)}{PREFIX}/oidc/callback")
        if isinstance(begun, Refused):
            raise turned_away(begun)
        response = Response(status_code=303, headers={"Location": begun.url})
        kept = cookie(STATE_COOKIE, begun.cookie, secure=self._secure, max_age_s=begun.max_age_s, cross_site=True)
        response.headers.append("Set-Cookie", kept)
        return response

    async def callback(self, call: Call, code: Said = "", state: Said = "", error: Said = "") -> Response:
        """The identity provider sends the browser back here."""
        oidc = self._access.oidc
        if oidc is None:
            raise Refusal("unknown", "this gateway has no identity provider", way_on="log in with name and password")
        self._count(call)
        if error:
            outcome: Session | Refused = Refused(403, f"the identity provider says {error[:100]!r}: begin again")
        else:
            outcome = await oidc.finish(code, state, call.cookies.get(STATE_COOKIE))
        await self._access.note_oidc_login(outcome, call.peer)
        if isinstance(outcome, Refused):
            raise turned_away(outcome)
        response = self._begun(outcome, Response(status_code=303, headers={"Location": "/"}))
        response.headers.append("Set-Cookie", cookie(STATE_COOKIE, "", secure=self._secure, max_age_s=0))
        return response

    async def first(self, token: Token) -> Response:  # noqa: ARG002 - told in OpenAPI, looked at when it is used
        """The page of the link that makes the first account."""
        return _page(_form(""))

    async def redeem(self, call: Call, token: Token) -> Response:
        """Make the first account; it is an admin's. Works once."""
        data = await call.read_body()
        if call.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise Refusal("media_type", f"this takes {FORM}", way_on="send the form of this page")
        try:
            fields = parse_qs(data.decode("utf-8"), max_num_fields=10, keep_blank_values=True)
        except ValueError as error:
            raise Refusal("malformed", "the form can't be read", way_on="send the form of this page") from error
        if fields.keys() != {"name", "password"} or any(len(values) != 1 for values in fields.values()):
            raise Refusal("invalid", "the form has one `name` and one `password`, and nothing else")
        name, password = fields["name"][0], fields["password"][0]
        made = await self._access.redeem(token, name, password, call.peer)
        if isinstance(made, Refused):
            if "text/html" in call.headers.get("accept", ""):
                return _page(_form(made.reason), made.status)
            raise turned_away(made)
        return _page(f"<h1>Done</h1><p>{escape(made.name)} is the first admin. Log in with that name.</p>")

    def _begun(self, session: Session, response: Response) -> Response:
        left_s = (session.expires_ns - self._parts.gate.now_ns()) // 10**9
        kept = cookie(COOKIE, session.token, secure=self._secure, max_age_s=max(1, left_s))
        response.headers.append("Set-Cookie", kept)
        return response

    def _count(self, call: Call) -> None:
        wait_s = self._access.admit_login(call.peer)
        if wait_s is not None:
            raise turned_away(Refused(429, "too many logins from this address", wait_s))

    def _address(self, call: Call) -> str:
        """As browsers have it. The Host header is anybody's to choose, so it is not believed."""
        spec = self._parts.spec
        if spec.public_url:
            return spec.public_url
        _, port = call.scope.get("server") or (spec.host, spec.port)
        host = f"[{spec.host}]" if ":" in spec.host else spec.host
        return f"{'https' if self._secure else 'http'}://{host}:{port}"


def _view(session: Session) -> SessionView:
    who = session.principal
    return SessionView(who.name, who.kind, who.role, session.csrf, text_of(session.expires_ns))


def _form(problem: str) -> str:
    told = f"<p><strong>{escape(problem)}</strong></p>" if problem else ""
    return (
        f"<h1>The first account</h1>{told}<p>It will be an admin's. A password has at least 12 characters.</p>"
        '<form method="post"><p><label>Name <input name="name" autocomplete="username" required></label></p>'
        '<p><label>Password <input name="password" type="password" autocomplete="new-password" required></label></p>'
        "<p><button>Make it</button></p></form>"
    )


def _page(content: str, status: int = 200) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stellwerk</title>'
        f'<meta name="viewport" content="width=device-width"></head><body>{content}</body></html>'
    )
    return HTMLResponse(page, status, {"Content-Security-Policy": PAGE_CSP})
