"""What went over a wire, kept in a file: one JSON object a line, so that a site's day can be played back as a device.

    {"at_ns": 1700000000000000000, "link": "C1 10.0.0.2:502", "protocol": "modbus", "way": "out", …}

`way` is `out` for what the gateway sent and `in` for what it was sent. Further keys by protocol:

    modbus    frame: the whole frame as hex
    opcua     event: namespaces | read | write | change | call; node, value, type (the variant's), status (its code)
    vda5050   topic, qos, retain, payload (text) or payload_hex (where it is not UTF-8)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.contract import Ns

BYTES_MAX = 256 * 2**20
"""A file does not grow beyond this: then the recording ends, with a line that says so."""
_ENCODER = msgspec.json.Encoder()


class Capture:
    """One file for all links of a gateway; written at once, since a capture is wanted most where something dies."""

    def __init__(self, path: Path, clock_ns: Callable[[], Ns], *, bytes_max: int = BYTES_MAX) -> None:
        """Appends. Raises OSError where the file can't be opened."""
        self._file = path.open("ab", buffering=0)
        self._clock_ns = clock_ns
        self._left = bytes_max - self._file.tell()
        self.problem = ""
        """Why nothing more is recorded; empty while it is."""

    def note(self, link: str, protocol: str, way: str, **body: Any) -> None:
        """Append one line. A full file or disk ends the recording, never the link."""
        if self.problem:
            return
        line = _line({"at_ns": self._clock_ns(), "link": link, "protocol": protocol, "way": way, **body})
        self._left -= len(line)
        if self._left < 0:
            self.problem = "the capture has reached its largest size"
            line = _line({"at_ns": self._clock_ns(), "end": self.problem})
        try:
            self._file.write(line)
        except OSError as exc:
            self.problem = f"the capture can't be written: {exc}"

    def close(self) -> None:
        self._file.close()


def _line(record: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(record) + b"\n"
