"""Is this reply the answer to that request? Judged on the bytes, before any library decodes them.

pymodbus 3.16 by itself lets much pass: it drops what another unit or transaction sent without a word and waits on,
takes a reply of another function, of transaction 0 or with more registers than were asked for, does not compare
the echo of a write, and throws in the event loop where a byte count is wrong. Pure but for what it remembers.
"""

from __future__ import annotations

from collections.abc import Callable

_HEADER = 7
"""MBAP: transaction (2), protocol (2), length (2), unit (1). The length counts the unit and what follows."""
_LENGTH_MAX = 254
_GATEWAY_FAILED = 0x0B
_READ_BITS = (1, 2)
_READ_REGISTERS = (3, 4, 23)
_ECHOED = {5: 5, 6: 5, 15: 5, 16: 5, 22: 7}
"""Function → how many bytes of the request a good reply repeats, its function code counted."""

Note = Callable[[str, bytes], None]
"""Told of each whole frame, `out` or `in`, good or bad."""


def reply_problem(asked: bytes, reply: bytes) -> str | None:
    """What is wrong with `reply` to the request `asked`, "" when nothing is; None while it is not complete.

    Both are whole frames with their MBAP header. Source: Modbus Application Protocol 1.1b3, Messaging on TCP/IP 1.0b.
    """
    if len(reply) < _HEADER + 1:
        return None
    tid, protocol, length, unit = _header(reply)
    if protocol != 0:
        return f"protocol {protocol} in place of 0: is it a Modbus device?"
    if not 2 <= length <= _LENGTH_MAX:
        return f"a length of {length} bytes, which no reply has"
    if not asked:
        return "a reply that nobody had asked for"
    asked_tid, _, _, asked_unit = _header(asked)
    if tid != asked_tid:
        return f"the reply to transaction {tid}, not to {asked_tid}"
    if asked_unit and unit != asked_unit:  # 0 and 255 address whoever is behind the address
        return f"the reply of unit {unit}, not of {asked_unit}"
    if len(reply) < length + 6:
        return None
    if len(reply) > length + 6:
        return f"{len(reply) - length - 6} bytes more than the reply's length says"
    return pdu_problem(asked[_HEADER:], reply[_HEADER:])


def _header(frame: bytes) -> tuple[int, int, int, int]:
    return (
        int.from_bytes(frame[0:2], "big"),
        int.from_bytes(frame[2:4], "big"),
        int.from_bytes(frame[4:6], "big"),
        frame[6],
    )


def pdu_problem(asked: bytes, reply: bytes) -> str:
    """The same for function code and data alone, whatever they are framed in; both have one byte at least."""
    function = asked[0]
    if reply[0] == function | 0x80:
        return "" if len(reply) == 2 else f"an exception of {len(reply)} bytes, not 2"
    if reply[0] != function:
        return f"the reply to function {reply[0]}, not to {function}"
    wanted = value_bytes(asked)
    if wanted is not None:
        if len(reply) < 2 or len(reply) != reply[1] + 2:
            return f"a byte count that does not fit its {len(reply)} bytes"
        if reply[1] != wanted:
            return f"{reply[1]} bytes of values for {_count(asked)} asked: {wanted} are right"
        return ""
    if function in _ECHOED and reply != asked[: _ECHOED[function]]:
        return f"the echo {reply.hex(' ')} of a write that was {asked[: _ECHOED[function]].hex(' ')}"
    return ""


def _count(asked: bytes) -> int:
    return int.from_bytes(asked[3:5], "big")


def value_bytes(asked: bytes) -> int | None:
    """How many bytes of values answer this request; None where the answer has none."""
    if asked[0] in _READ_REGISTERS:
        return 2 * _count(asked)
    return (_count(asked) + 7) // 8 if asked[0] in _READ_BITS else None


def reply_bytes(asked: bytes) -> int | None:
    """How long a good answer to this request is, from its function code on; None where only the answer itself tells."""
    values = value_bytes(asked)
    return values + 2 if values is not None else _ECHOED.get(asked[0])


class ReplyGuard:
    """Stands between the socket and pymodbus (its `trace_packet`): a wrong reply is never decoded.

    In its place pymodbus gets an exception, so that its wait ends at once; `problem` says what came, and the
    connection has to end. `reply` is the last good reply, from its function code on: the values of a read are taken
    from there, and pymodbus gets the reply without them, since its making a list of 125 registers and a text of
    that list costs more than the rest of a request.
    """

    def __init__(self, note: Note | None = None) -> None:
        self.problem = ""
        self.reply = b""
        self.heard = 0
        """How often something came; kept on serial lines only."""
        self._asked = b""
        self._head = b""
        self._length = -1
        self._part = b""
        self._left = 0
        """Bytes that have been judged and that pymodbus still has before what comes next."""
        self._note = note

    def packet(self, sending: bool, data: bytes) -> bytes:
        if sending:
            return self._send(data)
        if len(data) == self._length and data.startswith(self._head):
            asked, self._asked, self._length = self._asked, b"", -1
            self.reply = data[_HEADER:]
            self._left = len(data) - len(self._head)
            if self._note is not None:
                self._part = b""
                self._note("in", data)
            return asked[:4] + b"\0\3" + data[6:8] + b"\0"
        problem = reply_problem(self._asked, data) if self._asked else "a reply that nobody had asked for"
        if problem is None:
            self._part = data
            return b""  # pymodbus keeps what it has until more comes
        asked, self._asked, self._length, self._part = self._asked, b"", -1, b""
        if self._note is not None:
            self._note("in", data[self._left :])
        self._left = len(data)
        if problem:
            self.problem = self.problem or problem
            return _stand_in(asked) if asked else b""
        self.reply = data[_HEADER:]
        return data

    def end(self) -> None:
        """The connection ends: what came of an unfinished reply is worth a note."""
        if self._part and self._note is not None:
            self._note("in", self._part)
        self._part = b""

    def _send(self, frame: bytes) -> bytes:
        self.end()
        self._asked, self._length, self._left, self.reply = frame, -1, 0, b""
        wanted = value_bytes(frame[_HEADER:])
        if wanted is not None and frame[6] and wanted + 3 <= _LENGTH_MAX:
            # All of a good reply but its values is known before it comes: one comparison then judges it.
            self._head = frame[:4] + (wanted + 3).to_bytes(2, "big") + frame[6:8] + wanted.to_bytes(1, "big")
            self._length = wanted + _HEADER + 2
        if self._note is not None:
            self._note("out", frame)
        return frame


def _stand_in(asked: bytes) -> bytes:
    return asked[:4] + b"\0\3" + asked[6:7] + bytes((asked[7] | 0x80, _GATEWAY_FAILED))
