"""The live view's feed, as the API offers it over a WebSocket. The protocol stands in docs/live.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.contract import Ns
from gateway.host.gate import Gate
from gateway.host.live.client import BROKEN_RULE, LATER, STALL_S, Client, Ended, closing_reason
from gateway.host.live.equipment import Figures
from gateway.host.live.feed import Feed
from gateway.host.live.ring import CHARACTERS_MAX, DIFFS_MAX
from gateway.host.live.topics import UNASKED, chosen

TURN_S = 0.1
PAUSE_S_MIN = 0.05
"""Between two turns, however long one takes: the loop has plants to serve."""
CLIENTS_MAX = 500
CLOSE_S_MAX = 1.0


class Live:
    """All clients of one gateway."""

    def __init__(
        self,
        gate: Gate,
        now_ns: Callable[[], Ns],
        *,
        figures: Figures | None = None,
        version: str = "",
        clients_max: int = CLIENTS_MAX,
        stall_s: float = STALL_S,
        diffs_max: int = DIFFS_MAX,
        characters_max: int = CHARACTERS_MAX,
    ) -> None:
        """`figures`: of all links, for the age of what devices say; without it there are no ages."""
        self.feed = Feed(gate, now_ns, figures, version, diffs_max, characters_max)
        self.clients = 0
        self._clients_max = clients_max
        self._stall_s = stall_s

    async def run(self) -> None:
        """Ten diffs a second at the most while somebody follows, for ever. Rests while nobody does."""
        while True:
            await self.feed.wanted()
            began_s = asyncio.get_running_loop().time()
            self.feed.turn()
            took_s = asyncio.get_running_loop().time() - began_s
            await asyncio.sleep(max(TURN_S - took_s, PAUSE_S_MIN))

    async def serve(self, websocket: WebSocket, after: int | None) -> None:
        """Feed one client, already accepted and let in, from diff `after` on; returns when it is gone.

        Its topics are in the address (`?topics=loads,orders`); without them it follows all but `reservations`.
        """
        if self.clients >= self._clients_max:
            await _close(websocket, LATER, f"{self._clients_max} clients follow already: come again later")
            return
        names = websocket.query_params.get("topics")
        topics = UNASKED if names is None else chosen([name for name in names.split(",") if name])
        if isinstance(topics, str):
            await _close(websocket, BROKEN_RULE, topics)
            return
        self.clients += 1
        try:
            await Client(websocket, self.feed, topics, self._stall_s).run(after)
        except WebSocketDisconnect:
            pass
        except Ended as ended:
            await _close(websocket, ended.code, ended.reason)
        finally:
            self.clients -= 1


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    """Say why, where it still listens: one that reads nothing is left to the server, which drops it."""
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        async with asyncio.timeout(CLOSE_S_MAX):
            await websocket.close(code, closing_reason(reason))
