"""What a format makes of a message: plain records, within limits, or an error that names the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gateway.contract import Struct

Record = dict[str, object]
"""str keys; values are str, int, float, bool, None, and lists and dicts of these. docs/formats.md lists the fields."""


class Limits(Struct, frozen=True):
    """How much one message may hold. Past a limit the whole message is refused, never cut."""

    bytes_max: int = 4 * 1024 * 1024
    records_max: int = 10_000
    depth_max: int = 32
    """JSON: objects and lists within one another."""
    text_length_max: int = 10_000
    """Characters of one value."""
    fields_max: int = 1_000
    """Columns of a row, keys of an object, elements of a segment."""
    lines_max: int = 10_000
    """Lines of one order."""
    segments_max: int = 200_000
    """Segments of one EDI interchange."""


Cause = Literal["", "character", "count", "duplicate", "missing", "reference", "syntax", "unsupported", "value"]


class Unreadable(Exception):
    """A message that can't be read; nothing of it counts. `place` says where (line, segment, field, byte), `problem`
    what is there and what was expected, `way_on` what whoever sends it can do. `cause` is for the codes of EDI
    acknowledgements."""

    def __init__(self, place: str, problem: str, way_on: str, cause: Cause = "") -> None:
        # All of them, so that it comes whole out of a worker process.
        super().__init__(place, problem, way_on, cause)
        self.place = place
        self.problem = problem
        self.way_on = way_on
        self.cause: Cause = cause

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.way_on}"


Reader = Callable[[bytes, Limits], list[Record]]
"""Pure. Raises `Unreadable`, nothing else."""


def check_size(data: bytes, limits: Limits) -> None:
    """Refuses what is empty or too large."""
    if len(data) > limits.bytes_max:
        raise Unreadable("message", f"{len(data)} bytes, at most {limits.bytes_max}", "split it")
    if not data.strip():
        raise Unreadable("message", "empty", "send it again, whole")


def text_of(data: bytes, encoding: str) -> str:
    """Decoded strictly. Raises Unreadable with the offset of the first byte that does not fit."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        found = data[error.start : error.start + 1].hex() or "nothing"
        problem = f"0x{found} is not {encoding}"
        raise Unreadable(f"byte {error.start}", problem, f"write the message in {encoding}", "character") from None
