"""TCP in memory whose cables have latency, can be pulled, and can be cut.

`async_solipsism` gives the sockets; here every connection belongs to a `Line`, named by the port that is listened on.
Bytes take a while, keep their order, and stay under way while the line does not let them through.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from async_solipsism.socket import ListenSocket, Queue, Socket

LATENCY_S = (0.0002, 0.002)
HICCUP_S = (0.01, 0.06)
HICCUP_SHARE = 0.01
CONNECTIONS_KEPT_MAX = 200

LineState = Literal["open", "held", "deaf"]
"""held: the cable is pulled, nothing comes through and nobody connects · deaf: the server's process stands still, its
machine still takes connections. What was written meanwhile arrives afterwards, as TCP sends it again."""


class Owner(Protocol):
    """Whoever a socket belongs to: when it has died it can neither connect nor write."""

    dead: bool
    transports: list[asyncio.BaseTransport]
    sockets: list[Plug]


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class Net(Protocol):
    """What a line needs of the loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle: ...

    def touch(self, socket: Socket | ListenSocket) -> None:
        """Something has changed at this socket: see whether it is ready."""


class Line:
    """The cable to one server."""

    def __init__(self, net: Net, rng: random.Random) -> None:
        self.net = net
        self.state: LineState = "open"
        self.slower_s = 0.0
        """Latency on top of the usual one, each way."""
        self.listener: Listener | None = None
        self.plugs: deque[Plug] = deque(maxlen=CONNECTIONS_KEPT_MAX)
        """Both ends of the newest connections."""
        self._rng = rng

    def become(self, state: LineState) -> None:
        """Hold everything, or let through what was held."""
        self.state = state
        if self.listener is not None:
            self.net.touch(self.listener)
        for plug in self.plugs:
            if not plug.is_closed():
                plug.arrive()

    def reset(self) -> None:
        """Cut every connection, as a switch that loses its power does: what is under way is lost, both ends know."""
        for plug in self.plugs:
            if not plug.is_closed():
                plug.cut()

    def pass_s(self) -> float:
        """How long the next bytes are under way."""
        low_s, high_s = HICCUP_S if self._rng.random() < HICCUP_SHARE else LATENCY_S
        return self.slower_s + low_s + (high_s - low_s) * self._rng.random()


class Channel(Queue):
    """One direction of a connection: what has arrived, and what is still under way."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.reader: Plug | None = None
        self._line = line
        self._flying: deque[tuple[float, bytes | None]] = deque()
        self._flying_bytes = 0
        self._last_s = 0.0

    def arrive(self) -> None:
        """Take in what is due; None is the end of the stream."""
        if not self._flying or self._line.state != "open":
            return
        soon_s = self._line.net.time() + 1e-6
        while self._flying and self._flying[0][0] <= soon_s:
            _, data = self._flying.popleft()
            if data is None:
                super().write_eof()
            else:
                self._flying_bytes -= len(data)
                self._buffer += data
        if self.reader is not None:
            self._line.net.touch(self.reader)

    def cut(self) -> None:
        """What is under way is lost, and both ends know at once."""
        self._flying.clear()
        self._flying_bytes = 0
        super().write_eof()
        if self.reader is not None:
            self._line.net.touch(self.reader)

    def _send(self, data: bytes | None) -> None:
        self._last_s = max(self._last_s, self._line.net.time() + self._line.pass_s())
        self._flying.append((self._last_s, data))
        self._line.net.call_at(self._last_s, self.arrive)

    def __len__(self) -> int:
        return len(self._buffer) + self._flying_bytes

    def write(self, data: Any) -> int | None:
        if self._eof:
            raise BrokenPipeError("the other end has closed")
        taken = bytes(memoryview(data)[: self.capacity - len(self)])
        if not taken:
            return None
        self._flying_bytes += len(taken)
        self._send(taken)
        return len(taken)

    def write_eof(self) -> None:
        self._send(None)


class Plug(Socket):
    """One end of a connection."""

    def __init__(self, read_queue: Channel, write_queue: Channel, sockname: Any, peername: Any) -> None:
        super().__init__(read_queue, write_queue, sockname, peername)
        read_queue.reader = self

    def arrive(self) -> None:
        self._read_queue.arrive()

    def cut(self) -> None:
        self._read_queue.cut()
        self._write_queue.cut()

    def is_closed(self) -> bool:
        return self._read_queue is None

    def close(self) -> None:
        """As with a real socket, a second time does nothing."""
        if not self.is_closed():
            super().close()


class Listener(ListenSocket):
    """A listening socket whose connections run over a line."""

    def __init__(self, sockname: Any, line: Callable[[int], Line]) -> None:
        super().__init__(sockname)
        self._line_of = line

    def listen(self, backlog: int | None = None) -> None:
        """From now on it has its port, and so its line."""
        self.line = self._line_of(self._sockname[1])
        self.line.listener = self

    def read_ready(self) -> bool:
        ready: bool = super().read_ready()
        return ready and self.line.state != "held"

    def accept(self) -> Any:
        while self._queue and self._queue[0][0].done():
            self._queue.popleft()
        if not self._queue:
            raise BlockingIOError
        waiter, (peername, owner) = self._queue.popleft()
        up, down = Channel(self.line), Channel(self.line)
        client = Plug(down, up, peername, self._sockname)
        server = Plug(up, down, self._sockname, peername)
        self.line.plugs.extend((client, server))
        if owner is not None:
            owner.sockets.append(client)
        waiter.set_result(client)
        return server, peername

    async def make_connection(self, peername: Any) -> Any:
        waiter: asyncio.Future[Plug] = asyncio.get_running_loop().create_future()
        self._queue.append((waiter, (peername, OWNER.get())))
        self.line.net.call_at(self.line.net.time() + self.line.pass_s(), self.line.net.touch, self)
        return await waiter
