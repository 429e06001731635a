"""Inputs as lines of JSON, for people and other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.shell.journal.moments import iso
from gateway.shell.journal.reader import Reader


def lines(reader: Reader, after_seq: int, until_seq: int) -> Iterator[bytes]:
    """One JSON object an input, without the line's end: seq, time, type, content. Raises as `Journal.read` does."""
    for seq, at_ns, body in reader.read(after_seq):
        if seq > until_seq:
            return
        kind, content = described(body)
        yield msgspec.json.encode({"seq": seq, "time": iso(at_ns), "type": kind, "content": content})


def described(body: bytes) -> tuple[str, Any]:
    """An input's type and content as they were written, whatever version did; bytes that are no input as base64."""
    try:
        content = msgspec.msgpack.decode(body)
    except msgspec.DecodeError:
        return "?", body
    if not isinstance(content, dict):
        return "?", content
    return str(content.pop("type", "?")), content
