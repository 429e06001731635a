"""Reading a capture (`stellwerk run --capture FILE`): what went over one link, one JSON object a line.

    {"at_ns": 1700000000000000000, "link": "10.0.0.2:502", "protocol": "modbus", "way": "out", "frame": "0001…"}

`way` is `out` for what the gateway sent and `in` for what it was sent; the other keys depend on the protocol.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

RECORDS_MAX = 4_000_000
"""A recording ends at 256 MiB; the shortest useful line has some 70 bytes."""


class CaptureError(ValueError):
    """The file can't be played back: which file and line, what is wrong, and what would be right."""


class Record(msgspec.Struct, frozen=True):
    """One line. `out` is what the gateway sent, `in` what it was sent; times in ns since the Unix epoch."""

    at_ns: int
    link: str = ""
    protocol: str = ""
    way: str = ""
    end: str = ""
    """Why the recording ends here; the other fields are empty then."""
    frame: str = ""
    event: str = ""
    node: str = ""
    type: str = ""
    status: int | None = None
    topic: str = ""
    qos: int = 0
    retain: bool = False
    payload: str | None = None
    payload_hex: str = ""
    value: Any = None


def read(path: Path, link: str | None = None) -> list[Record]:
    """What went over `link`, or over the file's only link, in order; never empty.

    A last line that was cut off when its writer died is left out. Raises OSError, CaptureError.
    """
    records = _lines(path)
    links = Counter((record.link, record.protocol) for record in records)
    if not links:
        raise CaptureError(f"{path}: nothing is recorded in it: was a device connected while it was made?")
    names = ", ".join(f"{name!r} ({protocol}, {count} lines)" for (name, protocol), count in links.items())
    if link is None:
        if len(links) > 1:
            raise CaptureError(f"{path} has {len(links)} links, name one of them with --link: {names}")
        return records
    chosen = [record for record in records if record.link == link]
    if not chosen:
        raise CaptureError(f"{path}: no link {link!r} in it; there are {names}")
    return chosen


def _lines(path: Path) -> list[Record]:
    decoder = msgspec.json.Decoder(Record)
    records: list[Record] = []
    broken = ""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if broken:
                raise CaptureError(broken)
            if number > RECORDS_MAX:
                raise CaptureError(f"{path}: more than {RECORDS_MAX} lines: cut out the time that you want to play")
            try:
                record = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                broken = f"{path}:{number}: not a line of a capture: {problem}"
                continue
            if not record.end:
                records.append(record)
    return records
