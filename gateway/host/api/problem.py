"""How the API says no: problem details (RFC 9457) with a code for programs and a way on for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from starlette.responses import Response

from gateway.contract import RefusalCode, Struct

MEDIA_TYPE = "application/problem+json"
ERRORS_MAX = 100
"""Errors of one body that are told; beyond that it is another kind of document."""

Code = Literal[
    "unknown", "invalid", "conflict", "version", "limit", "reused", "unavailable", "malformed", "unauthorized",
    "forbidden", "method", "timeout", "too_large", "media_type", "headers", "internal",
]  # fmt: skip

STATUS_BY_CODE: Mapping[str, int] = {
    "unknown": 404, "invalid": 422, "conflict": 409, "version": 412, "limit": 429, "reused": 422, "unavailable": 503,
    "malformed": 400, "unauthorized": 401, "forbidden": 403, "method": 405, "timeout": 408, "too_large": 413,
    "media_type": 415, "headers": 431, "internal": 500,
}  # fmt: skip

TITLES: Mapping[str, str] = {
    "unknown": "Not there",
    "invalid": "Can't be understood or does not fit this site",
    "conflict": "Does not fit what is so now",
    "version": "It is another version by now",
    "limit": "Too much at present",
    "reused": "This idempotency key stood for something else",
    "unavailable": "The gateway takes nothing at present",
    "malformed": "No JSON document",
    "unauthorized": "Not logged in",
    "forbidden": "Not yours to do",
    "method": "No such method here",
    "timeout": "The request came too slowly",
    "too_large": "Too large",
    "media_type": "Another media type",
    "headers": "Too many headers",
    "internal": "A fault of the gateway",
}

WAYS_ON: Mapping[str, str] = {
    "unknown": "look it up in the list of its kind, then ask again with its id",
    "invalid": "mend what the detail names, then send it again with a new Idempotency-Key",
    "conflict": "get it as it is now, decide anew, and send that with a new Idempotency-Key",
    "version": "get it again with its new ETag, decide anew, and send that with a new Idempotency-Key",
    "limit": "ask the same again after the time in Retry-After",
    "reused": "send it with a new Idempotency-Key; the answer to the first request is under the first content",
    "unavailable": "ask the same again with the same Idempotency-Key: it is then done once",
    "malformed": "send one JSON document in UTF-8, every name once in each object",
    "unauthorized": "log in at /api/v1/session, or send a key as `Authorization: Bearer swk_…`",
    "forbidden": "have an admin give you the role that the detail names",
    "method": "use one of the methods in Allow",
    "timeout": "send the whole request at once",
    "too_large": "send it in parts",
    "media_type": "send `Content-Type: application/json`, uncompressed",
    "headers": "send fewer and shorter headers",
    "internal": "give the reference in the detail to whoever runs the gateway; the log has the cause under it",
}


class FieldError(Struct, frozen=True):
    """One thing that is wrong with a request: where it stands (`path`, a JSON pointer, in what) and why."""

    where: str
    path: str
    problem: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every refusal."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: Code
    next: str
    request_id: str = ""
    errors: tuple[FieldError, ...] = ()


class Refusal(Exception):
    """Raised by whatever serves a request and can't; answered as a problem, with nothing half done."""

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        way_on: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail
        self.way_on = way_on or WAYS_ON[code]
        self.errors = tuple(errors[:ERRORS_MAX])
        self.headers = dict(headers or {})
        self.status = status or STATUS_BY_CODE[code]


_encoder = msgspec.json.Encoder()


def answer(refusal: Refusal, instance: str, request_id: str = "") -> Response:
    """The refusal as a response. `instance`: the path that was asked for."""
    problem = Problem(
        type=f"urn:stellwerk:problem:{refusal.code}",
        title=TITLES[refusal.code],
        status=refusal.status,
        detail=shown(refusal.detail),
        instance=shown(instance)[:400],
        code=refusal.code,
        next=refusal.way_on,
        request_id=request_id,
        errors=refusal.errors,
    )
    return Response(_encoder.encode(problem), refusal.status, refusal.headers, MEDIA_TYPE)


def of_reply(code: RefusalCode, reason: str) -> Refusal:
    """What the kernel has refused."""
    headers = {"Retry-After": "1"} if code in ("limit", "unavailable") else None
    return Refusal(code or "conflict", reason, headers=headers)


def shown(text: str) -> str:
    """With what is no character written out: an answer must be UTF-8, whatever was sent."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
