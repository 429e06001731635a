"""GS1 barcodes: one spelling for one thing, and check digits that must be right."""

from __future__ import annotations

import pytest

from gateway.host.formats import Unreadable
from gateway.host.formats.gs1 import read_barcode

SSCC = "340063810000000018"
GTIN = "07032069804988"


@pytest.mark.parametrize("text", [SSCC, f"00{SSCC}", f"(00){SSCC}", f"]C100{SSCC}", f"\x1d00{SSCC}", f" {SSCC}\r\n"])
def test_an_sscc(text: str) -> None:
    found = read_barcode(text)
    assert (found.sscc, found.gtin, found.key) == (SSCC, "", f"00{SSCC}")


@pytest.mark.parametrize("text", [GTIN, GTIN[1:], f"01{GTIN}", f"(01){GTIN}", f"]C101{GTIN}", f"]d201{GTIN}"])
def test_a_gtin(text: str) -> None:
    assert read_barcode(text).key == f"01{GTIN}"


@pytest.mark.parametrize(
    ("text", "gtin"),
    [("96385074", "00000096385074"), ("036000291452", "00036000291452"), ("]E04006381333931", "04006381333931")],
)
def test_shorter_gtins_are_filled(text: str, gtin: str) -> None:
    assert read_barcode(text).gtin == gtin


@pytest.mark.parametrize(
    "text",
    [
        f"01{GTIN}10LOT7\x1d3712",
        f"]C101{GTIN}10LOT7\x1d3712",
        f"(01){GTIN}(10)LOT7(37)12",
    ],
)
def test_element_strings_with_fnc1(text: str) -> None:
    assert read_barcode(text).elements == (("01", GTIN), ("10", "LOT7"), ("37", "12"))


def test_a_pallet_with_its_contents() -> None:
    found = read_barcode(f"(00){SSCC}(02){GTIN}(37)48")
    assert (found.sscc, found.gtin, found.key) == (SSCC, GTIN, f"00{SSCC}")


def test_a_bracket_in_a_value_stays() -> None:
    assert read_barcode(f"(01){GTIN}(10)A(B").elements[1] == ("10", "A(B")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 characters"),
        ("x" * 201, "201 characters"),
        (SSCC[:-1] + "9", "Invalid SSCC check digit"),
        (f"00{SSCC[:-1]}9", "Invalid SSCC check digit"),
        (f"(00){SSCC[:-1]}9", "Invalid SSCC check digit"),
        (f"01{GTIN[:-1]}9", "Invalid GTIN check digit"),
        (GTIN[:-1] + "9", "Invalid GTIN check digit"),
        ("T-100", "Application Identifier"),
        ("10LOT7", "neither an SSCC"),
        (f"00{SSCC[:-1]}", "Failed to match"),
        ("(00)", "Failed to match"),
        ("]", "nothing behind it"),
        ("]C1", "nothing behind it"),
        ("]\x1d\x1d\x1d\x1d", "nothing behind it"),
        ("٣" * 18, "characters that GS1 barcodes do not have"),
        (f"https://id.gs1.org/01/{GTIN}", "no element string"),
    ],
)
def test_what_is_none(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read_barcode(text)
    assert caught.value.way_on
