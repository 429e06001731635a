"""What a GS1 barcode says: SSCC, GTIN and element strings, through biip, with check digits that must be right.

For mappings that turn what a scanner or a host writes into one spelling. Read are plain digits (8, 12, 13 or 14: GTIN;
18: SSCC), element strings (AI and value, FNC1 as GS 0x1D where it separates), the same after a symbology identifier
(]C1, ]d2, ]Q3, ]E0 …) and the printed form with AIs in brackets.
"""

from __future__ import annotations

import re

import biip
from biip.gs1_messages import GS1Message

from gateway.contract import Struct
from gateway.host.formats.record import Unreadable

LENGTH_MAX = 200
"""GS1 symbols hold at most 48 characters (GS1-128) or some more in 2D; links are not read."""
PLAIN = re.compile(r"\d+\Z", re.ASCII)
BRACKETS = re.compile(r"\((\d{2,4})\)", re.ASCII)
GTIN_LENGTHS = (8, 12, 13, 14)
SSCC_LENGTH = 18
SYMBOLOGY_LENGTH = 3
WAY_ON = "scan it again, or send 18 digits (SSCC), 8 to 14 digits (GTIN) or a GS1 element string"
CONFIG = biip.ParseConfig(rcn_verify_variable_measure=False)
"""Weights and prices within numbers of restricted circulation differ by country: nothing here depends on them."""


class Barcode(Struct, frozen=True):
    """What was read. "" = not in the barcode."""

    sscc: str = ""
    """18 digits."""
    gtin: str = ""
    """14 digits, shorter numbers filled with zeros at the left."""
    elements: tuple[tuple[str, str], ...] = ()
    """All element strings as (AI, value), in their order; empty for plain digits."""

    @property
    def key(self) -> str:
        """One spelling for one thing: the SSCC with its AI where there is one, else the GTIN with its AI."""
        return f"00{self.sscc}" if self.sscc else f"01{self.gtin}"


def read_barcode(text: str) -> Barcode:
    """Raises Unreadable where it is no GS1 barcode, a check digit is wrong, or it holds neither SSCC nor GTIN."""
    # As biip does: a FNC1 at the beginning or the end separates nothing.
    text = text.strip()
    place = f"barcode {text[:40]!r}"
    if not text or len(text) > LENGTH_MAX:
        raise Unreadable(place, f"{len(text)} characters, 1 to {LENGTH_MAX} are read", WAY_ON, "value")
    if not text.isascii():
        # biip takes digits of all scripts for digits.
        raise Unreadable(place, "has characters that GS1 barcodes do not have", WAY_ON, "character")
    if text.startswith("]") and len(text) <= SYMBOLOGY_LENGTH:
        # biip ends with an IndexError at a bare "]".
        raise Unreadable(place, "a symbology identifier with nothing behind it", WAY_ON, "missing")
    if PLAIN.match(text) and len(text) in GTIN_LENGTHS:
        return _plain_gtin(text, place)
    if PLAIN.match(text) and len(text) == SSCC_LENGTH:
        return _element_string(f"00{text}", place)
    if BRACKETS.match(text):
        return _printed(text, place)
    return _element_string(text, place)


def _plain_gtin(text: str, place: str) -> Barcode:
    found = _parse(text, place)
    if found.gtin is None:
        raise Unreadable(place, found.gtin_error or "no GTIN", WAY_ON, "value")
    return Barcode(gtin=found.gtin.as_gtin_14())


def _printed(text: str, place: str) -> Barcode:
    """(00)3… as under the bars: every AI is in brackets, so FNC1 is put before the next one."""
    return _element_string(BRACKETS.sub("\x1d\\1", text).lstrip("\x1d"), place)


def _element_string(text: str, place: str) -> Barcode:
    found = _parse(text, place)
    if found.gs1_message is not None and found.gs1_message.element_strings:
        return _message(found.gs1_message, place)
    if found.symbology_identifier is not None and found.gtin is not None:
        return Barcode(gtin=found.gtin.as_gtin_14())
    reason = found.gs1_message_error or found.gtin_error or "no element string"
    raise Unreadable(place, reason, WAY_ON, "value")


def _message(message: GS1Message, place: str) -> Barcode:
    sscc = gtin = ""
    for element in message.element_strings:
        if element.ai.ai == "00":
            if element.sscc is None:
                raise Unreadable(place, element.sscc_error or "no SSCC", WAY_ON, "value")
            sscc = element.sscc.value
        elif element.ai.ai in ("01", "02") and not gtin:
            if element.gtin is None:
                raise Unreadable(place, element.gtin_error or "no GTIN", WAY_ON, "value")
            gtin = element.gtin.as_gtin_14()
    if not sscc and not gtin:
        raise Unreadable(place, "holds neither an SSCC (00) nor a GTIN (01, 02)", WAY_ON, "missing")
    elements = tuple((element.ai.ai, element.value) for element in message.element_strings)
    return Barcode(sscc, gtin, elements)


def _parse(text: str, place: str) -> biip.ParseResult:
    try:
        return biip.parse(text, config=CONFIG)
    except biip.BiipException as error:
        raise Unreadable(place, str(error), WAY_ON, "value") from None
