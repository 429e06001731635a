"""A shop's webhook: its signature checked, its order carried out, answered when that is durable.

| status | what it means | what the shop does |
|---|---|---|
| 200 | durable, or nothing to do; also what the warehouse refuses for good: it would be refused again | goes on |
| 401 | not signed with this hook's secret | nothing good |
| 413, 422 | too large, unreadable, or no fit for the mapping; nothing was done | sends it again: mend the mapping |
| 503 | the gateway takes nothing just now, or a limit is met; nothing was done | sends it again |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Reply, Struct
from gateway.host.channels.asking import title
from gateway.host.channels.book import Book
from gateway.host.channels.intake import Intake, Piece, digest
from gateway.host.formats import Unreadable, shopify, woocommerce
from gateway.host.gate import Ask
from gateway.site.channels import HookSpec

SECRET_BYTES_MAX = 4_096
REASON_LENGTH_MAX = 1_000
WAITING_MAX = 64
"""Deliveries of one hook that are under way at a time; one more is told to come again."""
UNSIGNED_TOLD_S = 60.0


class HookAnswer(Struct, frozen=True):
    status: int
    reason: str


class _Shop(Struct, frozen=True):
    verify: Callable[[bytes, Mapping[str, str], bytes], str | None]
    is_ping: Callable[[Mapping[str, str], bytes], bool]


SHOPS: Mapping[str, _Shop] = {
    "shopify": _Shop(shopify.verify_shopify, lambda headers, body: False),  # noqa: ARG005
    "woocommerce": _Shop(woocommerce.verify_woocommerce, woocommerce.is_ping),
}


class Hook:
    """`accept` may be called by anybody: what is not signed costs one hash and changes nothing."""

    def __init__(self, client: str, shop: str, spec: HookSpec, intake: Intake, ask: Ask, book: Book, log: Log) -> None:
        self.client = client
        self._shop = SHOPS[shop]
        self._spec = spec
        self._intake = intake
        self._ask = ask
        self._book = book
        self._log = log
        self._unsigned = 0
        self._unsigned_due_s = 0.0
        self._under_way: dict[str, asyncio.Future[HookAnswer]] = {}

    async def accept(self, headers: Mapping[str, str], body: bytes) -> HookAnswer:
        """Answers 2xx only for what is durable. `body` as it came, `headers` in any case."""
        if len(body) > self._spec.bytes_max:
            return HookAnswer(413, f"{len(body)} bytes, at most {self._spec.bytes_max}")
        if self._shop.is_ping(headers, body):
            return HookAnswer(200, "ping")
        try:
            secret = await asyncio.to_thread(_secret, Path(self._spec.secret_file))
        except (OSError, ValueError) as error:
            self._log.error("the secret of a hook can't be read", channel=self.client, reason=str(error))
            return HookAnswer(503, "the secret of this hook can't be read: its gateway's operator is told")
        problem = self._shop.verify(secret, headers, body)
        if problem is not None:
            self._tell_unsigned(problem)
            return HookAnswer(401, problem)
        return await self._once(digest(body), body)

    async def _once(self, delivery: str, body: bytes) -> HookAnswer:
        """The same delivery twice is answered the same. What counts is the signed body: ids in headers are not signed,
        and WooCommerce gives one id to different orders of the same second."""
        running = self._under_way.get(delivery)
        if running is not None:
            return await asyncio.shield(running)
        if len(self._under_way) >= WAITING_MAX:
            return HookAnswer(503, f"{WAITING_MAX} deliveries are under way: send it again")
        future = self._under_way[delivery] = asyncio.ensure_future(self._carry_out(delivery, body))
        future.add_done_callback(lambda _: self._under_way.pop(delivery, None))
        # A shop that hangs up does not stop what it has sent.
        return await asyncio.shield(future)

    async def _carry_out(self, delivery: str, body: bytes) -> HookAnswer:
        known = await self._book.delivery(delivery)
        if known is not None:
            return HookAnswer(*known)
        try:
            pieces = await asyncio.to_thread(self._intake.whole, body, delivery)
        except Unreadable as problem:
            return self._refuse(str(problem))
        unmapped = next((piece for piece in pieces if piece.request is None), None)
        if unmapped is not None:
            return self._refuse(f"{unmapped.place}: {unmapped.problem}")
        asked = [(piece.request_id, piece.request) for piece in pieces if piece.request is not None]
        replies = await asyncio.gather(*(self._ask(self.client, *one) for one in asked))
        later = next((reply for reply in replies if reply.code in ("unavailable", "limit")), None)
        if later is not None:
            return HookAnswer(503, later.reason[:REASON_LENGTH_MAX])
        answer = HookAnswer(200, self._told(pieces, replies))
        await self._book.answered(delivery, answer.status, answer.reason)
        return answer

    def _tell_unsigned(self, problem: str) -> None:
        """Whoever can't sign may not fill the log: once a minute, with how many there were since."""
        self._unsigned += 1
        now_s = time.monotonic()
        if now_s >= self._unsigned_due_s:
            self._log.warning("hook refused", channel=self.client, reason=problem, times=self._unsigned)
            self._unsigned, self._unsigned_due_s = 0, now_s + UNSIGNED_TOLD_S

    def _refuse(self, problem: str) -> HookAnswer:
        self._log.warning("hook refused", channel=self.client, reason=problem)
        return HookAnswer(422, problem[:REASON_LENGTH_MAX])

    def _told(self, pieces: list[Piece], replies: list[Reply]) -> str:
        if not pieces:
            return "nothing to do"
        refused = [
            f"{title(piece.request)}: {reply.reason}"
            for piece, reply in zip(pieces, replies, strict=True)
            if not reply.accepted
        ]
        for reason in refused:
            self._log.warning("request of a hook refused", channel=self.client, reason=reason)
        return ("; ".join(refused) or "accepted")[:REASON_LENGTH_MAX]


def _secret(path: Path) -> bytes:
    with path.open("rb") as file:
        secret = file.read(SECRET_BYTES_MAX + 1).strip()
    if not secret or len(secret) > SECRET_BYTES_MAX:
        raise ValueError(f"{path} must hold a secret of 1 to {SECRET_BYTES_MAX} bytes and nothing else")
    return secret
