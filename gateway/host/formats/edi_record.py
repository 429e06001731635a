"""The record of one order message, built segment by segment: the same shape for EDIFACT and X12."""

from __future__ import annotations

from gateway.host.formats.record import Limits, Record, Unreadable


class OrderRecord:
    """Collects one order. `line` is the line under way, `package` the package under way; None = none yet."""

    def __init__(self, fields: Record, limits: Limits) -> None:
        self._limits = limits
        self._lines: list[Record] = []
        self._packages: list[Record] = []
        self.fields = fields
        self.dates: dict[str, object] = {}
        self.references: dict[str, object] = {}
        self.parties: dict[str, object] = {}
        self.notes: list[object] = []
        self.transport: dict[str, object] = {}
        self.line: Record | None = None
        self.package: Record | None = None

    def finished(self) -> Record:
        return {
            **self.fields,
            "dates": self.dates,
            "references": self.references,
            "parties": self.parties,
            "transport": self.transport,
            "notes": self.notes,
            "lines": self._lines,
            "packages": self._packages,
        }

    @property
    def line_count(self) -> int:
        return len(self._lines)

    def add_line(self, place: str, number: str, action: str) -> Record:
        self._room(place, len(self._lines), "lines")
        self.line = {
            "line": number,
            "action": action,
            "action_code": "",
            "item": "",
            "ids": {},
            "quantity": None,
            "unit": "",
            "quantities": {},
            "description": "",
            "dates": {},
            "references": {},
            "parties": {},
            "sscc": [],
            "notes": [],
        }
        self._lines.append(self.line)
        return self.line

    def add_package(self, place: str, ident: str, parent: str, line: str) -> Record:
        self._room(place, len(self._packages), "packages")
        self.package = {
            "id": ident,
            "parent": parent,
            "line": line,
            "count": None,
            "type": "",
            "sscc": [],
            "lines": [],
        }
        self._packages.append(self.package)
        return self.package

    def note(self, text: str) -> None:
        if text:
            self.notes_of().append(text)

    def notes_of(self) -> list[object]:
        return self.notes if self.line is None else part_list(self.line, "notes")

    def refer(self, code: str, value: str) -> None:
        """The first of each kind counts: later ones tell of parts of the message."""
        if code and value:
            target = self.references if self.line is None else part(self.line, "references")
            target.setdefault(code, value)

    def date(self, name: str, value: str) -> None:
        target = self.dates if self.line is None else part(self.line, "dates")
        target.setdefault(name, value)

    def add_party(self, place: str, name: str, party: Record) -> Record:
        target = self.parties if self.line is None else part(self.line, "parties")
        if name in target and target[name] != party:
            raise Unreadable(place, f"party {name!r} comes twice and differs", "name each party once", "duplicate")
        target[name] = party
        return party

    def add_id(self, code: str, value: str) -> None:
        """An item number of the line; the first of each kind counts, and the first of all is `item`."""
        if self.line is None or not value:
            return
        if code:
            part(self.line, "ids").setdefault(code, value)
        self.line["item"] = self.line["item"] or value

    def add_sscc(self, value: str) -> None:
        target = self.package if self.package is not None else self.line
        if target is not None and value:
            part_list(target, "sscc").append(value)

    def _room(self, place: str, count: int, what: str) -> None:
        if count >= self._limits.lines_max:
            raise Unreadable(place, f"more than {self._limits.lines_max} {what} in one order", "split the order")


def part(record: Record, name: str) -> dict[str, object]:
    found = record[name]
    assert isinstance(found, dict)
    return found


def part_list(record: Record, name: str) -> list[object]:
    found = record[name]
    assert isinstance(found, list)
    return found


def party_record(
    code: str,
    ident: str,
    agency: str,
    name: str,
    street: str,
    city: str,
    region: str,
    postcode: str,
    country: str,
) -> Record:
    return {
        "code": code,
        "id": ident,
        "agency": agency,
        "name": name,
        "street": street,
        "city": city,
        "region": region,
        "postcode": postcode,
        "country": country,
        "location": "",
    }
