"""A TCP proxy before a device: what passes can be held, dropped, delayed, changed or added to; connections cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable

HOST = "127.0.0.1"
READ_BYTES = 65_536
CAPTURED_MAX = 2_000
HELD_BYTES_MAX = 4_000_000
FILLERS = 4
"""Connections that fill the queue of a listener that takes none: Linux keeps one more than its backlog of 0."""


class Pair:
    """One connection of the driver, and the proxy's own to the device behind it."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.is_lost = False
        """Nothing passes any more, and neither side is told."""
        self.replies = 0
        self.held_up: list[bytes] = []
        self.held_down: list[bytes] = []
        self.late: deque[bytes] = deque()
        self.far_ended = False

    def reset(self) -> None:
        """End both ways as a device that is switched off does: with RST."""
        for writer in (self.near, self.far):
            if writer is None:
                continue
            with contextlib.suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class TcpProxy:
    """Forwards both ways to the port that `to` names at the time of each connection.

    `open` counts the driver's sockets: one leaves when the driver has closed it, or the proxy has.
    """

    def __init__(self, to: Callable[[], int]) -> None:
        self.port = _free_port()
        self.accepted = 0
        self.captured: deque[bytes] = deque(maxlen=CAPTURED_MAX)
        """What the device has said lately, in the pieces that came."""
        self.swallows_replies = False
        self.delay_s = 0.0
        self.on_reply: Callable[[bytes], Iterable[bytes]] | None = None
        """What reaches the driver in place of a piece from the device."""
        self._to = to
        self._frozen = False
        self._loses = False
        self._server: asyncio.Server | None = None
        self._pairs: set[Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        return len(self._pairs)

    @property
    def answered(self) -> int:
        """Open connections on which the device has said something."""
        return sum(pair.replies > 0 for pair in self._pairs)

    @property
    def held(self) -> int:
        """Bytes of the driver that wait for the thaw."""
        return sum(len(part) for pair in self._pairs for part in pair.held_up)

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    def refuse(self) -> None:
        """Take no new connections: the port is closed."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        for pair in list(self._pairs):
            pair.reset()

    def freeze(self) -> None:
        """The device stands still: sockets stay and new ones are taken, but nothing gets through until `thaw`."""
        self._frozen = True

    def thaw(self) -> None:
        """What was held goes on, in order."""
        self._frozen = False
        for pair in list(self._pairs):
            held, pair.held_up = pair.held_up, []
            for part in held:
                self._up(pair, part)
            held, pair.held_down = pair.held_down, []
            for part in held:
                self._down(pair, part)
            if pair.far_ended:
                pair.near.close()

    def lose(self) -> None:
        """Packets vanish from now on, without RST or FIN, on old connections and new ones."""
        self._loses = True
        for pair in self._pairs:
            pair.is_lost = True

    def find(self) -> None:
        """New connections get through again; the old ones never do."""
        self._loses = False

    def inject(self, data: bytes) -> int:
        """Say this to the driver on each live connection; how many there were."""
        live = [pair for pair in self._pairs if not pair.is_lost and not pair.near.is_closing()]
        for pair in live:
            pair.near.write(data)
        return len(live)

    def say(self, data: bytes) -> int:
        """The same, on connections on which the device has answered already."""
        live = [pair for pair in self._pairs if pair.replies and not pair.near.is_closing()]
        for pair in live:
            pair.near.write(data)
        return len(live)

    async def stop(self) -> None:
        self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = Pair(writer)
        pair.is_lost = self._loses
        self.accepted += 1
        self._pairs.add(pair)
        near = self._start(self._from_driver(pair, reader))
        near.add_done_callback(lambda _: self._ended(pair))
        if pair.is_lost:
            return
        try:
            far_reader, pair.far = await asyncio.open_connection(HOST, self._to())
        except OSError:
            pair.reset()
            return
        if pair not in self._pairs:  # the driver was gone before we got there
            pair.far.close()
            return
        self._start(self._from_device(pair, far_reader))
        if not self._frozen:
            held, pair.held_up = pair.held_up, []
            for part in held:
                self._up(pair, part)

    def _start(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _ended(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        pair.near.close()
        if pair.far is not None:
            pair.far.close()

    async def _from_driver(self, pair: Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                self._up(pair, data)

    async def _from_device(self, pair: Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                self.captured.append(data)
                if self.swallows_replies:
                    continue
                for part in (data,) if self.on_reply is None else self.on_reply(data):
                    self._down(pair, part)
        pair.far_ended = True
        if not pair.is_lost and not self._frozen:
            pair.near.close()

    def _up(self, pair: Pair, data: bytes) -> None:
        if pair.is_lost:
            return
        if self._frozen or pair.far is None:
            if sum(map(len, pair.held_up)) < HELD_BYTES_MAX:
                pair.held_up.append(data)
        else:
            pair.far.write(data)

    def _down(self, pair: Pair, data: bytes) -> None:
        if pair.is_lost:
            return
        if self._frozen:
            if sum(map(len, pair.held_down)) < HELD_BYTES_MAX:
                pair.held_down.append(data)
        elif self.delay_s or pair.late:
            pair.late.append(data)
            asyncio.get_running_loop().call_later(self.delay_s, self._deliver_late, pair)
        else:
            self._deliver(pair, data)

    def _deliver_late(self, pair: Pair) -> None:
        if pair.late:  # the oldest, whichever timer rings: pieces must not overtake each other
            self._deliver(pair, pair.late.popleft())

    def _deliver(self, pair: Pair, data: bytes) -> None:
        if not pair.is_lost and not pair.near.is_closing():
            pair.replies += 1
            pair.near.write(data)


class BlackHole:
    """A port where connecting never ends: Linux drops the SYN when the queue of a listener is full."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind((HOST, 0))
        self._listener.listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._fillers = [socket.socket() for _ in range(FILLERS)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))

    def close(self) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
