"""Answers: encoded once, with an ETag; and lists in pages."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from heapq import nsmallest
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query
from starlette.responses import Response

from gateway.contract import Struct
from gateway.host.api.call import Call
from gateway.host.api.problem import Refusal

JSON = "application/json"
LIMIT_MAX = 500
CHUNK = 1_000
"""So many are looked at before the plant gets its turn again."""
TAGS_MAX = 20
_encoder = msgspec.json.Encoder()

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="So many at most.")]
Cursor = Annotated[str, Query(max_length=400, description="`next` of the page before.")]
T = TypeVar("T")
K = TypeVar("K", str, int)


class Done(Struct, frozen=True):
    """What was asked for is done and durable. `request_id` names the request for ever."""

    request_id: str
    what: str
    id: str
    accepted: bool = True


def give(call: Call, shape: object, etag: str = "") -> Response:
    """An answer to a read; 304 where the asker has it already. The ETag is a hash of the content, behind `etag`."""
    data = _encoder.encode(shape)
    tag = f'"{etag}-{content_tag(data)[1:]}' if etag else content_tag(data)
    headers = {"ETag": tag}
    if _none_match(call, tag):
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, JSON)


def done(call: Call, id_: str, status: int = 200, location: str = "", what: str = "") -> Response:
    """The answer to a write: made of the request alone, so that a repeat is answered the same."""
    headers = {"Location": location} if location else None
    return Response(_encoder.encode(Done(call.key, what or call.what, id_)), status, headers, JSON)


def made(shape: object, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(_encoder.encode(shape), status, headers, JSON)


def encoded(shape: object) -> bytes:
    return _encoder.encode(shape)


def content_tag(data: bytes) -> str:
    return f'"{blake2b(data, digest_size=12).hexdigest()}"'


def check_match(call: Call, shape: object) -> None:
    """Raises Refusal `version` where If-Match names none of what `shape` is now. A request that was answered before is
    answered the same, whatever is so by now."""
    asked = call.headers.get("if-match")
    if asked is None or asked == "*" or call.is_known(call.key):
        return
    tag = content_tag(_encoder.encode(shape))
    if tag != asked:
        raise Refusal("version", f"it is {tag} by now, not {asked[:100]}", headers={"ETag": tag})


def version_of(call: Call) -> int:
    """The version in If-Match; 0 without one, or with `*`. Raises Refusal where it can't be an order's."""
    asked = call.headers.get("if-match")
    if asked is None or asked == "*":
        return 0
    number = asked.strip('"').partition("-")[0]
    if not (number.isascii() and number.isdigit() and len(number) <= 18 and int(number) > 0):
        raise Refusal("version", f'If-Match {asked[:100]!r} is no version of an order, such as "3"')
    return int(number)


def _none_match(call: Call, tag: str) -> bool:
    asked = call.headers.get("if-none-match")
    return asked is not None and (asked.strip() == "*" or tag in [each.removeprefix("W/") for each in _tags(asked)])


def _tags(header: str) -> list[str]:
    return [each.strip() for each in header.split(",")[:TAGS_MAX]]


# --- pages ---


def cursor_of(key: str | int) -> str:
    """Opaque to whoever gets it."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(key)).rstrip(b"=").decode()


def key_of(cursor: str, kind: type[K]) -> K | None:
    """What a cursor stands for, None for "". Raises Refusal."""
    if not cursor:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found: K = msgspec.msgpack.decode(raw, type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise Refusal("invalid", "the cursor is none of this list: leave it out to begin with the first page") from None
    return found


async def page(
    things: Iterable[T], key: Callable[[T], K], after: K | None, limit: int, fits: Callable[[T], bool]
) -> tuple[list[T], str]:
    """The `limit` things with the smallest keys above `after`, in order, and the cursor of the next page ("": none).

    Any number of things: the loop gets its turn after each CHUNK.
    """
    every = list(things)
    found: list[T] = []
    chunk: list[T]
    for begin in range(0, len(every), CHUNK):
        if begin:
            await asyncio.sleep(0)
        chunk = [x for x in every[begin : begin + CHUNK] if (after is None or key(x) > after) and fits(x)]
        if chunk:
            found = nsmallest(limit + 1, (*found, *chunk), key=key)
    if len(found) <= limit:
        return found, ""
    return found[:limit], cursor_of(key(found[limit - 1]))


def small_page(things: Collection[T], key: Callable[[T], str], cursor: str, limit: int) -> tuple[list[T], str]:
    """The same for a list that is short by its nature."""
    after = key_of(cursor, str)
    rest = sorted((x for x in things if after is None or key(x) > after), key=key)
    return rest[:limit], cursor_of(key(rest[limit - 1])) if len(rest) > limit else ""


def anything(_: Any) -> bool:
    return True
