"""The segments of an X12 interchange: bytes to ids and elements. ISA has fixed positions and names its separators."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.contract import Struct
from gateway.host.formats.record import Limits, Unreadable, check_size

ISA_LENGTH = 106
ISA_SEPARATORS = (3, 6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103)
"""Where the element separator stands in ISA: behind the id and every element but the last (X12.5)."""
COMPONENT_AT, TERMINATOR_AT = 104, 105
REPETITION_SINCE = "00402"
"""The version (ISA12) from which on ISA11 is the repetition separator; before it is the standard's id, "U"."""
TAG = re.compile(r"[A-Z][A-Z0-9]{1,2}\Z", re.ASCII)
FILL = b" \r\n\t\x1a"


class Segment(NamedTuple):
    number: int
    """Counted from 1 at ISA."""
    tag: str
    elements: list[str]

    def at(self, element: int) -> str:
        """Without blanks around it; "" where it is not there. Counted from 1, as in X12's own papers (BEG03)."""
        return self.elements[element - 1].strip() if element <= len(self.elements) else ""

    def code(self, element: int) -> str:
        """A code, which some senders write in lower case."""
        return self.at(element).upper()

    @property
    def place(self) -> str:
        return f"segment {self.number} {self.tag}"


class Separators(Struct, frozen=True):
    element: str
    component: str
    repetition: str
    """ "" before 00402."""
    terminator: str


def read_segments(data: bytes, limits: Limits) -> tuple[list[Segment], Separators]:
    """All segments from ISA on. Raises Unreadable with the segment's number, or the byte of a wrong character."""
    check_size(data, limits)
    body = data.removeprefix(b"\xef\xbb\xbf").strip(FILL)
    before = data.index(body)
    # A terminator that is a line end was stripped with the fill: what follows knows it from ISA.
    tail = data[before + len(body) :]
    text = _text(body + tail, before)
    separators = _separators(text)
    parts = text.split(separators.terminator)
    if parts[-1].strip(FILL.decode()):
        problem = f"not ended by {separators.terminator!r}: the interchange is cut off"
        raise Unreadable(f"segment {len(parts)}", problem, "send it again, whole", "syntax")
    if len(parts) - 1 > limits.segments_max:
        raise Unreadable("interchange", f"more than {limits.segments_max} segments", "split the interchange")
    while parts and not parts[-1].strip(FILL.decode()):
        parts.pop()
    return [_segment(number, part, separators, limits) for number, part in enumerate(parts, 1)], separators


def first_segments(data: bytes, limits: Limits) -> tuple[tuple[Segment, Segment], Separators, int]:
    """ISA and GS alone, whatever comes after them, and how many ST there seem to be. Raises Unreadable."""
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip(FILL).decode("latin-1")
    separators = _separators(text)
    parts = text.split(separators.terminator, limits.segments_max)
    if len(parts) < 3:
        raise Unreadable("segment 2", "cut off", "send it again, whole", "syntax")
    isa, gs = (_segment(number, part, separators, limits) for number, part in enumerate(parts[:2], 1))
    if gs.tag != "GS":
        raise Unreadable(gs.place, "GS is expected here", "put GS after ISA", "missing")
    sets = sum(part.strip("\r\n ").startswith(f"ST{separators.element}") for part in parts)
    return (isa, gs), separators, sets


def _text(body: bytes, before: int) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {before + error.start}"
        problem = f"0x{body[error.start]:02x} is not UTF-8 or ASCII"
        raise Unreadable(place, problem, "write the interchange in ASCII", "character") from None
    if "\0" in text:
        place = f"byte {before + body.index(bytes(1))}"
        raise Unreadable(place, "a NUL byte", "write the interchange in ASCII", "character")
    return text


def _separators(text: str) -> Separators:
    if not text.startswith("ISA"):
        problem = f"begins with {text[:12]!r}, not with ISA"
        raise Unreadable("interchange", problem, "send one X12 interchange, from ISA to IEA", "syntax")
    if len(text) < ISA_LENGTH:
        problem = f"{len(text)} characters, ISA alone has {ISA_LENGTH}: it is cut off"
        raise Unreadable("segment 1 ISA", problem, "send it again, whole", "syntax")
    element = text[3]
    for number, position in enumerate(ISA_SEPARATORS):
        if text[position] != element:
            found = f"character {position + 1} is {text[position]!r}"
            problem = f"{found}, not the separator {element!r} after ISA{number:02d}"
            way_on = "fill every element of ISA with blanks to its full length"
            raise Unreadable("segment 1 ISA", problem, way_on, "syntax")
    component, terminator = text[COMPONENT_AT], text[TERMINATOR_AT]
    repetition = text[82] if text[84:89] >= REPETITION_SINCE else ""
    chosen = [element, component, terminator, *([repetition] if repetition else [])]
    if len(set(chosen)) != len(chosen) or any(c.isalnum() or c == " " or not c.isascii() for c in chosen):
        problem = f"the separators {chosen} are equal, letters, digits or blank"
        raise Unreadable("segment 1 ISA", problem, "use different marks", "character")
    return Separators(element, component, repetition, terminator)


def _segment(number: int, part: str, separators: Separators, limits: Limits) -> Segment:
    # Line ends after the terminator are for people; within a segment they are no characters of X12.
    if separators.terminator not in "\r\n":
        part = part.replace("\r", "").replace("\n", "")
    elements = part.strip("\r\n").split(separators.element)
    tag = elements[0].strip().upper()
    if not TAG.match(tag):
        way_on = "begin every segment with its id"
        raise Unreadable(f"segment {number}", f"{elements[0][:20]!r} is no segment id", way_on, "syntax")
    if len(elements) > limits.fields_max:
        raise Unreadable(f"segment {number} {tag}", f"more than {limits.fields_max} elements", "send fewer")
    for position, element in enumerate(elements[1:], 1):
        if len(element) > limits.text_length_max:
            problem = f"more than {limits.text_length_max} characters"
            raise Unreadable(f"segment {number} {tag}{position:02d}", problem, "send shorter text")
    return Segment(number, tag, elements[1:])
