"""What others call by themselves, and what they could not be told: hooks of shops, dead letters, the live feed."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from fastapi import Path
from starlette.responses import Response
from starlette.websockets import WebSocket

from gateway.contract import Struct
from gateway.host.access import AuditEntry, Refused, permit
from gateway.host.api.bodies import Numbers
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Limit, cursor_of, encoded, give, key_of, made
from gateway.host.api.guarded import identify, turned_away
from gateway.host.api.offer import Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import STATUS_BY_CODE, Code, Refusal, answer
from gateway.host.api.remembered import Remembered

JSON = "application/json"
_CODES: dict[int, Code] = {
    400: "malformed", 401: "unauthorized", 403: "forbidden", 404: "unknown", 409: "conflict", 413: "too_large",
    415: "media_type", 422: "invalid", 429: "limit", 503: "unavailable",
}  # fmt: skip
_RAW = {"requestBody": {"content": {"*/*": {"schema": {}}}, "description": "As the shop sends it, with its signature."}}


class LetterPage(Struct, frozen=True):
    letters: tuple[dict[str, Any], ...]
    next: str = ""


class Replayed(Struct, frozen=True):
    request_id: str
    replayed: int


class Taken(Struct, frozen=True):
    accepted: bool


class Outside:
    """The routes below /hooks and /dead-letters, and /live."""

    def __init__(self, parts: Parts, remembered: Remembered) -> None:
        self._parts = parts
        self._remembered = remembered

    def offer(self, offer: Offer) -> None:
        route = partial(offer.route, tag="dead-letters")
        route("GET", "/dead-letters", self.letters, "engineer", {200: LetterPage})
        route("POST", "/dead-letters:replay", self.replay, "engineer", {200: Replayed}, what="replay_dead_letters")
        hook = "/hooks/{channel}"
        offer.route(
            "POST", hook, self.hook, "anybody", {200: Taken}, tag="hooks", what="hook", extra=_RAW, any_query=True
        )
        offer.socket("/live", self.live, "viewer")

    async def letters(self, call: Call, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """What could not be delivered, newest first."""
        if self._parts.outward is None:
            return give(call, LetterPage(()))
        found = await self._parts.outward.dead_letters(key_of(cursor, int), limit + 1)
        letters: list[dict[str, Any]] = [msgspec.to_builtins(letter) for letter in found]
        following = cursor_of(int(letters[limit - 1]["number"])) if len(letters) > limit else ""
        return give(call, LetterPage(tuple(letters[:limit]), following))

    async def replay(self, call: Call, body: Numbers) -> Response:
        """Try some of them again."""
        outward = self._parts.outward
        if outward is None:
            raise Refusal("unknown", "this gateway tells nobody anything: the YAML has no `outward`")

        async def work() -> Response:
            count = await outward.replay(body.numbers)
            call.did(f"replay_dead_letters {', '.join(map(str, body.numbers[:20]))}", 200, f"{count} of them")
            return made(Replayed(call.key, count), 200)

        return await self._remembered.once(call, work)

    async def hook(self, call: Call, channel: Annotated[str, Path(max_length=64)]) -> Response:
        """A shop tells of an order. The channel verifies the shop's own signature."""
        hook = self._parts.hooks.get(channel)
        if hook is None:
            raise Refusal("unknown", f"there is no hook {channel!r}", way_on="use the id of a channel of the kind hook")
        body = await call.read_body()
        found = await hook.accept({name.lower(): value for name, value in call.headers.items()}, body)
        refused = found.status >= 400
        if found.status not in (401, 403):  # whoever can't sign may not fill the log
            entry = AuditEntry(
                channel, f"hook {channel}", "refused" if refused else "accepted", self._parts.gate.now_ns(),
                kind="hook", peer=call.peer, method="POST", path=call.instance, status=found.status,
                detail=found.reason,
            )  # fmt: skip
            await self._parts.access.audit.append(entry)
        if refused:
            code = _CODES.get(found.status, "unavailable" if found.status >= 500 else "invalid")
            headers = {"Retry-After": "5"} if code in ("limit", "unavailable") else None
            raise Refusal(code, found.reason, headers=headers, status=found.status)
        return Response(encoded(Taken(True)), 200, media_type=JSON)

    async def live(self, websocket: WebSocket) -> None:
        """The live feed: a snapshot, then what changes."""
        refusal = await self._door(websocket)
        if refusal is None:
            after = websocket.query_params.get("after", "")
            if after and not (after.isascii() and after.isdigit() and len(after) <= 18):
                refusal = Refusal("invalid", f"after={after[:40]!r} is no number of a diff")
        live = self._parts.live
        if refusal is None and live is None:
            refusal = Refusal("unavailable", "this gateway has no live feed")
        if refusal is not None or live is None:
            assert refusal is not None
            await _deny(websocket, refusal)
            return
        await websocket.accept()
        await live.serve(websocket, int(after) if after else None)

    async def _door(self, websocket: WebSocket) -> Refusal | None:
        origin = websocket.headers.get("origin")
        if origin is not None and not self._is_ours(origin, websocket):
            return Refusal(
                "forbidden", f"pages of {origin[:100]!r} may not read here", way_on="name it in `http: cors:`"
            )
        found = await identify(self._parts, websocket, writes=False)
        if isinstance(found, Refused):
            return turned_away(found)
        wait_s = self._parts.access.admit(found, websocket.scope["stellwerk_origin"][0])
        if wait_s is not None:
            return turned_away(Refused(429, f"too many requests of {found.name}", wait_s))
        refused = permit(found, "viewer")
        return None if refused is None else turned_away(refused)

    def _is_ours(self, origin: str, websocket: WebSocket) -> bool:
        """A browser sends the cookie whichever page asks; only ours and those named may read with it."""
        spec = self._parts.spec
        if origin in spec.cors or (spec.public_url and origin == spec.public_url):
            return True
        return urlsplit(origin).netloc == websocket.headers.get("host", "")


async def _deny(websocket: WebSocket, refusal: Refusal) -> None:
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(answer(refusal, websocket.scope["path"]))
    else:
        await websocket.close(4000 + STATUS_BY_CODE[refusal.code], refusal.detail[:120])
