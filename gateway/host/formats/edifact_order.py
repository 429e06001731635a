"""What an EDIFACT order message says, as a record.

Source: UN/EDIFACT directory D.96A, messages ORDERS, ORDCHG, DESADV, INSDES, and the EANCOM 1997 subsets of them. A
segment means what its group says: a date after a reference is the reference's, so only dates right after BGM or LIN
are the order's or the line's. Money (MOA, PRI, TAX, CUX, PAT, ALC) is not read: no movement of goods depends on it, and
what is not kept can't leak.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.host.formats.edi_record import OrderRecord, part, part_list, party_record
from gateway.host.formats.edi_words import (
    EDIFACT_ACTIONS,
    EDIFACT_DATES,
    EDIFACT_PARTIES,
    EDIFACT_PURPOSES,
    OTHER_PURPOSE,
    PERIOD,
    edifact_date,
    edifact_period,
    number_of,
)
from gateway.host.formats.edifact_segments import Segment
from gateway.host.formats.record import Limits, Record, Unreadable

if TYPE_CHECKING:
    from gateway.host.formats.edifact import Header, Message

TYPES = ("ORDERS", "ORDCHG", "DESADV", "INSDES")
NUMBERED_ONCE = ("ORDERS", "ORDCHG")
"""Where a line number comes once; a despatch tells one line in several packages."""
GROUPS = frozenset(
    (
        "RFF",
        "NAD",
        "TAX",
        "CUX",
        "PAT",
        "TDT",
        "TOD",
        "EQD",
        "SCC",
        "APR",
        "ALC",
        "RCS",
        "LOC",
        "PRI",
        "HAN",
        "PCI",
        "UNS",
    )
)
"""Segments that begin a group of their own: dates and quantities after them are not the order's or the line's."""
QUANTITIES = ("21", "113", "12", "1", "46")
"""6063, what counts as the line's quantity: ordered, to be delivered, despatched, discrete, delivered."""
SSCC = "BJ"
LINES_TOTAL = "2"
DELIVERY_PLACES = ("7", "11")
ADDITIONAL_IDS = ("1", "5")


def record_of(header: Header, message: Message, limits: Limits) -> Record:
    """Raises Unreadable with the segment's number."""
    head, bgm = message.segments[0], message.segments[1]
    if message.type not in TYPES:
        problem = f"message type {message.type!r} is not read"
        raise Unreadable(head.place, problem, f"send one of {', '.join(TYPES)}", "unsupported")
    if bgm.tag != "BGM":
        raise Unreadable(bgm.place, "BGM is expected here", "begin messages with BGM", "missing")
    # 1004 is an element of its own in D.96A and the first component of C106 in later directories.
    order = bgm.at(1)
    if not order:
        raise Unreadable(bgm.place, "has no document number (1004)", "number the order", "missing")
    function = bgm.at(2)
    fields: Record = {
        "format": "edifact",
        "type": message.type,
        "version": f"{message.version}.{message.release}",
        "subset": message.association,
        "sender": header.sender.id,
        "sender_qualifier": header.sender.qualifier,
        "receiver": header.receiver.id,
        "receiver_qualifier": header.receiver.qualifier,
        "interchange": header.reference,
        "group": "",
        "message": message.reference,
        "test": header.test,
        "order": order,
        "order_type": bgm.at(0),
        "function": function,
        "purpose": EDIFACT_PURPOSES.get(function, OTHER_PURPOSE),
        "customer_order": "",
    }
    reading = _Reading(message.type, OrderRecord(fields, limits))
    for segment in message.segments[2:-1]:
        reading.take(segment)
    return reading.finished()


class _Reading:
    """Goes through the segments of one message and knows in which group it is."""

    def __init__(self, kind: str, order: OrderRecord) -> None:
        self._kind = kind
        self._order = order
        self._own = True
        """The segment is the order's or the line's own, not that of a group within."""
        self._numbers: set[str] = set()
        self._party: Record | None = None
        self._in_parties = False
        """Within NAD groups, where a reference is the party's: a tax number, an account."""
        self._level: Record | None = None
        """The package of the CPS under way, in which lines lie."""
        self._takers: dict[str, Callable[[Segment], None]] = {
            "LIN": self._line,
            "PIA": self._ids,
            "IMD": self._description,
            "QTY": self._quantity,
            "DTM": self._date,
            "RFF": self._reference,
            "NAD": self._party_of,
            "LOC": self._location,
            "TDT": self._transport,
            "FTX": self._note,
            "CPS": self._package_level,
            "PAC": self._package,
            "GIN": self._goods_id,
            "CNT": self._total,
        }

    def take(self, segment: Segment) -> None:
        if segment.tag in GROUPS:
            self._own = False
        take = self._takers.get(segment.tag)
        if take is not None:
            take(segment)
        if segment.tag not in ("NAD", "LOC"):
            self._party = None

    def finished(self) -> Record:
        record = self._order.finished()
        references = part(record, "references")
        record["customer_order"] = references.get("ON", references.get("CO", ""))
        return record

    def _line(self, segment: Segment) -> None:
        number = segment.at(0)
        if number and number in self._numbers and self._kind in NUMBERED_ONCE:
            raise Unreadable(segment.place, f"line {number!r} comes twice", "number every line once", "duplicate")
        self._numbers.add(number)
        line = self._order.add_line(segment.place, number, EDIFACT_ACTIONS.get(segment.at(1), "change"))
        line["action_code"] = segment.at(1)
        self._own = True
        self._in_parties = False
        self._order.package = None
        if self._level is not None:
            part_list(self._level, "lines").append(number)
        self._order.add_id(segment.code(2, 1), segment.at(2))
        line["item"] = segment.at(2)

    def _ids(self, segment: Segment) -> None:
        """4347: 1 additional, 5 the item's own number. Substitutes (3, 4) are other items."""
        if segment.at(0) in ADDITIONAL_IDS and self._own:
            for element in range(1, len(segment.elements)):
                self._order.add_id(segment.code(element, 1), segment.at(element))

    def _description(self, segment: Segment) -> None:
        line = self._order.line
        if line is not None and not line["description"]:
            line["description"] = " ".join(filter(None, (segment.at(2, 3), segment.at(2, 4))))

    def _quantity(self, segment: Segment) -> None:
        line = self._order.line
        if line is None or not self._own:
            return
        code = segment.code(0)
        value = number_of(segment.at(0, 1), segment.place)
        quantities = part(line, "quantities")
        if code in quantities:
            raise Unreadable(segment.place, f"quantity {code!r} comes twice", "tell each quantity once", "duplicate")
        quantities[code] = value
        ranks = [rank for rank in QUANTITIES if rank in quantities]
        if ranks and ranks[0] == code:
            line["quantity"], line["unit"] = value, segment.code(0, 2)

    def _date(self, segment: Segment) -> None:
        name = EDIFACT_DATES.get(segment.code(0))
        if name is None or not self._own:
            return
        if name == "delivery" and segment.at(0, 2) == PERIOD:
            first, last = edifact_period(segment.at(0, 1), segment.place)
            self._order.date("earliest", first)
            self._order.date("latest", last)
        else:
            self._order.date(name, edifact_date(segment.at(0, 1), segment.at(0, 2), segment.place))

    def _reference(self, segment: Segment) -> None:
        in_package = self._order.line is None and self._order.package is not None
        if not self._in_parties and not in_package:
            self._order.refer(segment.code(0), segment.at(0, 1))

    def _party_of(self, segment: Segment) -> None:
        self._in_parties = True
        code = segment.code(0)
        if not code:
            raise Unreadable(segment.place, "has no party qualifier (3035)", "say who it is", "missing")
        name = _joined(segment, 3) or segment.at(2)
        party = party_record(
            code,
            segment.at(1),
            segment.at(1, 2),
            name,
            _joined(segment, 4),
            segment.at(5),
            segment.at(6),
            segment.at(7),
            segment.code(8),
        )
        self._party = self._order.add_party(segment.place, EDIFACT_PARTIES.get(code, code.lower()), party)

    def _location(self, segment: Segment) -> None:
        """A place at the party: the dock or hall to deliver to."""
        if self._party is not None and segment.at(0) in DELIVERY_PLACES:
            self._party["location"] = segment.at(1) or segment.at(1, 3)

    def _transport(self, segment: Segment) -> None:
        if self._order.line is None and not self._order.transport:
            self._order.transport = {
                "mode": segment.at(2),
                "means": segment.at(3),
                "carrier": segment.at(4) or segment.at(4, 3),
                "service": "",
            }

    def _note(self, segment: Segment) -> None:
        self._order.note(_joined(segment, 3))

    def _package_level(self, segment: Segment) -> None:
        self._own = False
        self._in_parties = False
        self._order.line = None
        self._level = self._order.add_package(segment.place, segment.at(0), segment.at(1), "")

    def _package(self, segment: Segment) -> None:
        self._own = False
        package = self._order.package
        line = self._order.line
        if line is not None:
            package = self._order.add_package(segment.place, "", "", str(line["line"]))
        elif package is None or package["type"] or package["count"] is not None:
            above = package or {"id": "", "parent": ""}
            package = self._order.add_package(segment.place, str(above["id"]), str(above["parent"]), "")
            if self._level is not None:
                self._level = package
        package["type"] = segment.code(2)
        package["count"] = number_of(segment.at(0), segment.place) if segment.at(0) else None

    def _goods_id(self, segment: Segment) -> None:
        if segment.code(0) != SSCC:
            return
        for element in range(1, len(segment.elements)):
            if segment.at(element, 1):
                raise Unreadable(segment.place, "a range of SSCCs is not read", "send each of them", "unsupported")
            self._order.add_sscc(segment.at(element))

    def _total(self, segment: Segment) -> None:
        if segment.at(0) != LINES_TOTAL:
            return
        told = number_of(segment.at(0, 1), segment.place)
        if told != self._order.line_count:
            problem = f"says {told} lines, there are {self._order.line_count}"
            raise Unreadable(segment.place, problem, "send the message again, whole", "count")


def _joined(segment: Segment, element: int) -> str:
    """The parts of a name, street or text, which EDIFACT cuts at 35 or 70 characters."""
    parts = segment.elements[element] if element < len(segment.elements) else []
    return " ".join(filter(None, (part.strip() for part in parts)))
