"""What an X12 order says, as a record of the same shape as EDIFACT's.

Source: X12 004010 transaction sets 850, 860 and 940. Prices, allowances, taxes and terms are not read: no movement of
goods depends on them, and what is not kept can't leak.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.host.formats.edi_record import OrderRecord, part, party_record
from gateway.host.formats.edi_words import (
    OTHER_PURPOSE,
    X12_ACTIONS,
    X12_DATES,
    X12_ORDER_STATUSES,
    X12_PARTIES,
    X12_PURPOSES,
    X12_WAREHOUSE_DATES,
    number_of,
    x12_date,
)
from gateway.host.formats.record import Limits, Record, Unreadable
from gateway.host.formats.x12_segments import Segment

if TYPE_CHECKING:
    from gateway.host.formats.x12 import Group, Header, Transaction

BEGIN = {"850": "BEG", "860": "BCH", "940": "W05"}
SSCC_MARKS = ("GM", "AA", "AAB")
"""MAN01: SSCC-18, with or without its application identifier."""
CASE_CODE = "UA"
"""234's code for a U.P.C./EAN case code; W0103 has one without saying so."""
NOT_OURS = frozenset(("SCH", "SLN", "SAC", "ITD", "SDQ", "AMT", "CTP"))
"""Segments that begin something within a line: what follows them is not the line's own until the next line."""


def record_of(header: Header, group: Group, transaction: Transaction, limits: Limits) -> Record:
    """Raises Unreadable with the segment's number and the element."""
    head, begin = transaction.segments[0], transaction.segments[1]
    if transaction.type not in BEGIN:
        known = ", ".join(BEGIN)
        problem = f"transaction set {transaction.type[:20]!r} is not read"
        raise Unreadable(head.place, problem, f"send one of {known}", "unsupported")
    expected = BEGIN[transaction.type]
    if begin.tag != expected:
        raise Unreadable(begin.place, f"{expected} is expected here", f"begin the set with {expected}", "missing")
    warehouse = transaction.type == "940"
    function = begin.code(1)
    purposes = X12_ORDER_STATUSES if warehouse else X12_PURPOSES
    number_at = 2 if warehouse else 3
    order = begin.at(number_at)
    if not order:
        raise Unreadable(begin.place, f"has no order number ({expected}{number_at:02d})", "number the order", "missing")
    fields: Record = {
        "format": "x12",
        "type": transaction.type,
        "version": group.version,
        "subset": "",
        "sender": header.sender,
        "sender_qualifier": header.sender_qualifier,
        "receiver": header.receiver,
        "receiver_qualifier": header.receiver_qualifier,
        "interchange": header.control,
        "group": group.control,
        "message": transaction.control,
        "test": header.test,
        "order": order,
        "order_type": begin.code(6 if warehouse else 2),
        "function": function,
        "purpose": purposes.get(function, OTHER_PURPOSE) if function else "",
        "customer_order": begin.at(3) if warehouse else "",
    }
    reading = _Reading(transaction.type, header.separators.component, OrderRecord(fields, limits))
    reading.begin(begin)
    for segment in transaction.segments[2:-1]:
        reading.take(segment)
    return reading.order.finished()


class _Reading:
    """Goes through the segments of one set and knows in which loop it is."""

    def __init__(self, kind: str, component: str, order: OrderRecord) -> None:
        self._kind = kind
        self._component = component
        self.order = order
        self._own = True
        self._party: Record | None = None
        self._assigned = ""
        """LX01, which numbers the lines of a 940."""
        self._numbers: set[str] = set()
        self._takers: dict[str, Callable[[Segment], None]] = {
            "REF": self._reference,
            "N9": self._reference,
            "DTM": self._date,
            "G62": self._warehouse_date,
            "N1": self._party_of,
            "N2": self._party_name,
            "N3": self._street,
            "N4": self._city,
            "TD5": self._routing,
            "W66": self._carrier,
            "NTE": self._note,
            "MSG": self._message,
            "LX": self._assign,
            "PO1": self._line,
            "POC": self._change,
            "W01": self._warehouse_line,
            "PID": self._description,
            "G69": self._warehouse_description,
            "MAN": self._marks,
            "CTT": self._total,
        }

    def begin(self, segment: Segment) -> None:
        """Dates that stand in the beginning segment: BEG05, and BCH06 with BCH11 as the date of the change."""
        at = {"BEG": (5,), "BCH": (11, 6)}.get(segment.tag, ())
        for element in at:
            if segment.at(element):
                self.order.date("document", x12_date(segment.at(element), "", f"{segment.place}{element:02d}"))

    def take(self, segment: Segment) -> None:
        if segment.tag in NOT_OURS:
            self._own = False
        if segment.tag not in ("N2", "N3", "N4"):
            self._party = None
        take = self._takers.get(segment.tag)
        if take is not None:
            take(segment)

    def _reference(self, segment: Segment) -> None:
        if self._own:
            self.order.refer(segment.code(1), segment.at(2) or segment.at(3))

    def _date(self, segment: Segment) -> None:
        name = X12_DATES.get(segment.code(1).zfill(3))
        if name is not None and self._own and segment.at(2):
            self.order.date(name, x12_date(segment.at(2), segment.at(3), segment.place))

    def _warehouse_date(self, segment: Segment) -> None:
        name = X12_WAREHOUSE_DATES.get(segment.code(1).zfill(2))
        if name is not None and self._own and segment.at(2):
            self.order.date(name, x12_date(segment.at(2), segment.at(4), segment.place))

    def _party_of(self, segment: Segment) -> None:
        code = segment.code(1)
        if not code:
            raise Unreadable(segment.place, "has no entity code (N101)", "say who it is", "missing")
        party = party_record(code, segment.at(4), segment.code(3), segment.at(2), "", "", "", "", "")
        self._party = self.order.add_party(segment.place, X12_PARTIES.get(code, code.lower()), party)

    def _party_name(self, segment: Segment) -> None:
        if self._party is not None:
            self._party["name"] = _joined(self._party["name"], segment.at(1), segment.at(2))

    def _street(self, segment: Segment) -> None:
        if self._party is not None:
            self._party["street"] = _joined(self._party["street"], segment.at(1), segment.at(2))

    def _city(self, segment: Segment) -> None:
        if self._party is not None:
            self._party["city"], self._party["region"] = segment.at(1), segment.at(2)
            self._party["postcode"], self._party["country"] = segment.at(3), segment.code(4)

    def _routing(self, segment: Segment) -> None:
        if self.order.line is None and not self.order.transport:
            self.order.transport = {
                "mode": segment.code(4),
                "means": "",
                "carrier": segment.at(3) or segment.at(5),
                "service": segment.code(12),
            }

    def _carrier(self, segment: Segment) -> None:
        self.order.transport = {
            "mode": segment.code(2),
            "means": "",
            "carrier": segment.at(10) or segment.at(5),
            "service": "",
        }

    def _note(self, segment: Segment) -> None:
        self.order.note(segment.at(2))

    def _message(self, segment: Segment) -> None:
        self.order.note(segment.at(1))

    def _assign(self, segment: Segment) -> None:
        self._assigned = segment.at(1)
        self.order.line = None
        self.order.package = None

    def _new_line(self, segment: Segment, number: str, action: str) -> Record:
        if number and number in self._numbers:
            raise Unreadable(segment.place, f"line {number!r} comes twice", "number every line once", "duplicate")
        self._numbers.add(number)
        self._own = True
        self.order.package = None
        return self.order.add_line(segment.place, number, action)

    def _line(self, segment: Segment) -> None:
        line = self._new_line(segment, segment.at(1), "add" if self._kind == "860" else "")
        self._amount(line, segment, 2, 3)
        self._pairs(segment, 6)

    def _change(self, segment: Segment) -> None:
        code = segment.code(2)
        if not code:
            raise Unreadable(segment.place, "has no change code (POC02)", "say what changes", "missing")
        line = self._new_line(segment, segment.at(1), X12_ACTIONS.get(code, "change"))
        self._amount(line, segment, 3, 5)
        if segment.at(4):
            part(line, "quantities")["left"] = number_of(segment.at(4), f"{segment.place}04")
        line["action_code"] = code
        self._pairs(segment, 8)

    def _warehouse_line(self, segment: Segment) -> None:
        number = self._assigned if self._assigned not in self._numbers else ""
        line = self._new_line(segment, number, "")
        self._amount(line, segment, 1, 2)
        self._pairs(segment, 4, 8)
        self.order.add_id(CASE_CODE, segment.at(3))
        self._pairs(segment, 15, 17)

    def _amount(self, line: Record, segment: Segment, at: int, unit_at: int) -> None:
        if segment.at(at):
            line["quantity"] = number_of(segment.at(at), f"{segment.place}{at:02d}")
            part(line, "quantities")["ordered"] = line["quantity"]
        # C001 in POC05: the first component is the unit, the others tell how it was made.
        line["unit"] = segment.code(unit_at).split(self._component)[0]

    def _pairs(self, segment: Segment, first: int, end: int = 1_000) -> None:
        """Qualifier and number, again and again, to the segment's end."""
        for at in range(first, min(end, len(segment.elements) + 1), 2):
            code, value = segment.code(at), segment.at(at + 1)
            if bool(code) != bool(value):
                problem = f"qualifier {code[:20]!r} with number {value[:40]!r}: one of them is missing"
                raise Unreadable(f"{segment.place}{at:02d}", problem, "write both or none", "missing")
            self.order.add_id(code, value)

    def _description(self, segment: Segment) -> None:
        self._describe(segment.at(5))

    def _warehouse_description(self, segment: Segment) -> None:
        self._describe(segment.at(1))

    def _describe(self, text: str) -> None:
        if self.order.line is not None and not self.order.line["description"]:
            self.order.line["description"] = text

    def _marks(self, segment: Segment) -> None:
        for at in range(1, len(segment.elements), 3):
            if segment.code(at) in SSCC_MARKS and segment.at(at + 1):
                if self.order.line is None and self.order.package is None:
                    self.order.add_package(segment.place, "", "", self._assigned)
                self.order.add_sscc(segment.at(at + 1))

    def _total(self, segment: Segment) -> None:
        if not segment.at(1):
            return
        told = number_of(segment.at(1), f"{segment.place}01")
        if told != self.order.line_count:
            problem = f"says {told} lines, there are {self.order.line_count}"
            raise Unreadable(segment.place, problem, "send the set again, whole", "count")


def _joined(*parts: object) -> str:
    return " ".join(str(part) for part in parts if part)
