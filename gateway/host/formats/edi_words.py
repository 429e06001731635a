"""What EDIFACT and X12 call the same by other names, and values that both write: dates, numbers, purposes, parties.

Codes: UN/EDIFACT D.96A (1225 message function, 1229 action, 2005 and 2379 dates, 3035 parties) and X12 004010 (353
purpose, 473 order status, 670 change type, 374 and 432 dates, 98 parties).
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from gateway.host.formats.record import Unreadable

NUMBER = re.compile(r"[+-]?(\d{1,15}([.,]\d{0,9})?|[.,]\d{1,9})\Z", re.ASCII)

EDIFACT_PURPOSES = {
    "": "",
    "1": "cancel",
    "3": "cancel",
    "4": "change",
    "5": "replace",
    "7": "duplicate",
    "9": "create",
    "35": "duplicate",
}
X12_PURPOSES = {"00": "create", "01": "cancel", "04": "change", "05": "replace", "07": "duplicate", "15": "duplicate"}
X12_ORDER_STATUSES = {
    "N": "create",
    "B": "create",
    "S": "create",
    "F": "cancel",
    "D": "cancel",
    "R": "change",
    "G": "change",
    "L": "replace",
    "T": "duplicate",
}
OTHER_PURPOSE = "other"
"""A code that is none of these: the record has the code in `function`."""

EDIFACT_ACTIONS = {"": "", "1": "add", "2": "remove", "3": "change", "4": "keep"}
X12_ACTIONS = {"AI": "add", "DI": "remove", "NC": "keep", "RZ": "replace", "RE": "replace"}
"""Every other code of 670 changes something of a line."""

EDIFACT_DATES = {
    "2": "delivery",
    "10": "shipment",
    "11": "despatch",
    "37": "ship_earliest",
    "38": "ship_latest",
    "61": "cancel_after",
    "63": "latest",
    "64": "earliest",
    "137": "document",
    "200": "pick_up",
}
X12_DATES = {
    "001": "cancel_after",
    "002": "delivery",
    "004": "document",
    "010": "shipment",
    "037": "ship_earliest",
    "038": "ship_latest",
    "063": "latest",
    "064": "earliest",
    "118": "pick_up",
}
X12_WAREHOUSE_DATES = {
    "01": "cancel_after",
    "02": "delivery",
    "04": "document",
    "10": "shipment",
    "37": "ship_earliest",
    "38": "ship_latest",
    "53": "earliest",
    "54": "latest",
}

SHARED_PARTIES = {
    "BY": "buyer",
    "SU": "supplier",
    "SE": "supplier",
    "ST": "deliver_to",
    "UC": "final_recipient",
    "SF": "ship_from",
    "WH": "warehouse",
    "CA": "carrier",
    "CN": "consignee",
    "OB": "ordered_by",
}
EDIFACT_PARTIES = {**SHARED_PARTIES, "DP": "deliver_to", "IV": "invoice_to", "CZ": "consignor", "FW": "forwarder"}
X12_PARTIES = {**SHARED_PARTIES, "VN": "supplier", "BT": "invoice_to", "DE": "depositor"}


def number_of(text: str, place: str) -> int | float:
    """A decimal number: whole ones as int. Both decimal marks are read, thousands marks are not."""
    if not NUMBER.match(text):
        problem = f"{text[:40]!r} is no number of at most 15 + 9 digits"
        raise Unreadable(place, problem, "write digits with one decimal mark", "value")
    try:
        value = Decimal(text.replace(",", "."))
    except InvalidOperation:  # the pattern leaves nothing that Decimal does not read; a new one might
        raise Unreadable(place, f"{text[:40]!r} is no number", "write digits", "value") from None
    return int(value) if value == value.to_integral_value() else float(value)


def count_of(text: str, place: str) -> int:
    """A count of segments, messages or lines."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Unreadable(place, f"{text[:40]!r} is no count", "write a whole number of at most 9 digits", "value")
    return int(text)


EDIFACT_DATE_FORMATS = {
    "101": "%y%m%d",
    "102": "%Y%m%d",
    "201": "%y%m%d%H%M",
    "203": "%Y%m%d%H%M",
    "204": "%Y%m%d%H%M%S",
    "303": "%Y%m%d%H%M",
}
DATE_LENGTHS = {"%y%m%d": 6, "%Y%m%d": 8, "%y%m%d%H%M": 10, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
WEEK = "616"
PERIOD = "718"
ZONED = "303"
ZONE_LENGTH = 3


def edifact_date(text: str, code: str, place: str) -> str:
    """ISO 8601: "2026-11-30", "2026-11-30T14:30:00", with an offset only where the sender wrote one (303); a week (616)
    becomes its Monday. No offset means the sender's local time: which that is, the mapping says."""
    if code == WEEK:
        return _week(text, place)
    layout = EDIFACT_DATE_FORMATS.get(code)
    if layout is None:
        known = ", ".join([*EDIFACT_DATE_FORMATS, WEEK])
        raise Unreadable(place, f"date format {code!r} is not read", f"use one of {known}", "unsupported")
    offset = ""
    if code == ZONED and len(text) > DATE_LENGTHS[layout]:
        text, zone = text[: DATE_LENGTHS[layout]], text[DATE_LENGTHS[layout] :]
        offset = _offset(zone, place)
    return _iso(text, layout, place) + offset


def edifact_period(text: str, place: str) -> tuple[str, str]:
    """The first and the last day of CCYYMMDD-CCYYMMDD (718), whose mark some senders leave out."""
    digits = text.replace("-", "", 1)
    middle = len(digits) // 2
    return _iso(digits[:middle], "%Y%m%d", place), _iso(digits[middle:], "%Y%m%d", place)


def x12_date(day: str, time: str, place: str) -> str:
    """ISO 8601 from a date (CCYYMMDD or YYMMDD) and a time (HHMM, HHMMSS, HHMMSSd, HHMMSSdd or nothing)."""
    layout = "%y%m%d" if len(day) == DATE_LENGTHS["%y%m%d"] else "%Y%m%d"
    if not time:
        return _iso(day, layout, place)
    if len(time) not in (4, 6, 7, 8) or not time.isdigit():
        raise Unreadable(place, f"{time[:20]!r} is no time", "write HHMM or HHMMSS", "value")
    seconds = time[4:6] or "00"
    if layout == "%y%m%d":
        day = f"20{day}"
    return _iso(f"{day}{time[:4]}{seconds}", "%Y%m%d%H%M%S", place)


def _iso(text: str, layout: str, place: str) -> str:
    if len(text) != DATE_LENGTHS[layout] or not (text.isascii() and text.isdigit()):
        problem = f"{text[:40]!r} is no date of {DATE_LENGTHS[layout]} digits"
        raise Unreadable(place, problem, "write year, month, day, hour, minute without separators", "value")
    # strptime reads %y as 1969 to 2068: every order is of this century.
    if layout.startswith("%y"):
        text, layout = f"20{text}", layout.replace("%y", "%Y")
    try:
        moment = datetime.strptime(text, layout)
    except ValueError:
        raise Unreadable(place, f"{text!r} is not in the calendar", "write a day that there is", "value") from None
    return moment.date().isoformat() if "%H" not in layout else moment.isoformat()


def _week(text: str, place: str) -> str:
    try:
        if not (len(text) == 6 and text.isascii() and text.isdigit()):
            raise ValueError(text)
        return date.fromisocalendar(int(text[:4]), int(text[4:]), 1).isoformat()
    except ValueError:
        raise Unreadable(place, f"{text[:40]!r} is no week", "write CCYYWW", "value") from None


def _offset(zone: str, place: str) -> str:
    """303's ZZZ: hours from UTC with a sign, or three digits without one. Letters (EST, CET) name no offset surely."""
    if zone in ("UTC", "GMT", "Z"):
        return "+00:00"
    digits = zone.lstrip("+-")
    if len(zone) > ZONE_LENGTH or not digits.isascii() or not digits.isdigit() or int(digits) > 14:
        raise Unreadable(place, f"time zone {zone[:20]!r} is not read", "write +01, -05, 001 or UTC", "value")
    sign = "-" if zone.startswith("-") else "+"
    minutes = timedelta(hours=int(digits)) // timedelta(minutes=1)
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
