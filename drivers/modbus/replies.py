"""Is this reply the answer to that request? Judged on the bytes, before any library decodes them.

pymodbus 3.16 by itself lets much pass: it drops what another unit or transaction sent without a word and waits on,
takes a reply of another function, of transaction 0 or with more registers than were asked for, does not compare
the echo of a write, and throws in the event loop where a byte count is wrong. Pure but for what it remembers.
"""

from __future__ import annotations

_HEADER = 7
"""MBAP: transaction (2), protocol (2), length (2), unit (1). The length counts the unit and what follows."""
_LENGTH_MAX = 254
_GATEWAY_FAILED = 0x0B
_READ_BITS = (1, 2)
_READ_REGISTERS = (3, 4)
_ECHOED = {5: 5, 6: 5, 15: 5, 16: 5, 22: 7}
"""Function → how many bytes of the request a good reply repeats, its function code counted."""


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
    return _pdu_problem(asked[_HEADER:], reply[_HEADER:])


def _header(frame: bytes) -> tuple[int, int, int, int]:
    return (
        int.from_bytes(frame[0:2], "big"),
        int.from_bytes(frame[2:4], "big"),
        int.from_bytes(frame[4:6], "big"),
        frame[6],
    )


def _pdu_problem(asked: bytes, reply: bytes) -> str:
    function = asked[0]
    if reply[0] == function | 0x80:
        return "" if len(reply) == 2 else f"an exception of {len(reply)} bytes, not 2"
    if reply[0] != function:
        return f"the reply to function {reply[0]}, not to {function}"
    if function in _READ_BITS or function in _READ_REGISTERS:
        count = int.from_bytes(asked[3:5], "big")
        wanted = 2 * count if function in _READ_REGISTERS else (count + 7) // 8
        if len(reply) < 2 or len(reply) != reply[1] + 2:
            return f"a byte count that does not fit its {len(reply)} bytes"
        if reply[1] != wanted:
            return f"{reply[1]} bytes of values for {count} asked: {wanted} are right"
        return ""
    if function in _ECHOED and reply != asked[: _ECHOED[function]]:
        return f"the echo {reply.hex(' ')} of a write that was {asked[: _ECHOED[function]].hex(' ')}"
    return ""


class ReplyGuard:
    """Stands between the socket and pymodbus (its `trace_packet`): a wrong reply is never decoded.

    In its place pymodbus gets an exception, so that its wait ends at once; `problem` says what came, and the
    connection has to end.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._asked = b""

    def packet(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._asked = data
            return data
        problem = reply_problem(self._asked, data)
        if problem is None:
            return b""  # pymodbus keeps what it has until more comes
        asked, self._asked = self._asked, b""
        if problem:
            self.problem = self.problem or problem
            return _stand_in(asked) if asked else b""
        return data


def _stand_in(asked: bytes) -> bytes:
    return asked[:4] + b"\0\3" + asked[6:7] + bytes((asked[7] | 0x80, _GATEWAY_FAILED))
