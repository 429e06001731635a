"""Tells one address of events: several at a time, each order's in order, again and again until they have arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import sha256

from structlog.typing import FilteringBoundLogger as Log

from gateway.host.outward.event import Bounds, Row
from gateway.host.outward.line import Line, Part
from gateway.host.outward.outbox import Outbox
from gateway.host.outward.post import Post, Verdict
from gateway.host.outward.signature import NoSecret, read_secrets, sign
from gateway.host.outward.target import Presence
from gateway.host.outward.together import together
from gateway.host.patience import honour_cancellation
from gateway.site.outward import WebhookSpec

SECRETS_EVERY_S = 10.0
"""How often the secret file is read: a new secret counts without a restart."""
ACKNOWLEDGE_EVERY_S = 0.05
"""What has arrived is taken off the disk in one go so often. A crash in between tells it once more."""
FAILURES_IN_A_ROW_MAX = 20
"""So many failures with no success between them are about the target, not about single orders."""
AGENT = "stellwerk"


class Webhook:
    """One target. `run` is for one task; the rest may be called from the loop at any time."""

    def __init__(
        self, spec: WebhookSpec, bounds: Bounds, site: str, outbox: Outbox, now_ns: Callable[[], int], log: Log
    ) -> None:
        self.presence = Presence(spec.id, "webhook", spec.backoff_max_s, log)
        self.line = Line(outbox, spec.id, spec.backoff_max_s)
        self._spec = spec
        self._bounds = bounds
        self._site = site
        self._outbox = outbox
        self._now_ns = now_ns
        self._log = log
        self._secrets: tuple[bytes, ...] = ()
        self._arrived: list[tuple[int, int]] = []
        self._arrival = asyncio.Event()
        self._probe = asyncio.Lock()
        self._in_a_row = 0
        self._not_before_s = 0.0

    async def run(self) -> None:
        """Deliver what waits, for ever. Raises what ends a part of it; whoever runs it starts it again."""
        # What an earlier run had in memory stands on the disk; it begins with that.
        self.line = Line(self._outbox, self._spec.id, self._spec.backoff_max_s)
        post = await self._prepared()
        try:
            senders = (self._send(post) for _ in range(self._spec.in_flight_max))
            await together(self.line.read(), self._acknowledge(), self._reread_secrets(), *senders)
        finally:
            await post.close()
            await self._take_off()

    # --- secrets ---

    async def _prepared(self) -> Post:
        """Secrets and certificates are read; while they can't be, the target is away and the reason is told."""
        while True:
            try:
                self._secrets = await asyncio.to_thread(read_secrets, self._spec.secret_file)
                return await asyncio.to_thread(Post, self._spec)
            except NoSecret as error:
                self.presence.away(str(error))
            except OSError as error:  # ssl.SSLError is one
                self.presence.away(f"`ca_file` {self._spec.ca_file} can't be used ({error})")
            await asyncio.sleep(SECRETS_EVERY_S)

    async def _reread_secrets(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(SECRETS_EVERY_S)
            try:
                self._secrets = await asyncio.to_thread(read_secrets, self._spec.secret_file)
                told = ""
            except NoSecret as error:
                if str(error) != told:
                    self._log.warning("secrets stay as they were", target=self._spec.id, reason=str(error))
                told = str(error)

    # --- sending ---

    async def _send(self, post: Post) -> None:
        while True:
            honour_cancellation()
            if not self.presence.is_away():
                parts = await self.line.take(self._spec.batch_max)
                if not self.presence.is_away():
                    await self._attempt(post, parts, probing=False)
                else:
                    self._give_back(parts)  # it has gone while this sender waited for something to send
                continue
            async with self._probe:  # one at a time asks whether it is back
                if self.presence.is_away():
                    await asyncio.sleep(self._not_before_s - asyncio.get_running_loop().time())
                    await self._attempt(post, await self.line.take(self._spec.batch_max), probing=True)

    async def _attempt(self, post: Post, parts: list[Part], *, probing: bool) -> None:
        verdict = await self._deliver(post, parts)
        if verdict.kind == "passed":
            self._in_a_row = 0
            self.presence.up()
            for part in parts:
                self._arrived += self.line.passed(part)
            self._arrival.set()
            return
        self.presence.failed += 1
        self._in_a_row += 1
        if verdict.kind == "away" or self._in_a_row >= FAILURES_IN_A_ROW_MAX:
            # What was on its way when it went fails as well, and is no reason to wait longer.
            if probing or not self.presence.is_away():
                wait_s = self.presence.wait_s(verdict.retry_after_s)
                self._not_before_s = asyncio.get_running_loop().time() + wait_s
            self.presence.away(verdict.reason)
        if verdict.kind == "away":
            self._give_back(parts)
            return
        for part in parts:
            await self._settle(part, verdict, len(parts) > 1 or len(part.rows) > 1)

    def _give_back(self, parts: list[Part]) -> None:
        for part in reversed(parts):
            self.line.again(part, None)

    async def _deliver(self, post: Post, parts: list[Part]) -> Verdict:
        rows = [row for part in parts for row in part.rows]
        bodies = [row.told(self._site) for row in rows]
        if self._spec.batch_max == 1:
            message_id, body = rows[0].id(self._site), bodies[0]
        else:
            message_id, body = self._batch_id(rows), b"[%s]" % b",".join(bodies)
        timestamp_s = int(time.time())
        headers = {
            "User-Agent": AGENT,
            "Webhook-Id": message_id,
            "Webhook-Timestamp": str(timestamp_s),
            "Webhook-Signature": sign(self._secrets, message_id, timestamp_s, body),
        }
        return await post.send(headers, body)

    async def _settle(self, part: Part, verdict: Verdict, among_others: bool) -> None:
        """What becomes of rows that have not arrived."""
        if verdict.kind == "refused" and not among_others:
            part.chain.tries += 1
            if part.chain.tries >= self._spec.tries_max:
                await self._bury(part, verdict.reason)
                return
        self.line.again(part, verdict.retry_after_s)

    async def _bury(self, part: Part, reason: str) -> None:
        (row,), tries = part.rows, part.chain.tries
        if row.gap:
            self._log.warning("news of a gap refused", target=self._spec.id, dropped=row.gap, reason=reason)
            await self._outbox.delivered(self._spec.id, [row.key])
        else:
            made_room = await self._outbox.bury(self._bounds, row, self._now_ns(), tries, reason)
            about = {"target": self._spec.id, "subject": row.subject, "tries": tries, "reason": reason}
            self._log.warning("dead letter", made_room=made_room, **about)
        self.line.forget(self.line.passed(part))

    # --- what has arrived ---

    async def _acknowledge(self) -> None:
        while True:
            await self._arrival.wait()
            await self._take_off()
            await asyncio.sleep(ACKNOWLEDGE_EVERY_S)

    async def _take_off(self) -> None:
        self._arrival.clear()
        keys = list(self._arrived)
        if keys:
            await self._outbox.delivered(self._spec.id, keys)
            del self._arrived[: len(keys)]
            self.line.forget(keys)

    def _batch_id(self, rows: list[Row]) -> str:
        """The same for the same events in the same order, and for no others."""
        ids = " ".join(row.id(self._site) for row in rows)
        return f"batch_{sha256(ids.encode()).hexdigest()[:32]}"
