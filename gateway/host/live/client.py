"""One client: it is sent the diffs of the common ring from its own place on, one frame at a time.

Nothing is queued for it. While its socket takes nothing more, its place stays where it is; when it is far behind or
the ring has moved past it, it begins anew with a snapshot.
"""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.host.live.feed import Feed
from gateway.host.live.messages import MESSAGES_MAX, MESSAGES_S, Following, Pace, Ping, Resume, read
from gateway.host.live.topics import Topic

BEHIND_MAX = 50
"""Diffs, 5 s of them: whoever has kept up and then is further behind is better served with a snapshot."""
STALL_S = 30.0
LOOK_S = 5.0
REASON_BYTES_MAX = 123
"""RFC 6455, 5.5: a control frame has 125 bytes, two of them for the code."""
BROKEN_RULE, LATER = 1008, 1013


class Ended(Exception):
    """The connection is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Client:
    """Feeds one WebSocket until it is gone."""

    def __init__(self, websocket: WebSocket, feed: Feed, topics: frozenset[Topic], stall_s: float = STALL_S) -> None:
        self._websocket = websocket
        self._feed = feed
        self._topics = topics
        self._stall_s = stall_s
        self._after: int | None = None
        """The last diff that it has; None where it needs a snapshot."""
        self._sending_since_s: float | None = None
        self._pace = Pace()

    async def run(self, after: int | None) -> None:
        """Feed it from `after` on. Ends with WebSocketDisconnect when it is gone, with Ended when it has to go."""
        self._feed.follow(self._topics)
        sending = asyncio.create_task(self._feed_from(after))
        receiving = asyncio.create_task(self._websocket.receive())
        try:
            while True:
                await asyncio.wait(
                    (sending, receiving), timeout=min(LOOK_S, self._stall_s), return_when=asyncio.FIRST_COMPLETED
                )
                if sending.done():
                    sending.result()
                if receiving.done():
                    wanted = self._wanted(receiving.result())
                    if isinstance(wanted, Ping):
                        await self._answer()
                    else:
                        sending = await self._again(sending, wanted)
                    receiving = asyncio.create_task(self._websocket.receive())
                self._check_stall()
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
            self._feed.leave(self._topics)

    # --- what it is sent ---

    async def _feed_from(self, after: int | None) -> None:
        feed, ring = self._feed, self._feed.ring
        self._after = after if after is not None and ring.covers(after) else None
        if self._after is not None:
            await self._send(f'{{"type":"resumed","seq":{after}}}')
        # Whoever comes back, or was sent a long snapshot, may be further behind for a while.
        is_catching_up = True
        while True:
            place = self._after
            if place is None or not ring.covers(place) or (ring.seq - place > BEHIND_MAX and not is_catching_up):
                await self._send_snapshot()
                is_catching_up = True
            elif place == ring.seq:
                is_catching_up = False
                await feed.turned()
            else:
                frame = ring.frame(place + 1, self._topics)
                if frame:
                    await self._send(frame)
                self._after = place + 1

    async def _send_snapshot(self) -> None:
        snapshot = self._feed.snapshot(self._topics)
        try:
            for frame in snapshot.frames(self._topics):
                await self._send(frame)
                if not self._feed.ring.covers(snapshot.seq):
                    raise Ended(LATER, "too slow for a snapshot of these topics: subscribe to fewer")
            self._after = snapshot.seq
        finally:
            self._feed.give_back(snapshot)

    async def _send(self, text: str) -> None:
        """Returns when the server has taken it, which it does while less than its bound waits for the socket."""
        self._sending_since_s = asyncio.get_running_loop().time()
        try:
            await self._websocket.send_text(text)
        except RuntimeError as error:
            # The server has begun to close while this waited, as after a ping that was not answered.
            raise WebSocketDisconnect(1006) from error
        self._sending_since_s = None

    def _check_stall(self) -> None:
        since_s = self._sending_since_s
        if since_s is not None and asyncio.get_running_loop().time() - since_s > self._stall_s:
            raise Ended(LATER, f"nothing was read for {self._stall_s:g} s")

    # --- what it says ---

    def _wanted(self, message: object) -> Resume | Following | Ping:
        assert isinstance(message, dict)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if self._pace.is_too_fast(asyncio.get_running_loop().time()):
            raise Ended(BROKEN_RULE, f"more than {MESSAGES_MAX} messages in {MESSAGES_S:g} s")
        wanted = read(message.get("text"))
        if isinstance(wanted, str):
            raise Ended(BROKEN_RULE, wanted)
        return wanted

    async def _answer(self) -> None:
        try:
            async with asyncio.timeout(self._stall_s):
                await self._websocket.send_text(f'{{"type":"pong","seq":{self._feed.ring.seq}}}')
        except TimeoutError:
            raise Ended(LATER, f"nothing was read for {self._stall_s:g} s") from None
        except RuntimeError as error:
            raise WebSocketDisconnect(1006) from error

    async def _again(self, sending: asyncio.Task[None], wanted: Resume | Following) -> asyncio.Task[None]:
        """Stop where it is, which is between two frames, and begin as it is wanted."""
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        self._sending_since_s = None
        if isinstance(wanted, Resume):
            return asyncio.create_task(self._feed_from(wanted.after))
        self._feed.follow(wanted.topics)
        self._feed.leave(self._topics)
        self._topics = wanted.topics
        return asyncio.create_task(self._feed_from(None))


def closing_reason(reason: str) -> str:
    """As much of it as a close frame holds."""
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
