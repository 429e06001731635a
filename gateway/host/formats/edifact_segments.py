"""The segments of an EDIFACT interchange (ISO 9735 syntax 1 to 4): bytes to tags and elements.

pydifact's tokenizer and its grouping of tokens do the work. Its Parser.parse, Segment and Interchange are not used:
they look for a UNA anywhere in the text and drop what is before it, take the release character "blank" (none) for one
that eats blanks, drop a last segment that is cut off after a separator, take an empty segment into the next one's tag,
and end with errors of many kinds at a segment that they do not expect (all seen with 0.2.3, and pinned by a test).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pydifact.control.characters import Characters
from pydifact.exceptions import EDISyntaxError
from pydifact.parser import Parser
from pydifact.token import Token
from pydifact.tokenizer import Tokenizer

from gateway.contract import Struct
from gateway.host.formats.record import Limits, Unreadable, check_size, text_of

TAG = re.compile(r"[A-Z]{3}\Z", re.ASCII)
UNA_LENGTH = 9
UNB_LENGTH_MAX = 1_000
NO_RELEASE = "\0"
"""Stands for "no release character": the text holds no NUL."""
CHARSETS = {
    "UNOA": "ascii",
    "UNOB": "ascii",
    "UNOC": "iso8859-1",
    "UNOD": "iso8859-2",
    "UNOE": "iso8859-5",
    "UNOF": "iso8859-7",
    "UNOG": "iso8859-3",
    "UNOH": "iso8859-4",
    "UNOI": "iso8859-6",
    "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9",
    "UNOW": "utf-8",
    "UNOY": "utf-8",
}
"""Code list 0001. UNOY is UCS-2 in the standard and UTF-8 in the field."""
FILL = b" \r\n\t\x1a"
"""What stands around an interchange: line ends, blanks, the end-of-file mark of DOS."""


class Segment(NamedTuple):
    number: int
    """Counted from 1 at UNB; UNA is none."""
    tag: str
    elements: list[list[str]]

    def at(self, element: int, component: int = 0) -> str:
        """Without blanks around it; "" where it is not there. Counted from 0, the tag is not an element."""
        if element < len(self.elements) and component < len(self.elements[element]):
            return self.elements[element][component].strip()
        return ""

    def code(self, element: int, component: int = 0) -> str:
        """A code, which some senders write in lower case."""
        return self.at(element, component).upper()

    @property
    def place(self) -> str:
        return f"segment {self.number} {self.tag}"


class Service(Struct, frozen=True):
    """The service characters in force."""

    component: str = ":"
    element: str = "+"
    release: str = "?"
    terminator: str = "'"


LEVEL_B = Service(component="\x1f", element="\x1d", release=NO_RELEASE, terminator="\x1c")
"""What UNOB means where there is no UNA and the first separator is one of these."""


def read_segments(data: bytes, limits: Limits) -> list[Segment]:
    """All segments from UNB on. Raises Unreadable with the segment's number, or the byte of a wrong character."""
    check_size(data, limits)
    body = data.removeprefix(b"\xef\xbb\xbf").strip(FILL)
    before = data.index(body) if body else 0
    service, start = _service(body)
    charset = _charset(body, start)
    if b"\0" in body:
        place = f"byte {before + body.index(bytes(1))}"
        raise Unreadable(place, "a NUL byte", "send text in the character set that UNB names", "character")
    try:
        text = body.decode(charset)
    except UnicodeDecodeError as error:
        place = f"byte {before + error.start}"
        problem = f"0x{body[error.start]:02x} is not in {charset}, the character set that UNB names"
        raise Unreadable(place, problem, "name the right one, such as UNOC for ISO 8859-1", "character") from None
    text = text[start:]
    if not {"\r", "\n"} & {service.component, service.element, service.release, service.terminator}:
        # Senders break lines between segments, or every 80 characters wherever that is; no character set has them.
        text = text.replace("\r", "").replace("\n", "")
    return list(_segments(text, service, limits))


def first_segment(data: bytes, limits: Limits) -> Segment:
    """UNB alone, whatever comes after it. Raises Unreadable."""
    body = data.removeprefix(b"\xef\xbb\xbf").strip(FILL)
    service, start = _service(body)
    text = text_of(body[start : start + UNB_LENGTH_MAX], "latin-1")
    end = re.search(f"(?<!{re.escape(service.release)}){re.escape(service.terminator)}", text)
    if end is None:
        raise Unreadable("segment 1 UNB", f"not ended by {service.terminator!r}", "send it again, whole", "syntax")
    return read_segments(body[: start + end.end()], limits)[0]


def _service(body: bytes) -> tuple[Service, int]:
    """The service characters, and where UNB begins."""
    if body[:3] == b"UNA":
        advice = text_of(body[:UNA_LENGTH], "latin-1")
        if len(advice) < UNA_LENGTH:
            raise Unreadable("UNA", "cut off", "send the interchange again, whole", "syntax")
        component, element, _, release, _, terminator = list(advice[3:])
        chosen = [component, element, terminator, *([release] if release != " " else [])]
        if len(set(chosen)) != len(chosen) or any(c.isalnum() or c in " \0" or not c.isascii() for c in chosen):
            problem = f"{advice!r} has service characters that are equal, letters, digits or blank"
            raise Unreadable("UNA", problem, "use four different marks", "character")
        release = release if release != " " else NO_RELEASE
        rest = body[UNA_LENGTH:]
        start = UNA_LENGTH + len(rest) - len(rest.lstrip(FILL))
        service = Service(component, element, release, terminator)
    else:
        start = 0
        service = LEVEL_B if body[3:4] == b"\x1d" else Service()
    if body[start : start + 3] != b"UNB" or body[start + 3 : start + 4] != service.element.encode():
        found = body[start : start + 12].decode("ascii", "replace")
        problem = f"begins with {found!r}, not with UNB{service.element}"
        raise Unreadable("interchange", problem, "send one EDIFACT interchange, from UNA or UNB to UNZ", "syntax")
    return service, start


def _charset(body: bytes, start: int) -> str:
    name = body[start + 4 : start + 8].decode("ascii", "replace").upper()
    charset = CHARSETS.get(name)
    if charset is None:
        known = ", ".join(CHARSETS)
        raise Unreadable("segment 1 UNB", f"character set {name!r} is not read", f"use one of {known}", "unsupported")
    return charset


def _segments(text: str, service: Service, limits: Limits) -> Iterator[Segment]:
    characters = Characters(  # type: ignore[no-untyped-call]
        service.component, service.element, ",", service.release, " ", service.terminator
    )
    ending = _Ending()
    tokens = ending.watch(Tokenizer().get_tokens(text, characters))
    number = 0
    try:
        for raw in Parser().convert_tokens_to_raw_segments(tokens):
            number += 1
            yield _segment(number, raw, limits)
    except EDISyntaxError:
        ending.whole = False
    if not ending.whole or text.endswith(service.release) != text.endswith(service.release * 2):
        place = f"segment {number + 1}"
        problem = f"not ended by {service.terminator!r}: the interchange is cut off"
        raise Unreadable(place, problem, "send it again, whole", "syntax")


class _Ending:
    """Whether the last token ended its segment: pydifact drops a segment that a separator ends."""

    def __init__(self) -> None:
        self.whole = False

    def watch(self, tokens: Iterator[Token]) -> Iterator[Token]:
        for token in tokens:
            self.whole = token.type is Token.Type.TERMINATOR
            yield token


def _segment(number: int, raw: list[str | list[str]], limits: Limits) -> Segment:
    if number > limits.segments_max:
        raise Unreadable(f"segment {number}", f"more than {limits.segments_max} segments", "split the interchange")
    elements = [element if isinstance(element, list) else [element] for element in raw]
    tag = elements[0][0].strip().upper()
    if len(elements[0]) > 1 or not TAG.match(tag):
        shown = ":".join(elements[0])[:20]
        raise Unreadable(f"segment {number}", f"{shown!r} is no tag", "begin segments with three letters", "syntax")
    if sum(map(len, elements)) > limits.fields_max:
        raise Unreadable(f"segment {number} {tag}", f"more than {limits.fields_max} elements", "send fewer")
    for position, element in enumerate(elements):
        if any(len(component) > limits.text_length_max for component in element):
            place = f"segment {number} {tag}, element {position}"
            raise Unreadable(place, f"more than {limits.text_length_max} characters", "send shorter text")
    return Segment(number, tag, elements[1:])
