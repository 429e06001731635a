"""The outermost layer: headers that every answer has, limits on those that come, other origins, errors left over."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.host.api.guarded import fault
from gateway.host.api.parts import Parts
from gateway.host.api.problem import Refusal, answer
from gateway.site.http import HttpTls

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32 * 1024
_ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Reason"
_EXPOSED_HEADERS = "ETag, Idempotency-Key, Idempotency-Replayed, Location, Retry-After"
API_CSP = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


class Edge:
    """Pure ASGI: nothing is buffered and no task is made."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._origins = frozenset(parts.spec.cors)
        self._always: list[tuple[bytes, bytes]] = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        ]
        if isinstance(parts.spec.tls, HttpTls):
            self._always.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            except Exception as error:  # fate: logged, and the server closes the connection
                fault(error, self._parts)
                raise
            return
        begun = False
        origin = _origin(scope["headers"]) if self._origins else None

        async def send_out(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._complete(message, origin)
            await send(message)

        refused = _too_much(scope["headers"])
        if refused is not None:
            await answer(refused, scope["path"])(scope, receive, send_out)
        elif origin is not None and scope["method"] == "OPTIONS":
            await self._preflight(scope, receive, send_out, origin)
        else:
            try:
                await self._app(scope, receive, send_out)
            except Exception as error:  # fate: logged, and answered with a reference where nothing was sent yet
                refusal = fault(error, self._parts)
                if begun:
                    raise
                await answer(refusal, scope["path"])(scope, receive, send_out)

    def _complete(self, message: Message, origin: str | None) -> None:
        headers: list[tuple[bytes, bytes]] = message["headers"]
        names = {name for name, _ in headers}
        headers.extend((name, value) for name, value in self._always if name not in names)
        if b"content-security-policy" not in names:
            headers.append((b"content-security-policy", API_CSP))
        if b"cache-control" not in names:
            headers.append((b"cache-control", b"no-store" if b"etag" not in names else b"private, no-cache"))
        if self._origins:
            headers.append((b"vary", b"Origin"))
        if origin in self._origins:
            headers.append((b"access-control-allow-origin", str(origin).encode("latin-1")))
            headers.append((b"access-control-expose-headers", _EXPOSED_HEADERS.encode()))

    async def _preflight(self, scope: Scope, receive: Receive, send: Send, origin: str) -> None:
        """A page of another origin asks whether it may ask. Cookies are not for it: it needs a key."""
        wanted = Headers(scope=scope).get("access-control-request-method")
        if origin not in self._origins or wanted is None:
            refusal = Refusal("forbidden", f"pages of {origin[:100]!r} may not ask here", way_on="see `http: cors:`")
            await answer(refusal, scope["path"])(scope, receive, send)
            return
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }
        await Response(status_code=204, headers=headers)(scope, receive, send)


def _origin(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == b"origin"), None)


def _too_much(headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    if len(headers) > HEADERS_MAX:
        return Refusal("headers", f"{len(headers)} headers, at most {HEADERS_MAX}", headers={"Connection": "close"})
    size = sum(len(name) + len(value) for name, value in headers)
    if size > HEADER_BYTES_MAX:
        detail = f"the headers have {size} bytes, at most {HEADER_BYTES_MAX}"
        return Refusal("headers", detail, headers={"Connection": "close"})
    return None
