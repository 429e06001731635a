"""The event loop of a run: virtual time that only passes when nothing is left to do, and the net in memory."""

from __future__ import annotations

import random
from math import ceil
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import Any

import async_solipsism
from async_solipsism.exceptions import SleepForeverError
from async_solipsism.selector import Selector
from async_solipsism.socket import ListenSocket, Socket
from stack_net import OWNER, Line, Listener

TURN_NS = 1_000
"""What one turn of the loop costs. A clock that stands still while code runs would let a loop that waits for "not
before 0.05 s" spin for ever at 0.0499999999 s: on a real one such a wait is over after a turn or two."""


class Clock:
    """Whole nanoseconds since the loop began."""

    resolution = 1e-6

    def __init__(self) -> None:
        self.now_ns = 0

    def time(self) -> float:
        return self.now_ns / 1e9

    def advance(self, delta_s: float) -> None:
        self.now_ns += ceil(delta_s * 1e9)


class Turns(Selector):
    """Passes virtual time: a little with each turn, the rest when nothing is left to do.

    Looks only at sockets to which something has happened, in the order in which it happened: the parent looks at
    all of them in every turn, which takes half of a run's time.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._touched: dict[Socket | ListenSocket, None] = {}
        self._key_of: dict[Socket | ListenSocket, SelectorKey] = {}

    def touch(self, socket: Socket | ListenSocket) -> None:
        self._touched[socket] = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = super().register(fileobj, events, data)
        self._key_of[key.fd.socket] = key  # type: ignore[attr-defined]
        self.touch(key.fd.socket)  # type: ignore[attr-defined]
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        key = super().unregister(fileobj)
        self._key_of.pop(key.fd.socket, None)  # type: ignore[attr-defined]
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = super().modify(fileobj, events, data)
        self._key_of[key.fd.socket] = key  # type: ignore[attr-defined]
        self.touch(key.fd.socket)  # type: ignore[attr-defined]
        return key

    def select(self, timeout: float | None = None) -> Any:
        self.clock.now_ns += TURN_NS
        ready = []
        for socket in list(self._touched):
            key = self._key_of.get(socket)
            events = 0
            if key is not None:
                events |= EVENT_READ if key.events & EVENT_READ and socket.read_ready() else 0
                events |= EVENT_WRITE if key.events & EVENT_WRITE and socket.write_ready() else 0
            if events:
                ready.append((key, events))
            elif key is None or not key.events & EVENT_WRITE:
                # One that waits to write is looked at again: its peer's reading touches nobody.
                del self._touched[socket]
        if not ready and timeout is None:
            raise SleepForeverError("nothing is under way, and nothing will ever happen again")
        if not ready and timeout:
            self.clock.advance(timeout)
        return ready


class PlantLoop(async_solipsism.EventLoop):
    """Everything of one run lives on it. `line(port)` is the cable to the server on that port."""

    def __init__(self, seed: object) -> None:
        super().__init__()
        self._clock = Clock()
        self._selector = Turns(self._clock)
        self._seed = seed
        self._lines: dict[int, Line] = {}
        self.reopens = 0
        """The port that the next server gets which does not ask for one: that of the one it takes the place of."""

    def time(self) -> float:
        return self._clock.time()

    def now_ns(self) -> int:
        """Nanoseconds since the loop began."""
        return self._clock.now_ns

    def touch(self, socket: Socket | ListenSocket) -> None:
        """See `Net.touch`."""
        self._selector.touch(socket)

    def line(self, port: int) -> Line:
        if port not in self._lines:
            self._lines[port] = Line(self, random.Random(f"{self._seed} line {port}"))
        return self._lines[port]

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        port, self.reopens = port or self.reopens, 0
        listener = Listener((host, port, 0, 0), self.line)
        return await super().create_server(protocol_factory, sock=listener, **options)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        owner = OWNER.get()
        if owner is not None and owner.dead:
            raise ConnectionAbortedError("the process has ended")
        transport, protocol = await super().create_connection(protocol_factory, host, port, **options)
        if owner is not None:
            owner.transports.append(transport)
        return transport, protocol
