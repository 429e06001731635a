"""Replies that are known to make a client library stumble: one wrong thing each, in an otherwise good reply."""

from __future__ import annotations

from collections.abc import Mapping

from rig_device import Trick
from rig_frames import publish


def _resized(frame: bytes) -> bytes:
    """A Modbus frame with the length that it has."""
    return frame[:4] + (len(frame) - 6).to_bytes(2, "big") + frame[6:]


def _is(piece: bytes, kind: bytes) -> bool:
    return piece[:3] == kind and len(piece) > 40


def _sized(chunk: bytes) -> bytes:
    """An OPC UA chunk with the length that it has."""
    return chunk[:4] + len(chunk).to_bytes(4, "little") + chunk[8:]


def _as_message(piece: bytes) -> bytes | None:
    """What opens a channel (header, policy, two certificates), headed as an ordinary message."""
    if piece[:3] != b"OPN":
        return None
    policy = int.from_bytes(piece[12:16], "little")
    return _sized(b"MSGF...." + piece[8:12] + b"\1\0\0\0" + piece[16 + policy + 8 :])


def _before(frame: bytes) -> Trick:
    """The frame comes before a message of the broker."""
    return lambda piece: frame + piece if piece[:1] == b"\x30" else None


def _topic(piece: bytes) -> str:
    """The topic of a PUBLISH with a length of one or two bytes, or another one."""
    at = 2 if piece[1:2] < b"\x80" else 3
    end = at + 2 + int.from_bytes(piece[at : at + 2], "big")
    return piece[at + 2 : end].decode("utf-8", "replace").replace("#", "").replace("+", "") or "a"


MODBUS_TRICKS: Mapping[str, Trick] = {
    "another transaction": lambda piece: bytes((piece[0] ^ 1,)) + piece[1:],
    "another protocol": lambda piece: piece[:3] + b"\1" + piece[4:],
    "another unit": lambda piece: piece[:6] + b"\x2a" + piece[7:],
    "a function that was not asked": lambda piece: piece[:7] + b"\x2b" + piece[8:],
    "function 0": lambda piece: piece[:7] + b"\0" + piece[8:],
    "a byte count too high": lambda piece: piece[:8] + b"\xff" + piece[9:] if piece[7] == 3 else None,
    "a byte count too low": lambda piece: piece[:8] + b"\1" + piece[9:] if piece[7] == 3 else None,
    "one register too few": lambda piece: (
        _resized(piece[:8] + bytes((piece[8] - 2,)) + piece[9:-2]) if piece[7] == 3 else None
    ),
    "the reply twice": lambda piece: piece + piece,
    "a header alone": lambda piece: piece[:4] + b"\0\1" + piece[6:7],
    "a length of 0": lambda piece: piece[:4] + b"\0\0" + piece[6:],
    "a length of 65535": lambda piece: piece[:4] + b"\xff\xff" + piece[6:],
    "the wrong echo of a write": lambda piece: piece[:-1] + bytes((piece[-1] ^ 1,)) if piece[7] in (6, 16) else None,
    "an exception without a code": lambda piece: _resized(piece[:7] + bytes((piece[7] | 0x80,))),
}
OPCUA_TRICKS: Mapping[str, Trick] = {
    "a message in place of the channel's opening": _as_message,
    "a channel's opening that is cut short": lambda piece: _sized(piece[:-24]) if piece[:3] == b"OPN" else None,
    "an error from the server": lambda piece: _sized(b"ERRF....\0\0\x80\x80\xff\xff\xff\xff"),
    "an acknowledgement out of turn": lambda piece: _sized(b"ACKF...." + b"\xff" * 20) if _is(piece, b"MSG") else None,
    "another channel": lambda piece: piece[:8] + b"\xff\xff\xff\0" + piece[12:] if _is(piece, b"MSG") else None,
    "another request": lambda piece: piece[:20] + b"\xff\xff\xff\0" + piece[24:] if _is(piece, b"MSG") else None,
    "an unknown type": lambda piece: piece[:24] + b"\1\0\xff\xff" + piece[28:] if _is(piece, b"MSG") else None,
    "another type": lambda piece: piece[:24] + b"\1\0\x8d\1" + piece[28:] if _is(piece, b"MSG") else None,
    "half a body": lambda piece: _sized(piece[: 24 + (len(piece) - 24) // 2]) if _is(piece, b"MSG") else None,
    "an aborted chunk": lambda piece: (
        _sized(b"MSGA...." + piece[8:24] + b"\0\0\x80\x80\xff\xff\xff\xff") if _is(piece, b"MSG") else None
    ),
    "a chunk without an end": lambda piece: piece[:3] + b"C" + piece[4:] if _is(piece, b"MSG") else None,
    "a length of 4 GB": lambda piece: piece[:4] + b"\xff\xff\xff\xff" + piece[8:],
    "a length of 0": lambda piece: piece[:4] + b"\0\0\0\0" + piece[8:],
    "the channel is closed": lambda piece: _sized(b"CLOF...." + piece[8:24]) if _is(piece, b"MSG") else None,
    "the reply twice": lambda piece: piece + piece if _is(piece, b"MSG") else None,
}
MQTT_TRICKS: Mapping[str, Trick] = {
    "a topic that is not UTF-8": _before(b"\x30\x06\0\x02\xff\xfea{"),
    "a topic with a wildcard": _before(publish("a/#/b", b"{}")),
    "a message without a topic": _before(publish("", b"{}")),
    "a topic that is longer than its message": _before(b"\x30\x04\xff\xff{}"),
    "an answer to no subscription": _before(b"\x90\x03\x77\x77\0"),
    "a packet of no known kind": _before(b"\xf0\0"),
    "a length that never ends": _before(b"\x30\xff\xff\xff\xff\xff"),
    "deep JSON": lambda piece: _before(publish(_topic(piece), b"[" * 60_000))(piece),
}
