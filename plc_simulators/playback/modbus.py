"""A recorded Modbus device as a Modbus TCP server: each request gets the reply that it got then.

Requests are told apart by unit and PDU. The replies to one PDU come in the order in which they were recorded, and the
last one for ever. What was recorded on a serial line is played back over TCP as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from pymodbus.framer import FramerRTU

from plc_simulators.playback.record import CaptureError, Record
from plc_simulators.servers.ports import HOST, listening_port
from plc_simulators.servers.tasks import end

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 64
_HEADER = 7
"""MBAP: transaction (2), protocol (2), length (2), unit (1). The length counts the unit and what follows."""
_CRC = 2
_U16 = 2**16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, NO_SUCH_UNIT = 1, 2, 0x0B
_WRITES = {5: 3, 6: 3, 15: 5, 16: 5, 22: 3}
"""Function → bytes of the PDU that say what is written, without the values."""
_ECHOED = {5: 5, 6: 5, 15: 5, 16: 5, 22: 7}


@dataclass(slots=True)
class Answer:
    """What came back: whole frames with the MBAP header of the transaction's number; none for a silent device."""

    frames: list[bytes]
    after_ns: int
    tid: int


@dataclass(slots=True)
class Answers:
    """The answers to one request, in order."""

    recorded: list[Answer] = field(default_factory=list)
    given: int = 0

    def take(self) -> Answer:
        answer = self.recorded[min(self.given, len(self.recorded) - 1)]
        self.given += 1
        return answer


class ModbusPlayback:
    """Serves one recorded link on 127.0.0.1; `port` 0 takes a free one and is known after `start`.

    With `delays` an answer takes as long as it took then, divided by `speed`; without, it comes at once. A write
    that was never recorded is accepted where one of the same function, address and length was (heartbeats and commands
    bear other numbers each time); anything else unknown gets an exception: 11 for a unit, 1 for a
    function, 2 for an address that nobody asked for. Raises CaptureError for a recording without answers.
    """

    def __init__(self, records: Sequence[Record], *, port: int = 0, delays: bool = False, speed: float = 1.0) -> None:
        self.port = port
        self.unknown = 0
        """Requests that were never recorded."""
        self._speed = speed if delays else None
        self._answers: dict[bytes, Answers] = {}
        for asked, answer in _exchanges(records):
            self._answers.setdefault(asked, Answers()).recorded.append(answer)
        if not self._answers:
            raise CaptureError("no request of this link was answered: there is nothing to play back")
        self._units = {asked[0] for asked in self._answers}
        self._functions = {asked[1] for asked in self._answers}
        self._shapes = {shape for asked, found in self._answers.items() if (shape := _shape(asked, found.recorded))}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_server(self._welcome, HOST, self.port)
        self.port = listening_port(self._server)

    async def finished(self) -> None:
        """Never: a server waits for the next request."""
        await asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        await end(*self._serving)
        await server.wait_closed()

    async def __aenter__(self) -> ModbusPlayback:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= CONNECTIONS_MAX:
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="connection")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    header = await reader.readexactly(_HEADER)
                    tid, protocol, length = (int.from_bytes(header[at : at + 2], "big") for at in (0, 2, 4))
                    if protocol != 0 or not 2 <= length <= 254:
                        break
                    pdu = await reader.readexactly(length - 1)
                    await self._answer(header[6:7] + pdu, tid, writer)
        finally:
            writer.close()

    async def _answer(self, asked: bytes, tid: int, writer: asyncio.StreamWriter) -> None:
        answers = self._answers.get(asked)
        if answers is None:
            self.unknown += 1
            writer.write(_framed(tid, asked[:1] + self._to_unknown(asked)))
            return
        answer = answers.take()
        if self._speed is not None:
            await asyncio.sleep(answer.after_ns / 1e9 / self._speed)
        for frame in answer.frames:
            # The distance to the number that was asked with is kept: a wrong one is played back as a wrong one.
            there = (tid + int.from_bytes(frame[:2], "big") - answer.tid) % _U16
            writer.write(there.to_bytes(2, "big") + frame[2:])
        await writer.drain()

    def _to_unknown(self, asked: bytes) -> bytes:
        unit, function = asked[0], asked[1]
        if _what_is_written(asked) in self._shapes:
            return asked[1 : 1 + _ECHOED[function]]
        if unit not in self._units:
            code = NO_SUCH_UNIT
        elif function not in self._functions:
            code = ILLEGAL_FUNCTION
        else:
            code = ILLEGAL_ADDRESS
        log.warning("unit %d was never asked this: %s; it gets exception %d", unit, asked[1:].hex(" "), code)
        return bytes((function | 0x80, code))


def _exchanges(records: Sequence[Record]) -> Iterator[tuple[bytes, Answer]]:
    """Each request (unit and PDU) with what came until the next one; a last one without an answer is left out."""
    frames = [(record, _frame(record)) for record in records]
    requests = [frame for record, frame in frames if record.way == "out"]
    # By the bytes of one frame alone the two kinds can be mistaken for each other: 01 03 0000 0002 and its CRC is both.
    is_serial = all(_is_whole(frame) for frame in requests)
    asked, begun_ns, answer = b"", 0, Answer([], 0, 0)
    for record, frame in frames:
        if record.way == "out":
            if asked:
                yield asked, answer
            asked, begun_ns = frame[:-_CRC] if is_serial else frame[_HEADER - 1 :], record.at_ns
            answer = Answer([], 0, 0 if is_serial else int.from_bytes(frame[:2], "big"))
            if len(asked) < 2:
                raise CaptureError(f"the request {frame.hex(' ')!r} at {record.at_ns} ns is none of Modbus")
        elif asked and (not is_serial or _is_whole(frame)):  # noise has no place on TCP: the request stays unanswered
            if not answer.frames:
                answer.after_ns = max(0, record.at_ns - begun_ns)
            answer.frames.append(_framed(0, frame[:-_CRC]) if is_serial else frame)
    if asked and answer.frames:
        yield asked, answer


def _frame(record: Record) -> bytes:
    try:
        return bytes.fromhex(record.frame)
    except ValueError as problem:
        raise CaptureError(f"the frame {record.frame!r} at {record.at_ns} ns is not in hex: {problem}") from None


def _is_whole(frame: bytes) -> bool:
    """The frame of a serial line with its right CRC."""
    return len(frame) > _CRC + 1 and FramerRTU.check_CRC(frame[:-_CRC], int.from_bytes(frame[-_CRC:], "big"))


def _framed(tid: int, body: bytes) -> bytes:
    return tid.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body


def _what_is_written(asked: bytes) -> bytes | None:
    """Unit, function, address and length of a write; None for anything else."""
    kept = _WRITES.get(asked[1])
    return asked[: 1 + kept] if kept is not None and len(asked) > kept else None


def _shape(asked: bytes, answers: Sequence[Answer]) -> bytes | None:
    """What a write wrote, where the device has accepted it."""
    accepted = any(len(frame) > _HEADER and frame[_HEADER] == asked[1] for a in answers for frame in a.frames)
    return _what_is_written(asked) if accepted else None
