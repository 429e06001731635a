"""uvicorn's protocol with an end to all that a peer may hold up: heads, answers that it does not read, connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.host.api.problem import Code, Refusal, answer

CONNECTIONS_MAX = 1_000
HEAD_S_MAX = 10.0
"""So long the first line and the headers of a request may take; of a connection's first request, from its beginning."""
HEAD_BYTES_MAX = 64 * 1024
UNREAD_S_MAX = 30.0
"""A peer that reads nothing of its answer for so long is cut off."""


class BoundedProtocol(HttpToolsProtocol):
    """Everything beyond its limits is answered with a problem, where anybody listens, and the connection closed."""

    def connection_made(self, transport: Any) -> None:
        self._head_bytes = 0
        self._in_head = True
        self._turn = 0
        """Counts heads that have begun and ended."""
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._say("unavailable", f"{CONNECTIONS_MAX} connections are open, which is the limit")
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        turn = self._turn
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            # A WebSocket by now: no more requests come, and another protocol has the connection.
            self._disarm()
            return
        if not self._in_head or self.transport.is_closing():
            return
        if turn == self._turn:
            # All of it belongs to one head; what came in one piece with the request before is a read's size at most.
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._say("headers", f"the first line and the headers have {HEAD_BYTES_MAX} bytes at most")
        elif self._late is None:
            self._arm()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._turn += 1
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        # Whatever comes now belongs to the head of the next request, be it only a line feed.
        self._begin_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_S_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        self._say("malformed", f"{msg} It is no HTTP/1.1.")

    def _begin_head(self) -> None:
        self._in_head = True
        self._turn += 1
        self._head_bytes = 0

    def _arm(self) -> None:
        self._late = self.loop.call_later(HEAD_S_MAX, self._head_is_late)

    def _disarm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self._say("timeout", f"the first line and the headers were not there whole after {HEAD_S_MAX:g} s")

    def _say(self, code: Code, detail: str) -> None:
        """Answer below the application, and close."""
        if self.transport.is_closing():
            return
        self._disarm()
        response = answer(Refusal(code, detail), "/")
        head = b"HTTP/1.1 %d \r\nconnection: close\r\n" % response.status_code
        fields = b"".join(b"%s: %s\r\n" % field for field in response.raw_headers)
        self.transport.write(head + fields + b"\r\n" + bytes(response.body))
        self.transport.close()
