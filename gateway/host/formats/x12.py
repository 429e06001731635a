"""Records from X12 order messages: 850 (purchase order), 860 (its change), 940 (warehouse shipping order), of 004010.

One interchange a message, from ISA to IEA; one record for each transaction set in it. All counts and control numbers
are checked (X12.5, X12.6), and nothing of an interchange is read where one of them is wrong.
"""

from __future__ import annotations

from gateway.contract import Struct
from gateway.host.formats.edi_words import count_of
from gateway.host.formats.record import Limits, Record, Unreadable
from gateway.host.formats.x12_order import record_of
from gateway.host.formats.x12_segments import Segment, Separators, read_segments

SEND_AGAIN = "send the interchange again, whole"
GROUP_OF = {"850": "PO", "860": "PC", "940": "OW"}
"""GS01 for each transaction set that is read."""


class Header(Struct, frozen=True):
    """What ISA says."""

    sender_qualifier: str
    sender: str
    receiver_qualifier: str
    receiver: str
    date: str
    time: str
    version: str
    control: str
    acknowledge: bool
    """The sender asks for a TA1 (ISA14)."""
    test: bool
    separators: Separators


class Group(Struct, frozen=True):
    """What GS says."""

    functional: str
    sender: str
    receiver: str
    control: str
    version: str


class Transaction(Struct, frozen=True):
    """One transaction set, from ST to SE, both included."""

    type: str
    control: str
    segments: tuple[Segment, ...]


class Interchange(Struct, frozen=True):
    header: Header
    groups: tuple[tuple[Group, tuple[Transaction, ...]], ...]


def read(data: bytes, limits: Limits) -> list[Record]:
    """A record for each transaction set. docs/formats.md names the fields."""
    interchange = read_interchange(data, limits)
    return [
        record_of(interchange.header, group, transaction, limits)
        for group, transactions in interchange.groups
        for transaction in transactions
    ]


def read_interchange(data: bytes, limits: Limits) -> Interchange:
    """The transaction sets with their envelopes, all counts and control numbers checked."""
    segments, separators = read_segments(data, limits)
    header = header_of(segments[0], separators)
    last = segments[-1]
    if last.tag != "IEA":
        raise Unreadable(last.place, "the interchange has no IEA at its end: it is cut off", SEND_AGAIN, "missing")
    groups = _groups(segments[1:-1], limits)
    _check_count(last, len(groups), "groups")
    _check_control(last, header.control, segments[0])
    return Interchange(header, groups)


def header_of(isa: Segment, separators: Separators) -> Header:
    for element, name in ((6, "sender (ISA06)"), (8, "receiver (ISA08)"), (13, "control number (ISA13)")):
        if not isa.at(element):
            raise Unreadable(isa.place, f"has no {name}", "fill it", "missing")
    return Header(
        isa.at(5),
        isa.at(6),
        isa.at(7),
        isa.at(8),
        isa.at(9),
        isa.at(10),
        isa.at(12),
        isa.at(13),
        isa.at(14) == "1",
        isa.code(15) == "T",
        separators,
    )


def group_of(gs: Segment) -> Group:
    if not gs.at(6):
        raise Unreadable(gs.place, "has no control number (GS06)", "number the groups", "missing")
    return Group(gs.code(1), gs.at(2), gs.at(3), gs.at(6), gs.at(8))


def _groups(segments: list[Segment], limits: Limits) -> tuple[tuple[Group, tuple[Transaction, ...]], ...]:
    groups: list[tuple[Group, tuple[Transaction, ...]]] = []
    begin: Segment | None = None
    body: list[Segment] = []
    count = 0
    for segment in segments:
        if begin is None:
            if segment.tag != "GS":
                raise Unreadable(segment.place, "outside a functional group", "put GS before it", "syntax")
            begin, body = segment, []
        elif segment.tag == "GE":
            group = group_of(begin)
            if any(group.control == other.control for other, _ in groups):
                problem = f"group control number {group.control} comes twice"
                raise Unreadable(begin.place, problem, "give every group its own", "duplicate")
            transactions = _transactions(group, body)
            count += len(transactions)
            if count > limits.records_max:
                raise Unreadable(segment.place, f"more than {limits.records_max} messages", "split the interchange")
            _check_count(segment, len(transactions), "transaction sets")
            _check_control(segment, group.control, begin)
            groups.append((group, transactions))
            begin = None
        elif segment.tag in ("ISA", "GS", "IEA"):
            raise Unreadable(segment.place, f"in the group of {begin.place}", "end groups by GE", "missing")
        else:
            body.append(segment)
    if begin is not None:
        raise Unreadable(begin.place, "has no GE: the interchange is cut off", SEND_AGAIN, "missing")
    return tuple(groups)


def _transactions(group: Group, segments: list[Segment]) -> tuple[Transaction, ...]:
    found: list[Transaction] = []
    seen: set[str] = set()
    body: list[Segment] = []
    for segment in segments:
        if not body and segment.tag != "ST":
            raise Unreadable(segment.place, "outside a transaction set", "put ST before it", "syntax")
        if body and segment.tag == "ST":
            raise Unreadable(segment.place, f"in the set of {body[0].place}", "end sets by SE", "missing")
        body.append(segment)
        if segment.tag != "SE":
            continue
        transaction = _transaction(group, body)
        if transaction.control in seen:
            problem = f"control number {transaction.control} comes twice in the group"
            raise Unreadable(body[0].place, problem, "give every set its own", "duplicate")
        seen.add(transaction.control)
        found.append(transaction)
        body = []
    if body:
        raise Unreadable(body[0].place, "has no SE: the interchange is cut off", SEND_AGAIN, "missing")
    return tuple(found)


def _transaction(group: Group, body: list[Segment]) -> Transaction:
    head, last = body[0], body[-1]
    kind, control = head.at(1), head.at(2)
    if not control:
        raise Unreadable(head.place, "has no control number (ST02)", "number the sets", "missing")
    _check_count(last, len(body), "segments")
    _check_control(last, control, head)
    if kind in GROUP_OF and group.functional != GROUP_OF[kind]:
        problem = f"{kind} in a group of {group.functional!r}"
        raise Unreadable(head.place, problem, f"send it in a group of {GROUP_OF[kind]}", "value")
    return Transaction(kind, control, tuple(body))


def _check_count(end: Segment, found: int, name: str) -> None:
    told = count_of(end.at(1), end.place)
    if told != found:
        raise Unreadable(end.place, f"says {told} {name}, there are {found}", SEND_AGAIN, "count")


def _check_control(end: Segment, control: str, begin: Segment) -> None:
    """Numbers are the same with and without leading zeros: some senders fill only one of the two."""
    told = end.at(2)
    if told != control and (told.lstrip("0") != control.lstrip("0") or not told.isdigit()):
        problem = f"control number {told[:20]!r}, but {begin.place} has {control[:20]!r}"
        raise Unreadable(end.place, problem, "write the same in both", "reference")
