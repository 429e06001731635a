"""Routes with a role: who may come in is looked at before anything of the request is, and what came of a write is
audited before it is answered."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import apsw
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from gateway.host.access import (
    ANONYMOUS,
    COOKIE,
    ROLES,
    AccessError,
    Presented,
    Principal,
    Refused,
    Role,
    TooManyHashes,
    permit,
)
from gateway.host.api.call import Call
from gateway.host.api.parts import Parts
from gateway.host.api.problem import FieldError, Refusal, answer
from gateway.host.store import StoreFull
from gateway.site.http import is_loopback

Needed = Role | Literal["anybody"]
"""`anybody` is for what must work before a login, and shows nothing of the site."""
_CODE_BY_STATUS: Mapping[int, Any] = {
    401: "unauthorized", 403: "forbidden", 409: "conflict", 422: "invalid", 429: "limit", 503: "unavailable",
}  # fmt: skip
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


class NoRole(Exception):
    """A route was made without saying whom it is for: the API is not put together."""


def checked_role(role: object, path: str) -> Needed:
    if role not in (*ROLES, "anybody"):
        raise NoRole(f"route {path} has no role: give it one of {', '.join(ROLES)}, or `anybody`")
    return role  # type: ignore[return-value]


class Guarded(APIRoute):
    """One route. `writes`: it may change something; `audited`: what came of it is put into the audit log here;
    `secret`: its path or body holds what must not be told again."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        parts: Parts,
        role: Needed,
        writes: bool,
        audited: bool,
        secret: bool,
        json_body: bool,
        any_query: bool,
        **options: Any,
    ) -> None:
        self.role = checked_role(role, path)
        self._parts = parts
        self._writes = writes
        self._audited = audited
        self._secret = secret
        self._json_body = json_body
        super().__init__(path, endpoint, **options)
        self._any_query = any_query
        self._queries = {field.alias for field in self.dependant.query_params}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI's; what its handler does comes after the door."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            instance = self.path_format if self._secret else request.scope["path"]
            call = Call(request.scope, request.receive, self._parts, self.name, instance)
            try:
                await self._let_in(call)
                response = await inner(call)
            except Exception as error:  # noqa: BLE001 - fate: answered as a problem; what is no refusal is logged
                response = answer(refusal_of(error, self._parts, secret=self._secret), instance, call.key)
            return await self._close(call, response)

        return handle

    async def _let_in(self, call: Call) -> None:
        found = await identify(self._parts, call, writes=self._writes and self.role != "anybody")
        call.door = found
        call.peer, call.forwarded = call.scope["stellwerk_origin"]
        if self.role == "anybody":
            found = ANONYMOUS if isinstance(found, Refused) else found
        if isinstance(found, Refused):
            raise turned_away(found)
        wait_s = self._parts.access.admit(found, call.peer, writes=self._writes)
        if wait_s is not None:
            raise turned_away(Refused(429, f"too many requests of {found.name}", wait_s))
        call.principal = found
        call.known = found.kind != "anonymous"
        refused = None if self.role == "anybody" else permit(found, self.role)
        if refused is not None:
            raise turned_away(refused)
        call.take_headers()
        unknown = call.query_params.keys() - self._queries if call.scope["query_string"] and not self._any_query else ()
        if unknown:
            wrong = [
                FieldError("query", f"/{name[:80]}", "there is no such parameter here") for name in sorted(unknown)
            ]
            known = f"known are {', '.join(sorted(self._queries))}" if self._queries else "there are none here"
            raise Refusal("invalid", f"unknown query parameter {wrong[0].path[1:]!r}: {known}", errors=wrong)
        if self._json_body:
            await call.read_document()

    async def _close(self, call: Call, response: Response) -> Response:
        if not self._writes:
            return response
        if call.known and self._audited:
            try:
                await self._note(call, response.status_code)
            except (StoreFull, apsw.Error) as error:
                # What was done is done, and asked for again it is answered the same: but never unrecorded.
                detail = f"it can't be written to the audit log ({error}), so it is not confirmed"
                response = answer(Refusal("unavailable", detail, headers={"Retry-After": "5"}), call.instance, call.key)
        response.headers["Idempotency-Key"] = call.key
        if call.replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    async def _note(self, call: Call, status: int) -> None:
        if call.noted and status < 400:
            return
        audit = self._parts.access.audit
        if not call.deeds:
            named = call.what if self._secret else f"{call.what} {_object_of(call)}".strip()
            call.did(call.told or named, status)
        entries = [call.entry(deed) for deed in call.deeds]
        if len(entries) == 1:
            await audit.append(entries[0])
        else:
            await self._parts.store.write(lambda db: [audit.put(db, entry) for entry in entries])


def _object_of(call: Call) -> str:
    return " ".join(str(value) for value in call.path_params.values())


class GuardedSocket(WebSocketRoute):
    """A WebSocket with a role."""

    def __init__(self, path: str, endpoint: Callable[[WebSocket], Any], *, role: Needed) -> None:
        self.role = checked_role(role, path)
        super().__init__(path, endpoint)


async def identify(parts: Parts, connection: HTTPConnection, *, writes: bool) -> Principal | Refused:
    """Who asks. Leaves (address, forwarded) in the scope as `stellwerk_origin`."""
    headers = connection.headers
    client = connection.scope.get("client")
    peer = client[0] if client else ""
    passed_on = any(name in headers for name in _FORWARDED)
    if passed_on or parts.spec.proxies:
        origin = parts.access.proxies.origin(peer, headers.getlist("x-forwarded-for"), any_forwarded=passed_on)
    else:
        origin = (peer, False)
    connection.scope["stellwerk_origin"] = origin
    session = connection.cookies.get(COOKIE) if "cookie" in headers else None
    authorization = headers.get("authorization")
    # A page of anywhere can have its own name lead to this machine; the browser then asks us, but by that name.
    led_here = authorization is None and not session and not _names_us(headers.get("host", ""), parts)
    presented = Presented(
        authorization, session, headers.get("x-csrf-token"), origin[0], forwarded=origin[1] or led_here
    )
    return await parts.access.identify(presented, writes=writes)


def _names_us(host: str, parts: Parts) -> bool:
    """Whether a Host header is an address or name of this machine, as far as whoever looks on from here may say it."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name == parts.spec.host


def turned_away(refused: Refused) -> Refusal:
    """What the door says, as a refusal."""
    headers: dict[str, str] = {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="stellwerk"'
    if refused.retry_after_s > 0 or refused.status == 429:
        headers["Retry-After"] = str(max(1, math.ceil(refused.retry_after_s)))
    return Refusal(_CODE_BY_STATUS.get(refused.status, "forbidden"), refused.reason, headers=headers)


def refusal_of(error: Exception, parts: Parts, *, secret: bool) -> Refusal:
    """How an exception is answered; one that is a fault of ours is logged, and told by a reference only."""
    match error:
        case Refusal():
            return error
        case RequestValidationError():
            return _not_valid(error, secret=secret)
        case AccessError():
            return Refusal(error.code, error.reason)
        case TooManyHashes():
            return Refusal("limit", str(error), headers={"Retry-After": "2"})
        case StoreFull():
            return Refusal("unavailable", str(error), headers={"Retry-After": "1"})
        case apsw.FullError() | apsw.IOError() | apsw.BusyError() | apsw.ReadOnlyError():
            detail = f"the gateway can't write to its disk ({error}): look after the data folder"
            return Refusal("unavailable", detail, headers={"Retry-After": "5"})
        case _:
            return fault(error, parts)


def fault(error: Exception, parts: Parts) -> Refusal:
    """A fault of ours: logged with its trace under a reference, which is all that is told."""
    reference = secrets.token_hex(4)
    parts.log.error("request failed", reference=reference, exc_info=error)
    return Refusal("internal", f"the request failed within the gateway; reference {reference}")


def _not_valid(error: RequestValidationError, *, secret: bool) -> Refusal:
    found = [_field_error(each, secret=secret) for each in error.errors()]
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Refusal("invalid", f"{first.where} {first.path}: {first.problem}{more}", errors=found)


def _field_error(each: Mapping[str, Any], *, secret: bool) -> FieldError:
    where, *path = each["loc"]
    # `one` and `many` are our names for the two shapes of a body, not anything that was sent.
    names = [str(part) for n, part in enumerate(path) if not (n == 0 and part in ("one", "many"))]
    pointer = "".join("/" + name[:80].replace("~", "~0").replace("/", "~1") for name in names)
    problem = str(each["msg"])[:300]
    sent = each.get("input")
    if not secret and isinstance(sent, str | int | float) and not isinstance(sent, bool):
        problem = f"{problem}, not {sent!r:.80}"
    return FieldError(str(where), _clean(pointer or "/"), _clean(problem))


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
