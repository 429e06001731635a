"""Records from EDIFACT order messages: ORDERS, ORDCHG, DESADV and INSDES as of D.96A, also in their EANCOM subsets.

One interchange a message, from UNB to UNZ; one record for each message in it. All control counts and references are
checked (ISO 9735-1), and nothing of an interchange is read where one of them is wrong.
"""

from __future__ import annotations

from gateway.contract import Struct
from gateway.host.formats.edi_words import count_of
from gateway.host.formats.edifact_order import record_of
from gateway.host.formats.edifact_segments import Segment, read_segments
from gateway.host.formats.record import Limits, Record, Unreadable

SEND_AGAIN = "send the interchange again, whole"


class Party(Struct, frozen=True):
    """Who sends or receives an interchange: S002 and S003."""

    id: str
    qualifier: str = ""


class Header(Struct, frozen=True):
    """What UNB says."""

    syntax: str
    syntax_version: str
    sender: Party
    receiver: Party
    prepared: tuple[str, str]
    """Date and time as written."""
    reference: str
    application: str
    acknowledge: bool
    """The sender asks for a CONTRL (0031)."""
    test: bool


class Message(Struct, frozen=True):
    """One message of an interchange: from UNH to UNT, both included."""

    reference: str
    type: str
    version: str
    release: str
    agency: str
    association: str
    segments: tuple[Segment, ...]


class Interchange(Struct, frozen=True):
    header: Header
    messages: tuple[Message, ...]


def read(data: bytes, limits: Limits) -> list[Record]:
    """A record for each message. docs/formats.md names the fields."""
    interchange = read_interchange(data, limits)
    return [record_of(interchange.header, message, limits) for message in interchange.messages]


def read_interchange(data: bytes, limits: Limits) -> Interchange:
    """The messages with their envelope, all counts and references checked."""
    segments = read_segments(data, limits)
    header = header_of(segments[0])
    last = segments[-1]
    if last.tag != "UNZ":
        raise Unreadable(last.place, "the interchange has no UNZ at its end: it is cut off", SEND_AGAIN, "missing")
    messages, groups = _messages(segments[1:-1], limits)
    counted, name = (groups, "groups") if groups else (len(messages), "messages")
    _check_count(last, counted, name)
    _check_reference(last, header.reference, segments[0])
    return Interchange(header, messages)


def header_of(unb: Segment) -> Header:
    """UNB. Raises Unreadable where a part is missing that an answer needs."""
    for element, name in ((1, "sender (S002)"), (2, "receiver (S003)"), (4, "control reference (0020)")):
        if not unb.at(element):
            raise Unreadable(unb.place, f"has no {name}", "fill it", "missing")
    return Header(
        syntax=unb.code(0),
        syntax_version=unb.at(0, 1),
        sender=Party(unb.at(1), unb.at(1, 1)),
        receiver=Party(unb.at(2), unb.at(2, 1)),
        prepared=(unb.at(3), unb.at(3, 1)),
        reference=unb.at(4),
        application=unb.at(6),
        acknowledge=unb.at(8) == "1",
        test=unb.at(10) == "1",
    )


def _messages(segments: list[Segment], limits: Limits) -> tuple[tuple[Message, ...], int]:
    """What stands between UNB and UNZ, and how many functional groups that is (0 = none)."""
    messages: list[Message] = []
    seen: set[str] = set()
    groups = 0
    group: Segment | None = None
    in_group = 0
    body: list[Segment] = []
    for segment in segments:
        if body:
            body.append(segment)
            if segment.tag == "UNT":
                message = _message(body)
                if message.reference in seen:
                    problem = f"message reference {message.reference!r} comes twice in the interchange"
                    raise Unreadable(body[0].place, problem, "give every message its own", "duplicate")
                seen.add(message.reference)
                messages.append(message)
                in_group += 1
                body = []
            elif segment.tag in ("UNH", "UNB", "UNG", "UNE", "UNZ"):
                raise Unreadable(
                    segment.place, f"in a message that began in {body[0].place}", "end it by UNT", "missing"
                )
        elif segment.tag == "UNH":
            if groups and group is None:
                raise Unreadable(segment.place, "outside the functional groups", "put it in one", "syntax")
            if len(messages) >= limits.records_max:
                raise Unreadable(segment.place, f"more than {limits.records_max} messages", "split the interchange")
            body = [segment]
        elif segment.tag == "UNG" and group is None:
            if messages and not groups:
                raise Unreadable(segment.place, "groups and messages are mixed", "use one of both", "syntax")
            group, in_group, groups = segment, 0, groups + 1
        elif segment.tag == "UNE" and group is not None:
            _check_count(segment, in_group, "messages")
            _check_reference(segment, group.at(4), group)
            group = None
        else:
            way_on = "send one interchange a message, made of messages from UNH to UNT"
            raise Unreadable(segment.place, "outside a message", way_on, "syntax")
    for open_segment, end in ((body[0] if body else None, "UNT"), (group, "UNE")):
        if open_segment is not None:
            raise Unreadable(open_segment.place, f"has no {end}: the interchange is cut off", SEND_AGAIN, "missing")
    return tuple(messages), groups


def _message(body: list[Segment]) -> Message:
    head, last = body[0], body[-1]
    if not head.at(0):
        raise Unreadable(head.place, "has no message reference (0062)", "number the messages", "missing")
    if not head.at(1):
        raise Unreadable(head.place, "has no message type (S009)", "name it, such as ORDERS:D:96A:UN", "missing")
    _check_count(last, len(body), "segments")
    _check_reference(last, head.at(0), head)
    kind, version, release, agency, association = (head.code(1, component) for component in range(5))
    return Message(head.at(0), kind, version, release, agency, association, tuple(body))


def _check_count(end: Segment, found: int, name: str) -> None:
    told = count_of(end.at(0), end.place)
    if told != found:
        raise Unreadable(end.place, f"says {told} {name}, there are {found}", SEND_AGAIN, "count")


def _check_reference(end: Segment, reference: str, begin: Segment) -> None:
    if end.at(1) != reference:
        problem = f"reference {end.at(1)[:40]!r}, but {begin.place} has {reference[:40]!r}"
        raise Unreadable(end.place, problem, "write the same in both", "reference")
